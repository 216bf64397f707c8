//! Stores through the caches or past them.

use super::{Detected, Isa, Loops, Ordered, compiled};
use std::marker::PhantomData;

/// How vectors are stored.
pub trait Store: Copy {
    /// To the first places of a slice.
    fn store<V: Ordered>(self, vector: V, to: &mut [V::Lane]);
}

/// As is usual.
#[derive(Clone, Copy)]
pub(crate) struct Cached;

impl Store for Cached {
    #[inline(always)]
    fn store<V: Ordered>(self, vector: V, to: &mut [V::Lane]) {
        vector.store(to);
    }
}

/// Without the lines being read first, and without displacing others: for what is larger than the
/// caches. Only [`past_caches`] makes one; it stays on its thread, since a fence orders the stores
/// of its own thread alone.
#[derive(Clone, Copy)]
pub(crate) struct PastCaches<'a>(PhantomData<(&'a (), *const ())>);

impl Store for PastCaches<'_> {
    #[inline(always)]
    fn store<V: Ordered>(self, vector: V, to: &mut [V::Lane]) {
        // SAFETY: `past_caches` settles before it returns, on this thread; until then the places
        // are borrowed by the work it was given, which only writes.
        unsafe { vector.store_past_caches(to) }
    }
}

/// Which of the two, known when a call runs: code for both is only where it is stored.
#[derive(Clone, Copy)]
pub(crate) enum Stores<'a> {
    Cached,
    PastCaches(PastCaches<'a>),
}

impl PastCaches<'_> {
    /// A copy.
    pub(crate) fn copy(self, isa: Detected, from: &[u8], to: &mut [u8]) {
        let to = &mut to[..from.len()];
        let (from, to) = (bytemuck::cast_slice(from), bytemuck::cast_slice_mut(to));
        compiled(isa, Copied { store: self, from, to });
    }
}

struct Copied<'a, 'b> {
    store: PastCaches<'b>,
    from: &'a [i8],
    to: &'a mut [i8],
}

impl Loops for Copied<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.to.copy_from_slice(self.from);
    }

    #[inline(always)]
    fn run_on<I: Isa>(self, isa: I) {
        let lanes = I::Rows::LANES;
        let mut from = self.from.chunks_exact(lanes);
        let mut to = self.to.chunks_exact_mut(lanes);
        for (from, to) in from.by_ref().zip(to.by_ref()) {
            self.store.store(I::Rows::load(isa, from), to);
        }
        to.into_remainder().copy_from_slice(from.remainder());
    }
}

/// Calls `work` with stores past the caches, which are done when this returns.
pub(crate) fn past_caches<R>(work: impl FnOnce(PastCaches<'_>) -> R) -> R {
    /// Settles even if the work panics.
    struct Settle;

    impl Drop for Settle {
        fn drop(&mut self) {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the processor has SSE.
            unsafe {
                std::arch::x86_64::_mm_sfence();
            }
        }
    }

    let _settle = Settle;
    work(PastCaches(PhantomData))
}
