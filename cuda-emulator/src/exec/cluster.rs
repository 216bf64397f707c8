//! Clusters at run time: their barrier, the shared memory of the other blocks, and the checks of
//! both.
//!
//! A shared address has the owner's rank and one more in its top byte, its tag; a block also
//! reaches its own memory without a tag. Blocks of a cluster are ordered by its barrier alone. It
//! waits for every thread, so what a warp knows of the other blocks is told by the number of cluster
//! barriers it has seen: the barrier keeps the clocks that arrivals brought to the last two.

use super::*;
use std::cell::RefCell;
use std::rc::Rc;

/// Addresses per tag, more than a block can have of shared memory.
pub(super) const TAG: u64 = 1 << 24;
/// Of a rank that no cluster has.
const NO_TAG: u64 = 0xff;

/// Clocks of the warps of one block.
type Clocks = [u32; 32];

fn join(a: &mut Clocks, b: &Clocks) {
    for (a, b) in a.iter_mut().zip(b) {
        *a = (*a).max(*b);
    }
}

/// The barrier of a cluster, and what it has told the blocks of one another. Warps are numbered
/// through the cluster.
struct Barrier {
    warps: usize,
    /// threads that the warps started with
    born: Vec<u32>,
    /// those that have not exited
    alive: Vec<u32>,
    /// those that have arrived in this phase
    arrived: Vec<u32>,
    /// place of the last arrival
    last: u32,
    /// phases completed
    phase: u32,
    /// clocks that arrivals have carried so far, by block
    carried: Vec<Clocks>,
    /// what the last phase had carried when it completed, and the one before
    known: [Vec<Clocks>; 2],
}

impl Barrier {
    fn new(born: Vec<u32>, ranks: usize) -> Barrier {
        let none = vec![[0; 32]; ranks];
        Barrier {
            warps: born.len() / ranks,
            alive: born.clone(),
            arrived: vec![0; born.len()],
            born,
            last: 0,
            phase: 0,
            carried: none.clone(),
            known: [none.clone(), none],
        }
    }

    /// Has somebody arrived, and every thread that has not exited?
    fn ready(&self) -> bool {
        let here = |(live, here): (&u32, &u32)| live & !here == 0;
        self.arrived.iter().any(|&m| m != 0) && self.alive.iter().zip(&self.arrived).all(here)
    }

    /// Rank, warp and lane of a thread that exited without arriving in this phase.
    fn missing(&self) -> Option<(usize, usize, usize)> {
        let gone = self.born.iter().zip(&self.arrived).map(|(all, here)| all & !here);
        let (warp, lanes) = gone.enumerate().find(|&(_, lanes)| lanes != 0)?;
        Some((warp / self.warps, warp % self.warps, lanes.trailing_zeros() as usize))
    }

    fn complete(&mut self) {
        self.phase += 1;
        self.known[self.phase as usize & 1].clone_from(&self.carried);
        self.arrived.fill(0);
    }

    /// Has a warp that saw `seen` phases been told of this moment of that warp?
    fn knows(&self, seen: u32, rank: usize, warp: usize, clock: u32) -> bool {
        seen > 0 && self.known[seen as usize & 1][rank][warp] >= clock
    }

    fn gone(&self, rank: usize) -> bool {
        self.alive[rank * self.warps..][..self.warps].iter().all(|&m| m == 0)
    }
}

/// One access to a word of shared memory.
#[derive(Clone, Copy, Default)]
struct Mark {
    /// of its warp; 0: no access
    clock: u32,
    /// order of the lanes of its warp
    lane: u32,
    pc: u32,
    rank: u8,
    /// of the word
    bytes: u8,
    thread: u16,
    strong: bool,
}

impl Mark {
    fn warp(&self) -> usize {
        self.thread as usize / 32
    }
}

/// The last accesses to a word: the last write, the last plain one, the last plain reads of two
/// different blocks.
#[derive(Clone, Copy, Default)]
struct Word {
    write: Mark,
    plain: Mark,
    reads: [Mark; 2],
}

/// How an earlier access of another thread lies to this one.
enum Order {
    Before,
    /// the same warp, nothing between
    Warp,
    Unknown,
}

