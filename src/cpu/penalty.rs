//! Entropy penalty on the CPU. Each column is summed in `f64` from the first row to the last.

use super::blocks;
use super::simd::{Detected, Loops, RealRoom, Rows, compiled, past_caches};
use super::threads;
use crate::element::Real;
use crate::{Element, MatMut, MatRef};
use std::ops::Range;

/// Columns whose means wait on the stack.
const TILE: usize = 1024;

/// Columns whose sums stay near, and rows that are added to them at once.
const WIDTH: usize = 256;
const TOGETHER: usize = 4;

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
            fill_rows(isa, grad.reborrow(), columns, of_column);
        }
    }
    alpha / 2.0 * (sum / cols as f64)
}

/// Writes the same values to some columns of each row.
fn fill_rows<T: Element>(
    isa: Detected,
    mut out: MatMut<'_, T>,
    columns: Range<usize>,
    values: &[T],
) {
    let layout = out.layout();
    let (stride, work) = (layout.row_stride(), layout.rows() * columns.len());
    let past = columns.len() == layout.cols() && blocks::past_caches_pay(&mut out);
    let out = &mut out.into_data()[..layout.span()];
    let band = (blocks::BAND / columns.len()).max(1);
    threads::for_each_band(out, band * stride, work, |_, out| {
        let rows = out.chunks_mut(stride).map(|row| &mut row[columns.clone()]);
        if past {
            let values = bytemuck::cast_slice(values);
            past_caches(|store| {
                rows.for_each(|row| store.copy(isa, values, bytemuck::cast_slice_mut(row)));
            });
        } else {
            rows.for_each(|row| row.copy_from_slice(values));
        }
    });
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
        let first = first + n * part;
        let mut room = RealRoom::new();
        blocks::for_each(b, first..first + sums.len(), &mut |(_, j), b| {
            let sums = &mut sums[j - first..][..b.cols()];
            for (n, sums) in sums.chunks_mut(WIDTH).enumerate() {
                let b = b.part(n * WIDTH, sums.len());
                for b in b.parts(RealRoom::rows::<T::Real>(b.cols())) {
                    compiled(isa, AddRows { rows: room.reals(isa, b), sums: &mut *sums });
                }
            }
        });
    });
}

/// Adds rows to the sums of their columns, one after the other.
struct AddRows<'a, R> {
    rows: Rows<'a, R>,
    sums: &'a mut [f64],
}

impl<R: Real> Loops for AddRows<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { rows, sums } = self;
        let whole = rows.len() / TOGETHER * TOGETHER;
        for i in (0..whole).step_by(TOGETHER) {
            let [a, b, c, d] = [0, 1, 2, 3].map(|n| rows.row(i + n));
            for ((((sum, a), b), c), d) in sums.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                *sum = *sum + a.to_f64() + b.to_f64() + c.to_f64() + d.to_f64();
            }
        }
        for i in whole..rows.len() {
            for (sum, value) in sums.iter_mut().zip(rows.row(i)) {
                *sum += value.to_f64();
            }
        }
    }
}
