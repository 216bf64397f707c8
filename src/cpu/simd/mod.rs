//! Vectors of keys: one generic algorithm, several instruction sets.
//!
//! A lane is a column. Algorithms are written once over [`Isa`] and [`Vector`]; the portable
//! implementation ([`portable`]) is plain arrays, [`avx2`] is `std::arch`. Which one runs is decided
//! once, at run time, by what the machine has; `BIHALF_CPU_ISA=portable` (or `avx2`) forces it.
//!
//! This folder alone of the CPU path holds `unsafe`, for these reasons:
//!
//! | file | reason | why it is sound |
//! |---|---|---|
//! | `avx2.rs` | intrinsics need their instructions | a vector or a token of [`avx2::Avx2`] is only made after detection |
//! | `avx2.rs` | a function with `#[target_feature]` | it is only called with that token |
//! | `avx2.rs` | loads and stores through pointers | each is behind an assertion of the slice's length |
//! | `columns.rs` | threads write disjoint columns of one matrix | a part owns a range of columns and hands out rows of that range alone |
//! | `columns.rs` | rows without a check of the whole matrix | the last row has been checked |
//! | `avx2.rs` | a prefetch of any address | it touches nothing that a program can see |
//! | `store.rs` | stores past the caches, which are not ordered | who gets the token for them is inside a call that ends with a fence |
//! | `mod.rs` | scratch memory seen as vectors | vectors are lanes without padding, any bits are a value |
//!
//! Generic code is `#[inline(always)]`, so that it is compiled inside [`Isa::run`] with the
//! instructions of the set.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
mod avx2;
mod columns;
mod elements;
mod keys;
mod portable;
mod store;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
pub(crate) use columns::{Columns, Rows};
pub use elements::{Less, Loads, Reals, Signed};
pub use keys::{KeyLanes, Keyed, Lane};
pub(crate) use keys::{floats_of, keys_of};
pub(crate) use portable::Portable;
pub use store::Store;
pub(crate) use store::{Cached, past_caches};

use crate::{Error, Result};
use half::f16;
use std::sync::OnceLock;

/// The environment variable that forces an instruction set.
pub(crate) const VARIABLE: &str = "BIHALF_CPU_ISA";

/// Work to be compiled for an instruction set. `run` must be `#[inline(always)]`.
pub trait Job<I: Isa> {
    /// What the work returns.
    type Output;
    /// Does the work.
    fn run(self, isa: I) -> Self::Output;
}

/// An instruction set. A value of it is the proof that the machine has it.
pub trait Isa: Copy + Send + Sync + 'static {
    /// 16 lanes of 16 bits.
    type I16: Vector<Lane = i16, Isa = Self>;
    /// 8 lanes of 32 bits.
    type I32: Vector<Lane = i32, Isa = Self>;
    /// 4 lanes of 64 bits.
    type I64: Vector<Lane = i64, Isa = Self>;
    /// 8 lanes of `f32`.
    type F32: Floats<Isa = Self>;

    /// Runs a job compiled for this instruction set.
    fn run<J: Job<Self>>(self, job: J) -> J::Output;

    /// The first 8 values, each in the upper half of a lane; the lower half is 0.
    fn load_upper(self, values: &[u16]) -> Self::I32;

    /// 16 lanes of 32 bits as 16 bits, the nearest there are.
    fn narrow(self, lanes: [Self::I32; 2]) -> Self::I16;

    /// 16 lanes of 16 bits with 32 bits each.
    fn widen(self, lanes: Self::I16) -> [Self::I32; 2];

    /// 16 lanes of 16 bits, each in the upper half of a lane; the lower half is 0.
    fn upper(self, lanes: Self::I16) -> [Self::I32; 2];

    /// 8 values as `f32`.
    fn widen_f16(self, values: &[f16]) -> Self::F32;

    /// 8 values rounded.
    fn narrow_f16(self, values: Self::F32, to: &mut [f16]);

    /// 8 values as `f32`, rounded.
    fn narrow_f64(self, values: &[f64]) -> Self::F32;

    /// Asks for a cache line that will be read. Any address will do.
    fn prefetch<T>(self, address: *const T);

    /// Ends stores past the caches: what follows sees them.
    fn settle(self);
}

