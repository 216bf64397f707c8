//! More rows than a network sorts: a group of 16 columns as levels in a tile, which is read again
//! and again.
//!
//! 1. A sample of the rows is sorted, and elements become [`levels`](super::levels) of 16 bits: a row
//!    of the tile is a vector.
//! 2. A cut of each column is [searched](super::search) by counting levels.
//! 3. Where levels do not tell all, [`exact`](super::exact) does.
//! 4. The tile is compared with the cuts and written.

use super::emit::{Cut, Strip};
use super::exact::{self, Range};
use super::levels::{Places, Scale};
use super::search::{Passes, Rest, Search, TOP};
use super::source::{Source, Window};
use super::{GROUP, Large, parts};
use crate::Element;
use crate::cpu::simd::{Isa, Job, Vector, vectors_mut};

/// Bytes of a vector.
const VECTOR: usize = 32;

/// 64-bit words of scratch memory for a matrix: a tile for each thread.
pub(crate) fn scratch_words((rows, cols): (usize, usize)) -> usize {
    if cols == 0 { 0 } else { parts((rows, cols)) * (rows + 1) * VECTOR / 8 }
}

#[inline(always)]
pub(super) fn run<I: Isa, T: Element>(
    isa: I,
    source: &Source<'_, T>,
    ones: usize,
    mut out: Strip<'_, T>,
    scratch: &mut [i16],
) {
    let (rows, cols) = (source.rows(), source.cols());
    let tile = &mut vectors_mut(isa, scratch)[..rows];
    for first in (0..cols).step_by(GROUP) {
        let window = source.window(first, GROUP);
        if window.is_plain(GROUP) {
            group::<I, T, true>(isa, &window, tile, ones, &mut out, first);
        } else {
            group::<I, T, false>(isa, &window, tile, ones, &mut out, first);
        }
    }
    out.write_pads(rows, cols);
}

#[inline(always)]
fn group<I: Isa, T: Element, const PLAIN: bool>(
    isa: I,
    window: &Window<'_, T>,
    tile: &mut [I::I16],
    ones: usize,
    out: &mut Strip<'_, T>,
    first: usize,
) {
    let cut = isa.run(Cuts::<I, T, PLAIN> { window, tile, ones });
    let width = window.width();
    out.write::<I, i16>(isa, tile, &Cut { at: cut, need: None }, (first, width));
    if out.wants_threshold() {
        let ones = Range { above: cut, up_to: I::I16::splat(isa, TOP) };
        let (least, _) = exact::extremes::<I, T, PLAIN>(isa, window, tile, ones);
        out.write_threshold::<Large<T>>(first, &least[..width]);
    }
}

/// Steps 1 to 3. Fills the tile such that exactly `ones` levels of each column lie above its cut.
struct Cuts<'a, 'b, I: Isa, T, const PLAIN: bool> {
    window: &'a Window<'b, T>,
    tile: &'a mut [I::I16],
    ones: usize,
}

impl<I: Isa, T: Element, const PLAIN: bool> Job<I> for Cuts<'_, '_, I, T, PLAIN> {
    type Output = I::I16;

    #[inline(always)]
    fn run(self, isa: I) -> I::I16 {
        let Self { window, tile, ones } = self;
        let rows = tile.len();
        if ones == rows {
            tile.fill(I::I16::splat(isa, TOP));
            return I::I16::splat(isa, 0);
        }
        let places = Places::new(rows, ones);
        let scale = Scale::sampled::<T, PLAIN>(isa, window, rows, &places);
        let above = scale.load::<T, PLAIN>(isa, window, tile);
        let mut search = Search::new(isa, rows, ones, window.width(), places.above);
        let mut above = Some(above);
        loop {
            let passes = Passes { tile, search: &mut search, above: above.take() };
            match isa.run(passes) {
                Rest::Nothing => return search.cut(isa),
                Rest::Few => {
                    exact::list(isa, window, tile, ones, &mut search);
                    return search.cut(isa);
                }
                Rest::Many => {
                    exact::divide::<I, T, PLAIN>(isa, window, tile, ones, &mut search);
                }
            }
        }
    }
}
