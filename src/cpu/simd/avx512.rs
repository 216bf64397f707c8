//! x86-64 with AVX-512 (F, BW, DQ, VL): registers of 512 bits, masks in registers of their own.
//!
//! A mask is made a vector, as everywhere, and taken apart again where it is used: the compiler
//! keeps the mask register. Lanes of 16 bits are registers of 256 bits: to count in two of them as one
//! of 512 took longer, as masks then come through two ports only. What is counted, lanes of 8 bits, is as
//! with AVX2 for that reason.

use super::avx2::{
    bits_epi8, bits_epi8_256, of_bits_epi8, of_bits_epi8_256, select_si128, select_si256, shr_epi8,
    shr_epi8_256, without, without_128,
};
use super::registers::{floats, integers};
use super::{Isa, Job, LANES, Ordered, Two};
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

/// The proof that the machine also counts the bits of lanes in one instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vpopcntdq(Avx512);

impl Vpopcntdq {
    pub(super) fn detect() -> Option<Self> {
        let isa = Avx512::detect()?;
        is_x86_feature_detected!("avx512vpopcntdq").then_some(Self(isa))
    }

    pub(super) const fn avx512(self) -> Avx512 {
        self.0
    }

    /// Like [`Isa::run`], with that instruction.
    pub(super) fn run<J: Job<Avx512>>(self, job: J) -> J::Output {
        // SAFETY: the token proves the instructions.
        unsafe { compiled_with_vpopcntdq(self.0, job) }
    }
}

#[target_feature(
    enable = "avx512vpopcntdq,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c,bmi1,bmi2,popcnt"
)]
fn compiled_with_vpopcntdq<J: Job<Avx512>>(isa: Avx512, job: J) -> J::Output {
    job.run(isa)
}

// Nothing fuses a product and a sum that were written separately.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c,bmi1,bmi2,popcnt")]
fn compiled_for_avx512<J: Job<Avx512>>(isa: Avx512, job: J) -> J::Output {
    job.run(isa)
}

impl Isa for Avx512 {
    type I8 = I8;
    type Rows = Rows;
    type I16 = I16;
    type I32 = I32;
    type I64 = Two<I64>;
    type F32 = F32;
    type F64 = Two<F64>;

    #[inline(always)]
    fn run<J: Job<Self>>(self, job: J) -> J::Output {
        // SAFETY: the token proves the instructions.
        unsafe { compiled_for_avx512(self, job) }
    }

