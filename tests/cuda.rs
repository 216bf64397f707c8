//! Promises of the CUDA backend alone.

#![allow(unsafe_code)]

use crate::common::patterns::{Pattern, Rng};
use crate::common::*;
use crate::search::{Data, codes, ranking};
use bihalf::cuda::{self, Buffer, Cuda, DeviceMut, DeviceRef, Kernels, Workspace};
use bihalf::cudarc::driver::sys::{self, CUgraphInstantiate_flags, CUstreamCaptureMode};
use bihalf::cudarc::driver::{CudaContext, DevicePtr, DevicePtrMut};
use bihalf::ops::retrieval::{ClassLabels, LabelledCodes};
use bihalf::plan::Kernel;
use bihalf::{
    Backend, CodeMatrix, Element, Error, Gamma, Matrix, Ones, Order, Outputs, PackedCodes, Storage,
    cuda_or_cpu, ops,
};
use std::sync::Arc;

/// The backend, or the end of the test where there is none, which has then been said.
macro_rules! need_cuda {
    () => {
        match device::cuda() {
            Some(cuda) => cuda,
            None => return,
        }
    };
}

fn as_f64<T: Element>(values: Vec<T>) -> Vec<f64> {
    values.into_iter().map(T::to_f64).collect()
}

/// README's example is the one that is compiled and run with the documentation.
#[test]
fn readme_shows_the_example_of_the_module() {
    let documented =
        include_str!("../src/cuda/mod.rs").lines().map_while(|l| l.strip_prefix("//!"));
    let documented: Vec<&str> =
        documented.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    let example = documented.split(|line| line.starts_with("```")).nth(1).unwrap().join("\n");
    assert!(example.contains("cuda_or_cpu!(0"), "{example}");
    let shown = format!("```rust\n{example}\n```");
    assert!(include_str!("../README.md").contains(&shown), "README's example is not\n{shown}");
}

#[test]
fn forms_that_allocate_equal_the_oracle() {
    let cuda = need_cuda!();
    for (rows, cols) in [(0, 3), (33, 7), (100, 65)] {
        let u: Vec<f32> = Pattern::FewDistinct.fill((rows, cols), 1);
        let grad: Vec<f32> = Pattern::Random.fill((rows, cols), 2);
        let (u_in, grad_in) = (cuda.upload(&u).unwrap(), cuda.upload(&grad).unwrap());
        let view = || Matrix::new(DeviceRef::from(&u_in), rows, cols).unwrap();
        let expected = naive::bihalf(&u, rows, cols, rows / 2);

        let b = cuda.bihalf_forward(view(), Ones::Half).unwrap();
        assert_eq!(as_f64(cuda.download(&b).unwrap()), expected);
        let words = cuda.bihalf_forward_packed(view(), Ones::Half).unwrap();
        assert_eq!(cuda.download(&words).unwrap(), naive::pack(&expected, rows, cols));

        let b = CodeMatrix::Dense(Matrix::new(DeviceRef::from(&b), rows, cols).unwrap());
        let grad_view = Matrix::new(DeviceRef::from(&grad_in), rows, cols).unwrap();
        let du =
            cuda.bihalf_backward(view(), b, Gamma::new(0.5).with_divisor(8.0), grad_view).unwrap();
        let pulled = naive::pull(&u, &expected, &grad, 0.5 / 8.0);
        assert_same(&cuda.download(&du).unwrap(), &pulled);

        let expected = naive::sign(&u, cols, None);
        let b = cuda.sign_forward(view(), None).unwrap();
        assert_eq!(as_f64(cuda.download(&b).unwrap()), expected);
        let words = cuda.sign_forward_packed(view(), None).unwrap();
        assert_eq!(cuda.download(&words).unwrap(), naive::pack(&expected, rows, cols));

        let expected = naive::rank(&u, rows, cols, true);
        let ranks = cuda.rank(view(), Order::Descending).unwrap();
        assert_eq!(cuda.download(&ranks).unwrap(), expected);
        let sorted = cuda.argsort(view(), Order::Descending).unwrap();
        assert_eq!(cuda.download(&sorted).unwrap(), naive::argsort(&expected, cols));
        let y = cuda.relax_forward(view(), 2.0).unwrap();
        for (y, u) in cuda.download(&y).unwrap().into_iter().zip(&u) {
            approx::assert_relative_eq!(y, (2.0 * u).tanh(), max_relative = 1e-6);
        }
    }
}

/// A buffer with a view of a batch inside: five elements before it, three between its rows.
struct Padded {
    rows: usize,
    cols: usize,
}

