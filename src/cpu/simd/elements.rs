//! Elements as floats of a vector, and signs as elements.

use super::{Floats, Isa, LANES, Lane, Of, Ordered, Rows, Store, Vector};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

/// An element that can be read as `f32`.
pub trait Loads: Copy {
    /// The first elements of a slice as `f32`; of an `f64` the nearest one, so that the order stays
    /// but different values may become equal.
    fn floats<I: Isa>(isa: I, from: &[Self]) -> I::F32;

    /// Which of the first elements are greater than 0, a bit each.
    fn positive<I: Isa>(isa: I, from: &[Self]) -> u32;

    /// Whether different values stay different.
    const EXACT: bool = true;

    /// Rows of `f32`, if that is what they are.
    #[inline(always)]
    fn as_floats(_: Rows<'_, Self>) -> Option<Rows<'_, f32>> {
        None
    }
}

impl Loads for f32 {
    #[inline(always)]
    fn as_floats(rows: Rows<'_, Self>) -> Option<Rows<'_, f32>> {
        Some(rows)
    }

    #[inline(always)]
    fn floats<I: Isa>(isa: I, from: &[Self]) -> I::F32 {
        Ordered::load(isa, from)
    }

    #[inline(always)]
    fn positive<I: Isa>(isa: I, from: &[Self]) -> u32 {
        I::F32::load(isa, from).gt(Ordered::splat(isa, 0.0)).bits()
    }
}

impl Loads for f64 {
    #[inline(always)]
    fn floats<I: Isa>(isa: I, from: &[Self]) -> I::F32 {
        isa.narrow_f64(from)
    }

    #[inline(always)]
    fn positive<I: Isa>(isa: I, from: &[Self]) -> u32 {
        I::F64::load(isa, from).gt(Ordered::splat(isa, 0.0)).bits()
    }

    const EXACT: bool = false;
}

impl Loads for f16 {
    #[inline(always)]
    fn floats<I: Isa>(isa: I, from: &[Self]) -> I::F32 {
        isa.widen_f16(from)
    }

    #[inline(always)]
    fn positive<I: Isa>(isa: I, from: &[Self]) -> u32 {
        positive_16(isa, from.reinterpret_cast(), f16::INFINITY.to_bits())
    }
}

impl Loads for bf16 {
    #[inline(always)]
    fn floats<I: Isa>(isa: I, from: &[Self]) -> I::F32 {
        Floats::of_bits(isa.load_upper(from.reinterpret_cast()))
    }

    #[inline(always)]
    fn positive<I: Isa>(isa: I, from: &[Self]) -> u32 {
        positive_16(isa, from.reinterpret_cast(), bf16::INFINITY.to_bits())
    }
}

/// Bits of 16-bit floats from the least above 0 to this infinity: what lies above are NaN.
#[inline(always)]
fn positive_16<I: Isa>(isa: I, bits: &[u16], infinity: u16) -> u32 {
    let bits = I::I16::load(isa, bytemuck::cast_slice(bits));
    let is_nan = bits.gt(Ordered::splat(isa, infinity as i16));
    bits.gt(Ordered::splat(isa, 0)).without(is_nan).bits()
}

/// A type that is calculated with.
pub trait FloatLane: Copy {
    /// Its vector on an instruction set.
    type Vector<I: Isa>: Floats<Lane = Self, Isa = I>;
    /// The same values as `f64`.
    fn doubles<I: Isa>(isa: I, values: Self::Vector<I>) -> I::F64;
    /// The sum and the product of two values as `f64`, which is rounded once or, where the product
    /// is exact, as well twice.
    fn add_product<I: Isa>(sum: I::F64, left: I::F64, right: I::F64) -> I::F64;
}

impl FloatLane for f32 {
    type Vector<I: Isa> = I::F32;

    #[inline(always)]
    fn doubles<I: Isa>(isa: I, values: I::F32) -> I::F64 {
        isa.widen_f32(values)
    }

    #[inline(always)]
    fn add_product<I: Isa>(sum: I::F64, left: I::F64, right: I::F64) -> I::F64 {
        left.scale(right, sum)
    }
}

impl FloatLane for f64 {
    type Vector<I: Isa> = I::F64;

    #[inline(always)]
    fn doubles<I: Isa>(_: I, values: I::F64) -> I::F64 {
        values
    }

