//! Exact search of packed codes by Hamming distance.
//!
//! | function | result for each query |
//! |---|---|
//! | [`nearest`] | the k nearest items of the database |
//! | [`Nearest`] | the same of a database that comes in parts: files, shards, ranks |
//! | [`within`] | all items up to a distance |
//! | [`distances`] | the distance of every item |
//! | [`rank()`] | every item, the nearest first |
//!
//! The distance of two codes is the number of bits in which they differ. Of equal distances the
//! lower index goes first, so that each result is the only right one; nothing is approximate.
//!
//! - **Shapes**: Q queries and N items of K bits each, any numbers of them, 0 included.
//! - **Determinism**: the same for any number of threads and on every instruction set.
//! - **Errors**: [`Error::Length`] if queries and database have different numbers of bits or an
//!   output has another size; [`Error::Parameter`] for codes of 2^32 - 1 bits or more;
//!   [`Error::TooManyRows`] for more than 2^32 - 1 items at once;
//!   [`Error::TooLarge`] if there is no memory; [`Error::InstructionSet`], see
//!   [Bi-half](super::bi_half).
//! - **Cost**: O(Q N K / 64) word operations. The database is read once for each 64 queries of a
//!   thread. [`nearest`] keeps 2 k + 64 candidates and K + 1 counters for each of up to 64 queries
//!   (8 where k is large) of a thread, beside its result; [`rank()`] keeps the N distances of a query
//!   of each thread.
//!
//! On CUDA, [`Backend::nearest_into`](crate::Backend::nearest_into) is six launches and a fill, and
//! reads the database twice for each eight queries; chunks of 4096 items that hold a neighbour once
//! more. [`Backend::distances_into`](crate::Backend::distances_into) is one launch. Workspace:
//! [`plan::nearest`](crate::plan::nearest).
//!
//! From features to neighbours:
//!
//! ```
//! use bihalf::{MatRef, ops::{search, sign}};
//!
//! // What a trained model gives for 4 images and for a query: 3 bits each.
//! let items = [0.9f32, 0.2, -0.1, -0.3, 0.8, 0.5, 0.7, 0.4, 0.6, -0.2, -0.9, -0.4];
//! let query = [0.5f32, 0.1, 0.3];
//! let database = sign::forward_packed(MatRef::new(&items, 4, 3)?, None)?;
//! let queries = sign::forward_packed(MatRef::new(&query, 1, 3)?, None)?;
//!
//! let found = search::nearest(queries.as_ref(), database.as_ref(), 2)?;
//! assert_eq!(found.indices, [2, 0]); // item 2 has the query's code, item 0 differs in a bit
//! assert_eq!(found.distances, [0, 1]);
//! # Ok::<(), bihalf::Error>(())
//! ```

use super::{check_length, check_parameter, check_rows};
#[cfg(doc)]
use crate::Error;
use crate::cpu::search::{self as cpu, Found, Search};
use crate::cpu::simd::detected;
use crate::memory::{allocate, resize, too_large, zeros};
use crate::{CodesRef, Result, Workspace};

/// The nearest items of each query, by (distance, index).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Neighbors<I = u32> {
    /// Indices of items, `[queries, per_query]`, row-major.
    pub indices: Vec<I>,
    /// Their distances, `[queries, per_query]`, row-major.
    pub distances: Vec<u32>,
    /// Neighbours of a query: k, or the size of a smaller database.
    pub per_query: usize,
}

impl<I: Copy> Neighbors<I> {
    /// Indices and distances of a query's neighbours, the nearest first.
    ///
    /// # Panics
    /// When there is no query `q`.
    pub fn row(&self, q: usize) -> impl ExactSizeIterator<Item = (I, u32)> {
        let row = q * self.per_query..(q + 1) * self.per_query;
        self.indices[row.clone()].iter().copied().zip(self.distances[row].iter().copied())
    }
}

/// The `k` nearest items of each query, by (distance, index). See the [page](self).
///
/// # Errors
/// See the [page](self).
pub fn nearest<'a>(
    queries: impl Into<CodesRef<'a>>,
    database: impl Into<CodesRef<'a>>,
    k: usize,
) -> Result<Neighbors> {
    let (queries, database) = (queries.into(), database.into());
    check(queries.shape(), database.shape())?;
    let per_query = k.min(database.rows());
    let (rows, mut found) = (queries.rows(), Neighbors::default());
    found.indices = zeros((rows, per_query))?;
    found.distances = zeros((rows, per_query))?;
    found.per_query = per_query;
    let (indices, distances) = (&mut found.indices, &mut found.distances);
    nearest_into(queries, database, k, indices, distances, &mut Workspace::new())?;
    Ok(found)
}

