//! Forms of integer, bit, carry and comparison instructions against the manual.

use super::instruction::{Form, Group};
use super::manual::*;
use super::model::F32;
use super::{Random, cases, counted};
use crate::common::Device;
use std::cmp::Ordering;

const M32: u64 = 0xffff_ffff;

type Forms = Vec<Form>;

/// A form whose result has 32 bits.
fn word(forms: &mut Forms, text: impl Into<String>, f: impl Fn([u64; 4]) -> u64 + 'static) {
    forms.push(Form::new(text, 32, move |of| f(of) & M32));
}

/// A form whose result has 64 bits.
fn wide(forms: &mut Forms, text: impl Into<String>, f: impl Fn([u64; 4]) -> u64 + 'static) {
    forms.push(Form::new(text, 64, f));
}

const SIGNS: [(&str, bool); 2] = [("u", false), ("s", true)];
const CLAMPS: [(&str, bool); 2] = [("clamp", true), ("wrap", false)];

/// Bits of words.
fn bits_of_words(f: &mut Forms) {
    for (t, signed) in SIGNS {
        let bfe_text = format!("bfe.{t}32 {{d}}, {{a}}, {{b}}, {{c}};");
        word(f, bfe_text, move |[a, b, c, _]| bfe(a, b, c, 32, signed));
        for (shift, name) in [(false, ""), (true, ".shiftamt")] {
            let text = format!("bfind{name}.{t}32 {{d}}, {{a}};");
            word(f, text, move |[a, ..]| bfind(a, 32, signed, shift));
        }
        for (mode, clamps) in CLAMPS {
            let text = format!("szext.{mode}.{t}32 {{d}}, {{a}}, {{b}};");
            word(f, text, move |[a, b, ..]| szext(a, b, clamps, signed));
        }
        let shr = format!("shr.{t}32 {{d}}, {{a}}, {{b}};");
        word(f, shr, move |[a, b, ..]| (integer(a, 32, signed) >> b.min(32)) as u64);
    }
    word(f, "bfi.b32 {d}, {a}, {e}, {b}, {c};", |[a, b, c, e]| bfi(a, e, b, c, 32));
    for mode in PRMT_MODES {
        let text = format!("prmt.b32{mode} {{d}}, {{a}}, {{e}}, {{c}};");
        word(f, text, move |[a, _, c, e]| prmt(a, e, c, mode));
    }
    for (direction, left) in [("l", true), ("r", false)] {
        for (mode, clamps) in CLAMPS {
            let text = format!("shf.{direction}.{mode}.b32 {{d}}, {{a}}, {{e}}, {{b}};");
            word(f, text, move |[a, b, _, e]| shf(a, e, b, left, clamps));
        }
    }
    for table in (0..256).step_by(cases(37, 1)) {
        let text = format!("lop3.b32 {{d}}, {{a}}, {{e}}, {{c}}, {table};");
        word(f, text, move |[a, _, c, e]| lop3(a, e, c, table));
    }
    for (mode, clamps) in CLAMPS {
        let text = format!("bmsk.{mode}.b32 {{d}}, {{b}}, {{c}};");
        word(f, text, move |[_, b, c, _]| bmsk(b, c, clamps));
    }
    word(f, "shl.b32 {d}, {a}, {b};", |[a, b, ..]| if b < 32 { a << b } else { 0 });
    word(f, "brev.b32 {d}, {a};", |[a, ..]| (0..32).fold(0, |d, i| d | (a >> i & 1) << (31 - i)));
    word(f, "popc.b32 {d}, {a};", |[a, ..]| (0..32).map(|i| a >> i & 1).sum());
    word(f, "clz.b32 {d}, {a};", |[a, ..]| {
        (0..32).rev().take_while(|i| a >> i & 1 == 0).count() as u64
    });
    word(f, "and.b32 {d}, {a}, {e};", |[a, _, _, e]| a & e);
    word(f, "or.b32 {d}, {a}, {e};", |[a, _, _, e]| a | e);
    word(f, "xor.b32 {d}, {a}, {e};", |[a, _, _, e]| a ^ e);
    word(f, "not.b32 {d}, {a};", |[a, ..]| !a);
    word(f, "cnot.b32 {d}, {b};", |[_, b, ..]| (b == 0) as u64);
    let fns_text = "and.b32 %t, {b}, 31; shr.s32 {d}, {c}, 27; fns.b32 {d}, {a}, %t, {d};";
    word(f, fns_text, |[a, b, c, _]| fns(a, b & 31, (integer(c, 32, true) >> 27) as i64));
    let swap = "mov.b32 {%h0, %h1}, {a}; mov.b32 {d}, {%h1, %h0};";
    word(f, swap, |[a, ..]| a >> 16 | a << 16);
}

