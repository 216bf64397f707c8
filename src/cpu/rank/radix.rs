//! Many rows: a column at a time, from the last digit to the first.
//!
//! 1. The keys of 16 columns are gathered, column by column.
//! 2. Each column becomes pairs of a key's upper 32 bits and a row, which are sorted by digits. The
//!    sort is stable and begins with the order of the rows.
//! 3. Of keys of 64 bits those with equal upper bits are put in order, by insertion where few are
//!    out of place.
//! 4. Ranks or rows take the place of a column's keys, and are written row by row.

use super::{Form, GROUP, Large, Source, Task};
use crate::Element;
use crate::cpu::simd::{Isa, Lane, Vector};

const MEDIUM: usize = 4096;
const LARGE: usize = 16_384;

/// Moves of an insertion sort, for each element, after which it is given up.
const MOVES: usize = 1;

/// Elements from one column's keys to the next one's: no power of two, whose lines would share a
/// set of the cache.
fn stride(rows: usize) -> usize {
    rows.next_multiple_of(GROUP) + GROUP
}

/// 64-bit words of scratch memory for one thread.
pub(super) fn scratch_words<T: Element>((rows, cols): (usize, usize)) -> usize {
    let keys_of_word = size_of::<u64>() / size_of::<Large<T>>();
    2 * rows + stride(rows) / keys_of_word * cols.min(GROUP).next_multiple_of(Large::<T>::LANES)
}

#[inline(always)]
pub(super) fn run<I: Isa, T: Element>(isa: I, task: Task<'_, T>) {
    let Task { u, order, form, first, mut out, scratch } = task;
    let (rows, stride) = (u.rows(), stride(u.rows()));
    let (pairs, columns) = scratch.split_at_mut(2 * rows);
    let (pairs, others) = pairs.split_at_mut(rows);
    let columns = bytemuck::cast_slice_mut::<u64, Large<T>>(columns);
    for at in (0..out.cols()).step_by(GROUP) {
        let width = GROUP.min(out.cols() - at);
        let source = Source::new(u, order, (first + at, width), Large::<T>::LANES);
        source.for_each_vector::<I, Large<T>>(isa, |i, l, vector| {
            let mut keys = [Large::<T>::default(); 8];
            vector.store(&mut keys);
            for (l, &key) in (l..).zip(&keys[..Large::<T>::LANES]) {
                columns[l * stride + i] = key;
            }
        });
        for column in columns.chunks_exact_mut(stride).take(width) {
            let column = &mut column[..rows];
            let sorted = sort(column, pairs, others, size_of::<T>());
            write(sorted, form, &mut bytemuck::cast_slice_mut(column)[..rows]);
        }
        let columns: &[u32] = bytemuck::cast_slice(columns);
        let stride = stride * size_of::<Large<T>>() / size_of::<u32>();
        let mut part = out.part(at, width);
        for i in 0..rows {
            for (l, place) in part.row(i).iter_mut().enumerate() {
                *place = columns[l * stride + i];
            }
        }
    }
}

fn write(sorted: &[u64], form: Form, to: &mut [u32]) {
    match form {
        Form::Ranks => {
            for (rank, &pair) in (0..).zip(sorted) {
                to[pair as u32 as usize] = rank;
            }
        }
        Form::Rows => {
            for (place, &pair) in to.iter_mut().zip(sorted) {
                *place = pair as u32;
            }
        }
    }
}

/// The upper 32 bits of a key, unsigned, and then the row.
#[inline(always)]
fn upper_pair<K: Lane>(key: K, row: u32) -> u64 {
    let bits = 8 * size_of::<K>() as u32;
    K::MIN.steps(key) << (u64::BITS - bits) >> 32 << 32 | u64::from(row)
}

/// The lower 32 bits of a key, and then the row.
#[inline(always)]
fn lower_pair<K: Lane>(key: K, row: u32) -> u64 {
    K::MIN.steps(key) << 32 | u64::from(row)
}

