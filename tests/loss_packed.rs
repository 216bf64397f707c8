//! Promises of `ops::loss` for packed codes: the loss, its pair_grads, and back through Bi-half.

use crate::common::patterns::{ALL, FINITE, Pattern};
use crate::common::*;
use crate::loss::{cosine_with_grad, differences};
use approx::assert_relative_eq;
use bihalf::{Backend, CodeMatrix, Codes, Element, Error, Gamma, MatRef, ops::loss};

/// The loss of packed codes and the pair_grads, features of `T` against the quotient rule.
fn packed_losses_equal_the_oracle<T: Element + Guard, B: Backend>(backend: &B) {
    for (seed, shape) in (1..).zip(shapes()) {
        let (rows, cols) = shape;
        let mut ws = backend.workspace::<T>(rows, cols).unwrap();
        for (n, pattern) in cases::<T, _>(backend, &FINITE, shape, seed) {
            let lay = VIEWS[(n + seed as usize) % VIEWS.len()];
            let _context = Context::new::<T, B>(backend, (shape, pattern, seed, lay));
            let features: Vec<T> = lay.fill(pattern, (rows, 9), seed);
            let b = naive::sign(&pattern.fill::<f32>(shape, seed + 1), cols, None);
            let features_in = Input::new(backend, &features, (rows, 9), lay);
            let codes = InputCodes::new(backend, &b, shape);
            let mut value = guarded_row::<B, f64>(backend, 1);
            let mut pair_grads = guarded_row::<B, f64>(backend, loss::pair_grads_len(rows));
            backend
                .cosine_packed_into(
                    features_in.view(),
                    codes.view(),
                    value.vector(),
                    pair_grads.vector(),
                    &mut ws,
                )
                .unwrap();

            let (x, dense) = (naive::rows_of(&features, rows, 9), naive::rows_of(&b, rows, cols));
            let expected = naive::cosine_loss(&x, &dense);
            assert_relative_eq!(
                value.take(backend)[0],
                expected,
                max_relative = 1e-10,
                epsilon = 1e-20
            );
            let pair_grads = pair_grads.take(backend);
            assert_eq!(pair_grads.len(), rows / 2 * 2);
            let got = naive::of_pair_grads::<f64>(&b, &pair_grads, rows, cols);
            let expected = (0..rows).flat_map(|i| naive::cosine_gradient(&x, &dense, i));
            for (got, expected) in got.into_iter().zip(expected) {
                assert_relative_eq!(got, expected, max_relative = 1e-10, epsilon = 1e-12);
            }
        }
    }
}

#[test]
fn packed_losses_and_pair_grads_match_the_oracle() {
    on_each_backend_and_type!(packed_losses_equal_the_oracle);
}

