//! For each pair of bits, the number of codes in which both are 1. The codes are transposed first,
//! so that each bit becomes a row of words.

use super::simd::{Detected, Loops, counting};
use crate::CodesRef;
use crate::codes::{WORD_BITS, words_per_row};

/// Bits as rows of `codes.rows().div_ceil(64)` words.
pub(crate) fn transpose(codes: CodesRef<'_>, columns: &mut [u64]) {
    let (width, words) = (words_per_row(codes.bits()), codes.rows().div_ceil(WORD_BITS));
    for (i, rows) in codes.words().chunks(WORD_BITS * width).enumerate() {
        for w in 0..width {
            let mut square = [0; WORD_BITS];
            for (word, row) in square.iter_mut().zip(rows.chunks(width)) {
                *word = u64::from_le(row[w]);
            }
            transpose_square(&mut square);
            let columns = columns[w * WORD_BITS * words..].chunks_mut(words);
            for (column, word) in columns.zip(square) {
                column[i] = word;
            }
        }
    }
}

/// Bit `j` of word `i` becomes bit `i` of word `j`: squares of 32 bits off the diagonal change
/// places, then within each square those of 16, and so on.
fn transpose_square(words: &mut [u64; WORD_BITS]) {
    let mut mask = u64::MAX;
    for side in [32, 16, 8, 4, 2, 1] {
        // The lower half of each group of `2 * side` bits.
        mask ^= mask << side;
        exchange(words, side, mask);
    }
}

/// Not inlined: unrolled for each side it would be six times as long.
#[inline(never)]
fn exchange(words: &mut [u64; WORD_BITS], side: usize, mask: u64) {
    for group in words.chunks_exact_mut(2 * side) {
        let (upper, lower) = group.split_at_mut(side);
        for (upper, lower) in upper.iter_mut().zip(lower) {
            let both = (*upper >> side ^ *lower) & mask;
            *upper ^= both << side;
            *lower ^= both;
        }
    }
}

/// Counts the ones that a row shares with each of several other rows, stored contiguously.
pub(crate) fn common(isa: Detected, row: &[u64], others: &[u64], counts: &mut [u64]) {
    counting(isa, Common { row, others, counts });
}

struct Common<'a> {
    row: &'a [u64],
    others: &'a [u64],
    counts: &'a mut [u64],
}

impl Loops for Common<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let others = self.others.chunks_exact(self.row.len());
        for (count, other) in self.counts.iter_mut().zip(others) {
            let pairs = self.row.iter().zip(other);
            *count = pairs.map(|(left, right)| u64::from((left & right).count_ones())).sum();
        }
    }
}
