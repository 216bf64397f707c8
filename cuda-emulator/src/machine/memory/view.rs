//! What a running kernel needs of the memory, copied for each launch so that no lock is in its way.

use super::{Arena, Memory, Side, state};
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed};

/// Why an access is not allowed.
pub enum Denied {
    OutOfBounds,
    ReadOnly,
}

#[derive(Clone, Copy)]
struct Range {
    base: u64,
    len: u64,
    host: u64,
    states: u64,
    dirty: u64,
}

impl Range {
    fn of(arena: &Arena) -> Range {
        let Arena { base, len, host, states, dirty, .. } = *arena;
        Range { base, len, host, states, dirty }
    }
}

#[derive(Clone, Copy)]
pub struct View {
    device: Range,
    shared_with_host: Range,
    marks: u64,
}

impl View {
    /// What a kernel on a device reaches: its memory and that which the host can touch.
    pub fn of(memory: &Memory, device: usize) -> View {
        let [device, host] =
            [Side::Device(device), Side::Host].map(|side| &memory.arenas[memory.index(side)]);
        View { device: Range::of(device), shared_with_host: Range::of(host), marks: device.marks }
    }

    /// The range of an address that may be in one, and its offset there, which is beyond the end
    /// if it is in none.
    #[inline(always)]
    fn place(&self, a: u64) -> (&Range, u64) {
        let offset = a.wrapping_sub(self.device.base);
        if offset < self.device.len {
            (&self.device, offset)
        } else {
            (&self.shared_with_host, a.wrapping_sub(self.shared_with_host.base))
        }
    }

    /// The state of a byte that an access was allowed to.
    fn state(&self, a: u64) -> &AtomicU8 {
        let (range, offset) = self.place(a);
        assert!(offset < range.len);
        // SAFETY: within a mapping that lives as long as the process
        unsafe { &*((range.states + offset) as *const AtomicU8) }
    }

    /// A bit for each of `size` bytes that was never written.
    pub fn undefined_bytes(&self, a: u64, size: u32) -> u32 {
        let is_undefined = |n: &u32| self.state(a + *n as u64).load(Relaxed) & state::WRITTEN == 0;
        (0..size).filter(is_undefined).fold(0, |mask, n| mask | 1 << n)
    }

    /// The bytes hold an undefined value now.
    pub fn forget(&self, a: u64, size: u64) {
        for n in 0..size {
            self.state(a + n).fetch_and(!state::WRITTEN, Relaxed);
        }
    }

    /// The marks of blocks for the words that an access touches: last writer and last reader of each.
    /// None if blocks' races are not looked for there.
    #[inline(always)]
    pub fn marks(&self, a: u64, bytes: u32) -> Option<&[[AtomicU64; 2]]> {
        let offset = a.wrapping_sub(self.device.base);
        if self.marks == 0 || offset >= self.device.len {
            return None;
        }
        let (words, first) = (bytes.div_ceil(4) as usize, self.marks + offset / 4 * 16);
        // SAFETY: 16 bytes for each word of the range, within a mapping that lives as long as the
        // process; the access is aligned, so that it ends in the range
        Some(unsafe { std::slice::from_raw_parts(first as *const [AtomicU64; 2], words) })
    }

    /// Whether blocks' races are looked for.
    #[inline(always)]
    pub fn has_marks(&self) -> bool {
        self.marks != 0
    }

    /// Checks a naturally aligned access of 1, 2, 4, 8 or 16 bytes and notes it. The result is the
    /// host's address and whether a read saw bytes that were never written.
    #[inline(always)]
    pub fn access(
        &self,
        a: u64,
        size: u32,
        reads: bool,
        writes: bool,
    ) -> Result<(u64, bool), Denied> {
        let mut range = &self.device;
        let mut offset = a.wrapping_sub(range.base);
        if offset >= range.len {
            range = &self.shared_with_host;
            offset = a.wrapping_sub(range.base);
            if offset >= range.len {
                return Err(Denied::OutOfBounds);
            }
        }
        let (mut undefined, mut is_first) = (false, false);
        // the states of all bytes of a part at once
        macro_rules! check {
            ($at:expr, $integer:ty, $atomic:ty, $each:expr) => {{
                const EACH: $integer = $each;
                // SAFETY: within a mapping that lives as long as the process; as aligned as the
                // access
                let states = unsafe { &*($at as *const $atomic) };
                let now: $integer = states.load(Relaxed);
                let all = |bits: u8| EACH * bits as $integer;
                if now & all(state::ALLOCATED) != all(state::ALLOCATED) {
                    return Err(Denied::OutOfBounds);
                }
                let mut set: $integer = 0;
                if reads {
                    undefined |= now & all(state::WRITTEN) != all(state::WRITTEN);
                    set |= all(state::LOADED);
                }
                if writes {
                    if now & all(state::READ_ONLY) != 0 {
                        return Err(Denied::ReadOnly);
                    }
                    set |= all(state::WRITTEN | state::STORED);
                }
                if now & set != set {
                    is_first = true;
                    states.fetch_or(set, Relaxed);
                }
            }};
        }
        let states = range.states + offset;
        match size {
            1 => check!(states, u8, AtomicU8, 1),
            2 => check!(states, u16, AtomicU16, 0x0101),
            4 => check!(states, u32, AtomicU32, 0x0101_0101),
            8 => check!(states, u64, AtomicU64, 0x0101_0101_0101_0101),
            _ => {
                check!(states, u64, AtomicU64, 0x0101_0101_0101_0101);
                check!(states + 8, u64, AtomicU64, 0x0101_0101_0101_0101);
            }
        }
        if is_first {
            // SAFETY: one byte for each page of the range; whoever writes it writes the same
            unsafe { &*((range.dirty + offset / super::PAGE) as *const AtomicU8) }
                .store(1, Relaxed);
        }
        Ok((range.host + offset, undefined))
    }
}
