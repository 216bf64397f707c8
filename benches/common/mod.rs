//! Shapes, data and names.

mod random;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use std::time::Duration;

/// Training batches, the paper's among them, and more columns than rows.
const SMALL: [(usize, usize); 5] = [(32, 16), (32, 64), (128, 64), (256, 256), (1024, 64)];

/// Large batches and a small data set.
const MEDIUM: [(usize, usize); 2] = [(4096, 128), (16_384, 256)];

/// Data sets: what is compared takes up to half a minute a call.
const LARGE: [(usize, usize); 2] = [(65_536, 512), (1 << 20, 64)];

/// The shapes of most benchmarks: where they only check themselves (`--test`), the small ones; the
/// large ones if `BIHALF_BENCH_LARGE` is set.
pub fn shapes() -> impl Iterator<Item = (usize, usize)> {
    let medium = !std::env::args().any(|argument| argument == "--test");
    let large = std::env::var_os("BIHALF_BENCH_LARGE").is_some();
    SMALL
        .into_iter()
        .chain(MEDIUM.into_iter().filter(move |_| medium))
        .chain(LARGE.into_iter().filter(move |_| large))
}

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
