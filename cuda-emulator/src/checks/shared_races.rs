//! Races in shared memory: two threads of a block access the same bytes, one of them writes, and no
//! barrier lies between.

use super::order::Order;
use super::{AccessKind, Kind};
use crate::machine::block::{At, Block};

/// What is remembered of a word or, once a narrower access came, of a byte: the last write, the last
/// plain (not atomic) one, which a later atomic of the same warp must not hide, and the reads since.
#[derive(Clone, Copy, Default)]
struct Cell {
    /// clock of the warp; 0 for no write
    write_clock: u32,
    write_epoch: u32,
    write_pc: u32,
    write_thread: u16,
    write_is_strong: bool,
    /// the bytes of the word have cells of their own
    is_split: bool,
    plain_clock: u32,
    plain_pc: u32,
    plain_thread: u16,
    read_thread: u16,
    read_clock: u32,
    read_epoch: u32,
    read_pc: u32,
    /// barriers of the block before the reads
    read_whole: u32,
    /// warps that have read
    readers: u32,
}

/// The cells of a block's shared memory.
pub struct SharedRaces {
    /// how many there are in a block that runs
    count: usize,
    words: Vec<Cell>,
    /// made when they are needed
    bytes: Vec<Cell>,
}

/// An access to be compared.
struct Access<'a> {
    warp: usize,
    thread: u16,
    /// of the lane
    epoch: u32,
    pc: u32,
    kind: AccessKind,
    /// what it will write, if that is known, and what is there
    new: Option<&'a [u8]>,
    old: &'a [u8],
}

impl Access<'_> {
    /// It writes what is there already. Asked only where there is a conflict.
    fn is_same(&self) -> bool {
        self.new.is_some_and(|new| new == self.old)
    }
}

/// A conflict with an earlier access.
struct Conflict {
    kind: Kind,
    is_error: bool,
    /// of the earlier one
    pc: u32,
    thread: u16,
    /// two warps write the same
    is_same: bool,
    offset: usize,
}

impl SharedRaces {
    pub fn new(size: usize) -> SharedRaces {
        SharedRaces { count: size.div_ceil(4), words: vec![], bytes: vec![] }
    }

    pub fn reset(&mut self) {
        self.words.clear();
        self.words.resize(self.count, Cell::default());
        self.bytes.clear();
    }

    /// The cells of bytes from `offset` on, and how many bytes the first of them covers.
    #[inline(always)]
    fn cell(&mut self, offset: usize, whole_word: bool) -> (&mut Cell, usize) {
        let word = offset / 4;
        if whole_word && !self.words[word].is_split {
            return (&mut self.words[word], 4);
        }
        if !self.words[word].is_split {
            if self.bytes.is_empty() {
                self.bytes = vec![Cell::default(); self.words.len() * 4];
            }
            self.bytes[word * 4..word * 4 + 4].fill(self.words[word]);
            self.words[word].is_split = true;
        }
        (&mut self.bytes[offset], 1)
    }
}

impl Block<'_> {
    /// Compares an access to the block's own shared memory with earlier ones. `used` has a bit for
    /// each byte that matters, `new` is what will be written.
    #[inline]
    pub(super) fn check_shared_races(
        &mut self,
        at: At,
        offset: usize,
        bytes: usize,
        kind: AccessKind,
        used: u32,
        new: Option<&[u8]>,
    ) {
        let Block { warps, shared, shared_races, order, .. } = self;
        let access = Access {
            warp: at.warp(),
            thread: (at.warp() * 32 + at.lane()) as u16,
            epoch: warps[at.warp()].epochs[at.lane()],
            pc: at.pc,
            kind,
            new,
            old: &shared[offset..offset + bytes],
        };
        let mut conflicts = Vec::new();
        let (mut at_byte, end) = (offset, offset + bytes);
        while at_byte < end {
            let left = used >> (at_byte - offset);
            if left & 1 == 0 {
                at_byte += 1;
                continue;
            }
            let whole_word = at_byte % 4 == 0 && left & 15 == 15 && at_byte + 4 <= end;
            let (cell, covered) = shared_races.cell(at_byte, whole_word);
            cell.compare(&access, order, at_byte, &mut conflicts);
            cell.remember(&access, order);
            at_byte += covered;
        }
        if self.member.is_some() {
            let is_same = access.is_same();
            self.check_cluster_races(None, at, kind, offset, bytes as u32, used, is_same);
        }
        if !conflicts.is_empty() {
            self.shared_conflicts(at, &conflicts);
        }
    }

    #[cold]
    fn shared_conflicts(&self, at: At, conflicts: &[Conflict]) {
        for &Conflict { kind, is_error, pc, thread, is_same, offset } in conflicts {
            self.report(kind, is_error, [pc, at.pc], || {
                let other = self.thread(thread as usize / 32, thread as usize % 32);
                let (this, index) = (self.thread(at.warp(), at.lane()), self.index);
                let [there, here] = [pc, at.pc].map(|pc| self.launch.kernel.place(pc));
                let note = if is_same { " (same value)" } else { "" };
                format!(
                    "shared offset {offset}, block {index:?}: thread {other:?} at {there} and thread {this:?} at {here} with no barrier between{note}"
                )
            });
        }
    }
}

