//! Promises of `ops::bi_half`.

use crate::common::patterns::{ALL, Pattern};
use crate::common::*;
#[cfg(feature = "cuda")]
use bihalf::cuda::Cuda;
#[cfg(feature = "cuda")]
use bihalf::half::{bf16, f16};
use bihalf::{
    Backend, CodeMatrix, Codes, Element, Error, Gamma, MatMut, MatRef, Ones, Outputs, Workspace,
    ops,
};

/// The value of the k-th largest element of a column, canonical; NaN for k = 0.
fn threshold<T: Element>(u: &[T], b: &[f64], cols: usize, j: usize) -> f64 {
    let chosen = (j..u.len()).step_by(cols).filter(|&n| b[n] > 0.0).map(|n| u[n].to_f64());
    chosen.reduce(|a, b| if naive::less(b, a) { b } else { a }).map_or(f64::NAN, naive::canonical)
}

fn forward_equals_the_oracle<T: Element + Guard, B: Backend>(backend: &B) {
    for (seed, shape) in (1..).zip(shapes()) {
        let (rows, cols) = shape;
        let mut ws = backend.workspace::<T>(rows, cols).unwrap();
        let ones = [
            Ones::Half,
            Ones::Count(0),
            Ones::Count(rows),
            Ones::Count(rows.min(1)),
            Ones::Fraction(0.3),
        ];
        for (n, pattern) in cases::<T, _>(backend, &ALL, shape, seed) {
            let turn = n + seed as usize;
            let ones =
                if turn.is_multiple_of(2) { Ones::Half } else { ones[turn / 2 % ones.len()] };
            let lay = VIEWS[(turn + turn / VIEWS.len()) % VIEWS.len()];
            let _context = Context::new::<T, B>(backend, (shape, pattern, seed, ones, lay));

            let u: Vec<T> = lay.fill(pattern, shape, seed);
            let k = ones.count(rows).unwrap();
            let expected = naive::bihalf(&u, rows, cols, k);

            // Which outputs are asked for, and how they lie, decides which kernels there are to
            // choose from.
            let (packed, alone) = (!turn.is_multiple_of(3), turn.is_multiple_of(6));
            let lay = if alone { Lay::Aligned } else { lay };
            let input = Input::new(backend, &u, shape, lay);
            let mut dense = if alone {
                Guarded::<B, T>::aligned(backend, &vec![T::GUARD; rows * cols], shape)
            } else {
                Guarded::<B, T>::new(backend, shape)
            };
            let mut dense_i8 = Guarded::<B, i8>::new(backend, shape);
            let mut codes = GuardedCodes::new(backend, shape);
            let mut counts = guarded_row::<B, u32>(backend, cols);
            let mut cut = guarded_row::<B, T>(backend, cols);
            let mut out = Outputs::none().dense(dense.view());
            if !alone {
                out = out.dense_i8(dense_i8.view()).counts(counts.vector()).threshold(cut.vector());
            }
            if packed {
                out = out.codes(codes.view());
            }
            backend.bihalf_forward_into(input.view(), ones, out, &mut ws).unwrap();

            let as_f64: Vec<f64> = dense.take(backend).into_iter().map(T::to_f64).collect();
            assert_eq!(as_f64, expected);
            if packed {
                assert_eq!(codes.take(backend), naive::pack(&expected, rows, cols));
            }
            if alone {
                continue;
            }
            let as_f64: Vec<f64> = dense_i8.take(backend).into_iter().map(f64::from).collect();
            assert_eq!(as_f64, expected);
            assert_eq!(counts.take(backend), vec![k as u32; cols]);
            for (j, cut) in cut.take(backend).into_iter().enumerate() {
                let expected = threshold(&u, &expected, cols, j);
                assert_same_bits(cut.to_f64(), expected, j);
            }
        }
    }
}

#[test]
fn forward_matches_the_oracle_in_every_form() {
    on_each_backend_and_type!(forward_equals_the_oracle);
}

