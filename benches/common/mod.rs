//! Shapes, data and names.

mod random;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use std::time::Duration;

/// The paper's training batch, a larger one, an epoch's worth, and more columns than rows.
pub const SHAPES: [(usize, usize); 4] = [(32, 64), (1024, 64), (16384, 64), (256, 256)];

/// Roughly normal numbers, the same on every run.
pub fn random((rows, cols): (usize, usize)) -> Vec<f32> {
    random::random(rows * cols)
}

/// A group whose times are given for each of `elements`.
pub fn group<'a>(
    c: &'a mut Criterion,
    operation: &str,
    elements: usize,
) -> BenchmarkGroup<'a, WallTime> {
    let mut group = c.benchmark_group(operation);
    group.throughput(Throughput::Elements(elements as u64));
    group.sample_size(20).warm_up_time(Duration::from_millis(300));
    group.measurement_time(Duration::from_secs(1));
    group
}

pub fn id(implementation: &str, (rows, cols): (usize, usize)) -> BenchmarkId {
    BenchmarkId::new(format!("{implementation}/f32"), format!("{rows}x{cols}"))
}
