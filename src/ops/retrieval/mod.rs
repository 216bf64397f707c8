//! How good retrieval by Hamming distance is: mAP, precision, recall, and their expectations where
//! distances tie.
//!
//! A query's ranking is the database by (Hamming distance, index). An item is relevant to a query
//! when they share a label. [`evaluate`] measures all of this in one pass:
//!
//! | measure of a query | definition |
//! |---|---|
//! | AP | mean over its relevant items of (relevant items up to it) / (its place, from 1 on) |
//! | AP@k | the same within the first k places: the mean is over the relevant items found there, and it is 0 where there are none |
//! | precision@k | relevant items in the first k places, over k |
//! | recall@k | relevant items in the first k places, over all relevant items |
//!
//! | result | what it is |
//! |---|---|
//! | [`by_index`](Evaluation::by_index) | their means over the queries (mAP, mAP@k, ...): equal distances go by index, the lower first |
//! | [`expected`](Evaluation::expected) | means of their expectations when items of equal distance are shuffled: they do not depend on the order of the database |
//! | [`curve`](Evaluation::curve) | precision and recall of the items within each radius |
//!
//! - **Ties**: short codes put many items at equal distance, and then mAP depends on how the
//!   database happens to be sorted: quote the expected mAP beside it (McSherry and Najork,
//!   *Computing Information Retrieval Performance Measures Efficiently in the Presence of Tied
//!   Scores*, ECIR 2008).
//! - **Queries without a relevant item** in the database have no AP. They are left out of every
//!   mean unless [`Empty::Zero`] counts them as 0. Of other code, the evaluation that
//!   came with HashNet leaves them out; most of its descendants skip them and divide by the number
//!   of all queries, and torchmetrics gives them 0: both are [`Empty::Zero`]. With no query left,
//!   means are NaN.
//! - **mAP@k** in published hashing code divides, as here, by the relevant items among the first k;
//!   some libraries divide by min(k, all relevant items) instead, which gives lower values.
//! - **A k beyond the database** means all of it: precision is then over the number of items.
//! - **Labels**: one class an item, or several as packed bits (bit c set: the item has class c).
//! - **Parts**: what does not depend on the order of items can be counted part by part: [`Counters`].
//!   A device counts too: [`Backend::count_by_distance_into`](crate::Backend::count_by_distance_into)
//!   is one launch after two fills.
//! - **Determinism**: the same bits for any number of threads.
//! - **Errors**: [`Error::Length`], [`Error::Parameter`], [`Error::TooManyRows`],
//!   [`Error::TooLarge`]; [`Error::InstructionSet`], see [`bihalf`](super::bi_half).
//! - **Cost**: O(Q N K / 64) word operations for Q queries and N items, one pass. Extra memory for
//!   each thread: 8 queries (more where N is below 2^16), each with 16 bytes for each distance and
//!   about 20 for each relevant item; results take a number for each query and measure.
//!
//! ```
//! use bihalf::{Codes, ops::retrieval::{Labelled, Labels, Options, evaluate}};
//!
//! let database = Codes::from_bytes(&[0b00, 0b01, 0b11], 3, 2)?;
//! let query = Codes::from_bytes(&[0b00], 1, 2)?; // ranking: items 0, 1, 2
//! let found = evaluate(
//!     Labelled::new(query.as_ref(), Labels::Single(&[7]))?,
//!     Labelled::new(database.as_ref(), Labels::Single(&[7, 3, 7]))?,
//!     &Options { cutoffs: &[2], ..Options::default() },
//! )?;
//! assert_eq!(found.by_index.map.mean, (1.0 / 1.0 + 2.0 / 3.0) / 2.0);
//! assert_eq!(found.by_index.at[0].precision.mean, 0.5); // precision@2
//! assert_eq!(found.curve[0].precision, 1.0); // at distance 0
//! # Ok::<(), bihalf::Error>(())
//! ```

mod scores;

use super::{check_length, check_parameter, check_rows};
use crate::cpu::retrieval::{self as cpu, Measured};
use crate::cpu::simd::detected;
use crate::memory::zeros;
use crate::{Error, PackedCodes, Result, Storage};
use scores::{Curve, Cutoffs, Sheet};

/// Classes of the items, over storages of `u32` and of `u64` words. On the host use [`Labels`].
#[derive(Clone, Copy, Debug)]
pub enum ClassLabels<C, W> {
    /// One class an item; items of the same class are relevant to each other.
    Single(C),
    /// Any number of classes an item, one bit a class; items that share a class are relevant.
    Multi(PackedCodes<W>),
}

/// Classes of the items.
pub type Labels<'a> = ClassLabels<&'a [u32], &'a [u64]>;

