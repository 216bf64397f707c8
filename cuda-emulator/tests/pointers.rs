//! What the driver tells of addresses of devices and of the host.

use crate::common::{argument, child, code};
use cudarc::driver::CudaContext;
use cudarc::driver::sys::{self, CUpointer_attribute_enum as P};
use std::ffi::c_void;
use std::ptr::null_mut;

const HOST: u64 = 1;
const DEVICE: u64 = 2;

/// One attribute; what is not written of the value is zero.
fn attribute(attribute: P, p: u64) -> Result<u64, String> {
    let mut value = 0u64;
    let to = (&raw mut value).cast();
    match unsafe { sys::cuPointerGetAttribute(to, attribute, p) }.result() {
        Ok(()) => Ok(value),
        e => Err(code(e)),
    }
}

/// Memory type, device, whether managed, and the addresses on the device and on the host, at once.
fn all(p: u64) -> [u64; 5] {
    let mut attributes = [
        P::CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
        P::CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL,
        P::CU_POINTER_ATTRIBUTE_IS_MANAGED,
        P::CU_POINTER_ATTRIBUTE_DEVICE_POINTER,
        P::CU_POINTER_ATTRIBUTE_HOST_POINTER,
    ];
    let mut values = [0u64; 5];
    let mut to = values.each_mut().map(|value| (value as *mut u64).cast::<c_void>());
    let n = attributes.len() as u32;
    unsafe { sys::cuPointerGetAttributes(n, attributes.as_mut_ptr(), to.as_mut_ptr(), p) }
        .result()
        .unwrap();
    values
}

#[test]
fn kinds_of_memory() {
    if argument().is_none() {
        let test = "pointers::kinds_of_memory";
        return child(test, "run", &[("CUDAEMU_DEVICES", "2")]).sound(test);
    }
    let [a, b] = [0, 1].map(|n| CudaContext::new(n).unwrap());
    b.bind_to_thread().unwrap();
    let (mut p, mut managed, mut pinned) = (0, 0, null_mut());
    unsafe {
        sys::cuMemAlloc_v2(&mut p, 100).result().unwrap();
        sys::cuMemAllocManaged(&mut managed, 100, 1).result().unwrap();
        sys::cuMemAllocHost_v2(&mut pinned, 100).result().unwrap();
    }
    let (pinned, own) = (pinned as u64, [0u8; 100]);
    let own = own.as_ptr() as u64;
    assert_eq!(all(p + 99), [DEVICE, 1, 0, p + 99, 0]);
    assert_eq!(all(managed), [DEVICE, 1, 1, managed, managed]);
    assert_eq!(all(pinned + 1), [HOST, 1, 0, pinned + 1, pinned + 1]);
    for (q, kind) in [(p, DEVICE), (managed, DEVICE), (pinned, HOST)] {
        assert_eq!(attribute(P::CU_POINTER_ATTRIBUTE_MEMORY_TYPE, q), Ok(kind));
        assert_eq!(attribute(P::CU_POINTER_ATTRIBUTE_CONTEXT, q), Ok(b.cu_ctx() as u64));
        assert_eq!(attribute(P::CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, q + 3), Ok(q));
        assert_eq!(attribute(P::CU_POINTER_ATTRIBUTE_RANGE_SIZE, q + 3), Ok(100));
    }
    // no address of the host, no address at all, and one beyond the end
    let refused = Err("INVALID_VALUE".to_string());
    assert_eq!(attribute(P::CU_POINTER_ATTRIBUTE_HOST_POINTER, p), refused);
    for unknown in [own, 0, p + 100, pinned + 100] {
        assert_eq!(attribute(P::CU_POINTER_ATTRIBUTE_MEMORY_TYPE, unknown), refused);
        assert_eq!(all(unknown), [0; 5]);
    }
    // the other device has no address for it
    a.bind_to_thread().unwrap();
    assert_eq!(attribute(P::CU_POINTER_ATTRIBUTE_DEVICE_POINTER, p), refused);
    assert_eq!(attribute(P::CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, p), Ok(1));
    assert_eq!(attribute(P::CU_POINTER_ATTRIBUTE_DEVICE_POINTER, pinned), Ok(pinned));
    unsafe {
        sys::cuMemFree_v2(p).result().unwrap();
        sys::cuMemFree_v2(managed).result().unwrap();
        sys::cuMemFreeHost(pinned as *mut c_void).result().unwrap();
    }
}
