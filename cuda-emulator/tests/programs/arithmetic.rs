//! Integers, floats and conversions, as nvcc compiles them.

use super::{Program, Random, each, launch};
use crate::common::cfg;
use half::{bf16, f16};

/// Edges of the formats, and random numbers.
fn edges() -> Vec<f32> {
    let mut edges = vec![0.0, -0.0, 1.0, -1.0, 0.5, 1.5, 2.5, -2.5, 127.4, 127.5, -128.5, 300.0];
    // of f16: its greatest, what rounds to that and what to infinity, its least
    edges.extend([65504.0, 65519.9, 65520.0, 5.9e-8, 2.98e-8, 2.99e-8, 6.1e-5, 6.0e-5, 1e-8]);
    // of f32
    edges.extend([1e30, -1e30, 3e38, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1e-40, -1e-45]);
    // of integers
    edges.extend([2147483647.0, 2147483648.0, -2147483648.0, -2147483904.0]);
    edges.extend([4294967040.0, 4294967296.0, 9.3e18, -9.3e18]);
    let mut random = Random(17);
    edges.extend((0..4000).map(|_| f32::from_bits(random.bits() as u32)));
    edges.extend(random.floats(4000));
    edges
}

#[test]
fn conversions() {
    each("programs::arithmetic::conversions", &["basic"], |on| {
        let values = edges();
        let n = values.len();
        let there = on.on_device(&values);
        let (mut to_f16, mut to_bf16) = (on.zeros::<f16>(n), on.zeros::<bf16>(n));
        let (mut from_f16, mut from_bf16) = (on.zeros::<f32>(n), on.zeros::<f32>(n));
        let (mut to_i32, mut to_u32) = (on.zeros::<i32>(n), on.zeros::<u32>(n));
        let (mut to_i64, mut floor_to_i8) = (on.zeros::<i64>(n), on.zeros::<i8>(n));
        let mut toward_zero = on.zeros::<f16>(n);
        let shape = cfg(n.div_ceil(128) as u32, 128, 0);
        launch!(on, "cvt_all", shape; &there, &mut to_f16, &mut to_bf16, &mut from_f16, &mut from_bf16,
            &mut to_i32, &mut to_u32, &mut to_i64, &mut floor_to_i8, &mut toward_zero, &(n as i32));
        let (to_f16, to_bf16) = (on.read(&to_f16), on.read(&to_bf16));
        let (from_f16, from_bf16) = (on.read(&from_f16), on.read(&from_bf16));
        let (to_i32, to_u32, to_i64) = (on.read(&to_i32), on.read(&to_u32), on.read(&to_i64));
        let (floor_to_i8, toward_zero) = (on.read(&floor_to_i8), on.read(&toward_zero));
        for (i, &x) in values.iter().enumerate() {
            if x.is_nan() {
                assert_eq!((to_f16[i].to_bits(), to_bf16[i].to_bits()), (0x7fff, 0x7fff));
                assert_eq!((to_i32[i], to_i64[i]), (0, i64::MIN));
                continue;
            }
            assert_eq!(to_f16[i].to_bits(), f16::from_f32(x).to_bits(), "{x:e}");
            assert_eq!(to_bf16[i].to_bits(), bf16::from_f32(x).to_bits(), "{x:e}");
            assert_eq!(from_f16[i].to_bits(), to_f16[i].to_f32().to_bits());
            assert_eq!(from_bf16[i].to_bits(), to_bf16[i].to_f32().to_bits());
            assert_eq!(to_i32[i], x as i32, "{x:e}");
            assert_eq!(to_u32[i], x as u32, "{x:e}");
            assert_eq!(to_i64[i], (x as f64).round_ties_even() as i64, "{x:e}");
            assert_eq!(floor_to_i8[i], (x.floor() as i32) as i8, "{x:e}");
            let (z, size) = (toward_zero[i].to_f32().abs(), x.abs());
            let is_greatest = size >= 65520.0 && z == 65504.0;
            assert!(z <= size || is_greatest || x.is_infinite(), "{x:e} {z:e}");
        }
    });
}

