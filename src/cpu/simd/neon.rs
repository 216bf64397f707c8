//! aarch64 with Advanced SIMD (NEON): registers of 128 bits.

use super::registers::{floats, integers};
use super::{Isa, Job, LANES, Ordered, Two};
use half::f16;
use std::arch::aarch64::*;

/// The proof that the machine has the instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neon(());

impl Neon {
    pub(super) fn detect() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("neon").then_some(Self(()))
    }
}

impl Isa for Neon {
    type I8 = I8;
    type Rows = I8;
    type I16 = Two<I16>;
    type I32 = Two<Two<I32>>;
    type I64 = Two<Two<Two<I64>>>;
    type F32 = Two<Two<F32>>;
    type F64 = Two<Two<Two<F64>>>;

    // What the target has anyway needs no function of its own.
    #[inline(always)]
    fn run<J: Job<Self>>(self, job: J) -> J::Output {
        job.run(self)
    }

    #[inline(always)]
    fn load_upper(self, values: &[u16]) -> Self::I32 {
        assert!(values.len() >= LANES);
        // SAFETY: the token proves the instructions; the slice is long enough.
        unsafe {
            let (low, high) = (vld1q_u16(values.as_ptr()), vld1q_u16(values.as_ptr().add(8)));
            Two(upper_eight(low), upper_eight(high))
        }
    }

    #[inline(always)]
    fn narrow(self, lanes: Self::I32) -> Self::I16 {
        // SAFETY: the token proves the instructions.
        unsafe { Two(narrow_eight(lanes.0), narrow_eight(lanes.1)) }
    }

    #[inline(always)]
    fn narrow_to_8(self, lanes: Self::I32) -> I8 {
        let Two(low, high) = self.narrow(lanes);
        // SAFETY: the token proves the instructions.
        unsafe { I8(vqmovn_high_s16(vqmovn_s16(low.0), high.0)) }
    }

    #[inline(always)]
    fn widen(self, lanes: Self::I16) -> Self::I32 {
        // SAFETY: the token proves the instructions.
        unsafe { Two(widen_eight(lanes.0), widen_eight(lanes.1)) }
    }

    #[inline(always)]
    fn widen_8(self, lanes: I8) -> Two<I16> {
        // SAFETY: the token proves the instructions.
        unsafe { Two(I16(vmovl_s8(vget_low_s8(lanes.0))), I16(vmovl_high_s8(lanes.0))) }
    }

    #[inline(always)]
    fn widen_8_to_32(self, lanes: I8) -> Self::I32 {
        self.widen(self.widen_8(lanes))
    }

    #[inline(always)]
    fn repeat(self, row: I8) -> I8 {
        row
    }

    #[inline(always)]
    fn sum_rows(self, rows: I8) -> Two<I16> {
        self.widen_8(rows)
    }

    // Conversion of f16 has no stable intrinsics here.
    #[inline(always)]
    fn widen_f16(self, values: &[f16]) -> Self::F32 {
        let values: &[f16; LANES] = values.first_chunk().expect("a vector's lanes");
        Ordered::load(self, &values.map(f16::to_f32))
    }

    #[inline(always)]
    fn narrow_f16(self, values: Self::F32, to: &mut [f16]) {
        let mut lanes = [0.0; LANES];
        values.store(&mut lanes);
        *to.first_chunk_mut().expect("a vector's lanes") = lanes.map(f16::from_f32);
    }

    #[inline(always)]
    fn widen_f32(self, Two(low, high): Two<Two<F32>>) -> Two<Two<Two<F64>>> {
        // SAFETY: the token proves the instructions.
        unsafe {
            Two(
                Two(doubles_of(low.0), doubles_of(low.1)),
                Two(doubles_of(high.0), doubles_of(high.1)),
            )
        }
    }

