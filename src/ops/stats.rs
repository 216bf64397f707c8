//! Statistics of codes and of the values that they come from.
//!
//! | function | per | what |
//! |---|---|---|
//! | [`ones`] | bit | number of codes in which the bit is +1 |
//! | [`p_plus`] | bit | P(+1) = ones / M; NaN for M = 0 |
//! | [`bit_entropy`] | bit | `-p log2 p - (1 - p) log2 (1 - p)`, 0 to 1 bit; 0 for M = 0 |
//! | [`mean_abs_correlation`] | matrix | mean over pairs of bits of the absolute Pearson correlation |
//! | [`distinct`] | matrix | number of different codes |
//! | [`histogram`] | column | how the values of `U` are spread |
//! | [`transport_cost`] | column | distance of the values of `U` to their half-half target (Eq. 7) |
//!
//! Everything is exact or computed in `f64` in a fixed order: the same bits on every run, for any
//! number of threads. Sizes: any. What is per bit or column has a form that writes to a buffer of
//! the caller and allocates nothing; a [`Histogram`] takes in batch after batch. Of the two that
//! give one number, [`distinct`] keeps a hash set of rows and [`mean_abs_correlation`]
//! transposes the bits (M K / 8 bytes). All return
//! [`Error::InstructionSet`](crate::Error::InstructionSet) where that of [Bi-half](super::bi_half)
//! would.
//!
//! On CUDA, [`Backend::ones_into`](crate::Backend::ones_into) counts the ones of each bit with
//! `codes_ones`, in one launch after a fill; what follows from the counts is a matter of the host.
//!
//! ```
//! use bihalf::{Codes, MatRef, ops::stats};
//!
//! let b = [1.0f32, 1.0, -1.0, 1.0, 1.0, 1.0, -1.0, 1.0]; // 4 codes of 2 bits
//! let codes = Codes::from_dense(MatRef::new(&b, 4, 2)?)?;
//! assert_eq!(stats::ones(codes.as_ref())?, [2, 4]);
//! assert_eq!(stats::p_plus(codes.as_ref())?, [0.5, 1.0]);
//! assert_eq!(stats::bit_entropy(codes.as_ref())?, [1.0, 0.0]);
//! assert_eq!(stats::distinct(codes.as_ref())?, 2);
//! # Ok::<(), bihalf::Error>(())
//! ```

use super::{check_parameter, check_per_column, check_rows};
use crate::codes::WORD_BITS;
use crate::cpu::stats::{Bins, Tallies};
use crate::memory::{too_large, zeros};
use crate::{CodesRef, Element, MatRef, Result, Workspace, cpu};
use std::collections::HashSet;

/// Number of codes in which each bit is +1.
///
/// # Errors
/// [`Error::TooManyRows`](crate::Error::TooManyRows), [`Error::TooLarge`](crate::Error::TooLarge).
pub fn ones<'a>(codes: impl Into<CodesRef<'a>>) -> Result<Vec<u32>> {
    let codes = codes.into();
    check_rows(codes.rows())?;
    let mut counts = zeros((1, codes.bits()))?;
    cpu::codes::ones(codes, &mut counts);
    Ok(counts)
}

/// [`ones`] into a buffer of the caller, `[bits]`.
///
/// # Errors
/// [`Error::Length`](crate::Error::Length), [`Error::TooManyRows`](crate::Error::TooManyRows).
pub fn ones_into<'a>(codes: impl Into<CodesRef<'a>>, counts: &mut [u32]) -> Result<()> {
    let codes = codes.into();
    check_ones(codes.shape(), counts.len())?;
    cpu::codes::ones(codes, counts);
    Ok(())
}

pub(crate) fn check_ones(codes: (usize, usize), counts: usize) -> Result<()> {
    check_rows(codes.0)?;
    check_per_column("counts", codes.1, counts)
}

/// P(+1) of each bit; NaN when there is no code.
///
/// # Errors
/// [`Error::TooLarge`](crate::Error::TooLarge).
pub fn p_plus<'a>(codes: impl Into<CodesRef<'a>>) -> Result<Vec<f64>> {
    let codes = codes.into();
    let mut p = zeros((1, codes.bits()))?;
    write_p_plus(codes, &mut p);
    Ok(p)
}

/// [`p_plus`] into a buffer of the caller, `[bits]`.
///
/// # Errors
/// [`Error::Length`](crate::Error::Length).
pub fn p_plus_into<'a>(codes: impl Into<CodesRef<'a>>, p: &mut [f64]) -> Result<()> {
    let codes = codes.into();
    check_per_column("probabilities", codes.bits(), p.len())?;
    write_p_plus(codes, p);
    Ok(())
}