/// [`nearest`] into buffers of the caller, both `[queries, min(k, items)]`.
///
/// # Errors
/// See the [page](self).
pub fn nearest_into<'a>(
    queries: impl Into<CodesRef<'a>>,
    database: impl Into<CodesRef<'a>>,
    k: usize,
    indices: &mut [u32],
    distances: &mut [u32],
    workspace: &mut Workspace,
) -> Result<()> {
    let (queries, database) = (queries.into(), database.into());
    check(queries.shape(), database.shape())?;
    let shape = (queries.rows(), database.rows());
    check_nearest(shape, k, indices.len(), distances.len())?;
    search(queries, database, None, Found { indices, distances }, workspace)
}

/// Each query's ranking: all items by (distance, index), `[queries, database]`, row-major.
///
/// # Errors
/// See the [page](self).
pub fn rank<'a>(
    queries: impl Into<CodesRef<'a>>,
    database: impl Into<CodesRef<'a>>,
) -> Result<Vec<u32>> {
    let (queries, database) = (queries.into(), database.into());
    check(queries.shape(), database.shape())?;
    let mut out = zeros((queries.rows(), database.rows()))?;
    rank_into(queries, database, &mut out, &mut Workspace::new())?;
    Ok(out)
}

/// [`rank()`] into a buffer of the caller, `[queries, database]`.
///
/// # Errors
/// See the [page](self).
pub fn rank_into<'a>(
    queries: impl Into<CodesRef<'a>>,
    database: impl Into<CodesRef<'a>>,
    indices: &mut [u32],
    workspace: &mut Workspace,
) -> Result<()> {
    let (queries, database) = (queries.into(), database.into());
    check(queries.shape(), database.shape())?;
    check_all_pairs(queries.rows(), database.rows(), indices.len())?;
    if !indices.is_empty() {
        let words = cpu::rank_words(queries, database);
        cpu::rank(detected()?, queries, database, indices, workspace.words(words, database)?);
    }
    Ok(())
}

/// Finds as many neighbours as there is room for.
fn search(
    queries: CodesRef<'_>,
    database: CodesRef<'_>,
    limits: Option<&[u32]>,
    found: Found<'_>,
    workspace: &mut Workspace,
) -> Result<()> {
    if found.indices.is_empty() {
        return Ok(());
    }
    let isa = detected()?;
    let wanted = found.indices.len() / queries.rows();
    let scratch = workspace.words(cpu::scratch_words(queries, database, wanted), database)?;
    let search = Search { isa, queries, database, first: 0, wanted, limits };
    cpu::nearest(search, found, scratch);
    Ok(())
}

/// All items up to a distance of each query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Within {
    /// Where the items of each query begin, and where those of the last one end: `queries + 1`
    /// numbers.
    pub offsets: Vec<usize>,
    /// Indices of items: of each query in turn, by (distance, index).
    pub indices: Vec<u32>,
    /// Their distances.
    pub distances: Vec<u32>,
}

impl Within {
    /// Indices and distances of the items that a query found, the nearest first.
    ///
    /// # Panics
    /// When there is no query `q`.
    pub fn row(&self, q: usize) -> impl ExactSizeIterator<Item = (u32, u32)> {
        let row = self.offsets[q]..self.offsets[q + 1];
        self.indices[row.clone()].iter().copied().zip(self.distances[row].iter().copied())
    }
}

