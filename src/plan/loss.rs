//! Plans of the losses: one block a pair, a tile or in all.

use super::{Kernel, Launch, Limits, tiles, walk};

/// The launches of the cosine loss for a batch of `rows` rows: targets, pairs, mean. There are
/// `rows / 2` pairs; without one only the second is launched, to clear the gradient of a row alone.
pub fn cosine(rows: u32) -> [Launch; 3] {
    let pairs = rows / 2;
    [
        Launch { kernel: Kernel::CosineTargets, grid: (pairs, 1), shared_bytes: 0 },
        Launch { kernel: Kernel::CosinePairs, grid: (pairs.max(1), 1), shared_bytes: 0 },
        mean(),
    ]
}

fn mean() -> Launch {
    Launch { kernel: Kernel::LossMean, grid: (1, 1), shared_bytes: 0 }
}

/// Bytes of workspace of the cosine loss: a number for each pair.
pub fn cosine_workspace_bytes(rows: usize) -> usize {
    rows / 2 * size_of::<f64>()
}

/// The launches of the entropy penalty: means of the columns, gradient, mean of their squares.
pub fn penalty(rows: u32, cols: u32, limits: &Limits) -> [Launch; 3] {
    let means = Launch { kernel: Kernel::PenaltyMeans, grid: (tiles(cols), 1), shared_bytes: 0 };
    [means, walk(Kernel::PenaltyGrad, rows, cols, limits), mean()]
}

/// Bytes of workspace of the entropy penalty: a number for each column.
pub fn penalty_workspace_bytes(cols: usize) -> usize {
    cols * size_of::<f64>()
}
