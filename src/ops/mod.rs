//! The operations: one page each, with its contract; and the arguments that several share.
//!
//! Plain functions allocate their result. Forms that end in `_into` or `_in_place` write to
//! buffers of the caller and allocate nothing (beyond what a [`Workspace`](crate::Workspace)
//! keeps for the next call).
//!
//! Arguments have one order, here, in the methods of [`Backend`] and in the adapters: inputs (`u`;
//! `b` or codes), options (`ones`, `shift`, `beta`, `gamma`), the incoming gradient, outputs, a
//! workspace. A form in place takes the gradient where others take the output. All forms of an
//! operation take the same options. Where a type has one obvious source, a call accepts it: a
//! number for [`Gamma`], a matrix view or codes for [`CodeMatrix`], `&Codes` for
//! [`CodesRef`](crate::CodesRef), a vector, an array or a slice for [`PerColumn`].
//!
//! ```
//! // A training loop that allocates nothing: forward, loss, backward.
//! use bihalf::{Codes, MatMut, MatRef, Ones, Outputs, Workspace, ops::bi_half};
//!
//! let (m, k) = (32, 16);
//! let (mut u, mut grad) = (vec![0.0f32; m * k], vec![0.0f32; m * k]);
//! let mut codes = Codes::zeros(m, k)?;
//! let mut ws = Workspace::for_shape::<f32>(m, k)?;
//! for step in 0..3 {
//!     // What the network gives.
//!     u.iter_mut().enumerate().for_each(|(n, u)| *u = ((n * 37 + step) % 101) as f32 - 50.0);
//!     let u = MatRef::new(&u, m, k)?;
//!     bi_half::forward_into(u, Ones::Half, Outputs::none().codes(&mut codes), &mut ws)?;
//!     grad.fill(0.1); // dB, of a loss on the codes; then dU
//!     bi_half::backward_in_place(u, &codes, 6.0, MatMut::new(&mut grad, m, k)?)?;
//! }
//! # Ok::<(), bihalf::Error>(())
//! ```
//!
//! Common to all pages:
//! - `U` is a batch of M rows (items) and K columns (bits); shapes are `[rows, cols]`.
//! - The order of values is total: -0 equals +0, all NaN are equal and greater than +inf.
//! - Results are bit-identical on every run, for any number of threads. If rayon's pool cannot
//!   start because the system refuses more threads, calls run on the calling thread.
//! - Subnormal numbers keep their values. In a process that flushes them to zero (loading a library
//!   built with `-ffast-math` or `-Ofast` can turn that on), an operation may treat them as 0, and
//!   Bi-half may set a different number of ones in a column whose threshold is subnormal.
//! - Every size is legal: M = 0, K = 0, M = 1. What does not fit in memory is an
//!   [`Error::TooLarge`], returned before anything is written.
//! - Inputs may have any strides, including 0.
//! - On an error nothing has been written.

pub mod bi_half;
pub mod codes;
pub mod loss;
pub mod rank;
pub mod relax;
pub mod retrieval;
pub mod search;
pub mod sign;
pub mod stats;
pub mod threshold;

use crate::element::Real;
use crate::{
    Backend, Codes, Cpu, Element, Error, MatMut, MatRef, Matrix, PackedCodes, Result, Storage,
};

/// Where a +1/-1 matrix is to be written, any subset of four forms; and where thresholds go, which
/// [Bi-half](bi_half) has.
///
/// ```
/// use bihalf::{Codes, MatMut, Outputs};
///
/// let mut dense = vec![0.0f32; 6];
/// let mut codes = Codes::zeros(3, 2)?;
/// let mut counts = vec![0; 2];
/// let dense = MatMut::new(&mut dense, 3, 2)?;
/// let out = Outputs::none().dense(dense).codes(&mut codes).counts(&mut counts);
/// # bihalf::ops::sign::forward_into(bihalf::MatRef::new(&[1.0f32; 6], 3, 2)?, None, out)?;
/// # Ok::<(), bihalf::Error>(())
/// ```
pub struct Outputs<'a, T: Element, B: Backend = Cpu> {
    /// +1 and -1 in the type of the input, `[rows, cols]`.
    pub dense: Option<Matrix<B::SliceMut<'a, T>>>,
    /// +1 and -1 as `i8`, `[rows, cols]`.
    pub dense_i8: Option<Matrix<B::SliceMut<'a, i8>>>,
    /// Bit 1 for +1; `rows` codes of `cols` bits.
    pub codes: Option<PackedCodes<B::SliceMut<'a, u64>>>,
    /// Number of +1 in each column, `[cols]`.
    pub counts: Option<B::SliceMut<'a, u32>>,
    /// The least value of each column that becomes +1, `[cols]`: see [Bi-half](bi_half), the one
    /// operation that writes it.
    pub threshold: Option<B::SliceMut<'a, T>>,
}

