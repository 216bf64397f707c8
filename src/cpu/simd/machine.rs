//! Plain loops, compiled for each instruction set: the compiler vectorises them. What it does not see by
//! itself, conversions of 16-bit types and bits of comparisons, they ask of the [`Machine`].

use super::{Cached, Detected, Isa, Job, KeyLanes, LANES, Of, Ordered, PastCaches};
use super::{FloatLane, Floats, Reals, Signed, Store, Vector, on_detected};
use crate::Element;

/// Work that consists of loops. `run` must be `#[inline(always)]`.
pub(crate) trait Loops {
    /// What the work returns.
    type Output;
    /// Does the work.
    fn run<M: Machine>(self, machine: M) -> Self::Output;
}

/// Runs loops compiled for an instruction set.
pub(crate) fn compiled<L: Loops>(isa: Detected, loops: L) -> L::Output {
    /// Loops as a job.
    struct On<L>(L);

    impl<I: Isa, L: Loops> Job<I> for On<L> {
        type Output = L::Output;

        #[inline(always)]
        fn run(self, isa: I) -> L::Output {
            self.0.run(isa)
        }
    }

    on_detected!(isa, isa => isa.run(On(loops)), portable => loops.run(Plain))
}

/// An instruction set, or none.
pub(crate) trait Machine: Copy {
    /// Elements as they are calculated with.
    fn widen<T: Element>(self, from: &[T], to: &mut [T::Real]);

    /// The same back, rounded.
    fn narrow<T: Element>(self, from: &[T::Real], to: &mut [T]);

    /// Which of up to 64 elements are greater than 0, a bit each.
    fn positive<T: Element>(self, values: &[T]) -> u64;

    /// Which of up to 64 elements are greater than `-t`, a bit each.
    fn above<T: Element>(self, values: &[T], t: &[T]) -> u64;

    /// Up to 64 bits as +1 and -1.
    fn signs<T: Element>(self, ones: u64, to: &mut [T]);

    /// A copy past the caches.
    fn copy_past_caches<T: bytemuck::Pod>(self, store: PastCaches<'_>, from: &[T], to: &mut [T]);

    /// Ends stores past the caches: what follows sees them.
    fn end_stores(self);
}

/// Copies to a vector's lanes what there is of them.
#[inline(always)]
fn padded<T: Copy + Default>(values: &[T]) -> [T; LANES] {
    let mut all = [T::default(); LANES];
    all[..values.len()].copy_from_slice(values);
    all
}

/// The vector of an element's narrowest key, as masks are.
type Mask<I, T> = Of<I, <T as KeyLanes>::Small>;

impl<I: Isa> Machine for I {
    #[inline(always)]
    fn widen<T: Element>(self, from: &[T], to: &mut [T::Real]) {
        let (whole, rest) = from.as_chunks::<LANES>();
        let (whole_to, rest_to) = to[..from.len()].as_chunks_mut::<LANES>();
        for (from, to) in whole.iter().zip(whole_to) {
            <T as Reals<T::Real>>::load(self, from).store(to);
        }
        for (&from, to) in rest.iter().zip(rest_to) {
            *to = from.widen();
        }
    }

    #[inline(always)]
    fn narrow<T: Element>(self, from: &[T::Real], to: &mut [T]) {
        let (whole, rest) = from.as_chunks::<LANES>();
        let (whole_to, rest_to) = to[..from.len()].as_chunks_mut::<LANES>();
        for (from, to) in whole.iter().zip(whole_to) {
            let values = <T::Real as FloatLane>::Vector::<I>::load(self, from);
            <T as Reals<T::Real>>::store(self, Cached, values, to);
        }
        for (&from, to) in rest.iter().zip(rest_to) {
            *to = T::narrow(from);
        }
    }

    #[inline(always)]
    fn positive<T: Element>(self, values: &[T]) -> u64 {
        let (whole, rest) = values.as_chunks::<LANES>();
        let mut bits = 0;
        for (n, values) in whole.iter().enumerate() {
            bits |= u64::from(T::positive(self, values)) << (LANES * n);
        }
        if rest.is_empty() {
            return bits;
        }
        bits | u64::from(T::positive(self, &padded(rest))) << (LANES * whole.len())
    }

