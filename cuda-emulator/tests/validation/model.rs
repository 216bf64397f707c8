//! The binary formats of IEEE 754: what a pattern of bits stands for, and which pattern a value becomes.

pub use super::number::{Mode, Number};
use super::number::{Number::*, rounded, width};
use std::cmp::Ordering;

/// A binary interchange format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    pub name: &'static str,
    pub exponent_bits: u32,
    pub fraction_bits: u32,
}

pub const F16: Format = Format { name: "f16", exponent_bits: 5, fraction_bits: 10 };
pub const BF16: Format = Format { name: "bf16", exponent_bits: 8, fraction_bits: 7 };
pub const F32: Format = Format { name: "f32", exponent_bits: 8, fraction_bits: 23 };
pub const F64: Format = Format { name: "f64", exponent_bits: 11, fraction_bits: 52 };

impl Format {
    pub fn bits(self) -> u32 {
        1 + self.exponent_bits + self.fraction_bits
    }
    pub fn sign(self) -> u64 {
        1 << (self.bits() - 1)
    }
    pub fn infinity(self) -> u64 {
        ((1 << self.exponent_bits) - 1) << self.fraction_bits
    }
    pub fn one(self) -> u64 {
        ((1 << (self.exponent_bits - 1)) - 1) << self.fraction_bits
    }
    /// The NaN that results are: all ones but the sign.
    pub fn nan(self) -> u64 {
        self.sign() - 1
    }
    pub fn is_nan(self, bits: u64) -> bool {
        bits & !self.sign() > self.infinity()
    }
    /// The exponent of the last bit of the smallest numbers.
    fn least_exponent(self) -> i32 {
        2 - (1 << (self.exponent_bits - 1)) - self.fraction_bits as i32
    }

    pub fn decode(self, bits: u64) -> Number {
        let negative = bits & self.sign() != 0;
        let (magnitude, fraction_bits) = (bits & !self.sign(), self.fraction_bits);
        let (field, fraction) =
            (magnitude >> fraction_bits, magnitude & ((1 << fraction_bits) - 1));
        match magnitude.cmp(&self.infinity()) {
            Ordering::Greater => Nan,
            Ordering::Equal => Infinite { negative },
            // subnormal numbers have the exponent of field 1 and no leading one
            Ordering::Less => Finite {
                negative,
                significand: (fraction | ((field > 0) as u64) << fraction_bits) as u128,
                exponent: self.least_exponent() + field.max(1) as i32 - 1,
            },
        }
    }

    pub fn encode(self, number: Number, mode: Mode) -> u64 {
        let sign = if number.is_negative() { self.sign() } else { 0 };
        let (negative, significand, exponent) = match number {
            Nan => return self.nan(),
            Infinite { .. } => return sign | self.infinity(),
            Finite { significand: 0, .. } => return sign,
            Finite { negative, significand, exponent } => (negative, significand, exponent),
        };
        let top = exponent + width(significand) - 1;
        // of the last bit that is kept
        let last = (top - self.fraction_bits as i32).max(self.least_exponent());
        let kept = rounded(negative, significand, last - exponent, mode) as u64;
        // the leading one of a normal number adds one to the field
        let bits = (((last - self.least_exponent()) as u64) << self.fraction_bits) + kept;
        let overflows_to_infinity = match mode {
            Mode::Nearest => true,
            Mode::Zero => false,
            Mode::Down => negative,
            Mode::Up => !negative,
        };
        let greatest = self.infinity() - !overflows_to_infinity as u64;
        sign | bits.min(greatest)
    }

    /// `.ftz`: subnormal numbers become zero.
    pub fn flushed(self, bits: u64) -> u64 {
        if bits & self.infinity() == 0 { bits & self.sign() } else { bits }
    }

    /// `.sat`: clamped to 0 and 1, NaN becomes 0.
    pub fn saturated(self, bits: u64) -> u64 {
        let is_positive = bits < self.sign() && !self.is_nan(bits);
        if is_positive { bits.min(self.one()) } else { 0 }
    }

    /// `.relu`: what is below zero becomes zero, NaN the usual one.
    pub fn rectified(self, bits: u64) -> u64 {
        if self.is_nan(bits) {
            self.nan()
        } else if bits & self.sign() != 0 {
            0
        } else {
            bits
        }
    }

    /// An integer that orders numbers, -0 before +0.
    pub fn order(self, bits: u64) -> i128 {
        let magnitude = (bits & !self.sign()) as i128;
        if bits & self.sign() != 0 { -1 - magnitude } else { magnitude }
    }
}
