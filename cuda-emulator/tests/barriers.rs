//! Barriers reached by the lanes of one warp at different times: when that is a fault.

use crate::common::{ARCHS, Device, Outcome, argument, cfg, child, code, need_nvcc, ptx};
use cudarc::driver::PushKernelArg;

/// in[i]: which rounds thread i takes part in
fn inputs() -> Vec<i32> {
    (0..64u32).map(|i| (i.wrapping_mul(2654435761) >> 24) as i32).collect()
}

fn expected(kernel: &str) -> Option<Vec<i32>> {
    let inp = inputs();
    let mut s = vec![0; 64];
    for (i, x) in inp.iter().enumerate() {
        for r in 0..8 {
            match kernel {
                "loop_head" if x >> r & 1 == 1 => s[(i + r) & 63] += 1,
                "loop_head_uneven" if x & 1 == 1 => (0..i & 7).for_each(|k| s[(i + k) & 63] += 1),
                "loop_head" | "loop_head_uneven" => {}
                _ => return None,
            }
        }
    }
    Some(s)
}

fn program(kernel: &str, arch: &str) {
    let d = Device::new(arch);
    let f = d.load("barriers").load_function(kernel).unwrap();
    let inp = d.s.clone_htod(&inputs()).unwrap();
    let mut o = d.s.alloc_zeros::<i32>(128).unwrap();
    let mut b = d.s.launch_builder(&f);
    b.arg(&mut o).arg(&inp);
    if kernel != "two_barriers" {
        b.arg(&8i32);
    }
    unsafe { b.launch(cfg(3, 64, 0)).unwrap() };
    println!("result {}", code(d.s.synchronize()));
    if let Some(want) = expected(kernel) {
        assert_eq!(d.s.clone_dtoh(&o).unwrap()[..64], want);
    }
}

/// In the child: the program. Else a child for that kernel.
fn run(test: &str, kernel: &str, arch: &str, env: &[(&str, &str)]) -> Outcome {
    ptx("barriers", arch);
    let mut env = env.to_vec();
    // three blocks write the same results, which is beside the point here
    env.extend([("CUDAEMU_CC", "90"), ("CUDAEMU_BLOCK_RACE", "0")]);
    child(test, &format!("{kernel} {arch}"), &env)
}

fn in_child() -> bool {
    let Some(a) = argument() else { return false };
    let (kernel, arch) = a.split_once(' ').unwrap();
    program(kernel, arch);
    true
}

#[test]
fn lanes_meet_at_a_loop_head() {
    if in_child() {
        return;
    }
    need_nvcc!();
    for arch in ARCHS {
        for kernel in ["loop_head", "loop_head_uneven"] {
            for seed in ["0", "1", "2"] {
                let env = [("CUDAEMU_SEED", seed)];
                let o = run("barriers::lanes_meet_at_a_loop_head", kernel, arch, &env);
                o.sound(&format!("{kernel} {arch} seed {seed}"));
                assert_eq!(o.findings("warning"), [""; 0], "{}", o.text());
                assert!(o.stdout.contains("result SUCCESS"), "{}", o.text());
            }
        }
    }
}

#[test]
fn lanes_that_miss_a_barrier() {
    if in_child() {
        return;
    }
    need_nvcc!();
    for arch in ARCHS {
        for kernel in ["loop_left", "two_barriers"] {
            for seed in ["0", "1", "2"] {
                let env = [("CUDAEMU_SEED", seed)];
                let o = run("barriers::lanes_that_miss_a_barrier", kernel, arch, &env);
                let what = format!("{kernel} {arch} seed {seed}\n{}", o.text());
                assert!(o.findings("ERROR").contains(&"barrier_divergence".into()), "{what}");
                assert!(o.stdout.contains("result LAUNCH_FAILED"), "{what}");
            }
        }
    }
}
