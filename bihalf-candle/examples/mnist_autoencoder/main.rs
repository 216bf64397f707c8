//! Trains the autoencoder of Li and van Gemert (2021, section 4.1) on binarised MNIST with sign,
//! sign with an entropy penalty, and Bi-half; retrieves digits by their codes; compares.
//!
//! ```sh
//! cargo run --release -p bihalf-candle --example mnist_autoencoder
//! cargo run --release -p bihalf-candle --example mnist_autoencoder -- --bits 64 --epochs 40
//! ```
//!
//! Prints a table and writes three pictures. Runs of 5 to 40 epochs with the default settings end
//! with a check of what Bi-half promises; if it fails, so does the program.
//!
//! The layers are small: more than one thread hardly helps, and candle's threads wait for one another
//! by spinning. On a machine with other work, `RAYON_NUM_THREADS=1` is faster.

mod adam;
mod bce;
mod data;
mod model;
#[path = "../../../examples/common/output.rs"]
mod output;
mod plots;
mod report;
mod train;

use anyhow::{Result, anyhow, ensure};
use clap::Parser;
use model::Method;
use output::{Unprinted, line, note};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::ExitCode;
use train::Recipe;

/// The settings and the bundled digits for which results were measured and are checked.
const CHECKED_EPOCHS: RangeInclusive<usize> = 5..=40;
const CHECKED_BITS: RangeInclusive<usize> = 16..=64;
const DEFAULT_LR: f64 = 1e-3;
const DEFAULT_BATCH: usize = 128;

/// Learns binary codes of MNIST digits with an autoencoder and retrieves digits by them.
#[derive(Parser)]
#[command(name = "mnist_autoencoder", allow_negative_numbers = true)]
struct Options {
    /// Methods to compare, separated by commas [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    method: Vec<Method>,
    /// Length of a code
    #[arg(long, default_value_t = 16, value_parser = whole(1, 1024))]
    bits: usize,
    /// Passes over the database
    #[arg(long, default_value_t = 5, value_parser = whole(1, 100_000))]
    epochs: usize,
    /// Settles initial weights and batch order
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Pull (gamma) of the encoder's output to its code [default: 1 for Bi-half, 0.2 for others]
    #[arg(long, value_parser = non_negative)]
    gamma: Option<f64>,
    /// Weight of sign-reg's penalty
    #[arg(long, default_value_t = 1.0, value_parser = non_negative)]
    alpha: f64,
    /// Learning rate; falls to a tenth after 60 % and 80 % of runs longer than 5 epochs
    #[arg(long, default_value_t = DEFAULT_LR, value_parser = non_negative)]
    lr: f64,
    /// Rows of a batch, 2 or more: of one row no half becomes +1
    #[arg(long, default_value_t = DEFAULT_BATCH, value_parser = whole(2, 1_000_000))]
    batch: usize,
    /// Folder of the digits: the bundled bit files, or MNIST's IDX files (plain or .gz)
    #[arg(long, default_value_os_t = data::bundled_dir(), hide_default_value = true)]
    data: PathBuf,
    /// Folder for the pictures
    #[arg(long, default_value = "out/mnist_autoencoder")]
    out: PathBuf,
}

fn whole(least: usize, most: usize) -> impl Fn(&str) -> Result<usize, String> + Clone {
    move |text| match text.parse() {
        Ok(value) if (least..=most).contains(&value) => Ok(value),
        _ => Err(format!("give a whole number from {least} to {most}")),
    }
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
        note(lines.join("; "));
        std::process::exit(2)
    });
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.downcast_ref().is_some_and(Unprinted::is_closed) => ExitCode::SUCCESS,
        Err(error) => {
            note(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    let pictures = plots::PICTURES.map(|(name, ..)| name.to_owned());
    output::check_folder(&options.out, &pictures).map_err(|why| anyhow!(why))?;
    start_threads()?;
    let data = data::load(&options.data)?;
    let (database, queries) = (data.database.len(), data.queries.len());
    line(format_args!(
        "{database} digits to learn from and search, {queries} queries; {}",
        data.origin
    ))?;
    if database % options.batch == 1 {
        line("the last digit of each epoch is left out: in a batch of one no half becomes +1")?;
    }

    let mut evaluations = Vec::new();
    for method in Method::ALL {
        if !options.method.is_empty() && !options.method.contains(&method) {
            continue;
        }
        let trained = train::train(&recipe(options, method), &data.database)?;
        evaluations.push(report::evaluate(method, &trained, &data)?);
    }

    line(format_args!("\n{}", report::table(&evaluations)))?;
    let subtitle = format!(
        "MNIST autoencoder, {} bits, {} epochs, seed {}",
        options.bits, options.epochs, options.seed
    );
    for path in plots::draw(&options.out, &subtitle, &evaluations)? {
        line(format_args!("wrote {}", path.display()))?;
    }
    check(options, &evaluations)
}

/// Starts the threads that candle's products run on, which panics where it is left to candle and
/// the system gives none.
fn start_threads() -> Result<()> {
    rayon::ThreadPoolBuilder::new().build_global().map_err(|why| {
        anyhow!("cannot start threads: {why}; set RAYON_NUM_THREADS to a lower number, such as 1")
    })
}

fn recipe(options: &Options, method: Method) -> Recipe {
    Recipe {
        method,
        bits: options.bits,
        epochs: options.epochs,
        batch: options.batch,
        seed: options.seed,
        lr: options.lr,
        gamma: options.gamma.unwrap_or(method.default_gamma()),
        alpha: options.alpha,
    }
}

/// Prints which claims hold; an error where one does not.
fn check(options: &Options, evaluations: &[report::Evaluation]) -> Result<()> {
    let measured = CHECKED_EPOCHS.contains(&options.epochs)
        && CHECKED_BITS.contains(&options.bits)
        && (options.gamma, options.lr, options.batch) == (None, DEFAULT_LR, DEFAULT_BATCH)
        && options.data == data::bundled_dir()
        && evaluations.iter().any(|evaluation| evaluation.method == Method::Bihalf);
    if !measured {
        line(
            "no check: it takes Bi-half on the bundled digits, 16 to 64 bits, 5 to 40 epochs, and \
             the default --gamma, --lr and --batch",
        )?;
        return Ok(());
    }
    let checks = report::checks(evaluations, options.epochs);
    for check in &checks {
        line(format_args!("{} {}", if check.holds { "holds:" } else { "FAILS:" }, check.claim))?;
    }
    let failed = checks.iter().filter(|check| !check.holds).count();
    ensure!(failed == 0, "{failed} of {} checks failed", checks.len());
    Ok(())
}
