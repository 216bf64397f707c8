//! Promises of `ops::loss`.

use crate::common::patterns::{ALL, FINITE, Pattern};
use crate::common::*;
use approx::assert_relative_eq;
use bihalf::{Backend, Codes, Element, Error, MatRef, Pull, Signs, ops::loss};

fn rows_of<T: Element>(dense: &[T], rows: usize, cols: usize) -> Vec<Vec<f64>> {
    (0..rows)
        .map(|i| dense[i * cols..(i + 1) * cols].iter().map(|x| x.to_f64()).collect())
        .collect()
}

/// Relative and absolute: one rounding to the type (f16 has denormals from 6e-5 on), and the
/// cancellation in the gradient, whose terms of order 1 / |b| may cancel to nothing.
fn tolerance<T: Element>() -> (f64, f64) {
    match T::NAME {
        "f64" => (1e-10, 1e-12),
        "f32" => (1e-6, 1e-12),
        "f16" => (1.1 * 2f64.powi(-11), 2f64.powi(-24)),
        _ => (1.1 * 2f64.powi(-8), 1e-12),
    }
}

/// The gradient for row `i`, straight from the quotient rule.
fn cosine_gradient(x: &[Vec<f64>], b: &[Vec<f64>], i: usize) -> Vec<f64> {
    let h = b.len() / 2;
    let none = vec![0.0; b[i].len()];
    let k = match i {
        i if i < h => i + h,
        i if i < 2 * h => i - h,
        _ => return none,
    };
    let squared = |v: &[f64]| v.iter().map(|v| v * v).sum::<f64>();
    let (nb, nk) = (squared(&b[i]), squared(&b[k]));
    if nb * nk == 0.0 {
        return none;
    }
    let c = naive::cosine(&b[i], &b[k]);
    let outer = 2.0 / h as f64 * (c - naive::cosine(&x[i], &x[k]));
    let partial = |j: usize| b[k][j] / (nb * nk).sqrt() - c * b[i][j] / nb;
    (0..b[i].len()).map(|j| outer * partial(j)).collect()
}

fn losses_equal_the_oracle<T: Element + Guard, B: Backend>(backend: &B) {
    for (seed, shape) in (1..).zip(shapes()) {
        let (rows, cols) = shape;
        let (relative, absolute) = tolerance::<T>();
        let mut ws = backend.workspace::<T>(rows, cols).unwrap();
        for (n, pattern) in cases(backend, &FINITE, shape, seed) {
            let lay = LAYS[(n + seed as usize) % LAYS.len()];
            let _context = Context::new::<T, B>(backend, (shape, pattern, seed, lay));
            let features: Vec<f32> = pattern.fill((rows, 5), seed);
            let dense: Vec<T> = pattern.fill(shape, seed + 1);
            let (x, b) = (rows_of(&features, rows, 5), rows_of(&dense, rows, cols));
            let x_in = Input::new(backend, &features, (rows, 5), lay);
            let b_in = Input::new(backend, &dense, shape, lay);

            let mut value = guarded_row::<B, f64>(backend, 1);
            let mut grad = Guarded::<B, T>::new(backend, shape);
            backend
                .cosine_with_grad_into(
                    x_in.view(),
                    b_in.view(),
                    value.vector(),
                    grad.view(),
                    &mut ws,
                )
                .unwrap();
            let expected = naive::cosine_loss(&x, &b);
            assert_relative_eq!(
                value.take(backend)[0],
                expected,
                max_relative = 1e-10,
                epsilon = 1e-20
            );
            let expected = (0..rows).flat_map(|i| cosine_gradient(&x, &b, i));
            for (got, expected) in grad.take(backend).into_iter().zip(expected) {
                let got = got.to_f64();
                assert_relative_eq!(got, expected, max_relative = relative, epsilon = absolute);
            }

            let mut value = guarded_row::<B, f64>(backend, 1);
            let mut grad = Guarded::<B, T>::new(backend, shape);
            backend
                .entropy_penalty_with_grad_into(
                    b_in.view(),
                    0.8,
                    value.vector(),
                    grad.view(),
                    &mut ws,
                )
                .unwrap();
            let expected = naive::entropy_penalty(&b, cols, 0.8);
            assert_relative_eq!(
                value.take(backend)[0],
                expected,
                max_relative = 1e-12,
                epsilon = 1e-24
            );
            for (at, got) in grad.take(backend).into_iter().enumerate() {
                let mean = b.iter().map(|row| row[at % cols]).sum::<f64>() / rows as f64;
                let (got, expected) = (got.to_f64(), 0.8 * mean / (rows * cols) as f64);
                assert_relative_eq!(got, expected, max_relative = relative, epsilon = absolute);
            }
        }
    }
}

