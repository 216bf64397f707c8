//! Bi-half on the CPU.
//!
//! 1. Each column's `(reversed key, row)` pairs are gathered; their order is the order in which
//!    elements become +1: greatest value first, among equals the lowest row.
//! 2. Quickselect finds the k-th pair, the column's boundary. No two pairs are equal, so the
//!    boundary alone decides every element, ties included.
//! 3. All rows are compared with the boundaries and written.

use super::{emit, threads};
use crate::element::Key;
use crate::workspace::PANEL;
use crate::{Element, MatMut, MatRef, Outputs, Signs, Workspace};

pub(crate) fn forward<T: Element>(
    u: MatRef<'_, T>,
    ones: usize,
    mut out: Outputs<'_, T>,
    threshold: Option<&mut [T]>,
    ws: &mut Workspace,
) {
    let (rows, cols) = u.shape();
    if let Some(counts) = out.counts.take() {
        counts.fill(ones as u32);
    }
    if ones == 0 {
        emit::write(rows, out, |_, _| false);
        if let Some(threshold) = threshold {
            threshold.fill(T::nan());
        }
        return;
    }

    let (panel, bounds) = T::Key::scratch(ws).panel_and_bounds(rows, cols);
    for (p, bounds) in bounds.chunks_mut(PANEL).enumerate() {
        let panel = &mut panel[..rows * bounds.len()];
        let work = panel.len();
        threads::for_each_chunk_pair((panel, rows), (bounds, 1), work, |c, pairs, bound| {
            for (row, (pair, value)) in (0u32..).zip(pairs.iter_mut().zip(u.col(p * PANEL + c))) {
                *pair = (value.key().reversed(), row);
            }
            bound[0] = *pairs.select_nth_unstable(ones - 1).1;
        });
    }

    let bounds = &*bounds;
    emit::write(rows, out, |i, j| (u.get(i, j).key().reversed(), i as u32) <= bounds[j]);
    if let Some(threshold) = threshold {
        for (t, (key, _)) in threshold.iter_mut().zip(bounds) {
            *t = T::from_key(key.reversed());
        }
    }
}

/// `grad += coefficient * (u - b)`, each operation rounded in the arithmetic type.
pub(crate) fn backward<T: Element>(
    u: MatRef<'_, T>,
    b: Signs<'_, T>,
    grad: MatMut<'_, T>,
    coefficient: T::Real,
) {
    match b {
        Signs::Dense(b) => pull(u, grad, coefficient, |i, j| b.get(i, j).widen()),
        Signs::Packed(b) => {
            pull(u, grad, coefficient, |i, j| T::plus_or_minus_one(b.get(i, j)).widen())
        }
    }
}

/// The same with the target `b` as a function of row and column.
pub(crate) fn pull<T: Element>(
    u: MatRef<'_, T>,
    grad: MatMut<'_, T>,
    coefficient: T::Real,
    b: impl Fn(usize, usize) -> T::Real + Send + Sync,
) {
    threads::for_each_row(grad, |i, row| {
        for (j, (g, u)) in row.iter_mut().zip(u.row(i)).enumerate() {
            *g = T::narrow(g.widen() + coefficient * (u.widen() - b(i, j)));
        }
    });
}
