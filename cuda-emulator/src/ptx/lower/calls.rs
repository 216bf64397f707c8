//! Calls are inlined, so that lanes that diverge in a function are lanes that diverge in code.

use super::*;
use crate::instructions::control::SystemCall;
use crate::instructions::memory::{Access, Memory};
use crate::ptx::syntax::Operand;

impl<'a> Lowering<'a> {
    /// A guarded call is a branch around it.
    pub(super) fn guarded_call(&mut self, s: &Statement, guard: Predicate) -> Result<()> {
        if guard == NONE {
            return self.call(s);
        }
        let end = self.new_label();
        let skip = self.instruction(Control::Branch(end as u32), Class::Branch);
        self.emit(Instruction { guard: guard ^ NEGATED, ..skip });
        self.call(s)?;
        self.place_label(end);
        Ok(())
    }

    /// `call (returned), function, (arguments)`
    fn call(&mut self, s: &Statement) -> Result<()> {
        let (returned, at) = match s.operand(0)? {
            Operand::List(list) => (list.as_slice(), 1),
            _ => (&[][..], 0),
        };
        let Operand::Name(name) = s.operand(at)? else { return s.error("bad call target") };
        let arguments = match s.operands.get(at + 1) {
            Some(Operand::List(list)) => list.as_slice(),
            _ => &[],
        };
        let Some(&function) = self.functions.get(name.as_str()) else {
            return s.error(&format!("indirect or unknown call target {name}"));
        };
        let mut params = HashMap::new();
        let mut addresses = vec![];
        let pairs = function.returns.iter().zip(returned);
        for (param, given) in pairs.chain(function.params.iter().zip(arguments)) {
            let address = self.argument(s, param, given)?;
            addresses.push(address as u32);
            params.insert(param.name.clone(), Name::Local(address));
        }
        if function.body.is_none() {
            let call = match (name.as_str(), addresses.as_slice()) {
                ("vprintf", &[returned, format, arguments]) => {
                    SystemCall::Printf { returned, format, arguments }
                }
                ("__assertfail", &[message, file, line, ..]) => {
                    SystemCall::AssertFail { message, file, line }
                }
                _ => return s.error(&format!("extern function {name} is not supported")),
            };
            self.emit_plain(Control::System(call), Class::Other);
            return Ok(());
        }
        // the call itself
        self.emit_plain(Control::Nop, Class::Branch);
        self.function(function, params)
    }

    /// Address of an argument. One that is in a register is stored first.
    fn argument(&mut self, s: &Statement, param: &Variable, given: &Operand) -> Result<u64> {
        let Operand::Name(name) = given else { return s.error("unsupported call argument") };
        match self.find(name) {
            Some(Name::Local(address)) => Ok(address),
            Some(Name::Register(register, _)) => {
                if !matches!(param.size, 1 | 2 | 4 | 8) {
                    return s.error(&format!("a register for {} bytes", param.size));
                }
                let address = self.new_local(param.size, param.align)?;
                let access = Access::new(Space::Local, param.size as u8, 0);
                let store = self.instruction(Memory::Store(access), Class::LoadParamConst);
                let a = self.constant(address);
                self.emit(Instruction { a, b: register, ..store });
                Ok(address)
            }
            _ => s.error(&format!("unsupported call argument {name}")),
        }
    }
}
