//! Runs one block: warps of 32 lanes, each lane with its own place in the code;
//! lanes at the same place run together.

use crate::cluster::Shape;
use crate::fp::{self, Rnd};
use crate::lower::*;
use crate::mem::{Bad, Mem, View};
use crate::report::{Findings, Stats, place};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering::*};

mod cluster;
use cluster::{Member, TAG};

pub const E_ILLEGAL_ADDRESS: u32 = 700;
pub const E_TIMEOUT: u32 = 702;
pub const E_ASSERT: u32 = 710;
pub const E_MISALIGNED: u32 = 716;
pub const E_SPACE: u32 = 717;
pub const E_LAUNCH_FAILED: u32 = 719;

#[derive(Debug)]
pub struct Fault(pub u32);
type Res<T> = Result<T, Fault>;

#[derive(Clone, Debug)]
pub struct Opts {
    pub race: bool,
    /// 0 off, 1 report the use of undefined values, 2 report every load of them
    pub uninit: u8,
    pub keep_going: bool,
    pub strict_warp: bool,
    pub seed: u64,
    pub profile: bool,
    pub threads: usize,
    pub timeout_s: u64,
    pub cc: u32,
}

pub struct Launch<'a> {
    pub k: &'a Kernel,
    pub grid: [u32; 3],
    pub block: [u32; 3],
    /// `Shape::ONE` for a launch without clusters
    pub cluster: Shape,
    pub explicit_cluster: bool,
    pub dyn_smem: u32,
    pub params: Vec<u8>,
    pub view: View,
    pub mem: &'a Mem,
    pub opts: Opts,
    pub f: &'a Findings,
    pub code: AtomicU32,
    pub start: std::time::Instant,
    pub nsm: u32,
    /// grid workspace of a cooperative launch
    pub ws: u64,
    /// number of this launch, for the marks in global memory
    pub id: u32,
    /// the kernel orders blocks among themselves (fences, strong accesses): conflicts are only hints
    pub ordered: bool,
}

pub fn run(l: &Launch, coop: bool) -> Stats {
    let order = std::env::var("CUDAEMU_BLOCK_ORDER").unwrap_or_default();
    let size = l.cluster.size();
    let clusters = l.cluster.clusters(l.grid).iter().map(|&x| x as u64).product::<u64>();
    let fail = |Fault(c): Fault| {
        let _ = l.code.compare_exchange(0, c, Relaxed, Relaxed);
    };
    // all clusters of these numbers at once
    let together = |blocks: &mut [Block], numbers: std::ops::Range<u64>| {
        let of = numbers.flat_map(|n| (0..size).map(move |r| l.cluster.block(n, r, l.grid)));
        for (b, lin) in blocks.iter_mut().zip(of) {
            b.reset(lin);
        }
        side_by_side(l, blocks, &order)
    };
    let sum = |blocks: &[Block]| {
        let mut s = Stats::default();
        blocks.iter().for_each(|b| s.add(&b.st));
        s
    };
    if coop {
        let mut blocks: Vec<Block> = (0..clusters * size as u64).map(|_| Block::new(l)).collect();
        together(&mut blocks, 0..clusters).unwrap_or_else(fail);
        return sum(&blocks);
    }
    let next = AtomicU64::new(0);
    let worker = || {
        let mut blocks: Vec<Block> = (0..size).map(|_| Block::new(l)).collect();
        loop {
            let n = next.fetch_add(1, Relaxed);
            if n >= clusters || l.code.load(Relaxed) != 0 {
                break;
            }
            let n = nth(&order, n, clusters);
            if let Err(f) = together(&mut blocks, n..n + 1) {
                fail(f);
                break;
            }
        }
        sum(&blocks)
    };
    let nt = (l.opts.threads as u64).min(clusters) as usize;
    if nt <= 1 {
        return worker();
    }
    let mut s = Stats::default();
    std::thread::scope(|sc| {
        let hs: Vec<_> = (0..nt).map(|_| sc.spawn(worker)).collect();
        for h in hs {
            match h.join() {
                Ok(x) => s.add(&x),
                Err(_) => {
                    l.f.add(&l.k.name, "emulator_panic", true, 0, 0, || {
                        "the emulator itself failed; see standard error".into()
                    });
                    fail(Fault(E_LAUNCH_FAILED));
                }
            }
        }
    });
    s
}

/// What runs as the `n`th of `count`: CUDAEMU_BLOCK_ORDER.
fn nth(order: &str, n: u64, count: u64) -> u64 {
    match order {
        "reverse" => count - 1 - n,
        // odd numbers first
        "odd" if n < count / 2 => n * 2 + 1,
        "odd" => (n - count / 2) * 2,
        _ => n,
    }
}

/// Runs blocks that are on the device together, each for a while in turn: those of a cluster, or of
/// a cooperative grid.
fn side_by_side(l: &Launch, blocks: &mut [Block], order: &str) -> Res<()> {
    let count = blocks.len() as u64;
    let quantum = if count == 1 { 20_000 } else { 5000 };
    let first = blocks.as_mut_ptr();
    // SAFETY: all blocks of these clusters, which stay where they are while they run
    unsafe { cluster::form(first, blocks.len()) };
    let mut live: Vec<usize> = (0..count).map(|n| nth(order, n, count) as usize).collect();
    while !live.is_empty() {
        if l.opts.seed != 0 && live.len() > 1 {
            // SAFETY: see below
            let turn = rng(unsafe { &mut (*first).rng }) as usize;
            let n = live.len();
            live.rotate_left(turn % n);
        }
        let mut moved = false;
        let mut left = vec![];
        for b in live {
            // SAFETY: one of `blocks`. The blocks of a cluster reach one another through the same
            // pointer, so no reference to one of them outlives its turn.
            let step = unsafe { (*first.add(b)).step(quantum)? };
            moved |= step != Step::Stuck;
            if step != Step::Done {
                left.push(b);
            }
        }
        live = left;
        if !moved {
            return Err(deadlock(l, blocks, &live));
        }
    }
    Ok(())
}

/// No thread of these blocks can go on.
fn deadlock(l: &Launch, blocks: &[Block], live: &[usize]) -> Fault {
    l.f.add(&l.k.name, "deadlock", true, 0, 0, || {
        let mut t = String::new();
        for &b in live.iter().take(4) {
            t += &format!("block {:?}: no thread can go on: ", blocks[b].cta);
            t += &blocks[b].state_text();
        }
        t
    });
    Fault(E_LAUNCH_FAILED)
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum St {
    Run,
    Bar(u32),
    Cluster,
    Sync,
}

#[derive(Clone, Copy, Debug)]
struct Group {
    pc: u32,
    mask: u32,
    st: St,
    last: u64,
}

#[derive(Default)]
struct Cp {
    open: Vec<(u32, [u8; 16], u8, u32)>,
    done: VecDeque<Vec<(u32, [u8; 16], u8, u32)>>,
}

struct Warp {
    regs: Vec<[u64; 32]>,
    preds: Vec<u32>,
    cc: u32,
    alive: u32,
    groups: Vec<Group>,
    local: Vec<u8>,
    le: [u32; 32],
    cp: Vec<Cp>,
    icount: u64,
    strong: u64,
    /// lanes whose register or predicate came from memory never written
    u: Vec<u32>,
    up: Vec<u32>,
    any_u: bool,
    from: u32,
    /// lanes that others of the warp found busy elsewhere when they reached a barrier
    owed: u32,
}

/// What shared memory's race check remembers of a word or, once a narrower access came, of a byte:
/// the last write, the last plain (not atomic) one, which a later atomic of the same warp must not
/// hide, and the reads since.
#[derive(Clone, Copy)]
struct Cell {
    wt: u32,
    wle: u32,
    wpc: u32,
    pt: u32,
    ppc: u32,
    rt: u32,
    rle: u32,
    rpc: u32,
    rfull: u32,
    rmask: u32,
    wtid: u16,
    ptid: u16,
    rtid: u16,
    watom: bool,
    split: bool,
}
const CELL0: Cell = Cell {
    wt: 0,
    wle: 0,
    wpc: 0,
    pt: 0,
    ppc: 0,
    rt: 0,
    rle: 0,
    rpc: 0,
    rfull: 0,
    rmask: 0,
    wtid: 0,
    ptid: 0,
    rtid: 0,
    watom: false,
    split: false,
};

#[derive(Clone)]
struct Bar {
    arrived: Vec<u32>,
    waiting: u32,
    count: u32, // 0: whole block
    pc: u32,
    any: bool,
    pop: u32,
    and: bool,
    or: bool,
    extra: u32,
}

#[derive(PartialEq, Eq, Clone, Copy, Debug)]
pub enum Step {
    Done,
    Progress,
    Stuck,
}

pub struct Block<'a> {
    l: &'a Launch<'a>,
    pub cta: [u32; 3],
    lin: u64,
    warps: Vec<Warp>,
    nwarps: usize,
    shared: Vec<u8>,
    sinit: Vec<u8>,
    cells: Vec<Cell>,
    bytes: Vec<Cell>,
    vc: Vec<[u32; 32]>,
    full: u32,
    partial: bool,
    bars: Vec<Bar>,
    pub st: Stats,
    exited: bool,
    rng: u64,
    spins: u64,
    last_un: bool,
    /// in a cluster
    member: Option<Box<Member<'a>>>,
    /// own tag in addresses of the cluster's shared memory; 0 without one
    tag: u64,
}

fn rng(x: &mut u64) -> u64 {
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    x.wrapping_mul(0x2545_F491_4F6C_DD1D)
}

#[inline(always)]
fn sx(v: u64, bits: u32) -> i64 {
    let s = 64 - bits;
    ((v << s) as i64) >> s
}

enum Out {
    /// the group goes on elsewhere (diverged, waiting, merged or gone): pick again
    Repick,
    Stay,
}

