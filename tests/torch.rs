//! Sorts and Bi-half codes equal PyTorch's stable sort, on vectors that PyTorch wrote.

use bihalf::{MatRef, Ones, Order, ops};

const VECTORS: &str = include_str!("vectors/torch_sort.txt");

#[test]
fn argsort_and_bihalf_equal_torchs_stable_sort() {
    let mut columns = 0;
    for line in VECTORS.lines().filter(|line| !line.starts_with('#')) {
        let [bits, ascending, descending] =
            line.split(" | ").collect::<Vec<_>>().try_into().expect("three fields a line");
        let value = |bits| f32::from_bits(u32::from_str_radix(bits, 16).unwrap());
        let column: Vec<f32> = bits.split(' ').map(value).collect();
        let rows =
            |text: &str| text.split(' ').map(|row| row.parse().unwrap()).collect::<Vec<u32>>();

        let u = MatRef::new(&column, column.len(), 1).unwrap();
        assert_eq!(ops::rank::argsort(u, Order::Ascending).unwrap(), rows(ascending), "{column:?}");
        let descending = rows(descending);
        assert_eq!(ops::rank::argsort(u, Order::Descending).unwrap(), descending, "{column:?}");

        let mut expected = vec![-1.0; column.len()];
        for &row in &descending[..column.len() / 2] {
            expected[row as usize] = 1.0;
        }
        assert_eq!(ops::bihalf::forward(u, Ones::Half).unwrap(), expected, "{column:?}");
        columns += 1;
    }
    assert_eq!(columns, 40);
}
