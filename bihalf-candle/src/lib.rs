//! [`bihalf`](::bihalf) for [candle](candle_core): hash layers as tensor ops with gradients.
//!
//! | op | forward | gradient |
//! |---|---|---|
//! | [`bihalf`](BihalfExt::bihalf), [`bihalf_with`](BihalfExt::bihalf_with) | in each column, the upper half becomes +1, the rest -1 | `dU = dB + gamma / (M K) * (U - B)` |
//! | [`sign_ste`](BihalfExt::sign_ste), [`sign_ste_with`](BihalfExt::sign_ste_with) | +1 above 0, or above a threshold of the column; else -1 | the same |
//! | [`tanh_relax`](BihalfExt::tanh_relax) | `tanh(beta * u)` | `dU = dB * beta * (1 - B^2)` |
//! | [`cosine_loss`] | mean over pairs of rows of `(cos(x1, x2) - cos(b1, b2))^2` | for `B` alone |
//! | [`to_codes`](BihalfExt::to_codes) | packed [`Codes`] of the signs, for search | none |
//!
//! All take matrices `[rows, cols]` of f16, bf16, f32 or f64, contiguous or not: transposed, narrowed
//! and broadcast views are read in place. Other ranks and dtypes are errors. Forward and backward both
//! run the kernels of the crate `bihalf` on the tensor's device: the CPU, with the threads of the
//! current rayon pool, or with feature `cuda` a GPU (see [below](#cuda)).
//!
//! ```
//! use bihalf_candle::BihalfExt;
//! use candle_core::{Device, Tensor, Var};
//!
//! # fn main() -> candle_core::Result<()> {
//! let x = Tensor::new(&[[1f32, 2.0], [-1.0, 0.5], [0.5, -2.0], [3.0, 1.0]], &Device::Cpu)?;
//! let weight = Var::new(&[[0.3f32, -0.2], [0.1, 0.4]], &Device::Cpu)?;
//!
//! let u = x.matmul(&weight)?;
//! let b = u.bihalf(1.0)?; // two +1 and two -1 in each column
//! assert_eq!(b.sum(0)?.to_vec1::<f32>()?, [0.0, 0.0]);
//!
//! let loss = (b - &x)?.sqr()?.mean_all()?;
//! let grads = loss.backward()?; // reaches the weight through the hash layer
//! assert!(grads.get(&weight).is_some());
//!
//! let codes = u.to_codes()?; // at inference: the sign of each value, one bit each
//! assert_eq!((codes.rows(), codes.bits()), (4, 2));
//! # Ok(())
//! # }
//! ```
//!
//! # Two ways to the same gradient
//! The pull `gamma / (M K) * (U - B)` is added to the gradient as it passes, whatever the scale of
//! the loss. Where the loss is scaled (mixed precision with loss scaling, or a loss divided by the
//! number of accumulated batches) the pull is *not* scaled along, so after unscaling it is weaker or
//! stronger than without. There, write the pull as part of the loss, which scales with the rest:
//!
//! ```
//! # use bihalf_candle::BihalfExt;
//! # use candle_core::{Device, Result, Tensor, Var};
//! # fn task_loss(b: &Tensor) -> Result<Tensor> { b.sum_all() }
//! # fn main() -> Result<()> {
//! # let u = Var::new(&[[0.3f32, -0.2], [0.1, 0.4]], &Device::Cpu)?;
//! # let gamma = 6.0;
//! let b = u.bihalf(0.0)?; // straight through, no pull
//! let pull = ((u.as_tensor() - b.detach())?.sqr()?.mean_all()? * (gamma / 2.0))?;
//! let loss = (task_loss(&b)? + pull)?;
//! # loss.backward()?;
//! # Ok(())
//! # }
//! ```
//!
//! # CUDA
//! ```toml
//! bihalf-candle = { version = "0.1", features = ["cuda"] }
//! ```
//!
//! - Ops on a CUDA tensor then run on its device, on candle's own stream, and read and write candle's
//!   own buffers. The module `cuda` loads the kernels early, for CUDA graphs.
//! - Nothing falls back to the CPU: without the feature a CUDA tensor is an error, candle's own, and
//!   so is a device that the kernels were not compiled for. A Metal tensor always is one.
//! - **To build**: candle's feature `cuda`, which this one turns on, needs the CUDA toolkit with nvcc,
//!   and the variable `CUDA_COMPUTE_CAP` (`80`, say) where there is no `nvidia-smi` to ask. The crate
//!   `bihalf` compiles for that architecture too, or for all that it knows where the variable is not
//!   set.
//! - **To run**: candle links the driver's library and the toolkit's, so a binary with the feature
//!   does not start on a machine without them. One that shall start anywhere is built without.
//!
//! # Entropy penalty
//! `alpha / 2 * mean_j(mean_i(b_ij)^2)`, which keeps the bits of a sign layer balanced, needs no op
//! of its own: `(b.mean(0)?.sqr()?.mean_all()? * (alpha / 2.0))?`.

