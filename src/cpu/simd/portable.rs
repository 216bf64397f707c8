//! Vectors as plain arrays: for every machine, and the meaning of each operation. No `unsafe`.

use super::{Isa, Job, Vector};

/// The token of the portable implementation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portable;

impl Isa for Portable {
    type I16 = I16;
    type I32 = I32;
    type I64 = I64;

    #[inline(always)]
    fn run<J: Job<Self>>(self, job: J) -> J::Output {
        job.run(self)
    }

    #[inline(always)]
    fn load_upper(self, values: &[u16]) -> I32 {
        let values: &[u16; 8] = values.first_chunk().expect("8 values");
        I32(values.map(|value| i32::from(value) << 16))
    }

    #[inline(always)]
    fn store_upper(self, vector: I32, to: &mut [u16]) {
        let to: &mut [u16; 8] = to.first_chunk_mut().expect("8 places");
        *to = vector.0.map(|lane| (lane >> 16) as u16);
    }
}

macro_rules! vector {
    ($name:ident, $lane:ident, $lanes:literal) => {
        #[derive(Clone, Copy, Debug)]
        #[repr(C, align(32))]
        pub struct $name([$lane; $lanes]);

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

        impl Vector for $name {
            type Lane = $lane;
            type Isa = Portable;
            const IN_REGISTERS: bool = false;

            #[inline(always)]
            fn splat(_: Portable, value: $lane) -> Self {
                Self([value; $lanes])
            }
            #[inline(always)]
            fn load(_: Portable, from: &[$lane]) -> Self {
                Self(*from.first_chunk().expect("a vector's lanes"))
            }
            #[inline(always)]
            fn store(self, to: &mut [$lane]) {
                *to.first_chunk_mut().expect("a vector's lanes") = self.0;
            }
            #[inline(always)]
            fn gt(self, other: Self) -> Self {
                self.map(other, |a, b| -$lane::from(a > b))
            }
            #[inline(always)]
            fn eq(self, other: Self) -> Self {
                self.map(other, |a, b| -$lane::from(a == b))
            }
            #[inline(always)]
            fn min(self, other: Self) -> Self {
                self.map(other, |a, b| if a < b { a } else { b })
            }
            #[inline(always)]
            fn max(self, other: Self) -> Self {
                self.map(other, |a, b| if a > b { a } else { b })
            }
            #[inline(always)]
            fn and(self, other: Self) -> Self {
                self.map(other, |a, b| a & b)
            }
            #[inline(always)]
            fn or(self, other: Self) -> Self {
                self.map(other, |a, b| a | b)
            }
            #[inline(always)]
            fn add(self, other: Self) -> Self {
                self.map(other, $lane::wrapping_add)
            }
            #[inline(always)]
            fn sub(self, other: Self) -> Self {
                self.map(other, $lane::wrapping_sub)
            }
            #[inline(always)]
            fn shr3(self) -> Self {
                self.map(self, |a, _| a >> 3)
            }
            #[inline(always)]
            fn select(self, yes: Self, no: Self) -> Self {
                let mut lanes = no.0;
                for ((lane, yes), mask) in lanes.iter_mut().zip(yes.0).zip(self.0) {
                    *lane = yes & mask | *lane & !mask;
                }
                Self(lanes)
            }
            #[inline(always)]
            fn negate_where_negative(self, signs: Self) -> Self {
                self.map(signs, |a, sign| {
                    let mask = sign >> ($lane::BITS - 1);
                    (a ^ mask).wrapping_sub(mask)
                })
            }
            #[inline(always)]
            fn bits(self) -> u32 {
                let lanes = self.0.iter().enumerate();
                lanes.fold(0, |bits, (l, lane)| bits | u32::from(*lane < 0) << l)
            }
        }
    };
}

vector!(I16, i16, 16);
vector!(I32, i32, 8);
vector!(I64, i64, 4);
