//! The CPU path on every instruction set that the machine has, against the oracle.
//!
//! The set is chosen once in a process, so each one is a run of this binary of its own. What only
//! the set makes a difference to is ignored but in those runs.

use crate::common::patterns::{ALL, Pattern};
use crate::common::*;
use bihalf::half::{bf16, f16};
use bihalf::{Codes, Cpu, Element, Error, MatMut, MatRef, Ones, Outputs, Workspace, ops};
use std::process::Command;

const VARIABLE: &str = "BIHALF_CPU_ISA";

/// Runs tests of this binary in a process with the variable.
#[track_caller]
fn passes(isa: &str, tests: &[&str]) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let tests = tests.iter().chain(&["--include-ignored"]);
    let result = command.args(tests).env(VARIABLE, isa).output().unwrap();
    let output = String::from_utf8_lossy(&result.stdout);
    assert!(result.status.success(), "{VARIABLE}={isa}: {output}");
    assert!(!output.contains(" 0 passed"), "{isa}: no test was run");
}

const PROMISES: [&str; 20] = [
    "sign::",
    "relax::",
    "codes::pack",
    "stats::",
    "search::",
    "retrieval::",
    "loss::losses",
    "loss::a_loss",
    "loss_packed::packed",
    "extremes::cosines",
    "threshold::median",
    "guard_pages",
    "isa::sizes",
    "isa::small",
    "rank::sizes",
    "rank::rank_takes_nan",
    "bihalf::every",
    "bihalf::any_subset",
    "bihalf::forward_matches",
    "bihalf::backward_is",
];

#[test]
fn the_portable_implementation_keeps_all_promises() {
    passes("portable", &PROMISES);
}