impl Padded {
    const OFFSET: usize = 5;

    fn stride(&self) -> usize {
        self.cols + 3
    }

    fn host(&self, dense: &[f32]) -> Vec<f32> {
        let mut host = vec![f32::NAN; Self::OFFSET + self.rows * self.stride()];
        for (i, row) in dense.chunks(self.cols).enumerate() {
            let at = Self::OFFSET + i * self.stride();
            host[at..at + self.cols].copy_from_slice(row);
        }
        host
    }

    fn matrix<S: Storage>(&self, data: S) -> Matrix<S> {
        Matrix::with_row_stride(data, self.rows, self.cols, self.stride()).unwrap()
    }
}

#[test]
fn slices_views_and_raw_addresses_are_the_same_memory() {
    let cuda = need_cuda!();
    let shape = Padded { rows: 40, cols: 33 };
    let dense: Vec<f32> = Pattern::WithNan.fill((40, 33), 3);
    let expected = naive::bihalf(&dense, 40, 33, 20);
    let u = cuda.upload(&shape.host(&dense)).unwrap();
    let mut ws = cuda.workspace::<f32>(40, 33).unwrap();

    let mut of_view = cuda.zeros::<f32>(40 * 33).unwrap();
    let out = Matrix::new(DeviceMut::from(of_view.slice_mut(..)), 40, 33).unwrap();
    let view = shape.matrix(DeviceRef::from(u.slice(Padded::OFFSET..)));
    cuda.bihalf_forward_into(view, Ones::Half, Outputs::none().dense(out), &mut ws).unwrap();
    assert_eq!(as_f64(cuda.download(&of_view).unwrap()), expected);

    let mut of_raw = cuda.zeros::<f32>(40 * 33).unwrap();
    {
        let (from, _from) = u.device_ptr(cuda.stream());
        let (to, _to) = of_raw.device_ptr_mut(cuda.stream());
        let from = from + (Padded::OFFSET * size_of::<f32>()) as u64;
        // SAFETY: addresses within two buffers of this context that outlive the download below.
        let (from, to) = unsafe {
            (DeviceRef::<f32>::from_raw(from, 40 * 36), DeviceMut::from_raw(to, 40 * 33))
        };
        let out = Outputs::none().dense(Matrix::new(to, 40, 33).unwrap());
        let view = shape.matrix(from);
        cuda.bihalf_forward_into(view, Ones::Half, out, &mut ws).unwrap();
    }
    assert_eq!(as_f64(cuda.download(&of_raw).unwrap()), expected);
}

#[test]
fn work_on_two_streams_keeps_the_order_of_its_buffers() {
    let first = need_cuda!();
    let second = need_cuda!();
    assert_ne!(first.stream().cu_stream(), second.stream().cu_stream());
    let (rows, cols) = (70, 40);
    let mut b = first.zeros::<f32>(rows * cols).unwrap();
    let mut ws = first.workspace::<f32>(rows, cols).unwrap();
    for seed in 0..3 {
        let u: Vec<f32> = Pattern::FewDistinct.fill((rows, cols), seed);
        let grad: Vec<f32> = Pattern::Random.fill((rows, cols), seed + 10);
        let u_in = first.upload(&u).unwrap();
        let mut du = second.upload(&grad).unwrap();
        let view = || Matrix::new(DeviceRef::from(&u_in), rows, cols).unwrap();

        // The second stream reads what the first one writes, and the first one then overwrites it.
        let out = Outputs::none().dense(Matrix::new(DeviceMut::from(&mut b), rows, cols).unwrap());
        first.bihalf_forward_into(view(), Ones::Half, out, &mut ws).unwrap();
        let signs = CodeMatrix::Dense(Matrix::new(DeviceRef::from(&b), rows, cols).unwrap());
        let grad_view = Matrix::new(DeviceMut::from(&mut du), rows, cols).unwrap();
        second
            .bihalf_backward_in_place(view(), signs, Gamma::new(1.0).with_divisor(4.0), grad_view)
            .unwrap();
        let out = Outputs::none().dense(Matrix::new(DeviceMut::from(&mut b), rows, cols).unwrap());
        first.sign_forward_into(view(), None, out).unwrap();

        let expected = naive::bihalf(&u, rows, cols, rows / 2);
        assert_same(&second.download(&du).unwrap(), &naive::pull(&u, &expected, &grad, 0.25));
        assert_eq!(as_f64(first.download(&b).unwrap()), naive::sign(&u, cols, None));
    }
}

