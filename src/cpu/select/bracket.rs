//! Brackets of columns as ranges of levels.

use super::GROUP;
use super::count::{LEAST, TOP};
use super::search::Brackets;
use crate::cpu::simd::{Isa, Ordered, Vector};

/// Less than 256 levels that follow each other, maybe none, in a form that two instructions test.
#[derive(Clone, Copy)]
pub(super) struct Range<V> {
    /// What is taken away from levels, wrapping, such that the first one of the range is the least.
    offset: V,
    /// How many they are, above the least.
    limit: V,
}

impl<V: Vector<Lane = i8>> Range<V> {
    /// Levels above a cut.
    #[inline(always)]
    pub(super) fn above(isa: V::Isa, cut: V) -> Self {
        let least = V::splat(isa, LEAST);
        let offset = cut.add(V::splat(isa, 1)).sub(least);
        // As many as up to the greatest level.
        Self { offset, limit: V::splat(isa, TOP).sub(cut).add(least) }
    }

    #[inline(always)]
    pub(super) fn mask(&self, levels: V) -> V {
        self.limit.gt(levels.sub(self.offset))
    }
}

impl<I: Isa, V: Vector<Lane = i8, Isa = I>> Range<V> {
    /// The brackets of the columns `open`, a bit each; others have none.
    #[inline(always)]
    pub(super) fn of_brackets(isa: I, brackets: &Brackets, open: u32) -> Self {
        let (mut offset, mut limit) = ([0; GROUP], [LEAST; GROUP]);
        for l in 0..GROUP {
            if open >> l & 1 == 1 {
                let (left, right) = (brackets.left[l], brackets.right[l]);
                offset[l] = (left + 1 - i32::from(LEAST)) as i8;
                limit[l] = (i32::from(LEAST) + right - left) as i8;
            }
        }
        Self { offset: Ordered::load(isa, &offset), limit: Ordered::load(isa, &limit) }
    }
}

impl<V> Range<V> {
    /// The same for several rows.
    #[inline(always)]
    pub(super) fn repeat<I: Isa<I8 = V>>(self, isa: I) -> Range<I::Rows> {
        Range { offset: isa.repeat(self.offset), limit: isa.repeat(self.limit) }
    }
}