    #[inline(always)]
    fn narrow_f64(self, values: &[f64]) -> Self::F32 {
        let Two(low, high): Self::F64 = Ordered::load(self, values);
        // SAFETY: the token proves the instructions.
        unsafe {
            Two(
                Two(narrow_four(low.0), narrow_four(low.1)),
                Two(narrow_four(high.0), narrow_four(high.1)),
            )
        }
    }

    #[inline(always)]
    fn float(self, lanes: Self::I32) -> Self::F32 {
        let Two(Two(a, b), Two(c, d)) = lanes;
        // SAFETY: the token proves the instructions.
        unsafe {
            Two(
                Two(F32(vcvtq_f32_s32(a.0)), F32(vcvtq_f32_s32(b.0))),
                Two(F32(vcvtq_f32_s32(c.0)), F32(vcvtq_f32_s32(d.0))),
            )
        }
    }

    #[inline(always)]
    fn round(self, values: Self::F32) -> Self::I32 {
        let Two(Two(a, b), Two(c, d)) = values;
        // SAFETY: the token proves the instructions.
        unsafe {
            Two(
                Two(I32(vcvtnq_s32_f32(a.0)), I32(vcvtnq_s32_f32(b.0))),
                Two(I32(vcvtnq_s32_f32(c.0)), I32(vcvtnq_s32_f32(d.0))),
            )
        }
    }

    #[inline(always)]
    fn prefetch<T>(self, address: *const T) {
        // SAFETY: the token proves the instructions.
        unsafe {
            std::arch::asm!("prfm pldl1keep, [{}]", in(reg) address,
                options(nostack, preserves_flags, readonly));
        }
    }
}

#[inline(always)]
unsafe fn doubles_of(values: F32) -> Two<F64> {
    // SAFETY: the caller has the instructions.
    unsafe {
        let low = vget_low_f32(values.0);
        Two(F64(vcvt_f64_f32(low)), F64(vcvt_high_f64_f32(values.0)))
    }
}

#[inline(always)]
unsafe fn upper_eight(values: uint16x8_t) -> Two<I32> {
    // SAFETY: the caller has the instructions.
    unsafe {
        let (low, high) = (vmovl_u16(vget_low_u16(values)), vmovl_high_u16(values));
        let (low, high) = (vshlq_n_u32::<16>(low), vshlq_n_u32::<16>(high));
        Two(I32(vreinterpretq_s32_u32(low)), I32(vreinterpretq_s32_u32(high)))
    }
}

#[inline(always)]
unsafe fn narrow_eight(lanes: Two<I32>) -> I16 {
    // SAFETY: the caller has the instructions.
    unsafe { I16(vqmovn_high_s32(vqmovn_s32(lanes.0.0), lanes.1.0)) }
}

#[inline(always)]
unsafe fn widen_eight(lanes: I16) -> Two<I32> {
    // SAFETY: the caller has the instructions.
    unsafe { Two(I32(vmovl_s16(vget_low_s16(lanes.0))), I32(vmovl_high_s16(lanes.0))) }
}

#[inline(always)]
unsafe fn narrow_four(lanes: Two<F64>) -> F32 {
    // SAFETY: the caller has the instructions.
    unsafe { F32(vcvt_high_f32_f64(vcvt_f32_f64(lanes.0.0), lanes.1.0)) }
}

