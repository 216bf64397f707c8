//! Sign with a straight-through gradient as a candle op.

mod common;

use bihalf_candle::BihalfExt;
use candle_core::{Result, Tensor};
use common::*;

fn plain_forward(u: &[Vec<f64>]) -> Vec<Vec<f64>> {
    zip_with(u, u, |u, _| if u > 0.0 { 1.0 } else { -1.0 })
}

#[test]
fn values_and_gradient_are_the_plain_formula_for_every_dtype_and_size() -> Result<()> {
    on_each_device(|device| {
        let gamma = 0.2;
        for (dtype, tolerance) in DTYPES {
            for m in row_counts(device) {
                let what = format!("{dtype:?}, {m} rows");
                let u = var(m, 3, 0, dtype, device)?;
                let weight = values(m, 3, 1, dtype, device)?;
                let b = u.sign_ste(gamma)?;
                assert_eq!((b.dtype(), b.dims()), (dtype, u.dims()));
                assert_eq!(rows(&b)?, plain_forward(&rows(&u)?), "{what}");
                if m == 0 {
                    continue;
                }
                let grads = b.mul(&weight)?.sum_all()?.backward()?;
                let pull =
                    zip_with(&rows(&u)?, &rows(&b)?, |u, b| gamma / (m * 3) as f64 * (u - b));
                let expected = zip_with(&rows(&weight)?, &pull, |grad, pull| grad + pull);
                assert_close(&rows(grads.get(&u).unwrap())?, &expected, tolerance, &what);
            }
        }
        Ok(())
    })
}

#[test]
fn zeros_and_nan_are_minus_one() -> Result<()> {
    on_each_device(|device| {
        let u = Tensor::new(&[[0.0f32, -0.0, f32::NAN, f32::MIN_POSITIVE]], device)?;
        assert_eq!(rows(&u.sign_ste(1.0)?)?, [[-1.0, -1.0, -1.0, 1.0]]);
        Ok(())
    })
}

#[test]
fn gradient_equals_that_of_the_auxiliary_loss() -> Result<()> {
    on_each_device(|device| {
        assert_gradient_equals_that_of_the_auxiliary_loss(device, 9, |u, gamma| u.sign_ste(gamma))
    })
}

#[test]
fn strided_views_equal_their_contiguous_copies() -> Result<()> {
    on_each_device(|device| assert_views_equal_their_copies(device, |u| u.sign_ste(1.0)))
}

#[test]
fn gradient_through_strided_views_equals_that_through_copies() -> Result<()> {
    on_each_device(|device| {
        assert_gradient_through_views_equals_that_through_copies(device, |u| u.sign_ste(2.0))
    })
}

#[test]
fn other_ranks_and_dtypes_are_errors_that_say_so() -> Result<()> {
    on_each_device(|device| {
        assert_refuses_other_ranks_and_dtypes(device, "sign_ste", |u| u.sign_ste(1.0))
    })
}
