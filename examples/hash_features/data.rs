//! Database and queries: from the user's files, or the small set of the repository.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ndarray::{Array2, Axis};

use crate::args::Args;
use crate::{Result, npy};

/// Feature vectors with their classes.
#[derive(Debug)]
pub struct Set {
    /// `[rows, dims]`
    pub features: Array2<f32>,
    /// `[rows]`
    pub labels: Vec<u32>,
}

/// What is trained on and searched (`database`), and what is asked (`queries`).
#[derive(Debug)]
pub struct Dataset {
    pub name: String,
    pub database: Set,
    pub queries: Set,
    /// The set of the repository, for which the outcome is known well enough to be checked.
    pub bundled: bool,
}

impl Dataset {
    /// Loads what the options name.
    pub fn load(args: &Args) -> Result<Self> {
        let dataset = match (&args.features, &args.labels) {
            (Some(features), Some(labels)) => {
                let set = Set::read(features, labels)?;
                let name = features.display().to_string();
                match (&args.query_features, &args.query_labels) {
                    (Some(features), Some(labels)) => {
                        let queries = Set::read(features, labels)?;
                        Self { name, database: set, queries, bundled: false }
                    }
                    _ => {
                        let (database, queries) = set.split(args.query_share)?;
                        Self { name, database, queries, bundled: false }
                    }
                }
            }
            _ => Self::bundled()?,
        };
        dataset.check(args.batch as usize)?;
        Ok(dataset)
    }

    fn bundled() -> Result<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/wordnet12");
        let set = |part: &str| -> Result<Set> {
            let file = |what: &str| folder.join(format!("{part}_{what}.npy"));
            let features = npy::read_quantised(&file("features"), &file("scales"))?;
            Set::new(features, npy::read_labels(&file("labels"))?, part)
        };
        let (database, queries) = (set("database")?, set("query")?);
        Ok(Self { name: "data/wordnet12".into(), database, queries, bundled: true })
    }

    fn check(&self, batch: usize) -> Result<()> {
        let (rows, dims) = self.database.features.dim();
        let (query_rows, query_dims) = self.queries.features.dim();
        if rows < batch {
            return Err(format!(
                "{rows} database rows for batches of {batch}; give at least {batch} rows or --batch {}",
                rows.max(2)
            )
            .into());
        }
        if query_rows == 0 {
            return Err("no query row; give --query-features with at least one".into());
        }
        if self.queries_of_other_classes() == query_rows {
            return Err(format!(
                "none of the {query_rows} queries has a class that a database row has (labels {:?} \
                 and {:?} at first); number the classes of both files alike",
                self.queries.labels[0], self.database.labels[0]
            )
            .into());
        }
        if dims != query_dims {
            return Err(format!(
                "database rows have {dims} dims, query rows {query_dims}; give features of one model"
            )
            .into());
        }
        Ok(())
    }

    /// Queries without a relevant row, which no measure counts.
    pub fn queries_of_other_classes(&self) -> usize {
        let classes: BTreeSet<u32> = self.database.labels.iter().copied().collect();
        self.queries.labels.iter().filter(|label| !classes.contains(label)).count()
    }

    /// Mean precision of a random ranking: the mean share of the database that is relevant.
    pub fn chance(&self) -> f64 {
        let mut sizes = BTreeMap::new();
        for &label in &self.database.labels {
            *sizes.entry(label).or_insert(0_usize) += 1;
        }
        let relevant: usize =
            self.queries.labels.iter().map(|label| sizes.get(label).copied().unwrap_or(0)).sum();
        relevant as f64 / (self.queries.labels.len() * self.database.labels.len()) as f64
    }
}

impl Set {
    fn read(features: &Path, labels: &Path) -> Result<Self> {
        Self::new(
            npy::read_matrix(features)?,
            npy::read_labels(labels)?,
            &features.display().to_string(),
        )
    }

    fn new(features: Array2<f32>, labels: Vec<u32>, name: &str) -> Result<Self> {
        let (rows, dims) = features.dim();
        if rows == 0 {
            return Err(format!("{name}: no row; give at least one").into());
        }
        if rows != labels.len() {
            return Err(format!(
                "{name}: {rows} feature rows, but {} labels; give one label a row",
                labels.len()
            )
            .into());
        }
        if dims == 0 {
            return Err(format!("{name}: rows of 0 dims; give at least one").into());
        }
        if let Some(((row, col), x)) = features.indexed_iter().find(|(_, x)| !x.is_finite()) {
            return Err(format!(
                "{name}: {x} in row {row}, column {col}; leave rows with such values out"
            )
            .into());
        }
        Ok(Self { features, labels })
    }

