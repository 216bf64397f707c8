//! Data.

use bihalf::Element;

/// Roughly normal numbers, the same on every run.
pub fn random<T: Element>(len: usize) -> Vec<T> {
    let mut state = 1u64;
    let mut uniform = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / f64::from(1u32 << 24)
    };
    (0..len).map(|_| T::from_f64((0..6).map(|_| uniform()).sum::<f64>() - 3.0)).collect()
}
