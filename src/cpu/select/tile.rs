//! More rows than a network sorts: a group of 16 columns as levels in a tile, which is read again
//! and again.
//!
//! 1. A sample of the rows is sorted (and of many rows a larger one [searched](super::refine)), and
//!    elements become [levels](super::levels) of 8 bits.
//! 2. A cut of each column is [searched](super::search) by counting levels.
//! 3. Where levels do not tell all, they are moved to where the boundary is, or elements are
//!    [listed](super::list), are [equal](super::equal) or get [new levels](super::divide). In the end
//!    exactly k levels of a column lie above its cut: nothing else has to know of ties.
//! 4. The tile is compared with the cuts and written.

use super::bracket::Range;
use super::compare::BelowEach;
use super::count::{TOP, Tile, UNIT};
use super::divide;
use super::emit::{Strip, WORD};
use super::equal::take_equal;
use super::levels::{Places, Sample, Scale};
use super::list::{self, Lists};
use super::refine::{REFINED_FROM, Refine};
use super::search::{Passes, Rest, Search, TOGETHER};
use super::source::{Source, Window};
use super::stream::{self, LARGE};
use super::{GROUP, Large};
use crate::Element;
use crate::cpu::simd::{
    Isa, Job, Ordered, Stores, Vector, past_caches, single_rows, single_rows_mut, vectors_mut,
};

/// Bytes of a vector of several rows, at the most.
const VECTOR: usize = UNIT * GROUP;

/// Groups of a word of bits.
const GROUPS: usize = WORD / GROUP;

/// Groups that are loaded and written together, so that more of a page is used at a time.
const WIDE: usize = 8;

/// Rows of one group before the next one's turn: their pages are all in the first level TLB.
const BLOCK: usize = 32;

/// How many groups, so that their tiles lie in the second level cache.
fn wide(rows: usize) -> usize {
    match rows {
        0..=16_384 => WIDE,
        // From there on matrices are streamed, if they can be.
        16_385..stream::LEAST_ROWS => GROUPS,
        _ => 1,
    }
}

/// Groups that are searched together: as many as lie in the first level cache.
fn together(rows: usize) -> usize {
    (1024 / rows).clamp(1, TOGETHER)
}

