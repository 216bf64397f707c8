//! One kernel as a warp runs it: flat code, numbered registers, a pool of constants.

use super::syntax::ClusterDirectives;
use crate::instructions::Op;
use std::collections::HashMap;

/// 32 values, one for each lane.
pub type Values = [u64; 32];

/// Number of a register or, with the bit [`CONSTANT`], of a constant; [`NONE`] for neither.
pub type Register = u32;
pub const CONSTANT: u32 = 1 << 31;
pub const NONE: u32 = u32::MAX;

/// Number of a predicate, with the bit [`NEGATED`] for its opposite; [`NONE`] for neither.
pub type Predicate = u32;
pub const NEGATED: u32 = 1 << 16;

/// A block's shared memory begins there. Below lies what the system keeps for itself, and so does 0.
pub const SHARED_BASE: u64 = 1024;
/// A thread's local memory begins there, so that no variable has the address 0.
pub const LOCAL_BASE: u64 = 16;

/// Generic addresses of the spaces that are not global: each has a window of [`WINDOW`] bytes.
pub const SHARED_WINDOW: u64 = 0x5000_0000_0000_0000;
pub const LOCAL_WINDOW: u64 = 0x6000_0000_0000_0000;
pub const PARAM_WINDOW: u64 = 0x7000_0000_0000_0000;
pub const WINDOW: u64 = 1 << 32;

/// An instruction. `d` is its destination and `a`, `b`, `c`, `e` are its sources: registers,
/// predicates or numbers of entries in the kernel's tables, as the operation says.
#[derive(Clone, Copy, Debug)]
pub struct Instruction {
    pub op: Op,
    pub class: Class,
    pub guard: Predicate,
    pub d: u32,
    pub a: u32,
    pub b: u32,
    pub c: u32,
    pub e: u32,
    /// number of its entry in [`Kernel::locations`]
    pub location: u32,
}

/// Where an instruction comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Location {
    pub ptx_line: u32,
    /// number in [`Kernel::files`]; 0 without `-lineinfo`
    pub file: u32,
    pub line: u32,
}

/// What the counters tell instructions apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Class {
    Integer,
    Fp32,
    Fp64,
    Fp16,
    Convert,
    Move,
    PredicateSelect,
    LoadGlobal,
    StoreGlobal,
    LoadShared,
    StoreShared,
    LoadLocal,
    StoreLocal,
    LoadParamConst,
    AtomicGlobal,
    AtomicShared,
    Shuffle,
    VoteMatchRedux,
    Barrier,
    Branch,
    SpecialFunction,
    Fence,
    AsyncCopy,
    Other,
}

impl Class {
    /// Names in the counters, by number.
    pub const NAMES: [&str; 24] = [
        "int",
        "fp32",
        "fp64",
        "fp16",
        "cvt",
        "mov",
        "pred_select",
        "ld_global",
        "st_global",
        "ld_shared",
        "st_shared",
        "ld_local",
        "st_local",
        "ld_param_const",
        "atom_global",
        "atom_shared",
        "shfl",
        "vote_match_redux",
        "barrier",
        "branch",
        "sfu",
        "fence",
        "async_copy",
        "other",
    ];
}

/// Registers that a warp has before its first instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Special {
    Tid(u8),
    Ntid(u8),
    Ctaid(u8),
    Nctaid(u8),
    LaneId,
    WarpId,
    NwarpId,
    SmId,
    NsmId,
    GridId,
    LaneMaskEq,
    LaneMaskLt,
    LaneMaskLe,
    LaneMaskGt,
    LaneMaskGe,
    DynamicSharedSize,
    TotalSharedSize,
    /// address of the dynamic shared memory
    DynamicSharedBase,
    Zero,
    ClusterId(u8),
    NclusterId(u8),
    ClusterCtaid(u8),
    ClusterNctaid(u8),
    ClusterRank,
    ClusterSize,
    IsExplicitCluster,
    EnvReg(u8),
}

pub struct Kernel {
    pub name: String,
    pub code: Vec<Instruction>,
    /// by instruction: lanes at the lowest rank run first; see [`super::lower::reconvergence`]
    pub ranks: Vec<u32>,
    pub constants: Vec<Values>,
    pub registers: usize,
    pub predicates: usize,
    pub specials: Vec<(Special, Register)>,
    /// registers of instructions that have more than an instruction's fields hold
    pub vectors: Vec<[Register; 4]>,
    pub branch_tables: Vec<Vec<u32>>,
    /// bytes of a thread's local memory, [`LOCAL_BASE`] included
    pub local_size: u64,
    pub static_shared: u64,
    pub dynamic_shared_align: u64,
    /// offset and size of each parameter
    pub params: Vec<(u64, u64)>,
    pub params_size: u64,
    pub locations: Vec<Location>,
    pub files: HashMap<u32, String>,
    /// `.maxntid` or `.reqntid`; zeros without
    pub max_threads: [u32; 3],
    /// it was `.reqntid`
    pub exact_threads: bool,
    pub cluster: ClusterDirectives,
    /// has instructions that need to know the block's cluster
    pub uses_cluster: bool,
    /// may order its blocks by what the marks in global memory do not show: has fences, atomics that
    /// acquire or release, or strong accesses beyond shared memory
    pub orders_blocks: bool,
    /// has strong accesses to shared memory, by which the blocks of a cluster may wait for one another
    pub strong_shared: bool,
}

impl Kernel {
    /// Offset of the dynamic shared memory.
    pub fn dynamic_shared_offset(&self) -> u64 {
        self.static_shared.next_multiple_of(self.dynamic_shared_align)
    }

    /// For messages: the source line, where the PTX was compiled with `-lineinfo`, and the PTX line.
    pub fn place(&self, pc: u32) -> String {
        let Some(instruction) = self.code.get(pc as usize) else { return format!("pc {pc}") };
        let at = self.locations[instruction.location as usize];
        match self.file_name(at.file) {
            Some(file) => format!("{file}:{} (PTX line {})", at.line, at.ptx_line),
            None => format!("PTX line {}", at.ptx_line),
        }
    }

    /// Last component of a source file's path.
    pub fn file_name(&self, number: u32) -> Option<&str> {
        let path = self.files.get(&number)?;
        Some(path.rsplit('/').next().unwrap_or(path))
    }
}
