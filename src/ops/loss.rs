//! Losses: the cosine-preserving loss between the halves of a batch, and the entropy penalty.
//!
//! ```text
//! cosine            L = mean over p < h of (cos(B[p], B[p + h]) - cos(X[p], X[p + h]))^2,  h = floor(M / 2)
//!                   dL/dB[p] = 2 / h * (cos_b - cos_x) * (B[p + h] / (|B[p]| |B[p + h]|) - cos_b B[p] / |B[p]|^2)
//!                   and the same for B[p + h] with the two rows exchanged
//! packed codes      cos_b = (K - 2 hamming(B[p], B[p + h])) / K
//!                   pair_grads[p] = 2 / h * (cos_b - cos_x) * [(1 - cos_b) / K, -(1 + cos_b) / K]
//!                   dL/dB[i, j] = B[i, j] * pair_grads[p][0 where B[p, j] = B[p + h, j], else 1],  i = p or p + h
//! and back to U     dU = dL/dB + gamma / (M K) * (U - B)
//! entropy penalty   L = alpha / 2 * mean over j of (mean over i of B[i, j])^2
//!                   dL/dB[i, j] = alpha / (M K) * mean over i of B[i, j]
//! ```
//!
//! The cosine-preserving loss teaches codes the similarity of the features that they stand for
//! (Li and van Gemert, AAAI 2021, section 4.2, on frozen features). The entropy penalty is the soft
//! rival of the Bi-half layer: it pushes each bit's mean to 0 through the loss.
//!
//! Where the codes are those of the Bi-half layer, they need never be dense: [`cosine_packed_into`]
//! writes two numbers per pair, its *pair gradients*, from which [`cosine_packed_backward_into`]
//! computes `dU`. The results are bit-identical to those of [`cosine_with_grad_into`] on +1 and -1,
//! followed by [`bi_half::backward_in_place`](super::bi_half::backward_in_place), without a `dB` in
//! memory.
//!
//! - **Shapes**: features `X [M, D]`, codes `B [M, K]`, gradient `[M, K]`, pair gradients `[h, 2]`
//!   ([`pair_grads_len`] numbers). `B` may be any numbers (a relaxed code too), or packed.
//! - **Odd M**: pairs are (i, i + floor(M / 2)); the last row has no partner and gradient 0, so its
//!   `dU` is the pull alone. **M < 2**: loss 0, gradient 0, no pair gradients. **K = 0**: codes
//!   without a bit are zero vectors. **M = 0 or K = 0**: penalty 0.
//! - **Zero vectors**, on either side: cosine 0; where one is in `B`, the gradient of both rows of
//!   the pair is 0. **Equal or opposite codes** sit at an extremum of the cosine: gradient 0. A
//!   gradient of the cosine loss is never -0, but for what is too small for a 16-bit type or `f32`.
//! - **Range**: vectors of any finite norm have their angle, those too whose squared norm leaves
//!   the range of `f64`.
//! - **NaN** and infinities propagate: a NaN in the features of a pair makes the loss NaN, and of
//!   the gradients those of the pair.
//! - **Rounding**: products and sums are in `f64`, in a fixed order (products of rows in 16 sums,
//!   of which each takes every 16th element); the result is rounded to the element type once. `dU`
//!   is that gradient, rounded, and then the pull as on the page [Bi-half](super::bi_half).
//! - **Determinism**: on the CPU the same bits on every processor, for any number of threads, and
//!   wherever a matrix lies.
//! - **On CUDA**: one launch each: `cosine_dense`, `cosine_packed`, `cosine_backward`,
//!   `entropy_penalty`. So a training step from packed codes is three, with the forward pass of
//!   Bi-half. Workspace: 4 M bytes (backward: none), and 8 bytes for 32 bits of the penalty. Sums
//!   are in `f64` too, in another fixed order and fused with the products: within a few ulps of
//!   `f64` of the host's, so an element of a gradient may round to the neighbour of the host's.
//!   Features whose rows are vectors of 16 bytes (unit column stride; address and row stride
//!   multiples of 16 bytes) are read 16 bytes at a time, with the same result.
//! - **Gradients** are written, not added.
//! - **Errors**: [`Error::Shape`](crate::Error::Shape), [`Error::Length`](crate::Error::Length);
//!   [`Error::Parameter`](crate::Error::Parameter) when alpha or gamma is not finite, or the
//!   arithmetic type cannot hold gamma / (M K);
//!   [`Error::InstructionSet`](crate::Error::InstructionSet), see [Bi-half](super::bi_half).
//! - **Cost**: O(M (D + K)) time, no extra memory beyond a few KB of stack. From packed codes, the
//!   backward pass reads and writes `U` and `dU` and 1 bit an element: 8.2 bytes for `f32`.
//!
//! ```
//! use bihalf::{MatRef, Ones, ops, ops::loss};
//!
//! let x = MatRef::new(&[1.0f32, 0.0, 0.0, 1.0], 2, 2)?; // orthogonal features
//! let b = MatRef::new(&[1.0f32, 1.0, 1.0, 1.0], 2, 2)?; // equal codes
//! assert_eq!(loss::cosine(x, b)?, 1.0);
//! assert_eq!(loss::entropy_penalty(b, 1.0)?, 0.5); // every bit is always +1
//!
//! // A training step from packed codes: forward, loss, backward.
//! let u = MatRef::new(&[0.5f32, -0.25, 0.125, 2.0], 2, 2)?;
//! let codes = ops::bi_half::forward_packed(u, Ones::Half)?; // +1 -1 and -1 +1: opposite codes
//! let (value, pair_grads) = loss::cosine_packed(x, codes.as_ref())?;
//! assert_eq!((value, &pair_grads[..]), (1.0, &[-2.0, 0.0][..])); // no bits agree, an extremum
//! let du = loss::cosine_packed_backward(u, codes.as_ref(), &pair_grads, 4.0)?;
//! assert_eq!(du, [-0.5, 0.75, 1.125, 1.0]); // the pull alone
//! # Ok::<(), bihalf::Error>(())
//! ```

