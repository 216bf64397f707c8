//! Promises of memory on a device: the order of streams, who may free what where, graphs, sizes.

#![allow(unsafe_code)]

use crate::common::patterns::Pattern;
use crate::common::{assert_same, device, naive};
use bihalf::cuda::{self, Buffer, Cuda, DeviceMut, DeviceRef, Kernels, Workspace};
use bihalf::cudarc::driver::sys::{self, CUgraphInstantiate_flags, CUstreamCaptureMode};
use bihalf::cudarc::driver::{CudaContext, CudaSlice, CudaStream};
use bihalf::{Backend, Error, Matrix, Ones, Operation, Order, Outputs};
use std::sync::Arc;

const ROWS: usize = 90;
const COLS: usize = 33;

fn values(seed: u64) -> Vec<f32> {
    Pattern::Random.fill((ROWS, COLS), seed)
}

/// Queues `out = sign(u)` on the stream of `cuda`.
fn sign<'a>(cuda: &Cuda, u: impl Into<DeviceRef<'a, f32>>, out: &mut Buffer<f32>) {
    let u = Matrix::new(u.into(), ROWS, COLS).unwrap();
    let out = Matrix::new(DeviceMut::from(out), ROWS, COLS).unwrap();
    cuda.sign_forward_into(u, None, Outputs::none().dense(out)).unwrap();
}

/// A buffer on the stream of `cuda`, with nothing left to wait for.
fn zeros(cuda: &Cuda) -> Buffer<f32> {
    let buffer = cuda.zeros(ROWS * COLS).unwrap();
    cuda.stream().synchronize().unwrap();
    buffer
}

fn assert_is_sign(cuda: &Cuda, out: &Buffer<f32>, u: &[f32]) {
    let expected: Vec<f32> = naive::sign(u, COLS, None).iter().map(|&b| b as f32).collect();
    assert_same(&cuda.download(out).unwrap(), &expected);
}

/// Two streams read a buffer of a third one, which then frees or overwrites it: `owner`, first of
/// all to work off what it has.
fn readers_come_first([owner, first, second]: [&Cuda; 3]) {
    let u = values(1);
    let (mut a, mut b) = (zeros(first), zeros(second));
    let freed = owner.upload(&u).unwrap();
    sign(first, &freed, &mut a);
    sign(second, &freed, &mut b);
    drop(freed);
    // Memory that the pool gives out again.
    let other = owner.upload(&values(2)).unwrap();
    owner.stream().synchronize().unwrap();
    assert_is_sign(first, &a, &u);
    assert_is_sign(second, &b, &u);

    let mut overwritten = owner.upload(&u).unwrap();
    sign(first, &overwritten, &mut a);
    sign(second, &overwritten, &mut b);
    sign(owner, &other, &mut overwritten);
    owner.stream().synchronize().unwrap();
    assert_is_sign(first, &a, &u);
    assert_is_sign(second, &b, &u);

    // One that is a reader itself writes.
    let mut overwritten = owner.upload(&u).unwrap();
    sign(first, &overwritten, &mut a);
    sign(second, &overwritten, &mut b);
    sign(first, &other, &mut overwritten);
    first.stream().synchronize().unwrap();
    assert_is_sign(second, &b, &u);
    assert_is_sign(second, &overwritten, &values(2));
}

#[test]
fn memory_is_freed_and_overwritten_after_all_readers() {
    let (Some(owner), Some(first), Some(second)) = (device::cuda(), device::cuda(), device::cuda())
    else {
        return;
    };
    readers_come_first([&owner, &first, &second]);
    // cudarc knows of no stream of this object: its events order nothing.
    let context = CudaContext::new(owner.kernels().context().ordinal()).unwrap();
    let kernels = Kernels::new(&context).unwrap();
    let default = Cuda::on_stream(&kernels, &context.default_stream()).unwrap();
    readers_come_first([&default, &first, &second]);
    readers_come_first([&first, &default, &second]);
    let [wrapped, also] =
        [(); 2].map(|()| Cuda::on_stream(&kernels, &unknown_stream(&context)).unwrap());
    readers_come_first([&default, &wrapped, &also]);
    readers_come_first([&wrapped, &also, &default]);
}

