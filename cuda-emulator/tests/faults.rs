//! Planted faults: each must be found, under the result a GPU would give where it would notice; its
//! sound twin, which does the same work without the fault, must stay silent. Under several schedules.

use crate::common::{
    Device, Outcome, SCHEDULES, arch_for, argument, cfg, child, code, need_nvcc, ptx,
};
use crate::validation::{cases, report};
use cudarc::driver::{PushKernelArg, result};
use std::time::Instant;

/// kernel, severity and kinds of the findings, result of the synchronisation
const PLANTED: &[(&str, &str, &str, &str)] = &[
    ("oob_read", "ERROR", "oob_global", "ILLEGAL_ADDRESS"),
    ("oob_write", "ERROR", "oob_global", "ILLEGAL_ADDRESS"),
    ("oob_shared", "ERROR", "oob_shared", "ILLEGAL_ADDRESS"),
    ("misaligned", "ERROR", "misaligned", "MISALIGNED_ADDRESS"),
    ("uninit_global", "warning", "uninit_global", "SUCCESS"),
    ("uninit_shared", "warning", "uninit_shared", "SUCCESS"),
    ("uninit_branch", "ERROR", "uninit_use", "LAUNCH_FAILED"),
    (
        "race_missing_barrier",
        "ERROR",
        "race_read_after_write race_write_after_read",
        "LAUNCH_FAILED",
    ),
    ("race_ww", "ERROR", "race_write_after_write", "LAUNCH_FAILED"),
    ("race_clear", "ERROR", "race_write_after_write", "LAUNCH_FAILED"),
    ("race_look", "ERROR", "race_read_after_write race_write_after_read", "LAUNCH_FAILED"),
    ("race_warp", "warning", "warp_race_read_after_write", "SUCCESS"),
    ("bar_diverge", "ERROR", "barrier_divergence", "LAUNCH_FAILED"),
    ("bar_exit", "warning", "barrier_after_exit", "SUCCESS"),
    ("named_bad", "ERROR", "barrier_overrun deadlock", "LAUNCH_FAILED"),
    ("shfl_inactive", "ERROR", "shfl_inactive", "LAUNCH_FAILED"),
    ("do_trap", "ERROR", "trap", "LAUNCH_FAILED"),
    ("asserts", "ERROR", "assert", "ASSERT"),
    ("use_after_free", "ERROR", "oob_global", "ILLEGAL_ADDRESS"),
    ("infinite", "ERROR", "timeout", "LAUNCH_TIMEOUT"),
    ("cp_async_nowait", "ERROR", "cp_async_in_flight", "LAUNCH_FAILED"),
    (
        "block_race",
        "ERROR",
        "block_race_read_after_write block_race_write_after_read block_race_write_after_write",
        "LAUNCH_FAILED",
    ),
    ("block_race_ww", "ERROR", "block_race_write_after_write", "LAUNCH_FAILED"),
    ("block_race_clear", "ERROR", "block_race_write_after_write", "LAUNCH_FAILED"),
];

/// Kernels without a fault that are no twins.
const SOUND: &[&str] = &["block_same"];

fn source(kernel: &str) -> &'static str {
    let of_others = ["named", "named_bad", "asserts", "uninit_branch"];
    if of_others.contains(&kernel) { "more" } else { "faults" }
}

fn twin(fault: &str) -> String {
    if fault == "named_bad" { "named".into() } else { format!("{fault}_ok") }
}

