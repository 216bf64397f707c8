//! Borrowed matrix views: a buffer, a shape and strides. Lengths, overflow and overlap are
//! checked here, once; past a constructor a view is right.

use crate::element::Scalar;
use crate::memory::{allocate, append};
use crate::{Error, Result};
use std::ops::Range;

/// Something that holds a known number of elements: a slice here, a device slice elsewhere.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no storage of a matrix or of codes",
    label = "neither a slice nor memory of a device",
    note = "of a vector or an array pass a slice (`&data[..]`, `&mut data[..]`), or use \
            `MatRef::new` and `MatMut::new`, which take references to them"
)]
pub trait Storage {
    /// Number of elements.
    fn len(&self) -> usize;

    /// Whether there are no elements.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The words of the host that are read as packed codes.
    #[doc(hidden)]
    fn host_words(&self) -> Option<&[u64]> {
        None
    }
}

/// Storage that is only read, so that several elements of a matrix may share one place.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not storage to read alone",
    note = "any strides are for inputs; an output is row-major: use `with_row_stride`"
)]
pub trait ReadStorage: Storage {}

impl<T: Scalar> ReadStorage for &[T] {}

impl<T: Scalar> Storage for &[T] {
    fn len(&self) -> usize {
        <[T]>::len(self)
    }

    fn host_words(&self) -> Option<&[u64]> {
        T::as_words(self)
    }
}

impl<T: Scalar> Storage for Vec<T> {
    fn len(&self) -> usize {
        Vec::len(self)
    }
}

impl<T> Storage for &mut [T] {
    fn len(&self) -> usize {
        <[T]>::len(self)
    }
}

/// Shape and strides of a matrix, in elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl Layout {
    /// A layout whose last element's position fits in `usize`.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when `rows * cols` or the position of an element overflows.
    #[inline]
    pub fn new(rows: usize, cols: usize, row_stride: usize, col_stride: usize) -> Result<Self> {
        let layout = Self { rows, cols, row_stride, col_stride };
        let too_large = || Error::TooLarge { rows, cols, row_stride, col_stride };
        rows.checked_mul(cols).ok_or_else(too_large)?;
        layout.checked_span().ok_or_else(too_large)?;
        Ok(layout)
    }

    /// Number of rows (M: the batch).
    #[inline]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns (K: the bits).
    #[inline]
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Rows and columns.
    #[inline]
    pub fn shape(&self) -> (usize, usize) {
        (self.rows, self.cols)
    }

    /// Elements from one row to the next (the leading dimension of a row-major matrix).
    #[inline]
    pub fn row_stride(&self) -> usize {
        self.row_stride
    }

    /// Elements from one column to the next.
    #[inline]
    pub fn col_stride(&self) -> usize {
        self.col_stride
    }

    /// Whether there is no element.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.rows == 0 || self.cols == 0
    }

    /// Whether it is row-major without gaps.
    #[inline]
    pub(crate) fn is_dense(&self) -> bool {
        self.row_stride == self.cols && self.col_stride == 1
    }

    /// Elements from the first to behind the last one: what a buffer must hold.
    #[inline]
    pub fn span(&self) -> usize {
        self.checked_span().expect("checked by Layout::new")
    }

    #[inline]
    fn checked_span(&self) -> Option<usize> {
        if self.is_empty() {
            return Some(0);
        }
        let last_row = (self.rows - 1).checked_mul(self.row_stride)?;
        let last_col = (self.cols - 1).checked_mul(self.col_stride)?;
        last_row.checked_add(last_col)?.checked_add(1)
    }

    #[track_caller]
    fn assert_row(&self, i: usize) {
        assert!(i < self.rows, "row {i} of a {} x {} matrix", self.rows, self.cols);
    }

    #[track_caller]
    fn assert_col(&self, j: usize) {
        assert!(j < self.cols, "column {j} of a {} x {} matrix", self.rows, self.cols);
    }

    #[inline]
    fn checked_against(self, got: usize) -> Result<Self> {
        let Self { rows, cols, row_stride, col_stride } = self;
        let needed = self.span();
        if got < needed {
            return Err(Error::BufferTooShort { rows, cols, row_stride, col_stride, needed, got });
        }
        Ok(self)
    }
}