impl<'a> Block<'a> {
    pub fn new(l: &'a Launch<'a>) -> Block<'a> {
        let nt = l.block[0] * l.block[1] * l.block[2];
        let nw = (nt as usize).div_ceil(32);
        let total = l.k.static_shared;
        let base_dyn = total.div_ceil(l.k.dyn_align) * l.k.dyn_align;
        let size = if l.dyn_smem > 0 { base_dyn + l.dyn_smem as u64 } else { total } as usize;
        let mut st = Stats::default();
        if l.opts.profile {
            st.prof = vec![[0; 3]; l.k.code.len()];
        }
        Block {
            l,
            cta: [0; 3],
            lin: 0,
            warps: (0..nw)
                .map(|_| Warp {
                    regs: vec![[0; 32]; l.k.nregs + 1],
                    preds: vec![0; l.k.npreds + 1],
                    cc: 0,
                    alive: 0,
                    groups: vec![],
                    local: vec![0; 32 * l.k.local_size as usize],
                    le: [1; 32],
                    cp: vec![],
                    icount: 0,
                    strong: 0,
                    u: vec![0; l.k.nregs + 1],
                    up: vec![0; l.k.npreds + 1],
                    any_u: false,
                    from: 0,
                    owed: 0,
                })
                .collect(),
            nwarps: nw,
            shared: vec![0; size],
            sinit: vec![0; size],
            cells: if l.opts.race { vec![CELL0; size.div_ceil(4)] } else { vec![] },
            bytes: vec![],
            vc: vec![[0; 32]; nw],
            full: 1,
            partial: false,
            bars: vec![],
            st,
            exited: false,
            rng: 1,
            spins: 0,
            last_un: false,
            member: Member::of(l, nw, size),
            tag: 0,
        }
    }

    pub fn reset(&mut self, lin: u64) {
        let l = self.l;
        let g = l.grid;
        self.lin = lin;
        self.cta = coordinates(lin, g);
        self.rng = l
            .opts
            .seed
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .wrapping_add(lin.wrapping_mul(0xD134_2543_DE82_EF95))
            | 1;
        let axis = |v: [u32; 3], a: u8| *v.get(a as usize).unwrap_or(&0) as u64;
        let nt = l.block[0] * l.block[1] * l.block[2];
        let fillb = l.mem.fill.unwrap_or(0);
        self.shared.fill(fillb);
        self.sinit.fill(0);
        self.cells.fill(CELL0);
        self.bytes.clear();
        self.full = 1;
        self.partial = false;
        self.spins = 0;
        self.bars = vec![
            Bar {
                arrived: vec![0; self.nwarps],
                waiting: 0,
                count: 0,
                pc: 0,
                any: false,
                pop: 0,
                and: true,
                or: false,
                extra: 0
            };
            16
        ];
        let base_dyn = l.k.static_shared.div_ceil(l.k.dyn_align) * l.k.dyn_align;
        for wi in 0..self.nwarps {
            self.vc[wi] = [0; 32];
            self.vc[wi][wi] = 1;
            let w = &mut self.warps[wi];
            let n = (nt - wi as u32 * 32).min(32);
            w.alive = if n == 32 { !0 } else { (1 << n) - 1 };
            w.groups = vec![Group { pc: 0, mask: w.alive, st: St::Run, last: 0 }];
            w.le = [1; 32];
            w.cp.clear();
            w.cc = 0;
            w.icount = 0;
            w.strong = 0;
            w.owed = 0;
            if w.any_u {
                w.any_u = false;
                w.u.fill(0);
                w.up.fill(0);
            }
            w.local.fill(0);
            for &(s, r) in &l.k.specials {
                let mut v = [0u64; 32];
                for (ln, x) in v.iter_mut().enumerate() {
                    *x = match s {
                        Special::Tid(a) => axis(coordinates((wi * 32 + ln) as u64, l.block), a),
                        Special::Ntid(a) => axis(l.block, a),
                        Special::Ctaid(a) => axis(self.cta, a),
                        Special::Nctaid(a) => axis(l.grid, a),
                        Special::Lane => ln as u64,
                        Special::WarpId => wi as u64,
                        Special::NWarp => 64,
                        Special::SmId => lin % l.nsm as u64,
                        Special::NSm => l.nsm as u64,
                        Special::GridId => 1,
                        Special::MaskEq => 1u64 << ln,
                        Special::MaskLt => (1u64 << ln) - 1,
                        Special::MaskLe => (2u64 << ln) - 1,
                        Special::MaskGt => 0xffff_ffff & !((2u64 << ln) - 1),
                        Special::MaskGe => 0xffff_ffff & !((1u64 << ln) - 1),
                        Special::DynSmem => l.dyn_smem as u64,
                        Special::TotSmem => self.shared.len() as u64,
                        Special::DynBase => SH_BASE + base_dyn,
                        Special::Zero => 0,
                        Special::ClusterId(a) => axis(l.cluster.id(self.cta), a),
                        Special::NClusterId(a) => axis(l.cluster.clusters(g), a),
                        Special::ClusterCtaid(a) => axis(l.cluster.place(self.cta), a),
                        Special::ClusterNctaid(a) => axis(l.cluster.0, a),
                        Special::ClusterRank => l.cluster.rank(self.cta) as u64,
                        Special::ClusterSize => l.cluster.size() as u64,
                        Special::ExplicitCluster => l.explicit_cluster as u64,
                        Special::Env(1) => l.ws >> 32,
                        Special::Env(2) => l.ws & 0xffff_ffff,
                        Special::Env(_) => 0,
                    };
                }
                w.regs[r as usize] = v;
            }
        }
        self.st.blocks += 1;
        self.st.warps += self.nwarps as u64;
    }

    /// run every warp for a while
    pub fn step(&mut self, quantum: i64) -> Res<Step> {
        let mut progress = false;
        self.cluster_phase();
        let n = self.nwarps;
        let rot = if self.l.opts.seed != 0 { rng(&mut self.rng) as usize % n } else { 0 };
        let rev = self.l.opts.seed != 0 && rng(&mut self.rng) & 1 == 1;
        for j in 0..n {
            let wi = if rev { (n - 1 - j + rot) % n } else { (j + rot) % n };
            let q =
                if self.l.opts.seed != 0 { 1 + (rng(&mut self.rng) % 400) as i64 } else { quantum };
            progress |= self.run_warp(wi, q)?;
            if self.exited {
                self.exited = false;
                for b in 0..16 {
                    if self.bars[b].any && self.bar_ready(b) {
                        self.bar_release(b);
                        progress = true;
                    }
                }
                self.cluster_exit();
            }
        }
        if self.warps.iter().all(|w| w.alive == 0) {
            self.finish_block();
            return Ok(Step::Done);
        }
        if progress {
            self.spins += 1;
            if self.spins & 63 == 0 {
                if self.l.code.load(Relaxed) != 0 {
                    return Err(Fault(0));
                }
                if self.l.start.elapsed().as_secs() > self.l.opts.timeout_s {
                    let t = self.state_text();
                    self.l.f.add(&self.l.k.name, "timeout", true, 0, 0, || {
                        format!("block {:?} still running after the time limit: {t}", self.cta)
                    });
                    return Err(Fault(E_TIMEOUT));
                }
            }
            Ok(Step::Progress)
        } else {
            Ok(Step::Stuck)
        }
    }

    fn state_text(&self) -> String {
        let mut s = String::new();
        for (wi, w) in self.warps.iter().enumerate() {
            for g in &w.groups {
                if s.len() > 1500 {
                    s += " ...";
                    return s;
                }
                let what = match g.st {
                    St::Run => "running at".to_string(),
                    St::Bar(b) => format!("waits at barrier {b},"),
                    St::Cluster => "waits at the barrier of its cluster,".to_string(),
                    St::Sync => "waits for other lanes of its warp at".to_string(),
                };
                s +=
                    &format!("warp {wi} lanes {:#010x} {what} {}; ", g.mask, place(self.l.k, g.pc));
            }
        }
        s
    }

    fn finish_block(&mut self) {
        // copies never waited for still land
        let pend: bool = self
            .warps
            .iter()
            .any(|w| w.cp.iter().any(|c| !c.open.is_empty() || !c.done.is_empty()));
        if pend {
            self.l.f.add(&self.l.k.name, "cp_async_unwaited", false, 0, 0, || {
                format!(
                    "block {:?} ended with cp.async copies that were never waited for",
                    self.cta
                )
            });
        }
        self.cluster_leave();
    }

    // ---- barriers ----
    fn bar_ready(&self, b: usize) -> bool {
        let bar = &self.bars[b];
        if bar.count == 0 {
            (0..self.nwarps).all(|w| self.warps[w].alive & !bar.arrived[w] == 0)
        } else {
            let mut n = 0;
            for w in 0..self.nwarps {
                let a = bar.arrived[w];
                if a != 0 {
                    n += if a & self.warps[w].alive == self.warps[w].alive {
                        32
                    } else {
                        a.count_ones()
                    };
                }
            }
            n + bar.extra >= bar.count
        }
    }
    fn bar_release(&mut self, b: usize) {
        let bar = self.bars[b].clone();
        let mut j = [0u32; 32];
        for w in 0..self.nwarps {
            if bar.arrived[w] != 0 {
                for k in 0..32 {
                    j[k] = j[k].max(self.vc[w][k]);
                }
            }
        }
        let whole = (0..self.nwarps).all(|w| self.warps[w].alive & !bar.arrived[w] == 0);
        if whole {
            self.full += 1;
            self.partial = false;
        } else {
            self.partial = true;
        }
        for w in 0..self.nwarps {
            if bar.arrived[w] == 0 {
                continue;
            }
            self.vc[w] = j;
            self.vc[w][w] += 1;
            let code = &self.l.k.code;
            let wp = &mut self.warps[w];
            let m = wp.le.iter().max().copied().unwrap_or(0) + 1;
            for l in 0..32 {
                if bar.arrived[w] >> l & 1 == 1 {
                    wp.le[l] = m;
                }
            }
            for g in wp.groups.iter_mut() {
                if g.st == St::Bar(b as u32) {
                    let i = &code[g.pc as usize];
                    if let Op::Bar { k, .. } = i.op {
                        match k {
                            BarK::RedPopc => {
                                for l in 0..32 {
                                    if g.mask >> l & 1 == 1 {
                                        wp.regs[i.d as usize][l] = bar.pop as u64;
                                    }
                                }
                            }
                            BarK::RedAnd | BarK::RedOr => {
                                let v = if k == BarK::RedAnd { bar.and } else { bar.or };
                                let p = &mut wp.preds[i.d as usize & 0xffff];
                                *p = if v { *p | g.mask } else { *p & !g.mask };
                            }
                            _ => {}
                        }
                    }
                    g.st = St::Run;
                    g.pc += 1;
                }
            }
        }
        if let Some(m) = &mut self.member {
            m.meet(&bar.arrived);
        }
        let bb = &mut self.bars[b];
        bb.arrived.fill(0);
        bb.any = false;
        bb.pop = 0;
        bb.and = true;
        bb.or = false;
        bb.waiting = 0;
        bb.extra = 0;
    }

    /// At an aligned barrier: are these all live lanes of the warp? Lanes about to leave are
    /// forgiven, lanes busy elsewhere are a finding.
    fn converged(&mut self, wi: usize, pc: u32, em: u32) -> bool {
        let k = self.l.k;
        let w = &mut self.warps[wi];
        let owed = std::mem::take(&mut w.owed) & !em;
        if em == w.alive && owed == 0 {
            return true;
        }
        let leaving = w
            .groups
            .iter()
            .filter(|x| x.st == St::Run && matches!(k.code[x.pc as usize].op, Op::Exit))
            .fold(0, |s, x| s | x.mask);
        let miss = w.alive & !em & !leaving | owed;
        if miss != 0 {
            let cta = self.cta;
            self.l.f.add(&k.name, "barrier_divergence", true, pc, 0, || {
                format!(
                    "barrier reached by lanes {em:#010x} of warp {wi} while live lanes {miss:#010x} went elsewhere, at {} in block {cta:?}",
                    place(k, pc)
                )
            });
        }
        false
    }

    // ---- the scheduler of one warp ----
    fn run_warp(&mut self, wi: usize, quantum: i64) -> Res<bool> {
        let k = self.l.k;
        let mut budget = quantum;
        let mut progress = self.cluster_wake(wi);
        loop {
            let w = &mut self.warps[wi];
            // lowest rank first; somebody kept waiting long goes first of all
            let mut best: Option<usize> = None;
            let mut old: Option<usize> = None;
            for (gi, g) in w.groups.iter().enumerate() {
                if g.st != St::Run {
                    continue;
                }
                if best.is_none_or(|b| k.prio[g.pc as usize] < k.prio[w.groups[b].pc as usize]) {
                    best = Some(gi);
                }
                // a spin loop (strong accesses) hands over soon, a long loop late; nobody is
                // helped by lanes that go on to a barrier
                let age = w.icount.saturating_sub(g.last);
                if (age > 2000 && w.strong > 64 || age > 2_000_000)
                    && k.prio[g.pc as usize] < AT_BARRIER
                    && old.is_none_or(|b| g.last < w.groups[b].last)
                {
                    old = Some(gi);
                }
            }
            let Some(mut gi) = best else {
                if w.groups.is_empty() {
                    return Ok(progress);
                }
                if self.resolve_sync(wi)? {
                    progress = true;
                    continue;
                }
                return Ok(progress);
            };
            let mut fair = false;
            if w.groups.len() > 1 {
                if let Some(o) = old {
                    gi = o;
                    fair = true;
                    w.strong = 0;
                }
            }
            if budget <= 0 {
                return Ok(true);
            }
            let mut g = w.groups.swap_remove(gi);
            let mut limit = u32::MAX;
            let here = k.prio[g.pc as usize];
            let mut passed = false;
            if !w.groups.is_empty() {
                let mut j = 0;
                while j < w.groups.len() {
                    let h = w.groups[j];
                    if h.st == St::Run {
                        if h.pc == g.pc {
                            g.mask |= h.mask;
                            w.groups.swap_remove(j);
                            continue;
                        }
                        let at = k.prio[h.pc as usize];
                        if at < AT_BARRIER || here >= AT_BARRIER {
                            limit = limit.min(at);
                        } else if here < at - AT_BARRIER {
                            // stop before going past the place where the others wait
                            limit = limit.min(at - AT_BARRIER);
                        } else {
                            limit = limit.min(at);
                            // past it: these lanes must come back, or they have missed it;
                            // lanes about to leave are forgiven
                            if !matches!(k.code[g.pc as usize].op, Op::Exit) {
                                passed = true;
                            }
                        }
                    }
                    j += 1;
                }
            }
            if passed {
                w.owed |= g.mask;
            }
            progress = true;
            if fair {
                limit = AT_BARRIER;
            }
            let cap = if fair { 500.min(budget) } else { budget };
            let n0 = self.warps[wi].icount;
            self.run_group(wi, g, limit, cap)?;
            budget -= (self.warps[wi].icount - n0) as i64;
        }
    }

    /// lanes waiting in a warp-wide instruction: may some go now?
    fn resolve_sync(&mut self, wi: usize) -> Res<bool> {
        let k = self.l.k;
        let w = &mut self.warps[wi];
        // others may have exited meanwhile
        for gi in 0..w.groups.len() {
            if w.groups[gi].st == St::Sync {
                let g = w.groups[gi];
                let i = &k.code[g.pc as usize];
                let e = unsafe { &*Self::srcp(w, k, i.e) };
                let ready = (0..32)
                    .filter(|l| g.mask >> l & 1 == 1)
                    .all(|l| (e[l] as u32 & w.alive) & !g.mask == 0);
                if ready {
                    w.groups[gi].st = St::Run;
                    return Ok(true);
                }
            }
        }
        // __syncwarp reached at different places counts together
        let mut all = 0;
        let mut need = 0;
        for g in &w.groups {
            if g.st == St::Sync && matches!(k.code[g.pc as usize].op, Op::BarWarp) {
                all |= g.mask;
                let e = unsafe { &*Self::srcp(w, k, k.code[g.pc as usize].e) };
                for l in 0..32 {
                    if g.mask >> l & 1 == 1 {
                        need |= e[l] as u32;
                    }
                }
            }
        }
        if all != 0 && need & w.alive & !all == 0 {
            let m = w.le.iter().max().unwrap() + 1;
            for g in w.groups.iter_mut() {
                if g.st == St::Sync && matches!(k.code[g.pc as usize].op, Op::BarWarp) {
                    g.st = St::Run;
                    g.pc += 1;
                }
            }
            for l in 0..32 {
                if all >> l & 1 == 1 {
                    w.le[l] = m;
                }
            }
            return Ok(true);
        }
        Ok(false)
    }

    #[inline(always)]
    fn srcp(w: &Warp, k: &Kernel, r: R) -> *const [u64; 32] {
        if r & CONST != 0 { &k.consts[(r & !CONST) as usize] } else { &w.regs[r as usize] }
    }

    /// Coordinates of a thread in its block.
    fn thread(&self, wi: usize, lane: usize) -> [u32; 3] {
        let t = wi as u64 * 32 + lane as u64;
        coordinates(t, self.l.block)
    }

    fn fault(
        &self,
        wi: usize,
        pc: u32,
        kind: &'static str,
        code: u32,
        lane: usize,
        text: String,
    ) -> Fault {
        let l = self.l;
        let tid = self.thread(wi, lane);
        l.f.add(&l.k.name, kind, true, pc, 0, || {
            format!("{text} at {} by thread {tid:?} of block {:?}", place(l.k, pc), self.cta)
        });
        Fault(code)
    }

    fn run_group(&mut self, wi: usize, mut g: Group, limit: u32, cap: i64) -> Res<()> {
        let l = self.l;
        let k = l.k;
        let code = k.code.as_ptr();
        let prio = k.prio.as_ptr();
        let mut n = 0i64;
        loop {
            let i = unsafe { &*code.add(g.pc as usize) };
            let w = &mut self.warps[wi];
            let em = if i.guard < 0 {
                g.mask
            } else {
                let p = w.preds[(i.guard & 0xffff) as usize];
                g.mask & if i.guard & (1 << 16) != 0 { !p } else { p }
            };
            let c = i.cls as usize;
            self.st.w[c] += 1;
            self.st.t[c] += em.count_ones() as u64;
            if !self.st.prof.is_empty() {
                self.st.prof[g.pc as usize][0] += 1;
            }
            n += 1;
            w.icount += 1;
            g.last = w.icount;
            if w.any_u {
                self.flow(wi, g.pc, i, g.mask, em);
            }
            let w = &mut self.warps[wi];
            match i.op {
                Op::Bra(t) => {
                    self.st.branches += 1;
                    if em == g.mask {
                        g.pc = t;
                    } else if em == 0 {
                        g.pc += 1;
                    } else {
                        self.st.divergent += 1;
                        w.groups.push(Group { pc: t, mask: em, ..g });
                        w.groups.push(Group { pc: g.pc + 1, mask: g.mask & !em, ..g });
                        return Ok(());
                    }
                }
                Op::Exit => {
                    w.alive &= !em;
                    g.mask &= !em;
                    self.exited = true;
                    if g.mask == 0 {
                        return Ok(());
                    }
                    g.pc += 1;
                }
                _ if em == 0 => g.pc += 1,
                _ => match self.exec(wi, &mut g, i, em)? {
                    Out::Stay => {}
                    Out::Repick => return Ok(()),
                },
            }
            if unsafe { *prio.add(g.pc as usize) } >= limit || n >= cap {
                self.warps[wi].groups.push(g);
                return Ok(());
            }
        }
    }

    /// bring the lanes named by the masks together; returns the lanes that may go now
    fn sync_lanes(&mut self, wi: usize, g: &mut Group, i: &Ins, em: u32) -> Res<Option<u32>> {
        let k = self.l.k;
        let w = &mut self.warps[wi];
        // lanes whose guard is off go on
        if em != g.mask {
            w.groups.push(Group { pc: g.pc + 1, mask: g.mask & !em, ..*g });
            g.mask = em;
        }
        let mut j = 0;
        while j < w.groups.len() {
            if w.groups[j].st == St::Sync && w.groups[j].pc == g.pc {
                g.mask |= w.groups[j].mask;
                w.groups.swap_remove(j);
            } else {
                j += 1;
            }
        }
        let e = unsafe { *Self::srcp(w, k, i.e) };
        let mut ready = 0;
        let mut bad = None;
        for l in 0..32 {
            if g.mask >> l & 1 == 1 {
                let m = e[l] as u32;
                if m >> l & 1 == 0 {
                    bad = Some((l, m));
                }
                if (m & w.alive) & !g.mask == 0 {
                    ready |= 1 << l;
                }
            }
        }
        if let Some((l, m)) = bad {
            return Err(self.fault(
                wi,
                g.pc,
                "sync_mask",
                E_LAUNCH_FAILED,
                l,
                format!("a thread is not in its own member mask {m:#010x}"),
            ));
        }
        if ready == 0 {
            let mut h = *g;
            h.st = St::Sync;
            w.groups.push(h);
            return Ok(None);
        }
        if ready != g.mask {
            let mut h = *g;
            h.st = St::Sync;
            h.mask &= !ready;
            w.groups.push(h);
            g.mask = ready;
        }
        Ok(Some(ready))
    }

    fn bump_le(&mut self, wi: usize, lanes: u32) {
        let w = &mut self.warps[wi];
        let mut m = 0;
        for l in 0..32 {
            if lanes >> l & 1 == 1 {
                m = m.max(w.le[l]);
            }
        }
        for l in 0..32 {
            if lanes >> l & 1 == 1 {
                w.le[l] = m + 1;
            }
        }
    }

    #[inline(never)]
    fn exec(&mut self, wi: usize, g: &mut Group, i: &Ins, em: u32) -> Res<Out> {
        let l = self.l;
        let k = l.k;
        let w: *mut Warp = &mut self.warps[wi];
        let w = unsafe { &mut *w };
        let regs = w.regs.as_mut_ptr();
        let consts = k.consts.as_ptr();
        macro_rules! s {
            ($r:expr) => {
                unsafe {
                    let r = $r;
                    &*(if r & CONST != 0 {
                        consts.add((r & !CONST) as usize)
                    } else {
                        regs.add(r as usize) as *const [u64; 32]
                    })
                }
            };
        }
        macro_rules! put {
            ($d:expr, $r:expr) => {{
                let r: [u64; 32] = $r;
                let d = unsafe { &mut *regs.add($d as usize) };
                if em == !0 {
                    *d = r;
                } else {
                    for q in 0..32 {
                        d[q] = if em >> q & 1 == 1 { r[q] } else { d[q] };
                    }
                }
            }};
        }
        macro_rules! un {
            ($f:expr) => {{
                let a = s!(i.a);
                let f = $f;
                let mut r = [0u64; 32];
                for q in 0..32 {
                    r[q] = f(a[q]);
                }
                put!(i.d, r);
            }};
        }
        macro_rules! bin {
            ($f:expr) => {{
                let a = s!(i.a);
                let b = s!(i.b);
                let f = $f;
                let mut r = [0u64; 32];
                for q in 0..32 {
                    r[q] = f(a[q], b[q]);
                }
                put!(i.d, r);
            }};
        }
        macro_rules! tri {
            ($f:expr) => {{
                let a = s!(i.a);
                let b = s!(i.b);
                let c = s!(i.c);
                let f = $f;
                let mut r = [0u64; 32];
                for q in 0..32 {
                    r[q] = f(a[q], b[q], c[q]);
                }
                put!(i.d, r);
            }};
        }
        // only for active lanes: slow operations
        macro_rules! slow {
            ($n:ident, $e:expr) => {{
                let mut r = [0u64; 32];
                let mut m = em;
                while m != 0 {
                    let $n = m.trailing_zeros() as usize;
                    m &= m - 1;
                    r[$n] = $e;
                }
                put!(i.d, r);
            }};
        }
        macro_rules! pget {
            ($p:expr) => {{
                let p: u32 = $p;
                let v = w.preds[(p & 0xffff) as usize];
                if p & (1 << 16) != 0 { !v } else { v }
            }};
        }
        macro_rules! pput {
            ($p:expr, $v:expr) => {{
                let v: u32 = $v;
                let d = &mut w.preds[($p & 0xffff) as usize];
                *d = (*d & !em) | (v & em);
            }};
        }
        match i.op {
            Op::Nop => {}
            Op::Fence { cluster } => self.cluster_fence(wi, cluster),
            Op::Bra(_) | Op::Exit => unreachable!(),
            Op::Brx(t) => {
                let tab = &k.tables[t as usize];
                let a = s!(i.a);
                let mut m = em;
                self.st.branches += 1;
                let rest = g.mask & !em;
                if rest != 0 {
                    w.groups.push(Group { pc: g.pc + 1, mask: rest, ..*g });
                }
                let mut targets = 0;
                while m != 0 {
                    let q = m.trailing_zeros() as usize;
                    let Some(&pc) = tab.get(a[q] as usize) else {
                        return Err(self.fault(
                            wi,
                            g.pc,
                            "branch_table",
                            E_LAUNCH_FAILED,
                            q,
                            "branch table index out of range".into(),
                        ));
                    };
                    let mut same = 0;
                    for z in 0..32 {
                        if m >> z & 1 == 1 && tab.get(a[z] as usize) == Some(&pc) {
                            same |= 1 << z;
                        }
                    }
                    m &= !same;
                    w.groups.push(Group { pc, mask: same, ..*g });
                    targets += 1;
                }
                if targets > 1 {
                    self.st.divergent += 1;
                }
                return Ok(Out::Repick);
            }
            Op::Trap => {
                let q = em.trailing_zeros() as usize;
                return Err(self.fault(wi, g.pc, "trap", E_LAUNCH_FAILED, q, "trap".into()));
            }
            Op::Mov => un!(|a| a),
            Op::Pack { n, w: wd } => {
                let v = k.vregs[i.a as usize];
                let mut r = [0u64; 32];
                for j in 0..n as usize {
                    let a = s!(v[j]);
                    for q in 0..32 {
                        r[q] |= (a[q] & mask(wd as u32)) << (j as u32 * wd as u32);
                    }
                }
                put!(i.d, r);
            }
            Op::Unpack { n, w: wd } => {
                let v = k.vregs[i.d as usize];
                let a = *s!(i.a);
                for j in 0..n as usize {
                    let mut r = [0u64; 32];
                    for q in 0..32 {
                        r[q] = (a[q] >> (j as u32 * wd as u32)) & mask(wd as u32);
                    }
                    put!(v[j], r);
                }
            }
            Op::Add(t) => {
                let m = t.mask();
                bin!(|a: u64, b: u64| a.wrapping_add(b) & m)
            }
            Op::Sub(t) => {
                let m = t.mask();
                bin!(|a: u64, b: u64| a.wrapping_sub(b) & m)
            }
            Op::AddSat => bin!(|a: u64, b: u64| (a as i32).saturating_add(b as i32) as u32 as u64),
            Op::SubSat => bin!(|a: u64, b: u64| (a as i32).saturating_sub(b as i32) as u32 as u64),
            Op::MulLo(t) if t.bits() == 64 => bin!(|a: u64, b: u64| a.wrapping_mul(b)),
            Op::MulLo(t) if t.bits() == 32 => {
                bin!(|a: u64, b: u64| (a as u32).wrapping_mul(b as u32) as u64)
            }
            Op::MulLo(_) => bin!(|a: u64, b: u64| (a as u16).wrapping_mul(b as u16) as u64),
            Op::MulHi(t) => match t {
                Ty::S64 => {
                    bin!(|a: u64, b: u64| ((a as i64 as i128 * b as i64 as i128) >> 64) as u64)
                }
                Ty::U64 => bin!(|a: u64, b: u64| ((a as u128 * b as u128) >> 64) as u64),
                Ty::S32 => {
                    bin!(|a: u64, b: u64| ((a as i32 as i64 * b as i32 as i64) >> 32) as u32 as u64)
                }
                Ty::U32 => bin!(|a: u64, b: u64| (a * b) >> 32),
                Ty::S16 => {
                    bin!(|a: u64, b: u64| ((a as i16 as i32 * b as i16 as i32) >> 16) as u16 as u64)
                }
                _ => bin!(|a: u64, b: u64| (a * b) >> 16),
            },
            Op::MulWide(t) => match t {
                Ty::S32 => {
                    bin!(|a: u64, b: u64| (a as i32 as i64).wrapping_mul(b as i32 as i64) as u64)
                }
                Ty::U32 => bin!(|a: u64, b: u64| (a & 0xffff_ffff) * (b & 0xffff_ffff)),
                Ty::S16 => bin!(|a: u64, b: u64| (a as i16 as i32 * b as i16 as i32) as u32 as u64),
                _ => bin!(|a: u64, b: u64| (a & 0xffff) * (b & 0xffff)),
            },
            Op::MadLo(t) => {
                let m = t.mask();
                if t.bits() == 32 {
                    tri!(|a: u64, b: u64, c: u64| (a as u32)
                        .wrapping_mul(b as u32)
                        .wrapping_add(c as u32)
                        as u64)
                } else {
                    tri!(|a: u64, b: u64, c: u64| a.wrapping_mul(b).wrapping_add(c) & m)
                }
            }
            Op::MadHi(t) => match t {
                Ty::S64 => tri!(|a: u64, b: u64, c: u64| (((a as i64 as i128 * b as i64 as i128)
                    >> 64) as u64)
                    .wrapping_add(c)),
                Ty::U64 => tri!(|a: u64, b: u64, c: u64| (((a as u128 * b as u128) >> 64) as u64)
                    .wrapping_add(c)),
                Ty::S32 => tri!(|a: u64, b: u64, c: u64| (((a as i32 as i64 * b as i32 as i64)
                    >> 32) as u32)
                    .wrapping_add(c as u32)
                    as u64),
                Ty::U32 => tri!(|a: u64, b: u64, c: u64| (((a * b) >> 32) as u32)
                    .wrapping_add(c as u32)
                    as u64),
                Ty::S16 => tri!(|a: u64, b: u64, c: u64| (((a as i16 as i32 * b as i16 as i32)
                    >> 16) as u16)
                    .wrapping_add(c as u16)
                    as u64),
                _ => {
                    tri!(|a: u64, b: u64, c: u64| (((a * b) >> 16) as u16).wrapping_add(c as u16)
                        as u64)
                }
            },
            Op::MadWide(t) => match t {
                Ty::S32 => tri!(|a: u64, b: u64, c: u64| ((a as i32 as i64)
                    .wrapping_mul(b as i32 as i64)
                    as u64)
                    .wrapping_add(c)),
                Ty::U32 => tri!(|a: u64, b: u64, c: u64| ((a & 0xffff_ffff) * (b & 0xffff_ffff))
                    .wrapping_add(c)),
                Ty::S16 => tri!(|a: u64, b: u64, c: u64| ((a as i16 as i32 * b as i16 as i32)
                    as u32)
                    .wrapping_add(c as u32)
                    as u64),
                _ => tri!(|a: u64, b: u64, c: u64| (((a & 0xffff) * (b & 0xffff)) as u32)
                    .wrapping_add(c as u32)
                    as u64),
            },
            Op::Mul24(sg, hi) => bin!(|a: u64, b: u64| {
                let p = if sg {
                    (sx(a & 0xff_ffff, 24).wrapping_mul(sx(b & 0xff_ffff, 24))) as u64
                } else {
                    (a & 0xff_ffff) * (b & 0xff_ffff)
                };
                (if hi { p >> 16 } else { p }) & 0xffff_ffff
            }),
            Op::AddC { ty, cin, cout } => {
                let (a, b) = (s!(i.a), s!(i.b));
                let bits = ty.bits();
                let mut r = [0u64; 32];
                let mut co = 0u32;
                for q in 0..32 {
                    let t =
                        a[q] as u128 + b[q] as u128 + if cin { (w.cc >> q & 1) as u128 } else { 0 };
                    r[q] = t as u64 & mask(bits);
                    co |= ((t >> bits) as u32 & 1) << q;
                }
                put!(i.d, r);
                if cout {
                    w.cc = (w.cc & !em) | (co & em);
                }
            }
            Op::SubC { ty, cin, cout } => {
                // CC holds the borrow
                let (a, b) = (s!(i.a), s!(i.b));
                let bits = ty.bits();
                let mut r = [0u64; 32];
                let mut co = 0u32;
                for q in 0..32 {
                    let t =
                        a[q] as i128 - b[q] as i128 - if cin { (w.cc >> q & 1) as i128 } else { 0 };
                    r[q] = t as u64 & mask(bits);
                    co |= ((t < 0) as u32) << q;
                }
                put!(i.d, r);
                if cout {
                    w.cc = (w.cc & !em) | (co & em);
                }
            }
            Op::MadC { ty, hi, cin, cout } => {
                let (a, b, c) = (s!(i.a), s!(i.b), s!(i.c));
                let bits = ty.bits();
                let mut r = [0u64; 32];
                let mut co = 0u32;
                for q in 0..32 {
                    let p = if ty.signed() {
                        (sx(a[q], bits) as i128 * sx(b[q], bits) as i128) as u128
                    } else {
                        a[q] as u128 * b[q] as u128
                    };
                    let p = if hi { p >> bits } else { p } as u64 & mask(bits);
                    let t =
                        p as u128 + c[q] as u128 + if cin { (w.cc >> q & 1) as u128 } else { 0 };
                    r[q] = t as u64 & mask(bits);
                    co |= ((t >> bits) as u32 & 1) << q;
                }
                put!(i.d, r);
                if cout {
                    w.cc = (w.cc & !em) | (co & em);
                }
            }
            Op::Sad(t) => {
                let b_ = t.bits();
                if t.signed() {
                    tri!(|a: u64, b: u64, c: u64| c
                        .wrapping_add(sx(a, b_).wrapping_sub(sx(b, b_)).unsigned_abs())
                        & mask(b_))
                } else {
                    tri!(|a: u64, b: u64, c: u64| c.wrapping_add(a.abs_diff(b)) & mask(b_))
                }
            }
            Op::Div(t) => {
                let (a, b) = (s!(i.a), s!(i.b));
                let m = t.mask();
                let bits = t.bits();
                slow!(q, {
                    // division by zero gives all ones on the hardware
                    if b[q] == 0 {
                        m
                    } else if t.signed() {
                        sx(a[q], bits).wrapping_div(sx(b[q], bits)) as u64 & m
                    } else {
                        a[q] / b[q]
                    }
                })
            }
            Op::Rem(t) => {
                let (a, b) = (s!(i.a), s!(i.b));
                let m = t.mask();
                let bits = t.bits();
                slow!(q, {
                    if b[q] == 0 {
                        a[q]
                    } else if t.signed() {
                        sx(a[q], bits).wrapping_rem(sx(b[q], bits)) as u64 & m
                    } else {
                        a[q] % b[q]
                    }
                })
            }
            Op::Abs(t) => {
                let b_ = t.bits();
                un!(|a: u64| sx(a, b_).wrapping_abs() as u64 & mask(b_))
            }
            Op::Neg(t) => {
                let m = t.mask();
                un!(|a: u64| a.wrapping_neg() & m)
            }
            Op::Min2(half) | Op::Max2(half) => {
                let flip = if half.signed() { 0x8000 } else { 0 };
                let max = matches!(i.op, Op::Max2(_));
                bin!(|a: u64, b: u64| {
                    let pick = |shift: u32| {
                        let (a, b) = (a >> shift & 0xffff, b >> shift & 0xffff);
                        let a_is_less = (a ^ flip) < (b ^ flip);
                        (if a_is_less == max { b } else { a }) << shift
                    };
                    pick(0) | pick(16)
                })
            }
            Op::Min(t) => {
                let sh = 64 - t.bits();
                if t.signed() {
                    bin!(|a: u64, b: u64| if ((a << sh) as i64) < ((b << sh) as i64) {
                        a
                    } else {
                        b
                    })
                } else {
                    bin!(|a: u64, b: u64| a.min(b))
                }
            }
            Op::Max(t) => {
                let sh = 64 - t.bits();
                if t.signed() {
                    bin!(|a: u64, b: u64| if ((a << sh) as i64) > ((b << sh) as i64) {
                        a
                    } else {
                        b
                    })
                } else {
                    bin!(|a: u64, b: u64| a.max(b))
                }
            }
            Op::And => bin!(|a: u64, b: u64| a & b),
            Op::Or => bin!(|a: u64, b: u64| a | b),
            Op::Xor => bin!(|a: u64, b: u64| a ^ b),
            Op::Not(t) => {
                let m = t.mask();
                un!(|a: u64| !a & m)
            }
            Op::Cnot(_) => un!(|a: u64| (a == 0) as u64),
            Op::Lop3(t) => tri!(|a: u64, b: u64, c: u64| {
                let mut r = 0u64;
                for z in 0..8 {
                    if t >> z & 1 == 1 {
                        let x = if z & 4 != 0 { a } else { !a };
                        let y = if z & 2 != 0 { b } else { !b };
                        let v = if z & 1 != 0 { c } else { !c };
                        r |= x & y & v;
                    }
                }
                r & 0xffff_ffff
            }),
            Op::Shl(t) => {
                let n = t.bits() as u64;
                let m = t.mask();
                bin!(|a: u64, b: u64| if b >= n { 0 } else { (a << b) & m })
            }
            Op::Shr(t) => {
                let n = t.bits() as u64;
                let m = t.mask();
                if t.signed() {
                    let sh = 64 - t.bits();
                    bin!(|a: u64, b: u64| ((((a << sh) as i64) >> sh) >> b.min(n - 1)) as u64 & m)
                } else {
                    bin!(|a: u64, b: u64| if b >= n { 0 } else { a >> b })
                }
            }
            Op::Shf { left, clamp } => tri!(|a: u64, b: u64, c: u64| {
                // a: low word, b: high word
                let n = if clamp { (c as u32).min(32) } else { c as u32 & 31 };
                let v = (b << 32) | (a & 0xffff_ffff);
                (if left { if n == 32 { a } else { (v << n) >> 32 } } else { v >> n }) & 0xffff_ffff
            }),
            Op::Prmt(mode) => tri!(|a: u64, b: u64, c: u64| {
                let by = (b << 32) | (a & 0xffff_ffff);
                let get = |n: u64| (by >> (n * 8)) & 0xff;
                let mut r = 0u64;
                let s = c & 3;
                for z in 0..4u64 {
                    let v = match mode {
                        0 => {
                            let n = (c >> (z * 4)) & 15;
                            let x = get(n & 7);
                            if n & 8 != 0 { if x & 0x80 != 0 { 0xff } else { 0 } } else { x }
                        }
                        1 => get(s + z),
                        2 => get((s + 8 - z) & 7),
                        3 => get(s),
                        4 => get(if z < s { s } else { z }), // ecl: edge clamp left
                        5 => get(if z > s { s } else { z }), // ecr
                        _ => get((s & 1) * 2 + (z & 1)),
                    };
                    r |= v << (z * 8);
                }
                r
            }),
            Op::Bfe(t) => {
                let bits = t.bits();
                tri!(|a: u64, b: u64, c: u64| {
                    let pos = (b & 0xff) as u32;
                    let len = (c & 0xff) as u32;
                    let msb = bits - 1;
                    if len == 0 {
                        return 0;
                    }
                    let sign = t.signed() && (a >> (pos + len - 1).min(msb)) & 1 == 1;
                    let mut r =
                        if pos >= 64 { 0 } else { (a & mask(bits)) >> pos } & mask(len.min(64));
                    if pos > msb {
                        r = 0;
                    }
                    if sign {
                        let have = if pos > msb { 0 } else { len.min(bits - pos) };
                        r |= if have >= 64 { 0 } else { u64::MAX << have };
                    }
                    r & mask(bits)
                })
            }
            Op::Bfi(t) => {
                let bits = t.bits();
                let e = s!(i.e);
                let (a, b, c) = (s!(i.a), s!(i.b), s!(i.c));
                let mut r = [0u64; 32];
                for q in 0..32 {
                    let pos = (c[q] & 0xff) as u32;
                    let len = (e[q] & 0xff) as u32;
                    r[q] = if pos >= bits || len == 0 {
                        b[q]
                    } else {
                        let m = (mask(len.min(64)) << pos) & mask(bits);
                        (b[q] & !m) | ((a[q] << pos) & m)
                    };
                }
                put!(i.d, r);
            }
            Op::Bmsk(clamp) => bin!(|a: u64, b: u64| {
                let (p, n) = if clamp {
                    ((a as u32).min(32), (b as u32).min(32))
                } else {
                    (a as u32 & 31, b as u32 & 31)
                };
                if p >= 32 { 0 } else { (mask(n) << p) & 0xffff_ffff }
            }),
            Op::Szext { s: sg, clamp } => bin!(|a: u64, b: u64| {
                let n = if clamp { (b as u32).min(32) } else { b as u32 & 31 };
                if n == 0 {
                    return 0;
                }
                let v = a & mask(n);
                (if sg { sx(v, n) as u64 } else { v }) & 0xffff_ffff
            }),
            Op::Brev(t) => {
                if t.bits() == 64 {
                    un!(|a: u64| a.reverse_bits())
                } else {
                    un!(|a: u64| (a as u32).reverse_bits() as u64)
                }
            }
            Op::Clz(t) => {
                if t.bits() == 64 {
                    un!(|a: u64| a.leading_zeros() as u64)
                } else {
                    un!(|a: u64| (a as u32).leading_zeros() as u64)
                }
            }
            Op::Popc(_) => un!(|a: u64| a.count_ones() as u64),
            Op::Fns => tri!(|m: u64, base: u64, off: u64| {
                let off = off as i32;
                let mut pos = base as i32;
                if off == 0 {
                    return if (0..32).contains(&pos) && m >> pos & 1 == 1 {
                        base
                    } else {
                        0xffff_ffff
                    };
                }
                let mut count = off.unsigned_abs() - 1;
                while (0..32).contains(&pos) {
                    if m >> pos & 1 == 1 {
                        if count == 0 {
                            return pos as u64;
                        }
                        count -= 1;
                    }
                    pos += off.signum();
                }
                0xffff_ffff
            }),
            Op::Bfind { ty, amt } => un!(|a: u64| {
                let bits = ty.bits();
                let mut v = a;
                if ty.signed() && sx(a, bits) < 0 {
                    v = !a & mask(bits);
                }
                if v == 0 {
                    0xffff_ffff
                } else {
                    let p = 63 - v.leading_zeros();
                    (if amt { bits - 1 - p } else { p }) as u64
                }
            }),
            Op::Dp4a { as_, bs } => tri!(|a: u64, b: u64, c: u64| {
                let mut t = c as u32;
                for z in 0..4 {
                    let x = (a >> (z * 8)) as u8;
                    let y = (b >> (z * 8)) as u8;
                    let x = if as_ { x as i8 as i32 } else { x as i32 };
                    let y = if bs { y as i8 as i32 } else { y as i32 };
                    t = t.wrapping_add((x * y) as u32);
                }
                t as u64
            }),
            Op::Dp2a { as_, bs, hi } => tri!(|a: u64, b: u64, c: u64| {
                let mut t = c as u32;
                for z in 0..2 {
                    let x = (a >> (z * 16)) as u16;
                    let y = (b >> (z * 8 + if hi { 16 } else { 0 })) as u8;
                    let x = if as_ { x as i16 as i32 } else { x as i32 };
                    let y = if bs { y as i8 as i32 } else { y as i32 };
                    t = t.wrapping_add((x * y) as u32);
                }
                t as u64
            }),
            Op::Selp => {
                let p = pget!(i.c);
                let (a, b) = (s!(i.a), s!(i.b));
                let mut r = [0u64; 32];
                for q in 0..32 {
                    r[q] = if p >> q & 1 == 1 { a[q] } else { b[q] };
                }
                put!(i.d, r);
            }
            Op::Slct { f, .. } => {
                if f {
                    tri!(|a: u64, b: u64, c: u64| if fp::f(c) >= 0.0 { a } else { b })
                } else {
                    tri!(|a: u64, b: u64, c: u64| if c as i32 >= 0 { a } else { b })
                }
            }
            Op::PAnd => pput!(i.d, pget!(i.a) & pget!(i.b)),
            Op::POr => pput!(i.d, pget!(i.a) | pget!(i.b)),
            Op::PXor => pput!(i.d, pget!(i.a) ^ pget!(i.b)),
            Op::PNot => pput!(i.d, !pget!(i.a)),
            Op::PMov => pput!(i.d, pget!(i.a)),
            Op::PSet(v) => pput!(i.d, if v { !0 } else { 0 }),
            Op::Setp { cmp, ty, bop, ftz } => {
                let mut p = compare(cmp, ty, ftz, s!(i.a), s!(i.b));
                if matches!(ty, Ty::F16x2 | Ty::BF16x2) {
                    let lo = compare16(cmp, ty, s!(i.a), s!(i.b), 0);
                    let hi = compare16(cmp, ty, s!(i.a), s!(i.b), 16);
                    let (mut lo, mut hi) = (lo, hi);
                    if bop != BoolOp::None {
                        let c = pget!(i.c);
                        lo = boolop(bop, lo, c);
                        hi = boolop(bop, hi, c);
                    }
                    pput!(i.d, lo);
                    if i.e != NONE {
                        pput!(i.e, hi);
                    }
                } else {
                    let mut np = !p;
                    if bop != BoolOp::None {
                        let c = pget!(i.c);
                        p = boolop(bop, p, c);
                        np = boolop(bop, np, c);
                    }
                    pput!(i.d, p);
                    if i.e != NONE {
                        pput!(i.e, np);
                    }
                }
            }
            Op::Set { cmp, ty, dty, bop, ftz } => {
                let mut r = [0u64; 32];
                if matches!(ty, Ty::F16x2 | Ty::BF16x2) {
                    let lo = compare16(cmp, ty, s!(i.a), s!(i.b), 0);
                    let hi = compare16(cmp, ty, s!(i.a), s!(i.b), 16);
                    let one = match dty {
                        Ty::F16x2 => 0x3c00u64,
                        Ty::BF16x2 => 0x3f80,
                        _ => 0xffff,
                    };
                    for q in 0..32 {
                        r[q] = if lo >> q & 1 == 1 { one } else { 0 }
                            | if hi >> q & 1 == 1 { one << 16 } else { 0 };
                    }
                } else {
                    let mut p = compare(cmp, ty, ftz, s!(i.a), s!(i.b));
                    if bop != BoolOp::None {
                        p = boolop(bop, p, pget!(i.c));
                    }
                    let one = match dty {
                        Ty::F32 => 1f32.to_bits() as u64,
                        Ty::F64 => 1f64.to_bits(),
                        Ty::F16 => 0x3c00,
                        Ty::BF16 => 0x3f80,
                        t => t.mask(),
                    };
                    for q in 0..32 {
                        r[q] = if p >> q & 1 == 1 { one } else { 0 };
                    }
                }
                put!(i.d, r);
            }
            // ---- floating point ----
            Op::FAdd(m) if m.ty == Ty::F32 && plain(&m) => bin!(|a, b| fp::cf(fp::f(a) + fp::f(b))),
            Op::FSub(m) if m.ty == Ty::F32 && plain(&m) => bin!(|a, b| fp::cf(fp::f(a) - fp::f(b))),
            Op::FMul(m) if m.ty == Ty::F32 && plain(&m) => bin!(|a, b| fp::cf(fp::f(a) * fp::f(b))),
            Op::FFma(m) if m.ty == Ty::F32 && plain(&m) => {
                tri!(|a, b, c| fp::cf(fp::f(a).mul_add(fp::f(b), fp::f(c))))
            }
            Op::FAdd(m) if m.ty == Ty::F64 && plain(&m) => {
                bin!(|a, b| (fp::d(a) + fp::d(b)).to_bits())
            }
            Op::FSub(m) if m.ty == Ty::F64 && plain(&m) => {
                bin!(|a, b| (fp::d(a) - fp::d(b)).to_bits())
            }
            Op::FMul(m) if m.ty == Ty::F64 && plain(&m) => {
                bin!(|a, b| (fp::d(a) * fp::d(b)).to_bits())
            }
            Op::FFma(m) if m.ty == Ty::F64 && plain(&m) => {
                tri!(|a, b, c| fp::d(a).mul_add(fp::d(b), fp::d(c)).to_bits())
            }
            Op::FAdd(m) => {
                let (a, b) = (s!(i.a), s!(i.b));
                slow!(q, farith(&m, 0, a[q], b[q], 0))
            }
            Op::FSub(m) => {
                let (a, b) = (s!(i.a), s!(i.b));
                slow!(q, farith(&m, 1, a[q], b[q], 0))
            }
            Op::FMul(m) => {
                let (a, b) = (s!(i.a), s!(i.b));
                slow!(q, farith(&m, 2, a[q], b[q], 0))
            }
            Op::FFma(m) => {
                let (a, b, c) = (s!(i.a), s!(i.b), s!(i.c));
                slow!(q, farith(&m, 3, a[q], b[q], c[q]))
            }
            Op::FDiv(m) => {
                let (a, b) = (s!(i.a), s!(i.b));
                slow!(q, farith(&m, 4, a[q], b[q], 0))
            }
            Op::FSqrt(m) => {
                let a = s!(i.a);
                slow!(q, farith(&m, 5, a[q], 0, 0))
            }
            Op::FMin(m) => {
                let (a, b) = (s!(i.a), s!(i.b));
                slow!(q, farith(&m, 6, a[q], b[q], 0))
            }
            Op::FMax(m) => {
                let (a, b) = (s!(i.a), s!(i.b));
                slow!(q, farith(&m, 7, a[q], b[q], 0))
            }
            Op::FAbs(m) | Op::FNeg(m) => {
                let neg = matches!(i.op, Op::FNeg(_));
                let sb = match m.ty {
                    Ty::F64 => 1u64 << 63,
                    Ty::F32 => 1 << 31,
                    Ty::F16x2 | Ty::BF16x2 => 0x8000_8000,
                    _ => 0x8000,
                };
                let z = m.ftz && m.ty == Ty::F32;
                un!(|a: u64| {
                    let a = if z { fp::ftz(fp::f(a)).to_bits() as u64 } else { a };
                    if neg { a ^ sb } else { a & !sb }
                })
            }
            Op::Sfu(f, m) => {
                let a = s!(i.a);
                slow!(q, sfu(f, &m, a[q]))
            }
            Op::Testp(kd, t) => {
                let a = s!(i.a);
                let mut p = 0u32;
                for q in 0..32 {
                    let (fin, inf, nan, nor, sub) = if t == Ty::F64 {
                        let v = fp::d(a[q]);
                        (
                            v.is_finite(),
                            v.is_infinite(),
                            v.is_nan(),
                            v.is_normal() || v == 0.0,
                            v.is_subnormal(),
                        )
                    } else {
                        let v = fp::f(a[q]);
                        (
                            v.is_finite(),
                            v.is_infinite(),
                            v.is_nan(),
                            v.is_normal() || v == 0.0,
                            v.is_subnormal(),
                        )
                    };
                    let v = [fin, inf, !nan, nan, nor, sub][kd as usize];
                    p |= (v as u32) << q;
                }
                pput!(i.d, p);
            }
            Op::Copysign(t) => {
                // copysign d, a, b: the sign of a, the value of b
                let sb = if t == Ty::F64 { 1u64 << 63 } else { 1 << 31 };
                bin!(|a: u64, b: u64| (b & !sb) | (a & sb))
            }
            Op::Cvt { d, s, rnd, int, ftz, sat, relu, dw } => {
                let a = s!(i.a);
                if !d.float() && !s.float() {
                    let (sb, db) = (s.bits(), d.bits());
                    let m = mask(dw as u32);
                    if sat {
                        slow!(q, {
                            let v: i128 = if s.signed() {
                                sx(a[q], sb) as i128
                            } else {
                                (a[q] & mask(sb)) as i128
                            };
                            let (lo, hi) = if d.signed() {
                                (-(1i128 << (db - 1)), (1i128 << (db - 1)) - 1)
                            } else {
                                (0, (1i128 << db) - 1)
                            };
                            v.clamp(lo, hi) as u64 & m
                        })
                    } else {
                        let ss = s.signed();
                        let ds = d.signed();
                        un!(|v: u64| {
                            let v = if ss { sx(v, sb) as u64 } else { v & mask(sb) };
                            (if ds { sx(v, db) as u64 } else { v & mask(db) }) & m
                        })
                    }
                } else {
                    slow!(q, cvt(d, s, rnd, int, ftz, sat, relu, a[q]) & mask(dw as u32))
                }
            }
            Op::CvtX2 { d, rnd, relu, satf } => {
                let (a, b) = (s!(i.a), s!(i.b));
                slow!(q, {
                    let one = |x: u64| -> u64 {
                        let mut v = fp::f(x) as f64;
                        if relu && !(v > 0.0) && !v.is_nan() {
                            v = 0.0;
                        }
                        let (eb, mb) = if d == Ty::F16x2 { (5, 10) } else { (8, 7) };
                        let mut r = fp::pack(v, eb, mb, rnd);
                        if satf && (r & 0x7fff) == (((1 << eb) - 1) << mb) {
                            r -= 1;
                        }
                        r as u64
                    };
                    one(a[q]) << 16 | one(b[q])
                })
            }
            // ---- addresses ----
            Op::ToGen(Space::Shared | Space::Cluster) => {
                let own = self.tag * TAG;
                un!(|a: u64| SH_WIN.wrapping_add(if a < TAG { a | own } else { a }))
            }
            Op::ToGen(sp) => {
                let add = match sp {
                    Space::Local => LOC_WIN,
                    Space::Param => PAR_WIN,
                    _ => 0,
                };
                un!(|a: u64| a.wrapping_add(add))
            }
            Op::FromGen(Space::Shared) => {
                let own = self.tag * TAG;
                un!(|a: u64| {
                    let a = a.wrapping_sub(SH_WIN);
                    if a & !(TAG - 1) == own { a - own } else { a }
                })
            }
            Op::FromGen(sp) => {
                let sub = match sp {
                    Space::Cluster => SH_WIN,
                    Space::Local => LOC_WIN,
                    Space::Param => PAR_WIN,
                    _ => 0,
                };
                un!(|a: u64| a.wrapping_sub(sub))
            }
            Op::IsSp(sp) => {
                let a = s!(i.a);
                let mut p = 0u32;
                for q in 0..32 {
                    let v = a[q];
                    let sh = v.wrapping_sub(SH_WIN) < WIN;
                    let lo = v.wrapping_sub(LOC_WIN) < WIN;
                    let pa = v.wrapping_sub(PAR_WIN) < WIN;
                    let r = match sp {
                        Space::Shared => sh && self.near(v) < TAG,
                        Space::Cluster => sh,
                        Space::Local => lo,
                        Space::Param => pa,
                        _ => !sh && !lo && !pa,
                    };
                    p |= (r as u32) << q;
                }
                pput!(i.d, p);
            }
            Op::Mapa { generic } => {
                let (a, rank) = (*s!(i.a), *s!(i.b));
                slow!(q, self.mapa(wi, g.pc, q, a[q], rank[q], generic)?)
            }
            Op::CtaRank { generic } => {
                let a = *s!(i.a);
                slow!(q, self.cta_rank(wi, g.pc, q, a[q], generic)?)
            }
            Op::Ld(m) => {
                w.strong += m.strong as u64;
                self.load(wi, g.pc, i, &m, em)?
            }
            Op::St(m) => self.store(wi, g.pc, i, &m, em)?,
            Op::Atom { op, ty, m } => {
                w.strong += 1;
                self.atom(wi, g.pc, i, op, ty, &m, em)?
            }
            Op::ActiveMask => {
                put!(i.d, [em as u64; 32]);
            }
            Op::Clock(ns) => {
                let v = if ns { l.start.elapsed().as_nanos() as u64 } else { w.icount };
                put!(i.d, [v; 32]);
            }
            // ---- warp-wide ----
            Op::Shfl(_)
            | Op::Vote(_)
            | Op::Match { .. }
            | Op::Redux(..)
            | Op::BarWarp
            | Op::Elect => {
                let Some(em) = self.sync_lanes(wi, g, i, em)? else { return Ok(Out::Repick) };
                self.warp_op(wi, g.pc, i, em);
                if !l.opts.strict_warp || matches!(i.op, Op::BarWarp) {
                    self.bump_le(wi, em);
                }
                g.pc += 1;
                // other lanes may be in reach of this place now
                if !self.warps[wi].groups.is_empty() {
                    self.warps[wi].groups.push(*g);
                    return Ok(Out::Repick);
                }
                return Ok(Out::Stay);
            }
            Op::Bar { k: kind, aligned } => {
                let rest = g.mask & !em;
                let a = s!(i.a);
                let q0 = em.trailing_zeros() as usize;
                let id = a[q0] as usize;
                let cnt = if i.b == NONE { 0 } else { s!(i.b)[q0] as u32 };
                if id >= 16 {
                    return Err(self.fault(
                        wi,
                        g.pc,
                        "barrier",
                        E_LAUNCH_FAILED,
                        q0,
                        format!("barrier number {id}"),
                    ));
                }
                let split = aligned && !self.converged(wi, g.pc, em);
                if cnt == 0 && kind != BarK::Arrive {
                    let full: u32 = {
                        let nt = l.block[0] * l.block[1] * l.block[2];
                        let n = (nt - wi as u32 * 32).min(32);
                        if n == 32 { !0 } else { (1 << n) - 1 }
                    };
                    if split || w.alive != full || self.warps.iter().any(|x| x.alive == 0) {
                        let cta = self.cta;
                        l.f.add(&k.name, "barrier_after_exit", false, g.pc, 0, || {
                            format!("some threads of block {cta:?} had exited when others reached the barrier at {}", place(k, g.pc))
                        });
                    }
                }
                self.st.bars += 1;
                let bar = &mut self.bars[id];
                if bar.any && bar.pc != g.pc && cnt == 0 && bar.count == 0 {
                    let (p1, cta) = (bar.pc, self.cta);
                    l.f.add(&k.name, "barrier_places", false, bar.pc, g.pc, || {
                        format!(
                            "barrier {id} of block {cta:?} met at two places: {} and {}",
                            place(k, p1),
                            place(k, g.pc)
                        )
                    });
                }
                bar.any = true;
                bar.pc = g.pc;
                bar.count = cnt;
                if bar.arrived[wi] & em != 0 {
                    bar.extra += 32;
                    let cta = self.cta;
                    l.f.add(&k.name, "barrier_overrun", true, g.pc, 0, || {
                        format!("warp {wi} of block {cta:?} arrives at barrier {id} again before it completed, at {}", place(k, g.pc))
                    });
                }
                bar.arrived[wi] |= em;
                if i.c != NONE {
                    let p = pget!(i.c) & em;
                    bar.pop += p.count_ones();
                    bar.and &= p == em;
                    bar.or |= p != 0;
                }
                if rest != 0 {
                    w.groups.push(Group { pc: g.pc + 1, mask: rest, ..*g });
                }
                if kind == BarK::Arrive {
                    w.groups.push(Group { pc: g.pc + 1, mask: em, ..*g });
                } else {
                    w.groups.push(Group {
                        pc: g.pc,
                        mask: em,
                        st: St::Bar(id as u32),
                        last: g.last,
                    });
                }
                if self.bar_ready(id) {
                    self.bar_release(id);
                }
                return Ok(Out::Repick);
            }
            Op::ClusterArrive { aligned, release } => {
                if aligned {
                    self.converged(wi, g.pc, em);
                }
                self.cluster_arrive(wi, g.pc, em, release);
            }
            Op::ClusterWait { aligned } => {
                if aligned {
                    self.converged(wi, g.pc, em);
                }
                self.cluster_wait(wi, g, em);
                return Ok(Out::Repick);
            }
            // ---- asynchronous copies ----
            Op::CpAsync { sz, oa, ob } => {
                let (a, b) = (s!(i.a), s!(i.b));
                let c = if i.c == NONE { None } else { Some(*s!(i.c)) };
                if w.cp.is_empty() {
                    w.cp.resize_with(32, Cp::default);
                }
                let mut ga = [0u64; 32];
                let mut n = 0;
                for q in 0..32 {
                    if em >> q & 1 == 0 {
                        continue;
                    }
                    let mut da = a[q].wrapping_add(oa as u64);
                    if da.wrapping_sub(SH_WIN) < WIN {
                        da = self.near(da);
                    }
                    let sa = b[q].wrapping_add(ob as u64);
                    let want = c.map_or(sz as u64, |v| v[q].min(sz as u64));
                    if sa % sz as u64 != 0 || da % sz as u64 != 0 {
                        return Err(self.fault(
                            wi,
                            g.pc,
                            "misaligned",
                            E_MISALIGNED,
                            q,
                            format!("cp.async of {sz} bytes from {sa:#x} to shared {da:#x}"),
                        ));
                    }
                    let off = da.wrapping_sub(SH_BASE);
                    if off.wrapping_add(sz as u64) > self.shared.len() as u64
                        || off > self.shared.len() as u64
                    {
                        return Err(self.fault(
                            wi,
                            g.pc,
                            "oob_shared",
                            E_ILLEGAL_ADDRESS,
                            q,
                            format!("cp.async to shared offset {off} of {}", self.shared.len()),
                        ));
                    }
                    let mut buf = [0u8; 16];
                    let mut done = 0u64;
                    while done < want {
                        let (h, un) = self.global(wi, g.pc, q, sa + done, 1, true, false)?;
                        if un {
                            self.uninit_global(wi, g.pc, q, sa + done, 1);
                        }
                        buf[done as usize] = unsafe { *(h as *const u8) };
                        done += 1;
                    }
                    for z in 0..sz as usize {
                        self.sinit[off as usize + z] |= 2;
                    }
                    if want > 0 {
                        ga[n] = sa;
                        n += 1;
                    }
                    w.cp[q].open.push((off as u32, buf, sz, g.pc));
                }
                let sec = sectors(&ga[..n]);
                self.st.gld[0] += 1;
                self.st.gld[1] += sec;
                self.st.gld[2] += n as u64 * sz as u64;
                self.st.gld[3] += (n as u64 * sz as u64).div_ceil(32);
                if !self.st.prof.is_empty() {
                    self.st.prof[g.pc as usize][1] += sec;
                }
            }
            Op::CpCommit => {
                if w.cp.is_empty() {
                    w.cp.resize_with(32, Cp::default);
                }
                for q in 0..32 {
                    if em >> q & 1 == 1 {
                        let o = std::mem::take(&mut w.cp[q].open);
                        w.cp[q].done.push_back(o);
                    }
                }
            }
            Op::CpWait(n) => {
                if !w.cp.is_empty() {
                    for q in 0..32 {
                        if em >> q & 1 == 0 {
                            continue;
                        }
                        if n == u32::MAX {
                            let o = std::mem::take(&mut w.cp[q].open);
                            w.cp[q].done.push_back(o);
                        }
                        let keep = if n == u32::MAX { 0 } else { n as usize };
                        while w.cp[q].done.len() > keep {
                            for (off, buf, sz, pc) in w.cp[q].done.pop_front().unwrap() {
                                for z in 0..sz as usize {
                                    self.sinit[off as usize + z] &= !2;
                                }
                                let p = self.shared_at(
                                    wi,
                                    pc,
                                    q,
                                    SH_BASE + off as u64,
                                    sz as u32,
                                    1,
                                    Some(&buf[..sz as usize]),
                                    !0,
                                )?;
                                unsafe {
                                    std::ptr::copy_nonoverlapping(buf.as_ptr(), p, sz as usize)
                                }
                            }
                        }
                    }
                }
            }
            Op::Vprintf { fmt, args, ret } => {
                let ls = k.local_size as usize;
                for q in 0..32 {
                    if em >> q & 1 == 1 {
                        let rd = |w: &Warp, o: usize| {
                            u64::from_le_bytes(
                                w.local[q * ls + o..q * ls + o + 8].try_into().unwrap(),
                            )
                        };
                        let (f, a) = (rd(w, fmt as usize), rd(w, args as usize));
                        let s = self.printf(wi, g.pc, q, f, a)?;
                        print!("{s}");
                        w.local[q * ls + ret as usize] = 0;
                    }
                }
            }
            Op::Assert { msg, file, line } => {
                let ls = k.local_size as usize;
                let q = em.trailing_zeros() as usize;
                let rd = |o: usize| {
                    u64::from_le_bytes(w.local[q * ls + o..q * ls + o + 8].try_into().unwrap())
                };
                let (m, f, n) = (rd(msg as usize), rd(file as usize), rd(line as usize) as u32);
                let m = self.cstr(wi, g.pc, q, m)?;
                let f = self.cstr(wi, g.pc, q, f)?;
                return Err(self.fault(
                    wi,
                    g.pc,
                    "assert",
                    E_ASSERT,
                    q,
                    format!("{f}:{n}: assertion `{m}` failed"),
                ));
            }
        }
        g.pc += 1;
        Ok(Out::Stay)
    }

    fn warp_op(&mut self, wi: usize, pc: u32, i: &Ins, em: u32) {
        let l = self.l;
        let k = l.k;
        let w = &mut self.warps[wi];
        let get = |w: &Warp, r: R| unsafe { *Self::srcp(w, k, r) };
        let e = get(w, i.e);
        let put = |w: &mut Warp, d: R, r: &[u64; 32]| {
            for q in 0..32 {
                if em >> q & 1 == 1 {
                    w.regs[d as usize][q] = r[q];
                }
            }
        };
        let pput = |w: &mut Warp, d: u32, v: u32| {
            let p = &mut w.preds[(d & 0xffff) as usize];
            *p = (*p & !em) | (v & em);
        };
        let lanes = |m: u32| (0..32usize).filter(move |q| m >> q & 1 == 1);
        match i.op {
            Op::BarWarp => {}
            Op::Shfl(m) => {
                let (a, b, c) = (get(w, i.a), get(w, i.b), get(w, i.c));
                let [d, pd, ..] = k.vregs[i.d as usize];
                let mut r = [0u64; 32];
                let mut pv = 0u32;
                let mut und = 0u32;
                let reg = |x: R| if x & CONST != 0 { 0 } else { w.u[x as usize] };
                let (ua, uo) = (reg(i.a), reg(i.b) | reg(i.c));
                for q in lanes(em) {
                    let ln = q as i32;
                    let bv = (b[q] & 31) as i32;
                    let cv = (c[q] & 31) as i32;
                    let sm = (c[q] >> 8 & 31) as i32;
                    let maxl = (ln & sm) | (cv & !sm & 31);
                    let minl = ln & sm;
                    let (mut j, p) = match m {
                        Shm::Up => (ln - bv, ln - bv >= maxl),
                        Shm::Down => (ln + bv, ln + bv <= maxl),
                        Shm::Bfly => (ln ^ bv, ln ^ bv <= maxl),
                        Shm::Idx => {
                            let j = minl | (bv & !sm & 31);
                            (j, j <= maxl)
                        }
                    };
                    if !p {
                        j = ln;
                    } else {
                        pv |= 1 << q;
                    }
                    let j = j as usize;
                    if (em & e[q] as u32) >> j & 1 == 0 {
                        let cta = self.cta;
                        l.f.add(&k.name, "shfl_inactive", true, pc, 0, || {
                            format!("lane {q} of warp {wi}, block {cta:?}, reads lane {j}, which takes no part, at {}", place(k, pc))
                        });
                        r[q] = 0xA5A5_A5A5;
                    } else {
                        r[q] = a[j];
                    }
                    und |= ((ua >> j | uo >> q) & 1) << q;
                }
                if w.any_u {
                    let x = &mut w.u[d as usize];
                    *x = (*x & !em) | und;
                }
                put(w, d, &r);
                if pd != 0xffff {
                    pput(w, pd, pv);
                }
            }
            Op::Vote(kind) => {
                let p =
                    w.preds[(i.a & 0xffff) as usize] ^ if i.a & (1 << 16) != 0 { !0 } else { 0 };
                let mut r = [0u64; 32];
                let mut pv = 0u32;
                for q in lanes(em) {
                    let s = em & e[q] as u32;
                    let v = match kind {
                        0 => p & s == s,
                        1 => p & s != 0,
                        2 => p & s == s || p & s == 0,
                        _ => {
                            r[q] = (p & s) as u64;
                            false
                        }
                    };
                    pv |= (v as u32) << q;
                }
                if kind == 3 {
                    put(w, i.d, &r);
                } else {
                    pput(w, i.d, pv);
                }
            }
            Op::Match { all, w: wd } => {
                let a = get(w, i.a);
                let mut r = [0u64; 32];
                let mut pv = 0u32;
                for q in lanes(em) {
                    let s = em & e[q] as u32;
                    let mut m = 0u64;
                    for z in lanes(s) {
                        if (a[z] ^ a[q]) & mask(wd as u32) == 0 {
                            m |= 1 << z;
                        }
                    }
                    if all {
                        let ok = m as u32 == s;
                        r[q] = if ok { m } else { 0 };
                        pv |= (ok as u32) << q;
                    } else {
                        r[q] = m;
                    }
                }
                put(w, i.d, &r);
                if i.b != 0xffff {
                    pput(w, i.b, pv);
                }
            }
            Op::Redux(op, ty) => {
                let a = get(w, i.a);
                let mut r = [0u64; 32];
                let mut prev: Option<(u32, u64)> = None;
                for q in lanes(em) {
                    let s = em & e[q] as u32;
                    if let Some((ps, pr)) = prev {
                        if ps == s {
                            r[q] = pr;
                            continue;
                        }
                    }
                    let mut it = lanes(s).map(|z| a[z] as u32);
                    let first = it.next().unwrap_or(0);
                    let v = it.fold(first, |x, y| match op {
                        AOp::Add => x.wrapping_add(y),
                        AOp::And => x & y,
                        AOp::Or => x | y,
                        AOp::Xor => x ^ y,
                        AOp::Min => {
                            if ty.signed() {
                                (x as i32).min(y as i32) as u32
                            } else {
                                x.min(y)
                            }
                        }
                        _ => {
                            if ty.signed() {
                                (x as i32).max(y as i32) as u32
                            } else {
                                x.max(y)
                            }
                        }
                    });
                    r[q] = v as u64;
                    prev = Some((s, v as u64));
                }
                put(w, i.d, &r);
            }
            Op::Elect => {
                let mut r = [0u64; 32];
                let mut pv = 0;
                for q in lanes(em) {
                    let lead = (em & e[q] as u32).trailing_zeros();
                    r[q] = lead as u64;
                    if lead as usize == q {
                        pv |= 1 << q;
                    }
                }
                put(w, i.d, &r);
                pput(w, i.b, pv);
            }
            _ => unreachable!(),
        }
    }

    // ---- memory ----
    #[inline(always)]
    fn global(
        &self,
        wi: usize,
        pc: u32,
        lane: usize,
        a: u64,
        n: u32,
        rd: bool,
        wr: bool,
    ) -> Res<(u64, bool)> {
        self.global_k(wi, pc, lane, a, n, rd, wr, false, None)
    }
    /// conflicts between blocks: one mark per word for the last writer and the last reader of this launch
    fn grace(
        &self,
        wi: usize,
        pc: u32,
        a: u64,
        n: u32,
        wr: bool,
        strong: bool,
        new: Option<&[u8]>,
        host: u64,
    ) {
        let v = &self.l.view;
        let o = a.wrapping_sub(v.b0);
        if v.o0 == 0 || o >= v.l0 {
            return;
        }
        // launch 20 bits | strong 1 | bytes 4 | pc 15 | block 24
        let me = self.lin & 0xff_ffff;
        let id = (self.l.id as u64 & 0xf_ffff) << 44;
        let mut z = 0u64;
        while z < n as u64 {
            let w = (o + z) >> 2;
            let lo = (o + z) & 3;
            let cnt = (4 - lo).min(n as u64 - z);
            let bytes = ((1u64 << cnt) - 1) << lo;
            let (pw, pr) = unsafe {
                (
                    &*((v.o0 + w * 16) as *const AtomicU64),
                    &*((v.o0 + w * 16 + 8) as *const AtomicU64),
                )
            };
            let mark = id | (strong as u64) << 43 | bytes << 39 | (pc as u64 & 0x7fff) << 24 | me;
            let old = pw.load(Relaxed);
            let clash = |old: u64| {
                old >> 44 == id >> 44
                    && old & 0xff_ffff != me
                    && (old >> 39 & 15) & bytes != 0
                    && !(old >> 43 & 1 == 1 && strong)
            };
            if clash(old) {
                let same = wr && new.is_some_and(
                    |b| unsafe { std::slice::from_raw_parts(host as *const u8, n as usize) } == b,
                );
                if !same {
                    self.ghazard(
                        wi,
                        if wr { "block_race_write_write" } else { "block_race_read_after_write" },
                        (old >> 24 & 0x7fff) as u32,
                        pc,
                        old & 0xff_ffff,
                        a,
                    );
                }
            }
            if wr {
                let r = pr.load(Relaxed);
                if clash(r) {
                    let same = new.is_some_and(|b| unsafe { std::slice::from_raw_parts(host as *const u8, n as usize) } == b);
                    if !same {
                        self.ghazard(
                            wi,
                            "block_race_write_after_read",
                            (r >> 24 & 0x7fff) as u32,
                            pc,
                            r & 0xff_ffff,
                            a,
                        );
                    }
                }
                // bytes written by this block earlier stay its own, and what it wrote without an
                // atomic is not hidden by its atomics
                let own = old >> 44 == id >> 44 && old & 0xff_ffff == me;
                let keep = if own { old & (15 << 39) } else { 0 };
                let mark = if own && old >> 43 & 1 == 0 { mark & !(1 << 43) } else { mark };
                pw.store(mark | keep, Relaxed);
            } else if !strong {
                let r = pr.load(Relaxed);
                // bytes that another block read are not this block's; one mark cannot hold both
                let own = r >> 44 == id >> 44 && r & 0xff_ffff == me;
                let keep = if own { r & (15 << 39) } else { 0 };
                pr.store(mark | keep, Relaxed);
            }
            z += cnt;
        }
    }
    #[cold]
    fn ghazard(&self, wi: usize, kind: &'static str, pc1: u32, pc2: u32, other: u64, a: u64) {
        if self.has_met(wi, other) {
            return;
        }
        let k = self.l.k;
        let e = !self.l.ordered;
        self.l.f.add(&k.name, kind, e, pc1, pc2, || {
            format!(
                "global {a:#x} ({}): block {other} at {} and block {} at {} in one launch{}",
                self.l.mem.describe(a),
                place(k, pc1),
                self.lin,
                place(k, pc2),
                if e {
                    ""
                } else {
                    " (the kernel has fences or strong accesses that may order them)"
                }
            )
        });
    }
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    fn global_k(
        &self,
        wi: usize,
        pc: u32,
        lane: usize,
        a: u64,
        n: u32,
        rd: bool,
        wr: bool,
        strong: bool,
        new: Option<&[u8]>,
    ) -> Res<(u64, bool)> {
        if a & (n as u64 - 1) != 0 {
            return Err(self.fault(
                wi,
                pc,
                "misaligned",
                E_MISALIGNED,
                lane,
                format!("{} of {n} bytes at {a:#x}", rw(wr)),
            ));
        }
        match self.l.view.access(a, n, rd, wr) {
            Ok(x) => {
                if self.l.view.o0 != 0 && self.l.id != 0 {
                    self.grace(wi, pc, a, n, wr, strong, new, x.0);
                }
                Ok(x)
            }
            Err(Bad::Oob) => Err(self.fault(
                wi,
                pc,
                "oob_global",
                E_ILLEGAL_ADDRESS,
                lane,
                format!("invalid {} of {n} bytes at {a:#x}, {},", rw(wr), self.l.mem.describe(a)),
            )),
            Err(Bad::ReadOnly) => Err(self.fault(
                wi,
                pc,
                "write_const",
                E_ILLEGAL_ADDRESS,
                lane,
                format!("write to constant memory at {a:#x}"),
            )),
        }
    }

    /// carries definedness from sources to destinations, before the instruction runs
    #[cold]
    #[inline(never)]
    fn flow(&mut self, wi: usize, pc: u32, i: &Ins, gm: u32, em: u32) {
        let k = self.l.k;
        let w = &mut self.warps[wi];
        let r = |w: &Warp, x: R| if x == NONE || x & CONST != 0 { 0 } else { w.u[x as usize] };
        let val = |w: &Warp, x: R| unsafe { *Self::srcp(w, k, x) };
        let mut bad: Option<(&'static str, u32)> = None;
        if i.guard >= 0 {
            let u = w.up[(i.guard & 0xffff) as usize] & gm;
            if u != 0 {
                bad = Some((
                    if matches!(i.op, Op::Bra(_)) {
                        "a branch"
                    } else {
                        "whether an instruction runs"
                    },
                    u,
                ));
            }
        }
        let set = |w: &mut Warp, d: R, v: u32| {
            let x = &mut w.u[d as usize];
            *x = (*x & !em) | (v & em);
        };
        let pset = |w: &mut Warp, d: u32, v: u32| {
            let x = &mut w.up[(d & 0xffff) as usize];
            *x = (*x & !em) | (v & em);
        };
        let up = |w: &Warp, p: u32| w.up[(p & 0xffff) as usize];
        let pv = |w: &Warp, p: u32| {
            w.preds[(p & 0xffff) as usize] ^ if p & (1 << 16) != 0 { !0 } else { 0 }
        };
        match i.op {
            Op::Bra(_)
            | Op::Exit
            | Op::Nop
            | Op::Fence { .. }
            | Op::Trap
            | Op::CpCommit
            | Op::CpWait(_) => {}
            Op::Brx(_) => {
                if r(w, i.a) & em != 0 {
                    bad = Some(("a branch", r(w, i.a) & em));
                }
            }
            Op::Ld(_) | Op::St(_) | Op::Atom { .. } | Op::CpAsync { .. } => {
                let mut u = r(w, i.a) & em;
                if matches!(i.op, Op::CpAsync { .. }) {
                    u |= r(w, i.b) & em;
                }
                if u != 0 {
                    bad = Some(("an address", u));
                }
                if let Op::Atom { .. } = i.op {
                    let v = (r(w, i.b) | r(w, i.c)) & em;
                    if v != 0 {
                        bad = Some(("an atomic's operand", v));
                    }
                    if i.d != NONE {
                        set(w, i.d, 0);
                    }
                }
            }
            Op::Pack { n, .. } => {
                let mut u = 0;
                for j in 0..n as usize {
                    u |= r(w, k.vregs[i.a as usize][j]);
                }
                set(w, i.d, u);
            }
            Op::Unpack { n, .. } => {
                let u = r(w, i.a);
                for j in 0..n as usize {
                    set(w, k.vregs[i.d as usize][j], u);
                }
            }
            Op::And | Op::Or => {
                // a known operand may settle the result
                let (a, b) = (val(w, i.a), val(w, i.b));
                let (ua, ub) = (r(w, i.a), r(w, i.b));
                let mut u = ua | ub;
                for q in 0..32 {
                    if u >> q & 1 == 1 && (ua & ub) >> q & 1 == 0 {
                        let known = if ua >> q & 1 == 1 { b[q] } else { a[q] };
                        if (matches!(i.op, Op::And) && known == 0)
                            || (matches!(i.op, Op::Or) && known == u64::MAX)
                        {
                            u &= !(1 << q);
                        }
                    }
                }
                set(w, i.d, u);
            }
            Op::Selp => {
                let p = pv(w, i.c);
                let u = (r(w, i.a) & p) | (r(w, i.b) & !p) | up(w, i.c);
                set(w, i.d, u);
            }
            Op::Setp { bop, .. } | Op::Set { bop, .. } => {
                let ab = r(w, i.a) | r(w, i.b);
                let mut u = ab;
                if bop != BoolOp::None {
                    let (c, uc) = (pv(w, i.c), up(w, i.c));
                    u |= uc;
                    match bop {
                        BoolOp::And => u &= !(!c & !uc),
                        BoolOp::Or => u &= !(c & !uc),
                        _ => {}
                    }
                }
                if matches!(i.op, Op::Set { .. }) {
                    set(w, i.d, u);
                } else {
                    pset(w, i.d, u);
                    if i.e != NONE {
                        pset(w, i.e, u);
                    }
                }
            }
            Op::PAnd | Op::POr => {
                let (a, b) = (pv(w, i.a), pv(w, i.b));
                let (ua, ub) = (up(w, i.a), up(w, i.b));
                let u = if matches!(i.op, Op::PAnd) {
                    (ua | ub) & !(!ua & !a) & !(!ub & !b)
                } else {
                    (ua | ub) & !(!ua & a) & !(!ub & b)
                };
                pset(w, i.d, u);
            }
            Op::PXor => {
                let u = up(w, i.a) | up(w, i.b);
                pset(w, i.d, u);
            }
            Op::PNot | Op::PMov => {
                let u = up(w, i.a);
                pset(w, i.d, u);
            }
            Op::PSet(_) => pset(w, i.d, 0),
            Op::Testp(..) | Op::IsSp(_) => {
                let u = r(w, i.a);
                pset(w, i.d, u);
            }
            Op::Shfl(_) => {} // done with the exchange itself
            Op::Vote(kind) => {
                let u = up(w, i.a) & em;
                if kind == 3 {
                    set(w, i.d, if u != 0 { !0 } else { 0 });
                } else {
                    pset(w, i.d, if u != 0 { !0 } else { 0 });
                }
            }
            Op::Match { .. } | Op::Redux(..) => {
                let u = r(w, i.a) & em;
                set(w, i.d, if u != 0 { !0 } else { 0 });
                if matches!(i.op, Op::Match { .. }) && i.b != 0xffff {
                    pset(w, i.b, if u != 0 { !0 } else { 0 });
                }
            }
            Op::Elect => {
                set(w, i.d, 0);
                pset(w, i.b, 0);
            }
            Op::BarWarp
            | Op::Bar { .. }
            | Op::ClusterArrive { .. }
            | Op::ClusterWait { .. }
            | Op::Vprintf { .. }
            | Op::Assert { .. } => {}
            Op::ActiveMask | Op::Clock(_) => set(w, i.d, 0),
            _ => {
                let mut u = r(w, i.a) | r(w, i.b) | r(w, i.c);
                if matches!(i.op, Op::Bfi(_)) {
                    u |= r(w, i.e);
                }
                set(w, i.d, u);
            }
        }
        if let Some((what, lanes)) = bad {
            if self.l.opts.uninit > 0 {
                let from = self.warps[wi].from;
                let cta = self.cta;
                self.l.f.add(&k.name, "uninit_use", true, pc, 0, || {
                    format!(
                        "{what} depends on memory never written, at {} by lane {} of warp {wi}, block {cta:?}; such memory was read at {}",
                        place(k, pc),
                        lanes.trailing_zeros(),
                        place(k, from)
                    )
                });
            }
        }
    }

    #[cold]
    fn uninit_global(&self, wi: usize, pc: u32, lane: usize, a: u64, n: u32) {
        if self.l.opts.uninit > 0 {
            let t = wi as u32 * 32 + lane as u32;
            self.l.f.add(&self.l.k.name, "uninit_global", self.l.opts.uninit > 1, pc, 0, || {
                format!(
                    "read of {n} bytes never written at {a:#x}, {}, at {} by thread {t} of block {:?}",
                    self.l.mem.describe(a), place(self.l.k, pc), self.cta
                )
            });
        }
    }

    /// kind: 0 read, 1 write, 2 atomic, 3 strong read, 4 strong write
    #[inline]
    #[allow(clippy::too_many_arguments)]
    fn shared_at(
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
        let off = a.wrapping_sub(SH_BASE);
        if off >= self.shared.len() as u64 || off + n as u64 > self.shared.len() as u64 {
            if a >= TAG && self.member.is_some() {
                return self.far_at(wi, pc, lane, a, n, kind, new, used);
            }
            let what = rw(kind != 0 && kind != 3);
            return Err(self.fault(
                wi,
                pc,
                "oob_shared",
                E_ILLEGAL_ADDRESS,
                lane,
                format!(
                    "invalid shared {what} of {n} bytes at offset {} of {} bytes",
                    off as i64,
                    self.shared.len()
                ),
            ));
        }
        if a & (n as u64 - 1) != 0 {
            return Err(self.fault(
                wi,
                pc,
                "misaligned",
                E_MISALIGNED,
                lane,
                format!("shared access of {n} bytes at offset {off}"),
            ));
        }
        let o = off as usize;
        let (mut un, mut pend) = (0u8, 0u8);
        let wr = kind == 1 || kind == 2 || kind == 4;
        let fast = used == !0
            && unsafe {
                let p = self.sinit.as_mut_ptr().add(o);
                match n {
                    4 if *(p as *const u32) == 0x0101_0101 => true,
                    8 if *(p as *const u64) == 0x0101_0101_0101_0101 => true,
                    4 if wr && kind != 2 && *(p as *const u32) == 0 => {
                        *(p as *mut u32) = 0x0101_0101;
                        true
                    }
                    8 if wr && kind != 2 && *(p as *const u64) == 0 => {
                        *(p as *mut u64) = 0x0101_0101_0101_0101;
                        true
                    }
                    _ => false,
                }
            };
        self.last_un = false;
        if !fast {
            (un, pend) = init_marks(&mut self.sinit[o..o + n as usize], used, wr);
        }
        self.last_un = un != 0 && !wr;
        if (un | pend) != 0 {
            self.init_findings(wi, pc, lane, o, n, kind, un, pend, self.cta);
        }
        let p = unsafe { self.shared.as_mut_ptr().add(o) };
        if self.l.opts.race {
            let same = match new {
                Some(b) => unsafe { std::slice::from_raw_parts(p, n as usize) == b },
                None => false,
            };
            let mut z = o;
            while z < o + n as usize {
                if used >> (z - o) & 1 == 0 {
                    z += 1;
                } else if z & 3 == 0
                    && used >> (z - o) & 15 == 15
                    && z + 4 <= o + n as usize
                    && !self.cells[z >> 2].split
                {
                    let c = &mut self.cells[z >> 2] as *mut Cell;
                    self.race(unsafe { &mut *c }, wi, lane, kind, pc, z, same);
                    z += 4;
                } else {
                    let wd = z >> 2;
                    if !self.cells[wd].split {
                        if self.bytes.is_empty() {
                            self.bytes = vec![CELL0; self.shared.len() + 4];
                        }
                        let mut c = self.cells[wd];
                        for t in 0..4 {
                            self.bytes[wd * 4 + t] = c;
                        }
                        c.split = true;
                        self.cells[wd] = c;
                    }
                    let c = &mut self.bytes[z] as *mut Cell;
                    self.race(unsafe { &mut *c }, wi, lane, kind, pc, z, same);
                    z += 1;
                }
            }
            if self.member.is_some() {
                self.cluster_race(None, wi, lane, kind, pc, o, n, used, same);
            }
        }
        Ok(p)
    }

    /// Findings about memory of block `cta` that was never written or waits for a cp.async.
    #[cold]
    fn init_findings(
        &self,
        wi: usize,
        pc: u32,
        lane: usize,
        off: usize,
        n: u32,
        kind: u8,
        un: u8,
        pend: u8,
        cta: [u32; 3],
    ) {
        let l = self.l;
        let t = wi as u32 * 32 + lane as u32;
        let whose = if cta == self.cta {
            String::new()
        } else {
            format!(" in the memory of block {cta:?}")
        };
        let by = || format!("at {} by thread {t} of block {:?}", place(l.k, pc), self.cta);
        if pend != 0 {
            l.f.add(&l.k.name, "cp_async_in_flight", true, pc, 0, || {
                format!(
                    "shared offset {off}{whose} touched while a cp.async to it is in flight, {}",
                    by()
                )
            });
        }
        if un != 0 && matches!(kind, 0 | 2 | 3) && l.opts.uninit > 0 {
            l.f.add(&l.k.name, "uninit_shared", l.opts.uninit > 1 || kind == 2, pc, 0, || {
                format!("shared read of {n} bytes never written at offset {off}{whose}, {}", by())
            });
        }
    }

    #[inline]
    fn race(
        &mut self,
        c: &mut Cell,
        wi: usize,
        lane: usize,
        kind: u8,
        pc: u32,
        off: usize,
        same: bool,
    ) {
        let tid = (wi * 32 + lane) as u16;
        let le = self.warps[wi].le[lane];
        let wr = matches!(kind, 1 | 2 | 4);
        let strong = kind >= 2;
        if c.wt != 0 && c.wtid != tid && !(c.watom && strong) {
            let ww = (c.wtid >> 5) as usize;
            if ww != wi {
                if self.vc[wi][ww] < c.wt {
                    self.hazard(
                        if wr { "WAW" } else { "RAW" },
                        !(wr && same),
                        c.wpc,
                        pc,
                        c.wtid,
                        tid,
                        off,
                        wr && same,
                    );
                }
            } else if le <= c.wle && !(wr && same) {
                self.hazard(
                    if wr { "warp WAW" } else { "warp RAW" },
                    false,
                    c.wpc,
                    pc,
                    c.wtid,
                    tid,
                    off,
                    false,
                );
            }
        }
        let plain_warp = (c.ptid >> 5) as usize;
        if strong && c.watom && plain_warp != wi && self.vc[wi][plain_warp] < c.pt {
            let what = if wr { "WAW" } else { "RAW" };
            self.hazard(what, !(wr && same), c.ppc, pc, c.ptid, tid, off, wr && same);
        }
        if wr {
            if c.rmask != 0 && c.rfull == self.full {
                let rw = (c.rtid >> 5) as usize;
                if c.rtid != tid && rw == wi && le <= c.rle && !(strong && c.watom) {
                    self.hazard("warp WAR", false, c.rpc, pc, c.rtid, tid, off, false);
                }
                if rw != wi {
                    if self.vc[wi][rw] < c.rt {
                        self.hazard("WAR", !same, c.rpc, pc, c.rtid, tid, off, same);
                    }
                } else if c.rmask & !(1 << wi) != 0 && !self.partial {
                    let other = (c.rmask & !(1 << wi)).trailing_zeros() as u16 * 32;
                    self.hazard("WAR", !same, c.rpc, pc, other, tid, off, same);
                }
            }
            c.wt = self.vc[wi][wi];
            c.wtid = tid;
            c.wle = le;
            c.wpc = pc;
            c.watom = strong;
            if !strong {
                (c.pt, c.ppc, c.ptid) = (c.wt, pc, tid);
                c.rmask = 0;
            }
        } else if kind == 3 && c.watom {
            // a strong read among strong accesses leaves no mark
        } else {
            if c.rfull != self.full {
                c.rmask = 0;
                c.rfull = self.full;
            }
            c.rmask |= 1 << wi;
            c.rt = self.vc[wi][wi];
            c.rtid = tid;
            c.rle = le;
            c.rpc = pc;
        }
    }

    #[cold]
    fn hazard(
        &self,
        what: &'static str,
        error: bool,
        pc1: u32,
        pc2: u32,
        t1: u16,
        t2: u16,
        off: usize,
        same: bool,
    ) {
        let k = self.l.k;
        let kind = match what {
            "RAW" => "race_read_after_write",
            "WAR" => "race_write_after_read",
            "WAW" => "race_write_after_write",
            "warp RAW" => "warp_race_read_after_write",
            "warp WAR" => "warp_race_write_after_read",
            _ => "warp_race_write_after_write",
        };
        self.l.f.add(&k.name, kind, error, pc1, pc2, || {
            format!(
                "shared offset {off}, block {:?}: thread {t1} at {} and thread {t2} at {} with no barrier between{}",
                self.cta,
                place(k, pc1),
                place(k, pc2),
                if same { " (same value)" } else { "" }
            )
        });
    }

    fn load(&mut self, wi: usize, pc: u32, i: &Ins, m: &MemOp, em: u32) -> Res<()> {
        let k = self.l.k;
        let w: *mut Warp = &mut self.warps[wi];
        let w = unsafe { &mut *w };
        let base: *const [u64; 32] = Self::srcp(w, k, i.a);
        let base = unsafe { *base };
        let n = m.sz as u32 * m.vec as u32;
        let dst: [R; 4] = if m.vec == 1 { [i.d, NONE, NONE, NONE] } else { k.vregs[i.d as usize] };
        let (mut ga, mut gn) = ([0u64; 32], 0usize);
        let (mut sa, mut sn) = ([(0u32, 0u8); 32], 0usize);
        let mut far = 0;
        let dm = mask(m.dw as u32);
        let sz = m.sz as usize;
        let mut left = em;
        while left != 0 {
            let q = left.trailing_zeros() as usize;
            left &= left - 1;
            let mut a = base[q].wrapping_add(m.off as u64);
            let mut sp = m.sp;
            if sp == Space::Generic {
                sp = Space::Global;
                if a >= SH_WIN {
                    if a - SH_WIN < WIN {
                        sp = Space::Shared;
                        a -= SH_WIN;
                    } else if a.wrapping_sub(LOC_WIN) < WIN {
                        sp = Space::Local;
                        a -= LOC_WIN;
                    } else if a.wrapping_sub(PAR_WIN) < WIN {
                        sp = Space::Param;
                        a -= PAR_WIN;
                    }
                }
            }
            let mut und = 0u32; // bit per byte
            let p: *const u8 = match sp {
                Space::Global | Space::Const | Space::Generic => {
                    let (h, un) = self.global_k(wi, pc, q, a, n, true, false, m.strong, None)?;
                    if un {
                        let bad = m.used == !0
                            || (0..n).any(|z| {
                                m.used >> z & 1 == 1
                                    && self.l.view.state(a + z as u64) & crate::mem::INIT == 0
                            });
                        if bad {
                            self.uninit_global(wi, pc, q, a, n);
                        }
                        for z in 0..n {
                            und |= ((self.l.view.state(a + z as u64) & crate::mem::INIT == 0)
                                as u32)
                                << z;
                        }
                    }
                    ga[gn] = a;
                    gn += 1;
                    h as *const u8
                }
                Space::Shared | Space::Cluster => {
                    let a = self.near(a);
                    let p = self.shared_at(
                        wi,
                        pc,
                        q,
                        a,
                        n,
                        if m.strong { 3 } else { 0 },
                        None,
                        m.used,
                    )?;
                    if a < TAG {
                        sa[sn] = (a as u32, q as u8);
                        sn += 1;
                    } else {
                        far += 1;
                    }
                    if self.last_un {
                        for (z, x) in self.init_at(a, n as usize).iter().enumerate() {
                            und |= (!*x as u32 & 1) << z;
                        }
                    }
                    p
                }
                Space::Local => {
                    let ls = k.local_size;
                    if a < 16 || a + n as u64 > ls {
                        return Err(self.fault(
                            wi,
                            pc,
                            "oob_local",
                            E_ILLEGAL_ADDRESS,
                            q,
                            format!("invalid local read of {n} bytes at {a:#x} of {ls}"),
                        ));
                    }
                    if a & (n as u64 - 1) != 0 {
                        return Err(self.fault(
                            wi,
                            pc,
                            "misaligned",
                            E_MISALIGNED,
                            q,
                            format!("local read of {n} bytes at {a:#x}"),
                        ));
                    }
                    unsafe { w.local.as_ptr().add(q * ls as usize + a as usize) }
                }
                Space::Param => {
                    if a + n as u64 > self.l.params.len() as u64 {
                        return Err(self.fault(
                            wi,
                            pc,
                            "oob_param",
                            E_ILLEGAL_ADDRESS,
                            q,
                            format!("invalid parameter read at {a:#x}"),
                        ));
                    }
                    unsafe { self.l.params.as_ptr().add(a as usize) }
                }
            };
            if und != 0 || w.any_u {
                if und != 0 {
                    w.any_u = true;
                    w.from = pc;
                }
                for v in 0..m.vec as usize {
                    let b = (und >> (v * sz)) & mask(sz as u32) as u32;
                    let x = &mut w.u[dst[v] as usize];
                    *x = (*x & !(1 << q)) | (((b != 0) as u32) << q);
                }
            }
            for v in 0..m.vec as usize {
                let x = unsafe {
                    let p = p.add(v * sz);
                    match sz {
                        1 => p.read_volatile() as u64,
                        2 => (p as *const u16).read_volatile() as u64,
                        4 => (p as *const u32).read_volatile() as u64,
                        _ => (p as *const u64).read_volatile(),
                    }
                };
                let x = if m.sext { sx(x, sz as u32 * 8) as u64 } else { x };
                w.regs[dst[v] as usize][q] = x & dm;
            }
        }
        if gn > 0 && i.cls != cls::LDP {
            let sec = sectors(&ga[..gn]);
            let b = gn as u64 * n as u64;
            self.st.gld[0] += 1;
            self.st.gld[1] += sec;
            self.st.gld[2] += b;
            self.st.gld[3] += b.div_ceil(32);
            if !self.st.prof.is_empty() {
                self.st.prof[pc as usize][1] += sec;
            }
        }
        if sn > 0 {
            let (wv, least) = wavefronts(&sa[..sn], n);
            self.st.sld[0] += 1;
            self.st.sld[1] += wv;
            self.st.sld[2] += least;
            self.st.sld[3] += sn as u64 * n as u64;
            if !self.st.prof.is_empty() {
                self.st.prof[pc as usize][2] += wv - least;
            }
        }
        count_far(&mut self.st.dld, far, n);
        Ok(())
    }

    fn store(&mut self, wi: usize, pc: u32, i: &Ins, m: &MemOp, em: u32) -> Res<()> {
        let k = self.l.k;
        let w: *mut Warp = &mut self.warps[wi];
        let w = unsafe { &mut *w };
        let base = unsafe { *Self::srcp(w, k, i.a) };
        let n = m.sz as u32 * m.vec as u32;
        let src: [R; 4] = if m.vec == 1 { [i.b, NONE, NONE, NONE] } else { k.vregs[i.b as usize] };
        let mut sp_: [*const [u64; 32]; 4] = [std::ptr::null(); 4];
        for v in 0..m.vec as usize {
            sp_[v] = Self::srcp(w, k, src[v]);
        }
        let (mut ga, mut gn) = ([0u64; 32], 0usize);
        let (mut sa, mut sn) = ([(0u32, 0u8); 32], 0usize);
        let mut far = 0;
        let sz = m.sz as usize;
        let mut left = em;
        while left != 0 {
            let q = left.trailing_zeros() as usize;
            left &= left - 1;
            let mut a = base[q].wrapping_add(m.off as u64);
            let mut sp = m.sp;
            if sp == Space::Generic {
                sp = Space::Global;
                if a >= SH_WIN {
                    if a - SH_WIN < WIN {
                        sp = Space::Shared;
                        a -= SH_WIN;
                    } else if a.wrapping_sub(LOC_WIN) < WIN {
                        sp = Space::Local;
                        a -= LOC_WIN;
                    } else if a.wrapping_sub(PAR_WIN) < WIN {
                        sp = Space::Param;
                        a -= PAR_WIN;
                    }
                }
            }
            let mut buf = [0u8; 16];
            for v in 0..m.vec as usize {
                let x = unsafe { (*sp_[v])[q] };
                buf[v * sz..(v + 1) * sz].copy_from_slice(&x.to_le_bytes()[..sz]);
            }
            let p: *mut u8 = match sp {
                Space::Global | Space::Generic => {
                    let (h, _) = self.global_k(
                        wi,
                        pc,
                        q,
                        a,
                        n,
                        false,
                        true,
                        m.strong,
                        Some(&buf[..n as usize]),
                    )?;
                    ga[gn] = a;
                    gn += 1;
                    h as *mut u8
                }
                Space::Shared | Space::Cluster => {
                    let a = self.near(a);
                    let p = self.shared_at(
                        wi,
                        pc,
                        q,
                        a,
                        n,
                        if m.strong { 4 } else { 1 },
                        Some(&buf[..n as usize]),
                        !0,
                    )?;
                    if a < TAG {
                        sa[sn] = (a as u32, q as u8);
                        sn += 1;
                    } else {
                        far += 1;
                    }
                    p
                }
                Space::Local => {
                    let ls = k.local_size;
                    if a < 16 || a + n as u64 > ls {
                        return Err(self.fault(
                            wi,
                            pc,
                            "oob_local",
                            E_ILLEGAL_ADDRESS,
                            q,
                            format!("invalid local write of {n} bytes at {a:#x} of {ls}"),
                        ));
                    }
                    if a & (n as u64 - 1) != 0 {
                        return Err(self.fault(
                            wi,
                            pc,
                            "misaligned",
                            E_MISALIGNED,
                            q,
                            format!("local write of {n} bytes at {a:#x}"),
                        ));
                    }
                    unsafe { w.local.as_mut_ptr().add(q * ls as usize + a as usize) }
                }
                Space::Const | Space::Param => {
                    return Err(self.fault(
                        wi,
                        pc,
                        "write_const",
                        E_SPACE,
                        q,
                        format!("write to constant or parameter space at {a:#x}"),
                    ));
                }
            };
            if w.any_u {
                for v in 0..m.vec as usize {
                    let r = src[v];
                    if r & CONST == 0 && w.u[r as usize] >> q & 1 == 1 {
                        match sp {
                            Space::Shared | Space::Cluster => {
                                let a = self.near(a) + (v * sz) as u64;
                                for x in self.init_at(a, sz) {
                                    *x &= !1;
                                }
                            }
                            Space::Global | Space::Generic => {
                                self.l.view.forget(a + (v * sz) as u64, sz as u64)
                            }
                            _ => {}
                        }
                    }
                }
            }
            unsafe {
                match n {
                    1 => p.write_volatile(buf[0]),
                    2 => (p as *mut u16)
                        .write_volatile(u16::from_le_bytes(buf[..2].try_into().unwrap())),
                    4 => (p as *mut u32)
                        .write_volatile(u32::from_le_bytes(buf[..4].try_into().unwrap())),
                    8 => (p as *mut u64)
                        .write_volatile(u64::from_le_bytes(buf[..8].try_into().unwrap())),
                    _ => {
                        (p as *mut u64)
                            .write_volatile(u64::from_le_bytes(buf[..8].try_into().unwrap()));
                        (p as *mut u64)
                            .add(1)
                            .write_volatile(u64::from_le_bytes(buf[8..].try_into().unwrap()));
                    }
                }
            }
        }
        if gn > 0 {
            let sec = sectors(&ga[..gn]);
            let b = gn as u64 * n as u64;
            self.st.gst[0] += 1;
            self.st.gst[1] += sec;
            self.st.gst[2] += b;
            self.st.gst[3] += b.div_ceil(32);
            if !self.st.prof.is_empty() {
                self.st.prof[pc as usize][1] += sec;
            }
        }
        if sn > 0 {
            let (wv, least) = wavefronts(&sa[..sn], n);
            self.st.sst[0] += 1;
            self.st.sst[1] += wv;
            self.st.sst[2] += least;
            self.st.sst[3] += sn as u64 * n as u64;
            if !self.st.prof.is_empty() {
                self.st.prof[pc as usize][2] += wv - least;
            }
        }
        count_far(&mut self.st.dst, far, n);
        Ok(())
    }

    fn atom(
        &mut self,
        wi: usize,
        pc: u32,
        i: &Ins,
        op: AOp,
        ty: Ty,
        m: &MemOp,
        em: u32,
    ) -> Res<()> {
        let k = self.l.k;
        let w: *mut Warp = &mut self.warps[wi];
        let w = unsafe { &mut *w };
        let base = unsafe { *Self::srcp(w, k, i.a) };
        let b = unsafe { *Self::srcp(w, k, i.b) };
        let c = if i.c == NONE { [0; 32] } else { unsafe { *Self::srcp(w, k, i.c) } };
        let n = m.sz as u32;
        let (mut ga, mut gn) = ([0u64; 32], 0usize);
        let (mut sa, mut sn) = ([0u32; 32], 0usize);
        let mut far = 0;
        let rot = if self.l.opts.seed != 0 { (rng(&mut self.rng) & 31) as usize } else { 0 };
        for z in 0..32 {
            let q = (z + rot) & 31;
            if em >> q & 1 == 0 {
                continue;
            }
            let mut a = base[q].wrapping_add(m.off as u64);
            let mut sh = matches!(m.sp, Space::Shared | Space::Cluster);
            if m.sp == Space::Generic && a.wrapping_sub(SH_WIN) < WIN {
                sh = true;
                a -= SH_WIN;
            }
            let f = |old: u64| -> u64 { rmw(op, ty, old, b[q], c[q], !sh) };
            let old = if sh {
                a = self.near(a);
                let p = self.shared_at(wi, pc, q, a, n, 2, None, !0)?;
                if a < TAG {
                    sa[sn] = a as u32;
                    sn += 1;
                } else {
                    far += 1;
                }
                unsafe {
                    match n {
                        2 => {
                            let o = *(p as *const u16) as u64;
                            *(p as *mut u16) = f(o) as u16;
                            o
                        }
                        4 => {
                            let o = *(p as *const u32) as u64;
                            *(p as *mut u32) = f(o) as u32;
                            o
                        }
                        _ => {
                            let o = *(p as *const u64);
                            *(p as *mut u64) = f(o);
                            o
                        }
                    }
                }
            } else {
                if m.sp == Space::Generic
                    && (a.wrapping_sub(LOC_WIN) < WIN || a.wrapping_sub(PAR_WIN) < WIN)
                {
                    return Err(self.fault(
                        wi,
                        pc,
                        "atomic_space",
                        E_SPACE,
                        q,
                        "atomic on local or parameter memory".into(),
                    ));
                }
                let (h, un) = self.global_k(wi, pc, q, a, n, true, true, true, None)?;
                if un {
                    self.uninit_global(wi, pc, q, a, n);
                }
                ga[gn] = a;
                gn += 1;
                unsafe {
                    match n {
                        2 => {
                            let r = &*(h as *const AtomicU16);
                            r.fetch_update(SeqCst, SeqCst, |o| Some(f(o as u64) as u16)).unwrap()
                                as u64
                        }
                        4 => {
                            let r = &*(h as *const AtomicU32);
                            r.fetch_update(SeqCst, SeqCst, |o| Some(f(o as u64) as u32)).unwrap()
                                as u64
                        }
                        _ => {
                            let r = &*(h as *const AtomicU64);
                            r.fetch_update(SeqCst, SeqCst, |o| Some(f(o))).unwrap()
                        }
                    }
                }
            };
            if i.d != NONE {
                w.regs[i.d as usize][q] = old;
            }
        }
        if gn > 0 {
            self.st.gat[0] += 1;
            self.st.gat[1] += sectors(&ga[..gn]);
            self.st.gat[2] += gn as u64;
        }
        if sn > 0 {
            self.st.sat[0] += 1;
            self.st.sat[1] += sn as u64;
            // rounds: the most lanes on one word
            let mut v = sa[..sn].to_vec();
            v.sort();
            let (mut best, mut run) = (1, 1);
            for z in 1..sn {
                run = if v[z] >> 2 == v[z - 1] >> 2 { run + 1 } else { 1 };
                best = best.max(run);
            }
            self.st.sat[2] += best;
        }
        count_far(&mut self.st.dat, far, n);
        Ok(())
    }

    // ---- printf ----
    fn byte(&self, wi: usize, pc: u32, q: usize, a: u64) -> Res<u8> {
        if a.wrapping_sub(LOC_WIN) < WIN {
            let o = (a - LOC_WIN) as usize;
            return Ok(self.warps[wi]
                .local
                .get(q * self.l.k.local_size as usize + o)
                .copied()
                .unwrap_or(0));
        }
        if a.wrapping_sub(SH_WIN) < WIN {
            let off = self.near(a).wrapping_sub(SH_BASE) as usize;
            return Ok(self.shared.get(off).copied().unwrap_or(0));
        }
        let (h, _) = self.global(wi, pc, q, a, 1, true, false)?;
        Ok(unsafe { *(h as *const u8) })
    }
    fn cstr(&self, wi: usize, pc: u32, q: usize, mut a: u64) -> Res<String> {
        let mut v = vec![];
        loop {
            let b = self.byte(wi, pc, q, a)?;
            if b == 0 || v.len() > 65536 {
                return Ok(String::from_utf8_lossy(&v).into_owned());
            }
            v.push(b);
            a += 1;
        }
    }
    fn printf(&self, wi: usize, pc: u32, q: usize, fmt: u64, args: u64) -> Res<String> {
        let f = self.cstr(wi, pc, q, fmt)?;
        let mut off = 0u64;
        let mut take = |n: u64| -> Res<u64> {
            off = off.div_ceil(n) * n;
            let mut v = 0;
            for z in 0..n {
                v |= (self.byte(wi, pc, q, args + off + z)? as u64) << (z * 8);
            }
            off += n;
            Ok(v)
        };
        let mut out = String::new();
        let b = f.as_bytes();
        let mut z = 0;
        while z < b.len() {
            if b[z] != b'%' {
                let st = z;
                while z < b.len() && b[z] != b'%' {
                    z += 1;
                }
                out += &f[st..z];
                continue;
            }
            z += 1;
            let mut spec = String::new();
            while z < b.len() && b"-+ #0123456789.".contains(&b[z]) {
                spec.push(b[z] as char);
                z += 1;
            }
            let mut long = 0;
            while z < b.len() && b"lhzjt".contains(&b[z]) {
                if b[z] != b'h' {
                    long += 1;
                }
                z += 1;
            }
            let Some(&c) = b.get(z) else { break };
            z += 1;
            let width: usize = spec
                .trim_start_matches(['-', '+', ' ', '#', '0'])
                .split('.')
                .next()
                .unwrap_or("")
                .parse()
                .unwrap_or(0);
            let prec: Option<usize> = spec.split('.').nth(1).and_then(|s| s.parse().ok());
            let s = match c {
                b'%' => "%".to_string(),
                b'd' | b'i' => {
                    let v = if long > 0 { take(8)? as i64 } else { take(4)? as i32 as i64 };
                    format!("{v}")
                }
                b'u' => format!("{}", if long > 0 { take(8)? } else { take(4)? }),
                b'x' => format!("{:x}", if long > 0 { take(8)? } else { take(4)? }),
                b'X' => format!("{:X}", if long > 0 { take(8)? } else { take(4)? }),
                b'c' => format!("{}", take(4)? as u8 as char),
                b'p' => format!("{:#x}", take(8)?),
                b's' => {
                    let a = take(8)?;
                    self.cstr(wi, pc, q, a)?
                }
                b'f' | b'F' => format!("{:.*}", prec.unwrap_or(6), f64::from_bits(take(8)?)),
                b'e' | b'E' => format!("{:.*e}", prec.unwrap_or(6), f64::from_bits(take(8)?)),
                _ => format!("{}", f64::from_bits(take(8)?)),
            };
            let pad = width.saturating_sub(s.len());
            if spec.starts_with('-') {
                out += &s;
                out += &" ".repeat(pad);
            } else {
                out += &(if spec.starts_with('0') { "0" } else { " " }).repeat(pad);
                out += &s;
            }
        }
        Ok(out)
    }
}

