//! Training, and how to call the kernels in a loop: [`Trainer::step`] is the part to copy.
//!
//! Every buffer is made once, in [`Trainer::new`], and used again by every step. (The matrix
//! products pack their operands into scratch memory of their own.)

use bihalf::{Gamma, Ones, Outputs, Workspace, ops};
use ndarray::Array2;

use crate::Result;
use crate::layer::{HashLayer, Input, view, view_mut};
use crate::recipe::{Method, Recipe};
use crate::rng::Rng;
use crate::schedule::Plateau;
use crate::sgd::Sgd;

/// The two terms of the objective, for a batch or as the mean of an epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Losses {
    /// mean over pairs of (cos(x1, x2) - cos(b1, b2))^2
    pub cosine: f64,
    /// mean of (U - B)^2
    pub gap: f64,
}

/// How a training run ended.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    pub epochs: u32,
    pub losses: Losses,
}

/// A layer in training.
pub struct Trainer {
    pub layer: HashLayer,
    recipe: Recipe,
    sgd: Sgd,
    /// features of the batch, `[batch, dims]`
    x: Array2<f32>,
    /// U, B, and the gradient, first for B, then for U: `[batch, bits]`
    u: Array2<f32>,
    b: Array2<f32>,
    grad: Array2<f32>,
    workspace: Workspace,
    rng: Rng,
}

impl Trainer {
    pub fn new(recipe: Recipe, input: Input) -> Self {
        let mut rng = Rng::new(recipe.seed);
        let (batch, bits, dims) = (recipe.batch, recipe.bits, input.mean.len());
        Self {
            layer: HashLayer::new(bits, input, &mut rng),
            sgd: Sgd::new(recipe.momentum, recipe.weight_decay, bits, dims),
            x: Array2::zeros((batch, dims)),
            u: Array2::zeros((batch, bits)),
            b: Array2::zeros((batch, bits)),
            grad: Array2::zeros((batch, bits)),
            workspace: Workspace::new(),
            rng,
            recipe,
        }
    }

    /// One step on the batch in `self.x`: forward, loss, backward, SGD.
    fn step(&mut self, lr: f32) -> Result<Losses> {
        // U = X W' + bias, then B: half of each column +1 (Bi-half), or the signs.
        self.layer.project_into(&self.x, &mut self.u);
        let (x, u) = (view(&self.x)?, view(&self.u)?);
        let out = Outputs::none().dense(view_mut(&mut self.b)?);
        match self.recipe.method {
            Method::BiHalf => ops::bi_half::forward_into(u, Ones::Half, out, &mut self.workspace)?,
            Method::Sign => ops::sign::forward_into(u, None, out)?,
        }

        // L and dL/dB; then dU = dB + gamma / (M K) (U - B), the same for both methods.
        let b = view(&self.b)?;
        let cosine = ops::loss::cosine_with_grad_into(x, b, view_mut(&mut self.grad)?)?;
        let gap = mean_squared_gap(&self.u, &self.b);
        let pull = Gamma::new(self.recipe.gamma);
        ops::bi_half::backward_in_place(u, b, pull, view_mut(&mut self.grad)?)?;

        self.sgd.step(&mut self.layer, &self.x, &self.grad, lr);
        Ok(Losses { cosine, gap })
    }

    /// Trains on all rows of `features`, in a new order every epoch; rows that fill no batch are
    /// left out of that epoch, so that "half of the batch" is the same number in every step.
    /// `report` is called after every epoch.
    pub fn fit(
        &mut self,
        features: &Array2<f32>,
        mut report: impl FnMut(u32, f32, Losses) -> Result<()>,
    ) -> Result<Outcome> {
        let mut order: Vec<usize> = (0..features.nrows()).collect();
        let mut plateau = Plateau::new(self.recipe.lr);
        let mut lr = self.recipe.lr;
        let mut epoch = 0;
        loop {
            epoch += 1;
            self.rng.shuffle(&mut order);
            let losses = self.epoch(features, &order, lr)?;
            report(epoch, lr, losses)?;

            let objective = losses.cosine + self.recipe.gamma / 2.0 * losses.gap;
            if !objective.is_finite() {
                return Err(format!(
                    "the objective is {objective} after epoch {epoch}: the training diverged at a \
                     learning rate of {:e} and a gamma of {:e}; give a lower --lr, or a lower {}",
                    self.recipe.lr,
                    self.recipe.gamma,
                    self.recipe.method.gamma_option()
                )
                .into());
            }
            match plateau.next_lr(objective) {
                Some(next) if epoch < self.recipe.epochs => lr = next,
                _ => return Ok(Outcome { epochs: epoch, losses }),
            }
        }
    }

