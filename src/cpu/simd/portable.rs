//! Vectors as plain arrays: for every machine, and the meaning of each operation. No `unsafe` block.
//!
//! Operations are calls: each is a loop that the compiler makes vectors of. Inlined, arrays would be
//! taken apart into lanes, which takes minutes to compile and runs slower.

use super::{Floats, Isa, Job, LANES, Ordered, Vector};
use half::f16;

/// The token of the portable implementation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portable;

/// The first lanes of a slice.
#[inline(always)]
fn first<T: Copy>(values: &[T]) -> [T; LANES] {
    *values.first_chunk().expect("a vector's lanes")
}

impl Isa for Portable {
    type I8 = I8;
    type Rows = I8;
    type I16 = I16;
    type I32 = I32;
    type I64 = I64;
    type F32 = F32;
    type F64 = F64;

    #[inline(always)]
    fn run<J: Job<Self>>(self, job: J) -> J::Output {
        job.run(self)
    }

    #[inline(never)]
    fn load_upper(self, values: &[u16]) -> I32 {
        I32(first(values).map(|value| i32::from(value) << 16))
    }

    #[inline(never)]
    fn narrow(self, lanes: I32) -> I16 {
        I16(lanes.0.map(|lane| lane.clamp(i16::MIN.into(), i16::MAX.into()) as i16))
    }

    #[inline(never)]
    fn widen(self, lanes: I16) -> I32 {
        I32(lanes.0.map(i32::from))
    }

    #[inline(never)]
    fn narrow_to_8(self, lanes: I32) -> I8 {
        I8(lanes.0.map(|lane| lane.clamp(i8::MIN.into(), i8::MAX.into()) as i8))
    }

    #[inline(never)]
    fn widen_8(self, lanes: I8) -> I16 {
        I16(lanes.0.map(i16::from))
    }

    #[inline(never)]
    fn widen_8_to_32(self, lanes: I8) -> I32 {
        I32(lanes.0.map(i32::from))
    }

    #[inline(always)]
    fn repeat(self, row: I8) -> I8 {
        row
    }

    #[inline(always)]
    fn sum_rows(self, rows: I8) -> I16 {
        self.widen_8(rows)
    }

    #[inline(always)]
    fn widen_f16(self, values: &[f16]) -> F32 {
        F32(first(values).map(f16::to_f32))
    }

    #[inline(always)]
    fn narrow_f16(self, values: F32, to: &mut [f16]) {
        *to.first_chunk_mut().expect("a vector's lanes") = values.0.map(f16::from_f32);
    }

    #[inline(never)]
    fn narrow_f64(self, values: &[f64]) -> F32 {
        F32(first(values).map(|value| value as f32))
    }

    #[inline(never)]
    fn float(self, lanes: I32) -> F32 {
        F32(lanes.0.map(|lane| lane as f32))
    }

    #[inline(never)]
    fn round(self, values: F32) -> I32 {
        I32(values.0.map(|lane| if lane < 2f32.powi(31) { lane as i32 } else { i32::MIN }))
    }

    #[inline(always)]
    fn prefetch<T>(self, _: *const T) {}

    #[inline(always)]
    fn settle(self) {}
}