#![deny(missing_docs)]

/// The examples of the repository's README, run as tests here, where both crates are at hand.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

mod bihalf;
mod codes;
mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
mod loss;
mod relax;
mod sign;
mod storage;

pub use ::bihalf::{Codes, Gamma, Ones};
pub use loss::cosine_loss;

use candle_core::{Result, Tensor};

/// Hash layers as methods of [`Tensor`]; the [crate] page has the table.
///
/// Every method takes a matrix `[rows, cols]` of f16, bf16, f32 or f64, of any strides, and is an
/// error for another rank or dtype, or for a device that this build has no kernels for: other than
/// the CPU and, with feature `cuda`, NVIDIA's GPUs.
pub trait BihalfExt {
    /// Bi-half: in each column the upper half of the rows becomes +1, the rest -1.
    ///
    /// Of an odd number of rows, `floor(rows / 2)` become +1; among equal values the lower row
    /// goes first. The gradient is `dU = dB + gamma / (rows * cols) * (U - B)`.
    ///
    /// For training only: signs depend on the whole batch, and a single row becomes -1 throughout.
    /// Encode with [`to_codes`](Self::to_codes), training data too.
    ///
    /// ```
    /// use bihalf_candle::BihalfExt;
    /// use candle_core::{Device, Tensor};
    ///
    /// # fn main() -> candle_core::Result<()> {
    /// let u = Tensor::new(&[[5f32, -1.0], [4.0, -2.0], [3.0, -3.0]], &Device::Cpu)?;
    /// let b = u.bihalf(1.0)?.to_vec2::<f32>()?;
    /// assert_eq!(b, [[1.0, 1.0], [-1.0, -1.0], [-1.0, -1.0]]);
    /// # Ok(())
    /// # }
    /// ```
    fn bihalf(&self, gamma: f64) -> Result<Tensor>;

    /// [`bihalf`](Self::bihalf) with another share of +1, or a pull with a divisor of its own (for
    /// batches split over devices).
    ///
    /// ```
    /// use bihalf_candle::{BihalfExt, Ones};
    /// use candle_core::{Device, Tensor};
    ///
    /// # fn main() -> candle_core::Result<()> {
    /// let u = Tensor::new(&[[4f32], [3.0], [2.0], [1.0]], &Device::Cpu)?;
    /// let b = u.bihalf_with(Ones::Count(3), 1.0)?;
    /// assert_eq!(b.sum_all()?.to_scalar::<f32>()?, 2.0);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Also where `ones` asks for more rows than there are, or is no number.
    fn bihalf_with(&self, ones: Ones, gamma: impl Into<Gamma>) -> Result<Tensor>;

    /// Sign with a straight-through gradient: +1 above 0, else -1, so also for 0 and NaN.
    ///
    /// The gradient is `dU = dB + gamma / (rows * cols) * (U - B)`. candle's own `sign` has the
    /// value 0 at 0 and no gradient.
    ///
    /// ```
    /// use bihalf_candle::BihalfExt;
    /// use candle_core::{Device, Var};
    ///
    /// # fn main() -> candle_core::Result<()> {
    /// let u = Var::new(&[[3f64, 0.0]], &Device::Cpu)?;
    /// let b = u.sign_ste(0.5)?;
    /// assert_eq!(b.to_vec2::<f64>()?, [[1.0, -1.0]]);
    /// let grads = b.sum_all()?.backward()?; // dB = 1
    /// assert_eq!(grads.get(&u).unwrap().to_vec2::<f64>()?, [[1.5, 1.25]]);
    /// # Ok(())
    /// # }
    /// ```
    fn sign_ste(&self, gamma: f64) -> Result<Tensor>;

