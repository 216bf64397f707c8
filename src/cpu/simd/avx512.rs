//! x86-64 with AVX-512 (F, BW, DQ, VL): registers of 512 bits, masks in registers of their own.
//!
//! A mask is made a vector, as everywhere, and taken apart again where it is used: the compiler
//! keeps the mask register. Lanes of 16 bits are registers of 256 bits: to count in two of them as one
//! of 512 took longer, as masks then come through two ports only.

use super::{Floats, Isa, Job, LANES, Ordered, Two, Vector};
use half::f16;
use std::arch::x86_64::*;

/// The proof that the machine has the instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx512(());

impl Avx512 {
    pub(super) fn detect() -> Option<Self> {
        let all = super::Avx2::detect().is_some()
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        all.then_some(Self(()))
    }
}

// `avx512f` brings `fma`, but nothing fuses a product and a sum that were written separately.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,f16c,bmi1,bmi2,popcnt")]
fn compiled_for_avx512<J: Job<Avx512>>(isa: Avx512, job: J) -> J::Output {
    job.run(isa)
}

// SAFETY, for all that follows: a vector or a token is the proof that the machine has the instructions;
// lengths of slices are asserted.
impl Isa for Avx512 {
    type I16 = I16;
    type I32 = I32;
    type I64 = Two<I64>;
    type F32 = F32;
    type F64 = Two<F64>;

    #[inline(always)]
    fn run<J: Job<Self>>(self, job: J) -> J::Output {
        unsafe { compiled_for_avx512(self, job) }
    }

    #[inline(always)]
    fn load_upper(self, values: &[u16]) -> I32 {
        assert!(values.len() >= LANES);
        unsafe {
            let values = _mm256_loadu_si256(values.as_ptr().cast());
            I32(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(values)))
        }
    }

    #[inline(always)]
    fn narrow(self, lanes: I32) -> I16 {
        I16(unsafe { _mm512_cvtsepi32_epi16(lanes.0) })
    }

    #[inline(always)]
    fn widen(self, lanes: I16) -> I32 {
        I32(unsafe { _mm512_cvtepi16_epi32(lanes.0) })
    }

    #[inline(always)]
    fn narrow_64(self, Two(low, high): Two<I64>) -> I16 {
        unsafe {
            let (low, high) = (_mm512_cvtepi64_epi16(low.0), _mm512_cvtepi64_epi16(high.0));
            I16(_mm256_set_m128i(high, low))
        }
    }

    #[inline(always)]
    fn widen_64(self, lanes: I16) -> Two<I64> {
        unsafe {
            let high = _mm256_extracti128_si256::<1>(lanes.0);
            let low = _mm256_castsi256_si128(lanes.0);
            Two(I64(_mm512_cvtepi16_epi64(low)), I64(_mm512_cvtepi16_epi64(high)))
        }
    }

    #[inline(always)]
    fn signed_one(self, mask: I16, one: i16) -> I32 {
        let one = i32::from(one) << 16;
        self.widen(mask).select(Ordered::splat(self, one | i32::MIN), Ordered::splat(self, one))
    }

    #[inline(always)]
    fn widen_f16(self, values: &[f16]) -> F32 {
        assert!(values.len() >= LANES);
        F32(unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(values.as_ptr().cast())) })
    }

    #[inline(always)]
    fn narrow_f16(self, values: F32, to: &mut [f16]) {
        assert!(to.len() >= LANES);
        unsafe {
            let values = _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(values.0);
            _mm256_storeu_si256(to.as_mut_ptr().cast(), values);
        }
    }

    #[inline(always)]
    fn narrow_f64(self, values: &[f64]) -> F32 {
        let Two(low, high): Two<F64> = Ordered::load(self, values);
        unsafe {
            let (low, high) = (_mm512_cvtpd_ps(low.0), _mm512_cvtpd_ps(high.0));
            F32(_mm512_insertf32x8::<1>(_mm512_castps256_ps512(low), high))
        }
    }

    #[inline(always)]
    fn float(self, lanes: I32) -> F32 {
        F32(unsafe { _mm512_cvtepi32_ps(lanes.0) })
    }

    #[inline(always)]
    fn round(self, values: F32) -> I32 {
        I32(unsafe { _mm512_cvtps_epi32(values.0) })
    }

    #[inline(always)]
    fn prefetch<T>(self, address: *const T) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
    }

    #[inline(always)]
    fn settle(self) {
        unsafe { _mm_sfence() }
    }
}

