//! Promises of `ops::loss`.

use crate::common::patterns::{FINITE, Pattern};
use crate::common::*;
use approx::assert_relative_eq;
use bihalf::half::{bf16, f16};
use bihalf::{Backend, Element, Error, MatRef, ops::loss};

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

fn losses_equal_the_oracle<T: Element + Guard, B: Backend>(backend: &B) {
    for (seed, shape) in (1..).zip(shapes()) {
        let (rows, cols) = shape;
        let (relative, absolute) = tolerance::<T>();
        let mut ws = backend.workspace::<T>(rows, cols).unwrap();
        for (n, pattern) in cases::<T, _>(backend, &FINITE, shape, seed) {
            let lay = VIEWS[(n + seed as usize) % VIEWS.len()];
            let _context = Context::new::<T, B>(backend, (shape, pattern, seed, lay));
            let features: Vec<f32> = lay.fill(pattern, (rows, 5), seed);
            let dense: Vec<T> = lay.fill(pattern, shape, seed + 1);
            let (x, b) = (naive::rows_of(&features, rows, 5), naive::rows_of(&dense, rows, cols));
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
            let expected = (0..rows).flat_map(|i| naive::cosine_gradient(&x, &b, i));
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
            let mean = |j: usize| b.iter().map(|row| row[j]).sum::<f64>() / rows as f64;
            let means: Vec<f64> = (0..cols).map(mean).collect();
            for (at, got) in grad.take(backend).into_iter().enumerate() {
                let (got, expected) = (got.to_f64(), 0.8 * means[at % cols] / (rows * cols) as f64);
                assert_relative_eq!(got, expected, max_relative = relative, epsilon = absolute);
            }
        }
    }
}

#[test]
fn losses_and_gradients_match_the_oracle() {
    on_each_backend_and_type!(losses_equal_the_oracle);
}

fn places_of_features<T: Element + Guard, B: Backend>(backend: &B) {
    // Fewer than a vector, whole vectors, a tail; more than all threads of a block read at once,
    // and more than they have under way.
    for dims in [0, 1, 3, 8, 16, 37, 1030, 2064, 9000] {
        let rows = 5;
        let features: Vec<T> = Pattern::Random.fill((rows, dims), 1);
        let b: Vec<T> = Pattern::Random.fill((rows, 3), 2);
        let b_in = Input::new(backend, &b, (rows, 3), Lay::Dense);
        let mut ws = backend.workspace::<T>(rows, 3).unwrap();
        let expected = naive::cosine_loss(
            &naive::rows_of(&features, rows, dims),
            &naive::rows_of(&b, rows, 3),
        );
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

/// Central difference of `f` for each element of `b`.
pub fn differences(b: &[f64], f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
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
        assert_eq!(value, loss::cosine(x, b).unwrap());
        let (value, _) = loss::entropy_penalty_with_grad(b, 1.5).unwrap();
        assert_eq!(value, loss::entropy_penalty(b, 1.5).unwrap());
    }
}

/// The cosine loss and its gradient for two matrices of `rows` rows.
pub fn cosine_with_grad<T: Element + Guard, B: Backend>(
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

/// Equal and opposite codes, whose cosine is above and below that of the features.
fn at_an_extremum<B: Backend>(backend: &B) {
    let x = [1.0f32, 0.0, 0.0, 1.0];
    for b in [[1.0f32, 1.0, 1.0, 1.0], [1.0, 1.0, -1.0, -1.0]] {
        let (value, grad) = cosine_with_grad(backend, 2, &x, &b);
        assert_eq!(value, 1.0);
        assert!(grad.iter().all(|g| g.to_bits() == 0.0f32.to_bits()), "{grad:?}");
    }
}

#[test]
fn gradients_at_an_extremum_are_zero_and_not_below() {
    on_each_backend!(at_an_extremum);
}

/// So near to midpoints of a 16-bit type that they are midpoints as `f32`: rounded twice, they
/// would go to the even neighbour, which is the farther one.
fn beside_midpoints<T: Element + Guard, B: Backend>(backend: &B, ulp: f64) {
    let near = 2f64.powi(-40);
    for beside in [0.5 * ulp + near, 1.5 * ulp - near] {
        // The gradient for a single element of 1 is alpha.
        let one = [T::from_f64(1.0)];
        let (_, grad) = entropy_penalty_with_grad(backend, 1, &one, 1.0 + beside);
        assert_eq!(grad[0].to_f64(), 1.0 + ulp, "{} {beside:e}", T::NAME);
    }
}

fn beside_midpoints_of_16_bits<B: Backend>(backend: &B) {
    beside_midpoints::<f16, B>(backend, f16::EPSILON.to_f64());
    beside_midpoints::<bf16, B>(backend, bf16::EPSILON.to_f64());
}

#[test]
fn gradients_are_rounded_to_the_element_type_once() {
    on_each_backend!(beside_midpoints_of_16_bits);
}

#[test]
fn zero_vectors_have_cosine_zero_and_no_gradient() {
    on_each_backend!(zero_vectors);
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
