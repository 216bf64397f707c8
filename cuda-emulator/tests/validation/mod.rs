//! The emulator against what is independent of it: models written from the standard and the manual,
//! compilers, CUB, cudarc's own tests, and faults that are known because somebody made them.
//!
//! `cargo test` runs a part of the cases. With `EMULATOR_VALIDATE=long` the same tests run many more,
//! and each puts its line into the table of VALIDATION.md:
//!
//!     . scripts/cuda_env.sh
//!     EMULATOR_VALIDATE=long cargo test -p cuda-emulator -- \
//!         --include-ignored --test-threads 1 validation found_or_silent robustness

mod arithmetic;
mod barriers_of;
mod crate_kernels;
mod cub;
mod cudarc;
mod deletions;
mod expressions;
mod formats;
mod forms;
mod instruction;
mod manual;
pub mod model;
pub mod number;
mod programs;

use crate::common::{argument, child, nvcc};
use std::fmt::Display;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Instant;

pub fn is_long() -> bool {
    std::env::var("EMULATOR_VALIDATE").is_ok_and(|part| part == "long")
}

/// A number of cases in the short part and in the long one.
pub fn cases<T>(short: T, long: T) -> T {
    if is_long() { long } else { short }
}

// ---- what a test found ----

/// Cases compared, and how many of them differ from what is right.
#[derive(Default)]
pub struct Tally {
    pub cases: u64,
    pub differences: u64,
}

impl Tally {
    pub fn check(&mut self, is_same: bool, describe: impl FnOnce() -> String) {
        self.cases += 1;
        if !is_same {
            self.differences += 1;
            if self.differences <= 20 {
                println!("differs: {}", describe());
            }
        }
    }
}

/// Runs a program in a process of its own, where the emulator is the driver, and reports what it
/// counted. `test` is the name of the calling test.
pub fn counted(test: &str, what: &str, program: impl FnOnce(&mut Tally)) {
    if argument().is_some() {
        let mut tally = Tally::default();
        program(&mut tally);
        // the name of the test may stand before it
        println!("\ntally {} {}", tally.cases, tally.differences);
        return;
    }
    let started = Instant::now();
    let o = child(test, "run", &[("CUDAEMU_CC", "90")]);
    o.sound(what);
    let line = o.stdout.lines().find_map(|line| line.strip_prefix("tally "));
    let tally: Vec<u64> =
        line.unwrap_or_default().split(' ').filter_map(|n| n.parse().ok()).collect();
    let [cases, differences] = tally[..] else { panic!("{what}: no tally\n{}", o.text()) };
    report(test, what, cases, format!("{differences} differ"), started);
    assert_eq!(differences, 0, "{what}\n{}", o.stdout);
}

/// Shows a line past the capture of test output; a long run also puts it into the table.
pub fn report(test: &str, what: &str, cases: u64, result: impl Display, started: Instant) {
    let test = test.trim_start_matches("validation::");
    let seconds = started.elapsed().as_secs_f64();
    let _ = writeln!(
        std::io::stderr(),
        "validation: {test}: {what}: {cases} cases, {result}, {seconds:.1} s"
    );
    if is_long() {
        let date = output_of(Command::new("date").args(["-u", "+%F"]));
        let row = format!("| `{test}` | {what} | {cases} | {result} | {seconds:.0} | {date} |");
        write_table(row);
    }
}

/// Puts a row into the table, in place of the one of the same test.
fn write_table(row: String) {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(|e| e.into_inner());
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("VALIDATION.md");
    let test_of = |row: &str| row.split('|').nth(1).map(String::from);
    let old = std::fs::read_to_string(&file).unwrap_or_default();
    let rows = old.lines().filter(|line| line.starts_with("| `"));
    let mut rows: Vec<&str> = rows.filter(|line| test_of(line) != test_of(&row)).collect();
    rows.push(&row);
    rows.sort();
    let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let processor = processor.lines().find_map(|line| line.strip_prefix("model name\t: "));
    let nvcc = nvcc().map(|nvcc| output_of(Command::new(nvcc).arg("--version")));
    let nvcc = nvcc.as_deref().and_then(|text| text.split(", V").nth(1)?.lines().next());
    let text = format!(
        "{HEADER}\nThe last line was added on {} with nvcc {}.\n\n{COLUMNS}\n{}\n",
        processor.unwrap_or("an unknown processor"),
        nvcc.unwrap_or("absent"),
        rows.join("\n")
    );
    std::fs::write(&file, text).unwrap();
}

const HEADER: &str = "# What the emulator was compared with

Written by the tests themselves, a line each, when they run in full:

    . scripts/cuda_env.sh
    EMULATOR_VALIDATE=long cargo test -p cuda-emulator -- \\
        --include-ignored --test-threads 1 validation found_or_silent robustness

What each does is said at the top of its file in tests/validation. The result counts cases that differ
from what is right, or planted changes that nobody notices; those are listed with their reasons in the
test, which fails if there is another one.
";
const COLUMNS: &str =
    "| test | what | cases | result | seconds | date |\n|---|---|--:|--:|--:|---|";

/// What a program prints, without the end of the line.
fn output_of(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    String::from_utf8_lossy(&output.stdout).trim().into()
}

// ---- for several tests ----

/// Numbers that are the same in each run.
pub struct Random(pub u64);

impl Random {
    /// splitmix64
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    pub fn below(&mut self, n: u64) -> u64 {
        self.bits() % n
    }
    pub fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize].clone()
    }
    pub fn in_so_many(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// The program beside nvcc.
pub fn beside_nvcc(name: &str) -> Option<PathBuf> {
    Some(nvcc()?.with_file_name(name)).filter(|file| file.is_file())
}
