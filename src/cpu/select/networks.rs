//! Sorting networks: lists of compare-exchanges, unrolled so that the values stay in registers.
//!
//! The one for 16 values is the best known (Green, 60 comparators); those for 4 and 8 are Batcher's
//! odd-even merge sort, optimal there (5 and 19), and so is the merge of two sorted 16 (65).

use crate::cpu::simd::Ordered;

/// Sorts each lane in ascending order. There are networks for 4, 8, 16 and 32 registers.
#[inline(always)]
pub(super) fn sort<V: Ordered, const N: usize>(v: &mut [V; N]) {
    match N {
        4 => sort_4(v),
        8 => sort_8(v),
        16 => sort_16(v),
        32 => {
            let (low, high) = v.split_at_mut(16);
            sort_16(low);
            sort_16(high);
            merge_32(v);
        }
        _ => unreachable!("no network for {N} values"),
    }
}

/// Sorts whole vectors, register by register.
#[inline(always)]
pub(super) fn sort_vectors<V: Ordered, const N: usize>(v: &mut [V; N]) {
    for r in 0..V::LANES / V::Register::LANES {
        let mut registers: [V::Register; N] = std::array::from_fn(|i| v[i].register(r));
        sort(&mut registers);
        for i in 0..N {
            v[i].set_register(r, registers[i]);
        }
    }
}

macro_rules! network {
    ($name:ident, $len:literal: $($a:literal $b:literal),* $(,)?) => {
        #[inline(always)]
        fn $name<V: Ordered>(v: &mut [V]) {
            let v: &mut [V; $len] = v.try_into().expect("as many as the network sorts");
            $((v[$a], v[$b]) = (v[$a].min(v[$b]), v[$a].max(v[$b]));)*
        }
    };
}

network! {
    sort_4, 4:
        0 1, 2 3, 0 2, 1 3, 1 2,
}

network! {
    sort_8, 8:
        0 1, 2 3, 4 5, 6 7, 0 2, 1 3, 4 6, 5 7, 1 2, 5 6, 0 4, 1 5, 2 6, 3 7, 2 4, 3 5, 1 2, 3 4,
        5 6,
}

network! {
    sort_16, 16:
        0 1, 2 3, 4 5, 6 7, 8 9, 10 11, 12 13, 14 15, 0 2, 4 6, 8 10, 12 14, 1 3, 5 7, 9 11,
        13 15, 0 4, 8 12, 1 5, 9 13, 2 6, 10 14, 3 7, 11 15, 0 8, 1 9, 2 10, 3 11, 4 12, 5 13,
        6 14, 7 15, 5 10, 6 9, 3 12, 13 14, 4 8, 7 11, 1 2, 1 4, 7 13, 2 8, 11 14, 2 4, 5 6, 9 10,
        11 13, 3 8, 7 12, 6 8, 10 12, 3 5, 7 9, 3 4, 5 6, 7 8, 9 10, 11 12, 6 7, 8 9,
}

network! {
    merge_32, 32:
        0 16, 1 17, 2 18, 3 19, 4 20, 5 21, 6 22, 7 23, 8 24, 9 25, 10 26, 11 27, 12 28, 13 29,
        14 30, 15 31, 8 16, 9 17, 10 18, 11 19, 12 20, 13 21, 14 22, 15 23, 4 8, 5 9, 6 10, 7 11,
        12 16, 13 17, 14 18, 15 19, 20 24, 21 25, 22 26, 23 27, 2 4, 3 5, 6 8, 7 9, 10 12, 11 13,
        14 16, 15 17, 18 20, 19 21, 22 24, 23 25, 26 28, 27 29, 1 2, 3 4, 5 6, 7 8, 9 10, 11 12,
        13 14, 15 16, 17 18, 19 20, 21 22, 23 24, 25 26, 27 28, 29 30,
}
