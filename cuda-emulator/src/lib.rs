//! A `libcuda.so.1` that runs PTX on the CPU with memory, race and barrier checks and counters. See
//! README.md.
//!
//! | module | what it is about |
//! |---|---|
//! | [`driver`] | the functions of the CUDA driver, by object |
//! | [`ptx`] | reading PTX: lexer, parser, lowering to flat code |
//! | [`machine`] | grid, blocks, warps, lanes, the scheduler, the device's memory |
//! | [`instructions`] | what instructions do, by family |
//! | [`checks`] | what is checked while they do it |
//! | [`counters`] | what is counted, and the line of JSON for it |
//! | [`formats`] | number formats and rounding |
//! | [`options`] | the environment variables |
//!
//! # Where `unsafe` is
//!
//! * [`driver`]: pointers that the program gives, as with any CUDA driver.
//! * [`machine::memory`]: the device's memory is address space that Rust does not know of. An access of
//!   a kernel is checked against the state of its bytes before it is made (`View::access`).
//! * [`instructions`]: loads, stores and atomic operations on bytes that a check has just allowed.
//! * [`machine::cluster`], [`machine::grid`] and [`checks::cluster`]: the blocks of a cluster reach one
//!   another through pointers; only one of them runs at a time, on one thread.
//! * [`checks::block_races`]: what is in memory at a conflict, of an access that was allowed.
//! * [`formats::directed`]: rounding under the processor's control register.
//!
//! Nothing else is `unsafe`; registers, constants and code are indexed with checks.

// Address space and asm: Linux on x86-64 and on aarch64. Elsewhere this is an empty library, so that
// packages that test with it still build. build.rs decides.
#![cfg(has_emulator)]
#![deny(unsafe_op_in_unsafe_fn)]
#![allow(clippy::needless_range_loop, reason = "loops over 32 lanes walk several arrays at once")]

pub mod checks;
pub mod counters;
pub mod driver;
pub mod formats;
pub mod instructions;
pub mod machine;
pub mod options;
pub mod ptx;