    #[inline(always)]
    fn add_product<I: Isa>(sum: I::F64, left: I::F64, right: I::F64) -> I::F64 {
        sum.add(left.mul(right))
    }
}

/// An element that is calculated with in `R`.
pub trait Reals<R: FloatLane>: Copy {
    /// The first elements of a slice.
    fn load<I: Isa>(isa: I, from: &[Self]) -> R::Vector<I>;
    /// Rounds, to the first places of a slice.
    fn store<I: Isa>(isa: I, store: impl Store, values: R::Vector<I>, to: &mut [Self]);
}

macro_rules! reals_as_they_are {
    ($float:ident, $vector:ident) => {
        impl Reals<Self> for $float {
            #[inline(always)]
            fn load<I: Isa>(isa: I, from: &[Self]) -> I::$vector {
                Ordered::load(isa, from)
            }
            #[inline(always)]
            fn store<I: Isa>(_: I, store: impl Store, values: I::$vector, to: &mut [Self]) {
                store.store(values, to);
            }
        }
    };
}

reals_as_they_are!(f32, F32);
reals_as_they_are!(f64, F64);

impl Reals<f32> for f16 {
    #[inline(always)]
    fn load<I: Isa>(isa: I, from: &[Self]) -> I::F32 {
        Loads::floats(isa, from)
    }
    #[inline(always)]
    fn store<I: Isa>(isa: I, _: impl Store, values: I::F32, to: &mut [Self]) {
        isa.narrow_f16(values, to);
    }
}

impl Reals<f32> for bf16 {
    #[inline(always)]
    fn load<I: Isa>(isa: I, from: &[Self]) -> I::F32 {
        Loads::floats(isa, from)
    }
    #[inline(always)]
    fn store<I: Isa>(_: I, _: impl Store, values: I::F32, to: &mut [Self]) {
        // Simple enough for the compiler to do in vectors.
        let mut lanes = [0.0; LANES];
        values.store(&mut lanes);
        *to.first_chunk_mut().expect("a vector's lanes") = lanes.map(bf16::from_f32);
    }
}

/// An element that masks over `K` can be written as.
pub trait Signed<K: Lane>: Copy {
    /// -1 where the mask is set, else +1, to the first places of a slice.
    fn write_less<I: Isa>(isa: I, store: impl Store, less: Of<I, K>, to: &mut [Self]);
}

/// One, given by its bits, with a sign where a mask is set.
#[inline(always)]
pub(super) fn signs<I: Isa, V: Vector<Isa = I>>(isa: I, less: V, one: V::Lane) -> V {
    less.and(V::splat(isa, V::Lane::MIN)).or(V::splat(isa, one))
}

macro_rules! signed_by_own_bits {
    ($float:ident, $lane:ident) => {
        impl Signed<$lane> for $float {
            #[inline(always)]
            fn write_less<I: Isa>(isa: I, store: impl Store, less: Of<I, $lane>, to: &mut [Self]) {
                const ONE: $lane = (1.0 as $float).to_bits() as $lane;
                store.store(signs(isa, less, ONE), bytemuck::cast_slice_mut(to));
            }
        }
    };
}

signed_by_own_bits!(f32, i32);
signed_by_own_bits!(f64, i64);

macro_rules! signed_by_16_bits {
    ($float:ident) => {
        impl Signed<i16> for $float {
            #[inline(always)]
            fn write_less<I: Isa>(isa: I, store: impl Store, less: I::I16, to: &mut [Self]) {
                const ONE: i16 = $float::ONE.to_bits() as i16;
                let to = bytemuck::cast_slice_mut(to.reinterpret_cast_mut());
                store.store(signs(isa, less, ONE), to);
            }
        }
    };
}

signed_by_16_bits!(f16);
signed_by_16_bits!(bf16);

/// By masks of another size.
macro_rules! signed_by {
    ($($float:ident: $mask:ident as $own:ident, $isa:ident, $less:ident: $own_less:expr;)*) => {$(
        impl Signed<$mask> for $float {
            #[inline(always)]
            fn write_less<I: Isa>($isa: I, store: impl Store, $less: Of<I, $mask>, to: &mut [Self]) {
                <Self as Signed<$own>>::write_less($isa, store, $own_less, to);
            }
        }
    )*};
}

signed_by! {
    f32: i8 as i32, isa, less: isa.widen_8_to_32(less);
    f64: i8 as i64, isa, less: isa.widen_64(isa.widen_8(less));
    f16: i8 as i16, isa, less: isa.widen_8(less);
    bf16: i8 as i16, isa, less: isa.widen_8(less);
    f64: i32 as i64, isa, less: isa.widen_64(isa.narrow(less));
    f16: i32 as i16, isa, less: isa.narrow(less);
    bf16: i32 as i16, isa, less: isa.narrow(less);
}
