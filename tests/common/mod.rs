//! The runner: buffers with guards on any backend, shapes, and what a failure prints.

#[cfg(feature = "cuda")]
pub mod device;
pub mod naive;
pub mod patterns;

use bihalf::half::{bf16, f16};
use bihalf::{Backend, CodesMut, Element, Gamma, Matrix, PackedCodes, Scalar};
use patterns::{Pattern, Rng};
use std::fmt::Debug;

/// Calls a generic body, `fn body<B: Backend>(backend: &B)`, on every backend that is there.
macro_rules! on_each_backend {
    ($body:path) => {{
        #[cfg(not(feature = "cuda"))]
        $body(&bihalf::Cpu);
        #[cfg(feature = "cuda")]
        if !crate::common::device::only_cuda() {
            $body(&bihalf::Cpu);
        }
        #[cfg(feature = "cuda")]
        if let Some(cuda) = crate::common::device::cuda() {
            $body(&cuda);
        }
    }};
}

/// Calls a generic body, `fn body<T: Element, B: Backend>(backend: &B)`, for every element type on
/// every backend.
macro_rules! on_each_backend_and_type {
    ($body:ident) => {{
        fn all_types<B: bihalf::Backend>(backend: &B) {
            $body::<f32, B>(backend);
            $body::<f64, B>(backend);
            $body::<bihalf::half::f16, B>(backend);
            $body::<bihalf::half::bf16, B>(backend);
        }
        on_each_backend!(all_types)
    }};
}

pub(crate) use {on_each_backend, on_each_backend_and_type};

/// Rows around every edge: none, one, the smallest halves, a warp's 32 and its neighbours, 64 (two
/// to a lane), a size that is no multiple of anything, a power of two and the next, and one row
/// more than 4096.
pub const ROWS: [usize; 11] = [0, 1, 2, 31, 32, 33, 64, 100, 1024, 1025, 4097];

/// Columns around every edge: one, 7 and 8 (a byte of bits, a vector of eight), a warp's 32 and its
/// neighbours, 64 and 65 (a word of bits and the next), 100 and 257 (no multiples).
pub const COLS: [usize; 10] = [1, 7, 8, 31, 32, 33, 64, 65, 100, 257];

/// All rows with few columns and all columns with few rows.
pub fn shapes() -> impl Iterator<Item = (usize, usize)> {
    let narrow = ROWS.into_iter().flat_map(|rows| [0, 1, 3].map(|cols| (rows, cols)));
    let flat = COLS.into_iter().flat_map(|cols| [0, 1, 2, 33, 100].map(|rows| (rows, cols)));
    narrow.chain(flat)
}

/// The patterns to try on a shape with a type, numbered: all of them on a CPU or a device. The
/// emulator takes a thousand times as long as a device. There a fifth of them is tried, or a single
/// one on matrices above 3000 elements, another one for each shape and type: a kernel runs on many
/// shapes, and so meets many patterns. `BIHALF_TEST=long` leaves none out.
///
/// Further runs, which only try another schedule or capability, take a third of these each.
pub fn cases<'a, T: Element, B: Backend>(
    backend: &B,
    patterns: &'a [Pattern],
    (rows, cols): (usize, usize),
    seed: u64,
) -> impl Iterator<Item = (usize, Pattern)> + use<'a, T, B> {
    let every = match rows * cols {
        _ if !is_slow(backend) => 1,
        0..=3000 => patterns.len().min(5),
        _ => patterns.len(),
    };
    // By chance: what else a test varies with the number shall not go with the pattern.
    let first = Rng::new(4 * seed + T::DTYPE as u64).below(every);
    let chosen = patterns.iter().copied().enumerate().skip(first).step_by(every);
    #[cfg(feature = "cuda")]
    let run = device::further_run();
    #[cfg(not(feature = "cuda"))]
    let run: Option<usize> = None;
    let mine = move |at: usize| run.is_none_or(|run| (at + seed as usize + run).is_multiple_of(3));
    chosen.enumerate().filter(move |&(at, _)| mine(at)).map(|(_, case)| case)
}

