//! Step 1: values between which the boundary of each column lies in all but one of seven thousand.

use super::{GROUPS, PART};
use crate::cpu::select::GROUP;
use crate::cpu::select::count::Tile;
use crate::cpu::select::emit::Strip;
use crate::cpu::select::levels::{self, Places, Scale};
use crate::cpu::select::refine::{Refine, surroundings};
use crate::cpu::select::source::Source;
use crate::cpu::select::tile::Tiles;
use crate::cpu::simd::{Isa, Job, Ordered, single_rows_mut, vectors_mut};
use crate::{Element, Outputs};

/// One row of so many is in the sample,
const ONE_OF: usize = 16;
/// unless that would be less rows, or more.
const ROWS: (usize, usize) = (8192, 65_536);

/// Rows that are read of a group before the next one's turn.
const AT_ONCE: usize = 32;

/// Standard deviations of the boundary's place in the sample, to either side.
const DEVIATIONS: f64 = 3.8;

/// How many times as many elements as expected may be in a bracket whose ends are not exact. More
/// are where levels are wide or one value is frequent.
const MANY: i32 = 2;

/// Every n-th row, and how many elements of the sample are not below the ends of the bracket.
#[derive(Clone, Copy)]
pub(in crate::cpu::select) struct Sample {
    step: usize,
    low: usize,
    high: usize,
}

/// The ends of open brackets and about their middles, as `f32` as elements are compared with them.
#[derive(Clone, Copy)]
pub(super) struct Bracket {
    pub low: [f32; PART],
    pub middle: [f32; PART],
    pub high: [f32; PART],
    /// The groups whose ends are values that elements have.
    pub exact: [bool; GROUPS],
    /// Columns whose ends are not those of the sample any more, a bit each.
    narrowed: u64,
}

impl Default for Bracket {
    fn default() -> Self {
        let zero = [0.0; PART];
        Self { low: zero, middle: zero, high: zero, exact: [false; GROUPS], narrowed: 0 }
    }
}

impl Bracket {
    /// Of column `c`.
    pub(super) fn ends(&self, c: usize) -> (f64, f64) {
        (self.low[c].into(), self.high[c].into())
    }

    /// Takes what two values of column `c` leave, if that is something.
    pub(super) fn narrow(&mut self, c: usize, (low, high): (f64, f64)) {
        let (low, high) = (self.low[c].max(low as f32), self.high[c].min(high as f32));
        if low < high && (low, high) != (self.low[c], self.high[c]) {
            (self.low[c], self.middle[c], self.high[c]) = (low, middle(low, high), high);
            self.narrowed |= 1 << c;
        }
    }

    /// Whether the ends of column `c` are not those of the sample any more.
    pub(super) fn is_narrowed(&self, c: usize) -> bool {
        self.narrowed >> c & 1 == 1
    }

    /// Whether all elements with a value are candidates, whatever rows they are of.
    pub(super) fn holds(&self, c: usize, value: f32) -> bool {
        self.low[c] < value && value < self.high[c]
    }
}

/// Of values far apart as well.
fn middle(low: f32, high: f32) -> f32 {
    0.5 * low + 0.5 * high
}

impl Sample {
    /// None where the boundary is so near an end of the order that a sample does not bracket it.
    pub(super) fn new(rows: usize, ones: usize) -> Option<Self> {
        // Odd, so that the sampled rows do not all fall on a few sets of the caches.
        let step = (rows / (rows / ONE_OF).clamp(ROWS.0, ROWS.1)) | 1;
        let sampled = rows / step;
        let share = ones as f64 / rows as f64;
        let middle = share * sampled as f64;
        // Of a sample without replacement.
        let variance = middle * (1.0 - share) * (1.0 - 1.0 / step as f64);
        let margin = DEVIATIONS * variance.sqrt() + 1.0;
        let (low, high) = ((middle + margin).ceil(), (middle - margin).floor());
        (high >= 1.0 && low <= sampled as f64).then_some(Self {
            step,
            low: low as usize,
            high: high as usize,
        })
    }

