//! Arguments of kernels: structs that mirror those of `kernels/*.cuh` and `kernels/*.cu` field by
//! field. Pointers are addresses, 0 for what is not asked for. A test compares their sizes with the
//! parameters of the compiled kernels.

use super::memory::{DeviceMut, DeviceRef, Held};
use crate::codes::words_per_row;
use crate::plan::VECTOR_BYTES;
use crate::{Element, Error, Matrix, Outputs, PackedCodes, Result};
use cudarc::driver::CudaStream;

#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Shape {
    pub(super) rows: u32,
    pub(super) cols: u32,
}

impl Shape {
    pub(super) fn new(rows: usize, cols: usize) -> Result<Self> {
        let max = u32::MAX as usize;
        match (u32::try_from(rows), u32::try_from(cols)) {
            (Ok(rows), Ok(cols)) => Ok(Self { rows, cols }),
            _ => Err(Error::TooLargeForCuda { rows, cols, max }),
        }
    }

    pub(super) fn is_empty(self) -> bool {
        self.rows == 0 || self.cols == 0
    }
}

#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Input {
    data: u64,
    row_stride: u64,
    col_stride: u64,
}

impl Input {
    pub(super) fn of<'a, T: Element>(
        what: &'static str,
        m: Matrix<DeviceRef<'a, T>>,
        stream: &'a CudaStream,
    ) -> Result<(Self, Held<'a>)> {
        let layout = m.layout();
        let held = m.into_data().hold(what, stream)?;
        let (row_stride, col_stride) = (layout.row_stride() as u64, layout.col_stride() as u64);
        Ok((Self { data: held.address, row_stride, col_stride }, held))
    }
}

/// An input whose type the kernel is told; see `Features` in `kernels/loss.cu`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Features {
    data: Input,
    cols: u32,
    dtype: u32,
    aligned: u32,
    unused: u32,
}

impl Features {
    pub(super) fn of<'a, X: Element>(
        what: &'static str,
        m: Matrix<DeviceRef<'a, X>>,
        stream: &'a CudaStream,
    ) -> Result<(Self, Held<'a>)> {
        let cols = Shape::new(m.rows(), m.cols())?.cols;
        let (data, held) = Input::of(what, m, stream)?;
        let aligned = u32::from(data.by::<X>(VECTOR_BYTES / size_of::<X>()));
        Ok((Self { data, cols, dtype: X::DTYPE as u32, aligned, unused: 0 }, held))
    }
}

/// Whether every row of a matrix of `T` starts at a multiple of `elements`, its columns side by side.
fn by<T>(elements: usize, data: u64, row_stride: u64, col_stride: u64) -> bool {
    let bytes = (elements * size_of::<T>()) as u64;
    data.is_multiple_of(bytes) && row_stride.is_multiple_of(elements as u64) && col_stride == 1
}

impl Input {
    pub(super) fn by<T>(&self, elements: usize) -> bool {
        by::<T>(elements, self.data, self.row_stride, self.col_stride)
    }
}

impl Output {
    pub(super) fn by<T>(&self, elements: usize) -> bool {
        by::<T>(elements, self.data, self.row_stride, 1)
    }
}

/// A matrix that an operation reads, and where its result of the same shape goes.
pub(super) enum InOut<'a, T> {
    /// To memory of its own.
    Into(Matrix<DeviceRef<'a, T>>, Matrix<DeviceMut<'a, T>>),
    /// To the same memory.
    InPlace(Matrix<DeviceMut<'a, T>>),
}

impl<'a, T: Element> InOut<'a, T> {
    /// Shapes of what is read and of the result.
    pub(super) fn shapes(&self) -> [(usize, usize); 2] {
        match self {
            Self::Into(read, out) => [read.shape(), out.shape()],
            Self::InPlace(both) => [both.shape(); 2],
        }
    }

    /// `what` is the matrix that is read.
    pub(super) fn hold(
        self,
        what: &'static str,
        stream: &'a CudaStream,
    ) -> Result<(Input, Output, [Option<Held<'a>>; 2])> {
        match self {
            Self::Into(read, out) => {
                let (read, held_read) = Input::of(what, read, stream)?;
                let (out, held_out) = Output::of("the output", out, stream)?;
                Ok((read, out, [Some(held_read), Some(held_out)]))
            }
            Self::InPlace(both) => {
                let (out, held) = Output::of(what, both, stream)?;
                Ok((out.to_read(), out, [Some(held), None]))
            }
        }
    }
}

#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(super) struct Output {
    data: u64,
    row_stride: u64,
}

impl Output {
    pub(super) fn of<'a, T>(
        what: &'static str,
        m: Matrix<DeviceMut<'a, T>>,
        stream: &'a CudaStream,
    ) -> Result<(Self, Held<'a>)> {
        let row_stride = m.layout().row_stride() as u64;
        let held = m.into_data().hold(what, stream)?;
        Ok((Self { data: held.address, row_stride }, held))
    }

    /// The same matrix, for operations in place.
    pub(super) fn to_read(self) -> Input {
        Input { data: self.data, row_stride: self.row_stride, col_stride: 1 }
    }
}

#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(super) struct Codes {
    data: u64,
    /// In halves of words.
    row_stride: u64,
}

impl Codes {
    fn at(address: u64, bits: usize) -> Self {
        Self { data: address, row_stride: 2 * words_per_row(bits) as u64 }
    }

    pub(super) fn to_read<'a>(
        codes: PackedCodes<DeviceRef<'a, u64>>,
        stream: &'a CudaStream,
    ) -> Result<(Self, Held<'a>)> {
        let bits = codes.bits();
        let held = codes.into_data().hold("the codes", stream)?;
        Ok((Self::at(held.address, bits), held))
    }

    fn to_write<'a>(
        codes: PackedCodes<DeviceMut<'a, u64>>,
        stream: &'a CudaStream,
    ) -> Result<(Self, Held<'a>)> {
        let bits = codes.bits();
        let held = codes.into_data().hold("the packed output", stream)?;
        Ok((Self::at(held.address, bits), held))
    }
}

#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Signs {
    pub(super) dense: Output,
    dense_i8: Output,
    pub(super) codes: Codes,
    pub(super) counts: u64,
}

impl Signs {
    pub(super) fn of<'a, 'out: 'a, T: Element>(
        out: Outputs<'out, T, super::Cuda>,
        stream: &'a CudaStream,
    ) -> Result<(Self, [Option<Held<'a>>; 4])> {
        let (dense, a) = optional(out.dense, |m| Output::of("the dense output", m, stream))?;
        let (dense_i8, b) = optional(out.dense_i8, |m| Output::of("the i8 output", m, stream))?;
        let (codes, c) = optional(out.codes, |codes| Codes::to_write(codes, stream))?;
        let (counts, d) =
            optional(out.counts, |counts| counts.hold("counts", stream).map(Held::addressed))?;
        Ok((Self { dense, dense_i8, codes, counts }, [a, b, c, d]))
    }

    pub(super) fn has_codes(&self) -> bool {
        self.codes.data != 0
    }

    pub(super) fn dense_alone(&self) -> bool {
        self.dense.data != 0 && self.dense_i8.data == 0 && !self.has_codes() && self.counts == 0
    }
}

/// The argument for what may not have been asked for: zeros then.
pub(super) fn optional<'a, V, A: Default>(
    view: Option<V>,
    of: impl FnOnce(V) -> Result<(A, Held<'a>)>,
) -> Result<(A, Option<Held<'a>>)> {
    let Some(view) = view else { return Ok((A::default(), None)) };
    let (argument, held) = of(view)?;
    Ok((argument, Some(held)))
}
