//! Inputs and comparisons that the tests of all ops share.

#![allow(dead_code)] // each test file uses some of them

use candle_core::{DType, Device, Result, Tensor, Var};

/// The dtypes every op takes, with the error one rounding may make.
pub const DTYPES: [(DType, f64); 4] =
    [(DType::F64, 1e-15), (DType::F32, 1e-6), (DType::F16, 1e-3), (DType::BF16, 8e-3)];

/// Rows around each edge: none, one (no +1, no pair), even, odd, more than a word of codes. None is for
/// the CPU alone: candle's own ops cannot launch their kernels for an empty CUDA tensor.
pub fn row_counts(device: &Device) -> impl Iterator<Item = usize> {
    [0, 1, 2, 5, 8, 67].into_iter().filter(|&m| m > 0 || device.is_cpu())
}

/// Runs a test's body on the CPU and, with feature `cuda`, on the first CUDA device; says so where
/// there is none.
pub fn on_each_device(body: impl Fn(&Device) -> Result<()>) -> Result<()> {
    for device in [Some(Device::Cpu), cuda()].into_iter().flatten() {
        let _named = Named(&device);
        body(&device).map_err(|error| error.context(format!("on {:?}", device.location())))?;
    }
    Ok(())
}

/// Names the device of an assertion that fails.
struct Named<'a>(&'a Device);

impl Drop for Named<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failing device: {:?}", self.0.location());
        }
    }
}

#[cfg(not(feature = "cuda"))]
fn cuda() -> Option<Device> {
    None
}

/// A device for each call: candle's stream is that of the thread, and each test has its own.
#[cfg(feature = "cuda")]
fn cuda() -> Option<Device> {
    use std::io::Write;
    static SAID: std::sync::Once = std::sync::Once::new();

    let required = std::env::var_os("BIHALF_REQUIRE_GPU").is_some_and(|value| value != "0");
    // Tells by an error, where candle might panic.
    let context = bihalf::cuda::context(0);
    let what = match &context {
        Ok(context) => format!("run on {}, too", context.name().expect("a device's name")),
        Err(error) if required => panic!("BIHALF_REQUIRE_GPU is set: {error}"),
        Err(error) => format!("are SKIPPED on CUDA: {error}"),
    };
    // Not `eprintln!`, which the test runner holds back.
    SAID.call_once(|| writeln!(std::io::stderr(), "candle ops {what}").expect("standard error"));
    context.is_ok().then(|| Device::new_cuda(0).expect("a candle device"))
}

/// Distinct values between -1.5 and 1.5 without a pattern, `[rows, cols]`; `salt` picks others.
pub fn values(
    rows: usize,
    cols: usize,
    salt: usize,
    dtype: DType,
    device: &Device,
) -> Result<Tensor> {
    let value = |i: usize| {
        let phase = (i as f64 + 1.0 + 1000.0 * salt as f64) * 0.618_033_988_749_894_9;
        3.0 * (phase - phase.floor()) - 1.5
    };
    let data: Vec<f64> = (0..rows * cols).map(value).collect();
    Tensor::from_vec(data, (rows, cols), &Device::Cpu)?.to_dtype(dtype)?.to_device(device)
}

pub fn var(rows: usize, cols: usize, salt: usize, dtype: DType, device: &Device) -> Result<Var> {
    Var::from_tensor(&values(rows, cols, salt, dtype, device)?)
}

/// The values as rows of f64, whatever the dtype, strides and device.
pub fn rows(tensor: &Tensor) -> Result<Vec<Vec<f64>>> {
    tensor.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.to_vec2::<f64>()
}

/// The same values at four kinds of strides: transposed, narrowed in columns with an offset,
/// narrowed in rows with an offset, and one row or one column spread.
pub fn views(dtype: DType, device: &Device) -> Result<Vec<(&'static str, Tensor)>> {
    Ok(vec![
        ("transposed", values(4, 7, 1, dtype, device)?.t()?),
        ("narrowed columns", values(7, 9, 2, dtype, device)?.narrow(1, 3, 4)?),
        ("narrowed rows", values(11, 4, 3, dtype, device)?.narrow(0, 4, 7)?),
        (
            "narrowed and transposed",
            values(6, 9, 4, dtype, device)?.narrow(0, 1, 4)?.t()?.narrow(0, 2, 7)?,
        ),
        ("row spread", values(1, 4, 5, dtype, device)?.broadcast_as((7, 4))?),
        ("column spread", values(7, 1, 6, dtype, device)?.broadcast_as((7, 4))?),
        ("one column", values(7, 5, 6, dtype, device)?.narrow(1, 4, 1)?),
    ])
}

