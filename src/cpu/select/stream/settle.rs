//! Step 3: which candidates are ones. Those that were written wrong are written again.

use super::PART;
use super::bracket::Bracket;
use super::candidates::{Candidates, column, is_one, row, with_sign};
use crate::Element;
use crate::cpu::select::emit::Strip;
use crate::cpu::simd::Isa;
use crate::element::Key;

/// Standard deviations of the boundary's place among the candidates, to either side.
const DEVIATIONS: f64 = 5.0;

/// Elements that are changed at a time.
const AT_ONCE: usize = 32;

impl<K: Key> Candidates<'_, K> {
    /// Writes the candidates that were written wrong, and returns each column's boundary: `need` of
    /// its `counts` candidates are ones. Columns that do not exist have no `need`.
    ///
    /// Most candidates are looked at once. A boundary is expected where it would be if elements lay evenly
    /// in the bracket: those far above are ones and those far below are not, those around are listed and
    /// selected. Where that was wrong, all candidates of the column are listed.
    pub(super) fn settle<I: Isa, T: Element<Key = K>>(
        &self,
        isa: I,
        bracket: &Bracket,
        (counts, need): (&[u32], &[usize]),
        lists: &mut Lists<'_, K>,
        out: &mut Strip<'_, T>,
    ) -> [K; PART] {
        let mut columns = [Listed::default(); PART];
        let mut start = 0;
        for c in 0..need.len() {
            let count = counts[c] as usize;
            let window = window::<T>((bracket.low[c], bracket.high[c]), count, need[c]);
            columns[c] = Listed { window, start, ..Listed::default() };
            start += count;
        }
        let mut changes = Changes::new();
        for (key, place) in self.iter() {
            let column = &mut columns[column(place)];
            let around = column.window.0 <= key && key <= column.window.1;
            let one = key > column.window.1;
            lists.set(column.start + column.len, key, place);
            column.len += usize::from(around);
            column.above += usize::from(one);
            changes.note(isa, (place, one), !around & (one != is_one(place)), out);
        }
        changes.make(isa, out);
        let mut unlucky = 0;
        for (c, column) in columns[..need.len()].iter().enumerate() {
            if need[c] > 0 && !(column.above < need[c] && need[c] <= column.above + column.len) {
                unlucky |= 1 << c;
            }
        }
        if unlucky != 0 {
            self.list_all(unlucky, &mut columns, lists);
        }
        // No number has the greatest key.
        let mut boundaries = [everything().1; PART];
        for (c, column) in columns[..need.len()].iter().enumerate() {
            let Listed { start, len, above, .. } = *column;
            let listed = start..start + len;
            let (keys, places) = (&lists.keys[listed.clone()], &lists.places[listed]);
            let (key, mut ties) = if need[c] == 0 {
                (everything().1, 0)
            } else {
                let spare = &mut lists.spare[..len];
                spare.copy_from_slice(keys);
                boundary(spare, need[c] - above)
            };
            for (&other, &place) in keys.iter().zip(places) {
                let tie = other == key && ties > 0;
                ties -= u32::from(tie);
                let one = other > key || tie;
                let changed = one != is_one(place) || unlucky >> c & 1 == 1;
                changes.note(isa, (place, one), changed, out);
            }
            boundaries[c] = key;
        }
        changes.make(isa, out);
        boundaries
    }

    /// Lists all candidates of some columns, a bit each.
    fn list_all(&self, which: u64, columns: &mut [Listed<K>; PART], lists: &mut Lists<'_, K>) {
        for (c, column) in columns.iter_mut().enumerate() {
            if which >> c & 1 == 1 {
                (column.len, column.above) = (0, 0);
            }
        }
        for (key, place) in self.iter() {
            let c = column(place);
            if which >> c & 1 == 1 {
                let column = &mut columns[c];
                lists.set(column.start + column.len, key, place);
                column.len += 1;
            }
        }
    }
}

/// Elements to be written again, a few at a time, so that none waits for its cache line alone.
struct Changes {
    /// With what they become.
    places: [u32; AT_ONCE],
    len: usize,
}

impl Changes {
    fn new() -> Self {
        Self { places: [0; AT_ONCE], len: 0 }
    }

    #[inline(always)]
    fn note<I: Isa, T: Element>(
        &mut self,
        isa: I,
        (place, one): (u32, bool),
        changes: bool,
        out: &mut Strip<'_, T>,
    ) {
        self.places[self.len] = with_sign(place, one);
        self.len += usize::from(changes);
        if self.len == AT_ONCE {
            self.make(isa, out);
        }
    }

    fn make<I: Isa, T: Element>(&mut self, isa: I, out: &mut Strip<'_, T>) {
        let places = &self.places[..self.len];
        for &place in places {
            out.prefetch(isa, row(place), column(place));
        }
        for &place in places {
            out.set(row(place), column(place), is_one(place));
        }
        self.len = 0;
    }
}

/// The candidates of a column that are listed.
#[derive(Clone, Copy, Default)]
struct Listed<K> {
    /// The least and the greatest key.
    window: (K, K),
    /// Where they begin. There is room for all candidates of the column.
    start: usize,
    len: usize,
    /// Keys greater than those.
    above: usize,
}

/// Room for listed candidates.
pub(super) struct Lists<'a, K> {
    keys: &'a mut [K],
    places: &'a mut [u32],
    /// For keys that are selected.
    spare: &'a mut [K],
}

impl<'a, K: Key> Lists<'a, K> {
    /// Bytes of one.
    pub(super) const BYTES: usize = 2 * size_of::<K>() + size_of::<u32>();

    /// Takes room for `room` from the scratch memory.
    pub(super) fn new(scratch: &'a mut [u64], room: usize) -> (Self, &'a mut [u64]) {
        let (keys, rest) = scratch.split_at_mut(2 * room * size_of::<K>() / 8);
        let (places, rest) = rest.split_at_mut(room * size_of::<u32>() / 8);
        let (keys, spare) = bytemuck::cast_slice_mut(keys).split_at_mut(room);
        (Self { keys, places: bytemuck::cast_slice_mut(places), spare }, rest)
    }

    #[inline(always)]
    fn set(&mut self, i: usize, key: K, place: u32) {
        (self.keys[i], self.places[i]) = (key, place);
    }
}

fn everything<K: Key>() -> (K, K) {
    (K::default(), K::default().reversed())
}

/// Keys around the expected place of the `need`-th greatest of `count` in a bracket.
fn window<T: Element>(ends: (f32, f32), count: usize, need: usize) -> (T::Key, T::Key) {
    let (least, greatest) = everything();
    if need == 0 {
        return (greatest, greatest);
    }
    if need == count {
        return (least, greatest);
    }
    let share = need as f64 / count as f64;
    let margin = DEVIATIONS * (share * (1.0 - share) / count as f64).sqrt();
    let (low, high) = (f64::from(ends.0), f64::from(ends.1));
    let at = |share: f64| T::from_f64(high - (high - low) * share).key();
    let window = (at(share + margin), at(share - margin));
    if window.0 <= window.1 { window } else { (least, greatest) }
}

/// The least of the `need` greatest keys, of which there is at least one, and how many that equal it are
/// among them.
fn boundary<K: Key>(keys: &mut [K], need: usize) -> (K, u32) {
    let at = keys.len() - need;
    let (_, &mut key, greater) = keys.select_nth_unstable(at);
    let greater = greater.iter().filter(|&&other| other > key).count();
    (key, (need - greater) as u32)
}
