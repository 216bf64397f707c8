//! Clusters: results under several schedules, planted faults with sound twins, launches.

use crate::common::{Device, SCHEDULES, argument, child, code, need_nvcc, ptx, scratch_file};
use crate::faults::has_result;
use crate::validation::{cases, report};
use cudarc::driver::sys::{self, CUfunction_attribute_enum as F, CUlaunchAttributeID_enum as L};
use cudarc::driver::{DevicePtr, DriverError, result};
use std::ffi::{CString, c_void};
use std::time::Instant;

const KERNELS: &str = "clusters";
const THREADS: u32 = 64;

/// A kernel, and what its launch asks for.
struct Call {
    f: sys::CUfunction,
    grid: [u32; 3],
    cluster: Option<[u32; 3]>,
    shared: u32,
    cooperative: bool,
}

/// A loaded image. The safe module of cudarc does not give away the handles that a launch with
/// attributes takes.
struct Module(sys::CUmodule);

impl Module {
    fn load(text: &str) -> Result<Module, DriverError> {
        let text = CString::new(text).unwrap();
        unsafe { result::module::load_data(text.as_ptr().cast()) }.map(Module)
    }
    fn compiled() -> Module {
        Module::load(&std::fs::read_to_string(ptx(KERNELS, "90")).unwrap()).unwrap()
    }
    fn function(&self, name: &str) -> Result<sys::CUfunction, DriverError> {
        unsafe { result::module::get_function(self.0, CString::new(name).unwrap()) }
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        // after a fault nothing can be unloaded
        let _ = unsafe { result::module::unload(self.0) };
    }
}

fn attribute(f: sys::CUfunction, a: F) -> i32 {
    unsafe { result::function::get_function_attribute(f, a) }.unwrap()
}

fn set_attribute(f: sys::CUfunction, a: F, v: i32) -> String {
    code(unsafe { sys::cuFuncSetAttribute(f, a, v) }.result())
}

impl Call {
    fn new(m: &Module, name: &str, grid: u32, cluster: u32) -> Call {
        let cluster = (cluster > 0).then_some([cluster, 1, 1]);
        let f = m.function(name).unwrap();
        Call { f, grid: [grid, 1, 1], cluster, shared: 0, cooperative: false }
    }

    fn attributes(&self) -> Vec<sys::CUlaunchAttribute> {
        let mut all: Vec<sys::CUlaunchAttribute> = vec![];
        // SAFETY: plain numbers and pointers
        let mut a: sys::CUlaunchAttribute = unsafe { std::mem::zeroed() };
        if let Some([x, y, z]) = self.cluster {
            a.id = L::CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
            a.value.clusterDim.x = x;
            a.value.clusterDim.y = y;
            a.value.clusterDim.z = z;
            all.push(a);
        }
        if self.cooperative {
            a.id = L::CU_LAUNCH_ATTRIBUTE_COOPERATIVE;
            a.value.cooperative = 1;
            all.push(a);
        }
        all
    }

    fn with<T>(&self, stream: sys::CUstream, f: impl FnOnce(&sys::CUlaunchConfig) -> T) -> T {
        let mut attributes = self.attributes();
        let [x, y, z] = self.grid;
        f(&sys::CUlaunchConfig {
            gridDimX: x,
            gridDimY: y,
            gridDimZ: z,
            blockDimX: THREADS,
            blockDimY: 1,
            blockDimZ: 1,
            sharedMemBytes: self.shared,
            hStream: stream,
            attrs: attributes.as_mut_ptr(),
            numAttrs: attributes.len() as u32,
        })
    }

    /// Starts the kernel with the two pointers; kernels with one parameter ignore the second.
    fn launch(&self, d: &Device, out: u64, input: u64) -> String {
        let (mut out, mut input) = (out, input);
        let mut args = [&raw mut out as *mut c_void, &raw mut input as *mut c_void];
        let run = |c: &sys::CUlaunchConfig| unsafe {
            sys::cuLaunchKernelEx(c, self.f, args.as_mut_ptr(), std::ptr::null_mut()).result()
        };
        code(self.with(d.s.cu_stream(), run))
    }

