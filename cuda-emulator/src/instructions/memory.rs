//! Loads and stores. Whether an access is allowed, and with what it conflicts, is asked of
//! [`crate::checks`], which answers with the host's address of the bytes.

use super::Op;
use crate::checks::{AccessKind, Fault, Kind};
use crate::counters::Traffic;
use crate::driver::error::CUDA_ERROR_INVALID_ADDRESS_SPACE;
use crate::machine::block::{At, Block, Outcome};
use crate::machine::cluster::TAG_SIZE;
use crate::machine::lanes::lanes_of;
use crate::machine::memory::state;
use crate::ptx::kernel::*;
use crate::ptx::lower::{Lowering, Result};
use crate::ptx::syntax::Statement;
use crate::ptx::types::{Space, Type, low_bits, sign_extend};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Memory {
    /// to `d` from `a`; with more than one element `d` is a vector
    Load(Access),
    /// to `a` from `b`
    Store(Access),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Access {
    pub space: Space,
    /// bytes of one element: 1, 2, 4 or 8
    pub size: u8,
    /// elements: 1, 2 or 4, together at most 16 bytes
    pub count: u8,
    pub sign_extend: bool,
    /// bits of the destination register
    pub width: u8,
    pub offset: i64,
    /// volatile, relaxed, acquire or release: may be meant to meet others
    pub strong: bool,
    /// bytes that are used, a bit each
    pub used: u32,
}

impl Access {
    /// Of one element, plain and used.
    pub fn new(space: Space, size: u8, offset: i64) -> Access {
        let (count, sign_extend, width, strong, used) = (1, false, 64, false, !0);
        Access { space, size, count, sign_extend, width, offset, strong, used }
    }

    pub fn bytes(&self) -> u32 {
        self.size as u32 * self.count as u32
    }
}

pub fn select(l: &mut Lowering, s: &Statement) -> Result<()> {
    let (is_store, ty) = (s.opcode == "st", s.ty());
    if s.has("async") || s.has("bulk") {
        return s.error("asynchronous stores not supported");
    }
    let (address, value) = if is_store { (0, 1) } else { (1, 0) };
    let (a, offset, implied) = l.address(s, address)?;
    let mut space = Space::of_modifiers(&s.modifiers);
    // a call's parameters live in private memory, and a variable says where it is
    if matches!(space, Space::Param | Space::Generic) {
        space = implied.unwrap_or(space);
    }
    let count = match (s.has("v2"), s.has("v4"), s.has("v8")) {
        (true, ..) => 2,
        (_, true, _) => 4,
        (.., true) => return s.error("v8 not supported"),
        _ => 1,
    };
    let size = access_size(s)?;
    if size * count > 16 {
        return s.error("more than 16 bytes at once not supported");
    }
    let orders = ["volatile", "relaxed", "acquire", "release", "mmio"];
    let mut access = Access {
        count,
        sign_extend: ty.is_signed(),
        strong: orders.iter().any(|m| s.has(m)),
        used: s.used_bytes,
        ..Access::new(space, size, offset)
    };
    match space {
        Space::Shared => l.kernel.strong_shared |= access.strong,
        _ => l.kernel.orders_blocks |= access.strong,
    }
    let class = match (space, is_store) {
        _ if s.has("param") => Class::LoadParamConst,
        (Space::Shared | Space::Cluster, false) => Class::LoadShared,
        (Space::Shared | Space::Cluster, true) => Class::StoreShared,
        (Space::Local, false) => Class::LoadLocal,
        (Space::Local, true) => Class::StoreLocal,
        (Space::Param | Space::Const, _) => Class::LoadParamConst,
        (_, false) => Class::LoadGlobal,
        (_, true) => Class::StoreGlobal,
    };
    let elements = if count == 1 {
        std::slice::from_ref(s.operand(value)?)
    } else {
        l.vector_operand(s, value)?
    };
    if elements.len() != count as usize {
        return s.error(&format!("a vector of {count} is expected"));
    }
    let mut registers = [NONE; 4];
    for (register, element) in registers.iter_mut().zip(elements) {
        if is_store {
            *register = l.source_operand(s, element, ty)?;
        } else {
            let (d, width) = l.destination_operand(s, element)?;
            access.width = width as u8;
            *register = d;
        }
    }
    let values = if count == 1 { registers[0] } else { l.vector(registers) };
    l.emit(if is_store {
        Instruction { a, b: values, ..l.instruction(Memory::Store(access), class) }
    } else {
        Instruction { a, d: values, ..l.instruction(Memory::Load(access), class) }
    });
    Ok(())
}

/// Bytes of the statement's type, which must be a power of two up to 8.
pub(super) fn access_size(s: &Statement) -> Result<u8> {
    match s.ty() {
        Type::B128 => s.error("b128 not supported"),
        Type::Pred => s.error("not supported for this type"),
        ty => Ok((ty.bits() / 8) as u8),
    }
}

impl From<Memory> for Op {
    fn from(op: Memory) -> Op {
        Op::Memory(op)
    }
}

/// The space that an address is in, and the address there.
#[inline(always)]
pub(super) fn resolve(space: Space, a: u64) -> (Space, u64) {
    if space != Space::Generic {
        return (space, a);
    }
    if a < SHARED_WINDOW {
        (Space::Global, a)
    } else if a - SHARED_WINDOW < WINDOW {
        (Space::Shared, a - SHARED_WINDOW)
    } else if a.wrapping_sub(LOCAL_WINDOW) < WINDOW {
        (Space::Local, a - LOCAL_WINDOW)
    } else if a.wrapping_sub(PARAM_WINDOW) < WINDOW {
        (Space::Param, a - PARAM_WINDOW)
    } else {
        (Space::Global, a)
    }
}

impl Block<'_> {
    pub(super) fn memory(
        &mut self,
        op: &Memory,
        at: At,
        i: &Instruction,
        active: u32,
    ) -> std::result::Result<Outcome, Fault> {
        match op {
            Memory::Load(access) => {
                self.warps[at.warp()].strong_accesses += access.strong as u64;
                self.load(at, i, access, active)?
            }
            Memory::Store(access) => self.store(at, i, access, active)?,
        }
        Ok(Outcome::Next)
    }

    fn registers_of(&self, access: &Access, slot: u32) -> [Register; 4] {
        if access.count == 1 {
            [slot, NONE, NONE, NONE]
        } else {
            self.launch.kernel.vectors[slot as usize]
        }
    }

    #[inline(never)]
    fn load(
        &mut self,
        at: At,
        i: &Instruction,
        access: &Access,
        active: u32,
    ) -> std::result::Result<(), Fault> {
        if access.space == Space::Param && i.a & CONSTANT != 0 {
            return self.load_parameter(at, i, access, active);
        }
        let base = *self.lanes(at.warp(), active).source(i.a);
        let (n, size) = (access.bytes(), access.size as usize);
        let registers = self.registers_of(access, i.d);
        let kind = if access.strong { AccessKind::StrongRead } else { AccessKind::Read };
        let width = low_bits(access.width as u32);
        let mut traffic = Traffic::default();
        for lane in lanes_of(active) {
            let at = at.with_lane(lane);
            let a = base[lane].wrapping_add(access.offset as u64);
            let (space, a) = resolve(access.space, a);
            // a bit for each byte that was never written
            let mut undefined = 0u32;
            let p: *const u8 = match space {
                Space::Global | Space::Const | Space::Generic => {
                    // a constant kind each, which is worth a tenth of the time
                    let (host, some_undefined) = if access.strong {
                        self.global_access(at, a, n, AccessKind::StrongRead, None)?
                    } else {
                        self.global_access(at, a, n, AccessKind::Read, None)?
                    };
                    if some_undefined {
                        undefined = self.undefined_global_bytes(a, n);
                        if undefined & access.used != 0 {
                            self.undefined_global_read(at, a, n);
                        }
                    }
                    traffic.global(a);
                    host as *const u8
                }
                Space::Shared | Space::Cluster => {
                    let a = self.untagged(a);
                    let p = self.shared_access(at, a, n, kind, None, access.used)?;
                    traffic.shared(a, lane);
                    if self.read_undefined {
                        for (z, s) in self.shared_states(a, n as usize).iter().enumerate() {
                            undefined |= (!*s as u32 & state::SHARED_WRITTEN as u32) << z;
                        }
                    }
                    p
                }
                Space::Local => {
                    let offset = self.local_access(at, a, n, "read")?;
                    self.warps[at.warp()].local[offset..].as_ptr()
                }
                Space::Param => {
                    let offset = self.param_access(at, a, n)?;
                    self.launch.params[offset..].as_ptr()
                }
            };
            let warp = &mut self.warps[at.warp()];
            if undefined != 0 || warp.has_undefined {
                warp.loaded_undefined(at, &registers, size, access.count as usize, undefined);
            }
            for (n, &register) in registers.iter().enumerate().take(access.count as usize) {
                // SAFETY: the check found `n` bytes of that space there, aligned. Volatile, because
                // blocks on other threads and the program may write them meanwhile.
                let v = unsafe {
                    let p = p.add(n * size);
                    match size {
                        1 => p.read_volatile() as u64,
                        2 => (p as *const u16).read_volatile() as u64,
                        4 => (p as *const u32).read_volatile() as u64,
                        _ => (p as *const u64).read_volatile(),
                    }
                };
                let v = if access.sign_extend { sign_extend(v, size as u32 * 8) as u64 } else { v };
                warp.registers[register as usize][lane] = v & width;
            }
        }
        let is_global = i.class != Class::LoadParamConst;
        self.counters.count_loads(&traffic, at.pc, n, is_global);
        Ok(())
    }

    /// A parameter at a place that the instruction names is the same for all lanes. Every kernel begins
    /// with some of these.
    fn load_parameter(
        &mut self,
        at: At,
        i: &Instruction,
        access: &Access,
        active: u32,
    ) -> std::result::Result<(), Fault> {
        let first = active.trailing_zeros() as usize;
        let base = self.lanes(at.warp(), active).source(i.a)[first];
        let a = base.wrapping_add(access.offset as u64);
        let offset = self.param_access(at.with_lane(first), a, access.bytes())?;
        let (size, count) = (access.size as usize, access.count as usize);
        let registers = self.registers_of(access, i.d);
        let elements = self.launch.params[offset..].chunks_exact(size);
        for (element, &register) in elements.zip(&registers[..count]) {
            let mut bytes = [0; 8];
            bytes[..size].copy_from_slice(element);
            let v = u64::from_le_bytes(bytes);
            let v = if access.sign_extend { sign_extend(v, size as u32 * 8) as u64 } else { v };
            let v = v & low_bits(access.width as u32);
            self.lanes(at.warp(), active).write(register, [v; 32]);
        }
        let warp = &mut self.warps[at.warp()];
        if warp.has_undefined {
            for lane in lanes_of(active) {
                warp.loaded_undefined(at.with_lane(lane), &registers, size, count, 0);
            }
        }
        Ok(())
    }

    #[inline(never)]
    fn store(
        &mut self,
        at: At,
        i: &Instruction,
        access: &Access,
        active: u32,
    ) -> std::result::Result<(), Fault> {
        let base = *self.lanes(at.warp(), active).source(i.a);
        let (n, size) = (access.bytes(), access.size as usize);
        let registers = self.registers_of(access, i.b);
        let kind = if access.strong { AccessKind::StrongWrite } else { AccessKind::Write };
        let mut traffic = Traffic::default();
        for lane in lanes_of(active) {
            let at = at.with_lane(lane);
            let a = base[lane].wrapping_add(access.offset as u64);
            let (space, a) = resolve(access.space, a);
            let mut buffer = [0u8; 16];
            for (n, &register) in registers.iter().enumerate().take(access.count as usize) {
                let v = self.launch.kernel.value(&self.warps[at.warp()].registers, register)[lane];
                buffer[n * size..(n + 1) * size].copy_from_slice(&v.to_le_bytes()[..size]);
            }
            let new = &buffer[..n as usize];
            let p: *mut u8 = match space {
                Space::Global | Space::Generic => {
                    let (host, _) = if access.strong {
                        self.global_access(at, a, n, AccessKind::StrongWrite, Some(new))?
                    } else {
                        self.global_access(at, a, n, AccessKind::Write, Some(new))?
                    };
                    traffic.global(a);
                    host as *mut u8
                }
                Space::Shared | Space::Cluster => {
                    let a = self.untagged(a);
                    let p = self.shared_access(at, a, n, kind, Some(new), !0)?;
                    traffic.shared(a, lane);
                    p
                }
                Space::Local => {
                    let offset = self.local_access(at, a, n, "write")?;
                    self.warps[at.warp()].local[offset..].as_mut_ptr()
                }
                Space::Const | Space::Param => {
                    let text = format!("write to constant or parameter space at {a:#x}");
                    let code = CUDA_ERROR_INVALID_ADDRESS_SPACE;
                    return Err(self.fault(at, Kind::WriteConst, code, text));
                }
            };
            if self.warps[at.warp()].has_undefined {
                self.stored_undefined(at, space, a, &registers, size, access.count as usize);
            }
            // SAFETY: the check found `n` bytes of that space there, aligned; `volatile` as in `load`
            unsafe { write_volatile(p, &buffer, n) };
        }
        self.counters.count_stores(&traffic, at.pc, n);
        Ok(())
    }

    /// Where a lane's local memory begins in that of its warp.
    pub(super) fn local_offset(&self, at: At) -> usize {
        at.lane() * self.launch.kernel.local_size as usize
    }

    /// A parameter of a system call.
    pub(super) fn local_u64(&self, at: At, address: u32) -> u64 {
        let start = self.local_offset(at) + address as usize;
        let bytes = self.warps[at.warp()].local.get(start..start + 8);
        bytes.map_or(0, |b| u64::from_le_bytes(b.try_into().expect("8 bytes")))
    }

    /// Whether an address of shared memory without its own tag is another block's.
    #[inline(always)]
    pub fn is_distributed(a: u64) -> bool {
        a >= TAG_SIZE
    }
}

/// # Safety
/// `n` bytes from `p` on, 1, 2, 4, 8 or 16, may be written and are aligned.
#[inline(always)]
unsafe fn write_volatile(p: *mut u8, from: &[u8; 16], n: u32) {
    let word = u128::from_le_bytes(*from);
    // SAFETY: the caller's
    unsafe {
        match n {
            1 => p.write_volatile(word as u8),
            2 => (p as *mut u16).write_volatile(word as u16),
            4 => (p as *mut u32).write_volatile(word as u32),
            8 => (p as *mut u64).write_volatile(word as u64),
            _ => {
                (p as *mut u64).write_volatile(word as u64);
                (p as *mut u64).add(1).write_volatile((word >> 64) as u64);
            }
        }
    }
}
