// says: consider using one of the following associated functions
// says: with_row_stride
fn main() {
    let mut out = [0.0f32; 6];
    let _ = bihalf::MatMut::with_strides(&mut out, 2, 3, 1, 2);
}
