//! The operations around Bi-half, by their number.

use crate::clock::seconds;
use crate::operations::{elements, elements_mut, with_dtype, words};
use crate::pool::within;
use crate::{Call, report};
use bihalf::ops::stats::Histogram;
use bihalf::ops::threshold::Threshold;
use bihalf::{Element, Error, MatMut, MatRef, Outputs, PackedCodes, Workspace, ops};
use std::ffi::c_void;
use std::slice::{from_raw_parts, from_raw_parts_mut};

/// An operation of `peers.py`'s list, on what its arguments point to there.
///
/// # Safety
/// `input`, `second` and `out` are what the operation takes, of the shape of the call: matrices of
/// `rows * cols` elements, or `rows * features`, codes of `rows * ceil(cols / 64)` words, a value
/// for each column.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peers_operation(
    operation: u32,
    input: *const c_void,
    second: *const c_void,
    out: *mut c_void,
    features: usize,
    call: Call,
) -> f64 {
    fn typed<T: Element>(operation: u32, arguments: Arguments) -> f64 {
        report(within(arguments.call.threads, || arguments.run::<T>(operation)))
    }
    let arguments = Arguments { input, second, out, features, call };
    with_dtype!(call, typed(operation, arguments))
}

#[derive(Clone, Copy)]
struct Arguments {
    input: *const c_void,
    second: *const c_void,
    out: *mut c_void,
    features: usize,
    call: Call,
}

// SAFETY: they are borrowed for the length of the call, by one thread of a pool at a time.
unsafe impl Send for Arguments {}
// SAFETY: the same.
unsafe impl Sync for Arguments {}

impl Arguments {
    fn run<T: Element>(self, operation: u32) -> Result<f64, Error> {
        let Self { input, second, out, features, call } = self;
        let (rows, cols) = (call.rows, call.cols);
        // SAFETY: the caller's promise; each arm uses what its operation takes.
        let u = || MatRef::new(unsafe { elements::<T>(input, call) }, rows, cols);
        // SAFETY: the same.
        let codes = || {
            let words = unsafe { from_raw_parts(input.cast(), words(call)) };
            PackedCodes::new(words, rows, cols)
        };
        // SAFETY: the same.
        let dense = || MatMut::new(unsafe { elements_mut::<T>(out, call) }, rows, cols);
        // SAFETY: the same.
        let shift = || unsafe { from_raw_parts(second.cast::<T>(), cols) };
        // SAFETY: the same.
        let packed = || {
            let words = unsafe { from_raw_parts_mut(out.cast(), words(call)) };
            PackedCodes::new(words, rows, cols)
        };
        // SAFETY: the same.
        let counts = || unsafe { from_raw_parts_mut(out.cast::<u32>(), cols) };
        // SAFETY: the same.
        let reals = || unsafe { from_raw_parts_mut(out.cast::<f64>(), cols) };
        let sign = |shift, out| ops::sign::forward_into(u()?, shift, out);
        let ws = &mut Workspace::for_shape::<T>(rows, cols)?;
        match operation {
            0 => seconds(call, || sign(None, Outputs::none().dense(dense()?))),
            1 => seconds(call, || sign(None, Outputs::none().codes(packed()?))),
            2 => seconds(call, || {
                // SAFETY: the caller's promise.
                let out = unsafe { elements_mut::<i8>(out, call) };
                sign(None, Outputs::none().dense_i8(MatMut::new(out, rows, cols)?))
            }),
            3 => seconds(call, || sign(None, Outputs::none().counts(counts()))),
            4 => seconds(call, || sign(Some(shift()), Outputs::none().codes(packed()?))),
            5 => seconds(call, || ops::sign::backward_in_place(u()?, None, 6.0, dense()?)),
            6 => seconds(call, || ops::relax::forward_into(u()?, 2.0, dense()?)),
            7 => seconds(call, || {
                // SAFETY: the caller's promise.
                let grad = MatRef::new(unsafe { elements::<T>(second, call) }, rows, cols)?;
                ops::relax::backward_into(u()?, 2.0, grad, dense()?)
            }),
            8 => seconds(call, || ops::codes::unpack_into(codes()?, dense()?)),
            9 => seconds(call, || {
                ops::loss::entropy_penalty_with_grad_into(u()?, 1.0, dense()?).map(drop)
            }),
            10 => seconds(call, || ops::stats::ones_into(codes()?, counts())),
            11 => seconds(call, || {
                // SAFETY: the caller's promise.
                let out = unsafe { &mut *out.cast::<f64>() };
                *out = ops::stats::mean_abs_correlation(codes()?)?.unwrap_or(f64::NAN);
                Ok(())
            }),
            12 => {
                let mut histogram = Histogram::new(cols, -1.0, 1.0, 64)?;
                // SAFETY: the caller's promise.
                let out = unsafe { from_raw_parts_mut(out.cast::<u64>(), 64 * cols) };
                histogram.add(u()?)?;
                for (j, out) in out.chunks_mut(64).enumerate() {
                    out.copy_from_slice(histogram.column(j));
                }
                seconds(call, || histogram.add(u()?))
            }
            13 => seconds(call, || ops::stats::transport_cost_into(u()?, reals(), ws)),
            14 => {
                let mut threshold = Threshold::new(cols, 0.9)?;
                // SAFETY: the caller's promise.
                let medians = unsafe { from_raw_parts_mut(out.cast::<T>(), cols) };
                seconds(call, || threshold.update_into(u()?, medians, ws))
            }
            15 => {
                // SAFETY: the caller's promise.
                let x = unsafe { from_raw_parts(input.cast::<T>(), rows * features) };
                let x = MatRef::new(x, rows, features)?;
                // SAFETY: the caller's promise.
                let b = MatRef::new(unsafe { elements::<T>(second, call) }, rows, cols)?;
                // SAFETY: the caller's promise.
                let out = unsafe { &mut *out.cast::<f64>() };
                seconds(call, || {
                    *out = ops::loss::cosine(x, b)?;
                    Ok(())
                })
            }
            other => {
                eprintln!("bihalf-peers: no operation has number {other}");
                Ok(f64::NAN)
            }
        }
    }
}
