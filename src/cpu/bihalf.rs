//! Bi-half on the CPU: [`select`](super::select) finds the k largest of every column and writes them.

use super::select::Strip;
use super::simd::Detected;
use crate::{CodesMut, Element, Error, Layout, MatRef, Outputs, Result, Workspace};

/// Rows are counted in signed lanes of 32 bits.
#[inline]
pub(crate) fn check_rows(layout: Layout) -> Result<()> {
    let (rows, max) = (layout.rows(), i32::MAX as usize);
    if rows <= max || layout.is_empty() { Ok(()) } else { Err(Error::TooManyRows { rows, max }) }
}

#[inline]
pub(crate) fn forward<T: Element>(
    isa: Detected,
    u: MatRef<'_, T>,
    ones: usize,
    out: &mut Outputs<'_, T>,
    ws: &mut Workspace,
) -> Result<()> {
    let scratch = if has_cut(u, ones) { ws.tiles::<T>(isa, u.shape())? } else { &mut [] };
    forward_with(isa, u, ones, out, scratch);
    Ok(())
}

/// Whether anything becomes +1; else no memory is needed.
#[inline]
fn has_cut<T>(u: MatRef<'_, T>, ones: usize) -> bool {
    ones > 0 && !u.layout().is_empty()
}

#[inline]
fn forward_with<T: Element>(
    isa: Detected,
    u: MatRef<'_, T>,
    ones: usize,
    out: &mut Outputs<'_, T>,
    scratch: &mut [u64],
) {
    if let Some(counts) = out.counts.take() {
        counts.fill(ones as u32);
    }
    if !has_cut(u, ones) {
        return fill_without_ones(out);
    }
    T::select(isa, u, ones, &mut Strip::new(out, u.cols()), scratch);
}

/// The value of the `k`-th largest element of each column; `k` is at least 1.
pub(crate) fn kth_largest<T: Element>(
    isa: Detected,
    u: MatRef<'_, T>,
    k: usize,
    out: &mut [T],
    ws: &mut Workspace,
) -> Result<()> {
    forward(isa, u, k, &mut Outputs::none().threshold(out), ws)
}

/// Mean squared distance of each column to its half-half target, in the order of the rows.
pub(crate) fn transport_cost<T: Element>(
    isa: Detected,
    u: MatRef<'_, T>,
    out: &mut [f64],
    ws: &mut Workspace,
) -> Result<()> {
    let (rows, cols) = u.shape();
    if u.layout().is_empty() {
        out.fill(f64::NAN);
        return Ok(());
    }
    let (tiles, words) = ws.tiles_and_codes::<T>(isa, u.shape())?;
    let mut codes = CodesMut::prefix(words, rows, cols)?;
    let mut packed = Outputs::none().codes(codes.reborrow());
    forward_with(isa, u, rows / 2, &mut packed, tiles);
    out.fill(0.0);
    T::add_distances(isa, u, codes.as_ref(), out);
    out.iter_mut().for_each(|cost| *cost /= rows as f64);
    Ok(())
}

fn fill_without_ones<T: Element>(out: &mut Outputs<'_, T>) {
    if let Some(dense) = &mut out.dense {
        dense.rows_mut().for_each(|row| row.fill(T::plus_or_minus_one(false)));
    }
    if let Some(dense) = &mut out.dense_i8 {
        dense.rows_mut().for_each(|row| row.fill(-1));
    }
    if let Some(codes) = &mut out.codes {
        codes.reborrow().into_words().fill(0);
    }
    if let Some(threshold) = &mut out.threshold {
        threshold.fill(T::nan());
    }
}
