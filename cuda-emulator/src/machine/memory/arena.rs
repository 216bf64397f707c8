//! A range of device addresses, the bytes behind it, and what is known of each byte.

use super::{PAGE, Touched, state};
use std::ptr;

/// Of memory traffic.
const SECTOR: u64 = 32;

/// All parts are reserved at once and cost memory only where they are touched.
pub struct Arena {
    /// device addresses
    pub base: u64,
    pub len: u64,
    /// host address of the first byte
    pub host: u64,
    /// of the first byte's state
    pub states: u64,
    /// a byte for each page: touched in the launch that runs
    pub dirty: u64,
    /// for each word the last accesses, 16 bytes, when blocks' races are looked for; else 0
    pub marks: u64,
}

/// Address space, which is only ever given back as a whole, by the end of the process.
fn reserve(len: u64, protection: i32) -> u64 {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping at an address of the system's choice
    let p = unsafe { libc::mmap(ptr::null_mut(), len as usize, protection, flags, -1, 0) };
    assert!(
        p != libc::MAP_FAILED,
        "cudaemu: cannot reserve {len} bytes of address space; CUDAEMU_VA_GB says how much is tried"
    );
    p as u64
}

impl Arena {
    /// `same`: device addresses are those of the host, too. Else the host cannot touch them.
    pub fn new(len: u64, same: bool, marks: bool) -> Arena {
        let all = libc::PROT_READ | libc::PROT_WRITE;
        let host = reserve(len, all);
        Arena {
            base: if same { host } else { reserve(len, libc::PROT_NONE) },
            len,
            host,
            states: reserve(len, all),
            dirty: reserve(len / PAGE, all),
            marks: if marks { reserve(len * 4, all) } else { 0 },
        }
    }

    #[inline(always)]
    pub fn has(&self, a: u64) -> bool {
        a.wrapping_sub(self.base) < self.len
    }

    pub fn host_of(&self, a: u64) -> *mut u8 {
        (self.host + (a - self.base)) as *mut u8
    }

    /// States of bytes that are all in the arena.
    #[expect(clippy::mut_from_ref, reason = "the bytes lie outside of what Rust knows of")]
    pub fn states(&self, a: u64, size: u64) -> &mut [u8] {
        let offset = a - self.base;
        assert!(offset <= self.len && size <= self.len - offset);
        // SAFETY: mapped for as long as the process lives; nothing else refers to it while the
        // driver has its lock and no kernel runs, which is when this is called
        unsafe { std::slice::from_raw_parts_mut((self.states + offset) as *mut u8, size as usize) }
    }

    pub fn set_states(&self, a: u64, size: u64, value: u8) {
        self.states(a, size).fill(value);
    }

    pub fn fill(&self, a: u64, size: u64, byte: u8) {
        assert!(self.has(a) && size <= self.len - (a - self.base));
        // SAFETY: `size` bytes that are mapped
        unsafe { ptr::write_bytes(self.host_of(a), byte, size as usize) };
    }

    /// Gives whole pages back to the system. States read as 0 then, not allocated.
    pub fn give_back(&self, a: u64, size: u64, is_device: bool) {
        let offset = a - self.base;
        let give = |start: u64, size: u64| {
            // SAFETY: pages of a mapping of ours whose content nobody needs; where the system's
            // pages are larger this may fail, and the pages stay
            unsafe { libc::madvise(start as *mut _, size as usize, libc::MADV_DONTNEED) };
        };
        if is_device {
            give(self.host + offset, size);
            if self.marks != 0 {
                give(self.marks + offset * 4, size * 4);
            }
        }
        give(self.states + offset, size);
    }

    /// Whether an allocation was touched in the launch that runs.
    pub fn is_touched(&self, address: u64, size: u64) -> bool {
        let end = address + size;
        let pages = (address - self.base) / PAGE..=(end.max(address + 1) - 1 - self.base) / PAGE;
        pages.into_iter().any(|page| {
            // SAFETY: one byte for each page of the arena; no kernel runs
            let is_dirty = unsafe { *((self.dirty + page) as *const u8) } != 0;
            let start = address.max(self.base + page * PAGE);
            let n = end.min(self.base + (page + 1) * PAGE).saturating_sub(start);
            is_dirty
                && self.states(start, n).iter().any(|s| s & (state::LOADED | state::STORED) != 0)
        })
    }

    /// Counts what was touched of the pages of an allocation and clears the marks.
    pub fn take_touched(&self, address: u64, size: u64, touched: &mut Touched) {
        const EACH: u64 = 0x0101_0101_0101_0101;
        const LOADED: u64 = EACH * state::LOADED as u64;
        const STORED: u64 = EACH * state::STORED as u64;
        let offset = address - self.base;
        for page in offset / PAGE..=(offset + size - 1) / PAGE {
            let dirty = (self.dirty + page) as *mut u8;
            // SAFETY: one byte for each page of the arena; no kernel runs
            if unsafe { dirty.replace(0) } == 0 {
                continue;
            }
            let states = self.states(self.base + page * PAGE, PAGE);
            for sector in states.chunks_exact_mut(SECTOR as usize) {
                let (mut loaded, mut stored) = (0, 0);
                for eight in sector.chunks_exact_mut(8) {
                    let now = u64::from_ne_bytes(eight.try_into().expect("eight bytes"));
                    if now & (LOADED | STORED) != 0 {
                        loaded += (now & LOADED).count_ones() as u64;
                        stored += (now & STORED).count_ones() as u64;
                        eight.copy_from_slice(&(now & !(LOADED | STORED)).to_ne_bytes());
                    }
                }
                touched.loaded_bytes += loaded;
                touched.stored_bytes += stored;
                touched.loaded_sectors += (loaded != 0) as u64;
                touched.stored_sectors += (stored != 0) as u64;
            }
        }
    }
}
