//! Plans of the losses: one launch each, a block a pair or a tile, each of which leaves a number in
//! the workspace.

use super::{Kernel, Launch, Limits, tiles, walk};

/// The launch of the cosine loss for a batch of `rows` rows: a block for each of its `rows / 2`
/// pairs, and one where there is none, for the loss and for the gradient of a row alone.
pub fn cosine(rows: u32) -> Launch {
    pairs(Kernel::CosineDense, rows)
}

/// The launch of the cosine loss of packed codes: the same grid.
pub fn cosine_packed(rows: u32) -> Launch {
    pairs(Kernel::CosinePacked, rows)
}

fn pairs(kernel: Kernel, rows: u32) -> Launch {
    Launch { kernel, grid: ((rows / 2).max(1), 1), shared_bytes: 0 }
}

/// The launch of the backward pass from packed codes, whose warps walk down pairs of rows.
pub fn cosine_backward(rows: u32, cols: u32, limits: &Limits) -> Launch {
    walk(Kernel::CosineBackward, rows.div_ceil(2), cols, limits)
}

/// Bytes of workspace of the cosine loss: a number for each block.
pub fn cosine_workspace_bytes(rows: usize) -> usize {
    (rows / 2).max(1) * size_of::<f64>()
}

/// The launch of the entropy penalty: a block for each tile of columns.
pub fn penalty(cols: u32) -> Launch {
    Launch { kernel: Kernel::EntropyPenalty, grid: (tiles(cols), 1), shared_bytes: 0 }
}

/// Bytes of workspace of the entropy penalty: a number for each tile of 32 columns.
pub fn penalty_workspace_bytes(cols: usize) -> usize {
    cols.div_ceil(super::WARP as usize) * size_of::<f64>()
}
