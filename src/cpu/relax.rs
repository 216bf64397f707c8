//! `tanh(beta u)` and its gradient on the CPU.

use super::threads::for_each_row;
use crate::element::Real;
use crate::{Element, MatMut, MatRef};

pub(crate) fn forward<T: Element>(u: MatRef<'_, T>, beta: f64, out: MatMut<'_, T>) {
    let beta = T::Real::of(beta);
    for_each_row(out, |i, row| {
        for (y, u) in row.iter_mut().zip(u.row(i)) {
            *y = T::narrow((beta * u.widen()).tanh());
        }
    });
}

pub(crate) fn backward<T: Element>(u: MatRef<'_, T>, beta: f64, grad: MatMut<'_, T>) {
    let beta = T::Real::of(beta);
    for_each_row(grad, |i, row| {
        for (g, u) in row.iter_mut().zip(u.row(i)) {
            let y = (beta * u.widen()).tanh();
            *g = T::narrow(g.widen() * (beta * (T::Real::ONE - y * y)));
        }
    });
}
