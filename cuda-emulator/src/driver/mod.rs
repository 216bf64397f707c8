//! The CUDA driver's interface, by object, as cudarc calls it.
//!
//! Everything behind it is one [`State`] under one lock. Entry points check that the driver was
//! initialized and that the thread has a context, translate handles, and call methods of the state.
//! What they are given by pointer is the program's word, as with CUDA; pointers to results are checked
//! for null where CUDA does.

#![allow(non_snake_case, reason = "names of a C interface")]
#![allow(clippy::missing_safety_doc, reason = "CUDA's manual says what each function needs")]
#![allow(
    unsafe_op_in_unsafe_fn,
    reason = "bodies of a C interface: every pointer is the program's"
)]
#![allow(clippy::too_many_arguments, reason = "as many as CUDA's functions have")]

pub mod clock;
pub mod context;
pub mod device;
pub mod error;
pub mod event;
pub mod function;
pub mod graph;
pub mod launch;
pub mod memory;
pub mod module;
pub mod occupancy;
pub mod pointer;
pub mod pool;
pub mod queue;
pub mod stream;
pub mod unsupported;

use crate::checks::{Finding, Findings};
use crate::counters::append_line;
use crate::machine::memory::Memory;
use crate::options::Options;
use clock::Clock;
use context::Context;
use device::DeviceState;
use error::*;
use event::Event;
use function::Function;
use graph::Capture;
use module::Module;
use queue::Work;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::ffi::{CStr, c_char, c_int};
use std::sync::{Arc, Mutex, OnceLock};
use stream::Stream;

/// CUcontext, CUstream and the like: a number that stands for the object.
pub type Handle = u64;
/// CUresult.
pub type Status = u32;

/// How the process ends after an error finding, with CUDAEMU_EXIT.
const EXIT_CODE: i32 = 86;

/// All that the driver knows.
pub struct State {
    is_initialized: bool,
    options: Options,
    memory: Memory,
    contexts: BTreeMap<Handle, Context>,
    devices: Vec<DeviceState>,
    modules: HashMap<Handle, Module>,
    functions: HashMap<Handle, Function>,
    streams: BTreeMap<Handle, Stream>,
    /// what the host has waited for
    host: Clock,
    events: HashMap<Handle, Event>,
    captures: HashMap<u64, Capture>,
    /// pools that the program made, with their devices
    pools: HashMap<Handle, usize>,
    graphs: HashMap<Handle, Vec<Work>>,
    executables: HashMap<Handle, Vec<Work>>,
    last_handle: Handle,
    /// of work and captures
    last_number: u64,
    launches: u32,
    findings: Arc<Findings>,
    errors: u64,
    warnings: u64,
}

thread_local! {
    /// the contexts of the thread; the last one is current
    static CURRENT: RefCell<Vec<Handle>> = const { RefCell::new(vec![]) };
    /// a host function runs, which must not call the driver
    static BUSY: Cell<bool> = const { Cell::new(false) };
}

fn state() -> &'static Mutex<State> {
    static STATE: OnceLock<Mutex<State>> = OnceLock::new();
    STATE.get_or_init(|| {
        // SAFETY: a function that may run at the end of the process
        unsafe { libc::atexit(at_exit) };
        let options = Options::from_environment();
        let devices = (0..options.devices).map(DeviceState::new).collect();
        Mutex::new(State {
            is_initialized: false,
            memory: Memory::new(&options),
            options,
            contexts: BTreeMap::new(),
            devices,
            modules: HashMap::new(),
            functions: HashMap::new(),
            streams: BTreeMap::new(),
            host: Clock::default(),
            events: HashMap::new(),
            captures: HashMap::new(),
            pools: HashMap::new(),
            graphs: HashMap::new(),
            executables: HashMap::new(),
            // low bits are left for default streams
            last_handle: 0x1000,
            last_number: 0,
            launches: 0,
            findings: Arc::new(Findings::default()),
            errors: 0,
            warnings: 0,
        })
    })
}

extern "C" fn at_exit() {
    let Ok(state) = state().try_lock() else { return };
    let State { errors, warnings, .. } = *state;
    if errors + warnings > 0 {
        eprintln!("cudaemu: {errors} error findings, {warnings} warnings in this process");
    }
    if errors > 0 && state.options.exit {
        // SAFETY: ends the process without further handlers
        unsafe { libc::_exit(EXIT_CODE) }
    }
}

impl State {
    fn new_handle(&mut self) -> Handle {
        self.last_handle += 16;
        self.last_handle
    }

    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Says findings on standard error and writes them to the file for them.
    fn report(&mut self, findings: &[Finding]) {
        for finding in findings {
            let Finding { kind, is_error, text, kernel, count } = finding;
            *(if *is_error { &mut self.errors } else { &mut self.warnings }) += 1;
            let severity = if *is_error { "ERROR" } else { "warning" };
            let kernel = if kernel.is_empty() { String::new() } else { format!("{kernel}: ") };
            let times = if *count > 1 { format!(" ({count} times)") } else { String::new() };
            eprintln!("cudaemu: {severity} [{}] {kernel}{text}{times}", kind.name());
            if let Some(file) = &self.options.findings_file {
                append_line(file, &finding.to_json(true));
            }
        }
    }
}

/// A call about a device, which needs cuInit.
fn with_device(ordinal: c_int, call: impl FnOnce(&mut State, usize) -> Status) -> Status {
    with_state(|s| match usize::try_from(ordinal) {
        _ if !s.is_initialized => CUDA_ERROR_NOT_INITIALIZED,
        Ok(device) if device < s.devices.len() => call(s, device),
        _ => CUDA_ERROR_INVALID_DEVICE,
    })
}

/// The context of this thread; 0 without.
fn current() -> Handle {
    CURRENT.with(|c| c.borrow().last().copied().unwrap_or(0))
}

/// Runs a call of the program. A panic is an error of the emulator, not the end of the program.
fn with_state(call: impl FnOnce(&mut State) -> Status) -> Status {
    if BUSY.with(|b| b.get()) {
        return CUDA_ERROR_NOT_PERMITTED;
    }
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        call(&mut state().lock().unwrap_or_else(|e| e.into_inner()))
    }));
    result.unwrap_or(CUDA_ERROR_UNKNOWN)
}

/// A call that needs cuInit and a live current context with no earlier fault.
fn with_context(call: impl FnOnce(&mut State, Handle) -> Status) -> Status {
    with_state(|s| {
        if !s.is_initialized {
            return CUDA_ERROR_NOT_INITIALIZED;
        }
        let context = current();
        match s.contexts.get(&context) {
            None => CUDA_ERROR_INVALID_CONTEXT,
            Some(c) if c.sticky != CUDA_SUCCESS => c.sticky,
            Some(_) => call(s, context),
        }
    })
}

/// Gives the program a result.
fn set<T>(p: *mut T, value: T) -> Status {
    if p.is_null() {
        return CUDA_ERROR_INVALID_VALUE;
    }
    // SAFETY: the program's pointer to a result of this type
    unsafe { *p = value };
    CUDA_SUCCESS
}

/// The program's string; empty if it is null or not UTF-8.
unsafe fn text<'a>(p: *const c_char) -> &'a str {
    if p.is_null() { "" } else { CStr::from_ptr(p).to_str().unwrap_or("") }
}

/// Whether calls of what is not supported are said. A host function runs under the lock: what it calls
/// is not.
fn is_verbose() -> bool {
    state().try_lock().is_ok_and(|s| s.options.verbose)
}
