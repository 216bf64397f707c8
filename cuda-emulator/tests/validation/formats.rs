//! Conversions between f16, bf16, f32, f64 and integers, in every rounding mode.

use super::arithmetic::operand;
use super::instruction::{Form, Group};
use super::model::{BF16, F16, F32, F64, Format, Mode, Number};
use super::{Random, cases, counted};
use crate::common::Device;

// ---- forms ----

/// A form whose result is a number.
pub fn number(text: String, to: Format, expected: impl Fn([u64; 4]) -> u64 + 'static) -> Form {
    let mut form = Form::new(text, to.bits(), expected);
    if to == F64 {
        // which NaN a double is, nobody promises
        form.is_same = |a, b| a == b || F64.is_nan(a) && F64.is_nan(b);
    }
    form
}

/// Conversions to narrower formats: each mode, `.ftz`, `.sat` and `.relu`.
fn narrowing(from: Format, to: Format) -> Vec<Form> {
    let mut forms = vec![];
    for mode in Mode::ALL {
        let name = format!("cvt.{}.{}.{}", mode.suffix(), to.name, from.name);
        let expected = move |[a, ..]: [u64; 4]| to.encode(from.decode(a), mode);
        forms.push(number(format!("{name} {{d}}, {{a}};"), to, expected));
    }
    forms
}

/// The variants of a conversion from f32 to 16 bits that clamp.
fn clamping(to: Format) -> Vec<Form> {
    let plain = move |[a, ..]: [u64; 4]| to.encode(F32.decode(a), Mode::Nearest);
    let name = to.name;
    let relu = format!("cvt.rn.relu.{name}.f32 {{d}}, {{a}};");
    let mut forms = vec![number(relu, to, move |of| to.rectified(plain(of)))];
    if to == F16 {
        let sat = "cvt.rn.sat.f16.f32 {d}, {a};".to_string();
        forms.push(number(sat, to, move |of| to.saturated(plain(of))));
        let ftz = "cvt.rn.ftz.f16.f32 {d}, {a};".to_string();
        forms.push(number(ftz, to, move |[a, ..]| plain([F32.flushed(a), 0, 0, 0])));
    }
    forms
}

fn widening(from: Format, to: Format) -> Form {
    let text = format!("cvt.{}.{} {{d}}, {{a}};", to.name, from.name);
    number(text, to, move |[a, ..]| to.encode(from.decode(a), Mode::Nearest))
}

/// To an integral value of the same format.
fn integral(format: Format) -> Vec<Form> {
    let form = |mode: Mode| {
        let name = format.name;
        let text = format!("cvt.{}i.{name}.{name} {{d}}, {{a}};", mode.suffix());
        number(text, format, move |[a, ..]| {
            format.encode(format.decode(a).integral(mode), Mode::Nearest)
        })
    };
    Mode::ALL.map(form).into()
}

const INTEGERS: [(u32, bool); 8] = [
    (8, true),
    (8, false),
    (16, true),
    (16, false),
    (32, true),
    (32, false),
    (64, true),
    (64, false),
];

fn integer_name(bits: u32, signed: bool) -> String {
    format!("{}{bits}", if signed { 's' } else { 'u' })
}

/// To integers, and of f32 with subnormal numbers taken for zero.
fn to_integers(from: Format) -> Vec<Form> {
    let mut forms = vec![];
    // there is no conversion between bf16 and bytes
    for (bits, signed) in INTEGERS.into_iter().filter(|(bits, _)| from != BF16 || *bits > 8) {
        for mode in Mode::ALL {
            for ftz in [false, true].into_iter().filter(|ftz| !ftz || from == F32) {
                // bytes are in registers of 16 bits or more
                let width = bits.max(16);
                let text = format!(
                    "cvt.{}i{}.{}.{} {{d}}, {{a}};",
                    mode.suffix(),
                    if ftz { ".ftz" } else { "" },
                    integer_name(bits, signed),
                    from.name
                );
                // The manual: NaN is 0 unless the source is f64 or the result has 64 bits.
                let of_nan = if from == F64 || bits == 64 { 1 << (bits - 1) } else { 0 };
                forms.push(Form::new(text, width, move |[a, ..]| {
                    let a = if ftz { from.flushed(a) } else { a };
                    let v = from.decode(a).to_integer(bits, signed, mode);
                    (v.unwrap_or(of_nan) as u64) & (!0 >> (64 - width))
                }));
            }
        }
    }
    forms
}

/// From integers of so many bits.
fn from_integers(bits: u32) -> Vec<Form> {
    let mut forms = vec![];
    for signed in [true, false] {
        for to in [F16, BF16, F32, F64].into_iter().filter(|to| *to != BF16 || bits > 8) {
            for mode in Mode::ALL {
                let integer = integer_name(bits, signed);
                let text = format!("cvt.{}.{}.{integer} {{d}}, {{a}};", mode.suffix(), to.name);
                forms.push(number(text, to, move |[a, ..]| {
                    let shift = 64 - bits;
                    let v = (a << shift) as i64 >> shift;
                    let v = if signed { v as i128 } else { ((a << shift) >> shift) as i128 };
                    to.encode(Number::of_integer(v), mode)
                }));
            }
        }
    }
    forms
}

// ---- patterns ----

