//! candle's CPU storage as the matrices of `bihalf`.

use bihalf::{Element, MatRef};
use candle_core::{CpuStorage, Error, Layout, Result, WithDType, bail};

/// A dtype that both crates know.
pub(crate) trait Float: Element + WithDType {}
impl<T: Element + WithDType> Float for T {}

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

/// The matrix that a layout sees in a storage, in place: its offset and strides are kept.
pub(crate) fn matrix<'a, T: Float>(
    op: &str,
    storage: &'a CpuStorage,
    layout: &Layout,
) -> Result<MatRef<'a, T>> {
    let &[rows, cols] = layout.dims() else {
        bail!(
            "{op} takes a matrix [rows, cols], not a tensor of shape {:?}; reshape it",
            layout.dims()
        )
    };
    // The offset of an empty view may lie past the end.
    let data = storage.as_slice::<T>()?.get(layout.start_offset()..).unwrap_or_default();
    let &[row_stride, col_stride] = layout.stride() else {
        bail!("{op}: shape {:?} has strides {:?}", layout.dims(), layout.stride())
    };
    MatRef::with_strides(data, rows, cols, row_stride, col_stride).map_err(Error::wrap)
}