/// Codes and the labels of the same items, over such storages. On the host use [`Labelled`].
#[derive(Clone, Copy, Debug)]
pub struct LabelledCodes<C, W> {
    codes: PackedCodes<W>,
    labels: ClassLabels<C, W>,
}

/// Codes and the labels of the same items.
pub type Labelled<'a> = LabelledCodes<&'a [u32], &'a [u64]>;

impl<C: Storage, W: Storage> LabelledCodes<C, W> {
    /// Codes with labels.
    ///
    /// # Errors
    /// [`Error::Length`] when these are not as many.
    pub fn new(codes: PackedCodes<W>, labels: ClassLabels<C, W>) -> Result<Self> {
        let got = match &labels {
            ClassLabels::Single(classes) => classes.len(),
            ClassLabels::Multi(labels) => labels.rows(),
        };
        check_length("labels", "one for each code", codes.rows(), got)?;
        Ok(Self { codes, labels })
    }

    /// The codes.
    pub fn codes(&self) -> &PackedCodes<W> {
        &self.codes
    }

    /// The labels.
    pub fn labels(&self) -> &ClassLabels<C, W> {
        &self.labels
    }

    /// Codes and labels.
    pub fn into_parts(self) -> (PackedCodes<W>, ClassLabels<C, W>) {
        (self.codes, self.labels)
    }
}

/// What becomes of queries that no item of the database is relevant to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Empty {
    /// They are left out of the means, and have NaN themselves.
    #[default]
    LeaveOut,
    /// All their measures are 0.
    Zero,
}

/// What to measure.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// The k of mAP@k, precision@k and recall@k: for a curve, many.
    pub cutoffs: &'a [usize],
    /// What becomes of queries without a relevant item.
    pub empty: Empty,
}

/// A measure.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measure {
    /// The mean over the queries.
    pub mean: f64,
    /// The value of each query; NaN for those that are left out.
    pub of_query: Vec<f64>,
}

/// Measures of the first k places.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AtCutoff {
    /// k, as it was asked for.
    pub k: usize,
    /// AP@k; its mean is mAP@k.
    pub map: Measure,
    /// precision@k.
    pub precision: Measure,
    /// recall@k.
    pub recall: Measure,
}

/// Measures that depend on a ranking.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores {
    /// AP over the whole database; its mean is mAP.
    pub map: Measure,
    /// For each cutoff, in the order of the [`Options`].
    pub at: Vec<AtCutoff>,
}

/// The items within a Hamming distance.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WithinRadius {
    /// The distance.
    pub radius: usize,
    /// Mean share of relevant items among them, over the queries that have any there; NaN when none
    /// has. The macro average.
    pub precision: f64,
    /// The same, but a query that has none there counts as 0: "precision within radius r" of the
    /// hashing literature.
    pub precision_or_zero: f64,
    /// Mean share of a query's relevant items that are among them.
    pub recall: f64,
    /// Relevant items of all queries together, over their items: the micro average; NaN when there
    /// are none.
    pub pooled_precision: f64,
    /// Relevant items of all queries together, over all relevant items.
    pub pooled_recall: f64,
}

/// What [`evaluate`] measures.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// Queries with a relevant item, which the means are over; with [`Empty::Zero`] they are over all.
    pub evaluated: usize,
    /// Equal distances by index.
    pub by_index: Scores,
    /// Expectations when items of equal distance are shuffled.
    pub expected: Scores,
    /// For each radius from 0 to the number of bits.
    pub curve: Vec<WithinRadius>,
}

/// What [`Counters`] measure: all that does not depend on the order of the database.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OrderFree {
    /// As in [`Evaluation`].
    pub evaluated: usize,
    /// As in [`Evaluation`].
    pub expected: Scores,
    /// As in [`Evaluation`].
    pub curve: Vec<WithinRadius>,
}

/// Measures how well queries find items of their classes. See the [page](self).
///
/// # Errors
/// See the [page](self); [`Error::Parameter`] for a cutoff of 0.
pub fn evaluate(
    queries: Labelled<'_>,
    database: Labelled<'_>,
    options: &Options<'_>,
) -> Result<Evaluation> {
    check(queries, database)?;
    let cutoffs = &Cutoffs::new(options.cutoffs, database.codes.rows())?;
    let columns = 2 * cutoffs.values();
    let mut sheet = Sheet::new(queries.codes.rows(), columns, options.empty)?;
    let mut curve = Curve::new(database.codes.bits(), options.empty)?;
    let measured = Measured {
        values: columns,
        measure: &|counts, values| {
            if !counts.places.is_empty() {
                let (by_index, expected) = values.split_at_mut(cutoffs.values());
                cutoffs.by_index(counts.places, by_index);
                cutoffs.expected(counts.items, counts.relevant, expected);
            }
        },
        take: &mut |counts, values| {
            sheet.push((!counts.places.is_empty()).then_some(values));
            curve.add(counts.items, counts.relevant);
        },
    };
    cpu::for_each_query(detected()?, queries, database, measured)?;
    let by_index = cutoffs.scores(&sheet, 0)?;
    let expected = cutoffs.scores(&sheet, cutoffs.values())?;
    Ok(Evaluation { evaluated: sheet.evaluated, by_index, expected, curve: curve.points(&sheet)? })
}

