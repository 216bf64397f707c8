//! Clusters at run time: their barrier, and addresses in the shared memory of the other blocks.
//!
//! A shared address has the owner's rank and one more in its top byte, its tag; a block also
//! reaches its own memory without a tag. Blocks of a cluster are ordered by its barrier alone. It
//! waits for every thread, so what a warp knows of the other blocks is told by the number of cluster
//! barriers it has seen: the barrier keeps the clocks that arrivals brought to the last two.

use super::block::{At, Block};
use super::grid::Launch;
use super::warp::{Group, State};
use crate::checks::cluster::Word;
use crate::checks::order::{Clocks, join};
use crate::checks::{Fault, Kind};
use crate::driver::error::CUDA_ERROR_INVALID_ADDRESS_SPACE;
use crate::ptx::kernel::*;
use std::cell::RefCell;
use std::rc::Rc;

/// Addresses per tag, more than a block can have of shared memory.
pub const TAG_SIZE: u64 = 1 << 24;
/// Of a rank that no cluster has.
const NO_TAG: u64 = 0xff;

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

/// A block as part of its cluster.
pub struct Member<'a> {
    pub(crate) rank: usize,
    size: usize,
    /// the first block of the cluster, the others follow it
    first: *mut Block<'a>,
    barrier: Rc<RefCell<Barrier>>,
    /// phases of the barrier that this block's own race check has taken note of
    phase: u32,
    /// per warp: phases that it has waited for, or was told of at a barrier of the block
    pub(crate) seen: Vec<u32>,
    /// per warp: lanes that have arrived and not waited yet
    pending: Vec<u32>,
    /// per warp: its clocks at its last fence
    fenced: Vec<Clocks>,
    /// per warp of the cluster: clock and place of its last access to this block's memory
    pub(crate) visits: Vec<(u32, u32)>,
    /// this block's shared memory, as the race check sees it
    pub(crate) words: Vec<Word>,
}

impl<'a> Member<'a> {
    /// For a block of `warps` warps and `shared` bytes, if the launch has to know of clusters.
    pub(crate) fn of(launch: &Launch, warps: usize, shared: usize) -> Option<Box<Member<'a>>> {
        let size = launch.cluster.size() as usize;
        (launch.is_explicit_cluster || launch.kernel.uses_cluster).then(|| {
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
                words: vec![
                    Word::default();
                    if launch.options.race { shared.div_ceil(4) } else { 0 }
                ],
            })
        })
    }

    /// Warps of the block met at a barrier of the block.
    pub(crate) fn meet(&mut self, arrived: &[u32]) {
        let there = |(&seen, &lanes): (&u32, &u32)| if lanes != 0 { seen } else { 0 };
        let seen = self.seen.iter().zip(arrived).map(there).max().unwrap_or(0);
        for (s, lanes) in self.seen.iter_mut().zip(arrived) {
            if *lanes != 0 {
                *s = seen;
            }
        }
    }

    /// Has `warp` been told of that moment of a warp of the block with this rank?
    pub(crate) fn knows(&self, warp: usize, rank: usize, other: usize, clock: u32) -> bool {
        self.barrier.borrow().knows(self.seen[warp], rank, other, clock)
    }

    /// Has the block with this rank exited?
    pub(crate) fn has_exited(&self, rank: usize) -> bool {
        self.barrier.borrow().gone(rank)
    }

    /// Accesses of other blocks to this one's memory of which no barrier told any of its warps:
    /// rank, warp and place.
    pub(crate) fn untold_visits(&self) -> Vec<(usize, usize, u32)> {
        let barrier = self.barrier.borrow();
        let seen = self.seen.iter().max().copied().unwrap_or(0);
        let visit = |(i, &(clock, pc)): (usize, &(u32, u32))| {
            let (rank, warp) = (i / barrier.warps, i % barrier.warps);
            let is_told = clock == 0 || barrier.knows(seen, rank, warp, clock);
            (!is_told).then_some((rank, warp, pc))
        };
        self.visits.iter().enumerate().filter_map(visit).collect()
    }
}

