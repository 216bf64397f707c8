//! Device memory: a reserved range of device addresses that the host cannot
//! touch, the bytes behind it, and one state byte per data byte.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};

pub const ALLOC: u8 = 1;
pub const INIT: u8 = 2;
pub const READ: u8 = 4;
pub const WROTE: u8 = 8;
pub const RO: u8 = 16;
pub const FREED: u8 = 32;

pub struct Arena {
    /// device base address and length
    pub base: u64,
    pub len: u64,
    /// host address of byte 0
    pub host: u64,
    pub shadow: u64,
    /// one byte per 4 KiB page: touched in the running launch
    pub dirty: u64,
    /// two u64 per 4-byte word (last writer, last reader), when watching for races
    pub owner: u64,
}

#[derive(Clone, Debug)]
pub struct Alloc {
    pub addr: u64,
    pub size: u64,
    pub kind: &'static str,
    pub seq: u64,
    pub ctx: u64,
}

pub struct Heap {
    bump: u64,
    free: BTreeMap<u64, u64>,
    pub live: BTreeMap<u64, Alloc>,
    pub dead: BTreeMap<u64, Alloc>,
    pub used: u64,
    pub seq: u64,
}

pub struct Mem {
    /// 0: device, 1: host-visible (managed, pinned; same address on both sides)
    pub ar: [Arena; 2],
    pub heap: [Heap; 2],
    pub redzone: u64,
    pub fill: Option<u8>,
    pub limit: u64,
}

unsafe fn map(len: u64, prot: i32) -> u64 {
    let p = libc::mmap(
        std::ptr::null_mut(),
        len as usize,
        prot,
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
        -1,
        0,
    );
    assert!(p != libc::MAP_FAILED, "cudaemu: cannot reserve {len} bytes of address space");
    p as u64
}

impl Arena {
    fn new(len: u64, same: bool, race: bool) -> Arena {
        unsafe {
            let rw = libc::PROT_READ | libc::PROT_WRITE;
            let host = map(len, rw);
            let base = if same { host } else { map(len, libc::PROT_NONE) };
            Arena {
                base,
                len,
                host,
                shadow: map(len, rw),
                dirty: map(len >> 12, rw),
                owner: if race { map(len * 4, rw) } else { 0 },
            }
        }
    }
    #[inline(always)]
    pub fn has(&self, a: u64) -> bool {
        a.wrapping_sub(self.base) < self.len
    }
}

pub fn env_u64(k: &str, d: u64) -> u64 {
    std::env::var(k).ok().and_then(|v| v.trim().parse().ok()).unwrap_or(d)
}

impl Default for Mem {
    fn default() -> Self {
        Self::new()
    }
}

impl Mem {
    pub fn new() -> Mem {
        let gb = env_u64("CUDAEMU_VA_GB", 32);
        let race = env_u64("CUDAEMU_GRACE", 1) != 0;
        let ar = [Arena::new(gb << 30, false, race), Arena::new(gb << 28, true, false)];
        let heap = [0, 1].map(|i: usize| Heap {
            bump: ar[i].base + 4096,
            free: BTreeMap::new(),
            live: BTreeMap::new(),
            dead: BTreeMap::new(),
            used: 0,
            seq: 0,
        });
        let fill = match std::env::var("CUDAEMU_FILL").ok().as_deref() {
            Some("off") => None,
            Some(s) => Some(s.parse().unwrap_or(0xA5)),
            None => Some(0xA5),
        };
        Mem {
            ar,
            heap,
            redzone: env_u64("CUDAEMU_REDZONE", 65536),
            fill,
            limit: env_u64("CUDAEMU_MEM_MB", 8192) << 20,
        }
    }

