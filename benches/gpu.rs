//! Times of every operation on a GPU, as CSV on standard output.
//!
//! ```text
//! gpu [--tiny] [--seconds S] [--only OPERATION]       every operation, type and shape
//! gpu --variants [--tiny] [--seconds S]               Bi-half's forward by each kernel that can do
//! it gpu --once OPERATION ROWS COLS                      one call, for a profiler
//! ```
//!
//! A stream of its own, without event tracking. Up to 20 calls are captured in a graph, which is
//! replayed 5 times unmeasured and 30 times between two events. *cold* calls take turns with sets
//! of buffers that are together more than twice the second-level cache, as far as 20 can be; *warm*
//! ones all have the same. `host_us` is what a call without a graph costs the host. `bytes` are
//! what the operation must read and write at least, `gb_s` how fast it did.

// A benchmark needs no documentation of its own.
#![allow(missing_docs)]
#![expect(unsafe_code, reason = "graphs and event tracking are the caller's promise")]

#[path = "common/random.rs"]
mod random;

use bihalf::cuda::{Buffer, Cuda, DeviceMut, DeviceRef, Kernels, Workspace};
use bihalf::cudarc::driver::sys::{
    CUdevice_attribute, CUevent_flags, CUgraphInstantiate_flags, CUstreamCaptureMode,
};
use bihalf::half::{bf16, f16};
use bihalf::plan::{Asked, Kernel, bihalf_candidates};
use bihalf::{
    Backend, CodeMatrix, Element, Matrix, Ones, Operation, Order, Outputs, PackedCodes, Result, ops,
};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Features of the cosine loss.
const DIMS: usize = 512;
/// Neighbours of a search.
const NEAREST: usize = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Copy,
    Forward,
    ForwardPacked,
    Backward,
    BackwardPacked,
    Rank,
    Median,
    Sign,
    SignPacked,
    SignBackward,
    Relax,
    RelaxBackward,
    Unpack,
    Ones,
    Cosine,
    CosinePacked,
    CosinePackedBackward,
    EntropyPenalty,
    Nearest,
    Distances,
}

impl Op {
    const ALL: [Self; 20] = [
        Self::Copy,
        Self::Forward,
        Self::ForwardPacked,
        Self::Backward,
        Self::BackwardPacked,
        Self::Rank,
        Self::Median,
        Self::Sign,
        Self::SignPacked,
        Self::SignBackward,
        Self::Relax,
        Self::RelaxBackward,
        Self::Unpack,
        Self::Ones,
        Self::Cosine,
        Self::CosinePacked,
        Self::CosinePackedBackward,
        Self::EntropyPenalty,
        Self::Nearest,
        Self::Distances,
    ];

    fn name(self) -> String {
        format!("{self:?}")
    }

    /// Searches are of 64 bits: `rows` queries in `cols` items.
    fn searches(self) -> bool {
        matches!(self, Self::Nearest | Self::Distances)
    }

    /// Bytes that a call reads and writes at least, with elements of `t` bytes.
    fn bytes(self, (rows, cols): (usize, usize), t: usize) -> usize {
        let (dense, codes) = (rows * cols * t, rows * cols.div_ceil(64) * 8);
        match self {
            Self::Copy | Self::Forward | Self::Sign | Self::Relax => 2 * dense,
            Self::ForwardPacked | Self::SignPacked | Self::Unpack => dense + codes,
            Self::Backward => 4 * dense,
            Self::BackwardPacked => 3 * dense + codes,
            Self::Rank => dense + rows * cols * 4,
            Self::Median => dense + cols * t,
            Self::SignBackward | Self::RelaxBackward => 3 * dense,
            Self::Ones => codes + cols * 4,
            Self::Cosine => 2 * dense + rows * DIMS * t,
            Self::CosinePacked => codes + rows * DIMS * t,
            Self::CosinePackedBackward => 2 * dense + codes,
            Self::EntropyPenalty => 2 * dense,
            Self::Nearest => (rows + cols + rows * NEAREST) * 8,
            Self::Distances => (rows + cols) * 8 + rows * cols * 4,
        }
    }
}

