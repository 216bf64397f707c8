//! Ranks and argsort on the CPU.
//!
//! | rows | file | algorithm |
//! |---|---|---|
//! | up to 512 of `f32`, 320 of `f64`, 768 of 16 bits, if there are vectors | `count.rs` | all pairs of rows are compared, a lane a column |
//! | others | `radix.rs`, `digits.rs` | 16 columns are gathered and sorted one by one, digit by digit |
//!
//! Threads share the columns: a [`Task`] is a range of them.

#[cfg_attr(
    not(any(target_arch = "x86_64", target_arch = "aarch64")),
    allow(dead_code, reason = "it needs vectors")
)]
mod count;
mod digits;
mod radix;
mod source;

use super::simd::{self, Columns, Detected, Isa, Job, KeyLanes, on_detected};
use super::threads;
use crate::ops::rank::Order;
use crate::{Element, MatMut, MatRef, Result, Workspace};

/// Columns of a task start at multiples of this where there are enough: a cache line of the output.
const GROUP: usize = simd::LANES;

/// How many times as long as an element of Bi-half one takes here: measured with `f32`, 5 times at 32
/// rows and 20 times at 1024. So less of them are worth a second thread.
const EFFORT: usize = 8;

/// What is written of a sorted column.
#[derive(Clone, Copy)]
pub enum Form {
    /// The place of each row.
    Ranks,
    /// The row at each place.
    Rows,
}

pub(crate) fn rank<T: Element>(
    isa: Detected,
    u: MatRef<'_, T>,
    order: Order,
    out: MatMut<'_, u32>,
    ws: &mut Workspace,
) -> Result<()> {
    write(isa, u, (order, Form::Ranks), out, ws)
}

pub(crate) fn argsort<T: Element>(
    isa: Detected,
    u: MatRef<'_, T>,
    order: Order,
    out: MatMut<'_, u32>,
    ws: &mut Workspace,
) -> Result<()> {
    write(isa, u, (order, Form::Rows), out, ws)
}

fn write<T: Element>(
    isa: Detected,
    u: MatRef<'_, T>,
    form: (Order, Form),
    out: MatMut<'_, u32>,
    ws: &mut Workspace,
) -> Result<()> {
    if !u.layout().is_empty() {
        T::sort(isa, u, form, out, ws.orders::<T>(u.shape())?);
    }
    Ok(())
}

/// 64-bit words of scratch memory for a matrix.
pub(crate) fn scratch_words<T: Element>(shape: (usize, usize)) -> usize {
    parts(shape).saturating_mul(words_of_part::<T>(shape))
}

fn words_of_part<T: Element>((rows, cols): (usize, usize)) -> usize {
    let words = count::scratch_words::<T>(rows.min(count::most::<T>()));
    words.max(radix::scratch_words::<T>((rows, cols)))
}

/// Into how many tasks a matrix is divided.
fn parts((rows, cols): (usize, usize)) -> usize {
    threads::parts((rows * cols).saturating_mul(EFFORT)).min(cols).max(1)
}

/// `scratch` has [`scratch_words`]; there is an element.
pub(crate) fn sort<T: Element>(
    isa: Detected,
    u: MatRef<'_, T>,
    (order, form): (Order, Form),
    out: MatMut<'_, u32>,
    scratch: &mut [u64],
) {
    let parts = parts(u.shape());
    let task = Task { u, order, form, first: 0, out: Columns::new(out), scratch };
    divide(isa, task, parts);
}

/// A range of columns, for one thread.
struct Task<'a, T: Element> {
    u: MatRef<'a, T>,
    order: Order,
    form: Form,
    /// The first column.
    first: usize,
    /// These columns of the output.
    out: Columns<'a, u32>,
    scratch: &'a mut [u64],
}

fn divide<T: Element>(isa: Detected, task: Task<'_, T>, parts: usize) {
    if parts == 1 {
        if task.u.rows() > count::most::<T>() {
            return radix::run(isa, task);
        }
        return on_detected!(isa, isa => isa.run(Count(task)), portable => radix::run(isa, task));
    }
    let Task { u, order, form, first, out, scratch } = task;
    let left_parts = parts / 2;
    let at = out.cols() * left_parts / parts;
    let at = if at >= GROUP { at / GROUP * GROUP } else { at };
    let (left, right) = out.split_at(at);
    let (left_scratch, right_scratch) = scratch.split_at_mut(scratch.len() / parts * left_parts);
    let left = Task { u, order, form, first, out: left, scratch: left_scratch };
    let right = Task { u, order, form, first: first + at, out: right, scratch: right_scratch };
    threads::join(|| divide(isa, left, left_parts), || divide(isa, right, parts - left_parts));
}

/// A task with few rows.
#[cfg_attr(
    not(any(target_arch = "x86_64", target_arch = "aarch64")),
    allow(dead_code, reason = "it needs vectors")
)]
struct Count<'a, T: Element>(Task<'a, T>);

impl<I: Isa, T: Element> Job<I> for Count<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self, isa: I) {
        count::run(isa, self.0);
    }
}

/// Shorthands for the two keys of an element.
type Small<T> = <T as KeyLanes>::Small;
type Large<T> = <T as KeyLanes>::Large;
