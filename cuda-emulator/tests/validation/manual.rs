//! What integer and bit instructions compute, as the manual of the PTX instruction set describes it:
//! bit by bit where the manual has a loop, in wide integers elsewhere.

/// The low bits of a value as a number.
pub fn integer(v: u64, bits: u32, signed: bool) -> i128 {
    let shift = 64 - bits;
    if signed { ((v << shift) as i64 >> shift) as i128 } else { ((v << shift) >> shift) as i128 }
}

/// The range of integers of so many bits.
pub fn clamped(v: i128, bits: u32, signed: bool) -> u64 {
    let (least, greatest) =
        if signed { (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) } else { (0, (1 << bits) - 1) };
    v.clamp(least, greatest) as u64
}

fn bit(v: u64, position: u64) -> u64 {
    v >> position & 1
}

pub fn bfe(a: u64, b: u64, c: u64, bits: u64, signed: bool) -> u64 {
    let (position, length, msb) = (b & 255, c & 255, bits - 1);
    let sign = if signed && length > 0 { bit(a, (position + length - 1).min(msb)) } else { 0 };
    (0..bits).fold(0, |d, i| {
        let is_field = i < length && position + i <= msb;
        d | if is_field { bit(a, position + i) } else { sign } << i
    })
}

/// The low bits of `a` put into `b`.
pub fn bfi(a: u64, b: u64, c: u64, d: u64, bits: u64) -> u64 {
    let (position, length) = (c & 255, d & 255);
    let mut result = b;
    for i in (0..length).take_while(|i| position + i < bits) {
        let at = position + i;
        result = result & !(1 << at) | bit(a, i) << at;
    }
    result
}

pub const PRMT_MODES: [&str; 7] = ["", ".f4e", ".b4e", ".rc8", ".ecl", ".ecr", ".rc16"];

pub fn prmt(a: u64, b: u64, c: u64, mode: &str) -> u64 {
    let byte = |n: u64| (b << 32 | a) >> (8 * n) & 255;
    let pick = |n: [u64; 4]| (0..4).fold(0, |d, i| d | byte(n[i]) << (8 * i));
    let n = c & 3;
    match mode {
        "" => (0..4).fold(0, |d, i| {
            let select = c >> (4 * i) & 15;
            let v = byte(select & 7);
            let copies_sign = select & 8 != 0;
            d | if copies_sign { 255 * (v >> 7) } else { v } << (8 * i)
        }),
        // bytes n to n + 3 upwards, and downwards
        ".f4e" => pick([n, n + 1, n + 2, n + 3]),
        ".b4e" => pick([n, (n + 7) & 7, (n + 6) & 7, (n + 5) & 7]),
        ".rc8" => pick([n; 4]),
        // edge clamps: bytes below n, or above it, are byte n
        ".ecl" => pick([0, 1, 2, 3].map(|i: u64| i.max(n))),
        ".ecr" => pick([0, 1, 2, 3].map(|i: u64| i.min(n))),
        ".rc16" => pick([2 * (n & 1), 2 * (n & 1) + 1, 2 * (n & 1), 2 * (n & 1) + 1]),
        _ => unreachable!("{mode}"),
    }
}

/// Of the words a (low) and b (high) shifted as one: the high word to the left, the low one to the right.
pub fn shf(a: u64, b: u64, c: u64, left: bool, clamps: bool) -> u64 {
    let n = if clamps { c.min(32) } else { c & 31 };
    let both = b << 32 | a;
    let all = if left { ((both as u128) << n) >> 32 } else { both as u128 >> n };
    all as u64 & 0xffff_ffff
}

pub fn lop3(a: u64, b: u64, c: u64, table: u64) -> u64 {
    (0..32).fold(0, |d, i| {
        let row = bit(a, i) << 2 | bit(b, i) << 1 | bit(c, i);
        d | bit(table, row) << i
    })
}

pub fn bmsk(a: u64, b: u64, clamps: bool) -> u64 {
    let [a, b] = [a, b].map(|v| if clamps { v.min(32) } else { v & 31 });
    (((1u128 << b) - 1) << a) as u64 & 0xffff_ffff
}

pub fn szext(a: u64, b: u64, clamps: bool, signed: bool) -> u64 {
    match if clamps { b.min(32) } else { b & 31 } {
        0 => 0,
        bits => integer(a, bits as u32, signed) as u64 & 0xffff_ffff,
    }
}

pub fn bfind(a: u64, bits: u64, signed: bool, shift_amount: bool) -> u64 {
    let v = if signed && bit(a, bits - 1) == 1 { !a } else { a };
    match (0..bits).rev().find(|&i| bit(v, i) == 1) {
        None => 0xffff_ffff,
        Some(i) => {
            if shift_amount {
                bits - 1 - i
            } else {
                i
            }
        }
    }
}

pub fn fns(mask: u64, base: u64, offset: i64) -> u64 {
    let is_set = |i: &i64| bit(mask, *i as u64) == 1;
    let base = base as i64;
    let found = match offset {
        0 => Some(base).filter(is_set),
        1.. => (base..32).filter(is_set).nth(offset as usize - 1),
        _ => (0..=base).rev().filter(is_set).nth(-offset as usize - 1),
    };
    found.map_or(0xffff_ffff, |i| i as u64)
}

/// Sums of products of parts of `a` and `b`: of `bits` bits each in a, bytes in b from the first on.
pub fn dot(a: u64, b: u64, c: u64, parts: u32, signs: (bool, bool), first: u32) -> u64 {
    let bits = 32 / parts;
    let sum = (0..parts).fold(c as i128, |sum, i| {
        let x = integer(a >> (bits * i), bits, signs.0);
        let y = integer(b >> (8 * (i + first)), 8, signs.1);
        sum + x * y
    });
    sum as u64 & 0xffff_ffff
}
