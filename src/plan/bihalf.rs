//! Plan of the Bi-half forward pass.

use Does::{All, Pairs, Unpacked};

use super::walk::padded;
use super::{CLUSTER, DType, Kernel, Launch, Limits, column_blocks};

/// Columns of a block of the radix selection.
const TILE_COLUMNS: u32 = 8;
/// Bits of a digit, at most, and the values that they take.
const DIGIT_BITS: u32 = 11;
const DIGITS: usize = 1 << DIGIT_BITS;

/// Bytes of what is known of a column's threshold.
const SELECTION_BYTES: usize = 16;

/// Rows that a block goes through in one step, of which chunks are made.
const STEP_ROWS: u32 = 1024;
/// Steps of a chunk, at least and at most: the counts of a chunk should be few against its rows,
/// and must fit in 16 bits.
const STEPS: (u32, u32) = (2, 32);
/// Up to so many rows chunks are a step longer: what is read and written for each column, beside U
/// and B, then stays below 4 bytes a row.
const LONGER_CHUNKS_TO: u32 = 9 * STEP_ROWS;
/// Blocks that a multiprocessor should have, so that one computes while others wait for memory.
const BLOCKS_OF_MULTIPROCESSOR: u32 = 4;

/// How the forward pass is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bihalf {
    /// There is no column.
    Nothing,
    /// One launch of the kernel that is fastest on such a matrix and device, as far as a model of
    /// cycles can tell: few columns take the shortest way from load to store, many the fewest
    /// instructions.
    OneLaunch(Launch),
    /// Radix selection over histograms, for any number of rows.
    Radix(Radix),
}

/// Radix selection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Radix {
    cols: u32,
    /// Columns with those that pad packed output.
    padded_cols: u32,
    key_bits: u32,
    /// Rows of a chunk, the work of one block.
    pub chunk_rows: u32,
    /// Chunks of a column.
    pub chunks: u32,
    /// The most that a matrix of as many columns and no more rows has: chunks may be shorter there.
    most_chunks: u32,
}

/// One launch of a radix selection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Histogram of a digit.
    Histogram(Digit),
    /// Choice of a digit.
    Pick(Digit),
    /// Keys that equal the threshold, before each chunk.
    Scan(Digit),
    /// The result.
    Emit,
}

/// A digit of the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digit {
    /// Position of its lowest bit; the last digit has 0.
    pub shift: u32,
    /// Its bits.
    pub bits: u32,
    /// Whether no digit comes before it.
    pub first: bool,
}

/// What is asked for, as far as it decides which kernels can do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Packed codes, among others: their pad bits are written too.
    Packed,
    /// No packed codes.
    Unpacked,
    /// Dense output alone, where columns come in pairs: their number is even, those of a row lie
    /// side by side, and rows of input and output start at multiples of a pair.
    Pairs,
}

/// What of a matrix a kernel can do.
#[derive(Debug)]
enum Does {
    /// Whatever is asked for.
    All,
    /// All but packed codes, whose bits of a word or a byte must come from one warp.
    Unpacked,
    /// [`Asked::Pairs`] alone, on devices that compare two 16-bit integers in one instruction.
    Pairs,
}

/// A kernel that does all in one launch, without a workspace.
#[derive(Debug)]
struct Candidate {
    kernel: Kernel,
    /// Rows that it takes.
    rows: u32,
    /// Columns of a block, or of a cluster of blocks.
    columns: u32,
    /// Whether it pads a column so that `k` becomes half of `rows`: then neither the ones nor the
    /// others may be more than that.
    pads: bool,
    does: Does,
    /// Cycles from the first load to the last store of a block, or a cluster, alone on its
    /// multiprocessors.
    latency: u32,
    /// Instructions of warps for a column.
    instructions: u32,
}

/// Warp instructions that a multiprocessor with enough warps issues in a cycle.
const ISSUED_PER_CYCLE: u64 = 3;

