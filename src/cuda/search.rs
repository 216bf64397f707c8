//! Host side of `kernels/search.cu`.
#![allow(unsafe_code)]

use super::args::Shape;
use super::memory::{DeviceMut, DeviceRef, Held};
use super::stream::Cuda;
use super::workspace::Workspace;
use crate::codes::words_per_row;
use crate::ops::retrieval::{self, ClassLabels, LabelledCodes};
use crate::ops::search;
use crate::plan;
#[cfg(test)]
use crate::plan::Kernel;
use crate::{Error, PackedCodes, Result, Storage};
use cudarc::driver::CudaStream;

/// Packed codes as rows of words.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Words {
    data: u64,
    width: u64,
}

impl Words {
    fn of<'a>(
        codes: PackedCodes<DeviceRef<'a, u64>>,
        stream: &'a CudaStream,
    ) -> Result<(Self, Held<'a>)> {
        let width = words_per_row(codes.bits()) as u64;
        let held = codes.into_data().hold("the codes", stream)?;
        Ok((Self { data: held.address, width }, held))
    }
}

#[repr(C)]
struct Search {
    queries: Words,
    database: Words,
    histogram: u64,
    limits: u64,
    counts: u64,
    candidates: u64,
    indices: u64,
    distances: u64,
    rows: u32,
    items: u32,
    bits: u32,
    wanted: u32,
    chunks: u32,
    in_shared: u32,
}

#[repr(C)]
struct Tally {
    queries: Words,
    database: Words,
    query_labels: Words,
    database_labels: Words,
    query_classes: u64,
    classes: u64,
    counts: u64,
    relevant: u64,
    rows: u32,
    items: u32,
    bits: u32,
    in_shared: u32,
}

/// Size of each kernel's argument.
#[cfg(test)]
pub(super) const ARGS: &[(Kernel, usize)] = &[
    (Kernel::SearchDistances, size_of::<Search>()),
    (Kernel::SearchHistogram, size_of::<Search>()),
    (Kernel::SearchLimit, size_of::<Search>()),
    (Kernel::SearchCount, size_of::<Search>()),
    (Kernel::SearchScan, size_of::<Search>()),
    (Kernel::SearchEmit, size_of::<Search>()),
    (Kernel::SearchSort, size_of::<Search>()),
    (Kernel::SearchTally, size_of::<Tally>()),
];

/// Queries of a call for nearest items: some of its kernels have a block for each, along `grid.x`.
const MAX_QUERIES: u32 = i32::MAX as u32;

/// Numbers that kernels take: queries and items, bits.
fn sizes(
    queries: &PackedCodes<DeviceRef<'_, u64>>,
    database: &PackedCodes<DeviceRef<'_, u64>>,
) -> Result<(u32, u32, u32)> {
    search::check(queries.shape(), database.shape())?;
    let Shape { rows, cols: bits } = Shape::new(queries.rows(), queries.bits())?;
    let Shape { rows: items, .. } = Shape::new(database.rows(), database.bits())?;
    Ok((rows, items, bits))
}

impl Cuda {
    pub(super) fn distances(
        &self,
        queries: PackedCodes<DeviceRef<'_, u64>>,
        database: PackedCodes<DeviceRef<'_, u64>>,
        out: DeviceMut<'_, u32>,
    ) -> Result<()> {
        let (rows, items, bits) = sizes(&queries, &database)?;
        search::check_all_pairs(queries.rows(), database.rows(), out.len())?;
        let stream = self.ready()?;
        let (queries, _queries) = Words::of(queries, stream)?;
        let (database, _database) = Words::of(database, stream)?;
        let out = out.hold("the distances", stream)?;
        if rows == 0 || items == 0 {
            return Ok(());
        }
        let launch = plan::distances(rows, items, self.kernels().limits());
        let args = Search {
            queries,
            database,
            histogram: 0,
            limits: 0,
            counts: 0,
            candidates: 0,
            indices: 0,
            distances: out.address,
            rows,
            items,
            bits,
            wanted: items,
            chunks: launch.grid.0,
            in_shared: 0,
        };
        // SAFETY: the kernel's argument; views have been checked, and are `Held`. The type is of no
        // account.
        unsafe { self.launch::<f32, _>(launch, &args) }
    }

