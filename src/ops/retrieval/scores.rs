//! From counts to the measures of a query.

use super::{AtCutoff, Empty, Measure, Scores, WithinRadius};
use crate::Result;
use crate::memory::{allocate, room};
use crate::ops::check_parameter;

/// The cutoffs, ascending. A query has [`values`](Self::values) measures in a row: AP, and AP@k,
/// precision@k and recall@k for each.
pub(super) struct Cutoffs<'a> {
    asked: &'a [usize],
    /// k, no more than there are items, and its place in `asked`.
    ascending: Vec<(u32, u32)>,
}

impl<'a> Cutoffs<'a> {
    pub(super) fn new(asked: &'a [usize], items: usize) -> Result<Self> {
        let mut ascending = room((asked.len(), 1))?;
        for (n, &k) in asked.iter().enumerate() {
            check_parameter("a cutoff", k as f64, k > 0, "at least 1")?;
            ascending.push((k.min(items) as u32, n as u32));
        }
        ascending.sort_unstable();
        Ok(Self { asked, ascending })
    }

    /// Measures of a query.
    pub(super) fn values(&self) -> usize {
        1 + 3 * self.asked.len()
    }

    /// Measures of a ranking, from the places of the relevant items, of which there are some.
    pub(super) fn by_index(&self, places: &[u32], values: &mut [f64]) {
        let all = places.len() as f64;
        let mut cutoffs = self.ascending.iter().peekable();
        let mut write = |(k, n): (u32, u32), found: usize, sum: f64| {
            let ap = if found == 0 { 0.0 } else { sum / found as f64 };
            let found = found as f64;
            let values = &mut values[1 + 3 * n as usize..][..3];
            values.copy_from_slice(&[ap, found / f64::from(k), found / all]);
        };
        let mut sum = 0.0;
        for (found, &place) in places.iter().enumerate() {
            while let Some(&cutoff) = cutoffs.next_if(|(k, _)| *k < place) {
                write(cutoff, found, sum);
            }
            sum += (found + 1) as f64 / f64::from(place);
        }
        cutoffs.for_each(|&cutoff| write(cutoff, places.len(), sum));
        values[0] = sum / all;
    }

    /// Expectations of the same when items of equal distance are shuffled, from the number of items
    /// and of relevant ones at each distance.
    pub(super) fn expected(&self, items: &[u32], relevant: &[u32], values: &mut [f64]) {
        let all = relevant.iter().map(|&n| f64::from(n)).sum::<f64>();
        let mut cutoffs = self.ascending.iter().peekable();
        let mut ahead = Ahead::default();
        for (&items, &relevant) in items.iter().zip(relevant) {
            let group = Group { items: items.into(), relevant: relevant.into(), ahead };
            let end = ahead.items + group.items;
            while let Some(&(k, n)) = cutoffs.next_if(|(k, _)| u64::from(*k) <= end) {
                let taken = u64::from(k) - ahead.items;
                let share = if taken == 0 { 0.0 } else { taken as f64 / group.items as f64 };
                let found = ahead.relevant as f64 + group.relevant as f64 * share;
                let ap = group.average_precision(taken);
                let values = &mut values[1 + 3 * n as usize..][..3];
                values.copy_from_slice(&[ap, found / f64::from(k), found / all]);
            }
            ahead = group.behind();
        }
        values[0] = ahead.sum / all;
    }

    /// The measures that begin with column `first` of a sheet.
    pub(super) fn scores(&self, sheet: &Sheet, first: usize) -> Result<Scores> {
        let mut at = room((self.asked.len(), 1))?;
        for (n, &k) in self.asked.iter().enumerate() {
            let measure = |m| sheet.measure(first + 1 + 3 * n + m);
            at.push(AtCutoff { k, map: measure(0)?, precision: measure(1)?, recall: measure(2)? });
        }
        Ok(Scores { map: sheet.measure(first)?, at })
    }
}

