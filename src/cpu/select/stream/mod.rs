//! Very many rows: one pass down the matrix, which writes most of the output for good.
//!
//! 1. Two values of a sample of the rows [bracket](bracket) each column's boundary.
//! 2. A [pass](pass) down all rows writes +1 above the middle of the bracket and -1 below it, counts
//!    the elements above the bracket and notes those inside: the [candidates], a few of a hundred.
//! 3. Now it is known how many candidates are ones. They are [selected](settle), and those that were
//!    written wrong are written again.
//! 4. A boundary at an end of the bracket is among [equal elements](ties), of which the lowest rows are
//!    ones.
//!
//! Columns whose boundary is elsewhere, and those with too many candidates, are left to
//! [tiles](super::tile). Counts tell; no guess is trusted.

mod bracket;
mod candidates;
mod pass;
mod settle;
mod ties;

use super::GROUP;
use super::emit::Strip;
use super::source::Source;
use super::tile::Tiles;
use crate::Element;
use crate::cpu::simd::{Cached, Isa, Store, past_caches};
use crate::element::Key;
use bracket::Bracket;
pub(super) use bracket::Sample;
use candidates::Candidates;
use pass::{Counts, Pass};
use settle::Lists;
use std::ops::{Range, RangeInclusive};
use ties::Ties;

/// Rows from which on this takes less time than tiles do, and which candidates' places can hold.
const ROWS: RangeInclusive<usize> = LEAST_ROWS..=candidates::MOST_ROWS;
pub(super) const LEAST_ROWS: usize = 65_536;

/// Columns of a part: a word of bits.
const PART: usize = 64;
const GROUPS: usize = PART / GROUP;

/// Parts whose rows are read together: two kilobytes of a row of `f32`, so that few pages are in use.
const WIDE: usize = 8;

/// Rows of a part before the next part's turn.
const BLOCK: usize = 8;

/// Room for candidates of a part, for each row.
const ROOM: usize = 4;

/// Bytes of an output from which on it is written past the caches, if it can be in whole lines.
pub(super) const LARGE: usize = 8 << 20;

/// How such columns are sampled, if they are to be streamed.
pub(super) fn sample(rows: usize, ones: usize) -> Option<Sample> {
    if ROWS.contains(&rows) { Sample::new(rows, ones) } else { None }
}

/// 64-bit words of scratch memory for a range of columns.
pub(super) fn scratch_words<K: Key>((rows, cols): (usize, usize)) -> usize {
    if !ROWS.contains(&rows) {
        return 0;
    }
    let parts = cols.div_ceil(PART).min(WIDE);
    rows * ROOM * (parts * Candidates::<K>::BYTES + Lists::<K>::BYTES) / 8
}

/// Columns of a matrix, and what is known of them.
struct Part<'a, T: Element> {
    source: Source<'a, T>,
    bracket: Bracket,
    counts: Counts,
    candidates: Candidates<'a, T::Key>,
}

/// All columns of the source.
#[inline(always)]
pub(super) fn run<I: Isa, T: Element>(
    isa: I,
    source: &Source<'_, T>,
    ones: usize,
    mut out: Strip<'_, T>,
    sample: &Sample,
    scratch: &mut [u64],
) {
    let cols = source.cols();
    for first in (0..cols).step_by(WIDE * PART) {
        let width = (WIDE * PART).min(cols - first);
        parts(isa, &source.part(first, width), ones, out.part(first, width), sample, scratch);
    }
}

