//! What levels cannot tell: which of the elements in a bracket are among the k greatest.
//!
//! - [`list`]: few elements are sorted.
//! - [`divide`]: many that are not all equal get new levels, now by their keys: at most
//!   2^[`DIGIT`] parts of the keys that occur, so that the keys of 32 bits end after five times.
//! - [`divide`] as well: of equal ones the lowest rows are taken, by one pass down the columns.
//!
//! In the end the levels are changed such that exactly k are above the column's cut. Nothing else
//! has to know of ties.

use super::count::{LEAST, TOP, Tile};
use super::search::{LIST, Search};
use super::source::Window;
use super::{GROUP, Large};
use crate::Element;
use crate::cpu::simd::{Isa, KeyLane, Keyed, Lane, Of, Ordered, Vector};
use crate::element::Key;

/// Bits of a key that make new levels; they leave room for levels beyond.
const DIGIT: u32 = 7;

/// The least of new levels.
const FIRST: i8 = -64;

/// Less than 256 levels that follow each other, maybe none, in a form that two instructions test.
#[derive(Clone, Copy)]
pub(super) struct Range<V> {
    /// What is taken away from levels, wrapping, such that the first one of the range is the least.
    offset: V,
    /// How many they are, above the least.
    limit: V,
}

impl<V: Vector<Lane = i8>> Range<V> {
    /// Levels above a cut.
    #[inline(always)]
    pub(super) fn above(isa: V::Isa, cut: V) -> Self {
        let from = cut.add(V::splat(isa, 1));
        let offset = from.sub(V::splat(isa, LEAST));
        // As many as up to the greatest level.
        Self { offset, limit: V::splat(isa, TOP).sub(cut).add(V::splat(isa, LEAST)) }
    }

    #[inline(always)]
    fn mask(&self, levels: V) -> V {
        self.limit.gt(levels.sub(self.offset))
    }
}

/// The brackets of the columns `open`, a bit each; others have none.
#[inline(always)]
fn brackets<I: Isa>(isa: I, search: &Search<I>, open: u32) -> Range<I::I8> {
    let brackets = search.brackets();
    let (mut offset, mut limit) = ([0; GROUP], [LEAST; GROUP]);
    for l in 0..GROUP {
        if open >> l & 1 == 1 {
            let (left, right) = (brackets.left[l], brackets.right[l]);
            offset[l] = (left + 1 - i32::from(LEAST)) as i8;
            limit[l] = (i32::from(LEAST) + right - left) as i8;
        }
    }
    Range { offset: Ordered::load(isa, &offset), limit: Ordered::load(isa, &limit) }
}

/// Rows of elements, [`LIST`] for each column.
pub(super) type Lists = [u32; GROUP * LIST];

/// Decides columns that have at most [`LIST`] elements in their brackets.
#[inline(always)]
pub(super) fn list<I: Isa, T: Element>(
    isa: I,
    window: &Window<'_, T>,
    tile: &mut Tile<'_, I>,
    ones: usize,
    search: &mut Search<I>,
    lists: &mut Lists,
) {
    let open = search.open();
    let range = brackets(isa, search, open);
    let mut lens = [0; GROUP];
    inside(isa, range, tile, lists, &mut lens);
    let brackets = search.brackets();
    let mut cut = [0; GROUP];
    let mut keyed = [(T::Key::default(), 0); LIST];
    for l in 0..GROUP {
        if open >> l & 1 == 0 {
            continue;
        }
        let keyed = &mut keyed[..lens[l]];
        for (keyed, &row) in keyed.iter_mut().zip(&lists[l * LIST..]) {
            *keyed = (window.get(row as usize, l).key().reversed(), row);
        }
        keyed.sort_unstable();
        let (greatest, others) = keyed.split_at(ones - brackets.above_right[l] as usize);
        // Move either part out of the bracket, to the side where there is a level.
        let (moved, level, at) = if brackets.right[l] < TOP.into() {
            (greatest, TOP, brackets.right[l])
        } else {
            (others, LEAST, brackets.left[l])
        };
        for &(_, row) in moved {
            tile.set(row as usize, l, level);
        }
        cut[l] = at;
    }
    search.decide(isa, open, &cut);
}

/// Lists the rows of levels in a range.
#[inline(always)]
fn inside<I: Isa>(
    isa: I,
    range: Range<I::I8>,
    tile: &Tile<'_, I>,
    lists: &mut Lists,
    lens: &mut [usize; GROUP],
) {
    /// Vectors that are looked at together: most of the time none of their levels is inside.
    const AT_ONCE: usize = 2;
    let range = Range { offset: isa.repeat(range.offset), limit: isa.repeat(range.limit) };
    let (vectors, _) = tile.together().as_chunks::<AT_ONCE>();
    for (v, [first, second]) in vectors.iter().enumerate() {
        let masks = [range.mask(*first), range.mask(*second)];
        if masks[0].or(masks[1]).bits() == 0 {
            continue;
        }
        for (n, mask) in (AT_ONCE * v..).zip(masks) {
            let mut inside = mask.bits();
            while inside != 0 {
                let at = n * I::Rows::LANES + inside.trailing_zeros() as usize;
                inside &= inside - 1;
                let (row, l) = (at / GROUP, at % GROUP);
                // Else a pad.
                if row < tile.rows() {
                    lists[l * LIST + lens[l]] = row as u32;
                    lens[l] += 1;
                }
            }
        }
    }
}

