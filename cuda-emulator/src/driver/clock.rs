//! What comes before what, among the work of streams and what the host has waited for. Threads of the
//! host count as one: how they wait for one another is not seen.

use super::{Handle, State};
use std::collections::HashMap;

/// For each stream the number up to which its work is done before. A stream that is not there has none.
#[derive(Clone, Default)]
pub struct Clock(HashMap<Handle, u64>);

impl Clock {
    pub fn add(&mut self, stream: Handle, number: u64) {
        let own = self.0.entry(stream).or_default();
        *own = number.max(*own);
    }

    pub fn join(&mut self, other: &Clock) {
        other.0.iter().for_each(|(&stream, &number)| self.add(stream, number));
    }

    pub fn has(&self, stream: Handle, number: u64) -> bool {
        self.0.get(&stream).is_some_and(|&known| known >= number)
    }
}

impl State {
    /// What comes before the next work of a stream.
    pub(super) fn clock_of(&self, id: Handle) -> Clock {
        let mut clock = self.host.clone();
        let Some(stream) = self.streams.get(&id) else { return clock };
        clock.join(&stream.clock);
        let default = stream.context | 1;
        let is_before =
            |other: &Handle| if id == default { *other != id } else { *other == default };
        let of_context = self.streams.iter().filter(|(_, s)| s.context == stream.context);
        let before =
            of_context.filter(|(h, s)| stream.is_blocking && s.is_blocking && is_before(h));
        before.for_each(|(_, other)| clock.join(&other.clock));
        clock
    }

    /// The host has waited for all work of a stream.
    pub(super) fn has_waited_for(&mut self, id: Handle) {
        if let Some(stream) = self.streams.get(&id) {
            self.host.join(&stream.clock);
        }
    }
}