/// What one call reads and writes.
struct Set<T> {
    u: Buffer<T>,
    b: Buffer<T>,
    grad: Buffer<T>,
    x: Buffer<T>,
    out: Buffer<T>,
    words: Buffer<u64>,
    numbers: [Buffer<u32>; 2],
    pair_grads: Buffer<f64>,
    loss: Buffer<f64>,
    ws: Workspace,
}

impl<T: Element> Set<T> {
    fn new(cuda: &Cuda, op: Op, (rows, cols): (usize, usize), data: &[T]) -> Result<Self> {
        use Op::*;
        let of = |is: bool, len: usize| -> Result<Buffer<T>> {
            let host: Vec<T> =
                data.iter().cycle().take(if is { len } else { 0 }).copied().collect();
            cuda.upload(&host)
        };
        let n = if op.searches() { 0 } else { rows * cols };
        let words = if op.searches() { rows + cols } else { rows * cols.div_ceil(64) };
        let host: Vec<u64> =
            (1..=words as u64).map(|i| i.wrapping_mul(0x9E37_79B9_7F4A_7C15)).collect();
        let found = match op {
            Nearest => rows * NEAREST,
            Distances => rows * cols,
            Rank => n,
            _ => cols,
        };
        let cosine = matches!(op, Cosine | CosinePacked | CosinePackedBackward);
        let ws = match op {
            Forward | ForwardPacked | Median => {
                cuda.workspace_for::<T>(Operation::Bihalf, rows, cols)
            }
            Rank => cuda.workspace_for::<T>(Operation::Rank, rows, cols),
            Nearest => cuda.search_workspace(rows, cols, 64, NEAREST),
            EntropyPenalty => cuda.workspace_for::<T>(Operation::EntropyPenalty, rows, cols),
            _ => cuda.workspace_for::<T>(Operation::Cosine, rows, 1),
        };
        Ok(Self {
            u: of(true, n)?,
            b: of(matches!(op, Copy | Backward | Cosine | EntropyPenalty), n)?,
            grad: of(matches!(op, Backward | BackwardPacked | SignBackward | RelaxBackward), n)?,
            x: of(cosine, rows * DIMS)?,
            out: cuda.unset(n.max(cols))?,
            words: cuda.upload(&host)?,
            numbers: [cuda.unset(found)?, cuda.unset(found)?],
            pair_grads: cuda.zeros(ops::loss::pair_grads_len(if cosine { rows } else { 0 }))?,
            loss: cuda.unset(1)?,
            ws: ws?,
        })
    }

