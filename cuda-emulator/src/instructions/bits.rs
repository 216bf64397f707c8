//! Bits: logic, shifts, bit fields, counts.

use super::Op;
use crate::machine::lanes::Lanes;
use crate::ptx::kernel::{Class, Instruction};
use crate::ptx::lower::{Lowering, Result};
use crate::ptx::syntax::Statement;
use crate::ptx::types::{Type, low_bits, sign_extend};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bits {
    And,
    Or,
    Xor,
    Not(Type),
    Cnot,
    /// truth table
    Lop3(u8),
    Shl(Type),
    Shr(Type),
    /// `shf`
    FunnelShift {
        left: bool,
        clamp: bool,
    },
    Prmt(Prmt),
    Bfe(Type),
    Bfi(Type),
    Bmsk {
        clamp: bool,
    },
    Szext {
        signed: bool,
        clamp: bool,
    },
    Brev(Type),
    Clz(Type),
    Popc,
    Fns,
    Bfind {
        ty: Type,
        shift_amount: bool,
    },
}

/// How `prmt` chooses bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Prmt {
    /// by four bits for each byte of the result
    Selector,
    Forward4,
    Backward4,
    Replicate8,
    EdgeClampLeft,
    EdgeClampRight,
    Replicate16,
}

pub fn select(l: &mut Lowering, s: &Statement) -> Result<()> {
    let ty = s.ty();
    if !matches!(ty.bits(), 16 | 32 | 64) {
        return s.error("not supported for this type");
    }
    let clamp = s.has("clamp");
    let simple1 = |l: &mut Lowering, op| l.emit_simple::<1>(s, op, Class::Integer);
    let simple2 = |l: &mut Lowering, op| l.emit_simple::<2>(s, op, Class::Integer);
    let simple3 = |l: &mut Lowering, op| l.emit_simple::<3>(s, op, Class::Integer);
    match s.opcode.as_str() {
        "and" => simple2(l, Bits::And),
        "or" => simple2(l, Bits::Or),
        "xor" => simple2(l, Bits::Xor),
        "not" => simple1(l, Bits::Not(ty)),
        "cnot" => simple1(l, Bits::Cnot),
        "lop3" if s.has("or") || s.has("and") => s.error("lop3 with a predicate not supported"),
        "lop3" => {
            let table = s.integer(4)? as u8;
            simple3(l, Bits::Lop3(table))
        }
        "shl" => shift(l, s, Bits::Shl(ty)),
        "shr" => shift(l, s, Bits::Shr(ty)),
        "shf" => simple3(l, Bits::FunnelShift { left: s.has("l"), clamp }),
        "prmt" => simple3(l, Bits::Prmt(prmt(s))),
        "bfe" => simple3(l, Bits::Bfe(ty)),
        "bfi" => bfi(l, s),
        "bmsk" => simple2(l, Bits::Bmsk { clamp }),
        "szext" => simple2(l, Bits::Szext { signed: ty.is_signed(), clamp }),
        "brev" => simple1(l, Bits::Brev(ty)),
        "clz" => simple1(l, Bits::Clz(ty)),
        "popc" => simple1(l, Bits::Popc),
        "fns" => simple3(l, Bits::Fns),
        "bfind" => simple1(l, Bits::Bfind { ty, shift_amount: s.has("shiftamt") }),
        _ => s.error("instruction not supported"),
    }
}

/// The amount has 32 bits whatever the type.
fn shift(l: &mut Lowering, s: &Statement, op: Bits) -> Result<()> {
    let (a, b) = (l.source(s, 1, s.ty())?, l.source(s, 2, Type::U32)?);
    let d = l.destination(s, 0)?.0;
    l.emit(Instruction { d, a, b, ..l.instruction(op, Class::Integer) });
    Ok(())
}

