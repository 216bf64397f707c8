//! Statistics of codes against the same on dense values.

use crate::common::{group, id, random, shapes};
use bihalf::ops::stats;
use bihalf::{Codes, MatRef};
use criterion::Criterion;
use std::hint::black_box;

fn ones_of_dense(b: &[f32], cols: usize) -> Vec<u32> {
    let mut counts = vec![0; cols];
    for row in b.chunks(cols) {
        counts.iter_mut().zip(row).for_each(|(n, &b)| *n += u32::from(b > 0.0));
    }
    counts
}

pub fn bench(c: &mut Criterion) {
    for shape in shapes() {
        let (rows, cols) = shape;
        let data = random(shape);
        let u = MatRef::new(&data, rows, cols).unwrap();
        let codes = Codes::from_dense(u).unwrap();
        assert_eq!(stats::ones(codes.as_ref()).unwrap(), ones_of_dense(&data, cols));
        let histogram = stats::histogram(u, -3.0, 3.0, 60).unwrap();
        let counted: u64 = (0..cols).flat_map(|j| histogram.column(j)).sum();
        assert_eq!(counted, (rows * cols) as u64, "values lie within -3..3");
        assert!(stats::mean_abs_correlation(codes.as_ref()).unwrap().is_some_and(|r| r < 0.5));
        assert!(stats::transport_cost(u).unwrap().iter().all(|&cost| cost > 0.0));

        let mut g = group(c, "stats", rows * cols);
        g.bench_function(id("ones", shape), |b| {
            b.iter(|| stats::ones(black_box(codes.as_ref())).unwrap())
        });
        g.bench_function(id("ones_of_dense", shape), |b| {
            b.iter(|| ones_of_dense(black_box(&data), cols));
        });
        g.bench_function(id("correlation", shape), |b| {
            b.iter(|| stats::mean_abs_correlation(black_box(codes.as_ref())).unwrap());
        });
        g.bench_function(id("histogram", shape), |b| {
            b.iter(|| stats::histogram(black_box(u), -3.0, 3.0, 60).unwrap());
        });
        g.bench_function(id("transport_cost", shape), |b| {
            b.iter(|| stats::transport_cost(black_box(u)).unwrap());
        });
        g.finish();
    }
}
