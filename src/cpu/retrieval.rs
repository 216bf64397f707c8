//! Hamming distances and rankings on the CPU: XOR and popcount, then a counting sort by distance.

use super::threads::for_each_chunk;
use crate::CodesRef;

/// Differing bits of two rows of words.
pub(crate) fn distance(a: &[u64], b: &[u64]) -> u32 {
    a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum()
}

/// Distances of all pairs, `[queries, database]`.
pub(crate) fn hamming(queries: CodesRef<'_>, database: CodesRef<'_>, out: &mut [u32]) {
    let n = database.rows();
    for_each_chunk(out, n, queries.rows() * n, |q, row| {
        for (i, d) in row.iter_mut().enumerate() {
            *d = distance(queries.row(q), database.row(i));
        }
    });
}

/// Database indices by (distance, index), `[queries, database]`.
pub(crate) fn rank(queries: CodesRef<'_>, database: CodesRef<'_>, out: &mut [u32]) {
    let n = database.rows();
    for_each_chunk(out, n, queries.rows() * n, |q, order| {
        for (place, i) in order.iter_mut().zip(0..) {
            *place = i;
        }
        let query = queries.row(q);
        // A call for each key: the sort has some hundreds of places that would each hold the loop.
        let key: &dyn Fn(u32) -> (u32, u32) = &|i| (distance(query, database.row(i as usize)), i);
        order.sort_unstable_by_key(|&i| key(i));
    });
}

/// How the database lies around one query: for each distance 0..=bits, its items and how many of
/// them are relevant.
pub(crate) struct Profile {
    pub items: Vec<u32>,
    pub relevant: Vec<u32>,
}

impl Profile {
    pub(crate) fn new(
        query: &[u64],
        database: CodesRef<'_>,
        is_relevant: impl Fn(usize) -> bool,
    ) -> Self {
        let none = || vec![0; database.bits() + 1];
        let mut profile = Self { items: none(), relevant: none() };
        for i in 0..database.rows() {
            let d = distance(query, database.row(i)) as usize;
            profile.items[d] += 1;
            profile.relevant[d] += u32::from(is_relevant(i));
        }
        profile
    }

    /// Relevance of the items in the order (distance, index): a counting sort.
    pub(crate) fn ranked_relevance(
        &self,
        query: &[u64],
        database: CodesRef<'_>,
        is_relevant: impl Fn(usize) -> bool,
    ) -> Vec<bool> {
        let mut next: Vec<usize> = self
            .items
            .iter()
            .scan(0, |start, &n| Some(std::mem::replace(start, *start + n as usize)))
            .collect();
        let mut ranked = vec![false; database.rows()];
        for i in 0..database.rows() {
            let place = &mut next[distance(query, database.row(i)) as usize];
            ranked[*place] = is_relevant(i);
            *place += 1;
        }
        ranked
    }
}

/// `f(q)` for each query, in parallel, in the order of the queries.
pub(crate) fn per_query<R: Send + Default + Clone>(
    queries: usize,
    database: usize,
    f: impl Fn(usize) -> R + Send + Sync,
) -> Vec<R> {
    let mut results = vec![R::default(); queries];
    for_each_chunk(&mut results, 1, queries * database, |q, result| result[0] = f(q));
    results
}
