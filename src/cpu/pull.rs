//! `dU = dB + coefficient (U - B)`, each operation rounded in the arithmetic type: a vector of
//! columns at a time where the elements of a row lie side by side.

use super::blocks::{BAND, side_by_side};
use super::simd::{self, Cached, Detected, FloatLane, Floats, Isa, Loops, Ordered, Reals, Rows};
use super::simd::{Vector, compiled};
use super::threads;
use crate::element::{Real as _, sealed::Arithmetic};
use crate::{CodeMatrix, CodesRef, Element, MatMut, MatRef};

/// Columns at a time: two bytes of packed codes.
const STEP: usize = simd::LANES;

/// What `U` is pulled to.
#[derive(Clone, Copy)]
pub enum Target<'a, T> {
    /// A matrix.
    Dense(MatRef<'a, T>),
    /// Packed codes.
    Packed(CodesRef<'a>),
    /// The sign of `U`.
    Sign,
    /// The sign of `U + t`, with `t` for each column.
    Shifted(&'a [T]),
}

impl<'a, T: Element> From<CodeMatrix<'a, T>> for Target<'a, T> {
    fn from(b: CodeMatrix<'a, T>) -> Self {
        match b {
            CodeMatrix::Dense(b) => Self::Dense(b),
            CodeMatrix::Packed(b) => Self::Packed(b),
        }
    }
}

/// `dU` of `grad` or, if that is none, in place.
pub(crate) fn backward<T: Element>(
    isa: Detected,
    u: MatRef<'_, T>,
    b: Target<'_, T>,
    grad: Option<MatRef<'_, T>>,
    mut out: MatMut<'_, T>,
    coefficient: T::Real,
) {
    let plain = |matrix: &MatRef<'_, T>| matrix.layout().col_stride() == 1;
    let plain_b = if let Target::Dense(b) = &b { plain(b) } else { true };
    if plain(&u) && plain_b && grad.as_ref().is_none_or(plain) {
        return T::pull(isa, u, b, grad, out, coefficient);
    }
    if let Some(grad) = grad {
        crate::ops::copy_into(grad, out.reborrow());
    }
    threads::for_each_row(out, |i, row| {
        for (j, (g, u)) in row.iter_mut().zip(u.row(i)).enumerate() {
            let b = match b {
                Target::Dense(b) => b.get(i, j),
                Target::Packed(b) => T::plus_or_minus_one(b.get(i, j)),
                Target::Sign => Zero.one(j, u),
                Target::Shifted(t) => Shift(t).one(j, u),
            };
            *g = one(u, b, *g, coefficient);
        }
    });
}

#[inline(always)]
fn one<T: Element>(u: T, b: T, grad: T, coefficient: T::Real) -> T {
    T::narrow(grad.widen() + coefficient * (u.widen() - b.widen()))
}

pub(crate) fn in_bands<T: Element>(
    isa: Detected,
    u: MatRef<'_, T>,
    b: Target<'_, T>,
    grad: Option<MatRef<'_, T>>,
    out: MatMut<'_, T>,
    coefficient: T::Real,
) {
    let (rows, cols) = u.shape();
    if rows == 0 || cols == 0 {
        return;
    }
    let stride = out.layout().row_stride();
    let span = out.layout().span();
    let band_rows = (BAND / cols).max(1);
    let (u, grad) = (side_by_side(u), grad.map(side_by_side));
    let out = &mut out.into_data()[..span];
    threads::for_each_band(out, band_rows * stride, rows * cols, |n, out| {
        let band = Band { first: n * band_rows, u, b, grad, out, stride, coefficient };
        compiled(isa, band);
    });
}

/// Some rows of the output.
struct Band<'a, T: Element> {
    /// Number of the first row.
    first: usize,
    u: Rows<'a, T>,
    b: Target<'a, T>,
    grad: Option<Rows<'a, T>>,
    /// Rows begin `stride` elements apart.
    out: &'a mut [T],
    stride: usize,
    coefficient: T::Real,
}

impl<T: Element> Loops for Band<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        match self.b {
            Target::Dense(b) => self.plain_rows(side_by_side(b)),
            Target::Packed(b) => self.plain_rows(b),
            Target::Sign => self.plain_rows(Zero),
            Target::Shifted(t) => self.plain_rows(Shift(t)),
        }
    }

    #[inline(always)]
    fn run_on<I: Isa>(self, isa: I) {
        match self.b {
            Target::Dense(b) => self.rows(isa, side_by_side(b)),
            Target::Packed(b) => self.rows(isa, b),
            Target::Sign => self.rows(isa, Zero),
            Target::Shifted(t) => self.rows(isa, Shift(t)),
        }
    }
}

impl<T: Element> Band<'_, T> {
    #[inline(always)]
    fn rows<I: Isa>(self, isa: I, b: impl TargetRows<T>) {
        let Self { first, u, grad, out, stride, coefficient, .. } = self;
        for (i, out) in (first..).zip(out.chunks_mut(stride)) {
            let u = u.row(i);
            let out = &mut out[..u.len()];
            let grad = grad.map(|grad| grad.row(i));
            row(isa, u, b.row(i), grad, out, coefficient);
        }
    }

    /// The same without vectors.
    #[inline(always)]
    fn plain_rows(self, b: impl TargetRows<T>) {
        let Self { first, u, grad, out, stride, coefficient, .. } = self;
        for (i, out) in (first..).zip(out.chunks_mut(stride)) {
            let u = u.row(i);
            let out = &mut out[..u.len()];
            if let Some(grad) = grad {
                out.copy_from_slice(grad.row(i));
            }
            let b = b.row(i);
            for (at, (g, &u)) in out.iter_mut().zip(u).enumerate() {
                *g = one(u, b.one(at, u), *g, coefficient);
            }
        }
    }
}

