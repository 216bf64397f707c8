//! Seconds of repeated calls.

use crate::Call;

fn now(clock: libc::clockid_t) -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the place is there; both clocks exist wherever this crate is built.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Seconds that one of `call.calls` runs takes.
pub fn seconds<E>(call: Call, mut run: impl FnMut() -> Result<(), E>) -> Result<f64, E> {
    let clock =
        if call.threads == 1 { libc::CLOCK_THREAD_CPUTIME_ID } else { libc::CLOCK_MONOTONIC };
    let start = now(clock);
    for _ in 0..call.calls {
        run()?;
    }
    Ok((now(clock) - start) / call.calls as f64)
}