/// Arithmetic of words.
fn arithmetic_of_words(f: &mut Forms) {
    word(f, "add.u32 {d}, {a}, {e};", |[a, _, _, e]| a + e);
    word(f, "sub.u32 {d}, {a}, {e};", |[a, _, _, e]| a.wrapping_sub(e));
    word(f, "neg.s32 {d}, {a};", |[a, ..]| a.wrapping_neg());
    word(f, "abs.s32 {d}, {a};", |[a, ..]| integer(a, 32, true).unsigned_abs() as u64);
    for (t, signed) in SIGNS {
        let n = move |v| integer(v, 32, signed);
        let n24 = move |v| integer(v, 24, signed);
        let mut two = |name: &str, of: fn(i128, i128) -> i128| {
            let text = format!("{name}.{t}32 {{d}}, {{a}}, {{e}};");
            word(f, text, move |[a, _, _, e]| of(n(a), n(e)) as u64);
        };
        two("mul.lo", |a, e| a * e);
        two("mul.hi", |a, e| (a * e) >> 32);
        two("min", |a, e| a.min(e));
        two("max", |a, e| a.max(e));
        // what a division by zero gives is not said
        for (name, of) in [("div", (|a, b| a / b) as fn(i128, i128) -> i128), ("rem", |a, b| a % b)]
        {
            let text = format!("or.b32 %t, {{b}}, 1; {name}.{t}32 {{d}}, {{a}}, %t;");
            word(f, text, move |[a, b, ..]| of(n(a), n(b | 1)) as u64);
        }
        let sad = format!("sad.{t}32 {{d}}, {{a}}, {{e}}, {{c}};");
        word(f, sad, move |[a, _, c, e]| c + (n(a) - n(e)).unsigned_abs() as u64);
        for (half, shift) in [("lo", 0), ("hi", 16)] {
            let text = format!("mul24.{half}.{t}32 {{d}}, {{a}}, {{e}};");
            word(f, text, move |[a, _, _, e]| ((n24(a) * n24(e)) >> shift) as u64);
        }
        for (half, shift) in [("lo", 0), ("hi", 32)] {
            let text = format!("mad.{half}.{t}32 {{d}}, {{a}}, {{e}}, {{c}};");
            word(f, text, move |[a, _, c, e]| (((n(a) * n(e)) >> shift) + n(c)) as u64);
        }
        wide(f, format!("mul.wide.{t}32 {{d}}, {{a}}, {{e}};"), move |[a, _, _, e]| {
            (n(a) * n(e)) as u64
        });
        for (other, other_signed) in SIGNS {
            let m = move |v| integer(v, 32, other_signed);
            for bits in [8, 16] {
                let text = format!("cvt.sat.{t}{bits}.{other}32 {{d}}, {{a}};");
                word(f, text, move |[a, ..]| clamped(m(a), bits, signed));
            }
            let text = format!("dp4a.{t}32.{other}32 {{d}}, {{a}}, {{e}}, {{c}};");
            word(f, text, move |[a, _, c, e]| dot(a, e, c, 4, (signed, other_signed), 0));
            for (half, first) in [("lo", 0), ("hi", 2)] {
                let text = format!("dp2a.{half}.{t}32.{other}32 {{d}}, {{a}}, {{e}}, {{c}};");
                word(f, text, move |[a, _, c, e]| dot(a, e, c, 2, (signed, other_signed), first));
            }
        }
        for bits in [8, 16] {
            let text = format!("cvt.{t}{bits}.u32 {{d}}, {{a}};");
            word(f, text, move |[a, ..]| integer(a, bits, signed) as u64);
        }
    }
    let saturated = |v: i128| clamped(v, 32, true);
    word(f, "add.sat.s32 {d}, {a}, {e};", move |[a, _, _, e]| {
        saturated(integer(a, 32, true) + integer(e, 32, true))
    });
    word(f, "sub.sat.s32 {d}, {a}, {e};", move |[a, _, _, e]| {
        saturated(integer(a, 32, true) - integer(e, 32, true))
    });
}

