//! Random expressions over integers and floats, compiled by nvcc for the emulator and by the C compiler
//! for this machine: the results must be the same bits.
//!
//! Four things would differ without a fault of the emulator, and do not occur. A product and a sum that
//! become one instruction: both compilers are told not to. `a < b ? a : b` of floats, of which nvcc makes
//! `min.f32`, which knows -0 from +0: a choice between floats depends on other types. `ceil` of constants
//! from 2^63 on, which nvcc 13.0 folds to -2^63: what is rounded has a variable in it.
//! `-fma(a, b, c)` and `0 - (double)n`, which gcc 12 turns into what gives another zero: told that the
//! rounding mode matters, it leaves them.

use super::{Random, Tally, cases, report};
use crate::common::{Device, argument, cfg, child, need_nvcc, nvcc, scratch_file};
use cudarc::driver::{DeviceRepr, PushKernelArg};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use super::expressions::{Type::*, expression};
const PRELUDE: &str = include_str!("../kernels/expressions.h");

/// A file for both compilers: `f0`, `f1` and so on, and what calls all of them for one input.
fn program(seed: u64, functions: usize) -> String {
    let mut r = Random(seed);
    let (mut bodies, mut calls) = (String::new(), String::new());
    for i in 0..functions {
        let of = r.of(&[U, L, F, D]);
        let value = expression(&mut r, of, 6);
        let bits = match of {
            F => format!("bits_of_f({value})"),
            D => format!("bits_of_d({value})"),
            _ => value,
        };
        let _ = writeln!(
            bodies,
            "FUNCTION uint64_t f{i}(uint32_t a, uint32_t b, uint64_t c, float x, double y) {{ return (uint64_t)({bits}); }}"
        );
        let _ = writeln!(calls, "out[(uint64_t){i} * n + i] = f{i}(v.a, v.b, v.c, v.x, v.y);");
    }
    format!(
        "{PRELUDE}
{bodies}
#ifdef __CUDACC__
extern \"C\" __global__ void k(const In* in, uint64_t* out, int n) {{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    In v = in[i];
    {calls}
}}
#else
void k(const struct In* in, uint64_t* out, int n) {{
    for (int i = 0; i < n; i++) {{
        struct In v = in[i];
        {calls}
    }}
}}
#endif
"
    )
}

// ---- inputs ----

const INPUTS: usize = 256;

#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct In {
    a: u32,
    b: u32,
    c: u64,
    y: f64,
    x: f32,
    pad: u32,
}
// SAFETY: plain numbers, no padding
unsafe impl DeviceRepr for In {}

fn input(r: &mut Random) -> In {
    const SPECIAL: [u32; 12] =
        [0, 1, 2, 3, 31, 32, 255, 256, i32::MAX as u32, 1 << 31, u32::MAX, u32::MAX - 1];
    let word = |r: &mut Random| if r.in_so_many(3) { r.of(&SPECIAL) } else { r.bits() as u32 };
    let near = |r: &mut Random| (r.bits() as i32 as f64) / 1e6;
    let (a, b) = (word(r), word(r));
    let any = r.bits();
    let c = r.of(&[any, any, any >> 20, 0, 1, 1 << 63, u64::MAX, 1 << 32, (1 << 53) + 1]);
    let x = if r.in_so_many(3) { f32::from_bits(r.bits() as u32) } else { near(r) as f32 };
    let y = if r.in_so_many(5) { f64::from_bits(r.bits()) } else { near(r) * 1000.0 };
    In { a, b, c, y, x, pad: 0 }
}

