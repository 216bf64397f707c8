//! The promises of every operation, one file an operation. One binary, so that it links once.

mod common;

mod bihalf;
mod codes;
mod loss;
mod matrix;
mod properties;
mod rank;
mod relax;
mod retrieval;
mod sign;
mod stats;
mod threads;
mod threshold;
mod torch;