/// Functions whose masks are signed, of instructions whose masks are not.
macro_rules! masks {
    ($register:ty as $lane:ty, to_mask $to_mask:ident, of_mask $of_mask:ident;
     $gt:ident by $cgt:ident, $eq:ident by $ceq:ident, $shr:ident by $shl:ident and $neg:ident,
     $select:ident by $bsl:ident, $negate:ident by $sign:ident and $xor:ident and $sub:ident) => {
        #[inline(always)]
        unsafe fn $gt(a: $register, b: $register) -> $register {
            // SAFETY: the caller has the instructions.
            unsafe { $of_mask($cgt(a, b)) }
        }
        #[inline(always)]
        unsafe fn $eq(a: $register, b: $register) -> $register {
            // SAFETY: the caller has the instructions.
            unsafe { $of_mask($ceq(a, b)) }
        }
        // To the left by less than nothing.
        #[inline(always)]
        unsafe fn $shr(lanes: $register, by: $register) -> $register {
            // SAFETY: the caller has the instructions.
            unsafe { $of_mask($shl($to_mask(lanes), $neg(by))) }
        }
        #[inline(always)]
        unsafe fn $select(mask: $register, yes: $register, no: $register) -> $register {
            // SAFETY: the caller has the instructions.
            unsafe { $bsl($to_mask(mask), yes, no) }
        }
        #[inline(always)]
        unsafe fn $negate(lanes: $register, signs: $register) -> $register {
            // SAFETY: the caller has the instructions.
            unsafe {
                let mask = $sign::<{ <$lane>::BITS as i32 - 1 }>(signs);
                $sub($xor(lanes, mask), mask)
            }
        }
    };
}

/// Masks as bits and bits as masks; `each` is the bit of each lane.
macro_rules! bits {
    ($register:ty, [$lane:ty; $lanes:literal] of bits $each:expr, to_mask $to_mask:ident,
     of_mask $of_mask:ident;
     $bits:ident by $and:ident and $sum:ident,
     $of_bits:ident by $load:ident and $splat:ident and $test:ident) => {
        #[inline(always)]
        unsafe fn $bits(mask: $register) -> u32 {
            let each: [$lane; $lanes] = $each;
            // SAFETY: the caller has the instructions.
            unsafe { $sum($and($to_mask(mask), $to_mask($load(each.as_ptr())))) as u32 }
        }
        #[inline(always)]
        unsafe fn $of_bits(bits: u32) -> $register {
            let each: [$lane; $lanes] = $each;
            // SAFETY: the caller has the instructions.
            unsafe { $of_mask($test($splat(bits as $lane), $load(each.as_ptr()))) }
        }
    };
}

// A sum of 8 bits holds the bits of half of the lanes.
#[inline(always)]
unsafe fn bits_s8(mask: int8x16_t) -> u32 {
    let each: [i8; 16] = [1, 2, 4, 8, 16, 32, 64, -128, 1, 2, 4, 8, 16, 32, 64, -128];
    // SAFETY: the caller has the instructions.
    unsafe {
        let bits = vreinterpretq_u8_s8(vandq_s8(mask, vld1q_s8(each.as_ptr())));
        u32::from(vaddv_u8(vget_low_u8(bits))) | u32::from(vaddv_u8(vget_high_u8(bits))) << 8
    }
}

#[inline(always)]
unsafe fn of_bits_s8(bits: u32) -> int8x16_t {
    let each: [i8; 16] = [1, 2, 4, 8, 16, 32, 64, -128, 1, 2, 4, 8, 16, 32, 64, -128];
    // SAFETY: the caller has the instructions.
    unsafe {
        let bits = vcombine_s8(vdup_n_s8(bits as i8), vdup_n_s8((bits >> 8) as i8));
        vreinterpretq_s8_u8(vtstq_s8(bits, vld1q_s8(each.as_ptr())))
    }
}

masks! { int8x16_t as i8, to_mask vreinterpretq_u8_s8, of_mask vreinterpretq_s8_u8;
    gt_s8 by vcgtq_s8, eq_s8 by vceqq_s8, shr_s8 by vshlq_u8 and vnegq_s8,
    select_s8 by vbslq_s8, negate_s8 by vshrq_n_s8 and veorq_s8 and vsubq_s8
}

masks! { int16x8_t as i16, to_mask vreinterpretq_u16_s16, of_mask vreinterpretq_s16_u16;
    gt_s16 by vcgtq_s16, eq_s16 by vceqq_s16, shr_s16 by vshlq_u16 and vnegq_s16,
    select_s16 by vbslq_s16, negate_s16 by vshrq_n_s16 and veorq_s16 and vsubq_s16
}