    fn run(&mut self, cuda: &Cuda, op: Op, (rows, cols): (usize, usize)) -> Result<()> {
        let n = rows * cols;
        let dense = |buffer| Matrix::new(DeviceRef::from(buffer), rows, cols);
        let out = DeviceMut::from(self.out.slice_mut(..if op.searches() { 0 } else { n }));
        let out = || Matrix::new(out, rows, cols);
        let (bits, len) = if op.searches() { (64, rows) } else { (cols, rows) };
        let width = bits.div_ceil(64);
        let codes = |from: usize, rows: usize| {
            let words = self.words.slice(from * width..(from + rows) * width);
            PackedCodes::new(DeviceRef::from(words), rows, bits)
        };
        let pull = 6.0;
        match op {
            Op::Copy => {
                let copied = cuda.stream().memcpy_dtod(&*self.u, &mut *self.b);
                copied.map_err(|source| bihalf::Error::Driver { what: "copy", source })
            }
            Op::Forward => {
                let out = Outputs::none().dense(out()?);
                cuda.bihalf_forward_into(dense(&self.u)?, Ones::Half, out, &mut self.ws)
            }
            Op::ForwardPacked => {
                let codes = PackedCodes::new(DeviceMut::from(&mut self.words), rows, cols)?;
                let out = Outputs::none().codes(codes);
                cuda.bihalf_forward_into(dense(&self.u)?, Ones::Half, out, &mut self.ws)
            }
            Op::Backward => {
                let (u, b) = (dense(&self.u)?, CodeMatrix::Dense(dense(&self.b)?));
                cuda.bihalf_backward_into(u, b, pull, dense(&self.grad)?, out()?)
            }
            Op::BackwardPacked => {
                let (u, b) = (dense(&self.u)?, CodeMatrix::Packed(codes(0, len)?));
                cuda.bihalf_backward_into(u, b, pull, dense(&self.grad)?, out()?)
            }
            Op::Rank => {
                let out = Matrix::new(DeviceMut::from(&mut self.numbers[0]), rows, cols)?;
                cuda.rank_into(dense(&self.u)?, Order::Descending, out, &mut self.ws)
            }
            Op::Median => {
                let out = DeviceMut::from(self.out.slice_mut(..cols));
                cuda.median_into(dense(&self.u)?, out, &mut self.ws)
            }
            Op::Sign => {
                cuda.sign_forward_into(dense(&self.u)?, None, Outputs::none().dense(out()?))
            }
            Op::SignPacked => {
                let codes = PackedCodes::new(DeviceMut::from(&mut self.words), rows, cols)?;
                cuda.sign_forward_into(dense(&self.u)?, None, Outputs::none().codes(codes))
            }
            Op::SignBackward => {
                let (u, grad) = (dense(&self.u)?, dense(&self.grad)?);
                cuda.sign_backward_into(u, None, pull, grad, out()?)
            }
            Op::Relax => cuda.relax_forward_into(dense(&self.u)?, 1.0, out()?),
            Op::RelaxBackward => {
                cuda.relax_backward_into(dense(&self.u)?, 1.0, dense(&self.grad)?, out()?)
            }
            Op::Unpack => cuda.unpack_into(codes(0, len)?, out()?),
            Op::Ones => cuda.ones_into(codes(0, len)?, DeviceMut::from(&mut self.numbers[0])),
            Op::Cosine => {
                let x = Matrix::new(DeviceRef::from(&self.x), rows, DIMS)?;
                let loss = DeviceMut::from(&mut self.loss);
                cuda.cosine_with_grad_into(x, dense(&self.b)?, loss, out()?, &mut self.ws)
            }
            Op::CosinePacked => {
                let x = Matrix::new(DeviceRef::from(&self.x), rows, DIMS)?;
                let loss = DeviceMut::from(&mut self.loss);
                let pair_grads = DeviceMut::from(&mut self.pair_grads);
                cuda.cosine_packed_into(x, codes(0, len)?, loss, pair_grads, &mut self.ws)
            }
            Op::CosinePackedBackward => {
                let (u, pair_grads) = (dense(&self.u)?, DeviceRef::from(&self.pair_grads));
                cuda.cosine_packed_backward_into(u, codes(0, len)?, pair_grads, pull, out()?)
            }
            Op::EntropyPenalty => {
                let loss = DeviceMut::from(&mut self.loss);
                let b = dense(&self.b)?;
                cuda.entropy_penalty_with_grad_into(b, 1.0, loss, out()?, &mut self.ws)
            }
            Op::Nearest => {
                let [indices, distances] = self.numbers.each_mut().map(DeviceMut::from);
                let (queries, items) = (codes(0, rows)?, codes(rows, cols)?);
                cuda.nearest_into(queries, items, NEAREST, indices, distances, &mut self.ws)
            }
            Op::Distances => {
                let (queries, items) = (codes(0, rows)?, codes(rows, cols)?);
                let out = DeviceMut::from(&mut self.numbers[0]);
                cuda.distances_into(queries, items, out, &mut self.ws)
            }
        }
    }
}

struct Bench {
    cuda: Cuda,
    cache_bytes: usize,
    calls: usize,
    replays: usize,
    end: Instant,
}

/// Microseconds a call.
struct Times {
    quantiles: [f64; 3],
    host: f64,
}

