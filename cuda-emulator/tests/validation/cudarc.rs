//! cudarc's own tests of its driver module, with the emulator as the driver. Their source is that of the
//! package that these tests use; kernels that they compile at run time go through nvcc.

use super::report;
use crate::common::{driver_folder, need_nvcc, nvcc, outcome_of, scratch};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Those that compare times, of which the emulator promises nothing.
const LEFT_OUT: [&str; 4] = [
    // copies from one kind of host memory are faster than from another
    "driver::safe::core::tests::test_default_pinned_host_reads_are_faster_than_write_combined",
    "driver::safe::core::tests::test_pinned_copy_is_faster",
    // two streams take less time than one after the other
    "driver::safe::launch::tests::test_multi_stream_concurrent_reads",
    "driver::safe::launch::tests::test_par_launch",
];

const FEATURES: &str =
    "std,driver,nvrtc,f16,fallback-dynamic-loading,cuda-version-from-build-system,fallback-latest";

/// The folder of the package in cargo's registry.
fn registry_folder() -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["metadata", "--format-version=1", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    let (ok, text) = outcome_of(cargo);
    let quoted = text.split('"').find(|s| s.contains("/cudarc-") && s.ends_with("/Cargo.toml"));
    let manifest = quoted.unwrap_or_else(|| panic!("no cudarc (cargo metadata: {ok})"));
    Path::new(manifest).parent().unwrap().into()
}

/// A copy of the package that is a workspace of its own, so that its tests can be built.
fn copied(from: &Path) -> PathBuf {
    fn copy(from: &Path, to: &Path) {
        if !from.is_dir() {
            std::fs::write(to, std::fs::read(from).unwrap()).unwrap();
            return;
        }
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    }
    let to = scratch().join("cudarc");
    let _ = std::fs::remove_dir_all(&to);
    copy(from, &to);
    let manifest = to.join("Cargo.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text + "\n[workspace]\n").unwrap();
    to
}

/// The executable with the tests.
fn built(package: &Path) -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["test", "--lib", "--no-run", "--message-format=json", "--no-default-features"]);
    cargo.args(["--features", FEATURES]).arg("--target-dir").arg(scratch().join("cudarc-target"));
    let nvcc_folder = nvcc().and_then(Path::parent).map(PathBuf::from).into_iter();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(nvcc_folder.chain(std::env::split_paths(&path))).unwrap();
    let (ok, text) = outcome_of({
        cargo.current_dir(package).env("PATH", path);
        cargo
    });
    let executable = text.split("\"executable\":\"").nth(1).and_then(|s| s.split('"').next());
    executable.unwrap_or_else(|| panic!("cudarc's tests do not build ({ok})\n{text}")).into()
}

fn compile_nvrtc() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kernels/nvrtc.c");
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(driver_folder().join("libnvrtc.so")).arg(source);
    let (ok, text) = outcome_of(cc);
    assert!(ok, "{text}");
}

#[test]
#[ignore = "long: builds cudarc and runs each of its tests in a process"]
fn its_own_tests() {
    need_nvcc!();
    let started = Instant::now();
    compile_nvrtc();
    let package = copied(&registry_folder());
    let tests = built(&package);
    let run = |arguments: &[&str]| {
        let mut c = Command::new(&tests);
        c.args(arguments).current_dir(&package).env("LD_LIBRARY_PATH", driver_folder());
        c.env("NVCC", nvcc().unwrap()).env("CUDAEMU_TIMEOUT_S", "60").env("CUDAEMU_CC", "90");
        outcome_of(c)
    };
    let (_, list) = run(&["--list", "driver::"]);
    let all: Vec<&str> = list.lines().filter_map(|line| line.strip_suffix(": test")).collect();
    assert!(all.len() > 40 && LEFT_OUT.iter().all(|name| all.contains(name)), "{list}");
    let names: Vec<&&str> = all.iter().filter(|name| !LEFT_OUT.contains(name)).collect();
    let mut failed = vec![];
    for name in &names {
        // an error stays with the process, and some tests cause one on purpose
        let (ok, text) = run(&["--exact", "--nocapture", name]);
        assert!(text.contains("running 1 test"), "{name}\n{text}");
        if !ok {
            println!("{name}\n{text}");
            failed.push(name);
        }
    }
    assert_eq!(failed, [&&""; 0], "of {}", names.len());
    let what = format!("tests of cudarc's driver module, without {} on speed", LEFT_OUT.len());
    report("cudarc::its_own_tests", &what, names.len() as u64, "0 fail", started);
}