/// Sorts a column of elements of so many bytes.
fn sort<'a, K: Lane>(
    keys: &[K],
    pairs: &'a mut [u64],
    others: &'a mut [u64],
    bytes: usize,
) -> &'a [u64] {
    for (row, (pair, &key)) in (0..).zip(pairs.iter_mut().zip(keys)) {
        *pair = upper_pair(key, row);
    }
    let (sorted, others) = match pairs.len() {
        _ if bytes == 2 => return by_digits::<256, 2>(pairs, others).0,
        ..MEDIUM => by_digits::<1024, 2>(pairs, others),
        MEDIUM..LARGE => by_digits::<2048, 2>(pairs, others),
        _ => by_digits::<2048, 3>(pairs, others),
    };
    let key = |pair: u64| keys[pair as u32 as usize];
    if bytes == 4 {
        if settle(sorted, |a, b| a > b) {
            return sorted;
        }
    } else if settle(sorted, |a, b| a >> 32 > b >> 32 || a >> 32 == b >> 32 && key(a) > key(b)) {
        return sorted;
    } else {
        for (row, (pair, &key)) in (0..).zip(sorted.iter_mut().zip(keys)) {
            *pair = lower_pair(key, row);
        }
        let (sorted, others) = by_digits::<2048, 3>(sorted, others);
        for pair in sorted.iter_mut() {
            *pair = upper_pair(key(*pair), *pair as u32);
        }
        return by_digits::<2048, 3>(sorted, others).0;
    }
    by_digits::<2048, 3>(sorted, others).0
}

/// Puts pairs in order by insertion; false if that takes too many moves.
#[inline(always)]
fn settle(pairs: &mut [u64], is_behind: impl Fn(u64, u64) -> bool) -> bool {
    let mut moves = MOVES * pairs.len();
    for i in 1..pairs.len() {
        let pair = pairs[i];
        if !is_behind(pairs[i - 1], pair) {
            continue;
        }
        let mut to = i;
        while to > 0 && is_behind(pairs[to - 1], pair) {
            pairs[to] = pairs[to - 1];
            to -= 1;
        }
        pairs[to] = pair;
        if i - to > moves {
            return false;
        }
        moves -= i - to;
    }
    true
}

/// Sorts pairs by their upper bits: by some digits. There is at least one pair.
fn by_digits<'a, const VALUES: usize, const DIGITS: usize>(
    mut from: &'a mut [u64],
    mut to: &'a mut [u64],
) -> (&'a mut [u64], &'a mut [u64]) {
    let bits = VALUES.trailing_zeros() as usize;
    let digit = |pair: u64, d: usize| (pair >> (64 - bits * (DIGITS - d))) as usize % VALUES;
    let mut counts = [[0u32; VALUES]; DIGITS];
    for &pair in &*from {
        for (d, counts) in counts.iter_mut().enumerate() {
            counts[digit(pair, d)] += 1;
        }
    }
    for (d, places) in counts.iter_mut().enumerate() {
        if places[digit(from[0], d)] as usize == from.len() {
            continue;
        }
        let mut next = 0;
        let mut ends = [0; VALUES];
        for (place, end) in places.iter_mut().zip(&mut ends) {
            next += std::mem::replace(place, next);
            *end = next;
        }
        let (first, second) = from.split_at(from.len() / 2);
        for (&one, &other) in first.iter().zip(second.iter().rev()) {
            let place = &mut places[digit(one, d)];
            let at = *place;
            *place = at + 1;
            to[at as usize] = one;
            let end = &mut ends[digit(other, d)];
            let at = *end - 1;
            *end = at;
            to[at as usize] = other;
        }
        if first.len() < second.len() {
            let pair = second[0];
            to[places[digit(pair, d)] as usize] = pair;
        }
        std::mem::swap(&mut from, &mut to);
    }
    (from, to)
}
