//! Moves, addresses of other spaces, and registers that are read.

use super::Op;
use crate::checks::Fault;
use crate::machine::block::{At, Block, Outcome};
use crate::machine::cluster::TAG_SIZE;
use crate::machine::lanes::{Lanes, lanes_of};
use crate::ptx::kernel::*;
use crate::ptx::lower::{Lowering, Result};
use crate::ptx::syntax::{Operand, Statement};
use crate::ptx::types::{Space, Type, low_bits};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Move {
    Copy,
    /// `a` is a vector whose elements of this width become one register
    Pack {
        count: u8,
        width: u8,
    },
    /// `d` is a vector
    Unpack {
        count: u8,
        width: u8,
    },
    /// `cvta`
    ToGeneric(Space),
    /// `cvta.to`
    FromGeneric(Space),
    /// `isspacep`
    IsSpace(Space),
    /// the address that a shared variable has in another block of the cluster
    Mapa {
        generic: bool,
    },
    /// the rank of the block that a shared address belongs to
    GetCtaRank {
        generic: bool,
    },
    ActiveMask,
    Clock,
    /// `%globaltimer`
    Nanoseconds,
}

pub fn select(l: &mut Lowering, s: &Statement) -> Result<()> {
    let space = Space::of_modifiers(&s.modifiers);
    let generic = space == Space::Generic;
    match s.opcode.as_str() {
        "mov" => mov(l, s),
        "cvta" => {
            let op = if s.has("to") { Move::FromGeneric(space) } else { Move::ToGeneric(space) };
            l.emit_simple::<1>(s, op, Class::Move)
        }
        "isspacep" => {
            let (a, d) = (l.source(s, 1, Type::B64)?, l.predicate(s, 0)?);
            let op = l.instruction(Move::IsSpace(space), Class::PredicateSelect);
            l.emit(Instruction { d, a, ..op });
            Ok(())
        }
        "mapa" => {
            l.kernel.uses_cluster = true;
            l.emit_simple::<2>(s, Move::Mapa { generic }, Class::Integer)
        }
        "getctarank" => {
            l.kernel.uses_cluster = true;
            l.emit_simple::<1>(s, Move::GetCtaRank { generic }, Class::Integer)
        }
        "activemask" => {
            let d = l.destination(s, 0)?.0;
            l.emit(Instruction { d, ..l.instruction(Move::ActiveMask, Class::VoteMatchRedux) });
            Ok(())
        }
        // caches are not modelled: a policy is any value
        "createpolicy" => {
            let (d, a) = (l.destination(s, 0)?.0, l.constant(0));
            l.emit(Instruction { d, a, ..l.instruction(Move::Copy, Class::Other) });
            Ok(())
        }
        _ => s.error("instruction not supported"),
    }
}

fn mov(l: &mut Lowering, s: &Statement) -> Result<()> {
    let ty = s.ty();
    let (to, from) = (s.operand(0)?, s.operand(1)?);
    let width = |count: usize| (ty.bits() / count as u32) as u8;
    if matches!(to, Operand::Vector(_)) {
        let a = l.source(s, 1, ty)?;
        let elements = l.vector_operand(s, 0)?;
        let mut registers = [NONE; 4];
        for (register, element) in registers.iter_mut().zip(elements) {
            *register = l.destination_operand(s, element)?.0;
        }
        let op = Move::Unpack { count: elements.len() as u8, width: width(elements.len()) };
        let d = l.vector(registers);
        l.emit(Instruction { d, a, ..l.instruction(op, Class::Move) });
    } else if matches!(from, Operand::Vector(_)) {
        if ty == Type::B128 {
            return s.error("b128 not supported");
        }
        let elements = l.vector_operand(s, 1)?;
        let element_type = match width(elements.len()) {
            8 => Type::B8,
            16 => Type::B16,
            _ => Type::B32,
        };
        let mut registers = [NONE; 4];
        for (register, element) in registers.iter_mut().zip(elements) {
            *register = l.source_operand(s, element, element_type)?;
        }
        let op = Move::Pack { count: elements.len() as u8, width: width(elements.len()) };
        let a = l.vector(registers);
        let d = l.destination(s, 0)?.0;
        l.emit(Instruction { d, a, ..l.instruction(op, Class::Move) });
    } else {
        return l.emit_simple::<1>(s, Move::Copy, Class::Move);
    }
    Ok(())
}

impl From<Move> for Op {
    fn from(op: Move) -> Op {
        Op::Move(op)
    }
}

