//! Unpacking and counting of packed codes on the CPU.

use super::blocks;
use super::simd::{Detected, Unpack, compiled, past_caches};
use super::threads;
use crate::codes::{WORD_BITS, words_per_row};
use crate::{CodesRef, Element, MatMut};
use bytemuck::{cast_slice, cast_slice_mut};

pub(crate) fn unpack<T: Element>(isa: Detected, codes: CodesRef<'_>, mut out: MatMut<'_, T>) {
    let layout = out.layout();
    let (rows, cols, stride) = (layout.rows(), layout.cols(), layout.row_stride());
    if layout.is_empty() {
        return;
    }
    let past = blocks::past_caches_pay(&mut out);
    let (band, width) = ((blocks::BAND / cols).max(1), words_per_row(cols));
    let without_gaps = cols.is_multiple_of(WORD_BITS) && stride == cols;
    let out = &mut out.into_data()[..layout.span()];
    threads::for_each_band(out, band * stride, rows * cols, |n, out| {
        let words = &codes.words()[n * band * width..];
        // One long row, or each row by itself.
        let (cols, width, stride) =
            if without_gaps { (out.len(), words.len(), out.len()) } else { (cols, width, stride) };
        for (out, words) in out.chunks_mut(stride).zip(words.chunks(width)) {
            unpack_row(isa, words, &mut out[..cols], past);
        }
    });
}

fn unpack_row<T: Element>(isa: Detected, words: &[u64], out: &mut [T], past: bool) {
    /// Words whose elements are written past the caches at a time.
    const WORDS: usize = 16;
    let one: T::Small = bytemuck::cast(T::plus_or_minus_one(true));
    if !past {
        return compiled(isa, Unpack { words, to: cast_slice_mut(out), one });
    }
    past_caches(|store| {
        let mut buffer = [T::Small::default(); WORDS * WORD_BITS];
        for (out, words) in out.chunks_mut(WORDS * WORD_BITS).zip(words.chunks(WORDS)) {
            let buffer = &mut buffer[..out.len()];
            compiled(isa, Unpack { words, to: &mut *buffer, one });
            store.copy(isa, cast_slice(buffer), cast_slice_mut(out));
        }
    });
}

/// Eight bits as +1 and -1.
#[inline(always)]
pub(super) fn signs_of_bits(bits: u8) -> [i8; 8] {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let own = (u64::from(bits) * EACH) & 0x8040_2010_0804_0201;
    let ones = ((own + 0x7f * EACH) >> 7) & EACH;
    bytemuck::cast((!(ones * 0xfe)).to_le_bytes())
}

/// Rows with a 1, for each bit.
pub(crate) fn ones(codes: CodesRef<'_>, counts: &mut [u32]) {
    counts.fill(0);
    for_each_count(codes, &mut |j, ones| counts[j] += ones);
}

/// Calls `add` with each bit and a number of rows with a 1, a few times for each: the sum is what
/// counts.
pub(crate) fn for_each_count(codes: CodesRef<'_>, add: &mut dyn FnMut(usize, u32)) {
    /// Words that stay in the nearest cache while each column of them is counted.
    const NEAR: usize = 1 << 12;
    let width = words_per_row(codes.bits()).max(1);
    let rows = (NEAR / width).next_multiple_of(Counts::ROWS);
    // A count fits.
    let rows = if width == 1 { 1 << 31 } else { rows };
    for part in codes.words().chunks(rows.saturating_mul(width)) {
        for w in 0..width {
            let mut counts = Counts::new();
            for block in part.chunks(Counts::ROWS * width) {
                let mut words = [0; Counts::ROWS];
                for (word, row) in words.iter_mut().zip(block.chunks(width)) {
                    *word = u64::from_le(row[w]);
                }
                counts.add(words);
            }
            let bits = w * WORD_BITS..codes.bits();
            bits.zip(counts.end()).for_each(|(j, ones)| add(j, ones));
        }
    }
}

/// Counts of each of 64 bits, as numbers that stand upright: bit `j` of `digits[d]` is digit `d` of
/// bit `j`'s count. Sixteen words are added with 15 adders of three bits (Harley and Seal's
/// population count, without its last step).
pub(super) struct Counts {
    digits: [u64; 4],
    /// Sixteens: byte `j / 8` of word `j % 8` is of bit `j`.
    bytes: [u64; 8],
    /// How often they have been added to.
    added: u32,
    totals: [u32; WORD_BITS],
}

impl Counts {
    /// Words that are added together.
    pub(super) const ROWS: usize = 16;

    pub(super) const fn new() -> Self {
        Self { digits: [0; 4], bytes: [0; 8], added: 0, totals: [0; WORD_BITS] }
    }

    /// Adds 16 words; zeros stand in for those that are missing.
    #[inline(never)]
    pub(super) fn add(&mut self, words: [u64; Self::ROWS]) {
        let [ones, twos, fours, eights] = &mut self.digits;
        let twos_carried: [u64; 8] = carries(ones, &words);
        let fours_carried: [u64; 4] = carries(twos, &twos_carried);
        let eights_carried: [u64; 2] = carries(fours, &fours_carried);
        let [sixteens] = carries(eights, &eights_carried);
        for (n, bytes) in self.bytes.iter_mut().enumerate() {
            *bytes += sixteens >> n & 0x0101_0101_0101_0101;
        }
        self.added += 1;
        if self.added == u32::from(u8::MAX) {
            self.empty_bytes();
        }
    }

    #[inline(never)]
    fn empty_bytes(&mut self) {
        for (n, bytes) in self.bytes.iter_mut().enumerate() {
            for (i, byte) in bytes.to_le_bytes().into_iter().enumerate() {
                self.totals[8 * i + n] += 16 * u32::from(byte);
            }
            *bytes = 0;
        }
        self.added = 0;
    }

    /// The count of each bit.
    pub(super) fn end(&mut self) -> [u32; WORD_BITS] {
        self.empty_bytes();
        let mut counts = self.totals;
        for (j, count) in counts.iter_mut().enumerate() {
            *count += self.digits.iter().rev().fold(0, |n, d| n << 1 | (d >> j & 1) as u32);
        }
        counts
    }
}

/// Adds pairs of words to a digit, and returns what each of them carries.
#[inline(always)]
fn carries<const PAIRS: usize>(digit: &mut u64, words: &[u64]) -> [u64; PAIRS] {
    let mut carried = [0; PAIRS];
    for (carried, pair) in carried.iter_mut().zip(words.chunks_exact(2)) {
        let either = *digit ^ pair[0];
        *carried = *digit & pair[0] | either & pair[1];
        *digit = either ^ pair[1];
    }
    carried
}
