//! What a launch did, in numbers, and the line of JSON that says so.

use crate::checks::Finding;
use crate::machine::cluster::TAG_SIZE;
use crate::machine::memory::Touched;
use crate::ptx::kernel::{Class, Kernel};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;

/// Bytes of a sector of global memory, the least that is transferred.
const SECTOR: u64 = 32;
/// Of shared memory, each of which gives a word of 4 bytes in a pass.
const BANKS: usize = 32;
/// Source lines of a profile.
const PROFILE_LINES: usize = 40;

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident),* $(,)? })*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default)]
        pub struct $name { $($(#[$field_doc])* pub $field: u64),* }

        impl std::ops::AddAssign<&$name> for $name {
            fn add_assign(&mut self, other: &$name) {
                $(self.$field += other.$field;)*
            }
        }
    )* };
}
counts! {
    /// Loads or stores of global memory.
    GlobalAccesses {
        /// instructions of a warp
        requests,
        sectors,
        bytes,
        /// sectors if the bytes of each request lay together
        packed_sectors,
    }
    GlobalAtomics { requests, sectors, lanes }
    /// Loads or stores of the block's shared memory.
    SharedAccesses {
        requests,
        /// passes over the 32 banks
        wavefronts,
        /// passes without conflicts
        least_wavefronts,
        bytes,
    }
    SharedAtomics {
        requests,
        lanes,
        /// the most lanes on one word, of each request
        serial_rounds,
    }
    /// Accesses to the shared memory of other blocks of the cluster.
    DistributedAccesses { requests, lanes, bytes }
    /// Of one instruction, when lines are profiled.
    InstructionCounts { executions, sectors, extra_wavefronts }
}

#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// by class: instructions of warps, and those times their active lanes
    pub warp_instructions: [u64; Class::NAMES.len()],
    pub thread_instructions: [u64; Class::NAMES.len()],
    pub global_load: GlobalAccesses,
    pub global_store: GlobalAccesses,
    pub global_atomic: GlobalAtomics,
    pub shared_load: SharedAccesses,
    pub shared_store: SharedAccesses,
    pub shared_atomic: SharedAtomics,
    pub distributed_load: DistributedAccesses,
    pub distributed_store: DistributedAccesses,
    pub distributed_atomic: DistributedAccesses,
    pub barriers: u64,
    pub cluster_barriers: u64,
    pub blocks: u64,
    pub warps: u64,
    pub branches: u64,
    pub divergent_branches: u64,
    /// by instruction; empty unless lines are profiled
    pub profile: Vec<InstructionCounts>,
}

/// The addresses of one request.
pub struct Traffic {
    global: [u64; 32],
    globals: usize,
    /// and lane
    shared: [(u32, u8); 32],
    shareds: usize,
    distributed: u64,
}

impl Default for Traffic {
    #[inline(always)]
    fn default() -> Self {
        Traffic { global: [0; 32], globals: 0, shared: [(0, 0); 32], shareds: 0, distributed: 0 }
    }
}

impl Traffic {
    #[inline(always)]
    pub fn global(&mut self, a: u64) {
        self.global[self.globals] = a;
        self.globals += 1;
    }

    #[inline(always)]
    pub fn shared(&mut self, a: u64, lane: usize) {
        if a < TAG_SIZE {
            self.shared[self.shareds] = (a as u32, lane as u8);
            self.shareds += 1;
        } else {
            self.distributed += 1;
        }
    }

    fn sectors(&self) -> u64 {
        sectors(&self.global[..self.globals])
    }
}

impl Counters {
    /// `instructions`: of the kernel, if lines are profiled.
    pub fn new(instructions: Option<usize>) -> Counters {
        let profile = vec![InstructionCounts::default(); instructions.unwrap_or(0)];
        Counters { profile, ..Counters::default() }
    }

    pub fn add(&mut self, other: &Counters) {
        let classes = |a: &mut [u64], b: &[u64]| a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
        classes(&mut self.warp_instructions, &other.warp_instructions);
        classes(&mut self.thread_instructions, &other.thread_instructions);
        self.global_load += &other.global_load;
        self.global_store += &other.global_store;
        self.global_atomic += &other.global_atomic;
        self.shared_load += &other.shared_load;
        self.shared_store += &other.shared_store;
        self.shared_atomic += &other.shared_atomic;
        self.distributed_load += &other.distributed_load;
        self.distributed_store += &other.distributed_store;
        self.distributed_atomic += &other.distributed_atomic;
        self.barriers += other.barriers;
        self.cluster_barriers += other.cluster_barriers;
        self.blocks += other.blocks;
        self.warps += other.warps;
        self.branches += other.branches;
        self.divergent_branches += other.divergent_branches;
        self.profile.resize(self.profile.len().max(other.profile.len()), Default::default());
        self.profile.iter_mut().zip(&other.profile).for_each(|(a, b)| *a += b);
    }