/// The one-launch kernels, for f32. Latencies are those of a simulator of one architecture, or
/// three cycles an instruction of a lone warp, or, of clusters, 400 cycles a barrier, or, of slices
/// of 128 rows a thread, as many an instruction as of `short_slices1024`: an order of magnitude,
/// which is all that the choice needs.
const CANDIDATES: &[Candidate] = &[
    //        kernel                       rows  columns pads does latency instructions
    candidate(Kernel::BihalfCounting32, 32, 1, false, Unpacked, 1_050, 420),
    candidate(Kernel::BihalfCounting32x8, 32, 8, false, All, 1_311, 186),
    candidate(Kernel::BihalfNetwork32, 32, 32, true, All, 2_200, 24),
    candidate(Kernel::BihalfPairs32, 32, 64, true, Pairs, 2_500, 13),
    candidate(Kernel::BihalfCounting64, 64, 1, false, Unpacked, 1_307, 1_136),
    candidate(Kernel::BihalfCounting64x8, 64, 8, false, All, 2_447, 640),
    candidate(Kernel::BihalfNetwork64, 64, 32, true, All, 4_900, 51),
    candidate(Kernel::BihalfCounting128, 128, 1, false, Unpacked, 2_289, 3_408),
    candidate(Kernel::BihalfHistogram256, 256, 1, false, Unpacked, 2_809, 1_136),
    candidate(Kernel::BihalfHistogram1024, 1024, 1, false, Unpacked, 4_742, 2_688),
    candidate(Kernel::BihalfHistogram4096, 4096, 1, false, Unpacked, 10_955, 6_656),
    candidate(Kernel::BihalfShortSlices128, 128, 32, false, All, 9_000, 158),
    candidate(Kernel::BihalfShortSlices256, 256, 32, false, All, 15_000, 316),
    candidate(Kernel::BihalfShortSlices1024, 1024, 8, false, All, 17_964, 1_338),
    candidate(Kernel::BihalfSlices128, 128, 32, false, All, 51_900, 118),
    candidate(Kernel::BihalfSlices256, 256, 32, false, All, 51_900, 236),
    candidate(Kernel::BihalfSlices1024, 1024, 8, false, All, 51_900, 960),
    candidate(Kernel::BihalfSlices2048, 2048, 8, false, All, 51_900, 1_920),
    candidate(Kernel::BihalfSlices4096, 4096, 8, false, All, 51_900, 3_840),
    candidate(Kernel::BihalfSlices8192, 8192, 8, false, All, 60_000, 6_100),
    candidate(Kernel::BihalfSlices8192x4, 8192, 4, false, Unpacked, 60_000, 7_962),
    candidate(Kernel::BihalfClusterHistogram1024, 1024, 8, false, All, 3_500, 7_900),
    candidate(Kernel::BihalfClusterHistogram4096, 4096, 8, false, All, 5_000, 15_900),
    candidate(Kernel::BihalfClusterSlices8192, 8192, 8, false, All, 16_000, 16_700),
    candidate(Kernel::BihalfClusterSlices32768, 32_768, 8, false, All, 50_000, 41_300),
    candidate(Kernel::BihalfClusterSlices65536, 65_536, 8, false, All, 60_000, 51_700),
];

const fn candidate(
    kernel: Kernel,
    rows: u32,
    columns: u32,
    pads: bool,
    does: Does,
    latency: u32,
    instructions: u32,
) -> Candidate {
    Candidate { kernel, rows, columns, pads, does, latency, instructions }
}

impl Candidate {
    fn takes(&self, rows: u32, k: u32, dtype: DType, asked: Asked, limits: &Limits) -> bool {
        let fits = if self.pads { k.max(rows - k) <= self.rows / 2 } else { rows <= self.rows };
        let does = match self.does {
            All => true,
            Unpacked => asked != Asked::Packed,
            Pairs => asked == Asked::Pairs && limits.capability >= (9, 0),
        };
        let runs = limits.clusters || !self.kernel.in_clusters();
        let wanted = limits.forward.is_none_or(|kernel| kernel == self.kernel);
        fits && does && runs && wanted && self.kernel.dtypes().contains(&dtype)
    }

    /// What the launch costs, in instructions that the device could have issued meanwhile: while it
    /// is not full, those of the cycles of one block; then all of the launch.
    fn cost(&self, cols: u32, limits: &Limits) -> u64 {
        let issued_per_cycle = u64::from(limits.multiprocessors) * ISSUED_PER_CYCLE;
        let instructions = u64::from(cols) * u64::from(self.instructions);
        (u64::from(self.latency) * issued_per_cycle).max(instructions)
    }
}

/// The kernels that could do it in one launch, of which the plan takes one.
pub fn bihalf_candidates(
    (rows, k): (u32, u32),
    dtype: DType,
    asked: Asked,
    limits: &Limits,
) -> impl Iterator<Item = Kernel> {
    let takes = move |candidate: &&Candidate| candidate.takes(rows, k, dtype, asked, limits);
    CANDIDATES.iter().filter(takes).map(|candidate| candidate.kernel)
}

