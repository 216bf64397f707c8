//! Promises of `ops::stats`.

use crate::common::naive;
use crate::common::patterns::{ALL, Pattern};
use approx::assert_relative_eq;
use bihalf::{Codes, Error, MatRef, ops::stats};

fn codes(dense: &[f64], rows: usize, bits: usize) -> Codes {
    Codes::from_dense(MatRef::new(dense, rows, bits).unwrap()).unwrap()
}

#[test]
fn p_plus_and_entropy_of_known_bits() {
    let dense = [1.0, -1.0, 1.0, 1.0, 1.0, 1.0, -1.0, -1.0, 1.0, -1.0, -1.0, 1.0];
    let codes = codes(&dense, 4, 3); // bits are +1 in 2, 1 and 4 of 4 rows
    assert_eq!(stats::ones(codes.as_ref()).unwrap(), [2, 1, 4]);
    assert_eq!(stats::p_plus(codes.as_ref()).unwrap(), [0.5, 0.25, 1.0]);
    let quarter = 0.25 * 2.0 + 0.75 * (4.0f64 / 3.0).log2();
    let entropy = stats::bit_entropy(codes.as_ref()).unwrap();
    assert_relative_eq!(entropy[1], quarter, max_relative = 1e-15);
    assert_eq!((entropy[0], entropy[2]), (1.0, 0.0));
    let mut into = [9.0; 3];
    stats::bit_entropy_into(codes.as_ref(), &mut into).unwrap();
    assert_eq!(into[..], entropy);
    let error = stats::p_plus_into(codes.as_ref(), &mut into[..2]).unwrap_err();
    assert!(matches!(error, Error::Length { expected: 3, got: 2, .. }), "{error}");
    assert_eq!(into[..], entropy);
}

#[test]
fn statistics_of_nothing() {
    let none = Codes::zeros(0, 3).unwrap();
    assert_eq!(stats::ones(none.as_ref()).unwrap(), [0; 3]);
    assert!(stats::p_plus(none.as_ref()).unwrap().into_iter().all(f64::is_nan));
    assert_eq!(stats::bit_entropy(none.as_ref()).unwrap(), [0.0; 3]);
    assert_eq!(stats::mean_abs_correlation(none.as_ref()).unwrap(), None);
    assert_eq!(stats::distinct(none.as_ref()).unwrap(), 0);
    assert_eq!(stats::distinct(Codes::zeros(5, 0).unwrap().as_ref()).unwrap(), 1);
    assert_eq!(stats::mean_abs_correlation(Codes::zeros(5, 1).unwrap().as_ref()).unwrap(), None);
}

#[test]
fn correlation_equals_pearson_of_the_dense_bits() {
    for (rows, bits) in [(3, 2), (64, 5), (65, 7), (200, 9)] {
        let random: Vec<f64> = Pattern::Random.fill((rows, bits), 1);
        let mut dense = naive::sign(&random, bits, None);
        (0..rows).for_each(|i| dense[i * bits] = 1.0); // a bit that never changes is left out
        let column = |j: usize| dense.iter().skip(j).step_by(bits).copied().collect::<Vec<_>>();
        let centred = |j: usize| {
            let c = column(j);
            let mean = c.iter().sum::<f64>() / rows as f64;
            c.into_iter().map(|x| x - mean).collect::<Vec<_>>()
        };
        let varies = |j: &usize| centred(*j).iter().any(|x| x.abs() > 1e-9);
        let columns: Vec<usize> = (0..bits).filter(varies).collect();
        let mut all = Vec::new();
        for (n, &j) in columns.iter().enumerate() {
            all.extend(
                columns[n + 1..].iter().map(|&l| naive::cosine(&centred(j), &centred(l)).abs()),
            );
        }
        let got = stats::mean_abs_correlation(codes(&dense, rows, bits).as_ref()).unwrap();
        if all.is_empty() {
            assert_eq!(got, None);
        } else {
            let expected = all.iter().sum::<f64>() / all.len() as f64;
            assert_relative_eq!(got.unwrap(), expected, max_relative = 1e-12, epsilon = 1e-12);
        }
    }
}

#[test]
fn distinct_counts_different_rows() {
    let dense: Vec<f64> = Pattern::Random.fill((300, 6), 3);
    let rows: std::collections::HashSet<Vec<bool>> =
        dense.chunks(6).map(|row| row.iter().map(|&x| x > 0.0).collect()).collect();
    assert_eq!(stats::distinct(codes(&dense, 300, 6).as_ref()).unwrap(), rows.len());
}

