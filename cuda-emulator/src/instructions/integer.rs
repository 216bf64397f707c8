//! Integer arithmetic.

use super::Op;
use crate::machine::lanes::Lanes;
use crate::ptx::kernel::{Class, Instruction, NONE};
use crate::ptx::lower::{Lowering, Result};
use crate::ptx::syntax::Statement;
use crate::ptx::types::{Type, low_bits, sign_extend};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Integer {
    Add(Type),
    Sub(Type),
    /// saturating, .s32
    AddSat,
    SubSat,
    MulLo(Type),
    MulHi(Type),
    MulWide(Type),
    MadLo(Type),
    MadHi(Type),
    MadWide(Type),
    Mul24 {
        signed: bool,
        hi: bool,
    },
    /// `add.cc`, `addc`
    AddCarry {
        ty: Type,
        carry_in: bool,
        carry_out: bool,
    },
    SubBorrow {
        ty: Type,
        carry_in: bool,
        carry_out: bool,
    },
    MadCarry {
        ty: Type,
        hi: bool,
        carry_in: bool,
        carry_out: bool,
    },
    Sad(Type),
    Div(Type),
    Rem(Type),
    Abs(Type),
    Neg(Type),
    Min(Type),
    Max(Type),
    /// of each half of 32 bits by itself
    MinHalves(Type),
    MaxHalves(Type),
    /// whether `a` and `b` are signed
    Dp4a {
        signed: [bool; 2],
    },
    Dp2a {
        signed: [bool; 2],
        hi: bool,
    },
}

pub fn select(l: &mut Lowering, s: &Statement) -> Result<()> {
    let ty = s.ty();
    if !matches!(ty.bits(), 16 | 32 | 64) || ty.is_float() {
        return s.error("not supported for this type");
    }
    let (carry_out, hi) = (s.has("cc"), s.has("hi"));
    let signed = || {
        let types = s.types();
        match types[..] {
            [a, b] => Ok([a.is_signed(), b.is_signed()]),
            _ => s.error("two types are needed"),
        }
    };
    let op = match s.opcode.as_str() {
        "add" if s.has("sat") => Integer::AddSat,
        "sub" if s.has("sat") => Integer::SubSat,
        "add" if carry_out => Integer::AddCarry { ty, carry_in: false, carry_out },
        "sub" if carry_out => Integer::SubBorrow { ty, carry_in: false, carry_out },
        "addc" => Integer::AddCarry { ty, carry_in: true, carry_out },
        "subc" => Integer::SubBorrow { ty, carry_in: true, carry_out },
        "add" => Integer::Add(ty),
        "sub" => Integer::Sub(ty),
        "mul" if s.has("wide") => Integer::MulWide(ty),
        "mul" if hi => Integer::MulHi(ty),
        "mul" => Integer::MulLo(ty),
        "mul24" => Integer::Mul24 { signed: ty.is_signed(), hi },
        "mad" if s.has("wide") => return mad_wide(l, s),
        "mad" if carry_out => Integer::MadCarry { ty, hi, carry_in: false, carry_out },
        "madc" => Integer::MadCarry { ty, hi, carry_in: true, carry_out },
        "mad" if s.has("sat") => return s.error("mad.sat not supported"),
        "mad" if hi => Integer::MadHi(ty),
        "mad" => Integer::MadLo(ty),
        "sad" => Integer::Sad(ty),
        "div" => Integer::Div(ty),
        "rem" => Integer::Rem(ty),
        "abs" => Integer::Abs(ty),
        "neg" => Integer::Neg(ty),
        "min" | "max" if s.has("relu") => return s.error("not supported"),
        "min" => Integer::Min(ty),
        "max" => Integer::Max(ty),
        "dp4a" => Integer::Dp4a { signed: signed()? },
        "dp2a" => Integer::Dp2a { signed: signed()?, hi },
        _ => return s.error("instruction not supported"),
    };
    match s.opcode.as_str() {
        "abs" | "neg" => l.emit_simple::<1>(s, op, Class::Integer),
        "mad" | "madc" | "sad" | "dp4a" | "dp2a" => l.emit_simple::<3>(s, op, Class::Integer),
        _ => l.emit_simple::<2>(s, op, Class::Integer),
    }
}

