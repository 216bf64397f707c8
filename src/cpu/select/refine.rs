//! Many rows: narrower brackets from a larger sample, so that fewer passes over the tile remain.
//!
//! Every n-th row makes a small tile. In it the boundaries are searched of which one has more ones
//! than the wanted one has and the other less, by a few standard deviations. Levels between them tell
//! more values apart, and the second probe already is next to the boundary. As with any scale, a
//! wrong guess costs time and nothing else.

use super::count::Tile;
use super::levels::Scale;
use super::search::{Passes, Search};
use super::source::Window;
use crate::Element;
use crate::cpu::simd::{Isa, Job, Vector};

/// Rows from which on this is worth its time.
pub(super) const REFINED_FROM: usize = 4096;

/// One row of so many, unless that would be more than [`SAMPLE`].
const STEP: usize = 16;

/// The most rows of the small tile, of a quarter of a megabyte.
const SAMPLE: usize = 16_384;

/// Standard deviations to either side: one column of 2000 misses.
const DEVIATIONS: f64 = 3.5;

pub(super) struct Refine<'a, 'b, I: Isa, T> {
    pub window: &'a Window<'b, T>,
    /// Memory for a tile of the sample.
    pub vectors: &'a mut [I::Rows],
    pub ones: usize,
    pub scale: Scale<I>,
}

impl<I: Isa, T: Element> Job<I> for Refine<'_, '_, I, T> {
    /// With about how many elements lie above the ends of the bracket.
    type Output = (Scale<I>, (f32, f32));

    #[inline(always)]
    fn run(self, isa: I) -> Self::Output {
        let Self { window, vectors, ones, scale } = self;
        let rows = window.rows();
        let step = STEP.max(rows.div_ceil(SAMPLE));
        let sampled = rows / step;
        let share = ones as f64 / rows as f64;
        let middle = share * sampled as f64;
        let margin = DEVIATIONS * (middle * (1.0 - share)).sqrt() + 1.0;
        let window = &window.every(step);
        let mut tile = Tile::new(isa, &mut vectors[..Tile::<I>::vectors(sampled)], sampled);
        let goals = (middle + margin, middle - margin);
        scale.load(isa, window, 0, tile.levels_mut(isa));
        let width = window.width();
        let Surroundings { brackets, .. } = surroundings(isa, &tile, scale, width, goals);
        let per_row = rows as f64 / sampled as f64;
        let ends = (goals.0 * per_row, goals.1 * per_row);
        let ends = (ends.0.min(rows as f64) as f32, ends.1.max(0.0) as f32);
        (Scale::of_brackets(isa, brackets), ends)
    }
}

/// Where two boundaries of a group are, one with more ones and one with less.
pub(super) struct Surroundings<I: Isa> {
    /// Values below the former and above the latter.
    pub brackets: (I::F32, I::F32),
    /// Elements between the levels of these values.
    pub inside: I::I32,
}

/// Searches the boundaries above which about `goals` elements of a tile are. The first `width` columns
/// exist.
#[inline(always)]
pub(super) fn surroundings<I: Isa>(
    isa: I,
    tile: &Tile<'_, I>,
    scale: Scale<I>,
    width: usize,
    goals: (f64, f64),
) -> Surroundings<I> {
    let low = around(isa, tile, width, goals.0).at_least();
    let high = around(isa, tile, width, goals.1).at_most();
    // A level more, as they are rounded.
    let brackets = (scale.value(isa, low.0, -1.0), scale.value(isa, high.0, 1.0));
    Surroundings { brackets, inside: low.1.sub(high.1) }
}

/// A search for the levels above which `goal` are, as far as passes tell.
#[inline(always)]
fn around<I: Isa>(isa: I, tile: &Tile<'_, I>, width: usize, goal: f64) -> Search<I> {
    let rows = tile.rows();
    let ends = (rows as f32, 0.0);
    let inner = goal.clamp(0.0, rows as f64);
    let mut search = Search::new(isa, rows, inner as usize, width, ends);
    if goal >= 1.0 && goal < rows as f64 {
        let searches = std::slice::from_mut(&mut search);
        isa.run(Passes { tiles: tile.together(), rows, searches });
    }
    search
}
