//! What is counted.

use crate::random::random;
use crate::steps::mark;
use bihalf::half::f16;
use bihalf::{Codes, Element, MatMut, MatRef, Ones, Order, Outputs, Pull, Result, Signs};
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
        ops::bihalf::forward_into(u, Ones::Half, out, None, &mut ws).unwrap();
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
        let out = Outputs::none().codes(codes.as_mut());
        ops::bihalf::forward_into(u, Ones::Half, out, None, &mut ws).unwrap();
    });
}

fn backward(rows: usize, cols: usize) {
    let (data, mut grad) = (random::<f32>(rows * cols), random::<f32>(rows * cols));
    let u = MatRef::new(&data, rows, cols).unwrap();
    let codes = ops::bihalf::forward_packed(u, Ones::Half).unwrap();
    counted(|| {
        let grad = MatMut::new(&mut grad, rows, cols).unwrap();
        let b = Signs::Packed(codes.as_ref());
        ops::bihalf::backward_in_place(u, b, grad, Pull::new(6.0)).unwrap();
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