impl<'a, T: Element, B: Backend> Outputs<'a, T, B> {
    /// No output yet.
    pub fn none() -> Self {
        Self { dense: None, dense_i8: None, codes: None, counts: None, threshold: None }
    }

    /// Asks for +1 and -1 in the type of the input.
    pub fn dense(self, out: Matrix<B::SliceMut<'a, T>>) -> Self {
        Self { dense: Some(out), ..self }
    }

    /// Asks for +1 and -1 as `i8`.
    pub fn dense_i8(self, out: Matrix<B::SliceMut<'a, i8>>) -> Self {
        Self { dense_i8: Some(out), ..self }
    }

    /// Asks for packed bits: in `&mut codes` of a [`Codes`], or in views.
    pub fn codes(self, out: impl Into<PackedCodes<B::SliceMut<'a, u64>>>) -> Self {
        Self { codes: Some(out.into()), ..self }
    }

    /// Asks for the number of +1 in each column.
    pub fn counts(self, out: impl Into<PerColumn<B::SliceMut<'a, u32>>>) -> Self {
        Self { counts: Some(out.into().0), ..self }
    }

    /// Asks for the threshold of each column, of Bi-half.
    pub fn threshold(self, out: impl Into<PerColumn<B::SliceMut<'a, T>>>) -> Self {
        Self { threshold: Some(out.into().0), ..self }
    }

    #[inline]
    pub(crate) fn check(&self, shape: (usize, usize)) -> Result<()> {
        if let Some(out) = &self.dense {
            check_shape("the dense output", "U", shape, out.shape())?;
        }
        if let Some(out) = &self.dense_i8 {
            check_shape("the i8 output", "U", shape, out.shape())?;
        }
        if let Some(out) = &self.codes {
            check_shape("the packed output", "U", shape, out.shape())?;
        }
        if let Some(out) = &self.counts {
            check_per_column("counts", shape.1, out.len())?;
        }
        if let Some(out) = &self.threshold {
            check_per_column("threshold", shape.1, out.len())?;
        }
        Ok(())
    }
}

/// Where one value for each column goes: `&mut` of a vector, a slice or an array of the host, or
/// memory of a device.
pub struct PerColumn<S>(S);

impl<S: Storage> From<S> for PerColumn<S> {
    fn from(storage: S) -> Self {
        Self(storage)
    }
}

impl<'a, T> From<&'a mut Vec<T>> for PerColumn<&'a mut [T]> {
    fn from(values: &'a mut Vec<T>) -> Self {
        Self(values)
    }
}

impl<'a, T, const N: usize> From<&'a mut [T; N]> for PerColumn<&'a mut [T]> {
    fn from(values: &'a mut [T; N]) -> Self {
        Self(values)
    }
}

/// A +1/-1 matrix to read, dense or packed. Dense values may be any numbers. Calls take whatever is
/// one: a [`MatRef`], a [`CodesRef`](crate::CodesRef), `&Codes`, device views.
pub enum CodeMatrix<'a, T: Element, B: Backend = Cpu> {
    /// Elements, `[rows, cols]`.
    Dense(Matrix<B::Slice<'a, T>>),
    /// Packed codes, `rows` codes of `cols` bits.
    Packed(PackedCodes<B::Slice<'a, u64>>),
}

impl<T: Element, B: Backend> CodeMatrix<'_, T, B> {
    /// Rows and columns.
    pub fn shape(&self) -> (usize, usize) {
        match self {
            Self::Dense(b) => b.shape(),
            Self::Packed(b) => b.shape(),
        }
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.shape().1
    }
}

impl<'a, T: Element, B: Backend> From<Matrix<B::Slice<'a, T>>> for CodeMatrix<'a, T, B> {
    fn from(dense: Matrix<B::Slice<'a, T>>) -> Self {
        Self::Dense(dense)
    }
}

impl<'a, T: Element, B: Backend> From<PackedCodes<B::Slice<'a, u64>>> for CodeMatrix<'a, T, B> {
    fn from(codes: PackedCodes<B::Slice<'a, u64>>) -> Self {
        Self::Packed(codes)
    }
}

