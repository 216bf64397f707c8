//! Elements as `f32` and signs as elements.

use super::{Cached, Floats, Isa, Lane, Of, Store, Vector};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

/// An element that can be read as `f32`.
pub trait Loads: Copy {
    /// The first 8 elements of a slice as `f32`; of an `f64` the nearest one, so that the order stays
    /// but different values may become equal.
    fn floats<I: Isa>(isa: I, from: &[Self]) -> I::F32;

    /// Whether different values stay different.
    const EXACT: bool = true;
}

impl Loads for f32 {
    #[inline(always)]
    fn floats<I: Isa>(isa: I, from: &[Self]) -> I::F32 {
        Floats::load(isa, from)
    }
}

impl Loads for f64 {
    #[inline(always)]
    fn floats<I: Isa>(isa: I, from: &[Self]) -> I::F32 {
        isa.narrow_f64(from)
    }

    const EXACT: bool = false;
}

impl Loads for f16 {
    #[inline(always)]
    fn floats<I: Isa>(isa: I, from: &[Self]) -> I::F32 {
        isa.widen_f16(from)
    }
}

impl Loads for bf16 {
    #[inline(always)]
    fn floats<I: Isa>(isa: I, from: &[Self]) -> I::F32 {
        Floats::of_bits(isa.load_upper(from.reinterpret_cast()))
    }
}

/// An element that is calculated with in `R`, eight at a time. Arrays, not vectors: what is done with
/// them is simple enough for the compiler.
pub trait Reals<R>: Copy {
    /// The first 8 elements of a slice.
    fn widen_eight<I: Isa>(isa: I, from: &[Self]) -> [R; 8];
    /// +1 where a bit is set, else -1.
    fn signs_of<I: Isa>(isa: I, bits: u8) -> [R; 8];
    /// Rounds, to the first 8 places of a slice.
    fn narrow_eight<I: Isa>(isa: I, values: [R; 8], to: &mut [Self]);
}

#[inline(always)]
fn signs_of<I: Isa>(isa: I, bits: u8) -> [f32; 8] {
    let each = I::I32::load(isa, &[1, 2, 4, 8, 16, 32, 64, 128]);
    let is_set = each.and(Vector::splat(isa, bits.into())).eq(each);
    let mut values = [0.0; 8];
    <f32 as Signed<i32>>::write_signs(isa, Cached, is_set, &mut values);
    values
}

macro_rules! reals_as_they_are {
    ($float:ident) => {
        impl Reals<Self> for $float {
            #[inline(always)]
            fn widen_eight<I: Isa>(_: I, from: &[Self]) -> [Self; 8] {
                *from.first_chunk().expect("8 elements")
            }
            #[inline(always)]
            fn signs_of<I: Isa>(isa: I, bits: u8) -> [Self; 8] {
                signs_of(isa, bits).map(Self::from)
            }
            #[inline(always)]
            fn narrow_eight<I: Isa>(_: I, values: [Self; 8], to: &mut [Self]) {
                *to.first_chunk_mut().expect("8 places") = values;
            }
        }
    };
}

reals_as_they_are!(f32);
reals_as_they_are!(f64);

#[inline(always)]
fn widen_eight<I: Isa, T: Loads>(isa: I, from: &[T]) -> [f32; 8] {
    let mut values = [0.0; 8];
    T::floats(isa, from).store(&mut values);
    values
}

impl Reals<f32> for f16 {
    #[inline(always)]
    fn widen_eight<I: Isa>(isa: I, from: &[Self]) -> [f32; 8] {
        widen_eight(isa, from)
    }
    #[inline(always)]
    fn signs_of<I: Isa>(isa: I, bits: u8) -> [f32; 8] {
        signs_of(isa, bits)
    }
    #[inline(always)]
    fn narrow_eight<I: Isa>(isa: I, values: [f32; 8], to: &mut [Self]) {
        isa.narrow_f16(Floats::load(isa, &values), to);
    }
}

