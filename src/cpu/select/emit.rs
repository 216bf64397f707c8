//! Writes the columns whose keys lie above a cut, in every form that was asked for.

use super::lanes;
use crate::cpu::simd::{Columns, Isa, Keyed, Lane, Of, Vector};
use crate::{CodesMut, Element, MatMut};

/// Where a column is cut: keys above `at` become +1, and of those that equal it the first `need`.
#[derive(Clone, Copy)]
pub(super) struct Cut<V, const W: usize> {
    pub at: [V; W],
    pub need: Option<[V; W]>,
}

/// Runs a body with each row's number and mask. No function of a closure: what it is handed might not
/// be inlined, and then its vectors would not be registers.
macro_rules! for_each_mask {
    ($isa:ident, $keys:ident, $cut:ident, |$i:ident, $mask:ident| $body:block) => {
        let mut $mask = $cut.at;
        match $cut.need {
            None => {
                for ($i, key) in $keys.chunks_exact(W).enumerate() {
                    for w in 0..W {
                        $mask[w] = key[w].gt($cut.at[w]);
                    }
                    $body
                }
            }
            Some(mut need) => {
                let zero = Of::<I, K>::splat($isa, K::default());
                for ($i, key) in $keys.chunks_exact(W).enumerate() {
                    for w in 0..W {
                        let taken = key[w].eq($cut.at[w]).and(need[w].gt(zero));
                        need[w] = need[w].add(taken);
                        $mask[w] = key[w].gt($cut.at[w]).or(taken);
                    }
                    $body
                }
            }
        }
    };
}

/// The outputs of a range of columns.
pub(in crate::cpu) struct Strip<'a, T: Element> {
    dense: Option<Columns<'a, T>>,
    dense_i8: Option<Columns<'a, i8>>,
    /// Columns are bytes.
    codes: Option<Columns<'a, u8>>,
    threshold: Option<&'a mut [T]>,
}

impl<'a, T: Element> Strip<'a, T> {
    /// All columns. Counts are no business of a strip.
    pub(in crate::cpu) fn new(
        dense: Option<MatMut<'a, T>>,
        dense_i8: Option<MatMut<'a, i8>>,
        codes: Option<CodesMut<'a>>,
        threshold: Option<&'a mut [T]>,
    ) -> Self {
        Self {
            dense: dense.map(Columns::new),
            dense_i8: dense_i8.map(Columns::new),
            codes: codes.map(bytes),
            threshold,
        }
    }

    /// The columns before `at`, a multiple of 8, and the others.
    pub(super) fn split_at(self, at: usize) -> (Self, Self) {
        let (dense, dense_right) = split(self.dense, at);
        let (dense_i8, dense_i8_right) = split(self.dense_i8, at);
        let (codes, codes_right) = split(self.codes, at / 8);
        let (threshold, threshold_right) = self.threshold.map(|t| t.split_at_mut(at)).unzip();
        let right = Self {
            dense: dense_right,
            dense_i8: dense_i8_right,
            codes: codes_right,
            threshold: threshold_right,
        };
        (Self { dense, dense_i8, codes, threshold }, right)
    }

    #[inline(always)]
    pub(super) fn wants_threshold(&self) -> bool {
        self.threshold.is_some()
    }

    /// Writes the thresholds of the columns from `first` on.
    #[inline(always)]
    pub(super) fn write_threshold<K: Lane>(&mut self, first: usize, keys: &[K])
    where
        T: Keyed<K>,
    {
        if let Some(threshold) = &mut self.threshold {
            for (value, &key) in threshold[first..].iter_mut().zip(keys) {
                *value = <T as Keyed<K>>::of_key(key);
            }
        }
    }

    /// Writes `width` columns from `first` on, known by their keys: `W` vectors a row.
    #[inline(always)]
    pub(super) fn write<I: Isa, K: Lane, const W: usize>(
        &mut self,
        isa: I,
        keys: &[Of<I, K>],
        cut: &Cut<Of<I, K>, W>,
        (first, width): (usize, usize),
    ) where
        T: Keyed<K>,
    {
        let full = width == W * lanes::<K>();
        if let Some(dense) = &mut self.dense {
            if full {
                for_each_mask!(isa, keys, cut, |i, mask| {
                    let row = &mut dense.row(i)[first..first + W * lanes::<K>()];
                    for w in 0..W {
                        let part = &mut row[w * lanes::<K>()..(w + 1) * lanes::<K>()];
                        <T as Keyed<K>>::write_signs::<I>(isa, mask[w], part);
                    }
                });
            } else {
                for_each_mask!(isa, keys, cut, |i, mask| {
                    let bits = all_bits::<I, K, W>(mask);
                    for (l, b) in dense.row(i)[first..first + width].iter_mut().enumerate() {
                        *b = T::plus_or_minus_one(bits >> l & 1 == 1);
                    }
                });
            }
        }
        if let Some(dense) = &mut self.dense_i8 {
            for_each_mask!(isa, keys, cut, |i, mask| {
                let bits = all_bits::<I, K, W>(mask);
                for (b, part) in dense.row(i)[first..first + width].chunks_mut(8).enumerate() {
                    part.copy_from_slice(&signs_of_bits((bits >> (8 * b)) as u8)[..part.len()]);
                }
            });
        }
        if let Some(codes) = &mut self.codes {
            let exist = if width < 32 { (1 << width) - 1 } else { u32::MAX };
            let (from, bytes) = (first / 8, width.div_ceil(8));
            for_each_mask!(isa, keys, cut, |i, mask| {
                let bits = all_bits::<I, K, W>(mask) & exist;
                let row = codes.row(i);
                if first % 8 == 0 {
                    // Two bytes at most; a copy of a length that is not constant would be a call.
                    row[from] = bits as u8;
                    if bytes == 2 {
                        row[from + 1] = (bits >> 8) as u8;
                    }
                } else {
                    // The second half of a byte, of a vector of four.
                    row[from] |= (bits as u8) << (first % 8);
                }
            });
        }
    }

    /// Clears the bytes behind the last column.
    pub(super) fn write_pads(&mut self, rows: usize, cols: usize) {
        if let Some(codes) = &mut self.codes {
            let from = cols.div_ceil(8);
            if from < codes.cols() {
                for i in 0..rows {
                    codes.row(i)[from..].fill(0);
                }
            }
        }
    }
}

fn split<T>(
    columns: Option<Columns<'_, T>>,
    at: usize,
) -> (Option<Columns<'_, T>>, Option<Columns<'_, T>>) {
    columns.map(|columns| columns.split_at(at)).unzip()
}

fn bytes(codes: CodesMut<'_>) -> Columns<'_, u8> {
    let rows = codes.rows();
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(codes.into_words());
    let row = bytes.len().checked_div(rows).unwrap_or(0);
    Columns::new(MatMut::new(bytes, rows, row).expect("rows of whole words"))
}

/// Eight bits as +1 and -1.
#[inline(always)]
fn signs_of_bits(bits: u8) -> [i8; 8] {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let own = (u64::from(bits) * EACH) & 0x8040_2010_0804_0201;
    let ones = ((own + 0x7f * EACH) >> 7) & EACH;
    bytemuck::cast((!(ones * 0xfe)).to_le_bytes())
}

/// Bits of `W` masks, a bit a column.
#[inline(always)]
fn all_bits<I: Isa, K: Lane, const W: usize>(mask: [Of<I, K>; W]) -> u32 {
    let mut bits = 0;
    for w in 0..W {
        bits |= mask[w].bits() << (w * lanes::<K>());
    }
    bits
}
