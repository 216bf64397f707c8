//! What is counted.

use crate::random::random;
use crate::steps::mark;
use bihalf::half::f16;
use bihalf::ops::retrieval::{Labelled, Labels, Options, evaluate};
use bihalf::ops::search;
use bihalf::ops::stats::Histogram;
use bihalf::ops::threshold::Threshold;
use bihalf::{Codes, Element, MatMut, MatRef, Ones, Order, Outputs, Result};
use bihalf::{Workspace, ops};

/// An operation on a shape.
pub struct Cell {
    /// Its name in the table, which the child is called with.
    pub name: &'static str,
    /// The instruction set.
    pub isa: &'static str,
    pub rows: usize,
    pub cols: usize,
    run: fn(usize, usize),
}

const fn cell(
    name: &'static str,
    isa: &'static str,
    (rows, cols): (usize, usize),
    run: fn(usize, usize),
) -> Cell {
    Cell { name, isa, rows, cols, run }
}

/// Nothing: what the marks cost.
pub const NOTHING: Cell = cell("nothing", "portable", (1, 1), |_, _| counted(|| ()));

/// The cells of the table.
pub const CELLS: &[Cell] = &[
    cell("forward 32x16", "avx2", (32, 16), forward::<f32>),
    cell("forward 32x64", "avx2", (32, 64), forward::<f32>),
    cell("forward 128x64", "avx2", (128, 64), forward::<f32>),
    cell("forward 1024x64", "avx2", (1024, 64), forward::<f32>),
    cell("forward 1024x61", "avx2", (1024, 61), forward::<f32>),
    cell("forward 4096x32", "avx2", (4096, 32), forward::<f32>),
    cell("forward 16384x16", "avx2", (16_384, 16), forward::<f32>),
    cell("forward 1024x64 f16", "avx2", (1024, 64), forward::<f16>),
    cell("forward 1024x64 packed", "avx2", (1024, 64), forward_packed),
    cell("forward 1024x64 all equal", "avx2", (1024, 64), forward_of_ties),
    cell("forward 32x16 packed", "avx2", (32, 16), forward_packed),
    cell("forward 32x64 all equal", "avx2", (32, 64), forward_of_ties),
    cell("forward 32x64 AVX-512", "avx512", (32, 64), forward::<f32>),
    cell("forward 1024x64 AVX-512", "avx512", (1024, 64), forward::<f32>),
    cell("backward 1024x64 AVX-512", "avx512", (1024, 64), backward),
    cell("forward 256x16 portable", "portable", (256, 16), forward::<f32>),
    cell("backward 1024x64", "avx2", (1024, 64), backward),
    cell("rank 32x64", "avx2", (32, 64), rank),
    cell("argsort 32x64", "avx2", (32, 64), argsort),
    cell("rank 1024x4", "avx2", (1024, 4), rank),
    cell("cosine loss 32x64", "avx2", (32, 64), cosine),
    cell("sign 1024x64", "avx2", (1024, 64), sign),
    cell("sign 1024x64 packed", "avx2", (1024, 64), sign_packed::<f32>),
    cell("sign 1024x64 packed f16", "avx2", (1024, 64), sign_packed::<f16>),
    cell("sign backward 1024x64", "avx2", (1024, 64), sign_backward),
    cell("relax 256x64", "avx2", (256, 64), relax),
    cell("relax backward 256x64", "avx2", (256, 64), relax_backward),
    cell("unpack 1024x64", "avx2", (1024, 64), unpack),
    cell("entropy penalty 1024x64", "avx2", (1024, 64), penalty),
    cell("ones 1024x64", "avx2", (1024, 64), ones),
    cell("correlation 1024x64", "avx2", (1024, 64), correlation),
    cell("histogram 256x64", "avx2", (256, 64), histogram),
    cell("transport cost 256x64", "avx2", (256, 64), transport_cost),
    cell("threshold 256x64", "avx2", (256, 64), threshold),
    cell("nearest 4096x64", "avx2", (4096, 64), nearest),
    cell("nearest 4096x64 AVX-512", "avx512", (4096, 64), nearest),
    cell("nearest 1024x256", "avx2", (1024, 256), nearest),
    cell("distances 4096x64", "avx2", (4096, 64), distances),
    cell("evaluate 1024x64", "avx2", (1024, 64), evaluated),
];

/// Does the cell of that name, in the child.
pub fn run(name: &str) {
    let all = CELLS.iter().chain([&NOTHING]);
    let cell = all.clone().find(|cell| cell.name == name).expect("a cell");
    // One thread, this one: others are not counted.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build();
    pool.expect("a pool").install(|| (cell.run)(cell.rows, cell.cols));
}

