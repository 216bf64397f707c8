//! Few rows: sorting networks in registers.
//!
//! 1. A vector's columns are loaded as [slots](crate::cpu::simd::Slotted), one vector a row. Before the
//!    rows come pads: half the slots less k greatest ones, and least ones for the rest. Then the k-th
//!    largest row is the (slots / 2)-th largest slot, for every k.
//! 2. Both halves of the slots are sorted.
//! 3. The larger ones of `a[i]` and `b[half - 1 - i]` are the upper half of all slots; the least of
//!    them is the threshold. The smaller ones are the lower half.
//! 4. If all of that are less than the threshold, rows are compared with it and written.
//! 5. Else some equal the threshold, or are NaN, which floats do not tell from +inf: the threshold
//!    and the rows become keys, and of the rows that equal it the lowest are taken.

use super::compare::{Below, BelowOrTied};
use super::emit::Strip;
use super::networks::sort;
use super::source::{Source, Window};
use super::{GROUP, Small};
use crate::Element;
use crate::cpu::simd::{
    Isa, Job, KeyLane, Keyed, Lane, Of, Ordered, Room, Stores, Vector, registers,
};
use std::iter::repeat_n;

/// The most slots that a network has.
const MOST: usize = 64;

/// Pairs of sorted slots that are compared at a time.
const AT_ONCE: usize = 4;

/// The slots of the smallest network for these columns, if there is one.
pub(super) fn slots(rows: usize, ones: usize) -> Option<usize> {
    [8, 16, 32, MOST].into_iter().find(|&slots| ones <= slots / 2 && rows - ones <= slots / 2)
}

/// All columns of the source.
#[inline(always)]
pub(super) fn run<I: Isa, T: Element>(
    isa: I,
    source: &Source<'_, T>,
    ones: usize,
    out: &mut Strip<'_, T>,
    slots: usize,
) {
    isa.run(Network { source, ones, out, half: slots / 2 });
}

/// All columns of the source by a network of twice `half` slots.
struct Network<'a, 'b, 'c, T: Element> {
    source: &'a Source<'b, T>,
    ones: usize,
    out: &'a mut Strip<'c, T>,
    half: usize,
}

impl<I: Isa, T: Element> Job<I> for Network<'_, '_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self, isa: I) {
        let Self { source, ones, out, half } = self;
        let (rows, cols) = (source.rows(), source.cols());
        let mut memory = Room::memory::<MOST>();
        let mut slots = Room::new(&mut memory);
        // Step 1.
        let (pads, greatest) = (2 * half - rows, half - ones);
        slots.extend(repeat_n(Ordered::splat(isa, T::GREATEST), greatest));
        slots.extend(repeat_n(Ordered::splat(isa, T::LEAST), pads - greatest));
        for first in (0..cols).step_by(GROUP) {
            let window = source.window(first, GROUP);
            let mut out = out.part(first, window.width());
            slots.truncate(pads);
            load::<_, _, AsSlots>(isa, &window, &mut slots);
            let (threshold, below) = middle(isa, &slots, window.width());
            // Step 4.
            let mut sure = threshold.gt(below);
            if out.wants_threshold() {
                let greatest = T::Slots::<I>::splat(isa, T::GREATEST);
                sure = sure.without(T::keys_of(isa, threshold).eq(T::keys_of(isa, greatest)));
            }
            if !sure.bits() & ((1 << window.width()) - 1) != 0 {
                isa.run(Tied { window: &window, ones, threshold, out });
                continue;
            }
            let rows = &slots[pads..];
            out.write_group::<I, Small<T>>(
                isa,
                Stores::Cached,
                Below { rows, threshold, below },
                0,
            );
            out.write_threshold(|| keys(T::keys_of(isa, threshold)));
        }
    }
}

/// Step 5.
struct Tied<'a, 'b, 'c, I: Isa, T: Element> {
    window: &'a Window<'b, T>,
    ones: usize,
    threshold: T::Slots<I>,
    out: Strip<'c, T>,
}

impl<I: Isa, T: Element> Job<I> for Tied<'_, '_, '_, I, T> {
    type Output = ();

    #[inline(always)]
    fn run(self, isa: I) {
        let Self { window, ones, threshold, mut out } = self;
        let zero = Of::<I, Small<T>>::splat(isa, KeyLane::of(0));
        let mut memory = Room::memory::<MOST>();
        let mut rows = Room::new(&mut memory);
        load::<_, _, AsKeys>(isa, window, &mut rows);
        let threshold = T::keys_of(isa, threshold);
        let mut above = zero;
        for &key in rows.iter() {
            above = above.count(key.gt(threshold));
        }
        // What is greater than the k-th largest of numbers, and k or more, is NaN.
        let ones = Of::<I, Small<T>>::splat(isa, KeyLane::of(ones as i16));
        let is_number = ones.gt(above);
        let threshold = is_number.select(threshold, Ordered::splat(isa, Lane::MAX));
        let need = ones.sub(above.and(is_number));
        let rows = BelowOrTied { rows: &rows, threshold, need };
        out.write_group::<I, Small<T>>(isa, Stores::Cached, rows, 0);
        out.write_threshold(|| keys(threshold));
    }
}

