//! Packed codes of a tensor's signs.

use crate::storage::{TensorStorage, matrix, with_float};
use bihalf::{Backend, Codes};
use candle_core::{Error, Layout, Result, Storage, Tensor, bail};

const OP: &str = "to_codes";

pub(crate) fn from_tensor(u: &Tensor) -> Result<Codes> {
    let (storage, layout) = u.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => pack((storage, layout)),
        #[cfg(feature = "cuda")]
        Storage::Cuda(storage) => pack((storage, layout)),
        _ => bail!(
            "{OP}: the tensor is on {:?}, which this build has no kernels for; move it with \
             to_device(&Device::Cpu)",
            u.device()
        ),
    }
}

/// Packs where the tensor lies, so that what crosses to the host is a bit for each value.
fn pack<S: TensorStorage>(u: (&S, &Layout)) -> Result<Codes> {
    with_float!(u.0.dtype(), OP, T => {
        let backend = u.0.backend()?;
        let u = matrix::<S, T>(OP, u)?;
        let (rows, bits) = u.shape();
        let words = backend.sign_forward_packed(u, None).map_err(Error::wrap)?;
        let words = backend.download(&words).map_err(Error::wrap)?;
        let mut codes = Codes::zeros(rows, bits).map_err(Error::wrap)?;
        codes.as_mut().into_data().copy_from_slice(&words);
        Ok(codes)
    })
}
