//! How an operation is launched on a CUDA device: which kernels, on which grid, with how much
//! shared memory and workspace.
//!
//! Plans are pure functions of a shape, an element type and the [`Limits`] of a device; no device
//! and no feature is needed to look at one.
//!
//! ```
//! use bihalf::plan::{self, DType, Limits};
//!
//! let limits = Limits::of_capability(9, 0).expect("a known architecture");
//! let plan = plan::rank(1000, 64, DType::F32, &limits);
//! assert_eq!(plan.steps().count(), 1);
//! assert_eq!(plan.workspace_bytes(), 0);
//! ```
//!
//! Columns are tiled along `grid.x`, which reaches 2^31 - 1 blocks; rows along `grid.y`, which
//! reaches 65,535, so kernels that walk down rows take a stride where that is not enough.

mod bihalf;
mod loss;
mod rank;
mod search;
mod walk;

pub use bihalf::{Asked, Bihalf, Digit, Radix, Step as BihalfStep, bihalf, bihalf_candidates};
pub use loss::{
    cosine, cosine_backward, cosine_packed, cosine_workspace_bytes, penalty,
    penalty_workspace_bytes,
};
pub use rank::{Rank, Step as RankStep, rank};
pub use search::{Nearest, distances, nearest, tally};
pub use walk::{VECTOR_BYTES, by_vectors, walk, walk_words};

/// Threads of a warp; columns of a tile.
pub(crate) const WARP: u32 = 32;
/// Warps of a block of the kernels that walk down rows.
pub(crate) const WARPS: u32 = 8;
/// Blocks of a cluster: the most that any device with clusters takes, if it takes any.
pub const CLUSTER: u32 = 8;

/// An element type, as kernels know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// `f32`.
    F32,
    /// `f64`.
    F64,
    /// IEEE half precision.
    F16,
    /// bfloat16.
    Bf16,
}

impl DType {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::F32, Self::F64, Self::F16, Self::Bf16];

    /// The end of the names of its kernels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }

    /// Bits of a key: what a radix selection goes through.
    pub const fn key_bits(self) -> u32 {
        match self {
            Self::F32 => 32,
            Self::F64 => 64,
            Self::F16 | Self::Bf16 => 16,
        }
    }
}

/// Shared memory that a block of any device has without asking, in bytes.
pub const SHARED_BYTES: u32 = 48 << 10;

/// What a device allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Shared memory of a block, in bytes. What is above [`SHARED_BYTES`] must be asked for.
    pub shared_bytes_optin: u32,
    /// Blocks along `grid.y`.
    pub grid_y: u32,
    /// Streaming multiprocessors.
    pub multiprocessors: u32,
    /// Compute capability, major and minor: that of the code that runs, where the device has to
    /// take what was compiled for an older one.
    pub capability: (u32, u32),
    /// Whether blocks form clusters: from capability 9.0 on, if the device has room for one, which
    /// a part of a partitioned device may not have.
    pub clusters: bool,
    /// The only kernel that Bi-half's forward may take, for measurements; radix selection does what
    /// it cannot.
    pub forward: Option<Kernel>,
}

impl Limits {
    /// The limits of an architecture, for those that kernels are compiled for; multiprocessors are
    /// those of a well-known device: T4, A100, RTX 3090, RTX 4090, H100, B200, RTX 5090.
    pub const fn of_capability(major: u32, minor: u32) -> Option<Self> {
        let (kilobytes, multiprocessors) = match (major, minor) {
            (7, 5) => (64, 40),
            (8, 0) => (163, 108),
            (8, 6) => (99, 82),
            (8, 9) => (99, 128),
            (9, 0) => (227, 132),
            (10, 0) => (227, 148),
            (12, 0) => (99, 170),
            _ => return None,
        };
        Some(Self {
            shared_bytes_optin: kilobytes << 10,
            grid_y: 65_535,
            multiprocessors,
            capability: (major, minor),
            clusters: major >= 9,
            forward: None,
        })
    }
}

/// One launch of one kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The kernel.
    pub kernel: Kernel,
    /// Blocks along x and y.
    pub grid: (u32, u32),
    /// Dynamic shared memory, in bytes.
    pub shared_bytes: u32,
}

