//! Captures: what they forbid, and what that does to them.

use crate::common::{Device, argument, child, code};
use cudarc::driver::sys::{self, CUstreamCaptureMode_enum as Mode};
use std::ffi::c_void;
use std::ptr::null_mut;

const MODES: [(&str, Mode); 3] = [
    ("global", Mode::CU_STREAM_CAPTURE_MODE_GLOBAL),
    ("thread", Mode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL),
    ("relaxed", Mode::CU_STREAM_CAPTURE_MODE_RELAXED),
];
const NULL: Stream = Stream(0);
const LEGACY: Stream = Stream(1);
const OF_THREAD: Stream = Stream(2);

/// A handle, which other threads may use too.
#[derive(Clone, Copy)]
struct Stream(usize);

impl Stream {
    fn new(flags: u32) -> Stream {
        let mut stream = null_mut();
        unsafe { sys::cuStreamCreate(&mut stream, flags) }.result().unwrap();
        Stream(stream as usize)
    }
    fn blocking() -> Stream {
        Stream::new(0)
    }
    fn non_blocking() -> Stream {
        Stream::new(1)
    }
    fn raw(self) -> sys::CUstream {
        self.0 as sys::CUstream
    }
    fn begin(self, mode: Mode) -> String {
        code(unsafe { sys::cuStreamBeginCapture_v2(self.raw(), mode) }.result())
    }
    fn end(self) -> String {
        let mut graph = null_mut();
        let ended = code(unsafe { sys::cuStreamEndCapture(self.raw(), &mut graph) }.result());
        assert_eq!(ended == "SUCCESS", !graph.is_null());
        if !graph.is_null() {
            unsafe { sys::cuGraphDestroy(graph) }.result().unwrap();
        }
        ended
    }
    fn status(self) -> String {
        let mut status = sys::CUstreamCaptureStatus_enum::CU_STREAM_CAPTURE_STATUS_NONE;
        match unsafe { sys::cuStreamIsCapturing(self.raw(), &mut status) }.result() {
            Ok(()) => format!("{status:?}").trim_start_matches("CU_STREAM_CAPTURE_STATUS_").into(),
            e => code(e),
        }
    }
    fn fill(self, p: u64) -> String {
        code(unsafe { sys::cuMemsetD8Async(p, 1, 4, self.raw()) }.result())
    }
    fn record(self, event: &Event) -> String {
        code(unsafe { sys::cuEventRecord(event.0, self.raw()) }.result())
    }
    fn wait(self, event: &Event) -> String {
        code(unsafe { sys::cuStreamWaitEvent(self.raw(), event.0, 0) }.result())
    }
    fn destroy(self) {
        unsafe { sys::cuStreamDestroy_v2(self.raw()) }.result().unwrap();
    }
}

struct Event(sys::CUevent);

impl Event {
    fn new() -> Event {
        let mut event = null_mut();
        unsafe { sys::cuEventCreate(&mut event, 0) }.result().unwrap();
        Event(event)
    }
    fn query(&self) -> String {
        code(unsafe { sys::cuEventQuery(self.0) }.result())
    }
    fn synchronize(&self) -> String {
        code(unsafe { sys::cuEventSynchronize(self.0) }.result())
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        let _ = unsafe { sys::cuEventDestroy_v2(self.0) }.result();
    }
}

/// Runs the program in a process of its own, without findings.
fn run(test: &str, program: impl FnOnce(u64)) {
    if argument().is_none() {
        return child(test, "run", &[]).sound(test);
    }
    let d = Device::new("75");
    let mut p = 0;
    unsafe { sys::cuMemAlloc_v2(&mut p, 4) }.result().unwrap();
    assert_eq!(NULL.fill(p), "SUCCESS");
    d.ctx.synchronize().unwrap();
    program(p);
    unsafe { sys::cuMemFree_v2(p) }.result().unwrap();
}

#[test]
fn begins_and_ends() {
    run("capture::begins_and_ends", |p| {
        let s = Stream::non_blocking();
        for (name, mode) in MODES {
            assert_eq!(NULL.begin(mode), "STREAM_CAPTURE_UNSUPPORTED", "{name}");
            assert_eq!(LEGACY.begin(mode), "STREAM_CAPTURE_UNSUPPORTED", "{name}");
            for stream in [s, OF_THREAD] {
                assert_eq!(stream.status(), "NONE", "{name}");
                assert_eq!(stream.begin(mode), "SUCCESS", "{name}");
                assert_eq!(stream.begin(mode), "ILLEGAL_STATE", "{name}");
                assert_eq!(stream.fill(p), "SUCCESS", "{name}");
                assert_eq!(stream.status(), "ACTIVE", "{name}");
                let other = std::thread::scope(|scope| {
                    let context = current();
                    let end = move || {
                        bind(context);
                        // another thread has another stream of its own
                        if stream.0 == OF_THREAD.0 { String::new() } else { stream.end() }
                    };
                    scope.spawn(end).join().unwrap()
                });
                match (stream.0 == OF_THREAD.0, name) {
                    (true, _) => assert_eq!(stream.end(), "SUCCESS", "{name}"),
                    (false, "relaxed") => assert_eq!(other, "SUCCESS"),
                    (false, _) => {
                        assert_eq!(other, "STREAM_CAPTURE_WRONG_THREAD", "{name}");
                        assert_eq!(stream.end(), "SUCCESS", "{name}");
                    }
                }
            }
        }
        assert_eq!(s.end(), "ILLEGAL_STATE");
        // what captures goes with its stream
        assert_eq!(s.begin(MODES[0].1), "SUCCESS");
        s.destroy();
        assert_eq!(at_once(p, |result| result), ["SUCCESS"; CALLS]);
    });
}

