//! The backend: kernels and the stream that they are queued on.
#![allow(unsafe_code)]

use super::args::{InOut, Shape};
use super::buffer::Buffer;
use super::driver::{refused, wait_for};
use super::memory::{DeviceMut, DeviceRef, check_stream};
use super::module::Kernels;
use super::rank::Wanted;
use super::workspace::{Workspace, bytes_for, workspace_bytes};
use crate::element::Scalar;
use crate::ops::check_length;
use crate::ops::retrieval::LabelledCodes;
use crate::plan::{self, Kernel, Launch};
use crate::{
    Backend, CodeMatrix, Element, Error, Gamma, Matrix, Ones, Operation, Order, Outputs,
    PackedCodes, Result, Storage, memory,
};
use cudarc::driver::sys::{CUdeviceptr, CUstreamCaptureStatus};
use cudarc::driver::{CudaStream, result};
use std::ops::Range;
use std::sync::Arc;

/// A CUDA stream with the kernels of its context. Cheap to make and to clone.
///
/// Work is queued in the order of the calls and runs later; [`Backend::download`] waits for it. See
/// [the module](super) for what calls do and do not do.
#[derive(Clone, Debug)]
pub struct Cuda {
    kernels: Kernels,
    stream: Arc<CudaStream>,
    /// Whether calls may be captured in a graph.
    records: bool,
}

impl Cuda {
    /// Operations on a new stream of device `ordinal`: context, kernels and stream in one step.
    ///
    /// # Errors
    /// As [`context`](super::context) and [`Kernels::new`].
    pub fn new(ordinal: usize) -> Result<Self> {
        let context = super::context(ordinal)?;
        let stream = context.new_stream().map_err(refused("make a stream"))?;
        Self::on_stream(&Kernels::new(&context)?, &stream)
    }

    /// Operations on `stream`, which may be the default stream or a wrapped one.
    ///
    /// # Errors
    /// [`Error::OtherContext`] when the stream is of another context than the kernels;
    /// [`Error::PerThreadStream`] for the default stream of a thread, which stands for another
    /// stream on each.
    pub fn on_stream(kernels: &Kernels, stream: &Arc<CudaStream>) -> Result<Self> {
        check_stream("the stream", stream)?;
        // SAFETY: no thread's default stream.
        unsafe { Self::on_stream_unchecked(kernels, stream) }
    }

    /// Operations on any stream, also the default stream of a thread, as candle's devices have it.
    ///
    /// # Errors
    /// [`Error::OtherContext`] when the stream is of another context than the kernels.
    ///
    /// # Safety
    /// Of a thread's default stream: no buffer or workspace of it is used or dropped by another
    /// thread, unless the stream has been synchronised since.
    pub unsafe fn on_stream_unchecked(kernels: &Kernels, stream: &Arc<CudaStream>) -> Result<Self> {
        let (ours, theirs) = (kernels.context(), stream.context());
        if ours.cu_ctx() != theirs.cu_ctx() {
            let (expected, got) = (ours.ordinal(), theirs.ordinal());
            return Err(Error::OtherContext { what: "the stream", expected, got });
        }
        Ok(Self { kernels: kernels.clone(), stream: Arc::clone(stream), records: false })
    }

    /// The same backend, whose calls may be captured in a CUDA graph. Others refuse while the
    /// stream is captured.
    ///
    /// A graph keeps the addresses of what was captured, and nothing alive but the kernels. Make
    /// buffers and workspaces before, with cudarc's event tracking off: to wait for an event of
    /// before the capture would break it. What is allocated during a capture is memory of the
    /// graph. The default stream cannot be captured; [`new`](Self::new) makes another one.
    ///
    /// # Safety
    /// Until the last replay of a graph is done, every buffer and workspace that a captured call
    /// was given stays where it is, and nothing else reads or writes them while a replay runs, but
    /// what is ordered with it.
    #[must_use]
    pub unsafe fn recording(&self) -> Self {
        Self { records: true, ..self.clone() }
    }

    /// The kernels.
    pub fn kernels(&self) -> &Kernels {
        &self.kernels
    }

    /// The stream.
    pub fn stream(&self) -> &Arc<CudaStream> {
        &self.stream
    }

    /// The stream, for launches and allocations that follow: its context is current, and a graph
    /// that captures it is wanted.
    pub(super) fn ready(&self) -> Result<&Arc<CudaStream>> {
        if self.records {
            self.kernels.context().bind_to_thread().map_err(refused("bind the context"))?;
            return Ok(&self.stream);
        }
        let what = "queue work that a graph would keep";
        self.not_captured(what, "use `Cuda::recording`, or do it before the capture")
    }

    /// The same for copies from the host and to it, which have to be done when a call returns.
    fn ready_to_copy(&self) -> Result<&Arc<CudaStream>> {
        self.not_captured("copy from the host or to it", "do that before or after the capture")
    }

