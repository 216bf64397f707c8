//! Which lanes of a warp run next.
//!
//! Of the groups that can run, the one at the lowest rank does: that is where lanes that diverged come
//! together again (see [`crate::ptx::lower::reconvergence`]). It runs until it reaches the rank of
//! another group. Two rules keep programs from standing still that a device would finish: a group that
//! has waited long runs out of turn, and lanes at an aligned barrier let the others of their warp come
//! there first.

use super::block::{At, Block, Outcome};
use super::lanes::lanes_of;
use super::warp::{Group, State, Warp};
use crate::checks::Fault;
use crate::instructions::Op;
use crate::instructions::control::Control;
use crate::instructions::warp::WarpOp;
use crate::ptx::kernel::{Instruction, Kernel, NONE};
use crate::ptx::lower::reconvergence::AT_BARRIER;

/// Instructions after which a group that waits runs out of turn, when others spin: lanes with so many
/// strong accesses may be waiting for it.
const SPIN_PATIENCE: u64 = 2000;
const SPINNING: u64 = 64;
/// The same when they do not, which may be a long loop.
const PATIENCE: u64 = 2_000_000;
/// How long it runs then.
const OUT_OF_TURN: i64 = 500;

/// How long a group may run.
struct Turn {
    group: Group,
    /// to the first instruction of this rank or a higher one
    limit: u32,
    instructions: i64,
}

impl Block<'_> {
    /// Runs a warp for `budget` instructions: whether it did anything.
    pub(super) fn run_warp(&mut self, warp: usize, budget: i64) -> Result<bool, Fault> {
        let kernel = self.launch.kernel;
        let mut left = budget;
        let mut progress = self.cluster_wake(warp);
        loop {
            let w = &mut self.warps[warp];
            if !w.groups.iter().any(|g| g.state == State::Running) {
                if w.groups.is_empty() || !w.wake_at_warp_sync(kernel) {
                    return Ok(progress);
                }
                progress = true;
                continue;
            }
            if left <= 0 {
                return Ok(true);
            }
            let turn = w.choose(kernel, left);
            progress = true;
            let before = w.issued;
            self.run_group(warp, turn)?;
            left -= (self.warps[warp].issued - before) as i64;
        }
    }

    fn run_group(&mut self, warp: usize, turn: Turn) -> Result<(), Fault> {
        let kernel = self.launch.kernel;
        let mut group = turn.group;
        let mut instructions = 0;
        loop {
            let pc = group.pc;
            let i = &kernel.code[pc as usize];
            let w = &mut self.warps[warp];
            let active =
                if i.guard == NONE { group.mask } else { group.mask & w.predicate(i.guard) };
            instructions += 1;
            w.issued += 1;
            group.last_issue = w.issued;
            let tracks_undefined = w.has_undefined;
            self.counters.count_instruction(i.class, pc, active);
            if tracks_undefined {
                self.follow_undefined(At::new(warp, pc), i, group.mask, active);
            }
            match i.op {
                Op::Control(Control::Branch(target)) => {
                    self.counters.branches += 1;
                    if active == group.mask {
                        group.pc = target;
                    } else if active == 0 {
                        group.pc += 1;
                    } else {
                        self.counters.divergent_branches += 1;
                        let groups = &mut self.warps[warp].groups;
                        groups.push(Group { pc: target, mask: active, ..group });
                        groups.push(Group { pc: pc + 1, mask: group.mask & !active, ..group });
                        return Ok(());
                    }
                }
                Op::Control(Control::Exit) => {
                    self.warps[warp].alive &= !active;
                    self.have_exited = true;
                    group.mask &= !active;
                    if group.mask == 0 {
                        return Ok(());
                    }
                    group.pc += 1;
                }
                _ if active == 0 => group.pc += 1,
                _ => match self.execute(At::new(warp, pc), &mut group, i, active)? {
                    Outcome::Next => group.pc += 1,
                    Outcome::Reschedule => return Ok(()),
                },
            }
            if kernel.ranks[group.pc as usize] >= turn.limit || instructions >= turn.instructions {
                self.warps[warp].groups.push(group);
                return Ok(());
            }
        }
    }

    /// Brings the lanes together that member masks name. Those whose masks are complete go on, the
    /// others wait; None if all wait. `group` becomes those that go on.
    pub fn gather(
        &mut self,
        at: At,
        group: &mut Group,
        i: &Instruction,
        active: u32,
    ) -> Result<Option<u32>, Fault> {
        let members = *self.lanes(at.warp(), active).source(i.e);
        let w = &mut self.warps[at.warp()];
        // lanes whose guard is off go on
        if active != group.mask {
            w.groups.push(Group { pc: at.pc + 1, mask: group.mask & !active, ..*group });
            group.mask = active;
        }
        w.groups.retain(|other| {
            let is_here = other.state == State::AtWarpSync && other.pc == at.pc;
            group.mask |= if is_here { other.mask } else { 0 };
            !is_here
        });
        let missing = w.alive & !group.mask;
        let (mut ready, mut not_in_mask) = (0, None);
        for lane in lanes_of(group.mask) {
            let mask = members[lane] as u32;
            if mask >> lane & 1 == 0 {
                not_in_mask = Some(lane);
            }
            ready |= ((mask & missing == 0) as u32) << lane;
        }
        if let Some(lane) = not_in_mask {
            return Err(self.not_in_own_mask(at.with_lane(lane), members[lane] as u32));
        }
        let waiting = group.mask & !ready;
        if waiting != 0 {
            w.groups.push(Group { mask: waiting, state: State::AtWarpSync, ..*group });
        }
        group.mask = ready;
        Ok((ready != 0).then_some(ready))
    }
}

