//! Random expressions of C over integers and floats.

use super::Random;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    U,
    L,
    I,
    F,
    D,
    /// a condition
    B,
    /// a condition on integers
    C,
}
use Type::*;

/// What gives a value of the type from values of other types, which take the places of `{}`.
struct Operator(Type, &'static str, &'static [Type]);

const OPERATORS: &[Operator] = &[
    Operator(U, "({} + {})", &[U, U]),
    Operator(U, "({} - {})", &[U, U]),
    Operator(U, "({} * {})", &[U, U]),
    Operator(U, "({} & {})", &[U, U]),
    Operator(U, "({} | {})", &[U, U]),
    Operator(U, "({} ^ {})", &[U, U]),
    Operator(U, "(~{})", &[U]),
    Operator(U, "({} << ({} & 31))", &[U, U]),
    Operator(U, "({} >> ({} & 31))", &[U, U]),
    Operator(U, "({} >> 7 & 1023)", &[U]),
    Operator(U, "divide_u({}, {})", &[U, U]),
    Operator(U, "remainder_u({}, {})", &[U, U]),
    Operator(U, "({} ? {} : {})", &[B, U, U]),
    Operator(U, "(uint32_t)({})", &[I]),
    Operator(U, "(uint32_t)({} >> 7)", &[L]),
    Operator(U, "(uint32_t)(uint8_t)({})", &[U]),
    Operator(U, "(uint32_t)(int16_t)({})", &[U]),
    Operator(U, "(uint32_t)(uint16_t)((uint16_t)({}) * (uint32_t)(uint16_t)({}))", &[U, U]),
    Operator(U, "bits_of_f({})", &[F]),
    Operator(U, "high_u({}, {})", &[U, U]),
    Operator(U, "ones({})", &[U]),
    Operator(U, "leading_u({})", &[U]),
    Operator(U, "rotate({}, {})", &[U, U]),
    Operator(U, "u_of_f({})", &[F]),
    Operator(U, "least_u({}, {})", &[U, U]),
    Operator(U, "one_of_many({}, {}, {})", &[U, U, U]),
    Operator(I, "(int)({})", &[U]),
    Operator(I, "((int)({}) >> ({} & 31))", &[U, U]),
    Operator(I, "divide_i({}, {})", &[I, I]),
    Operator(I, "i_of_f({})", &[F]),
    Operator(I, "i_of_d({})", &[D]),
    Operator(I, "(int)(int8_t)({})", &[U]),
    Operator(I, "least_i({}, {})", &[I, I]),
    Operator(I, "magnitude({})", &[I]),
    Operator(I, "(int)(((int64_t){} * {}) >> 16)", &[I, I]),
    Operator(L, "({} + {})", &[L, L]),
    Operator(L, "({} - {})", &[L, L]),
    Operator(L, "({} * {})", &[L, L]),
    Operator(L, "({} & {})", &[L, L]),
    Operator(L, "({} | {})", &[L, L]),
    Operator(L, "({} ^ {})", &[L, L]),
    Operator(L, "((uint64_t){} * {})", &[U, U]),
    Operator(L, "(uint64_t)((int64_t){} * {})", &[I, I]),
    Operator(L, "({} << ({} & 63))", &[L, U]),
    Operator(L, "({} >> ({} & 63))", &[L, U]),
    Operator(L, "(uint64_t)((int64_t){} >> ({} & 63))", &[L, U]),
    Operator(L, "divide_l({}, {})", &[L, L]),
    Operator(L, "bits_of_d({})", &[D]),
    Operator(L, "({} ? {} : {})", &[B, L, L]),
    Operator(L, "high_l({}, {})", &[L, L]),
    Operator(L, "l_of_f({})", &[F]),
    Operator(L, "leading_l({})", &[L]),
    Operator(F, "({} + {})", &[F, F]),
    Operator(F, "({} - {})", &[F, F]),
    Operator(F, "({} * {})", &[F, F]),
    Operator(F, "fmaf({}, {}, {})", &[F, F, F]),
    Operator(F, "({} / {})", &[F, F]),
    Operator(F, "sqrtf(fabsf({}))", &[F]),
    Operator(F, "(float)({})", &[D]),
    Operator(F, "(float)({})", &[U]),
    Operator(F, "(float)({})", &[I]),
    Operator(F, "(float)({})", &[L]),
    Operator(F, "(float)(int64_t)({})", &[L]),
    Operator(F, "({} ? {} : {})", &[C, F, F]),
    Operator(F, "floorf({} + x)", &[F]),
    Operator(F, "ceilf({} + x)", &[F]),
    Operator(F, "truncf({} + x)", &[F]),
    Operator(F, "rintf({} + x)", &[F]),
    Operator(F, "fabsf({})", &[F]),
    Operator(F, "(-{})", &[F]),
    Operator(F, "f_of_bits({})", &[U]),
    Operator(F, "sign_of({}, {})", &[F, F]),
    Operator(F, "least({}, {})", &[F, F]),
    Operator(F, "greatest({}, {})", &[F, F]),
    Operator(D, "({} + {})", &[D, D]),
    Operator(D, "({} - {})", &[D, D]),
    Operator(D, "({} * {})", &[D, D]),
    Operator(D, "fma({}, {}, {})", &[D, D, D]),
    Operator(D, "({} / {})", &[D, D]),
    Operator(D, "sqrt(fabs({}))", &[D]),
    Operator(D, "(double)({})", &[F]),
    Operator(D, "(double)({})", &[L]),
    Operator(D, "(double)(int64_t)({})", &[L]),
    Operator(D, "(double)({})", &[U]),
    Operator(D, "floor({} + y)", &[D]),
    Operator(D, "ceil({} + y)", &[D]),
    Operator(D, "trunc({} + y)", &[D]),
    Operator(D, "rint({} + y)", &[D]),
    Operator(D, "fabs({})", &[D]),
    Operator(D, "(-{})", &[D]),
    Operator(B, "({} < {})", &[F, F]),
    Operator(B, "({} >= {})", &[F, F]),
    Operator(B, "({} != {})", &[F, F]),
    Operator(B, "({} <= {})", &[D, D]),
    Operator(B, "({} > {})", &[D, D]),
    Operator(B, "({} == {})", &[D, D]),
    Operator(B, "({} && {})", &[B, B]),
    Operator(B, "({} || {})", &[B, B]),
    Operator(B, "{}", &[C]),
    Operator(C, "({} < {})", &[U, U]),
    Operator(C, "({} >= {})", &[U, U]),
    Operator(C, "({} <= {})", &[I, I]),
    Operator(C, "({} > {})", &[I, I]),
    Operator(C, "({} == {})", &[L, L]),
    Operator(C, "({} != {})", &[L, L]),
    Operator(C, "({} < {})", &[L, L]),
    Operator(C, "({} && {})", &[C, C]),
];

