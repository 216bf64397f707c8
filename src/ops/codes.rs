//! Packing and unpacking between `[rows, cols]` matrices and packed codes.
//!
//! The format is that of [`codes`](crate::codes): bit `j` of a row is bit `j % 8` of byte
//! `j / 8`, rows are padded to 64-bit words, pad bits are 0.
//!
//! - **Pack** ([`Codes::from_dense`](crate::Codes::from_dense), [`pack_into`]): bit 1 where the
//!   element is greater than 0; zeros, negative values and NaN give bit 0, as
//!   [`sign`] does.
//! - **Unpack** ([`CodesRef::to_dense`](crate::CodesRef::to_dense), [`unpack_into`]): bit 1 becomes
//!   +1, bit 0 becomes -1.
//! - **On CUDA**: the same bits, by `sign_forward` and `codes_unpack`, one launch each.
//! - **Sizes**: any. **Errors**: [`Error::Shape`](crate::Error::Shape),
//!   [`Error::InstructionSet`](crate::Error::InstructionSet), see [Bi-half](super::bi_half).
//!   **Cost**: O(M K) time, no extra memory.
//!
//! ```
//! use bihalf::{Codes, MatMut, MatRef, ops::codes};
//!
//! let mut packed = Codes::zeros(1, 3)?;
//! codes::pack_into(MatRef::new(&[0.3f32, -2.0, 1.0], 1, 3)?, packed.as_mut())?;
//! let mut dense = [0.0f32; 3];
//! codes::unpack_into(packed.as_ref(), MatMut::new(&mut dense, 1, 3)?)?;
//! assert_eq!(dense, [1.0, -1.0, 1.0]);
//! # Ok::<(), bihalf::Error>(())
//! ```

use super::{check_shape, sign};
use crate::{CodesMut, CodesRef, Element, MatMut, MatRef, Outputs, Result, cpu};

/// Packs `dense`. See the [page](self).
///
/// # Errors
/// See the [page](self).
pub fn pack_into<T: Element>(dense: MatRef<'_, T>, codes: CodesMut<'_>) -> Result<()> {
    sign::forward_into(dense, None, Outputs::none().codes(codes))
}

/// Unpacks `codes`. See the [page](self).
///
/// # Errors
/// See the [page](self).
pub fn unpack_into<'a, T: Element>(
    codes: impl Into<CodesRef<'a>>,
    dense: MatMut<'_, T>,
) -> Result<()> {
    let codes = codes.into();
    check_shape("the dense output", "the codes", codes.shape(), dense.shape())?;
    T::unpack(cpu::simd::detected()?, codes, dense);
    Ok(())
}
