//! The hash layer: a linear map whose signs are the code, and its file.

use std::fs;
use std::path::Path;

use bihalf::{Codes, MatMut, MatRef, ops};
use ndarray::linalg::general_mat_mul;
use ndarray::{
    Array1, Array2, ArrayBase, ArrayView1, ArrayView2, ArrayViewMut1, Axis, DataMut, Ix2, Zip,
};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::rng::Rng;
use crate::{Result, output};

/// What happens to features before the linear map: `(x - mean) / scale`.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// `[dims]`
    pub mean: Array1<f32>,
    /// one for all dims, so that their proportions stay
    pub scale: f32,
}

impl Input {
    /// Divides by the root mean square of the rows' norms: afterwards their mean squared norm is 1,
    /// whatever it was, and so learning rate and weight decay mean the same for all features.
    pub fn scaled(features: &Array2<f32>) -> Result<Self> {
        Self::about(Array1::zeros(features.ncols()), features)
    }

    /// Subtracts the mean of the rows first.
    pub fn centred(features: &Array2<f32>) -> Result<Self> {
        let rows = features.nrows() as f64;
        let mut mean = Array1::<f64>::zeros(features.ncols());
        for row in features.rows() {
            mean.zip_mut_with(&row, |m, &x| *m += f64::from(x) / rows);
        }
        Self::about(mean, features)
    }

    fn about(mean: Array1<f64>, features: &Array2<f32>) -> Result<Self> {
        let squared_distance = |(x, m): (&f32, &f64)| (f64::from(*x) - m).powi(2);
        let sum: f64 = features
            .rows()
            .into_iter()
            .flat_map(|row| row.into_iter().zip(&mean).map(squared_distance))
            .sum();
        let norm = (sum / features.nrows() as f64).sqrt();
        let scale = norm as f32;
        if !scale.is_normal() {
            return Err(format!(
                "the database rows have a root mean square norm of {norm:e}, which they cannot be \
                 divided by; give rows that differ from zero (with --center: from each other), of \
                 norms from 1e-30 to 1e30"
            )
            .into());
        }
        Ok(Self { mean: mean.mapv(|m| m as f32), scale })
    }

    /// All rows, transformed.
    fn transformed(&self, features: ArrayView2<f32>) -> Array2<f32> {
        let mut x = Array2::zeros(features.dim());
        for (row, x) in features.rows().into_iter().zip(x.rows_mut()) {
            self.apply(row, x);
        }
        x
    }

    /// Writes one transformed row.
    pub fn apply(&self, features: ArrayView1<f32>, mut x: ArrayViewMut1<f32>) {
        Zip::from(&mut x).and(&features).and(&self.mean).for_each(|x, feature, mean| {
            *x = (feature - mean) / self.scale;
        });
    }
}

/// `code = sign(weight * (x - mean) / scale + bias)`
#[derive(Debug, Clone, PartialEq)]
pub struct HashLayer {
    pub input: Input,
    /// `[bits, dims]`
    pub weight: Array2<f32>,
    /// `[bits]`
    pub bias: Array1<f32>,
}

impl HashLayer {
    /// First weights and biases uniform in +-1/sqrt(dims), as other frameworks start a linear layer.
    pub fn new(bits: usize, input: Input, rng: &mut Rng) -> Self {
        let dims = input.mean.len();
        let bound = 1.0 / (dims as f32).sqrt();
        Self {
            weight: Array2::from_shape_simple_fn((bits, dims), || rng.symmetric(bound)),
            bias: Array1::from_shape_simple_fn(bits, || rng.symmetric(bound)),
            input,
        }
    }

    /// `U = X W' + bias`, for rows that have been through [`Input::apply`].
    pub fn project_into<S>(&self, x: &Array2<f32>, u: &mut ArrayBase<S, Ix2>)
    where
        S: DataMut<Elem = f32>,
    {
        u.assign(&self.bias);
        general_mat_mul(1.0, x, &self.weight.t(), 1.0, u);
    }

    /// Codes of raw features, `[rows, dims]`.
    pub fn encode(&self, features: ArrayView2<f32>) -> Result<Codes> {
        // Rows at a time, so that a large database is never copied as a whole.
        const ROWS: usize = 1024;
        let mut u = Array2::zeros((features.nrows(), self.bias.len()));
        let chunks = features.axis_chunks_iter(Axis(0), ROWS);
        for (features, mut u) in chunks.zip(u.axis_chunks_iter_mut(Axis(0), ROWS)) {
            self.project_into(&self.input.transformed(features), &mut u);
        }
        Ok(ops::sign::forward_packed(view(&u)?, None)?)
    }

    /// Writes `weight`, `bias`, `mean` and `scale`, all f32.
    pub fn save(&self, path: &Path) -> Result<()> {
        let (bits, dims) = self.weight.dim();
        let tensors = [
            ("weight", vec![bits, dims], bytes(&self.weight)),
            ("bias", vec![bits], bytes(&self.bias)),
            ("mean", vec![dims], bytes(&self.input.mean)),
            ("scale", vec![1], self.input.scale.to_le_bytes().to_vec()),
        ];
        let mut views = Vec::new();
        for (name, shape, bytes) in &tensors {
            views.push((*name, TensorView::new(Dtype::F32, shape.clone(), bytes)?));
        }
        let file = safetensors::serialize(views, None)?;
        Ok(output::write(path, &file)?)
    }

