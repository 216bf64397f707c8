//! Cosine-preserving loss on the CPU. Products are computed in `f64` and added to 16 partial sums,
//! that of element `j` to sum `j % 16`, so that results depend neither on threads nor on vectors; a
//! result is rounded to the element type once.

use super::simd::{self, Detected, Isa, Loops, Ordered, compiled, reals};
use super::threads::{for_each_band_pair, for_each_quick_item};
use crate::element::Real;
use crate::{CodeMatrix, CodesRef, Element, MatMut, MatRef};

/// Pairs whose losses wait on the stack until they are added up in order.
const TILE: usize = 64;

/// Elements that are calculated with at a time.
const AT_ONCE: usize = 256;

/// Sums that are added to in turn.
const LANES: usize = simd::LANES;

/// Dot product and squared norms of two vectors, each multiplied by a power of two so that nothing
/// overflows, and nothing that matters underflows.
#[derive(Clone, Copy)]
struct Products {
    dot: f64,
    left: f64,
    right: f64,
    /// The powers of two, of the left and the right vector.
    scales: (f64, f64),
}

impl Products {
    const NONE: Self = Self { dot: 0.0, left: 0.0, right: 0.0, scales: (1.0, 1.0) };

    /// Of two rows.
    fn of<X: Element>(isa: Detected, x: MatRef<'_, X>, i: usize, k: usize) -> Self {
        let products = X::products(isa, x, (i, k), (1.0, 1.0));
        let [_, left, right] = products;
        let scales = (Self::scale::<X::Real>(left), Self::scale::<X::Real>(right));
        let [dot, left, right] =
            if scales == (1.0, 1.0) { products } else { X::products(isa, x, (i, k), scales) };
        Self { dot, left, right, scales }
    }

    fn of_signs<T: Element>(isa: Detected, b: &CodeMatrix<'_, T>, i: usize, k: usize) -> Self {
        match b {
            CodeMatrix::Dense(b) => Self::of(isa, *b, i, k),
            CodeMatrix::Packed(b) => {
                let (left, right) = (b.row(i).iter(), b.row(k).iter());
                let differ: u32 = left.zip(right).map(|(l, r)| (l ^ r).count_ones()).sum();
                let norm = b.bits() as f64;
                let dot = norm - 2.0 * f64::from(differ);
                Self { dot, left: norm, right: norm, ..Self::NONE }
            }
        }
    }

    /// What to multiply a vector of `R` with this squared norm by: only `f64` has such that need
    /// it.
    fn scale<R: Real>(squared: f64) -> f64 {
        const FAR: f64 = f64::from_bits((1023 + 600) << 52); // 2^600
        const HUGE: f64 = f64::from_bits((1023 + 960) << 52); // 2^960
        match squared {
            _ if !R::of(FAR).is_finite() => 1.0,
            _ if squared > HUGE => 1.0 / FAR,
            _ if squared < 1.0 / HUGE => FAR,
            _ => 1.0,
        }
    }

    fn has_zero(&self) -> bool {
        self.left == 0.0 || self.right == 0.0
    }

    /// Product of the two norms. The root of the product is exact for codes of +1 and -1; where
    /// the product leaves the normal range the roots are taken first.
    fn norms(&self) -> f64 {
        let product = self.left * self.right;
        if product.is_normal() { product.sqrt() } else { self.left.sqrt() * self.right.sqrt() }
    }

    fn cosine(&self) -> f64 {
        if self.has_zero() { 0.0 } else { self.dot / self.norms() }
    }
}

/// Dot product and squared norms of two rows, each scaled by a power of two.
pub(crate) fn products<X: Element>(
    isa: Detected,
    x: MatRef<'_, X>,
    rows: (usize, usize),
    scales: (f64, f64),
) -> [f64; 3] {
    let mut sums = [[0.0; LANES]; 3];
    for_each_part(isa, x, rows, scales, &mut |_, left, right| {
        compiled(isa, AddProducts { left, right, sums: &mut sums });
    });
    sums.map(sum_of)
}

/// The sum of all lanes, by halves.
fn sum_of(mut lanes: [f64; LANES]) -> f64 {
    let mut half = LANES / 2;
    while half > 0 {
        let (lower, upper) = lanes.split_at_mut(half);
        lower.iter_mut().zip(upper).for_each(|(lower, upper)| *lower += *upper);
        half /= 2;
    }
    lanes[0]
}

/// What is done with parts of two rows, from a column on.
type OnParts<'a, R> = dyn FnMut(usize, &[R], &[R]) + 'a;

