//! How a database lies around each query: counts by distance, and the places of relevant items.

use super::search::{CHUNK, Tile, tile_items, tile_words, tiles, words_of};
use super::simd::{Detected, Loops, counting};
use super::threads;
use crate::Result;
use crate::memory::{room, too_large, zeros};
use crate::ops::retrieval::{Labelled, Labels};
use std::ops::Range;

/// Queries that go through the database together.
const BLOCK: usize = 8;

/// Pairs of a query and an item that a thread counts before it waits for the others: enough to
/// forget the wait, and no more queries, as each keeps its relevant items until then.
const SHARE: usize = 1 << 19;

/// Counts of one query.
#[derive(Clone, Copy)]
pub(crate) struct Counts<'a> {
    /// For each distance from 0 to the number of bits, how many items are there,
    pub(crate) items: &'a [u32],
    /// and how many relevant ones.
    pub(crate) relevant: &'a [u32],
    /// The places of the relevant items in the ranking by (distance, index), from 1 on, ascending.
    pub(crate) places: &'a [u32],
}

/// Memory of one query.
struct Tally {
    items: Vec<u32>,
    relevant: Vec<u32>,
    places: Vec<u32>,
    /// For each relevant item, by index: its distance, and how many items before it have the same
    /// one, in the upper and the lower half.
    hits: Vec<u64>,
    /// For each distance, how many items are nearer, and the next place in `places`.
    nearer: Vec<u32>,
    next: Vec<u32>,
    /// Whether there was no memory for all relevant items.
    refused: bool,
    /// What was made of all that.
    values: Vec<f64>,
}

impl Tally {
    fn new(bits: usize, values: usize) -> Result<Self> {
        let of_distances = || zeros((1, bits.saturating_add(1)));
        Ok(Self {
            items: of_distances()?,
            relevant: of_distances()?,
            places: Vec::new(),
            hits: Vec::new(),
            nearer: of_distances()?,
            next: of_distances()?,
            refused: false,
            values: zeros((1, values))?,
        })
    }

    fn counts(&self) -> Counts<'_> {
        let Self { items, relevant, places, .. } = self;
        Counts { items, relevant, places }
    }

    /// Relevant items into the order of the ranking: a counting sort, at each distance by index.
    fn rank(&mut self) {
        let Self { items, relevant, places, hits, nearer, next, refused, .. } = self;
        places.clear();
        *refused |= places.try_reserve(hits.len()).is_err();
        if *refused {
            return;
        }
        places.resize(hits.len(), 0);
        relevant.fill(0);
        hits.iter().for_each(|hit| relevant[(hit >> 32) as usize] += 1);
        let (mut all, mut ours) = (0, 0);
        for d in 0..items.len() {
            (nearer[d], next[d]) = (all, ours);
            all += items[d];
            ours += relevant[d];
        }
        for &hit in &*hits {
            let d = (hit >> 32) as usize;
            places[next[d] as usize] = nearer[d] + hit as u32 + 1;
            next[d] += 1;
        }
    }
}

/// Labels of a tile's items.
#[derive(Clone, Copy)]
enum LabelTile<'a> {
    Single(&'a [u32]),
    Multi(Tile<'a>),
}

/// Labels of a query.
#[derive(Clone, Copy)]
enum QueryLabels<'a> {
    Single(u32),
    Multi(&'a [u64]),
}

impl LabelTile<'_> {
    /// A bit for each item of a chunk that shares a label with the query.
    #[inline(always)]
    fn relevant(self, query: QueryLabels<'_>, start: usize, len: usize) -> u64 {
        match (self, query) {
            (Self::Single(items), QueryLabels::Single(query)) => {
                let items = &items[start..start + len];
                let mut chunk = [!query; CHUNK];
                let items = items.first_chunk().unwrap_or_else(|| {
                    chunk[..len].copy_from_slice(items);
                    &chunk
                });
                let items = items.iter().enumerate();
                items.fold(0, |bits, (i, &label)| bits | u64::from(label == query) << i)
            }
            (Self::Multi(tile), QueryLabels::Multi(query)) => tile.sharing(query, start),
            _ => unreachable!("labels of one kind"),
        }
    }
}

/// Counts a tile's items for a query.
struct Count<'a> {
    tile: Tile<'a>,
    labels: LabelTile<'a>,
    query: &'a [u64],
    query_labels: QueryLabels<'a>,
    tally: &'a mut Tally,
}

impl Loops for Count<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { tile, labels, query, query_labels, tally } = self;
        for start in (0..tile.items()).step_by(CHUNK) {
            let len = CHUNK.min(tile.items() - start);
            let distances = tile.distances(query, start);
            // What stands behind the last item may share labels, too.
            let items = u64::MAX >> (CHUNK - len);
            let relevant = labels.relevant(query_labels, start, len) & items;
            tally.count(&distances.0[..len], relevant);
        }
    }
}

