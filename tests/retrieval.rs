//! Promises of `ops::retrieval`.

use crate::common::naive;
use crate::common::patterns::{Pattern, Rng};
use approx::assert_relative_eq;
use bihalf::ops::retrieval::{Labels, Retrieval};
use bihalf::{Codes, CodesRef, Error, MatRef};

fn random_codes(rows: usize, bits: usize, seed: u64) -> (Vec<f64>, Codes) {
    let random: Vec<f64> = Pattern::Random.fill((rows, bits), seed);
    let codes = Codes::from_dense(MatRef::new(&random, rows, bits).unwrap()).unwrap();
    (naive::sign(&random, bits, None), codes)
}

fn random_labels(n: usize, classes: usize, seed: u64) -> Vec<u32> {
    let mut rng = Rng::new(seed);
    (0..n).map(|_| rng.below(classes) as u32).collect()
}

fn naive_distances(q: &[f64], d: &[f64], bits: usize, q_rows: usize, d_rows: usize) -> Vec<u32> {
    let row = |m: &[f64], i: usize| m[i * bits..(i + 1) * bits].to_vec();
    let differ = |n: usize| {
        let (a, b) = (row(q, n / d_rows), row(d, n % d_rows));
        a.iter().zip(&b).filter(|(a, b)| a != b).count() as u32
    };
    (0..q_rows * d_rows).map(differ).collect()
}

/// Relevance in ranked order for each query, by sorting pairs.
fn ranked_relevance(
    distances: &[u32],
    d_rows: usize,
    relevant: impl Fn(usize, usize) -> bool,
) -> Vec<Vec<bool>> {
    let of = |(q, distances): (usize, &[u32])| {
        let mut order: Vec<usize> = (0..d_rows).collect();
        order.sort_by_key(|&i| (distances[i], i));
        order.into_iter().map(|i| relevant(q, i)).collect()
    };
    distances.chunks(d_rows).enumerate().map(of).collect()
}

#[test]
fn measures_equal_the_oracle() {
    for (bits, classes) in [(4, 3), (16, 3), (65, 40)] {
        let ((q, queries), (d, database)) = (random_codes(12, bits, 3), random_codes(50, bits, 4));
        let (q_labels, d_labels) = (random_labels(12, classes, 5), random_labels(50, classes, 6));
        let distances = naive_distances(&q, &d, bits, 12, 50);
        let ranked: Vec<Vec<bool>> =
            ranked_relevance(&distances, 50, |q, i| q_labels[q] == d_labels[i])
                .into_iter()
                .filter(|ranked| ranked.contains(&true))
                .collect();
        let r = Retrieval::new(
            queries.as_ref(),
            database.as_ref(),
            Labels::Single(&q_labels),
            Labels::Single(&d_labels),
        )
        .unwrap();
        assert_eq!(r.evaluated_queries(), ranked.len());
        let mean = |f: &dyn Fn(&[bool]) -> f64| {
            ranked.iter().map(|ranked| f(ranked)).sum::<f64>() / ranked.len() as f64
        };

        let map = mean(&|r| naive::average_precision(r, 50));
        assert_relative_eq!(r.mean_average_precision().unwrap(), map, max_relative = 1e-12);
        for k in [1, 10, 50, 1000] {
            let map = mean(&|r| naive::average_precision(r, k));
            let got = r.mean_average_precision_at(k).unwrap();
            assert_relative_eq!(got, map, max_relative = 1e-12);
        }
        for n in [1, 7, 50] {
            let hits = |r: &[bool]| r[..n].iter().filter(|&&hit| hit).count() as f64 / n as f64;
            assert_relative_eq!(r.precision_at(n).unwrap(), mean(&hits), max_relative = 1e-12);
        }

        let curve = r.precision_recall_curve().unwrap();
        assert_eq!(curve.len(), bits + 1);
        for (radius, point) in curve.iter().enumerate() {
            assert_eq!(point.radius, radius);
            let (mut precision, mut recall, mut zero_if_empty) =
                (Vec::new(), Vec::new(), Vec::new());
            for q in 0..12 {
                let relevant = |i: &usize| q_labels[q] == d_labels[*i];
                let all = (0..50).filter(relevant).count();
                if all == 0 {
                    continue;
                }
                let near: Vec<usize> =
                    (0..50).filter(|&i| distances[q * 50 + i] as usize <= radius).collect();
                let hits = near.iter().filter(|&&i| relevant(&i)).count() as f64;
                recall.push(hits / all as f64);
                zero_if_empty.push(if near.is_empty() { 0.0 } else { hits / near.len() as f64 });
                if !near.is_empty() {
                    precision.push(hits / near.len() as f64);
                }
            }
            let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
            assert_relative_eq!(point.recall, mean(&recall), max_relative = 1e-12);
            if precision.is_empty() {
                assert!(point.precision.is_nan());
            } else {
                assert_relative_eq!(point.precision, mean(&precision), max_relative = 1e-12);
            }
            let within = r.precision_within_radius(radius).unwrap();
            assert_relative_eq!(within, mean(&zero_if_empty), max_relative = 1e-12);
        }
        assert_eq!(curve[bits].recall, 1.0);
    }
}

