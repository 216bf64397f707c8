//! bihalf's operations, into memory of the caller.

use crate::clock::seconds;
use crate::pool::within;
use crate::{Call, report};
use bihalf::{Element, Error, MatMut, MatRef, Ones, Order, Outputs, PackedCodes, Workspace, ops};
use std::ffi::c_void;
use std::slice::{from_raw_parts, from_raw_parts_mut};

/// Words of a row of packed codes.
pub(crate) fn words(call: Call) -> usize {
    call.rows * call.cols.div_ceil(64)
}

/// Calls a generic function with the element type of a call.
macro_rules! with_dtype {
    ($call:expr, $function:ident($($argument:expr),*)) => {
        match $call.dtype {
            0 => $function::<f32>($($argument),*),
            1 => $function::<f64>($($argument),*),
            2 => $function::<half::f16>($($argument),*),
            3 => $function::<half::bf16>($($argument),*),
            other => {
                eprintln!("bihalf-peers: no element type has number {other}");
                f64::NAN
            }
        }
    };
}
pub(crate) use with_dtype;

pub(crate) unsafe fn elements<'a, T>(data: *const c_void, call: Call) -> &'a [T] {
    // SAFETY: the caller's promise.
    unsafe { from_raw_parts(data.cast(), call.rows * call.cols) }
}

pub(crate) unsafe fn elements_mut<'a, T>(data: *mut c_void, call: Call) -> &'a mut [T] {
    // SAFETY: the caller's promise.
    unsafe { from_raw_parts_mut(data.cast(), call.rows * call.cols) }
}

/// Bi-half forward into dense `b`.
///
/// # Safety
/// `u` and `b` are of `rows * cols` elements.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peers_forward(u: *const c_void, b: *mut c_void, call: Call) -> f64 {
    fn forward<T: Element>(u: &[T], b: &mut [T], call: Call) -> Result<f64, Error> {
        let u = MatRef::new(u, call.rows, call.cols)?;
        let mut ws = Workspace::for_shape::<T>(call.rows, call.cols)?;
        seconds(call, || {
            let out = Outputs::none().dense(MatMut::new(b, call.rows, call.cols)?);
            ops::bi_half::forward_into(u, Ones::Half, out, &mut ws)
        })
    }
    fn typed<T: Element>(u: *const c_void, b: *mut c_void, call: Call) -> f64 {
        // SAFETY: the caller's promise.
        let (u, b) = unsafe { (elements::<T>(u, call), elements_mut::<T>(b, call)) };
        report(within(call.threads, || forward(u, b, call)))
    }
    with_dtype!(call, typed(u, b, call))
}

/// Bi-half forward into packed codes.
///
/// # Safety
/// `u` is of `rows * cols` elements, `codes` of `rows * ceil(cols / 64)` words.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peers_forward_packed(
    u: *const c_void,
    codes: *mut u64,
    call: Call,
) -> f64 {
    fn forward<T: Element>(u: &[T], codes: &mut [u64], call: Call) -> Result<f64, Error> {
        let u = MatRef::new(u, call.rows, call.cols)?;
        let mut ws = Workspace::for_shape::<T>(call.rows, call.cols)?;
        seconds(call, || {
            let codes = PackedCodes::new(&mut *codes, call.rows, call.cols)?;
            let out = Outputs::none().codes(codes);
            ops::bi_half::forward_into(u, Ones::Half, out, &mut ws)
        })
    }
    fn typed<T: Element>(u: *const c_void, codes: *mut u64, call: Call) -> f64 {
        // SAFETY: the caller's promise.
        let (u, codes) =
            unsafe { (elements::<T>(u, call), from_raw_parts_mut(codes, words(call))) };
        report(within(call.threads, || forward(u, codes, call)))
    }
    with_dtype!(call, typed(u, codes, call))
}

