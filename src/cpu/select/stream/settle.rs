//! Step 3: which candidates are ones. Those that were written wrong are written again.

use super::PART;
use super::bracket::Bracket;
use super::candidates::{Candidates, column, is_one, row, with_sign};
use crate::Element;
use crate::cpu::select::emit::Strip;
use crate::cpu::simd::Isa;

/// Standard deviations of the boundary's place among the candidates, to either side.
const DEVIATIONS: f64 = 5.0;

/// Elements that are changed at a time.
const AT_ONCE: usize = 32;

impl Candidates<'_> {
    /// Writes the candidates that were written wrong, and returns each column's boundary: `need` of
    /// its `counts` candidates are ones. Columns that do not exist have no `need`.
    ///
    /// Most candidates are looked at once: those far above the expected boundary are ones, those far below
    /// are not, and those around are listed and selected. Around is what a bracket that became narrower
    /// still holds; in others it is where the boundary would be if elements lay evenly. Where that was
    /// wrong, all candidates of the column are listed.
    pub(super) fn settle<I: Isa, T: Element>(
        &self,
        isa: I,
        bracket: &Bracket,
        (counts, need): (&[u32], &[usize]),
        lists: &mut Lists<'_>,
        out: &mut Strip<'_, T>,
    ) -> [f64; PART] {
        let mut columns = [Listed::default(); PART];
        let mut starts = [0; PART];
        let mut start = 0;
        for c in 0..need.len() {
            let count = counts[c] as usize;
            let ends = (bracket.low[c], bracket.high[c]);
            let window = if bracket.is_narrowed(c) {
                (ends.0.into(), ends.1.into())
            } else {
                window(ends, count, need[c])
            };
            columns[c] = Listed { window, next: start as u32, above: 0 };
            starts[c] = start;
            start += count;
        }
        let mut changes = Changes::new();
        for (value, place) in self.iter() {
            let column = &mut columns[column(place)];
            let one = value > column.window.1;
            let around = !one & (value >= column.window.0);
            lists.set(column.next as usize, value, place);
            column.next += u32::from(around);
            column.above += u32::from(one);
            changes.note(isa, (place, one), !around & (one != is_one(place)), out);
        }
        changes.make(isa, out);
        let unlucky = self.list_unlucky(&starts, need, &mut columns, lists);
        // No number equals NaN.
        let mut boundaries = [f64::NAN; PART];
        for (c, column) in columns[..need.len()].iter().enumerate() {
            let Listed { next, above, .. } = *column;
            let listed = starts[c]..next as usize;
            let (values, places) = (&lists.values[listed.clone()], &lists.places[listed]);
            // Of equal elements the first rows are ones.
            let (value, last) = if need[c] == 0 {
                (f64::NAN, None)
            } else {
                boundary((values, places), need[c] - above as usize, lists.spare)
            };
            for (&other, &place) in values.iter().zip(places) {
                let one = other > value || other == value && Some(row(place)) <= last;
                let changed = one != is_one(place) || unlucky >> c & 1 == 1;
                changes.note(isa, (place, one), changed, out);
            }
            boundaries[c] = value;
        }
        changes.make(isa, out);
        boundaries
    }

    /// Lists all candidates of the columns whose boundary is not among the listed ones, and returns which
    /// columns these are, a bit each.
    fn list_unlucky(
        &self,
        starts: &[usize; PART],
        need: &[usize],
        columns: &mut [Listed; PART],
        lists: &mut Lists<'_>,
    ) -> u64 {
        let mut unlucky = 0;
        for c in 0..need.len() {
            let column = &columns[c];
            let above = column.above as usize;
            let up_to_listed = above + column.next as usize - starts[c];
            if need[c] > 0 && !(above < need[c] && need[c] <= up_to_listed) {
                unlucky |= 1 << c;
                columns[c] = Listed { next: starts[c] as u32, above: 0, ..*column };
            }
        }
        if unlucky == 0 {
            return 0;
        }
        for (value, place) in self.iter() {
            let c = column(place);
            if unlucky >> c & 1 == 1 {
                let column = &mut columns[c];
                lists.set(column.next as usize, value, place);
                column.next += 1;
            }
        }
        unlucky
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
struct Listed {
    /// The least and the greatest value.
    window: (f64, f64),
    /// Where the next one is listed. There is room for all candidates of the column.
    next: u32,
    /// How many values are greater than those.
    above: u32,
}

/// Room for listed candidates.
pub(super) struct Lists<'a> {
    values: &'a mut [f64],
    places: &'a mut [u32],
    /// For what is selected of a column, values or places.
    spare: &'a mut [u64],
}

impl<'a> Lists<'a> {
    /// Bytes of one.
    pub(super) const BYTES: usize = size_of::<f64>() + size_of::<u32>() + Self::SPARE;
    const SPARE: usize = size_of::<f64>();

    /// Takes room for `room` from the scratch memory.
    pub(super) fn new(scratch: &'a mut [u64], room: usize) -> (Self, &'a mut [u64]) {
        let (values, rest) = scratch.split_at_mut(room * size_of::<f64>() / 8);
        let (places, rest) = rest.split_at_mut(room * size_of::<u32>() / 8);
        let (spare, rest) = rest.split_at_mut(room * Self::SPARE / 8);
        let (values, places) = (bytemuck::cast_slice_mut(values), bytemuck::cast_slice_mut(places));
        (Self { values, places, spare }, rest)
    }

    #[inline(always)]
    fn set(&mut self, i: usize, value: f64, place: u32) {
        (self.values[i], self.places[i]) = (value, place);
    }
}

fn everything() -> (f64, f64) {
    (f64::NEG_INFINITY, f64::INFINITY)
}

/// Values around the expected place of the `need`-th greatest of `count` in a bracket.
fn window(ends: (f32, f32), count: usize, need: usize) -> (f64, f64) {
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
    let at = |share: f64| high - (high - low) * share;
    let window = (at(share + margin), at(share - margin));
    if window.0 <= window.1 { window } else { (least, greatest) }
}

/// The `need`-th greatest value, and the last row of the elements that equal it and are ones.
/// `need` is at least 1.
fn boundary(
    (values, places): (&[f64], &[u32]),
    need: usize,
    spare: &mut [u64],
) -> (f64, Option<usize>) {
    let sorted: &mut [f64] = &mut bytemuck::cast_slice_mut(spare)[..values.len()];
    sorted.copy_from_slice(values);
    let (_, &mut value, greater) =
        sorted.select_nth_unstable_by(values.len() - need, f64::total_cmp);
    let ties = need - greater.iter().filter(|&&other| other > value).count();
    let equal = &mut bytemuck::cast_slice_mut(spare)[..values.len()];
    let mut len = 0;
    for (&other, &place) in values.iter().zip(places) {
        equal[len] = place;
        len += usize::from(other == value);
    }
    let (_, &mut last, _) = equal[..len].select_nth_unstable(ties - 1);
    (value, Some(row(last)))
}
