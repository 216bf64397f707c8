//! Sorts and Bi-half codes equal PyTorch's stable sort, on vectors that PyTorch wrote.

use crate::common::*;
use bihalf::{Backend, Ones, Order};

const VECTORS: &str = include_str!("vectors/torch_sort.txt");

fn equal_torchs_stable_sort<B: Backend>(backend: &B) {
    let mut columns = 0;
    for line in VECTORS.lines().filter(|line| !line.starts_with('#')) {
        let [bits, ascending, descending] =
            line.split(" | ").collect::<Vec<_>>().try_into().expect("three fields a line");
        let value = |bits| f32::from_bits(u32::from_str_radix(bits, 16).unwrap());
        let column: Vec<f32> = bits.split(' ').map(value).collect();
        let rows =
            |text: &str| text.split(' ').map(|row| row.parse().unwrap()).collect::<Vec<u32>>();

        let u = Input::new(backend, &column, (column.len(), 1), Lay::Dense);
        let argsort = |order| backend.download(&backend.argsort(u.view(), order).unwrap()).unwrap();
        assert_eq!(argsort(Order::Ascending), rows(ascending), "{column:?}");
        let descending = rows(descending);
        assert_eq!(argsort(Order::Descending), descending, "{column:?}");

        let mut expected = vec![-1.0; column.len()];
        for &row in &descending[..column.len() / 2] {
            expected[row as usize] = 1.0;
        }
        let b = backend.bihalf_forward(u.view(), Ones::Half).unwrap();
        assert_eq!(backend.download(&b).unwrap(), expected, "{column:?}");
        columns += 1;
    }
    assert_eq!(columns, 40);
}

#[test]
fn argsort_and_bihalf_equal_torchs_stable_sort() {
    on_each_backend!(equal_torchs_stable_sort);
}