impl Tally {
    /// Counts a chunk's items. `relevant` has a bit for each.
    #[inline(never)]
    fn count(&mut self, distances: &[u64], mut relevant: u64) {
        self.refused |= self.hits.try_reserve(CHUNK).is_err();
        if self.refused {
            return;
        }
        // Two loops: the first one has no branch that depends on labels.
        let (mut before, items) = ([0; CHUNK], &mut self.items[..]);
        for (before, &distance) in before.iter_mut().zip(distances) {
            let count = &mut items[distance as usize];
            *before = *count;
            *count += 1;
        }
        while relevant != 0 {
            let i = relevant.trailing_zeros() as usize;
            relevant &= relevant - 1;
            self.hits.push(distances[i] << 32 | u64::from(before[i]));
        }
    }
}

/// Queries of a block, and memory for tiles of codes and labels.
struct Block {
    tallies: Vec<Tally>,
    codes: Vec<u64>,
    labels: Vec<u64>,
}

impl Block {
    fn count(
        &mut self,
        isa: Detected,
        queries: Labelled<'_>,
        block: Range<usize>,
        database: Labelled<'_>,
    ) {
        for tally in &mut self.tallies {
            tally.items.fill(0);
            tally.hits.clear();
        }
        for (start, codes) in tiles(*database.codes()) {
            let items = start..start + codes.rows();
            let tile = Tile::new(codes, &mut self.codes);
            let labels = match *database.labels() {
                Labels::Single(labels) => LabelTile::Single(&labels[items]),
                Labels::Multi(labels) => {
                    LabelTile::Multi(Tile::new(labels.slice(items), &mut self.labels))
                }
            };
            for (q, tally) in block.clone().zip(&mut self.tallies) {
                let query = queries.codes().row(q);
                let query_labels = match queries.labels() {
                    Labels::Single(classes) => QueryLabels::Single(classes[q]),
                    Labels::Multi(labels) => QueryLabels::Multi(labels.row(q)),
                };
                counting(isa, Count { tile, labels, query, query_labels, tally });
            }
        }
    }
}

/// What is made of each query's counts, as some values.
pub(crate) struct Measured<'f> {
    /// How many values.
    pub(crate) values: usize,
    /// Writes them, on any thread.
    pub(crate) measure: &'f (dyn Fn(Counts<'_>, &mut [f64]) + Sync),
    /// Takes counts and values of all queries in turn: what it adds up does not depend on the number
    /// of threads.
    pub(crate) take: &'f mut dyn FnMut(Counts<'_>, &[f64]),
}

/// Goes through the database with all queries.
pub(crate) fn for_each_query(
    isa: Detected,
    queries: Labelled<'_>,
    database: Labelled<'_>,
    Measured { values, measure, take }: Measured<'_>,
) -> Result<()> {
    let (rows, items) = (queries.codes().rows(), database.codes().rows());
    let bits = database.codes().bits();
    let label_words = match database.labels() {
        Labels::Single(_) => 0,
        Labels::Multi(labels) => words_of(tile_items(bits), labels.bits()),
    };
    let of_thread = (SHARE / (BLOCK * items.max(1))).clamp(1, 64);
    let together = threads::number().saturating_mul(of_thread).min(rows.div_ceil(BLOCK));
    let mut blocks = room((together, 1))?;
    for _ in 0..together {
        let mut tallies = room((BLOCK, 1))?;
        for _ in 0..BLOCK.min(rows) {
            tallies.push(Tally::new(bits, values)?);
        }
        let (codes, labels) = (zeros((1, tile_words(bits)))?, zeros((1, label_words))?);
        blocks.push(Block { tallies, codes, labels });
    }
    for first in (0..rows).step_by((BLOCK * together).max(1)) {
        let left = rows - first;
        let blocks = &mut blocks[..together.min(left.div_ceil(BLOCK))];
        let work = left.min(BLOCK * together).saturating_mul(items);
        threads::for_each_item(blocks, work, &|n, block| {
            let first = first + n * BLOCK;
            block.count(isa, queries, first..rows.min(first + BLOCK), database);
            for tally in &mut block.tallies {
                tally.rank();
                let mut values = std::mem::take(&mut tally.values);
                measure(tally.counts(), &mut values);
                tally.values = values;
            }
        });
        let tallies = blocks.iter().flat_map(|block| &block.tallies);
        for tally in tallies.take(left) {
            if tally.refused {
                return Err(too_large((BLOCK * together, items)));
            }
            take(tally.counts(), &tally.values);
        }
    }
    Ok(())
}
