//! Bi-half: forward and backward as candle ops.

use crate::storage::{TensorStorage, matrix, with_float};
use bihalf::{Backend, Gamma, Ones};
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp1, CustomOp3, Error, Layout, Result, Shape, Tensor};

pub(crate) struct Bihalf {
    pub(crate) ones: Ones,
    pub(crate) gamma: Gamma,
}

impl Bihalf {
    fn forward<S: TensorStorage>(&self, u: (&S, &Layout)) -> Result<(S, Shape)> {
        let (storage, layout) = u;
        let b = with_float!(storage.dtype(), self.name(), T => {
            let u = matrix::<S, T>(self.name(), u)?;
            let b = storage.bihalf_forward(u, self.ones)?;
            Ok(storage.wrap(b))
        })?;
        Ok((b, layout.shape().clone()))
    }
}

impl CustomOp1 for Bihalf {
    fn name(&self) -> &'static str {
        "bihalf"
    }

    fn cpu_fwd(&self, u: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        self.forward((u, layout))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, u: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        self.forward((u, layout))
    }

    fn bwd(&self, u: &Tensor, b: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        u.apply_op3_no_bwd(b, grad, &Backward { gamma: self.gamma }).map(Some)
    }
}

/// `dU = dB + gamma / divisor * (U - B)` of `(U, B, dB)`.
struct Backward {
    gamma: Gamma,
}

impl Backward {
    fn backward<S: TensorStorage>(&self, [u, b, grad]: [(&S, &Layout); 3]) -> Result<(S, Shape)> {
        let (storage, layout) = u;
        let grad = with_float!(storage.dtype(), self.name(), T => {
            let u = matrix::<S, T>(self.name(), u)?;
            let b = matrix::<S, T>(self.name(), b)?;
            let grad = matrix::<S, T>(self.name(), grad)?;
            let backend = storage.backend()?;
            let grad = backend.bihalf_backward(u, b, self.gamma, grad).map_err(Error::wrap)?;
            Ok(storage.wrap(grad))
        })?;
        Ok((grad, layout.shape().clone()))
    }
}

impl CustomOp3 for Backward {
    fn name(&self) -> &'static str {
        "bihalf-backward"
    }

    fn cpu_fwd(
        &self,
        u: &CpuStorage,
        u_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
        grad: &CpuStorage,
        grad_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.backward([(u, u_layout), (b, b_layout), (grad, grad_layout)])
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        u: &CudaStorage,
        u_layout: &Layout,
        b: &CudaStorage,
        b_layout: &Layout,
        grad: &CudaStorage,
        grad_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.backward([(u, u_layout), (b, b_layout), (grad, grad_layout)])
    }
}