#[test]
fn one_workspace_serves_every_operation_and_a_small_one_is_refused() {
    let cuda = need_cuda!();
    let mut ws = cuda.workspace::<f64>(4100, 2).unwrap();
    for (rows, cols) in [(4100, 2), (3, 2), (600, 2), (4100, 1)] {
        let u: Vec<f64> = Pattern::FewDistinct.fill((rows, cols), 4);
        let input = Input::new(&cuda, &u, (rows, cols), Lay::Dense);
        let mut ranks = Guarded::<_, u32>::new(&cuda, (rows, cols));
        cuda.rank_into(input.view(), Order::Ascending, ranks.view(), &mut ws).unwrap();
        assert_eq!(ranks.take(&cuda), naive::rank(&u, rows, cols, false));
        let mut codes = GuardedCodes::new(&cuda, (rows, cols));
        let out = Outputs::none().codes(codes.view());
        cuda.bihalf_forward_into(input.view(), Ones::Half, out, &mut ws).unwrap();
        let expected = naive::bihalf(&u, rows, cols, rows / 2);
        assert_eq!(codes.take(&cuda), naive::pack(&expected, rows, cols));
    }

    let mut small = Workspace::new(cuda.stream(), 64).unwrap();
    let u: Vec<f64> = Pattern::Random.fill((4100, 2), 4);
    let input = Input::new(&cuda, &u, (4100, 2), Lay::Dense);
    let mut ranks = Guarded::<_, u32>::new(&cuda, (4100, 2));
    let error =
        cuda.rank_into(input.view(), Order::Ascending, ranks.view(), &mut small).unwrap_err();
    assert!(matches!(error, Error::WorkspaceTooSmall { got: 64, .. }), "{error}");
    ranks.assert_untouched(&cuda);
    let needed = cuda::workspace_bytes::<f64>(4100, 2, cuda.kernels().limits()).unwrap();
    assert_eq!(ws.bytes(), needed);
}

#[test]
fn shapes_beyond_32_bits_are_refused() {
    let cuda = need_cuda!();
    let (u, mut out) = (cuda.zeros::<f32>(1).unwrap(), cuda.zeros::<f32>(1).unwrap());
    let tall = Matrix::with_strides(DeviceRef::from(&u), 1 << 33, 0, 1, 1).unwrap();
    let out = Matrix::with_row_stride(DeviceMut::from(&mut out), 1 << 33, 0, 1).unwrap();
    let error = cuda.relax_forward_into(tall, 1.0, out).unwrap_err();
    assert!(matches!(error, Error::TooLargeForCuda { .. }), "{error}");
}

/// In a process of its own, for event tracking is a setting of the context that all tests share.
#[test]
fn a_captured_graph_replays_on_new_data() {
    if !device::is_alone("cuda::a_captured_graph_replays_on_new_data") {
        return;
    }
    let cuda = need_cuda!();
    // SAFETY: one stream, so there is nothing that events would order.
    unsafe { cuda.stream().context().disable_event_tracking() };
    let (rows, cols) = (100, 33);
    let mut u = cuda.zeros::<f32>(rows * cols).unwrap();
    let mut b = cuda.zeros::<f32>(rows * cols).unwrap();
    let mut du = cuda.zeros::<f32>(rows * cols).unwrap();
    let mut ranks = cuda.zeros::<u32>(rows * cols).unwrap();
    let mut counts = cuda.zeros::<u32>(cols).unwrap();
    let mut ws = cuda.workspace::<f32>(rows, cols).unwrap();

    // SAFETY: buffers and workspace outlive the graph, and one stream uses them.
    let cuda = unsafe { cuda.recording() };
    let stream = cuda.stream();
    stream.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL).unwrap();
    let view = || Matrix::new(DeviceRef::from(&u), rows, cols).unwrap();
    let out = Outputs::none()
        .dense(Matrix::new(DeviceMut::from(&mut b), rows, cols).unwrap())
        .counts(DeviceMut::from(&mut counts));
    cuda.bihalf_forward_into(view(), Ones::Fraction(0.3), out, &mut ws).unwrap();
    let signs = CodeMatrix::Dense(Matrix::new(DeviceRef::from(&b), rows, cols).unwrap());
    let out = Matrix::new(DeviceMut::from(&mut du), rows, cols).unwrap();
    cuda.bihalf_backward_into(view(), signs, Gamma::new(1.0).with_divisor(2.0), view(), out)
        .unwrap();
    let out = Matrix::new(DeviceMut::from(&mut ranks), rows, cols).unwrap();
    cuda.rank_into(view(), Order::Ascending, out, &mut ws).unwrap();
    let graph = stream.end_capture(CUgraphInstantiate_flags(0)).unwrap().expect("a graph");

    for seed in 1..4 {
        let host: Vec<f32> = Pattern::FewDistinct.fill((rows, cols), seed);
        stream.memcpy_htod(&host, &mut *u).unwrap();
        graph.launch().unwrap();
        let expected = naive::bihalf(&host, rows, cols, 30);
        assert_eq!(as_f64(cuda.download(&b).unwrap()), expected);
        let pulled = naive::pull(&host, &expected, &host, 0.5);
        assert_same(&cuda.download(&du).unwrap(), &pulled);
        assert_eq!(cuda.download(&ranks).unwrap(), naive::rank(&host, rows, cols, false));
        assert_eq!(cuda.download(&counts).unwrap(), vec![30; cols]);
    }
}

