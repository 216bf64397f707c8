//! Work of streams that is not ordered: memory that is freed while others use it, and CUDAEMU_STREAMS.

use crate::common::{Device, argument, cfg, child};
use cudarc::driver::{CudaStream, DevicePtr, PushKernelArg, sys};
use std::sync::Arc;

const TEST: &str = "order::memory_is_freed_after_its_use";
const MODES: [&str; 3] = ["lazy", "eager", "others"];

const PTX: &str = "
.version 7.0
.target sm_75
.address_size 64
.visible .entry clear(.param .u64 words) {
    .reg .b32 %r;
    .reg .b64 %at, %words;
    mov.u32 %r, %tid.x;
    ld.param.u64 %words, [words];
    mul.wide.u32 %at, %r, 4;
    add.u64 %at, %words, %at;
    st.global.u32 [%at], 0;
    ret;
}
";

fn allocate(stream: &CudaStream) -> u64 {
    let mut p = 0;
    unsafe { sys::cuMemAllocAsync(&mut p, 256, stream.cu_stream()) }.result().unwrap();
    p
}

fn free(p: u64, stream: &CudaStream) {
    let _ = unsafe { sys::cuMemFreeAsync(p, stream.cu_stream()) }.result();
}

/// One stream frees what a kernel of another one uses: after an event of it, after the host has waited
/// for it, or in no order. Then somebody waits.
fn program(order: &str, waits: &str) {
    let d = Device::new("75");
    let f = d.load_text(PTX).load_function("clear").unwrap();
    let [user, owner]: [Arc<CudaStream>; 2] = [0, 1].map(|_| d.ctx.new_stream().unwrap());
    let p = allocate(&owner);
    owner.synchronize().unwrap();
    let mut launch = user.launch_builder(&f);
    // eager, it may be that the launch fails
    let _ = unsafe { launch.arg(&p).launch(cfg(1, 64, 0)) };
    match order {
        "event" => owner.wait(&user.record_event(None).unwrap()).unwrap(),
        "late event" => {
            // its work is done by then, but nothing has said so to the stream or the host
            let event = user.record_event(None).unwrap();
            let other = d.ctx.new_stream().unwrap();
            other.wait(&event).unwrap();
            other.synchronize().unwrap();
            owner.wait(&event).unwrap();
        }
        "host" => user.synchronize().unwrap(),
        "poll" => while unsafe { sys::cuStreamQuery(user.cu_stream()) }.result().is_err() {},
        _ => {}
    }
    free(p, &owner);
    let failed = match waits {
        "user first" => [user.synchronize(), owner.synchronize()].iter().any(|r| r.is_err()),
        "owner first" => [owner.synchronize(), user.synchronize()].iter().any(|r| r.is_err()),
        "context" => d.ctx.synchronize().is_err(),
        _ => return,
    };
    println!("failed {failed}");
}

#[test]
fn memory_is_freed_after_its_use() {
    if let Some(argument) = argument() {
        let (order, waits) = argument.split_once('/').unwrap();
        return program(order, waits);
    }
    for mode in MODES {
        for waits in ["user first", "owner first", "context", "nobody"] {
            let run = |order: &str| {
                let o = child(TEST, &format!("{order}/{waits}"), &[("CUDAEMU_STREAMS", mode)]);
                (format!("{order}, {waits} waits, {mode}\n{}", o.text()), o)
            };
            let (what, o) = run("none");
            let errors = o.findings("ERROR");
            let may_be = |kind: &String| ["free_in_use", "oob_global"].contains(&kind.as_str());
            assert!(!errors.is_empty() && errors.iter().all(may_be), "{what}");
            assert!(waits == "nobody" || o.stdout.contains("failed true"), "{what}");
            for order in ["event", "late event", "host", "poll"] {
                let (what, o) = run(order);
                o.sound(&what);
                assert!(waits == "nobody" || o.stdout.contains("failed false"), "{what}");
            }
        }
    }
}

/// A copy on one stream, a fill of its source on another one, and no order: what is copied depends on the
/// mode.
#[test]
fn modes_run_either_first() {
    if let Some(mode) = argument() {
        let d = Device::new("75");
        let [reader, writer] = [0, 1].map(|_| d.ctx.new_stream().unwrap());
        unsafe { d.ctx.disable_event_tracking() };
        let [source, mut copy] = [0, 1].map(|_| reader.alloc_zeros::<u8>(64).unwrap());
        reader.synchronize().unwrap();
        reader.memcpy_dtod(&source, &mut copy).unwrap();
        let (p, _) = source.device_ptr(&reader);
        let fill = || {
            unsafe { sys::cuMemsetD8Async(p, 1, 64, writer.cu_stream()) }.result().unwrap();
        };
        fill();
        let expected = if mode == "others" { 1 } else { 0 };
        assert_eq!(reader.clone_dtoh(&copy).unwrap(), [expected; 64]);
        writer.synchronize().unwrap();
        // with an order between them all modes agree
        reader.memset_zeros(&mut copy).unwrap();
        reader.memcpy_dtod(&source, &mut copy).unwrap();
        writer.join(&reader).unwrap();
        unsafe { sys::cuMemsetD8Async(p, 2, 64, writer.cu_stream()) }.result().unwrap();
        assert_eq!(reader.clone_dtoh(&copy).unwrap(), [1; 64]);
        return writer.synchronize().unwrap();
    }
    for mode in MODES {
        child("order::modes_run_either_first", mode, &[("CUDAEMU_STREAMS", mode)]).sound(mode);
    }
}
