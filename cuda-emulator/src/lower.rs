//! Syntax tree -> flat code for one kernel: calls inlined, registers numbered,
//! immediates pooled, blocks ranked so that the lowest rank runs first.

use crate::fp::Rnd;
use crate::parse::{ClusterDecl, Func, Module, Opnd, PInst, Sp, Stmt, Var};
use std::collections::HashMap;

pub type R = u32;
pub const CONST: u32 = 1 << 31;
pub const NONE: u32 = u32::MAX;
pub const SH_BASE: u64 = 1024;
pub const SH_WIN: u64 = 0x5000_0000_0000_0000;
pub const LOC_WIN: u64 = 0x6000_0000_0000_0000;
pub const PAR_WIN: u64 = 0x7000_0000_0000_0000;
pub const WIN: u64 = 1 << 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ty {
    B8,
    B16,
    B32,
    B64,
    B128,
    U8,
    U16,
    U32,
    U64,
    S8,
    S16,
    S32,
    S64,
    F16,
    F16x2,
    BF16,
    BF16x2,
    F32,
    F64,
    Pred,
}
use Ty::*;
impl Ty {
    pub fn parse(s: &str) -> Option<Ty> {
        Some(match s {
            "b8" => B8,
            "b16" => B16,
            "b32" => B32,
            "b64" => B64,
            "b128" => B128,
            "u8" => U8,
            "u16" => U16,
            "u32" => U32,
            "u64" => U64,
            "s8" => S8,
            "s16" => S16,
            "s32" => S32,
            "s64" => S64,
            "f16" => F16,
            "f16x2" => F16x2,
            "bf16" => BF16,
            "bf16x2" => BF16x2,
            "f32" | "tf32" => F32,
            "f64" => F64,
            "pred" => Pred,
            _ => return None,
        })
    }
    pub fn bits(self) -> u32 {
        match self {
            B8 | U8 | S8 => 8,
            B16 | U16 | S16 | F16 | BF16 => 16,
            B32 | U32 | S32 | F32 | F16x2 | BF16x2 => 32,
            B64 | U64 | S64 | F64 => 64,
            B128 => 128,
            Pred => 1,
        }
    }
    pub fn signed(self) -> bool {
        matches!(self, S8 | S16 | S32 | S64)
    }
    pub fn float(self) -> bool {
        matches!(self, F16 | F16x2 | BF16 | BF16x2 | F32 | F64)
    }
    pub fn mask(self) -> u64 {
        mask(self.bits())
    }
}
pub fn mask(b: u32) -> u64 {
    if b >= 64 { u64::MAX } else { (1u64 << b) - 1 }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cmp {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    Equ,
    Neu,
    Ltu,
    Leu,
    Gtu,
    Geu,
    Num,
    Nan,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoolOp {
    None,
    And,
    Or,
    Xor,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AOp {
    Add,
    Min,
    Max,
    And,
    Or,
    Xor,
    Exch,
    Cas,
    Inc,
    Dec,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    Generic,
    Global,
    Const,
    Shared,
    /// shared memory of any block of the cluster
    Cluster,
    Local,
    Param,
}
#[derive(Clone, Copy, Debug)]
pub struct MemOp {
    pub sp: Space,
    /// bytes of one element
    pub sz: u8,
    pub vec: u8,
    pub sext: bool,
    /// width of the destination register
    pub dw: u8,
    pub off: i64,
    pub strong: bool,
    pub nc: bool,
    pub used: u32,
}
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FM {
    pub ty: Ty,
    pub rnd: Rnd,
    pub ftz: bool,
    pub sat: bool,
    pub relu: bool,
    pub nan: bool,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shm {
    Up,
    Down,
    Bfly,
    Idx,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarK {
    Sync,
    Arrive,
    RedPopc,
    RedAnd,
    RedOr,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sfu {
    Rcp,
    Rsqrt,
    Sin,
    Cos,
    Lg2,
    Ex2,
    Tanh,
}

#[derive(Clone, Copy, Debug)]
pub enum Op {
    Nop,
    Bra(u32),
    Brx(u32),
    Exit,
    Trap,
    Mov,
    Pack {
        n: u8,
        w: u8,
    },
    Unpack {
        n: u8,
        w: u8,
    },
    Add(Ty),
    Sub(Ty),
    MulLo(Ty),
    MulHi(Ty),
    MulWide(Ty),
    MadLo(Ty),
    MadHi(Ty),
    MadWide(Ty),
    Mul24(bool, bool),
    AddC {
        ty: Ty,
        cin: bool,
        cout: bool,
    },
    SubC {
        ty: Ty,
        cin: bool,
        cout: bool,
    },
    MadC {
        ty: Ty,
        hi: bool,
        cin: bool,
        cout: bool,
    },
    AddSat,
    SubSat,
    Sad(Ty),
    Div(Ty),
    Rem(Ty),
    Abs(Ty),
    Neg(Ty),
    Min(Ty),
    Max(Ty),
    /// Of each half of 32 bits by itself.
    Min2(Ty),
    Max2(Ty),
    FAdd(FM),
    FSub(FM),
    FMul(FM),
    FFma(FM),
    FDiv(FM),
    FSqrt(FM),
    FMin(FM),
    FMax(FM),
    FAbs(FM),
    FNeg(FM),
    Sfu(Sfu, FM),
    Testp(u8, Ty),
    Copysign(Ty),
    And,
    Or,
    Xor,
    Not(Ty),
    Cnot(Ty),
    Lop3(u8),
    Shl(Ty),
    Shr(Ty),
    Shf {
        left: bool,
        clamp: bool,
    },
    Prmt(u8),
    Bfe(Ty),
    Bfi(Ty),
    Bmsk(bool),
    Szext {
        s: bool,
        clamp: bool,
    },
    Brev(Ty),
    Clz(Ty),
    Popc(Ty),
    Fns,
    Bfind {
        ty: Ty,
        amt: bool,
    },
    Dp4a {
        as_: bool,
        bs: bool,
    },
    Dp2a {
        as_: bool,
        bs: bool,
        hi: bool,
    },
    Setp {
        cmp: Cmp,
        ty: Ty,
        bop: BoolOp,
        ftz: bool,
    },
    Set {
        cmp: Cmp,
        ty: Ty,
        dty: Ty,
        bop: BoolOp,
        ftz: bool,
    },
    Selp,
    Slct {
        ty: Ty,
        f: bool,
    },
    PAnd,
    POr,
    PXor,
    PNot,
    PMov,
    PSet(bool),
    Cvt {
        d: Ty,
        s: Ty,
        rnd: Rnd,
        int: bool,
        ftz: bool,
        sat: bool,
        relu: bool,
        dw: u8,
    },
    CvtX2 {
        d: Ty,
        rnd: Rnd,
        relu: bool,
        satf: bool,
    },
    ToGen(Space),
    FromGen(Space),
    IsSp(Space),
    Ld(MemOp),
    St(MemOp),
    Atom {
        op: AOp,
        ty: Ty,
        m: MemOp,
    },
    Shfl(Shm),
    Vote(u8),
    Match {
        all: bool,
        w: u8,
    },
    Redux(AOp, Ty),
    Elect,
    ActiveMask,
    BarWarp,
    Bar {
        k: BarK,
        aligned: bool,
    },
    ClusterArrive {
        aligned: bool,
        release: bool,
    },
    ClusterWait {
        aligned: bool,
    },
    /// the address that a shared variable has in another block of the cluster
    Mapa {
        generic: bool,
    },
    /// the rank of the block that a shared address belongs to
    CtaRank {
        generic: bool,
    },
    CpAsync {
        sz: u8,
        oa: i64,
        ob: i64,
    },
    CpCommit,
    CpWait(u32),
    /// of the scope of a cluster or a wider one, or of a block
    Fence {
        cluster: bool,
    },
    Clock(bool),
    Vprintf {
        fmt: u32,
        args: u32,
        ret: u32,
    },
    Assert {
        msg: u32,
        file: u32,
        line: u32,
    },
}

#[derive(Clone, Copy, Debug)]
pub struct Ins {
    pub op: Op,
    /// -1 none, else predicate number; bit 16: negated
    pub guard: i32,
    pub d: R,
    pub a: R,
    pub b: R,
    pub c: R,
    pub e: R,
    pub cls: u8,
    pub src: u32,
}

pub const CLS: &[&str] = &[
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
pub mod cls {
    pub const INT: u8 = 0;
    pub const FP32: u8 = 1;
    pub const FP64: u8 = 2;
    pub const FP16: u8 = 3;
    pub const CVT: u8 = 4;
    pub const MOV: u8 = 5;
    pub const PRED: u8 = 6;
    pub const LDG: u8 = 7;
    pub const STG: u8 = 8;
    pub const LDS: u8 = 9;
    pub const STS: u8 = 10;
    pub const LDL: u8 = 11;
    pub const STL: u8 = 12;
    pub const LDP: u8 = 13;
    pub const ATG: u8 = 14;
    pub const ATS: u8 = 15;
    pub const SHFL: u8 = 16;
    pub const VOTE: u8 = 17;
    pub const BAR: u8 = 18;
    pub const BRA: u8 = 19;
    pub const SFU: u8 = 20;
    pub const FENCE: u8 = 21;
    pub const ASYNC: u8 = 22;
    pub const OTHER: u8 = 23;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Special {
    Tid(u8),
    Ntid(u8),
    Ctaid(u8),
    Nctaid(u8),
    Lane,
    WarpId,
    NWarp,
    SmId,
    NSm,
    GridId,
    MaskEq,
    MaskLt,
    MaskLe,
    MaskGt,
    MaskGe,
    DynSmem,
    TotSmem,
    DynBase,
    Zero,
    ClusterId(u8),
    NClusterId(u8),
    ClusterCtaid(u8),
    ClusterNctaid(u8),
    ClusterRank,
    ClusterSize,
    ExplicitCluster,
    Env(u8),
}

pub struct Kernel {
    pub name: String,
    pub code: Vec<Ins>,
    pub prio: Vec<u32>,
    pub consts: Vec<[u64; 32]>,
    pub nregs: usize,
    pub npreds: usize,
    pub specials: Vec<(Special, R)>,
    pub vregs: Vec<[R; 4]>,
    pub tables: Vec<Vec<u32>>,
    pub local_size: u64,
    pub static_shared: u64,
    pub dyn_align: u64,
    pub uses_dyn: bool,
    pub params: Vec<(u64, u64)>,
    pub param_size: u64,
    /// PTX line, file number, source line
    pub dbg: Vec<(u32, u32, u32)>,
    pub files: HashMap<u32, String>,
    pub maxntid: [u32; 3],
    pub reqntid: bool,
    pub cluster: ClusterDecl,
    /// has instructions that need to know the block's cluster
    pub uses_cluster: bool,
    /// has atomics that acquire or release
    pub ordering_atomics: bool,
}

#[derive(Clone, Debug)]
enum Bind {
    Reg(R, u32),
    Pred(u32),
    Shared(u64),
    DynShared,
    Local(u64),
    PKernel(u64),
    PPriv(u64),
}

type Scope = HashMap<String, Bind>;

struct Lower<'a> {
    m: &'a Module,
    funcs: HashMap<&'a str, &'a Func>,
    globals: &'a HashMap<String, u64>,
    k: Kernel,
    cpool: HashMap<u64, R>,
    specials: HashMap<Special, R>,
    scopes: Vec<Scope>,
    labels: Vec<Option<u32>>,
    label_of: Vec<HashMap<(usize, String), usize>>,
    parents: Vec<Vec<usize>>,
    scope_id: Vec<Vec<usize>>,
    targets: Vec<HashMap<String, Vec<String>>>,
    ret_label: Vec<Option<usize>>,
    stack: Vec<String>,
    shared: HashMap<String, u64>,
    local: HashMap<(String, String), u64>,
    cur: (u32, u32, u32),
    cur_src: u32,
}

type Res<T> = Result<T, String>;

fn align_up(v: u64, a: u64) -> u64 {
    v.div_ceil(a) * a
}

pub fn lower(m: &Module, f: &Func, globals: &HashMap<String, u64>) -> Res<Kernel> {
    let mut lw = Lower {
        m,
        funcs: HashMap::new(),
        globals,
        k: Kernel {
            name: f.name.clone(),
            code: vec![],
            prio: vec![],
            consts: vec![],
            nregs: 0,
            npreds: 0,
            specials: vec![],
            vregs: vec![],
            tables: vec![],
            local_size: 16,
            static_shared: 0,
            dyn_align: 16,
            uses_dyn: false,
            params: vec![],
            param_size: 0,
            dbg: vec![],
            files: m.files.iter().cloned().collect(),
            maxntid: f.maxntid,
            reqntid: f.reqntid,
            cluster: f.cluster,
            uses_cluster: false,
            ordering_atomics: false,
        },
        cpool: HashMap::new(),
        specials: HashMap::new(),
        scopes: vec![HashMap::new()],
        labels: vec![],
        label_of: vec![],
        parents: vec![],
        scope_id: vec![],
        targets: vec![],
        ret_label: vec![],
        stack: vec![],
        shared: HashMap::new(),
        local: HashMap::new(),
        cur: (0, 0, 0),
        cur_src: 0,
    };
    for x in &m.funcs {
        if x.body.is_some() || !lw.funcs.contains_key(x.name.as_str()) {
            lw.funcs.insert(&x.name, x);
        }
    }
    let mut off = 0;
    let mut top = HashMap::new();
    for p in &f.params {
        off = align_up(off, p.align.max(1));
        top.insert(p.name.clone(), Bind::PKernel(off));
        lw.k.params.push((off, p.size));
        off += p.size;
    }
    lw.k.param_size = off;
    // a kernel has of the module's shared variables those that it names, where it names them
    lw.func(f, top)?;
    lw.emit(Op::Exit, cls::BRA);
    lw.finish()?;
    Ok(lw.k)
}

impl<'a> Lower<'a> {
    fn shared_var(&mut self, v: &Var) -> Bind {
        if v.size == 0 {
            self.k.dyn_align = self.k.dyn_align.max(v.align);
            return Bind::DynShared;
        }
        if let Some(&o) = self.shared.get(&v.name) {
            return Bind::Shared(o);
        }
        let o = align_up(self.k.static_shared, v.align.max(1));
        self.k.static_shared = o + v.size;
        self.shared.insert(v.name.clone(), o);
        Bind::Shared(o)
    }
    fn local_alloc(&mut self, size: u64, align: u64) -> u64 {
        let o = align_up(self.k.local_size, align.max(8));
        self.k.local_size = o + size;
        o
    }
    fn new_reg(&mut self) -> R {
        self.k.nregs += 1;
        (self.k.nregs - 1) as R
    }
    fn new_label(&mut self) -> usize {
        self.labels.push(None);
        self.labels.len() - 1
    }
    fn ins(&mut self, op: Op, cls: u8) -> Ins {
        Ins { op, guard: -1, d: NONE, a: NONE, b: NONE, c: NONE, e: NONE, cls, src: self.cur_src }
    }
    fn emit(&mut self, op: Op, cls: u8) {
        let i = self.ins(op, cls);
        self.k.code.push(i);
    }
    fn konst(&mut self, v: u64) -> R {
        if let Some(&r) = self.cpool.get(&v) {
            return r;
        }
        let r = CONST | self.k.consts.len() as u32;
        self.k.consts.push([v; 32]);
        self.cpool.insert(v, r);
        r
    }
    fn err<T>(&self, p: &PInst, m: &str) -> Res<T> {
        Err(format!("PTX line {}: {}.{}: {}", p.line, p.op, p.mods.join("."), m))
    }
    fn find(&self, n: &str) -> Option<Bind> {
        for s in self.scopes.iter().rev() {
            if let Some(b) = s.get(n) {
                return Some(b.clone());
            }
        }
        None
    }

    fn func(&mut self, f: &'a Func, top: Scope) -> Res<()> {
        if self.stack.contains(&f.name) {
            return Err(format!("recursive call of {} is not supported", f.name));
        }
        if self.k.code.len() > 4_000_000 {
            return Err("code too large after inlining".into());
        }
        let body =
            f.body.as_ref().ok_or_else(|| format!("unresolved extern function {}", f.name))?;
        self.stack.push(f.name.clone());
        // labels by brace scope
        let mut lab = HashMap::new();
        let mut parents = vec![0usize];
        let mut cur = vec![0usize];
        let mut tg = HashMap::new();
        for s in body {
            match s {
                Stmt::Open => {
                    parents.push(*cur.last().unwrap());
                    cur.push(parents.len() - 1);
                }
                Stmt::Close => {
                    cur.pop();
                }
                Stmt::Label(n) => {
                    let l = self.new_label();
                    lab.insert((*cur.last().unwrap(), n.clone()), l);
                }
                Stmt::Targets(n, v) => {
                    tg.insert(n.clone(), v.clone());
                }
                _ => {}
            }
        }
        self.label_of.push(lab);
        self.parents.push(parents);
        self.scope_id.push(vec![0]);
        self.targets.push(tg);
        let end = self.new_label();
        self.ret_label.push(if f.entry { None } else { Some(end) });
        let saved = std::mem::replace(&mut self.scopes, vec![top]);
        let mut nscope = 0;
        for s in body {
            match s {
                Stmt::Open => {
                    nscope += 1;
                    self.scope_id.last_mut().unwrap().push(nscope);
                    self.scopes.push(HashMap::new());
                }
                Stmt::Close => {
                    self.scope_id.last_mut().unwrap().pop();
                    self.scopes.pop();
                }
                Stmt::Label(n) => {
                    let sid = *self.scope_id.last().unwrap().last().unwrap();
                    let l = self.label_of.last().unwrap()[&(sid, n.clone())];
                    self.labels[l] = Some(self.k.code.len() as u32);
                }
                Stmt::Targets(..) => {}
                Stmt::Reg { ty, names } => {
                    let t = Ty::parse(ty).ok_or(format!("register type .{ty}"))?;
                    for (n, c) in names {
                        let list: Vec<String> = match c {
                            None => vec![n.clone()],
                            Some(c) => (0..*c).map(|i| format!("{n}{i}")).collect(),
                        };
                        for x in list {
                            let b = if t == Pred {
                                self.k.npreds += 1;
                                Bind::Pred(self.k.npreds as u32 - 1)
                            } else {
                                Bind::Reg(self.new_reg(), t.bits())
                            };
                            self.scopes.last_mut().unwrap().insert(x, b);
                        }
                    }
                }
                Stmt::Var(v) => {
                    let b = match v.space {
                        Sp::Shared => self.shared_var(v),
                        Sp::Local => {
                            let key = (f.name.clone(), v.name.clone());
                            let o = match self.local.get(&key) {
                                Some(&o) => o,
                                None => {
                                    let o = self.local_alloc(v.size, v.align);
                                    self.local.insert(key, o);
                                    o
                                }
                            };
                            Bind::Local(o)
                        }
                        Sp::Param => Bind::PPriv(self.local_alloc(v.size, v.align)),
                        _ => {
                            return Err(format!(
                                "{}: .global/.const variable inside a function",
                                v.name
                            ));
                        }
                    };
                    self.scopes.last_mut().unwrap().insert(v.name.clone(), b);
                }
                Stmt::Inst(p) => self.inst(p)?,
            }
        }
        self.scopes = saved;
        self.labels[end] = Some(self.k.code.len() as u32);
        self.label_of.pop();
        self.parents.pop();
        self.scope_id.pop();
        self.targets.pop();
        self.ret_label.pop();
        self.stack.pop();
        Ok(())
    }

    fn special(&mut self, n: &str) -> Option<R> {
        let ax = |s: &str| match s.as_bytes().last() {
            Some(b'x') => 0u8,
            Some(b'y') => 1,
            Some(b'z') => 2,
            _ => 3,
        };
        let s = match n {
            _ if n.starts_with("%tid.") => Special::Tid(ax(n)),
            _ if n.starts_with("%ntid.") => Special::Ntid(ax(n)),
            _ if n.starts_with("%ctaid.") => Special::Ctaid(ax(n)),
            _ if n.starts_with("%nctaid.") => Special::Nctaid(ax(n)),
            _ if n.starts_with("%clusterid.") => Special::ClusterId(ax(n)),
            _ if n.starts_with("%nclusterid.") => Special::NClusterId(ax(n)),
            _ if n.starts_with("%cluster_ctaid.") => Special::ClusterCtaid(ax(n)),
            _ if n.starts_with("%cluster_nctaid.") => Special::ClusterNctaid(ax(n)),
            "%cluster_ctarank" => Special::ClusterRank,
            "%cluster_nctarank" => Special::ClusterSize,
            "%laneid" => Special::Lane,
            "%warpid" => Special::WarpId,
            "%nwarpid" => Special::NWarp,
            "%smid" => Special::SmId,
            "%nsmid" => Special::NSm,
            "%gridid" => Special::GridId,
            "%lanemask_eq" => Special::MaskEq,
            "%lanemask_lt" => Special::MaskLt,
            "%lanemask_le" => Special::MaskLe,
            "%lanemask_gt" => Special::MaskGt,
            "%lanemask_ge" => Special::MaskGe,
            "%dynamic_smem_size" => Special::DynSmem,
            "%total_smem_size" => Special::TotSmem,
            _ if n.starts_with("%envreg") => Special::Env(n[7..].parse().unwrap_or(0)),
            _ if n.starts_with("%pm") => Special::Zero,
            "%clock" | "%clock_hi" | "%clock64" | "%globaltimer" | "%globaltimer_lo"
            | "%globaltimer_hi" => {
                let r = self.new_reg();
                let mut i = self.ins(Op::Clock(n.starts_with("%g")), cls::OTHER);
                i.d = r;
                self.k.code.push(i);
                return Some(r);
            }
            "WARP_SZ" => return Some(self.konst(32)),
            // the system's own part of shared memory lies below SH_BASE
            _ if n.starts_with("%reserved_smem_offset") => return Some(self.konst(0)),
            "%aggr_smem_size" => Special::TotSmem,
            _ => return None,
        };
        Some(self.special_reg(s))
    }
    fn special_reg(&mut self, s: Special) -> R {
        if let Some(&r) = self.specials.get(&s) {
            return r;
        }
        let r = self.new_reg();
        self.specials.insert(s, r);
        self.k.specials.push((s, r));
        r
    }

    /// the value of a variable's name: its address in its own space
    fn sym_addr(&mut self, n: &str) -> Option<(R, Space)> {
        match self.find(n) {
            Some(Bind::Shared(o)) => return Some((self.konst(SH_BASE + o), Space::Shared)),
            Some(Bind::DynShared) => {
                self.k.uses_dyn = true;
                return Some((self.special_reg(Special::DynBase), Space::Shared));
            }
            Some(Bind::Local(o)) | Some(Bind::PPriv(o)) => {
                return Some((self.konst(o), Space::Local));
            }
            Some(Bind::PKernel(o)) => return Some((self.konst(o), Space::Param)),
            _ => {}
        }
        if let Some(v) = self.m.vars.iter().find(|v| v.name == n) {
            if v.space == Sp::Shared {
                return Some(match self.shared_var(v) {
                    Bind::Shared(o) => (self.konst(SH_BASE + o), Space::Shared),
                    _ => {
                        self.k.uses_dyn = true;
                        (self.special_reg(Special::DynBase), Space::Shared)
                    }
                });
            }
            let a = *self.globals.get(n)?;
            return Some((
                self.konst(a),
                if v.space == Sp::Const { Space::Const } else { Space::Global },
            ));
        }
        None
    }

    fn src(&mut self, p: &PInst, o: &Opnd, ty: Ty) -> Res<R> {
        match o {
            Opnd::Name(n) => {
                if let Some(Bind::Reg(r, _)) = self.find(n) {
                    return Ok(r);
                }
                if let Some(r) = self.special(n) {
                    return Ok(r);
                }
                if let Some((r, _)) = self.sym_addr(n) {
                    return Ok(r);
                }
                self.err(p, &format!("unknown operand {n}"))
            }
            Opnd::SymOff(n, off) => {
                let Some((r, _)) = self.sym_addr(n) else {
                    return self.err(p, &format!("unknown symbol {n}"));
                };
                if r & CONST != 0 {
                    let v = self.k.consts[(r & !CONST) as usize][0].wrapping_add(*off as u64);
                    return Ok(self.konst(v));
                }
                let t = self.new_reg();
                let k = self.konst(*off as u64);
                let mut i = self.ins(Op::Add(U64), cls::INT);
                i.d = t;
                i.a = r;
                i.b = k;
                self.k.code.push(i);
                Ok(t)
            }
            Opnd::Int(v) => {
                let v = match ty {
                    F32 => (*v as i64 as f32).to_bits() as u64,
                    F64 => (*v as i64 as f64).to_bits(),
                    _ => *v & ty.mask(),
                };
                Ok(self.konst(v))
            }
            Opnd::F32(b) => Ok(match ty {
                F64 => self.konst((f32::from_bits(*b) as f64).to_bits()),
                _ => self.konst(*b as u64),
            }),
            Opnd::F64(b) => Ok(match ty {
                F32 | B32 => self.konst((f64::from_bits(*b) as f32).to_bits() as u64),
                _ => self.konst(*b),
            }),
            _ => self.err(p, "bad source operand"),
        }
    }
    fn dst(&mut self, p: &PInst, o: &Opnd) -> Res<(R, u32)> {
        match o {
            Opnd::Name(n) if n == "_" => Ok((self.new_reg(), 64)),
            Opnd::Name(n) => match self.find(n) {
                Some(Bind::Reg(r, w)) => Ok((r, w)),
                _ => self.err(p, &format!("bad destination {n}")),
            },
            _ => self.err(p, "bad destination"),
        }
    }
    fn pred(&mut self, p: &PInst, o: &Opnd) -> Res<u32> {
        let (n, neg) = match o {
            Opnd::Name(n) => (n, 0),
            Opnd::Not(n) => (n, 1 << 16),
            Opnd::Int(v) => {
                // constant predicate
                self.k.npreds += 1;
                let q = self.k.npreds as u32 - 1;
                let mut i = self.ins(Op::PSet(*v != 0), cls::PRED);
                i.d = q;
                self.k.code.push(i);
                return Ok(q);
            }
            _ => return self.err(p, "bad predicate"),
        };
        if n == "_" {
            self.k.npreds += 1;
            return Ok(self.k.npreds as u32 - 1);
        }
        if n == "%is_explicit_cluster" {
            // the one special register that is a predicate
            self.k.npreds += 1;
            let q = self.k.npreds as u32 - 1;
            let op = Op::Setp { cmp: Cmp::Ne, ty: U32, bop: BoolOp::None, ftz: false };
            let mut i = self.ins(op, cls::PRED);
            i.d = q;
            i.a = self.special_reg(Special::ExplicitCluster);
            i.b = self.konst(0);
            self.k.code.push(i);
            return Ok(q | neg);
        }
        match self.find(n) {
            Some(Bind::Pred(q)) => Ok(q | neg),
            _ => self.err(p, &format!("{n} is not a predicate")),
        }
    }
    fn is_pred(&self, o: &Opnd) -> bool {
        match o {
            Opnd::Name(n) | Opnd::Not(n) => matches!(self.find(n), Some(Bind::Pred(_))),
            _ => false,
        }
    }

    /// address operand -> base register or constant, offset, implied space
    fn addr(&mut self, p: &PInst, o: &Opnd) -> Res<(R, i64, Option<Space>)> {
        let Opnd::Addr(b, off) = o else { return self.err(p, "expected an address") };
        match b {
            None => Ok((self.konst(0), *off, None)),
            Some(n) => {
                if let Some(Bind::Reg(r, _)) = self.find(n) {
                    return Ok((r, *off, None));
                }
                if let Some((r, s)) = self.sym_addr(n) {
                    return Ok((r, *off, Some(s)));
                }
                self.err(p, &format!("unknown address base {n}"))
            }
        }
    }

    fn label(&self, p: &PInst, n: &str) -> Res<usize> {
        let lab = self.label_of.last().unwrap();
        let par = self.parents.last().unwrap();
        let mut s = *self.scope_id.last().unwrap().last().unwrap();
        loop {
            if let Some(&l) = lab.get(&(s, n.to_string())) {
                return Ok(l);
            }
            if s == 0 {
                return Err(format!("PTX line {}: unknown label {n}", p.line));
            }
            s = par[s];
        }
    }

    fn inst(&mut self, p: &PInst) -> Res<()> {
        self.cur = (p.line, p.loc.0, p.loc.1);
        if self.k.dbg.last() != Some(&self.cur) {
            self.k.dbg.push(self.cur);
        }
        self.cur_src = self.k.dbg.len() as u32 - 1;
        let guard = match &p.guard {
            None => -1,
            Some((n, neg)) => match self.find(n) {
                Some(Bind::Pred(q)) => (q | if *neg { 1 << 16 } else { 0 }) as i32,
                _ => return self.err(p, &format!("guard {n} is not a predicate")),
            },
        };
        if p.op == "call" {
            if guard != -1 {
                // skip over the whole call
                let l = self.new_label();
                let mut i = self.ins(Op::Bra(l as u32), cls::BRA);
                i.guard = guard ^ (1 << 16);
                self.k.code.push(i);
                self.call(p)?;
                self.labels[l] = Some(self.k.code.len() as u32);
                return Ok(());
            }
            return self.call(p);
        }
        let start = self.k.code.len();
        self.inst1(p)?;
        // helper instructions (clock reads, address sums) may run unguarded; the last one is the real one
        if guard != -1 {
            if let Some(i) = self.k.code[start..].last_mut() {
                i.guard = guard;
            }
        }
        Ok(())
    }

    fn call(&mut self, p: &PInst) -> Res<()> {
        let mut ops = p.ops.iter();
        let mut rets: &[Opnd] = &[];
        let mut o = ops.next().ok_or("empty call")?;
        if let Opnd::List(v) = o {
            rets = v;
            o = ops.next().ok_or("call without a target")?;
        }
        let Opnd::Name(name) = o else { return self.err(p, "bad call target") };
        let args: &[Opnd] = match ops.next() {
            Some(Opnd::List(v)) => v,
            _ => &[],
        };
        let Some(&f) = self.funcs.get(name.as_str()) else {
            return self.err(p, &format!("indirect or unknown call target {name}"));
        };
        // bind arguments
        let mut top = HashMap::new();
        let mut offs = vec![];
        for (v, a) in f.rets.iter().zip(rets).chain(f.params.iter().zip(args)) {
            let b = match a {
                Opnd::Name(n) => match self.find(n) {
                    Some(Bind::PPriv(o)) => o,
                    Some(Bind::Reg(r, _)) => {
                        let o = self.local_alloc(v.size, v.align);
                        let k = self.konst(o);
                        let mut i = self.ins(
                            Op::St(MemOp {
                                sp: Space::Local,
                                sz: v.size as u8,
                                vec: 1,
                                sext: false,
                                dw: 64,
                                off: 0,
                                strong: false,
                                nc: false,
                                used: !0,
                            }),
                            cls::LDP,
                        );
                        i.a = k;
                        i.b = r;
                        self.k.code.push(i);
                        o
                    }
                    _ => return self.err(p, &format!("unsupported call argument {n}")),
                },
                _ => return self.err(p, "unsupported call argument"),
            };
            offs.push(b as u32);
            top.insert(v.name.clone(), Bind::PPriv(b));
        }
        if f.body.is_none() {
            let op = match (name.as_str(), offs.len()) {
                ("vprintf", 3) => Op::Vprintf { ret: offs[0], fmt: offs[1], args: offs[2] },
                ("__assertfail", n) if n >= 3 => {
                    Op::Assert { msg: offs[0], file: offs[1], line: offs[2] }
                }
                _ => return self.err(p, &format!("extern function {name} is not supported")),
            };
            self.emit(op, cls::OTHER);
            return Ok(());
        }
        self.emit(Op::Nop, cls::BRA); // the call itself
        self.func(f, top)
    }

    fn inst1(&mut self, p: &PInst) -> Res<()> {
        let op = p.op.as_str();
        let md: Vec<&str> = p.mods.iter().map(|s| s.as_str()).collect();
        let has = |s: &str| md.contains(&s);
        let tys: Vec<Ty> = md.iter().filter_map(|s| Ty::parse(s)).collect();
        let ty = tys.last().copied().unwrap_or(B32);
        let o = &p.ops;
        let rnd_f = || {
            if has("rz") || has("rzi") {
                Rnd::Rz
            } else if has("rm") || has("rmi") {
                Rnd::Rm
            } else if has("rp") || has("rpi") {
                Rnd::Rp
            } else if has("rna") {
                Rnd::Rna
            } else {
                Rnd::Rn
            }
        };
        let fm = FM {
            ty,
            rnd: rnd_f(),
            ftz: has("ftz"),
            sat: has("sat"),
            relu: has("relu"),
            nan: has("NaN"),
        };
        let fcls = match ty {
            F64 => cls::FP64,
            F32 => cls::FP32,
            F16 | F16x2 | BF16 | BF16x2 => cls::FP16,
            _ => cls::INT,
        };
        macro_rules! alu {
            ($op:expr, $cls:expr, $n:expr) => {{
                if o.len() < $n + 1 {
                    return self.err(p, "too few operands");
                }
                let mut r = [NONE; 3];
                for j in 0..$n {
                    r[j] = self.src(p, &o[j + 1], ty)?;
                }
                let d = self.dst(p, &o[0])?.0;
                let mut i = self.ins($op, $cls);
                i.d = d;
                i.a = r[0];
                i.b = r[1];
                i.c = r[2];
                self.k.code.push(i);
                return Ok(());
            }};
        }
        let cmp_of = |s: &str| {
            Some(match s {
                "eq" => Cmp::Eq,
                "ne" => Cmp::Ne,
                "lt" | "lo" => Cmp::Lt,
                "le" | "ls" => Cmp::Le,
                "gt" | "hi" => Cmp::Gt,
                "ge" | "hs" => Cmp::Ge,
                "equ" => Cmp::Equ,
                "neu" => Cmp::Neu,
                "ltu" => Cmp::Ltu,
                "leu" => Cmp::Leu,
                "gtu" => Cmp::Gtu,
                "geu" => Cmp::Geu,
                "num" => Cmp::Num,
                "nan" => Cmp::Nan,
                _ => return None,
            })
        };
        let bop_of = || {
            if has("and") {
                BoolOp::And
            } else if has("or") {
                BoolOp::Or
            } else if has("xor") {
                BoolOp::Xor
            } else {
                BoolOp::None
            }
        };
        match op {
            "bra" => {
                let Opnd::Name(n) = &o[0] else { return self.err(p, "bad target") };
                let l = self.label(p, n)?;
                self.emit(Op::Bra(l as u32), cls::BRA);
            }
            "brx" => {
                let Opnd::Name(n) = &o[1] else { return self.err(p, "bad table") };
                let a = self.src(p, &o[0], U32)?;
                let names = self.targets.last().unwrap().get(n).cloned();
                let Some(names) = names else { return self.err(p, "unknown branch table") };
                let mut t = vec![];
                for x in &names {
                    t.push(self.label(p, x)? as u32);
                }
                self.k.tables.push(t);
                let mut i = self.ins(Op::Brx(self.k.tables.len() as u32 - 1), cls::BRA);
                i.a = a;
                self.k.code.push(i);
            }
            "ret" => match *self.ret_label.last().unwrap() {
                None => self.emit(Op::Exit, cls::BRA),
                Some(l) => self.emit(Op::Bra(l as u32), cls::BRA),
            },
            "exit" => self.emit(Op::Exit, cls::BRA),
            "trap" => self.emit(Op::Trap, cls::OTHER),
            "brkpt" | "nanosleep" | "pmevent" | "prefetch" | "prefetchu" | "griddepcontrol"
            | "discard" | "applypriority" | "setmaxnreg" => self.emit(Op::Nop, cls::OTHER),
            "membar" | "fence" => {
                self.emit(Op::Fence { cluster: !has("cta") }, cls::FENCE);
            }
            "createpolicy" => {
                let d = self.dst(p, &o[0])?.0;
                let k = self.konst(0);
                let mut i = self.ins(Op::Mov, cls::OTHER);
                i.d = d;
                i.a = k;
                self.k.code.push(i);
            }
            "mov" => match (&o[0], &o[1]) {
                (Opnd::Vec(v), s) => {
                    let a = self.src(p, s, ty)?;
                    let n = v.len();
                    let mut r = [NONE; 4];
                    for (j, x) in v.iter().enumerate() {
                        r[j] = self.dst(p, x)?.0;
                    }
                    self.k.vregs.push(r);
                    let mut i = self
                        .ins(Op::Unpack { n: n as u8, w: (ty.bits() / n as u32) as u8 }, cls::MOV);
                    i.d = self.k.vregs.len() as u32 - 1;
                    i.a = a;
                    self.k.code.push(i);
                }
                (d, Opnd::Vec(v)) => {
                    let n = v.len();
                    let w = ty.bits() / n as u32;
                    if ty == B128 {
                        return self.err(p, "b128 not supported");
                    }
                    let et = if w == 8 {
                        B8
                    } else if w == 16 {
                        B16
                    } else {
                        B32
                    };
                    let mut r = [NONE; 4];
                    for (j, x) in v.iter().enumerate() {
                        r[j] = self.src(p, x, et)?;
                    }
                    self.k.vregs.push(r);
                    let dd = self.dst(p, d)?.0;
                    let mut i = self.ins(Op::Pack { n: n as u8, w: w as u8 }, cls::MOV);
                    i.d = dd;
                    i.a = self.k.vregs.len() as u32 - 1;
                    self.k.code.push(i);
                }
                (d, s) if ty == Pred || self.is_pred(d) => {
                    let a = self.pred(p, s)?;
                    let dd = self.pred(p, d)?;
                    let mut i = self.ins(Op::PMov, cls::PRED);
                    i.d = dd;
                    i.a = a;
                    self.k.code.push(i);
                }
                _ => alu!(Op::Mov, cls::MOV, 1),
            },
            "add" | "sub" if ty.float() => {
                alu!(if op == "add" { Op::FAdd(fm) } else { Op::FSub(fm) }, fcls, 2)
            }
            "add" | "sub" if has("sat") => {
                alu!(if op == "add" { Op::AddSat } else { Op::SubSat }, cls::INT, 2)
            }
            "add" if has("cc") => alu!(Op::AddC { ty, cin: false, cout: true }, cls::INT, 2),
            "sub" if has("cc") => alu!(Op::SubC { ty, cin: false, cout: true }, cls::INT, 2),
            "addc" => alu!(Op::AddC { ty, cin: true, cout: has("cc") }, cls::INT, 2),
            "subc" => alu!(Op::SubC { ty, cin: true, cout: has("cc") }, cls::INT, 2),
            "add" => alu!(Op::Add(ty), cls::INT, 2),
            "sub" => alu!(Op::Sub(ty), cls::INT, 2),
            "mul" if ty.float() => alu!(Op::FMul(fm), fcls, 2),
            "mul" if has("wide") => alu!(Op::MulWide(ty), cls::INT, 2),
            "mul" if has("hi") => alu!(Op::MulHi(ty), cls::INT, 2),
            "mul" => alu!(Op::MulLo(ty), cls::INT, 2),
            "mul24" => alu!(Op::Mul24(ty.signed(), has("hi")), cls::INT, 2),
            "mad" | "fma" if ty.float() => alu!(Op::FFma(fm), fcls, 3),
            "mad" if has("wide") => {
                // the addend is twice as wide
                let a = self.src(p, &o[1], ty)?;
                let b = self.src(p, &o[2], ty)?;
                let c = self.src(p, &o[3], if ty.bits() == 32 { B64 } else { B32 })?;
                let c = match &o[3] {
                    Opnd::Int(v) if ty.bits() == 32 => self.konst(*v),
                    _ => c,
                };
                let d = self.dst(p, &o[0])?.0;
                let mut i = self.ins(Op::MadWide(ty), cls::INT);
                i.d = d;
                i.a = a;
                i.b = b;
                i.c = c;
                self.k.code.push(i);
            }
            "mad" if has("cc") => {
                alu!(Op::MadC { ty, hi: has("hi"), cin: false, cout: true }, cls::INT, 3)
            }
            "madc" => alu!(Op::MadC { ty, hi: has("hi"), cin: true, cout: has("cc") }, cls::INT, 3),
            "mad" if has("sat") => return self.err(p, "mad.sat not supported"),
            "mad" if has("hi") => alu!(Op::MadHi(ty), cls::INT, 3),
            "mad" => alu!(Op::MadLo(ty), cls::INT, 3),
            "sad" => alu!(Op::Sad(ty), cls::INT, 3),
            "div" if ty.float() => alu!(Op::FDiv(fm), fcls, 2),
            "div" => alu!(Op::Div(ty), cls::INT, 2),
            "rem" => alu!(Op::Rem(ty), cls::INT, 2),
            "abs" if ty.float() => alu!(Op::FAbs(fm), fcls, 1),
            "abs" => alu!(Op::Abs(ty), cls::INT, 1),
            "neg" if ty.float() => alu!(Op::FNeg(fm), fcls, 1),
            "neg" => alu!(Op::Neg(ty), cls::INT, 1),
            "min" | "max" if ty.float() => {
                if o.len() > 3 || has("xorsign") || has("abs") {
                    return self.err(p, "three-input or xorsign min/max not supported");
                }
                alu!(if op == "min" { Op::FMin(fm) } else { Op::FMax(fm) }, fcls, 2)
            }
            "min" | "max" if has("relu") => return self.err(p, "not supported"),
            "min" | "max" if has("u16x2") || has("s16x2") => {
                let half = if has("s16x2") { S16 } else { U16 };
                let op = if op == "min" { Op::Min2(half) } else { Op::Max2(half) };
                alu!(op, cls::INT, 2)
            }
            "min" => alu!(Op::Min(ty), cls::INT, 2),
            "max" => alu!(Op::Max(ty), cls::INT, 2),
            "sqrt" => alu!(Op::FSqrt(fm), cls::SFU, 1),
            "rcp" if has("approx") => alu!(Op::Sfu(Sfu::Rcp, fm), cls::SFU, 1),
            "rcp" => {
                let one =
                    self.konst(if ty == F64 { 1f64.to_bits() } else { 1f32.to_bits() as u64 });
                let a = self.src(p, &o[1], ty)?;
                let d = self.dst(p, &o[0])?.0;
                let mut i = self.ins(Op::FDiv(fm), cls::SFU);
                i.d = d;
                i.a = one;
                i.b = a;
                self.k.code.push(i);
            }
            "rsqrt" => alu!(Op::Sfu(Sfu::Rsqrt, fm), cls::SFU, 1),
            "sin" => alu!(Op::Sfu(Sfu::Sin, fm), cls::SFU, 1),
            "cos" => alu!(Op::Sfu(Sfu::Cos, fm), cls::SFU, 1),
            "lg2" => alu!(Op::Sfu(Sfu::Lg2, fm), cls::SFU, 1),
            "ex2" => alu!(Op::Sfu(Sfu::Ex2, fm), cls::SFU, 1),
            "tanh" => alu!(Op::Sfu(Sfu::Tanh, fm), cls::SFU, 1),
            "testp" => {
                let k = ["finite", "infinite", "number", "notanumber", "normal", "subnormal"]
                    .iter()
                    .position(|s| has(s));
                let a = self.src(p, &o[1], ty)?;
                let d = self.pred(p, &o[0])?;
                let mut i = self.ins(Op::Testp(k.unwrap_or(0) as u8, ty), cls::PRED);
                i.d = d;
                i.a = a;
                self.k.code.push(i);
            }
            "copysign" => alu!(Op::Copysign(ty), fcls, 2),
            "and" | "or" | "xor" | "not" if ty == Pred => {
                let a = self.pred(p, &o[1])?;
                let b = if op == "not" { 0 } else { self.pred(p, &o[2])? };
                let d = self.pred(p, &o[0])?;
                let mut i = self.ins(
                    match op {
                        "and" => Op::PAnd,
                        "or" => Op::POr,
                        "xor" => Op::PXor,
                        _ => Op::PNot,
                    },
                    cls::PRED,
                );
                i.d = d;
                i.a = a;
                i.b = b;
                self.k.code.push(i);
            }
            "and" => alu!(Op::And, cls::INT, 2),
            "or" => alu!(Op::Or, cls::INT, 2),
            "xor" => alu!(Op::Xor, cls::INT, 2),
            "not" => alu!(Op::Not(ty), cls::INT, 1),
            "cnot" => alu!(Op::Cnot(ty), cls::INT, 1),
            "lop3" => {
                if has("or") || has("and") {
                    return self.err(p, "lop3 with a predicate not supported");
                }
                let Opnd::Int(v) = &o[4] else {
                    return self.err(p, "lop3 table must be a constant");
                };
                alu!(Op::Lop3(*v as u8), cls::INT, 3)
            }
            "shl" | "shr" => {
                let a = self.src(p, &o[1], ty)?;
                let b = self.src(p, &o[2], U32)?;
                let d = self.dst(p, &o[0])?.0;
                let mut i = self.ins(if op == "shl" { Op::Shl(ty) } else { Op::Shr(ty) }, cls::INT);
                i.d = d;
                i.a = a;
                i.b = b;
                self.k.code.push(i);
            }
            "shf" => alu!(Op::Shf { left: has("l"), clamp: has("clamp") }, cls::INT, 3),
            "prmt" => {
                let m = ["f4e", "b4e", "rc8", "ecl", "ecr", "rc16"]
                    .iter()
                    .position(|s| has(s))
                    .map(|x| x + 1)
                    .unwrap_or(0);
                alu!(Op::Prmt(m as u8), cls::INT, 3)
            }
            "bfe" => alu!(Op::Bfe(ty), cls::INT, 3),
            "bfi" => {
                let a = self.src(p, &o[1], ty)?;
                let b = self.src(p, &o[2], ty)?;
                let c = self.src(p, &o[3], U32)?;
                let e = self.src(p, &o[4], U32)?;
                let d = self.dst(p, &o[0])?.0;
                let mut i = self.ins(Op::Bfi(ty), cls::INT);
                i.d = d;
                i.a = a;
                i.b = b;
                i.c = c;
                i.e = e;
                self.k.code.push(i);
            }
            "bmsk" => alu!(Op::Bmsk(has("clamp")), cls::INT, 2),
            "szext" => alu!(Op::Szext { s: ty.signed(), clamp: has("clamp") }, cls::INT, 2),
            "brev" => alu!(Op::Brev(ty), cls::INT, 1),
            "clz" => alu!(Op::Clz(ty), cls::INT, 1),
            "popc" => alu!(Op::Popc(ty), cls::INT, 1),
            "fns" => alu!(Op::Fns, cls::INT, 3),
            "bfind" => alu!(Op::Bfind { ty, amt: has("shiftamt") }, cls::INT, 1),
            "dp4a" => alu!(Op::Dp4a { as_: tys[0].signed(), bs: tys[1].signed() }, cls::INT, 3),
            "dp2a" => alu!(
                Op::Dp2a { as_: tys[0].signed(), bs: tys[1].signed(), hi: has("hi") },
                cls::INT,
                3
            ),
            "setp" => {
                let Some(cmp) = md.iter().find_map(|s| cmp_of(s)) else {
                    return self.err(p, "comparison");
                };
                let a = self.src(p, &o[1], ty)?;
                let b = self.src(p, &o[2], ty)?;
                let bop = bop_of();
                let c = if bop != BoolOp::None { self.pred(p, &o[3])? } else { NONE };
                let (d, e) = match &o[0] {
                    Opnd::Pair(x, y) => (self.pred(p, x)?, self.pred(p, y)?),
                    x => (self.pred(p, x)?, NONE),
                };
                let mut i = self.ins(Op::Setp { cmp, ty, bop, ftz: fm.ftz }, cls::PRED);
                i.d = d;
                i.a = a;
                i.b = b;
                i.c = c;
                i.e = e;
                self.k.code.push(i);
            }
            "set" => {
                let Some(cmp) = md.iter().find_map(|s| cmp_of(s)) else {
                    return self.err(p, "comparison");
                };
                let a = self.src(p, &o[1], ty)?;
                let b = self.src(p, &o[2], ty)?;
                let bop = bop_of();
                let c = if bop != BoolOp::None { self.pred(p, &o[3])? } else { NONE };
                let d = self.dst(p, &o[0])?.0;
                let mut i = self.ins(Op::Set { cmp, ty, dty: tys[0], bop, ftz: fm.ftz }, cls::PRED);
                i.d = d;
                i.a = a;
                i.b = b;
                i.c = c;
                self.k.code.push(i);
            }
            "selp" => {
                let a = self.src(p, &o[1], ty)?;
                let b = self.src(p, &o[2], ty)?;
                let c = self.pred(p, &o[3])?;
                let d = self.dst(p, &o[0])?.0;
                let mut i = self.ins(Op::Selp, cls::PRED);
                i.d = d;
                i.a = a;
                i.b = b;
                i.c = c;
                self.k.code.push(i);
            }
            "slct" => {
                let a = self.src(p, &o[1], tys[0])?;
                let b = self.src(p, &o[2], tys[0])?;
                let c = self.src(p, &o[3], tys[1])?;
                let d = self.dst(p, &o[0])?.0;
                let mut i = self.ins(Op::Slct { ty: tys[1], f: tys[1] == F32 }, cls::PRED);
                i.d = d;
                i.a = a;
                i.b = b;
                i.c = c;
                self.k.code.push(i);
            }
            "cvt" => {
                if md.iter().any(|s| s.starts_with('e') && s.contains('m'))
                    || has("ue8m0x2")
                    || has("rs")
                {
                    return self.err(p, "fp8/fp4 conversions not supported");
                }
                let (dt, st) = (tys[0], tys[1]);
                if matches!(dt, F16x2 | BF16x2) && o.len() == 3 {
                    let a = self.src(p, &o[1], F32)?;
                    let b = self.src(p, &o[2], F32)?;
                    let d = self.dst(p, &o[0])?.0;
                    let mut i = self.ins(
                        Op::CvtX2 { d: dt, rnd: fm.rnd, relu: fm.relu, satf: has("satfinite") },
                        cls::CVT,
                    );
                    i.d = d;
                    i.a = a;
                    i.b = b;
                    self.k.code.push(i);
                    return Ok(());
                }
                if has("tf32") {
                    return self.err(p, "tf32 not supported");
                }
                let int = has("rni") || has("rzi") || has("rmi") || has("rpi");
                let a = self.src(p, &o[1], st)?;
                let (d, w) = self.dst(p, &o[0])?;
                let mut i = self.ins(
                    Op::Cvt {
                        d: dt,
                        s: st,
                        rnd: fm.rnd,
                        int,
                        ftz: fm.ftz,
                        sat: fm.sat || has("satfinite"),
                        relu: fm.relu,
                        dw: w as u8,
                    },
                    cls::CVT,
                );
                i.d = d;
                i.a = a;
                self.k.code.push(i);
            }
            "cvta" => {
                let sp = self.space(&md);
                let a = self.src(p, &o[1], ty)?;
                let d = self.dst(p, &o[0])?.0;
                let mut i =
                    self.ins(if has("to") { Op::FromGen(sp) } else { Op::ToGen(sp) }, cls::MOV);
                i.d = d;
                i.a = a;
                self.k.code.push(i);
            }
            "isspacep" => {
                let sp = self.space(&md);
                let a = self.src(p, &o[1], B64)?;
                let d = self.pred(p, &o[0])?;
                let mut i = self.ins(Op::IsSp(sp), cls::PRED);
                i.d = d;
                i.a = a;
                self.k.code.push(i);
            }
            "ld" | "ldu" | "st" => {
                let st = op == "st";
                if has("async") || has("bulk") {
                    return self.err(p, "asynchronous stores not supported");
                }
                let (ao, vo) = if st { (&o[0], &o[1]) } else { (&o[1], &o[0]) };
                let (a, off, implied) = self.addr(p, ao)?;
                let mut sp = self.space(&md);
                if sp == Space::Param {
                    // a call's parameters live in private memory
                    sp = implied.unwrap_or(Space::Param);
                }
                if sp == Space::Generic {
                    if let Some(s) = implied {
                        sp = s;
                    }
                }
                let vec = if has("v2") {
                    2
                } else if has("v4") {
                    4
                } else if has("v8") {
                    return self.err(p, "v8 not supported");
                } else {
                    1
                };
                if ty == B128 {
                    return self.err(p, "b128 not supported");
                }
                let strong = has("volatile")
                    || has("relaxed")
                    || has("acquire")
                    || has("release")
                    || has("mmio");
                let mut mo = MemOp {
                    sp,
                    sz: (ty.bits() / 8) as u8,
                    vec,
                    sext: ty.signed(),
                    dw: 64,
                    off,
                    strong,
                    nc: has("nc"),
                    used: p.used,
                };
                let pc = has("param");
                let c = match (sp, st) {
                    _ if pc => cls::LDP,
                    (Space::Shared | Space::Cluster, false) => cls::LDS,
                    (Space::Shared | Space::Cluster, true) => cls::STS,
                    (Space::Local, false) => cls::LDL,
                    (Space::Local, true) => cls::STL,
                    (Space::Param | Space::Const, _) => cls::LDP,
                    (_, false) => cls::LDG,
                    (_, true) => cls::STG,
                };
                let v = if vec == 1 {
                    if st {
                        self.src(p, vo, ty)?
                    } else {
                        let (d, w) = self.dst(p, vo)?;
                        mo.dw = w as u8;
                        d
                    }
                } else {
                    let Opnd::Vec(l) = vo else { return self.err(p, "expected a vector") };
                    let mut r = [NONE; 4];
                    for (j, x) in l.iter().enumerate() {
                        if st {
                            r[j] = self.src(p, x, ty)?;
                        } else {
                            let (d, w) = self.dst(p, x)?;
                            mo.dw = w as u8;
                            r[j] = d;
                        }
                    }
                    self.k.vregs.push(r);
                    self.k.vregs.len() as u32 - 1
                };
                let mut i = self.ins(if st { Op::St(mo) } else { Op::Ld(mo) }, c);
                i.a = a;
                if st {
                    i.b = v
                } else {
                    i.d = v
                }
                self.k.code.push(i);
            }
            "atom" | "red" => {
                let red = op == "red";
                if has("async") || has("v2") || has("v4") || has("v8") || ty == B128 {
                    return self.err(p, "this atomic form is not supported");
                }
                let aop = md.iter().find_map(|s| {
                    Some(match *s {
                        "add" => AOp::Add,
                        "min" => AOp::Min,
                        "max" => AOp::Max,
                        "and" => AOp::And,
                        "or" => AOp::Or,
                        "xor" => AOp::Xor,
                        "exch" => AOp::Exch,
                        "cas" => AOp::Cas,
                        "inc" => AOp::Inc,
                        "dec" => AOp::Dec,
                        _ => return None,
                    })
                });
                let Some(aop) = aop else { return self.err(p, "atomic operation") };
                self.k.ordering_atomics |= has("acquire") || has("release") || has("acq_rel");
                let (d, ai) = if red { (NONE, 0) } else { (self.dst(p, &o[0])?.0, 1) };
                let (a, off, implied) = self.addr(p, &o[ai])?;
                let mut sp = self.space(&md);
                if sp == Space::Generic {
                    if let Some(s) = implied {
                        sp = s;
                    }
                }
                let b = self.src(p, &o[ai + 1], ty)?;
                let c = if aop == AOp::Cas { self.src(p, &o[ai + 2], ty)? } else { NONE };
                let m = MemOp {
                    sp,
                    sz: (ty.bits() / 8) as u8,
                    vec: 1,
                    sext: false,
                    dw: 64,
                    off,
                    strong: true,
                    nc: false,
                    used: !0,
                };
                let mut i = self.ins(
                    Op::Atom { op: aop, ty, m },
                    if matches!(sp, Space::Shared | Space::Cluster) { cls::ATS } else { cls::ATG },
                );
                i.d = d;
                i.a = a;
                i.b = b;
                i.c = c;
                self.k.code.push(i);
            }
            "shfl" => {
                if !has("sync") {
                    return self.err(p, "shfl without .sync");
                }
                let m = if has("up") {
                    Shm::Up
                } else if has("down") {
                    Shm::Down
                } else if has("bfly") {
                    Shm::Bfly
                } else {
                    Shm::Idx
                };
                let a = self.src(p, &o[1], B32)?;
                let b = self.src(p, &o[2], B32)?;
                let c = self.src(p, &o[3], B32)?;
                let e = self.src(p, &o[4], B32)?;
                let (d, q) = match &o[0] {
                    Opnd::Pair(x, y) => (self.dst(p, x)?.0, self.pred(p, y)?),
                    x => (self.dst(p, x)?.0, 0xffff),
                };
                // predicate number rides in the second vector table
                self.k.vregs.push([d, q, NONE, NONE]);
                let mut i = self.ins(Op::Shfl(m), cls::SHFL);
                i.d = self.k.vregs.len() as u32 - 1;
                i.a = a;
                i.b = b;
                i.c = c;
                i.e = e;
                self.k.code.push(i);
            }
            "vote" => {
                let k = if has("all") {
                    0
                } else if has("any") {
                    1
                } else if has("uni") {
                    2
                } else {
                    3
                };
                let a = self.pred(p, &o[1])?;
                let e = self.src(p, &o[2], B32)?;
                let d = if k == 3 { self.dst(p, &o[0])?.0 } else { self.pred(p, &o[0])? };
                let mut i = self.ins(Op::Vote(k), cls::VOTE);
                i.d = d;
                i.a = a;
                i.e = e;
                self.k.code.push(i);
            }
            "match" => {
                let all = has("all");
                let a = self.src(p, &o[1], ty)?;
                let e = self.src(p, &o[2], B32)?;
                let (d, q) = match &o[0] {
                    Opnd::Pair(x, y) => (self.dst(p, x)?.0, self.pred(p, y)?),
                    x => (self.dst(p, x)?.0, 0xffff),
                };
                let mut i = self.ins(Op::Match { all, w: ty.bits() as u8 }, cls::VOTE);
                i.d = d;
                i.a = a;
                i.b = q;
                i.e = e;
                self.k.code.push(i);
            }
            "redux" => {
                let aop = if has("add") {
                    AOp::Add
                } else if has("min") {
                    AOp::Min
                } else if has("max") {
                    AOp::Max
                } else if has("and") {
                    AOp::And
                } else if has("or") {
                    AOp::Or
                } else {
                    AOp::Xor
                };
                if ty.float() {
                    return self.err(p, "redux.f32 not supported");
                }
                let a = self.src(p, &o[1], ty)?;
                let e = self.src(p, &o[2], B32)?;
                let d = self.dst(p, &o[0])?.0;
                let mut i = self.ins(Op::Redux(aop, ty), cls::VOTE);
                i.d = d;
                i.a = a;
                i.e = e;
                self.k.code.push(i);
            }
            "elect" => {
                let e = self.src(p, &o[1], B32)?;
                let (d, q) = match &o[0] {
                    Opnd::Pair(x, y) => (self.dst(p, x)?.0, self.pred(p, y)?),
                    _ => return self.err(p, "elect operands"),
                };
                let mut i = self.ins(Op::Elect, cls::VOTE);
                i.d = d;
                i.b = q;
                i.e = e;
                self.k.code.push(i);
            }
            "activemask" => {
                let d = self.dst(p, &o[0])?.0;
                let mut i = self.ins(Op::ActiveMask, cls::VOTE);
                i.d = d;
                self.k.code.push(i);
            }
            "bar" | "barrier" if has("warp") => {
                let e = self.src(p, &o[0], B32)?;
                let mut i = self.ins(Op::BarWarp, cls::BAR);
                i.e = e;
                self.k.code.push(i);
            }
            "barrier" if has("cluster") => {
                let aligned = has("aligned");
                let op = if has("wait") {
                    Op::ClusterWait { aligned }
                } else {
                    Op::ClusterArrive { aligned, release: !has("relaxed") }
                };
                self.k.uses_cluster = true;
                self.emit(op, cls::BAR);
            }
            "mapa" => {
                self.k.uses_cluster = true;
                let generic = self.space(&md) == Space::Generic;
                alu!(Op::Mapa { generic }, cls::INT, 2)
            }
            "getctarank" => {
                self.k.uses_cluster = true;
                let generic = self.space(&md) == Space::Generic;
                alu!(Op::CtaRank { generic }, cls::INT, 1)
            }
            "bar" | "barrier" => {
                let aligned = op == "bar" || has("aligned");
                let k = if has("arrive") {
                    BarK::Arrive
                } else if has("red") {
                    if has("popc") {
                        BarK::RedPopc
                    } else if has("and") {
                        BarK::RedAnd
                    } else {
                        BarK::RedOr
                    }
                } else {
                    BarK::Sync
                };
                let mut i = self.ins(Op::Bar { k, aligned }, cls::BAR);
                if matches!(k, BarK::Sync | BarK::Arrive) {
                    i.a = self.src(p, &o[0], U32)?;
                    if o.len() > 1 {
                        i.b = self.src(p, &o[1], U32)?;
                    }
                } else {
                    i.d = if k == BarK::RedPopc {
                        self.dst(p, &o[0])?.0
                    } else {
                        self.pred(p, &o[0])?
                    };
                    i.a = self.src(p, &o[1], U32)?;
                    if o.len() > 3 {
                        i.b = self.src(p, &o[2], U32)?;
                    }
                    i.c = self.pred(p, o.last().unwrap())?;
                }
                self.k.code.push(i);
            }
            "cp" if has("bulk") || has("mbarrier") || has("reduce") => {
                return self.err(p, "bulk/mbarrier copies not supported");
            }
            "cp" if has("commit_group") => self.emit(Op::CpCommit, cls::ASYNC),
            "cp" if has("wait_all") => self.emit(Op::CpWait(u32::MAX), cls::ASYNC),
            "cp" if has("wait_group") => {
                let Opnd::Int(n) = &o[0] else { return self.err(p, "wait_group count") };
                self.emit(Op::CpWait(*n as u32), cls::ASYNC)
            }
            "cp" => {
                let (a, oa, _) = self.addr(p, &o[0])?;
                let (b, ob, _) = self.addr(p, &o[1])?;
                let Opnd::Int(n) = &o[2] else { return self.err(p, "copy size") };
                let c = if o.len() > 3 && !has("L2::cache_hint") {
                    self.src(p, &o[3], U32)?
                } else {
                    NONE
                };
                let mut i = self.ins(Op::CpAsync { sz: *n as u8, oa, ob }, cls::ASYNC);
                i.a = a;
                i.b = b;
                i.c = c;
                self.k.code.push(i);
            }
            _ => return self.err(p, "instruction not supported"),
        }
        Ok(())
    }

    fn space(&self, md: &[&str]) -> Space {
        for s in md {
            match *s {
                "global" => return Space::Global,
                "const" => return Space::Const,
                "local" => return Space::Local,
                "param" | "param::entry" | "param::func" => return Space::Param,
                "shared::cluster" => return Space::Cluster,
                x if x.starts_with("shared") => return Space::Shared,
                _ => {}
            }
        }
        Space::Generic
    }

    fn finish(&mut self) -> Res<()> {
        let lab = |l: u32, s: &Self| -> Res<u32> {
            s.labels[l as usize].ok_or_else(|| "label without a place".to_string())
        };
        for i in 0..self.k.code.len() {
            if let Op::Bra(l) = self.k.code[i].op {
                self.k.code[i].op = Op::Bra(lab(l, self)?);
            }
        }
        for t in 0..self.k.tables.len() {
            for j in 0..self.k.tables[t].len() {
                self.k.tables[t][j] = lab(self.k.tables[t][j], self)?;
            }
        }
        self.k.local_size = align_up(self.k.local_size, 16);
        self.k.prio = rank(&self.k);
        for (i, p) in self.k.code.iter().zip(&mut self.k.prio) {
            if matches!(
                i.op,
                Op::Bar { aligned: true, .. }
                    | Op::ClusterArrive { aligned: true, .. }
                    | Op::ClusterWait { aligned: true }
            ) {
                *p |= AT_BARRIER;
            }
        }
        Ok(())
    }
}

/// Rank of an aligned barrier, on top of its place: lanes that reach one let the rest of their warp
/// run first, as sm_70 and later count threads and not warps there. A barrier at the head of a loop
/// would otherwise be met by some lanes while others still finish the loop's body.
pub const AT_BARRIER: u32 = 1 << 31;

/// Blocks in an order where loops are contiguous and every join comes after all
/// that leads to it; running the lowest rank first then reconverges at the
/// immediate post-dominator.
fn rank(k: &Kernel) -> Vec<u32> {
    let n = k.code.len();
    let mut lead = vec![false; n + 1];
    lead[0] = true;
    for (i, x) in k.code.iter().enumerate() {
        match x.op {
            Op::Bra(t) => {
                lead[t as usize] = true;
                lead[i + 1] = true;
            }
            Op::Brx(t) => {
                for &y in &k.tables[t as usize] {
                    lead[y as usize] = true;
                }
                lead[i + 1] = true;
            }
            Op::Exit | Op::Trap => lead[i + 1] = true,
            _ => {}
        }
    }
    let mut start = vec![];
    let mut of = vec![0u32; n];
    for i in 0..n {
        if lead[i] {
            start.push(i);
        }
        of[i] = start.len() as u32 - 1;
    }
    let nb = start.len();
    let mut succ: Vec<Vec<u32>> = vec![vec![]; nb];
    for b in 0..nb {
        let end = if b + 1 < nb { start[b + 1] } else { n };
        let x = &k.code[end - 1];
        let mut fall = true;
        match x.op {
            Op::Bra(t) => {
                succ[b].push(of[t as usize]);
                fall = x.guard != -1;
            }
            Op::Brx(t) => {
                for &y in &k.tables[t as usize] {
                    succ[b].push(of[y as usize]);
                }
                fall = x.guard != -1;
            }
            Op::Exit | Op::Trap => fall = x.guard != -1,
            _ => {}
        }
        if fall && end < n {
            succ[b].push(of[end]);
        }
        succ[b].sort();
        succ[b].dedup();
    }
    let mut order = vec![];
    let mut inset = vec![0u32; nb];
    let all: Vec<u32> = (0..nb as u32).collect();
    let mut stamp = 0;
    sort_blocks(&all, 0, &succ, &mut inset, &mut stamp, &mut order);
    let mut prio = vec![0u32; n];
    let mut c = 0;
    for b in order {
        let b = b as usize;
        let end = if b + 1 < nb { start[b + 1] } else { n };
        for p in prio[start[b]..end].iter_mut() {
            *p = c;
            c += 1;
        }
    }
    prio
}

fn sort_blocks(
    set: &[u32],
    head: u32,
    succ: &[Vec<u32>],
    inset: &mut Vec<u32>,
    stamp: &mut u32,
    out: &mut Vec<u32>,
) {
    *stamp += 1;
    let g = *stamp;
    for &b in set {
        inset[b as usize] = g;
    }
    // Tarjan, iterative; edges into `head` are cut
    let m = succ.len();
    let mut idx = vec![u32::MAX; m];
    let mut low = vec![0u32; m];
    let mut on = vec![false; m];
    let mut st: Vec<u32> = vec![];
    let mut next = 0u32;
    let mut comps: Vec<Vec<u32>> = vec![];
    let mut roots = vec![head];
    roots.extend(set.iter().copied().filter(|&b| b != head));
    // roots are visited last-first in the reversed result, so start with the head only and
    // let unreachable blocks follow
    let mut tail: Vec<Vec<u32>> = vec![];
    for (ri, &r) in roots.iter().enumerate() {
        if idx[r as usize] != u32::MAX {
            continue;
        }
        let before = comps.len();
        let mut call: Vec<(u32, usize)> = vec![(r, 0)];
        while let Some(&mut (v, ref mut ci)) = call.last_mut() {
            let vu = v as usize;
            if *ci == 0 && idx[vu] == u32::MAX {
                idx[vu] = next;
                low[vu] = next;
                next += 1;
                st.push(v);
                on[vu] = true;
            }
            let ss = &succ[vu];
            let mut pushed = false;
            while *ci < ss.len() {
                // highest first, so that the lowest comes first once reversed
                let w = ss[ss.len() - 1 - *ci];
                *ci += 1;
                let wu = w as usize;
                if w == head || inset[wu] != g {
                    continue;
                }
                if idx[wu] == u32::MAX {
                    call.push((w, 0));
                    pushed = true;
                    break;
                } else if on[wu] {
                    low[vu] = low[vu].min(idx[wu]);
                }
            }
            if pushed {
                continue;
            }
            if low[vu] == idx[vu] {
                let mut c = vec![];
                loop {
                    let w = st.pop().unwrap();
                    on[w as usize] = false;
                    c.push(w);
                    if w == v {
                        break;
                    }
                }
                comps.push(c);
            }
            call.pop();
            if let Some(&mut (pv, _)) = call.last_mut() {
                low[pv as usize] = low[pv as usize].min(low[vu]);
            }
        }
        if ri > 0 {
            tail.extend(comps.drain(before..));
        }
    }
    comps.reverse();
    comps.extend(tail);
    for mut c in comps {
        if c.len() == 1 {
            out.push(c[0]);
            continue;
        }
        c.sort();
        // header: entered from outside
        let mut mark = std::collections::HashSet::new();
        for &b in &c {
            mark.insert(b);
        }
        let mut h = c[0];
        'o: for &b in &c {
            for &a in set {
                if !mark.contains(&a) && succ[a as usize].contains(&b) {
                    h = b;
                    break 'o;
                }
            }
        }
        if c.contains(&head) {
            h = head;
        }
        sort_blocks(&c, h, succ, inset, stamp, out);
        // restore membership for the remaining components of this level
        for &b in set {
            inset[b as usize] = g;
        }
    }
}
