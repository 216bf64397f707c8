//! The distances of all pairs, and all items by (distance, index): a counting sort.

use super::scan::{Tile, Write, tile_words, tiles};
use crate::CodesRef;
use crate::cpu::blocks::LARGE;
use crate::cpu::simd::{Detected, Stores, counting, past_caches};
use crate::cpu::threads;

/// Queries that go through a tile together.
const BLOCK: usize = 16;

/// Pairs in a ranking that take a thread as long as so many elements of Bi-half. Distances take as
/// long as those.
const SLOW: usize = 8;

/// Words of scratch memory of [`distances`].
pub(crate) fn distances_words(queries: CodesRef<'_>, database: CodesRef<'_>) -> usize {
    parts(queries, database, 1) * tile_words(database.bits())
}

/// Words of scratch memory of [`rank`]: for each part also the distances of a query, and where
/// each distance begins.
pub(crate) fn rank_words(queries: CodesRef<'_>, database: CodesRef<'_>) -> usize {
    let of_query = (database.rows() + database.bits() + 1).div_ceil(2);
    parts(queries, database, SLOW) * (tile_words(database.bits()) + of_query)
}

fn parts(queries: CodesRef<'_>, database: CodesRef<'_>, slow: usize) -> usize {
    let pairs = queries.rows().saturating_mul(database.rows());
    threads::parts(pairs.saturating_mul(slow)).min(queries.rows())
}

/// Distances, `[queries, database]`, of which there are some. `scratch` has [`distances_words`].
pub(crate) fn distances(
    isa: Detected,
    queries: CodesRef<'_>,
    database: CodesRef<'_>,
    out: &mut [u32],
    scratch: &mut [u64],
) {
    let large = size_of_val(out) >= LARGE;
    let parts = parts(queries, database, 1);
    share(parts, (queries, out, scratch), &|queries, out, tile| {
        let mut write = |stores: Stores<'_>| write(isa, stores, queries, database, out, tile);
        if large {
            past_caches(|store| write(Stores::PastCaches(store)));
        } else {
            write(Stores::Cached);
        }
    });
}

/// On one thread.
fn write(
    isa: Detected,
    stores: Stores<'_>,
    queries: CodesRef<'_>,
    database: CodesRef<'_>,
    out: &mut [u32],
    tile: &mut [u64],
) {
    let items = database.rows();
    for (block, rows) in out.chunks_mut(BLOCK * items).enumerate() {
        for (start, codes) in tiles(database) {
            let tile = Tile::new(codes, tile);
            for (q, row) in rows.chunks_mut(items).enumerate() {
                let (query, to) = (queries.row(block * BLOCK + q), &mut row[start..]);
                counting(isa, Write { stores, tile, query, to: &mut to[..codes.rows()] });
            }
        }
    }
}

/// Indices, `[queries, database]`, of which there are some. `scratch` has [`rank_words`].
pub(crate) fn rank(
    isa: Detected,
    queries: CodesRef<'_>,
    database: CodesRef<'_>,
    indices: &mut [u32],
    scratch: &mut [u64],
) {
    let (items, bits) = (database.rows(), database.bits());
    let parts = parts(queries, database, SLOW);
    share(parts, (queries, indices, scratch), &|queries, indices, scratch| {
        let (tile, scratch) = scratch.split_at_mut(tile_words(bits));
        let (distances, starts) = bytemuck::cast_slice_mut(scratch).split_at_mut(items);
        for (block, rows) in indices.chunks_mut(BLOCK * items).enumerate() {
            let queries = queries.slice(block * BLOCK..block * BLOCK + rows.len() / items);
            write(isa, Stores::Cached, queries, database, rows, tile);
            for row in rows.chunks_mut(items) {
                distances.copy_from_slice(row);
                sort(distances, &mut starts[..=bits], row);
            }
        }
    });
}

fn sort(distances: &[u32], starts: &mut [u32], indices: &mut [u32]) {
    starts.fill(0);
    for &distance in distances {
        starts[distance as usize] += 1;
    }
    let mut start = 0;
    for place in &mut *starts {
        (*place, start) = (start, start + *place);
    }
    for (&distance, index) in distances.iter().zip(0..) {
        let place = &mut starts[distance as usize];
        indices[*place as usize] = index;
        *place += 1;
    }
}

/// What does the queries of a part on one thread, with its rows of the output and its memory.
type OnPart<'f> = dyn Fn(CodesRef<'_>, &mut [u32], &mut [u64]) + Sync + 'f;

fn share(
    parts: usize,
    (queries, out, scratch): (CodesRef<'_>, &mut [u32], &mut [u64]),
    run: &OnPart<'_>,
) {
    if parts == 1 {
        return run(queries, out, scratch);
    }
    let left = parts / 2;
    let at = queries.rows() * left / parts;
    let (left_out, right_out) = out.split_at_mut(out.len() / queries.rows() * at);
    let (left_scratch, right_scratch) = scratch.split_at_mut(scratch.len() / parts * left);
    let (left_queries, right_queries) = queries.split_at(at);
    threads::join(
        || share(left, (left_queries, left_out, left_scratch), run),
        || share(parts - left, (right_queries, right_out, right_scratch), run),
    );
}
