//! Sign on the CPU: one comparison an element.

use super::{emit, pull};
use crate::{Element, MatMut, MatRef, Outputs};

pub(crate) fn forward<T: Element>(u: MatRef<'_, T>, shift: Option<&[T]>, out: Outputs<'_, T>) {
    match shift {
        None => emit::write(u.rows(), out, |i, j| u.get(i, j).above_zero()),
        Some(t) => emit::write(u.rows(), out, |i, j| above(u.get(i, j), t[j])),
    }
}

pub(crate) fn backward<T: Element>(
    u: MatRef<'_, T>,
    shift: Option<&[T]>,
    grad: MatMut<'_, T>,
    coefficient: T::Real,
) {
    match shift {
        None => pull::in_place(u, grad, coefficient, |i| {
            u.row(i).map(|value| T::plus_or_minus_one(value.above_zero()))
        }),
        Some(t) => pull::in_place(u, grad, coefficient, |i| {
            u.row(i).zip(t).map(|(value, &t)| T::plus_or_minus_one(above(value, t)))
        }),
    }
}

/// `u > -t`: exact, unlike `u + t > 0`.
fn above<T: Element>(u: T, t: T) -> bool {
    u.widen() > -t.widen()
}
