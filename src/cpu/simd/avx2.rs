//! x86-64 with AVX2, F16C, BMI and POPCNT: registers of 256 bits.

use super::{Floats, Isa, Job, LANES, Ordered, Two, Vector};
use half::f16;
use std::arch::x86_64::*;

/// The proof that the machine has the instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx2(());

impl Avx2 {
    pub(super) fn detect() -> Option<Self> {
        let all = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("f16c")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("popcnt");
        all.then_some(Self(()))
    }
}

// `fma` stays off: a product and a sum are to be rounded separately.
#[target_feature(enable = "avx2,f16c,bmi1,bmi2,popcnt")]
fn compiled_for_avx2<J: Job<Avx2>>(isa: Avx2, job: J) -> J::Output {
    job.run(isa)
}

// SAFETY, for all that follows: a vector or a token is the proof that the machine has the instructions;
// lengths of slices are asserted.
impl Isa for Avx2 {
    type I16 = I16;
    type I32 = Two<I32>;
    type I64 = Two<Two<I64>>;
    type F32 = Two<F32>;
    type F64 = Two<Two<F64>>;

    #[inline(always)]
    fn run<J: Job<Self>>(self, job: J) -> J::Output {
        unsafe { compiled_for_avx2(self, job) }
    }

    #[inline(always)]
    fn load_upper(self, values: &[u16]) -> Two<I32> {
        assert!(values.len() >= LANES);
        unsafe {
            let (low, high) = halves_at(values.as_ptr().cast());
            let (low, high) = (_mm256_cvtepu16_epi32(low), _mm256_cvtepu16_epi32(high));
            Two(I32(_mm256_slli_epi32::<16>(low)), I32(_mm256_slli_epi32::<16>(high)))
        }
    }

