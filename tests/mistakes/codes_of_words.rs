// says: `&Vec<u32>` is no storage
fn main() {
    let _ = bihalf::PackedCodes::new(&vec![0u32; 3], 3, 32);
}
