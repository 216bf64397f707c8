//! The README shows a message of each check. Here is a kernel or a program for each, in which it is
//! found: the message must be the one of the README, but for numbers.

use crate::common::{Device, argument, cfg, child};
use cuda_emulator::checks::Kind;
use cudarc::driver::{CudaSlice, DevicePtr, PushKernelArg, sys};

/// A kind, blocks and threads of the launch, and what the kernel does, a line of scan.cu each. `out` has
/// 64 words of zeros, `fresh` 64 that were never written. See `ptx` for the registers.
const KERNELS: &[(Kind, [u32; 2], &str)] = &[
    (Kind::OutOfBoundsGlobal, [1, 64], "ld.global.u32 %r4, [%rd3+236];"),
    (Kind::OutOfBoundsShared, [1, 64], "st.shared.u32 [%r3+128], %r1;"),
    (Kind::OutOfBoundsLocal, [1, 64], "st.local.u32 [depot+32], %r1;"),
    (Kind::OutOfBoundsParam, [1, 64], "ld.param.u32 %r4, [fresh+8];"),
    (Kind::Misaligned, [1, 64], "ld.global.u32 %r4, [%rd3+2];"),
    (Kind::WriteConst, [1, 64], "mov.u64 %rd4, table;\nst.global.u32 [%rd4], %r1;"),
    (
        Kind::AtomicSpace,
        [1, 64],
        "mov.u64 %rd4, depot;\ncvta.local.u64 %rd4, %rd4;\natom.add.u32 %r4, [%rd4], 1;",
    ),
    (
        Kind::RaceReadAfterWrite,
        [1, 64],
        "@%p1 st.shared.u32 [%r3], %r1;\n@!%p1 ld.shared.u32 %r4, [%r3+-128];",
    ),
    (
        Kind::RaceWriteAfterRead,
        [1, 64],
        "st.shared.u32 [%r3], 0;\nbar.sync 0;\n@!%p1 ld.shared.u32 %r4, [%r3+-128];\n@%p1 st.shared.u32 [%r3], %r1;",
    ),
    (
        Kind::RaceWriteAfterWrite,
        [1, 64],
        "@%p1 st.shared.u32 [%r3], 1;\n@!%p1 st.shared.u32 [%r3+-128], 2;",
    ),
    (
        Kind::WarpRaceReadAfterWrite,
        [1, 32],
        "st.shared.u32 [%r3], %r1;\nxor.b32 %r3, %r3, 4;\nld.shared.u32 %r4, [%r3];",
    ),
    (
        Kind::WarpRaceWriteAfterRead,
        [1, 32],
        "st.shared.u32 [%r3], %r1;\nbar.warp.sync -1;\nxor.b32 %r5, %r3, 4;\nld.shared.u32 %r4, [%r5];\nst.shared.u32 [%r3], 1;",
    ),
    (
        Kind::WarpRaceWriteAfterWrite,
        [1, 32],
        "st.shared.u32 [%r3], %r1;\nxor.b32 %r3, %r3, 4;\nst.shared.u32 [%r3], 40;",
    ),
    (
        Kind::BlockRaceReadAfterWrite,
        [2, 32],
        "@%p2 st.global.u32 [%rd3], %r1;\n@!%p2 ld.global.u32 %r4, [%rd3];",
    ),
    (
        Kind::BlockRaceWriteAfterRead,
        [2, 32],
        "@%p2 ld.global.u32 %r4, [%rd3];\n@!%p2 st.global.u32 [%rd3], 1;",
    ),
    (Kind::BlockRaceWriteAfterWrite, [2, 32], "st.global.u32 [%rd3], %r2;"),
    (
        Kind::ClusterRaceReadAfterWrite,
        [2, 32],
        "st.shared.u32 [%r3], 0;\nbarrier.cluster.arrive;\nbarrier.cluster.wait;\nmapa.shared::cluster.u32 %r5, %r3, 1;\n@!%p2 st.shared.u32 [%r3], 1;\n@%p2 ld.shared::cluster.u32 %r4, [%r5];\nbarrier.cluster.arrive;\nbarrier.cluster.wait;",
    ),
    (
        Kind::ClusterRaceWriteAfterRead,
        [2, 32],
        "st.shared.u32 [%r3], 0;\nbarrier.cluster.arrive;\nbarrier.cluster.wait;\nmapa.shared::cluster.u32 %r5, %r3, 0;\n@!%p2 ld.shared::cluster.u32 %r4, [%r5];\n@%p2 st.shared.u32 [%r3], 1;\nbarrier.cluster.arrive;\nbarrier.cluster.wait;",
    ),
    (
        Kind::ClusterRaceWriteAfterWrite,
        [2, 32],
        "barrier.cluster.arrive;\nbarrier.cluster.wait;\nmapa.shared::cluster.u32 %r5, %r3, 0;\nst.shared::cluster.u32 [%r5], %r2;\nbarrier.cluster.arrive;\nbarrier.cluster.wait;",
    ),
    (
        Kind::ClusterNotStarted,
        [2, 32],
        "mapa.shared::cluster.u32 %r5, %r3, 1;\n@%p2 st.shared::cluster.u32 [%r5], 1;\nbarrier.cluster.arrive;\nbarrier.cluster.wait;",
    ),
    (
        Kind::ClusterExited,
        [2, 32],
        "barrier.cluster.arrive;\nbarrier.cluster.wait;\n@%p2 exit;\nmapa.shared::cluster.u32 %r5, %r3, 0;\nst.shared::cluster.u32 [%r5], 1;",
    ),
    (
        Kind::ClusterAddress,
        [2, 32],
        "mapa.u64 %rd4, %rd3, 0;\nbarrier.cluster.arrive;\nbarrier.cluster.wait;",
    ),
    (
        Kind::UndefinedUse,
        [1, 32],
        "ld.global.u32 %r4, [%rd2];\nsetp.eq.u32 %p3, %r4, 0;\n@%p3 bra DONE;",
    ),
    (Kind::UndefinedGlobal, [1, 32], "ld.global.u32 %r4, [%rd2+8];"),
    (Kind::UndefinedShared, [1, 32], "ld.shared.u32 %r4, [%r3];"),
    (
        Kind::BarrierDivergence,
        [1, 64],
        "setp.lt.u32 %p3, %r1, 40;\n@%p3 bar.sync 0;\nst.global.u32 [%rd3], 1;",
    ),
    (Kind::BarrierOverrun, [1, 32], "bar.arrive 1, 64;\nbar.arrive 1, 64;"),
    (Kind::BarrierWithoutArrive, [2, 32], "barrier.cluster.wait;"),
    (Kind::BarrierNumber, [1, 32], "add.u32 %r4, %r2, 16;\nbar.sync %r4;"),
    (Kind::BarrierAfterExit, [1, 64], "setp.ge.u32 %p3, %r1, 50;\n@%p3 exit;\nbar.sync 0;"),
    (Kind::BarrierPlaces, [1, 64], "@%p1 bra FIRST;\nbar.sync 0;\nbra DONE;\nFIRST: bar.sync 0;"),
    (Kind::Deadlock, [1, 64], "@!%p1 exit;\nbar.sync 1, 64;"),
    (
        Kind::Timeout,
        [1, 32],
        "AGAIN: ld.volatile.global.u32 %r4, [%rd1];\nsetp.eq.u32 %p3, %r4, 0;\n@%p3 bra AGAIN;",
    ),
    (
        Kind::ShuffleInactive,
        [1, 32],
        "setp.lt.u32 %p3, %r1, 16;\n@%p3 shfl.sync.idx.b32 %r4, %r1, 20, 31, 65535;",
    ),
    (Kind::SyncMask, [1, 32], "bar.warp.sync 255;"),
    (
        Kind::CopyInFlight,
        [1, 32],
        "cp.async.ca.shared.global [%r3], [%rd3], 4;\nld.shared.u32 %r4, [%r3];\ncp.async.wait_all;",
    ),
    (
        Kind::CopyUnawaited,
        [1, 32],
        "cp.async.ca.shared.global [%r3], [%rd3], 4;\ncp.async.commit_group;",
    ),
    (
        Kind::BranchTable,
        [1, 32],
        "CASES: .branchtargets FIRST, DONE;\nbrx.idx %r1, CASES;\nFIRST: mov.u32 %r4, 0;",
    ),
    (Kind::Trap, [1, 32], "setp.eq.u32 %p3, %r1, 5;\n@%p3 trap;"),
    (
        Kind::Assert,
        [1, 32],
        "{ .param .b64 a; .param .b64 b; .param .b32 c; .param .b64 d; .param .b64 e;\nmov.u64 %rd4, condition;\nmov.u64 %rd5, file;\nst.param.b64 [a], %rd4;\nst.param.b64 [b], %rd5;\nst.param.b32 [c], 12;\nst.param.b64 [d], %rd5;\nst.param.b64 [e], 1;\ncall.uni __assertfail, (a, b, c, d, e); }",
    ),
];

