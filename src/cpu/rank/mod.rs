//! Ranks and argsort on the CPU.
//!
//! | rows | file | algorithm |
//! |---|---|---|
//! | few | `count.rs` | all pairs of rows are compared, a lane a column |
//! | more | `radix.rs` | 16 columns are gathered and sorted one by one, digit by digit |
//!
//! Threads share the columns: a [`Task`] is a range of them.

mod count;
mod radix;

use super::simd::{Columns, Detected, Isa, Job, KeyLanes, Keyed, Lane, Of, Rows, Vector};
use super::threads;
use crate::ops::rank::Order;
use crate::{Element, MatMut, MatRef, Workspace};

/// Columns of a task start at multiples of this where there are enough: a cache line of the output.
const GROUP: usize = 16;

/// An element takes at least so many times as long as one of Bi-half, so that less of them are worth
/// a second thread.
const EFFORT: usize = 8;

/// What is written of a sorted column.
#[derive(Clone, Copy)]
enum Form {
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
) {
    sort(isa, u, (order, Form::Ranks), out, ws);
}

pub(crate) fn argsort<T: Element>(
    isa: Detected,
    u: MatRef<'_, T>,
    order: Order,
    out: MatMut<'_, u32>,
    ws: &mut Workspace,
) {
    sort(isa, u, (order, Form::Rows), out, ws);
}

/// 64-bit words of scratch memory for a matrix.
pub(crate) fn scratch_words<T: Element>(shape: (usize, usize)) -> usize {
    parts(shape) * words_of_part::<T>(shape)
}

fn words_of_part<T: Element>((rows, cols): (usize, usize)) -> usize {
    if rows <= count::most::<T>() {
        count::scratch_words(rows)
    } else {
        radix::scratch_words::<T>((rows, cols))
    }
}

/// Into how many tasks a matrix is divided.
fn parts((rows, cols): (usize, usize)) -> usize {
    threads::parts((rows * cols).saturating_mul(EFFORT)).min(cols).max(1)
}

fn sort<T: Element>(
    isa: Detected,
    u: MatRef<'_, T>,
    (order, form): (Order, Form),
    out: MatMut<'_, u32>,
    ws: &mut Workspace,
) {
    if u.layout().is_empty() {
        return;
    }
    let parts = parts(u.shape());
    let scratch = ws.orders::<T>(u.shape());
    let task = Task { u, order, form, first: 0, out: Columns::new(out), scratch };
    match isa {
        Detected::Portable(isa) => divide(isa, task, parts),
        #[cfg(target_arch = "x86_64")]
        Detected::Avx2(isa) => divide(isa, task, parts),
    }
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

fn divide<I: Isa, T: Element>(isa: I, task: Task<'_, T>, parts: usize) {
    if parts == 1 {
        return isa.run(task);
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

impl<I: Isa, T: Element> Job<I> for Task<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self, isa: I) {
        if self.u.rows() <= count::most::<T>() {
            count::run(isa, self);
        } else {
            radix::run(isa, self);
        }
    }
}

/// Neighbouring columns of the input, as keys whose order is that of the sort.
struct Source<'a, T> {
    u: MatRef<'a, T>,
    order: Order,
    first: usize,
    /// Columns that exist.
    width: usize,
    /// Their rows, if they can be read as they lie.
    plain: Option<Rows<'a, T>>,
}

impl<'a, T: Element> Source<'a, T> {
    /// Up to [`GROUP`] columns, of which `lanes` are read at a time.
    #[inline(always)]
    fn new(u: MatRef<'a, T>, order: Order, (first, width): (usize, usize), lanes: usize) -> Self {
        let layout = u.layout();
        let plain = (layout.col_stride() == 1 && width % lanes == 0).then(|| {
            let rows = Rows::new(u.into_data(), layout.shape(), layout.row_stride());
            rows.part(first, width)
        });
        Self { u, order, first, width, plain }
    }

    /// Calls `f` with the keys of each row, vector by vector, and the number of the vector's first
    /// column. What stands in place of columns that do not exist means nothing.
    #[inline(always)]
    fn for_each_vector<I: Isa, K: Lane>(&self, isa: I, mut f: impl FnMut(usize, usize, Of<I, K>))
    where
        T: Keyed<K>,
    {
        let zero = Of::<I, K>::splat(isa, K::default());
        let mut copy = [T::default(); GROUP];
        for i in 0..self.u.rows() {
            let row = match &self.plain {
                Some(rows) => rows.row(i),
                None => {
                    for (l, place) in copy[..self.width].iter_mut().enumerate() {
                        *place = self.u.get(i, self.first + l);
                    }
                    &copy[..self.width.next_multiple_of(K::LANES)]
                }
            };
            for l in (0..self.width).step_by(K::LANES) {
                let keys = <T as Keyed<K>>::keys(isa, &row[l..]);
                // The order of all keys but the least one, which no element has, is turned around.
                let keys = match self.order {
                    Order::Ascending => keys,
                    Order::Descending => zero.sub(keys),
                };
                f(i, l, keys);
            }
        }
    }
}

/// Shorthands for the two keys of an element.
type Small<T> = <T as KeyLanes>::Small;
type Large<T> = <T as KeyLanes>::Large;
