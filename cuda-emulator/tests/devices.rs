//! Several devices, and threads without a context: what a driver refuses, and what it allows.

use crate::common::{Device, argument, child, code};
use cudarc::driver::sys::{self, CUdevice_attribute_enum as A};
use cudarc::driver::{CudaContext, CudaStream, result};
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::Arc;

const PTX: &str = "
.version 7.0
.target sm_75
.address_size 64
.visible .entry increment(.param .u64 word) {
    .reg .b32 %r;
    .reg .b64 %rd;
    ld.param.u64 %rd, [word];
    ld.global.u32 %r, [%rd];
    add.u32 %r, %r, 1;
    st.global.u32 [%rd], %r;
    ret;
}
";

/// Runs a program with two devices, which may make no error findings but these.
fn with_two(test: &str, errors: &[&str], program: impl FnOnce()) -> String {
    if argument().is_some() {
        program();
        return String::new();
    }
    let o = child(test, "run", &[("CUDAEMU_DEVICES", "2")]);
    assert!(o.ok, "{}", o.text());
    assert_eq!(o.findings("ERROR"), errors, "{}", o.text());
    o.stderr
}

/// A function of a module in the current context.
fn increment() -> sys::CUfunction {
    let text = std::ffi::CString::new(PTX).unwrap();
    let module = unsafe { result::module::load_data(text.as_ptr().cast()) }.unwrap();
    unsafe { result::module::get_function(module, c"increment".into()) }.unwrap()
}

fn launch(f: sys::CUfunction, stream: sys::CUstream, word: u64) -> String {
    let mut word = word;
    let mut params = [(&raw mut word).cast::<c_void>()];
    let (params, none) = (params.as_mut_ptr(), null_mut());
    code(unsafe { sys::cuLaunchKernel(f, 1, 1, 1, 1, 1, 1, 0, stream, params, none) }.result())
}

fn event() -> sys::CUevent {
    let mut event = null_mut();
    unsafe { sys::cuEventCreate(&mut event, 0) }.result().unwrap();
    event
}

fn streams() -> [Arc<CudaStream>; 2] {
    [0, 1].map(|n| CudaContext::new(n).unwrap().new_stream().unwrap())
}

/// A word of zeros.
fn word(stream: &CudaStream) -> u64 {
    stream.context().bind_to_thread().unwrap();
    let (mut p, stream) = (0, stream.cu_stream());
    unsafe { sys::cuMemAllocAsync(&mut p, 4, stream) }.result().unwrap();
    unsafe { sys::cuMemsetD32Async(p, 0, 1, stream) }.result().unwrap();
    p
}

fn value(stream: &CudaStream, p: u64) -> u32 {
    let mut value = 0u32;
    let to = (&raw mut value).cast();
    unsafe { sys::cuMemcpyDtoHAsync_v2(to, p, 4, stream.cu_stream()) }.result().unwrap();
    stream.synchronize().unwrap();
    value
}

fn free(stream: &CudaStream, p: u64) -> String {
    code(unsafe { sys::cuMemFreeAsync(p, stream.cu_stream()) }.result())
}

#[test]
fn each_is_one_of_its_own() {
    with_two("devices::each_is_one_of_its_own", &[], || {
        assert_eq!(CudaContext::device_count().unwrap(), 2);
        assert_eq!(code(CudaContext::new(2)), "INVALID_DEVICE");
        let [a, b] = [0, 1].map(|n| CudaContext::new(n).unwrap());
        assert_eq!(a.name().unwrap(), "CPU emulation of a CUDA device");
        assert_eq!(b.name().unwrap(), "CPU emulation of a CUDA device, number 1");
        assert_ne!(a.uuid().unwrap().bytes, b.uuid().unwrap().bytes);
        let bus = |c: &CudaContext| c.attribute(A::CU_DEVICE_ATTRIBUTE_PCI_BUS_ID).unwrap();
        assert_ne!(bus(&a), bus(&b));
        for (n, context) in [&a, &b].into_iter().enumerate() {
            context.bind_to_thread().unwrap();
            let mut device = -1;
            unsafe { sys::cuCtxGetDevice(&mut device) }.result().unwrap();
            assert_eq!(device, n as i32);
        }
        let taken = b.default_stream().alloc_zeros::<u8>(1 << 20).unwrap();
        let free = |c: &CudaContext| c.mem_get_info().unwrap().0;
        assert_eq!(free(&a) - free(&b), taken.len());
        let is_active = |n| {
            let (mut flags, mut is_active) = (0, 0);
            unsafe { sys::cuDevicePrimaryCtxGetState(n, &mut flags, &mut is_active) }
                .result()
                .unwrap();
            is_active != 0
        };
        assert!(is_active(0) && is_active(1));
        drop(a);
        assert!(!is_active(0) && is_active(1));
        let mut own = null_mut();
        unsafe { sys::cuCtxCreate_v4(&mut own, null_mut(), 0, 1) }.result().unwrap();
        let mut device = -1;
        unsafe { sys::cuCtxGetDevice(&mut device) }.result().unwrap();
        assert_eq!(device, 1);
        unsafe { sys::cuCtxDestroy_v2(own) }.result().unwrap();
        // cudarc frees in the context that is current
        b.bind_to_thread().unwrap();
    });
}

