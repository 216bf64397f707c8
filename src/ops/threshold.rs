//! Per-column thresholds for `sign(u + t)`: the batch median and its moving average.
//!
//! A baseline that balances bits without changing the layer: in training each batch is cut at its
//! own median, at inference at the exponential moving average (EMA) of the medians that training
//! saw. It is to the sign layer what running statistics are to batch normalisation.
//!
//! ```text
//! median[j]   the element of ascending rank ceil(M / 2) - 1 of column j
//! ema[j]      the first batch's median; then decay * ema[j] + (1 - decay) * median[j]
//! t[j]        -ema[j]:  sign(u + t) is +1 exactly where u > ema
//! ```
//!
//! - **Median**: the lower of the two middle elements for even M, as torch's `median`. Values above
//!   it are the upper half, so without ties `u > median` equals Bi-half's forward.
//! - **Ties** do not matter to a value. **-0** gives +0.
//! - **NaN** count as greatest; a median that is NaN or infinite is an error that names the column,
//!   and the average stays as it was. **M = 0** has no median and is an error.
//! - **Start**: the average begins with the first median, and not with 0 as some batch
//!   normalisations do; that is a choice of this crate, the paper does not say.
//! - **State** is kept in `f64` and rounded once, to the type that [`Threshold::shift`] is asked for.
//! - **Errors**: [`Error::NonFiniteMedian`], [`Error::Length`], [`Error::Parameter`],
//!   [`Error::TooManyRows`], [`Error::Parse`], [`Error::Io`].
//! - **On CUDA**: [`Backend::median_into`](crate::Backend::median_into) is the threshold of the
//!   kernels of [Bi-half](super::bi_half); the average is kept on the host.
//! - **Cost** on the CPU: O(M K) time on average; extra memory as for [Bi-half](super::bi_half).
//!
//! ```
//! use bihalf::{MatRef, Workspace, ops::{sign, threshold::Threshold}};
//!
//! let mut ws = Workspace::new();
//! let mut threshold = Threshold::new(1, 0.9)?;
//! threshold.update(MatRef::new(&[1.0f32, 2.0, 3.0, 4.0], 4, 1)?, &mut ws)?;
//! assert_eq!(threshold.shift::<f32>()?, [-2.0]);
//!
//! let mut saved = Vec::new();
//! threshold.save(&mut saved)?;
//! assert_eq!(Threshold::load(saved.as_slice())?, threshold);
//!
//! let u = MatRef::new(&[2.0f32, 2.5], 2, 1)?;
//! assert_eq!(sign::forward(u, Some(&threshold.shift()?))?, [-1.0, 1.0]);
//! # Ok::<(), bihalf::Error>(())
//! ```

use super::{check_parameter, check_per_column, check_rows};
use crate::memory::zeros;
use crate::{Element, Error, MatRef, Result, Workspace, cpu, memory};
use std::io::{BufRead, BufReader, Read, Write};

/// The lower median of each column into `out`, `[cols]`.
///
/// # Errors
/// [`Error::Length`]; [`Error::Parameter`] when there is no row; [`Error::TooManyRows`].
pub fn median_into<T: Element>(u: MatRef<'_, T>, out: &mut [T], ws: &mut Workspace) -> Result<()> {
    let k = check_median(u.shape(), out.len())?;
    cpu::bihalf::check_rows(u.layout())?;
    cpu::bihalf::kth_largest(cpu::simd::detected()?, u, k, out, ws)
}

/// The place of the median in descending order, counted from 1.
pub(crate) fn check_median((rows, cols): (usize, usize), out: usize) -> Result<usize> {
    check_rows(rows)?;
    check_parameter("rows", rows as f64, rows > 0, "at least 1 to have a median")?;
    check_per_column("medians", cols, out)?;
    // Ascending rank ceil(M / 2) - 1 is the (floor(M / 2) + 1)-th place in descending order.
    Ok(rows / 2 + 1)
}

/// The lower median of each column. See the [page](self).
///
/// # Errors
/// As [`median_into`].
pub fn median<T: Element>(u: MatRef<'_, T>) -> Result<Vec<T>> {
    check_median(u.shape(), u.cols())?;
    cpu::bihalf::check_rows(u.layout())?;
    let mut out = zeros((1, u.cols()))?;
    median_into(u, &mut out, &mut Workspace::new())?;
    Ok(out)
}

/// The moving average of the batch medians. See the [page](self).
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    decay: f64,
    batches: u64,
    ema: Vec<f64>,
}

impl Threshold {
    /// A threshold for `cols` columns that has seen no batch. `decay` is the weight of the past,
    /// from 0 (only the last batch counts) to below 1.
    ///
    /// # Errors
    /// [`Error::Parameter`] when `decay` is not in `0.0..1.0`; [`Error::TooLarge`].
    pub fn new(cols: usize, decay: f64) -> Result<Self> {
        check_parameter("decay", decay, (0.0..1.0).contains(&decay), "from 0 to below 1")?;
        Ok(Self { decay, batches: 0, ema: zeros((1, cols))? })
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.ema.len()
    }

    /// Weight of the past.
    pub fn decay(&self) -> f64 {
        self.decay
    }

    /// Batches seen.
    pub fn batches(&self) -> u64 {
        self.batches
    }

    /// The moving average, `[cols]`; zeros before the first batch.
    pub fn ema(&self) -> &[f64] {
        &self.ema
    }

    /// Takes in a batch and returns its medians, `[cols]` (in training this batch's own shift is
    /// their negative).
    ///
    /// # Errors
    /// See the [page](self); the average is untouched on error.
    pub fn update<T: Element>(&mut self, u: MatRef<'_, T>, ws: &mut Workspace) -> Result<Vec<T>> {
        check_per_column("the threshold", u.cols(), self.cols())?;
        check_median(u.shape(), u.cols())?;
        let mut medians = zeros((1, u.cols()))?;
        self.update_into(u, &mut medians, ws)?;
        Ok(medians)
    }

