//! Plain loops, compiled for each instruction set: the compiler vectorises them. What it would not
//! see, conversions of 16-bit types and bits of comparisons, is written in vectors.

use super::elements::signs;
use super::{Cached, Detected, FloatLane, Floats, Isa, Job, LANES, Lane, Of, Ordered, Reals, Rows};
use super::{Store as _, Vector, on_detected};
use crate::Element;
use crate::codes::WORD_BITS;

/// Work that consists of loops. Both functions must be `#[inline(always)]`, and not call closures
/// that are not.
pub(crate) trait Loops: Sized {
    /// What the work returns.
    type Output;

    /// Does the work, for the compiler to vectorise.
    fn run(self) -> Self::Output;

    /// The same in vectors, where the compiler would not see them.
    #[inline(always)]
    fn run_on<I: Isa>(self, _: I) -> Self::Output {
        self.run()
    }
}

/// Loops as a job.
struct Loop<L>(L);

impl<I: Isa, L: Loops> Job<I> for Loop<L> {
    type Output = L::Output;

    #[inline(always)]
    fn run(self, isa: I) -> L::Output {
        self.0.run_on(isa)
    }
}

/// Runs loops, compiled for an instruction set.
pub(crate) fn compiled<L: Loops>(isa: Detected, loops: L) -> L::Output {
    on_detected!(isa, isa => isa.run(Loop(loops)), portable => loops.run())
}

/// Like [`compiled`], for loops that count bits: some machines have an instruction for just that.
pub(crate) fn counting<L: Loops>(isa: Detected, loops: L) -> L::Output {
    #[cfg(target_arch = "x86_64")]
    if let Detected::Avx512(_, Some(isa)) = isa {
        return isa.run(Loop(loops));
    }
    compiled(isa, loops)
}

/// Elements as they are calculated with.
pub(crate) struct Widen<'a, T: Element> {
    pub(crate) from: &'a [T],
    pub(crate) to: &'a mut [T::Real],
}

impl<T: Element> Loops for Widen<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.from.iter().zip(self.to).for_each(|(from, to)| *to = from.widen());
    }

    #[inline(always)]
    fn run_on<I: Isa>(self, isa: I) {
        let (from, from_rest) = self.from.as_chunks::<LANES>();
        let (to, to_rest) = self.to[..self.from.len()].as_chunks_mut::<LANES>();
        for (from, to) in from.iter().zip(to) {
            <T as Reals<T::Real>>::load(isa, from).store(to);
        }
        Widen { from: from_rest, to: to_rest }.run();
    }
}

/// The same of elements that may be of that type: then where they are, else in a buffer.
pub(crate) fn reals<'a, T: Element>(
    isa: Detected,
    from: &'a [T],
    buffer: &'a mut [T::Real],
) -> &'a [T::Real] {
    if size_of::<T>() == size_of::<T::Real>() {
        return bytemuck::cast_slice(from);
    }
    let to = &mut buffer[..from.len()];
    compiled(isa, Widen { from, to: &mut *to });
    to
}

/// Room for some rows as they are calculated with.
pub(crate) struct RealRoom([u64; Self::BYTES / 8]);

impl RealRoom {
    const BYTES: usize = 1 << 14;

    pub(crate) fn new() -> Self {
        Self([0; Self::BYTES / 8])
    }

    /// How many rows of a width there is room for.
    pub(crate) fn rows<R>(width: usize) -> usize {
        Self::BYTES / size_of::<R>() / width
    }

    /// [`reals`] of rows, for which there is room.
    pub(crate) fn reals<'a, T: Element>(
        &'a mut self,
        isa: Detected,
        rows: Rows<'a, T>,
    ) -> Rows<'a, T::Real> {
        if size_of::<T>() == size_of::<T::Real>() {
            return rows.cast();
        }
        let width = rows.cols();
        let buffer = bytemuck::cast_slice_mut(&mut self.0);
        for (from, to) in rows.iter().zip(buffer.chunks_mut(width)) {
            compiled(isa, Widen { from, to });
        }
        Rows::new(buffer, (rows.len(), width), width)
    }
}

/// Calculated values back as elements, rounded.
pub(crate) struct Narrow<'a, T: Element> {
    pub(crate) from: &'a [T::Real],
    pub(crate) to: &'a mut [T],
}

impl<T: Element> Loops for Narrow<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.from.iter().zip(self.to).for_each(|(&from, to)| *to = T::narrow(from));
    }

    #[inline(always)]
    fn run_on<I: Isa>(self, isa: I) {
        let (from, from_rest) = self.from.as_chunks::<LANES>();
        let (to, to_rest) = self.to[..self.from.len()].as_chunks_mut::<LANES>();
        for (from, to) in from.iter().zip(to) {
            let values = <T::Real as FloatLane>::Vector::<I>::load(isa, from);
            <T as Reals<T::Real>>::store(isa, Cached, values, to);
        }
        Narrow { from: from_rest, to: to_rest }.run();
    }
}

/// Which elements of a row are +1.
pub(crate) trait Predicate<T>: Copy {
    /// Of a vector from column `at` on, a bit each.
    fn bits<I: Isa>(self, isa: I, at: usize, values: &[T; LANES]) -> u32;
    /// Of one element.
    fn bit(self, at: usize, value: T) -> bool;
}