impl Bench {
    fn new(options: &Options) -> Result<Self> {
        let cuda = Cuda::new(0)?;
        let context = cuda.kernels().context();
        // SAFETY: one stream uses all buffers.
        unsafe { context.disable_event_tracking() };
        let cache = context.attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE);
        let cache_bytes = cache.map_or(0, |bytes| bytes.max(0) as usize);
        let (calls, replays) = if options.tiny { (2, 2) } else { (20, 30) };
        let end = Instant::now() + options.time;
        eprintln!("{}", cuda.name());
        Ok(Self { cuda, cache_bytes, calls, replays, end })
    }

    /// Times of calls that take turns with as many sets.
    fn times<T: Element>(
        &self,
        cuda: &Cuda,
        (op, shape): (Op, (usize, usize)),
        sets: &mut [Set<T>],
    ) -> Result<Times> {
        const LONGEST: Duration = Duration::from_millis(10);
        let stream = cuda.stream();
        let driver = |source| bihalf::Error::Driver { what: "measure", source };
        sets.iter_mut().try_for_each(|set| set.run(cuda, op, shape))?;
        stream.synchronize().map_err(driver)?;
        let start = Instant::now();
        sets[0].run(cuda, op, shape)?;
        let host = start.elapsed().as_secs_f64() * 1e6;
        stream.synchronize().map_err(driver)?;
        // Long ones need no company.
        let once = start.elapsed().max(Duration::from_micros(1));
        let calls = (LONGEST.as_nanos() / once.as_nanos()).clamp(1, self.calls as u128) as usize;

        // SAFETY: the sets outlive the graph.
        let recording = unsafe { cuda.recording() };
        stream
            .begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)
            .map_err(driver)?;
        let recorded = (0..calls).try_for_each(|call| {
            let set = call % sets.len();
            sets[set].run(&recording, op, shape)
        });
        let graph = stream.end_capture(CUgraphInstantiate_flags(0)).map_err(driver)?;
        recorded?;
        let graph = graph.expect("calls were captured");
        let flags = Some(CUevent_flags::CU_EVENT_DEFAULT);
        let event = || stream.context().new_event(flags).map_err(driver);
        let (before, after) = (event()?, event()?);
        let mut times = Vec::new();
        for replay in 0..self.replays + 5 {
            before.record(stream).map_err(driver)?;
            graph.launch().map_err(driver)?;
            after.record(stream).map_err(driver)?;
            let milliseconds = before.elapsed_ms(&after).map_err(driver)?;
            if replay >= 5 {
                times.push(f64::from(milliseconds) * 1e3 / calls as f64);
            }
        }
        times.sort_by(f64::total_cmp);
        let quantile = |part: usize| times[(times.len() - 1) * part / 10];
        Ok(Times { quantiles: [quantile(5), quantile(1), quantile(9)], host })
    }

    /// Lines of one operation and shape, `label` behind its name.
    fn lines<T: Element>(
        &self,
        cuda: &Cuda,
        op: Op,
        shape: (usize, usize),
        label: &str,
    ) -> Result<()> {
        let bytes = op.bytes(shape, size_of::<T>());
        let what = format!("{}{label},{},{},{}", op.name(), T::NAME, shape.0, shape.1);
        if Instant::now() > self.end {
            eprintln!("{what}: SKIPPED: no time left");
            return Ok(());
        }
        let data = random::random::<T>(1 << 16);
        let most = (2 * self.cache_bytes).div_ceil(bytes.max(1)).clamp(1, self.calls);
        let sets = (0..most).map(|_| Set::new(cuda, op, shape, &data)).collect::<Result<Vec<_>>>();
        let mut sets = sets?;
        for (state, len) in [("cold", most), ("warm", 1)] {
            if state == "warm" && most == 1 {
                continue;
            }
            let Times { quantiles: [median, p10, p90], host } =
                self.times(cuda, (op, shape), &mut sets[..len])?;
            let rate = bytes as f64 / median / 1e3;
            println!("{what},{state},{median:.3},{p10:.3},{p90:.3},{host:.3},{bytes},{rate:.1}");
        }
        Ok(())
    }
}

const HEAD: &str = "operation,dtype,rows,cols,state,median_us,p10_us,p90_us,host_us,bytes,gb_s";

/// Shapes of matrices, and of searches.
fn shapes(op: Op, tiny: bool) -> &'static [(usize, usize)] {
    match (op.searches(), tiny) {
        (false, true) => &[(32, 64), (100, 33)],
        (true, true) => &[(2, 1000)],
        (true, false) => &[(1, 10_000_000), (100, 1_000_000), (1000, 100_000)],
        (false, false) => &[
            (32, 64),
            (1024, 64),
            (4096, 128),
            (32_768, 64),
            (65_536, 512),
            (1 << 20, 64),
            (4096, 512),
            (4096, 2048),
            (1 << 20, 8),
        ],
    }
}