    #[inline(always)]
    fn above<T: Element>(self, values: &[T], t: &[T]) -> u64 {
        let of = |values: &[T], t: &[T]| {
            let zero = <T::Real as FloatLane>::Vector::<I>::splat(self, T::Real::default());
            let cut = zero.sub(<T as Reals<T::Real>>::load(self, t));
            u64::from(<T as Reals<T::Real>>::load(self, values).gt(cut).bits())
        };
        let (whole, rest) = values.as_chunks::<LANES>();
        let (whole_t, rest_t) = t[..values.len()].as_chunks::<LANES>();
        let mut bits = 0;
        for (n, (values, t)) in whole.iter().zip(whole_t).enumerate() {
            bits |= of(values, t) << (LANES * n);
        }
        if rest.is_empty() {
            return bits;
        }
        bits | of(&padded(rest), &padded(rest_t)) << (LANES * whole.len())
    }

    #[inline(always)]
    fn signs<T: Element>(self, ones: u64, to: &mut [T]) {
        let less = |n: usize| Mask::<I, T>::of_bits(self, !(ones >> (LANES * n)) as u32 & 0xffff);
        let (whole, rest) = to.as_chunks_mut::<LANES>();
        let number = whole.len();
        for (n, to) in whole.iter_mut().enumerate() {
            <T as Signed<<T as KeyLanes>::Small>>::write_less(self, Cached, less(n), to);
        }
        if !rest.is_empty() {
            let mut all = [T::default(); LANES];
            <T as Signed<<T as KeyLanes>::Small>>::write_less(self, Cached, less(number), &mut all);
            rest.copy_from_slice(&all[..rest.len()]);
        }
    }

    #[inline(always)]
    fn copy_past_caches<T: bytemuck::Pod>(self, store: PastCaches<'_>, from: &[T], to: &mut [T]) {
        let from: &[i8] = bytemuck::cast_slice(from);
        let to: &mut [i8] = &mut bytemuck::cast_slice_mut(to)[..from.len()];
        let lanes = I::Rows::LANES;
        let whole = from.len() / lanes * lanes;
        for (from, to) in from[..whole].chunks_exact(lanes).zip(to.chunks_exact_mut(lanes)) {
            store.store(I::Rows::load(self, from), to);
        }
        to[whole..].copy_from_slice(&from[whole..]);
    }

    #[inline(always)]
    fn end_stores(self) {
        self.settle();
    }
}

/// No instruction set that [`simd`](super) knows.
#[derive(Clone, Copy)]
struct Plain;

impl Machine for Plain {
    #[inline(always)]
    fn widen<T: Element>(self, from: &[T], to: &mut [T::Real]) {
        from.iter().zip(to).for_each(|(from, to)| *to = from.widen());
    }

    #[inline(always)]
    fn narrow<T: Element>(self, from: &[T::Real], to: &mut [T]) {
        from.iter().zip(to).for_each(|(&from, to)| *to = T::narrow(from));
    }

    #[inline(always)]
    fn positive<T: Element>(self, values: &[T]) -> u64 {
        values.iter().rev().fold(0, |bits, value| bits << 1 | u64::from(value.above_zero()))
    }

    #[inline(always)]
    fn above<T: Element>(self, values: &[T], t: &[T]) -> u64 {
        let above = |(value, t): (&T, &T)| value.widen() > -t.widen();
        let pairs = values.iter().zip(t).rev();
        pairs.fold(0, |bits, pair| bits << 1 | u64::from(above(pair)))
    }

    #[inline(always)]
    fn signs<T: Element>(self, ones: u64, to: &mut [T]) {
        for (n, to) in to.iter_mut().enumerate() {
            *to = T::plus_or_minus_one(ones >> n & 1 == 1);
        }
    }

    #[inline(always)]
    fn copy_past_caches<T: bytemuck::Pod>(self, _: PastCaches<'_>, from: &[T], to: &mut [T]) {
        to.copy_from_slice(from);
    }

    #[inline(always)]
    fn end_stores(self) {}
}
