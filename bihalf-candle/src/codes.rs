//! Packed codes of a tensor's signs.

use crate::cpu::{Float, matrix, with_float};
use bihalf::Codes;
use candle_core::{CpuStorage, Error, Layout, Result, Storage, Tensor, bail};

const OP: &str = "to_codes";

pub(crate) fn from_tensor(u: &Tensor) -> Result<Codes> {
    let (storage, layout) = u.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else {
        bail!("{OP}: the tensor is on {:?}; move it with to_device(&Device::Cpu)", u.device())
    };
    with_float!(u.dtype(), OP, T => pack::<T>(storage, layout))
}

fn pack<T: Float>(u: &CpuStorage, layout: &Layout) -> Result<Codes> {
    Codes::from_dense(matrix::<T>(OP, u, layout)?).map_err(Error::wrap)
}
