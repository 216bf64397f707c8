//! What ptxas gave every kernel on every architecture, against the table in `kernels/resources.txt`.
//!
//! The table holds for one release of nvcc. After a change of a kernel,
//! `BIHALF_WRITE_RESOURCES=1 cargo test --features cuda resources` writes it anew: read the difference
//! before committing it.

use crate::common::device::say;
use bihalf::plan::{DType, Kernel, Limits};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

const REPORT: &str = include_str!(env!("BIHALF_PTXAS_REPORT"));
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

fn report() -> Table {
    let mut table = Table::new();
    let (mut kernel, mut stack, mut spills) = (None, 0, 0);
    for line in REPORT.lines() {
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

pub fn release() -> &'static str {
    REPORT.lines().next().expect("the release of nvcc")
}

/// One line a kernel: registers on each architecture, then static shared memory, then what of stack
/// and spills there is.
fn text(table: &Table) -> String {
    let archs: BTreeSet<u32> = table.keys().map(|(_, arch)| *arch).collect();
    let mut text = format!("# nvcc {}\n# registers of a thread on", release());
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

#[test]
fn kernels_use_no_local_memory_and_fit_a_multiprocessor() {
    let table = report();
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

#[test]
fn resources_are_those_of_the_table() {
    assert_table("kernels/resources.txt", TABLE, &text(&report()));
}

/// What the kernels were compiled for.
pub fn architectures() -> BTreeSet<u32> {
    report().keys().map(|(_, arch)| *arch).collect()
}

/// Compares a table of this build's numbers with the file that keeps them, or writes the file.
#[track_caller]
pub fn assert_table(file: &str, kept: &str, now: &str) {
    if std::env::var_os("BIHALF_WRITE_RESOURCES").is_some() {
        let path = format!("{}/{file}", env!("CARGO_MANIFEST_DIR"));
        std::fs::write(path, now).expect("the table");
        return;
    }
    let of = kept.lines().next().unwrap_or_default().trim_start_matches("# nvcc ");
    let archs = architectures();
    if of != release() || archs.len() != 7 {
        say(&format!(
            "{file}: SKIPPED: the table is of nvcc {of} and 7 architectures, not of nvcc {} and \
             {archs:?}",
            release()
        ));
        return;
    }
    let differences: Vec<String> = kept
        .lines()
        .zip(now.lines())
        .filter(|(old, new)| old != new)
        .map(|(old, new)| format!("old {old}\nnew {new}\n"))
        .collect();
    let lines = (kept.lines().count(), now.lines().count());
    assert!(
        differences.is_empty() && lines.0 == lines.1,
        "{file} has {} lines, this build {}; {} differ (BIHALF_WRITE_RESOURCES=1 writes the file \
         anew):\n{}",
        lines.0,
        lines.1,
        differences.len(),
        differences.concat()
    );
}