#[test]
fn histogram_counts_every_value_once() {
    for pattern in ALL {
        let u: Vec<f32> = pattern.fill((200, 3), 1);
        let h = stats::histogram(MatRef::new(&u, 200, 3).unwrap(), -1.0, 1.0, 8).unwrap();
        for j in 0..3 {
            let inside: u64 = h.column(j).iter().sum();
            assert_eq!(inside + h.below[j] + h.above[j] + h.nan[j], 200, "{pattern:?}");
            let column = || u.iter().skip(j).step_by(3);
            assert_eq!((h.bins(), h.edge(0), h.edge(8)), (8, -1.0, 1.0));
            assert_eq!(h.nan[j], column().filter(|x| x.is_nan()).count() as u64);
            assert_eq!(h.below[j], column().filter(|&&x| x < -1.0).count() as u64);
            for (bin, &count) in h.column(j).iter().enumerate() {
                let lo = -1.0 + 0.25 * bin as f32;
                let is_in = |&&x: &&f32| x >= lo && (x < lo + 0.25 || (bin == 7 && x == 1.0));
                assert_eq!(count, column().filter(is_in).count() as u64, "{pattern:?} bin {bin}");
            }
        }
    }
}

#[test]
fn a_broadcast_column_has_the_statistics_of_each_copy() {
    let u: Vec<f32> = Pattern::Random.fill((70, 1), 3);
    let alone = MatRef::new(&u, 70, 1).unwrap();
    let spread = MatRef::with_strides(&u, 70, 18, 1, 0).unwrap();
    let cost = stats::transport_cost(alone).unwrap()[0];
    assert_eq!(stats::transport_cost(spread).unwrap(), [cost; 18]);
    let [alone, spread] = [alone, spread].map(|u| stats::histogram(u, -1.0, 1.0, 4).unwrap());
    assert!((0..18).all(|j| spread.column(j) == alone.column(0)));
    assert_eq!(spread.below, [alone.below[0]; 18]);
}

#[test]
fn histogram_adds_up_over_batches() {
    let u: Vec<f32> = Pattern::WithInf.fill((50, 2), 4);
    let whole = stats::histogram(MatRef::new(&u, 50, 2).unwrap(), -2.0, 2.0, 5).unwrap();
    let mut parts = stats::Histogram::new(2, -2.0, 2.0, 5).unwrap();
    parts.add(MatRef::new(&u[..40], 20, 2).unwrap()).unwrap();
    parts.add(MatRef::new(&u[40..], 30, 2).unwrap()).unwrap();
    assert_eq!(parts, whole);
    let error = parts.add(MatRef::new(&u[..60], 20, 3).unwrap()).unwrap_err();
    assert!(matches!(error, Error::Length { expected: 3, got: 2, .. }), "{error}");
    assert_eq!(parts, whole);
}

#[test]
fn histogram_refuses_ranges_without_width() {
    let u = MatRef::new(&[0.0f32], 1, 1).unwrap();
    for (lo, hi, bins) in
        [(1.0, 1.0, 4), (1.0, 0.0, 4), (f64::NAN, 1.0, 4), (0.0, f64::INFINITY, 4), (0.0, 1.0, 0)]
    {
        let error = stats::histogram(u, lo, hi, bins).unwrap_err();
        assert!(matches!(error, Error::Parameter { .. }), "{error}");
    }
}

#[test]
fn transport_cost_is_the_least_over_all_half_half_targets() {
    // Every way to give two of four rows +1: the optimal assignment is Bi-half's.
    let u: Vec<f64> = Pattern::Random.fill((4, 3), 7);
    let cost = stats::transport_cost(MatRef::new(&u, 4, 3).unwrap()).unwrap();
    for j in 0..3 {
        let of = |mask: u32| {
            let target = |i: usize| if mask >> i & 1 == 1 { 1.0 } else { -1.0 };
            (0..4).map(|i| (u[i * 3 + j] - target(i)).powi(2)).sum::<f64>() / 4.0
        };
        let masks = (0u32..16).filter(|mask| mask.count_ones() == 2);
        let least = masks.map(of).fold(f64::INFINITY, f64::min);
        assert_relative_eq!(cost[j], least, max_relative = 1e-12);
    }
    let one = MatRef::new(&[0.5f64], 1, 1).unwrap();
    assert_eq!(
        stats::transport_cost(one).unwrap(),
        [2.25],
        "one row has floor(1 / 2) = 0 times +1"
    );
    let b = MatRef::new(&[1.0f32, -1.0, -1.0, 1.0], 4, 1).unwrap();
    assert_eq!(stats::transport_cost(b).unwrap(), [0.0]);
    let none = MatRef::<f32>::new(&[], 0, 2).unwrap();
    assert!(stats::transport_cost(none).unwrap().into_iter().all(f64::is_nan));
}
