//! Trains the autoencoder of Li and van Gemert (2021, section 4.1) on binarised MNIST with sign,
//! sign with an entropy penalty, and Bi-half; retrieves digits by their codes; compares.
//!
//! ```sh
//! cargo run --release -p bihalf-candle --example mnist_autoencoder
//! cargo run --release -p bihalf-candle --example mnist_autoencoder -- --bits 64 --epochs 40
//! ```
//!
//! Prints a table and writes three pictures. Runs of 5 epochs or more end with a check of what
//! Bi-half promises; if it fails, so does the program.
//!
//! The layers are small: more than one thread hardly helps, and candle's threads wait for one another
//! by spinning. On a machine with other work, `RAYON_NUM_THREADS=1` is faster.

mod adam;
mod bce;
mod data;
mod model;
mod plots;
mod report;
mod train;

use anyhow::{Result, ensure};
use clap::Parser;
use model::Method;
use std::path::PathBuf;
use std::process::ExitCode;
use train::Recipe;

/// Runs shorter than this make no claim.
const CHECKED_EPOCHS: usize = 5;

/// Learns binary codes of MNIST digits with an autoencoder and retrieves digits by them.
#[derive(Parser)]
#[command(name = "mnist_autoencoder")]
struct Options {
    /// Methods to compare, separated by commas [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    method: Vec<Method>,
    /// Length of a code
    #[arg(long, default_value_t = 16, value_parser = count(1, 1024))]
    bits: u64,
    /// Passes over the database
    #[arg(long, default_value_t = 5, value_parser = count(1, 100_000))]
    epochs: u64,
    /// Settles initial weights and batch order
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Pull of the encoder's output towards its code [default: 1 for Bi-half, 0.2 for the others]
    #[arg(long, value_parser = non_negative)]
    gamma: Option<f64>,
    /// Weight of sign-reg's penalty
    #[arg(long, default_value_t = 1.0, value_parser = non_negative)]
    alpha: f64,
    /// Learning rate; falls to a tenth after 60 % and 80 % of runs longer than 5 epochs
    #[arg(long, default_value_t = 1e-3, value_parser = non_negative)]
    lr: f64,
    /// Rows of a batch
    #[arg(long, default_value_t = 128, value_parser = count(1, 1_000_000))]
    batch: u64,
    /// Folder of the digits: the bundled bit files, or MNIST's IDX files (plain or .gz)
    #[arg(long, default_value_os_t = data::bundled_dir(), hide_default_value = true)]
    data: PathBuf,
    /// Folder for the pictures
    #[arg(long, default_value = "out/mnist_autoencoder")]
    out: PathBuf,
}

fn count(least: u64, most: u64) -> clap::builder::RangedU64ValueParser<u64> {
    clap::builder::RangedU64ValueParser::new().range(least..=most)
}

fn non_negative(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(value) if f64::is_finite(value) && value >= 0.0 => Ok(value),
        _ => Err("give a number from 0 up".into()),
    }
}

fn main() -> ExitCode {
    let options = Options::try_parse().unwrap_or_else(|error| {
        if !error.use_stderr() {
            error.exit(); // --help
        }
        // clap's advice, in one line
        let text = error.to_string();
        let lines: Vec<&str> =
            text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        eprintln!("{}", lines.join(" "));
        std::process::exit(2)
    });
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    let data = data::load(&options.data)?;
    let (database, queries) = (data.database.len(), data.queries.len());
    println!("{database} digits to learn from and search, {queries} queries; {}", data.origin);

    let mut evaluations = Vec::new();
    for method in Method::ALL {
        if !options.method.is_empty() && !options.method.contains(&method) {
            continue;
        }
        let trained = train::train(&recipe(options, method), &data.database)?;
        evaluations.push(report::evaluate(method, &trained, &data)?);
    }

    println!("\n{}", report::table(&evaluations));
    let subtitle = format!(
        "MNIST autoencoder, {} bits, {} epochs, seed {}",
        options.bits, options.epochs, options.seed
    );
    for path in plots::draw(&options.out, &subtitle, &evaluations)? {
        println!("wrote {}", path.display());
    }
    check(options, &evaluations)
}

fn recipe(options: &Options, method: Method) -> Recipe {
    Recipe {
        method,
        bits: options.bits as usize,
        epochs: options.epochs as usize,
        batch: options.batch as usize,
        seed: options.seed,
        lr: options.lr,
        gamma: options.gamma.unwrap_or(method.default_gamma()),
        alpha: options.alpha,
    }
}

/// Prints which claims hold; an error where one does not.
fn check(options: &Options, evaluations: &[report::Evaluation]) -> Result<()> {
    if (options.epochs as usize) < CHECKED_EPOCHS {
        println!("no check: it takes {CHECKED_EPOCHS} epochs or more");
        return Ok(());
    }
    let checks = report::checks(evaluations);
    if checks.is_empty() {
        println!("no check: it takes --method bihalf");
    }
    for check in &checks {
        println!("{} {}", if check.holds { "holds:" } else { "FAILS:" }, check.claim);
    }
    let failed = checks.iter().filter(|check| !check.holds).count();
    ensure!(failed == 0, "{failed} of {} checks failed", checks.len());
    Ok(())
}
