//! Writes the columns whose keys lie above a cut, in every form that was asked for.

use super::count::Pair;
use super::{GROUP, lanes};
use crate::cpu::simd::{Cached, Columns, Floats, Isa, Keyed, Lane, Of, Signed, Store, Vector};
use crate::{CodesMut, Element, MatMut};

/// Where columns are cut: keys above `at` become +1, and of those that equal it the first `need`.
#[derive(Clone, Copy)]
pub(super) struct Cut<V> {
    pub at: V,
    pub need: Option<V>,
}

/// Rows that are checked together to lie in the output.
const ROWS: usize = 4;

/// Runs a body with each row of an output, from `start` on, and its mask. No function of a closure: what
/// it is handed might not be inlined, and then its vectors would not be registers.
macro_rules! for_each_row {
    ($isa:ident, ($keys:ident, $cut:ident), ($out:ident, $start:ident), |$row:ident, $mask:ident| $body:block) => {{
        let mut i = $start;
        match $cut.need {
            None => {
                let mut blocks = $keys.chunks_exact(ROWS);
                for keys in blocks.by_ref() {
                    for (key, $row) in keys.iter().zip($out.rows::<ROWS>(i)) {
                        let $mask = key.gt($cut.at);
                        $body
                    }
                    i += ROWS;
                }
                for key in blocks.remainder() {
                    let ($row, $mask) = ($out.row(i), key.gt($cut.at));
                    $body
                    i += 1;
                }
            }
            Some(mut need) => {
                let zero = Of::<I, K>::splat($isa, K::default());
                for key in $keys {
                    let taken = key.eq($cut.at).and(need.gt(zero));
                    need = need.add(taken);
                    let ($row, $mask) = ($out.row(i), key.gt($cut.at).or(taken));
                    $body
                    i += 1;
                }
            }
        }
    }};
}

/// Rows compared with a value for each column. No closure: it might not be inlined.
pub(super) trait Compared<I: Isa> {
    /// Rows and columns, of which there are up to 64.
    fn shape(&self) -> (usize, usize);
    /// Masks of the elements that are less, of row `r` and the columns of group `g`.
    fn less(&self, isa: I, r: usize, g: usize) -> Pair<I::I32>;
}