/// `min.u16x2` and its like, whose type is no fundamental one.
pub fn select_halves(l: &mut Lowering, s: &Statement) -> Result<()> {
    let half = if s.has("s16x2") { Type::S16 } else { Type::U16 };
    if s.has("relu") {
        return s.error("not supported");
    }
    let min = s.opcode == "min";
    let op = if min { Integer::MinHalves(half) } else { Integer::MaxHalves(half) };
    l.emit_simple::<2>(s, op, Class::Integer)
}

/// The addend is twice as wide as the factors.
fn mad_wide(l: &mut Lowering, s: &Statement) -> Result<()> {
    let ty = s.ty();
    let wide = if ty.bits() == 32 { Type::B64 } else { Type::B32 };
    let (a, b, c) = (l.source(s, 1, ty)?, l.source(s, 2, ty)?, l.source(s, 3, wide)?);
    let d = l.destination(s, 0)?.0;
    let mad = l.instruction(Integer::MadWide(ty), Class::Integer);
    l.emit(Instruction { d, a, b, c, ..mad });
    Ok(())
}

impl From<Integer> for Op {
    fn from(op: Integer) -> Op {
        Op::Integer(op)
    }
}

impl Integer {
    pub fn execute(self, lanes: &mut Lanes, i: &Instruction) {
        match self {
            Integer::Add(t) => {
                let m = t.mask();
                lanes.map2(i, |a, b| a.wrapping_add(b) & m)
            }
            Integer::Sub(t) => {
                let m = t.mask();
                lanes.map2(i, |a, b| a.wrapping_sub(b) & m)
            }
            Integer::AddSat => {
                lanes.map2(i, |a, b| (a as i32).saturating_add(b as i32) as u32 as u64)
            }
            Integer::SubSat => {
                lanes.map2(i, |a, b| (a as i32).saturating_sub(b as i32) as u32 as u64)
            }
            Integer::MulLo(t) if t.bits() == 64 => lanes.map2(i, |a, b| a.wrapping_mul(b)),
            Integer::MulLo(t) if t.bits() == 32 => {
                lanes.map2(i, |a, b| (a as u32).wrapping_mul(b as u32) as u64)
            }
            Integer::MulLo(_) => lanes.map2(i, |a, b| (a as u16).wrapping_mul(b as u16) as u64),
            Integer::MulHi(t) => {
                match t {
                    Type::S64 => {
                        lanes.map2(i, |a, b| ((a as i64 as i128 * b as i64 as i128) >> 64) as u64)
                    }
                    Type::U64 => lanes.map2(i, |a, b| ((a as u128 * b as u128) >> 64) as u64),
                    Type::S32 => lanes
                        .map2(i, |a, b| ((a as i32 as i64 * b as i32 as i64) >> 32) as u32 as u64),
                    Type::U32 => lanes.map2(i, |a, b| (a * b) >> 32),
                    Type::S16 => lanes
                        .map2(i, |a, b| ((a as i16 as i32 * b as i16 as i32) >> 16) as u16 as u64),
                    _ => lanes.map2(i, |a, b| (a * b) >> 16),
                }
            }
            Integer::MulWide(t) => match t {
                Type::S32 => {
                    lanes.map2(i, |a, b| (a as i32 as i64).wrapping_mul(b as i32 as i64) as u64)
                }
                Type::U32 => lanes.map2(i, |a, b| (a & 0xffff_ffff) * (b & 0xffff_ffff)),
                Type::S16 => {
                    lanes.map2(i, |a, b| (a as i16 as i32 * b as i16 as i32) as u32 as u64)
                }
                _ => lanes.map2(i, |a, b| (a & 0xffff) * (b & 0xffff)),
            },
            Integer::MadLo(t) => {
                let m = t.mask();
                if t.bits() == 32 {
                    lanes.map3(i, |a, b, c| {
                        (a as u32).wrapping_mul(b as u32).wrapping_add(c as u32) as u64
                    })
                } else {
                    lanes.map3(i, |a, b, c| a.wrapping_mul(b).wrapping_add(c) & m)
                }
            }
            Integer::MadHi(t) => match t {
                Type::S64 => lanes.map3(i, |a, b, c| {
                    (((a as i64 as i128 * b as i64 as i128) >> 64) as u64).wrapping_add(c)
                }),
                Type::U64 => lanes
                    .map3(i, |a, b, c| (((a as u128 * b as u128) >> 64) as u64).wrapping_add(c)),
                Type::S32 => lanes.map3(i, |a, b, c| {
                    (((a as i32 as i64 * b as i32 as i64) >> 32) as u32).wrapping_add(c as u32)
                        as u64
                }),
                Type::U32 => {
                    lanes.map3(i, |a, b, c| (((a * b) >> 32) as u32).wrapping_add(c as u32) as u64)
                }
                Type::S16 => lanes.map3(i, |a, b, c| {
                    (((a as i16 as i32 * b as i16 as i32) >> 16) as u16).wrapping_add(c as u16)
                        as u64
                }),
                _ => {
                    lanes.map3(i, |a, b, c| (((a * b) >> 16) as u16).wrapping_add(c as u16) as u64)
                }
            },
            Integer::MadWide(t) => match t {
                Type::S32 => lanes.map3(i, |a, b, c| {
                    ((a as i32 as i64).wrapping_mul(b as i32 as i64) as u64).wrapping_add(c)
                }),
                Type::U32 => {
                    lanes.map3(i, |a, b, c| ((a & 0xffff_ffff) * (b & 0xffff_ffff)).wrapping_add(c))
                }
                Type::S16 => lanes.map3(i, |a, b, c| {
                    ((a as i16 as i32 * b as i16 as i32) as u32).wrapping_add(c as u32) as u64
                }),
                _ => lanes.map3(i, |a, b, c| {
                    (((a & 0xffff) * (b & 0xffff)) as u32).wrapping_add(c as u32) as u64
                }),
            },
            Integer::Mul24 { signed, hi } => lanes.map2(i, |a, b| {
                let p = if signed {
                    (sign_extend(a & 0xff_ffff, 24).wrapping_mul(sign_extend(b & 0xff_ffff, 24)))
                        as u64
                } else {
                    (a & 0xff_ffff) * (b & 0xff_ffff)
                };
                (if hi { p >> 16 } else { p }) & 0xffff_ffff
            }),
            Integer::AddCarry { ty, carry_in, carry_out } => {
                with_carry(lanes, i, ty, carry_in, carry_out, |a, b, _, carry| a + b + carry)
            }
            // the carry is a borrow
            Integer::SubBorrow { ty, carry_in, carry_out } => {
                with_carry(lanes, i, ty, carry_in, carry_out, |a, b, _, carry| a - b - carry)
            }
            Integer::MadCarry { ty, hi, carry_in, carry_out } => {
                let (bits, signed) = (ty.bits(), ty.is_signed());
                let wide = move |v: i128| {
                    if signed { sign_extend(v as u64, bits) as i128 } else { v }
                };
                with_carry(lanes, i, ty, carry_in, carry_out, |a, b, c, carry| {
                    // 64 x 64 bits unsigned fill 128
                    let product = wide(a).wrapping_mul(wide(b)) as u128;
                    let part = if hi { product >> bits } else { product } as u64 & low_bits(bits);
                    part as i128 + c + carry
                })
            }
            Integer::Sad(t) => {
                let b_ = t.bits();
                if t.is_signed() {
                    lanes.map3(i, |a, b, c| {
                        c.wrapping_add(
                            sign_extend(a, b_).wrapping_sub(sign_extend(b, b_)).unsigned_abs(),
                        ) & low_bits(b_)
                    })
                } else {
                    lanes.map3(i, |a, b, c| c.wrapping_add(a.abs_diff(b)) & low_bits(b_))
                }
            }
            Integer::Div(t) => {
                let (m, bits) = (t.mask(), t.bits());
                lanes.active2(i, |a, b| {
                    // division by zero gives all ones on the hardware
                    if b == 0 {
                        m
                    } else if t.is_signed() {
                        sign_extend(a, bits).wrapping_div(sign_extend(b, bits)) as u64 & m
                    } else {
                        a / b
                    }
                })
            }
            Integer::Rem(t) => {
                let (m, bits) = (t.mask(), t.bits());
                lanes.active2(i, |a, b| {
                    if b == 0 {
                        a
                    } else if t.is_signed() {
                        sign_extend(a, bits).wrapping_rem(sign_extend(b, bits)) as u64 & m
                    } else {
                        a % b
                    }
                })
            }
            Integer::Abs(t) => {
                let b_ = t.bits();
                lanes.map1(i, |a| sign_extend(a, b_).wrapping_abs() as u64 & low_bits(b_))
            }
            Integer::Neg(t) => {
                let m = t.mask();
                lanes.map1(i, |a| a.wrapping_neg() & m)
            }
            Integer::MinHalves(half) | Integer::MaxHalves(half) => {
                let flip = if half.is_signed() { 0x8000 } else { 0 };
                let max = matches!(self, Integer::MaxHalves(_));
                lanes.map2(i, |a, b| {
                    let pick = |shift: u32| {
                        let (a, b) = (a >> shift & 0xffff, b >> shift & 0xffff);
                        let a_is_less = (a ^ flip) < (b ^ flip);
                        (if a_is_less == max { b } else { a }) << shift
                    };
                    pick(0) | pick(16)
                })
            }
            Integer::Min(t) => {
                let sh = 64 - t.bits();
                if t.is_signed() {
                    lanes
                        .map2(i, |a, b| if ((a << sh) as i64) < ((b << sh) as i64) { a } else { b })
                } else {
                    lanes.map2(i, |a, b| a.min(b))
                }
            }
            Integer::Max(t) => {
                let sh = 64 - t.bits();
                if t.is_signed() {
                    lanes
                        .map2(i, |a, b| if ((a << sh) as i64) > ((b << sh) as i64) { a } else { b })
                } else {
                    lanes.map2(i, |a, b| a.max(b))
                }
            }
            Integer::Dp4a { signed } => lanes.map3(i, |a, b, c| {
                let mut t = c as u32;
                for z in 0..4 {
                    let x = (a >> (z * 8)) as u8;
                    let y = (b >> (z * 8)) as u8;
                    let x = if signed[0] { x as i8 as i32 } else { x as i32 };
                    let y = if signed[1] { y as i8 as i32 } else { y as i32 };
                    t = t.wrapping_add((x * y) as u32);
                }
                t as u64
            }),
            Integer::Dp2a { signed, hi } => lanes.map3(i, |a, b, c| {
                let mut t = c as u32;
                for z in 0..2 {
                    let x = (a >> (z * 16)) as u16;
                    let y = (b >> (z * 8 + if hi { 16 } else { 0 })) as u8;
                    let x = if signed[0] { x as i16 as i32 } else { x as i32 };
                    let y = if signed[1] { y as i8 as i32 } else { y as i32 };
                    t = t.wrapping_add((x * y) as u32);
                }
                t as u64
            }),
        }
    }
}

/// An operation on 128 bits whose result is cut to `ty`; what is cut off is the carry.
fn with_carry(
    lanes: &mut Lanes,
    i: &Instruction,
    ty: Type,
    carry_in: bool,
    carry_out: bool,
    f: impl Fn(i128, i128, i128, i128) -> i128,
) {
    let (bits, before) = (ty.bits(), lanes.carry());
    let [a, b, c] = [i.a, i.b, i.c].map(|r| if r == NONE { [0; 32] } else { *lanes.source(r) });
    let (mut result, mut carries) = ([0u64; 32], 0u32);
    for q in 0..32 {
        let carry = if carry_in { before >> q & 1 } else { 0 };
        let exact = f(a[q] as i128, b[q] as i128, c[q] as i128, carry as i128);
        result[q] = exact as u64 & low_bits(bits);
        carries |= ((exact >> bits) as u32 & 1) << q;
    }
    lanes.write(i.d, result);
    if carry_out {
        lanes.set_carry(carries);
    }
}