/// A stream that cudarc has not made. It is never destroyed.
fn unknown_stream(context: &Arc<CudaContext>) -> Arc<CudaStream> {
    const NON_BLOCKING: u32 = 1;
    context.bind_to_thread().unwrap();
    let mut stream = std::ptr::null_mut();
    // SAFETY: a new stream of the context that is current.
    unsafe {
        sys::cuStreamCreate(&mut stream, NON_BLOCKING).result().unwrap();
        context.wrap_borrowed_stream(stream)
    }
}

/// In a process of its own, which makes no other streams.
#[test]
fn the_order_outlives_the_last_stream_that_was_made() {
    if !device::is_alone("cuda_memory::the_order_outlives_the_last_stream_that_was_made") {
        return;
    }
    let Some(last) = device::cuda() else { return };
    let context = Arc::clone(last.kernels().context());
    let default = Cuda::on_stream(last.kernels(), &context.default_stream()).unwrap();
    let mut out = zeros(&default);
    let u = default.upload(&values(1)).unwrap();
    sign(&last, &u, &mut out);
    drop(last);
    assert!(!context.is_in_multi_stream_mode());
    drop(u);
    let _other = default.upload(&values(2)).unwrap();
    default.stream().synchronize().unwrap();
    assert_is_sign(&default, &out, &values(1));
}

#[test]
fn the_default_stream_of_a_thread_is_refused() {
    let Some(cuda) = device::cuda() else { return };
    let stream = cuda.kernels().context().per_thread_stream();
    let error = Cuda::on_stream(cuda.kernels(), &stream).unwrap_err();
    assert!(matches!(error, Error::PerThreadStream { what: "the stream" }), "{error}");
    let error = Workspace::new(&stream, 8).unwrap_err();
    assert!(matches!(error, Error::PerThreadStream { .. }), "{error}");
    let u: CudaSlice<f32> = stream.alloc_zeros(4).unwrap();
    let u = Matrix::new(DeviceRef::from(&u), 2, 2).unwrap();
    let error = cuda.sign_forward(u, None).unwrap_err();
    assert!(matches!(error, Error::PerThreadStream { what: "U" }), "{error}");
}

/// As candle's devices have it.
#[test]
fn the_default_stream_of_a_thread_serves_that_thread() {
    let Some(other) = device::cuda() else { return };
    let stream = other.kernels().context().per_thread_stream();
    // SAFETY: one thread.
    let cuda = unsafe { Cuda::on_stream_unchecked(other.kernels(), &stream) }.unwrap();
    let (u, mut out) = (cuda.upload(&values(1)).unwrap(), zeros(&cuda));
    sign(&cuda, &u, &mut out);
    assert_is_sign(&cuda, &out, &values(1));
    let view = Matrix::new(DeviceRef::from(&u), ROWS, COLS).unwrap();
    let b = cuda.bihalf_forward(view, Ones::Half).unwrap();
    let b: Vec<f64> = cuda.download(&b).unwrap().into_iter().map(f64::from).collect();
    assert_eq!(b, naive::bihalf(&values(1), ROWS, COLS, ROWS / 2));
    // Buffers of streams that have a name go anywhere.
    let named = other.upload(&values(2)).unwrap();
    sign(&cuda, &named, &mut out);
    drop(named);
    other.stream().synchronize().unwrap();
    assert_is_sign(&cuda, &out, &values(2));
}

