//! Promises of `ops::sign`.

use crate::common::patterns::{ALL, Pattern};
use crate::common::*;
use bihalf::half::{bf16, f16};
use bihalf::{Backend, Cpu, Element, Error, Gamma, Outputs, ops};

fn sign_equals_the_oracle<T: Element + Guard, B: Backend>(backend: &B) {
    for (seed, shape) in (1..).zip(shapes()) {
        let (rows, cols) = shape;
        for (n, pattern) in cases::<T, _>(backend, &ALL, shape, seed) {
            let lay = VIEWS[(n + seed as usize) % VIEWS.len()];
            let u: Vec<T> = lay.fill(pattern, shape, seed);
            let input = Input::new(backend, &u, shape, lay);
            // Shifts of the same pattern meet -u exactly, where patterns have few values.
            let t: Vec<T> = pattern.fill((1, cols), seed + 1);
            let shift_input = Input::new(backend, &t, (1, cols), Lay::Dense);
            let grad: Vec<T> = Pattern::Random.fill(shape, seed + 2);
            for shift in [None, Some(&t[..])] {
                let _context = Context::new::<T, B>(backend, (shape, pattern, seed, lay, shift));
                let expected = naive::sign(&u, cols, shift);
                let device_shift = || shift.map(|_| shift_input.view().into_data());

                let mut dense = Guarded::<B, T>::new(backend, shape);
                let mut dense_i8 = Guarded::<B, i8>::new(backend, shape);
                let mut codes = GuardedCodes::new(backend, shape);
                let mut counts = guarded_row::<B, u32>(backend, cols);
                let out = Outputs::none()
                    .dense(dense.view())
                    .dense_i8(dense_i8.view())
                    .codes(codes.view())
                    .counts(counts.vector());
                backend.sign_forward_into(input.view(), device_shift(), out).unwrap();
                let as_f64: Vec<f64> = dense.take(backend).into_iter().map(T::to_f64).collect();
                assert_eq!(as_f64, expected);
                let as_f64: Vec<f64> = dense_i8.take(backend).into_iter().map(f64::from).collect();
                assert_eq!(as_f64, expected);
                assert_eq!(codes.take(backend), naive::pack(&expected, rows, cols));
                let count = |j: usize| {
                    (j..rows * cols).step_by(cols).filter(|&n| expected[n] > 0.0).count() as u32
                };
                assert_eq!(counts.take(backend), (0..cols).map(count).collect::<Vec<_>>());

                let mut du = Guarded::of(backend, &grad, shape);
                let pull = Gamma::new(0.2).with_divisor(5.0);
                backend
                    .sign_backward_in_place(input.view(), device_shift(), pull, du.view())
                    .unwrap();
                let expected = naive::pull(&u, &expected, &grad, 0.2 / 5.0);
                assert_same(&du.take(backend), &expected);

                let grad = Input::new(backend, &grad, shape, LAYS[n % LAYS.len()]);
                let mut du = Guarded::<B, T>::new(backend, shape);
                backend
                    .sign_backward_into(input.view(), device_shift(), pull, grad.view(), du.view())
                    .unwrap();
                assert_same(&du.take(backend), &expected);
            }
        }
    }
}

#[test]
fn sign_and_its_backward_match_the_oracle_with_and_without_shift() {
    on_each_backend_and_type!(sign_equals_the_oracle);
}

/// The signs of one row.
fn sign<B: Backend>(backend: &B, u: &[f32], shift: Option<&[f32]>) -> Vec<f32> {
    let shape = (1, u.len());
    let u = Input::new(backend, u, shape, Lay::Dense);
    let shift = shift.map(|t| Input::new(backend, t, shape, Lay::Dense));
    let shift = shift.as_ref().map(|t| t.view().into_data());
    backend.download(&backend.sign_forward(u.view(), shift).unwrap()).unwrap()
}

fn zeros_and_nan_by_hand<B: Backend>(backend: &B) {
    let u = [0.0f32, -0.0, f32::NAN, f32::from_bits(1), f32::INFINITY, f32::NEG_INFINITY];
    assert_eq!(sign(backend, &u, None), [-1.0, -1.0, -1.0, 1.0, 1.0, -1.0]);
    assert_eq!(sign(backend, &u, Some(&[f32::NAN; 6])), [-1.0; 6]);
}

#[test]
fn sign_of_zeros_and_nan_is_minus_one() {
    on_each_backend!(zeros_and_nan_by_hand);
}

fn shift_by_hand<B: Backend>(backend: &B) {
    // u + t rounds to 0 in f32, but u > -t holds.
    let (u, t) = ([1.0f32 + f32::EPSILON], [-1.0f32]);
    assert_eq!(sign(backend, &u, Some(&t)), [1.0]);
}

#[test]
fn sign_with_a_shift_does_not_round_the_sum() {
    on_each_backend!(shift_by_hand);
}

fn wrong_shapes<B: Backend>(backend: &B) {
    let u = Input::new(backend, &[1.0f32; 6], (2, 3), Lay::Dense);
    let shift = backend.upload(&[0.0f32; 2]).unwrap();
    let error = backend.sign_forward(u.view(), Some(B::slice(&shift))).err().unwrap();
    assert!(matches!(error, Error::Length { expected: 3, got: 2, .. }), "{error}");
    let mut grad = Guarded::of(backend, &[0.0f32; 6], (3, 2));
    let error = backend.sign_backward_in_place(u.view(), None, 1.0, grad.view()).unwrap_err();
    assert!(matches!(error, Error::Shape { .. }), "{error}");
    let mut grad = Guarded::of(backend, &[0.5f32; 6], (2, 3));
    let error = backend
        .sign_backward_in_place(u.view(), None, Gamma::new(f64::NAN), grad.view())
        .unwrap_err();
    assert!(matches!(error, Error::Parameter { name: "gamma", .. }), "{error}");
    assert_eq!(grad.take(backend), [0.5; 6]);
    backend.sign_backward_in_place(u.view(), None, 6.0, grad.view()).unwrap();
    assert_eq!(grad.take(backend), [0.5; 6], "no pull where U is already B");
}

#[test]
fn sign_refuses_wrong_shapes() {
    on_each_backend!(wrong_shapes);
}

fn a_new_matrix_equals_the_oracle<T: Element>() {
    for (seed, shape) in (1..).zip(shapes()) {
        let lay = VIEWS[seed as usize % VIEWS.len()];
        let _context = Context::new::<T, Cpu>(&Cpu, (shape, lay));
        let u: Vec<T> = lay.fill(ALL[seed as usize % ALL.len()], shape, seed);
        let input = Input::new(&Cpu, &u, shape, lay);
        let b = ops::sign::forward(input.view(), None).unwrap();
        let expected = naive::sign(&u, shape.1, None);
        assert!(b.into_iter().map(T::to_f64).eq(expected));
    }
}

#[test]
fn sign_in_a_new_matrix_equals_the_oracle() {
    a_new_matrix_equals_the_oracle::<f32>();
    a_new_matrix_equals_the_oracle::<f64>();
    a_new_matrix_equals_the_oracle::<f16>();
    a_new_matrix_equals_the_oracle::<bf16>();
}
