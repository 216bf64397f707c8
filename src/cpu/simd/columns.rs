//! Columns of a matrix: to write, divided among threads, and to read, without a check for each row.

use super::LANES;
use crate::MatMut;
use std::marker::PhantomData;
use std::ops::Range;

/// Elements from the start of one gathered column to the start of the next: not a power of two,
/// since then the columns' cache lines would share a set.
pub(crate) fn column_stride(rows: usize) -> usize {
    rows.next_multiple_of(LANES) + LANES
}

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
    #[inline]
    pub(crate) fn new(matrix: MatMut<'a, T>) -> Self {
        let layout = matrix.layout();
        let data = matrix.into_data();
        // What `row` relies on; the matrix has checked it.
        assert!(data.len() >= layout.span() && layout.col_stride() == 1);
        assert!(layout.row_stride() >= layout.cols() || layout.rows() <= 1);
        // Of no columns there is no row either: nothing says that `i * stride` lies in the buffer.
        let rows = if layout.is_empty() { 0 } else { layout.rows() };
        let (cols, stride) = (layout.cols(), layout.row_stride());
        Self { first: data.as_mut_ptr(), rows, cols, stride, matrix: PhantomData }
    }

    /// Number of columns.
    pub(crate) fn cols(&self) -> usize {
        self.cols
    }

    /// Whether they fill whole cache lines in turn, if they are written row by row: what is written
    /// past the caches in parts of lines takes several times as long.
    pub(crate) fn fill_lines(&self) -> bool {
        /// Bytes of a line, and of the least store past the caches.
        const LINE: usize = 64;
        const STORE: usize = 16;
        let (address, row) = (self.first.addr(), self.cols * size_of::<T>());
        let stride = self.stride * size_of::<T>();
        let are_lines = [address, row, stride].iter().all(|bytes| bytes % LINE == 0);
        are_lines || stride == row && address % STORE == 0 && row % STORE == 0
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

    /// `width` columns from `first` on.
    #[inline(always)]
    pub(crate) fn part(&mut self, first: usize, width: usize) -> Columns<'_, T> {
        assert!(first <= self.cols && width <= self.cols - first);
        let skip = if self.rows == 0 { 0 } else { first };
        // SAFETY: at most one behind the last element of the first row.
        Columns { first: unsafe { self.first.add(skip) }, cols: width, ..*self }
    }

    /// These columns of some rows.
    #[inline(always)]
    pub(crate) fn iter(&mut self, rows: Range<usize>) -> impl Iterator<Item = &mut [T]> {
        assert!(rows.end <= self.rows);
        let (first, cols, stride) = (self.first, self.cols, self.stride);
        // SAFETY: row `i` exists, the constructor has seen that its columns lie in the buffer and
        // that rows do not overlap, and nothing else reaches these columns while `self` is
        // borrowed.
        rows.map(move |i| unsafe { std::slice::from_raw_parts_mut(first.add(i * stride), cols) })
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

/// A range of columns of all rows, to read. A slice of a row would be checked against the whole.
#[derive(Clone, Copy)]
pub struct Rows<'a, T> {
    first: *const T,
    rows: usize,
    cols: usize,
    stride: usize,
    matrix: PhantomData<&'a [T]>,
}

// SAFETY: it is a shared borrow of its elements.
unsafe impl<T: Sync> Send for Rows<'_, T> {}
// SAFETY: it is a shared borrow of its elements.
unsafe impl<T: Sync> Sync for Rows<'_, T> {}

impl<'a, T> Rows<'a, T> {
    /// The first `cols` elements of each of `rows` rows, which begin `stride` elements apart.
    #[inline(always)]
    pub(crate) fn new(data: &'a [T], (rows, cols): (usize, usize), stride: usize) -> Self {
        // What `row` relies on.
        let last = rows.saturating_sub(1).checked_mul(stride).expect("a matrix in memory");
        assert!(rows == 0 || last <= data.len() && cols <= data.len() - last);
        Self { first: data.as_ptr(), rows, cols, stride, matrix: PhantomData }
    }

    /// The same elements as those of a type of the same size.
    #[inline(always)]
    pub(crate) fn cast<U>(self) -> Rows<'a, U>
    where
        T: bytemuck::Pod,
        U: bytemuck::Pod,
    {
        assert!(size_of::<T>() == size_of::<U>() && align_of::<T>() == align_of::<U>());
        let Self { rows, cols, stride, .. } = self;
        Rows { first: self.first.cast(), rows, cols, stride, matrix: PhantomData }
    }

    /// Number of rows.
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    #[inline(always)]
    pub(crate) fn cols(&self) -> usize {
        self.cols
    }

    /// Elements from one row to the next.
    #[inline(always)]
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// `width` columns from `first` on.
    #[inline(always)]
    pub(crate) fn part(self, first: usize, width: usize) -> Self {
        assert!(first <= self.cols && width <= self.cols - first);
        let skip = if self.rows == 0 { 0 } else { first };
        // SAFETY: at most one behind the last element of the first row.
        Self { first: unsafe { self.first.add(skip) }, cols: width, ..self }
    }

    /// These columns of row `i`.
    #[inline(always)]
    pub(crate) fn row(&self, i: usize) -> &'a [T] {
        assert!(i < self.rows);
        // SAFETY: row `i` exists, and the constructor has seen that its columns lie in the buffer.
        unsafe { std::slice::from_raw_parts(self.first.add(i * self.stride), self.cols) }
    }

    /// These columns of all rows.
    #[inline(always)]
    pub(crate) fn iter(self) -> impl Iterator<Item = &'a [T]> {
        // SAFETY: row `i` exists, and the constructor has seen that its columns lie in the buffer.
        (0..self.rows).map(move |i| unsafe {
            std::slice::from_raw_parts(self.first.add(i * self.stride), self.cols)
        })
    }

    /// Some of the rows.
    #[inline(always)]
    pub(crate) fn range(self, rows: Range<usize>) -> Self {
        assert!(rows.start <= rows.end && rows.end <= self.rows);
        Self { first: self.address(rows.start), rows: rows.len(), ..self }
    }

    /// The rows in parts of so many.
    #[inline(always)]
    pub(crate) fn parts(self, rows: usize) -> impl Iterator<Item = Self>
    where
        T: Copy,
    {
        (0..self.rows).step_by(rows).map(move |i| self.range(i..self.rows.min(i + rows)))
    }

    /// Every `step`-th row from the first on, without an incomplete step.
    #[inline(always)]
    pub(crate) fn every(self, step: usize) -> Self {
        // Its last row is not behind the last one here. There may be none, whatever the stride.
        Self { rows: self.rows / step, stride: self.stride.wrapping_mul(step), ..self }
    }

    /// Where row `i` begins or would begin.
    #[inline(always)]
    pub(crate) fn address(&self, i: usize) -> *const T {
        self.first.wrapping_add(i.wrapping_mul(self.stride))
    }
}
