//! Losses: the cosine-preserving loss between the halves of a batch, and the entropy penalty.
//!
//! ```text
//! cosine            L = mean over p < h of (cos(B[p], B[p + h]) - cos(X[p], X[p + h]))^2,  h = floor(M / 2)
//!                   dL/dB[p] = 2 / h * (cos_b - cos_x) * (B[p + h] / (|B[p]| |B[p + h]|) - cos_b B[p] / |B[p]|^2)
//!                   and the same for B[p + h] with the two rows exchanged
//! entropy penalty   L = alpha / 2 * mean over j of (mean over i of B[i, j])^2
//!                   dL/dB[i, j] = alpha / (M K) * mean over i of B[i, j]
//! ```
//!
//! The cosine-preserving loss teaches codes the similarity of the features that they stand for
//! (Li and van Gemert, AAAI 2021, section 3.3, on frozen features). The entropy penalty is the soft
//! rival of the Bi-half layer: it pushes each bit's mean to 0 through the loss.
//!
//! - **Shapes**: features `X [M, D]`, codes `B [M, K]`, gradient `[M, K]`. `B` may be any numbers
//!   (a relaxed code too); +1 and -1 may come packed where no gradient is asked for.
//! - **Odd M**: pairs are (i, i + floor(M / 2)); the last row has no partner and gradient 0.
//!   **M < 2**: loss 0, gradient 0. **M = 0 or K = 0**: penalty 0.
//! - **Zero vectors**, on either side: cosine 0; where one is in `B`, the gradient of both rows of
//!   the pair is 0. **Equal or opposite codes** sit at an extremum of the cosine: gradient 0.
//! - **NaN** and infinities propagate.
//! - **Rounding**: products and sums are in `f64`, in a fixed order; the result is rounded to the
//!   element type once. The same bits for any number of threads.
//! - **On CUDA**: `cosine_dense` and `entropy_penalty`, one launch each, with 4 M bytes of workspace
//!   and 8 for 32 bits. Sums are in `f64` too, in another fixed order: the same bits on every run, and
//!   within a few ulps of `f64` of the host's, so an element of a gradient may round to the neighbour
//!   of the host's.
//! - **Gradients** are written, not added.
//! - **Errors**: [`Error::Shape`](crate::Error::Shape);
//!   [`Error::Parameter`](crate::Error::Parameter) when alpha is not finite.
//! - **Cost**: O(M (D + K)) time, no extra memory beyond a few KB of stack.
//!
//! ```
//! use bihalf::{MatRef, Signs, ops::loss};
//!
//! let x = MatRef::new(&[1.0f32, 0.0, 0.0, 1.0], 2, 2)?; // orthogonal features
//! let b = MatRef::new(&[1.0f32, 1.0, 1.0, 1.0], 2, 2)?; // equal codes
//! assert_eq!(loss::cosine(x, Signs::Dense(b))?, 1.0);
//! assert_eq!(loss::entropy_penalty(b, 1.0)?, 0.5); // every bit is always +1
//! # Ok::<(), bihalf::Error>(())
//! ```

use super::{allocate, check_length, check_parameter, check_shape};
use crate::{Element, MatMut, MatRef, Result, Signs, cpu};

/// The cosine-preserving loss. See the [page](self).
///
/// # Errors
/// [`Error::Length`](crate::Error::Length) when `x` and `b` have different numbers of rows.
pub fn cosine<X: Element, T: Element>(x: MatRef<'_, X>, b: Signs<'_, T>) -> Result<f64> {
    check_pairs(x.rows(), b.shape().0)?;
    Ok(cpu::loss::cosine(x, b))
}

/// The cosine-preserving loss and its gradient for `b`, row-major.
///
/// # Errors
/// As [`cosine`].
pub fn cosine_with_grad<X: Element, T: Element>(
    x: MatRef<'_, X>,
    b: MatRef<'_, T>,
) -> Result<(f64, Vec<T>)> {
    check_pairs(x.rows(), b.rows())?;
    let mut grad = allocate(b.shape(), T::default())?;
    let loss = cosine_with_grad_into(x, b, MatMut::new(&mut grad, b.rows(), b.cols())?)?;
    Ok((loss, grad))
}

/// The cosine-preserving loss, its gradient for `b` into a buffer of the caller.
///
/// # Errors
/// As [`cosine`]; [`Error::Shape`](crate::Error::Shape) when `grad` is not of `b`'s shape.
pub fn cosine_with_grad_into<X: Element, T: Element>(
    x: MatRef<'_, X>,
    b: MatRef<'_, T>,
    grad: MatMut<'_, T>,
) -> Result<f64> {
    check_cosine(x.rows(), b.shape(), grad.shape())?;
    Ok(cpu::loss::cosine_with_grad(x, b, grad))
}

/// The entropy penalty. See the [page](self).
///
/// # Errors
/// [`Error::Parameter`](crate::Error::Parameter) when alpha is not finite.
pub fn entropy_penalty<T: Element>(b: MatRef<'_, T>, alpha: f64) -> Result<f64> {
    check_alpha(alpha)?;
    Ok(cpu::loss::entropy_penalty(b, alpha, None))
}

/// The entropy penalty and its gradient, row-major.
///
/// # Errors
/// As [`entropy_penalty`].
pub fn entropy_penalty_with_grad<T: Element>(
    b: MatRef<'_, T>,
    alpha: f64,
) -> Result<(f64, Vec<T>)> {
    check_alpha(alpha)?;
    let mut grad = allocate(b.shape(), T::default())?;
    let loss =
        entropy_penalty_with_grad_into(b, alpha, MatMut::new(&mut grad, b.rows(), b.cols())?)?;
    Ok((loss, grad))
}

/// The entropy penalty, its gradient into a buffer of the caller.
///
/// # Errors
/// As [`entropy_penalty`]; [`Error::Shape`](crate::Error::Shape) when `grad` is not of `b`'s shape.
pub fn entropy_penalty_with_grad_into<T: Element>(
    b: MatRef<'_, T>,
    alpha: f64,
    grad: MatMut<'_, T>,
) -> Result<f64> {
    check_penalty(b.shape(), alpha, grad.shape())?;
    Ok(cpu::loss::entropy_penalty(b, alpha, Some(grad)))
}

pub(crate) fn check_cosine(x_rows: usize, b: (usize, usize), grad: (usize, usize)) -> Result<()> {
    check_pairs(x_rows, b.0)?;
    check_shape("the gradient", "B", b, grad)
}

pub(crate) fn check_penalty(b: (usize, usize), alpha: f64, grad: (usize, usize)) -> Result<()> {
    check_alpha(alpha)?;
    check_shape("the gradient", "B", b, grad)
}

fn check_pairs(x_rows: usize, b_rows: usize) -> Result<()> {
    check_length("B", "rows: one code for each row of X", x_rows, b_rows)
}

fn check_alpha(alpha: f64) -> Result<()> {
    check_parameter("alpha", alpha, alpha.is_finite(), "finite")
}
