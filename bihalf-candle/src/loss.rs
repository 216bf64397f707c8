//! The cosine-preserving loss as a candle op with a gradient for the codes.

use crate::storage::{Float, TensorStorage, matrix, with_float};
use bihalf::{Backend, Matrix};
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp2, DType, Error, Layout, Result, Shape, Tensor};

/// Mean over the pairs of rows `(i, i + floor(rows / 2))` of `(cos(x1, x2) - cos(b1, b2))^2`, a
/// scalar of the dtype of `b`: how well the codes `b` `[rows, bits]` keep the angles between the
/// features `x` `[rows, dims]`.
///
/// The gradient is for `b` alone; `x` counts as constant. A row of zeros has the cosine 0 with any
/// other, and the gradient 0, where candle's own ops would divide by its norm; the last of an odd
/// number of rows is in no pair and has the gradient 0. The two may differ in dtype. For f16 and
/// bf16 the gradient is computed in f32 and rounded once, after the scale of the loss is applied.
///
/// ```
/// use bihalf_candle::{BihalfExt, cosine_loss};
/// use candle_core::{Device, Tensor, Var};
///
/// # fn main() -> candle_core::Result<()> {
/// let x = Tensor::new(&[[1f32, 0.0], [2.0, 1.0], [1.0, 0.1], [-1.0, 2.0]], &Device::Cpu)?;
/// let u = Var::new(&[[0.3f32, 0.1, -0.2], [0.2, 0.5, 0.1], [0.1, 0.2, 0.4], [-1.0, 0.6, 0.2]], &Device::Cpu)?;
/// let loss = cosine_loss(&x, &u.bihalf(6.0)?)?;
/// assert!(loss.to_scalar::<f32>()? >= 0.0);
/// let grads = loss.backward()?;
/// assert_eq!(grads.get(&u).unwrap().dims(), [4, 3]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Where `x` and `b` differ in their number of rows or in their device, are no matrices of floats, or
/// are on a device that this build has no kernels for.
pub fn cosine_loss(x: &Tensor, b: &Tensor) -> Result<Tensor> {
    // Detached, because candle's backward pass expects a gradient for every tracked argument.
    x.detach().apply_op2(b, CosineLoss)
}

struct CosineLoss;

impl CosineLoss {
    fn forward<S: TensorStorage>(&self, [x, b]: [(&S, &Layout); 2]) -> Result<(S, Shape)> {
        let storage = b.0;
        let loss = with_float!(x.0.dtype(), self.name(), X => {
            with_float!(storage.dtype(), self.name(), T => {
                let x = matrix::<S, X>(self.name(), x)?;
                storage.cosine_loss::<X, T>(x, matrix(self.name(), b)?)
            })
        })?;
        Ok((loss, Shape::from(())))
    }
}

impl CustomOp2 for CosineLoss {
    fn name(&self) -> &'static str {
        "cosine_loss"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.forward([(x, x_layout), (b, b_layout)])
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        x_layout: &Layout,
        b: &CudaStorage,
        b_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.forward([(x, x_layout), (b, b_layout)])
    }

    fn bwd(
        &self,
        x: &Tensor,
        b: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        // In half precision the gradient may vanish before the scale of the loss is applied.
        let dtype = if b.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
        let slope = x.apply_op2_no_bwd(&b.detach().to_dtype(dtype)?, &Slope)?;
        let grad = slope.broadcast_mul(&grad.to_dtype(dtype)?)?.to_dtype(b.dtype())?;
        Ok((None, Some(grad)))
    }
}

/// The derivative of the loss of `(X, B)` for `B`.
struct Slope;

impl Slope {
    fn forward<S: TensorStorage>(&self, [x, b]: [(&S, &Layout); 2]) -> Result<(S, Shape)> {
        let (storage, layout) = b;
        let slope = with_float!(x.0.dtype(), self.name(), X => {
            with_float!(storage.dtype(), self.name(), T => {
                let x = matrix::<S, X>(self.name(), x)?;
                let b = matrix::<S, T>(self.name(), b)?;
                let pair = cosine_with_grad(&storage.backend()?, x, b);
                let (_, slope) = pair.map_err(Error::wrap)?;
                Ok(storage.wrap(slope))
            })
        })?;
        Ok((slope, layout.shape().clone()))
    }
}

impl CustomOp2 for Slope {
    fn name(&self) -> &'static str {
        "cosine_loss-backward"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.forward([(x, x_layout), (b, b_layout)])
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        x_layout: &Layout,
        b: &CudaStorage,
        b_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.forward([(x, x_layout), (b, b_layout)])
    }
}

/// The loss, one element, and its gradient for `b`.
pub(crate) fn cosine_with_grad<B: Backend, X: Float, T: Float>(
    backend: &B,
    x: Matrix<B::Slice<'_, X>>,
    b: Matrix<B::Slice<'_, T>>,
) -> bihalf::Result<(B::Buffer<f64>, B::Buffer<T>)> {
    let (rows, cols) = b.shape();
    let mut loss = backend.zeros(1)?;
    let mut ws = backend.workspace::<T>(rows, cols)?;
    let grad = backend.new_matrix((rows, cols), |grad| {
        backend.cosine_with_grad_into(x, b, B::slice_mut(&mut loss), grad, &mut ws)
    })?;
    Ok((loss, grad))
}
