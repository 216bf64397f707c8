//! Floating point: narrow formats, PTX rounding modes, NVIDIA NaN rules.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rnd {
    Rn,
    Rz,
    Rm,
    Rp,
    /// ties away from zero
    Rna,
}

/// Round the exactly-held value `v` to a binary format with `eb` exponent and
/// `mb` stored mantissa bits. NaN gives the canonical all-ones NaN of PTX.
pub fn pack(v: f64, eb: u32, mb: u32, r: Rnd) -> u32 {
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
        Rnd::Rn => rem > half || (rem == half && q & 1 == 1),
        Rnd::Rna => rem >= half,
        Rnd::Rz => false,
        Rnd::Rm => rem != 0 && sign == 1,
        Rnd::Rp => rem != 0 && sign == 0,
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
            Rnd::Rn | Rnd::Rna => true,
            Rnd::Rz => false,
            Rnd::Rm => sign == 1,
            Rnd::Rp => sign == 0,
        };
        return s | if inf { emax << mb } else { (emax << mb) - 1 };
    }
    s | out
}

pub fn h2d(h: u16) -> f64 {
    let s = if h & 0x8000 != 0 { -1.0 } else { 1.0 };
    let e = ((h >> 10) & 31) as i32;
    let m = (h & 0x3ff) as f64;
    if e == 31 {
        return if h & 0x3ff != 0 { f64::NAN } else { s * f64::INFINITY };
    }
    if e == 0 { s * m * 2f64.powi(-24) } else { s * (1024.0 + m) * 2f64.powi(e - 25) }
}
#[inline]
pub fn b2d(b: u16) -> f64 {
    f32::from_bits((b as u32) << 16) as f64
}
#[inline]
pub fn d2h(v: f64) -> u16 {
    pack(v, 5, 10, Rnd::Rn) as u16
}
#[inline]
pub fn d2b(v: f64) -> u16 {
    pack(v, 8, 7, Rnd::Rn) as u16
}

/// `s` is the nearest double to an exact value that differs from it by the
/// (sign of) `e`: round to odd instead, so that a later rounding is right.
#[inline]
pub fn to_odd(s: f64, e: f64) -> f64 {
    if e == 0.0 || !s.is_finite() || e.is_nan() {
        return s;
    }
    let b = s.to_bits();
    if s == 0.0 {
        return if e > 0.0 { f64::from_bits(1) } else { f64::from_bits(1 | 1 << 63) };
    }
    if b & 1 == 1 {
        return s;
    }
    if (e > 0.0) == (s > 0.0) { f64::from_bits(b + 1) } else { f64::from_bits(b - 1) }
}
pub fn add_odd(a: f64, b: f64) -> f64 {
    let s = a + b;
    let bb = s - a;
    let e = (a - (s - bb)) + (b - bb);
    to_odd(s, e)
}
/// a*b exact in f64 (factors of at most 26 bits), plus c
pub fn fma_odd(a: f64, b: f64, c: f64) -> f64 {
    add_odd(a * b, c)
}
pub fn div_odd(a: f64, b: f64) -> f64 {
    let q = a / b;
    if !q.is_finite() || q == 0.0 {
        return q;
    }
    let r = (-q).mul_add(b, a);
    to_odd(q, if b > 0.0 { r } else { -r })
}
pub fn sqrt_odd(a: f64) -> f64 {
    let q = a.sqrt();
    if !q.is_finite() || q == 0.0 {
        return q;
    }
    to_odd(q, (-q).mul_add(q, a))
}

pub const NAN32: u32 = 0x7fff_ffff;

#[inline(always)]
pub fn f(x: u64) -> f32 {
    f32::from_bits(x as u32)
}
#[inline(always)]
pub fn d(x: u64) -> f64 {
    f64::from_bits(x)
}
/// canonical NaN for f32 results
#[inline(always)]
pub fn cf(x: f32) -> u64 {
    if x.is_nan() { NAN32 as u64 } else { x.to_bits() as u64 }
}
#[inline(always)]
pub fn ftz(x: f32) -> f32 {
    if x.is_subnormal() { f32::from_bits(x.to_bits() & 0x8000_0000) } else { x }
}

pub fn fmin_bits<const MAX: bool>(a: f64, b: f64, nan: bool) -> f64 {
    if a.is_nan() || b.is_nan() {
        if nan || (a.is_nan() && b.is_nan()) {
            return f64::NAN;
        }
        return if a.is_nan() { b } else { a };
    }
    if a == b {
        // -0 < +0
        let neg = a.is_sign_negative();
        return if MAX {
            if neg { b } else { a }
        } else if neg {
            a
        } else {
            b
        };
    }
    if (a > b) == MAX { a } else { b }
}

