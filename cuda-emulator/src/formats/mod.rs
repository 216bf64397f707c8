//! Formats of numbers: narrow floating point, the rounding modes of PTX and NVIDIA's rules for NaN.
//!
//! Operations in a narrow format are computed in f64 and rounded to odd there, so that the one rounding
//! to the narrow format is the right one ([`odd`]). Operations in f64 under a directed rounding mode are
//! the processor's own ([`directed`]).

pub mod directed;
mod narrow;
pub mod odd;

pub use narrow::{BF16, F16, F32, Format, bf16_to_f64, f16_to_f64, f64_to_bf16, f64_to_f16};

/// How a result that a format does not hold is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// `.rn`
    NearestEven,
    /// `.rz`
    TowardZero,
    /// `.rm`
    Down,
    /// `.rp`
    Up,
    /// `.rna`: ties away from zero
    NearestAway,
}

const CANONICAL_NAN: u32 = 0x7fff_ffff;

/// The f32 in the low half of a register.
#[inline(always)]
pub fn f32_of(x: u64) -> f32 {
    f32::from_bits(x as u32)
}
/// The f64 in a register.
#[inline(always)]
pub fn f64_of(x: u64) -> f64 {
    f64::from_bits(x)
}
/// A register that holds an f32 result: every NaN is the canonical one.
#[inline(always)]
pub fn bits_of(x: f32) -> u64 {
    if x.is_nan() { CANONICAL_NAN as u64 } else { x.to_bits() as u64 }
}
/// `.ftz`: a subnormal value becomes zero of its sign.
#[inline(always)]
pub fn flush_subnormal(x: f32) -> f32 {
    if x.is_subnormal() { f32::from_bits(x.to_bits() & 0x8000_0000) } else { x }
}

/// PTX min or max: a NaN loses against a number unless `nan`, and -0 is less than +0.
pub fn min_or_max<const MAX: bool>(a: f64, b: f64, nan: bool) -> f64 {
    if a.is_nan() || b.is_nan() {
        if nan || (a.is_nan() && b.is_nan()) {
            return f64::NAN;
        }
        return if a.is_nan() { b } else { a };
    }
    if a == b {
        // -0 < +0
        let neg = a.is_sign_negative();
        return if MAX {
            if neg { b } else { a }
        } else if neg {
            a
        } else {
            b
        };
    }
    if (a > b) == MAX { a } else { b }
}

/// An f64 rounded to an integer that it can hold.
pub fn round_to_integral(v: f64, r: Rounding) -> f64 {
    match r {
        Rounding::NearestEven => v.round_ties_even(),
        Rounding::TowardZero => v.trunc(),
        Rounding::Down => v.floor(),
        Rounding::Up => v.ceil(),
        Rounding::NearestAway => v.round(),
    }
}

#[cfg(test)]
mod tests;
