//! Levels of a group of 16 columns, and what is counted of them.

use super::GROUP;
use crate::cpu::simd::{Isa, Ordered, Vector, lanes_mut, single_rows, single_rows_mut};

/// The least level.
pub(super) const LEAST: i8 = i8::MIN;
/// The greatest level.
pub(super) const TOP: i8 = i8::MAX;
/// Less than any level.
pub(super) const BELOW: i32 = LEAST as i32 - 1;

/// Rows of a tile come in multiples of this: whole vectors, whatever their size.
pub(super) const UNIT: usize = 4;

/// Vectors that are counted in lanes of 8 bits; even, as a lane may count two at a time.
const MOST: usize = 126;

/// The levels of 16 columns, row by row. Pads behind the last row have the least level, so that no
/// count includes them.
pub(super) struct Tile<'a, I: Isa> {
    vectors: &'a mut [I::Rows],
    rows: usize,
}

impl<'a, I: Isa> Tile<'a, I> {
    /// How many vectors a tile takes.
    #[inline(always)]
    pub(super) fn vectors(rows: usize) -> usize {
        rows.next_multiple_of(UNIT) * GROUP / I::Rows::LANES
    }

    /// A tile in [`vectors`](Self::vectors) of memory; its levels are yet to be set.
    #[inline(always)]
    pub(super) fn new(isa: I, vectors: &'a mut [I::Rows], rows: usize) -> Self {
        single_rows_mut(isa, vectors)[rows..].fill(I::I8::splat(isa, LEAST));
        Self { vectors, rows }
    }

    #[inline(always)]
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// The levels of each row.
    #[inline(always)]
    pub(super) fn levels(&self, isa: I) -> &[I::I8] {
        &single_rows(isa, self.vectors)[..self.rows]
    }

    #[inline(always)]
    pub(super) fn levels_mut(&mut self, isa: I) -> &mut [I::I8] {
        &mut single_rows_mut(isa, self.vectors)[..self.rows]
    }

    /// The levels of several rows in turn, and of the pads.
    #[inline(always)]
    pub(super) fn together(&self) -> &[I::Rows] {
        self.vectors
    }

    #[inline(always)]
    pub(super) fn together_mut(&mut self) -> &mut [I::Rows] {
        self.vectors
    }

    /// One level.
    #[inline(always)]
    pub(super) fn set(&mut self, row: usize, column: usize, level: i8) {
        lanes_mut(self.vectors)[row * GROUP + column] = level;
    }
}

/// Levels above `at`.
#[inline(always)]
pub(super) fn count<I: Isa>(isa: I, tile: &[I::Rows], at: I::I8) -> I::I32 {
    /// Vectors at a time, in two counts that do not depend on each other.
    const AT_ONCE: usize = 4;
    let (zero, at) = (I::Rows::splat(isa, 0), isa.repeat(at));
    let mut sum = I::I32::splat(isa, 0);
    for block in tile.chunks(AT_ONCE * (MOST / 2)) {
        let mut counts = [zero; 2];
        let mut vectors = block.chunks_exact(AT_ONCE);
        for levels in vectors.by_ref() {
            counts[0] = counts[0].count(levels[0].gt(at)).count(levels[1].gt(at));
            counts[1] = counts[1].count(levels[2].gt(at)).count(levels[3].gt(at));
        }
        for levels in vectors.remainder() {
            counts[0] = counts[0].count(levels.gt(at));
        }
        sum = sum.add(isa.widen(isa.sum_rows(counts[0]).add(isa.sum_rows(counts[1]))));
    }
    sum
}

/// Levels above `at`, the greatest level up to it and the least one beyond.
#[inline(always)]
pub(super) fn count_with_neighbours<I: Isa>(
    isa: I,
    tile: &[I::Rows],
    at: I::I8,
) -> (I::I32, I::I8, I::I8) {
    let at = isa.repeat(at);
    let (least, greatest) = (I::Rows::splat(isa, LEAST), I::Rows::splat(isa, TOP));
    let (mut up_to, mut beyond) = (least, greatest);
    let mut sum = I::I32::splat(isa, 0);
    for block in tile.chunks(MOST) {
        let mut above = I::Rows::splat(isa, 0);
        for &levels in block {
            let is_above = levels.gt(at);
            above = above.count(is_above);
            up_to = up_to.max(is_above.select(least, levels));
            beyond = beyond.min(is_above.select(levels, greatest));
        }
        sum = sum.add(isa.widen(isa.sum_rows(above)));
    }
    let (mut lower, mut upper) = (I::I8::splat(isa, LEAST), I::I8::splat(isa, TOP));
    for (&up_to, &beyond) in single_rows(isa, &[up_to]).iter().zip(single_rows(isa, &[beyond])) {
        (lower, upper) = (lower.max(up_to), upper.min(beyond));
    }
    (sum, lower, upper)
}
