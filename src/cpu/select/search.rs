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
use super::count::{BELOW, TOP, count, count_with_neighbours};
use super::list::LIST;
use crate::cpu::simd::{Floats, Isa, Job, Ordered, Vector};

/// Passes by interpolation; normal data take about six.
const FAIR_PASSES: usize = 14;

/// Elements of a column's bracket from which on a pass that removed none is worth a search for
/// the levels that occur. Brackets of few elements may well lose none.
const MANY: i32 = 16;

#[derive(Clone, Copy)]
pub(super) struct Search<I: Isa> {
    /// k
    goal: I::I32,
    /// Columns that exist, as masks.
    alive: I::I32,
    left: I::I32,
    right: I::I32,
    above_left: I::I32,
    above_right: I::I32,
    weight_left: I::F32,
    weight_right: I::F32,
    /// Mask of the columns whose left end moved last; before the first pass no mask.
    last: I::I32,
    /// What the weight of an end that stays put is multiplied by beyond Anderson and Bjorck's factor.
    haste: I::F32,
    /// Mask of the columns whose last pass moved an end over no element.
    idle: I::I32,
    probe: I::I32,
}

/// Listing one of this many rows takes less time than the last passes do.
const LISTED: i32 = 64;

/// The most elements in closed brackets of a group that are listed: one for so many rows, or so many.
/// With more, new levels take less time.
const FEW_OF: i32 = 2;
const FEW: i32 = 2 * GROUP as i32;

/// A search's state as numbers.
pub(super) struct Brackets {
    pub left: [i32; GROUP],
    pub right: [i32; GROUP],
    pub above_left: [i32; GROUP],
    pub above_right: [i32; GROUP],
}

/// What is left to do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    Nothing,
    /// Brackets of few elements, at most [`LIST`] each.
    Few,
    /// Closed brackets of more.
    Many,
}

impl<I: Isa> Search<I> {
    /// `k` less than `rows`; the first `width` columns exist. `ends` are about the counts at the ends
    /// of the range of levels.
    #[inline(always)]
    pub(super) fn new(isa: I, rows: usize, k: usize, width: usize, ends: (f32, f32)) -> Self {
        let (zero, one) = (I::I32::splat(isa, 0), I::I32::splat(isa, 1));
        let weight = |weight: f32| I::F32::splat(isa, weight.max(1.0));
        Self {
            goal: Ordered::splat(isa, k as i32),
            alive: Vector::of_bits(isa, (1 << width) - 1),
            left: Ordered::splat(isa, BELOW),
            right: Ordered::splat(isa, TOP.into()),
            above_left: Ordered::splat(isa, rows as i32),
            above_right: zero,
            weight_left: weight(ends.0 - k as f32),
            weight_right: weight(k as f32 - ends.1),
            last: one,
            haste: Ordered::splat(isa, 1.0),
            idle: zero,
            probe: zero,
        }
    }

    /// The same, but another first probe, than which some level is greater.
    #[inline(always)]
    pub(super) fn from(self, isa: I, probe: I::I8) -> Self {
        let probe = probe.min(Ordered::splat(isa, TOP - 1));
        Self { probe: isa.widen_8_to_32(probe), ..self }
    }

    /// The state as numbers.
    #[inline(always)]
    pub(super) fn brackets(&self) -> Brackets {
        let lanes = |vector: I::I32| {
            let mut lanes = [0; GROUP];
            vector.store(&mut lanes);
            lanes
        };
        Brackets {
            left: lanes(self.left),
            right: lanes(self.right),
            above_left: lanes(self.above_left),
            above_right: lanes(self.above_right),
        }
    }

    /// The columns that are not decided, a bit each.
    #[inline(always)]
    pub(super) fn open(&self) -> u32 {
        self.undecided().bits()
    }

    #[inline(always)]
    fn undecided(&self) -> I::I32 {
        self.alive.without(self.above_right.eq(self.goal))
    }

    /// What is left to do where all columns are decided or closed.
    #[inline(always)]
    pub(super) fn rest(&self, isa: I, rows: usize) -> Rest {
        let open = self.undecided();
        let rest = self.above_left.sub(self.above_right).and(open);
        if open.bits() == 0 { Rest::Nothing } else { of_closed::<I>(isa, rest, rows) }
    }

    /// Decides columns, a bit each: exactly k of their levels lie above `cut`.
    #[inline(always)]
    pub(super) fn decide(&mut self, isa: I, columns: u32, cut: &[i32; GROUP]) {
        let (mask, cut) = (I::I32::of_bits(isa, columns), I::I32::load(isa, cut));
        self.right = mask.select(cut, self.right);
        self.above_right = mask.select(self.goal, self.above_right);
        self.probe = mask.select(cut, self.probe);
    }

