//! Which accesses of the warps of a block are ordered: vector clocks.
//!
//! Each warp has a clock that ticks at its barriers, and knows of every other warp the clock that a
//! barrier has told it. An access at a clock that a warp knows of came before what the warp does now.

/// A clock for each of up to 32 warps.
pub type Clocks = [u32; 32];

/// Learns all that `from` knows.
pub fn join(clocks: &mut Clocks, from: &Clocks) {
    for (clock, other) in clocks.iter_mut().zip(from) {
        *clock = (*clock).max(*other);
    }
}

pub struct Order {
    /// what each warp knows
    pub clocks: Vec<Clocks>,
    /// barriers that the whole block met at, from 1
    pub whole: u32,
    /// since the last of these, some warps met at a barrier of their own
    pub is_partial: bool,
}

impl Order {
    pub fn new(warps: usize) -> Order {
        Order { clocks: vec![[0; 32]; warps], whole: 1, is_partial: false }
    }

    pub fn reset(&mut self) {
        for (warp, clocks) in self.clocks.iter_mut().enumerate() {
            *clocks = [0; 32];
            clocks[warp] = 1;
        }
        self.met_whole();
        self.whole = 1;
    }

    /// Warps with lanes in `arrived` met; whether they are all that are left.
    pub fn meet(&mut self, arrived: &[u32], is_whole: bool) {
        let mut known = [0; 32];
        for (clocks, _) in self.clocks.iter().zip(arrived).filter(|(_, lanes)| **lanes != 0) {
            join(&mut known, clocks);
        }
        for (warp, clocks) in self.clocks.iter_mut().enumerate() {
            if arrived[warp] != 0 {
                *clocks = known;
                clocks[warp] += 1;
            }
        }
        if is_whole {
            self.met_whole();
        } else {
            self.is_partial = true;
        }
    }

    /// All warps are ordered now.
    pub fn met_whole(&mut self) {
        self.whole += 1;
        self.is_partial = false;
    }

    /// The warp's own clock.
    #[inline(always)]
    pub fn now(&self, warp: usize) -> u32 {
        self.clocks[warp][warp]
    }

    /// Lets a warp's later accesses be told from its earlier ones.
    pub fn tick(&mut self, warp: usize) {
        self.clocks[warp][warp] += 1;
    }

    /// Whether `warp` knows of the moment `clock` of `other`.
    #[inline(always)]
    pub fn knows(&self, warp: usize, other: usize, clock: u32) -> bool {
        self.clocks[warp][other] >= clock
    }
}