/// What a program does with the driver, on `out` and `fresh`, before its context ends. The result is that
/// of the kind.
type Program = fn(&Device, &CudaSlice<u32>, CudaSlice<u32>);
const PROGRAMS: &[(Kind, Program)] = &[
    (Kind::UndefinedCopy, |d, _, fresh| drop(d.s.clone_dtoh(&fresh))),
    (Kind::ApiOutOfBounds, |d, out, _| {
        let (p, _) = out.device_ptr(&d.s);
        let _ = unsafe { sys::cuMemsetD8_v2(p, 0, 512) }.result();
    }),
    (Kind::Overlap, |d, out, _| {
        let (p, _) = out.device_ptr(&d.s);
        let _ = unsafe { sys::cuMemcpyDtoD_v2(p + 64, p, 128) }.result();
    }),
    (Kind::BadFree, |d, out, _| {
        let (p, _) = out.device_ptr(&d.s);
        let _ = unsafe { sys::cuMemFree_v2(p + 64) }.result();
    }),
    (Kind::FreeInUse, |d, _, fresh| {
        let (other, p) = (d.ctx.new_stream().unwrap(), fresh.leak());
        let _ = unsafe { sys::cuMemsetD8Async(p, 0, 256, other.cu_stream()) }.result();
        let _ = unsafe { sys::cuMemFreeAsync(p, d.s.cu_stream()) }.result();
        let _ = other.synchronize();
    }),
    (Kind::Leak, |_, _, fresh| {
        let _ = fresh.leak();
    }),
    (Kind::LeakHandles, |_, _, _| {
        let mut event = std::ptr::null_mut();
        let _ = unsafe { sys::cuEventCreate(&mut event, 0) }.result();
    }),
];

