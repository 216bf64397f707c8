//! Argsort and rank of each column against the standard library's stable sort.

use crate::common::{group, id, random, shapes};
use bihalf::ops::rank::{argsort_into, rank_into};
use bihalf::{MatMut, MatRef, Order, Workspace};
use criterion::Criterion;
use std::hint::black_box;

fn std_sort(u: &[f32], (rows, cols): (usize, usize), out: &mut [u32]) {
    for j in 0..cols {
        let mut order: Vec<u32> = (0..rows as u32).collect();
        order.sort_by(|&x, &y| u[x as usize * cols + j].total_cmp(&u[y as usize * cols + j]));
        for (place, row) in order.into_iter().enumerate() {
            out[place * cols + j] = row;
        }
    }
}

pub fn bench(c: &mut Criterion) {
    for shape in shapes() {
        let (rows, cols) = shape;
        let data = random(shape);
        let u = MatRef::new(&data, rows, cols).unwrap();
        let (mut ours, mut theirs) = (vec![0; rows * cols], vec![0; rows * cols]);
        let mut ws = Workspace::for_shape::<f32>(rows, cols).unwrap();
        let mut argsort = |out: &mut [u32]| {
            let out = MatMut::new(out, rows, cols).unwrap();
            argsort_into(black_box(u), Order::Ascending, out, &mut ws).unwrap();
        };
        argsort(&mut ours);
        std_sort(&data, shape, &mut theirs);
        assert_eq!(ours, theirs);

        let mut g = group(c, "argsort", rows * cols);
        g.bench_function(id("cpu", shape), |b| b.iter(|| argsort(&mut ours)));
        g.bench_function(id("std_sort", shape), |b| {
            b.iter(|| std_sort(black_box(&data), shape, &mut theirs));
        });
        g.finish();

        let mut rank = |out: &mut [u32]| {
            let out = MatMut::new(out, rows, cols).unwrap();
            rank_into(black_box(u), Order::Ascending, out, &mut ws).unwrap();
        };
        rank(&mut ours);
        let inverse =
            |(n, &row): (usize, &u32)| ours[row as usize * cols + n % cols] as usize == n / cols;
        assert!(theirs.iter().enumerate().all(inverse));
        let mut g = group(c, "rank", rows * cols);
        g.bench_function(id("cpu", shape), |b| b.iter(|| rank(&mut ours)));
        g.finish();
    }
}
