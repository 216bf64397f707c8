//! Promises at the ends of what can be asked: sizes that fit in no memory, empty matrices of huge
//! sides, numbers at the ends of their type's range.

use crate::common::*;
use approx::assert_relative_eq;
use bihalf::half::f16;
use bihalf::ops::retrieval::{Labelled, Labels, Options, evaluate};
use bihalf::ops::search;
use bihalf::ops::stats::{self, Histogram};
use bihalf::ops::threshold::{self, Threshold};
use bihalf::ops::{self, loss, relax, sign};
use bihalf::{Backend, Codes, Element, Error, Gamma, MatMut, MatRef, Ones, Order, Workspace};
use std::fmt::Debug;

#[track_caller]
fn assert_too_large<R: Debug>(what: &str, result: bihalf::Result<R>) {
    match result {
        Err(Error::TooLarge { .. } | Error::TooManyRows { .. }) => {}
        other => panic!("{what}: {other:?}"),
    }
}

/// A broadcast view of one element.
fn huge(rows: usize, cols: usize) -> MatRef<'static, f32> {
    MatRef::with_strides(&[1.0], rows, cols, 0, 0).unwrap()
}

/// Codes of no bits, or none of many bits: their words take no memory.
fn no_words(rows: usize, bits: usize) -> Codes {
    Codes::zeros(rows, bits).unwrap()
}

#[test]
fn what_fits_in_no_memory_is_an_error_in_every_op() {
    let many = usize::MAX / 64;
    assert_too_large("codes", Codes::zeros(many, 64));
    assert!(matches!(Codes::from_bytes(&[], many, 64), Err(Error::Length { .. })));
    assert_too_large("workspace", Workspace::for_shape::<f32>(1 << 31, 1 << 32));
    assert_too_large("workspace", Workspace::for_shape::<f32>(1 << 40, 1 << 20));
    assert_too_large("threshold", Threshold::new(usize::MAX, 0.5));
    assert_too_large("histogram", Histogram::new(1, 0.0, 1.0, 1 << 52));
    assert_too_large("histogram", Histogram::new(usize::MAX, 0.0, 1.0, 2));
    assert_too_large("a host vector", bihalf::Cpu.zeros::<f64>(usize::MAX / 8));

    let u = huge(1 << 31, 1 << 30); // rows that most ops can number
    let tall = huge(1 << 40, 1 << 20);
    for u in [u, tall] {
        assert_too_large("bihalf", ops::bi_half::forward(u, Ones::Half));
        assert_too_large("bihalf", ops::bi_half::forward_packed(u, Ones::Half));
        assert_too_large("sign", sign::forward(u, None));
        assert_too_large("sign", sign::forward_packed(u, None));
        assert_too_large("codes", Codes::from_dense(u));
        assert_too_large("relax", relax::forward(u, 1.0));
        assert_too_large("relax", relax::backward(u, 1.0, u));
        assert_too_large("rank", ops::rank::rank(u, Order::Ascending));
        assert_too_large("argsort", ops::rank::argsort(u, Order::Ascending));
        assert_too_large("sign", sign::backward(u, None, 0.0, u));
        let b = u;
        assert_too_large("backward", ops::bi_half::backward(u, b, 0.0, u));
        assert_too_large("elements", u.to_vec());
    }
    let columns = huge(2, usize::MAX / 4);
    assert_too_large("medians", threshold::median(columns));
    assert_too_large("costs", stats::transport_cost(columns));
    assert_too_large("penalty", loss::entropy_penalty_with_grad(columns, 1.0));
    assert_too_large("histograms", stats::histogram(columns, 0.0, 1.0, 2));

    let bits = no_words(0, 1 << 60);
    assert_too_large("ones", stats::ones(bits.as_ref()));
    assert_too_large("p_plus", stats::p_plus(bits.as_ref()));
    assert_too_large("entropy", stats::bit_entropy(bits.as_ref()));
    let query = no_words(1, 0);
    let queries = Labelled::new(bits.as_ref(), Labels::Single(&[])).unwrap();
    assert_too_large("curve", evaluate(queries, queries, &Options::default()));
    let items = no_words(u32::MAX as usize, 0);
    let queries = no_words(u32::MAX as usize, 0);
    assert_too_large("distances", search::distances(queries.as_ref(), items.as_ref()));
    assert_too_large("ranking", search::rank(queries.as_ref(), items.as_ref()));
    let items = no_words(1 << 40, 0);
    assert_too_large("ranking", search::rank(query.as_ref(), items.as_ref()));
}

