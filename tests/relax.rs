//! Promises of `ops::relax`.

use crate::common::patterns::{FINITE, Pattern, Rng};
use crate::common::*;
use approx::assert_relative_eq;
use bihalf::ops::relax::Continuation;
use bihalf::{Backend, Element, Error, MatRef, ops};

/// Half a unit in the last place, relative, and as much again for the arithmetic before rounding:
/// `tanh` is within 2 ulps, the product it is of adds half of one, the test's own up to one in f64.
fn tolerance<T: Element>() -> f64 {
    match T::NAME {
        "f64" => 6.0 * 2f64.powi(-53),
        "f32" => 6.0 * 2f64.powi(-24),
        "f16" => 1.1 * 2f64.powi(-11),
        _ => 1.1 * 2f64.powi(-8),
    }
}

fn relax_equals_the_formula<T: Element + Guard, B: Backend>(backend: &B) {
    for (seed, shape) in (1..).zip(shapes()) {
        let lay = VIEWS[seed as usize % VIEWS.len()];
        for (n, pattern) in cases::<T, _>(backend, &FINITE, shape, seed) {
            let beta = [1.0, 0.25, 2.0, 1.0][n];
            let _context = Context::new::<T, B>(backend, (shape, pattern, seed, beta, lay));
            let u: Vec<T> = lay.fill(pattern, shape, seed);
            let grad: Vec<T> = Pattern::Random.fill(shape, seed + 1);
            let input = Input::new(backend, &u, shape, lay);

            let mut y = Guarded::<B, T>::new(backend, shape);
            backend.relax_forward_into(input.view(), beta, y.view()).unwrap();
            for (y, u) in y.take(backend).into_iter().zip(&u) {
                let expected = (beta * u.to_f64()).tanh();
                assert_relative_eq!(y.to_f64(), expected, max_relative = tolerance::<T>());
            }

            let mut du = Guarded::of(backend, &grad, shape);
            backend.relax_backward_in_place(input.view(), beta, du.view()).unwrap();
            let du = du.take(backend);
            let strided = Input::new(backend, &grad, shape, LAYS[n % LAYS.len()]);
            let mut into = Guarded::<B, T>::new(backend, shape);
            backend.relax_backward_into(input.view(), beta, strided.view(), into.view()).unwrap();
            assert_same(&into.take(backend), &du);
            for (du, (u, g)) in du.into_iter().zip(u.iter().zip(&grad)) {
                let y = (beta * u.to_f64()).tanh();
                let expected = g.to_f64() * beta * (1.0 - y * y);
                // 1 - y^2 cancels: its error is absolute, a few ulps of 1.
                let eps = tolerance::<T>() * (g.to_f64() * beta).abs();
                assert_relative_eq!(
                    du.to_f64(),
                    expected,
                    max_relative = tolerance::<T>(),
                    epsilon = eps + 2f64.powi(-24)
                );
            }
        }
    }
}

#[test]
fn relax_and_its_gradient_match_the_formula() {
    on_each_backend_and_type!(relax_equals_the_formula);
}

fn finite_differences<B: Backend>(backend: &B) {
    let (u, beta, h) = ([-1.5f64, -0.1, 0.0, 0.7, 2.0], 1.7, 1e-6);
    let input = Input::new(backend, &u, (1, 5), Lay::Dense);
    let mut du = Guarded::of(backend, &[1.0; 5], (1, 5));
    backend.relax_backward_in_place(input.view(), beta, du.view()).unwrap();
    let at = |step: f64| {
        let moved = Input::new(backend, &u.map(|u| u + step), (1, 5), Lay::Dense);
        backend.download(&backend.relax_forward(moved.view(), beta).unwrap()).unwrap()
    };
    for ((du, up), down) in du.take(backend).into_iter().zip(at(h)).zip(at(-h)) {
        assert_relative_eq!(du, (up - down) / (2.0 * h), max_relative = 1e-8);
    }
}

#[test]
fn relax_gradient_matches_finite_differences() {
    on_each_backend!(finite_differences);
}

fn special_values_by_hand<B: Backend>(backend: &B) {
    let u = [0.0f32, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
    let u = Input::new(backend, &u, (1, 5), Lay::Dense);
    let y = backend.download(&backend.relax_forward(u.view(), 3.0).unwrap()).unwrap();
    assert_eq!(
        y[..4].iter().map(|y| y.to_bits()).collect::<Vec<_>>(),
        [0f32.to_bits(), (-0f32).to_bits(), 1f32.to_bits(), (-1f32).to_bits()]
    );
    assert!(y[4].is_nan());
    let mut grad = Guarded::<B, f32>::of(backend, &[2.0; 5], (1, 5));
    backend.relax_backward_in_place(u.view(), 3.0, grad.view()).unwrap();
    let du = grad.take(backend);
    assert_eq!(du[..4], [6.0, 6.0, 0.0, 0.0]);
    assert!(du[4].is_nan());
}

#[test]
fn special_values() {
    on_each_backend!(special_values_by_hand);
}

fn wrong_beta<B: Backend>(backend: &B) {
    let u = Input::new(backend, &[1.0f32], (1, 1), Lay::Dense);
    let mut grad = Guarded::of(backend, &[1.0f32], (1, 1));
    for beta in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let error = backend.relax_forward(u.view(), beta).err().unwrap();
        assert!(matches!(error, Error::Parameter { name: "beta", .. }), "{error}");
        let error = backend.relax_backward_in_place(u.view(), beta, grad.view()).unwrap_err();
        assert!(matches!(error, Error::Parameter { name: "beta", .. }), "{error}");
    }
    assert_eq!(grad.take(backend), [1.0]);
    let mut grad = Guarded::<B, f32>::new(backend, (1, 2));
    let error = backend.relax_backward_in_place(u.view(), 1.0, grad.view()).unwrap_err();
    assert!(matches!(error, Error::Shape { .. }), "{error}");
    grad.assert_untouched(backend);
}

