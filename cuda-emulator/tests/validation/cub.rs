//! CUB's sorts, scans and reductions of blocks and warps against those of the standard library.

use super::{Random, cases, report};
use crate::common::{Device, SCHEDULES, arch_for, argument, cfg, child, need_nvcc, ptx};
use cudarc::driver::{DeviceRepr, PushKernelArg, ValidAsZeroBits};
use half::f16;
use std::cmp::Ordering;
use std::fmt::Debug;
use std::time::Instant;

pub const SOURCE: &str = "cub";

pub const KERNELS: [&str; 18] = [
    "cub_sort_f32",
    "cub_sort_f64",
    "cub_sort_f16",
    "cub_sort_u64",
    "cub_sort_i16",
    "cub_sort_i8",
    "cub_sort_u32_descending",
    "cub_reduce",
    "cub_reduce_raking",
    "cub_reduce_commutative",
    "cub_reduce_warp",
    "cub_scan",
    "cub_scan_memoize",
    "cub_scan_warps",
    "cub_scan_warp",
    "cub_merge",
    "cub_merge_stable",
    "cub_merge_warp",
];
const BLOCKS: usize = 5;

trait Element: DeviceRepr + ValidAsZeroBits + Copy + Debug {}
impl<T: DeviceRepr + ValidAsZeroBits + Copy + Debug> Element for T {}

struct Program<'a> {
    d: &'a Device,
    name: &'a str,
    r: Random,
}

impl Program<'_> {
    /// The output of the kernel, and the order if it gives one.
    fn run<T: Element>(
        &self,
        input: &[T],
        outputs: usize,
        block: u32,
        has_order: bool,
    ) -> (Vec<T>, Vec<i32>) {
        let s = &self.d.s;
        let f = self.d.load(SOURCE).load_function(self.name).unwrap();
        let input = s.clone_htod(input).unwrap();
        let mut out = s.alloc_zeros::<T>(outputs).unwrap();
        let mut order = s.alloc_zeros::<i32>(outputs).unwrap();
        let mut b = s.launch_builder(&f);
        b.arg(&input).arg(&mut out);
        if has_order {
            b.arg(&mut order);
        }
        unsafe { b.launch(cfg(BLOCKS as u32, block, 0)) }.unwrap();
        (s.clone_dtoh(&out).unwrap(), s.clone_dtoh(&order).unwrap())
    }

    /// Blocks of so many threads sort so many items each; equal keys stay in their order.
    fn stable<T: Element>(
        &mut self,
        threads: usize,
        items: usize,
        key: fn(&mut Random) -> T,
        compare: fn(&T, &T) -> Ordering,
    ) {
        let part = threads * items;
        let input: Vec<T> = (0..part * BLOCKS).map(|_| key(&mut self.r)).collect();
        let (out, order) = self.run(&input, input.len(), threads as u32, true);
        for (block, keys) in input.chunks(part).enumerate() {
            let mut want: Vec<usize> = (0..part).collect();
            want.sort_by(|&a, &b| compare(&keys[a], &keys[b]));
            for (i, &from) in want.iter().enumerate() {
                let at = block * part + i;
                let is_same = compare(&out[at], &keys[from]).is_eq() && order[at] == from as i32;
                assert!(is_same, "{} block {block} place {i}: {:?}", self.name, out[at]);
            }
        }
    }

    /// Parts are sorted; equal keys cannot be told apart.
    fn sorted(&mut self, part: usize, block: u32, per_block: usize) {
        let number = |r: &mut Random| (r.bits() >> 40) as f32 / 65536.0 - 128.0;
        let input: Vec<f32> = (0..per_block * BLOCKS).map(|_| number(&mut self.r)).collect();
        let (out, _) = self.run(&input, input.len(), block, false);
        for (got, keys) in out.chunks(part).zip(input.chunks(part)) {
            let mut want = keys.to_vec();
            want.sort_by(f32::total_cmp);
            assert_eq!(got, want, "{}", self.name);
        }
    }

    fn sums(&mut self, part: usize, block: u32, scans: bool) {
        let count = block as usize * BLOCKS;
        let input: Vec<i32> = (0..count).map(|_| self.r.bits() as i32 >> 12).collect();
        let outputs = if scans { count } else { count / part };
        let (out, _) = self.run(&input, outputs, block, false);
        let want: Vec<i32> = if scans {
            let exclusive = |part: &[i32]| -> Vec<i32> {
                (0..part.len()).map(|i| part[..i].iter().sum()).collect()
            };
            input.chunks(part).flat_map(exclusive).collect()
        } else {
            input.chunks(part).map(|part| part.iter().sum()).collect()
        };
        assert_eq!(out, want, "{}", self.name);
    }

    fn check(&mut self) {
        match self.name {
            "cub_sort_f32" => self.stable(128, 8, |r| r.below(300) as f32 - 150.0, f32::total_cmp),
            "cub_sort_f64" => self.stable(64, 2, |r| r.below(90) as f64 - 45.5, f64::total_cmp),
            "cub_sort_f16" => {
                self.stable(64, 3, |r| f16::from_f32(r.below(99) as f32 - 49.0), f16::total_cmp)
            }
            "cub_sort_u64" => self.stable(64, 4, |r| r.bits() >> r.below(64), u64::cmp),
            "cub_sort_i16" => self.stable(32, 7, |r| r.bits() as i16 >> r.below(16), i16::cmp),
            "cub_sort_i8" => self.stable(96, 5, |r| r.bits() as i8, i8::cmp),
            "cub_sort_u32_descending" => {
                self.stable(256, 2, |r| r.bits() as u32 >> r.below(32), |a, b| b.cmp(a))
            }
            "cub_merge_stable" => self.stable(64, 5, |r| r.below(100) as u32, u32::cmp),
            "cub_merge" => self.sorted(512, 128, 512),
            "cub_merge_warp" => self.sorted(128, 64, 256),
            "cub_scan_warp" => self.sums(32, 64, true),
            "cub_reduce_warp" => self.sums(32, 64, false),
            scan if scan.starts_with("cub_scan") => self.sums(256, 256, true),
            _ => self.sums(256, 256, false),
        }
    }
}

/// In a child: the argument is a kernel, or `all`, then the architecture and how often.
fn program(argument: &str) {
    let [name, arch, rounds] = argument.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{argument}")
    };
    let d = &Device::new(arch);
    for name in KERNELS.iter().filter(|kernel| name == "all" || name == **kernel) {
        for round in 0..rounds.parse().unwrap() {
            Program { d, name, r: Random(round) }.check();
        }
    }
}

pub const TEST: &str = "validation::cub::as_the_standard_library";

#[test]
fn as_the_standard_library() {
    if let Some(argument) = argument() {
        return program(&argument);
    }
    need_nvcc!();
    let (started, rounds) = (Instant::now(), cases(1, 20));
    let schedules = &SCHEDULES[..cases(4, SCHEDULES.len())];
    for (capability, env) in schedules {
        let arch = arch_for(capability);
        ptx(SOURCE, arch);
        let mut env = env.to_vec();
        env.push(("CUDAEMU_CC", capability));
        child(TEST, &format!("all {arch} {rounds}"), &env).sound(&format!("CUB {env:?}"));
    }
    let what = format!("{} kernels of CUB, {} schedules", KERNELS.len(), schedules.len());
    let count = KERNELS.len() * schedules.len() * rounds as usize;
    report(TEST, &what, count as u64, "0 differ", started);
}
