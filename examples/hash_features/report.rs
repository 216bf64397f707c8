//! What a trained layer is worth, and what must hold of it.

use std::path::Path;

use bihalf::Codes;
use bihalf::ops::retrieval::{Labelled, Labels, Options, evaluate};
use bihalf::ops::stats;

use crate::data::Dataset;
use crate::layer::HashLayer;
use crate::recipe::{Method, Recipe};
use crate::train::{Losses, Outcome};
use crate::{Result, npy};

/// Ranks that count for mAP@top: 1000 as in the paper, or the whole of a smaller database.
pub fn top(dataset: &Dataset) -> usize {
    dataset.database.labels.len().min(1000)
}

/// Retrieval of the queries' classes among the database codes, and the codes themselves.
#[derive(Debug, Clone)]
pub struct Scores {
    /// equal distances in database order; see [`top`]
    pub map_at_top: f64,
    /// over the whole database; the mean over all orders of equal distances
    pub expected_map: f64,
    /// mean over bits of the entropy of a bit in the database, 0 to 1
    pub bit_entropy: f64,
    pub distinct_codes: usize,
}

impl Scores {
    pub fn measure(dataset: &Dataset, database: &Codes, queries: &Codes) -> Result<Self> {
        let found = evaluate(
            Labelled::new(queries.as_ref(), Labels::Single(&dataset.queries.labels))?,
            Labelled::new(database.as_ref(), Labels::Single(&dataset.database.labels))?,
            &Options { cutoffs: &[top(dataset)], ..Options::default() },
        )?;
        let entropy = stats::bit_entropy(database.as_ref())?;
        Ok(Self {
            map_at_top: found.by_index.at[0].map.mean,
            expected_map: found.expected.map.mean,
            bit_entropy: entropy.iter().sum::<f64>() / entropy.len() as f64,
            distinct_codes: stats::distinct(database.as_ref())?,
        })
    }
}

/// Names of the columns that [`row`] prints.
pub fn header(top: usize) -> String {
    let map = format!("mAP@{top}");
    format!(
        "method   gamma   {map:>8}  expected mAP  bit entropy  distinct codes    loss  mean (U-B)^2  \
         epochs  seconds"
    )
}

/// One line of the table.
pub fn row(recipe: &Recipe, scores: &Scores, outcome: &Outcome, seconds: f64) -> String {
    let Losses { cosine, gap } = outcome.losses;
    format!(
        "{:<7} {:>6}   {:>8.4}  {:>12.4}  {:>11.4}  {:>14}  {cosine:>6.4}  {gap:>12.4}  {:>6}  {seconds:>7.1}",
        recipe.method.name(),
        recipe.gamma,
        scores.map_at_top,
        scores.expected_map,
        scores.bit_entropy,
        scores.distinct_codes,
        outcome.epochs,
    )
}

/// Something that must hold, and whether it does.
#[derive(Debug)]
pub struct Check {
    pub holds: bool,
    pub what: String,
}

/// Writes the layer and the codes of the database to `folder`, reads both back, and checks that
/// they say the same.
pub fn save_and_verify(
    folder: &Path,
    method: Method,
    layer: &HashLayer,
    codes: &Codes,
    dataset: &Dataset,
) -> Result<Vec<Check>> {
    let [layer_file, codes_file] = method.files().map(|name| folder.join(name));
    layer.save(&layer_file)?;
    npy::write_bytes(&codes_file, codes.rows(), &codes.to_bytes()?)?;

    let encoded = HashLayer::load(&layer_file)?.encode(dataset.database.features.view())?;
    let stored = npy::read_bytes(&codes_file)?;
    let (rows, bytes) = stored.dim();
    let stored = Codes::from_bytes(&stored.into_raw_vec_and_offset().0, rows, codes.bits())?;
    Ok(vec![
        Check {
            holds: encoded.as_bytes() == codes.as_bytes(),
            what: format!("{}: the layer read back gives the same codes", layer_file.display()),
        },
        Check {
            holds: stored.as_bytes() == codes.as_bytes(),
            what: format!("{}: [{rows}, {bytes}] bytes, the same codes", codes_file.display()),
        },
    ])
}

/// What the Bi-half layer promises on the set of the repository. It is far from the line for every
/// seed tried; on features of your own the same figures are only printed.
pub fn bihalf_checks(scores: &Scores, chance: f64) -> [Check; 2] {
    let bar = 3.0 * chance;
    [
        Check {
            holds: scores.bit_entropy > 0.95,
            what: format!("bit entropy of the Bi-half codes {:.3} > 0.95", scores.bit_entropy),
        },
        Check {
            holds: scores.map_at_top > bar,
            what: format!(
                "mAP of the Bi-half codes {:.3} > {bar:.3}, three times chance",
                scores.map_at_top
            ),
        },
    ]
}