impl<'a, T: Element> From<&'a Codes> for CodeMatrix<'a, T> {
    fn from(codes: &'a Codes) -> Self {
        Self::Packed(codes.as_ref())
    }
}

/// How strongly the backward pass pulls `U` to its target: the term `gamma / divisor * (U - B)`.
/// Eq. 9 of the paper calls the whole factor gamma; see [Bi-half](bi_half).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gamma {
    gamma: f64,
    divisor: Option<f64>,
}

impl Gamma {
    /// `gamma / (M * K)`, M x K being the shape of the batch at hand. Calls take the number itself;
    /// 0.0 is the plain straight-through estimator.
    pub fn new(gamma: f64) -> Self {
        Self { gamma, divisor: None }
    }

    /// `gamma / divisor`: for a batch that is a part of a larger one, as on one of several
    /// data-parallel workers whose gradients are summed (pass the whole batch's M * K).
    pub fn with_divisor(self, divisor: f64) -> Self {
        Self { divisor: Some(divisor), ..self }
    }

    /// The factor of `(U - B)` for a batch of this shape.
    ///
    /// # Errors
    /// [`Error::Parameter`] when gamma is not finite, or the divisor not finite and positive. (A
    /// call also refuses a factor that its arithmetic type, `f32` or `f64`, cannot hold.)
    pub fn coefficient(&self, (rows, cols): (usize, usize)) -> Result<f64> {
        let Self { gamma, divisor } = *self;
        check_parameter("gamma", gamma, gamma.is_finite(), "finite")?;
        let divisor = divisor.unwrap_or((rows as f64 * cols as f64).max(1.0));
        let ok = divisor.is_finite() && divisor > 0.0;
        check_parameter("divisor", divisor, ok, "finite and greater than 0")?;
        Ok(gamma / divisor)
    }

    /// [`coefficient`](Self::coefficient), which the arithmetic type of `T` can hold.
    pub(crate) fn coefficient_for<T: Element>(&self, shape: (usize, usize)) -> Result<f64> {
        let coefficient = self.coefficient(shape)?;
        let name = "gamma / divisor";
        check_parameter(name, coefficient, T::Real::of(coefficient).is_finite(), IN_RANGE)?;
        Ok(coefficient)
    }
}

impl From<f64> for Gamma {
    fn from(gamma: f64) -> Self {
        Self::new(gamma)
    }
}

/// What a parameter must be that is finite as `f64`.
pub(crate) const IN_RANGE: &str = "within the range of the type that U is computed in";

pub(crate) fn check_shape(
    what: &'static str,
    like: &'static str,
    expected: (usize, usize),
    got: (usize, usize),
) -> Result<()> {
    if expected == got { Ok(()) } else { Err(Error::Shape { what, like, expected, got }) }
}

/// The gradient that comes in and the one that goes out.
pub(crate) fn check_grad(u: (usize, usize), grad: [(usize, usize); 2]) -> Result<()> {
    check_shape("the gradient", "U", u, grad[0])?;
    check_shape("the output", "U", u, grad[1])
}

pub(crate) fn check_per_column(what: &'static str, cols: usize, got: usize) -> Result<()> {
    check_length(what, "one for each column", cols, got)
}

pub(crate) fn check_length(
    what: &'static str,
    why: &'static str,
    expected: usize,
    got: usize,
) -> Result<()> {
    if expected == got { Ok(()) } else { Err(Error::Length { what, why, expected, got }) }
}

pub(crate) fn check_parameter(
    name: &'static str,
    value: f64,
    ok: bool,
    expected: &'static str,
) -> Result<()> {
    if ok { Ok(()) } else { Err(Error::Parameter { name, value, expected }) }
}

/// Row numbers and counts are 32-bit.
pub(crate) fn check_rows(rows: usize) -> Result<()> {
    let max = u32::MAX as usize;
    if rows <= max { Ok(()) } else { Err(Error::TooManyRows { rows, max }) }
}

/// A copy, for the forms that write a new gradient. The shapes are the same.
pub(crate) fn copy_into<T: Element>(from: MatRef<'_, T>, mut to: MatMut<'_, T>) {
    let layout = from.layout();
    for (i, row) in to.rows_mut().enumerate() {
        if layout.col_stride() == 1 {
            row.copy_from_slice(&from.data()[i * layout.row_stride()..][..layout.cols()]);
        } else {
            row.iter_mut().zip(from.row(i)).for_each(|(to, from)| *to = from);
        }
    }
}
