//! What the program does through the driver: copies beyond allocations or of bytes that were never
//! written, frees of what is not allocated, leaks.

use super::{Finding, Kind};
use crate::machine::memory::{Memory, state};
use crate::options::Undefined;

/// Allocations that the message about a leak names.
const MAX_NAMED: usize = 10;

fn finding(kind: Kind, is_error: bool, text: String) -> Finding {
    Finding { kind, is_error, text, kernel: String::new(), count: 1 }
}

/// `n` bytes at `a` for what is done: an error if they are not all allocated, a finding if they are
/// read and were not all written.
pub fn range(
    memory: &Memory,
    undefined: Undefined,
    what: &str,
    a: u64,
    n: u64,
    reads: bool,
) -> Result<Option<Finding>, Finding> {
    if let Some(bad) = memory.first_without(a, n, state::ALLOCATED) {
        let place = memory.describe(bad);
        let text = format!(
            "{what} of {n} bytes at {a:#x} leaves its allocation: byte {bad:#x} is {place}"
        );
        return Err(finding(Kind::ApiOutOfBounds, true, text));
    }
    if !reads || undefined == Undefined::Ignored {
        return Ok(None);
    }
    Ok(memory.first_without(a, n, state::WRITTEN).map(|bad| {
        let place = memory.describe(bad);
        let text =
            format!("{what} of {n} bytes reads bytes never written, first {bad:#x}, {place}");
        finding(Kind::UndefinedCopy, true, text)
    }))
}

pub fn overlap(dst: u64, src: u64, n: u64) -> Option<Finding> {
    let overlaps = src < dst + n && dst < src + n;
    let text = || format!("device copy of {n} bytes overlaps: {src:#x} to {dst:#x}");
    overlaps.then(|| finding(Kind::Overlap, false, text()))
}

/// Ends an allocation.
pub fn free(memory: &mut Memory, address: u64) -> Result<(), Finding> {
    if memory.sides().any(|side| memory.free(side, address)) {
        return Ok(());
    }
    let place = memory.describe(address);
    let text = format!("free of {address:#x}, which is not a live allocation: {place}");
    Err(finding(Kind::BadFree, true, text))
}

/// A free in the order of a stream is not after all work of others that used the memory. `is_before` tells
/// that of work, by stream and number.
pub fn unordered_free(
    memory: &Memory,
    address: u64,
    is_before: impl Fn(u64, u64) -> bool,
) -> Option<Finding> {
    let allocation = memory.allocation_before(address).filter(|a| a.address == address)?;
    let (stream, _) = allocation.users().iter().find(|user| !is_before(user.0, user.1))?;
    let place = memory.describe(address);
    let text = format!(
        "free of {address:#x} that is not ordered after work of stream {stream:#x}, which used it: {place}"
    );
    Some(finding(Kind::FreeInUse, true, text))
}

/// A free, or a memset, of another device's memory on a stream of this one.
pub fn other_device(kind: Kind, what: &str, memory: &Memory, a: u64, device: usize) -> Finding {
    let (place, other) = (memory.describe(a), memory.device_of(a).unwrap_or(device));
    let text =
        format!("{what} of {a:#x} of device {other} on a stream of device {device}: {place}");
    finding(kind, true, text)
}

/// What is alive of a context that is destroyed. Its modules go with it, which is no leak.
pub fn leaks(memory: &Memory, context: u64, events: usize, streams: usize) -> Vec<Finding> {
    let mut found = vec![];
    let live = memory.sides().flat_map(|side| memory.live(side));
    // those of modules go with them
    let live = live.filter(|a| a.context == context && a.kind != "module");
    let lost: Vec<String> =
        live.map(|a| format!("#{} of {} bytes ({})", a.number, a.size, a.kind)).collect();
    if !lost.is_empty() {
        let (count, named) = (lost.len(), lost[..lost.len().min(MAX_NAMED)].join(", "));
        let text = format!("{count} allocations alive when their context was destroyed: {named}");
        found.push(finding(Kind::Leak, true, text));
    }
    if events + streams > 0 {
        let text = format!("context destroyed with {events} events, {streams} streams alive");
        found.push(finding(Kind::LeakHandles, false, text));
    }
    found
}
