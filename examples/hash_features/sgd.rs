//! Stochastic gradient descent with momentum, for the hash layer.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array1, Array2};

use crate::layer::HashLayer;

/// `V = momentum V + (dW + decay W)`, `W -= lr V`: decay enters the gradient, as in the paper's code.
pub struct Sgd {
    momentum: f32,
    decay: f32,
    /// V of the weight, `[bits, dims]`
    weight: Array2<f32>,
    /// V of the bias, `[bits]`
    bias: Array1<f32>,
}

impl Sgd {
    pub fn new(momentum: f32, decay: f32, bits: usize, dims: usize) -> Self {
        Self { momentum, decay, weight: Array2::zeros((bits, dims)), bias: Array1::zeros(bits) }
    }

    /// One step, from the inputs `x`, `[batch, dims]`, and the gradient `du`, `[batch, bits]`, of
    /// the layer's outputs.
    pub fn step(&mut self, layer: &mut HashLayer, x: &Array2<f32>, du: &Array2<f32>, lr: f32) {
        let Self { momentum, decay, weight: v, bias: v_bias } = self;
        v.zip_mut_with(&layer.weight, |v, w| *v = *momentum * *v + *decay * w);
        general_mat_mul(1.0, &du.t(), x, 1.0, v); // adds dW = dU' X
        layer.weight.scaled_add(-lr, v);

        v_bias.zip_mut_with(&layer.bias, |v, bias| *v = *momentum * *v + *decay * bias);
        du.rows().into_iter().for_each(|row| *v_bias += &row);
        layer.bias.scaled_add(-lr, v_bias);
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::layer::Input;

    #[test]
    fn two_steps_follow_the_formula() {
        let mut layer = HashLayer {
            input: Input { mean: array![0.0], scale: 1.0 },
            weight: array![[2.0]],
            bias: array![-1.0],
        };
        let mut sgd = Sgd::new(0.5, 0.25, 1, 1);
        // Two rows: dW = 1 * 3 + 2 * -1 = 1, dbias = 1 + 2 = 3.
        let (x, du) = (array![[3.0], [-1.0]], array![[1.0], [2.0]]);
        sgd.step(&mut layer, &x, &du, 1.0);
        // V = 1 + 0.25 * 2 = 1.5 and 3 + 0.25 * -1 = 2.75.
        assert_eq!((layer.weight[[0, 0]], layer.bias[0]), (0.5, -3.75));
        sgd.step(&mut layer, &x, &du, 1.0);
        // V = 0.5 * 1.5 + 1 + 0.25 * 0.5 = 1.875 and 0.5 * 2.75 + 3 + 0.25 * -3.75 = 3.4375.
        assert_eq!((layer.weight[[0, 0]], layer.bias[0]), (-1.375, -7.1875));
    }
}