/// Without multiprocessors even a few columns take the kernels of large matrices.
#[cfg(feature = "cuda")]
#[test]
fn forward_matches_the_oracle_as_on_a_full_device() {
    let Some(cuda) = device::cuda() else { return };
    let full = Cuda::on_stream(&cuda.kernels().with_multiprocessors(0), cuda.stream()).unwrap();
    forward_equals_the_oracle::<f32, _>(&full);
    forward_equals_the_oracle::<f64, _>(&full);
    forward_equals_the_oracle::<f16, _>(&full);
    forward_equals_the_oracle::<bf16, _>(&full);
}

/// Nearly all are ones, the others are the least values that there are, and nearly all threads of a
/// block have a row: keys of places without one count beside those of the least values.
#[cfg(feature = "cuda")]
fn nearly_all_ones_equal_the_oracle<T: Element + Guard>(cuda: &Cuda) {
    for (rows, few) in [(193, 60), (240, 40), (255, 1), (1000, 1), (1000, 30), (4000, 25)] {
        let mut u = vec![T::from_f64(1.0); rows];
        (0..few).for_each(|n| u[(17 + 3 * n) % rows] = T::from_f64(f64::NEG_INFINITY));
        for k in [rows, rows - 1, rows - few, rows - few + 1, rows - few / 2] {
            let _context = Context::new::<T, Cuda>(cuda, (rows, few, k));
            let input = Input::new(cuda, &u, (rows, 1), Lay::Dense);
            let mut ws = cuda.workspace::<T>(rows, 1).unwrap();
            let mut dense = Guarded::<Cuda, T>::new(cuda, (rows, 1));
            let mut dense_i8 = Guarded::<Cuda, i8>::new(cuda, (rows, 1));
            let mut cut = guarded_row::<Cuda, T>(cuda, 1);
            let out = Outputs::none()
                .dense(dense.view())
                .dense_i8(dense_i8.view())
                .threshold(cut.vector());
            cuda.bihalf_forward_into(input.view(), Ones::Count(k), out, &mut ws).unwrap();
            let expected = naive::bihalf(&u, rows, 1, k);
            let as_f64: Vec<f64> = dense.take(cuda).into_iter().map(T::to_f64).collect();
            assert_eq!(as_f64, expected);
            let as_f64: Vec<f64> = dense_i8.take(cuda).into_iter().map(f64::from).collect();
            assert_eq!(as_f64, expected);
            assert_same_bits(cut.take(cuda)[0].to_f64(), threshold(&u, &expected, 1, 0), 0);
        }
    }
}

#[cfg(feature = "cuda")]
#[test]
fn nearly_all_ones_match_the_oracle() {
    let Some(cuda) = device::cuda() else { return };
    nearly_all_ones_equal_the_oracle::<f32>(&cuda);
    nearly_all_ones_equal_the_oracle::<f64>(&cuda);
    nearly_all_ones_equal_the_oracle::<bf16>(&cuda);
    nearly_all_ones_equal_the_oracle::<f16>(&cuda);
}

/// Tiles in which each row and column exists, and dense output alone: what most calls are.
#[cfg(feature = "cuda")]
fn full_tiles_equal_the_oracle<T: Element + Guard>(cuda: &Cuda) {
    for (seed, shape) in (1..).zip([(32, 64), (64, 64), (128, 32), (256, 32)]) {
        for pattern in ALL {
            let _context = Context::new::<T, Cuda>(cuda, (shape, pattern, seed));
            let u: Vec<T> = pattern.fill(shape, seed);
            let b = cuda.bihalf_forward(Input::new(cuda, &u, shape, Lay::Dense).view(), Ones::Half);
            let b: Vec<f64> =
                cuda.download(&b.unwrap()).unwrap().into_iter().map(T::to_f64).collect();
            assert_eq!(b, naive::bihalf(&u, shape.0, shape.1, shape.0 / 2));
        }
    }
}

#[cfg(feature = "cuda")]
#[test]
fn full_tiles_match_the_oracle() {
    let Some(cuda) = device::cuda() else { return };
    let full = Cuda::on_stream(&cuda.kernels().with_multiprocessors(0), cuda.stream()).unwrap();
    full_tiles_equal_the_oracle::<f32>(&full);
    full_tiles_equal_the_oracle::<f64>(&full);
    full_tiles_equal_the_oracle::<f16>(&full);
    full_tiles_equal_the_oracle::<bf16>(&full);
}