    fn not_captured(&self, what: &'static str, remedy: &'static str) -> Result<&Arc<CudaStream>> {
        let status = self.stream.capture_status().map_err(refused("tell whether it captures"))?;
        match status {
            CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_NONE => Ok(&self.stream),
            _ => Err(Error::Captured { what, remedy }),
        }
    }

    /// # Safety
    /// As for [`Kernels::launch`].
    pub(super) unsafe fn launch<T: Element, Args>(
        &self,
        launch: Launch,
        args: &Args,
    ) -> Result<()> {
        // SAFETY: the caller's promise.
        unsafe { self.kernels.launch(&self.stream, launch, T::DTYPE, args) }
    }

    /// One launch of a kernel that walks down the rows of all tiles; none for an empty matrix.
    ///
    /// # Safety
    /// As for [`Kernels::launch`].
    pub(super) unsafe fn walk<T: Element, Args>(
        &self,
        kernel: Kernel,
        shape: Shape,
        args: &Args,
    ) -> Result<()> {
        if shape.is_empty() {
            return Ok(());
        }
        let launch = plan::walk(kernel, shape.rows, shape.cols, self.kernels.limits());
        // SAFETY: the caller's promise.
        unsafe { self.launch::<T, _>(launch, args) }
    }

    /// Queues a fill with zeros.
    ///
    /// # Safety
    /// The bytes are device memory of this context that nobody else uses meanwhile.
    pub(super) unsafe fn fill_zero(&self, address: CUdeviceptr, bytes: usize) -> Result<()> {
        if bytes == 0 {
            return Ok(());
        }
        // SAFETY: the caller's promise.
        unsafe { result::memset_d8_async(address, 0, bytes, self.stream.cu_stream()) }
            .map_err(refused("fill memory with zeros"))
    }
}

impl Backend for Cuda {
    type Buffer<T: Scalar> = Buffer<T>;
    type Slice<'a, T: Scalar> = DeviceRef<'a, T>;
    type SliceMut<'a, T: Scalar> = DeviceMut<'a, T>;
    type Workspace = Workspace;

    fn name(&self) -> String {
        let context = self.kernels.context();
        let name = context.name().unwrap_or_else(|_| "unnamed".into());
        format!("cuda:{} ({name})", context.ordinal())
    }

    fn upload<T: Scalar>(&self, host: &[T]) -> Result<Buffer<T>> {
        let mut buffer = Buffer::uninit(self.ready_to_copy()?, host.len())?;
        self.upload_into(host, DeviceMut::from(&mut buffer))?;
        Ok(buffer)
    }

    fn upload_into<T: Scalar>(&self, host: &[T], out: DeviceMut<'_, T>) -> Result<()> {
        check_length("the buffer", "as many as the host has", host.len(), out.len())?;
        let stream = self.ready_to_copy()?;
        let held = out.hold("the buffer", stream)?;
        if host.is_empty() {
            return Ok(());
        }
        // SAFETY: the device memory is `Held`, and as long as the host's.
        unsafe { result::memcpy_htod_async(held.address, host, stream.cu_stream()) }
            .map_err(refused("copy to the device"))?;
        // A copy from page-locked memory is only queued.
        wait_for(stream).map_err(refused("copy to the device"))
    }

    fn zeros<T: Scalar>(&self, len: usize) -> Result<Buffer<T>> {
        Buffer::zeros(self.ready()?, len)
    }

    fn unset<T: Scalar>(&self, len: usize) -> Result<Buffer<T>> {
        Buffer::uninit(self.ready()?, len)
    }

    fn download<T: Scalar>(&self, buffer: &Buffer<T>) -> Result<Vec<T>> {
        let stream = self.ready_to_copy()?;
        let mut host = memory::zeros((1, buffer.len()))?;
        if !host.is_empty() {
            let held = DeviceRef::from(buffer).hold("the buffer", stream)?;
            // SAFETY: the device memory is `Held`, and the host's is of the same length.
            let copied =
                unsafe { result::memcpy_dtoh_async(&mut host, held.address, stream.cu_stream()) };
            copied.map_err(refused("copy from the device"))?;
        }
        wait_for(stream).map_err(refused("copy from the device"))?;
        Ok(host)
    }