#[test]
fn none_is_no_device() {
    if argument().is_some() {
        return assert_eq!(code(CudaContext::new(0)), "NO_DEVICE");
    }
    child("devices::none_is_no_device", "run", &[("CUDAEMU_DEVICES", "0")]).sound("no device");
}

#[test]
fn work_of_both_is_ordered_by_events() {
    with_two("devices::work_of_both_is_ordered_by_events", &[], || {
        let [a, b] = streams();
        let (on_a, on_b) = (word(&a), word(&b));
        let on_b_too = increment();
        a.context().bind_to_thread().unwrap();
        assert_eq!(launch(increment(), a.cu_stream(), on_a), "SUCCESS");
        // a copy to the other device, and a kernel there, wait for it
        b.wait(&a.record_event(None).unwrap()).unwrap();
        let (from, to) = (a.context().cu_ctx(), b.context().cu_ctx());
        unsafe { sys::cuMemcpyPeerAsync(on_b, to, on_a, from, 4, b.cu_stream()) }.result().unwrap();
        b.context().bind_to_thread().unwrap();
        assert_eq!(launch(on_b_too, b.cu_stream(), on_b), "SUCCESS");
        assert_eq!(value(&b, on_b), 2);
        assert_eq!((free(&a, on_a), free(&b, on_b)), ("SUCCESS".into(), "SUCCESS".into()));
    });
}

#[test]
fn handles_belong_to_contexts() {
    with_two("devices::handles_belong_to_contexts", &[], || {
        let [a, b] = streams();
        let on_a = word(&a);
        a.synchronize().unwrap();
        let (f, e) = (increment(), event());
        assert_eq!(launch(f, b.cu_stream(), on_a), "INVALID_HANDLE");
        let record = |stream| code(unsafe { sys::cuEventRecord(e, stream) }.result());
        assert_eq!(record(b.cu_stream()), "INVALID_HANDLE");
        assert_eq!(
            (record(a.cu_stream()), record(null_mut())),
            ("SUCCESS".into(), "SUCCESS".into())
        );
        // the null stream is that of the current context
        assert_eq!(launch(f, null_mut(), on_a), "SUCCESS");
        b.context().bind_to_thread().unwrap();
        assert_eq!(
            (launch(f, null_mut(), on_a), record(null_mut())),
            ("INVALID_HANDLE".into(), "INVALID_HANDLE".into())
        );
        // so it is within a device
        let mut own = null_mut();
        unsafe { sys::cuCtxCreate_v4(&mut own, null_mut(), 0, 0) }.result().unwrap();
        assert_eq!(launch(f, null_mut(), on_a), "INVALID_HANDLE");
        // whose contexts reach one another's memory
        assert_eq!(launch(increment(), null_mut(), on_a), "SUCCESS");
        unsafe { sys::cuCtxDestroy_v2(own) }.result().unwrap();
        a.context().bind_to_thread().unwrap();
        a.context().synchronize().unwrap();
        assert_eq!(value(&a, on_a), 2);
        assert_eq!(free(&a, on_a), "SUCCESS");
        unsafe { sys::cuEventDestroy_v2(e) }.result().unwrap();
    });
}

#[test]
fn kernels_do_not_reach_the_other_device() {
    let test = "devices::kernels_do_not_reach_the_other_device";
    let said = with_two(test, &["oob_global"], || {
        let [a, b] = streams();
        let on_b = word(&b);
        b.synchronize().unwrap();
        a.context().bind_to_thread().unwrap();
        assert_eq!(launch(increment(), a.cu_stream(), on_b), "SUCCESS");
        assert_eq!(code(a.synchronize()), "ILLEGAL_ADDRESS");
        assert_eq!(code(a.synchronize()), "ILLEGAL_ADDRESS");
        // the other context is as it was
        b.context().bind_to_thread().unwrap();
        assert_eq!(value(&b, on_b), 0);
        assert_eq!(free(&b, on_b), "SUCCESS");
    });
    let what = "of device 1, to which a kernel of device 0 has no access";
    assert!(argument().is_some() || said.contains(what), "{said}");
}