impl Warp {
    /// The group whose turn it is, out of those that are running, of which there is one at least.
    fn choose(&mut self, kernel: &Kernel, budget: i64) -> Turn {
        let rank = |g: &Group| kernel.ranks[g.pc as usize];
        let running = || self.groups.iter().enumerate().filter(|(_, g)| g.state == State::Running);
        let mut chosen = running().min_by_key(|(_, g)| rank(g)).map_or(0, |(n, _)| n);
        let mut out_of_turn = false;
        if self.groups.len() > 1 {
            // nobody is helped by lanes that go on to a barrier
            let has_waited_long = |g: &Group| {
                let age = self.issued.saturating_sub(g.last_issue);
                let is_spinning = self.strong_accesses > SPINNING;
                (age > SPIN_PATIENCE && is_spinning || age > PATIENCE) && rank(g) < AT_BARRIER
            };
            let waiting = running().filter(|(_, g)| has_waited_long(g));
            if let Some((n, _)) = waiting.min_by_key(|(_, g)| g.last_issue) {
                (chosen, out_of_turn) = (n, true);
            }
        }
        if out_of_turn {
            self.strong_accesses = 0;
        }
        let mut group = self.groups.swap_remove(chosen);
        let limit = self.merge_and_limit(kernel, &mut group);
        if out_of_turn {
            Turn { group, limit: AT_BARRIER, instructions: OUT_OF_TURN.min(budget) }
        } else {
            Turn { group, limit, instructions: budget }
        }
    }

    /// Takes in the groups at the same place. The result is the rank where this group has to stop
    /// for the others.
    fn merge_and_limit(&mut self, kernel: &Kernel, group: &mut Group) -> u32 {
        let here = kernel.ranks[group.pc as usize];
        let is_leaving = matches!(kernel.code[group.pc as usize].op, Op::Control(Control::Exit));
        let (mut limit, mut has_passed) = (u32::MAX, false);
        self.groups.retain(|other| {
            if other.state != State::Running {
                return true;
            }
            if other.pc == group.pc {
                group.mask |= other.mask;
                return false;
            }
            let there = kernel.ranks[other.pc as usize];
            if there < AT_BARRIER || here >= AT_BARRIER {
                limit = limit.min(there);
            } else if here < there - AT_BARRIER {
                // stop before going past the place where the others wait
                limit = limit.min(there - AT_BARRIER);
            } else {
                // past it: these lanes must come back, or they have missed it; lanes about to leave
                // are forgiven
                limit = limit.min(there);
                has_passed |= !is_leaving;
            }
            true
        });
        if has_passed {
            self.owed |= group.mask;
        }
        limit
    }

    /// Lets lanes go on that wait in an instruction of the whole warp, if some may go now: others
    /// may have exited meanwhile.
    fn wake_at_warp_sync(&mut self, kernel: &Kernel) -> bool {
        let Warp { groups, registers, alive, .. } = self;
        let mask = |group: &Group, lane: usize| {
            let i = &kernel.code[group.pc as usize];
            kernel.value(registers, i.e)[lane] as u32 & *alive
        };
        let waiting = |group: &&mut Group| group.state == State::AtWarpSync;
        for group in groups.iter_mut().filter(waiting) {
            if lanes_of(group.mask).all(|lane| mask(group, lane) & !group.mask == 0) {
                group.state = State::Running;
                return true;
            }
        }
        // __syncwarp reached at different places counts together
        let is_sync = |group: &Group| {
            let op = kernel.code[group.pc as usize].op;
            group.state == State::AtWarpSync && matches!(op, Op::Warp(WarpOp::Sync))
        };
        let (mut there, mut needed) = (0, 0);
        for group in groups.iter().filter(|g| is_sync(g)) {
            there |= group.mask;
            needed |= lanes_of(group.mask).fold(0, |m, lane| m | mask(group, lane));
        }
        if there == 0 || needed & !there != 0 {
            return false;
        }
        for group in groups.iter_mut().filter(|g| is_sync(g)) {
            group.state = State::Running;
            group.pc += 1;
        }
        self.order_after_all(there);
        true
    }
}
