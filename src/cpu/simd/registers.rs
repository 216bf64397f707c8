//! What the registers of all instruction sets have in common, by the names of their functions.
//!
//! Functions, as closures might not be inlined, and then be compiled without the instructions. Each
//! is unsafe to call: it needs its instructions, or a place to load from or store to.

/// A register that is [`Ordered`](super::Ordered). Where a comment says that the machine has the
/// instructions, a vector of the set or its token proves it.
macro_rules! ordered {
    ($name:ident($register:ty): [$lane:ty; $lanes:literal] of $isa:ident, mask $mask:ident;
     splat $splat:ident, load $load:ident, store $store:ident, stream $stream:ident,
     gt $gt:ident, min $min:ident, max $max:ident) => {
        #[derive(Clone, Copy, Debug)]
        #[repr(transparent)]
        pub struct $name($register);

        // SAFETY: a register is its lanes, without padding; any bits are a value.
        unsafe impl $crate::cpu::simd::Ordered for $name {
            type Lane = $lane;
            type Isa = $isa;
            type Mask = $mask;
            type Register = Self;

            const LANES: usize = $lanes;

            #[inline(always)]
            fn splat(_: $isa, value: $lane) -> Self {
                // SAFETY: the machine has the instructions.
                Self(unsafe { $splat(value) })
            }
            #[inline(always)]
            fn load(_: $isa, from: &[$lane]) -> Self {
                assert!(from.len() >= $lanes);
                // SAFETY: the machine has the instructions, and the slice a register's lanes.
                Self(unsafe { $load(from.as_ptr().cast()) })
            }
            #[inline(always)]
            fn store(self, to: &mut [$lane]) {
                assert!(to.len() >= $lanes);
                // SAFETY: the machine has the instructions, and the slice a register's lanes.
                unsafe { $store(to.as_mut_ptr().cast(), self.0) }
            }
            #[inline(always)]
            unsafe fn store_past_caches(self, to: &mut [$lane]) {
                assert!(to.len() >= $lanes);
                let place: *mut $register = to.as_mut_ptr().cast();
                if place.is_aligned() {
                    // SAFETY: the machine has the instructions; the place is aligned and has room
                    // for a register.
                    unsafe { $stream(place.cast(), self.0) }
                } else {
                    // SAFETY: the machine has the instructions, and the place room for a register.
                    unsafe { $crate::cpu::simd::registers::stream_parts(place.cast(), self.0) }
                }
            }
            #[inline(always)]
            fn gt(self, other: Self) -> $mask {
                // SAFETY: the machine has the instructions.
                $mask(unsafe { $gt(self.0, other.0) })
            }
            #[inline(always)]
            fn min(self, other: Self) -> Self {
                // SAFETY: the machine has the instructions.
                Self(unsafe { $min(self.0, other.0) })
            }
            #[inline(always)]
            fn max(self, other: Self) -> Self {
                // SAFETY: the machine has the instructions.
                Self(unsafe { $max(self.0, other.0) })
            }
            #[inline(always)]
            fn register(&self, _: usize) -> Self {
                *self
            }
            #[inline(always)]
            fn set_register(&mut self, _: usize, register: Self) {
                *self = register;
            }
        }
    };
}

/// Stores a register past the caches, in parts of 16 bytes, if the place is aligned to those: as what a
/// memory allocator gives is.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) unsafe fn stream_parts<R: Copy>(place: *mut std::arch::x86_64::__m128i, register: R) {
    let parts: *const std::arch::x86_64::__m128i = (&raw const register).cast();
    // SAFETY: the caller's place has room for a register, which consists of these parts.
    unsafe {
        if !place.is_aligned() {
            return place.cast::<R>().write_unaligned(register);
        }
        for i in 0..size_of::<R>() / 16 {
            std::arch::x86_64::_mm_stream_si128(place.add(i), parts.add(i).read());
        }
    }
}

#[cfg(target_arch = "aarch64")]
#[inline(always)]
pub(super) unsafe fn stream_parts<R: Copy>(place: *mut R, register: R) {
    // SAFETY: the caller's place has room for a register.
    unsafe { place.write_unaligned(register) }
}

