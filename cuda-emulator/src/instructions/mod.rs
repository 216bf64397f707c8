//! The instructions, by family. A family's file has its operations, how they are selected for a
//! statement of PTX (`select`) and what they do. To add an instruction is to add to one file, and to
//! [`select`] here if its name is new.
//!
//! What is computed from the registers of each lane alone is a function of [`Lanes`]; what touches
//! memory, other lanes or other warps is a method of [`Block`].
//!
//! [`Lanes`]: crate::machine::lanes::Lanes

pub mod async_copy;
pub mod atomics;
pub mod barriers;
pub mod bits;
pub mod compare;
pub mod control;
pub mod convert;
pub mod float;
pub mod integer;
pub mod memory;
pub mod moves;
mod printf;
pub mod warp;

use crate::checks::Fault;
use crate::machine::block::{At, Block, Outcome};
use crate::machine::warp::Group;
use crate::ptx::kernel::Instruction;
use crate::ptx::lower::{Lowering, Result};
use crate::ptx::syntax::Statement;
use crate::ptx::types::Type;

/// An operation.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    Control(control::Control),
    Move(moves::Move),
    Integer(integer::Integer),
    Bits(bits::Bits),
    Float(float::Float),
    Compare(compare::Compare),
    Convert(convert::Convert),
    Memory(memory::Memory),
    Atomic(atomics::Atomic),
    Warp(warp::WarpOp),
    Barrier(barriers::Barrier),
    AsyncCopy(async_copy::AsyncCopy),
}

/// Emits the code of a statement.
pub fn select(l: &mut Lowering, s: &Statement) -> Result<()> {
    let (ty, is_halves) = (s.ty(), s.has("u16x2") || s.has("s16x2"));
    match s.opcode.as_str() {
        "bra" | "brx" | "ret" | "exit" | "trap" | "brkpt" | "nanosleep" | "pmevent"
        | "prefetch" | "prefetchu" | "griddepcontrol" | "discard" | "applypriority"
        | "setmaxnreg" => control::select(l, s),
        "mov" if ty == Type::Pred || s.operands.first().is_some_and(|o| l.is_predicate(o)) => {
            compare::select(l, s)
        }
        "mov" | "cvta" | "isspacep" | "mapa" | "getctarank" | "activemask" | "createpolicy" => {
            moves::select(l, s)
        }
        "min" | "max" if is_halves => integer::select_halves(l, s),
        _ if is_halves => s.error("not supported for this type"),
        "add" | "sub" | "mul" | "mad" | "div" | "abs" | "neg" | "min" | "max" if ty.is_float() => {
            float::select(l, s)
        }
        "fma" | "sqrt" | "rcp" | "rsqrt" | "sin" | "cos" | "lg2" | "ex2" | "tanh" | "testp"
        | "copysign" => float::select(l, s),
        "add" | "sub" | "addc" | "subc" | "mul" | "mul24" | "mad" | "madc" | "sad" | "div"
        | "rem" | "abs" | "neg" | "min" | "max" | "dp4a" | "dp2a" => integer::select(l, s),
        "and" | "or" | "xor" | "not" if ty == Type::Pred => compare::select(l, s),
        "and" | "or" | "xor" | "not" | "cnot" | "lop3" | "shl" | "shr" | "shf" | "prmt" | "bfe"
        | "bfi" | "bmsk" | "szext" | "brev" | "clz" | "popc" | "fns" | "bfind" => {
            bits::select(l, s)
        }
        "setp" | "set" | "selp" | "slct" => compare::select(l, s),
        "cvt" => convert::select(l, s),
        "ld" | "ldu" | "st" => memory::select(l, s),
        "atom" | "red" => atomics::select(l, s),
        "shfl" | "vote" | "match" | "redux" | "elect" => warp::select(l, s),
        "bar" | "barrier" if s.has("warp") => warp::select(l, s),
        "bar" | "barrier" | "membar" | "fence" => barriers::select(l, s),
        "cp" => async_copy::select(l, s),
        _ => s.error("instruction not supported"),
    }
}

impl Block<'_> {
    /// Executes an instruction for the lanes in `active`, of which there is one at least. `group` is
    /// theirs and that of lanes whose guard is false.
    #[inline(never)]
    pub fn execute(
        &mut self,
        at: At,
        group: &mut Group,
        i: &Instruction,
        active: u32,
    ) -> std::result::Result<Outcome, Fault> {
        match i.op {
            Op::Integer(op) => op.execute(&mut self.lanes(at.warp(), active), i),
            Op::Bits(op) => op.execute(&mut self.lanes(at.warp(), active), i),
            Op::Float(op) => op.execute(&mut self.lanes(at.warp(), active), i),
            Op::Compare(op) => op.execute(&mut self.lanes(at.warp(), active), i),
            Op::Convert(op) => op.execute(&mut self.lanes(at.warp(), active), i),
            Op::Move(op) => return self.move_(op, at, i, active),
            Op::Memory(ref op) => return self.memory(op, at, i, active),
            Op::Atomic(ref op) => return self.atomic(op, at, i, active),
            Op::AsyncCopy(op) => return self.async_copy(op, at, i, active),
            Op::Warp(op) => return self.warp_op(op, at, group, i, active),
            Op::Barrier(op) => return self.barrier(op, at, group, i, active),
            Op::Control(op) => return self.control(op, at, group, i, active),
        }
        Ok(Outcome::Next)
    }
}
