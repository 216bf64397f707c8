//! Plan of rank and argsort: tile sorts and bitonic merges.

use super::{DType, Kernel, Launch, Limits, WARPS, tiles};

/// Kernels that sort a tile, each with its rows.
const SORTS: [(Kernel, u32); 5] = [
    (Kernel::RankSort32, 32),
    (Kernel::RankSort256, 256),
    (Kernel::RankSort1024, 1024),
    (Kernel::RankSort2048, 2048),
    (Kernel::RankSort4096, TILE_ROWS),
];

/// Rows of a tile that is merged with others.
const TILE_ROWS: u32 = 4096;

/// Strides that one pass over the workspace does.
const MAX_STRIDES: u32 = 4;

/// Shared memory that a block may ask for on every architecture; larger exchanges go in batches.
const SHARED_BYTES: u32 = 64 << 10;

/// A key with its row, as it is sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pair {
    Bits32,
    Bits64,
    Bits128,
}

impl Pair {
    fn of(rows: u32, dtype: DType) -> Self {
        match dtype {
            DType::F16 | DType::Bf16 if rows <= 1 << 16 => Self::Bits32,
            DType::F32 | DType::F16 | DType::Bf16 => Self::Bits64,
            DType::F64 => Self::Bits128,
        }
    }

    fn bytes(self) -> u32 {
        match self {
            Self::Bits32 => 4,
            Self::Bits64 => 8,
            Self::Bits128 => 16,
        }
    }

    /// The kernel that sorts a tile which is merged with others.
    fn sort(self) -> Kernel {
        match self {
            Self::Bits64 => Kernel::RankSortPairs,
            Self::Bits32 | Self::Bits128 => Kernel::RankSort4096,
        }
    }

    fn exchange(self) -> Kernel {
        match self {
            Self::Bits32 => Kernel::RankExchangePairs32,
            Self::Bits64 => Kernel::RankExchangePairs64,
            Self::Bits128 => Kernel::RankExchangePairs128,
        }
    }

    fn merge(self) -> Kernel {
        match self {
            Self::Bits32 => Kernel::RankMergePairs32,
            Self::Bits64 => Kernel::RankMergePairs64,
            Self::Bits128 => Kernel::RankMergePairs128,
        }
    }
}

/// Rows and columns of a tile of a kernel, and bytes of what it exchanges; none for kernels
/// without a tile.
fn tile(kernel: Kernel, dtype: DType) -> Option<(u32, u32, u32)> {
    let pair = match kernel {
        Kernel::RankMergePairs32 => Pair::Bits32,
        Kernel::RankMergePairs64 | Kernel::RankSortPairs => Pair::Bits64,
        Kernel::RankMergePairs128 => Pair::Bits128,
        // Keys of `f32` are sorted alone.
        _ if dtype == DType::F64 => Pair::Bits128,
        _ => Pair::Bits32,
    };
    let rows = SORTS.into_iter().find(|&(sort, _)| sort == kernel).map(|(_, rows)| rows);
    let rows = match kernel {
        Kernel::RankMergePairs32
        | Kernel::RankMergePairs64
        | Kernel::RankMergePairs128
        | Kernel::RankSortPairs => TILE_ROWS,
        _ => rows?,
    };
    let columns = match (pair, rows) {
        (Pair::Bits128, 1024 | 2048) => 4,
        (Pair::Bits128, TILE_ROWS) => 2,
        (_, TILE_ROWS) => 4,
        _ => 8,
    };
    Some((rows, columns, pair.bytes()))
}

/// Shared memory of a block.
pub(super) fn shared_bytes(kernel: Kernel, dtype: DType) -> u32 {
    tile(kernel, dtype)
        .map_or(0, |(rows, columns, bytes)| (rows * columns * bytes).min(SHARED_BYTES))
}

/// How columns are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rank {
    rows: u32,
    cols: u32,
    dtype: DType,
    sort: Kernel,
    tile_rows: u32,
    pair: Pair,
    grid_y: u32,
}

/// One launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Sort of every tile.
    Sort {
        /// Whether the columns are sorted now.
        last: bool,
    },
    /// Comparators between tiles: some strides of a merge, each half of the one before.
    Exchange {
        /// The least of them, in rows.
        stride: u64,
        /// How many.
        strides: u32,
        /// Whether the greatest one is the mirrored step, which begins a merge.
        mirrored: bool,
    },
    /// Comparators within every tile.
    Merge {
        /// Whether the columns are sorted now.
        last: bool,
    },
}

/// The plan for a matrix.
pub fn rank(rows: u32, cols: u32, dtype: DType, limits: &Limits) -> Rank {
    let pair = Pair::of(rows, dtype);
    let covering = SORTS.into_iter().find(|&(_, tile_rows)| rows <= tile_rows);
    let (sort, tile_rows) = covering.unwrap_or((pair.sort(), TILE_ROWS));
    Rank { rows, cols, dtype, sort, tile_rows, pair, grid_y: limits.grid_y }
}

impl Rank {
    /// Rows that a block sorts.
    pub fn tile_rows(&self) -> u32 {
        self.tile_rows
    }

    /// The launches in their order, each with what it is for.
    pub fn steps(&self) -> impl Iterator<Item = (Step, Launch)> + use<> {
        let plan = *self;
        let some = plan.rows > 0 && plan.cols > 0;
        let (rows, tile) = (u64::from(plan.rows), u64::from(plan.tile_rows));
        let runs = move |run: u64| (run < rows).then_some(run * 2);

        let sort = (Step::Sort { last: tile >= rows }, plan.by_tiles(plan.sort));
        let merges = std::iter::successors(runs(tile), move |&run| runs(run));
        let merges = merges.flat_map(move |run| {
            let last = Step::Merge { last: run >= rows };
            plan.exchanges(run).chain([(last, plan.by_tiles(plan.pair.merge()))])
        });
        some.then_some(sort).into_iter().chain(merges.filter(move |_| some))
    }

    /// The strides of a tile or more of the merge to runs of `run` rows, as few passes as can be.
    fn exchanges(self, run: u64) -> impl Iterator<Item = (Step, Launch)> {
        let total = (run / u64::from(self.tile_rows)).ilog2();
        let passes = total.div_ceil(MAX_STRIDES);
        (0..passes).map(move |pass| {
            let (done, after) = (total * pass / passes, total * (pass + 1) / passes);
            let (stride, strides) = (run >> after, after - done);
            (Step::Exchange { stride, strides, mirrored: pass == 0 }, self.by_pairs(strides))
        })
    }

    fn by_tiles(&self, kernel: Kernel) -> Launch {
        let (rows, columns, _) = tile(kernel, self.dtype).expect("a kernel with a tile");
        // Tiles side by side, then below each other: `grid.y` would not reach to the last rows.
        let blocks = self.cols.div_ceil(columns).saturating_mul(self.rows.div_ceil(rows));
        Launch { kernel, grid: (blocks, 1), shared_bytes: shared_bytes(kernel, self.dtype) }
    }

    fn by_pairs(&self, strides: u32) -> Launch {
        // A thread holds 2^strides rows of a column.
        let blocks = (self.rows >> strides).div_ceil(WARPS).clamp(1, self.grid_y);
        let grid = (tiles(self.cols), blocks);
        Launch { kernel: self.pair.exchange(), grid, shared_bytes: 0 }
    }

    /// Bytes of workspace: a pair for each element, unless one block holds all rows.
    pub fn workspace_bytes(&self) -> usize {
        if self.rows <= self.tile_rows {
            return 0;
        }
        (self.rows as usize * self.cols as usize).saturating_mul(self.pair.bytes() as usize)
    }
}
