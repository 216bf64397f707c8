//! Machine instructions of every kernel on every architecture, against the table in
//! `kernels/instructions.txt`, and the counts that the design promises.
//!
//! To compare machine code needs cuobjdump (`BIHALF_CUOBJDUMP`, which `scripts/cuda_env.sh` sets).

use crate::machine_code::{ARCHITECTURES, MachineCode, head, table};
use crate::resources::MAY_SPILL;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::{BufRead, BufReader};
use std::ops::RangeInclusive;
use std::path::Path;
use std::process::{Command, Stdio};

const FILE: &str = "kernels/instructions.txt";
const TABLE: &str = include_str!("../kernels/instructions.txt");

/// Kernels of which a tile takes the same way whatever the values, and the rows of a column that a
/// thread loads and stores: the table holds the fewest instructions of such a way.
const STRAIGHT: &[(&str, usize)] = &[
    ("bihalf_network32", 32),
    ("bihalf_pairs32", 32),
    ("bihalf_network64", 64),
    ("bihalf_short_slices128", 32),
    ("bihalf_short_slices256", 32),
    ("bihalf_short_slices1024", 32),
    ("bihalf_slices128", 128),
    ("bihalf_slices256", 128),
    ("bihalf_slices1024", 128),
    ("bihalf_slices2048", 128),
    ("bihalf_slices4096", 128),
    ("bihalf_slices8192", 128),
    ("bihalf_slices8192x4", 128),
    ("bihalf_cluster_slices8192", 32),
    ("bihalf_cluster_slices32768", 128),
    ("bihalf_cluster_slices65536", 128),
];

/// Kernels of which the same is counted where rows could be missing; of eight or four columns, in
/// which each guard of a load is a predicate and not a branch, which could not be followed.
const GUARDED: &[&str] = &[
    "bihalf_short_slices1024_f32",
    "bihalf_slices1024_f32",
    "bihalf_slices2048_f32",
    "bihalf_slices4096_f32",
    "bihalf_slices8192x4_f32",
    "bihalf_cluster_slices8192_f32",
    "bihalf_cluster_slices32768_f32",
];

struct Instruction {
    address: u64,
    /// The predicate that guards it, if any, is left out.
    text: String,
    guarded: bool,
}

impl Instruction {
    /// A line such as `/*0080*/ @P0 LDG.E R6, desc[UR6][R6.64] ;`.
    fn parse(line: &str) -> Option<Self> {
        let (address, rest) = line.trim_start().strip_prefix("/*")?.split_once("*/")?;
        let address = u64::from_str_radix(address, 16).ok()?;
        let text = rest.split_once(';')?.0.trim();
        let (guarded, text) = match text.strip_prefix('@') {
            Some(rest) => (true, rest.split_once(' ')?.1.trim()),
            None => (false, text),
        };
        Some(Self { address, text: text.to_owned(), guarded })
    }

    fn is(&self, name: &str) -> bool {
        let rest = self.text.strip_prefix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', ' ']))
    }

    /// A branch may also depend on a predicate that is written as its first argument.
    fn is_conditional(&self) -> bool {
        let mut words = self.text.split_whitespace().skip(1);
        self.guarded || words.next().is_some_and(|word| word.trim_start_matches('!').contains('P'))
    }

    fn target(&self) -> Option<u64> {
        u64::from_str_radix(self.text.rsplit("0x").next()?.trim(), 16).ok()
    }
}

/// By kernel.
type Code = BTreeMap<String, Vec<Instruction>>;

fn disassemble(cuobjdump: &str, fatbin: &Path, arch: u32) -> Code {
    let mut command = Command::new(cuobjdump);
    command.args(["-sass", "-arch", &format!("sm_{arch}")]).arg(fatbin).stdout(Stdio::piped());
    let mut child = command.spawn().expect("cuobjdump starts");
    let (mut code, mut kernel) = (Code::new(), String::new());
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.expect("text");
        if let Some((_, name)) = line.split_once("Function : ") {
            kernel = name.trim().to_owned();
        } else if let Some(instruction) = Instruction::parse(&line) {
            code.entry(kernel.clone()).or_default().push(instruction);
        }
    }
    assert!(child.wait().expect("cuobjdump ends").success(), "cuobjdump on sm_{arch}");
    for instructions in code.values_mut() {
        // What fills the end up is never executed.
        while instructions.last().is_some_and(|last| last.is("NOP") || last.is("BRA")) {
            instructions.pop();
        }
    }
    code
}

