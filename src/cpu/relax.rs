//! `tanh(beta u)` and its gradient on the CPU.

use super::blocks;
use super::simd::{Detected, Loops, Narrow, Widen, compiled, reals};
use super::threads;
use crate::element::Real;
use crate::ops::copy_into;
use crate::{Element, MatMut, MatRef};
use bytemuck::{cast_slice, cast_slice_mut};

/// Elements of 16 bits that are calculated with at a time.
const AT_ONCE: usize = 512;

pub(crate) fn forward<T: Element>(isa: Detected, u: MatRef<'_, T>, beta: f64, out: MatMut<'_, T>) {
    let beta = T::Real::of(beta);
    blocks::map(u, out, &|_, u, out| {
        if size_of::<T>() == size_of::<T::Real>() {
            // The same type.
            let (u, y) = (cast_slice(u), cast_slice_mut(out));
            return compiled(isa, Forward { beta, u, y });
        }
        let (mut values, mut results) = buffers::<T::Real>();
        for (u, out) in u.chunks(AT_ONCE).zip(out.chunks_mut(AT_ONCE)) {
            let (u, y) = (reals(isa, u, &mut values), &mut results[..u.len()]);
            compiled(isa, Forward { beta, u, y: &mut *y });
            compiled(isa, Narrow { from: y, to: out });
        }
    });
}

fn buffers<R: Real>() -> ([R; AT_ONCE], [R; AT_ONCE]) {
    ([R::default(); AT_ONCE], [R::default(); AT_ONCE])
}

/// Of `grad` or, if that is none, in place.
pub(crate) fn backward<T: Element>(
    isa: Detected,
    u: MatRef<'_, T>,
    beta: f64,
    grad: Option<MatRef<'_, T>>,
    out: MatMut<'_, T>,
) {
    let Some(grad) = grad else { return backward_in_place(isa, u, T::Real::of(beta), out) };
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
        backward_in_place(isa, blocks::rows_of(u, rows), T::Real::of(beta), out);
    }
}

fn backward_in_place<T: Element>(
    isa: Detected,
    u: MatRef<'_, T>,
    beta: T::Real,
    grad: MatMut<'_, T>,
) {
    blocks::map(u, grad, &|_, u, grad| {
        if size_of::<T>() == size_of::<T::Real>() {
            // The same type.
            let (u, grad) = (cast_slice(u), cast_slice_mut(grad));
            return compiled(isa, Backward { beta, u, grad });
        }
        let (mut values, mut results) = buffers::<T::Real>();
        for (u, out) in u.chunks(AT_ONCE).zip(grad.chunks_mut(AT_ONCE)) {
            let grad = &mut results[..u.len()];
            compiled(isa, Widen { from: out, to: &mut *grad });
            let u = reals(isa, u, &mut values);
            compiled(isa, Backward { beta, u, grad: &mut *grad });
            compiled(isa, Narrow { from: grad, to: out });
        }
    });
}

struct Forward<'a, R> {
    beta: R,
    u: &'a [R],
    y: &'a mut [R],
}

impl<R: Real> Loops for Forward<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (y, &u) in self.y.iter_mut().zip(self.u) {
            *y = (self.beta * u).tanh();
        }
    }
}

/// In place.
struct Backward<'a, R> {
    beta: R,
    u: &'a [R],
    grad: &'a mut [R],
}

impl<R: Real> Loops for Backward<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let beta = self.beta;
        for (grad, &u) in self.grad.iter_mut().zip(self.u) {
            let y = (beta * u).tanh();
            *grad = *grad * (beta * (R::ONE - y * y));
        }
    }
}