#[test]
fn losses_and_gradients_match_the_oracle() {
    on_each_backend_and_type!(losses_equal_the_oracle);
}

/// The loss of packed codes and the slopes, features of `T` against the quotient rule.
fn packed_losses_equal_the_oracle<T: Element + Guard, B: Backend>(backend: &B) {
    for (seed, shape) in (1..).zip(shapes()) {
        let (rows, cols) = shape;
        let mut ws = backend.workspace::<T>(rows, cols).unwrap();
        for (n, pattern) in cases(backend, &FINITE, shape, seed) {
            let lay = LAYS[(n + seed as usize) % LAYS.len()];
            let _context = Context::new::<T, B>(backend, (shape, pattern, seed, lay));
            let features: Vec<T> = pattern.fill((rows, 9), seed);
            let b = naive::sign(&pattern.fill::<f32>(shape, seed + 1), cols, None);
            let features_in = Input::new(backend, &features, (rows, 9), lay);
            let codes = InputCodes::new(backend, &b, shape);
            let mut value = guarded_row::<B, f64>(backend, 1);
            let mut slopes = guarded_row::<B, f64>(backend, loss::slopes_len(rows));
            backend
                .cosine_packed_into(
                    features_in.view(),
                    codes.view(),
                    value.vector(),
                    slopes.vector(),
                    &mut ws,
                )
                .unwrap();

            let (x, dense) = (rows_of(&features, rows, 9), rows_of(&b, rows, cols));
            let expected = naive::cosine_loss(&x, &dense);
            assert_relative_eq!(
                value.take(backend)[0],
                expected,
                max_relative = 1e-10,
                epsilon = 1e-20
            );
            let slopes = slopes.take(backend);
            assert_eq!(slopes.len(), rows / 2 * 2);
            let got = naive::of_slopes::<f64>(&b, &slopes, rows, cols);
            let expected = (0..rows).flat_map(|i| cosine_gradient(&x, &dense, i));
            for (got, expected) in got.into_iter().zip(expected) {
                assert_relative_eq!(got, expected, max_relative = 1e-10, epsilon = 1e-12);
            }
        }
    }
}

#[test]
fn packed_losses_and_slopes_match_the_oracle() {
    on_each_backend_and_type!(packed_losses_equal_the_oracle);
}

/// From any slopes at all: those of a loss, large and small ones, zeros of both signs, NaN.
fn packed_backward_equals_the_formula<T: Element + Guard, B: Backend>(backend: &B) {
    for (seed, shape) in (1..).zip(shapes()) {
        let (rows, cols) = shape;
        let lay = LAYS[seed as usize % LAYS.len()];
        let pulls = [
            (Pull::new(6.0), 6.0 / (rows * cols) as f64),
            (Pull::new(0.7).over(12.0), 0.7 / 12.0),
            (Pull::new(0.0), 0.0),
        ];
        let of_slopes =
            [Pattern::Random, Pattern::Denormals, Pattern::SignedZeros, Pattern::WithNan];
        for (n, pattern) in cases(backend, &ALL, shape, seed) {
            let (pull, c) = pulls[n % pulls.len()];
            let _context = Context::new::<T, B>(backend, (shape, pattern, seed, pull, lay));
            let u: Vec<T> = pattern.fill(shape, seed);
            let b = naive::sign(&Pattern::Random.fill::<f32>(shape, seed + 1), cols, None);
            let pairs = (1, loss::slopes_len(rows));
            let slopes: Vec<f64> = of_slopes[n % of_slopes.len()].fill(pairs, seed + 2);
            let grad: Vec<T> = naive::of_slopes(&b, &slopes, rows, cols);
            let expected = naive::pull(&u, &b, &grad, c);

            let input = Input::new(backend, &u, shape, lay);
            let codes = InputCodes::new(backend, &b, shape);
            let slopes = backend.upload(&slopes).unwrap();
            let mut du = Guarded::<B, T>::new(backend, shape);
            backend
                .cosine_packed_backward_into(
                    input.view(),
                    codes.view(),
                    B::slice(&slopes),
                    du.view(),
                    pull,
                )
                .unwrap();
            assert_same(&du.take(backend), &expected);
            let mut du = Guarded::of(backend, &u, shape);
            backend
                .cosine_packed_backward_in_place(du.view(), codes.view(), B::slice(&slopes), pull)
                .unwrap();
            assert_same(&du.take(backend), &expected);
        }
    }
}

