//! Every barrier of the crate's own kernels for f32, and of those without a type, is deleted in turn: do
//! the tests of the operation tell? Kernels for other types are instances of the same templates;
//! scripts/mutate.py deletes the barriers of the source.
//!
//! EMULATOR_VALIDATE_STEP=16 takes every sixteenth barrier.
//!
//! Each test of an operation runs once to see which kernels it launches and how long it takes. For a
//! deletion, those that launch the kernel run, the shortest first, until one of them fails.

use super::barriers_of::{Barrier, barriers};
use super::report;
use crate::common::{child_environment, fnv, need_nvcc, nvcc, outcome_of, scratch, scratch_file};
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Barriers that may be missing: the kernels whose name begins so, how many, and why nobody can tell.
const SURVIVORS: [(&str, usize, &str); 3] = [
    ("cosine_dense_f32", 1, "the last sum of the last block: thread 0 writes and reads it"),
    ("cosine_packed", 1, "the last sum of the last block: thread 0 writes and reads it"),
    ("entropy_penalty_f32", 1, "the last sum of the last block: thread 0 writes and reads it"),
];

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

/// Verdicts on changed kernels, kept in target/, so that a run that was stopped goes on where it was. They
/// hold for the tests and the emulator that gave them.
struct Verdicts {
    file: PathBuf,
    /// of the tests and the emulator
    seed: u64,
    /// by changed text and capability: whether a test told
    known: HashMap<u64, bool>,
}

impl Verdicts {
    fn of(executable: &Path) -> Verdicts {
        let emulator = executable.with_file_name("libcuda_emulator.so");
        let seed = fnv([executable, &emulator].map(|file| std::fs::read(file).unwrap()));
        let file = scratch().join("verdicts");
        let lines = std::fs::read_to_string(&file).unwrap_or_default();
        let verdict = |line: &str| {
            let (key, is_found) = line.split_once(' ')?;
            Some((key.parse().ok()?, is_found.parse().ok()?))
        };
        Verdicts { file, seed, known: lines.lines().filter_map(verdict).collect() }
    }

    fn of_text(&mut self, text: &str, capability: &str, find: impl FnOnce() -> bool) -> bool {
        let key = fnv([&self.seed.to_le_bytes()[..], text.as_bytes(), capability.as_bytes()]);
        *self.known.entry(key).or_insert_with(|| {
            let is_found = find();
            let mut file = File::options().create(true).append(true).open(&self.file).unwrap();
            writeln!(file, "{key} {is_found}").unwrap();
            is_found
        })
    }
}

/// The barriers of one file, compiled for each capability. A kernel's are deleted for the first one under
/// which a test launches it.
fn each_deleted(operation: &str, capabilities: &[&str], filters: &[&str]) {
    need_nvcc!();
    let started = Instant::now();
    let executable = executable();
    let mut verdicts = Verdicts::of(&executable);
    let file = scratch_file(&format!("{operation}.ptx"));
    let step: usize = std::env::var("EMULATOR_VALIDATE_STEP").map_or(1, |n| n.parse().unwrap());
    let (mut there_are, mut deleted) = (0, 0);
    let (mut survivors, mut launched, mut waiting) = (vec![], BTreeSet::new(), BTreeSet::new());
    for (n, capability) in capabilities.iter().enumerate() {
        let ptx = compiled(operation, capability);
        let tests = Tests { executable: &executable, capability };
        let all = tests.of(filters);
        let of_kernel = |kernel: &str| -> Vec<&Test> {
            let launching = all.iter().filter(|test| test.kernels.contains(kernel));
            let launching: Vec<&Test> = launching.collect();
            if launching.is_empty() && n + 1 == capabilities.len() {
                // a test that launches in a process of its own does not say here what it launches
                return all.iter().filter(|test| test.kernels.is_empty()).collect();
            }
            launching
        };
        let other_types = ["_f16", "_bf16", "_f64"];
        let is_of_type = |b: &Barrier| !other_types.iter().any(|end| b.kernel.ends_with(end));
        let is_new = |b: &Barrier| is_of_type(b) && !launched.contains(&b.kernel);
        let new = barriers(&ptx).into_iter().filter(is_new);
        let (chosen, others): (Vec<_>, Vec<_>) =
            new.partition(|barrier| !of_kernel(&barrier.kernel).is_empty());
        waiting.extend(others.into_iter().map(|barrier| barrier.kernel));
        launched.extend(chosen.iter().map(|barrier| barrier.kernel.clone()));
        there_are += chosen.len();
        for barrier in chosen.iter().step_by(step) {
            let text = alone(&barrier.deleted_from(&ptx), &barrier.kernel);
            deleted += 1;
            let is_found = verdicts.of_text(&text, capability, || {
                std::fs::write(&file, &text).unwrap();
                of_kernel(&barrier.kernel).iter().any(|test| tests.fail(&file, &test.name))
            });
            if !is_found {
                println!("not noticed: {}", barrier.name());
                survivors.push(barrier.clone());
            }
        }
    }
    let _ = std::fs::remove_file(&file);
    let never: Vec<&String> = waiting.difference(&launched).collect();
    assert_eq!(never, [""; 0], "no test launches these");
    let result = format!("{} survive, all listed", survivors.len());
    for (kernels, count, reason) in SURVIVORS {
        let is_known = |barrier: &Barrier| barrier.kernel.starts_with(kernels);
        let there = survivors.iter().filter(|barrier| is_known(barrier)).count();
        let is_run = step == 1 && launched.iter().any(|kernel| kernel.starts_with(kernels));
        assert!(there <= count && (!is_run || there == count), "{kernels}: {there}: {reason}");
        survivors.retain(|barrier| !is_known(barrier));
    }
    let names: Vec<String> = survivors.iter().map(Barrier::name).collect();
    assert_eq!(names, [""; 0], "nobody notices that they are missing");
    let what = format!(
        "{deleted} of {there_are} barriers of kernels/{operation}.cu for f32 and without a type"
    );
    report(&format!("crate_kernels::{operation}"), &what, deleted, result, started);
}

#[test]
#[ignore = "long: builds the crate's tests and runs some of them for each barrier"]
fn codes() {
    each_deleted("codes", &["80"], &["codes::"]);
}

#[test]
#[ignore = "long: builds the crate's tests and runs some of them for each barrier"]
fn sign() {
    each_deleted("sign", &["80"], &["sign::"]);
}

#[test]
#[ignore = "long: builds the crate's tests and runs some of them for each barrier"]
fn loss() {
    each_deleted("loss", &["80"], &["loss::", "loss_packed::"]);
}

#[test]
#[ignore = "long: builds the crate's tests and runs some of them for each barrier"]
fn rank() {
    each_deleted("rank", &["80"], &["rank::"]);
}

#[test]
#[ignore = "long: builds the crate's tests and runs some of them for each barrier"]
fn bihalf() {
    let every_kernel = "cuda::every_kernel_is_launched";
    each_deleted("bihalf", &["80", "90"], &["bihalf::", "threshold::", every_kernel]);
}
