//! Elements as levels: 8 bits that keep the order of a column, though not all of it.
//!
//! A column's level is its value less a centre, times a factor, rounded. Both come from a sample, such
//! that the boundary lies within the range of levels in all but a few of a thousand columns. Beyond
//! the range all have the same level, as NaN and +inf have: a boundary there moves the range once. Else it,
//! and equal levels of different values, are the business of [`list`](super::list),
//! [`equal`](super::equal) and [`divide`](super::divide).

use super::GROUP;
use super::count::TOP;
use super::networks::sort_vectors;
use super::source::Window;
use crate::Element;
use crate::cpu::simd::{Floats, Isa, Job, Loads, Ordered, Vector};

/// Rows that are sorted to find a bracket.
const SAMPLE: usize = 32;

/// Levels between the ends of a bracket: not all there are, for what lies beyond.
const LEVELS: f32 = 250.0;

/// The factor of columns whose bracket has none, such as one that ends at infinity: monotone, with
/// almost all numbers at level 0.
const NO_FACTOR: f32 = 1e-30;

/// Which rows of the sorted sample a bracket ends at: 3 standard deviations around the place
/// where the boundary is expected.
pub(super) struct Places {
    low: Option<usize>,
    high: Option<usize>,
    /// Where the boundary is expected.
    middle: usize,
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
        Self { low, high, middle: (middle.max(0.0) as usize).min(SAMPLE - 1), above }
    }
}

/// Rows between one that is loaded and one that is asked for.
const AHEAD: usize = 32;

/// How the columns of a group become levels.
#[derive(Clone, Copy)]
pub(super) struct Scale<I: Isa> {
    factor: I::F32,
    term: I::F32,
}

/// Makes a scale from a sample of the rows, and a guess of the boundary.
pub(super) struct Sample<'a, 'b, T> {
    pub window: &'a Window<'b, T>,
    pub rows: usize,
    pub places: &'a Places,
}

impl<I: Isa, T: Element> Job<I> for Sample<'_, '_, T> {
    type Output = (Scale<I>, I::F32);

    #[inline(always)]
    fn run(self, isa: I) -> Self::Output {
        let Self { window, rows, places } = self;
        let mut copy = [T::default(); GROUP];
        let mut sample = [I::F32::splat(isa, 0.0); SAMPLE];
        for i in 0..SAMPLE {
            let row = window.row((2 * i + 1) * rows / (2 * SAMPLE), GROUP, &mut copy);
            // +inf for NaN.
            sample[i] = T::floats(isa, row).min(Ordered::splat(isa, f32::INFINITY));
        }
        sort_vectors(&mut sample);
        let scale = Scale::of_brackets(isa, between(isa, &sample, places));
        (scale, guess(isa, &sample, places.middle))
    }
}

impl<I: Isa> Scale<I> {
    /// All at one level.
    #[inline(always)]
    pub(super) fn none(isa: I) -> Self {
        let zero = I::F32::splat(isa, 0.0);
        Self { factor: zero, term: zero }
    }

    /// Loads the levels of rows from `start` on.
    #[inline(always)]
    pub(super) fn load<T: Element>(
        &self,
        isa: I,
        window: &Window<'_, T>,
        start: usize,
        levels: &mut [I::I8],
    ) {
        if let Some(rows) = window.plain(GROUP) {
            let rows = rows.range(start..start + levels.len());
            for (levels, row) in levels.iter_mut().zip(rows.iter()) {
                isa.prefetch(row.as_ptr().wrapping_add(AHEAD * rows.stride()));
                *levels = self.levels(isa, row);
            }
        } else {
            let mut copy = [T::default(); GROUP];
            for (i, levels) in (start..).zip(levels) {
                *levels = self.levels(isa, window.row(i, GROUP, &mut copy));
            }
        }
    }

