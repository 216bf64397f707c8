//! Per-launch statistics: one line per launch, counts known by hand.

use crate::common::{Device, argument, cfg, child, need_nvcc, ptx, scratch_file};
use cudarc::driver::PushKernelArg;

fn program(stats: &str) {
    let d = Device::new("80");
    let m = d.load("faults");
    let x = d.s.clone_htod(&vec![1i32; 4096]).unwrap();
    let mut y = d.s.alloc_zeros::<i32>(128).unwrap();
    let (coal, bank) = (m.load_function("coal_stride").unwrap(), m.load_function("bank_stride"));
    let bank = bank.unwrap();
    let mut lines = 0;
    for stride in [1i32, 32] {
        let mut b = d.s.launch_builder(&coal);
        unsafe { b.arg(&x).arg(&mut y).arg(&stride).launch(cfg(1, 128, 0)).unwrap() };
        d.s.synchronize().unwrap();
        // each line is in the file when the launch is over, not when the process is
        lines += 1;
        assert_eq!(std::fs::read_to_string(stats).unwrap().lines().count(), lines);
    }
    for stride in [33i32, 32] {
        let mut b = d.s.launch_builder(&bank);
        unsafe { b.arg(&mut y).arg(&stride).launch(cfg(1, 32, 0)).unwrap() };
    }
    d.s.synchronize().unwrap();
}

#[test]
fn sectors_and_bank_conflicts() {
    if let Some(stats) = argument() {
        return program(&stats);
    }
    need_nvcc!();
    ptx("faults", "80");
    let file = scratch_file("stats");
    let _ = std::fs::remove_file(&file);
    let stats = file.to_str().unwrap();
    let env = [("CUDAEMU_STATS", stats)];
    child("counters::sectors_and_bank_conflicts", stats, &env).sound("strides");
    let text = std::fs::read_to_string(&file).unwrap();
    let _ = std::fs::remove_file(&file);
    // "kernel", then: name of an object, fields in order
    let want = [
        ("coal_stride", "\"global_load\":{\"requests\":4,\"sectors\":16,\"bytes\":512,"),
        ("coal_stride", "\"global_load\":{\"requests\":4,\"sectors\":128,\"bytes\":512,"),
        (
            "bank_stride",
            "\"shared_store\":{\"requests\":1,\"wavefronts\":1,\"extra_wavefronts\":0,",
        ),
        (
            "bank_stride",
            "\"shared_store\":{\"requests\":1,\"wavefronts\":32,\"extra_wavefronts\":31,",
        ),
    ];
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), want.len(), "{text}");
    for (line, (kernel, counts)) in lines.iter().zip(want) {
        assert!(line.starts_with(&format!("{{\"kernel\":\"{kernel}\",")), "{line}");
        assert!(line.contains(counts), "want {counts} in {line}");
        assert!(line.ends_with('}'), "{line}");
    }
}
