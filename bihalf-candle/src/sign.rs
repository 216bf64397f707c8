//! Sign with a straight-through gradient: forward and backward as candle ops.

use crate::cpu::{Float, matrix, with_float};
use bihalf::{Pull, ops};
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Error, Layout, Result, Shape, Tensor};

pub(crate) struct SignSte {
    pub(crate) pull: Pull,
}

impl SignSte {
    fn forward<T: Float>(&self, u: &CpuStorage, layout: &Layout) -> Result<CpuStorage> {
        let u = matrix::<T>(self.name(), u, layout)?;
        Ok(T::to_cpu_storage_owned(ops::sign::forward(u).map_err(Error::wrap)?))
    }
}

impl CustomOp1 for SignSte {
    fn name(&self) -> &'static str {
        "sign_ste"
    }

    fn cpu_fwd(&self, u: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let b = with_float!(u.dtype(), self.name(), T => self.forward::<T>(u, layout))?;
        Ok((b, layout.shape().clone()))
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
    fn backward<T: Float>(&self, [u, grad]: [(&CpuStorage, &Layout); 2]) -> Result<CpuStorage> {
        let u = matrix::<T>(self.name(), u.0, u.1)?;
        let grad = matrix::<T>(self.name(), grad.0, grad.1)?;
        let grad = ops::sign::backward(u, None, grad, self.pull).map_err(Error::wrap)?;
        Ok(T::to_cpu_storage_owned(grad))
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
        let args = [(u, u_layout), (grad, grad_layout)];
        let grad = with_float!(u.dtype(), self.name(), T => self.backward::<T>(args))?;
        Ok((grad, u_layout.shape().clone()))
    }
}
