//! aarch64 with Advanced SIMD (NEON): registers of 128 bits.

use super::{Floats, Isa, Job, LANES, Ordered, Two, Vector};
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

// SAFETY, for all that follows: a vector or a token is the proof that the machine has the instructions;
// lengths of slices are asserted.
impl Isa for Neon {
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
        unsafe {
            let (low, high) = (vld1q_u16(values.as_ptr()), vld1q_u16(values.as_ptr().add(8)));
            Two(upper_eight(low), upper_eight(high))
        }
    }

    #[inline(always)]
    fn narrow(self, lanes: Self::I32) -> Self::I16 {
        unsafe { Two(narrow_eight(lanes.0), narrow_eight(lanes.1)) }
    }

    #[inline(always)]
    fn widen(self, lanes: Self::I16) -> Self::I32 {
        unsafe { Two(widen_eight(lanes.0), widen_eight(lanes.1)) }
    }

    #[inline(always)]
    fn signed_one(self, mask: Self::I16, one: i16) -> Self::I32 {
        let lanes = mask.and(Ordered::splat(self, i16::MIN)).or(Ordered::splat(self, one));
        unsafe {
            let (low, high) = (vreinterpretq_u16_s16(lanes.0.0), vreinterpretq_u16_s16(lanes.1.0));
            Two(upper_eight(low), upper_eight(high))
        }
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
    fn narrow_f64(self, values: &[f64]) -> Self::F32 {
        let Two(low, high): Self::F64 = Ordered::load(self, values);
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
        unsafe {
            Two(
                Two(I32(vcvtnq_s32_f32(a.0)), I32(vcvtnq_s32_f32(b.0))),
                Two(I32(vcvtnq_s32_f32(c.0)), I32(vcvtnq_s32_f32(d.0))),
            )
        }
    }

    #[inline(always)]
    fn prefetch<T>(self, address: *const T) {
        unsafe {
            std::arch::asm!("prfm pldl1keep, [{}]", in(reg) address,
                options(nostack, preserves_flags, readonly));
        }
    }

    #[inline(always)]
    fn settle(self) {}
}

#[inline(always)]
unsafe fn upper_eight(values: uint16x8_t) -> Two<I32> {
    unsafe {
        let (low, high) = (vmovl_u16(vget_low_u16(values)), vmovl_high_u16(values));
        let (low, high) = (vshlq_n_u32::<16>(low), vshlq_n_u32::<16>(high));
        Two(I32(vreinterpretq_s32_u32(low)), I32(vreinterpretq_s32_u32(high)))
    }
}

#[inline(always)]
unsafe fn narrow_eight(lanes: Two<I32>) -> I16 {
    unsafe { I16(vqmovn_high_s32(vqmovn_s32(lanes.0.0), lanes.1.0)) }
}

#[inline(always)]
unsafe fn widen_eight(lanes: I16) -> Two<I32> {
    unsafe { Two(I32(vmovl_s16(vget_low_s16(lanes.0))), I32(vmovl_high_s16(lanes.0))) }
}

#[inline(always)]
unsafe fn narrow_four(lanes: Two<F64>) -> F32 {
    unsafe { F32(vcvt_high_f32_f64(vcvt_f32_f64(lanes.0.0), lanes.1.0)) }
}

