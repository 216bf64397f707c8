//! Plain code: for processors whose vectors the other files do not know.
//!
//! 1. The keys of 16 columns are gathered, one column behind the other.
//! 2. The k-th greatest key of each column is selected (quickselect), and of the elements that equal it
//!    those are counted that are ones.
//! 3. The rows are read again, compared with these keys and written.

use super::emit::Strip;
use super::source::Window;
use super::{GROUP, Small, Task};
use crate::Element;
use crate::cpu::simd::{KeyLane, Keyed, Lane, column_stride};

/// 64-bit words of scratch memory for a range of columns: their keys.
pub(super) fn scratch_words<T: Element>((rows, cols): (usize, usize)) -> usize {
    (column_stride(rows) * cols.min(GROUP)).div_ceil(size_of::<u64>() / size_of::<Small<T>>())
}

/// All columns of the source. `scratch` has [`scratch_words`].
pub(super) fn run<T: Element>(task: Task<'_, '_, T>) {
    let Task { source, ones, out, scratch } = task;
    for first in (0..source.cols()).step_by(GROUP) {
        let window = source.window(first, GROUP);
        let out = out.part(first, window.width());
        group(&window, ones, out, bytemuck::cast_slice_mut(scratch));
    }
}

fn group<T: Element>(
    window: &Window<'_, T>,
    ones: usize,
    mut out: Strip<'_, T>,
    keys: &mut [Small<T>],
) {
    let (rows, stride) = (window.rows(), column_stride(window.rows()));
    let mut copy = [T::default(); GROUP];
    for i in 0..rows {
        let row = &window.row(i, GROUP, &mut copy)[..window.width()];
        for (&value, column) in row.iter().zip(keys.chunks_exact_mut(stride)) {
            column[i] = value.to_key();
        }
    }
    let mut boundaries = Boundaries { keys: [Small::<T>::MAX; GROUP], ties: [0; GROUP] };
    for (l, column) in keys.chunks_exact_mut(stride).take(window.width()).enumerate() {
        (boundaries.keys[l], boundaries.ties[l]) = boundary(&mut column[..rows], ones);
    }
    out.write_threshold(|| boundaries.keys);
    for i in 0..rows {
        out.write_row(i, &boundaries.ones(window.row(i, GROUP, &mut copy)));
    }
}

/// The `ones`-th greatest key, and how many of the `ones` greatest equal it. `ones` is at least 1.
fn boundary<K: KeyLane>(keys: &mut [K], ones: usize) -> (K, u32) {
    let (_, &mut key, others) = keys.select_nth_unstable(keys.len() - ones);
    let ties = others.iter().filter(|&&other| other == key).count();
    (key, ties as u32 + 1)
}

/// The least key of the ones of each column, and how many elements with it are ones that have not been
/// seen yet.
struct Boundaries<K> {
    keys: [K; GROUP],
    ties: [u32; GROUP],
}

impl<K: KeyLane> Boundaries<K> {
    /// Whether the elements of the next row are ones. Of equal elements the first rows are.
    #[inline(always)]
    fn ones<T: Element + Keyed<K>>(&mut self, row: &[T]) -> [bool; GROUP] {
        let row: &[T; GROUP] = row.first_chunk().expect("a group of columns");
        let mut ones = [false; GROUP];
        for l in 0..GROUP {
            let key: K = row[l].to_key();
            let tied = key == self.keys[l] && self.ties[l] > 0;
            self.ties[l] -= u32::from(tied);
            ones[l] = key > self.keys[l] || tied;
        }
        ones
    }
}
