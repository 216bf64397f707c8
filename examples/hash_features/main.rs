//! Hash codes for frozen features, by the recipe of section 4.2 of the paper, without a framework.
//!
//! ```text
//! cargo run --release --example hash_features
//! cargo run --release --example hash_features -- --features x.npy --labels y.npy --bits 32
//! ```

mod args;
mod data;
mod layer;
mod npy;
mod report;
mod rng;
mod schedule;
mod train;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;

use crate::args::{Args, Methods};
use crate::data::Dataset;
use crate::layer::Input;
use crate::report::{Check, Scores};
use crate::train::{Method, Recipe, Trainer};

/// Any error, as the line that the user reads.
type Error = Box<dyn std::error::Error>;
type Result<T, E = Error> = std::result::Result<T, E>;

/// Learning rate for features whose mean squared norm is 1. U is linear in the features and so is
/// its gradient for the weights: a step changes U by the learning rate times the squared norm.
const UNIT_NORM_LR: f64 = 0.1;

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("error: a check failed");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Trains and judges each layer; true if every check holds.
fn run(args: &Args) -> Result<bool> {
    let dataset = Dataset::load(args)?;
    let features = &dataset.database.features;
    let input = if args.center { Input::centred(features) } else { Input::raw(features.ncols()) };
    let mean_squared_norm = input.mean_squared_norm(features);
    if mean_squared_norm == 0.0 {
        return Err("every database row is zero, or all are equal; nothing to learn from".into());
    }
    println!(
        "{}: {} database rows, {} queries, {} dims, {}",
        dataset.name,
        features.nrows(),
        dataset.queries.labels.len(),
        features.ncols(),
        if args.center { "centred and scaled" } else { "raw" },
    );

    let methods: &[Method] = match args.method {
        Methods::Both => &[Method::Sign, Method::BiHalf],
        Methods::Bihalf => &[Method::BiHalf],
        Methods::Sign => &[Method::Sign],
    };
    let (mut table, mut checks) = (Vec::new(), Vec::new());
    for &method in methods {
        let recipe = Recipe {
            method,
            bits: args.bits.into(),
            batch: args.batch as usize,
            epochs: args.epochs,
            lr: args.lr.unwrap_or((UNIT_NORM_LR / mean_squared_norm) as f32),
            momentum: 0.9,
            weight_decay: args.weight_decay as f32,
            gamma: if method == Method::BiHalf { args.gamma } else { args.sign_gamma },
            seed: args.seed,
        };
        let (row, of_method) = train_and_judge(&dataset, recipe, input.clone(), &args.out)?;
        table.push(row);
        checks.extend(of_method);
    }

    println!("\n{}", report::header(report::top(&dataset)));
    table.iter().for_each(|row| println!("{row}"));
    println!();
    for Check { holds, what } in &checks {
        println!("{} {what}", if *holds { "ok    " } else { "FAILED" });
    }
    Ok(checks.iter().all(|check| check.holds))
}

/// One layer: trains it, encodes database and queries, saves and verifies both files. Returns its
/// line of the table and its checks.
fn train_and_judge(
    dataset: &Dataset,
    recipe: Recipe,
    input: Input,
    folder: &Path,
) -> Result<(String, Vec<Check>)> {
    let method = recipe.method;
    let start = Instant::now();
    let mut trainer = Trainer::new(recipe.clone(), input);
    let outcome = trainer.fit(&dataset.database.features, |epoch, lr, losses| {
        if epoch == 1 || epoch % 10 == 0 {
            println!(
                "{:<7} epoch {epoch:>3}, lr {lr:.1e}: loss {:.4}, mean (U-B)^2 {:.4}",
                method.name(),
                losses.cosine,
                losses.gap
            );
        }
    })?;
    let seconds = start.elapsed().as_secs_f64();

    let layer = &trainer.layer;
    let database = layer.encode(dataset.database.features.view())?;
    let queries = layer.encode(dataset.queries.features.view())?;
    let scores = Scores::measure(dataset, &database, &queries)?;
    let mut checks = report::save_and_verify(folder, method, layer, &database, dataset)?;
    if method == Method::BiHalf && dataset.bundled {
        checks.extend(report::bihalf_checks(&scores, dataset.chance()));
    }
    Ok((report::row(&recipe, &scores, &outcome, seconds), checks))
}
