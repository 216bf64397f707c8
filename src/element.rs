//! Element types, their arithmetic and their total order.

use crate::cpu::cosine::Gradient;
use crate::cpu::pull::Target;
use crate::cpu::rank::Form;
use crate::cpu::select::Strip;
use crate::cpu::simd::{Detected, FloatLane, KeyLanes};
use crate::cpu::stats::{Bins, Tallies};
use crate::ops::rank::Order;
use crate::plan::DType;
use crate::{CodesRef, MatMut, MatRef, Outputs, cpu};
use half::{bf16, f16};
use std::fmt::{Debug, Display};
use std::ops::{Add, Div, Mul, Neg, Sub};

/// What a buffer can hold: the [`Element`] types, `i8`, `u32` and `u64`.
#[diagnostic::on_unimplemented(
    message = "no buffer holds `{Self}`",
    label = "not f16, bf16, f32, f64, i8, u32 or u64",
    note = "convert the elements first: `Vec<f32>` from `Vec<i32>`, say"
)]
pub trait Scalar:
    sealed::Sealed + Copy + Default + Debug + PartialEq + Send + Sync + 'static
{
    /// Words as they are, and nothing of other types.
    #[doc(hidden)]
    fn as_words(_: &[Self]) -> Option<&[u64]> {
        None
    }
}

/// Types of the real matrices: `f32`, `f64`, [`struct@f16`] and [`bf16`].
///
/// Arithmetic on `f16` and `bf16` is done in `f32` and rounded once, at the end.
#[diagnostic::on_unimplemented(
    message = "no matrix of an operation has elements of type `{Self}`",
    label = "not f16, bf16, f32 or f64",
    note = "convert the elements first: `Vec<f32>` from `Vec<i32>`, say"
)]
pub trait Element: Scalar + Display + PartialOrd + sealed::Arithmetic {
    /// The type's name as CUDA kernels and benchmark names spell it.
    const NAME: &'static str = Self::DTYPE.name();

    /// The type, as a value.
    const DTYPE: DType;

    /// The value as `f64`; exact.
    fn to_f64(self) -> f64;

    /// The nearest value of this type, ties to even.
    fn from_f64(value: f64) -> Self;
}

/// Order-preserving integers: `a < b` exactly when `key(a) < key(b)`.
///
/// The order is total: -0 equals +0, all NaN are equal and greater than +inf.
pub trait Key: bytemuck::Pod + Default + Debug + Ord + Send + Sync {
    /// The key of the reversed order.
    fn reversed(self) -> Self;
}

/// The arithmetic that the operations need of `f32` and `f64`.
pub trait Real:
    FloatLane
    + KeyLanes
    + bytemuck::Pod
    + Default
    + Send
    + Sync
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    /// 1.
    const ONE: Self;
    /// The nearest value.
    fn of(value: f64) -> Self;
    /// The same value.
    fn to_f64(self) -> f64;
    /// Hyperbolic tangent.
    fn tanh(self) -> Self;
    /// Neither NaN nor infinite.
    fn is_finite(self) -> bool;
}

pub(crate) mod sealed {
    use super::{Element, Key, Real};
    use crate::cpu::cosine::Gradient;
    use crate::cpu::pull::Target;
    use crate::cpu::rank::Form;
    use crate::cpu::select::Strip;
    use crate::cpu::simd::{Detected, KeyLanes, Keyed, Loads, Reals, Signed, Slotted};
    use crate::cpu::stats::{Bins, Tallies};
    use crate::ops::rank::Order;
    use crate::{CodesRef, MatMut, MatRef, Outputs};

    /// Only this crate implements [`Scalar`](super::Scalar).
    #[cfg(not(feature = "cuda"))]
    pub trait Sealed: bytemuck::Zeroable {}

    /// Only this crate implements [`Scalar`](super::Scalar). Scalars can lie in device memory.
    #[cfg(feature = "cuda")]
    pub trait Sealed:
        bytemuck::Zeroable + cudarc::driver::DeviceRepr + cudarc::driver::ValidAsZeroBits
    {
    }