    /// The output after a launch that succeeds.
    fn run(&self, d: &Device, input: &[i32]) -> Vec<i32> {
        let input = d.s.clone_htod(input).unwrap();
        let o = d.s.alloc_zeros::<i32>(1024).unwrap();
        let (out, _) = o.device_ptr(&d.s);
        assert_eq!(self.launch(d, out, input.device_ptr(&d.s).0), "SUCCESS");
        d.s.clone_dtoh(&o).unwrap()
    }
}

fn numbers() -> Vec<i32> {
    (0..1024u32).map(|i| (i.wrapping_mul(2654435761) >> 20) as i32).collect()
}

/// Sums of so many blocks each.
fn sums(input: &[i32], blocks: usize) -> Vec<i32> {
    input.chunks(blocks * THREADS as usize).map(|c| c.iter().sum()).collect()
}

// ---- sound ----

fn programs() {
    let d = Device::new("90");
    let m = &Module::compiled();
    let input = numbers();
    for (kernel, blocks) in [("reduce2", 2), ("reduce8", 8)] {
        let o = Call::new(m, kernel, 16, 0).run(&d, &input);
        assert_eq!(o[..16 / blocks], sums(&input, blocks), "{kernel}");
    }
    for blocks in [1, 2, 4, 8] {
        let o = Call::new(m, "reduce_ptx", 16, blocks).run(&d, &input);
        let sums = sums(&input, blocks as usize);
        let want: Vec<i32> = (0..16).map(|b| sums[b / blocks as usize]).collect();
        assert_eq!(o[..16], want, "clusters of {blocks}");
    }
    // rank, in its cluster, of the block that leaves its number in this one
    for (grid, cluster) in [([6, 1, 1], [2, 1, 1]), ([6, 4, 1], [3, 2, 1]), ([3, 1, 1], [1, 1, 1])]
    {
        let mut call = Call::new(m, "exchange", 0, 0);
        (call.grid, call.cluster) = (grid, Some(cluster));
        let o = call.run(&d, &[100]);
        let n = cluster[0] * cluster[1];
        for b in 0..grid[0] * grid[1] {
            let (x, y) = (b % grid[0] % cluster[0], b / grid[0] % cluster[1]);
            let before = (x + cluster[0] * y + n - 1) % n;
            assert_eq!(o[b as usize], 100 + before as i32, "block {b} of {grid:?} in {cluster:?}");
        }
    }
    // without a cluster each block is one
    assert_eq!(Call::new(m, "exchange", 3, 0).run(&d, &[7])[..3], [7; 3]);
    let o = Call::new(m, "atomics", 8, 4).run(&d, &[3]);
    assert_eq!(o[..4], [4 * 64 * 5, 64, 4 * 64 * 5, 64]);
    let o = Call::new(m, "widths", 4, 2).run(&d, &[100]);
    let bytes = o[..128].iter().flat_map(|w| w.to_le_bytes());
    assert!(bytes.enumerate().all(|(i, b)| b == (100 + i % 128) as u8));
    let o = Call::new(m, "rounds", 4, 2).run(&d, &input);
    assert_eq!(o[..256], rounds(&input[..256]));
    let o = Call::new(m, "through_global", 4, 0).run(&d, &input);
    for (i, v) in o[..256].iter().enumerate() {
        assert_eq!(*v, input[i ^ 64] + 1);
    }
    let mut call = Call::new(m, "grid_of_clusters", 6, 0);
    call.cooperative = true;
    assert_eq!(call.run(&d, &[0])[..6], [3, 2, 5, 4, 1, 0]);
}

/// What the kernel of this name computes.
fn rounds(input: &[i32]) -> Vec<i32> {
    let (mut now, mut work) = (input.to_vec(), vec![0; input.len()]);
    for _ in 0..5 {
        let before = now.clone();
        for i in 0..now.len() {
            work[i] += before[i];
            now[i] = before[((i / 64) ^ 1) * 64 + 63 - i % 64] + 1;
        }
        for i in 0..now.len() {
            work[i] += now[i ^ 32] & 1;
        }
    }
    now.iter().zip(work).map(|(n, w)| n + w).collect()
}

