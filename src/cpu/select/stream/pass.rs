//! Step 2, for some rows of a part.

use super::bracket::Bracket;
use super::{BLOCK, PART, Part};
use crate::Element;
use crate::cpu::select::GROUP;
use crate::cpu::select::count::Pair;
use crate::cpu::select::emit::{Compared, Strip};
use crate::cpu::simd::{Floats, Isa, Job, Rows, Store, Vector};
use std::ops::Range;

pub(super) struct Pass<'a, 'b, T: Element, S> {
    pub store: S,
    pub part: &'a mut Part<'b, T>,
    pub out: Strip<'a, T>,
    /// At most [`BLOCK`].
    pub rows: Range<usize>,
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
                    isa.prefetch(window.address(rows.start + r + BLOCK));
                    let mut row = [T::default(); PART];
                    copy.copy_from_slice(window.row(rows.start + r, PART, &mut row));
                }
                let block = Rows::new(copies.as_flattened(), (rows.len(), PART), PART);
                self.block(isa, block, width);
            }
        }
    }
}

impl<T: Element, S: Store> Pass<'_, '_, T, S> {
    /// The rows, as they lie or copied.
    #[inline(always)]
    fn block<I: Isa>(self, isa: I, block: Rows<'_, T>, width: usize) {
        let Self { store, part, mut out, rows } = self;
        let Part { bracket, counts, candidates, .. } = part;
        let mut inside = [[0; PART / 8]; BLOCK];
        for first in (0..width).step_by(GROUP) {
            counts.compare(isa, block, bracket, first, &mut inside);
        }
        let below = Below { block, width, middle: &bracket.middle };
        out.write_less(isa, store, &below, rows.start);
        let exist = u64::MAX >> (PART - width);
        let inside = inside.map(|bits| u64::from_le_bytes(bits) & exist);
        candidates.note(isa, block, bracket, rows.start, inside);
    }
}

/// How many elements of each column lie where.
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
        block: Rows<'_, T>,
        bracket: &Bracket,
        first: usize,
        bits: &mut [[u8; PART / 8]; BLOCK],
    ) {
        let (low, high) = (pair(isa, &bracket.low, first), pair(isa, &bracket.high, first));
        let zero = I::I32::splat(isa, 0);
        let (mut below_high, mut inside) = ([zero; 2], [zero; 2]);
        for r in 0..block.len() {
            isa.prefetch(block.address(r + BLOCK).wrapping_add(first));
            let row = &block.row(r)[first..];
            for j in 0..2 {
                let value = T::floats(isa, &row[8 * j..]);
                // Nothing is greater than NaN.
                let below = high[j].gt(value);
                let within = below.and(value.gt(low[j]));
                below_high[j] = below_high[j].sub(below);
                inside[j] = inside[j].sub(within);
                bits[r][first / 8 + j] = within.bits() as u8;
            }
        }
        add(isa, &mut self.below_high, first, below_high);
        add(isa, &mut self.inside, first, inside);
    }
}

#[inline(always)]
fn pair<I: Isa>(isa: I, values: &[f32; PART], first: usize) -> Pair<I::F32> {
    [I::F32::load(isa, &values[first..]), I::F32::load(isa, &values[first + 8..])]
}

#[inline(always)]
fn add<I: Isa>(
    isa: I,
    sums: &mut [u32; PART],
    first: usize,
    counts: [impl Vector<Lane = i32, Isa = I>; 2],
) {
    for (sums, count) in sums[first..first + GROUP].chunks_mut(8).zip(counts) {
        let sums = bytemuck::cast_slice_mut(sums);
        count.add(Vector::load(isa, sums)).store(sums);
    }
}

/// Elements below the middle of the bracket.
struct Below<'a, T> {
    block: Rows<'a, T>,
    width: usize,
    middle: &'a [f32; PART],
}

impl<I: Isa, T: Element> Compared<I> for Below<'_, T> {
    #[inline(always)]
    fn shape(&self) -> (usize, usize) {
        (self.block.len(), self.width)
    }

    #[inline(always)]
    fn less(&self, isa: I, r: usize, g: usize) -> Pair<I::I32> {
        let row = self.block.row(r);
        let mut less = [I::I32::splat(isa, 0); 2];
        for j in 0..2 {
            let at = GROUP * g + 8 * j;
            // Nothing is greater than NaN.
            less[j] = I::F32::load(isa, &self.middle[at..]).gt(T::floats(isa, &row[at..]));
        }
        less
    }
}
