//! Properties that hold for any input, found by random search with shrinking.

use bihalf::{Codes, MatRef, Ones, Order, Pull, Signs, ops};
use proptest::prelude::*;

/// A matrix of any bit patterns, NaN and denormals included, with many repeated values.
fn matrix() -> impl Strategy<Value = (usize, usize, Vec<f32>)> {
    let value = prop_oneof![
        any::<u32>().prop_map(f32::from_bits),
        prop::sample::select(vec![0.0f32, -0.0, 1.0, -1.0, f32::INFINITY, f32::NAN]),
    ];
    (0usize..40, 0usize..70).prop_flat_map(move |(rows, cols)| {
        let data = prop::collection::vec(value.clone(), rows * cols);
        data.prop_map(move |data| (rows, cols, data))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..Default::default() })]

    #[test]
    fn argsort_is_a_permutation_and_rank_its_inverse((rows, cols, data) in matrix()) {
        let u = MatRef::new(&data, rows, cols).unwrap();
        for order in [Order::Ascending, Order::Descending] {
            let rank = ops::rank::rank(u, order).unwrap();
            let argsort = ops::rank::argsort(u, order).unwrap();
            for j in 0..cols {
                for place in 0..rows {
                    let row = argsort[place * cols + j] as usize;
                    prop_assert_eq!(rank[row * cols + j] as usize, place);
                }
            }
        }
    }

    #[test]
    fn exactly_k_become_one_and_none_of_them_is_less_than_another((rows, cols, data) in matrix(), f in 0.0..=1.0f64) {
        let u = MatRef::new(&data, rows, cols).unwrap();
        let k = Ones::Fraction(f).count(rows).unwrap();
        let b = ops::bihalf::forward(u, Ones::Count(k)).unwrap();
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
    }

    #[test]
    fn a_bihalf_code_is_a_fixed_point((rows, cols, data) in matrix()) {
        let u = MatRef::new(&data, rows, cols).unwrap();
        let b = ops::bihalf::forward(u, Ones::Half).unwrap();
        let b = MatRef::new(&b, rows, cols).unwrap();
        prop_assert_eq!(ops::bihalf::forward(b, Ones::Half).unwrap(), b.to_vec());
        // There the pull of the backward pass is zero.
        let zero = vec![0.0; rows * cols];
        let zero = MatRef::new(&zero, rows, cols).unwrap();
        let du = ops::bihalf::backward(b, Signs::Dense(b), zero, Pull::new(6.0)).unwrap();
        prop_assert_eq!(du, zero.to_vec());
    }

    #[test]
    fn packed_codes_come_back_from_bytes_and_dense((rows, cols, data) in matrix()) {
        let codes = Codes::from_dense(MatRef::new(&data, rows, cols).unwrap()).unwrap();
        let dense: Vec<f32> = codes.to_dense();
        prop_assert_eq!(&Codes::from_dense(MatRef::new(&dense, rows, cols).unwrap()).unwrap(), &codes);
        prop_assert_eq!(&Codes::from_bytes(&codes.to_bytes(), rows, cols).unwrap(), &codes);
        let ones: u32 = ops::stats::ones(codes.as_ref()).iter().sum();
        let popcount: u32 = codes.as_ref().words().iter().map(|w| w.count_ones()).sum();
        prop_assert_eq!(ones, popcount, "pad bits are 0");
    }

    #[test]
    fn hamming_distance_is_a_metric((rows, cols, data) in matrix()) {
        let codes = Codes::from_dense(MatRef::new(&data, rows, cols).unwrap()).unwrap();
        let d = ops::retrieval::hamming(codes.as_ref(), codes.as_ref()).unwrap();
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
