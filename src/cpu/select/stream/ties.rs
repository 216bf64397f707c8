//! Step 4: boundaries at the ends of brackets, values that many elements have.
//!
//! Elements at the lower end were written as -1: the first rows become ones, as many as are missing.
//! Those at the upper end are ones: the last rows become -1, as many as are too many.

use super::{GROUPS, PART};
use crate::Element;
use crate::cpu::select::GROUP;
use crate::cpu::select::emit::Strip;
use crate::cpu::select::source::{Source, Window};
use crate::cpu::simd::{Isa, Job, Ordered, Vector, keys_of};

/// Rows between one that is read and one that is asked for.
const AHEAD: usize = 32;

/// Elements that change.
pub(super) struct Ties<'a> {
    /// The values that they have.
    values: &'a [f32; PART],
    /// How many of each column.
    counts: [u32; PART],
    /// Whether they become ones, from the first row on, or the opposite, from the last one on.
    one: bool,
}

impl<'a> Ties<'a> {
    /// None yet.
    pub(super) fn new(values: &'a [f32; PART], one: bool) -> Self {
        Self { values, counts: [0; PART], one }
    }

    /// `count` elements of column `c` change.
    pub(super) fn change(&mut self, c: usize, count: usize) {
        self.counts[c] = count as u32;
    }

    /// Changes them. Returns the columns that have not enough of them, a bit each.
    pub(super) fn write<I: Isa, T: Element>(
        &self,
        isa: I,
        source: &Source<'_, T>,
        out: &mut Strip<'_, T>,
    ) -> u64 {
        let needed = (0..PART).fold(0, |bits, c| bits | u64::from(self.counts[c] > 0) << c);
        if !T::EXACT || !self.one && out.wants_threshold() {
            return needed;
        }
        let mut missed = 0;
        for g in 0..GROUPS {
            let first = GROUP * g;
            if (needed >> first) as u16 != 0 {
                let window = source.window(first, GROUP);
                let out = out.part(first, window.width());
                let group = Group { ties: self, window, out, first };
                missed |= u64::from(isa.run(group)) << first;
            }
        }
        out.write_values(needed, |c| T::from_f64(self.values[c].into()));
        missed
    }
}

/// A group of columns.
struct Group<'a, 'b, T: Element> {
    ties: &'a Ties<'a>,
    window: Window<'b, T>,
    out: Strip<'a, T>,
    first: usize,
}

impl<I: Isa, T: Element> Job<I> for Group<'_, '_, T> {
    /// The columns that have not enough, a bit each.
    type Output = u32;

    #[inline(always)]
    fn run(self, isa: I) -> u32 {
        let Self { ties, window, mut out, first } = self;
        let zero = I::I32::splat(isa, 0);
        let keys = keys_of(isa, I::F32::load(isa, &ties.values[first..]));
        let mut left = I::I32::load(isa, bytemuck::cast_slice(&ties.counts[first..]));
        let mut copy = [T::default(); GROUP];
        for n in 0..window.rows() {
            let i = if ties.one { n } else { window.rows() - 1 - n };
            let ahead = if ties.one { i + AHEAD } else { i.saturating_sub(AHEAD) };
            if ahead < window.rows() {
                isa.prefetch(window.address(ahead));
                out.prefetch(isa, ahead, 0);
            }
            let row = window.row(i, GROUP, &mut copy);
            let changes = keys_of(isa, T::floats(isa, row)).eq(keys).and(left.gt(zero));
            left = left.add(changes);
            if changes.bits() != 0 {
                out.set_masked(isa, i, isa.narrow_to_8(changes), ties.one);
                if left.gt(zero).bits() == 0 {
                    break;
                }
            }
        }
        left.gt(zero).bits()
    }
}