/// Many columns of a 16-bit type, two a lane, where the device can compare both at once.
#[cfg(feature = "cuda")]
fn pairs_equal_the_oracle<T: Element + Guard>(cuda: &Cuda) {
    for (seed, shape) in (1..).zip([1usize, 2, 15, 16, 31, 32].map(|rows| (rows, 328))) {
        let (rows, cols) = shape;
        for (n, pattern) in ALL.into_iter().enumerate() {
            let k = [rows / 2, rows.min(16), rows - rows.min(16), rows.div_ceil(2)][n % 4];
            let _context = Context::new::<T, Cuda>(cuda, (shape, pattern, seed, k));
            let u: Vec<T> = pattern.fill(shape, seed);
            let input = Input::new(cuda, &u, shape, Lay::Aligned);
            let mut b = Guarded::<Cuda, T>::aligned(cuda, &vec![T::GUARD; rows * cols], shape);
            let mut ws = cuda.workspace::<T>(rows, cols).unwrap();
            let out = Outputs::none().dense(b.view());
            cuda.bihalf_forward_into(input.view(), Ones::Count(k), out, &mut ws).unwrap();
            let b: Vec<f64> = b.take(cuda).into_iter().map(T::to_f64).collect();
            assert_eq!(b, naive::bihalf(&u, rows, cols, k));
        }
    }
}

#[cfg(feature = "cuda")]
#[test]
fn two_columns_of_a_lane_match_the_oracle() {
    let Some(cuda) = device::cuda() else { return };
    if cuda.kernels().limits().capability < (9, 0) {
        device::say("two_columns_of_a_lane: SKIPPED: the device is older than capability 9.0");
        return;
    }
    let full = Cuda::on_stream(&cuda.kernels().with_multiprocessors(0), cuda.stream()).unwrap();
    pairs_equal_the_oracle::<f16>(&full);
    pairs_equal_the_oracle::<bf16>(&full);
}

/// Thousands of rows of a few columns; dense alone, or with packed codes and thresholds.
#[cfg(feature = "cuda")]
fn tall_equals_the_oracle<T: Element + Guard>(
    cuda: &Cuda,
    shapes: &[(usize, usize)],
    dense_alone: bool,
) {
    for (seed, &shape) in (0..).zip(shapes) {
        let (rows, cols) = shape;
        for (n, pattern) in cases::<T, _>(cuda, &ALL, shape, seed) {
            let k = [rows / 2, 1, rows - 1, rows / 3, 0, rows][n % 6];
            let _context = Context::new::<T, Cuda>(cuda, (shape, pattern, seed, k));
            let u: Vec<T> = pattern.fill(shape, seed);
            let input = Input::new(cuda, &u, shape, LAYS[n % 4]);
            let expected = naive::bihalf(&u, rows, cols, k);
            let mut dense = Guarded::<Cuda, T>::new(cuda, shape);
            let mut codes = GuardedCodes::new(cuda, shape);
            let mut cut = guarded_row::<Cuda, T>(cuda, cols);
            let mut ws = cuda.workspace::<T>(rows, cols).unwrap();
            let mut out = Outputs::none().dense(dense.view());
            if !dense_alone {
                out = out.codes(codes.view()).threshold(cut.vector());
            }
            cuda.bihalf_forward_into(input.view(), Ones::Count(k), out, &mut ws).unwrap();
            let dense: Vec<f64> = dense.take(cuda).into_iter().map(T::to_f64).collect();
            assert!(dense == expected, "dense");
            if dense_alone {
                continue;
            }
            assert!(codes.take(cuda) == naive::pack(&expected, rows, cols), "codes");
            for (j, cut) in cut.take(cuda).into_iter().enumerate() {
                assert_same_bits(cut.to_f64(), threshold(&u, &expected, cols, j), j);
            }
        }
    }
}

