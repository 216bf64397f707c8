//! Plan of a search: launches that count, and one that writes.

use super::{Kernel, Launch, Limits, SHARED_BYTES};

/// Items of a chunk, which is a block's.
const CHUNK: u32 = 4096;
/// Queries of a block.
const QUERIES: u32 = 8;

/// The launch of the distances of all pairs: a block for each chunk of items and eight queries.
pub fn distances(queries: u32, items: u32, limits: &Limits) -> Launch {
    by_chunks(Kernel::SearchDistances, queries.div_ceil(QUERIES), items, limits.grid_y)
}

/// The launch that counts items and relevant items at each distance: the same grid. Counts of eight
/// queries are in shared memory if they have room there.
pub fn tally(queries: u32, items: u32, bits: u32, limits: &Limits) -> Launch {
    let shared_bytes = histograms(2 * QUERIES, bits).unwrap_or(0);
    let launch = by_chunks(Kernel::SearchTally, queries.div_ceil(QUERIES), items, limits.grid_y);
    Launch { shared_bytes, ..launch }
}

/// Bytes of so many histograms, if they have room in the shared memory of a block.
fn histograms(number: u32, bits: u32) -> Option<u32> {
    let bytes = (bits.checked_add(1)?).checked_mul(number * size_of::<u32>() as u32)?;
    (bytes <= SHARED_BYTES).then_some(bytes)
}

fn by_chunks(kernel: Kernel, parts: u32, items: u32, grid_y: u32) -> Launch {
    Launch { kernel, grid: (items.div_ceil(CHUNK), parts.clamp(1, grid_y)), shared_bytes: 0 }
}

/// How the k nearest items are found: `kernels/search.cu` has the steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nearest {
    queries: u32,
    items: u32,
    bits: u32,
    wanted: u32,
    grid_y: u32,
}

/// The plan of the `wanted` nearest of `items` items of `bits` bits, no more than there are, for
/// each query.
pub fn nearest(queries: u32, items: u32, bits: u32, wanted: u32, limits: &Limits) -> Nearest {
    Nearest { queries, items, bits, wanted, grid_y: limits.grid_y }
}

impl Nearest {
    /// The launches in their order; none where nothing is found. Histograms start at 0.
    pub fn launches(&self) -> impl Iterator<Item = Launch> + use<> {
        let plan = *self;
        let some = plan.queries > 0 && plan.wanted > 0;
        let eights = plan.queries.div_ceil(QUERIES);
        let by_eights = |kernel| by_chunks(kernel, eights, plan.items, plan.grid_y);
        let by_query = |kernel| Launch { kernel, grid: (plan.queries, 1), shared_bytes: 0 };
        let shared_bytes = plan.shared_bytes().unwrap_or(0);
        let launches = [
            Launch { shared_bytes, ..by_eights(Kernel::SearchHistogram) },
            by_query(Kernel::SearchLimit),
            by_eights(Kernel::SearchCount),
            by_query(Kernel::SearchScan),
            by_chunks(Kernel::SearchEmit, plan.queries, plan.items, plan.grid_y),
            by_query(Kernel::SearchSort),
        ];
        launches.into_iter().filter(move |_| some)
    }

    /// Chunks of the items.
    pub(crate) fn chunks(&self) -> u32 {
        self.items.div_ceil(CHUNK)
    }

    /// Bytes of the histograms of eight queries, if they have room in the shared memory of a block.
    pub(crate) fn shared_bytes(&self) -> Option<u32> {
        histograms(QUERIES, self.bits)
    }

    /// Bytes of the workspace's parts: histograms, limits, counts of chunks, candidates.
    pub(crate) fn parts(&self) -> [usize; 4] {
        let each = |bytes: usize| bytes.saturating_mul(self.queries as usize);
        let pair = 2 * size_of::<u32>();
        let histogram = (self.bits as usize + 1).saturating_mul(size_of::<u32>());
        // Pairs behind them are aligned.
        let histograms = each(histogram).checked_next_multiple_of(pair).unwrap_or(usize::MAX);
        let counts = (self.chunks() as usize + 1).saturating_mul(pair);
        let candidates = (self.wanted as usize).saturating_mul(pair);
        [histograms, each(pair), each(counts), each(candidates)]
    }

    /// Bytes of workspace.
    pub fn workspace_bytes(&self) -> usize {
        if self.queries == 0 || self.wanted == 0 {
            return 0;
        }
        self.parts().into_iter().fold(0, usize::saturating_add)
    }
}