#[test]
fn right_under_every_schedule() {
    if argument().is_some() {
        return programs();
    }
    need_nvcc!();
    ptx(KERNELS, "90");
    let seeds = ["1", "2", "3"].map(|s| vec![("CUDAEMU_SEED", s), ("CUDAEMU_THREADS", "1")]);
    let orders = ["reverse", "odd"].map(|o| vec![("CUDAEMU_BLOCK_ORDER", o)]);
    for mut env in [vec![]].into_iter().chain(seeds).chain(orders) {
        env.push(("CUDAEMU_CC", "90"));
        let o = child("clusters::right_under_every_schedule", "run", &env);
        o.sound(&format!("{env:?}"));
        // the barrier of a cooperative grid is made of fences, which leave hints
        let warnings = o.findings("warning");
        assert!(warnings.iter().all(|w| w.starts_with("block_race")), "{env:?}\n{}", o.text());
    }
}

#[test]
fn counters() {
    if argument().is_some() {
        let d = Device::new("90");
        let m = &Module::compiled();
        Call::new(m, "reduce2", 6, 0).run(&d, &numbers());
        return;
    }
    need_nvcc!();
    ptx(KERNELS, "90");
    let file = scratch_file("clusters");
    let env = [("CUDAEMU_CC", "90"), ("CUDAEMU_STATS", file.to_str().unwrap())];
    child("clusters::counters", "run", &env).sound("counters");
    let text = std::fs::read_to_string(&file).unwrap();
    let _ = std::fs::remove_file(&file);
    for want in [
        "\"cluster\":[2, 1, 1]",
        // two barriers, arrived at by two warps of each of six blocks
        "\"cluster_barriers\":24",
        // one thread of each cluster reads one number of the other block
        "\"distributed_load\":{\"requests\":3,\"lanes\":3,\"bytes\":12}",
        "\"distributed_store\":{\"requests\":0,\"lanes\":0,\"bytes\":0}",
    ] {
        assert!(text.contains(want), "want {want} in {text}");
    }
}

// ---- faults ----

/// kernel, kinds of the errors, or of the warnings where there is no error; result
const PLANTED: &[(&str, &str, &str)] = &[
    ("no_barrier", "cluster_race", "LAUNCH_FAILED"),
    ("after_arriving", "cluster_race", "LAUNCH_FAILED"),
    ("both_write", "cluster_race_write_after_write", "LAUNCH_FAILED"),
    ("overwrites", "cluster_race", "LAUNCH_FAILED"),
    ("past_the_end", "oob_shared", "ILLEGAL_ADDRESS"),
    ("no_such_rank", "oob_shared", "ILLEGAL_ADDRESS"),
    ("wrong_space", "oob_shared", "ILLEGAL_ADDRESS"),
    ("owner_exits", "cluster_exited", "LAUNCH_FAILED"),
    ("not_started", "cluster_not_started", "LAUNCH_FAILED"),
    ("unwritten", "uninit_use", "LAUNCH_FAILED"),
    ("diverges", "barrier_divergence", "LAUNCH_FAILED"),
    ("waits_only", "barrier_without_arrive", "LAUNCH_FAILED"),
    ("arrives_twice", "barrier_overrun", "LAUNCH_FAILED"),
    ("stuck", "deadlock", "LAUNCH_FAILED"),
    ("relaxed_arrive", "cluster_race_read_after_write", "LAUNCH_FAILED"),
    // no errors
    ("same_warp", "warp_race_read_after_write", "SUCCESS"),
    ("handshake", "cluster_race_read_after_write", "SUCCESS"),
    ("some_leave", "barrier_after_exit", "SUCCESS"),
];
const SOUND: &[&str] = &[
    "no_barrier_ok",
    "after_arriving_ok",
    "both_write_ok",
    "overwrites_ok",
    "relaxed_arrive_ok",
    "past_the_end_ok",
    "owner_exits_ok",
    "not_started_ok",
    "unwritten_ok",
    "diverges_ok",
    "same_warp_ok",
];

fn planted(kernel: &str) {
    let d = Device::new("90");
    let m = &Module::compiled();
    let mut call = Call::new(m, kernel, 4, 2);
    call.shared = 4 * THREADS;
    let o = d.s.alloc_zeros::<i32>(256).unwrap();
    let (out, _) = o.device_ptr(&d.s);
    println!("launch {}", call.launch(&d, out, 0));
    println!("result {}", code(d.s.synchronize()));
}

