// says: `&Vec<f32>` is no storage of a matrix or of codes
// says: pass a slice
fn main() {
    let data = vec![0.0f32; 6];
    let _ = bihalf::Matrix::new(&data, 2, 3);
}