/// Runs something to warm up, then between marks.
fn counted(mut run: impl FnMut()) {
    run();
    mark();
    run();
    mark();
}

fn forward_of<T: Element>(u: &[T], (rows, cols): (usize, usize)) {
    let u = MatRef::new(u, rows, cols).unwrap();
    let mut b = vec![T::default(); rows * cols];
    let mut ws = Workspace::for_shape::<T>(rows, cols).unwrap();
    counted(|| {
        let out = Outputs::none().dense(MatMut::new(&mut b, rows, cols).unwrap());
        ops::bi_half::forward_into(u, Ones::Half, out, &mut ws).unwrap();
    });
}

fn forward<T: Element>(rows: usize, cols: usize) {
    forward_of(&random::<T>(rows * cols), (rows, cols));
}

fn forward_of_ties(rows: usize, cols: usize) {
    forward_of(&vec![0.5f32; rows * cols], (rows, cols));
}

fn forward_packed(rows: usize, cols: usize) {
    let data = random::<f32>(rows * cols);
    let u = MatRef::new(&data, rows, cols).unwrap();
    let mut codes = Codes::zeros(rows, cols).unwrap();
    let mut ws = Workspace::for_shape::<f32>(rows, cols).unwrap();
    counted(|| {
        let out = Outputs::none().codes(&mut codes);
        ops::bi_half::forward_into(u, Ones::Half, out, &mut ws).unwrap();
    });
}

fn backward(rows: usize, cols: usize) {
    let (data, mut grad) = (random::<f32>(rows * cols), random::<f32>(rows * cols));
    let u = MatRef::new(&data, rows, cols).unwrap();
    let codes = ops::bi_half::forward_packed(u, Ones::Half).unwrap();
    counted(|| {
        let grad = MatMut::new(&mut grad, rows, cols).unwrap();
        let b = codes.as_ref();
        ops::bi_half::backward_in_place(u, b, 6.0, grad).unwrap();
    });
}

/// Either of the two forms of an order.
type Ordering = fn(MatRef<'_, f32>, Order, MatMut<'_, u32>, &mut Workspace) -> Result<()>;

fn order(rows: usize, cols: usize, into: Ordering) {
    let data = random::<f32>(rows * cols);
    let u = MatRef::new(&data, rows, cols).unwrap();
    let mut out = vec![0; rows * cols];
    let mut ws = Workspace::for_shape::<f32>(rows, cols).unwrap();
    counted(|| {
        let out = MatMut::new(&mut out, rows, cols).unwrap();
        into(u, Order::Ascending, out, &mut ws).unwrap();
    });
}

fn rank(rows: usize, cols: usize) {
    order(rows, cols, ops::rank::rank_into);
}

fn argsort(rows: usize, cols: usize) {
    order(rows, cols, ops::rank::argsort_into);
}

fn matrix<T>(out: &mut [T], rows: usize, cols: usize) -> MatMut<'_, T> {
    MatMut::new(out, rows, cols).unwrap()
}

fn sign(rows: usize, cols: usize) {
    let (data, mut b) = (random::<f32>(rows * cols), vec![0.0; rows * cols]);
    let u = MatRef::new(&data, rows, cols).unwrap();
    counted(|| {
        let out = Outputs::none().dense(matrix(&mut b, rows, cols));
        ops::sign::forward_into(u, None, out).unwrap();
    });
}

fn sign_packed<T: Element>(rows: usize, cols: usize) {
    let data = random::<T>(rows * cols);
    let u = MatRef::new(&data, rows, cols).unwrap();
    let mut codes = Codes::zeros(rows, cols).unwrap();
    counted(|| ops::codes::pack_into(u, codes.as_mut()).unwrap());
}

fn sign_backward(rows: usize, cols: usize) {
    let (data, mut grad) = (random::<f32>(rows * cols), random::<f32>(rows * cols));
    let u = MatRef::new(&data, rows, cols).unwrap();
    counted(|| {
        let grad = matrix(&mut grad, rows, cols);
        ops::sign::backward_in_place(u, None, 6.0, grad).unwrap();
    });
}

fn relax(rows: usize, cols: usize) {
    let (data, mut y) = (random::<f32>(rows * cols), vec![0.0; rows * cols]);
    let u = MatRef::new(&data, rows, cols).unwrap();
    counted(|| ops::relax::forward_into(u, 2.0, matrix(&mut y, rows, cols)).unwrap());
}

