//! Vectors of 16 columns: one generic algorithm, several instruction sets.
//!
//! A lane is a column. Algorithms are written once over [`Isa`], [`Vector`] and [`Floats`], which
//! `std::arch` implements: a vector is as many registers as 16 columns take ([`Two`]). Which set
//! runs is decided once, at run time, by what the machine has; `BIHALF_CPU_ISA` forces it. Where
//! there is none, each operation has plain code of its own.
//!
//! Why `std::arch`, and no crate of vectors: the narrowing, sign and half-precision conversions
//! here, stores past the caches and masks in registers of their own are not what such crates agree
//! on, and the trait is small.
//!
//! This folder alone of the CPU path holds `unsafe`, for these reasons:
//!
//! | file | reason | why it is sound |
//! |---|---|---|
//! | `avx2.rs`, `avx512.rs`, `neon.rs` | intrinsics need their instructions | a vector or a token of the set is only made after detection |
//! | `avx2.rs`, `avx512.rs` | a function with `#[target_feature]` | it is only called with that token |
//! | `registers.rs` | loads and stores through pointers | each is behind an assertion of the slice's length |
//! | `columns.rs` | threads write disjoint columns of one matrix | a part owns a range of columns and hands out rows of that range alone |
//! | `columns.rs` | rows without a check of the whole matrix | the last row has been checked |
//! | `columns.rs` | elements seen as those of another type | both are plain data of the same size |
//! | `avx2.rs`, `avx512.rs`, `neon.rs` | a prefetch of any address | it touches nothing that a program can see |
//! | `room.rs` | vectors in memory that nothing filled before | those that have been written are counted |
//! | `store.rs` | stores past the caches, which are not ordered | who gets the token for them is inside a call that ends with a fence |
//! | `mod.rs` | scratch memory seen as vectors, vectors as registers, rows or lanes | all are lanes without padding, any bits are a value |
//! | `avx2.rs` | a register seen as its lanes | the same |
//!
//! Generic code is `#[inline(always)]`, so that it is compiled inside [`Isa::run`] with the
//! instructions of the set.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod columns;
mod detect;
mod elements;
mod keys;
mod loops;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod registers;
mod room;
mod store;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod two;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::{Avx512, Vpopcntdq};
pub use columns::Rows;
pub(crate) use columns::{Columns, column_stride};
pub use detect::Detected;
pub(crate) use detect::{detected, on_detected};
pub use elements::{FloatLane, Loads, Reals, Signed};
pub(crate) use keys::keys_of;
pub use keys::{KeyLane, KeyLanes, Keyed, Lane, Slotted};
pub(crate) use loops::{
    Loops, Narrow, Pack, Positive, RealRoom, Shifted, Unpack, Widen, compiled, counting, reals,
};
#[cfg(target_arch = "aarch64")]
pub(crate) use neon::Neon;
pub(crate) use room::Room;
pub use store::Store;
pub(crate) use store::{Cached, PastCaches, Stores, past_caches};
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub use two::Two;

use half::f16;

/// Lanes of a vector: columns that are worked on together, a cache line of `f32`.
pub const LANES: usize = 16;

/// Work to be compiled for an instruction set. `run` must be `#[inline(always)]`.
pub trait Job<I: Isa> {
    /// What the work returns.
    type Output;
    /// Does the work.
    fn run(self, isa: I) -> Self::Output;
}

