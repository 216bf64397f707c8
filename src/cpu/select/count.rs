//! Levels of a tile, a vector a row, and what is counted of them.

use crate::cpu::simd::{Isa, Ordered, Vector};

/// Less than any level of an element.
pub(super) const BELOW: i16 = i16::MIN;
/// The greatest level.
pub(super) const TOP: i16 = i16::MAX;

/// Rows that are counted in lanes of 16 bits.
pub(super) const BLOCK: usize = 32_764;

/// Levels above `at`.
#[inline(always)]
pub(super) fn count<I: Isa>(isa: I, tile: &[I::I16], at: I::I16) -> I::I32 {
    /// Rows whose counts do not depend on each other.
    const ROWS: usize = 4;
    let mut sum = I::I32::splat(isa, 0);
    for block in tile.chunks(BLOCK) {
        let mut counts = [I::I16::splat(isa, 0); ROWS];
        let mut rows = block.chunks_exact(ROWS);
        for levels in rows.by_ref() {
            for (count, level) in counts.iter_mut().zip(levels) {
                *count = count.count(level.gt(at));
            }
        }
        for level in rows.remainder() {
            counts[0] = counts[0].count(level.gt(at));
        }
        let count = counts[0].add(counts[1]).add(counts[2].add(counts[3]));
        sum = sum.add(isa.widen(count));
    }
    sum
}

/// Levels above `at`, the greatest level up to it and the least one beyond.
#[inline(always)]
pub(super) fn count_with_neighbours<I: Isa>(
    isa: I,
    tile: &[I::I16],
    at: I::I16,
) -> (I::I32, I::I16, I::I16) {
    let (least, greatest) = (I::I16::splat(isa, BELOW), I::I16::splat(isa, TOP));
    let (mut up_to, mut beyond) = (least, greatest);
    let mut sum = I::I32::splat(isa, 0);
    for block in tile.chunks(BLOCK) {
        let mut above = I::I16::splat(isa, 0);
        for &level in block {
            let is_above = level.gt(at);
            above = above.count(is_above);
            up_to = up_to.max(is_above.select(least, level));
            beyond = beyond.min(is_above.select(level, greatest));
        }
        sum = sum.add(isa.widen(above));
    }
    (sum, up_to, beyond)
}
