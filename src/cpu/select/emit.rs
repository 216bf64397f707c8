//! Writes which elements are less than their column's threshold, in every form that was asked for.

use super::GROUP;
use super::compare::Compared;
use crate::codes::words_per_row;
use crate::cpu::codes::signs_of_bits;
use crate::cpu::simd::{
    Cached, Columns, Isa, KeyLane, Keyed, Lane, Of, Ordered, Signed, Store, Stores, Vector,
};
use crate::{CodesMut, Element, MatMut, Outputs};

/// The most columns that are written together: a word of bits.
pub(super) const WORD: usize = 64;

/// The outputs of a range of columns.
pub struct Strip<'a, T: Element> {
    dense: Option<Columns<'a, T>>,
    dense_i8: Option<Columns<'a, i8>>,
    /// Columns are bytes, with the pads behind the last one.
    codes: Option<Columns<'a, u8>>,
    threshold: Option<&'a mut [T]>,
    cols: usize,
}

impl<'a, T: Element> Strip<'a, T> {
    /// All columns. Counts are no business of a strip.
    #[inline]
    pub(in crate::cpu) fn new(out: &'a mut Outputs<'_, T>, cols: usize) -> Self {
        Self {
            dense: out.dense.as_mut().map(|dense| Columns::new(dense.reborrow())),
            dense_i8: out.dense_i8.as_mut().map(|dense| Columns::new(dense.reborrow())),
            codes: out.codes.as_mut().map(|codes| bytes(codes.reborrow())),
            threshold: out.threshold.as_deref_mut(),
            cols,
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
            cols: self.cols - at,
        };
        (Self { dense, dense_i8, codes, threshold, cols: at }, right)
    }