/// From any pair gradients at all: those of a loss, large and small ones, zeros of both signs, NaN.
fn packed_backward_equals_the_formula<T: Element + Guard, B: Backend>(backend: &B) {
    for (seed, shape) in (1..).zip(shapes()) {
        let (rows, cols) = shape;
        let lay = VIEWS[seed as usize % VIEWS.len()];
        let pulls = pulls(shape);
        let of_pair_grads =
            [Pattern::Random, Pattern::Denormals, Pattern::SignedZeros, Pattern::WithNan];
        for (n, pattern) in cases::<T, _>(backend, &ALL, shape, seed) {
            let (gamma, c) = pulls[n % pulls.len()];
            let _context = Context::new::<T, B>(backend, (shape, pattern, seed, gamma, lay));
            let u: Vec<T> = lay.fill(pattern, shape, seed);
            let b = naive::sign(&Pattern::Random.fill::<f32>(shape, seed + 1), cols, None);
            let pairs = (1, loss::pair_grads_len(rows));
            let pair_grads: Vec<f64> = of_pair_grads[n % of_pair_grads.len()].fill(pairs, seed + 2);
            let grad: Vec<T> = naive::of_pair_grads(&b, &pair_grads, rows, cols);
            let expected = naive::pull(&u, &b, &grad, c);

            let input = Input::new(backend, &u, shape, lay);
            let codes = InputCodes::new(backend, &b, shape);
            let pair_grads = backend.upload(&pair_grads).unwrap();
            let mut du = Guarded::<B, T>::new(backend, shape);
            backend
                .cosine_packed_backward_into(
                    input.view(),
                    codes.view(),
                    B::slice(&pair_grads),
                    gamma,
                    du.view(),
                )
                .unwrap();
            assert_same(&du.take(backend), &expected);
            let mut du = Guarded::of(backend, &u, shape);
            backend
                .cosine_packed_backward_in_place(
                    codes.view(),
                    B::slice(&pair_grads),
                    gamma,
                    du.view(),
                )
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
    gamma: impl Into<Gamma>,
) -> [(f64, Vec<T>); 2] {
    let (shape, gamma) = ((rows, cols), gamma.into());
    let x = Input::new(backend, x, (rows, x.len() / rows), Lay::Dense);
    let u = Input::new(backend, u, shape, Lay::Dense);
    let codes = InputCodes::new(backend, b, shape);
    let dense: Vec<T> = b.iter().map(|&b| T::from_f64(b)).collect();
    let dense = Input::new(backend, &dense, shape, Lay::Dense);
    let mut ws = backend.workspace::<T>(rows, cols).unwrap();
    let mut value = guarded_row::<B, f64>(backend, 1);

    let mut du = Guarded::<B, T>::new(backend, shape);
    let mut pair_grads = backend.zeros(loss::pair_grads_len(rows)).unwrap();
    backend
        .cosine_packed_into(
            x.view(),
            codes.view(),
            value.vector(),
            B::slice_mut(&mut pair_grads),
            &mut ws,
        )
        .unwrap();
    let from = B::slice(&pair_grads);
    backend.cosine_packed_backward_into(u.view(), codes.view(), from, gamma, du.view()).unwrap();
    let short = (value.take(backend)[0], du.take(backend));

    let mut du = Guarded::<B, T>::new(backend, shape);
    backend
        .cosine_with_grad_into(x.view(), dense.view(), value.vector(), du.view(), &mut ws)
        .unwrap();
    let signs = codes.view();
    backend.bihalf_backward_in_place(u.view(), signs, gamma, du.view()).unwrap();
    [short, (value.take(backend)[0], du.take(backend))]
}

fn packed_is_the_same_as_dense<T: Element + Guard, B: Backend>(backend: &B) {
    for (seed, shape) in (1..).zip([(1, 3), (2, 1), (2, 64), (5, 7), (6, 32), (9, 65), (33, 100)]) {
        for (n, pattern) in cases::<T, _>(backend, &ALL, shape, seed) {
            let gamma = [6.0, 0.0][n % 2];
            let _context = Context::new::<T, B>(backend, (shape, pattern, seed, gamma));
            let x: Vec<T> = pattern.fill((shape.0, 6), seed);
            let u: Vec<T> = pattern.fill(shape, seed + 1);
            // The codes of U themselves, so that U - B may be 0, and some equal codes.
            let b = naive::sign(&u, shape.1, None);
            let [short, long] = both_ways(backend, shape, (&x, &u, &b), gamma);
            assert!(same(short.0, long.0), "loss {} {}", short.0, long.0);
            assert_same(&short.1, &long.1);
            // +1 and -1 as activations.
            let u: Vec<T> = b.iter().map(|&b| T::from_f64(b)).collect();
            let [short, long] = both_ways(backend, shape, (&x, &u, &b), gamma);
            assert_same(&short.1, &long.1);
        }
    }
}

#[test]
fn packed_codes_give_the_bits_of_dense_ones_and_bihalf_backward() {
    on_each_backend_and_type!(packed_is_the_same_as_dense);
}

fn nan_stays_in_its_pair<B: Backend>(backend: &B) {
    let shape = (6, 4);
    let mut x: Vec<f32> = Pattern::Random.fill((6, 5), 1);
    x[4 * 5] = f32::NAN; // of the pair (1, 4)
    let u: Vec<f32> = Pattern::Random.fill(shape, 2);
    let b = naive::sign(&u, 4, None);
    for (value, du) in both_ways(backend, shape, (&x, &u, &b), 1.0) {
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
fn pair_grads_by_hand<B: Backend>(backend: &B) {
    let x = Input::<B, f32>::new(backend, &[1.0, 0.0, 0.0, 1.0], (2, 2), Lay::Dense);
    let b = [1.0, 1.0, -1.0, 1.0, 1.0, 1.0, -1.0, -1.0];
    let codes = InputCodes::new(backend, &b, (2, 4));
    let mut ws = backend.workspace::<f32>(2, 4).unwrap();
    let mut value = guarded_row::<B, f64>(backend, 1);
    let mut pair_grads = guarded_row::<B, f64>(backend, 2);
    backend
        .cosine_packed_into(x.view(), codes.view(), value.vector(), pair_grads.vector(), &mut ws)
        .unwrap();
    assert_eq!(value.take(backend), [0.25]);
    // 2 (1/2 - 0) (1 - 1/2) / 4 and -2 (1/2 - 0) (1 + 1/2) / 4.
    assert_eq!(pair_grads.take(backend), [0.125, -0.375]);
    let u = Input::<B, f32>::new(backend, &[0.0; 8], (2, 4), Lay::Dense);
    let mut du = Guarded::<B, f32>::new(backend, (2, 4));
    let pair_grads = backend.upload(&[0.125, -0.375]).unwrap();
    backend
        .cosine_packed_backward_into(
            u.view(),
            codes.view(),
            B::slice(&pair_grads),
            8.0, // dU = dB - B
            du.view(),
        )
        .unwrap();
    let expected = [-0.875, -0.875, 0.875, -1.375, -0.875, -0.875, 0.875, 1.375];
    assert_eq!(du.take(backend), expected);
}

#[test]
fn pair_grads_of_a_small_pair_are_as_by_hand() {
    on_each_backend!(pair_grads_by_hand);
}

fn refusals_of_packed<B: Backend>(backend: &B) {
    let codes = InputCodes::new(backend, &[1.0; 12], (4, 3));
    let mut ws = backend.workspace::<f32>(4, 3).unwrap();
    let mut forward = |rows: usize, losses: usize, pair_grads_len: usize| {
        let x = Input::<B, f32>::new(backend, &vec![1.0; 2 * rows], (rows, 2), Lay::Dense);
        let mut value = guarded_row::<B, f64>(backend, losses);
        let mut pair_grads = guarded_row::<B, f64>(backend, pair_grads_len);
        let (value_out, pair_grads_out) = (value.vector(), pair_grads.vector());
        let result =
            backend.cosine_packed_into(x.view(), codes.view(), value_out, pair_grads_out, &mut ws);
        value.assert_untouched(backend);
        pair_grads.assert_untouched(backend);
        result.unwrap_err()
    };
    let error = forward(5, 1, 4);
    assert!(matches!(error, Error::Length { expected: 5, got: 4, .. }), "{error}");
    let error = forward(4, 2, 4);
    assert!(matches!(error, Error::Length { expected: 1, got: 2, .. }), "{error}");
    for wrong in [3, 5, 8] {
        let error = forward(4, 1, wrong);
        assert!(
            matches!(error, Error::Length { what: "the pair gradients", expected: 4, .. }),
            "{error}"
        );
    }

    let backward = |shape: (usize, usize), pair_grads: usize, out: (usize, usize), gamma: Gamma| {
        let u = vec![1.0; shape.0 * shape.1];
        let u_in = Input::<B, f32>::new(backend, &u, shape, Lay::Dense);
        let pair_grads = backend.zeros::<f64>(pair_grads).unwrap();
        let mut du = Guarded::<B, f32>::new(backend, out);
        let result = backend.cosine_packed_backward_into(
            u_in.view(),
            codes.view(),
            B::slice(&pair_grads),
            gamma,
            du.view(),
        );
        du.assert_untouched(backend);
        if out == shape {
            let mut du = Guarded::<B, f32>::new(backend, shape);
            let pair_grads = B::slice(&pair_grads);
            backend
                .cosine_packed_backward_in_place(codes.view(), pair_grads, gamma, du.view())
                .unwrap_err();
            du.assert_untouched(backend);
        }
        result.unwrap_err()
    };
    let error = backward((3, 4), 4, (3, 4), Gamma::new(1.0));
    assert!(matches!(error, Error::Shape { what: "the codes", .. }), "{error}");
    let error = backward((4, 3), 4, (3, 3), Gamma::new(1.0));
    assert!(matches!(error, Error::Shape { what: "the output", .. }), "{error}");
    let error = backward((4, 3), 2, (4, 3), Gamma::new(1.0));
    assert!(matches!(error, Error::Length { what: "the pair gradients", got: 2, .. }), "{error}");
    for gamma in [Gamma::new(f64::NAN), Gamma::new(1.0).with_divisor(0.0)] {
        let error = backward((4, 3), 4, (4, 3), gamma);
        assert!(matches!(error, Error::Parameter { .. }), "{error}");
    }
}

#[test]
fn wrong_arguments_of_packed_codes_are_refused_before_anything_is_written() {
    on_each_backend!(refusals_of_packed);
}

#[test]
fn packed_and_dense_codes_give_the_same_loss() {
    for (rows, bits) in [(0, 4), (1, 4), (2, 0), (6, 1), (7, 65), (200, 32)] {
        let x: Vec<f32> = Pattern::Random.fill((rows, 9), 1);
        let x = MatRef::new(&x, rows, 9).unwrap();
        let dense: Vec<f32> = Pattern::Random.fill((rows, bits), 2);
        let codes = Codes::from_dense(MatRef::new(&dense, rows, bits).unwrap()).unwrap();
        let dense: Vec<f32> = codes.to_dense().unwrap();
        let of_dense = loss::cosine(x, CodeMatrix::Dense(MatRef::new(&dense, rows, bits).unwrap()));
        let of_codes = loss::cosine::<_, f32>(x, codes.as_ref());
        let of_dense = of_dense.unwrap();
        assert_eq!(of_dense, of_codes.unwrap(), "{rows} x {bits}");
        assert_eq!(of_dense, loss::cosine_packed(x, codes.as_ref()).unwrap().0, "{rows} x {bits}");
    }
}

/// Slopes are derivatives at +1 and -1.
fn finite_differences<B: Backend>(backend: &B) {
    for rows in [2, 5, 8] {
        let x: Vec<f64> = Pattern::Random.fill((rows, 6), 1);
        let u: Vec<f64> = Pattern::Random.fill((rows, 4), 2);
        let b = naive::sign(&u, 4, None);
        let loss = |b: &[f64]| cosine_with_grad(backend, rows, &x, b).0;
        let [(_, grad), _] = both_ways(backend, (rows, 4), (&x, &u, &b), 0.0);
        for (grad, expected) in grad.into_iter().zip(differences(&b, loss)) {
            assert_relative_eq!(grad, expected, max_relative = 1e-6, epsilon = 1e-9);
        }
    }
}

#[test]
fn pair_grads_match_finite_differences() {
    on_each_backend!(finite_differences);
}
