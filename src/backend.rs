//! One interface over where the work is done, so that the same training step runs on any backend.

use crate::element::Scalar;
use crate::ops;
use crate::{
    CodesMut, CodesRef, Element, MatMut, MatRef, Matrix, Ones, Order, Outputs, PackedCodes, Pull,
    ReadStorage, Result, Signs, Storage, Workspace,
};
use std::ops::Range;

/// A place that holds buffers and runs the operations on them.
///
/// Code that is generic over `Backend` names its buffers and calls the operations through this
/// trait; what an operation does is told on its page in [`ops`](crate::ops), for every backend.
/// Code for the host alone is shorter with the functions of [`ops`](crate::ops).
///
/// ```
/// use bihalf::{Backend, Cpu, Matrix, Ones, Outputs, Pull, Result, Signs};
///
/// /// Codes of a batch, and the gradient that comes back through them.
/// fn step<B: Backend>(backend: &B, u: &[f32], db: &[f32], m: usize, k: usize) -> Result<Vec<f32>> {
///     let u = backend.upload(u)?;
///     let mut b = backend.zeros::<f32>(m * k)?;
///     let mut grad = backend.upload(db)?;
///     let mut ws = backend.workspace::<f32>(m, k)?;
///
///     let out = Outputs::none().dense(Matrix::new(B::slice_mut(&mut b), m, k)?);
///     let u_view = Matrix::new(B::slice(&u), m, k)?;
///     backend.bihalf_forward_into(u_view, Ones::Half, out, None, &mut ws)?;
///
///     let (u_view, b) = (Matrix::new(B::slice(&u), m, k)?, Matrix::new(B::slice(&b), m, k)?);
///     let grad_view = Matrix::new(B::slice_mut(&mut grad), m, k)?;
///     backend.bihalf_backward_in_place(u_view, Signs::Dense(b), grad_view, Pull::new(2.0))?;
///     backend.download(&grad)
/// }
///
/// assert_eq!(step(&Cpu, &[3.0, -2.0], &[0.0; 2], 2, 1)?, [2.0, -1.0]);
/// # Ok::<(), bihalf::Error>(())
/// ```
pub trait Backend {
    /// Memory that holds `T`s.
    type Buffer<T: Scalar>;
    /// Part of a buffer, to read.
    type Slice<'a, T: Scalar>: ReadStorage;
    /// Part of a buffer, to write.
    type SliceMut<'a, T: Scalar>: Storage;
    /// Scratch memory of the operations.
    type Workspace;

    /// What the work runs on, for people to read.
    fn name(&self) -> String;

    /// A buffer with a copy of `host`.
    ///
    /// # Errors
    /// What the backend's memory can refuse.
    fn upload<T: Scalar>(&self, host: &[T]) -> Result<Self::Buffer<T>>;

    /// A buffer of `len` zeros.
    ///
    /// # Errors
    /// What the backend's memory can refuse.
    fn zeros<T: Scalar>(&self, len: usize) -> Result<Self::Buffer<T>>;

    /// A copy of a buffer, once all work on it is done.
    ///
    /// # Errors
    /// What the backend can refuse, errors of earlier work included.
    fn download<T: Scalar>(&self, buffer: &Self::Buffer<T>) -> Result<Vec<T>>;

    /// All of a buffer, to read.
    fn slice<T: Scalar>(buffer: &Self::Buffer<T>) -> Self::Slice<'_, T>;

    /// All of a buffer, to write.
    fn slice_mut<T: Scalar>(buffer: &mut Self::Buffer<T>) -> Self::SliceMut<'_, T>;

    /// Some elements of a buffer, to read.
    ///
    /// # Panics
    /// When the range is not within the buffer, as for a slice of the host.
    fn slice_of<T: Scalar>(buffer: &Self::Buffer<T>, range: Range<usize>) -> Self::Slice<'_, T>;

    /// Some elements of a buffer, to write.
    ///
    /// # Panics
    /// When the range is not within the buffer, as for a slice of the host.
    fn slice_of_mut<T: Scalar>(
        buffer: &mut Self::Buffer<T>,
        range: Range<usize>,
    ) -> Self::SliceMut<'_, T>;

    /// Scratch memory that is enough for any operation on `rows` x `cols` matrices of `T`.
    ///
    /// # Errors
    /// [`Error::TooLarge`](crate::Error::TooLarge), and what the backend's memory can refuse.
    fn workspace<T: Element>(&self, rows: usize, cols: usize) -> Result<Self::Workspace>;

    /// [`ops::rank::rank_into`].
    ///
    /// # Errors
    /// See there.
    fn rank_into<T: Element>(
        &self,
        u: Matrix<Self::Slice<'_, T>>,
        order: Order,
        out: Matrix<Self::SliceMut<'_, u32>>,
        ws: &mut Self::Workspace,
    ) -> Result<()>;

    /// [`ops::rank::argsort_into`].
    ///
    /// # Errors
    /// See there.
    fn argsort_into<T: Element>(
        &self,
        u: Matrix<Self::Slice<'_, T>>,
        order: Order,
        out: Matrix<Self::SliceMut<'_, u32>>,
        ws: &mut Self::Workspace,
    ) -> Result<()>;