    #[inline(always)]
    pub(super) fn cols(&self) -> usize {
        self.cols
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
            codes: self.codes.as_mut().map(|codes| {
                // The last columns have the pads behind them.
                let last = first + width == self.cols;
                let end = if last { codes.cols() } else { (first + width) / 8 };
                codes.part(first / 8, end - first / 8)
            }),
            threshold: self.threshold.as_mut().map(|t| &mut t[first..first + width]),
            cols: width,
        }
    }

    /// Writes rows from `start` on of up to 64 columns.
    #[inline(always)]
    pub(super) fn write<I: Isa, K: Lane>(
        &mut self,
        isa: I,
        store: Stores<'_>,
        rows: impl Compared<I, Mask = Of<I, K>>,
        start: usize,
    ) where
        T: Signed<K>,
    {
        let cols = self.cols;
        if let Some(dense) = &mut self.dense {
            write_dense::<I, K, T>(isa, store, rows, start, dense.part(0, cols));
        }
        if let Some(dense) = &mut self.dense_i8 {
            write_dense_i8(isa, rows, start, dense.part(0, cols));
        }
        if let Some(codes) = &mut self.codes {
            let bytes = codes.cols();
            write_codes(isa, rows, start, cols, codes.part(0, bytes));
        }
    }

    /// The same of a group, or of less.
    #[inline(always)]
    pub(super) fn write_group<I: Isa, K: Lane>(
        &mut self,
        isa: I,
        store: Stores<'_>,
        rows: impl Compared<I, Mask = Of<I, K>>,
        start: usize,
    ) where
        T: Signed<K>,
    {
        if self.cols == GROUP {
            self.write_whole::<I, K, GROUP>(isa, store, rows, start);
        } else {
            self.write::<I, K>(isa, store, rows, start);
        }
    }

    /// The same of a number of columns that the compiler knows: a group or a word.
    #[inline(always)]
    pub(super) fn write_whole<I: Isa, K: Lane, const COLS: usize>(
        &mut self,
        isa: I,
        store: Stores<'_>,
        rows: impl Compared<I, Mask = Of<I, K>>,
        start: usize,
    ) where
        T: Signed<K>,
    {
        if let Some(dense) = &mut self.dense {
            write_dense::<I, K, T>(isa, store, rows, start, dense.part(0, COLS));
        }
        if let Some(dense) = &mut self.dense_i8 {
            write_dense_i8(isa, rows, start, dense.part(0, COLS));
        }
        if let Some(codes) = &mut self.codes {
            // The last columns have the pads of their word behind them.
            match codes.cols() {
                2 if COLS == GROUP => write_codes(isa, rows, start, COLS, codes.part(0, 2)),
                8 => write_codes(isa, rows, start, COLS, codes.part(0, 8)),
                bytes => write_codes(isa, rows, start, COLS, codes.part(0, bytes)),
            }
        }
    }

    /// Whether the dense output is written in whole cache lines, if these columns are written row by row.
    /// What is left beside whole groups never is.
    pub(super) fn fills_lines(&self) -> bool {
        self.cols.is_multiple_of(GROUP) && self.dense.as_ref().is_some_and(Columns::fill_lines)
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
    pub(super) fn set_masked<I: Isa>(&mut self, isa: I, i: usize, mask: I::I8, one: bool) {
        let bits = mask.bits();
        if let Some(dense) = &mut self.dense {
            let dense = dense.row(i);
            if dense.len() == GROUP {
                let less = I::F32::splat(isa, 0.0).gt(T::floats(isa, dense));
                let less = isa.narrow_to_8(less);
                let less = if one { less.without(mask) } else { less.or(mask) };
                <T as Signed<i8>>::write_less(isa, Cached, less, dense);
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

    /// Writes row `i` of a group.
    #[inline(always)]
    pub(super) fn write_row(&mut self, i: usize, ones: &[bool; GROUP]) {
        if let Some(dense) = &mut self.dense {
            for (place, &one) in dense.row(i).iter_mut().zip(ones) {
                *place = T::plus_or_minus_one(one);
            }
        }
        if let Some(dense) = &mut self.dense_i8 {
            for (place, &one) in dense.row(i).iter_mut().zip(ones) {
                *place = if one { 1 } else { -1 };
            }
        }
        if let Some(codes) = &mut self.codes {
            let bits = ones.iter().rev().fold(0, |bits: u32, &one| bits << 1 | u32::from(one));
            let exist = u128::from(bits & ((1 << self.cols) - 1));
            let row = codes.row(i);
            row.copy_from_slice(&exist.to_le_bytes()[..row.len()]);
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

    /// Writes the thresholds of the columns.
    #[inline(always)]
    pub(super) fn write_threshold<K: KeyLane>(&mut self, keys: impl FnOnce() -> [K; GROUP])
    where
        T: Keyed<K>,
    {
        if let Some(threshold) = &mut self.threshold {
            for (value, key) in threshold.iter_mut().zip(keys()) {
                *value = <T as Keyed<K>>::of_key(key);
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

#[inline(always)]
fn write_dense<I: Isa, K: Lane, T: Element + Signed<K>>(
    isa: I,
    store: Stores<'_>,
    rows: impl Compared<I, Mask = Of<I, K>>,
    start: usize,
    out: Columns<'_, T>,
) {
    match store {
        Stores::Cached => write_dense_by::<I, K, T>(isa, Cached, rows, start, out),
        Stores::PastCaches(store) => write_dense_by::<I, K, T>(isa, store, rows, start, out),
    }
}

#[inline(always)]
fn write_dense_by<I: Isa, K: Lane, T: Element + Signed<K>>(
    isa: I,
    store: impl Store,
    mut rows: impl Compared<I, Mask = Of<I, K>>,
    start: usize,
    mut out: Columns<'_, T>,
) {
    let (whole, rest) = (out.cols() / GROUP, out.cols() % GROUP);
    for (r, row) in out.iter(start..start + rows.rows()).enumerate() {
        let mut groups = row.chunks_exact_mut(GROUP);
        for (g, group) in groups.by_ref().enumerate() {
            <T as Signed<K>>::write_less(isa, store, rows.less(isa, r, g), group);
        }
        if rest > 0 {
            let mut copy = [T::default(); GROUP];
            <T as Signed<K>>::write_less(isa, Cached, rows.less(isa, r, whole), &mut copy);
            groups.into_remainder().copy_from_slice(&copy[..rest]);
        }
    }
}

#[inline(always)]
fn write_dense_i8<I: Isa>(
    isa: I,
    mut rows: impl Compared<I>,
    start: usize,
    mut out: Columns<'_, i8>,
) {
    for (r, row) in out.iter(start..start + rows.rows()).enumerate() {
        for (g, group) in row.chunks_mut(GROUP).enumerate() {
            let ones = rows.ones(isa, r, g);
            for (part, ones) in group.chunks_mut(8).zip(ones.to_le_bytes()) {
                part.copy_from_slice(&signs_of_bits(ones)[..part.len()]);
            }
        }
    }
}

#[inline(always)]
fn write_codes<I: Isa>(
    isa: I,
    mut rows: impl Compared<I>,
    start: usize,
    cols: usize,
    mut out: Columns<'_, u8>,
) {
    let exist = u64::MAX >> (WORD - cols);
    for (r, row) in out.iter(start..start + rows.rows()).enumerate() {
        let mut ones = 0u64;
        for g in 0..cols.div_ceil(GROUP) {
            ones |= u64::from(rows.ones(isa, r, g)) << (GROUP * g);
        }
        // Behind the last column there may be pads of up to seven bytes more.
        row.copy_from_slice(&u128::from(ones & exist).to_le_bytes()[..row.len()]);
    }
}

fn split<T>(
    columns: Option<Columns<'_, T>>,
    at: usize,
) -> (Option<Columns<'_, T>>, Option<Columns<'_, T>>) {
    columns.map(|columns| columns.split_at(at)).unzip()
}

#[inline(always)]
fn bytes(codes: CodesMut<'_>) -> Columns<'_, u8> {
    let (rows, row) = (codes.rows(), 8 * words_per_row(codes.bits()));
    let bytes = bytemuck::cast_slice_mut(codes.into_words());
    Columns::new(MatMut::new(bytes, rows, row).expect("rows of whole words"))
}
