//! The Bi-half layer: in each column the k largest values become +1, the others -1.
//!
//! With k = floor(M / 2) every bit is +1 for half of the batch, so its entropy is greatest. This
//! is the optimal-transport assignment of the column to a half-half target (Li and van Gemert,
//! AAAI 2021, Eq. 7-8). Another k binarises network weights with a chosen share of +1 (*Equal
//! Bits*, arXiv 2112.03406).
//!
//! ```text
//! forward    B[i, j] = +1 if U[i, j] is among the k largest of column j, else -1
//! backward   dU = dB + gamma / (M * K) * (U - B)                      (Eq. 9, but for the divisor)
//! ```
//!
//! - **For training only.** An element's sign depends on the other rows of its batch, and one row
//!   alone becomes -1 in every bit, since floor(1 / 2) is 0. Codes of items, of training items too,
//!   are those of [`sign`](super::sign).
//! - **Gamma**: Eq. 9 has one factor, which the paper calls gamma and sets to 3 / (M K). The
//!   authors' release divides by the number of elements instead and has a gamma of 6, and so does
//!   this crate.
//!
//! | | shape |
//! |---|---|
//! | `U`, `B`, `dB`, `dU` | `[rows, cols]` = `[M, K]` |
//! | threshold | `[cols]`: the value of the k-th largest element |
//! | counts | `[cols]`: number of +1, always k |
//!
//! - **Ties**: among equal values the lower row comes first, so exactly k elements become +1
//!   whatever the data: the result equals torch's `sort(0, descending=True, stable=True)` with
//!   the first k places set.
//! - **NaN** count as greatest, so they become +1 first; **-0** equals +0.
//! - **Sizes**: any, odd ones too (k = floor(M / 2) by default); k = 0 gives all -1, k = M all
//!   +1. At most 2^32 - 1 rows.
//! - **Threshold** values are canonical: +0 for both zeros, the quiet NaN for all NaN. For k = 0
//!   (so for M < 2 by default) there is no k-th largest and the threshold is NaN.
//! - **Pad bits** of packed output are 0.
//! - **Rounding** of backward: `gamma / (M * K)` is computed in `f64` and rounded to the
//!   arithmetic type (`f32`; `f64` for `f64`), in which the three operations are each rounded, in
//!   the order written; 16-bit results are rounded once more, at the end. An infinite `U` gives an
//!   infinite or NaN gradient, with gamma = 0 too (0 * inf is NaN).
//! - **Determinism**: the same bits for any number of threads.
//! - **Errors**: [`Error::Shape`], [`Error::Length`],
//!   [`Error::TooManyOnes`],
//!   [`Error::Parameter`] (a fraction outside 0..=1, gamma not finite),
//!   [`Error::TooManyRows`] (forward on the CPU: more than 2^31 - 1), [`Error::InstructionSet`].
//! - **On CUDA**: the same bits. Forward is one launch without workspace up to 4096 rows (`f64` with
//!   packed codes: 1024; 16-bit types, and `f32` without packed codes: 8192), by the kernel that
//!   suits the columns and the device: `bihalf_counting*` and `bihalf_histogram*` for few,
//!   `bihalf_network*` and `bihalf_slices*` for many. Where blocks form clusters (capability 9.0),
//!   `bihalf_cluster_*` do up to 32,768 rows so (`f64`: 8192; 16-bit types: 65,536). More rows take
//!   `bihalf_radix_*`: 6 launches for 16-bit types, 8 for `f32`, 14 for `f64`, U is read 3, 4 and 7
//!   times, and the workspace is 8 KB a column and at most 2 KB for each 2048 elements. Backward is
//!   `bihalf_backward_dense` or `bihalf_backward_packed`, one launch.
//! - **Cost** on the CPU: O(M K) time on average. Up to 64 rows, and if k and M - k are at most the
//!   half of 8, 16, 32 or 64, a sorting network in registers, no extra memory.
//!   Else elements become levels of 8 bits, scaled by a sample of their column, and a cut is searched
//!   by counting levels; elements that levels do not tell apart are decided by their keys and rows.
//!   From 65,536 rows, unless k or M - k is a small part of them, U is read once, beside a sample of
//!   it: two values of the sample are around the boundary in all but one of 7000 columns, and come nearer
//!   to it as rows are read; the few elements between them are listed. What is larger than caches is
//!   written past them.
//!   Extra memory for each thread: 4 KB, and 16 M bytes for each 16 of its columns, at most 128 M and
//!   above 16,384 rows 64 M; from 65,536 rows 48 M for each 64 columns, at most 384 M, and 80 M
//!   more. Data with many equal values take up to about three times as long as data without.
//!   The portable form gathers 16 columns and selects in each by itself, about ten times as slow;
//!   extra memory for each thread: the keys of 16 columns.
//!   Stack of the calling thread, or of one of the pool: up to 96 KB; 512 KB in a build without
//!   optimisation.
//! - **Backward** on the CPU: O(M K), no extra memory, one pass. `B` may be packed: then 12 bytes an
//!   element are moved for `f32` rather than 16.
//! - **Threads** share columns (backward: rows) from 2^18 elements on.
//! - **Instructions** of the CPU path are chosen once, at run time: AVX-512 (F, BW, DQ, VL) or AVX2
//!   with FMA on x86-64, Advanced SIMD on aarch64, else a portable form. The environment variable
//!   `BIHALF_CPU_ISA` (`avx512-vpopcntdq`, which counts bits faster, `avx512`, `avx2`, `neon` or
//!   `portable`) forces one; any other value, or one that the machine lacks, is an error. Results
//!   are the same bits.
//!
//! ```
//! use bihalf::{MatRef, Ones, ops};
//!
//! let u = [0.9f32, -3.0, 0.1, -1.0, 0.5, -2.0, 0.7, -4.0]; // 4 items, 2 bits
//! let u = MatRef::new(&u, 4, 2)?;
//! let b = ops::bi_half::forward(u, Ones::Half)?;
//! assert_eq!(b, [1.0, -1.0, -1.0, 1.0, -1.0, 1.0, 1.0, -1.0]);
//!
//! let grad = [0.0f32; 8]; // what the loss sends back
//! let (b, grad) = (MatRef::new(&b, 4, 2)?, MatRef::new(&grad, 4, 2)?);
//! let du = ops::bi_half::backward(u, b, 8.0, grad)?;
//! assert_eq!(du[1], -3.0 - -1.0); // gamma / (M * K) = 1
//! # Ok::<(), bihalf::Error>(())
//! ```