/// Two rows as they are calculated with, each times a power of two: as a whole where they are so in
/// memory, else in parts.
fn for_each_part<X: Element>(
    isa: Detected,
    x: MatRef<'_, X>,
    (i, k): (usize, usize),
    scales: (f64, f64),
    work: &mut OnParts<'_, X::Real>,
) {
    let layout = x.layout();
    if layout.is_empty() {
        return;
    }
    let is_real = size_of::<X>() == size_of::<X::Real>() && layout.col_stride() == 1;
    if is_real && scales == (1.0, 1.0) {
        let row = |i| &x.into_data()[i * layout.row_stride()..][..layout.cols()];
        return work(0, bytemuck::cast_slice(row(i)), bytemuck::cast_slice(row(k)));
    }
    let (mut left, mut right) = (Part::default(), Part::default());
    for first in (0..layout.cols()).step_by(AT_ONCE) {
        let left = left.of(isa, x, (i, first), scales.0);
        let right = right.of(isa, x, (k, first), scales.1);
        work(first, left, right);
    }
}

/// Adds the products and the squares of elements, each to the sum of its lane.
struct AddProducts<'a, R> {
    left: &'a [R],
    right: &'a [R],
    sums: &'a mut [[f64; LANES]; 3],
}

impl<R: Real> Loops for AddProducts<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let [dots, lefts, rights] = self.sums;
        for (left, right) in self.left.chunks(LANES).zip(self.right.chunks(LANES)) {
            for (n, (left, right)) in left.iter().zip(right).enumerate() {
                let (left, right) = (left.to_f64(), right.to_f64());
                dots[n] += left * right;
                lefts[n] += left * left;
                rights[n] += right * right;
            }
        }
    }

    #[inline(always)]
    fn run_on<I: Isa>(self, isa: I) {
        let [dots, lefts, rights] = &mut *self.sums;
        let mut dot = I::F64::load(isa, dots);
        let mut left_squared = I::F64::load(isa, lefts);
        let mut right_squared = I::F64::load(isa, rights);
        let (left, left_rest) = self.left.as_chunks::<LANES>();
        let (right, right_rest) = self.right.as_chunks::<LANES>();
        for (left, right) in left.iter().zip(right) {
            let left = R::doubles(isa, Ordered::load(isa, left));
            let right = R::doubles(isa, Ordered::load(isa, right));
            dot = R::add_product::<I>(dot, left, right);
            left_squared = R::add_product::<I>(left_squared, left, left);
            right_squared = R::add_product::<I>(right_squared, right, right);
        }
        dot.store(dots);
        left_squared.store(lefts);
        right_squared.store(rights);
        let (left, right) = (left_rest, right_rest);
        AddProducts { left, right, sums: self.sums }.run();
    }
}

/// Elements of a row as they are calculated with, and room for those that are not so in memory.
struct Part<X: Element> {
    values: [X::Real; AT_ONCE],
    gathered: [X; AT_ONCE],
}

impl<X: Element> Default for Part<X> {
    fn default() -> Self {
        Self { values: [X::Real::default(); AT_ONCE], gathered: [X::default(); AT_ONCE] }
    }
}

impl<X: Element> Part<X> {
    /// Those from row `i` and column `first` on, times a power of two.
    fn of<'a>(
        &'a mut self,
        isa: Detected,
        x: MatRef<'a, X>,
        (i, first): (usize, usize),
        scale: f64,
    ) -> &'a [X::Real] {
        let layout = x.layout();
        let len = AT_ONCE.min(layout.cols() - first);
        let data = &x.into_data()[i * layout.row_stride() + first * layout.col_stride()..];
        let elements = if layout.col_stride() == 1 {
            &data[..len]
        } else {
            for (n, element) in self.gathered[..len].iter_mut().enumerate() {
                *element = data[n * layout.col_stride()];
            }
            &self.gathered[..len]
        };
        if scale == 1.0 {
            return reals(isa, elements, &mut self.values);
        }
        let scale = X::Real::of(scale);
        for (value, element) in self.values.iter_mut().zip(elements) {
            *value = element.widen() * scale;
        }
        &self.values[..len]
    }
}

/// What a pair of rows contributes: the products of its codes and the cosine of its features.
#[derive(Clone, Copy)]
struct Pair {
    codes: Products,
    target: f64,
}

impl Pair {
    const NONE: Self = Self { codes: Products::NONE, target: 0.0 };

    fn loss(&self) -> f64 {
        (self.codes.cosine() - self.target).powi(2)
    }

