#![allow(non_snake_case, clippy::missing_safety_doc, clippy::not_unsafe_ptr_arg_deref)]
//! The CUDA driver API as cudarc calls it. Streams are queues that run only when
//! somebody waits for them, so that a missing dependency shows.

use crate::cluster::{self, Refused, Rules, Shape};
use crate::exec::{self, Launch, Opts};
use crate::fatbin;
use crate::lower::{Kernel, lower};
use crate::mem::{ALLOC, INIT, Mem, RO, View, env_u64};
use crate::parse::{Init, Module, Sp, parse};
use crate::report::{self, Findings, LaunchInfo};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

type H = u64;
type Er = u32;
pub const OK: Er = 0;
const INVALID_VALUE: Er = 1;
const OOM: Er = 2;
const NOT_INIT: Er = 3;
const INVALID_DEVICE: Er = 101;
const INVALID_IMAGE: Er = 200;
const INVALID_CONTEXT: Er = 201;
const NO_BINARY: Er = 209;
const INVALID_PTX: Er = 218;
const BAD_PTX_VERSION: Er = 222;
const FILE_NOT_FOUND: Er = 301;
const INVALID_HANDLE: Er = 400;
const NOT_FOUND: Er = 500;
const NOT_READY: Er = 600;
const OUT_OF_RESOURCES: Er = 701;
const LAUNCH_FAILED: Er = 719;
const COOP_TOO_LARGE: Er = 720;
const NOT_PERMITTED: Er = 800;
pub const NOT_SUPPORTED: Er = 801;
const INVALID_CLUSTER_SIZE: Er = 912;
const CAPTURE_UNSUPPORTED: Er = 900;
const CAPTURE_UNMATCHED: Er = 903;
const CAPTURE_IMPLICIT: Er = 906;

struct Ctx {
    primary: bool,
    flags: u32,
    sticky: Er,
    limits: HashMap<u32, usize>,
    cache: u32,
}

struct Func {
    k: Arc<Kernel>,
    ctx: H,
    module: H,
    max_dyn: i32,
    carve: i32,
    ptx_version: i32,
    registers: i32,
    /// set by the program; zeros without
    cluster: [u32; 3],
    non_portable: bool,
}

struct Mod {
    ctx: H,
    ast: Module,
    /// per kernel, where the image had machine code for this device
    registers: HashMap<String, u32>,
    globals: HashMap<String, u64>,
    funcs: HashMap<String, H>,
    /// the module whose kernels take the place of those of the same name: CUDAEMU_PTX
    instead: Option<H>,
}

#[derive(Clone)]
enum Op {
    Kernel {
        f: Arc<Kernel>,
        grid: [u32; 3],
        block: [u32; 3],
        cluster: Option<Shape>,
        smem: u32,
        params: Vec<u8>,
        coop: bool,
    },
    HtoD {
        dst: u64,
        data: Arc<Vec<u8>>,
    },
    HtoDLater {
        dst: u64,
        src: u64,
        n: u64,
    },
    DtoH {
        dst: u64,
        src: u64,
        n: u64,
    },
    DtoD {
        dst: u64,
        src: u64,
        n: u64,
    },
    Set {
        dst: u64,
        n: u64,
        w: u8,
        v: u32,
    },
    Event(H),
    Free(u64),
    Host(usize, usize),
    Nop,
}

struct Q {
    seq: u64,
    deps: Vec<(H, u64)>,
    op: Op,
}

struct Stream {
    ctx: H,
    blocking: bool,
    prio: i32,
    q: VecDeque<Q>,
    last: u64,
    done: u64,
    capture: Option<u64>,
}

struct Event {
    ctx: H,
    flags: u32,
    rec: Option<(H, u64)>,
    at: Option<Instant>,
    polled: u32,
    capture: Option<u64>,
}

#[derive(Default)]
struct Capture {
    origin: H,
    ops: Vec<Op>,
    bad: bool,
}

pub struct State {
    init: bool,
    mem: Box<Mem>,
    ctxs: BTreeMap<H, Ctx>,
    primary: Option<H>,
    primary_refs: u32,
    mods: HashMap<H, Mod>,
    funcs: HashMap<H, Func>,
    streams: BTreeMap<H, Stream>,
    events: HashMap<H, Event>,
    captures: HashMap<u64, Capture>,
    graphs: HashMap<H, Vec<Op>>,
    execs: HashMap<H, Vec<Op>>,
    next: u64,
    seq: u64,
    launches: u32,
    opts: Opts,
    eager: bool,
    f: Arc<Findings>,
    fail: String,
    stats: Option<String>,
    report: Option<String>,
    errors: u64,
    warnings: u64,
}

thread_local! {
    static CUR: RefCell<Vec<H>> = const { RefCell::new(vec![]) };
    static BUSY: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

fn state() -> &'static Mutex<State> {
    static S: OnceLock<Mutex<State>> = OnceLock::new();
    S.get_or_init(|| {
        let cc = env_u64("CUDAEMU_CC", 80) as u32;
        let opts = Opts {
            race: env_u64("CUDAEMU_RACE", 1) != 0,
            uninit: env_u64("CUDAEMU_UNINIT", 1) as u8,
            keep_going: false,
            strict_warp: env_u64("CUDAEMU_STRICT_WARP", 0) != 0,
            seed: env_u64("CUDAEMU_SEED", 0),
            profile: env_u64("CUDAEMU_PROFILE", 0) != 0,
            threads: env_u64(
                "CUDAEMU_THREADS",
                std::thread::available_parallelism().map(|x| x.get() as u64).unwrap_or(1),
            ) as usize,
            timeout_s: env_u64("CUDAEMU_TIMEOUT_S", 300),
            cc,
        };
        extern "C" fn bye() {
            if let Ok(s) = state().try_lock() {
                if s.errors + s.warnings > 0 {
                    eprintln!(
                        "cudaemu: {} error findings, {} warnings in this process",
                        s.errors, s.warnings
                    );
                }
                if s.errors > 0 && env_u64("CUDAEMU_EXIT", 0) != 0 {
                    unsafe { libc::_exit(86) }
                }
            }
        }
        unsafe {
            libc::atexit(bye);
        }
        Mutex::new(State {
            init: false,
            mem: Box::new(Mem::new()),
            ctxs: BTreeMap::new(),
            primary: None,
            primary_refs: 0,
            mods: HashMap::new(),
            funcs: HashMap::new(),
            streams: BTreeMap::new(),
            events: HashMap::new(),
            captures: HashMap::new(),
            graphs: HashMap::new(),
            execs: HashMap::new(),
            next: 0x10,
            seq: 0,
            launches: 0,
            opts,
            eager: std::env::var("CUDAEMU_STREAMS").as_deref() == Ok("eager"),
            f: Arc::new(Findings::default()),
            fail: std::env::var("CUDAEMU_FAIL").unwrap_or("error".into()),
            stats: std::env::var("CUDAEMU_STATS").ok(),
            report: std::env::var("CUDAEMU_REPORT").ok(),
            errors: 0,
            warnings: 0,
        })
    })
}

fn cur() -> H {
    CUR.with(|c| c.borrow().last().copied().unwrap_or(0))
}

// Limits of every device of capability 7.5 to 9.0.
const MAX_THREADS: u32 = 1024;
const MAX_BLOCK: [u32; 3] = [1024, 1024, 64];
const MAX_GRID: [u32; 3] = [i32::MAX as u32, 65535, 65535];
/// shared memory of a block, static and dynamic, unless the kernel asks for more
const DEFAULT_SHARED: i32 = 49152;
/// of a block, and of a multiprocessor
const REGISTERS: u32 = 65536;
/// a multiprocessor has four schedulers, warps are dealt out evenly
const WARPS_AT_ONCE: i32 = 4;

/// device properties by compute capability
pub struct Dev {
    sms: i32,
    optin: i32,
    smem_sm: i32,
    threads_sm: i32,
    blocks_sm: i32,
    reserved: i32,
}
fn dev(cc: u32) -> Dev {
    match cc {
        75 => Dev {
            sms: 40,
            optin: 65536,
            smem_sm: 65536,
            threads_sm: 1024,
            blocks_sm: 16,
            reserved: 0,
        },
        86 => Dev {
            sms: 84,
            optin: 101376,
            smem_sm: 102400,
            threads_sm: 1536,
            blocks_sm: 16,
            reserved: 1024,
        },
        89 => Dev {
            sms: 128,
            optin: 101376,
            smem_sm: 102400,
            threads_sm: 1536,
            blocks_sm: 24,
            reserved: 1024,
        },
        90 => Dev {
            sms: 132,
            optin: 232448,
            smem_sm: 233472,
            threads_sm: 2048,
            blocks_sm: 32,
            reserved: 1024,
        },
        _ => Dev {
            sms: 108,
            optin: 166912,
            smem_sm: 167936,
            threads_sm: 2048,
            blocks_sm: 32,
            reserved: 1024,
        },
    }
}

impl State {
    fn handle(&mut self) -> H {
        self.next += 16;
        self.next
    }
    fn note(&mut self, fs: &[report::Finding]) {
        for f in fs {
            if f.error {
                self.errors += 1;
            } else {
                self.warnings += 1;
            }
            eprintln!(
                "cudaemu: {} [{}] {}{}{}",
                if f.error { "ERROR" } else { "warning" },
                f.kind,
                if f.kernel.is_empty() { String::new() } else { format!("{}: ", f.kernel) },
                f.text,
                if f.count > 1 { format!(" ({} times)", f.count) } else { String::new() }
            );
            if let Some(p) = &self.report {
                report::append(
                    p,
                    &format!(
                        "{{\"kind\":\"{}\",\"severity\":\"{}\",\"kernel\":\"{}\",\"count\":{},\"text\":\"{}\"}}",
                        f.kind,
                        if f.error { "error" } else { "warning" },
                        report::esc(&f.kernel),
                        f.count,
                        report::esc(&f.text)
                    ),
                );
            }
        }
    }
    fn api_finding(&mut self, kind: &'static str, error: bool, text: String) {
        self.note(&[report::Finding { kind, error, text, kernel: String::new(), count: 1 }]);
    }
    fn fails(&self, fs: &[report::Finding]) -> bool {
        match self.fail.as_str() {
            "none" => false,
            "all" => !fs.is_empty(),
            "error" => fs.iter().any(|f| f.error),
            l => fs.iter().any(|f| l.split(',').any(|k| f.kind.starts_with(k))),
        }
    }

    fn stream(&mut self, s: H) -> Result<H, Er> {
        let c = cur();
        if !self.ctxs.contains_key(&c) {
            return Err(INVALID_CONTEXT);
        }
        // 0 and 1: legacy default; 2: per-thread default (one here)
        let id = match s {
            0 | 1 => c | 1,
            2 => c | 2,
            x => x,
        };
        if s <= 2 {
            let blocking = true;
            self.streams.entry(id).or_insert(Stream {
                ctx: c,
                blocking,
                prio: 0,
                q: VecDeque::new(),
                last: 0,
                done: 0,
                capture: None,
            });
        }
        match self.streams.get(&id) {
            Some(_) => Ok(id),
            None => Err(INVALID_HANDLE),
        }
    }