    /// Database and queries: the last rows of each class, in file order, become queries. No random
    /// numbers, so that every seed and every method sees the same split. A class gives
    /// `share` of its rows, rounded, and keeps at least one for the database.
    fn split(&self, share: f64) -> Result<(Self, Self)> {
        if self.labels.len() < 2 {
            return Err(format!(
                "{} row cannot be both database and query; give more rows, or --query-features",
                self.labels.len()
            )
            .into());
        }
        let mut classes = BTreeMap::<u32, Vec<usize>>::new();
        for (row, &label) in self.labels.iter().enumerate() {
            classes.entry(label).or_default().push(row);
        }
        let (mut database, mut queries) = (Vec::new(), Vec::new());
        for rows in classes.values() {
            let asked = (share * rows.len() as f64).round() as usize;
            let (kept, taken) = rows.split_at(rows.len() - asked.min(rows.len() - 1));
            database.extend(kept);
            queries.extend(taken);
        }
        if queries.is_empty() {
            return Err(format!(
                "a share of {share} of {} rows in {} classes leaves no query; raise --query-share, \
                 or give --query-features",
                self.labels.len(),
                classes.len()
            )
            .into());
        }
        database.sort_unstable();
        queries.sort_unstable();
        Ok((self.select(&database), self.select(&queries)))
    }

    fn select(&self, rows: &[usize]) -> Self {
        Self {
            features: self.features.select(Axis(0), rows),
            labels: rows.iter().map(|&row| self.labels[row]).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn the_last_rows_of_each_class_become_queries() {
        // Row i holds the value i. Class 7 has rows 0, 2, 3, 5; class 1 rows 1, 4; class 9 row 6.
        let set = Set {
            features: Array2::from_shape_fn((7, 1), |(i, _)| i as f32),
            labels: vec![7, 1, 7, 7, 1, 7, 9],
        };
        let (database, queries) = set.split(0.5).unwrap();
        assert_eq!(database.features.column(0).to_vec(), [0.0, 1.0, 2.0, 6.0]);
        assert_eq!(database.labels, [7, 1, 7, 9]);
        assert_eq!(queries.features.column(0).to_vec(), [3.0, 4.0, 5.0]);
        assert_eq!(queries.labels, [7, 1, 7]);
    }

    #[test]
    fn a_share_that_leaves_no_query_is_an_error() {
        let set = Set { features: Array2::zeros((4, 1)), labels: vec![0, 0, 1, 1] };
        let message = set.split(0.1).unwrap_err().to_string();
        assert!(message.contains("--query-share"), "{message}");
        let set = Set { features: Array2::zeros((1, 1)), labels: vec![0] };
        let message = set.split(0.5).unwrap_err().to_string();
        assert!(message.contains("1 row") && message.contains("--query-features"), "{message}");
    }

    #[test]
    fn queries_of_classes_that_the_database_lacks_are_named() {
        let set = |labels: &[u32]| Set {
            features: Array2::zeros((labels.len(), 1)),
            labels: labels.to_vec(),
        };
        let dataset = |queries: &[u32]| {
            let (database, queries) = (set(&[1, 2]), set(queries));
            Dataset { name: String::new(), database, queries, bundled: false }
        };
        assert_eq!(dataset(&[1, 3, 4]).queries_of_other_classes(), 2);
        dataset(&[1, 3]).check(2).unwrap();
        let message = dataset(&[3, 4]).check(2).unwrap_err().to_string();
        assert!(message.contains("none of the 2 queries"), "{message}");
    }

    #[test]
    fn chance_is_the_share_of_relevant_rows() {
        let set = |labels: &[u32]| Set {
            features: Array2::zeros((labels.len(), 1)),
            labels: labels.to_vec(),
        };
        // Query 0 finds 3 of 4 rows, query 5 finds none.
        let (database, queries) = (set(&[0, 0, 0, 1]), set(&[0, 5]));
        let dataset = Dataset { name: String::new(), database, queries, bundled: false };
        assert_eq!(dataset.chance(), 3.0 / 8.0);
    }

    #[test]
    fn values_that_are_not_finite_are_named() {
        let message = Set::new(array![[0.0, 1.0], [2.0, f32::NAN]], vec![0, 1], "x.npy")
            .unwrap_err()
            .to_string();
        assert!(message.contains("NaN in row 1, column 1"), "{message}");
    }

    #[test]
    fn the_bundled_set_is_stratified_and_of_unit_norm() {
        let dataset = Dataset::bundled().unwrap();
        for (set, rows) in [(&dataset.database, 160), (&dataset.queries, 25)] {
            let mut sizes = [0; 12];
            set.labels.iter().for_each(|&label| sizes[label as usize] += 1);
            assert_eq!(sizes, [rows; 12]);
            for row in set.features.rows() {
                assert!((row.dot(&row).sqrt() - 1.0).abs() < 2e-3);
            }
        }
    }
}
