//! The device's memory: ranges of addresses (`arena`), what is allocated in them, and the view of a
//! running kernel (`view`).

mod arena;
mod view;

pub use arena::Arena;
pub use view::{Denied, View};

use crate::options::Options;
use std::collections::BTreeMap;
use std::ops::Range;

/// What is known of a byte, a bit each.
pub mod state {
    // of global memory
    pub const ALLOCATED: u8 = 1;
    pub const WRITTEN: u8 = 2;
    /// in the launch that runs, and so is `STORED`
    pub const LOADED: u8 = 4;
    pub const STORED: u8 = 8;
    pub const READ_ONLY: u8 = 16;
    pub const FREED: u8 = 32;

    // of a block's shared memory
    pub const SHARED_WRITTEN: u8 = 1;
    /// a cp.async will write it
    pub const SHARED_IN_FLIGHT: u8 = 2;
}

/// Of addresses that allocations take.
const GRAIN: u64 = 512;
const PAGE: u64 = 4096;

#[derive(Clone, Debug)]
pub struct Allocation {
    pub address: u64,
    pub size: u64,
    /// what it was made by
    pub kind: &'static str,
    /// number in its heap, from 1
    pub number: u64,
    /// the context's handle
    pub context: u64,
    /// of each stream the last work that used it
    users: Vec<(u64, u64)>,
    /// the addresses that it takes, with what lies around it
    span: Range<u64>,
}

/// Which of the ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// addresses of the device with this number, which the host and other devices cannot touch
    Device(usize),
    /// managed and pinned memory: the same addresses on all sides
    Host,
}

struct Heap {
    /// addresses from there on were never used
    fresh: u64,
    /// addresses that were given back, with their lengths
    free: BTreeMap<u64, u64>,
    live: BTreeMap<u64, Allocation>,
    /// freed, for messages
    dead: BTreeMap<u64, Allocation>,
    used: u64,
    count: u64,
}

/// Arenas and heaps are those of each device, and last that of the host.
pub struct Memory {
    arenas: Vec<Arena>,
    heaps: Vec<Heap>,
    redzone: u64,
    pub fill: Option<u8>,
    /// bytes of each device
    pub limit: u64,
}

/// What a launch touched of global memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Touched {
    pub loaded_bytes: u64,
    pub stored_bytes: u64,
    pub loaded_sectors: u64,
    pub stored_sectors: u64,
}

impl Allocation {
    fn note_use(&mut self, by: (u64, u64)) {
        match self.users.iter_mut().find(|user| user.0 == by.0) {
            Some(user) => user.1 = by.1,
            None => self.users.push(by),
        }
    }

    /// Streams whose work used it, with the number of the last.
    pub fn users(&self) -> &[(u64, u64)] {
        &self.users
    }
}

impl Memory {
    pub fn new(options: &Options) -> Memory {
        let len = options.address_space;
        let of_device = |_| Arena::new(len, false, options.block_race);
        let mut arenas: Vec<Arena> = (0..options.devices).map(of_device).collect();
        arenas.push(Arena::new(len / 4, true, false));
        let heap = |arena: &Arena| Heap {
            fresh: arena.base + PAGE,
            free: BTreeMap::new(),
            live: BTreeMap::new(),
            dead: BTreeMap::new(),
            used: 0,
            count: 0,
        };
        let heaps = arenas.iter().map(heap).collect();
        let Options { redzone, fill, memory, .. } = *options;
        Memory { arenas, heaps, redzone, fill, limit: memory }
    }

    /// The place of a side in the lists.
    fn index(&self, side: Side) -> usize {
        match side {
            Side::Device(n) => n,
            Side::Host => self.arenas.len() - 1,
        }
    }

    pub fn sides(&self) -> impl Iterator<Item = Side> + use<> {
        (0..self.arenas.len() - 1).map(Side::Device).chain([Side::Host])
    }

    /// Bytes that are allocated of a device, those that the host can touch among them; of the host,
    /// bytes of the device that has most.
    pub fn used(&self, side: Side) -> u64 {
        let of_host = self.used_on(Side::Host);
        match side {
            Side::Device(_) => self.used_on(side) + of_host,
            Side::Host => self.sides().map(|s| self.used_on(s)).max().unwrap_or(0) + of_host,
        }
    }

    pub fn used_on(&self, side: Side) -> u64 {
        self.heaps[self.index(side)].used
    }

