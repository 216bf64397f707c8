//! Host side of `kernels/bihalf.cu`.
#![allow(unsafe_code)]

use super::args::{Codes, InOut, Input, Output, Shape, Signs, optional};
use super::memory::{DeviceMut, DeviceRef, Held};
use super::stream::Cuda;
use super::workspace::Workspace;
use crate::ops::{bi_half, threshold};
use crate::plan::{self, Asked, Bihalf, BihalfStep, Kernel, VECTOR_BYTES};
use crate::{CodeMatrix, Element, Gamma, Matrix, Ones, Outputs, Result, Storage};

#[repr(C)]
struct Forward {
    u: Input,
    out: Signs,
    threshold: u64,
    shape: Shape,
    k: u32,
    dense_alone: u32,
}

#[repr(C)]
struct Digit {
    u: Input,
    shape: Shape,
    tiles: u32,
    chunk_rows: u32,
    shift: u32,
    bits: u32,
    selection: u64,
    histogram: u64,
    kept: u64,
}

#[repr(C)]
struct Pick {
    selection: u64,
    histogram: u64,
    cols: u32,
    shift: u32,
    bits: u32,
    first: u32,
    k: u32,
}

#[repr(C)]
struct Scan {
    selection: u64,
    kept: u64,
    before: u64,
    cols: u32,
    chunks: u32,
    bits: u32,
}

#[repr(C)]
struct Emit {
    u: Input,
    out: Signs,
    threshold: u64,
    shape: Shape,
    tiles: u32,
    chunk_rows: u32,
    k: u32,
    selection: u64,
    before: u64,
}

#[repr(C)]
struct Backward<Targets> {
    u: Input,
    grad: Input,
    targets: Targets,
    out: Output,
    shape: Shape,
    c: f64,
    by_vectors: u32,
    lanes_log2: u32,
}

/// Size of each kernel's argument.
#[cfg(test)]
pub(super) const ARGS: &[(Kernel, usize)] = &[
    (Kernel::BihalfCounting32, size_of::<Forward>()),
    (Kernel::BihalfCounting32x8, size_of::<Forward>()),
    (Kernel::BihalfCounting64, size_of::<Forward>()),
    (Kernel::BihalfCounting64x8, size_of::<Forward>()),
    (Kernel::BihalfCounting128, size_of::<Forward>()),
    (Kernel::BihalfHistogram256, size_of::<Forward>()),
    (Kernel::BihalfHistogram1024, size_of::<Forward>()),
    (Kernel::BihalfHistogram4096, size_of::<Forward>()),
    (Kernel::BihalfNetwork32, size_of::<Forward>()),
    (Kernel::BihalfNetwork64, size_of::<Forward>()),
    (Kernel::BihalfPairs32, size_of::<Forward>()),
    (Kernel::BihalfShortSlices128, size_of::<Forward>()),
    (Kernel::BihalfShortSlices256, size_of::<Forward>()),
    (Kernel::BihalfShortSlices1024, size_of::<Forward>()),
    (Kernel::BihalfSlices128, size_of::<Forward>()),
    (Kernel::BihalfSlices256, size_of::<Forward>()),
    (Kernel::BihalfSlices1024, size_of::<Forward>()),
    (Kernel::BihalfSlices2048, size_of::<Forward>()),
    (Kernel::BihalfSlices4096, size_of::<Forward>()),
    (Kernel::BihalfSlices8192, size_of::<Forward>()),
    (Kernel::BihalfSlices8192x4, size_of::<Forward>()),
    (Kernel::BihalfClusterHistogram1024, size_of::<Forward>()),
    (Kernel::BihalfClusterHistogram4096, size_of::<Forward>()),
    (Kernel::BihalfClusterSlices8192, size_of::<Forward>()),
    (Kernel::BihalfClusterSlices32768, size_of::<Forward>()),
    (Kernel::BihalfClusterSlices65536, size_of::<Forward>()),
    (Kernel::BihalfRadixHistogram, size_of::<Digit>()),
    (Kernel::BihalfRadixPick, size_of::<Pick>()),
    (Kernel::BihalfRadixScan, size_of::<Scan>()),
    (Kernel::BihalfRadixEmit, size_of::<Emit>()),
    (Kernel::BihalfBackwardDense, size_of::<Backward<Input>>()),
    (Kernel::BihalfBackwardPacked, size_of::<Backward<Codes>>()),
];

impl Cuda {
    pub(super) fn bihalf_outputs<T: Element>(
        &self,
        u: Matrix<DeviceRef<'_, T>>,
        ones: Ones,
        out: Outputs<'_, T, Self>,
        ws: &mut Workspace,
    ) -> Result<()> {
        let k = bi_half::check_forward(u.shape(), ones, &out)?;
        let shape = Shape::new(u.rows(), u.cols())?;
        self.select(u, shape, k as u32, out, ws)
    }

    pub(super) fn median<T: Element>(
        &self,
        u: Matrix<DeviceRef<'_, T>>,
        out: DeviceMut<'_, T>,
        ws: &mut Workspace,
    ) -> Result<()> {
        let k = threshold::check_median(u.shape(), out.len())?;
        let shape = Shape::new(u.rows(), u.cols())?;
        self.select(u, shape, k as u32, Outputs::none().threshold(out), ws)
    }