/// Makes clusters of blocks that were just reset: each is followed by the others of its cluster.
///
/// # Safety
/// `first` points to `count` blocks, whole clusters, that stay where they are while they run.
pub(crate) unsafe fn form(first: *mut Block, count: usize) {
    // SAFETY: the caller's; nobody else refers to the blocks now
    unsafe {
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
}

impl<'a> Block<'a> {
    // ---- barrier ----

    /// Threads arrive; they go on.
    pub(crate) fn cluster_arrive(&mut self, at: At, active: u32, releases: bool) {
        let again = self.member.as_ref().map_or(0, |m| m.pending[at.warp()] & active);
        if again != 0 {
            let what = "arrives again before it waited";
            self.cluster_barrier_misused(Kind::BarrierOverrun, at, again, what);
        }
        let Some(m) = &mut self.member else { return };
        m.pending[at.warp()] |= active;
        let clocks = if releases { self.order.clocks[at.warp()] } else { m.fenced[at.warp()] };
        let mut b = m.barrier.borrow_mut();
        join(&mut b.carried[m.rank], &clocks);
        let warp = m.rank * b.warps + at.warp();
        b.arrived[warp] |= active;
        b.last = at.pc;
        drop(b);
        // what comes between arriving and waiting is not carried
        self.order.tick(at.warp());
        self.counters.cluster_barriers += 1;
        self.complete_cluster_phase();
    }

    /// Threads wait for the phase they arrived in.
    pub(crate) fn cluster_wait(&mut self, at: At, group: &Group, active: u32) {
        let Some(m) = &self.member else { return };
        let wait = active & m.pending[at.warp()];
        if wait != active {
            let what = "waits without having arrived";
            self.cluster_barrier_misused(Kind::BarrierWithoutArrive, at, active & !wait, what);
        }
        let groups = &mut self.warps[at.warp()].groups;
        if group.mask != wait {
            groups.push(Group { pc: at.pc + 1, mask: group.mask & !wait, ..*group });
        }
        if wait != 0 {
            groups.push(Group { mask: wait, state: State::AtClusterBarrier, ..*group });
        }
        self.cluster_wake(at.warp());
    }

    /// Lets lanes go on whose phase has completed: whether there were any.
    pub(crate) fn cluster_wake(&mut self, warp: usize) -> bool {
        let Some(m) = &mut self.member else { return false };
        let b = m.barrier.borrow();
        let still = b.arrived[m.rank * b.warps + warp];
        let mut woken = 0;
        for group in &mut self.warps[warp].groups {
            if group.state == State::AtClusterBarrier && group.mask & still == 0 {
                group.state = State::Running;
                group.pc += 1;
                woken |= group.mask;
            }
        }
        if woken == 0 {
            return false;
        }
        m.pending[warp] &= !woken;
        m.seen[warp] = b.phase;
        join(&mut self.order.clocks[warp], &b.known[b.phase as usize & 1][m.rank]);
        drop(b);
        self.warps[warp].order_lanes(woken);
        true
    }

    /// Takes note of threads that have exited: nobody waits for them.
    pub(super) fn cluster_exit(&mut self) {
        let Some(m) = &self.member else { return };
        let mut b = m.barrier.borrow_mut();
        let first = m.rank * b.warps;
        for (alive, warp) in b.alive[first..].iter_mut().zip(&self.warps) {
            *alive = warp.alive;
        }
        drop(b);
        self.complete_cluster_phase();
    }

    /// Ends the phase of the barrier if nobody is missing.
    fn complete_cluster_phase(&mut self) {
        let Some(m) = &self.member else { return };
        let mut b = m.barrier.borrow_mut();
        if !b.ready() {
            return;
        }
        if let Some((rank, warp, lane)) = b.missing() {
            self.report(Kind::BarrierAfterExit, false, [b.last, 0], || {
                let (thread, block) = (self.thread(warp, lane), self.index_of_rank(rank));
                let place = self.launch.kernel.place(b.last);
                format!(
                    "thread {thread:?} of block {block:?} had exited when the others met at the barrier of the cluster at {place}"
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
            self.order.met_whole();
        }
    }

    /// An arrival without `.release` carries what came before the last fence.
    pub(crate) fn cluster_fence(&mut self, warp: usize, is_of_cluster: bool) {
        if let (true, Some(m)) = (is_of_cluster, &mut self.member) {
            m.fenced[warp] = self.order.clocks[warp];
            self.order.tick(warp);
        }
    }

    // ---- addresses ----

    /// A shared address, without the tag if it is this block's own.
    #[inline(always)]
    pub(crate) fn untagged(&self, a: u64) -> u64 {
        let a = a & 0xffff_ffff;
        if a / TAG_SIZE == self.tag { a % TAG_SIZE } else { a }
    }

    fn shared_address(&self, at: At, a: u64, generic: bool) -> Result<u64, Fault> {
        let low = if generic { a.wrapping_sub(SHARED_WINDOW) } else { a };
        if low < WINDOW {
            return Ok(low);
        }
        let text = format!("{a:#x} is no address of shared memory,");
        Err(self.fault(at, Kind::ClusterAddress, CUDA_ERROR_INVALID_ADDRESS_SPACE, text))
    }

    /// The same place in the block with this rank.
    pub(crate) fn mapa(&self, at: At, a: u64, rank: u64, generic: bool) -> Result<u64, Fault> {
        let low = self.shared_address(at, a, generic)?;
        let size = self.member.as_ref().map_or(1, |m| m.size as u64);
        let rank = rank & 0xffff_ffff;
        let tag = if rank < size { rank + 1 } else { NO_TAG };
        Ok(a - low + low % TAG_SIZE + tag * TAG_SIZE)
    }

    /// The rank of the block that an address belongs to.
    pub(crate) fn cta_rank(&self, at: At, a: u64, generic: bool) -> Result<u64, Fault> {
        let low = self.shared_address(at, a, generic)?;
        let tag = if low < TAG_SIZE { self.tag.max(1) } else { low / TAG_SIZE };
        Ok(tag - 1)
    }

    // ---- other blocks ----

    /// Coordinates of the block with this rank.
    pub(crate) fn index_of_rank(&self, rank: usize) -> [u32; 3] {
        match self.block_with_tag(rank as u64 + 1) {
            // SAFETY: another block of the cluster: none runs but this one
            Some(b) if rank as u64 + 1 != self.tag => unsafe { (*b).index },
            _ => self.index,
        }
    }

    /// The block of the cluster with this tag.
    pub(crate) fn block_with_tag(&self, tag: u64) -> Option<*mut Block<'a>> {
        let m = self.member.as_ref()?;
        let rank = (tag as usize).checked_sub(1)?;
        // SAFETY: `form` put the whole cluster there
        (rank < m.size).then(|| unsafe { m.first.add(rank) })
    }

    /// What is noted of bytes of shared memory that were accessed without a fault.
    pub(crate) fn shared_states(&mut self, a: u64, bytes: usize) -> &mut [u8] {
        let offset = (a % TAG_SIZE - SHARED_BASE) as usize;
        match self.block_with_tag(a / TAG_SIZE) {
            Some(b) if a >= TAG_SIZE => {
                // SAFETY: another block of the cluster: none runs but this one
                let states = unsafe { &mut (*b).shared_state };
                &mut states[offset..offset + bytes]
            }
            _ => &mut self.shared_state[offset..offset + bytes],
        }
    }
}
