//! Comparisons, selections and logic of predicates.

use super::Op;
use super::float::half_to_f64;
use crate::formats::{f32_of, f64_of, flush_subnormal};
use crate::machine::lanes::Lanes;
use crate::ptx::kernel::{Class, Instruction, NONE, Values};
use crate::ptx::lower::{Lowering, Result};
use crate::ptx::syntax::{Operand, Statement};
use crate::ptx::types::Type;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Compare {
    /// to predicates `d` and `e`, joined with predicate `c`
    Setp {
        comparison: Comparison,
        ty: Type,
        logic: Logic,
        ftz: bool,
    },
    /// to a register
    Set {
        comparison: Comparison,
        ty: Type,
        to: Type,
        logic: Logic,
        ftz: bool,
    },
    Selp,
    /// by the sign of an f32 or an s32
    Slct {
        by_float: bool,
    },
    And,
    Or,
    Xor,
    Not,
    /// of predicates
    Move,
    SetPredicate(bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    /// equal or unordered, and so on
    Equ,
    Neu,
    Ltu,
    Leu,
    Gtu,
    Geu,
    Num,
    Nan,
}

/// How a comparison is joined with a predicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logic {
    None,
    And,
    Or,
    Xor,
}

pub fn select(l: &mut Lowering, s: &Statement) -> Result<()> {
    let ty = s.ty();
    match s.opcode.as_str() {
        "and" | "or" | "xor" | "not" => {
            let op = match s.opcode.as_str() {
                "and" => Compare::And,
                "or" => Compare::Or,
                "xor" => Compare::Xor,
                _ => Compare::Not,
            };
            let a = l.predicate(s, 1)?;
            let b = if op == Compare::Not { NONE } else { l.predicate(s, 2)? };
            let d = l.predicate(s, 0)?;
            l.emit(Instruction { d, a, b, ..l.instruction(op, Class::PredicateSelect) });
        }
        "mov" => {
            let (a, d) = (l.predicate(s, 1)?, l.predicate(s, 0)?);
            l.emit(Instruction { d, a, ..l.instruction(Compare::Move, Class::PredicateSelect) });
        }
        "setp" | "set" => comparison(l, s)?,
        "selp" => {
            let (a, b, c) = (l.source(s, 1, ty)?, l.source(s, 2, ty)?, l.predicate(s, 3)?);
            let d = l.destination(s, 0)?.0;
            l.emit(Instruction {
                d,
                a,
                b,
                c,
                ..l.instruction(Compare::Selp, Class::PredicateSelect)
            });
        }
        "slct" => {
            let [value, by] = s.types()[..] else { return s.error("two types are needed") };
            let (a, b, c) = (l.source(s, 1, value)?, l.source(s, 2, value)?, l.source(s, 3, by)?);
            let d = l.destination(s, 0)?.0;
            let op = Compare::Slct { by_float: by == Type::F32 };
            l.emit(Instruction { d, a, b, c, ..l.instruction(op, Class::PredicateSelect) });
        }
        _ => return s.error("instruction not supported"),
    }
    Ok(())
}

fn comparison(l: &mut Lowering, s: &Statement) -> Result<()> {
    let ty = s.ty();
    let Some(comparison) = s.modifiers.iter().find_map(|m| Comparison::parse(m)) else {
        return s.error("how are they compared?");
    };
    if matches!(ty, Type::B128 | Type::Pred | Type::B8 | Type::U8 | Type::S8) {
        return s.error("not supported for this type");
    }
    let logics = [("and", Logic::And), ("or", Logic::Or), ("xor", Logic::Xor)];
    let logic = logics.iter().find(|(name, _)| s.has(name)).map_or(Logic::None, |(_, l)| *l);
    let (a, b, ftz) = (l.source(s, 1, ty)?, l.source(s, 2, ty)?, s.has("ftz"));
    let c = if logic == Logic::None { NONE } else { l.predicate(s, 3)? };
    let (op, d, e) = if s.opcode == "setp" {
        let (d, e) = match s.operand(0)? {
            Operand::Pair(d, e) => (l.predicate_operand(s, d)?, l.predicate_operand(s, e)?),
            d => (l.predicate_operand(s, d)?, NONE),
        };
        (Compare::Setp { comparison, ty, logic, ftz }, d, e)
    } else {
        let [to, _] = s.types()[..] else { return s.error("two types are needed") };
        let d = l.destination(s, 0)?.0;
        (Compare::Set { comparison, ty, to, logic, ftz }, d, NONE)
    };
    l.emit(Instruction { d, a, b, c, e, ..l.instruction(op, Class::PredicateSelect) });
    Ok(())
}

