//! `tanh(beta u)` and its gradient against loops.

use crate::common::{group, id, random, shapes};
use bihalf::ops::relax::{backward_in_place, forward_into};
use bihalf::{MatMut, MatRef};
use criterion::Criterion;
use std::hint::black_box;

const BETA: f32 = 1.5;

fn forward_loop(u: &[f32], y: &mut [f32]) {
    y.iter_mut().zip(u).for_each(|(y, u)| *y = (BETA * u).tanh());
}

fn backward_loop(u: &[f32], grad: &mut [f32]) {
    for (g, u) in grad.iter_mut().zip(u) {
        let y = (BETA * u).tanh();
        *g *= BETA * (1.0 - y * y);
    }
}

/// The platform's `tanh` is another one.
fn assert_near(ours: &[f32], theirs: &[f32]) {
    assert!(ours.iter().zip(theirs).all(|(ours, theirs)| (ours - theirs).abs() < 1e-5));
}

pub fn bench(c: &mut Criterion) {
    for shape in shapes() {
        let (rows, cols) = shape;
        let data = random(shape);
        let u = MatRef::new(&data, rows, cols).unwrap();
        let (mut ours, mut theirs) = (data.clone(), data.clone());
        let forward = |y: &mut [f32]| {
            let y = MatMut::new(y, rows, cols).unwrap();
            forward_into(black_box(u), BETA.into(), y).unwrap();
        };
        let backward = |grad: &mut [f32]| {
            let grad = MatMut::new(grad, rows, cols).unwrap();
            backward_in_place(black_box(u), BETA.into(), grad).unwrap();
        };
        backward(&mut ours);
        backward_loop(&data, &mut theirs);
        assert_near(&ours, &theirs);
        forward(&mut ours);
        forward_loop(&data, &mut theirs);
        assert_near(&ours, &theirs);

        let mut g = group(c, "relax_forward", rows * cols);
        g.bench_function(id("cpu", shape), |b| b.iter(|| forward(&mut ours)));
        g.bench_function(id("loop", shape), |b| {
            b.iter(|| forward_loop(black_box(&data), &mut theirs));
        });
        g.finish();
        let mut g = group(c, "relax_backward", rows * cols);
        g.bench_function(id("cpu", shape), |b| b.iter(|| backward(&mut ours)));
        g.bench_function(id("loop", shape), |b| {
            b.iter(|| backward_loop(black_box(&data), &mut theirs));
        });
        g.finish();
    }
}
