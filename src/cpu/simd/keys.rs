//! Elements as signed integer keys, and back.
//!
//! An IEEE number is a sign and a magnitude, and magnitudes are ordered as integers. So the key is
//! the magnitude, negated for negative numbers: -0 and +0 both give 0. Every NaN gives the
//! greatest integer. No number gives the least one.

use super::{Floats, Isa, Of, Ordered, Vector};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use std::ops::BitOr;

/// A signed integer of one column.
pub trait Lane:
    bytemuck::Pod + Ord + Default + BitOr<Output = Self> + Send + Sync + std::fmt::Debug
{
    /// Its vector on an instruction set.
    type Vector<I: Isa>: Vector<Lane = Self, Isa = I, Register: Vector>;
    /// Less than any key.
    const MIN: Self;
    /// The key of NaN.
    const MAX: Self;
}

/// One that is the key of an element.
pub trait KeyLane: Lane {
    /// How many integers `to`, which is not less, lies behind.
    fn steps(self, to: Self) -> u64;
    /// The same number with the other sign.
    fn negated(self) -> Self;
    /// A number of the type.
    fn of(number: i16) -> Self;
    /// The same numbers.
    fn widen<I: Isa>(isa: I, lanes: I::I8) -> Of<I, Self>;
    /// The same numbers, which 16 bits hold.
    fn to_32<I: Isa>(isa: I, lanes: Of<I, Self>) -> I::I32;
}

macro_rules! lane {
    ($lane:ident, $vector:ident) => {
        impl Lane for $lane {
            type Vector<I: Isa> = I::$vector;
            const MIN: Self = $lane::MIN;
            const MAX: Self = $lane::MAX;
        }
    };
}

lane!(i8, I8);
lane!(i16, I16);
lane!(i32, I32);
lane!(i64, I64);

macro_rules! key {
    ($lane:ident, $vector:ident, $unsigned:ident;
     widen($from:pat_param, $narrow:ident) $widened:expr;
     to_32($to:pat_param, $lanes:ident) $numbers:expr) => {
        impl KeyLane for $lane {
            #[inline(always)]
            fn steps(self, to: Self) -> u64 {
                u64::from(to.wrapping_sub(self) as $unsigned)
            }
            #[inline(always)]
            fn negated(self) -> Self {
                self.wrapping_neg()
            }
            #[inline(always)]
            fn of(number: i16) -> Self {
                $lane::from(number)
            }
            #[inline(always)]
            fn widen<I: Isa>($from: I, $narrow: I::I8) -> I::$vector {
                $widened
            }
            #[inline(always)]
            fn to_32<I: Isa>($to: I, $lanes: I::$vector) -> I::I32 {
                $numbers
            }
        }
    };
}

key!(i16, I16, u16; widen(isa, lanes) isa.widen_8(lanes); to_32(isa, lanes) isa.widen(lanes));
key!(i32, I32, u32; widen(isa, lanes) isa.widen_8_to_32(lanes); to_32(_, lanes) lanes);
key!(i64, I64, u64;
    widen(isa, lanes) isa.widen_64(isa.widen_8(lanes));
    to_32(isa, lanes) isa.widen(isa.narrow_64(lanes)));

/// The key types of an element type.
pub trait KeyLanes {
    /// The narrowest key.
    type Small: KeyLane;
    /// A key of 32 bits or more, whose lanes can be shifted.
    type Large: KeyLane;
}

/// An element with a key of type `K`.
pub trait Keyed<K: KeyLane>: Copy {
    /// The keys of the first elements of a slice.
    fn keys<I: Isa>(isa: I, from: &[Self]) -> Of<I, K>;
    /// The key.
    fn to_key(self) -> K;
    /// The canonical value of a key: +0 for zeros, the quiet NaN for NaN.
    fn of_key(key: K) -> Self;
}

/// An element as sorting networks take it.
pub trait Slotted: KeyLanes + Copy {
    /// What is sorted of one column: floats by themselves, 16 bits by their keys.
    type Slot: Copy;
    /// A vector of them. Comparisons give masks over the narrowest key.
    type Slots<I: Isa>: Ordered<Lane = Self::Slot, Isa = I, Mask = Of<I, Self::Small>>;
    /// No element is less.
    const LEAST: Self::Slot;
    /// No element is greater but NaN.
    const GREATEST: Self::Slot;

