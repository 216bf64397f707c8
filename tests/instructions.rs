//! Machine instructions of every kernel on every architecture, against the table in
//! `kernels/instructions.txt`, and the counts that the design promises.
//!
//! Needs cuobjdump (`BIHALF_CUOBJDUMP`, which `scripts/cuda_env.sh` sets). The table holds for one
//! release of nvcc. After a change of a kernel, `BIHALF_WRITE_RESOURCES=1 cargo test --features cuda
//! instructions` writes it anew: read the difference before committing it.

use crate::common::device::say;
use crate::resources::{MAY_SPILL, assert_table, release};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

const FATBIN: &str = env!("BIHALF_FATBIN");
const TABLE: &str = include_str!("../kernels/instructions.txt");
const ARCHITECTURES: [u32; 7] = [75, 80, 86, 89, 90, 100, 120];

/// Kernels without loops in what a full tile takes, and the rows of a column that a thread stores:
/// the table holds the fewest instructions of a way from entry to exit with so many stores.
const STRAIGHT: &[(&str, usize)] = &[
    ("bihalf_network32", 32),
    ("bihalf_pairs32", 32),
    ("bihalf_network64", 64),
    ("bihalf_slices128", 32),
    ("bihalf_slices256", 32),
    ("bihalf_slices1024", 32),
    ("bihalf_slices2048", 64),
    ("bihalf_slices4096", 128),
    ("bihalf_slices8192", 128),
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

fn disassemble(cuobjdump: &str, arch: u32) -> Code {
    let mut command = Command::new(cuobjdump);
    command.args(["-sass", "-arch", &format!("sm_{arch}"), FATBIN]).stdout(Stdio::piped());
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

/// The fewest instructions from entry to exit with `stores` stores, without going back.
fn fewest_with_stores(code: &[Instruction], stores: usize) -> Option<u32> {
    let place: BTreeMap<u64, usize> =
        code.iter().enumerate().map(|(at, instruction)| (instruction.address, at)).collect();
    let plus_one = |n: Option<u32>| n.map(|n| n + 1);
    let fewest = |a: Option<u32>, b: Option<u32>| a.into_iter().chain(b).min();
    // fewest[at][n]: from there, with n stores still to come.
    let mut table = vec![vec![None; stores + 1]; code.len() + 1];
    for (at, instruction) in code.iter().enumerate().rev() {
        let is_store = usize::from(instruction.is("STG"));
        for to_come in 0..=stores {
            let left = to_come.saturating_sub(is_store);
            let next = plus_one(table[at + 1][left]);
            table[at][to_come] = if instruction.is("EXIT") {
                let end = (left == 0).then_some(1);
                if instruction.guarded { fewest(end, next) } else { end }
            } else if instruction.is("BRA") {
                let target = instruction.target().and_then(|target| place.get(&target));
                let jump = target.filter(|&&to| to > at).and_then(|&to| plus_one(table[to][left]));
                if instruction.is_conditional() { fewest(jump, next) } else { jump }
            } else {
                next
            };
        }
    }
    table[0][stores]
}

/// What of a kernel's instructions is counted: the name of a line, and a number.
fn counts(kernel: &str, code: &[Instruction]) -> Vec<(&'static str, usize)> {
    let count = |is: &dyn Fn(&Instruction) -> bool| code.iter().filter(|i| is(i)).count();
    let wide = |i: &Instruction| {
        (i.is("LDG") || i.is("STG")) && i.text.split(' ').next().unwrap().contains(".128")
    };
    let min_max = |i: &Instruction| {
        ["VIMNMX", "VIMNMX3", "IMNMX", "VIMNMX.S16x2"].iter().any(|name| i.is(name))
    };
    let mut counts = vec![
        ("instructions", code.len()),
        ("barriers", count(&|i| i.is("BAR"))),
        ("shuffles", count(&|i| i.is("SHFL"))),
        ("min_max", count(&min_max)),
        ("16_bytes", count(&wide)),
        ("local", count(&|i| i.is("LDL") || i.is("STL"))),
    ];
    counts.retain(|&(what, count)| count > 0 || what == "instructions");
    let straight = STRAIGHT.iter().find(|(name, _)| kernel.starts_with(&format!("{name}_")));
    if let Some(&(_, stores)) = straight {
        let fewest = fewest_with_stores(code, stores);
        counts.push(("full_tile", fewest.expect("a way through a full tile") as usize));
    }
    counts
}

type Counts = BTreeMap<(String, &'static str), BTreeMap<u32, usize>>;

fn text(counts: &Counts) -> String {
    let mut text = format!("# nvcc {}\n# on", release());
    ARCHITECTURES.iter().for_each(|arch| write!(text, " sm_{arch}").unwrap());
    text.push_str("; full_tile: the fewest instructions of a thread that stores all its rows\n");
    for ((kernel, what), of_arch) in counts {
        write!(text, "{kernel:32} {what:12}").unwrap();
        for arch in ARCHITECTURES {
            write!(text, " {:5}", of_arch.get(&arch).unwrap_or(&0)).unwrap();
        }
        text.push('\n');
    }
    text
}

#[test]
fn instructions_are_those_of_the_table_and_as_few_as_promised() {
    let Ok(cuobjdump) = std::env::var("BIHALF_CUOBJDUMP") else {
        say("instructions: SKIPPED: BIHALF_CUOBJDUMP names no cuobjdump");
        return;
    };
    let archs: BTreeSet<u32> = crate::resources::architectures();
    if archs != BTreeSet::from(ARCHITECTURES) {
        say(&format!("instructions: SKIPPED: kernels are compiled for {archs:?} only"));
        return;
    }
    let mut all = Counts::new();
    for arch in ARCHITECTURES {
        for (kernel, code) in disassemble(&cuobjdump, arch) {
            for (what, count) in counts(&kernel, &code) {
                all.entry((kernel.clone(), what)).or_default().insert(arch, count);
            }
        }
    }
    assert_table("kernels/instructions.txt", TABLE, &text(&all));

    let of = |kernel: &str, what: &'static str, arch| all[&(kernel.to_owned(), what)][&arch];
    for ((kernel, _), of_arch) in all.iter().filter(|((_, what), _)| *what == "local") {
        for (arch, count) in of_arch {
            let may = MAY_SPILL.contains(&(kernel.as_str(), *arch));
            assert!(may || *count == 0, "{kernel} on sm_{arch} uses local memory");
        }
    }
    // Warp instructions for 32 elements of a full tile.
    for (kernel, elements, most) in [
        ("bihalf_pairs32_f16", 64, 16),
        ("bihalf_pairs32_bf16", 64, 16),
        ("bihalf_network32_f32", 32, 24),
        ("bihalf_network64_f32", 64, 28),
        ("bihalf_slices4096_f32", 128, 32),
    ] {
        let count = of(kernel, "full_tile", 90);
        assert!(count <= elements * most, "{kernel}: {count} for {elements} elements of a thread");
    }
    // A network is straight-line code that is fetched once: 16 bytes an instruction.
    for arch in ARCHITECTURES {
        let bytes = 16 * of("bihalf_network32_f32", "instructions", arch);
        assert!(bytes < 36 << 10, "{bytes} bytes on sm_{arch}");
    }
}