    #[inline(always)]
    pub fn count_instruction(&mut self, class: Class, pc: u32, active: u32) {
        self.warp_instructions[class as usize] += 1;
        self.thread_instructions[class as usize] += active.count_ones() as u64;
        if let Some(line) = self.profile.get_mut(pc as usize) {
            line.executions += 1;
        }
    }

    #[inline]
    pub fn count_loads(&mut self, traffic: &Traffic, pc: u32, bytes: u32, is_global: bool) {
        if traffic.globals > 0 && is_global {
            let sectors = self.global_load.count(traffic, bytes);
            self.profile_sectors(pc, sectors);
        }
        if traffic.shareds > 0 {
            let extra = self.shared_load.count(traffic, bytes);
            self.profile_wavefronts(pc, extra);
        }
        self.distributed_load.count(traffic, bytes);
    }

    #[inline]
    pub fn count_stores(&mut self, traffic: &Traffic, pc: u32, bytes: u32) {
        if traffic.globals > 0 {
            let sectors = self.global_store.count(traffic, bytes);
            self.profile_sectors(pc, sectors);
        }
        if traffic.shareds > 0 {
            let extra = self.shared_store.count(traffic, bytes);
            self.profile_wavefronts(pc, extra);
        }
        self.distributed_store.count(traffic, bytes);
    }

    /// They load what they copy.
    pub fn count_async_copies(&mut self, traffic: &Traffic, pc: u32, bytes: u32) {
        let sectors = self.global_load.count(traffic, bytes);
        self.profile_sectors(pc, sectors);
    }

    pub fn count_atomics(&mut self, traffic: &Traffic, bytes: u32) {
        if traffic.globals > 0 {
            self.global_atomic.requests += 1;
            self.global_atomic.sectors += traffic.sectors();
            self.global_atomic.lanes += traffic.globals as u64;
        }
        if traffic.shareds > 0 {
            self.shared_atomic.requests += 1;
            self.shared_atomic.lanes += traffic.shareds as u64;
            self.shared_atomic.serial_rounds += serial_rounds(&traffic.shared[..traffic.shareds]);
        }
        self.distributed_atomic.count(traffic, bytes);
    }

    #[inline(always)]
    fn profile_sectors(&mut self, pc: u32, sectors: u64) {
        if let Some(line) = self.profile.get_mut(pc as usize) {
            line.sectors += sectors;
        }
    }

    #[inline(always)]
    fn profile_wavefronts(&mut self, pc: u32, extra: u64) {
        if let Some(line) = self.profile.get_mut(pc as usize) {
            line.extra_wavefronts += extra;
        }
    }
}

impl GlobalAccesses {
    /// The sectors of the request.
    #[inline(always)]
    fn count(&mut self, traffic: &Traffic, bytes: u32) -> u64 {
        let (sectors, bytes) = (traffic.sectors(), traffic.globals as u64 * bytes as u64);
        *self +=
            &GlobalAccesses { requests: 1, sectors, bytes, packed_sectors: bytes.div_ceil(SECTOR) };
        sectors
    }
}

impl SharedAccesses {
    /// The wavefronts that conflicts cost the request.
    #[inline(always)]
    fn count(&mut self, traffic: &Traffic, bytes: u32) -> u64 {
        let shared = &traffic.shared[..traffic.shareds];
        let (wavefronts, least_wavefronts) = wavefronts(shared, bytes);
        let bytes = traffic.shareds as u64 * bytes as u64;
        *self += &SharedAccesses { requests: 1, wavefronts, least_wavefronts, bytes };
        wavefronts - least_wavefronts
    }
}

impl DistributedAccesses {
    #[inline(always)]
    fn count(&mut self, traffic: &Traffic, bytes: u32) {
        let lanes = traffic.distributed;
        if lanes > 0 {
            *self += &DistributedAccesses { requests: 1, lanes, bytes: lanes * bytes as u64 };
        }
    }
}

/// Distinct sectors of up to 32 addresses.
fn sectors(addresses: &[u64]) -> u64 {
    let mut found = [0u64; 32];
    let (mut count, mut greatest) = (0, 0);
    for sector in addresses.iter().map(|a| a / SECTOR) {
        // addresses mostly ascend, and neighbours mostly share a sector
        let is_last = count > 0 && found[count - 1] == sector;
        if is_last || sector <= greatest && found[..count].contains(&sector) {
            continue;
        }
        found[count] = sector;
        count += 1;
        greatest = greatest.max(sector);
    }
    count as u64
}

