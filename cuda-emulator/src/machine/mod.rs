//! The machine: a grid of blocks ([`grid`]), a block with its shared memory and barriers ([`block`],
//! [`named_barrier`]), its warps and how their lanes diverge and come together again ([`warp`],
//! [`scheduler`]), clusters of blocks ([`cluster`]) and the device's memory ([`memory`]).
//!
//! One thread of the host runs one block, or one cluster, at a time. Within a block everything happens
//! one after the other, so a block is deterministic unless it looks at others.

pub mod block;
pub mod cluster;
pub mod cluster_shape;
pub mod grid;
pub mod lanes;
pub mod memory;
pub mod named_barrier;
pub mod scheduler;
mod special_registers;
pub mod warp;

/// Coordinates of a block in its grid, or of a thread in its block, from its number there.
pub fn coordinates(number: u64, dims: [u32; 3]) -> [u32; 3] {
    let [w, h, _] = dims.map(u64::from);
    [number % w, number / w % h, number / (w * h)].map(|x| x as u32)
}

/// A step of the xorshift* generator.
pub fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    state.wrapping_mul(0x2545_F491_4F6C_DD1D)
}