/// Whether a backend takes too long for all cases.
fn is_slow<B: Backend>(backend: &B) -> bool {
    #[cfg(feature = "cuda")]
    if device::is_emulated(backend) {
        return !std::env::var("BIHALF_TEST").is_ok_and(|which| which == "long");
    }
    let _ = backend;
    false
}

/// Pulls, each with the factor of `U - B` on a matrix of this shape.
pub fn pulls((rows, cols): (usize, usize)) -> [(Gamma, f64); 3] {
    [
        (Gamma::new(6.0), 6.0 / (rows * cols) as f64),
        (Gamma::new(0.7).with_divisor(12.0), 0.7 / 12.0),
        (Gamma::new(0.0), 0.0),
    ]
}

/// How an input lies in memory.
#[derive(Clone, Copy, Debug)]
pub enum Lay {
    /// Row-major without gaps, at the start of its buffer.
    Dense,
    /// Row-major with three elements between rows, five before the first.
    Padded,
    /// Column-major with two elements between columns.
    Transposed,
    /// Row-major, each row at a multiple of 16 elements.
    Aligned,
    /// All columns are one (a column stride of 0), with an element between rows.
    OneColumn,
    /// All rows are one (a row stride of 0).
    OneRow,
}

/// Each element has a place of its own.
pub const LAYS: [Lay; 4] = [Lay::Dense, Lay::Padded, Lay::Transposed, Lay::Aligned];

/// The same and broadcast views, for values that [`Lay::fill`] gives.
pub const VIEWS: [Lay; 6] =
    [Lay::Dense, Lay::Padded, Lay::Transposed, Lay::Aligned, Lay::OneColumn, Lay::OneRow];

impl Lay {
    /// A dense row-major matrix of a pattern, as it looks through a view of this lay.
    pub fn fill<T: Element>(self, pattern: Pattern, shape: (usize, usize), seed: u64) -> Vec<T> {
        let (rows, cols) = shape;
        let mut dense: Vec<T> = pattern.fill(shape, seed);
        for (i, j) in (0..rows).flat_map(|i| (0..cols).map(move |j| (i, j))) {
            dense[i * cols + j] = match self {
                Self::OneColumn => dense[i * cols],
                Self::OneRow => dense[j],
                _ => dense[i * cols + j],
            };
        }
        dense
    }
}

/// Says something whether the test passes or not: the test runner holds back what `eprintln!` says.
#[cfg(any(feature = "cuda", target_arch = "x86_64"))]
pub fn say(what: &str) {
    use std::io::Write;
    writeln!(std::io::stderr(), "{what}").expect("standard error");
}

/// Tells what was being tested when a test panics.
pub struct Context(String);

impl Context {
    pub fn new<T: Element, B: Backend>(backend: &B, what: impl Debug) -> Self {
        Self(format!("backend {}, dtype {}, {what:?}", backend.name(), T::NAME))
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failing case: {}", self.0);
        }
    }
}

/// An input matrix on a backend. What lies between its rows is NaN, and nothing lies behind its last
/// element: the emulator knows where a buffer ends.
pub struct Input<B: Backend, T: Element> {
    buffer: B::Buffer<T>,
    shape: (usize, usize),
    lay: Lay,
}

const OFFSET: usize = 5;

/// Elements before the first and, at least, between rows of an aligned matrix.
const ALIGNED: usize = 16;

fn aligned_stride(cols: usize) -> usize {
    (cols + 1).next_multiple_of(ALIGNED)
}

