//! Closed brackets of many elements, not all equal: they get new levels.
//!
//! New levels are parts of the keys that occur, at most 2^[`DIGIT`], so that the keys of 32 bits end
//! after five times.

use super::bracket::Range;
use super::count::Tile;
use super::search::Search;
use super::source::{Visit, Window};
use super::{GROUP, Large};
use crate::Element;
use crate::cpu::simd::{Isa, KeyLane, Keyed, Lane, Of, Ordered, Vector};

/// Bits of a key that make new levels; they leave room for levels beyond.
const DIGIT: u32 = 7;

/// The least of new levels.
const FIRST: i8 = -64;

/// Gives the elements in the brackets of all columns that are not decided new levels.
#[inline(always)]
pub(super) fn divide<I: Isa, T: Element>(
    isa: I,
    window: &Window<'_, T>,
    tile: &mut Tile<'_, I>,
    search: &mut Search<I>,
) {
    const BELOW: i32 = FIRST as i32 - 1;
    let open = search.open();
    let range = Range::of_brackets(isa, &search.brackets(), open);
    let (least, greatest) = extremes(isa, window, tile, range);
    let mut top = [BELOW; GROUP];
    let mut shift = [Large::<T>::default(); GROUP];
    for l in 0..GROUP {
        if open >> l & 1 == 1 {
            let steps = least[l].steps(greatest[l]);
            let drop = (u64::BITS - steps.leading_zeros()).saturating_sub(DIGIT);
            top[l] = i32::from(FIRST) + (steps >> drop) as i32;
            shift[l] = KeyLane::of(drop as i16);
        }
    }
    let mut renew = Renew::<_, Large<T>> {
        levels: tile.levels_mut(isa),
        divided: Vector::of_bits(isa, open),
        least: Ordered::load(isa, &least),
        greatest: Ordered::load(isa, &greatest),
        shift: Ordered::load(isa, &shift),
    };
    window.visit(isa, &mut renew);
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
    let mut extremes = Extremes::<_, Large<T>> {
        levels: tile.levels(isa),
        range,
        least: Ordered::splat(isa, Lane::MAX),
        greatest: Ordered::splat(isa, Lane::MIN),
    };
    window.visit(isa, &mut extremes);
    let (mut least, mut greatest) =
        ([Large::<T>::default(); GROUP], [Large::<T>::default(); GROUP]);
    extremes.least.store(&mut least);
    extremes.greatest.store(&mut greatest);
    (least, greatest)
}

struct Extremes<'a, I: Isa, K: KeyLane> {
    levels: &'a [I::I8],
    range: Range<I::I8>,
    least: Of<I, K>,
    greatest: Of<I, K>,
}

impl<I: Isa, K: KeyLane, T: Keyed<K>> Visit<I, T> for Extremes<'_, I, K> {
    #[inline(always)]
    fn row(&mut self, isa: I, i: usize, row: &[T]) {
        let mask = K::widen(isa, self.range.mask(self.levels[i]));
        let key = T::keys(isa, row);
        self.least = self.least.min(mask.select(key, Ordered::splat(isa, Lane::MAX)));
        self.greatest = self.greatest.max(mask.select(key, Ordered::splat(isa, Lane::MIN)));
    }
}

/// Gives some columns new levels: from [`FIRST`] on the distance to the least key, shifted; one less for
/// lesser keys, and one more than that of the greatest for greater ones.
struct Renew<'a, I: Isa, K: KeyLane> {
    levels: &'a mut [I::I8],
    /// Mask of the columns.
    divided: I::I8,
    least: Of<I, K>,
    greatest: Of<I, K>,
    shift: Of<I, K>,
}

impl<I: Isa, K: KeyLane, T: Keyed<K>> Visit<I, T> for Renew<'_, I, K> {
    #[inline(always)]
    fn row(&mut self, isa: I, i: usize, row: &[T]) {
        let Self { levels, divided, least, greatest, shift } = self;
        let key = T::keys(isa, row);
        let level = key.max(*least).min(*greatest).sub(*least).shr(*shift);
        let level = level.add(Ordered::splat(isa, K::of(FIRST.into())));
        let level = level.count(key.gt(*greatest)).add(least.gt(key));
        levels[i] = divided.select(isa.narrow_to_8(K::to_32(isa, level)), levels[i]);
    }
}