/// Notes what an access finds of its bytes: any never written, any waiting for a cp.async.
fn init_marks(init: &mut [u8], used: u32, wr: bool) -> (u8, u8) {
    let (mut un, mut pend) = (0, 0);
    for (z, x) in init.iter_mut().enumerate() {
        if used >> z & 1 == 1 {
            un |= !*x & 1;
            pend |= *x & 2;
        }
        if wr {
            *x |= 1;
        }
    }
    (un, pend)
}

/// One request, if any of its lanes went to the shared memory of another block.
fn count_far(count: &mut [u64; 3], lanes: u64, bytes: u32) {
    if lanes > 0 {
        count[0] += 1;
        count[1] += lanes;
        count[2] += lanes * bytes as u64;
    }
}

/// Coordinates of a block in its grid, or of a thread in its block, from its number there.
fn coordinates(n: u64, dims: [u32; 3]) -> [u32; 3] {
    let [w, h, _] = dims.map(u64::from);
    [n % w, n / w % h, n / (w * h)].map(|x| x as u32)
}

fn rw(w: bool) -> &'static str {
    if w { "write" } else { "read" }
}

fn plain(m: &FM) -> bool {
    m.rnd == Rnd::Rn && !m.ftz && !m.sat && !m.relu
}

/// distinct 32-byte sectors
pub fn sectors(a: &[u64]) -> u64 {
    let mut list = [0u64; 32];
    let mut n = 0;
    let mut top = 0;
    for &x in a {
        let s = x >> 5;
        if n > 0 && s == list[n - 1] {
            continue;
        }
        if n == 0 || s > top {
            top = s;
        } else if list[..n].contains(&s) {
            continue;
        }
        list[n] = s;
        n += 1;
    }
    n as u64
}

