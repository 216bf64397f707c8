//! Step 2, for some rows of a part.

use super::bracket::Bracket;
use super::candidates::Candidates;
use super::{BLOCK, GROUPS, PART, Part};
use crate::Element;
use crate::cpu::select::GROUP;
use crate::cpu::select::compare::Compared;
use crate::cpu::select::emit::Strip;
use crate::cpu::select::source::Source;
use crate::cpu::simd::{Isa, Job, Ordered, Rows, Stores, Vector};
use std::ops::Range;

pub(super) struct Pass<'a, 'b, T: Element> {
    pub store: Stores<'a>,
    pub source: &'a Source<'a, T>,
    /// Of the part's columns.
    pub first: usize,
    pub part: &'a mut Part<'b>,
    pub out: Strip<'a, T>,
    /// At most [`BLOCK`].
    pub rows: Range<usize>,
    /// The first of the rows that are asked for.
    pub next: usize,
}

impl<I: Isa, T: Element> Job<I> for Pass<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self, isa: I) {
        let Self { store, source, first, part, mut out, rows, next } = self;
        let (width, window) = (part.cols, source.window(first, PART));
        let (start, lanes) = (rows.start, width.next_multiple_of(GROUP));
        let plain = window.plain(lanes);
        let mut copies;
        let floats = plain.and_then(T::as_floats);
        let block = match floats {
            Some(floats) => floats.range(rows),
            None => {
                copies = [[0.0; PART]; BLOCK];
                let mut copy = [T::default(); PART];
                for (r, floats) in copies[..rows.len()].iter_mut().enumerate() {
                    isa.prefetch(window.address(next + r));
                    let row = window.row(start + r, lanes, &mut copy);
                    for first in (0..lanes).step_by(GROUP) {
                        T::floats(isa, &row[first..]).store(&mut floats[first..]);
                    }
                }
                Rows::new(copies.as_flattened(), (rows.len(), PART), PART)
            }
        };
        // In elements: none where there is nothing more to ask for.
        let ahead = if floats.is_none() { 0 } else { (next - start) * block.stride() };
        let Part { bracket, counts, candidates, .. } = part;
        let inside = isa.run(Compare { block, ahead, bracket, counts, width });
        let below = Below { block, middle: &bracket.middle };
        // The same for a number of columns that the compiler knows.
        if width == PART {
            out.write_whole::<I, i32, PART>(isa, store, below, start);
        } else {
            out.write::<I, i32>(isa, store, below, start);
        }
        if T::EXACT {
            isa.run(Note { block, bracket, candidates, start, inside });
        } else {
            let value = |r: usize, c: usize| window.get(start + r, c).to_f64();
            candidates.note(isa, value, bracket, start, inside);
        }
    }
}

/// Counts the elements of a block. A bit for each one inside the bracket.
struct Compare<'a> {
    block: Rows<'a, f32>,
    ahead: usize,
    bracket: &'a Bracket,
    counts: &'a mut Counts,
    /// Columns that exist.
    width: usize,
}

impl<I: Isa> Job<I> for Compare<'_> {
    type Output = [u64; BLOCK];

    #[inline(always)]
    fn run(self, isa: I) -> [u64; BLOCK] {
        let Self { block, ahead, bracket, counts, width } = self;
        let mut inside = [[0; GROUPS]; BLOCK];
        for first in (0..width).step_by(GROUP) {
            counts.compare(isa, (block, ahead), bracket, first, &mut inside);
        }
        let exist = u64::MAX >> (PART - width);
        let word = |bits: u64, group: u16| bits << GROUP | u64::from(group);
        inside.map(|groups| groups.into_iter().rev().fold(0, word) & exist)
    }
}

/// Notes the elements inside the bracket, of types whose values are those of `f32`.
struct Note<'a, 'b> {
    block: Rows<'a, f32>,
    bracket: &'a Bracket,
    candidates: &'a mut Candidates<'b>,
    /// The first row.
    start: usize,
    inside: [u64; BLOCK],
}

impl<I: Isa> Job<I> for Note<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run(self, isa: I) {
        let Self { block, bracket, candidates, start, inside } = self;
        let value = |r: usize, c: usize| f64::from(block.row(r)[c]);
        candidates.note(isa, value, bracket, start, inside);
    }
}

/// How many elements of each column lie where.
#[derive(Clone, Copy)]
pub(super) struct Counts {
    /// Less than the upper end of the bracket.
    pub below_high: [u32; PART],
    pub inside: [u32; PART],
}

impl Counts {
    pub(super) fn new() -> Self {
        Self { below_high: [0; PART], inside: [0; PART] }
    }

    /// Adds those of a block, of the group of columns from `first` on. Each element inside gets a bit.
    #[inline(always)]
    fn compare<I: Isa>(
        &mut self,
        isa: I,
        (block, ahead): (Rows<'_, f32>, usize),
        bracket: &Bracket,
        first: usize,
        bits: &mut [[u16; GROUPS]; BLOCK],
    ) {
        let low = I::F32::load(isa, &bracket.low[first..]);
        let high = I::F32::load(isa, &bracket.high[first..]);
        let (mut below_high, mut inside) = (I::I32::splat(isa, 0), I::I32::splat(isa, 0));
        for (row, bits) in block.iter().zip(bits) {
            let row = &row[first..];
            isa.prefetch(row.as_ptr().wrapping_add(ahead));
            let value = I::F32::load(isa, row);
            // Nothing is greater than NaN.
            let below = high.gt(value);
            let within = below.and(value.gt(low));
            below_high = below_high.count(below);
            inside = inside.count(within);
            bits[first / GROUP] = within.bits() as u16;
        }
        add(isa, &mut self.below_high[first..], below_high);
        add(isa, &mut self.inside[first..], inside);
    }
}

#[inline(always)]
fn add<I: Isa>(isa: I, sums: &mut [u32], counts: I::I32) {
    let sums = bytemuck::cast_slice_mut(sums);
    counts.add(Ordered::load(isa, sums)).store(sums);
}

/// Elements below the middle of the bracket.
#[derive(Clone, Copy)]
struct Below<'a> {
    block: Rows<'a, f32>,
    middle: &'a [f32; PART],
}

impl<I: Isa> Compared<I> for Below<'_> {
    type Mask = I::I32;

    #[inline(always)]
    fn rows(&self) -> usize {
        self.block.len()
    }

    #[inline(always)]
    fn less(&mut self, isa: I, r: usize, g: usize) -> I::I32 {
        // Nothing is greater than NaN.
        let value = I::F32::load(isa, &self.block.row(r)[GROUP * g..]);
        I::F32::load(isa, &self.middle[GROUP * g..]).gt(value)
    }
}
