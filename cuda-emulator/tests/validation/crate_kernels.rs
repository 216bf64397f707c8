//! Every barrier of the crate's own kernels for f32, and of those without a type, is deleted in turn: do
//! the tests of the operation tell? Kernels for other types are instances of the same templates;
//! scripts/mutate.py deletes the barriers of the source.
//!
//! All of them take hours: EMULATOR_VALIDATE_STEP=16 takes every sixteenth.
//!
//! Each test of an operation runs once to see which kernels it launches and how long it takes. For a
//! deletion, those that launch the kernel run, the shortest first, until one of them fails.

use super::barriers_of::{Barrier, barriers};
use super::report;
use crate::common::{child_environment, need_nvcc, nvcc, outcome_of, scratch_file};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The file of an operation, the capability, and the tests; what 8.0 launches is not deleted again in 9.0.
const OPERATIONS: [(&str, &str, &[&str]); 6] = [
    ("codes", "80", &["codes::"]),
    ("sign", "80", &["sign::"]),
    ("loss", "80", &["loss::", "loss_packed::"]),
    ("rank", "80", &["rank::"]),
    ("bihalf", "80", &["bihalf::", "threshold::"]),
    ("bihalf", "90", &["bihalf::", "cuda::"]),
];

/// Barriers that may be missing: the kernels whose name begins so, how many, and why nobody can tell.
const SURVIVORS: [(&str, usize, &str); 0] = [];

/// A test, what it launches, and how long it takes.
struct Test {
    name: String,
    kernels: BTreeSet<String>,
    takes: Duration,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is in a workspace")
}

/// The executable with the tests of all operations.
fn executable() -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "test",
        "--locked",
        "--package=bihalf",
        "--features=cuda",
        "--test=ops",
        "--no-run",
    ]);
    cargo.arg("--message-format=json").current_dir(root());
    // as scripts/cuda_env.sh has it
    cargo.env("BIHALF_CUDA_PTX", "75,80,90").env("BIHALF_CUDA_LINEINFO", "1");
    let (ok, text) = outcome_of(cargo);
    let executable = text.split("\"executable\":\"").nth(1).and_then(|s| s.split('"').next());
    executable.unwrap_or_else(|| panic!("the crate's tests do not build ({ok})\n{text}")).into()
}

fn compiled(operation: &str, capability: &str) -> String {
    let file = scratch_file(&format!("{operation}.{capability}.ptx"));
    let mut c = Command::new(nvcc().expect("the caller asked for nvcc"));
    c.args(["-ptx", "-std=c++17", "-w", "-fmad=false", "-lineinfo"]);
    c.arg(format!("-arch=compute_{capability}")).arg("-o").arg(&file);
    c.arg(root().join("kernels").join(operation).with_extension("cu"));
    let (ok, text) = outcome_of(c);
    assert!(ok, "{text}");
    let ptx = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(file).unwrap();
    ptx
}

/// The text with one kernel only, which takes a hundredth of the time to read.
fn alone(ptx: &str, kernel: &str) -> String {
    let (mut out, mut skips) = (String::new(), false);
    for line in ptx.lines() {
        if let Some((_, name)) = line.split_once(".entry ") {
            skips = name.trim_end_matches('(') != kernel;
        }
        if !skips {
            out += line;
            out += "\n";
        }
        skips &= line != "}";
    }
    out
}

/// The tests' executable, run with a capability.
struct Tests<'a> {
    executable: &'a Path,
    capability: &'a str,
}