    fn push(&mut self, s: H, op: Op) -> Er {
        let id = match self.stream(s) {
            Ok(x) => x,
            Err(e) => return e,
        };
        let st = &self.streams[&id];
        if let Some(c) = st.capture {
            let cap = self.captures.get_mut(&c).unwrap();
            cap.ops.push(op);
            return OK;
        }
        let ctx = st.ctx;
        if self.ctxs[&ctx].sticky != 0 {
            return self.ctxs[&ctx].sticky;
        }
        let null = ctx | 1;
        let mut deps = vec![];
        if id == null {
            if self.streams.values().any(|x| x.ctx == ctx && x.blocking && x.capture.is_some()) {
                return CAPTURE_IMPLICIT;
            }
            for (&h, x) in &self.streams {
                if h != id && x.ctx == ctx && x.blocking && !x.q.is_empty() {
                    deps.push((h, x.last));
                }
            }
        } else if st.blocking {
            if let Some(x) = self.streams.get(&null) {
                if !x.q.is_empty() {
                    deps.push((null, x.last));
                }
            }
        }
        self.seq += 1;
        let seq = self.seq;
        let st = self.streams.get_mut(&id).unwrap();
        st.last = seq;
        st.q.push_back(Q { seq, deps, op });
        if self.eager {
            return self.drain(id, seq);
        }
        OK
    }

    fn drain(&mut self, id: H, upto: u64) -> Er {
        loop {
            let Some(s) = self.streams.get_mut(&id) else { return OK };
            let ctx = s.ctx;
            let Some(f) = s.q.front() else { break };
            if f.seq > upto {
                break;
            }
            let q = s.q.pop_front().unwrap();
            for (h, sq) in q.deps {
                self.drain(h, sq);
            }
            let e = if self.ctxs.get(&ctx).map_or(0, |c| c.sticky) != 0 {
                OK
            } else {
                self.exec(ctx, q.op)
            };
            if let Some(s) = self.streams.get_mut(&id) {
                s.done = q.seq;
            }
            if e != OK {
                if let Some(c) = self.ctxs.get_mut(&ctx) {
                    if c.sticky == 0 {
                        c.sticky = e;
                    }
                }
            }
        }
        let ctx = self.streams.get(&id).map(|s| s.ctx).unwrap_or(0);
        self.ctxs.get(&ctx).map_or(OK, |c| c.sticky)
    }
    fn drain_ctx(&mut self, ctx: H) -> Er {
        let mut ids: Vec<(u64, H)> = self
            .streams
            .iter()
            .filter(|x| x.1.ctx == ctx)
            .map(|x| (x.1.prio as u64, *x.0))
            .collect();
        // the newest stream first: the least helpful order that is allowed
        ids.reverse();
        for (_, h) in ids {
            self.drain(h, u64::MAX);
        }
        self.ctxs.get(&ctx).map_or(OK, |c| c.sticky)
    }

    fn check_dev(&mut self, what: &str, a: u64, n: u64, read: bool) -> Er {
        if n == 0 {
            return OK;
        }
        if let Some(bad) = self.mem.range_has(a, n, ALLOC) {
            let d = self.mem.describe(bad);
            self.api_finding(
                "api_oob",
                true,
                format!(
                    "{what} of {n} bytes at {a:#x} leaves its allocation: byte {bad:#x} is {d}"
                ),
            );
            return INVALID_VALUE;
        }
        if read && self.opts.uninit > 0 {
            if let Some(bad) = self.mem.range_has(a, n, INIT) {
                let d = self.mem.describe(bad);
                self.api_finding(
                    "uninit_copy",
                    true,
                    format!("{what} of {n} bytes reads bytes never written, first {bad:#x}, {d}"),
                );
            }
        }
        OK
    }

    fn exec(&mut self, ctx: H, op: Op) -> Er {
        unsafe {
            match op {
                Op::Nop => OK,
                Op::HtoD { dst, data } => {
                    let e = self.check_dev("host-to-device copy", dst, data.len() as u64, false);
                    if e != OK {
                        return e;
                    }
                    std::ptr::copy_nonoverlapping(
                        data.as_ptr(),
                        self.mem.host(dst) as *mut u8,
                        data.len(),
                    );
                    self.mem.mark_init(dst, data.len() as u64);
                    OK
                }
                Op::HtoDLater { dst, src, n } => {
                    let e = self.check_dev("host-to-device copy", dst, n, false);
                    if e != OK {
                        return e;
                    }
                    std::ptr::copy_nonoverlapping(
                        src as *const u8,
                        self.mem.host(dst) as *mut u8,
                        n as usize,
                    );
                    self.mem.mark_init(dst, n);
                    OK
                }
                Op::DtoH { dst, src, n } => {
                    let e = self.check_dev("device-to-host copy", src, n, true);
                    if e != OK {
                        return e;
                    }
                    if n > 0 {
                        std::ptr::copy_nonoverlapping(
                            self.mem.host(src) as *const u8,
                            dst as *mut u8,
                            n as usize,
                        );
                    }
                    OK
                }
                Op::DtoD { dst, src, n } => {
                    if n == 0 {
                        return OK;
                    }
                    let e = self.check_dev("device copy (source)", src, n, false);
                    let e2 = self.check_dev("device copy (destination)", dst, n, false);
                    if e != OK || e2 != OK {
                        return e.max(e2);
                    }
                    if src < dst + n && dst < src + n {
                        self.api_finding(
                            "overlap",
                            false,
                            format!("device copy of {n} bytes overlaps: {src:#x} to {dst:#x}"),
                        );
                    }
                    std::ptr::copy(
                        self.mem.host(src) as *const u8,
                        self.mem.host(dst) as *mut u8,
                        n as usize,
                    );
                    self.mem.copy_state(dst, src, n);
                    OK
                }
                Op::Set { dst, n, w, v } => {
                    let e = self.check_dev("memset", dst, n * w as u64, false);
                    if e != OK {
                        return e;
                    }
                    if n == 0 {
                        return OK;
                    }
                    let p = self.mem.host(dst);
                    match w {
                        1 => std::ptr::write_bytes(p as *mut u8, v as u8, n as usize),
                        2 => (0..n as usize).for_each(|i| *(p as *mut u16).add(i) = v as u16),
                        _ => (0..n as usize).for_each(|i| *(p as *mut u32).add(i) = v),
                    }
                    self.mem.mark_init(dst, n * w as u64);
                    OK
                }
                Op::Event(h) => {
                    if let Some(e) = self.events.get_mut(&h) {
                        e.at = Some(Instant::now());
                    }
                    OK
                }
                Op::Free(p) => {
                    if !self.mem.free(0, p) && !self.mem.free(1, p) {
                        self.api_finding(
                            "bad_free",
                            true,
                            format!(
                                "free of {p:#x}, which is not a live allocation: {}",
                                self.mem.describe(p)
                            ),
                        );
                        return INVALID_VALUE;
                    }
                    OK
                }
                Op::Host(f, d) => {
                    let f: unsafe extern "C" fn(*mut c_void) = std::mem::transmute(f);
                    BUSY.with(|b| b.set(true));
                    f(d as *mut c_void);
                    BUSY.with(|b| b.set(false));
                    OK
                }
                Op::Kernel { f, grid, block, cluster, smem, params, coop } => {
                    self.kernel(ctx, f, grid, block, cluster, smem, params, coop)
                }
            }
        }
    }

    fn kernel(
        &mut self,
        ctx: H,
        k: Arc<Kernel>,
        grid: [u32; 3],
        block: [u32; 3],
        cluster: Option<Shape>,
        smem: u32,
        params: Vec<u8>,
        coop: bool,
    ) -> Er {
        let shape = cluster.unwrap_or(Shape::ONE);
        let ws = if coop {
            match self.mem.alloc(0, 256, 256, "grid workspace", ctx) {
                Some(p) => {
                    unsafe { std::ptr::write_bytes(self.mem.host(p) as *mut u8, 0, 256) };
                    self.mem.mark_init(p, 256);
                    p
                }
                None => return OOM,
            }
        } else {
            0
        };
        let start = Instant::now();
        let fs = self.f.clone();
        self.launches = self.launches.wrapping_add(1);
        let id = if grid.iter().map(|&x| x as u64).product::<u64>() > 1 {
            (self.launches & 0xf_ffff).max(1)
        } else {
            0
        };
        use crate::lower::{Op as L, Space};
        // blocks of a cluster may also wait for one another in shared memory
        let ordered = k.ordering_atomics
            || k.code.iter().any(|i| match i.op {
                L::Fence { .. } => true,
                L::Ld(m) | L::St(m) => m.strong && (m.sp != Space::Shared || cluster.is_some()),
                _ => false,
            });
        let (st, code) = {
            let l = Launch {
                k: &k,
                grid,
                block,
                cluster: shape,
                explicit_cluster: cluster.is_some(),
                dyn_smem: smem,
                params,
                view: View::of(&self.mem),
                mem: &self.mem,
                opts: self.opts.clone(),
                f: &fs,
                code: AtomicU32::new(0),
                start,
                nsm: dev(self.opts.cc).sms as u32,
                ws,
                id,
                ordered,
            };
            let st = exec::run(&l, coop);
            (st, l.code.into_inner())
        };
        if ws != 0 {
            self.mem.free(0, ws);
        }
        let uniq = self.mem.harvest();
        let found = fs.take();
        let mut code = code;
        if code == 0 && self.fails(&found) {
            code = LAUNCH_FAILED;
        }
        if let Some(p) = &self.stats {
            let li = LaunchInfo {
                grid,
                block,
                cluster: shape.0,
                dyn_smem: smem,
                wall_ns: start.elapsed().as_nanos() as u64,
                code,
                uniq,
            };
            report::append(p, &report::stats_json(&k, &st, &li, &found));
        }
        self.note(&found);
        code
    }

    fn destroy_ctx(&mut self, c: H) {
        let broken = self.drain_ctx(c) != OK;
        let mut lost = vec![];
        for w in 0..2 {
            for a in self.mem.heap[w].live.values() {
                if a.ctx == c && a.kind != "module" {
                    lost.push(format!("#{} of {} bytes ({})", a.seq, a.size, a.kind));
                }
            }
        }
        // after a fault nothing can be freed, which is no leak
        if !lost.is_empty() && !broken {
            let n = lost.len();
            lost.truncate(10);
            self.api_finding(
                "leak",
                true,
                format!(
                    "{n} allocations alive when their context was destroyed: {}",
                    lost.join(", ")
                ),
            );
        }
        let ev = self.events.values().filter(|e| e.ctx == c).count();
        let sm = self.streams.iter().filter(|s| s.1.ctx == c && *s.0 & 3 == 0).count();
        let md = self.mods.values().filter(|m| m.ctx == c).count();
        if ev + sm + md > 0 && !broken {
            self.api_finding(
                "leak_handles",
                false,
                format!("context destroyed with {ev} events, {sm} streams, {md} modules alive"),
            );
        }
        for w in 0..2 {
            let v: Vec<u64> =
                self.mem.heap[w].live.values().filter(|a| a.ctx == c).map(|a| a.addr).collect();
            for p in v {
                self.mem.free(w, p);
            }
        }
        self.streams.retain(|_, s| s.ctx != c);
        self.events.retain(|_, s| s.ctx != c);
        self.mods.retain(|_, s| s.ctx != c);
        self.funcs.retain(|_, s| s.ctx != c);
        self.ctxs.remove(&c);
    }