#[inline(always)]
fn keys<V: Vector>(vector: V) -> [V::Lane; GROUP] {
    let mut keys = [V::Lane::default(); GROUP];
    vector.store(&mut keys);
    keys
}

/// What elements are loaded as.
trait Loaded<I: Isa, T> {
    type Vector: Copy;
    fn vector(isa: I, row: &[T]) -> Self::Vector;
}

struct AsSlots;

impl<I: Isa, T: Element> Loaded<I, T> for AsSlots {
    type Vector = T::Slots<I>;

    #[inline(always)]
    fn vector(isa: I, row: &[T]) -> T::Slots<I> {
        T::slots(isa, row)
    }
}

struct AsKeys;

impl<I: Isa, T: Element> Loaded<I, T> for AsKeys {
    type Vector = Of<I, Small<T>>;

    #[inline(always)]
    fn vector(isa: I, row: &[T]) -> Of<I, Small<T>> {
        <T as Keyed<Small<T>>>::keys(isa, row)
    }
}

#[inline(always)]
fn load<I: Isa, T: Element, L: Loaded<I, T>>(
    isa: I,
    window: &Window<'_, T>,
    to: &mut Room<'_, L::Vector>,
) {
    if let Some(rows) = window.plain(GROUP) {
        to.extend(rows.iter().map(|row| L::vector(isa, row)));
    } else {
        let mut copy = [T::default(); GROUP];
        to.extend((0..window.rows()).map(|i| L::vector(isa, window.row(i, GROUP, &mut copy))));
    }
}

/// Steps 2 and 3, of the registers that hold one of `width` columns: the least slot of the upper half and
/// the greatest of the lower one.
#[inline(always)]
fn middle<I: Isa, V: Ordered<Isa = I>>(isa: I, slots: &[V], width: usize) -> (V, V) {
    let (mut threshold, mut below) = (slots[0], slots[0]);
    for r in 0..width.div_ceil(V::Register::LANES) {
        let registers = match slots.len() {
            8 => isa.run(Middle::<_, 4> { slots, r }),
            16 => isa.run(Middle::<_, 8> { slots, r }),
            32 => isa.run(Middle::<_, 16> { slots, r }),
            _ => isa.run(Middle::<_, 32> { slots, r }),
        };
        threshold.set_register(r, registers.0);
        below.set_register(r, registers.1);
    }
    (threshold, below)
}

/// The same for one register.
struct Middle<'a, V, const HALF: usize> {
    slots: &'a [V],
    r: usize,
}

impl<I: Isa, V: Ordered<Isa = I>, const HALF: usize> Job<I> for Middle<'_, V, HALF> {
    type Output = (V::Register, V::Register);

    #[inline(always)]
    fn run(self, _: I) -> Self::Output {
        let Self { slots, r } = self;
        let number = V::LANES / V::Register::LANES;
        // What the compiler has to know, so that it need not check each slot.
        assert!(r < number);
        let low: &[V; HALF] = slots.first_chunk().expect("half of the slots");
        let high: &[V; HALF] = slots.last_chunk().expect("the other half");
        let (low, high) = (registers(low), registers(high));
        let mut a: [_; HALF] = std::array::from_fn(|i| low[i * number + r]);
        let mut b: [_; HALF] = std::array::from_fn(|i| high[i * number + r]);
        sort(&mut a);
        sort(&mut b);
        let pair = |i: usize| (a[i].max(b[HALF - 1 - i]), a[i].min(b[HALF - 1 - i]));
        // A few at a time, so that they need not wait for each other.
        let mut halves: [_; AT_ONCE] = std::array::from_fn(pair);
        for i in AT_ONCE..HALF {
            let (upper, lower) = pair(i);
            let (least, greatest) = &mut halves[i % AT_ONCE];
            (*least, *greatest) = (least.min(upper), greatest.max(lower));
        }
        let [first, others @ ..] = halves;
        others.into_iter().fold(first, |(least, greatest), (upper, lower)| {
            (least.min(upper), greatest.max(lower))
        })
    }
}
