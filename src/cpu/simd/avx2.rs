//! x86-64 with AVX2, FMA, F16C, BMI and POPCNT: registers of 256 bits.

use super::registers::{floats, integers};
use super::{Isa, Job, LANES, Ordered, Two};
use half::f16;
use std::arch::x86_64::*;
use std::mem::transmute;

/// The proof that the machine has the instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx2(());

impl Avx2 {
    pub(super) fn detect() -> Option<Self> {
        let all = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("popcnt");
        all.then_some(Self(()))
    }
}

// Nothing fuses a product and a sum that were written separately.
#[target_feature(enable = "avx2,fma,f16c,bmi1,bmi2,popcnt")]
fn compiled_for_avx2<J: Job<Avx2>>(isa: Avx2, job: J) -> J::Output {
    job.run(isa)
}

impl Isa for Avx2 {
    type I8 = I8;
    type Rows = Rows;
    type I16 = I16;
    type I32 = Two<I32>;
    type I64 = Two<Two<I64>>;
    type F32 = Two<F32>;
    type F64 = Two<Two<F64>>;

    #[inline(always)]
    fn run<J: Job<Self>>(self, job: J) -> J::Output {
        // SAFETY: the token proves the instructions.
        unsafe { compiled_for_avx2(self, job) }
    }

    #[inline(always)]
    fn load_upper(self, values: &[u16]) -> Two<I32> {
        assert!(values.len() >= LANES);
        // SAFETY: the token proves the instructions; the slice is long enough.
        unsafe {
            let (low, high) = halves_at(values.as_ptr().cast());
            let (low, high) = (_mm256_cvtepu16_epi32(low), _mm256_cvtepu16_epi32(high));
            Two(I32(_mm256_slli_epi32::<16>(low)), I32(_mm256_slli_epi32::<16>(high)))
        }
    }