use super::{check_grad, check_parameter, check_rows, check_shape};
use crate::element::Real;
use crate::memory::zeros;
use crate::{
    Backend, CodeMatrix, Codes, Element, Error, Gamma, Layout, MatMut, MatRef, Outputs, Result,
    Workspace, cpu,
};

/// How many elements of each column become +1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Ones {
    /// floor(M / 2).
    #[default]
    Half,
    /// floor(fraction * M), the fraction from 0 to 1. A product that misses the next integer by
    /// less than 1e-9, or by no more than rounding explains, counts as that integer: 0.29 of 100
    /// rows are 29, and of 10^8 rows 29,000,000.
    Fraction(f64),
    /// This many.
    Count(usize),
}

impl Ones {
    /// The number of +1 in a column of `rows` elements.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a fraction outside 0..=1, [`Error::TooManyOnes`] for a count
    /// greater than `rows`.
    #[inline]
    pub fn count(self, rows: usize) -> Result<usize> {
        match self {
            Self::Half => Ok(rows / 2),
            Self::Fraction(f) => {
                check_parameter("fraction", f, (0.0..=1.0).contains(&f), "from 0 to 1")?;
                // The fraction and the product are each rounded by at most half a unit in the last
                // place.
                let product = f * rows as f64;
                let rounding = 1e-9_f64.max(2.0 * f64::EPSILON * product);
                Ok(((product + rounding).floor() as usize).min(rows))
            }
            Self::Count(count) if count > rows => Err(Error::TooManyOnes { count, rows }),
            Self::Count(count) => Ok(count),
        }
    }
}

/// `B`, row-major. See the [page](self).
///
/// # Errors
/// See the [page](self).
pub fn forward<T: Element>(u: MatRef<'_, T>, ones: Ones) -> Result<Vec<T>> {
    check_input(u.layout(), ones)?;
    let mut b = zeros(u.shape())?;
    let out = Outputs::none().dense(MatMut::new(&mut b, u.rows(), u.cols())?);
    forward_into(u, ones, out, &mut Workspace::new())?;
    Ok(b)
}

