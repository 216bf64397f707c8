//! The relaxation `tanh(beta * u)`: forward and backward as candle ops.

use crate::storage::{TensorStorage, matrix, with_float};
use bihalf::Backend;
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Error, Layout, Result, Shape, Tensor};

pub(crate) struct TanhRelax {
    pub(crate) beta: f64,
}

impl TanhRelax {
    fn forward<S: TensorStorage>(&self, u: (&S, &Layout)) -> Result<(S, Shape)> {
        let (storage, layout) = u;
        let b = with_float!(storage.dtype(), self.name(), T => {
            let u = matrix::<S, T>(self.name(), u)?;
            let b = storage.backend()?.relax_forward(u, self.beta).map_err(Error::wrap)?;
            Ok(storage.wrap(b))
        })?;
        Ok((b, layout.shape().clone()))
    }
}

impl CustomOp1 for TanhRelax {
    fn name(&self) -> &'static str {
        "tanh_relax"
    }

    fn cpu_fwd(&self, u: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        self.forward((u, layout))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, u: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        self.forward((u, layout))
    }

    fn bwd(&self, u: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        u.apply_op2_no_bwd(grad, &Backward { beta: self.beta }).map(Some)
    }
}

/// `dU = dB * beta * (1 - tanh(beta * U)^2)` of `(U, dB)`.
struct Backward {
    beta: f64,
}

impl Backward {
    fn backward<S: TensorStorage>(&self, [u, grad]: [(&S, &Layout); 2]) -> Result<(S, Shape)> {
        let (storage, layout) = u;
        let grad = with_float!(storage.dtype(), self.name(), T => {
            let u = matrix::<S, T>(self.name(), u)?;
            let grad = matrix::<S, T>(self.name(), grad)?;
            let backend = storage.backend()?;
            let grad = backend.new_matrix(u.shape(), |out| backend.relax_backward_into(u, self.beta, grad, out));
            Ok(storage.wrap(grad.map_err(Error::wrap)?))
        })?;
        Ok((grad, layout.shape().clone()))
    }
}

impl CustomOp2 for Backward {
    fn name(&self) -> &'static str {
        "tanh_relax-backward"
    }

    fn cpu_fwd(
        &self,
        u: &CpuStorage,
        u_layout: &Layout,
        grad: &CpuStorage,
        grad_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.backward([(u, u_layout), (grad, grad_layout)])
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        u: &CudaStorage,
        u_layout: &Layout,
        grad: &CudaStorage,
        grad_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.backward([(u, u_layout), (grad, grad_layout)])
    }
}