    fn select<T: Element>(
        &self,
        u: Matrix<DeviceRef<'_, T>>,
        shape: Shape,
        k: u32,
        mut out: Outputs<'_, T, Self>,
        ws: &mut Workspace,
    ) -> Result<()> {
        let stream = self.ready()?;
        let (u, _u) = Input::of("U", u, stream)?;
        let (threshold, _threshold) = optional(out.threshold.take(), |t| {
            t.hold("the threshold", stream).map(Held::addressed)
        })?;
        let (out, _out) = Signs::of(out, stream)?;
        let dense_alone = threshold == 0 && out.dense_alone();
        let asked = if out.has_codes() {
            Asked::Packed
        } else if dense_alone
            && shape.cols.is_multiple_of(2)
            && u.by::<T>(2)
            && out.dense.by::<T>(2)
        {
            Asked::Pairs
        } else {
            Asked::Unpacked
        };
        let size = (shape.rows, shape.cols);
        let plan = plan::bihalf(size, k, T::DTYPE, asked, self.kernels().limits());
        let ws = ws.hold(plan.workspace_bytes(), stream)?;
        let dense_alone = u32::from(dense_alone);

        let radix = match plan {
            Bihalf::Nothing => return Ok(()),
            Bihalf::OneLaunch(launch) => {
                let args = Forward { u, out, threshold, shape, k, dense_alone };
                // SAFETY: the argument of all such kernels; views have been checked against the
                // shape, and are `Held`.
                return unsafe { self.launch::<T, _>(launch, &args) };
            }
            Bihalf::Radix(radix) => radix,
        };
        let selection = ws.as_ref().map_or(0, |ws| ws.address);
        let histogram = selection + radix.histogram_offset() as u64;
        let before = selection + radix.before_offset() as u64;
        let kept = selection + radix.kept_offset() as u64;
        let (chunk_rows, chunks, cols) = (radix.chunk_rows, radix.chunks, shape.cols);
        // SAFETY: the histograms lie within the workspace.
        unsafe { self.fill_zero(histogram, radix.histogram_bytes()) }?;
        for (step, launch) in radix.steps() {
            let tiles = launch.grid.0 / chunks.max(1);
            // SAFETY: each argument is the struct of the step's kernel; views have been checked
            // against the shape and are `Held`, as is the workspace, which the plan has measured.
            unsafe {
                match step {
                    BihalfStep::Histogram(plan::Digit { shift, bits, .. }) => {
                        let kept = if shift == 0 { kept } else { 0 };
                        let args = Digit {
                            u,
                            shape,
                            tiles,
                            chunk_rows,
                            shift,
                            bits,
                            selection,
                            histogram,
                            kept,
                        };
                        self.launch::<T, _>(launch, &args)
                    }
                    BihalfStep::Pick(plan::Digit { shift, bits, first }) => {
                        let first = u32::from(first);
                        let args = Pick { selection, histogram, cols, shift, bits, first, k };
                        self.launch::<T, _>(launch, &args)
                    }
                    BihalfStep::Scan(plan::Digit { bits, .. }) => {
                        let args = Scan { selection, kept, before, cols, chunks, bits };
                        self.launch::<T, _>(launch, &args)
                    }
                    BihalfStep::Emit => {
                        let args = Emit {
                            u,
                            out,
                            threshold,
                            shape,
                            tiles,
                            chunk_rows,
                            k,
                            selection,
                            before,
                        };
                        self.launch::<T, _>(launch, &args)
                    }
                }
            }?;
        }
        Ok(())
    }

    pub(super) fn bihalf_gradient<T: Element>(
        &self,
        u: Matrix<DeviceRef<'_, T>>,
        b: CodeMatrix<'_, T, Self>,
        gamma: Gamma,
        grad: InOut<'_, T>,
    ) -> Result<()> {
        let c = bi_half::check_backward::<T>(u.shape(), b.shape(), gamma, grad.shapes())?;
        let shape = Shape::new(u.rows(), u.cols())?;
        let stream = self.ready()?;
        let (u, _u) = Input::of("U", u, stream)?;
        let (grad, out, _grad) = grad.hold("the gradient", stream)?;
        if shape.is_empty() {
            return Ok(());
        }
        let vector = VECTOR_BYTES / size_of::<T>();
        let aligned = u.by::<T>(vector) && grad.by::<T>(vector) && out.by::<T>(vector);
        let (by_vectors, lanes_log2) = (0, 0);
        match b {
            CodeMatrix::Dense(b) => {
                let (b, _b) = Input::of("B", b, stream)?;
                let aligned = aligned && b.by::<T>(vector);
                let args = Backward { u, grad, targets: b, out, shape, c, by_vectors, lanes_log2 };
                // SAFETY: the kernel's argument; views have been checked, and are `Held`.
                unsafe { self.backward::<T, _>(Kernel::BihalfBackwardDense, args, aligned) }
            }
            CodeMatrix::Packed(b) => {
                let (b, _b) = Codes::to_read(b, stream)?;
                let args = Backward { u, grad, targets: b, out, shape, c, by_vectors, lanes_log2 };
                // SAFETY: as above.
                unsafe { self.backward::<T, _>(Kernel::BihalfBackwardPacked, args, aligned) }
            }
        }
    }

    /// By vectors, where all matrices allow it.
    ///
    /// # Safety
    /// As for [`launch`](Self::launch).
    unsafe fn backward<T: Element, Targets>(
        &self,
        kernel: Kernel,
        mut args: Backward<Targets>,
        aligned: bool,
    ) -> Result<()> {
        let (limits, size) = (self.kernels().limits(), (args.shape.rows, args.shape.cols));
        let launch = if aligned {
            let (launch, lanes_log2) = plan::by_vectors(kernel, size, T::DTYPE, limits);
            (args.by_vectors, args.lanes_log2) = (1, lanes_log2);
            launch
        } else {
            plan::walk(kernel, size.0, size.1, limits)
        };
        // SAFETY: the caller's promise.
        unsafe { self.launch::<T, _>(launch, &args) }
    }
}
