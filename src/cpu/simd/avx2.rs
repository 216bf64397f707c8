//! Vectors of 256 bits on x86-64 with AVX2, BMI and POPCNT.

use super::{Isa, Job, Vector};
use std::arch::x86_64::*;

/// The proof that the machine has the instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx2(());

impl Avx2 {
    pub(super) fn detect() -> Option<Self> {
        let all = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("popcnt");
        all.then_some(Self(()))
    }
}

// `fma` stays off: a product and a sum are to be rounded separately.
#[target_feature(enable = "avx2,bmi1,bmi2,popcnt")]
fn compiled_for_avx2<J: Job<Avx2>>(isa: Avx2, job: J) -> J::Output {
    job.run(isa)
}

impl Isa for Avx2 {
    type I16 = I16;
    type I32 = I32;
    type I64 = I64;

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

    #[inline(always)]
    fn store_upper(self, vector: I32, to: &mut [u16]) {
        assert!(to.len() >= 8);
        // SAFETY: 8 places are there; the instructions by `self`.
        unsafe {
            let upper = _mm256_srli_epi32::<16>(vector.0);
            let (low, high) = (_mm256_castsi256_si128(upper), _mm256_extracti128_si256::<1>(upper));
            _mm_storeu_si128(to.as_mut_ptr().cast(), _mm_packus_epi32(low, high));
        }
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
            fn and(self, other: Self) -> Self {
                Self(unsafe { _mm256_and_si256(self.0, other.0) })
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
    ($name:ident, $lane:ident, $lanes:literal, $splat:ident, $shr:ident, $bits:expr,
     $($method:ident: $instruction:ident),*) => {
        vector!($name, $lane, $lanes,
            fn splat(_: Avx2, value: $lane) -> Self {
                Self(unsafe { $splat(value) })
            }
            fn shr3(self) -> Self {
                Self(unsafe { $shr::<3>(self.0) })
            }
            fn bits(self) -> u32 {
                unsafe { $bits(self.0) }
            }
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

narrow_vector!(I16, i16, 16, _mm256_set1_epi16, _mm256_srai_epi16, bits16,
    gt: _mm256_cmpgt_epi16, eq: _mm256_cmpeq_epi16, min: _mm256_min_epi16, max: _mm256_max_epi16,
    add: _mm256_add_epi16, sub: _mm256_sub_epi16, negate_where_negative: _mm256_sign_epi16);

narrow_vector!(I32, i32, 8, _mm256_set1_epi32, _mm256_srai_epi32,
    |mask| _mm256_movemask_ps(_mm256_castsi256_ps(mask)) as u32,
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
    fn shr3(self) -> Self {
        unimplemented!("only keys of 16-bit types are shifted")
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