    pub(super) fn nearest(
        &self,
        queries: PackedCodes<DeviceRef<'_, u64>>,
        database: PackedCodes<DeviceRef<'_, u64>>,
        k: usize,
        indices: DeviceMut<'_, u32>,
        distances: DeviceMut<'_, u32>,
        ws: &mut Workspace,
    ) -> Result<()> {
        let (rows, items, bits) = sizes(&queries, &database)?;
        let shape = (queries.rows(), database.rows());
        search::check_nearest(shape, k, indices.len(), distances.len())?;
        let wanted = u32::try_from(k).unwrap_or(u32::MAX).min(items);
        if rows > MAX_QUERIES {
            let max = MAX_QUERIES as usize;
            return Err(Error::TooLargeForCuda { rows: shape.0, cols: queries.bits(), max });
        }
        let plan = plan::nearest(rows, items, bits, wanted, self.kernels().limits());
        let stream = self.ready()?;
        let ws = ws.hold(plan.workspace_bytes(), stream)?;
        let (queries, _queries) = Words::of(queries, stream)?;
        let (database, _database) = Words::of(database, stream)?;
        let indices = indices.hold("the indices", stream)?;
        let distances = distances.hold("the distances", stream)?;
        if rows == 0 || wanted == 0 {
            return Ok(());
        }
        let parts = plan.parts();
        let start = ws.as_ref().map_or(0, |ws| ws.address);
        let [histogram, limits, counts, candidates] =
            std::array::from_fn(|n| start + parts[..n].iter().sum::<usize>() as u64);
        let args = Search {
            queries,
            database,
            histogram,
            limits,
            counts,
            candidates,
            indices: indices.address,
            distances: distances.address,
            rows,
            items,
            bits,
            wanted,
            chunks: plan.chunks(),
            in_shared: u32::from(plan.shared_bytes().is_some()),
        };
        // SAFETY: the workspace begins with the histograms, and is `Held`.
        unsafe { self.fill_zero(histogram, parts[0]) }?;
        for launch in plan.launches() {
            // SAFETY: the argument of each of these kernels; views have been checked against the
            // sizes and are `Held`, as is the workspace, which the plan has measured. The type is
            // of no account.
            unsafe { self.launch::<f32, _>(launch, &args) }?;
        }
        Ok(())
    }

    pub(super) fn tally(
        &self,
        queries: LabelledCodes<DeviceRef<'_, u32>, DeviceRef<'_, u64>>,
        database: LabelledCodes<DeviceRef<'_, u32>, DeviceRef<'_, u64>>,
        counts: DeviceMut<'_, u32>,
        relevant: DeviceMut<'_, u32>,
    ) -> Result<()> {
        let (rows, items, bits) = sizes(queries.codes(), database.codes())?;
        retrieval::check_labels(&queries, &database)?;
        let bins = retrieval::check_counts(queries.codes().shape(), counts.len(), relevant.len())?;
        let stream = self.ready()?;
        let (queries, query_labels) = queries.into_parts();
        let (database, database_labels) = database.into_parts();
        let (queries, _queries) = Words::of(queries, stream)?;
        let (database, _database) = Words::of(database, stream)?;
        let ((query_classes, query_labels), _query_labels) = labels(query_labels, stream)?;
        let ((classes, database_labels), _database_labels) = labels(database_labels, stream)?;
        let counts = counts.hold("the counts", stream)?;
        let relevant = relevant.hold("the relevant counts", stream)?;
        for counts in [&counts, &relevant] {
            // SAFETY: as many counts have been checked to be there, and are `Held`.
            unsafe { self.fill_zero(counts.address, bins * size_of::<u32>()) }?;
        }
        if rows == 0 || items == 0 {
            return Ok(());
        }
        let launch = plan::tally(rows, items, bits, self.kernels().limits());
        let args = Tally {
            queries,
            database,
            query_labels,
            database_labels,
            query_classes,
            classes,
            counts: counts.address,
            relevant: relevant.address,
            rows,
            items,
            bits,
            in_shared: u32::from(launch.shared_bytes > 0),
        };
        // SAFETY: the kernel's argument; views have been checked, and are `Held`. The type is of no
        // account.
        unsafe { self.launch::<f32, _>(launch, &args) }
    }
}

/// Address of classes, or of rows of labels; what there is none of is 0.
fn labels<'a>(
    labels: ClassLabels<DeviceRef<'a, u32>, DeviceRef<'a, u64>>,
    stream: &'a CudaStream,
) -> Result<((u64, Words), Held<'a>)> {
    match labels {
        ClassLabels::Single(classes) => {
            let held = classes.hold("the labels", stream)?;
            Ok(((held.address, Words::default()), held))
        }
        ClassLabels::Multi(labels) => {
            let (words, held) = Words::of(labels, stream)?;
            Ok(((0, words), held))
        }
    }
}
