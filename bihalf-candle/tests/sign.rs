//! Sign with a straight-through gradient as a candle op.

mod common;

use bihalf_candle::{BihalfExt, Gamma};
use candle_core::{DType, Result, Tensor};
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

/// The shift moves the threshold, not what gamma pulls; it may be a view, and gets no gradient.
#[test]
fn a_shift_is_added_to_what_is_cut_alone() -> Result<()> {
    on_each_device(|device| {
        for (dtype, tolerance) in DTYPES {
            let u = var(5, 3, 0, dtype, device)?;
            let weight = values(5, 3, 1, dtype, device)?;
            let shifts = var(4, 3, 2, dtype, device)?;
            let shift = shifts.narrow(0, 2, 1)?.squeeze(0)?;
            let b = u.sign_ste_with(Some(&shift), Gamma::new(0.6).with_divisor(3.0))?;
            let t = &rows(&shifts)?[2];
            let cut = |u: &[f64]| {
                u.iter().zip(t).map(|(u, t)| if *u > -t { 1.0 } else { -1.0 }).collect()
            };
            let expected: Vec<Vec<f64>> = rows(&u)?.iter().map(|u| cut(u)).collect();
            assert_eq!(rows(&b)?, expected, "{dtype:?}");

            let grads = b.mul(&weight)?.sum_all()?.backward()?;
            let pull = zip_with(&rows(&u)?, &expected, |u, b| 0.2 * (u - b));
            let expected = zip_with(&rows(&weight)?, &pull, |grad, pull| grad + pull);
            assert_close(
                &rows(grads.get(&u).unwrap())?,
                &expected,
                tolerance,
                &format!("{dtype:?}"),
            );
            assert!(grads.get(&shifts).is_none());
        }
        Ok(())
    })
}

#[test]
fn wrong_shifts_are_errors() -> Result<()> {
    on_each_device(|device| {
        let u = Tensor::zeros((4, 3), DType::F32, device)?;
        for (shift, said) in [
            (Tensor::zeros(4, DType::F32, device)?, "one number for each column"),
            (Tensor::zeros((1, 3), DType::F32, device)?, "one number for each column"),
            (Tensor::zeros(3, DType::F64, device)?, "convert it"),
        ] {
            let error = u.sign_ste_with(Some(&shift), 1.0).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
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
