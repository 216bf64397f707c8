//! Adam with the weight decay in the gradient, as `torch.optim.Adam(weight_decay=..)` has it.

use candle_core::{Result, Tensor, Var, backprop::GradStore};

const BETA1: f32 = 0.9;
const BETA2: f32 = 0.999;
const EPSILON: f32 = 1e-8;

/// Adam (Kingma and Ba, 2015) over a fixed list of f32 variables.
///
/// ```text
/// g  = grad + decay * w             L2 penalty in the gradient, not decoupled as in AdamW
/// m  = b1 * m + (1 - b1) * g
/// v  = b2 * v + (1 - b2) * g^2
/// w -= lr * (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)
/// ```
///
/// On plain slices, one pass a variable: with tensor ops every line would be several.
pub struct Adam {
    params: Vec<Param>,
    decay: f32,
    steps: i32,
}

struct Param {
    var: Var,
    mean: Vec<f32>,
    square: Vec<f32>,
}

impl Adam {
    pub fn new(vars: Vec<Var>, decay: f64) -> Self {
        let zeros = |var: &Var| vec![0.0; var.elem_count()];
        let param = |var| Param { mean: zeros(&var), square: zeros(&var), var };
        Self { params: vars.into_iter().map(param).collect(), decay: decay as f32, steps: 0 }
    }

    /// One step down the gradients; a variable without a gradient stays as it is.
    pub fn step(&mut self, grads: &GradStore, lr: f64) -> Result<()> {
        self.steps += 1;
        let step_size = (lr / (1.0 - f64::from(BETA1).powi(self.steps))) as f32;
        let square_scale = (1.0 - f64::from(BETA2).powi(self.steps)).sqrt().recip() as f32;
        for Param { var, mean, square } in &mut self.params {
            let Some(grad) = grads.get(var) else { continue };
            let grad = grad.flatten_all()?.to_vec1::<f32>()?;
            let mut weight = var.flatten_all()?.to_vec1::<f32>()?;
            for (((w, g), m), v) in weight.iter_mut().zip(grad).zip(mean).zip(square) {
                let g = g + self.decay * *w;
                *m = BETA1 * *m + (1.0 - BETA1) * g;
                *v = BETA2 * *v + (1.0 - BETA2) * g * g;
                *w -= step_size * *m / (v.sqrt() * square_scale + EPSILON);
            }
            var.set(&Tensor::from_vec(weight, var.shape(), var.device())?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    /// Two steps by hand for w = 2, loss = 3 w, decay = 0.5, lr = 0.1.
    ///
    /// Step 1: g = 3 + 1 = 4; m = 0.4, v = 0.016; corrected 4 and 16; w = 2 - 0.1 * 4/4 = 1.9.
    /// Step 2: g = 3.95; m = 0.755, v = 0.0315865; corrected m / 0.19 = 3.973684,
    /// v / 0.001999 = 15.801151 = 3.975066^2; w = 1.9 - 0.1 * 3.973684 / 3.975066 = 1.800035.
    #[test]
    fn two_steps_as_computed_by_hand() {
        let w = Var::new(&[2f32], &Device::Cpu).unwrap();
        let mut adam = Adam::new(vec![w.clone()], 0.5);
        for expected in [1.9, 1.800035] {
            let grads = (w.as_tensor() * 3.0).unwrap().sum_all().unwrap().backward().unwrap();
            adam.step(&grads, 0.1).unwrap();
            let got = w.to_vec1::<f32>().unwrap()[0];
            assert!((got - expected).abs() < 1e-6, "{got} {expected}");
        }
    }

    #[test]
    fn variable_without_gradient_stays() {
        let [used, unused] = [1f32, 5.0].map(|value| Var::new(value, &Device::Cpu).unwrap());
        let mut adam = Adam::new(vec![used.clone(), unused.clone()], 0.1);
        adam.step(&used.sqr().unwrap().backward().unwrap(), 0.1).unwrap();
        assert!(used.to_scalar::<f32>().unwrap() < 1.0);
        assert_eq!(unused.to_scalar::<f32>().unwrap(), 5.0);
    }
}
