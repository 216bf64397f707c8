//! Any number of rows: the keys of a group of columns in a tile, which is read again and again.
//!
//! 1. The columns are loaded as keys: a row of the tile is a cache line.
//! 2. A sorting network sorts 32 rows of the tile; two of them bracket the threshold.
//! 3. The threshold is searched ([`search`](super::search)).
//! 4. The tile is compared with it and written.

use super::emit::{Cut, Strip};
use super::networks::sort;
use super::search::{self, Search, Solve, WIDTH};
use super::source::{Source, Window};
use super::{GROUP, Large, lanes, parts};
use crate::Element;
use crate::cpu::simd::{Isa, Job, Keyed, Lane, Of, Vector, vectors_mut};

/// Bytes of a vector.
const VECTOR: usize = 32;

/// 64-bit words of scratch memory for a matrix: a tile for each thread.
pub(crate) fn scratch_words((rows, cols): (usize, usize)) -> usize {
    if cols == 0 { 0 } else { parts((rows, cols)) * (rows * WIDTH + 1) * VECTOR / 8 }
}

#[inline(always)]
pub(super) fn run<I: Isa, T: Element>(
    isa: I,
    source: &Source<'_, T>,
    ones: usize,
    mut out: Strip<'_, T>,
    scratch: &mut [Large<T>],
) {
    let (rows, cols) = (source.rows(), source.cols());
    let tile = &mut vectors_mut(isa, scratch)[..rows * WIDTH];
    let columns = WIDTH * Large::<T>::LANES;
    for first in (0..cols).step_by(columns) {
        let window = source.window(first, columns);
        if window.is_plain(columns) {
            load::<I, T, true>(isa, &window, tile);
        } else {
            load::<I, T, false>(isa, &window, tile);
        }
        let search = isa.run(Threshold::<I, Large<T>> { tile, ones });
        emit(isa, tile, &search, &mut out, (first, window.width()));
    }
    out.write_pads(rows, cols);
}

/// Step 1.
#[inline(always)]
fn load<I: Isa, T: Element, const PLAIN: bool>(
    isa: I,
    window: &Window<'_, T>,
    tile: &mut [Of<I, Large<T>>],
) {
    let mut copy = [T::default(); GROUP];
    for (i, keys) in tile.chunks_exact_mut(WIDTH).enumerate() {
        let row = window.row::<PLAIN>(i, WIDTH * lanes::<Large<T>>(), &mut copy);
        for w in 0..WIDTH {
            keys[w] = Keyed::<Large<T>>::keys(isa, &row[w * lanes::<Large<T>>()..]);
        }
    }
}

/// Steps 2 and 3.
struct Threshold<'a, I: Isa, K: Lane> {
    tile: &'a [Of<I, K>],
    ones: usize,
}

impl<I: Isa, K: Lane> Job<I> for Threshold<'_, I, K> {
    type Output = Search<K>;

    #[inline(always)]
    fn run(self, isa: I) -> Search<K> {
        let Self { tile, ones } = self;
        let rows = tile.len() / WIDTH;
        let mut search = Search::new(rows, [ones as u32; GROUP]);
        if ones < rows {
            bracket(isa, tile, ones, &mut search);
            Solve { tile, search: &mut search }.run(isa);
        }
        search
    }
}

/// Rows that are sorted to find a bracket.
const SAMPLE: usize = 32;

/// Step 2. Counts at two rows of the sample, such that the threshold lies between them in 99 of 100
/// columns of independent rows, and at the greatest and the least key.
#[inline(always)]
fn bracket<I: Isa, K: Lane>(isa: I, tile: &[Of<I, K>], ones: usize, search: &mut Search<K>) {
    let rows = tile.len() / WIDTH;
    let share = (rows - ones) as f64 / rows as f64;
    let middle = share * SAMPLE as f64;
    let deviation = (middle * (1.0 - share)).sqrt();
    let place = |place: f64| (place.max(0.0) as usize).min(SAMPLE - 1);
    let (low, high) =
        (place(middle - 2.5 * deviation - 0.5), place(middle + 2.5 * deviation + 0.5));
    let mut ends = [[Of::<I, K>::splat(isa, K::MIN); WIDTH]; 2];
    for w in 0..WIDTH {
        let mut sample = [tile[w]; SAMPLE];
        for (i, keys) in sample.iter_mut().enumerate() {
            *keys = tile[i * rows / SAMPLE * WIDTH + w];
        }
        sort(&mut sample);
        (ends[0][w], ends[1][w]) = (sample[low], sample[high]);
    }
    let above = search::count(isa, tile, ends);
    let (mut least, mut greatest) = ([tile[0], tile[1]], [tile[0], tile[1]]);
    for keys in tile.chunks_exact(WIDTH) {
        for w in 0..WIDTH {
            least[w] = least[w].min(keys[w]);
            greatest[w] = greatest[w].max(keys[w]);
        }
    }
    let (least, greatest) = (search::store::<I, K>(least), search::store::<I, K>(greatest));
    for l in 0..GROUP {
        search.learn(l, least[l].before(), rows as u32);
        search.learn(l, greatest[l], 0);
    }
    for p in 0..2 {
        let (at, above) = (search::store::<I, K>(ends[p]), search::counts::<I, K>(above[p]));
        for l in 0..GROUP {
            search.learn(l, at[l], above[l]);
        }
    }
}

/// Step 4.
#[inline(always)]
fn emit<I: Isa, T: Element>(
    isa: I,
    tile: &[Of<I, Large<T>>],
    search: &Search<Large<T>>,
    out: &mut Strip<'_, T>,
    (first, width): (usize, usize),
) {
    let mut at = [Large::<T>::MAX; GROUP];
    let mut need = [Large::<T>::default(); GROUP];
    let mut ties = false;
    for l in 0..WIDTH * Large::<T>::LANES {
        let (key, n) = search.cut(l);
        (at[l], need[l]) = (key, Lane::of_count(n));
        ties |= n > 0;
    }
    let at_vectors = search::load(isa, &at);
    let cut = Cut { at: at_vectors, need: ties.then(|| search::load(isa, &need)) };
    out.write::<I, Large<T>, WIDTH>(isa, tile, &cut, (first, width));
    if out.wants_threshold() {
        let mut values = least_above(isa, tile, at_vectors);
        for l in 0..GROUP {
            if need[l] != Lane::of_count(0) {
                values[l] = at[l];
            }
        }
        out.write_threshold(first, &values[..width]);
    }
}

/// The least key above the cut of each column.
#[inline(always)]
fn least_above<I: Isa, K: Lane>(isa: I, tile: &[Of<I, K>], at: [Of<I, K>; WIDTH]) -> [K; GROUP] {
    let greatest = Of::<I, K>::splat(isa, K::MAX);
    let mut least = [greatest; WIDTH];
    for keys in tile.chunks_exact(WIDTH) {
        for w in 0..WIDTH {
            least[w] = least[w].min(keys[w].gt(at[w]).select(keys[w], greatest));
        }
    }
    search::store::<I, K>(least)
}