    /// Loops over elements. They are methods of each type so that they are compiled here once, and not
    /// by every crate that calls a generic function.
    pub trait Vectorised: Sized {
        /// [`select::forward`](crate::cpu::select::forward)
        fn select(
            isa: Detected,
            u: MatRef<'_, Self>,
            ones: usize,
            out: &mut Strip<'_, Self>,
            scratch: &mut [u64],
        ) where
            Self: Element;

        /// [`rank::sort`](crate::cpu::rank::sort)
        fn sort(
            isa: Detected,
            u: MatRef<'_, Self>,
            form: (Order, Form),
            out: MatMut<'_, u32>,
            scratch: &mut [u64],
        ) where
            Self: Element;

        /// [`pull::in_bands`](crate::cpu::pull::in_bands)
        fn pull(
            isa: Detected,
            u: MatRef<'_, Self>,
            b: Target<'_, Self>,
            grad: Option<MatRef<'_, Self>>,
            out: MatMut<'_, Self>,
            coefficient: Self::Real,
        ) where
            Self: Element;

        /// [`sign::forward`](crate::cpu::sign::forward)
        fn sign(isa: Detected, u: MatRef<'_, Self>, shift: Option<&[Self]>, out: Outputs<'_, Self>)
        where
            Self: Element;

        /// [`sign::collect`](crate::cpu::sign::collect)
        fn collect_signs(isa: Detected, u: MatRef<'_, Self>) -> crate::Result<Vec<Self>>
        where
            Self: Element;

        /// [`relax::forward`](crate::cpu::relax::forward)
        fn relax(isa: Detected, u: MatRef<'_, Self>, beta: f64, out: MatMut<'_, Self>)
        where
            Self: Element;

        /// [`relax::backward`](crate::cpu::relax::backward)
        fn relax_backward(
            isa: Detected,
            u: MatRef<'_, Self>,
            beta: f64,
            grad: Option<MatRef<'_, Self>>,
            out: MatMut<'_, Self>,
        ) where
            Self: Element;

        /// [`codes::unpack`](crate::cpu::codes::unpack)
        fn unpack(isa: Detected, codes: CodesRef<'_>, out: MatMut<'_, Self>)
        where
            Self: Element;

        /// [`penalty::add_columns`](crate::cpu::penalty::add_columns)
        fn add_columns(isa: Detected, b: MatRef<'_, Self>, first: usize, sums: &mut [f64])
        where
            Self: Element;

        /// [`stats::add_distances`](crate::cpu::stats::add_distances)
        fn add_distances(isa: Detected, u: MatRef<'_, Self>, b: CodesRef<'_>, sums: &mut [f64])
        where
            Self: Element;

        /// [`stats::tally`](crate::cpu::stats::tally)
        fn tally(isa: Detected, u: MatRef<'_, Self>, bins: Bins, tallies: Tallies<'_>)
        where
            Self: Element;

        /// [`cosine::products`](crate::cpu::cosine::products)
        fn products(
            isa: Detected,
            x: MatRef<'_, Self>,
            rows: (usize, usize),
            scales: (f64, f64),
        ) -> [f64; 3]
        where
            Self: Element;

        /// [`cosine::write_gradients`](crate::cpu::cosine::write_gradients)
        fn write_gradients(
            isa: Detected,
            b: MatRef<'_, Self>,
            rows: (usize, usize),
            gradients: (Gradient, Gradient),
            out: (&mut [Self], &mut [Self]),
        ) where
            Self: Element;
    }

    /// What the CPU path needs of an element; not part of the public interface.
    pub trait Arithmetic:
        Vectorised
        + bytemuck::Pod
        + KeyLanes
        + Keyed<<Self as KeyLanes>::Small>
        + Keyed<<Self as KeyLanes>::Large>
        + Slotted
        + Loads
        + Reals<<Self as Arithmetic>::Real>
        + Signed<<Self as KeyLanes>::Small>
        + Signed<i8>
        + Signed<i32>
    {
        type Key: Key;
        type Real: Real;
        fn key(self) -> Self::Key;
        /// The canonical value of a key: +0 for zeros, the quiet NaN for NaN.
        fn from_key(key: Self::Key) -> Self;
        fn widen(self) -> Self::Real;
        fn narrow(value: Self::Real) -> Self;
        fn plus_or_minus_one(positive: bool) -> Self;
        fn above_zero(self) -> bool;
        fn nan() -> Self;
    }
}

macro_rules! ieee {
    ($float:ident, $uint:ident) => {
        impl Key for $uint {
            fn reversed(self) -> Self {
                !self
            }
        }

        impl Real for $float {
            const ONE: Self = 1.0;

            fn of(value: f64) -> Self {
                value as $float
            }

            #[inline(always)]
            fn to_f64(self) -> f64 {
                self.into()
            }

            #[inline(always)]
            fn tanh(self) -> Self {
                cpu::tanh::$float(self)
            }

            fn is_finite(self) -> bool {
                <$float>::is_finite(self)
            }
        }

        impl sealed::Arithmetic for $float {
            type Key = $uint;
            type Real = $float;

            // Negative values count down with their magnitude, so all their bits are flipped;
            // the others move above them by the sign bit.
            fn key(self) -> $uint {
                const SIGN: $uint = 1 << ($uint::BITS - 1);
                let bits = (self + 0.0).to_bits(); // -0 + 0 = +0
                let flipped = (bits >> ($uint::BITS - 1)).wrapping_neg() | SIGN;
                if self.is_nan() { $uint::MAX } else { bits ^ flipped }
            }

            fn from_key(key: $uint) -> Self {
                const SIGN: $uint = 1 << ($uint::BITS - 1);
                if key == $uint::MAX {
                    return $float::NAN;
                }
                $float::from_bits(if key & SIGN == 0 { !key } else { key & !SIGN })
            }

            fn widen(self) -> Self {
                self
            }

            fn narrow(value: Self) -> Self {
                value
            }

            #[inline(always)]
            fn plus_or_minus_one(positive: bool) -> Self {
                if positive { 1.0 } else { -1.0 }
            }

            #[inline(always)]
            fn above_zero(self) -> bool {
                self > 0.0
            }

            fn nan() -> Self {
                $float::NAN
            }
        }
    };
}

ieee!(f32, u32);
ieee!(f64, u64);

// Every 16-bit value is an `f32`, so it takes the `f32`'s key and arithmetic.
macro_rules! through_f32 {
    ($float:ident) => {
        impl sealed::Arithmetic for $float {
            type Key = u32;
            type Real = f32;

            fn key(self) -> u32 {
                self.to_f32().key()
            }

            fn from_key(key: u32) -> Self {
                <$float>::from_f32(f32::from_key(key))
            }

            fn widen(self) -> f32 {
                self.to_f32()
            }

            fn narrow(value: f32) -> Self {
                <$float>::from_f32(value)
            }

            #[inline(always)]
            fn plus_or_minus_one(positive: bool) -> Self {
                if positive { <$float>::ONE } else { <$float>::NEG_ONE }
            }

            // Bits of NaN lie above those of infinity. A comparison of floats would be one of `f32`.
            #[inline(always)]
            fn above_zero(self) -> bool {
                let bits = self.to_bits() as i16;
                bits > 0 && bits <= <$float>::INFINITY.to_bits() as i16
            }

            fn nan() -> Self {
                <$float>::NAN
            }
        }
    };
}

through_f32!(f16);
through_f32!(bf16);

macro_rules! vectorised {
    ($($float:ty),*) => {$(
        impl sealed::Vectorised for $float {
            fn select(
                isa: Detected,
                u: MatRef<'_, Self>,
                ones: usize,
                out: &mut Strip<'_, Self>,
                scratch: &mut [u64],
            ) {
                cpu::select::forward(isa, u, ones, out, scratch)
            }

            fn sort(
                isa: Detected,
                u: MatRef<'_, Self>,
                form: (Order, Form),
                out: MatMut<'_, u32>,
                scratch: &mut [u64],
            ) {
                cpu::rank::sort(isa, u, form, out, scratch)
            }

            fn pull(
                isa: Detected,
                u: MatRef<'_, Self>,
                b: Target<'_, Self>,
                grad: Option<MatRef<'_, Self>>,
                out: MatMut<'_, Self>,
                coefficient: <Self as sealed::Arithmetic>::Real,
            ) {
                cpu::pull::in_bands(isa, u, b, grad, out, coefficient)
            }

            fn sign(
                isa: Detected,
                u: MatRef<'_, Self>,
                shift: Option<&[Self]>,
                out: Outputs<'_, Self>,
            ) {
                cpu::sign::forward(isa, u, shift, out)
            }

            fn collect_signs(isa: Detected, u: MatRef<'_, Self>) -> crate::Result<Vec<Self>> {
                cpu::sign::collect(isa, u)
            }

            fn relax(
                isa: Detected,
                u: MatRef<'_, Self>,
                beta: f64,
                out: MatMut<'_, Self>,
            ) {
                cpu::relax::forward(isa, u, beta, out)
            }

            fn relax_backward(
                isa: Detected,
                u: MatRef<'_, Self>,
                beta: f64,
                grad: Option<MatRef<'_, Self>>,
                out: MatMut<'_, Self>,
            ) {
                cpu::relax::backward(isa, u, beta, grad, out)
            }

            fn unpack(
                isa: Detected,
                codes: CodesRef<'_>,
                out: MatMut<'_, Self>,
            ) {
                cpu::codes::unpack(isa, codes, out)
            }

            fn add_columns(
                isa: Detected,
                b: MatRef<'_, Self>,
                first: usize,
                sums: &mut [f64],
            ) {
                cpu::penalty::add_columns(isa, b, first, sums)
            }

            fn add_distances(
                isa: Detected,
                u: MatRef<'_, Self>,
                b: CodesRef<'_>,
                sums: &mut [f64],
            ) {
                cpu::stats::add_distances(isa, u, b, sums)
            }

            fn tally(
                isa: Detected,
                u: MatRef<'_, Self>,
                bins: Bins,
                tallies: Tallies<'_>,
            ) {
                cpu::stats::tally(isa, u, bins, tallies)
            }

            fn products(
                isa: Detected,
                x: MatRef<'_, Self>,
                rows: (usize, usize),
                scales: (f64, f64),
            ) -> [f64; 3] {
                cpu::cosine::products(isa, x, rows, scales)
            }

            fn write_gradients(
                isa: Detected,
                b: MatRef<'_, Self>,
                rows: (usize, usize),
                gradients: (Gradient, Gradient),
                out: (&mut [Self], &mut [Self]),
            ) {
                cpu::cosine::write_gradients(isa, b, rows, gradients, out)
            }
        }
    )*};
}

vectorised!(f32, f64, f16, bf16);

macro_rules! scalars {
    ($($scalar:ty),*) => {$(
        impl sealed::Sealed for $scalar {}
        impl Scalar for $scalar {}
    )*};
}

scalars!(f32, f64, f16, bf16, i8, u32);

impl sealed::Sealed for u64 {}

impl Scalar for u64 {
    fn as_words(words: &[u64]) -> Option<&[u64]> {
        Some(words)
    }
}

macro_rules! elements {
    ($($element:ident: $dtype:ident, $to:expr, $from:expr;)*) => {$(
        impl Element for $element {
            const DTYPE: DType = DType::$dtype;

            fn to_f64(self) -> f64 {
                $to(self)
            }

            fn from_f64(value: f64) -> Self {
                $from(value)
            }
        }
    )*};
}

// `half` drops low bits of an f64 before it rounds, which turns some values into ties; rounding to
// odd on the way keeps what they decide.
elements! {
    f32: F32, f64::from, |v| v as f32;
    f64: F64, |v| v, |v| v;
    f16: F16, f16::to_f64, |v| f16::from_f32(round_to_odd(v));
    bf16: Bf16, bf16::to_f64, |v| bf16::from_f32(round_to_odd(v));
}

/// The one of the two `f32`s around `value` whose last bit is 1; `value` itself where it is one.
/// Rounding the result to a type of at least two bits less rounds `value` correctly.
fn round_to_odd(value: f64) -> f32 {
    let nearest = value as f32;
    let back = f64::from(nearest);
    let bits = nearest.to_bits();
    if back == value || value.is_nan() || bits & 1 == 1 {
        return nearest;
    }
    // Bits grow with the magnitude: the other neighbour is one step towards `value`.
    f32::from_bits(if back.abs() > value.abs() { bits - 1 } else { bits + 1 })
}

#[cfg(test)]
mod tests {
    use super::Element;
    use super::sealed::Arithmetic;
    use half::{bf16, f16};