/// Within what nvcc's functions of the C library promise, or exact where they are.
#[test]
fn float_functions() {
    each("programs::arithmetic::float_functions", &["basic"], |on| {
        const FLOATS: usize = 12;
        const DOUBLES: usize = 6;
        let mut a: Vec<f32> = Random(23).floats(5000).into_iter().map(|x| x / 2.0).collect();
        // the slow path of sinf
        a[..500].iter_mut().for_each(|x| *x *= 1e5);
        let b: Vec<f64> = a.iter().map(|&x| x as f64 * 1.000000123).collect();
        let n = a.len();
        let (on_a, on_b) = (on.on_device(&a), on.on_device(&b));
        let (mut of_a, mut of_b) = (on.zeros::<f32>(n * FLOATS), on.zeros::<f64>(n * DOUBLES));
        let shape = cfg(n.div_ceil(64) as u32, 64, 0);
        launch!(on, "fmath", shape; &on_a, &mut of_a, &on_b, &mut of_b, &(n as i32));
        let (of_a, of_b) = (on.read(&of_a), on.read(&of_b));
        for (&x, found) in a.iter().zip(of_a.chunks(FLOATS)) {
            let exact = [x.abs().sqrt(), x / 3.7, 1.0 / x, x.floor(), x.ceil(), x.trunc()];
            assert_eq!(found[..6], exact);
            assert_eq!((found[6], found[10]), (x.round_ties_even(), x.max(-x * 0.5)));
            near(found[7], (x as f64).exp(), "exp", x);
            near(found[8], (x.abs() as f64).ln(), "log", x);
            near(found[11], (x.abs() as f64).powf(1.5), "pow", x);
            assert!((found[9] as f64 - (x as f64).sin()).abs() < 3e-7, "sin {x} {}", found[9]);
        }
        for (&x, found) in b.iter().zip(of_b.chunks(DOUBLES)) {
            assert_eq!((found[0], found[1]), (x.abs().sqrt(), x / 3.7));
            assert_eq!((found[4], found[5]), (x.mul_add(x, 1.0), x.floor()));
            assert!((found[2] - x.exp()).abs() <= x.exp() * 1e-14 || x.exp() > 1e300);
            assert!((found[3] - x.sin()).abs() < 1e-13, "sin {x} {}", found[3]);
        }
    });
}

fn near(found: f32, expected: f64, what: &str, x: f32) {
    let (error, allowed) = ((found as f64 - expected).abs(), expected.abs() * 4e-7 + 1e-38);
    let is_near = error <= allowed || found as f64 == expected || expected.abs() > 3e38;
    assert!(is_near, "{what}({x}) = {found}, {expected} expected");
}

/// The neighbours of a rounded result enclose the exact one, as far as f64 is exact.
#[test]
fn directed_rounding() {
    each("programs::arithmetic::directed_rounding", &["more"], |on| {
        let mut random = Random(53);
        let mut values = random.floats(32);
        values.extend(random.floats(32).into_iter().map(|x| x / 7.0 + 0.001));
        let there = on.on_device(&values);
        let mut results = on.zeros::<f32>(256);
        launch!(on, "sgr", cfg(1, 32, 0); &there, &mut results);
        for (i, found) in on.read(&results).chunks(8).enumerate() {
            let (a, b) = (values[i] as f64, values[i + 32] as f64);
            is_rounded(found[0], a + b, Way::TowardZero);
            is_rounded(found[1], a * b, Way::Up);
            is_rounded(found[2], a.mul_add(b, a), Way::Down);
            is_rounded(found[3], a / b, Way::Up);
            is_rounded(found[4], a.abs().sqrt(), Way::TowardZero);
            is_rounded(found[6], 1.0 / a, Way::Down);
            is_rounded(found[7], a - b, Way::Up);
        }
    });
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Up,
    Down,
    TowardZero,
}

fn is_rounded(found: f32, exact: f64, way: Way) {
    let neighbour = |up: bool| {
        let step = if (found > 0.0) == up { 1 } else { -1 };
        f32::from_bits(found.to_bits().wrapping_add_signed(step)) as f64
    };
    let value = found as f64;
    let holds = match way {
        Way::Up => value >= exact && neighbour(false) < exact,
        Way::Down => value <= exact && neighbour(true) > exact,
        Way::TowardZero => value.abs() <= exact.abs() && neighbour(exact > 0.0).abs() > exact.abs(),
    };
    assert!(holds || value == exact, "{way:?}: {found:e} for {exact:e}");
}

