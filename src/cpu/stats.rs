//! Statistics of values on the CPU.

use super::blocks::{self, Block};
use super::penalty::{TOGETHER, add_rows};
use super::simd::{Detected, Loops, Machine, Rows, compiled};
use super::threads;
use crate::codes::WORD_BITS;
use crate::element::Real as _;
use crate::{CodesRef, Element, MatRef};

/// Adds the squared distance of each element to its bit, +1 or -1, to the sum of its column.
pub(crate) fn add_distances<T: Element>(
    isa: Detected,
    u: MatRef<'_, T>,
    b: CodesRef<'_>,
    sums: &mut [f64],
) {
    threads::for_each_band(sums, WORD_BITS, u.rows() * u.cols(), |n, sums| {
        compiled(isa, Distances { u, b, first: n * WORD_BITS, sums });
    });
}

/// Columns of up to a word of bits.
struct Distances<'a, T> {
    u: MatRef<'a, T>,
    b: CodesRef<'a>,
    first: usize,
    sums: &'a mut [f64],
}

impl<T: Element> Loops for Distances<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(mut self, machine: M) {
        let columns = self.first..self.first + self.sums.len();
        blocks::for_each(machine, self.u, columns, &mut self);
    }
}

impl<T: Element> Block<T> for Distances<'_, T> {
    #[inline(always)]
    fn block<M: Machine>(&mut self, machine: M, (i, j): (usize, usize), u: Rows<'_, T>) {
        let mut squares = [[0.0; WORD_BITS]; TOGETHER];
        let mut values = [T::Real::default(); WORD_BITS];
        let mut targets = [T::Real::default(); WORD_BITS];
        let mut signs = [T::default(); WORD_BITS];
        for first in (0..u.len()).step_by(TOGETHER) {
            let rows = u.range(first..u.len().min(first + TOGETHER));
            for (n, squares) in squares.iter_mut().enumerate() {
                if n >= rows.len() {
                    squares.fill(0.0);
                    continue;
                }
                let word = self.b.row(i + first + n)[j / WORD_BITS];
                machine.widen(rows.row(n), &mut values);
                machine.signs(u64::from_le(word), &mut signs);
                machine.widen(&signs, &mut targets);
                for ((square, value), target) in squares.iter_mut().zip(&values).zip(&targets) {
                    let distance = value.to_f64() - target.to_f64();
                    *square = distance * distance;
                }
            }
            add_rows(&squares, self.sums);
        }
    }
}

/// The bins of a histogram.
#[derive(Clone, Copy)]
pub struct Bins {
    pub(crate) lo: f64,
    pub(crate) hi: f64,
    pub(crate) number: usize,
}

impl Bins {
    fn width(&self) -> f64 {
        (self.hi - self.lo) / self.number as f64
    }

    /// Lower end of a bin.
    #[inline(always)]
    pub(crate) fn edge(&self, bin: f64) -> f64 {
        self.lo + bin * self.width()
    }
}

/// What a histogram counts in each column.
pub struct Tallies<'a> {
    /// `[cols, bins]`
    pub(crate) counts: &'a mut [u64],
    pub(crate) below: &'a mut [u64],
    pub(crate) above: &'a mut [u64],
    pub(crate) nan: &'a mut [u64],
}

/// Counts the values of each column.
pub(crate) fn tally<T: Element>(isa: Detected, u: MatRef<'_, T>, bins: Bins, tallies: Tallies<'_>) {
    compiled(isa, Tally { u, bins, tallies });
}

struct Tally<'a, T> {
    u: MatRef<'a, T>,
    bins: Bins,
    tallies: Tallies<'a>,
}

impl<T: Element> Loops for Tally<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(mut self, machine: M) {
        blocks::for_each(machine, self.u, 0..self.u.cols(), &mut self);
    }
}

impl<T: Element> Block<T> for Tally<'_, T> {
    #[inline(always)]
    fn block<M: Machine>(&mut self, machine: M, (_, j): (usize, usize), u: Rows<'_, T>) {
        let mut values = [T::Real::default(); WORD_BITS];
        let mut places = [0; WORD_BITS];
        let number = self.bins.number;
        for u in u.iter() {
            for (n, u) in u.chunks(WORD_BITS).enumerate() {
                machine.widen(u, &mut values);
                places_of(self.bins, &values[..u.len()], &mut places);
                for (j, place) in (j + n * WORD_BITS..).zip(&places[..u.len()]) {
                    let place = *place as usize;
                    if place < number {
                        self.tallies.counts[j * number + place] += 1;
                        continue;
                    }
                    let others = match place - number {
                        0 => &mut self.tallies.below,
                        1 => &mut self.tallies.above,
                        _ => &mut self.tallies.nan,
                    };
                    others[j] += 1;
                }
            }
        }
    }
}

/// The bin of each value; the numbers behind the last one stand for what is below, above, and NaN.
#[inline(always)]
fn places_of<R: crate::element::Real>(bins: Bins, values: &[R], places: &mut [u64]) {
    /// Added to a number that is not negative it leaves the nearest integer in the lowest bits.
    const ROUND: f64 = (1u64 << 52) as f64;
    let Bins { lo, hi, number } = bins;
    let (width, number) = (bins.width(), number as f64);
    // A power of two, so that the inverse of a width that is hardly there stays finite.
    let scale = if width < 1e-290 { f64::from_bits((1023 + 600) << 52) } else { 1.0 };
    let inverse = 1.0 / (width * scale);
    for (place, value) in places.iter_mut().zip(values) {
        let value = value.to_f64();
        // A bin's number or that of the next one; edges decide, as the quotient may round across one.
        let nearest = ((value - lo) * scale * inverse + ROUND) - ROUND;
        let bin = if value < bins.edge(nearest) { nearest - 1.0 } else { nearest };
        let bin = if bin > number - 1.0 { number - 1.0 } else { bin };
        let bin = if value < lo { number } else { bin };
        let bin = if value > hi { number + 1.0 } else { bin };
        let bin = if value.is_nan() { number + 2.0 } else { bin };
        *place = (bin + ROUND).to_bits() - ROUND.to_bits();
    }
}
