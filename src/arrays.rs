//! Views of [`ndarray`] arrays, and arrays as views of this crate's: nothing is copied.
//!
//! Strides are kept, so a column-major array is read as what it is. A view with gaps, as of some
//! columns, has no slice behind it (its gaps may be borrowed elsewhere): take the array as a
//! [`MatRef`] and [slice](MatRef::slice) that.
//!
//! ```
//! use bihalf::{MatRef, Ones, ops};
//! use ndarray::array;
//!
//! let u = array![[0.9f32, -3.0, 7.0], [0.1, -1.0, 7.0]];
//! let m = MatRef::try_from(&u)?.slice(0..2, 0..2); // the first two columns
//! assert_eq!(ops::bi_half::forward(m, Ones::Half)?, [1.0, -1.0, -1.0, 1.0]);
//! # Ok::<(), bihalf::Error>(())
//! ```

use crate::element::Scalar;
use crate::{Error, Layout, MatMut, MatRef, Result};
use ndarray::{Array2, ArrayView2, ArrayViewMut2, ShapeBuilder};

/// The strides of an array without gaps, if its elements lie forwards.
fn strides(shape: (usize, usize), strides: &[isize]) -> Option<(usize, usize)> {
    let &[row, col] = strides else { return None };
    // The stride of one row or column says nothing.
    let row = if shape.0 <= 1 { Some(shape.1) } else { row.try_into().ok() };
    let col = if shape.1 <= 1 { Some(1) } else { col.try_into().ok() };
    row.zip(col)
}

/// The strides of a view for `ndarray`, which wants none where there is no element.
fn strides_of(layout: Layout) -> (usize, usize) {
    if layout.is_empty() { (0, 0) } else { (layout.row_stride(), layout.col_stride()) }
}

fn refused(shape: (usize, usize), strides: &[isize]) -> Error {
    let stride = |axis: usize| strides.get(axis).copied().unwrap_or(0);
    Error::ArrayLayout { rows: shape.0, cols: shape.1, strides: (stride(0), stride(1)) }
}

impl<'a, T: Scalar> TryFrom<ArrayView2<'a, T>> for MatRef<'a, T> {
    type Error = Error;

    /// A view of an array without gaps, row-major or column-major.
    fn try_from(array: ArrayView2<'a, T>) -> Result<Self> {
        let shape = array.dim();
        let error = refused(shape, array.strides());
        let found = strides(shape, array.strides());
        match (array.to_slice_memory_order(), found) {
            (Some(data), Some((row, col))) => Self::with_strides(data, shape.0, shape.1, row, col),
            _ => Err(error),
        }
    }
}

impl<'a, T: Scalar> TryFrom<&'a Array2<T>> for MatRef<'a, T> {
    type Error = Error;

    fn try_from(array: &'a Array2<T>) -> Result<Self> {
        array.view().try_into()
    }
}

impl<'a, T: Scalar> TryFrom<ArrayViewMut2<'a, T>> for MatMut<'a, T> {
    type Error = Error;

    /// A view of a row-major array without gaps: outputs are row-major.
    fn try_from(array: ArrayViewMut2<'a, T>) -> Result<Self> {
        let (rows, cols) = array.dim();
        let error = refused((rows, cols), array.strides());
        Self::new(array.into_slice().ok_or(error)?, rows, cols)
    }
}

impl<'a, T: Scalar> TryFrom<&'a mut Array2<T>> for MatMut<'a, T> {
    type Error = Error;

    fn try_from(array: &'a mut Array2<T>) -> Result<Self> {
        array.view_mut().try_into()
    }
}

impl<'a, T: Scalar> TryFrom<MatRef<'a, T>> for ArrayView2<'a, T> {
    type Error = Error;

    /// The same elements with the same strides.
    fn try_from(matrix: MatRef<'a, T>) -> Result<Self> {
        let (layout, data) = (matrix.layout(), matrix.into_data());
        let (shape, (row, col)) = (layout.shape(), strides_of(layout));
        let view = Self::from_shape(shape.strides((row, col)), data);
        view.map_err(|_| refused(shape, &[row as isize, col as isize]))
    }
}

impl<'a, T: Scalar> From<MatMut<'a, T>> for ArrayViewMut2<'a, T> {
    fn from(matrix: MatMut<'a, T>) -> Self {
        let (layout, data) = (matrix.layout(), matrix.into_data());
        let (shape, data) = (layout.shape(), &mut data[..layout.span()]);
        let view = Self::from_shape(shape.strides(strides_of(layout)), data);
        view.expect("rows that do not overlap")
    }
}
