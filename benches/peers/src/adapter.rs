//! bihalf-candle beside the same in candle's own ops, as a user of candle would write it.

use crate::clock::seconds;
use crate::pool::within;
use crate::{Call, report};
use bihalf_candle::{BihalfExt, cosine_loss};
use candle_core::{Device, Result, Tensor, Var};

/// A tensor op by its number, with its gradient where that is learnt with, ours or candle's:
/// 0 the cosine-preserving loss of `features` features, forward and backward, 1 the sign,
/// 2 `tanh(2 u)`, 3 Bi-half, by candle as the definition suggests.
#[unsafe(no_mangle)]
pub extern "C" fn peers_adapter(operation: u32, own: bool, features: usize, call: Call) -> f64 {
    report(within(call.threads, || run(operation, own, features, call)))
}

fn run(operation: u32, own: bool, features: usize, call: Call) -> Result<f64> {
    let (rows, cols) = (call.rows, call.cols);
    let u = Tensor::randn(0f32, 1.0, (rows, cols), &Device::Cpu)?;
    match (operation, own) {
        (0, _) => {
            let x = Tensor::randn(0f32, 1.0, (rows, features), &Device::Cpu)?;
            let b = Var::from_tensor(&u)?;
            let loss = if own { cosine_loss } else { by_candle };
            seconds(call, || loss(&x, b.as_tensor())?.backward().map(drop))
        }
        (1, true) => seconds(call, || u.sign_ste(0.0).map(drop)),
        (1, false) => seconds(call, || u.sign().map(drop)),
        (2, true) => seconds(call, || u.tanh_relax(2.0).map(drop)),
        (2, false) => seconds(call, || (&u * 2.0)?.tanh().map(drop)),
        (3, true) => seconds(call, || u.bihalf(1.0).map(drop)),
        _ => candle_core::bail!("no tensor op has number {operation}"),
    }
}

fn by_candle(x: &Tensor, b: &Tensor) -> Result<Tensor> {
    let half = x.dim(0)? / 2;
    let cosines = |t: &Tensor| {
        let (upper, lower) = (t.narrow(0, 0, half)?, t.narrow(0, half, half)?);
        let norm = |t: &Tensor| t.sqr()?.sum(1)?.sqrt();
        (&upper * &lower)?.sum(1)? / (norm(&upper)? * norm(&lower)?)?
    };
    (cosines(x)? - cosines(b)?)?.sqr()?.mean_all()
}
