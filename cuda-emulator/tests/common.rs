//! nvcc, the driver folder, and running a test in a process of its own.

use cudarc::driver::{CudaContext, CudaModule, CudaStream, DriverError, LaunchConfig};
use cudarc::nvrtc::Ptx;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};

/// The architectures the crate compiles for.
pub const ARCHS: [&str; 3] = ["75", "80", "90"];

fn kernels() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kernels")
}

pub fn scratch() -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cuda-emulator");
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

/// A file of this test alone.
pub fn scratch_file(name: &str) -> PathBuf {
    scratch().join(format!("{}.{name}", std::process::id()))
}

// ---- nvcc ----

/// NVCC, then bin/nvcc below CUDA_HOME and CUDA_PATH, then PATH, then /usr/local/cuda.
pub fn nvcc() -> Option<&'static Path> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        if let Some(named) = std::env::var_os("NVCC") {
            let named = PathBuf::from(named);
            assert!(named.is_file(), "NVCC names {}, which is no file", named.display());
            return Some(named);
        }
        let homes = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(std::env::var_os);
        let homes = homes.map(|h| PathBuf::from(h).join("bin"));
        let path = std::env::var_os("PATH").unwrap_or_default();
        homes
            .chain(std::env::split_paths(&path))
            .chain(["/usr/local/cuda/bin".into()])
            .map(|dir| dir.join("nvcc"))
            .find(|f| f.is_file())
    };
    FOUND.get_or_init(find).as_deref()
}

/// Past the capture of test output: who reads a passing run shall see what did not run.
pub fn skipped() {
    let _ = writeln!(std::io::stderr(), "skipped: no nvcc");
}

macro_rules! need_nvcc {
    () => {
        if $crate::common::nvcc().is_none() {
            return $crate::common::skipped();
        }
    };
}
pub(crate) use need_nvcc;

/// FNV-1a of all bytes.
pub fn fnv(texts: impl IntoIterator<Item = impl AsRef<[u8]>>) -> u64 {
    texts.into_iter().fold(0xcbf2_9ce4_8422_2325, |key, text| {
        let next = |key: u64, byte: &u8| (key ^ *byte as u64).wrapping_mul(0x100_0000_01b3);
        text.as_ref().iter().fold(key, next)
    })
}

/// Output of nvcc for `kernels/<source>.cu`, kept between runs by the source and the options.
pub fn compiled(source: &str, options: &[&str]) -> PathBuf {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(|e| e.into_inner());
    let nvcc = nvcc().expect("the caller asked for nvcc");
    let file = kernels().join(source).with_extension("cu");
    let text = std::fs::read(&file).unwrap();
    let words = options.iter().map(|o| o.as_bytes());
    let key = fnv(words.chain([text.as_slice(), nvcc.as_os_str().as_encoded_bytes()]));
    let out = scratch().join(format!("{source}-{key:016x}"));
    if !out.exists() {
        // complete or absent: another process may be looking
        let part = scratch_file(&format!("{source}-{key:016x}"));
        let mut c = Command::new(nvcc);
        c.args(["-std=c++17", "-lineinfo"]).args(options).arg(&file).arg("-o").arg(&part);
        let r = c.output().unwrap();
        assert!(r.status.success(), "{c:?}\n{}", String::from_utf8_lossy(&r.stderr));
        std::fs::rename(part, &out).unwrap();
    }
    out
}

/// PTX of `kernels/<source>.cu`.
pub fn ptx(source: &str, arch: &str) -> PathBuf {
    compiled(source, &["-ptx", &format!("-arch=compute_{arch}")])
}

// ---- processes ----

const CHILD: &str = "EMULATOR_TEST_CHILD";

/// In the process started by `child`: its argument.
pub fn argument() -> Option<String> {
    std::env::var(CHILD).ok()
}

pub struct Outcome {
    pub ok: bool,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// Kinds of the findings of one severity, sorted, each once.
    pub fn findings(&self, severity: &str) -> Vec<String> {
        let mark = format!("cudaemu: {severity} [");
        let kinds = self.stderr.lines().filter_map(|l| l.strip_prefix(&mark)?.split(']').next());
        let mut kinds: Vec<String> = kinds.map(String::from).collect();
        kinds.sort();
        kinds.dedup();
        kinds
    }
    pub fn text(&self) -> String {
        format!("stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr)
    }
    /// The process passed its assertions and the emulator found no error.
    pub fn sound(&self, what: &str) {
        assert!(self.ok, "{what}: the process failed\n{}", self.text());
        assert_eq!(self.findings("ERROR"), [""; 0], "{what}\n{}", self.text());
    }
}

pub fn emulator() -> PathBuf {
    std::env::current_exe().unwrap().with_file_name("libcuda_emulator.so")
}

/// This test binary again, for one test, with the argument that `argument` gives.
pub fn child(test: &str, argument: &str, env: &[(&str, &str)]) -> Outcome {
    let mut c = child_command(test, argument, env);
    let old = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let path = std::iter::once(driver_folder().clone()).chain(std::env::split_paths(&old));
    c.env("LD_LIBRARY_PATH", std::env::join_paths(path).unwrap());
    outcome(c)
}

pub fn child_command(test: &str, argument: &str, env: &[(&str, &str)]) -> Command {
    let mut c = Command::new(std::env::current_exe().unwrap());
    c.args(["--exact", "--nocapture", "--test-threads=1", test]);
    child_environment(&mut c);
    // a deadlock shall not take the default of minutes
    c.env(CHILD, argument).env("CUDAEMU_TIMEOUT_S", "60").envs(env.iter().copied());
    c
}

/// What this process was told of the emulator is not for the other one.
pub fn child_environment(c: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CUDAEMU_") {
            c.env_remove(name);
        }
    }
}