impl<B: Backend, T: Element> Input<B, T> {
    pub fn new(backend: &B, dense: &[T], (rows, cols): (usize, usize), lay: Lay) -> Self {
        assert_eq!(dense.len(), rows * cols);
        let (row_stride, col_stride, offset) = Self::strides((rows, cols), lay);
        // Not every driver has buffers of nothing.
        let len = (offset + Self::span((rows, cols), lay)).max(1);
        let mut host = vec![T::from_f64(f64::NAN); len];
        for i in 0..rows {
            for j in 0..cols {
                host[offset + i * row_stride + j * col_stride] = dense[i * cols + j];
            }
        }
        Self { buffer: backend.upload(&host).unwrap(), shape: (rows, cols), lay }
    }

    fn strides((rows, cols): (usize, usize), lay: Lay) -> (usize, usize, usize) {
        match lay {
            Lay::Dense => (cols, 1, 0),
            Lay::Padded => (cols + 3, 1, OFFSET),
            Lay::Transposed => (1, rows + 2, 1),
            Lay::Aligned => (aligned_stride(cols), 1, ALIGNED),
            Lay::OneColumn => (2, 0, 1),
            Lay::OneRow => (0, 1, OFFSET),
        }
    }

    /// Elements from the first to the last one.
    fn span((rows, cols): (usize, usize), lay: Lay) -> usize {
        let (row_stride, col_stride, _) = Self::strides((rows, cols), lay);
        if rows * cols == 0 { 0 } else { (rows - 1) * row_stride + (cols - 1) * col_stride + 1 }
    }

    pub fn view(&self) -> Matrix<B::Slice<'_, T>> {
        let (rows, cols) = self.shape;
        let (row_stride, col_stride, offset) = Self::strides(self.shape, self.lay);
        let span = Self::span(self.shape, self.lay);
        let data = B::slice_of(&self.buffer, offset..offset + span);
        Matrix::with_strides(data, rows, cols, row_stride, col_stride).unwrap()
    }
}

/// Values that no operation writes.
pub trait Guard: Scalar {
    const GUARD: Self;
}

macro_rules! guards {
    ($($scalar:ty: $value:expr),* $(,)?) => {
        $(impl Guard for $scalar { const GUARD: Self = $value; })*
    };
}

guards! {
    f32: -77.25, f64: -77.25, f16: f16::from_f32_const(-77.25), bf16: bf16::from_f32_const(-77.0),
    i8: 77, u32: 0xdead_beef, u64: 0xdead_beef_dead_beef,
}

/// An output matrix on a backend with guard values before, between and behind its rows.
pub struct Guarded<B: Backend, T: Guard> {
    buffer: B::Buffer<T>,
    rows: usize,
    cols: usize,
    stride: usize,
    offset: usize,
}

impl<B: Backend, T: Guard> Guarded<B, T> {
    /// Filled with guard values.
    pub fn new(backend: &B, (rows, cols): (usize, usize)) -> Self {
        Self::with(backend, (rows, cols), (cols + 3, OFFSET), |_, _| T::GUARD)
    }

    /// With content, for operations in place.
    pub fn of(backend: &B, dense: &[T], (rows, cols): (usize, usize)) -> Self {
        Self::with(backend, (rows, cols), (cols + 3, OFFSET), |i, j| dense[i * cols + j])
    }

    /// With content, each row at a multiple of 16 elements.
    pub fn aligned(backend: &B, dense: &[T], (rows, cols): (usize, usize)) -> Self {
        let lay = (aligned_stride(cols), ALIGNED);
        Self::with(backend, (rows, cols), lay, |i, j| dense[i * cols + j])
    }

    fn with(
        backend: &B,
        (rows, cols): (usize, usize),
        (stride, offset): (usize, usize),
        value: impl Fn(usize, usize) -> T,
    ) -> Self {
        let mut host = vec![T::GUARD; offset + rows * stride + offset];
        for i in 0..rows {
            for j in 0..cols {
                host[offset + i * stride + j] = value(i, j);
            }
        }
        Self { buffer: backend.upload(&host).unwrap(), rows, cols, stride, offset }
    }