use super::{check_length, check_parameter, check_shape, copy_into};
use crate::element::Real;
use crate::memory::zeros;
use crate::{CodeMatrix, CodesRef, Element, Gamma, MatMut, MatRef, Result, cpu};

/// The cosine-preserving loss. See the [page](self).
///
/// # Errors
/// [`Error::Length`](crate::Error::Length) when `x` and `b` have different numbers of rows.
pub fn cosine<'a, X: Element, T: Element>(
    x: MatRef<'_, X>,
    b: impl Into<CodeMatrix<'a, T>>,
) -> Result<f64> {
    let b = b.into();
    check_pairs(x.rows(), b.shape().0)?;
    Ok(cpu::cosine::cosine(cpu::simd::detected()?, x, b))
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
    cpu::simd::detected()?;
    let mut grad = zeros(b.shape())?;
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
    Ok(cpu::cosine::cosine_with_grad(cpu::simd::detected()?, x, b, grad))
}

/// The cosine-preserving loss of packed codes, and the pair gradients for
/// [`cosine_packed_backward`].
///
/// # Errors
/// As [`cosine`].
pub fn cosine_packed<'a, X: Element>(
    x: MatRef<'_, X>,
    codes: impl Into<CodesRef<'a>>,
) -> Result<(f64, Vec<f64>)> {
    let codes = codes.into();
    check_pairs(x.rows(), codes.rows())?;
    cpu::simd::detected()?;
    let mut pair_grads = zeros((1, pair_grads_len(codes.rows())))?;
    let loss = cosine_packed_into(x, codes, &mut pair_grads)?;
    Ok((loss, pair_grads))
}

/// The cosine-preserving loss of packed codes, its pair gradients into a buffer of the caller.
///
/// # Errors
/// As [`cosine`]; [`Error::Length`](crate::Error::Length) when `pair_grads` are not
/// [`pair_grads_len`] numbers.
pub fn cosine_packed_into<'a, X: Element>(
    x: MatRef<'_, X>,
    codes: impl Into<CodesRef<'a>>,
    pair_grads: &mut [f64],
) -> Result<f64> {
    let codes = codes.into();
    check_cosine_packed(x.rows(), codes.rows(), pair_grads.len())?;
    Ok(cpu::cosine::cosine_packed(cpu::simd::detected()?, x, codes, pair_grads))
}

