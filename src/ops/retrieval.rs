//! Hamming ranking and how good it is.
//!
//! A query's ranking is the database by (Hamming distance, index): equal distances go by index, the
//! lower first. An item is relevant to a query when they share a label.
//!
//! | measure | definition |
//! |---|---|
//! | AP | mean over the relevant items of (relevant items up to it) / (its 1-based place) |
//! | mAP | mean of AP over the queries |
//! | mAP@k | the same within the first k places: the mean is over the relevant items found there, and AP is 0 when there are none |
//! | expected mAP | expectation of mAP when items of equal distance are shuffled; it does not depend on the order of the database |
//! | precision@n | share of relevant items in the first n places |
//! | precision-recall curve | for each radius r: items within r, as a share of relevant (precision) and of all relevant (recall) |
//! | precision within r | share of relevant items among those within distance r; 0 for a query that finds none |
//!
//! - **Queries without a relevant item** in the database have no AP. They are left out of every
//!   mean here ([`Retrieval::evaluated_queries`] tells how many count); other code counts them as
//!   0, or divides by zero. With no query left, measures are NaN.
//! - **mAP@k** in published hashing code divides, as here, by the relevant items among the first k;
//!   some libraries divide by min(k, all relevant items) instead, which gives lower values.
//! - **Ties**: short codes put many items at equal distance, and then mAP depends on how the
//!   database happens to be sorted: quote the expected mAP beside it (McSherry and Najork,
//!   *Computing Information Retrieval Performance Measures Efficiently in the Presence of Tied
//!   Scores*, ECIR 2008).
//! - **Labels**: one class an item, or several as packed bits (bit c set: the item has class c).
//! - **Determinism**: the same bits for any number of threads.
//! - **Errors**: [`Error::Length`], [`Error::Parameter`], [`Error::TooManyRows`],
//!   [`Error::TooLarge`].
//! - **Cost**: distances take O(Q N K / 64) word operations for Q queries and N items.
//!   Measures work the distances out once or twice. Extra memory for each thread: counters of up to
//!   64 queries, 12 K bytes each; and for measures that depend on the order of the database, N or
//!   64 Ki bytes, whichever is more.
//!
//! ```
//! use bihalf::{Codes, ops::retrieval::{Labels, Retrieval}};
//!
//! let database = Codes::from_bytes(&[0b00, 0b01, 0b11], 3, 2)?;
//! let query = Codes::from_bytes(&[0b00], 1, 2)?; // ranking: items 0, 1, 2
//! let r = Retrieval::new(
//!     query.as_ref(),
//!     database.as_ref(),
//!     Labels::Single(&[7]),
//!     Labels::Single(&[7, 3, 7]),
//! )?;
//! assert_eq!(r.mean_average_precision()?, (1.0 / 1.0 + 2.0 / 3.0) / 2.0);
//! assert_eq!(r.precision_at(2)?, 0.5);
//! assert_eq!(r.precision_within_radius(0)?, 1.0);
//! # Ok::<(), bihalf::Error>(())
//! ```

use super::{check_length, check_parameter, check_rows};
use crate::cpu::retrieval::{self as cpu, Query};
use crate::memory::{allocate, zeros};
use crate::{CodesRef, Error, Result};

fn check_bits(queries: CodesRef<'_>, database: CodesRef<'_>) -> Result<()> {
    check_length("a query code", "as many bits as a database code", database.bits(), queries.bits())
}

/// Classes of the items.
#[derive(Clone, Copy, Debug)]
pub enum Labels<'a> {
    /// One class an item; items of the same class are relevant to each other.
    Single(&'a [u32]),
    /// Any number of classes an item, one bit a class; items that share a class are relevant.
    Multi(CodesRef<'a>),
}

impl Labels<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Single(labels) => labels.len(),
            Self::Multi(labels) => labels.rows(),
        }
    }
}

/// One point of a precision-recall curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PrecisionRecall {
    /// Items up to this Hamming distance are retrieved.
    pub radius: usize,
    /// Mean share of relevant items among those retrieved, over the queries that retrieve any;
    /// NaN when none does.
    pub precision: f64,
    /// Mean share of the relevant items that are retrieved.
    pub recall: f64,
}

