//! `tanh(beta u)` and its gradient on the CPU.

use super::blocks;
use super::simd::{Detected, Loops, Narrow, Widen, compiled, reals};
use super::threads;
use crate::element::Real;
use crate::ops::copy_into;
use crate::{Element, Layout, MatMut, MatRef};
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
    let (real_beta, layout) = (T::Real::of(beta), out.layout());
    let Some(grad) = grad else {
        return blocks::map(u, out, &|_, u, out| backward_part(isa, real_beta, u, None, out));
    };
    if layout.is_empty() {
        return;
    }
    let out = &mut out.into_data()[..layout.span()];
    if [u.layout(), grad.layout(), layout].iter().all(Layout::is_dense) {
        // As rows of any length.
        let (u, grad) = (u.into_data(), grad.into_data());
        let len = out.len();
        return threads::for_each_band(out, blocks::BAND, len, |n, out| {
            let [u, grad] = [u, grad].map(|all| &all[n * blocks::BAND..][..out.len()]);
            backward_part(isa, real_beta, u, Some(grad), out);
        });
    }
    // A copy at a time that stays in the caches.
    let (cols, stride) = (layout.cols(), layout.row_stride());
    let rows = (threads::work_for_all() / cols).max(1);
    for (n, out) in out.chunks_mut(rows * stride).enumerate() {
        let rows = n * rows..layout.rows().min((n + 1) * rows);
        let out = MatMut::with_row_stride(out, rows.len(), cols, stride);
        let mut out = out.expect("rows of the output");
        copy_into(blocks::rows_of(grad, rows.clone()), out.reborrow());
        backward(isa, blocks::rows_of(u, rows), beta, None, out);
    }
}

/// Elements that lie side by side, of `grad` or in place.
fn backward_part<T: Element>(
    isa: Detected,
    beta: T::Real,
    u: &[T],
    grad: Option<&[T]>,
    out: &mut [T],
) {
    if size_of::<T>() == size_of::<T::Real>() {
        // The same type.
        let (u, grad, out) = (cast_slice(u), grad.map(cast_slice), cast_slice_mut(out));
        return compiled(isa, Backward { beta, u, grad, out });
    }
    let (mut values, mut results) = buffers::<T::Real>();
    for (n, (u, out)) in u.chunks(AT_ONCE).zip(out.chunks_mut(AT_ONCE)).enumerate() {
        let from = grad.map_or(&*out, |grad| &grad[n * AT_ONCE..][..u.len()]);
        let results = &mut results[..u.len()];
        compiled(isa, Widen { from, to: &mut *results });
        let u = reals(isa, u, &mut values);
        compiled(isa, Backward { beta, u, grad: None, out: &mut *results });
        compiled(isa, Narrow { from: results, to: out });
    }
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

/// Of `grad` or in place.
struct Backward<'a, R> {
    beta: R,
    u: &'a [R],
    grad: Option<&'a [R]>,
    out: &'a mut [R],
}

impl<R: Real> Loops for Backward<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        #[inline(always)]
        fn backward<R: Real>(beta: R, u: R, grad: R) -> R {
            let y = (beta * u).tanh();
            grad * (beta * (R::ONE - y * y))
        }

        let Self { beta, u, grad, out } = self;
        let places = out.iter_mut().zip(u);
        match grad {
            Some(grad) => {
                places.zip(grad).for_each(|((out, &u), &grad)| *out = backward(beta, u, grad));
            }
            None => places.for_each(|(out, &u)| *out = backward(beta, u, *out)),
        }
    }
}
