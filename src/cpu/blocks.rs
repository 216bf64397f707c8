//! Matrices to read, in blocks of rows whose elements lie side by side.

use super::simd::{
    Columns, Detected, Loops, Machine, PastCaches, Rows, Storing, compiled, storing,
};
use super::threads;
use crate::{Element, MatMut, MatRef};
use std::ops::Range;

/// Elements for a thread at a time: enough to forget the call, few enough to share among threads.
pub(super) const BAND: usize = 1 << 14;

/// Rows and columns of a block that is gathered: a cache line's elements of a column, a word of bits.
const GATHERED: (usize, usize) = (16, 64);

/// Bytes of an output from which on it is written past the caches.
const LARGE: usize = 8 << 20;

/// Elements that are written past the caches at a time.
const AT_ONCE: usize = 1024;

/// What is done with a matrix, block by block.
pub(super) trait Block<T> {
    /// `first`: row and column of the block's first element. The column is a multiple of 64.
    fn block<M: Machine>(&mut self, machine: M, first: (usize, usize), u: Rows<'_, T>);
}

/// Some columns of a matrix in blocks: one, of all rows, where rows lie side by side; else parts of a
/// few columns and rows that are gathered, each band of rows from left to right.
#[inline(always)]
pub(super) fn for_each<T: Element, M: Machine>(
    machine: M,
    u: MatRef<'_, T>,
    columns: Range<usize>,
    work: &mut impl Block<T>,
) {
    let rows = u.rows();
    let as_it_is = u.layout().col_stride() == 1;
    let (height, width) = if as_it_is { (rows, columns.len()) } else { GATHERED };
    let mut tile = [T::default(); GATHERED.0 * GATHERED.1];
    for i in (0..rows).step_by(height.max(1)) {
        for j in columns.clone().step_by(width.max(1)) {
            let shape = (height.min(rows - i), width.min(columns.end - j));
            let block = if as_it_is {
                side_by_side(u).part(j, shape.1)
            } else {
                gather(u, (i, j), shape, &mut tile);
                Rows::new(&tile, shape, GATHERED.1)
            };
            work.block(machine, (i, j), block);
        }
    }
}

/// A matrix whose column stride is 1.
pub(super) fn side_by_side<T>(matrix: MatRef<'_, T>) -> Rows<'_, T> {
    let layout = matrix.layout();
    Rows::new(matrix.into_data(), layout.shape(), layout.row_stride())
}

/// Some rows of a matrix.
pub(super) fn rows_of<T>(u: MatRef<'_, T>, rows: Range<usize>) -> MatRef<'_, T> {
    let layout = u.layout();
    let (row_stride, col_stride) = (layout.row_stride(), layout.col_stride());
    let data = &u.into_data()[(rows.start * row_stride).min(layout.span())..];
    let part = MatRef::with_strides(data, rows.len(), layout.cols(), row_stride, col_stride);
    part.expect("rows of the matrix")
}

/// A block, column by column: elements of a column may be those that lie side by side.
#[inline(never)]
fn gather<T: Copy>(
    u: MatRef<'_, T>,
    (i, j): (usize, usize),
    (rows, cols): (usize, usize),
    tile: &mut [T],
) {
    let layout = u.layout();
    let data = u.into_data();
    for c in 0..cols {
        let first = i * layout.row_stride() + (j + c) * layout.col_stride();
        for r in 0..rows {
            tile[r * GATHERED.1 + c] = data[first + r * layout.row_stride()];
        }
    }
}

/// Whether an output that is only written is to be written past the caches.
pub(super) fn past_caches_pay<T>(out: &mut MatMut<'_, T>) -> bool {
    let bytes = out.rows() * out.cols() * size_of::<T>();
    bytes >= LARGE && Columns::new(out.reborrow()).fill_lines()
}

/// What makes an output element of an element.
pub(super) trait Map<T, O>: Copy + Send + Sync {
    /// Whether it does the same in every column.
    const ANY_COLUMN: bool;

    /// Whether it reads what it overwrites.
    const IN_PLACE: bool = false;

    /// For elements of a row from column `first` on.
    fn map<M: Machine>(self, machine: M, first: usize, u: &[T], out: &mut [O]);
}

/// Makes each element of `out` of that of `u`.
pub(super) fn map<T: Element, O: bytemuck::Pod + Default + Send, H: Map<T, O>>(
    isa: Detected,
    u: MatRef<'_, T>,
    mut out: MatMut<'_, O>,
    how: H,
) {
    let layout = out.layout();
    let (rows, cols, stride) = (layout.rows(), layout.cols(), layout.row_stride());
    if layout.is_empty() {
        return;
    }
    let past_caches = !H::IN_PLACE && past_caches_pay(&mut out);
    let out = &mut out.into_data()[..layout.span()];
    let dense = stride == cols && u.layout().row_stride() == cols && u.layout().col_stride() == 1;
    if dense && H::ANY_COLUMN {
        // Without its rows, which may be short.
        let u = &u.into_data()[..rows * cols];
        threads::for_each_band(out, BAND, rows * cols, |n, out| {
            let (stride, u) = (out.len(), &u[n * BAND..]);
            let u = MatRef::new(u, 1, stride).expect("as long as the output");
            compiled(isa, Band { u, out, stride, past_caches, how });
        });
        return;
    }
    let band = (BAND / cols).max(1);
    threads::for_each_band(out, band * stride, rows * cols, |n, out| {
        let u = rows_of(u, n * band..rows.min((n + 1) * band));
        compiled(isa, Band { u, out, stride, past_caches, how });
    });
}

/// Some rows, and what is made of them.
struct Band<'a, T, O, H> {
    u: MatRef<'a, T>,
    /// Rows begin `stride` elements apart.
    out: &'a mut [O],
    stride: usize,
    past_caches: bool,
    how: H,
}

impl<T: Element, O: bytemuck::Pod + Default, H: Map<T, O>> Loops for Band<'_, T, O, H> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self, machine: M) {
        storing(machine, self.past_caches, self);
    }
}

impl<T: Element, O: bytemuck::Pod + Default, H: Map<T, O>> Storing for Band<'_, T, O, H> {
    #[inline(always)]
    fn run<M: Machine>(self, machine: M, store: Option<PastCaches<'_>>) {
        let Self { u, out, stride, how, .. } = self;
        for_each(machine, u, 0..u.cols(), &mut Mapped { out, stride, store, how });
    }
}

struct Mapped<'a, 'b, O, H> {
    out: &'a mut [O],
    stride: usize,
    store: Option<PastCaches<'b>>,
    how: H,
}

impl<T: Element, O: bytemuck::Pod + Default, H: Map<T, O>> Block<T> for Mapped<'_, '_, O, H> {
    #[inline(always)]
    fn block<M: Machine>(&mut self, machine: M, first: (usize, usize), u: Rows<'_, T>) {
        let mut buffer = [O::default(); AT_ONCE];
        for (u, out) in u.iter().zip(self.out[first.0 * self.stride..].chunks_mut(self.stride)) {
            let out = &mut out[first.1..][..u.len()];
            let at_once = if self.store.is_some() { AT_ONCE } else { u.len() };
            for (n, (u, out)) in u.chunks(at_once).zip(out.chunks_mut(at_once)).enumerate() {
                let column = first.1 + n * at_once;
                let place =
                    if self.store.is_some() { &mut buffer[..u.len()] } else { &mut out[..] };
                self.how.map(machine, column, u, place);
                if let Some(store) = self.store {
                    machine.copy_past_caches(store, &buffer[..u.len()], out);
                }
            }
        }
    }
}