/// Fails unless the matrices are equal within `tolerance`, naming the place.
#[track_caller]
pub fn assert_close(got: &[Vec<f64>], expected: &[Vec<f64>], tolerance: f64, what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}: rows");
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        assert_eq!(got.len(), expected.len(), "{what}: columns");
        for (j, (got, expected)) in got.iter().zip(expected).enumerate() {
            let close = (got - expected).abs() <= tolerance * expected.abs().max(1.0);
            assert!(close, "{what}: [{i}, {j}] is {got}, not {expected}");
        }
    }
}

/// `f` of each pair of places of two equal matrices.
pub fn zip_with(a: &[Vec<f64>], b: &[Vec<f64>], f: impl Fn(f64, f64) -> f64) -> Vec<Vec<f64>> {
    let row = |(a, b): (&Vec<f64>, &Vec<f64>)| a.iter().zip(b).map(|(&a, &b)| f(a, b)).collect();
    a.iter().zip(b).map(row).collect()
}

/// Fails unless `op` refuses a vector, a batch of matrices and integers with messages that name
/// the op and what is wrong.
#[track_caller]
pub fn assert_refuses_other_ranks_and_dtypes<T>(
    device: &Device,
    name: &str,
    op: impl Fn(&Tensor) -> Result<T>,
) -> Result<()> {
    let message = |tensor: &Tensor| match op(tensor) {
        Ok(_) => panic!("{name} took a tensor of shape {:?} {:?}", tensor.dims(), tensor.dtype()),
        Err(error) => error.to_string(),
    };
    let zeros = |dims: &[usize], dtype| Tensor::zeros(dims, dtype, device).unwrap();
    for dims in [&[][..], &[4], &[2, 3, 4]] {
        let message = message(&zeros(dims, DType::F32));
        assert!(message.contains(name), "{message}");
        assert!(message.contains(&format!("shape {dims:?}")), "{message}");
    }
    for dtype in [DType::U8, DType::U32, DType::I64] {
        let message = message(&zeros(&[2, 3], dtype));
        assert!(message.contains(name), "{message}");
        assert!(message.contains(&format!("{dtype:?}")), "{message}");
    }
    Ok(())
}

/// Fails unless `op` gives for every view of [`views`] what it gives for a contiguous copy.
#[track_caller]
pub fn assert_views_equal_their_copies(
    device: &Device,
    op: impl Fn(&Tensor) -> Result<Tensor>,
) -> Result<()> {
    for (dtype, _) in DTYPES {
        for (name, view) in views(dtype, device)? {
            let expected = op(&view.force_contiguous()?)?;
            assert_eq!(rows(&op(&view)?)?, rows(&expected)?, "{dtype:?}, {name}");
        }
    }
    Ok(())
}

/// The same for the gradient; both `U` and the gradient that arrives are views here.
#[track_caller]
pub fn assert_gradient_through_views_equals_that_through_copies(
    device: &Device,
    op: impl Fn(&Tensor) -> Result<Tensor>,
) -> Result<()> {
    let u = var(6, 9, 0, DType::F64, device)?;
    let weight = values(4, 7, 1, DType::F64, device)?;
    let grad = |copy: bool| -> Result<Vec<Vec<f64>>> {
        let view = u.narrow(0, 1, 4)?.t()?.narrow(0, 2, 7)?;
        let view = if copy { view.force_contiguous()? } else { view };
        let grads = op(&view)?.t()?.mul(&weight)?.sum_all()?.backward()?;
        rows(grads.get(&u).unwrap())
    };
    assert_eq!(grad(false)?, grad(true)?);
    assert!(grad(false)?.concat().iter().any(|&grad| grad != 0.0));
    Ok(())
}

/// Compares a layer's gradient, `op(u, gamma)`, with the form that needs no backward pass of one's
/// own: `U + stop_grad(B - U)` in the loss, and `gamma / (2 M K) |U - stop_grad(B)|^2` beside it.
#[track_caller]
pub fn assert_gradient_equals_that_of_the_auxiliary_loss(
    device: &Device,
    m: usize,
    op: impl Fn(&Tensor, f64) -> Result<Tensor>,
) -> Result<()> {
    let (gamma, weight) = (0.7, values(m, 4, 1, DType::F64, device)?);
    let task = |b: &Tensor| (b.mul(&weight)? + b.sqr()?)?.tanh()?.sum_all();
    let u = var(m, 4, 0, DType::F64, device)?;
    let with_op = task(&op(&u, gamma)?)?.backward()?;

    let b = op(&u.detach(), 0.0)?;
    let through = (u.as_tensor() + (&b - u.detach())?)?;
    let pull = ((u.as_tensor() - &b)?.sqr()?.sum_all()? * (gamma / (2 * m * 4) as f64))?;
    let with_aux = (task(&through)? + pull)?.backward()?;

    let grad = |grads: &candle_core::backprop::GradStore| rows(grads.get(&u).unwrap());
    assert_close(&grad(&with_op)?, &grad(&with_aux)?, 1e-14, "op against auxiliary loss");
    Ok(())
}