/// In a process of its own, where nobody else allocates.
#[test]
fn any_thread_may_drop_a_buffer() {
    if !device::is_alone("cuda_memory::any_thread_may_drop_a_buffer") {
        return;
    }
    let Some(cuda) = device::cuda() else { return };
    let context = Arc::clone(cuda.kernels().context());
    let default = Cuda::on_stream(cuda.kernels(), &context.default_stream()).unwrap();
    drop(cuda);
    let free = || {
        context.synchronize().unwrap();
        context.mem_get_info().unwrap().0
    };
    let before = free();
    let buffer = default.zeros::<f32>(1 << 20).unwrap();
    let ws = Workspace::new(default.stream(), 1 << 20).unwrap();
    assert!(free() < before);
    std::thread::spawn(move || drop((buffer, ws))).join().unwrap();
    assert_eq!(free(), before);
    context.check_err().unwrap();

    // An error that cudarc keeps for a later call changes nothing, and is kept.
    let buffer = default.zeros::<f32>(1 << 20).unwrap();
    let kept = sys::CUresult::CUDA_ERROR_INVALID_VALUE;
    context.record_err::<()>(kept.result());
    std::thread::spawn(move || drop(buffer)).join().unwrap();
    assert_eq!(context.check_err().unwrap_err().0, kept);
    assert_eq!(free(), before);
}

#[test]
fn calls_during_a_capture_are_refused_unless_they_are_to_be_recorded() {
    if !device::is_alone(
        "cuda_memory::calls_during_a_capture_are_refused_unless_they_are_to_be_recorded",
    ) {
        return;
    }
    let Some(cuda) = device::cuda() else { return };
    // SAFETY: one stream uses each buffer.
    unsafe { cuda.stream().context().disable_event_tracking() };
    let (mut u, mut out) = (cuda.upload(&values(1)).unwrap(), zeros(&cuda));
    let stream = Arc::clone(cuda.stream());
    let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL;
    stream.begin_capture(mode).unwrap();
    let view = || Matrix::new(DeviceRef::from(&u), ROWS, COLS).unwrap();
    let to = Matrix::new(DeviceMut::from(&mut out), ROWS, COLS).unwrap();
    let errors = [
        cuda.sign_forward_into(view(), None, Outputs::none().dense(to)).unwrap_err(),
        cuda.bihalf_forward(view(), Ones::Half).map(drop).unwrap_err(),
        cuda.upload(&[1.0f32]).map(drop).unwrap_err(),
        cuda.zeros::<f32>(1).map(drop).unwrap_err(),
        cuda.download(&u).map(drop).unwrap_err(),
        cuda.workspace::<f32>(ROWS, COLS).map(drop).unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, Error::Captured { .. }), "{error}");
    }
    // SAFETY: the buffers outlive the graph.
    let recording = unsafe { cuda.recording() };
    sign(&recording, &u, &mut out);
    assert!(matches!(recording.upload(&[1.0f32]).unwrap_err(), Error::Captured { .. }));
    let graph = stream.end_capture(CUgraphInstantiate_flags(0)).unwrap().expect("a graph");

    // The graph's kernels stay where they are.
    drop((cuda, recording));
    for seed in [3, 4] {
        stream.memcpy_htod(&values(seed), &mut *u).unwrap();
        graph.launch().unwrap();
        let cuda = Cuda::on_stream(&Kernels::new(stream.context()).unwrap(), &stream).unwrap();
        assert_is_sign(&cuda, &out, &values(seed));
    }
}

#[test]
fn kernels_are_loaded_once_for_a_context() {
    let Some(cuda) = device::cuda() else { return };
    let ordinal = cuda.kernels().context().ordinal();
    let (a, b) = (cuda::context(ordinal).unwrap(), cuda::context(ordinal).unwrap());
    assert!(Arc::ptr_eq(&a, &b));
    // Handles of functions are shown.
    let [first, again] = [&a, &b].map(|context| format!("{:?}", Kernels::new(context).unwrap()));
    assert_eq!(first, again);
    // A stream that can be captured.
    let device = Cuda::new(ordinal).unwrap();
    assert_ne!(device.stream().cu_stream(), std::ptr::null_mut());
}

