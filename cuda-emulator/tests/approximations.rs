//! The approximations that cut their operand: `rcp.approx.ftz.f64` and `rsqrt.approx.ftz.f64`.

use crate::common::{Device, argument, cfg, child};
use cudarc::driver::PushKernelArg;

const PTX: &str = "
.version 7.0
.target sm_75
.address_size 64
.visible .entry both(.param .u64 values, .param .u64 results) {
    .reg .b32 %t;
    .reg .b64 %at, %values, %results;
    .reg .f64 %a, %d;
    mov.u32 %t, %tid.x;
    ld.param.u64 %values, [values];
    ld.param.u64 %results, [results];
    mul.wide.u32 %at, %t, 8;
    add.u64 %values, %values, %at;
    mul.wide.u32 %at, %t, 16;
    add.u64 %results, %results, %at;
    ld.global.f64 %a, [%values];
    rcp.approx.ftz.f64 %d, %a;
    st.global.f64 [%results], %d;
    rsqrt.approx.ftz.f64 %d, %a;
    st.global.f64 [%results+8], %d;
    ret;
}
";

const INFINITY: u64 = 0x7ff0_0000_0000_0000;
const NEGATIVE: u64 = 1 << 63;
const LOW: u64 = 0xffff_ffff;
/// a NaN, of which nothing but that is promised
const NAN: u64 = u64::MAX;

/// An operand with both results.
const CASES: &[[u64; 3]] = &[
    [0, INFINITY, INFINITY],
    [NEGATIVE, NEGATIVE | INFINITY, NEGATIVE | INFINITY],
    // subnormal operands are zeros
    [1, INFINITY, INFINITY],
    [0x000f_ffff_ffff_ffff, INFINITY, INFINITY],
    [NEGATIVE | 0x000f_ffff_ffff_ffff, NEGATIVE | INFINITY, NEGATIVE | INFINITY],
    [INFINITY, 0, 0],
    [NEGATIVE | INFINITY, NEGATIVE, NAN],
    [0x7ff8_0000_0000_0000, NAN, NAN],
    [0xfff0_0001_0000_0000, NAN, NAN],
    // the smallest normal number, and the largest one whose reciprocal is no subnormal number
    [0x0010_0000_0000_0000, 0x7fd0_0000_0000_0000, 0x5fe0_0000_0000_0000],
    [0x7fd0_0000_0000_0000, 0x0010_0000_0000_0000, 0x2000_0000_0000_0000],
    // the next one that can be told from it
    [0x7fd0_0001_0000_0000, 0, 0x1fff_ffff_0000_0000],
    [0xffef_ffff_0000_0000, NEGATIVE, NAN],
    // 1, 4 and 3, with and without what is not looked at
    [0x3ff0_0000_0000_0000, 0x3ff0_0000_0000_0000, 0x3ff0_0000_0000_0000],
    [0x3ff0_0000_0000_0000 | LOW, 0x3ff0_0000_0000_0000, 0x3ff0_0000_0000_0000],
    [0x4010_0000_0000_0000 | LOW, 0x3fd0_0000_0000_0000, 0x3fe0_0000_0000_0000],
    [0x4008_0000_0000_0000, 0x3fd5_5555_0000_0000, 0x3fe2_79a7_0000_0000],
    [0xc008_0000_0000_0000 | LOW, 0xbfd5_5555_0000_0000, NAN],
];

#[test]
fn only_upper_halves_count() {
    if argument().is_none() {
        return child("approximations::only_upper_halves_count", "run", &[])
            .sound("approximations");
    }
    let d = Device::new("75");
    let f = d.load_text(PTX).load_function("both").unwrap();
    let values = d.s.clone_htod(&CASES.iter().map(|case| case[0]).collect::<Vec<_>>()).unwrap();
    let mut results = d.s.alloc_zeros::<u64>(2 * CASES.len()).unwrap();
    let mut launch = d.s.launch_builder(&f);
    launch.arg(&values).arg(&mut results);
    unsafe { launch.launch(cfg(1, CASES.len() as u32, 0)) }.unwrap();
    let results = d.s.clone_dtoh(&results).unwrap();
    for (case, found) in CASES.iter().zip(results.chunks_exact(2)) {
        for (&want, &found) in case[1..].iter().zip(found) {
            let is_it = if want == NAN { f64::from_bits(found).is_nan() } else { found == want };
            assert!(is_it && found & LOW == 0, "of {:#x}: {found:#x}, not {want:#x}", case[0]);
        }
    }
}
