//! Which instruction set calls run on.

#[cfg(target_arch = "aarch64")]
use super::Neon;
#[cfg(target_arch = "x86_64")]
use super::{Avx2, Avx512, Vpopcntdq};
use crate::{Error, Result};
use std::sync::OnceLock;

/// The environment variable that forces an instruction set.
pub(crate) const VARIABLE: &str = "BIHALF_CPU_ISA";

/// The instruction sets that this build knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detected {
    /// None of them.
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512, Option<Vpopcntdq>),
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
}

/// Evaluates an expression with the token of a [`Detected`], or another one where there is none.
macro_rules! on_detected {
    ($detected:expr, $isa:ident => $work:expr, portable => $plain:expr) => {
        match $detected {
            $crate::cpu::simd::Detected::Portable => $plain,
            #[cfg(target_arch = "x86_64")]
            $crate::cpu::simd::Detected::Avx2($isa) => $work,
            #[cfg(target_arch = "x86_64")]
            $crate::cpu::simd::Detected::Avx512($isa, _) => $work,
            #[cfg(target_arch = "aarch64")]
            $crate::cpu::simd::Detected::Neon($isa) => $work,
        }
    };
}
pub(crate) use on_detected;

/// Names that the variable may have here.
const NAMES: &str = if cfg!(target_arch = "x86_64") {
    "portable, avx2, avx512 or avx512-vpopcntdq"
} else if cfg!(target_arch = "aarch64") {
    "portable or neon"
} else {
    "portable"
};

/// The instruction set that calls run on.
#[inline]
pub(crate) fn detected() -> Result<Detected> {
    static DETECTED: OnceLock<Result<Detected, String>> = OnceLock::new();
    let choose = || match std::env::var_os(VARIABLE) {
        None => Ok(best()),
        Some(name) => named(&name.to_string_lossy()),
    };
    match DETECTED.get_or_init(choose) {
        Ok(isa) => Ok(*isa),
        Err(value) => {
            Err(Error::InstructionSet { variable: VARIABLE, value: value.clone(), known: NAMES })
        }
    }
}

fn best() -> Detected {
    ["avx512-vpopcntdq", "avx512", "avx2", "neon"]
        .into_iter()
        .find_map(|name| named(name).ok())
        .unwrap_or(Detected::Portable)
}

/// The instruction set of that name; the name itself if it is unknown or the machine has it not.
fn named(name: &str) -> Result<Detected, String> {
    let detected = match name {
        "portable" => Some(Detected::Portable),
        #[cfg(target_arch = "x86_64")]
        "avx2" => Avx2::detect().map(Detected::Avx2),
        #[cfg(target_arch = "x86_64")]
        "avx512" => Avx512::detect().map(|isa| Detected::Avx512(isa, None)),
        #[cfg(target_arch = "x86_64")]
        "avx512-vpopcntdq" => {
            Vpopcntdq::detect().map(|counts| Detected::Avx512(counts.avx512(), Some(counts)))
        }
        #[cfg(target_arch = "aarch64")]
        "neon" => Neon::detect().map(Detected::Neon),
        _ => None,
    };
    detected.ok_or_else(|| name.to_owned())
}
