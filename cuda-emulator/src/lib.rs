//! A `libcuda.so.1` that interprets PTX on the CPU, checks every access and counts what each
//! launch did. See README.md.

// Linux on x86-64 only: reserved address space and the rounding control of SSE. Elsewhere this is an
// empty library, so that packages that test with it still build.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]
// The interpreter computes host addresses and reads through them nearly everywhere: an inner
// unsafe block per line would hide the few places that need thought.
#![allow(unsafe_op_in_unsafe_fn)]
// Loops over the 32 lanes of a warp walk several arrays with one index, as the hardware does.
#![allow(clippy::needless_range_loop)]
// Driver entry points and the walkers of one instruction carry what CUDA or PTX names.
#![allow(clippy::too_many_arguments, clippy::type_complexity)]
// `!(v > 0.0)` is meant to be true of a NaN; equal arms of an `if` name different cases of the ISA.
#![allow(clippy::neg_cmp_op_on_partial_ord, clippy::if_same_then_else)]

pub mod cluster;
pub mod driver;
pub mod exec;
pub mod fatbin;
pub mod fp;
pub mod lower;
pub mod mem;
pub mod parse;
pub mod report;
pub mod stubs;
