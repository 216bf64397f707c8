//! Vectors as plain arrays: for every machine, and the meaning of each operation. No `unsafe` block.

use super::{Floats, Isa, Job, Vector};
use half::f16;

/// The token of the portable implementation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portable;

impl Isa for Portable {
    type I16 = I16;
    type I32 = I32;
    type I64 = I64;
    type F32 = F32;

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
    fn narrow(self, [low, high]: [I32; 2]) -> I16 {
        let nearest = |lane: i32| lane.clamp(i16::MIN.into(), i16::MAX.into()) as i16;
        let mut lanes = [0; 16];
        for (lane, wide) in lanes.iter_mut().zip(low.0.into_iter().chain(high.0)) {
            *lane = nearest(wide);
        }
        I16(lanes)
    }

    #[inline(always)]
    fn widen(self, lanes: I16) -> [I32; 2] {
        let half = |lanes: &[i16]| I32(std::array::from_fn(|l| i32::from(lanes[l])));
        [half(&lanes.0[..8]), half(&lanes.0[8..])]
    }

    #[inline(always)]
    fn upper(self, lanes: I16) -> [I32; 2] {
        self.widen(lanes).map(|lanes| I32(lanes.0.map(|lane| lane << 16)))
    }

    #[inline(always)]
    fn widen_f16(self, values: &[f16]) -> F32 {
        let values: &[f16; 8] = values.first_chunk().expect("8 values");
        F32(values.map(f16::to_f32))
    }

    #[inline(always)]
    fn narrow_f16(self, values: F32, to: &mut [f16]) {
        let to: &mut [f16; 8] = to.first_chunk_mut().expect("8 places");
        *to = values.0.map(f16::from_f32);
    }

    #[inline(always)]
    fn narrow_f64(self, values: &[f64]) -> F32 {
        let values: &[f64; 8] = values.first_chunk().expect("8 values");
        F32(values.map(|value| value as f32))
    }

    #[inline(always)]
    fn prefetch<T>(self, _: *const T) {}

    #[inline(always)]
    fn settle(self) {}
}

#[derive(Clone, Copy, Debug)]
#[repr(C, align(32))]
pub struct F32([f32; 8]);

impl F32 {
    #[inline(always)]
    fn map(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|l| f(self.0[l], other.0[l])))
    }
}

impl Floats for F32 {
    type Isa = Portable;

    #[inline(always)]
    fn splat(_: Portable, value: f32) -> Self {
        Self([value; 8])
    }
    #[inline(always)]
    fn load(_: Portable, from: &[f32]) -> Self {
        Self(*from.first_chunk().expect("8 values"))
    }
    #[inline(always)]
    fn store(self, to: &mut [f32]) {
        *to.first_chunk_mut().expect("8 places") = self.0;
    }
    #[inline(always)]
    fn of_int(int: I32) -> Self {
        Self(int.0.map(|lane| lane as f32))
    }
    #[inline(always)]
    fn to_int(self) -> I32 {
        I32(self.0.map(|lane| if lane < 2f32.powi(31) { lane as i32 } else { i32::MIN }))
    }
    #[inline(always)]
    fn of_bits(bits: I32) -> Self {
        Self(bits.0.map(|lane| f32::from_bits(lane as u32)))
    }
    #[inline(always)]
    fn bits(self) -> I32 {
        I32(self.0.map(|lane| lane.to_bits() as i32))
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.map(other, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.map(other, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.map(other, |a, b| a * b)
    }
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        self.map(other, |a, b| a / b)
    }
    #[inline(always)]
    fn up_to(self, limit: Self) -> Self {
        self.map(limit, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn gt(self, other: Self) -> I32 {
        I32(std::array::from_fn(|l| -i32::from(self.0[l] > other.0[l])))
    }
    #[inline(always)]
    fn select(mask: I32, yes: Self, no: Self) -> Self {
        Self(std::array::from_fn(|l| if mask.0[l] < 0 { yes.0[l] } else { no.0[l] }))
    }
}

macro_rules! vector {
    ($name:ident, $lane:ident, $unsigned:ident, $lanes:literal) => {
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
            unsafe fn store_past_caches(self, to: &mut [$lane]) {
                self.store(to);
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
            fn without(self, other: Self) -> Self {
                self.map(other, |a, b| a & !b)
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
            fn shr(self, by: Self) -> Self {
                self.map(by, |a, by| (a as $unsigned >> by) as $lane)
            }
            #[inline(always)]
            fn load_narrow(_: Portable, from: &[i16]) -> Self {
                let from: &[i16; $lanes] = from.first_chunk().expect("a vector's lanes");
                Self(from.map($lane::from))
            }
            #[inline(always)]
            fn store_narrow(self, to: &mut [i16]) {
                *to.first_chunk_mut().expect("a vector's lanes") = self.0.map(|lane| lane as i16);
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

vector!(I16, i16, u16, 16);
vector!(I32, i32, u32, 8);
vector!(I64, i64, u64, 4);
