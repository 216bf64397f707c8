//! Sign with a straight-through gradient: forward and backward as candle ops.

use crate::storage::{Float, Slice, TensorStorage, matrix, with_float};
use bihalf::{Backend, Gamma};
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, Error, Layout, Result, Shape, Storage, Tensor, bail,
};
use std::ops::Deref;

pub(crate) struct SignSte {
    pub(crate) shift: Option<Shift>,
    pub(crate) gamma: Gamma,
}

/// A number for each column, which gets no gradient.
#[derive(Clone)]
pub(crate) struct Shift(Tensor);

impl Shift {
    pub(crate) fn new(u: &Tensor, shift: &Tensor) -> Result<Self> {
        if shift.rank() != 1 || shift.dims().last() != u.dims().last() {
            bail!(
                "the shift has shape {:?}, but one number for each column of {:?} is needed",
                shift.dims(),
                u.dims()
            )
        }
        if shift.dtype() != u.dtype() || !shift.device().same_device(u.device()) {
            bail!(
                "the shift is {:?} on {:?}, but U is {:?} on {:?}; convert it",
                shift.dtype(),
                shift.device().location(),
                u.dtype(),
                u.device().location()
            )
        }
        Ok(Self(shift.detach().contiguous()?))
    }

    /// What keeps the elements of a shift, if there is one.
    fn lock(shift: &Option<Self>) -> Option<impl Deref<Target = Storage> + '_> {
        shift.as_ref().map(|shift| shift.0.storage_and_layout().0)
    }

    fn elements<'a, S: TensorStorage + 'a, T: Float>(
        shift: &Option<Self>,
        lock: &'a Option<impl Deref<Target = Storage>>,
    ) -> Result<Option<Slice<'a, S, T>>> {
        let (Some(Self(shift)), Some(storage)) = (shift, lock) else { return Ok(None) };
        let Some(storage) = S::of(storage) else { bail!("the shift is on another device than U") };
        let start = shift.layout().start_offset();
        storage.elements::<T>(start..start + shift.elem_count()).map(Some)
    }
}

impl SignSte {
    fn forward<S: TensorStorage>(&self, u: (&S, &Layout)) -> Result<(S, Shape)> {
        let (storage, layout) = u;
        let b = with_float!(storage.dtype(), self.name(), T => {
            let u = matrix::<S, T>(self.name(), u)?;
            let lock = Shift::lock(&self.shift);
            let shift = Shift::elements::<S, T>(&self.shift, &lock)?;
            let b = storage.backend()?.sign_forward(u, shift).map_err(Error::wrap)?;
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
        let (shift, gamma) = (self.shift.clone(), self.gamma);
        u.apply_op2_no_bwd(grad, &Backward { shift, gamma }).map(Some)
    }
}

/// `dU = dB + gamma / divisor * (U - B)` of `(U, dB)`.
struct Backward {
    shift: Option<Shift>,
    gamma: Gamma,
}

impl Backward {
    fn backward<S: TensorStorage>(&self, [u, grad]: [(&S, &Layout); 2]) -> Result<(S, Shape)> {
        let (storage, layout) = u;
        let grad = with_float!(storage.dtype(), self.name(), T => {
            let u = matrix::<S, T>(self.name(), u)?;
            let grad = matrix::<S, T>(self.name(), grad)?;
            let lock = Shift::lock(&self.shift);
            let shift = Shift::elements::<S, T>(&self.shift, &lock)?;
            let (backend, gamma) = (storage.backend()?, self.gamma);
            let grad = backend.new_matrix(u.shape(), |out| {
                backend.sign_backward_into(u, shift, gamma, grad, out)
            });
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
