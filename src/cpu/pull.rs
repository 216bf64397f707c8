//! `dU = dB + coefficient (U - B)`, each operation rounded in the arithmetic type: a vector of columns at
//! a time where the elements of a row lie side by side.

use super::simd::{self, Cached, Detected, FloatLane, Floats, Isa, Job, Ordered, Reals, Rows};
use super::simd::{Vector, on_detected};
use super::threads;
use crate::element::{Real as _, sealed::Arithmetic};
use crate::{CodesRef, Element, MatMut, MatRef, Signs};

/// Elements that go to a vectorised function at a time: enough to forget the call, few enough to
/// share among threads.
const BAND: usize = 1 << 14;

/// Columns at a time: two bytes of packed codes.
const STEP: usize = simd::LANES;

/// Bi-half's backward of `grad` or, if that is none, in place.
pub(crate) fn backward<T: Element>(
    isa: Detected,
    u: MatRef<'_, T>,
    b: Signs<'_, T>,
    grad: Option<MatRef<'_, T>>,
    mut out: MatMut<'_, T>,
    coefficient: T::Real,
) {
    let plain = |matrix: &MatRef<'_, T>| matrix.layout().col_stride() == 1;
    let plain_b = match &b {
        Signs::Dense(b) => plain(b),
        Signs::Packed(_) => true,
    };
    if plain(&u) && plain_b && grad.as_ref().is_none_or(plain) {
        return T::pull(isa, u, b, grad, out, coefficient);
    }
    if let Some(grad) = grad {
        crate::ops::copy_into(grad, out.reborrow());
    }
    match b {
        Signs::Dense(b) => in_place(u, out, coefficient, |i| b.row(i)),
        Signs::Packed(b) => {
            in_place(u, out, coefficient, |i| b.row_bits(i).map(T::plus_or_minus_one));
        }
    }
}

/// In place, for any strides, with the target `b` as a function that gives a row.
pub(crate) fn in_place<T: Element, Row: Iterator<Item = T>>(
    u: MatRef<'_, T>,
    grad: MatMut<'_, T>,
    coefficient: T::Real,
    b: impl Fn(usize) -> Row + Send + Sync,
) {
    threads::for_each_row(grad, |i, row| {
        for (g, (u, b)) in row.iter_mut().zip(u.row(i).zip(b(i))) {
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
    b: Signs<'_, T>,
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
    let (u, grad) = (plain_rows(u), grad.map(plain_rows));
    let b = match b {
        Signs::Dense(b) => Target::Dense(plain_rows(b)),
        Signs::Packed(b) => Target::Packed(b),
    };
    let out = &mut out.into_data()[..span];
    threads::for_each_band(out, band_rows * stride, rows * cols, |n, out| {
        let band = Band { first: n * band_rows, u, b, grad, out, stride, coefficient };
        on_detected!(isa, isa => isa.run(band), portable => band.run_plain());
    });
}

fn plain_rows<T>(matrix: MatRef<'_, T>) -> Rows<'_, T> {
    let layout = matrix.layout();
    Rows::new(matrix.into_data(), layout.shape(), layout.row_stride())
}

#[derive(Clone, Copy)]
enum Target<'a, T> {
    Dense(Rows<'a, T>),
    Packed(CodesRef<'a>),
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

impl<I: Isa, T: Element> Job<I> for Band<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self, isa: I) {
        let Self { first, u, b, grad, out, stride, coefficient } = self;
        for (i, out) in (first..).zip(out.chunks_mut(stride)) {
            let u = u.row(i);
            let out = &mut out[..u.len()];
            let grad = grad.map(|grad| grad.row(i));
            match b {
                Target::Dense(b) => row(isa, u, b.row(i), grad, out, coefficient),
                Target::Packed(b) => {
                    let bits: &[u8] = bytemuck::cast_slice(b.row(i));
                    row(isa, u, Bits(bits), grad, out, coefficient);
                }
            }
        }
    }
}

impl<T: Element> Band<'_, T> {
    /// The same without vectors.
    fn run_plain(self) {
        let Self { first, u, b, grad, out, stride, coefficient } = self;
        for (i, out) in (first..).zip(out.chunks_mut(stride)) {
            let u = u.row(i);
            let out = &mut out[..u.len()];
            if let Some(grad) = grad {
                out.copy_from_slice(grad.row(i));
            }
            let each = out.iter_mut().zip(u);
            match b {
                Target::Dense(b) => {
                    each.zip(b.row(i)).for_each(|((g, &u), &b)| *g = one(u, b, *g, coefficient));
                }
                Target::Packed(b) => {
                    let bits: &[u8] = bytemuck::cast_slice(b.row(i));
                    for (at, (g, &u)) in each.enumerate() {
                        *g = one(u, Bits(bits).one(at), *g, coefficient);
                    }
                }
            }
        }
    }
}

/// A row of the target.
trait Targets<T: Element>: Copy {
    /// The columns from a multiple of their number on.
    fn vector<I: Isa>(self, isa: I, at: usize) -> Real<I, T>;
    fn one(self, at: usize) -> T;
}

/// Elements as they are calculated with.
type Real<I, T> = <<T as Arithmetic>::Real as FloatLane>::Vector<I>;

impl<T: Element> Targets<T> for &[T] {
    #[inline(always)]
    fn vector<I: Isa>(self, isa: I, at: usize) -> Real<I, T> {
        <T as Reals<T::Real>>::load(isa, &self[at..at + STEP])
    }
    #[inline(always)]
    fn one(self, at: usize) -> T {
        self[at]
    }
}

/// Packed codes, a bit a column.
#[derive(Clone, Copy)]
struct Bits<'a>(&'a [u8]);

impl<T: Element> Targets<T> for Bits<'_> {
    #[inline(always)]
    fn vector<I: Isa>(self, isa: I, at: usize) -> Real<I, T> {
        let bits = self.0[at / 8..].first_chunk().expect("whole words");
        let mask = Vector::of_bits(isa, u16::from_le_bytes(*bits).into());
        let one = T::Real::ONE;
        Floats::select(mask, Ordered::splat(isa, one), Ordered::splat(isa, -one))
    }
    #[inline(always)]
    fn one(self, at: usize) -> T {
        T::plus_or_minus_one(self.0[at / 8] >> (at % 8) & 1 == 1)
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
        let result = grad.add(factor.mul(u.sub(b.vector(isa, at))));
        <T as Reals<T::Real>>::store(isa, Cached, result, out);
    }
    for at in whole..out.len() {
        let grad = grad.map_or(out[at], |grad| grad[at]);
        out[at] = one(u[at], b.one(at), grad, coefficient);
    }
}
