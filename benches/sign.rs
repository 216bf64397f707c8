//! Sign, dense and packed, against a loop.

use crate::common::{group, id, random, shapes};
use bihalf::ops::sign::forward_into;
use bihalf::{Codes, MatMut, MatRef, Outputs};
use criterion::Criterion;
use std::hint::black_box;

fn by_loop(u: &[f32], b: &mut [f32]) {
    b.iter_mut().zip(u).for_each(|(b, &u)| *b = if u > 0.0 { 1.0 } else { -1.0 });
}

pub fn bench(c: &mut Criterion) {
    for shape in shapes() {
        let (rows, cols) = shape;
        let data = random(shape);
        let u = MatRef::new(&data, rows, cols).unwrap();
        let (mut ours, mut theirs) = (vec![0.0; rows * cols], vec![0.0; rows * cols]);
        let mut codes = Codes::zeros(rows, cols).unwrap();
        let dense = |b: &mut [f32]| {
            let out = Outputs::none().dense(MatMut::new(b, rows, cols).unwrap());
            forward_into(black_box(u), None, out).unwrap();
        };
        let packed = |codes: &mut Codes| {
            forward_into(black_box(u), None, Outputs::none().codes(codes.as_mut())).unwrap();
        };
        dense(&mut ours);
        packed(&mut codes);
        by_loop(&data, &mut theirs);
        assert_eq!(ours, theirs);
        assert_eq!(codes.to_dense::<f32>().unwrap(), theirs);

        let mut g = group(c, "sign", rows * cols);
        g.bench_function(id("cpu", shape), |b| b.iter(|| dense(&mut ours)));
        g.bench_function(id("cpu_packed", shape), |b| b.iter(|| packed(&mut codes)));
        g.bench_function(id("loop", shape), |b| {
            b.iter(|| by_loop(black_box(&data), &mut theirs));
        });
        g.finish();
    }
}