    #[inline(always)]
    fn load_upper(self, values: &[u16]) -> I32 {
        assert!(values.len() >= LANES);
        // SAFETY: the token proves the instructions; the slice is long enough.
        unsafe {
            let values = _mm256_loadu_si256(values.as_ptr().cast());
            I32(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(values)))
        }
    }

    #[inline(always)]
    fn narrow(self, lanes: I32) -> I16 {
        // SAFETY: the token proves the instructions.
        I16(unsafe { _mm512_cvtsepi32_epi16(lanes.0) })
    }

    #[inline(always)]
    fn narrow_to_8(self, lanes: I32) -> I8 {
        // SAFETY: the token proves the instructions.
        I8(unsafe { _mm512_cvtsepi32_epi8(lanes.0) })
    }

    #[inline(always)]
    fn widen(self, lanes: I16) -> I32 {
        // SAFETY: the token proves the instructions.
        I32(unsafe { _mm512_cvtepi16_epi32(lanes.0) })
    }

    #[inline(always)]
    fn narrow_64(self, Two(low, high): Two<I64>) -> I16 {
        // SAFETY: the token proves the instructions.
        unsafe {
            let (low, high) = (_mm512_cvtepi64_epi16(low.0), _mm512_cvtepi64_epi16(high.0));
            I16(_mm256_set_m128i(high, low))
        }
    }

    #[inline(always)]
    fn widen_64(self, lanes: I16) -> Two<I64> {
        // SAFETY: the token proves the instructions.
        unsafe {
            let high = _mm256_extracti128_si256::<1>(lanes.0);
            let low = _mm256_castsi256_si128(lanes.0);
            Two(I64(_mm512_cvtepi16_epi64(low)), I64(_mm512_cvtepi16_epi64(high)))
        }
    }

    #[inline(always)]
    fn widen_8(self, lanes: I8) -> I16 {
        // SAFETY: the token proves the instructions.
        I16(unsafe { _mm256_cvtepi8_epi16(lanes.0) })
    }

    #[inline(always)]
    fn widen_8_to_32(self, lanes: I8) -> I32 {
        // SAFETY: the token proves the instructions.
        I32(unsafe { _mm512_cvtepi8_epi32(lanes.0) })
    }

    #[inline(always)]
    fn repeat(self, row: I8) -> Rows {
        // SAFETY: the token proves the instructions.
        Rows(unsafe { _mm256_broadcastsi128_si256(row.0) })
    }

    #[inline(always)]
    fn sum_rows(self, rows: Rows) -> I16 {
        // SAFETY: the token proves the instructions.
        unsafe {
            let first = _mm256_castsi256_si128(rows.0);
            let second = _mm256_extracti128_si256::<1>(rows.0);
            I16(_mm256_add_epi16(_mm256_cvtepi8_epi16(first), _mm256_cvtepi8_epi16(second)))
        }
    }

    #[inline(always)]
    fn widen_f16(self, values: &[f16]) -> F32 {
        assert!(values.len() >= LANES);
        // SAFETY: the token proves the instructions; the slice is long enough.
        F32(unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(values.as_ptr().cast())) })
    }

    #[inline(always)]
    fn narrow_f16(self, values: F32, to: &mut [f16]) {
        assert!(to.len() >= LANES);
        // SAFETY: the token proves the instructions; the slice is long enough.
        unsafe {
            let values = _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(values.0);
            _mm256_storeu_si256(to.as_mut_ptr().cast(), values);
        }
    }

    #[inline(always)]
    fn widen_f32(self, values: F32) -> Two<F64> {
        // SAFETY: the token proves the instructions.
        unsafe {
            let high = _mm512_extractf32x8_ps::<1>(values.0);
            let low = _mm512_castps512_ps256(values.0);
            Two(F64(_mm512_cvtps_pd(low)), F64(_mm512_cvtps_pd(high)))
        }
    }

    #[inline(always)]
    fn narrow_f64(self, values: &[f64]) -> F32 {
        let Two(low, high): Two<F64> = Ordered::load(self, values);
        // SAFETY: the token proves the instructions.
        unsafe {
            let (low, high) = (_mm512_cvtpd_ps(low.0), _mm512_cvtpd_ps(high.0));
            F32(_mm512_insertf32x8::<1>(_mm512_castps256_ps512(low), high))
        }
    }

    #[inline(always)]
    fn float(self, lanes: I32) -> F32 {
        // SAFETY: the token proves the instructions.
        F32(unsafe { _mm512_cvtepi32_ps(lanes.0) })
    }

    #[inline(always)]
    fn round(self, values: F32) -> I32 {
        // SAFETY: the token proves the instructions.
        I32(unsafe { _mm512_cvtps_epi32(values.0) })
    }

    #[inline(always)]
    fn prefetch<T>(self, address: *const T) {
        // SAFETY: it touches nothing that a program can see, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
    }
}

/// Functions whose masks are vectors, of instructions whose masks are not.
macro_rules! masks {
    ($register:ty, $bits:ty, to_mask $to_mask:ident, of_mask $of_mask:ident, splat $splat:ident;
     $gt:ident by $cmpgt:ident, $eq:ident by $cmpeq:ident, $select:ident by $blend:ident,
     $count:ident and $negate:ident by $mask_sub:ident, $to_bits:ident, $of_bits:ident) => {
        #[inline(always)]
        unsafe fn $gt(a: $register, b: $register) -> $register {
            // SAFETY: the caller has the instructions.
            unsafe { $of_mask($cmpgt(a, b)) }
        }
        #[inline(always)]
        unsafe fn $eq(a: $register, b: $register) -> $register {
            // SAFETY: the caller has the instructions.
            unsafe { $of_mask($cmpeq(a, b)) }
        }
        #[inline(always)]
        unsafe fn $select(mask: $register, yes: $register, no: $register) -> $register {
            // SAFETY: the caller has the instructions.
            unsafe { $blend($to_mask(mask), no, yes) }
        }
        #[inline(always)]
        unsafe fn $count(lanes: $register, mask: $register) -> $register {
            // SAFETY: the caller has the instructions.
            unsafe { $mask_sub(lanes, $to_mask(mask), lanes, $splat(-1)) }
        }
        #[inline(always)]
        unsafe fn $negate(lanes: $register, signs: $register) -> $register {
            // SAFETY: the caller has the instructions.
            unsafe { $mask_sub(lanes, $to_mask(signs), $splat(0), lanes) }
        }
        #[inline(always)]
        unsafe fn $to_bits(mask: $register) -> u32 {
            // SAFETY: the caller has the instructions.
            unsafe { $to_mask(mask).into() }
        }
        #[inline(always)]
        unsafe fn $of_bits(bits: u32) -> $register {
            // SAFETY: the caller has the instructions.
            unsafe { $of_mask(bits as $bits) }
        }
    };
}

