//! `tanh(beta u)` and its gradient on the CPU.

use super::blocks::{self, Map};
use super::simd::{Detected, Machine};
use super::threads;
use crate::element::Real;
use crate::ops::copy_into;
use crate::{Element, MatMut, MatRef};
use bytemuck::{cast_slice, cast_slice_mut};

/// Elements of 16 bits that are calculated with at a time.
const AT_ONCE: usize = 256;

pub(crate) fn forward<T: Element>(isa: Detected, u: MatRef<'_, T>, beta: f64, out: MatMut<'_, T>) {
    let beta = T::Real::of(beta);
    blocks::map(isa, u, out, Each(Forward { twice_beta: beta + beta }));
}

/// Of `grad` or, if that is none, in place.
pub(crate) fn backward<T: Element>(
    isa: Detected,
    u: MatRef<'_, T>,
    beta: f64,
    grad: Option<MatRef<'_, T>>,
    out: MatMut<'_, T>,
) {
    let step = Each(Backward { beta: T::Real::of(beta) });
    let Some(grad) = grad else { return blocks::map(isa, u, out, step) };
    let layout = out.layout();
    if layout.is_empty() {
        return;
    }
    // A copy at a time that stays in the caches.
    let rows = (threads::work_for_all() / layout.cols()).max(1);
    let data = &mut out.into_data()[..layout.span()];
    for (n, out) in data.chunks_mut(rows * layout.row_stride()).enumerate() {
        let rows = n * rows..layout.rows().min((n + 1) * rows);
        let (height, stride) = (rows.len(), layout.row_stride());
        let out = MatMut::with_row_stride(out, height, layout.cols(), stride);
        let mut out = out.expect("rows of the output");
        copy_into(blocks::rows_of(grad, rows.clone()), out.reborrow());
        blocks::map(isa, blocks::rows_of(u, rows), out, step);
    }
}

/// What becomes of an element of the output.
trait Step<R>: Copy + Send + Sync {
    /// Whether what is there matters.
    const IN_PLACE: bool;
    fn step(self, u: R, there: R) -> R;
}

#[derive(Clone, Copy)]
struct Forward<R> {
    twice_beta: R,
}

impl<R: Real> Step<R> for Forward<R> {
    const IN_PLACE: bool = false;

    #[inline(always)]
    fn step(self, u: R, _: R) -> R {
        (self.twice_beta * u).tanh_of_half()
    }
}

#[derive(Clone, Copy)]
struct Backward<R> {
    beta: R,
}

impl<R: Real> Step<R> for Backward<R> {
    const IN_PLACE: bool = true;

    #[inline(always)]
    fn step(self, u: R, grad: R) -> R {
        let beta = self.beta;
        let y = ((beta + beta) * u).tanh_of_half();
        grad * (beta * (R::ONE - y * y))
    }
}

/// A step for each element.
#[derive(Clone, Copy)]
struct Each<S>(S);

impl<T: Element, S: Step<T::Real>> Map<T, T> for Each<S> {
    const ANY_COLUMN: bool = true;
    const IN_PLACE: bool = S::IN_PLACE;

    #[inline(always)]
    fn map<M: Machine>(self, machine: M, _: usize, u: &[T], out: &mut [T]) {
        if size_of::<T>() == size_of::<T::Real>() {
            // The same type.
            let (u, out) = (cast_slice(u), cast_slice_mut::<T, T::Real>(out));
            for (out, &u) in out.iter_mut().zip(u) {
                *out = self.0.step(u, *out);
            }
            return;
        }
        let mut values = [T::Real::default(); AT_ONCE];
        let mut results = [T::Real::default(); AT_ONCE];
        for (u, out) in u.chunks(AT_ONCE).zip(out.chunks_mut(AT_ONCE)) {
            let (values, results) = (&mut values[..u.len()], &mut results[..u.len()]);
            machine.widen(u, values);
            if S::IN_PLACE {
                machine.widen(out, results);
            }
            for (result, &mut value) in results.iter_mut().zip(values) {
                *result = self.0.step(value, *result);
            }
            machine.narrow(results, out);
        }
    }
}
