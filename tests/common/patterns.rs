//! Named inputs: the data that break sorting and selection, and plain random data.

use bihalf::Element;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Roughly normal.
    Random,
    /// One value everywhere.
    AllEqual,
    /// Two values, by halves.
    TwoValues,
    /// Four values, so ties straddle every boundary.
    FewDistinct,
    /// Ascending by row, but for the last row, which equals one of the first: of more than 32 rows
    /// the 32nd, so that the two are neighbours across a boundary of 8, 16 and 32 sorted ones.
    OneTie,
    /// Ascending by row.
    Sorted,
    /// Descending by row.
    Reversed,
    /// 0 1 2 3 4 0 1 2 3 4 ...
    Saw,
    /// Random with NaN of both signs.
    WithNan,
    /// Only NaN.
    AllNan,
    /// +0 and -0 with a few others.
    SignedZeros,
    /// Random with both infinities.
    WithInf,
    /// Multiples of the smallest denormal.
    Denormals,
    /// Random with every negative value 0, as behind a ReLU.
    Relu,
}

pub const ALL: [Pattern; 14] = [
    Pattern::Random,
    Pattern::AllEqual,
    Pattern::TwoValues,
    Pattern::FewDistinct,
    Pattern::OneTie,
    Pattern::Sorted,
    Pattern::Reversed,
    Pattern::Saw,
    Pattern::WithNan,
    Pattern::AllNan,
    Pattern::SignedZeros,
    Pattern::WithInf,
    Pattern::Denormals,
    Pattern::Relu,
];

/// Patterns of finite values, for arithmetic that is compared with a tolerance.
pub const FINITE: [Pattern; 4] =
    [Pattern::Random, Pattern::FewDistinct, Pattern::SignedZeros, Pattern::Relu];

impl Pattern {
    /// A dense row-major matrix of this pattern.
    pub fn fill<T: Element>(self, (rows, cols): (usize, usize), seed: u64) -> Vec<T> {
        let mut rng = Rng::new(seed);
        let mut value = |i: usize| -> f64 {
            // Drawn where it is used, skipped elsewhere.
            let mut normals = Rng(rng.0);
            rng.skip(Rng::OF_NORMAL);
            let dice = rng.below(8);
            let mut x = || normals.normal();
            match self {
                Self::Random => x(),
                Self::AllEqual => 0.5,
                Self::TwoValues => (dice % 2) as f64,
                Self::FewDistinct => [-1.0, 0.0, 1.0, 2.0][dice % 4],
                Self::OneTie if i + 1 == rows => {
                    if rows > 32 {
                        31.0
                    } else {
                        0.0
                    }
                }
                Self::OneTie | Self::Sorted => i as f64,
                Self::Reversed => -(i as f64),
                Self::Saw => (i % 5) as f64,
                Self::WithNan if dice > 1 => x(),
                Self::WithNan => [f64::NAN, -f64::NAN][dice],
                Self::AllNan => [f64::NAN, -f64::NAN][dice % 2],
                Self::SignedZeros => [0.0, -0.0, 0.0, -0.0, 0.0, -0.0, 1.0, -1.0][dice],
                Self::WithInf if dice > 1 => x(),
                Self::WithInf => [f64::INFINITY, f64::NEG_INFINITY][dice],
                Self::Denormals => (dice as f64 - 4.0) * smallest::<T>(),
                Self::Relu => x().max(0.0),
            }
        };
        (0..rows * cols).map(|n| T::from_f64(value(n / cols))).collect()
    }
}

/// The smallest positive value of a type.
fn smallest<T: Element>() -> f64 {
    match T::NAME {
        "f16" => 2f64.powi(-24),
        "bf16" => 2f64.powi(-133),
        "f32" => 2f64.powi(-149),
        "f64" => f64::from_bits(1),
        other => panic!("no smallest value known for {other}"),
    }
}

/// SplitMix64: one seed, the same numbers everywhere.
pub struct Rng(u64);

/// From one state to the next.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// From 0 to below 1.
    pub fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Leaves numbers out.
    fn skip(&mut self, n: u64) {
        self.0 = self.0.wrapping_add(n.wrapping_mul(STEP));
    }

    /// Numbers that a normal one takes.
    const OF_NORMAL: u64 = 12;

    /// Roughly standard normal: the sum of 12 uniform numbers, less 6.
    pub fn normal(&mut self) -> f64 {
        (0..Self::OF_NORMAL).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}