/// In a process of its own, as above.
#[test]
fn a_captured_search_replays_on_new_codes() {
    if !device::is_alone("cuda::a_captured_search_replays_on_new_codes") {
        return;
    }
    let cuda = need_cuda!();
    // SAFETY: one stream, so there is nothing that events would order.
    unsafe { cuda.stream().context().disable_event_tracking() };
    let (rows, items, bits, k) = (3, 5000, 40, 7);
    let mut queries = cuda.zeros::<u64>(rows).unwrap();
    let mut database = cuda.zeros::<u64>(items).unwrap();
    let mut indices = cuda.zeros::<u32>(rows * k).unwrap();
    let mut distances = cuda.zeros::<u32>(rows * k).unwrap();
    let mut ws = cuda.search_workspace(rows, items, bits, k).unwrap();

    // SAFETY: as above.
    let cuda = unsafe { cuda.recording() };
    let stream = cuda.stream();
    stream.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL).unwrap();
    let q = PackedCodes::new(DeviceRef::from(&queries), rows, bits).unwrap();
    let d = PackedCodes::new(DeviceRef::from(&database), items, bits).unwrap();
    let (i, f) = (DeviceMut::from(&mut indices), DeviceMut::from(&mut distances));
    cuda.nearest_into(q, d, k, i, f, &mut ws).unwrap();
    let graph = stream.end_capture(CUgraphInstantiate_flags(0)).unwrap().expect("a graph");

    for (seed, data) in (1..).zip([Data::Random, Data::FewBits, Data::TwoCodes]) {
        let rng = &mut Rng::new(seed);
        let (q, d) = (codes(Data::Random, rows, bits, rng), codes(data, items, bits, rng));
        stream.memcpy_htod(q.as_ref().words(), &mut *queries).unwrap();
        stream.memcpy_htod(d.as_ref().words(), &mut *database).unwrap();
        graph.launch().unwrap();
        let (indices, distances) = (cuda.download(&indices), cuda.download(&distances));
        let found = distances.unwrap().into_iter().zip(indices.unwrap());
        let expected = (0..rows).flat_map(|n| ranking(q.as_ref(), n, d.as_ref())[..k].to_vec());
        assert!(found.eq(expected), "{data:?}");
    }
}

/// A training step from packed codes: forward, loss, backward.
struct Step {
    u: Buffer<f32>,
    x: Buffer<f32>,
    words: Buffer<u64>,
    pair_grads: Buffer<f64>,
    loss: Buffer<f64>,
    du: Buffer<f32>,
    ws: Workspace,
}

impl Step {
    const ROWS: usize = 33;
    const COLS: usize = 65;
    const DIMS: usize = 12;

    fn new(cuda: &Cuda) -> Self {
        let (m, k) = (Self::ROWS, Self::COLS);
        Self {
            u: cuda.zeros(m * k).unwrap(),
            x: cuda.zeros(m * Self::DIMS).unwrap(),
            words: cuda.zeros(m * k.div_ceil(64)).unwrap(),
            pair_grads: cuda.zeros(ops::loss::pair_grads_len(m)).unwrap(),
            loss: cuda.zeros(1).unwrap(),
            du: cuda.zeros(m * k).unwrap(),
            ws: cuda.workspace::<f32>(m, k).unwrap(),
        }
    }

    /// Another batch.
    fn fill(&mut self, cuda: &Cuda, seed: u64) {
        let (u, x) = Self::batch(seed);
        cuda.stream().memcpy_htod(&u, &mut *self.u).unwrap();
        cuda.stream().memcpy_htod(&x, &mut *self.x).unwrap();
    }