fn relax_backward(rows: usize, cols: usize) {
    let (data, mut grad) = (random::<f32>(rows * cols), random::<f32>(rows * cols));
    let u = MatRef::new(&data, rows, cols).unwrap();
    counted(|| ops::relax::backward_in_place(u, 2.0, matrix(&mut grad, rows, cols)).unwrap());
}

fn codes(rows: usize, cols: usize) -> Codes {
    Codes::from_dense(MatRef::new(&random::<f32>(rows * cols), rows, cols).unwrap()).unwrap()
}

fn unpack(rows: usize, cols: usize) {
    let (codes, mut b) = (codes(rows, cols), vec![0f32; rows * cols]);
    counted(|| ops::codes::unpack_into(codes.as_ref(), matrix(&mut b, rows, cols)).unwrap());
}

fn penalty(rows: usize, cols: usize) {
    let (data, mut grad) = (random::<f32>(rows * cols), vec![0.0; rows * cols]);
    let b = MatRef::new(&data, rows, cols).unwrap();
    counted(|| {
        let grad = matrix(&mut grad, rows, cols);
        ops::loss::entropy_penalty_with_grad_into(b, 1.0, grad).unwrap();
    });
}

fn ones(rows: usize, cols: usize) {
    let (codes, mut counts) = (codes(rows, cols), vec![0; cols]);
    counted(|| ops::stats::ones_into(codes.as_ref(), &mut counts).unwrap());
}

fn correlation(rows: usize, cols: usize) {
    let codes = codes(rows, cols);
    counted(|| assert!(ops::stats::mean_abs_correlation(codes.as_ref()).unwrap().is_some()));
}

fn histogram(rows: usize, cols: usize) {
    let data = random::<f32>(rows * cols);
    let u = MatRef::new(&data, rows, cols).unwrap();
    let mut histogram = Histogram::new(cols, -1.0, 1.0, 64).unwrap();
    counted(|| histogram.add(u).unwrap());
}

fn transport_cost(rows: usize, cols: usize) {
    let (data, mut costs) = (random::<f32>(rows * cols), vec![0.0; cols]);
    let u = MatRef::new(&data, rows, cols).unwrap();
    let mut ws = Workspace::for_shape::<f32>(rows, cols).unwrap();
    counted(|| ops::stats::transport_cost_into(u, &mut costs, &mut ws).unwrap());
}

fn threshold(rows: usize, cols: usize) {
    let (data, mut medians) = (random::<f32>(rows * cols), vec![0.0; cols]);
    let u = MatRef::new(&data, rows, cols).unwrap();
    let mut ws = Workspace::for_shape::<f32>(rows, cols).unwrap();
    let mut threshold = Threshold::new(cols, 0.9).unwrap();
    counted(|| threshold.update_into(u, &mut medians, &mut ws).unwrap());
}

fn cosine(rows: usize, cols: usize) {
    const FEATURES: usize = 512;
    let (x, b) = (random::<f32>(rows * FEATURES), random::<f32>(rows * cols));
    let x = MatRef::new(&x, rows, FEATURES).unwrap();
    let b = MatRef::new(&b, rows, cols).unwrap();
    let mut grad = vec![0.0; rows * cols];
    counted(|| {
        let grad = MatMut::new(&mut grad, rows, cols).unwrap();
        ops::loss::cosine_with_grad_into(x, b, grad).unwrap();
    });
}

/// Of 4 queries.
const QUERIES: usize = 4;

fn nearest(rows: usize, cols: usize) {
    let (queries, database) = (codes(QUERIES, cols), codes(rows, cols));
    let (queries, database) = (queries.as_ref(), database.as_ref());
    let (mut indices, mut far) = ([0; 10 * QUERIES], [0; 10 * QUERIES]);
    let ws = &mut Workspace::new();
    counted(|| search::nearest_into(queries, database, 10, &mut indices, &mut far, ws).unwrap());
}

fn distances(rows: usize, cols: usize) {
    let (queries, database) = (codes(QUERIES, cols), codes(rows, cols));
    let mut out = vec![0; QUERIES * rows];
    let ws = &mut Workspace::new();
    counted(|| {
        search::distances_into(queries.as_ref(), database.as_ref(), &mut out, ws).unwrap();
    });
}

fn evaluated(rows: usize, cols: usize) {
    let (queries, database) = (codes(QUERIES, cols), codes(rows, cols));
    let labels: Vec<u32> = (0..rows as u32).map(|i| i % 10).collect();
    let queries = Labelled::new(queries.as_ref(), Labels::Single(&labels[..QUERIES])).unwrap();
    let database = Labelled::new(database.as_ref(), Labels::Single(&labels)).unwrap();
    counted(|| drop(evaluate(queries, database, &Options::default()).unwrap()));
}