/// 64-bit words of scratch memory for a range of columns.
pub(super) fn scratch_words((rows, cols): (usize, usize)) -> usize {
    let groups = cols.div_ceil(GROUP).min(wide(rows));
    (size_of::<Lists>() + (groups * rows.div_ceil(UNIT) + 1) * VECTOR) / 8
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
        let (lists, tiles) = scratch.split_at_mut(size_of::<Lists>() / 8);
        let lists = bytemuck::cast_slice_mut(lists).first_chunk_mut().expect("room for lists");
        let tiles = vectors_mut::<I::Rows>(isa, bytemuck::cast_slice_mut(tiles));
        for first in (0..cols).step_by(wide(rows) * GROUP) {
            groups(isa, source, ones, &mut out, first, (tiles, lists));
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
    (tiles, lists): (&mut [I::Rows], &mut Lists),
) {
    let (rows, cols) = (source.rows(), source.cols());
    let columns = (first..cols).step_by(GROUP).take(wide(rows));
    let block = if wide(rows) == 1 { rows } else { BLOCK };
    let mut windows = [source.window(first, GROUP); WIDE];
    for (window, first) in windows.iter_mut().zip(columns.clone()) {
        *window = source.window(first, GROUP);
    }
    let windows = &windows[..columns.len()];
    let mut cuts = [I::I8::splat(isa, 0); WIDE];
    let vectors = Tile::<I>::vectors(rows);
    let places = Places::new(rows, ones);
    let mut ends = places.above;
    if ones == rows {
        tiles.fill(I::Rows::splat(isa, TOP));
    } else {
        let mut scales = [Scale::none(isa); WIDE];
        let mut firsts = [I::I8::splat(isa, 0); WIDE];
        for (g, window) in windows.iter().enumerate() {
            let (scale, guess) = isa.run(Sample { window, rows, places: &places });
            scales[g] = scale;
            if rows < REFINED_FROM {
                firsts[g] = scale.level(isa, guess);
            } else {
                let vectors = &mut tiles[..vectors];
                (scales[g], ends) = isa.run(Refine { window, vectors, ones, scale });
            }
        }
        for start in (0..rows).step_by(block) {
            for g in 0..windows.len() {
                let levels = single_rows_mut(isa, &mut tiles[g * vectors..][..vectors]);
                let levels = &mut levels[start..rows.min(start + block)];
                scales[g].load(isa, &windows[g], start, levels);
            }
        }
        let at_once = together(rows);
        for first in (0..windows.len()).step_by(at_once) {
            let groups = first..windows.len().min(first + at_once);
            isa.run(Cut {
                windows: &windows[groups.clone()],
                tiles: &mut tiles[groups.start * vectors..groups.end * vectors],
                ones,
                scales: &scales[groups.clone()],
                firsts: &firsts[groups.clone()],
                ends,
                lists,
                cuts: &mut cuts[groups],
            });
        }
    }
    let written = Written { isa, tiles: &*tiles, cuts, groups: windows.len(), rows, block, first };
    let piece = out.part(first, WORD.min(cols - first));
    let whole_lines = (cols.is_multiple_of(WORD) || cols <= GROUP) && piece.fills_lines();
    if rows * cols * size_of::<T>() >= LARGE && whole_lines {
        past_caches(|store| written.write(Stores::PastCaches(store), out));
    } else {
        written.write(Stores::Cached, out);
    }
    if out.wants_threshold() {
        for (g, first) in columns.enumerate() {
            let window = &windows[g];
            let ones = Range::above(isa, cuts[g]);
            let tile = &Tile::new(isa, &mut tiles[g * vectors..][..vectors], rows);
            let (least, _) = divide::extremes(isa, window, tile, ones);
            out.part(first, window.width()).write_threshold::<Large<T>>(|| least);
        }
    }
}

/// Step 4.
struct Written<'a, I: Isa> {
    isa: I,
    tiles: &'a [I::Rows],
    cuts: [I::I8; WIDE],
    groups: usize,
    rows: usize,
    /// Rows of one group before the next one's turn.
    block: usize,
    /// The first column.
    first: usize,
}

impl<I: Isa> Written<'_, I> {
    fn write<T: Element>(&self, store: Stores<'_>, out: &mut Strip<'_, T>) {
        let &Self { isa, tiles, cuts, groups, rows, block, first } = self;
        let (cols, vectors) = (out.cols(), Tile::<I>::vectors(rows));
        for start in (0..rows).step_by(block) {
            let rows = start..rows.min(start + block);
            let levels =
                |g: usize| &single_rows(isa, &tiles[g * vectors..][..vectors])[rows.clone()];
            let mut left = 0..groups;
            while let Some(g) = left.next() {
                let first = first + g * GROUP;
                if first + WORD <= cols && left.len() >= GROUPS - 1 {
                    // Neighbours of a row together.
                    let rows = [levels(g), levels(g + 1), levels(g + 2), levels(g + 3)];
                    let cuts = *cuts[g..].first_chunk().expect("a cut for each group");
                    isa.run(Write { store, out: out.part(first, WORD), rows, cuts, start });
                    left.start = g + GROUPS;
                } else {
                    let out = out.part(first, GROUP.min(cols - first));
                    isa.run(Write { store, out, rows: [levels(g)], cuts: [cuts[g]], start });
                }
            }
        }
    }
}

/// Step 4, for some rows of neighbouring groups.
struct Write<'a, I: Isa, T: Element, const GROUPS: usize> {
    store: Stores<'a>,
    out: Strip<'a, T>,
    rows: [&'a [I::I8]; GROUPS],
    cuts: [I::I8; GROUPS],
    start: usize,
}