/// Counters of items and relevant items by distance, for each query: of a database that comes in
/// parts, in any order, or on several machines.
///
/// They take 8 bytes for each query and distance.
///
/// ```
/// use bihalf::{Codes, ops::retrieval::{Counters, Labelled, Labels, Options}};
///
/// let query = Codes::from_bytes(&[0b00], 1, 2)?;
/// let parts = [Codes::from_bytes(&[0b00, 0b01], 2, 2)?, Codes::from_bytes(&[0b11], 1, 2)?];
/// let mut counters = Counters::new(Labelled::new(query.as_ref(), Labels::Single(&[7]))?)?;
/// counters.push(Labelled::new(parts[0].as_ref(), Labels::Single(&[7, 3]))?)?;
/// counters.push(Labelled::new(parts[1].as_ref(), Labels::Single(&[7]))?)?;
/// let found = counters.evaluate(&Options::default())?;
/// assert_eq!(found.expected.map.mean, (1.0 / 1.0 + 2.0 / 3.0) / 2.0);
/// # Ok::<(), bihalf::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Counters<'a> {
    queries: Labelled<'a>,
    /// `[queries, bits + 1]`
    items: Vec<u32>,
    relevant: Vec<u32>,
    total: usize,
}

impl<'a> Counters<'a> {
    /// Nothing has been counted yet.
    ///
    /// # Errors
    /// [`Error::TooLarge`].
    pub fn new(queries: Labelled<'a>) -> Result<Self> {
        let shape = (queries.codes.rows(), queries.codes.bits().saturating_add(1));
        Ok(Self { queries, items: zeros(shape)?, relevant: zeros(shape)?, total: 0 })
    }

    /// Counts the items of a part.
    ///
    /// # Errors
    /// See the [page](self); [`Error::TooManyRows`] if all parts together have more than 2^32 - 1
    /// items. Then none of the part are counted.
    pub fn push(&mut self, part: Labelled<'_>) -> Result<()> {
        check(self.queries, part)?;
        let total = self.total.saturating_add(part.codes.rows());
        check_rows(total)?;
        let len = self.items.len();
        let (mut items, mut relevant) = (zeros((len, 1))?, zeros((len, 1))?);
        count_by_distance_into(self.queries, part, &mut items, &mut relevant)?;
        self.add(&items, &relevant, total);
        Ok(())
    }

    /// Adds what has been counted of other items, for the same queries.
    ///
    /// # Errors
    /// [`Error::Length`] if the other ones have another number of queries or bits,
    /// [`Error::TooManyRows`]. Then nothing is added.
    pub fn merge(&mut self, other: &Counters<'_>) -> Result<()> {
        let (ours, others) = (self.queries.codes.shape(), other.queries.codes.shape());
        check_length("the other counters", "as many queries", ours.0, others.0)?;
        check_length("the other counters", "as many bits", ours.1, others.1)?;
        let total = self.total.saturating_add(other.total);
        check_rows(total)?;
        self.add(&other.items, &other.relevant, total);
        Ok(())
    }

    /// Adds what [`count_by_distance_into`] has counted of other items, on this backend or another.
    ///
    /// # Errors
    /// [`Error::Length`] if these are not `queries * (bits + 1)` each, [`Error::Parameter`] if the
    /// items of each query are not as many or fewer than the relevant ones at a distance,
    /// [`Error::TooManyRows`]. Then nothing is added.
    pub fn add_counts(&mut self, items: &[u32], relevant: &[u32]) -> Result<()> {
        check_counts(self.queries.codes.shape(), items.len(), relevant.len())?;
        let sum = |row: &[u32]| row.iter().map(|&n| n as usize).sum::<usize>();
        let mut sums = items.chunks(self.queries.codes.bits() + 1).map(sum);
        let of_first = sums.next().unwrap_or(0);
        let name = "the items of a query";
        check_parameter(name, of_first as f64, sums.all(|n| n == of_first), "as many for each")?;
        let fits = items.iter().zip(relevant).all(|(items, relevant)| relevant <= items);
        check_parameter("the relevant", f64::NAN, fits, "no more than there are items")?;
        let total = self.total.saturating_add(of_first);
        check_rows(total)?;
        self.add(items, relevant, total);
        Ok(())
    }

