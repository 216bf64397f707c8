//! IEEE 754 arithmetic in integers: exact values, rounded once, as the standard defines it. Shares no
//! code with the emulator, which uses the processor's arithmetic and rounds doubles.

use std::cmp::Ordering;

/// Where a value that a format does not hold goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// to the nearest, ties to even
    Nearest,
    Zero,
    Down,
    Up,
}

impl Mode {
    pub const ALL: [Mode; 4] = [Mode::Nearest, Mode::Zero, Mode::Down, Mode::Up];

    /// As PTX spells it.
    pub fn suffix(self) -> &'static str {
        match self {
            Mode::Nearest => "rn",
            Mode::Zero => "rz",
            Mode::Down => "rm",
            Mode::Up => "rp",
        }
    }
}

/// A value: (-1)^negative * significand * 2^exponent if it is finite. A significand of 70 bits or more
/// may stand for one that is inexact: then its last bit is set.
#[derive(Clone, Copy, Debug)]
pub enum Number {
    Nan,
    Infinite { negative: bool },
    Finite { negative: bool, significand: u128, exponent: i32 },
}
use Number::*;

pub fn width(n: u128) -> i32 {
    128 - n.leading_zeros() as i32
}

/// `n` / 2^shift: the integer part, and how the rest compares with a half; None if there is no rest.
fn split(n: u128, shift: i32) -> (u128, Option<Ordering>) {
    if shift <= 0 {
        return (n << -shift, None);
    }
    if shift > 128 {
        return (0, (n > 0).then_some(Ordering::Less));
    }
    let kept = n.checked_shr(shift as u32).unwrap_or(0);
    let rest = n << (128 - shift);
    (kept, (rest > 0).then(|| rest.cmp(&(1 << 127))))
}

/// The integer nearest to `n` / 2^shift in the sense of the mode.
pub fn rounded(negative: bool, n: u128, shift: i32, mode: Mode) -> u128 {
    let (kept, rest) = split(n, shift);
    let Some(rest) = rest else { return kept };
    let away = match mode {
        Mode::Nearest => rest == Ordering::Greater || rest == Ordering::Equal && kept % 2 == 1,
        Mode::Zero => false,
        Mode::Down => negative,
        Mode::Up => !negative,
    };
    kept + away as u128
}

impl Number {
    pub fn of_integer(v: i128) -> Number {
        Finite { negative: v < 0, significand: v.unsigned_abs(), exponent: 0 }
    }

    pub fn negated(self) -> Number {
        match self {
            Nan => Nan,
            Infinite { negative } => Infinite { negative: !negative },
            Finite { negative, significand, exponent } => {
                Finite { negative: !negative, significand, exponent }
            }
        }
    }

    pub fn add(self, other: Number, mode: Mode) -> Number {
        match (self, other) {
            (Nan, _) | (_, Nan) => Nan,
            (Infinite { negative: a }, Infinite { negative: b }) if a != b => Nan,
            (Infinite { negative }, _) | (_, Infinite { negative }) => Infinite { negative },
            (
                Finite { negative: s, significand: a, exponent: m },
                Finite { negative: t, significand: b, exponent: n },
            ) => {
                if a == 0 && b == 0 {
                    let negative = if s == t { s } else { mode == Mode::Down };
                    return Finite { negative, significand: 0, exponent: 0 };
                }
                if b == 0 || a == 0 {
                    return if b == 0 { self } else { other };
                }
                if m >= n {
                    sum((s, a, m), (t, b, n), mode)
                } else {
                    sum((t, b, n), (s, a, m), mode)
                }
            }
        }
    }

    pub fn mul(self, other: Number) -> Number {
        match (self, other) {
            (Nan, _) | (_, Nan) => Nan,
            (
                Finite { negative: s, significand: a, exponent: m },
                Finite { negative: t, significand: b, exponent: n },
            ) => Finite { negative: s != t, significand: a * b, exponent: m + n },
            _ if self.is_zero() || other.is_zero() => Nan,
            _ => Infinite { negative: self.is_negative() != other.is_negative() },
        }
    }

    pub fn div(self, other: Number) -> Number {
        let negative = self.is_negative() != other.is_negative();
        match (self, other) {
            (Nan, _) | (_, Nan) | (Infinite { .. }, Infinite { .. }) => Nan,
            (Infinite { .. }, _) => Infinite { negative },
            (_, Infinite { .. }) => Finite { negative, significand: 0, exponent: 0 },
            (
                Finite { significand: a, exponent: m, .. },
                Finite { significand: b, exponent: n, .. },
            ) => match (a, b) {
                (0, 0) => Nan,
                (_, 0) => Infinite { negative },
                _ => {
                    // a quotient of 70 bits or more
                    let shift = (70 + width(b) - width(a)).max(0);
                    let (a, exponent) = (a << shift, m - n - shift);
                    let significand = (a / b) | (a % b != 0) as u128;
                    Finite { negative, significand, exponent }
                }
            },
        }
    }