#[test]
#[cfg(target_arch = "x86_64")]
fn avx2_keeps_all_promises() {
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        passes("avx2", &PROMISES);
    } else {
        say("avx2_keeps_all_promises: SKIPPED: this machine has no AVX2 with FMA");
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn avx512_keeps_all_promises() {
    let has = is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl");
    if has {
        passes("avx512", &PROMISES);
    } else {
        say("avx512_keeps_all_promises: SKIPPED: this machine has no AVX-512");
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn avx512_with_vpopcntdq_counts_bits_as_well() {
    if is_x86_feature_detected!("avx512vpopcntdq") && is_x86_feature_detected!("avx512bw") {
        passes("avx512-vpopcntdq", &["search::", "stats::"]);
    } else {
        say("avx512_vpopcntdq: SKIPPED: this machine has no AVX-512 with VPOPCNTDQ");
    }
}

#[test]
#[cfg(target_arch = "aarch64")]
fn neon_keeps_all_promises() {
    passes("neon", &PROMISES);
}

/// What a process does that is asked for an instruction set that nobody knows.
#[test]
fn refuses_if_the_variable_says_nonsense() {
    let result = ops::bi_half::forward(MatRef::new(&[1.0f32, 2.0], 2, 1).unwrap(), Ones::Half);
    if std::env::var(VARIABLE).is_ok_and(|isa| isa == "nonsense") {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::InstructionSet { .. }), "{error}");
        assert!(error.to_string().contains("BIHALF_CPU_ISA is \"nonsense\""), "{error}");
    } else {
        assert_eq!(result.unwrap(), [-1.0, 1.0]);
    }
}

#[test]
fn an_unknown_instruction_set_is_an_error_that_says_so() {
    passes("nonsense", &["isa::refuses_if_the_variable_says_nonsense"]);
}

/// Columns around a vector's lanes, a tile's columns and a word of bits.
const COLS: [usize; 13] = [1, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 4];

fn sizes_of<T: Element>(turn: usize, shape: (usize, usize)) {
    let (rows, cols) = shape;
    let k = [rows / 2, 0, rows, rows.min(1), rows - rows.min(1), rows / 3][turn % 6];
    let k = if turn.is_multiple_of(4) { rows / 2 } else { k };
    let pattern = ALL[turn % ALL.len()];
    let _context = Context::new::<T, Cpu>(&Cpu, (shape, pattern, turn, k));
    let lay = VIEWS[turn % VIEWS.len()];
    let u: Vec<T> = lay.fill(pattern, shape, turn as u64);
    let expected = naive::bihalf(&u, rows, cols, k);
    let input = Input::new(&Cpu, &u, shape, lay);
    let mut dense = vec![T::default(); rows * cols];
    let mut codes = Codes::zeros(rows, cols).unwrap();
    let out =
        Outputs::none().dense(MatMut::new(&mut dense, rows, cols).unwrap()).codes(codes.as_mut());
    let ws = &mut Workspace::new();
    ops::bi_half::forward_into(input.view(), Ones::Count(k), out, ws).unwrap();
    let dense: Vec<f64> = dense.into_iter().map(T::to_f64).collect();
    assert_eq!(dense, expected);
    assert_eq!(codes.as_ref().words(), naive::pack(&expected, rows, cols));
}

#[test]
#[ignore = "run on each instruction set by the tests of it"]
fn sizes_around_networks_tiles_and_vectors_match_the_oracle() {
    let rows = (0..=130).chain(255..=257).chain([511, 513, 1000, 1001, 1023]);
    let small = rows.flat_map(|rows| [0, 4, 7].map(|n| (rows, COLS[(rows + n) % COLS.len()])));
    let large = [(4097, 3), (9001, 1), (30_011, 1)];
    for (turn, shape) in small.chain(large).enumerate() {
        sizes_of::<f32>(turn, shape);
        if shape.0 < 5000 {
            sizes_of::<f64>(turn + 3, shape);
            sizes_of::<f16>(turn + 5, shape);
            sizes_of::<bf16>(turn + 11, shape);
        }
    }
}

/// Few and small enough for Miri, which looks at each access to memory, knows no vector
/// instructions and so takes plain code.
#[test]
fn small_matrices_match_the_oracle() {
    fn of<T: Element>(turn: usize, shape: (usize, usize)) {
        for k in [1, shape.0.div_ceil(2), shape.0] {
            for pattern in [Pattern::WithNan, Pattern::SignedZeros, Pattern::FewDistinct] {
                let _context = Context::new::<T, Cpu>(&Cpu, (shape, pattern, turn, k));
                let lay = VIEWS[turn % VIEWS.len()];
                let u: Vec<T> = lay.fill(pattern, shape, turn as u64);
                matches_the_oracle(&u, shape, lay, k);
            }
        }
    }
    for (turn, shape) in [(1, 1), (7, 3), (33, 17), (70, 18)].into_iter().enumerate() {
        of::<f32>(turn, shape);
        of::<f64>(turn + 1, shape);
        of::<f16>(turn + 2, shape);
    }
}

/// Several tiles side by side, their last one not full; a sample of the rows for the brackets; more
/// rows than lanes of 16 bits can count.
const MANY_ROWS: [(usize, usize); 3] = [(2049, 84), (16_384, 33), (40_001, 17)];

fn many_rows_of<T: Element>(turn: usize, shape: (usize, usize), k: usize) {
    let pattern = ALL[turn % ALL.len()];
    let _context = Context::new::<T, Cpu>(&Cpu, (shape, pattern, turn, k));
    let lay = VIEWS[turn % VIEWS.len()];
    matches_the_oracle::<T>(&lay.fill(pattern, shape, turn as u64), shape, lay, k);
}

/// Every form of the output.
#[track_caller]
fn matches_the_oracle<T: Element>(u: &[T], shape: (usize, usize), lay: Lay, k: usize) {
    let (rows, cols) = shape;
    let expected = naive::bihalf(u, rows, cols, k);
    let input = Input::new(&Cpu, u, shape, lay);
    // At a cache line's start or not: large outputs are written past the caches in whole lines.
    let mut dense = vec![T::default(); rows * cols + 64];
    let at = if matches!(lay, Lay::Dense) { dense.as_ptr().align_offset(64) } else { 0 };
    let dense = &mut dense[at..][..rows * cols];
    let mut dense_i8 = vec![0i8; rows * cols];
    let mut codes = Codes::zeros(rows, cols).unwrap();
    let mut threshold = vec![T::default(); cols];
    let out = Outputs::none()
        .dense(MatMut::new(dense, rows, cols).unwrap())
        .dense_i8(MatMut::new(&mut dense_i8, rows, cols).unwrap())
        .codes(codes.as_mut());
    let ws = &mut Workspace::new();
    ops::bi_half::forward_into(input.view(), Ones::Count(k), out.threshold(&mut threshold), ws)
        .unwrap();
    let dense: Vec<f64> = dense.iter().map(|&b| b.to_f64()).collect();
    assert!(dense == expected);
    assert!(dense_i8.into_iter().map(f64::from).collect::<Vec<_>>() == expected);
    assert!(codes.as_ref().words() == naive::pack(&expected, rows, cols));
    for (j, threshold) in threshold.into_iter().enumerate() {
        let ones = (j..u.len()).step_by(cols).filter(|&n| expected[n] > 0.0);
        let least =
            ones.map(|n| u[n].to_f64()).reduce(|a, b| if naive::less(b, a) { b } else { a });
        let least = naive::canonical(least.unwrap_or(f64::NAN));
        assert_eq!(threshold.to_f64().to_bits(), least.to_bits(), "threshold of column {j}");
    }
}

#[test]
#[ignore = "run on each instruction set by the tests of it"]
fn sizes_of_many_rows_match_the_oracle() {
    for (turn, pattern) in (0..2 * ALL.len()).enumerate() {
        for shape in MANY_ROWS {
            let rows = shape.0;
            let k = if pattern < ALL.len() { rows / 2 } else { [1, rows / 5, rows - 3][turn % 3] };
            many_rows_of::<f32>(turn, shape, k);
            if rows < 10_000 || pattern % 5 == 0 {
                many_rows_of::<f64>(turn, shape, k);
                many_rows_of::<f16>(turn, shape, k);
                many_rows_of::<bf16>(turn, shape, k);
            }
        }
    }
}

/// Outputs that are larger than caches.
#[test]
#[ignore = "run on each instruction set by the tests of it"]
fn sizes_of_large_outputs_match_the_oracle() {
    for lay in [Lay::Dense, Lay::Padded] {
        for (turn, shape) in [(16_400, 128), (33_000, 64), (66_000, 128)].into_iter().enumerate() {
            let u: Vec<f32> = Pattern::Random.fill(shape, turn as u64);
            let _context = Context::new::<f32, Cpu>(&Cpu, (shape, lay));
            matches_the_oracle(&u, shape, lay, shape.0 / 2);
        }
    }
}

#[test]
#[ignore = "run on each instruction set by the tests of it"]
fn sizes_of_large_outputs_of_loops_match_the_oracle() {
    const BETA: f64 = 0.7;
    for (lay, shape) in [(Lay::Dense, (33_000, 64)), (Lay::Transposed, (8_400, 256))] {
        let (rows, cols) = shape;
        let _context = Context::new::<f32, Cpu>(&Cpu, (shape, lay));
        let u: Vec<f32> = Pattern::Random.fill(shape, 5);
        let input = Input::<Cpu, f32>::new(&Cpu, &u, shape, lay);
        fn matrix(out: &mut [f32], (rows, cols): (usize, usize)) -> MatMut<'_, f32> {
            MatMut::new(out, rows, cols).unwrap()
        }
        // At a cache line's start, then behind it.
        for off in [0, 1] {
            let mut room = vec![0f32; rows * cols + 17];
            let at = room.as_ptr().align_offset(64) + off;
            let out = &mut room[at..][..rows * cols];

            let dense = Outputs::none().dense(matrix(out, shape));
            ops::sign::forward_into(input.view(), None, dense).unwrap();
            let signs = naive::sign(&u, cols, None);
            assert!(out.iter().zip(&signs).all(|(&b, &sign)| f64::from(b) == sign));

            let codes = Codes::from_dense(input.view()).unwrap();
            out.fill(0.0);
            ops::codes::unpack_into(codes.as_ref(), matrix(out, shape)).unwrap();
            assert!(out.iter().zip(&signs).all(|(&b, &sign)| f64::from(b) == sign));

            ops::relax::forward_into(input.view(), BETA, matrix(out, shape)).unwrap();
            let tanh = |u: f32| (BETA * f64::from(u)).tanh();
            assert!(out.iter().zip(&u).all(|(&y, &u)| (f64::from(y) - tanh(u)).abs() < 3e-7));

            let grad = input.view();
            ops::relax::backward_into(input.view(), BETA, grad, matrix(out, shape)).unwrap();
            let du = |u: f32| f64::from(u) * BETA * (1.0 - tanh(u) * tanh(u));
            assert!(out.iter().zip(&u).all(|(&d, &u)| (f64::from(d) - du(u)).abs() < 1e-6));

            let penalty = ops::loss::entropy_penalty_with_grad_into;
            penalty(input.view(), 1e6, matrix(out, shape)).unwrap();
            let sum = |j: usize| u[j..].iter().step_by(cols).map(|&u| f64::from(u)).sum::<f64>();
            let scale = 1e6 / (rows * rows * cols) as f64;
            let row: Vec<f64> = (0..cols).map(|j| scale * sum(j)).collect();
            assert!(
                out.iter()
                    .zip(row.iter().cycle())
                    .all(|(&g, &of)| { (f64::from(g) - of).abs() <= 1e-6 * of.abs() })
            );
        }
    }
}

