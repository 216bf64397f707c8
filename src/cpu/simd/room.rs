//! Vectors in turn, in memory that nothing fills before: that would take as long as to load as many rows.

use std::mem::MaybeUninit;
use std::ops::Deref;

/// Vectors at the beginning of some memory.
pub(crate) struct Room<'a, V> {
    memory: &'a mut [MaybeUninit<V>],
    /// How many have been written.
    len: usize,
}

impl<'a, V: Copy> Room<'a, V> {
    /// Memory for `N` vectors. Not a part of the room, so that its length can be in a register.
    #[inline(always)]
    pub(crate) fn memory<const N: usize>() -> [MaybeUninit<V>; N] {
        [const { MaybeUninit::uninit() }; N]
    }

    /// No vectors yet.
    #[inline(always)]
    pub(crate) fn new(memory: &'a mut [MaybeUninit<V>]) -> Self {
        Self { memory, len: 0 }
    }

    /// As many more as there are and have room.
    #[inline(always)]
    pub(crate) fn extend(&mut self, vectors: impl Iterator<Item = V>) {
        let mut len = self.len;
        for (place, vector) in self.memory[len..].iter_mut().zip(vectors) {
            place.write(vector);
            len += 1;
        }
        self.len = len;
    }

    /// Only the first `len`, or all if they are not more.
    #[inline(always)]
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

impl<V> Deref for Room<'_, V> {
    type Target = [V];

    #[inline(always)]
    fn deref(&self) -> &[V] {
        // SAFETY: `len` grows as vectors are written, one after the other, and only then.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr().cast(), self.len) }
    }
}
