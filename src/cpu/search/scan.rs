//! Distances of a query to many items. All loops are plain: compiled for an instruction set, they
//! take as many items at a time as its vectors have lanes of 64 bits.

use crate::CodesRef;
use crate::codes::words_per_row;
use crate::cpu::simd::{Isa, LANES, Loops, Ordered, Store, Stores};

/// Items whose distances are worked out together.
pub(in crate::cpu) const CHUNK: usize = 64;

/// Approximate size of a tile in words: tiles and the lists of a block stay in the first caches.
const TILE_WORDS: usize = 4096;

/// Items of a tile of codes of `bits` bits.
pub(in crate::cpu) fn tile_items(bits: usize) -> usize {
    (TILE_WORDS / words_per_row(bits).max(1)).next_multiple_of(CHUNK)
}

/// Codes in parts of a tile each, with the number of each part's first one.
pub(in crate::cpu) fn tiles(codes: CodesRef<'_>) -> impl Iterator<Item = (usize, CodesRef<'_>)> {
    let (items, step) = (codes.rows(), tile_items(codes.bits()));
    let starts = (0..items).step_by(step);
    starts.map(move |start| (start, codes.slice(start..items.min(start + step))))
}

/// Words of the buffer of a tile, at the start of a cache line.
pub(in crate::cpu) fn tile_words(bits: usize) -> usize {
    words_of(tile_items(bits), bits)
}

/// The same, of a tile of so many items.
pub(in crate::cpu) fn words_of(items: usize, bits: usize) -> usize {
    items.saturating_mul(words_per_row(bits)).saturating_add(LINE_WORDS)
}

/// Words of a cache line.
const LINE_WORDS: usize = 8;

/// Some items, as all their first words, all their second words and so on, so that a vector holds
/// words of as many items.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct Tile<'a> {
    words: &'a [u64],
    /// Words between an item's first word and its second: a multiple of [`CHUNK`].
    stride: usize,
    items: usize,
}

impl<'a> Tile<'a> {
    /// `buffer` has [`tile_words`].
    pub(in crate::cpu) fn new(codes: CodesRef<'a>, buffer: &'a mut [u64]) -> Self {
        let (items, width) = (codes.rows(), words_per_row(codes.bits()));
        let stride = items.next_multiple_of(CHUNK);
        if width == 1 && stride == items {
            return Self { words: codes.words(), stride, items };
        }
        Self::gather(codes.words().chunks_exact(width.max(1)), (items, width), buffer)
    }

    /// As many items as a tile has, from all over the codes, which have more.
    pub(super) fn sample(codes: CodesRef<'a>, buffer: &'a mut [u64]) -> Self {
        // Multiples of the golden ratio are spread evenly, but not in step with the data.
        const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
        let items = tile_items(codes.bits());
        let index = |n: u64| (u128::from(n.wrapping_mul(GOLDEN)) * codes.rows() as u128) >> 64;
        let rows = (0..items as u64).map(|n| codes.row(index(n) as usize));
        Self::gather(rows, (items, words_per_row(codes.bits())), buffer)
    }

    fn gather<'c>(
        rows: impl Iterator<Item = &'c [u64]>,
        (items, width): (usize, usize),
        buffer: &'a mut [u64],
    ) -> Self {
        let stride = items.next_multiple_of(CHUNK);
        // No vector lies in two lines.
        let first = buffer.as_ptr().align_offset(align_of::<Line<()>>()).min(LINE_WORDS);
        let buffer = &mut buffer[first..][..width * stride];
        for (i, code) in rows.enumerate() {
            for (w, &word) in code.iter().enumerate() {
                buffer[w * stride + i] = word;
            }
        }
        Self { words: buffer, stride, items }
    }

    /// Distances of the items from `start` on: a multiple of [`CHUNK`], or that many items follow.
    /// What stands behind the last item means nothing.
    #[inline(always)]
    pub(in crate::cpu) fn distances(&self, query: &[u64], start: usize) -> Distances {
        let mut distances = Line([0; CHUNK]);
        let mut planes = query.iter().enumerate().map(|(w, &query)| {
            let words = self.words[w * self.stride + start..].first_chunk::<CHUNK>();
            (words.expect("whole chunks"), query)
        });
        if let Some((words, query)) = planes.next() {
            for (distance, word) in distances.0.iter_mut().zip(words) {
                *distance = u64::from((word ^ query).count_ones());
            }
        }
        for (words, query) in planes {
            for (distance, word) in distances.0.iter_mut().zip(words) {
                *distance += u64::from((word ^ query).count_ones());
            }
        }
        distances
    }

    /// A bit for each item from `start` on, a multiple of [`CHUNK`], that shares a bit with the query.
    #[inline(always)]
    pub(in crate::cpu) fn sharing(&self, query: &[u64], start: usize) -> u64 {
        let mut shared = Line([0; CHUNK]);
        for (w, &query) in query.iter().enumerate() {
            let words = self.words[w * self.stride + start..].first_chunk::<CHUNK>();
            for (shared, word) in shared.0.iter_mut().zip(words.expect("whole chunks")) {
                *shared |= word & query;
            }
        }
        let shared = shared.0.iter().enumerate();
        shared.fold(0, |bits, (i, &shared)| bits | u64::from(shared != 0) << i)
    }

    pub(in crate::cpu) fn items(&self) -> usize {
        self.items
    }
}