impl Cell {
    /// Finds what an access conflicts with.
    #[inline(always)]
    fn compare(&self, new: &Access, order: &Order, offset: usize, conflicts: &mut Vec<Conflict>) {
        let (writes, is_strong) = (new.kind.writes(), new.kind.is_strong());
        let both_strong = self.write_is_strong && is_strong;
        let kind = if writes { Kind::RaceWriteAfterWrite } else { Kind::RaceReadAfterWrite };
        let between_warps = |kind, pc, thread| {
            let is_same = writes && new.is_same();
            Conflict { kind, is_error: !is_same, pc, thread, is_same, offset }
        };
        if self.write_clock != 0 && self.write_thread != new.thread && !both_strong {
            let other = self.write_thread as usize / 32;
            let (pc, thread) = (self.write_pc, self.write_thread);
            if other != new.warp {
                if !order.knows(new.warp, other, self.write_clock) {
                    conflicts.push(between_warps(kind, pc, thread));
                }
            } else if new.epoch <= self.write_epoch && !(writes && new.is_same()) {
                let kind = match writes {
                    true => Kind::WarpRaceWriteAfterWrite,
                    false => Kind::WarpRaceReadAfterWrite,
                };
                let (is_error, is_same) = (false, false);
                conflicts.push(Conflict { kind, is_error, pc, thread, is_same, offset });
            }
        }
        let other = self.plain_thread as usize / 32;
        if both_strong && other != new.warp && !order.knows(new.warp, other, self.plain_clock) {
            conflicts.push(between_warps(kind, self.plain_pc, self.plain_thread));
        }
        if !writes || self.readers == 0 || self.read_whole != order.whole {
            return;
        }
        // a write after reads since the last barrier of the block
        let reader = self.read_thread as usize / 32;
        let (pc, thread) = (self.read_pc, self.read_thread);
        if reader != new.warp {
            if !order.knows(new.warp, reader, self.read_clock) {
                conflicts.push(between_warps(Kind::RaceWriteAfterRead, pc, thread));
            }
            return;
        }
        if thread != new.thread && new.epoch <= self.read_epoch && !both_strong {
            let (kind, is_error, is_same) = (Kind::WarpRaceWriteAfterRead, false, false);
            conflicts.push(Conflict { kind, is_error, pc, thread, is_same, offset });
        }
        let others = self.readers & !(1 << new.warp);
        if others != 0 && !order.is_partial {
            let thread = others.trailing_zeros() as u16 * 32;
            conflicts.push(between_warps(Kind::RaceWriteAfterRead, pc, thread));
        }
    }

    #[inline(always)]
    fn remember(&mut self, new: &Access, order: &Order) {
        let (now, is_strong) = (order.now(new.warp), new.kind.is_strong());
        if new.kind.writes() {
            self.write_clock = now;
            self.write_thread = new.thread;
            self.write_epoch = new.epoch;
            self.write_pc = new.pc;
            self.write_is_strong = is_strong;
            if !is_strong {
                (self.plain_clock, self.plain_pc, self.plain_thread) = (now, new.pc, new.thread);
                self.readers = 0;
            }
        } else if !(is_strong && self.write_is_strong) {
            // a strong read among strong accesses leaves no mark
            if self.read_whole != order.whole {
                self.readers = 0;
                self.read_whole = order.whole;
            }
            self.readers |= 1 << new.warp;
            self.read_clock = now;
            self.read_thread = new.thread;
            self.read_epoch = new.epoch;
            self.read_pc = new.pc;
        }
    }
}