fn current() -> usize {
    let mut context = null_mut();
    unsafe { sys::cuCtxGetCurrent(&mut context) }.result().unwrap();
    context as usize
}

fn bind(context: usize) {
    unsafe { sys::cuCtxSetCurrent(context as sys::CUcontext) }.result().unwrap();
}

const CALLS: usize = 10;

/// Calls that act at once, in no stream that captures, each with `after` run after it.
fn at_once(p: u64, mut after: impl FnMut(String) -> String) -> Vec<String> {
    let (mut q, mut host) = (0u64, [0u8; 4]);
    let (event, other) = (Event::new(), Stream::non_blocking());
    let to = host.as_mut_ptr().cast::<c_void>();
    let mut calls: [&mut dyn FnMut() -> sys::CUresult; CALLS] = [
        &mut || unsafe {
            let e = sys::cuMemAlloc_v2(&mut q, 4);
            if e == sys::CUresult::CUDA_SUCCESS { sys::cuMemFree_v2(q) } else { e }
        },
        &mut || {
            let mut pinned = null_mut();
            let e = unsafe { sys::cuMemAllocHost_v2(&mut pinned, 4) };
            let is_one = e == sys::CUresult::CUDA_SUCCESS;
            if is_one { unsafe { sys::cuMemFreeHost(pinned) } } else { e }
        },
        &mut || unsafe { sys::cuMemcpyHtoD_v2(p, to, 4) },
        &mut || unsafe { sys::cuMemcpyDtoH_v2(to, p, 4) },
        &mut || unsafe { sys::cuMemsetD8_v2(p, 1, 4) },
        &mut || unsafe { sys::cuEventQuery(event.0) },
        &mut || unsafe { sys::cuEventSynchronize(event.0) },
        &mut || unsafe { sys::cuStreamQuery(other.raw()) },
        &mut || unsafe { sys::cuStreamSynchronize(other.raw()) },
        // a copy of nothing is none
        &mut || unsafe { sys::cuMemsetD32_v2(p, 0, 1) },
    ];
    let results = calls.iter_mut().map(|call| after(code(call().result()))).collect();
    other.destroy();
    results
}

/// A call that acts at once ends a capture that was not begun as relaxed: one of its own thread, or any
/// that was begun as global.
#[test]
fn calls_that_act_at_once_end_it() {
    run("capture::calls_that_act_at_once_end_it", |p| {
        let s = Stream::non_blocking();
        for (name, mode) in MODES {
            let (refused, ended) = ("STREAM_CAPTURE_UNSUPPORTED", "STREAM_CAPTURE_INVALIDATED");
            let (result, end) =
                if name == "relaxed" { ("SUCCESS", "SUCCESS") } else { (refused, ended) };
            assert_eq!(s.begin(mode), "SUCCESS");
            let after = |result: String| {
                assert_eq!(s.status() == "INVALIDATED", result != "SUCCESS", "{name}");
                assert_eq!(s.fill(p) == ended, result != "SUCCESS", "{name}");
                assert_eq!(s.end(), end, "{name}");
                assert_eq!(s.begin(mode), "SUCCESS", "{name}");
                result
            };
            assert_eq!(at_once(p, after), [result; CALLS], "{name}");
            let context = current();
            let others = std::thread::spawn(move || {
                bind(context);
                at_once(p, |result| result)
            });
            let result = if name == "global" { refused } else { "SUCCESS" };
            assert_eq!(others.join().unwrap(), [result; CALLS], "of others, {name}");
            let end = if name == "global" { ended } else { "SUCCESS" };
            assert_eq!(s.end(), end, "after others, {name}");
            // a thread may say that it knows what it does
            assert_eq!(s.begin(mode), "SUCCESS");
            let mut own = Mode::CU_STREAM_CAPTURE_MODE_RELAXED;
            unsafe { sys::cuThreadExchangeStreamCaptureMode(&mut own) }.result().unwrap();
            assert_eq!(own, Mode::CU_STREAM_CAPTURE_MODE_GLOBAL);
            assert_eq!(at_once(p, |result| result), ["SUCCESS"; CALLS], "{name}");
            unsafe { sys::cuThreadExchangeStreamCaptureMode(&mut own) }.result().unwrap();
            assert_eq!(s.end(), "SUCCESS", "{name}");
        }
        s.destroy();
    });
}