    /// [`sign_ste`](Self::sign_ste) of `u + t`, with one `t` per column, as
    /// [`Threshold::shift`](::bihalf::ops::threshold::Threshold::shift) returns it; or with a divisor
    /// of its own.
    ///
    /// The gradient is `dU = dB + gamma / divisor * (U - B)`, as without `t`: it pulls `u`, where
    /// `sign_ste` of the sum would pull `u + t`. None goes to `t`.
    ///
    /// ```
    /// use bihalf_candle::BihalfExt;
    /// use candle_core::{Device, Tensor, Var};
    ///
    /// # fn main() -> candle_core::Result<()> {
    /// let u = Var::new(&[[3f64, 0.0]], &Device::Cpu)?;
    /// let t = Tensor::new(&[-4f64, 1.0], &Device::Cpu)?;
    /// let b = u.sign_ste_with(Some(&t), 0.5)?;
    /// assert_eq!(b.to_vec2::<f64>()?, [[-1.0, 1.0]]);
    /// let grads = b.sum_all()?.backward()?; // dB = 1
    /// assert_eq!(grads.get(&u).unwrap().to_vec2::<f64>()?, [[2.0, 0.75]]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Also where `t` is not `[cols]`, of another dtype or on another device.
    fn sign_ste_with(&self, shift: Option<&Tensor>, gamma: impl Into<Gamma>) -> Result<Tensor>;

    /// `tanh(beta * u)`, the relaxation of sign that sharpens as `beta` grows, as in HashNet;
    /// [`Continuation`](::bihalf::ops::relax::Continuation) plans `beta` over a training run.
    ///
    /// ```
    /// use bihalf_candle::BihalfExt;
    /// use candle_core::{Device, Tensor};
    ///
    /// # fn main() -> candle_core::Result<()> {
    /// let u = Tensor::new(&[[0.5f64, -2.0]], &Device::Cpu)?;
    /// let b = u.tanh_relax(10.0)?.to_vec2::<f64>()?;
    /// assert!((b[0][0] - 5f64.tanh()).abs() < 1e-15 && b[0][1] < -0.999);
    /// # Ok(())
    /// # }
    /// ```
    fn tanh_relax(&self, beta: f64) -> Result<Tensor>;

    /// Packed codes for search: bit `j` of code `i` is whether the value at `[i, j]` is above 0.
    ///
    /// The codes are on the host. Those of a CUDA tensor are packed on its device first, and the call
    /// waits for them.
    ///
    /// ```
    /// use bihalf_candle::BihalfExt;
    /// use candle_core::{Device, Tensor};
    ///
    /// # fn main() -> candle_core::Result<()> {
    /// let codes = Tensor::new(&[[0.5f32, -2.0, 7.0]], &Device::Cpu)?.to_codes()?;
    /// assert!(codes.get(0, 0) && !codes.get(0, 1) && codes.get(0, 2));
    /// # Ok(())
    /// # }
    /// ```
    fn to_codes(&self) -> Result<Codes>;
}

impl BihalfExt for Tensor {
    fn bihalf(&self, gamma: f64) -> Result<Tensor> {
        self.bihalf_with(Ones::Half, gamma)
    }

    fn bihalf_with(&self, ones: Ones, gamma: impl Into<Gamma>) -> Result<Tensor> {
        self.apply_op1(bihalf::Bihalf { ones, gamma: gamma.into() })
    }

    fn sign_ste(&self, gamma: f64) -> Result<Tensor> {
        self.sign_ste_with(None, gamma)
    }

    fn sign_ste_with(&self, shift: Option<&Tensor>, gamma: impl Into<Gamma>) -> Result<Tensor> {
        let shift = shift.map(|shift| sign::Shift::new(self, shift)).transpose()?;
        self.apply_op1(sign::SignSte { shift, gamma: gamma.into() })
    }

    fn tanh_relax(&self, beta: f64) -> Result<Tensor> {
        self.apply_op1(relax::TanhRelax { beta })
    }

    fn to_codes(&self) -> Result<Codes> {
        codes::from_tensor(self)
    }
}
