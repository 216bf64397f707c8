//! The median of each column against sorting it.

use crate::common::{group, id, random, shapes};
use bihalf::ops::threshold::median_into;
use bihalf::{MatRef, Workspace};
use criterion::Criterion;
use std::hint::black_box;

fn by_sorting(u: &[f32], (rows, cols): (usize, usize), out: &mut [f32]) {
    for (j, median) in out.iter_mut().enumerate() {
        let mut column: Vec<f32> = (0..rows).map(|i| u[i * cols + j]).collect();
        column.sort_by(f32::total_cmp);
        *median = column[rows.div_ceil(2) - 1];
    }
}

pub fn bench(c: &mut Criterion) {
    for shape in shapes() {
        let (rows, cols) = shape;
        let data = random(shape);
        let u = MatRef::new(&data, rows, cols).unwrap();
        let (mut ours, mut theirs) = (vec![0.0; cols], vec![0.0; cols]);
        let mut ws = Workspace::for_shape::<f32>(rows, cols).unwrap();
        median_into(u, &mut ours, &mut ws).unwrap();
        by_sorting(&data, shape, &mut theirs);
        assert_eq!(ours, theirs);

        let mut g = group(c, "median", rows * cols);
        g.bench_function(id("cpu", shape), |b| {
            b.iter(|| median_into(black_box(u), &mut ours, &mut ws).unwrap());
        });
        g.bench_function(id("sort", shape), |b| {
            b.iter(|| by_sorting(black_box(&data), shape, &mut theirs));
        });
        g.finish();
    }
}
