//! Conversions between integers and floating-point formats.

use super::Op;
use super::float::{relu, rounding};
use crate::formats::*;
use crate::machine::lanes::Lanes;
use crate::ptx::kernel::{Class, Instruction};
use crate::ptx::lower::{Lowering, Result};
use crate::ptx::syntax::Statement;
use crate::ptx::types::{Type, low_bits, sign_extend};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Convert {
    One(Conversion),
    /// two f32 to a packed type
    Pack {
        to: Type,
        rounding: Rounding,
        relu: bool,
        satfinite: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conversion {
    to: Type,
    from: Type,
    rounding: Rounding,
    /// to an integer, whatever the format: `.rni` and its like
    to_integral: bool,
    ftz: bool,
    sat: bool,
    relu: bool,
    /// bits of the destination register
    width: u8,
}

pub fn select(l: &mut Lowering, s: &Statement) -> Result<()> {
    let is_narrow = |m: &String| m.starts_with('e') && m.contains('m');
    if s.modifiers.iter().any(is_narrow) || s.has("ue8m0x2") || s.has("rs") {
        return s.error("fp8/fp4 conversions not supported");
    }
    let [to, from] = s.types()[..] else { return s.error("two types are needed") };
    let (rounding, relu, satfinite) = (rounding(s), s.has("relu"), s.has("satfinite"));
    if to.is_packed() && s.operands.len() == 3 {
        let (a, b) = (l.source(s, 1, Type::F32)?, l.source(s, 2, Type::F32)?);
        let d = l.destination(s, 0)?.0;
        let pack = Convert::Pack { to, rounding, relu, satfinite };
        l.emit(Instruction { d, a, b, ..l.instruction(pack, Class::Convert) });
        return Ok(());
    }
    if s.has("tf32") {
        return s.error("tf32 not supported");
    }
    let unsupported = |t: Type| t.is_packed() || matches!(t, Type::B128 | Type::Pred);
    if unsupported(to) || unsupported(from) {
        return s.error("not supported for this type");
    }
    let to_integral = ["rni", "rzi", "rmi", "rpi"].iter().any(|m| s.has(m));
    let a = l.source(s, 1, from)?;
    let (d, width) = l.destination(s, 0)?;
    let conversion = Conversion {
        to,
        from,
        rounding,
        to_integral,
        ftz: s.has("ftz"),
        sat: s.has("sat") || satfinite,
        relu,
        width: width as u8,
    };
    l.emit(Instruction { d, a, ..l.instruction(Convert::One(conversion), Class::Convert) });
    Ok(())
}

impl From<Convert> for Op {
    fn from(op: Convert) -> Op {
        Op::Convert(op)
    }
}

impl Convert {
    pub fn execute(self, lanes: &mut Lanes, i: &Instruction) {
        match self {
            Convert::One(c) => c.execute(lanes, i),
            Convert::Pack { to, rounding, relu: clamps, satfinite } => {
                let format = if to.is_f16() { F16 } else { BF16 };
                let one = |bits: u64| -> u64 {
                    let v = f32_of(bits) as f64;
                    let r = format.encode(if clamps { relu(v) } else { v }, rounding);
                    let is_infinite = r & 0x7fff == format.infinity();
                    (if satfinite && is_infinite { r - 1 } else { r }) as u64
                };
                lanes.active2(i, |a, b| one(a) << 16 | one(b))
            }
        }
    }
}

impl Conversion {
    fn execute(self, lanes: &mut Lanes, i: &Instruction) {
        let m = low_bits(self.width as u32);
        let (to, from) = (self.to, self.from);
        if to.is_float() || from.is_float() {
            return lanes.active1(i, |a| self.of(a) & m);
        }
        let (from_bits, to_bits) = (from.bits(), to.bits());
        if self.sat {
            return lanes.active1(i, |a| self.saturated(integer(from, a)) & m);
        }
        let (from_signed, to_signed) = (from.is_signed(), to.is_signed());
        lanes.map1(i, |a| {
            let v = if from_signed {
                sign_extend(a, from_bits) as u64
            } else {
                a & low_bits(from_bits)
            };
            (if to_signed { sign_extend(v, to_bits) as u64 } else { v & low_bits(to_bits) }) & m
        })
    }

    /// Clamped to the range of the destination. A signed result is extended to the register.
    fn saturated(self, v: i128) -> u64 {
        let bits = self.to.bits();
        if self.to.is_signed() {
            let limit = 1i128 << (bits - 1);
            v.clamp(-limit, limit - 1) as i64 as u64
        } else {
            v.clamp(0, (1i128 << bits) - 1) as u64
        }
    }

    fn of(self, a: u64) -> u64 {
        let v = match self.from {
            Type::F16 => f16_to_f64(a as u16),
            Type::BF16 => bf16_to_f64(a as u16),
            Type::F32 if self.ftz => flush_subnormal(f32_of(a)) as f64,
            Type::F32 => f32_of(a) as f64,
            Type::F64 => f64_of(a),
            from => return self.of_integer(integer(from, a)),
        };
        if !self.to.is_float() {
            return self.to_integer(v);
        }
        if self.to == Type::F64 && self.from == Type::F64 && v.is_nan() && !self.sat {
            return a;
        }
        self.to_float(v)
    }

    fn to_integer(self, v: f64) -> u64 {
        if v.is_nan() {
            let bits = self.to.bits();
            let is_wide = self.from == Type::F64 || bits == 64;
            return if is_wide { 1 << (bits - 1) } else { 0 };
        }
        // clamps as `saturated` does: a cast to i128 does too
        self.saturated(round_to_integral(v, self.rounding) as i128)
    }

    fn to_float(self, mut v: f64) -> u64 {
        let mut rounding = self.rounding;
        if self.to_integral {
            let r = round_to_integral(v, rounding);
            v = if r == 0.0 { 0.0f64.copysign(v) } else { r };
            rounding = Rounding::NearestEven;
        }
        if self.sat {
            v = if v > 0.0 { v.min(1.0) } else { 0.0 };
        }
        if self.relu {
            v = relu(v);
        }
        match self.to {
            Type::F64 => v.to_bits(),
            Type::F32 => {
                let r = f32::from_bits(F32.encode(v, rounding));
                bits_of(if self.ftz { flush_subnormal(r) } else { r })
            }
            Type::F16 => F16.encode(v, rounding) as u64,
            _ => BF16.encode(v, rounding) as u64,
        }
    }

    fn of_integer(self, v: i128) -> u64 {
        let (is_negative, magnitude) = (v < 0, v.unsigned_abs());
        let signed = |f: f64| if is_negative { -f } else { f };
        let narrow = |f: f64| match self.to {
            Type::F64 => f.to_bits(),
            Type::F32 => F32.encode(f, self.rounding) as u64,
            Type::F16 => F16.encode(f, self.rounding) as u64,
            _ => BF16.encode(f, self.rounding) as u64,
        };
        if magnitude < 1 << 53 {
            return narrow(signed(magnitude as f64));
        }
        // up to 64 bits into 53
        let dropped = 128 - magnitude.leading_zeros() - 53;
        let kept = (magnitude >> dropped) as u64;
        let rest = magnitude & ((1u128 << dropped) - 1);
        let scale = 2f64.powi(dropped as i32);
        if self.to != Type::F64 {
            // to odd, then once more
            return narrow(signed((kept | (rest != 0) as u64) as f64 * scale));
        }
        let half = 1u128 << (dropped - 1);
        let up = match self.rounding {
            Rounding::NearestEven => rest > half || (rest == half && kept & 1 == 1),
            Rounding::NearestAway => rest >= half,
            Rounding::TowardZero => false,
            Rounding::Down => rest != 0 && is_negative,
            Rounding::Up => rest != 0 && !is_negative,
        };
        signed((kept + up as u64) as f64 * scale).to_bits()
    }
}

/// The integer that a register holds.
fn integer(ty: Type, a: u64) -> i128 {
    if ty.is_signed() { sign_extend(a, ty.bits()) as i128 } else { (a & ty.mask()) as i128 }
}