impl From<Compare> for Op {
    fn from(op: Compare) -> Op {
        Op::Compare(op)
    }
}

impl Compare {
    pub fn execute(self, lanes: &mut Lanes, i: &Instruction) {
        match self {
            Compare::Setp { comparison, ty, logic, ftz } => {
                let (a, b) = (lanes.source(i.a), lanes.source(i.b));
                let (first, second) = if ty.is_packed() {
                    (halves(comparison, ty, a, b, 0), halves(comparison, ty, a, b, 16))
                } else {
                    let p = compare(comparison, ty, ftz, a, b);
                    (p, !p)
                };
                let c = if logic == Logic::None { 0 } else { lanes.predicate(i.c) };
                lanes.write_predicate(i.d, logic.join(first, c));
                if i.e != NONE {
                    lanes.write_predicate(i.e, logic.join(second, c));
                }
            }
            Compare::Set { comparison, ty, to, logic, ftz } => {
                let (a, b) = (lanes.source(i.a), lanes.source(i.b));
                let at = |p: u32, q: usize, one: u64| if p >> q & 1 == 1 { one } else { 0 };
                let mut r = [0u64; 32];
                if ty.is_packed() {
                    let low = halves(comparison, ty, a, b, 0);
                    let high = halves(comparison, ty, a, b, 16);
                    let one = true_of(to) & 0xffff;
                    for q in 0..32 {
                        r[q] = at(low, q, one) | at(high, q, one) << 16;
                    }
                } else {
                    let mut p = compare(comparison, ty, ftz, a, b);
                    if logic != Logic::None {
                        p = logic.join(p, lanes.predicate(i.c));
                    }
                    let one = true_of(to);
                    for q in 0..32 {
                        r[q] = at(p, q, one);
                    }
                }
                lanes.write(i.d, r);
            }
            Compare::Selp => {
                let p = lanes.predicate(i.c);
                let (a, b) = (lanes.source(i.a), lanes.source(i.b));
                let mut r = [0u64; 32];
                for q in 0..32 {
                    r[q] = if p >> q & 1 == 1 { a[q] } else { b[q] };
                }
                lanes.write(i.d, r);
            }
            Compare::Slct { by_float: true } => {
                lanes.map3(i, |a, b, c| if f32_of(c) >= 0.0 { a } else { b })
            }
            Compare::Slct { by_float: false } => {
                lanes.map3(i, |a, b, c| if c as i32 >= 0 { a } else { b })
            }
            Compare::And => lanes.write_predicate(i.d, lanes.predicate(i.a) & lanes.predicate(i.b)),
            Compare::Or => lanes.write_predicate(i.d, lanes.predicate(i.a) | lanes.predicate(i.b)),
            Compare::Xor => lanes.write_predicate(i.d, lanes.predicate(i.a) ^ lanes.predicate(i.b)),
            Compare::Not => lanes.write_predicate(i.d, !lanes.predicate(i.a)),
            Compare::Move => lanes.write_predicate(i.d, lanes.predicate(i.a)),
            Compare::SetPredicate(v) => lanes.write_predicate(i.d, if v { !0 } else { 0 }),
        }
    }
}

/// What `set` writes where the comparison holds; of one half of a packed type.
fn true_of(to: Type) -> u64 {
    match to {
        Type::F32 => 1f32.to_bits() as u64,
        Type::F64 => 1f64.to_bits(),
        Type::F16 | Type::F16x2 => 0x3c00,
        Type::BF16 | Type::BF16x2 => 0x3f80,
        to => to.mask(),
    }
}

impl Logic {
    fn join(self, p: u32, c: u32) -> u32 {
        match self {
            Logic::And => p & c,
            Logic::Or => p | c,
            Logic::Xor => p ^ c,
            Logic::None => p,
        }
    }
}