    /// [`ops::bihalf::forward_into`].
    ///
    /// # Errors
    /// See there.
    fn bihalf_forward_into<T: Element>(
        &self,
        u: Matrix<Self::Slice<'_, T>>,
        ones: Ones,
        out: Outputs<'_, T, Self>,
        threshold: Option<Self::SliceMut<'_, T>>,
        ws: &mut Self::Workspace,
    ) -> Result<()>
    where
        Self: Sized;

    /// [`ops::bihalf::backward_in_place`].
    ///
    /// # Errors
    /// See there.
    fn bihalf_backward_in_place<T: Element>(
        &self,
        u: Matrix<Self::Slice<'_, T>>,
        b: Signs<'_, T, Self>,
        grad: Matrix<Self::SliceMut<'_, T>>,
        pull: Pull,
    ) -> Result<()>
    where
        Self: Sized;

    /// [`ops::threshold::median_into`].
    ///
    /// # Errors
    /// See there.
    fn median_into<T: Element>(
        &self,
        u: Matrix<Self::Slice<'_, T>>,
        out: Self::SliceMut<'_, T>,
        ws: &mut Self::Workspace,
    ) -> Result<()>;

    /// [`ops::sign::forward_into`].
    ///
    /// # Errors
    /// See there.
    fn sign_forward_into<T: Element>(
        &self,
        u: Matrix<Self::Slice<'_, T>>,
        shift: Option<Self::Slice<'_, T>>,
        out: Outputs<'_, T, Self>,
    ) -> Result<()>
    where
        Self: Sized;

    /// [`ops::sign::backward_in_place`].
    ///
    /// # Errors
    /// See there.
    fn sign_backward_in_place<T: Element>(
        &self,
        u: Matrix<Self::Slice<'_, T>>,
        shift: Option<Self::Slice<'_, T>>,
        grad: Matrix<Self::SliceMut<'_, T>>,
        pull: Pull,
    ) -> Result<()>;

    /// [`ops::relax::forward_into`].
    ///
    /// # Errors
    /// See there.
    fn relax_forward_into<T: Element>(
        &self,
        u: Matrix<Self::Slice<'_, T>>,
        beta: f64,
        out: Matrix<Self::SliceMut<'_, T>>,
    ) -> Result<()>;

    /// [`ops::relax::backward_in_place`].
    ///
    /// # Errors
    /// See there.
    fn relax_backward_in_place<T: Element>(
        &self,
        u: Matrix<Self::Slice<'_, T>>,
        beta: f64,
        grad: Matrix<Self::SliceMut<'_, T>>,
    ) -> Result<()>;

    /// [`ops::codes::pack_into`].
    ///
    /// # Errors
    /// See there.
    fn pack_into<T: Element>(
        &self,
        dense: Matrix<Self::Slice<'_, T>>,
        codes: PackedCodes<Self::SliceMut<'_, u64>>,
    ) -> Result<()>;

    /// [`ops::codes::unpack_into`].
    ///
    /// # Errors
    /// See there.
    fn unpack_into<T: Element>(
        &self,
        codes: PackedCodes<Self::Slice<'_, u64>>,
        dense: Matrix<Self::SliceMut<'_, T>>,
    ) -> Result<()>;

    /// [`ops::stats::ones_into`].
    ///
    /// # Errors
    /// See there.
    fn ones_into(
        &self,
        codes: PackedCodes<Self::Slice<'_, u64>>,
        counts: Self::SliceMut<'_, u32>,
    ) -> Result<()>;

    /// [`ops::loss::cosine_with_grad_into`]; the loss goes to `loss`, one element.
    ///
    /// # Errors
    /// See there; [`Error::Length`](crate::Error::Length) when `loss` is not one element.
    fn cosine_with_grad_into<X: Element, T: Element>(
        &self,
        x: Matrix<Self::Slice<'_, X>>,
        b: Matrix<Self::Slice<'_, T>>,
        loss: Self::SliceMut<'_, f64>,
        grad: Matrix<Self::SliceMut<'_, T>>,
        ws: &mut Self::Workspace,
    ) -> Result<()>;

    /// [`ops::loss::entropy_penalty_with_grad_into`]; the loss goes to `loss`, one element.
    ///
    /// # Errors
    /// See there; [`Error::Length`](crate::Error::Length) when `loss` is not one element.
    fn entropy_penalty_with_grad_into<T: Element>(
        &self,
        b: Matrix<Self::Slice<'_, T>>,
        alpha: f64,
        loss: Self::SliceMut<'_, f64>,
        grad: Matrix<Self::SliceMut<'_, T>>,
        ws: &mut Self::Workspace,
    ) -> Result<()>;
}

/// The host: slices and rayon's current thread pool.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu;

impl Backend for Cpu {
    type Buffer<T: Scalar> = Vec<T>;
    type Slice<'a, T: Scalar> = &'a [T];
    type SliceMut<'a, T: Scalar> = &'a mut [T];
    type Workspace = Workspace;

    fn name(&self) -> String {
        "cpu".to_owned()
    }

