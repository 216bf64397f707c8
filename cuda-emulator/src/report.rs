//! Findings and counters.

use crate::lower::{CLS, Kernel};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Mutex;

#[derive(Clone, Debug)]
pub struct Finding {
    pub kind: &'static str,
    pub error: bool,
    pub text: String,
    pub kernel: String,
    pub count: u64,
}

#[derive(Default)]
pub struct Findings {
    inner: Mutex<BTreeMap<(String, &'static str, u32, u32), Finding>>,
}

impl Findings {
    pub fn add(
        &self,
        k: &str,
        kind: &'static str,
        error: bool,
        pc1: u32,
        pc2: u32,
        text: impl FnOnce() -> String,
    ) {
        let mut m = self.inner.lock().unwrap_or_else(|e| e.into_inner());
        let e = m.entry((k.to_string(), kind, pc1, pc2));
        match e {
            std::collections::btree_map::Entry::Occupied(mut o) => {
                o.get_mut().count += 1;
                o.get_mut().error |= error;
            }
            std::collections::btree_map::Entry::Vacant(v) => {
                v.insert(Finding { kind, error, text: text(), kernel: k.to_string(), count: 1 });
            }
        }
    }
    pub fn take(&self) -> Vec<Finding> {
        let mut m = self.inner.lock().unwrap_or_else(|e| e.into_inner());
        std::mem::take(&mut *m).into_values().collect()
    }
}

pub fn place(k: &Kernel, pc: u32) -> String {
    let Some(i) = k.code.get(pc as usize) else { return format!("pc {pc}") };
    let (pl, f, l) = k.dbg[i.src as usize];
    if let Some(n) = k.files.get(&f) {
        let short = n.rsplit('/').next().unwrap_or(n);
        format!("{short}:{l} (PTX line {pl})")
    } else {
        format!("PTX line {pl}")
    }
}

#[derive(Clone, Default)]
pub struct Stats {
    pub w: [u64; 24],
    pub t: [u64; 24],
    pub gld: [u64; 4], // requests, sectors, bytes, sectors if packed
    pub gst: [u64; 4],
    pub gat: [u64; 3], // requests, sectors, lanes
    pub sld: [u64; 4], // requests, wavefronts, least wavefronts, bytes
    pub sst: [u64; 4],
    pub sat: [u64; 3], // requests, lanes, serial rounds
    // shared memory of other blocks of the cluster, loads, stores and atomics:
    // requests, lanes, bytes
    pub dld: [u64; 3],
    pub dst: [u64; 3],
    pub dat: [u64; 3],
    pub bars: u64,
    pub cluster_bars: u64,
    pub blocks: u64,
    pub warps: u64,
    pub branches: u64,
    pub divergent: u64,
    /// per instruction: executions, sectors, extra wavefronts (when profiling)
    pub prof: Vec<[u64; 3]>,
}

impl Stats {
    pub fn add(&mut self, o: &Stats) {
        fn s<const N: usize>(a: &mut [u64; N], b: &[u64; N]) {
            for i in 0..N {
                a[i] += b[i];
            }
        }
        s(&mut self.w, &o.w);
        s(&mut self.t, &o.t);
        s(&mut self.gld, &o.gld);
        s(&mut self.gst, &o.gst);
        s(&mut self.gat, &o.gat);
        s(&mut self.sld, &o.sld);
        s(&mut self.sst, &o.sst);
        s(&mut self.sat, &o.sat);
        s(&mut self.dld, &o.dld);
        s(&mut self.dst, &o.dst);
        s(&mut self.dat, &o.dat);
        self.bars += o.bars;
        self.cluster_bars += o.cluster_bars;
        self.blocks += o.blocks;
        self.warps += o.warps;
        self.branches += o.branches;
        self.divergent += o.divergent;
        if self.prof.len() < o.prof.len() {
            self.prof.resize(o.prof.len(), [0; 3]);
        }
        for (a, b) in self.prof.iter_mut().zip(&o.prof) {
            s(a, b);
        }
    }
}

pub fn esc(s: &str) -> String {
    let mut o = String::new();
    for c in s.chars() {
        match c {
            '"' => o.push_str("\\\""),
            '\\' => o.push_str("\\\\"),
            '\n' => o.push_str("\\n"),
            c if (c as u32) < 32 => {
                let _ = write!(o, "\\u{:04x}", c as u32);
            }
            c => o.push(c),
        }
    }
    o
}

pub struct LaunchInfo {
    pub grid: [u32; 3],
    pub block: [u32; 3],
    pub cluster: [u32; 3],
    pub dyn_smem: u32,
    pub wall_ns: u64,
    pub code: u32,
    pub uniq: [u64; 4],
}

pub fn stats_json(k: &Kernel, s: &Stats, li: &LaunchInfo, fs: &[Finding]) -> String {
    let mut o = String::new();
    let _ = write!(
        o,
        "{{\"kernel\":\"{}\",\"grid\":{:?},\"block\":{:?},\"cluster\":{:?},\"static_smem\":{},\"dynamic_smem\":{},\"result\":{},\"wall_ns\":{},\"blocks\":{},\"warps\":{}",
        esc(&k.name),
        li.grid,
        li.block,
        li.cluster,
        k.static_shared,
        li.dyn_smem,
        li.code,
        li.wall_ns,
        s.blocks,
        s.warps
    );
    let wi: u64 = s.w.iter().sum();
    let ti: u64 = s.t.iter().sum();
    let _ = write!(o, ",\"warp_instructions\":{wi},\"thread_instructions\":{ti},\"by_class\":{{");
    let mut first = true;
    for (i, n) in CLS.iter().enumerate() {
        if s.w[i] != 0 {
            let _ = write!(o, "{}\"{n}\":[{},{}]", if first { "" } else { "," }, s.w[i], s.t[i]);
            first = false;
        }
    }
    let _ = write!(
        o,
        "}},\"branches\":{},\"divergent_branches\":{},\"barriers\":{},\"cluster_barriers\":{}",
        s.branches, s.divergent, s.bars, s.cluster_bars
    );
    let g = |n: &str, v: &[u64; 4], ub: u64, us: u64| {
        format!(
            ",\"{n}\":{{\"requests\":{},\"sectors\":{},\"bytes\":{},\"sectors_if_packed\":{},\"unique_bytes\":{ub},\"unique_sectors\":{us}}}",
            v[0], v[1], v[2], v[3]
        )
    };
    o += &g("global_load", &s.gld, li.uniq[0], li.uniq[2]);
    o += &g("global_store", &s.gst, li.uniq[1], li.uniq[3]);
    let _ = write!(
        o,
        ",\"global_atomic\":{{\"requests\":{},\"sectors\":{},\"lanes\":{}}}",
        s.gat[0], s.gat[1], s.gat[2]
    );
    let sh = |n: &str, v: &[u64; 4]| {
        format!(
            ",\"{n}\":{{\"requests\":{},\"wavefronts\":{},\"extra_wavefronts\":{},\"bytes\":{}}}",
            v[0],
            v[1],
            v[1] - v[2],
            v[3]
        )
    };
    o += &sh("shared_load", &s.sld);
    o += &sh("shared_store", &s.sst);
    let _ = write!(
        o,
        ",\"shared_atomic\":{{\"requests\":{},\"lanes\":{},\"serial_rounds\":{}}}",
        s.sat[0], s.sat[1], s.sat[2]
    );
    for (n, v) in [("load", &s.dld), ("store", &s.dst), ("atomic", &s.dat)] {
        let _ = write!(
            o,
            ",\"distributed_{n}\":{{\"requests\":{},\"lanes\":{},\"bytes\":{}}}",
            v[0], v[1], v[2]
        );
    }
    if s.prof.iter().any(|x| x[0] != 0) {
        // by source line, most executed first
        let mut by: BTreeMap<(u32, u32), [u64; 3]> = BTreeMap::new();
        for (pc, p) in s.prof.iter().enumerate() {
            let (pl, f, l) = k.dbg[k.code[pc].src as usize];
            let e = by.entry(if f == 0 { (0, pl) } else { (f, l) }).or_default();
            for j in 0..3 {
                e[j] += p[j];
            }
        }
        let mut v: Vec<_> = by.into_iter().filter(|x| x.1[0] != 0).collect();
        v.sort_by_key(|x| std::cmp::Reverse(x.1[0]));
        o += ",\"lines\":[";
        for (i, ((f, l), p)) in v.iter().take(40).enumerate() {
            let n = k
                .files
                .get(f)
                .map(|s| s.rsplit('/').next().unwrap_or(s).to_string())
                .unwrap_or("ptx".into());
            let _ = write!(
                o,
                "{}{{\"line\":\"{}:{l}\",\"warp_instructions\":{},\"sectors\":{},\"extra_wavefronts\":{}}}",
                if i > 0 { "," } else { "" },
                esc(&n),
                p[0],
                p[1],
                p[2]
            );
        }
        o += "]";
    }
    o += ",\"findings\":[";
    for (i, f) in fs.iter().enumerate() {
        let _ = write!(
            o,
            "{}{{\"kind\":\"{}\",\"severity\":\"{}\",\"count\":{},\"text\":\"{}\"}}",
            if i > 0 { "," } else { "" },
            f.kind,
            if f.error { "error" } else { "warning" },
            f.count,
            esc(&f.text)
        );
    }
    o += "]}";
    o
}

/// Appends one line to a file, whole lines even when processes share it.
pub fn append(path: &str, line: &str) {
    if let Ok(mut f) = std::fs::OpenOptions::new().create(true).append(true).open(path) {
        let _ = f.write_all(format!("{line}\n").as_bytes());
    }
}
