//! Threads come to barriers, shuffles and waits as these need it.

use super::{Fault, Kind};
use crate::driver::error::CUDA_ERROR_LAUNCH_FAILED;
use crate::instructions::Op;
use crate::instructions::control::Control;
use crate::machine::block::{At, Block};
use crate::machine::warp::State;

impl Block<'_> {
    /// At an aligned barrier: are these all live lanes of the warp? Lanes about to leave are
    /// forgiven, lanes busy elsewhere are a finding.
    pub(crate) fn check_converged(&mut self, at: At, active: u32) -> bool {
        let kernel = self.launch.kernel;
        let w = &mut self.warps[at.warp()];
        let owed = std::mem::take(&mut w.owed) & !active;
        if active == w.alive && owed == 0 {
            return true;
        }
        let is_exit = |pc: u32| matches!(kernel.code[pc as usize].op, Op::Control(Control::Exit));
        let leaving = w.groups.iter().filter(|g| g.state == State::Running && is_exit(g.pc));
        let leaving = leaving.fold(0, |mask, g| mask | g.mask);
        let missing = w.alive & !active & !leaving | owed;
        if missing != 0 {
            self.report(Kind::BarrierDivergence, true, [at.pc, 0], || {
                format!(
                    "barrier reached by lanes {active:#010x} of warp {} while live lanes {missing:#010x} went elsewhere, at {} in block {:?}",
                    at.warp(),
                    kernel.place(at.pc),
                    self.index
                )
            });
        }
        false
    }

    /// Before lanes arrive at a barrier of the block. `whole`: no lane of the warp is missing.
    pub(crate) fn check_arrival(
        &mut self,
        at: At,
        id: usize,
        count: u32,
        active: u32,
        whole: bool,
        waits: bool,
    ) {
        let (kernel, index) = (self.launch.kernel, self.index);
        let w = &self.warps[at.warp()];
        let here = || kernel.place(at.pc);
        let have_exited =
            || w.alive != self.lanes_at_start(at.warp()) || self.warps.iter().any(|w| w.alive == 0);
        if count == 0 && waits && (!whole || have_exited()) {
            self.report(Kind::BarrierAfterExit, false, [at.pc, 0], || {
                format!(
                    "some threads of block {index:?} had exited when others reached the barrier at {}",
                    here()
                )
            });
        }
        let barrier = &self.barriers[id];
        let is_of_all = count == 0 && barrier.count == 0;
        if barrier.in_use && barrier.pc != at.pc && is_of_all {
            self.report(Kind::BarrierPlaces, false, [barrier.pc, at.pc], || {
                let there = kernel.place(barrier.pc);
                format!("barrier {id} of block {index:?} met at two places: {there} and {}", here())
            });
        }
        if barrier.arrived[at.warp()] & active != 0 {
            self.report(Kind::BarrierOverrun, true, [at.pc, 0], || {
                format!(
                    "warp {} of block {index:?} arrives at barrier {id} again before it completed, at {}",
                    at.warp(),
                    here()
                )
            });
        }
    }

    pub(crate) fn not_in_own_mask(&self, at: At, mask: u32) -> Fault {
        let text = format!("a thread is not in its own member mask {mask:#010x}");
        self.fault(at, Kind::SyncMask, CUDA_ERROR_LAUNCH_FAILED, text)
    }

    pub(crate) fn shuffle_from_inactive(&self, at: At, from: usize) {
        self.report(Kind::ShuffleInactive, true, [at.pc, 0], || {
            format!(
                "lane {} of warp {} reads lane {from}, which takes no part, {}",
                at.lane(),
                at.warp(),
                self.by(at)
            )
        });
    }

    /// At the end of a block.
    pub(crate) fn check_copies_awaited(&self) {
        for (w, warp) in self.warps.iter().enumerate() {
            for (lane, copies) in warp.copies.iter().enumerate() {
                let Some(pc) = copies.first_pending() else { continue };
                self.report(Kind::CopyUnawaited, false, [pc, 0], || {
                    let by = self.by(At::new(w, pc).with_lane(lane));
                    format!("the block ended before anybody waited for the cp.async {by}")
                });
            }
        }
    }
}