impl Block<'_> {
    pub(super) fn move_(
        &mut self,
        op: Move,
        at: At,
        i: &Instruction,
        active: u32,
    ) -> std::result::Result<Outcome, Fault> {
        let kernel = self.launch.kernel;
        let own = self.tag * TAG_SIZE;
        let start = self.launch.start;
        let mut lanes = self.lanes(at.warp(), active);
        match op {
            Move::Copy => lanes.map1(i, |a| a),
            Move::Pack { count, width } => pack(&mut lanes, kernel, i, count, width as u32),
            Move::Unpack { count, width } => unpack(&mut lanes, kernel, i, count, width as u32),
            Move::ToGeneric(Space::Shared | Space::Cluster) => lanes
                .map1(i, |a| SHARED_WINDOW.wrapping_add(if a < TAG_SIZE { a | own } else { a })),
            Move::ToGeneric(space) => {
                let window = window(space);
                lanes.map1(i, |a| a.wrapping_add(window))
            }
            Move::FromGeneric(Space::Shared) => lanes.map1(i, |a| {
                let a = a.wrapping_sub(SHARED_WINDOW);
                if a & !(TAG_SIZE - 1) == own { a - own } else { a }
            }),
            Move::FromGeneric(space) => {
                let window = window(space);
                lanes.map1(i, |a| a.wrapping_sub(window))
            }
            Move::IsSpace(space) => {
                let a = *lanes.source(i.a);
                let is = |&q: &usize| self.is_in(a[q], space);
                let p = (0..32).filter(is).fold(0, |p, q| p | 1 << q);
                self.lanes(at.warp(), active).write_predicate(i.d, p);
            }
            Move::Mapa { generic } => {
                let (a, rank) = (*lanes.source(i.a), *lanes.source(i.b));
                let mut r = [0; 32];
                for lane in lanes_of(active) {
                    r[lane] = self.mapa(at.with_lane(lane), a[lane], rank[lane], generic)?;
                }
                self.lanes(at.warp(), active).write(i.d, r);
            }
            Move::GetCtaRank { generic } => {
                let a = *lanes.source(i.a);
                let mut r = [0; 32];
                for lane in lanes_of(active) {
                    r[lane] = self.cta_rank(at.with_lane(lane), a[lane], generic)?;
                }
                self.lanes(at.warp(), active).write(i.d, r);
            }
            Move::ActiveMask => lanes.write(i.d, [active as u64; 32]),
            Move::Clock => {
                let issued = lanes.warp.issued;
                lanes.write(i.d, [issued; 32])
            }
            Move::Nanoseconds => lanes.write(i.d, [start.elapsed().as_nanos() as u64; 32]),
        }
        Ok(Outcome::Next)
    }

    fn is_in(&self, a: u64, space: Space) -> bool {
        let within = |window: u64| a.wrapping_sub(window) < WINDOW;
        match space {
            Space::Shared => within(SHARED_WINDOW) && self.untagged(a) < TAG_SIZE,
            Space::Cluster => within(SHARED_WINDOW),
            Space::Local => within(LOCAL_WINDOW),
            Space::Param => within(PARAM_WINDOW),
            _ => ![SHARED_WINDOW, LOCAL_WINDOW, PARAM_WINDOW].into_iter().any(within),
        }
    }
}

/// What a generic address of this space is more than an address in the space.
fn window(space: Space) -> u64 {
    match space {
        Space::Shared | Space::Cluster => SHARED_WINDOW,
        Space::Local => LOCAL_WINDOW,
        Space::Param => PARAM_WINDOW,
        _ => 0,
    }
}

fn pack(lanes: &mut Lanes, kernel: &Kernel, i: &Instruction, count: u8, width: u32) {
    let elements = kernel.vectors[i.a as usize];
    let mut r = [0u64; 32];
    for (n, &element) in elements.iter().enumerate().take(count as usize) {
        let a = lanes.source(element);
        for q in 0..32 {
            r[q] |= (a[q] & low_bits(width)) << (n as u32 * width);
        }
    }
    lanes.write(i.d, r);
}

fn unpack(lanes: &mut Lanes, kernel: &Kernel, i: &Instruction, count: u8, width: u32) {
    let elements = kernel.vectors[i.d as usize];
    let a = *lanes.source(i.a);
    for (n, &element) in elements.iter().enumerate().take(count as usize) {
        let mut r = [0u64; 32];
        for q in 0..32 {
            r[q] = (a[q] >> (n as u32 * width)) & low_bits(width);
        }
        lanes.write(element, r);
    }
}
