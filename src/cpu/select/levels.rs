//! Elements as levels: 16 bits that keep the order of a column, though not all of it.
//!
//! A column's level is its value less a centre, times a factor, rounded. Both come from a sample, such
//! that the boundary lies within the range of levels in all but a few of a thousand columns. Beyond
//! the range all have the same level, as NaN and +inf have: a boundary there, and equal levels of
//! different values, are the business of [`exact`](super::exact).

use super::GROUP;
use super::networks::sort;
use super::search::{BELOW, BLOCK, Pair, TOP, add_counts};
use super::source::Window;
use crate::Element;
use crate::cpu::simd::{Floats, Isa, Loads, Vector, floats_of, keys_of};

/// Rows that are sorted to find a bracket.
const SAMPLE: usize = 32;

/// Levels between the ends of a bracket: not all there are, for what lies beyond.
const LEVELS: f32 = 64_000.0;

/// The factor of columns whose bracket has none, such as one that ends at infinity: monotone, with
/// almost all numbers at level 0.
const NO_FACTOR: f32 = 1e-30;

/// Which rows of the sorted sample a bracket ends at: 3 standard deviations around the place
/// where the boundary is expected.
pub(super) struct Places {
    low: Option<usize>,
    high: Option<usize>,
    /// About how many elements lie above the ends of the bracket.
    pub above: (f32, f32),
}

impl Places {
    pub(super) fn new(rows: usize, ones: usize) -> Self {
        let share = (rows - ones) as f64 / rows as f64;
        let middle = share * SAMPLE as f64 - 0.5;
        let deviation = (SAMPLE as f64 * share * (1.0 - share)).sqrt();
        let place = |place: f64| (0.0..SAMPLE as f64).contains(&place).then_some(place as usize);
        let low = place((middle - 3.0 * deviation).floor());
        let high = place((middle + 3.0 * deviation).ceil());
        let above = |place: usize| rows as f32 * (1.0 - (place as f32 + 0.5) / SAMPLE as f32);
        let above = (low.map_or(rows as f32, above), high.map_or(0.0, above));
        Self { low, high, above }
    }
}

/// How the columns of a group become levels.
pub(super) struct Scale<I: Isa> {
    centre: Pair<I::F32>,
    factor: Pair<I::F32>,
}

impl<I: Isa> Scale<I> {
    /// From a sample of the columns.
    #[inline(always)]
    pub(super) fn sampled<T: Element, const PLAIN: bool>(
        isa: I,
        window: &Window<'_, T>,
        rows: usize,
        places: &Places,
    ) -> Self {
        let mut copy = [T::default(); GROUP];
        let mut samples = [[I::I32::splat(isa, 0); SAMPLE]; 2];
        for i in 0..SAMPLE {
            let row = window.row::<PLAIN>((2 * i + 1) * rows / (2 * SAMPLE), GROUP, &mut copy);
            for j in 0..2 {
                samples[j][i] = keys_of(isa, T::floats(isa, &row[8 * j..]));
            }
        }
        let mut scale =
            Self { centre: [I::F32::splat(isa, 0.0); 2], factor: [I::F32::splat(isa, 0.0); 2] };
        for j in 0..2 {
            sort(&mut samples[j]);
            (scale.centre[j], scale.factor[j]) = between(isa, &samples[j], places);
        }
        scale
    }

    /// Loads levels, and counts those above 0.
    #[inline(always)]
    pub(super) fn load<T: Element, const PLAIN: bool>(
        &self,
        isa: I,
        window: &Window<'_, T>,
        tile: &mut [I::I16],
    ) -> Pair<I::I32> {
        let mut copy = [T::default(); GROUP];
        let top = I::F32::splat(isa, TOP.into());
        let (zero, least) = (I::I16::splat(isa, 0), I::I16::splat(isa, BELOW + 1));
        let mut sum = [I::I32::splat(isa, 0); 2];
        let mut i = 0;
        for block in tile.chunks_mut(BLOCK) {
            let mut above = zero;
            for levels in block {
                let row = window.row::<PLAIN>(i, GROUP, &mut copy);
                let mut parts = sum;
                for j in 0..2 {
                    let value = <T as Loads>::floats(isa, &row[8 * j..]);
                    let scaled = value.sub(self.centre[j]).mul(self.factor[j]);
                    parts[j] = scaled.up_to(top).to_int();
                }
                *levels = isa.narrow(parts).max(least);
                above = above.sub(levels.gt(zero));
                i += 1;
            }
            add_counts(isa, &mut sum, above);
        }
        sum
    }
}

/// The middle of the bracket, and levels for each unit.
#[inline(always)]
fn between<I: Isa>(isa: I, sample: &[I::I32; SAMPLE], places: &Places) -> (I::F32, I::F32) {
    let (zero, half) = (I::F32::splat(isa, 0.0), I::F32::splat(isa, 0.5));
    let (first, last) = (floats_of(isa, sample[0]), floats_of(isa, sample[SAMPLE - 1]));
    // Where the sample has no row far enough, half of its range is added.
    let reach = last.sub(first).mul(half);
    let low = match places.low {
        Some(place) => floats_of(isa, sample[place]),
        None => first.sub(reach),
    };
    let high = match places.high {
        Some(place) => floats_of(isa, sample[place]),
        None => last.add(reach),
    };
    let span = high.sub(low);
    // Around a single value, a range that other values may well be in.
    let around = magnitude(isa, low).mul(I::F32::splat(isa, 1.0 / 256.0));
    let around = around.add(I::F32::splat(isa, 1e-30));
    let span = Floats::select(span.gt(zero), span, around);
    let centre = low.mul(half).add(high.mul(half));
    let factor = I::F32::splat(isa, LEVELS).div(span);
    let infinity = I::F32::splat(isa, f32::INFINITY);
    let usable = infinity.gt(magnitude(isa, centre)).and(factor.gt(zero)).and(infinity.gt(factor));
    let none = I::F32::splat(isa, NO_FACTOR);
    (Floats::select(usable, centre, zero), Floats::select(usable, factor, none))
}

#[inline(always)]
fn magnitude<I: Isa>(isa: I, value: I::F32) -> I::F32 {
    Floats::of_bits(value.bits().and(I::I32::splat(isa, i32::MAX)))
}