/// Queries and a database with labels, to be measured. See the [page](self).
#[derive(Clone, Copy, Debug)]
pub struct Retrieval<'a> {
    queries: CodesRef<'a>,
    database: CodesRef<'a>,
    query_labels: Labels<'a>,
    database_labels: Labels<'a>,
}

impl<'a> Retrieval<'a> {
    /// Checks that codes and labels belong together.
    ///
    /// # Errors
    /// [`Error::Length`] when numbers of bits, items or classes differ; [`Error::Parameter`] when
    /// one side has single labels and the other multiple ones; [`Error::TooManyRows`].
    pub fn new(
        queries: CodesRef<'a>,
        database: CodesRef<'a>,
        query_labels: Labels<'a>,
        database_labels: Labels<'a>,
    ) -> Result<Self> {
        check_bits(queries, database)?;
        check_rows(database.rows())?;
        check_length("query labels", "one for each query", queries.rows(), query_labels.len())?;
        let n = database.rows();
        check_length("database labels", "one for each item", n, database_labels.len())?;
        match (query_labels, database_labels) {
            (Labels::Single(_), Labels::Single(_)) => {}
            (Labels::Multi(q), Labels::Multi(d)) => {
                check_length("query labels", "classes of the database", d.bits(), q.bits())?;
            }
            (Labels::Single(_), Labels::Multi(d)) | (Labels::Multi(d), Labels::Single(_)) => {
                let (name, expected) =
                    ("classes of one side", "single labels on both sides, or multi");
                return Err(Error::Parameter { name, value: d.bits() as f64, expected });
            }
        }
        Ok(Self { queries, database, query_labels, database_labels })
    }

    /// Number of queries with at least one relevant item: those that the measures average over.
    pub fn evaluated_queries(&self) -> usize {
        let has_relevant = |q| (0..self.database.rows()).any(|i| self.is_relevant(q, i));
        (0..self.queries.rows()).filter(|&q| has_relevant(q)).count()
    }

    /// mAP over the whole database, ties by index.
    ///
    /// # Errors
    /// [`Error::TooLarge`], as every measure: when there is no memory for a few queries.
    pub fn mean_average_precision(&self) -> Result<f64> {
        self.map_of_first(usize::MAX)
    }

    /// mAP@k, ties by index.
    ///
    /// # Errors
    /// [`Error::Parameter`] when k is 0. A k beyond the database means the whole database.
    /// [`Error::TooLarge`].
    pub fn mean_average_precision_at(&self, k: usize) -> Result<f64> {
        check_parameter("k", k as f64, k > 0, "at least 1")?;
        self.map_of_first(k)
    }

    /// Expectation of mAP over the whole database when items of equal distance are shuffled.
    ///
    /// # Errors
    /// [`Error::TooLarge`].
    pub fn expected_mean_average_precision(&self) -> Result<f64> {
        self.mean(Order::Free, expected_average_precision)
    }

    /// Mean precision among the first `n` places, ties by index.
    ///
    /// # Errors
    /// [`Error::Parameter`] when n is 0 or greater than the database; [`Error::TooLarge`].
    pub fn precision_at(&self, n: usize) -> Result<f64> {
        let ok = (1..=self.database.rows()).contains(&n);
        check_parameter("n", n as f64, ok, "from 1 to the number of database items")?;
        self.mean(Order::ByIndex, |query| {
            let found = query.ranked[..n].iter().filter(|&&hit| hit).count();
            found as f64 / n as f64
        })
    }

    /// Mean precision among the items within Hamming distance `radius`; a query that finds no item
    /// there counts as 0.
    ///
    /// # Errors
    /// [`Error::TooLarge`].
    pub fn precision_within_radius(&self, radius: usize) -> Result<f64> {
        self.mean(Order::Free, |query| {
            let within = |counts: &[u32]| counts.iter().take(radius.saturating_add(1)).sum::<u32>();
            let (items, relevant) = (within(&query.items), within(&query.relevant));
            if items == 0 { 0.0 } else { f64::from(relevant) / f64::from(items) }
        })
    }

