//! Unpacking and counting of packed codes on the CPU.

use super::blocks;
use super::simd::{Detected, Loops, Machine, PastCaches, Storing, compiled, storing};
use super::threads;
use crate::codes::{WORD_BITS, words_per_row};
use crate::{CodesRef, Element, MatMut};

pub(crate) fn unpack<T: Element>(isa: Detected, codes: CodesRef<'_>, mut out: MatMut<'_, T>) {
    let layout = out.layout();
    let (rows, cols, stride) = (layout.rows(), layout.cols(), layout.row_stride());
    if layout.is_empty() {
        return;
    }
    let past_caches = blocks::past_caches_pay(&mut out);
    let (band, width) = ((blocks::BAND / cols).max(1), words_per_row(cols));
    let out = &mut out.into_data()[..layout.span()];
    threads::for_each_band(out, band * stride, rows * cols, |n, out| {
        let words = codes.words()[n * band * width..].chunks(width);
        compiled(isa, Unpack { words, out, stride, cols, past_caches });
    });
}

/// Rows of words, and where their bits go as +1 and -1.
struct Unpack<'a, T, W> {
    words: W,
    /// Rows begin `stride` elements apart.
    out: &'a mut [T],
    stride: usize,
    cols: usize,
    past_caches: bool,
}

impl<'w, T: Element, W: Iterator<Item = &'w [u64]>> Loops for Unpack<'_, T, W> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self, machine: M) {
        storing(machine, self.past_caches, self);
    }
}

impl<'w, T: Element, W: Iterator<Item = &'w [u64]>> Storing for Unpack<'_, T, W> {
    #[inline(always)]
    fn run<M: Machine>(self, machine: M, store: Option<PastCaches<'_>>) {
        let Self { words, out, stride, cols, .. } = self;
        let mut buffer = [T::default(); WORD_BITS];
        for (out, words) in out.chunks_mut(stride).zip(words) {
            for (out, &word) in out[..cols].chunks_mut(WORD_BITS).zip(words) {
                let len = out.len();
                let place = if store.is_some() { &mut buffer[..len] } else { &mut out[..] };
                machine.signs(u64::from_le(word), place);
                if let Some(store) = store {
                    machine.copy_past_caches(store, &buffer[..len], out);
                }
            }
        }
    }
}

/// Rows with a 1, for each bit.
pub(crate) fn ones(codes: CodesRef<'_>, counts: &mut [u32]) {
    counts.fill(0);
    for_each_count(codes, |j, ones| counts[j] += ones);
}

/// Calls `add` with each bit and a number of rows with a 1, a few times for each: the sum is what counts.
pub(crate) fn for_each_count(codes: CodesRef<'_>, mut add: impl FnMut(usize, u32)) {
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
            let bits = WORD_BITS.min(codes.bits() - w * WORD_BITS);
            counts.end(|j, ones| {
                if j < bits {
                    add(w * WORD_BITS + j, ones);
                }
            });
        }
    }
}

/// Counts of each of 64 bits, as numbers that stand upright: bit `j` of `digits[d]` is digit `d` of bit
/// `j`'s count. Sixteen words are added with 15 adders of three bits (Harley and Seal's population
/// count, without its last step).
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

    /// Adds words, of which some may be 0 because there are no more.
    #[inline(always)]
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

    /// Calls `each` with each bit and its count.
    pub(super) fn end(mut self, mut each: impl FnMut(usize, u32)) {
        self.empty_bytes();
        for (j, total) in self.totals.into_iter().enumerate() {
            let digits = self.digits.iter().rev().fold(0, |n, d| n << 1 | (d >> j & 1) as u32);
            each(j, total + digits);
        }
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