/// Up to [`WIDE`] parts.
fn parts<I: Isa, T: Element>(
    isa: I,
    source: &Source<'_, T>,
    ones: usize,
    mut out: Strip<'_, T>,
    sample: &Sample,
    scratch: &mut [u64],
) {
    let (rows, cols) = (source.rows(), source.cols());
    let columns = |p: usize| (p * PART, PART.min(cols - p * PART));
    let count = cols.div_ceil(PART);
    let mut brackets = [Bracket::default(); WIDE];
    for (p, bracket) in brackets[..count].iter_mut().enumerate() {
        let (first, width) = columns(p);
        *bracket = sample.bracket(isa, &source.part(first, width), scratch);
    }
    let room = rows * ROOM;
    let (mut lists, mut rest) = Lists::new(scratch, room);
    let mut parts: [Option<Part<'_, T>>; WIDE] = [const { None }; WIDE];
    for p in 0..count {
        let (first, width) = columns(p);
        let candidates;
        (candidates, rest) = Candidates::new(rest, room);
        let source = source.part(first, width);
        parts[p] = Some(Part { source, bracket: brackets[p], counts: Counts::new(), candidates });
    }
    let parts = &mut parts[..count];
    // Of several parts each has its turn: they fill lines if the first one does.
    let whole_lines = out.part(0, PART.min(cols)).fills_lines();
    if rows * cols * size_of::<T>() >= LARGE && whole_lines {
        past_caches(isa, |store| stream(isa, store, parts, &mut out));
    } else {
        stream(isa, Cached, parts, &mut out);
    }
    let mut missed = [0; WIDE];
    for (p, part) in parts.iter_mut().flatten().enumerate() {
        let (first, width) = columns(p);
        missed[p] = part.finish(isa, ones, out.part(first, width), &mut lists);
    }
    for first in (0..cols).step_by(GROUP) {
        if (missed[first / PART] >> (first % PART)) as u16 != 0 {
            let width = GROUP.min(cols - first);
            let (source, out) = (&source.part(first, width), out.part(first, width));
            isa.run(Tiles { source, ones, out, scratch: &mut *scratch });
        }
    }
}

/// Step 2.
fn stream<I: Isa, T: Element>(
    isa: I,
    store: impl Store,
    parts: &mut [Option<Part<'_, T>>],
    out: &mut Strip<'_, T>,
) {
    let rows = parts[0].as_ref().map_or(0, |part| part.source.rows());
    for start in (0..rows).step_by(BLOCK) {
        for (p, part) in parts.iter_mut().flatten().enumerate() {
            let out = out.part(p * PART, part.source.cols());
            let rows: Range<usize> = start..rows.min(start + BLOCK);
            isa.run(Pass { store, part, out, rows });
        }
    }
}

impl<T: Element> Part<'_, T> {
    /// Steps 3 and 4. Returns the columns that are not right yet, a bit each.
    fn finish<I: Isa>(
        &mut self,
        isa: I,
        ones: usize,
        mut out: Strip<'_, T>,
        lists: &mut Lists<'_, T::Key>,
    ) -> u64 {
        let width = self.source.cols();
        let all = u64::MAX >> (PART - width);
        if self.candidates.overflowed() {
            return all;
        }
        let Bracket { low, high, exact, .. } = &self.bracket;
        let Counts { below_high, inside } = &self.counts;
        let (mut missing, mut surplus) = (Ties::new(low, true), Ties::new(high, false));
        let mut need = [0; PART];
        let mut missed = 0;
        for c in 0..width {
            let above = self.source.rows() - below_high[c] as usize;
            let up_to_low = above + inside[c] as usize;
            need[c] = ones.clamp(above, up_to_low) - above;
            let unlucky = !(above..=up_to_low).contains(&ones) && !exact[c / GROUP];
            if unlucky || high[c].is_nan() || ones == above && out.wants_threshold() {
                missed |= 1 << c;
            } else if ones < above {
                surplus.change(c, above - ones);
            } else if ones > up_to_low {
                missing.change(c, ones - up_to_low);
            }
        }
        let wanted = (&inside[..width], &need[..width]);
        let boundaries = self.candidates.settle(isa, &self.bracket, wanted, lists, &mut out);
        out.write_values(all, |c| T::from_key(boundaries[c]));
        for ties in [missing, surplus] {
            missed |= ties.write(isa, &self.source, &mut out);
        }
        missed
    }
}