/// f64 operations under a directed rounding mode
pub mod dir {
    use super::Rnd;
    fn csr(r: Rnd) -> u32 {
        0x1f80
            | match r {
                Rnd::Rn | Rnd::Rna => 0,
                Rnd::Rm => 0x2000,
                Rnd::Rp => 0x4000,
                Rnd::Rz => 0x6000,
            }
    }
    macro_rules! op {
        ($name:ident, $ins:literal) => {
            pub fn $name(mut a: f64, b: f64, r: Rnd) -> f64 {
                let n = csr(r);
                let mut o = 0u32;
                unsafe {
                    core::arch::asm!(
                        "stmxcsr [{o}]", "ldmxcsr [{n}]", $ins, "ldmxcsr [{o}]",
                        o = in(reg) &mut o, n = in(reg) &n, a = inout(xmm_reg) a, b = in(xmm_reg) b);
                }
                a
            }
        };
    }
    op!(add, "addsd {a}, {b}");
    op!(mul, "mulsd {a}, {b}");
    op!(div, "divsd {a}, {b}");
    op!(sqrt_, "sqrtsd {a}, {b}");
    pub fn sqrt(a: f64, r: Rnd) -> f64 {
        sqrt_(a, a, r)
    }
    pub fn fma(a: f64, b: f64, c: f64, r: Rnd) -> f64 {
        if std::is_x86_feature_detected!("fma") {
            hardware_fma(a, b, c, r)
        } else {
            library_fma(a, b, c, r)
        }
    }
    pub(super) fn hardware_fma(mut a: f64, b: f64, c: f64, r: Rnd) -> f64 {
        let n = csr(r);
        let mut o = 0u32;
        unsafe {
            core::arch::asm!(
                "stmxcsr [{o}]", "ldmxcsr [{n}]", "vfmadd213sd {a}, {b}, {c}", "ldmxcsr [{o}]",
                o = in(reg) &mut o, n = in(reg) &n, a = inout(xmm_reg) a, b = in(xmm_reg) b, c = in(xmm_reg) c);
        }
        a
    }
    /// The C library's fma rounds as the control register says, with or without the instruction.
    /// `f64::mul_add` promises only the default rounding.
    pub(super) fn library_fma(a: f64, b: f64, c: f64, r: Rnd) -> f64 {
        unsafe extern "C" {
            fn fma(a: f64, b: f64, c: f64) -> f64;
        }
        let n = csr(r);
        let mut o = 0u32;
        unsafe {
            core::arch::asm!("stmxcsr [{o}]", "ldmxcsr [{n}]", o = in(reg) &mut o, n = in(reg) &n);
            let v = fma(a, b, c);
            core::arch::asm!("ldmxcsr [{o}]", o = in(reg) &o);
            v
        }
    }
}

/// float -> integral float
pub fn rint(v: f64, r: Rnd) -> f64 {
    match r {
        Rnd::Rn => v.round_ties_even(),
        Rnd::Rz => v.trunc(),
        Rnd::Rm => v.floor(),
        Rnd::Rp => v.ceil(),
        Rnd::Rna => v.round(),
    }
}

#[cfg(test)]
mod tests {
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
            assert_eq!(pack(v, 8, 23, Rnd::Rn), (v as f32).to_bits(), "{v:e}");
        }
    }
    #[test]
    fn half_round_trip() {
        for h in 0..=0xffffu32 {
            let h = h as u16;
            let v = h2d(h);
            if v.is_nan() {
                assert_eq!(d2h(v), 0x7fff);
            } else {
                assert_eq!(d2h(v), h);
                for r in [Rnd::Rz, Rnd::Rm, Rnd::Rp] {
                    assert_eq!(pack(v, 5, 10, r) as u16, h);
                }
            }
            let v = b2d(h);
            if !v.is_nan() {
                assert_eq!(d2b(v), h);
            }
        }
    }
    #[test]
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
                assert_eq!(d2h(x as f64), unsafe { hw(x) }, "{x:e}");
            }
            let (n, o) = i.overflowing_add(997);
            if o {
                break;
            }
            i = n;
        }
    }
    #[test]
    fn directed_fma_without_the_instruction() {
        let mut x = 0x0dd_ba11u64;
        let mut next = || {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            // exponents close enough for the sum to round, sometimes to cancel
            f64::from_bits((x & 0x800f_ffff_ffff_ffff) | ((1023 - 30 + (x >> 40) % 60) << 52))
        };
        let hardware = std::is_x86_feature_detected!("fma");
        let mut different = 0;
        for _ in 0..20_000 {
            let (a, b, c) = (next(), next(), next());
            let at = |r| dir::library_fma(a, b, c, r);
            let (down, up, zero) = (at(Rnd::Rm), at(Rnd::Rp), at(Rnd::Rz));
            assert!(down <= up, "{a:e} {b:e} {c:e}");
            assert_eq!(zero, if up > 0.0 { down } else { up });
            different += (down != up) as u32;
            if hardware {
                for r in [Rnd::Rn, Rnd::Rm, Rnd::Rp, Rnd::Rz] {
                    assert_eq!(at(r), dir::hardware_fma(a, b, c, r), "{a:e} {b:e} {c:e}");
                }
            }
        }
        assert!(different > 19_000, "{different} of 20000 sums round");
    }
    #[test]
    fn directed() {
        let a = 1.0f64;
        let b = 1e-20;
        assert_eq!(dir::add(a, b, Rnd::Rn), 1.0);
        assert!(dir::add(a, b, Rnd::Rp) > 1.0);
        assert!(dir::add(-a, -b, Rnd::Rm) < -1.0);
        assert_eq!(pack(add_odd(1.0, 1e-20), 8, 23, Rnd::Rp), 0x3f80_0001);
        assert_eq!(pack(add_odd(1.0, 1e-20), 8, 23, Rnd::Rz), 0x3f80_0000);
        assert_eq!(pack(div_odd(1.0, 3.0), 8, 23, Rnd::Rn), (1.0f32 / 3.0).to_bits());
        assert_eq!(pack(div_odd(1.0, 3.0), 8, 23, Rnd::Rz), 0x3eaa_aaaa);
    }
}
