//! The paper's autoencoder: 784-256-K-256-784, with a hash layer in the middle.

use crate::bce::bce_with_logits;
use crate::data::PIXELS;
use bihalf_candle::BihalfExt;
use candle_core::{Device, Result, Tensor, Var};
use rand::Rng;

const HIDDEN: usize = 256;

/// What turns the encoder's output into a code of +1 and -1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Method {
    /// sign, straight-through gradient
    Sign,
    /// sign, and a penalty on bits that are mostly +1 or mostly -1
    SignReg,
    /// Bi-half: in every batch, each bit is +1 for half of the rows
    Bihalf,
}

impl Method {
    pub const ALL: [Self; 3] = [Self::Sign, Self::SignReg, Self::Bihalf];

    pub fn label(self) -> &'static str {
        match self {
            Self::Sign => "sign",
            Self::SignReg => "sign+reg",
            Self::Bihalf => "Bi-half",
        }
    }

    /// How strongly the backward pass pulls the encoder's output towards its code.
    pub fn default_gamma(self) -> f64 {
        match self {
            Self::Sign | Self::SignReg => 0.2,
            Self::Bihalf => 1.0,
        }
    }

    /// The codes `[rows, bits]` for the encoder's output of the same shape.
    fn hash(self, u: &Tensor, gamma: f64) -> Result<Tensor> {
        match self {
            Self::Sign | Self::SignReg => u.sign_ste(gamma),
            Self::Bihalf => u.bihalf(gamma),
        }
    }

    /// What the method adds to the loss for a batch of codes.
    fn penalty(self, codes: &Tensor, alpha: f64) -> Result<Option<Tensor>> {
        match self {
            Self::Sign | Self::Bihalf => Ok(None),
            Self::SignReg => (codes.mean(0)?.sqr()?.mean_all()? * (alpha / 2.0)).map(Some),
        }
    }
}

struct Linear {
    /// `[inputs, outputs]`, so that its gradient comes out contiguous.
    weight: Var,
    bias: Var,
}

impl Linear {
    /// Weights and biases uniform within `1 / sqrt(inputs)`, as torch's `nn.Linear` starts.
    fn new(inputs: usize, outputs: usize, rng: &mut impl Rng) -> Result<Self> {
        let bound = (inputs as f32).sqrt().recip();
        let mut uniform =
            |len| -> Vec<f32> { (0..len).map(|_| rng.random_range(-bound..bound)).collect() };
        let weight = Tensor::from_vec(uniform(inputs * outputs), (inputs, outputs), &Device::Cpu)?;
        let bias = Tensor::from_vec(uniform(outputs), outputs, &Device::Cpu)?;
        Ok(Self { weight: Var::from_tensor(&weight)?, bias: Var::from_tensor(&bias)? })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.matmul(&self.weight)?.broadcast_add(&self.bias)
    }
}

/// The loss of one batch.
pub struct Loss {
    /// Mean binary cross-entropy per pixel.
    pub bce: Tensor,
    /// What training minimises: `bce` and the method's penalty.
    pub total: Tensor,
}

pub struct Autoencoder {
    encoder: [Linear; 2],
    decoder: [Linear; 2],
}

impl Autoencoder {
    pub fn new(bits: usize, rng: &mut impl Rng) -> Result<Self> {
        Ok(Self {
            encoder: [Linear::new(PIXELS, HIDDEN, rng)?, Linear::new(HIDDEN, bits, rng)?],
            decoder: [Linear::new(bits, HIDDEN, rng)?, Linear::new(HIDDEN, PIXELS, rng)?],
        })
    }

    pub fn vars(&self) -> Vec<Var> {
        let layers = self.encoder.iter().chain(&self.decoder);
        layers.flat_map(|layer| [layer.weight.clone(), layer.bias.clone()]).collect()
    }

    /// The encoder's output `u`, `[rows, bits]`, for pixels `[rows, 784]`; the code is its sign.
    pub fn encode(&self, pixels: &Tensor) -> Result<Tensor> {
        let [first, second] = &self.encoder;
        second.forward(&first.forward(pixels)?.relu()?)
    }

    pub fn loss(&self, pixels: &Tensor, method: Method, gamma: f64, alpha: f64) -> Result<Loss> {
        let codes = method.hash(&self.encode(pixels)?, gamma)?;
        let [first, second] = &self.decoder;
        let logits = second.forward(&first.forward(&codes)?.relu()?)?;
        let bce = bce_with_logits(&logits, pixels)?;
        let total = match method.penalty(&codes, alpha)? {
            Some(penalty) => (&bce + penalty)?,
            None => bce.clone(),
        };
        Ok(Loss { bce, total })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn penalty_is_zero_for_balanced_bits_and_half_alpha_for_constant_ones() {
        let penalty = |codes: [[f64; 2]; 2]| {
            let codes = Tensor::new(&codes, &Device::Cpu).unwrap();
            let penalty = Method::SignReg.penalty(&codes, 3.0).unwrap().unwrap();
            penalty.to_scalar::<f64>().unwrap()
        };
        assert_eq!(penalty([[1.0, -1.0], [-1.0, 1.0]]), 0.0);
        assert_eq!(penalty([[1.0, -1.0], [1.0, -1.0]]), 1.5);
    }
}