/// A kernel that does this. Of a thread, %r1 is the number in its block, %rd3 its word of `out` and %r3
/// that of `tile`; %r2 is its block, %p1 says that it is in the first warp, %p2 that it is in the first
/// block.
fn ptx(body: &str) -> String {
    let in_clusters = ["cluster", "mapa"].iter().any(|word| body.contains(word));
    let clusters = if in_clusters { ".explicitcluster .reqnctapercluster 2, 1, 1" } else { "" };
    let mut lines = String::new();
    for (n, line) in body.lines().enumerate() {
        lines += &format!(".loc 1 {} 0\n{line}\n", n + 10);
    }
    let bytes = |text: &str| {
        let bytes: Vec<String> = text.bytes().chain([0]).map(|b| b.to_string()).collect();
        format!("[{}] = {{{}}}", bytes.len(), bytes.join(", "))
    };
    let (condition, file) = (bytes("n > 0"), bytes("scan.cu"));
    format!(
        ".version 8.0
.target sm_90
.address_size 64
.file 1 \"scan.cu\"
.const .align 4 .b32 table[4];
.global .align 1 .b8 condition{condition};
.global .align 1 .b8 file{file};
.extern .func __assertfail(.param .b64 a, .param .b64 b, .param .b32 c, .param .b64 d, .param .b64 e);
.visible .entry scan(.param .u64 out, .param .u64 fresh) {clusters}
{{
.reg .pred %p<4>;
.reg .b32 %r<6>;
.reg .b64 %rd<6>;
.local .align 8 .b8 depot[16];
.shared .align 16 .b8 tile[256];
ld.param.u64 %rd1, [out];
ld.param.u64 %rd2, [fresh];
mov.u32 %r1, %tid.x;
mov.u32 %r2, %ctaid.x;
mul.wide.u32 %rd3, %r1, 4;
add.u64 %rd3, %rd1, %rd3;
mov.u32 %r3, tile;
mad.lo.u32 %r3, %r1, 4, %r3;
setp.lt.u32 %p1, %r1, 32;
setp.eq.u32 %p2, %r2, 0;
{lines}
DONE: ret;
}}
"
    )
}

