//! f64 operations under a directed rounding mode: the processor's own, between two writes of its
//! control register. One asm block holds all three, so that no other operation can move in between.

use super::Rounding;

#[cfg(target_arch = "aarch64")]
pub use aarch64::*;
#[cfg(target_arch = "x86_64")]
pub use x86_64::*;

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use super::Rounding;
    use core::arch::asm;

    /// MXCSR: all exceptions masked, and the rounding mode.
    fn control(r: Rounding) -> u32 {
        0x1f80
            | match r {
                Rounding::NearestEven | Rounding::NearestAway => 0,
                Rounding::Down => 0x2000,
                Rounding::Up => 0x4000,
                Rounding::TowardZero => 0x6000,
            }
    }

    macro_rules! operation {
        ($name:ident, $instruction:literal) => {
            pub fn $name(mut a: f64, b: f64, r: Rounding) -> f64 {
                let (new, mut old) = (control(r), 0u32);
                // SAFETY: the control register is what it was when the block ends.
                unsafe {
                    asm!(
                        "stmxcsr [{old}]", "ldmxcsr [{new}]", $instruction, "ldmxcsr [{old}]",
                        old = in(reg) &mut old, new = in(reg) &new,
                        a = inout(xmm_reg) a, b = in(xmm_reg) b);
                }
                a
            }
        };
    }
    operation!(add, "addsd {a}, {b}");
    operation!(mul, "mulsd {a}, {b}");
    operation!(div, "divsd {a}, {b}");
    operation!(sqrt_of_second, "sqrtsd {a}, {b}");

    pub fn sqrt(a: f64, r: Rounding) -> f64 {
        sqrt_of_second(a, a, r)
    }

    pub fn fma(a: f64, b: f64, c: f64, r: Rounding) -> f64 {
        if std::is_x86_feature_detected!("fma") {
            with_fma_instruction(a, b, c, r)
        } else {
            with_c_library(a, b, c, r)
        }
    }

    /// Only on processors that have the instruction.
    pub(in crate::formats) fn with_fma_instruction(mut a: f64, b: f64, c: f64, r: Rounding) -> f64 {
        let (new, mut old) = (control(r), 0u32);
        // SAFETY: the control register is what it was when the block ends.
        unsafe {
            asm!(
                "stmxcsr [{old}]", "ldmxcsr [{new}]", "vfmadd213sd {a}, {b}, {c}", "ldmxcsr [{old}]",
                old = in(reg) &mut old, new = in(reg) &new,
                a = inout(xmm_reg) a, b = in(xmm_reg) b, c = in(xmm_reg) c);
        }
        a
    }

    /// The C library's fma rounds as the control register says, with or without the instruction.
    /// `f64::mul_add` promises only the default rounding.
    pub(in crate::formats) fn with_c_library(a: f64, b: f64, c: f64, r: Rounding) -> f64 {
        unsafe extern "C" {
            fn fma(a: f64, b: f64, c: f64) -> f64;
        }
        let (new, mut old) = (control(r), 0u32);
        // SAFETY: the control register is set back, and nothing but `fma` runs in between.
        unsafe {
            asm!("stmxcsr [{old}]", "ldmxcsr [{new}]", old = in(reg) &mut old, new = in(reg) &new);
            let v = fma(a, b, c);
            asm!("ldmxcsr [{old}]", old = in(reg) &old);
            v
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod aarch64 {
    use super::Rounding;
    use core::arch::asm;

    /// FPCR: no exceptions trapped, and the rounding mode in bits 22 and 23.
    fn control(r: Rounding) -> u64 {
        match r {
            Rounding::NearestEven | Rounding::NearestAway => 0,
            Rounding::Up => 1 << 22,
            Rounding::Down => 2 << 22,
            Rounding::TowardZero => 3 << 22,
        }
    }

    macro_rules! operation {
        ($name:ident($a:ident $(, $more:ident)*), $instruction:literal) => {
            pub fn $name(mut $a: f64, $($more: f64,)* r: Rounding) -> f64 {
                // SAFETY: the control register is what it was when the block ends.
                unsafe {
                    asm!(
                        "mrs {old}, fpcr", "msr fpcr, {new}", $instruction, "msr fpcr, {old}",
                        old = out(reg) _, new = in(reg) control(r),
                        a = inout(vreg) $a, $($more = in(vreg) $more,)*);
                }
                $a
            }
        };
    }
    operation!(add(a, b), "fadd {a:d}, {a:d}, {b:d}");
    operation!(mul(a, b), "fmul {a:d}, {a:d}, {b:d}");
    operation!(div(a, b), "fdiv {a:d}, {a:d}, {b:d}");
    operation!(sqrt(a), "fsqrt {a:d}, {a:d}");
    operation!(fma(a, b, c), "fmadd {a:d}, {a:d}, {b:d}, {c:d}");
}
