//! Closed brackets of many elements that mostly are equal: a boundary at a value that many have.
//!
//! 1. The value of the first element of the bracket is a guess, if the second one equals it. One pass
//!    counts the elements that equal it and the greater ones.
//! 2. If the boundary is among equal ones, the others leave the level, to either side.
//! 3. The first rows of equal ones are ones, as many as are missing: they leave the level too.
//!
//! A wrong guess changes nothing.

use super::bracket::Range;
use super::count::{LEAST, TOP, Tile};
use super::search::Search;
use super::source::{Visit, Window};
use super::{GROUP, Large};
use crate::Element;
use crate::cpu::simd::{Isa, KeyLane, Keyed, Of, Ordered, Vector};

/// Decides the columns whose guess is right; all that are not decided have closed brackets.
#[inline(always)]
pub(super) fn take_equal<I: Isa, T: Element>(
    isa: I,
    window: &Window<'_, T>,
    tile: &mut Tile<'_, I>,
    ones: usize,
    search: &mut Search<I>,
) {
    let brackets = search.brackets();
    let range = Range::of_brackets(isa, &brackets, search.open());
    let (guess, guessed) = first_values(isa, window, tile, range, search.open());
    if guessed == 0 {
        return;
    }
    let zero = Of::<I, Large<T>>::splat(isa, KeyLane::of(0));
    let levels = tile.levels(isa);
    let mut count =
        Count::<_, Large<T>> { levels, range, value: guess, equal: zero, greater: zero };
    window.visit(isa, &mut count);
    let (equal, greater) = (numbers(count.equal), numbers(count.greater));
    let (mut tied, mut mixed) = (0, 0);
    let (mut level, mut need) = ([0; GROUP], [0; GROUP]);
    for l in 0..GROUP {
        let inside = i64::from(brackets.above_left[l]) - i64::from(brackets.above_right[l]);
        let missing = ones as i64 - i64::from(brackets.above_right[l]) - greater[l];
        let lesser = inside - equal[l] - greater[l];
        let has_room = (greater[l] == 0 || brackets.right[l] < TOP.into())
            && (lesser == 0 || brackets.right[l] > LEAST.into());
        if guessed >> l & 1 == 1 && missing > 0 && missing <= equal[l] && has_room {
            tied |= 1 << l;
            mixed |= u32::from(equal[l] < inside) << l;
            (level[l], need[l]) = (brackets.right[l] as i8, missing as i32);
        }
    }
    if mixed != 0 {
        let range = Range::of_brackets(isa, &brackets, mixed);
        let levels = tile.levels_mut(isa);
        window.visit(isa, &mut Separate::<_, Large<T>> { levels, range, value: guess });
    }
    if tied != 0 {
        let cut = take_first_rows(isa, tile, tied, &level, &need);
        search.decide(isa, tied, &cut);
    }
}

/// The key of each column's first element in a range, and of which of the columns `open`, a bit each,
/// the second one equals it. They have at least two.
#[inline(always)]
fn first_values<I: Isa, T: Element>(
    isa: I,
    window: &Window<'_, T>,
    tile: &Tile<'_, I>,
    range: Range<I::I8>,
    open: u32,
) -> (Of<I, Large<T>>, u32) {
    let mut copy = [T::default(); GROUP];
    let mut values = [Large::<T>::default(); GROUP];
    // Columns of which no element is known, and of which one is.
    let (mut none, mut one, mut guessed) = (open, 0, 0);
    for (i, &levels) in tile.levels(isa).iter().enumerate() {
        let mut found = range.mask(levels).bits() & (none | one);
        if found != 0 {
            let mut keys = [Large::<T>::default(); GROUP];
            <T as Keyed<Large<T>>>::keys(isa, window.row(i, GROUP, &mut copy)).store(&mut keys);
            while found != 0 {
                let l = found.trailing_zeros() as usize;
                found &= found - 1;
                if none >> l & 1 == 1 {
                    values[l] = keys[l];
                    (none, one) = (none ^ 1 << l, one | 1 << l);
                } else {
                    guessed |= u32::from(keys[l] == values[l]) << l;
                    one ^= 1 << l;
                }
            }
        }
        if none | one == 0 {
            break;
        }
    }
    (Ordered::load(isa, &values), guessed)
}

/// How many elements of a range equal a value, and how many are greater.
struct Count<'a, I: Isa, K: KeyLane> {
    levels: &'a [I::I8],
    range: Range<I::I8>,
    value: Of<I, K>,
    equal: Of<I, K>,
    greater: Of<I, K>,
}

