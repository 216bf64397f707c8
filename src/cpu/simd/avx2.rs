//! Vectors of 256 bits on x86-64 with AVX2, F16C, BMI and POPCNT.

use super::{Floats, Isa, Job, Vector};
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

// `fma` stays off: a product and a sum are to be rounded separately. Unsafe, as safe functions of
// this kind came with Rust 1.86: the machine must have the instructions.
#[target_feature(enable = "avx2,f16c,bmi1,bmi2,popcnt")]
unsafe fn compiled_for_avx2<J: Job<Avx2>>(isa: Avx2, job: J) -> J::Output {
    job.run(isa)
}

impl Isa for Avx2 {
    type I16 = I16;
    type I32 = I32;
    type I64 = I64;
    type F32 = F32;

    #[inline(always)]
    fn run<J: Job<Self>>(self, job: J) -> J::Output {
        // SAFETY: `self` is the proof that the machine has the instructions.
        unsafe { compiled_for_avx2(self, job) }
    }

    #[inline(always)]
    fn load_upper(self, values: &[u16]) -> I32 {
        assert!(values.len() >= 8);
        // SAFETY: 8 values are there; the instructions by `self`.
        unsafe {
            let values = _mm_loadu_si128(values.as_ptr().cast());
            I32(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(values)))
        }
    }

    // SAFETY, for all below: `self` is the proof that the machine has the instructions; lengths of
    // slices are asserted.
    #[inline(always)]
    fn narrow(self, [low, high]: [I32; 2]) -> I16 {
        // The instruction works on halves: it gives lanes 0..4, 8..12, 4..8, 12..16.
        I16(unsafe { _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(low.0, high.0)) })
    }

    #[inline(always)]
    fn widen(self, lanes: I16) -> [I32; 2] {
        unsafe {
            let high = _mm256_extracti128_si256::<1>(lanes.0);
            let low = _mm256_castsi256_si128(lanes.0);
            [I32(_mm256_cvtepi16_epi32(low)), I32(_mm256_cvtepi16_epi32(high))]
        }
    }

    #[inline(always)]
    fn upper(self, lanes: I16) -> [I32; 2] {
        unsafe {
            let zero = _mm256_setzero_si256();
            let lanes = _mm256_permute4x64_epi64::<0b11_01_10_00>(lanes.0);
            [I32(_mm256_unpacklo_epi16(zero, lanes)), I32(_mm256_unpackhi_epi16(zero, lanes))]
        }
    }

    #[inline(always)]
    fn widen_f16(self, values: &[f16]) -> F32 {
        assert!(values.len() >= 8);
        F32(unsafe { _mm256_cvtph_ps(_mm_loadu_si128(values.as_ptr().cast())) })
    }

    #[inline(always)]
    fn narrow_f16(self, values: F32, to: &mut [f16]) {
        assert!(to.len() >= 8);
        unsafe {
            let values = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(values.0);
            _mm_storeu_si128(to.as_mut_ptr().cast(), values);
        }
    }

    #[inline(always)]
    fn narrow_f64(self, values: &[f64]) -> F32 {
        assert!(values.len() >= 8);
        unsafe {
            let low = _mm256_cvtpd_ps(_mm256_loadu_pd(values.as_ptr()));
            let high = _mm256_cvtpd_ps(_mm256_loadu_pd(values.as_ptr().add(4)));
            F32(_mm256_set_m128(high, low))
        }
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

#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct F32(__m256);

// SAFETY, for all methods: a vector or the token is the proof that the machine has the
// instructions; lengths of slices are asserted.
impl Floats for F32 {
    type Isa = Avx2;

    #[inline(always)]
    fn splat(_: Avx2, value: f32) -> Self {
        Self(unsafe { _mm256_set1_ps(value) })
    }
    #[inline(always)]
    fn load(_: Avx2, from: &[f32]) -> Self {
        assert!(from.len() >= 8);
        Self(unsafe { _mm256_loadu_ps(from.as_ptr()) })
    }
    #[inline(always)]
    fn store(self, to: &mut [f32]) {
        assert!(to.len() >= 8);
        unsafe { _mm256_storeu_ps(to.as_mut_ptr(), self.0) }
    }
    #[inline(always)]
    fn of_int(int: I32) -> Self {
        Self(unsafe { _mm256_cvtepi32_ps(int.0) })
    }
    #[inline(always)]
    fn to_int(self) -> I32 {
        I32(unsafe { _mm256_cvtps_epi32(self.0) })
    }
    #[inline(always)]
    fn of_bits(bits: I32) -> Self {
        Self(unsafe { _mm256_castsi256_ps(bits.0) })
    }
    #[inline(always)]
    fn bits(self) -> I32 {
        I32(unsafe { _mm256_castps_si256(self.0) })
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(unsafe { _mm256_add_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(unsafe { _mm256_sub_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(unsafe { _mm256_mul_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        Self(unsafe { _mm256_div_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn up_to(self, limit: Self) -> Self {
        Self(unsafe { _mm256_min_ps(self.0, limit.0) })
    }
    #[inline(always)]
    fn gt(self, other: Self) -> I32 {
        I32(unsafe { _mm256_castps_si256(_mm256_cmp_ps::<_CMP_GT_OQ>(self.0, other.0)) })
    }
    #[inline(always)]
    fn select(mask: I32, yes: Self, no: Self) -> Self {
        Self(unsafe { _mm256_blendv_ps(no.0, yes.0, _mm256_castsi256_ps(mask.0)) })
    }
}

macro_rules! vector {
    ($name:ident, $lane:ident, $lanes:literal, $($method:item)*) => {
        #[derive(Clone, Copy, Debug)]
        #[repr(transparent)]
        pub struct $name(__m256i);

        // SAFETY, for all methods: a vector or the token is the proof that the machine has the
        // instructions; lengths of slices are asserted.
        impl Vector for $name {
            type Lane = $lane;
            type Isa = Avx2;

            #[inline(always)]
            fn load(_: Avx2, from: &[$lane]) -> Self {
                assert!(from.len() >= $lanes);
                Self(unsafe { _mm256_loadu_si256(from.as_ptr().cast()) })
            }
            #[inline(always)]
            fn store(self, to: &mut [$lane]) {
                assert!(to.len() >= $lanes);
                unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), self.0) }
            }
            #[inline(always)]
            unsafe fn store_past_caches(self, to: &mut [$lane]) {
                assert!(to.len() >= $lanes);
                let place: *mut __m256i = to.as_mut_ptr().cast();
                unsafe {
                    if place.is_aligned() {
                        _mm256_stream_si256(place, self.0);
                    } else {
                        _mm256_storeu_si256(place, self.0);
                    }
                }
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
            fn select(self, yes: Self, no: Self) -> Self {
                Self(unsafe { _mm256_blendv_epi8(no.0, yes.0, self.0) })
            }
            $(#[inline(always)] $method)*
        }
    };
}

macro_rules! narrow_vector {
    ($name:ident, $lane:ident, $lanes:literal, $splat:ident, $bits:expr,
     [$($more:item)*], $($method:ident: $instruction:ident),*) => {
        vector!($name, $lane, $lanes,
            fn splat(_: Avx2, value: $lane) -> Self {
                Self(unsafe { $splat(value) })
            }
            fn bits(self) -> u32 {
                unsafe { $bits(self.0) }
            }
            $($more)*
            $(fn $method(self, other: Self) -> Self {
                Self(unsafe { $instruction(self.0, other.0) })
            })*
        );
    };
}

#[inline(always)]
unsafe fn bits16(mask: __m256i) -> u32 {
    // SAFETY: the caller has the instructions.
    unsafe {
        let (low, high) = (_mm256_castsi256_si128(mask), _mm256_extracti128_si256::<1>(mask));
        _mm_movemask_epi8(_mm_packs_epi16(low, high)) as u32
    }
}

narrow_vector!(I16, i16, 16, _mm256_set1_epi16, bits16,
    [fn shr(self, by: Self) -> Self {
        // There is no instruction for it; what needs speed shifts wider lanes.
        let (mut lanes, mut places) = ([0; 16], [0; 16]);
        self.store(&mut lanes);
        by.store(&mut places);
        for (lane, places) in lanes.iter_mut().zip(places) {
            *lane = (*lane as u16).checked_shr(places as u32).unwrap_or(0) as i16;
        }
        Self::load(Avx2(()), &lanes)
    }
    fn load_narrow(isa: Avx2, from: &[i16]) -> Self {
        Self::load(isa, from)
    }
    fn store_narrow(self, to: &mut [i16]) {
        self.store(to);
    }],
    gt: _mm256_cmpgt_epi16, eq: _mm256_cmpeq_epi16, min: _mm256_min_epi16, max: _mm256_max_epi16,
    add: _mm256_add_epi16, sub: _mm256_sub_epi16, negate_where_negative: _mm256_sign_epi16);

narrow_vector!(I32, i32, 8, _mm256_set1_epi32,
    |mask| _mm256_movemask_ps(_mm256_castsi256_ps(mask)) as u32,
    [fn shr(self, by: Self) -> Self {
        Self(unsafe { _mm256_srlv_epi32(self.0, by.0) })
    }
    fn load_narrow(_: Avx2, from: &[i16]) -> Self {
        assert!(from.len() >= 8);
        Self(unsafe { _mm256_cvtepi16_epi32(_mm_loadu_si128(from.as_ptr().cast())) })
    }
    fn store_narrow(self, to: &mut [i16]) {
        assert!(to.len() >= 8);
        unsafe {
            let (low, high) =
                (_mm256_castsi256_si128(self.0), _mm256_extracti128_si256::<1>(self.0));
            _mm_storeu_si128(to.as_mut_ptr().cast(), _mm_packs_epi32(low, high));
        }
    }],
    gt: _mm256_cmpgt_epi32, eq: _mm256_cmpeq_epi32, min: _mm256_min_epi32, max: _mm256_max_epi32,
    add: _mm256_add_epi32, sub: _mm256_sub_epi32, negate_where_negative: _mm256_sign_epi32);

vector! { I64, i64, 4,
    fn splat(_: Avx2, value: i64) -> Self {
        Self(unsafe { _mm256_set1_epi64x(value) })
    }
    fn gt(self, other: Self) -> Self {
        Self(unsafe { _mm256_cmpgt_epi64(self.0, other.0) })
    }
    fn eq(self, other: Self) -> Self {
        Self(unsafe { _mm256_cmpeq_epi64(self.0, other.0) })
    }
    fn min(self, other: Self) -> Self {
        self.gt(other).select(other, self)
    }
    fn max(self, other: Self) -> Self {
        self.gt(other).select(self, other)
    }
    fn add(self, other: Self) -> Self {
        Self(unsafe { _mm256_add_epi64(self.0, other.0) })
    }
    fn sub(self, other: Self) -> Self {
        Self(unsafe { _mm256_sub_epi64(self.0, other.0) })
    }
    fn shr(self, by: Self) -> Self {
        Self(unsafe { _mm256_srlv_epi64(self.0, by.0) })
    }
    fn load_narrow(_: Avx2, from: &[i16]) -> Self {
        assert!(from.len() >= 4);
        Self(unsafe { _mm256_cvtepi16_epi64(_mm_loadl_epi64(from.as_ptr().cast())) })
    }
    fn store_narrow(self, to: &mut [i16]) {
        let mut lanes = [0; 4];
        self.store(&mut lanes);
        *to.first_chunk_mut().expect("4 places") = lanes.map(|lane| lane as i16);
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
}
