//! Bi-half: forward and backward as candle ops.

use crate::cpu::{Float, matrix, with_float};
use bihalf::{Ones, Pull, Signs, ops};
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, CustomOp3, Error, Layout, Result, Shape, Tensor};

pub(crate) struct Bihalf {
    pub(crate) ones: Ones,
    pub(crate) pull: Pull,
}

impl Bihalf {
    fn forward<T: Float>(&self, u: &CpuStorage, layout: &Layout) -> Result<CpuStorage> {
        let u = matrix::<T>(self.name(), u, layout)?;
        let b = ops::bihalf::forward(u, self.ones).map_err(Error::wrap)?;
        Ok(T::to_cpu_storage_owned(b))
    }
}

impl CustomOp1 for Bihalf {
    fn name(&self) -> &'static str {
        "bihalf"
    }

    fn cpu_fwd(&self, u: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let b = with_float!(u.dtype(), self.name(), T => self.forward::<T>(u, layout))?;
        Ok((b, layout.shape().clone()))
    }

    fn bwd(&self, u: &Tensor, b: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        u.apply_op3_no_bwd(b, grad, &Backward { pull: self.pull }).map(Some)
    }
}

/// `dU = dB + gamma / divisor * (U - B)` of `(U, B, dB)`.
struct Backward {
    pull: Pull,
}

impl Backward {
    fn backward<T: Float>(&self, [u, b, grad]: [(&CpuStorage, &Layout); 3]) -> Result<CpuStorage> {
        let u = matrix::<T>(self.name(), u.0, u.1)?;
        let b = Signs::Dense(matrix::<T>(self.name(), b.0, b.1)?);
        let grad = matrix::<T>(self.name(), grad.0, grad.1)?;
        let grad = ops::bihalf::backward(u, b, grad, self.pull).map_err(Error::wrap)?;
        Ok(T::to_cpu_storage_owned(grad))
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
        let args = [(u, u_layout), (b, b_layout), (grad, grad_layout)];
        let grad = with_float!(u.dtype(), self.name(), T => self.backward::<T>(args))?;
        Ok((grad, u_layout.shape().clone()))
    }
}