    /// The gradient of `weight * loss` for the left row.
    fn of_left(&self, weight: f64) -> Gradient {
        let Products { left, scales, .. } = self.codes;
        self.gradient(weight, left, scales)
    }

    /// The same for the right row.
    fn of_right(&self, weight: f64) -> Gradient {
        let Products { right, scales, .. } = self.codes;
        self.gradient(weight, right, (scales.1, scales.0))
    }

    /// For a row whose scaled squared norm is `squared`; `scales`: its own and that of the other.
    fn gradient(&self, weight: f64, squared: f64, scales: (f64, f64)) -> Gradient {
        if self.codes.has_zero() {
            return Gradient { own: 0.0, other: 0.0, scales: (1.0, 1.0) };
        }
        let cosine = self.codes.cosine();
        let slope = 2.0 * weight * (cosine - self.target);
        Gradient { own: slope * cosine / squared, other: slope / self.codes.norms(), scales }
    }
}

/// The gradient for a row as a sum of itself and the other row of its pair.
#[derive(Clone, Copy)]
pub struct Gradient {
    own: f64,
    other: f64,
    /// What to multiply the rows by.
    scales: (f64, f64),
}

impl Gradient {
    /// For an element of the row, of the other one. Never -0, so that the gradient for a bit and
    /// for its opposite differ in nothing but the sign.
    #[inline(always)]
    fn at(&self, own: f64, other: f64) -> f64 {
        let sum = self.other * (other * self.scales.1) - self.own * (own * self.scales.0);
        sum * self.scales.0 + 0.0 // -0 becomes +0
    }
}

pub(crate) fn cosine<X: Element, T: Element>(
    isa: Detected,
    x: MatRef<'_, X>,
    b: CodeMatrix<'_, T>,
) -> f64 {
    let half = x.rows() / 2;
    mean_over_pairs(isa, x, b, half, |_, _| ())
}

pub(crate) fn cosine_with_grad<X: Element, T: Element>(
    isa: Detected,
    x: MatRef<'_, X>,
    b: MatRef<'_, T>,
    mut grad: MatMut<'_, T>,
) -> f64 {
    let (rows, cols) = b.shape();
    let half = rows / 2;
    if rows % 2 == 1 {
        grad.rows_mut().last().into_iter().for_each(|row| row.fill(T::from_f64(0.0)));
    }
    let (upper, lower, stride) = halves(grad);
    let weight = 1.0 / half as f64;
    mean_over_pairs(isa, x, CodeMatrix::Dense(b), half, |first, pairs| {
        let (left, right) = (tile_rows(upper, first, stride), tile_rows(lower, first, stride));
        let work = 2 * cols * pairs.len();
        for_each_band_pair(left, right, stride, work, |p, left, right| {
            let gradients = (pairs[p].of_left(weight), pairs[p].of_right(weight));
            let out = (&mut left[..cols], &mut right[..cols]);
            T::write_gradients(isa, b, (first + p, first + p + half), gradients, out);
        });
    })
}

/// Writes the gradients for the two rows of a pair.
pub(crate) fn write_gradients<T: Element>(
    isa: Detected,
    b: MatRef<'_, T>,
    rows: (usize, usize),
    gradients: (Gradient, Gradient),
    out: (&mut [T], &mut [T]),
) {
    for_each_part(isa, b, rows, (1.0, 1.0), &mut |first, left, right| {
        let columns = first..first + left.len();
        write_gradient(isa, gradients.0, left, right, &mut out.0[columns.clone()]);
        write_gradient(isa, gradients.1, right, left, &mut out.1[columns]);
    });
}

fn write_gradient<T: Element>(
    isa: Detected,
    gradient: Gradient,
    own: &[T::Real],
    other: &[T::Real],
    out: &mut [T],
) {
    if size_of::<T>() == size_of::<T::Real>() {
        // The same type.
        let out = bytemuck::cast_slice_mut(out);
        return compiled(isa, WriteGradient { gradient, own, other, out });
    }
    for ((out, own), other) in out.iter_mut().zip(own).zip(other) {
        *out = T::from_f64(gradient.at(own.to_f64(), other.to_f64()));
    }
}

struct WriteGradient<'a, R> {
    gradient: Gradient,
    own: &'a [R],
    other: &'a [R],
    out: &'a mut [R],
}

impl<R: Real> Loops for WriteGradient<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for ((out, own), other) in self.out.iter_mut().zip(self.own).zip(self.other) {
            *out = R::of(self.gradient.at(own.to_f64(), other.to_f64()));
        }
    }
}

