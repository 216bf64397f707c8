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
    words: Vec<Cell>,
    /// made when they are needed
    bytes: Vec<Cell>,
}

/// An access to be compared.
struct Access {
    warp: usize,
    thread: u16,
    /// of the lane
    epoch: u32,
    pc: u32,
    kind: AccessKind,
    /// it writes what is there already
    is_same: bool,
}

/// A conflict with an earlier access.
struct Conflict {
    kind: Kind,
    is_error: bool,
    pc: u32,
    thread: u16,
}

/// At most four: with a write, with a plain write that it hides, with reads of this warp and of
/// others.
type Conflicts = [Option<Conflict>; 4];

impl SharedRaces {
    pub fn new(size: usize) -> SharedRaces {
        SharedRaces { words: vec![Cell::default(); size.div_ceil(4)], bytes: vec![] }
    }

    pub fn reset(&mut self) {
        self.words.fill(Cell::default());
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
    /// each byte that matters.
    #[inline]
    pub(super) fn check_shared_races(
        &mut self,
        at: At,
        offset: usize,
        bytes: usize,
        kind: AccessKind,
        used: u32,
        is_same: bool,
    ) {
        let access = Access {
            warp: at.warp,
            thread: (at.warp * 32 + at.lane) as u16,
            epoch: self.warps[at.warp].epochs[at.lane],
            pc: at.pc,
            kind,
            is_same,
        };
        let (mut at_byte, end) = (offset, offset + bytes);
        while at_byte < end {
            let left = used >> (at_byte - offset);
            if left & 1 == 0 {
                at_byte += 1;
                continue;
            }
            let whole_word = at_byte % 4 == 0 && left & 15 == 15 && at_byte + 4 <= end;
            let (cell, covered) = self.shared_races.cell(at_byte, whole_word);
            if let Some(conflicts) = cell.access(&access, &self.order) {
                self.shared_conflicts(conflicts, &access, at_byte);
            }
            at_byte += covered;
        }
        if self.member.is_some() {
            self.check_cluster_races(None, at, kind, offset, bytes as u32, used, is_same);
        }
    }

    #[cold]
    fn shared_conflicts(&self, conflicts: Conflicts, access: &Access, offset: usize) {
        for Conflict { kind, is_error, pc, thread } in conflicts.into_iter().flatten() {
            self.report(kind, is_error, [pc, access.pc], || {
                let of = |thread: u16| self.thread(thread as usize / 32, thread as usize % 32);
                let place = |pc| self.launch.kernel.place(pc);
                let between_warps = thread as usize / 32 != access.warp;
                let note = if access.is_same && between_warps { " (same value)" } else { "" };
                format!(
                    "shared offset {offset}, block {:?}: thread {:?} at {} and thread {:?} at {} with no barrier between{note}",
                    self.index,
                    of(thread),
                    place(pc),
                    of(access.thread),
                    place(access.pc)
                )
            });
        }
    }
}

impl Cell {
    /// Compares an access with those before and remembers it.
    #[inline(always)]
    fn access(&mut self, new: &Access, order: &Order) -> Option<Conflicts> {
        let (writes, is_strong) = (new.kind.writes(), new.kind.is_strong());
        let mut conflicts: Conflicts = [None, None, None, None];
        let mut any = false;
        let after_write = |between_warps: bool| match (between_warps, writes) {
            (true, true) => Kind::RaceWriteAfterWrite,
            (true, false) => Kind::RaceReadAfterWrite,
            (false, true) => Kind::WarpRaceWriteAfterWrite,
            (false, false) => Kind::WarpRaceReadAfterWrite,
        };
        let writes_same = writes && new.is_same;
        let both_strong = self.write_is_strong && is_strong;
        if self.write_clock != 0 && self.write_thread != new.thread && !both_strong {
            let other = self.write_thread as usize / 32;
            let (pc, thread) = (self.write_pc, self.write_thread);
            if other != new.warp {
                if !order.knows(new.warp, other, self.write_clock) {
                    let kind = after_write(true);
                    conflicts[0] = Some(Conflict { kind, is_error: !writes_same, pc, thread });
                    any = true;
                }
            } else if new.epoch <= self.write_epoch && !writes_same {
                let kind = after_write(false);
                conflicts[0] = Some(Conflict { kind, is_error: false, pc, thread });
                any = true;
            }
        }
        let other = self.plain_thread as usize / 32;
        if both_strong && other != new.warp && !order.knows(new.warp, other, self.plain_clock) {
            let (kind, is_error) = (after_write(true), !writes_same);
            let (pc, thread) = (self.plain_pc, self.plain_thread);
            conflicts[1] = Some(Conflict { kind, is_error, pc, thread });
            any = true;
        }
        if writes {
            if self.readers != 0 && self.read_whole == order.whole {
                [conflicts[2], conflicts[3]] = self.after_reads(new, order);
                any |= conflicts[2].is_some() || conflicts[3].is_some();
            }
            self.remember_write(new, order);
        } else if !(new.kind == AccessKind::StrongRead && self.write_is_strong) {
            // a strong read among strong accesses leaves no mark
            self.remember_read(new, order);
        }
        any.then_some(conflicts)
    }

    /// A write after reads since the last barrier of the block: by the warp, by others.
    #[inline(always)]
    fn after_reads(&self, new: &Access, order: &Order) -> [Option<Conflict>; 2] {
        let reader = self.read_thread as usize / 32;
        let (pc, is_error) = (self.read_pc, !new.is_same);
        let by_other = |thread| Conflict { kind: Kind::RaceWriteAfterRead, is_error, pc, thread };
        if reader != new.warp {
            let is_known = order.knows(new.warp, reader, self.read_clock);
            return [None, (!is_known).then(|| by_other(self.read_thread))];
        }
        let both_strong = self.write_is_strong && new.kind.is_strong();
        let is_unordered = self.read_thread != new.thread && new.epoch <= self.read_epoch;
        let (kind, thread) = (Kind::WarpRaceWriteAfterRead, self.read_thread);
        let in_warp = Conflict { kind, is_error: false, pc, thread };
        let others = self.readers & !(1 << new.warp);
        let is_other = others != 0 && !order.is_partial;
        [
            (is_unordered && !both_strong).then_some(in_warp),
            is_other.then(|| by_other(others.trailing_zeros() as u16 * 32)),
        ]
    }

    #[inline(always)]
    fn remember_write(&mut self, new: &Access, order: &Order) {
        self.write_clock = order.now(new.warp);
        self.write_thread = new.thread;
        self.write_epoch = new.epoch;
        self.write_pc = new.pc;
        self.write_is_strong = new.kind.is_strong();
        if !self.write_is_strong {
            self.plain_clock = self.write_clock;
            self.plain_pc = new.pc;
            self.plain_thread = new.thread;
            self.readers = 0;
        }
    }

    #[inline(always)]
    fn remember_read(&mut self, new: &Access, order: &Order) {
        if self.read_whole != order.whole {
            self.readers = 0;
            self.read_whole = order.whole;
        }
        self.readers |= 1 << new.warp;
        self.read_clock = order.now(new.warp);
        self.read_thread = new.thread;
        self.read_epoch = new.epoch;
        self.read_pc = new.pc;
    }
}