/// A variable or a constant.
fn leaf(r: &mut Random, of: Type) -> String {
    let uniform = |r: &mut Random| (r.bits() >> 11) as f64 / 2f64.powi(53) * 200.0 - 100.0;
    match of {
        U => match r.below(4) {
            0 => "a".into(),
            1 => "b".into(),
            2 => "(uint32_t)c".into(),
            _ => {
                let any = r.bits() as u32;
                format!("{}u", r.of(&[0, 1, 2, 31, 32, 255, 1 << 31, u32::MAX, any]))
            }
        },
        L => match r.below(4) {
            0 => "c".into(),
            1 => "(uint64_t)a".into(),
            2 => "((uint64_t)b << 32)".into(),
            _ => {
                let any = r.bits();
                format!("{}ull", r.of(&[0, 1, 63, 1 << 63, u64::MAX, any]))
            }
        },
        I => match r.below(3) {
            0 => "(int)a".into(),
            1 => "(int)b".into(),
            _ => format!("({})", (r.bits() as i32).max(-i32::MAX)),
        },
        F => match r.below(4) {
            0 => "(float)(int)b".into(),
            1 => format!("({:e}f)", uniform(r) as f32),
            _ => "x".into(),
        },
        D => match r.below(4) {
            0 => "(double)x".into(),
            1 => "(double)(int)a".into(),
            2 => format!("({:e})", uniform(r)),
            _ => "y".into(),
        },
        B | C => "(a < b)".into(),
    }
}

/// A random expression of the type, so many operators deep at most.
pub fn expression(r: &mut Random, of: Type, depth: u32) -> String {
    if depth == 0 || r.in_so_many(10) {
        return leaf(r, of);
    }
    let all: Vec<&Operator> = OPERATORS.iter().filter(|operator| operator.0 == of).collect();
    let Operator(_, text, operands) = r.of(&all);
    let mut pieces = text.split("{}");
    let mut out = pieces.next().unwrap_or_default().to_string();
    for (piece, operand) in pieces.zip(*operands) {
        out += &expression(r, *operand, depth - 1);
        out += piece;
    }
    out
}
