//! Host side of `kernels/loss.cu`.
#![allow(unsafe_code)]

use super::args::{Input, Output, Shape};
use super::memory::{DeviceMut, DeviceRef, Workspace};
use super::stream::Cuda;
use crate::ops::{check_length, loss};
use crate::plan;
#[cfg(test)]
use crate::plan::Kernel;
use crate::{Element, Matrix, Result, Storage};

#[repr(C)]
struct Targets {
    x: Input,
    targets: u64,
    cols: u32,
    half: u32,
}

#[repr(C)]
struct Pairs {
    b: Input,
    grad: Output,
    values: u64,
    shape: Shape,
}

#[repr(C)]
struct Mean {
    values: u64,
    loss: u64,
    factor: f64,
    count: u32,
    squared: u32,
}

#[repr(C)]
struct ColumnMeans {
    b: Input,
    means: u64,
    shape: Shape,
}

#[repr(C)]
struct PenaltyGrad {
    means: u64,
    grad: Output,
    shape: Shape,
    scale: f64,
}

/// Size of each kernel's argument.
#[cfg(test)]
pub(super) const ARGS: &[(Kernel, usize)] = &[
    (Kernel::CosineTargets, size_of::<Targets>()),
    (Kernel::CosinePairs, size_of::<Pairs>()),
    (Kernel::PenaltyMeans, size_of::<ColumnMeans>()),
    (Kernel::PenaltyGrad, size_of::<PenaltyGrad>()),
    (Kernel::LossMean, size_of::<Mean>()),
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
        let features = Shape::new(x.rows(), x.cols())?;
        let half = shape.rows / 2;

        let stream = self.stream();
        let ws = ws.hold(plan::cosine_workspace_bytes(b.rows()), stream)?;
        let (x, _x) = Input::of("X", x, stream)?;
        let (b, _b) = Input::of("B", b, stream)?;
        let (grad, _grad) = Output::of("the gradient", grad, stream)?;
        let loss = loss.hold("loss", stream)?;
        let values = ws.address;
        self.bind()?;

        let [targets, pairs, mean] = plan::cosine(shape.rows);
        // SAFETY: each argument is the struct of its kernel; views have been checked against the
        // shapes and are held, as is the workspace, which has a number for each pair.
        unsafe {
            if half == 0 {
                self.fill_zero(loss.address, size_of::<f64>())?;
            } else {
                let args = Targets { x, targets: values, cols: features.cols, half };
                self.launch::<X, _>(targets, &args)?;
            }
            if shape.rows > 0 {
                self.launch::<T, _>(pairs, &Pairs { b, grad, values, shape })?;
            }
            if half > 0 {
                let (loss, count) = (loss.address, half);
                self.launch::<T, _>(mean, &Mean { values, loss, factor: 1.0, count, squared: 0 })?;
            }
        }
        Ok(())
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

        let stream = self.stream();
        let ws = ws.hold(plan::penalty_workspace_bytes(b.cols()), stream)?;
        let (b, _b) = Input::of("B", b, stream)?;
        let (grad, _grad) = Output::of("the gradient", grad, stream)?;
        let loss = loss.hold("loss", stream)?;
        let means = ws.address;
        self.bind()?;

        // SAFETY: each argument is the struct of its kernel; views have been checked against the
        // shape and are held, as is the workspace, which has a number for each column.
        unsafe {
            if shape.is_empty() {
                return self.fill_zero(loss.address, size_of::<f64>());
            }
            let limits = self.kernels().limits();
            let [column_means, gradient, mean] = plan::penalty(shape.rows, shape.cols, limits);
            self.launch::<T, _>(column_means, &ColumnMeans { b, means, shape })?;
            let scale = alpha / (f64::from(shape.rows) * f64::from(shape.cols));
            self.launch::<T, _>(gradient, &PenaltyGrad { means, grad, shape, scale })?;
            let (values, loss, factor, count) = (means, loss.address, alpha / 2.0, shape.cols);
            self.launch::<T, _>(mean, &Mean { values, loss, factor, count, squared: 1 })
        }
    }
}