fn write_p_plus(codes: CodesRef<'_>, p: &mut [f64]) {
    p.fill(0.0);
    cpu::codes::for_each_count(codes, &mut |j, ones| p[j] += f64::from(ones));
    p.iter_mut().for_each(|n| *n /= codes.rows() as f64);
}

/// Entropy of each bit, in bits.
///
/// # Errors
/// [`Error::TooLarge`](crate::Error::TooLarge).
pub fn bit_entropy<'a>(codes: impl Into<CodesRef<'a>>) -> Result<Vec<f64>> {
    let codes = codes.into();
    let mut entropy = p_plus(codes)?;
    entropy.iter_mut().for_each(|p| *p = binary_entropy(*p));
    Ok(entropy)
}

/// [`bit_entropy`] into a buffer of the caller, `[bits]`.
///
/// # Errors
/// [`Error::Length`](crate::Error::Length).
pub fn bit_entropy_into<'a>(codes: impl Into<CodesRef<'a>>, entropy: &mut [f64]) -> Result<()> {
    let codes = codes.into();
    p_plus_into(codes, entropy)?;
    entropy.iter_mut().for_each(|p| *p = binary_entropy(*p));
    Ok(())
}

/// Entropy of a bit that is +1 with probability `p`, in bits; 0 for NaN.
pub fn binary_entropy(p: f64) -> f64 {
    let surprise = |p: f64| if p > 0.0 { -p * p.log2() } else { 0.0 };
    surprise(p) + surprise(1.0 - p)
}

/// Mean over all pairs of bits of the absolute Pearson correlation, 0 (uncorrelated) to 1 (copies
/// or opposites).
///
/// A bit that never changes has no correlation; its pairs are left out. `None` when no pair is
/// left.
///
/// # Errors
/// [`Error::TooManyRows`](crate::Error::TooManyRows), [`Error::TooLarge`](crate::Error::TooLarge).
pub fn mean_abs_correlation<'a>(codes: impl Into<CodesRef<'a>>) -> Result<Option<f64>> {
    let codes = codes.into();
    let (rows, bits) = codes.shape();
    check_rows(rows)?;
    if rows == 0 || bits == 0 {
        return Ok(None);
    }
    let isa = cpu::simd::detected()?;
    let words = rows.div_ceil(WORD_BITS);
    let mut columns = zeros((bits, words))?;
    cpu::correlation::transpose(codes, &mut columns);
    let counts = ones(codes)?;
    let m = rows as f64;
    // M^2 times the variance of each bit.
    let spread = |n: u32| f64::from(n) * (m - f64::from(n));
    let mut common = zeros((1, bits))?;
    let (mut sum, mut pairs) = (0.0, 0u64);
    for (j, &ones) in counts.iter().enumerate() {
        let (row, others) = columns[j * words..].split_at(words);
        cpu::correlation::common(isa, row, others, &mut common);
        for (&both, &others) in common.iter().zip(&counts[j + 1..]) {
            let scale = spread(ones) * spread(others);
            if scale > 0.0 {
                let covariance = both as f64 * m - f64::from(ones) * f64::from(others);
                sum += (covariance / scale.sqrt()).abs();
                pairs += 1;
            }
        }
    }
    Ok((pairs > 0).then(|| sum / pairs as f64))
}

/// Number of different codes.
///
/// # Errors
/// [`Error::TooLarge`](crate::Error::TooLarge).
pub fn distinct<'a>(codes: impl Into<CodesRef<'a>>) -> Result<usize> {
    let codes = codes.into();
    if codes.bits() == 0 {
        return Ok(codes.rows().min(1));
    }
    let mut seen = HashSet::new();
    seen.try_reserve(codes.rows()).map_err(|_| too_large((codes.rows(), 1)))?;
    seen.extend((0..codes.rows()).map(|i| codes.row(i)));
    Ok(seen.len())
}

/// Counts of a matrix's values in equal bins, column by column.
///
/// Every value is counted exactly once, in a bin or in one of `below`, `above` and `nan`.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Lower end of the first bin.
    pub lo: f64,
    /// Upper end of the last bin.
    pub hi: f64,
    bins: usize,
    /// `[cols, bins]`
    counts: Vec<u64>,
    /// Values of each column below `lo`, -inf among them.
    pub below: Vec<u64>,
    /// Values of each column above `hi`, +inf among them.
    pub above: Vec<u64>,
    /// NaN in each column.
    pub nan: Vec<u64>,
}

