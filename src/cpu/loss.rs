//! Cosine-preserving loss and entropy penalty on the CPU. Sums run in `f64` in a fixed order, so
//! results do not depend on threads; a result is rounded to the element type once.

use super::threads::{for_each_chunk, for_each_chunk_pair, for_each_row};
use crate::{CodesRef, Element, MatMut, MatRef, Signs};

/// Pairs whose losses wait on the stack until they are added up in order.
const TILE: usize = 64;

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

    fn of(left: impl Iterator<Item = f64>, right: impl Iterator<Item = f64>) -> Self {
        left.zip(right).fold(Self::NONE, |sum, (l, r)| Self {
            dot: sum.dot + l * r,
            left: sum.left + l * l,
            right: sum.right + r * r,
            ..sum
        })
    }

    /// What to multiply a vector of this squared norm by: only `f64` has such that need it.
    fn scale(squared: f64) -> f64 {
        const FAR: f64 = f64::from_bits((1023 + 600) << 52); // 2^600
        const HUGE: f64 = f64::from_bits((1023 + 960) << 52); // 2^960
        match squared {
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

fn of_rows<X: Element>(x: MatRef<'_, X>, i: usize, k: usize) -> Products {
    let row = |i, scale: f64| x.row(i).map(move |value| value.to_f64() * scale);
    let products = Products::of(x.row(i).map(X::to_f64), x.row(k).map(X::to_f64));
    let scales = (Products::scale(products.left), Products::scale(products.right));
    if scales == (1.0, 1.0) {
        return products;
    }
    Products { scales, ..Products::of(row(i, scales.0), row(k, scales.1)) }
}

fn of_signs<T: Element>(b: &Signs<'_, T>, i: usize, k: usize) -> Products {
    match b {
        Signs::Dense(b) => of_rows(*b, i, k),
        Signs::Packed(b) => {
            let (left, right) = (b.row(i).iter(), b.row(k).iter());
            let differ: u32 = left.zip(right).map(|(l, r)| (l ^ r).count_ones()).sum();
            let norm = b.bits() as f64;
            Products {
                dot: norm - 2.0 * f64::from(differ),
                left: norm,
                right: norm,
                ..Products::NONE
            }
        }
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

    /// Gradient of `weight * loss` for the element `left` of the left row, `right` being that of
    /// the right one. Never -0, so that the gradient for a bit and for its opposite differ in
    /// nothing but the sign.
    fn of_left(&self, weight: f64, left: f64, right: f64) -> f64 {
        let Products { left: squared, scales, .. } = self.codes;
        self.gradient(weight, (left, scales.0), (right, scales.1), squared)
    }

    /// The same for the element of the right row.
    fn of_right(&self, weight: f64, left: f64, right: f64) -> f64 {
        let Products { right: squared, scales, .. } = self.codes;
        self.gradient(weight, (right, scales.1), (left, scales.0), squared)
    }

    /// For an element of a row, `from` with its scale, whose scaled squared norm is `squared`.
    fn gradient(&self, weight: f64, from: (f64, f64), to: (f64, f64), squared: f64) -> f64 {
        if self.codes.has_zero() {
            return 0.0;
        }
        let cosine = self.codes.cosine();
        let (scaled_from, scaled_to) = (from.0 * from.1, to.0 * to.1);
        let of_cosine = scaled_to / self.codes.norms() - cosine * scaled_from / squared;
        2.0 * weight * (cosine - self.target) * of_cosine * from.1 + 0.0 // -0 becomes +0
    }
}

pub(crate) fn cosine<X: Element, T: Element>(x: MatRef<'_, X>, b: Signs<'_, T>) -> f64 {
    let half = x.rows() / 2;
    mean_over_pairs(x, b, half, |_, _| ())
}

pub(crate) fn cosine_with_grad<X: Element, T: Element>(
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
    mean_over_pairs(x, Signs::Dense(b), half, |first, pairs| {
        let (left, right) = (tile_rows(upper, first, stride), tile_rows(lower, first, stride));
        let work = 2 * cols * pairs.len();
        for_each_chunk_pair((left, stride), (right, stride), work, |p, left, right| {
            let pair = pairs[p];
            let (l, r) = (b.row(first + p), b.row(first + p + half));
            let out = left[..cols].iter_mut().zip(&mut right[..cols]);
            for ((dl, dr), (l, r)) in out.zip(l.map(T::to_f64).zip(r.map(T::to_f64))) {
                *dl = T::from_f64(pair.of_left(weight, l, r));
                *dr = T::from_f64(pair.of_right(weight, l, r));
            }
        });
    })
}

/// The loss; `slopes` get two numbers a pair: the gradient for a bit of +1 where the bits of the pair
/// agree, and where they differ.
pub(crate) fn cosine_packed<X: Element>(
    x: MatRef<'_, X>,
    codes: CodesRef<'_>,
    slopes: &mut [f64],
) -> f64 {
    let half = x.rows() / 2;
    let weight = 1.0 / half as f64;
    mean_over_pairs(x, Signs::<X>::Packed(codes), half, |first, pairs| {
        for (slopes, pair) in slopes[2 * first..].chunks_exact_mut(2).zip(pairs) {
            slopes[0] = pair.of_left(weight, 1.0, 1.0);
            slopes[1] = pair.of_left(weight, 1.0, -1.0);
        }
    })
}

/// Turns `U` into `dU`.
pub(crate) fn cosine_packed_backward<T: Element>(
    mut u: MatMut<'_, T>,
    codes: CodesRef<'_>,
    slopes: &[f64],
    coefficient: T::Real,
) {
    let (rows, cols) = u.shape();
    let half = rows / 2;
    let one = |u: &mut T, bit: bool, slope: f64| {
        // For -1 the negative slope, but +0 for 0, as `gradient` has it.
        let grad = T::from_f64(if bit { slope } else { -slope } + 0.0);
        let b = T::plus_or_minus_one(bit);
        *u = T::narrow(grad.widen() + coefficient * (u.widen() - b.widen()));
    };
    if rows % 2 == 1 {
        let alone = u.rows_mut().last().into_iter().flatten();
        alone.zip(codes.row_bits(rows - 1)).for_each(|(u, bit)| one(u, bit, 0.0));
    }
    let (upper, lower, stride) = halves(u);
    for_each_chunk_pair((upper, stride), (lower, stride), rows * cols, |p, left, right| {
        let bits = codes.row_bits(p).zip(codes.row_bits(p + half));
        let elements = left[..cols].iter_mut().zip(&mut right[..cols]);
        for ((left, right), (l, r)) in elements.zip(bits) {
            let slope = slopes[2 * p + usize::from(l != r)];
            one(left, l, slope);
            one(right, r, slope);
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
    x: MatRef<'_, X>,
    b: Signs<'_, T>,
    half: usize,
    mut each_tile: impl FnMut(usize, &[Pair]),
) -> f64 {
    let mut tile = [Pair::NONE; TILE];
    let mut sum = 0.0;
    for first in (0..half).step_by(TILE) {
        let pairs = &mut tile[..TILE.min(half - first)];
        let work = pairs.len() * 2 * (x.cols() + b.cols());
        for_each_chunk(pairs, 1, work, |p, pair| {
            let (i, k) = (first + p, first + p + half);
            pair[0] = Pair { codes: of_signs(&b, i, k), target: of_rows(x, i, k).cosine() };
        });
        sum = pairs.iter().fold(sum, |sum, pair| sum + pair.loss());
        each_tile(first, pairs);
    }
    if half == 0 { 0.0 } else { sum / half as f64 }
}

pub(crate) fn entropy_penalty<T: Element>(
    b: MatRef<'_, T>,
    alpha: f64,
    mut grad: Option<MatMut<'_, T>>,
) -> f64 {
    let (rows, cols) = b.shape();
    if rows == 0 || cols == 0 {
        return 0.0;
    }
    let mut sum = 0.0;
    for first in (0..cols).step_by(TILE) {
        let width = TILE.min(cols - first);
        let mut means = [0.0; TILE];
        for i in 0..rows {
            for (c, mean) in means[..width].iter_mut().enumerate() {
                *mean += b.get(i, first + c).to_f64();
            }
        }
        for mean in &mut means[..width] {
            *mean /= rows as f64;
            sum += *mean * *mean;
        }
        if let Some(grad) = &mut grad {
            let scale = alpha / (rows as f64 * cols as f64);
            for_each_row(grad.reborrow(), |_, row| {
                for (g, mean) in row[first..first + width].iter_mut().zip(&means) {
                    *g = T::from_f64(scale * mean);
                }
            });
        }
    }
    alpha / 2.0 * (sum / cols as f64)
}
