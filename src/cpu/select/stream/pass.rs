//! Step 2, for some rows of a part: group by group, so that brackets and counts are in registers.

use super::bracket::Bracket;
use super::{BLOCK, GROUPS, PART, Part};
use crate::Element;
use crate::cpu::select::GROUP;
use crate::cpu::select::emit::Strip;
use crate::cpu::simd::{Floats, Isa, Job, Store, Vector};
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
        let groups = source.cols().div_ceil(GROUP);
        let exist = u64::MAX >> (PART - source.cols());
        let window = source.window(0, PART);
        let zero = I::I16::splat(isa, 0);
        let mut inside = [0; BLOCK];
        let mut masks = [[zero; GROUPS]; BLOCK];
        let mut counts = [zero; GROUPS];
        if let Some(plain) = window.plain(PART) {
            for (n, i) in rows.clone().enumerate() {
                prefetch(isa, plain.address(i + AHEAD));
                inside[n] = compare(isa, bracket, plain.row(i), GROUPS, &mut masks[n], &mut counts);
            }
        } else {
            let mut copy = [T::default(); PART];
            for (n, i) in rows.clone().enumerate() {
                let row = window.row(i, PART, &mut copy);
                inside[n] = exist & compare(isa, bracket, row, groups, &mut masks[n], &mut counts);
            }
        }
        out.write_rows(isa, store, &masks[..rows.len()], (rows.start, source.cols()));
        for (sum, count) in less.chunks_mut(GROUP).zip(counts) {
            for (sum, count) in sum.chunks_mut(8).zip(isa.widen(count)) {
                let sum = bytemuck::cast_slice_mut(sum);
                I::I32::load(isa, sum).add(count).store(sum);
            }
        }
        candidates.note(isa, source, bracket, rows.start, inside);
    }
}

/// Masks of the elements of a row that are not less than the middle, and adds to the counts of those
/// that are. Returns a bit for each element inside.
#[inline(always)]
fn compare<I: Isa, T: Element>(
    isa: I,
    bracket: &Bracket,
    row: &[T],
    groups: usize,
    masks: &mut [I::I16; GROUPS],
    counts: &mut [I::I16; GROUPS],
) -> u64 {
    let mut inside = 0;
    for g in 0..groups {
        let mut less = [I::I32::splat(isa, 0); 2];
        for j in 0..2 {
            let at = GROUP * g + 8 * j;
            let end = |values: &[f32; PART]| I::F32::load(isa, &values[at..]);
            let value = T::floats(isa, &row[at..]);
            // Nothing is greater than NaN.
            less[j] = end(&bracket.middle).gt(value);
            let is_inside = value.gt(end(&bracket.low)).and(end(&bracket.high).gt(value));
            inside |= u64::from(is_inside.bits()) << at;
        }
        let less = isa.narrow(less);
        counts[g] = counts[g].sub(less);
        masks[g] = less.eq(I::I16::splat(isa, 0));
    }
    inside
}

/// Asks for a part of a row.
#[inline(always)]
fn prefetch<I: Isa, T>(isa: I, row: *const T) {
    const LINE: usize = 64;
    for at in (0..PART * size_of::<T>()).step_by(LINE) {
        isa.prefetch(row.cast::<u8>().wrapping_add(at));
    }
}
