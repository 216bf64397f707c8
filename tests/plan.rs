//! Promises of `plan`: every launch is one that a device accepts, and covers the matrix.

use bihalf::plan::{self, Asked, Bihalf, BihalfStep, DType, Kernel, Launch, Limits, RankStep};

/// The architectures that kernels are compiled for.
const CAPABILITIES: [(u32, u32); 7] = [(7, 5), (8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (12, 0)];

/// Around every edge of a kernel: a network's rows, a tile's, a chunk's, and the limits of a grid.
const ROWS: [u32; 28] = [
    0,
    1,
    2,
    31,
    32,
    33,
    63,
    64,
    65,
    255,
    256,
    257,
    511,
    512,
    513,
    1024,
    1025,
    2048,
    2049,
    4096,
    4097,
    8193,
    65_536,
    65_537,
    131_073,
    1 << 20,
    100_000_000,
    u32::MAX,
];

const COLS: [u32; 12] = [0, 1, 7, 8, 9, 31, 32, 33, 64, 65, 512, 1 << 20];

fn limits() -> impl Iterator<Item = Limits> {
    CAPABILITIES.into_iter().map(|(major, minor)| Limits::of_capability(major, minor).unwrap())
}

fn shapes() -> impl Iterator<Item = (u32, u32)> {
    ROWS.into_iter().flat_map(|rows| COLS.map(|cols| (rows, cols)))
}

/// What every device demands of a launch.
#[track_caller]
fn assert_launchable(launch: Launch, dtype: DType, limits: &Limits) {
    let Launch { kernel, grid: (x, y), shared_bytes } = launch;
    assert!((1..=i32::MAX as u32).contains(&x), "{launch:?}");
    assert!((1..=limits.grid_y).contains(&y), "{launch:?}");
    assert!(shared_bytes <= limits.shared_bytes_optin, "{launch:?} {limits:?}");
    assert_eq!(shared_bytes, kernel.shared_bytes(dtype), "what the attribute is set to");
    let threads = kernel.threads();
    assert!(threads % 32 == 0 && (32..=1024).contains(&threads));
    assert!(kernel.dtypes().is_empty() || kernel.dtypes().contains(&dtype), "{launch:?}");
}

#[test]
fn known_architectures_have_their_limits() {
    let kilobytes = CAPABILITIES.map(|(major, minor)| {
        Limits::of_capability(major, minor).unwrap().shared_bytes_optin >> 10
    });
    assert_eq!(kilobytes, [64, 163, 99, 99, 227, 227, 99]);
    assert_eq!(Limits::of_capability(7, 0), None);
}

#[test]
fn bihalf_covers_every_column_and_row_in_a_fixed_number_of_launches() {
    for limits in limits() {
        for (rows, cols) in shapes() {
            for (dtype, k) in DType::ALL
                .into_iter()
                .flat_map(|dtype| [0, rows / 3, rows / 2, rows].map(|k| (dtype, k)))
            {
                for asked in [Asked::Unpacked, Asked::Packed, Asked::Pairs] {
                    check_bihalf((rows, cols), k, dtype, asked, &limits);
                }
            }
        }
    }
}

#[test]
fn bihalf_of_more_columns_than_a_grid_has_blocks_is_launchable() {
    for limits in limits() {
        for dtype in DType::ALL {
            check_bihalf((1025, 1 << 31), 512, dtype, Asked::Unpacked, &limits);
            check_bihalf((1025, u32::MAX), 512, dtype, Asked::Unpacked, &limits);
        }
    }
}

#[test]
fn a_bihalf_workspace_is_enough_for_fewer_rows() {
    for limits in limits().map(|limits| Limits { multiprocessors: 132, ..limits }) {
        for (cols, dtype) in COLS.into_iter().flat_map(|cols| DType::ALL.map(|d| (cols, d))) {
            let mut most = 0;
            for rows in (65_000..600_000).step_by(511).chain([10_000_000, 100_000_000]) {
                let plan = plan::bihalf((rows, cols), rows / 2, dtype, Asked::Packed, &limits);
                let bytes = plan.workspace_bytes();
                assert!(bytes >= most, "{rows} x {cols}: {bytes} bytes, {most} for fewer rows");
                most = bytes;
            }
        }
    }
}

fn check_bihalf((rows, cols): (u32, u32), k: u32, dtype: DType, asked: Asked, limits: &Limits) {
    let plan = plan::bihalf((rows, cols), k, dtype, asked, limits);
    let launches: Vec<_> = plan.launches().collect();
    let packed = asked == Asked::Packed;
    let written = if packed { cols.div_ceil(64) * 64 } else { cols };
    for &launch in &launches {
        assert_launchable(launch, dtype, limits);
    }
    match plan {
        Bihalf::Nothing => assert_eq!((cols, launches.len()), (0, 0)),
        Bihalf::OneLaunch(launch) => {
            let Capacity { rows: capacity, columns, packs, pads } = capacity(launch.kernel);
            assert!(rows <= capacity, "{rows} {launch:?}");
            assert!(!pads || k.max(rows - k) <= capacity / 2, "pads for {k} of {rows}");
            assert!(packs || !packed, "{launch:?}");
            let two = launch.kernel == Kernel::BihalfPairs32;
            assert!(!two || (asked == Asked::Pairs && limits.capability >= (9, 0)), "{launch:?}");
            assert!(u64::from(launch.grid.0) * u64::from(columns) >= u64::from(written));
            let clustered = launch.kernel.in_clusters();
            assert!(limits.clusters || !clustered, "{launch:?}");
            assert_eq!(launch.grid.1, if clustered { plan::CLUSTER } else { 1 });
            assert_eq!((launches.len(), plan.workspace_bytes()), (1, 0));
        }
        Bihalf::Radix(radix) => {
            let digits = dtype.key_bits().div_ceil(11);
            assert_eq!(launches.len() as u32, 2 * digits + 2, "whatever the shape");
            assert!(radix.chunks as u64 * u64::from(radix.chunk_rows) >= u64::from(rows));
            assert!(radix.chunk_rows < 1 << 16 && radix.chunk_rows % 1024 == 0, "{radix:?}");
            let mut bits_to_come = dtype.key_bits();
            for (step, launch) in radix.steps() {
                let columns = if matches!(step, BihalfStep::Scan(_)) { 256 } else { 8 };
                let needed = if step == BihalfStep::Emit { written } else { cols };
                let by_chunks = matches!(step, BihalfStep::Histogram(_) | BihalfStep::Emit);
                let chunks = if by_chunks { radix.chunks } else { 1 };
                let tiles = u64::from(needed.div_ceil(columns));
                // More blocks than a grid has: more than 2^31 x 8 x 2048 elements.
                let blocks = (tiles * u64::from(chunks)).min(i32::MAX as u64);
                assert_eq!((u64::from(launch.grid.0), launch.grid.1), (blocks, 1), "{step:?}");
                if let BihalfStep::Pick(digit) = step {
                    assert_eq!(digit.first, bits_to_come == dtype.key_bits());
                    assert!((5..=11).contains(&digit.bits), "32 threads share the digits");
                    bits_to_come -= digit.bits;
                    assert_eq!(digit.shift, bits_to_come);
                }
                if let BihalfStep::Scan(digit) = step {
                    assert_eq!(digit.shift, 0);
                }
            }
            assert_eq!(bits_to_come, 0);
        }
    }
}

/// What a block of a one-launch kernel takes, from the line of `kernels/bihalf.cu` that makes it.
struct Capacity {
    rows: u32,
    columns: u32,
    /// Whether packed bits are bits of one warp.
    packs: bool,
    pads: bool,
}

fn capacity(kernel: Kernel) -> Capacity {
    let name = kernel.name().strip_prefix("bihalf_").unwrap();
    let source = include_str!("../kernels/bihalf.cu");
    // As in `FORWARD(T, slices256_##NAME, 256, slices<T, 32, 8, 1>)`.
    let line = source.split(&format!("(T, {name}_##NAME, ")).nth(1);
    let line = line.and_then(|line| line.split('>').next());
    let (call, numbers) = line.and_then(|line| line.split_once("<T")).expect(name);
    let (threads, algorithm) = call.split_once(", ").unwrap();
    assert_eq!(threads.parse().unwrap_or(32), kernel.threads(), "{name}");
    let number = |n: &str| if n == "CLUSTER" { plan::CLUSTER } else { n.parse().unwrap() };
    let numbers: Vec<u32> = numbers.split(", ").skip(1).map(number).collect();
    let (rows, columns) = match (algorithm, &numbers[..]) {
        ("counting", [rows, columns, share]) => {
            assert_eq!(rows * columns * share, kernel.threads());
            (*rows, *columns)
        }
        ("histogram", [threads, items, _]) => {
            assert_eq!(*threads, kernel.threads());
            (threads * items, 1)
        }
        ("network", [rows]) => (*rows, 32),
        ("pairs", []) => (32, 64),
        ("slices", [columns, warps, words]) => {
            assert_eq!(warps * 32, kernel.threads());
            (warps * (32 / columns) * 32 * words, *columns)
        }
        ("slices", [columns, warps, words, blocks]) => {
            assert_eq!(warps * 32, kernel.threads());
            (blocks * warps * (32 / columns) * 32 * words, *columns)
        }
        ("cluster_histogram", [threads, items, _]) => {
            assert_eq!(*threads, kernel.threads());
            (threads * items, 8)
        }
        other => panic!("{other:?}"),
    };
    assert!(!name.ends_with(|c: char| c.is_ascii_digit()) || name.contains(&rows.to_string()));
    Capacity {
        rows,
        columns,
        packs: columns >= 8,
        pads: name.starts_with("network") || name.starts_with("pairs"),
    }
}

#[test]
fn batches_of_thousands_of_rows_take_one_launch() {
    for limits in limits() {
        for (rows, dtype) in [
            (32, DType::F32),
            (64, DType::Bf16),
            (1024, DType::F64),
            (4096, DType::F32),
            (8192, DType::F16),
            (8192, DType::Bf16),
        ] {
            let plan = plan::bihalf((rows, 64), rows / 2, dtype, Asked::Packed, &limits);
            assert_eq!((plan.launches().count(), plan.workspace_bytes()), (1, 0));
        }
        let clustered =
            [(8192, DType::F64), (32_768, DType::F32), (65_536, DType::F16), (65_536, DType::Bf16)];
        for (rows, dtype) in clustered {
            let plan = plan::bihalf((rows, 64), rows / 2, dtype, Asked::Packed, &limits);
            assert_eq!(plan.launches().count() == 1, limits.clusters, "{rows}");
        }
    }
}

/// The choice that a model of cycles makes, for f32: few columns take the kernels of the shortest
/// way, many those of the fewest instructions, whatever the device; a larger device changes later.
#[test]
fn columns_decide_between_latency_and_instructions() {
    use Kernel::*;
    for (rows, clusters, kernels) in [
        (32, true, &[BihalfCounting32, BihalfCounting32x8, BihalfNetwork32][..]),
        (64, true, &[BihalfCounting64, BihalfCounting64x8, BihalfNetwork64]),
        (
            128,
            true,
            &[BihalfCounting128, BihalfHistogram256, BihalfShortSlices128, BihalfSlices128],
        ),
        (256, true, &[BihalfHistogram256, BihalfShortSlices256, BihalfSlices256]),
        (1024, false, &[BihalfHistogram1024, BihalfShortSlices1024, BihalfSlices1024]),
        (
            1024,
            true,
            &[
                BihalfClusterHistogram1024,
                BihalfHistogram1024,
                BihalfShortSlices1024,
                BihalfSlices1024,
            ],
        ),
        (4096, false, &[BihalfHistogram4096, BihalfSlices4096]),
        (4096, true, &[BihalfClusterHistogram4096, BihalfHistogram4096, BihalfSlices4096]),
        (8192, false, &[BihalfSlices8192x4]),
        (8192, true, &[BihalfClusterSlices8192, BihalfSlices8192x4]),
    ] {
        let changes = |limits: &Limits| {
            let mut changes = vec![];
            for cols in (0..20).map(|power| 1 << power) {
                let plan =
                    plan::bihalf((rows, cols), rows / 2, DType::F32, Asked::Unpacked, limits);
                let kernel = plan.launches().next().unwrap().kernel;
                if changes.last().is_none_or(|&(_, last)| last != kernel) {
                    changes.push((cols, kernel));
                }
            }
            changes
        };
        let of = |major, minor| Limits::of_capability(major, minor).unwrap();
        let small = changes(&Limits { clusters, ..of(7, 5) });
        let large = changes(&Limits { clusters, ..of(12, 0) });
        for changes in [&small, &large] {
            let chosen: Vec<_> = changes.iter().map(|(_, kernel)| *kernel).collect();
            assert_eq!(chosen, kernels, "{rows} rows");
        }
        for ((small, _), (large, kernel)) in small.iter().zip(&large) {
            assert!(small <= large, "{kernel:?}");
        }
    }
}

/// Bytes of a pair of key and row: 32 bits hold both while rows have 16.
fn pair_bytes(rows: u32, dtype: DType) -> usize {
    match dtype {
        DType::F64 => 16,
        DType::F16 | DType::Bf16 if rows <= 65_536 => 4,
        _ => 8,
    }
}

#[test]
fn rank_does_every_stride_of_a_bitonic_sort_in_its_order() {
    for limits in limits() {
        for ((rows, cols), dtype) in shapes().flat_map(|s| DType::ALL.map(|dtype| (s, dtype))) {
            let plan = plan::rank(rows, cols, dtype, &limits);
            let steps: Vec<_> = plan.steps().map(|(step, _)| step).collect();
            if rows == 0 || cols == 0 {
                assert!(steps.is_empty());
                continue;
            }
            let (tile, rows) = (u64::from(plan.tile_rows()), u64::from(rows));
            let mut steps = steps.into_iter();
            assert_eq!(steps.next(), Some(RankStep::Sort { last: rows <= tile }));
            let mut run = tile;
            while run < rows {
                run *= 2;
                let mut wanted = run / 2;
                while wanted >= tile {
                    let Some(RankStep::Exchange { stride, strides, mirrored }) = steps.next()
                    else {
                        panic!("no exchange at stride {wanted} of {run}");
                    };
                    assert!((1..=4).contains(&strides), "what a kernel has registers for");
                    assert_eq!(mirrored, wanted == run / 2, "once, at the beginning");
                    assert_eq!(stride << (strides - 1), wanted, "the greatest of them");
                    wanted = stride / 2;
                }
                assert_eq!(wanted, tile / 2, "the rest is within a tile");
                assert_eq!(steps.next(), Some(RankStep::Merge { last: run >= rows }));
            }
            assert_eq!(steps.next(), None);
        }
    }
}

#[test]
fn rank_covers_every_column_and_row_and_has_its_workspace() {
    for limits in limits() {
        for ((rows, cols), dtype) in shapes().flat_map(|s| DType::ALL.map(|dtype| (s, dtype))) {
            let plan = plan::rank(rows, cols, dtype, &limits);
            let tile = plan.tile_rows();
            let smallest = [32, 256, 1024, 2048, 4096].into_iter().find(|&tile| rows <= tile);
            assert_eq!(tile, smallest.unwrap_or(4096), "few rows do not pay for many");
            let pairs = if rows <= tile { 0 } else { rows as usize * cols as usize };
            assert_eq!(plan.workspace_bytes(), pairs * pair_bytes(rows, dtype));
            for (step, launch) in plan.steps() {
                let needed = match step {
                    RankStep::Exchange { .. } => u64::from(cols.div_ceil(32)),
                    _ => {
                        let columns = columns(launch.kernel, dtype);
                        u64::from(cols.div_ceil(columns)) * u64::from(rows.div_ceil(tile))
                    }
                };
                // A matrix of more tiles than a grid has blocks fits in no memory.
                if needed <= i32::MAX as u64 {
                    assert_launchable(launch, dtype, &limits);
                    assert_eq!(u64::from(launch.grid.0), needed, "{step:?}");
                }
                assert!(launch.shared_bytes <= 64 << 10, "what every architecture has");
            }
        }
    }
}

/// Columns of a tile.
fn columns(kernel: Kernel, dtype: DType) -> u32 {
    match (kernel, dtype) {
        (Kernel::RankMergePairs128, _) => 2,
        (Kernel::RankSort4096, DType::F64) => 2,
        (Kernel::RankSort1024 | Kernel::RankSort2048, DType::F64) => 4,
        (Kernel::RankSort4096 | Kernel::RankSortPairs, _) => 4,
        (Kernel::RankMergePairs32 | Kernel::RankMergePairs64, _) => 4,
        _ => 8,
    }
}

/// A column to which the steps of a plan are done comparator by comparator, as kernels do them.
/// Places behind the last row do not exist.
struct Column(Vec<u32>);

impl Column {
    fn compare(&mut self, low: usize, high: usize) {
        if high < self.0.len() && self.0[high] < self.0[low] {
            self.0.swap(low, high);
        }
    }

    fn mirrored_step(&mut self, run: usize) {
        for low in (0..self.0.len()).filter(|place| place % run < run / 2) {
            self.compare(low, low - low % run + run - 1 - low % run);
        }
    }

    fn strides(&mut self, greatest: usize, least: usize) {
        let mut stride = greatest;
        while stride >= least.max(1) {
            for low in (0..self.0.len()).filter(|place| place & stride == 0) {
                self.compare(low, low + stride);
            }
            stride /= 2;
        }
    }

    fn step(&mut self, step: RankStep, tile: usize) {
        match step {
            RankStep::Sort { .. } => self.0.chunks_mut(tile).for_each(<[u32]>::sort_unstable),
            RankStep::Exchange { stride, strides, mirrored } => {
                let (least, greatest) = (stride as usize, (stride as usize) << (strides - 1));
                if mirrored {
                    self.mirrored_step(2 * greatest);
                    self.strides(greatest / 2, least);
                } else {
                    self.strides(greatest, least);
                }
            }
            RankStep::Merge { .. } => self.strides(tile / 2, 1),
        }
    }
}

/// A network that sorts all sequences of 0 and 1 sorts everything; here runs of ones in any tile, and
/// numbers that are all different.
#[test]
fn the_steps_of_rank_sort() {
    let limits = Limits::of_capability(9, 0).unwrap();
    for rows in [4097, 8192, 8193, 3 * 4096 + 5, 65_536, 65_537, 33 * 4096 + 1] {
        let plan = plan::rank(rows, 1, DType::F16, &limits);
        let tile = plan.tile_rows();
        let scrambled = (0..rows).map(|i| i.wrapping_mul(0x9e37_79b1)).collect();
        let reversed = (0..rows).rev().collect();
        let ones_first = (0..rows).map(|i| u32::from(i < rows / 2)).collect();
        let ones_in_tiles = (0..rows).map(|i| u32::from(i % tile < i / tile * 97 % tile)).collect();
        for values in [scrambled, reversed, ones_first, ones_in_tiles] {
            let mut column = Column(values);
            plan.steps().for_each(|(step, _)| column.step(step, tile as usize));
            assert!(column.0.is_sorted(), "{rows} rows");
        }
    }
}

/// What the head of `rank.cu` says of large matrices.
#[test]
fn rank_costs_what_its_kernels_say() {
    let limits = Limits::of_capability(9, 0).unwrap();
    let table: String = include_str!("../kernels/rank.cu").split_whitespace().collect();
    for (dtype, element) in [(DType::F16, 2), (DType::F32, 4), (DType::F64, 8)] {
        let of = |rows| {
            let pair = pair_bytes(rows, dtype);
            let bytes = |step| match step {
                RankStep::Sort { last } => element + if last { 4 } else { pair },
                RankStep::Exchange { .. } => 2 * pair,
                RankStep::Merge { last } => pair + if last { 4 } else { pair },
            };
            let plan = plan::rank(rows, 64, dtype, &limits);
            let all: usize = plan.steps().map(|(step, _)| bytes(step)).sum();
            format!("|{}|{all}", plan.steps().count())
        };
        let line = format!("//{}{}{}", dtype.name(), of(65_536), of(1 << 20));
        assert!(table.contains(&line), "{line}");
    }
}

#[test]
fn walks_and_losses_fit_a_grid() {
    for limits in limits() {
        for (rows, cols) in shapes().filter(|&(rows, cols)| rows > 0 && cols > 0) {
            let walk = plan::walk(Kernel::SignForward, rows, cols, &limits);
            assert_launchable(walk, DType::F32, &limits);
            assert_eq!(walk.grid.0, cols.div_ceil(32));
            let words = plan::walk_words(Kernel::SignForward, rows, cols, &limits);
            assert_launchable(words, DType::F32, &limits);
            assert_eq!(words.grid.0, 2 * cols.div_ceil(64));
            for dtype in DType::ALL {
                let kernel = Kernel::BihalfBackwardDense;
                let (launch, lanes_log2) = plan::by_vectors(kernel, (rows, cols), dtype, &limits);
                assert_launchable(launch, dtype, &limits);
                let columns = u64::from(128 / dtype.key_bits()) << lanes_log2;
                assert!(lanes_log2 <= 5);
                assert!(u64::from(launch.grid.0) * columns >= u64::from(cols));
                assert!(u64::from(launch.grid.0 - 1) * columns < u64::from(cols));
            }
            let penalty = plan::penalty(cols);
            assert_launchable(penalty, DType::F32, &limits);
            assert_eq!(penalty.grid.0, cols.div_ceil(32));
            for cosine in [plan::cosine(rows), plan::cosine_packed(rows)] {
                assert_launchable(cosine, DType::F32, &limits);
                assert_eq!(cosine.grid.0, (rows / 2).max(1));
            }
            let backward = plan::cosine_backward(rows, cols, &limits);
            assert_launchable(backward, DType::F32, &limits);
            assert_eq!(backward.grid.0, cols.div_ceil(32));
        }
    }
}

/// Numbers that both sides need are written down on both; these are the lines of the kernels.
#[test]
fn kernels_have_the_same_constants() {
    let common = include_str!("../kernels/common.cuh");
    let cluster = include_str!("../kernels/cluster.cuh");
    let radix = include_str!("../kernels/bihalf_radix.cuh");
    let rank = include_str!("../kernels/rank.cu");
    let loss = include_str!("../kernels/loss.cu");
    let tile = include_str!("../kernels/rank_tile.cuh");
    let merge = include_str!("../kernels/rank_merge.cuh");
    for (file, line) in [
        (common, "constexpr unsigned WARP = 32;"),
        (common, "constexpr unsigned WARPS = 8;"),
        (common, "constexpr unsigned VECTOR_BYTES = 16;"),
        (cluster, "constexpr unsigned CLUSTER = 8;"),
        (radix, "constexpr unsigned DIGIT_BITS = 11;"),
        (radix, "constexpr unsigned TILE_COLUMNS = 8;"),
        (tile, "constexpr unsigned SHARED_BYTES = 64 << 10;"),
        (merge, "constexpr int MAX_STRIDES = 4;"),
        (rank, "using Tile32 = Tile<8, 8, 1>;"),
        (rank, "using Tile256 = Tile<8, 8, 8>;"),
        (rank, "using Tile1024 = Tile<8, 32, 8>;"),
        (rank, "using Tile2048 = Tile<8, 32, 16>;"),
        (rank, "using Tile4096 = Tile<4, 32, 16>;"),
        (rank, "using Wide1024 = Tile<4, 16, 8>;"),
        (rank, "using Wide2048 = Tile<4, 16, 16>;"),
        (rank, "using Wide4096 = Tile<2, 16, 16>;"),
        (loss, "constexpr uint32_t F32 = 0, F64 = 1, F16 = 2;"),
        (loss, "constexpr unsigned PENALTY_WARPS = 32;"),
    ] {
        assert!(file.contains(line), "{line}");
    }
    assert_eq!(DType::ALL.map(|dtype| dtype as u32), [0, 1, 2, 3], "of F32, F64, F16, bf16");
}

#[test]
fn searches_cover_every_query_and_item() {
    for limits in limits() {
        for queries in [0, 1, 8, 9, 1000, 600_000, 1 << 30] {
            for (items, bits) in
                [(0, 64), (1, 0), (4096, 64), (4097, 1535), (1 << 20, 1536), (u32::MAX, 1 << 20)]
            {
                for wanted in [0, 1.min(items), 1000.min(items), items] {
                    check_search((queries, items, bits, wanted), &limits);
                }
            }
        }
    }
}

fn check_search((queries, items, bits, wanted): (u32, u32, u32, u32), limits: &Limits) {
    let plan = plan::nearest(queries, items, bits, wanted, limits);
    let launches: Vec<_> = plan.launches().collect();
    if queries == 0 || wanted == 0 {
        assert_eq!((launches.len(), plan.workspace_bytes()), (0, 0));
        return;
    }
    let chunks = items.div_ceil(4096);
    assert_eq!(launches.len(), 6);
    let more = [plan::distances(queries, items, limits), plan::tally(queries, items, bits, limits)];
    let all = launches.into_iter().chain(more);
    for Launch { kernel, grid, shared_bytes } in all {
        let blocks = queries.div_ceil(8).min(limits.grid_y);
        let expected = match kernel {
            Kernel::SearchLimit | Kernel::SearchScan | Kernel::SearchSort => (queries, 1),
            Kernel::SearchEmit => (chunks, queries.min(limits.grid_y)),
            _ => (chunks, blocks),
        };
        assert_eq!(grid, expected, "{kernel:?}");
        let of_bin = match kernel {
            Kernel::SearchHistogram => 32,
            Kernel::SearchTally => 64,
            _ => 0,
        };
        let held = (bits + 1) * of_bin <= 48 << 10;
        assert_eq!(shared_bytes, if held { (bits + 1) * of_bin } else { 0 }, "{kernel:?}");
    }
    let each = u128::from(4 * (u64::from(bits) + 1)) + u128::from(8 * (u64::from(chunks) + 2));
    let needed = (each + u128::from(8 * u64::from(wanted))) * u128::from(queries);
    let got = plan.workspace_bytes();
    assert!((needed..needed + 8).contains(&(got as u128)) || got == usize::MAX, "{needed} {got}");
}