/// Thousands of rows by blocks that do not form clusters.
#[cfg(feature = "cuda")]
#[test]
fn thousands_of_rows_match_the_oracle() {
    let Some(cuda) = device::cuda() else { return };
    let kernels = cuda.kernels().without_clusters();
    let full = Cuda::on_stream(&kernels.with_multiprocessors(0), cuda.stream()).unwrap();
    tall_equals_the_oracle::<f32>(&full, &[(4097, 5), (8192, 4), (8191, 3)], true);
    tall_equals_the_oracle::<f32>(&full, &[(1024, 8), (2047, 9), (2048, 8)], false);
    // A device on which few columns are neither many nor few.
    let one = Cuda::on_stream(&kernels.with_multiprocessors(1), cuda.stream()).unwrap();
    tall_equals_the_oracle::<f32>(&one, &[(1024, 24)], false);
}

#[cfg(feature = "cuda")]
#[test]
fn clusters_of_blocks_match_the_oracle() {
    let Some(cuda) = device::cuda() else { return };
    if !cuda.kernels().limits().clusters {
        // The emulator can be another device.
        if device::is_emulated(&cuda) && device::further_run().is_none() {
            let test = "bihalf::clusters_of_blocks_match_the_oracle";
            device::child(test, &[("CUDAEMU_CC", "90")]);
        } else {
            device::say("clusters_of_blocks: SKIPPED: blocks of this device do not form clusters");
        }
        return;
    }
    let with = |n| Cuda::on_stream(&cuda.kernels().with_multiprocessors(n), cuda.stream()).unwrap();
    // Many multiprocessors take histograms up to 4096 rows, a full device takes slices.
    let (many, full) = (with(1 << 20), with(0));
    let shapes = [(300, 9), (1024, 8), (1025, 3), (4000, 2), (4096, 8)];
    tall_equals_the_oracle::<f32>(&many, &shapes, false);
    tall_equals_the_oracle::<f64>(&many, &shapes, false);
    tall_equals_the_oracle::<f16>(&many, &shapes, false);
    tall_equals_the_oracle::<bf16>(&many, &shapes, false);
    tall_equals_the_oracle::<f32>(&full, &[(4097, 9), (8192, 8), (8193, 1), (32_768, 8)], false);
    tall_equals_the_oracle::<f64>(&full, &[(4097, 9), (8192, 8)], false);
    tall_equals_the_oracle::<f16>(&full, &[(8193, 9), (65_536, 8)], false);
    tall_equals_the_oracle::<bf16>(&full, &[(8193, 9), (65_500, 8)], false);
}

/// Every column that can be made of some values, side by side: value `n / len^i % len` in row `i` of
/// column `n`.
fn all_columns<T: Element>(rows: usize, values: &[f64]) -> Vec<T> {
    let cols = values.len().pow(rows as u32);
    let digit = |at: usize| at % cols / values.len().pow((at / cols) as u32) % values.len();
    (0..rows * cols).map(|at| T::from_f64(values[digit(at)])).collect()
}

/// Few rows of every order of values that are hard to tell apart, for every k.
fn all_small_columns<T: Element, B: Backend>(backend: &B) {
    for rows in 1..=4 {
        let u: Vec<T> = all_columns(rows, &[f64::NAN, -1.0, -0.0, 0.0, f64::INFINITY]);
        let cols = u.len() / rows;
        let input = Input::new(backend, &u, (rows, cols), Lay::Dense);
        for k in 0..=rows {
            let _context = Context::new::<T, B>(backend, (rows, k));
            let expected = naive::bihalf(&u, rows, cols, k);
            let b = backend.bihalf_forward(input.view(), Ones::Count(k)).unwrap();
            let b: Vec<f64> = backend.download(&b).unwrap().into_iter().map(T::to_f64).collect();
            assert_eq!(b, expected);
            let words = backend.bihalf_forward_packed(input.view(), Ones::Count(k)).unwrap();
            assert_eq!(backend.download(&words).unwrap(), naive::pack(&expected, rows, cols));
        }
    }
}

#[test]
fn every_small_column_is_right_for_every_k() {
    on_each_backend_and_type!(all_small_columns);
}

