//! Packed binary codes: one bit a bit.
//!
//! Bit `j` of a row is bit `j % 8` of byte `j / 8` (least significant bit first); 1 stands for
//! +1 and 0 for -1. Rows are padded to whole 64-bit words, and **pad bits are always 0**, so
//! the Hamming distance of two rows is the popcount of their words' XOR with nothing to mask.
//! Words lie in memory in little-endian byte order on every machine: the byte view is the file
//! format.

use crate::memory::{append, zeros};
use crate::ops::check_length;
use crate::{Element, Error, MatMut, MatRef, Result, Storage};
use std::ops::Range;

/// Bits in a word.
pub const WORD_BITS: usize = u64::BITS as usize;

/// Words that hold one row of `bits` bits.
pub const fn words_per_row(bits: usize) -> usize {
    bits.div_ceil(WORD_BITS)
}

/// A view of `rows` packed codes of `bits` bits over the storage `S` (of `u64` words). On the
/// host use the aliases [`CodesRef`] and [`CodesMut`].
#[derive(Clone, Copy, Debug)]
pub struct PackedCodes<S> {
    words: S,
    rows: usize,
    bits: usize,
}

/// Packed codes to read.
pub type CodesRef<'a> = PackedCodes<&'a [u64]>;

/// Packed codes to write.
pub type CodesMut<'a> = PackedCodes<&'a mut [u64]>;

impl<S: Storage> PackedCodes<S> {
    /// A view over exactly `rows * words_per_row(bits)` words. Pad bits of words to read are looked
    /// at, on the host; on a device operations leave them out.
    ///
    /// # Errors
    /// [`Error::BufferLength`] (counted in words), [`Error::PadBits`] when a pad bit is set,
    /// [`Error::TooLarge`].
    pub fn new(words: S, rows: usize, bits: usize) -> Result<Self> {
        let (expected, got) = (checked_words(rows, bits)?, words.len());
        if got != expected {
            return Err(Error::BufferLength { rows, cols: words_per_row(bits), expected, got });
        }
        Self::prefix(words, rows, bits)
    }

    /// Codes at the start of a buffer that may be longer.
    ///
    /// # Errors
    /// [`Error::BufferTooShort`] (counted in words), [`Error::PadBits`], [`Error::TooLarge`].
    pub fn prefix(words: S, rows: usize, bits: usize) -> Result<Self> {
        let needed = checked_words(rows, bits)?;
        if words.len() < needed {
            let (cols, got) = (words_per_row(bits), words.len());
            let (row_stride, col_stride) = (cols, 1);
            return Err(Error::BufferTooShort { rows, cols, row_stride, col_stride, needed, got });
        }
        if let Some(words) = words.host_words() {
            check_pads(&words[..needed], bits)?;
        }
        Ok(Self { words, rows, bits })
    }

    /// Number of codes.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bits in a code (K).
    pub fn bits(&self) -> usize {
        self.bits
    }

    /// Rows and bits.
    pub fn shape(&self) -> (usize, usize) {
        (self.rows, self.bits)
    }

    /// The storage.
    pub fn data(&self) -> &S {
        &self.words
    }

    /// The storage, by value.
    pub fn into_data(self) -> S {
        self.words
    }
}

impl<'a> CodesRef<'a> {
    /// All words, row by row.
    pub fn words(&self) -> &'a [u64] {
        &self.words[..self.rows * words_per_row(self.bits)]
    }

    /// The words of row `i`.
    ///
    /// # Panics
    /// When there is no row `i`.
    #[track_caller]
    pub fn row(&self, i: usize) -> &'a [u64] {
        assert!(i < self.rows, "row {i} of {} codes", self.rows);
        let n = words_per_row(self.bits);
        &self.words[i * n..(i + 1) * n]
    }

    /// The words of each row in turn.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a [u64]> + use<'a> {
        let codes = *self;
        (0..codes.rows).map(move |i| codes.row(i))
    }

    /// Some of the codes.
    ///
    /// # Panics
    /// When there are no such rows.
    #[track_caller]
    pub fn slice(&self, rows: Range<usize>) -> Self {
        let (start, end) = (rows.start, rows.end);
        assert!(start <= end && end <= self.rows, "rows {rows:?} of {} codes", self.rows);
        let n = words_per_row(self.bits);
        Self { words: &self.words[start * n..end * n], rows: end - start, bits: self.bits }
    }

    /// The codes before row `at`, and the others.
    ///
    /// # Panics
    /// When there are fewer codes.
    pub fn split_at(&self, at: usize) -> (Self, Self) {
        (self.slice(0..at), self.slice(at..self.rows))
    }

    /// The bits of row `i`, from bit 0 on.
    ///
    /// # Panics
    /// When there is no row `i`.
    pub fn row_bits(&self, i: usize) -> impl Iterator<Item = bool> + use<'a> {
        let words = self.row(i);
        (0..self.bits).map(move |j| bit(words, j))
    }

    /// Bit `j` of row `i`.
    ///
    /// # Panics
    /// When there is no such bit.
    pub fn get(&self, i: usize, j: usize) -> bool {
        assert!(j < self.bits, "bit {j} of a code of {} bits", self.bits);
        bit(self.row(i), j)
    }

    /// The codes as bytes, each row padded to `8 * words_per_row(bits)` bytes.
    pub fn as_bytes(&self) -> &'a [u8] {
        bytemuck::cast_slice(self.words())
    }

    /// The codes as bytes, each row `bits.div_ceil(8)` bytes: the format of binary indexes.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when there is no memory for them.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let row_bytes = self.bits.div_ceil(8);
        let mut bytes = zeros((self.rows, row_bytes))?;
        if self.bits.is_multiple_of(WORD_BITS) {
            bytes.copy_from_slice(self.as_bytes());
        } else {
            let words = self.words().chunks(words_per_row(self.bits));
            for (to, from) in bytes.chunks_mut(row_bytes).zip(words) {
                to.copy_from_slice(&bytemuck::cast_slice(from)[..row_bytes]);
            }
        }
        Ok(bytes)
    }

    /// The codes as +1 and -1, row-major.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when there is no memory for them.
    pub fn to_dense<T: Element>(&self) -> Result<Vec<T>> {
        let isa = crate::cpu::simd::detected()?;
        let mut dense = zeros(self.shape())?;
        T::unpack(isa, *self, MatMut::new(&mut dense, self.rows, self.bits)?);
        Ok(dense)
    }
}

