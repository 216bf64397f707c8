//! Floating-point arithmetic in f32, f64, f16 and bf16, and the special functions.
//!
//! f32 and f64 under round-to-nearest are the processor's own. Everything else is computed exactly
//! enough in f64 and rounded once: see [`crate::formats`]. `approx` functions are as exact, which
//! those of a GPU are not.

use super::Op;
use crate::formats::odd::{add_to_odd, div_to_odd, fma_to_odd, sqrt_to_odd};
use crate::formats::*;
use crate::machine::lanes::Lanes;
use crate::ptx::kernel::{Class, Instruction};
use crate::ptx::lower::{Lowering, Result};
use crate::ptx::syntax::Statement;
use crate::ptx::types::Type;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Float {
    Arithmetic(Arithmetic, Modifiers),
    Abs(Modifiers),
    Neg(Modifiers),
    Function(Function, Modifiers),
    Testp(Property, Type),
    Copysign(Type),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    Add,
    Sub,
    Mul,
    Fma,
    Div,
    Sqrt,
    Min,
    Max,
}
use Arithmetic::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    Reciprocal,
    ReciprocalSqrt,
    Sin,
    Cos,
    Log2,
    Exp2,
    Tanh,
}

/// What `testp` asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Property {
    Finite,
    Infinite,
    Number,
    NotANumber,
    Normal,
    Subnormal,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Modifiers {
    pub ty: Type,
    pub rounding: Rounding,
    /// flush subnormal values to zero
    pub ftz: bool,
    /// clamp to [0, 1]
    pub sat: bool,
    /// clamp to [0, infinity]
    pub relu: bool,
    /// of min and max: the result is NaN if an operand is
    pub nan: bool,
}

impl Modifiers {
    pub fn nearest(ty: Type) -> Modifiers {
        let rounding = Rounding::NearestEven;
        Modifiers { ty, rounding, ftz: false, sat: false, relu: false, nan: false }
    }

    pub fn of(s: &Statement) -> Modifiers {
        Modifiers {
            ty: s.ty(),
            rounding: rounding(s),
            ftz: s.has("ftz"),
            sat: s.has("sat"),
            relu: s.has("relu"),
            nan: s.has("NaN"),
        }
    }

    fn is_plain(&self) -> bool {
        self.rounding == Rounding::NearestEven && !self.ftz && !self.sat && !self.relu
    }
}

/// Rounding to the format, or of `.rzi` and its like to an integer.
pub fn rounding(s: &Statement) -> Rounding {
    let named = [
        (["rz", "rzi"], Rounding::TowardZero),
        (["rm", "rmi"], Rounding::Down),
        (["rp", "rpi"], Rounding::Up),
        (["rna", "rna"], Rounding::NearestAway),
    ];
    let said = named.iter().find(|(names, _)| names.iter().any(|name| s.has(name)));
    said.map_or(Rounding::NearestEven, |(_, rounding)| *rounding)
}

pub fn select(l: &mut Lowering, s: &Statement) -> Result<()> {
    let m = Modifiers::of(s);
    if !m.ty.is_float() {
        return s.error("not supported for this type");
    }
    let class = match m.ty {
        Type::F64 => Class::Fp64,
        Type::F32 => Class::Fp32,
        _ => Class::Fp16,
    };
    let two = |l: &mut Lowering, op| l.emit_simple::<2>(s, Float::Arithmetic(op, m), class);
    let function =
        |l: &mut Lowering, f| l.emit_simple::<1>(s, Float::Function(f, m), Class::SpecialFunction);
    match s.opcode.as_str() {
        "add" => two(l, Add),
        "sub" => two(l, Sub),
        "mul" => two(l, Mul),
        "div" => two(l, Div),
        "mad" | "fma" => l.emit_simple::<3>(s, Float::Arithmetic(Fma, m), class),
        "min" | "max" if s.operands.len() > 3 || s.has("xorsign") || s.has("abs") => {
            s.error("three-input or xorsign min/max not supported")
        }
        "min" => two(l, Min),
        "max" => two(l, Max),
        "abs" => l.emit_simple::<1>(s, Float::Abs(m), class),
        "neg" => l.emit_simple::<1>(s, Float::Neg(m), class),
        "sqrt" => l.emit_simple::<1>(s, Float::Arithmetic(Sqrt, m), Class::SpecialFunction),
        "rcp" if s.has("approx") => function(l, Function::Reciprocal),
        "rcp" => reciprocal(l, s, m),
        "rsqrt" => function(l, Function::ReciprocalSqrt),
        "sin" => function(l, Function::Sin),
        "cos" => function(l, Function::Cos),
        "lg2" => function(l, Function::Log2),
        "ex2" => function(l, Function::Exp2),
        "tanh" => function(l, Function::Tanh),
        "testp" => testp(l, s),
        "copysign" => l.emit_simple::<2>(s, Float::Copysign(m.ty), class),
        _ => s.error("instruction not supported"),
    }
}