/// NaN, zeros and infinities in outputs that are written past the caches.
#[test]
#[ignore = "run on each instruction set by the tests of it"]
fn sizes_of_large_signs_match_the_oracle() {
    fn of<T: Element>(shape: (usize, usize)) {
        let (rows, cols) = shape;
        for pattern in [Pattern::WithNan, Pattern::SignedZeros, Pattern::WithInf] {
            let _context = Context::new::<T, Cpu>(&Cpu, (shape, pattern));
            let u: Vec<T> = pattern.fill(shape, 3);
            let mut out = vec![T::default(); rows * cols];
            let dense = Outputs::none().dense(MatMut::new(&mut out, rows, cols).unwrap());
            ops::sign::forward_into(MatRef::new(&u, rows, cols).unwrap(), None, dense).unwrap();
            let signs = naive::sign(&u, cols, None);
            assert!(out.iter().zip(signs).all(|(b, sign)| b.to_f64() == sign));
        }
    }
    of::<f32>((32_801, 64));
    of::<f64>((16_401, 64));
    of::<f16>((65_601, 64));
    of::<bf16>((65_601, 64));
}

/// One pass down the rows: words of bits and a part of one, few columns.
#[test]
#[ignore = "run on each instruction set by the tests of it"]
fn sizes_of_very_many_rows_match_the_oracle() {
    for turn in (0..ALL.len()).chain((ALL.len()..2 * ALL.len()).step_by(2)) {
        let shape = (65_536 + 77 * (turn % 3), [67, 16, 9][turn % 3]);
        let k = if turn < ALL.len() { shape.0 / 2 } else { shape.0 * (turn % 7 + 1) / 9 };
        many_rows_of::<f32>(turn, shape, k);
        if turn % 4 == 0 {
            many_rows_of::<f64>(turn, (shape.0, 20), k);
            many_rows_of::<f16>(turn, (shape.0, 33), k);
            many_rows_of::<bf16>(turn, (shape.0, 64), k);
        }
    }
}

