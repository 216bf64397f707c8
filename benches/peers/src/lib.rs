//! bihalf and candle behind a C interface, so that one Python process times them beside torch and
//! numpy on the same memory: `peers.py`.
//!
//! Each function does its operation `calls` times and returns the seconds of one: of the calling
//! thread's processor time where `threads` is 1, else of the wall. NaN: it failed, and said why.

mod adapter;
mod clock;
mod layers;
mod operations;
mod peers;
mod pool;
mod search;

pub use adapter::peers_adapter;
pub use layers::peers_operation;
pub use operations::{
    peers_argsort, peers_backward, peers_cosine, peers_forward, peers_forward_packed, peers_rank,
};
pub use peers::{peers_candle_forward, peers_copy, peers_copy_past_caches, peers_read};
pub use search::peers_search;

/// The matrix of a call, and how it is repeated.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Call {
    /// Rows of the batch.
    pub rows: usize,
    /// Bits.
    pub cols: usize,
    /// How often the operation is done.
    pub calls: usize,
    /// Threads that do it; 0 is one in a pool of its own, timed by the wall.
    pub threads: usize,
    /// Element type: 0 is f32, 1 f64, 2 f16, 3 bf16.
    pub dtype: u32,
}

/// The seconds of a call, or NaN and a line on stderr.
fn report<E: std::fmt::Display>(seconds: Result<f64, E>) -> f64 {
    seconds.unwrap_or_else(|error| {
        eprintln!("bihalf-peers: {error}");
        f64::NAN
    })
}
