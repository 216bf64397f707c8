//! Sign with a straight-through gradient as a candle op.

mod common;

use bihalf_candle::BihalfExt;
use candle_core::{DType, Device, Result, Tensor};
use common::*;

fn plain_forward(u: &[Vec<f64>]) -> Vec<Vec<f64>> {
    zip_with(u, u, |u, _| if u > 0.0 { 1.0 } else { -1.0 })
}

#[test]
fn values_and_gradient_are_the_plain_formula_for_every_dtype_and_size() -> Result<()> {
    let gamma = 0.2;
    for (dtype, tolerance) in DTYPES {
        for m in ROWS {
            let what = format!("{dtype:?}, {m} rows");
            let u = var(m, 3, 0, dtype)?;
            let weight = values(m, 3, 1, dtype)?;
            let b = u.sign_ste(gamma)?;
            assert_eq!((b.dtype(), b.dims()), (dtype, u.dims()));
            assert_eq!(rows(&b)?, plain_forward(&rows(&u)?), "{what}");
            if m == 0 {
                continue;
            }
            let grads = b.mul(&weight)?.sum_all()?.backward()?;
            let pull = zip_with(&rows(&u)?, &rows(&b)?, |u, b| gamma / (m * 3) as f64 * (u - b));
            let expected = zip_with(&rows(&weight)?, &pull, |grad, pull| grad + pull);
            assert_close(&rows(grads.get(&u).unwrap())?, &expected, tolerance, &what);
        }
    }
    Ok(())
}

#[test]
fn zeros_and_nan_are_minus_one() -> Result<()> {
    let u = Tensor::new(&[[0.0f32, -0.0, f32::NAN, f32::MIN_POSITIVE]], &Device::Cpu)?;
    assert_eq!(rows(&u.sign_ste(1.0)?)?, [[-1.0, -1.0, -1.0, 1.0]]);
    Ok(())
}

#[test]
fn gradient_equals_that_of_the_auxiliary_loss() -> Result<()> {
    let (gamma, weight) = (0.7, values(9, 4, 1, DType::F64)?);
    let task = |b: &Tensor| (b.mul(&weight)? + b.sqr()?)?.tanh()?.sum_all();
    let u = var(9, 4, 0, DType::F64)?;
    let with_op = task(&u.sign_ste(gamma)?)?.backward()?;

    let b = u.detach().sign_ste(0.0)?;
    let through = (u.as_tensor() + (&b - u.detach())?)?;
    let pull = ((u.as_tensor() - &b)?.sqr()?.sum_all()? * (gamma / 72.0))?;
    let with_aux = (task(&through)? + pull)?.backward()?;

    let grad = |grads: &candle_core::backprop::GradStore| rows(grads.get(&u).unwrap());
    assert_close(&grad(&with_op)?, &grad(&with_aux)?, 1e-14, "op against auxiliary loss");
    Ok(())
}

#[test]
fn strided_views_equal_their_contiguous_copies() -> Result<()> {
    for (dtype, _) in DTYPES {
        for (name, view) in views(dtype)? {
            let expected = view.force_contiguous()?.sign_ste(1.0)?;
            assert_eq!(rows(&view.sign_ste(1.0)?)?, rows(&expected)?, "{dtype:?}, {name}");
        }
    }
    Ok(())
}

#[test]
fn gradient_through_strided_views_equals_that_through_copies() -> Result<()> {
    let u = var(6, 9, 0, DType::F64)?;
    let weight = values(4, 7, 1, DType::F64)?;
    let grad = |copy: bool| -> Result<Vec<Vec<f64>>> {
        let view = u.narrow(0, 1, 4)?.t()?.narrow(0, 2, 7)?;
        let view = if copy { view.force_contiguous()? } else { view };
        let grads = view.sign_ste(2.0)?.t()?.mul(&weight)?.sum_all()?.backward()?;
        rows(grads.get(&u).unwrap())
    };
    assert_eq!(grad(false)?, grad(true)?);
    assert!(grad(false)?.concat().iter().any(|&grad| grad != 0.0));
    Ok(())
}

#[test]
fn other_ranks_and_dtypes_are_errors_that_say_so() {
    assert_refuses_other_ranks_and_dtypes("sign_ste", |u| u.sign_ste(1.0));
}