/// They return at once, whatever their sides.
#[test]
fn empty_matrices_of_huge_sides_take_no_time_and_no_memory() {
    for (rows, cols) in [(0, usize::MAX), (i32::MAX as usize, 0), (0, 0)] {
        let u = MatRef::<f32>::with_strides(&[], rows, cols, 0, 0).unwrap();
        let mut ranks = [0u32; 0];
        let mut ws = Workspace::new();
        let out = MatMut::new(&mut ranks, rows, cols).unwrap();
        ops::rank::rank_into(u, Order::Ascending, out, &mut ws).unwrap();
        let out = MatMut::new(&mut ranks, rows, cols).unwrap();
        ops::rank::argsort_into(u, Order::Descending, out, &mut ws).unwrap();
        assert_eq!(ops::bi_half::forward(u, Ones::Half).unwrap(), []);
        assert_eq!(ops::bi_half::forward_packed(u, Ones::Half).unwrap().as_bytes(), []);
        assert_eq!(sign::forward(u, None).unwrap(), []);
        assert_eq!(relax::forward(u, 1.0).unwrap(), []);
        let b = u;
        assert_eq!(ops::bi_half::backward(u, b, 1.0, u).unwrap(), []);
        assert_eq!(loss::entropy_penalty(u, 1.0).unwrap(), 0.0);
        if cols == 0 {
            assert_eq!(stats::transport_cost(u).unwrap(), []);
            assert_eq!(stats::histogram(u, 0.0, 1.0, 2).unwrap().bins(), 2);
        }
        assert_eq!(Workspace::for_shape::<f64>(rows, cols).unwrap().bytes(), 0);
        assert_eq!(ws.bytes(), 0);
    }
    let codes = no_words(1 << 62, 0);
    assert_eq!(stats::distinct(codes.as_ref()).unwrap(), 1);
    assert_eq!(stats::p_plus(codes.as_ref()).unwrap(), []);
    assert_eq!(codes.to_bytes().unwrap(), []);
    assert_eq!(codes.to_dense::<f32>().unwrap(), []);
    assert_eq!(Codes::from_bytes(&[], 1 << 62, 0).unwrap(), codes);
    assert_eq!(stats::mean_abs_correlation(no_words(0, 1 << 60).as_ref()).unwrap(), None);
}

/// Vectors whose squared norms leave the range of `f64`, beside the same at the usual scale.
fn losses_at_any_scale<B: Backend>(backend: &B) {
    let x = [3.0, -1.0, 0.5, 2.0, 1.0, 1.0, -4.0, 0.25];
    let b = [1.0, 0.5, -1.0, 2.0, -3.0, 1.0, 1.0, 1.0];
    let shape = (2, 4);
    let loss_of = |x: &[f64], b: &[f64]| {
        let (x, b) =
            (Input::new(backend, x, shape, Lay::Dense), Input::new(backend, b, shape, Lay::Padded));
        let mut ws = backend.workspace::<f64>(2, 4).unwrap();
        let mut value = guarded_row::<B, f64>(backend, 1);
        let mut grad = Guarded::<B, f64>::new(backend, shape);
        let (value_view, grad_view) = (value.vector(), grad.view());
        backend.cosine_with_grad_into(x.view(), b.view(), value_view, grad_view, &mut ws).unwrap();
        (value.take(backend)[0], grad.take(backend))
    };
    let (value, grad) = loss_of(&x, &b);
    assert!(value > 0.01, "a loss worth checking");
    let scaled = |v: &[f64; 8], upper: f64, lower: f64| -> Vec<f64> {
        v.iter().enumerate().map(|(n, v)| v * if n < 4 { upper } else { lower }).collect()
    };
    let scales = [
        (1e140, 1e140),
        (1e-140, 1e-140),
        (1e300, 1e300),
        (1e-300, 1e-300),
        (1e155, 1e-162),
        (1.0, 1e200),
        (1e-310, 1e307),
    ];
    for (upper, lower) in scales {
        // Of denormal numbers fewer digits are left.
        let tolerance = if upper < 1e-307 { 1e-12 } else { 1e-14 };
        let (of_x, _) = loss_of(&scaled(&x, upper, lower), &b);
        assert_relative_eq!(of_x, value, max_relative = tolerance);
        let (of_b, got) = loss_of(&x, &scaled(&b, upper, lower));
        assert_relative_eq!(of_b, value, max_relative = tolerance);
        for (n, (got, usual)) in got.into_iter().zip(&grad).enumerate() {
            let expected = usual / if n < 4 { upper } else { lower };
            assert_relative_eq!(got, expected, max_relative = 1e-9);
        }
    }
}

