//! Operations of the lanes of a warp together: shuffles, votes, matches, reductions, `__syncwarp`.
//!
//! The lanes that a member mask names come together first, wherever they are in the code.

use super::Op;
use super::atomics::AtomicOp;
use crate::checks::Fault;
use crate::machine::block::{At, Block, Outcome};
use crate::machine::lanes::lanes_of;
use crate::machine::warp::Group;
use crate::ptx::kernel::*;
use crate::ptx::lower::{Lowering, Result};
use crate::ptx::syntax::Statement;
use crate::ptx::types::{Type, low_bits};

/// `e` is the member mask. Where there are two destinations, the second is the predicate `b`, of a
/// shuffle that of the vector `d`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WarpOp {
    Shuffle(Shuffle),
    Vote(Vote),
    /// among values of this many bits
    MatchAny {
        width: u8,
    },
    MatchAll {
        width: u8,
    },
    Reduce(AtomicOp, Type),
    Elect,
    /// `bar.warp.sync`
    Sync,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shuffle {
    Up,
    Down,
    Butterfly,
    Index,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vote {
    All,
    Any,
    Uniform,
    /// to a register
    Ballot,
}

/// What a lane gets that reads one that takes no part.
const FROM_NOBODY: u64 = 0xA5A5_A5A5;

pub fn select(l: &mut Lowering, s: &Statement) -> Result<()> {
    let ty = s.ty();
    match s.opcode.as_str() {
        "shfl" => return shuffle(l, s),
        "vote" => {
            let named = [("all", Vote::All), ("any", Vote::Any), ("uni", Vote::Uniform)];
            let vote = named.iter().find(|(name, _)| s.has(name)).map_or(Vote::Ballot, |n| n.1);
            let (a, e) = (l.predicate(s, 1)?, l.source(s, 2, Type::B32)?);
            let is_ballot = vote == Vote::Ballot;
            let d = if is_ballot { l.destination(s, 0)?.0 } else { l.predicate(s, 0)? };
            l.emit(Instruction {
                d,
                a,
                e,
                ..l.instruction(WarpOp::Vote(vote), Class::VoteMatchRedux)
            });
        }
        "match" => {
            let (a, e) = (l.source(s, 1, ty)?, l.source(s, 2, Type::B32)?);
            let (d, b) = l.destination_pair(s, 0)?;
            let width = ty.bits() as u8;
            let op =
                if s.has("all") { WarpOp::MatchAll { width } } else { WarpOp::MatchAny { width } };
            l.emit(Instruction { d, a, b, e, ..l.instruction(op, Class::VoteMatchRedux) });
        }
        "redux" => {
            if ty.is_float() {
                return s.error("redux.f32 not supported");
            }
            use AtomicOp::*;
            let Some(operation @ (Add | Min | Max | And | Or | Xor)) = AtomicOp::of(s) else {
                return s.error("unknown reduction");
            };
            let (a, e) = (l.source(s, 1, ty)?, l.source(s, 2, Type::B32)?);
            let d = l.destination(s, 0)?.0;
            let op = WarpOp::Reduce(operation, ty);
            l.emit(Instruction { d, a, e, ..l.instruction(op, Class::VoteMatchRedux) });
        }
        "elect" => {
            let e = l.source(s, 1, Type::B32)?;
            let (d, b) = l.destination_pair(s, 0)?;
            if b == NONE {
                return s.error("elect without a predicate");
            }
            l.emit(Instruction { d, b, e, ..l.instruction(WarpOp::Elect, Class::VoteMatchRedux) });
        }
        _ => {
            let e = l.source(s, 0, Type::B32)?;
            l.emit(Instruction { e, ..l.instruction(WarpOp::Sync, Class::Barrier) });
        }
    }
    Ok(())
}

fn shuffle(l: &mut Lowering, s: &Statement) -> Result<()> {
    if !s.has("sync") {
        return s.error("shfl without .sync");
    }
    let named = [("up", Shuffle::Up), ("down", Shuffle::Down), ("bfly", Shuffle::Butterfly)];
    let mode = named.iter().find(|(name, _)| s.has(name)).map_or(Shuffle::Index, |n| n.1);
    let (a, b) = (l.source(s, 1, Type::B32)?, l.source(s, 2, Type::B32)?);
    let (c, e) = (l.source(s, 3, Type::B32)?, l.source(s, 4, Type::B32)?);
    let (value, predicate) = l.destination_pair(s, 0)?;
    let d = l.vector([value, predicate, NONE, NONE]);
    l.emit(Instruction { d, a, b, c, e, ..l.instruction(WarpOp::Shuffle(mode), Class::Shuffle) });
    Ok(())
}

impl From<WarpOp> for Op {
    fn from(op: WarpOp) -> Op {
        Op::Warp(op)
    }
}

impl Block<'_> {
    #[inline(never)]
    pub(super) fn warp_op(
        &mut self,
        op: WarpOp,
        at: At,
        group: &mut Group,
        i: &Instruction,
        active: u32,
    ) -> std::result::Result<Outcome, Fault> {
        let Some(together) = self.gather(at, group, i, active)? else {
            return Ok(Outcome::Reschedule);
        };
        self.exchange(op, at, i, together);
        if !self.launch.options.strict_warp || op == WarpOp::Sync {
            self.warps[at.warp()].order_lanes(together);
        }
        // other lanes may be in reach of this place now
        let groups = &mut self.warps[at.warp()].groups;
        if groups.is_empty() {
            return Ok(Outcome::Next);
        }
        groups.push(Group { pc: at.pc + 1, ..*group });
        Ok(Outcome::Reschedule)
    }

    /// `together` are at the instruction and have each other's masks complete.
    fn exchange(&mut self, op: WarpOp, at: At, i: &Instruction, together: u32) {
        if let WarpOp::Shuffle(mode) = op {
            return self.shuffle(mode, at, i, together);
        }
        let mut lanes = self.lanes(at.warp(), together);
        let members = *lanes.source(i.e);
        // of a lane: those of its mask that are here
        let peers = |lane: usize| together & members[lane] as u32;
        let mut result = [0u64; 32];
        let mut predicate = 0u32;
        match op {
            WarpOp::Sync | WarpOp::Shuffle(_) => {}
            WarpOp::Vote(vote) => {
                let p = lanes.predicate(i.a);
                for lane in lanes_of(together) {
                    let (all, set) = (peers(lane), peers(lane) & p);
                    let yes = match vote {
                        Vote::All => set == all,
                        Vote::Any => set != 0,
                        Vote::Uniform => set == all || set == 0,
                        Vote::Ballot => {
                            result[lane] = set as u64;
                            false
                        }
                    };
                    predicate |= (yes as u32) << lane;
                }
                if vote == Vote::Ballot {
                    lanes.write(i.d, result);
                } else {
                    lanes.write_predicate(i.d, predicate);
                }
            }
            WarpOp::MatchAny { width } | WarpOp::MatchAll { width } => {
                let a = *lanes.source(i.a);
                let mask = low_bits(width as u32);
                for lane in lanes_of(together) {
                    let equal = |&other: &usize| (a[other] ^ a[lane]) & mask == 0;
                    let same = lanes_of(peers(lane)).filter(equal).fold(0u32, |m, l| m | 1 << l);
                    let all = same == peers(lane);
                    predicate |= (all as u32) << lane;
                    let is_any = matches!(op, WarpOp::MatchAny { .. });
                    result[lane] = if is_any || all { same as u64 } else { 0 };
                }
                lanes.write(i.d, result);
                if i.b != NONE {
                    // `match.any` has none
                    lanes.write_predicate(i.b, predicate);
                }
            }
            WarpOp::Reduce(operation, ty) => {
                let a = *lanes.source(i.a);
                let mut last = (0, 0);
                for lane in lanes_of(together) {
                    if last.0 != peers(lane) {
                        let values = lanes_of(peers(lane)).map(|l| a[l] as u32);
                        let total = values.reduce(|x, y| reduce(operation, ty, x, y));
                        last = (peers(lane), total.unwrap_or(0));
                    }
                    result[lane] = last.1 as u64;
                }
                lanes.write(i.d, result);
            }
            WarpOp::Elect => {
                for lane in lanes_of(together) {
                    let leader = peers(lane).trailing_zeros();
                    result[lane] = leader as u64;
                    predicate |= ((leader as usize == lane) as u32) << lane;
                }
                lanes.write(i.d, result);
                lanes.write_predicate(i.b, predicate);
            }
        }
    }

    fn shuffle(&mut self, mode: Shuffle, at: At, i: &Instruction, together: u32) {
        let [value, predicate, ..] = self.launch.kernel.vectors[i.d as usize];
        let mut lanes = self.lanes(at.warp(), together);
        let (a, b) = (lanes.source(i.a), lanes.source(i.b));
        let (c, members) = (lanes.source(i.c), lanes.source(i.e));
        let undefined_value = lanes.warp.undefined_lanes(i.a);
        let undefined_lane = lanes.warp.undefined_lanes(i.b) | lanes.warp.undefined_lanes(i.c);
        let (mut result, mut in_range, mut undefined) = ([0u64; 32], 0u32, 0u32);
        let mut inactive = vec![];
        for lane in lanes_of(together) {
            let from = source_lane(mode, lane as i32, b[lane], c[lane]);
            in_range |= (from.is_some() as u32) << lane;
            let from = from.unwrap_or(lane);
            if (together & members[lane] as u32) >> from & 1 == 0 {
                inactive.push((lane, from));
                result[lane] = FROM_NOBODY;
            } else {
                result[lane] = a[from];
            }
            undefined |= ((undefined_value >> from | undefined_lane >> lane) & 1) << lane;
        }
        if lanes.warp.has_undefined {
            lanes.warp.set_undefined(value, together, undefined);
        }
        lanes.write(value, result);
        if predicate != NONE {
            lanes.write_predicate(predicate, in_range);
        }
        for (lane, from) in inactive {
            self.shuffle_from_inactive(at.with_lane(lane), from);
        }
    }
}

