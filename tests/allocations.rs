//! Forms that write to the caller's buffers allocate nothing, once their workspace has its size.
//!
//! An allocator counts for the thread that runs the test; the shapes are small enough that no
//! other thread takes part.

use bihalf::ops::{self, search};
use bihalf::{Backend, Codes, Cpu, Gamma, MatMut, MatRef, Ones, Order, Outputs, Workspace};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged.
#[expect(unsafe_code, reason = "an allocator is unsafe by its trait")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|n| n.set(n.get() + 1));
        // SAFETY: the caller keeps the rules of this function, which are those of the other.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as in `alloc`; the pointer came from there.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[track_caller]
fn assert_allocates_nothing(what: &str, f: impl FnOnce()) {
    let before = ALLOCATIONS.get();
    f();
    assert_eq!(ALLOCATIONS.get() - before, 0, "allocations of {what}");
}

#[test]
fn the_allocator_counts() {
    let before = ALLOCATIONS.get();
    drop(std::hint::black_box(vec![1u8; 100]));
    assert!(ALLOCATIONS.get() > before);
}

/// Sides, options and lengths are looked at before there is memory for a result.
#[test]
fn refusals_come_before_allocations() {
    let u = MatRef::with_strides(&[1.0f32], 1 << 31, 2, 0, 0).unwrap();
    let small = MatRef::with_strides(&[1.0f32], 1 << 12, 1 << 12, 0, 0).unwrap();
    let tall = MatRef::with_strides(&[1.0f32], 1 << 33, 2, 0, 0).unwrap();
    let zero = MatRef::<f32>::new(&[], 0, 1 << 12).unwrap();
    let pull = Gamma::new(f64::NAN);
    ops::bi_half::forward(zero, Ones::Half).unwrap(); // reads the environment, once
    assert_allocates_nothing("refusals", || {
        assert!(ops::bi_half::forward(u, Ones::Half).is_err());
        assert!(ops::bi_half::forward_packed(u, Ones::Half).is_err());
        assert!(ops::bi_half::forward(small, Ones::Count(1 << 13)).is_err());
        assert!(ops::bi_half::forward(small, Ones::Fraction(2.0)).is_err());
        assert!(ops::bi_half::backward(small, small, pull, small).is_err());
        assert!(ops::stats::transport_cost(u).is_err());
        assert!(ops::threshold::median(u).is_err());
        assert!(ops::threshold::median(zero).is_err());
        assert!(ops::rank::rank(tall, Order::Ascending).is_err());
        assert!(ops::rank::argsort(tall, Order::Ascending).is_err());
        assert!(ops::sign::forward(tall, None).is_err());
        assert!(ops::sign::forward_packed(tall, None).is_err());
        assert!(ops::sign::forward(small, Some(&[0.0])).is_err());
        assert!(ops::sign::backward(small, None, pull, small).is_err());
        assert!(ops::relax::forward(small, -1.0).is_err());
        assert!(ops::relax::backward(small, -1.0, small).is_err());
        assert!(ops::loss::entropy_penalty_with_grad(small, f64::NAN).is_err());
        assert!(Codes::from_bytes(&[], 1 << 20, 64).is_err());
    });
    let half = Ones::Fraction(2.0);
    assert_allocates_nothing("refusals of a backend", || {
        assert!(Cpu.bihalf_forward(small, half).is_err());
        assert!(Cpu.bihalf_forward_packed(tall, Ones::Half).is_err());
        assert!(Cpu.bihalf_backward(small, small, pull, small).is_err());
        assert!(Cpu.sign_forward(small, Some(&[0.0])).is_err());
        assert!(Cpu.sign_forward_packed(tall, None).is_err());
        assert!(Cpu.relax_forward(small, -1.0).is_err());
        assert!(Backend::rank(&Cpu, tall, Order::Ascending).is_err());
        assert!(Backend::argsort(&Cpu, tall, Order::Ascending).is_err());
    });
}