/// Returns the loss and writes two numbers per pair to `pair_grads`: the gradient for a bit of +1
/// where the bits of the pair agree, and where they differ.
pub(crate) fn cosine_packed<X: Element>(
    isa: Detected,
    x: MatRef<'_, X>,
    codes: CodesRef<'_>,
    pair_grads: &mut [f64],
) -> f64 {
    let half = x.rows() / 2;
    let weight = 1.0 / half as f64;
    mean_over_pairs(isa, x, CodeMatrix::<X>::Packed(codes), half, |first, pairs| {
        for (pair_grads, pair) in pair_grads[2 * first..].chunks_exact_mut(2).zip(pairs) {
            pair_grads[0] = pair.of_left(weight).at(1.0, 1.0);
            pair_grads[1] = pair.of_left(weight).at(1.0, -1.0);
        }
    })
}

/// Turns `U` into `dU`.
pub(crate) fn cosine_packed_backward<T: Element>(
    mut u: MatMut<'_, T>,
    codes: CodesRef<'_>,
    pair_grads: &[f64],
    coefficient: T::Real,
) {
    let (rows, cols) = u.shape();
    let half = rows / 2;
    // Of a pair's slope, for bits of -1 and +1. For -1 the negative slope, but +0 for 0, as
    // `Gradient` has it.
    let gradients = |slope: f64| [-slope, slope].map(|slope| T::from_f64(slope + 0.0).widen());
    let one = |u: &mut T, bit: bool, gradients: [T::Real; 2]| {
        let b = T::plus_or_minus_one(bit);
        let pull = coefficient * (u.widen() - b.widen());
        *u = T::narrow(gradients[usize::from(bit)] + pull);
    };
    if rows % 2 == 1 {
        let alone = u.rows_mut().last().into_iter().flatten();
        let bits = codes.row_bits(rows - 1);
        alone.zip(bits).for_each(|(u, bit)| one(u, bit, gradients(0.0)));
    }
    let (upper, lower, stride) = halves(u);
    for_each_band_pair(upper, lower, stride, rows * cols, |p, left, right| {
        let bits = codes.row_bits(p).zip(codes.row_bits(p + half));
        let elements = left[..cols].iter_mut().zip(&mut right[..cols]);
        let gradients = [gradients(pair_grads[2 * p]), gradients(pair_grads[2 * p + 1])];
        for ((left, right), (l, r)) in elements.zip(bits) {
            let gradients = gradients[usize::from(l != r)];
            one(left, l, gradients);
            one(right, r, gradients);
        }
    });
}

/// The rows of the first half, those of the second, and their stride. The second ends with the last
/// row of an odd batch; zipped with the first it is never reached.
fn halves<T>(m: MatMut<'_, T>) -> (&mut [T], &mut [T], usize) {
    let (layout, half) = (m.layout(), m.rows() / 2);
    let (stride, data) = (layout.row_stride(), &mut m.into_data()[..layout.span()]);
    let (upper, lower) = data.split_at_mut(data.len().min(half * stride));
    (upper, lower, stride)
}

/// The rows of a tile that starts at row `first`.
fn tile_rows<T>(rows: &mut [T], first: usize, stride: usize) -> &mut [T] {
    let (start, end) = (first * stride, (first + TILE) * stride);
    let len = rows.len();
    &mut rows[start.min(len)..end.min(len)]
}

/// The mean loss of the pairs `(i, i + half)`. Pairs are computed tile by tile; `each_tile` gets
/// the first pair's row and the tile's pairs.
fn mean_over_pairs<X: Element, T: Element>(
    isa: Detected,
    x: MatRef<'_, X>,
    b: CodeMatrix<'_, T>,
    half: usize,
    mut each_tile: impl FnMut(usize, &[Pair]),
) -> f64 {
    let mut pairs = [Pair::NONE; TILE];
    let mut sum = 0.0;
    for first in (0..half).step_by(TILE) {
        let pairs = &mut pairs[..TILE.min(half - first)];
        let work = pairs.len() * 2 * (x.cols() + b.cols());
        for_each_quick_item(pairs, work, &|p, pair| {
            let (i, k) = (first + p, first + p + half);
            let target = Products::of(isa, x, i, k).cosine();
            *pair = Pair { codes: Products::of_signs(isa, &b, i, k), target };
        });
        sum = pairs.iter().fold(sum, |sum, pair| sum + pair.loss());
        each_tile(first, pairs);
    }
    if half == 0 { 0.0 } else { sum / half as f64 }
}