fn program(name: &str) {
    let d = Device::new("90");
    let out = d.s.alloc_zeros::<u32>(64).unwrap();
    // never written, which is what some of them are about
    let fresh = unsafe { d.s.alloc::<u32>(64) }.unwrap();
    if let Some((_, program)) = PROGRAMS.iter().find(|(kind, _)| kind.name() == name) {
        return program(&d, &out, fresh);
    }
    let (_, [blocks, threads], body) = *KERNELS.iter().find(|k| k.0.name() == name).unwrap();
    let kernel = d.load_text(&ptx(body)).load_function("scan").unwrap();
    let mut launch = d.s.launch_builder(&kernel);
    unsafe { launch.arg(&out).arg(&fresh).launch(cfg(blocks, threads, 0)) }.unwrap();
    // the result is that of the kind
    let _ = d.s.synchronize();
}

/// The text without what differs from run to run and from kernel to kernel.
fn without_numbers(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let hexadecimal = rest.strip_prefix("0x");
        let digits = hexadecimal.unwrap_or(rest);
        let is_digit = |c: char| {
            if hexadecimal.is_some() { c.is_ascii_hexdigit() } else { c.is_ascii_digit() }
        };
        let after = digits.trim_start_matches(is_digit);
        if after.len() < digits.len() {
            out.push('#');
            rest = after;
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

#[test]
fn the_readme_shows_what_each_check_says() {
    if let Some(name) = argument() {
        return program(&name);
    }
    let readme = include_str!("../README.md");
    let kinds = KERNELS.iter().map(|k| k.0).chain(PROGRAMS.iter().map(|p| p.0));
    let kinds: Vec<Kind> = kinds.collect();
    let mut wrong = vec![];
    for kind in Kind::ALL.iter().filter(|&&kind| kind != Kind::EmulatorPanic) {
        assert!(kinds.contains(kind), "no program for {kind:?}");
        let mark = format!(" [{}] ", kind.name());
        let env = [("CUDAEMU_CC", "90"), ("CUDAEMU_THREADS", "1"), ("CUDAEMU_TIMEOUT_S", "1")];
        let o = child("messages::the_readme_shows_what_each_check_says", kind.name(), &env);
        let is_one = |line: &&str| line.starts_with("cudaemu: ") && line.contains(&mark);
        let Some(message) = o.stderr.lines().find(is_one) else {
            wrong.push(format!("{kind:?} is not found: {}", o.stderr));
            continue;
        };
        let shown = readme.lines().find(is_one).unwrap_or_default();
        if without_numbers(shown) != without_numbers(message) {
            wrong.push(message.to_string());
        }
    }
    assert!(wrong.is_empty(), "the README should show:\n{}", wrong.join("\n"));
}
