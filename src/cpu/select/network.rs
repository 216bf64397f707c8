//! Up to 64 rows: sorting networks in registers.
//!
//! 1. A vector's columns are loaded as keys, one vector a row. Behind the rows come pads: half the
//!    slots less k greatest keys, and least ones for the rest. Then the k-th largest row is the
//!    (slots / 2)-th largest slot, for every k.
//! 2. Both halves of the slots are sorted.
//! 3. The larger ones of `a[i]` and `b[half - 1 - i]` are the upper half of all slots; the least of
//!    them is the threshold. More rows than k reach it only if the greatest of the lower half
//!    equals it.
//! 4. Rows are compared with the threshold and written.

use super::emit::{Cut, Strip};
use super::networks::sort;
use super::source::{Source, Window};
use super::{GROUP, Small, lanes};
use crate::Element;
use crate::cpu::simd::{Cached, Isa, Job, Keyed, Lane, Of, Vector};

/// The most slots that a network has.
const MOST: usize = 64;

/// The slots of the smallest network for these columns, if there is one.
pub(super) fn slots(rows: usize, ones: usize) -> Option<usize> {
    [8, 16, 32, MOST]
        .into_iter()
        .find(|&slots| rows <= slots && ones <= slots / 2 && rows - ones <= slots / 2)
}

/// All columns of the source.
#[inline(always)]
pub(super) fn run<I: Isa, T: Element>(
    isa: I,
    source: &Source<'_, T>,
    ones: usize,
    out: Strip<'_, T>,
    slots: usize,
) {
    match slots {
        8 => columns::<I, T, 4>(isa, source, ones, out),
        16 => columns::<I, T, 8>(isa, source, ones, out),
        32 => columns::<I, T, 16>(isa, source, ones, out),
        _ => columns::<I, T, 32>(isa, source, ones, out),
    }
}

#[inline(always)]
fn columns<I: Isa, T: Element, const HALF: usize>(
    isa: I,
    source: &Source<'_, T>,
    ones: usize,
    mut out: Strip<'_, T>,
) {
    let (rows, cols) = (source.rows(), source.cols());
    let least = Of::<I, Small<T>>::splat(isa, Lane::MIN);
    let greatest = Of::<I, Small<T>>::splat(isa, Lane::MAX);
    let mut keys = [least; MOST];
    // Step 1.
    keys[rows..rows + HALF - ones].fill(greatest);
    for first in (0..cols).step_by(lanes::<Small<T>>()) {
        let window = source.window(first, lanes::<Small<T>>());
        load(isa, &window, &mut keys[..rows]);
        let (threshold, next) = isa.run(Middle::<_, HALF>(&keys));
        // Step 4.
        let surplus = next.eq(threshold).bits() != 0;
        let cut = if surplus {
            let zero = Of::<I, Small<T>>::splat(isa, Lane::of(0));
            let mut above = zero;
            for key in &keys[..rows] {
                above = above.sub(key.gt(threshold));
            }
            let need = Of::<I, Small<T>>::splat(isa, Lane::of(ones as i16)).sub(above);
            Cut { at: threshold, need: Some(need) }
        } else {
            let one = Of::<I, Small<T>>::splat(isa, Lane::of(1));
            Cut { at: threshold.sub(one), need: None }
        };
        out.write::<I, Small<T>>(isa, Cached, &keys[..rows], &cut, 0, (first, window.width()));
        if out.wants_threshold() {
            let mut values = [Small::<T>::default(); 16];
            threshold.store(&mut values);
            out.write_threshold(first, &values[..window.width()]);
        }
    }
    out.write_pads(rows, cols);
}

#[inline(always)]
fn load<I: Isa, T: Element>(isa: I, window: &Window<'_, T>, keys: &mut [Of<I, Small<T>>]) {
    let lanes = lanes::<Small<T>>();
    if let Some(rows) = window.plain(lanes) {
        let mut fours = keys.chunks_exact_mut(4);
        let mut i = 0;
        for keys in fours.by_ref() {
            let rows = rows.rows::<4>(i);
            for r in 0..4 {
                keys[r] = <T as Keyed<Small<T>>>::keys(isa, rows[r]);
            }
            i += 4;
        }
        for key in fours.into_remainder() {
            *key = <T as Keyed<Small<T>>>::keys(isa, rows.row(i));
            i += 1;
        }
    } else {
        let mut copy = [T::default(); GROUP];
        for (i, key) in keys.iter_mut().enumerate() {
            *key = <T as Keyed<Small<T>>>::keys(isa, window.row(i, lanes, &mut copy));
        }
    }
}

/// Steps 2 and 3: the least of the upper half of the slots and the greatest of the lower half.
struct Middle<'a, V, const HALF: usize>(&'a [V; MOST]);

impl<I: Isa, V: Vector, const HALF: usize> Job<I> for Middle<'_, V, HALF> {
    type Output = (V, V);

    #[inline(always)]
    fn run(self, _: I) -> (V, V) {
        middle::<V, HALF>(self.0)
    }
}

#[inline(always)]
fn middle<V: Vector, const HALF: usize>(keys: &[V; MOST]) -> (V, V) {
    let mut a: [V; HALF] = *keys.first_chunk().expect("half of the slots");
    let mut b: [V; HALF] = *keys[HALF..].first_chunk().expect("the other half");
    sort(&mut a);
    sort(&mut b);
    let mut threshold = a[0].max(b[HALF - 1]);
    let mut next = a[0].min(b[HALF - 1]);
    for i in 1..HALF {
        threshold = threshold.min(a[i].max(b[HALF - 1 - i]));
        next = next.max(a[i].min(b[HALF - 1 - i]));
    }
    (threshold, next)
}
