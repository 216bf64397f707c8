//! The CUDA backend: the same operations on device memory.
//!
//! ```
//! use bihalf::{Backend, Matrix, Ones, cuda_or_cpu};
//!
//! /// Codes of a batch of m items and k bits: the same code, and the same bits, on any backend.
//! fn codes<B: Backend>(backend: &B, u: &[f32], m: usize, k: usize) -> bihalf::Result<Vec<f32>> {
//!     let u = backend.upload(u)?;
//!     let b = backend.bihalf_forward(Matrix::new(B::slice(&u), m, k)?, Ones::Half)?;
//!     backend.download(&b)
//! }
//!
//! fn main() -> bihalf::Result<()> {
//!     let u = [0.9f32, -3.0, 0.1, -1.0, 0.5, -2.0, 0.7, -4.0];
//!     let b = cuda_or_cpu!(0, |backend, reason| {
//!         if let Some(reason) = reason {
//!             println!("not on CUDA: {reason}"); // nothing falls back by itself
//!         }
//!         codes(backend, &u, 4, 2)
//!     })?;
//!     println!("{b:?}");
//!     Ok(())
//! }
//! ```
//!
//! - Operations are the methods of [`Backend`](crate::Backend) for [`Cuda`]. Forms that write to
//!   the caller's buffers only queue launches on the stream: they allocate no device memory, never
//!   synchronise and copy nothing from the host. Copies to and from the host are done when they
//!   return.
//! - A [`Buffer`] is a slice of cudarc's that any thread may drop. [`DeviceRef`] and [`DeviceMut`]
//!   are made from buffers, from cudarc's own slices and views, or, with `unsafe`, from raw
//!   addresses.
//! - [`Workspace`]s are the caller's; [`Backend::workspace_for`](crate::Backend::workspace_for)
//!   makes one for an operation. Give every stream its own: calls that share one wait for each other.
//!
//! # Streams
//! Memory belongs to the stream that it was allocated on. A call on another stream first waits for
//! what is queued on that one, and what is queued there later, freeing included, waits for the
//! call. So buffers may go from stream to stream, whoever made these
//! (`CudaContext::wrap_borrowed_stream` takes a stream of another library). Calls on two streams
//! that only read a buffer of a third one may wait for each other; with the context's event
//! tracking off (an `unsafe` function of cudarc) nothing waits, and the order is the caller's task.
//!
//! cudarc's own functions order by events of a slice, of which there is one for its last reader. A
//! slice that *they* read on a stream that is not its own (`memcpy_dtoh` to page-locked memory,
//! say) must not be read by a second stream, ours included, and then freed or overwritten, before
//! that stream is synchronised. The default stream of a thread is an error, for its handle means
//! another stream on each thread; [`Cuda::on_stream_unchecked`] takes it.
//!
//! # Graphs
//! [`Cuda::recording`] gives a backend whose calls may be captured in a CUDA graph; others are
//! errors during a capture. Everything that a captured call was given must outlive the graph, but
//! for the kernels: these stay as long as the context.
//!
//! # Kernels
//! They are loaded once for a context. Which of them run, and how, is the [`plan`](crate::plan).
//!
//! # Unsafe code
//! It is confined to this folder: loading the module, the launches, and addresses that the caller
//! vouches for.

mod args;
mod bihalf;
mod buffer;
mod codes;
mod driver;
mod loss;
mod memory;
mod module;
mod rank;
mod relax;
mod search;
mod sign;
mod stream;
#[cfg(all(test, bihalf_kernels))]
mod tests;
mod workspace;

pub use buffer::Buffer;
pub use driver::context;
pub use memory::{DeviceMut, DeviceRef};
pub use module::Kernels;
pub use stream::Cuda;
pub use workspace::{Workspace, workspace_bytes};
