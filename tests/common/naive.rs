//! The oracle: plain loops over dense row-major matrices, straight from the definitions. It shares
//! no code with the crate and is simpler than all that it checks.

use bihalf::Element;

/// Whether `a` is less than `b`: NaN greatest and equal, -0 equal to +0.
pub fn less(a: f64, b: f64) -> bool {
    !a.is_nan() && (b.is_nan() || a < b)
}

/// The one form of all that are equal: +0 of both zeros, the quiet NaN of all NaN.
pub fn canonical(x: f64) -> f64 {
    if x.is_nan() { f64::NAN } else { x + 0.0 }
}

/// Place of each element in its sorted column: a stable sort of the column's rows.
pub fn rank<T: Element>(u: &[T], rows: usize, cols: usize, desc: bool) -> Vec<u32> {
    let mut ranks = vec![0; rows * cols];
    for j in 0..cols {
        let column: Vec<f64> = (0..rows).map(|i| u[i * cols + j].to_f64()).collect();
        let mut sorted: Vec<usize> = (0..rows).collect();
        sorted.sort_by(|&m, &n| {
            let (x, y) = if desc { (column[n], column[m]) } else { (column[m], column[n]) };
            less(y, x).cmp(&less(x, y))
        });
        for (place, i) in sorted.into_iter().enumerate() {
            ranks[i * cols + j] = place as u32;
        }
    }
    ranks
}

/// The permutation that the ranks describe.
pub fn argsort(ranks: &[u32], cols: usize) -> Vec<u32> {
    let mut rows = vec![u32::MAX; ranks.len()];
    for (n, &rank) in ranks.iter().enumerate() {
        rows[rank as usize * cols + n % cols] = (n / cols) as u32;
    }
    rows
}

/// +1 for the `ones` elements of each column that come first in descending order, equal ones by
/// row, as `f64`.
pub fn bihalf<T: Element>(u: &[T], rows: usize, cols: usize, ones: usize) -> Vec<f64> {
    let mut b = vec![-1.0; rows * cols];
    for j in 0..cols {
        let mut column: Vec<_> =
            (0..rows).map(|i| (canonical(u[i * cols + j].to_f64()), i)).collect();
        if (1..rows).contains(&ones) {
            // NaN, of which there is one by now, is the greatest.
            column.select_nth_unstable_by(ones, |(x, m), (y, n)| y.total_cmp(x).then(m.cmp(n)));
        }
        for &(_, i) in &column[..ones] {
            b[i * cols + j] = 1.0;
        }
    }
    b
}

/// +1 where u > -t.
pub fn sign<T: Element>(u: &[T], cols: usize, shift: Option<&[T]>) -> Vec<f64> {
    let t = |n: usize| shift.map_or(0.0, |t| t[n % cols].to_f64());
    (0..u.len()).map(|n| if u[n].to_f64() > -t(n) { 1.0 } else { -1.0 }).collect()
}

/// dB + c (U - B) in f32 for all but f64, each operation rounded.
pub fn pull<T: Element>(u: &[T], b: &[f64], grad: &[T], c: f64) -> Vec<T> {
    let one = |n: usize| {
        let (u, b, g) = (u[n].to_f64(), b[n], grad[n].to_f64());
        if T::NAME == "f64" {
            return T::from_f64(g + c * (u - b));
        }
        let (u, b, g, c) = (u as f32, b as f32, g as f32, c as f32);
        T::from_f64(f64::from(g + c * (u - b)))
    };
    (0..u.len()).map(one).collect()
}

/// Words of packed codes: bit j of a row is bit j % 8 of byte j / 8, rows padded to 8 bytes.
pub fn pack(signs: &[f64], rows: usize, bits: usize) -> Vec<u64> {
    let row_bytes = bits.div_ceil(64) * 8;
    let mut bytes = vec![0u8; rows * row_bytes];
    for n in (0..rows * bits).filter(|&n| signs[n] > 0.0) {
        let (i, j) = (n / bits, n % bits);
        bytes[i * row_bytes + j / 8] |= 1 << (j % 8);
    }
    bytes.chunks(8).map(|b| u64::from_ne_bytes(b.try_into().unwrap())).collect()
}

/// Cosine of two vectors, 0 if one of them is zero.
pub fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
    let norms = dot(a, a).sqrt() * dot(b, b).sqrt();
    if norms == 0.0 { 0.0 } else { dot(a, b) / norms }
}

/// Mean of the squared differences of cosines over the pairs (i, i + floor(M / 2)).
pub fn cosine_loss(x: &[Vec<f64>], b: &[Vec<f64>]) -> f64 {
    let h = x.len() / 2;
    let gap = |i: usize| cosine(&b[i], &b[i + h]) - cosine(&x[i], &x[i + h]);
    if h == 0 { 0.0 } else { (0..h).map(|i| gap(i).powi(2)).sum::<f64>() / h as f64 }
}