#[test]
fn packed_backward_is_the_formula_into_and_in_place() {
    on_each_backend_and_type!(packed_backward_equals_the_formula);
}

/// Loss and dU, from packed codes and the long way, for one batch.
fn both_ways<T: Element + Guard, B: Backend>(
    backend: &B,
    (rows, cols): (usize, usize),
    (x, u, b): (&[T], &[T], &[f64]),
    pull: Pull,
) -> [(f64, Vec<T>); 2] {
    let shape = (rows, cols);
    let x = Input::new(backend, x, (rows, x.len() / rows), Lay::Dense);
    let u = Input::new(backend, u, shape, Lay::Dense);
    let codes = InputCodes::new(backend, b, shape);
    let dense: Vec<T> = b.iter().map(|&b| T::from_f64(b)).collect();
    let dense = Input::new(backend, &dense, shape, Lay::Dense);
    let mut ws = backend.workspace::<T>(rows, cols).unwrap();
    let mut value = guarded_row::<B, f64>(backend, 1);

    let mut du = Guarded::<B, T>::new(backend, shape);
    let mut slopes = backend.zeros(loss::slopes_len(rows)).unwrap();
    backend
        .cosine_packed_into(
            x.view(),
            codes.view(),
            value.vector(),
            B::slice_mut(&mut slopes),
            &mut ws,
        )
        .unwrap();
    let from = B::slice(&slopes);
    backend.cosine_packed_backward_into(u.view(), codes.view(), from, du.view(), pull).unwrap();
    let short = (value.take(backend)[0], du.take(backend));

    let mut du = Guarded::<B, T>::new(backend, shape);
    backend
        .cosine_with_grad_into(x.view(), dense.view(), value.vector(), du.view(), &mut ws)
        .unwrap();
    let signs = Signs::Packed(codes.view());
    backend.bihalf_backward_in_place(u.view(), signs, du.view(), pull).unwrap();
    [short, (value.take(backend)[0], du.take(backend))]
}

fn packed_is_the_same_as_dense<T: Element + Guard, B: Backend>(backend: &B) {
    for (seed, shape) in (1..).zip([(1, 3), (2, 1), (2, 64), (5, 7), (6, 32), (9, 65), (33, 100)]) {
        for (n, pattern) in cases(backend, &ALL, shape, seed) {
            let pull = [Pull::new(6.0), Pull::new(0.0)][n % 2];
            let _context = Context::new::<T, B>(backend, (shape, pattern, seed, pull));
            let x: Vec<T> = pattern.fill((shape.0, 6), seed);
            let u: Vec<T> = pattern.fill(shape, seed + 1);
            // The codes of U themselves, so that U - B may be 0, and some equal codes.
            let b = naive::sign(&u, shape.1, None);
            let [short, long] = both_ways(backend, shape, (&x, &u, &b), pull);
            assert!(same(short.0, long.0), "loss {} {}", short.0, long.0);
            assert_same(&short.1, &long.1);
            // +1 and -1 as activations.
            let u: Vec<T> = b.iter().map(|&b| T::from_f64(b)).collect();
            let [short, long] = both_ways(backend, shape, (&x, &u, &b), pull);
            assert_same(&short.1, &long.1);
        }
    }
}

#[test]
fn packed_codes_give_the_bits_of_dense_ones_and_bihalf_backward() {
    on_each_backend_and_type!(packed_is_the_same_as_dense);
}