/// (wavefronts, the least there could be) of one shared-memory request.
/// 32 banks of 4 bytes; 8-byte accesses go by half warps, 16-byte ones by quarters.
pub fn wavefronts(a: &[(u32, u8)], n: u32) -> (u64, u64) {
    let group = if n <= 4 {
        32
    } else if n == 8 {
        16
    } else {
        8
    };
    let words = (n / 4).max(1);
    let (mut total, mut least) = (0, 0);
    let mut z = 0;
    while z < a.len() {
        let part = a[z].1 as u32 / group;
        let st = z;
        while z < a.len() && a[z].1 as u32 / group == part {
            z += 1;
        }
        let mut first = [u32::MAX; 32];
        let mut clash = false;
        for &(x, _) in &a[st..z] {
            for t in 0..words {
                let wd = (x >> 2) + t;
                let b = (wd & 31) as usize;
                if first[b] == u32::MAX {
                    first[b] = wd;
                } else if first[b] != wd {
                    clash = true;
                }
            }
        }
        let mut wv = 1;
        if clash {
            let mut v: Vec<u32> = vec![];
            for &(x, _) in &a[st..z] {
                for t in 0..words {
                    v.push((x >> 2) + t);
                }
            }
            v.sort();
            v.dedup();
            let mut cnt = [0u64; 32];
            for x in v {
                cnt[(x & 31) as usize] += 1;
            }
            wv = *cnt.iter().max().unwrap();
        }
        total += wv;
        least += 1;
    }
    (total, least)
}

