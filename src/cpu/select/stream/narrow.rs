//! Step 2, between sweeps: brackets become narrower as more rows have been counted.
//!
//! How many elements of the last rows lie above a bracket and inside tells where their boundary is, if
//! elements lie evenly in the bracket. The mean of such places is about where the boundary of all rows
//! is: the more rows were seen and the fewer are left, the nearer. A boundary outside the last bracket
//! costs time, and so it does where elements do not lie evenly; [`Narrow::new`] looks for that.

use super::PART;
use super::bracket::Bracket;
use super::candidates::{Candidates, column};
use super::pass::Counts;
use crate::cpu::select::GROUP;

/// Standard deviations of the boundary's place, to either side.
const DEVIATIONS: f64 = 4.25;

/// Candidates of a part that are looked at before brackets become narrower, and of a column at least.
const LOOKED_AT: usize = 4096;
const AT_LEAST: f64 = 16.0;

/// Variance of places between 0 and 1 that are even enough. That of even ones is 1/12, and 1/4 where all
/// lie at the ends.
const EVEN: f64 = 1.0 / 7.0;

/// What is known of the boundaries of a part's columns.
pub(super) struct Narrow {
    /// Rows of the matrix and of the sample, and the share of ones.
    rows: f64,
    sampled: f64,
    share: f64,
    /// Rows that were seen, and their counts.
    seen: f64,
    before: Counts,
    /// The middle of the first bracket.
    origin: [f64; PART],
    /// How far from there boundaries were, times rows.
    distance: [f64; PART],
    /// Elements that lay inside, and the widths of brackets times rows.
    inside: [f64; PART],
    widths: [f64; PART],
    /// From the boundary to an end of a bracket, at least.
    least: [f64; PART],
}

impl Narrow {
    /// After the first sweep.
    pub(super) fn new(
        (rows, ones, sampled): (usize, usize, usize),
        bracket: &Bracket,
        candidates: &Candidates<'_>,
    ) -> Self {
        let mut places = [Places::default(); PART];
        for (value, place) in candidates.iter().take(LOOKED_AT) {
            let c = column(place);
            let (low, high) = bracket.ends(c);
            places[c].add((value - low) / (high - low));
        }
        let least = |c: usize| match places[c].grain() {
            Some(grain) if !bracket.exact[c / GROUP] => {
                grain * (bracket.ends(c).1 - bracket.ends(c).0)
            }
            _ => f64::INFINITY,
        };
        Self {
            rows: rows as f64,
            sampled: sampled as f64,
            share: ones as f64 / rows as f64,
            seen: 0.0,
            before: Counts::new(),
            origin: std::array::from_fn(|c| bracket.ends(c).0.midpoint(bracket.ends(c).1)),
            distance: [0.0; PART],
            inside: [0.0; PART],
            widths: [0.0; PART],
            least: std::array::from_fn(least),
        }
    }

    /// Narrows the brackets of the part after `rows` more rows.
    pub(super) fn narrow(&mut self, rows: usize, counts: &Counts, bracket: &mut Bracket) {
        let (rows, share) = (rows as f64, self.share);
        self.seen += rows;
        // Rows of the sample that were not seen yet are known as well.
        let sampled = self.sampled * (1.0 - self.seen / self.rows);
        let known = self.seen + sampled;
        let deviation = (share * (1.0 - share) * (1.0 / known - 1.0 / self.rows)).sqrt();
        for c in 0..PART {
            let (low, high) = bracket.ends(c);
            let inside = f64::from(counts.inside[c] - self.before.inside[c]);
            let below = f64::from(counts.below_high[c] - self.before.below_high[c]);
            self.inside[c] += inside;
            self.widths[c] += (high - low) * rows;
            // Elements of a row and a unit.
            let density = self.inside[c] / self.widths[c];
            let above_middle = rows - below + 0.5 * inside;
            let from_middle = (above_middle / rows - share) / density;
            self.distance[c] += (low.midpoint(high) - self.origin[c] + from_middle) * rows;
            let boundary = self.origin[c] + self.distance[c] / known;
            let reach = (DEVIATIONS * deviation / density).max(self.least[c]);
            bracket.narrow(c, (boundary - reach, boundary + reach));
        }
        self.before = *counts;
    }
}

/// Where in their bracket elements of a column lie: 0 is its lower end and 1 its upper one.
#[derive(Clone, Copy, Default)]
struct Places {
    count: f64,
    sum: f64,
    squares: f64,
    last: f64,
    /// How often an element equalled the one before.
    equal: f64,
}

impl Places {
    #[inline(always)]
    fn add(&mut self, place: f64) {
        self.count += 1.0;
        self.sum += place;
        self.squares += place * place;
        self.equal += f64::from(u8::from(place == self.last));
        self.last = place;
    }

    /// About the share of the elements that equal one of them, or none if they are few or uneven.
    fn grain(&self) -> Option<f64> {
        let mean = self.sum / self.count;
        let even = self.squares / self.count - mean * mean <= EVEN;
        (self.count >= AT_LEAST && even).then_some(2.0 * self.equal / self.count)
    }
}
