//! The one place that asks for memory: where there is none the answer is an error, not an abort.

use crate::{Error, Result};
use bytemuck::Zeroable;
use bytemuck::allocation::try_zeroed_vec;

/// A buffer of `rows * cols` zeros. Large ones are pages that the system clears when they are first
/// written, so that what is written anew is not written twice.
pub(crate) fn zeros<T: Zeroable>(shape: (usize, usize)) -> Result<Vec<T>> {
    try_zeroed_vec(shape.0.saturating_mul(shape.1)).map_err(|()| too_large(shape))
}

/// An empty buffer with room for `rows * cols` elements.
pub(crate) fn room<T>(shape: (usize, usize)) -> Result<Vec<T>> {
    let mut buffer = Vec::new();
    let len = shape.0.saturating_mul(shape.1);
    buffer.try_reserve_exact(len).map_err(|_| too_large(shape))?;
    Ok(buffer)
}

/// A buffer of `rows * cols` elements.
pub(crate) fn allocate<T: Clone>(shape: (usize, usize), fill: T) -> Result<Vec<T>> {
    let mut buffer = Vec::new();
    resize(&mut buffer, shape.0.saturating_mul(shape.1), fill, shape)?;
    Ok(buffer)
}

/// Makes a buffer `len` elements long; the error names `shape`.
pub(crate) fn resize<T: Clone>(
    buffer: &mut Vec<T>,
    len: usize,
    fill: T,
    shape: (usize, usize),
) -> Result<()> {
    let more = len.saturating_sub(buffer.len());
    buffer.try_reserve_exact(more).map_err(|_| too_large(shape))?;
    buffer.resize(len, fill);
    Ok(())
}

/// Appends an element; the error names `shape`.
pub(crate) fn push<T>(buffer: &mut Vec<T>, element: T, shape: (usize, usize)) -> Result<()> {
    buffer.try_reserve(1).map_err(|_| too_large(shape))?;
    buffer.push(element);
    Ok(())
}

/// Appends elements; the error names `shape`.
pub(crate) fn append<T: Copy>(
    buffer: &mut Vec<T>,
    elements: &[T],
    shape: (usize, usize),
) -> Result<()> {
    buffer.try_reserve(elements.len()).map_err(|_| too_large(shape))?;
    buffer.extend_from_slice(elements);
    Ok(())
}

/// What says that there is no memory for so many rows and columns.
pub(crate) fn too_large((rows, cols): (usize, usize)) -> Error {
    Error::TooLarge { rows, cols, row_stride: cols, col_stride: 1 }
}
