//! Elements as signed integer keys, and back.
//!
//! An IEEE number is a sign and a magnitude, and magnitudes are ordered as integers. So the key is
//! the magnitude, negated for negative numbers: -0 and +0 both give 0. Every NaN gives the
//! greatest integer. No number gives the least one.

use super::{Isa, Of, Vector};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

/// A key of one column: a signed integer, and the arithmetic of a search between two keys.
pub trait Lane: bytemuck::Pod + Ord + Default + Send + Sync + std::fmt::Debug {
    /// Its vector on an instruction set.
    type Vector<I: Isa>: Vector<Lane = Self, Isa = I>;
    /// Lanes of a vector.
    const LANES: usize = 32 / size_of::<Self>();
    /// Less than any key.
    const MIN: Self;
    /// The key of NaN.
    const MAX: Self;

    /// The key as a number, for interpolation by place.
    fn place(self) -> f64;
    /// The nearest integer of the type.
    fn from_place(place: f64) -> Self;
    /// The number that the key stands for, up to a factor, for interpolation by value.
    fn value(self) -> f64;
    /// The key of a number like those that `value` gives.
    fn from_value(value: f64) -> Self;
    /// The integer before; wrapping.
    fn before(self) -> Self;
    /// The integer behind; wrapping.
    fn behind(self) -> Self;
    /// A count that was kept in a lane, less than 2^32 (less than 2^15 in 16 bits).
    fn count(self) -> u32;
    /// A small count as a lane.
    fn of_count(count: u32) -> Self;
}

/// The float whose magnitude and sign a key has.
macro_rules! float_of {
    ($float:ident, $lane:ident, $key:expr) => {{
        let key: $lane = $key;
        let sign = key & $lane::MIN;
        $float::from_bits((key.wrapping_abs() | sign) as _)
    }};
}
/// Between a key of 32 or 64 bits and its float.
macro_rules! lane {
    ($lane:ident, $float:ident, $vector:ident, $unsigned:ident) => {
        impl Lane for $lane {
            type Vector<I: Isa> = I::$vector;
            const MIN: Self = $lane::MIN;
            const MAX: Self = $lane::MAX;

            #[inline(always)]
            fn place(self) -> f64 {
                self as f64
            }
            #[inline(always)]
            fn from_place(place: f64) -> Self {
                place as $lane
            }
            #[inline(always)]
            fn value(self) -> f64 {
                f64::from(float_of!($float, $lane, self))
            }
            #[inline(always)]
            fn from_value(value: f64) -> Self {
                let bits = (value as $float).to_bits() as $lane;
                if bits < 0 { -(bits & $lane::MAX) } else { bits }
            }
            #[inline(always)]
            fn before(self) -> Self {
                self.wrapping_sub(1)
            }
            #[inline(always)]
            fn behind(self) -> Self {
                self.wrapping_add(1)
            }
            #[inline(always)]
            fn count(self) -> u32 {
                self as $unsigned as u32
            }
            #[inline(always)]
            fn of_count(count: u32) -> Self {
                count as $lane
            }
        }
    };
}

lane!(i32, f32, I32, u32);
lane!(i64, f64, I64, u64);

// Only sorting networks have keys of 16 bits, and these search nothing.
impl Lane for i16 {
    type Vector<I: Isa> = I::I16;
    const MIN: Self = i16::MIN;
    const MAX: Self = i16::MAX;

    fn place(self) -> f64 {
        f64::from(self)
    }
    fn from_place(place: f64) -> Self {
        place as i16
    }
    fn value(self) -> f64 {
        f64::from(self)
    }
    fn from_value(value: f64) -> Self {
        value as i16
    }
    fn before(self) -> Self {
        self.wrapping_sub(1)
    }
    fn behind(self) -> Self {
        self.wrapping_add(1)
    }
    fn count(self) -> u32 {
        u32::from(self as u16)
    }
    fn of_count(count: u32) -> Self {
        count as i16
    }
}

/// The key types of an element type.
pub trait KeyLanes {
    /// The narrowest key: for sorting networks.
    type Small: Lane;
    /// A key of 32 bits or more: for counts of any number of rows.
    type Large: Lane;
}

/// An element with a key of type `K`.
pub trait Keyed<K: Lane>: Copy {
    /// The keys of the first elements of a slice.
    fn keys<I: Isa>(isa: I, from: &[Self]) -> Of<I, K>;
    /// +1 where the mask is set, else -1, to the first places of a slice.
    fn write_signs<I: Isa>(isa: I, mask: Of<I, K>, to: &mut [Self]);
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

/// The bits of +1 where the mask is set, else those of -1.
#[inline(always)]
fn signs<I: Isa, V: Vector<Isa = I>>(isa: I, mask: V, one: V::Lane, minus_one: V::Lane) -> V {
    mask.select(V::splat(isa, one), V::splat(isa, minus_one))
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
            fn write_signs<I: Isa>(isa: I, mask: Of<I, $lane>, to: &mut [Self]) {
                const ONE: $lane = (1.0 as $float).to_bits() as $lane;
                let to = bytemuck::cast_slice_mut(to);
                let signs = signs(isa, mask, ONE, ONE | $lane::MIN);
                signs.store(to);
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

// A wide key of a 16-bit type is its narrow one times a power of two, such that it is the key of an
// f32 that is proportional to the value: the exponents then lie in the same place.
macro_rules! keyed_by_16_bits {
    ($float:ident, $shift:literal) => {
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
            fn write_signs<I: Isa>(isa: I, mask: Of<I, i16>, to: &mut [Self]) {
                const ONE: i16 = $float::ONE.to_bits() as i16;
                let to = bytemuck::cast_slice_mut(to.reinterpret_cast_mut());
                signs(isa, mask, ONE, ONE | i16::MIN).store(to);
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
                let keys = keys_of_bits(isa, bits, infinity, i32::from(i16::MAX) << 16);
                if $shift == 13 { keys.shr3() } else { keys }
            }
            #[inline(always)]
            fn write_signs<I: Isa>(isa: I, mask: Of<I, i32>, to: &mut [Self]) {
                const ONE: i32 = ($float::ONE.to_bits() as i32) << 16;
                isa.store_upper(signs(isa, mask, ONE, ONE | i32::MIN), to.reinterpret_cast_mut());
            }
            #[inline(always)]
            fn of_key(key: i32) -> Self {
                <Self as Keyed<i16>>::of_key((key >> $shift) as i16)
            }
        }
    };
}

keyed_by_16_bits!(f16, 13);
keyed_by_16_bits!(bf16, 16);