#[test]
fn integers() {
    each("programs::arithmetic::integers", &["basic"], |on| {
        let mut random = Random(29);
        let mut value = || match random.bits() % 8 {
            0 => 0,
            1 => 0xffff_ffff,
            2 => 0x8000_0000,
            3 => (random.bits() % 64) as u32,
            _ => random.bits() as u32,
        };
        let a: Vec<u32> = (0..4096).map(|_| value()).collect();
        let b: Vec<u32> = (0..4096).map(|_| value()).collect();
        let (words, longs) = compute_integers(on, &a, &b);
        for (i, (&x, &y)) in a.iter().zip(&b).enumerate() {
            for (n, expected) in of_words(x, y).into_iter().enumerate() {
                assert_eq!(words[i * WORDS + n], expected, "operation {n} of {x:#x}, {y:#x}");
            }
            for (n, expected) in of_longs(x, y).into_iter().enumerate() {
                assert_eq!(
                    longs[i * LONGS + n],
                    expected,
                    "64-bit operation {n} of {x:#x}, {y:#x}"
                );
            }
        }
    });
}

/// Results of the kernel `intmath` for two numbers.
const WORDS: usize = 28;
const LONGS: usize = 12;

fn compute_integers(on: &Program, a: &[u32], b: &[u32]) -> (Vec<u32>, Vec<u64>) {
    let n = a.len();
    let (on_a, on_b) = (on.on_device(a), on.on_device(b));
    let (mut words, mut longs) = (on.zeros::<u32>(n * WORDS), on.zeros::<u64>(n * LONGS));
    let shape = cfg(n.div_ceil(128) as u32, 128, 0);
    launch!(on, "intmath", shape; &on_a, &on_b, &mut words, &mut longs, &(n as i32));
    (on.read(&words), on.read(&longs))
}

fn of_words(x: u32, y: u32) -> [u32; WORDS] {
    let (sx, sy) = (x as i32, y as i32);
    let pair = x as u64 | (y as u64) << 32;
    // by bytes
    let byte = |value: u32, n: u32| value >> (8 * n) & 255;
    let selector = y & 0x7777;
    let permuted = (0..4).fold(0, |all, n| {
        let of = selector >> (4 * n) & 7;
        all | ((pair >> (8 * of)) as u32 & 255) << (8 * n)
    });
    let sums = (0..4).fold(0, |all, n| all | ((byte(x, n) + byte(y, n)) & 255) << (8 * n));
    let dot = (0..4).fold(5u32, |sum, n| sum.wrapping_add(byte(x, n) * byte(y, n)));
    let halves = |of: fn(u16, u16) -> u16| {
        of(x as u16, y as u16) as u32 | (of((x >> 16) as u16, (y >> 16) as u16) as u32) << 16
    };
    [
        x.wrapping_add(y),
        x.wrapping_sub(y),
        x.wrapping_mul(y),
        ((x as u64 * y as u64) >> 32) as u32,
        ((sx as i64 * sy as i64) >> 32) as u32,
        x.checked_div(y).unwrap_or(0),
        x.checked_rem(y).unwrap_or(0),
        sx.checked_div(sy).unwrap_or(0) as u32,
        x.leading_zeros(),
        x.count_ones(),
        x.reverse_bits(),
        if x == 0 { 0 } else { x.trailing_zeros() + 1 },
        ((pair << (y & 31)) >> 32) as u32,
        (pair >> (y & 31)) as u32,
        permuted,
        x << (y & 31),
        (sx >> (y & 31)) as u32,
        sx.min(sy) as u32,
        x.max(y),
        sx.wrapping_abs() as u32,
        7u32.wrapping_add((sx as i64 - sy as i64).unsigned_abs() as u32),
        (x & y) | (!x & 0x1234567),
        sums,
        dot,
        halves(|x, y| x.min(y)),
        halves(|x, y| x.max(y)),
        halves(|x, y| (x as i16).min(y as i16) as u16),
        halves(|x, y| (x as i16).max(y as i16) as u16),
    ]
}

fn of_longs(x: u32, y: u32) -> [u64; LONGS] {
    let (a, b) = ((x as u64) << 32 | y as u64, (y as u64) << 32 | x as u64);
    [
        a.wrapping_mul(b),
        ((a as u128 * b as u128) >> 64) as u64,
        a.checked_div(b).unwrap_or(0),
        a.checked_rem(b).unwrap_or(0),
        a.leading_zeros() as u64,
        a.count_ones() as u64,
        a.reverse_bits(),
        ((a as i64) >> (y & 63)) as u64,
        a >> (y & 63),
        (x as u64 * y as u64).wrapping_add(a),
        (x as i32 as i64 * y as i32 as i64) as u64,
        (a as i64).min(b as i64) as u64,
    ]
}
