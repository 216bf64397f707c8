//! Nothing depends on memory that was never written.
//!
//! A load of such bytes is a warning; compilers copy padding. What counts is a branch, an address or
//! an atomic operation that depends on them. So each lane of a register and of a predicate has a bit
//! that says that its value came from there, and instructions carry it on. The bits are followed from
//! the first such load of a warp on.

use super::bounds::Seen;
use super::{AccessKind, Kind};
use crate::instructions::Op;
use crate::instructions::async_copy::AsyncCopy;
use crate::instructions::atomics::Atomic;
use crate::instructions::bits::Bits;
use crate::instructions::compare::{Compare, Logic};
use crate::instructions::control::Control;
use crate::instructions::float::Float;
use crate::instructions::moves::Move;
use crate::instructions::warp::{Vote, WarpOp};
use crate::machine::block::{At, Block};
use crate::machine::lanes::lanes_of;
use crate::machine::memory::state;
use crate::machine::warp::Warp;
use crate::options::Undefined;
use crate::ptx::kernel::*;
use crate::ptx::types::{Space, low_bits};

/// A mask of all lanes, if one is in it.
fn spread(lanes: u32) -> u32 {
    if lanes != 0 { !0 } else { 0 }
}

impl Warp {
    /// Lanes of a register whose value came from memory that was never written.
    #[inline(always)]
    pub fn undefined_lanes(&self, r: Register) -> u32 {
        // NONE has the bit of a constant
        if r & CONSTANT != 0 { 0 } else { self.undefined[r as usize] }
    }

    fn undefined_predicate(&self, p: Predicate) -> u32 {
        self.undefined_predicates[(p & !NEGATED) as usize]
    }

    pub fn set_undefined(&mut self, d: Register, active: u32, lanes: u32) {
        let undefined = &mut self.undefined[d as usize];
        *undefined = (*undefined & !active) | (lanes & active);
    }

    fn set_undefined_predicate(&mut self, d: Predicate, active: u32, lanes: u32) {
        let undefined = &mut self.undefined_predicates[(d & !NEGATED) as usize];
        *undefined = (*undefined & !active) | (lanes & active);
    }

    /// A lane loaded `count` elements; `bytes` has a bit for each byte that was never written.
    pub fn loaded_undefined(
        &mut self,
        at: At,
        registers: &[Register; 4],
        size: usize,
        count: usize,
        bytes: u32,
    ) {
        if bytes != 0 {
            self.has_undefined = true;
            self.undefined_from = at.pc;
        }
        for (n, &register) in registers.iter().enumerate().take(count) {
            let is_undefined = (bytes >> (n * size)) & low_bits(size as u32) as u32 != 0;
            self.set_undefined(register, 1 << at.lane(), (is_undefined as u32) << at.lane());
        }
    }
}

