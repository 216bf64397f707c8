//! Elements as signed integer keys, and back.
//!
//! An IEEE number is a sign and a magnitude, and magnitudes are ordered as integers. So the key is
//! the magnitude, negated for negative numbers: -0 and +0 both give 0. Every NaN gives the
//! greatest integer. No number gives the least one.

use super::{Floats, Isa, Of, Vector};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

/// A key of one column: a signed integer.
pub trait Lane: bytemuck::Pod + Ord + Default + Send + Sync + std::fmt::Debug {
    /// Its vector on an instruction set.
    type Vector<I: Isa>: Vector<Lane = Self, Isa = I>;
    /// Lanes of a vector.
    const LANES: usize = 32 / size_of::<Self>();
    /// Less than any key.
    const MIN: Self;
    /// The key of NaN.
    const MAX: Self;

    /// How many integers `to`, which is not less, lies behind.
    fn steps(self, to: Self) -> u64;
    /// A number of the type.
    fn of(number: i16) -> Self;
    /// Numbers that are not negative, to the first places of a slice.
    fn store_as_u32<I: Isa>(isa: I, numbers: Of<I, Self>, to: &mut [u32]);
}

macro_rules! lane {
    ($lane:ident, $vector:ident, $unsigned:ident, $store_as_u32:expr) => {
        impl Lane for $lane {
            type Vector<I: Isa> = I::$vector;
            const MIN: Self = $lane::MIN;
            const MAX: Self = $lane::MAX;

            #[inline(always)]
            fn steps(self, to: Self) -> u64 {
                u64::from(to.wrapping_sub(self) as $unsigned)
            }
            #[inline(always)]
            fn of(number: i16) -> Self {
                $lane::from(number)
            }
            #[inline(always)]
            fn store_as_u32<I: Isa>(isa: I, numbers: I::$vector, to: &mut [u32]) {
                $store_as_u32(isa, numbers, to)
            }
        }
    };
}

lane!(i16, I16, u16, |isa: I, numbers, to: &mut [u32]| {
    let [low, high] = isa.widen(numbers);
    let to: &mut [i32; 16] = bytemuck::cast_slice_mut(to).first_chunk_mut().expect("16 places");
    low.store(&mut to[..8]);
    high.store(&mut to[8..]);
});
lane!(i32, I32, u32, |_, numbers: I::I32, to| numbers.store(bytemuck::cast_slice_mut(to)));
lane!(i64, I64, u64, |_, numbers: I::I64, to: &mut [u32]| {
    let mut lanes = [0; 4];
    numbers.store(&mut lanes);
    *to.first_chunk_mut().expect("4 places") = lanes.map(|lane| lane as u32);
});

/// The key types of an element type.
pub trait KeyLanes {
    /// The narrowest key.
    type Small: Lane;
    /// A key of 32 bits or more, whose lanes can be shifted.
    type Large: Lane;
}

/// An element with a key of type `K`.
pub trait Keyed<K: Lane>: Copy {
    /// The keys of the first elements of a slice.
    fn keys<I: Isa>(isa: I, from: &[Self]) -> Of<I, K>;
    /// The canonical value of a key: +0 for zeros, the quiet NaN for NaN.
    fn of_key(key: K) -> Self;
}

/// Keys of lanes that hold the bits of floats with this infinity; `nan` is the key of NaN.
#[inline(always)]
fn keys_of_bits<I: Isa, V: Vector<Isa = I>>(isa: I, bits: V, infinity: V::Lane, nan: V::Lane) -> V {
    let magnitude = bits.and(V::splat(isa, V::Lane::MAX));
    let is_nan = magnitude.gt(V::splat(isa, infinity));
    is_nan.select(V::splat(isa, nan), magnitude.negate_where_negative(bits))
}

/// Keys of `f32`s.
#[inline(always)]
pub(crate) fn keys_of<I: Isa>(isa: I, floats: I::F32) -> I::I32 {
    keys_of_bits(isa, floats.bits(), f32::INFINITY.to_bits() as i32, i32::MAX)
}

/// The `f32`s that have these keys.
#[inline(always)]
pub(crate) fn floats_of<I: Isa>(isa: I, keys: I::I32) -> I::F32 {
    let sign = keys.and(Vector::splat(isa, i32::MIN));
    Floats::of_bits(keys.negate_where_negative(keys).or(sign))
}

/// The float whose magnitude and sign a key has.
macro_rules! float_of {
    ($float:ident, $lane:ident, $key:expr) => {{
        let key: $lane = $key;
        let sign = key & $lane::MIN;
        $float::from_bits((key.wrapping_abs() | sign) as _)
    }};
}

macro_rules! keyed_by_own_bits {
    ($float:ident, $lane:ident) => {
        impl KeyLanes for $float {
            type Small = $lane;
            type Large = $lane;
        }

        impl Keyed<$lane> for $float {
            #[inline(always)]
            fn keys<I: Isa>(isa: I, from: &[Self]) -> Of<I, $lane> {
                let bits = Vector::load(isa, bytemuck::cast_slice(from));
                keys_of_bits(isa, bits, $float::INFINITY.to_bits() as $lane, $lane::MAX)
            }
            #[inline(always)]
            fn of_key(key: $lane) -> Self {
                if key == $lane::MAX { $float::NAN } else { float_of!($float, $lane, key) }
            }
        }
    };
}

keyed_by_own_bits!(f32, i32);
keyed_by_own_bits!(f64, i64);

// A wide key of a 16-bit type is its narrow one in the upper half.
macro_rules! keyed_by_16_bits {
    ($float:ident) => {
        impl KeyLanes for $float {
            type Small = i16;
            type Large = i32;
        }

        impl Keyed<i16> for $float {
            #[inline(always)]
            fn keys<I: Isa>(isa: I, from: &[Self]) -> Of<I, i16> {
                let bits = Vector::load(isa, bytemuck::cast_slice(from.reinterpret_cast()));
                keys_of_bits(isa, bits, $float::INFINITY.to_bits() as i16, i16::MAX)
            }
            #[inline(always)]
            fn of_key(key: i16) -> Self {
                let sign = key & i16::MIN;
                if key == i16::MAX {
                    return $float::NAN;
                }
                $float::from_bits((key.wrapping_abs() | sign) as u16)
            }
        }

        impl Keyed<i32> for $float {
            #[inline(always)]
            fn keys<I: Isa>(isa: I, from: &[Self]) -> Of<I, i32> {
                let bits = isa.load_upper(from.reinterpret_cast());
                let infinity = i32::from($float::INFINITY.to_bits()) << 16;
                keys_of_bits(isa, bits, infinity, i32::from(i16::MAX) << 16)
            }
            #[inline(always)]
            fn of_key(key: i32) -> Self {
                <Self as Keyed<i16>>::of_key((key >> 16) as i16)
            }
        }
    };
}

keyed_by_16_bits!(f16);
keyed_by_16_bits!(bf16);
