//! Runs one kernel of a PTX file: `run_kernel PTX KERNEL INPUT OUTPUT BYTES N`.
//!
//! The kernel is `KERNEL(const void* in, void* out, int n)`: INPUT is a file with what `in` points
//! to, OUTPUT gets the BYTES of `out`, N threads are started in blocks of 128. Which driver runs it
//! is up to the library path, as for any program.

use cudarc::driver::{CudaContext, LaunchConfig, PushKernelArg};
use cudarc::nvrtc::Ptx;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let a: Vec<String> = std::env::args().collect();
    let [_, ptx, kernel, input, output, bytes, n] = a.as_slice() else {
        return Err("usage: run_kernel PTX KERNEL INPUT OUTPUT BYTES N".into());
    };
    let n: i32 = n.parse()?;
    let s = CudaContext::new(0)?.default_stream();
    let f = s.context().load_module(Ptx::from_file(ptx))?.load_function(kernel)?;
    let i = s.clone_htod(&std::fs::read(input)?)?;
    let mut o = s.alloc_zeros::<u8>(bytes.parse()?)?;
    let blocks = n.unsigned_abs().div_ceil(128);
    let shape =
        LaunchConfig { grid_dim: (blocks, 1, 1), block_dim: (128, 1, 1), shared_mem_bytes: 0 };
    unsafe { s.launch_builder(&f).arg(&i).arg(&mut o).arg(&n).launch(shape)? };
    std::fs::write(output, s.clone_dtoh(&o)?)?;
    Ok(())
}