/// The 0-1 principle: what only compares and exchanges is right for all inputs if it is right for all
/// zeros and ones. 16 rows are one half of the smallest network, and the pads of k ones are the other
/// half, sorted, with 16 - k greatest: all k together show all of the order of the first half.
fn zeros_and_ones<B: Backend>(backend: &B) {
    let u: Vec<f32> = all_columns(16, &[0.0, 1.0]);
    let input = Input::new(backend, &u, (16, 1 << 16), Lay::Dense);
    for k in 0..=16 {
        let expected = naive::bihalf(&u, 16, 1 << 16, k);
        let words = backend.bihalf_forward_packed(input.view(), Ones::Count(k)).unwrap();
        assert_eq!(backend.download(&words).unwrap(), naive::pack(&expected, 16, 1 << 16), "{k}");
    }
}

#[test]
fn every_column_of_zeros_and_ones_is_right_for_every_k() {
    on_each_backend!(zeros_and_ones);
}

/// Of equal rows the first k are ones, however many blocks share a column.
///
/// These are more rows of `f64` than one launch takes on any device, in three chunks: there are two
/// before the last one.
fn tall_columns_of_ties<B: Backend>(backend: &B) {
    let rows = 8192 + 1;
    for value in [0.5, f64::NAN] {
        let u = Input::new(backend, &vec![value; rows], (rows, 1), Lay::Dense);
        for k in [0, rows / 2, rows] {
            let b = backend.bihalf_forward(u.view(), Ones::Count(k)).unwrap();
            let b = backend.download(&b).unwrap();
            assert!(b.iter().enumerate().all(|(i, &b)| b == if i < k { 1.0 } else { -1.0 }), "{k}");
        }
    }
}

#[test]
fn ties_of_tall_columns_go_to_the_first_rows() {
    on_each_backend!(tall_columns_of_ties);
}

fn each_output_alone_is_the_same<T: Element + Guard, B: Backend>(backend: &B) {
    let shape = (33, 65);
    let u: Vec<T> = Pattern::FewDistinct.fill(shape, 9);
    let _context = Context::new::<T, B>(backend, shape);
    let input = Input::new(backend, &u, shape, Lay::Dense);
    let expected = naive::bihalf(&u, 33, 65, 16);
    let mut ws = backend.workspace::<T>(33, 65).unwrap();

    let mut codes = GuardedCodes::new(backend, shape);
    let out = Outputs::none().codes(codes.view());
    backend.bihalf_forward_into(input.view(), Ones::Half, out, &mut ws).unwrap();
    assert_eq!(codes.take(backend), naive::pack(&expected, 33, 65));

    let mut cut = guarded_row::<B, T>(backend, 65);
    let out = Outputs::none().threshold(cut.vector());
    backend.bihalf_forward_into(input.view(), Ones::Half, out, &mut ws).unwrap();
    assert_same_bits(cut.take(backend)[64].to_f64(), threshold(&u, &expected, 65, 64), 64);
}

#[test]
fn any_subset_of_outputs_may_be_asked_for() {
    on_each_backend_and_type!(each_output_alone_is_the_same);
}

fn backward_equals_the_formula<T: Element + Guard, B: Backend>(backend: &B) {
    for (seed, shape) in (1..).zip(shapes()) {
        let (_, cols) = shape;
        let lay = VIEWS[seed as usize % VIEWS.len()];
        let pulls = pulls(shape);
        for (n, pattern) in cases::<T, _>(backend, &ALL, shape, seed) {
            let (pull, c) = pulls[n % pulls.len()];
            let _context = Context::new::<T, B>(backend, (shape, pattern, seed, pull, lay));
            let u: Vec<T> = lay.fill(pattern, shape, seed);
            let b: Vec<f64> = naive::sign(&lay.fill::<T>(pattern, shape, seed + 1), cols, None);
            let grad: Vec<T> = Pattern::Random.fill(shape, seed + 2);
            let expected = naive::pull(&u, &b, &grad, c);
            let input = Input::new(backend, &u, shape, lay);

            let signs: Vec<T> = b.iter().map(|&b| T::from_f64(b)).collect();
            let dense = Input::new(backend, &signs, shape, lay);
            let mut du = Guarded::of(backend, &grad, shape);
            let b_dense = dense.view();
            backend.bihalf_backward_in_place(input.view(), b_dense, pull, du.view()).unwrap();
            assert_same(&du.take(backend), &expected);

            let packed = InputCodes::new(backend, &b, shape);
            let mut du = Guarded::of(backend, &grad, shape);
            let b_packed = packed.view();
            backend.bihalf_backward_in_place(input.view(), b_packed, pull, du.view()).unwrap();
            assert_same(&du.take(backend), &expected);

            // Where all rows are aligned, vectors may be read and written.
            let aligned = |m: &[T]| Input::new(backend, m, shape, Lay::Aligned);
            let (u_aligned, b_aligned) = (aligned(&u), aligned(&signs));
            for b in [b_aligned.view().into(), CodeMatrix::Packed(packed.view())] {
                let mut du = Guarded::aligned(backend, &grad, shape);
                backend.bihalf_backward_in_place(u_aligned.view(), b, pull, du.view()).unwrap();
                assert_same(&du.take(backend), &expected);
            }

            let grad = Input::new(backend, &grad, shape, LAYS[(n + 1) % LAYS.len()]);
            let mut du = Guarded::<B, T>::new(backend, shape);
            let b_dense = dense.view();
            backend
                .bihalf_backward_into(input.view(), b_dense, pull, grad.view(), du.view())
                .unwrap();
            assert_same(&du.take(backend), &expected);
        }
    }
}