    fn batch(seed: u64) -> (Vec<f32>, Vec<f32>) {
        let u = Pattern::FewDistinct.fill((Self::ROWS, Self::COLS), seed);
        (u, Pattern::Random.fill((Self::ROWS, Self::DIMS), seed + 1))
    }

    fn run(&mut self, cuda: &Cuda) {
        let (m, k) = (Self::ROWS, Self::COLS);
        let u = || Matrix::new(DeviceRef::from(&self.u), m, k).unwrap();
        let x = Matrix::new(DeviceRef::from(&self.x), m, Self::DIMS).unwrap();
        let codes = PackedCodes::new(DeviceMut::from(&mut self.words), m, k).unwrap();
        let out = Outputs::none().codes(codes);
        cuda.bihalf_forward_into(u(), Ones::Half, out, &mut self.ws).unwrap();
        let codes = || PackedCodes::new(DeviceRef::from(&self.words), m, k).unwrap();
        let loss = DeviceMut::from(&mut self.loss);
        let pair_grads = DeviceMut::from(&mut self.pair_grads);
        cuda.cosine_packed_into(x, codes(), loss, pair_grads, &mut self.ws).unwrap();
        let pair_grads = DeviceRef::from(&self.pair_grads);
        let du = Matrix::new(DeviceMut::from(&mut self.du), m, k).unwrap();
        cuda.cosine_packed_backward_into(u(), codes(), pair_grads, 6.0, du).unwrap();
    }

    /// Against the host, whose sums have another order.
    #[track_caller]
    fn assert_is_of(&self, cuda: &Cuda, seed: u64) {
        let (m, k) = (Self::ROWS, Self::COLS);
        let (u, x) = Self::batch(seed);
        let b = naive::bihalf(&u, m, k, m / 2);
        assert_eq!(cuda.download(&self.words).unwrap(), naive::pack(&b, m, k));
        let expected =
            naive::cosine_loss(&naive::rows_of(&x, m, Self::DIMS), &naive::rows_of(&b, m, k));
        let loss = cuda.download(&self.loss).unwrap()[0];
        assert!((loss - expected).abs() <= 1e-12 * expected, "{loss}, expected {expected}");
        let pair_grads = cuda.download(&self.pair_grads).unwrap();
        let grad = naive::of_pair_grads(&b, &pair_grads, m, k);
        let expected = naive::pull(&u, &b, &grad, 6.0 / (m * k) as f64);
        assert_same(&cuda.download(&self.du).unwrap(), &expected);
    }
}

/// On the emulator, which writes down every launch.
#[test]
fn a_training_step_from_packed_codes_is_three_launches() {
    if device::is_child() {
        let cuda = need_cuda!();
        let mut step = Step::new(&cuda);
        step.fill(&cuda, 1);
        step.run(&cuda);
        step.assert_is_of(&cuda, 1);
        return;
    }
    let Some(cuda) = device::cuda() else { return };
    if !device::is_emulated(&cuda) {
        device::say("a_training_step_...: SKIPPED: only the emulator counts launches");
        return;
    }
    let file = format!("{}/step-{}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    device::child(
        "cuda::a_training_step_from_packed_codes_is_three_launches",
        &[("CUDAEMU_STATS", &file)],
    );
    let launches = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    let name = |line: &str| line.split("\"kernel\":\"").nth(1).map(|rest| rest.to_owned());
    let names: Vec<String> = launches.lines().filter_map(name).collect();
    let expected = ["bihalf_", "cosine_packed\"", "cosine_backward_f32\""];
    assert_eq!(names.len(), expected.len(), "{launches}");
    for (name, expected) in names.iter().zip(expected) {
        assert!(name.starts_with(expected), "{name}, expected {expected}");
    }
}

/// In a process of its own, as the other capture.
#[test]
fn a_captured_training_step_replays_on_new_data() {
    if !device::is_alone("cuda::a_captured_training_step_replays_on_new_data") {
        return;
    }
    let cuda = need_cuda!();
    // SAFETY: one stream, so there is nothing that events would order.
    unsafe { cuda.stream().context().disable_event_tracking() };
    let mut step = Step::new(&cuda);
    // SAFETY: as above.
    let cuda = unsafe { cuda.recording() };
    let stream = cuda.stream();
    stream.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL).unwrap();
    step.run(&cuda);
    let graph = stream.end_capture(CUgraphInstantiate_flags(0)).unwrap().expect("a graph");
    for seed in 1..4 {
        step.fill(&cuda, seed);
        graph.launch().unwrap();
        step.assert_is_of(&cuda, seed);
        // Between replays the workspace serves other operations, the same ones too.
        let (u, _) = Step::batch(seed);
        let input = Input::new(&cuda, &u, (Step::ROWS, Step::COLS), Lay::Dense);
        let mut ranks = Guarded::<_, u32>::new(&cuda, (Step::ROWS, Step::COLS));
        cuda.rank_into(input.view(), Order::Ascending, ranks.view(), &mut step.ws).unwrap();
        step.run(&cuda);
        step.assert_is_of(&cuda, seed);
    }
}

