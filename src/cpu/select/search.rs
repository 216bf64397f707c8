//! Searches a threshold of each column of a tile by counting.
//!
//! With f(t) the number of keys greater than t, each column keeps a bracket
//! `f(low) > k > f(high)`. A pass counts at one probe in every column, which replaces an end of
//! the bracket. A column is done
//!
//! - when f(probe) = k: the keys above the probe are the k greatest; or
//! - when `high` is the integer behind `low`: the keys that equal `high` are the boundary, and
//!   k - f(high) of them are among the k greatest.
//!
//! Probes interpolate, by value or by place in the order of keys. A column whose bracket lost few
//! keys in a pass changes from one to the other and has its ends snapped to keys that occur, which
//! passes over gaps: few distinct values take as many passes as there are values. If that does not
//! help for three passes the bracket is halved by place, so that any data end.

use super::GROUP;
use crate::cpu::simd::{Isa, Job, Lane, Of, Vector};

/// Vectors of a tile's row: with 8 lanes they are a group of columns.
pub(super) const WIDTH: usize = 2;

/// What is known of each column.
#[derive(Clone, Copy)]
pub(super) struct Search<K> {
    /// How many keys are wanted.
    k: [u32; GROUP],
    low: [K; GROUP],
    high: [K; GROUP],
    above_low: [u32; GROUP],
    above_high: [u32; GROUP],
    probe: [K; GROUP],
    /// Passes in a row in which the bracket lost few keys.
    poor: [u32; GROUP],
    by_place: [bool; GROUP],
    done: [bool; GROUP],
    need: [u32; GROUP],
}

/// What a pass finds.
#[derive(Clone, Copy)]
struct Counted<K> {
    above: [u32; GROUP],
    /// The greatest key up to the probe and the least above it.
    neighbours: Option<([K; GROUP], [K; GROUP])>,
}

impl<K: Lane> Search<K> {
    /// Brackets that hold all keys of `rows` rows; `low` is less than all and `high` not less
    /// than any.
    #[inline(always)]
    pub(super) fn new(rows: usize, k: [u32; GROUP]) -> Self {
        let mut search = Self {
            k,
            low: [K::MIN; GROUP],
            high: [K::MAX; GROUP],
            above_low: [rows as u32; GROUP],
            above_high: [0; GROUP],
            probe: [K::MAX; GROUP],
            poor: [0; GROUP],
            by_place: [false; GROUP],
            done: [false; GROUP],
            need: [0; GROUP],
        };
        for l in 0..GROUP {
            search.learn(l, K::MIN, rows as u32);
            search.learn(l, K::MAX, 0);
        }
        search
    }

    /// The cut of column `l`: keys above it, and how many of those that equal it.
    #[inline(always)]
    pub(super) fn cut(&self, l: usize) -> (K, u32) {
        (self.probe[l], self.need[l])
    }

    /// Takes in that `above` keys of column `l` are greater than `at`.
    #[inline(always)]
    pub(super) fn learn(&mut self, l: usize, at: K, above: u32) {
        if self.done[l] {
            return;
        }
        let k = self.k[l];
        if above == k {
            self.finish(l, at, 0);
        } else if above > k {
            if at >= self.low[l] {
                (self.low[l], self.above_low[l]) = (at, above);
            }
        } else if at <= self.high[l] {
            (self.high[l], self.above_high[l]) = (at, above);
        }
        self.close(l);
    }

    #[inline(always)]
    fn close(&mut self, l: usize) {
        if !self.done[l] && self.low[l].behind() == self.high[l] {
            self.finish(l, self.high[l], self.k[l] - self.above_high[l]);
        }
    }

    #[inline(always)]
    fn finish(&mut self, l: usize, at: K, need: u32) {
        (self.done[l], self.probe[l], self.need[l]) = (true, at, need);
    }

    #[inline(always)]
    fn next_probe(&self, l: usize) -> K {
        let (low, high) = (self.low[l], self.high[l]);
        let too_many = f64::from(self.above_low[l] - self.k[l]);
        let too_few = f64::from(self.k[l] - self.above_high[l]);
        let all = too_many + too_few;
        // Near an end of the bracket, aim a little to the other side of the goal: if that is hit,
        // the bracket loses almost all of its keys.
        let beyond = |near: f64| 0.7 * near.sqrt() + 0.3;
        let share = if self.poor[l] >= 3 {
            0.5
        } else if 4.0 * too_many < too_few {
            (too_many + beyond(too_many)) / all
        } else if 4.0 * too_few < too_many {
            (too_many - beyond(too_few)) / all
        } else {
            too_many / all
        };
        let (from, to) = (low.value(), high.value());
        let span = to - from;
        let probe = if self.by_place[l] || self.poor[l] >= 3 || !span.is_finite() {
            let (from, to) = (low.place(), high.place());
            K::from_place(from + (to - from) * share)
        } else {
            K::from_value(from + span * share)
        };
        probe.max(low.behind()).min(high.before())
    }

    #[inline(always)]
    fn update(&mut self, counted: &Counted<K>) {
        for l in 0..GROUP {
            if self.done[l] {
                continue;
            }
            let before = self.above_low[l] - self.above_high[l];
            let above = counted.above[l];
            let at = match counted.neighbours {
                Some((_, least_above)) if above > self.k[l] => least_above[l].before(),
                Some((greatest_up_to, _)) if above < self.k[l] => greatest_up_to[l],
                _ => self.probe[l],
            };
            self.learn(l, at, above);
            let lost = before - (self.above_low[l] - self.above_high[l]);
            if lost < before / 4 {
                self.poor[l] += 1;
                self.by_place[l] = !self.by_place[l];
            } else {
                self.poor[l] = 0;
            }
        }
    }