/// What is nearer than a group of items at equal distance.
#[derive(Clone, Copy, Default)]
struct Ahead {
    items: u64,
    relevant: u64,
    /// Expected sum over the relevant ones of (relevant items up to it) / (its place).
    sum: f64,
}

/// Items at equal distance.
struct Group {
    items: u64,
    relevant: u64,
    ahead: Ahead,
}

impl Group {
    /// Expected sum over `relevant` items that lie anywhere in the first `places` places of the group.
    ///
    /// With h relevant items in t places, a place s holds one with probability h / t, and then
    /// R + 1 + (s - 1) (h - 1) / (t - 1) are expected up to it, of which R are nearer.
    fn sum(&self, relevant: f64, places: u64, [inverses, weighted]: [f64; 2]) -> f64 {
        let rest = if places > 1 { (relevant - 1.0) / (places - 1) as f64 } else { 0.0 };
        let first = self.ahead.relevant as f64 + 1.0;
        relevant / places as f64 * (first * inverses + rest * weighted)
    }

    /// What is ahead of the next group.
    fn behind(&self) -> Ahead {
        let Ahead { items, relevant, mut sum } = self.ahead;
        if self.relevant > 0 {
            let sums = sums(items, self.items);
            sum += self.sum(self.relevant as f64, self.items, sums);
        }
        Ahead { items: items + self.items, relevant: relevant + self.relevant, sum }
    }

    /// Expected average precision within the first `taken` places of the group and what is nearer.
    /// How many relevant items are among those is hypergeometric.
    fn average_precision(&self, taken: u64) -> f64 {
        let sums = sums(self.ahead.items, taken);
        let given = |found: u64| {
            let all = (self.ahead.relevant + found) as f64;
            let inside = if found == 0 { 0.0 } else { self.sum(found as f64, taken, sums) };
            if all == 0.0 { 0.0 } else { (self.ahead.sum + inside) / all }
        };
        let least = (taken + self.relevant).saturating_sub(self.items);
        let most = taken.min(self.relevant);
        // How much likelier one more is.
        let likelier = |found: u64| {
            let left = (self.relevant - found) as f64 * (taken - found) as f64;
            let others = self.items + found + 1 - self.relevant - taken;
            left / ((found + 1) as f64 * others as f64)
        };
        let likeliest = (u128::from(taken + 1) * u128::from(self.relevant + 1)
            / u128::from(self.items + 2)) as u64;
        let likeliest = likeliest.clamp(least, most);
        let (mut weights, mut sum) = (1.0, given(likeliest));
        let mut weight = 1.0;
        for found in likeliest..most {
            weight *= likelier(found);
            if weight < f64::EPSILON * f64::EPSILON {
                break;
            }
            weights += weight;
            sum += weight * given(found + 1);
        }
        weight = 1.0;
        for found in (least..likeliest).rev() {
            weight /= likelier(found);
            if weight < f64::EPSILON * f64::EPSILON {
                break;
            }
            weights += weight;
            sum += weight * given(found);
        }
        sum / weights
    }
}

/// Sums over s from 1 to `places` of 1 / (`before` + s) and of (s - 1) / (`before` + s).
fn sums(before: u64, places: u64) -> [f64; 2] {
    /// Places that are added up one by one.
    const FEW: u64 = 256;
    /// Places from which on the series below is exact.
    const FAR: u64 = 64;
    let few = if places <= FEW { places } else { FAR.saturating_sub(before) };
    let (mut inverses, mut weighted) = (0.0, 0.0);
    for s in 1..=few {
        let inverse = 1.0 / (before + s) as f64;
        inverses += inverse;
        weighted += (s - 1) as f64 * inverse;
    }
    if few < places {
        // Harmonic numbers: H(n) = c + ln x + 1 / (24 x^2) - 7 / (960 x^4) + 31 / (8064 x^6) - ...
        // with x = n + 1/2 (DLMF 5.11.10, in another form).
        let series = |x: f64| {
            let square = 1.0 / (x * x);
            square * (1.0 / 24.0 - square * (7.0 / 960.0 - square * (31.0 / 8064.0)))
        };
        let (from, to) = ((before + few) as f64 + 0.5, (before + places) as f64 + 0.5);
        let rest = ((to - from) / from).ln_1p() + (series(to) - series(from));
        inverses += rest;
        weighted += (places - few) as f64 - (before + 1) as f64 * rest;
    }
    [inverses, weighted]
}

