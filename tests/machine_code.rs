//! Machine code of the kernels, for the tables in `kernels/` of what it needs and consists of.
//!
//! Compiling it takes minutes, so it happens only when the first line of a table names other
//! sources; a table of another release of nvcc is not compared. `BIHALF_WRITE_RESOURCES=1` compiles
//! and rewrites the tables; read the diff before you commit it.

use crate::common::say;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// What ptxas said of the kernels as this build compiled them; its first line is nvcc's release.
const REPORT: &str = include_str!(env!("BIHALF_PTXAS_REPORT"));

/// What a default build compiles for.
pub const ARCHITECTURES: [u32; 6] = [75, 80, 86, 90, 100, 120];

/// The most that the kernels may add to a program.
const MOST_BYTES: u64 = 16 << 20;

/// A default build of the kernels.
pub struct MachineCode {
    pub fatbin: PathBuf,
    /// What ptxas said of every kernel.
    pub report: String,
}

/// The release of nvcc.
pub fn release() -> &'static str {
    REPORT.lines().next().expect("the release of nvcc")
}

/// The first line of a table: what it is made of.
pub fn head() -> String {
    format!("# nvcc {}, sources {:016x}", release(), digest())
}

/// Whether to rewrite the tables.
fn writes() -> bool {
    std::env::var_os("BIHALF_WRITE_RESOURCES").is_some()
}

/// Whether this nvcc's numbers can be compared with a table, in a file that has `kept` now; if
/// not, says so. A table that is written anew may be of any.
pub fn is_of_this_nvcc(file: &str, kept: &str) -> bool {
    let head = kept.lines().next().unwrap_or_default();
    let of = head.trim_start_matches("# nvcc ").split(',').next().unwrap_or_default();
    let is = writes() || of == release();
    if !is {
        say(&format!("{file}: SKIPPED: is of nvcc {of}, not of {}", release()));
    }
    is
}

/// Of the kernels' sources and of how they are compiled (FNV-1a).
fn digest() -> u64 {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let entries = std::fs::read_dir(root.join("kernels")).expect("the folder kernels/");
    let paths = entries.map(|entry| entry.expect("an entry of kernels/").path());
    let is_source = |path: &PathBuf| path.extension().is_some_and(|e| e == "cu" || e == "cuh");
    let mut sources: Vec<PathBuf> = paths.filter(is_source).collect();
    sources.sort();
    sources.push(root.join("build.rs"));
    let bytes = sources.iter().flat_map(|path| std::fs::read(path).expect("a source"));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The table to check, in a file that has `kept` now: that one if it is of these sources, else what
/// `text` makes of machine code that is compiled now, which must not differ.
#[track_caller]
pub fn table(file: &str, kept: &str, text: impl FnOnce(&MachineCode) -> String) -> Option<String> {
    if !is_of_this_nvcc(file, kept) {
        return None;
    }
    if !writes() {
        if kept.lines().next() == Some(&head()) {
            say(&format!("{file}: is of these sources and nvcc {}: not compiled again", release()));
            return Some(kept.to_owned());
        }
        say(&format!("{file}: sources have changed: machine code is compiled"));
    }
    let now = text(compiled());
    assert_table(file, kept, &now);
    Some(now)
}

/// As users get it, in a folder of its own.
fn compiled() -> &'static MachineCode {
    static COMPILED: OnceLock<MachineCode> = OnceLock::new();
    COMPILED.get_or_init(|| {
        let folder = concat!(env!("CARGO_TARGET_TMPDIR"), "/machine-code");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args(["check", "--quiet", "--locked"]);
        cargo.args(["--features", "cuda", "--message-format", "json", "--target-dir", folder]);
        for variable in ["ARCHS", "PTX", "COMPRESS", "LINEINFO"] {
            cargo.env_remove(format!("BIHALF_CUDA_{variable}"));
        }
        let output = cargo.env_remove("CUDA_COMPUTE_CAP").output().expect("cargo starts");
        let said = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "machine code is not compiled: {errors}");
        // A variable that the build script set, as cargo reports it: `["NAME","VALUE"]`.
        let path = |name: &str| {
            let behind = said.split_once(&format!("[\"{name}\",\"")).expect(name).1;
            PathBuf::from(behind.split('"').next().expect("a path"))
        };
        let fatbin = path("BIHALF_FATBIN");
        let bytes = std::fs::metadata(&fatbin).expect("the fatbin").len();
        say(&format!("machine code and PTX take {bytes} bytes"));
        assert!(bytes <= MOST_BYTES, "the kernels take {bytes} bytes");
        let report = std::fs::read_to_string(path("BIHALF_PTXAS_REPORT")).expect("the report");
        MachineCode { fatbin, report }
    })
}

/// Compares a table of this build's numbers with the file that keeps them, or writes the file.
#[track_caller]
pub fn assert_table(file: &str, kept: &str, now: &str) {
    if writes() {
        let path = format!("{}/{file}", env!("CARGO_MANIFEST_DIR"));
        std::fs::write(path, now).expect("the table");
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
