//! Plan of rank and argsort: tile sorts and bitonic merges.

use super::{DType, Kernel, Launch, Limits, WARPS, tiles};

/// Columns that a block sorts.
const COLUMNS: u32 = 8;

/// Rows that a block of `kernel` sorts.
fn tile_rows(kernel: Kernel, dtype: DType) -> u32 {
    let items = match (kernel, dtype) {
        (Kernel::RankSortSmall | Kernel::RankSortMedium, _) | (_, DType::F64) => 8,
        _ => 16,
    };
    items * kernel.threads() / COLUMNS
}

/// Bytes of a key with its row.
fn pair_bytes(dtype: DType) -> u32 {
    if dtype == DType::F64 { 16 } else { 8 }
}

/// Shared memory of a block. A block of one warp exchanges by shuffles alone, other kernels need
/// none.
pub(super) fn shared_bytes(kernel: Kernel, dtype: DType) -> u32 {
    match kernel {
        Kernel::RankSortMedium | Kernel::RankSortLarge | Kernel::RankMerge => {
            tile_rows(kernel, dtype) * COLUMNS * pair_bytes(dtype)
        }
        _ => 0,
    }
}

/// How columns are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rank {
    rows: u32,
    cols: u32,
    dtype: DType,
    sort: Kernel,
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
    /// Comparators between tiles.
    Exchange {
        /// Rows between the two places of a comparator; half of the merged run in the mirrored
        /// step.
        stride: u64,
        /// Whether mirrored places are compared: the first step of a merge.
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
    let sizes = [Kernel::RankSortSmall, Kernel::RankSortMedium, Kernel::RankSortLarge];
    let covering = sizes.into_iter().find(|&sort| rows <= tile_rows(sort, dtype));
    let sort = covering.unwrap_or(Kernel::RankSortLarge);
    Rank { rows, cols, dtype, sort, grid_y: limits.grid_y }
}

impl Rank {
    /// Rows that a block sorts.
    pub fn tile_rows(&self) -> u32 {
        tile_rows(self.sort, self.dtype)
    }

    /// The launches in their order, each with what it is for.
    pub fn steps(&self) -> impl Iterator<Item = (Step, Launch)> + use<> {
        let plan = *self;
        let some = plan.rows > 0 && plan.cols > 0;
        let tile = u64::from(plan.tile_rows());
        let runs = move |run: u64| (run < u64::from(plan.rows)).then_some(run * 2);

        let sort = (Step::Sort { last: tile >= u64::from(plan.rows) }, plan.by_tiles(plan.sort));
        let merges = std::iter::successors(runs(tile), move |&run| runs(run));
        let merges = merges.flat_map(move |run| {
            let strides = std::iter::successors(Some(run / 2), |stride| Some(stride / 2));
            let strides = strides.take_while(move |&stride| stride >= tile);
            let exchanges = strides.map(move |stride| {
                let step = Step::Exchange { stride, mirrored: stride == run / 2 };
                (step, plan.by_pairs())
            });
            let last = run >= u64::from(plan.rows);
            exchanges.chain([(Step::Merge { last }, plan.by_tiles(Kernel::RankMerge))])
        });
        some.then_some(sort).into_iter().chain(merges.filter(move |_| some))
    }

    fn by_tiles(&self, kernel: Kernel) -> Launch {
        // Tiles side by side, then below each other: `grid.y` would not reach to the last rows.
        let across = self.cols.div_ceil(COLUMNS);
        let blocks = across.saturating_mul(self.rows.div_ceil(self.tile_rows()));
        Launch { kernel, grid: (blocks, 1), shared_bytes: shared_bytes(kernel, self.dtype) }
    }

    fn by_pairs(&self) -> Launch {
        // About one comparator for two rows; eight for each warp.
        let blocks = (self.rows / 2).div_ceil(8 * WARPS).clamp(1, self.grid_y);
        Launch { kernel: Kernel::RankExchange, grid: (tiles(self.cols), blocks), shared_bytes: 0 }
    }

    /// Bytes of workspace: a pair for each element, unless one block holds all rows.
    pub fn workspace_bytes(&self) -> usize {
        if self.rows <= self.tile_rows() {
            return 0;
        }
        self.rows as usize * self.cols as usize * pair_bytes(self.dtype) as usize
    }
}
