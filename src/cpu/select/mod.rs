//! The k largest of every column: vectors of columns, no column is ever gathered, where the processor has
//! vectors that [`simd`] knows; else [`plain`] code.
//!
//! | rows | file | algorithm |
//! |---|---|---|
//! | up to 64, if the pads suffice | `network.rs` | sorting networks in registers |
//! | from 65,536, if the ratio is not extreme | `stream/` | one pass; the few elements between two values of a sample are selected |
//! | others | `tile.rs`, `levels.rs`, `refine.rs`, `search.rs`, `count.rs`, `bracket.rs`, `list.rs`, `equal.rs`, `divide.rs` | 16 columns as levels of 8 bits; a cut of each is searched by counting |
//!
//! A search may guess: any cut that exactly k levels exceed is right, however it was found.
//!
//! Threads share the columns: a [`Task`] is a range of them.
#![allow(clippy::needless_range_loop, reason = "vectors are numbered over several arrays")]

mod bracket;
mod compare;
mod count;
mod divide;
mod emit;
mod equal;
mod levels;
mod list;
mod network;
mod networks;
mod plain;
mod refine;
mod search;
mod source;
mod stream;
mod tile;

pub use emit::Strip;

use super::simd::{self, Detected, Isa, Job, KeyLanes, on_detected};
use super::threads;
use crate::{Element, MatRef};
use source::Source;
use tile::Tiles;

/// Columns of a task start at multiples of this: two bytes of packed codes, a cache line of `f32`.
const GROUP: usize = simd::LANES;

/// A range of columns, for one thread. What is large is borrowed: a copy would be loaded in whole vectors,
/// and they wait until each part, written a moment ago, is in the cache. At 32 x 16 that took a
/// fourteenth of the time.
struct Task<'a, 'b, T: Element> {
    source: &'a Source<'a, T>,
    /// Ones of a column, at least 1.
    ones: usize,
    out: &'a mut Strip<'b, T>,
    scratch: &'a mut [u64],
}

/// Writes which elements are among the `ones` largest of their column; `ones` is at least 1.
/// `scratch` has [`scratch_words`].
#[inline]
pub(crate) fn forward<T: Element>(
    isa: Detected,
    u: MatRef<'_, T>,
    ones: usize,
    out: &mut Strip<'_, T>,
    scratch: &mut [u64],
) {
    let parts = parts(u.shape());
    let task = Task { source: &Source::new(u), ones, out, scratch };
    divide(isa, task, parts);
}

/// Into how many tasks a matrix is divided.
#[inline]
fn parts((rows, cols): (usize, usize)) -> usize {
    threads::parts(rows * cols).min(cols.div_ceil(GROUP)).max(1)
}

/// 64-bit words of scratch memory for a matrix.
#[inline]
pub(crate) fn scratch_words<T: Element>(isa: Detected, shape: (usize, usize)) -> usize {
    let words = if matches!(isa, Detected::Portable) {
        plain::scratch_words::<T>(shape)
    } else {
        tile::scratch_words(shape).max(stream::scratch_words(shape))
    };
    parts(shape).saturating_mul(words)
}

fn divide<T: Element>(isa: Detected, task: Task<'_, '_, T>, parts: usize) {
    if parts == 1 {
        return on_detected!(isa, isa => isa.run(task), portable => plain::run(task));
    }
    let Task { source, ones, out, scratch } = task;
    let left_parts = parts / 2;
    let at = source.cols().div_ceil(GROUP) * left_parts / parts * GROUP;
    let (mut left, mut right) = out.part(0, source.cols()).split_at(at);
    let (left_scratch, right_scratch) = scratch.split_at_mut(scratch.len() / parts * left_parts);
    let (left_source, right_source) = source.split_at(at);
    let left = Task { source: &left_source, ones, out: &mut left, scratch: left_scratch };
    let right = Task { source: &right_source, ones, out: &mut right, scratch: right_scratch };
    threads::join(|| divide(isa, left, left_parts), || divide(isa, right, parts - left_parts));
}

impl<I: Isa, T: Element> Job<I> for Task<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self, isa: I) {
        let Task { source, ones, out, scratch } = self;
        if let Some(slots) = network::slots(source.rows(), ones) {
            return network::run(isa, source, ones, out, slots);
        }
        let out = out.part(0, source.cols());
        if let Some(sample) = stream::sample(source.rows(), ones) {
            stream::run(isa, source, ones, out, &sample, scratch);
        } else {
            isa.run(Tiles { source, ones, out, scratch });
        }
    }
}

/// Shorthands for the two keys of an element.
type Small<T> = <T as KeyLanes>::Small;
type Large<T> = <T as KeyLanes>::Large;