impl Block<'_> {
    /// Carries the bits from sources to destinations, before the instruction runs. `mask` are the
    /// lanes that are there, `active` those whose guard holds.
    #[cold]
    #[inline(never)]
    pub(crate) fn follow_undefined(&mut self, at: At, i: &Instruction, mask: u32, active: u32) {
        let kernel = self.launch.kernel;
        let w = &mut self.warps[at.warp()];
        let mut use_ = None;
        if i.guard != NONE {
            let lanes = w.undefined_predicate(i.guard) & mask;
            let is_branch = matches!(i.op, Op::Control(Control::Branch(_)));
            let what = if is_branch { "a branch" } else { "whether an instruction runs" };
            use_ = (lanes != 0).then_some((what, lanes));
        }
        if let Some((what, register)) = undefined_matters(w, i) {
            let lanes = register & active;
            if lanes != 0 {
                use_ = Some((what, lanes));
            }
        }
        carry(w, kernel, i, active);
        if let Some((what, lanes)) = use_ {
            self.undefined_use(at.with_lane(lanes.trailing_zeros() as usize), what);
        }
    }

    fn undefined_use(&self, at: At, what: &str) {
        if self.launch.options.undefined == Undefined::Ignored {
            return;
        }
        self.report(Kind::UndefinedUse, true, [at.pc, 0], || {
            let from = self.launch.kernel.place(self.warps[at.warp()].undefined_from);
            format!(
                "{what} depends on memory never written, {}; such memory was read at {from}",
                self.by(at)
            )
        });
    }

    /// Stored registers that hold such a value leave such memory.
    pub(crate) fn stored_undefined(
        &mut self,
        at: At,
        space: Space,
        a: u64,
        registers: &[Register; 4],
        size: usize,
        count: usize,
    ) {
        for (n, &register) in registers.iter().enumerate().take(count) {
            if self.warps[at.warp()].undefined_lanes(register) >> at.lane() & 1 == 0 {
                continue;
            }
            let offset = (n * size) as u64;
            match space {
                Space::Shared | Space::Cluster => {
                    let a = self.untagged(a) + offset;
                    for s in self.shared_states(a, size) {
                        *s &= !state::SHARED_WRITTEN;
                    }
                }
                Space::Global | Space::Generic => self.launch.view.forget(a + offset, size as u64),
                _ => {}
            }
        }
    }

    pub(crate) fn undefined_global_bytes(&self, a: u64, bytes: u32) -> u32 {
        self.launch.view.undefined_bytes(a, bytes)
    }

    #[cold]
    pub(crate) fn undefined_global_read(&self, at: At, a: u64, bytes: u32) {
        let undefined = self.launch.options.undefined;
        if undefined == Undefined::Ignored {
            return;
        }
        let is_error = undefined == Undefined::Load;
        self.report(Kind::UndefinedGlobal, is_error, [at.pc, 0], || {
            let place = self.launch.memory.describe(a);
            format!("read of {bytes} bytes never written at {a:#x}, {place}, {}", self.by(at))
        });
    }

    /// Findings about shared memory of block `owner` that was never written or waits for a cp.async.
    #[cold]
    pub(super) fn shared_state_findings(
        &self,
        at: At,
        offset: usize,
        bytes: u32,
        kind: AccessKind,
        seen: Seen,
        owner: [u32; 3],
    ) {
        let whose = if owner == self.index {
            String::new()
        } else {
            format!(" in the memory of block {owner:?}")
        };
        if seen.in_flight {
            self.report(Kind::CopyInFlight, true, [at.pc, 0], || {
                format!(
                    "shared offset {offset}{whose} touched while a cp.async to it is in flight, {}",
                    self.by(at)
                )
            });
        }
        let undefined = self.launch.options.undefined;
        if seen.undefined && kind.reads() && undefined != Undefined::Ignored {
            let is_error = undefined == Undefined::Load || kind == AccessKind::Atomic;
            self.report(Kind::UndefinedShared, is_error, [at.pc, 0], || {
                format!(
                    "shared read of {bytes} bytes never written at offset {offset}{whose}, {}",
                    self.by(at)
                )
            });
        }
    }
}

/// Lanes whose undefined sources decide over more than a value, and over what.
fn undefined_matters(w: &Warp, i: &Instruction) -> Option<(&'static str, u32)> {
    let address = ("an address", w.undefined_lanes(i.a));
    match i.op {
        Op::Control(Control::BranchTable(_)) => Some(("a branch", w.undefined_lanes(i.a))),
        Op::Memory(_) => Some(address),
        Op::AsyncCopy(AsyncCopy::Copy { .. }) => {
            Some((address.0, address.1 | w.undefined_lanes(i.b)))
        }
        Op::Atomic(_) => match w.undefined_lanes(i.b) | w.undefined_lanes(i.c) {
            0 => Some(address),
            operands => Some(("an atomic's operand", operands)),
        },
        _ => None,
    }
}