    pub fn alloc(
        &mut self,
        which: usize,
        size: u64,
        align: u64,
        kind: &'static str,
        ctx: u64,
    ) -> Option<u64> {
        let sz = size.max(1);
        if self.heap[0].used + self.heap[1].used + sz > self.limit {
            return None;
        }
        let span = (sz + align - 1 + self.redzone).div_ceil(512) * 512 + 512;
        let h = &mut self.heap[which];
        let a = &self.ar[which];
        let mut addr = None;
        if h.bump + span <= a.base + a.len {
            addr = Some(h.bump);
            h.bump += span;
        } else {
            // merge neighbours, then first fit
            let mut merged: BTreeMap<u64, u64> = BTreeMap::new();
            for (&b, &l) in &h.free {
                if let Some((&pb, pl)) = merged.iter_mut().next_back() {
                    if pb + *pl == b {
                        *pl += l;
                        continue;
                    }
                }
                merged.insert(b, l);
            }
            h.free = merged;
            let hit = h.free.iter().map(|(&b, &l)| (b, l)).find(|&(_, l)| l >= span);
            if let Some((b, l)) = hit {
                h.free.remove(&b);
                if l > span {
                    h.free.insert(b + span, l - span);
                }
                let gone: Vec<u64> = h.dead.range(b..b + span).map(|x| *x.0).collect();
                for g in gone {
                    h.dead.remove(&g);
                }
                addr = Some(b);
            }
        }
        let raw = addr?;
        let p = raw.div_ceil(align.max(512)) * align.max(512);
        h.used += sz;
        h.seq += 1;
        h.live.insert(p, Alloc { addr: p, size, kind, seq: h.seq, ctx });
        let st = if which == 1 { ALLOC | INIT } else { ALLOC };
        unsafe {
            let sh = (a.shadow + (raw - a.base)) as *mut u8;
            std::ptr::write_bytes(sh, 0, span as usize);
            std::ptr::write_bytes((a.shadow + (p - a.base)) as *mut u8, st, size as usize);
            if let Some(f) = self.fill {
                std::ptr::write_bytes((a.host + (p - a.base)) as *mut u8, f, size as usize);
            }
        }
        Some(p)
    }

    pub fn free(&mut self, which: usize, p: u64) -> bool {
        let rz = self.redzone;
        let a = &self.ar[which];
        let h = &mut self.heap[which];
        let Some(al) = h.live.remove(&p) else { return false };
        h.used -= al.size.max(1);
        unsafe {
            std::ptr::write_bytes((a.shadow + (p - a.base)) as *mut u8, FREED, al.size as usize);
            // give whole pages back
            let s = (p + 4095) & !4095;
            let e = (p + al.size) & !4095;
            if e > s && which == 0 {
                libc::madvise(
                    (a.host + (s - a.base)) as *mut _,
                    (e - s) as usize,
                    libc::MADV_DONTNEED,
                );
                if a.owner != 0 {
                    libc::madvise(
                        (a.owner + (s - a.base) * 4) as *mut _,
                        ((e - s) * 4) as usize,
                        libc::MADV_DONTNEED,
                    );
                }
            }
            if e > s {
                // reads as zero: not allocated; `dead` still knows what it was
                libc::madvise(
                    (a.shadow + (s - a.base)) as *mut _,
                    (e - s) as usize,
                    libc::MADV_DONTNEED,
                );
            }
        }
        let span = (al.size.max(1) + rz).div_ceil(512) * 512;
        h.free.insert(p, span);
        h.dead.insert(p, al);
        true
    }

    #[inline(always)]
    pub fn which(&self, a: u64) -> Option<usize> {
        if self.ar[0].has(a) {
            Some(0)
        } else if self.ar[1].has(a) {
            Some(1)
        } else {
            None
        }
    }
    #[inline(always)]
    pub fn host(&self, a: u64) -> u64 {
        let r = if self.ar[0].has(a) { &self.ar[0] } else { &self.ar[1] };
        r.host + (a - r.base)
    }
    #[inline(always)]
    pub fn shadow(&self, a: u64) -> u64 {
        let r = if self.ar[0].has(a) { &self.ar[0] } else { &self.ar[1] };
        r.shadow + (a - r.base)
    }