/// Two devices, on the emulator, which has them if it is asked.
#[test]
fn two_devices_keep_to_themselves() {
    const TEST: &str = "cuda_memory::two_devices_keep_to_themselves";
    if !device::is_child() {
        if device::cuda().is_some_and(|cuda| device::is_emulated(&cuda)) {
            device::child(TEST, &[("CUDAEMU_DEVICES", "2")]);
        } else {
            device::say("two_devices_keep_to_themselves: SKIPPED: only the emulator has two");
        }
        return;
    }
    let _ = device::cuda();
    let contexts = [0, 1].map(|ordinal| cuda::context(ordinal).unwrap());
    // The handle of both default streams is the same.
    let devices = [0, 1].map(|n: usize| {
        let kernels = Kernels::new(&contexts[n]).unwrap();
        Cuda::on_stream(&kernels, &contexts[n].default_stream()).unwrap()
    });
    let free = || {
        contexts.each_ref().map(|context| {
            context.synchronize().unwrap();
            context.mem_get_info().unwrap().0
        })
    };
    let before = free();
    let mut buffers: Vec<_> = (0..8)
        .map(|n| {
            let cuda = &devices[n % 2];
            (cuda, values(n as u64), cuda.upload(&values(n as u64)).unwrap(), zeros(cuda))
        })
        .collect();
    for (cuda, _, u, out) in &mut buffers {
        sign(cuda, &*u, out);
    }
    for (cuda, values, _, out) in &buffers {
        assert_is_sign(cuda, out, values);
    }
    let foreign = Matrix::new(DeviceRef::from(&buffers[1].2), ROWS, COLS).unwrap();
    let error = devices[0].sign_forward(foreign, None).unwrap_err();
    let expected = matches!(error, Error::OtherContext { what: "U", expected: 0, got: 1 });
    assert!(expected, "{error}");
    let error = devices[0].download(&buffers[1].2).unwrap_err();
    assert!(matches!(error, Error::OtherContext { .. }), "{error}");

    // Dropped where no context is current, and where another device's is.
    let mut owned: Vec<_> = buffers.into_iter().map(|(_, _, u, out)| [u, out]).collect();
    let rest = owned.split_off(4);
    std::thread::spawn(move || drop(owned)).join().unwrap();
    contexts[0].bind_to_thread().unwrap();
    drop(rest);
    assert_eq!(free(), before);
    contexts.iter().for_each(|context| context.check_err().unwrap());
}

/// Settings of the emulator that a device may come with.
#[test]
fn a_device_may_have_no_room_for_clusters() {
    const TEST: &str = "cuda_memory::a_device_may_have_no_room_for_clusters";
    if !device::is_child() {
        if device::cuda().is_some_and(|cuda| device::is_emulated(&cuda)) {
            device::child(TEST, &[("CUDAEMU_CC", "90"), ("CUDAEMU_MAX_CLUSTERS", "0")]);
            device::child(TEST, &[("CUDAEMU_CC", "90"), ("CUDAEMU_MAX_CLUSTERS", "1")]);
        } else {
            device::say("a_device_may_have_no_room_for_clusters: SKIPPED: there is one");
        }
        return;
    }
    let Some(cuda) = device::cuda() else { return };
    let limits = cuda.kernels().limits();
    assert_eq!(limits.capability, (9, 0));
    assert_eq!(limits.clusters, std::env::var("CUDAEMU_MAX_CLUSTERS").unwrap() == "1");
    let (rows, cols) = (5000, 3);
    let u: Vec<f32> = Pattern::FewDistinct.fill((rows, cols), 1);
    let buffer = cuda.upload(&u).unwrap();
    let view = Matrix::new(DeviceRef::from(&buffer), rows, cols).unwrap();
    let b = cuda.bihalf_forward(view, Ones::Half).unwrap();
    let b: Vec<f64> = cuda.download(&b).unwrap().into_iter().map(f64::from).collect();
    assert_eq!(b, naive::bihalf(&u, rows, cols, rows / 2));
}

