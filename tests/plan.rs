//! Promises of `plan`: every launch is one that a device accepts, and covers the matrix.

use bihalf::plan::{self, Asked, Bihalf, BihalfStep, DType, Kernel, Launch, Limits, RankStep};

/// The architectures that kernels are compiled for.
const CAPABILITIES: [(u32, u32); 7] = [(7, 5), (8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (12, 0)];

/// Around every edge of a kernel: a network's rows, a tile's, a chunk's, and the limits of a grid.
const ROWS: [u32; 22] = [
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
    4097,
    65_536,
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
            assert!(launch.grid.0 * columns >= written);
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
    let line = source.split(&format!("FORWARD(T, {name}_##NAME, ")).nth(1);
    let line = line.and_then(|line| line.split('>').next());
    let (call, numbers) = line.and_then(|line| line.split_once("<T")).expect(name);
    let (threads, algorithm) = call.split_once(", ").unwrap();
    assert_eq!(threads.parse().unwrap_or(32), kernel.threads(), "{name}");
    let numbers: Vec<u32> = numbers.split(", ").skip(1).map(|n| n.parse().unwrap()).collect();
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
        other => panic!("{other:?}"),
    };
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
    }
}

/// The choice that a model of cycles makes, for f32: few columns take the kernels of the shortest
/// way, many those of the fewest instructions, whatever the device; a larger device changes later.
#[test]
fn columns_decide_between_latency_and_instructions() {
    use Kernel::*;
    for (rows, kernels) in [
        (32, &[BihalfCounting32, BihalfCounting32x8, BihalfNetwork32][..]),
        (64, &[BihalfCounting64, BihalfCounting64x8, BihalfNetwork64]),
        (128, &[BihalfCounting128, BihalfHistogram256, BihalfSlices128]),
        (256, &[BihalfHistogram256, BihalfSlices256]),
        (1024, &[BihalfHistogram1024, BihalfSlices1024]),
        (4096, &[BihalfHistogram4096, BihalfSlices4096]),
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
        let small = changes(&Limits::of_capability(7, 5).unwrap());
        let large = changes(&Limits::of_capability(12, 0).unwrap());
        for changes in [&small, &large] {
            let chosen: Vec<_> = changes.iter().map(|(_, kernel)| *kernel).collect();
            assert_eq!(chosen, kernels, "{rows} rows");
        }
        for ((small, _), (large, kernel)) in small.iter().zip(&large) {
            assert!(small <= large, "{kernel:?}");
        }
    }
}

#[test]
fn rank_is_a_complete_bitonic_sort() {
    for limits in limits() {
        for ((rows, cols), dtype) in shapes().flat_map(|s| DType::ALL.map(|dtype| (s, dtype))) {
            let plan = plan::rank(rows, cols, dtype, &limits);
            let steps: Vec<_> = plan.steps().collect();
            if rows == 0 || cols == 0 {
                assert!(steps.is_empty());
                continue;
            }
            let (tile, rows) = (u64::from(plan.tile_rows()), u64::from(rows));
            let mut expected = vec![RankStep::Sort { last: rows <= tile }];
            let mut run = tile;
            while run < rows {
                run *= 2;
                let mut stride = run / 2;
                while stride >= tile {
                    expected.push(RankStep::Exchange { stride, mirrored: stride == run / 2 });
                    stride /= 2;
                }
                expected.push(RankStep::Merge { last: run >= rows });
            }
            assert_eq!(steps.iter().map(|(step, _)| *step).collect::<Vec<_>>(), expected);
            let pairs = if rows <= tile { 0 } else { rows as usize * cols as usize };
            let bytes = if dtype == DType::F64 { 16 } else { 8 };
            assert_eq!(plan.workspace_bytes(), pairs * bytes);
            for (step, launch) in steps {
                let needed = match step {
                    RankStep::Exchange { .. } => u64::from(cols.div_ceil(32)),
                    _ => u64::from(cols.div_ceil(8)) * rows.div_ceil(tile),
                };
                // A matrix of more tiles than a grid has blocks fits in no memory.
                if needed <= i32::MAX as u64 {
                    assert_launchable(launch, dtype, &limits);
                    assert_eq!(u64::from(launch.grid.0), needed, "{step:?}");
                }
            }
        }
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
    let radix = include_str!("../kernels/bihalf_radix.cuh");
    let rank = include_str!("../kernels/rank.cu");
    let loss = include_str!("../kernels/loss.cu");
    for (file, line) in [
        (common, "constexpr unsigned WARP = 32;"),
        (common, "constexpr unsigned WARPS = 8;"),
        (radix, "constexpr unsigned DIGIT_BITS = 11;"),
        (radix, "constexpr unsigned TILE_COLUMNS = 8;"),
        (rank, "constexpr unsigned COLUMNS = 8;"),
        (rank, "(rank::sort<T, 8, 1>)"),
        (rank, "(rank::sort<T, 8, 8>)"),
        (rank, "EXPORT_SIZES(float, f32, 16)"),
        (rank, "EXPORT_SIZES(double, f64, 8)"),
        (loss, "constexpr unsigned VECTOR_BYTES = 16;"),
        (loss, "constexpr uint32_t F32 = 0, F64 = 1, F16 = 2;"),
        (loss, "constexpr unsigned PENALTY_WARPS = 32;"),
    ] {
        assert!(file.contains(line), "{line}");
    }
    assert_eq!(DType::ALL.map(|dtype| dtype as u32), [0, 1, 2, 3], "of F32, F64, F16, bf16");
    let limits = Limits::of_capability(8, 0).unwrap();
    let tile = |rows, dtype| plan::rank(rows, 8, dtype, &limits).tile_rows();
    assert_eq!([32, 256, 1024].map(|rows| tile(rows, DType::F32)), [32, 256, 1024]);
    assert_eq!([32, 256, 1024].map(|rows| tile(rows, DType::F64)), [32, 256, 512]);
}