/// One divided by the source, which rounds as is said.
fn reciprocal(l: &mut Lowering, s: &Statement, m: Modifiers) -> Result<()> {
    let one = if m.ty == Type::F64 { 1f64.to_bits() } else { 1f32.to_bits() as u64 };
    let (a, b) = (l.constant(one), l.source(s, 1, m.ty)?);
    let d = l.destination(s, 0)?.0;
    let divide = l.instruction(Float::Arithmetic(Div, m), Class::SpecialFunction);
    l.emit(Instruction { d, a, b, ..divide });
    Ok(())
}

fn testp(l: &mut Lowering, s: &Statement) -> Result<()> {
    let named = [
        ("finite", Property::Finite),
        ("infinite", Property::Infinite),
        ("number", Property::Number),
        ("notanumber", Property::NotANumber),
        ("normal", Property::Normal),
        ("subnormal", Property::Subnormal),
    ];
    let Some((_, property)) = named.iter().find(|(name, _)| s.has(name)) else {
        return s.error("what is tested?");
    };
    let a = l.source(s, 1, s.ty())?;
    let d = l.predicate(s, 0)?;
    let test = l.instruction(Float::Testp(*property, s.ty()), Class::PredicateSelect);
    l.emit(Instruction { d, a, ..test });
    Ok(())
}

impl From<Float> for Op {
    fn from(op: Float) -> Op {
        Op::Float(op)
    }
}

impl Float {
    pub fn execute(self, lanes: &mut Lanes, i: &Instruction) {
        match self {
            Float::Arithmetic(op, m) => op.execute(&m, lanes, i),
            Float::Abs(m) | Float::Neg(m) => {
                let negates = matches!(self, Float::Neg(_));
                let sign = sign_bits(m.ty);
                let ftz = m.ftz && m.ty == Type::F32;
                lanes.map1(i, |a| {
                    let a = if ftz { flush_subnormal(f32_of(a)).to_bits() as u64 } else { a };
                    if negates { a ^ sign } else { a & !sign }
                })
            }
            Float::Function(f, m) => lanes.active1(i, |a| f.of(&m, a)),
            Float::Testp(property, ty) => {
                let a = lanes.source(i.a);
                let has = |q: usize| match ty {
                    Type::F64 => property.is_of(f64_of(a[q]).classify()),
                    _ => property.is_of(f32_of(a[q]).classify()),
                };
                let p = (0..32).fold(0, |p, q| p | (has(q) as u32) << q);
                lanes.write_predicate(i.d, p);
            }
            Float::Copysign(ty) => {
                // the sign of a, the value of b
                let sign = sign_bits(ty);
                lanes.map2(i, |a, b| (b & !sign) | (a & sign))
            }
        }
    }
}

fn sign_bits(ty: Type) -> u64 {
    match ty {
        Type::F64 => 1 << 63,
        Type::F32 => 1 << 31,
        Type::F16x2 | Type::BF16x2 => 0x8000_8000,
        _ => 0x8000,
    }
}

impl Property {
    fn is_of(self, class: std::num::FpCategory) -> bool {
        use std::num::FpCategory as Is;
        match self {
            Property::Finite => !matches!(class, Is::Nan | Is::Infinite),
            Property::Infinite => class == Is::Infinite,
            Property::Number => class != Is::Nan,
            Property::NotANumber => class == Is::Nan,
            Property::Normal => matches!(class, Is::Normal | Is::Zero),
            Property::Subnormal => class == Is::Subnormal,
        }
    }
}