    /// [`update`](Self::update) with the medians into a buffer of the caller, `[cols]`.
    ///
    /// # Errors
    /// See the [page](self); the average is untouched on error. `medians` is written even when one
    /// of them is not finite, so that it can be looked at.
    pub fn update_into<T: Element>(
        &mut self,
        u: MatRef<'_, T>,
        medians: &mut [T],
        ws: &mut Workspace,
    ) -> Result<()> {
        check_per_column("the threshold", u.cols(), self.cols())?;
        median_into(u, medians, ws)?;
        if let Some(col) = medians.iter().position(|m| !m.to_f64().is_finite()) {
            return Err(Error::NonFiniteMedian { col, value: medians[col].to_f64() });
        }
        let decay = if self.batches == 0 { 0.0 } else { self.decay };
        for (ema, median) in self.ema.iter_mut().zip(&*medians) {
            *ema = decay * *ema + (1.0 - decay) * median.to_f64();
        }
        self.batches += 1;
        Ok(())
    }

    /// `t = -ema`, the shift of [`sign`](super::sign).
    ///
    /// # Errors
    /// [`Error::Parameter`] before the first batch: there is nothing to go by; and when `T` cannot
    /// hold an average: ask for a wider type then.
    pub fn shift<T: Element>(&self) -> Result<Vec<T>> {
        check_parameter("batches", 0.0, self.batches > 0, "at least 1: call update first")?;
        let mut shift = zeros((1, self.cols()))?;
        for (t, &ema) in shift.iter_mut().zip(&self.ema) {
            *t = T::from_f64(-ema);
            let (name, expected) = ("an average", "within the range of the shift's type");
            check_parameter(name, ema, t.to_f64().is_finite(), expected)?;
        }
        Ok(shift)
    }

    /// Writes the state as text: a header line, `decay`, `batches`, `cols`, the average of one
    /// column a line, and `end`. Numbers come back exactly.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, mut to: impl Write) -> Result<()> {
        writeln!(to, "{HEADER}\ndecay {:?}\nbatches {}", self.decay, self.batches)?;
        writeln!(to, "cols {}", self.cols())?;
        for ema in &self.ema {
            writeln!(to, "{ema:?}")?;
        }
        writeln!(to, "{END}")?;
        Ok(to.flush()?)
    }

    /// Reads what [`save`](Self::save) wrote. A file that has been cut anywhere is an error.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Parse`] naming the first line that is wrong.
    pub fn load(from: impl Read) -> Result<Self> {
        let mut lines = Lines { from: BufReader::new(from), number: 0 };
        lines.expect(HEADER)?;
        let decay: f64 = lines.number("decay ", "a number from 0 to below 1")?;
        let mut threshold = Self::new(0, decay).map_err(|e| lines.error(e.to_string()))?;
        threshold.batches = lines.number("batches ", "a whole number")?;
        let cols: usize = lines.number("cols ", "a whole number")?;
        for _ in 0..cols {
            let value: f64 = lines.number("", "a finite number")?;
            if !value.is_finite() {
                return Err(lines.error(format!("expected a finite number, found {value}")));
            }
            let len = threshold.ema.len();
            memory::push(&mut threshold.ema, value, (1, len + 1))?;
        }
        lines.expect(END)?;
        match lines.next()? {
            None => Ok(threshold),
            Some(text) => Err(lines.expected("nothing more", &text)),
        }
    }
}

const HEADER: &str = "bihalf-threshold 1";
const END: &str = "end";

struct Lines<R> {
    from: BufReader<R>,
    /// Of the last line.
    number: usize,
}

impl<R: Read> Lines<R> {
    /// Bytes of a line at the most, several times as many as [`Threshold::save`] writes: a file of
    /// another kind is not read into memory in search of a line's end.
    const LONGEST: u64 = 200;

    /// The next line without its end, if it is a whole one; none at the end of the file.
    fn next(&mut self) -> Result<Option<String>> {
        self.number += 1;
        let mut line = Vec::new();
        (&mut self.from).take(Self::LONGEST).read_until(b'\n', &mut line)?;
        let text = String::from_utf8_lossy(&line);
        match text.strip_suffix('\n') {
            Some(text) => Ok(Some(text.trim_end().to_owned())),
            None if line.is_empty() => Ok(None),
            None => Err(self.error(format!("expected a line's end after {text:?}"))),
        }
    }

    fn expect(&mut self, text: &str) -> Result<()> {
        match self.next()? {
            Some(line) if line == text => Ok(()),
            Some(line) => Err(self.expected(&format!("{text:?}"), &line)),
            None => Err(self.error(format!("expected {text:?}, found the end of the file"))),
        }
    }

    /// What stands behind `name`.
    fn number<V: std::str::FromStr>(&mut self, name: &str, what: &str) -> Result<V> {
        let expected = format!("{:?} and {what}", name.trim_end());
        let expected = if name.is_empty() { what } else { &expected };
        let Some(line) = self.next()? else {
            return Err(self.error(format!("expected {expected}, found the end of the file")));
        };
        let value = line.strip_prefix(name).and_then(|value| value.parse().ok());
        value.ok_or_else(|| self.expected(expected, &line))
    }

    fn expected(&self, expected: &str, found: &str) -> Error {
        self.error(format!("expected {expected}, found {found:?}"))
    }

    fn error(&self, message: String) -> Error {
        Error::Parse { line: self.number, message }
    }
}
