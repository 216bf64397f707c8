//! Host side of `kernels/rank.cu`.
#![allow(unsafe_code)]

use super::args::{Input, Output, Shape};
use super::memory::{DeviceMut, DeviceRef};
use super::stream::Cuda;
use super::workspace::Workspace;
use crate::ops::rank;
#[cfg(test)]
use crate::plan::Kernel;
use crate::plan::{self, RankStep};
use crate::{Element, Matrix, Order, Result};

#[repr(C)]
struct Sort {
    u: Input,
    ranks: Output,
    order: Output,
    pairs: u64,
    shape: Shape,
    descending: u32,
    last: u32,
}

#[repr(C)]
struct Exchange {
    pairs: u64,
    shape: Shape,
    stride: u64,
    strides: u32,
    mirrored: u32,
}

#[repr(C)]
struct Merge {
    ranks: Output,
    order: Output,
    pairs: u64,
    shape: Shape,
    last: u32,
}

/// Size of each kernel's argument.
#[cfg(test)]
pub(super) const ARGS: &[(Kernel, usize)] = &[
    (Kernel::RankSort32, size_of::<Sort>()),
    (Kernel::RankSort256, size_of::<Sort>()),
    (Kernel::RankSort1024, size_of::<Sort>()),
    (Kernel::RankSort2048, size_of::<Sort>()),
    (Kernel::RankSort4096, size_of::<Sort>()),
    (Kernel::RankSortPairs, size_of::<Sort>()),
    (Kernel::RankExchangePairs32, size_of::<Exchange>()),
    (Kernel::RankExchangePairs64, size_of::<Exchange>()),
    (Kernel::RankExchangePairs128, size_of::<Exchange>()),
    (Kernel::RankMergePairs32, size_of::<Merge>()),
    (Kernel::RankMergePairs64, size_of::<Merge>()),
    (Kernel::RankMergePairs128, size_of::<Merge>()),
];

/// What of a sorted column is written.
#[derive(Clone, Copy)]
pub(super) enum Wanted {
    Ranks,
    Rows,
}

impl Cuda {
    pub(super) fn sort<T: Element>(
        &self,
        u: Matrix<DeviceRef<'_, T>>,
        order: Order,
        wanted: Wanted,
        out: Matrix<DeviceMut<'_, u32>>,
        ws: &mut Workspace,
    ) -> Result<()> {
        rank::check(u.shape(), out.shape())?;
        let shape = Shape::new(u.rows(), u.cols())?;
        let plan = plan::rank(shape.rows, shape.cols, T::DTYPE, self.kernels().limits());
        let stream = self.ready()?;
        let ws = ws.hold(plan.workspace_bytes(), stream)?;
        let (u, _u) = Input::of("U", u, stream)?;
        let (out, _out) = Output::of("the output", out, stream)?;
        let (ranks, rows) = match wanted {
            Wanted::Ranks => (out, Output::default()),
            Wanted::Rows => (Output::default(), out),
        };
        let pairs = ws.as_ref().map_or(0, |ws| ws.address);
        let descending = u32::from(order == Order::Descending);
        for (step, launch) in plan.steps() {
            // SAFETY: each argument is the struct of the step's kernel; views have been checked
            // against the shape and are `Held`, as is the workspace, which the plan has measured.
            unsafe {
                match step {
                    RankStep::Sort { last } => {
                        let last = u32::from(last);
                        let args = Sort { u, ranks, order: rows, pairs, shape, descending, last };
                        self.launch::<T, _>(launch, &args)
                    }
                    RankStep::Exchange { stride, strides, mirrored } => {
                        let mirrored = u32::from(mirrored);
                        let args = Exchange { pairs, shape, stride, strides, mirrored };
                        self.launch::<T, _>(launch, &args)
                    }
                    RankStep::Merge { last } => {
                        let last = u32::from(last);
                        let args = Merge { ranks, order: rows, pairs, shape, last };
                        self.launch::<T, _>(launch, &args)
                    }
                }
            }?;
        }
        Ok(())
    }
}