impl<I: Isa, T: Element, const GROUPS: usize> Job<I> for Write<'_, I, T, GROUPS> {
    type Output = ();

    #[inline(always)]
    fn run(self, isa: I) {
        let Self { store, mut out, rows, cuts, start } = self;
        let mut thresholds = cuts;
        for threshold in &mut thresholds {
            *threshold = next(isa, *threshold);
        }
        let number = rows[0].len();
        let rows = rows.map(|rows| &rows[..number]);
        let rows = BelowEach { rows, thresholds };
        if GROUPS == 1 {
            out.write_group::<I, i8>(isa, store, rows, start);
        } else {
            out.write_whole::<I, i8, WORD>(isa, store, rows, start);
        }
    }
}

/// The level above a cut: as ones lie there, there is one.
#[inline(always)]
fn next<I: Isa>(isa: I, cut: I::I8) -> I::I8 {
    cut.add(Ordered::splat(isa, 1))
}

/// Steps 2 and 3. Changes tiles such that exactly `ones` levels of each column lie above its cut.
struct Cut<'a, 'b, I: Isa, T> {
    windows: &'a [Window<'b, T>],
    tiles: &'a mut [I::Rows],
    ones: usize,
    /// Of the levels.
    scales: &'a [Scale<I>],
    /// The first probes.
    firsts: &'a [I::I8],
    /// About the counts at the ends of the range of levels.
    ends: (f32, f32),
    lists: &'a mut Lists,
    cuts: &'a mut [I::I8],
}

impl<I: Isa, T: Element> Job<I> for Cut<'_, '_, I, T> {
    type Output = ();

    #[inline(always)]
    fn run(self, isa: I) {
        let Self { windows, tiles, ones, scales, firsts, ends, lists, cuts } = self;
        let rows = windows[0].rows();
        let each = tiles.len() / windows.len();
        let mut searches = [Search::new(isa, rows, ones, GROUP, ends); TOGETHER];
        for (g, window) in windows.iter().enumerate() {
            searches[g] = Search::new(isa, rows, ones, window.width(), ends).from(isa, firsts[g]);
            Tile::new(isa, &mut tiles[g * each..][..each], rows);
        }
        let searches = &mut searches[..windows.len()];
        let rests = isa.run(Passes { tiles, rows, searches });
        for (g, search) in searches.iter_mut().enumerate() {
            let mut rest = rests[g];
            let mut tile = Tile::new(isa, &mut tiles[g * each..][..each], rows);
            if rest == Rest::Many {
                let (window, scale) = (&windows[g], scales[g]);
                rest = isa.run(Stuck { window, tile: &mut tile, ones, scale, search });
            }
            if rest == Rest::Few {
                list::list(isa, &windows[g], &mut tile, ones, search, lists);
            }
            cuts[g] = search.cut(isa);
        }
    }
}

/// Step 3 where brackets are closed that are too large for a list: levels change until all columns are
/// decided or their brackets are not.
struct Stuck<'a, 'b, 'c, I: Isa, T> {
    window: &'a Window<'b, T>,
    tile: &'a mut Tile<'c, I>,
    ones: usize,
    scale: Scale<I>,
    search: &'a mut Search<I>,
}

impl<I: Isa, T: Element> Job<I> for Stuck<'_, '_, '_, I, T> {
    type Output = Rest;

    #[inline(always)]
    fn run(self, isa: I) -> Rest {
        let Self { window, tile, ones, scale, search } = self;
        let rows = tile.rows();
        let mut rest = Rest::Many;
        if let Some(lower) = search.look_beyond(isa, rows) {
            scale.lowered(isa, lower).load(isa, window, 0, tile.levels_mut(isa));
            rest = passes(isa, tile, search);
        }
        while rest == Rest::Many {
            take_equal(isa, window, tile, ones, search);
            rest = search.rest(isa, rows);
            if rest == Rest::Many {
                divide::divide(isa, window, tile, search);
                rest = passes(isa, tile, search);
            }
        }
        rest
    }
}

#[inline(always)]
fn passes<I: Isa>(isa: I, tile: &Tile<'_, I>, search: &mut Search<I>) -> Rest {
    let searches = std::slice::from_mut(search);
    let [rest, ..] = isa.run(Passes { tiles: tile.together(), rows: tile.rows(), searches });
    rest
}