    /// The address of `size` fresh bytes; None if memory or addresses run out. `align` is a power
    /// of two.
    pub fn allocate(
        &mut self,
        side: Side,
        size: u64,
        align: u64,
        kind: &'static str,
        context: u64,
    ) -> Option<u64> {
        let size_or_one = size.max(1);
        if self.used(side).checked_add(size_or_one)? > self.limit {
            return None;
        }
        let span = size_or_one.checked_add(align - 1 + self.redzone)?;
        let span = span.checked_next_multiple_of(GRAIN)?.checked_add(GRAIN)?;
        let index = self.index(side);
        let (heap, arena) = (&mut self.heaps[index], &self.arenas[index]);
        let start = heap.addresses(span, arena.base + arena.len)?;
        let address = start.next_multiple_of(align.max(GRAIN));
        heap.used += size_or_one;
        heap.count += 1;
        let number = heap.count;
        let taken = start..start + span;
        let users = vec![];
        let allocation = Allocation { address, size, kind, number, context, users, span: taken };
        heap.live.insert(address, allocation);
        let fresh = match side {
            Side::Device(_) => state::ALLOCATED,
            // the host may have written it
            Side::Host => state::ALLOCATED | state::WRITTEN,
        };
        arena.set_states(start, span, 0);
        arena.set_states(address, size, fresh);
        if let Some(byte) = self.fill {
            arena.fill(address, size, byte);
        }
        Some(address)
    }

    /// Ends an allocation: false if there is none at this address.
    pub fn free(&mut self, side: Side, address: u64) -> bool {
        let index = self.index(side);
        let (heap, arena) = (&mut self.heaps[index], &self.arenas[index]);
        let Some(allocation) = heap.live.remove(&address) else { return false };
        heap.used -= allocation.size.max(1);
        arena.set_states(address, allocation.size, state::FREED);
        let first = address.next_multiple_of(PAGE);
        let end = (address + allocation.size) / PAGE * PAGE;
        if end > first {
            arena.give_back(first, end - first, side != Side::Host);
        }
        let Range { start, end } = allocation.span;
        heap.free.insert(start, end - start);
        heap.dead.insert(address, allocation);
        true
    }

    fn arena_of(&self, a: u64) -> Option<&Arena> {
        self.arenas.iter().find(|arena| arena.has(a))
    }

    pub fn side_of(&self, a: u64) -> Option<Side> {
        self.sides().find(|&side| self.arenas[self.index(side)].has(a))
    }

    /// The host's address of a byte of the device.
    pub fn host(&self, a: u64) -> *mut u8 {
        self.arena_of(a).map_or(std::ptr::null_mut(), |arena| arena.host_of(a))
    }

    pub fn live(&self, side: Side) -> impl Iterator<Item = &Allocation> {
        self.heaps[self.index(side)].live.values()
    }

    /// The device whose memory has an address, if it is not that of the host.
    pub fn device_of(&self, a: u64) -> Option<usize> {
        match self.side_of(a)? {
            Side::Device(n) => Some(n),
            Side::Host => None,
        }
    }

    /// The allocation that begins at or before an address.
    pub fn allocation_before(&self, a: u64) -> Option<&Allocation> {
        let side = self.side_of(a)?;
        self.heaps[self.index(side)].live.range(..=a).next_back().map(|(_, allocation)| allocation)
    }

    /// Whether bytes that the host can touch are within one allocation.
    pub fn is_pinned(&self, address: u64, size: u64) -> bool {
        let before = self.heaps[self.index(Side::Host)].live.range(..=address).next_back();
        before.is_some_and(|(start, a)| address.saturating_add(size) <= start + a.size)
    }

    /// Where an address lies, for messages.
    pub fn describe(&self, a: u64) -> String {
        let Some(side) = self.side_of(a) else {
            return if a < 65536 { "near null".into() } else { "not a device address".into() };
        };
        let heap = &self.heaps[self.index(side)];
        let show = |allocation: &Allocation, what: &str| {
            let Allocation { address, size, kind, number, .. } = *allocation;
            let (place, distance) = if a < address {
                ("before", address - a)
            } else if a < address + size {
                ("inside", a - address)
            } else {
                ("after the end of", a - (address + size))
            };
            format!(
                "{distance} bytes {place} {what} #{number} ({size} bytes at {address:#x}, {kind})"
            )
        };
        let before = heap.live.range(..=a).next_back().map(|x| x.1);
        let after = heap.live.range(a..).next().map(|x| x.1);
        let dead = heap.dead.range(..=a).next_back().map(|x| x.1);
        if let Some(dead) = dead.filter(|dead| a < dead.address + dead.size) {
            return show(dead, "FREED allocation");
        }
        match (before, after) {
            (Some(b), Some(n)) if n.address - a < a.saturating_sub(b.address + b.size) => {
                show(n, "allocation")
            }
            (Some(nearest), _) | (None, Some(nearest)) => show(nearest, "allocation"),
            _ => "no allocation near".into(),
        }
    }