fn boolop(b: BoolOp, p: u32, c: u32) -> u32 {
    match b {
        BoolOp::And => p & c,
        BoolOp::Or => p | c,
        BoolOp::Xor => p ^ c,
        BoolOp::None => p,
    }
}

#[inline(always)]
fn fcmp(c: Cmp, a: f64, b: f64) -> bool {
    let un = a.is_nan() || b.is_nan();
    match c {
        Cmp::Eq => a == b,
        Cmp::Ne => a != b && !un,
        Cmp::Lt => a < b,
        Cmp::Le => a <= b,
        Cmp::Gt => a > b,
        Cmp::Ge => a >= b,
        Cmp::Equ => a == b || un,
        Cmp::Neu => a != b || un,
        Cmp::Ltu => a < b || un,
        Cmp::Leu => a <= b || un,
        Cmp::Gtu => a > b || un,
        Cmp::Geu => a >= b || un,
        Cmp::Num => !un,
        Cmp::Nan => un,
    }
}

fn compare16(c: Cmp, ty: Ty, a: &[u64; 32], b: &[u64; 32], sh: u32) -> u32 {
    let mut p = 0;
    for q in 0..32 {
        let (x, y) = ((a[q] >> sh) as u16, (b[q] >> sh) as u16);
        let r = if matches!(ty, Ty::F16 | Ty::F16x2) {
            fcmp(c, fp::h2d(x), fp::h2d(y))
        } else {
            fcmp(c, fp::b2d(x), fp::b2d(y))
        };
        p |= (r as u32) << q;
    }
    p
}

