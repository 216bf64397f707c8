//! Host side of `kernels/relax.cu`.
#![allow(unsafe_code)]

use super::args::{Input, Output, Shape};
use super::memory::{DeviceMut, DeviceRef};
use super::stream::Cuda;
use crate::ops::relax;
use crate::plan::Kernel;
use crate::{Element, Matrix, Result};

#[repr(C)]
struct Args {
    u: Input,
    out: Output,
    shape: Shape,
    beta: f64,
}

impl Cuda {
    pub(super) fn relax_forward<T: Element>(
        &self,
        u: Matrix<DeviceRef<'_, T>>,
        beta: f64,
        out: Matrix<DeviceMut<'_, T>>,
    ) -> Result<()> {
        self.relax(Kernel::RelaxForward, u, beta, "the output", out)
    }

    pub(super) fn relax_backward<T: Element>(
        &self,
        u: Matrix<DeviceRef<'_, T>>,
        beta: f64,
        grad: Matrix<DeviceMut<'_, T>>,
    ) -> Result<()> {
        self.relax(Kernel::RelaxBackward, u, beta, "the gradient", grad)
    }

    fn relax<T: Element>(
        &self,
        kernel: Kernel,
        u: Matrix<DeviceRef<'_, T>>,
        beta: f64,
        what: &'static str,
        out: Matrix<DeviceMut<'_, T>>,
    ) -> Result<()> {
        relax::check(u.shape(), beta, what, out.shape())?;
        let shape = Shape::new(u.rows(), u.cols())?;
        let stream = self.stream();
        let (u, _u) = Input::of("U", u, stream)?;
        let (out, _out) = Output::of(what, out, stream)?;
        // SAFETY: the argument of both kernels; views have been checked, and are held.
        unsafe { self.walk::<T, _>(kernel, shape, &Args { u, out, shape, beta }) }
    }
}
