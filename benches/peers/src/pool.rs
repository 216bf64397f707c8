//! Thread pools that an operation runs in.

use rayon::{ThreadPool, ThreadPoolBuilder};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

fn pools() -> &'static Mutex<BTreeMap<usize, Arc<ThreadPool>>> {
    static POOLS: OnceLock<Mutex<BTreeMap<usize, Arc<ThreadPool>>>> = OnceLock::new();
    POOLS.get_or_init(|| {
        // Of one thread: the calling one, whose clock then sees all work.
        let alone = ThreadPoolBuilder::new().num_threads(1).use_current_thread().build();
        let alone = Arc::new(alone.expect("a thread is in one pool"));
        Mutex::new(BTreeMap::from([(1, alone)]))
    })
}

/// Runs something where rayon has so many threads.
pub fn within<R: Send>(threads: usize, run: impl FnOnce() -> R + Send) -> R {
    let pool = {
        let mut pools = pools().lock().expect("nothing panics while it is held");
        let make =
            || ThreadPoolBuilder::new().num_threads(threads.max(1)).build().expect("threads");
        Arc::clone(pools.entry(threads).or_insert_with(|| Arc::new(make())))
    };
    pool.install(run)
}
