//! Unpacking and counting of packed codes on the CPU.

use super::threads::for_each_row;
use crate::codes::{WORD_BITS, words_per_row};
use crate::{CodesRef, Element, MatMut};

pub(crate) fn unpack<T: Element>(codes: CodesRef<'_>, out: MatMut<'_, T>) {
    for_each_row(out, |i, row| {
        for (b, bit) in row.iter_mut().zip(codes.row_bits(i)) {
            *b = T::plus_or_minus_one(bit);
        }
    });
}

/// Calls `f` with the number of every bit that is 1, row by row.
pub(crate) fn for_each_one(codes: CodesRef<'_>, mut f: impl FnMut(usize)) {
    for row in codes.words().chunks(words_per_row(codes.bits()).max(1)) {
        for (w, &word) in row.iter().enumerate() {
            let mut rest = u64::from_le(word);
            while rest != 0 {
                f(w * WORD_BITS + rest.trailing_zeros() as usize);
                rest &= rest - 1;
            }
        }
    }
}

/// Rows with a 1, for each bit.
pub(crate) fn ones(codes: CodesRef<'_>, counts: &mut [u32]) {
    counts.fill(0);
    for_each_one(codes, |j| counts[j] += 1);
}