fn compare(c: Cmp, ty: Ty, ftz: bool, a: &[u64; 32], b: &[u64; 32]) -> u32 {
    let mut p = 0u32;
    match ty {
        Ty::F32 => {
            for q in 0..32 {
                let (mut x, mut y) = (fp::f(a[q]), fp::f(b[q]));
                if ftz {
                    x = fp::ftz(x);
                    y = fp::ftz(y);
                }
                p |= (fcmp(c, x as f64, y as f64) as u32) << q;
            }
        }
        Ty::F64 => {
            for q in 0..32 {
                p |= (fcmp(c, fp::d(a[q]), fp::d(b[q])) as u32) << q;
            }
        }
        Ty::F16 | Ty::BF16 => return compare16(c, ty, a, b, 0),
        Ty::F16x2 | Ty::BF16x2 => return 0,
        _ => {
            let sh = 64 - ty.bits();
            // lo/ls/hi/hs were folded into lt/le/gt/ge, and nvcc gives them an unsigned type
            macro_rules! go {
                ($t:ty, $o:tt) => {
                    for q in 0..32 {
                        p |= ((((a[q] << sh) as $t) $o ((b[q] << sh) as $t)) as u32) << q;
                    }
                };
            }
            match (c, ty.signed()) {
                (Cmp::Eq | Cmp::Equ, _) => go!(u64, ==),
                (Cmp::Ne | Cmp::Neu, _) => go!(u64, !=),
                (Cmp::Lt, true) => go!(i64, <),
                (Cmp::Le, true) => go!(i64, <=),
                (Cmp::Gt, true) => go!(i64, >),
                (Cmp::Ge, true) => go!(i64, >=),
                (Cmp::Lt, false) => go!(u64, <),
                (Cmp::Le, false) => go!(u64, <=),
                (Cmp::Gt, false) => go!(u64, >),
                (Cmp::Ge, false) => go!(u64, >=),
                _ => {}
            }
        }
    }
    p
}

