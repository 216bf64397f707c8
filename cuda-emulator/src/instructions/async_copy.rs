//! `cp.async`: copies from global to shared memory that land when they are waited for.

use super::Op;
use crate::checks::{AccessKind, Fault};
use crate::counters::Traffic;
use crate::machine::block::{At, Block, Outcome};
use crate::machine::lanes::lanes_of;
use crate::machine::memory::state;
use crate::ptx::kernel::*;
use crate::ptx::lower::{Lowering, Result};
use crate::ptx::syntax::Statement;
use crate::ptx::types::Type;
use std::collections::VecDeque;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AsyncCopy {
    /// to shared `a` from global `b`, of which `c` bytes if it is there; the rest is zeros
    Copy {
        size: u8,
        to_offset: i64,
        from_offset: i64,
    },
    Commit,
    /// until at most so many groups are left
    WaitGroup(u32),
    WaitAll,
}

/// A copy under way: what it will write.
pub struct Copy {
    /// in the block's shared memory
    offset: u32,
    bytes: [u8; 16],
    size: u8,
    pc: u32,
}

/// The copies of one lane.
#[derive(Default)]
pub struct Copies {
    open: Vec<Copy>,
    groups: VecDeque<Vec<Copy>>,
}

impl Copies {
    /// The place of the oldest copy that nobody has waited for.
    pub fn first_pending(&self) -> Option<u32> {
        self.groups.iter().flatten().chain(&self.open).next().map(|copy| copy.pc)
    }

    fn commit(&mut self) {
        self.groups.push_back(std::mem::take(&mut self.open));
    }
}

pub fn select(l: &mut Lowering, s: &Statement) -> Result<()> {
    if ["bulk", "mbarrier", "reduce"].iter().any(|m| s.has(m)) {
        return s.error("bulk/mbarrier copies not supported");
    }
    if s.has("commit_group") {
        l.emit_plain(AsyncCopy::Commit, Class::AsyncCopy);
        return Ok(());
    }
    if s.has("wait_all") {
        l.emit_plain(AsyncCopy::WaitAll, Class::AsyncCopy);
        return Ok(());
    }
    if s.has("wait_group") {
        let left = s.integer(0)?.min(u32::MAX as u64) as u32;
        l.emit_plain(AsyncCopy::WaitGroup(left), Class::AsyncCopy);
        return Ok(());
    }
    let (a, to_offset, _) = l.address(s, 0)?;
    let (b, from_offset, _) = l.address(s, 1)?;
    let size = match s.integer(2)? {
        size @ (4 | 8 | 16) => size as u8,
        size => return s.error(&format!("a copy of {size} bytes")),
    };
    let has_size = s.operands.len() > 3 && !s.has("L2::cache_hint");
    let c = if has_size { l.source(s, 3, Type::U32)? } else { NONE };
    let op = AsyncCopy::Copy { size, to_offset, from_offset };
    l.emit(Instruction { a, b, c, ..l.instruction(op, Class::AsyncCopy) });
    Ok(())
}

impl From<AsyncCopy> for Op {
    fn from(op: AsyncCopy) -> Op {
        Op::AsyncCopy(op)
    }
}

impl Block<'_> {
    #[inline(never)]
    pub(super) fn async_copy(
        &mut self,
        op: AsyncCopy,
        at: At,
        i: &Instruction,
        active: u32,
    ) -> std::result::Result<Outcome, Fault> {
        let copies = &mut self.warps[at.warp()].copies;
        if copies.is_empty() {
            copies.resize_with(32, Copies::default);
        }
        match op {
            AsyncCopy::Copy { size, to_offset, from_offset } => {
                self.start_copies(at, i, active, size, [to_offset, from_offset])?;
            }
            AsyncCopy::Commit => {
                for lane in lanes_of(active) {
                    self.warps[at.warp()].copies[lane].commit();
                }
            }
            AsyncCopy::WaitAll => {
                for lane in lanes_of(active) {
                    self.warps[at.warp()].copies[lane].commit();
                    self.land_copies(at.with_lane(lane), 0)?;
                }
            }
            AsyncCopy::WaitGroup(left) => {
                for lane in lanes_of(active) {
                    self.land_copies(at.with_lane(lane), left as usize)?;
                }
            }
        }
        Ok(Outcome::Next)
    }

    fn start_copies(
        &mut self,
        at: At,
        i: &Instruction,
        active: u32,
        size: u8,
        offsets: [i64; 2],
    ) -> std::result::Result<(), Fault> {
        let lanes = self.lanes(at.warp(), active);
        let (to, from) = (*lanes.source(i.a), *lanes.source(i.b));
        let wanted = if i.c == NONE { [size as u64; 32] } else { *lanes.source(i.c) };
        let mut traffic = Traffic::default();
        for lane in lanes_of(active) {
            let at = at.with_lane(lane);
            let mut to = to[lane].wrapping_add(offsets[0] as u64);
            if to.wrapping_sub(SHARED_WINDOW) < WINDOW {
                to = self.untagged(to);
            }
            let from = from[lane].wrapping_add(offsets[1] as u64);
            let offset = self.async_copy_target(at, to, from, size)?;
            let mut bytes = [0u8; 16];
            for (a, byte) in (from..).zip(&mut bytes[..wanted[lane].min(size as u64) as usize]) {
                let (host, undefined) = self.global_access(at, a, 1, AccessKind::Read, None)?;
                if undefined {
                    self.undefined_global_read(at, a, 1);
                }
                // SAFETY: the check found a byte there
                *byte = unsafe { *(host as *const u8) };
            }
            for s in &mut self.shared_state[offset..offset + size as usize] {
                *s |= state::SHARED_IN_FLIGHT;
            }
            if wanted[lane] > 0 {
                traffic.global(from);
            }
            let copy = Copy { offset: offset as u32, bytes, size, pc: at.pc };
            self.warps[at.warp()].copies[lane].open.push(copy);
        }
        self.counters.count_async_copies(&traffic, at.pc, size as u32);
        Ok(())
    }

    /// Ends the oldest groups of a lane until so many are left.
    fn land_copies(&mut self, at: At, left: usize) -> std::result::Result<(), Fault> {
        while self.warps[at.warp()].copies[at.lane()].groups.len() > left {
            let group = self.warps[at.warp()].copies[at.lane()].groups.pop_front();
            for copy in group.into_iter().flatten() {
                let (offset, size) = (copy.offset as usize, copy.size as usize);
                for s in &mut self.shared_state[offset..offset + size] {
                    *s &= !state::SHARED_IN_FLIGHT;
                }
                let (at, bytes) = (at.with_pc(copy.pc), &copy.bytes[..size]);
                let a = SHARED_BASE + offset as u64;
                self.shared_access(at, a, size as u32, AccessKind::Write, Some(bytes), !0)?;
                self.shared[offset..offset + size].copy_from_slice(bytes);
            }
        }
        Ok(())
    }
}
