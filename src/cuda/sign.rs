//! Host side of `kernels/sign.cu`. Packing is the forward pass with packed output alone.
#![allow(unsafe_code)]

use super::args::{InOut, Input, Output, Shape, Signs, optional};
use super::memory::{DeviceRef, Held};
use super::stream::Cuda;
use crate::ops::sign;
use crate::plan::{self, Kernel};
use crate::{Element, Gamma, Matrix, Outputs, Result, Storage};

#[repr(C)]
struct Forward {
    u: Input,
    shift: u64,
    out: Signs,
    shape: Shape,
}

#[repr(C)]
struct Backward {
    u: Input,
    grad: Input,
    shift: u64,
    out: Output,
    shape: Shape,
    c: f64,
}

/// Size of each kernel's argument.
#[cfg(test)]
pub(super) const ARGS: &[(Kernel, usize)] =
    &[(Kernel::SignForward, size_of::<Forward>()), (Kernel::SignBackward, size_of::<Backward>())];

impl Cuda {
    pub(super) fn sign_outputs<T: Element>(
        &self,
        u: Matrix<DeviceRef<'_, T>>,
        shift: Option<DeviceRef<'_, T>>,
        out: Outputs<'_, T, Self>,
    ) -> Result<()> {
        sign::check_forward(u.shape(), shift.as_ref().map(|t| t.len()), &out)?;
        let shape = Shape::new(u.rows(), u.cols())?;
        let stream = self.ready()?;
        let (u, _u) = Input::of("U", u, stream)?;
        let (shift, _shift) =
            optional(shift, |t| t.hold("the shift", stream).map(Held::addressed))?;
        let (out, _out) = Signs::of(out, stream)?;
        if out.counts != 0 {
            // SAFETY: the counts have been checked to be one for each column.
            unsafe { self.fill_zero(out.counts, shape.cols as usize * size_of::<u32>()) }?;
        }
        if shape.is_empty() {
            return Ok(());
        }
        let limits = self.kernels().limits();
        let walk = if out.has_codes() { plan::walk_words } else { plan::walk };
        let launch = walk(Kernel::SignForward, shape.rows, shape.cols, limits);
        // SAFETY: the kernel's argument; views have been checked, and are `Held`.
        unsafe { self.launch::<T, _>(launch, &Forward { u, shift, out, shape }) }
    }

    pub(super) fn sign_gradient<T: Element>(
        &self,
        u: Matrix<DeviceRef<'_, T>>,
        shift: Option<DeviceRef<'_, T>>,
        gamma: Gamma,
        grad: InOut<'_, T>,
    ) -> Result<()> {
        let shift_len = shift.as_ref().map(|t| t.len());
        let c = sign::check_backward::<T>(u.shape(), shift_len, gamma, grad.shapes())?;
        let shape = Shape::new(u.rows(), u.cols())?;
        let stream = self.ready()?;
        let (u, _u) = Input::of("U", u, stream)?;
        let (shift, _shift) =
            optional(shift, |t| t.hold("the shift", stream).map(Held::addressed))?;
        let (grad, out, _grad) = grad.hold("the gradient", stream)?;
        let args = Backward { u, grad, shift, out, shape, c };
        // SAFETY: the kernel's argument; views have been checked, and are `Held`.
        unsafe { self.walk::<T, _>(Kernel::SignBackward, shape, &args) }
    }
}