fn places_of_features<T: Element + Guard, B: Backend>(backend: &B) {
    // Fewer than a vector, whole vectors, a tail; more than all threads of a block read at once,
    // and more than they have under way.
    for dims in [1, 3, 8, 16, 37, 1030, 2064, 9000] {
        let rows = 5;
        let features: Vec<T> = Pattern::Random.fill((rows, dims), 1);
        let b: Vec<T> = Pattern::Random.fill((rows, 3), 2);
        let b_in = Input::new(backend, &b, (rows, 3), Lay::Dense);
        let mut ws = backend.workspace::<T>(rows, 3).unwrap();
        let expected = naive::cosine_loss(&rows_of(&features, rows, dims), &rows_of(&b, rows, 3));
        let mut values = LAYS.map(|lay| {
            let _context = Context::new::<T, B>(backend, (dims, lay));
            let x = Input::new(backend, &features, (rows, dims), lay);
            let mut value = guarded_row::<B, f64>(backend, 1);
            let mut grad = Guarded::<B, T>::new(backend, (rows, 3));
            backend
                .cosine_with_grad_into(x.view(), b_in.view(), value.vector(), grad.view(), &mut ws)
                .unwrap();
            let value = value.take(backend)[0];
            assert_relative_eq!(value, expected, max_relative = 1e-10);
            value.to_bits()
        });
        values.sort_unstable();
        assert_eq!(values[0], values[2], "{} {dims}", T::NAME);
    }
}

#[test]
fn a_loss_does_not_depend_on_where_the_features_lie() {
    on_each_backend_and_type!(places_of_features);
}

fn nan_stays_in_its_pair<B: Backend>(backend: &B) {
    let shape = (6, 4);
    let mut x: Vec<f32> = Pattern::Random.fill((6, 5), 1);
    x[4 * 5] = f32::NAN; // of the pair (1, 4)
    let u: Vec<f32> = Pattern::Random.fill(shape, 2);
    let b = naive::sign(&u, 4, None);
    for (value, du) in both_ways(backend, shape, (&x, &u, &b), Pull::new(1.0)) {
        assert!(value.is_nan());
        for (n, du) in du.into_iter().enumerate() {
            assert_eq!(du.is_nan(), [1, 4].contains(&(n / 4)), "element {n}");
        }
    }
}

#[test]
fn nan_in_the_features_of_a_pair_reaches_its_gradients_alone() {
    on_each_backend!(nan_stays_in_its_pair);
}

/// Hand-checked: codes of 4 bits with one that differs have the cosine 1/2, the features 0.
fn slopes_by_hand<B: Backend>(backend: &B) {
    let x = Input::<B, f32>::new(backend, &[1.0, 0.0, 0.0, 1.0], (2, 2), Lay::Dense);
    let b = [1.0, 1.0, -1.0, 1.0, 1.0, 1.0, -1.0, -1.0];
    let codes = InputCodes::new(backend, &b, (2, 4));
    let mut ws = backend.workspace::<f32>(2, 4).unwrap();
    let mut value = guarded_row::<B, f64>(backend, 1);
    let mut slopes = guarded_row::<B, f64>(backend, 2);
    backend
        .cosine_packed_into(x.view(), codes.view(), value.vector(), slopes.vector(), &mut ws)
        .unwrap();
    assert_eq!(value.take(backend), [0.25]);
    // 2 (1/2 - 0) (1 - 1/2) / 4 and -2 (1/2 - 0) (1 + 1/2) / 4.
    assert_eq!(slopes.take(backend), [0.125, -0.375]);
    let u = Input::<B, f32>::new(backend, &[0.0; 8], (2, 4), Lay::Dense);
    let mut du = Guarded::<B, f32>::new(backend, (2, 4));
    let slopes = backend.upload(&[0.125, -0.375]).unwrap();
    backend
        .cosine_packed_backward_into(
            u.view(),
            codes.view(),
            B::slice(&slopes),
            du.view(),
            Pull::new(8.0), // dU = dB - B
        )
        .unwrap();
    let expected = [-0.875, -0.875, 0.875, -1.375, -0.875, -0.875, 0.875, 1.375];
    assert_eq!(du.take(backend), expected);
}

#[test]
fn slopes_of_a_small_pair_are_as_by_hand() {
    on_each_backend!(slopes_by_hand);
}