    /// Rows of the sample, of so many.
    pub(super) fn rows(&self, of: usize) -> usize {
        of / self.step
    }

    /// Brackets of up to [`PART`] columns.
    pub(super) fn bracket<I: Isa, T: Element>(
        &self,
        isa: I,
        source: &Source<'_, T>,
        scratch: &mut [u64],
    ) -> Bracket {
        let sample = &source.every(self.step);
        let mut bracket = Bracket::default();
        let inside = isa.run(Near { sample: self, source: sample, bracket: &mut bracket, scratch });
        let Bracket { low, middle: middles, high, exact, .. } = &mut bracket;
        for (g, first) in (0..sample.cols()).step_by(GROUP).enumerate() {
            if inside[g] > MANY * (self.low - self.high) as i32 {
                let source = &sample.part(first, GROUP.min(sample.cols() - first));
                exactly(isa, source, self.low, &mut low[first..], scratch);
                exactly(isa, source, self.high, &mut high[first..], scratch);
                exact[g] = true;
            }
        }
        *middles = std::array::from_fn(|c| middle(low[c], high[c]));
        bracket
    }
}

/// The values of each column above which about so many elements of the sample are.
struct Near<'a, 'b, T> {
    sample: &'a Sample,
    source: &'a Source<'b, T>,
    bracket: &'a mut Bracket,
    scratch: &'a mut [u64],
}

impl<I: Isa, T: Element> Job<I> for Near<'_, '_, T> {
    /// Elements between them in the column of each group that has most.
    type Output = [i32; GROUPS];

    #[inline(always)]
    fn run(self, isa: I) -> [i32; GROUPS] {
        let Self { sample, source, bracket, scratch } = self;
        let (rows, groups) = (source.rows(), source.cols().div_ceil(GROUP));
        let ones = sample.low.midpoint(sample.high);
        let places = &Places::new(rows, ones);
        let vectors = Tile::<I>::vectors(rows);
        let tiles = vectors_mut::<I::Rows>(isa, bytemuck::cast_slice_mut(scratch));
        let mut scales = [Scale::none(isa); GROUPS];
        for g in 0..groups {
            let window = &source.window(g * GROUP, GROUP);
            let (scale, _) = isa.run(levels::Sample { window, rows, places });
            let vectors = &mut tiles[..vectors];
            (scales[g], _) = isa.run(Refine { window, vectors, ones, scale });
        }
        // The groups in turn, as their elements of a row lie side by side.
        for start in (0..rows).step_by(AT_ONCE) {
            for g in 0..groups {
                let levels = single_rows_mut(isa, &mut tiles[g * vectors..][..vectors]);
                let levels = &mut levels[start..rows.min(start + AT_ONCE)];
                let window = &source.window(g * GROUP, GROUP);
                scales[g].load(isa, window, start, levels);
            }
        }
        let goals = (sample.low as f64, sample.high as f64);
        let mut most = [0; GROUPS];
        for g in 0..groups {
            let width = GROUP.min(source.cols() - g * GROUP);
            let tile = &Tile::new(isa, &mut tiles[g * vectors..][..vectors], rows);
            let near = surroundings(isa, tile, scales[g], width, goals);
            let mut inside = [0; GROUP];
            near.brackets.0.store(&mut bracket.low[g * GROUP..]);
            near.brackets.1.store(&mut bracket.high[g * GROUP..]);
            near.inside.store(&mut inside);
            most[g] = inside[..width].iter().copied().max().unwrap_or(0);
        }
        most
    }
}

/// The values of a group above which exactly so many elements are, or which are among them.
fn exactly<I: Isa, T: Element>(
    isa: I,
    source: &Source<'_, T>,
    ones: usize,
    to: &mut [f32],
    scratch: &mut [u64],
) {
    let mut values = [T::default(); GROUP];
    let mut out = Outputs::none().threshold(&mut values);
    let out = Strip::new(&mut out, GROUP);
    isa.run(Tiles { source, ones, out, scratch });
    for (to, value) in to.iter_mut().zip(values) {
        *to = value.to_f64() as f32;
    }
}
