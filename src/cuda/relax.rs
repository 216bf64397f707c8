//! Host side of `kernels/relax.cu`.
#![allow(unsafe_code)]

use super::args::{InOut, Input, Output, Shape};
use super::memory::{DeviceMut, DeviceRef};
use super::stream::Cuda;
use crate::ops::relax;
use crate::plan::Kernel;
use crate::{Element, Matrix, Result};

#[repr(C)]
struct Forward {
    u: Input,
    out: Output,
    shape: Shape,
    beta: f64,
}

#[repr(C)]
struct Backward {
    u: Input,
    grad: Input,
    out: Output,
    shape: Shape,
    beta: f64,
}

/// Size of each kernel's argument.
#[cfg(test)]
pub(super) const ARGS: &[(Kernel, usize)] =
    &[(Kernel::RelaxForward, size_of::<Forward>()), (Kernel::RelaxBackward, size_of::<Backward>())];

impl Cuda {
    pub(super) fn relax_output<T: Element>(
        &self,
        u: Matrix<DeviceRef<'_, T>>,
        beta: f64,
        out: Matrix<DeviceMut<'_, T>>,
    ) -> Result<()> {
        relax::check_forward::<T>(u.shape(), beta, out.shape())?;
        let shape = Shape::new(u.rows(), u.cols())?;
        let stream = self.ready()?;
        let (u, _u) = Input::of("U", u, stream)?;
        let (out, _out) = Output::of("the output", out, stream)?;
        let args = Forward { u, out, shape, beta };
        // SAFETY: the kernel's argument; views have been checked, and are `Held`.
        unsafe { self.walk::<T, _>(Kernel::RelaxForward, shape, &args) }
    }

    pub(super) fn relax_gradient<T: Element>(
        &self,
        u: Matrix<DeviceRef<'_, T>>,
        beta: f64,
        grad: InOut<'_, T>,
    ) -> Result<()> {
        relax::check_backward::<T>(u.shape(), beta, grad.shapes())?;
        let shape = Shape::new(u.rows(), u.cols())?;
        let stream = self.ready()?;
        let (u, _u) = Input::of("U", u, stream)?;
        let (grad, out, _grad) = grad.hold("the gradient", stream)?;
        let args = Backward { u, grad, out, shape, beta };
        // SAFETY: the kernel's argument; views have been checked, and are `Held`.
        unsafe { self.walk::<T, _>(Kernel::RelaxBackward, shape, &args) }
    }
}
