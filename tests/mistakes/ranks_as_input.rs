// says: no matrix of an operation has elements of type `u32`
// says: not f16, bf16, f32 or f64
fn main() {
    let ranks = [0u32; 6];
    let u = bihalf::MatRef::new(&ranks, 2, 3).unwrap();
    let _ = bihalf::ops::bi_half::forward(u, bihalf::Ones::Half);
}