    /// Steps over all full batches of `order`; returns their mean losses.
    fn epoch(&mut self, features: &Array2<f32>, order: &[usize], lr: f32) -> Result<Losses> {
        let batches = order.chunks_exact(self.recipe.batch);
        let steps = batches.len() as f64;
        let mut mean = Losses::default();
        for rows in batches {
            self.gather(features, rows);
            let losses = self.step(lr)?;
            mean.cosine += losses.cosine / steps;
            mean.gap += losses.gap / steps;
        }
        Ok(mean)
    }

    /// Copies rows of the features into `self.x`, through the layer's input transform.
    fn gather(&mut self, features: &Array2<f32>, rows: &[usize]) {
        for (mut x, &row) in self.x.rows_mut().into_iter().zip(rows) {
            self.layer.input.apply(features.row(row), x.view_mut());
        }
    }
}

/// Mean of (U - B)^2, the quantity that the pull makes smaller.
fn mean_squared_gap(u: &Array2<f32>, b: &Array2<f32>) -> f64 {
    let sum: f64 = u.iter().zip(b).map(|(u, b)| f64::from(u - b).powi(2)).sum();
    sum / u.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const BATCH: usize = 6;
    const BITS: usize = 3;
    const DIMS: usize = 4;

    fn recipe(method: Method) -> Recipe {
        Recipe {
            method,
            bits: BITS,
            batch: BATCH,
            epochs: 3,
            lr: 1.0,
            momentum: 0.0,
            weight_decay: 0.0,
            gamma: 2.0,
            seed: 1,
        }
    }

    /// Features as they are.
    fn raw() -> Input {
        Input { mean: ndarray::Array1::zeros(DIMS), scale: 1.0 }
    }

    fn features(rows: usize, seed: u64) -> Array2<f32> {
        let mut rng = Rng::new(seed);
        Array2::from_shape_simple_fn((rows, DIMS), || rng.symmetric(1.0))
    }

    /// The loss of section 4.2, for any numbers in `b`.
    fn cosine_loss(x: &Array2<f64>, b: &Array2<f64>) -> f64 {
        let cosine = |m: &Array2<f64>, i: usize, j: usize| {
            let (p, q) = (m.row(i), m.row(j));
            p.dot(&q) / (p.dot(&p) * q.dot(&q)).sqrt()
        };
        let half = x.nrows() / 2;
        let term = |i| (cosine(x, i, i + half) - cosine(b, i, i + half)).powi(2);
        (0..half).map(term).sum::<f64>() / half as f64
    }

    /// Central differences of `f` at `at`, one value after the other.
    fn numeric_gradient(at: &Array2<f64>, f: impl Fn(&Array2<f64>) -> f64) -> Array2<f64> {
        const STEP: f64 = 1e-5;
        let mut point = at.clone();
        Array2::from_shape_fn(at.dim(), |index| {
            let mut at_offset = |offset| {
                point[index] = at[index] + offset;
                let value = f(&point);
                point[index] = at[index];
                value
            };
            (at_offset(STEP) - at_offset(-STEP)) / (2.0 * STEP)
        })
    }

    /// With lr 1, no momentum and no decay a step subtracts the gradient itself. It must be the
    /// numeric gradient of `<dB, U> + gamma / 2 * mean of (U - B)^2` for the weight and the bias,
    /// where `dB` is the numeric gradient of the loss at a dense `B` and both are held fixed.
    #[test]
    fn a_step_subtracts_the_numeric_gradient() {
        for method in [Method::BiHalf, Method::Sign] {
            let mut trainer = Trainer::new(recipe(method), raw());
            trainer.x = features(BATCH, 2);
            let (weight, bias) = (trainer.layer.weight.clone(), trainer.layer.bias.clone());
            let losses = trainer.step(1.0).unwrap();

            let double = |m: &Array2<f32>| m.mapv(f64::from);
            let (x, b) = (double(&trainer.x), double(&trainer.b));
            let bias_row = bias.mapv(f64::from).insert_axis(ndarray::Axis(0));
            let u = |w: &Array2<f64>, bias: &Array2<f64>| x.dot(&w.t()) + bias;
            let grad_b = numeric_gradient(&b, |b| cosine_loss(&x, b));
            let objective = |u: Array2<f64>| {
                let gap = (&u - &b).mapv(|d| d * d).mean().unwrap();
                (&grad_b * &u).sum() + trainer.recipe.gamma / 2.0 * gap
            };
            let of_weight = numeric_gradient(&double(&weight), |w| objective(u(w, &bias_row)));
            let of_bias = numeric_gradient(&bias_row, |bias| objective(u(&double(&weight), bias)));

            let close = |a: f64, b: f64| (a - b).abs() < 1e-5;
            let moved = double(&(&weight - &trainer.layer.weight));
            assert!(moved.iter().zip(&of_weight).all(|(&a, &b)| close(a, b)), "{method:?} weight");
            let moved = &bias - &trainer.layer.bias;
            assert!(
                moved.iter().zip(&of_bias).all(|(&a, &b)| close(a.into(), b)),
                "{method:?} bias"
            );
            assert!(of_weight.iter().any(|g| g.abs() > 1e-2), "a gradient worth checking");
            assert!(close(losses.cosine, cosine_loss(&x, &b)), "{method:?} loss");
        }
    }

    #[test]
    fn bihalf_sets_half_of_each_column() {
        let mut trainer = Trainer::new(recipe(Method::BiHalf), raw());
        trainer.x = features(BATCH, 2);
        trainer.step(0.1).unwrap();
        for column in trainer.b.columns() {
            assert_eq!(column.iter().filter(|&&b| b == 1.0).count(), BATCH / 2);
        }
    }

    #[test]
    fn the_seed_decides_the_layer() {
        let features = features(20, 3);
        let train = |seed| {
            let recipe = Recipe { seed, lr: 0.1, ..recipe(Method::BiHalf) };
            let mut trainer = Trainer::new(recipe, Input::centred(&features).unwrap());
            let outcome = trainer.fit(&features, |_, _, _| Ok(())).unwrap();
            assert_eq!(outcome.epochs, 3);
            trainer.layer
        };
        assert_eq!(train(1), train(1));
        assert_ne!(train(1), train(2));
    }

    #[test]
    fn a_training_that_diverges_is_an_error_that_names_the_learning_rate() {
        let recipe = Recipe { lr: 1e30, epochs: 50, ..recipe(Method::BiHalf) };
        let mut trainer = Trainer::new(recipe, raw());
        let message = trainer.fit(&features(20, 3), |_, _, _| Ok(())).unwrap_err().to_string();
        assert!(message.contains("1e30") && message.contains("lower --lr"), "{message}");
    }

    #[test]
    fn a_gamma_that_f32_cannot_hold_is_an_error_that_names_it() {
        let recipe = Recipe { gamma: 1e300, ..recipe(Method::BiHalf) };
        let mut trainer = Trainer::new(recipe, raw());
        let message = trainer.fit(&features(20, 3), |_, _, _| Ok(())).unwrap_err().to_string();
        assert!(message.contains("gamma"), "{message}");
    }

    /// Powers of two, so that not even a rounding differs.
    #[test]
    fn features_of_any_norm_give_the_same_layer() {
        let train = |scale: f32, centred: bool| {
            let features = features(40, 5).mapv(|x| (x + 0.5) * scale);
            let input = if centred { Input::centred(&features) } else { Input::scaled(&features) };
            let recipe =
                Recipe { lr: 0.1, weight_decay: 5e-4, momentum: 0.9, ..recipe(Method::BiHalf) };
            let mut trainer = Trainer::new(recipe, input.unwrap());
            trainer.fit(&features, |_, _, _| Ok(())).unwrap();
            (trainer.layer.weight, trainer.layer.bias)
        };
        for centred in [false, true] {
            let usual = train(1.0, centred);
            for exponent in [-60, -20, -7, 7, 20, 60] {
                assert!(train(2f32.powi(exponent), centred) == usual, "2^{exponent}");
            }
        }
    }
}
