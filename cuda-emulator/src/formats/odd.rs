//! Rounding to odd: f64 results that a narrower format may round once more, as if from the exact value.

/// `s` is the nearest double to an exact value that differs from it by the
/// (sign of) `e`: round to odd instead, so that a later rounding is right.
#[inline]
pub fn round_to_odd(s: f64, e: f64) -> f64 {
    if e == 0.0 || !s.is_finite() || e.is_nan() {
        return s;
    }
    let b = s.to_bits();
    if s == 0.0 {
        return if e > 0.0 { f64::from_bits(1) } else { f64::from_bits(1 | 1 << 63) };
    }
    if b & 1 == 1 {
        return s;
    }
    if (e > 0.0) == (s > 0.0) { f64::from_bits(b + 1) } else { f64::from_bits(b - 1) }
}
pub fn add_to_odd(a: f64, b: f64) -> f64 {
    let s = a + b;
    let bb = s - a;
    let e = (a - (s - bb)) + (b - bb);
    round_to_odd(s, e)
}
/// a*b exact in f64 (factors of at most 26 bits), plus c
pub fn fma_to_odd(a: f64, b: f64, c: f64) -> f64 {
    add_to_odd(a * b, c)
}
pub fn div_to_odd(a: f64, b: f64) -> f64 {
    let q = a / b;
    if !q.is_finite() || q == 0.0 {
        return q;
    }
    let r = (-q).mul_add(b, a);
    round_to_odd(q, if b > 0.0 { r } else { -r })
}
pub fn sqrt_to_odd(a: f64) -> f64 {
    let q = a.sqrt();
    if !q.is_finite() || q == 0.0 {
        return q;
    }
    round_to_odd(q, (-q).mul_add(q, a))
}
