//! The losses with their gradients against loops in `f32`.

use crate::common::{group, id, random};
use bihalf::ops::bi_half::backward_in_place;
use bihalf::ops::loss::{
    cosine_packed_backward_into, cosine_packed_into, cosine_with_grad_into,
    entropy_penalty_with_grad_into, pair_grads_len,
};
use bihalf::{Codes, MatMut, MatRef};
use criterion::Criterion;
use std::hint::black_box;

/// Batch of the paper with VGG-16 features (4096), a larger one with sentence embeddings (384).
const BATCHES: [(usize, usize, usize); 2] = [(32, 4096, 64), (1024, 384, 64)];

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn cosine_loop(x: &[f32], b: &[f32], (rows, d, k): (usize, usize, usize), grad: &mut [f32]) -> f32 {
    let half = rows / 2;
    let mut loss = 0.0;
    for i in 0..half {
        let (x1, x2) = (&x[i * d..][..d], &x[(i + half) * d..][..d]);
        let (b1, b2) = (&b[i * k..][..k], &b[(i + half) * k..][..k]);
        let target = dot(x1, x2) / (dot(x1, x1) * dot(x2, x2)).sqrt();
        let (n1, n2) = (dot(b1, b1), dot(b2, b2));
        let norms = (n1 * n2).sqrt();
        let cosine = dot(b1, b2) / norms;
        loss += (cosine - target) * (cosine - target) / half as f32;
        let outer = 2.0 / half as f32 * (cosine - target);
        for j in 0..k {
            grad[i * k + j] = outer * (b2[j] / norms - cosine * b1[j] / n1);
            grad[(i + half) * k + j] = outer * (b1[j] / norms - cosine * b2[j] / n2);
        }
    }
    loss
}

fn penalty_loop(b: &[f32], (rows, cols): (usize, usize), grad: &mut [f32]) -> f32 {
    let mut means = vec![0.0; cols];
    for row in b.chunks(cols) {
        means.iter_mut().zip(row).for_each(|(m, b)| *m += b / rows as f32);
    }
    for row in grad.chunks_mut(cols) {
        row.iter_mut().zip(&means).for_each(|(g, m)| *g = m / (rows * cols) as f32);
    }
    dot(&means, &means) / cols as f32 / 2.0
}

fn assert_near(ours: &[f32], theirs: &[f32]) {
    for (a, b) in ours.iter().zip(theirs) {
        assert!((a - b).abs() <= 1e-5 * (1.0 + a.abs()), "{a} {b}");
    }
}

pub fn bench(c: &mut Criterion) {
    for (rows, d, k) in BATCHES {
        let (features, codes) = (random((rows, d)), random((rows, k)));
        let x = MatRef::new(&features, rows, d).unwrap();
        let b = MatRef::new(&codes, rows, k).unwrap();
        let (mut ours, mut theirs) = (vec![0.0; rows * k], vec![0.0; rows * k]);
        let cosine = |grad: &mut [f32]| {
            cosine_with_grad_into(black_box(x), b, MatMut::new(grad, rows, k).unwrap()).unwrap()
        };
        let penalty = |grad: &mut [f32]| {
            let grad = MatMut::new(grad, rows, k).unwrap();
            entropy_penalty_with_grad_into(black_box(b), 1.0, grad).unwrap()
        };
        let loss = cosine(&mut ours) as f32;
        assert_near(&[loss], &[cosine_loop(&features, &codes, (rows, d, k), &mut theirs)]);
        assert_near(&ours, &theirs);

        let mut g = group(c, "cosine_loss", rows * (d + k));
        g.bench_function(id("cpu", (rows, d)), |b| b.iter(|| cosine(&mut ours)));
        g.bench_function(id("loop", (rows, d)), |b| {
            b.iter(|| cosine_loop(black_box(&features), &codes, (rows, d, k), &mut theirs));
        });
        g.finish();

        from_codes(c, (rows, d, k), x, b);

        let loss = penalty(&mut ours) as f32;
        assert_near(&[loss], &[penalty_loop(&codes, (rows, k), &mut theirs)]);
        assert_near(&ours, &theirs);
        let mut g = group(c, "entropy_penalty", rows * k);
        g.bench_function(id("cpu", (rows, k)), |b| b.iter(|| penalty(&mut ours)));
        g.bench_function(id("loop", (rows, k)), |b| {
            b.iter(|| penalty_loop(black_box(&codes), (rows, k), &mut theirs));
        });
        g.finish();
    }
}

/// Loss and gradient back through Bi-half, from packed codes, from dense ones, and by loops.
fn from_codes(
    c: &mut Criterion,
    (rows, d, k): (usize, usize, usize),
    x: MatRef<'_, f32>,
    u: MatRef<'_, f32>,
) {
    let codes = Codes::from_dense(u).unwrap();
    let signs = codes.to_dense::<f32>().unwrap();
    let b = MatRef::new(&signs, rows, k).unwrap();
    let (gamma, pull) = (6.0, 6.0);
    let mut pair_grads = vec![0.0; pair_grads_len(rows)];
    let mut packed = |du: &mut [f32]| {
        let loss = cosine_packed_into(black_box(x), codes.as_ref(), &mut pair_grads).unwrap();
        let du = MatMut::new(du, rows, k).unwrap();
        cosine_packed_backward_into(u, codes.as_ref(), &pair_grads, pull, du).unwrap();
        loss
    };
    let dense = |du: &mut [f32]| {
        let loss =
            cosine_with_grad_into(black_box(x), b, MatMut::new(du, rows, k).unwrap()).unwrap();
        let du = MatMut::new(du, rows, k).unwrap();
        backward_in_place(u, b, pull, du).unwrap();
        loss
    };
    let by_loop = |du: &mut [f32]| {
        let loss = cosine_loop(black_box(x.data()), &signs, (rows, d, k), du);
        for ((g, u), b) in du.iter_mut().zip(*u.data()).zip(&signs) {
            *g += gamma / (rows * k) as f32 * (u - b);
        }
        loss
    };
    let [mut ours, mut other, mut theirs] = [(); 3].map(|()| vec![0.0; rows * k]);
    let losses = (packed(&mut ours), dense(&mut other), by_loop(&mut theirs));
    assert_eq!(losses.0, losses.1);
    assert_eq!(ours, other);
    assert_near(&[losses.0 as f32], &[losses.2]);
    assert_near(&ours, &theirs);

    let mut g = group(c, "cosine_loss_and_backward", rows * (d + k));
    g.bench_function(id("cpu_packed", (rows, d)), |b| b.iter(|| packed(&mut ours)));
    g.bench_function(id("cpu_dense", (rows, d)), |b| b.iter(|| dense(&mut other)));
    g.bench_function(id("loop", (rows, d)), |b| b.iter(|| by_loop(&mut theirs)));
    g.finish();
}