/// The kernel, a source line, its PTX line, a block, and a thread, a warp or lanes of one.
fn says_where(line: &str, kernel: &str) -> bool {
    let who = ["thread [", "thread ", "warp "].iter().any(|w| line.contains(w));
    let where_ = ["block [", "clusters.cu:", "(PTX line "].iter().all(|w| line.contains(w));
    line.contains(&format!("] {kernel}: ")) && where_ && who
}

#[test]
fn found_or_silent() {
    if let Some(kernel) = argument() {
        return planted(&kernel);
    }
    need_nvcc!();
    ptx(KERNELS, "90");
    let (started, schedules) = (Instant::now(), &SCHEDULES[..cases(3, SCHEDULES.len())]);
    let schedules = schedules.iter().map(|(_, env)| *env);
    let silent = SOUND.iter().map(|&k| (k, "", "SUCCESS"));
    for (kernel, kind, result) in PLANTED.iter().copied().chain(silent) {
        for schedule in schedules.clone() {
            let mut env = schedule.to_vec();
            env.extend([("CUDAEMU_CC", "90"), ("CUDAEMU_THREADS", "1")]);
            let o = child("clusters::found_or_silent", kernel, &env);
            let what = format!("{kernel} {schedule:?}\n{}", o.text());
            assert!(has_result(&o, &env, result), "{what}");
            let (errors, warnings) = (o.findings("ERROR"), o.findings("warning"));
            let found = if result == "SUCCESS" { &warnings } else { &errors };
            if kind.is_empty() {
                assert_eq!((errors, warnings), (vec![], vec![]), "{what}");
                continue;
            }
            assert!(!found.is_empty() && found.iter().any(|f| f.starts_with(kind)), "{what}");
            let line = o.stderr.lines().find(|l| l.contains(&format!("[{kind}"))).unwrap();
            assert!(says_where(line, kernel), "{what}");
        }
    }
    let what = "planted faults of clusters and their sound twins";
    let count = schedules.len() * (PLANTED.len() + SOUND.len());
    report("clusters::found_or_silent", what, count as u64, "all found or silent", started);
}

// ---- launches ----

#[test]
fn launches() {
    if argument().is_some() {
        return launch_rules();
    }
    need_nvcc!();
    ptx(KERNELS, "90");
    let o = child("clusters::launches", "run", &[("CUDAEMU_CC", "90")]);
    o.sound("launches");
    let said =
        "cudaemu: launch of four refused: grid [6, 1, 1] is no multiple of cluster [4, 1, 1]";
    assert!(o.stderr.contains(said), "{}", o.text());
}

fn launch_rules() {
    let d = Device::new("90");
    let m = &Module::compiled();
    let o = d.s.alloc_zeros::<i32>(64).unwrap();
    let (out, _) = o.device_ptr(&d.s);
    let go = |kernel, grid, cluster| Call::new(m, kernel, grid, cluster).launch(&d, out, 0);
    let first = || d.s.clone_dtoh(&o).unwrap()[0];
    // declared in the kernel
    assert_eq!(go("four", 8, 0), "SUCCESS");
    assert_eq!(go("four", 8, 4), "SUCCESS");
    assert_eq!(go("four", 6, 0), "INVALID_CLUSTER_SIZE");
    assert_eq!(go("four", 8, 2), "INVALID_CLUSTER_SIZE");
    // asked for by the launch
    for n in [1, 2, 3, 8] {
        assert_eq!(go("any", n * 2, n), "SUCCESS");
        assert_eq!(first(), n as i32);
    }
    assert_eq!(go("any", 7, 2), "INVALID_CLUSTER_SIZE");
    assert_eq!(go("any", 16, 16), "INVALID_CLUSTER_SIZE");
    let mut zero = Call::new(m, "any", 4, 1);
    zero.cluster = Some([0, 1, 1]);
    assert_eq!(zero.launch(&d, out, 0), "INVALID_CLUSTER_SIZE");
    zero.cluster = Some([u32::MAX; 3]);
    assert_eq!(zero.launch(&d, out, 0), "INVALID_CLUSTER_SIZE");
    // non-portable sizes
    let f = m.function("any").unwrap();
    assert_eq!(attribute(f, F::CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED), 0);
    let allowed = F::CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED;
    assert_eq!(set_attribute(f, allowed, 1), "SUCCESS");
    assert_eq!(go("any", 16, 16), "SUCCESS");
    assert_eq!(first(), 16);
    assert_eq!(go("any", 32, 32), "INVALID_CLUSTER_SIZE");
    // required without a size
    assert_eq!(go("must_be_set", 4, 0), "INVALID_CLUSTER_SIZE");
    assert_eq!(go("must_be_set", 4, 2), "SUCCESS");
    assert_eq!(first(), 2);
    assert_eq!(go("at_most_four", 8, 4), "SUCCESS");
    assert_eq!(go("at_most_four", 8, 8), "INVALID_CLUSTER_SIZE");
    for (cluster, explicit) in [(0, 0), (1, 1), (2, 1)] {
        assert_eq!(go("explicit_cluster", 4, cluster), "SUCCESS");
        assert_eq!(first(), explicit);
    }
    function_attributes(m);
    occupancy(m);
    // refused launches leave the context as it was
    assert_eq!(code(d.s.synchronize()), "SUCCESS");
}

