//! Vectors of neighbouring elements of a row, whatever the strides.

use super::GROUP;
use crate::MatRef;
use crate::cpu::simd::{Isa, Rows};

/// Columns of an input.
#[derive(Clone, Copy)]
pub(super) struct Source<'a, T> {
    data: &'a [T],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

/// Neighbours of the same columns in all rows.
#[derive(Clone, Copy)]
pub(super) struct Window<'a, T> {
    /// From the first column that exists to the last.
    rows: Rows<'a, T>,
    col_stride: usize,
    /// Columns that exist.
    width: usize,
}

/// What is done with each row of a group. No closure: it might not be inlined.
pub(super) trait Visit<I: Isa, T> {
    /// Row `i`; what stands in place of columns that do not exist means nothing.
    fn row(&mut self, isa: I, i: usize, row: &[T]);
}

impl<'a, T: Copy + Default> Source<'a, T> {
    pub(super) fn new(u: MatRef<'a, T>) -> Self {
        let layout = u.layout();
        let (rows, cols) = layout.shape();
        let (row_stride, col_stride) = (layout.row_stride(), layout.col_stride());
        Self { data: u.into_data(), rows, cols, row_stride, col_stride }
    }

    #[inline(always)]
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    #[inline(always)]
    pub(super) fn cols(&self) -> usize {
        self.cols
    }

    /// The columns before `at` and the others.
    pub(super) fn split_at(self, at: usize) -> (Self, Self) {
        let skip = if self.rows == 0 || at == self.cols { 0 } else { at * self.col_stride };
        let left = Self { cols: at, ..self };
        (left, Self { data: &self.data[skip..], cols: self.cols - at, ..self })
    }

    /// `width` columns from `first` on.
    pub(super) fn part(&self, first: usize, width: usize) -> Self {
        self.split_at(first).1.split_at(width).0
    }

    /// Every `step`-th row, without an incomplete step.
    pub(super) fn every(&self, step: usize) -> Self {
        let row_stride = self.row_stride.saturating_mul(step);
        Self { rows: self.rows / step, row_stride, ..*self }
    }

    /// Up to `width` columns from `first` on; there is at least one, of at least one row.
    #[inline(always)]
    pub(super) fn window(&self, first: usize, width: usize) -> Window<'a, T> {
        let Self { data, rows, cols, row_stride, col_stride } = *self;
        let width = width.min(cols - first);
        let span = (width - 1) * col_stride + 1;
        let rows = Rows::new(&data[first * col_stride..], (rows, span), row_stride);
        Window { rows, col_stride, width }
    }
}

impl<'a, T: Copy + Default> Window<'a, T> {
    #[inline(always)]
    pub(super) fn width(&self) -> usize {
        self.width
    }

    #[inline(always)]
    pub(super) fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Where row `i` begins or would begin.
    #[inline(always)]
    pub(super) fn address(&self, i: usize) -> *const T {
        self.rows.address(i)
    }

    /// Every `step`-th row.
    #[inline(always)]
    pub(super) fn every(self, step: usize) -> Self {
        Self { rows: self.rows.every(step), ..self }
    }

    /// The first `lanes` columns, if they can be read as they lie.
    #[inline(always)]
    pub(super) fn plain(&self, lanes: usize) -> Option<Rows<'a, T>> {
        (self.col_stride == 1 && self.width >= lanes).then(|| self.rows.part(0, lanes))
    }

    /// All rows in turn, a group wide.
    #[inline(always)]
    pub(super) fn visit<I: Isa>(&self, isa: I, visitor: &mut impl Visit<I, T>) {
        if let Some(rows) = self.plain(GROUP) {
            for (i, row) in rows.iter().enumerate() {
                visitor.row(isa, i, row);
            }
        } else {
            let mut copy = [T::default(); GROUP];
            for i in 0..self.rows() {
                visitor.row(isa, i, self.row(i, GROUP, &mut copy));
            }
        }
    }

    /// The element of row `i` and column `l` of the window.
    #[inline(always)]
    pub(super) fn get(&self, i: usize, l: usize) -> T {
        self.rows.row(i)[l * self.col_stride]
    }

    /// `lanes` elements of row `i`, copied if need be; what stands in place of columns that do not
    /// exist means nothing.
    #[inline(always)]
    pub(super) fn row<'b>(&self, i: usize, lanes: usize, copy: &'b mut [T]) -> &'b [T]
    where
        'a: 'b,
    {
        if let Some(rows) = self.plain(lanes) {
            return rows.row(i);
        }
        let row = self.rows.row(i);
        if self.col_stride == 1 {
            copy[..self.width].copy_from_slice(row);
        } else {
            copy[..self.width].fill(row[0]); // if all columns are one
            for (place, &value) in copy.iter_mut().zip(row.iter().step_by(self.col_stride.max(1))) {
                *place = value;
            }
        }
        &copy[..lanes]
    }
}
