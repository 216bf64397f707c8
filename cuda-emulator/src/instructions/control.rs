//! Branches, the end of a thread, and calls into the system. Other calls are inlined.

use super::Op;
use crate::checks::{Fault, Kind};
use crate::driver::error::{CUDA_ERROR_ASSERT, CUDA_ERROR_LAUNCH_FAILED};
use crate::machine::block::{At, Block, Outcome};
use crate::machine::lanes::lanes_of;
use crate::machine::warp::Group;
use crate::ptx::kernel::{Class, Instruction};
use crate::ptx::lower::{Lowering, Result};
use crate::ptx::syntax::Statement;
use crate::ptx::types::Type;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Control {
    /// a call that is inlined, or a hint
    Nop,
    /// to this instruction; a label until lowering ends
    Branch(u32),
    /// to an entry of this table
    BranchTable(u32),
    Exit,
    Trap,
    System(SystemCall),
}

/// Functions without a body. Fields are the addresses of parameters in local memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SystemCall {
    Printf { returned: u32, format: u32, arguments: u32 },
    AssertFail { message: u32, file: u32, line: u32 },
}

pub fn select(l: &mut Lowering, s: &Statement) -> Result<()> {
    match s.opcode.as_str() {
        "bra" => {
            let target = l.label_operand(s, 0)?;
            l.emit_plain(Control::Branch(target), Class::Branch);
        }
        "brx" => {
            let a = l.source(s, 0, Type::U32)?;
            let op = Control::BranchTable(l.branch_table(s, 1)?);
            l.emit(Instruction { a, ..l.instruction(op, Class::Branch) });
        }
        "ret" => match l.return_label() {
            None => l.emit_plain(Control::Exit, Class::Branch),
            Some(end) => l.emit_plain(Control::Branch(end), Class::Branch),
        },
        "exit" => l.emit_plain(Control::Exit, Class::Branch),
        "trap" => l.emit_plain(Control::Trap, Class::Other),
        // hints, of which nothing is modelled
        _ => l.emit_plain(Control::Nop, Class::Other),
    }
    Ok(())
}

impl From<Control> for Op {
    fn from(op: Control) -> Op {
        Op::Control(op)
    }
}

impl Block<'_> {
    /// All but plain branches and exits, which the scheduler does itself.
    #[inline(never)]
    pub(super) fn control(
        &mut self,
        op: Control,
        at: At,
        group: &Group,
        i: &Instruction,
        active: u32,
    ) -> std::result::Result<Outcome, Fault> {
        let first = at.with_lane(active.trailing_zeros() as usize);
        match op {
            Control::Nop | Control::Branch(_) | Control::Exit => Ok(Outcome::Next),
            Control::BranchTable(table) => self.branch_by_table(table, at, group, i, active),
            Control::Trap => {
                Err(self.fault(first, Kind::Trap, CUDA_ERROR_LAUNCH_FAILED, "trap".into()))
            }
            Control::System(SystemCall::Printf { returned, format, arguments }) => {
                for lane in lanes_of(active) {
                    let at = at.with_lane(lane);
                    let (format, arguments) =
                        (self.local_u64(at, format), self.local_u64(at, arguments));
                    let text = self.printf(at, format, arguments)?;
                    print!("{text}");
                    let result = self.local_offset(at) + returned as usize;
                    self.warps[at.warp()].local[result] = 0;
                }
                Ok(Outcome::Next)
            }
            Control::System(SystemCall::AssertFail { message, file, line }) => {
                let [message, file] =
                    [message, file].map(|a| self.c_string(first, self.local_u64(first, a)));
                let (message, file) = (message?, file?);
                let line = self.local_u64(first, line) as u32;
                let text = format!("{file}:{line}: assertion `{message}` failed");
                Err(self.fault(first, Kind::Assert, CUDA_ERROR_ASSERT, text))
            }
        }
    }

    fn branch_by_table(
        &mut self,
        table: u32,
        at: At,
        group: &Group,
        i: &Instruction,
        active: u32,
    ) -> std::result::Result<Outcome, Fault> {
        let table = &self.launch.kernel.branch_tables[table as usize];
        let index = *self.lanes(at.warp(), active).source(i.a);
        let target = |lane: usize| table.get(index[lane] as usize);
        if let Some(lane) = lanes_of(active).find(|&lane| target(lane).is_none()) {
            let text = format!("index {} of a branch table of {}", index[lane], table.len());
            let at = at.with_lane(lane);
            return Err(self.fault(at, Kind::BranchTable, CUDA_ERROR_LAUNCH_FAILED, text));
        }
        self.counters.branches += 1;
        let groups = &mut self.warps[at.warp()].groups;
        let off = group.mask & !active;
        if off != 0 {
            groups.push(Group { pc: at.pc + 1, mask: off, ..*group });
        }
        let (mut left, mut targets) = (active, 0);
        while left != 0 {
            let first = target(left.trailing_zeros() as usize);
            let same = lanes_of(left).filter(|&lane| target(lane) == first);
            let same = same.fold(0, |mask, lane| mask | 1 << lane);
            left &= !same;
            groups.push(Group { pc: *first.unwrap_or(&0), mask: same, ..*group });
            targets += 1;
        }
        self.counters.divergent_branches += (targets > 1) as u64;
        Ok(Outcome::Reschedule)
    }
}
