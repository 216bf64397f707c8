//! The promises of every operation, one file an operation. One binary, so that it links once.

mod common;

#[cfg(feature = "ndarray")]
mod arrays;
mod backend;
mod bihalf;
mod codes;
#[cfg(feature = "cuda")]
mod cuda;
#[cfg(feature = "cuda")]
mod cuda_memory;
mod extremes;
mod guard_pages;
#[cfg(bihalf_kernels)]
mod instructions;
mod isa;
mod loss;
mod loss_packed;
#[cfg(bihalf_kernels)]
mod machine_code;
mod matrix;
mod mistakes;
mod plan;
mod properties;
mod rank;
mod relax;
#[cfg(bihalf_kernels)]
mod resources;
mod retrieval;
mod search;
mod sign;
mod stats;
mod threads;
mod threshold;
mod torch;
#[cfg(bihalf_kernels)]
mod traffic;