    pub fn describe(&self, a: u64) -> String {
        let Some(w) = self.which(a) else {
            return if a < 65536 { "near null".into() } else { "not a device address".into() };
        };
        let h = &self.heap[w];
        let show = |al: &Alloc, what: &str| {
            let (rel, d) = if a < al.addr {
                ("before", al.addr - a)
            } else if a < al.addr + al.size {
                ("inside", a - al.addr)
            } else {
                ("after the end of", a - (al.addr + al.size))
            };
            format!(
                "{d} bytes {rel} {what} #{} ({} bytes at {:#x}, {})",
                al.seq, al.size, al.addr, al.kind
            )
        };
        let prev = h.live.range(..=a).next_back().map(|x| x.1);
        let next = h.live.range(a..).next().map(|x| x.1);
        let dead = h.dead.range(..=a).next_back().map(|x| x.1);
        if let Some(d) = dead {
            if a < d.addr + d.size {
                return show(d, "FREED allocation");
            }
        }
        match (prev, next) {
            (Some(p), Some(n)) if n.addr - a < a.saturating_sub(p.addr + p.size) => {
                show(n, "allocation")
            }
            (Some(p), _) => show(p, "allocation"),
            (None, Some(n)) => show(n, "allocation"),
            _ => "no allocation near".into(),
        }
    }

    /// state bytes all have `bits`?
    pub fn range_has(&self, a: u64, n: u64, bits: u8) -> Option<u64> {
        if n == 0 {
            return None;
        }
        let (Some(w), Some(w2)) = (self.which(a), self.which(a + n - 1)) else { return Some(a) };
        if w != w2 {
            return Some(a);
        }
        let s = self.shadow(a) as *const u8;
        for i in 0..n {
            if unsafe { *s.add(i as usize) } & bits != bits {
                return Some(a + i);
            }
        }
        None
    }
    pub fn mark_init(&self, a: u64, n: u64) {
        let s = self.shadow(a) as *mut u8;
        for i in 0..n as usize {
            unsafe { *s.add(i) |= INIT }
        }
    }
    pub fn copy_state(&self, d: u64, s: u64, n: u64) {
        let (dp, sp) = (self.shadow(d) as *mut u8, self.shadow(s) as *const u8);
        for i in 0..n as usize {
            unsafe { *dp.add(i) = (*dp.add(i) & !INIT) | (*sp.add(i) & INIT) }
        }
    }

    /// Unique bytes and sectors touched since the last call; clears the marks.
    pub fn harvest(&self) -> [u64; 4] {
        let mut out = [0u64; 4]; // bytes read, bytes written, sectors read, sectors written
        for (a, h) in self.ar.iter().zip(&self.heap) {
            let dirty = a.dirty as *mut u8;
            let pages = h.live.values().flat_map(|x| {
                let o = x.addr - a.base;
                o >> 12..((o + x.size.max(1) - 1) >> 12) + 1
            });
            for pg in pages {
                unsafe {
                    if *dirty.add(pg as usize) == 0 {
                        continue;
                    }
                    *dirty.add(pg as usize) = 0;
                    let s = (a.shadow + (pg << 12)) as *mut u64;
                    for sec in 0..128 {
                        let (mut r, mut w) = (0u32, 0u32);
                        for k in 0..4 {
                            let q = s.add(sec * 4 + k);
                            let v = *q;
                            if v & 0x0c0c0c0c0c0c0c0c != 0 {
                                r += (v & 0x0404040404040404).count_ones();
                                w += (v & 0x0808080808080808).count_ones();
                                *q = v & !0x0c0c0c0c0c0c0c0c;
                            }
                        }
                        out[0] += r as u64;
                        out[1] += w as u64;
                        out[2] += (r != 0) as u64;
                        out[3] += (w != 0) as u64;
                    }
                }
            }
        }
        out
    }
}