    fn load(&mut self, text: &str, registers: HashMap<String, u32>) -> Result<H, Er> {
        let instead = match std::env::var("CUDAEMU_PTX") {
            Ok(file) => {
                let text = std::fs::read_to_string(&file).map_err(|e| {
                    eprintln!("cudaemu: CUDAEMU_PTX={file}: {e}");
                    FILE_NOT_FOUND
                })?;
                Some(self.load_alone(&text, HashMap::new(), None)?)
            }
            Err(_) => None,
        };
        self.load_alone(text, registers, instead)
    }

    fn load_alone(
        &mut self,
        text: &str,
        registers: HashMap<String, u32>,
        instead: Option<H>,
    ) -> Result<H, Er> {
        let ctx = cur();
        let t0 = Instant::now();
        let ast = parse(text).map_err(|e| {
            eprintln!("cudaemu: cannot read the PTX: {e}");
            INVALID_PTX
        })?;
        if ast.version > (9, 9) || ast.version.0 == 0 {
            return Err(BAD_PTX_VERSION);
        }
        let sm: u32 = ast
            .target
            .trim_start_matches("sm_")
            .trim_end_matches(|c: char| c.is_alphabetic())
            .parse()
            .unwrap_or(0);
        if sm > self.opts.cc {
            eprintln!(
                "cudaemu: PTX for {} on a device of compute capability {} (CUDAEMU_CC)",
                ast.target, self.opts.cc
            );
            return Err(NO_BINARY);
        }
        // variables first, then their initial values, which may name one another
        let mut globals = HashMap::new();
        for v in &ast.vars {
            if v.space == Sp::Shared || (v.ext && v.size == 0) {
                continue;
            }
            let p = self.mem.alloc(0, v.size, v.align, "module", ctx).ok_or(OOM)?;
            globals.insert(v.name.clone(), p);
        }
        for v in &ast.vars {
            let Some(&p) = globals.get(&v.name) else { continue };
            let h = self.mem.host(p) as *mut u8;
            unsafe {
                std::ptr::write_bytes(h, 0, v.size as usize);
                for (i, x) in v.init.iter().enumerate() {
                    let val = match x {
                        Init::Int(x) => match v.ty.as_str() {
                            "f32" => (*x as i64 as f32).to_bits() as u64,
                            "f64" => (*x as i64 as f64).to_bits(),
                            _ => *x,
                        },
                        Init::F32(x) => *x as u64,
                        Init::F64(x) => {
                            if v.elem == 4 {
                                (f64::from_bits(*x) as f32).to_bits() as u64
                            } else {
                                *x
                            }
                        }
                        Init::Sym(s, o) => match globals.get(s) {
                            Some(a) => a.wrapping_add(*o as u64),
                            None => {
                                eprintln!(
                                    "cudaemu: initialiser of {} names {s}, which has no address here",
                                    v.name
                                );
                                0
                            }
                        },
                    };
                    let b = val.to_le_bytes();
                    std::ptr::copy_nonoverlapping(
                        b.as_ptr(),
                        h.add(i * v.elem as usize),
                        v.elem as usize,
                    );
                }
                let s = self.mem.shadow(p) as *mut u8;
                for i in 0..v.size as usize {
                    *s.add(i) |= INIT | if v.space == Sp::Const { RO } else { 0 };
                }
            }
        }
        let m = self.handle();
        self.mods.insert(m, Mod { ctx, ast, registers, globals, funcs: HashMap::new(), instead });
        if std::env::var("CUDAEMU_VERBOSE").is_ok() {
            eprintln!("cudaemu: module read in {:?}", t0.elapsed());
        }
        Ok(m)
    }

    fn get_function(&mut self, m: H, name: &str) -> Result<H, Er> {
        let Some(md) = self.mods.get(&m) else { return Err(INVALID_HANDLE) };
        if let Some(&h) = md.funcs.get(name) {
            return Ok(h);
        }
        if let Some(other) = md.instead {
            match self.get_function(other, name) {
                Err(NOT_FOUND) => {}
                found => return found,
            }
        }
        let Some(md) = self.mods.get(&m) else { return Err(INVALID_HANDLE) };
        let Some(f) = md.ast.funcs.iter().find(|f| f.entry && f.name == name && f.body.is_some())
        else {
            return Err(NOT_FOUND);
        };
        let k = match lower(&md.ast, f, &md.globals) {
            Ok(k) => k,
            Err(e) => {
                eprintln!("cudaemu: kernel {name}: {e}");
                return Err(NOT_SUPPORTED);
            }
        };
        if k.static_shared > DEFAULT_SHARED as u64 {
            eprintln!(
                "cudaemu: kernel {name}: {} bytes of static shared memory, at most {DEFAULT_SHARED} can be declared",
                k.static_shared
            );
            return Err(INVALID_PTX);
        }
        let ctx = md.ctx;
        let ptx_version = md
            .ast
            .target
            .trim_start_matches("sm_")
            .trim_end_matches(|c: char| c.is_alphabetic())
            .parse()
            .unwrap_or(0);
        let registers = match md.registers.get(name) {
            // no instruction can name more; a damaged cubin might say so
            Some(&r) => r.min(255) as i32,
            None => default_registers(),
        };
        let max_dyn = DEFAULT_SHARED - k.static_shared as i32;
        let h = self.handle();
        let f = Func {
            k: Arc::new(k),
            ctx,
            module: m,
            max_dyn,
            carve: -1,
            ptx_version,
            registers,
            cluster: [0; 3],
            non_portable: false,
        };
        self.funcs.insert(h, f);
        self.mods.get_mut(&m).unwrap().funcs.insert(name.into(), h);
        Ok(h)
    }

    /// Blocks of this launch on one multiprocessor.
    fn room(&self, f: &Func, c: &LaunchCfg) -> u32 {
        let threads = c.block.iter().fold(1u32, |n, &d| n.saturating_mul(d));
        self.occupancy(f, i32::try_from(threads).unwrap_or(0), c.smem as u64) as u32
    }

    fn occupancy(&self, f: &Func, block: i32, dynb: u64) -> i32 {
        let d = dev(self.opts.cc);
        if block <= 0 || block > f.max_threads() {
            return 0;
        }
        let warps = (block + 31) / 32;
        let mut n = (d.threads_sm / (warps * 32)).min(d.blocks_sm);
        let sm = (f.k.static_shared + d.reserved as u64).saturating_add(dynb);
        let sm = sm.checked_next_multiple_of(128).unwrap_or(u64::MAX);
        if let Some(x) = (d.smem_sm as u64).checked_div(sm) {
            n = n.min(x.min(i32::MAX as u64) as i32);
        }
        let share = (warps as u32).next_multiple_of(WARPS_AT_ONCE as u32) as i32;
        n.min(f.register_warps() / share)
    }

    fn launch(
        &mut self,
        fh: H,
        grid: [u32; 3],
        block: [u32; 3],
        cluster: Option<[u32; 3]>,
        smem: u32,
        s: H,
        params: *mut *mut c_void,
        extra: *mut *mut c_void,
        coop: bool,
    ) -> Er {
        let Some(f) = self.funcs.get(&fh) else { return INVALID_HANDLE };
        let d = dev(self.opts.cc);
        let bad = |t: String| {
            eprintln!("cudaemu: launch of {} refused: {t}", f.k.name);
            INVALID_VALUE
        };
        let resources = |t: String| {
            eprintln!("cudaemu: launch of {} refused: {t}", f.k.name);
            OUT_OF_RESOURCES
        };
        if grid.contains(&0) || block.contains(&0) {
            return bad(format!("grid {grid:?} block {block:?} has a zero"));
        }
        let over = |dims: [u32; 3], max: [u32; 3]| dims.iter().zip(max).any(|(&x, m)| x > m);
        if over(grid, MAX_GRID) {
            return bad(format!("grid {grid:?}, at most {MAX_GRID:?}"));
        }
        if over(block, MAX_BLOCK) {
            return bad(format!("block {block:?}, at most {MAX_BLOCK:?}"));
        }
        let n = block.iter().product::<u32>();
        if n > MAX_THREADS {
            return bad(format!("{n} threads, at most {MAX_THREADS}"));
        }
        if f.k.maxntid[0] > 0 {
            let m = f.k.maxntid.iter().map(|&x| x as u64).product::<u64>();
            if n as u64 > m {
                return resources(format!("{n} threads, but .maxntid is {m}"));
            }
            if f.k.reqntid && block != f.k.maxntid {
                return bad(format!("block {block:?}, but .reqntid is {:?}", f.k.maxntid));
            }
        }
        if n.div_ceil(32) as i32 > f.register_warps() {
            return resources(format!(
                "{n} threads of {} registers, at most {} threads have room",
                f.registers,
                f.register_warps() * 32
            ));
        }
        let shared = f.k.static_shared + smem as u64;
        if shared > d.optin as u64 {
            return bad(format!("{shared} bytes of shared memory, the device has {}", d.optin));
        }
        if smem as i64 > f.max_dyn as i64 {
            return bad(format!(
                "{smem} bytes of dynamic shared memory, the function allows {} (MAX_DYNAMIC_SHARED_SIZE_BYTES)",
                f.max_dyn
            ));
        }
        let cluster = match f.shape(cluster, grid, self.opts.cc) {
            Ok(c) => c,
            Err(e) => return e,
        };
        let room = self.occupancy(f, n as i32, smem as u64) as u32;
        if cluster.is_some_and(|c| c.resident(room) == 0) {
            eprintln!(
                "cudaemu: launch of {} refused: the device has no room for a cluster",
                f.k.name
            );
            return INVALID_CLUSTER_SIZE;
        }
        if coop {
            let blocks = match cluster {
                Some(c) => c.resident(room) as u64 * c.size() as u64,
                None => room as u64 * d.sms as u64,
            };
            if grid.iter().map(|&x| x as u64).product::<u64>() > blocks {
                return COOP_TOO_LARGE;
            }
        }
        let mut buf = vec![0u8; f.k.param_size as usize];
        if !params.is_null() {
            for (i, &(o, sz)) in f.k.params.iter().enumerate() {
                unsafe {
                    let p = *params.add(i);
                    if p.is_null() {
                        return bad(format!("parameter {i} is null"));
                    }
                    std::ptr::copy_nonoverlapping(
                        p as *const u8,
                        buf.as_mut_ptr().add(o as usize),
                        sz as usize,
                    );
                }
            }
        } else if !extra.is_null() {
            unsafe {
                let mut i = 0;
                let (mut p, mut len) = (std::ptr::null::<u8>(), 0usize);
                loop {
                    match *extra.add(i) as usize {
                        0 => break,
                        1 => p = *extra.add(i + 1) as *const u8,
                        2 => len = *(*extra.add(i + 1) as *const usize),
                        _ => return INVALID_VALUE,
                    }
                    i += 2;
                }
                if !p.is_null() {
                    std::ptr::copy_nonoverlapping(p, buf.as_mut_ptr(), len.min(buf.len()));
                }
            }
        } else if !f.k.params.is_empty() {
            return bad("no parameters given".into());
        }
        let op = Op::Kernel { f: f.k.clone(), grid, block, cluster, smem, params: buf, coop };
        self.push(s, op)
    }
}

