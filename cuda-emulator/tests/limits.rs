//! Launches that hardware refuses. The kernels are written in PTX, so this needs no nvcc.

use crate::common::{Device, argument, cfg, child, code};
use cudarc::driver::sys::CUdevice_attribute_enum as A;
use cudarc::driver::sys::CUfunction_attribute_enum as F;
use cudarc::driver::{CudaFunction, LaunchConfig};

const PTX: &str = "
.version 7.0
.target sm_75
.address_size 64
.extern .shared .align 16 .b8 dynamic[];
.shared .align 4 .b8 of_the_module[2000];
.visible .entry plain() { ret; }
.visible .entry bounded() .maxntid 64, 1, 1 { ret; }
.visible .entry some_static() {
    .reg .b32 %a;
    .shared .align 4 .b8 s[1000];
    mov.u32 %a, s;
    st.shared.u32 [%a], %a;
    ret;
}
.visible .entry names_it() {
    .reg .b32 %a;
    mov.u32 %a, of_the_module;
    st.shared.u32 [%a], %a;
    ret;
}
.visible .entry too_much_static() {
    .reg .b32 %a;
    .shared .align 4 .b8 s[49156];
    mov.u32 %a, s;
    st.shared.u32 [%a], %a;
    ret;
}
";

/// Runs the program for each capability with these variables.
fn on_each(test: &str, env: &[(&str, &str)], program: fn(&Device, u32)) {
    if let Some(cc) = argument() {
        return program(&Device::new("75"), cc.parse().unwrap());
    }
    for cc in ["75", "80", "86", "89", "90"] {
        let mut all = env.to_vec();
        all.push(("CUDAEMU_CC", cc));
        child(test, cc, &all).sound(&format!("{test} on {cc}"));
    }
}

fn launch(d: &Device, f: &CudaFunction, c: LaunchConfig) -> String {
    let launched = code(unsafe { d.s.launch_builder(f).launch(c) });
    // a refused launch leaves the context as it was
    assert_eq!(code(d.s.synchronize()), "SUCCESS");
    launched
}

fn dims(grid: (u32, u32, u32), block: (u32, u32, u32)) -> LaunchConfig {
    LaunchConfig { grid_dim: grid, block_dim: block, shared_mem_bytes: 0 }
}

/// Opt-in limits of shared memory, from the CUDA programming guide.
fn optin(cc: u32) -> u32 {
    1024 * match cc {
        75 => 64,
        80 => 163,
        86 | 89 => 99,
        90 => 227,
        _ => panic!("{cc}"),
    }
}

#[test]
fn dimensions() {
    on_each("limits::dimensions", &[], |d, _| {
        let f = d.load_text(PTX).load_function("plain").unwrap();
        let go = |grid, block| launch(d, &f, dims(grid, block));
        let one = (1, 1, 1);
        assert_eq!(go(one, (1024, 1, 1)), "SUCCESS");
        assert_eq!(go(one, (1, 1024, 1)), "SUCCESS");
        assert_eq!(go(one, (16, 1, 64)), "SUCCESS");
        assert_eq!(go((1, 65535, 1), one), "SUCCESS");
        assert_eq!(go((1, 1, 65535), one), "SUCCESS");
        let many = u32::MAX;
        for block in [
            (1025, 1, 1),
            (1, 1025, 1),
            (1, 1, 65),
            (32, 33, 1),
            (0, 1, 1),
            (1, 0, 1),
            (1, 1, 0),
            (many, many, many),
            // the product wraps to zero in 32 bits
            (65536, 65536, 1),
        ] {
            assert_eq!(go(one, block), "INVALID_VALUE", "block {block:?}");
        }
        for grid in [
            (1 << 31, 1, 1),
            (1, 65536, 1),
            (1, 1, 65536),
            (0, 1, 1),
            (1, 0, 1),
            (1, 1, 0),
            (many, many, many),
        ] {
            assert_eq!(go(grid, one), "INVALID_VALUE", "grid {grid:?}");
        }
        let a = |x| d.ctx.attribute(x).unwrap();
        assert_eq!(a(A::CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK), 1024);
        assert_eq!(a(A::CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X), 1024);
        assert_eq!(a(A::CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y), 1024);
        assert_eq!(a(A::CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z), 64);
        assert_eq!(a(A::CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X), i32::MAX);
        assert_eq!(a(A::CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y), 65535);
        assert_eq!(a(A::CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z), 65535);
    });
}

