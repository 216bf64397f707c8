//! Many rows: narrower brackets from a larger sample, so that fewer passes over the tile remain.
//!
//! Every n-th row makes a small tile. In it the boundaries are searched of which one has more ones
//! than the wanted one has and the other less, by a few standard deviations. Levels between them tell
//! more values apart, and the second probe already is next to the boundary. As with any scale, a
//! wrong guess costs time and nothing else.

use super::levels::Scale;
use super::search::{BELOW, Pair, Passes, Search, TOP};
use super::source::Window;
use crate::Element;
use crate::cpu::simd::{Floats, Isa, Job, Vector};

/// Rows from which on this is worth its time.
pub(super) const REFINED_FROM: usize = 16_384;

/// One row of so many, unless that would be more than [`SAMPLE`].
const STEP: usize = 16;

/// The most rows of the small tile, of half a megabyte.
const SAMPLE: usize = 16_384;

/// Standard deviations to either side: one column of 2000 misses.
const DEVIATIONS: f64 = 3.5;

pub(super) struct Refine<'a, 'b, I: Isa, T> {
    pub window: &'a Window<'b, T>,
    pub tile: &'a mut [I::I16],
    pub ones: usize,
    pub scale: Scale<I>,
}

impl<I: Isa, T: Element> Job<I> for Refine<'_, '_, I, T> {
    /// With about how many elements lie above the ends of the bracket.
    type Output = (Scale<I>, (f32, f32));

    #[inline(always)]
    fn run(self, isa: I) -> Self::Output {
        let Self { window, tile, ones, scale } = self;
        let rows = tile.len();
        let step = STEP.max(rows.div_ceil(SAMPLE));
        let sampled = rows / step;
        let tile = &mut tile[..sampled];
        let mut above = [I::I32::splat(isa, 0); 2];
        scale.load(isa, &window.every(step), 0, tile, &mut above);
        let share = ones as f64 / rows as f64;
        let middle = share * sampled as f64;
        let margin = DEVIATIONS * (middle * (1.0 - share)).sqrt() + 1.0;
        let (low, _) = around(isa, tile, above, window.width(), middle + margin);
        let (_, high) = around(isa, tile, above, window.width(), middle - margin);
        let zero = I::F32::splat(isa, 0.0);
        let mut brackets = [(zero, zero); 2];
        for j in 0..2 {
            // A level more, as they are rounded.
            brackets[j] = (scale.value(isa, j, low[j], -1.0), scale.value(isa, j, high[j], 1.0));
        }
        let per_row = rows as f64 / sampled as f64;
        let ends = ((middle + margin) * per_row, (middle - margin) * per_row);
        let ends = (ends.0.min(rows as f64) as f32, ends.1.max(0.0) as f32);
        (Scale::of_brackets(isa, brackets), ends)
    }
}

/// Levels of which at least and at most `goal` levels of each column are greater.
#[inline(always)]
fn around<I: Isa>(
    isa: I,
    tile: &[I::I16],
    above: Pair<I::I32>,
    width: usize,
    goal: f64,
) -> (Pair<I::I32>, Pair<I::I32>) {
    let rows = tile.len();
    if goal < 1.0 {
        return ([I::I32::splat(isa, TOP.into()); 2], [I::I32::splat(isa, TOP.into()); 2]);
    }
    if goal >= rows as f64 {
        return ([I::I32::splat(isa, BELOW.into()); 2], [I::I32::splat(isa, BELOW.into()); 2]);
    }
    let ends = (rows as f32, 0.0);
    let mut search = Search::new(isa, rows, goal as usize, width, ends);
    isa.run(Passes { tile, search: &mut search, above: Some(above) });
    search.ends()
}