/// Two words at a time, the carry between them.
fn carries(f: &mut Forms) {
    let both = |high: u64, low: u64| high << 32 | low;
    // (b, a) and (c, e) as numbers of 64 bits
    let add = "add.cc.u32 %d32, {a}, {e}; addc.u32 %t, {b}, {c}; mov.b64 {d}, {%d32, %t};";
    wide(f, add, move |[a, b, c, e]| both(b, a).wrapping_add(both(c, e)));
    let sub = "sub.cc.u32 %d32, {a}, {e}; subc.u32 %t, {b}, {c}; mov.b64 {d}, {%d32, %t};";
    wide(f, sub, move |[a, b, c, e]| both(b, a).wrapping_sub(both(c, e)));
    let mad = "mad.lo.cc.u32 %d32, {a}, {e}, {c}; madc.hi.u32 %t, {a}, {e}, {b}; mov.b64 {d}, {%d32, %t};";
    wide(f, mad, move |[a, b, c, e]| (a * e).wrapping_add(both(b, c)));
    // the carry out of the higher words
    let out = "add.cc.u32 %t, {a}, {e}; addc.cc.u32 %t, {b}, {c}; addc.u32 {d}, 0, 0;";
    word(f, out, move |[a, b, c, e]| both(b, a).overflowing_add(both(c, e)).1 as u64);
}