/// Methods of two vectors.
macro_rules! of_two {
    ($($method:ident: $function:ident),*) => {$(
        #[inline(always)]
        fn $method(self, other: Self) -> Self {
            // SAFETY: the machine has the instructions.
            Self(unsafe { $function(self.0, other.0) })
        }
    )*};
}

/// A register of integers: a [`Vector`](super::Vector). Other methods follow the functions.
macro_rules! integers {
    ($name:ident($register:ty): [$lane:ty; $lanes:literal] of $isa:ident;
     splat $splat:ident, load $load:ident, store $store:ident, stream $stream:ident,
     gt $gt:ident, min $min:ident, max $max:ident, eq $eq:ident, and $and:ident,
     without $without:ident, or $or:ident, add $add:ident, sub $sub:ident, shr $shr:ident,
     select $select:ident, negate_where_negative $negate:ident, bits $bits:ident,
     of_bits $of_bits:ident $(, count $count:ident)?) => {
        $crate::cpu::simd::registers::ordered! {
            $name($register): [$lane; $lanes] of $isa, mask $name;
            splat $splat, load $load, store $store, stream $stream, gt $gt, min $min, max $max
        }

        impl $crate::cpu::simd::Vector for $name {
            $crate::cpu::simd::registers::of_two! {
                eq: $eq, and: $and, without: $without, or: $or, add: $add, sub: $sub, shr: $shr,
                negate_where_negative: $negate $(, count: $count)?
            }

            #[inline(always)]
            fn select(self, yes: Self, no: Self) -> Self {
                // SAFETY: the machine has the instructions.
                Self(unsafe { $select(self.0, yes.0, no.0) })
            }
            #[inline(always)]
            fn bits(self) -> u32 {
                // SAFETY: the machine has the instructions.
                unsafe { $bits(self.0) }
            }
            #[inline(always)]
            fn of_bits(_: $isa, bits: u32) -> Self {
                // SAFETY: the machine has the instructions.
                Self(unsafe { $of_bits(bits) })
            }
        }
    };
}

/// A register of floats: [`Floats`](super::Floats).
macro_rules! floats {
    ($name:ident($register:ty): [$lane:ty; $lanes:literal] of $isa:ident, mask $mask:ident;
     splat $splat:ident, load $load:ident, store $store:ident, stream $stream:ident,
     gt $gt:ident, min $min:ident, max $max:ident, of_bits $of_bits:ident, bits $bits:ident,
     select $select:ident, add $add:ident, sub $sub:ident, mul $mul:ident, scale $scale:ident,
     div $div:ident, div_about $div_about:ident) => {
        $crate::cpu::simd::registers::ordered! {
            $name($register): [$lane; $lanes] of $isa, mask $mask;
            splat $splat, load $load, store $store, stream $stream, gt $gt, min $min, max $max
        }

        impl $crate::cpu::simd::Floats for $name {
            $crate::cpu::simd::registers::of_two! {
                add: $add, sub: $sub, mul: $mul, div: $div,
                div_about: $div_about
            }

            #[inline(always)]
            fn scale(self, factor: Self, term: Self) -> Self {
                // SAFETY: the machine has the instructions.
                Self(unsafe { $scale(self.0, factor.0, term.0) })
            }

            #[inline(always)]
            fn of_bits(bits: $mask) -> Self {
                // SAFETY: the machine has the instructions.
                Self(unsafe { $of_bits(bits.0) })
            }
            #[inline(always)]
            fn bits(self) -> $mask {
                // SAFETY: the machine has the instructions.
                $mask(unsafe { $bits(self.0) })
            }
            #[inline(always)]
            fn select(mask: $mask, yes: Self, no: Self) -> Self {
                // SAFETY: the machine has the instructions.
                Self(unsafe { $select(mask.0, yes.0, no.0) })
            }
        }
    };
}

pub(super) use {floats, integers, of_two, ordered};
