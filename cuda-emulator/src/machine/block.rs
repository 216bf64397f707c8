//! A block: its warps, its shared memory, its barriers.

use super::cluster::Member;
use super::grid::Launch;
use super::lanes::Lanes;
use super::named_barrier::NamedBarrier;
use super::warp::{State, Warp};
use super::{coordinates, random};
use crate::checks::order::Order;
use crate::checks::shared_races::SharedRaces;
use crate::checks::{Fault, Kind};
use crate::counters::Counters;
use crate::driver::error::CUDA_ERROR_LAUNCH_TIMEOUT;
use std::sync::atomic::Ordering::Relaxed;

/// Barriers of a block.
pub const BARRIERS: usize = 16;
/// Steps between looks at the clock.
const STEPS_PER_LOOK: u64 = 64;
/// Groups of lanes that the message about a deadlock tells of.
const MAX_DESCRIBED: usize = 16;

/// Where something happens. Eight bytes: it goes with every access in a register.
#[derive(Clone, Copy, Debug)]
pub struct At {
    pub pc: u32,
    warp: u16,
    lane: u16,
}

impl At {
    #[inline(always)]
    pub fn new(warp: usize, pc: u32) -> At {
        At { pc, warp: warp as u16, lane: 0 }
    }

    #[inline(always)]
    pub fn warp(self) -> usize {
        self.warp as usize
    }

    #[inline(always)]
    pub fn lane(self) -> usize {
        self.lane as usize
    }

    #[inline(always)]
    pub fn with_lane(self, lane: usize) -> At {
        At { lane: lane as u16, ..self }
    }

    pub fn with_pc(self, pc: u32) -> At {
        At { pc, ..self }
    }
}

/// What the scheduler does after an instruction.
pub enum Outcome {
    /// the group goes on with the next instruction
    Next,
    /// the group is elsewhere now: diverged, waiting, merged or gone
    Reschedule,
}

#[derive(PartialEq, Eq, Clone, Copy, Debug)]
pub enum Step {
    Done,
    Progress,
    Stuck,
}

pub struct Block<'a> {
    pub launch: &'a Launch<'a>,
    /// coordinates in the grid
    pub index: [u32; 3],
    /// number in the grid
    pub number: u64,
    pub warps: Vec<Warp>,
    pub shared: Vec<u8>,
    /// of each byte: [`super::memory::state`]
    pub shared_state: Vec<u8>,
    pub barriers: Vec<NamedBarrier>,
    pub counters: Counters,
    pub order: Order,
    pub shared_races: SharedRaces,
    /// the last access to shared memory read bytes that were never written
    pub read_undefined: bool,
    /// in a cluster
    pub member: Option<Box<Member<'a>>>,
    /// own tag in addresses of the cluster's shared memory; 0 without one
    pub tag: u64,
    /// threads have exited since the barriers were looked at
    pub(super) have_exited: bool,
    pub(super) random_state: u64,
    steps: u64,
}

