//! Matrices in blocks of rows whose elements lie side by side.

use super::simd::{Columns, Rows};
use super::threads;
use crate::{Element, MatMut, MatRef, Scalar};
use bytemuck::Pod;
use std::ops::Range;

/// Elements for a thread at a time: enough to forget the call, few enough to share among threads.
pub(super) const BAND: usize = 1 << 14;

/// Rows and columns of a block that is gathered: a cache line's elements of a column, a word of
/// bits.
const GATHERED: (usize, usize) = (16, 64);

/// Bytes of an output from which on it is written past the caches.
pub(super) const LARGE: usize = 8 << 20;

/// Bytes of a cache line.
const LINE: usize = 64;

/// What is done with a block: row and column of its first element, and its rows.
type Work<'a, T> = dyn FnMut((usize, usize), Rows<'_, T>) + 'a;

/// Some columns of a matrix in blocks: one, of all rows, where elements of a row lie side by side;
/// else parts of a few columns and rows that are gathered, from left to right. `work` gets row and
/// column of a block's first element; the column is a multiple of 64 behind the first one.
///
/// Work in this file is `dyn`: it is called for many elements, and what is around it, compiled for
/// each closure, would be many times as large as all loops.
pub(super) fn for_each<T: Element>(
    u: MatRef<'_, T>,
    columns: Range<usize>,
    work: &mut Work<'_, T>,
) {
    let rows = u.rows();
    if rows == 0 || columns.is_empty() {
        return;
    }
    if u.layout().col_stride() == 1 {
        return work((0, columns.start), side_by_side(u).part(columns.start, columns.len()));
    }
    let mut tile = [T::default(); GATHERED.0 * GATHERED.1];
    for i in (0..rows).step_by(GATHERED.0) {
        for j in columns.clone().step_by(GATHERED.1) {
            let shape = (GATHERED.0.min(rows - i), GATHERED.1.min(columns.end - j));
            gather(u, (i, j), shape, &mut tile);
            work((i, j), Rows::new(&tile, shape, GATHERED.1));
        }
    }
}

/// A block, column by column: elements of a column may be those that lie side by side.
fn gather<T: Copy>(
    u: MatRef<'_, T>,
    (i, j): (usize, usize),
    (rows, cols): (usize, usize),
    tile: &mut [T],
) {
    let layout = u.layout();
    let data = u.into_data();
    for c in 0..cols {
        let first = i * layout.row_stride() + (j + c) * layout.col_stride();
        for r in 0..rows {
            tile[r * GATHERED.1 + c] = data[first + r * layout.row_stride()];
        }
    }
}

/// A matrix whose column stride is 1.
pub(super) fn side_by_side<T>(matrix: MatRef<'_, T>) -> Rows<'_, T> {
    let layout = matrix.layout();
    Rows::new(matrix.into_data(), layout.shape(), layout.row_stride())
}

/// Some rows of a matrix.
pub(super) fn rows_of<T: Scalar>(u: MatRef<'_, T>, rows: Range<usize>) -> MatRef<'_, T> {
    let layout = u.layout();
    let (row_stride, col_stride) = (layout.row_stride(), layout.col_stride());
    let data = &u.into_data()[(rows.start * row_stride).min(layout.span())..];
    let part = MatRef::with_strides(data, rows.len(), layout.cols(), row_stride, col_stride);
    part.expect("rows of the matrix")
}

/// Whether an output is to be written past the caches, if little is read or done for an element.
/// Where as much is read and some arithmetic done, it takes as long either way.
pub(super) fn past_caches_pay<T>(out: &mut MatMut<'_, T>) -> bool {
    let bytes = out.rows() * out.cols() * size_of::<T>();
    bytes >= LARGE && Columns::new(out.reborrow()).fill_lines()
}

/// Computes part of an output row from the same part of the input row; the number is that of its
/// first column.
type Part<'a, T, O> = dyn Fn(usize, &[T], &mut [O]) + Sync + 'a;

/// Makes parts of rows of `out` of those of `u`, with a function that does the same in all columns.
pub(super) fn map<T: Element, O: Pod>(u: MatRef<'_, T>, out: MatMut<'_, O>, f: &Part<'_, T, O>) {
    if !(u.layout().is_dense() && out.layout().is_dense()) {
        return map_by_columns(u, out, f);
    }
    // As rows of any length.
    let len = out.layout().span();
    let (u, out) = (&u.into_data()[..len], &mut out.into_data()[..len]);
    // From a cache line's start on no vector lies in two.
    let head = out.as_ptr().align_offset(LINE).min(len);
    let ((u_head, u), (out_head, out)) = (u.split_at(head), out.split_at_mut(head));
    if head > 0 {
        f(0, u_head, out_head);
    }
    threads::for_each_band(out, BAND, len, |n, out| f(0, &u[n * BAND..][..out.len()], out));
}

/// The same with a function that depends on the column.
pub(super) fn map_by_columns<T: Element, O: Pod>(
    u: MatRef<'_, T>,
    out: MatMut<'_, O>,
    f: &Part<'_, T, O>,
) {
    let layout = out.layout();
    let (rows, cols, stride) = (layout.rows(), layout.cols(), layout.row_stride());
    if layout.is_empty() {
        return;
    }
    let out = &mut out.into_data()[..layout.span()];
    let band = (BAND / cols).max(1);
    threads::for_each_band(out, band * stride, rows * cols, |n, out| {
        let u = rows_of(u, n * band..rows.min((n + 1) * band));
        for_each(u, 0..cols, &mut |(i, j), u| {
            for (u, out) in u.iter().zip(out[i * stride..].chunks_mut(stride)) {
                f(j, u, &mut out[j..][..u.len()]);
            }
        });
    });
}