#[test]
fn backward_is_the_formula_from_dense_and_packed_targets() {
    on_each_backend_and_type!(backward_equals_the_formula);
}

#[test]
fn forms_that_allocate_equal_the_forms_that_do_not() {
    let shape = (33, 7);
    let u: Vec<f32> = Pattern::Random.fill(shape, 3);
    let grad: Vec<f32> = Pattern::Random.fill(shape, 4);
    let view = MatRef::new(&u, 33, 7).unwrap();
    let expected = naive::bihalf(&u, 33, 7, 16);

    let b = ops::bi_half::forward(view, Ones::Half).unwrap();
    assert_eq!(b.iter().map(|&b| f64::from(b)).collect::<Vec<_>>(), expected);
    let codes = ops::bi_half::forward_packed(view, Ones::Half).unwrap();
    assert_eq!(codes.as_ref().words(), naive::pack(&expected, 33, 7));

    let (b, g) = (MatRef::new(&b, 33, 7).unwrap(), MatRef::new(&grad, 33, 7).unwrap());
    let du = ops::bi_half::backward(view, b, 3.0, g).unwrap();
    assert_same(&du, &naive::pull(&u, &expected, &grad, 3.0 / 231.0));
}

#[test]
fn ones_count_floors_and_forgives_rounding() {
    assert_eq!(Ones::default().count(7).unwrap(), 3);
    assert_eq!(Ones::Fraction(0.29).count(100).unwrap(), 29);
    assert_eq!(Ones::Fraction(0.3).count(10).unwrap(), 3);
    assert_eq!(Ones::Fraction(0.999).count(10).unwrap(), 9);
    assert_eq!(Ones::Fraction(1.0).count(10).unwrap(), 10);
    assert_eq!(Ones::Fraction(0.5).count(0).unwrap(), 0);
}

