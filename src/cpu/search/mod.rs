//! Exact search by Hamming distance. Queries go through the database together, tile by tile; each
//! keeps a [list](list) of its nearest items. If many are wanted, a sample of the items tells first
//! how far the last of them may be; where it tells too little, the query goes through the database
//! once more. Threads share the queries or, if there are few, the
//! items.

mod list;
mod pairs;
mod scan;
mod within;

use super::simd::{Detected, counting};
use super::threads;
use crate::CodesRef;
use crate::codes::words_per_row;
use list::{Head, List};
pub(super) use scan::{CHUNK, Tile, tile_items, tile_words, tiles, words_of};
use scan::{Collect, Count, Scan};

pub(crate) use pairs::{distances, distances_words, rank, rank_words};
pub(crate) use within::within;

/// Queries that go through the database together, at most.
const BLOCK: usize = 64;

/// Words of their lists, unless they are fewer than [`LEAST_BLOCK`]: half a megabyte.
const BLOCK_WORDS: usize = 1 << 16;
const LEAST_BLOCK: usize = 8;

/// Words to compare that take a thread about as long as one of Bi-half's elements.
const QUICK: usize = 4;

/// With fewer neighbours a sample costs more than it saves.
const LEAST_SAMPLED: usize = 128;

/// How a search is divided, which depends on sizes alone.
#[derive(Clone, Copy)]
struct Plan {
    parts: usize,
    /// Whether parts are of the database.
    by_items: bool,
    /// Queries of a block.
    block: usize,
    list_words: usize,
    /// Words of memory of a part.
    part_words: usize,
    /// Words of the neighbours that a part of the database found.
    found_words: usize,
}

impl Plan {
    fn new(queries: CodesRef<'_>, database: CodesRef<'_>, wanted: usize) -> Self {
        let (queries, items, bits) = (queries.rows(), database.rows(), database.bits());
        let work = queries.saturating_mul(items).saturating_mul(words_per_row(bits).max(1));
        let parts = threads::parts(work / QUICK);
        let by_items = queries < parts * LEAST_BLOCK;
        let most = if by_items { items.div_ceil(tile_items(bits)) } else { queries };
        let parts = parts.clamp(1, most.max(1));
        let list_words = List::words(wanted, items, bits);
        let block = (BLOCK_WORDS / list_words).clamp(LEAST_BLOCK, BLOCK).min(queries);
        let lists = block.saturating_mul(list_words);
        Self {
            parts,
            by_items,
            block,
            list_words,
            part_words: lists.saturating_add(tile_words(bits)),
            found_words: queries.saturating_mul(wanted),
        }
    }

    /// Scratch memory of `parts` parts, in words.
    fn words(&self, parts: usize) -> usize {
        let lists = self.part_words.saturating_mul(parts);
        let merged = if self.by_items { parts - 1 } else { 0 };
        lists.saturating_add(self.found_words.saturating_mul(merged))
    }
}

/// Words of scratch memory of [`nearest`].
pub(crate) fn scratch_words(queries: CodesRef<'_>, database: CodesRef<'_>, wanted: usize) -> usize {
    let plan = Plan::new(queries, database, wanted);
    plan.words(plan.parts)
}

/// Neighbours of each query, in rows of as many as are wanted. Where fewer were found, both are
/// `u32::MAX` in the rest of a row.
pub(crate) struct Found<'a> {
    pub(crate) indices: &'a mut [u32],
    pub(crate) distances: &'a mut [u32],
}

impl<'a> Found<'a> {
    fn reborrow(&mut self) -> Found<'_> {
        Found { indices: self.indices, distances: self.distances }
    }

    fn split_at(self, at: usize) -> (Self, Self) {
        let (indices, right_indices) = self.indices.split_at_mut(at);
        let (distances, right) = self.distances.split_at_mut(at);
        (Self { indices, distances }, Self { indices: right_indices, distances: right })
    }
}

/// What is searched for where.
#[derive(Clone, Copy)]
pub(crate) struct Search<'a> {
    pub(crate) isa: Detected,
    pub(crate) queries: CodesRef<'a>,
    pub(crate) database: CodesRef<'a>,
    /// The index of the database's first item.
    pub(crate) first: u32,
    /// Neighbours of a query, at least 1.
    pub(crate) wanted: usize,
    /// For each query, a distance that those of its neighbours are below, if that is known.
    pub(crate) limits: Option<&'a [u32]>,
}

/// The nearest items of each query by (distance, index). `scratch` has [`scratch_words`].
pub(crate) fn nearest(search: Search<'_>, found: Found<'_>, scratch: &mut [u64]) {
    let Search { queries, database, wanted, .. } = search;
    let plan = Plan::new(queries, database, wanted);
    if plan.by_items {
        by_items(search, plan, plan.parts, found, scratch);
    } else {
        by_queries(search, plan, plan.parts, found, scratch);
    }
}

fn by_queries(search: Search<'_>, plan: Plan, parts: usize, found: Found<'_>, scratch: &mut [u64]) {
    if parts == 1 {
        return search.run(plan, found, scratch);
    }
    let left_parts = parts / 2;
    let queries = search.queries.rows();
    let at = queries * left_parts / parts;
    let (left_limits, right_limits) = search.limits.map(|limits| limits.split_at(at)).unzip();
    let left = Search { queries: search.queries.slice(0..at), limits: left_limits, ..search };
    let right =
        Search { queries: search.queries.slice(at..queries), limits: right_limits, ..search };
    let (left_found, right_found) = found.split_at(at * search.wanted);
    let (left_scratch, right_scratch) = scratch.split_at_mut(plan.words(left_parts));
    threads::join(
        || by_queries(left, plan, left_parts, left_found, left_scratch),
        || by_queries(right, plan, parts - left_parts, right_found, right_scratch),
    );
}