/// All items up to distance `radius` of each query, by (distance, index). Takes 8 bytes for each,
/// and as many again while it runs.
///
/// # Errors
/// See the [page](self).
///
/// ```
/// use bihalf::{Codes, ops::search};
///
/// let database = Codes::from_bytes(&[0b11, 0b01, 0b00], 3, 2)?;
/// let queries = Codes::from_bytes(&[0b00, 0b11], 2, 2)?;
/// let found = search::within(queries.as_ref(), database.as_ref(), 1)?;
/// assert_eq!(found.offsets, [0, 2, 4]);
/// assert!(found.row(0).eq([(2, 0), (1, 1)]));
/// # Ok::<(), bihalf::Error>(())
/// ```
pub fn within<'a>(
    queries: impl Into<CodesRef<'a>>,
    database: impl Into<CodesRef<'a>>,
    radius: u32,
) -> Result<Within> {
    let (queries, database) = (queries.into(), database.into());
    check(queries.shape(), database.shape())?;
    let limit = radius.saturating_add(1);
    let (offsets, indices, distances) = cpu::within(detected()?, queries, database, limit)?;
    Ok(Within { offsets, indices, distances })
}

/// Distances of all pairs, `[queries, database]`, row-major.
///
/// # Errors
/// See the [page](self).
pub fn distances<'a>(
    queries: impl Into<CodesRef<'a>>,
    database: impl Into<CodesRef<'a>>,
) -> Result<Vec<u32>> {
    let (queries, database) = (queries.into(), database.into());
    check(queries.shape(), database.shape())?;
    let mut out = zeros((queries.rows(), database.rows()))?;
    distances_into(queries, database, &mut out, &mut Workspace::new())?;
    Ok(out)
}

/// [`distances`] into a buffer of the caller, `[queries, database]`.
///
/// # Errors
/// See the [page](self).
pub fn distances_into<'a>(
    queries: impl Into<CodesRef<'a>>,
    database: impl Into<CodesRef<'a>>,
    out: &mut [u32],
    workspace: &mut Workspace,
) -> Result<()> {
    let (queries, database) = (queries.into(), database.into());
    check(queries.shape(), database.shape())?;
    check_all_pairs(queries.rows(), database.rows(), out.len())?;
    if !out.is_empty() {
        let words = cpu::distances_words(queries, database);
        cpu::distances(detected()?, queries, database, out, workspace.words(words, database)?);
    }
    Ok(())
}

/// The nearest items of a database that comes in parts.
///
/// Parts may come in any order and be of any size; the result is that of [`nearest`] on all of
/// them at once. Indices are `u64`: who pushes a part says which one its first item has. Parts must
/// not overlap. Searches that went through different parts can be [merged](Self::merge).
///
/// ```
/// use bihalf::{Codes, ops::search::Nearest};
///
/// let query = Codes::from_bytes(&[0b00], 1, 2)?;
/// let (first, second) = (Codes::from_bytes(&[0b01], 1, 2)?, Codes::from_bytes(&[0b11, 0b00], 2, 2)?);
/// let mut nearest = Nearest::new(query.as_ref(), 2);
/// nearest.push(1, second.as_ref())?; // items 1 and 2
/// nearest.push(0, first.as_ref())?; // item 0
/// let found = nearest.into_neighbors();
/// assert_eq!(found.indices, [2, 0]);
/// # Ok::<(), bihalf::Error>(())
/// ```
#[derive(Debug)]
pub struct Nearest<'a> {
    queries: CodesRef<'a>,
    k: usize,
    found: Neighbors<u64>,
    limits: Vec<u32>,
    of_part: Neighbors,
    workspace: Workspace,
}

impl<'a> Nearest<'a> {
    /// Nothing has been searched yet. `k` may be more than there will be items.
    pub fn new(queries: CodesRef<'a>, k: usize) -> Self {
        let (found, of_part) = (Neighbors::default(), Neighbors::default());
        Self { queries, k, found, limits: Vec::new(), of_part, workspace: Workspace::new() }
    }

