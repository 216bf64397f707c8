//! Device memory as operations take it: cudarc's slices and views, or addresses of other libraries.
#![allow(unsafe_code)]

use super::buffer::Buffer;
use super::driver::{refused, wait_for};
use crate::{Error, ReadStorage, Result, Storage};
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
    /// kernels can read. They stay there, and nobody writes them, until the work queued with them
    /// is done: ordering that work with other streams is the caller's task.
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

impl<'a, T> From<&'a Buffer<T>> for DeviceRef<'a, T> {
    fn from(buffer: &'a Buffer<T>) -> Self {
        Self(Ref::View(buffer.as_view()))
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

impl<'a, T> From<&'a mut Buffer<T>> for DeviceMut<'a, T> {
    fn from(buffer: &'a mut Buffer<T>) -> Self {
        Self(Mut::View(buffer.as_view_mut()))
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

/// An address for the launches of one call, which are queued while this lives. They may use it:
/// their stream has waited for all earlier work on the memory, and the stream that frees it, and
/// with it whatever later call writes it or reads what is written, waits for them.
pub(super) struct Held<'a> {
    pub(super) address: CUdeviceptr,
    // Dropped in this order: what cudarc orders later work by, then what this crate does.
    _event: Option<SyncOnDrop<'a>>,
    _join: Option<Join<'a>>,
}

impl Held<'_> {
    /// The address beside what holds it.
    pub(super) fn addressed(self) -> (CUdeviceptr, Self) {
        (self.address, self)
    }
}

/// Makes the stream that memory belongs to wait for a call on another one.
///
/// A call on another stream first waits for the owner, and the owner then for the call. So whatever
/// is queued on the owner later, freeing included, comes after every call, and a call on a third
/// stream too. cudarc's event of a slice alone does not tell: it knows one reader, the last one.
struct Join<'a> {
    owner: Arc<CudaStream>,
    stream: &'a CudaStream,
}

impl<'a> Join<'a> {
    /// Makes the stream wait for the owner, if it is another one.
    fn of(
        what: &'static str,
        stream: &'a CudaStream,
        owner: &Arc<CudaStream>,
    ) -> Result<Option<Self>> {
        check_context(what, stream, owner.context())?;
        let is_tracked = |stream: &CudaStream| stream.context().is_event_tracking();
        let is_same = owner.cu_stream() == stream.cu_stream();
        if !is_same {
            check_stream(what, owner)?;
        }
        if is_same || !is_tracked(owner) && !is_tracked(stream) {
            return Ok(None);
        }
        stream.join(owner).map_err(refused("wait for the stream of a buffer"))?;
        Ok(Some(Self { owner: Arc::clone(owner), stream }))
    }
}

impl Drop for Join<'_> {
    fn drop(&mut self) {
        // Where no event can be had, the call is waited for.
        let joined = self.owner.join(self.stream).or_else(|_| wait_for(self.stream));
        self.owner.context().record_err(joined);
    }
}

impl<'a, T> DeviceRef<'a, T> {
    pub(super) fn hold(self, what: &'static str, stream: &'a CudaStream) -> Result<Held<'a>> {
        match self.0 {
            Ref::Raw(raw) => Ok(Held { address: raw.address, _event: None, _join: None }),
            Ref::View(view) => {
                let join = Join::of(what, stream, view.stream())?;
                let (address, event) = view.view_ptr(stream);
                Ok(Held { address, _event: Some(event), _join: join })
            }
        }
    }
}

impl<'a, T> DeviceMut<'a, T> {
    pub(super) fn hold(self, what: &'static str, stream: &'a CudaStream) -> Result<Held<'a>> {
        match self.0 {
            Mut::Raw(raw) => Ok(Held { address: raw.address, _event: None, _join: None }),
            Mut::View(view) => {
                let join = Join::of(what, stream, view.stream())?;
                let (address, event) = view.view_ptr_mut(stream);
                Ok(Held { address, _event: Some(event), _join: join })
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

/// Refuses the stream that stands for another one on each thread: nothing can be ordered by it.
pub(super) fn check_stream(what: &'static str, stream: &CudaStream) -> Result<()> {
    const PER_THREAD: usize = 2;
    if stream.cu_stream() as usize == PER_THREAD {
        return Err(Error::PerThreadStream { what });
    }
    Ok(())
}
