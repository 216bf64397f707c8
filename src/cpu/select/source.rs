//! Vectors of neighbouring elements of a row, whatever the strides.

use super::GROUP;
use crate::MatRef;

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
    data: &'a [T],
    row_stride: usize,
    col_stride: usize,
    /// Columns that exist.
    width: usize,
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

    /// Up to `width` columns from `first` on.
    #[inline(always)]
    pub(super) fn window(&self, first: usize, width: usize) -> Window<'a, T> {
        let Self { data, row_stride, col_stride, .. } = *self;
        let width = width.min(self.cols - first);
        Window { data: &data[first * col_stride..], row_stride, col_stride, width }
    }
}

impl<T: Copy + Default> Window<'_, T> {
    #[inline(always)]
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Whether rows of `lanes` columns can be read as they lie.
    #[inline(always)]
    pub(super) fn is_plain(&self, lanes: usize) -> bool {
        self.col_stride == 1 && self.width >= lanes
    }

    /// The element of row `i` and column `l` of the window.
    #[inline(always)]
    pub(super) fn get(&self, i: usize, l: usize) -> T {
        self.data[i * self.row_stride + l * self.col_stride]
    }

    /// `lanes` elements of row `i`. `PLAIN` needs `is_plain`; else they are copied, and what stands
    /// in place of columns that do not exist means nothing.
    #[inline(always)]
    pub(super) fn row<'b, const PLAIN: bool>(
        &'b self,
        i: usize,
        lanes: usize,
        copy: &'b mut [T; GROUP],
    ) -> &'b [T] {
        let at = i * self.row_stride;
        if PLAIN {
            return &self.data[at..at + lanes];
        }
        if self.col_stride == 1 {
            copy[..self.width].copy_from_slice(&self.data[at..at + self.width]);
        } else {
            for (l, place) in copy[..self.width].iter_mut().enumerate() {
                *place = self.data[at + l * self.col_stride];
            }
        }
        &copy[..lanes]
    }
}