/// An instruction set. A value of it is the proof that the machine has it. All vectors have
/// [`LANES`] lanes.
pub trait Isa: Copy + Send + Sync + 'static {
    /// Lanes of 8 bits.
    type I8: Vector<Lane = i8, Isa = Self, Register: Vector>;
    /// Lanes of 8 bits, of as many rows of [`LANES`] as are best counted at once: one, two or four.
    type Rows: Vector<Lane = i8, Isa = Self>;
    /// Lanes of 16 bits.
    type I16: Vector<Lane = i16, Isa = Self, Register: Vector>;
    /// Lanes of 32 bits.
    type I32: Vector<Lane = i32, Isa = Self, Register: Vector>;
    /// Lanes of 64 bits.
    type I64: Vector<Lane = i64, Isa = Self, Register: Vector>;
    /// Lanes of `f32`.
    type F32: Floats<Lane = f32, Isa = Self, Mask = Self::I32>;
    /// Lanes of `f64`.
    type F64: Floats<Lane = f64, Isa = Self, Mask = Self::I64>;

    /// Runs a job compiled for this instruction set.
    fn run<J: Job<Self>>(self, job: J) -> J::Output;

    /// The first values, each in the upper half of a lane; the lower half is 0.
    fn load_upper(self, values: &[u16]) -> Self::I32;

    /// Lanes of 32 bits as 16 bits, the nearest there are.
    fn narrow(self, lanes: Self::I32) -> Self::I16;

    /// Lanes of 32 bits as 8 bits, the nearest there are.
    fn narrow_to_8(self, lanes: Self::I32) -> Self::I8;

    /// Lanes of 16 bits with 32 bits each.
    fn widen(self, lanes: Self::I16) -> Self::I32;

    /// Lanes of 8 bits with 16 bits each.
    fn widen_8(self, lanes: Self::I8) -> Self::I16;

    /// Lanes of 8 bits with 32 bits each.
    fn widen_8_to_32(self, lanes: Self::I8) -> Self::I32;

    /// The same row several times.
    fn repeat(self, row: Self::I8) -> Self::Rows;

    /// The sum of the rows.
    fn sum_rows(self, rows: Self::Rows) -> Self::I16;

    /// The lower 16 bits of lanes of 64 bits.
    #[inline(always)]
    fn narrow_64(self, lanes: Self::I64) -> Self::I16 {
        let mut wide = [0; LANES];
        lanes.store(&mut wide);
        Ordered::load(self, &wide.map(|lane| lane as i16))
    }

    /// Lanes of 16 bits with 64 bits each.
    #[inline(always)]
    fn widen_64(self, lanes: Self::I16) -> Self::I64 {
        let mut narrow = [0; LANES];
        lanes.store(&mut narrow);
        Ordered::load(self, &narrow.map(i64::from))
    }

    /// The first values as `f32`.
    fn widen_f16(self, values: &[f16]) -> Self::F32;

    /// Values rounded.
    fn narrow_f16(self, values: Self::F32, to: &mut [f16]);

    /// The same values.
    fn widen_f32(self, values: Self::F32) -> Self::F64;

    /// The first values as `f32`, rounded.
    fn narrow_f64(self, values: &[f64]) -> Self::F32;

    /// Integers as `f32`, rounded.
    fn float(self, lanes: Self::I32) -> Self::F32;

    /// Rounded to a near integer, such that the order of numbers stays; below the range the least
    /// one, above it or of NaN any.
    fn round(self, values: Self::F32) -> Self::I32;

    /// Asks for a cache line that will be read. Any address will do.
    fn prefetch<T>(self, address: *const T);
}

/// Lanes that are compared.
///
/// # Safety
/// A value is its [`LANES`](Self::LANES) lanes in turn, without padding, and its parts in turn; any
/// bits are a value. Memory is cast to vectors and back on the strength of that.
pub unsafe trait Ordered: Copy + Send + Sync + 'static {
    /// The element of one column.
    type Lane: bytemuck::Pod + Default + Send + Sync;
    /// The instruction set.
    type Isa: Isa;
    /// What comparisons give: all bits of a lane are equal.
    type Mask: Vector<Isa = Self::Isa>;
    /// The part that one register holds, with fewer lanes.
    type Register: Ordered<Lane = Self::Lane, Isa = Self::Isa>;

    /// Lanes: of a whole vector [`LANES`].
    const LANES: usize;

    /// The same value in all lanes.
    fn splat(isa: Self::Isa, value: Self::Lane) -> Self;
    /// The first values of a slice.
    fn load(isa: Self::Isa, from: &[Self::Lane]) -> Self;
    /// To the first places of a slice.
    fn store(self, to: &mut [Self::Lane]);
    /// The same, past the caches if the places are aligned.
    ///
    /// # Safety
    /// It is done within [`past_caches`], before whose end nothing else reads or writes these
    /// places.
    unsafe fn store_past_caches(self, to: &mut [Self::Lane]);
    /// Mask of the lanes that are greater than those of `other`.
    fn gt(self, other: Self) -> Self::Mask;
    /// The lesser of each two lanes; that of `other`, which is not NaN, where this one is.
    fn min(self, other: Self) -> Self;
    /// The greater of each two lanes, of which none is NaN.
    fn max(self, other: Self) -> Self;
    /// A part, counted from the first lanes on.
    fn register(&self, number: usize) -> Self::Register;
    /// Replaces a part.
    fn set_register(&mut self, number: usize, register: Self::Register);
}

