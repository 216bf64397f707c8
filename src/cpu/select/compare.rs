//! Rows compared with a value for each column: elements that are less become -1.

use crate::cpu::simd::{Isa, Ordered, Vector};

/// Rows of up to 64 columns, in groups of a vector. Levels, the slots of a network and elements themselves
/// are compared. No closure: it might not be inlined, and then vectors would not be registers.
pub(super) trait Compared<I: Isa>: Copy {
    type Mask: Vector<Isa = I>;
    /// How many there are.
    fn rows(&self) -> usize;
    /// Mask of the elements of row `r` and group `g` that are less. Rows are asked for in their order,
    /// once.
    fn less(&mut self, isa: I, r: usize, g: usize) -> Self::Mask;
    /// The others, a bit each. Instead of `less`.
    #[inline(always)]
    fn ones(&mut self, isa: I, r: usize, g: usize) -> u16 {
        !self.less(isa, r, g).bits() as u16
    }
}

/// Rows of one group; of each column the least element that is a one, and the greatest that is not.
#[derive(Clone, Copy)]
pub(super) struct Below<'a, V> {
    pub rows: &'a [V],
    pub threshold: V,
    pub below: V,
}

impl<I: Isa, V: Ordered<Isa = I>> Compared<I> for Below<'_, V> {
    type Mask = V::Mask;

    #[inline(always)]
    fn rows(&self) -> usize {
        self.rows.len()
    }

    #[inline(always)]
    fn less(&mut self, _: I, r: usize, _: usize) -> V::Mask {
        self.threshold.gt(self.rows[r])
    }

    // Not the complement of `less`: AVX-512 complements masks on the port that moves them to integers.
    #[inline(always)]
    fn ones(&mut self, _: I, r: usize, _: usize) -> u16 {
        self.rows[r].gt(self.below).bits() as u16
    }
}

/// Rows of several groups, each with its threshold.
#[derive(Clone, Copy)]
pub(super) struct BelowEach<'a, V, const GROUPS: usize> {
    /// As many of each group.
    pub rows: [&'a [V]; GROUPS],
    pub thresholds: [V; GROUPS],
}

impl<I: Isa, V: Ordered<Isa = I>, const GROUPS: usize> Compared<I> for BelowEach<'_, V, GROUPS> {
    type Mask = V::Mask;

    #[inline(always)]
    fn rows(&self) -> usize {
        self.rows[0].len()
    }

    #[inline(always)]
    fn less(&mut self, _: I, r: usize, g: usize) -> V::Mask {
        self.thresholds[g].gt(self.rows[g][r])
    }
}

/// As [`Below`], but of the elements that equal the threshold the first `need` are ones.
#[derive(Clone, Copy)]
pub(super) struct BelowOrTied<'a, V> {
    pub rows: &'a [V],
    pub threshold: V,
    pub need: V,
}

impl<I: Isa, V: Vector<Isa = I>> Compared<I> for BelowOrTied<'_, V> {
    type Mask = V;

    #[inline(always)]
    fn rows(&self) -> usize {
        self.rows.len()
    }

    #[inline(always)]
    fn less(&mut self, isa: I, r: usize, _: usize) -> V {
        let key = self.rows[r];
        let tied = key.eq(self.threshold);
        let taken = tied.and(self.need.gt(V::splat(isa, V::Lane::default())));
        self.need = self.need.add(taken);
        self.threshold.gt(key).or(tied.without(taken))
    }
}
