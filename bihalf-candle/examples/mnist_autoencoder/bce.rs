//! Binary cross-entropy of logits as one candle op.
//!
//! candle's own ops would take about thirty passes over the logits, forward and backward, each
//! large enough to be shared among candle's threads. These wait for one another by spinning, so on
//! a machine with other work an epoch took 9 s instead of 1.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};

/// Mean binary cross-entropy between `sigmoid(logits)` and `target`, both f32 and of one shape.
pub fn bce_with_logits(logits: &Tensor, target: &Tensor) -> Result<Tensor> {
    logits.contiguous()?.apply_op2(&target.contiguous()?.detach(), Bce)
}

struct Bce;

impl CustomOp2 for Bce {
    fn name(&self) -> &'static str {
        "bce_with_logits"
    }

    fn cpu_fwd(
        &self,
        z: &CpuStorage,
        z_layout: &Layout,
        x: &CpuStorage,
        x_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (z, x) = (values(z, z_layout)?, values(x, x_layout)?);
        // -x ln(p) - (1 - x) ln(1 - p) for p = sigmoid(z), in a form that overflows for no z
        let loss = |(&z, &x): (&f32, &f32)| z.max(0.0) - z * x + (-z.abs()).exp().ln_1p();
        let sum: f64 = z.iter().zip(x).map(|pair| f64::from(loss(pair))).sum();
        Ok((CpuStorage::F32(vec![(sum / z.len() as f64) as f32]), Shape::from(())))
    }

    fn bwd(
        &self,
        z: &Tensor,
        x: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let scale = grad.to_scalar::<f32>()? / z.elem_count() as f32;
        Ok((Some(z.apply_op2_no_bwd(x, &Slope { scale })?), None))
    }
}

/// `scale * (sigmoid(z) - x)` of `(z, x)`.
struct Slope {
    scale: f32,
}

impl CustomOp2 for Slope {
    fn name(&self) -> &'static str {
        "bce_with_logits-backward"
    }

    fn cpu_fwd(
        &self,
        z: &CpuStorage,
        z_layout: &Layout,
        x: &CpuStorage,
        x_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let pairs = values(z, z_layout)?.iter().zip(values(x, x_layout)?);
        let slope = pairs.map(|(&z, &x)| self.scale * ((1.0 + (-z).exp()).recip() - x)).collect();
        Ok((CpuStorage::F32(slope), z_layout.shape().clone()))
    }
}

fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("bce_with_logits takes contiguous tensors"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn bce_is_the_plain_formula_and_its_gradient_sigmoid_minus_target() {
        let (z, x) = ([-3.0, -0.5, 0.25, 2.0, 60.0, -300.0], [0.0, 1.0, 0.0, 1.0, 1.0, 0.0]);
        let logits = Var::new(&z.map(|z| z as f32), &Device::Cpu).unwrap();
        let target = Tensor::new(&x.map(|x| x as f32), &Device::Cpu).unwrap();
        let loss = bce_with_logits(&logits, &target).unwrap();
        let p = |z: f64| 1.0 / (1.0 + (-z).exp());
        let plain = |z: f64, x: f64| if x == 1.0 { -p(z).ln() } else { -(1.0 - p(z)).ln() };
        let expected = z.iter().zip(x).map(|(&z, x)| plain(z, x)).sum::<f64>() / 6.0;
        assert!((f64::from(loss.to_scalar::<f32>().unwrap()) - expected).abs() < 1e-7);

        let grads = (loss * 3.0).unwrap().backward().unwrap();
        let grad = grads.get(&logits).unwrap().to_vec1::<f32>().unwrap();
        for i in 0..6 {
            let expected = 3.0 * (p(z[i]) - x[i]) / 6.0;
            assert!((f64::from(grad[i]) - expected).abs() < 1e-7, "{i}: {} {expected}", grad[i]);
        }
    }
}