/// what: 0 add 1 sub 2 mul 3 fma 4 div 5 sqrt 6 min 7 max
fn farith(m: &FM, what: u8, a: u64, b: u64, c: u64) -> u64 {
    match m.ty {
        Ty::F32 => {
            let z = |x: u64| if m.ftz { fp::ftz(fp::f(x)) } else { fp::f(x) };
            let (a, b, c) = (z(a), z(b), z(c));
            let mut r = if what >= 6 {
                let v = if what == 6 {
                    fp::fmin_bits::<false>(a as f64, b as f64, m.nan)
                } else {
                    fp::fmin_bits::<true>(a as f64, b as f64, m.nan)
                };
                v as f32
            } else if m.rnd == Rnd::Rn {
                match what {
                    0 => a + b,
                    1 => a - b,
                    2 => a * b,
                    3 => a.mul_add(b, c),
                    4 => a / b,
                    _ => a.sqrt(),
                }
            } else {
                let (x, y, w) = (a as f64, b as f64, c as f64);
                let v = match what {
                    0 => fp::add_odd(x, y),
                    1 => fp::add_odd(x, -y),
                    2 => x * y,
                    3 => fp::fma_odd(x, y, w),
                    4 => fp::div_odd(x, y),
                    _ => fp::sqrt_odd(x),
                };
                // an exact zero sum is -0 when rounding down
                if v == 0.0 && m.rnd == Rnd::Rm && matches!(what, 0 | 1 | 3) {
                    let exact = match what {
                        0 => (x, y),
                        1 => (x, -y),
                        _ => (x * y, w),
                    };
                    if exact.0 == 0.0
                        && exact.1 == 0.0
                        && exact.0.is_sign_positive()
                        && exact.1.is_sign_positive()
                    {
                        0.0
                    } else {
                        -0.0
                    }
                } else {
                    f32::from_bits(fp::pack(v, 8, 23, m.rnd))
                }
            };
            if m.sat {
                r = if r.is_nan() { 0.0 } else { r.clamp(0.0, 1.0) };
                if r == 0.0 {
                    r = 0.0;
                }
            }
            if m.ftz {
                r = fp::ftz(r);
            }
            fp::cf(r)
        }
        Ty::F64 => {
            let (a, b, c) = (fp::d(a), fp::d(b), fp::d(c));
            let r = if what >= 6 {
                if what == 6 {
                    fp::fmin_bits::<false>(a, b, m.nan)
                } else {
                    fp::fmin_bits::<true>(a, b, m.nan)
                }
            } else if m.rnd == Rnd::Rn {
                match what {
                    0 => a + b,
                    1 => a - b,
                    2 => a * b,
                    3 => a.mul_add(b, c),
                    4 => a / b,
                    _ => a.sqrt(),
                }
            } else {
                match what {
                    0 => fp::dir::add(a, b, m.rnd),
                    1 => fp::dir::add(a, -b, m.rnd),
                    2 => fp::dir::mul(a, b, m.rnd),
                    3 => fp::dir::fma(a, b, c, m.rnd),
                    4 => fp::dir::div(a, b, m.rnd),
                    _ => fp::dir::sqrt(a, m.rnd),
                }
            };
            r.to_bits()
        }
        Ty::F16 | Ty::BF16 => half(m, what, a as u16, b as u16, c as u16) as u64,
        Ty::F16x2 | Ty::BF16x2 => {
            let lo = half(m, what, a as u16, b as u16, c as u16) as u64;
            let hi = half(m, what, (a >> 16) as u16, (b >> 16) as u16, (c >> 16) as u16) as u64;
            lo | hi << 16
        }
        _ => 0,
    }
}