    fn add(&mut self, items: &[u32], relevant: &[u32], total: usize) {
        self.items.iter_mut().zip(items).for_each(|(sum, items)| *sum += items);
        self.relevant.iter_mut().zip(relevant).for_each(|(sum, items)| *sum += items);
        self.total = total;
    }

    /// Measures what has been counted.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a cutoff of 0, [`Error::TooLarge`].
    pub fn evaluate(&self, options: &Options<'_>) -> Result<OrderFree> {
        let codes = self.queries.codes;
        let cutoffs = Cutoffs::new(options.cutoffs, self.total)?;
        let mut sheet = Sheet::new(codes.rows(), cutoffs.values(), options.empty)?;
        let mut curve = Curve::new(codes.bits(), options.empty)?;
        let mut values = zeros((1, cutoffs.values()))?;
        let distances = codes.bits() + 1;
        let rows = self.items.chunks_exact(distances).zip(self.relevant.chunks_exact(distances));
        for (items, relevant) in rows {
            let any = relevant.iter().any(|&relevant| relevant > 0);
            if any {
                cutoffs.expected(items, relevant, &mut values);
            }
            sheet.push(any.then_some(&values));
            curve.add(items, relevant);
        }
        let expected = cutoffs.scores(&sheet, 0)?;
        Ok(OrderFree { evaluated: sheet.evaluated, expected, curve: curve.points(&sheet)? })
    }
}

/// Items and relevant items at each distance of each query, both `[queries, bits + 1]`: what
/// [`Counters`] count, for [`Counters::add_counts`]. It takes the memory of
/// [`evaluate`]; a device takes none: [`Backend::count_by_distance_into`](crate::Backend).
///
/// # Errors
/// See the [page](self).
pub fn count_by_distance_into(
    queries: Labelled<'_>,
    database: Labelled<'_>,
    items: &mut [u32],
    relevant: &mut [u32],
) -> Result<()> {
    check(queries, database)?;
    check_counts(queries.codes.shape(), items.len(), relevant.len())?;
    let bits = queries.codes.bits();
    let mut rows = items.chunks_mut(bits + 1).zip(relevant.chunks_mut(bits + 1));
    let measured = Measured {
        values: 0,
        measure: &|_, _| (),
        take: &mut |counts, _| {
            let (items, relevant) = rows.next().expect("a row for each query");
            items.copy_from_slice(counts.items);
            relevant.copy_from_slice(counts.relevant);
        },
    };
    cpu::for_each_query(detected()?, queries, database, measured)
}

fn check(queries: Labelled<'_>, database: Labelled<'_>) -> Result<()> {
    let (got, expected) = (queries.codes.bits(), database.codes.bits());
    check_length("a query code", "as many bits as a database code", expected, got)?;
    check_rows(database.codes.rows())?;
    check_labels(&queries, &database)
}

/// Whether labels are of one kind.
pub(crate) fn check_labels<C: Storage, W: Storage, D: Storage, V: Storage>(
    queries: &LabelledCodes<C, W>,
    database: &LabelledCodes<D, V>,
) -> Result<()> {
    use ClassLabels::{Multi, Single};
    match (&queries.labels, &database.labels) {
        (Single(_), Single(_)) => Ok(()),
        (Multi(q), Multi(d)) => {
            check_length("query labels", "classes of the database", d.bits(), q.bits())
        }
        (Single(_), Multi(d)) => Err(of_two_kinds(d.bits())),
        (Multi(q), Single(_)) => Err(of_two_kinds(q.bits())),
    }
}

fn of_two_kinds(classes: usize) -> Error {
    let (name, expected) = ("classes of one side", "single labels on both sides, or multi");
    Error::Parameter { name, value: classes as f64, expected }
}

/// The number of counts of `rows` queries of `bits` bits, which both outputs must have.
pub(crate) fn check_counts(
    (rows, bits): (usize, usize),
    counts: usize,
    relevant: usize,
) -> Result<usize> {
    let expected = bits.checked_add(1).and_then(|bins| bins.checked_mul(rows));
    let expected = expected.unwrap_or(usize::MAX);
    check_length("the counts", "queries * (bits + 1)", expected, counts)?;
    check_length("the relevant", "queries * (bits + 1)", expected, relevant)?;
    Ok(expected)
}