/// Blocks finish in another order every time, on several threads of the emulator too.
#[test]
fn a_loss_is_the_same_bits_on_every_run_and_in_turn_with_other_operations() {
    let cuda = need_cuda!();
    let (rows, cols) = (1100, 9);
    let u: Vec<f64> = Pattern::Random.fill((rows, cols), 4);
    let input = Input::new(&cuda, &u, (rows, cols), Lay::Dense);
    // Ranks of so many rows fill the workspace, and are read from it.
    let mut ws = cuda.workspace::<f64>(rows, cols).unwrap();
    let expected_ranks = naive::rank(&u, rows, cols, false);
    let mut first = None;
    for _ in 0..4 {
        let mut ranks = Guarded::<_, u32>::new(&cuda, (rows, cols));
        cuda.rank_into(input.view(), Order::Ascending, ranks.view(), &mut ws).unwrap();
        let mut cosine = guarded_row::<_, f64>(&cuda, 1);
        let mut penalty = guarded_row::<_, f64>(&cuda, 1);
        let mut grad = Guarded::<_, f64>::new(&cuda, (rows, cols));
        let (x, b, out) = (input.view(), input.view(), grad.view());
        cuda.cosine_with_grad_into(x, b, cosine.vector(), out, &mut ws).unwrap();
        let (b, out) = (input.view(), grad.view());
        cuda.entropy_penalty_with_grad_into(b, 1.0, penalty.vector(), out, &mut ws).unwrap();
        assert_eq!(ranks.take(&cuda), expected_ranks);
        let got = [cosine.take(&cuda)[0].to_bits(), penalty.take(&cuda)[0].to_bits()];
        assert_eq!(got, *first.get_or_insert(got));
    }
}

#[test]
fn losses_on_two_streams_with_a_workspace_each_do_not_meet() {
    let (first, second) = (need_cuda!(), need_cuda!());
    let (mut a, mut b) = (Step::new(&first), Step::new(&second));
    for seed in [1, 3, 5] {
        a.fill(&first, seed);
        b.fill(&second, seed + 1);
        a.run(&first);
        b.run(&second);
        // The second stream takes over what the first one has written and counted.
        a.run(&second);
        b.assert_is_of(&second, seed + 1);
        a.assert_is_of(&first, seed);
    }
}

/// A second context on the same device. cudarc has this only for some releases of CUDA, so the
/// driver is called itself, by a name that all of them have.
fn another_context(of: &CudaContext) -> Arc<CudaContext> {
    type CtxCreate = unsafe extern "C" fn(*mut sys::CUcontext, u32, sys::CUdevice) -> sys::CUresult;
    let mut context = std::ptr::null_mut();
    // SAFETY: the driver that is loaded already, the declared type of its function, a context that
    // nobody else has, of the device that it is said to be of.
    unsafe {
        let driver = libloading::Library::new("libcuda.so.1").unwrap();
        let create = driver.get::<CtxCreate>(c"cuCtxCreate_v2").unwrap();
        create(&mut context, 0, of.cu_device()).result().unwrap();
        CudaContext::from_raw_context(of.ordinal(), of.cu_device(), context).unwrap()
    }
}

#[test]
fn two_contexts_each_have_their_kernels_and_keep_their_buffers() {
    let first = need_cuda!();
    let context = another_context(first.kernels().context());
    // Its handle is that of the default stream of every context.
    let stream = context.default_stream();
    let second = Cuda::on_stream(&Kernels::new(&context).unwrap(), &stream).unwrap();

    let u: Vec<f32> = Pattern::Random.fill((33, 5), 1);
    for cuda in [&first, &second, &first] {
        let input = Input::new(cuda, &u, (33, 5), Lay::Dense);
        let b = cuda.bihalf_forward(input.view(), Ones::Half).unwrap();
        assert_eq!(as_f64(cuda.download(&b).unwrap()), naive::bihalf(&u, 33, 5, 16));
    }

    let foreign = Input::new(&second, &u, (33, 5), Lay::Dense);
    let mut codes = GuardedCodes::new(&first, (33, 5));
    let error = first.pack_into(foreign.view(), codes.view()).unwrap_err();
    assert!(matches!(error, Error::OtherContext { what: "U", .. }), "{error}");
    codes.assert_untouched(&first);
    let error = Cuda::on_stream(first.kernels(), second.stream()).unwrap_err();
    assert!(matches!(error, Error::OtherContext { what: "the stream", .. }), "{error}");
}

