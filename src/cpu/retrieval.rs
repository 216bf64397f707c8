//! Hamming distances, rankings and what measures need of them on the CPU: XOR and popcount.

use super::threads;
use crate::memory::{self, zeros};
use crate::{CodesRef, Result};

/// Differing bits of two rows of words.
pub(crate) fn distance(a: &[u64], b: &[u64]) -> u32 {
    a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum()
}

/// One query: how the database lies around it, and what a measure makes of that.
pub(crate) struct Query {
    /// For each distance from 0 to the number of bits, how many items are there,
    pub items: Vec<u32>,
    /// and how many relevant ones.
    pub relevant: Vec<u32>,
    /// Whether each item is relevant, sorted by (distance, index); empty unless requested.
    pub ranked: Vec<bool>,
    /// The next place of an item at each distance.
    next: Vec<u32>,
    value: f64,
}

impl Query {
    fn new(items: usize, bits: usize) -> Result<Self> {
        let counts = || zeros((1, bits.saturating_add(1)));
        let ranked = zeros((1, items))?;
        Ok(Self { items: counts()?, relevant: counts()?, ranked, next: counts()?, value: 0.0 })
    }

    fn fill(&mut self, query: &[u64], database: CodesRef<'_>, is_relevant: impl Fn(usize) -> bool) {
        let Self { items, relevant, ranked, next, .. } = self;
        // Slices: the loops need not look up where a vector lies.
        let (items, relevant) = (&mut items[..], &mut relevant[..]);
        let (ranked, next) = (&mut ranked[..], &mut next[..]);
        items.fill(0);
        relevant.fill(0);
        for i in 0..database.rows() {
            let d = distance(query, database.row(i)) as usize;
            items[d] += 1;
            relevant[d] += u32::from(is_relevant(i));
        }
        // A counting sort.
        let mut start = 0;
        for (next, items) in next.iter_mut().zip(items) {
            *next = start;
            start += *items;
        }
        for i in 0..ranked.len() {
            let place = &mut next[distance(query, database.row(i)) as usize];
            ranked[*place as usize] = is_relevant(i);
            *place += 1;
        }
    }

    /// Relevant items of the database.
    pub(crate) fn all_relevant(&self) -> u32 {
        self.relevant.iter().sum()
    }
}

/// Calls `take` for each query in turn, with what `measure` makes of it. Only as many queries are
/// in memory as the threads take at a time, and never a sum for each thread: results do not depend
/// on how many there are.
pub(crate) fn for_each_query(
    (queries, database): (CodesRef<'_>, CodesRef<'_>),
    ranked: bool,
    is_relevant: impl Fn(usize, usize) -> bool + Send + Sync,
    measure: impl Fn(&Query) -> f64 + Send + Sync,
    mut take: impl FnMut(&Query, f64),
) -> Result<()> {
    /// Items that a thread goes through before it waits for the others.
    const SHARE: usize = 1 << 16;
    let items = database.rows();
    let of_thread = (SHARE / items.max(1)).clamp(1, 64);
    let together = threads::number().saturating_mul(of_thread).min(queries.rows());
    let mut wave = Vec::new();
    for _ in 0..together {
        let query = Query::new(if ranked { items } else { 0 }, database.bits())?;
        memory::push(&mut wave, query, (together, items))?;
    }
    for first in (0..queries.rows()).step_by(together.max(1)) {
        let wave = &mut wave[..together.min(queries.rows() - first)];
        let work = wave.len().saturating_mul(items);
        threads::for_each_item(wave, work, &|at, query| {
            let q = first + at;
            query.fill(queries.row(q), database, |i| is_relevant(q, i));
            query.value = measure(query);
        });
        wave.iter().for_each(|query| take(query, query.value));
    }
    Ok(())
}
