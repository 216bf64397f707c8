//! The sign layer: `B = +1` where `u > -t`, else -1; `t = 0` unless a shift is given.
//!
//! ```text
//! forward    B[i, j] = +1 if U[i, j] > -t[j], else -1        sign(u + t), without its rounding
//! backward   dU = dB + gamma / (M * K) * (U - B)             straight-through, as for Bi-half
//! ```
//!
//! This is inference for every method here, the baseline layer that learns with the
//! straight-through estimator (Bengio et al., arXiv 1308.3432), and, with `t` from
//! [`Threshold`](super::threshold::Threshold), the median-threshold baseline.
//!
//! - **Gamma** pulls `U` to `B`, with a shift too: `U` is the output of the network, as in Eq. 9 of
//!   the paper, and `t` a constant without a gradient. (An op on the sum `u + t` would pull `u + t`.)
//! - **Zero**: `sign(0) = sign(-0) = -1`, as for every value that is not greater than the
//!   threshold. **NaN** give -1, in `U` and in `t`. torch's `sign` gives 0 for zeros, and 0 or NaN
//!   for NaN; a code has no third value.
//! - **Shapes**: `U`, `B` and gradients `[rows, cols]`, `t` `[cols]`, counts `[cols]`. Any size, up
//!   to 2^32 - 1 rows.
//! - **Pad bits** of packed output are 0.
//! - **Rounding** of backward: as for [Bi-half](super::bi_half).
//! - **Determinism**: the same bits for any number of threads.
//! - **Errors**: [`Error::Shape`], [`Error::Length`], [`Error::NotAnOutput`] (thresholds),
//!   [`Error::Parameter`] (gamma), [`Error::TooManyRows`], [`Error::InstructionSet`], see
//!   [Bi-half](super::bi_half).
//! - **On CUDA**: the same bits, by `sign_forward` and `sign_backward`, one launch each.
//! - **Cost**: O(M K) time, no extra memory. On the CPU each output form is a pass over `U`, fastest
//!   where elements of a row lie side by side.
//!
//! ```
//! use bihalf::{MatRef, ops::sign};
//!
//! let u = MatRef::new(&[0.5f32, 0.0, -0.5, 2.0], 2, 2)?;
//! assert_eq!(sign::forward(u, None)?, [1.0, -1.0, -1.0, 1.0]);
//! assert_eq!(sign::forward(u, Some(&[1.0, -3.0]))?, [1.0, -1.0, 1.0, -1.0]);
//! assert_eq!(sign::forward_packed(u, None)?.to_bytes()?, [0b01, 0b10]);
//! # Ok::<(), bihalf::Error>(())
//! ```

use super::{check_grad, check_per_column, check_rows};
use crate::element::Real;
use crate::memory::zeros;
use crate::{Backend, Codes, Element, Error, Gamma, MatMut, MatRef, Outputs, Result, cpu};

/// `B`, row-major. See the [page](self).
///
/// # Errors
/// See the [page](self).
pub fn forward<T: Element>(u: MatRef<'_, T>, shift: Option<&[T]>) -> Result<Vec<T>> {
    check_input(u.shape(), shift.map(<[T]>::len))?;
    let isa = cpu::simd::detected()?;
    if shift.is_none() {
        return T::collect_signs(isa, u);
    }
    let mut b = zeros(u.shape())?;
    forward_into(u, shift, Outputs::none().dense(MatMut::new(&mut b, u.rows(), u.cols())?))?;
    Ok(b)
}

/// `B` as packed codes. See the [page](self).
///
/// # Errors
/// See the [page](self).
pub fn forward_packed<T: Element>(u: MatRef<'_, T>, shift: Option<&[T]>) -> Result<Codes> {
    check_input(u.shape(), shift.map(<[T]>::len))?;
    cpu::simd::detected()?;
    let mut codes = Codes::zeros(u.rows(), u.cols())?;
    forward_into(u, shift, Outputs::none().codes(codes.as_mut()))?;
    Ok(codes)
}

/// `B` in any forms into buffers of the caller.
///
/// # Errors
/// See the [page](self).
pub fn forward_into<T: Element>(
    u: MatRef<'_, T>,
    shift: Option<&[T]>,
    out: Outputs<'_, T>,
) -> Result<()> {
    check_forward(u.shape(), shift.map(<[T]>::len), &out)?;
    T::sign(cpu::simd::detected()?, u, shift, out);
    Ok(())
}

/// `dU`, row-major. See the [page](self).
///
/// # Errors
/// See the [page](self).
pub fn backward<T: Element>(
    u: MatRef<'_, T>,
    shift: Option<&[T]>,
    gamma: impl Into<Gamma>,
    grad: MatRef<'_, T>,
) -> Result<Vec<T>> {
    let gamma = gamma.into();
    check_backward::<T>(u.shape(), shift.map(<[T]>::len), gamma, [grad.shape(); 2])?;
    cpu::simd::detected()?;
    let mut du = zeros(u.shape())?;
    backward_into(u, shift, gamma, grad, MatMut::new(&mut du, u.rows(), u.cols())?)?;
    Ok(du)
}

/// `dU` into a buffer of the caller.
///
/// # Errors
/// See the [page](self).
pub fn backward_into<T: Element>(
    u: MatRef<'_, T>,
    shift: Option<&[T]>,
    gamma: impl Into<Gamma>,
    grad: MatRef<'_, T>,
    out: MatMut<'_, T>,
) -> Result<()> {
    let gamma = gamma.into();
    let grad_shapes = [grad.shape(), out.shape()];
    let coefficient = check_backward::<T>(u.shape(), shift.map(<[T]>::len), gamma, grad_shapes)?;
    let isa = cpu::simd::detected()?;
    cpu::sign::backward(isa, u, shift, Some(grad), out, T::Real::of(coefficient));
    Ok(())
}

/// Turns `dB` in `grad` into `dU`.
///
/// # Errors
/// See the [page](self).
pub fn backward_in_place<T: Element>(
    u: MatRef<'_, T>,
    shift: Option<&[T]>,
    gamma: impl Into<Gamma>,
    grad: MatMut<'_, T>,
) -> Result<()> {
    let gamma = gamma.into();
    let coefficient =
        check_backward::<T>(u.shape(), shift.map(<[T]>::len), gamma, [grad.shape(); 2])?;
    let isa = cpu::simd::detected()?;
    cpu::sign::backward(isa, u, shift, None, grad, T::Real::of(coefficient));
    Ok(())
}

pub(crate) fn check_forward<T: Element, B: Backend>(
    u: (usize, usize),
    shift: Option<usize>,
    out: &Outputs<'_, T, B>,
) -> Result<()> {
    check_input(u, shift)?;
    if out.threshold.is_some() {
        return Err(Error::NotAnOutput { what: "threshold", of: "sign" });
    }
    out.check(u)
}

/// What can be refused before there is an output.
pub(crate) fn check_input(u: (usize, usize), shift: Option<usize>) -> Result<()> {
    check_rows(u.0)?;
    check_shift(u.1, shift)
}

/// The factor of `U - B`. `grad`: the shapes of `dB` and `dU`.
pub(crate) fn check_backward<T: Element>(
    u: (usize, usize),
    shift: Option<usize>,
    gamma: Gamma,
    grad: [(usize, usize); 2],
) -> Result<f64> {
    check_shift(u.1, shift)?;
    check_grad(u, grad)?;
    gamma.coefficient_for::<T>(u)
}

fn check_shift(cols: usize, shift: Option<usize>) -> Result<()> {
    shift.map_or(Ok(()), |len| check_per_column("shift", cols, len))
}
