//! The cosine-preserving loss as a candle op with a gradient for the codes.

#[cfg(feature = "cuda")]
use crate::storage::Float;
use crate::storage::{TensorStorage, matrix, with_float};
#[cfg(feature = "cuda")]
use bihalf::{Backend, Matrix, Operation};
use candle_core::op::BackpropOp;
use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Storage, Tensor, bail};
#[cfg(feature = "cuda")]
use candle_core::{
    CudaStorage,
    backend::{BackendDevice, BackendStorage},
};

/// Mean over the pairs of rows `(i, i + floor(rows / 2))` of `(cos(x1, x2) - cos(b1, b2))^2`, a
/// scalar of the dtype of `b`: how well the codes `b` `[rows, bits]` keep the angles between the
/// features `x` `[rows, dims]`.
///
/// The gradient is for `b` alone; `x` counts as constant. A row of zeros has the cosine 0 with any
/// other, and the gradient 0, where candle's own ops would divide by its norm; the last of an odd
/// number of rows is in no pair and has the gradient 0. The two may differ in dtype. For f16 and
/// bf16 the gradient is computed in f32 and rounded once, after the scale of the loss is applied.
///
/// ```
/// use bihalf_candle::{BihalfExt, cosine_loss};
/// use candle_core::{Device, Tensor, Var};
///
/// # fn main() -> candle_core::Result<()> {
/// let x = Tensor::new(&[[1f32, 0.0], [2.0, 1.0], [1.0, 0.1], [-1.0, 2.0]], &Device::Cpu)?;
/// let u = Var::new(&[[0.3f32, 0.1, -0.2], [0.2, 0.5, 0.1], [0.1, 0.2, 0.4], [-1.0, 0.6, 0.2]], &Device::Cpu)?;
/// let loss = cosine_loss(&x, &u.bihalf(6.0)?)?;
/// assert!(loss.to_scalar::<f32>()? >= 0.0);
/// let grads = loss.backward()?;
/// assert_eq!(grads.get(&u).unwrap().dims(), [4, 3]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Where `x` and `b` differ in their number of rows or in their device, are no matrices of floats,
/// or are on a device that this build has no kernels for.
pub fn cosine_loss(x: &Tensor, b: &Tensor) -> Result<Tensor> {
    if !b.track_op() {
        return Ok(loss_and_slope(x, b, false)?.0);
    }
    // In half precision the slope may vanish before the scale of the loss is applied.
    let dtype = if b.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
    let (loss, slope) = loss_and_slope(x, &b.detach().to_dtype(dtype)?, true)?;
    let slope = slope.expect("it was wanted");
    b.apply_op1(CosineLoss { loss: loss.to_dtype(b.dtype())?, slope })
}

const NAME: &str = "cosine_loss";

/// The loss in the dtype of `b`, and its derivative for `b` if that is wanted, neither of them
/// tracked.
fn loss_and_slope(x: &Tensor, b: &Tensor, wants_slope: bool) -> Result<(Tensor, Option<Tensor>)> {
    let (x_storage, x_layout) = x.storage_and_layout();
    let (b_storage, b_layout) = b.storage_and_layout();
    let (loss, slope) = match (&*x_storage, &*b_storage) {
        (Storage::Cpu(x), Storage::Cpu(b)) => {
            let (loss, slope) = of_storages([(x, x_layout), (b, b_layout)], wants_slope)?;
            (Storage::Cpu(loss), slope.map(Storage::Cpu))
        }
        #[cfg(feature = "cuda")]
        (Storage::Cuda(x), Storage::Cuda(b)) if x.device().same_device(b.device()) => {
            let (loss, slope) = of_storages([(x, x_layout), (b, b_layout)], wants_slope)?;
            (Storage::Cuda(loss), slope.map(Storage::Cuda))
        }
        _ => bail!(
            "{NAME}: the features are on {:?} and the codes on {:?}; both must be on one device, \
             the CPU or one that this build has kernels for",
            x.device(),
            b.device()
        ),
    };
    let tensor =
        |storage, shape: Shape| Tensor::from_storage(storage, shape, BackpropOp::none(), false);
    let slope = slope.map(|slope| tensor(slope, b_layout.shape().clone()));
    Ok((tensor(loss, Shape::from(())), slope))
}

fn of_storages<S: TensorStorage>(
    [x, b]: [(&S, &Layout); 2],
    wants_slope: bool,
) -> Result<(S, Option<S>)> {
    with_float!(x.0.dtype(), NAME, X => {
        with_float!(b.0.dtype(), NAME, T => {
            b.0.cosine_loss::<X, T>(matrix(NAME, x)?, matrix(NAME, b)?, wants_slope)
        })
    })
}

/// The loss as an op of `b`: it has been computed before, with its derivative for `b`.
struct CosineLoss {
    loss: Tensor,
    slope: Tensor,
}

impl CustomOp1 for CosineLoss {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        match &*self.loss.storage_and_layout().0 {
            Storage::Cpu(loss) => Ok((loss.clone(), Shape::from(()))),
            _ => bail!("{NAME}: the loss is not where the codes are"),
        }
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        let (loss, layout) = self.loss.storage_and_layout();
        match &*loss {
            Storage::Cuda(loss) => Ok((loss.try_clone(layout)?, Shape::from(()))),
            _ => bail!("{NAME}: the loss is not where the codes are"),
        }
    }

    fn bwd(&self, b: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.to_dtype(self.slope.dtype())?;
        Ok(Some(self.slope.broadcast_mul(&grad)?.to_dtype(b.dtype())?))
    }
}

/// The loss, one element, and its gradient for `b`.
#[cfg(feature = "cuda")]
pub(crate) fn cosine_with_grad<B: Backend, X: Float, T: Float>(
    backend: &B,
    x: Matrix<B::Slice<'_, X>>,
    b: Matrix<B::Slice<'_, T>>,
) -> bihalf::Result<(B::Buffer<f64>, B::Buffer<T>)> {
    let (rows, cols) = b.shape();
    let mut loss = backend.unset(1)?;
    let mut ws = backend.workspace_for::<T>(Operation::Cosine, rows, cols)?;
    let grad = backend.new_matrix((rows, cols), |grad| {
        backend.cosine_with_grad_into(x, b, B::slice_mut(&mut loss), grad, &mut ws)
    })?;
    Ok((loss, grad))
}
