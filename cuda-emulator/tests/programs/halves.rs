//! Arithmetic of f16 and bf16, alone and in pairs.

use super::{Random, each, launch};
use crate::common::cfg;
use crate::validation::model::{BF16, F16, F64, Format, Mode};
use half::{bf16, f16};

/// Results of the kernel `half_arith` for two numbers of each type.
const OF_F16: usize = 8;
const OF_BF16: usize = 6;
const COUNT: usize = 20000;

/// In the first half numbers near to one another, then any pattern.
fn numbers<T>(random: &mut Random, scale: f32, near: fn(f32) -> T, any: fn(u16) -> T) -> Vec<T> {
    let mut number = |i| match i < COUNT / 2 {
        true => near(random.float() * scale),
        false => any(random.bits() as u16),
    };
    (0..COUNT).map(&mut number).collect()
}

/// Rounded once, in integers: the crate `half` drops bits where the processor has no instruction for it.
fn rounded(exact: f64, to: Format) -> u16 {
    to.encode(F64.decode(exact.to_bits()), Mode::Nearest) as u16
}

/// f64 holds sums and products of these.
fn is_f16(found: f16, exact: f64, what: &str, x: f64, y: f64) {
    let expected = f16::from_bits(rounded(exact, F16));
    let is_same = found.to_bits() == expected.to_bits() || found.is_nan() && exact.is_nan();
    assert!(is_same, "{what} of {x} and {y}: {found}, {expected} expected");
}

fn is_bf16(found: bf16, exact: f64, what: &str, x: f64, y: f64) {
    let expected = bf16::from_bits(rounded(exact, BF16));
    let is_same = found.to_bits() == expected.to_bits() || found.is_nan() && exact.is_nan();
    assert!(is_same, "{what} of {x} and {y}: {found}, {expected} expected");
}

/// A division is by a reciprocal and has an error.
fn is_quotient(found: f16, quotient: f64) {
    let size = quotient.abs();
    let is_near = (found.to_f64() - quotient).abs() <= size * 0.001;
    let is_usual = (1e-4..=65000.0).contains(&size);
    assert!(is_near || !is_usual, "{found}, {quotient} expected");
}

#[test]
fn half_arithmetic() {
    each("programs::halves::half_arithmetic", &["basic"], |on| {
        let mut random = Random(19);
        let a = numbers(&mut random, 1.0, f16::from_f32, f16::from_bits);
        let b = numbers(&mut random, 0.02, f16::from_f32, f16::from_bits);
        let c = numbers(&mut random, 1.0, bf16::from_f32, bf16::from_bits);
        let d = numbers(&mut random, 1.0, bf16::from_f32, bf16::from_bits);
        let (on_a, on_b) = (on.on_device(&a), on.on_device(&b));
        let (on_c, on_d) = (on.on_device(&c), on.on_device(&d));
        let (mut of_f16, mut of_bf16) =
            (on.zeros::<f16>(COUNT * OF_F16), on.zeros::<bf16>(COUNT * OF_BF16));
        let shape = cfg(COUNT.div_ceil(128) as u32, 128, 0);
        launch!(on, "half_arith", shape; &on_a, &on_b, &mut of_f16, &on_c, &on_d, &mut of_bf16,
            &(COUNT as i32));
        for (i, found) in on.read(&of_f16).chunks(OF_F16).enumerate() {
            let (x, y) = (a[i].to_f64(), b[i].to_f64());
            is_f16(found[0], x + y, "sum", x, y);
            is_f16(found[1], x * y, "product", x, y);
            is_f16(found[2], x.mul_add(y, x), "fma", x, y);
            is_f16(found[6], x - y, "difference", x, y);
            assert_eq!(found[7].to_f64(), (x < y) as i32 as f64);
            if !x.is_nan() && !y.is_nan() {
                let (max, min) = (found[4].to_f64(), found[5].to_f64());
                assert_eq!((max, min), (x.max(y), x.min(y)));
                if i < COUNT / 2 && y != 0.0 {
                    is_quotient(found[3], x / y);
                }
            }
        }
        // 7.5 has no instructions for bf16, and nvcc's replacements for it are not these
        let of_bf16 = if on.arch == "75" { vec![] } else { on.read(&of_bf16) };
        for (i, found) in of_bf16.chunks(OF_BF16).enumerate() {
            let (x, y) = (c[i].to_f64(), d[i].to_f64());
            if i < COUNT / 2 {
                is_bf16(found[0], x + y, "sum", x, y);
                is_bf16(found[1], x * y, "product", x, y);
                is_bf16(found[2], x.mul_add(y, x), "fma", x, y);
                is_bf16(found[4], x - y, "difference", x, y);
            }
            if !x.is_nan() && !y.is_nan() {
                assert_eq!(found[3].to_f64(), x.max(y));
            }
            assert_eq!(found[5].to_f64(), (x < y) as i32 as f64);
        }
    });
}

#[test]
fn pairs() {
    each("programs::halves::pairs", &["basic"], |on| {
        let mut random = Random(59);
        let a = numbers(&mut random, 1.0, f16::from_f32, f16::from_bits);
        let c = numbers(&mut random, 1.0, bf16::from_f32, bf16::from_bits);
        let (on_a, on_c) = (on.on_device(&a), on.on_device(&c));
        let (mut of_f16, mut of_bf16) = (on.zeros::<f16>(COUNT), on.zeros::<bf16>(COUNT));
        let shape = cfg(COUNT.div_ceil(128) as u32, 128, 0);
        let pairs = COUNT as i32 / 2;
        launch!(on, "half2_sum", shape; &on_a, &mut of_f16, &on_c, &mut of_bf16, &pairs);
        let (of_f16, of_bf16) = (on.read(&of_f16), on.read(&of_bf16));
        for i in 0..COUNT / 2 {
            let x = a[i].to_f64();
            let square = f16::from_bits(rounded(x * x, F16)).to_f64();
            is_f16(of_f16[i], square + x, "square and", x, x);
            if on.arch != "75" {
                let y = c[i].to_f64();
                is_bf16(of_bf16[i], y.mul_add(y, y), "fma", y, y);
            }
        }
    });
}
