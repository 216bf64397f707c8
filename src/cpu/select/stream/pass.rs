//! Step 2, for some rows of a part.

use super::bracket::Bracket;
use super::{BLOCK, GROUPS, PART, Part};
use crate::Element;
use crate::cpu::select::GROUP;
use crate::cpu::select::emit::Strip;
use crate::cpu::simd::{Floats, Isa, Job, Rows, Store, Vector};
use std::ops::Range;

/// Rows between one that is read and one that is asked for.
const AHEAD: usize = 8;

pub(super) struct Pass<'a, 'b, T: Element, S> {
    pub store: S,
    pub part: &'a mut Part<'b, T>,
    pub out: Strip<'a, T>,
    /// At most [`BLOCK`].
    pub rows: Range<usize>,
}

impl<I: Isa, T: Element, S: Store> Job<I> for Pass<'_, '_, T, S> {
    type Output = ();

    #[inline(always)]
    fn run(self, isa: I) {
        let Self { store, part, mut out, rows } = self;
        let Part { source, bracket, less, candidates } = part;
        let (width, start) = (source.cols(), rows.start);
        let window = source.window(0, PART);
        let mut found = Found::new(isa, bracket);
        match window.plain(width) {
            // The same for a number of groups that the compiler knows.
            Some(plain) if width == PART => found.compare_rows(isa, plain, rows, GROUPS),
            Some(plain) if width % GROUP == 0 => {
                found.compare_rows(isa, plain, rows, width / GROUP);
            }
            _ => {
                let exist = u64::MAX >> (PART - width);
                let mut copy = [T::default(); PART];
                for i in rows {
                    let row = window.row(i, PART, &mut copy);
                    found.compare(isa, row, width.div_ceil(GROUP), exist);
                }
            }
        }
        let Found { masks, less: counts, inside, rows, .. } = found;
        out.write_rows(isa, store, &masks[..rows], (start, width));
        for (sum, count) in less.chunks_mut(GROUP).zip(counts) {
            for (sum, count) in sum.chunks_mut(8).zip(isa.widen(count)) {
                let sum = bytemuck::cast_slice_mut(sum);
                I::I32::load(isa, sum).add(count).store(sum);
            }
        }
        candidates.note(isa, source, bracket, start, inside);
    }
}

/// What is found out about the rows of a block.
struct Found<'a, I: Isa> {
    bracket: &'a Bracket,
    rows: usize,
    /// Masks of the elements that are not less than the middle.
    masks: [[I::I16; GROUPS]; BLOCK],
    /// How many elements are.
    less: [I::I16; GROUPS],
    /// A bit for each element inside.
    inside: [u64; BLOCK],
}

impl<'a, I: Isa> Found<'a, I> {
    #[inline(always)]
    fn new(isa: I, bracket: &'a Bracket) -> Self {
        let zero = I::I16::splat(isa, 0);
        let (masks, less) = ([[zero; GROUPS]; BLOCK], [zero; GROUPS]);
        Self { bracket, rows: 0, masks, less, inside: [0; BLOCK] }
    }

    /// Rows of whole groups.
    #[inline(always)]
    fn compare_rows<T: Element>(
        &mut self,
        isa: I,
        plain: Rows<'_, T>,
        rows: Range<usize>,
        groups: usize,
    ) {
        const LINE: usize = 64;
        for i in rows {
            let ahead: *const u8 = plain.address(i + AHEAD).cast();
            for at in (0..groups * GROUP * size_of::<T>()).step_by(LINE) {
                isa.prefetch(ahead.wrapping_add(at));
            }
            self.compare(isa, plain.row(i), groups, u64::MAX);
        }
    }

    /// The next row. Columns that do not exist have no bit in `exist`.
    #[inline(always)]
    fn compare<T: Element>(&mut self, isa: I, row: &[T], groups: usize, exist: u64) {
        let mut bits = 0;
        for g in 0..groups {
            let mut less = [I::I32::splat(isa, 0); 2];
            for j in 0..2 {
                let at = GROUP * g + 8 * j;
                let end = |values: &[f32; PART]| I::F32::load(isa, &values[at..]);
                let value = T::floats(isa, &row[at..]);
                // Nothing is greater than NaN.
                less[j] = end(&self.bracket.middle).gt(value);
                let above_low = value.gt(end(&self.bracket.low));
                let inside = above_low.and(end(&self.bracket.high).gt(value));
                bits |= u64::from(inside.bits()) << at;
            }
            let less = isa.narrow(less);
            self.less[g] = self.less[g].sub(less);
            self.masks[self.rows][g] = less.eq(I::I16::splat(isa, 0));
        }
        self.inside[self.rows] = bits & exist;
        self.rows += 1;
    }
}
