//! The CUDA backend: the same operations on device memory.
//!
//! ```
//! use bihalf::cuda::Cuda;
//! use bihalf::{Backend, Cpu, Error, Matrix, Ones, Outputs};
//!
//! /// Codes of a batch of m items and k bits: the same code, and the same bits, on any backend.
//! fn codes<B: Backend>(backend: &B, u: &[f32], m: usize, k: usize) -> bihalf::Result<Vec<f32>> {
//!     let u = backend.upload(u)?;
//!     let mut b = backend.zeros::<f32>(m * k)?;
//!     let mut ws = backend.workspace::<f32>(m, k)?;
//!     let out = Outputs::none().dense(Matrix::new(B::slice_mut(&mut b), m, k)?);
//!     backend.bihalf_forward_into(Matrix::new(B::slice(&u), m, k)?, Ones::Half, out, None, &mut ws)?;
//!     backend.download(&b)
//! }
//!
//! fn main() -> bihalf::Result<()> {
//!     let u = [0.9f32, -3.0, 0.1, -1.0, 0.5, -2.0, 0.7, -4.0];
//!     let b = match Cuda::device(0) {
//!         Ok(cuda) => codes(&cuda, &u, 4, 2)?,
//!         Err(error @ Error::NoDriverLibrary { .. }) => {
//!             println!("{error}"); // nothing falls back by itself
//!             codes(&Cpu, &u, 4, 2)?
//!         }
//!         Err(error) => return Err(error),
//!     };
//!     println!("{b:?}");
//!     Ok(())
//! }
//! ```
//!
//! - Operations are the methods of [`Backend`](crate::Backend) for [`Cuda`]. Forms that write to the
//!   caller's buffers only queue launches on the stream: they allocate no device memory, never
//!   synchronise and copy nothing from the host, so they may be captured in a CUDA graph (turn
//!   cudarc's event tracking off first: waiting for an event of before the capture would break it).
//! - Buffers are cudarc's: [`DeviceRef`] and [`DeviceMut`] are made from its slices and views, or,
//!   with `unsafe`, from raw device addresses. Launches wait for earlier work on a slice's other
//!   streams, and later work for them, as cudarc's own launches do.
//!   A stream of another library becomes one of cudarc's by `CudaContext::wrap_borrowed_stream`.
//! - [`Workspace`]s are the caller's; [`workspace_bytes`] tells their size. Calls that share one are
//!   ordered by their stream; give every stream its own. Make them before a capture.
//! - Which kernels run, and how, is the [`plan`](crate::plan).
//!
//! # Unsafe code
//! It is confined to this folder: loading the module, the launches, and addresses that the caller
//! vouches for.

mod args;
mod bihalf;
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

pub use driver::context;
pub use memory::{DeviceMut, DeviceRef, Workspace, workspace_bytes};
pub use module::Kernels;
pub use stream::Cuda;