fn function_attributes(m: &Module) {
    let size = [
        F::CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH,
        F::CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT,
        F::CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH,
    ];
    let must = F::CU_FUNC_ATTRIBUTE_CLUSTER_SIZE_MUST_BE_SET;
    for (kernel, want, set) in
        [("four", [4, 1, 1], 1), ("any", [0; 3], 0), ("must_be_set", [0; 3], 1)]
    {
        let f = m.function(kernel).unwrap();
        assert_eq!(size.map(|a| attribute(f, a)), want, "{kernel}");
        assert_eq!(attribute(f, must), set, "{kernel}");
    }
    // what the kernel declares stays
    assert_eq!(set_attribute(m.function("four").unwrap(), size[0], 2), "NOT_PERMITTED");
    // set by the program, it holds for launches without the attribute
    let f = m.function("explicit_cluster").unwrap();
    for (a, v) in size.into_iter().zip([2, 2, 1]) {
        assert_eq!(set_attribute(f, a, v), "SUCCESS");
    }
    assert_eq!(size.map(|a| attribute(f, a)), [2, 2, 1]);
    let mut call = Call::new(m, "explicit_cluster", 0, 0);
    let d = Device::new("90");
    call.grid = [4, 2, 1];
    assert_eq!(call.run(&d, &[0])[0], 1);
    call.grid = [4, 1, 1];
    assert_eq!(call.launch(&d, 0, 0), "INVALID_CLUSTER_SIZE");
}

fn occupancy(m: &Module) {
    let ask = |c: &Call, size: bool| {
        let mut n = 0;
        let go = |cfg: &sys::CUlaunchConfig| unsafe {
            if size {
                sys::cuOccupancyMaxPotentialClusterSize(&mut n, c.f, cfg)
            } else {
                sys::cuOccupancyMaxActiveClusters(&mut n, c.f, cfg)
            }
        };
        let result = code(c.with(std::ptr::null_mut(), go).result());
        (result, n)
    };
    let ok = |n| ("SUCCESS".to_string(), n);
    let mut call = Call::new(m, "four", 8, 0);
    let dynamic = F::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
    assert_eq!(set_attribute(call.f, dynamic, 200_000), "SUCCESS");
    call.shared = 200_000;
    // one block on each multiprocessor
    assert_eq!(ask(&call, false), ok(6 * 4 + 2 * 4));
    assert_eq!(ask(&call, true), ok(8));
    call.shared = 0;
    // 16 blocks by their registers: two warps take as many as four
    assert_eq!(ask(&call, false), ok(132 * 16 / 4));
    let mut call = Call::new(m, "must_be_set", 8, 0);
    assert_eq!(ask(&call, false).0, "INVALID_CLUSTER_SIZE");
    call.cluster = Some([2, 1, 1]);
    assert_eq!(ask(&call, false), ok(132 * 16 / 2));
    assert_eq!(ask(&Call::new(m, "at_most_four", 8, 0), true), ok(4));
}