impl Reals<f32> for bf16 {
    #[inline(always)]
    fn widen_eight<I: Isa>(isa: I, from: &[Self]) -> [f32; 8] {
        widen_eight(isa, from)
    }
    #[inline(always)]
    fn signs_of<I: Isa>(isa: I, bits: u8) -> [f32; 8] {
        signs_of(isa, bits)
    }
    #[inline(always)]
    fn narrow_eight<I: Isa>(_: I, values: [f32; 8], to: &mut [Self]) {
        *to.first_chunk_mut().expect("8 places") = values.map(bf16::from_f32);
    }
}

/// An element that masks over `K` can be written as.
pub trait Signed<K: Lane>: Copy {
    /// +1 where the mask is set, else -1, to the first places of a slice.
    fn write_signs<I: Isa>(isa: I, store: impl Store, mask: Of<I, K>, to: &mut [Self]);
}

/// An element that masks of 16 columns, over lanes of 32 bits, can be written as.
pub trait Less: Signed<i16> {
    /// -1 where a mask is set, else +1, to the first places of a slice.
    #[inline(always)]
    fn write_less<I: Isa>(isa: I, store: impl Store, less: [I::I32; 2], to: &mut [Self]) {
        let others = isa.narrow(less).eq(I::I16::splat(isa, 0));
        Self::write_signs(isa, store, others, to);
    }
}

impl Less for f64 {}
impl Less for f16 {}
impl Less for bf16 {}

impl Less for f32 {
    #[inline(always)]
    fn write_less<I: Isa>(isa: I, store: impl Store, less: [I::I32; 2], to: &mut [Self]) {
        const ONE: i32 = 1f32.to_bits() as i32;
        let to: &mut [i32; 16] = bytemuck::cast_slice_mut(to).first_chunk_mut().expect("16 places");
        let [low, high] = less.map(|less| signs(isa, less, ONE | i32::MIN, ONE));
        store.store(low, &mut to[..8]);
        store.store(high, &mut to[8..]);
    }
}

/// A value where the mask is set, else another one.
#[inline(always)]
fn signs<I: Isa, V: Vector<Isa = I>>(isa: I, mask: V, yes: V::Lane, no: V::Lane) -> V {
    mask.select(V::splat(isa, yes), V::splat(isa, no))
}

macro_rules! signed_by_own_bits {
    ($float:ident, $lane:ident) => {
        impl Signed<$lane> for $float {
            #[inline(always)]
            fn write_signs<I: Isa>(isa: I, store: impl Store, mask: Of<I, $lane>, to: &mut [Self]) {
                const ONE: $lane = (1.0 as $float).to_bits() as $lane;
                store.store(signs(isa, mask, ONE, ONE | $lane::MIN), bytemuck::cast_slice_mut(to));
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
            fn write_signs<I: Isa>(isa: I, store: impl Store, mask: I::I16, to: &mut [Self]) {
                const ONE: i16 = $float::ONE.to_bits() as i16;
                let to = bytemuck::cast_slice_mut(to.reinterpret_cast_mut());
                store.store(signs(isa, mask, ONE, ONE | i16::MIN), to);
            }
        }
    };
}

signed_by_16_bits!(f16);
signed_by_16_bits!(bf16);

impl Signed<i16> for f32 {
    /// The lower half of +1 and -1 is 0.
    #[inline(always)]
    fn write_signs<I: Isa>(isa: I, store: impl Store, mask: I::I16, to: &mut [Self]) {
        const ONE: i16 = (1f32.to_bits() >> 16) as i16;
        let to: &mut [i32; 16] = bytemuck::cast_slice_mut(to).first_chunk_mut().expect("16 places");
        let [low, high] = isa.upper(signs(isa, mask, ONE, ONE | i16::MIN));
        store.store(low, &mut to[..8]);
        store.store(high, &mut to[8..]);
    }
}

impl Signed<i16> for f64 {
    #[inline(always)]
    fn write_signs<I: Isa>(isa: I, store: impl Store, mask: I::I16, to: &mut [Self]) {
        let mut lanes = [0; 16];
        mask.store(&mut lanes);
        for (to, lanes) in to[..16].chunks_exact_mut(4).zip(lanes.chunks_exact(4)) {
            <Self as Signed<i64>>::write_signs(isa, store, I::I64::load_narrow(isa, lanes), to);
        }
    }
}
