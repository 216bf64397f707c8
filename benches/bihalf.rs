//! Bi-half forward and backward against sorting each column and against plain loops.

use crate::common::{group, id, random, shapes};
use bihalf::ops::bi_half::{backward_in_place, forward_into};
use bihalf::{CodeMatrix, Codes, MatMut, MatRef, Ones, Outputs, Workspace};
use criterion::Criterion;
use std::hint::black_box;

/// What the definition suggests: argsort each column, set the first half.
fn sort_and_scatter(u: &[f32], (rows, cols): (usize, usize), b: &mut [f32]) {
    b.fill(-1.0);
    for j in 0..cols {
        let mut order: Vec<usize> = (0..rows).collect();
        order.sort_by(|&x, &y| u[y * cols + j].total_cmp(&u[x * cols + j]));
        for row in &order[..rows / 2] {
            b[row * cols + j] = 1.0;
        }
    }
}

pub fn bench(c: &mut Criterion) {
    for shape in shapes() {
        let (rows, cols) = shape;
        let data = random(shape);
        let u = MatRef::new(&data, rows, cols).unwrap();
        let (mut ours, mut theirs) = (vec![0.0; rows * cols], vec![0.0; rows * cols]);
        let mut codes = Codes::zeros(rows, cols).unwrap();
        let mut ws = Workspace::for_shape::<f32>(rows, cols).unwrap();
        let mut dense = |b: &mut [f32]| {
            let out = Outputs::none().dense(MatMut::new(b, rows, cols).unwrap());
            forward_into(u, Ones::Half, out, &mut ws).unwrap();
        };
        dense(&mut ours);
        sort_and_scatter(&data, shape, &mut theirs);
        assert_eq!(ours, theirs);

        let mut g = group(c, "bihalf_forward", rows * cols);
        g.bench_function(id("cpu", shape), |b| b.iter(|| dense(black_box(&mut ours))));
        let mut ws = Workspace::for_shape::<f32>(rows, cols).unwrap();
        let mut packed = |codes: &mut Codes| {
            let out = Outputs::none().codes(codes.as_mut());
            forward_into(black_box(u), Ones::Half, out, &mut ws).unwrap();
        };
        packed(&mut codes);
        g.bench_function(id("cpu_packed", shape), |b| b.iter(|| packed(&mut codes)));
        g.bench_function(id("sort_and_scatter", shape), |b| {
            b.iter(|| sort_and_scatter(black_box(&data), shape, &mut theirs));
        });
        g.finish();
        backward(c, shape, u, &ours, &codes);
    }
}

fn backward(
    c: &mut Criterion,
    shape: (usize, usize),
    u: MatRef<'_, f32>,
    signs: &[f32],
    codes: &Codes,
) {
    let (rows, cols) = shape;
    let db = random(shape);
    let coefficient = 6.0 / (rows * cols) as f32;
    let by_loop = |grad: &mut [f32]| {
        for ((g, u), b) in grad.iter_mut().zip(*u.data()).zip(signs) {
            *g += coefficient * (u - b);
        }
    };
    let from_dense = |grad: &mut [f32]| {
        let b = CodeMatrix::Dense(MatRef::new(signs, rows, cols).unwrap());
        let grad = MatMut::new(grad, rows, cols).unwrap();
        backward_in_place(u, b, 6.0, grad).unwrap();
    };
    let from_packed = |grad: &mut [f32]| {
        let grad = MatMut::new(grad, rows, cols).unwrap();
        backward_in_place(u, codes.as_ref(), 6.0, grad).unwrap();
    };
    let result = |f: &dyn Fn(&mut [f32])| {
        let mut grad = db.clone();
        f(&mut grad);
        grad
    };
    assert_eq!(result(&from_dense), result(&by_loop));
    assert_eq!(result(&from_packed), result(&by_loop));

    let mut grad = db.clone();
    let mut g = group(c, "bihalf_backward", rows * cols);
    g.bench_function(id("cpu_dense", shape), |b| b.iter(|| from_dense(black_box(&mut grad))));
    g.bench_function(id("cpu_packed", shape), |b| b.iter(|| from_packed(black_box(&mut grad))));
    g.bench_function(id("loop", shape), |b| b.iter(|| by_loop(black_box(&mut grad))));
    g.finish();
}
