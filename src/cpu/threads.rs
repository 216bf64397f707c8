//! The only place that knows whether there is more than one thread.

use crate::MatMut;
use bytemuck::Pod;
#[cfg(feature = "rayon")]
use bytemuck::cast_slice_mut;
#[cfg(feature = "rayon")]
use rayon::prelude::*;

/// Elements of work from which a call is shared among threads. Below, waking them (about 10 us)
/// costs more than they save: the cheapest operations do 16 Ki elements in about as long.
#[cfg(feature = "rayon")]
const PARALLEL_FROM: usize = 1 << 14;

/// The same for Bi-half, which takes about a third of a nanosecond an element: measured on two
/// cores of a Zen 3 that others use too. There 64 Ki elements take longer on two threads than on
/// one.
#[cfg(feature = "rayon")]
const PARTS_FROM: usize = 1 << 18;

/// How many threads share a call.
pub(crate) fn number() -> usize {
    #[cfg(feature = "rayon")]
    return if has_pool() { rayon::current_num_threads() } else { 1 };
    #[cfg(not(feature = "rayon"))]
    1
}

/// Whether there are threads to share a call with. The first call starts rayon's global pool, as
/// rayon itself would, unless it is made inside another pool; where that pool cannot start, because
/// the system gives no more threads, calls run on the thread that makes them.
#[cfg(all(feature = "rayon", not(target_family = "wasm")))]
fn has_pool() -> bool {
    use std::{error::Error, sync::OnceLock};
    static GLOBAL: OnceLock<bool> = OnceLock::new();
    let start = || match rayon::ThreadPoolBuilder::new().build_global() {
        Ok(()) => true,
        // It has been started before, or it could not be.
        Err(error) => error.source().is_none(),
    };
    rayon::current_thread_index().is_some() || *GLOBAL.get_or_init(start)
}

/// Where no thread can ever be started, rayon itself makes a pool of the calling one.
#[cfg(all(feature = "rayon", target_family = "wasm"))]
fn has_pool() -> bool {
    true
}

/// Into how many parts a call of Bi-half is divided that touches `work` elements: one for each
/// thread.
pub(crate) fn parts(work: usize) -> usize {
    #[cfg(feature = "rayon")]
    if work >= PARTS_FROM {
        return number();
    }
    let _ = work;
    1
}

/// Work that is enough for all threads: more may be done part by part.
pub(crate) fn work_for_all() -> usize {
    #[cfg(feature = "rayon")]
    return PARTS_FROM * number();
    #[cfg(not(feature = "rayon"))]
    return 1 << 18;
}

/// Calls both, on two threads if there are.
pub(crate) fn join(a: impl FnOnce() + Send, b: impl FnOnce() + Send) {
    #[cfg(feature = "rayon")]
    rayon::join(a, b);
    #[cfg(not(feature = "rayon"))]
    {
        a();
        b();
    }
}

/// Calls `f(i, item)` for each item. `work` is the number of elements that all calls together
/// touch.
pub(crate) fn for_each_item<T: Send>(
    items: &mut [T],
    work: usize,
    f: &(dyn Fn(usize, &mut T) + Sync),
) {
    #[cfg(feature = "rayon")]
    if work >= PARALLEL_FROM && has_pool() {
        return items.par_iter_mut().enumerate().for_each(|(i, item)| f(i, item));
    }
    let _ = work;
    items.iter_mut().enumerate().for_each(|(i, item)| f(i, item));
}

/// Like [`for_each_item`] where an element takes as little time as in Bi-half.
pub(crate) fn for_each_quick_item<T: Send>(
    items: &mut [T],
    work: usize,
    f: &(dyn Fn(usize, &mut T) + Sync),
) {
    for_each_item(items, if parts(work) == 1 { 0 } else { work }, f);
}