impl Comparison {
    fn parse(name: &str) -> Option<Comparison> {
        Some(match name {
            "eq" => Comparison::Eq,
            "ne" => Comparison::Ne,
            // lo, ls, hi and hs have an unsigned type
            "lt" | "lo" => Comparison::Lt,
            "le" | "ls" => Comparison::Le,
            "gt" | "hi" => Comparison::Gt,
            "ge" | "hs" => Comparison::Ge,
            "equ" => Comparison::Equ,
            "neu" => Comparison::Neu,
            "ltu" => Comparison::Ltu,
            "leu" => Comparison::Leu,
            "gtu" => Comparison::Gtu,
            "geu" => Comparison::Geu,
            "num" => Comparison::Num,
            "nan" => Comparison::Nan,
            _ => return None,
        })
    }

    #[inline(always)]
    fn of_floats(self, a: f64, b: f64) -> bool {
        let unordered = a.is_nan() || b.is_nan();
        match self {
            Comparison::Eq => a == b,
            Comparison::Ne => a != b && !unordered,
            Comparison::Lt => a < b,
            Comparison::Le => a <= b,
            Comparison::Gt => a > b,
            Comparison::Ge => a >= b,
            Comparison::Equ => a == b || unordered,
            Comparison::Neu => a != b || unordered,
            Comparison::Ltu => a < b || unordered,
            Comparison::Leu => a <= b || unordered,
            Comparison::Gtu => a > b || unordered,
            Comparison::Geu => a >= b || unordered,
            Comparison::Num => !unordered,
            Comparison::Nan => unordered,
        }
    }
}

/// A bit for each lane where `f` holds.
#[inline(always)]
fn where_(a: &Values, b: &Values, f: impl Fn(u64, u64) -> bool) -> u32 {
    let mut p = 0;
    for q in 0..32 {
        p |= (f(a[q], b[q]) as u32) << q;
    }
    p
}

/// Compares numbers of 16 bits at a bit of the registers.
fn halves(comparison: Comparison, ty: Type, a: &Values, b: &Values, at: u32) -> u32 {
    let half = |v: u64| half_to_f64(ty.is_f16(), (v >> at) as u16);
    where_(a, b, |a, b| comparison.of_floats(half(a), half(b)))
}

fn compare(comparison: Comparison, ty: Type, ftz: bool, a: &Values, b: &Values) -> u32 {
    match ty {
        Type::F32 => {
            let flush = |v| if ftz { flush_subnormal(v) } else { v } as f64;
            where_(a, b, |a, b| comparison.of_floats(flush(f32_of(a)), flush(f32_of(b))))
        }
        Type::F64 => where_(a, b, |a, b| comparison.of_floats(f64_of(a), f64_of(b))),
        Type::F16 | Type::BF16 => halves(comparison, ty, a, b, 0),
        _ => {
            // the sign of the type becomes that of the register
            let unused = 64 - ty.bits();
            let signed = |v: u64| (v << unused) as i64;
            let unsigned = |v: u64| v << unused;
            match (comparison, ty.is_signed()) {
                (Comparison::Eq | Comparison::Equ, _) => {
                    where_(a, b, |a, b| unsigned(a) == unsigned(b))
                }
                (Comparison::Ne | Comparison::Neu, _) => {
                    where_(a, b, |a, b| unsigned(a) != unsigned(b))
                }
                (Comparison::Lt, true) => where_(a, b, |a, b| signed(a) < signed(b)),
                (Comparison::Le, true) => where_(a, b, |a, b| signed(a) <= signed(b)),
                (Comparison::Gt, true) => where_(a, b, |a, b| signed(a) > signed(b)),
                (Comparison::Ge, true) => where_(a, b, |a, b| signed(a) >= signed(b)),
                (Comparison::Lt, false) => where_(a, b, |a, b| unsigned(a) < unsigned(b)),
                (Comparison::Le, false) => where_(a, b, |a, b| unsigned(a) <= unsigned(b)),
                (Comparison::Gt, false) => where_(a, b, |a, b| unsigned(a) > unsigned(b)),
                (Comparison::Ge, false) => where_(a, b, |a, b| unsigned(a) >= unsigned(b)),
                _ => 0,
            }
        }
    }
}
