//! Every access is within an allocation, aligned and allowed.

use super::{AccessKind, Fault, Kind};
use crate::driver::error::{CUDA_ERROR_ILLEGAL_ADDRESS, CUDA_ERROR_MISALIGNED_ADDRESS};
use crate::machine::block::{At, Block};
use crate::machine::memory::{Denied, state};
use crate::ptx::kernel::{LOCAL_BASE, SHARED_BASE};
use crate::ptx::types::low_bits;

type Result<T> = std::result::Result<T, Fault>;

impl Block<'_> {
    /// An access to global memory: the host's address of the bytes, and whether a read saw some that
    /// were never written. `new` is what will be written.
    #[inline(always)]
    pub(crate) fn global_access(
        &self,
        at: At,
        a: u64,
        bytes: u32,
        kind: AccessKind,
        new: Option<&[u8]>,
    ) -> Result<(u64, bool)> {
        if a & (bytes as u64 - 1) != 0 {
            return Err(self.misaligned(at, format!("{} of {bytes} bytes at {a:#x}", kind.verb())));
        }
        let view = &self.launch.view;
        match view.access(a, bytes, kind.reads(), kind.writes()) {
            Ok(found) => {
                if view.has_marks() && self.launch.id != 0 {
                    self.check_block_races(at, a, bytes, kind, new, found.0);
                }
                Ok(found)
            }
            Err(denied) => Err(self.denied(at, a, bytes, kind, denied)),
        }
    }

    #[cold]
    fn denied(&self, at: At, a: u64, bytes: u32, kind: AccessKind, denied: Denied) -> Fault {
        let (kind, text) = match denied {
            Denied::OutOfBounds => {
                let (what, memory) = (kind.verb(), self.launch.memory);
                let (place, own) = (memory.describe(a), self.launch.device);
                let whose = match memory.device_of(a) {
                    Some(n) if n != own => {
                        format!(" of device {n}, to which a kernel of device {own} has no access")
                    }
                    _ => String::new(),
                };
                let text = format!("invalid {what} of {bytes} bytes at {a:#x}, {place}{whose},");
                (Kind::OutOfBoundsGlobal, text)
            }
            Denied::ReadOnly => (Kind::WriteConst, format!("write to constant memory at {a:#x}")),
        };
        self.fault(at, kind, CUDA_ERROR_ILLEGAL_ADDRESS, text)
    }

    #[cold]
    pub(super) fn misaligned(&self, at: At, text: String) -> Fault {
        self.fault(at, Kind::Misaligned, CUDA_ERROR_MISALIGNED_ADDRESS, text)
    }

    /// An access to shared memory of the block, or with a tag to that of another one of its cluster.
    /// `new` is what will be written, `used` has a bit for each byte that matters.
    #[inline]
    pub(crate) fn shared_access(
        &mut self,
        at: At,
        a: u64,
        bytes: u32,
        kind: AccessKind,
        new: Option<&[u8]>,
        used: u32,
    ) -> Result<*mut u8> {
        let (offset, n) = (a.wrapping_sub(SHARED_BASE), bytes as usize);
        if offset >= self.shared.len() as u64 || offset + n as u64 > self.shared.len() as u64 {
            if Self::is_distributed(a) && self.member.is_some() {
                return self.distributed_access(at, a, bytes, kind, new, used);
            }
            let (what, size) = (kind.verb(), self.shared.len());
            let offset = offset as i64;
            let text =
                format!("invalid shared {what} of {n} bytes at offset {offset} of {size} bytes");
            return Err(self.fault(at, Kind::OutOfBoundsShared, CUDA_ERROR_ILLEGAL_ADDRESS, text));
        }
        if a & (n as u64 - 1) != 0 {
            let text = format!("shared access of {n} bytes at offset {offset}");
            return Err(self.misaligned(at, text));
        }
        let offset = offset as usize;
        self.read_undefined = false;
        if used != !0 || !all_written(&mut self.shared_state[offset..offset + n], kind) {
            let states = &mut self.shared_state[offset..offset + n];
            let seen = note_shared_access(states, used, kind.writes());
            self.read_undefined = seen.undefined && !kind.writes();
            if seen.undefined || seen.in_flight {
                self.shared_state_findings(at, offset, bytes, kind, seen, self.index);
            }
        }
        if self.launch.options.race {
            self.check_shared_races(at, offset, n, kind, used, new);
        }
        Ok(self.shared[offset..].as_mut_ptr())
    }

    /// Where a cp.async writes: the offset in shared memory.
    pub(crate) fn async_copy_target(&self, at: At, to: u64, from: u64, size: u8) -> Result<usize> {
        let n = size as u64;
        if !from.is_multiple_of(n) || !to.is_multiple_of(n) {
            let text = format!("cp.async of {n} bytes from {from:#x} to shared {to:#x}");
            return Err(self.misaligned(at, text));
        }
        let (offset, size) = (to.wrapping_sub(SHARED_BASE), self.shared.len() as u64);
        if offset > size || offset + n > size {
            let text = format!("cp.async to shared offset {} of {size}", offset as i64);
            return Err(self.fault(at, Kind::OutOfBoundsShared, CUDA_ERROR_ILLEGAL_ADDRESS, text));
        }
        Ok(offset as usize)
    }

    /// An access to the lane's local memory: the offset in that of the warp.
    #[inline(always)]
    pub(crate) fn local_access(
        &self,
        at: At,
        a: u64,
        bytes: u32,
        what: &'static str,
    ) -> Result<usize> {
        let size = self.launch.kernel.local_size;
        if a < LOCAL_BASE || a > size || a + bytes as u64 > size {
            let text = format!("invalid local {what} of {bytes} bytes at {a:#x} of {size}");
            return Err(self.fault(at, Kind::OutOfBoundsLocal, CUDA_ERROR_ILLEGAL_ADDRESS, text));
        }
        if a & (bytes as u64 - 1) != 0 {
            return Err(self.misaligned(at, format!("local {what} of {bytes} bytes at {a:#x}")));
        }
        Ok(at.lane() * size as usize + a as usize)
    }

    /// A read of a parameter: the offset among them.
    #[inline(always)]
    pub(crate) fn param_access(&self, at: At, a: u64, bytes: u32) -> Result<usize> {
        let size = self.launch.params.len() as u64;
        if a > size || a + bytes as u64 > size {
            let text = format!("invalid parameter read at {a:#x} of {size}");
            return Err(self.fault(at, Kind::OutOfBoundsParam, CUDA_ERROR_ILLEGAL_ADDRESS, text));
        }
        if a & (bytes as u64 - 1) != 0 {
            return Err(self.misaligned(at, format!("parameter read of {bytes} bytes at {a:#x}")));
        }
        Ok(a as usize)
    }
}