    /// The first elements of a slice; where they are floats, +inf for NaN.
    fn slots<I: Isa>(isa: I, from: &[Self]) -> Self::Slots<I>;
    /// Their keys.
    fn keys_of<I: Isa>(isa: I, slots: Self::Slots<I>) -> Of<I, Self::Small>;
}

macro_rules! slots_are_floats {
    ($float:ident, $lane:ident, $vector:ident) => {
        impl Slotted for $float {
            type Slot = $float;
            type Slots<I: Isa> = I::$vector;
            const LEAST: $float = $float::NEG_INFINITY;
            const GREATEST: $float = $float::INFINITY;

            #[inline(always)]
            fn slots<I: Isa>(isa: I, from: &[Self]) -> I::$vector {
                I::$vector::load(isa, from).min(Ordered::splat(isa, Self::INFINITY))
            }
            #[inline(always)]
            fn keys_of<I: Isa>(isa: I, slots: I::$vector) -> Of<I, $lane> {
                keys_of_bits(isa, slots.bits(), $float::INFINITY.to_bits() as $lane, $lane::MAX)
            }
        }
    };
}

slots_are_floats!(f32, i32, F32);
slots_are_floats!(f64, i64, F64);

macro_rules! slots_are_keys {
    ($float:ident) => {
        impl Slotted for $float {
            type Slot = i16;
            type Slots<I: Isa> = I::I16;
            const LEAST: i16 = i16::MIN;
            const GREATEST: i16 = i16::MAX;

            #[inline(always)]
            fn slots<I: Isa>(isa: I, from: &[Self]) -> I::I16 {
                <Self as Keyed<i16>>::keys(isa, from)
            }
            #[inline(always)]
            fn keys_of<I: Isa>(_: I, slots: I::I16) -> I::I16 {
                slots
            }
        }
    };
}

slots_are_keys!(f16);
slots_are_keys!(bf16);

/// Keys of lanes that hold the bits of floats with this infinity; `nan` is the key of NaN.
#[inline(always)]
fn keys_of_bits<I: Isa, V: Vector<Isa = I>>(isa: I, bits: V, infinity: V::Lane, nan: V::Lane) -> V {
    let magnitude = bits.and(V::splat(isa, V::Lane::MAX));
    let is_nan = magnitude.gt(V::splat(isa, infinity));
    is_nan.select(V::splat(isa, nan), magnitude.negate_where_negative(bits))
}

/// The same of one lane of a type.
macro_rules! key_of_bits {
    ($lane:ident, $bits:expr, $infinity:expr, $nan:expr) => {{
        let bits: $lane = $bits;
        let magnitude = bits & $lane::MAX;
        let key = if bits < 0 { -magnitude } else { magnitude };
        if magnitude > $infinity { $nan } else { key }
    }};
}

/// Keys of `f32`s.
#[inline(always)]
pub(crate) fn keys_of<I: Isa>(isa: I, floats: I::F32) -> I::I32 {
    <f32 as Slotted>::keys_of(isa, floats)
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
                let bits = Ordered::load(isa, bytemuck::cast_slice(from));
                keys_of_bits(isa, bits, $float::INFINITY.to_bits() as $lane, $lane::MAX)
            }
            #[inline(always)]
            fn to_key(self) -> $lane {
                let infinity = $float::INFINITY.to_bits() as $lane;
                key_of_bits!($lane, self.to_bits() as $lane, infinity, $lane::MAX)
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
                let bits = Ordered::load(isa, bytemuck::cast_slice(from.reinterpret_cast()));
                keys_of_bits(isa, bits, $float::INFINITY.to_bits() as i16, i16::MAX)
            }
            #[inline(always)]
            fn to_key(self) -> i16 {
                let infinity = $float::INFINITY.to_bits() as i16;
                key_of_bits!(i16, self.to_bits() as i16, infinity, i16::MAX)
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
            fn to_key(self) -> i32 {
                i32::from(<Self as Keyed<i16>>::to_key(self)) << 16
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
