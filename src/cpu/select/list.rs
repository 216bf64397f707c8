//! Brackets of few elements: they are listed and sorted.

use super::GROUP;
use super::bracket::Range;
use super::count::{LEAST, TOP, Tile};
use super::search::Search;
use super::source::Window;
use crate::Element;
use crate::cpu::simd::{Isa, Ordered, Vector};
use crate::element::Key;

/// The most elements of a column that are listed rather than counted.
pub(super) const LIST: usize = 64;

/// Rows of elements, [`LIST`] for each column.
pub(super) type Lists = [u32; GROUP * LIST];

/// Decides columns that have at most [`LIST`] elements in their brackets: the tile is changed such that
/// exactly `ones` levels are above the cut.
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
    let brackets = search.brackets();
    let mut lens = [0; GROUP];
    inside(isa, Range::of_brackets(isa, &brackets, open), tile, lists, &mut lens);
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
    let range = range.repeat(isa);
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