impl<I: Isa, K: KeyLane, T: Keyed<K>> Visit<I, T> for Count<'_, I, K> {
    #[inline(always)]
    fn row(&mut self, isa: I, i: usize, row: &[T]) {
        let mask = K::widen(isa, self.range.mask(self.levels[i]));
        let key = T::keys(isa, row);
        self.equal = self.equal.count(key.eq(self.value).and(mask));
        self.greater = self.greater.count(key.gt(self.value).and(mask));
    }
}

#[inline(always)]
fn numbers<V: Vector<Lane: KeyLane>>(counts: V) -> [i64; GROUP] {
    let mut lanes = [V::Lane::default(); GROUP];
    counts.store(&mut lanes);
    // No closure, as vectors are near.
    let mut numbers = [0; GROUP];
    for (number, lane) in numbers.iter_mut().zip(lanes) {
        *number = V::Lane::of(0).steps(lane) as i64;
    }
    numbers
}

/// Moves the elements of a range that are not equal to a value to the next level, up or down.
struct Separate<'a, I: Isa, K: KeyLane> {
    levels: &'a mut [I::I8],
    range: Range<I::I8>,
    value: Of<I, K>,
}

impl<I: Isa, K: KeyLane, T: Keyed<K>> Visit<I, T> for Separate<'_, I, K> {
    #[inline(always)]
    fn row(&mut self, isa: I, i: usize, row: &[T]) {
        let key = T::keys(isa, row);
        let up = self.value.gt(key).sub(key.gt(self.value));
        let up = isa.narrow_to_8(K::to_32(isa, up));
        let level = self.levels[i];
        self.levels[i] = level.add(self.range.mask(level).and(up));
    }
}

/// Leaves of the elements at a level of each column the first `need` above a cut and the others below.
#[inline(always)]
fn take_first_rows<I: Isa>(
    isa: I,
    tile: &mut Tile<'_, I>,
    columns: u32,
    level: &[i8; GROUP],
    need: &[i32; GROUP],
) -> [i32; GROUP] {
    /// Rows of a block, whose counts eight bits hold.
    const BLOCK: usize = 64;
    let (mut upwards, mut cut) = (0, [0; GROUP]);
    for l in 0..GROUP {
        // There may be no level above; then the others go down.
        upwards |= u32::from(level[l] < TOP) << l;
        cut[l] = i32::from(level[l].min(TOP - 1));
    }
    let level = I::I8::load(isa, level);
    let up = I::I8::of_bits(isa, columns & upwards);
    let down = I::I8::of_bits(isa, columns & !upwards);
    let others_stay = columns & !upwards == 0;
    let (none, per_vector) = (I::I32::splat(isa, 0), I::Rows::LANES / GROUP);
    let mut left = I::I32::load(isa, need);
    for start in (0..tile.rows()).step_by(BLOCK) {
        let missing = left.gt(none);
        if others_stay && missing.bits() == 0 {
            break;
        }
        if start + BLOCK <= tile.rows() {
            let block = &mut tile.together_mut()[start / per_vector..][..BLOCK / per_vector];
            let equal = count_equal(isa, block, level);
            let crossed = equal.gt(left);
            // Where no column's last missing one is, all are taken or none.
            if crossed.and(missing).bits() == 0 {
                let crossed = isa.narrow_to_8(crossed);
                add_where_equal(isa, block, level, down.and(crossed).sub(up.without(crossed)));
                left = left.sub(equal.and(missing));
                continue;
            }
        }
        let end = tile.rows().min(start + BLOCK);
        let before = isa.narrow_to_8(left);
        let mut need = before;
        for levels in &mut tile.levels_mut(isa)[start..end] {
            let equal = levels.eq(level);
            let taken = equal.and(need.gt(I::I8::splat(isa, 0)));
            need = need.add(taken);
            *levels = levels.sub(taken.and(up)).add(equal.without(taken).and(down));
        }
        left = left.sub(isa.widen_8_to_32(before.sub(need)));
    }
    cut
}

#[inline(always)]
fn count_equal<I: Isa>(isa: I, block: &[I::Rows], level: I::I8) -> I::I32 {
    let level = isa.repeat(level);
    let mut equal = I::Rows::splat(isa, 0);
    for &levels in block {
        equal = equal.count(levels.eq(level));
    }
    isa.widen(isa.sum_rows(equal))
}

#[inline(always)]
fn add_where_equal<I: Isa>(isa: I, block: &mut [I::Rows], level: I::I8, difference: I::I8) {
    let (level, difference) = (isa.repeat(level), isa.repeat(difference));
    for levels in block {
        *levels = levels.add(levels.eq(level).and(difference));
    }
}
