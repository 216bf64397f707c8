//! The cosine-preserving loss as a candle op.

mod common;

use bihalf_candle::{BihalfExt, cosine_loss};
use candle_core::{DType, Result, Var};
use common::*;

/// The loss in plain loops; a zero row has the cosine 0.
fn plain_loss(x: &[Vec<f64>], b: &[Vec<f64>]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let cosine = |a: &[f64], b: &[f64]| {
        let norms = (dot(a, a) * dot(b, b)).sqrt();
        if norms == 0.0 { 0.0 } else { dot(a, b) / norms }
    };
    let half = x.len() / 2;
    let error = |p: usize| cosine(&x[p], &x[p + half]) - cosine(&b[p], &b[p + half]);
    (0..half).map(|p| error(p).powi(2)).sum::<f64>() / half.max(1) as f64
}

#[test]
fn loss_is_the_plain_formula_for_every_pair_of_dtypes_and_size() -> Result<()> {
    on_each_device(|device| {
        for (x_dtype, _) in DTYPES {
            for (b_dtype, tolerance) in DTYPES {
                for m in row_counts(device) {
                    let (x, b) =
                        (values(m, 5, 0, x_dtype, device)?, values(m, 3, 1, b_dtype, device)?);
                    let loss = cosine_loss(&x, &b)?;
                    assert_eq!((loss.dtype(), loss.rank()), (b_dtype, 0));
                    let got = loss.to_dtype(DType::F64)?.to_scalar::<f64>()?;
                    let expected = plain_loss(&rows(&x)?, &rows(&b)?);
                    let close = (got - expected).abs() <= tolerance;
                    assert!(close, "{x_dtype:?}, {b_dtype:?}, {m} rows: {got}, not {expected}");
                }
            }
        }
        Ok(())
    })
}

#[test]
fn gradient_agrees_with_finite_differences() -> Result<()> {
    on_each_device(|device| {
        for m in [2, 6, 7] {
            let x = values(m, 5, 0, DType::F64, device)?;
            let b = var(m, 3, 1, DType::F64, device)?;
            let grads = (cosine_loss(&x, &b)? * 2.5)?.backward()?;
            let got = rows(grads.get(&b).unwrap())?;
            let (plain_x, plain_b) = (rows(&x)?, rows(&b)?);
            let slope = |i: usize, j: usize| {
                let moved = |step: f64| {
                    let mut b = plain_b.clone();
                    b[i][j] += step;
                    plain_loss(&plain_x, &b)
                };
                2.5 * (moved(1e-5) - moved(-1e-5)) / 2e-5
            };
            let expected: Vec<Vec<f64>> =
                (0..m).map(|i| (0..3).map(|j| slope(i, j)).collect()).collect();
            assert_close(&got, &expected, 1e-8, &format!("{m} rows"));
        }
        Ok(())
    })
}

/// Why the op is there: candle's own division by the norm would give NaN.
#[test]
fn zero_rows_have_cosine_zero_and_gradient_zero() -> Result<()> {
    on_each_device(|device| {
        let x = values(4, 5, 0, DType::F64, device)?;
        let b = Var::new(&[[0.0, 0.0], [1.0, 2.0], [0.5, -1.0], [-1.0, 1.0]], device)?;
        let loss = cosine_loss(&x, &b)?;
        let expected = plain_loss(&rows(&x)?, &rows(&b)?);
        assert!((loss.to_scalar::<f64>()? - expected).abs() < 1e-15);
        let grads = loss.backward()?;
        let grad = rows(grads.get(&b).unwrap())?;
        assert_eq!((&grad[0], &grad[2]), (&vec![0.0; 2], &vec![0.0; 2])); // the pair of the zero row
        assert!(grad[1].iter().chain(&grad[3]).all(|&grad| grad != 0.0));
        Ok(())
    })
}

#[test]
fn last_row_of_an_odd_batch_has_gradient_zero() -> Result<()> {
    on_each_device(|device| {
        let b = var(5, 3, 1, DType::F64, device)?;
        let grads = cosine_loss(&values(5, 4, 0, DType::F64, device)?, &b)?.backward()?;
        let grad = rows(grads.get(&b).unwrap())?;
        assert_eq!(grad[4], [0.0; 3]);
        assert!(grad[..4].concat().iter().all(|&grad| grad != 0.0));
        Ok(())
    })
}