/// A matrix view over the storage `S`. On the host use the aliases [`MatRef`] and [`MatMut`].
///
/// ```
/// use bihalf::MatRef;
///
/// let data = [1.0f32, 2.0, 9.0, 3.0, 4.0, 9.0];
/// let u = MatRef::with_row_stride(&data, 2, 2, 3)?; // rows 1 2 and 3 4, nines between
/// assert_eq!(u.get(1, 0), 3.0);
/// assert!(MatRef::new(&data, 2, 2).is_err()); // there are 6 elements, not 4
/// # Ok::<(), bihalf::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Matrix<S> {
    data: S,
    layout: Layout,
}

/// An input on the host. Any strides will do: transposed (`row_stride` 1), broadcast (a stride
/// of 0) and overlapping views are legal.
pub type MatRef<'a, T> = Matrix<&'a [T]>;

/// An output on the host: row-major, unit column stride, rows that do not overlap.
pub type MatMut<'a, T> = Matrix<&'a mut [T]>;

impl<S: Storage> Matrix<S> {
    /// A dense row-major matrix of exactly the elements of the buffer.
    ///
    /// # Errors
    /// [`Error::BufferLength`] when there are not `rows * cols` elements, [`Error::TooLarge`].
    pub fn new(data: S, rows: usize, cols: usize) -> Result<Self> {
        let layout = Layout::new(rows, cols, cols, 1)?;
        match (layout.span(), data.len()) {
            (expected, got) if expected == got => Ok(Self { data, layout }),
            (expected, got) => Err(Error::BufferLength { rows, cols, expected, got }),
        }
    }

    /// A dense row-major matrix at the start of a buffer that may be longer.
    ///
    /// # Errors
    /// [`Error::BufferTooShort`], [`Error::TooLarge`].
    pub fn prefix(data: S, rows: usize, cols: usize) -> Result<Self> {
        Self::with_row_stride(data, rows, cols, cols)
    }

    /// A row-major matrix whose rows start `row_stride` elements apart. The buffer may be longer.
    ///
    /// # Errors
    /// [`Error::OverlappingRows`] when `row_stride < cols` and there are two rows or more,
    /// [`Error::BufferTooShort`], [`Error::TooLarge`].
    pub fn with_row_stride(data: S, rows: usize, cols: usize, row_stride: usize) -> Result<Self> {
        if row_stride < cols && rows > 1 {
            return Err(Error::OverlappingRows { cols, row_stride });
        }
        // One row has no next one; its stride is normalised so that code may rely on the rule.
        let row_stride = row_stride.max(cols);
        let layout = Layout::new(rows, cols, row_stride, 1)?.checked_against(data.len())?;
        Ok(Self { data, layout })
    }
}

impl<S> Matrix<S> {
    /// Shape and strides.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.layout.rows
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.layout.cols
    }

    /// Rows and columns.
    pub fn shape(&self) -> (usize, usize) {
        self.layout.shape()
    }

    /// The storage.
    pub fn data(&self) -> &S {
        &self.data
    }

    /// The storage, by value.
    pub fn into_data(self) -> S {
        self.data
    }
}

impl<S: ReadStorage> Matrix<S> {
    /// A matrix with any strides, for inputs: element `(i, j)` is
    /// `data[i * row_stride + j * col_stride]`. The buffer may be longer. A column-major matrix has
    /// `row_stride` 1 and `col_stride` rows.
    ///
    /// # Errors
    /// [`Error::BufferTooShort`], [`Error::TooLarge`].
    pub fn with_strides(
        data: S,
        rows: usize,
        cols: usize,
        row_stride: usize,
        col_stride: usize,
    ) -> Result<Self> {
        let layout =
            Layout::new(rows, cols, row_stride, col_stride)?.checked_against(data.len())?;
        Ok(Self { data, layout })
    }
}

/// A matrix of the host that owns its elements.
///
/// ```
/// use bihalf::Mat;
///
/// let u = Mat::from_rows([vec![0.5f32, -1.0], vec![2.0, 0.0]])?;
/// assert_eq!((u.shape(), u.view().get(1, 0)), ((2, 2), 2.0));
/// assert!(Mat::from_rows([vec![0.5f32], vec![]]).is_err());
/// # Ok::<(), bihalf::Error>(())
/// ```
pub type Mat<T> = Matrix<Vec<T>>;