fn refusals_of_packed<B: Backend>(backend: &B) {
    let codes = InputCodes::new(backend, &[1.0; 12], (4, 3));
    let mut ws = backend.workspace::<f32>(4, 3).unwrap();
    let mut forward = |rows: usize, losses: usize, slopes_len: usize| {
        let x = Input::<B, f32>::new(backend, &vec![1.0; 2 * rows], (rows, 2), Lay::Dense);
        let mut value = guarded_row::<B, f64>(backend, losses);
        let mut slopes = guarded_row::<B, f64>(backend, slopes_len);
        let (value_out, slopes_out) = (value.vector(), slopes.vector());
        let result =
            backend.cosine_packed_into(x.view(), codes.view(), value_out, slopes_out, &mut ws);
        value.assert_untouched(backend);
        slopes.assert_untouched(backend);
        result.unwrap_err()
    };
    let error = forward(5, 1, 4);
    assert!(matches!(error, Error::Length { expected: 5, got: 4, .. }), "{error}");
    let error = forward(4, 2, 4);
    assert!(matches!(error, Error::Length { expected: 1, got: 2, .. }), "{error}");
    for wrong in [3, 5, 8] {
        let error = forward(4, 1, wrong);
        assert!(matches!(error, Error::Length { what: "slopes", expected: 4, .. }), "{error}");
    }

    let backward = |shape: (usize, usize), slopes: usize, out: (usize, usize), pull| {
        let u = vec![1.0; shape.0 * shape.1];
        let u_in = Input::<B, f32>::new(backend, &u, shape, Lay::Dense);
        let slopes = backend.zeros::<f64>(slopes).unwrap();
        let mut du = Guarded::<B, f32>::new(backend, out);
        let result = backend.cosine_packed_backward_into(
            u_in.view(),
            codes.view(),
            B::slice(&slopes),
            du.view(),
            pull,
        );
        du.assert_untouched(backend);
        if out == shape {
            let mut du = Guarded::<B, f32>::new(backend, shape);
            let slopes = B::slice(&slopes);
            backend
                .cosine_packed_backward_in_place(du.view(), codes.view(), slopes, pull)
                .unwrap_err();
            du.assert_untouched(backend);
        }
        result.unwrap_err()
    };
    let error = backward((3, 4), 4, (3, 4), Pull::new(1.0));
    assert!(matches!(error, Error::Shape { what: "the codes", .. }), "{error}");
    let error = backward((4, 3), 4, (3, 3), Pull::new(1.0));
    assert!(matches!(error, Error::Shape { what: "the output", .. }), "{error}");
    let error = backward((4, 3), 2, (4, 3), Pull::new(1.0));
    assert!(matches!(error, Error::Length { what: "slopes", got: 2, .. }), "{error}");
    for pull in [Pull::new(f64::NAN), Pull::new(1.0).over(0.0)] {
        let error = backward((4, 3), 4, (4, 3), pull);
        assert!(matches!(error, Error::Parameter { .. }), "{error}");
    }
}

#[test]
fn wrong_arguments_of_packed_codes_are_refused_before_anything_is_written() {
    on_each_backend!(refusals_of_packed);
}

/// Central difference of `f` for each element of `b`.
fn differences(b: &[f64], f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let h = 1e-6;
    let mut moved = b.to_vec();
    let mut at = |n: usize, value: f64| {
        let old = std::mem::replace(&mut moved[n], value);
        let result = f(&moved);
        moved[n] = old;
        result
    };
    (0..b.len()).map(|n| (at(n, b[n] + h) - at(n, b[n] - h)) / (2.0 * h)).collect()
}

fn finite_differences<B: Backend>(backend: &B) {
    for rows in [2, 5, 8] {
        let x: Vec<f64> = Pattern::Random.fill((rows, 6), 1);
        let b: Vec<f64> = Pattern::Random.fill((rows, 4), 2);
        let cosine = |b: &[f64]| cosine_with_grad(backend, rows, &x, b);
        for (grad, expected) in cosine(&b).1.into_iter().zip(differences(&b, |b| cosine(b).0)) {
            assert_relative_eq!(grad, expected, max_relative = 1e-6, epsilon = 1e-9);
        }
        // Slopes are derivatives at +1 and -1.
        let signs = naive::sign(&b, 4, None);
        let pairs = both_ways(backend, (rows, 4), (&x, &b, &signs), Pull::new(0.0));
        for (grad, expected) in pairs[0].1.iter().zip(differences(&signs, |signs| cosine(signs).0))
        {
            assert_relative_eq!(*grad, expected, max_relative = 1e-6, epsilon = 1e-9);
        }
        let penalty = |b: &[f64]| entropy_penalty_with_grad(backend, rows, b, 1.5);
        for (grad, expected) in penalty(&b).1.into_iter().zip(differences(&b, |b| penalty(b).0)) {
            assert_relative_eq!(grad, expected, max_relative = 1e-6, epsilon = 1e-9);
        }
    }
}

