//! candle's CPU storage: slices, on the threads of the current rayon pool.

use crate::storage::{Float, TensorStorage};
use bihalf::{Cpu, Element, MatRef, Signs, ops};
use candle_core::{CpuStorage, Error, Result};

impl TensorStorage for CpuStorage {
    type Backend = Cpu;

    fn backend(&self) -> Result<Cpu> {
        Ok(Cpu)
    }

    fn elements<T: Float>(&self, offset: usize) -> Result<&[T]> {
        Ok(self.as_slice::<T>()?.get(offset..).unwrap_or_default())
    }

    fn wrap<T: Float>(&self, buffer: Vec<T>) -> Self {
        T::to_cpu_storage_owned(buffer)
    }

    fn cosine_loss<X: Float, T: Float>(&self, x: MatRef<'_, X>, b: MatRef<'_, T>) -> Result<Self> {
        let loss = ops::loss::cosine(x, Signs::Dense(b)).map_err(Error::wrap)?;
        Ok(self.wrap(vec![<T as Element>::from_f64(loss)]))
    }
}