impl<T: Scalar> Mat<T> {
    /// A copy of rows of equal length: of vectors, arrays or slices.
    ///
    /// # Errors
    /// [`Error::RowLength`] for the first row of another length, [`Error::TooLarge`] when there is
    /// no memory for them.
    pub fn from_rows(rows: impl IntoIterator<Item = impl AsRef<[T]>>) -> Result<Self> {
        let (mut data, mut number, mut cols) = (Vec::new(), 0, 0);
        for row in rows {
            let row = row.as_ref();
            if number == 0 {
                cols = row.len();
            } else if row.len() != cols {
                return Err(Error::RowLength { row: number, expected: cols, got: row.len() });
            }
            number += 1;
            append(&mut data, row, (number, cols))?;
        }
        Self::new(data, number, cols)
    }

    /// The matrix to read.
    pub fn view(&self) -> MatRef<'_, T> {
        Matrix { data: &self.data, layout: self.layout }
    }

    /// The matrix to write.
    pub fn view_mut(&mut self) -> MatMut<'_, T> {
        Matrix { data: &mut self.data, layout: self.layout }
    }
}

impl<'a, T: Copy> MatRef<'a, T> {
    /// Some rows and columns, without a copy.
    ///
    /// # Panics
    /// When there are no such rows or columns.
    #[track_caller]
    pub fn slice(&self, rows: Range<usize>, cols: Range<usize>) -> Self {
        let Self { data, layout } = *self;
        let is_in = |part: &Range<usize>, len| part.start <= part.end && part.end <= len;
        let is_part = is_in(&rows, layout.rows) && is_in(&cols, layout.cols);
        assert!(is_part, "[{rows:?}, {cols:?}] of a {} x {} matrix", layout.rows, layout.cols);
        let part = Layout { rows: rows.len(), cols: cols.len(), ..layout };
        let first = rows.start * layout.row_stride + cols.start * layout.col_stride;
        // Of an empty part there may be no place to begin at.
        let data = if part.is_empty() { &data[..0] } else { &data[first..] };
        Self { data, layout: part }
    }

    /// Element of row `i` and column `j`.
    ///
    /// # Panics
    /// When there is no such element.
    #[track_caller]
    pub fn get(&self, i: usize, j: usize) -> T {
        self.layout.assert_row(i);
        self.layout.assert_col(j);
        self.data[i * self.layout.row_stride + j * self.layout.col_stride]
    }

    /// Row `i` from left to right.
    ///
    /// # Panics
    /// When there is no such row.
    #[track_caller]
    pub fn row(&self, i: usize) -> impl Iterator<Item = T> + use<'a, T> {
        let Self { data, layout } = *self;
        layout.assert_row(i);
        (0..layout.cols).map(move |j| data[i * layout.row_stride + j * layout.col_stride])
    }

    /// Column `j` from top to bottom.
    ///
    /// # Panics
    /// When there is no such column.
    #[track_caller]
    pub fn col(&self, j: usize) -> impl Iterator<Item = T> + use<'a, T> {
        let Self { data, layout } = *self;
        layout.assert_col(j);
        (0..layout.rows).map(move |i| data[i * layout.row_stride + j * layout.col_stride])
    }

    /// The elements, row by row, without gaps.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when there is no memory for them.
    pub fn to_vec(&self) -> Result<Vec<T>>
    where
        T: Default,
    {
        let mut elements = allocate(self.shape(), T::default())?;
        for (i, row) in elements.chunks_mut(self.cols().max(1)).enumerate() {
            row.iter_mut().zip(self.row(i)).for_each(|(to, from)| *to = from);
        }
        Ok(elements)
    }
}

impl<T> MatMut<'_, T> {
    /// The same matrix for the length of a call.
    pub fn reborrow(&mut self) -> MatMut<'_, T> {
        Matrix { data: self.data, layout: self.layout }
    }

    /// The same matrix, read only.
    pub fn as_ref(&self) -> MatRef<'_, T> {
        Matrix { data: self.data, layout: self.layout }
    }

    /// The rows, each a slice of `cols` elements. Empty matrices have none.
    pub fn rows_mut(&mut self) -> impl Iterator<Item = &mut [T]> {
        let (stride, cols) = (self.layout.row_stride.max(1), self.layout.cols);
        self.data[..self.layout.span()].chunks_mut(stride).map(move |row| &mut row[..cols])
    }
}
