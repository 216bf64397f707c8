//! The CPU path: rayon over columns or rows, one file an op. Shapes and parameters have been
//! checked in `ops/` by the time a call gets here. Safe Rust but for the folder `simd`, which says
//! why.

mod backend;
pub(crate) mod bihalf;
mod blocks;
pub(crate) mod codes;
pub(crate) mod correlation;
pub(crate) mod cosine;
pub(crate) mod penalty;
pub(crate) mod pull;
pub(crate) mod rank;
pub(crate) mod relax;
pub(crate) mod retrieval;
pub(crate) mod search;
pub(crate) mod select;
pub(crate) mod sign;
pub(crate) mod simd;
pub(crate) mod stats;
pub(crate) mod tanh;
mod threads;

pub use backend::Cpu;
