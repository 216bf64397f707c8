//! Every barrier of the tests' kernels and of CUB's is deleted in turn (in the short part every seventh):
//! a finding, or a wrong result, must tell. Fences are not deleted: memory order within a block is
//! sequential here, so that a missing fence cannot be found.

use super::barriers_of::{Barrier, barriers};
use super::{cases, cub, report};
use crate::common::{Outcome, child, need_nvcc, ptx, scratch_file};
use std::path::Path;
use std::time::Instant;

/// Where a kernel runs: its test, and the argument of that test's process.
type Program = fn(&str) -> Option<(&'static str, String)>;

/// A file of kernels, the architecture, what runs them; None for kernels with a planted fault.
const SOURCES: [(&str, &str, Program); 6] = [
    ("basic", "80", |kernel| {
        let test = match kernel {
            "bitonic_shared" => "programs::algorithms::bitonic_sort_in_shared_memory",
            "bitonic_warp" => "programs::algorithms::bitonic_sort_in_a_warp",
            "radix_hist" => "programs::algorithms::radix_histogram",
            _ => "programs::threads::warp_operations",
        };
        Some((test, "80".into()))
    }),
    ("more", "80", |kernel| {
        let planted = ["named_bad", "uninit_branch"];
        let test = match kernel {
            "bytes_hist" => "programs::algorithms::histogram_of_bytes",
            _ => "programs::threads::groups_and_barriers",
        };
        (!planted.contains(&kernel)).then(|| (test, "80".into()))
    }),
    ("barriers", "80", |kernel| {
        let test = "barriers::lanes_meet_at_a_loop_head";
        kernel.starts_with("loop_head").then(|| (test, format!("{kernel} 80")))
    }),
    ("faults", "80", |kernel| {
        let is_sound = kernel.ends_with("_ok");
        is_sound.then(|| ("faults::found_or_silent", format!("{kernel} 80")))
    }),
    ("clusters", "90", |kernel| match kernel {
        _ if kernel.ends_with("_ok") => Some(("clusters::found_or_silent", kernel.into())),
        "reduce2" | "reduce8" | "reduce_ptx" | "exchange" | "atomics" | "widths" | "rounds"
        | "through_global" | "grid_of_clusters" => {
            Some(("clusters::right_under_every_schedule", "run".into()))
        }
        _ => None,
    }),
    (cub::SOURCE, "80", |kernel| Some((cub::TEST, format!("{kernel} 80 1")))),
];

/// Kernels with barriers that may be missing: how many, and why nobody can tell.
const SURVIVORS: [(&str, usize, &str); 10] = [
    ("warpops", 1, "no memory is shared"),
    ("tiles", 1, "no memory is shared"),
    ("race_look_ok", 1, "the first of two: each thread looks at what it wrote itself"),
    ("reduce2", 1, "the last sum is written and read by one thread"),
    ("reduce8", 1, "the last sum is written and read by one thread"),
    ("overwrites_ok", 1, "no block looks at another one after the last wait"),
    ("diverges_ok", 1, "no block looks at another one"),
    ("cub_reduce_raking", 1, "before memory is used again, which shuffles do not need"),
    (
        "gridsync",
        3,
        "three of four in grid.sync(), which order global memory between blocks: where there are fences, \
         what is found there is a hint, and sound kernels have it too",
    ),
    ("grid_of_clusters", 4, "as in gridsync"),
];

/// Tried one after the other until something is found.
const SCHEDULES: [(&str, &str); 4] = [
    ("CUDAEMU_SEED", "0"),
    ("CUDAEMU_SEED", "1"),
    ("CUDAEMU_SEED", "2"),
    ("CUDAEMU_BLOCK_ORDER", "reverse"),
];

/// Whether the process failed or the emulator found what a barrier prevents.
fn tells(o: &Outcome) -> bool {
    let warnings = o.findings("warning");
    let is_race = |kind: &String| kind.starts_with("warp_race") || kind.starts_with("cluster_race");
    !o.ok || !o.findings("ERROR").is_empty() || warnings.iter().any(is_race)
}

fn is_found(file: &Path, (test, argument): &(&str, String)) -> bool {
    SCHEDULES.iter().any(|&schedule| {
        let mut env = vec![schedule, ("CUDAEMU_PTX", file.to_str().unwrap())];
        env.extend([("CUDAEMU_CC", "90"), ("CUDAEMU_THREADS", "1"), ("CUDAEMU_TIMEOUT_S", "10")]);
        if test.starts_with("barriers::") {
            // three blocks write the same results, which is beside the point there
            env.push(("CUDAEMU_BLOCK_RACE", "0"));
        }
        tells(&child(test, argument, &env))
    })
}

#[test]
fn every_deleted_barrier_is_noticed() {
    need_nvcc!();
    let (started, mut deleted) = (Instant::now(), 0);
    let step = cases(7, 1);
    let file = scratch_file("deletion.ptx");
    let mut survivors: Vec<Barrier> = vec![];
    for (source, arch, program) in SOURCES {
        let text = std::fs::read_to_string(ptx(source, arch)).unwrap();
        let all = barriers(&text);
        let run = |barrier: &Barrier| program(&barrier.kernel);
        let mut programs: Vec<_> = all.iter().filter_map(run).collect();
        programs.sort();
        programs.dedup();
        std::fs::write(&file, &text).unwrap();
        for program in &programs {
            assert!(!is_found(&file, program), "{program:?} fails with all its barriers");
        }
        for barrier in all.iter().step_by(step) {
            let Some(program) = run(barrier) else { continue };
            std::fs::write(&file, barrier.deleted_from(&text)).unwrap();
            deleted += 1;
            if !is_found(&file, &program) {
                println!("not noticed: {}", barrier.name());
                survivors.push(barrier.clone());
            }
        }
    }
    let _ = std::fs::remove_file(&file);
    let what = "barriers of the tests' kernels and of CUB's, deleted one by one";
    let result = format!("{} survive, all listed", survivors.len());
    for (kernel, count, reason) in SURVIVORS {
        let there = survivors.iter().filter(|barrier| barrier.kernel == kernel).count();
        assert!(there <= count, "{kernel}: {reason}: {survivors:?}");
        assert!(step > 1 || there == count, "{kernel}: {there} are not noticed: {reason}");
        survivors.retain(|barrier| barrier.kernel != kernel);
    }
    let names: Vec<String> = survivors.iter().map(Barrier::name).collect();
    assert_eq!(names, [""; 0], "nobody notices that they are missing");
    report("deletions::every_deleted_barrier_is_noticed", what, deleted, result, started);
}
