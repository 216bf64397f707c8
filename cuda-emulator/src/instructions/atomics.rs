//! Atomic operations on global and shared memory.

use super::Op;
use super::float::{Arithmetic, Modifiers};
use super::memory::{Access, access_size};
use crate::checks::{AccessKind, Fault, Kind};
use crate::counters::Traffic;
use crate::driver::error::CUDA_ERROR_INVALID_ADDRESS_SPACE;
use crate::formats::{bits_of, f32_of, f64_of, flush_subnormal};
use crate::machine::block::{At, Block, Outcome};
use crate::ptx::kernel::*;
use crate::ptx::lower::{Lowering, Result};
use crate::ptx::syntax::Statement;
use crate::ptx::types::{Space, Type, sign_extend};
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering::SeqCst};

/// On the value at address `a` with `b`, and of a compare-and-swap `c`; `d` gets the old value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Atomic {
    pub operation: AtomicOp,
    pub ty: Type,
    pub access: Access,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtomicOp {
    Add,
    Min,
    Max,
    And,
    Or,
    Xor,
    Exchange,
    CompareAndSwap,
    /// to a limit, then from 0 again
    Increment,
    Decrement,
}

impl AtomicOp {
    pub(super) fn of(s: &Statement) -> Option<AtomicOp> {
        s.modifiers.iter().find_map(|m| {
            Some(match m.as_str() {
                "add" => AtomicOp::Add,
                "min" => AtomicOp::Min,
                "max" => AtomicOp::Max,
                "and" => AtomicOp::And,
                "or" => AtomicOp::Or,
                "xor" => AtomicOp::Xor,
                "exch" => AtomicOp::Exchange,
                "cas" => AtomicOp::CompareAndSwap,
                "inc" => AtomicOp::Increment,
                "dec" => AtomicOp::Decrement,
                _ => return None,
            })
        })
    }
}

pub fn select(l: &mut Lowering, s: &Statement) -> Result<()> {
    let ty = s.ty();
    let unsupported = ["async", "v2", "v4", "v8"];
    if unsupported.iter().any(|m| s.has(m)) || !matches!(ty.bits(), 16 | 32 | 64) {
        return s.error("this atomic form is not supported");
    }
    let Some(operation) = AtomicOp::of(s) else { return s.error("unknown atomic operation") };
    let floats = matches!(operation, AtomicOp::Add | AtomicOp::Exchange | AtomicOp::CompareAndSwap);
    if ty.is_float() && !floats {
        return s.error("not supported for this type");
    }
    let orders = ["acquire", "release", "acq_rel"];
    l.kernel.orders_blocks |= orders.iter().any(|m| s.has(m));
    // `red` has no destination
    let (d, first) = if s.opcode == "red" { (NONE, 0) } else { (l.destination(s, 0)?.0, 1) };
    let (a, offset, implied) = l.address(s, first)?;
    let mut space = Space::of_modifiers(&s.modifiers);
    if space == Space::Generic {
        space = implied.unwrap_or(space);
    }
    if matches!(space, Space::Const | Space::Local | Space::Param) {
        return s.error("an atomic on memory that nobody shares");
    }
    let b = l.source(s, first + 1, ty)?;
    let is_cas = operation == AtomicOp::CompareAndSwap;
    let c = if is_cas { l.source(s, first + 2, ty)? } else { NONE };
    let access = Access { strong: true, ..Access::new(space, access_size(s)?, offset) };
    let class = if space.is_shared() { Class::AtomicShared } else { Class::AtomicGlobal };
    let op = Atomic { operation, ty, access };
    l.emit(Instruction { d, a, b, c, ..l.instruction(op, class) });
    Ok(())
}

impl From<Atomic> for Op {
    fn from(op: Atomic) -> Op {
        Op::Atomic(op)
    }
}