/// Comparisons, and what predicates are combined with.
fn comparisons(f: &mut Forms) {
    type Is = fn(Ordering) -> bool;
    let kinds: [(&str, Is); 6] = [
        ("lt", Ordering::is_lt),
        ("le", Ordering::is_le),
        ("gt", Ordering::is_gt),
        ("ge", Ordering::is_ge),
        ("eq", Ordering::is_eq),
        ("ne", Ordering::is_ne),
    ];
    for (name, is) in kinds {
        for (t, signed) in SIGNS {
            let compare = move |a, e| is(integer(a, 32, signed).cmp(&integer(e, 32, signed)));
            let set = format!("set.{name}.u32.{t}32 {{d}}, {{a}}, {{e}};");
            word(f, set, move |[a, _, _, e]| if compare(a, e) { M32 } else { 0 });
            let setp =
                format!("setp.{name}.{t}32 %p, {{a}}, {{e}}; selp.b32 {{d}}, {{b}}, {{c}}, %p;");
            word(f, setp, move |[a, b, c, e]| if compare(a, e) { b } else { c });
        }
        // of floats: false if there is a NaN, and true with the letter u
        for (letter, unordered) in [("", false), ("u", true)] {
            for ftz in [false, true] {
                let modifier = if ftz { ".ftz" } else { "" };
                let setp = format!(
                    "setp.{name}{letter}{modifier}.f32 %p, {{a}}, {{e}}; selp.b32 {{d}}, {{b}}, {{c}}, %p;"
                );
                word(f, setp, move |[a, b, c, e]| {
                    let [x, y] = [a, e].map(|v| if ftz { F32.flushed(v) } else { v });
                    let is_nan = F32.is_nan(x) || F32.is_nan(y);
                    // both zeros are one number
                    let order = |v| if v == F32.sign() { 0 } else { F32.order(v) };
                    if if is_nan { unordered } else { is(order(x).cmp(&order(y))) } { b } else { c }
                });
            }
        }
    }
    for (name, of_nan) in [("num", false), ("nan", true)] {
        let setp = format!("setp.{name}.f32 %p, {{a}}, {{e}}; selp.b32 {{d}}, {{b}}, {{c}}, %p;");
        word(
            f,
            setp,
            move |[a, b, c, e]| if (F32.is_nan(a) || F32.is_nan(e)) == of_nan { b } else { c },
        );
    }
    // p = (a < e) op (b > c) and q = !(a < e) op (b > c), and with the other predicate negated
    type Combine = fn(bool, bool) -> bool;
    let combine: [(&str, Combine); 3] =
        [("and", |x, y| x & y), ("or", |x, y| x | y), ("xor", |x, y| x ^ y)];
    for (name, op) in combine {
        for (negation, negated) in [("", false), ("!", true)] {
            let text = format!(
                "setp.gt.u32 %z, {{b}}, {{c}}; setp.lo.{name}.u32 %p|%q, {{a}}, {{e}}, {negation}%z; selp.b32 {{d}}, 1, 0, %p; @%q add.u32 {{d}}, {{d}}, 2;"
            );
            word(f, text, move |[a, b, c, e]| {
                let other = (b > c) != negated;
                op(a < e, other) as u64 + 2 * op(a >= e, other) as u64
            });
        }
    }
    word(
        f,
        "slct.s32.s32 {d}, {a}, {e}, {c};",
        |[a, _, c, e]| if integer(c, 32, true) >= 0 { a } else { e },
    );
    word(f, "copysign.f32 {d}, {a}, {e};", |[a, _, _, e]| a & F32.sign() | e & !F32.sign());
    let magnitude = |v: u64| v & !F32.sign();
    let is_subnormal = move |v| magnitude(v) > 0 && magnitude(v) & F32.infinity() == 0;
    let mut test = |name: &str, is: Box<dyn Fn(u64) -> bool>| {
        let text = format!("testp.{name}.f32 %p, {{a}}; selp.b32 {{d}}, 1, 0, %p;");
        word(f, text, move |[a, ..]| is(a) as u64);
    };
    test("finite", Box::new(move |a| magnitude(a) < F32.infinity()));
    test("infinite", Box::new(move |a| magnitude(a) == F32.infinity()));
    test("number", Box::new(|a| !F32.is_nan(a)));
    test("notanumber", Box::new(|a| F32.is_nan(a)));
    test("normal", Box::new(move |a| magnitude(a) < F32.infinity() && !is_subnormal(a)));
    test("subnormal", Box::new(is_subnormal));
}

