//! Compute kernels for learning binary hash codes.
//!
//! Images, video and text are found fast when each is a short binary code. A code carries most when
//! every bit is +1 for exactly half of the data; the **Bi-half** layer forces it without a
//! parameter (Li and van Gemert, *Deep Unsupervised Image Hashing by Maximizing Bit Entropy*,
//! AAAI 2021, [arXiv 2012.12334](https://arxiv.org/abs/2012.12334)). This crate has that layer, the
//! layers and losses that it is compared with, packed codes, and the measures of retrieval.
//!
//! ```
//! use bihalf::{MatRef, Ones, ops};
//!
//! // In training: a batch of 4 items and 2 bits, row-major.
//! let u = [0.9f32, -3.0, 0.1, -1.0, 0.5, -2.0, 0.7, -4.0];
//! let u = MatRef::new(&u, 4, 2)?;
//! let b = ops::bi_half::forward(u, Ones::Half)?; // each column: two +1, two -1
//! # let db = [0.0; 8];
//! // ... the loss on b gives db, its gradient; back through the layer:
//! let (b, db) = (MatRef::new(&b, 4, 2)?, MatRef::new(&db, 4, 2)?);
//! let du = ops::bi_half::backward(u, b, 6.0, db)?;
//! assert_eq!(du.len(), 8);
//!
//! // At inference: sign(U), one bit a bit.
//! let codes = ops::sign::forward_packed(u, None)?;
//! assert_eq!(codes.to_bytes()?, [0b01, 0b01, 0b01, 0b01]);
//! # Ok::<(), bihalf::Error>(())
//! ```
//!
//! | page | operation |
//! |---|---|
//! | [`ops::bi_half`] | Bi-half: forward (any ratio), backward |
//! | [`ops::sign`] | sign with a per-column shift, straight-through backward |
//! | [`ops::relax`] | `tanh(beta u)`, its gradient, a schedule for beta |
//! | [`ops::threshold`] | batch medians and their moving average |
//! | [`ops::rank`] | rank and argsort of each column |
//! | [`ops::codes`], [`codes`] | packing and unpacking; the packed format |
//! | [`ops::loss`] | cosine-preserving loss, dense or packed, and back through Bi-half; entropy penalty |
//! | [`ops::stats`] | P(+1), bit entropy, correlation, histogram, transport cost |
//! | [`ops::search`] | nearest codes by Hamming distance, all within a radius, rankings |
//! | [`ops::retrieval`] | mAP, mAP@k, precision, recall, and their expectations over ties |
//!
//! Data are borrowed slices: [`MatRef`] to read, [`MatMut`] to write, with strides. Elements are
//! `f32`, `f64`, [`f16`](half::f16) or [`bf16`](half::bf16). Code that is to run on any backend is
//! written against the trait [`Backend`]: [`Cpu`] is one, and with feature `cuda` so is
//! `cuda::Cuda`, for device memory. Codes, ranks, thresholds and counts are the same bits on both.
//!
//! # Features
//! - `rayon` (default): calls share the threads of the current rayon pool. Results are the same
//!   bits with it and without.
//! - `cuda`: the module `cuda`, with kernels that nvcc compiles while the crate is built. Without
//!   nvcc the build warns and the kernels are absent; on a machine without a driver a program
//!   starts, and asking for a device is an error that says so.
//! - `ndarray`: views of arrays and back, in the module `arrays`.
//!
//! `unsafe` code is confined to the folders `src/cpu/simd` and `src/cuda`.

#[cfg(feature = "ndarray")]
pub mod arrays;
mod backend;
pub mod codes;
mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
mod element;
mod error;
mod matrix;
mod memory;
pub mod ops;
pub mod plan;
mod workspace;

#[doc(hidden)]
pub use backend::__private;
pub use backend::{Backend, Operation};
pub use codes::{Codes, CodesMut, CodesRef, PackedCodes};
pub use cpu::Cpu;
#[cfg(feature = "cuda")]
pub use cudarc;
pub use element::{Element, Scalar};
pub use error::{Error, Result};
pub use half;
pub use matrix::{Layout, Mat, MatMut, MatRef, Matrix, ReadStorage, Storage};
pub use ops::bi_half::Ones;
pub use ops::rank::Order;
pub use ops::{CodeMatrix, Gamma, Outputs, PerColumn};
pub use workspace::Workspace;