/// Decides columns whose brackets, all closed, hold only equal elements; gives the elements of
/// others new levels.
#[inline(always)]
pub(super) fn divide<I: Isa, T: Element>(
    isa: I,
    window: &Window<'_, T>,
    tile: &mut Tile<'_, I>,
    ones: usize,
    search: &mut Search<I>,
) {
    const BELOW: i32 = FIRST as i32 - 1;
    let open = search.open();
    let range = brackets(isa, search, open);
    let (least, greatest) = extremes(isa, window, tile, range);
    let mut equal = 0;
    let mut top = [BELOW; GROUP];
    let mut shift = [Large::<T>::default(); GROUP];
    for l in 0..GROUP {
        if open >> l & 1 == 1 {
            let steps = least[l].steps(greatest[l]);
            if steps == 0 {
                equal |= 1 << l;
            } else {
                let drop = (u64::BITS - steps.leading_zeros()).saturating_sub(DIGIT);
                top[l] = i32::from(FIRST) + (steps >> drop) as i32;
                shift[l] = KeyLane::of(drop as i16);
            }
        }
    }
    if open != equal {
        let divided = I::I8::of_bits(isa, open & !equal);
        renew(isa, window, tile, divided, &least, &greatest, &shift);
    }
    if equal != 0 {
        take_lowest_rows(isa, tile, ones, equal, search);
    }
    search.divide(isa, BELOW, &top);
}

/// The least and the greatest key of the elements of each column whose levels are in a range.
#[inline(always)]
pub(super) fn extremes<I: Isa, T: Element>(
    isa: I,
    window: &Window<'_, T>,
    tile: &Tile<'_, I>,
    range: Range<I::I8>,
) -> ([Large<T>; GROUP], [Large<T>; GROUP]) {
    let none_less = Of::<I, Large<T>>::splat(isa, Lane::MAX);
    let none_greater = Of::<I, Large<T>>::splat(isa, Lane::MIN);
    let (mut least, mut greatest) = (none_less, none_greater);
    let mut copy = [T::default(); GROUP];
    for (i, &levels) in tile.levels(isa).iter().enumerate() {
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

/// New levels of some columns: from [`FIRST`] on the distance to the least key, shifted; one less for
/// lesser keys, and one more than that of the greatest for greater ones.
#[inline(always)]
fn renew<I: Isa, T: Element>(
    isa: I,
    window: &Window<'_, T>,
    tile: &mut Tile<'_, I>,
    divided: I::I8,
    least: &[Large<T>; GROUP],
    greatest: &[Large<T>; GROUP],
    shift: &[Large<T>; GROUP],
) {
    let (least, greatest) =
        (Of::<I, Large<T>>::load(isa, least), Of::<I, Large<T>>::load(isa, greatest));
    let shift = Of::<I, Large<T>>::load(isa, shift);
    let first = Of::<I, Large<T>>::splat(isa, KeyLane::of(FIRST.into()));
    let mut copy = [T::default(); GROUP];
    for (i, levels) in tile.levels_mut(isa).iter_mut().enumerate() {
        let key = <T as Keyed<Large<T>>>::keys(isa, window.row(i, GROUP, &mut copy));
        let level = key.max(least).min(greatest).sub(least).shr(shift).add(first);
        let level = level.count(key.gt(greatest)).add(least.gt(key));
        *levels = divided.select(isa.narrow_to_8(Large::<T>::to_32(isa, level)), *levels);
    }
}

/// Decides columns, a bit each, whose closed brackets hold equal elements.
#[inline(always)]
fn take_lowest_rows<I: Isa>(
    isa: I,
    tile: &mut Tile<'_, I>,
    ones: usize,
    equal: u32,
    search: &mut Search<I>,
) {
    /// Rows that are counted in lanes of 8 bits.
    const BLOCK: usize = i8::MAX as usize;
    let brackets = search.brackets();
    let (mut level, mut cut) = ([0; GROUP], [0; GROUP]);
    let (mut need, mut upwards) = ([0; GROUP], 0);
    for l in 0..GROUP {
        if equal >> l & 1 == 1 {
            level[l] = brackets.right[l] as i8;
            need[l] = ones - brackets.above_right[l] as usize;
            // There may be no level above.
            upwards |= u32::from(level[l] < TOP) << l;
            cut[l] = brackets.right[l] - i32::from(level[l] == TOP);
        }
    }
    let level = I::I8::load(isa, &level);
    let up = I::I8::of_bits(isa, upwards);
    let down = I::I8::of_bits(isa, equal & !upwards);
    let zero = I::I8::splat(isa, 0);
    for block in tile.levels_mut(isa).chunks_mut(BLOCK) {
        let before = need.map(|need| need.min(BLOCK) as i8);
        let mut left = I::I8::load(isa, &before);
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
