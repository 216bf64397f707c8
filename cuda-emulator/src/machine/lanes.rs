//! The lanes of a warp that execute an instruction, and their registers.

use super::warp::Warp;
use crate::ptx::kernel::*;

/// Numbers of the lanes in a mask, in order.
#[inline(always)]
pub fn lanes_of(mut mask: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        if mask == 0 {
            return None;
        }
        let lane = mask.trailing_zeros() as usize;
        mask &= mask - 1;
        Some(lane)
    })
}

impl Kernel {
    /// The values of a register or constant.
    #[inline(always)]
    pub fn value<'k>(&'k self, registers: &'k [Values], r: Register) -> &'k Values {
        if r & CONSTANT != 0 {
            &self.constants[(r & !CONSTANT) as usize]
        } else {
            &registers[r as usize]
        }
    }
}

/// What an operation that only computes sees: sources of all lanes, destinations of the active
/// ones.
pub struct Lanes<'a> {
    pub warp: &'a mut Warp,
    pub kernel: &'a Kernel,
    pub active: u32,
}

impl Lanes<'_> {
    #[inline(always)]
    pub fn source(&self, r: Register) -> &Values {
        self.kernel.value(&self.warp.registers, r)
    }

    #[inline(always)]
    pub fn write(&mut self, d: Register, values: Values) {
        let (register, active) = (&mut self.warp.registers[d as usize], self.active);
        if active == !0 {
            *register = values;
        } else {
            for lane in 0..32 {
                let is_active = active >> lane & 1 == 1;
                register[lane] = if is_active { values[lane] } else { register[lane] };
            }
        }
    }

    /// `d = f(a)`. Inactive lanes are computed too, which is faster than leaving them out.
    #[inline(always)]
    pub fn map1(&mut self, i: &Instruction, f: impl Fn(u64) -> u64) {
        let a = self.source(i.a);
        let mut r = [0; 32];
        for lane in 0..32 {
            r[lane] = f(a[lane]);
        }
        self.write(i.d, r);
    }

    /// `d = f(a, b)`, of inactive lanes too.
    #[inline(always)]
    pub fn map2(&mut self, i: &Instruction, f: impl Fn(u64, u64) -> u64) {
        let (a, b) = (self.source(i.a), self.source(i.b));
        let mut r = [0; 32];
        for lane in 0..32 {
            r[lane] = f(a[lane], b[lane]);
        }
        self.write(i.d, r);
    }

    /// `d = f(a, b, c)`, of inactive lanes too.
    #[inline(always)]
    pub fn map3(&mut self, i: &Instruction, f: impl Fn(u64, u64, u64) -> u64) {
        let (a, b, c) = (self.source(i.a), self.source(i.b), self.source(i.c));
        let mut r = [0; 32];
        for lane in 0..32 {
            r[lane] = f(a[lane], b[lane], c[lane]);
        }
        self.write(i.d, r);
    }

    /// `d = f(a)` of active lanes only, for what takes long.
    #[inline(always)]
    pub fn active1(&mut self, i: &Instruction, f: impl Fn(u64) -> u64) {
        let a = self.source(i.a);
        let mut r = [0; 32];
        for lane in lanes_of(self.active) {
            r[lane] = f(a[lane]);
        }
        self.write(i.d, r);
    }

    /// `d = f(a, b)` of active lanes only.
    #[inline(always)]
    pub fn active2(&mut self, i: &Instruction, f: impl Fn(u64, u64) -> u64) {
        let (a, b) = (self.source(i.a), self.source(i.b));
        let mut r = [0; 32];
        for lane in lanes_of(self.active) {
            r[lane] = f(a[lane], b[lane]);
        }
        self.write(i.d, r);
    }

    /// `d = f(a, b, c)` of active lanes only.
    #[inline(always)]
    pub fn active3(&mut self, i: &Instruction, f: impl Fn(u64, u64, u64) -> u64) {
        let (a, b, c) = (self.source(i.a), self.source(i.b), self.source(i.c));
        let mut r = [0; 32];
        for lane in lanes_of(self.active) {
            r[lane] = f(a[lane], b[lane], c[lane]);
        }
        self.write(i.d, r);
    }

    #[inline(always)]
    pub fn predicate(&self, p: Predicate) -> u32 {
        self.warp.predicate(p)
    }

    #[inline(always)]
    pub fn write_predicate(&mut self, p: Predicate, v: u32) {
        let predicate = &mut self.warp.predicates[(p & !NEGATED) as usize];
        *predicate = (*predicate & !self.active) | (v & self.active);
    }

    /// The carry flag of each lane, a bit each.
    pub fn carry(&self) -> u32 {
        self.warp.carry
    }

    pub fn set_carry(&mut self, carry: u32) {
        self.warp.carry = (self.warp.carry & !self.active) | (carry & self.active);
    }
}