    /// About the value of a level, `plus` levels higher.
    #[inline(always)]
    pub(super) fn value(&self, isa: I, level: I::I32, plus: f32) -> I::F32 {
        let level = isa.float(level).add(Ordered::splat(isa, plus));
        level.sub(self.term).div(self.factor)
    }

    /// With brackets of their own.
    #[inline(always)]
    pub(super) fn of_brackets(isa: I, brackets: (I::F32, I::F32)) -> Self {
        let (centre, factor) = spread(isa, brackets);
        let term = I::F32::splat(isa, 0.0).sub(centre.mul(factor));
        Self { factor, term }
    }

    /// With all levels lower by so many.
    #[inline(always)]
    pub(super) fn lowered(self, isa: I, by: I::I32) -> Self {
        Self { term: self.term.sub(isa.float(by)), ..self }
    }

    #[inline(always)]
    fn levels<T: Element>(&self, isa: I, row: &[T]) -> I::I8 {
        self.level(isa, <T as Loads>::floats(isa, row))
    }

    /// The level of a value.
    #[inline(always)]
    pub(super) fn level(&self, isa: I, value: I::F32) -> I::I8 {
        let scaled = value.scale(self.factor, self.term);
        // NaN becomes the greatest level too.
        isa.narrow_to_8(isa.round(scaled.min(Ordered::splat(isa, TOP.into()))))
    }
}

/// Where in a sorted sample the boundary is expected. If a value close by is frequent, the boundary may
/// well be at it, and a search from elsewhere would come near in small steps.
#[inline(always)]
fn guess<I: Isa>(isa: I, sample: &[I::F32; SAMPLE], middle: usize) -> I::F32 {
    /// Places to either side that count as close by, and how many equal ones make a value frequent.
    const CLOSE: usize = 3;
    let at = |place: usize| sample[place.min(SAMPLE - 1)];
    let half = I::F32::splat(isa, 0.5);
    let guess = at(middle).mul(half).add(at(middle + 1).mul(half));
    let (above, beyond) = (at(middle + 1 + CLOSE), at(middle + 1 + 2 * CLOSE));
    let guess = Floats::select(beyond.gt(above), guess, above);
    let (below, beyond) = (at(middle.saturating_sub(CLOSE)), at(middle.saturating_sub(2 * CLOSE)));
    Floats::select(below.gt(beyond), guess, below)
}

/// The bracket of a sorted sample.
#[inline(always)]
fn between<I: Isa>(isa: I, sample: &[I::F32; SAMPLE], places: &Places) -> (I::F32, I::F32) {
    let (first, last) = (sample[0], sample[SAMPLE - 1]);
    // Where the sample has no row far enough, half of its range is added.
    let reach = last.sub(first).mul(I::F32::splat(isa, 0.5));
    let low = match places.low {
        Some(place) => sample[place],
        None => first.sub(reach),
    };
    let high = match places.high {
        Some(place) => sample[place],
        None => last.add(reach),
    };
    // An end at infinity, as NaN is here, tells nothing: half as far again as the other one.
    let (infinity, further) = (I::F32::splat(isa, f32::INFINITY), I::F32::splat(isa, 1.5));
    let middle = sample[places.middle];
    let beyond = middle.add(middle.sub(low).mul(further));
    let below = middle.sub(high.sub(middle).mul(further));
    let minus_infinity = I::F32::splat(isa, f32::NEG_INFINITY);
    (
        Floats::select(low.gt(minus_infinity), low, below),
        Floats::select(infinity.gt(high), high, beyond),
    )
}

/// The middle of a bracket, and levels for each unit.
#[inline(always)]
fn spread<I: Isa>(isa: I, (low, high): (I::F32, I::F32)) -> (I::F32, I::F32) {
    let (zero, half) = (I::F32::splat(isa, 0.0), I::F32::splat(isa, 0.5));
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
    Floats::of_bits(value.bits().and(Ordered::splat(isa, i32::MAX)))
}