    pub fn view(&mut self) -> Matrix<B::SliceMut<'_, T>> {
        let Self { rows, cols, stride, offset, .. } = *self;
        let data = B::slice_of_mut(&mut self.buffer, offset..offset + rows * stride);
        Matrix::with_row_stride(data, rows, cols, stride).unwrap()
    }

    /// The matrix without gaps, after a look at the guards.
    pub fn take(&self, backend: &B) -> Vec<T> {
        let Self { rows, cols, stride, offset, .. } = *self;
        let host = backend.download(&self.buffer).unwrap();
        let mut dense = Vec::with_capacity(rows * cols);
        for (at, &value) in host.iter().enumerate() {
            let place = at.checked_sub(offset).map(|at| (at / stride, at % stride));
            match place {
                Some((i, j)) if i < rows && j < cols => dense.push(value),
                _ => assert_eq!(value, T::GUARD, "guard value overwritten at {at}"),
            }
        }
        dense
    }

    /// Nothing was written, neither to the matrix nor around it.
    pub fn assert_untouched(&self, backend: &B) {
        assert!(
            self.take(backend).into_iter().all(|value| value == T::GUARD),
            "output was written"
        );
    }
}

/// A guarded vector with one element for each column.
pub fn guarded_row<B: Backend, T: Guard>(backend: &B, cols: usize) -> Guarded<B, T> {
    Guarded::new(backend, (1, cols))
}

impl<B: Backend, T: Guard> Guarded<B, T> {
    /// The elements of a one-row matrix.
    pub fn vector(&mut self) -> B::SliceMut<'_, T> {
        let (cols, offset) = (self.cols, self.offset);
        B::slice_of_mut(&mut self.buffer, offset..offset + cols)
    }
}

/// Guarded packed codes; written words must cover the guards of their row, pad bits included.
pub struct GuardedCodes<B: Backend>(Guarded<B, u64>, usize, usize);

impl<B: Backend> GuardedCodes<B> {
    pub fn new(backend: &B, (rows, bits): (usize, usize)) -> Self {
        let words = rows * bits.div_ceil(64);
        Self(guarded_row(backend, words), rows, bits)
    }

    pub fn view(&mut self) -> PackedCodes<B::SliceMut<'_, u64>> {
        let (rows, bits) = (self.1, self.2);
        PackedCodes::new(self.0.vector(), rows, bits).unwrap()
    }

    /// The words, after a look at the guards.
    pub fn take(&self, backend: &B) -> Vec<u64> {
        self.0.take(backend)
    }

    pub fn assert_untouched(&self, backend: &B) {
        self.0.assert_untouched(backend);
    }
}

/// Packed codes on a backend.
pub struct InputCodes<B: Backend>(B::Buffer<u64>, usize, usize);

impl<B: Backend> InputCodes<B> {
    pub fn new(backend: &B, signs: &[f64], (rows, bits): (usize, usize)) -> Self {
        let mut words = naive::pack(signs, rows, bits);
        // Must compile to a host view as well: the public type for it.
        let _: CodesMut<'_> = PackedCodes::new(&mut words[..], rows, bits).unwrap();
        Self(backend.upload(&words).unwrap(), rows, bits)
    }

    pub fn view(&self) -> PackedCodes<B::Slice<'_, u64>> {
        PackedCodes::new(B::slice(&self.0), self.1, self.2).unwrap()
    }
}

/// The same value: equal bits of a number, or both NaN.
pub fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

/// A threshold of column `j`, which is canonical: +0, and one NaN.
#[track_caller]
pub fn assert_same_bits(got: f64, expected: f64, j: usize) {
    assert!(got.to_bits() == expected.to_bits(), "column {j}: {got:?}, expected {expected:?}");
}

/// All elements the same, NaN where NaN.
#[track_caller]
pub fn assert_same<T: Element>(got: &[T], expected: &[T]) {
    assert_eq!(got.len(), expected.len(), "number of elements");
    for (at, (&got, &expected)) in got.iter().zip(expected).enumerate() {
        assert!(same(got.to_f64(), expected.to_f64()), "element {at}: {got}, expected {expected}");
    }
}