    /// The levels above which the k greatest elements of each column lie, once all are decided.
    #[inline(always)]
    pub(super) fn cut(&self, isa: I) -> I::I8 {
        isa.narrow_to_8(self.right)
    }

    /// Levels above which at least k are, no more than need be as far as is known, and how many are.
    #[inline(always)]
    pub(super) fn at_least(&self) -> (I::I32, I::I32) {
        let decided = self.above_right.eq(self.goal);
        (decided.select(self.right, self.left), decided.select(self.goal, self.above_left))
    }

    /// Levels above which at most k are, and how many are.
    #[inline(always)]
    pub(super) fn at_most(&self) -> (I::I32, I::I32) {
        (self.right, self.above_right)
    }

    /// Columns that are closed at an end of the range of levels, where values beyond it are, and not few:
    /// by how much their levels have to be lower for that end to be in the middle. Their search starts
    /// anew, with such levels; the others' is 0.
    #[inline(always)]
    pub(super) fn look_beyond(&mut self, isa: I, rows: usize) -> Option<I::I32> {
        let (below, top) = (I::I32::splat(isa, BELOW), I::I32::splat(isa, TOP.into()));
        let inside = self.above_left.sub(self.above_right);
        let many = self.undecided().and(inside.gt(I::I32::splat(isa, LIST as i32)));
        let (at_top, at_least) = (many.and(self.right.eq(top)), many.and(self.left.eq(below)));
        let missed = at_top.or(at_least);
        if missed.bits() == 0 {
            return None;
        }
        let all = I::I32::splat(isa, rows as i32);
        self.left = missed.select(below, self.left);
        self.right = missed.select(top, self.right);
        self.above_left = missed.select(all, self.above_left);
        self.above_right = self.above_right.without(missed);
        self.begin_anew(isa);
        // The middle, for what was missed was missed by little.
        self.probe = missed.select(I::I32::splat(isa, 0), self.right);
        Some(at_top.select(top, at_least.select(below, I::I32::splat(isa, 0))))
    }

    /// New levels of columns, which hold the elements of the bracket from just above `below` to `top` and
    /// others outside; `top` is `below` for columns that keep theirs.
    #[inline(always)]
    pub(super) fn divide(&mut self, isa: I, below: i32, top: &[i32; GROUP]) {
        let (below, top) = (I::I32::splat(isa, below), I::I32::load(isa, top));
        let divided = top.gt(below);
        self.left = divided.select(below, self.left);
        self.right = divided.select(top, self.right);
        self.begin_anew(isa);
        self.probe = self.between(isa, false);
    }

    /// Weights by what is known now, and no end that moved last.
    #[inline(always)]
    fn begin_anew(&mut self, isa: I) {
        self.weight_left = isa.float(self.above_left.sub(self.goal));
        self.weight_right = isa.float(self.goal.sub(self.above_right));
        self.last = Ordered::splat(isa, 1);
    }

    /// The next probe of the columns that are neither decided nor closed; the others' is `right`.
    #[inline(always)]
    fn between(&self, isa: I, halve: bool) -> I::I32 {
        let one = I::I32::splat(isa, 1);
        let width = self.right.sub(self.left);
        let share = if halve {
            I::F32::splat(isa, 0.5)
        } else {
            self.weight_left.div_about(self.weight_left.add(self.weight_right))
        };
        let probe = self.left.add(isa.round(isa.float(width).mul(share)));
        let probe = probe.max(self.left.add(one)).min(self.right.sub(one));
        let searched = width.gt(one).without(self.above_right.eq(self.goal));
        searched.select(probe, self.right)
    }
}

/// The most groups that are searched together.
pub(super) const TOGETHER: usize = 4;

/// Passes over the tiles of up to [`TOGETHER`] groups in turn, until the [`Rest`] of each is known: what
/// is calculated between two passes of one takes as long as a pass over few rows, and can be done
/// while others are counted.
pub(super) struct Passes<'a, I: Isa> {
    /// One behind the other.
    pub tiles: &'a [I::Rows],
    pub rows: usize,
    pub searches: &'a mut [Search<I>],
}

impl<I: Isa> Job<I> for Passes<'_, I> {
    type Output = [Rest; TOGETHER];

    #[inline(always)]
    fn run(self, isa: I) -> Self::Output {
        let Self { tiles, rows, searches } = self;
        let each = tiles.len() / searches.len();
        let mut rests = [Rest::Nothing; TOGETHER];
        let mut above = [I::I32::splat(isa, 0); TOGETHER];
        for (g, search) in searches.iter().enumerate() {
            above[g] = count(isa, &tiles[g * each..][..each], isa.narrow_to_8(search.probe));
        }
        let mut searched = (1u32 << searches.len()) - 1;
        for pass in 0.. {
            let mut left = searched;
            while left != 0 {
                let g = left.trailing_zeros() as usize;
                left &= left - 1;
                let (tile, search) = (&tiles[g * each..][..each], &mut searches[g]);
                let state = search.learn(isa, above[g], pass >= FAIR_PASSES);
                if let Some(rest) = state.rest(isa, rows) {
                    rests[g] = rest;
                    searched &= !(1 << g);
                    continue;
                }
                let probe = isa.narrow_to_8(search.probe);
                above[g] = if state.stalled {
                    let (above, up_to, beyond) = count_with_neighbours(isa, tile, probe);
                    search.snap(isa, above, isa.widen_8_to_32(up_to), isa.widen_8_to_32(beyond));
                    above
                } else {
                    count(isa, tile, probe)
                };
            }
            if searched == 0 {
                break;
            }
        }
        rests
    }
}