impl Block<'_> {
    #[inline(never)]
    pub(super) fn atomic(
        &mut self,
        op: &Atomic,
        at: At,
        i: &Instruction,
        active: u32,
    ) -> std::result::Result<Outcome, Fault> {
        let lanes = self.lanes(at.warp(), active);
        lanes.warp.strong_accesses += 1;
        let (base, b) = (*lanes.source(i.a), *lanes.source(i.b));
        let c = if i.c == NONE { [0; 32] } else { *lanes.source(i.c) };
        let n = op.access.bytes();
        let mut traffic = Traffic::default();
        // lanes are in no order
        let first = if self.launch.options.seed != 0 { (self.random() & 31) as usize } else { 0 };
        for z in 0..32 {
            let lane = (z + first) % 32;
            if active >> lane & 1 == 0 {
                continue;
            }
            let at = at.with_lane(lane);
            let a = base[lane].wrapping_add(op.access.offset as u64);
            let (space, a) = super::memory::resolve(op.access.space, a);
            let old = match space {
                Space::Shared | Space::Cluster => {
                    let a = self.untagged(a);
                    let p = self.shared_access(at, a, n, AccessKind::Atomic, None, !0)?;
                    traffic.shared(a, lane);
                    // SAFETY: the check found `n` bytes there, aligned. No other thread has them.
                    unsafe { op.on_shared(p, b[lane], c[lane]) }
                }
                Space::Local | Space::Param => {
                    let text = "atomic on local or parameter memory".into();
                    let code = CUDA_ERROR_INVALID_ADDRESS_SPACE;
                    return Err(self.fault(at, Kind::AtomicSpace, code, text));
                }
                _ => {
                    let (host, undefined) =
                        self.global_access(at, a, n, AccessKind::Atomic, None)?;
                    if undefined {
                        self.undefined_global_read(at, a, n);
                    }
                    traffic.global(a);
                    // SAFETY: the check found `n` bytes there, aligned.
                    unsafe { op.on_global(host, b[lane], c[lane]) }
                }
            };
            if i.d != NONE {
                self.warps[at.warp()].registers[i.d as usize][lane] = old;
            }
        }
        self.counters.count_atomics(&traffic, n);
        Ok(Outcome::Next)
    }
}

impl Atomic {
    /// # Safety
    /// `p` points to an aligned value of the access's size that no other thread uses.
    unsafe fn on_shared(self, p: *mut u8, b: u64, c: u64) -> u64 {
        let new = |old: u64| self.result(old, b, c, false);
        // SAFETY: the caller's
        unsafe {
            match self.access.size {
                2 => {
                    let (p, old) = (p as *mut u16, *(p as *const u16) as u64);
                    *p = new(old) as u16;
                    old
                }
                4 => {
                    let (p, old) = (p as *mut u32, *(p as *const u32) as u64);
                    *p = new(old) as u32;
                    old
                }
                _ => {
                    let (p, old) = (p as *mut u64, *(p as *const u64));
                    *p = new(old);
                    old
                }
            }
        }
    }

    /// # Safety
    /// There is an aligned value of the access's size at `host`.
    unsafe fn on_global(self, host: u64, b: u64, c: u64) -> u64 {
        let new = |old: u64| self.result(old, b, c, true);
        // SAFETY: the caller's
        unsafe {
            match self.access.size {
                2 => {
                    let value = &*(host as *const AtomicU16);
                    let update = value.fetch_update(SeqCst, SeqCst, |v| Some(new(v as u64) as u16));
                    update.unwrap_or_else(|v| v) as u64
                }
                4 => {
                    let value = &*(host as *const AtomicU32);
                    let update = value.fetch_update(SeqCst, SeqCst, |v| Some(new(v as u64) as u32));
                    update.unwrap_or_else(|v| v) as u64
                }
                _ => {
                    let value = &*(host as *const AtomicU64);
                    value.fetch_update(SeqCst, SeqCst, |v| Some(new(v))).unwrap_or_else(|v| v)
                }
            }
        }
    }

    fn result(self, old: u64, b: u64, c: u64, is_global: bool) -> u64 {
        let (ty, mask) = (self.ty, self.ty.mask());
        match self.operation {
            AtomicOp::Add => match ty {
                Type::F32 => {
                    // global memory's own adders flush
                    let flush = |v| if is_global { flush_subnormal(v) } else { v };
                    bits_of(flush(flush(f32_of(old)) + flush(f32_of(b))))
                }
                Type::F64 => (f64_of(old) + f64_of(b)).to_bits(),
                _ if ty.is_float() => Arithmetic::Add.of(&Modifiers::nearest(ty), old, b, 0),
                _ => old.wrapping_add(b) & mask,
            },
            AtomicOp::Min | AtomicOp::Max => {
                let less = if ty.is_signed() {
                    sign_extend(old, ty.bits()) < sign_extend(b, ty.bits())
                } else {
                    old < b
                };
                if less == (self.operation == AtomicOp::Min) { old } else { b }
            }
            AtomicOp::And => old & b,
            AtomicOp::Or => old | b,
            AtomicOp::Xor => old ^ b,
            AtomicOp::Exchange => b & mask,
            AtomicOp::CompareAndSwap => {
                if old == b & mask {
                    c & mask
                } else {
                    old
                }
            }
            AtomicOp::Increment => {
                if old >= b {
                    0
                } else {
                    old + 1
                }
            }
            AtomicOp::Decrement => {
                if old == 0 || old > b {
                    b
                } else {
                    old - 1
                }
            }
        }
    }
}
