//! Bi-half as a candle op: values, gradient, strides, dtypes, errors.

mod common;

use bihalf_candle::{BihalfExt, Gamma, Ones};
use candle_core::{DType, Device, Result, Tensor, Var};
use common::*;

/// +1 where fewer than `ones` values of the column come before, by value and then by row.
fn plain_forward(u: &[Vec<f64>], ones: usize) -> Vec<Vec<f64>> {
    let before = |i: usize, j: usize| {
        let comes_first = |r: &usize| u[*r][j] > u[i][j] || (u[*r][j] == u[i][j] && *r < i);
        (0..u.len()).filter(comes_first).count()
    };
    let sign = |i, j| if before(i, j) < ones { 1.0 } else { -1.0 };
    (0..u.len()).map(|i| (0..u[i].len()).map(|j| sign(i, j)).collect()).collect()
}

#[test]
fn forward_is_the_plain_formula_for_every_dtype_and_size() -> Result<()> {
    on_each_device(|device| {
        for (dtype, _) in DTYPES {
            for m in row_counts(device) {
                let u = values(m, 3, 0, dtype, device)?;
                let b = u.bihalf(1.0)?;
                assert_eq!((b.dtype(), b.dims()), (dtype, u.dims()));
                assert_eq!(rows(&b)?, plain_forward(&rows(&u)?, m / 2), "{dtype:?}, {m} rows");
            }
        }
        Ok(())
    })
}

#[test]
fn ties_go_to_lower_rows_and_odd_batches_have_one_plus_less() -> Result<()> {
    on_each_device(|device| {
        let b = Tensor::zeros((5, 1), DType::F32, device)?.bihalf(1.0)?;
        assert_eq!(rows(&b)?.concat(), [1.0, 1.0, -1.0, -1.0, -1.0]);
        Ok(())
    })
}

#[test]
fn gradient_is_the_plain_formula_for_every_dtype_and_size() -> Result<()> {
    on_each_device(|device| {
        let gamma = 6.0;
        for (dtype, tolerance) in DTYPES {
            for m in row_counts(device).filter(|&m| m > 0) {
                let u = var(m, 3, 0, dtype, device)?;
                let weight = values(m, 3, 1, dtype, device)?;
                let b = u.bihalf(gamma)?;
                let grads = b.mul(&weight)?.sum_all()?.backward()?;
                let pull =
                    zip_with(&rows(&u)?, &rows(&b)?, |u, b| gamma / (m * 3) as f64 * (u - b));
                let expected = zip_with(&rows(&weight)?, &pull, |grad, pull| grad + pull);
                let got = rows(grads.get(&u).unwrap())?;
                assert_close(&got, &expected, tolerance, &format!("{dtype:?}, {m} rows"));
            }
        }
        Ok(())
    })
}

#[test]
fn gradient_equals_that_of_the_auxiliary_loss() -> Result<()> {
    on_each_device(|device| {
        assert_gradient_equals_that_of_the_auxiliary_loss(device, 10, |u, gamma| u.bihalf(gamma))
    })
}

/// What the crate's page warns of: a scaled loss leaves the pull as it is.
#[test]
fn pull_is_not_scaled_with_the_loss() -> Result<()> {
    on_each_device(|device| {
        let u = var(6, 2, 0, DType::F64, device)?;
        let grad = |scale: f64| -> Result<Tensor> {
            let grads = (u.bihalf(3.0)?.sum_all()? * scale)?.backward()?;
            Ok(grads.get(&u).unwrap().clone())
        };
        let once = rows(&grad(1.0)?)?;
        assert!(once.concat().iter().all(|&grad| grad != 1.0), "the pull is 0");
        let expected = zip_with(&once, &once, |grad, _| grad - 1.0 + 1024.0);
        assert_close(&rows(&grad(1024.0)?)?, &expected, 1e-12, "scaled loss");
        Ok(())
    })
}

#[test]
fn strided_views_equal_their_contiguous_copies() -> Result<()> {
    on_each_device(|device| assert_views_equal_their_copies(device, |u| u.bihalf(1.0)))
}