/// A vector of floats. Masks are integers of the same size.
pub trait Floats: Ordered {
    /// The same bits.
    fn of_bits(bits: Self::Mask) -> Self;
    /// The same bits.
    fn bits(self) -> Self::Mask;
    /// Sums.
    fn add(self, other: Self) -> Self;
    /// Differences.
    fn sub(self, other: Self) -> Self;
    /// Products.
    fn mul(self, other: Self) -> Self;
    /// Products with `factor` and sums with `term`, rounded once or twice.
    fn scale(self, factor: Self, term: Self) -> Self;
    /// Quotients.
    fn div(self, other: Self) -> Self;
    /// Quotients, about: where instructions for that take less time, a few of ten thousand off.
    fn div_about(self, other: Self) -> Self;
    /// For a mask: `yes` where it is set, else `no`.
    fn select(mask: Self::Mask, yes: Self, no: Self) -> Self;
}

/// A vector of signed integers, and of masks.
pub trait Vector: Ordered<Mask = Self, Lane: Lane> {
    /// Mask of the lanes that are equal.
    fn eq(self, other: Self) -> Self;
    /// Bits of both.
    fn and(self, other: Self) -> Self;
    /// Bits that `other` has not.
    fn without(self, other: Self) -> Self;
    /// Bits of either.
    fn or(self, other: Self) -> Self;
    /// Sums, wrapping.
    fn add(self, other: Self) -> Self;
    /// Differences, wrapping.
    fn sub(self, other: Self) -> Self;
    /// One more where a mask is set.
    #[inline(always)]
    fn count(self, mask: Self) -> Self {
        self.sub(mask)
    }
    /// Shift to the right of a lane as bits, by as many places, less than its bits, as the
    /// lane of `by` says.
    fn shr(self, by: Self) -> Self;
    /// For a mask: `yes` where it is set, else `no`.
    fn select(self, yes: Self, no: Self) -> Self;
    /// Negated where `signs` is negative.
    fn negate_where_negative(self, signs: Self) -> Self;
    /// For a mask: a bit a lane, that of lane 0 lowest.
    fn bits(self) -> u32;
    /// The mask that has these bits.
    fn of_bits(isa: Self::Isa, bits: u32) -> Self;
}

/// The vector of a lane type on an instruction set.
pub type Of<I, K> = <K as Lane>::Vector<I>;

/// The registers of vectors, one vector's after the other's.
#[inline(always)]
pub(crate) fn registers<V: Ordered>(vectors: &[V]) -> &[V::Register] {
    let number = V::LANES / V::Register::LANES;
    assert!(size_of::<V>() == number * size_of::<V::Register>());
    // SAFETY: by its trait a vector is its registers, one behind the other, and it is as long.
    unsafe { std::slice::from_raw_parts(vectors.as_ptr().cast(), vectors.len() * number) }
}

/// The rows of vectors that hold several.
#[inline(always)]
pub(crate) fn single_rows<I: Isa>(_: I, rows: &[I::Rows]) -> &[I::I8] {
    assert!(dense::<I::Rows>() && dense::<I::I8>());
    // SAFETY: by their trait both are lanes without padding and any bits are a value; the token
    // allows vectors of its set.
    let (before, single, after) = unsafe { rows.align_to() };
    assert!(before.is_empty() && after.is_empty());
    single
}

/// The same, to write.
#[inline(always)]
pub(crate) fn single_rows_mut<I: Isa>(_: I, rows: &mut [I::Rows]) -> &mut [I::I8] {
    assert!(dense::<I::Rows>() && dense::<I::I8>());
    // SAFETY: by their trait both are lanes without padding and any bits are a value; the token
    // allows vectors of its set.
    let (before, single, after) = unsafe { rows.align_to_mut() };
    assert!(before.is_empty() && after.is_empty());
    single
}

/// The lanes of vectors, one vector's after the other's.
#[inline(always)]
pub(crate) fn lanes_mut<V: Vector>(vectors: &mut [V]) -> &mut [V::Lane] {
    assert!(dense::<V>());
    // SAFETY: by its trait a vector is its lanes without padding; any bits are a value of either.
    let (before, lanes, after) = unsafe { vectors.align_to_mut() };
    assert!(before.is_empty() && after.is_empty());
    lanes
}

/// Scratch memory as vectors or registers: those that lie in it, at multiples of their size.
pub(crate) fn vectors_mut<V: Vector>(_: V::Isa, lanes: &mut [V::Lane]) -> &mut [V] {
    assert!(dense::<V>());
    // SAFETY: by its trait a vector is its lanes without padding and any bits are a value; the
    // token allows vectors of its set.
    unsafe { lanes.align_to_mut().1 }
}

/// Whether a vector is its lanes, without padding.
const fn dense<V: Ordered>() -> bool {
    size_of::<V>() == V::LANES * size_of::<V::Lane>()
}