/// The bits of the destinations, from those of the sources.
fn carry(w: &mut Warp, kernel: &Kernel, i: &Instruction, active: u32) {
    let of_sources =
        |w: &Warp| [i.a, i.b, i.c].iter().fold(0, |lanes, &r| lanes | w.undefined_lanes(r));
    match i.op {
        // what they load is known when they have; shuffles do it themselves
        Op::Memory(_) | Op::Warp(WarpOp::Shuffle(_) | WarpOp::Sync) => {}
        Op::Control(_) | Op::Barrier(_) | Op::AsyncCopy(_) => {}
        Op::Atomic(Atomic { .. }) => {
            if i.d != NONE {
                w.set_undefined(i.d, active, 0);
            }
        }
        Op::Move(Move::Pack { count, .. }) => {
            let elements = &kernel.vectors[i.a as usize][..count as usize];
            let lanes = elements.iter().fold(0, |lanes, &r| lanes | w.undefined_lanes(r));
            w.set_undefined(i.d, active, lanes);
        }
        Op::Move(Move::Unpack { count, .. }) => {
            let lanes = w.undefined_lanes(i.a);
            for &element in &kernel.vectors[i.d as usize][..count as usize] {
                w.set_undefined(element, active, lanes);
            }
        }
        Op::Move(Move::ActiveMask | Move::Clock | Move::Nanoseconds) => {
            w.set_undefined(i.d, active, 0)
        }
        Op::Move(Move::IsSpace(_)) | Op::Float(Float::Testp(..)) => {
            w.set_undefined_predicate(i.d, active, w.undefined_lanes(i.a))
        }
        Op::Bits(op @ (Bits::And | Bits::Or)) => {
            // a known operand may settle the result
            let settles = if op == Bits::And { 0 } else { u64::MAX };
            let (a, b) = (w.undefined_lanes(i.a), w.undefined_lanes(i.b));
            let value = |r: Register| kernel.value(&w.registers, r);
            let is_settled = |&lane: &usize| match (a >> lane & 1, b >> lane & 1) {
                (1, 0) => value(i.b)[lane] == settles,
                (0, 1) => value(i.a)[lane] == settles,
                _ => false,
            };
            let settled = lanes_of(a | b).filter(is_settled).fold(0, |m, lane| m | 1 << lane);
            w.set_undefined(i.d, active, (a | b) & !settled);
        }
        Op::Bits(Bits::Bfi(_)) => {
            let lanes = of_sources(w) | w.undefined_lanes(i.e);
            w.set_undefined(i.d, active, lanes);
        }
        Op::Compare(op) => carry_compare(w, op, i, active),
        Op::Warp(WarpOp::Vote(vote)) => {
            let lanes = spread(w.undefined_predicate(i.a) & active);
            if vote == Vote::Ballot {
                w.set_undefined(i.d, active, lanes);
            } else {
                w.set_undefined_predicate(i.d, active, lanes);
            }
        }
        Op::Warp(WarpOp::MatchAny { .. } | WarpOp::MatchAll { .. } | WarpOp::Reduce(..)) => {
            let lanes = spread(w.undefined_lanes(i.a) & active);
            w.set_undefined(i.d, active, lanes);
            if !matches!(i.op, Op::Warp(WarpOp::Reduce(..))) && i.b != NONE {
                w.set_undefined_predicate(i.b, active, lanes);
            }
        }
        Op::Warp(WarpOp::Elect) => {
            w.set_undefined(i.d, active, 0);
            w.set_undefined_predicate(i.b, active, 0);
        }
        _ => {
            let lanes = of_sources(w);
            w.set_undefined(i.d, active, lanes);
        }
    }
}

fn carry_compare(w: &mut Warp, op: Compare, i: &Instruction, active: u32) {
    // of a predicate: its lanes, and those that are undefined
    let predicate = |p: Predicate| (w.predicate(p), w.undefined_predicate(p));
    match op {
        Compare::Selp => {
            let (p, undefined) = predicate(i.c);
            let (a, b) = (w.undefined_lanes(i.a), w.undefined_lanes(i.b));
            w.set_undefined(i.d, active, (a & p) | (b & !p) | undefined);
        }
        Compare::Slct { .. } => {
            let lanes = [i.a, i.b, i.c].iter().fold(0, |lanes, &r| lanes | w.undefined_lanes(r));
            w.set_undefined(i.d, active, lanes);
        }
        Compare::Setp { logic, .. } | Compare::Set { logic, .. } => {
            let mut lanes = w.undefined_lanes(i.a) | w.undefined_lanes(i.b);
            if logic != Logic::None {
                let (p, undefined) = predicate(i.c);
                lanes |= undefined;
                // a known predicate may settle the result
                match logic {
                    Logic::And => lanes &= p | undefined,
                    Logic::Or => lanes &= !p | undefined,
                    Logic::Xor | Logic::None => {}
                }
            }
            if matches!(op, Compare::Set { .. }) {
                w.set_undefined(i.d, active, lanes);
            } else {
                w.set_undefined_predicate(i.d, active, lanes);
                if i.e != NONE {
                    w.set_undefined_predicate(i.e, active, lanes);
                }
            }
        }
        Compare::And | Compare::Or => {
            let ((a, undefined_a), (b, undefined_b)) = (predicate(i.a), predicate(i.b));
            let either = undefined_a | undefined_b;
            let lanes = if op == Compare::And {
                either & (undefined_a | a) & (undefined_b | b)
            } else {
                either & (undefined_a | !a) & (undefined_b | !b)
            };
            w.set_undefined_predicate(i.d, active, lanes);
        }
        Compare::Xor => {
            let lanes = w.undefined_predicate(i.a) | w.undefined_predicate(i.b);
            w.set_undefined_predicate(i.d, active, lanes);
        }
        Compare::Not | Compare::Move => {
            w.set_undefined_predicate(i.d, active, w.undefined_predicate(i.a))
        }
        Compare::SetPredicate(_) => w.set_undefined_predicate(i.d, active, 0),
    }
}
