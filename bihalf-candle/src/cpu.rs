//! candle's CPU storage: slices, on the threads of the current rayon pool.

use crate::storage::{Float, TensorStorage};
use bihalf::{Backend, Cpu, Element, MatMut, MatRef, Ones, Outputs, Workspace, ops};
use candle_core::{CpuStorage, Error, Result, Storage};
use std::cell::RefCell;
use std::ops::Range;

impl TensorStorage for CpuStorage {
    type Backend = Cpu;

    fn backend(&self) -> Result<Cpu> {
        Ok(Cpu)
    }

    fn of(storage: &Storage) -> Option<&Self> {
        if let Storage::Cpu(storage) = storage { Some(storage) } else { None }
    }

    fn elements<T: Float>(&self, range: Range<usize>) -> Result<&[T]> {
        let all = self.as_slice::<T>()?;
        let end = range.end.min(all.len());
        Ok(&all[range.start.min(end)..end])
    }

    fn bihalf_forward<T: Float>(&self, u: MatRef<'_, T>, ones: Ones) -> Result<Vec<T>> {
        thread_local! {
            /// Kept from call to call: what the largest batch of the thread needed.
            static WORKSPACE: RefCell<Workspace> = RefCell::default();
        }
        let (rows, cols) = u.shape();
        let mut b = Cpu.zeros(rows * cols).map_err(Error::wrap)?;
        let out = MatMut::new(&mut b, rows, cols).map_err(Error::wrap)?;
        let out = Outputs::none().dense(out);
        // Taken, not borrowed: while it waits for others, this thread may run another such call.
        let mut ws = WORKSPACE.take();
        let done = ops::bi_half::forward_into(u, ones, out, &mut ws);
        WORKSPACE.set(ws);
        done.map(|()| b).map_err(Error::wrap)
    }

    fn wrap<T: Float>(&self, buffer: Vec<T>) -> Self {
        T::to_cpu_storage_owned(buffer)
    }

    fn cosine_loss<X: Float, T: Float>(
        &self,
        x: MatRef<'_, X>,
        b: MatRef<'_, T>,
        wants_slope: bool,
    ) -> Result<(Self, Option<Self>)> {
        let (loss, slope) = if wants_slope {
            let (loss, slope) = ops::loss::cosine_with_grad(x, b).map_err(Error::wrap)?;
            (loss, Some(self.wrap(slope)))
        } else {
            (ops::loss::cosine(x, b).map_err(Error::wrap)?, None)
        };
        Ok((self.wrap(vec![<T as Element>::from_f64(loss)]), slope))
    }
}
