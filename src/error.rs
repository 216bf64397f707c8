//! The crate's one error type. Every message carries the offending numbers and the remedy.

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a call can refuse. Outputs are untouched when a call returns an error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The buffer behind a matrix view is too short for its shape and strides.
    #[error(
        "a {rows} x {cols} matrix with strides ({row_stride}, {col_stride}) spans {needed} \
         elements, but its buffer holds {got}; pass a longer buffer or a smaller shape"
    )]
    BufferTooShort {
        /// Rows of the view.
        rows: usize,
        /// Columns of the view.
        cols: usize,
        /// Elements from one row to the next.
        row_stride: usize,
        /// Elements from one column to the next.
        col_stride: usize,
        /// Elements that shape and strides span.
        needed: usize,
        /// Elements in the buffer.
        got: usize,
    },

    /// The buffer behind a dense matrix is longer or shorter than its shape.
    #[error(
        "a {rows} x {cols} matrix has {expected} elements, but its buffer holds {got}; check rows \
         and columns, or pass the start of a longer buffer to `prefix`"
    )]
    BufferLength {
        /// Rows of the matrix.
        rows: usize,
        /// Columns of the matrix, or words per row of packed codes.
        cols: usize,
        /// Elements of the matrix.
        expected: usize,
        /// Elements in the buffer.
        got: usize,
    },

    /// An array with gaps, with reversed elements, or column-major where it is to be written.
    #[error(
        "a {rows} x {cols} array with strides {strides:?} has gaps, is reversed, or is not \
         row-major where it is written; view the whole array and slice that view, or copy it \
         (`as_standard_layout`)"
    )]
    ArrayLayout {
        /// Rows of the array.
        rows: usize,
        /// Columns of the array.
        cols: usize,
        /// Elements from row to row and from column to column.
        strides: (isize, isize),
    },

    /// Rows of a new matrix differ in length.
    #[error(
        "row {row} has {got} elements, but the rows before it have {expected}; make them equal"
    )]
    RowLength {
        /// The row.
        row: usize,
        /// Elements of the rows before it.
        expected: usize,
        /// Its elements.
        got: usize,
    },

    /// The instruction set that the environment asks for is unknown, or this machine lacks it.
    #[error(
        "the environment variable {variable} is {value:?}; it can be {known} if the machine has the \
         instructions. Unset it to use the best there is"
    )]
    InstructionSet {
        /// The environment variable.
        variable: &'static str,
        /// What it says.
        value: String,
        /// What this build knows.
        known: &'static str,
    },

    /// Shape and strides do not fit in `usize`, or there is no memory for what follows from a
    /// shape.
    #[error(
        "a {rows} x {cols} matrix with strides ({row_stride}, {col_stride}), or what a call on \
         it needs, does not fit in memory; split it into smaller batches"
    )]
    TooLarge {
        /// Rows asked for.
        rows: usize,
        /// Columns asked for.
        cols: usize,
        /// Elements from one row to the next.
        row_stride: usize,
        /// Elements from one column to the next.
        col_stride: usize,
    },

    /// Rows of an output overlap.
    #[error(
        "an output of {cols} columns has row stride {row_stride}, so its rows overlap; \
         use a row stride of at least {cols}"
    )]
    OverlappingRows {
        /// Columns of the output.
        cols: usize,
        /// Row stride asked for.
        row_stride: usize,
    },

    /// Two matrices that belong together have different shapes.
    #[error(
        "{what} is {} x {}, but {} x {} is needed to match {like}",
        got.0, got.1, expected.0, expected.1
    )]
    Shape {
        /// The argument that does not fit.
        what: &'static str,
        /// The argument that it must match.
        like: &'static str,
        /// Rows and columns needed.
        expected: (usize, usize),
        /// Rows and columns given.
        got: (usize, usize),
    },

    /// A vector has the wrong number of elements.
    #[error("{what} has {got} elements, but {expected} are needed ({why})")]
    Length {
        /// The argument that does not fit.
        what: &'static str,
        /// What the number of elements follows from.
        why: &'static str,
        /// Elements needed.
        expected: usize,
        /// Elements given.
        got: usize,
    },

    /// An output that the operation does not write.
    #[error("{of} has no {what} to write; leave it out of the outputs")]
    NotAnOutput {
        /// The output.
        what: &'static str,
        /// The operation.
        of: &'static str,
    },

    /// More rows than a 32-bit rank can number.
    #[error("{rows} rows are more than the {max} that 32-bit row numbers reach; split the batch")]
    TooManyRows {
        /// Rows given.
        rows: usize,
        /// Greatest number of rows.
        max: usize,
    },

    /// More ones asked for than a column has rows.
    #[error("{count} ones asked for in columns of {rows} rows; ask for 0..={rows}")]
    TooManyOnes {
        /// Ones asked for.
        count: usize,
        /// Rows of the matrix.
        rows: usize,
    },

    /// A scalar parameter is outside its range.
    #[error("{name} = {value} is out of range; it must be {expected}")]
    Parameter {
        /// The parameter.
        name: &'static str,
        /// The value given.
        value: f64,
        /// The range in words.
        expected: &'static str,
    },

    /// A column's median is NaN or infinite, so it cannot enter a moving average.
    #[error(
        "the median of column {col} is {value}; clean or drop the non-finite values of this batch"
    )]
    NonFiniteMedian {
        /// The column.
        col: usize,
        /// Its median.
        value: f64,
    },

    /// A bit behind the last one of a row is set in imported codes.
    #[error(
        "row {row} has a bit set behind its {bits} bits; pad bits must be 0: check the number of \
         bits and the bit order (bit j is bit j % 8 of byte j / 8)"
    )]
    PadBits {
        /// The row.
        row: usize,
        /// Bits a row.
        bits: usize,
    },

    /// Text that is not a saved [`Threshold`](crate::ops::threshold::Threshold).
    #[error(
        "line {line} of a saved threshold: {message}; save the threshold anew, or restore the file"
    )]
    Parse {
        /// 1-based line.
        line: usize,
        /// What was expected and what was found.
        message: String,
    },

    /// More rows or columns than the 32-bit positions of CUDA kernels reach.
    #[error(
        "a {rows} x {cols} matrix has a side above {max}, which CUDA kernels cannot number; split it"
    )]
    TooLargeForCuda {
        /// Rows of the matrix.
        rows: usize,
        /// Columns of the matrix.
        cols: usize,
        /// Greatest number of either.
        max: usize,
    },

    /// A workspace on a device is too small for a call.
    #[error(
        "the workspace holds {got} bytes, but this call needs {needed}; ask for its size first"
    )]
    WorkspaceTooSmall {
        /// Bytes needed.
        needed: usize,
        /// Bytes held.
        got: usize,
    },

    /// CUDA was asked for where no driver is installed.
    #[error(
        "no CUDA driver: none of {names:?} can be loaded; install NVIDIA's driver, or run on the \
         CPU{}",
        if *has_kernels { "" } else { ". This binary was built without nvcc, so it has no kernels" }
    )]
    NoDriverLibrary {
        /// The libraries that were looked for.
        names: &'static [&'static str],
        /// Whether the binary has GPU kernels, that is, whether there was an nvcc to build them.
        has_kernels: bool,
    },

    /// There is no device of this number.
    #[error(
        "no CUDA device {ordinal}: the driver sees {count}; number them from 0, or run on the CPU"
    )]
    NoDevice {
        /// The device asked for.
        ordinal: usize,
        /// Devices there are.
        count: usize,
    },

    /// The crate was built without feature `cuda` or without nvcc, so there are no GPU kernels in this
    /// binary. It comes when kernels are loaded, so only where there is a driver and a device.
    #[error(
        "this binary has no GPU kernels: it was built without feature `cuda` or without nvcc; install \
         the CUDA toolkit, set NVCC or CUDA_HOME, and build with the feature"
    )]
    KernelsNotBuilt,

    /// A device buffer belongs to another context than the kernels.
    #[error(
        "{what} lies in another CUDA context (device {got}) than the kernels (device {expected})"
    )]
    OtherContext {
        /// The argument.
        what: &'static str,
        /// Device of the kernels' context.
        expected: usize,
        /// Device of the argument's context.
        got: usize,
    },

    /// A stream that stands for another one on each thread, so that no order holds.
    #[error(
        "{what} is of a thread's default stream, which is another one on each thread; make a stream \
         with `CudaContext::new_stream`, or use the context's default stream"
    )]
    PerThreadStream {
        /// The argument.
        what: &'static str,
    },

    /// A call on a stream that is captured in a CUDA graph.
    #[error("the stream is captured in a CUDA graph, so it cannot {what}; {remedy}")]
    Captured {
        /// What was to be done.
        what: &'static str,
        /// What to do instead.
        remedy: &'static str,
    },

    /// The device has not so much memory.
    #[error(
        "no room for {bytes} bytes on the device: {free} of its {total} are free; free buffers, or \
         split the batch"
    )]
    DeviceMemory {
        /// Bytes asked for.
        bytes: usize,
        /// Bytes that are free; in pieces, perhaps.
        free: usize,
        /// Bytes of the device.
        total: usize,
    },

    /// The kernels of this binary do not run on the device, or with the driver.
    #[cfg(feature = "cuda")]
    #[error(
        "the kernels were compiled for {built}, but the device is of compute capability {}.{} and the \
         driver of CUDA {}.{}: {source}; update the driver, or build with BIHALF_CUDA_ARCHS={}{}",
        capability.0, capability.1, driver.0, driver.1, capability.0, capability.1
    )]
    KernelsDoNotFit {
        /// Compute capability of the device.
        capability: (u32, u32),
        /// Release of CUDA that the driver knows.
        driver: (i32, i32),
        /// What the kernels were compiled for, and by what.
        built: &'static str,
        /// The driver's error.
        #[source]
        source: cudarc::driver::DriverError,
    },

    /// The CUDA driver refused a call.
    #[cfg(feature = "cuda")]
    #[error("the CUDA driver could not {what}: {source}")]
    Driver {
        /// What was to be done.
        what: &'static str,
        /// The driver's error.
        #[source]
        source: cudarc::driver::DriverError,
    },

    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl Error {
    /// Whether there is no CUDA to run on, for whatever reason: no driver, no such device, a binary
    /// without kernels, or a device that they were not compiled for. A program may then go on with
    /// the CPU, as [`cuda_or_cpu!`](crate::cuda_or_cpu) does.
    pub fn is_cuda_unavailable(&self) -> bool {
        #[cfg(feature = "cuda")]
        if matches!(self, Self::KernelsDoNotFit { .. }) {
            return true;
        }
        matches!(self, Self::NoDriverLibrary { .. } | Self::NoDevice { .. } | Self::KernelsNotBuilt)
    }
}
