//! Accesses to the shared memory of other blocks of a cluster, which have started, have not exited and
//! are ordered.

use super::block_races::ORDERED_NOTE;
use super::bounds::note_shared_access;
use super::{AccessKind, Fault, Kind};
use crate::driver::error::{CUDA_ERROR_ILLEGAL_ADDRESS, CUDA_ERROR_LAUNCH_FAILED};
use crate::instructions::Op;
use crate::instructions::memory::Memory;
use crate::machine::block::{At, Block};
use crate::machine::cluster::TAG_SIZE;
use crate::machine::coordinates;
use crate::ptx::kernel::SHARED_BASE;
use crate::ptx::types::Space;

/// One access to a word of shared memory.
#[derive(Clone, Copy, Default)]
struct Mark {
    /// of its warp; 0: no access
    clock: u32,
    /// of its lane
    epoch: u32,
    pc: u32,
    rank: u8,
    /// of the word
    bytes: u8,
    thread: u16,
    is_strong: bool,
}

impl Mark {
    fn warp(&self) -> usize {
        self.thread as usize / 32
    }
}

/// The last accesses to a word: the last write, the last plain one, the last plain reads of two
/// different blocks.
#[derive(Clone, Copy, Default)]
pub struct Word {
    write: Mark,
    plain: Mark,
    reads: [Mark; 2],
}

/// How an earlier access of another thread lies to this one.
enum Precedence {
    Before,
    /// the same warp, nothing between
    SameWarp,
    Unordered,
}

/// Kinds of a conflict, between two warps and within one.
type Kinds = [Kind; 2];

const READ_AFTER_WRITE: Kinds = [Kind::ClusterRaceReadAfterWrite, Kind::WarpRaceReadAfterWrite];
const WRITE_AFTER_READ: Kinds = [Kind::ClusterRaceWriteAfterRead, Kind::WarpRaceWriteAfterRead];
const WRITE_AFTER_WRITE: Kinds = [Kind::ClusterRaceWriteAfterWrite, Kind::WarpRaceWriteAfterWrite];

impl<'a> Block<'a> {
    #[cold]
    pub(crate) fn cluster_barrier_misused(&self, kind: Kind, at: At, lanes: u32, what: &str) {
        let at = at.with_lane(lanes.trailing_zeros() as usize);
        self.report(kind, true, [at.pc, 0], || {
            let (thread, place) = (self.thread(at.warp(), at.lane()), self.launch.kernel.place(at.pc));
            let index = self.index;
            format!("thread {thread:?} of block {index:?} {what} at the barrier of its cluster, at {place}")
        });
    }

    /// `shared_access` for a tagged address, which is another block's.
    #[cold]
    pub(super) fn distributed_access(
        &mut self,
        at: At,
        a: u64,
        bytes: u32,
        kind: AccessKind,
        new: Option<&[u8]>,
        used: u32,
    ) -> Result<*mut u8, Fault> {
        let offset = (a % TAG_SIZE).wrapping_sub(SHARED_BASE);
        let verb = kind.verb();
        let what = || format!("shared {verb} of {bytes} bytes at offset {}", offset as i64);
        let owner = self.open_block(at, a / TAG_SIZE, what)?;
        // SAFETY: another block of the cluster: none runs but this one
        let owner = unsafe { &mut *owner };
        let (size, theirs) = (owner.shared.len() as u64, owner.index);
        if offset.saturating_add(bytes as u64) > size {
            let text = format!("invalid {} of {size} bytes in block {theirs:?}", what());
            return Err(self.fault(at, Kind::OutOfBoundsShared, CUDA_ERROR_ILLEGAL_ADDRESS, text));
        }
        if a & (bytes as u64 - 1) != 0 {
            return Err(self.misaligned(at, format!("{} in block {theirs:?}", what())));
        }
        let range = offset as usize..offset as usize + bytes as usize;
        let states = &mut owner.shared_state[range.clone()];
        let seen = note_shared_access(states, used, kind.writes());
        self.read_undefined = seen.undefined && !kind.writes();
        if seen.undefined || seen.in_flight {
            self.shared_state_findings(at, range.start, bytes, kind, seen, theirs);
        }
        let target = &mut owner.shared[range.clone()];
        let is_same = new.is_some_and(|new| new == target);
        let p = target.as_mut_ptr();
        if self.launch.options.race {
            if let (Some(m), Some(host)) = (&self.member, &mut owner.member) {
                host.visits[m.rank * self.warps.len() + at.warp()] =
                    (self.order.now(at.warp()), at.pc);
            }
            self.check_cluster_races(Some(owner), at, kind, range.start, bytes, used, is_same);
        }
        Ok(p)
    }

