//! Ranks and argsort on the CPU: each column's `(key, row)` pairs are sorted. No two pairs are
//! equal, so an unstable sort gives the stable order.

use super::threads::{for_each_chunk_pair, for_each_row};
use crate::element::Key;
use crate::ops::rank::Order;
use crate::workspace::{KeyRow, PANEL};
use crate::{Element, MatMut, MatRef, Workspace};

pub(crate) fn rank<T: Element>(
    u: MatRef<'_, T>,
    order: Order,
    out: MatMut<'_, u32>,
    ws: &mut Workspace,
) {
    by_panel(u, order, out, ws, |sorted, ranks| {
        for (rank, &(_, row)) in (0u32..).zip(sorted) {
            ranks[row as usize] = rank;
        }
    });
}

pub(crate) fn argsort<T: Element>(
    u: MatRef<'_, T>,
    order: Order,
    out: MatMut<'_, u32>,
    ws: &mut Workspace,
) {
    by_panel(u, order, out, ws, |sorted, rows| {
        for (place, &(_, row)) in rows.iter_mut().zip(sorted) {
            *place = row;
        }
    });
}

/// Sorts columns panel by panel, lets `result` turn a sorted column into a column of the output
/// and writes the panel's columns row by row.
fn by_panel<T: Element>(
    u: MatRef<'_, T>,
    order: Order,
    mut out: MatMut<'_, u32>,
    ws: &mut Workspace,
    result: impl Fn(&[KeyRow<T::Key>], &mut [u32]) + Send + Sync,
) {
    let (rows, cols) = u.shape();
    if rows == 0 {
        return;
    }
    let (panel, columns) = T::Key::scratch(ws).panel_and_ranks(rows, cols);
    for first in (0..cols).step_by(PANEL) {
        let width = PANEL.min(cols - first);
        let (panel, columns) = (&mut panel[..rows * width], &mut columns[..rows * width]);
        sort(u, first, order, panel, columns, &result);
        let columns = &*columns;
        for_each_row(out.reborrow(), |i, row| {
            for (c, place) in row[first..first + width].iter_mut().enumerate() {
                *place = columns[c * rows + i];
            }
        });
    }
}

fn sort<T: Element>(
    u: MatRef<'_, T>,
    first: usize,
    order: Order,
    panel: &mut [KeyRow<T::Key>],
    columns: &mut [u32],
    result: impl Fn(&[KeyRow<T::Key>], &mut [u32]) + Send + Sync,
) {
    let (rows, work) = (u.rows(), panel.len());
    for_each_chunk_pair((panel, rows), (columns, rows), work, |c, pairs, column| {
        for (row, (pair, value)) in (0u32..).zip(pairs.iter_mut().zip(u.col(first + c))) {
            *pair = match order {
                Order::Ascending => (value.key(), row),
                Order::Descending => (value.key().reversed(), row),
            };
        }
        pairs.sort_unstable();
        result(pairs, column);
    });
}
