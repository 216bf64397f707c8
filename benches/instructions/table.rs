//! The table, and how a count is compared with it.

use crate::cells::{CELLS, NOTHING};
use crate::steps::count;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::{Command, ExitCode};

const TABLE: &str = include_str!("../instructions.txt");
const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../instructions.txt");

/// What a cell may grow by.
const GROWTH: f64 = 1.03;

/// The compiler that the table holds for.
fn rustc() -> String {
    let said = Command::new("rustc").arg("--version").output().expect("rustc starts").stdout;
    let said = String::from_utf8_lossy(&said);
    said.split_whitespace().nth(1).expect("a version").to_owned()
}

/// Whether this processor has an instruction set, as the CPU path asks for it.
fn has(isa: &str) -> bool {
    match isa {
        "avx2" => std::arch::is_x86_feature_detected!("avx2"),
        "avx512" => {
            std::arch::is_x86_feature_detected!("avx512bw")
                && std::arch::is_x86_feature_detected!("avx512dq")
                && std::arch::is_x86_feature_detected!("avx512vl")
        }
        _ => true,
    }
}

/// Counts all cells and compares them with the table, or writes it.
pub fn check(write: bool) -> ExitCode {
    let rustc = rustc();
    let head = format!("# rustc {rustc}, x86-64\n");
    if !write && !TABLE.starts_with(&head) {
        println!("instructions: SKIPPED: the table is not of rustc {rustc}, but of:");
        println!("{}", TABLE.lines().next().unwrap_or_default());
        return ExitCode::SUCCESS;
    }
    let old: BTreeMap<&str, u64> = TABLE.lines().filter_map(of_line).collect();
    if write && !CELLS.iter().all(|cell| has(cell.isa)) {
        println!("instructions: this processor has not all instruction sets of the table");
        return ExitCode::FAILURE;
    }
    let marks = count(NOTHING.name, NOTHING.isa).expect("a process can be traced");
    let mut table = head + "# operation                   instructions  an element\n";
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for cell in CELLS {
        if !has(cell.isa) {
            println!("{}: SKIPPED: this processor has no {}", cell.name, cell.isa);
            skipped += 1;
            continue;
        }
        let counted = count(cell.name, cell.isa).expect("a process can be traced") - marks;
        let of_element = counted as f64 / (cell.rows * cell.cols) as f64;
        writeln!(table, "{:30} {counted:11}  {of_element:10.2}", cell.name).expect("a string");
        let Some(&old) = old.get(cell.name) else {
            println!("{:30} {counted:11}  is not in the table", cell.name);
            failed += 1;
            continue;
        };
        let growth = counted as f64 / old as f64;
        let grew = growth > GROWTH;
        let verdict = if grew { "  GREW" } else { "" };
        println!("{:30} {old:11} {counted:11}  x {growth:.4}{verdict}", cell.name);
        *(if grew { &mut failed } else { &mut passed }) += 1;
    }
    if write {
        std::fs::write(PATH, table).expect("the table can be written");
        return ExitCode::SUCCESS;
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    ExitCode::from(u8::from(failed > 0))
}

/// A line of the table: a name, which ends where two spaces or the column do, and a count.
fn of_line(line: &str) -> Option<(&str, u64)> {
    let (name, rest) = line.split_at_checked(30)?;
    Some((name.trim_end(), rest.split_whitespace().next()?.parse().ok()?))
}