#[test]
fn declared_threads() {
    on_each("limits::declared_threads", &[], |d, _| {
        let f = d.load_text(PTX).load_function("bounded").unwrap();
        assert_eq!(launch(d, &f, cfg(1, 64, 0)), "SUCCESS");
        assert_eq!(launch(d, &f, dims((1, 1, 1), (8, 4, 2))), "SUCCESS");
        assert_eq!(launch(d, &f, cfg(1, 65, 0)), "LAUNCH_OUT_OF_RESOURCES");
        assert_eq!(f.get_attribute(F::CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK).unwrap(), 64);
    });
}

#[test]
fn shared_memory() {
    on_each("limits::shared_memory", &[], |d, cc| {
        let dynamic = F::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        let device = A::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN;
        assert_eq!(d.ctx.attribute(device).unwrap() as u32, optin(cc));
        let device = A::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK;
        assert_eq!(d.ctx.attribute(device).unwrap(), 49152);
        let m = d.load_text(PTX);
        for (kernel, fixed) in [("plain", 0), ("some_static", 1000), ("names_it", 2000)] {
            let f = m.load_function(kernel).unwrap();
            let go = |n| launch(d, &f, cfg(1, 32, n));
            assert_eq!(f.get_attribute(dynamic).unwrap() as u32, 49152 - fixed);
            assert_eq!(go(49152 - fixed), "SUCCESS", "{kernel}");
            assert_eq!(go(49153 - fixed), "INVALID_VALUE", "{kernel}");
            // no more than the device has
            for n in [optin(cc) as i32 - fixed as i32 + 1, i32::MAX, -1] {
                assert_eq!(code(f.set_attribute(dynamic, n)), "INVALID_VALUE", "{kernel} {n}");
            }
            assert_eq!(go(49153 - fixed), "INVALID_VALUE", "{kernel}");
            // as much as was asked for, no more
            f.set_attribute(dynamic, 60000).unwrap();
            assert_eq!(go(60000), "SUCCESS", "{kernel}");
            assert_eq!(go(60001), "INVALID_VALUE", "{kernel}");
            f.set_attribute(dynamic, (optin(cc) - fixed) as i32).unwrap();
            assert_eq!(go(optin(cc) - fixed), "SUCCESS", "{kernel}");
            assert_eq!(go(optin(cc) - fixed + 1), "INVALID_VALUE", "{kernel}");
            assert_eq!(go(u32::MAX), "INVALID_VALUE", "{kernel}");
        }
        assert_eq!(code(m.load_function("too_much_static")), "INVALID_PTX");
    });
}

/// 96 registers: 3072 a warp, so 5 warps in each quarter of 16384.
#[test]
fn registers() {
    on_each("limits::registers", &[("CUDAEMU_REGS", "96")], |d, _| {
        let m = d.load_text(PTX);
        let f = m.load_function("plain").unwrap();
        assert_eq!(f.num_regs().unwrap(), 96);
        assert_eq!(launch(d, &f, cfg(1, 640, 0)), "SUCCESS");
        assert_eq!(launch(d, &f, cfg(1, 641, 0)), "LAUNCH_OUT_OF_RESOURCES");
        assert_eq!(launch(d, &f, cfg(1, 1024, 0)), "LAUNCH_OUT_OF_RESOURCES");
        assert_eq!(f.get_attribute(F::CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK).unwrap(), 640);
        let fit = |n| f.occupancy_max_active_blocks_per_multiprocessor(n, 0, None).unwrap();
        assert_eq!((fit(32), fit(160), fit(320), fit(640), fit(672)), (5, 2, 1, 1, 0));
        assert_eq!(d.ctx.attribute(A::CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK).unwrap(), 65536);
    });
}

/// A count that is not a multiple of 8 takes the next one.
#[test]
fn registers_in_steps_of_eight() {
    on_each("limits::registers_in_steps_of_eight", &[("CUDAEMU_REGS", "65")], |d, _| {
        let f = d.load_text(PTX).load_function("plain").unwrap();
        assert_eq!(f.num_regs().unwrap(), 65);
        // 72 * 32 a warp: 28 warps
        assert_eq!(launch(d, &f, cfg(1, 896, 0)), "SUCCESS");
        assert_eq!(launch(d, &f, cfg(1, 897, 0)), "LAUNCH_OUT_OF_RESOURCES");
    });
}