/// A register and what all have in common.
macro_rules! register {
    ($name:ident($register:ident), $lane:ident, $lanes:literal, $mask:ident,
     $splat:ident, $load:ident, $store:ident, $gt:ident, $of_mask:ident, $min:ident, $max:ident) => {
        #[derive(Clone, Copy, Debug)]
        #[repr(transparent)]
        pub struct $name($register);

        impl Ordered for $name {
            type Lane = $lane;
            type Isa = Neon;
            type Mask = $mask;
            type Register = Self;

            const LANES: usize = $lanes;

            #[inline(always)]
            fn splat(_: Neon, value: $lane) -> Self {
                Self(unsafe { $splat(value) })
            }
            #[inline(always)]
            fn load(_: Neon, from: &[$lane]) -> Self {
                assert!(from.len() >= $lanes);
                Self(unsafe { $load(from.as_ptr()) })
            }
            #[inline(always)]
            fn store(self, to: &mut [$lane]) {
                assert!(to.len() >= $lanes);
                unsafe { $store(to.as_mut_ptr(), self.0) }
            }
            // Stores past the caches have no intrinsic here.
            #[inline(always)]
            unsafe fn store_past_caches(self, to: &mut [$lane]) {
                self.store(to);
            }
            #[inline(always)]
            fn gt(self, other: Self) -> $mask {
                $mask(unsafe { $of_mask($gt(self.0, other.0)) })
            }
            #[inline(always)]
            fn min(self, other: Self) -> Self {
                Self(unsafe { $min(self.0, other.0) })
            }
            #[inline(always)]
            fn max(self, other: Self) -> Self {
                Self(unsafe { $max(self.0, other.0) })
            }
            #[inline(always)]
            fn register(&self, _: usize) -> Self {
                *self
            }
            #[inline(always)]
            fn set_register(&mut self, _: usize, register: Self) {
                *self = register;
            }
        }
    };
}

macro_rules! integers {
    ($name:ident($register:ident), $lane:ident, $lanes:literal, [$($bit:literal),*], $splat:ident,
     $load:ident, $store:ident, $gt:ident, $min:ident, $max:ident, $eq:ident, $test:ident, $and:ident,
     $bic:ident, $or:ident, $xor:ident, $add:ident, $sub:ident, $neg:ident, $sign:ident, $shift:ident,
     $bsl:ident, $sum:ident, $and_mask:ident, $to_mask:ident, $of_mask:ident) => {
        register!($name($register), $lane, $lanes, $name, $splat, $load, $store, $gt, $of_mask, $min,
            $max);

        impl Vector for $name {
            #[inline(always)]
            fn eq(self, other: Self) -> Self {
                Self(unsafe { $of_mask($eq(self.0, other.0)) })
            }
            #[inline(always)]
            fn and(self, other: Self) -> Self {
                Self(unsafe { $and(self.0, other.0) })
            }
            #[inline(always)]
            fn without(self, other: Self) -> Self {
                Self(unsafe { $bic(self.0, other.0) })
            }
            #[inline(always)]
            fn or(self, other: Self) -> Self {
                Self(unsafe { $or(self.0, other.0) })
            }
            #[inline(always)]
            fn add(self, other: Self) -> Self {
                Self(unsafe { $add(self.0, other.0) })
            }
            #[inline(always)]
            fn sub(self, other: Self) -> Self {
                Self(unsafe { $sub(self.0, other.0) })
            }
            #[inline(always)]
            fn shr(self, by: Self) -> Self {
                // To the left by less than nothing.
                Self(unsafe { $of_mask($shift($to_mask(self.0), $neg(by.0))) })
            }
            #[inline(always)]
            fn select(self, yes: Self, no: Self) -> Self {
                Self(unsafe { $bsl($to_mask(self.0), yes.0, no.0) })
            }
            #[inline(always)]
            fn negate_where_negative(self, signs: Self) -> Self {
                unsafe {
                    let mask = $sign::<{ $lane::BITS as i32 - 1 }>(signs.0);
                    Self($sub($xor(self.0, mask), mask))
                }
            }
            #[inline(always)]
            fn bits(self) -> u32 {
                let each = Self::load(Neon(()), &[$($bit),*]);
                unsafe { $sum($and_mask($to_mask(self.0), $to_mask(each.0))) as u32 }
            }
            #[inline(always)]
            fn of_bits(isa: Neon, bits: u32) -> Self {
                let each = Self::load(isa, &[$($bit),*]);
                Self(unsafe { $of_mask($test($splat(bits as $lane), each.0)) })
            }
        }
    };
}

integers! { I16(int16x8_t), i16, 8, [1, 2, 4, 8, 16, 32, 64, 128], vdupq_n_s16, vld1q_s16, vst1q_s16,
    vcgtq_s16, vminq_s16, vmaxq_s16, vceqq_s16, vtstq_s16, vandq_s16, vbicq_s16, vorrq_s16, veorq_s16,
    vaddq_s16, vsubq_s16, vnegq_s16, vshrq_n_s16, vshlq_u16, vbslq_s16, vaddvq_u16, vandq_u16,
    vreinterpretq_u16_s16, vreinterpretq_s16_u16
}