/// The fewest instructions from entry to exit, or to the end of a piece of code, on a way with so
/// many marked ones: without going back, or through loops as often as that takes.
fn fewest_with(code: &[Instruction], marked: &[bool], marks: usize, loops: bool) -> Option<u32> {
    let place: BTreeMap<u64, usize> =
        code.iter().enumerate().map(|(at, instruction)| (instruction.address, at)).collect();
    let plus_one = |n: Option<u32>| n.map(|n| n + 1);
    let fewest = |a: Option<u32>, b: Option<u32>| a.into_iter().chain(b).min();
    // fewest[n][at]: from there, with n marks still to come.
    let mut table = vec![vec![None; code.len() + 1]; marks + 1];
    table[0][code.len()] = Some(0);
    for to_come in 0..=marks {
        let mut changed = true;
        // What lies behind a branch back is known only after a first round.
        while changed {
            changed = false;
            for (at, instruction) in code.iter().enumerate().rev() {
                let left = to_come.saturating_sub(usize::from(marked[at]));
                let next = plus_one(table[left][at + 1]);
                let now = if instruction.is("EXIT") {
                    let end = (left == 0).then_some(1);
                    if instruction.guarded { fewest(end, next) } else { end }
                } else if instruction.is("BRA") {
                    let target = instruction.target().and_then(|target| place.get(&target));
                    // A branch back depends on something, shown or (a uniform predicate) not.
                    let conditional =
                        instruction.is_conditional() || target.is_some_and(|&to| to < at);
                    let target = target.filter(|&&to| loops || to > at);
                    let jump = target.and_then(|&to| plus_one(table[left][to]));
                    if conditional { fewest(jump, next) } else { jump }
                } else {
                    next
                };
                changed |= table[to_come][at] != now;
                table[to_come][at] = now;
            }
        }
    }
    table[marks][0]
}

/// Loops, from the instruction that a branch goes back to up to the branch.
fn loops(code: &[Instruction]) -> Vec<RangeInclusive<usize>> {
    let branches = code.iter().enumerate().filter(|(_, i)| i.is("BRA"));
    let backwards = branches.filter_map(|(at, branch)| {
        let to = branch.target()?;
        let to = code[..at].iter().position(|i| i.address == to)?;
        Some(to..=at)
    });
    backwards.collect()
}

/// What stores before it only clears pad bits.
fn first_load(code: &[Instruction]) -> u64 {
    code.iter().find(|i| i.is("LDG")).expect("a load").address
}

fn marks(code: &[Instruction], is: impl Fn(&Instruction) -> bool) -> Vec<bool> {
    code.iter().map(is).collect()
}

/// The fewest instructions through a tile of `rows` rows a thread whose rows and columns all exist.
fn through_a_full_tile(code: &[Instruction], rows: usize) -> Option<u32> {
    let stores = marks(code, |i| i.is("STG") && i.address > first_load(code));
    let once = fewest_with(code, &stores, rows, false)?;
    // A loop that sorts half of the rows is gone through twice.
    let sorts = |range: &RangeInclusive<usize>| {
        code[range.clone()].iter().filter(|i| is_min_max(i)).count() > rows
    };
    let Some(sorting) = loops(code).into_iter().find(sorts) else { return Some(once) };
    let body = &code[sorting];
    let loads = marks(body, |i| i.is("LDG"));
    Some(once + fewest_with(body, &loads, rows / 2, false)?)
}

/// The same on bit slices of 32-bit keys where rows could be missing: loads are guarded, all but the
/// first of each word or so, and stores are a loop.
fn through_a_guarded_tile(code: &[Instruction], rows: usize) -> Option<u32> {
    let loops = loops(code);
    let is_load = |i: &Instruction| i.is("LDG") && i.guarded;
    let is_dense_store = |i: &Instruction| i.is("STG") && !i.text.starts_with("STG.E.U8");
    let marked: Vec<bool> = (0..code.len())
        .map(|at| {
            let in_loop = loops.iter().any(|range| range.contains(&at));
            is_load(&code[at]) || (is_dense_store(&code[at]) && in_loop)
        })
        .collect();
    let loads = code.iter().filter(|i| is_load(i)).count().min(rows);
    fewest_with(code, &marked, rows + loads, true)
}

fn is_min_max(i: &Instruction) -> bool {
    ["VIMNMX", "VIMNMX3", "IMNMX", "VIMNMX.S16x2"].iter().any(|name| i.is(name))
}

/// What of a kernel's instructions is counted: the name of a line, and a number.
fn counts(kernel: &str, code: &[Instruction]) -> Vec<(&'static str, usize)> {
    let count = |is: &dyn Fn(&Instruction) -> bool| code.iter().filter(|i| is(i)).count();
    let wide = |i: &Instruction| {
        (i.is("LDG") || i.is("STG")) && i.text.split(' ').next().unwrap().contains(".128")
    };
    let mut counts = vec![
        ("instructions", code.len()),
        ("barriers", count(&|i| i.is("BAR"))),
        ("cluster_barriers", count(&|i| i.is("UCGABAR_ARV"))),
        ("shuffles", count(&|i| i.is("SHFL"))),
        ("min_max", count(&is_min_max)),
        ("16_bytes", count(&wide)),
        ("local", count(&|i| i.is("LDL") || i.is("STL"))),
    ];
    counts.retain(|&(what, count)| count > 0 || what == "instructions");
    let straight = STRAIGHT.iter().find(|(name, _)| kernel.starts_with(&format!("{name}_")));
    if let Some(&(_, rows)) = straight {
        let full = through_a_full_tile(code, rows)
            .unwrap_or_else(|| panic!("no way through a full tile of {kernel}"));
        counts.push(("full_tile", full as usize));
        if GUARDED.contains(&kernel) {
            let guarded = through_a_guarded_tile(code, rows).expect("a way with guards");
            counts.push(("guarded_tile", guarded as usize));
        }
    }
    counts
}