/// Those greater than 0.
#[derive(Clone, Copy)]
pub(crate) struct Positive;

impl<T: Element> Predicate<T> for Positive {
    #[inline(always)]
    fn bits<I: Isa>(self, isa: I, _: usize, values: &[T; LANES]) -> u32 {
        T::positive(isa, values)
    }

    #[inline(always)]
    fn bit(self, _: usize, value: T) -> bool {
        value.above_zero()
    }
}

/// Those greater than the `-t` of their column: exact, unlike `u + t > 0`.
#[derive(Clone, Copy)]
pub(crate) struct Shifted<'a, T>(pub(crate) &'a [T]);

impl<T: Element> Predicate<T> for Shifted<'_, T> {
    #[inline(always)]
    fn bits<I: Isa>(self, isa: I, at: usize, values: &[T; LANES]) -> u32 {
        let zero = <T::Real as FloatLane>::Vector::<I>::splat(isa, T::Real::default());
        let cut = zero.sub(<T as Reals<T::Real>>::load(isa, &self.0[at..at + LANES]));
        <T as Reals<T::Real>>::load(isa, values).gt(cut).bits()
    }

    #[inline(always)]
    fn bit(self, at: usize, value: T) -> bool {
        value.widen() > -self.0[at].widen()
    }
}

/// Rows as words of bits; those of a row begin `stride` words behind those of the one before.
pub(crate) struct Pack<'a, T, P> {
    pub(crate) u: Rows<'a, T>,
    pub(crate) ones: P,
    pub(crate) words: &'a mut [u64],
    pub(crate) stride: usize,
}

impl<T: Element, P: Predicate<T>> Loops for Pack<'_, T, P> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let ones = self.ones;
        for (u, words) in self.u.iter().zip(self.words.chunks_mut(self.stride)) {
            for (n, (u, word)) in u.chunks(WORD_BITS).zip(words).enumerate() {
                *word = bits_of(ones, n * WORD_BITS, u).to_le();
            }
        }
    }

    #[inline(always)]
    fn run_on<I: Isa>(self, isa: I) {
        let ones = self.ones;
        for (u, words) in self.u.iter().zip(self.words.chunks_mut(self.stride)) {
            let (whole, rest) = u.as_chunks::<WORD_BITS>();
            // Of a length that the compiler knows.
            for (n, (u, word)) in whole.iter().zip(&mut *words).enumerate() {
                *word = word_of(isa, ones, n * WORD_BITS, u).to_le();
            }
            if !rest.is_empty() {
                let first = whole.len() * WORD_BITS;
                words[whole.len()] = word_of(isa, ones, first, rest).to_le();
            }
        }
    }
}

/// Bits of up to 64 elements.
#[inline(always)]
fn word_of<I: Isa, T: Element>(isa: I, ones: impl Predicate<T>, first: usize, values: &[T]) -> u64 {
    let (vectors, last) = values.as_chunks::<LANES>();
    let mut word = 0;
    for (v, values) in vectors.iter().enumerate() {
        word |= u64::from(ones.bits(isa, first + v * LANES, values)) << (v * LANES);
    }
    if last.is_empty() {
        return word;
    }
    let done = vectors.len() * LANES;
    word | bits_of(ones, first + done, last) << done
}

/// The same, one element at a time.
#[inline(always)]
fn bits_of<T: Copy>(ones: impl Predicate<T>, first: usize, values: &[T]) -> u64 {
    let bits = values.iter().enumerate().rev();
    bits.fold(0, |word, (n, &value)| word << 1 | u64::from(ones.bit(first + n, value)))
}

/// Words of bits as `one`, the bits of a float, and the same with a sign.
pub(crate) struct Unpack<'a, K> {
    pub(crate) words: &'a [u64],
    pub(crate) to: &'a mut [K],
    pub(crate) one: K,
}

impl<K: Lane> Loops for Unpack<'_, K> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (to, &word) in self.to.chunks_mut(WORD_BITS).zip(self.words) {
            unpack_word(u64::from_le(word), to, self.one);
        }
    }

    #[inline(always)]
    fn run_on<I: Isa>(self, isa: I) {
        for (to, &word) in self.to.chunks_mut(WORD_BITS).zip(self.words) {
            let word = u64::from_le(word);
            let (whole, rest) = to.as_chunks_mut::<LANES>();
            let done = LANES * whole.len();
            for (n, to) in whole.iter_mut().enumerate() {
                let less = Of::<I, K>::of_bits(isa, !(word >> (LANES * n)) as u32 & 0xffff);
                Cached.store(signs(isa, less, self.one), to);
            }
            if !rest.is_empty() {
                unpack_word(word >> done, rest, self.one);
            }
        }
    }
}

/// A word, or what there is room for of it.
#[inline(always)]
fn unpack_word<K: Lane>(word: u64, to: &mut [K], one: K) {
    for (n, to) in to.iter_mut().enumerate() {
        *to = if word >> n & 1 == 1 { one } else { one | K::MIN };
    }
}
