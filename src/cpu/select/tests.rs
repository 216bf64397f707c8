//! Few small matrices by plain code: for Miri, which looks at each access to memory and knows no vector
//! instructions. `tests/` compares everything else.

use super::{Strip, forward, scratch_words};
use crate::cpu::simd::Detected;
use crate::{Codes, Element, MatMut, MatRef, Outputs};
use half::f16;

/// Whether row `i` is among the `ones` largest of a column: fewer than that go before it.
fn is_one<T: Element>(column: &[T], i: usize, ones: usize) -> bool {
    let goes_before = |&(r, other): &(usize, &T)| {
        other.key() > column[i].key() || other.key() == column[i].key() && r < i
    };
    column.iter().enumerate().filter(goes_before).count() < ones
}

fn matches<T: Element>((rows, cols): (usize, usize), ones: usize) {
    // Ties, zeros of both signs, NaN, and no order that the rows have.
    let value = |n: usize| match n * 7919 % 23 {
        0 => f64::NAN,
        1 => -0.0,
        n => (n as f64 - 11.0).max(-4.0) / 4.0,
    };
    let u: Vec<T> = (0..rows * cols).map(|n| T::from_f64(value(n))).collect();
    let mut dense = vec![T::default(); rows * cols];
    let mut dense_i8 = vec![0; rows * cols];
    let mut codes = Codes::zeros(rows, cols).unwrap();
    let mut threshold = vec![T::default(); cols];
    let mut out = Outputs::none()
        .dense(MatMut::new(&mut dense, rows, cols).unwrap())
        .dense_i8(MatMut::new(&mut dense_i8, rows, cols).unwrap())
        .codes(codes.as_mut());
    let mut strip = Strip::new(&mut out, Some(&mut threshold), cols);
    let mut scratch = vec![0; scratch_words::<T>(Detected::Portable, (rows, cols))];
    let input = MatRef::new(&u, rows, cols).unwrap();
    forward(Detected::Portable, input, ones, &mut strip, &mut scratch);
    for j in 0..cols {
        let column: Vec<T> = input.col(j).collect();
        for i in 0..rows {
            let one = is_one(&column, i, ones);
            let at = i * cols + j;
            assert_eq!(dense[at].to_f64(), if one { 1.0 } else { -1.0 }, "row {i}, column {j}");
            assert_eq!(dense_i8[at], if one { 1 } else { -1 }, "row {i}, column {j}");
            assert_eq!(codes.as_ref().get(i, j), one, "row {i}, column {j}");
        }
        let is_least = |&i: &usize| is_one(&column, i, ones) && !is_one(&column, i, ones - 1);
        let least = (0..rows).find(is_least).unwrap();
        assert_eq!(threshold[j].key(), column[least].key(), "column {j}");
    }
}

#[test]
fn plain_code_matches_a_count() {
    for shape in [(1usize, 1), (7, 3), (33, 17), (70, 18)] {
        for ones in [1, shape.0.div_ceil(2), shape.0] {
            matches::<f32>(shape, ones);
            matches::<f64>(shape, ones);
            matches::<f16>(shape, ones);
        }
    }
}
