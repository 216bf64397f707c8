//! A vector of two halves: of as many registers as the lanes take.

use super::{Floats, Ordered, Vector};

/// The lower lanes and the upper ones.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Two<V>(pub V, pub V);

// SAFETY: two of them, one behind the other as `repr(C)` lays them, have lanes and registers in
// turn; both are as long as each other, so there is no padding.
unsafe impl<V: Ordered> Ordered for Two<V> {
    type Lane = V::Lane;
    type Isa = V::Isa;
    type Mask = Two<V::Mask>;
    type Register = V::Register;

    const LANES: usize = 2 * V::LANES;

    #[inline(always)]
    fn splat(isa: V::Isa, value: V::Lane) -> Self {
        Self(V::splat(isa, value), V::splat(isa, value))
    }
    #[inline(always)]
    fn load(isa: V::Isa, from: &[V::Lane]) -> Self {
        let from = &from[..Self::LANES];
        Self(V::load(isa, from), V::load(isa, &from[V::LANES..]))
    }
    #[inline(always)]
    fn store(self, to: &mut [V::Lane]) {
        let to = &mut to[..Self::LANES];
        self.0.store(to);
        self.1.store(&mut to[V::LANES..]);
    }
    #[inline(always)]
    unsafe fn store_past_caches(self, to: &mut [V::Lane]) {
        let to = &mut to[..Self::LANES];
        // SAFETY: the caller settles.
        unsafe {
            self.0.store_past_caches(to);
            self.1.store_past_caches(&mut to[V::LANES..]);
        }
    }
    #[inline(always)]
    fn gt(self, other: Self) -> Self::Mask {
        Two(self.0.gt(other.0), self.1.gt(other.1))
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        Self(self.0.min(other.0), self.1.min(other.1))
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        Self(self.0.max(other.0), self.1.max(other.1))
    }
    #[inline(always)]
    fn register(&self, number: usize) -> V::Register {
        let half = V::LANES / V::Register::LANES;
        if number < half { self.0.register(number) } else { self.1.register(number - half) }
    }
    #[inline(always)]
    fn set_register(&mut self, number: usize, register: V::Register) {
        let half = V::LANES / V::Register::LANES;
        if number < half {
            self.0.set_register(number, register);
        } else {
            self.1.set_register(number - half, register);
        }
    }
}

/// Methods that do to each half what their name says.
macro_rules! halves {
    ($($method:ident),*) => {$(
        #[inline(always)]
        fn $method(self, other: Self) -> Self {
            Self(self.0.$method(other.0), self.1.$method(other.1))
        }
    )*};
}

impl<V: Floats> Floats for Two<V> {
    halves!(add, sub, mul, div, div_about);

    #[inline(always)]
    fn scale(self, factor: Self, term: Self) -> Self {
        Self(self.0.scale(factor.0, term.0), self.1.scale(factor.1, term.1))
    }

    #[inline(always)]
    fn of_bits(bits: Self::Mask) -> Self {
        Self(V::of_bits(bits.0), V::of_bits(bits.1))
    }
    #[inline(always)]
    fn bits(self) -> Self::Mask {
        Two(self.0.bits(), self.1.bits())
    }
    #[inline(always)]
    fn select(mask: Self::Mask, yes: Self, no: Self) -> Self {
        Self(V::select(mask.0, yes.0, no.0), V::select(mask.1, yes.1, no.1))
    }
}

impl<V: Vector> Vector for Two<V> {
    halves!(eq, and, without, or, add, sub, count, shr, negate_where_negative);

    #[inline(always)]
    fn select(self, yes: Self, no: Self) -> Self {
        Self(self.0.select(yes.0, no.0), self.1.select(yes.1, no.1))
    }
    #[inline(always)]
    fn bits(self) -> u32 {
        self.0.bits() | self.1.bits() << V::LANES
    }
    #[inline(always)]
    fn of_bits(isa: V::Isa, bits: u32) -> Self {
        Self(V::of_bits(isa, bits), V::of_bits(isa, bits >> V::LANES))
    }
}
