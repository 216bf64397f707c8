//! Packing and unpacking against byte-wise loops.

use crate::common::{group, id, random, shapes};
use bihalf::ops::codes::{pack_into, unpack_into};
use bihalf::{Codes, MatMut, MatRef};
use criterion::Criterion;
use std::hint::black_box;

fn pack_loop(dense: &[f32], cols: usize) -> Vec<u8> {
    let byte = |bits: &[f32]| (0..).zip(bits).map(|(j, &x)| u8::from(x > 0.0) << j).sum();
    dense.chunks(cols).flat_map(|row| row.chunks(8).map(byte)).collect()
}

fn unpack_loop(bytes: &[u8], cols: usize, dense: &mut [f32]) {
    for (row, bytes) in dense.chunks_mut(cols).zip(bytes.chunks(cols.div_ceil(8))) {
        for (j, x) in row.iter_mut().enumerate() {
            *x = if bytes[j / 8] >> (j % 8) & 1 == 1 { 1.0 } else { -1.0 };
        }
    }
}

pub fn bench(c: &mut Criterion) {
    for shape in shapes() {
        let (rows, cols) = shape;
        let data = random(shape);
        let u = MatRef::new(&data, rows, cols).unwrap();
        let mut codes = Codes::zeros(rows, cols).unwrap();
        let (mut ours, mut theirs) = (vec![0.0; rows * cols], vec![0.0; rows * cols]);
        pack_into(u, codes.as_mut()).unwrap();
        let bytes = pack_loop(&data, cols);
        assert_eq!(codes.to_bytes().unwrap(), bytes);
        let packed = codes.clone();
        let unpack = |dense: &mut [f32]| {
            unpack_into(black_box(packed.as_ref()), MatMut::new(dense, rows, cols).unwrap())
                .unwrap();
        };
        unpack(&mut ours);
        unpack_loop(&bytes, cols, &mut theirs);
        assert_eq!(ours, theirs);

        let mut g = group(c, "pack", rows * cols);
        g.bench_function(id("cpu", shape), |b| {
            b.iter(|| pack_into(black_box(u), codes.as_mut()).unwrap());
        });
        g.bench_function(id("loop", shape), |b| b.iter(|| pack_loop(black_box(&data), cols)));
        g.finish();
        let mut g = group(c, "unpack", rows * cols);
        g.bench_function(id("cpu", shape), |b| b.iter(|| unpack(&mut ours)));
        g.bench_function(id("loop", shape), |b| {
            b.iter(|| unpack_loop(black_box(&bytes), cols, &mut theirs));
        });
        g.finish();
    }
}