/// Calls `f(i, chunk)` for the `i`-th run of `size` elements of `data`, the last one possibly
/// shorter. `work` is the number of elements that all calls together touch.
pub(crate) fn for_each_chunk<T: Pod>(
    data: &mut [T],
    size: usize,
    work: usize,
    f: impl Fn(usize, &mut [T]) + Send + Sync,
) {
    #[cfg(feature = "rayon")]
    if work >= PARALLEL_FROM && has_pool() {
        return share(data, size, &f);
    }
    let _ = work;
    data.chunks_mut(size.max(1)).enumerate().for_each(|(i, chunk)| f(i, chunk));
}

/// Like [`for_each_chunk`] where an element takes as little time as in Bi-half.
pub(crate) fn for_each_band<T: Pod>(
    data: &mut [T],
    size: usize,
    work: usize,
    f: impl Fn(usize, &mut [T]) + Send + Sync,
) {
    for_each_chunk(data, size, if parts(work) == 1 { 0 } else { work }, f);
}

/// Calls `f` for each chunk, on all threads. Chunks are shared as bytes: what rayon puts around a
/// loop is many times as large as the loops here, and so is compiled once.
#[cfg(feature = "rayon")]
fn share<T: Pod>(data: &mut [T], size: usize, f: &(dyn Fn(usize, &mut [T]) + Sync)) {
    let size = size.max(1) * size_of::<T>();
    share_bytes(cast_slice_mut(data), size, &|i, chunk| f(i, cast_slice_mut(chunk)));
}

#[cfg(feature = "rayon")]
fn share_bytes(data: &mut [u8], size: usize, f: &(dyn Fn(usize, &mut [u8]) + Sync)) {
    data.par_chunks_mut(size).enumerate().for_each(|(i, chunk)| f(i, chunk));
}

/// How many of `cols` columns are one thread's at a time, where threads share columns.
pub(crate) fn columns_of_a_part(cols: usize, work: usize) -> usize {
    /// Of the narrowest part: a cache line of `f32`.
    const NARROW: usize = 16;
    cols.div_ceil(parts(work)).next_multiple_of(NARROW)
}

/// Like [`for_each_band`] over two buffers in step.
pub(crate) fn for_each_band_pair<T: Pod>(
    left: &mut [T],
    right: &mut [T],
    size: usize,
    work: usize,
    f: impl Fn(usize, &mut [T], &mut [T]) + Send + Sync,
) {
    #[cfg(feature = "rayon")]
    if parts(work) > 1 {
        let size = size.max(1) * size_of::<T>();
        let (left, right) = (cast_slice_mut(left), cast_slice_mut(right));
        return share_pairs_of_bytes(left, right, size, &|i, left, right| {
            f(i, cast_slice_mut(left), cast_slice_mut(right));
        });
    }
    let _ = work;
    let pairs = left.chunks_mut(size.max(1)).zip(right.chunks_mut(size.max(1)));
    pairs.enumerate().for_each(|(i, (l, r))| f(i, l, r));
}

/// What is called with the `i`-th chunks of two buffers.
#[cfg(feature = "rayon")]
type OnPair<'a> = dyn Fn(usize, &mut [u8], &mut [u8]) + Sync + 'a;

#[cfg(feature = "rayon")]
fn share_pairs_of_bytes(left: &mut [u8], right: &mut [u8], size: usize, f: &OnPair<'_>) {
    let pairs = left.par_chunks_mut(size).zip(right.par_chunks_mut(size));
    pairs.enumerate().for_each(|(i, (l, r))| f(i, l, r));
}

/// Calls `f(i, row)` for each row of `out`.
pub(crate) fn for_each_row<T: Pod>(out: MatMut<'_, T>, f: impl Fn(usize, &mut [T]) + Send + Sync) {
    let layout = out.layout();
    if layout.is_empty() {
        return;
    }
    let work = layout.rows() * layout.cols();
    let data = &mut out.into_data()[..layout.span()];
    for_each_chunk(data, layout.row_stride(), work, |i, row| f(i, &mut row[..layout.cols()]));
}
