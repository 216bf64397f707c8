//! Scratch memory of operations.

use super::args::Shape;
use super::buffer::Buffer;
use super::driver::refused;
use super::memory::{DeviceMut, Held, check_stream};
use crate::ops::check_rows;
use crate::plan::{self, Asked, Limits};
use crate::{Element, Error, Operation, Result};
use cudarc::driver::CudaStream;
use cudarc::driver::sys::CUdeviceptr;
use std::sync::Arc;

/// Scratch memory on a device, for one stream at a time.
///
/// ```text
/// | head: counter, 0 between operations | body: `bytes()` bytes, any content |
/// ```
///
/// The blocks of a launch count in the head which of them finishes last. It is zeroed once, when
/// the workspace is made; the last block sets it back to 0, and no operation writes it otherwise.
/// So any operation may follow any other, also when a graph replays them, but two that run at the
/// same time need a workspace each.
#[derive(Debug)]
pub struct Workspace {
    /// None for operations that need no bytes and no counter.
    memory: Option<Buffer<u64>>,
}

/// Words of the head: as many bytes as allocations are aligned to, so that the body is aligned too.
const HEAD_WORDS: usize = 256 / size_of::<u64>();

impl Workspace {
    /// Room for `bytes` bytes. The memory is allocated on the stream; its head is zeroed there, the
    /// body is not filled.
    ///
    /// # Errors
    /// [`Error::DeviceMemory`] when there is not so much memory, [`Error::TooLarge`] when nobody
    /// has so much, [`Error::PerThreadStream`], [`Error::Driver`].
    pub fn new(stream: &Arc<CudaStream>, bytes: usize) -> Result<Self> {
        check_stream("the stream", stream)?;
        Self::allocate(stream, bytes)
    }

    /// The same on any stream, which the caller vouches for.
    pub(super) fn allocate(stream: &Arc<CudaStream>, bytes: usize) -> Result<Self> {
        let words = HEAD_WORDS + bytes.div_ceil(size_of::<u64>());
        let mut memory = Buffer::uninit(stream, words)?;
        let head = &mut memory.slice_mut(..HEAD_WORDS);
        stream.memset_zeros(head).map_err(refused("zero the head of a workspace"))?;
        Ok(Self { memory: Some(memory) })
    }

    /// For an operation that needs no scratch memory.
    pub(super) fn none() -> Self {
        Self { memory: None }
    }

    /// Bytes that operations may use.
    pub fn bytes(&self) -> usize {
        let bytes = |memory: &Buffer<u64>| memory.num_bytes() - HEAD_WORDS * size_of::<u64>();
        self.memory.as_ref().map_or(0, bytes)
    }

    /// The address of the body, for a call that needs `needed` bytes; of none there is no address.
    pub(super) fn hold<'a>(
        &'a mut self,
        needed: usize,
        stream: &'a CudaStream,
    ) -> Result<Option<Held<'a>>> {
        if needed == 0 {
            return Ok(None);
        }
        Ok(Some(self.hold_with_counter(needed, stream)?.0))
    }

    /// The address of the body, for a call that needs `needed` bytes, and that of the counter.
    pub(super) fn hold_with_counter<'a>(
        &'a mut self,
        needed: usize,
        stream: &'a CudaStream,
    ) -> Result<(Held<'a>, CUdeviceptr)> {
        let got = self.bytes();
        let memory = self.memory.as_mut().filter(|_| got >= needed);
        let memory = memory.ok_or(Error::WorkspaceTooSmall { needed, got })?;
        let mut held = DeviceMut::from(memory).hold("the workspace", stream)?;
        let counter = held.address;
        held.address += (HEAD_WORDS * size_of::<u64>()) as u64;
        Ok((held, counter))
    }
}

/// Bytes of workspace that are enough for any operation on `rows` x `cols` matrices of `T`.
///
/// # Errors
/// [`Error::TooManyRows`], as every operation that needs a workspace; [`Error::TooLargeForCuda`].
pub fn workspace_bytes<T: Element>(rows: usize, cols: usize, limits: &Limits) -> Result<usize> {
    let of = |operation| bytes_for::<T>(operation, rows, cols, limits);
    let bytes = Operation::ALL.map(of).into_iter().collect::<Result<Vec<_>>>()?;
    Ok(bytes.into_iter().max().unwrap_or(0))
}

/// The same, for one operation.
pub(super) fn bytes_for<T: Element>(
    operation: Operation,
    rows: usize,
    cols: usize,
    limits: &Limits,
) -> Result<usize> {
    check_rows(rows)?;
    let Shape { rows: m, cols: k } = Shape::new(rows, cols)?;
    Ok(match operation {
        // As many ones as rows: the selection that needs the most.
        Operation::Bihalf => {
            plan::bihalf((m, k), m, T::DTYPE, Asked::Packed, limits).workspace_bytes()
        }
        Operation::Rank => plan::rank(m, k, T::DTYPE, limits).workspace_bytes(),
        Operation::Cosine => plan::cosine_workspace_bytes(rows),
        Operation::EntropyPenalty => plan::penalty_workspace_bytes(cols),
    })
}
