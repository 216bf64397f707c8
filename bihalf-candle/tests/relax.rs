//! The relaxation `tanh(beta * u)` as a candle op.

mod common;

use bihalf_candle::BihalfExt;
use candle_core::{DType, Result};
use common::*;

/// candle's own ops have the same values and gradient, in two steps.
#[test]
fn values_and_gradient_equal_those_of_scale_and_tanh() -> Result<()> {
    on_each_device(|device| {
        for beta in [0.25, 1.0, 4.0] {
            let u = var(9, 5, 0, DType::F64, device)?;
            let weight = values(9, 5, 1, DType::F64, device)?;
            let (op, own) = (u.tanh_relax(beta)?, (u.as_tensor() * beta)?.tanh()?);
            assert_close(&rows(&op)?, &rows(&own)?, 1e-14, "values");
            let (op, own) = (op.mul(&weight)?.sum_all()?, own.mul(&weight)?.sum_all()?);
            let (op, own) = (op.backward()?, own.backward()?);
            let (op, own) = (rows(op.get(&u).unwrap())?, rows(own.get(&u).unwrap())?);
            assert_close(&op, &own, 1e-14, &format!("gradient, beta {beta}"));
        }
        Ok(())
    })
}

#[test]
fn values_and_gradient_are_the_plain_formula_for_every_dtype_and_size() -> Result<()> {
    on_each_device(|device| {
        let beta = 2.0;
        for (dtype, tolerance) in DTYPES {
            for m in row_counts(device) {
                let what = format!("{dtype:?}, {m} rows");
                let u = var(m, 3, 0, dtype, device)?;
                let weight = values(m, 3, 1, dtype, device)?;
                let b = u.tanh_relax(beta)?;
                assert_eq!((b.dtype(), b.dims()), (dtype, u.dims()));
                let tanh = zip_with(&rows(&u)?, &rows(&u)?, |u, _| (beta * u).tanh());
                assert_close(&rows(&b)?, &tanh, tolerance, &what);
                if m == 0 {
                    continue;
                }
                let grads = b.mul(&weight)?.sum_all()?.backward()?;
                let expected =
                    zip_with(&rows(&weight)?, &tanh, |grad, t| grad * beta * (1.0 - t * t));
                assert_close(&rows(grads.get(&u).unwrap())?, &expected, 2.0 * tolerance, &what);
            }
        }
        Ok(())
    })
}

#[test]
fn strided_views_equal_their_contiguous_copies() -> Result<()> {
    on_each_device(|device| assert_views_equal_their_copies(device, |u| u.tanh_relax(3.0)))
}

#[test]
fn gradient_through_strided_views_equals_that_through_copies() -> Result<()> {
    on_each_device(|device| {
        assert_gradient_through_views_equals_that_through_copies(device, |u| u.tanh_relax(2.0))
    })
}

#[test]
fn other_ranks_and_dtypes_are_errors_that_say_so() -> Result<()> {
    on_each_device(|device| {
        assert_refuses_other_ranks_and_dtypes(device, "tanh_relax", |u| u.tanh_relax(1.0))
    })
}
