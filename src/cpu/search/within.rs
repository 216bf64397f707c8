//! All items up to a distance, whose number nobody knows before.

use super::scan::{CHUNK, Collect, Scan, Tile, tile_words, tiles};
use crate::cpu::simd::{Detected, counting};
use crate::cpu::threads;
use crate::memory::{room, too_large, zeros};
use crate::{CodesRef, Result};

/// Queries that go through the database together.
const BLOCK: usize = 8;

/// What one query finds.
struct Near {
    limit: u32,
    /// Distance and index, in the upper and the lower half, by index.
    entries: Vec<u64>,
    /// Whether there was no memory for more.
    refused: bool,
}

impl Collect for Near {
    #[inline(always)]
    fn limit(&self) -> u32 {
        self.limit
    }

    #[inline(never)]
    fn take(&mut self, distances: &[u64; CHUNK], mut near: u64, first: u32) {
        self.refused |= self.entries.try_reserve(near.count_ones() as usize).is_err();
        if self.refused {
            return;
        }
        while near != 0 {
            let i = near.trailing_zeros();
            near &= near - 1;
            self.entries.push(distances[i as usize] << 32 | u64::from(first + i));
        }
    }
}

/// Queries of a block, and memory for a tile.
struct Block {
    near: Vec<Near>,
    tile: Vec<u64>,
}

/// The items of each query at distances below `limit`, by (distance, index): where those of a query
/// begin and the last ones end, indices, distances.
pub(crate) fn within(
    isa: Detected,
    queries: CodesRef<'_>,
    database: CodesRef<'_>,
    limit: u32,
) -> Result<(Vec<usize>, Vec<u32>, Vec<u32>)> {
    let (rows, bits) = (queries.rows(), database.bits());
    let mut blocks = room((rows.div_ceil(BLOCK), 1))?;
    for first in (0..rows).step_by(BLOCK) {
        let mut near = room((BLOCK, 1))?;
        let none = || Near { limit, entries: Vec::new(), refused: false };
        near.extend((first..rows.min(first + BLOCK)).map(|_| none()));
        blocks.push(Block { near, tile: zeros((1, tile_words(bits)))? });
    }
    let work = rows.saturating_mul(database.rows());
    threads::for_each_item(&mut blocks, work, &|block, Block { near, tile }| {
        for (start, codes) in tiles(database) {
            let (tile, first) = (Tile::new(codes, tile), start as u32);
            for (q, to) in near.iter_mut().enumerate() {
                let query = queries.row(block * BLOCK + q);
                counting(isa, Scan { tile, query, first, to });
            }
        }
    });

    let all = || blocks.iter().flat_map(|block| &block.near);
    let found = all().fold(0, |found, near| found + near.entries.len());
    if all().any(|near| near.refused) {
        return Err(too_large((rows, database.rows())));
    }
    let (mut offsets, mut indices, mut distances) =
        (room((rows.saturating_add(1), 1))?, zeros((found, 1))?, zeros((found, 1))?);
    let mut starts: Vec<usize> = zeros((1, bits.saturating_add(2)))?;
    let mut end = 0;
    offsets.push(0);
    for Near { entries, .. } in all() {
        // A counting sort: the next place of each distance is where those below it end.
        starts.fill(0);
        entries.iter().for_each(|entry| starts[(entry >> 32) as usize + 1] += 1);
        starts[0] = end;
        (1..starts.len()).for_each(|d| starts[d] += starts[d - 1]);
        for &entry in entries {
            let place = &mut starts[(entry >> 32) as usize];
            (indices[*place], distances[*place]) = (entry as u32, (entry >> 32) as u32);
            *place += 1;
        }
        end += entries.len();
        offsets.push(end);
    }
    Ok((offsets, indices, distances))
}