#[test]
fn relax_beta_must_be_finite_and_positive() {
    on_each_backend!(wrong_beta);
}

#[test]
fn continuation_starts_at_its_initial_value_and_never_falls() {
    let schedule = Continuation::default();
    assert_eq!(schedule.beta(0), 1.0);
    assert_eq!(schedule.beta(199), 1.0);
    assert_relative_eq!(schedule.beta(400), 3f64.sqrt());
    let betas: Vec<f64> = (0..2000).map(|step| schedule.beta(step)).collect();
    assert!(betas.is_sorted());
    assert_eq!(Continuation { every: 0, ..schedule }.beta(1), 1.005f64.sqrt());
}

/// Bits of `f32` numbers that lie far enough apart for a test, all of them if it may take long.
fn some_floats() -> impl Iterator<Item = f32> {
    let step =
        if std::env::var("BIHALF_TEST").is_ok_and(|which| which == "long") { 1 } else { 499 };
    (0..=u32::MAX).step_by(step).map(f32::from_bits).filter(|x| !x.is_nan())
}

fn tanh<T: Element>(u: &[T]) -> Vec<T> {
    ops::relax::forward(MatRef::new(u, 1, u.len()).unwrap(), 1.0).unwrap()
}

/// Units in the last place of `expected` that a value is off.
fn ulps(value: f64, expected: f64, digits: u32) -> f64 {
    let exponent = expected.abs().log2().floor().max(-126.0);
    (value - expected).abs() / 2f64.powf(exponent + 1.0 - f64::from(digits))
}

#[test]
fn tanh_of_f32_is_within_two_ulps() {
    let u: Vec<f32> = some_floats().collect();
    for u in u.chunks(1 << 20) {
        for (y, u) in tanh(u).into_iter().zip(u) {
            let expected = f64::from(*u).tanh();
            let off = ulps(y.into(), expected, f32::MANTISSA_DIGITS);
            assert!(off <= 2.0 && y.abs() <= 1.0, "tanh {u:e} = {y:e}, {off} ulps off");
        }
    }
}

/// The platform's function is off by as much as an ulp itself.
#[test]
fn tanh_of_f64_is_within_three_ulps() {
    let mut rng = Rng::new(3);
    let magnitudes = (0..200_000).map(|n| match n % 3 {
        0 => rng.uniform() * 0.4,
        1 => rng.uniform() * 22.0,
        _ => 2f64.powf(rng.uniform() * 35.0 - 30.0),
    });
    let u: Vec<f64> = magnitudes.flat_map(|u| [u, -u]).collect();
    for (y, u) in tanh(&u).into_iter().zip(&u) {
        let off = ulps(y, u.tanh(), f64::MANTISSA_DIGITS);
        assert!(off <= 4.0 && y.abs() <= 1.0, "tanh {u:e} = {y:e}, {off} ulps off");
    }
}

#[test]
fn the_largest_beta_leaves_zeros_and_the_least_numbers() {
    let u = [0.0f32, -0.0, 1e-40];
    let y = ops::relax::forward(MatRef::new(&u, 1, 3).unwrap(), f32::MAX.into()).unwrap();
    assert_eq!(y[..2].iter().map(|y| y.to_bits()).collect::<Vec<_>>(), [0, 1 << 31]);
    let expected = (f64::from(f32::MAX) * f64::from(u[2])).tanh();
    assert_relative_eq!(f64::from(y[2]), expected, max_relative = tolerance::<f32>());
}

/// Of all machines and instruction sets: [`isa`](crate::isa) runs this on each that is there.
#[test]
fn relax_gives_these_very_bits() {
    let fold = |bits: &mut dyn Iterator<Item = u64>| {
        bits.fold(0u64, |sum, bits| sum.rotate_left(5).wrapping_mul(0x2545_f491_4f6c_dd1d) ^ bits)
    };
    let u = (0..=u32::MAX).step_by(4099).map(f32::from_bits);
    let u: Vec<f32> = u.filter(|u| !u.is_nan()).collect();
    let wide: Vec<f64> = u.iter().map(|&u| f64::from(u) * 0.123_456_789_012_345_67).collect();
    let matrix = MatRef::new(&u, 1, u.len()).unwrap();
    let du = ops::relax::backward(matrix, 1.5, matrix).unwrap();
    let sums = [
        fold(&mut tanh(&u).iter().map(|y| y.to_bits().into())),
        fold(&mut tanh(&wide).iter().map(|y| y.to_bits())),
        fold(&mut du.iter().filter(|du| !du.is_nan()).map(|du| du.to_bits().into())),
    ];
    let expected = [0xebdc_ee74_ae14_538c, 0x1fe5_a547_92ef_95e9, 0x376c_85bf_c468_0095];
    assert_eq!(sums, expected, "{sums:#x?}");
}
