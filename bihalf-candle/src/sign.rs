//! Sign with a straight-through gradient: forward and backward as candle ops.

use crate::storage::{TensorStorage, matrix, with_float};
use bihalf::{Backend, Pull};
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Error, Layout, Result, Shape, Tensor};

pub(crate) struct SignSte {
    pub(crate) pull: Pull,
}

impl SignSte {
    fn forward<S: TensorStorage>(&self, u: (&S, &Layout)) -> Result<(S, Shape)> {
        let (storage, layout) = u;
        let b = with_float!(storage.dtype(), self.name(), T => {
            let u = matrix::<S, T>(self.name(), u)?;
            let b = storage.backend()?.sign_forward(u, None).map_err(Error::wrap)?;
            Ok(storage.wrap(b))
        })?;
        Ok((b, layout.shape().clone()))
    }
}

impl CustomOp1 for SignSte {
    fn name(&self) -> &'static str {
        "sign_ste"
    }

    fn cpu_fwd(&self, u: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        self.forward((u, layout))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, u: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        self.forward((u, layout))
    }

    fn bwd(&self, u: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        u.apply_op2_no_bwd(grad, &Backward { pull: self.pull }).map(Some)
    }
}

/// `dU = dB + gamma / divisor * (U - sign(U))` of `(U, dB)`.
struct Backward {
    pull: Pull,
}

impl Backward {
    fn backward<S: TensorStorage>(&self, [u, grad]: [(&S, &Layout); 2]) -> Result<(S, Shape)> {
        let (storage, layout) = u;
        let grad = with_float!(storage.dtype(), self.name(), T => {
            let u = matrix::<S, T>(self.name(), u)?;
            let grad = matrix::<S, T>(self.name(), grad)?;
            let backend = storage.backend()?;
            let grad = backend.new_matrix(u.shape(), |out| backend.sign_backward_into(u, None, grad, out, self.pull));
            Ok(storage.wrap(grad.map_err(Error::wrap)?))
        })?;
        Ok((grad, layout.shape().clone()))
    }
}

impl CustomOp2 for Backward {
    fn name(&self) -> &'static str {
        "sign_ste-backward"
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
