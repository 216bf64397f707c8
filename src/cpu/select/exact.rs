//! What levels cannot tell: which of the elements in a bracket are among the k greatest.
//!
//! - [`list`]: few elements are sorted.
//! - [`divide`]: many that are not all equal get new levels, now by their keys: at most
//!   2^[`DIGIT`] parts of the keys that occur, so that the keys of 32 bits end after three times.
//! - [`divide`] as well: of equal ones the lowest rows are taken, by one pass down the columns.
//!
//! In the end the levels are changed such that exactly k are above the column's cut. Nothing else
//! has to know of ties.

use super::count::{BELOW, BLOCK, TOP};
use super::search::{LIST, Search};
use super::source::Window;
use super::{GROUP, Large};
use crate::Element;
use crate::cpu::simd::{Isa, Keyed, Lane, Of, Ordered, Vector};
use crate::element::Key;

/// Bits of a key that make new levels; they leave room for a level beyond.
const DIGIT: u32 = 14;

/// Rows that are looked at together for elements that are listed.
const AT_ONCE: usize = 4;

/// Levels greater than `above`, up to `up_to`.
#[derive(Clone, Copy)]
pub(super) struct Range<V> {
    pub above: V,
    pub up_to: V,
}

impl<V: Vector> Range<V> {
    #[inline(always)]
    fn mask(&self, levels: V) -> V {
        levels.gt(self.above).without(levels.gt(self.up_to))
    }
}

/// The brackets of the columns `open`, a bit each; others have none.
#[inline(always)]
fn brackets<I: Isa>(isa: I, search: &Search<I>, open: u32) -> Range<I::I16> {
    let brackets = search.brackets();
    let (mut above, mut up_to) = ([TOP; GROUP], [TOP; GROUP]);
    for l in 0..GROUP {
        if open >> l & 1 == 1 {
            (above[l], up_to[l]) = (brackets.left[l] as i16, brackets.right[l] as i16);
        }
    }
    Range { above: Ordered::load(isa, &above), up_to: Ordered::load(isa, &up_to) }
}

/// Decides columns that have at most [`LIST`] elements in their brackets.
#[inline(always)]
pub(super) fn list<I: Isa, T: Element>(
    isa: I,
    window: &Window<'_, T>,
    tile: &mut [I::I16],
    ones: usize,
    search: &mut Search<I>,
) {
    let open = search.open();
    let range = brackets(isa, search, open);
    let mut lists = [[(T::Key::default(), 0u32); LIST]; GROUP];
    let mut lens = [0; GROUP];
    for (i, levels) in (0..).step_by(AT_ONCE).zip(tile.chunks(AT_ONCE)) {
        // Most of the time none of them is inside.
        if let Some([a, b, c, d]) = levels.first_chunk() {
            let any = range.mask(*a).or(range.mask(*b)).or(range.mask(*c).or(range.mask(*d)));
            if any.bits() == 0 {
                continue;
            }
        }
        for (i, levels) in (i..).zip(levels) {
            let mut inside = range.mask(*levels).bits();
            while inside != 0 {
                let l = inside.trailing_zeros() as usize;
                inside &= inside - 1;
                lists[l][lens[l]] = (window.get(i, l).key().reversed(), i as u32);
                lens[l] += 1;
            }
        }
    }
    let brackets = search.brackets();
    let mut cut = [0; GROUP];
    for l in 0..GROUP {
        if open >> l & 1 == 0 {
            continue;
        }
        let list = &mut lists[l][..lens[l]];
        list.sort_unstable();
        let (greatest, others) = list.split_at(ones - brackets.above_right[l] as usize);
        // Move either part out of the bracket, to the side where there is a level.
        let (moved, level, at) = if brackets.right[l] < TOP.into() {
            (greatest, TOP, brackets.right[l])
        } else {
            (others, BELOW, brackets.left[l])
        };
        for &(_, row) in moved {
            let mut levels = [0; GROUP];
            tile[row as usize].store(&mut levels);
            levels[l] = level;
            tile[row as usize] = Ordered::load(isa, &levels);
        }
        cut[l] = at;
    }
    search.decide(isa, open, &cut);
}

