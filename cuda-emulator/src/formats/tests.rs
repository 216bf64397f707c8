use super::odd::{add_to_odd, div_to_odd};
use super::*;
#[test]
fn f32_pack_is_the_cast() {
    let mut x = 0x1234_5678_9abc_def0u64;
    for _ in 0..2_000_000 {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        // exponents around the f32 range, both ends
        let e = 1023 - 160 + (x >> 13) % 320;
        let v = f64::from_bits((x & 0x800f_ffff_ffff_ffff) | e << 52);
        assert_eq!(F32.encode(v, Rounding::NearestEven), (v as f32).to_bits(), "{v:e}");
    }
}
#[test]
fn half_round_trip() {
    for h in 0..=0xffffu32 {
        let h = h as u16;
        let v = f16_to_f64(h);
        if v.is_nan() {
            assert_eq!(f64_to_f16(v), 0x7fff);
        } else {
            assert_eq!(f64_to_f16(v), h);
            for r in [Rounding::TowardZero, Rounding::Down, Rounding::Up] {
                assert_eq!(F16.encode(v, r) as u16, h);
            }
        }
        let v = bf16_to_f64(h);
        if !v.is_nan() {
            assert_eq!(f64_to_bf16(v), h);
        }
    }
}
#[test]
#[cfg(target_arch = "x86_64")]
fn half_matches_f16c() {
    // the CPU's own conversion as a second opinion
    #[target_feature(enable = "f16c")]
    unsafe fn hw(x: f32) -> u16 {
        use core::arch::x86_64::*;
        let v = _mm_set_ss(x);
        let h = _mm_cvtps_ph::<0>(v);
        _mm_extract_epi16::<0>(h) as u16
    }
    if !std::is_x86_feature_detected!("f16c") {
        return;
    }
    let mut i = 0u32;
    loop {
        let x = f32::from_bits(i);
        if !x.is_nan() {
            assert_eq!(f64_to_f16(x as f64), unsafe { hw(x) }, "{x:e}");
        }
        let (n, o) = i.overflowing_add(997);
        if o {
            break;
        }
        i = n;
    }
}
#[test]
#[cfg(target_arch = "x86_64")]
fn directed_fma_without_the_instruction() {
    let mut x = 0x0dd_ba11u64;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        // exponents close enough for the sum to round, sometimes to cancel
        f64::from_bits((x & 0x800f_ffff_ffff_ffff) | ((1023 - 30 + (x >> 40) % 60) << 52))
    };
    let mut different = 0;
    for _ in 0..20_000 {
        let (a, b, c) = (next(), next(), next());
        let at = |r| directed::with_c_library(a, b, c, r);
        let (down, up, zero) = (at(Rounding::Down), at(Rounding::Up), at(Rounding::TowardZero));
        assert!(down <= up, "{a:e} {b:e} {c:e}");
        assert_eq!(zero, if up > 0.0 { down } else { up });
        different += (down != up) as u32;
        if std::is_x86_feature_detected!("fma") {
            for r in [Rounding::NearestEven, Rounding::Down, Rounding::Up, Rounding::TowardZero] {
                assert_eq!(at(r), directed::with_fma_instruction(a, b, c, r), "{a:e} {b:e} {c:e}");
            }
        }
    }
    assert!(different > 19_000, "{different} of 20000 sums round");
}
#[test]
fn directed() {
    let a = 1.0f64;
    let b = 1e-20;
    assert_eq!(directed::add(a, b, Rounding::NearestEven), 1.0);
    assert!(directed::add(a, b, Rounding::Up) > 1.0);
    assert!(directed::add(-a, -b, Rounding::Down) < -1.0);
    assert_eq!(F32.encode(add_to_odd(1.0, 1e-20), Rounding::Up), 0x3f80_0001);
    assert_eq!(F32.encode(add_to_odd(1.0, 1e-20), Rounding::TowardZero), 0x3f80_0000);
    assert_eq!(F32.encode(div_to_odd(1.0, 3.0), Rounding::NearestEven), (1.0f32 / 3.0).to_bits());
    assert_eq!(F32.encode(div_to_odd(1.0, 3.0), Rounding::TowardZero), 0x3eaa_aaaa);
}
