//! Results do not depend on the number of threads: one and four, on shapes large enough to be
//! shared.
#![cfg(feature = "rayon")]

use crate::common::patterns::Pattern;
use bihalf::{Codes, MatMut, MatRef, Ones, Order, Outputs, Pull, Signs, Workspace, ops};

const ROWS: usize = 1025;
const COLS: usize = 65;

/// Everything that the shared operations compute from one batch.
#[derive(Debug, PartialEq)]
struct Results {
    dense: Vec<f32>,
    codes: Codes,
    ranks: Vec<u32>,
    gradients: [Vec<f32>; 5],
    losses: [u64; 3],
    distances: Vec<u32>,
}

fn compute() -> Results {
    let u: Vec<f32> = Pattern::FewDistinct.fill((ROWS, COLS), 1);
    let x: Vec<f32> = Pattern::Random.fill((ROWS, COLS), 2);
    let (u, x) = (MatRef::new(&u, ROWS, COLS).unwrap(), MatRef::new(&x, ROWS, COLS).unwrap());
    let mut dense = vec![0.0; ROWS * COLS];
    let mut codes = Codes::zeros(ROWS, COLS).unwrap();
    let out =
        Outputs::none().dense(MatMut::new(&mut dense, ROWS, COLS).unwrap()).codes(codes.as_mut());
    ops::bihalf::forward_into(u, Ones::Half, out, None, &mut Workspace::new()).unwrap();
    let b = MatRef::new(&dense, ROWS, COLS).unwrap();
    let (cosine, cosine_grad) = ops::loss::cosine_with_grad(x, x).unwrap();
    let (penalty, penalty_grad) = ops::loss::entropy_penalty_with_grad(x, 1.0).unwrap();
    let (packed, slopes) = ops::loss::cosine_packed(x, codes.as_ref()).unwrap();
    let back = ops::loss::cosine_packed_backward;
    let gradients = [
        ops::bihalf::backward(u, Signs::Dense(b), x, Pull::new(3.0)).unwrap(),
        ops::relax::backward(x, 0.7, x).unwrap(),
        cosine_grad,
        back(u, codes.as_ref(), &slopes, Pull::new(3.0)).unwrap(),
        penalty_grad,
    ];
    Results {
        ranks: ops::rank::rank(u, Order::Ascending).unwrap(),
        gradients,
        losses: [cosine.to_bits(), packed.to_bits(), penalty.to_bits()],
        distances: ops::retrieval::hamming(codes.as_ref(), codes.as_ref()).unwrap(),
        dense,
        codes,
    }
}

#[test]
fn results_are_the_same_bits_on_one_and_four_threads() {
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(compute)
    };
    assert!(on(1) == on(4));
}

#[test]
fn bihalf_is_the_same_on_one_and_four_threads() {
    // It is shared among threads from 256 Ki elements on.
    let (rows, cols) = (4 * ROWS, COLS);
    let u: Vec<f32> = Pattern::FewDistinct.fill((rows, cols), 3);
    let u = MatRef::new(&u, rows, cols).unwrap();
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let codes = ops::bihalf::forward_packed(u, Ones::Half).unwrap();
            let dense = ops::bihalf::forward(u, Ones::Half).unwrap();
            let back = ops::bihalf::backward(u, Signs::Packed(codes.as_ref()), u, Pull::new(3.0));
            (dense, back.unwrap(), codes)
        })
    };
    assert!(on(1) == on(4));
}