/// Decides columns whose brackets, all closed, hold only equal elements; gives the elements of
/// others new levels.
#[inline(always)]
pub(super) fn divide<I: Isa, T: Element>(
    isa: I,
    window: &Window<'_, T>,
    tile: &mut [I::I16],
    ones: usize,
    search: &mut Search<I>,
) {
    let open = search.open();
    let range = brackets(isa, search, open);
    let (least, greatest) = extremes(isa, window, tile, range);
    let mut equal = 0;
    let mut top = [-1; GROUP];
    let mut shift = [Large::<T>::default(); GROUP];
    for l in 0..GROUP {
        if open >> l & 1 == 1 {
            let steps = least[l].steps(greatest[l]);
            let drop = (u64::BITS - steps.leading_zeros()).saturating_sub(DIGIT);
            (top[l], shift[l]) = ((steps >> drop) as i32, Lane::of(drop as i16));
            if steps == 0 {
                (equal, top[l]) = (equal | 1 << l, -1);
            }
        }
    }
    if open != equal {
        let divided = I::I16::of_bits(isa, open & !equal);
        renew(isa, window, tile, divided, &least, &greatest, &shift);
    }
    if equal != 0 {
        take_lowest_rows(isa, tile, ones, equal, search);
    }
    search.divide(isa, &top);
}

/// The least and the greatest key of the elements of each column whose levels are in a range.
#[inline(always)]
pub(super) fn extremes<I: Isa, T: Element>(
    isa: I,
    window: &Window<'_, T>,
    tile: &[I::I16],
    range: Range<I::I16>,
) -> ([Large<T>; GROUP], [Large<T>; GROUP]) {
    let none_less = Of::<I, Large<T>>::splat(isa, Lane::MAX);
    let none_greater = Of::<I, Large<T>>::splat(isa, Lane::MIN);
    let (mut least, mut greatest) = (none_less, none_greater);
    let mut copy = [T::default(); GROUP];
    for (i, &levels) in tile.iter().enumerate() {
        let mask = range.mask(levels);
        if mask.bits() == 0 {
            continue;
        }
        let key = <T as Keyed<Large<T>>>::keys(isa, window.row(i, GROUP, &mut copy));
        let mask = Large::<T>::widen(isa, mask);
        least = least.min(mask.select(key, none_less));
        greatest = greatest.max(mask.select(key, none_greater));
    }
    let (mut lowest, mut highest) =
        ([Large::<T>::default(); GROUP], [Large::<T>::default(); GROUP]);
    least.store(&mut lowest);
    greatest.store(&mut highest);
    (lowest, highest)
}

/// New levels of some columns: the distance to the least key, shifted; -1 for lesser keys, and one
/// more than that of the greatest for greater ones.
#[inline(always)]
fn renew<I: Isa, T: Element>(
    isa: I,
    window: &Window<'_, T>,
    tile: &mut [I::I16],
    divided: I::I16,
    least: &[Large<T>; GROUP],
    greatest: &[Large<T>; GROUP],
    shift: &[Large<T>; GROUP],
) {
    let (least, greatest) =
        (Of::<I, Large<T>>::load(isa, least), Of::<I, Large<T>>::load(isa, greatest));
    let shift = Of::<I, Large<T>>::load(isa, shift);
    let mut copy = [T::default(); GROUP];
    for (i, levels) in tile.iter_mut().enumerate() {
        let key = <T as Keyed<Large<T>>>::keys(isa, window.row(i, GROUP, &mut copy));
        let level = key.max(least).min(greatest).sub(least).shr(shift);
        let level = level.count(key.gt(greatest)).add(least.gt(key));
        *levels = divided.select(Large::<T>::narrow(isa, level), *levels);
    }
}

/// Decides columns, a bit each, whose closed brackets hold equal elements.
#[inline(always)]
fn take_lowest_rows<I: Isa>(
    isa: I,
    tile: &mut [I::I16],
    ones: usize,
    equal: u32,
    search: &mut Search<I>,
) {
    let brackets = search.brackets();
    let (mut level, mut cut) = ([0; GROUP], [0; GROUP]);
    let (mut need, mut upwards) = ([0; GROUP], 0);
    for l in 0..GROUP {
        if equal >> l & 1 == 1 {
            level[l] = brackets.right[l] as i16;
            need[l] = ones - brackets.above_right[l] as usize;
            // There may be no level above.
            upwards |= u32::from(level[l] < TOP) << l;
            cut[l] = brackets.right[l] - i32::from(level[l] == TOP);
        }
    }
    let level = I::I16::load(isa, &level);
    let up = I::I16::of_bits(isa, upwards);
    let down = I::I16::of_bits(isa, equal & !upwards);
    let zero = I::I16::splat(isa, 0);
    for block in tile.chunks_mut(BLOCK) {
        let before = need.map(|need| need.min(BLOCK) as i16);
        let mut left = I::I16::load(isa, &before);
        for levels in block {
            let at_level = levels.eq(level);
            let taken = at_level.and(left.gt(zero));
            left = left.add(taken);
            *levels = levels.sub(taken.and(up)).add(at_level.without(taken).and(down));
        }
        let mut after = [0; GROUP];
        left.store(&mut after);
        for l in 0..GROUP {
            need[l] -= (before[l] - after[l]) as usize;
        }
    }
    search.decide(isa, equal, &cut);
}