    fn upload<T: Scalar>(&self, host: &[T]) -> Result<Vec<T>> {
        Ok(host.to_vec())
    }

    fn zeros<T: Scalar>(&self, len: usize) -> Result<Vec<T>> {
        ops::allocate((1, len), T::default())
    }

    fn download<T: Scalar>(&self, buffer: &Vec<T>) -> Result<Vec<T>> {
        Ok(buffer.clone())
    }

    fn slice<T: Scalar>(buffer: &Vec<T>) -> &[T] {
        buffer
    }

    fn slice_mut<T: Scalar>(buffer: &mut Vec<T>) -> &mut [T] {
        buffer
    }

    fn slice_of<T: Scalar>(buffer: &Vec<T>, range: Range<usize>) -> &[T] {
        &buffer[range]
    }

    fn slice_of_mut<T: Scalar>(buffer: &mut Vec<T>, range: Range<usize>) -> &mut [T] {
        &mut buffer[range]
    }

    fn workspace<T: Element>(&self, rows: usize, cols: usize) -> Result<Workspace> {
        Workspace::for_shape::<T>(rows, cols)
    }

    fn rank_into<T: Element>(
        &self,
        u: MatRef<'_, T>,
        order: Order,
        out: MatMut<'_, u32>,
        ws: &mut Workspace,
    ) -> Result<()> {
        ops::rank::rank_into(u, order, out, ws)
    }

    fn argsort_into<T: Element>(
        &self,
        u: MatRef<'_, T>,
        order: Order,
        out: MatMut<'_, u32>,
        ws: &mut Workspace,
    ) -> Result<()> {
        ops::rank::argsort_into(u, order, out, ws)
    }

    fn bihalf_forward_into<T: Element>(
        &self,
        u: MatRef<'_, T>,
        ones: Ones,
        out: Outputs<'_, T>,
        threshold: Option<&mut [T]>,
        ws: &mut Workspace,
    ) -> Result<()> {
        ops::bihalf::forward_into(u, ones, out, threshold, ws)
    }

    fn bihalf_backward_in_place<T: Element>(
        &self,
        u: MatRef<'_, T>,
        b: Signs<'_, T>,
        grad: MatMut<'_, T>,
        pull: Pull,
    ) -> Result<()> {
        ops::bihalf::backward_in_place(u, b, grad, pull)
    }

    fn median_into<T: Element>(
        &self,
        u: MatRef<'_, T>,
        out: &mut [T],
        ws: &mut Workspace,
    ) -> Result<()> {
        ops::threshold::median_into(u, out, ws)
    }

    fn sign_forward_into<T: Element>(
        &self,
        u: MatRef<'_, T>,
        shift: Option<&[T]>,
        out: Outputs<'_, T>,
    ) -> Result<()> {
        ops::sign::forward_into(u, shift, out)
    }

    fn sign_backward_in_place<T: Element>(
        &self,
        u: MatRef<'_, T>,
        shift: Option<&[T]>,
        grad: MatMut<'_, T>,
        pull: Pull,
    ) -> Result<()> {
        ops::sign::backward_in_place(u, shift, grad, pull)
    }

    fn relax_forward_into<T: Element>(
        &self,
        u: MatRef<'_, T>,
        beta: f64,
        out: MatMut<'_, T>,
    ) -> Result<()> {
        ops::relax::forward_into(u, beta, out)
    }

    fn relax_backward_in_place<T: Element>(
        &self,
        u: MatRef<'_, T>,
        beta: f64,
        grad: MatMut<'_, T>,
    ) -> Result<()> {
        ops::relax::backward_in_place(u, beta, grad)
    }

    fn pack_into<T: Element>(&self, dense: MatRef<'_, T>, codes: CodesMut<'_>) -> Result<()> {
        ops::codes::pack_into(dense, codes)
    }

    fn unpack_into<T: Element>(&self, codes: CodesRef<'_>, dense: MatMut<'_, T>) -> Result<()> {
        ops::codes::unpack_into(codes, dense)
    }

    fn ones_into(&self, codes: CodesRef<'_>, counts: &mut [u32]) -> Result<()> {
        ops::stats::ones_into(codes, counts)
    }

    fn cosine_with_grad_into<X: Element, T: Element>(
        &self,
        x: MatRef<'_, X>,
        b: MatRef<'_, T>,
        loss: &mut [f64],
        grad: MatMut<'_, T>,
        _: &mut Workspace,
    ) -> Result<()> {
        ops::check_length("loss", "one value", 1, loss.len())?;
        loss[0] = ops::loss::cosine_with_grad_into(x, b, grad)?;
        Ok(())
    }

    fn entropy_penalty_with_grad_into<T: Element>(
        &self,
        b: MatRef<'_, T>,
        alpha: f64,
        loss: &mut [f64],
        grad: MatMut<'_, T>,
        _: &mut Workspace,
    ) -> Result<()> {
        ops::check_length("loss", "one value", 1, loss.len())?;
        loss[0] = ops::loss::entropy_penalty_with_grad_into(b, alpha, grad)?;
        Ok(())
    }
}