pub enum Bad {
    Oob,
    ReadOnly,
}

/// What a kernel needs of `Mem`, copied per launch so the hot path has no locks.
#[derive(Clone, Copy)]
pub struct View {
    pub b0: u64,
    pub l0: u64,
    pub h0: u64,
    pub s0: u64,
    pub d0: u64,
    pub b1: u64,
    pub l1: u64,
    pub s1: u64,
    pub d1: u64,
    pub o0: u64,
}

impl View {
    pub fn of(m: &Mem) -> View {
        let (a, b) = (&m.ar[0], &m.ar[1]);
        View {
            b0: a.base,
            l0: a.len,
            h0: a.host,
            s0: a.shadow,
            d0: a.dirty,
            b1: b.base,
            l1: b.len,
            s1: b.shadow,
            d1: b.dirty,
            o0: a.owner,
        }
    }
    /// bytes now hold an undefined value
    pub fn forget(&self, a: u64, n: u64) {
        for z in 0..n {
            let o = (a + z).wrapping_sub(self.b0);
            let sh =
                if o < self.l0 { self.s0 + o } else { self.s1 + (a + z).wrapping_sub(self.b1) };
            unsafe { (*(sh as *const AtomicU8)).fetch_and(!INIT, Relaxed) };
        }
    }
    pub fn state(&self, a: u64) -> u8 {
        let o = a.wrapping_sub(self.b0);
        let sh = if o < self.l0 { self.s0 + o } else { self.s1 + a.wrapping_sub(self.b1) };
        unsafe { *(sh as *const u8) }
    }
    /// Checks a naturally aligned access of 1, 2, 4, 8 or 16 bytes, marks it, and
    /// returns its host address and whether a read saw uninitialised bytes.
    #[inline(always)]
    pub fn access(&self, a: u64, n: u32, rd: bool, wr: bool) -> Result<(u64, bool), Bad> {
        let o = a.wrapping_sub(self.b0);
        let (host, sh, dirty, o) = if o < self.l0 {
            (self.h0 + o, self.s0 + o, self.d0, o)
        } else {
            let o = a.wrapping_sub(self.b1);
            if o >= self.l1 {
                return Err(Bad::Oob);
            }
            (a, self.s1 + o, self.d1, o)
        };
        let (mut un, mut pagemark) = (false, false);
        unsafe {
            macro_rules! chk {
                ($sh:expr, $t:ty, $at:ty, $one:expr) => {{
                    let p = $sh as *const $at;
                    let v: $t = (*p).load(Relaxed);
                    const K: $t = $one;
                    if v & K != K {
                        return Err(Bad::Oob);
                    }
                    let mut set: $t = 0;
                    if rd {
                        if v & (K << 1) != (K << 1) {
                            un = true;
                        }
                        set |= K << 2;
                    }
                    if wr {
                        if v & (K << 4) != 0 {
                            return Err(Bad::ReadOnly);
                        }
                        set |= (K << 1) | (K << 3);
                    }
                    if v & set != set {
                        pagemark = true;
                        (*p).fetch_or(set, Relaxed);
                    }
                }};
            }
            match n {
                1 => chk!(sh, u8, AtomicU8, 1),
                2 => chk!(sh, u16, std::sync::atomic::AtomicU16, 0x0101),
                4 => chk!(sh, u32, AtomicU32, 0x0101_0101),
                8 => chk!(sh, u64, AtomicU64, 0x0101_0101_0101_0101),
                _ => {
                    chk!(sh, u64, AtomicU64, 0x0101_0101_0101_0101);
                    chk!(sh + 8, u64, AtomicU64, 0x0101_0101_0101_0101);
                }
            }
            if pagemark {
                *((dirty + (o >> 12)) as *mut u8) = 1;
            }
        }
        Ok((host, un))
    }
}