/// The rows of the target.
trait TargetRows<T: Element>: Copy {
    type Row: Targets<T>;
    fn row(self, i: usize) -> Self::Row;
}

impl<'a, T: Element> TargetRows<T> for Rows<'a, T> {
    type Row = &'a [T];

    #[inline(always)]
    fn row(self, i: usize) -> &'a [T] {
        Rows::row(&self, i)
    }
}

impl<'a, T: Element> TargetRows<T> for CodesRef<'a> {
    type Row = Bits<'a>;

    #[inline(always)]
    fn row(self, i: usize) -> Bits<'a> {
        Bits(bytemuck::cast_slice(CodesRef::row(&self, i)))
    }
}

impl<T: Element> TargetRows<T> for Zero {
    type Row = Self;

    #[inline(always)]
    fn row(self, _: usize) -> Self {
        self
    }
}

impl<T: Element> TargetRows<T> for Shift<'_, T> {
    type Row = Self;

    #[inline(always)]
    fn row(self, _: usize) -> Self {
        self
    }
}

/// A row of the target, which may depend on that of `U`.
trait Targets<T: Element>: Copy {
    /// The columns from a multiple of their number on.
    fn vector<I: Isa>(self, isa: I, at: usize, u: Real<I, T>) -> Real<I, T>;
    fn one(self, at: usize, u: T) -> T;
}

/// Elements as they are calculated with.
type Real<I, T> = <<T as Arithmetic>::Real as FloatLane>::Vector<I>;

/// 1 where a mask is set, else -1.
#[inline(always)]
fn signs<I: Isa, T: Element>(isa: I, mask: <Real<I, T> as Ordered>::Mask) -> Real<I, T> {
    let one = T::Real::ONE;
    Floats::select(mask, Ordered::splat(isa, one), Ordered::splat(isa, -one))
}

impl<T: Element> Targets<T> for &[T] {
    #[inline(always)]
    fn vector<I: Isa>(self, isa: I, at: usize, _: Real<I, T>) -> Real<I, T> {
        <T as Reals<T::Real>>::load(isa, &self[at..at + STEP])
    }
    #[inline(always)]
    fn one(self, at: usize, _: T) -> T {
        self[at]
    }
}

/// Packed codes, a bit a column.
#[derive(Clone, Copy)]
struct Bits<'a>(&'a [u8]);

impl<T: Element> Targets<T> for Bits<'_> {
    #[inline(always)]
    fn vector<I: Isa>(self, isa: I, at: usize, _: Real<I, T>) -> Real<I, T> {
        let bits = self.0[at / 8..].first_chunk().expect("whole words");
        signs::<I, T>(isa, Vector::of_bits(isa, u16::from_le_bytes(*bits).into()))
    }
    #[inline(always)]
    fn one(self, at: usize, _: T) -> T {
        T::plus_or_minus_one(self.0[at / 8] >> (at % 8) & 1 == 1)
    }
}

/// +1 where `u` is greater than 0.
#[derive(Clone, Copy)]
struct Zero;

impl<T: Element> Targets<T> for Zero {
    #[inline(always)]
    fn vector<I: Isa>(self, isa: I, _: usize, u: Real<I, T>) -> Real<I, T> {
        signs::<I, T>(isa, u.gt(Ordered::splat(isa, T::Real::default())))
    }
    #[inline(always)]
    fn one(self, _: usize, u: T) -> T {
        T::plus_or_minus_one(u.above_zero())
    }
}

/// +1 where `u` is greater than the `-t` of its column: exact, unlike `u + t > 0`.
#[derive(Clone, Copy)]
struct Shift<'a, T>(&'a [T]);

impl<T: Element> Targets<T> for Shift<'_, T> {
    #[inline(always)]
    fn vector<I: Isa>(self, isa: I, at: usize, u: Real<I, T>) -> Real<I, T> {
        let t = <T as Reals<T::Real>>::load(isa, &self.0[at..at + STEP]);
        signs::<I, T>(isa, u.gt(Real::<I, T>::splat(isa, T::Real::default()).sub(t)))
    }
    #[inline(always)]
    fn one(self, at: usize, u: T) -> T {
        T::plus_or_minus_one(u.widen() > -self.0[at].widen())
    }
}

/// `grad` is read from `out` if there is none.
#[inline(always)]
fn row<I: Isa, T: Element>(
    isa: I,
    u: &[T],
    b: impl Targets<T>,
    grad: Option<&[T]>,
    out: &mut [T],
    coefficient: T::Real,
) {
    let factor = Real::<I, T>::splat(isa, coefficient);
    let whole = out.len() / STEP * STEP;
    for at in (0..whole).step_by(STEP) {
        let out = &mut out[at..at + STEP];
        let grad =
            <T as Reals<T::Real>>::load(isa, grad.map_or(&*out, |grad| &grad[at..at + STEP]));
        let u = <T as Reals<T::Real>>::load(isa, &u[at..at + STEP]);
        let result = grad.add(factor.mul(u.sub(b.vector(isa, at, u))));
        <T as Reals<T::Real>>::store(isa, Cached, result, out);
    }
    for at in whole..out.len() {
        let grad = grad.map_or(out[at], |grad| grad[at]);
        out[at] = one(u[at], b.one(at, u[at]), grad, coefficient);
    }
}