masks! { __m256i, u16, to_mask _mm256_movepi16_mask, of_mask _mm256_movm_epi16, splat _mm256_set1_epi16;
    gt_epi16 by _mm256_cmpgt_epi16_mask, eq_epi16 by _mm256_cmpeq_epi16_mask,
    select_epi16 by _mm256_mask_blend_epi16, count_epi16 and negate_epi16 by _mm256_mask_sub_epi16,
    bits_epi16, of_bits_epi16
}

masks! { __m512i, u16, to_mask _mm512_movepi32_mask, of_mask _mm512_movm_epi32, splat _mm512_set1_epi32;
    gt_epi32 by _mm512_cmpgt_epi32_mask, eq_epi32 by _mm512_cmpeq_epi32_mask,
    select_epi32 by _mm512_mask_blend_epi32, count_epi32 and negate_epi32 by _mm512_mask_sub_epi32,
    bits_epi32, of_bits_epi32
}

masks! { __m512i, u8, to_mask _mm512_movepi64_mask, of_mask _mm512_movm_epi64, splat _mm512_set1_epi64;
    gt_epi64 by _mm512_cmpgt_epi64_mask, eq_epi64 by _mm512_cmpeq_epi64_mask,
    select_epi64 by _mm512_mask_blend_epi64, count_epi64 and negate_epi64 by _mm512_mask_sub_epi64,
    bits_epi64, of_bits_epi64
}

#[inline(always)]
unsafe fn without_512(lanes: __m512i, other: __m512i) -> __m512i {
    // SAFETY: the caller has the instructions.
    unsafe { _mm512_andnot_si512(other, lanes) }
}

#[inline(always)]
unsafe fn gt_ps(a: __m512, b: __m512) -> __m512i {
    // SAFETY: the caller has the instructions.
    unsafe { _mm512_movm_epi32(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b)) }
}

#[inline(always)]
unsafe fn gt_pd(a: __m512d, b: __m512d) -> __m512i {
    // SAFETY: the caller has the instructions.
    unsafe { _mm512_movm_epi64(_mm512_cmp_pd_mask::<_CMP_GT_OQ>(a, b)) }
}

#[inline(always)]
unsafe fn select_ps(mask: __m512i, yes: __m512, no: __m512) -> __m512 {
    // SAFETY: the caller has the instructions.
    unsafe { _mm512_mask_blend_ps(_mm512_movepi32_mask(mask), no, yes) }
}

#[inline(always)]
unsafe fn select_pd(mask: __m512i, yes: __m512d, no: __m512d) -> __m512d {
    // SAFETY: the caller has the instructions.
    unsafe { _mm512_mask_blend_pd(_mm512_movepi64_mask(mask), no, yes) }
}

#[inline(always)]
unsafe fn div_about_ps(a: __m512, b: __m512) -> __m512 {
    // SAFETY: the caller has the instructions.
    unsafe { _mm512_mul_ps(a, _mm512_rcp14_ps(b)) }
}