/// Wavefronts of a request to shared memory, and the least there could be: accesses of 8 bytes go by half
/// warps, those of 16 bytes by quarters.
fn wavefronts(shared: &[(u32, u8)], bytes: u32) -> (u64, u64) {
    let (lanes, words) = match bytes {
        ..=4 => (32, 1),
        8 => (16, 2),
        _ => (8, 4),
    };
    let parts = shared.chunk_by(|a, b| a.1 / lanes == b.1 / lanes);
    parts.fold((0, 0), |(all, least), part| (all + passes(part, words), least + 1))
}

/// Passes over the banks for lanes that go together: the most words in one bank.
fn passes(part: &[(u32, u8)], words: u32) -> u64 {
    // mostly there is one
    let mut first = [u32::MAX; BANKS];
    let mut is_first = |word: u32| {
        let first = &mut first[word as usize % BANKS];
        if *first == u32::MAX {
            *first = word;
        }
        *first == word
    };
    if part.iter().all(|&(a, _)| (0..words).all(|n| is_first(a / 4 + n))) {
        return 1;
    }
    // no more than 32 words: 32 lanes of one, 16 of two, 8 of four
    let mut touched = [0; 32];
    let all = part.iter().flat_map(|&(a, _)| a / 4..a / 4 + words);
    let count = all.zip(&mut touched).map(|(word, place)| *place = word).count();
    touched[..count].sort_unstable();
    let mut counts = [0; BANKS];
    for same in touched[..count].chunk_by(|a, b| a == b) {
        counts[same[0] as usize % BANKS] += 1;
    }
    counts.into_iter().max().unwrap_or(1)
}

/// The most lanes on one word.
fn serial_rounds(shared: &[(u32, u8)]) -> u64 {
    let mut words = [0; 32];
    let words = &mut words[..shared.len()];
    for (word, (a, _)) in words.iter_mut().zip(shared) {
        *word = a / 4;
    }
    words.sort_unstable();
    words.chunk_by(|a, b| a == b).map(|same| same.len() as u64).max().unwrap_or(0)
}

// ---- the line of JSON ----

/// What the line says beside the counters.
pub struct LaunchSummary {
    pub grid: [u32; 3],
    pub block: [u32; 3],
    pub cluster: [u32; 3],
    pub dynamic_shared: u32,
    pub wall_ns: u64,
    /// CUDA's number of the error
    pub result: u32,
    pub touched: Touched,
}

/// Text as it stands between quotes in JSON.
pub fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if (c as u32) < 32 => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out
}

impl Counters {
    /// One JSON object on one line.
    pub fn to_json(&self, kernel: &Kernel, launch: &LaunchSummary, findings: &[Finding]) -> String {
        let name = escape(&kernel.name);
        let LaunchSummary { grid, block, cluster, dynamic_shared, wall_ns, result, touched } =
            launch;
        let mut out = format!(
            "{{\"kernel\":\"{name}\",\"grid\":{grid:?},\"block\":{block:?},\"cluster\":{cluster:?}"
        );
        let (warp_instructions, thread_instructions): (u64, u64) =
            (self.warp_instructions.iter().sum(), self.thread_instructions.iter().sum());
        let numbers = [
            ("static_smem", kernel.static_shared),
            ("dynamic_smem", *dynamic_shared as u64),
            ("result", *result as u64),
            ("wall_ns", *wall_ns),
            ("blocks", self.blocks),
            ("warps", self.warps),
            ("warp_instructions", warp_instructions),
            ("thread_instructions", thread_instructions),
        ];
        push_numbers(&mut out, &numbers);
        let classes =
            Class::NAMES.iter().zip(self.warp_instructions.iter().zip(&self.thread_instructions));
        let classes = classes.filter(|(_, (w, _))| **w != 0);
        let classes: Vec<String> =
            classes.map(|(n, (w, t))| format!("\"{n}\":[{w},{t}]")).collect();
        let _ = write!(out, ",\"by_class\":{{{}}}", classes.join(","));
        let numbers = [
            ("branches", self.branches),
            ("divergent_branches", self.divergent_branches),
            ("barriers", self.barriers),
            ("cluster_barriers", self.cluster_barriers),
        ];
        push_numbers(&mut out, &numbers);
        self.push_global(&mut out, touched);
        self.push_shared(&mut out);
        if self.profile.iter().any(|line| line.executions != 0) {
            self.push_lines(&mut out, kernel);
        }
        let findings: Vec<String> = findings.iter().map(|f| f.to_json(false)).collect();
        let _ = write!(out, ",\"findings\":[{}]}}", findings.join(","));
        out
    }