    #[inline(always)]
    fn narrow(self, Two(low, high): Two<I32>) -> I16 {
        // The instruction works on halves: it gives lanes 0..4, 8..12, 4..8, 12..16.
        I16(unsafe { _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(low.0, high.0)) })
    }

    #[inline(always)]
    fn widen(self, lanes: I16) -> Two<I32> {
        unsafe {
            let (low, high) = halves(lanes.0);
            Two(I32(_mm256_cvtepi16_epi32(low)), I32(_mm256_cvtepi16_epi32(high)))
        }
    }

    #[inline(always)]
    fn widen_64(self, lanes: I16) -> Two<Two<I64>> {
        unsafe {
            let (low, high) = halves(lanes.0);
            Two(widen_eight(low), widen_eight(high))
        }
    }

    #[inline(always)]
    fn signed_one(self, mask: I16, one: i16) -> Two<I32> {
        let lanes = mask.and(Ordered::splat(self, i16::MIN)).or(Ordered::splat(self, one));
        unsafe {
            let zero = _mm256_setzero_si256();
            let lanes = _mm256_permute4x64_epi64::<0b11_01_10_00>(lanes.0);
            Two(I32(_mm256_unpacklo_epi16(zero, lanes)), I32(_mm256_unpackhi_epi16(zero, lanes)))
        }
    }

    #[inline(always)]
    fn widen_f16(self, values: &[f16]) -> Two<F32> {
        assert!(values.len() >= LANES);
        unsafe {
            let (low, high) = halves_at(values.as_ptr().cast());
            Two(F32(_mm256_cvtph_ps(low)), F32(_mm256_cvtph_ps(high)))
        }
    }

    #[inline(always)]
    fn narrow_f16(self, values: Two<F32>, to: &mut [f16]) {
        assert!(to.len() >= LANES);
        unsafe {
            let low = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(values.0.0);
            let high = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(values.1.0);
            _mm256_storeu_si256(to.as_mut_ptr().cast(), _mm256_set_m128i(high, low));
        }
    }

    #[inline(always)]
    fn narrow_f64(self, values: &[f64]) -> Two<F32> {
        let Two(low, high): Two<Two<F64>> = Ordered::load(self, values);
        unsafe { Two(narrow_eight(low), narrow_eight(high)) }
    }

    #[inline(always)]
    fn float(self, Two(low, high): Two<I32>) -> Two<F32> {
        unsafe { Two(F32(_mm256_cvtepi32_ps(low.0)), F32(_mm256_cvtepi32_ps(high.0))) }
    }

    #[inline(always)]
    fn round(self, Two(low, high): Two<F32>) -> Two<I32> {
        unsafe { Two(I32(_mm256_cvtps_epi32(low.0)), I32(_mm256_cvtps_epi32(high.0))) }
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
unsafe fn halves(lanes: __m256i) -> (__m128i, __m128i) {
    unsafe { (_mm256_castsi256_si128(lanes), _mm256_extracti128_si256::<1>(lanes)) }
}

/// The halves of 32 bytes.
#[inline(always)]
unsafe fn halves_at(place: *const __m128i) -> (__m128i, __m128i) {
    unsafe { (_mm_loadu_si128(place), _mm_loadu_si128(place.add(1))) }
}

#[inline(always)]
unsafe fn widen_eight(lanes: __m128i) -> Two<I64> {
    unsafe {
        let high = _mm_unpackhi_epi64(lanes, lanes);
        Two(I64(_mm256_cvtepi16_epi64(lanes)), I64(_mm256_cvtepi16_epi64(high)))
    }
}

#[inline(always)]
unsafe fn narrow_eight(Two(low, high): Two<F64>) -> F32 {
    unsafe { F32(_mm256_set_m128(_mm256_cvtpd_ps(high.0), _mm256_cvtpd_ps(low.0))) }
}

/// A register and what all have in common. Instructions are named by functions: closures might not be
/// inlined, and then be compiled without the instructions.
macro_rules! register {
    ($name:ident($register:ident), $lane:ident, $lanes:literal, $mask:ident,
     $splat:ident, $load:ident, $store:ident, $stream:ident, $place:ty,
     $gt:ident, $min:ident, $max:ident) => {
        #[derive(Clone, Copy, Debug)]
        #[repr(transparent)]
        pub struct $name($register);

        impl Ordered for $name {
            type Lane = $lane;
            type Isa = Avx2;
            type Mask = $mask;
            type Register = Self;

            const LANES: usize = $lanes;

            #[inline(always)]
            fn splat(_: Avx2, value: $lane) -> Self {
                Self(unsafe { $splat(value) })
            }
            #[inline(always)]
            fn load(_: Avx2, from: &[$lane]) -> Self {
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
                        $store(place.cast::<$place>(), self.0);
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
    ($name:ident, $lane:ident, $lanes:literal, $splat:ident, $gt:ident, $min:ident, $max:ident, $eq:ident,
     $add:ident, $sub:ident, $($method:item)*) => {
        register!($name(__m256i), $lane, $lanes, $name, $splat, _mm256_loadu_si256,
            _mm256_storeu_si256, _mm256_stream_si256, __m256i, $gt, $min, $max);

        impl Vector for $name {
            #[inline(always)]
            fn eq(self, other: Self) -> Self {
                Self(unsafe { $eq(self.0, other.0) })
            }
            #[inline(always)]
            fn and(self, other: Self) -> Self {
                Self(unsafe { _mm256_and_si256(self.0, other.0) })
            }
            #[inline(always)]
            fn without(self, other: Self) -> Self {
                Self(unsafe { _mm256_andnot_si256(other.0, self.0) })
            }
            #[inline(always)]
            fn or(self, other: Self) -> Self {
                Self(unsafe { _mm256_or_si256(self.0, other.0) })
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
            fn select(self, yes: Self, no: Self) -> Self {
                Self(unsafe { _mm256_blendv_epi8(no.0, yes.0, self.0) })
            }
            $(#[inline(always)] $method)*
        }
    };
}

integers! { I16, i16, 16, _mm256_set1_epi16, _mm256_cmpgt_epi16, _mm256_min_epi16, _mm256_max_epi16,
    _mm256_cmpeq_epi16, _mm256_add_epi16, _mm256_sub_epi16,
    fn shr(self, by: Self) -> Self {
        // There is no instruction for it; what needs speed shifts wider lanes.
        let (mut lanes, mut places) = ([0; 16], [0; 16]);
        self.store(&mut lanes);
        by.store(&mut places);
        for (lane, places) in lanes.iter_mut().zip(places) {
            *lane = (*lane as u16).checked_shr(places as u32).unwrap_or(0) as i16;
        }
        Self::load(Avx2(()), &lanes)
    }
    fn negate_where_negative(self, signs: Self) -> Self {
        Self(unsafe { _mm256_sign_epi16(self.0, signs.0) })
    }
    fn bits(self) -> u32 {
        unsafe {
            let (low, high) = halves(self.0);
            _mm_movemask_epi8(_mm_packs_epi16(low, high)) as u32
        }
    }
    fn of_bits(isa: Avx2, bits: u32) -> Self {
        let each = Self::load(isa, &std::array::from_fn::<_, 16, _>(|l| (1u16 << l) as i16));
        Self::splat(isa, bits as i16).and(each).eq(each)
    }
}

integers! { I32, i32, 8, _mm256_set1_epi32, _mm256_cmpgt_epi32, _mm256_min_epi32, _mm256_max_epi32,
    _mm256_cmpeq_epi32, _mm256_add_epi32, _mm256_sub_epi32,
    fn shr(self, by: Self) -> Self {
        Self(unsafe { _mm256_srlv_epi32(self.0, by.0) })
    }
    fn negate_where_negative(self, signs: Self) -> Self {
        Self(unsafe { _mm256_sign_epi32(self.0, signs.0) })
    }
    fn bits(self) -> u32 {
        unsafe { _mm256_movemask_ps(_mm256_castsi256_ps(self.0)) as u32 }
    }
    fn of_bits(isa: Avx2, bits: u32) -> Self {
        let each = Self::load(isa, &[1, 2, 4, 8, 16, 32, 64, 128]);
        Self::splat(isa, bits as i32).and(each).eq(each)
    }
}

#[inline(always)]
unsafe fn min_epi64(a: __m256i, b: __m256i) -> __m256i {
    unsafe { _mm256_blendv_epi8(a, b, _mm256_cmpgt_epi64(a, b)) }
}

#[inline(always)]
unsafe fn max_epi64(a: __m256i, b: __m256i) -> __m256i {
    unsafe { _mm256_blendv_epi8(b, a, _mm256_cmpgt_epi64(a, b)) }
}

integers! { I64, i64, 4, _mm256_set1_epi64x, _mm256_cmpgt_epi64, min_epi64, max_epi64,
    _mm256_cmpeq_epi64, _mm256_add_epi64, _mm256_sub_epi64,
    fn shr(self, by: Self) -> Self {
        Self(unsafe { _mm256_srlv_epi64(self.0, by.0) })
    }
    fn negate_where_negative(self, signs: Self) -> Self {
        unsafe {
            let mask = _mm256_cmpgt_epi64(_mm256_setzero_si256(), signs.0);
            Self(_mm256_sub_epi64(_mm256_xor_si256(self.0, mask), mask))
        }
    }
    fn bits(self) -> u32 {
        unsafe { _mm256_movemask_pd(_mm256_castsi256_pd(self.0)) as u32 }
    }
    fn of_bits(isa: Avx2, bits: u32) -> Self {
        let each = Self::load(isa, &[1, 2, 4, 8]);
        Self::splat(isa, bits.into()).and(each).eq(each)
    }
}

#[inline(always)]
unsafe fn gt_ps(a: __m256, b: __m256) -> __m256i {
    unsafe { _mm256_castps_si256(_mm256_cmp_ps::<_CMP_GT_OQ>(a, b)) }
}

#[inline(always)]
unsafe fn gt_pd(a: __m256d, b: __m256d) -> __m256i {
    unsafe { _mm256_castpd_si256(_mm256_cmp_pd::<_CMP_GT_OQ>(a, b)) }
}

macro_rules! floats {
    ($name:ident($register:ident), $lane:ident, $lanes:literal, $mask:ident, $splat:ident, $load:ident,
     $store:ident, $stream:ident, $gt:ident, $min:ident, $max:ident, $of_bits:ident, $bits:ident,
     $blend:ident, $($method:ident: $instruction:ident),*) => {
        register!($name($register), $lane, $lanes, $mask, $splat, $load, $store, $stream, $lane, $gt,
            $min, $max);

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
                Self(unsafe { $blend(no.0, yes.0, $of_bits(mask.0)) })
            }
            $(#[inline(always)]
            fn $method(self, other: Self) -> Self {
                Self(unsafe { $instruction(self.0, other.0) })
            })*
        }
    };
}

floats! { F32(__m256), f32, 8, I32, _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_stream_ps,
    gt_ps, _mm256_min_ps, _mm256_max_ps,
    _mm256_castsi256_ps, _mm256_castps_si256, _mm256_blendv_ps,
    add: _mm256_add_ps, sub: _mm256_sub_ps, mul: _mm256_mul_ps, div: _mm256_div_ps
}

floats! { F64(__m256d), f64, 4, I64, _mm256_set1_pd, _mm256_loadu_pd, _mm256_storeu_pd, _mm256_stream_pd,
    gt_pd, _mm256_min_pd, _mm256_max_pd,
    _mm256_castsi256_pd, _mm256_castpd_si256, _mm256_blendv_pd,
    add: _mm256_add_pd, sub: _mm256_sub_pd, mul: _mm256_mul_pd, div: _mm256_div_pd
}