    /// Whether the next pass shall look for the neighbours of the probes: where a bracket shrinks
    /// poorly, or where all are almost empty.
    #[inline(always)]
    fn wants_neighbours(&self) -> bool {
        let (mut poor, mut small) = (false, true);
        for l in 0..GROUP {
            if !self.done[l] {
                poor |= self.poor[l] > 0;
                small &= self.above_low[l] - self.above_high[l] <= 3;
            }
        }
        poor || small
    }
}

/// Completes a search in a tile.
pub(super) struct Solve<'a, I: Isa, K: Lane> {
    pub tile: &'a [Of<I, K>],
    pub search: &'a mut Search<K>,
}

impl<I: Isa, K: Lane> Job<I> for Solve<'_, I, K> {
    type Output = ();

    #[inline(always)]
    fn run(self, isa: I) {
        let Self { tile, search } = self;
        // Columns that the lanes of a group do not have are copies of the first.
        let columns = WIDTH * K::LANES;
        while !search.done[..columns].iter().all(|&done| done) {
            for l in 0..columns {
                if !search.done[l] {
                    search.probe[l] = search.next_probe(l);
                }
            }
            let probes = load(isa, &search.probe);
            let counted = if search.wants_neighbours() {
                count_with_neighbours(isa, tile, probes)
            } else {
                let [above] = count(isa, tile, [probes]);
                Counted { above: counts::<I, K>(above), neighbours: None }
            };
            search.update(&counted);
        }
    }
}

/// A key for each column as vectors.
#[inline(always)]
pub(super) fn load<I: Isa, K: Lane>(isa: I, lanes: &[K; GROUP]) -> [Of<I, K>; WIDTH] {
    let mut vectors = [Of::<I, K>::load(isa, lanes); WIDTH];
    for w in 1..WIDTH {
        vectors[w] = Vector::load(isa, &lanes[w * K::LANES..]);
    }
    vectors
}

/// Vectors as a key for each column.
#[inline(always)]
pub(super) fn store<I: Isa, K: Lane>(vectors: [Of<I, K>; WIDTH]) -> [K; GROUP] {
    let mut lanes = [K::default(); GROUP];
    for w in 0..WIDTH {
        vectors[w].store(&mut lanes[w * K::LANES..]);
    }
    lanes
}

#[inline(always)]
pub(super) fn counts<I: Isa, K: Lane>(vectors: [Of<I, K>; WIDTH]) -> [u32; GROUP] {
    store::<I, K>(vectors).map(Lane::count)
}

/// Keys above each of `P` thresholds.
#[inline(always)]
pub(super) fn count<I: Isa, V: Vector<Isa = I>, const P: usize>(
    isa: I,
    tile: &[V],
    at: [[V; WIDTH]; P],
) -> [[V; WIDTH]; P] {
    /// Rows whose counts do not depend on each other.
    const ROWS: usize = 4;
    let zero = V::splat(isa, V::Lane::default());
    let mut above = [[[zero; WIDTH]; P]; ROWS];
    let mut rows = tile.chunks_exact(ROWS * WIDTH);
    for keys in rows.by_ref() {
        for r in 0..ROWS {
            add_above(&mut above[r], &keys[r * WIDTH..(r + 1) * WIDTH], &at);
        }
    }
    for keys in rows.remainder().chunks_exact(WIDTH) {
        add_above(&mut above[0], keys, &at);
    }
    let mut sum = above[0];
    for of_rows in &above[1..] {
        for p in 0..P {
            for w in 0..WIDTH {
                sum[p][w] = sum[p][w].add(of_rows[p][w]);
            }
        }
    }
    sum
}

/// Adds 1 to the counts of the columns whose key is above.
#[inline(always)]
fn add_above<V: Vector, const P: usize>(
    above: &mut [[V; WIDTH]; P],
    keys: &[V],
    at: &[[V; WIDTH]; P],
) {
    for p in 0..P {
        for w in 0..WIDTH {
            above[p][w] = above[p][w].sub(keys[w].gt(at[p][w]));
        }
    }
}

#[inline(always)]
fn count_with_neighbours<I: Isa, K: Lane>(
    isa: I,
    tile: &[Of<I, K>],
    at: [Of<I, K>; WIDTH],
) -> Counted<K> {
    let (least, greatest) = (Of::<I, K>::splat(isa, K::MIN), Of::<I, K>::splat(isa, K::MAX));
    let mut above = [Of::<I, K>::splat(isa, K::default()); WIDTH];
    let (mut greatest_up_to, mut least_above) = ([least; WIDTH], [greatest; WIDTH]);
    for keys in tile.chunks_exact(WIDTH) {
        for w in 0..WIDTH {
            let is_above = keys[w].gt(at[w]);
            above[w] = above[w].sub(is_above);
            greatest_up_to[w] = greatest_up_to[w].max(is_above.select(least, keys[w]));
            least_above[w] = least_above[w].min(is_above.select(keys[w], greatest));
        }
    }
    let neighbours = Some((store::<I, K>(greatest_up_to), store::<I, K>(least_above)));
    Counted { above: counts::<I, K>(above), neighbours }
}