/// Both `U` and the gradient that arrives are views here.
#[test]
fn gradient_through_strided_views_equals_that_through_copies() -> Result<()> {
    on_each_device(|device| {
        assert_gradient_through_views_equals_that_through_copies(device, |u| u.bihalf(2.0))
    })
}

#[test]
fn share_of_ones_and_divisor_of_the_pull_can_be_chosen() -> Result<()> {
    on_each_device(|device| {
        let u = var(8, 3, 0, DType::F64, device)?;
        for (ones, count) in [(Ones::Half, 4), (Ones::Count(3), 3), (Ones::Fraction(0.8), 6)] {
            let b = u.bihalf_with(ones, Gamma::new(6.0).with_divisor(100.0))?;
            assert_eq!(rows(&b)?, plain_forward(&rows(&u)?, count), "{ones:?}");
            let grads = b.sum_all()?.backward()?;
            let expected = zip_with(&rows(&u)?, &rows(&b)?, |u, b| 1.0 + 0.06 * (u - b));
            assert_close(&rows(grads.get(&u).unwrap())?, &expected, 1e-15, "divisor");
        }
        Ok(())
    })
}

#[test]
fn other_ranks_and_dtypes_are_errors_that_say_so() -> Result<()> {
    on_each_device(|device| {
        assert_refuses_other_ranks_and_dtypes(device, "bihalf", |u| u.bihalf(1.0))
    })
}

#[test]
fn more_ones_than_rows_is_an_error_with_both_numbers() -> Result<()> {
    on_each_device(|device| {
        let u = values(4, 2, 0, DType::F32, device)?;
        let error = u.bihalf_with(Ones::Count(9), Gamma::new(1.0)).unwrap_err().to_string();
        assert!(error.contains('9') && error.contains('4'), "{error}");
        Ok(())
    })
}

#[test]
fn infinite_gamma_is_an_error_of_the_backward_pass() -> Result<()> {
    on_each_device(|device| {
        let u = Var::new(&[[1f32, 2.0]], device)?;
        let error = u.bihalf(f64::INFINITY)?.sum_all()?.backward().unwrap_err().to_string();
        assert!(error.contains("gamma") && error.contains("inf"), "{error}");
        Ok(())
    })
}

/// A layer, Bi-half, a layer: the weight in front learns to give the target through the codes.
#[test]
fn small_net_learns_through_the_hash_layer() -> Result<()> {
    on_each_device(|device| {
        let x = values(32, 6, 0, DType::F32, device)?;
        let target = x.narrow(1, 2, 1)?.bihalf(0.0)?;
        let (first, second) =
            (var(6, 4, 1, DType::F32, device)?, var(4, 1, 2, DType::F32, device)?);
        let loss = || -> Result<Tensor> {
            let b = x.matmul(&first)?.bihalf(1.0)?;
            (b.matmul(&second)? - &target)?.sqr()?.mean_all()
        };
        let before = loss()?.to_scalar::<f32>()?;
        for _ in 0..200 {
            let grads = loss()?.backward()?;
            for weight in [&first, &second] {
                weight
                    .set(&(weight.as_tensor() - (grads.get(weight).unwrap() * 0.05)?)?.detach())?;
            }
        }
        let after = loss()?.to_scalar::<f32>()?;
        assert!(after < 0.25 * before && after < 0.3, "loss {before} before, {after} after");
        Ok(())
    })
}

/// A thread that waits for others in one call may run another call meanwhile.
#[test]
fn calls_within_a_pool_may_meet_on_one_thread() -> Result<()> {
    use rayon::prelude::*;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(8).build().unwrap();
    let u = Tensor::randn(0f32, 1.0, (1024, 256), &Device::Cpu)?;
    let expected = u.bihalf(1.0)?.to_vec2::<f32>()?;
    pool.install(|| {
        (0..200).into_par_iter().with_max_len(1).try_for_each(|_| {
            assert!(u.bihalf(1.0)?.to_vec2::<f32>()? == expected);
            Ok(())
        })
    })
}
