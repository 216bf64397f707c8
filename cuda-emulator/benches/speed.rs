//! Thread instructions per second, with all checks, on one core; and small launches per second, which is
//! what tests with many of them wait for.
//!
//! `cargo bench --package cuda-emulator` measures the emulator as it is now. With the paths of
//! driver libraries as arguments it compares them: each round runs every driver once, in turn, and
//! the best round of each counts.
//!
//! Needs nvcc for the kernels, which are those of the tests.

#[allow(dead_code, unused_imports, unused_macros)]
#[path = "../tests/common.rs"]
mod common;

use common::{Device, cfg};
use cudarc::driver::{DeviceRepr, LaunchConfig, PushKernelArg};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

const ROUNDS: usize = 5;
const ARCH: &str = "80";
/// In the process that measures one driver: the path of its library.
const DRIVER: &str = "EMULATOR_SPEED_DRIVER";
/// There, too: a file for what only the process itself can time.
const TIMES: &str = "EMULATOR_SPEED_TIMES";

fn main() {
    if let Some(driver) = std::env::var_os(DRIVER) {
        // SAFETY: the emulator or an earlier build of it, made to be loaded
        let driver = unsafe { libloading::Library::new(driver) };
        std::mem::forget(driver.expect("a driver library"));
        return match std::env::var_os(TIMES) {
            None => launch_all(),
            Some(file) => std::fs::write(file, launch_often()).expect("a file for the times"),
        };
    }
    if common::nvcc().is_none() {
        return common::skipped();
    }
    for source in ["basic", "cub", "more"] {
        common::ptx(source, ARCH);
    }
    // cargo passes `--bench`
    let named = std::env::args().skip(1).filter(|a| !a.starts_with("--"));
    let mut drivers: Vec<PathBuf> = named.map(PathBuf::from).collect();
    if drivers.is_empty() {
        drivers.push(common::emulator());
    }
    for (column, driver) in drivers.iter().enumerate() {
        println!("column {}: {}", column + 1, driver.display());
    }
    compare("million thread instructions per second", &drivers, measure);
    compare("thousand launches per second", &drivers, measure_launches);
}

/// Prints what is measured of each driver, the best of several rounds.
fn compare(what: &str, drivers: &[PathBuf], measure: fn(&Path) -> Vec<(String, f64)>) {
    let mut best: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for _ in 0..ROUNDS {
        for (column, driver) in drivers.iter().enumerate() {
            for (kernel, speed) in measure(driver) {
                let row = best.entry(kernel).or_insert_with(|| vec![0.0; drivers.len()]);
                row[column] = row[column].max(speed);
            }
        }
    }
    println!("{what}, best of {ROUNDS}");
    for (kernel, speeds) in best {
        let speeds: Vec<String> = speeds.iter().map(|s| format!("{s:8.1}")).collect();
        println!("  {kernel:24}{}", speeds.join(" "));
    }
}

/// Speed of each kernel on this driver, from the counters that the driver itself writes.
fn measure(driver: &Path) -> Vec<(String, f64)> {
    let stats = common::scratch_file("speed");
    let _ = std::fs::remove_file(&stats);
    let this = std::env::current_exe().expect("this program");
    let mut command = Command::new(this);
    command.env(DRIVER, driver).env("CUDAEMU_STATS", &stats).env("CUDAEMU_THREADS", "1");
    assert!(command.status().expect("a process").success(), "{} failed", driver.display());
    let text = std::fs::read_to_string(&stats).expect("the counters");
    let _ = std::fs::remove_file(&stats);
    let number = |line: &str, field: &str| -> f64 {
        let rest = line.split(&format!("\"{field}\":")).nth(1).expect("a known field");
        rest.split([',', '}']).next().unwrap().parse().expect("a number")
    };
    let speed = |line: &str| {
        let kernel = line.split('"').nth(3).expect("a kernel's name");
        let seconds = number(line, "wall_ns") / 1e9;
        (kernel.to_string(), number(line, "thread_instructions") / seconds / 1e6)
    };
    text.lines().map(speed).collect()
}

/// Small launches on this driver, by shape.
fn measure_launches(driver: &Path) -> Vec<(String, f64)> {
    let times = common::scratch_file("times");
    let this = std::env::current_exe().expect("this program");
    let mut command = Command::new(this);
    command.env(DRIVER, driver).env(TIMES, &times).env("CUDAEMU_THREADS", "1");
    assert!(command.status().expect("a process").success(), "{} failed", driver.display());
    let text = std::fs::read_to_string(&times).expect("the times");
    let _ = std::fs::remove_file(&times);
    let line = |line: &str| {
        let (shape, speed) = line.split_once(": ").expect("a shape and a number");
        (shape.to_string(), speed.parse().expect("a number"))
    };
    text.lines().map(line).collect()
}

