//! The CUDA backend: the same operations on device memory.
//!
//! ```no_run
//! use bihalf::cuda::{self, Cuda, Kernels};
//! use bihalf::{Backend, Matrix, Ones, Outputs};
//!
//! let context = cuda::context(0)?; // an error where there is no driver or no device
//! let kernels = Kernels::new(&context)?; // once a context: loads the module
//! let stream = context.new_stream().unwrap();
//! let cuda = Cuda::new(&kernels, &stream);
//!
//! let (m, k) = (32, 64);
//! let u = cuda.upload(&vec![0.5f32; m * k])?;
//! let mut b = cuda.zeros::<f32>(m * k)?;
//! let mut ws = cuda.workspace::<f32>(m, k)?;
//! let out = Outputs::none().dense(Matrix::new((&mut b).into(), m, k)?);
//! cuda.bihalf_forward_into(Matrix::new((&u).into(), m, k)?, Ones::Half, out, None, &mut ws)?;
//! # Ok::<(), bihalf::Error>(())
//! ```
//!
//! - Operations are the methods of [`Backend`](crate::Backend) for [`Cuda`]. Forms that write to the
//!   caller's buffers only queue launches on the stream: they allocate no device memory, never
//!   synchronise and copy nothing from the host, so they may be captured in a CUDA graph (turn
//!   cudarc's event tracking off first: waiting for an event of before the capture would break it).
//! - Buffers are cudarc's: [`DeviceRef`] and [`DeviceMut`] are made from its slices and views, or,
//!   with `unsafe`, from raw device addresses. Launches wait for earlier work on a slice's other
//!   streams, and later work for them, as cudarc's own launches do.
//! - [`Workspace`]s are the caller's; [`workspace_bytes`] tells their size. Calls that share one are
//!   ordered by their stream; give every stream its own.
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
mod sign;
mod stream;
#[cfg(all(test, bihalf_kernels))]
mod tests;

pub use driver::context;
pub use memory::{DeviceMut, DeviceRef, Workspace, workspace_bytes};
pub use module::Kernels;
pub use stream::Cuda;
