//! The CPU path: rayon over columns or rows, one file an op. Shapes and parameters have been checked
//! in `ops/` by the time a call gets here. Safe Rust but for the folder `simd`, which says why.

mod backend;
pub(crate) mod bihalf;
pub(crate) mod codes;
pub(crate) mod emit;
pub(crate) mod loss;
pub(crate) mod pull;
pub(crate) mod rank;
pub(crate) mod relax;
pub(crate) mod retrieval;
pub(crate) mod select;
pub(crate) mod sign;
pub(crate) mod simd;
mod threads;

pub use backend::Cpu;
