//! Hash codes for frozen features by the recipe of section 4.2 of the paper, without a framework.
//!
//! ```text
//! cargo run --release --example hash_features
//! cargo run --release --example hash_features -- --features x.npy --labels y.npy --bits 32
//! ```
//!
//! A linear layer maps features to `bits` numbers; their signs are the code. It is trained without
//! labels, once with Bi-half codes and once with sign codes; labels serve to judge retrieval alone:
//!
//! 1. `data` loads features and labels, or the 2,220 text embeddings in `data/wordnet12`;
//! 2. `train` teaches the layer (`Trainer::step` is the loop to copy);
//! 3. `report` measures retrieval, saves the layer (`<method>.safetensors`: `weight [bits, dims]`,
//!    `bias`, `mean`, `scale`) and the packed database codes (`<method>_database_codes.npy`: u8,
//!    `[rows, ceil(bits / 8)]`, bit j of a row is bit j % 8 of byte j / 8), and reads both back.
//!
//! The exit code is 0 only if every check at the end holds.
//!
//! # The recipe
//! Batches of 32; loss = mean of (cos(x1, x2) - cos(b1, b2))^2 over the pairs that the two halves of
//! a batch form; SGD with momentum 0.9 and weight decay 5e-4; gamma 6 for Bi-half, 0.2 for sign. The
//! learning rate is 0.1 and divided by 10 on a plateau, see `schedule`. Features are divided by the
//! root mean square of their norms first, so that rate and decay mean the same for features of any
//! norm.
//!
//! # What to expect
//! Means over seeds 1-3 on 10,800 + 1,200 embeddings (the set that `data/wordnet12` is a part of),
//! whose norm is 1; centring (`--center`) moves no figure by more than 0.01. Chance is 0.083;
//! ranking by the cosine of the features themselves gives mAP@1000 0.450.
//!
//! | options | bits | mAP@1000: Bi-half | sign | expected mAP: Bi-half | sign |
//! |---|---|---|---|---|---|
//! | none (the paper's recipe) | 16 | 0.447 | 0.457 | 0.383 | 0.377 |
//! | | 32 | 0.484 | 0.497 | 0.409 | 0.416 |
//! | | 64 | 0.473 | 0.500 | 0.399 | 0.418 |
//! | `--lr 1 --weight-decay 5e-5` | 16 | 0.510 | 0.434 | 0.439 | 0.334 |
//! | | 32 | 0.528 | 0.486 | 0.448 | 0.383 |
//! | | 64 | 0.539 | 0.521 | 0.454 | 0.429 |
//! | the same and `--sign-gamma 0.6` | 16 | | 0.491 | | 0.404 |
//! | | 32 | | 0.527 | | 0.445 |
//! | | 64 | | 0.546 | | 0.470 |
//!
//! So on these embeddings neither method wins by itself: sign is ahead from 32 bits on under the
//! paper's recipe, Bi-half is ahead with less decay, and sign draws level, or leads at 64 bits, once
//! its gamma is tuned as well (the options were chosen by a look at these same queries). What sets
//! them apart is how much tuning they need. With less decay and 32 bits, a gamma of 2 or more ends
//! the sign layer in one single code (mAP at chance), while Bi-half keeps every bit balanced
//! (entropy above 0.999) and a mAP@1000 of 0.46 to 0.55 for any gamma from 0.6 to 60. With gamma 0
//! it fails: signs at retrieval no longer match the codes of training (entropy 0.03).

mod args;
mod data;
mod layer;
mod npy;
#[path = "../common/output.rs"]
mod output;
mod recipe;
mod report;
mod rng;
mod schedule;
mod sgd;
mod train;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;

use crate::args::{Args, Methods};
use crate::data::Dataset;
use crate::layer::Input;
use crate::output::{Unprinted, line};
use crate::recipe::{Method, Recipe};
use crate::report::{Check, Scores};
use crate::train::Trainer;

/// Any error, as the line that the user reads.
type Error = Box<dyn std::error::Error>;
type Result<T, E = Error> = std::result::Result<T, E>;

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            output::note("error: a check failed");
            ExitCode::FAILURE
        }
        Err(error) if error.downcast_ref().is_some_and(Unprinted::is_closed) => ExitCode::SUCCESS,
        Err(error) => {
            output::note(format_args!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Trains and judges each layer; true if every check holds.
fn run(args: &Args) -> Result<bool> {
    let methods: &[Method] = match args.method {
        Methods::Both => &[Method::Sign, Method::BiHalf],
        Methods::Bihalf => &[Method::BiHalf],
        Methods::Sign => &[Method::Sign],
    };
    let files: Vec<String> = methods.iter().flat_map(|method| method.files()).collect();
    output::check_folder(&args.out, &files)?;

    let dataset = Dataset::load(args)?;
    let features = &dataset.database.features;
    let input = if args.center { Input::centred(features) } else { Input::scaled(features) }?;
    line(format_args!(
        "{}: {} database rows, {} queries, {} dims, {} and divided by {:.4}",
        dataset.name,
        features.nrows(),
        dataset.queries.labels.len(),
        features.ncols(),
        if args.center { "centred" } else { "not centred" },
        input.scale,
    ))?;
    let left_out = dataset.queries_of_other_classes();
    if left_out > 0 {
        line(format_args!("{left_out} queries are left out: no database row has their class"))?;
    }

    let (mut table, mut checks) = (Vec::new(), Vec::new());
    for &method in methods {
        let recipe = Recipe {
            method,
            bits: args.bits.into(),
            batch: args.batch as usize,
            epochs: args.epochs,
            lr: args.lr,
            momentum: 0.9,
            weight_decay: args.weight_decay as f32,
            gamma: if method == Method::BiHalf { args.gamma } else { args.sign_gamma },
            seed: args.seed,
        };
        let (row, of_method) = train_and_judge(&dataset, recipe, input.clone(), &args.out)?;
        table.push(row);
        checks.extend(of_method);
    }

    line(format_args!("\n{}\n{}\n", report::header(report::top(&dataset)), table.join("\n")))?;
    for Check { holds, what } in &checks {
        line(format_args!("{} {what}", if *holds { "ok    " } else { "FAILED" }))?;
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
            line(format_args!(
                "{:<7} epoch {epoch:>3}, lr {lr:.1e}: loss {:.4}, mean (U-B)^2 {:.4}",
                method.name(),
                losses.cosine,
                losses.gap
            ))?;
        }
        Ok(())
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