/// The outputs of a range of columns.
pub struct Strip<'a, T: Element> {
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

    /// `width` columns from `first`, a multiple of 8, on.
    #[inline(always)]
    pub(super) fn part(&mut self, first: usize, width: usize) -> Strip<'_, T> {
        Strip {
            dense: self.dense.as_mut().map(|dense| dense.part(first, width)),
            dense_i8: self.dense_i8.as_mut().map(|dense| dense.part(first, width)),
            codes: self.codes.as_mut().map(|codes| codes.part(first / 8, width.div_ceil(8))),
            threshold: self.threshold.as_mut().map(|t| &mut t[first..first + width]),
        }
    }

    /// Writes rows from `start` on of up to 64 columns, those that are less as -1.
    #[inline(always)]
    pub(super) fn write_less<I: Isa>(
        &mut self,
        isa: I,
        store: impl Store,
        rows: &impl Compared<I>,
        start: usize,
    ) {
        let (count, cols) = rows.shape();
        let (whole, rest) = (cols / GROUP, cols % GROUP);
        if let Some(dense) = &mut self.dense {
            for r in 0..count {
                let mut groups = dense.row(start + r).chunks_exact_mut(GROUP);
                for (g, group) in groups.by_ref().enumerate() {
                    T::write_less(isa, store, rows.less(isa, r, g), group);
                }
                if rest > 0 {
                    let mut row = [T::default(); GROUP];
                    T::write_less(isa, Cached, rows.less(isa, r, whole), &mut row);
                    groups.into_remainder().copy_from_slice(&row[..rest]);
                }
            }
        }
        if let Some(dense) = &mut self.dense_i8 {
            for r in 0..count {
                for (g, group) in dense.row(start + r).chunks_mut(GROUP).enumerate() {
                    let bits = !bits_of(rows.less(isa, r, g));
                    for (part, bits) in group.chunks_mut(8).zip(bits.to_le_bytes()) {
                        part.copy_from_slice(&signs_of_bits(bits)[..part.len()]);
                    }
                }
            }
        }
        if let Some(codes) = &mut self.codes {
            for r in 0..count {
                let mut word = 0;
                for g in 0..cols.div_ceil(GROUP) {
                    word |= u64::from(!bits_of(rows.less(isa, r, g))) << (GROUP * g);
                }
                let word = word & u64::MAX >> (64 - cols);
                let codes = codes.row(start + r);
                if let Some(codes) = codes.first_chunk_mut() {
                    *codes = word.to_le_bytes();
                } else {
                    codes.copy_from_slice(&word.to_le_bytes()[..codes.len()]);
                }
            }
        }
    }

    /// Asks for the cache lines of one element.
    #[inline(always)]
    pub(super) fn prefetch<I: Isa>(&mut self, isa: I, i: usize, column: usize) {
        if let Some(dense) = &mut self.dense {
            isa.prefetch(&dense.row(i)[column]);
        }
        if let Some(dense) = &mut self.dense_i8 {
            isa.prefetch(&dense.row(i)[column]);
        }
        if let Some(codes) = &mut self.codes {
            isa.prefetch(&codes.row(i)[column / 8]);
        }
    }

    /// Writes one element anew.
    #[inline(always)]
    pub(super) fn set(&mut self, i: usize, column: usize, one: bool) {
        if let Some(dense) = &mut self.dense {
            dense.row(i)[column] = T::plus_or_minus_one(one);
        }
        if let Some(dense) = &mut self.dense_i8 {
            dense.row(i)[column] = if one { 1 } else { -1 };
        }
        if let Some(codes) = &mut self.codes {
            let byte = &mut codes.row(i)[column / 8];
            *byte = *byte & !(1 << (column % 8)) | u8::from(one) << (column % 8);
        }
    }

    /// Writes elements of row `i` of a group anew, those of a mask.
    #[inline(always)]
    pub(super) fn set_masked<I: Isa>(&mut self, isa: I, i: usize, mask: I::I16, one: bool) {
        let bits = mask.bits();
        if let Some(dense) = &mut self.dense {
            let dense = dense.row(i);
            if dense.len() == GROUP {
                let zero = I::F32::splat(isa, 0.0);
                let mut ones = [I::I32::splat(isa, 0); 2];
                for j in 0..2 {
                    ones[j] = T::floats(isa, &dense[8 * j..]).gt(zero);
                }
                let ones = isa.narrow(ones);
                let ones = if one { ones.or(mask) } else { ones.without(mask) };
                <T as Signed<i16>>::write_signs(isa, Cached, ones, dense);
            } else {
                each_bit(bits, |c| dense[c] = T::plus_or_minus_one(one));
            }
        }
        if let Some(dense) = &mut self.dense_i8 {
            let dense = dense.row(i);
            each_bit(bits, |c| dense[c] = if one { 1 } else { -1 });
        }
        if let Some(codes) = &mut self.codes {
            for (byte, bits) in codes.row(i).iter_mut().zip(bits.to_le_bytes()) {
                *byte = if one { *byte | bits } else { *byte & !bits };
            }
        }
    }

    /// Writes the thresholds of some columns, a bit each.
    #[inline(always)]
    pub(super) fn write_values(&mut self, columns: u64, value: impl Fn(usize) -> T) {
        if let Some(threshold) = &mut self.threshold {
            for (c, threshold) in threshold.iter_mut().enumerate() {
                if columns >> c & 1 == 1 {
                    *threshold = value(c);
                }
            }
        }
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

    /// Writes rows from `start` on of `width` columns from `first` on, known by their keys: a vector
    /// a row.
    #[inline(always)]
    pub(super) fn write<I: Isa, K: Lane>(
        &mut self,
        isa: I,
        store: impl Store,
        keys: &[Of<I, K>],
        cut: &Cut<Of<I, K>>,
        start: usize,
        (first, width): (usize, usize),
    ) where
        T: Signed<K>,
    {
        let lanes = lanes::<K>();
        if let Some(dense) = &mut self.dense {
            let mut dense = dense.part(first, width);
            if width == lanes {
                let mut dense = dense.part(0, lanes);
                for_each_row!(isa, (keys, cut), (dense, start), |row, mask| {
                    <T as Signed<K>>::write_signs(isa, store, mask, row);
                });
            } else {
                let mut copy = [T::default(); GROUP];
                for_each_row!(isa, (keys, cut), (dense, start), |row, mask| {
                    <T as Signed<K>>::write_signs(isa, Cached, mask, &mut copy);
                    row.copy_from_slice(&copy[..width]);
                });
            }
        }
        if let Some(dense) = &mut self.dense_i8 {
            let mut dense = dense.part(first, width);
            for_each_row!(isa, (keys, cut), (dense, start), |row, mask| {
                let bits = mask.bits();
                for (b, part) in row.chunks_mut(8).enumerate() {
                    part.copy_from_slice(&signs_of_bits((bits >> (8 * b)) as u8)[..part.len()]);
                }
            });
        }
        if let Some(codes) = &mut self.codes {
            let exist = (1 << width) - 1;
            let mut codes = codes.part(first / 8, width.div_ceil(8));
            if width > 8 {
                let mut codes = codes.part(0, 2);
                for_each_row!(isa, (keys, cut), (codes, start), |row, mask| {
                    row.copy_from_slice(&((mask.bits() & exist) as u16).to_le_bytes());
                });
            } else if first % 8 == 0 {
                let mut codes = codes.part(0, 1);
                for_each_row!(isa, (keys, cut), (codes, start), |row, mask| {
                    row[0] = (mask.bits() & exist) as u8;
                });
            } else {
                // The second half of a byte, of a vector of four.
                for_each_row!(isa, (keys, cut), (codes, start), |row, mask| {
                    row[0] |= ((mask.bits() & exist) as u8) << (first % 8);
                });
            }
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

#[inline(always)]
fn each_bit(mut bits: u32, mut f: impl FnMut(usize)) {
    while bits != 0 {
        f(bits.trailing_zeros() as usize);
        bits &= bits - 1;
    }
}

/// A bit a column.
#[inline(always)]
fn bits_of<V: Vector>(masks: [V; 2]) -> u16 {
    (masks[0].bits() | masks[1].bits() << (GROUP / 2)) as u16
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