    fn push_global(&self, out: &mut String, touched: &Touched) {
        let accesses = [
            ("global_load", &self.global_load, touched.loaded_bytes, touched.loaded_sectors),
            ("global_store", &self.global_store, touched.stored_bytes, touched.stored_sectors),
        ];
        for (name, counts, unique_bytes, unique_sectors) in accesses {
            let numbers = [
                ("requests", counts.requests),
                ("sectors", counts.sectors),
                ("bytes", counts.bytes),
                ("sectors_if_packed", counts.packed_sectors),
                ("unique_bytes", unique_bytes),
                ("unique_sectors", unique_sectors),
            ];
            push_object(out, name, &numbers);
        }
        let GlobalAtomics { requests, sectors, lanes } = self.global_atomic;
        let numbers = [("requests", requests), ("sectors", sectors), ("lanes", lanes)];
        push_object(out, "global_atomic", &numbers);
    }

    fn push_shared(&self, out: &mut String) {
        for (name, counts) in
            [("shared_load", &self.shared_load), ("shared_store", &self.shared_store)]
        {
            let numbers = [
                ("requests", counts.requests),
                ("wavefronts", counts.wavefronts),
                ("extra_wavefronts", counts.wavefronts - counts.least_wavefronts),
                ("bytes", counts.bytes),
            ];
            push_object(out, name, &numbers);
        }
        let SharedAtomics { requests, lanes, serial_rounds } = self.shared_atomic;
        let numbers = [("requests", requests), ("lanes", lanes), ("serial_rounds", serial_rounds)];
        push_object(out, "shared_atomic", &numbers);
        let distributed = [
            ("distributed_load", &self.distributed_load),
            ("distributed_store", &self.distributed_store),
            ("distributed_atomic", &self.distributed_atomic),
        ];
        for (name, DistributedAccesses { requests, lanes, bytes }) in distributed {
            let numbers = [("requests", *requests), ("lanes", *lanes), ("bytes", *bytes)];
            push_object(out, name, &numbers);
        }
    }

    /// Source lines, or lines of PTX without, most executed first.
    fn push_lines(&self, out: &mut String, kernel: &Kernel) {
        let mut lines: BTreeMap<(u32, u32), InstructionCounts> = BTreeMap::new();
        for (instruction, counts) in kernel.code.iter().zip(&self.profile) {
            let at = kernel.locations[instruction.location as usize];
            let line = if at.file == 0 { (0, at.ptx_line) } else { (at.file, at.line) };
            *lines.entry(line).or_default() += counts;
        }
        let mut lines: Vec<_> = lines.into_iter().filter(|(_, c)| c.executions != 0).collect();
        lines.sort_by_key(|(_, counts)| std::cmp::Reverse(counts.executions));
        let line = |((file, line), counts): &((u32, u32), InstructionCounts)| {
            let file = escape(kernel.file_name(*file).unwrap_or("ptx"));
            let mut out = format!("{{\"line\":\"{file}:{line}\"");
            let numbers = [
                ("warp_instructions", counts.executions),
                ("sectors", counts.sectors),
                ("extra_wavefronts", counts.extra_wavefronts),
            ];
            push_numbers(&mut out, &numbers);
            out + "}"
        };
        let lines: Vec<String> = lines.iter().take(PROFILE_LINES).map(line).collect();
        let _ = write!(out, ",\"lines\":[{}]", lines.join(","));
    }
}

/// `,"name":number` for each.
fn push_numbers(out: &mut String, numbers: &[(&str, u64)]) {
    for (name, number) in numbers {
        let _ = write!(out, ",\"{name}\":{number}");
    }
}

/// `,"name":{"name":number,...}`
fn push_object(out: &mut String, name: &str, numbers: &[(&str, u64)]) {
    let fields: Vec<String> = numbers.iter().map(|(n, v)| format!("\"{n}\":{v}")).collect();
    let _ = write!(out, ",\"{name}\":{{{}}}", fields.join(","));
}

impl Finding {
    /// One JSON object on one line.
    pub fn to_json(&self, with_kernel: bool) -> String {
        let severity = if self.is_error { "error" } else { "warning" };
        let (kind, count, text) = (self.kind.name(), self.count, escape(&self.text));
        let kernel = match with_kernel {
            true => format!(",\"kernel\":\"{}\"", escape(&self.kernel)),
            false => String::new(),
        };
        format!(
            "{{\"kind\":\"{kind}\",\"severity\":\"{severity}\"{kernel},\"count\":{count},\"text\":\"{text}\"}}"
        )
    }
}

/// Appends one line to a file, whole lines even when processes share it.
pub fn append_line(path: &str, line: &str) {
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
    let written = file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
    if let Err(e) = written {
        eprintln!("cudaemu: {path}: {e}");
    }
}
