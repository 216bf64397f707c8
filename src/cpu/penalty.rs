//! Entropy penalty on the CPU. Each column is summed in `f64` from the first row to the last.

use super::blocks::{self, Block};
use super::simd::{Detected, Loops, Machine, PastCaches, Rows, Storing, compiled, storing};
use super::threads;
use crate::element::Real;
use crate::{Element, MatMut, MatRef};
use std::ops::Range;

/// Columns whose means wait on the stack.
const TILE: usize = 1024;

/// Columns and rows that are added at a time.
const AT_ONCE: usize = 64;
pub(super) const TOGETHER: usize = 4;

pub(crate) fn entropy_penalty<T: Element>(
    isa: Detected,
    b: MatRef<'_, T>,
    alpha: f64,
    mut grad: Option<MatMut<'_, T>>,
) -> f64 {
    let (rows, cols) = b.shape();
    if rows == 0 || cols == 0 {
        return 0.0;
    }
    let scale = alpha / (rows as f64 * cols as f64);
    let mut sum = 0.0;
    for first in (0..cols).step_by(TILE) {
        let columns = first..cols.min(first + TILE);
        let mut means = [0.0; TILE];
        let means = &mut means[..columns.len()];
        T::add_columns(isa, b, first, means);
        means.iter_mut().for_each(|mean| *mean /= rows as f64);
        sum = means.iter().fold(sum, |sum, mean| sum + mean * mean);
        if let Some(grad) = &mut grad {
            let mut of_column = [T::default(); TILE];
            let of_column = &mut of_column[..means.len()];
            for (of_column, mean) in of_column.iter_mut().zip(&*means) {
                *of_column = T::from_f64(scale * mean);
            }
            T::fill_rows(isa, grad.reborrow(), columns, of_column);
        }
    }
    alpha / 2.0 * (sum / cols as f64)
}

/// Writes the same values to some columns of each row.
pub(crate) fn fill_rows<T: Element>(
    isa: Detected,
    mut out: MatMut<'_, T>,
    columns: Range<usize>,
    values: &[T],
) {
    let layout = out.layout();
    let (stride, work) = (layout.row_stride(), layout.rows() * columns.len());
    let whole_rows = columns.len() == layout.cols();
    let past_caches = blocks::past_caches_pay(&mut out) && whole_rows;
    let out = &mut out.into_data()[..layout.span()];
    let band = (blocks::BAND / columns.len()).max(1);
    threads::for_each_band(out, band * stride, work, |_, out| {
        let columns = columns.clone();
        compiled(isa, Fill { out, stride, columns, values, past_caches });
    });
}

struct Fill<'a, T> {
    out: &'a mut [T],
    stride: usize,
    columns: Range<usize>,
    values: &'a [T],
    past_caches: bool,
}

impl<T: Element> Loops for Fill<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self, machine: M) {
        storing(machine, self.past_caches, self);
    }
}

impl<T: Element> Storing for Fill<'_, T> {
    #[inline(always)]
    fn run<M: Machine>(self, machine: M, store: Option<PastCaches<'_>>) {
        for row in self.out.chunks_mut(self.stride) {
            let row = &mut row[self.columns.clone()];
            match store {
                Some(store) => machine.copy_past_caches(store, self.values, row),
                None => row.copy_from_slice(self.values),
            }
        }
    }
}

/// Adds the elements of each column to a sum; `first` is the first sum's column.
pub(crate) fn add_columns<T: Element>(
    isa: Detected,
    b: MatRef<'_, T>,
    first: usize,
    sums: &mut [f64],
) {
    let work = b.rows() * sums.len();
    let part = threads::columns_of_a_part(sums.len(), work);
    threads::for_each_band(sums, part, work, |n, sums| {
        compiled(isa, Add { b, first: first + n * part, sums });
    });
}

struct Add<'a, T> {
    b: MatRef<'a, T>,
    first: usize,
    sums: &'a mut [f64],
}

impl<T: Element> Loops for Add<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(mut self, machine: M) {
        let columns = self.first..self.first + self.sums.len();
        blocks::for_each(machine, self.b, columns, &mut self);
    }
}

impl<T: Element> Block<T> for Add<'_, T> {
    #[inline(always)]
    fn block<M: Machine>(&mut self, machine: M, (_, j): (usize, usize), b: Rows<'_, T>) {
        let mut values = [[T::Real::default(); AT_ONCE]; TOGETHER];
        let sums = &mut self.sums[j - self.first..][..b.cols()];
        for first in (0..b.len()).step_by(TOGETHER) {
            let rows = b.range(first..b.len().min(first + TOGETHER));
            for (n, sums) in sums.chunks_mut(AT_ONCE).enumerate() {
                let rows = rows.part(n * AT_ONCE, sums.len());
                for (i, values) in values.iter_mut().enumerate() {
                    if i < rows.len() {
                        machine.widen(rows.row(i), values);
                    } else {
                        values.fill(T::Real::default());
                    }
                }
                add_rows(&values, sums);
            }
        }
    }
}

/// Adds rows to the sums of their columns, one after the other.
#[inline(always)]
pub(super) fn add_rows<R: Real>(rows: &[[R; AT_ONCE]; TOGETHER], sums: &mut [f64]) {
    let [a, b, c, d] = rows;
    for ((((sum, a), b), c), d) in sums.iter_mut().zip(a).zip(b).zip(c).zip(d) {
        *sum = *sum + a.to_f64() + b.to_f64() + c.to_f64() + d.to_f64();
    }
}