/// A block as part of its cluster.
pub(super) struct Member<'a> {
    rank: usize,
    size: usize,
    /// the first block of the cluster, the others follow it
    first: *mut Block<'a>,
    barrier: Rc<RefCell<Barrier>>,
    /// phases of the barrier that this block's own race check has taken note of
    phase: u32,
    /// per warp: phases that it has waited for, or was told of at a barrier of the block
    seen: Vec<u32>,
    /// per warp: lanes that have arrived and not waited yet
    pending: Vec<u32>,
    /// per warp: its clocks at its last fence
    fenced: Vec<Clocks>,
    /// per warp of the cluster: clock and place of its last access to this block's memory
    visits: Vec<(u32, u32)>,
    /// this block's shared memory, as the race check sees it
    words: Vec<Word>,
}

impl<'a> Member<'a> {
    /// For a block of `warps` warps and `shared` bytes, if the launch has to know of clusters.
    pub(super) fn of(l: &Launch, warps: usize, shared: usize) -> Option<Box<Member<'a>>> {
        let size = l.cluster.size() as usize;
        (l.explicit_cluster || l.k.uses_cluster).then(|| {
            Box::new(Member {
                rank: 0,
                size,
                first: std::ptr::null_mut(),
                barrier: Rc::new(RefCell::new(Barrier::new(vec![0; size * warps], size))),
                phase: 0,
                seen: vec![0; warps],
                pending: vec![0; warps],
                fenced: vec![[0; 32]; warps],
                visits: vec![(0, 0); size * warps],
                words: vec![Word::default(); if l.opts.race { shared.div_ceil(4) } else { 0 }],
            })
        })
    }

    /// Warps of the block met at a barrier of the block.
    pub(super) fn meet(&mut self, arrived: &[u32]) {
        let there = |(&seen, &lanes): (&u32, &u32)| if lanes != 0 { seen } else { 0 };
        let seen = self.seen.iter().zip(arrived).map(there).max().unwrap_or(0);
        for (s, lanes) in self.seen.iter_mut().zip(arrived) {
            if *lanes != 0 {
                *s = seen;
            }
        }
    }

    fn knows(&self, warp: usize, of: &Mark) -> bool {
        self.barrier.borrow().knows(self.seen[warp], of.rank as usize, of.warp(), of.clock)
    }
}

/// Makes clusters of blocks that were just reset: each is followed by the others of its cluster.
///
/// # Safety
/// `first` points to `count` blocks, whole clusters, that stay where they are while they run.
pub(super) unsafe fn form(first: *mut Block, count: usize) {
    let size = match &(*first).member {
        Some(m) => m.size,
        None => return,
    };
    for start in (0..count).step_by(size) {
        let first = first.add(start);
        let born = (0..size).flat_map(|r| (*first.add(r)).warps.iter().map(|w| w.alive));
        let barrier = Rc::new(RefCell::new(Barrier::new(born.collect(), size)));
        for rank in 0..size {
            let block = &mut *first.add(rank);
            block.tag = rank as u64 + 1;
            let Some(m) = &mut block.member else { continue };
            m.rank = rank;
            m.first = first;
            m.barrier = barrier.clone();
            m.phase = 0;
            m.seen.fill(0);
            m.pending.fill(0);
            m.fenced.fill([0; 32]);
            m.visits.fill((0, 0));
            m.words.fill(Word::default());
        }
    }
}

impl<'a> Block<'a> {
    // ---- barrier ----

    /// Threads arrive; they go on.
    pub(super) fn cluster_arrive(&mut self, wi: usize, pc: u32, em: u32, release: bool) {
        let again = self.member.as_ref().map_or(0, |m| m.pending[wi] & em);
        if again != 0 {
            let what = "arrives again before it waited";
            self.barrier_misused("barrier_overrun", wi, pc, again, what);
        }
        let Some(m) = &mut self.member else { return };
        m.pending[wi] |= em;
        let clocks = if release { self.vc[wi] } else { m.fenced[wi] };
        let mut b = m.barrier.borrow_mut();
        join(&mut b.carried[m.rank], &clocks);
        let warp = m.rank * b.warps + wi;
        b.arrived[warp] |= em;
        b.last = pc;
        drop(b);
        // what comes between arriving and waiting is not carried
        self.vc[wi][wi] += 1;
        self.st.cluster_bars += 1;
        self.cluster_complete();
    }