fn program(name: &str, arch: &str) {
    let d = Device::new(arch);
    let s = &d.s;
    let f = d.load(source(name)).load_function(name).unwrap();
    let a = s.clone_htod(&(0..32i32).collect::<Vec<_>>()).unwrap();
    let mut o = s.alloc_zeros::<i32>(32).unwrap();
    let mut big = s.alloc_zeros::<i32>(256).unwrap();
    // lives as long as the launch
    let fresh = unsafe { s.alloc::<i32>(32).unwrap() };
    let x = s.clone_htod(&vec![1f32; 256]).unwrap();
    let mut y = s.alloc_zeros::<f32>(256).unwrap();
    let mut b = s.launch_builder(&f);
    let launched = unsafe {
        match name.trim_end_matches("_ok") {
            "oob_read" => b.arg(&a).arg(&mut o).arg(&32i32).launch(cfg(1, 32, 0)),
            "oob_write" => b.arg(&mut o).arg(&32i32).launch(cfg(1, 32, 0)),
            "misaligned" => b.arg(&a).arg(&mut o).launch(cfg(1, 31, 0)),
            "uninit_global" => b.arg(&fresh).arg(&mut o).launch(cfg(1, 32, 0)),
            "race_missing_barrier" => b.arg(&mut big).arg(&256i32).launch(cfg(1, 256, 0)),
            "race_ww" | "race_clear" | "race_look" => b.arg(&mut big).launch(cfg(1, 256, 0)),
            "uninit_shared" | "bar_diverge" | "named" | "named_bad" => {
                b.arg(&mut big).launch(cfg(1, 64, 0))
            }
            "bar_exit" => b.arg(&mut big).arg(&50i32).launch(cfg(1, 64, 0)),
            "oob_shared" => {
                s.memcpy_htod(&[1i32], &mut o).unwrap();
                b.arg(&mut o).launch(cfg(1, 32, 0))
            }
            "cp_async_nowait" => b.arg(&x).arg(&mut y).launch(cfg(1, 64, 0)),
            "use_after_free" if name == "use_after_free" => {
                let p = s.alloc_zeros::<i32>(32).unwrap().leak();
                drop(s.upgrade_device_ptr::<i32>(p, 32));
                b.arg(&p).launch(cfg(1, 32, 0))
            }
            "block_race" => b.arg(&mut big).arg(&256i32).launch(cfg(4, 64, 0)),
            "block_race_ww" | "block_race_clear" | "block_same" => {
                b.arg(&mut big).launch(cfg(4, 64, 0))
            }
            _ => b.arg(&mut o).launch(cfg(1, 32, 0)),
        }
    };
    println!("launch {}", code(launched));
    println!("result {}", code(s.synchronize()));
}

/// A kind without what a schedule decides: which of two accesses comes first.
fn family(kind: &str) -> &str {
    let end = ["_read_after", "_write_after"].iter().find_map(|end| kind.find(end));
    &kind[..end.unwrap_or(kind.len())]
}

/// Whether the synchronisation after the launch gives the result; where streams are eager, the launch
/// itself does.
pub fn has_result(o: &Outcome, env: &[(&str, &str)], result: &str) -> bool {
    let is_eager = env.contains(&("CUDAEMU_STREAMS", "eager"));
    let launched = if is_eager { result } else { "SUCCESS" };
    let lines = [format!("launch {launched}\n"), format!("result {result}\n")];
    o.ok && lines.iter().all(|line| o.stdout.contains(line))
}

/// Runs a kernel; `kinds` is what must be found, exactly in the first schedule.
fn expect(name: &str, severity: &str, kinds: &str, result: &str, schedule: usize) {
    let (capability, env) = SCHEDULES[schedule];
    let arch = arch_for(capability);
    ptx(source(name), arch);
    // one ends only by the time limit; blocks in order, so that each finding comes each time
    let limit = if name == "infinite" { "1" } else { "60" };
    let mut env = env.to_vec();
    env.extend([("CUDAEMU_TIMEOUT_S", limit), ("CUDAEMU_THREADS", "1")]);
    env.push(("CUDAEMU_CC", capability));
    let o = child("faults::found_or_silent", &format!("{name} {arch}"), &env);
    let what = format!("{name} {env:?}\n{}", o.text());
    assert!(has_result(&o, &env, result), "{what}");
    let (errors, warnings) = (o.findings("ERROR"), o.findings("warning"));
    let expected: Vec<&str> = kinds.split(' ').map(family).collect();
    match severity {
        "" => assert_eq!((errors, warnings), (vec![], vec![]), "{what}"),
        "warning" => {
            assert_eq!(errors, [""; 0], "{what}");
            assert!(warnings.iter().any(|kind| expected.contains(&family(kind))), "{what}");
        }
        _ if schedule == 0 => assert_eq!(errors.join(" "), kinds, "{what}"),
        _ => {
            let is_expected = |kind: &String| expected.contains(&family(kind));
            assert!(errors.iter().any(is_expected), "{what}");
            // what a fault does to others: reads of what is not yet written, barriers that order nothing
            let follows = |kind: &String| kind.starts_with("uninit") || kind.starts_with("race");
            let may_be = |kind: &String| is_expected(kind) || follows(kind);
            assert!(errors.iter().all(may_be), "{what}");
        }
    }
}

