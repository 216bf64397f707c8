//! Step 3: the elements inside the brackets of a part, in the order of their rows.

use super::bracket::Bracket;
use super::{BLOCK, PART};
use crate::Element;
use crate::cpu::select::emit::Strip;
use crate::cpu::select::source::Source;
use crate::cpu::simd::Isa;
use crate::element::Key;
use std::ops::Range;

/// Bits of a place: the row, the column and whether it was written as a one.
const ROW_BITS: u32 = u32::BITS - COLUMN_BITS - 1;
const COLUMN_BITS: u32 = PART.trailing_zeros();

/// Rows that a place can tell apart.
pub(super) const MOST_ROWS: usize = 1 << ROW_BITS;

/// Standard deviations of the boundary's place among the candidates, to either side.
const DEVIATIONS: f64 = 5.0;

/// Candidates from the next one to those whose cache lines are asked for, which are those of a few
/// blocks; and how many keys or rows of 32 bits a line holds.
const AHEAD: Range<usize> = 128..256;
const LINE: usize = 16;

/// Elements that are changed at a time.
const AT_ONCE: usize = 32;

/// Keys and places.
pub(super) struct Candidates<'a, K> {
    keys: &'a mut [K],
    places: &'a mut [u32],
    len: usize,
}

/// Which candidates of a column are ones: those greater than `key` and the first `ties` that equal it.
#[derive(Clone, Copy)]
pub(super) struct Boundary<K> {
    pub key: K,
    ties: u32,
}

impl<'a, K: Key> Candidates<'a, K> {
    /// Bytes of one.
    pub(super) const BYTES: usize = size_of::<K>() + size_of::<u32>();

    /// None yet. Takes room for `room` from the scratch memory.
    pub(super) fn new(scratch: &'a mut [u64], room: usize) -> (Self, &'a mut [u64]) {
        let (keys, rest) = scratch.split_at_mut(room * size_of::<K>() / 8);
        let (places, rest) = rest.split_at_mut(room * size_of::<u32>() / 8);
        let (keys, places) = (bytemuck::cast_slice_mut(keys), bytemuck::cast_slice_mut(places));
        (Self { keys, places, len: 0 }, rest)
    }

    /// Whether there are more than there is room for.
    pub(super) fn overflowed(&self) -> bool {
        self.len > self.keys.len()
    }

    /// Notes the elements of rows from `start` on that have a bit in `inside`.
    #[inline(always)]
    pub(super) fn note<I: Isa, T: Element<Key = K>>(
        &mut self,
        isa: I,
        source: &Source<'_, T>,
        bracket: &Bracket,
        start: usize,
        inside: [u64; BLOCK],
    ) {
        // Rows without any are left out, so that the loop below needs no branch for them.
        let (mut words, mut rows, mut len) = ([0; BLOCK + 1], [0; BLOCK], 0);
        for (i, word) in (start..).zip(inside) {
            (words[len], rows[len]) = (word, i);
            len += usize::from(word != 0);
        }
        let count = inside.iter().map(|word| word.count_ones() as usize).sum::<usize>();
        let keys = self.keys.get_mut(self.len..).unwrap_or_default();
        let places = self.places.get_mut(self.len..).unwrap_or_default();
        for ahead in AHEAD.step_by(LINE) {
            isa.prefetch(keys.as_ptr().wrapping_add(ahead));
            isa.prefetch(places.as_ptr().wrapping_add(ahead));
        }
        let (mut n, mut word) = (0, words[0]);
        for (key, place) in keys.iter_mut().zip(places).take(count) {
            let (row, column) = (rows[n % BLOCK], word.trailing_zeros() as usize % PART);
            let value = source.get(row, column);
            let less = bracket.middle[column] > value.to_f64() as f32;
            *key = value.key();
            *place = ((row << COLUMN_BITS | column) << 1) as u32 | u32::from(!less);
            word &= word - 1;
            n += usize::from(word == 0);
            word = if word == 0 { words[n] } else { word };
        }
        self.len += count;
    }

    fn iter(&self) -> impl Iterator<Item = (K, u32)> {
        self.keys[..self.len].iter().copied().zip(self.places[..self.len].iter().copied())
    }

    /// Candidates of each column, and how many of them were written as ones.
    pub(super) fn counts(&self) -> [(u32, u32); PART] {
        let mut counts = [[0; 2]; PART];
        for &place in &self.places[..self.len] {
            counts[column(place)][(place & 1) as usize] += 1;
        }
        counts.map(|[others, ones]| (others + ones, ones))
    }