    /// Threads wait for the phase they arrived in.
    pub(super) fn cluster_wait(&mut self, wi: usize, g: &Group, em: u32) {
        let Some(m) = &self.member else { return };
        let wait = em & m.pending[wi];
        if wait != em {
            let what = "waits without having arrived";
            self.barrier_misused("barrier_without_arrive", wi, g.pc, em & !wait, what);
        }
        let groups = &mut self.warps[wi].groups;
        if g.mask != wait {
            groups.push(Group { pc: g.pc + 1, mask: g.mask & !wait, ..*g });
        }
        if wait != 0 {
            groups.push(Group { mask: wait, st: St::Cluster, ..*g });
        }
        self.cluster_wake(wi);
    }

    /// Lets lanes go on whose phase has completed: whether there were any.
    pub(super) fn cluster_wake(&mut self, wi: usize) -> bool {
        let Some(m) = &mut self.member else { return false };
        let b = m.barrier.borrow();
        let still = b.arrived[m.rank * b.warps + wi];
        let mut woken = 0;
        for g in &mut self.warps[wi].groups {
            if g.st == St::Cluster && g.mask & still == 0 {
                g.st = St::Run;
                g.pc += 1;
                woken |= g.mask;
            }
        }
        if woken == 0 {
            return false;
        }
        m.pending[wi] &= !woken;
        m.seen[wi] = b.phase;
        join(&mut self.vc[wi], &b.known[b.phase as usize & 1][m.rank]);
        drop(b);
        self.bump_le(wi, woken);
        true
    }

    /// Takes note of threads that have exited: nobody waits for them.
    pub(super) fn cluster_exit(&mut self) {
        let Some(m) = &self.member else { return };
        let mut b = m.barrier.borrow_mut();
        let first = m.rank * b.warps;
        for (alive, w) in b.alive[first..].iter_mut().zip(&self.warps) {
            *alive = w.alive;
        }
        drop(b);
        self.cluster_complete();
    }

    /// Ends the phase of the barrier if nobody is missing.
    fn cluster_complete(&mut self) {
        let Some(m) = &self.member else { return };
        let mut b = m.barrier.borrow_mut();
        if !b.ready() {
            return;
        }
        if let Some((rank, warp, lane)) = b.missing() {
            let l = self.l;
            l.f.add(&l.k.name, "barrier_after_exit", false, b.last, 0, || {
                let (thread, cta) = (self.thread(warp, lane), self.cta_of(rank));
                format!(
                    "thread {thread:?} of block {cta:?} had exited when the others met at the barrier of the cluster at {}",
                    place(l.k, b.last)
                )
            });
        }
        b.complete();
        drop(b);
        self.cluster_phase();
    }

    /// A phase orders the warps of each block as a barrier of the block does.
    pub(super) fn cluster_phase(&mut self) {
        let Some(m) = &mut self.member else { return };
        let phase = m.barrier.borrow().phase;
        if m.phase != phase {
            m.phase = phase;
            self.full += 1;
            self.partial = false;
        }
    }

    /// An arrival without `.release` carries what came before the last fence.
    pub(super) fn cluster_fence(&mut self, wi: usize, cluster: bool) {
        if let (true, Some(m)) = (cluster, &mut self.member) {
            m.fenced[wi] = self.vc[wi];
            self.vc[wi][wi] += 1;
        }
    }

    #[cold]
    fn barrier_misused(&self, kind: &'static str, wi: usize, pc: u32, lanes: u32, what: &str) {
        let l = self.l;
        let thread = self.thread(wi, lanes.trailing_zeros() as usize);
        l.f.add(&l.k.name, kind, true, pc, 0, || {
            let cta = self.cta;
            format!(
                "thread {thread:?} of block {cta:?} {what} at the barrier of its cluster, at {}",
                place(l.k, pc)
            )
        });
    }

