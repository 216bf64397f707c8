//! Host side of `kernels/loss.cu`.
#![allow(unsafe_code)]

use super::args::{Codes, Features, InOut, Input, Output, Shape};
use super::memory::{DeviceMut, DeviceRef};
use super::stream::Cuda;
use super::workspace::Workspace;
use crate::ops::{check_length, loss};
use crate::plan;
#[cfg(test)]
use crate::plan::Kernel;
use crate::{Element, Gamma, Matrix, PackedCodes, Result, Storage};

/// Where blocks leave their numbers, and where their sum goes.
#[repr(C)]
struct Total {
    values: u64,
    finished: u64,
    loss: u64,
}

#[repr(C)]
struct CosineDense {
    x: Features,
    b: Input,
    grad: Output,
    total: Total,
    shape: Shape,
}

#[repr(C)]
struct CosinePacked {
    x: Features,
    codes: Codes,
    pair_grads: u64,
    total: Total,
    shape: Shape,
}

#[repr(C)]
struct CosineBackward {
    u: Input,
    codes: Codes,
    pair_grads: u64,
    out: Output,
    shape: Shape,
    c: f64,
}

#[repr(C)]
struct Penalty {
    b: Input,
    grad: Output,
    total: Total,
    shape: Shape,
    scale: f64,
    factor: f64,
}

/// Size of each kernel's argument.
#[cfg(test)]
pub(super) const ARGS: &[(Kernel, usize)] = &[
    (Kernel::CosineDense, size_of::<CosineDense>()),
    (Kernel::CosinePacked, size_of::<CosinePacked>()),
    (Kernel::CosineBackward, size_of::<CosineBackward>()),
    (Kernel::EntropyPenalty, size_of::<Penalty>()),
];

impl Cuda {
    pub(super) fn cosine_with_grad<X: Element, T: Element>(
        &self,
        x: Matrix<DeviceRef<'_, X>>,
        b: Matrix<DeviceRef<'_, T>>,
        loss: DeviceMut<'_, f64>,
        grad: Matrix<DeviceMut<'_, T>>,
        ws: &mut Workspace,
    ) -> Result<()> {
        check_length("loss", "one value", 1, loss.len())?;
        loss::check_cosine(x.rows(), b.shape(), grad.shape())?;
        let shape = Shape::new(b.rows(), b.cols())?;

        let stream = self.ready()?;
        let needed = plan::cosine_workspace_bytes(b.rows());
        let (ws, finished) = ws.hold_with_counter(needed, stream)?;
        let (x, _x) = Features::of("X", x, stream)?;
        let (b, _b) = Input::of("B", b, stream)?;
        let (grad, _grad) = Output::of("the gradient", grad, stream)?;
        let loss = loss.hold("loss", stream)?;

        let total = Total { values: ws.address, finished, loss: loss.address };
        let args = CosineDense { x, b, grad, total, shape };
        // SAFETY: the kernel's argument; views have been checked against the shapes and are `Held`,
        // as is the workspace, which has a number for each block and a counter that is 0.
        unsafe { self.launch::<T, _>(plan::cosine(shape.rows), &args) }
    }

    pub(super) fn cosine_packed<X: Element>(
        &self,
        x: Matrix<DeviceRef<'_, X>>,
        codes: PackedCodes<DeviceRef<'_, u64>>,
        loss: DeviceMut<'_, f64>,
        pair_grads: DeviceMut<'_, f64>,
        ws: &mut Workspace,
    ) -> Result<()> {
        check_length("loss", "one value", 1, loss.len())?;
        loss::check_cosine_packed(x.rows(), codes.rows(), pair_grads.len())?;
        let shape = Shape::new(codes.rows(), codes.bits())?;

        let stream = self.ready()?;
        let needed = plan::cosine_workspace_bytes(codes.rows());
        let (ws, finished) = ws.hold_with_counter(needed, stream)?;
        let (x, _x) = Features::of("X", x, stream)?;
        let (codes, _codes) = Codes::to_read(codes, stream)?;
        let pair_grads = pair_grads.hold("the pair gradients", stream)?;
        let loss = loss.hold("loss", stream)?;

        let total = Total { values: ws.address, finished, loss: loss.address };
        let args = CosinePacked { x, codes, pair_grads: pair_grads.address, total, shape };
        // SAFETY: the kernel's argument; views have been checked against the shapes and are `Held`,
        // as are the pair gradients, two per pair, and the workspace, which has a number for each
        // block and a counter that is 0.
        unsafe { self.launch::<X, _>(plan::cosine_packed(shape.rows), &args) }
    }

    pub(super) fn cosine_backward<T: Element>(
        &self,
        u: InOut<'_, T>,
        codes: PackedCodes<DeviceRef<'_, u64>>,
        pair_grads: DeviceRef<'_, f64>,
        gamma: Gamma,
    ) -> Result<()> {
        let [u_shape, out_shape] = u.shapes();
        let len = pair_grads.len();
        let c = loss::check_cosine_backward::<T>(u_shape, codes.shape(), len, gamma, out_shape)?;
        let shape = Shape::new(u_shape.0, u_shape.1)?;
        if shape.is_empty() {
            return Ok(());
        }

        let stream = self.ready()?;
        let (u, out, _u) = u.hold("U", stream)?;
        let (codes, _codes) = Codes::to_read(codes, stream)?;
        let pair_grads = pair_grads.hold("the pair gradients", stream)?;

        let launch = plan::cosine_backward(shape.rows, shape.cols, self.kernels().limits());
        let args = CosineBackward { u, codes, pair_grads: pair_grads.address, out, shape, c };
        // SAFETY: the kernel's argument; views have been checked against the shape and are `Held`,
        // as are the pair gradients, two per pair.
        unsafe { self.launch::<T, _>(launch, &args) }
    }

    pub(super) fn entropy_penalty_with_grad<T: Element>(
        &self,
        b: Matrix<DeviceRef<'_, T>>,
        alpha: f64,
        loss: DeviceMut<'_, f64>,
        grad: Matrix<DeviceMut<'_, T>>,
        ws: &mut Workspace,
    ) -> Result<()> {
        check_length("loss", "one value", 1, loss.len())?;
        loss::check_penalty(b.shape(), alpha, grad.shape())?;
        let shape = Shape::new(b.rows(), b.cols())?;

        let stream = self.ready()?;
        let needed = plan::penalty_workspace_bytes(b.cols());
        let (ws, finished) = ws.hold_with_counter(needed, stream)?;
        let (b, _b) = Input::of("B", b, stream)?;
        let (grad, _grad) = Output::of("the gradient", grad, stream)?;
        let loss = loss.hold("loss", stream)?;

        if shape.is_empty() {
            // SAFETY: one value, which is `Held`.
            return unsafe { self.fill_zero(loss.address, size_of::<f64>()) };
        }
        let scale = alpha / (f64::from(shape.rows) * f64::from(shape.cols));
        let total = Total { values: ws.address, finished, loss: loss.address };
        let args = Penalty { b, grad, total, shape, scale, factor: alpha / 2.0 };
        // SAFETY: the kernel's argument; views have been checked against the shape and are `Held`,
        // as is the workspace, which has a number for each tile and a counter that is 0.
        unsafe { self.launch::<T, _>(plan::penalty(shape.cols), &args) }
    }
}