integers! { I8(__m128i): [i8; 16] of Avx512;
    splat _mm_set1_epi8, load _mm_loadu_si128, store _mm_storeu_si128, stream _mm_stream_si128,
    gt _mm_cmpgt_epi8, min _mm_min_epi8, max _mm_max_epi8, eq _mm_cmpeq_epi8, and _mm_and_si128,
    without without_128, or _mm_or_si128, add _mm_add_epi8, sub _mm_sub_epi8, shr shr_epi8,
    select select_si128, negate_where_negative _mm_sign_epi8, bits bits_epi8, of_bits of_bits_epi8
}

// Two rows of 16 columns.
integers! { Rows(__m256i): [i8; 32] of Avx512;
    splat _mm256_set1_epi8, load _mm256_loadu_si256, store _mm256_storeu_si256,
    stream _mm256_stream_si256, gt _mm256_cmpgt_epi8, min _mm256_min_epi8, max _mm256_max_epi8,
    eq _mm256_cmpeq_epi8, and _mm256_and_si256, without without, or _mm256_or_si256,
    add _mm256_add_epi8, sub _mm256_sub_epi8, shr shr_epi8_256, select select_si256,
    negate_where_negative _mm256_sign_epi8, bits bits_epi8_256, of_bits of_bits_epi8_256
}

integers! { I16(__m256i): [i16; 16] of Avx512;
    splat _mm256_set1_epi16, load _mm256_loadu_si256, store _mm256_storeu_si256,
    stream _mm256_stream_si256, gt gt_epi16, min _mm256_min_epi16, max _mm256_max_epi16, eq eq_epi16,
    and _mm256_and_si256, without without, or _mm256_or_si256, add _mm256_add_epi16,
    sub _mm256_sub_epi16, shr _mm256_srlv_epi16, select select_epi16,
    negate_where_negative negate_epi16, bits bits_epi16, of_bits of_bits_epi16, count count_epi16
}

integers! { I32(__m512i): [i32; 16] of Avx512;
    splat _mm512_set1_epi32, load _mm512_loadu_si512, store _mm512_storeu_si512,
    stream _mm512_stream_si512, gt gt_epi32, min _mm512_min_epi32, max _mm512_max_epi32, eq eq_epi32,
    and _mm512_and_si512, without without_512, or _mm512_or_si512, add _mm512_add_epi32,
    sub _mm512_sub_epi32, shr _mm512_srlv_epi32, select select_epi32,
    negate_where_negative negate_epi32, bits bits_epi32, of_bits of_bits_epi32, count count_epi32
}

integers! { I64(__m512i): [i64; 8] of Avx512;
    splat _mm512_set1_epi64, load _mm512_loadu_si512, store _mm512_storeu_si512,
    stream _mm512_stream_si512, gt gt_epi64, min _mm512_min_epi64, max _mm512_max_epi64, eq eq_epi64,
    and _mm512_and_si512, without without_512, or _mm512_or_si512, add _mm512_add_epi64,
    sub _mm512_sub_epi64, shr _mm512_srlv_epi64, select select_epi64,
    negate_where_negative negate_epi64, bits bits_epi64, of_bits of_bits_epi64, count count_epi64
}

floats! { F32(__m512): [f32; 16] of Avx512, mask I32;
    splat _mm512_set1_ps, load _mm512_loadu_ps, store _mm512_storeu_ps, stream _mm512_stream_ps,
    gt gt_ps, min _mm512_min_ps, max _mm512_max_ps, of_bits _mm512_castsi512_ps,
    bits _mm512_castps_si512, select select_ps, add _mm512_add_ps, sub _mm512_sub_ps,
    mul _mm512_mul_ps, scale _mm512_fmadd_ps, div _mm512_div_ps, div_about div_about_ps
}

floats! { F64(__m512d): [f64; 8] of Avx512, mask I64;
    splat _mm512_set1_pd, load _mm512_loadu_pd, store _mm512_storeu_pd, stream _mm512_stream_pd,
    gt gt_pd, min _mm512_min_pd, max _mm512_max_pd, of_bits _mm512_castsi512_pd,
    bits _mm512_castpd_si512, select select_pd, add _mm512_add_pd, sub _mm512_sub_pd,
    mul _mm512_mul_pd, scale _mm512_fmadd_pd, div _mm512_div_pd,
    div_about _mm512_div_pd
}