    #[inline(always)]
    fn narrow(self, Two(low, high): Two<I32>) -> I16 {
        // The instruction works on halves: it gives lanes 0..4, 8..12, 4..8, 12..16.
        // SAFETY: the token proves the instructions.
        I16(unsafe { _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(low.0, high.0)) })
    }

    #[inline(always)]
    fn narrow_to_8(self, Two(low, high): Two<I32>) -> I8 {
        // SAFETY: the token proves the instructions.
        unsafe {
            // Lanes 0..4, 8..12, 4..8, 12..16.
            let (low, high) = halves(_mm256_packs_epi32(low.0, high.0));
            I8(_mm_shuffle_epi32::<0b11_01_10_00>(_mm_packs_epi16(low, high)))
        }
    }

    #[inline(always)]
    fn widen(self, lanes: I16) -> Two<I32> {
        // SAFETY: the token proves the instructions.
        unsafe {
            let (low, high) = halves(lanes.0);
            Two(I32(_mm256_cvtepi16_epi32(low)), I32(_mm256_cvtepi16_epi32(high)))
        }
    }

    #[inline(always)]
    fn widen_64(self, lanes: I16) -> Two<Two<I64>> {
        // SAFETY: the token proves the instructions.
        unsafe {
            let (low, high) = halves(lanes.0);
            Two(widen_eight(low), widen_eight(high))
        }
    }

    #[inline(always)]
    fn widen_8(self, lanes: I8) -> I16 {
        // SAFETY: the token proves the instructions.
        I16(unsafe { _mm256_cvtepi8_epi16(lanes.0) })
    }

    #[inline(always)]
    fn widen_8_to_32(self, lanes: I8) -> Two<I32> {
        // SAFETY: the token proves the instructions.
        unsafe {
            let high = _mm_unpackhi_epi64(lanes.0, lanes.0);
            Two(I32(_mm256_cvtepi8_epi32(lanes.0)), I32(_mm256_cvtepi8_epi32(high)))
        }
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
            let (first, second) = halves(rows.0);
            I16(_mm256_add_epi16(_mm256_cvtepi8_epi16(first), _mm256_cvtepi8_epi16(second)))
        }
    }

    #[inline(always)]
    fn widen_f16(self, values: &[f16]) -> Two<F32> {
        assert!(values.len() >= LANES);
        // SAFETY: the token proves the instructions; the slice is long enough.
        unsafe {
            let (low, high) = halves_at(values.as_ptr().cast());
            Two(F32(_mm256_cvtph_ps(low)), F32(_mm256_cvtph_ps(high)))
        }
    }

    #[inline(always)]
    fn narrow_f16(self, values: Two<F32>, to: &mut [f16]) {
        assert!(to.len() >= LANES);
        // SAFETY: the token proves the instructions; the slice is long enough.
        unsafe {
            let low = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(values.0.0);
            let high = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(values.1.0);
            _mm256_storeu_si256(to.as_mut_ptr().cast(), _mm256_set_m128i(high, low));
        }
    }

    #[inline(always)]
    fn widen_f32(self, Two(low, high): Two<F32>) -> Two<Two<F64>> {
        // SAFETY: the token proves the instructions.
        unsafe { Two(doubles_of(low), doubles_of(high)) }
    }

    #[inline(always)]
    fn narrow_f64(self, values: &[f64]) -> Two<F32> {
        let Two(low, high): Two<Two<F64>> = Ordered::load(self, values);
        // SAFETY: the token proves the instructions.
        unsafe { Two(narrow_eight(low), narrow_eight(high)) }
    }

    #[inline(always)]
    fn float(self, Two(low, high): Two<I32>) -> Two<F32> {
        // SAFETY: the token proves the instructions.
        unsafe { Two(F32(_mm256_cvtepi32_ps(low.0)), F32(_mm256_cvtepi32_ps(high.0))) }
    }

    #[inline(always)]
    fn round(self, Two(low, high): Two<F32>) -> Two<I32> {
        // SAFETY: the token proves the instructions.
        unsafe { Two(I32(_mm256_cvtps_epi32(low.0)), I32(_mm256_cvtps_epi32(high.0))) }
    }

    #[inline(always)]
    fn prefetch<T>(self, address: *const T) {
        // SAFETY: it touches nothing that a program can see, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
    }
}

#[inline(always)]
unsafe fn halves(lanes: __m256i) -> (__m128i, __m128i) {
    // SAFETY: the caller has the instructions.
    unsafe { (_mm256_castsi256_si128(lanes), _mm256_extracti128_si256::<1>(lanes)) }
}

/// The halves of 32 bytes.
#[inline(always)]
unsafe fn halves_at(place: *const __m128i) -> (__m128i, __m128i) {
    // SAFETY: the caller has the instructions, and room at the place.
    unsafe { (_mm_loadu_si128(place), _mm_loadu_si128(place.add(1))) }
}

#[inline(always)]
unsafe fn widen_eight(lanes: __m128i) -> Two<I64> {
    // SAFETY: the caller has the instructions.
    unsafe {
        let high = _mm_unpackhi_epi64(lanes, lanes);
        Two(I64(_mm256_cvtepi16_epi64(lanes)), I64(_mm256_cvtepi16_epi64(high)))
    }
}

#[inline(always)]
unsafe fn doubles_of(values: F32) -> Two<F64> {
    // SAFETY: the caller has the instructions.
    unsafe {
        let high = _mm256_extractf128_ps::<1>(values.0);
        let low = _mm256_castps256_ps128(values.0);
        Two(F64(_mm256_cvtps_pd(low)), F64(_mm256_cvtps_pd(high)))
    }
}

#[inline(always)]
unsafe fn narrow_eight(Two(low, high): Two<F64>) -> F32 {
    // SAFETY: the caller has the instructions.
    unsafe { F32(_mm256_set_m128(_mm256_cvtpd_ps(high.0), _mm256_cvtpd_ps(low.0))) }
}

