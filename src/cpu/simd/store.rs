//! Stores through the caches or past them.

use super::{Machine, Ordered};
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
pub(crate) fn past_caches<M: Machine, R>(machine: M, work: impl FnOnce(PastCaches<'_>) -> R) -> R {
    let _settle = Settle(machine);
    work(PastCaches(PhantomData))
}

/// Work that may store past the caches. No closure: it might not be inlined, and then not be compiled
/// for the instruction set. `run` must be `#[inline(always)]`.
pub(crate) trait Storing {
    /// Does the work.
    fn run<M: Machine>(self, machine: M, store: Option<PastCaches<'_>>);
}

/// Does work, with stores past the caches or without them; they are done when this returns.
#[inline(always)]
pub(crate) fn storing<M: Machine>(machine: M, past_caches: bool, work: impl Storing) {
    let _settle = past_caches.then_some(Settle(machine));
    work.run(machine, past_caches.then_some(PastCaches(PhantomData)));
}

/// Settles even if the work panics.
struct Settle<M: Machine>(M);

impl<M: Machine> Drop for Settle<M> {
    fn drop(&mut self) {
        self.0.end_stores();
    }
}