masks! { int32x4_t as i32, to_mask vreinterpretq_u32_s32, of_mask vreinterpretq_s32_u32;
    gt_s32 by vcgtq_s32, eq_s32 by vceqq_s32, shr_s32 by vshlq_u32 and vnegq_s32,
    select_s32 by vbslq_s32, negate_s32 by vshrq_n_s32 and veorq_s32 and vsubq_s32
}

masks! { int64x2_t as i64, to_mask vreinterpretq_u64_s64, of_mask vreinterpretq_s64_u64;
    gt_s64 by vcgtq_s64, eq_s64 by vceqq_s64, shr_s64 by vshlq_u64 and vnegq_s64,
    select_s64 by vbslq_s64, negate_s64 by vshrq_n_s64 and veorq_s64 and vsubq_s64
}

bits! { int16x8_t, [i16; 8] of bits [1, 2, 4, 8, 16, 32, 64, 128], to_mask vreinterpretq_u16_s16,
    of_mask vreinterpretq_s16_u16;
    bits_s16 by vandq_u16 and vaddvq_u16, of_bits_s16 by vld1q_s16 and vdupq_n_s16 and vtstq_s16
}

bits! { int32x4_t, [i32; 4] of bits [1, 2, 4, 8], to_mask vreinterpretq_u32_s32,
    of_mask vreinterpretq_s32_u32;
    bits_s32 by vandq_u32 and vaddvq_u32, of_bits_s32 by vld1q_s32 and vdupq_n_s32 and vtstq_s32
}

bits! { int64x2_t, [i64; 2] of bits [1, 2], to_mask vreinterpretq_u64_s64,
    of_mask vreinterpretq_s64_u64;
    bits_s64 by vandq_u64 and vaddvq_u64, of_bits_s64 by vld1q_s64 and vdupq_n_s64 and vtstq_s64
}

#[inline(always)]
unsafe fn min_s64(a: int64x2_t, b: int64x2_t) -> int64x2_t {
    // SAFETY: the caller has the instructions.
    unsafe { vbslq_s64(vcgtq_s64(a, b), b, a) }
}

#[inline(always)]
unsafe fn max_s64(a: int64x2_t, b: int64x2_t) -> int64x2_t {
    // SAFETY: the caller has the instructions.
    unsafe { vbslq_s64(vcgtq_s64(a, b), a, b) }
}

// Stores past the caches have no intrinsic here.
integers! { I8(int8x16_t): [i8; 16] of Neon;
    splat vdupq_n_s8, load vld1q_s8, store vst1q_s8, stream vst1q_s8, gt gt_s8, min vminq_s8,
    max vmaxq_s8, eq eq_s8, and vandq_s8, without vbicq_s8, or vorrq_s8, add vaddq_s8,
    sub vsubq_s8, shr shr_s8, select select_s8, negate_where_negative negate_s8,
    bits bits_s8, of_bits of_bits_s8
}

integers! { I16(int16x8_t): [i16; 8] of Neon;
    splat vdupq_n_s16, load vld1q_s16, store vst1q_s16, stream vst1q_s16, gt gt_s16, min vminq_s16,
    max vmaxq_s16, eq eq_s16, and vandq_s16, without vbicq_s16, or vorrq_s16, add vaddq_s16,
    sub vsubq_s16, shr shr_s16, select select_s16, negate_where_negative negate_s16,
    bits bits_s16, of_bits of_bits_s16
}

integers! { I32(int32x4_t): [i32; 4] of Neon;
    splat vdupq_n_s32, load vld1q_s32, store vst1q_s32, stream vst1q_s32, gt gt_s32, min vminq_s32,
    max vmaxq_s32, eq eq_s32, and vandq_s32, without vbicq_s32, or vorrq_s32, add vaddq_s32,
    sub vsubq_s32, shr shr_s32, select select_s32, negate_where_negative negate_s32,
    bits bits_s32, of_bits of_bits_s32
}

