//! What ptxas gave every kernel on every architecture, against the table in `kernels/resources.txt`.

use crate::machine_code::{ARCHITECTURES, MachineCode, head, table};
use bihalf::plan::{DType, Kernel, Limits};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

const FILE: &str = "kernels/resources.txt";
const TABLE: &str = include_str!("../kernels/resources.txt");

/// Kernels that may use local memory: `(kernel, architecture)`, each with its reason in the list.
pub const MAY_SPILL: &[(&str, u32)] = &[
    // 8 bytes, one store and one load in the code: ptxas keeps to 40 and 96 registers of its own
    // accord, for more blocks a multiprocessor.
    ("bihalf_backward_dense_bf16", 120),
    ("bihalf_backward_dense_f16", 120),
    ("bihalf_slices1024_bf16", 120),
    ("bihalf_slices1024_f16", 120),
    ("bihalf_slices2048_bf16", 120),
    ("bihalf_slices2048_f16", 120),
];

/// Registers of a multiprocessor, and how many a warp takes at a time.
const REGISTERS: u32 = 65_536;
const REGISTERS_OF_WARP: u32 = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Resources {
    registers: u32,
    stack: u32,
    spills: u32,
    /// Static shared memory, in bytes.
    shared: u32,
}

type Table = BTreeMap<(String, u32), Resources>;

/// The number that stands before (or, negative, behind) a phrase.
fn number_before(line: &str, phrase: &str) -> Option<u32> {
    line[..line.find(phrase)?].split_whitespace().next_back()?.parse().ok()
}

fn of_report(code: &MachineCode) -> Table {
    let mut table = Table::new();
    let (mut kernel, mut stack, mut spills) = (None, 0, 0);
    for line in code.report.lines() {
        if let Some(rest) = line.split("Compiling entry function '").nth(1) {
            let name = rest.split('\'').next().expect("a name");
            let arch = rest.split("'sm_").nth(1).and_then(|arch| arch.split('\'').next());
            let arch = arch.and_then(|arch| arch.parse().ok()).expect("an architecture");
            kernel = Some((name.to_owned(), arch));
        } else if let Some(bytes) = number_before(line, " bytes stack frame") {
            stack = bytes;
            let stores = number_before(line, " bytes spill stores").expect("spill stores");
            spills = stores + number_before(line, " bytes spill loads").expect("spill loads");
        } else if let Some(rest) = line.split("Used ").nth(1) {
            let registers = number_before(rest, " registers").expect("registers");
            let shared = number_before(line, " bytes smem").unwrap_or(0);
            let resources = Resources { registers, stack, spills, shared };
            table.insert(kernel.take().expect("a kernel"), resources);
        }
    }
    table
}

/// One line a kernel: registers on each architecture, then static shared memory, then what of stack
/// and spills there is.
fn text(table: &Table) -> String {
    let archs = ARCHITECTURES;
    let mut text = format!("{}\n# registers of a thread on", head());
    archs.iter().for_each(|arch| write!(text, " sm_{arch}").unwrap());
    text.push_str("; static shared memory of a block; stack and spills, where there are any\n");
    let kernels: BTreeSet<&str> = table.keys().map(|(kernel, _)| kernel.as_str()).collect();
    for kernel in kernels {
        let of = |arch: &u32| table.get(&(kernel.to_owned(), *arch));
        write!(text, "{kernel:34}").unwrap();
        for arch in &archs {
            match of(arch) {
                Some(resources) => write!(text, " {:3}", resources.registers).unwrap(),
                None => text.push_str("   -"),
            }
        }
        let shared = archs.iter().filter_map(of).map(|resources| resources.shared).max();
        let shared = shared.unwrap_or(0);
        write!(text, " {shared:6} B").unwrap();
        for arch in &archs {
            let Some(Resources { stack, spills, .. }) = of(arch) else { continue };
            if stack + spills > 0 {
                write!(text, "  sm_{arch}: stack {stack} B, spills {spills} B").unwrap();
            }
        }
        text.push('\n');
    }
    text
}

/// The table that a text is of; what all architectures have of shared memory is that of the one
/// with most.
fn of_text(text: &str) -> Table {
    let mut table = Table::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split_whitespace();
        let kernel = words.next().expect("a kernel");
        let registers = ARCHITECTURES.map(|_| words.next().expect("registers").parse().ok());
        let number =
            |word: Option<&str>| word.and_then(|word| word.parse().ok()).expect("a number");
        let shared = number(words.next());
        for (arch, registers) in ARCHITECTURES.into_iter().zip(registers) {
            let Some(registers) = registers else { continue };
            let behind = line.split_once(&format!("sm_{arch}: stack ")).map(|(_, behind)| behind);
            let local = |word| behind.map_or(0, |words| number(words.split_whitespace().nth(word)));
            let resources = Resources { registers, stack: local(0), spills: local(3), shared };
            table.insert((kernel.to_owned(), arch), resources);
        }
    }
    table
}

#[test]
fn resources_are_those_of_the_table_and_fit_a_multiprocessor() {
    let Some(text) = table(FILE, TABLE, |code| text(&of_report(code))) else { return };
    let table = of_text(&text);
    assert!(!table.is_empty());
    for ((name, arch), Resources { registers, stack, spills, shared }) in table {
        let (kernel, dtype) = find(&name);
        let may = MAY_SPILL.contains(&(name.as_str(), arch));
        assert!(may || stack + spills == 0, "{name} sm_{arch}: stack {stack} B, spills {spills} B");

        let of_warp = (registers * 32).next_multiple_of(REGISTERS_OF_WARP);
        let of_block = of_warp * kernel.threads() / 32;
        assert!(of_block <= REGISTERS, "{name} sm_{arch}: {of_block} registers a block");

        let limits = Limits::of_capability(arch / 10, arch % 10).expect("a known architecture");
        let shared = shared + kernel.shared_bytes(dtype);
        assert!(shared <= limits.shared_bytes_optin, "{name} sm_{arch}: {shared} B shared");
    }
}

fn find(symbol: &str) -> (Kernel, DType) {
    let kernels = Kernel::ALL.iter().flat_map(|&kernel| DType::ALL.map(|dtype| (kernel, dtype)));
    let mut found = kernels.filter(|(kernel, dtype)| kernel.symbol(*dtype) == symbol);
    found.next().unwrap_or_else(|| panic!("{symbol} is not in `plan::Kernel`"))
}
