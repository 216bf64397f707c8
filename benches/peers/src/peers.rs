//! What is beside bihalf in Rust: candle, and copies of memory.

use crate::clock::seconds;
use crate::pool::within;
use crate::{Call, report};
use candle_core::{Device, Tensor};
use std::convert::Infallible;
use std::hint::black_box;
use std::slice::{from_raw_parts, from_raw_parts_mut};

/// Bi-half by candle, as the definition suggests: sort each column, scatter +1 and -1.
///
/// # Safety
/// `u` and `b` are of `rows * cols` elements.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peers_candle_forward(u: *const f32, b: *mut f32, call: Call) -> f64 {
    let Call { rows, cols, .. } = call;
    // SAFETY: the caller's promise.
    let (u, b) = unsafe { (from_raw_parts(u, rows * cols), from_raw_parts_mut(b, rows * cols)) };
    let run = || {
        let u = Tensor::from_slice(u, (rows, cols), &Device::Cpu)?;
        let ones = Tensor::ones((cols, rows / 2), u.dtype(), &Device::Cpu)?;
        let others = Tensor::full(-1f32, (cols, rows - rows / 2), &Device::Cpu)?;
        let signs = Tensor::cat(&[ones, others], 1)?;
        let mut last = u.clone();
        let seconds = seconds(call, || {
            let order = u.t()?.contiguous()?.arg_sort_last_dim(false)?;
            last = signs.zeros_like()?.scatter(&order, &signs, 1)?.t()?.contiguous()?;
            Ok::<_, candle_core::Error>(())
        })?;
        b.copy_from_slice(&last.flatten_all()?.to_vec1::<f32>()?);
        Ok(seconds)
    };
    report::<candle_core::Error>(within(call.threads, run))
}

/// Copies `rows * cols` floats.
///
/// # Safety
/// Both are of `rows * cols` elements.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peers_copy(from: *const f32, to: *mut f32, call: Call) -> f64 {
    let len = call.rows * call.cols;
    // SAFETY: the caller's promise.
    let (from, to) = unsafe { (from_raw_parts(from, len), from_raw_parts_mut(to, len)) };
    report::<Infallible>(seconds(call, || {
        black_box(&mut *to).copy_from_slice(black_box(from));
        Ok(())
    }))
}

/// The same, writing past the caches: what bounds an operation that reads and writes each element
/// once.
///
/// # Safety
/// Both are of `rows * cols` elements, a multiple of 8; `to` starts at a multiple of 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peers_copy_past_caches(from: *const f32, to: *mut f32, call: Call) -> f64 {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx") {
        return report::<Infallible>(seconds(call, || {
            // SAFETY: the caller's promise; the feature has been asked for.
            unsafe { copy_past_caches(from, to, call.rows * call.cols) };
            Ok(())
        }));
    }
    // SAFETY: the caller's promise.
    unsafe { peers_copy(from, to, call) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx")]
unsafe fn copy_past_caches(from: *const f32, to: *mut f32, len: usize) {
    use std::arch::x86_64::{_mm_sfence, _mm256_loadu_ps, _mm256_stream_ps};
    for i in (0..len).step_by(8) {
        // SAFETY: the caller's promise.
        unsafe { _mm256_stream_ps(to.add(i), _mm256_loadu_ps(from.add(i))) };
    }
    _mm_sfence();
}

/// Reads `rows * cols` floats: what bounds an operation that hardly writes.
///
/// # Safety
/// They are there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peers_read(from: *const u32, call: Call) -> f64 {
    // SAFETY: the caller's promise.
    let from = unsafe { from_raw_parts(from, call.rows * call.cols) };
    report::<Infallible>(seconds(call, || {
        black_box(black_box(from).iter().fold(0, |all, word| all ^ word));
        Ok(())
    }))
}