#[test]
fn found_or_silent() {
    if let Some(argument) = argument() {
        let (name, arch) = argument.split_once(' ').unwrap();
        return program(name, arch);
    }
    need_nvcc!();
    let (started, schedules) = (Instant::now(), cases(3, SCHEDULES.len()));
    for (schedule, (capability, _)) in SCHEDULES.iter().enumerate().take(schedules) {
        // there is no cp.async before 8.0
        let exists = |name: &str| *capability >= "80" || !name.starts_with("cp_async");
        for &(name, severity, kinds, result) in PLANTED.iter().filter(|fault| exists(fault.0)) {
            expect(name, severity, kinds, result, schedule);
            expect(&twin(name), "", "", "SUCCESS", schedule);
        }
        SOUND.iter().for_each(|name| expect(name, "", "", "SUCCESS", schedule));
    }
    let what = format!("{} planted faults and their sound twins", PLANTED.len());
    let count = schedules * (2 * PLANTED.len() + SOUND.len());
    report("faults::found_or_silent", &what, count as u64, "all found or silent", started);
}

/// Two blocks work on the two halves of one word, each reading before the other one writes.
#[test]
fn halves_of_a_word_belong_to_their_blocks() {
    if argument().is_some() {
        let d = Device::new("80");
        let f = d.load("faults").load_function("block_halves").unwrap();
        let mut o = d.s.clone_htod(&[1i16, 2]).unwrap();
        let mut turn = d.s.alloc_zeros::<i32>(1).unwrap();
        let mut b = d.s.launch_builder(&f);
        // block 0 reads, then block 1; then block 0 writes
        unsafe { b.arg(&mut o).arg(&mut turn).launch(cfg(2, 1, 0)) }.unwrap();
        println!("halves {:?}", d.s.clone_dtoh(&o).unwrap());
        return;
    }
    need_nvcc!();
    ptx("faults", "80");
    let env = [("CUDAEMU_TIMEOUT_S", "60"), ("CUDAEMU_THREADS", "2")];
    let o = child("faults::halves_of_a_word_belong_to_their_blocks", "run", &env);
    assert!(o.ok && o.stdout.contains("halves [2, 3]"), "{}", o.text());
    assert_eq!(o.findings("ERROR"), [""; 0], "{}", o.text());
    assert_eq!(o.findings("warning"), [""; 0], "{}", o.text());
}

#[test]
fn leak() {
    if argument().is_some() {
        let d = Device::new("80");
        d.s.alloc_zeros::<i32>(32).unwrap().leak();
        return;
    }
    let o = child("faults::leak", "run", &[]);
    assert_eq!(o.findings("ERROR"), ["leak"], "{}", o.text());
}

/// A module goes with its context.
#[test]
fn a_module_is_no_leak() {
    if argument().is_some() {
        let d = Device::new("80");
        let text = c".version 7.0\n.target sm_75\n.address_size 64\n.global .b32 word;";
        unsafe { result::module::load_data(text.as_ptr().cast()) }.unwrap();
        return drop(d);
    }
    let o = child("faults::a_module_is_no_leak", "run", &[]);
    o.sound("a module");
    assert_eq!(o.findings("warning"), [""; 0], "{}", o.text());
}

#[test]
fn errors_set_the_exit_code_on_request() {
    if argument().is_some() {
        let d = Device::new("80");
        d.s.alloc_zeros::<i32>(32).unwrap().leak();
        return;
    }
    let test = "faults::errors_set_the_exit_code_on_request";
    assert!(child(test, "run", &[]).ok);
    assert!(!child(test, "run", &[("CUDAEMU_EXIT", "1")]).ok);
}