    /// Precision and recall at each radius from 0 to the number of bits. It does not depend on the
    /// order of the database.
    ///
    /// # Errors
    /// [`Error::TooLarge`].
    pub fn precision_recall_curve(&self) -> Result<Vec<PrecisionRecall>> {
        let bits = self.database.bits();
        let none = PrecisionRecall { radius: 0, precision: 0.0, recall: 0.0 };
        let mut curve = allocate((1, bits.saturating_add(1)), none)?;
        let mut retrieving: Vec<u64> = zeros((1, bits + 1))?; // queries that retrieve any
        let mut evaluated = 0u64;
        self.for_each_query(
            Order::Free,
            |_| 0.0,
            |query, _| {
                evaluated += 1;
                let all = f64::from(query.all_relevant());
                let (mut items, mut relevant) = (0, 0);
                for (radius, point) in curve.iter_mut().enumerate() {
                    items += query.items[radius];
                    relevant += query.relevant[radius];
                    if items > 0 {
                        point.precision += f64::from(relevant) / f64::from(items);
                        retrieving[radius] += 1;
                    }
                    point.recall += f64::from(relevant) / all;
                }
            },
        )?;
        for (radius, (point, retrieving)) in curve.iter_mut().zip(retrieving).enumerate() {
            point.radius = radius;
            point.precision /= retrieving as f64;
            point.recall /= evaluated as f64;
        }
        Ok(curve)
    }

    fn map_of_first(&self, k: usize) -> Result<f64> {
        self.mean(Order::ByIndex, |query| {
            let (mut found, mut sum) = (0u32, 0.0);
            let places = (1u32..).zip(query.ranked.iter().take(k));
            for (place, _) in places.filter(|&(_, &hit)| hit) {
                found += 1;
                sum += f64::from(found) / f64::from(place);
            }
            if found == 0 { 0.0 } else { sum / f64::from(found) }
        })
    }

    /// Mean of a measure over the queries with a relevant item.
    fn mean(&self, order: Order, measure: impl Fn(&Query) -> f64 + Send + Sync) -> Result<f64> {
        let (mut sum, mut evaluated) = (0.0, 0u64);
        self.for_each_query(order, measure, |_, value| {
            sum += value;
            evaluated += 1;
        })?;
        Ok(sum / evaluated as f64)
    }

    /// Calls `take` for each query with a relevant item in turn, with what `measure` makes of it.
    fn for_each_query(
        &self,
        order: Order,
        measure: impl Fn(&Query) -> f64 + Send + Sync,
        mut take: impl FnMut(&Query, f64),
    ) -> Result<()> {
        let has_relevant = |query: &Query| query.all_relevant() > 0;
        cpu::for_each_query(
            (self.queries, self.database),
            matches!(order, Order::ByIndex),
            |q, i| self.is_relevant(q, i),
            |query| if has_relevant(query) { measure(query) } else { 0.0 },
            |query, value| {
                if has_relevant(query) {
                    take(query, value);
                }
            },
        )
    }

    fn is_relevant(&self, q: usize, i: usize) -> bool {
        match (self.query_labels, self.database_labels) {
            (Labels::Multi(q_labels), Labels::Multi(d_labels)) => {
                q_labels.row(q).iter().zip(d_labels.row(i)).any(|(a, b)| a & b != 0)
            }
            (Labels::Single(q_labels), Labels::Single(d_labels)) => q_labels[q] == d_labels[i],
            _ => unreachable!("checked by Retrieval::new"),
        }
    }
}

/// Whether a measure looks at the order of items at equal distance.
enum Order {
    ByIndex,
    Free,
}

/// In a group of n tied items, r of them relevant, behind N items of which R are relevant, place t
/// of the group holds a relevant item with probability r/n, and then R + 1 + (t - 1)(r - 1)/(n - 1)
/// relevant items are expected among the first N + t.
fn expected_average_precision(query: &Query) -> f64 {
    let (mut before, mut relevant_before, mut sum) = (0.0, 0.0, 0.0);
    for (&n, &r) in query.items.iter().zip(&query.relevant) {
        let (items, relevant) = (f64::from(n), f64::from(r));
        if r > 0 {
            let share_of_rest = if n > 1 { (relevant - 1.0) / (items - 1.0) } else { 0.0 };
            let at = |t: u32| {
                let ahead = f64::from(t - 1);
                (relevant_before + 1.0 + ahead * share_of_rest) / (before + ahead + 1.0)
            };
            sum += relevant / items * (1..=n).map(at).sum::<f64>();
        }
        before += items;
        relevant_before += relevant;
    }
    sum / relevant_before
}