impl<'a> CodesMut<'a> {
    /// The same codes for the length of a call.
    pub fn reborrow(&mut self) -> CodesMut<'_> {
        PackedCodes { words: self.words, rows: self.rows, bits: self.bits }
    }

    /// The same codes, read only.
    pub fn as_ref(&self) -> CodesRef<'_> {
        PackedCodes { words: self.words, rows: self.rows, bits: self.bits }
    }

    /// All words, row by row. Whoever writes them keeps the pad bits 0.
    #[inline]
    pub(crate) fn into_words(self) -> &'a mut [u64] {
        &mut self.words[..self.rows * words_per_row(self.bits)]
    }
}

/// Packed codes that own their words.
///
/// ```
/// use bihalf::{Codes, MatRef};
///
/// let b = [1.0f32, -1.0, 1.0, -1.0, -1.0, 1.0];
/// let codes = Codes::from_dense(MatRef::new(&b, 2, 3)?)?;
/// assert_eq!(codes.to_bytes()?, [0b101, 0b100]);
/// assert_eq!(codes.to_dense::<f32>()?, b);
///
/// let mut more = codes.clone();
/// more.extend(codes.slice(1..2))?;
/// assert_eq!(more.iter().collect::<Vec<_>>(), [codes.row(0), codes.row(1), codes.row(1)]);
/// # Ok::<(), bihalf::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Codes {
    words: Vec<u64>,
    rows: usize,
    bits: usize,
}

impl Codes {
    /// `rows` codes of `bits` zero bits (all -1).
    ///
    /// # Errors
    /// [`Error::TooLarge`] when there is no memory for them.
    pub fn zeros(rows: usize, bits: usize) -> Result<Self> {
        Ok(Self { words: zeros((rows, words_per_row(bits)))?, rows, bits })
    }

    /// Bit 1 wherever the element is greater than 0; 0, negative values and NaN give bit 0.
    ///
    /// # Errors
    /// As [`sign`](crate::ops::sign).
    pub fn from_dense<T: Element>(dense: MatRef<'_, T>) -> Result<Self> {
        crate::ops::sign::forward_packed(dense, None)
    }

    /// Codes from rows of `bits.div_ceil(8)` bytes, as [`CodesRef::to_bytes`] writes them.
    ///
    /// # Errors
    /// [`Error::Length`] when the number of bytes is not `rows * bits.div_ceil(8)`,
    /// [`Error::PadBits`] when a pad bit of a row is set, [`Error::TooLarge`] when
    /// there is no memory for the codes.
    pub fn from_bytes(bytes: &[u8], rows: usize, bits: usize) -> Result<Self> {
        let row_bytes = bits.div_ceil(8);
        let expected = rows.saturating_mul(row_bytes);
        check_length("bytes", "rows * ceil(bits / 8)", expected, bytes.len())?;
        let mut codes = Self::zeros(rows, bits)?;
        if bits.is_multiple_of(WORD_BITS) {
            bytemuck::cast_slice_mut(&mut codes.words).copy_from_slice(bytes);
            return Ok(codes);
        }
        let words = codes.words.chunks_mut(words_per_row(bits));
        for (row, (words, bytes)) in words.zip(bytes.chunks(row_bytes)).enumerate() {
            if !bits.is_multiple_of(8) && bytes[row_bytes - 1] >> (bits % 8) != 0 {
                return Err(Error::PadBits { row, bits });
            }
            bytemuck::cast_slice_mut::<_, u8>(words)[..row_bytes].copy_from_slice(bytes);
        }
        Ok(codes)
    }

