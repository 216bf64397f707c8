//! The host as a backend: the functions of `ops/` on slices.

use crate::element::Scalar;
use crate::memory::zeros;
use crate::ops;
use crate::ops::retrieval::Labelled;
use crate::{
    Backend, CodeMatrix, CodesMut, CodesRef, Element, Gamma, MatMut, MatRef, Ones, Operation,
    Order, Outputs, Result, Workspace,
};
use std::ops::Range;

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
        let mut buffer = zeros((1, host.len()))?;
        buffer.copy_from_slice(host);
        Ok(buffer)
    }

    fn upload_into<T: Scalar>(&self, host: &[T], out: &mut [T]) -> Result<()> {
        ops::check_length("the buffer", "as many as the host has", host.len(), out.len())?;
        out.copy_from_slice(host);
        Ok(())
    }

    fn zeros<T: Scalar>(&self, len: usize) -> Result<Vec<T>> {
        zeros((1, len))
    }

    fn unset<T: Scalar>(&self, len: usize) -> Result<Vec<T>> {
        self.zeros(len)
    }

    fn download<T: Scalar>(&self, buffer: &Vec<T>) -> Result<Vec<T>> {
        self.upload(buffer)
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

    /// An empty one, which grows to what the operation needs.
    fn workspace_for<T: Element>(&self, _: Operation, _: usize, _: usize) -> Result<Workspace> {
        Ok(Workspace::new())
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
        ws: &mut Workspace,
    ) -> Result<()> {
        ops::bi_half::forward_into(u, ones, out, ws)
    }

    fn bihalf_forward<T: Element>(&self, u: MatRef<'_, T>, ones: Ones) -> Result<Vec<T>> {
        ops::bi_half::forward(u, ones)
    }

    fn bihalf_forward_packed<T: Element>(&self, u: MatRef<'_, T>, ones: Ones) -> Result<Vec<u64>> {
        Ok(ops::bi_half::forward_packed(u, ones)?.into_words())
    }

    fn bihalf_backward_into<'a, T: Element>(
        &self,
        u: MatRef<'_, T>,
        b: impl Into<CodeMatrix<'a, T>>,
        gamma: impl Into<Gamma>,
        grad: MatRef<'_, T>,
        out: MatMut<'_, T>,
    ) -> Result<()> {
        ops::bi_half::backward_into(u, b, gamma, grad, out)
    }

    fn bihalf_backward_in_place<'a, T: Element>(
        &self,
        u: MatRef<'_, T>,
        b: impl Into<CodeMatrix<'a, T>>,
        gamma: impl Into<Gamma>,
        grad: MatMut<'_, T>,
    ) -> Result<()> {
        ops::bi_half::backward_in_place(u, b, gamma, grad)
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

    fn sign_forward<T: Element>(&self, u: MatRef<'_, T>, shift: Option<&[T]>) -> Result<Vec<T>> {
        ops::sign::forward(u, shift)
    }

    fn sign_backward_into<T: Element>(
        &self,
        u: MatRef<'_, T>,
        shift: Option<&[T]>,
        gamma: impl Into<Gamma>,
        grad: MatRef<'_, T>,
        out: MatMut<'_, T>,
    ) -> Result<()> {
        ops::sign::backward_into(u, shift, gamma, grad, out)
    }

    fn sign_backward_in_place<T: Element>(
        &self,
        u: MatRef<'_, T>,
        shift: Option<&[T]>,
        gamma: impl Into<Gamma>,
        grad: MatMut<'_, T>,
    ) -> Result<()> {
        ops::sign::backward_in_place(u, shift, gamma, grad)
    }

    fn relax_forward_into<T: Element>(
        &self,
        u: MatRef<'_, T>,
        beta: f64,
        out: MatMut<'_, T>,
    ) -> Result<()> {
        ops::relax::forward_into(u, beta, out)
    }

    fn relax_backward_into<T: Element>(
        &self,
        u: MatRef<'_, T>,
        beta: f64,
        grad: MatRef<'_, T>,
        out: MatMut<'_, T>,
    ) -> Result<()> {
        ops::relax::backward_into(u, beta, grad, out)
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

    fn search_workspace(&self, _: usize, _: usize, _: usize, _: usize) -> Result<Workspace> {
        Ok(Workspace::new()) // grows with the first search, to what its threads need
    }

    fn nearest_into(
        &self,
        queries: CodesRef<'_>,
        database: CodesRef<'_>,
        k: usize,
        indices: &mut [u32],
        distances: &mut [u32],
        ws: &mut Workspace,
    ) -> Result<()> {
        ops::search::nearest_into(queries, database, k, indices, distances, ws)
    }

    fn count_by_distance_into(
        &self,
        queries: Labelled<'_>,
        database: Labelled<'_>,
        items: &mut [u32],
        relevant: &mut [u32],
    ) -> Result<()> {
        ops::retrieval::count_by_distance_into(queries, database, items, relevant)
    }

    fn distances_into(
        &self,
        queries: CodesRef<'_>,
        database: CodesRef<'_>,
        out: &mut [u32],
        ws: &mut Workspace,
    ) -> Result<()> {
        ops::search::distances_into(queries, database, out, ws)
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

    fn cosine_packed_into<X: Element>(
        &self,
        x: MatRef<'_, X>,
        codes: CodesRef<'_>,
        loss: &mut [f64],
        pair_grads: &mut [f64],
        _: &mut Workspace,
    ) -> Result<()> {
        ops::check_length("loss", "one value", 1, loss.len())?;
        loss[0] = ops::loss::cosine_packed_into(x, codes, pair_grads)?;
        Ok(())
    }

    fn cosine_packed_backward_into<T: Element>(
        &self,
        u: MatRef<'_, T>,
        codes: CodesRef<'_>,
        pair_grads: &[f64],
        gamma: impl Into<Gamma>,
        out: MatMut<'_, T>,
    ) -> Result<()> {
        ops::loss::cosine_packed_backward_into(u, codes, pair_grads, gamma, out)
    }

    fn cosine_packed_backward_in_place<T: Element>(
        &self,
        codes: CodesRef<'_>,
        pair_grads: &[f64],
        gamma: impl Into<Gamma>,
        u: MatMut<'_, T>,
    ) -> Result<()> {
        ops::loss::cosine_packed_backward_in_place(codes, pair_grads, gamma, u)
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