#[test]
fn loss_gradients_match_finite_differences() {
    on_each_backend!(finite_differences);
}

#[test]
fn a_loss_is_the_same_with_and_without_its_gradient() {
    for rows in [0, 1, 2, 5, 8] {
        let x: Vec<f64> = Pattern::Random.fill((rows, 6), 1);
        let b: Vec<f64> = Pattern::Random.fill((rows, 4), 2);
        let x = MatRef::new(&x, rows, 6).unwrap();
        let b = MatRef::new(&b, rows, 4).unwrap();
        let (value, _) = loss::cosine_with_grad(x, b).unwrap();
        assert_eq!(value, loss::cosine(x, Signs::Dense(b)).unwrap());
        let (value, _) = loss::entropy_penalty_with_grad(b, 1.5).unwrap();
        assert_eq!(value, loss::entropy_penalty(b, 1.5).unwrap());
    }
}

/// The cosine loss and its gradient for two matrices of `rows` rows.
fn cosine_with_grad<T: Element + Guard, B: Backend>(
    backend: &B,
    rows: usize,
    x: &[T],
    b: &[T],
) -> (f64, Vec<T>) {
    let (dims, cols) = (x.len() / rows, b.len() / rows);
    let x = Input::new(backend, x, (rows, dims), Lay::Dense);
    let b = Input::new(backend, b, (rows, cols), Lay::Dense);
    let mut ws = backend.workspace::<T>(rows, cols).unwrap();
    let mut value = guarded_row::<B, f64>(backend, 1);
    let mut grad = Guarded::<B, T>::new(backend, (rows, cols));
    backend
        .cosine_with_grad_into(x.view(), b.view(), value.vector(), grad.view(), &mut ws)
        .unwrap();
    (value.take(backend)[0], grad.take(backend))
}

/// The entropy penalty and its gradient for a matrix of `rows` rows.
fn entropy_penalty_with_grad<T: Element + Guard, B: Backend>(
    backend: &B,
    rows: usize,
    u: &[T],
    alpha: f64,
) -> (f64, Vec<T>) {
    let shape = (rows, u.len() / rows);
    let u = Input::new(backend, u, shape, Lay::Dense);
    let mut ws = backend.workspace::<T>(shape.0, shape.1).unwrap();
    let mut value = guarded_row::<B, f64>(backend, 1);
    let mut grad = Guarded::<B, T>::new(backend, shape);
    backend
        .entropy_penalty_with_grad_into(u.view(), alpha, value.vector(), grad.view(), &mut ws)
        .unwrap();
    (value.take(backend)[0], grad.take(backend))
}

fn odd_batch<B: Backend>(backend: &B) {
    let x: Vec<f32> = Pattern::Random.fill((5, 3), 1);
    let b: Vec<f32> = Pattern::Random.fill((5, 2), 2);
    let (value, grad) = cosine_with_grad(backend, 5, &x, &b);
    assert_eq!(grad[8..], [0.0; 2]);
    assert!(grad[..8].iter().all(|&g| g != 0.0));
    assert_eq!(cosine_with_grad(backend, 4, &x[..12], &b[..8]), (value, grad[..8].to_vec()));
}

#[test]
fn odd_batches_leave_their_last_row_out() {
    on_each_backend!(odd_batch);
}

fn zero_vectors<B: Backend>(backend: &B) {
    let zero = [0.0f32, 0.0, 1.0, 1.0];
    let b = [1.0f32, 1.0, 1.0, 0.5];
    let (value, grad) = cosine_with_grad(backend, 2, &zero, &b);
    let cosine = naive::cosine(&[1.0, 1.0], &[1.0, 0.5]);
    assert_relative_eq!(value, cosine * cosine, max_relative = 1e-12);
    assert!(grad.iter().all(|&g| g != 0.0));

    let (value, grad) = cosine_with_grad(backend, 2, &b, &zero);
    assert_relative_eq!(value, cosine * cosine, max_relative = 1e-12);
    assert_eq!(grad, [0.0; 4]);
}

