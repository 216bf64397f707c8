//! candle's storages as the matrices of `bihalf`: what does not depend on the device.

use bihalf::{Backend, Element, Matrix, Ones};
use candle_core::backend::BackendStorage;
#[cfg(feature = "cuda")]
use candle_core::cuda::CudaDType;
use candle_core::{Error, Layout, Result, Storage, WithDType, bail};
use std::ops::Range;

/// A dtype that both crates know.
#[cfg(not(feature = "cuda"))]
pub(crate) trait Float: Element + WithDType {}
#[cfg(not(feature = "cuda"))]
impl<T: Element + WithDType> Float for T {}

/// A dtype that both crates know, on the device too.
#[cfg(feature = "cuda")]
pub(crate) trait Float: Element + WithDType + CudaDType {}
#[cfg(feature = "cuda")]
impl<T: Element + WithDType + CudaDType> Float for T {}

/// Runs `$body` with the type `$T` that stands for `$dtype`, or returns an error that names `$op`.
macro_rules! with_float {
    ($dtype:expr, $op:expr, $T:ident => $body:expr) => {
        match $dtype {
            candle_core::DType::F16 => {
                type $T = half::f16;
                $body
            }
            candle_core::DType::BF16 => {
                type $T = half::bf16;
                $body
            }
            candle_core::DType::F32 => {
                type $T = f32;
                $body
            }
            candle_core::DType::F64 => {
                type $T = f64;
                $body
            }
            dtype => Err(candle_core::Error::UnsupportedDTypeForOp(dtype, $op).bt()),
        }
    };
}
pub(crate) use with_float;

/// A storage of candle, and the backend of `bihalf` that works where it lies. Ops are written once,
/// for any of these.
pub(crate) trait TensorStorage: BackendStorage {
    type Backend: Backend;

    fn backend(&self) -> Result<Self::Backend>;

    /// The storage of a tensor, if it is one of this kind.
    fn of(storage: &Storage) -> Option<&Self>;

    /// Some elements, as far as there are any.
    fn elements<T: Float>(&self, range: Range<usize>) -> Result<Slice<'_, Self, T>>;

    /// Bi-half's forward, in whatever scratch memory is at hand.
    fn bihalf_forward<T: Float>(&self, u: View<'_, Self, T>, ones: Ones)
    -> Result<Buffer<Self, T>>;

    /// A buffer of the backend as a storage on the device of `self`.
    fn wrap<T: Float>(&self, buffer: Buffer<Self, T>) -> Self;

    /// The cosine-preserving loss of `x` and `b` as a storage of one `T` on the device of `self`,
    /// and its derivative for `b`, if that is wanted or comes with it.
    fn cosine_loss<X: Float, T: Float>(
        &self,
        x: View<'_, Self, X>,
        b: View<'_, Self, T>,
        wants_slope: bool,
    ) -> Result<(Self, Option<Self>)>;
}

pub(crate) type Slice<'a, S, T> = <<S as TensorStorage>::Backend as Backend>::Slice<'a, T>;
pub(crate) type Buffer<S, T> = <<S as TensorStorage>::Backend as Backend>::Buffer<T>;

/// A matrix to read in a storage `S`.
pub(crate) type View<'a, S, T> = Matrix<Slice<'a, S, T>>;

/// The matrix that a layout sees in a storage, in place: its offset and strides are kept.
pub(crate) fn matrix<'a, S: TensorStorage, T: Float>(
    op: &str,
    (storage, layout): (&'a S, &Layout),
) -> Result<View<'a, S, T>> {
    let &[rows, cols] = layout.dims() else {
        bail!(
            "{op} takes a matrix [rows, cols], not a tensor of shape {:?}; reshape it",
            layout.dims()
        )
    };
    // The offset of an empty view may lie past the end.
    let data = storage.elements::<T>(layout.start_offset()..usize::MAX)?;
    let &[row_stride, col_stride] = layout.stride() else {
        bail!("{op}: shape {:?} has strides {:?}", layout.dims(), layout.stride())
    };
    Matrix::with_strides(data, rows, cols, row_stride, col_stride).map_err(Error::wrap)
}