    /// Around every pair of neighbours: their midpoint goes to the even one, anything on either
    /// side of it, however near, to the nearer one.
    fn rounds_to_nearest_even<T: Element>(from_bits: impl Fn(u16) -> T, largest: u16) {
        for bits in 0..largest {
            let (below, above) = (from_bits(bits), from_bits(bits + 1));
            let middle = (below.to_f64() + above.to_f64()) / 2.0;
            let even = if bits % 2 == 0 { below } else { above };
            for sign in [1.0, -1.0] {
                let expect = |value: f64, expected: T| {
                    assert_eq!(
                        T::from_f64(sign * value).to_f64(),
                        sign * expected.to_f64(),
                        "{value:e}"
                    );
                };
                expect(below.to_f64(), below);
                expect(middle, even);
                expect(f64::from_bits(middle.to_bits() - 1), below);
                expect(f64::from_bits(middle.to_bits() + 1), above);
            }
        }
    }

    #[test]
    fn from_f64_rounds_to_the_nearest_ties_to_even() {
        rounds_to_nearest_even(f16::from_bits, f16::MAX.to_bits());
        rounds_to_nearest_even(bf16::from_bits, bf16::MAX.to_bits());
        assert!(f16::from_f64(f64::NAN).is_nan());
        assert_eq!(<f16 as Element>::from_f64(65520.0), f16::INFINITY);
        assert_eq!(<f16 as Element>::from_f64(65519.999), f16::MAX);
        assert_eq!(<bf16 as Element>::from_f64(1e300), bf16::INFINITY);
        assert_eq!(<bf16 as Element>::from_f64(-1e-300).to_bits(), 0x8000);
    }