    // ---- addresses ----

    /// A shared address, without the tag if it is this block's own.
    #[inline(always)]
    pub(super) fn near(&self, a: u64) -> u64 {
        let a = a & 0xffff_ffff;
        if a / TAG == self.tag { a % TAG } else { a }
    }

    fn shared_address(&self, wi: usize, pc: u32, lane: usize, a: u64, generic: bool) -> Res<u64> {
        let low = if generic { a.wrapping_sub(SH_WIN) } else { a };
        if low < WIN {
            return Ok(low);
        }
        let text = format!("{a:#x} is no address of shared memory,");
        Err(self.fault(wi, pc, "cluster_address", E_SPACE, lane, text))
    }

    /// The same place in the block with this rank.
    pub(super) fn mapa(
        &self,
        wi: usize,
        pc: u32,
        lane: usize,
        a: u64,
        rank: u64,
        generic: bool,
    ) -> Res<u64> {
        let low = self.shared_address(wi, pc, lane, a, generic)?;
        let size = self.member.as_ref().map_or(1, |m| m.size as u64);
        let rank = rank & 0xffff_ffff;
        let tag = if rank < size { rank + 1 } else { NO_TAG };
        Ok(a - low + low % TAG + tag * TAG)
    }

    /// The rank of the block that an address belongs to.
    pub(super) fn cta_rank(
        &self,
        wi: usize,
        pc: u32,
        lane: usize,
        a: u64,
        generic: bool,
    ) -> Res<u64> {
        let low = self.shared_address(wi, pc, lane, a, generic)?;
        let own = self.tag.max(1);
        Ok(if low < TAG { own } else { low / TAG } - 1)
    }

    // ---- memory of other blocks ----

    /// Coordinates of the block with this rank.
    fn cta_of(&self, rank: usize) -> [u32; 3] {
        match self.owner(rank as u64 + 1) {
            // SAFETY: another block of the cluster: none runs but this one
            Some(b) if rank as u64 + 1 != self.tag => unsafe { (*b).cta },
            _ => self.cta,
        }
    }

