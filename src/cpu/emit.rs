//! Writes a +1/-1 matrix, known by a predicate, in every form that the caller asked for.

use super::threads::{for_each_chunk, for_each_row};
use crate::codes::{WORD_BITS, words_per_row};
use crate::{CodesMut, Element, Outputs};

/// `is_one(i, j)` tells whether the element of row `i` and column `j` is +1; it is asked once
/// for each requested form. `rows` is the number of rows of the matrix.
pub(crate) fn write<T: Element>(
    rows: usize,
    out: Outputs<'_, T>,
    is_one: impl Fn(usize, usize) -> bool + Send + Sync,
) {
    let Outputs { dense, dense_i8, codes, counts } = out;
    if let Some(dense) = dense {
        for_each_row(dense, |i, row| {
            for (j, b) in row.iter_mut().enumerate() {
                *b = T::plus_or_minus_one(is_one(i, j));
            }
        });
    }
    if let Some(dense) = dense_i8 {
        for_each_row(dense, |i, row| {
            for (j, b) in row.iter_mut().enumerate() {
                *b = if is_one(i, j) { 1 } else { -1 };
            }
        });
    }
    if let Some(codes) = codes {
        pack(codes, &is_one);
    }
    if let Some(counts) = counts {
        let work = rows * counts.len();
        for_each_chunk(counts, 1, work, |j, count| {
            count[0] = (0..rows).map(|i| u32::from(is_one(i, j))).sum();
        });
    }
}

/// Bit `j` of row `i` becomes `is_one(i, j)`; pad bits become 0.
pub(crate) fn pack(codes: CodesMut<'_>, is_one: impl Fn(usize, usize) -> bool + Send + Sync) {
    let (rows, bits) = codes.shape();
    let words = codes.into_words();
    for_each_chunk(words, words_per_row(bits), rows * bits, |i, row| {
        for (first, word) in (0..bits).step_by(WORD_BITS).zip(row) {
            let of_word = first..bits.min(first + WORD_BITS);
            *word = of_word.fold(0, |w, j| w | u64::from(is_one(i, j)) << (j - first)).to_le();
        }
    });
}
