//! Types and state spaces of PTX.

/// A fundamental type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    B8,
    B16,
    B32,
    B64,
    B128,
    U8,
    U16,
    U32,
    U64,
    S8,
    S16,
    S32,
    S64,
    F16,
    F16x2,
    BF16,
    BF16x2,
    F32,
    F64,
    Pred,
}
use Type::*;

impl Type {
    pub fn parse(s: &str) -> Option<Type> {
        Some(match s {
            "b8" => B8,
            "b16" => B16,
            "b32" => B32,
            "b64" => B64,
            "b128" => B128,
            "u8" => U8,
            "u16" => U16,
            "u32" => U32,
            "u64" => U64,
            "s8" => S8,
            "s16" => S16,
            "s32" => S32,
            "s64" => S64,
            "f16" => F16,
            "f16x2" => F16x2,
            "bf16" => BF16,
            "bf16x2" => BF16x2,
            "f32" | "tf32" => F32,
            "f64" => F64,
            "pred" => Pred,
            _ => return None,
        })
    }

    pub fn bits(self) -> u32 {
        match self {
            B8 | U8 | S8 => 8,
            B16 | U16 | S16 | F16 | BF16 => 16,
            B32 | U32 | S32 | F32 | F16x2 | BF16x2 => 32,
            B64 | U64 | S64 | F64 => 64,
            B128 => 128,
            Pred => 1,
        }
    }

    pub fn is_signed(self) -> bool {
        matches!(self, S8 | S16 | S32 | S64)
    }

    pub fn is_float(self) -> bool {
        matches!(self, F16 | F16x2 | BF16 | BF16x2 | F32 | F64)
    }

    /// Two numbers of 16 bits in 32.
    pub fn is_packed(self) -> bool {
        matches!(self, F16x2 | BF16x2)
    }

    /// Formatted as IEEE half precision, alone or packed.
    pub fn is_f16(self) -> bool {
        matches!(self, F16 | F16x2)
    }

    /// The bits of a register that a value of this type uses.
    pub fn mask(self) -> u64 {
        low_bits(self.bits())
    }
}

/// A mask of the lowest `n` bits.
pub fn low_bits(n: u32) -> u64 {
    if n >= 64 { u64::MAX } else { (1u64 << n) - 1 }
}

/// The lowest `bits` of `v`, which are 1 to 64, as a signed number.
#[inline(always)]
pub fn sign_extend(v: u64, bits: u32) -> i64 {
    let unused = 64 - bits;
    ((v << unused) as i64) >> unused
}

/// Bytes of a variable's type, 0 of a predicate.
pub fn size_of(ty: &str) -> Option<u64> {
    Some(match ty {
        "b8" | "u8" | "s8" | "e4m3" | "e5m2" => 1,
        "b16" | "u16" | "s16" | "f16" | "bf16" | "e4m3x2" | "e5m2x2" => 2,
        "b32" | "u32" | "s32" | "f32" | "f16x2" | "bf16x2" | "tf32" | "u16x2" | "s16x2" => 4,
        "b64" | "u64" | "s64" | "f64" | "f32x2" => 8,
        "b128" => 16,
        "pred" => 0,
        _ => return None,
    })
}

/// A state space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    Generic,
    Global,
    Const,
    Shared,
    /// shared memory of any block of the cluster
    Cluster,
    Local,
    Param,
}

impl Space {
    /// Of a variable, from its directive.
    pub fn of_directive(name: &str) -> Space {
        match name {
            "const" => Space::Const,
            "shared" => Space::Shared,
            "local" => Space::Local,
            "param" => Space::Param,
            _ => Space::Global,
        }
    }

    /// Of an instruction, from its modifiers.
    pub fn of_modifiers(modifiers: &[String]) -> Space {
        let known = |s: &String| {
            Some(match s.as_str() {
                "global" => Space::Global,
                "const" => Space::Const,
                "local" => Space::Local,
                "param" | "param::entry" | "param::func" => Space::Param,
                "shared::cluster" => Space::Cluster,
                s if s.starts_with("shared") => Space::Shared,
                _ => return None,
            })
        };
        modifiers.iter().find_map(known).unwrap_or(Space::Generic)
    }

    pub fn is_shared(self) -> bool {
        matches!(self, Space::Shared | Space::Cluster)
    }
}