#[test]
fn kernels_that_do_not_fit_say_what_would() {
    const TEST: &str = "cuda_memory::kernels_that_do_not_fit_say_what_would";
    if !device::is_child() {
        if device::cuda().is_some_and(|cuda| device::is_emulated(&cuda)) {
            for error in ["NO_BINARY_FOR_GPU", "UNSUPPORTED_PTX_VERSION", "INVALID_PTX"] {
                device::child(TEST, &[("CUDAEMU_CC", "80"), ("CUDAEMU_LOAD_ERROR", error)]);
            }
        } else {
            device::say("kernels_that_do_not_fit_say_what_would: SKIPPED: these fit");
        }
        return;
    }
    let error = device::load().unwrap_err();
    assert!(matches!(error, Error::KernelsDoNotFit { .. }), "{error}");
    let text = error.to_string();
    for part in ["compute capability 8.0", "BIHALF_CUDA_ARCHS=80", "PTX 7.5, 9.0", "by nvcc"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn what_no_device_has_is_refused() {
    let Some(cuda) = device::cuda() else { return };
    for len in [(1 << 61) + 1, 1 << 60, usize::MAX] {
        let error = cuda.zeros::<f64>(len).unwrap_err();
        assert!(matches!(error, Error::TooLarge { cols, .. } if cols == len), "{error}");
        let error = cuda.unset::<f64>(len).unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    }
    for bytes in [usize::MAX, usize::MAX - 247, isize::MAX as usize] {
        let error = Workspace::new(cuda.stream(), bytes).unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    }
    let error = cuda.zeros::<u64>(1 << 45).unwrap_err();
    assert!(matches!(error, Error::DeviceMemory { bytes, .. } if bytes == 1 << 48), "{error}");

    let (rows, cols) = ((1 << 31) - 1, u32::MAX as usize);
    let error = cuda.workspace::<f64>(rows, cols).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. } | Error::DeviceMemory { .. }), "{error}");
    let u = cuda.zeros::<f64>(1).unwrap();
    let u = || Matrix::with_strides(DeviceRef::from(&u), rows, cols, 0, 0).unwrap();
    let errors = [
        cuda.bihalf_forward(u(), Ones::Half).map(drop).unwrap_err(),
        cuda.rank(u(), Order::Ascending).map(drop).unwrap_err(),
        cuda.sign_forward(u(), None).map(drop).unwrap_err(),
        cuda.sign_forward_packed(u(), None).map(drop).unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, Error::TooLarge { .. } | Error::DeviceMemory { .. }), "{error}");
    }
}

#[test]
fn an_operation_asks_for_no_more_memory_than_it_needs() {
    let Some(cuda) = device::cuda() else { return };
    let bytes =
        |operation, rows, cols| cuda.workspace_for::<f32>(operation, rows, cols).unwrap().bytes();
    assert_eq!(bytes(Operation::Bihalf, 1000, 64), 0);
    assert!(bytes(Operation::Bihalf, 1 << 20, 64) < 16 << 20);
    let all = cuda::workspace_bytes::<f32>(1 << 20, 64, cuda.kernels().limits()).unwrap();
    assert!(all > 256 << 20, "{all}");
}

#[test]
fn empty_buffers_are_buffers() {
    let Some(cuda) = device::cuda() else { return };
    let empty: [Buffer<f32>; 3] =
        [cuda.upload(&[]).unwrap(), cuda.zeros(0).unwrap(), cuda.unset(0).unwrap()];
    for mut buffer in empty {
        assert_eq!(buffer.len(), 0);
        assert_eq!(cuda.download(&buffer).unwrap(), []);
        let view = Matrix::new(DeviceMut::from(&mut buffer), 0, 3).unwrap();
        cuda.unpack_into(
            bihalf::PackedCodes::new(DeviceRef::from(&cuda.zeros(0).unwrap()), 0, 3).unwrap(),
            view,
        )
        .unwrap();
        assert_eq!(buffer.into_inner().len(), 0);
    }
}

#[test]
fn an_upload_has_read_page_locked_memory_when_it_returns() {
    let Some(cuda) = device::cuda() else { return };
    let context = cuda.kernels().context();
    // SAFETY: written before it is read.
    let mut pinned = unsafe { context.alloc_pinned::<f32>(ROWS * COLS) }.unwrap();
    pinned.as_mut_slice().unwrap().copy_from_slice(&values(1));
    let u = cuda.upload(pinned.as_slice().unwrap()).unwrap();
    pinned.as_mut_slice().unwrap().fill(f32::NAN);
    assert_same(&cuda.download(&u).unwrap(), &values(1));
}
