//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Learn hash codes for frozen features: a linear layer with Bi-half codes beside one with sign
/// codes, judged by retrieval with Hamming distances.
///
/// Without --features it runs on the small set in data/wordnet12.
#[derive(Debug, Clone, Parser)]
#[command(name = "hash_features", version)]
pub struct Args {
    /// Features, a .npy file of f16, f32 or f64, [rows, dims], in C order
    #[arg(long, value_name = "NPY", requires = "labels")]
    pub features: Option<PathBuf>,

    /// Class of each row of --features, a .npy file of integers or booleans, [rows], or one-hot,
    /// [rows, classes]
    #[arg(long, value_name = "NPY", requires = "features")]
    pub labels: Option<PathBuf>,

    /// Features of the queries; without it a part of every class of --features becomes queries
    #[arg(long, value_name = "NPY", requires = "features", requires = "query_labels")]
    pub query_features: Option<PathBuf>,

    /// Class of each row of --query-features
    #[arg(long, value_name = "NPY", requires = "query_features")]
    pub query_labels: Option<PathBuf>,

    /// Share of each class that becomes queries: the last rows of the class, in file order
    #[arg(long, value_name = "SHARE", default_value_t = 0.1, value_parser = share,
          conflicts_with = "query_features")]
    pub query_share: f64,

    /// Bits of a code
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub bits: u16,

    /// Layers to train
    #[arg(long, value_enum, default_value_t = Methods::Both)]
    pub method: Methods,

    /// Subtract the mean of the database rows from all rows
    #[arg(long)]
    pub center: bool,

    /// Epochs at most; the plateau rule may end the training before
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub epochs: u32,

    /// Rows of a batch; Bi-half sets half of them to +1 in every column
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(2..))]
    pub batch: u32,

    /// Learning rate at the start, for features divided by the root mean square of their norms
    #[arg(long, default_value_t = 0.1, value_parser = positive)]
    pub lr: f32,

    /// Pull of U towards B (gamma) in the Bi-half layer
    #[arg(long, default_value_t = 6.0, value_parser = not_negative)]
    pub gamma: f64,

    /// Pull of U towards B (gamma) in the sign layer
    #[arg(long, default_value_t = 0.2, value_parser = not_negative)]
    pub sign_gamma: f64,

    /// Weight decay, added to the gradient
    #[arg(long, default_value_t = 5e-4, value_parser = not_negative)]
    pub weight_decay: f64,

    /// Seed of the first weights and of the order of the rows
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// Folder for the trained layers and the packed codes of the database
    #[arg(long, value_name = "FOLDER", default_value = "out/hash_features")]
    pub out: PathBuf,
}

/// Which layers to train.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Methods {
    /// Bi-half and sign, the one after the other
    Both,
    /// the Bi-half layer alone
    Bihalf,
    /// the sign layer alone
    Sign,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(x) if x > 0.0 && x < 1.0 => Ok(x),
        _ => Err("give a number between 0 and 1, such as 0.1".into()),
    }
}

fn positive(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(x) if x > 0.0 && x.is_finite() => Ok(x),
        _ => Err("give a number above 0, such as 0.1".into()),
    }
}

fn not_negative(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(x) if x >= 0.0 && x.is_finite() => Ok(x),
        _ => Err("give 0 or a number above it".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }

    #[test]
    fn numbers_out_of_range_and_lonely_files_are_refused() {
        for wrong in [
            &["--bits", "0"][..],
            &["--batch", "1"],
            &["--lr", "0"],
            &["--lr", "nan"],
            &["--gamma", "-1"],
            &["--query-share", "1"],
            &["--features", "x.npy"],
            &["--query-features", "x.npy", "--query-labels", "y.npy"],
        ] {
            let line = [&["hash_features"], wrong].concat();
            assert!(Args::try_parse_from(&line).is_err(), "{line:?}");
        }
    }
}