fn refusals_leave_outputs_untouched<B: Backend>(backend: &B) {
    type T = f32;
    let shape = (4, 3);
    let u: Vec<T> = Pattern::Random.fill(shape, 1);
    let input = Input::new(backend, &u, shape, Lay::Dense);
    let mut ws = backend.workspace::<T>(4, 3).unwrap();
    let mut forward = |ones, wrong_codes: (usize, usize), wrong_cut: usize| {
        let mut dense = Guarded::<B, T>::new(backend, shape);
        let mut codes = GuardedCodes::new(backend, wrong_codes);
        let mut cut = guarded_row::<B, T>(backend, wrong_cut);
        let out = Outputs::none().dense(dense.view()).codes(codes.view()).threshold(cut.vector());
        let result = backend.bihalf_forward_into(input.view(), ones, out, &mut ws);
        dense.assert_untouched(backend);
        codes.assert_untouched(backend);
        cut.assert_untouched(backend);
        result.unwrap_err()
    };
    let error = forward(Ones::Count(5), shape, 3);
    assert!(matches!(error, Error::TooManyOnes { count: 5, rows: 4 }), "{error}");
    for fraction in [-0.1, 1.1, f64::NAN] {
        let error = forward(Ones::Fraction(fraction), shape, 3);
        assert!(matches!(error, Error::Parameter { name: "fraction", .. }), "{error}");
    }
    let error = forward(Ones::Half, (4, 2), 3);
    assert!(matches!(error, Error::Shape { got: (4, 2), .. }), "{error}");
    let error = forward(Ones::Half, shape, 2);
    assert!(matches!(error, Error::Length { expected: 3, got: 2, .. }), "{error}");

    let backward = |b_shape: (usize, usize), gamma: Gamma| {
        let b = vec![1.0; b_shape.0 * b_shape.1];
        let b: Input<B, T> = Input::new(backend, &b, b_shape, Lay::Dense);
        let mut grad = Guarded::<B, T>::new(backend, shape);
        let b = b.view();
        let result = backend.bihalf_backward_in_place(input.view(), b, gamma, grad.view());
        grad.assert_untouched(backend);
        result.unwrap_err()
    };
    let error = backward((3, 4), Gamma::new(1.0));
    assert!(matches!(error, Error::Shape { what: "B", .. }), "{error}");
    for pull in [
        Gamma::new(f64::NAN),
        Gamma::new(f64::INFINITY),
        Gamma::new(1.0).with_divisor(0.0),
        Gamma::new(1.0).with_divisor(-2.0),
        Gamma::new(1.0).with_divisor(f64::NAN),
    ] {
        let error = backward(shape, pull);
        assert!(matches!(error, Error::Parameter { .. }), "{error}");
    }
}

#[test]
fn wrong_arguments_are_refused_before_anything_is_written() {
    on_each_backend!(refusals_leave_outputs_untouched);
}

#[test]
fn a_workspace_serves_any_shape_and_type_in_turn() {
    let mut ws = Workspace::new();
    for (rows, cols) in [(100, 33), (3, 1), (0, 5), (257, 40), (2, 100)] {
        let wide: Vec<f64> = Pattern::Random.fill((rows, cols), 5);
        let narrow: Vec<f32> = Pattern::FewDistinct.fill((rows, cols), 6);
        let mut codes = Codes::zeros(rows, cols).unwrap();
        let mut dense = vec![0.0; rows * cols];
        let u = MatRef::new(&wide, rows, cols).unwrap();
        let out = Outputs::none().codes(codes.as_mut());
        ops::bi_half::forward_into(u, Ones::Half, out, &mut ws).unwrap();
        let u = MatRef::new(&narrow, rows, cols).unwrap();
        let out = Outputs::none().dense(MatMut::new(&mut dense, rows, cols).unwrap());
        ops::bi_half::forward_into(u, Ones::Half, out, &mut ws).unwrap();

        let expected = naive::bihalf(&wide, rows, cols, rows / 2);
        assert_eq!(codes.as_ref().words(), naive::pack(&expected, rows, cols));
        let expected = naive::bihalf(&narrow, rows, cols, rows / 2);
        assert_eq!(dense.iter().map(|&b| f64::from(b)).collect::<Vec<_>>(), expected);
    }
}

/// Hand-checked: what torch's `sort(0, descending=True, stable=True)` and a scatter of +1 to the
/// first two places of each column give.
fn small_batch_by_hand<B: Backend>(backend: &B) {
    let nan = f32::NAN;
    #[rustfmt::skip]
    let u = [
        0.0, 1.0, nan, 5.0,
        -0.0, 1.0, 2.0, 5.0,
        0.0, 1.0, f32::INFINITY, 6.0,
        -1.0, 1.0, nan, 4.0,
        3.0, 1.0, 3.0, 5.0,
    ];
    #[rustfmt::skip]
    let expected = [
        1.0, 1.0, 1.0, 1.0,
        -1.0, 1.0, -1.0, -1.0,
        -1.0, -1.0, -1.0, 1.0,
        -1.0, -1.0, 1.0, -1.0,
        1.0, -1.0, -1.0, -1.0,
    ];
    let u = Input::new(backend, &u, (5, 4), Lay::Dense);
    let b = backend.bihalf_forward(u.view(), Ones::Half).unwrap();
    assert_eq!(backend.download(&b).unwrap(), expected);
}

#[test]
fn forward_of_a_small_batch_is_as_by_hand() {
    on_each_backend!(small_batch_by_hand);
}
