//! The nearest items of one query: a list that counts.
//!
//! Distances are small integers, so counters by distance tell at any time which one the k-th
//! nearest item has. Items that are not nearer than that are refused, which is exact: of equal
//! distances the lower index goes first, and items come by index. Items that were let in earlier
//! and are now too far are thrown out when the list is full. At the end the counters say where each
//! distance begins, and one pass brings the list into order.

use super::scan::{CHUNK, Collect};

/// What is known of a list beside its entries.
#[derive(Clone, Copy, Default)]
pub(super) struct Head {
    /// Entries.
    len: usize,
    /// Distances below this one are let in.
    limit: u32,
    /// Entries below the limit: less than k.
    below: usize,
    /// Whether as many entries as are wanted were ever held.
    full: bool,
}

/// A list, over memory of the caller.
pub(super) struct List<'a> {
    head: &'a mut Head,
    /// Distance and index, in the upper and the lower half, by index.
    entries: &'a mut [u64],
    /// Entries at each distance up to the limit.
    counts: &'a mut [u32],
    wanted: usize,
}

impl<'a> List<'a> {
    /// Entries there must be room for: one more than are wanted, and some, so that the list is
    /// seldom full.
    pub(super) fn capacity(wanted: usize, items: usize) -> usize {
        items.min(wanted.saturating_mul(2).saturating_add(64))
    }

    /// Words of memory.
    pub(super) fn words(wanted: usize, items: usize, bits: usize) -> usize {
        Self::capacity(wanted, items).saturating_add((bits + 1).div_ceil(2))
    }

    /// A list over [`words`](Self::words) of memory, to be [cleared](Self::clear) first.
    pub(super) fn new(
        head: &'a mut Head,
        memory: &'a mut [u64],
        (wanted, items): (usize, usize),
    ) -> Self {
        let (entries, counts) = memory.split_at_mut(Self::capacity(wanted, items));
        Self { head, entries, counts: bytemuck::cast_slice_mut(counts), wanted }
    }

    /// Counters by distance that a caller may use until the list is cleared.
    pub(super) fn counts(&mut self) -> &mut [u32] {
        self.counts.fill(0);
        self.counts
    }

    /// Whether it was ever given as many items as are wanted.
    pub(super) fn was_full(&self) -> bool {
        self.head.full
    }

    /// Makes it an empty list that lets in distances below a limit.
    pub(super) fn clear(&mut self, limit: u32) {
        *self.head = Head { limit, ..Head::default() };
        self.counts.fill(0);
    }

    /// Keeps what is nearer than the limit, and at the limit as many as are wanted beside it. Returns
    /// how many that are.
    #[cold]
    fn throw_out(&mut self, head: Head) -> usize {
        let limit = u64::from(head.limit);
        let mut ties = self.wanted - head.below;
        let mut kept = 0;
        for n in 0..head.len {
            let entry = self.entries[n];
            let distance = entry >> 32;
            let tied = distance == limit && ties > 0;
            ties -= usize::from(tied);
            self.entries[kept] = entry;
            kept += usize::from(distance < limit || tied);
        }
        kept
    }

    /// Writes the nearest items by (distance, index): as many as were found, and no more than
    /// wanted. Returns how many.
    pub(super) fn write(&mut self, indices: &mut [u32], distances: &mut [u32]) -> usize {
        if self.head.full {
            self.head.len = self.throw_out(*self.head);
        }
        // Where each distance begins.
        let mut begin = 0;
        let end = self.counts.len().min(self.head.limit as usize + 1);
        for count in &mut self.counts[..end] {
            (*count, begin) = (begin, begin + *count);
        }
        for &entry in &self.entries[..self.head.len] {
            let place = &mut self.counts[(entry >> 32) as usize];
            indices[*place as usize] = entry as u32;
            distances[*place as usize] = (entry >> 32) as u32;
            *place += 1;
        }
        self.head.len
    }
}

impl Collect for List<'_> {
    #[inline(always)]
    fn limit(&self) -> u32 {
        self.head.limit
    }

    #[inline(never)]
    fn take(&mut self, distances: &[u64; CHUNK], mut near: u64, first: u32) {
        // In registers, not where the compiler must think that a counter may lie.
        let mut head = *self.head;
        while near != 0 {
            let i = near.trailing_zeros();
            near &= near - 1;
            let distance = distances[i as usize];
            if distance >= u64::from(head.limit) {
                continue;
            }
            if head.len == self.entries.len() {
                head.len = self.throw_out(head);
            }
            self.entries[head.len] = distance << 32 | u64::from(first + i);
            head.len += 1;
            head.below += 1;
            self.counts[distance as usize] += 1;
            while head.below >= self.wanted {
                head.full = true;
                head.limit -= 1;
                head.below -= self.counts[head.limit as usize] as usize;
            }
        }
        *self.head = head;
    }
}