    #[test]
    fn keys_follow_the_total_order_and_come_back() {
        let ascending = [
            f32::NEG_INFINITY,
            f32::MIN,
            -1.0,
            -f32::MIN_POSITIVE,
            -1e-45,
            0.0,
            1e-45,
            f32::MIN_POSITIVE,
            1.0,
            f32::MAX,
            f32::INFINITY,
            f32::NAN,
        ];
        for pair in ascending.windows(2) {
            assert!(pair[0].key() < pair[1].key(), "{pair:?}");
            assert!(f64::from(pair[0]).key() < f64::from(pair[1]).key(), "{pair:?}");
        }
        for value in ascending {
            assert_eq!(f32::from_key(value.key()).to_bits(), value.to_bits(), "{value}");
        }
        assert_eq!((-0.0f32).key(), 0.0f32.key());
        assert_eq!((-0.0f64).key(), 0.0f64.key());
        assert_eq!((-f32::NAN).key(), f32::from_bits(0x7f80_0001).key());
    }

    #[test]
    fn every_f16_comes_back_from_its_key() {
        for bits in 0..=u16::MAX {
            let value = f16::from_bits(bits);
            let back = f16::from_key(value.key());
            assert!(back == value || (back.is_nan() && value.is_nan()), "{bits:#06x}");
        }
    }
}
