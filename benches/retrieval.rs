//! Hamming distances, rankings and mAP against the same on dense +1/-1 values.

use crate::common::{group, random};
use bihalf::ops::retrieval::{Labelled, Labels, Options, evaluate};
use bihalf::ops::search;
use bihalf::{Codes, MatRef, Workspace};
use criterion::Criterion;
use std::hint::black_box;

const QUERIES: usize = 20;
const ITEMS: usize = 10_000;
const BITS: usize = 64;

/// `(K - q . b) / 2`, as code on dense values does.
fn distances_of_dense(queries: &[f32], database: &[f32]) -> Vec<u32> {
    let distance = |q: &[f32], b: &[f32]| {
        let dot: f32 = q.iter().zip(b).map(|(q, b)| q * b).sum();
        ((BITS as f32 - dot) / 2.0) as u32
    };
    let row = |q| database.chunks(BITS).map(move |b| distance(q, b));
    queries.chunks(BITS).flat_map(row).collect()
}

pub fn bench(c: &mut Criterion) {
    let codes = |rows| {
        let data = random((rows, BITS));
        Codes::from_dense(MatRef::new(&data, rows, BITS).unwrap()).unwrap()
    };
    let (q_codes, d_codes) = (codes(QUERIES), codes(ITEMS));
    let (q_dense, d_dense): (Vec<f32>, Vec<f32>) =
        (q_codes.to_dense().unwrap(), d_codes.to_dense().unwrap());
    let (q, d) = (q_codes.as_ref(), d_codes.as_ref());
    let q_labels: Vec<u32> = (0..QUERIES as u32).map(|i| i % 10).collect();
    let d_labels: Vec<u32> = (0..ITEMS as u32).map(|i| i % 10).collect();
    let labelled = |codes, labels| Labelled::new(codes, Labels::Single(labels)).unwrap();
    let (queries, database) = (labelled(q, &q_labels), labelled(d, &d_labels));
    let options = &Options { cutoffs: &[100, 1000], ..Options::default() };

    let ws = &mut Workspace::new();
    let mut distances = vec![0; QUERIES * ITEMS];
    search::distances_into(q, d, &mut distances, ws).unwrap();
    assert_eq!(distances, distances_of_dense(&q_dense, &d_dense));
    let mut ranking = vec![0; QUERIES * ITEMS];
    search::rank_into(q, d, &mut ranking, ws).unwrap();
    let of_first_query = ranking[..ITEMS].iter().map(|&i| (distances[i as usize], i));
    assert!(of_first_query.is_sorted());
    let map = evaluate(queries, database, options).unwrap().by_index.map.mean;
    assert!((map - 0.1).abs() < 0.01, "codes are random: {map}");

    let (mut near, mut far) = (vec![0; QUERIES * 10], vec![0; QUERIES * 10]);

    let mut g = group(c, "retrieval", QUERIES * ITEMS);
    g.bench_function("nearest_10/cpu", |b| {
        b.iter(|| search::nearest_into(black_box(q), d, 10, &mut near, &mut far, ws).unwrap());
    });
    g.bench_function("distances/cpu", |b| {
        b.iter(|| search::distances_into(black_box(q), d, &mut distances, ws).unwrap());
    });
    g.bench_function("distances/dense_dot", |b| {
        b.iter(|| distances_of_dense(black_box(&q_dense), &d_dense));
    });
    g.bench_function("rank/cpu", |b| {
        b.iter(|| search::rank_into(black_box(q), d, &mut ranking, ws).unwrap());
    });
    g.bench_function("evaluate/cpu", |b| {
        b.iter(|| evaluate(black_box(queries), database, options).unwrap());
    });
    g.finish();
}