/// The gradient of Bi-half, gamma = 6, from packed codes: `grad` holds dB and becomes dU.
///
/// # Safety
/// `u` and `grad` are of `rows * cols` elements, `codes` of `rows * ceil(cols / 64)` words.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peers_backward(
    u: *const c_void,
    codes: *const u64,
    grad: *mut c_void,
    call: Call,
) -> f64 {
    fn backward<T: Element>(
        u: &[T],
        codes: &[u64],
        grad: &mut [T],
        call: Call,
    ) -> Result<f64, Error> {
        let u = MatRef::new(u, call.rows, call.cols)?;
        let codes = PackedCodes::new(codes, call.rows, call.cols)?;
        seconds(call, || {
            let grad = MatMut::new(grad, call.rows, call.cols)?;
            ops::bi_half::backward_in_place(u, codes, 6.0, grad)
        })
    }
    fn typed<T: Element>(
        u: *const c_void,
        codes: *const u64,
        grad: *mut c_void,
        call: Call,
    ) -> f64 {
        // SAFETY: the caller's promise.
        let (u, codes, grad) = unsafe {
            let codes = from_raw_parts(codes, words(call));
            (elements::<T>(u, call), codes, elements_mut::<T>(grad, call))
        };
        report(within(call.threads, || backward(u, codes, grad, call)))
    }
    with_dtype!(call, typed(u, codes, grad, call))
}

/// Either of the two forms of an order.
type Ordering<T> = fn(MatRef<'_, T>, Order, MatMut<'_, u32>, &mut Workspace) -> Result<(), Error>;

fn order<T: Element>(u: *const c_void, out: *mut u32, call: Call, into: Ordering<T>) -> f64 {
    // SAFETY: the promise of the caller of both functions below.
    let (u, out) =
        unsafe { (elements::<T>(u, call), from_raw_parts_mut(out, call.rows * call.cols)) };
    let run = || {
        let u = MatRef::new(u, call.rows, call.cols)?;
        let mut ws = Workspace::for_shape::<T>(call.rows, call.cols)?;
        seconds(call, || {
            into(u, Order::Ascending, MatMut::new(out, call.rows, call.cols)?, &mut ws)
        })
    };
    report::<Error>(within(call.threads, run))
}

/// The rank of each element of a column, ascending and stable.
///
/// # Safety
/// `u` and `ranks` are of `rows * cols` elements.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peers_rank(u: *const c_void, ranks: *mut u32, call: Call) -> f64 {
    fn typed<T: Element>(u: *const c_void, ranks: *mut u32, call: Call) -> f64 {
        order::<T>(u, ranks, call, ops::rank::rank_into)
    }
    with_dtype!(call, typed(u, ranks, call))
}

/// The rows of each column in ascending order, stable.
///
/// # Safety
/// `u` and `rows` are of `rows * cols` elements.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peers_argsort(u: *const c_void, rows: *mut u32, call: Call) -> f64 {
    fn typed<T: Element>(u: *const c_void, rows: *mut u32, call: Call) -> f64 {
        order::<T>(u, rows, call, ops::rank::argsort_into)
    }
    with_dtype!(call, typed(u, rows, call))
}

/// The cosine-preserving loss of f32 features and codes, and its gradient.
///
/// # Safety
/// `x` is of `rows * features` elements, `b` and `grad` of `rows * cols`, `loss` of one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peers_cosine(
    x: *const f32,
    features: usize,
    b: *const f32,
    grad: *mut f32,
    loss: *mut f64,
    call: Call,
) -> f64 {
    // SAFETY: the caller's promise.
    let (x, b, grad, loss) = unsafe {
        (
            from_raw_parts(x, call.rows * features),
            elements::<f32>(b.cast(), call),
            elements_mut::<f32>(grad.cast(), call),
            &mut *loss,
        )
    };
    let run = || {
        let x = MatRef::new(x, call.rows, features)?;
        let b = MatRef::new(b, call.rows, call.cols)?;
        seconds(call, || {
            let grad = MatMut::new(grad, call.rows, call.cols)?;
            *loss = ops::loss::cosine_with_grad_into(x, b, grad)?;
            Ok(())
        })
    };
    report::<Error>(within(call.threads, run))
}
