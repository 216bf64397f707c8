//! Where the tests of the CUDA backend run: on a device if there is one, else on the emulator, which
//! is a driver library that runs kernels on the CPU and checks every access.

#![allow(unsafe_code)]

pub use super::say;
use bihalf::cuda::{self, Cuda, Kernels};
use bihalf::cudarc::driver::CudaContext;
use bihalf::{Backend, Error};
use std::process::Command;
use std::sync::{Arc, OnceLock};

/// A real driver's library; the emulator answers to the first name once it is loaded.
const DRIVERS: [&str; 2] = ["libcuda.so.1", "libcuda.so"];

struct Device {
    kernels: Kernels,
    emulated: bool,
}

static DEVICE: OnceLock<Option<Device>> = OnceLock::new();

/// A backend on a stream of its own; none where neither a device nor the emulator is there, which
/// has then been said.
pub fn cuda() -> Option<Cuda> {
    let kernels = &device()?.kernels;
    let stream = kernels.context().new_stream().expect("a stream");
    Some(Cuda::on_stream(kernels, &stream).expect("a stream of the kernels' context"))
}

/// Whether a backend is the emulator.
pub fn is_emulated<B: Backend>(backend: &B) -> bool {
    backend.name().starts_with("cuda") && device().is_some_and(|device| device.emulated)
}

/// `BIHALF_TEST_ONLY_CUDA` leaves other backends out. Its value is `all`, or the number of a further
/// run of the same tests under another schedule or capability, which takes a part of the cases.
pub fn only_cuda() -> bool {
    std::env::var_os("BIHALF_TEST_ONLY_CUDA").is_some()
}

/// The number of a further run; none in a run of all cases.
pub fn further_run() -> Option<usize> {
    let run = std::env::var("BIHALF_TEST_ONLY_CUDA").ok().filter(|run| run != "all")?;
    Some(run.parse().expect("BIHALF_TEST_ONLY_CUDA is `all` or the number of a run"))
}

fn device() -> Option<&'static Device> {
    let find = || {
        if std::env::var_os("BIHALF_CPU_ISA").is_some() {
            say("CUDA tests are SKIPPED: BIHALF_CPU_ISA is set, so it is the CPU that is tested");
            return None;
        }
        let required = std::env::var_os("BIHALF_REQUIRE_GPU").is_some_and(|value| value != "0");
        let emulated = !required && load_emulator_unless_there_is_a_driver();
        match open() {
            Ok((context, kernels)) => {
                let name = context.name().expect("a device's name");
                let kind = if emulated { "the emulator" } else { "the device" };
                say(&format!("CUDA tests run on {kind}: {name}"));
                Some(Device { kernels, emulated })
            }
            Err(error) if required => panic!("BIHALF_REQUIRE_GPU is set: {error}"),
            Err(error @ (Error::NoDriverLibrary { .. } | Error::KernelsNotBuilt)) => {
                say(&format!("CUDA tests are SKIPPED: {error}"));
                None
            }
            Err(error) => panic!("there is a driver, but: {error}"),
        }
    };
    DEVICE.get_or_init(find).as_ref()
}

/// What the emulator's first device says to the kernels, in a child.
pub fn load() -> Result<Kernels, Error> {
    load_emulator_unless_there_is_a_driver();
    open().map(|(_, kernels)| kernels)
}

fn open() -> Result<(Arc<CudaContext>, Kernels), Error> {
    let context = cuda::context(0)?;
    let kernels = Kernels::new(&context)?;
    Ok((context, kernels))
}

/// A real driver must never be shadowed, so the emulator is loaded only where there is none. It lies
/// beside the test's executable; later loads of the driver by name find it.
fn load_emulator_unless_there_is_a_driver() -> bool {
    let load = |name: &std::ffi::OsStr| {
        // SAFETY: a driver, or the emulator of one: both are made to be loaded.
        let library = unsafe { libloading::Library::new(name) };
        library.map(std::mem::forget).is_ok()
    };
    if DRIVERS.iter().any(|name| load(name.as_ref())) {
        return false;
    }
    let executable = std::env::current_exe().expect("the test's executable");
    load(executable.with_file_name("libcuda_emulator.so").as_os_str())
}

/// Whether this process is the one that a test has started for itself, with settings of its own.
pub fn is_child() -> bool {
    std::env::var_os("BIHALF_TEST_CHILD").is_some()
}

/// Whether a test runs in a process of its own. If not, it is run so, where there is a backend.
#[track_caller]
pub fn is_alone(test: &str) -> bool {
    if !is_child() && cuda().is_some() {
        child(test, &[]);
    }
    is_child()
}

/// Runs a test, named with its module, in a process of its own, and returns what it wrote.
#[track_caller]
pub fn child(test: &str, env: &[(&str, &str)]) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture"]);
    let output = command.env("BIHALF_TEST_CHILD", "1").envs(env.iter().copied()).output().unwrap();
    let (out, err) = (&output.stdout, &output.stderr);
    let text = format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err));
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    text
}