/// Of 64 bits: a and e, shifts and positions in the words b and c.
fn wide_forms() -> Forms {
    let f = &mut vec![];
    for (t, signed) in SIGNS {
        let n = move |v| integer(v, 64, signed);
        wide(f, format!("bfe.{t}64 {{d}}, {{a}}, {{b}}, {{c}};"), move |[a, b, c, _]| {
            bfe(a, b, c, 64, signed)
        });
        word(f, format!("bfind.{t}64 {{d}}, {{a}};"), move |[a, ..]| bfind(a, 64, signed, false));
        word(f, format!("bfind.shiftamt.{t}64 {{d}}, {{a}};"), move |[a, ..]| {
            bfind(a, 64, signed, true)
        });
        wide(f, format!("shr.{t}64 {{d}}, {{a}}, {{b}};"), move |[a, b, ..]| {
            (n(a) >> b.min(64)) as u64
        });
        wide(f, format!("mul.hi.{t}64 {{d}}, {{a}}, {{e}};"), move |[a, _, _, e]| {
            if signed {
                ((n(a) * n(e)) >> 64) as u64
            } else {
                ((a as u128 * e as u128) >> 64) as u64
            }
        });
        wide(f, format!("min.{t}64 {{d}}, {{a}}, {{e}};"), move |[a, _, _, e]| {
            n(a).min(n(e)) as u64
        });
        wide(f, format!("max.{t}64 {{d}}, {{a}}, {{e}};"), move |[a, _, _, e]| {
            n(a).max(n(e)) as u64
        });
        wide(f, format!("mad.wide.{t}32 {{d}}, {{b}}, {{c}}, {{e}};"), move |[_, b, c, e]| {
            (integer(b, 32, signed) * integer(c, 32, signed) + e as i128) as u64
        });
        for (name, of) in [("div", (|a, e| a / e) as fn(i128, i128) -> i128), ("rem", |a, e| a % e)]
        {
            let text = format!("or.b64 {{d}}, {{e}}, 1; {name}.{t}64 {{d}}, {{a}}, {{d}};");
            wide(f, text, move |[a, _, _, e]| of(n(a), n(e | 1)) as u64);
        }
        for (other, other_signed) in SIGNS {
            let text = format!("cvt.sat.{t}32.{other}64 {{d}}, {{a}};");
            word(f, text, move |[a, ..]| clamped(integer(a, 64, other_signed), 32, signed));
        }
        for (other, other_signed) in SIGNS {
            let text = format!("cvt.{t}64.{other}32 {{d}}, {{b}};");
            wide(f, text, move |[_, b, ..]| integer(b, 32, other_signed) as u64);
        }
    }
    wide(f, "bfi.b64 {d}, {a}, {e}, {b}, {c};", |[a, b, c, e]| bfi(a, e, b, c, 64));
    wide(f, "shl.b64 {d}, {a}, {b};", |[a, b, ..]| if b < 64 { a << b } else { 0 });
    wide(f, "mul.lo.u64 {d}, {a}, {e};", |[a, _, _, e]| a.wrapping_mul(e));
    wide(f, "brev.b64 {d}, {a};", |[a, ..]| (0..64).fold(0, |d, i| d | (a >> i & 1) << (63 - i)));
    word(f, "popc.b64 {d}, {a};", |[a, ..]| (0..64).map(|i| a >> i & 1).sum());
    word(f, "clz.b64 {d}, {a};", |[a, ..]| {
        (0..64).rev().take_while(|i| a >> i & 1 == 0).count() as u64
    });
    word(f, "mov.b64 {{d}, %t}, {a}; sub.u32 {d}, {d}, %t;", |[a, ..]| a.wrapping_sub(a >> 32));
    std::mem::take(f)
}

/// Numbers of every length, those at the ends, and small ones, which are shifts and positions.
fn operand(r: &mut Random) -> u64 {
    const SPECIAL: [u64; 13] =
        [0, 1, 2, 31, 32, 33, 63, 64, 255, 0x7fff_ffff, 0x8000_0000, M32 - 1, M32];
    match r.below(5) {
        0 => r.of(&SPECIAL),
        1 => r.of(&SPECIAL) << 32 | r.of(&SPECIAL),
        2 => r.below(70),
        3 => r.bits() >> r.below(64),
        _ => r.bits(),
    }
}

#[test]
fn as_the_manual_says() {
    let what = "integer, bit, carry and comparison instructions, words and 64 bits";
    counted("validation::forms::as_the_manual_says", what, |tally| {
        let mut words = vec![];
        bits_of_words(&mut words);
        arithmetic_of_words(&mut words);
        carries(&mut words);
        comparisons(&mut words);
        let groups = [
            Group { name: "words", operand_bits: vec![32; 4], forms: words },
            Group { name: "wide", operand_bits: vec![64, 32, 32, 64], forms: wide_forms() },
        ];
        let r = &mut Random(5);
        let d = &Device::new("90");
        for group in groups {
            let random = (0..cases(20_000, 1_000_000)).map(|_| [(); 4].map(|_| operand(r)));
            group.compare(d, random, tally);
        }
    });
}
