//! Bi-half on the CPU: [`select`] finds the k largest of every column and writes them.

use super::select::{self, Strip};
use super::simd::Detected;
use super::threads;
use crate::element::Key;
use crate::workspace::{KeyRow, PANEL};
use crate::{Element, Error, Layout, MatRef, Outputs, Result, Workspace};

/// Rows are counted in signed lanes of 32 bits.
pub(crate) fn check_rows(layout: Layout) -> Result<()> {
    let (rows, max) = (layout.rows(), i32::MAX as usize);
    if rows <= max || layout.is_empty() { Ok(()) } else { Err(Error::TooManyRows { rows, max }) }
}

pub(crate) fn forward<T: Element>(
    isa: Detected,
    u: MatRef<'_, T>,
    ones: usize,
    mut out: Outputs<'_, T>,
    threshold: Option<&mut [T]>,
    ws: &mut Workspace,
) {
    if let Some(counts) = out.counts.take() {
        counts.fill(ones as u32);
    }
    if ones == 0 || u.layout().is_empty() {
        super::emit::write(u.rows(), out, |_, _| false);
        if let Some(threshold) = threshold {
            threshold.fill(T::nan());
        }
        return;
    }
    let Outputs { dense, dense_i8, codes, .. } = out;
    let strip = Strip::new(dense, dense_i8, codes, threshold);
    select::forward(isa, u, ones, strip, ws.tiles::<T::Key>(u.shape()));
}

/// The value of the `k`-th largest element of each column; `k` is at least 1.
pub(crate) fn kth_largest<T: Element>(
    isa: Detected,
    u: MatRef<'_, T>,
    k: usize,
    out: &mut [T],
    ws: &mut Workspace,
) {
    forward(isa, u, k, Outputs::none(), Some(out), ws);
}

/// Mean squared distance of each column to its half-half target, in the order of the rows.
pub(crate) fn transport_cost<T: Element>(u: MatRef<'_, T>, out: &mut [f64], ws: &mut Workspace) {
    let (rows, ones) = (u.rows(), u.rows() / 2);
    let bounds = if ones == 0 { &[] } else { boundaries(u, ones, ws) };
    threads::for_each_chunk(out, 1, rows * u.cols(), |j, cost| {
        let square = |(i, value): (usize, T)| {
            let positive = ones > 0 && is_one(value, i, bounds[j]);
            (value.to_f64() - if positive { 1.0 } else { -1.0 }).powi(2)
        };
        cost[0] = u.col(j).enumerate().map(square).sum::<f64>() / rows as f64;
    });
}

fn is_one<T: Element>(value: T, row: usize, bound: KeyRow<T::Key>) -> bool {
    (value.key().reversed(), row as u32) <= bound
}

/// The last pair of each column that becomes +1; `ones` is at least 1.
fn boundaries<'a, T: Element>(
    u: MatRef<'_, T>,
    ones: usize,
    ws: &'a mut Workspace,
) -> &'a [KeyRow<T::Key>] {
    let (rows, cols) = u.shape();
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
    bounds
}