    /// Codes from their words, as [`into_words`](Self::into_words) gives them.
    ///
    /// # Errors
    /// [`Error::BufferLength`] when there are not `rows * words_per_row(bits)` words,
    /// [`Error::PadBits`] when a pad bit is set, [`Error::TooLarge`].
    pub fn from_words(words: Vec<u64>, rows: usize, bits: usize) -> Result<Self> {
        CodesRef::new(&words, rows, bits)?;
        Ok(Self { words, rows, bits })
    }

    /// All words, row by row, without a copy.
    pub fn into_words(self) -> Vec<u64> {
        self.words
    }

    /// All words, row by row. See the [module](self).
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// The words of row `i`.
    ///
    /// # Panics
    /// When there is no row `i`.
    #[track_caller]
    pub fn row(&self, i: usize) -> &[u64] {
        self.as_ref().row(i)
    }

    /// The words of each row in turn.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u64]> + use<'_> {
        self.as_ref().iter()
    }

    /// Some of the codes.
    ///
    /// # Panics
    /// When there are no such rows.
    #[track_caller]
    pub fn slice(&self, rows: Range<usize>) -> CodesRef<'_> {
        self.as_ref().slice(rows)
    }

    /// Appends codes of as many bits.
    ///
    /// # Errors
    /// [`Error::Length`] when their number of bits is another, [`Error::TooLarge`] when there is no
    /// memory for them; nothing is appended then.
    pub fn extend<'a>(&mut self, codes: impl Into<CodesRef<'a>>) -> Result<()> {
        let codes = codes.into();
        check_length(
            "a code to append",
            "its bits: as many as the others have",
            self.bits,
            codes.bits,
        )?;
        let rows = self.rows.saturating_add(codes.rows);
        checked_words(rows, self.bits)?;
        append(&mut self.words, codes.words(), (rows, words_per_row(self.bits)))?;
        self.rows = rows;
        Ok(())
    }

    /// Number of codes.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bits in a code.
    pub fn bits(&self) -> usize {
        self.bits
    }

    /// The codes to read.
    pub fn as_ref(&self) -> CodesRef<'_> {
        PackedCodes { words: &self.words, rows: self.rows, bits: self.bits }
    }

    /// The codes to write.
    pub fn as_mut(&mut self) -> CodesMut<'_> {
        PackedCodes { words: &mut self.words, rows: self.rows, bits: self.bits }
    }

    /// Bit `j` of row `i`.
    ///
    /// # Panics
    /// When there is no such bit.
    pub fn get(&self, i: usize, j: usize) -> bool {
        self.as_ref().get(i, j)
    }

    /// See [`CodesRef::as_bytes`].
    pub fn as_bytes(&self) -> &[u8] {
        self.as_ref().as_bytes()
    }

    /// See [`CodesRef::to_bytes`].
    ///
    /// # Errors
    /// [`Error::TooLarge`].
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        self.as_ref().to_bytes()
    }

    /// See [`CodesRef::to_dense`].
    ///
    /// # Errors
    /// [`Error::TooLarge`].
    pub fn to_dense<T: Element>(&self) -> Result<Vec<T>> {
        self.as_ref().to_dense()
    }
}

impl<'a> From<&'a Codes> for CodesRef<'a> {
    fn from(codes: &'a Codes) -> Self {
        codes.as_ref()
    }
}

impl<'a> From<&'a mut Codes> for CodesMut<'a> {
    fn from(codes: &'a mut Codes) -> Self {
        codes.as_mut()
    }
}

/// Bit `j` of a row of words.
fn bit(row: &[u64], j: usize) -> bool {
    u64::from_le(row[j / WORD_BITS]) >> (j % WORD_BITS) & 1 == 1
}

/// Refuses rows of words with a bit behind the last one.
fn check_pads(words: &[u64], bits: usize) -> Result<()> {
    let used = bits % WORD_BITS;
    if used == 0 {
        return Ok(());
    }
    let width = words_per_row(bits);
    let last_words = words.iter().skip(width - 1).step_by(width);
    match last_words.map(|&word| u64::from_le(word) >> used).position(|pads| pads != 0) {
        Some(row) => Err(Error::PadBits { row, bits }),
        None => Ok(()),
    }
}

fn checked_words(rows: usize, bits: usize) -> Result<usize> {
    let (cols, row_stride, col_stride) = (bits, words_per_row(bits), 1);
    let words = rows.checked_mul(words_per_row(bits)).filter(|&n| n <= isize::MAX as usize / 8);
    words.ok_or(Error::TooLarge { rows, cols, row_stride, col_stride })
}
