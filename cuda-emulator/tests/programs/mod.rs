//! Programs whose results are computed a second time on the host, for PTX of every architecture and under
//! other schedules.

mod algorithms;
mod arithmetic;
mod driver;
mod halves;
mod threads;

use crate::common::{ARCHS, Device, argument, child, need_nvcc, ptx};
use cudarc::driver::*;
use std::sync::Arc;

/// A device with the kernels of the file `basic` and of another one.
struct Program {
    arch: String,
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    modules: Vec<Arc<CudaModule>>,
}

impl Program {
    fn function(&self, name: &str) -> CudaFunction {
        let found = self.modules.iter().find_map(|module| module.load_function(name).ok());
        found.unwrap_or_else(|| panic!("no kernel {name}"))
    }

    fn on_device<T: DeviceRepr>(&self, values: &[T]) -> CudaSlice<T> {
        self.stream.clone_htod(values).unwrap()
    }

    fn zeros<T: DeviceRepr + ValidAsZeroBits>(&self, count: usize) -> CudaSlice<T> {
        self.stream.alloc_zeros(count).unwrap()
    }

    fn read<T: DeviceRepr>(&self, from: &CudaSlice<T>) -> Vec<T> {
        self.stream.clone_dtoh(from).unwrap()
    }
}

/// Launches a kernel with these arguments. A function cannot take as many, of as many types.
macro_rules! launch {
    ($on:expr, $kernel:literal, $shape:expr; $($argument:expr),+) => {{
        use cudarc::driver::PushKernelArg as _;
        let kernel = $on.function($kernel);
        unsafe { $on.stream.launch_builder(&kernel)$(.arg($argument))+.launch($shape) }.unwrap()
    }};
}
use launch;

/// Runs a program in processes of its own: PTX of each architecture in the plain order, then other
/// schedules. `test` is the name of the calling test, `sources` the files with its kernels.
fn each(test: &str, sources: &[&str], program: fn(&Program)) {
    if let Some(arch) = argument() {
        let device = Device::new(&arch);
        let modules = sources.iter().map(|source| device.load(source)).collect();
        let Device { ctx: context, s: stream, arch } = device;
        let device = Program { arch, context, stream, modules };
        program(&device);
        device.context.synchronize().unwrap();
        return;
    }
    need_nvcc!();
    let plain = ARCHS.map(|arch| (arch, vec![]));
    let other = [
        ("80", vec![("CUDAEMU_SEED", "1"), ("CUDAEMU_THREADS", "1")]),
        ("75", vec![("CUDAEMU_SEED", "2"), ("CUDAEMU_BLOCK_ORDER", "reverse")]),
        ("90", vec![("CUDAEMU_STREAMS", "eager"), ("CUDAEMU_POOLS", "0")]),
    ];
    for (arch, env) in plain.into_iter().chain(other) {
        for source in sources {
            ptx(source, arch);
        }
        let mut all = env.clone();
        all.push(("CUDAEMU_CC", "90"));
        child(test, arch, &all).sound(&format!("{test} for {arch} {env:?}"));
    }
}

/// Numbers that are the same in each run: xorshift*.
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// from -128 to 128, with 16 bits behind the point
    fn float(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / 65536.0 - 128.0
    }

    fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.float()).collect()
    }
}