/// `B` as packed codes. See the [page](self).
///
/// # Errors
/// See the [page](self).
pub fn forward_packed<T: Element>(u: MatRef<'_, T>, ones: Ones) -> Result<Codes> {
    check_input(u.layout(), ones)?;
    let mut codes = Codes::zeros(u.rows(), u.cols())?;
    let out = Outputs::none().codes(codes.as_mut());
    forward_into(u, ones, out, &mut Workspace::new())?;
    Ok(codes)
}

/// `B` in any forms, and the threshold of each column, into buffers of the caller.
///
/// # Errors
/// See the [page](self).
pub fn forward_into<T: Element>(
    u: MatRef<'_, T>,
    ones: Ones,
    mut out: Outputs<'_, T>,
    ws: &mut Workspace,
) -> Result<()> {
    let ones = check_forward(u.shape(), ones, &out)?;
    cpu::bihalf::check_rows(u.layout())?;
    cpu::bihalf::forward(cpu::simd::detected()?, u, ones, &mut out, ws)
}

/// `dU`, row-major. See the [page](self).
///
/// # Errors
/// See the [page](self).
pub fn backward<'a, T: Element>(
    u: MatRef<'_, T>,
    b: impl Into<CodeMatrix<'a, T>>,
    gamma: impl Into<Gamma>,
    grad: MatRef<'_, T>,
) -> Result<Vec<T>> {
    let (b, gamma) = (b.into(), gamma.into());
    check_backward::<T>(u.shape(), b.shape(), gamma, [grad.shape(); 2])?;
    let mut du = zeros(u.shape())?;
    backward_into(u, b, gamma, grad, MatMut::new(&mut du, u.rows(), u.cols())?)?;
    Ok(du)
}

/// `dU` into a buffer of the caller.
///
/// # Errors
/// See the [page](self).
pub fn backward_into<'a, T: Element>(
    u: MatRef<'_, T>,
    b: impl Into<CodeMatrix<'a, T>>,
    gamma: impl Into<Gamma>,
    grad: MatRef<'_, T>,
    out: MatMut<'_, T>,
) -> Result<()> {
    let (b, gamma) = (b.into(), gamma.into());
    let coefficient =
        check_backward::<T>(u.shape(), b.shape(), gamma, [grad.shape(), out.shape()])?;
    let isa = cpu::simd::detected()?;
    cpu::pull::backward(isa, u, b.into(), Some(grad), out, T::Real::of(coefficient));
    Ok(())
}

/// Turns `dB` in `grad` into `dU`.
///
/// # Errors
/// See the [page](self).
pub fn backward_in_place<'a, T: Element>(
    u: MatRef<'_, T>,
    b: impl Into<CodeMatrix<'a, T>>,
    gamma: impl Into<Gamma>,
    grad: MatMut<'_, T>,
) -> Result<()> {
    let (b, gamma) = (b.into(), gamma.into());
    let coefficient = check_backward::<T>(u.shape(), b.shape(), gamma, [grad.shape(); 2])?;
    let isa = cpu::simd::detected()?;
    cpu::pull::backward(isa, u, b.into(), None, grad, T::Real::of(coefficient));
    Ok(())
}

/// What can be refused before there is an output.
fn check_input(u: Layout, ones: Ones) -> Result<()> {
    cpu::bihalf::check_rows(u)?;
    check_ones(u.rows(), ones)?;
    cpu::simd::detected()?;
    Ok(())
}

pub(crate) fn check_ones(rows: usize, ones: Ones) -> Result<usize> {
    check_rows(rows)?;
    ones.count(rows)
}

/// The number of +1 in each column.
#[inline]
pub(crate) fn check_forward<T: Element, B: Backend>(
    u: (usize, usize),
    ones: Ones,
    out: &Outputs<'_, T, B>,
) -> Result<usize> {
    let ones = check_ones(u.0, ones)?;
    out.check(u)?;
    Ok(ones)
}

/// The factor of `U - B`. `grad`: the shapes of `dB` and `dU`.
pub(crate) fn check_backward<T: Element>(
    u: (usize, usize),
    b: (usize, usize),
    gamma: Gamma,
    grad: [(usize, usize); 2],
) -> Result<f64> {
    check_shape("B", "U", u, b)?;
    check_grad(u, grad)?;
    gamma.coefficient_for::<T>(u)
}