/// Unscaled, every part of this gradient is below half of f16's least positive value.
#[test]
fn half_precision_gradient_survives_until_the_loss_is_scaled() -> Result<()> {
    on_each_device(|device| {
        let (m, scale) = (512, 16384.0);
        let x = values(m, 8, 0, DType::F32, device)?;
        let wide = (values(m, 64, 1, DType::F32, device)?.bihalf(0.0)? * 16384.0)?;
        let slope = |dtype| -> Result<Vec<f64>> {
            let b = Var::from_tensor(&wide.to_dtype(dtype)?)?;
            let grads = (cosine_loss(&x, &b)?.to_dtype(DType::F32)? * scale)?.backward()?;
            Ok(rows(grads.get(&b).unwrap())?.concat())
        };
        let (half, single) = (slope(DType::F16)?, slope(DType::F32)?);
        let largest = single.iter().fold(0f64, |l, g| l.max(g.abs()));
        assert!(
            largest > 1e-4 && largest / scale < 2.9e-8,
            "{largest} is not what the test is for"
        );
        for (half, single) in half.iter().zip(&single) {
            assert!((half - single).abs() <= 1e-3 * single.abs() + 3e-8, "{half}, not {single}");
        }
        Ok(())
    })
}

#[test]
fn strided_views_equal_their_contiguous_copies() -> Result<()> {
    on_each_device(|device| {
        for (name, b) in views(DType::F64, device)? {
            let x = values(5, 7, 9, DType::F64, device)?.t()?;
            let (b_copy, x_copy) = (b.force_contiguous()?, x.force_contiguous()?);
            let (loss, expected) = (cosine_loss(&x, &b)?, cosine_loss(&x_copy, &b_copy)?);
            assert_eq!(loss.to_scalar::<f64>()?, expected.to_scalar::<f64>()?, "{name}");
        }
        Ok(())
    })
}

#[test]
fn gradient_through_a_strided_view_equals_that_through_a_copy() -> Result<()> {
    on_each_device(|device| {
        let x = values(7, 5, 1, DType::F64, device)?;
        let u = var(6, 9, 0, DType::F64, device)?;
        let grad = |copy: bool| -> Result<Vec<Vec<f64>>> {
            let view = u.narrow(0, 1, 4)?.t()?.narrow(0, 2, 7)?;
            let view = if copy { view.force_contiguous()? } else { view };
            rows(cosine_loss(&x, &view)?.backward()?.get(&u).unwrap())
        };
        assert_eq!(grad(false)?, grad(true)?);
        assert!(grad(false)?.concat().iter().any(|&grad| grad != 0.0));
        Ok(())
    })
}

/// Features that a net computes are no reason to stop: they count as constant.
#[test]
fn tracked_features_get_no_gradient() -> Result<()> {
    on_each_device(|device| {
        let (w, b) = (var(5, 5, 0, DType::F64, device)?, var(6, 3, 1, DType::F64, device)?);
        let x = values(6, 5, 2, DType::F64, device)?.matmul(&w)?;
        let grads = cosine_loss(&x, &b)?.backward()?;
        assert!(grads.get(&w).is_none() && grads.get(&b).is_some());
        Ok(())
    })
}

/// The paper's recipe in small: linear layer, Bi-half, cosine-preserving loss.
#[test]
fn gradient_reaches_a_layer_through_bihalf() -> Result<()> {
    on_each_device(|device| {
        let (x, w) = (values(16, 6, 0, DType::F32, device)?, var(6, 8, 1, DType::F32, device)?);
        let grads = cosine_loss(&x, &x.matmul(&w)?.bihalf(6.0)?)?.backward()?;
        assert!(rows(grads.get(&w).unwrap())?.concat().iter().all(|&g| g.is_finite() && g != 0.0));
        Ok(())
    })
}

#[test]
fn other_ranks_dtypes_and_row_counts_are_errors_that_say_so() -> Result<()> {
    on_each_device(|device| {
        let (x, b) = (values(2, 3, 0, DType::F32, device)?, values(2, 3, 1, DType::F32, device)?);
        assert_refuses_other_ranks_and_dtypes(device, "cosine_loss", |other| {
            cosine_loss(other, &b)
        })?;
        assert_refuses_other_ranks_and_dtypes(device, "cosine_loss", |other| {
            cosine_loss(&x, other)
        })?;
        let error = cosine_loss(&values(6, 3, 0, DType::F32, device)?, &b).unwrap_err().to_string();
        assert!(error.contains('6') && error.contains('2'), "{error}");
        Ok(())
    })
}
