//! The CPU path: rayon over columns or rows, safe Rust, one file an op. Shapes and parameters
//! have been checked in `ops/` by the time a call gets here.

mod backend;
pub(crate) mod bihalf;
pub(crate) mod codes;
pub(crate) mod emit;
pub(crate) mod loss;
pub(crate) mod rank;
pub(crate) mod relax;
pub(crate) mod retrieval;
pub(crate) mod sign;
mod threads;

pub use backend::Cpu;
