//! Levels of a tile, a vector a row, and what is counted of them.

use super::GROUP;
use crate::cpu::simd::{Isa, Vector};

/// Less than any level of an element.
pub(super) const BELOW: i16 = i16::MIN;
/// The greatest level.
pub(super) const TOP: i16 = i16::MAX;

/// Rows that are counted in lanes of 16 bits.
pub(super) const BLOCK: usize = 32_764;

/// A vector for the lower eight columns and one for the upper eight.
pub(super) type Pair<V> = [V; 2];

#[inline(always)]
pub(super) fn load<I: Isa>(isa: I, lanes: &[i32; GROUP]) -> Pair<I::I32> {
    [I::I32::load(isa, &lanes[..8]), I::I32::load(isa, &lanes[8..])]
}

#[inline(always)]
pub(super) fn store<I: Isa>(vectors: Pair<I::I32>) -> [i32; GROUP] {
    let mut lanes = [0; GROUP];
    vectors[0].store(&mut lanes[..8]);
    vectors[1].store(&mut lanes[8..]);
    lanes
}

/// The mask of the columns that have a bit.
#[inline(always)]
pub(super) fn mask_of<I: Isa>(isa: I, columns: u32) -> I::I16 {
    let mut mask = [0; GROUP];
    for l in 0..GROUP {
        mask[l] = -((columns >> l & 1) as i16);
    }
    Vector::load(isa, &mask)
}

/// Adds counts of 16 bits.
#[inline(always)]
pub(super) fn add_counts<I: Isa>(isa: I, sum: &mut Pair<I::I32>, counts: I::I16) {
    let counts = isa.widen(counts);
    for j in 0..2 {
        sum[j] = sum[j].add(counts[j]);
    }
}

/// Levels above `at`.
#[inline(always)]
pub(super) fn count<I: Isa>(isa: I, tile: &[I::I16], at: I::I16) -> Pair<I::I32> {
    /// Rows whose counts do not depend on each other.
    const ROWS: usize = 4;
    let zero = I::I16::splat(isa, 0);
    let mut sum = [I::I32::splat(isa, 0); 2];
    for block in tile.chunks(BLOCK) {
        let mut above = [zero; ROWS];
        let mut rows = block.chunks_exact(ROWS);
        for levels in rows.by_ref() {
            for r in 0..ROWS {
                above[r] = above[r].sub(levels[r].gt(at));
            }
        }
        for level in rows.remainder() {
            above[0] = above[0].sub(level.gt(at));
        }
        let above = above[0].add(above[1]).add(above[2].add(above[3]));
        add_counts(isa, &mut sum, above);
    }
    sum
}

/// Levels above `at`, the greatest level up to it and the least one beyond.
#[inline(always)]
pub(super) fn count_with_neighbours<I: Isa>(
    isa: I,
    tile: &[I::I16],
    at: I::I16,
) -> (Pair<I::I32>, I::I16, I::I16) {
    let (least, greatest) = (I::I16::splat(isa, BELOW), I::I16::splat(isa, TOP));
    let (mut up_to, mut beyond) = (least, greatest);
    let mut sum = [I::I32::splat(isa, 0); 2];
    for block in tile.chunks(BLOCK) {
        let mut above = I::I16::splat(isa, 0);
        for &level in block {
            let is_above = level.gt(at);
            above = above.sub(is_above);
            up_to = up_to.max(is_above.select(least, level));
            beyond = beyond.min(is_above.select(level, greatest));
        }
        add_counts(isa, &mut sum, above);
    }
    (sum, up_to, beyond)
}
