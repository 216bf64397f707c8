//! Random numbers that stay the same on every machine and with every version of every crate.

/// SplitMix64 (Steele, Lea and Flood 2014).
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in `-bound..bound`.
    pub fn symmetric(&mut self, bound: f32) -> f32 {
        // The upper 24 bits fill the mantissa of an f32 in [0, 1) exactly.
        let unit = (self.next() >> 40) as f32 / (1 << 24) as f32;
        bound * (2.0 * unit - 1.0)
    }

    /// Uniform in `0..n`; the bias of at most `n / 2^64` does not matter here.
    fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }

    /// Fisher-Yates.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_values_are_those_of_the_reference_code() {
        let mut rng = Rng::new(1_234_567);
        let values: Vec<u64> = (0..3).map(|_| rng.next()).collect();
        assert_eq!(values, [6457827717110365317, 3203168211198807973, 9817491932198370423]);
    }

    #[test]
    fn shuffle_loses_no_item() {
        let mut items: Vec<usize> = (0..100).collect();
        Rng::new(1).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn symmetric_stays_within_its_bound() {
        let mut rng = Rng::new(2);
        let values: Vec<f32> = (0..1000).map(|_| rng.symmetric(0.25)).collect();
        assert!(values.iter().all(|x| x.abs() <= 0.25));
        assert!(values.iter().any(|x| *x > 0.2) && values.iter().any(|x| *x < -0.2));
    }
}