/// Functions whose arguments have another order than those of the instructions.
#[inline(always)]
pub(super) unsafe fn select_si256(mask: __m256i, yes: __m256i, no: __m256i) -> __m256i {
    // SAFETY: the caller has the instructions.
    unsafe { _mm256_blendv_epi8(no, yes, mask) }
}

#[inline(always)]
unsafe fn select_ps(mask: __m256i, yes: __m256, no: __m256) -> __m256 {
    // SAFETY: the caller has the instructions.
    unsafe { _mm256_blendv_ps(no, yes, _mm256_castsi256_ps(mask)) }
}

#[inline(always)]
unsafe fn select_pd(mask: __m256i, yes: __m256d, no: __m256d) -> __m256d {
    // SAFETY: the caller has the instructions.
    unsafe { _mm256_blendv_pd(no, yes, _mm256_castsi256_pd(mask)) }
}

#[inline(always)]
pub(super) unsafe fn without(lanes: __m256i, other: __m256i) -> __m256i {
    // SAFETY: the caller has the instructions.
    unsafe { _mm256_andnot_si256(other, lanes) }
}

#[inline(always)]
pub(super) unsafe fn without_128(lanes: __m128i, other: __m128i) -> __m128i {
    // SAFETY: the caller has the instructions.
    unsafe { _mm_andnot_si128(other, lanes) }
}

/// There is no instruction for it; what needs speed shifts wider lanes.
macro_rules! shr_each {
    ($name:ident, $register:ty: [$lane:ident; $lanes:literal] as $unsigned:ident) => {
        #[inline(always)]
        pub(super) unsafe fn $name(lanes: $register, by: $register) -> $register {
            // SAFETY: a register is its lanes, without padding; any bits are a value of either.
            let mut lanes = unsafe { transmute::<$register, [$lane; $lanes]>(lanes) };
            // SAFETY: a register is its lanes, without padding; any bits are a value of either.
            let by = unsafe { transmute::<$register, [$lane; $lanes]>(by) };
            for (lane, places) in lanes.iter_mut().zip(by) {
                *lane = (*lane as $unsigned).checked_shr(places as u32).unwrap_or(0) as $lane;
            }
            // SAFETY: a register is its lanes, without padding; any bits are a value of either.
            unsafe { transmute::<[$lane; $lanes], $register>(lanes) }
        }
    };
}

shr_each!(shr_epi8, __m128i: [i8; 16] as u8);
shr_each!(shr_epi8_256, __m256i: [i8; 32] as u8);
shr_each!(shr_epi16, __m256i: [i16; 16] as u16);

#[inline(always)]
pub(super) unsafe fn select_si128(mask: __m128i, yes: __m128i, no: __m128i) -> __m128i {
    // SAFETY: the caller has the instructions.
    unsafe { _mm_blendv_epi8(no, yes, mask) }
}

#[inline(always)]
pub(super) unsafe fn bits_epi8(mask: __m128i) -> u32 {
    // SAFETY: the caller has the instructions.
    unsafe { _mm_movemask_epi8(mask) as u32 }
}

#[inline(always)]
pub(super) unsafe fn bits_epi8_256(mask: __m256i) -> u32 {
    // SAFETY: the caller has the instructions.
    unsafe { _mm256_movemask_epi8(mask) as u32 }
}

#[inline(always)]
pub(super) unsafe fn of_bits_epi8(bits: u32) -> __m128i {
    // SAFETY: the caller has the instructions.
    unsafe {
        let bytes = _mm_set_epi64x(0x0101_0101_0101_0101, 0);
        let each = _mm_set1_epi64x(0x8040_2010_0804_0201_u64 as i64);
        let bits = _mm_shuffle_epi8(_mm_set1_epi32(bits as i32), bytes);
        _mm_cmpeq_epi8(_mm_and_si128(bits, each), each)
    }
}

#[inline(always)]
pub(super) unsafe fn of_bits_epi8_256(bits: u32) -> __m256i {
    // SAFETY: the caller has the instructions.
    unsafe { _mm256_set_m128i(of_bits_epi8(bits >> 16), of_bits_epi8(bits)) }
}