/// On the emulator, which writes down every launch: whatever kernel is in the module, some operation
/// launches it.
#[test]
fn every_kernel_is_launched_by_an_operation() {
    if device::is_child() {
        launch_everything::<f32>();
        launch_everything::<f64>();
        launch_everything::<bihalf::half::f16>();
        launch_everything::<bihalf::half::bf16>();
        return;
    }
    let Some(cuda) = device::cuda() else { return };
    if !device::is_emulated(&cuda) {
        device::say("every_kernel_is_launched_by_an_operation: SKIPPED: only the emulator counts");
        return;
    }
    if device::further_run().is_some() && cuda.kernels().limits().capability < (9, 0) {
        device::say("every_kernel_is_launched_by_an_operation: SKIPPED: the run with 9.0 does it");
        return;
    }
    let file = format!("{}/launches-{}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    device::child(
        "cuda::every_kernel_is_launched_by_an_operation",
        &[("CUDAEMU_STATS", &file), ("CUDAEMU_CC", "90")],
    );
    let launches = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    for symbol in Kernel::ALL.iter().flat_map(|kernel| kernel.symbols()) {
        assert!(launches.contains(&format!("\"kernel\":\"{symbol}\"")), "{symbol} never runs");
    }
}

/// Bi-half as full devices and those of very many multiprocessors do it, and one between, with clusters
/// and without, dense and packed.
fn launch_forwards<T: Element + Guard>(cuda: &Cuda) {
    let shapes = [1, 3, 70].map(|cols| [1, 32, 64, 100].map(|rows| (rows, cols)));
    let wide = [(32, 400)];
    let tall = [200, 1000, 1500, 3000, 5000, 8193].map(|rows| (rows, 1));
    let all: Vec<_> = shapes.into_iter().flatten().chain(wide).chain(tall).collect();
    let with = cuda.kernels();
    let without = with.without_clusters();
    let mut ways = vec![(without.with_multiprocessors(1), vec![(100, 70), (200, 40), (1000, 24)])];
    for kernels in [with, &without] {
        ways.extend([0, 1 << 20].map(|n| (kernels.with_multiprocessors(n), all.clone())));
    }
    for (kernels, shapes) in ways {
        let cuda = Cuda::on_stream(&kernels, cuda.stream()).unwrap();
        for (rows, cols) in shapes {
            let u: Vec<T> = Pattern::Random.fill((rows, cols), 1);
            let input = Input::new(&cuda, &u, (rows, cols), Lay::Dense);
            let expected = naive::bihalf(&u, rows, cols, rows / 2);
            let b = cuda.bihalf_forward(input.view(), Ones::Half).unwrap();
            assert_eq!(as_f64(cuda.download(&b).unwrap()), expected);
            let words = cuda.bihalf_forward_packed(input.view(), Ones::Half).unwrap();
            assert_eq!(cuda.download(&words).unwrap(), naive::pack(&expected, rows, cols));
        }
    }
}

