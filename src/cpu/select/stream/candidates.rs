//! The elements inside the brackets of a part, in the order in which rows were read.

use super::bracket::Bracket;
use super::{BLOCK, PART};
use crate::cpu::simd::Isa;
use std::ops::Range;

/// Bits of a place: the row, the column and whether it was written as a one.
const ROW_BITS: u32 = u32::BITS - COLUMN_BITS - 1;
const COLUMN_BITS: u32 = PART.trailing_zeros();

/// Rows that a place can tell apart.
pub(super) const MOST_ROWS: usize = 1 << ROW_BITS;

/// Candidates from the next one to those whose cache lines are asked for, which are those of a few
/// blocks; and how many values a line holds.
const AHEAD: Range<usize> = 128..160;
const LINE: usize = 8;

/// Positions of a row's candidates that are written without a branch.
const AT_LEAST: usize = 4;

/// Values, of whatever type as `f64`, so that one code does for all of them, and places.
pub(super) struct Candidates<'a> {
    values: &'a mut [f64],
    places: &'a mut [u32],
    len: usize,
    /// Of the block's candidates: rows and columns.
    positions: [u16; BLOCK * PART + AT_LEAST],
}

impl<'a> Candidates<'a> {
    /// Bytes of one.
    pub(super) const BYTES: usize = size_of::<f64>() + size_of::<u32>();

    /// None yet. Takes room for `room` from the scratch memory.
    pub(super) fn new(scratch: &'a mut [u64], room: usize) -> (Self, &'a mut [u64]) {
        let (values, rest) = scratch.split_at_mut(room * size_of::<f64>() / 8);
        let (places, rest) = rest.split_at_mut(room * size_of::<u32>() / 8);
        let (values, places) = (bytemuck::cast_slice_mut(values), bytemuck::cast_slice_mut(places));
        (Self { values, places, len: 0, positions: [0; BLOCK * PART + AT_LEAST] }, rest)
    }

    /// Whether there are more than there is room for.
    pub(super) fn overflowed(&self) -> bool {
        self.len > self.values.len()
    }

    /// Notes the elements of a block, whose rows are those from `start` on, that have a bit in `inside`.
    /// `value(r, c)` returns the element in row `r` of the block and column `c`.
    #[inline(always)]
    pub(super) fn note<I: Isa>(
        &mut self,
        isa: I,
        value: impl Fn(usize, usize) -> f64,
        bracket: &Bracket,
        start: usize,
        inside: [u64; BLOCK],
    ) {
        let positions = &mut self.positions;
        let mut len = 0;
        for (first, mut word) in (0..).step_by(PART).zip(inside) {
            let mut at = len;
            len += word.count_ones() as usize;
            // A few more than there are do no harm, and need no branch for each.
            while {
                for position in &mut positions[at..][..AT_LEAST] {
                    *position = first + word.trailing_zeros() as u16;
                    word &= word.wrapping_sub(1);
                }
                at += AT_LEAST;
                word != 0
            } {}
        }
        let values = self.values.get_mut(self.len..).unwrap_or_default();
        let places = self.places.get_mut(self.len..).unwrap_or_default();
        for ahead in AHEAD.step_by(LINE) {
            isa.prefetch(values.as_ptr().wrapping_add(ahead));
            isa.prefetch(places.as_ptr().wrapping_add(ahead));
        }
        let first = (start << COLUMN_BITS) as u32;
        for ((kept, place), &position) in values.iter_mut().zip(places).zip(&positions[..len]) {
            let (row, column) = (usize::from(position) / PART, usize::from(position) % PART);
            let value = value(row, column);
            let less = bracket.middle[column] > value as f32;
            *kept = value;
            *place = (first + u32::from(position)) << 1 | u32::from(!less);
        }
        self.len += len;
    }

    /// Those that there was room for.
    pub(super) fn iter(&self) -> impl Iterator<Item = (f64, u32)> {
        let len = self.len.min(self.values.len());
        self.values[..len].iter().copied().zip(self.places[..len].iter().copied())
    }
}

/// The row of a place, counted in the matrix.
#[inline(always)]
pub(super) fn row(place: u32) -> usize {
    (place >> (COLUMN_BITS + 1)) as usize
}

/// The column of a place, counted in the part.
#[inline(always)]
pub(super) fn column(place: u32) -> usize {
    (place >> 1) as usize % PART
}

/// The place with another sign.
#[inline(always)]
pub(super) fn with_sign(place: u32, one: bool) -> u32 {
    place & !1 | u32::from(one)
}

/// Whether it was written as a one.
#[inline(always)]
pub(super) fn is_one(place: u32) -> bool {
    place & 1 == 1
}
