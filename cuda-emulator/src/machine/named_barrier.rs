//! The sixteen barriers of a block.

use super::block::{At, Block};
use super::warp::State;
use crate::instructions::Op;
use crate::instructions::barriers::{Barrier, BarrierKind};
use crate::machine::lanes::lanes_of;
use crate::ptx::kernel::NEGATED;

/// One barrier, and who has arrived at it.
#[derive(Clone)]
pub struct NamedBarrier {
    /// lanes of each warp
    pub arrived: Vec<u32>,
    /// threads that it takes; 0 for the whole block
    pub count: u32,
    /// where threads arrived last
    pub pc: u32,
    /// somebody has arrived
    pub in_use: bool,
    /// threads that arrived again
    again: u32,
    popc: u32,
    and: bool,
    or: bool,
}

impl NamedBarrier {
    pub fn new(warps: usize) -> NamedBarrier {
        NamedBarrier {
            arrived: vec![0; warps],
            count: 0,
            pc: 0,
            in_use: false,
            again: 0,
            popc: 0,
            and: true,
            or: false,
        }
    }

    /// Nobody has arrived.
    pub fn reset(&mut self) {
        if self.in_use {
            let mut arrived = std::mem::take(&mut self.arrived);
            arrived.fill(0);
            *self = NamedBarrier { arrived, ..NamedBarrier::new(0) };
        }
    }

    /// `votes`: the lanes whose predicate holds, in a reduction.
    pub fn arrive(&mut self, at: At, count: u32, active: u32, votes: Option<u32>) {
        self.in_use = true;
        (self.pc, self.count) = (at.pc, count);
        if self.arrived[at.warp()] & active != 0 {
            self.again += 32;
        }
        self.arrived[at.warp()] |= active;
        if let Some(votes) = votes {
            self.popc += votes.count_ones();
            self.and &= votes == active;
            self.or |= votes != 0;
        }
    }
}

impl Block<'_> {
    /// Every thread of the block that is left has arrived.
    fn all_have_arrived(&self, id: usize) -> bool {
        let arrived = &self.barriers[id].arrived;
        self.warps.iter().zip(arrived).all(|(warp, lanes)| warp.alive & !lanes == 0)
    }

    pub fn barrier_is_complete(&self, id: usize) -> bool {
        let barrier = &self.barriers[id];
        if barrier.count == 0 {
            return self.all_have_arrived(id);
        }
        // a warp counts as a whole
        let threads = |(warp, &lanes): (&super::warp::Warp, &u32)| match lanes {
            0 => 0,
            lanes if warp.alive & !lanes == 0 => 32,
            lanes => lanes.count_ones(),
        };
        let arrived: u32 = self.warps.iter().zip(&barrier.arrived).map(threads).sum();
        arrived + barrier.again >= barrier.count
    }

    /// Lets all go on who wait there, ordered after one another.
    pub fn release_barrier(&mut self, id: usize) {
        let whole = self.all_have_arrived(id);
        let mut barrier = std::mem::replace(&mut self.barriers[id], NamedBarrier::new(0));
        self.order.meet(&barrier.arrived, whole);
        let kernel = self.launch.kernel;
        for (warp, &lanes) in self.warps.iter_mut().zip(&barrier.arrived) {
            if lanes == 0 {
                continue;
            }
            warp.order_after_all(lanes);
            for group in &mut warp.groups {
                if group.state != State::AtBarrier(id as u32) {
                    continue;
                }
                let i = &kernel.code[group.pc as usize];
                let Op::Barrier(Barrier::Block { kind, .. }) = i.op else { continue };
                match kind {
                    BarrierKind::ReducePopc => {
                        for lane in lanes_of(group.mask) {
                            warp.registers[i.d as usize][lane] = barrier.popc as u64;
                        }
                    }
                    BarrierKind::ReduceAnd | BarrierKind::ReduceOr => {
                        let is_and = kind == BarrierKind::ReduceAnd;
                        let p = &mut warp.predicates[(i.d & !NEGATED) as usize];
                        let holds = if is_and { barrier.and } else { barrier.or };
                        if holds {
                            *p |= group.mask;
                        } else {
                            *p &= !group.mask;
                        }
                    }
                    BarrierKind::Sync | BarrierKind::Arrive => {}
                }
                group.state = State::Running;
                group.pc += 1;
            }
        }
        if let Some(member) = &mut self.member {
            member.meet(&barrier.arrived);
        }
        barrier.reset();
        self.barriers[id] = barrier;
    }
}
