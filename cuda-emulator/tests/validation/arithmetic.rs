//! Arithmetic of f16, bf16, f32 and f64, with every rounding mode and modifier.

use super::formats::{number, special};
use super::instruction::{Form, Group};
use super::model::{BF16, F16, F32, F64, Format, Mode, Number};
use super::{Random, cases, counted};
use crate::common::Device;

/// The arithmetic of a format, in the modes it has.
fn arithmetic(format: Format) -> Vec<Form> {
    let name = format.name;
    let modes = if format.bits() < 32 { &Mode::ALL[..1] } else { &Mode::ALL };
    let mut forms = vec![];
    for &mode in modes {
        type Exact = fn([Number; 3], Mode) -> Number;
        let operations: [(&str, usize, Exact); 7] = [
            ("add", 2, |[a, b, _], mode| a.add(b, mode)),
            ("sub", 2, |[a, b, _], mode| a.add(b.negated(), mode)),
            ("mul", 2, |[a, b, _], _| a.mul(b)),
            ("fma", 3, |[a, b, c], mode| a.mul(b).add(c, mode)),
            ("div", 2, |[a, b, _], _| a.div(b)),
            ("sqrt", 1, |[a, ..], _| a.sqrt()),
            ("rcp", 1, |[a, ..], _| Number::of_integer(1).div(a)),
        ];
        for (operation, operands, exact) in operations {
            let is_basic = ["add", "sub", "mul", "fma"].contains(&operation);
            let variants: &[&str] = match format {
                F32 if is_basic => &["", ".ftz", ".sat", ".ftz.sat"],
                F32 => &["", ".ftz"],
                F64 => &[""],
                F16 if operation == "fma" => &["", ".ftz", ".sat", ".relu"],
                F16 if is_basic => &["", ".ftz", ".sat"],
                BF16 if operation == "fma" => &["", ".relu"],
                BF16 if is_basic => &[""],
                _ => &[],
            };
            for variant in variants {
                let list = ["{a}", "{b}", "{c}"][..operands].join(", ");
                let text = format!("{operation}.{}{variant}.{name} {{d}}, {list};", mode.suffix());
                let has = |modifier| variant.contains(modifier);
                let (ftz, sat, relu) = (has("ftz"), has("sat"), has("relu"));
                forms.push(number(text, format, move |of| {
                    let of = of.map(|v| if ftz { format.flushed(v) } else { v });
                    let [a, b, c, _] = of.map(|v| format.decode(v));
                    let mut v = format.encode(exact([a, b, c], mode), mode);
                    if sat {
                        v = format.saturated(v);
                    }
                    if relu {
                        v = format.rectified(v);
                    }
                    if ftz { format.flushed(v) } else { v }
                }));
            }
        }
    }
    forms.extend(least_and_greatest(format));
    forms
}

/// A NaN loses against a number, but with `.NaN`; -0 is less than +0.
fn least_and_greatest(format: Format) -> Vec<Form> {
    let mut forms = vec![];
    for operation in ["min", "max"] {
        for nan in [false, true].into_iter().filter(|nan| !nan || format != F64) {
            let name = format.name;
            let modifier = if nan { ".NaN" } else { "" };
            let text = format!("{operation}{modifier}.{name} {{d}}, {{a}}, {{b}};");
            forms.push(number(text, format, move |[a, b, ..]| {
                match (format.is_nan(a), format.is_nan(b)) {
                    (true, true) => format.nan(),
                    (true, false) | (false, true) if nan => format.nan(),
                    (true, false) => b,
                    (false, true) => a,
                    _ if (format.order(a) < format.order(b)) == (operation == "min") => a,
                    _ => b,
                }
            }));
        }
    }
    forms
}

/// An operand of arithmetic: anything, or one whose exponent is so near to others that sums round.
pub fn operand(r: &mut Random, format: Format, special: &[u64]) -> u64 {
    match r.below(4) {
        0 => r.of(special),
        1 => r.bits() & (format.sign() | format.nan()),
        _ => {
            let exponent = (format.one() >> format.fraction_bits) - 6 + r.below(12);
            let fraction = r.bits() & ((1 << format.fraction_bits) - 1);
            let sign = if r.in_so_many(2) { format.sign() } else { 0 };
            // short ones make ties and exact results
            let kept = if r.in_so_many(2) { !0 } else { !0 << (format.fraction_bits / 2) };
            sign | exponent << format.fraction_bits | fraction & kept
        }
    }
}

#[test]
fn arithmetic_in_every_mode() {
    let what = "add, sub, mul, fma, div, sqrt, rcp, min, max of every format, mode and modifier";
    counted("validation::arithmetic::arithmetic_in_every_mode", what, |tally| {
        let d = &Device::new("90");
        for format in [F16, BF16, F32, F64] {
            let (name, bits) = (format.name, format.bits());
            let forms = arithmetic(format);
            let group = Group { name, operand_bits: vec![bits; 3], forms };
            let special = special(format);
            let r = &mut Random(bits as u64);
            let random = (0..cases(30_000, 3_000_000)).map(|_| {
                let [a, b, c] = [(); 3].map(|_| operand(r, format, &special));
                [a, b, c, 0]
            });
            group.compare(d, random, tally);
        }
    });
}

#[test]
fn pairs_of_f16() {
    let what = "every f16 with special and random ones: add, mul, fma, min, max";
    counted("validation::arithmetic::pairs_of_f16", what, |tally| {
        let special = special(F16);
        let group =
            Group { name: "pairs_of_f16", operand_bits: vec![16; 3], forms: arithmetic(F16) };
        let r = &mut Random(16);
        let partners = cases(1, 64);
        let all = (0..partners << 16).map(|i| [i & 0xffff, r.of(&special), r.bits(), 0]);
        group.compare(&Device::new("90"), all, tally);
    });
}