    /// The boundaries above which `need` candidates of each column are. `list` has room for all.
    ///
    /// Most candidates are not looked at twice: a boundary is expected where it would be if elements
    /// lay evenly in the bracket, and those around are listed. Where that was wrong, all are.
    pub(super) fn select<T: Element<Key = K>>(
        &self,
        bracket: &Bracket,
        counts: &[(u32, u32); PART],
        need: &[usize; PART],
        list: &mut [K],
    ) -> [Boundary<K>; PART] {
        let mut lists = [List::default(); PART];
        let mut start = 0;
        for c in 0..PART {
            let count = counts[c].0 as usize;
            let window = window::<T>((bracket.low[c], bracket.high[c]), count, need[c]);
            lists[c] = List { window, start, ..List::default() };
            start += count;
        }
        self.list(&mut lists, list);
        let mut again = false;
        for (lists, &need) in lists.iter_mut().zip(need) {
            if need > 0 && !(lists.above < need && need <= lists.above + lists.len) {
                (lists.window, again) = (everything(), true);
            }
        }
        if again {
            self.list(&mut lists, list);
        }
        std::array::from_fn(|c| {
            let List { start, len, above, .. } = lists[c];
            if need[c] == 0 {
                // No number has the greatest key.
                return Boundary { key: everything().1, ties: 0 };
            }
            boundary(&mut list[start..start + len], need[c] - above)
        })
    }

    /// Lists the keys in the windows and counts those above.
    fn list(&self, lists: &mut [List<K>; PART], list: &mut [K]) {
        for lists in lists.iter_mut() {
            (lists.len, lists.above) = (0, 0);
        }
        for (key, place) in self.iter() {
            let lists = &mut lists[column(place)];
            list[lists.start + lists.len] = key;
            lists.len += usize::from(lists.window.0 <= key && key <= lists.window.1);
            lists.above += usize::from(key > lists.window.1);
        }
    }

    /// Writes the candidates that were written wrong.
    pub(super) fn correct<I: Isa, T: Element<Key = K>>(
        &self,
        isa: I,
        mut boundaries: [Boundary<K>; PART],
        out: &mut Strip<'_, T>,
    ) {
        // A few at a time, so that none waits for its cache line alone.
        let (mut wrong, mut len) = ([0; AT_ONCE], 0);
        for (key, place) in self.iter() {
            let boundary = &mut boundaries[column(place)];
            let tie = key == boundary.key && boundary.ties > 0;
            boundary.ties -= u32::from(tie);
            let one = key > boundary.key || tie;
            wrong[len] = place;
            len += usize::from(one != (place & 1 == 1));
            if len == AT_ONCE {
                change(isa, &wrong, out);
                len = 0;
            }
        }
        change(isa, &wrong[..len], out);
    }
}

/// Changes elements.
fn change<I: Isa, T: Element>(isa: I, places: &[u32], out: &mut Strip<'_, T>) {
    let row = |place: u32| (place >> (COLUMN_BITS + 1)) as usize;
    for &place in places {
        out.prefetch(isa, row(place), column(place));
    }
    for &place in places {
        out.set(row(place), column(place), place & 1 == 0);
    }
}

#[inline(always)]
fn column(place: u32) -> usize {
    (place >> 1) as usize % PART
}

/// The keys of a column that are listed.
#[derive(Clone, Copy, Default)]
struct List<K> {
    /// The least and the greatest.
    window: (K, K),
    /// Where they begin. There is room for all candidates of the column.
    start: usize,
    len: usize,
    /// Keys greater than those.
    above: usize,
}

fn everything<K: Key>() -> (K, K) {
    (K::default(), K::default().reversed())
}

/// Keys around the expected place of the `need`-th greatest of `count` in a bracket.
fn window<T: Element>(ends: (f32, f32), count: usize, need: usize) -> (T::Key, T::Key) {
    let share = need as f64 / count as f64;
    let margin = DEVIATIONS * (share * (1.0 - share) / count as f64).sqrt();
    let (low, high) = (f64::from(ends.0), f64::from(ends.1));
    let at = |share: f64| T::from_f64(high - (high - low) * share).key();
    let (least, greatest) = (at(share + margin), at(share - margin));
    if least <= greatest { (least, greatest) } else { everything() }
}

/// Above the `need` greatest keys, of which there is at least one.
fn boundary<K: Key>(keys: &mut [K], need: usize) -> Boundary<K> {
    let at = keys.len() - need;
    let (_, &mut key, greater) = keys.select_nth_unstable(at);
    let greater = greater.iter().filter(|&&other| other > key).count();
    Boundary { key, ties: (need - greater) as u32 }
}