impl Histogram {
    /// Empty bins for `cols` columns.
    ///
    /// # Errors
    /// [`Error::Parameter`](crate::Error::Parameter) when `lo` and `hi` are not finite with
    /// `lo < hi`, or `bins` is 0 or so many that `f64` does not tell their edges apart;
    /// [`Error::TooLarge`](crate::Error::TooLarge).
    pub fn new(cols: usize, lo: f64, hi: f64, bins: usize) -> Result<Self> {
        check_parameter("lo", lo, lo.is_finite(), "finite")?;
        check_parameter("hi", hi, (hi - lo).is_finite() && hi > lo, "finite and greater than lo")?;
        let farthest = lo.abs().max(hi.abs());
        let has_width = bins > 0 && (hi - lo) / bins as f64 >= farthest.next_up() - farthest;
        let expected = "at least 1, and few enough for f64 to tell the edges of a bin apart";
        check_parameter("bins", bins as f64, has_width, expected)?;
        let none = || zeros((1, cols));
        let (below, above, nan) = (none()?, none()?, none()?);
        Ok(Self { lo, hi, bins, counts: zeros((cols, bins))?, below, above, nan })
    }

    /// Adds the values of `U`; it allocates nothing.
    ///
    /// # Errors
    /// [`Error::Length`](crate::Error::Length) when `U` has another number of columns.
    pub fn add<T: Element>(&mut self, u: MatRef<'_, T>) -> Result<()> {
        check_per_column("the histogram", u.cols(), self.nan.len())?;
        let bins = self.spec();
        let Self { counts, below, above, nan, .. } = self;
        T::tally(cpu::simd::detected()?, u, bins, Tallies { counts, below, above, nan });
        Ok(())
    }

    /// Number of bins.
    pub fn bins(&self) -> usize {
        self.bins
    }

    /// Values of column `j` in each bin: bin `b` counts those with
    /// [`edge(b)`](Self::edge) `<= u < edge(b + 1)`, the last bin `hi` too.
    ///
    /// # Panics
    /// When there is no such column.
    pub fn column(&self, j: usize) -> &[u64] {
        &self.counts[j * self.bins..][..self.bins]
    }

    /// Lower end of a bin; of the number of bins, `hi` as far as rounding allows.
    pub fn edge(&self, bin: usize) -> f64 {
        self.spec().edge(bin as f64)
    }

    fn spec(&self) -> Bins {
        Bins { lo: self.lo, hi: self.hi, number: self.bins }
    }
}

/// The histogram of each column of `U` over `bins` equal bins from `lo` to `hi`.
///
/// # Errors
/// As [`Histogram::new`].
pub fn histogram<T: Element>(u: MatRef<'_, T>, lo: f64, hi: f64, bins: usize) -> Result<Histogram> {
    let mut histogram = Histogram::new(u.cols(), lo, hi, bins)?;
    histogram.add(u)?;
    Ok(histogram)
}

/// The optimal-transport cost of each column to its half-half target (Eq. 7):
/// `1/M * sum over i of (U[i, j] - B[i, j])^2` with `B` the Bi-half forward of `U`.
///
/// 0 exactly when the column already is half +1 and half -1; NaN for M = 0. For odd M the target
/// has floor(M / 2) times +1.
///
/// # Errors
/// [`Error::TooManyRows`](crate::Error::TooManyRows),
/// [`Error::InstructionSet`](crate::Error::InstructionSet).
pub fn transport_cost<T: Element>(u: MatRef<'_, T>) -> Result<Vec<f64>> {
    cpu::bihalf::check_rows(u.layout())?;
    let mut cost = zeros((1, u.cols()))?;
    transport_cost_into(u, &mut cost, &mut Workspace::new())?;
    Ok(cost)
}

/// [`transport_cost`] into a buffer of the caller, `[cols]`.
///
/// # Errors
/// As [`transport_cost`], and [`Error::Length`](crate::Error::Length).
pub fn transport_cost_into<T: Element>(
    u: MatRef<'_, T>,
    cost: &mut [f64],
    ws: &mut Workspace,
) -> Result<()> {
    cpu::bihalf::check_rows(u.layout())?;
    check_per_column("costs", u.cols(), cost.len())?;
    cpu::bihalf::transport_cost(cpu::simd::detected()?, u, cost, ws)
}