/// The lane that a shuffle reads, if it is in the segment.
fn source_lane(mode: Shuffle, lane: i32, b: u64, c: u64) -> Option<usize> {
    let (b, clamp) = ((b & 31) as i32, (c & 31) as i32);
    let segment = (c >> 8 & 31) as i32;
    let (first, last) = (lane & segment, (lane & segment) | (clamp & !segment & 31));
    let (from, in_range) = match mode {
        Shuffle::Up => (lane - b, lane - b >= last),
        Shuffle::Down => (lane + b, lane + b <= last),
        Shuffle::Butterfly => (lane ^ b, lane ^ b <= last),
        Shuffle::Index => {
            let from = first | (b & !segment & 31);
            (from, from <= last)
        }
    };
    // a mask of a segment that is none can name a lane outside of the warp
    (in_range && (0..32).contains(&from)).then_some(from as usize)
}

fn reduce(operation: AtomicOp, ty: Type, x: u32, y: u32) -> u32 {
    match operation {
        AtomicOp::Add => x.wrapping_add(y),
        AtomicOp::And => x & y,
        AtomicOp::Or => x | y,
        AtomicOp::Xor => x ^ y,
        AtomicOp::Min if ty.is_signed() => (x as i32).min(y as i32) as u32,
        AtomicOp::Min => x.min(y),
        _ if ty.is_signed() => (x as i32).max(y as i32) as u32,
        _ => x.max(y),
    }
}