macro_rules! kernels {
    ($($(#[$doc:meta])* $kernel:ident = $name:literal, $threads:expr, $types:ident;)*) => {
        /// The kernels of `kernels/`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kernel {
            $($(#[$doc])* $kernel,)*
        }

        impl Kernel {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$kernel),*];

            /// The exported name without the element type.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kernel => $name,)*
                }
            }

            /// The exported names, one for each of [`dtypes`](Self::dtypes).
            pub fn symbols(self) -> Vec<String> {
                if self.dtypes().is_empty() {
                    return vec![self.name().to_owned()];
                }
                self.dtypes().iter().map(|&dtype| self.symbol(dtype)).collect()
            }

            /// The exported name for an element type.
            pub fn symbol(self, dtype: DType) -> String {
                match self.dtypes() {
                    [] => self.name().to_owned(),
                    _ => format!("{}_{}", self.name(), dtype.name()),
                }
            }

            /// Whether its blocks form clusters, of [`CLUSTER`] blocks along `grid.y`. Such kernels
            /// are compiled for capability 9.0 and newer ones alone.
            pub const fn in_clusters(self) -> bool {
                matches!(
                    self,
                    Self::BihalfClusterHistogram1024
                        | Self::BihalfClusterHistogram4096
                        | Self::BihalfClusterSlices8192
                        | Self::BihalfClusterSlices32768
                        | Self::BihalfClusterSlices65536
                )
            }

            /// Threads of a block.
            pub const fn threads(self) -> u32 {
                match self {
                    $(Self::$kernel => $threads,)*
                }
            }

            /// Dynamic shared memory that its launches ask for, in bytes.
            pub fn shared_bytes(self, dtype: DType) -> u32 {
                rank::shared_bytes(self, dtype)
            }

            /// The element types that it is compiled for; empty where it does not depend on one.
            pub const fn dtypes(self) -> &'static [DType] {
                match self {
                    $(Self::$kernel => types::$types,)*
                }
            }
        }
    };
}

mod types {
    use super::DType;
    pub(super) const ALL: &[DType] = &DType::ALL;
    pub(super) const UP_TO_32_BITS: &[DType] = &[DType::F32, DType::F16, DType::Bf16];
    pub(super) const F32: &[DType] = &[DType::F32];
    pub(super) const UP_TO_16_BITS: &[DType] = &[DType::F16, DType::Bf16];
    pub(super) const NONE: &[DType] = &[];
}