    /// The block with this tag, if the instruction may access its memory now.
    fn open_block(
        &self,
        at: At,
        tag: u64,
        what: impl Fn() -> String,
    ) -> Result<*mut Block<'a>, Fault> {
        let launch = self.launch;
        let out_of_bounds =
            |text| self.fault(at, Kind::OutOfBoundsShared, CUDA_ERROR_ILLEGAL_ADDRESS, text);
        let (Some(owner), Some(m)) = (self.block_with_tag(tag), &self.member) else {
            return Err(out_of_bounds(format!("{} of a block that is not in the cluster", what())));
        };
        let rank = tag as usize - 1;
        let theirs = || format!("in the memory of block {:?}", self.index_of_rank(rank));
        let space = match launch.kernel.code[at.pc as usize].op {
            Op::Memory(Memory::Load(access) | Memory::Store(access)) => access.space,
            Op::Atomic(op) => op.access.space,
            _ => Space::Shared,
        };
        if space == Space::Shared {
            let text = format!("{} {} by an instruction without ::cluster,", what(), theirs());
            return Err(out_of_bounds(text));
        }
        if m.has_exited(rank) {
            let text = format!("{} {}, which has exited,", what(), theirs());
            return Err(self.fault(at, Kind::ClusterExited, CUDA_ERROR_LAUNCH_FAILED, text));
        }
        // the barrier of a cooperative grid shows it as well
        if m.seen[at.warp()] == 0 && launch.workspace == 0 {
            self.report(Kind::ClusterNotStarted, true, [at.pc, 0], || {
                format!(
                    "{} {} before a barrier of the cluster has shown that it has started, {}",
                    what(),
                    theirs(),
                    self.by(at)
                )
            });
        }
        Ok(owner)
    }

    /// At the end of a block: may another one still be about to access its memory?
    pub(crate) fn cluster_leave(&mut self) {
        let Some(m) = &self.member else { return };
        for (rank, warp, pc) in m.untold_visits() {
            self.report(Kind::ClusterExited, !self.launch.ordered, [pc, 0], || {
                let other = self.index_of_rank(rank);
                format!(
                    "warp {warp} of block {other:?} accesses the shared memory of block {:?} at {}, with no barrier of the cluster between that and the exit of the block",
                    self.index,
                    self.launch.kernel.place(pc)
                )
            });
        }
    }

    // ---- races ----

    /// Compares an access to the memory of `owner`, or to the block's own, with those of other
    /// blocks. What a block does to its own memory, `check_shared_races` compares.
    #[inline(never)]
    #[expect(clippy::too_many_arguments, reason = "what an access is, and whose memory it is of")]
    pub(super) fn check_cluster_races(
        &mut self,
        owner: Option<&mut Block>,
        at: At,
        kind: AccessKind,
        offset: usize,
        bytes: u32,
        used: u32,
        is_same: bool,
    ) {
        let Some(m) = &mut self.member else { return };
        let rank = m.rank as u8;
        let is_own = owner.is_none();
        let (words, theirs) = match owner {
            Some(b) => {
                let Some(host) = &mut b.member else { return };
                (&raw mut host.words, b.index)
            }
            None => (&raw mut m.words, self.index),
        };
        // SAFETY: the vector is not touched by another way until the end of this function
        let words = unsafe { &mut *words };
        let writes = kind.writes();
        let mut new = Mark {
            clock: self.order.now(at.warp()),
            epoch: self.warps[at.warp()].epochs[at.lane()],
            pc: at.pc,
            rank,
            bytes: 0,
            thread: (at.warp() * 32 + at.lane()) as u16,
            is_strong: kind.is_strong(),
        };
        for number in offset / 4..(offset + bytes as usize).div_ceil(4) {
            let is_touched = |b: &usize| {
                let n = (number * 4 + b).wrapping_sub(offset);
                n < bytes as usize && used >> n & 1 == 1
            };
            new.bytes = (0..4).filter(is_touched).fold(0, |mask, b| mask | 1 << b);
            if new.bytes == 0 {
                continue;
            }
            let word = &mut words[number];
            let check = |old: &Mark, kinds: Kinds| {
                let conflicts = old.clock != 0
                    && old.bytes & new.bytes != 0
                    && !(old.is_strong && new.is_strong)
                    && !(is_own && old.rank == rank);
                if conflicts {
                    self.cluster_conflict(kinds, old, &new, theirs, number * 4, is_same && writes);
                }
            };
            let after_write = if writes { WRITE_AFTER_WRITE } else { READ_AFTER_WRITE };
            check(&word.write, after_write);
            if word.write.is_strong {
                check(&word.plain, after_write);
            }
            if writes {
                for read in &word.reads {
                    check(read, WRITE_AFTER_READ);
                }
                word.write = new;
                if !new.is_strong {
                    word.plain = new;
                }
            } else if !new.is_strong {
                if word.reads[0].rank != rank {
                    word.reads[1] = word.reads[0];
                }
                word.reads[0] = new;
            }
        }
    }

    /// Two accesses that conflict unless something orders them.
    fn cluster_conflict(
        &self,
        kinds: Kinds,
        old: &Mark,
        new: &Mark,
        of: [u32; 3],
        offset: usize,
        is_same: bool,
    ) {
        let ordered = self.launch.ordered;
        let (kind, is_error) = match self.precedence(old, new) {
            Precedence::Before => return,
            Precedence::SameWarp => (kinds[1], false),
            Precedence::Unordered => (kinds[0], !is_same && !ordered),
        };
        self.report(kind, is_error, [old.pc, new.pc], || {
            let by = |m: &Mark| {
                let block = self.index_of_rank(m.rank as usize);
                let thread = self.thread(m.warp(), m.thread as usize % 32);
                let place = self.launch.kernel.place(m.pc);
                format!("thread {thread:?} of block {block:?} at {place}")
            };
            let note = match (is_same, ordered) {
                (true, _) => " (same value)",
                (_, true) => ORDERED_NOTE,
                _ => "",
            };
            format!(
                "shared offset {offset} of block {of:?}: {} and {} with no barrier of the cluster between{note}",
                by(old),
                by(new)
            )
        });
    }

    fn precedence(&self, old: &Mark, new: &Mark) -> Precedence {
        let Some(m) = &self.member else { return Precedence::Before };
        let warp = new.warp();
        let is_before = if old.rank != new.rank {
            m.knows(warp, old.rank as usize, old.warp(), old.clock)
        } else if old.warp() != warp {
            self.order.knows(warp, old.warp(), old.clock)
        } else if old.thread == new.thread || old.epoch < new.epoch {
            true
        } else {
            return Precedence::SameWarp;
        };
        if is_before { Precedence::Before } else { Precedence::Unordered }
    }

    /// Has this warp passed a barrier of the cluster that the block numbered `other` is in too?
    /// Then the marks in global memory cannot tell which access came before it.
    pub(super) fn has_met(&self, warp: usize, other: u64) -> bool {
        let shape = self.launch.cluster;
        self.member.as_ref().is_some_and(|m| m.seen[warp] > 0)
            && shape.id(coordinates(other, self.launch.grid)) == shape.id(self.index)
    }
}
