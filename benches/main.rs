//! Benchmarks of every operation, one file an operation. Each compares the crate with what a user
//! would write or call instead, on the same data in the same run, after checking once that both
//! give the same result.
//!
//! Names are `operation/implementation/type/rows x cols`; `cpu` is the crate. Run one operation with
//! `cargo bench -- bihalf`.

// A benchmark needs no documentation of its own.
#![allow(missing_docs)]

mod common;

mod bihalf;
mod codes;
mod loss;
mod rank;
mod relax;
mod retrieval;
mod sign;
mod stats;
mod threshold;

criterion::criterion_group!(
    benches,
    bihalf::bench,
    codes::bench,
    loss::bench,
    rank::bench,
    relax::bench,
    retrieval::bench,
    sign::bench,
    stats::bench,
    threshold::bench
);
criterion::criterion_main!(benches);
