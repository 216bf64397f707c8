//! What is checked while a kernel runs, apart from running it.
//!
//! * [`bounds`]: every access is within an allocation, aligned and allowed
//! * [`undefined`]: nothing depends on memory that was never written
//! * [`shared_races`], [`block_races`], [`cluster`]: accesses that conflict are ordered ([`order`])
//! * [`barriers`]: threads come to barriers, shuffles and waits as these need it
//! * [`program`]: what the program does through the driver: copies, frees, leaks
//!
//! A check reports a finding ([`Findings`]), and if the kernel cannot go on, a [`Fault`].

pub mod barriers;
pub mod block_races;
pub mod bounds;
pub mod cluster;
pub mod order;
pub mod program;
pub mod shared_races;
pub mod undefined;

use crate::machine::block::{At, Block};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Mutex;

/// Ends a launch: CUDA's number of the error.
#[derive(Debug)]
pub struct Fault(pub u32);

/// How bytes are accessed. Strong accesses do not race with one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessKind {
    Read,
    Write,
    Atomic,
    StrongRead,
    StrongWrite,
}

impl AccessKind {
    #[inline(always)]
    pub fn reads(self) -> bool {
        matches!(self, AccessKind::Read | AccessKind::Atomic | AccessKind::StrongRead)
    }

    #[inline(always)]
    pub fn writes(self) -> bool {
        matches!(self, AccessKind::Write | AccessKind::Atomic | AccessKind::StrongWrite)
    }

    #[inline(always)]
    pub fn is_strong(self) -> bool {
        !matches!(self, AccessKind::Read | AccessKind::Write)
    }

    pub fn verb(self) -> &'static str {
        if self.writes() { "write" } else { "read" }
    }
}

macro_rules! kinds {
    ($($kind:ident $name:literal)*) => {
        /// What a finding is about. The names are what messages and `CUDAEMU_FAIL` say.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind { $($kind),* }

        impl Kind {
            pub const ALL: &[Kind] = &[$(Kind::$kind),*];

            pub fn name(self) -> &'static str {
                match self { $(Kind::$kind => $name),* }
            }
        }
    };
}
kinds! {
    OutOfBoundsGlobal "oob_global"
    OutOfBoundsShared "oob_shared"
    OutOfBoundsLocal "oob_local"
    OutOfBoundsParam "oob_param"
    Misaligned "misaligned"
    WriteConst "write_const"
    AtomicSpace "atomic_space"
    RaceReadAfterWrite "race_read_after_write"
    RaceWriteAfterRead "race_write_after_read"
    RaceWriteAfterWrite "race_write_after_write"
    WarpRaceReadAfterWrite "warp_race_read_after_write"
    WarpRaceWriteAfterRead "warp_race_write_after_read"
    WarpRaceWriteAfterWrite "warp_race_write_after_write"
    BlockRaceReadAfterWrite "block_race_read_after_write"
    BlockRaceWriteAfterRead "block_race_write_after_read"
    BlockRaceWriteAfterWrite "block_race_write_after_write"
    ClusterRaceReadAfterWrite "cluster_race_read_after_write"
    ClusterRaceWriteAfterRead "cluster_race_write_after_read"
    ClusterRaceWriteAfterWrite "cluster_race_write_after_write"
    ClusterNotStarted "cluster_not_started"
    ClusterExited "cluster_exited"
    ClusterAddress "cluster_address"
    UndefinedUse "uninit_use"
    UndefinedGlobal "uninit_global"
    UndefinedShared "uninit_shared"
    UndefinedCopy "uninit_copy"
    BarrierDivergence "barrier_divergence"
    BarrierOverrun "barrier_overrun"
    BarrierWithoutArrive "barrier_without_arrive"
    BarrierAfterExit "barrier_after_exit"
    BarrierPlaces "barrier_places"
    BarrierNumber "barrier"
    Deadlock "deadlock"
    Timeout "timeout"
    ShuffleInactive "shfl_inactive"
    SyncMask "sync_mask"
    CopyInFlight "cp_async_in_flight"
    CopyUnawaited "cp_async_unwaited"
    BranchTable "branch_table"
    Trap "trap"
    Assert "assert"
    ApiOutOfBounds "api_oob"
    Overlap "overlap"
    BadFree "bad_free"
    FreeInUse "free_in_use"
    Leak "leak"
    LeakHandles "leak_handles"
    EmulatorPanic "emulator_panic"
}

/// One line for who wrote the kernel. What happens again at the same places is counted.
#[derive(Clone, Debug)]
pub struct Finding {
    pub kind: Kind,
    pub is_error: bool,
    pub text: String,
    /// empty for what the program did
    pub kernel: String,
    pub count: u64,
}

/// Kernel, name of the kind, and places.
type Key = (String, &'static str, u32, u32);

/// The findings of a launch.
#[derive(Default)]
pub struct Findings {
    found: Mutex<BTreeMap<Key, Finding>>,
}

impl Findings {
    /// `pcs`: places that tell findings of the kind apart. `text` is asked for the first one, and for the
    /// first that is an error.
    pub fn add(
        &self,
        kernel: &str,
        kind: Kind,
        is_error: bool,
        pc: u32,
        other_pc: u32,
        text: impl FnOnce() -> String,
    ) {
        let mut found = self.found.lock().unwrap_or_else(|e| e.into_inner());
        match found.entry((kernel.to_string(), kind.name(), pc, other_pc)) {
            Entry::Occupied(again) => {
                let first = again.into_mut();
                first.count += 1;
                if is_error && !first.is_error {
                    // what makes it one should be what is read
                    (first.is_error, first.text) = (true, text());
                }
            }
            Entry::Vacant(new) => {
                let kernel = kernel.to_string();
                new.insert(Finding { kind, is_error, text: text(), kernel, count: 1 });
            }
        }
    }

    pub fn take(&self) -> Vec<Finding> {
        let mut found = self.found.lock().unwrap_or_else(|e| e.into_inner());
        std::mem::take(&mut *found).into_values().collect()
    }
}

impl Block<'_> {
    /// Adds a finding about this block's kernel.
    pub(crate) fn report(
        &self,
        kind: Kind,
        is_error: bool,
        pcs: [u32; 2],
        text: impl FnOnce() -> String,
    ) {
        let launch = self.launch;
        launch.findings.add(&launch.kernel.name, kind, is_error, pcs[0], pcs[1], text);
    }

    /// What the lane at this place does makes the launch fail.
    #[cold]
    pub(crate) fn fault(&self, at: At, kind: Kind, error: u32, text: String) -> Fault {
        self.report(kind, true, [at.pc, 0], || format!("{text} {}", self.by(at)));
        Fault(error)
    }

    /// The end of a message: where, and by whom.
    pub(crate) fn by(&self, at: At) -> String {
        let (place, thread) = (self.launch.kernel.place(at.pc), self.thread(at.warp(), at.lane()));
        format!("at {place} by thread {thread:?} of block {:?}", self.index)
    }
}