impl Tests<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut c = Command::new(self.executable);
        child_environment(&mut c);
        c.args(arguments).current_dir(root()).env("CUDAEMU_CC", self.capability);
        c.env("BIHALF_TEST_ONLY_CUDA", "all").env("CUDAEMU_TIMEOUT_S", "60");
        c
    }

    fn of(&self, filters: &[&str]) -> Vec<Test> {
        let list = outcome_of(self.command(&[filters, &["--list"]].concat())).1;
        let names = list.lines().filter_map(|line| line.strip_suffix(": test"));
        let mut tests: Vec<Test> = names.map(|name| self.measured(name)).collect();
        tests.sort_by_key(|test| test.takes);
        tests
    }

    fn measured(&self, name: &str) -> Test {
        let stats = scratch_file("stats");
        let _ = std::fs::remove_file(&stats);
        let started = Instant::now();
        let mut c = self.command(&["--exact", name]);
        c.env("CUDAEMU_STATS", &stats);
        let (ok, text) = outcome_of(c);
        assert!(ok, "{name} fails without a change\n{text}");
        let launches = std::fs::read_to_string(&stats).unwrap_or_default();
        let kernels = launches.lines().filter_map(|line| line.split('"').nth(3)).map(String::from);
        Test { name: name.into(), kernels: kernels.collect(), takes: started.elapsed() }
    }

    fn fail(&self, ptx: &Path, name: &str) -> bool {
        let mut c = self.command(&["--exact", name]);
        c.env("CUDAEMU_PTX", ptx);
        let (ok, text) = outcome_of(c);
        !ok || text.contains("cudaemu: ERROR")
    }
}

#[test]
#[ignore = "long: builds the crate's tests and runs some of them for each barrier"]
fn every_deleted_barrier_is_noticed() {
    need_nvcc!();
    let started = Instant::now();
    let executable = executable();
    let file = scratch_file("crate.ptx");
    let step: usize = std::env::var("EMULATOR_VALIDATE_STEP").map_or(1, |n| n.parse().unwrap());
    let (mut there_are, mut deleted) = (0, 0);
    let (mut survivors, mut seen) = (vec![], BTreeSet::new());
    for (operation, capability, filters) in OPERATIONS {
        let ptx = compiled(operation, capability);
        let tests = Tests { executable: &executable, capability };
        let all = tests.of(filters);
        let is_chosen = |barrier: &&Barrier| {
            let other_types = ["_f16", "_bf16", "_f64"];
            !other_types.iter().any(|end| barrier.kernel.ends_with(end))
        };
        let of_operation: Vec<Barrier> = barriers(&ptx).iter().filter(is_chosen).cloned().collect();
        let new = of_operation.iter().filter(|barrier| !seen.contains(&barrier.kernel));
        for barrier in new {
            there_are += 1;
            if there_are % step != 0 {
                continue;
            }
            std::fs::write(&file, alone(&barrier.deleted_from(&ptx), &barrier.kernel)).unwrap();
            let mut launching =
                all.iter().filter(|test| test.kernels.contains(&barrier.kernel)).peekable();
            assert!(launching.peek().is_some(), "no test launches {}", barrier.kernel);
            deleted += 1;
            if !launching.any(|test| tests.fail(&file, &test.name)) {
                println!("not noticed: {}", barrier.name());
                survivors.push(barrier.clone());
            }
        }
        seen.extend(of_operation.into_iter().map(|barrier| barrier.kernel));
        println!("{operation} {capability}: {deleted} until now, {:?}", started.elapsed());
    }
    let _ = std::fs::remove_file(&file);
    let result = format!("{} survive, all listed", survivors.len());
    for (kernels, count, reason) in SURVIVORS {
        let is_known = |barrier: &Barrier| barrier.kernel.starts_with(kernels);
        let there = survivors.iter().filter(|barrier| is_known(barrier)).count();
        assert!(there <= count, "{kernels}: {reason}");
        survivors.retain(|barrier| !is_known(barrier));
    }
    let names: Vec<String> = survivors.iter().map(Barrier::name).collect();
    assert_eq!(names, [""; 0], "nobody notices that they are missing");
    let what = format!(
        "{deleted} of {there_are} barriers of the crate's kernels for f32 and without a type, deleted one by one"
    );
    report("crate_kernels::every_deleted_barrier_is_noticed", &what, deleted, result, started);
}
