//! A matrix to write, divided by columns.

use crate::MatMut;
use std::marker::PhantomData;

/// A range of columns of all rows, borrowed exclusively.
///
/// A slice of a row-major matrix cannot be divided by columns; pointers can. A part only ever
/// makes slices of its own columns, and parts come from dividing, so no two overlap.
pub(crate) struct Columns<'a, T> {
    first: *mut T,
    rows: usize,
    cols: usize,
    stride: usize,
    matrix: PhantomData<&'a mut [T]>,
}

// SAFETY: it is an exclusive borrow of its elements.
unsafe impl<T: Send> Send for Columns<'_, T> {}

impl<'a, T> Columns<'a, T> {
    /// All columns of a matrix.
    pub(crate) fn new(matrix: MatMut<'a, T>) -> Self {
        let layout = matrix.layout();
        let data = matrix.into_data();
        // What `row` relies on; the matrix has checked it.
        assert!(data.len() >= layout.span() && layout.col_stride() == 1);
        assert!(layout.row_stride() >= layout.cols() || layout.rows() <= 1);
        Self {
            first: data.as_mut_ptr(),
            rows: layout.rows(),
            cols: layout.cols(),
            stride: layout.row_stride(),
            matrix: PhantomData,
        }
    }

    /// Number of columns.
    pub(crate) fn cols(&self) -> usize {
        self.cols
    }

    /// The columns before `at` and the others.
    pub(crate) fn split_at(self, at: usize) -> (Self, Self) {
        assert!(at <= self.cols, "column {at} of {}", self.cols);
        // Of an empty matrix there may be no place to point to.
        let skip = if self.rows == 0 { 0 } else { at };
        // SAFETY: at most one behind the last element of the first row.
        let second = unsafe { self.first.add(skip) };
        let left = Self { cols: at, ..self };
        (left, Self { first: second, cols: self.cols - at, ..self })
    }

    /// These columns of row `i`.
    #[inline(always)]
    pub(crate) fn row(&mut self, i: usize) -> &mut [T] {
        assert!(i < self.rows);
        // SAFETY: row `i` exists, the constructor has seen that its columns lie in the buffer, and
        // nothing else reaches these columns while `self` is borrowed.
        unsafe { std::slice::from_raw_parts_mut(self.first.add(i * self.stride), self.cols) }
    }
}
