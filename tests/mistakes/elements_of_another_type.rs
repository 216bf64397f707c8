// says: no buffer holds `i32`
// says: convert the elements first
fn main() {
    let data = vec![0i32; 6];
    let _ = bihalf::MatRef::new(&data, 2, 3);
}