    fn slice<T: Scalar>(buffer: &Buffer<T>) -> DeviceRef<'_, T> {
        buffer.into()
    }

    fn slice_mut<T: Scalar>(buffer: &mut Buffer<T>) -> DeviceMut<'_, T> {
        buffer.into()
    }

    fn slice_of<T: Scalar>(buffer: &Buffer<T>, range: Range<usize>) -> DeviceRef<'_, T> {
        buffer.slice(range).into()
    }

    fn slice_of_mut<T: Scalar>(buffer: &mut Buffer<T>, range: Range<usize>) -> DeviceMut<'_, T> {
        buffer.slice_mut(range).into()
    }

    fn workspace<T: Element>(&self, rows: usize, cols: usize) -> Result<Workspace> {
        let bytes = workspace_bytes::<T>(rows, cols, self.kernels.limits())?;
        Workspace::allocate(self.ready()?, bytes)
    }

    fn workspace_for<T: Element>(
        &self,
        operation: Operation,
        rows: usize,
        cols: usize,
    ) -> Result<Workspace> {
        match bytes_for::<T>(operation, rows, cols, self.kernels.limits())? {
            0 if !operation.counts_blocks() => Ok(Workspace::none()),
            bytes => Workspace::allocate(self.ready()?, bytes),
        }
    }

    fn rank_into<T: Element>(
        &self,
        u: Matrix<DeviceRef<'_, T>>,
        order: Order,
        out: Matrix<DeviceMut<'_, u32>>,
        ws: &mut Workspace,
    ) -> Result<()> {
        self.sort(u, order, Wanted::Ranks, out, ws)
    }

    fn argsort_into<T: Element>(
        &self,
        u: Matrix<DeviceRef<'_, T>>,
        order: Order,
        out: Matrix<DeviceMut<'_, u32>>,
        ws: &mut Workspace,
    ) -> Result<()> {
        self.sort(u, order, Wanted::Rows, out, ws)
    }

    fn bihalf_forward_into<T: Element>(
        &self,
        u: Matrix<DeviceRef<'_, T>>,
        ones: Ones,
        out: Outputs<'_, T, Self>,
        ws: &mut Workspace,
    ) -> Result<()> {
        self.bihalf_outputs(u, ones, out, ws)
    }

    fn bihalf_backward_into<'a, T: Element>(
        &self,
        u: Matrix<DeviceRef<'_, T>>,
        b: impl Into<CodeMatrix<'a, T, Self>>,
        gamma: impl Into<Gamma>,
        grad: Matrix<DeviceRef<'_, T>>,
        out: Matrix<DeviceMut<'_, T>>,
    ) -> Result<()> {
        self.bihalf_gradient(u, b.into(), gamma.into(), InOut::Into(grad, out))
    }

    fn bihalf_backward_in_place<'a, T: Element>(
        &self,
        u: Matrix<DeviceRef<'_, T>>,
        b: impl Into<CodeMatrix<'a, T, Self>>,
        gamma: impl Into<Gamma>,
        grad: Matrix<DeviceMut<'_, T>>,
    ) -> Result<()> {
        self.bihalf_gradient(u, b.into(), gamma.into(), InOut::InPlace(grad))
    }

    fn median_into<T: Element>(
        &self,
        u: Matrix<DeviceRef<'_, T>>,
        out: DeviceMut<'_, T>,
        ws: &mut Workspace,
    ) -> Result<()> {
        self.median(u, out, ws)
    }

    fn sign_forward_into<T: Element>(
        &self,
        u: Matrix<DeviceRef<'_, T>>,
        shift: Option<DeviceRef<'_, T>>,
        out: Outputs<'_, T, Self>,
    ) -> Result<()> {
        self.sign_outputs(u, shift, out)
    }

    fn sign_backward_into<T: Element>(
        &self,
        u: Matrix<DeviceRef<'_, T>>,
        shift: Option<DeviceRef<'_, T>>,
        gamma: impl Into<Gamma>,
        grad: Matrix<DeviceRef<'_, T>>,
        out: Matrix<DeviceMut<'_, T>>,
    ) -> Result<()> {
        self.sign_gradient(u, shift, gamma.into(), InOut::Into(grad, out))
    }

    fn sign_backward_in_place<T: Element>(
        &self,
        u: Matrix<DeviceRef<'_, T>>,
        shift: Option<DeviceRef<'_, T>>,
        gamma: impl Into<Gamma>,
        grad: Matrix<DeviceMut<'_, T>>,
    ) -> Result<()> {
        self.sign_gradient(u, shift, gamma.into(), InOut::InPlace(grad))
    }

    fn relax_forward_into<T: Element>(
        &self,
        u: Matrix<DeviceRef<'_, T>>,
        beta: f64,
        out: Matrix<DeviceMut<'_, T>>,
    ) -> Result<()> {
        self.relax_output(u, beta, out)
    }

    fn relax_backward_into<T: Element>(
        &self,
        u: Matrix<DeviceRef<'_, T>>,
        beta: f64,
        grad: Matrix<DeviceRef<'_, T>>,
        out: Matrix<DeviceMut<'_, T>>,
    ) -> Result<()> {
        self.relax_gradient(u, beta, InOut::Into(grad, out))
    }

    fn relax_backward_in_place<T: Element>(
        &self,
        u: Matrix<DeviceRef<'_, T>>,
        beta: f64,
        grad: Matrix<DeviceMut<'_, T>>,
    ) -> Result<()> {
        self.relax_gradient(u, beta, InOut::InPlace(grad))
    }

    fn pack_into<T: Element>(
        &self,
        dense: Matrix<DeviceRef<'_, T>>,
        codes: PackedCodes<DeviceMut<'_, u64>>,
    ) -> Result<()> {
        self.sign_outputs(dense, None, Outputs::none().codes(codes))
    }

    fn unpack_into<T: Element>(
        &self,
        codes: PackedCodes<DeviceRef<'_, u64>>,
        dense: Matrix<DeviceMut<'_, T>>,
    ) -> Result<()> {
        self.unpack(codes, dense)
    }

    fn ones_into(
        &self,
        codes: PackedCodes<DeviceRef<'_, u64>>,
        counts: DeviceMut<'_, u32>,
    ) -> Result<()> {
        self.ones(codes, counts)
    }

    fn search_workspace(
        &self,
        queries: usize,
        items: usize,
        bits: usize,
        k: usize,
    ) -> Result<Workspace> {
        let queries = Shape::new(queries, bits)?;
        let items = Shape::new(items, k.min(items))?;
        let (wanted, limits) = (items.cols, self.kernels.limits());
        let plan = plan::nearest(queries.rows, items.rows, queries.cols, wanted, limits);
        Workspace::allocate(self.ready()?, plan.workspace_bytes())
    }

    fn nearest_into(
        &self,
        queries: PackedCodes<DeviceRef<'_, u64>>,
        database: PackedCodes<DeviceRef<'_, u64>>,
        k: usize,
        indices: DeviceMut<'_, u32>,
        distances: DeviceMut<'_, u32>,
        ws: &mut Workspace,
    ) -> Result<()> {
        self.nearest(queries, database, k, indices, distances, ws)
    }

    fn count_by_distance_into(
        &self,
        queries: LabelledCodes<DeviceRef<'_, u32>, DeviceRef<'_, u64>>,
        database: LabelledCodes<DeviceRef<'_, u32>, DeviceRef<'_, u64>>,
        items: DeviceMut<'_, u32>,
        relevant: DeviceMut<'_, u32>,
    ) -> Result<()> {
        self.tally(queries, database, items, relevant)
    }

    fn distances_into(
        &self,
        queries: PackedCodes<DeviceRef<'_, u64>>,
        database: PackedCodes<DeviceRef<'_, u64>>,
        out: DeviceMut<'_, u32>,
        _: &mut Workspace,
    ) -> Result<()> {
        self.distances(queries, database, out)
    }

    fn cosine_with_grad_into<X: Element, T: Element>(
        &self,
        x: Matrix<DeviceRef<'_, X>>,
        b: Matrix<DeviceRef<'_, T>>,
        loss: DeviceMut<'_, f64>,
        grad: Matrix<DeviceMut<'_, T>>,
        ws: &mut Workspace,
    ) -> Result<()> {
        self.cosine_with_grad(x, b, loss, grad, ws)
    }

    fn cosine_packed_into<X: Element>(
        &self,
        x: Matrix<DeviceRef<'_, X>>,
        codes: PackedCodes<DeviceRef<'_, u64>>,
        loss: DeviceMut<'_, f64>,
        pair_grads: DeviceMut<'_, f64>,
        ws: &mut Workspace,
    ) -> Result<()> {
        self.cosine_packed(x, codes, loss, pair_grads, ws)
    }

    fn cosine_packed_backward_into<T: Element>(
        &self,
        u: Matrix<DeviceRef<'_, T>>,
        codes: PackedCodes<DeviceRef<'_, u64>>,
        pair_grads: DeviceRef<'_, f64>,
        gamma: impl Into<Gamma>,
        out: Matrix<DeviceMut<'_, T>>,
    ) -> Result<()> {
        self.cosine_backward(InOut::Into(u, out), codes, pair_grads, gamma.into())
    }

    fn cosine_packed_backward_in_place<T: Element>(
        &self,
        codes: PackedCodes<DeviceRef<'_, u64>>,
        pair_grads: DeviceRef<'_, f64>,
        gamma: impl Into<Gamma>,
        u: Matrix<DeviceMut<'_, T>>,
    ) -> Result<()> {
        self.cosine_backward(InOut::InPlace(u), codes, pair_grads, gamma.into())
    }

    fn entropy_penalty_with_grad_into<T: Element>(
        &self,
        b: Matrix<DeviceRef<'_, T>>,
        alpha: f64,
        loss: DeviceMut<'_, f64>,
        grad: Matrix<DeviceMut<'_, T>>,
        ws: &mut Workspace,
    ) -> Result<()> {
        self.entropy_penalty_with_grad(b, alpha, loss, grad, ws)
    }
}
