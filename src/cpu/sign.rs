//! Sign on the CPU: one comparison an element.

use super::{bihalf, emit};
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
    bihalf::pull(u, grad, coefficient, |i, j| {
        let value = u.get(i, j);
        let one = shift.map_or_else(|| value.above_zero(), |t| above(value, t[j]));
        T::plus_or_minus_one(one).widen()
    });
}

/// `u > -t`: exact, unlike `u + t > 0`.
fn above<T: Element>(u: T, t: T) -> bool {
    u.widen() > -t.widen()
}