/// Every exponent with fractions at and beside the places where something rounds or ties.
pub fn special(format: Format) -> Vec<u64> {
    let fraction = format.fraction_bits;
    let mut fractions = vec![];
    for bit in 0..=fraction {
        for center in [1u64 << bit, 3 << bit, (1 << fraction) - (1 << bit)] {
            fractions.extend([center.wrapping_sub(1), center, center + 1]);
        }
    }
    fractions.iter_mut().for_each(|f| *f &= (1 << fraction) - 1);
    fractions.sort();
    fractions.dedup();
    // of f64 the exponents that f32 and integers have, their neighbours, and the ends
    let is_near = |e: &u64| format != F64 || !(15..2032).contains(e) || (860..1160).contains(e);
    let exponents = (0..1u64 << format.exponent_bits).filter(is_near);
    let mut all = vec![];
    for exponent in exponents {
        for f in &fractions {
            let bits = exponent << fraction | f;
            all.extend([bits, bits | format.sign()]);
        }
    }
    all
}

fn one(a: u64) -> [u64; 4] {
    [a, 0, 0, 0]
}

// ---- tests ----

#[test]
fn conversions_of_16_bits() {
    let what = "every pattern of f16, bf16, s8, u8, s16, u16 through every conversion and mode";
    counted("validation::formats::conversions_of_16_bits", what, |tally| {
        let d = &Device::new("90");
        let of_half = |format: Format, other: Format| {
            let mut forms = to_integers(format);
            forms.extend(integral(format));
            forms.extend([widening(format, F32), widening(format, F64)]);
            forms.extend(narrowing(format, other));
            let abs = format!("abs.{} {{d}}, {{a}};", format.name);
            forms.push(number(abs, format, move |[a, ..]| a & !format.sign()));
            let neg = format!("neg.{} {{d}}, {{a}};", format.name);
            forms.push(number(neg, format, move |[a, ..]| a ^ format.sign()));
            forms
        };
        let mut integers = from_integers(8);
        integers.extend(from_integers(16));
        let groups =
            [("f16", of_half(F16, BF16)), ("bf16", of_half(BF16, F16)), ("integers16", integers)];
        for (name, forms) in groups {
            let all = (0..1 << 16).map(one);
            Group { name, operand_bits: vec![16], forms }.compare(d, all, tally);
        }
    });
}

#[test]
fn f32_to_16_bits() {
    let step = cases(16381, 127);
    let what = format!("f32 to f16 and bf16 in every mode, and clamped: one pattern in {step}");
    counted("validation::formats::f32_to_16_bits", &what, |tally| {
        let mut forms = narrowing(F32, F16);
        forms.extend(narrowing(F32, BF16));
        forms.extend(clamping(F16));
        forms.extend(clamping(BF16));
        let group = Group { name: "f32_to_16_bits", operand_bits: vec![32], forms };
        let d = &Device::new("90");
        group.compare(d, special(F32).into_iter().map(one), tally);
        group.compare(d, (0..1 << 32).step_by(step).map(one), tally);
    });
}

#[test]
fn every_f32_to_16_bits() {
    let step = cases(4093, 1);
    let what = format!("f32 to the nearest f16 and bf16: one pattern in {step}");
    counted("validation::formats::every_f32_to_16_bits", &what, |tally| {
        let forms = [F16, BF16].map(|to| narrowing(F32, to).swap_remove(0)).into();
        let group = Group { name: "every_f32", operand_bits: vec![32], forms };
        let all = (0..1 << 32).step_by(step).map(one);
        group.compare(&Device::new("90"), all, tally);
    });
}

#[test]
fn f32_to_integers() {
    let step = cases(131_071, 1021);
    let what = format!("f32 to integers and integral values in every mode: one pattern in {step}");
    counted("validation::formats::f32_to_integers", &what, |tally| {
        let mut forms = to_integers(F32);
        forms.extend(integral(F32));
        forms.push(widening(F32, F64));
        let sat = "cvt.sat.f32.f32 {d}, {a};".to_string();
        forms.push(number(sat, F32, |[a, ..]| F32.saturated(a)));
        let group = Group { name: "f32_to_integers", operand_bits: vec![32], forms };
        let d = &Device::new("90");
        group.compare(d, special(F32).into_iter().map(one), tally);
        group.compare(d, (0..1 << 32).step_by(step).map(one), tally);
    });
}

#[test]
fn f64_conversions() {
    let what = "f64 to narrower formats, integers and integral values in every mode";
    counted("validation::formats::f64_conversions", what, |tally| {
        let mut forms = to_integers(F64);
        forms.extend(integral(F64));
        [F32, F16, BF16].iter().for_each(|&to| forms.extend(narrowing(F64, to)));
        let group = Group { name: "f64_conversions", operand_bits: vec![64], forms };
        let d = &Device::new("90");
        let special = special(F64);
        group.compare(d, special.iter().step_by(cases(11, 1)).map(|&a| one(a)), tally);
        let r = &mut Random(64);
        let random = (0..cases(20_000, 4_000_000)).map(|_| one(operand(r, F64, &special)));
        group.compare(d, random, tally);
    });
}

#[test]
fn integers_to_formats() {
    let what = "integers of 32 and 64 bits to every format in every mode";
    counted("validation::formats::integers_to_formats", what, |tally| {
        let d = &Device::new("90");
        for (name, bits) in [("integers32", 32), ("integers64", 64)] {
            let group = Group { name, operand_bits: vec![bits], forms: from_integers(bits) };
            let r = &mut Random(bits as u64);
            // of every length, and beside powers of two and ties of every format
            let random = (0..cases(50_000, 4_000_000)).map(|_| {
                let length = r.below(bits as u64) as u32;
                let v = match r.below(3) {
                    0 => 1u64 << length,
                    1 => 3u64.wrapping_shl(length),
                    _ => r.bits() >> (63 - length),
                };
                one(v.wrapping_add(r.of(&[0, 1, u64::MAX]) << r.below(length as u64 + 1)))
            });
            group.compare(d, random, tally);
        }
    });
}