const OLD: &str = "
.version 7.0
.target sm_75
.address_size 64
.visible .entry any(.param .u64 out) { ret; }
";

/// PTX for 9.0 is no image for a device before it; other PTX can be, which then has no clusters.
#[test]
fn capability() {
    if let Some(cc) = argument() {
        let d = Device::new("90");
        let want = if cc == "90" { ["SUCCESS", "SUCCESS"] } else { ["SUCCESS", "NOT_SUPPORTED"] };
        let old = Module::load(OLD).unwrap();
        let launched = [0, 2].map(|n| Call::new(&old, "any", 2, n).launch(&d, 0, 0));
        assert_eq!(launched, want);
        let has = sys::CUdevice_attribute_enum::CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH;
        assert_eq!(d.ctx.attribute(has).unwrap(), (cc == "90") as i32);
        let loaded = code(Module::load(&OLD.replace("sm_75", "sm_90")));
        assert_eq!(loaded, if cc == "90" { "SUCCESS" } else { "NO_BINARY_FOR_GPU" });
        return;
    }
    for cc in ["80", "89", "90"] {
        child("clusters::capability", cc, &[("CUDAEMU_CC", cc)]).sound(cc);
    }
}

#[test]
fn in_a_graph() {
    if argument().is_some() {
        let d = Device::new("90");
        let stream = d.ctx.new_stream().unwrap();
        let m = &Module::compiled();
        let o = stream.alloc_zeros::<i32>(16).unwrap();
        let input = stream.clone_htod(&[5]).unwrap();
        stream.synchronize().unwrap();
        let d = Device { s: stream, ..d };
        let (out, from) = (o.device_ptr(&d.s).0, input.device_ptr(&d.s).0);
        let raw = d.s.cu_stream();
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED;
        unsafe { result::stream::begin_capture(raw, mode) }.unwrap();
        assert_eq!(Call::new(m, "atomics", 8, 4).launch(&d, out, from), "SUCCESS");
        let graph = unsafe { result::stream::end_capture(raw) }.unwrap();
        let mut exec = std::ptr::null_mut();
        unsafe { sys::cuGraphInstantiateWithFlags(&mut exec, graph, 0) }.result().unwrap();
        for add in [5, 6] {
            unsafe { result::memcpy_htod_sync(from, &[add]) }.unwrap();
            unsafe { sys::cuGraphLaunch(exec, raw) }.result().unwrap();
            let o = d.s.clone_dtoh(&o).unwrap();
            assert_eq!(o[..4], [4 * 64 * (add + 2), 64, 4 * 64 * (add + 2), 64]);
        }
        return;
    }
    need_nvcc!();
    ptx(KERNELS, "90");
    child("clusters::in_a_graph", "run", &[("CUDAEMU_CC", "90")]).sound("graph");
}

/// Refused where the kernel is looked up, with the line.
#[test]
fn refused_instructions() {
    let refused = [
        "mbarrier.init.shared.b64 [%a], 1;",
        "mbarrier.try_wait.parity.shared.b64 %p, [%a], 1;",
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%a], [%b], 16, [%a];",
        "st.async.shared::cluster.mbarrier::complete_tx::bytes.u32 [%a], 1, [%a];",
        "red.async.relaxed.cluster.shared::cluster.mbarrier::complete_tx::bytes.add.u32 [%a], 1, [%a];",
        "multimem.red.add.u32 [%b], 1;",
    ];
    if argument().is_some() {
        let _d = Device::new("90");
        for i in refused {
            let module = Module::load(&format!(
                ".version 8.0\n.target sm_90\n.address_size 64\n.visible .entry k() {{\n.reg .b32 %a;\n.reg .b64 %b;\n.reg .pred %p;\n{i}\nret;\n}}\n"
            ));
            assert_eq!(code(module.unwrap().function("k")), "NOT_SUPPORTED", "{i}");
        }
        return;
    }
    let o = child("clusters::refused_instructions", "run", &[("CUDAEMU_CC", "90")]);
    o.sound("refused");
    let lines = o.stderr.lines().filter(|l| l.starts_with("cudaemu: kernel k: PTX line 8: "));
    assert_eq!(lines.count(), refused.len(), "{}", o.text());
}