/// All orders of `items`, by Heap's algorithm without its cleverness.
fn permutations(items: Vec<usize>) -> Vec<Vec<usize>> {
    if items.is_empty() {
        return vec![vec![]];
    }
    let mut all = Vec::new();
    for n in 0..items.len() {
        let mut rest = items.clone();
        let first = rest.remove(n);
        all.extend(permutations(rest).into_iter().map(|mut tail| {
            tail.insert(0, first);
            tail
        }));
    }
    all
}

#[test]
fn expected_map_is_the_mean_over_all_orders_of_the_database() {
    for seed in 0..6 {
        let ((_, queries), (d, _)) = (random_codes(3, 2, seed), random_codes(6, 2, seed + 50));
        let (q_labels, d_labels) = (random_labels(3, 2, seed), random_labels(6, 2, seed + 1));
        if d_labels.iter().all(|&l| l == d_labels[0]) && q_labels.iter().all(|&l| l != d_labels[0])
        {
            continue;
        }
        let (mut maps, mut expected) = (Vec::new(), Vec::new());
        for order in permutations((0..6).collect()) {
            let dense: Vec<f64> =
                order.iter().flat_map(|&i| d[i * 2..i * 2 + 2].to_vec()).collect();
            let labels: Vec<u32> = order.iter().map(|&i| d_labels[i]).collect();
            let database = Codes::from_dense(MatRef::new(&dense, 6, 2).unwrap()).unwrap();
            let r = Retrieval::new(
                queries.as_ref(),
                database.as_ref(),
                Labels::Single(&q_labels),
                Labels::Single(&labels),
            )
            .unwrap();
            maps.push(r.mean_average_precision().unwrap());
            expected.push(r.expected_mean_average_precision().unwrap());
        }
        let mean = maps.iter().sum::<f64>() / maps.len() as f64;
        assert_relative_eq!(expected[0], mean, max_relative = 1e-12);
        assert!(expected.iter().all(|&e| e == expected[0]), "depends on the database's order");
    }
}

#[test]
fn multi_labels_are_relevant_when_they_share_a_class() {
    let queries = Codes::from_bytes(&[0b0, 0b1], 2, 1).unwrap();
    let database = Codes::from_bytes(&[0b0, 0b1, 0b0], 3, 1).unwrap();
    let q_labels = Codes::from_bytes(&[0b011, 0b100], 2, 3).unwrap();
    let d_labels = Codes::from_bytes(&[0b010, 0b001, 0b000], 3, 3).unwrap();
    let r = Retrieval::new(
        queries.as_ref(),
        database.as_ref(),
        Labels::Multi(q_labels.as_ref()),
        Labels::Multi(d_labels.as_ref()),
    )
    .unwrap();
    assert_eq!(r.evaluated_queries(), 1); // nothing has class 2
    assert_eq!(r.mean_average_precision().unwrap(), (1.0 + 2.0 / 3.0) / 2.0); // ranking 0, 2, 1
}

#[test]
fn measures_without_a_query_are_nan() {
    let (queries, database) = (Codes::zeros(1, 4).unwrap(), Codes::zeros(0, 4).unwrap());
    let r = Retrieval::new(
        queries.as_ref(),
        database.as_ref(),
        Labels::Single(&[1]),
        Labels::Single(&[]),
    )
    .unwrap();
    assert_eq!(r.evaluated_queries(), 0);
    assert!(r.mean_average_precision().unwrap().is_nan());
    assert!(r.expected_mean_average_precision().unwrap().is_nan());
    assert!(r.precision_within_radius(usize::MAX).unwrap().is_nan());
}

#[test]
fn codes_and_labels_that_do_not_belong_together_are_refused() {
    let codes = |rows, bits| Codes::zeros(rows, bits).unwrap();
    let (q, d) = (codes(2, 8), codes(3, 8));
    let (q, d) = (q.as_ref(), d.as_ref());
    fn new(q: CodesRef<'_>, d: CodesRef<'_>, ql: Labels<'_>, dl: Labels<'_>) -> Error {
        Retrieval::new(q, d, ql, dl).unwrap_err()
    }
    let (ql, dl) = (Labels::Single(&[1, 2]), Labels::Single(&[1, 2, 3]));

    let error = new(codes(2, 7).as_ref(), d, ql, dl);
    assert!(matches!(error, Error::Length { expected: 8, got: 7, .. }), "{error}");
    let error = new(q, d, Labels::Single(&[1]), dl);
    assert!(matches!(error, Error::Length { expected: 2, got: 1, .. }), "{error}");
    let error = new(q, d, ql, Labels::Single(&[1]));
    assert!(matches!(error, Error::Length { expected: 3, got: 1, .. }), "{error}");
    let multi = codes(3, 5);
    let error = new(q, d, ql, Labels::Multi(multi.as_ref()));
    assert!(matches!(error, Error::Parameter { .. }), "{error}");
    let two = codes(2, 4);
    let error = new(q, d, Labels::Multi(two.as_ref()), Labels::Multi(multi.as_ref()));
    assert!(matches!(error, Error::Length { expected: 5, got: 4, .. }), "{error}");

    let r = Retrieval::new(q, d, ql, dl).unwrap();
    assert!(r.mean_average_precision_at(0).is_err());
    assert!(r.precision_at(0).is_err() && r.precision_at(4).is_err());
}
