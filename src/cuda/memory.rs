//! Device memory as operations take it: cudarc's slices and views, or addresses of other libraries.
#![allow(unsafe_code)]

use super::driver::refused;
use crate::ops::check_rows;
use crate::plan::{self, Asked, Limits};
use crate::{Element, Error, ReadStorage, Result, Storage};
use cudarc::driver::sys::CUdeviceptr;
use cudarc::driver::{
    CudaContext, CudaSlice, CudaStream, CudaView, CudaViewMut, DeviceSlice, SyncOnDrop,
};
use std::marker::PhantomData;
use std::sync::Arc;

/// Device memory to read.
#[derive(Debug)]
pub struct DeviceRef<'a, T>(Ref<'a, T>);

/// Device memory to write.
#[derive(Debug)]
pub struct DeviceMut<'a, T>(Mut<'a, T>);

#[derive(Debug)]
enum Ref<'a, T> {
    View(CudaView<'a, T>),
    Raw(Raw<'a, T>),
}

#[derive(Debug)]
enum Mut<'a, T> {
    View(CudaViewMut<'a, T>),
    Raw(Raw<'a, T>),
}

#[derive(Debug)]
struct Raw<'a, T> {
    address: CUdeviceptr,
    len: usize,
    lifetime: PhantomData<&'a T>,
}

impl<T> DeviceRef<'_, T> {
    /// Memory that another library owns, from its device address.
    ///
    /// # Safety
    /// From `address` on lie `len` initialised elements, aligned, in memory that the context of the
    /// kernels can read. They stay there, and nobody writes them, until the work queued with them is
    /// done: ordering that work with other streams is the caller's task.
    pub unsafe fn from_raw(address: CUdeviceptr, len: usize) -> Self {
        Self(Ref::Raw(Raw { address, len, lifetime: PhantomData }))
    }
}

impl<T> DeviceMut<'_, T> {
    /// Memory that another library owns, from its device address.
    ///
    /// # Safety
    /// From `address` on lie `len` elements, aligned, in memory that the context of the kernels can
    /// write (initialised, where an operation works in place). They stay there, and nobody else
    /// reads or writes them, until the work queued with them is done: ordering that work with other
    /// streams is the caller's task.
    pub unsafe fn from_raw(address: CUdeviceptr, len: usize) -> Self {
        Self(Mut::Raw(Raw { address, len, lifetime: PhantomData }))
    }
}

impl<'a, T> From<&'a CudaSlice<T>> for DeviceRef<'a, T> {
    fn from(slice: &'a CudaSlice<T>) -> Self {
        Self(Ref::View(slice.as_view()))
    }
}

impl<'a, T> From<CudaView<'a, T>> for DeviceRef<'a, T> {
    fn from(view: CudaView<'a, T>) -> Self {
        Self(Ref::View(view))
    }
}

impl<'a, T> From<&'a mut CudaSlice<T>> for DeviceMut<'a, T> {
    fn from(slice: &'a mut CudaSlice<T>) -> Self {
        Self(Mut::View(slice.as_view_mut()))
    }
}

impl<'a, T> From<CudaViewMut<'a, T>> for DeviceMut<'a, T> {
    fn from(view: CudaViewMut<'a, T>) -> Self {
        Self(Mut::View(view))
    }
}

impl<T> Storage for DeviceRef<'_, T> {
    fn len(&self) -> usize {
        match &self.0 {
            Ref::View(view) => view.len(),
            Ref::Raw(raw) => raw.len,
        }
    }
}

impl<T> ReadStorage for DeviceRef<'_, T> {}

impl<T> Storage for DeviceMut<'_, T> {
    fn len(&self) -> usize {
        match &self.0 {
            Mut::View(view) => view.len(),
            Mut::Raw(raw) => raw.len,
        }
    }
}

/// An address for launches on a stream. While it is held, the stream has waited for earlier work on
/// the memory; when it is dropped, later work on other streams waits for the launches.
pub(super) struct Held<'a> {
    pub(super) address: CUdeviceptr,
    _order: Option<SyncOnDrop<'a>>,
}

impl Held<'_> {
    /// The address beside what holds it.
    pub(super) fn addressed(self) -> (CUdeviceptr, Self) {
        (self.address, self)
    }
}

