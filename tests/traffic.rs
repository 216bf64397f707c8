//! What operations ask of the memory, counted by the emulator, against the table in
//! `kernels/traffic.txt`, and the counts that the design promises.
//!
//! The table holds for one release of nvcc, on the emulator with capability 9.0. After a change of a
//! kernel, `BIHALF_WRITE_RESOURCES=1 cargo test --features cuda traffic` writes it anew: read the
//! difference before committing it.

use crate::common::patterns::Pattern;
use crate::common::{device, naive, say};
use crate::machine_code::{assert_table, is_of_this_nvcc, release};
use bihalf::cuda::{Cuda, DeviceMut, DeviceRef};
use bihalf::half::f16;
use bihalf::{Backend, CodeMatrix, Element, Matrix, Ones, Order, Outputs, PackedCodes};
use std::fmt::Write;

const FILE: &str = "kernels/traffic.txt";
const TABLE: &str = include_str!("../kernels/traffic.txt");

/// Counts of all launches of a call.
#[derive(Debug, Default)]
struct Counts {
    launches: u64,
    /// Of the PTX, which is not what a device executes, but grows and shrinks with it.
    warp_instructions: u64,
    /// One for each warp.
    barriers: u64,
    /// Bytes asked for, and 32-byte sectors that the requests touch.
    read: u64,
    sectors_read: u64,
    written: u64,
    sectors_written: u64,
    /// Wavefronts of shared memory beyond the fewest: bank conflicts.
    conflicts: u64,
}

impl Counts {
    /// One line a launch.
    fn of(launches: &str) -> Self {
        let mut sum = Self::default();
        for launch in launches.lines() {
            let count = |section: &str, field: &str| number(launch, &[section, field]);
            sum.launches += 1;
            sum.warp_instructions += number(launch, &["warp_instructions"]);
            sum.barriers += number(launch, &["barriers"]);
            sum.read += count("global_load", "bytes");
            sum.sectors_read += count("global_load", "sectors");
            sum.written += count("global_store", "bytes");
            sum.sectors_written += count("global_store", "sectors");
            sum.conflicts += count("shared_load", "extra_wavefronts");
            sum.conflicts += count("shared_store", "extra_wavefronts");
        }
        sum
    }
}

/// The number behind the last of some JSON names, each looked for behind the one before it.
fn number(json: &str, names: &[&str]) -> u64 {
    let value = names.iter().fold(json, |rest, name| {
        rest.split_once(&format!("\"{name}\":")).unwrap_or_else(|| panic!("no {name}: {json}")).1
    });
    let digits = value.find(|c: char| !c.is_ascii_digit()).expect("an end");
    value[..digits].parse().expect("a number")
}

/// What is counted, in a process of its own.
struct Meter {
    cuda: Cuda,
    /// Where the emulator writes its counts.
    file: String,
    table: String,
}

impl Meter {
    /// Counts a call, and adds a line to the table.
    fn count(&mut self, name: &str, call: impl FnOnce(&Cuda)) -> Counts {
        let lines = || {
            self.cuda.stream().synchronize().unwrap();
            std::fs::read_to_string(&self.file).unwrap_or_default()
        };
        let before = lines().len();
        call(&self.cuda);
        let counts = Counts::of(&lines()[before..]);
        let Counts { launches, warp_instructions, barriers, read, written, .. } = &counts;
        let Counts { sectors_read, sectors_written, conflicts, .. } = &counts;
        writeln!(
            self.table,
            "{name:32} {launches:8} {warp_instructions:12} {barriers:8} {read:8} {sectors_read:7} \
             {written:8} {sectors_written:7} {conflicts:9}"
        )
        .unwrap();
        counts
    }

    /// Bi-half forward as on a device with so many multiprocessors.
    fn forward<T: Element>(
        &mut self,
        device: &str,
        (rows, cols): (usize, usize),
        packed: bool,
    ) -> Counts {
        let multiprocessors = if device == "narrow" { 0 } else { 1 << 20 };
        let kernels = self.cuda.kernels().with_multiprocessors(multiprocessors);
        let cuda = Cuda::on_stream(&kernels, self.cuda.stream()).unwrap();
        let u: Vec<T> = Pattern::Random.fill((rows, cols), 1);
        let u = cuda.upload(&u).unwrap();
        let mut dense = cuda.zeros::<T>(rows * cols).unwrap();
        let mut codes = cuda.zeros::<u64>(rows * cols.div_ceil(64)).unwrap();
        let mut ws = cuda.workspace::<T>(rows, cols).unwrap();
        let form = if packed { "packed" } else { "dense" };
        let name = format!("bihalf {rows}x{cols} {} {form} {device}", T::NAME);
        self.count(&name, |_| {
            let u = Matrix::new(DeviceRef::from(&u), rows, cols).unwrap();
            let out = if packed {
                Outputs::none()
                    .codes(PackedCodes::new(DeviceMut::from(&mut codes), rows, cols).unwrap())
            } else {
                Outputs::none().dense(Matrix::new(DeviceMut::from(&mut dense), rows, cols).unwrap())
            };
            cuda.bihalf_forward_into(u, Ones::Half, out, &mut ws).unwrap();
        })
    }