#[test]
fn cosines_neither_overflow_nor_underflow() {
    on_each_backend!(losses_at_any_scale);
}

fn refuses_what_the_type_cannot_hold<T: Element + Guard, B: Backend>(backend: &B) {
    let double = T::NAME == "f64";
    let one = [T::from_f64(1.0)];
    let u = Input::new(backend, &one, (1, 1), Lay::Dense);
    let mut out = Guarded::<B, T>::new(backend, (1, 1));
    for beta in [1e39, 1e-60] {
        let result = backend.relax_forward_into(u.view(), beta, out.view());
        assert_eq!(result.is_ok(), double, "{beta}: {result:?}");
        let result = backend.relax_backward_into(u.view(), beta, u.view(), out.view());
        assert_eq!(result.is_ok(), double, "{beta}: {result:?}");
    }
    for gamma in [2e39.into(), (-2e39).into(), Gamma::new(1.0).with_divisor(1e-300)] {
        let b = u.view();
        let result = backend.bihalf_backward_into(u.view(), b, gamma, u.view(), out.view());
        assert_eq!(result.is_ok(), double, "{gamma:?}: {result:?}");
        let result = backend.sign_backward_into(u.view(), None, gamma, u.view(), out.view());
        assert_eq!(result.is_ok(), double, "{gamma:?}: {result:?}");
    }
}

#[test]
fn factors_that_the_arithmetic_type_cannot_hold_are_errors() {
    on_each_backend_and_type!(refuses_what_the_type_cannot_hold);
}

#[test]
fn a_shift_that_the_type_cannot_hold_is_an_error() {
    let mut threshold = Threshold::new(2, 0.5).unwrap();
    let batch = MatRef::new(&[1.0f64, 1e5], 1, 2).unwrap();
    threshold.update(batch, &mut Workspace::new()).unwrap();
    let error = threshold.shift::<f16>().unwrap_err();
    assert!(error.to_string().contains("100000"), "{error}");
    assert_eq!(threshold.shift::<f32>().unwrap(), [-1.0, -1e5]);
}

#[test]
fn fractions_of_many_rows_are_not_off_by_one() {
    for (fraction, rows, ones) in [
        (0.29, 100, 29),
        (0.29, 100_000_000, 29_000_000),
        (0.57, 1_000_000_000, 570_000_000),
        (0.07, 4_000_000_000, 280_000_000),
        (1.0 / 3.0, 3_000_000_000, 1_000_000_000),
        (0.5, 7, 3),
        (0.333, 10, 3),
        (0.999_999_9, 1_000_000, 999_999),
    ] {
        assert_eq!(Ones::Fraction(fraction).count(rows).unwrap(), ones, "{fraction} of {rows}");
    }
}

#[test]
fn bins_that_f64_cannot_tell_apart_are_refused() {
    let error = Histogram::new(1, 1e16, 1e16 + 4.0, 100).unwrap_err();
    assert!(matches!(error, Error::Parameter { name: "bins", .. }), "{error}");
    let h = Histogram::new(1, 1e16, 1e16 + 4.0, 2).unwrap();
    assert_eq!([h.edge(0), h.edge(1), h.edge(2)], [1e16, 1e16 + 2.0, 1e16 + 4.0]);
    Histogram::new(1, -1.0, 1.0, 1 << 20).unwrap();
}