    /// The block of the cluster with this tag.
    fn owner(&self, tag: u64) -> Option<*mut Block<'a>> {
        let m = self.member.as_ref()?;
        let rank = (tag as usize).checked_sub(1)?;
        // SAFETY: `form` put the whole cluster there
        (rank < m.size).then(|| unsafe { m.first.add(rank) })
    }

    /// What is noted of bytes of shared memory that were accessed without a fault.
    pub(super) fn init_at(&mut self, a: u64, n: usize) -> &mut [u8] {
        let off = (a % TAG - SH_BASE) as usize;
        match self.owner(a / TAG) {
            // SAFETY: another block of the cluster: none runs but this one
            Some(b) if a >= TAG => unsafe { &mut (&mut (*b).sinit)[off..off + n] },
            _ => &mut self.sinit[off..off + n],
        }
    }

    /// `shared_at` for a tagged address, which is another block's.
    #[cold]
    pub(super) fn far_at(
        &mut self,
        wi: usize,
        pc: u32,
        lane: usize,
        a: u64,
        n: u32,
        kind: u8,
        new: Option<&[u8]>,
        used: u32,
    ) -> Res<*mut u8> {
        let wr = !matches!(kind, 0 | 3);
        let off = (a % TAG).wrapping_sub(SH_BASE);
        let what = || format!("shared {} of {n} bytes at offset {}", rw(wr), off as i64);
        let owner = self.open(wi, pc, lane, a / TAG, what)?;
        // SAFETY: another block of the cluster: none runs but this one
        let owner = unsafe { &mut *owner };
        let (size, theirs) = (owner.shared.len() as u64, owner.cta);
        if off.saturating_add(n as u64) > size {
            let t = format!("invalid {} of {size} bytes in block {theirs:?}", what());
            return Err(self.fault(wi, pc, "oob_shared", E_ILLEGAL_ADDRESS, lane, t));
        }
        if a & (n as u64 - 1) != 0 {
            let t = format!("{} in block {theirs:?}", what());
            return Err(self.fault(wi, pc, "misaligned", E_MISALIGNED, lane, t));
        }
        let bytes = off as usize..off as usize + n as usize;
        let (un, pend) = init_marks(&mut owner.sinit[bytes.clone()], used, wr);
        self.last_un = un != 0 && !wr;
        if un | pend != 0 {
            self.init_findings(wi, pc, lane, bytes.start, n, kind, un, pend, theirs);
        }
        let data = &mut owner.shared[bytes.clone()];
        let same = new.is_some_and(|b| b == data);
        let p = data.as_mut_ptr();
        if self.l.opts.race {
            if let (Some(m), Some(host)) = (&self.member, &mut owner.member) {
                host.visits[m.rank * self.nwarps + wi] = (self.vc[wi][wi], pc);
            }
            self.cluster_race(Some(owner), wi, lane, kind, pc, bytes.start, n, used, same);
        }
        Ok(p)
    }

    /// The block with this tag, if the instruction may access its memory now.
    fn open(
        &self,
        wi: usize,
        pc: u32,
        lane: usize,
        tag: u64,
        what: impl Fn() -> String,
    ) -> Res<*mut Block<'a>> {
        let l = self.l;
        let (Some(owner), Some(m)) = (self.owner(tag), &self.member) else {
            let t = format!("{} of a block that is not in the cluster", what());
            return Err(self.fault(wi, pc, "oob_shared", E_ILLEGAL_ADDRESS, lane, t));
        };
        let theirs = || format!("in the memory of block {:?}", self.cta_of(tag as usize - 1));
        let space = match l.k.code[pc as usize].op {
            Op::Ld(m) | Op::St(m) | Op::Atom { m, .. } => m.sp,
            _ => Space::Shared,
        };
        if space == Space::Shared {
            let t = format!("{} {} by an instruction without ::cluster,", what(), theirs());
            return Err(self.fault(wi, pc, "oob_shared", E_ILLEGAL_ADDRESS, lane, t));
        }
        if m.barrier.borrow().gone(tag as usize - 1) {
            let t = format!("{} {}, which has exited,", what(), theirs());
            return Err(self.fault(wi, pc, "cluster_exited", E_LAUNCH_FAILED, lane, t));
        }
        // the barrier of a cooperative grid shows it as well
        if m.seen[wi] == 0 && l.ws == 0 {
            l.f.add(&l.k.name, "cluster_not_started", true, pc, 0, || {
                format!(
                    "{} {} before a barrier of the cluster has shown that it has started, at {} by thread {:?} of block {:?}",
                    what(),
                    theirs(),
                    place(l.k, pc),
                    self.thread(wi, lane),
                    self.cta
                )
            });
        }
        Ok(owner)
    }

    /// At the end of a block: may another one still be about to access its memory?
    pub(super) fn cluster_leave(&mut self) {
        let Some(m) = &self.member else { return };
        let l = self.l;
        let b = m.barrier.borrow();
        let seen = m.seen.iter().max().copied().unwrap_or(0);
        for (i, &(clock, pc)) in m.visits.iter().enumerate() {
            let (rank, warp) = (i / b.warps, i % b.warps);
            if clock > 0 && !b.knows(seen, rank, warp, clock) {
                l.f.add(&l.k.name, "cluster_exited", !l.ordered, pc, 0, || {
                    let other = self.cta_of(rank);
                    format!(
                        "warp {warp} of block {other:?} accesses the shared memory of block {:?} at {}, with no barrier of the cluster between that and the exit of the block",
                        self.cta,
                        place(l.k, pc)
                    )
                });
            }
        }
    }

    // ---- races ----

    fn order(&self, old: &Mark, new: &Mark) -> Order {
        let Some(m) = &self.member else { return Order::Before };
        let warp = new.warp();
        let before = if old.rank != new.rank {
            m.knows(warp, old)
        } else if old.warp() != warp {
            self.vc[warp][old.warp()] >= old.clock
        } else if old.thread == new.thread || old.lane < new.lane {
            true
        } else {
            return Order::Warp;
        };
        if before { Order::Before } else { Order::Unknown }
    }

    /// Checks an access to the memory of `owner`, or to the block's own, against those of other
    /// blocks. What a block does to its own memory, `race` compares.
    #[inline(never)]
    pub(super) fn cluster_race(
        &mut self,
        owner: Option<&mut Block>,
        wi: usize,
        lane: usize,
        kind: u8,
        pc: u32,
        off: usize,
        n: u32,
        used: u32,
        same: bool,
    ) {
        let Some(m) = &mut self.member else { return };
        let rank = m.rank as u8;
        let own = owner.is_none();
        let (words, cta) = match owner {
            Some(b) => {
                let Some(host) = &mut b.member else { return };
                (&raw mut host.words, b.cta)
            }
            None => (&raw mut m.words, self.cta),
        };
        // SAFETY: the vector is not touched by another way until the end of this function
        let words = unsafe { &mut *words };
        let write = matches!(kind, 1 | 2 | 4);
        let mut new = Mark {
            clock: self.vc[wi][wi],
            lane: self.warps[wi].le[lane],
            pc,
            rank,
            bytes: 0,
            thread: (wi * 32 + lane) as u16,
            strong: kind >= 2,
        };
        for at in off / 4..(off + n as usize).div_ceil(4) {
            let touched = |b: &usize| {
                let z = (at * 4 + b).wrapping_sub(off);
                z < n as usize && used >> z & 1 == 1
            };
            new.bytes = (0..4).filter(touched).fold(0, |s, b| s | 1 << b);
            if new.bytes == 0 {
                continue;
            }
            let word = &mut words[at];
            let check = |old: &Mark, kinds: [&'static str; 2]| {
                let clash = old.clock != 0
                    && old.bytes & new.bytes != 0
                    && !(old.strong && new.strong)
                    && !(own && old.rank == rank);
                if clash {
                    self.cluster_hazard(kinds, old, &new, cta, at * 4, same && write);
                }
            };
            let after_write = if write {
                ["cluster_race_write_after_write", "warp_race_write_after_write"]
            } else {
                ["cluster_race_read_after_write", "warp_race_read_after_write"]
            };
            check(&word.write, after_write);
            if word.write.strong {
                check(&word.plain, after_write);
            }
            if write {
                for read in &word.reads {
                    check(read, ["cluster_race_write_after_read", "warp_race_write_after_read"]);
                }
                word.write = new;
                if !new.strong {
                    word.plain = new;
                }
            } else if !new.strong {
                if word.reads[0].rank != rank {
                    word.reads[1] = word.reads[0];
                }
                word.reads[0] = new;
            }
        }
    }

    /// Two accesses that clash unless something orders them. `kinds`: by two warps, by one.
    fn cluster_hazard(
        &self,
        kinds: [&'static str; 2],
        old: &Mark,
        new: &Mark,
        of: [u32; 3],
        off: usize,
        same: bool,
    ) {
        let l = self.l;
        let (kind, error) = match self.order(old, new) {
            Order::Before => return,
            Order::Warp => (kinds[1], false),
            Order::Unknown => (kinds[0], !same && !l.ordered),
        };
        l.f.add(&l.k.name, kind, error, old.pc, new.pc, || {
            let by = |m: &Mark| {
                let cta = self.cta_of(m.rank as usize);
                let thread = self.thread(m.warp(), m.thread as usize % 32);
                format!("thread {thread:?} of block {cta:?} at {}", place(l.k, m.pc))
            };
            let note = if same {
                " (same value)"
            } else if l.ordered {
                " (the kernel has fences or strong accesses that may order them)"
            } else {
                ""
            };
            format!("shared offset {off} of block {of:?}: {} and {} with no barrier of the cluster between{note}", by(old), by(new))
        });
    }

    /// Has this warp passed a barrier of the cluster that the block numbered `other` is in too?
    /// Then the marks in global memory cannot tell which access came before it.
    pub(super) fn has_met(&self, wi: usize, other: u64) -> bool {
        let shape = self.l.cluster;
        self.member.as_ref().is_some_and(|m| m.seen[wi] > 0)
            && shape.id(coordinates(other, self.l.grid)) == shape.id(self.cta)
    }
}