#[inline(always)]
unsafe fn bits_epi16(mask: __m256i) -> u32 {
    // SAFETY: the caller has the instructions.
    unsafe {
        let (low, high) = halves(mask);
        _mm_movemask_epi8(_mm_packs_epi16(low, high)) as u32
    }
}

#[inline(always)]
unsafe fn bits_epi32(mask: __m256i) -> u32 {
    // SAFETY: the caller has the instructions.
    unsafe { _mm256_movemask_ps(_mm256_castsi256_ps(mask)) as u32 }
}

#[inline(always)]
unsafe fn bits_epi64(mask: __m256i) -> u32 {
    // SAFETY: the caller has the instructions.
    unsafe { _mm256_movemask_pd(_mm256_castsi256_pd(mask)) as u32 }
}

#[inline(always)]
unsafe fn of_bits_epi16(bits: u32) -> __m256i {
    // SAFETY: the caller has the instructions.
    unsafe {
        let low = _mm_setr_epi16(1, 2, 4, 8, 16, 32, 64, 128);
        let each = _mm256_set_m128i(_mm_slli_epi16::<8>(low), low);
        _mm256_cmpeq_epi16(_mm256_and_si256(_mm256_set1_epi16(bits as i16), each), each)
    }
}

#[inline(always)]
unsafe fn of_bits_epi32(bits: u32) -> __m256i {
    // SAFETY: the caller has the instructions.
    unsafe {
        let each = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
        _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(bits as i32), each), each)
    }
}

#[inline(always)]
unsafe fn of_bits_epi64(bits: u32) -> __m256i {
    // SAFETY: the caller has the instructions.
    unsafe {
        let each = _mm256_setr_epi64x(1, 2, 4, 8);
        _mm256_cmpeq_epi64(_mm256_and_si256(_mm256_set1_epi64x(bits.into()), each), each)
    }
}

#[inline(always)]
unsafe fn min_epi64(a: __m256i, b: __m256i) -> __m256i {
    // SAFETY: the caller has the instructions.
    unsafe { select_si256(_mm256_cmpgt_epi64(a, b), b, a) }
}

#[inline(always)]
unsafe fn max_epi64(a: __m256i, b: __m256i) -> __m256i {
    // SAFETY: the caller has the instructions.
    unsafe { select_si256(_mm256_cmpgt_epi64(a, b), a, b) }
}

#[inline(always)]
unsafe fn negate_epi64(lanes: __m256i, signs: __m256i) -> __m256i {
    // SAFETY: the caller has the instructions.
    unsafe {
        let mask = _mm256_cmpgt_epi64(_mm256_setzero_si256(), signs);
        _mm256_sub_epi64(_mm256_xor_si256(lanes, mask), mask)
    }
}

#[inline(always)]
unsafe fn gt_ps(a: __m256, b: __m256) -> __m256i {
    // SAFETY: the caller has the instructions.
    unsafe { _mm256_castps_si256(_mm256_cmp_ps::<_CMP_GT_OQ>(a, b)) }
}

#[inline(always)]
unsafe fn gt_pd(a: __m256d, b: __m256d) -> __m256i {
    // SAFETY: the caller has the instructions.
    unsafe { _mm256_castpd_si256(_mm256_cmp_pd::<_CMP_GT_OQ>(a, b)) }
}

#[inline(always)]
unsafe fn div_about_ps(a: __m256, b: __m256) -> __m256 {
    // SAFETY: the caller has the instructions.
    unsafe { _mm256_mul_ps(a, _mm256_rcp_ps(b)) }
}

integers! { I8(__m128i): [i8; 16] of Avx2;
    splat _mm_set1_epi8, load _mm_loadu_si128, store _mm_storeu_si128, stream _mm_stream_si128,
    gt _mm_cmpgt_epi8, min _mm_min_epi8, max _mm_max_epi8, eq _mm_cmpeq_epi8, and _mm_and_si128,
    without without_128, or _mm_or_si128, add _mm_add_epi8, sub _mm_sub_epi8, shr shr_epi8,
    select select_si128, negate_where_negative _mm_sign_epi8, bits bits_epi8, of_bits of_bits_epi8
}