/// At the start of a cache line: no vector lies in two.
#[repr(align(64))]
pub(in crate::cpu) struct Line<T>(pub(in crate::cpu) T);

/// Of a chunk of items.
pub(in crate::cpu) type Distances = Line<[u64; CHUNK]>;

impl Distances {
    /// A bit for each item that is nearer than a limit.
    #[inline(always)]
    fn below(&self, limit: u32) -> u64 {
        let distances = self.0.iter().enumerate();
        distances.fold(0, |near, (i, &d)| near | u64::from(d < u64::from(limit)) << i)
    }
}

/// What collects the items of a query that are near enough.
pub(super) trait Collect {
    /// Distances below this one are.
    fn limit(&self) -> u32;

    /// Takes the items of a chunk that begins with index `first`. `near` has a bit for each that was
    /// below the limit before.
    fn take(&mut self, distances: &[u64; CHUNK], near: u64, first: u32);
}

/// Collects of a tile's items.
pub(super) struct Scan<'a> {
    pub(super) tile: Tile<'a>,
    pub(super) query: &'a [u64],
    /// The index of the tile's first item.
    pub(super) first: u32,
    pub(super) to: &'a mut dyn Collect,
}

impl Loops for Scan<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { tile, query, first, to } = self;
        let mut limit = to.limit();
        for start in (0..tile.items).step_by(CHUNK) {
            let distances = tile.distances(query, start);
            let least = distances.0.iter().fold(i64::MAX, |least, &d| least.min(d as i64));
            if least < i64::from(limit) {
                let items = u64::MAX >> (CHUNK - CHUNK.min(tile.items - start));
                let near = distances.below(limit) & items;
                to.take(&distances.0, near, first + start as u32);
                limit = to.limit();
            }
        }
    }
}

/// Counts a tile's items by distance.
pub(super) struct Count<'a> {
    pub(super) tile: Tile<'a>,
    pub(super) query: &'a [u64],
    pub(super) counts: &'a mut [u32],
}

impl Loops for Count<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { tile, query, counts } = self;
        for start in (0..tile.items).step_by(CHUNK) {
            let distances = tile.distances(query, start);
            for &distance in &distances.0[..CHUNK.min(tile.items - start)] {
                counts[distance as usize] += 1;
            }
        }
    }
}

/// Writes a tile's distances.
pub(super) struct Write<'a> {
    pub(super) stores: Stores<'a>,
    pub(super) tile: Tile<'a>,
    pub(super) query: &'a [u64],
    pub(super) to: &'a mut [u32],
}

impl Loops for Write<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { tile, query, to, .. } = self;
        for (n, to) in to.chunks_mut(CHUNK).enumerate() {
            let distances = tile.distances(query, n * CHUNK);
            to.iter_mut().zip(distances.0).for_each(|(to, distance)| *to = distance as u32);
        }
    }

    #[inline(always)]
    fn run_on<I: Isa>(self, isa: I) {
        let Self { stores, tile, query, to } = self;
        let to: &mut [i32] = bytemuck::cast_slice_mut(to);
        let len = to.len();
        // What is stored past the caches begins at a cache line.
        let head = match stores {
            Stores::Cached => 0,
            Stores::PastCaches(_) => to.as_ptr().align_offset(align_of::<Line<()>>()).min(len),
        };
        let mut at = 0;
        while at < len {
            let whole = at + CHUNK <= len;
            let start = if whole { at } else { at / CHUNK * CHUNK };
            let distances = Line(tile.distances(query, start).0.map(|d| d as i32));
            let end = (start + CHUNK).min(if at < head { head } else { len });
            match stores {
                Stores::PastCaches(stores) if whole && at >= head => {
                    for (from, to) in distances.0.chunks(LANES).zip(to[at..end].chunks_mut(LANES)) {
                        stores.store(I::I32::load(isa, from), to);
                    }
                }
                _ => to[at..end].copy_from_slice(&distances.0[at - start..end - start]),
            }
            at = end;
        }
    }
}
