//! Results do not depend on the number of threads: one and four, on shapes large enough to be
//! shared.
#![cfg(feature = "rayon")]

use crate::common::patterns::Pattern;
use bihalf::ops::retrieval::{Evaluation, Labelled, Labels, Options, evaluate};
use bihalf::{CodeMatrix, Codes, MatMut, MatRef, Ones, Order, Outputs, Workspace, ops};

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
    measures: Evaluation,
}

fn compute() -> Results {
    let u: Vec<f32> = Pattern::FewDistinct.fill((ROWS, COLS), 1);
    let x: Vec<f32> = Pattern::Random.fill((ROWS, COLS), 2);
    let (u, x) = (MatRef::new(&u, ROWS, COLS).unwrap(), MatRef::new(&x, ROWS, COLS).unwrap());
    let mut dense = vec![0.0; ROWS * COLS];
    let mut codes = Codes::zeros(ROWS, COLS).unwrap();
    let out =
        Outputs::none().dense(MatMut::new(&mut dense, ROWS, COLS).unwrap()).codes(codes.as_mut());
    ops::bi_half::forward_into(u, Ones::Half, out, &mut Workspace::new()).unwrap();
    let b = MatRef::new(&dense, ROWS, COLS).unwrap();
    let (cosine, cosine_grad) = ops::loss::cosine_with_grad(x, x).unwrap();
    let (penalty, penalty_grad) = ops::loss::entropy_penalty_with_grad(x, 1.0).unwrap();
    let (packed, pair_grads) = ops::loss::cosine_packed(x, codes.as_ref()).unwrap();
    let back = ops::loss::cosine_packed_backward;
    let gradients = [
        ops::bi_half::backward(u, b, 3.0, x).unwrap(),
        ops::relax::backward(x, 0.7, x).unwrap(),
        cosine_grad,
        back(u, codes.as_ref(), &pair_grads, 3.0).unwrap(),
        penalty_grad,
    ];
    let labels: Vec<u32> = (0..ROWS as u32).map(|i| i % 7).collect();
    let labelled = Labelled::new(codes.as_ref(), Labels::Single(&labels)).unwrap();
    let options = Options { cutoffs: &[10, 500], ..Options::default() };
    Results {
        measures: evaluate(labelled, labelled, &options).unwrap(),
        ranks: ops::rank::rank(u, Order::Ascending).unwrap(),
        gradients,
        losses: [cosine.to_bits(), packed.to_bits(), penalty.to_bits()],
        distances: ops::search::distances(codes.as_ref(), codes.as_ref()).unwrap(),
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
            let codes = ops::bi_half::forward_packed(u, Ones::Half).unwrap();
            let dense = ops::bi_half::forward(u, Ones::Half).unwrap();
            let back = ops::bi_half::backward(u, codes.as_ref(), 3.0, u);
            (dense, back.unwrap(), codes)
        })
    };
    assert!(on(1) == on(4));
}

/// A process in which no thread can be started: its stack would take more memory than there may be.
#[test]
#[cfg(target_os = "linux")]
fn calls_run_where_they_are_made_if_the_pool_cannot_start() {
    let program = std::env::current_exe().unwrap();
    let result = std::process::Command::new("sh")
        .args(["-c", "ulimit -v 4000000; exec \"$0\" \"$@\""])
        .arg(program)
        .args(["threads::alone", "--include-ignored", "--test-threads=1"])
        .env("RUST_MIN_STACK", "100000000000")
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&result.stdout);
    assert!(result.status.success() && output.contains("1 passed"), "{output}");
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn alone() {
    let results = compute();
    assert!(std::panic::catch_unwind(rayon::current_num_threads).is_err(), "there is a pool");
    assert!(results == compute());
    assert_eq!(results.codes.rows(), ROWS);
}

/// As much as the pages promise at the most, for each algorithm of the CPU path.
#[test]
fn operations_need_little_stack() {
    const STACK: usize = 96 << 10;
    for (rows, cols) in [(30, 40), (60, 70), (700, 70), (5000, 33), (20_000, 20), (70_000, 70)] {
        let u: Vec<f32> = Pattern::Random.fill((rows, cols), 4);
        let doubles: Vec<f64> = u.iter().map(|&u| u.into()).collect();
        let work = move || {
            let (u, d) = (MatRef::new(&u, rows, cols).unwrap(), MatRef::new(&doubles, rows, cols));
            let d = d.unwrap();
            let b = ops::bi_half::forward(u, Ones::Half).unwrap();
            let codes = ops::bi_half::forward_packed(d, Ones::Half).unwrap();
            let b = CodeMatrix::Dense(MatRef::new(&b, rows, cols).unwrap());
            ops::bi_half::backward(u, b, 1.0, u).unwrap();
            ops::threshold::median(u).unwrap();
            ops::stats::transport_cost(u).unwrap();
            ops::rank::rank(u, Order::Ascending).unwrap();
            ops::rank::argsort(d, Order::Descending).unwrap();
            ops::loss::cosine_with_grad(u, d).unwrap();
            ops::loss::entropy_penalty_with_grad(u, 1.0).unwrap();
            ops::loss::cosine_packed(u, codes.as_ref()).unwrap();
            ops::sign::forward_packed(u, None).unwrap();
            ops::relax::forward(u, 1.0).unwrap();
        };
        // In a pool of one thread, so that all is done on it.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).stack_size(STACK);
        pool.build().unwrap().install(work);
    }
}
