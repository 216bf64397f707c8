//! Searches the cut of each of 16 columns by counting levels.
//!
//! With f(t) the number of levels greater than t, each column keeps a bracket
//! `f(left) > k >= f(right)`. A pass counts at one probe in every column and replaces an end of the
//! bracket by it. A column is decided when f(right) = k: whatever is above `right` are its k
//! greatest elements. It is closed when right = left + 1: then `right` itself holds elements of which
//! some are among the k greatest, which levels cannot tell.
//!
//! Probes are where a line between the ends, weighted by their distance to k, meets k. An end that
//! stays put twice loses weight (Anderson and Bjorck), and more the longer it does, so that both ends
//! close in even beside a value that many elements have. After two passes
//! that moved an end over no element, the next one also finds the levels that occur around the probe:
//! few distinct levels take few passes. After [`FAIR_PASSES`] brackets are halved, so any data end.

use super::GROUP;
use super::count::{BELOW, Pair, TOP, count, count_with_neighbours, load, mask_of, store};
use crate::cpu::simd::{Floats, Isa, Job, Vector};

/// Passes by interpolation; normal data take 6 to 9.
const FAIR_PASSES: usize = 14;

/// Elements of a column's bracket from which on a pass that removed none is worth a search for
/// the levels that occur. Brackets of few elements may well lose none.
const MANY: i32 = 16;

/// The most elements of a column that are listed rather than counted.
pub(super) const LIST: usize = 64;

pub(super) struct Search<I: Isa> {
    /// k
    goal: I::I32,
    /// Columns that exist, as masks.
    alive: Pair<I::I32>,
    left: Pair<I::I32>,
    right: Pair<I::I32>,
    above_left: Pair<I::I32>,
    above_right: Pair<I::I32>,
    weight_left: Pair<I::F32>,
    weight_right: Pair<I::F32>,
    /// Mask of the columns whose left end moved last; before the first pass no mask.
    last: Pair<I::I32>,
    /// What the weight of an end that stays put is multiplied by beyond Anderson and Bjorck's factor.
    haste: Pair<I::F32>,
    /// Mask of the columns whose last pass moved an end over no element.
    idle: Pair<I::I32>,
    probe: Pair<I::I32>,
}

/// Listing one of this many rows takes less time than the last passes do.
const LISTED: i32 = 64;

/// A search's state as numbers.
pub(super) struct Brackets {
    pub left: [i32; GROUP],
    pub right: [i32; GROUP],
    pub above_right: [i32; GROUP],
}

/// What is left to do.
#[derive(PartialEq, Eq)]
pub(super) enum Rest {
    Nothing,
    /// Brackets of at most [`LIST`] elements.
    Few,
    /// Some closed bracket has more.
    Many,
}

impl<I: Isa> Search<I> {
    /// `k` less than `rows`; the first `width` columns exist. `ends` are about the counts at the ends
    /// of the range of levels.
    #[inline(always)]
    pub(super) fn new(isa: I, rows: usize, k: usize, width: usize, ends: (f32, f32)) -> Self {
        let mut alive = [0; GROUP];
        alive[..width].fill(-1);
        Self {
            goal: I::I32::splat(isa, k as i32),
            alive: load(isa, &alive),
            left: [I::I32::splat(isa, BELOW.into()); 2],
            right: [I::I32::splat(isa, TOP.into()); 2],
            above_left: [I::I32::splat(isa, rows as i32); 2],
            above_right: [I::I32::splat(isa, 0); 2],
            weight_left: [I::F32::splat(isa, (ends.0 - k as f32).max(1.0)); 2],
            weight_right: [I::F32::splat(isa, (k as f32 - ends.1).max(1.0)); 2],
            last: [I::I32::splat(isa, 1); 2],
            haste: [I::F32::splat(isa, 1.0); 2],
            idle: [I::I32::splat(isa, 0); 2],
            probe: [I::I32::splat(isa, 0); 2],
        }
    }

    /// The state as numbers.
    #[inline(always)]
    pub(super) fn brackets(&self) -> Brackets {
        Brackets {
            left: store::<I>(self.left),
            right: store::<I>(self.right),
            above_right: store::<I>(self.above_right),
        }
    }