/// A vector of `f32`. Masks are those of the integers of its size.
pub trait Floats: Copy + Send + Sync + 'static {
    /// The instruction set.
    type Isa: Isa;

    /// The same value in all lanes.
    fn splat(isa: Self::Isa, value: f32) -> Self;
    /// The first values of a slice.
    fn load(isa: Self::Isa, from: &[f32]) -> Self;
    /// To the first places of a slice.
    fn store(self, to: &mut [f32]);
    /// The nearest number.
    fn of_int(int: IntsOf<Self>) -> Self;
    /// A number whose place in the order does not depend on the others; out of range or NaN it is
    /// the least one.
    fn to_int(self) -> IntsOf<Self>;
    /// The same bits.
    fn of_bits(bits: IntsOf<Self>) -> Self;
    /// The same bits.
    fn bits(self) -> IntsOf<Self>;
    /// Sums.
    fn add(self, other: Self) -> Self;
    /// Differences.
    fn sub(self, other: Self) -> Self;
    /// Products.
    fn mul(self, other: Self) -> Self;
    /// Quotients.
    fn div(self, other: Self) -> Self;
    /// The lesser of each two lanes; that of `limit` for NaN.
    fn up_to(self, limit: Self) -> Self;
    /// Mask of the lanes that are greater than those of `other`.
    fn gt(self, other: Self) -> IntsOf<Self>;
    /// For a mask: `yes` where it is set, else `no`.
    fn select(mask: IntsOf<Self>, yes: Self, no: Self) -> Self;
}

/// The integers with as many bits as the floats.
pub type IntsOf<F> = <<F as Floats>::Isa as Isa>::I32;

/// A vector of signed integers, a lane a column. Masks are vectors with all bits of a lane equal.
pub trait Vector: Copy + Send + Sync + 'static {
    /// One column's key.
    type Lane: Lane;
    /// The instruction set.
    type Isa: Isa;
    /// Whether it is a register, so that long sequences on many vectors are worth unrolling.
    const IN_REGISTERS: bool = true;

    /// The same value in all lanes.
    fn splat(isa: Self::Isa, value: Self::Lane) -> Self;
    /// The first values of a slice.
    fn load(isa: Self::Isa, from: &[Self::Lane]) -> Self;
    /// To the first places of a slice.
    fn store(self, to: &mut [Self::Lane]);
    /// The same, past the caches if the places are aligned.
    ///
    /// # Safety
    /// [`Isa::settle`] comes before anything else that reads or writes these places.
    unsafe fn store_past_caches(self, to: &mut [Self::Lane]);
    /// Mask of the lanes that are greater than those of `other`.
    fn gt(self, other: Self) -> Self;
    /// Mask of the lanes that are equal.
    fn eq(self, other: Self) -> Self;
    /// The lesser of each two lanes.
    fn min(self, other: Self) -> Self;
    /// The greater of each two lanes.
    fn max(self, other: Self) -> Self;
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
    /// Shift to the right of a lane as bits, by as many places, less than its bits, as the
    /// lane of `by` says.
    fn shr(self, by: Self) -> Self;
    /// As many values of 16 bits as there are lanes.
    fn load_narrow(isa: Self::Isa, from: &[i16]) -> Self;
    /// The lower 16 bits of each lane.
    fn store_narrow(self, to: &mut [i16]);
    /// For a mask: `yes` where it is set, else `no`.
    fn select(self, yes: Self, no: Self) -> Self;
    /// Negated where `signs` is negative.
    fn negate_where_negative(self, signs: Self) -> Self;
    /// For a mask: a bit a lane, that of lane 0 lowest.
    fn bits(self) -> u32;
}

/// The vector of a lane type on an instruction set.
pub type Of<I, K> = <K as Lane>::Vector<I>;

/// The instruction sets that this build knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detected {
    Portable(Portable),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
}

/// Names that the variable may have here.
const NAMES: &str = if cfg!(target_arch = "x86_64") { "portable or avx2" } else { "portable" };

/// The instruction set that calls run on.
pub(crate) fn detected() -> Result<Detected> {
    static DETECTED: OnceLock<Result<Detected, String>> = OnceLock::new();
    let choose = || match std::env::var_os(VARIABLE) {
        None => Ok(best()),
        Some(name) => named(&name.to_string_lossy()),
    };
    match DETECTED.get_or_init(choose) {
        Ok(isa) => Ok(*isa),
        Err(value) => {
            Err(Error::InstructionSet { variable: VARIABLE, value: value.clone(), known: NAMES })
        }
    }
}

fn best() -> Detected {
    #[cfg(target_arch = "x86_64")]
    if let Some(avx2) = Avx2::detect() {
        return Detected::Avx2(avx2);
    }
    Detected::Portable(Portable)
}

fn named(name: &str) -> Result<Detected, String> {
    match name {
        "portable" => Ok(Detected::Portable(Portable)),
        #[cfg(target_arch = "x86_64")]
        "avx2" => Avx2::detect().map(Detected::Avx2).ok_or_else(|| name.to_owned()),
        _ => Err(name.to_owned()),
    }
}

/// Scratch memory as vectors: those that lie in it, at multiples of their size.
pub(crate) fn vectors_mut<I: Isa, K: Lane>(_: I, lanes: &mut [K]) -> &mut [Of<I, K>] {
    // SAFETY: a vector consists of lanes without padding and any bits are a valid one; the token
    // allows vectors of its set.
    unsafe { lanes.align_to_mut().1 }
}