/// How many pair gradients a batch of `rows` rows has: two for each pair.
pub fn pair_grads_len(rows: usize) -> usize {
    rows / 2 * 2
}

/// `dU` from the pair gradients that [`cosine_packed`] has made of the codes of `U`, row-major.
///
/// # Errors
/// See the [page](self).
pub fn cosine_packed_backward<'a, T: Element>(
    u: MatRef<'_, T>,
    codes: impl Into<CodesRef<'a>>,
    pair_grads: &[f64],
    gamma: impl Into<Gamma>,
) -> Result<Vec<T>> {
    let codes = codes.into();
    let gamma = gamma.into();
    check_cosine_backward::<T>(u.shape(), codes.shape(), pair_grads.len(), gamma, u.shape())?;
    let mut du = zeros(u.shape())?;
    let out = MatMut::new(&mut du, u.rows(), u.cols())?;
    cosine_packed_backward_into(u, codes, pair_grads, gamma, out)?;
    Ok(du)
}

/// `dU` into a buffer of the caller.
///
/// # Errors
/// See the [page](self).
pub fn cosine_packed_backward_into<'a, T: Element>(
    u: MatRef<'_, T>,
    codes: impl Into<CodesRef<'a>>,
    pair_grads: &[f64],
    gamma: impl Into<Gamma>,
    mut out: MatMut<'_, T>,
) -> Result<()> {
    let codes = codes.into();
    let gamma = gamma.into();
    check_cosine_backward::<T>(u.shape(), codes.shape(), pair_grads.len(), gamma, out.shape())?;
    copy_into(u, out.reborrow());
    cosine_packed_backward_in_place(codes, pair_grads, gamma, out)
}

/// Turns `U` into `dU`.
///
/// # Errors
/// See the [page](self).
pub fn cosine_packed_backward_in_place<'a, T: Element>(
    codes: impl Into<CodesRef<'a>>,
    pair_grads: &[f64],
    gamma: impl Into<Gamma>,
    u: MatMut<'_, T>,
) -> Result<()> {
    let codes = codes.into();
    let gamma = gamma.into();
    let (shape, len) = (u.shape(), pair_grads.len());
    let coefficient = check_cosine_backward::<T>(shape, codes.shape(), len, gamma, shape)?;
    cpu::cosine::cosine_packed_backward(u, codes, pair_grads, T::Real::of(coefficient));
    Ok(())
}

/// The entropy penalty. See the [page](self).
///
/// # Errors
/// [`Error::Parameter`](crate::Error::Parameter) when alpha is not finite.
pub fn entropy_penalty<T: Element>(b: MatRef<'_, T>, alpha: f64) -> Result<f64> {
    check_alpha(alpha)?;
    Ok(cpu::penalty::entropy_penalty(cpu::simd::detected()?, b, alpha, None))
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
    cpu::simd::detected()?;
    let mut grad = zeros(b.shape())?;
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
    Ok(cpu::penalty::entropy_penalty(cpu::simd::detected()?, b, alpha, Some(grad)))
}

pub(crate) fn check_cosine(x_rows: usize, b: (usize, usize), grad: (usize, usize)) -> Result<()> {
    check_pairs(x_rows, b.0)?;
    check_shape("the gradient", "B", b, grad)
}

pub(crate) fn check_cosine_packed(x_rows: usize, rows: usize, pair_grads: usize) -> Result<()> {
    check_pairs(x_rows, rows)?;
    check_pair_grads(rows, pair_grads)
}

/// The factor of `U - B`. `out`: the shape of `dU`.
pub(crate) fn check_cosine_backward<T: Element>(
    u: (usize, usize),
    codes: (usize, usize),
    pair_grads: usize,
    gamma: Gamma,
    out: (usize, usize),
) -> Result<f64> {
    check_shape("the codes", "U", u, codes)?;
    check_shape("the output", "U", u, out)?;
    check_pair_grads(u.0, pair_grads)?;
    gamma.coefficient_for::<T>(u)
}

fn check_pair_grads(rows: usize, got: usize) -> Result<()> {
    check_length("the pair gradients", "two for each pair of rows", pair_grads_len(rows), got)
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