/// What a pass has shown.
struct State<I: Isa> {
    /// All columns are decided.
    decided: bool,
    /// All columns are decided or closed.
    finished: bool,
    /// Some column's ends moved over no element twice.
    stalled: bool,
    /// Elements in the brackets of columns that are not decided.
    rest: I::I32,
}

impl<I: Isa> State<I> {
    /// What is left to do after the passes, if this was the last one.
    #[inline(always)]
    fn rest(&self, isa: I, rows: usize) -> Option<Rest> {
        if self.decided {
            Some(Rest::Nothing)
        } else if self.finished {
            Some(of_closed(isa, self.rest, rows))
        } else if fit_lists::<I>(isa, self.rest) && elements(self.rest) < rows as i32 / LISTED {
            Some(Rest::Few)
        } else {
            None
        }
    }
}

/// What is left to do if brackets with so many elements are closed.
#[inline(always)]
fn of_closed<I: Isa>(isa: I, inside: I::I32, rows: usize) -> Rest {
    let few = FEW.max(rows as i32 / FEW_OF);
    if fit_lists::<I>(isa, inside) && elements(inside) <= few { Rest::Few } else { Rest::Many }
}

/// Whether no bracket has more than [`LIST`] elements.
#[inline(always)]
fn fit_lists<I: Isa>(isa: I, inside: I::I32) -> bool {
    inside.gt(I::I32::splat(isa, LIST as i32)).bits() == 0
}

#[inline(always)]
fn elements<V: Vector<Lane = i32>>(inside: V) -> i32 {
    let mut lanes = [0; GROUP];
    inside.store(&mut lanes);
    lanes.iter().sum()
}

impl<I: Isa> Search<I> {
    /// Takes in the counts at the probes and chooses new ones.
    #[inline(always)]
    fn learn(&mut self, isa: I, above: I::I32, halve: bool) -> State<I> {
        let zero = I::I32::splat(isa, 0);
        let (one, half) = (I::F32::splat(isa, 1.0), I::F32::splat(isa, 0.5));
        let surplus = above.sub(self.goal);
        let over = surplus.gt(zero);
        let size = isa.float(over.select(surplus, zero.sub(surplus)));
        let old = Floats::select(over, self.weight_left, self.weight_right);
        let factor = one.sub(size.div_about(old));
        let factor = Floats::select(factor.gt(Ordered::splat(isa, 0.0)), factor, half);
        let stays = over.eq(self.last);
        let factor = Floats::select(stays, factor.mul(self.haste), one);
        // Smaller numbers would be denormal, which takes a hundred times as long.
        let haste = self.haste.mul(self.haste).mul(half).max(Ordered::splat(isa, 1e-15));
        self.haste = Floats::select(stays, haste, one);
        self.weight_left = Floats::select(over, size, self.weight_left.mul(factor));
        self.weight_right = Floats::select(over, self.weight_right.mul(factor), size);
        self.last = over;
        let idle = above.eq(self.above_left).or(above.eq(self.above_right));
        self.left = over.select(self.probe, self.left);
        self.above_left = over.select(above, self.above_left);
        self.right = over.select(self.right, self.probe);
        self.above_right = over.select(self.above_right, above);

        let open = self.undecided();
        let width = self.right.sub(self.left);
        let searched = open.and(width.gt(I::I32::splat(isa, 1)));
        let rest = self.above_left.sub(self.above_right).and(open);
        let many = rest.gt(I::I32::splat(isa, MANY));
        let stalled = searched.and(idle).and(self.idle).and(many);
        self.idle = idle;
        self.probe = self.between(isa, halve);
        State {
            decided: open.bits() == 0,
            finished: searched.bits() == 0,
            stalled: stalled.bits() != 0,
            rest,
        }
    }

    /// Moves probes to the neighbouring levels that occur; their counts stay.
    #[inline(always)]
    fn snap(&mut self, isa: I, above: I::I32, up_to: I::I32, beyond: I::I32) {
        let over = above.gt(self.goal);
        self.probe = over.select(beyond.sub(Ordered::splat(isa, 1)), up_to);
    }
}