/// The rows of a dense matrix.
pub fn rows_of<T: Element>(dense: &[T], rows: usize, cols: usize) -> Vec<Vec<f64>> {
    (0..rows)
        .map(|i| dense[i * cols..(i + 1) * cols].iter().map(|x| x.to_f64()).collect())
        .collect()
}

/// The gradient of the cosine loss for row `i` of `b`, straight from the quotient rule.
pub fn cosine_gradient(x: &[Vec<f64>], b: &[Vec<f64>], i: usize) -> Vec<f64> {
    let h = b.len() / 2;
    let none = vec![0.0; b[i].len()];
    let k = match i {
        i if i < h => i + h,
        i if i < 2 * h => i - h,
        _ => return none,
    };
    let squared = |v: &[f64]| v.iter().map(|v| v * v).sum::<f64>();
    let (nb, nk) = (squared(&b[i]), squared(&b[k]));
    if nb * nk == 0.0 {
        return none;
    }
    let c = cosine(&b[i], &b[k]);
    let outer = 2.0 / h as f64 * (c - cosine(&x[i], &x[k]));
    let partial = |j: usize| b[k][j] / (nb * nk).sqrt() - c * b[i][j] / nb;
    (0..b[i].len()).map(|j| outer * partial(j)).collect()
}

/// The gradient that pair gradients stand for: an element b of a pair has b times the first of the
/// pair's two where its bits agree, else b times the second; a row without a partner has 0.
pub fn of_pair_grads<T: Element>(
    b: &[f64],
    pair_grads: &[f64],
    rows: usize,
    cols: usize,
) -> Vec<T> {
    let h = rows / 2;
    let one = |n: usize| {
        let (i, j) = (n / cols, n % cols);
        if i >= 2 * h {
            return T::from_f64(0.0);
        }
        let p = i % h;
        let agree = b[p * cols + j] == b[(p + h) * cols + j];
        let slope = pair_grads[2 * p + usize::from(!agree)];
        T::from_f64(if slope == 0.0 { 0.0 } else { b[n] * slope })
    };
    (0..rows * cols).map(one).collect()
}

/// alpha / 2 times the mean over columns of the squared column mean.
pub fn entropy_penalty(b: &[Vec<f64>], cols: usize, alpha: f64) -> f64 {
    if b.is_empty() || cols == 0 {
        return 0.0;
    }
    let mean = |j: usize| b.iter().map(|row| row[j]).sum::<f64>() / b.len() as f64;
    alpha / 2.0 * (0..cols).map(|j| mean(j).powi(2)).sum::<f64>() / cols as f64
}

/// Average precision of relevance flags in ranked order, within the first k places.
pub fn average_precision(ranked: &[bool], k: usize) -> f64 {
    let hits: Vec<usize> = (0..ranked.len().min(k)).filter(|&at| ranked[at]).collect();
    let precision =
        |&at: &usize| ranked[..=at].iter().filter(|&&r| r).count() as f64 / (at + 1) as f64;
    if hits.is_empty() { 0.0 } else { hits.iter().map(precision).sum::<f64>() / hits.len() as f64 }
}

#[test]
fn ranks_are_how_many_elements_of_the_column_come_before() {
    let u = [0.5, f64::NAN, -0.0, 0.5, 0.0, -1.0, f64::INFINITY, -f64::NAN, 0.5, f64::NEG_INFINITY];
    for desc in [false, true] {
        let before = |(i, x): (usize, f64)| {
            let first = |y: f64| if desc { less(x, y) } else { less(y, x) };
            let equal = |y: f64| !less(x, y) && !less(y, x);
            let others = u.iter().enumerate();
            others.filter(|&(r, &y)| first(y) || r < i && equal(y)).count() as u32
        };
        let expected: Vec<u32> = u.into_iter().enumerate().map(before).collect();
        assert_eq!(rank(&u, u.len(), 1, desc), expected, "descending: {desc}");
    }
}

#[test]
fn ones_are_the_elements_of_the_least_descending_ranks() {
    for pattern in super::patterns::ALL {
        let u: Vec<f64> = pattern.fill((40, 3), 1);
        let ranks = rank(&u, 40, 3, true);
        for ones in 0..=40 {
            let least = ranks.iter().map(|&rank| if (rank as usize) < ones { 1.0 } else { -1.0 });
            assert_eq!(bihalf(&u, 40, 3, ones), least.collect::<Vec<_>>(), "{pattern:?} {ones}");
        }
    }
}
