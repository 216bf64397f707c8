//! Few rows: a rank is the number of rows that go before.
//!
//! Of two rows the lower one goes first unless its key is greater. So with each row's number to
//! begin with, each pair of rows whose lower one has the greater key moves that one a place up and
//! the other one a place down: a comparison and two additions for as many columns as a vector has
//! lanes.

use super::source::Source;
use super::{Form, GROUP, Small, Task};
use crate::Element;
use crate::cpu::simd::{Isa, Job, KeyLane, Of, Ordered, Vector, vectors_mut};

/// Rows whose keys and counts are kept in registers, while all rows behind them pass by. With four
/// it takes up to a fifth longer, with eight as long.
const BLOCK: usize = 6;

/// The most rows that are counted: from about there on, digits took less time (Zen 3, AVX2).
pub(super) const fn most<T: Element>() -> usize {
    match size_of::<T>() {
        2 => 768,
        4 => 512,
        _ => 320,
    }
}

/// 64-bit words of scratch memory for one thread: two vectors a row, and one more as they are aligned.
pub(super) fn scratch_words<T: Element>(rows: usize) -> usize {
    (2 * rows + 1) * GROUP * size_of::<Small<T>>() / size_of::<u64>()
}

#[inline(always)]
pub(super) fn run<I: Isa, T: Element>(isa: I, task: Task<'_, T>) {
    let Task { u, order, form, first, mut out, scratch } = task;
    let rows = u.rows();
    // The compiler checks fewer indices where it knows.
    assert!(rows <= most::<T>());
    // Columns of a register's lanes at a time: keys and counts of several rows stay in registers.
    let scratch = bytemuck::cast_slice_mut::<u64, Small<T>>(scratch);
    let scratch = vectors_mut::<Register<I, T>>(isa, scratch);
    let number = Of::<I, Small<T>>::LANES / Register::<I, T>::LANES;
    let (keys, ranks) = scratch[..2 * number * rows].split_at_mut(number * rows);
    for at in (0..out.cols()).step_by(GROUP) {
        let width = GROUP.min(out.cols() - at);
        let source = Source::new(u, order, (first + at, width));
        source.for_each_row::<I, Small<T>>(isa, |i, vector| {
            for r in 0..number {
                keys[r * rows + i] = vector.register(r);
            }
        });
        let used = width.div_ceil(Register::<I, T>::LANES);
        for (keys, ranks) in keys.chunks_exact(rows).zip(ranks.chunks_exact_mut(rows)).take(used) {
            for (i, rank) in ranks.iter_mut().enumerate() {
                *rank = Ordered::splat(isa, KeyLane::of(i as i16));
            }
            isa.run(Count { keys, ranks });
        }
        let mut part = out.part(at, width);
        let mut lanes = [0u32; GROUP];
        for i in 0..rows {
            let mut rank = Of::<I, Small<T>>::splat(isa, KeyLane::of(0));
            for r in 0..number {
                rank.set_register(r, ranks[r * rows + i]);
            }
            Small::<T>::to_32(isa, rank).store(bytemuck::cast_slice_mut(&mut lanes));
            match form {
                Form::Ranks => part.row(i).copy_from_slice(&lanes[..width]),
                Form::Rows => {
                    for (l, &rank) in lanes[..width].iter().enumerate() {
                        part.row(rank as usize)[l] = i as u32;
                    }
                }
            }
        }
    }
}

/// The registers that keys are in.
type Register<I, T> = <Of<I, Small<T>> as Ordered>::Register;

/// Turns the number of each row into its rank.
struct Count<'a, V> {
    keys: &'a [V],
    ranks: &'a mut [V],
}

impl<I: Isa, V: Vector<Isa = I>> Job<I> for Count<'_, V> {
    type Output = ();

    #[inline(always)]
    fn run(self, _: I) {
        let Self { keys, ranks } = self;
        for start in (0..keys.len()).step_by(BLOCK) {
            let (keys, ranks) = (&keys[start..], &mut ranks[start..]);
            let (Some((block, below)), Some((of_block, of_below))) =
                (keys.split_first_chunk::<BLOCK>(), ranks.split_first_chunk_mut::<BLOCK>())
            else {
                return among(keys, ranks);
            };
            among(block, of_block);
            let mut counts = *of_block;
            for (&key, rank) in below.iter().zip(of_below) {
                let mut count = *rank;
                for b in 0..BLOCK {
                    let is_greater = block[b].gt(key);
                    counts[b] = counts[b].count(is_greater);
                    count = count.add(is_greater);
                }
                *rank = count;
            }
            *of_block = counts;
        }
    }
}

/// The pairs of a few rows.
#[inline(always)]
fn among<V: Vector>(keys: &[V], ranks: &mut [V]) {
    for j in 1..keys.len() {
        for i in 0..j {
            let is_greater = keys[i].gt(keys[j]);
            ranks[i] = ranks[i].sub(is_greater);
            ranks[j] = ranks[j].add(is_greater);
        }
    }
}
