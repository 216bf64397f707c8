//! Properties that hold for any input, found by random search with shrinking.

use crate::common::*;
use bihalf::{Backend, Codes, MatRef, Ones, Order, PackedCodes, ops};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

/// Rows, columns and elements.
type Random = (usize, usize, Vec<f32>);

/// A matrix of any bit patterns, NaN and denormals included, with many repeated values.
fn matrix() -> impl Strategy<Value = Random> {
    let value = prop_oneof![
        any::<u32>().prop_map(f32::from_bits),
        prop::sample::select(vec![0.0f32, -0.0, 1.0, -1.0, f32::INFINITY, f32::NAN]),
    ];
    (0usize..40, 0usize..70).prop_flat_map(move |(rows, cols)| {
        let data = prop::collection::vec(value.clone(), rows * cols);
        data.prop_map(move |data| (rows, cols, data))
    })
}

/// Tries a property on random matrices; on fewer where the emulator runs them.
fn check<B: Backend>(backend: &B, property: impl Fn(Random) -> Result<(), TestCaseError>) {
    #[cfg(feature = "cuda")]
    let cases = if device::is_emulated(backend) { 64 } else { 256 };
    #[cfg(not(feature = "cuda"))]
    let cases = 256;
    let config = ProptestConfig { cases, failure_persistence: None, ..Default::default() };
    let checked = TestRunner::new(config).run(&matrix(), property);
    checked.unwrap_or_else(|error| panic!("backend {}: {error}", backend.name()));
}

fn rank_is_a_permutation<B: Backend>(backend: &B) {
    check(backend, |(rows, cols, data)| {
        let u = Input::new(backend, &data, (rows, cols), Lay::Dense);
        for order in [Order::Ascending, Order::Descending] {
            let rank = backend.download(&backend.rank(u.view(), order).unwrap()).unwrap();
            let argsort = backend.download(&backend.argsort(u.view(), order).unwrap()).unwrap();
            for j in 0..cols {
                for place in 0..rows {
                    let row = argsort[place * cols + j] as usize;
                    prop_assert_eq!(rank[row * cols + j] as usize, place);
                }
            }
        }
        Ok(())
    });
}

#[test]
fn argsort_is_a_permutation_and_rank_its_inverse() {
    on_each_backend!(rank_is_a_permutation);
}

fn the_k_largest_become_one<B: Backend>(backend: &B) {
    check(backend, |(rows, cols, data)| {
        let u = Input::new(backend, &data, (rows, cols), Lay::Dense);
        // Another ratio for each matrix.
        let ratio = (data.len() % 11) as f64 / 10.0;
        let k = Ones::Fraction(ratio).count(rows).unwrap();
        let b = backend.bihalf_forward(u.view(), Ones::Count(k)).unwrap();
        let b = backend.download(&b).unwrap();
        let order = |x: f32| if x.is_nan() { (1, 0.0) } else { (0, x) };
        for j in 0..cols {
            let (ones, others): (Vec<_>, Vec<_>) = (0..rows).partition(|i| b[i * cols + j] > 0.0);
            prop_assert_eq!(ones.len(), k);
            for i in ones {
                for &o in &others {
                    let (x, y) = (order(data[i * cols + j]), order(data[o * cols + j]));
                    prop_assert!(x > y || (x == y && i < o));
                }
            }
        }
        Ok(())
    });
}

#[test]
fn exactly_k_become_one_and_none_of_them_is_less_than_another() {
    on_each_backend!(the_k_largest_become_one);
}

fn a_code_is_a_fixed_point<B: Backend>(backend: &B) {
    check(backend, |(rows, cols, data)| {
        let shape = (rows, cols);
        let u = Input::new(backend, &data, shape, Lay::Dense);
        let b = backend.bihalf_forward(u.view(), Ones::Half).unwrap();
        let host = backend.download(&b).unwrap();
        let b = Input::new(backend, &host, shape, Lay::Dense);
        let again = backend.bihalf_forward(b.view(), Ones::Half).unwrap();
        prop_assert_eq!(backend.download(&again).unwrap(), host);
        // There the pull of the backward pass is zero.
        let mut du = Guarded::<B, f32>::of(backend, &vec![0.0; rows * cols], shape);
        let signs = b.view();
        let pull = 6.0;
        backend.bihalf_backward_in_place(b.view(), signs, pull, du.view()).unwrap();
        prop_assert_eq!(du.take(backend), vec![0.0; rows * cols]);
        Ok(())
    });
}

#[test]
fn a_bihalf_code_is_a_fixed_point() {
    on_each_backend!(a_code_is_a_fixed_point);
}

fn codes_survive_a_round_trip<B: Backend>(backend: &B) {
    check(backend, |(rows, cols, data)| {
        let u = Input::new(backend, &data, (rows, cols), Lay::Dense);
        let words = backend.sign_forward_packed(u.view(), None).unwrap();
        let codes = || PackedCodes::new(B::slice(&words), rows, cols).unwrap();
        let mut dense = Guarded::<B, f32>::new(backend, (rows, cols));
        backend.unpack_into(codes(), dense.view()).unwrap();
        let dense = Input::new(backend, &dense.take(backend), (rows, cols), Lay::Dense);
        let again = backend.sign_forward_packed(dense.view(), None).unwrap();
        let mut counts = guarded_row::<B, u32>(backend, cols);
        backend.ones_into(codes(), counts.vector()).unwrap();

        let words = backend.download(&words).unwrap();
        prop_assert_eq!(&backend.download(&again).unwrap(), &words);
        let popcount: u32 = words.iter().map(|w| w.count_ones()).sum();
        prop_assert_eq!(counts.take(backend).iter().sum::<u32>(), popcount, "pad bits are 0");
        Ok(())
    });
}

#[test]
fn packed_codes_come_back_from_dense() {
    on_each_backend!(codes_survive_a_round_trip);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn packed_codes_come_back_from_bytes((rows, cols, data) in matrix()) {
        let codes = Codes::from_dense(MatRef::new(&data, rows, cols).unwrap()).unwrap();
        prop_assert_eq!(&Codes::from_bytes(&codes.to_bytes().unwrap(), rows, cols).unwrap(), &codes);
    }

    #[test]
    fn hamming_distance_is_a_metric((rows, cols, data) in matrix()) {
        let codes = Codes::from_dense(MatRef::new(&data, rows, cols).unwrap()).unwrap();
        let d = ops::search::distances(codes.as_ref(), codes.as_ref()).unwrap();
        let d = |a: usize, b: usize| d[a * rows + b];
        for a in 0..rows {
            prop_assert_eq!(d(a, a), 0);
            for b in 0..rows.min(12) {
                prop_assert_eq!(d(a, b), d(b, a));
                for c in 0..rows.min(12) {
                    prop_assert!(d(a, c) <= d(a, b) + d(b, c));
                }
            }
        }
    }
}