impl<'a, T> DeviceRef<'a, T> {
    pub(super) fn hold(self, what: &'static str, stream: &'a CudaStream) -> Result<Held<'a>> {
        match self.0 {
            Ref::Raw(raw) => Ok(Held { address: raw.address, _order: None }),
            Ref::View(view) => {
                check_context(what, stream, view.stream().context())?;
                let (address, order) = view.view_ptr(stream);
                Ok(Held { address, _order: Some(order) })
            }
        }
    }
}

impl<'a, T> DeviceMut<'a, T> {
    pub(super) fn hold(self, what: &'static str, stream: &'a CudaStream) -> Result<Held<'a>> {
        match self.0 {
            Mut::Raw(raw) => Ok(Held { address: raw.address, _order: None }),
            Mut::View(view) => {
                check_context(what, stream, view.stream().context())?;
                let (address, order) = view.view_ptr_mut(stream);
                Ok(Held { address, _order: Some(order) })
            }
        }
    }
}

fn check_context(
    what: &'static str,
    stream: &CudaStream,
    context: &Arc<CudaContext>,
) -> Result<()> {
    if context.cu_ctx() == stream.context().cu_ctx() {
        return Ok(());
    }
    let (expected, got) = (stream.context().ordinal(), context.ordinal());
    Err(Error::OtherContext { what, expected, got })
}

/// Scratch memory on a device, for one stream at a time.
///
/// ```text
/// | head: counter, 0 between operations | body: `bytes()` bytes, any content |
/// ```
///
/// The blocks of a launch count in the head which of them finishes last. It is zeroed once, when the
/// workspace is made; the last block sets it back to 0, and no operation writes it otherwise. So any
/// operation may follow any other, also when a graph replays them, but two that run at the same time
/// need a workspace each.
#[derive(Debug)]
pub struct Workspace {
    memory: CudaSlice<u64>,
}

/// Words of the head: as many bytes as allocations are aligned to, so that the body is aligned too.
const HEAD_WORDS: usize = 256 / size_of::<u64>();

impl Workspace {
    /// Room for `bytes` bytes. The memory is allocated on the stream; its head is zeroed there, the
    /// body is not filled.
    ///
    /// # Errors
    /// [`Error::Driver`] when there is not so much memory.
    pub fn new(stream: &Arc<CudaStream>, bytes: usize) -> Result<Self> {
        let words = HEAD_WORDS + bytes.div_ceil(size_of::<u64>());
        // SAFETY: the head is zeroed below, and kernels write the body before they read it.
        let memory = unsafe { stream.alloc::<u64>(words) };
        let mut memory = memory.map_err(refused("allocate a workspace"))?;
        let head = &mut memory.slice_mut(..HEAD_WORDS);
        stream.memset_zeros(head).map_err(refused("zero the head of a workspace"))?;
        Ok(Self { memory })
    }

    /// Bytes that operations may use.
    pub fn bytes(&self) -> usize {
        self.memory.num_bytes() - HEAD_WORDS * size_of::<u64>()
    }

    /// The address of the body, for a call that needs `needed` bytes.
    pub(super) fn hold<'a>(
        &'a mut self,
        needed: usize,
        stream: &'a CudaStream,
    ) -> Result<Held<'a>> {
        Ok(self.hold_with_counter(needed, stream)?.0)
    }

    /// The address of the body, for a call that needs `needed` bytes, and that of the counter.
    pub(super) fn hold_with_counter<'a>(
        &'a mut self,
        needed: usize,
        stream: &'a CudaStream,
    ) -> Result<(Held<'a>, CUdeviceptr)> {
        let got = self.bytes();
        if got < needed {
            return Err(Error::WorkspaceTooSmall { needed, got });
        }
        let mut held = DeviceMut::from(&mut self.memory).hold("the workspace", stream)?;
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
    check_rows(rows)?;
    let shape = super::args::Shape::new(rows, cols)?;
    let (m, k) = (shape.rows, shape.cols);
    // As many ones as rows: the selection that needs the most.
    let bihalf = plan::bihalf((m, k), m, T::DTYPE, Asked::Packed, limits).workspace_bytes();
    let rank = plan::rank(m, k, T::DTYPE, limits).workspace_bytes();
    let losses = plan::cosine_workspace_bytes(rows).max(plan::penalty_workspace_bytes(cols));
    Ok(bihalf.max(rank).max(losses))
}