fn bfi(l: &mut Lowering, s: &Statement) -> Result<()> {
    let ty = s.ty();
    let (a, b) = (l.source(s, 1, ty)?, l.source(s, 2, ty)?);
    let (c, e) = (l.source(s, 3, Type::U32)?, l.source(s, 4, Type::U32)?);
    let d = l.destination(s, 0)?.0;
    l.emit(Instruction { d, a, b, c, e, ..l.instruction(Bits::Bfi(ty), Class::Integer) });
    Ok(())
}

fn prmt(s: &Statement) -> Prmt {
    let named = [
        ("f4e", Prmt::Forward4),
        ("b4e", Prmt::Backward4),
        ("rc8", Prmt::Replicate8),
        ("ecl", Prmt::EdgeClampLeft),
        ("ecr", Prmt::EdgeClampRight),
        ("rc16", Prmt::Replicate16),
    ];
    named.iter().find(|(name, _)| s.has(name)).map_or(Prmt::Selector, |(_, mode)| *mode)
}

impl From<Bits> for Op {
    fn from(op: Bits) -> Op {
        Op::Bits(op)
    }
}

impl Bits {
    pub fn execute(self, lanes: &mut Lanes, i: &Instruction) {
        match self {
            Bits::And => lanes.map2(i, |a, b| a & b),
            Bits::Or => lanes.map2(i, |a, b| a | b),
            Bits::Xor => lanes.map2(i, |a, b| a ^ b),
            Bits::Not(t) => {
                let m = t.mask();
                lanes.map1(i, |a| !a & m)
            }
            Bits::Cnot => lanes.map1(i, |a| (a == 0) as u64),
            Bits::Lop3(t) => lanes.map3(i, |a, b, c| {
                let mut r = 0u64;
                for z in 0..8 {
                    if t >> z & 1 == 1 {
                        let x = if z & 4 != 0 { a } else { !a };
                        let y = if z & 2 != 0 { b } else { !b };
                        let v = if z & 1 != 0 { c } else { !c };
                        r |= x & y & v;
                    }
                }
                r & 0xffff_ffff
            }),
            Bits::Shl(t) => {
                let n = t.bits() as u64;
                let m = t.mask();
                lanes.map2(i, |a, b| if b >= n { 0 } else { (a << b) & m })
            }
            Bits::Shr(t) => {
                let n = t.bits() as u64;
                let m = t.mask();
                if t.is_signed() {
                    let sh = 64 - t.bits();
                    lanes.map2(i, |a, b| ((((a << sh) as i64) >> sh) >> b.min(n - 1)) as u64 & m)
                } else {
                    lanes.map2(i, |a, b| if b >= n { 0 } else { a >> b })
                }
            }
            Bits::FunnelShift { left, clamp } => lanes.map3(i, |a, b, c| {
                // a: low word, b: high word
                let n = if clamp { (c as u32).min(32) } else { c as u32 & 31 };
                let v = (b << 32) | (a & 0xffff_ffff);
                (if left { if n == 32 { a } else { (v << n) >> 32 } } else { v >> n }) & 0xffff_ffff
            }),
            Bits::Prmt(mode) => lanes.map3(i, |a, b, c| {
                let by = (b << 32) | (a & 0xffff_ffff);
                let get = |n: u64| (by >> (n * 8)) & 0xff;
                let mut r = 0u64;
                let s = c & 3;
                for z in 0..4u64 {
                    let v = match mode {
                        Prmt::Selector => {
                            let n = (c >> (z * 4)) & 15;
                            let x = get(n & 7);
                            if n & 8 != 0 { if x & 0x80 != 0 { 0xff } else { 0 } } else { x }
                        }
                        Prmt::Forward4 => get(s + z),
                        Prmt::Backward4 => get((s + 8 - z) & 7),
                        Prmt::Replicate8 => get(s),
                        Prmt::EdgeClampLeft => get(if z < s { s } else { z }),
                        Prmt::EdgeClampRight => get(if z > s { s } else { z }),
                        Prmt::Replicate16 => get((s & 1) * 2 + (z & 1)),
                    };
                    r |= v << (z * 8);
                }
                r
            }),
            Bits::Bfe(t) => {
                let bits = t.bits();
                lanes.map3(i, |a, b, c| {
                    let pos = (b & 0xff) as u32;
                    let len = (c & 0xff) as u32;
                    let msb = bits - 1;
                    if len == 0 {
                        return 0;
                    }
                    let sign = t.is_signed() && (a >> (pos + len - 1).min(msb)) & 1 == 1;
                    let mut r = if pos >= 64 { 0 } else { (a & low_bits(bits)) >> pos }
                        & low_bits(len.min(64));
                    if pos > msb {
                        r = 0;
                    }
                    if sign {
                        let have = if pos > msb { 0 } else { len.min(bits - pos) };
                        r |= if have >= 64 { 0 } else { u64::MAX << have };
                    }
                    r & low_bits(bits)
                })
            }
            Bits::Bfi(t) => {
                let bits = t.bits();
                let e = lanes.source(i.e);
                let (a, b, c) = (lanes.source(i.a), lanes.source(i.b), lanes.source(i.c));
                let mut r = [0u64; 32];
                for q in 0..32 {
                    let pos = (c[q] & 0xff) as u32;
                    let len = (e[q] & 0xff) as u32;
                    r[q] = if pos >= bits || len == 0 {
                        b[q]
                    } else {
                        let m = (low_bits(len.min(64)) << pos) & low_bits(bits);
                        (b[q] & !m) | ((a[q] << pos) & m)
                    };
                }
                lanes.write(i.d, r);
            }
            Bits::Bmsk { clamp } => lanes.map2(i, |a, b| {
                let (p, n) = if clamp {
                    ((a as u32).min(32), (b as u32).min(32))
                } else {
                    (a as u32 & 31, b as u32 & 31)
                };
                if p >= 32 { 0 } else { (low_bits(n) << p) & 0xffff_ffff }
            }),
            Bits::Szext { signed, clamp } => lanes.map2(i, |a, b| {
                let n = if clamp { (b as u32).min(32) } else { b as u32 & 31 };
                if n == 0 {
                    return 0;
                }
                let v = a & low_bits(n);
                (if signed { sign_extend(v, n) as u64 } else { v }) & 0xffff_ffff
            }),
            Bits::Brev(t) => {
                if t.bits() == 64 {
                    lanes.map1(i, |a| a.reverse_bits())
                } else {
                    lanes.map1(i, |a| (a as u32).reverse_bits() as u64)
                }
            }
            Bits::Clz(t) => {
                if t.bits() == 64 {
                    lanes.map1(i, |a| a.leading_zeros() as u64)
                } else {
                    lanes.map1(i, |a| (a as u32).leading_zeros() as u64)
                }
            }
            Bits::Popc => lanes.map1(i, |a| a.count_ones() as u64),
            Bits::Fns => lanes.map3(i, |m, base, off| {
                let off = off as i32;
                let mut pos = base as i32;
                if off == 0 {
                    return if (0..32).contains(&pos) && m >> pos & 1 == 1 {
                        base
                    } else {
                        0xffff_ffff
                    };
                }
                let mut count = off.unsigned_abs() - 1;
                while (0..32).contains(&pos) {
                    if m >> pos & 1 == 1 {
                        if count == 0 {
                            return pos as u64;
                        }
                        count -= 1;
                    }
                    pos += off.signum();
                }
                0xffff_ffff
            }),
            Bits::Bfind { ty, shift_amount } => lanes.map1(i, |a| {
                let bits = ty.bits();
                let mut v = a;
                if ty.is_signed() && sign_extend(a, bits) < 0 {
                    v = !a & low_bits(bits);
                }
                if v == 0 {
                    0xffff_ffff
                } else {
                    let p = 63 - v.leading_zeros();
                    (if shift_amount { bits - 1 - p } else { p }) as u64
                }
            }),
        }
    }
}