/// In the process of its own: the kernel of one file, the function of the other.
fn compare(ptx: &str, library: &str, seed: u64, functions: usize) -> Tally {
    let mut r = Random(!seed);
    let inputs: Vec<In> = (0..INPUTS).map(|_| input(&mut r)).collect();
    let mut want = vec![0u64; functions * INPUTS];
    // SAFETY: the function that `program` writes; as many inputs and results as it is told
    unsafe {
        let library = libloading::Library::new(library).unwrap();
        let k = library.get::<unsafe extern "C" fn(*const In, *mut u64, i32)>(b"k").unwrap();
        k(inputs.as_ptr(), want.as_mut_ptr(), INPUTS as i32);
    }
    let d = Device::new("90");
    let f = d.load_text(&std::fs::read_to_string(ptx).unwrap()).load_function("k").unwrap();
    let input = d.s.clone_htod(&inputs).unwrap();
    let mut out = d.s.alloc_zeros::<u64>(want.len()).unwrap();
    let mut b = d.s.launch_builder(&f);
    b.arg(&input).arg(&mut out).arg(&(INPUTS as i32));
    unsafe { b.launch(cfg(INPUTS as u32 / 128, 128, 0)) }.unwrap();
    let got = d.s.clone_dtoh(&out).unwrap();
    let mut tally = Tally::default();
    let results = got.chunks(INPUTS).zip(want.chunks(INPUTS)).enumerate();
    for (i, (got, want)) in results {
        for ((input, got), want) in inputs.iter().zip(got).zip(want) {
            tally
                .check(got == want, || format!("f{i} of {input:x?}: {got:#x}, expected {want:#x}"));
        }
    }
    tally
}

fn compile(mut compiler: Command, options: &[&str], source: &Path, to: &Path) {
    compiler.args(options).arg("-o").arg(to).arg(source);
    let r = compiler.output().unwrap_or_else(|e| panic!("{compiler:?}: {e}"));
    assert!(r.status.success(), "{compiler:?}\n{}", String::from_utf8_lossy(&r.stderr));
}

#[test]
fn random_expressions() {
    if let Some(argument) = argument() {
        let [ptx, library, seed, functions] = argument.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{argument}")
        };
        let tally = compare(ptx, library, seed.parse().unwrap(), functions.parse().unwrap());
        println!("\ntally {} {}", tally.cases, tally.differences);
        return;
    }
    need_nvcc!();
    let nvcc = nvcc().unwrap();
    let (programs, functions) = cases((2, 40), (24, 60));
    let what = format!(
        "{} random expressions, six operators deep, nvcc -O3 for 8.0 and -G for 7.5 against cc",
        programs * functions
    );
    let (started, mut compared) = (Instant::now(), 0);
    for seed in 1..=programs as u64 {
        let file = |name: &str| scratch_file(&format!("program{seed}.{name}"));
        let (cu, c, library) = (file("cu"), file("c"), file("so"));
        let text = program(seed, functions);
        std::fs::write(&cu, &text).unwrap();
        std::fs::write(&c, &text).unwrap();
        let options = ["-O1", "-w", "-shared", "-fPIC", "-ffp-contract=off", "-fwrapv"];
        let link = ["-Wl,--no-as-needed", "-lm"];
        let rounds = ["-frounding-math", "-fno-builtin-fma", "-fno-builtin-fmaf"];
        compile(Command::new("cc"), &[&options[..], &rounds, &link].concat(), &c, &library);
        for options in [&["-arch=compute_80"][..], &["-arch=compute_75", "-G"]] {
            let ptx = file("ptx");
            let all = [&["-ptx", "-std=c++17", "-w", "-fmad=false"], options].concat();
            compile(Command::new(nvcc), &all, &cu, &ptx);
            let argument = format!("{} {} {seed} {functions}", ptx.display(), library.display());
            let o = child("validation::programs::random_expressions", &argument, &[]);
            o.sound(&format!("program {seed}, {options:?}"));
            let same = format!("tally {} 0", functions * INPUTS);
            assert!(o.stdout.contains(&same), "{}, {options:?}\n{}", cu.display(), o.stdout);
            compared += functions * INPUTS;
            std::fs::remove_file(&ptx).unwrap();
        }
        // left behind where something differs
        [cu, c, library].iter().for_each(|file| std::fs::remove_file(file).unwrap());
    }
    report("programs::random_expressions", &what, compared as u64, "0 differ", started);
}