/// While a blocking stream captures, the legacy stream may not be used: it would wait for it.
#[test]
fn the_legacy_stream_rests() {
    run("capture::the_legacy_stream_rests", |p| {
        let (blocking, free) = (Stream::blocking(), Stream::non_blocking());
        let event = Event::new();
        assert_eq!(free.record(&event), "SUCCESS");
        let query = |s: Stream| code(unsafe { sys::cuStreamQuery(s.raw()) }.result());
        let wait = |s: Stream| code(unsafe { sys::cuStreamSynchronize(s.raw()) }.result());
        let mut q = 0;
        let mut allocate =
            |s: Stream| code(unsafe { sys::cuMemAllocAsync(&mut q, 4, s.raw()) }.result());
        for (name, mode) in MODES {
            for stream in [NULL, LEGACY] {
                let mut uses: [&mut dyn FnMut() -> String; 7] = [
                    &mut || stream.fill(p),
                    &mut || stream.record(&event),
                    &mut || stream.wait(&event),
                    &mut || query(stream),
                    &mut || wait(stream),
                    &mut || allocate(stream),
                    &mut || code(unsafe { sys::cuMemsetD8_v2(p, 1, 4) }.result()),
                ];
                for (n, call) in uses.iter_mut().enumerate() {
                    assert_eq!(blocking.begin(mode), "SUCCESS");
                    assert_eq!(stream.status(), "STREAM_CAPTURE_IMPLICIT", "{name}");
                    assert_eq!(blocking.status(), "ACTIVE", "{name}");
                    assert_eq!(call(), "STREAM_CAPTURE_IMPLICIT", "use {n}, {name}");
                    assert_eq!(blocking.end(), "STREAM_CAPTURE_INVALIDATED", "use {n}, {name}");
                    assert_eq!(wait(blocking), "SUCCESS");
                }
                // it does not wait for others
                assert_eq!(free.begin(mode), "SUCCESS");
                assert_eq!((stream.fill(p), stream.status()), ("SUCCESS".into(), "NONE".into()));
                assert_eq!(free.end(), "SUCCESS", "{name}");
            }
        }
        blocking.destroy();
        free.destroy();
    });
}

#[test]
fn events_come_from_within() {
    run("capture::events_come_from_within", |p| {
        let [origin, other, third] = [(); 3].map(|_| Stream::non_blocking());
        let (outside, inside, never) = (Event::new(), Event::new(), Event::new());
        assert_eq!((other.fill(p), other.record(&outside)), ("SUCCESS".into(), "SUCCESS".into()));
        for (name, mode) in MODES {
            let begin = || assert_eq!(origin.begin(mode), "SUCCESS", "{name}");
            let ended = |what: &str| {
                assert_eq!(origin.status(), "INVALIDATED", "{what}, {name}");
                assert_eq!(origin.end(), "STREAM_CAPTURE_INVALIDATED", "{what}, {name}");
            };
            begin();
            assert_eq!(origin.wait(&never), "SUCCESS", "{name}");
            assert_eq!(origin.status(), "ACTIVE", "{name}");
            assert_eq!(origin.wait(&outside), "STREAM_CAPTURE_ISOLATION", "{name}");
            ended("an event from outside");
            // though its work is done by now
            unsafe { sys::cuStreamSynchronize(other.raw()) }.result().unwrap();
            begin();
            assert_eq!(origin.wait(&outside), "STREAM_CAPTURE_ISOLATION", "{name}");
            ended("an event that is over");
            // one from within takes its stream along
            begin();
            assert_eq!(
                (origin.record(&inside), other.wait(&inside)),
                ("SUCCESS".into(), "SUCCESS".into())
            );
            assert_eq!((other.status(), other.fill(p)), ("ACTIVE".into(), "SUCCESS".into()));
            assert_eq!(other.end(), "STREAM_CAPTURE_UNMATCHED", "{name}");
            assert_eq!(
                (other.record(&inside), origin.wait(&inside)),
                ("SUCCESS".into(), "SUCCESS".into())
            );
            assert_eq!((origin.end(), other.status()), ("SUCCESS".into(), "NONE".into()));
            // asked, it ends the capture
            for ask in [Event::query, Event::synchronize] {
                begin();
                assert_eq!(origin.record(&inside), "SUCCESS");
                assert_eq!(ask(&inside), "CAPTURED_EVENT", "{name}");
                ended("a captured event");
            }
            for ask in [sys::cuStreamQuery, sys::cuStreamSynchronize] {
                begin();
                let asked = code(unsafe { ask(origin.raw()) }.result());
                assert_eq!(asked, "STREAM_CAPTURE_UNSUPPORTED", "{name}");
                ended("a capturing stream");
            }
            begin();
            assert_eq!(
                code(unsafe { sys::cuCtxSynchronize() }.result()),
                "STREAM_CAPTURE_UNSUPPORTED"
            );
            ended("the context");
            // two captures stay two
            begin();
            assert_eq!(
                (third.begin(mode), third.record(&inside)),
                ("SUCCESS".into(), "SUCCESS".into())
            );
            assert_eq!(origin.wait(&inside), "STREAM_CAPTURE_MERGE", "{name}");
            ended("another capture");
            assert_eq!(third.end(), "STREAM_CAPTURE_INVALIDATED", "{name}");
        }
        [origin, other, third].into_iter().for_each(Stream::destroy);
    });
}