integers! { I32(int32x4_t), i32, 4, [1, 2, 4, 8], vdupq_n_s32, vld1q_s32, vst1q_s32, vcgtq_s32,
    vminq_s32, vmaxq_s32, vceqq_s32, vtstq_s32, vandq_s32, vbicq_s32, vorrq_s32, veorq_s32, vaddq_s32,
    vsubq_s32, vnegq_s32, vshrq_n_s32, vshlq_u32, vbslq_s32, vaddvq_u32, vandq_u32,
    vreinterpretq_u32_s32, vreinterpretq_s32_u32
}

#[inline(always)]
unsafe fn min_s64(a: int64x2_t, b: int64x2_t) -> int64x2_t {
    unsafe { vbslq_s64(vcgtq_s64(a, b), b, a) }
}

#[inline(always)]
unsafe fn max_s64(a: int64x2_t, b: int64x2_t) -> int64x2_t {
    unsafe { vbslq_s64(vcgtq_s64(a, b), a, b) }
}

integers! { I64(int64x2_t), i64, 2, [1, 2], vdupq_n_s64, vld1q_s64, vst1q_s64, vcgtq_s64, min_s64,
    max_s64, vceqq_s64, vtstq_s64, vandq_s64, vbicq_s64, vorrq_s64, veorq_s64, vaddq_s64, vsubq_s64,
    vnegq_s64, vshrq_n_s64, vshlq_u64, vbslq_s64, vaddvq_u64, vandq_u64, vreinterpretq_u64_s64,
    vreinterpretq_s64_u64
}

macro_rules! floats {
    ($name:ident($register:ident), $lane:ident, $lanes:literal, $mask:ident, $splat:ident, $load:ident,
     $store:ident, $gt:ident, $lt:ident, $of_mask:ident, $to_mask:ident, $min:ident, $max:ident,
     $of_bits:ident, $bits:ident, $bsl:ident, $($method:ident: $instruction:ident),*) => {
        // The instructions for minima give NaN if one is NaN, or if it is a signalling one.
        #[inline(always)]
        unsafe fn $min(a: $register, b: $register) -> $register {
            unsafe { $bsl($lt(a, b), a, b) }
        }

        register!($name($register), $lane, $lanes, $mask, $splat, $load, $store, $gt, $of_mask, $min,
            $max);

        impl Floats for $name {
            #[inline(always)]
            fn of_bits(bits: $mask) -> Self {
                Self(unsafe { $of_bits(bits.0) })
            }
            #[inline(always)]
            fn bits(self) -> $mask {
                $mask(unsafe { $bits(self.0) })
            }
            #[inline(always)]
            fn select(mask: $mask, yes: Self, no: Self) -> Self {
                Self(unsafe { $bsl($to_mask(mask.0), yes.0, no.0) })
            }
            $(#[inline(always)]
            fn $method(self, other: Self) -> Self {
                Self(unsafe { $instruction(self.0, other.0) })
            })*
        }
    };
}

floats! { F32(float32x4_t), f32, 4, I32, vdupq_n_f32, vld1q_f32, vst1q_f32, vcgtq_f32, vcltq_f32,
    vreinterpretq_s32_u32, vreinterpretq_u32_s32, min_f32, vmaxnmq_f32, vreinterpretq_f32_s32,
    vreinterpretq_s32_f32, vbslq_f32,
    add: vaddq_f32, sub: vsubq_f32, mul: vmulq_f32, div: vdivq_f32
}

floats! { F64(float64x2_t), f64, 2, I64, vdupq_n_f64, vld1q_f64, vst1q_f64, vcgtq_f64, vcltq_f64,
    vreinterpretq_s64_u64, vreinterpretq_u64_s64, min_f64, vmaxnmq_f64, vreinterpretq_f64_s64,
    vreinterpretq_s64_f64, vbslq_f64,
    add: vaddq_f64, sub: vsubq_f64, mul: vmulq_f64, div: vdivq_f64
}