#[test]
fn memory_is_used_on_its_device() {
    with_two("devices::memory_is_used_on_its_device", &["api_oob", "bad_free"], || {
        let [a, b] = streams();
        let on_a = word(&a);
        assert_eq!(free(&b, on_a), "INVALID_VALUE");
        let fill = |stream| code(unsafe { sys::cuMemsetD8Async(on_a, 1, 4, stream) }.result());
        assert_eq!(fill(b.cu_stream()), "INVALID_VALUE");
        b.context().bind_to_thread().unwrap();
        // the null stream is that of the other device now
        assert_eq!(
            code(unsafe { sys::cuMemFreeAsync(on_a, null_mut()) }.result()),
            "INVALID_VALUE"
        );
        assert_eq!(fill(null_mut()), "INVALID_VALUE");
        assert_eq!(code(unsafe { sys::cuMemsetD8_v2(on_a, 1, 4) }.result()), "INVALID_VALUE");
        let can = |from, to| {
            let mut can = -1;
            unsafe { sys::cuDeviceCanAccessPeer(&mut can, from, to) }.result().unwrap();
            can
        };
        assert_eq!((can(0, 1), can(1, 0)), (0, 0));
        let enabled = unsafe { sys::cuCtxEnablePeerAccess(a.context().cu_ctx(), 0) };
        assert_eq!(code(enabled.result()), "PEER_ACCESS_UNSUPPORTED");
        // nothing of that is an error that stays, and the word is still there
        assert_eq!(value(&a, on_a), 0);
        assert_eq!(code(unsafe { sys::cuMemFree_v2(on_a) }.result()), "SUCCESS");
    });
}

#[test]
fn threads_without_a_context() {
    with_two("devices::threads_without_a_context", &[], || {
        let d = Device::new("75");
        let p = word(&d.s);
        let (f, e) = (increment() as usize, event() as usize);
        // as a thread has none to begin with
        let other = std::thread::spawn(move || {
            let null = null_mut;
            let (mut q, mut host) = (0, 0u32);
            let to = (&raw mut host).cast::<c_void>();
            let calls = unsafe {
                [
                    sys::cuMemAlloc_v2(&mut q, 4),
                    sys::cuMemAllocAsync(&mut q, 4, null()),
                    sys::cuMemAllocHost_v2((&raw mut q).cast(), 4),
                    sys::cuMemAllocManaged(&mut q, 4, 1),
                    sys::cuMemFree_v2(p),
                    sys::cuMemFreeAsync(p, null()),
                    sys::cuMemcpyHtoD_v2(p, to, 4),
                    sys::cuMemcpyHtoDAsync_v2(p, to, 4, null()),
                    sys::cuMemcpyDtoH_v2(to, p, 4),
                    sys::cuMemcpyDtoHAsync_v2(to, p, 4, null()),
                    sys::cuMemcpyDtoD_v2(p, p, 4),
                    sys::cuMemcpyDtoDAsync_v2(p, p, 4, null()),
                    sys::cuMemsetD8_v2(p, 0, 4),
                    sys::cuMemsetD32Async(p, 0, 1, null()),
                    sys::cuEventRecord(e as sys::CUevent, null()),
                    sys::cuStreamSynchronize(null()),
                    sys::cuStreamWaitEvent(null(), e as sys::CUevent, 0),
                    sys::cuCtxSynchronize(),
                ]
            };
            let mut codes = calls.map(|call| code(call.result())).to_vec();
            codes.push(launch(f as sys::CUfunction, null(), p));
            codes
        });
        for (n, code) in other.join().unwrap().into_iter().enumerate() {
            assert_eq!(code, "INVALID_CONTEXT", "call {n}");
        }
        assert_eq!(value(&d.s, p), 0);
        assert_eq!(free(&d.s, p), "SUCCESS");
        unsafe { sys::cuEventDestroy_v2(e as sys::CUevent) }.result().unwrap();
    });
}

/// The stream 2 is another one in each thread.
#[test]
fn threads_have_streams_of_their_own() {
    with_two("devices::threads_have_streams_of_their_own", &[], || {
        let d = Device::new("75");
        let p = word(&d.s);
        d.s.synchronize().unwrap();
        let f = increment() as usize;
        let own = || 2 as sys::CUstream;
        assert_eq!(launch(f as sys::CUfunction, own(), p), "SUCCESS");
        let context = d.ctx.clone();
        let other = std::thread::spawn(move || {
            context.bind_to_thread().unwrap();
            unsafe { sys::cuStreamSynchronize(own()) }.result().unwrap();
            // nobody has waited for the other thread's
            unsafe { sys::cuStreamQuery(own()) }.result().unwrap();
        });
        other.join().unwrap();
        let mut was = 1u32;
        let stream = d.ctx.new_stream().unwrap();
        let to = (&raw mut was).cast();
        unsafe { sys::cuMemcpyDtoHAsync_v2(to, p, 4, stream.cu_stream()) }.result().unwrap();
        unsafe { sys::cuStreamSynchronize(own()) }.result().unwrap();
        assert_eq!(value(&d.s, p), 1);
        assert_eq!(free(&d.s, p), "SUCCESS");
    });
}