fn by_items(
    search: Search<'_>,
    plan: Plan,
    parts: usize,
    mut found: Found<'_>,
    scratch: &mut [u64],
) {
    if parts == 1 {
        return search.run(plan, found, scratch);
    }
    let left_parts = parts / 2;
    let items = search.database.rows();
    let at = items / parts * left_parts;
    let left = Search { database: search.database.slice(0..at), ..search };
    let right = Search {
        database: search.database.slice(at..items),
        first: search.first + at as u32,
        ..search
    };
    let (left_scratch, right_scratch) = scratch.split_at_mut(plan.words(left_parts));
    let (memory, right_scratch) = right_scratch.split_at_mut(plan.found_words);
    let (indices, distances) = bytemuck::cast_slice_mut(memory).split_at_mut(plan.found_words);
    let also = Found { indices: &mut *indices, distances: &mut *distances };
    let left_found = found.reborrow();
    threads::join(
        || by_items(left, plan, left_parts, left_found, left_scratch),
        || by_items(right, plan, parts - left_parts, also, right_scratch),
    );
    let left = found.indices.chunks_mut(search.wanted);
    let left = left.zip(found.distances.chunks_mut(search.wanted));
    let right = indices.chunks(search.wanted).zip(distances.chunks(search.wanted));
    for ((indices, distances), (more, far)) in left.zip(right) {
        merge(indices, distances, |n| (far[n], more[n]));
    }
}

/// Merges a row of neighbours with another one, of which `other` gives the n-th distance and index,
/// and keeps the nearest. `other` is asked for no more neighbours than the row has.
pub(crate) fn merge<I: Copy + Ord>(
    indices: &mut [I],
    distances: &mut [u32],
    other: impl Fn(usize) -> (u32, I),
) {
    // How many of either stay.
    let (mut own, mut others) = (0, 0);
    while own + others < indices.len() {
        let is_own = (distances[own], indices[own]) <= other(others);
        own += usize::from(is_own);
        others += usize::from(!is_own);
    }
    for place in (0..indices.len()).rev() {
        if others == 0 {
            return;
        }
        let last = other(others - 1);
        let is_own = own > 0 && (distances[own - 1], indices[own - 1]) > last;
        (distances[place], indices[place]) =
            if is_own { (distances[own - 1], indices[own - 1]) } else { last };
        own -= usize::from(is_own);
        others -= usize::from(!is_own);
    }
}

impl Search<'_> {
    /// On one thread.
    fn run(self, plan: Plan, mut found: Found<'_>, scratch: &mut [u64]) {
        let Self { isa, queries, database, first, wanted, limits } = self;
        let (items, bits) = (database.rows(), database.bits());
        let (tile, memory) = scratch.split_at_mut(tile_words(bits));
        let mut heads = [Head::default(); BLOCK];
        for start in (0..queries.rows()).step_by(plan.block) {
            let queries = queries.slice(start..queries.rows().min(start + plan.block));
            let mut each = |f: &mut dyn FnMut(usize, List<'_>)| {
                let memory = memory.chunks_exact_mut(plan.list_words).take(queries.rows());
                for (q, (head, memory)) in heads.iter_mut().zip(memory).enumerate() {
                    f(q, List::new(head, memory, (wanted, items)));
                }
            };
            let known = |q| limits.map_or(bits as u32 + 1, |limits: &[u32]| limits[start + q]);
            // What each list lets in at first, and which ones go through the tiles.
            let (mut guesses, mut waiting) = ([0; BLOCK], [true; BLOCK]);
            let sampled = wanted >= LEAST_SAMPLED && items / tile_items(bits) >= 4;
            let sample = sampled.then(|| Tile::sample(database, tile));
            each(&mut |q, mut list| {
                let guess = sample.map(|sample| {
                    let (query, counts) = (queries.row(q), list.counts());
                    counting(isa, Count { tile: sample, query, counts: &mut *counts });
                    guess(counts, wanted, items / sample.items())
                });
                guesses[q] = guess.map_or(known(q), |guess| guess.min(known(q)));
                list.clear(guesses[q]);
            });
            // A second time for queries that a guess was too low for.
            while waiting.contains(&true) {
                for (start, codes) in tiles(database) {
                    let (tile, first) = (Tile::new(codes, tile), first + start as u32);
                    each(&mut |q, mut list| {
                        if waiting[q] {
                            let (query, to) = (queries.row(q), &mut list as &mut dyn Collect);
                            counting(isa, Scan { tile, query, first, to });
                        }
                    });
                }
                waiting = [false; BLOCK];
                each(&mut |q, mut list| {
                    waiting[q] = !list.was_full() && guesses[q] < known(q);
                    if waiting[q] {
                        guesses[q] = known(q);
                        list.clear(known(q));
                    }
                });
            }
            each(&mut |q, mut list| {
                let (_, row) = found.reborrow().split_at((start + q) * wanted);
                let (Found { indices, distances }, _) = row.split_at(wanted);
                let len = list.write(indices, distances);
                indices[len..].fill(u32::MAX);
                distances[len..].fill(u32::MAX);
            });
        }
    }
}

/// A distance that as many items as are wanted are probably below, from the counts by distance of a
/// sample, of which every item stands for `each`.
fn guess(counts: &[u32], wanted: usize, each: usize) -> u32 {
    let expected = wanted as f64 / each as f64;
    let enough = (expected + 3.0 * expected.sqrt() + 1.0) as u32;
    let mut sum = 0;
    let below = counts.iter().take_while(|&&count| {
        sum += count;
        sum < enough
    });
    below.count() as u32 + 1
}