/// The measures of all queries, a row for each.
pub(super) struct Sheet {
    values: Vec<f64>,
    columns: usize,
    queries: usize,
    /// Queries that the means are over.
    pub(super) evaluated: usize,
    empty: Empty,
}

impl Sheet {
    pub(super) fn new(queries: usize, columns: usize, empty: Empty) -> Result<Self> {
        Ok(Self { values: room((queries, columns))?, columns, queries, evaluated: 0, empty })
    }

    /// Adds a row; a query without a relevant item has none of its own.
    pub(super) fn push(&mut self, row: Option<&[f64]>) {
        let (row, fill) = match (row, self.empty) {
            (Some(row), _) => (row, 0.0),
            (None, Empty::Zero) => (&[][..], 0.0),
            (None, Empty::LeaveOut) => (&[][..], f64::NAN),
        };
        self.evaluated += usize::from(!fill.is_nan());
        let end = self.values.len() + self.columns;
        self.values.extend_from_slice(row);
        self.values.resize(end, fill);
    }

    fn measure(&self, column: usize) -> Result<Measure> {
        let mut of_query = room((self.queries, 1))?;
        of_query.extend(self.values.chunks_exact(self.columns).map(|row| row[column]));
        let sum: f64 = of_query.iter().filter(|value| !value.is_nan()).sum();
        Ok(Measure { mean: sum / self.evaluated as f64, of_query })
    }
}

/// Sums of precision and recall by radius.
pub(super) struct Curve {
    points: Vec<Sums>,
    empty: Empty,
}

#[derive(Clone, Copy, Default)]
struct Sums {
    /// Queries that have an item, and the sum of their precisions.
    queries: u64,
    precision: f64,
    recall: f64,
    items: u64,
    relevant: u64,
}

impl Curve {
    pub(super) fn new(bits: usize, empty: Empty) -> Result<Self> {
        Ok(Self { points: allocate((1, bits.saturating_add(1)), Sums::default())?, empty })
    }

    /// Adds a query.
    pub(super) fn add(&mut self, items: &[u32], relevant: &[u32]) {
        let all: u64 = relevant.iter().map(|&n| u64::from(n)).sum();
        if all == 0 && self.empty == Empty::LeaveOut {
            return;
        }
        let (mut near, mut hits) = (0u64, 0u64);
        for ((sums, &items), &relevant) in self.points.iter_mut().zip(items).zip(relevant) {
            near += u64::from(items);
            hits += u64::from(relevant);
            if near > 0 {
                sums.queries += 1;
                sums.precision += hits as f64 / near as f64;
            }
            sums.recall += hits as f64 / all.max(1) as f64;
            sums.items += near;
            sums.relevant += hits;
        }
    }

    /// Means over the queries of a sheet.
    pub(super) fn points(&self, sheet: &Sheet) -> Result<Vec<WithinRadius>> {
        let evaluated = sheet.evaluated as f64;
        let all = self.points.last().map_or(0, |sums| sums.relevant) as f64;
        let mut points = room((self.points.len(), 1))?;
        points.extend(self.points.iter().enumerate().map(|(radius, sums)| WithinRadius {
            radius,
            precision: sums.precision / sums.queries as f64,
            precision_or_zero: sums.precision / evaluated,
            recall: sums.recall / evaluated,
            pooled_precision: sums.relevant as f64 / sums.items as f64,
            pooled_recall: sums.relevant as f64 / all,
        }));
        Ok(points)
    }
}
