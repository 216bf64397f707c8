//! More rows than a network sorts: a group of 16 columns as levels in a tile, which is read again
//! and again.
//!
//! 1. A sample of the rows is sorted (and of many rows a larger one [searched](super::refine)), and
//!    elements become [levels](super::levels) of 16 bits: a row of the tile is a vector.
//! 2. A cut of each column is [searched](super::search) by counting levels.
//! 3. Where levels do not tell all, [`exact`](super::exact) does.
//! 4. The tile is compared with the cuts and written.

use super::compare::Below;
use super::count::TOP;
use super::emit::Strip;
use super::exact;
use super::levels::{Places, Sample, Scale};
use super::refine::{REFINED_FROM, Refine};
use super::search::{Passes, Rest, Search};
use super::source::{Source, Window};
use super::{GROUP, Large};
use crate::Element;
use crate::cpu::simd::{Cached, Isa, Job, Ordered, Vector, vectors_mut};
use std::ops::Range;

/// Bytes of a vector.
const VECTOR: usize = 32;

/// Groups that are loaded and written together, so that more of a page is used at a time.
const WIDE: usize = 8;

/// Rows for which they are. Less lie in the caches; of more, which are [streamed](super::stream) if
/// they can be, tiles of several groups would be large.
const WIDE_ROWS: Range<usize> = 256..*super::stream::ROWS.start();

/// Rows of one group before the next one's turn: their pages are all in the first level TLB.
const BLOCK: usize = 32;

fn wide(rows: usize) -> usize {
    if WIDE_ROWS.contains(&rows) { WIDE } else { 1 }
}

/// 64-bit words of scratch memory for a range of columns.
pub(super) fn scratch_words((rows, cols): (usize, usize)) -> usize {
    let groups = cols.div_ceil(GROUP).min(wide(rows));
    (groups * rows + 1) * VECTOR / 8
}

/// All columns of the source. `scratch` has [`scratch_words`].
pub(super) struct Tiles<'a, 'b, T: Element> {
    pub source: &'a Source<'b, T>,
    pub ones: usize,
    pub out: Strip<'a, T>,
    pub scratch: &'a mut [u64],
}

impl<I: Isa, T: Element> Job<I> for Tiles<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self, isa: I) {
        let Self { source, ones, mut out, scratch } = self;
        let (rows, cols) = (source.rows(), source.cols());
        let tiles = vectors_mut::<I::I16>(isa, bytemuck::cast_slice_mut(scratch));
        for first in (0..cols).step_by(wide(rows) * GROUP) {
            groups(isa, source, ones, &mut out, first, tiles);
        }
    }
}

/// Groups from column `first` on.
#[inline(always)]
fn groups<I: Isa, T: Element>(
    isa: I,
    source: &Source<'_, T>,
    ones: usize,
    out: &mut Strip<'_, T>,
    first: usize,
    tiles: &mut [I::I16],
) {
    let (rows, cols) = (source.rows(), source.cols());
    let columns = (first..cols).step_by(GROUP).take(wide(rows));
    let block = if wide(rows) == 1 { rows } else { BLOCK };
    let mut windows = [source.window(first, GROUP); WIDE];
    for (window, first) in windows.iter_mut().zip(columns.clone()) {
        *window = source.window(first, GROUP);
    }
    let windows = &windows[..columns.len()];
    let mut cuts = [I::I16::splat(isa, 0); WIDE];
    let mut counts = [I::I32::splat(isa, 0); WIDE];
    let places = Places::new(rows, ones);
    let mut ends = places.above;
    if ones == rows {
        tiles.fill(I::I16::splat(isa, TOP));
    } else {
        let mut scales = [Scale::none(isa); WIDE];
        for (g, window) in windows.iter().enumerate() {
            scales[g] = isa.run(Sample { window, rows, places: &places });
            if rows >= REFINED_FROM {
                let tile = &mut tiles[..rows];
                (scales[g], ends) = isa.run(Refine { window, tile, ones, scale: scales[g] });
            }
        }
        for start in (0..rows).step_by(block) {
            for g in 0..windows.len() {
                let tile = &mut tiles[g * rows..][start..rows.min(start + block)];
                scales[g].load(isa, &windows[g], start, tile, &mut counts[g]);
            }
        }
        for g in 0..windows.len() {
            let tile = &mut tiles[g * rows..][..rows];
            let search = Search::new(isa, rows, ones, windows[g].width(), ends);
            cuts[g] = isa.run(Cut { window: &windows[g], tile, ones, above: counts[g], search });
        }
    }
    for start in (0..rows).step_by(block) {
        for (g, first) in columns.clone().enumerate() {
            let tile = &tiles[g * rows..][start..rows.min(start + block)];
            let out = out.part(first, windows[g].width());
            isa.run(Write { out, tile, cut: cuts[g], start });
        }
    }
    if out.wants_threshold() {
        for (g, first) in columns.enumerate() {
            let window = &windows[g];
            let ones = exact::Range { above: cuts[g], up_to: I::I16::splat(isa, TOP) };
            let (least, _) = exact::extremes(isa, window, &tiles[g * rows..][..rows], ones);
            out.part(first, window.width()).write_threshold::<Large<T>>(|| least);
        }
    }
}

/// Step 4, for some rows of a group.
struct Write<'a, I: Isa, T: Element> {
    out: Strip<'a, T>,
    tile: &'a [I::I16],
    cut: I::I16,
    start: usize,
}

impl<I: Isa, T: Element> Job<I> for Write<'_, I, T> {
    type Output = ();

    #[inline(always)]
    fn run(self, isa: I) {
        let Self { mut out, tile: rows, cut, start } = self;
        // Some level lies above the cut, so that there is a next one.
        let threshold = cut.add(Ordered::splat(isa, 1));
        out.write::<I, i16>(isa, Cached, Below { rows, threshold }, start);
    }
}

/// Steps 2 and 3. Changes the tile such that exactly `ones` levels of each column lie above its cut.
struct Cut<'a, 'b, I: Isa, T> {
    window: &'a Window<'b, T>,
    tile: &'a mut [I::I16],
    ones: usize,
    /// Levels above the first probe.
    above: I::I32,
    search: Search<I>,
}

impl<I: Isa, T: Element> Job<I> for Cut<'_, '_, I, T> {
    type Output = I::I16;

    #[inline(always)]
    fn run(self, isa: I) -> I::I16 {
        let Self { window, tile, ones, above, mut search } = self;
        let mut above = Some(above);
        loop {
            let passes = Passes { tile, search: &mut search, above: above.take() };
            match isa.run(passes) {
                Rest::Nothing => break,
                Rest::Few => {
                    exact::list(isa, window, tile, ones, &mut search);
                    break;
                }
                Rest::Many => exact::divide(isa, window, tile, ones, &mut search),
            }
        }
        search.cut(isa)
    }
}