impl Arithmetic {
    fn execute(self, m: &Modifiers, lanes: &mut Lanes, i: &Instruction) {
        if m.is_plain() && m.ty == Type::F32 {
            match self {
                Add => return lanes.map2(i, |a, b| bits_of(f32_of(a) + f32_of(b))),
                Sub => return lanes.map2(i, |a, b| bits_of(f32_of(a) - f32_of(b))),
                Mul => return lanes.map2(i, |a, b| bits_of(f32_of(a) * f32_of(b))),
                Fma => {
                    let fma = |a, b, c| bits_of(f32_of(a).mul_add(f32_of(b), f32_of(c)));
                    return lanes.map3(i, fma);
                }
                _ => {}
            }
        }
        if m.is_plain() && m.ty == Type::F64 {
            match self {
                Add => return lanes.map2(i, |a, b| (f64_of(a) + f64_of(b)).to_bits()),
                Sub => return lanes.map2(i, |a, b| (f64_of(a) - f64_of(b)).to_bits()),
                Mul => return lanes.map2(i, |a, b| (f64_of(a) * f64_of(b)).to_bits()),
                Fma => {
                    let fma = |a, b, c| f64_of(a).mul_add(f64_of(b), f64_of(c)).to_bits();
                    return lanes.map3(i, fma);
                }
                _ => {}
            }
        }
        match self {
            Sqrt => lanes.active1(i, |a| self.of(m, a, 0, 0)),
            Fma => lanes.active3(i, |a, b, c| self.of(m, a, b, c)),
            _ => lanes.active2(i, |a, b| self.of(m, a, b, 0)),
        }
    }

    /// The result for registers that hold operands of the type.
    pub fn of(self, m: &Modifiers, a: u64, b: u64, c: u64) -> u64 {
        match m.ty {
            Type::F32 => bits_of(self.of_f32(m, f32_of(a), f32_of(b), f32_of(c))),
            Type::F64 => self.of_f64(m, f64_of(a), f64_of(b), f64_of(c)).to_bits(),
            Type::F16 | Type::BF16 => self.of_half(m, a as u16, b as u16, c as u16) as u64,
            _ => {
                let low = self.of_half(m, a as u16, b as u16, c as u16) as u64;
                let [a, b, c] = [a, b, c].map(|v| (v >> 16) as u16);
                low | (self.of_half(m, a, b, c) as u64) << 16
            }
        }
    }

    fn of_f32(self, m: &Modifiers, a: f32, b: f32, c: f32) -> f32 {
        let [a, b, c] = [a, b, c].map(|v| if m.ftz { flush_subnormal(v) } else { v });
        let mut r = match self {
            Min => min_or_max::<false>(a as f64, b as f64, m.nan) as f32,
            Max => min_or_max::<true>(a as f64, b as f64, m.nan) as f32,
            _ if m.rounding != Rounding::NearestEven => self.directed_f32(m.rounding, a, b, c),
            Add => a + b,
            Sub => a - b,
            Mul => a * b,
            Fma => a.mul_add(b, c),
            Div => a / b,
            Sqrt => a.sqrt(),
        };
        if m.sat {
            // -0 becomes 0
            r = if r > 0.0 { r.min(1.0) } else { 0.0 };
        }
        if m.ftz { flush_subnormal(r) } else { r }
    }

    fn directed_f32(self, rounding: Rounding, a: f32, b: f32, c: f32) -> f32 {
        let (a, b, c) = (a as f64, b as f64, c as f64);
        let v = self.to_odd(a, b, c);
        // an exact zero sum is -0 when rounding down
        if v == 0.0 && rounding == Rounding::Down {
            let terms = match self {
                Add => Some((a, b)),
                Sub => Some((a, -b)),
                Fma => Some((a * b, c)),
                _ => None,
            };
            if let Some((x, y)) = terms {
                let positive = |v: f64| v == 0.0 && v.is_sign_positive();
                return if positive(x) && positive(y) { 0.0 } else { -0.0 };
            }
        }
        f32::from_bits(F32.encode(v, rounding))
    }

    /// Of operands of at most 24 bits: the f64 that a narrower format may round once more.
    fn to_odd(self, a: f64, b: f64, c: f64) -> f64 {
        match self {
            Add => add_to_odd(a, b),
            Sub => add_to_odd(a, -b),
            Mul => a * b,
            Fma => fma_to_odd(a, b, c),
            Div => div_to_odd(a, b),
            Sqrt => sqrt_to_odd(a),
            Min | Max => a,
        }
    }

