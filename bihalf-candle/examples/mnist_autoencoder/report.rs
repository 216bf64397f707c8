//! What a trained encoder's codes are worth: retrieval, bit statistics, the table, the check.

use crate::data::Dataset;
use crate::model::Method;
use crate::train::{SHORT_RUN, Trained, pixels};
use anyhow::Result;
use bihalf::MatRef;
use bihalf::ops::retrieval::{self, Labelled, Labels, Options, WithinRadius};
use bihalf::ops::stats::{self, Histogram};
use bihalf_candle::BihalfExt;
use candle_core::Tensor;

/// Cut-off of the mAP that published tables use.
const MAP_CUTOFF: usize = 1000;
/// A bit is dead where its share of +1 is below this or above one minus this.
const DEAD: f64 = 0.005;
/// Bins of the histogram of the encoder's output; even, so that 0 is between two.
const BINS: usize = 96;

pub struct Evaluation {
    pub method: Method,
    /// Mean average precision over the whole database, equal distances by database index.
    pub map: f64,
    /// The same, expected over random order of equal distances.
    pub expected_map: f64,
    /// mAP of the first 1,000 retrieved.
    pub map_at_1000: f64,
    /// Mean entropy of the database's bits, 0 to 1.
    pub bit_entropy: f64,
    pub dead_bits: usize,
    /// Number of distinct codes in the database.
    pub distinct: usize,
    pub bce: f64,
    pub seconds: f64,
    /// Share of +1 of each bit over the database.
    pub p_plus: Vec<f64>,
    /// Precision and recall by Hamming radius.
    pub curve: Vec<WithinRadius>,
    /// The encoder's output over the database, a histogram for each dimension.
    pub outputs: Histogram,
}

/// Encodes database and queries with the sign of the encoder's output and retrieves.
pub fn evaluate(method: Method, trained: &Trained, data: &Dataset) -> Result<Evaluation> {
    let outputs = trained.model.encode(&pixels(&data.database)?)?;
    let database = outputs.to_codes()?;
    let queries = trained.model.encode(&pixels(&data.queries)?)?.to_codes()?;
    let found = retrieval::evaluate(
        Labelled::new(queries.as_ref(), Labels::Single(&data.queries.labels))?,
        Labelled::new(database.as_ref(), Labels::Single(&data.database.labels))?,
        &Options { cutoffs: &[MAP_CUTOFF], ..Options::default() },
    )?;
    let p_plus = stats::p_plus(database.as_ref())?;
    let entropy = stats::bit_entropy(database.as_ref())?;
    Ok(Evaluation {
        method,
        map: found.by_index.map.mean,
        expected_map: found.expected.map.mean,
        map_at_1000: found.by_index.at[0].map.mean,
        bit_entropy: entropy.iter().sum::<f64>() / entropy.len() as f64,
        dead_bits: p_plus.iter().filter(|&&p| !(DEAD..=1.0 - DEAD).contains(&p)).count(),
        distinct: stats::distinct(database.as_ref())?,
        bce: trained.bce,
        seconds: trained.seconds,
        p_plus,
        curve: found.curve,
        outputs: histogram(&outputs)?,
    })
}

/// The histogram of each column, over a range around 0 that leaves out the outermost 1 in 200.
fn histogram(outputs: &Tensor) -> Result<Histogram> {
    let (rows, cols) = outputs.dims2()?;
    let values = outputs.flatten_all()?.to_vec1::<f32>()?;
    let mut sizes: Vec<f32> = values.iter().map(|value| value.abs()).collect();
    sizes.sort_by(f32::total_cmp);
    // An encoder that puts out nothing but 0 still gets a range.
    let range = f64::from(sizes[(sizes.len() - 1) * 199 / 200]).max(1e-3);
    Ok(stats::histogram(MatRef::new(&values, rows, cols)?, -range, range, BINS)?)
}

/// One row for each method.
pub fn table(evaluations: &[Evaluation]) -> String {
    let mut table = String::from(
        "method      mAP  expected  mAP@1000  entropy  dead bits  distinct codes     BCE  seconds\n",
    );
    for e in evaluations {
        table += &format!(
            "{:<9} {:.3}     {:.3}     {:.3}    {:.3}  {:>9}  {:>14}  {:.4}  {:>7.1}\n",
            e.method.label(),
            e.map,
            e.expected_map,
            e.map_at_1000,
            e.bit_entropy,
            e.dead_bits,
            e.distinct,
            e.bce,
            e.seconds
        );
    }
    table
}

/// One claim about the results and whether it holds.
pub struct Check {
    pub claim: String,
    pub holds: bool,
}

/// The claims that the evaluated methods allow, with the numbers found.
///
/// The lead over sign is greatest early: in long runs more of sign's bits come to life.
pub fn checks(evaluations: &[Evaluation], epochs: usize) -> Vec<Check> {
    let lead = if epochs <= SHORT_RUN { 0.1 } else { 0.05 };
    let find = |method| evaluations.iter().find(|e| e.method == method);
    let mut checks = Vec::new();
    let Some(bihalf) = find(Method::Bihalf) else { return checks };
    if let Some(sign) = find(Method::Sign) {
        checks.push(Check {
            claim: format!(
                "expected mAP of Bi-half ({:.3}) above that of sign ({:.3}) by more than {lead}",
                bihalf.expected_map, sign.expected_map
            ),
            holds: bihalf.expected_map > sign.expected_map + lead,
        });
    }
    checks.push(Check {
        claim: format!("bit entropy of Bi-half ({:.4}) above 0.99", bihalf.bit_entropy),
        holds: bihalf.bit_entropy > 0.99,
    });
    let (low, high) =
        bihalf.p_plus.iter().fold((1.0f64, 0.0f64), |(l, h), &p| (l.min(p), h.max(p)));
    let mean = bihalf.p_plus.iter().sum::<f64>() / bihalf.p_plus.len() as f64;
    checks.push(Check {
        claim: format!(
            "P(+1) of Bi-half within 0.48 to 0.52 (mean {mean:.4}; single bits {low:.4} to {high:.4})"
        ),
        holds: (0.48..=0.52).contains(&mean),
    });
    checks
}