    /// The first of these bytes whose state has not all of `bits`.
    pub fn first_without(&self, address: u64, size: u64, bits: u8) -> Option<u64> {
        let last = size.checked_sub(1)?;
        let Some(arena) = self.arena_of(address) else { return Some(address) };
        if !address.checked_add(last).is_some_and(|end| arena.has(end)) {
            return Some(address);
        }
        let states = arena.states(address, size);
        states.iter().position(|s| s & bits != bits).map(|n| address + n as u64)
    }

    /// Adds `bits` to the states of bytes that are allocated.
    pub fn add_state(&self, address: u64, size: u64, bits: u8) {
        if let Some(arena) = self.arena_of(address) {
            arena.states(address, size).iter_mut().for_each(|s| *s |= bits);
        }
    }

    /// What was never written at `from` counts as never written at `to`.
    pub fn copy_written(&self, to: u64, from: u64, size: u64) {
        let (Some(target), Some(source)) = (self.arena_of(to), self.arena_of(from)) else { return };
        // a copy, as they may overlap
        let source = source.states(from, size).to_vec();
        for (t, s) in target.states(to, size).iter_mut().zip(source) {
            *t = *t & !state::WRITTEN | s & state::WRITTEN;
        }
    }

    /// Notes that work, the number of it on a stream, used the allocation of an address.
    pub fn note_use(&mut self, a: u64, by: (u64, u64)) {
        let Some(side) = self.side_of(a) else { return };
        let index = self.index(side);
        if let Some((_, allocation)) = self.heaps[index].live.range_mut(..=a).next_back() {
            allocation.note_use(by);
        }
    }

    /// What was touched since the last call, by this work; clears the marks.
    pub fn take_touched(&mut self, by: (u64, u64)) -> Touched {
        let mut touched = Touched::default();
        for (arena, heap) in self.arenas.iter().zip(&mut self.heaps) {
            for allocation in heap.live.values_mut() {
                if arena.is_touched(allocation.address, allocation.size) {
                    allocation.note_use(by);
                }
                arena.take_touched(allocation.address, allocation.size.max(1), &mut touched);
            }
        }
        touched
    }
}

impl Heap {
    /// Takes addresses: fresh ones, and when there are no more, those given back.
    fn addresses(&mut self, span: u64, end: u64) -> Option<u64> {
        if self.fresh.checked_add(span)? <= end {
            let start = self.fresh;
            self.fresh += span;
            return Some(start);
        }
        // merge neighbours, then first fit
        let mut merged: BTreeMap<u64, u64> = BTreeMap::new();
        for (&start, &len) in &self.free {
            match merged.iter_mut().next_back() {
                Some((&before, length)) if before + *length == start => *length += len,
                _ => {
                    merged.insert(start, len);
                }
            }
        }
        self.free = merged;
        let (start, len) = self.free.iter().map(|(&s, &l)| (s, l)).find(|&(_, l)| l >= span)?;
        self.free.remove(&start);
        if len > span {
            self.free.insert(start + span, len - span);
        }
        self.dead.retain(|a, _| !(start..start + span).contains(a));
        Some(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same addresses serve again and again, for allocations of any size.
    #[test]
    fn freed_addresses_are_used_again() {
        let options = Options {
            address_space: 1 << 26,
            redzone: 65536,
            memory: 1 << 24,
            ..Options::from_environment()
        };
        let mut memory = Memory::new(&options);
        let mut live = std::collections::VecDeque::new();
        for n in 0..5000u64 {
            let size = 1 + n * 977 % 5000;
            let address = memory.allocate(Side::Device(0), size, 1 << (n % 10), "test", 0);
            live.push_back(address.unwrap_or_else(|| panic!("no room for allocation {n}")));
            if live.len() > 8 {
                let oldest = live.pop_front().expect("there are eight");
                assert!(memory.free(Side::Device(0), oldest));
            }
        }
        assert!(memory.describe(live[0]).contains("inside allocation #4993"));
    }
}
