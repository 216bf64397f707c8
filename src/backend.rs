//! One interface over where the work is done, so that the same training step runs on any backend.

use crate::codes::words_per_row;
use crate::element::Scalar;
use crate::ops;
use crate::ops::retrieval::LabelledCodes;
use crate::{
    CodeMatrix, Element, Gamma, Layout, Matrix, Ones, Order, Outputs, PackedCodes, ReadStorage,
    Result, Storage,
};
use std::ops::Range;

/// Operations that need scratch memory, for [`Backend::workspace_for`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Bi-half's forward pass and the median, which is the same selection.
    Bihalf,
    /// Ranks and rows in order.
    Rank,
    /// The cosine-preserving loss, of dense codes or packed ones.
    Cosine,
    /// The entropy penalty.
    EntropyPenalty,
}

#[cfg(feature = "cuda")]
impl Operation {
    pub(crate) const ALL: [Self; 4] =
        [Self::Bihalf, Self::Rank, Self::Cosine, Self::EntropyPenalty];

    /// Whether blocks of its launches count which of them is the last one.
    pub(crate) fn counts_blocks(self) -> bool {
        matches!(self, Self::Cosine | Self::EntropyPenalty)
    }
}

/// A place that holds buffers and runs the operations on them.
///
/// Code that is generic over `Backend` names its buffers and calls the operations through this
/// trait; what an operation does is told on its page in [`ops`](crate::ops), for every backend.
/// Code for the host alone is shorter with the functions of [`ops`](crate::ops).
///
/// ```
/// use bihalf::{Backend, Cpu, Matrix, Ones, Outputs, Result};
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
///     backend.bihalf_forward_into(u_view, Ones::Half, out, &mut ws)?;
///
///     let (u_view, b) = (Matrix::new(B::slice(&u), m, k)?, Matrix::new(B::slice(&b), m, k)?);
///     let grad_view = Matrix::new(B::slice_mut(&mut grad), m, k)?;
///     backend.bihalf_backward_in_place(u_view, b, 2.0, grad_view)?;
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

    /// Copies `host` over as many elements, for a buffer that serves each batch; allocates nothing.
    ///
    /// # Errors
    /// [`Error::Length`](crate::Error::Length) when there are more or fewer elements; what the
    /// backend can refuse.
    fn upload_into<T: Scalar>(&self, host: &[T], out: Self::SliceMut<'_, T>) -> Result<()>;

    /// A buffer of `len` zeros.
    ///
    /// # Errors
    /// What the backend's memory can refuse.
    fn zeros<T: Scalar>(&self, len: usize) -> Result<Self::Buffer<T>>;

    /// A buffer of `len` elements of any values, for a call that writes them all.
    ///
    /// # Errors
    /// What the backend's memory can refuse.
    fn unset<T: Scalar>(&self, len: usize) -> Result<Self::Buffer<T>>;

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

    /// Scratch memory for one operation on `rows` x `cols` matrices of `T`, which may be far less.
    ///
    /// # Errors
    /// As [`workspace`](Self::workspace).
    fn workspace_for<T: Element>(
        &self,
        operation: Operation,
        rows: usize,
        cols: usize,
    ) -> Result<Self::Workspace>;

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

    /// [`ops::bi_half::forward_into`].
    ///
    /// # Errors
    /// See there.
    fn bihalf_forward_into<T: Element>(
        &self,
        u: Matrix<Self::Slice<'_, T>>,
        ones: Ones,
        out: Outputs<'_, T, Self>,
        ws: &mut Self::Workspace,
    ) -> Result<()>
    where
        Self: Sized;

    /// [`ops::bi_half::backward_into`].
    ///
    /// # Errors
    /// See there.
    fn bihalf_backward_into<'a, T: Element>(
        &self,
        u: Matrix<Self::Slice<'_, T>>,
        b: impl Into<CodeMatrix<'a, T, Self>>,
        gamma: impl Into<Gamma>,
        grad: Matrix<Self::Slice<'_, T>>,
        out: Matrix<Self::SliceMut<'_, T>>,
    ) -> Result<()>
    where
        Self: Sized;

    /// [`ops::bi_half::backward_in_place`].
    ///
    /// # Errors
    /// See there.
    fn bihalf_backward_in_place<'a, T: Element>(
        &self,
        u: Matrix<Self::Slice<'_, T>>,
        b: impl Into<CodeMatrix<'a, T, Self>>,
        gamma: impl Into<Gamma>,
        grad: Matrix<Self::SliceMut<'_, T>>,
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

    /// [`ops::sign::backward_into`].
    ///
    /// # Errors
    /// See there.
    fn sign_backward_into<T: Element>(
        &self,
        u: Matrix<Self::Slice<'_, T>>,
        shift: Option<Self::Slice<'_, T>>,
        gamma: impl Into<Gamma>,
        grad: Matrix<Self::Slice<'_, T>>,
        out: Matrix<Self::SliceMut<'_, T>>,
    ) -> Result<()>;

    /// [`ops::sign::backward_in_place`].
    ///
    /// # Errors
    /// See there.
    fn sign_backward_in_place<T: Element>(
        &self,
        u: Matrix<Self::Slice<'_, T>>,
        shift: Option<Self::Slice<'_, T>>,
        gamma: impl Into<Gamma>,
        grad: Matrix<Self::SliceMut<'_, T>>,
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

    /// [`ops::relax::backward_into`].
    ///
    /// # Errors
    /// See there.
    fn relax_backward_into<T: Element>(
        &self,
        u: Matrix<Self::Slice<'_, T>>,
        beta: f64,
        grad: Matrix<Self::Slice<'_, T>>,
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

    /// Scratch memory that is enough for [`nearest_into`](Self::nearest_into) and
    /// [`distances_into`](Self::distances_into), for codes of `bits` bits.
    ///
    /// # Errors
    /// As [`workspace`](Self::workspace).
    fn search_workspace(
        &self,
        queries: usize,
        items: usize,
        bits: usize,
        k: usize,
    ) -> Result<Self::Workspace>;

    /// [`ops::search::nearest_into`].
    ///
    /// # Errors
    /// See there.
    fn nearest_into(
        &self,
        queries: PackedCodes<Self::Slice<'_, u64>>,
        database: PackedCodes<Self::Slice<'_, u64>>,
        k: usize,
        indices: Self::SliceMut<'_, u32>,
        distances: Self::SliceMut<'_, u32>,
        ws: &mut Self::Workspace,
    ) -> Result<()>;

    /// [`ops::retrieval::count_by_distance_into`]: items and relevant items at each distance, both
    /// `[queries, bits + 1]`.
    ///
    /// # Errors
    /// See there.
    fn count_by_distance_into(
        &self,
        queries: LabelledCodes<Self::Slice<'_, u32>, Self::Slice<'_, u64>>,
        database: LabelledCodes<Self::Slice<'_, u32>, Self::Slice<'_, u64>>,
        items: Self::SliceMut<'_, u32>,
        relevant: Self::SliceMut<'_, u32>,
    ) -> Result<()>;

    /// [`ops::search::distances_into`].
    ///
    /// # Errors
    /// See there.
    fn distances_into(
        &self,
        queries: PackedCodes<Self::Slice<'_, u64>>,
        database: PackedCodes<Self::Slice<'_, u64>>,
        out: Self::SliceMut<'_, u32>,
        ws: &mut Self::Workspace,
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

    /// [`ops::loss::cosine_packed_into`]; the loss goes to `loss`, one element.
    ///
    /// # Errors
    /// See there; [`Error::Length`](crate::Error::Length) when `loss` is not one element.
    fn cosine_packed_into<X: Element>(
        &self,
        x: Matrix<Self::Slice<'_, X>>,
        codes: PackedCodes<Self::Slice<'_, u64>>,
        loss: Self::SliceMut<'_, f64>,
        pair_grads: Self::SliceMut<'_, f64>,
        ws: &mut Self::Workspace,
    ) -> Result<()>;

    /// [`ops::loss::cosine_packed_backward_into`].
    ///
    /// # Errors
    /// See there.
    fn cosine_packed_backward_into<T: Element>(
        &self,
        u: Matrix<Self::Slice<'_, T>>,
        codes: PackedCodes<Self::Slice<'_, u64>>,
        pair_grads: Self::Slice<'_, f64>,
        gamma: impl Into<Gamma>,
        out: Matrix<Self::SliceMut<'_, T>>,
    ) -> Result<()>;

    /// [`ops::loss::cosine_packed_backward_in_place`].
    ///
    /// # Errors
    /// See there.
    fn cosine_packed_backward_in_place<T: Element>(
        &self,
        codes: PackedCodes<Self::Slice<'_, u64>>,
        pair_grads: Self::Slice<'_, f64>,
        gamma: impl Into<Gamma>,
        u: Matrix<Self::SliceMut<'_, T>>,
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

    // Forms that allocate their result, for those who do not mind.

    /// A new dense `rows` x `cols` matrix, all of which `write` writes.
    ///
    /// # Errors
    /// [`Error::TooLarge`](crate::Error::TooLarge), what the backend's memory can refuse, and what
    /// `write` returns.
    fn new_matrix<T: Scalar>(
        &self,
        (rows, cols): (usize, usize),
        write: impl FnOnce(Matrix<Self::SliceMut<'_, T>>) -> Result<()>,
    ) -> Result<Self::Buffer<T>> {
        let mut buffer = self.unset(elements(rows, cols)?)?;
        write(Matrix::new(Self::slice_mut(&mut buffer), rows, cols)?)?;
        Ok(buffer)
    }

    /// The words of `rows` new packed codes of `bits` bits, all of which `write` writes.
    ///
    /// # Errors
    /// As [`new_matrix`](Self::new_matrix).
    fn new_codes(
        &self,
        (rows, bits): (usize, usize),
        write: impl FnOnce(PackedCodes<Self::SliceMut<'_, u64>>) -> Result<()>,
    ) -> Result<Self::Buffer<u64>> {
        let mut words = self.unset(elements(rows, words_per_row(bits))?)?;
        write(PackedCodes::new(Self::slice_mut(&mut words), rows, bits)?)?;
        Ok(words)
    }

    /// `B` of [`ops::bi_half`] in a new buffer; allocates it and a workspace.
    ///
    /// # Errors
    /// See there, and what the backend's memory can refuse.
    fn bihalf_forward<T: Element>(
        &self,
        u: Matrix<Self::Slice<'_, T>>,
        ones: Ones,
    ) -> Result<Self::Buffer<T>>
    where
        Self: Sized,
    {
        let (rows, cols) = u.shape();
        ops::bi_half::check_ones(rows, ones)?;
        let mut ws = self.workspace_for::<T>(Operation::Bihalf, rows, cols)?;
        self.new_matrix((rows, cols), |b| {
            self.bihalf_forward_into(u, ones, Outputs::none().dense(b), &mut ws)
        })
    }

    /// `B` of [`ops::bi_half`] as packed words in a new buffer; allocates it and a workspace.
    ///
    /// # Errors
    /// See there, and what the backend's memory can refuse.
    fn bihalf_forward_packed<T: Element>(
        &self,
        u: Matrix<Self::Slice<'_, T>>,
        ones: Ones,
    ) -> Result<Self::Buffer<u64>>
    where
        Self: Sized,
    {
        let (rows, cols) = u.shape();
        ops::bi_half::check_ones(rows, ones)?;
        let mut ws = self.workspace_for::<T>(Operation::Bihalf, rows, cols)?;
        self.new_codes((rows, cols), |codes| {
            self.bihalf_forward_into(u, ones, Outputs::none().codes(codes), &mut ws)
        })
    }

    /// `dU` of [`ops::bi_half`] in a new buffer.
    ///
    /// # Errors
    /// See there, and what the backend's memory can refuse.
    fn bihalf_backward<'a, T: Element>(
        &self,
        u: Matrix<Self::Slice<'_, T>>,
        b: impl Into<CodeMatrix<'a, T, Self>>,
        gamma: impl Into<Gamma>,
        grad: Matrix<Self::Slice<'_, T>>,
    ) -> Result<Self::Buffer<T>>
    where
        Self: Sized,
    {
        let (b, gamma) = (b.into(), gamma.into());
        ops::bi_half::check_backward::<T>(u.shape(), b.shape(), gamma, [grad.shape(); 2])?;
        self.new_matrix(u.shape(), |du| self.bihalf_backward_into(u, b, gamma, grad, du))
    }

    /// `B` of [`ops::sign`] in a new buffer.
    ///
    /// # Errors
    /// See there, and what the backend's memory can refuse.
    fn sign_forward<T: Element>(
        &self,
        u: Matrix<Self::Slice<'_, T>>,
        shift: Option<Self::Slice<'_, T>>,
    ) -> Result<Self::Buffer<T>>
    where
        Self: Sized,
    {
        ops::sign::check_input(u.shape(), shift.as_ref().map(Storage::len))?;
        self.new_matrix(u.shape(), |b| self.sign_forward_into(u, shift, Outputs::none().dense(b)))
    }

    /// `B` of [`ops::sign`] as packed words in a new buffer: the codes at inference.
    ///
    /// # Errors
    /// See there, and what the backend's memory can refuse.
    fn sign_forward_packed<T: Element>(
        &self,
        u: Matrix<Self::Slice<'_, T>>,
        shift: Option<Self::Slice<'_, T>>,
    ) -> Result<Self::Buffer<u64>>
    where
        Self: Sized,
    {
        ops::sign::check_input(u.shape(), shift.as_ref().map(Storage::len))?;
        self.new_codes(u.shape(), |codes| {
            self.sign_forward_into(u, shift, Outputs::none().codes(codes))
        })
    }

    /// `Y` of [`ops::relax`] in a new buffer.
    ///
    /// # Errors
    /// See there, and what the backend's memory can refuse.
    fn relax_forward<T: Element>(
        &self,
        u: Matrix<Self::Slice<'_, T>>,
        beta: f64,
    ) -> Result<Self::Buffer<T>> {
        ops::relax::check_beta::<T>(beta)?;
        self.new_matrix(u.shape(), |y| self.relax_forward_into(u, beta, y))
    }

    /// The ranks of [`ops::rank`] in a new buffer; allocates it and a workspace.
    ///
    /// # Errors
    /// See there, and what the backend's memory can refuse.
    fn rank<T: Element>(
        &self,
        u: Matrix<Self::Slice<'_, T>>,
        order: Order,
    ) -> Result<Self::Buffer<u32>> {
        let (rows, cols) = u.shape();
        ops::check_rows(rows)?;
        let mut ws = self.workspace_for::<T>(Operation::Rank, rows, cols)?;
        self.new_matrix((rows, cols), |ranks| self.rank_into(u, order, ranks, &mut ws))
    }

    /// The rows in order of [`ops::rank`] in a new buffer; allocates it and a workspace.
    ///
    /// # Errors
    /// See there, and what the backend's memory can refuse.
    fn argsort<T: Element>(
        &self,
        u: Matrix<Self::Slice<'_, T>>,
        order: Order,
    ) -> Result<Self::Buffer<u32>> {
        let (rows, cols) = u.shape();
        ops::check_rows(rows)?;
        let mut ws = self.workspace_for::<T>(Operation::Rank, rows, cols)?;
        self.new_matrix((rows, cols), |sorted| self.argsort_into(u, order, sorted, &mut ws))
    }
}

/// Evaluates an expression with a backend: CUDA's for the device of a number if there is one, else
/// the CPU's. The second name is the error that tells why it is the CPU, if it is.
///
/// It is what a program says that wants to run anywhere: no function of this crate falls back by
/// itself. The expression is compiled for each backend, so it may call functions that are generic
/// over [`Backend`]; it gives a `Result`. Errors other than that there is no CUDA to run on
/// ([`Error::is_cuda_unavailable`](crate::Error::is_cuda_unavailable)) are returned.
///
/// ```
/// use bihalf::{Backend, Result, cuda_or_cpu};
///
/// fn run<B: Backend>(backend: &B) -> Result<Vec<f32>> {
///     backend.download(&backend.upload(&[1.0, 2.0])?)
/// }
///
/// let numbers = cuda_or_cpu!(0, |backend, reason| {
///     println!("on {}", backend.name());
///     if let Some(reason) = reason {
///         println!("not on CUDA: {reason}");
///     }
///     run(backend)
/// })?;
/// assert_eq!(numbers, [1.0, 2.0]);
/// # Ok::<(), bihalf::Error>(())
/// ```
#[macro_export]
macro_rules! cuda_or_cpu {
    ($ordinal:expr, |$backend:ident, $reason:ident| $run:expr) => {
        match $crate::__private::cuda($ordinal) {
            ::std::result::Result::Ok(cuda) => {
                let ($backend, $reason) = (&cuda, ::std::option::Option::None::<$crate::Error>);
                $run
            }
            ::std::result::Result::Err(error) if $crate::Error::is_cuda_unavailable(&error) => {
                let ($backend, $reason) = (&$crate::Cpu, ::std::option::Option::Some(error));
                $run
            }
            ::std::result::Result::Err(error) => {
                ::std::result::Result::Err(::std::convert::From::from(error))
            }
        }
    };
}

/// What macros call.
#[doc(hidden)]
pub mod __private {
    #[cfg(feature = "cuda")]
    pub fn cuda(ordinal: usize) -> crate::Result<crate::cuda::Cuda> {
        crate::cuda::Cuda::new(ordinal)
    }

    /// Of the CPU's type, which is never there.
    #[cfg(not(feature = "cuda"))]
    pub fn cuda(_: usize) -> crate::Result<crate::Cpu> {
        Err(crate::Error::KernelsNotBuilt)
    }
}

/// Elements of a new dense matrix.
fn elements(rows: usize, cols: usize) -> Result<usize> {
    Layout::new(rows, cols, cols, 1)?;
    Ok(rows * cols)
}
