//! Binary formats of at most 32 bits: f16, bf16 and f32, to and from f64, which holds each exactly.

use super::Rounding;

/// A binary floating-point format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    exponent_bits: u32,
    /// stored bits of the significand
    mantissa_bits: u32,
}

pub const F16: Format = Format { exponent_bits: 5, mantissa_bits: 10 };
pub const BF16: Format = Format { exponent_bits: 8, mantissa_bits: 7 };
pub const F32: Format = Format { exponent_bits: 8, mantissa_bits: 23 };

impl Format {
    /// The largest finite value.
    pub fn max_finite(self) -> u32 {
        self.infinity() - 1
    }

    pub fn infinity(self) -> u32 {
        ((1 << self.exponent_bits) - 1) << self.mantissa_bits
    }

    /// Bits of `v`, rounded once. A NaN gives the canonical NaN of PTX, all ones but the sign.
    pub fn encode(self, v: f64, r: Rounding) -> u32 {
        let (eb, mb) = (self.exponent_bits, self.mantissa_bits);
        let bits = v.to_bits();
        let sign = (bits >> 63) as u32;
        let s = sign << (eb + mb);
        let emax = (1u32 << eb) - 1;
        if v.is_nan() {
            return (1u32 << (eb + mb)) - 1; // 0x7fff, 0x7fffffff
        }
        if v.is_infinite() {
            return s | (emax << mb);
        }
        if v == 0.0 {
            return s;
        }
        let bias = (1i32 << (eb - 1)) - 1;
        let mut e = ((bits >> 52) & 0x7ff) as i32 - 1023;
        let mut m = bits & ((1u64 << 52) - 1);
        if e == -1023 {
            // f64 subnormal: far below every target format's range, keep it as a tiny value
            e = -1022;
            while m & (1u64 << 52) == 0 {
                m <<= 1;
                e -= 1;
            }
        } else {
            m |= 1u64 << 52;
        }
        // m has 53 bits, value = m * 2^(e-52)
        let mut shift = 52 - mb as i32; // bits dropped
        let mut te = e + bias;
        if te <= 0 {
            shift += 1 - te;
            te = 0;
        }
        let (mut q, rem, half) = if shift >= 64 {
            (0u64, m, u64::MAX) // below half an ulp for sure
        } else {
            (m >> shift, m & ((1u64 << shift) - 1), 1u64 << (shift - 1))
        };
        let up = match r {
            Rounding::NearestEven => rem > half || (rem == half && q & 1 == 1),
            Rounding::NearestAway => rem >= half,
            Rounding::TowardZero => false,
            Rounding::Down => rem != 0 && sign == 1,
            Rounding::Up => rem != 0 && sign == 0,
        };
        if up {
            q += 1;
        }
        // q still holds the hidden bit for a normal number
        let out = if te == 0 {
            q as u32 // subnormal; a carry into the exponent is right as it is
        } else {
            let base = ((te as u64) << mb) + (q - (1u64 << mb));
            base as u32
        };
        if te >= emax as i32 || out >= (emax << mb) {
            let inf = match r {
                Rounding::NearestEven | Rounding::NearestAway => true,
                Rounding::TowardZero => false,
                Rounding::Down => sign == 1,
                Rounding::Up => sign == 0,
            };
            return s | if inf { emax << mb } else { (emax << mb) - 1 };
        }
        s | out
    }
}

pub fn f16_to_f64(h: u16) -> f64 {
    let s = if h & 0x8000 != 0 { -1.0 } else { 1.0 };
    let e = ((h >> 10) & 31) as i32;
    let m = (h & 0x3ff) as f64;
    if e == 31 {
        return if h & 0x3ff != 0 { f64::NAN } else { s * f64::INFINITY };
    }
    if e == 0 { s * m * 2f64.powi(-24) } else { s * (1024.0 + m) * 2f64.powi(e - 25) }
}
#[inline]
pub fn bf16_to_f64(b: u16) -> f64 {
    f32::from_bits((b as u32) << 16) as f64
}
#[inline]
pub fn f64_to_f16(v: f64) -> u16 {
    F16.encode(v, Rounding::NearestEven) as u16
}
#[inline]
pub fn f64_to_bf16(v: f64) -> u16 {
    BF16.encode(v, Rounding::NearestEven) as u16
}