    /// Reads what [`HashLayer::save`] wrote.
    pub fn load(path: &Path) -> Result<Self> {
        let name = path.display();
        let file = fs::read(path).map_err(|e| format!("{name}: {e}; give a trained layer"))?;
        let damaged = |e| format!("{name}: {e}; restore the file, or train the layer anew");
        let tensors = SafeTensors::deserialize(&file).map_err(damaged)?;
        let tensor = |what: &str| -> Result<(Vec<usize>, Vec<f32>)> {
            let tensor = tensors.tensor(what).map_err(damaged)?;
            if tensor.dtype() != Dtype::F32 {
                return Err(format!("{name}: {what} is {:?}; expected F32", tensor.dtype()).into());
            }
            let values = tensor.data().chunks_exact(4);
            let values = values.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            Ok((tensor.shape().to_vec(), values.collect()))
        };
        let (weight, bias, mean, scale) =
            (tensor("weight")?, tensor("bias")?, tensor("mean")?, tensor("scale")?);
        match (&weight.0[..], &bias.0[..], &mean.0[..], &scale.1[..]) {
            (&[bits, dims], &[b], &[d], &[scale]) if (bits, dims) == (b, d) => Ok(Self {
                input: Input { mean: Array1::from_vec(mean.1), scale },
                weight: Array2::from_shape_vec((bits, dims), weight.1)?,
                bias: Array1::from_vec(bias.1),
            }),
            _ => Err(format!(
                "{name}: weight {:?}, bias {:?}, mean {:?}, scale {:?}; \
                 expected [bits, dims], [bits], [dims], [1]",
                weight.0, bias.0, mean.0, scale.0
            )
            .into()),
        }
    }
}

/// The kernels' view of a matrix.
pub fn view(matrix: &Array2<f32>) -> Result<MatRef<'_, f32>> {
    let (rows, cols) = matrix.dim();
    let values = matrix.as_slice().ok_or("a matrix that is not in row-major order")?;
    Ok(MatRef::new(values, rows, cols)?)
}

/// The kernels' view of a matrix to write to.
pub fn view_mut(matrix: &mut Array2<f32>) -> Result<MatMut<'_, f32>> {
    let (rows, cols) = matrix.dim();
    let values = matrix.as_slice_mut().ok_or("a matrix that is not in row-major order")?;
    Ok(MatMut::new(values, rows, cols)?)
}

fn bytes<'a>(values: impl IntoIterator<Item = &'a f32>) -> Vec<u8> {
    values.into_iter().flat_map(|x| x.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn rows_have_a_mean_squared_norm_of_one_and_centred_ones_a_mean_of_zero() {
        let features = array![[1.0, 5.0], [3.0, 5.0], [2.0, 8.0]];
        let input = Input::centred(&features).unwrap();
        assert_eq!(input.mean, array![2.0, 6.0]);
        // Squared distances from (2, 6): 1 + 1, 1 + 1, 0 + 4.
        assert!((input.scale - (8.0_f32 / 3.0).sqrt()).abs() < 1e-6);
        for input in [input, Input::scaled(&features).unwrap()] {
            let x = input.transformed(features.view());
            assert!((x.mapv(|x| x * x).sum() / 3.0 - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn rows_without_a_norm_are_an_error_that_names_it() {
        for (features, norm) in [(array![[0.0, 0.0]], "0e0"), (array![[3e38, 3e38]], "4.2")] {
            let message = Input::scaled(&features).unwrap_err().to_string();
            assert!(message.contains(norm) && message.contains("1e30"), "{message}");
        }
        let message = Input::centred(&array![[1.0], [1.0]]).unwrap_err().to_string();
        assert!(message.contains("from each other"), "{message}");
    }

    #[test]
    fn encode_applies_the_input_then_the_linear_map() {
        let layer = HashLayer {
            input: Input { mean: array![1.0, 1.0], scale: 2.0 },
            weight: array![[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]],
            bias: array![0.0, -1.0, 0.5],
        };
        // (x - 1) / 2 = (1, 1.5) and (-1, 0); U = (1, 0.5, 3) and (-1, -1, -0.5).
        let codes = layer.encode(array![[3.0, 4.0], [-1.0, 1.0]].view()).unwrap();
        assert_eq!(codes.to_bytes().unwrap(), [0b111, 0b000]);
    }

    #[test]
    fn a_saved_layer_loads_as_it_was() {
        let folder = std::env::temp_dir().join(format!("bihalf-layer-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("layer.safetensors");
        let input = Input { mean: array![0.5, -0.25, 3.0], scale: 0.7 };
        let layer = HashLayer::new(5, input, &mut Rng::new(1));
        layer.save(&path).unwrap();
        assert_eq!(HashLayer::load(&path).unwrap(), layer);

        let file = fs::read(&path).unwrap();
        fs::write(&path, &file[..file.len() - 1]).unwrap();
        assert!(HashLayer::load(&path).is_err(), "a truncated file");
        fs::remove_dir_all(&folder).unwrap();
    }
}
