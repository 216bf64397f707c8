//! Very many rows: one pass down the matrix, which writes most of the output for good.
//!
//! 1. Two values of a sample of the rows [bracket](bracket) each column's boundary.
//! 2. A [pass](pass) down all rows writes +1 above the middle of the bracket and -1 below it, counts
//!    the elements above the bracket and notes those inside: the [candidates], a few of a hundred. It
//!    goes in sweeps that skip rows, and after each the bracket becomes [narrower](narrow).
//! 3. Now it is known how many candidates are ones. They are [selected](settle), and those that were
//!    written wrong are written again.
//! 4. A boundary at an end of the bracket is among [equal elements](ties), of which the lowest rows are
//!    ones.
//!
//! Columns whose boundary is elsewhere, and those with too many candidates, are left to
//! [tiles](super::tile). Counts tell; no guess is trusted.

mod bracket;
mod candidates;
mod narrow;
mod pass;
mod settle;
mod ties;

use super::GROUP;
use super::emit::Strip;
use super::source::Source;
use super::tile::Tiles;
use crate::Element;
use crate::cpu::simd::{Isa, Stores, past_caches};
use bracket::Bracket;
pub(super) use bracket::Sample;
use candidates::Candidates;
use narrow::Narrow;
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

/// A sweep reads one chunk of blocks of so many: it is a sample of all rows, unless they repeat after that
/// many chunks, which is why this is a prime.
const SWEEPS: usize = 13;

/// Blocks between one that is read and one that is asked for, of all parts together.
const AHEAD: usize = 4;

/// Room for candidates of a part, for each row.
const ROOM: usize = 4;

/// Bytes of an output from which on it is written past the caches, if it can be in whole lines.
pub(super) const LARGE: usize = 8 << 20;

/// How such columns are sampled, if they are to be streamed.
pub(super) fn sample(rows: usize, ones: usize) -> Option<Sample> {
    if ROWS.contains(&rows) { Sample::new(rows, ones) } else { None }
}

/// 64-bit words of scratch memory for a range of columns.
pub(super) fn scratch_words((rows, cols): (usize, usize)) -> usize {
    if !ROWS.contains(&rows) {
        return 0;
    }
    let parts = cols.div_ceil(PART).min(WIDE);
    rows * ROOM * (parts * Candidates::BYTES + Lists::BYTES) / 8
}

/// What is known of some columns, which may be of any type.
struct Part<'a> {
    cols: usize,
    bracket: Bracket,
    counts: Counts,
    candidates: Candidates<'a>,
    /// From the first sweep on.
    narrow: Option<Narrow>,
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
    let mut parts: [Option<Part<'_>>; WIDE] = [const { None }; WIDE];
    for p in 0..count {
        let candidates;
        (candidates, rest) = Candidates::new(rest, room);
        let (bracket, counts, cols) = (brackets[p], Counts::new(), columns(p).1);
        parts[p] = Some(Part { cols, bracket, counts, candidates, narrow: None });
    }
    let parts = &mut parts[..count];
    // Of several parts each has its turn: they fill lines if the first one does.
    let whole_lines = out.part(0, PART.min(cols)).fills_lines();
    let mut sweep = |store: Stores<'_>| {
        stream(parts, (rows, ones, sample.rows(rows)), &mut |p, part, rows, next| {
            let (first, out) = (p * PART, out.part(p * PART, part.cols));
            isa.run(Pass { store, source, first, part, out, rows, next });
        });
    };
    if rows * cols * size_of::<T>() >= LARGE && whole_lines {
        past_caches(|store| sweep(Stores::PastCaches(store)));
    } else {
        sweep(Stores::Cached);
    }
    let mut missed = [0; WIDE];
    for (p, part) in parts.iter_mut().flatten().enumerate() {
        let (first, width) = columns(p);
        let source = source.part(first, width);
        missed[p] = part.finish(isa, &source, ones, out.part(first, width), &mut lists);
    }
    for first in (0..cols).step_by(GROUP) {
        if (missed[first / PART] >> (first % PART)) as u16 != 0 {
            let width = GROUP.min(cols - first);
            let (source, out) = (&source.part(first, width), out.part(first, width));
            isa.run(Tiles { source, ones, out, scratch: &mut *scratch });
        }
    }
}

/// What passes down some rows of a part with a number, and asks for those from another row on.
type PassOf<'f> = dyn FnMut(usize, &mut Part<'_>, Range<usize>, usize) + 'f;

/// Step 2. `of` are all rows, ones and rows of the sample. Compiled once for all types, for a call
/// that each pass is anyway.
fn stream(parts: &mut [Option<Part<'_>>], of: (usize, usize, usize), pass: &mut PassOf<'_>) {
    let rows = of.0;
    let ahead = AHEAD.div_ceil(parts.len());
    for sweep in 0..SWEEPS {
        let mut swept = 0;
        let mut later = blocks(rows, sweep).skip(ahead);
        for start in blocks(rows, sweep) {
            let (rows, next) = (start..rows.min(start + BLOCK), later.next().unwrap_or(start));
            swept += rows.len();
            for (p, part) in parts.iter_mut().flatten().enumerate() {
                pass(p, part, rows.clone(), next);
            }
        }
        if sweep < SWEEPS - 1 {
            for part in parts.iter_mut().flatten() {
                part.narrow(of, swept);
            }
        }
    }
}

/// Where the blocks of a sweep begin.
fn blocks(rows: usize, sweep: usize) -> impl Iterator<Item = usize> {
    let chunk = chunk(rows);
    let chunks = (sweep * chunk..rows).step_by(SWEEPS * chunk);
    chunks.flat_map(move |first| (first..rows.min(first + chunk)).step_by(BLOCK))
}

/// Rows that a sweep reads before it skips some. Where rows are sorted, as many more or less may lie on
/// a side of the boundary, which must be few beside what chance does.
fn chunk(rows: usize) -> usize {
    (rows.isqrt() / 4).next_multiple_of(BLOCK)
}

impl Part<'_> {
    /// Narrows the brackets after a sweep of some rows. `of` are all rows, ones and rows of the sample.
    fn narrow(&mut self, of: (usize, usize, usize), rows: usize) {
        let Self { bracket, counts, candidates, .. } = self;
        let narrow = self.narrow.get_or_insert_with(|| Narrow::new(of, bracket, candidates));
        narrow.narrow(rows, counts, bracket);
    }

    /// Steps 3 and 4. Returns the columns that are not right yet, a bit each.
    fn finish<I: Isa, T: Element>(
        &mut self,
        isa: I,
        source: &Source<'_, T>,
        ones: usize,
        mut out: Strip<'_, T>,
        lists: &mut Lists<'_>,
    ) -> u64 {
        let width = self.cols;
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
            let above = source.rows() - below_high[c] as usize;
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
        for c in 0..width {
            if self.bracket.is_narrowed(c) && !self.bracket.holds(c, boundaries[c] as f32) {
                missed |= 1 << c;
            }
        }
        out.write_values(all, |c| T::from_f64(boundaries[c] + 0.0));
        for ties in [missing, surplus] {
            missed |= ties.write(isa, source, &mut out);
        }
        missed
    }
}
