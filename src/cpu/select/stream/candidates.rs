//! Step 3: the elements inside the brackets of a part, in the order of their rows.

use super::bracket::Bracket;
use super::{BLOCK, PART};
use crate::Element;
use crate::cpu::select::emit::Strip;
use crate::cpu::select::source::Source;
use crate::cpu::simd::Isa;
use crate::element::Key;

/// Bits of a place: the row, the column and whether it was written as a one.
const ROW_BITS: u32 = u32::BITS - COLUMN_BITS - 1;
const COLUMN_BITS: u32 = PART.trailing_zeros();

/// Rows that a place can tell apart.
pub(super) const MOST_ROWS: usize = 1 << ROW_BITS;

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
        for ahead in (128..256).step_by(16) {
            isa.prefetch(keys.as_ptr().wrapping_add(ahead));
            isa.prefetch(places.as_ptr().wrapping_add(ahead));
        }
        let (mut n, mut word) = (0, words[0]);
        for (key, place) in keys.iter_mut().zip(places).take(count) {
            let (row, column) = (rows[n % BLOCK], word.trailing_zeros() as usize % PART);
            let value = source.get(row, column);
            let one = !(bracket.middle[column] > value.to_f64() as f32);
            *key = value.key();
            *place = ((row << COLUMN_BITS | column) << 1) as u32 | u32::from(one);
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
    pub(super) fn select(
        &self,
        counts: &[(u32, u32); PART],
        need: &[usize; PART],
        list: &mut [K],
    ) -> [Boundary<K>; PART] {
        let mut ends = [0; PART];
        let mut end = 0;
        for c in 0..PART {
            ends[c] = end;
            end += counts[c].0 as usize;
        }
        for (key, place) in self.iter() {
            let end = &mut ends[column(place)];
            list[*end] = key;
            *end += 1;
        }
        std::array::from_fn(|c| {
            boundary(&mut list[ends[c] - counts[c].0 as usize..ends[c]], need[c])
        })
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

/// Above the `need` greatest keys.
fn boundary<K: Key>(keys: &mut [K], need: usize) -> Boundary<K> {
    if need == 0 {
        // No number has the greatest key.
        return Boundary { key: K::default().reversed(), ties: 0 };
    }
    let at = keys.len() - need;
    let (_, &mut key, greater) = keys.select_nth_unstable(at);
    let greater = greater.iter().filter(|&&other| other > key).count();
    Boundary { key, ties: (need - greater) as u32 }
}
