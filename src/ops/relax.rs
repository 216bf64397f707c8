//! Relaxations of the sign: `Y = tanh(beta U)` and its gradient.
//!
//! ```text
//! forward    Y = tanh(beta * U)
//! backward   dU = dY * beta * (1 - tanh(beta * U)^2)
//! ```
//!
//! With beta = 1 this is the continuous relaxation; with a beta that grows during training the
//! smoothed continuation that ends at the sign (HashNet, Cao et al., ICCV 2017, arXiv
//! 1702.00758): [`Continuation`].
//!
//! - **Shapes**: all `[rows, cols]`; any size.
//! - **NaN** stay NaN, zeros keep their sign, infinities give +1 and -1 with gradient 0 (NaN if
//!   `dY` is infinite).
//! - **Rounding**: computed in the arithmetic type (`f32`; `f64` for `f64`), to which beta is
//!   rounded first; 16-bit results are rounded once more. `tanh` is this crate's: at most 2 ulp off
//!   in `f32` (all numbers have been tried) and at most 3 in `f64`, and never beyond 1.
//! - **Determinism**: the same bits on every processor and for any number of threads.
//! - **On CUDA**: `relax_forward` and `relax_backward`, one launch each, with CUDA's `tanh`. Its
//!   documented error is at most 2 ulps in `f32` and 1 in `f64`; the last bits may differ from the
//!   CPU's, and between architectures and releases of CUDA.
//! - **Errors**: [`Error::Shape`](crate::Error::Shape);
//!   [`Error::Parameter`](crate::Error::Parameter) when beta is not finite and greater than 0, or
//!   the arithmetic type cannot hold it; [`Error::InstructionSet`](crate::Error::InstructionSet),
//!   see [Bi-half](super::bi_half).
//! - **Cost**: O(M K) time, no extra memory.
//!
//! ```
//! use bihalf::{MatRef, ops::relax};
//!
//! let u = MatRef::new(&[0.0f64, 1.0], 1, 2)?;
//! assert_eq!(relax::forward(u, 2.0)?, [0.0, 2f64.tanh()]);
//! assert_eq!(relax::backward(u, 2.0, MatRef::new(&[1.0, 0.0], 1, 2)?)?, [2.0, 0.0]);
//! # Ok::<(), bihalf::Error>(())
//! ```

use super::{IN_RANGE, check_grad, check_parameter, check_shape};
use crate::element::Real;
use crate::memory::zeros;
use crate::{Element, MatMut, MatRef, Result, cpu};

/// `Y`, row-major. See the [page](self).
///
/// # Errors
/// See the [page](self).
pub fn forward<T: Element>(u: MatRef<'_, T>, beta: f64) -> Result<Vec<T>> {
    check_beta::<T>(beta)?;
    cpu::simd::detected()?;
    let mut y = zeros(u.shape())?;
    forward_into(u, beta, MatMut::new(&mut y, u.rows(), u.cols())?)?;
    Ok(y)
}

/// `Y` into a buffer of the caller.
///
/// # Errors
/// See the [page](self).
pub fn forward_into<T: Element>(u: MatRef<'_, T>, beta: f64, out: MatMut<'_, T>) -> Result<()> {
    check_forward::<T>(u.shape(), beta, out.shape())?;
    T::relax(cpu::simd::detected()?, u, beta, out);
    Ok(())
}

/// `dU`, row-major. See the [page](self).
///
/// # Errors
/// See the [page](self).
pub fn backward<T: Element>(u: MatRef<'_, T>, beta: f64, grad: MatRef<'_, T>) -> Result<Vec<T>> {
    check_backward::<T>(u.shape(), beta, [grad.shape(); 2])?;
    cpu::simd::detected()?;
    let mut du = zeros(u.shape())?;
    backward_into(u, beta, grad, MatMut::new(&mut du, u.rows(), u.cols())?)?;
    Ok(du)
}

/// `dU` into a buffer of the caller.
///
/// # Errors
/// See the [page](self).
pub fn backward_into<T: Element>(
    u: MatRef<'_, T>,
    beta: f64,
    grad: MatRef<'_, T>,
    out: MatMut<'_, T>,
) -> Result<()> {
    check_backward::<T>(u.shape(), beta, [grad.shape(), out.shape()])?;
    T::relax_backward(cpu::simd::detected()?, u, beta, Some(grad), out);
    Ok(())
}

/// Turns `dY` in `grad` into `dU`.
///
/// # Errors
/// See the [page](self).
pub fn backward_in_place<T: Element>(
    u: MatRef<'_, T>,
    beta: f64,
    grad: MatMut<'_, T>,
) -> Result<()> {
    check_backward::<T>(u.shape(), beta, [grad.shape(); 2])?;
    T::relax_backward(cpu::simd::detected()?, u, beta, None, grad);
    Ok(())
}

pub(crate) fn check_forward<T: Element>(
    u: (usize, usize),
    beta: f64,
    out: (usize, usize),
) -> Result<()> {
    check_beta::<T>(beta)?;
    check_shape("the output", "U", u, out)
}

/// `grad`: the shapes of `dY` and `dU`.
pub(crate) fn check_backward<T: Element>(
    u: (usize, usize),
    beta: f64,
    grad: [(usize, usize); 2],
) -> Result<()> {
    check_beta::<T>(beta)?;
    check_grad(u, grad)
}

pub(crate) fn check_beta<T: Element>(beta: f64) -> Result<()> {
    check_parameter("beta", beta, beta.is_finite() && beta > 0.0, "finite and greater than 0")?;
    let beta_of_type = T::Real::of(beta);
    let in_range = beta_of_type.is_finite() && beta_of_type > T::Real::of(0.0);
    check_parameter("beta", beta, in_range, IN_RANGE)
}

/// A schedule for beta: `initial * (1 + rate * s)^power`, `s` being the training step rounded down
/// to a multiple of `every`.
///
/// The default is the schedule of HashNet's published PyTorch code: `(1 + 0.005 s)^0.5`, advancing
/// every 200 steps.
///
/// ```
/// use bihalf::ops::relax::Continuation;
///
/// let schedule = Continuation { initial: 1.0, rate: 0.1, power: 2.0, every: 10 };
/// assert_eq!(schedule.beta(9), 1.0);
/// assert_eq!(schedule.beta(25), 9.0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Continuation {
    /// Beta at step 0.
    pub initial: f64,
    /// Growth a step.
    pub rate: f64,
    /// Exponent: below 1 beta grows ever more slowly, above 1 ever faster.
    pub power: f64,
    /// Steps between two changes of beta; 0 is taken as 1.
    pub every: u64,
}

impl Default for Continuation {
    fn default() -> Self {
        Self { initial: 1.0, rate: 0.005, power: 0.5, every: 200 }
    }
}

impl Continuation {
    /// Beta at a training step, counted from 0.
    pub fn beta(&self, step: u64) -> f64 {
        let s = step - step % self.every.max(1);
        self.initial * (1.0 + self.rate * s as f64).powf(self.power)
    }
}