impl<'a> Block<'a> {
    pub fn new(launch: &'a Launch<'a>) -> Block<'a> {
        let kernel = launch.kernel;
        let warps = (launch.threads() as usize).div_ceil(32);
        let size = match launch.dynamic_shared as u64 {
            0 => kernel.static_shared,
            dynamic => kernel.dynamic_shared_offset() + dynamic,
        } as usize;
        Block {
            launch,
            index: [0; 3],
            number: 0,
            warps: (0..warps).map(|_| Warp::new(kernel)).collect(),
            shared: vec![0; size],
            shared_state: vec![0; size],
            barriers: vec![NamedBarrier::new(warps); BARRIERS],
            counters: Counters::new(launch.options.profile.then_some(kernel.code.len())),
            order: Order::new(warps),
            shared_races: SharedRaces::new(if launch.options.race { size } else { 0 }),
            read_undefined: false,
            member: Member::of(launch, warps, size),
            tag: 0,
            have_exited: false,
            random_state: 1,
            steps: 0,
        }
    }

    /// Begins the block with this number.
    pub fn reset(&mut self, number: u64) {
        let launch = self.launch;
        self.number = number;
        self.index = coordinates(number, launch.grid);
        let seed = launch.options.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.random_state = seed.wrapping_add(number.wrapping_mul(0xD134_2543_DE82_EF95)) | 1;
        self.shared.fill(launch.memory.fill.unwrap_or(0));
        self.shared_state.fill(0);
        self.shared_races.reset();
        self.order.reset();
        self.steps = 0;
        self.barriers.iter_mut().for_each(NamedBarrier::reset);
        for w in 0..self.warps.len() {
            let lanes = self.lanes_at_start(w);
            self.warps[w].reset(lanes);
            self.set_special_registers(w);
        }
        self.counters.blocks += 1;
        self.counters.warps += self.warps.len() as u64;
    }

    /// Lanes that a warp starts with; the last warp may have fewer than 32.
    pub fn lanes_at_start(&self, warp: usize) -> u32 {
        match self.launch.threads() - warp as u32 * 32 {
            n @ 0..32 => (1 << n) - 1,
            _ => !0,
        }
    }

    #[inline(always)]
    pub fn lanes(&mut self, warp: usize, active: u32) -> Lanes<'_> {
        Lanes { warp: &mut self.warps[warp], kernel: self.launch.kernel, active }
    }

    pub fn random(&mut self) -> u64 {
        random(&mut self.random_state)
    }

    /// Coordinates of a thread in its block.
    pub fn thread(&self, warp: usize, lane: usize) -> [u32; 3] {
        coordinates(warp as u64 * 32 + lane as u64, self.launch.block)
    }

    /// Runs every warp for a while, in order unless there is a seed.
    pub fn step(&mut self, quantum: i64) -> Result<Step, Fault> {
        self.cluster_phase();
        let n = self.warps.len();
        let is_random = self.launch.options.seed != 0;
        let first = if is_random { self.random() as usize % n } else { 0 };
        let is_reverse = is_random && self.random() & 1 == 1;
        let mut progress = false;
        for j in 0..n {
            let w = (if is_reverse { n - 1 - j + first } else { j + first }) % n;
            let quantum = if is_random { 1 + (self.random() % 400) as i64 } else { quantum };
            progress |= self.run_warp(w, quantum)?;
            progress |= self.note_exits();
        }
        if self.warps.iter().all(|w| w.alive == 0) {
            self.finish();
            return Ok(Step::Done);
        }
        if !progress {
            return Ok(Step::Stuck);
        }
        self.steps += 1;
        if self.steps.is_multiple_of(STEPS_PER_LOOK) {
            self.look_at_the_clock()?;
        }
        Ok(Step::Progress)
    }

    /// Nobody waits for threads that have exited.
    fn note_exits(&mut self) -> bool {
        if !std::mem::take(&mut self.have_exited) {
            return false;
        }
        let mut released = false;
        for id in 0..BARRIERS {
            if self.barriers[id].in_use && self.barrier_is_complete(id) {
                self.release_barrier(id);
                released = true;
            }
        }
        self.cluster_exit();
        released
    }

    fn look_at_the_clock(&self) -> Result<(), Fault> {
        let launch = self.launch;
        if launch.error.load(Relaxed) != 0 {
            // another block's, which is the first
            return Err(Fault(0));
        }
        let limit = launch.options.timeout_s;
        if launch.start.elapsed().as_secs() <= limit {
            return Ok(());
        }
        launch.findings.add(&launch.kernel.name, Kind::Timeout, true, 0, 0, || {
            let state = self.describe_state();
            format!("block {:?} still running after the time limit: {state}", self.index)
        });
        Err(Fault(CUDA_ERROR_LAUNCH_TIMEOUT))
    }

    fn finish(&mut self) {
        self.check_copies_awaited();
        self.cluster_leave();
    }

    /// What every group of lanes waits for.
    pub fn describe_state(&self) -> String {
        let mut parts: Vec<String> = vec![];
        for (w, warp) in self.warps.iter().enumerate() {
            for group in &warp.groups {
                if parts.len() == MAX_DESCRIBED {
                    return parts.join("; ") + "; ...";
                }
                let what = match group.state {
                    State::Running => "running at".to_string(),
                    State::AtBarrier(id) => format!("waits at barrier {id},"),
                    State::AtClusterBarrier => "waits at the barrier of its cluster,".to_string(),
                    State::AtWarpSync => "waits for other lanes of its warp at".to_string(),
                };
                let place = self.launch.kernel.place(group.pc);
                parts.push(format!("warp {w} lanes {:#010x} {what} {place}", group.mask));
            }
        }
        parts.join("; ")
    }
}
