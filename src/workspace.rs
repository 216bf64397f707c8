//! Scratch memory that the caller keeps, so that `_into` forms allocate nothing.

use crate::codes::words_per_row;
use crate::cpu::simd::Detected;
use crate::{CodesRef, Element, Layout, Result, cpu, memory, ops};

/// Scratch memory of the operations that need some (`rank`, `argsort`, Bi-half forward, search).
///
/// A workspace starts empty, grows to what a call needs and never shrinks: a later call of the
/// same shape, or a smaller one, allocates nothing, unless it runs in a pool of more threads. Any call
/// may use any workspace.
///
/// ```
/// use bihalf::Workspace;
///
/// let ws = Workspace::for_shape::<f32>(1024, 64)?; // all that calls of this shape need
/// assert!(ws.bytes() > 0);
/// # Ok::<(), bihalf::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Workspace {
    words: Vec<u64>,
}

impl Workspace {
    /// An empty workspace; the first call that uses it allocates.
    pub fn new() -> Self {
        Self::default()
    }

    /// A workspace with all that calls on `rows` x `cols` matrices of `T` need.
    ///
    /// # Errors
    /// [`Error::TooManyRows`](crate::Error::TooManyRows);
    /// [`Error::TooLarge`](crate::Error::TooLarge) when there is no memory for it;
    /// [`Error::InstructionSet`](crate::Error::InstructionSet), see [Bi-half](crate::ops::bi_half).
    pub fn for_shape<T: Element>(rows: usize, cols: usize) -> Result<Self> {
        let mut ws = Self::new();
        if Layout::new(rows, cols, cols, 1)?.is_empty() {
            return Ok(ws);
        }
        ops::check_rows(rows)?;
        ws.tiles_and_codes::<T>(cpu::simd::detected()?, (rows, cols))?;
        ws.orders::<T>((rows, cols))?;
        Ok(ws)
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.words.capacity() * size_of::<u64>()
    }

    /// Scratch memory of Bi-half's forward.
    #[inline]
    pub(crate) fn tiles<T: Element>(
        &mut self,
        isa: Detected,
        shape: (usize, usize),
    ) -> Result<&mut [u64]> {
        self.at_least(cpu::select::scratch_words::<T>(isa, shape), shape)
    }

    /// The same, and room for packed codes.
    pub(crate) fn tiles_and_codes<T: Element>(
        &mut self,
        isa: Detected,
        (rows, cols): (usize, usize),
    ) -> Result<(&mut [u64], &mut [u64])> {
        let tiles = cpu::select::scratch_words::<T>(isa, (rows, cols));
        let codes = rows.saturating_mul(words_per_row(cols));
        let words = self.at_least(tiles.saturating_add(codes), (rows, cols))?;
        Ok(words.split_at_mut(tiles))
    }

    /// Scratch memory of ranks and argsort.
    pub(crate) fn orders<T: Element>(&mut self, shape: (usize, usize)) -> Result<&mut [u64]> {
        self.at_least(cpu::rank::scratch_words::<T>(shape), shape)
    }

    /// Scratch memory of a search in a database.
    pub(crate) fn words(&mut self, len: usize, database: CodesRef<'_>) -> Result<&mut [u64]> {
        self.at_least(len, database.shape())
    }

    #[inline]
    fn at_least(&mut self, len: usize, shape: (usize, usize)) -> Result<&mut [u64]> {
        if self.words.len() < len {
            memory::resize(&mut self.words, len, 0, shape)?;
        }
        Ok(&mut self.words[..len])
    }
}
