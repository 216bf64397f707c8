//! Races in global memory: two blocks of one launch access the same bytes, and one of the accesses
//! is a plain write.
//!
//! Two marks for each word, of the last writer and of the last reader, tell what an access conflicts
//! with. They may miss a race, as one mark holds one block, but they invent none.

use super::{AccessKind, Kind};
use crate::machine::block::{At, Block};
use crate::machine::coordinates;
use std::sync::atomic::Ordering::Relaxed;

/// The mark of an access: launch 20 bits, strong 1, bytes of the word 4, pc 15, block 24.
#[derive(Clone, Copy)]
struct Mark(u64);

const STRONG: u64 = 1 << 43;
const BYTES: u64 = 15 << 39;

impl Mark {
    fn new(launch: u32, is_strong: bool, bytes: u64, pc: u32, block: u64) -> Mark {
        let strong = if is_strong { STRONG } else { 0 };
        let pc = (pc as u64 & 0x7fff) << 24;
        Mark((launch as u64 & 0xf_ffff) << 44 | strong | bytes << 39 | pc | block & 0xff_ffff)
    }
    fn block(self) -> u64 {
        self.0 & 0xff_ffff
    }
    fn pc(self) -> u32 {
        (self.0 >> 24 & 0x7fff) as u32
    }
    fn is_same_launch(self, other: Mark) -> bool {
        self.0 >> 44 == other.0 >> 44
    }
    /// Of the same block in the same launch.
    fn is_own(self, of: Mark) -> bool {
        self.is_same_launch(of) && self.block() == of.block()
    }
    fn conflicts_with(self, new: Mark) -> bool {
        self.is_same_launch(new)
            && self.block() != new.block()
            && self.0 & new.0 & BYTES != 0
            && self.0 & new.0 & STRONG == 0
    }
}

impl Block<'_> {
    /// Compares an access to global memory that was allowed with those of other blocks. `new` is
    /// what it will write at `host`.
    pub(super) fn check_block_races(
        &self,
        at: At,
        a: u64,
        bytes: u32,
        kind: AccessKind,
        new: Option<&[u8]>,
        host: u64,
    ) {
        let (writes, is_strong) = (kind.writes(), kind.is_strong());
        let Some(words) = self.launch.view.marks(a, bytes) else { return };
        // an access is aligned: it is part of a word, or whole words
        let touched = if bytes < 4 { ((1 << bytes) - 1) << (a & 3) } else { 15 };
        let this = Mark::new(self.launch.id, is_strong, touched, at.pc, self.number);
        for [write, read] in words {
            let mut mark = this;
            let last_write = Mark(write.load(Relaxed));
            if last_write.conflicts_with(this) {
                let kind = if writes {
                    Kind::BlockRaceWriteAfterWrite
                } else {
                    Kind::BlockRaceReadAfterWrite
                };
                self.block_conflict(at, kind, last_write, a, new, host);
            }
            let last_read = Mark(read.load(Relaxed));
            if writes {
                if last_read.conflicts_with(this) {
                    self.block_conflict(at, Kind::BlockRaceWriteAfterRead, last_read, a, new, host);
                }
                if last_write.is_own(this) {
                    // bytes written by this block earlier stay its own, and what it wrote without
                    // an atomic is not hidden by its atomics
                    if last_write.0 & STRONG == 0 {
                        mark.0 &= !STRONG;
                    }
                    mark.0 |= last_write.0 & BYTES;
                }
                write.store(mark.0, Relaxed);
            } else if !is_strong {
                // bytes that another block read are not this block's; one mark cannot hold both
                if last_read.is_own(this) {
                    mark.0 |= last_read.0 & BYTES;
                }
                read.store(mark.0, Relaxed);
            }
        }
    }

    #[cold]
    fn block_conflict(
        &self,
        at: At,
        kind: Kind,
        other: Mark,
        a: u64,
        new: Option<&[u8]>,
        host: u64,
    ) {
        // SAFETY: the access was allowed, so that its bytes are there
        let now = |n: usize| unsafe { std::slice::from_raw_parts(host as *const u8, n) };
        let writes_same = new.is_some_and(|new| now(new.len()) == new);
        if writes_same || self.has_met(at.warp(), other.block()) {
            return;
        }
        let (kernel, ordered) = (self.launch.kernel, self.launch.ordered);
        self.report(kind, !ordered, [other.pc(), at.pc], || {
            let note = if ordered { ORDERED_NOTE } else { "" };
            format!(
                "global {a:#x} ({}): block {:?} at {} and thread {:?} of block {:?} at {} in one launch{note}",
                self.launch.memory.describe(a),
                coordinates(other.block(), self.launch.grid),
                kernel.place(other.pc()),
                self.thread(at.warp(), at.lane()),
                self.index,
                kernel.place(at.pc)
            )
        });
    }
}

/// Why a race is a warning only.
pub(super) const ORDERED_NOTE: &str =
    " (the kernel has fences or strong accesses that may order them)";