/// What an access saw of bytes that it uses.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    /// never written
    pub undefined: bool,
    /// a cp.async will write them
    pub in_flight: bool,
}

/// The usual case: 4 or 8 bytes that were all written, or that none was and that are now.
#[inline(always)]
fn all_written(states: &mut [u8], kind: AccessKind) -> bool {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let written = (EACH * state::SHARED_WRITTEN as u64) & low_bits(states.len() as u32 * 8);
    let now = match states.len() {
        4 => u32::from_ne_bytes(states.try_into().expect("4 bytes")) as u64,
        8 => u64::from_ne_bytes(states.try_into().expect("8 bytes")),
        _ => return false,
    };
    if now == written {
        return true;
    }
    let is_first = now == 0 && kind.writes() && kind != AccessKind::Atomic;
    if is_first {
        states.fill(state::SHARED_WRITTEN);
    }
    is_first
}

/// Notes an access to shared bytes with these states.
pub(super) fn note_shared_access(states: &mut [u8], used: u32, writes: bool) -> Seen {
    let mut seen = Seen { undefined: false, in_flight: false };
    for (n, s) in states.iter_mut().enumerate() {
        if used >> n & 1 == 1 {
            seen.undefined |= *s & state::SHARED_WRITTEN == 0;
            seen.in_flight |= *s & state::SHARED_IN_FLIGHT != 0;
        }
        if writes {
            *s |= state::SHARED_WRITTEN;
        }
    }
    seen
}
