//! One training run: batches, learning rate, progress.

use crate::adam::Adam;
use crate::data::{Digits, PIXELS};
use crate::model::{Autoencoder, Method};
use crate::output;
use anyhow::{Result, ensure};
use candle_core::{Device, Tensor};
use indicatif::{ProgressBar, ProgressStyle};
use rand::seq::SliceRandom;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use std::io::IsTerminal;
use std::time::Instant;

const WEIGHT_DECAY: f64 = 1e-5;
/// Runs of at most this many epochs keep their learning rate.
pub const SHORT_RUN: usize = 5;

/// What a run of one method is made of.
pub struct Recipe {
    pub method: Method,
    pub bits: usize,
    pub epochs: usize,
    pub batch: usize,
    pub seed: u64,
    pub lr: f64,
    pub gamma: f64,
    pub alpha: f64,
}

pub struct Trained {
    pub model: Autoencoder,
    /// Mean binary cross-entropy per pixel over the batches of the last epoch.
    pub bce: f64,
    pub seconds: f64,
}

/// The learning rate of an epoch (from 0): after 60 % and again after 80 % of a longer run it
/// falls to a tenth.
fn learning_rate(lr: f64, epoch: usize, epochs: usize) -> f64 {
    if epochs <= SHORT_RUN {
        return lr;
    }
    let passed = [6, 8].into_iter().filter(|tenths| epoch * 10 >= epochs * tenths).count();
    lr * 0.1f64.powi(passed as i32)
}

/// The batches of an epoch. A last one of a single row is left out: no half of it becomes +1, and
/// Bi-half would teach it that every bit is -1.
fn batches(order: &[u32], batch: usize) -> impl Iterator<Item = &[u32]> {
    order.chunks(batch).filter(|rows| rows.len() > 1)
}

/// The digits as a tensor `[len, 784]`.
pub fn pixels(digits: &Digits) -> candle_core::Result<Tensor> {
    Tensor::from_slice(&digits.pixels, (digits.len(), PIXELS), &Device::Cpu)
}

/// Trains a fresh autoencoder. The seed settles the initial weights, which are the same for every
/// method, and, in a stream of its own, the order of the digits, shuffled anew in each epoch: it is
/// the same for every method and length of code.
pub fn train(recipe: &Recipe, digits: &Digits) -> Result<Trained> {
    ensure!(digits.len() > 1, "{} digit to learn from; give two or more", digits.len());
    let start = Instant::now();
    let model = Autoencoder::new(recipe.bits, &mut ChaCha8Rng::seed_from_u64(recipe.seed))?;
    let mut shuffling = ChaCha8Rng::seed_from_u64(recipe.seed);
    shuffling.set_stream(1);
    let mut adam = Adam::new(model.vars(), WEIGHT_DECAY);
    let pixels = pixels(digits)?;
    let mut order: Vec<u32> = (0..digits.len() as u32).collect();
    let mut bce = f64::NAN;
    for epoch in 0..recipe.epochs {
        order.shuffle(&mut shuffling);
        let lr = learning_rate(recipe.lr, epoch, recipe.epochs);
        let progress = Progress::start(recipe, epoch, order.len());
        let mut bce_sum = 0.0;
        let mut rows_seen = 0;
        for rows in batches(&order, recipe.batch) {
            let batch = pixels.index_select(&Tensor::new(rows, &Device::Cpu)?, 0)?;
            let loss = model.loss(&batch, recipe.method, recipe.gamma, recipe.alpha)?;
            adam.step(&loss.total.backward()?, lr)?;
            bce_sum += f64::from(loss.bce.to_scalar::<f32>()?) * rows.len() as f64;
            rows_seen += rows.len();
            progress.advance(rows.len());
        }
        bce = bce_sum / rows_seen as f64;
        ensure!(
            bce.is_finite(),
            "{}: the loss became {bce} in epoch {} with --lr {:?} and --gamma {:?}; try smaller ones",
            recipe.method.label(),
            epoch + 1,
            recipe.lr,
            recipe.gamma
        );
        progress.finish(bce);
    }
    Ok(Trained { model, bce, seconds: start.elapsed().as_secs_f64() })
}

/// A bar for each epoch on a terminal, a plain line for each epoch elsewhere.
struct Progress {
    bar: Option<ProgressBar>,
    title: String,
    start: Instant,
}

impl Progress {
    fn start(recipe: &Recipe, epoch: usize, rows: usize) -> Self {
        let width = recipe.epochs.to_string().len();
        let title =
            format!("{:<8} epoch {:>width$}/{}", recipe.method.label(), epoch + 1, recipe.epochs);
        let bar = std::io::stderr().is_terminal().then(|| {
            let style =
                ProgressStyle::with_template("{prefix} {bar:30.cyan/dim} {percent:>3} % {msg}")
                    .expect("a constant template")
                    .progress_chars("━╸─");
            ProgressBar::new(rows as u64).with_style(style).with_prefix(title.clone())
        });
        Self { bar, title, start: Instant::now() }
    }

    fn advance(&self, rows: usize) {
        if let Some(bar) = &self.bar {
            bar.inc(rows as u64);
        }
    }

    fn finish(self, bce: f64) {
        let result = format!("BCE {bce:.4}, {:.1} s", self.start.elapsed().as_secs_f64());
        match self.bar {
            Some(bar) => bar.finish_with_message(result),
            None => output::note(format_args!("{}: {result}", self.title)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn few_digits(len: usize) -> Digits {
        let pixels = (0..len * PIXELS).map(|n| f32::from(n % 7 == 0)).collect();
        Digits { pixels, labels: (0..len as u32).map(|n| n % 10).collect() }
    }

    fn recipe(batch: usize) -> Recipe {
        let method = Method::Bihalf;
        let (lr, gamma) = (1e-3, 1.0);
        Recipe { method, bits: 4, epochs: 1, batch, seed: 1, lr, gamma, alpha: 1.0 }
    }

    #[test]
    fn a_last_batch_of_one_digit_is_left_out() {
        let lens = |rows: u32, batch| -> Vec<usize> {
            let order: Vec<u32> = (0..rows).collect();
            batches(&order, batch).map(<[u32]>::len).collect()
        };
        assert_eq!(lens(5, 2), [2, 2]);
        assert_eq!(lens(6, 4), [4, 2]);
        assert_eq!(lens(1, 2), [0; 0]);
        let error = train(&recipe(2), &few_digits(1)).err().unwrap().to_string();
        assert!(error.contains("1 digit"), "{error}");
    }

    #[test]
    fn a_gamma_that_f32_cannot_hold_is_an_error_that_names_it() {
        let recipe = Recipe { gamma: 1e300, ..recipe(4) };
        let error = format!("{:#}", train(&recipe, &few_digits(8)).err().unwrap());
        assert!(error.contains("gamma"), "{error}");
    }

    #[test]
    fn learning_rate_falls_at_60_and_80_percent_of_long_runs_only() {
        let rates = |epochs| -> Vec<f64> {
            (0..epochs).map(|epoch| learning_rate(1.0, epoch, epochs)).collect()
        };
        assert_eq!(rates(5), [1.0; 5]);
        let long = rates(40);
        for (range, expected) in [(0..24, 1.0), (24..32, 0.1), (32..40, 0.01)] {
            assert!(
                long[range.clone()].iter().all(|lr| (lr - expected).abs() < 1e-12),
                "{range:?}"
            );
        }
    }
}
