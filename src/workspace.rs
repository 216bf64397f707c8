//! Scratch memory that the caller keeps, so that `_into` forms allocate nothing.

use crate::element::Key;

/// Scratch memory of the operations that need some (`rank`, `argsort`, Bi-half forward).
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
    pub(crate) narrow: Scratch<u32>,
    pub(crate) wide: Scratch<u64>,
    tiles: Vec<u64>,
    orders: Vec<u64>,
}

impl Workspace {
    /// An empty workspace; the first call that uses it allocates.
    pub fn new() -> Self {
        Self::default()
    }

    /// A workspace with all that calls on `rows` x `cols` matrices of `T` need.
    ///
    /// # Errors
    /// [`Error::TooLarge`](crate::Error::TooLarge) when `rows * cols` overflows.
    pub fn for_shape<T: crate::Element>(rows: usize, cols: usize) -> crate::Result<Self> {
        crate::Layout::new(rows, cols, cols, 1)?;
        let mut ws = Self::new();
        let scratch = <T::Key as Key>::scratch(&mut ws);
        scratch.panel_and_bounds(rows, cols);
        ws.tiles::<T::Key>((rows, cols));
        ws.orders::<T>((rows, cols));
        Ok(ws)
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let words = self.tiles.capacity() + self.orders.capacity();
        self.narrow.bytes() + self.wide.bytes() + words * size_of::<u64>()
    }

    /// Scratch memory of Bi-half's forward.
    pub(crate) fn tiles<K: Key>(&mut self, shape: (usize, usize)) -> &mut [u64] {
        at_least(&mut self.tiles, crate::cpu::scratch_words::<K>(shape))
    }

    /// Scratch memory of ranks and argsort.
    pub(crate) fn orders<T: crate::Element>(&mut self, shape: (usize, usize)) -> &mut [u64] {
        at_least(&mut self.orders, crate::cpu::rank::scratch_words::<T>(shape))
    }
}

/// A key and the row it came from; ordered by key, then row, so no two of a column are equal.
pub(crate) type KeyRow<K> = (K, u32);

/// Columns that are gathered and sorted at a time. It bounds the extra memory to 16 columns
/// whatever K is, and still feeds 16 threads.
pub(crate) const PANEL: usize = 16;

/// The buffers for one width of key, of transport costs.
#[derive(Debug, Default)]
pub struct Scratch<K> {
    panel: Vec<KeyRow<K>>,
    bounds: Vec<KeyRow<K>>,
}

impl<K: Copy + Default> Scratch<K> {
    /// Room for one panel, column by column, and a boundary for each column of the matrix.
    pub(crate) fn panel_and_bounds(
        &mut self,
        rows: usize,
        cols: usize,
    ) -> (&mut [KeyRow<K>], &mut [KeyRow<K>]) {
        (at_least(&mut self.panel, rows * cols.min(PANEL)), at_least(&mut self.bounds, cols))
    }

    fn bytes(&self) -> usize {
        (self.panel.capacity() + self.bounds.capacity()) * size_of::<KeyRow<K>>()
    }
}

fn at_least<T: Copy + Default>(buffer: &mut Vec<T>, len: usize) -> &mut [T] {
    if buffer.len() < len {
        buffer.resize(len, T::default());
    }
    &mut buffer[..len]
}
