//! Operands of statements: registers, constants, addresses, special registers.

use super::*;
use crate::instructions::compare::{Compare, Comparison, Logic};
use crate::instructions::integer::Integer;
use crate::instructions::moves::Move;
use crate::ptx::syntax::Operand;

impl Lowering<'_> {
    pub(super) fn find(&self, name: &str) -> Option<Name> {
        self.scopes.iter().rev().find_map(|scope| scope.get(name)).copied()
    }

    /// The register that holds operand `n`, a source of type `ty`.
    pub fn source(&mut self, s: &Statement, n: usize, ty: Type) -> Result<Register> {
        let operand = s.operand(n)?;
        self.source_operand(s, operand, ty)
    }

    pub fn source_operand(
        &mut self,
        s: &Statement,
        operand: &Operand,
        ty: Type,
    ) -> Result<Register> {
        match operand {
            Operand::Name(name) => {
                if let Some(Name::Register(r, _)) = self.find(name) {
                    return Ok(r);
                }
                if let Some(r) = self.special(name) {
                    return Ok(r);
                }
                match self.variable_address(name)? {
                    Some((r, _)) => Ok(r),
                    None => s.error(&format!("unknown operand {name}")),
                }
            }
            Operand::Symbol(name, offset) => self.symbol(s, name, *offset as u64),
            Operand::Integer(v) => {
                let v = match ty {
                    Type::F32 => (*v as i64 as f32).to_bits() as u64,
                    Type::F64 => (*v as i64 as f64).to_bits(),
                    _ => *v & ty.mask(),
                };
                Ok(self.constant(v))
            }
            Operand::F32(bits) => Ok(match ty {
                Type::F64 => self.constant((f32::from_bits(*bits) as f64).to_bits()),
                _ => self.constant(*bits as u64),
            }),
            Operand::F64(bits) => Ok(match ty {
                Type::F32 | Type::B32 => {
                    self.constant((f64::from_bits(*bits) as f32).to_bits() as u64)
                }
                _ => self.constant(*bits),
            }),
            _ => s.error("bad source operand"),
        }
    }

    /// `name + offset`
    fn symbol(&mut self, s: &Statement, name: &str, offset: u64) -> Result<Register> {
        let Some((base, _)) = self.variable_address(name)? else {
            return s.error(&format!("unknown symbol {name}"));
        };
        if base & CONSTANT != 0 {
            let value = self.kernel.constants[(base & !CONSTANT) as usize][0];
            return Ok(self.constant(value.wrapping_add(offset)));
        }
        let d = self.new_register();
        let b = self.constant(offset);
        let add = self.instruction(Integer::Add(Type::U64), Class::Integer);
        self.emit(Instruction { d, a: base, b, ..add });
        Ok(d)
    }

    /// The register that operand `n` names, and its width in bits.
    pub fn destination(&mut self, s: &Statement, n: usize) -> Result<(Register, u32)> {
        let operand = s.operand(n)?;
        self.destination_operand(s, operand)
    }

    pub fn destination_operand(
        &mut self,
        s: &Statement,
        operand: &Operand,
    ) -> Result<(Register, u32)> {
        match operand {
            Operand::Name(name) if name == "_" => Ok((self.new_register(), 64)),
            Operand::Name(name) => match self.find(name) {
                Some(Name::Register(r, width)) => Ok((r, width)),
                _ => s.error(&format!("bad destination {name}")),
            },
            _ => s.error("bad destination"),
        }
    }

    /// `d|p`: a register and, where there is one, a predicate.
    pub fn destination_pair(&mut self, s: &Statement, n: usize) -> Result<(Register, Predicate)> {
        match s.operand(n)? {
            Operand::Pair(d, p) => {
                Ok((self.destination_operand(s, d)?.0, self.predicate_operand(s, p)?))
            }
            d => Ok((self.destination_operand(s, d)?.0, NONE)),
        }
    }

    /// The registers in `{a, b, ...}`, 2 to 4 of them.
    pub fn vector_operand<'s>(&self, s: &'s Statement, n: usize) -> Result<&'s [Operand]> {
        match s.operand(n)? {
            Operand::Vector(v) if (2..=4).contains(&v.len()) => Ok(v),
            _ => s.error("expected a vector of 2 to 4"),
        }
    }

    pub fn predicate(&mut self, s: &Statement, n: usize) -> Result<Predicate> {
        let operand = s.operand(n)?;
        self.predicate_operand(s, operand)
    }

    pub fn predicate_operand(&mut self, s: &Statement, operand: &Operand) -> Result<Predicate> {
        let (name, negated) = match operand {
            Operand::Name(name) => (name, 0),
            Operand::Not(name) => (name, NEGATED),
            Operand::Integer(v) => {
                let d = self.new_predicate();
                let set = self.instruction(Compare::SetPredicate(*v != 0), Class::PredicateSelect);
                self.emit(Instruction { d, ..set });
                return Ok(d);
            }
            _ => return s.error("bad predicate"),
        };
        if name == "_" {
            return Ok(self.new_predicate());
        }
        if name == "%is_explicit_cluster" {
            // the one special register that is a predicate
            let comparison = Comparison::Ne;
            let op = Compare::Setp { comparison, ty: Type::U32, logic: Logic::None, ftz: false };
            let (d, b) = (self.new_predicate(), self.constant(0));
            let a = self.special_register(Special::IsExplicitCluster);
            let set = self.instruction(op, Class::PredicateSelect);
            self.emit(Instruction { d, a, b, ..set });
            return Ok(d | negated);
        }
        match self.find(name) {
            Some(Name::Predicate(p)) => Ok(p | negated),
            _ => s.error(&format!("{name} is not a predicate")),
        }
    }

    pub fn is_predicate(&self, operand: &Operand) -> bool {
        match operand {
            Operand::Name(n) | Operand::Not(n) => matches!(self.find(n), Some(Name::Predicate(_))),
            _ => false,
        }
    }

    /// Base register or constant of the address `n`, its offset, and the space of the variable
    /// that it names, if it names one.
    pub fn address(&mut self, s: &Statement, n: usize) -> Result<(Register, i64, Option<Space>)> {
        let Operand::Address(base, offset) = s.operand(n)? else {
            return s.error("expected an address");
        };
        let Some(name) = base else { return Ok((self.constant(0), *offset, None)) };
        if let Some(Name::Register(r, _)) = self.find(name) {
            return Ok((r, *offset, None));
        }
        match self.variable_address(name)? {
            Some((r, space)) => Ok((r, *offset, Some(space))),
            None => s.error(&format!("unknown address base {name}")),
        }
    }

    /// What the name of a variable stands for: its address in its own space.
    fn variable_address(&mut self, name: &str) -> Result<Option<(Register, Space)>> {
        let what = match self.find(name) {
            Some(what) => what,
            None => {
                let Some(v) = self.module.variables.iter().find(|v| v.name == name) else {
                    return Ok(None);
                };
                if v.space != Space::Shared {
                    let Some(&address) = self.globals.get(name) else { return Ok(None) };
                    let is_const = v.space == Space::Const;
                    let space = if is_const { Space::Const } else { Space::Global };
                    return Ok(Some((self.constant(address), space)));
                }
                self.shared_variable(v)?
            }
        };
        Ok(match what {
            Name::Shared(offset) => Some((self.constant(SHARED_BASE + offset), Space::Shared)),
            Name::DynamicShared => {
                Some((self.special_register(Special::DynamicSharedBase), Space::Shared))
            }
            Name::Local(address) => Some((self.constant(address), Space::Local)),
            Name::KernelParam(offset) => Some((self.constant(offset), Space::Param)),
            Name::Register(..) | Name::Predicate(_) => None,
        })
    }

    /// The register of a special register, if this is the name of one.
    fn special(&mut self, name: &str) -> Option<Register> {
        let axis = match name.as_bytes().last() {
            Some(b'x') => 0u8,
            Some(b'y') => 1,
            Some(b'z') => 2,
            _ => 3,
        };
        let special = match name.split('.').next().unwrap_or(name) {
            "%tid" => Special::Tid(axis),
            "%ntid" => Special::Ntid(axis),
            "%ctaid" => Special::Ctaid(axis),
            "%nctaid" => Special::Nctaid(axis),
            "%clusterid" => Special::ClusterId(axis),
            "%nclusterid" => Special::NclusterId(axis),
            "%cluster_ctaid" => Special::ClusterCtaid(axis),
            "%cluster_nctaid" => Special::ClusterNctaid(axis),
            "%cluster_ctarank" => Special::ClusterRank,
            "%cluster_nctarank" => Special::ClusterSize,
            "%laneid" => Special::LaneId,
            "%warpid" => Special::WarpId,
            "%nwarpid" => Special::NwarpId,
            "%smid" => Special::SmId,
            "%nsmid" => Special::NsmId,
            "%gridid" => Special::GridId,
            "%lanemask_eq" => Special::LaneMaskEq,
            "%lanemask_lt" => Special::LaneMaskLt,
            "%lanemask_le" => Special::LaneMaskLe,
            "%lanemask_gt" => Special::LaneMaskGt,
            "%lanemask_ge" => Special::LaneMaskGe,
            "%dynamic_smem_size" => Special::DynamicSharedSize,
            "%total_smem_size" | "%aggr_smem_size" => Special::TotalSharedSize,
            "%clock" | "%clock_hi" | "%clock64" | "%globaltimer" | "%globaltimer_lo"
            | "%globaltimer_hi" => {
                let d = self.new_register();
                let op = if name.starts_with("%g") { Move::Nanoseconds } else { Move::Clock };
                let read = self.instruction(op, Class::Other);
                self.emit(Instruction { d, ..read });
                return Some(d);
            }
            "WARP_SZ" => return Some(self.constant(32)),
            name => {
                if let Some(number) = name.strip_prefix("%envreg") {
                    Special::EnvReg(number.parse().unwrap_or(0))
                } else if name.starts_with("%pm") {
                    Special::Zero
                } else if name.starts_with("%reserved_smem_offset") {
                    // the system's own part of shared memory lies below SHARED_BASE
                    return Some(self.constant(0));
                } else {
                    return None;
                }
            }
        };
        Some(self.special_register(special))
    }

    fn special_register(&mut self, special: Special) -> Register {
        if let Some(&r) = self.specials.get(&special) {
            return r;
        }
        let r = self.new_register();
        self.specials.insert(special, r);
        self.kernel.specials.push((special, r));
        r
    }
}
