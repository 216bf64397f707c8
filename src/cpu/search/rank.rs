//! All items by (distance, index): a counting sort.

use super::scan::distances;
use crate::CodesRef;
use crate::cpu::simd::Detected;
use crate::cpu::threads;

/// Pairs of a query and an item that take a thread as long as so many elements of Bi-half.
const SLOW: usize = 8;

/// Words of scratch memory of [`rank`].
pub(crate) fn scratch_words(queries: CodesRef<'_>, database: CodesRef<'_>) -> usize {
    part_words(database).saturating_mul(parts(queries, database))
}

/// Of a part: the distances of all items, and where each distance begins.
fn part_words(database: CodesRef<'_>) -> usize {
    database.rows().saturating_add(database.bits() + 1).div_ceil(2)
}

fn parts(queries: CodesRef<'_>, database: CodesRef<'_>) -> usize {
    let work = queries.rows().saturating_mul(database.rows()).saturating_mul(SLOW);
    threads::parts(work).min(queries.rows())
}

/// Indices, `[queries, database]`. `scratch` has [`scratch_words`].
pub(crate) fn rank(
    isa: Detected,
    queries: CodesRef<'_>,
    database: CodesRef<'_>,
    indices: &mut [u32],
    scratch: &mut [u64],
) {
    share(parts(queries, database), (queries, indices, scratch), &|queries, indices, scratch| {
        let (places, starts) = bytemuck::cast_slice_mut(scratch).split_at_mut(database.rows());
        for (q, indices) in indices.chunks_mut(database.rows()).enumerate() {
            distances(isa, queries.slice(q..q + 1), database, places);
            sort(places, starts, indices);
        }
    });
}

/// What does the queries of a part on one thread.
type OnPart<'f> = dyn Fn(CodesRef<'_>, &mut [u32], &mut [u64]) + Sync + 'f;

fn share(
    parts: usize,
    (queries, indices, scratch): (CodesRef<'_>, &mut [u32], &mut [u64]),
    run: &OnPart<'_>,
) {
    if parts <= 1 {
        return run(queries, indices, scratch);
    }
    let left = parts / 2;
    let at = queries.rows() * left / parts;
    let (left_indices, right_indices) = indices.split_at_mut(indices.len() / queries.rows() * at);
    let (left_scratch, right_scratch) = scratch.split_at_mut(scratch.len() / parts * left);
    let (left_queries, right_queries) = queries.split_at(at);
    threads::join(
        || share(left, (left_queries, left_indices, left_scratch), run),
        || share(parts - left, (right_queries, right_indices, right_scratch), run),
    );
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