    /// The columns that are not decided, a bit each.
    #[inline(always)]
    pub(super) fn open(&self) -> u32 {
        let mut open = 0;
        for j in 0..2 {
            let decided = self.above_right[j].eq(self.goal);
            open |= self.alive[j].without(decided).bits() << (GROUP / 2 * j);
        }
        open
    }

    /// Decides columns, a bit each: exactly k of their levels lie above `cut`.
    #[inline(always)]
    pub(super) fn decide(&mut self, isa: I, columns: u32, cut: &[i32; GROUP]) {
        let (mask, cut) = (isa.widen(mask_of(isa, columns)), load(isa, cut));
        for j in 0..2 {
            self.right[j] = mask[j].select(cut[j], self.right[j]);
            self.above_right[j] = mask[j].select(self.goal, self.above_right[j]);
            self.probe[j] = mask[j].select(cut[j], self.probe[j]);
        }
    }

    /// The levels above which the k greatest elements of each column lie, once all are decided.
    #[inline(always)]
    pub(super) fn cut(&self, isa: I) -> I::I16 {
        isa.narrow(self.right)
    }

    /// Levels above which at least k are, no more than need be as far as is known, and how many are.
    #[inline(always)]
    pub(super) fn at_least(&self) -> (Pair<I::I32>, Pair<I::I32>) {
        let (mut level, mut above) = (self.left, self.above_left);
        for j in 0..2 {
            let decided = self.above_right[j].eq(self.goal);
            level[j] = decided.select(self.right[j], level[j]);
            above[j] = decided.select(self.goal, above[j]);
        }
        (level, above)
    }

    /// Levels above which at most k are, and how many are.
    #[inline(always)]
    pub(super) fn at_most(&self) -> (Pair<I::I32>, Pair<I::I32>) {
        (self.right, self.above_right)
    }

    /// New levels of columns, which hold the elements of the bracket from 0 to `top` and others
    /// outside; `top` is negative for columns that keep theirs.
    #[inline(always)]
    pub(super) fn divide(&mut self, isa: I, top: &[i32; GROUP]) {
        let (none, top) = (I::I32::splat(isa, -1), load(isa, top));
        for j in 0..2 {
            let divided = top[j].gt(none);
            self.left[j] = divided.select(none, self.left[j]);
            self.right[j] = divided.select(top[j], self.right[j]);
            self.weight_left[j] = Floats::of_int(self.above_left[j].sub(self.goal));
            self.weight_right[j] = Floats::of_int(self.goal.sub(self.above_right[j]));
            self.last[j] = I::I32::splat(isa, 1);
            self.probe[j] = self.between(isa, j, false);
        }
    }

    /// The next probe of the columns `j` that are neither decided nor closed; the others' is `right`.
    #[inline(always)]
    fn between(&self, isa: I, j: usize, halve: bool) -> I::I32 {
        let one = I::I32::splat(isa, 1);
        let (left, right) = (self.left[j], self.right[j]);
        let width = right.sub(left);
        let share = if halve {
            I::F32::splat(isa, 0.5)
        } else {
            self.weight_left[j].div(self.weight_left[j].add(self.weight_right[j]))
        };
        let probe = left.add(I::F32::of_int(width).mul(share).to_int());
        let probe = probe.max(left.add(one)).min(right.sub(one));
        let searched = width.gt(one).without(self.above_right[j].eq(self.goal));
        searched.select(probe, right)
    }
}

/// Passes until [`Rest`] is known. `above` are the counts at the probe, if they are known.
pub(super) struct Passes<'a, I: Isa> {
    pub tile: &'a [I::I16],
    pub search: &'a mut Search<I>,
    pub above: Option<Pair<I::I32>>,
}

impl<I: Isa> Job<I> for Passes<'_, I> {
    type Output = Rest;

    #[inline(always)]
    fn run(self, isa: I) -> Rest {
        let Self { tile, search, above } = self;
        let mut above = match above {
            Some(above) => above,
            None => count(isa, tile, isa.narrow(search.probe)),
        };
        for pass in 0.. {
            let state = search.learn(isa, above, pass >= FAIR_PASSES);
            if state.decided {
                return Rest::Nothing;
            }
            if !state.big && (state.finished || state.elements(isa) < tile.len() as i32 / LISTED) {
                return Rest::Few;
            }
            if state.finished {
                return Rest::Many;
            }
            let probe = isa.narrow(search.probe);
            above = if state.stalled {
                let (above, up_to, beyond) = count_with_neighbours(isa, tile, probe);
                search.snap(isa, above, isa.widen(up_to), isa.widen(beyond));
                above
            } else {
                count(isa, tile, probe)
            };
        }
        unreachable!("brackets get narrower")
    }
}