/// PTX does not say how many registers a kernel takes.
fn default_registers() -> i32 {
    env_u64("CUDAEMU_REGS", 32).clamp(1, 255) as i32
}

impl Func {
    /// The cluster of a launch. A device without clusters does not support them; every other
    /// refusal is a cluster misconfiguration, the driver's word for INVALID_CLUSTER_SIZE.
    fn shape(&self, asked: Option<[u32; 3]>, grid: [u32; 3], cc: u32) -> Result<Option<Shape>, Er> {
        let rules =
            Rules { kernel: &self.k, required: self.cluster, non_portable: self.non_portable, cc };
        rules.shape(asked, grid).map_err(|refused| {
            let (text, code) = match refused {
                Refused::NotSupported(t) => (t, NOT_SUPPORTED),
                Refused::Size(t) => (t, INVALID_CLUSTER_SIZE),
            };
            eprintln!("cudaemu: launch of {} refused: {text}", self.k.name);
            code
        })
    }
    /// A component of the cluster that every launch has; 0 where launches may differ.
    fn required_cluster(&self, axis: usize) -> i32 {
        let declared = self.k.cluster.required[axis];
        if declared > 0 { declared as i32 } else { self.cluster[axis] as i32 }
    }
    /// Warps of one block, or of one multiprocessor, whose registers fit: a warp takes them in
    /// steps of 256, and each of the four parts of a multiprocessor holds a quarter of them.
    fn register_warps(&self) -> i32 {
        let warp = (self.registers.max(1) as u32).saturating_mul(32).next_multiple_of(256);
        (REGISTERS / WARPS_AT_ONCE as u32 / warp) as i32 * WARPS_AT_ONCE
    }
    fn max_threads(&self) -> i32 {
        let declared = match self.k.maxntid {
            [0, ..] => MAX_THREADS as u64,
            m => m.iter().map(|&x| x as u64).product(),
        };
        declared.min(MAX_THREADS as u64).min(self.register_warps() as u64 * 32) as i32
    }
}

fn api(f: impl FnOnce(&mut State) -> Er) -> Er {
    if BUSY.with(|b| b.get()) {
        return NOT_PERMITTED;
    }
    let r = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut s = state().lock().unwrap_or_else(|e| e.into_inner());
        f(&mut s)
    }));
    r.unwrap_or(999)
}
/// needs cuInit and a live current context with no earlier fault
fn ctx(f: impl FnOnce(&mut State, H) -> Er) -> Er {
    api(|s| {
        if !s.init {
            return NOT_INIT;
        }
        let c = cur();
        match s.ctxs.get(&c) {
            None => INVALID_CONTEXT,
            Some(x) if x.sticky != 0 => x.sticky,
            _ => f(s, c),
        }
    })
}
macro_rules! out {
    ($p:expr, $v:expr) => {{
        if $p.is_null() {
            return INVALID_VALUE;
        }
        unsafe { *$p = $v };
        OK
    }};
}