kernels! {
    /// `bihalf.cu`: forward by counting, up to 32 rows of one column a block.
    BihalfCounting32 = "bihalf_counting32", 4 * WARP, ALL;
    /// `bihalf.cu`: forward by counting, up to 32 rows of eight columns a block.
    BihalfCounting32x8 = "bihalf_counting32x8", 8 * WARP, ALL;
    /// `bihalf.cu`: forward by counting, up to 64 rows of one column a block.
    BihalfCounting64 = "bihalf_counting64", 8 * WARP, ALL;
    /// `bihalf.cu`: forward by counting, up to 64 rows of eight columns a block.
    BihalfCounting64x8 = "bihalf_counting64x8", 16 * WARP, ALL;
    /// `bihalf.cu`: forward by counting, up to 128 rows of one column a block.
    BihalfCounting128 = "bihalf_counting128", 16 * WARP, ALL;
    /// `bihalf.cu`: forward by a histogram in shared memory, up to 256 rows.
    BihalfHistogram256 = "bihalf_histogram256", 8 * WARP, ALL;
    /// `bihalf.cu`: forward by a histogram in shared memory, up to 1024 rows.
    BihalfHistogram1024 = "bihalf_histogram1024", 16 * WARP, ALL;
    /// `bihalf.cu`: forward by a histogram in shared memory, up to 4096 rows.
    BihalfHistogram4096 = "bihalf_histogram4096", 32 * WARP, ALL;
    /// `bihalf.cu`: forward by a network, up to 32 rows.
    BihalfNetwork32 = "bihalf_network32", WARP, ALL;
    /// `bihalf.cu`: forward by a network, up to 64 rows.
    BihalfNetwork64 = "bihalf_network64", WARP, UP_TO_32_BITS;
    /// `bihalf.cu`: forward by a network of two columns a lane, up to 32 rows.
    BihalfPairs32 = "bihalf_pairs32", WARP, UP_TO_16_BITS;
    /// `bihalf.cu`: forward by bit slices, 32 rows a thread, up to 128 rows.
    BihalfShortSlices128 = "bihalf_short_slices128", 4 * WARP, ALL;
    /// `bihalf.cu`: forward by bit slices, 32 rows a thread, up to 256 rows.
    BihalfShortSlices256 = "bihalf_short_slices256", 8 * WARP, ALL;
    /// `bihalf.cu`: forward by bit slices, 32 rows a thread, up to 1024 rows.
    BihalfShortSlices1024 = "bihalf_short_slices1024", 8 * WARP, ALL;
    /// `bihalf.cu`: forward by bit slices, up to 128 rows.
    BihalfSlices128 = "bihalf_slices128", WARP, UP_TO_32_BITS;
    /// `bihalf.cu`: forward by bit slices, up to 256 rows.
    BihalfSlices256 = "bihalf_slices256", 2 * WARP, UP_TO_32_BITS;
    /// `bihalf.cu`: forward by bit slices, up to 1024 rows.
    BihalfSlices1024 = "bihalf_slices1024", 2 * WARP, UP_TO_32_BITS;
    /// `bihalf.cu`: forward by bit slices, up to 2048 rows.
    BihalfSlices2048 = "bihalf_slices2048", 4 * WARP, UP_TO_32_BITS;
    /// `bihalf.cu`: forward by bit slices, up to 4096 rows.
    BihalfSlices4096 = "bihalf_slices4096", 8 * WARP, UP_TO_32_BITS;
    /// `bihalf.cu`: forward by bit slices, up to 8192 rows.
    BihalfSlices8192 = "bihalf_slices8192", 16 * WARP, UP_TO_16_BITS;
    /// `bihalf.cu`: forward by bit slices, up to 8192 rows of four columns a block.
    BihalfSlices8192x4 = "bihalf_slices8192x4", 8 * WARP, F32;
    /// `bihalf.cu`: forward by a histogram that a cluster of blocks shares, up to 1024 rows.
    BihalfClusterHistogram1024 = "bihalf_cluster_histogram1024", 16 * WARP, ALL;
    /// `bihalf.cu`: forward by a histogram that a cluster of blocks shares, up to 4096 rows.
    BihalfClusterHistogram4096 = "bihalf_cluster_histogram4096", 16 * WARP, ALL;
    /// `bihalf.cu`: forward by bit slices in a cluster of blocks, up to 8192 rows.
    BihalfClusterSlices8192 = "bihalf_cluster_slices8192", 8 * WARP, ALL;
    /// `bihalf.cu`: forward by bit slices in a cluster of blocks, up to 32,768 rows.
    BihalfClusterSlices32768 = "bihalf_cluster_slices32768", 8 * WARP, F32;
    /// `bihalf.cu`: forward by bit slices in a cluster of blocks, up to 65,536 rows.
    BihalfClusterSlices65536 = "bihalf_cluster_slices65536", 16 * WARP, UP_TO_16_BITS;
    /// `bihalf.cu`: counts of one digit of the keys.
    BihalfRadixHistogram = "bihalf_radix_histogram", WARPS * WARP, ALL;
    /// `bihalf.cu`: the digit of the threshold.
    BihalfRadixPick = "bihalf_radix_pick", WARPS * WARP, NONE;
    /// `bihalf.cu`: keys that equal the threshold before each chunk.
    BihalfRadixScan = "bihalf_radix_scan", WARPS * WARP, NONE;
    /// `bihalf.cu`: the result.
    BihalfRadixEmit = "bihalf_radix_emit", WARPS * WARP, ALL;
    /// `bihalf.cu`: backward from dense B.
    BihalfBackwardDense = "bihalf_backward_dense", WARPS * WARP, ALL;
    /// `bihalf.cu`: backward from packed B.
    BihalfBackwardPacked = "bihalf_backward_packed", WARPS * WARP, ALL;
    /// `rank.cu`: sort of tiles of 32 rows.
    RankSort32 = "rank_sort32", WARP, ALL;
    /// `rank.cu`: sort of tiles of 256 rows.
    RankSort256 = "rank_sort256", 8 * WARP, ALL;
    /// `rank.cu`: sort of tiles of 1024 rows.
    RankSort1024 = "rank_sort1024", 8 * WARP, ALL;
    /// `rank.cu`: sort of tiles of 2048 rows.
    RankSort2048 = "rank_sort2048", 16 * WARP, ALL;
    /// `rank.cu`: sort of tiles of 4096 rows.
    RankSort4096 = "rank_sort4096", 16 * WARP, ALL;
    /// `rank.cu`: sort of tiles of 4096 rows, as 64-bit pairs, which are merged.
    RankSortPairs = "rank_sort_pairs", 16 * WARP, UP_TO_32_BITS;
    /// `rank.cu`: strides of a merge of 32-bit pairs between tiles.
    RankExchangePairs32 = "rank_exchange_pairs32", WARPS * WARP, NONE;
    /// `rank.cu`: the same of 64-bit pairs.
    RankExchangePairs64 = "rank_exchange_pairs64", WARPS * WARP, NONE;
    /// `rank.cu`: the same of 128-bit pairs.
    RankExchangePairs128 = "rank_exchange_pairs128", WARPS * WARP, NONE;
    /// `rank.cu`: strides of a merge of 32-bit pairs within tiles.
    RankMergePairs32 = "rank_merge_pairs32", 16 * WARP, NONE;
    /// `rank.cu`: the same of 64-bit pairs.
    RankMergePairs64 = "rank_merge_pairs64", 16 * WARP, NONE;
    /// `rank.cu`: the same of 128-bit pairs.
    RankMergePairs128 = "rank_merge_pairs128", 16 * WARP, NONE;
    /// `sign.cu`: forward.
    SignForward = "sign_forward", WARPS * WARP, ALL;
    /// `sign.cu`: backward.
    SignBackward = "sign_backward", WARPS * WARP, ALL;
    /// `relax.cu`: forward.
    RelaxForward = "relax_forward", WARPS * WARP, ALL;
    /// `relax.cu`: backward.
    RelaxBackward = "relax_backward", WARPS * WARP, ALL;
    /// `codes.cu`: unpacking.
    CodesUnpack = "codes_unpack", WARPS * WARP, ALL;
    /// `codes.cu`: ones of each bit.
    CodesOnes = "codes_ones", WARPS * WARP, NONE;
    /// `loss.cu`: cosine loss of dense codes, with its gradient.
    CosineDense = "cosine_dense", WARPS * WARP, ALL;
    /// `loss.cu`: cosine loss of packed codes, with the pair gradients.
    CosinePacked = "cosine_packed", WARPS * WARP, NONE;
    /// `loss.cu`: gradient of the cosine loss back through Bi-half, from packed codes.
    CosineBackward = "cosine_backward", WARPS * WARP, ALL;
    /// `loss.cu`: entropy penalty, with its gradient.
    EntropyPenalty = "entropy_penalty", 32 * WARP, ALL;
    /// `search.cu`: distances of all pairs.
    SearchDistances = "search_distances", WARPS * WARP, NONE;
    /// `search.cu`: how many items are at each distance.
    SearchHistogram = "search_histogram", WARPS * WARP, NONE;
    /// `search.cu`: the distance of the last neighbour.
    SearchLimit = "search_limit", WARP, NONE;
    /// `search.cu`: neighbours of each chunk.
    SearchCount = "search_count", WARPS * WARP, NONE;
    /// `search.cu`: neighbours before each chunk.
    SearchScan = "search_scan", WARP, NONE;
    /// `search.cu`: the neighbours.
    SearchEmit = "search_emit", WARPS * WARP, NONE;
    /// `search.cu`: the neighbours in order.
    SearchSort = "search_sort", WARP, NONE;
    /// `search.cu`: items and relevant items at each distance.
    SearchTally = "search_tally", WARPS * WARP, NONE;
}

/// Tiles of 32 columns.
fn tiles(cols: u32) -> u32 {
    cols.div_ceil(WARP)
}

/// Blocks with one thread a column.
fn column_blocks(cols: u32) -> u32 {
    cols.div_ceil(WARPS * WARP)
}