    pub fn sqrt(self) -> Number {
        match self {
            Finite { significand: 0, .. } => self,
            Finite { negative: false, significand, exponent } => {
                let mut shift = 126 - width(significand);
                shift += (exponent - shift) % 2;
                let n = significand << shift;
                let root = n.isqrt();
                let significand = root | (root * root != n) as u128;
                Finite { negative: false, significand, exponent: (exponent - shift) / 2 }
            }
            Infinite { negative: false } => self,
            _ => Nan,
        }
    }

    /// The nearest integral value; one that is zero keeps its sign.
    pub fn integral(self, mode: Mode) -> Number {
        match self {
            Finite { negative, significand, exponent } if exponent < 0 => {
                let significand = rounded(negative, significand, -exponent, mode);
                Finite { negative, significand, exponent: 0 }
            }
            _ => self,
        }
    }

    /// The nearest integer of so many bits, or the end of its range that is nearest. None for NaN.
    pub fn to_integer(self, bits: u32, signed: bool, mode: Mode) -> Option<i128> {
        let (least, greatest) =
            if signed { (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) } else { (0, (1 << bits) - 1) };
        match self.integral(mode) {
            Nan => None,
            Infinite { negative } => Some(if negative { least } else { greatest }),
            Finite { negative, significand, exponent } => {
                let is_far = significand > 0 && width(significand) + exponent > 100;
                let magnitude = if is_far { 1 << 100 } else { (significand << exponent) as i128 };
                Some((if negative { -magnitude } else { magnitude }).clamp(least, greatest))
            }
        }
    }

    fn is_zero(self) -> bool {
        matches!(self, Finite { significand: 0, .. })
    }

    pub fn is_negative(self) -> bool {
        matches!(self, Infinite { negative: true } | Finite { negative: true, .. })
    }
}

type Parts = (bool, u128, i32);

/// The sum of finite values other than zero, of at most 106 bits, the first with the greater exponent.
fn sum((s, a, m): Parts, (t, b, n): Parts, mode: Mode) -> Number {
    // Further apart than this the smaller one decides no more than where rounding goes.
    let shift = (m - n).min(140);
    let (a, b) = (Wide::new(a).up(shift as u32), Wide::new(b).down_inexact(m - n - shift));
    let (negative, magnitude) = match a.cmp(&b) {
        _ if s == t => (s, a.plus(b)),
        Ordering::Greater => (s, a.minus(b)),
        Ordering::Less => (t, b.minus(a)),
        Ordering::Equal => (mode == Mode::Down, Wide::new(0)),
    };
    let drop = if magnitude.high > 0 { width(magnitude.high) } else { 0 };
    let significand = magnitude.down_inexact(drop).low;
    Finite { negative, significand, exponent: m - shift + drop }
}

/// 256 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Wide {
    high: u128,
    low: u128,
}

impl Wide {
    fn new(low: u128) -> Wide {
        Wide { high: 0, low }
    }
    fn up(self, n: u32) -> Wide {
        match n {
            0 => self,
            1..128 => Wide { high: self.high << n | self.low >> (128 - n), low: self.low << n },
            _ => Wide { high: self.low << (n - 128), low: 0 },
        }
    }
    /// Divided by 2^n; the last bit is set if something is lost.
    fn down_inexact(self, n: i32) -> Wide {
        let Wide { high, low } = self;
        let (quotient, lost) = match n {
            0 => (self, 0),
            1..128 => {
                (Wide { high: high >> n, low: low >> n | high << (128 - n) }, low << (128 - n))
            }
            128 => (Wide::new(high), low),
            129..256 => (Wide::new(high >> (n - 128)), low | high << (256 - n)),
            _ => (Wide::new(0), high | low),
        };
        Wide { low: quotient.low | (lost != 0) as u128, ..quotient }
    }
    fn plus(self, other: Wide) -> Wide {
        let (low, carry) = self.low.overflowing_add(other.low);
        Wide { high: self.high + other.high + carry as u128, low }
    }
    fn minus(self, other: Wide) -> Wide {
        let (low, borrow) = self.low.overflowing_sub(other.low);
        Wide { high: self.high - other.high - borrow as u128, low }
    }
}
