//! Step 2, for some rows of a part.

use super::bracket::Bracket;
use super::{BLOCK, GROUPS, PART, Part};
use crate::Element;
use crate::cpu::select::GROUP;
use crate::cpu::select::compare::Compared;
use crate::cpu::select::emit::Strip;
use crate::cpu::simd::{Isa, Job, Ordered, Rows, Store, Vector};
use std::ops::Range;

pub(super) struct Pass<'a, 'b, T: Element, S> {
    pub store: S,
    pub part: &'a mut Part<'b, T>,
    pub out: Strip<'a, T>,
    /// At most [`BLOCK`].
    pub rows: Range<usize>,
    /// The first of the rows that are asked for.
    pub next: usize,
}

impl<I: Isa, T: Element, S: Store> Job<I> for Pass<'_, '_, T, S> {
    type Output = ();

    #[inline(always)]
    fn run(self, isa: I) {
        let (source, rows) = (self.part.source, self.rows.clone());
        let (width, window) = (source.cols(), source.window(0, PART));
        match window.plain(width) {
            // The same for a number of columns that the compiler knows.
            Some(plain) if width == PART => self.block(isa, plain.range(rows), PART),
            Some(plain) if width % GROUP == 0 => self.block(isa, plain.range(rows), width),
            _ => {
                let mut copies = [[T::default(); PART]; BLOCK];
                for (r, copy) in copies[..rows.len()].iter_mut().enumerate() {
                    isa.prefetch(window.address(self.next + r));
                    let mut row = [T::default(); PART];
                    copy.copy_from_slice(window.row(rows.start + r, PART, &mut row));
                }
                let block = Rows::new(copies.as_flattened(), (rows.len(), PART), PART);
                Self { next: rows.start, ..self }.block(isa, block, width);
            }
        }
    }
}

impl<T: Element, S: Store> Pass<'_, '_, T, S> {
    /// The rows, as they lie or copied.
    #[inline(always)]
    fn block<I: Isa>(self, isa: I, block: Rows<'_, T>, width: usize) {
        let Self { store, part, mut out, rows, next } = self;
        let Part { bracket, counts, candidates, .. } = part;
        let mut inside = [[0; GROUPS]; BLOCK];
        // In elements: none where there is nothing more to ask for.
        let ahead = (next - rows.start) * block.stride();
        for first in (0..width).step_by(GROUP) {
            counts.compare(isa, (block, ahead), bracket, first, &mut inside);
        }
        let below = Below { block, middle: &bracket.middle };
        out.write::<I, i32>(isa, store, below, rows.start);
        let exist = u64::MAX >> (PART - width);
        let word = |bits: u64, group: u16| bits << GROUP | u64::from(group);
        let inside = inside.map(|groups| groups.into_iter().rev().fold(0, word) & exist);
        candidates.note(isa, block, bracket, rows.start, inside);
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
    fn compare<I: Isa, T: Element>(
        &mut self,
        isa: I,
        (block, ahead): (Rows<'_, T>, usize),
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
            let value = T::floats(isa, row);
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
struct Below<'a, T: Copy> {
    block: Rows<'a, T>,
    middle: &'a [f32; PART],
}

impl<I: Isa, T: Element> Compared<I> for Below<'_, T> {
    type Mask = I::I32;

    #[inline(always)]
    fn rows(&self) -> usize {
        self.block.len()
    }

    #[inline(always)]
    fn less(&mut self, isa: I, r: usize, g: usize) -> I::I32 {
        // Nothing is greater than NaN.
        let value = T::floats(isa, &self.block.row(r)[GROUP * g..]);
        I::F32::load(isa, &self.middle[GROUP * g..]).gt(value)
    }
}
