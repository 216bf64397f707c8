//! Rank and argsort of each column.
//!
//! | | |
//! |---|---|
//! | Input | `U [rows, cols]`, any strides |
//! | [`rank`] | `R [rows, cols]` of `u32`: `R[i, j]` is the 0-based place of `U[i, j]` in its sorted column |
//! | [`argsort`] | `A [rows, cols]` of `u32`: `A[p, j]` is the row of the element at place `p` of sorted column `j` |
//!
//! The two are each other's inverse: `R[A[p, j], j] = p`.
//!
//! - **Ties** go by row, the lower row first, in both directions (a stable sort; the result of
//!   torch's `sort(0, stable=True)`). Descending order is thus not ascending order read backwards.
//! - **NaN** are equal to each other and greatest; **-0** equals +0; infinities are in their place.
//! - **Sizes**: any, up to 2^32 - 1 rows. Empty matrices give empty results.
//! - **Determinism**: the same bits for any number of threads.
//! - **Errors**: [`Error::TooManyRows`](crate::Error::TooManyRows),
//!   [`Error::Shape`](crate::Error::Shape) when `out` is not `rows` x `cols`; on the CPU
//!   [`Error::InstructionSet`](crate::Error::InstructionSet), see [Bi-half](super::bi_half).
//! - **On CUDA**: the same ranks, by bitonic sort. Up to 4096 rows one launch of `rank_sort32`, `256`,
//!   `1024`, `2048` or `4096`, the least that holds a column, without a workspace. Above, tiles of 4096
//!   rows are merged by `rank_exchange_pairs` and `rank_merge_pairs`: t = ceil(log2(M / 4096)) merges,
//!   the n-th of 1 + ceil(n / 4) launches, with 8 M K bytes of workspace (`f64`: 16 M K; 16-bit types
//!   up to 65,536 rows: 4 M K).
//! - **Cost** on the CPU: up to 512 rows (`f64`: 320; 16-bit types: 768) all pairs of rows are
//!   compared, as many columns at a time as a register has lanes: O(K M^2), which is less than it sounds,
//!   and for each thread 128 M bytes of extra memory (`f64`: 256 M, 16-bit types: 64 M). More rows are sorted column by column, digit by
//!   digit: O(K M), and for each thread 80 M bytes (`f64`: 144 M). Data whose values differ only in
//!   their last bits take up to about twice as long as others (`f64`: three times).
//! - **Threads** share columns from 2^15 elements on.
//!
//! ```
//! use bihalf::{MatRef, Order, ops::rank};
//!
//! let u = [0.5f32, -1.0, 2.0, 0.5]; // one column
//! let u = MatRef::new(&u, 4, 1)?;
//! assert_eq!(rank::rank(u, Order::Ascending)?, [1, 0, 3, 2]);
//! assert_eq!(rank::argsort(u, Order::Descending)?, [2, 0, 3, 1]);
//! # Ok::<(), bihalf::Error>(())
//! ```

use super::{check_rows, check_shape};
use crate::memory::zeros;
use crate::{Element, MatMut, MatRef, Result, Workspace, cpu};

/// Direction of a sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Least value first.
    Ascending,
    /// Greatest value first.
    Descending,
}

/// The place of each element in its sorted column. See the [page](self).
///
/// # Errors
/// See the [page](self).
pub fn rank<T: Element>(u: MatRef<'_, T>, order: Order) -> Result<Vec<u32>> {
    check_rows(u.rows())?;
    let mut out = zeros(u.shape())?;
    rank_into(u, order, MatMut::new(&mut out, u.rows(), u.cols())?, &mut Workspace::new())?;
    Ok(out)
}

/// [`rank()`] into a buffer of the caller.
///
/// # Errors
/// See the [page](self).
pub fn rank_into<T: Element>(
    u: MatRef<'_, T>,
    order: Order,
    out: MatMut<'_, u32>,
    ws: &mut Workspace,
) -> Result<()> {
    check(u.shape(), out.shape())?;
    cpu::rank::rank(cpu::simd::detected()?, u, order, out, ws)
}

/// The rows of each column in sorted order. See the [page](self).
///
/// # Errors
/// See the [page](self).
pub fn argsort<T: Element>(u: MatRef<'_, T>, order: Order) -> Result<Vec<u32>> {
    check_rows(u.rows())?;
    let mut out = zeros(u.shape())?;
    argsort_into(u, order, MatMut::new(&mut out, u.rows(), u.cols())?, &mut Workspace::new())?;
    Ok(out)
}

/// [`argsort`] into a buffer of the caller.
///
/// # Errors
/// See the [page](self).
pub fn argsort_into<T: Element>(
    u: MatRef<'_, T>,
    order: Order,
    out: MatMut<'_, u32>,
    ws: &mut Workspace,
) -> Result<()> {
    check(u.shape(), out.shape())?;
    cpu::rank::argsort(cpu::simd::detected()?, u, order, out, ws)
}

pub(crate) fn check(u: (usize, usize), out: (usize, usize)) -> Result<()> {
    check_rows(u.0)?;
    check_shape("the output", "U", u, out)
}
