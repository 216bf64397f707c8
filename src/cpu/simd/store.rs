//! Stores through the caches or past them.

use super::{Isa, Ordered};
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

/// Calls `work` with stores past the caches, which are done when this returns.
pub(crate) fn past_caches<I: Isa, R>(isa: I, work: impl FnOnce(PastCaches<'_>) -> R) -> R {
    /// Settles even if the work panics.
    struct Settle<I: Isa>(I);

    impl<I: Isa> Drop for Settle<I> {
        fn drop(&mut self) {
            self.0.settle();
        }
    }

    let _settle = Settle(isa);
    work(PastCaches(PhantomData))
}