    fn of_f64(self, m: &Modifiers, a: f64, b: f64, c: f64) -> f64 {
        let r = m.rounding;
        match self {
            Min => min_or_max::<false>(a, b, m.nan),
            Max => min_or_max::<true>(a, b, m.nan),
            Add if r == Rounding::NearestEven => a + b,
            Sub if r == Rounding::NearestEven => a - b,
            Mul if r == Rounding::NearestEven => a * b,
            Fma if r == Rounding::NearestEven => a.mul_add(b, c),
            Div if r == Rounding::NearestEven => a / b,
            Sqrt if r == Rounding::NearestEven => a.sqrt(),
            Add => directed::add(a, b, r),
            Sub => directed::add(a, -b, r),
            Mul => directed::mul(a, b, r),
            Fma => directed::fma(a, b, c, r),
            Div => directed::div(a, b, r),
            Sqrt => directed::sqrt(a, r),
        }
    }

    /// In f16 or bf16.
    fn of_half(self, m: &Modifiers, a: u16, b: u16, c: u16) -> u16 {
        let is_f16 = m.ty.is_f16();
        let flushes = m.ftz && is_f16;
        let [a, b, c] = [a, b, c].map(|bits| {
            let v = half_to_f64(is_f16, bits);
            let is_subnormal = v != 0.0 && v.abs() < 2f64.powi(-14);
            if flushes && is_subnormal { 0.0f64.copysign(v) } else { v }
        });
        let mut v = match self {
            Min => min_or_max::<false>(a, b, m.nan),
            Max => min_or_max::<true>(a, b, m.nan),
            _ => self.to_odd(a, b, c),
        };
        if m.sat {
            // -0 becomes 0
            v = if v > 0.0 { v.min(1.0) } else { 0.0 };
        }
        if m.relu {
            v = relu(v);
        }
        let format = if is_f16 { F16 } else { BF16 };
        let r = format.encode(v, Rounding::NearestEven) as u16;
        if flushes && r & 0x7c00 == 0 { r & 0x8000 } else { r }
    }
}

fn flush_subnormal_f64(v: f64) -> f64 {
    if v.is_subnormal() { 0.0f64.copysign(v) } else { v }
}

/// Negative values and -0 become 0.
pub fn relu(v: f64) -> f64 {
    if v > 0.0 || v.is_nan() { v } else { 0.0 }
}

pub fn half_to_f64(is_f16: bool, bits: u16) -> f64 {
    if is_f16 { f16_to_f64(bits) } else { bf16_to_f64(bits) }
}

impl Function {
    fn of(self, m: &Modifiers, a: u64) -> u64 {
        let half = |bits: u16| {
            let v = self.of_f64(half_to_f64(m.ty.is_f16(), bits));
            (if m.ty.is_f16() { f64_to_f16(v) } else { f64_to_bf16(v) }) as u64
        };
        match m.ty {
            Type::F64 if m.ftz => self.of_upper_half(a),
            Type::F64 => match self {
                Function::Reciprocal | Function::ReciprocalSqrt => self.of_f64(f64_of(a)).to_bits(),
                // PTX has no others
                _ => f64::NAN.to_bits(),
            },
            Type::F32 => {
                let flush = |v| if m.ftz { flush_subnormal(v) } else { v };
                bits_of(flush(self.of_f64(flush(f32_of(a)) as f64) as f32))
            }
            Type::F16 | Type::BF16 => half(a as u16),
            _ => half(a as u16) | half((a >> 16) as u16) << 16,
        }
    }

    /// `rcp.approx.ftz.f64` and `rsqrt.approx.ftz.f64`: the lower halves of operand and result are
    /// zeros. Rounds to the nearest value that has such a half, to an even one of two, where a GPU
    /// has a table of its own. A NaN with nothing above bit 31 of its mantissa counts as an infinity,
    /// as its lower half is not looked at.
    fn of_upper_half(self, a: u64) -> u64 {
        const HALF: u64 = 1 << 31;
        let r = self.of_f64(flush_subnormal_f64(f64_of(a >> 32 << 32)));
        if r.is_nan() {
            return r.to_bits() >> 32 << 32;
        }
        let bits = flush_subnormal_f64(r).to_bits();
        // an infinity and a zero stay what they are
        let odd = bits >> 32 & 1;
        (bits + HALF - 1 + odd) >> 32 << 32
    }

    fn of_f64(self, x: f64) -> f64 {
        match self {
            Function::Reciprocal => 1.0 / x,
            Function::ReciprocalSqrt => 1.0 / x.sqrt(),
            Function::Sin => x.sin(),
            Function::Cos => x.cos(),
            Function::Log2 => x.log2(),
            Function::Exp2 => x.exp2(),
            Function::Tanh => x.tanh(),
        }
    }
}