fn launch_everything<T: Element + Guard>() {
    let cuda = need_cuda!();
    launch_forwards::<T>(&cuda);
    // More rows than 16 bits number; what comes out is looked at in tests/rank.rs.
    let one = cuda.upload(&[T::from_f64(0.5)]).unwrap();
    let tall = Matrix::with_strides(DeviceRef::from(&one), (1 << 16) + 1, 1, 0, 0).unwrap();
    cuda.rank(tall, Order::Ascending).unwrap();
    for rows in [32, 64, 256, 1024, 2048, 4096, 4100] {
        let cols = 3;
        let u: Vec<T> = Pattern::FewDistinct.fill((rows, cols), 1);
        let input = Input::new(&cuda, &u, (rows, cols), Lay::Dense);
        let expected = naive::bihalf(&u, rows, cols, rows / 2);
        let mut ws = cuda.workspace::<T>(rows, cols).unwrap();
        let ranks = cuda.rank(input.view(), Order::Ascending).unwrap();
        assert_eq!(cuda.download(&ranks).unwrap(), naive::rank(&u, rows, cols, false));
        if rows > 32 {
            continue;
        }
        let words = cuda.upload(&naive::pack(&expected, rows, cols)).unwrap();
        let codes = || PackedCodes::new(DeviceRef::from(&words), rows, cols).unwrap();
        let mut grad = cuda.upload(&u).unwrap();
        macro_rules! du {
            () => {
                Matrix::new(DeviceMut::from(&mut grad), rows, cols).unwrap()
            };
        }
        let dense = input.view();
        cuda.bihalf_backward_in_place(input.view(), dense, 1.0, du!()).unwrap();
        let packed = codes();
        cuda.bihalf_backward_in_place(input.view(), packed, 1.0, du!()).unwrap();
        cuda.sign_forward(input.view(), None).unwrap();
        cuda.sign_backward_in_place(input.view(), None, 1.0, du!()).unwrap();
        cuda.relax_forward(input.view(), 1.0).unwrap();
        cuda.relax_backward_in_place(input.view(), 1.0, du!()).unwrap();
        cuda.unpack_into(codes(), du!()).unwrap();
        let mut search = cuda.search_workspace(rows, rows, cols, 2).unwrap();
        let mut near = [rows * rows, 2 * rows, 2 * rows].map(|n| cuda.zeros::<u32>(n).unwrap());
        let [all, indices, distances] = near.each_mut().map(DeviceMut::from);
        cuda.distances_into(codes(), codes(), all, &mut search).unwrap();
        cuda.nearest_into(codes(), codes(), 2, indices, distances, &mut search).unwrap();
        let classes = cuda.zeros::<u32>(rows).unwrap();
        let side =
            || LabelledCodes::new(codes(), ClassLabels::Single(DeviceRef::from(&classes))).unwrap();
        let mut bins = [(); 2].map(|()| cuda.zeros::<u32>(rows * (cols + 1)).unwrap());
        let [all, relevant] = bins.each_mut().map(DeviceMut::from);
        cuda.count_by_distance_into(side(), side(), all, relevant).unwrap();
        let mut counts = cuda.zeros::<u32>(cols).unwrap();
        cuda.ones_into(codes(), DeviceMut::from(&mut counts)).unwrap();
        let mut value = cuda.zeros::<f64>(1).unwrap();
        let loss = DeviceMut::from(&mut value);
        cuda.cosine_with_grad_into(input.view(), input.view(), loss, du!(), &mut ws).unwrap();
        let loss = DeviceMut::from(&mut value);
        let mut pair_grads = cuda.zeros::<f64>(ops::loss::pair_grads_len(rows)).unwrap();
        let into = DeviceMut::from(&mut pair_grads);
        cuda.cosine_packed_into(input.view(), codes(), loss, into, &mut ws).unwrap();
        let (pair_grads, pull) = (DeviceRef::from(&pair_grads), 1.0);
        cuda.cosine_packed_backward_in_place(codes(), pair_grads, pull, du!()).unwrap();
        let loss = DeviceMut::from(&mut value);
        cuda.entropy_penalty_with_grad_into(input.view(), 1.0, loss, du!(), &mut ws).unwrap();
        cuda.stream().synchronize().unwrap();
    }
}

/// In a process of its own, which does not load the emulator.
#[test]
fn without_a_driver_asking_for_a_device_is_an_error_that_says_so() {
    if device::is_child() {
        match cuda::context(0) {
            Err(error @ Error::NoDriverLibrary { .. }) => println!("{error}"),
            Ok(_) | Err(_) => return println!("there is a driver"),
        }
        let name = cuda_or_cpu!(0, |backend, reason| {
            println!("{}", reason.unwrap());
            Ok::<_, Error>(backend.name())
        });
        return assert_eq!(name.unwrap(), "cpu");
    }
    let said =
        device::child("cuda::without_a_driver_asking_for_a_device_is_an_error_that_says_so", &[]);
    if said.contains("there is a driver") {
        device::say("without_a_driver_...: SKIPPED: there is a driver");
    } else {
        assert!(said.contains("no CUDA driver: none of [\"libcuda.so.1\""), "{said}");
    }
}

#[test]
fn a_device_that_is_not_there_is_an_error_that_says_so() {
    let _ = need_cuda!();
    let error = cuda::context(99).unwrap_err();
    assert!(matches!(error, Error::NoDevice { ordinal: 99, count: 1.. }), "{error}");
    assert!(error.is_cuda_unavailable());
    let name = |ordinal| {
        cuda_or_cpu!(ordinal, |backend, reason| {
            assert_eq!(reason.is_some(), ordinal == 99);
            Ok::<_, Error>(backend.name())
        })
    };
    assert_eq!(name(99).unwrap(), "cpu");
    assert!(name(0).unwrap().starts_with("cuda:0"));
}