fn every_operation(bench: &Bench, options: &Options) -> Result<()> {
    println!("{HEAD}");
    let wanted = |op: &Op| options.only.as_ref().is_none_or(|only| *only == op.name());
    for op in Op::ALL.into_iter().filter(wanted) {
        for &shape in shapes(op, options.tiny) {
            bench.lines::<f32>(&bench.cuda, op, shape, "")?;
        }
    }
    let reals = |op: &Op| wanted(op) && !op.searches() && !matches!(op, Op::Ones | Op::Copy);
    for op in Op::ALL.into_iter().filter(reals) {
        for &shape in shapes(op, options.tiny).iter().take(if options.tiny { 1 } else { 6 }).skip(1)
        {
            bench.lines::<f16>(&bench.cuda, op, shape, "")?;
            bench.lines::<bf16>(&bench.cuda, op, shape, "")?;
            bench.lines::<f64>(&bench.cuda, op, shape, "")?;
        }
    }
    Ok(())
}

/// The forward pass by each kernel that can do it, over numbers of columns.
fn every_variant(bench: &Bench, tiny: bool) -> Result<()> {
    println!("{HEAD}");
    let rows: &[usize] =
        if tiny { &[32, 100] } else { &[32, 64, 128, 256, 1024, 2048, 4096, 8192, 32_768] };
    let cols: &[usize] = if tiny { &[8] } else { &[8, 64, 512, 4096] };
    let limits = bench.cuda.kernels().limits();
    for &rows in rows {
        let of = (rows as u32, rows as u32 / 2);
        let kernels = bihalf_candidates(of, f32::DTYPE, Asked::Pairs, limits);
        for kernel in kernels.chain([Kernel::BihalfRadixEmit]) {
            let kernels: Kernels = bench.cuda.kernels().with_forward(kernel);
            let cuda = Cuda::on_stream(&kernels, bench.cuda.stream())?;
            for &cols in cols {
                bench.lines::<f32>(&cuda, Op::Forward, (rows, cols), &format!(":{kernel:?}"))?;
            }
        }
    }
    Ok(())
}

struct Options {
    tiny: bool,
    variants: bool,
    time: Duration,
    only: Option<String>,
    once: Option<(String, usize, usize)>,
}

/// Cargo adds `--bench`.
fn options() -> Option<Options> {
    let mut options =
        Options { tiny: false, variants: false, time: Duration::MAX / 4, only: None, once: None };
    options.time = Duration::from_secs(3600);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--bench" => {}
            "--tiny" => options.tiny = true,
            "--variants" => options.variants = true,
            "--seconds" => options.time = Duration::from_secs(arguments.next()?.parse().ok()?),
            "--only" => options.only = Some(arguments.next()?),
            "--once" => {
                let mut number = || arguments.next();
                let name = number()?;
                options.once = Some((name, number()?.parse().ok()?, number()?.parse().ok()?));
            }
            _ => return None,
        }
    }
    Some(options)
}

fn run(options: &Options) -> Result<()> {
    let bench = Bench::new(options)?;
    if let Some((name, rows, cols)) = &options.once {
        let op = Op::ALL.into_iter().find(|op| op.name() == *name);
        let op = op.ok_or(bihalf::Error::Length {
            what: "--once",
            why: "an operation's name, as the first column has it",
            expected: 1,
            got: 0,
        })?;
        let data = random::random::<f32>(1 << 16);
        let mut set = Set::new(&bench.cuda, op, (*rows, *cols), &data)?;
        set.run(&bench.cuda, op, (*rows, *cols))?;
        return bench.cuda.download(&set.loss).map(drop);
    }
    if options.variants {
        every_variant(&bench, options.tiny)
    } else {
        every_operation(&bench, options)
    }
}

fn main() -> ExitCode {
    let Some(options) = options() else {
        eprintln!(
            "usage: gpu [--tiny] [--seconds S] [--variants | --only OP | --once OP ROWS COLS]"
        );
        return ExitCode::from(2);
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gpu: {error}");
            ExitCode::FAILURE
        }
    }
}