#[test]
fn more_columns_than_are_read_together_match_the_oracle() {
    many_rows_of::<f32>(ALL.len(), (65_536, 517), 32_768);
}

/// The rows that are sampled to bracket the boundary are unlike the others: it lies beside the
/// bracket, or far from it.
#[test]
#[ignore = "run on each instruction set by the tests of it"]
fn sizes_of_which_a_sample_misleads_match_the_oracle() {
    fn of<T: Element>(shape: (usize, usize), by: f32) {
        let _context = Context::new::<T, Cpu>(&Cpu, (shape, by));
        let mut u: Vec<f32> = Pattern::Random.fill(shape, 9);
        let sampled = (0..32).map(|i| (2 * i + 1) * shape.0 / 64).chain((0..shape.0).step_by(16));
        for row in sampled {
            u[row * shape.1..][..shape.1].iter_mut().for_each(|u| *u += by);
        }
        let u: Vec<T> = u.into_iter().map(|u| T::from_f64(u.into())).collect();
        for k in [shape.0 / 2, shape.0 / 5] {
            matches_the_oracle(&u, shape, Lay::Dense, k);
        }
    }
    for shape in [(70, 17), (256, 33), (1024, 18), (5000, 20)] {
        for by in [0.5, 1.0, 2.0, 50.0, -0.5, -1.0, -2.0, -50.0] {
            of::<f32>(shape, by);
            of::<f64>(shape, by);
            of::<f16>(shape, by);
            of::<bf16>(shape, by);
        }
    }
}