/// Seconds that this thread has run.
fn thread_time() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a place for the result
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Many launches of few instructions: thousands a second, a line for each shape.
fn launch_often() -> String {
    const LAUNCHES: u32 = 20_000;
    let device = Device::new(ARCH);
    let stream = &device.s;
    let basic = device.load("basic");
    let mut lines = String::new();
    let add = basic.load_function("vadd").expect("a kernel of the tests");
    for (blocks, threads) in [(1, 32), (1, 256), (8, 32)] {
        let n = (blocks * threads) as i32;
        let a = stream.clone_htod(&vec![1f32; n as usize]).unwrap();
        let mut sum = stream.alloc_zeros::<f32>(n as usize).unwrap();
        stream.synchronize().unwrap();
        let start = thread_time();
        for _ in 0..LAUNCHES {
            let mut launch = stream.launch_builder(&add);
            launch.arg(&a).arg(&a).arg(&mut sum).arg(&n);
            // SAFETY: the vectors are as long as the grid
            unsafe { launch.launch(cfg(blocks, threads, 0)) }.expect("the kernel runs");
            stream.synchronize().expect("no finding");
        }
        let speed = LAUNCHES as f64 / (thread_time() - start) / 1e3;
        lines += &format!("{blocks} x {threads} threads: {speed}\n");
    }
    lines
}

/// One launch of each kernel, long enough to be timed.
fn launch_all() {
    let device = Device::new(ARCH);
    let stream = device.s.clone();
    let (basic, cub, more) = (device.load("basic"), device.load("cub"), device.load("more"));
    let function = |name: &str| {
        let found = [&basic, &cub, &more].into_iter().find_map(|m| m.load_function(name).ok());
        found.expect("a kernel of the tests")
    };
    // a linear congruential generator: keys in no order
    let keys = |n: usize| {
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 8
        };
        (0..n).map(|_| next()).collect::<Vec<u32>>()
    };
    let floats = |n| keys(n).into_iter().map(|k| k as f32 / 65536.0 - 128.0).collect::<Vec<f32>>();
    let launched = "the kernel runs";

    let n = 1 << 20;
    let (a, b) = (stream.clone_htod(&floats(n)).unwrap(), stream.clone_htod(&floats(n)).unwrap());
    let mut sum = stream.alloc_zeros::<f32>(n).unwrap();
    let vectors = (n / 4) as i32;
    let add = function("vadd4");
    let mut launch = stream.launch_builder(&add);
    launch.arg(&a).arg(&b).arg(&mut sum).arg(&vectors);
    unsafe { launch.launch(LaunchConfig::for_num_elems(vectors as u32)) }.expect(launched);

    // sorts of blocks: keys, sorted keys, positions, length
    fn sort<T: DeviceRepr + Clone>(
        device: &Device,
        sort: &cudarc::driver::CudaFunction,
        keys: &[T],
        n: usize,
        shape: LaunchConfig,
    ) {
        let (stream, n) = (&device.s, n as i32);
        let input = stream.clone_htod(keys).unwrap();
        // SAFETY: the kernel writes all of both, which the emulator would notice otherwise
        let mut output = unsafe { stream.alloc::<T>(keys.len()) }.unwrap();
        let mut index = unsafe { stream.alloc::<i32>(keys.len()) }.unwrap();
        let mut launch = stream.launch_builder(sort);
        launch.arg(&input).arg(&mut output).arg(&mut index).arg(&n);
        unsafe { launch.launch(shape) }.expect("the kernel runs");
    }
    let (rows, columns) = (1024, 40);
    let shape = cfg(columns as u32, 256, rows as u32 * 8);
    sort(&device, &function("bitonic_shared"), &floats(rows * columns), rows, shape);
    sort(&device, &function("cub_sort_f32"), &floats(1024 * 60), 1024 * 60, cfg(60, 128, 0));
    let wide: Vec<u64> = keys(256 * 80).into_iter().map(|k| (k as u64) << (k % 40)).collect();
    sort(&device, &function("cub_sort_u64"), &wide, wide.len(), cfg(80, 64, 0));

    let mut lanes = stream.clone_htod(&keys(1 << 18)).unwrap();
    let n = 1i32 << 18;
    let exchange = function("bitonic_warp");
    let mut launch = stream.launch_builder(&exchange);
    launch.arg(&mut lanes).arg(&n);
    unsafe { launch.launch(LaunchConfig::for_num_elems(n as u32)) }.expect(launched);

    let mut counts = stream.alloc_zeros::<u32>(256).unwrap();
    let histogram = function("radix_hist");
    let (n, shift) = (1i32 << 18, 8i32);
    let mut launch = stream.launch_builder(&histogram);
    launch.arg(&lanes).arg(&mut counts).arg(&n).arg(&shift);
    unsafe { launch.launch(cfg(64, 256, 0)) }.expect(launched);
    device.ctx.synchronize().expect("no finding");
}