    /// Searches a part whose first item has index `first`.
    ///
    /// # Errors
    /// See the [page](self); [`Error::Parameter`] if an index is beyond `u64`. Then nothing of the
    /// part has been entered.
    pub fn push<'b>(&mut self, first: u64, part: impl Into<CodesRef<'b>>) -> Result<()> {
        let part = part.into();
        check(self.queries.shape(), part.shape())?;
        let (rows, items) = (self.queries.rows(), part.rows());
        let numbered = items == 0 || first.checked_add(items as u64 - 1).is_some();
        check_parameter("first", first as f64, numbered, "at most 2^64 - items of the part")?;
        let per_part = self.k.min(items);
        // Whoever has k neighbours already wants none that is farther than all of them.
        let full = self.found.per_query == self.k;
        self.limits.clear();
        if full && self.k > 0 {
            let last = self.found.distances.chunks_exact(self.k).map(|row| row[self.k - 1]);
            self.limits.try_reserve(rows).map_err(|_| too_large((rows, 1)))?;
            self.limits.extend(last.map(|distance| distance + 1));
        }
        let Neighbors { indices, distances, .. } = &mut self.of_part;
        for buffer in [&mut *indices, &mut *distances] {
            let len = rows.saturating_mul(per_part);
            buffer.truncate(len);
            resize(buffer, len, 0, (rows, per_part))?;
        }
        let found = Found { indices, distances };
        let limits = (!self.limits.is_empty()).then_some(&self.limits[..]);
        search(self.queries, part, limits, found, &mut self.workspace)?;
        let (indices, distances) = (&self.of_part.indices, &self.of_part.distances);
        // What is not there has the greatest of all distances and indices.
        let index = |n: usize| match distances[n] {
            u32::MAX => u64::MAX,
            _ => first + u64::from(indices[n]),
        };
        enter(&mut self.found, self.k, (rows, per_part), |n| (distances[n], index(n)))
    }

    /// Enters what another search found in other parts, for the same queries and k.
    ///
    /// # Errors
    /// [`Error::Length`] if the other one has another number of queries, [`Error::Parameter`] if it
    /// has another k, [`Error::TooLarge`]. Then nothing has been entered.
    pub fn merge(&mut self, other: &Nearest<'_>) -> Result<()> {
        let rows = self.queries.rows();
        check_length("the other search", "as many queries", rows, other.queries.rows())?;
        check_parameter("k of the other search", other.k as f64, other.k == self.k, "the same k")?;
        let Neighbors { indices, distances, per_query } = &other.found;
        enter(&mut self.found, self.k, (rows, *per_query), |n| (distances[n], indices[n]))
    }

    /// What has been found so far: the `min(k, items)` nearest of each query.
    pub fn neighbors(&self) -> &Neighbors<u64> {
        &self.found
    }

    /// What has been found.
    pub fn into_neighbors(self) -> Neighbors<u64> {
        self.found
    }
}

/// Merges neighbours with others, `[rows, per_row]`, of which `other` gives distance and index.
fn enter(
    found: &mut Neighbors<u64>,
    k: usize,
    (rows, per_row): (usize, usize),
    other: impl Fn(usize) -> (u32, u64),
) -> Result<()> {
    let old = found.per_query;
    let per_query = k.min(old.saturating_add(per_row));
    if per_query > old {
        let mut indices = allocate((rows, per_query), u64::MAX)?;
        let mut distances = allocate((rows, per_query), u32::MAX)?;
        for q in 0..rows {
            let (from, to) = (q * old, q * per_query);
            indices[to..][..old].copy_from_slice(&found.indices[from..][..old]);
            distances[to..][..old].copy_from_slice(&found.distances[from..][..old]);
        }
        *found = Neighbors { indices, distances, per_query };
    }
    let rows = found
        .indices
        .chunks_mut(per_query.max(1))
        .zip(found.distances.chunks_mut(per_query.max(1)));
    for (q, (indices, distances)) in rows.enumerate() {
        let other = |n| if n < per_row { other(q * per_row + n) } else { (u32::MAX, u64::MAX) };
        cpu::merge(indices, distances, other);
    }
    Ok(())
}

/// Of the shapes of queries and database.
pub(crate) fn check(queries: (usize, usize), database: (usize, usize)) -> Result<()> {
    let (items, bits) = database;
    check_length("a query code", "as many bits as a database code", bits, queries.1)?;
    let counted = bits < u32::MAX as usize;
    check_parameter("bits of a code", bits as f64, counted, "less than 2^32 - 1")?;
    check_rows(items)
}

/// Of outputs of `k` neighbours for each query.
pub(crate) fn check_nearest(
    (queries, items): (usize, usize),
    k: usize,
    indices: usize,
    distances: usize,
) -> Result<()> {
    let expected = queries.saturating_mul(k.min(items));
    check_length("the indices", "queries * min(k, items)", expected, indices)?;
    check_length("the distances", "queries * min(k, items)", expected, distances)
}

pub(crate) fn check_all_pairs(queries: usize, items: usize, got: usize) -> Result<()> {
    let expected = queries.checked_mul(items);
    check_length("the output", "queries * database items", expected.unwrap_or(usize::MAX), got)
}