/// The plan for `k` ones a column.
pub fn bihalf(
    (rows, cols): (u32, u32),
    k: u32,
    dtype: DType,
    asked: Asked,
    limits: &Limits,
) -> Bihalf {
    if cols == 0 {
        return Bihalf::Nothing;
    }
    let padded_cols = if asked == Asked::Packed { padded(cols) } else { cols };
    let in_grid = |c: &&Candidate| padded_cols.div_ceil(c.columns) <= i32::MAX as u32;
    let candidates = CANDIDATES.iter().filter(|c| c.takes(rows, k, dtype, asked, limits));
    let candidates = candidates.filter(in_grid);
    if let Some(best) = candidates.min_by_key(|candidate| candidate.cost(cols, limits)) {
        let blocks = if best.kernel.in_clusters() { CLUSTER } else { 1 };
        return Bihalf::OneLaunch(launch(
            best.kernel,
            (padded_cols.div_ceil(best.columns), blocks),
        ));
    }
    let blocks = limits.multiprocessors.max(1).saturating_mul(BLOCKS_OF_MULTIPROCESSOR);
    let wanted = blocks.div_ceil(cols.div_ceil(TILE_COLUMNS));
    let least_steps = STEPS.0 + u32::from(rows <= LONGER_CHUNKS_TO);
    let steps = rows.div_ceil(wanted).div_ceil(STEP_ROWS).clamp(least_steps, STEPS.1);
    let chunk_rows = steps * STEP_ROWS;
    // Of no rows one chunk: it writes what does not depend on them.
    let chunks = rows.div_ceil(chunk_rows).max(1);
    let most_chunks = rows.div_ceil(STEPS.0 * STEP_ROWS).min(wanted).max(chunks);
    let key_bits = dtype.key_bits();
    Bihalf::Radix(Radix { cols, padded_cols, key_bits, chunk_rows, chunks, most_chunks })
}

fn launch(kernel: Kernel, grid: (u32, u32)) -> Launch {
    Launch { kernel, grid, shared_bytes: 0 }
}

impl Bihalf {
    /// The launches in their order.
    pub fn launches(&self) -> impl Iterator<Item = Launch> + use<> {
        let (alone, radix) = match *self {
            Self::Nothing => (None, None),
            Self::OneLaunch(launch) => (Some(launch), None),
            Self::Radix(radix) => (None, Some(radix)),
        };
        let steps = radix.into_iter().flat_map(Radix::steps);
        alone.into_iter().chain(steps.map(|(_, launch)| launch))
    }

    /// Bytes of workspace.
    pub fn workspace_bytes(&self) -> usize {
        match self {
            Self::Radix(radix) => radix.workspace_bytes(),
            Self::Nothing | Self::OneLaunch(_) => 0,
        }
    }
}

impl Radix {
    /// The digits of a key, the most significant one first: as few as there can be, of bits dealt
    /// out evenly.
    fn digits(self) -> impl Iterator<Item = Digit> {
        let digits = self.key_bits.div_ceil(DIGIT_BITS);
        let end = move |digit: u32| self.key_bits * (digits - digit) / digits;
        (0..digits).map(move |digit| {
            let shift = end(digit + 1);
            Digit { shift, bits: end(digit) - shift, first: digit == 0 }
        })
    }

    fn last_digit(self) -> Digit {
        self.digits().last().expect("keys have bits")
    }

    /// The launches in their order, each with what it is for.
    pub fn steps(self) -> impl Iterator<Item = (Step, Launch)> {
        let tiles = |cols: u32| cols.div_ceil(TILE_COLUMNS);
        // Tiles side by side, then chunk below chunk: `grid.y` would not reach to the last rows.
        // More blocks than `grid.x` has would be of more memory than any device has.
        let chunks = move |cols| {
            let blocks = u64::from(tiles(cols)) * u64::from(self.chunks);
            (blocks.min(i32::MAX as u64) as u32, 1)
        };
        let digits = self.digits().flat_map(move |digit| {
            let histogram = launch(Kernel::BihalfRadixHistogram, chunks(self.cols));
            let pick = launch(Kernel::BihalfRadixPick, (tiles(self.cols), 1));
            [(Step::Histogram(digit), histogram), (Step::Pick(digit), pick)]
        });
        let columns = (column_blocks(self.cols), 1);
        digits.chain([
            (Step::Scan(self.last_digit()), launch(Kernel::BihalfRadixScan, columns)),
            (Step::Emit, launch(Kernel::BihalfRadixEmit, chunks(self.padded_cols))),
        ])
    }

    // The workspace: the columns' selections, their histograms, the ties before each of their
    // chunks, and the counts of the last digit that chunks keep.

    pub(crate) fn histogram_offset(&self) -> usize {
        self.cols as usize * SELECTION_BYTES
    }

    pub(crate) fn histogram_bytes(&self) -> usize {
        DIGITS * self.cols as usize * size_of::<u32>()
    }

    pub(crate) fn before_offset(&self) -> usize {
        self.histogram_offset() + self.histogram_bytes()
    }

    pub(crate) fn kept_offset(&self) -> usize {
        self.before_offset() + self.chunks as usize * self.cols as usize * size_of::<u32>()
    }

    /// Enough for fewer rows too.
    fn workspace_bytes(&self) -> usize {
        let digits = 1 << self.last_digit().bits;
        let most = Self { chunks: self.most_chunks, ..*self };
        let kept = most.chunks as usize * digits * self.cols as usize * size_of::<u16>();
        most.kept_offset() + kept
    }
}