/// Every n-th row is unlike the others: a sample of just these rows brackets the boundary wrongly,
/// or most elements.
#[test]
#[ignore = "run on each instruction set by the tests of it"]
fn sizes_of_very_many_rows_that_mislead_a_sample_match_the_oracle() {
    const SHAPE: (usize, usize) = (66_001, 18);
    let u: Vec<f32> = Pattern::Random.fill(SHAPE, 7);
    for step in [1, 2, 3, 4, 5, 7, 9] {
        let others = |like: fn(f32) -> f32| -> Vec<f32> {
            let row = |n: usize| n / SHAPE.1;
            let value = |(n, &u): (usize, &f32)| if row(n) % step == 0 { u } else { like(u) };
            u.iter().enumerate().map(value).collect()
        };
        let _context = Context::new::<f32, Cpu>(&Cpu, step);
        matches_the_oracle(&others(|u| u + 10.0), SHAPE, Lay::Dense, SHAPE.0 / 2);
        matches_the_oracle(&others(|u| u * 1e-6), SHAPE, Lay::Padded, SHAPE.0 / 2);
        matches_the_oracle(&others(|u| u.round()), SHAPE, Lay::Dense, SHAPE.0 / 2);
    }
}

/// Rows are read in thirteen sweeps of 64 of 832 rows, and what one sweep shows is not true of the
/// next; or values do not lie evenly around the boundary.
#[test]
#[ignore = "run on each instruction set by the tests of it"]
fn sizes_of_very_many_rows_that_mislead_a_sweep_match_the_oracle() {
    /// From the sweep and a normal value.
    type Of = fn(usize, f32) -> f32;
    const SHAPE: (usize, usize) = (66_001, 18);
    let u: Vec<f32> = Pattern::Random.fill(SHAPE, 8);
    let cases: [(&str, Of); 7] = [
        ("the first sweep is larger", |sweep, u| if sweep == 0 { u + 0.1 } else { u }),
        ("the second sweep is less", |sweep, u| if sweep == 1 { u - 0.1 } else { u }),
        ("the last sweep is larger", |sweep, u| if sweep == 12 { u + 3.0 } else { u }),
        ("each sweep has its range", |sweep, u| u * 0.01 + sweep as f32),
        ("two clusters", |_, u| if u > 0.0 { 1000.0 + u } else { u - 1000.0 }),
        ("steps", |_, u| (u * 100.0).round()),
        ("many decades", |_, u| (40.0 * u).exp()),
    ];
    for (name, of) in cases {
        let u: Vec<f32> =
            u.iter().enumerate().map(|(n, &u)| of(n / SHAPE.1 / 64 % 13, u)).collect();
        let _context = Context::new::<f32, Cpu>(&Cpu, name);
        matches_the_oracle(&u, SHAPE, Lay::Dense, SHAPE.0 / 2);
    }
}