#[test]
fn zero_vectors_have_cosine_zero_and_no_gradient() {
    on_each_backend!(zero_vectors);
}

#[test]
fn packed_and_dense_codes_give_the_same_loss() {
    for (rows, bits) in [(0, 4), (1, 4), (2, 0), (6, 1), (7, 65), (200, 32)] {
        let x: Vec<f32> = Pattern::Random.fill((rows, 9), 1);
        let x = MatRef::new(&x, rows, 9).unwrap();
        let dense: Vec<f32> = Pattern::Random.fill((rows, bits), 2);
        let codes = Codes::from_dense(MatRef::new(&dense, rows, bits).unwrap()).unwrap();
        let dense: Vec<f32> = codes.to_dense();
        let of_dense = loss::cosine(x, Signs::Dense(MatRef::new(&dense, rows, bits).unwrap()));
        let of_codes = loss::cosine::<_, f32>(x, Signs::Packed(codes.as_ref()));
        let of_dense = of_dense.unwrap();
        assert_eq!(of_dense, of_codes.unwrap(), "{rows} x {bits}");
        assert_eq!(of_dense, loss::cosine_packed(x, codes.as_ref()).unwrap().0, "{rows} x {bits}");
    }
}

fn tiny_and_huge_vectors<B: Backend>(backend: &B) {
    for scale in [1e-200, 1.0, 1e150] {
        let b = [scale, 0.0, 0.0, scale].map(|v| v + scale);
        let (value, _) = cosine_with_grad(backend, 2, &[1.0f64, 0.0, 0.0, 1.0], &b);
        let expected = (naive::cosine(&[2.0, 1.0], &[1.0, 2.0])).powi(2);
        if scale > 1e-160 {
            assert_relative_eq!(value, expected, max_relative = 1e-12);
        } else {
            assert_eq!(value, 0.0, "squares below the range of f64 count as zero vectors");
        }
    }
}

#[test]
fn tiny_and_huge_vectors_keep_their_angle() {
    on_each_backend!(tiny_and_huge_vectors);
}

fn refusals<B: Backend>(backend: &B) {
    let x = Input::<B, f32>::new(backend, &[1.0; 6], (3, 2), Lay::Dense);
    let b = Input::<B, f32>::new(backend, &[1.0; 8], (2, 4), Lay::Dense);
    let mut value = guarded_row::<B, f64>(backend, 1);
    let mut ws = backend.workspace::<f32>(3, 4).unwrap();
    let mut grad = Guarded::<B, f32>::new(backend, (2, 4));
    let error = backend
        .cosine_with_grad_into(x.view(), b.view(), value.vector(), grad.view(), &mut ws)
        .unwrap_err();
    assert!(matches!(error, Error::Length { expected: 3, got: 2, .. }), "{error}");
    grad.assert_untouched(backend);

    let mut two = guarded_row::<B, f64>(backend, 2);
    let mut grad = Guarded::<B, f32>::new(backend, (2, 4));
    let error = backend
        .entropy_penalty_with_grad_into(b.view(), 1.0, two.vector(), grad.view(), &mut ws)
        .unwrap_err();
    assert!(matches!(error, Error::Length { expected: 1, got: 2, .. }), "{error}");
    let error = backend
        .entropy_penalty_with_grad_into(b.view(), f64::NAN, value.vector(), grad.view(), &mut ws)
        .unwrap_err();
    assert!(matches!(error, Error::Parameter { name: "alpha", .. }), "{error}");
    let mut grad = Guarded::<B, f32>::new(backend, (4, 2));
    let error = backend
        .entropy_penalty_with_grad_into(b.view(), 1.0, value.vector(), grad.view(), &mut ws)
        .unwrap_err();
    assert!(matches!(error, Error::Shape { .. }), "{error}");
    value.assert_untouched(backend);
    grad.assert_untouched(backend);
}

#[test]
fn wrong_arguments_are_refused_before_anything_is_written() {
    on_each_backend!(refusals);
}