fn half(m: &FM, what: u8, a: u16, b: u16, c: u16) -> u16 {
    let h = matches!(m.ty, Ty::F16 | Ty::F16x2);
    let (eb, mb) = if h { (5, 10) } else { (8, 7) };
    let up = |x: u16| {
        let v = if h { fp::h2d(x) } else { fp::b2d(x) };
        if m.ftz && h && v != 0.0 && v.abs() < 2f64.powi(-14) { 0.0f64.copysign(v) } else { v }
    };
    let (x, y, z) = (up(a), up(b), up(c));
    let mut v = match what {
        0 => fp::add_odd(x, y),
        1 => fp::add_odd(x, -y),
        2 => x * y,
        3 => fp::fma_odd(x, y, z),
        4 => fp::div_odd(x, y),
        5 => fp::sqrt_odd(x),
        6 => fp::fmin_bits::<false>(x, y, m.nan),
        _ => fp::fmin_bits::<true>(x, y, m.nan),
    };
    if m.sat {
        v = if v.is_nan() { 0.0 } else { v.clamp(0.0, 1.0) };
    }
    if m.relu && !v.is_nan() && !(v > 0.0) {
        v = 0.0;
    }
    let mut r = fp::pack(v, eb, mb, Rnd::Rn) as u16;
    if m.ftz && h && r & 0x7c00 == 0 {
        r &= 0x8000;
    }
    r
}

fn sfu(f: Sfu, m: &FM, a: u64) -> u64 {
    if m.ty == Ty::F64 {
        let v = fp::d(a);
        return match f {
            Sfu::Rcp => 1.0 / v,
            Sfu::Rsqrt => 1.0 / v.sqrt(),
            _ => f64::NAN,
        }
        .to_bits();
    }
    let half = matches!(m.ty, Ty::F16 | Ty::BF16 | Ty::F16x2 | Ty::BF16x2);
    let one = |x: f64| -> f64 {
        match f {
            Sfu::Rcp => 1.0 / x,
            Sfu::Rsqrt => 1.0 / x.sqrt(),
            Sfu::Sin => x.sin(),
            Sfu::Cos => x.cos(),
            Sfu::Lg2 => x.log2(),
            Sfu::Ex2 => x.exp2(),
            Sfu::Tanh => x.tanh(),
        }
    };
    if half {
        let h = matches!(m.ty, Ty::F16 | Ty::F16x2);
        let p = |x: u16| if h { fp::d2h(one(fp::h2d(x))) } else { fp::d2b(one(fp::b2d(x))) } as u64;
        return if matches!(m.ty, Ty::F16 | Ty::BF16) {
            p(a as u16)
        } else {
            p(a as u16) | p((a >> 16) as u16) << 16
        };
    }
    let x = if m.ftz { fp::ftz(fp::f(a)) } else { fp::f(a) };
    let r = one(x as f64) as f32;
    fp::cf(if m.ftz { fp::ftz(r) } else { r })
}

fn cvt(d: Ty, s: Ty, rnd: Rnd, int: bool, ftz: bool, sat: bool, relu: bool, a: u64) -> u64 {
    // to a value
    if s.float() {
        let mut v = match s {
            Ty::F16 => fp::h2d(a as u16),
            Ty::BF16 => fp::b2d(a as u16),
            Ty::F32 => (if ftz { fp::ftz(fp::f(a)) } else { fp::f(a) }) as f64,
            _ => fp::d(a),
        };
        if !d.float() {
            let db = d.bits();
            if v.is_nan() {
                return if s == Ty::F64 || db == 64 { 1u64 << (db - 1) } else { 0 };
            }
            v = fp::rint(v, rnd);
            if d.signed() {
                let r = v as i128;
                let lim = 1i128 << (db - 1);
                // wide registers hold the sign-extended value
                return r.clamp(-lim, lim - 1) as i64 as u64;
            }
            let r = v as i128;
            return r.clamp(0, (1i128 << db) - 1) as u64;
        }
        if int {
            let r = fp::rint(v, rnd);
            v = if r == 0.0 { 0.0f64.copysign(v) } else { r };
        }
        if sat {
            v = if v.is_nan() {
                0.0
            } else if v <= 0.0 {
                0.0
            } else {
                v.min(1.0)
            };
        }
        if relu && !v.is_nan() && !(v > 0.0) {
            v = 0.0;
        }
        let rr = if int { Rnd::Rn } else { rnd };
        return match d {
            Ty::F64 => {
                if v.is_nan() && s == Ty::F64 {
                    a
                } else {
                    v.to_bits()
                }
            }
            Ty::F32 => {
                let r = f32::from_bits(fp::pack(v, 8, 23, rr));
                fp::cf(if ftz { fp::ftz(r) } else { r })
            }
            Ty::F16 => fp::pack(v, 5, 10, rr) as u64,
            _ => fp::pack(v, 8, 7, rr) as u64,
        };
    }
    // integer to float
    let v: i128 = if s.signed() { sx(a, s.bits()) as i128 } else { (a & s.mask()) as i128 };
    let neg = v < 0;
    let u = v.unsigned_abs();
    // round the magnitude to odd in 53 bits, then pack
    let f = if u < 1 << 53 {
        u as f64
    } else {
        let sh = 128 - u.leading_zeros() - 53;
        let mut q = (u >> sh) as u64;
        if u & ((1u128 << sh) - 1) != 0 {
            q |= 1;
        }
        q as f64 * 2f64.powi(sh as i32)
    };
    let f = if neg { -f } else { f };
    match d {
        Ty::F64 => {
            // up to 64 bits into 53: round here
            if u < 1 << 53 {
                f.to_bits()
            } else {
                let sh = 128 - u.leading_zeros() - 53;
                let q = (u >> sh) as u64;
                let rem = u & ((1u128 << sh) - 1);
                let half = 1u128 << (sh - 1);
                let up = match rnd {
                    Rnd::Rn => rem > half || (rem == half && q & 1 == 1),
                    Rnd::Rna => rem >= half,
                    Rnd::Rz => false,
                    Rnd::Rm => rem != 0 && neg,
                    Rnd::Rp => rem != 0 && !neg,
                };
                let r = (q + up as u64) as f64 * 2f64.powi(sh as i32);
                (if neg { -r } else { r }).to_bits()
            }
        }
        Ty::F32 => fp::pack(f, 8, 23, rnd) as u64,
        Ty::F16 => fp::pack(f, 5, 10, rnd) as u64,
        _ => fp::pack(f, 8, 7, rnd) as u64,
    }
}

fn rmw(op: AOp, ty: Ty, old: u64, b: u64, c: u64, global: bool) -> u64 {
    let m = ty.mask();
    match op {
        AOp::Add => match ty {
            Ty::F32 => {
                let z = |x: f32| if global { fp::ftz(x) } else { x };
                fp::cf(z(z(fp::f(old)) + z(fp::f(b))))
            }
            Ty::F64 => (fp::d(old) + fp::d(b)).to_bits(),
            Ty::F16 | Ty::F16x2 | Ty::BF16 | Ty::BF16x2 => farith(
                &FM { ty, rnd: Rnd::Rn, ftz: false, sat: false, relu: false, nan: false },
                0,
                old,
                b,
                0,
            ),
            _ => old.wrapping_add(b) & m,
        },
        AOp::Min | AOp::Max => {
            let less = if ty.signed() { sx(old, ty.bits()) < sx(b, ty.bits()) } else { old < b };
            if less == (op == AOp::Min) { old } else { b }
        }
        AOp::And => old & b,
        AOp::Or => old | b,
        AOp::Xor => old ^ b,
        AOp::Exch => b & m,
        AOp::Cas => {
            if old == b & m {
                c & m
            } else {
                old
            }
        }
        AOp::Inc => {
            if old >= b {
                0
            } else {
                old + 1
            }
        }
        AOp::Dec => {
            if old == 0 || old > b {
                b
            } else {
                old - 1
            }
        }
    }
}
