//! Kernels whose warps walk down the rows of a tile of 32 columns.

use super::{Kernel, Launch, Limits, WARPS, tiles};
use crate::codes::{WORD_BITS, words_per_row};

/// Rows that a warp walks down before another block is worth its start.
const ROWS_OF_WARP: u32 = 4;

/// The launch of a kernel that reads or writes every element once.
pub fn walk(kernel: Kernel, rows: u32, cols: u32, limits: &Limits) -> Launch {
    let blocks = rows.div_ceil(ROWS_OF_WARP * WARPS).clamp(1, limits.grid_y);
    Launch { kernel, grid: (tiles(cols), blocks), shared_bytes: 0 }
}

/// [`walk`], with a tile for each half of a packed word: pad bits are written too.
pub fn walk_words(kernel: Kernel, rows: u32, bits: u32, limits: &Limits) -> Launch {
    walk(kernel, rows, padded(bits), limits)
}

/// Columns with those that only pad the last word of packed codes.
pub(super) fn padded(bits: u32) -> u32 {
    // At most 2^32 - 1 bits give at most 2^26 words.
    (words_per_row(bits as usize) as u32).saturating_mul(WORD_BITS as u32)
}
