//! Plan of the Bi-half forward pass.

use super::walk::padded;
use super::{DType, Kernel, Launch, WARPS, column_blocks, tiles};

/// Bits of a digit of the radix selection, and the values that they take.
const DIGIT_BITS: u32 = 8;
const DIGITS: usize = 1 << DIGIT_BITS;

/// Bytes of what is known of a column's threshold.
const SELECTION_BYTES: usize = 16;

/// Chunks of rows that a column is cut into, at most: one thread adds up their counts.
const MOST_CHUNKS: u32 = 1024;
/// Rows of a chunk, at least: a warp walks down them one after the other.
const LEAST_CHUNK: u32 = 64;

/// How the forward pass is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bihalf {
    /// There is no column.
    Nothing,
    /// One launch of a sorting network in registers.
    Network(Launch),
    /// Radix selection over histograms, for any number of rows.
    Radix(Radix),
}

/// Radix selection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Radix {
    cols: u32,
    /// Columns with those that pad packed output.
    padded_cols: u32,
    /// Digits of a key.
    digits: u32,
    /// Rows of a chunk, the work of one warp.
    pub chunk_rows: u32,
    /// Chunks of a column.
    pub chunks: u32,
}

/// One launch of a radix selection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Histogram of the digit whose lowest bit is `shift`.
    Histogram {
        /// Position of the digit's lowest bit.
        shift: u32,
    },
    /// Choice of the digit whose lowest bit is `shift`.
    Pick {
        /// Position of the digit's lowest bit.
        shift: u32,
        /// Whether no digit has been chosen before.
        first: bool,
    },
    /// Keys that equal the threshold, chunk by chunk.
    Ties,
    /// Such keys before each chunk.
    Scan,
    /// The result.
    Emit,
}

/// The plan for `k` ones a column. `packed` tells whether packed codes are asked for, whose pad bits
/// are written too.
pub fn bihalf(rows: u32, cols: u32, k: u32, dtype: DType, packed: bool) -> Bihalf {
    if cols == 0 {
        return Bihalf::Nothing;
    }
    let padded_cols = if packed { padded(cols) } else { cols };
    // A network pads its column so that k becomes half of its size.
    let half = k.max(rows - k);
    for (kernel, network_half) in [(Kernel::BihalfNetwork32, 16), (Kernel::BihalfNetwork64, 32)] {
        if half <= network_half && kernel.dtypes().contains(&dtype) {
            return Bihalf::Network(launch(kernel, (tiles(padded_cols), 1)));
        }
    }
    let chunk_rows = rows.div_ceil(MOST_CHUNKS).max(LEAST_CHUNK);
    let (digits, chunks) = (dtype.key_bits() / DIGIT_BITS, rows.div_ceil(chunk_rows));
    Bihalf::Radix(Radix { cols, padded_cols, digits, chunk_rows, chunks })
}

fn launch(kernel: Kernel, grid: (u32, u32)) -> Launch {
    Launch { kernel, grid, shared_bytes: 0 }
}

impl Bihalf {
    /// The launches in their order.
    pub fn launches(&self) -> impl Iterator<Item = Launch> + use<> {
        let (network, radix) = match *self {
            Self::Nothing => (None, None),
            Self::Network(launch) => (Some(launch), None),
            Self::Radix(radix) => (None, Some(radix)),
        };
        let steps = radix.into_iter().flat_map(Radix::steps);
        network.into_iter().chain(steps.map(|(_, launch)| launch))
    }

    /// Bytes of workspace.
    pub fn workspace_bytes(&self) -> usize {
        match self {
            Self::Radix(radix) => radix.workspace_bytes(),
            Self::Nothing | Self::Network(_) => 0,
        }
    }
}

impl Radix {
    /// The launches in their order, each with what it is for.
    pub fn steps(self) -> impl Iterator<Item = (Step, Launch)> {
        let chunks = move |cols| (tiles(cols), self.chunks.div_ceil(WARPS));
        let columns = (column_blocks(self.cols), 1);
        let digits = (0..self.digits).rev().flat_map(move |digit| {
            let shift = digit * DIGIT_BITS;
            let histogram = launch(Kernel::BihalfRadixHistogram, chunks(self.cols));
            let pick = launch(Kernel::BihalfRadixPick, columns);
            let first = digit == self.digits - 1;
            [(Step::Histogram { shift }, histogram), (Step::Pick { shift, first }, pick)]
        });
        digits.chain([
            (Step::Ties, launch(Kernel::BihalfRadixTies, chunks(self.cols))),
            (Step::Scan, launch(Kernel::BihalfRadixScan, columns)),
            (Step::Emit, launch(Kernel::BihalfRadixEmit, chunks(self.padded_cols))),
        ])
    }

    // The workspace: the columns' selections, then their histograms, then the ties of their chunks.

    pub(crate) fn histogram_offset(&self) -> usize {
        self.cols as usize * SELECTION_BYTES
    }

    pub(crate) fn histogram_bytes(&self) -> usize {
        DIGITS * self.cols as usize * size_of::<u32>()
    }

    pub(crate) fn ties_offset(&self) -> usize {
        self.histogram_offset() + self.histogram_bytes()
    }

    fn workspace_bytes(&self) -> usize {
        self.ties_offset() + self.chunks as usize * self.cols as usize * size_of::<u32>()
    }
}
