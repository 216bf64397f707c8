//! Shapes, data and names.

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use std::time::Duration;

/// The paper's training batch, a larger one, an epoch's worth, and more columns than rows.
pub const SHAPES: [(usize, usize); 4] = [(32, 64), (1024, 64), (16384, 64), (256, 256)];

/// Roughly normal numbers, the same on every run.
pub fn random((rows, cols): (usize, usize)) -> Vec<f32> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut uniform = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u32 << 24) as f32
    };
    (0..rows * cols).map(|_| (0..6).map(|_| uniform()).sum::<f32>() - 3.0).collect()
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