macro_rules! lanes {
    ($name:ident, $lane:ident, $mask:ident, $mask_lane:ident) => {
        #[derive(Clone, Copy, Debug)]
        // As the lanes of the smallest one, so that there is no padding.
        #[repr(C, align(16))]
        pub struct $name([$lane; LANES]);

        impl $name {
            #[inline(always)]
            fn map(self, other: Self, f: impl Fn($lane, $lane) -> $lane) -> Self {
                let mut lanes = self.0;
                for (a, b) in lanes.iter_mut().zip(other.0) {
                    *a = f(*a, b);
                }
                Self(lanes)
            }
        }

        impl Ordered for $name {
            type Lane = $lane;
            type Isa = Portable;
            type Mask = $mask;
            type Register = Self;

            const LANES: usize = LANES;
            const IN_REGISTERS: bool = false;

            #[inline(always)]
            fn splat(_: Portable, value: $lane) -> Self {
                Self([value; LANES])
            }
            #[inline(always)]
            fn load(_: Portable, from: &[$lane]) -> Self {
                Self(first(from))
            }
            #[inline(always)]
            fn store(self, to: &mut [$lane]) {
                *to.first_chunk_mut().expect("a vector's lanes") = self.0;
            }
            #[inline(always)]
            unsafe fn store_past_caches(self, to: &mut [$lane]) {
                self.store(to);
            }
            #[inline(never)]
            fn gt(self, other: Self) -> $mask {
                let mut mask = [0; LANES];
                for (mask, (a, b)) in mask.iter_mut().zip(self.0.into_iter().zip(other.0)) {
                    *mask = -$mask_lane::from(a > b);
                }
                $mask(mask)
            }
            #[inline(never)]
            fn min(self, other: Self) -> Self {
                self.map(other, |a, b| if a < b { a } else { b })
            }
            #[inline(never)]
            fn max(self, other: Self) -> Self {
                self.map(other, |a, b| if a > b { a } else { b })
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

macro_rules! integers {
    ($name:ident, $lane:ident, $unsigned:ident) => {
        lanes!($name, $lane, $name, $lane);

        impl Vector for $name {
            #[inline(never)]
            fn eq(self, other: Self) -> Self {
                self.map(other, |a, b| -$lane::from(a == b))
            }
            #[inline(never)]
            fn and(self, other: Self) -> Self {
                self.map(other, |a, b| a & b)
            }
            #[inline(never)]
            fn without(self, other: Self) -> Self {
                self.map(other, |a, b| a & !b)
            }
            #[inline(never)]
            fn or(self, other: Self) -> Self {
                self.map(other, |a, b| a | b)
            }
            #[inline(never)]
            fn add(self, other: Self) -> Self {
                self.map(other, $lane::wrapping_add)
            }
            #[inline(never)]
            fn sub(self, other: Self) -> Self {
                self.map(other, $lane::wrapping_sub)
            }
            #[inline(never)]
            fn shr(self, by: Self) -> Self {
                self.map(by, |a, by| (a as $unsigned >> by) as $lane)
            }
            #[inline(never)]
            fn select(self, yes: Self, no: Self) -> Self {
                let mut lanes = no.0;
                for ((lane, yes), mask) in lanes.iter_mut().zip(yes.0).zip(self.0) {
                    *lane = yes & mask | *lane & !mask;
                }
                Self(lanes)
            }
            #[inline(never)]
            fn negate_where_negative(self, signs: Self) -> Self {
                self.map(signs, |a, sign| {
                    let mask = sign >> ($lane::BITS - 1);
                    (a ^ mask).wrapping_sub(mask)
                })
            }
            #[inline(never)]
            fn bits(self) -> u32 {
                let lanes = self.0.iter().enumerate();
                lanes.fold(0, |bits, (l, lane)| bits | u32::from(*lane < 0) << l)
            }
            #[inline(never)]
            fn of_bits(_: Portable, bits: u32) -> Self {
                Self(std::array::from_fn(|l| -((bits >> l & 1) as $lane)))
            }
        }
    };
}

integers!(I8, i8, u8);
integers!(I16, i16, u16);
integers!(I32, i32, u32);
integers!(I64, i64, u64);

macro_rules! floats {
    ($name:ident, $lane:ident, $mask:ident, $mask_lane:ident) => {
        lanes!($name, $lane, $mask, $mask_lane);

        impl Floats for $name {
            #[inline(never)]
            fn of_bits(bits: $mask) -> Self {
                Self(bits.0.map(|lane| $lane::from_bits(lane as _)))
            }
            #[inline(never)]
            fn bits(self) -> $mask {
                $mask(self.0.map(|lane| lane.to_bits() as $mask_lane))
            }
            #[inline(never)]
            fn add(self, other: Self) -> Self {
                self.map(other, |a, b| a + b)
            }
            #[inline(never)]
            fn sub(self, other: Self) -> Self {
                self.map(other, |a, b| a - b)
            }
            #[inline(never)]
            fn mul(self, other: Self) -> Self {
                self.map(other, |a, b| a * b)
            }
            #[inline(never)]
            fn scale(self, factor: Self, term: Self) -> Self {
                self.mul(factor).add(term)
            }
            #[inline(always)]
            fn div_about(self, other: Self) -> Self {
                self.div(other)
            }
            #[inline(never)]
            fn div(self, other: Self) -> Self {
                self.map(other, |a, b| a / b)
            }
            #[inline(never)]
            fn select(mask: $mask, yes: Self, no: Self) -> Self {
                Self(std::array::from_fn(|l| if mask.0[l] < 0 { yes.0[l] } else { no.0[l] }))
            }
        }
    };
}

floats!(F32, f32, I32, i32);
floats!(F64, f64, I64, i64);