// Two rows of 16 columns.
integers! { Rows(__m256i): [i8; 32] of Avx2;
    splat _mm256_set1_epi8, load _mm256_loadu_si256, store _mm256_storeu_si256,
    stream _mm256_stream_si256, gt _mm256_cmpgt_epi8, min _mm256_min_epi8, max _mm256_max_epi8,
    eq _mm256_cmpeq_epi8, and _mm256_and_si256, without without, or _mm256_or_si256,
    add _mm256_add_epi8, sub _mm256_sub_epi8, shr shr_epi8_256, select select_si256,
    negate_where_negative _mm256_sign_epi8, bits bits_epi8_256, of_bits of_bits_epi8_256
}

integers! { I16(__m256i): [i16; 16] of Avx2;
    splat _mm256_set1_epi16, load _mm256_loadu_si256, store _mm256_storeu_si256,
    stream _mm256_stream_si256, gt _mm256_cmpgt_epi16, min _mm256_min_epi16, max _mm256_max_epi16,
    eq _mm256_cmpeq_epi16, and _mm256_and_si256, without without, or _mm256_or_si256,
    add _mm256_add_epi16, sub _mm256_sub_epi16, shr shr_epi16, select select_si256,
    negate_where_negative _mm256_sign_epi16, bits bits_epi16, of_bits of_bits_epi16
}

integers! { I32(__m256i): [i32; 8] of Avx2;
    splat _mm256_set1_epi32, load _mm256_loadu_si256, store _mm256_storeu_si256,
    stream _mm256_stream_si256, gt _mm256_cmpgt_epi32, min _mm256_min_epi32, max _mm256_max_epi32,
    eq _mm256_cmpeq_epi32, and _mm256_and_si256, without without, or _mm256_or_si256,
    add _mm256_add_epi32, sub _mm256_sub_epi32, shr _mm256_srlv_epi32, select select_si256,
    negate_where_negative _mm256_sign_epi32, bits bits_epi32, of_bits of_bits_epi32
}

integers! { I64(__m256i): [i64; 4] of Avx2;
    splat _mm256_set1_epi64x, load _mm256_loadu_si256, store _mm256_storeu_si256,
    stream _mm256_stream_si256, gt _mm256_cmpgt_epi64, min min_epi64, max max_epi64,
    eq _mm256_cmpeq_epi64, and _mm256_and_si256, without without, or _mm256_or_si256,
    add _mm256_add_epi64, sub _mm256_sub_epi64, shr _mm256_srlv_epi64, select select_si256,
    negate_where_negative negate_epi64, bits bits_epi64, of_bits of_bits_epi64
}

floats! { F32(__m256): [f32; 8] of Avx2, mask I32;
    splat _mm256_set1_ps, load _mm256_loadu_ps, store _mm256_storeu_ps, stream _mm256_stream_ps,
    gt gt_ps, min _mm256_min_ps, max _mm256_max_ps, of_bits _mm256_castsi256_ps,
    bits _mm256_castps_si256, select select_ps, add _mm256_add_ps, sub _mm256_sub_ps,
    mul _mm256_mul_ps, scale _mm256_fmadd_ps, div _mm256_div_ps, div_about div_about_ps
}

floats! { F64(__m256d): [f64; 4] of Avx2, mask I64;
    splat _mm256_set1_pd, load _mm256_loadu_pd, store _mm256_storeu_pd, stream _mm256_stream_pd,
    gt gt_pd, min _mm256_min_pd, max _mm256_max_pd, of_bits _mm256_castsi256_pd,
    bits _mm256_castpd_si256, select select_pd, add _mm256_add_pd, sub _mm256_sub_pd,
    mul _mm256_mul_pd, scale _mm256_fmadd_pd, div _mm256_div_pd,
    div_about _mm256_div_pd
}
