//! Kernels whose warps walk down the rows of a tile of 32 columns.

use super::{DType, Kernel, Launch, Limits, WARP, WARPS, tiles};
use crate::codes::{WORD_BITS, words_per_row};

/// Rows that a warp walks down before another block is worth its start.
const ROWS_OF_WARP: u32 = 4;
/// Vectors that a lane goes through before another block is worth its start.
const VECTORS_OF_LANE: u32 = 2;

/// The launch of a kernel that reads or writes every element once.
pub fn walk(kernel: Kernel, rows: u32, cols: u32, limits: &Limits) -> Launch {
    let blocks = rows.div_ceil(ROWS_OF_WARP * WARPS).clamp(1, limits.grid_y);
    Launch { kernel, grid: (tiles(cols), blocks), shared_bytes: 0 }
}

/// [`walk`], with a tile for each half of a packed word: pad bits are written too.
pub fn walk_words(kernel: Kernel, rows: u32, bits: u32, limits: &Limits) -> Launch {
    walk(kernel, rows, padded(bits), limits)
}

/// Bytes of a vector: the most that one thread reads or writes at once.
pub const VECTOR_BYTES: usize = 16;

/// The launch of a kernel that goes through rows by vectors of 16 bytes, and the binary logarithm
/// of the lanes that share a row: as many as cover it, but a warp at most.
pub fn by_vectors(
    kernel: Kernel,
    (rows, cols): (u32, u32),
    dtype: DType,
    limits: &Limits,
) -> (Launch, u32) {
    let vectors = cols.div_ceil((VECTOR_BYTES * 8) as u32 / dtype.key_bits());
    let lanes = vectors.next_power_of_two().min(WARP);
    let rows_of_block = WARPS * WARP / lanes;
    let blocks = rows.div_ceil(VECTORS_OF_LANE * rows_of_block).clamp(1, limits.grid_y);
    let launch = Launch { kernel, grid: (vectors.div_ceil(lanes), blocks), shared_bytes: 0 };
    (launch, lanes.ilog2())
}

/// Columns with those that only pad the last word of packed codes.
pub(super) fn padded(bits: u32) -> u32 {
    // At most 2^32 - 1 bits give at most 2^26 words.
    (words_per_row(bits as usize) as u32).saturating_mul(WORD_BITS as u32)
}
