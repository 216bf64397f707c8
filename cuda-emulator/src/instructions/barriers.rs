//! Barriers of a block and of a cluster, and fences.

use super::Op;
use crate::checks::{Fault, Kind};
use crate::driver::error::CUDA_ERROR_LAUNCH_FAILED;
use crate::machine::block::{At, BARRIERS, Block, Outcome};
use crate::machine::warp::{Group, State};
use crate::ptx::kernel::*;
use crate::ptx::lower::{Lowering, Result};
use crate::ptx::syntax::Statement;
use crate::ptx::types::Type;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Barrier {
    /// of the block, with number `a` and, if not of all its threads, their count `b`
    Block {
        kind: BarrierKind,
        aligned: bool,
    },
    ClusterArrive {
        aligned: bool,
        release: bool,
    },
    ClusterWait {
        aligned: bool,
    },
    /// of the scope of a cluster or a wider one, or of a block
    Fence {
        cluster: bool,
    },
}

/// The reductions are of the predicate `c` to `d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarrierKind {
    Sync,
    Arrive,
    ReducePopc,
    ReduceAnd,
    ReduceOr,
}

impl Barrier {
    /// All lanes of a warp have to be there.
    pub fn is_aligned(self) -> bool {
        match self {
            Barrier::Block { aligned, .. }
            | Barrier::ClusterArrive { aligned, .. }
            | Barrier::ClusterWait { aligned } => aligned,
            Barrier::Fence { .. } => false,
        }
    }
}

pub fn select(l: &mut Lowering, s: &Statement) -> Result<()> {
    let aligned = s.opcode == "bar" || s.has("aligned");
    match s.opcode.as_str() {
        "membar" | "fence" => {
            l.kernel.orders_blocks = true;
            l.emit_plain(Barrier::Fence { cluster: !s.has("cta") }, Class::Fence);
            Ok(())
        }
        "barrier" if s.has("cluster") => {
            let op = if s.has("wait") {
                Barrier::ClusterWait { aligned }
            } else {
                Barrier::ClusterArrive { aligned, release: !s.has("relaxed") }
            };
            l.kernel.uses_cluster = true;
            l.emit_plain(op, Class::Barrier);
            Ok(())
        }
        _ => block_barrier(l, s, aligned),
    }
}

fn block_barrier(l: &mut Lowering, s: &Statement, aligned: bool) -> Result<()> {
    let kind = match (s.has("arrive"), s.has("red")) {
        (true, _) => BarrierKind::Arrive,
        (_, true) if s.has("popc") => BarrierKind::ReducePopc,
        (_, true) if s.has("and") => BarrierKind::ReduceAnd,
        (_, true) => BarrierKind::ReduceOr,
        _ => BarrierKind::Sync,
    };
    let mut i = l.instruction(Barrier::Block { kind, aligned }, Class::Barrier);
    if matches!(kind, BarrierKind::Sync | BarrierKind::Arrive) {
        i.a = l.source(s, 0, Type::U32)?;
        if s.operands.len() > 1 {
            i.b = l.source(s, 1, Type::U32)?;
        }
    } else {
        let is_popc = kind == BarrierKind::ReducePopc;
        i.d = if is_popc { l.destination(s, 0)?.0 } else { l.predicate(s, 0)? };
        i.a = l.source(s, 1, Type::U32)?;
        if s.operands.len() > 3 {
            i.b = l.source(s, 2, Type::U32)?;
        }
        i.c = l.predicate(s, s.operands.len().max(3) - 1)?;
    }
    l.emit(i);
    Ok(())
}

impl From<Barrier> for Op {
    fn from(op: Barrier) -> Op {
        Op::Barrier(op)
    }
}

impl Block<'_> {
    #[inline(never)]
    pub(super) fn barrier(
        &mut self,
        op: Barrier,
        at: At,
        group: &Group,
        i: &Instruction,
        active: u32,
    ) -> std::result::Result<Outcome, Fault> {
        if !matches!(op, Barrier::Block { .. }) && op.is_aligned() {
            self.check_converged(at, active);
        }
        match op {
            Barrier::Block { kind, aligned } => {
                self.arrive(kind, aligned, at, group, i, active)?;
                Ok(Outcome::Reschedule)
            }
            Barrier::ClusterArrive { release, .. } => {
                self.cluster_arrive(at, active, release);
                Ok(Outcome::Next)
            }
            Barrier::ClusterWait { .. } => {
                self.cluster_wait(at, group, active);
                Ok(Outcome::Reschedule)
            }
            Barrier::Fence { cluster } => {
                self.cluster_fence(at.warp(), cluster);
                Ok(Outcome::Next)
            }
        }
    }

    fn arrive(
        &mut self,
        kind: BarrierKind,
        aligned: bool,
        at: At,
        group: &Group,
        i: &Instruction,
        active: u32,
    ) -> std::result::Result<(), Fault> {
        let lanes = self.lanes(at.warp(), active);
        let lane = active.trailing_zeros() as usize;
        let id = lanes.source(i.a)[lane] as usize;
        let count = if i.b == NONE { 0 } else { lanes.source(i.b)[lane] as u32 };
        let votes = (i.c != NONE).then(|| lanes.predicate(i.c) & active);
        if id >= BARRIERS {
            let text = format!("barrier number {id}");
            let at = at.with_lane(lane);
            return Err(self.fault(at, Kind::BarrierNumber, CUDA_ERROR_LAUNCH_FAILED, text));
        }
        let whole = !aligned || self.check_converged(at, active);
        self.check_arrival(at, id, count, active, whole, kind != BarrierKind::Arrive);
        self.counters.barriers += 1;
        self.barriers[id].arrive(at, count, active, votes);
        let groups = &mut self.warps[at.warp()].groups;
        let off = group.mask & !active;
        if off != 0 {
            groups.push(Group { pc: at.pc + 1, mask: off, ..*group });
        }
        groups.push(if kind == BarrierKind::Arrive {
            Group { pc: at.pc + 1, mask: active, ..*group }
        } else {
            Group { mask: active, state: State::AtBarrier(id as u32), ..*group }
        });
        if self.barrier_is_complete(id) {
            self.release_barrier(id);
        }
        Ok(())
    }
}