#[test]
fn into_and_in_place_forms_allocate_nothing() {
    const M: usize = 33;
    const K: usize = 70;
    let u: Vec<f32> = (0..M * K).map(|n| ((n * 7919) % 1013) as f32 - 500.0).collect();
    let u = MatRef::new(&u, M, K).unwrap();
    let mut dense = vec![0.0f32; M * K];
    let mut ranks = vec![0u32; M * K];
    let mut counts = vec![0u32; K];
    let mut cut = vec![0.0f32; K];
    let mut codes = Codes::zeros(M, K).unwrap();
    let mut pairs = vec![0u32; M * M];
    let mut pair_grads = vec![0.0f64; ops::loss::pair_grads_len(M)];
    let mut ws = Workspace::for_shape::<f32>(M, K).unwrap();

    assert_allocates_nothing("bihalf forward", || {
        let out = Outputs::none()
            .dense(MatMut::new(&mut dense, M, K).unwrap())
            .codes(codes.as_mut())
            .counts(&mut counts[..]);
        ops::bi_half::forward_into(u, Ones::Half, out.threshold(&mut cut), &mut ws).unwrap();
    });
    assert_allocates_nothing("rank", || {
        let out = MatMut::new(&mut ranks, M, K).unwrap();
        ops::rank::rank_into(u, Order::Ascending, out, &mut ws).unwrap();
    });
    assert_allocates_nothing("argsort", || {
        let out = MatMut::new(&mut ranks, M, K).unwrap();
        ops::rank::argsort_into(u, Order::Descending, out, &mut ws).unwrap();
    });
    let (tall, mut tall_ranks) = ([0.5f64; 2 * 600], [0u32; 2 * 600]);
    let mut tall_ws = Workspace::for_shape::<f64>(600, 2).unwrap();
    assert_allocates_nothing("rank of more rows, then of less", || {
        for (rows, cols) in [(600, 2), (321, 2), (320, 2), (320, 1)] {
            let tall = MatRef::prefix(&tall, rows, cols).unwrap();
            let out = MatMut::prefix(&mut tall_ranks, rows, cols).unwrap();
            ops::rank::rank_into(tall, Order::Ascending, out, &mut tall_ws).unwrap();
        }
    });
    assert_allocates_nothing("median", || {
        ops::threshold::median_into(u, &mut cut, &mut ws).unwrap();
    });
    assert_allocates_nothing("sign", || {
        let out = Outputs::none().codes(codes.as_mut()).counts(&mut counts[..]);
        ops::sign::forward_into(u, Some(&cut), out).unwrap();
    });
    let packed = codes.clone();
    assert_allocates_nothing("backward", || {
        let grad = MatMut::new(&mut dense, M, K).unwrap();
        let b = packed.as_ref();
        ops::bi_half::backward_in_place(u, b, 1.0, grad).unwrap();
        let grad = MatMut::new(&mut dense, M, K).unwrap();
        ops::sign::backward_in_place(u, None, 1.0, grad).unwrap();
    });
    assert_allocates_nothing("relax", || {
        ops::relax::forward_into(u, 2.0, MatMut::new(&mut dense, M, K).unwrap()).unwrap();
        ops::relax::backward_in_place(u, 2.0, MatMut::new(&mut dense, M, K).unwrap()).unwrap();
    });
    assert_allocates_nothing("losses", || {
        let grad = MatMut::new(&mut dense, M, K).unwrap();
        ops::loss::cosine_with_grad_into(u, u, grad).unwrap();
        let grad = MatMut::new(&mut dense, M, K).unwrap();
        ops::loss::entropy_penalty_with_grad_into(u, 1.0, grad).unwrap();
        let codes = packed.as_ref();
        ops::loss::cosine_packed_into(u, codes, &mut pair_grads).unwrap();
        let (du, pull) = (MatMut::new(&mut dense, M, K).unwrap(), 1.0);
        ops::loss::cosine_packed_backward_into(u, codes, &pair_grads, pull, du).unwrap();
        let du = MatMut::new(&mut dense, M, K).unwrap();
        ops::loss::cosine_packed_backward_in_place(codes, &pair_grads, pull, du).unwrap();
    });
    assert_allocates_nothing("codes", || {
        ops::codes::unpack_into(packed.as_ref(), MatMut::new(&mut dense, M, K).unwrap()).unwrap();
        ops::codes::pack_into(u, codes.as_mut()).unwrap();
    });
    let mut values = vec![0.0f64; K];
    let mut histogram = ops::stats::Histogram::new(K, -500.0, 500.0, 10).unwrap();
    assert_allocates_nothing("stats", || {
        ops::stats::ones_into(packed.as_ref(), &mut counts).unwrap();
        ops::stats::p_plus_into(packed.as_ref(), &mut values).unwrap();
        ops::stats::bit_entropy_into(packed.as_ref(), &mut values).unwrap();
        ops::stats::transport_cost_into(u, &mut values, &mut ws).unwrap();
        histogram.add(u).unwrap();
    });
    let mut threshold = ops::threshold::Threshold::new(K, 0.9).unwrap();
    assert_allocates_nothing("threshold", || threshold.update_into(u, &mut cut, &mut ws).unwrap());
    let mut far = vec![0; M * 10];
    let (codes, near) = (packed.as_ref(), &mut vec![0; M * 10]);
    let mut searches = || {
        search::distances_into(codes, codes, &mut pairs, &mut ws).unwrap();
        search::rank_into(codes, codes, &mut pairs, &mut ws).unwrap();
        search::nearest_into(codes, codes, 10, near, &mut far, &mut ws).unwrap();
    };
    searches(); // the workspace grows
    assert_allocates_nothing("search", searches);
}