    fn backward<T: Element>(&mut self, (rows, cols): (usize, usize)) -> [Counts; 2] {
        let u: Vec<T> = Pattern::Random.fill((rows, cols), 1);
        let words = naive::pack(&naive::sign(&u, cols, None), rows, cols);
        let (u, words) = (self.cuda.upload(&u).unwrap(), self.cuda.upload(&words).unwrap());
        let mut du = self.cuda.zeros::<T>(rows * cols).unwrap();
        [false, true].map(|packed| {
            let form = if packed { "packed" } else { "dense" };
            let name = format!("bihalf_backward {rows}x{cols} {} {form}", T::NAME);
            self.count(&name, |cuda| {
                let view = || Matrix::new(DeviceRef::from(&u), rows, cols).unwrap();
                let b = if packed {
                    CodeMatrix::Packed(
                        PackedCodes::new(DeviceRef::from(&words), rows, cols).unwrap(),
                    )
                } else {
                    view().into()
                };
                let du = Matrix::new(DeviceMut::from(&mut du), rows, cols).unwrap();
                cuda.bihalf_backward_in_place(view(), b, 6.0, du).unwrap();
            })
        })
    }

    /// Distances, and the k nearest items.
    fn search(&mut self, (rows, items, bits): (usize, usize, usize), k: usize) -> [Counts; 2] {
        let words = |rows, seed| {
            let random: Vec<f32> = Pattern::Random.fill((rows, bits), seed);
            naive::pack(&naive::sign(&random, bits, None), rows, bits)
        };
        let upload = |rows, seed| self.cuda.upload(&words(rows, seed)).unwrap();
        let (queries, database) = (upload(rows, 1), upload(items, 2));
        let queries = || PackedCodes::new(DeviceRef::from(&queries), rows, bits).unwrap();
        let database = || PackedCodes::new(DeviceRef::from(&database), items, bits).unwrap();
        let mut ws = self.cuda.search_workspace(rows, items, bits, k).unwrap();
        let sizes = [rows * items, rows * k, rows * k];
        let mut outputs = sizes.map(|n| self.cuda.zeros::<u32>(n).unwrap());
        let [all, indices, distances] = outputs.each_mut().map(DeviceMut::from);
        let of = format!("{rows}x{items}, {bits} bits");
        [
            self.count(&format!("distances {of}"), |cuda| {
                cuda.distances_into(queries(), database(), all, &mut ws).unwrap();
            }),
            self.count(&format!("nearest {k} {of}"), |cuda| {
                cuda.nearest_into(queries(), database(), k, indices, distances, &mut ws).unwrap();
            }),
        ]
    }

    fn rank<T: Element>(&mut self, (rows, cols): (usize, usize)) -> Counts {
        let u: Vec<T> = Pattern::Random.fill((rows, cols), 1);
        let u = self.cuda.upload(&u).unwrap();
        let mut ranks = self.cuda.zeros::<u32>(rows * cols).unwrap();
        let mut ws = self.cuda.workspace::<T>(rows, cols).unwrap();
        self.count(&format!("rank {rows}x{cols} {}", T::NAME), |cuda| {
            let u = Matrix::new(DeviceRef::from(&u), rows, cols).unwrap();
            let ranks = Matrix::new(DeviceMut::from(&mut ranks), rows, cols).unwrap();
            cuda.rank_into(u, Order::Ascending, ranks, &mut ws).unwrap();
        })
    }
}