macro_rules! fns {
    ($($(#[$m:meta])* fn $name:ident($($a:ident: $t:ty),* $(,)?) $body:block)*) => {
        $( #[unsafe(no_mangle)] pub unsafe extern "C" fn $name($($a: $t),*) -> Er $body )*
        pub const IMPLEMENTED: &[&str] = &[$(stringify!($name)),*];
    };
}

const ERR: &[(u32, &str, &str)] = &[
    (0, "CUDA_SUCCESS\0", "no error\0"),
    (1, "CUDA_ERROR_INVALID_VALUE\0", "invalid argument\0"),
    (2, "CUDA_ERROR_OUT_OF_MEMORY\0", "out of memory\0"),
    (3, "CUDA_ERROR_NOT_INITIALIZED\0", "initialization error\0"),
    (4, "CUDA_ERROR_DEINITIALIZED\0", "driver shutting down\0"),
    (100, "CUDA_ERROR_NO_DEVICE\0", "no CUDA-capable device is detected\0"),
    (101, "CUDA_ERROR_INVALID_DEVICE\0", "invalid device ordinal\0"),
    (200, "CUDA_ERROR_INVALID_IMAGE\0", "device kernel image is invalid\0"),
    (201, "CUDA_ERROR_INVALID_CONTEXT\0", "invalid device context\0"),
    (
        209,
        "CUDA_ERROR_NO_BINARY_FOR_GPU\0",
        "no kernel image is available for execution on the device\0",
    ),
    (218, "CUDA_ERROR_INVALID_PTX\0", "a PTX JIT compilation failed\0"),
    (
        222,
        "CUDA_ERROR_UNSUPPORTED_PTX_VERSION\0",
        "the provided PTX was compiled with an unsupported toolchain.\0",
    ),
    (301, "CUDA_ERROR_FILE_NOT_FOUND\0", "file not found\0"),
    (400, "CUDA_ERROR_INVALID_HANDLE\0", "invalid resource handle\0"),
    (500, "CUDA_ERROR_NOT_FOUND\0", "named symbol not found\0"),
    (600, "CUDA_ERROR_NOT_READY\0", "device not ready\0"),
    (700, "CUDA_ERROR_ILLEGAL_ADDRESS\0", "an illegal memory access was encountered\0"),
    (701, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES\0", "too many resources requested for launch\0"),
    (702, "CUDA_ERROR_LAUNCH_TIMEOUT\0", "the launch timed out and was terminated\0"),
    (709, "CUDA_ERROR_CONTEXT_IS_DESTROYED\0", "context is destroyed\0"),
    (710, "CUDA_ERROR_ASSERT\0", "device-side assert triggered\0"),
    (715, "CUDA_ERROR_ILLEGAL_INSTRUCTION\0", "an illegal instruction was encountered\0"),
    (716, "CUDA_ERROR_MISALIGNED_ADDRESS\0", "misaligned address\0"),
    (
        717,
        "CUDA_ERROR_INVALID_ADDRESS_SPACE\0",
        "operation not supported on global/shared address space\0",
    ),
    (719, "CUDA_ERROR_LAUNCH_FAILED\0", "unspecified launch failure\0"),
    (720, "CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE\0", "too many blocks in cooperative launch\0"),
    (800, "CUDA_ERROR_NOT_PERMITTED\0", "operation not permitted\0"),
    (801, "CUDA_ERROR_NOT_SUPPORTED\0", "operation not supported\0"),
    (
        900,
        "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED\0",
        "operation not permitted when stream is capturing\0",
    ),
    (
        903,
        "CUDA_ERROR_STREAM_CAPTURE_UNMATCHED\0",
        "the capture was not initiated in this stream\0",
    ),
    (
        906,
        "CUDA_ERROR_STREAM_CAPTURE_IMPLICIT\0",
        "operation would make the legacy stream depend on a capturing blocking stream\0",
    ),
    (5, "CUDA_ERROR_PROFILER_DISABLED\0", "profiler disabled\0"),
    (6, "CUDA_ERROR_PROFILER_NOT_INITIALIZED\0", "profiler not initialized\0"),
    (7, "CUDA_ERROR_PROFILER_ALREADY_STARTED\0", "profiler already started\0"),
    (8, "CUDA_ERROR_PROFILER_ALREADY_STOPPED\0", "profiler already stopped\0"),
    (34, "CUDA_ERROR_STUB_LIBRARY\0", "stub library\0"),
    (36, "CUDA_ERROR_CALL_REQUIRES_NEWER_DRIVER\0", "call requires newer driver\0"),
    (46, "CUDA_ERROR_DEVICE_UNAVAILABLE\0", "device unavailable\0"),
    (102, "CUDA_ERROR_DEVICE_NOT_LICENSED\0", "device not licensed\0"),
    (202, "CUDA_ERROR_CONTEXT_ALREADY_CURRENT\0", "context already current\0"),
    (205, "CUDA_ERROR_MAP_FAILED\0", "map failed\0"),
    (206, "CUDA_ERROR_UNMAP_FAILED\0", "unmap failed\0"),
    (207, "CUDA_ERROR_ARRAY_IS_MAPPED\0", "array is mapped\0"),
    (208, "CUDA_ERROR_ALREADY_MAPPED\0", "already mapped\0"),
    (210, "CUDA_ERROR_ALREADY_ACQUIRED\0", "already acquired\0"),
    (211, "CUDA_ERROR_NOT_MAPPED\0", "not mapped\0"),
    (212, "CUDA_ERROR_NOT_MAPPED_AS_ARRAY\0", "not mapped as array\0"),
    (213, "CUDA_ERROR_NOT_MAPPED_AS_POINTER\0", "not mapped as pointer\0"),
    (214, "CUDA_ERROR_ECC_UNCORRECTABLE\0", "ecc uncorrectable\0"),
    (215, "CUDA_ERROR_UNSUPPORTED_LIMIT\0", "unsupported limit\0"),
    (216, "CUDA_ERROR_CONTEXT_ALREADY_IN_USE\0", "context already in use\0"),
    (217, "CUDA_ERROR_PEER_ACCESS_UNSUPPORTED\0", "peer access unsupported\0"),
    (219, "CUDA_ERROR_INVALID_GRAPHICS_CONTEXT\0", "invalid graphics context\0"),
    (220, "CUDA_ERROR_NVLINK_UNCORRECTABLE\0", "nvlink uncorrectable\0"),
    (221, "CUDA_ERROR_JIT_COMPILER_NOT_FOUND\0", "jit compiler not found\0"),
    (223, "CUDA_ERROR_JIT_COMPILATION_DISABLED\0", "jit compilation disabled\0"),
    (224, "CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY\0", "unsupported exec affinity\0"),
    (225, "CUDA_ERROR_UNSUPPORTED_DEVSIDE_SYNC\0", "unsupported devside sync\0"),
    (226, "CUDA_ERROR_CONTAINED\0", "contained\0"),
    (300, "CUDA_ERROR_INVALID_SOURCE\0", "invalid source\0"),
    (302, "CUDA_ERROR_SHARED_OBJECT_SYMBOL_NOT_FOUND\0", "shared object symbol not found\0"),
    (303, "CUDA_ERROR_SHARED_OBJECT_INIT_FAILED\0", "shared object init failed\0"),
    (304, "CUDA_ERROR_OPERATING_SYSTEM\0", "operating system\0"),
    (401, "CUDA_ERROR_ILLEGAL_STATE\0", "illegal state\0"),
    (402, "CUDA_ERROR_LOSSY_QUERY\0", "lossy query\0"),
    (703, "CUDA_ERROR_LAUNCH_INCOMPATIBLE_TEXTURING\0", "launch incompatible texturing\0"),
    (704, "CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED\0", "peer access already enabled\0"),
    (705, "CUDA_ERROR_PEER_ACCESS_NOT_ENABLED\0", "peer access not enabled\0"),
    (708, "CUDA_ERROR_PRIMARY_CONTEXT_ACTIVE\0", "primary context active\0"),
    (711, "CUDA_ERROR_TOO_MANY_PEERS\0", "too many peers\0"),
    (712, "CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED\0", "host memory already registered\0"),
    (713, "CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED\0", "host memory not registered\0"),
    (714, "CUDA_ERROR_HARDWARE_STACK_ERROR\0", "hardware stack error\0"),
    (718, "CUDA_ERROR_INVALID_PC\0", "invalid pc\0"),
    (721, "CUDA_ERROR_TENSOR_MEMORY_LEAK\0", "tensor memory leak\0"),
    (802, "CUDA_ERROR_SYSTEM_NOT_READY\0", "system not ready\0"),
    (803, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH\0", "system driver mismatch\0"),
    (804, "CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE\0", "compat not supported on device\0"),
    (805, "CUDA_ERROR_MPS_CONNECTION_FAILED\0", "mps connection failed\0"),
    (806, "CUDA_ERROR_MPS_RPC_FAILURE\0", "mps rpc failure\0"),
    (807, "CUDA_ERROR_MPS_SERVER_NOT_READY\0", "mps server not ready\0"),
    (808, "CUDA_ERROR_MPS_MAX_CLIENTS_REACHED\0", "mps max clients reached\0"),
    (809, "CUDA_ERROR_MPS_MAX_CONNECTIONS_REACHED\0", "mps max connections reached\0"),
    (810, "CUDA_ERROR_MPS_CLIENT_TERMINATED\0", "mps client terminated\0"),
    (811, "CUDA_ERROR_CDP_NOT_SUPPORTED\0", "cdp not supported\0"),
    (812, "CUDA_ERROR_CDP_VERSION_MISMATCH\0", "cdp version mismatch\0"),
    (901, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED\0", "stream capture invalidated\0"),
    (902, "CUDA_ERROR_STREAM_CAPTURE_MERGE\0", "stream capture merge\0"),
    (904, "CUDA_ERROR_STREAM_CAPTURE_UNJOINED\0", "stream capture unjoined\0"),
    (905, "CUDA_ERROR_STREAM_CAPTURE_ISOLATION\0", "stream capture isolation\0"),
    (907, "CUDA_ERROR_CAPTURED_EVENT\0", "captured event\0"),
    (908, "CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD\0", "stream capture wrong thread\0"),
    (909, "CUDA_ERROR_TIMEOUT\0", "timeout\0"),
    (910, "CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE\0", "graph exec update failure\0"),
    (911, "CUDA_ERROR_EXTERNAL_DEVICE\0", "external device\0"),
    (912, "CUDA_ERROR_INVALID_CLUSTER_SIZE\0", "cluster misconfiguration\0"),
    (913, "CUDA_ERROR_FUNCTION_NOT_LOADED\0", "function not loaded\0"),
    (914, "CUDA_ERROR_INVALID_RESOURCE_TYPE\0", "invalid resource type\0"),
    (915, "CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION\0", "invalid resource configuration\0"),
    (916, "CUDA_ERROR_KEY_ROTATION\0", "key rotation\0"),
    (999, "CUDA_ERROR_UNKNOWN\0", "unknown error\0"),
];

fn attr(a: u32, cc: u32) -> Option<i32> {
    let d = dev(cc);
    Some(match a {
        1 => MAX_THREADS as i32,
        2..=4 => MAX_BLOCK[a as usize - 2] as i32,
        5..=7 => MAX_GRID[a as usize - 5] as i32,
        8 => DEFAULT_SHARED,
        9 => 65536,
        10 => 32,
        11 => i32::MAX,
        12 => REGISTERS as i32,
        13 => 1_410_000,
        14 => 512,
        15 => 1,
        16 => d.sms,
        17 | 18 => 0,
        19 => 1,
        20 => 0,
        30 => 512,
        31 => 1,
        32 => 0,
        33 | 34 => 0,
        35 => 0,
        36 => 1_215_000,
        37 => 5120,
        38 => 40 << 20,
        39 => d.threads_sm,
        40 => 3,
        41 => 1,
        50 => 0,
        51 => 32,
        75 => (cc / 10) as i32,
        76 => (cc % 10) as i32,
        78..=80 => 1,
        81 => d.smem_sm,
        82 => REGISTERS as i32,
        83 => 1,
        84 | 85 => 0,
        86 => 0,
        87 => 2,
        88 => 0,
        89 => 1,
        90 | 91 => 1,
        92..=94 => 0,
        95 => 1,
        96 => 0,
        97 => d.optin,
        98 => 0,
        99 => 1,
        100 | 101 => 0,
        102 => 0,
        106 => d.blocks_sm,
        111 => d.reserved,
        115 => env_u64("CUDAEMU_POOLS", 1) as i32,
        120 => (cc >= 90) as i32,
        // known to CUDA, not modelled here
        x if x <= 144 => 0,
        _ => return None,
    })
}

/// The image of a module. `len` is known for files only: cuModuleLoadData is given no length, so a
/// container in memory is as long as its header says and a text ends at its first zero byte.
unsafe fn image(s: &mut State, p: *const c_void, len: Option<usize>) -> Result<H, Er> {
    if p.is_null() {
        return Err(INVALID_VALUE);
    }
    let p = p as *const u8;
    // four bytes at least: a shorter text is no PTX, and may end with its zero
    let mut magic = [0u8; 4];
    for (i, b) in magic.iter_mut().enumerate() {
        if len.is_some_and(|n| i >= n) {
            break;
        }
        *b = *p.add(i);
        if *b == 0 {
            break;
        }
    }
    if magic == fatbin::ELF {
        eprintln!(
            "cudaemu: this is a cubin, machine code only; the emulator runs PTX or a fatbin with PTX"
        );
        return Err(NO_BINARY);
    }
    if magic == fatbin::MAGIC {
        let n = match len {
            Some(n) => Ok(n),
            None => fatbin::size(&*(p as *const [u8; fatbin::HEADER])),
        };
        let cc = s.opts.cc;
        let chosen = n.and_then(|n| fatbin::choose(std::slice::from_raw_parts(p, n), cc));
        return match chosen {
            Ok(c) if c.ptx.contains(".version") => s.load(c.ptx, c.registers),
            Ok(_) => {
                eprintln!("cudaemu: fatbin: a PTX entry holds something else");
                Err(INVALID_IMAGE)
            }
            Err(fatbin::Refused::Malformed(t)) => {
                eprintln!("cudaemu: {t}");
                Err(INVALID_IMAGE)
            }
            Err(fatbin::Refused::NothingUsable(t)) => {
                eprintln!("cudaemu: {t}");
                Err(NO_BINARY)
            }
        };
    }
    let text = match len {
        Some(n) => std::slice::from_raw_parts(p, n).split(|&b| b == 0).next().unwrap_or(&[]),
        None => CStr::from_ptr(p as *const c_char).to_bytes(),
    };
    match std::str::from_utf8(text) {
        Ok(t) if t.contains(".version") => s.load(t, HashMap::new()),
        _ => {
            eprintln!("cudaemu: the module is neither PTX nor a fatbin");
            Err(INVALID_IMAGE)
        }
    }
}

unsafe fn str_of<'a>(p: *const c_char) -> &'a str {
    CStr::from_ptr(p).to_str().unwrap_or("")
}

fn alloc(s: &mut State, p: *mut u64, n: usize, which: usize, kind: &'static str) -> Er {
    if p.is_null() || n == 0 {
        return INVALID_VALUE;
    }
    let c = cur();
    match s.mem.alloc(which, n as u64, 512, kind, c) {
        Some(a) => out!(p, a),
        None => {
            // work not yet done may give memory back
            s.drain_ctx(c);
            match s.mem.alloc(which, n as u64, 512, kind, c) {
                Some(a) => out!(p, a),
                None => OOM,
            }
        }
    }
}

fn pinned(s: &State, p: u64, n: u64) -> bool {
    s.mem.heap[1].live.range(..=p).next_back().is_some_and(|(a, al)| p + n <= a + al.size)
}

fn htod(s: &mut State, dst: u64, src: *const c_void, n: usize, st: H) -> Er {
    if n == 0 {
        return OK;
    }
    if src.is_null() {
        return INVALID_VALUE;
    }
    let cap = s.stream(st).ok().and_then(|h| s.streams[&h].capture).is_some();
    if pinned(s, src as u64, n as u64) || cap {
        return s.push(st, Op::HtoDLater { dst, src: src as u64, n: n as u64 });
    }
    let v = unsafe { std::slice::from_raw_parts(src as *const u8, n) }.to_vec();
    s.push(st, Op::HtoD { dst, data: Arc::new(v) })
}
fn dtoh(s: &mut State, dst: *mut c_void, src: u64, n: usize, st: H) -> Er {
    if n == 0 {
        return OK;
    }
    let e = s.push(st, Op::DtoH { dst: dst as u64, src, n: n as u64 });
    if e != OK {
        return e;
    }
    let h = s.stream(st).unwrap();
    if s.streams[&h].capture.is_some() || pinned(s, dst as u64, n as u64) {
        return OK;
    }
    // pageable memory: done when the call returns
    s.drain(h, u64::MAX)
}
fn sync_op(s: &mut State, c: H, op: Op) -> Er {
    let e = s.push(0, op);
    if e != OK {
        return e;
    }
    s.drain(c | 1, u64::MAX)
}

fns! {
fn cuInit(flags: c_uint) {
    let _ = flags;
    api(|s| { s.init = true; OK })
}
fn cuDriverGetVersion(v: *mut c_int) { out!(v, 13000) }
fn cuGetErrorString(e: u32, p: *mut *const c_char) {
    match ERR.iter().find(|x| x.0 == e) {
        Some(x) => out!(p, x.2.as_ptr() as *const c_char),
        None => { *p = std::ptr::null(); INVALID_VALUE }
    }
}
fn cuGetErrorName(e: u32, p: *mut *const c_char) {
    match ERR.iter().find(|x| x.0 == e) {
        Some(x) => out!(p, x.1.as_ptr() as *const c_char),
        None => { *p = std::ptr::null(); INVALID_VALUE }
    }
}
fn cuDeviceGet(p: *mut c_int, n: c_int) {
    api(|s| if !s.init { NOT_INIT } else if n != 0 { INVALID_DEVICE } else { out!(p, 0) })
}
fn cuDeviceGetCount(p: *mut c_int) { api(|s| if !s.init { NOT_INIT } else { out!(p, 1) }) }
fn cuDeviceGetName(p: *mut c_char, n: c_int, d: c_int) {
    if d != 0 { return INVALID_DEVICE }
    let t = b"CPU emulation of a CUDA device";
    let m = t.len().min(n as usize - 1);
    std::ptr::copy_nonoverlapping(t.as_ptr() as *const c_char, p, m);
    *p.add(m) = 0;
    OK
}
fn cuDeviceGetUuid(p: *mut [u8; 16], d: c_int) { if d != 0 { return INVALID_DEVICE } out!(p, *b"cudaemu-device-0") }
fn cuDeviceGetUuid_v2(p: *mut [u8; 16], d: c_int) { if d != 0 { return INVALID_DEVICE } out!(p, *b"cudaemu-device-0") }
fn cuDeviceTotalMem_v2(p: *mut usize, d: c_int) { if d != 0 { return INVALID_DEVICE } api(|s| out!(p, s.mem.limit as usize)) }
fn cuDeviceGetAttribute(p: *mut c_int, a: u32, d: c_int) {
    if d != 0 { return INVALID_DEVICE }
    api(|s| match attr(a, s.opts.cc) { Some(v) => out!(p, v), None => INVALID_VALUE })
}
fn cuDeviceGetDefaultMemPool(p: *mut H, _d: c_int) { out!(p, 0x1000) }
fn cuDeviceGetMemPool(p: *mut H, _d: c_int) { out!(p, 0x1000) }
fn cuDeviceSetMemPool(_d: c_int, _p: H) { OK }
fn cuMemPoolCreate(p: *mut H, _props: *const c_void) { api(|s| { let h = s.handle(); out!(p, h) }) }
fn cuMemPoolDestroy(_p: H) { OK }
fn cuMemPoolTrimTo(_p: H, _n: usize) { OK }
fn cuMemPoolSetAttribute(_p: H, _a: u32, _v: *mut c_void) { OK }
fn cuMemPoolGetAttribute(_p: H, a: u32, v: *mut c_void) {
    // 1..3 are ints, the others 64 bits wide
    api(|s| { if a <= 3 { *(v as *mut i32) = 1 } else { *(v as *mut u64) = s.mem.heap[0].used } OK })
}
fn cuDevicePrimaryCtxRetain(p: *mut H, d: c_int) {
    if d != 0 { return INVALID_DEVICE }
    api(|s| {
        if !s.init { return NOT_INIT }
        if s.primary.is_none() {
            let h = s.handle();
            s.ctxs.insert(h, Ctx { primary: true, flags: 0, sticky: 0, limits: HashMap::new(), cache: 0 });
            s.primary = Some(h);
        }
        s.primary_refs += 1;
        out!(p, s.primary.unwrap())
    })
}
fn cuDevicePrimaryCtxRelease_v2(d: c_int) {
    if d != 0 { return INVALID_DEVICE }
    api(|s| {
        if s.primary_refs == 0 { return INVALID_CONTEXT }
        s.primary_refs -= 1;
        if s.primary_refs == 0 { let c = s.primary.take().unwrap(); s.destroy_ctx(c); }
        OK
    })
}
fn cuDevicePrimaryCtxReset_v2(d: c_int) {
    if d != 0 { return INVALID_DEVICE }
    api(|s| { if let Some(c) = s.primary { s.destroy_ctx(c); s.ctxs.insert(c, Ctx { primary: true, flags: 0, sticky: 0, limits: HashMap::new(), cache: 0 }); } OK })
}
fn cuDevicePrimaryCtxGetState(_d: c_int, f: *mut c_uint, a: *mut c_int) { api(|s| { *f = 0; out!(a, s.primary.is_some() as c_int) }) }
fn cuDevicePrimaryCtxSetFlags_v2(_d: c_int, _f: c_uint) { OK }
fn cuCtxCreate_v2(p: *mut H, flags: c_uint, d: c_int) {
    if d != 0 { return INVALID_DEVICE }
    api(|s| {
        let h = s.handle();
        s.ctxs.insert(h, Ctx { primary: false, flags, sticky: 0, limits: HashMap::new(), cache: 0 });
        CUR.with(|c| c.borrow_mut().push(h));
        out!(p, h)
    })
}
fn cuCtxCreate_v3(p: *mut H, _x: *mut c_void, _n: c_int, flags: c_uint, d: c_int) { cuCtxCreate_v2(p, flags, d) }
fn cuCtxCreate_v4(p: *mut H, _x: *mut c_void, flags: c_uint, d: c_int) { cuCtxCreate_v2(p, flags, d) }
fn cuCtxDestroy_v2(c: H) {
    api(|s| {
        match s.ctxs.get(&c) { None => return INVALID_CONTEXT, Some(x) if x.primary => return INVALID_CONTEXT, _ => {} }
        s.destroy_ctx(c);
        CUR.with(|v| { let mut v = v.borrow_mut(); if v.last() == Some(&c) { v.pop(); } });
        OK
    })
}
fn cuCtxSetCurrent(c: H) {
    api(|s| {
        if !s.init { return NOT_INIT }
        if c != 0 && !s.ctxs.contains_key(&c) { return INVALID_CONTEXT }
        CUR.with(|v| { let mut v = v.borrow_mut(); v.pop(); if c != 0 { v.push(c) } });
        OK
    })
}
fn cuCtxGetCurrent(p: *mut H) { api(|s| { if !s.init { return NOT_INIT } out!(p, cur()) }) }
fn cuCtxPushCurrent_v2(c: H) { CUR.with(|v| v.borrow_mut().push(c)); OK }
fn cuCtxPopCurrent_v2(p: *mut H) {
    let t = CUR.with(|v| v.borrow_mut().pop());
    match t { None => INVALID_CONTEXT, Some(c) => { if !p.is_null() { *p = c } OK } }
}
fn cuCtxGetDevice(p: *mut c_int) { ctx(|_, _| out!(p, 0)) }
fn cuCtxGetApiVersion(_c: H, p: *mut c_uint) { out!(p, 13000) }
fn cuCtxGetFlags(p: *mut c_uint) { ctx(|s, c| out!(p, s.ctxs[&c].flags)) }
fn cuCtxSetFlags(f: c_uint) { ctx(|s, c| { s.ctxs.get_mut(&c).unwrap().flags = f; OK }) }
fn cuCtxSynchronize() {
    ctx(|s, c| {
        if s.streams.values().any(|x| x.ctx == c && x.capture.is_some()) { return CAPTURE_UNSUPPORTED }
        s.drain_ctx(c)
    })
}
fn cuCtxGetLimit(p: *mut usize, l: u32) {
    ctx(|s, c| {
        let d = match l { 0 => 1024, 1 => 1 << 20, 2 => 8 << 20, 5 => 64, 6 | 7 => 0, _ => return 215 };
        out!(p, s.ctxs[&c].limits.get(&l).copied().unwrap_or(d))
    })
}
fn cuCtxSetLimit(l: u32, v: usize) { ctx(|s, c| { if l > 6 { return 215 } s.ctxs.get_mut(&c).unwrap().limits.insert(l, v); OK }) }
fn cuCtxGetCacheConfig(p: *mut u32) { ctx(|s, c| out!(p, s.ctxs[&c].cache)) }
fn cuCtxSetCacheConfig(v: u32) { ctx(|s, c| { s.ctxs.get_mut(&c).unwrap().cache = v; OK }) }
fn cuCtxGetStreamPriorityRange(a: *mut c_int, b: *mut c_int) { ctx(|_, _| { *a = 0; *b = -5; OK }) }
// ---- streams ----
fn cuStreamCreate(p: *mut H, flags: c_uint) { cuStreamCreateWithPriority(p, flags, 0) }
fn cuStreamCreateWithPriority(p: *mut H, flags: c_uint, prio: c_int) {
    ctx(|s, c| {
        let h = s.handle();
        s.streams.insert(h, Stream { ctx: c, blocking: flags & 1 == 0, prio, q: VecDeque::new(), last: 0, done: 0, capture: None });
        out!(p, h)
    })
}
fn cuStreamDestroy_v2(h: H) {
    api(|s| {
        if h <= 2 || !s.streams.contains_key(&h) { return INVALID_HANDLE }
        let e = s.drain(h, u64::MAX);
        s.streams.remove(&h);
        e
    })
}
fn cuStreamSynchronize(h: H) {
    ctx(|s, _| match s.stream(h) {
        Err(e) => e,
        Ok(x) => { if s.streams[&x].capture.is_some() { return CAPTURE_UNSUPPORTED } s.drain(x, u64::MAX) }
    })
}
fn cuStreamQuery(h: H) {
    ctx(|s, _| match s.stream(h) {
        Err(e) => e,
        Ok(x) => {
            if s.streams[&x].q.is_empty() { return OK }
            // one step per query, so that polling ends
            let q = s.streams[&x].q.front().unwrap().seq;
            let e = s.drain(x, q);
            if e != OK { e } else if s.streams[&x].q.is_empty() { OK } else { NOT_READY }
        }
    })
}
fn cuStreamGetPriority(h: H, p: *mut c_int) { ctx(|s, _| match s.stream(h) { Err(e) => e, Ok(x) => out!(p, s.streams[&x].prio) }) }
fn cuStreamGetFlags(h: H, p: *mut c_uint) { ctx(|s, _| match s.stream(h) { Err(e) => e, Ok(x) => out!(p, !s.streams[&x].blocking as u32) }) }
fn cuStreamGetCtx(h: H, p: *mut H) { ctx(|s, _| match s.stream(h) { Err(e) => e, Ok(x) => out!(p, s.streams[&x].ctx) }) }
fn cuStreamWaitEvent(h: H, e: H, _f: c_uint) {
    ctx(|s, _| {
        let x = match s.stream(h) { Err(e) => return e, Ok(x) => x };
        let Some(ev) = s.events.get(&e) else { return INVALID_HANDLE };
        if let Some(c) = ev.capture {
            // joins the capture
            if s.captures.contains_key(&c) { s.streams.get_mut(&x).unwrap().capture = Some(c); }
            return OK;
        }
        let Some((sh, sq)) = ev.rec else { return OK };
        if s.streams.get(&sh).is_none_or(|q| q.done >= sq) || sh == x { return OK }
        let r = s.push(h, Op::Nop);
        if r != OK { return r }
        if let Some(q) = s.streams.get_mut(&x).unwrap().q.back_mut() { q.deps.push((sh, sq)); }
        if s.eager { return s.drain(x, u64::MAX) }
        OK
    })
}
fn cuStreamAttachMemAsync(h: H, _p: u64, _n: usize, _f: c_uint) { ctx(|s, _| s.push(h, Op::Nop)) }
fn cuLaunchHostFunc(h: H, f: usize, d: *mut c_void) { ctx(|s, _| s.push(h, Op::Host(f, d as usize))) }
fn cuStreamBeginCapture_v2(h: H, _mode: u32) {
    ctx(|s, _| {
        if h <= 2 { return CAPTURE_UNSUPPORTED }
        let x = match s.stream(h) { Err(e) => return e, Ok(x) => x };
        if s.streams[&x].capture.is_some() { return 401 }
        s.seq += 1;
        let id = s.seq;
        s.captures.insert(id, Capture { origin: x, ..Default::default() });
        s.streams.get_mut(&x).unwrap().capture = Some(id);
        OK
    })
}
fn cuStreamIsCapturing(h: H, p: *mut u32) { ctx(|s, _| match s.stream(h) { Err(e) => e, Ok(x) => out!(p, s.streams[&x].capture.is_some() as u32) }) }
fn cuStreamEndCapture(h: H, p: *mut H) {
    ctx(|s, _| {
        let x = match s.stream(h) { Err(e) => return e, Ok(x) => x };
        let Some(id) = s.streams[&x].capture else { return 401 };
        if s.captures[&id].origin != x { return CAPTURE_UNMATCHED }
        for q in s.streams.values_mut() { if q.capture == Some(id) { q.capture = None } }
        for e in s.events.values_mut() { if e.capture == Some(id) { e.capture = None } }
        let c = s.captures.remove(&id).unwrap();
        if c.bad { *p = 0; return 901 }
        let g = s.handle();
        s.graphs.insert(g, c.ops);
        out!(p, g)
    })
}
fn cuGraphInstantiateWithFlags(p: *mut H, g: H, f: u64) {
    ctx(|s, _| { if f > 15 || f & 5 == 5 { return INVALID_VALUE } let Some(o) = s.graphs.get(&g).cloned() else { return INVALID_VALUE }; let h = s.handle(); s.execs.insert(h, o); out!(p, h) })
}
fn cuGraphUpload(g: H, _s: H) { ctx(|s, _| if s.execs.contains_key(&g) { OK } else { INVALID_VALUE }) }
fn cuGraphLaunch(g: H, h: H) {
    ctx(|s, _| {
        let Some(o) = s.execs.get(&g).cloned() else { return INVALID_VALUE };
        for op in o { let e = s.push(h, op); if e != OK { return e } }
        OK
    })
}
fn cuGraphDestroy(g: H) { api(|s| if s.graphs.remove(&g).is_some() { OK } else { INVALID_VALUE }) }
fn cuGraphExecDestroy(g: H) { api(|s| if s.execs.remove(&g).is_some() { OK } else { INVALID_VALUE }) }
// ---- events ----
fn cuEventCreate(p: *mut H, flags: c_uint) {
    ctx(|s, c| { let h = s.handle(); s.events.insert(h, Event { ctx: c, flags, rec: None, at: None, polled: 0, capture: None }); out!(p, h) })
}
fn cuEventDestroy_v2(e: H) { api(|s| if s.events.remove(&e).is_some() { OK } else { INVALID_HANDLE }) }
fn cuEventRecord(e: H, h: H) {
    ctx(|s, _| {
        let x = match s.stream(h) { Err(e) => return e, Ok(x) => x };
        let Some(ev) = s.events.get(&e) else { return INVALID_HANDLE };
        if ev.ctx != s.streams[&x].ctx { return INVALID_HANDLE }
        if let Some(c) = s.streams[&x].capture { s.events.get_mut(&e).unwrap().capture = Some(c); return OK }
        let r = s.push(h, Op::Event(e));
        if r != OK { return r }
        let last = s.streams[&x].last;
        let ev = s.events.get_mut(&e).unwrap();
        ev.rec = Some((x, last));
        ev.polled = 0;
        OK
    })
}
fn cuEventRecordWithFlags(e: H, h: H, _f: c_uint) { cuEventRecord(e, h) }
fn cuEventSynchronize(e: H) {
    ctx(|s, _| {
        let Some(ev) = s.events.get(&e) else { return INVALID_HANDLE };
        if ev.capture.is_some() { return 907 }
        match ev.rec { None => OK, Some((h, q)) => s.drain(h, q) }
    })
}
fn cuEventQuery(e: H) {
    ctx(|s, _| {
        let Some(ev) = s.events.get_mut(&e) else { return INVALID_HANDLE };
        if let Some(c) = ev.capture {
            if let Some(c) = s.captures.get_mut(&c) { c.bad = true }
            return 907;
        }
        let Some((h, q)) = ev.rec else { return OK };
        // not ready for a while, then it must end: somebody may be polling
        ev.polled += 1;
        let polled = ev.polled > 8;
        if s.streams.get(&h).is_none_or(|x| x.done >= q) { return OK }
        if polled { return s.drain(h, q) }
        NOT_READY
    })
}
fn cuEventElapsedTime(p: *mut f32, a: H, b: H) {
    ctx(|s, _| {
        let (Some(x), Some(y)) = (s.events.get(&a), s.events.get(&b)) else { return INVALID_HANDLE };
        if x.flags & 2 != 0 || y.flags & 2 != 0 || x.rec.is_none() || y.rec.is_none() { return INVALID_HANDLE }
        for z in [x, y] { let (h, q) = z.rec.unwrap(); if s.streams.get(&h).is_some_and(|w| w.done < q) { return NOT_READY } }
        let (Some(t0), Some(t1)) = (x.at, y.at) else { return NOT_READY };
        let ms = if t1 >= t0 { (t1 - t0).as_secs_f64() * 1e3 } else { -((t0 - t1).as_secs_f64() * 1e3) };
        out!(p, ms as f32)
    })
}
fn cuEventElapsedTime_v2(p: *mut f32, a: H, b: H) { cuEventElapsedTime(p, a, b) }
// ---- memory ----
fn cuMemGetInfo_v2(f: *mut usize, t: *mut usize) {
    ctx(|s, _| { let u = s.mem.heap[0].used + s.mem.heap[1].used; *f = (s.mem.limit - u) as usize; *t = s.mem.limit as usize; OK })
}
fn cuMemAlloc_v2(p: *mut u64, n: usize) { ctx(|s, _| alloc(s, p, n, 0, "cuMemAlloc")) }
fn cuMemAllocAsync(p: *mut u64, n: usize, h: H) {
    ctx(|s, _| {
        if let Err(e) = s.stream(h) { return e }
        // unlike cuMemAlloc, a size of zero is allowed
        alloc(s, p, n.max(1), 0, "cuMemAllocAsync")
    })
}
fn cuMemAllocFromPoolAsync(p: *mut u64, n: usize, _pool: H, h: H) { cuMemAllocAsync(p, n, h) }
fn cuMemAllocManaged(p: *mut u64, n: usize, _f: c_uint) { ctx(|s, _| alloc(s, p, n, 1, "managed")) }
fn cuMemAllocHost_v2(p: *mut u64, n: usize) { ctx(|s, _| alloc(s, p, n, 1, "pinned host")) }
fn cuMemHostAlloc(p: *mut u64, n: usize, _f: c_uint) { ctx(|s, _| alloc(s, p, n, 1, "pinned host")) }
fn cuMemFreeHost(p: u64) {
    api(|s| {
        // pending copies may still use it
        let ids: Vec<H> = s.ctxs.keys().copied().collect();
        for c in ids { s.drain_ctx(c); }
        if s.mem.free(1, p) { OK } else { INVALID_VALUE }
    })
}
fn cuMemHostGetDevicePointer_v2(d: *mut u64, p: u64, _f: c_uint) { ctx(|s, _| if pinned(s, p, 1) { out!(d, p) } else { INVALID_VALUE }) }
fn cuMemFree_v2(p: u64) {
    ctx(|s, c| {
        if p == 0 { return OK }
        let e = s.drain_ctx(c);
        if e != OK { return e }
        s.exec(c, Op::Free(p))
    })
}
fn cuMemFreeAsync(p: u64, h: H) { ctx(|s, _| if p == 0 { OK } else { s.push(h, Op::Free(p)) }) }
fn cuMemcpyHtoD_v2(d: u64, p: *const c_void, n: usize) {
    ctx(|s, c| { if n == 0 { return OK } let v = std::slice::from_raw_parts(p as *const u8, n).to_vec(); sync_op(s, c, Op::HtoD { dst: d, data: Arc::new(v) }) })
}
fn cuMemcpyHtoDAsync_v2(d: u64, p: *const c_void, n: usize, h: H) { ctx(|s, _| htod(s, d, p, n, h)) }
fn cuMemcpyDtoH_v2(p: *mut c_void, d: u64, n: usize) { ctx(|s, c| if n == 0 { OK } else { sync_op(s, c, Op::DtoH { dst: p as u64, src: d, n: n as u64 }) }) }
fn cuMemcpyDtoHAsync_v2(p: *mut c_void, d: u64, n: usize, h: H) { ctx(|s, _| dtoh(s, p, d, n, h)) }
fn cuMemcpyDtoD_v2(d: u64, p: u64, n: usize) { ctx(|s, c| sync_op(s, c, Op::DtoD { dst: d, src: p, n: n as u64 })) }
fn cuMemcpyDtoDAsync_v2(d: u64, p: u64, n: usize, h: H) { ctx(|s, _| s.push(h, Op::DtoD { dst: d, src: p, n: n as u64 })) }
fn cuMemcpyPeerAsync(d: u64, _dc: H, p: u64, _sc: H, n: usize, h: H) { ctx(|s, _| s.push(h, Op::DtoD { dst: d, src: p, n: n as u64 })) }
fn cuMemsetD8_v2(d: u64, v: u8, n: usize) { ctx(|s, c| sync_op(s, c, Op::Set { dst: d, n: n as u64, w: 1, v: v as u32 })) }
fn cuMemsetD16_v2(d: u64, v: u16, n: usize) { ctx(|s, c| sync_op(s, c, Op::Set { dst: d, n: n as u64, w: 2, v: v as u32 })) }
fn cuMemsetD32_v2(d: u64, v: u32, n: usize) { ctx(|s, c| sync_op(s, c, Op::Set { dst: d, n: n as u64, w: 4, v })) }
fn cuMemsetD8Async(d: u64, v: u8, n: usize, h: H) { ctx(|s, _| s.push(h, Op::Set { dst: d, n: n as u64, w: 1, v: v as u32 })) }
fn cuMemsetD16Async(d: u64, v: u16, n: usize, h: H) { ctx(|s, _| s.push(h, Op::Set { dst: d, n: n as u64, w: 2, v: v as u32 })) }
fn cuMemsetD32Async(d: u64, v: u32, n: usize, h: H) { ctx(|s, _| s.push(h, Op::Set { dst: d, n: n as u64, w: 4, v })) }
fn cuMemAdvise_v2(_d: u64, _n: usize, _a: u32, _l: u64) { ctx(|_, _| OK) }
fn cuMemPrefetchAsync_v2(_d: u64, _n: usize, _l: u64, _f: c_uint, h: H) { ctx(|s, _| s.push(h, Op::Nop)) }
fn cuPointerGetAttribute(v: *mut c_void, a: u32, p: u64) {
    api(|s| {
        let Some(w) = s.mem.which(p) else { return INVALID_VALUE };
        let Some((_, al)) = s.mem.heap[w].live.range(..=p).next_back() else { return INVALID_VALUE };
        match a { 1 => *(v as *mut u64) = al.ctx, 2 => *(v as *mut u32) = if al.kind == "pinned host" { 1 } else { 2 }, 3 => *(v as *mut u64) = p, _ => return NOT_SUPPORTED }
        OK
    })
}
fn cuMemGetAddressRange_v2(b: *mut u64, n: *mut usize, p: u64) {
    ctx(|s, _| {
        let Some(w) = s.mem.which(p) else { return INVALID_VALUE };
        match s.mem.heap[w].live.range(..=p).next_back() {
            Some((_, al)) if p < al.addr + al.size => {
                if !b.is_null() { *b = al.addr }
                if !n.is_null() { *n = al.size as usize }
                OK
            }
            _ => NOT_FOUND,
        }
    })
}
// ---- modules ----
fn cuModuleLoadData(p: *mut H, img: *const c_void) { ctx(|s, _| match image(s, img, None) { Ok(h) => out!(p, h), Err(e) => e }) }
fn cuModuleLoadDataEx(p: *mut H, img: *const c_void, _n: c_uint, _o: *mut c_int, _v: *mut *mut c_void) { cuModuleLoadData(p, img) }
fn cuModuleLoadFatBinary(p: *mut H, img: *const c_void) { cuModuleLoadData(p, img) }
fn cuModuleLoad(p: *mut H, f: *const c_char) {
    ctx(|s, _| {
        let Ok(b) = std::fs::read(str_of(f)) else { return FILE_NOT_FOUND };
        match image(s, b.as_ptr() as *const c_void, Some(b.len())) { Ok(h) => out!(p, h), Err(e) => e }
    })
}
fn cuModuleUnload(m: H) {
    ctx(|s, c| {
        let e = s.drain_ctx(c);
        if !s.mods.contains_key(&m) { return INVALID_HANDLE }
        let mut next = Some(m);
        while let Some((m, x)) = next.and_then(|m| Some((m, s.mods.remove(&m)?))) {
            for a in x.globals.values() { s.mem.free(0, *a); }
            s.funcs.retain(|_, f| f.module != m);
            next = x.instead;
        }
        e
    })
}
fn cuModuleGetFunction(p: *mut H, m: H, n: *const c_char) { ctx(|s, _| match s.get_function(m, str_of(n)) { Ok(h) => out!(p, h), Err(e) => e }) }
fn cuModuleGetFunctionCount(p: *mut c_uint, m: H) { ctx(|s, _| match s.mods.get(&m) { None => INVALID_HANDLE, Some(x) => out!(p, x.ast.funcs.iter().filter(|f| f.entry).count() as u32) }) }
fn cuModuleGetGlobal_v2(p: *mut u64, n: *mut usize, m: H, name: *const c_char) {
    ctx(|s, _| {
        let Some(x) = s.mods.get(&m) else { return INVALID_HANDLE };
        let nm = str_of(name);
        let (Some(&a), Some(v)) = (x.globals.get(nm), x.ast.vars.iter().find(|v| v.name == nm)) else { return NOT_FOUND };
        if !p.is_null() { *p = a }
        if !n.is_null() { *n = v.size as usize }
        OK
    })
}
fn cuFuncGetAttribute(p: *mut c_int, a: u32, f: H) {
    ctx(|s, _| {
        let cc = s.opts.cc as i32;
        let Some(x) = s.funcs.get(&f) else { return INVALID_HANDLE };
        let v = match a {
            0 => x.max_threads(),
            1 => x.k.static_shared as i32,
            2 => 0,
            3 => x.k.local_size as i32 - 16,
            4 => x.registers,
            5 => x.ptx_version,
            6 => cc,
            7 => 0,
            8 => x.max_dyn,
            9 => x.carve,
            10 => x.k.cluster.explicit as i32,
            11..=13 => x.required_cluster(a as usize - 11),
            14 => x.non_portable as i32,
            15 => 0,
            _ => return INVALID_VALUE,
        };
        out!(p, v)
    })
}
fn cuFuncSetAttribute(f: H, a: u32, v: c_int) {
    ctx(|s, _| {
        let o = dev(s.opts.cc).optin;
        let Some(x) = s.funcs.get_mut(&f) else { return INVALID_HANDLE };
        match a {
            8 => { if v < 0 || v as i64 + x.k.static_shared as i64 > o as i64 { return INVALID_VALUE } x.max_dyn = v }
            9 => { if !(-1..=100).contains(&v) { return INVALID_VALUE } x.carve = v }
            11..=13 => {
                if x.k.cluster.required != [0; 3] { return NOT_PERMITTED }
                if v < 0 { return INVALID_VALUE }
                x.cluster[a as usize - 11] = v as u32;
            }
            14 => x.non_portable = v != 0,
            15 => {}
            _ => return INVALID_VALUE,
        }
        OK
    })
}
fn cuFuncSetCacheConfig(f: H, _c: u32) { ctx(|s, _| if s.funcs.contains_key(&f) { OK } else { INVALID_HANDLE }) }
fn cuFuncGetModule(p: *mut H, f: H) { ctx(|s, _| match s.funcs.get(&f) { Some(x) => out!(p, x.module), None => INVALID_HANDLE }) }
fn cuLaunchKernel(f: H, gx: c_uint, gy: c_uint, gz: c_uint, bx: c_uint, by: c_uint, bz: c_uint, sm: c_uint, h: H, p: *mut *mut c_void, e: *mut *mut c_void) {
    ctx(|s, _| s.launch(f, [gx, gy, gz], [bx, by, bz], None, sm, h, p, e, false))
}
fn cuLaunchCooperativeKernel(f: H, gx: c_uint, gy: c_uint, gz: c_uint, bx: c_uint, by: c_uint, bz: c_uint, sm: c_uint, h: H, p: *mut *mut c_void) {
    ctx(|s, _| s.launch(f, [gx, gy, gz], [bx, by, bz], None, sm, h, p, std::ptr::null_mut(), true))
}
fn cuLaunchKernelEx(cfg: *const LaunchCfg, f: H, p: *mut *mut c_void, e: *mut *mut c_void) {
    ctx(|s, _| {
        let c = &*cfg;
        // others are hints or not supported
        let coop = c.attribute(2).is_some_and(|a| a[0] != 0);
        s.launch(f, c.grid, c.block, c.attribute(4), c.smem, c.stream, p, e, coop)
    })
}
// ---- occupancy ----
fn cuOccupancyMaxActiveBlocksPerMultiprocessor(p: *mut c_int, f: H, b: c_int, d: usize) {
    ctx(|s, _| match s.funcs.get(&f) { None => INVALID_HANDLE, Some(x) => out!(p, s.occupancy(x, b, d as u64)) })
}
fn cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(p: *mut c_int, f: H, b: c_int, d: usize, _fl: c_uint) { cuOccupancyMaxActiveBlocksPerMultiprocessor(p, f, b, d) }
fn cuOccupancyAvailableDynamicSMemPerBlock(p: *mut usize, f: H, nb: c_int, _b: c_int) {
    ctx(|s, _| match s.funcs.get(&f) {
        None => INVALID_HANDLE,
        Some(x) => { let d = dev(s.opts.cc); let v = (d.smem_sm / nb.max(1) - d.reserved - x.k.static_shared as i32).min(d.optin - x.k.static_shared as i32).max(0); out!(p, v as usize) }
    })
}
fn cuOccupancyMaxPotentialBlockSize(mg: *mut c_int, bs: *mut c_int, f: H, cb: Option<unsafe extern "C" fn(c_int) -> usize>, d: usize, lim: c_int) {
    ctx(|s, _| match s.funcs.get(&f) {
        None => INVALID_HANDLE,
        Some(x) => {
            let (mut best, mut at) = (0, 0);
            let top = if lim > 0 { lim.min(1024) } else { 1024 };
            let mut b = top / 32 * 32;
            while b >= 32 {
                let dy = match cb { Some(c) => c(b), None => d };
                let n = s.occupancy(x, b, dy as u64);
                if n * b > best { best = n * b; at = b }
                b -= 32;
            }
            if at == 0 { return INVALID_VALUE }
            *mg = best / at * dev(s.opts.cc).sms;
            out!(bs, at)
        }
    })
}
fn cuOccupancyMaxPotentialBlockSizeWithFlags(mg: *mut c_int, bs: *mut c_int, f: H, cb: Option<unsafe extern "C" fn(c_int) -> usize>, d: usize, lim: c_int, _fl: c_uint) { cuOccupancyMaxPotentialBlockSize(mg, bs, f, cb, d, lim) }
fn cuOccupancyMaxActiveClusters(p: *mut c_int, f: H, cfg: *const LaunchCfg) {
    ctx(|s, _| {
        let (Some(x), Some(c)) = (s.funcs.get(&f), cfg.as_ref()) else { return INVALID_VALUE };
        let shape = match x.shape(c.attribute(4), c.grid, s.opts.cc) {
            Ok(Some(shape)) => shape,
            Ok(None) => return INVALID_CLUSTER_SIZE,
            Err(e) => return e,
        };
        out!(p, shape.resident(s.room(x, c)) as c_int)
    })
}
fn cuOccupancyMaxPotentialClusterSize(p: *mut c_int, f: H, cfg: *const LaunchCfg) {
    ctx(|s, _| {
        let (Some(x), Some(c)) = (s.funcs.get(&f), cfg.as_ref()) else { return INVALID_VALUE };
        if s.opts.cc < 90 { return NOT_SUPPORTED }
        // a processing cluster has room for the largest size if a multiprocessor has for a block
        if s.room(x, c) == 0 { return INVALID_CLUSTER_SIZE }
        let most = if x.non_portable { cluster::LARGEST } else { cluster::PORTABLE };
        let declared = x.k.cluster.most;
        out!(p, if declared > 0 { most.min(declared) } else { most } as c_int)
    })
}
fn cuProfilerStart() { OK }
fn cuProfilerStop() { OK }
}

#[repr(C)]
pub struct LaunchCfg {
    grid: [u32; 3],
    block: [u32; 3],
    smem: u32,
    stream: H,
    attrs: *const Attribute,
    nattr: u32,
}

/// CUlaunchAttribute.
#[repr(C)]
struct Attribute {
    id: u32,
    /// on a boundary of 8 bytes
    _pad: u32,
    value: [u32; 16],
}

impl LaunchCfg {
    /// The start of the value of this attribute, the last one if it is there more than once.
    fn attribute(&self, id: u32) -> Option<[u32; 3]> {
        if self.attrs.is_null() {
            return None;
        }
        // SAFETY: as many as the program says
        let all = unsafe { std::slice::from_raw_parts(self.attrs, self.nattr as usize) };
        all.iter().rfind(|a| a.id == id).map(|a| [a.value[0], a.value[1], a.value[2]])
    }
}