type Counts = BTreeMap<(String, String), BTreeMap<u32, usize>>;

fn text(counts: &Counts) -> String {
    let mut text = format!("{}\n# on", head());
    ARCHITECTURES.iter().for_each(|arch| write!(text, " sm_{arch}").unwrap());
    text.push_str(
        "; full_tile, guarded_tile: the fewest instructions of a thread that stores all its rows\n",
    );
    for ((kernel, what), of_arch) in counts {
        write!(text, "{kernel:34} {what:16}").unwrap();
        for arch in ARCHITECTURES {
            let is_compiled =
                counts[&(kernel.clone(), "instructions".to_owned())].contains_key(&arch);
            match of_arch.get(&arch).copied().or(is_compiled.then_some(0)) {
                Some(count) => write!(text, " {count:5}").unwrap(),
                None => text.push_str("     -"),
            }
        }
        text.push('\n');
    }
    text
}

/// What a text tells; what its kernel has none of is left out there.
fn of_text(text: &str) -> Counts {
    let mut counts = Counts::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split_whitespace().map(str::to_owned);
        let mut word = || words.next().expect("a word");
        let of_arch = counts.entry((word(), word())).or_default();
        for arch in ARCHITECTURES {
            of_arch.extend(word().parse().ok().map(|count: usize| (arch, count)));
        }
    }
    counts
}

fn of_code(code: &MachineCode) -> Counts {
    let cuobjdump = std::env::var("BIHALF_CUOBJDUMP").expect("BIHALF_CUOBJDUMP names a cuobjdump");
    let mut all = Counts::new();
    for arch in ARCHITECTURES {
        for (kernel, code) in disassemble(&cuobjdump, &code.fatbin, arch) {
            for (what, count) in counts(&kernel, &code) {
                all.entry((kernel.clone(), what.to_owned())).or_default().insert(arch, count);
            }
        }
    }
    all
}

#[test]
fn instructions_are_those_of_the_table_and_as_few_as_promised() {
    let Some(text) = table(FILE, TABLE, |code| text(&of_code(code))) else { return };
    let all = of_text(&text);

    let of = |kernel: &str, what: &str, arch| all[&(kernel.to_owned(), what.to_owned())][&arch];
    for ((kernel, _), of_arch) in all.iter().filter(|((_, what), _)| what == "local") {
        for (arch, count) in of_arch {
            let may = MAY_SPILL.contains(&(kernel.as_str(), *arch));
            assert!(may || *count == 0, "{kernel} on sm_{arch} uses local memory");
        }
    }
    // Warp instructions for 32 elements of a tile.
    for (kernel, what, elements, most) in [
        ("bihalf_pairs32_f16", "full_tile", 64, 16),
        ("bihalf_pairs32_bf16", "full_tile", 64, 16),
        ("bihalf_network32_f32", "full_tile", 32, 24),
        ("bihalf_network64_f32", "full_tile", 64, 28),
    ] {
        let count = of(kernel, what, 90);
        assert!(count <= elements * most, "{kernel}: {count} for {elements} elements of a thread");
    }
    for kernel in [
        "bihalf_slices128_f32",
        "bihalf_slices256_f32",
        "bihalf_slices1024_f32",
        "bihalf_slices2048_f32",
        "bihalf_slices4096_f32",
        "bihalf_slices8192x4_f32",
        "bihalf_cluster_slices32768_f32",
    ] {
        let full = of(kernel, "full_tile", 90);
        assert!(full <= 128 * 32, "{kernel}: {full}");
        if GUARDED.contains(&kernel) {
            let guarded = of(kernel, "guarded_tile", 90);
            assert!(guarded <= 128 * 44, "{kernel}: {guarded} where rows could be missing");
        }
    }
    // A network is straight-line code that is fetched once: 16 bytes an instruction.
    for (kernel, arch) in ["network32_f32", "network32_f16", "network64_f32", "network64_f16"]
        .into_iter()
        .flat_map(|kernel| ARCHITECTURES.map(|arch| (kernel, arch)))
    {
        let bytes = 16 * of(&format!("bihalf_{kernel}"), "instructions", arch);
        assert!(bytes < 36 << 10, "{kernel}: {bytes} bytes on sm_{arch}");
    }
}
