//! The driver through cudarc: streams, events, pinned memory, attributes, occupancy, graphs.

use super::{Program, each};
use crate::common::cfg;
use cudarc::driver::sys::{self, CUfunction_attribute_enum as F};
use cudarc::driver::{CudaSlice, CudaStream, DevicePtr, DriverError, LaunchConfig, PushKernelArg};
use std::sync::Arc;

/// Numbers in a vector.
const N: usize = 4096;

/// Adds vectors, on a stream.
fn add(
    on: &Program,
    stream: &Arc<CudaStream>,
    a: &CudaSlice<f32>,
    b: &CudaSlice<f32>,
    sum: &mut CudaSlice<f32>,
) {
    let kernel = on.function("vadd");
    let n = N as i32;
    let mut launch = stream.launch_builder(&kernel);
    launch.arg(a).arg(b).arg(sum).arg(&n);
    unsafe { launch.launch(LaunchConfig::for_num_elems(N as u32)) }.unwrap();
}

fn filled(stream: &Arc<CudaStream>, value: f32) -> CudaSlice<f32> {
    stream.clone_htod(&vec![value; N]).unwrap()
}

#[test]
fn streams_and_events() {
    each("programs::driver::streams_and_events", &["basic"], |on| {
        let first = on.context.new_stream().unwrap();
        let second = first.fork().unwrap();
        let (a, b) = (filled(&first, 1.0), filled(&first, 2.0));
        let mut sum = first.alloc_zeros::<f32>(N).unwrap();
        let kernel = on.function("vadd");
        let n = N as i32;
        let mut launch = first.launch_builder(&kernel);
        launch.record_kernel_launch(sys::CUevent_flags::CU_EVENT_DEFAULT);
        launch.arg(&a).arg(&b).arg(&mut sum).arg(&n);
        let events = unsafe { launch.launch(LaunchConfig::for_num_elems(N as u32)) }.unwrap();
        let (begin, end) = events.unwrap();
        assert!(begin.elapsed_ms(&end).unwrap() >= 0.0);
        // the other stream must see it: cudarc makes it wait
        let copy = second.clone_dtod(&sum).unwrap();
        assert_eq!(second.clone_dtoh(&copy).unwrap(), vec![3f32; N]);

        let mut pinned = unsafe { on.context.alloc_pinned::<f32>(N) }.unwrap();
        pinned.as_mut_slice().unwrap().fill(5.0);
        let copy = second.clone_htod(&pinned).unwrap();
        second.memcpy_dtoh(&sum, &mut pinned).unwrap();
        assert_eq!(pinned.as_slice().unwrap(), &vec![3f32; N][..]);
        assert_eq!(second.clone_dtoh(&copy).unwrap(), vec![5f32; N]);
    });
}

/// Who reads without a wait gets the old bytes.
#[test]
fn undeclared_dependency_shows() {
    each("programs::driver::undeclared_dependency_shows", &["basic"], |on| {
        unsafe { on.context.disable_event_tracking() };
        let (first, second) = (on.context.new_stream().unwrap(), on.context.new_stream().unwrap());
        let ones = filled(&first, 1.0);
        let mut sum = first.alloc_zeros::<f32>(N).unwrap();
        first.synchronize().unwrap();
        add(on, &first, &ones, &ones, &mut sum);
        let early = second.clone_dtoh(&sum).unwrap();
        if std::env::var("CUDAEMU_STREAMS").is_err() {
            assert_eq!(early, vec![0f32; N], "the missing wait should show");
        }
        add(on, &first, &ones, &ones, &mut sum);
        second.join(&first).unwrap();
        assert_eq!(second.clone_dtoh(&sum).unwrap(), vec![2f32; N]);
    });
}

#[test]
fn graph_is_replayed() {
    each("programs::driver::graph_is_replayed", &["basic"], |on| {
        unsafe { on.context.disable_event_tracking() };
        let stream = on.context.new_stream().unwrap();
        let (sum, ones) = (stream.alloc_zeros::<f32>(N).unwrap(), filled(&stream, 1.0));
        stream.synchronize().unwrap();
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED;
        stream.begin_capture(mode).unwrap();
        let kernel = on.function("vadd");
        let n = N as i32;
        let (there, in_use) = sum.device_ptr(&stream);
        let mut launch = stream.launch_builder(&kernel);
        launch.arg(&there).arg(&ones).arg(&there).arg(&n);
        unsafe { launch.launch(LaunchConfig::for_num_elems(N as u32)) }.unwrap();
        drop(in_use);
        let graph = stream.end_capture(sys::CUgraphInstantiate_flags(0)).unwrap().unwrap();
        for _ in 0..5 {
            graph.launch().unwrap();
        }
        stream.synchronize().unwrap();
        assert_eq!(stream.clone_dtoh(&sum).unwrap(), vec![5f32; N]);
    });
}

#[test]
fn occupancy_and_attributes() {
    each("programs::driver::occupancy_and_attributes", &["basic"], |on| {
        let kernel = on.function("vadd");
        let blocks = kernel.occupancy_max_active_blocks_per_multiprocessor(256, 0, None);
        assert!(blocks.unwrap() >= 1);
        extern "C" fn no_shared_memory(_: i32) -> usize {
            0
        }
        let potential = kernel.occupancy_max_potential_block_size(no_shared_memory, 0, 0, None);
        let (blocks, threads) = potential.unwrap();
        assert!(blocks > 0 && threads > 0);
        assert!(kernel.occupancy_available_dynamic_smem_per_block(1, 256).unwrap() > 40000);
        assert_eq!(on.context.compute_capability().unwrap(), (9, 0));
        let most = sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN;
        assert_eq!(on.context.attribute(most).unwrap(), 227 * 1024);
        let (free, total) = on.context.mem_get_info().unwrap();
        assert!(free < total);
        assert!(on.modules[0].load_function("nothing").is_err());
    });
}

/// Over the default of 48 KiB: refused, then allowed by the function's attribute.
#[test]
fn much_dynamic_shared_memory() {
    each("programs::driver::much_dynamic_shared_memory", &["basic"], |on| {
        let rows = 8192;
        let kernel = on.function("bitonic_shared");
        let keys: Vec<f32> = (0..rows).map(|i| -(i as f32)).collect();
        let keys = on.on_device(&keys);
        let mut index = on.zeros::<u32>(rows as usize);
        let mut sorted = on.zeros::<f32>(rows as usize);
        let mut run = || -> Result<(), DriverError> {
            let mut launch = on.stream.launch_builder(&kernel);
            launch.arg(&keys).arg(&mut sorted).arg(&mut index).arg(&rows);
            unsafe { launch.launch(cfg(1, 1024, 65536)) }.map(|_| ())
        };
        assert_eq!(run().unwrap_err().0, sys::CUresult::CUDA_ERROR_INVALID_VALUE);
        let most = F::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        kernel.set_attribute(most, 65536).unwrap();
        run().unwrap();
        assert!(on.read(&sorted).windows(2).all(|w| w[0] <= w[1]));
    });
}
