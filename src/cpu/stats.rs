//! Statistics of values on the CPU.

use super::blocks;
use super::simd::{Detected, KeyLanes, Loops, RealRoom, Rows, Unpack, compiled, reals};
use super::threads;
use crate::codes::WORD_BITS;
use crate::element::Real;
use crate::{CodesRef, Element, MatRef};

/// Adds the squared distance of each element to its bit, +1 or -1, to the sum of its column.
pub(crate) fn add_distances<T: Element>(
    isa: Detected,
    u: MatRef<'_, T>,
    b: CodesRef<'_>,
    sums: &mut [f64],
) {
    threads::for_each_band(sums, WORD_BITS, u.rows() * u.cols(), |n, sums| {
        let first = n * WORD_BITS;
        let mut room = RealRoom::new();
        let mut targets = [[T::Real::default(); WORD_BITS]; TOGETHER];
        let one = bytemuck::cast::<_, <T::Real as KeyLanes>::Small>(T::Real::ONE);
        blocks::for_each(u, first..first + sums.len(), &mut |(i, _), u| {
            for (part, u) in u.parts(TOGETHER).enumerate() {
                let mut words = [0; TOGETHER];
                for (word, row) in words.iter_mut().zip(i + part * TOGETHER..).take(u.len()) {
                    *word = b.row(row)[n];
                }
                let to = bytemuck::cast_slice_mut(&mut targets.as_flattened_mut()[..]);
                compiled(isa, Unpack { words: &words[..u.len()], to, one });
                let rows = room.reals(isa, u);
                compiled(isa, Distances { rows, targets: &targets, sums: &mut *sums });
            }
        });
    });
}

/// Rows whose targets wait on the stack.
const TOGETHER: usize = 32;

/// Rows of up to 64 columns, and what they are to be.
struct Distances<'a, R> {
    rows: Rows<'a, R>,
    targets: &'a [[R; WORD_BITS]; TOGETHER],
    sums: &'a mut [f64],
}

impl<R: Real> Loops for Distances<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { rows, targets, sums } = self;
        let pairs = targets.as_chunks::<2>().0;
        for (n, targets) in pairs.iter().enumerate().take(rows.len() / 2) {
            let (a, b) = (rows.row(2 * n).iter().zip(&targets[0]), rows.row(2 * n + 1));
            for ((sum, a), b) in sums.iter_mut().zip(a).zip(b.iter().zip(&targets[1])) {
                *sum = *sum + squared(a) + squared(b);
            }
        }
        if rows.len() % 2 == 1 {
            let last = rows.len() - 1;
            for (sum, pair) in sums.iter_mut().zip(rows.row(last).iter().zip(&targets[last])) {
                *sum += squared(pair);
            }
        }
    }
}

#[inline(always)]
fn squared<R: Real>((value, target): (&R, &R)) -> f64 {
    let distance = value.to_f64() - target.to_f64();
    distance * distance
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
pub(crate) fn tally<T: Element>(
    isa: Detected,
    u: MatRef<'_, T>,
    bins: Bins,
    mut tallies: Tallies<'_>,
) {
    let mut buffer = [T::Real::default(); AT_ONCE];
    let mut places = [0; AT_ONCE];
    blocks::for_each(u, 0..u.cols(), &mut |(_, j), u| {
        for u in u.iter() {
            for (n, u) in u.chunks(AT_ONCE).enumerate() {
                let values = reals(isa, u, &mut buffer);
                let places = &mut places[..u.len()];
                compiled(isa, Places { bins, values, places: &mut *places });
                tallies.count(bins.number, j + n * AT_ONCE, places);
            }
        }
    });
}

impl Tallies<'_> {
    /// Counts a row's values from column `first` on.
    fn count(&mut self, bins: usize, first: usize, places: &[u64]) {
        for (j, &place) in (first..).zip(places) {
            let place = place as usize;
            if place < bins {
                self.counts[j * bins + place] += 1;
                continue;
            }
            let others = match place - bins {
                0 => &mut self.below,
                1 => &mut self.above,
                _ => &mut self.nan,
            };
            others[j] += 1;
        }
    }
}

/// Values that are calculated with at a time.
const AT_ONCE: usize = 256;

/// The bin of each value; the numbers behind the last one stand for what is below, above, and NaN.
struct Places<'a, R> {
    bins: Bins,
    values: &'a [R],
    places: &'a mut [u64],
}

impl<R: Real> Loops for Places<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        /// Added to a number that is not negative it leaves the nearest integer in the lowest bits.
        const ROUND: f64 = (1u64 << 52) as f64;
        let Bins { lo, hi, number } = self.bins;
        let (width, number) = (self.bins.width(), number as f64);
        // A power of two, so that the inverse of a width that is hardly there stays finite.
        let scale = if width < 1e-290 { f64::from_bits((1023 + 600) << 52) } else { 1.0 };
        let inverse = 1.0 / (width * scale);
        for (place, value) in self.places.iter_mut().zip(self.values) {
            let value = value.to_f64();
            // A bin's number or that of the next one; edges decide, as the quotient may round
            // across one.
            let nearest = ((value - lo) * scale * inverse + ROUND) - ROUND;
            let bin = if value < lo + nearest * width { nearest - 1.0 } else { nearest };
            let bin = if bin > number - 1.0 { number - 1.0 } else { bin };
            let bin = if value < lo { number } else { bin };
            let bin = if value > hi { number + 1.0 } else { bin };
            let bin = if value.is_nan() { number + 2.0 } else { bin };
            *place = (bin + ROUND).to_bits() - ROUND.to_bits();
        }
    }
}
