//! Runs a grid: its blocks, or clusters of them, on the threads of the host.

use super::block::{Block, Step};
use super::cluster;
use super::cluster_shape::ClusterShape;
use super::memory::{Memory, View};
use super::random;
use crate::checks::{Fault, Findings, Kind};
use crate::counters::Counters;
use crate::driver::error::CUDA_ERROR_LAUNCH_FAILED;
use crate::options::{BlockOrder, Options};
use crate::ptx::kernel::Kernel;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Instructions of a warp before the next one's turn, where nothing else ends it.
const QUANTUM: i64 = 20_000;
/// With other blocks side by side.
const QUANTUM_TOGETHER: i64 = 5000;

/// A launch, as its blocks see it.
pub struct Launch<'a> {
    pub kernel: &'a Kernel,
    /// number of the device
    pub device: usize,
    pub grid: [u32; 3],
    pub block: [u32; 3],
    /// `ClusterShape::ONE` for a launch without clusters
    pub cluster: ClusterShape,
    pub is_explicit_cluster: bool,
    pub dynamic_shared: u32,
    pub params: Vec<u8>,
    pub view: View,
    pub memory: &'a Memory,
    pub options: &'a Options,
    pub findings: &'a Findings,
    /// CUDA's number of the first error; 0 without
    pub error: AtomicU32,
    pub start: std::time::Instant,
    pub multiprocessors: u32,
    /// grid workspace of a cooperative launch; 0 for another
    pub workspace: u64,
    /// of this launch, for the marks in global memory
    pub id: u32,
    /// the kernel orders blocks among themselves (fences, strong accesses): conflicts are only hints
    pub ordered: bool,
}

impl Launch<'_> {
    pub fn threads(&self) -> u32 {
        self.block.iter().product()
    }

    fn fail(&self, Fault(error): Fault) {
        let _ = self.error.compare_exchange(0, error, Relaxed, Relaxed);
    }

    fn panicked(&self) {
        let text = || "the emulator itself failed; see standard error".into();
        self.findings.add(&self.kernel.name, Kind::EmulatorPanic, true, 0, 0, text);
        self.fail(Fault(CUDA_ERROR_LAUNCH_FAILED));
    }
}

/// Runs the launch to its end or its first error. All blocks of a cooperative one are there at once.
pub fn run(launch: &Launch, is_cooperative: bool) -> Counters {
    let clusters = launch.cluster.clusters(launch.grid).iter().map(|&x| x as u64).product::<u64>();
    if is_cooperative {
        let mut blocks = blocks(launch, clusters * launch.cluster.size() as u64);
        run_clusters(launch, &mut blocks, 0..clusters).unwrap_or_else(|fault| launch.fail(fault));
        return sum(&blocks);
    }
    let next = AtomicU64::new(0);
    let threads = (launch.options.threads as u64).min(clusters);
    let mut counters = Counters::default();
    std::thread::scope(|scope| {
        let run = || catch_unwind(AssertUnwindSafe(|| work(launch, &next, clusters)));
        // this thread is one of them
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(run)).collect();
        let own = run();
        let theirs = others.into_iter().map(|other| other.join().and_then(|part| part));
        for part in std::iter::once(own).chain(theirs) {
            match part {
                Ok(part) => counters.add(&part),
                Err(_) => launch.panicked(),
            }
        }
    });
    counters
}

/// What one thread of the host does: the next cluster, until there is none.
fn work(launch: &Launch, next: &AtomicU64, clusters: u64) -> Counters {
    let mut blocks = blocks(launch, launch.cluster.size() as u64);
    loop {
        let n = next.fetch_add(1, Relaxed);
        if n >= clusters || launch.error.load(Relaxed) != 0 {
            break;
        }
        let n = launch.options.block_order.nth(n, clusters);
        if let Err(fault) = run_clusters(launch, &mut blocks, n..n + 1) {
            launch.fail(fault);
            break;
        }
    }
    sum(&blocks)
}

fn blocks<'a>(launch: &'a Launch<'a>, count: u64) -> Vec<Block<'a>> {
    (0..count).map(|_| Block::new(launch)).collect()
}

fn sum(blocks: &[Block]) -> Counters {
    let mut counters = Counters::default();
    blocks.iter().for_each(|block| counters.add(&block.counters));
    counters
}

/// Runs the clusters with these numbers, all at once.
fn run_clusters(launch: &Launch, blocks: &mut [Block], clusters: Range<u64>) -> Result<(), Fault> {
    let (shape, grid) = (launch.cluster, launch.grid);
    let numbers = clusters.flat_map(|n| (0..shape.size()).map(move |r| shape.block(n, r, grid)));
    for (block, number) in blocks.iter_mut().zip(numbers) {
        block.reset(number);
    }
    run_side_by_side(launch, blocks)
}

/// Runs blocks that are on the device together, each for a while in turn: those of a cluster, or of
/// a cooperative grid.
fn run_side_by_side(launch: &Launch, blocks: &mut [Block]) -> Result<(), Fault> {
    let count = blocks.len() as u64;
    let quantum = if count == 1 { QUANTUM } else { QUANTUM_TOGETHER };
    let first = blocks.as_mut_ptr();
    // SAFETY: all blocks of these clusters, which stay where they are while they run
    unsafe { cluster::form(first, blocks.len()) };
    let order = launch.options.block_order;
    let mut live: Vec<usize> = (0..count).map(|n| order.nth(n, count) as usize).collect();
    while !live.is_empty() {
        if launch.options.seed != 0 && live.len() > 1 {
            // SAFETY: see below
            let turn = random(unsafe { &mut (*first).random_state }) as usize;
            let n = live.len();
            live.rotate_left(turn % n);
        }
        let (mut moved, mut fault) = (false, Ok(()));
        live.retain(|&b| {
            if fault.is_err() {
                return true;
            }
            // SAFETY: one of `blocks`. The blocks of a cluster reach one another through the same
            // pointer, so no reference to one of them outlives its turn.
            let step = unsafe { (*first.add(b)).step(quantum) };
            let step = step.unwrap_or_else(|f| {
                fault = Err(f);
                Step::Stuck
            });
            moved |= step != Step::Stuck;
            step != Step::Done
        });
        fault?;
        if !moved {
            return Err(deadlock(launch, blocks, &live));
        }
    }
    Ok(())
}

/// No thread of these blocks can go on.
fn deadlock(launch: &Launch, blocks: &[Block], live: &[usize]) -> Fault {
    launch.findings.add(&launch.kernel.name, Kind::Deadlock, true, 0, 0, || {
        let describe = |b: &usize| {
            let Block { index, .. } = &blocks[*b];
            format!("block {index:?}: no thread can go on: {}", blocks[*b].describe_state())
        };
        live.iter().take(4).map(describe).collect::<Vec<_>>().join("; ")
    });
    Fault(CUDA_ERROR_LAUNCH_FAILED)
}

impl BlockOrder {
    /// What runs as the `n`th of `count`.
    fn nth(self, n: u64, count: u64) -> u64 {
        match self {
            BlockOrder::Ascending => n,
            BlockOrder::Reverse => count - 1 - n,
            // odd numbers first
            BlockOrder::Odd if n < count / 2 => n * 2 + 1,
            BlockOrder::Odd => (n - count / 2) * 2,
        }
    }
}
