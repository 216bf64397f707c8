//! Errors that a program has to live with, made on demand: images that do not load, clusters that do not
//! fit, memory that runs out, sizes of zero.

use crate::common::{Device, argument, cfg, child, code};
use cudarc::driver::sys::{self, CUlaunchAttributeID_enum as L};
use cudarc::driver::{CudaContext, CudaFunction, result};
use cudarc::nvrtc::Ptx;
use std::ptr::null_mut;

const PTX: &str = "
.version 7.8
.target sm_90
.address_size 64
.visible .entry plain() { ret; }
";

fn run(test: &str, env: &[(&str, &str)], program: impl FnOnce()) {
    if argument().is_some() {
        return program();
    }
    let mut all = env.to_vec();
    all.push(("CUDAEMU_CC", "90"));
    child(test, "run", &all).sound(test);
}

#[test]
fn images_do_not_load() {
    const TEST: &str = "refusals::images_do_not_load";
    if let Some(name) = argument() {
        let context = CudaContext::new(0).unwrap();
        let load = || code(context.load_module(Ptx::from_src(PTX)));
        assert_eq!((load(), load()), (name.clone(), name));
        return;
    }
    for name in ["NO_BINARY_FOR_GPU", "UNSUPPORTED_PTX_VERSION", "INVALID_PTX"] {
        let o = child(TEST, name, &[("CUDAEMU_CC", "90"), ("CUDAEMU_LOAD_ERROR", name)]);
        o.sound(name);
        assert!(o.stderr.contains("CUDAEMU_LOAD_ERROR"), "{}", o.text());
    }
    let o = child(TEST, "SUCCESS", &[("CUDAEMU_CC", "90"), ("CUDAEMU_LOAD_ERROR", "FIRE")]);
    o.sound("another name");
    assert!(o.stderr.contains("CUDAEMU_LOAD_ERROR=FIRE is no error of a load"), "{}", o.text());
}

/// Occupancy, and the result of a launch of so many clusters of two blocks.
fn clusters(d: &Device, count: u32, cooperative: bool) -> (i32, String) {
    let module = unsafe { result::module::load_data(c_str(PTX).as_ptr().cast()) }.unwrap();
    let f = unsafe { result::module::get_function(module, c"plain".into()) }.unwrap();
    // SAFETY: plain numbers and pointers
    let mut attributes: [sys::CUlaunchAttribute; 2] = unsafe { std::mem::zeroed() };
    attributes[0].id = L::CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
    attributes[0].value.clusterDim.x = 2;
    attributes[0].value.clusterDim.y = 1;
    attributes[0].value.clusterDim.z = 1;
    attributes[1].id = L::CU_LAUNCH_ATTRIBUTE_COOPERATIVE;
    attributes[1].value.cooperative = cooperative as i32;
    let config = sys::CUlaunchConfig {
        gridDimX: 2 * count,
        gridDimY: 1,
        gridDimZ: 1,
        blockDimX: 32,
        blockDimY: 1,
        blockDimZ: 1,
        sharedMemBytes: 0,
        hStream: d.s.cu_stream(),
        attrs: attributes.as_mut_ptr(),
        numAttrs: 2,
    };
    let mut most = -1;
    unsafe { sys::cuOccupancyMaxActiveClusters(&mut most, f, &config) }.result().unwrap();
    let launch = unsafe { sys::cuLaunchKernelEx(&config, f, null_mut(), null_mut()) };
    let launched = code(launch.result());
    assert_eq!(code(d.s.synchronize()), "SUCCESS");
    unsafe { result::module::unload(module) }.unwrap();
    (most, launched)
}

fn c_str(text: &str) -> std::ffi::CString {
    std::ffi::CString::new(text).unwrap()
}

#[test]
fn no_cluster_fits() {
    run("refusals::no_cluster_fits", &[("CUDAEMU_MAX_CLUSTERS", "0")], || {
        let d = Device::new("90");
        assert_eq!(clusters(&d, 1, false), (0, "INVALID_CLUSTER_SIZE".into()));
        // what has no cluster is launched as ever
        let f: CudaFunction = d.load_text(PTX).load_function("plain").unwrap();
        unsafe { d.s.launch_builder(&f).launch(cfg(2, 32, 0)) }.unwrap();
        d.s.synchronize().unwrap();
    });
}

#[test]
fn few_clusters_fit() {
    run("refusals::few_clusters_fit", &[("CUDAEMU_MAX_CLUSTERS", "3")], || {
        let d = Device::new("90");
        // others run later, unless all have to be there at once
        assert_eq!(clusters(&d, 4, false), (3, "SUCCESS".into()));
        assert_eq!(clusters(&d, 3, true), (3, "SUCCESS".into()));
        assert_eq!(clusters(&d, 4, true), (3, "COOPERATIVE_LAUNCH_TOO_LARGE".into()));
    });
}

fn alloc(size: usize) -> String {
    let mut p = 0;
    let allocated = unsafe { sys::cuMemAlloc_v2(&mut p, size) }.result();
    if allocated.is_ok() {
        unsafe { sys::cuMemFree_v2(p) }.result().unwrap();
    }
    code(allocated)
}

fn alloc_async(size: usize, stream: sys::CUstream) -> String {
    let mut p = 0;
    let allocated = unsafe { sys::cuMemAllocAsync(&mut p, size, stream) }.result();
    if allocated.is_ok() {
        unsafe { sys::cuMemFreeAsync(p, stream) }.result().unwrap();
    }
    code(allocated)
}

#[test]
fn nothing_is_allocated() {
    run("refusals::nothing_is_allocated", &[], || {
        let d = Device::new("90");
        let stream = d.s.cu_stream();
        assert_eq!(
            (alloc(0), alloc_async(0, stream)),
            ("INVALID_VALUE".into(), "INVALID_VALUE".into())
        );
        assert_eq!((alloc(1), alloc_async(1, stream)), ("SUCCESS".into(), "SUCCESS".into()));
        assert_eq!(code(unsafe { sys::cuMemFree_v2(0) }.result()), "SUCCESS");
        assert_eq!(code(unsafe { sys::cuMemFreeAsync(0, stream) }.result()), "INVALID_VALUE");
        d.s.synchronize().unwrap();
    });
}

#[test]
fn memory_runs_out() {
    run("refusals::memory_runs_out", &[("CUDAEMU_MEM_MB", "1")], || {
        let d = Device::new("90");
        let stream = d.s.cu_stream();
        for size in [(1 << 20) + 1, usize::MAX / 2, usize::MAX] {
            assert_eq!(alloc(size), "OUT_OF_MEMORY");
            assert_eq!(alloc_async(size, stream), "OUT_OF_MEMORY");
        }
        assert_eq!(
            (alloc(1 << 20), alloc_async(1 << 20, stream)),
            ("SUCCESS".into(), "SUCCESS".into())
        );
    });
}