integers! { I64(int64x2_t): [i64; 2] of Neon;
    splat vdupq_n_s64, load vld1q_s64, store vst1q_s64, stream vst1q_s64, gt gt_s64, min min_s64,
    max max_s64, eq eq_s64, and vandq_s64, without vbicq_s64, or vorrq_s64, add vaddq_s64,
    sub vsubq_s64, shr shr_s64, select select_s64, negate_where_negative negate_s64,
    bits bits_s64, of_bits of_bits_s64
}

// The instruction takes the term first.
#[inline(always)]
unsafe fn scale_f32(lanes: float32x4_t, factor: float32x4_t, term: float32x4_t) -> float32x4_t {
    // SAFETY: the caller has the instructions.
    unsafe { vfmaq_f32(term, lanes, factor) }
}

#[inline(always)]
unsafe fn gt_f32(a: float32x4_t, b: float32x4_t) -> int32x4_t {
    // SAFETY: the caller has the instructions.
    unsafe { vreinterpretq_s32_u32(vcgtq_f32(a, b)) }
}

// The instructions for minima give NaN if one is NaN, or if it is a signalling one.
#[inline(always)]
unsafe fn min_f32(a: float32x4_t, b: float32x4_t) -> float32x4_t {
    // SAFETY: the caller has the instructions.
    unsafe { vbslq_f32(vcltq_f32(a, b), a, b) }
}

#[inline(always)]
unsafe fn select_f32(mask: int32x4_t, yes: float32x4_t, no: float32x4_t) -> float32x4_t {
    // SAFETY: the caller has the instructions.
    unsafe { vbslq_f32(vreinterpretq_u32_s32(mask), yes, no) }
}

floats! { F32(float32x4_t): [f32; 4] of Neon, mask I32;
    splat vdupq_n_f32, load vld1q_f32, store vst1q_f32, stream vst1q_f32, gt gt_f32,
    min min_f32, max vmaxnmq_f32, of_bits vreinterpretq_f32_s32, bits vreinterpretq_s32_f32,
    select select_f32, add vaddq_f32, sub vsubq_f32, mul vmulq_f32, scale scale_f32, div vdivq_f32,
    div_about vdivq_f32
}

#[inline(always)]
unsafe fn scale_f64(lanes: float64x2_t, factor: float64x2_t, term: float64x2_t) -> float64x2_t {
    // SAFETY: the caller has the instructions.
    unsafe { vfmaq_f64(term, lanes, factor) }
}

#[inline(always)]
unsafe fn gt_f64(a: float64x2_t, b: float64x2_t) -> int64x2_t {
    // SAFETY: the caller has the instructions.
    unsafe { vreinterpretq_s64_u64(vcgtq_f64(a, b)) }
}

// The instructions for minima give NaN if one is NaN, or if it is a signalling one.
#[inline(always)]
unsafe fn min_f64(a: float64x2_t, b: float64x2_t) -> float64x2_t {
    // SAFETY: the caller has the instructions.
    unsafe { vbslq_f64(vcltq_f64(a, b), a, b) }
}

#[inline(always)]
unsafe fn select_f64(mask: int64x2_t, yes: float64x2_t, no: float64x2_t) -> float64x2_t {
    // SAFETY: the caller has the instructions.
    unsafe { vbslq_f64(vreinterpretq_u64_s64(mask), yes, no) }
}

floats! { F64(float64x2_t): [f64; 2] of Neon, mask I64;
    splat vdupq_n_f64, load vld1q_f64, store vst1q_f64, stream vst1q_f64, gt gt_f64,
    min min_f64, max vmaxnmq_f64, of_bits vreinterpretq_f64_s64, bits vreinterpretq_s64_f64,
    select select_f64, add vaddq_f64, sub vsubq_f64, mul vmulq_f64, scale scale_f64, div vdivq_f64,
    div_about vdivq_f64
}
