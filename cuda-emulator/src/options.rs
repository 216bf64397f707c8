//! The environment variables, each in one place. They are read once, at the first call into the
//! driver.

use crate::driver::error::{
    CUDA_ERROR_INVALID_PTX, CUDA_ERROR_NO_BINARY_FOR_GPU, CUDA_ERROR_UNSUPPORTED_PTX_VERSION,
};
use std::env;
use std::fmt::Debug;
use std::str::FromStr;

/// Of each device's addresses much is reserved.
const MOST_DEVICES: usize = 8;

#[derive(Clone, Debug)]
pub struct Options {
    /// CUDAEMU_CC: compute capability, times ten
    pub capability: u32,
    /// CUDAEMU_DEVICES: how many there are
    pub devices: usize,
    /// CUDAEMU_THREADS: blocks that run at once
    pub threads: usize,
    /// CUDAEMU_SEED: of the schedule; 0 for the plain one
    pub seed: u64,
    /// CUDAEMU_BLOCK_ORDER
    pub block_order: BlockOrder,
    /// CUDAEMU_STREAMS
    pub streams: Streams,
    /// CUDAEMU_TIMEOUT_S: of a launch
    pub timeout_s: u64,

    /// CUDAEMU_RACE: races in shared memory are looked for
    pub race: bool,
    /// CUDAEMU_BLOCK_RACE: races of blocks in global memory are looked for
    pub block_race: bool,
    /// CUDAEMU_UNINIT
    pub undefined: Undefined,
    /// CUDAEMU_STRICT_WARP: shuffles do not order lanes
    pub strict_warp: bool,
    /// CUDAEMU_FAIL: findings that make a launch fail
    pub fail: Fail,
    /// CUDAEMU_EXIT: the process ends with a code of its own if there was an error
    pub exit: bool,

    /// CUDAEMU_MEM_MB, in bytes: the memory of each device
    pub memory: u64,
    /// CUDAEMU_VA_GB, in bytes: address space for that of each
    pub address_space: u64,
    /// CUDAEMU_REDZONE: bytes between allocations
    pub redzone: u64,
    /// CUDAEMU_FILL: what fresh memory holds
    pub fill: Option<u8>,
    /// CUDAEMU_POOLS: the device says that it has memory pools
    pub pools: bool,
    /// CUDAEMU_MAX_CLUSTERS: clusters that the device takes at once, if fewer than have room
    pub max_clusters: Option<u32>,
    /// CUDAEMU_LOAD_ERROR: what every load of a module fails with
    pub load_error: Option<u32>,
    /// CUDAEMU_REGS: registers of a thread where no cubin tells
    pub registers: u32,

    /// CUDAEMU_PROFILE: counters by source line
    pub profile: bool,
    /// CUDAEMU_STATS: file for counters
    pub counters_file: Option<String>,
    /// CUDAEMU_REPORT: file for findings
    pub findings_file: Option<String>,
    /// CUDAEMU_PTX: file whose kernels take the place of those of the same name
    pub ptx: Option<String>,
    /// CUDAEMU_VERBOSE: what is not supported is said when it is called
    pub verbose: bool,
}

/// What runs first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockOrder {
    Ascending,
    Reverse,
    /// odd numbers first
    Odd,
}

/// When the work of streams runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streams {
    /// when somebody waits for it
    Lazy,
    /// when it is enqueued
    Eager,
    /// when somebody waits for it, or for what need not come before it
    Others,
}

/// What is an error of memory that was never written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub enum Undefined {
    Ignored,
    /// what depends on it; that it is loaded is a warning
    Use,
    /// that it is loaded
    Load,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fail {
    Never,
    OnError,
    OnAny,
    /// findings whose kinds begin so
    On(Vec<String>),
}

impl Options {
    pub fn from_environment() -> Options {
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        let text = |name: &str| env::var(name).ok();
        let flag = |name: &str, default: u64| number(name, default) != 0;
        Options {
            capability: number("CUDAEMU_CC", 80),
            devices: number("CUDAEMU_DEVICES", 1usize).min(MOST_DEVICES),
            threads: number("CUDAEMU_THREADS", cores),
            seed: number("CUDAEMU_SEED", 0),
            block_order: match text("CUDAEMU_BLOCK_ORDER").as_deref() {
                Some("reverse") => BlockOrder::Reverse,
                Some("odd") => BlockOrder::Odd,
                _ => BlockOrder::Ascending,
            },
            streams: match text("CUDAEMU_STREAMS").as_deref() {
                Some("eager") => Streams::Eager,
                Some("others") => Streams::Others,
                _ => Streams::Lazy,
            },
            timeout_s: number("CUDAEMU_TIMEOUT_S", 300),
            race: flag("CUDAEMU_RACE", 1),
            block_race: flag("CUDAEMU_BLOCK_RACE", 1),
            undefined: match number("CUDAEMU_UNINIT", 1) {
                0 => Undefined::Ignored,
                1 => Undefined::Use,
                _ => Undefined::Load,
            },
            strict_warp: flag("CUDAEMU_STRICT_WARP", 0),
            fail: match text("CUDAEMU_FAIL").as_deref() {
                None | Some("error") => Fail::OnError,
                Some("none") => Fail::Never,
                Some("all") => Fail::OnAny,
                Some(kinds) => Fail::On(kinds.split(',').map(String::from).collect()),
            },
            exit: flag("CUDAEMU_EXIT", 0),
            memory: number("CUDAEMU_MEM_MB", 8192u64).min(1 << 32) << 20,
            address_space: number("CUDAEMU_VA_GB", 32u64).clamp(1, 4096) << 30,
            redzone: number("CUDAEMU_REDZONE", 65536u64).min(1 << 32),
            fill: match text("CUDAEMU_FILL").as_deref() {
                Some("off") => None,
                Some(byte) => Some(byte.trim().parse().unwrap_or(0xA5)),
                None => Some(0xA5),
            },
            pools: flag("CUDAEMU_POOLS", 1),
            max_clusters: text("CUDAEMU_MAX_CLUSTERS").map(|_| number("CUDAEMU_MAX_CLUSTERS", 0)),
            load_error: text("CUDAEMU_LOAD_ERROR").and_then(|name| load_error(&name)),
            registers: number("CUDAEMU_REGS", 32u32).clamp(1, 255),
            profile: flag("CUDAEMU_PROFILE", 0),
            counters_file: text("CUDAEMU_STATS"),
            findings_file: text("CUDAEMU_REPORT"),
            ptx: text("CUDAEMU_PTX"),
            verbose: env::var_os("CUDAEMU_VERBOSE").is_some(),
        }
    }
}

/// CUDA's number of an error that a module may fail to load with, by its name without the prefix.
fn load_error(name: &str) -> Option<u32> {
    match name {
        "NO_BINARY_FOR_GPU" => Some(CUDA_ERROR_NO_BINARY_FOR_GPU),
        "UNSUPPORTED_PTX_VERSION" => Some(CUDA_ERROR_UNSUPPORTED_PTX_VERSION),
        "INVALID_PTX" => Some(CUDA_ERROR_INVALID_PTX),
        _ => {
            eprintln!("cudaemu: CUDAEMU_LOAD_ERROR={name} is no error of a load; none is made");
            None
        }
    }
}

/// The number in a variable. What is no number is said and ignored.
fn number<T: FromStr + Copy + Debug>(name: &str, default: T) -> T {
    let Ok(text) = env::var(name) else { return default };
    text.trim().parse().unwrap_or_else(|_| {
        eprintln!("cudaemu: {name}={text} is no number that it can have; {default:?} is used");
        default
    })
}