#[inline(always)]
unsafe fn gt_epi16(a: __m256i, b: __m256i) -> __m256i {
    unsafe { _mm256_movm_epi16(_mm256_cmpgt_epi16_mask(a, b)) }
}

#[inline(always)]
unsafe fn gt_epi32(a: __m512i, b: __m512i) -> __m512i {
    unsafe { _mm512_movm_epi32(_mm512_cmpgt_epi32_mask(a, b)) }
}

#[inline(always)]
unsafe fn gt_epi64(a: __m512i, b: __m512i) -> __m512i {
    unsafe { _mm512_movm_epi64(_mm512_cmpgt_epi64_mask(a, b)) }
}

#[inline(always)]
unsafe fn gt_ps(a: __m512, b: __m512) -> __m512i {
    unsafe { _mm512_movm_epi32(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b)) }
}

#[inline(always)]
unsafe fn gt_pd(a: __m512d, b: __m512d) -> __m512i {
    unsafe { _mm512_movm_epi64(_mm512_cmp_pd_mask::<_CMP_GT_OQ>(a, b)) }
}

/// A register and what all have in common. Instructions are named by functions: closures might not be
/// inlined, and then be compiled without the instructions.
macro_rules! register {
    ($name:ident($register:ident), $lane:ident, $lanes:literal, $mask:ident,
     $splat:ident, $load:ident, $store:ident, $stream:ident,
     $gt:ident, $min:ident, $max:ident) => {
        #[derive(Clone, Copy, Debug)]
        #[repr(transparent)]
        pub struct $name($register);

        impl Ordered for $name {
            type Lane = $lane;
            type Isa = Avx512;
            type Mask = $mask;
            type Register = Self;

            const LANES: usize = $lanes;

            #[inline(always)]
            fn splat(_: Avx512, value: $lane) -> Self {
                Self(unsafe { $splat(value) })
            }
            #[inline(always)]
            fn load(_: Avx512, from: &[$lane]) -> Self {
                assert!(from.len() >= $lanes);
                Self(unsafe { $load(from.as_ptr().cast()) })
            }
            #[inline(always)]
            fn store(self, to: &mut [$lane]) {
                assert!(to.len() >= $lanes);
                unsafe { $store(to.as_mut_ptr().cast(), self.0) }
            }
            #[inline(always)]
            unsafe fn store_past_caches(self, to: &mut [$lane]) {
                assert!(to.len() >= $lanes);
                let place: *mut $register = to.as_mut_ptr().cast();
                unsafe {
                    if place.is_aligned() {
                        $stream(place.cast(), self.0);
                    } else {
                        $store(place.cast(), self.0);
                    }
                }
            }
            #[inline(always)]
            fn gt(self, other: Self) -> $mask {
                $mask(unsafe { $gt(self.0, other.0) })
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
    ($name:ident($register:ident), $lane:ident, $lanes:literal, $bits:ident, $splat:ident, $load:ident,
     $store:ident, $stream:ident, $min:ident, $max:ident, $add:ident, $sub:ident, $shr:ident, $and:ident,
     $andnot:ident, $or:ident, $to_mask:ident, $of_mask:ident, $gt:ident, $eq:ident, $blend:ident,
     $mask_sub:ident) => {
        register!(
            $name($register),
            $lane,
            $lanes,
            $name,
            $splat,
            $load,
            $store,
            $stream,
            $gt,
            $min,
            $max
        );

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
                Self(unsafe { $andnot(other.0, self.0) })
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
            fn count(self, mask: Self) -> Self {
                unsafe { Self($mask_sub(self.0, $to_mask(mask.0), self.0, $splat(-1))) }
            }
            #[inline(always)]
            fn shr(self, by: Self) -> Self {
                Self(unsafe { $shr(self.0, by.0) })
            }
            #[inline(always)]
            fn select(self, yes: Self, no: Self) -> Self {
                Self(unsafe { $blend($to_mask(self.0), no.0, yes.0) })
            }
            #[inline(always)]
            fn negate_where_negative(self, signs: Self) -> Self {
                unsafe { Self($mask_sub(self.0, $to_mask(signs.0), $splat(0), self.0)) }
            }
            #[inline(always)]
            fn bits(self) -> u32 {
                unsafe { $to_mask(self.0).into() }
            }
            #[inline(always)]
            fn of_bits(_: Avx512, bits: u32) -> Self {
                Self(unsafe { $of_mask(bits as $bits) })
            }
        }
    };
}

integers! { I16(__m256i), i16, 16, u16, _mm256_set1_epi16, _mm256_loadu_si256, _mm256_storeu_si256,
    _mm256_stream_si256, _mm256_min_epi16, _mm256_max_epi16, _mm256_add_epi16, _mm256_sub_epi16,
    _mm256_srlv_epi16, _mm256_and_si256, _mm256_andnot_si256, _mm256_or_si256, _mm256_movepi16_mask,
    _mm256_movm_epi16, gt_epi16, _mm256_cmpeq_epi16_mask, _mm256_mask_blend_epi16,
    _mm256_mask_sub_epi16
}

integers! { I32(__m512i), i32, 16, u16, _mm512_set1_epi32, _mm512_loadu_si512, _mm512_storeu_si512,
    _mm512_stream_si512, _mm512_min_epi32, _mm512_max_epi32, _mm512_add_epi32, _mm512_sub_epi32,
    _mm512_srlv_epi32, _mm512_and_si512, _mm512_andnot_si512, _mm512_or_si512, _mm512_movepi32_mask,
    _mm512_movm_epi32, gt_epi32, _mm512_cmpeq_epi32_mask, _mm512_mask_blend_epi32,
    _mm512_mask_sub_epi32
}

integers! { I64(__m512i), i64, 8, u8, _mm512_set1_epi64, _mm512_loadu_si512, _mm512_storeu_si512,
    _mm512_stream_si512, _mm512_min_epi64, _mm512_max_epi64, _mm512_add_epi64, _mm512_sub_epi64,
    _mm512_srlv_epi64, _mm512_and_si512, _mm512_andnot_si512, _mm512_or_si512, _mm512_movepi64_mask,
    _mm512_movm_epi64, gt_epi64, _mm512_cmpeq_epi64_mask, _mm512_mask_blend_epi64,
    _mm512_mask_sub_epi64
}

macro_rules! floats {
    ($name:ident($register:ident), $lane:ident, $lanes:literal, $mask:ident, $splat:ident, $load:ident,
     $store:ident, $stream:ident, $gt:ident, $min:ident, $max:ident, $of_bits:ident, $bits:ident,
     $to_mask:ident, $blend:ident, $($method:ident: $instruction:ident),*) => {
        register!($name($register), $lane, $lanes, $mask, $splat, $load, $store, $stream, $gt, $min,
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
                Self(unsafe { $blend($to_mask(mask.0), no.0, yes.0) })
            }
            $(#[inline(always)]
            fn $method(self, other: Self) -> Self {
                Self(unsafe { $instruction(self.0, other.0) })
            })*
        }
    };
}

floats! { F32(__m512), f32, 16, I32, _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_stream_ps,
    gt_ps, _mm512_min_ps, _mm512_max_ps,
    _mm512_castsi512_ps, _mm512_castps_si512,
    _mm512_movepi32_mask, _mm512_mask_blend_ps,
    add: _mm512_add_ps, sub: _mm512_sub_ps, mul: _mm512_mul_ps, div: _mm512_div_ps
}

floats! { F64(__m512d), f64, 8, I64, _mm512_set1_pd, _mm512_loadu_pd, _mm512_storeu_pd, _mm512_stream_pd,
    gt_pd, _mm512_min_pd, _mm512_max_pd,
    _mm512_castsi512_pd, _mm512_castpd_si512,
    _mm512_movepi64_mask, _mm512_mask_blend_pd,
    add: _mm512_add_pd, sub: _mm512_sub_pd, mul: _mm512_mul_pd, div: _mm512_div_pd
}