pub fn outcome(mut c: Command) -> Outcome {
    let r = c.output().unwrap();
    let text = |b: Vec<u8>| String::from_utf8_lossy(&b).into_owned();
    let (stdout, stderr) = (text(r.stdout), text(r.stderr));
    assert!(stdout.contains("running 1 test"), "no such test: {c:?}\n{stdout}{stderr}");
    Outcome { ok: r.status.success(), stdout, stderr }
}

/// Whether a program succeeds, and all that it writes.
pub fn outcome_of(mut c: Command) -> (bool, String) {
    let r = c.output().unwrap_or_else(|e| panic!("{c:?}: {e}"));
    let text = [r.stdout, r.stderr].concat();
    (r.status.success(), String::from_utf8_lossy(&text).into())
}

/// A folder where the emulator is the CUDA driver, under the first name cudarc tries: a real
/// driver on this machine is not looked at.
pub fn driver_folder() -> &'static PathBuf {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let dir = scratch().join("driver");
        std::fs::create_dir_all(&dir).unwrap();
        let link = dir.join("libcuda.so");
        if std::fs::read_link(&link).ok() != Some(emulator()) {
            let new = scratch_file("libcuda.so");
            std::os::unix::fs::symlink(emulator(), &new).unwrap();
            std::fs::rename(new, link).unwrap();
        }
        dir
    })
}

/// Ways to run a sound program that must not matter: the capability, whose PTX it takes, and the
/// environment. Blocks run one after another, so that the same happens each time.
pub const SCHEDULES: [(&str, &[(&str, &str)]); 10] = [
    ("80", &[]),
    ("80", &[("CUDAEMU_SEED", "1")]),
    ("90", &[("CUDAEMU_BLOCK_ORDER", "reverse")]),
    ("75", &[("CUDAEMU_SEED", "2"), ("CUDAEMU_STREAMS", "eager")]),
    ("86", &[("CUDAEMU_BLOCK_ORDER", "odd")]),
    ("80", &[("CUDAEMU_SEED", "3"), ("CUDAEMU_BLOCK_ORDER", "reverse")]),
    ("90", &[("CUDAEMU_SEED", "4"), ("CUDAEMU_BLOCK_ORDER", "odd")]),
    ("75", &[("CUDAEMU_SEED", "5"), ("CUDAEMU_POOLS", "0")]),
    ("86", &[("CUDAEMU_SEED", "6"), ("CUDAEMU_STREAMS", "eager")]),
    ("90", &[("CUDAEMU_SEED", "7"), ("CUDAEMU_STRICT_WARP", "1")]),
];

/// The newest PTX among that of `ARCHS` that a device of the capability takes.
pub fn arch_for(capability: &str) -> &'static str {
    let takes = |arch: &&&str| **arch <= capability;
    ARCHS.iter().rev().find(takes).expect("no capability is below the first")
}

// ---- a program on the emulator ----

pub struct Device {
    pub ctx: Arc<CudaContext>,
    pub s: Arc<CudaStream>,
    pub arch: String,
}

impl Device {
    pub fn new(arch: &str) -> Device {
        let ctx = CudaContext::new(0).unwrap();
        assert_eq!(ctx.name().unwrap(), "CPU emulation of a CUDA device");
        let s = ctx.default_stream();
        Device { ctx, s, arch: arch.into() }
    }
    pub fn load(&self, source: &str) -> Arc<CudaModule> {
        let text = std::fs::read_to_string(ptx(source, &self.arch)).unwrap();
        self.ctx.load_module(Ptx::from_src(text)).unwrap()
    }
    pub fn load_text(&self, text: &str) -> Arc<CudaModule> {
        self.ctx.load_module(Ptx::from_src(text)).unwrap()
    }
}

pub fn cfg(grid: u32, block: u32, shared: u32) -> LaunchConfig {
    LaunchConfig { grid_dim: (grid, 1, 1), block_dim: (block, 1, 1), shared_mem_bytes: shared }
}

/// Name of a result, as CUDA spells it without its prefix.
pub fn code<T>(r: Result<T, DriverError>) -> String {
    match r {
        Ok(_) => "SUCCESS".into(),
        Err(e) => format!("{:?}", e.0).trim_start_matches("CUDA_ERROR_").into(),
    }
}
