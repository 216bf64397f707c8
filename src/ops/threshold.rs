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
//! - **State** is kept in `f64` and rounded once, to the type that [`Threshold::shift`] is asked for.
//! - **Errors**: [`Error::NonFiniteMedian`], [`Error::Length`], [`Error::Parameter`],
//!   [`Error::TooManyRows`], [`Error::Parse`], [`Error::Io`].
//! - **On CUDA**: [`Backend::median_into`](crate::Backend::median_into) is the threshold of the
//!   kernels of [Bi-half](super::bihalf); the average is kept on the host.
//! - **Cost** on the CPU: O(M K) time on average; extra memory as for [Bi-half](super::bihalf).
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
//! assert_eq!(sign::forward_shifted(u, &threshold.shift()?)?, [-1.0, 1.0]);
//! # Ok::<(), bihalf::Error>(())
//! ```

use super::{allocate, check_parameter, check_per_column, check_rows};
use crate::{Element, Error, MatRef, Result, Workspace, cpu};
use std::io::{BufRead, BufReader, Read, Write};

/// The lower median of each column into `out`, `[cols]`.
///
/// # Errors
/// [`Error::Length`]; [`Error::Parameter`] when there is no row; [`Error::TooManyRows`].
pub fn median_into<T: Element>(u: MatRef<'_, T>, out: &mut [T], ws: &mut Workspace) -> Result<()> {
    let k = check_median(u.shape(), out.len())?;
    cpu::bihalf::check_rows(u.layout())?;
    cpu::bihalf::kth_largest(cpu::simd::detected()?, u, k, out, ws);
    Ok(())
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
    let mut out = allocate((1, u.cols()), T::default())?;
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

const MAGIC: &str = "bihalf-threshold 1";

impl Threshold {
    /// A threshold for `cols` columns that has seen no batch. `decay` is the weight of the past,
    /// from 0 (only the last batch counts) to below 1; 0.9 to 0.99 are usual.
    ///
    /// # Errors
    /// [`Error::Parameter`] when `decay` is not in `0.0..1.0`.
    pub fn new(cols: usize, decay: f64) -> Result<Self> {
        check_parameter("decay", decay, (0.0..1.0).contains(&decay), "from 0 to below 1")?;
        Ok(Self { decay, batches: 0, ema: vec![0.0; cols] })
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
        let mut medians = allocate((1, u.cols()), T::default())?;
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

    /// `t = -ema`, for [`sign::forward_shifted`](super::sign::forward_shifted).
    ///
    /// # Errors
    /// [`Error::Parameter`] before the first batch: there is nothing to go by.
    pub fn shift<T: Element>(&self) -> Result<Vec<T>> {
        check_parameter("batches", 0.0, self.batches > 0, "at least 1: call update first")?;
        Ok(self.ema.iter().map(|&m| T::from_f64(-m)).collect())
    }

    /// Writes the state as text: a header line, `decay`, `batches`, `cols`, and the average of one
    /// column a line. Numbers come back exactly.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, mut to: impl Write) -> Result<()> {
        writeln!(to, "{MAGIC}\ndecay {}\nbatches {}", self.decay, self.batches)?;
        writeln!(to, "cols {}", self.cols())?;
        for ema in &self.ema {
            writeln!(to, "{ema}")?;
        }
        Ok(to.flush()?)
    }

    /// Reads what [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Parse`] naming the first line that is wrong.
    pub fn load(from: impl Read) -> Result<Self> {
        let mut lines = Lines { lines: BufReader::new(from), number: 0 };
        let magic = lines.next("the header")?;
        if magic != MAGIC {
            return Err(lines.error(format!("expected {MAGIC:?}, found {magic:?}")));
        }
        let decay = lines.field("decay ")?;
        let batches = lines.field("batches ")?;
        let cols: usize = lines.field("cols ")?;
        let mut threshold = Self::new(0, decay).map_err(|e| lines.error(e.to_string()))?;
        threshold.batches = batches;
        for _ in 0..cols {
            let value: f64 = lines.field("")?;
            if !value.is_finite() {
                return Err(lines.error(format!("expected a finite number, found {value}")));
            }
            threshold.ema.push(value);
        }
        match lines.next("the end") {
            Err(Error::Parse { .. }) => Ok(threshold),
            Ok(text) => {
                Err(lines.error(format!("expected the end after {cols} columns, found {text:?}")))
            }
            Err(e) => Err(e),
        }
    }
}

struct Lines<R> {
    lines: BufReader<R>,
    number: usize,
}

impl<R: Read> Lines<R> {
    fn next(&mut self, what: &str) -> Result<String> {
        self.number += 1;
        let mut line = String::new();
        if self.lines.read_line(&mut line)? == 0 {
            return Err(self.error(format!("expected {what}, found the end of the file")));
        }
        Ok(line.trim_end().to_owned())
    }

    fn field<V: std::str::FromStr>(&mut self, name: &str) -> Result<V> {
        let expected = if name.is_empty() { "a number" } else { name.trim_end() };
        let line = self.next(expected)?;
        let value = line.strip_prefix(name).and_then(|value| value.parse().ok());
        value.ok_or_else(|| {
            self.error(format!("expected {expected:?} and a number, found {line:?}"))
        })
    }

    fn error(&self, message: String) -> Error {
        Error::Parse { line: self.number, message }
    }
}