/// What a pass has shown.
struct State<V> {
    /// All columns are decided.
    decided: bool,
    /// All columns are decided or closed.
    finished: bool,
    /// Some column that is not decided has more than [`LIST`] elements in its bracket.
    big: bool,
    /// Some column's ends moved over no element twice.
    stalled: bool,
    /// Elements in the brackets of columns that are not decided.
    rest: V,
}

impl<V: Vector<Lane = i32>> State<V> {
    #[inline(always)]
    fn elements(&self, _: V::Isa) -> i32 {
        let mut lanes = [0; GROUP / 2];
        self.rest.store(&mut lanes);
        lanes.iter().sum()
    }
}

impl<I: Isa> Search<I> {
    /// Takes in the counts at the probes and chooses new ones.
    #[inline(always)]
    fn learn(&mut self, isa: I, above: Pair<I::I32>, halve: bool) -> State<I::I32> {
        let zero = I::I32::splat(isa, 0);
        let (one, half) = (I::F32::splat(isa, 1.0), I::F32::splat(isa, 0.5));
        let (many, list) = (I::I32::splat(isa, MANY), I::I32::splat(isa, LIST as i32));
        let (mut open_any, mut searched_any) = (zero, zero);
        let (mut big, mut stalled, mut rest_sum) = (zero, zero, zero);
        for j in 0..2 {
            let surplus = above[j].sub(self.goal);
            let over = surplus.gt(zero);
            let size: I::F32 = Floats::of_int(over.select(surplus, zero.sub(surplus)));
            let old = Floats::select(over, self.weight_left[j], self.weight_right[j]);
            let factor = one.sub(size.div(old));
            let factor = Floats::select(factor.gt(Floats::of_int(zero)), factor, half);
            let stays = over.eq(self.last[j]);
            let factor = Floats::select(stays, factor.mul(self.haste[j]), one);
            let haste = self.haste[j].mul(self.haste[j]).mul(half);
            self.haste[j] = Floats::select(stays, haste, one);
            self.weight_left[j] = Floats::select(over, size, self.weight_left[j].mul(factor));
            self.weight_right[j] = Floats::select(over, self.weight_right[j].mul(factor), size);
            self.last[j] = over;
            let idle = above[j].eq(self.above_left[j]).or(above[j].eq(self.above_right[j]));
            self.left[j] = over.select(self.probe[j], self.left[j]);
            self.above_left[j] = over.select(above[j], self.above_left[j]);
            self.right[j] = over.select(self.right[j], self.probe[j]);
            self.above_right[j] = over.select(self.above_right[j], above[j]);

            let open = self.alive[j].without(self.above_right[j].eq(self.goal));
            let width = self.right[j].sub(self.left[j]);
            let searched = open.and(width.gt(I::I32::splat(isa, 1)));
            let rest = self.above_left[j].sub(self.above_right[j]).and(open);
            open_any = open_any.or(open);
            searched_any = searched_any.or(searched);
            big = big.or(rest.gt(list));
            stalled = stalled.or(searched.and(idle).and(self.idle[j]).and(rest.gt(many)));
            self.idle[j] = idle;
            rest_sum = rest_sum.add(rest);
            self.probe[j] = self.between(isa, j, halve);
        }
        State {
            decided: open_any.bits() == 0,
            finished: searched_any.bits() == 0,
            big: big.bits() != 0,
            stalled: stalled.bits() != 0,
            rest: rest_sum,
        }
    }

    /// Moves probes to the neighbouring levels that occur; their counts stay.
    #[inline(always)]
    fn snap(&mut self, isa: I, above: Pair<I::I32>, up_to: Pair<I::I32>, beyond: Pair<I::I32>) {
        let one = I::I32::splat(isa, 1);
        for j in 0..2 {
            let over = above[j].gt(self.goal);
            self.probe[j] = over.select(beyond[j].sub(one), up_to[j]);
        }
    }
}