fn measure(meter: &mut Meter) {
    // One read of U and one write of B in one launch, from the paper's batches to thousands of rows,
    // by the kernels of a few columns and of many.
    for device in ["wide", "narrow"] {
        for shape in [(32, 64), (64, 64), (128, 64), (256, 64), (1024, 32), (4096, 32)] {
            let (rows, cols) = shape;
            let bytes = (4 * rows * cols) as u64;
            let counts = meter.forward::<f32>(device, shape, false);
            assert_eq!((counts.launches, counts.written), (1, bytes));
            // A block of one column asks for a sector for each element.
            assert!(counts.sectors_read <= bytes / 4, "{shape:?}");
            if device == "narrow" {
                assert_eq!((counts.read, counts.conflicts), (bytes, 0), "{shape:?}");
                assert_eq!(counts.sectors_read * 32, bytes, "{shape:?}");
                assert_eq!(counts.sectors_written * 32, bytes, "{shape:?}");
            }
            if rows <= 64 && device == "narrow" {
                assert_eq!(counts.barriers, 0, "{shape:?}");
            }
            let counts = meter.forward::<f32>(device, shape, true);
            let words = (8 * rows * cols.div_ceil(64)) as u64;
            assert_eq!((counts.launches, counts.read, counts.written), (1, bytes, words));
            assert_eq!(counts.sectors_read * 32, bytes, "{shape:?}");
        }
        meter.forward::<f16>(device, (32, 64), false);
        meter.forward::<f16>(device, (32, 512), false);
        meter.forward::<f16>(device, (4096, 8), false);
        meter.forward::<f16>(device, (8192, 8), true);
    }
    // Four columns of float are half a sector, so that each is asked for twice; eight, which a cluster
    // shares, are a whole one.
    for (shape, requests_of_sector) in [((8192, 8), 2), ((32_768, 8), 1)] {
        let bytes = (4 * shape.0 * shape.1) as u64;
        let counts = meter.forward::<f32>("narrow", shape, false);
        assert_eq!((counts.launches, counts.conflicts), (1, 0), "{shape:?}");
        assert_eq!((counts.read, counts.written), (bytes, bytes), "{shape:?}");
        assert_eq!(counts.sectors_read * 32, requests_of_sector * bytes, "{shape:?}");
        assert_eq!(counts.sectors_written * 32, requests_of_sector * bytes, "{shape:?}");
    }
    meter.forward::<f16>("narrow", (65_536, 8), false);
    // One row less than a tile.
    meter.forward::<f32>("narrow", (4095, 64), false);

    let without =
        Cuda::on_stream(&meter.cuda.kernels().without_clusters(), meter.cuda.stream()).unwrap();
    let with = std::mem::replace(&mut meter.cuda, without);
    for shape in [(1024, 32), (4096, 32), (8192, 32)] {
        meter.forward::<f32>("wide without clusters", shape, false);
    }
    for (rows, cols) in [(8193, 8), (9217, 8), (16_384, 32)] {
        let counts = meter.forward::<f32>("wide without clusters", (rows, cols), false);
        assert!(counts.read + counts.written <= (24 * rows * cols) as u64, "{counts:?}");
    }
    meter.cuda = with;

    // U, dB and dU, and B or its bits.
    for shape in [(32, 64), (1024, 64)] {
        let elements = (shape.0 * shape.1) as u64;
        let [dense, packed] = meter.backward::<f32>(shape);
        assert_eq!((dense.launches, dense.read + dense.written), (1, 16 * elements));
        assert_eq!((dense.sectors_read, dense.sectors_written), (elements * 3 / 8, elements / 8));
        assert_eq!((packed.launches, packed.sectors_written), (1, elements / 8));
        // 12.25 bytes an element: a sector of bits for every two rows of 64.
        assert_eq!(packed.sectors_read, elements * 2 / 8 + elements / 128);
        meter.backward::<f16>(shape);
    }
    for shape in [(32, 64), (1024, 8), (4096, 8)] {
        meter.rank::<f32>(shape);
        meter.rank::<f16>(shape);
    }

    // The database once for eight queries and pass, beside a sector of a query for each four requests
    // of a warp; chunks with neighbours once more for each query. Of longer codes, whose words lie
    // apart, each request has sectors of its own, which the first cache keeps.
    const ITEMS: usize = 8192;
    for bits in [64, 256] {
        let words = bits as u64 / 64;
        let database = words * (ITEMS as u64 / 4) * words.min(4);
        let queries = words * 8 * (ITEMS as u64 / 128);
        let [distances, nearest] = meter.search((8, ITEMS, bits), 10);
        assert_eq!((distances.launches, distances.written), (1, 4 * 8 * ITEMS as u64));
        assert_eq!(distances.sectors_read, database + queries);
        assert_eq!(distances.sectors_written * 32, distances.written);
        assert_eq!(nearest.launches, 6);
        let (twice, again) = (2 * (database + queries), 8 * (database + 2 * queries));
        assert!((twice..twice + again).contains(&nearest.sectors_read), "{nearest:?}");
    }
}

#[test]
fn traffic_is_that_of_the_table_and_as_little_as_promised() {
    let Some(cuda) = device::cuda() else { return };
    if device::is_child() {
        let file = std::env::var("CUDAEMU_STATS").unwrap();
        let mut meter = Meter { cuda, file, table: String::new() };
        measure(&mut meter);
        meter.table.lines().for_each(|line| println!("row {line}"));
        return;
    }
    if !device::is_emulated(&cuda) {
        say("traffic: SKIPPED: only the emulator counts");
        return;
    }
    if !is_of_this_nvcc(FILE, TABLE) {
        return;
    }
    let file = format!("{}/traffic-{}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    let test = "traffic::traffic_is_that_of_the_table_and_as_little_as_promised";
    let env = [("CUDAEMU_STATS", &file[..]), ("CUDAEMU_CC", "90"), ("CUDAEMU_THREADS", "1")];
    let said = device::child(test, &env);
    std::fs::remove_file(&file).unwrap();

    let mut table = format!("# nvcc {}\n", release());
    table.push_str(
        "# operation                      launches instructions barriers     read sectors  written \
         sectors conflicts\n",
    );
    for row in said.lines().filter_map(|line| line.strip_prefix("row ")) {
        writeln!(table, "{row}").unwrap();
    }
    assert_table(FILE, TABLE, &table);
}
