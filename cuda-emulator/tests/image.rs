//! Module images: which code of a fatbin runs, and images that are refused.

use crate::common::{Device, argument, cfg, child, code, compiled, need_nvcc, nvcc, scratch_file};
use cudarc::driver::{CudaModule, DriverError, PushKernelArg};
use cudarc::nvrtc::Ptx;
use std::process::Command;
use std::sync::Arc;

const PLAIN: &[&str] = &["-no-compress"];

fn gencode(what: &[(u32, &str)]) -> Vec<String> {
    let one =
        |(arch, code): &(u32, &str)| format!("-gencode=arch=compute_{arch},code={code}_{arch}");
    what.iter().map(one).collect()
}

fn fatbin(mode: &[&str], what: &[(u32, &str)]) -> Vec<u8> {
    let codes = gencode(what);
    let mut options = [&["-fatbin"], mode].concat();
    options.extend(codes.iter().map(String::as_str));
    std::fs::read(compiled("image", &options)).unwrap()
}

fn everything() -> Vec<u8> {
    let archs = [75, 80, 90];
    let what: Vec<(u32, &str)> = archs.iter().flat_map(|&a| [(a, "sm"), (a, "compute")]).collect();
    fatbin(PLAIN, &what)
}

fn load(d: &Device, image: &[u8]) -> Result<Arc<CudaModule>, DriverError> {
    d.ctx.load_module(Ptx::from_binary(image.to_vec()))
}

/// In the child of a test with one image: loads it, from memory and from a file.
fn load_both(d: &Device, file: &str) -> [String; 2] {
    let image = std::fs::read(file).unwrap();
    [code(load(d, &image)), code(d.ctx.load_module(Ptx::from_file(file)))]
}

#[test]
fn highest_capability_not_above_the_device() {
    if let Some(a) = argument() {
        let (want, file) = a.split_once(' ').unwrap();
        let d = Device::new("80");
        for m in [
            load(&d, &std::fs::read(file).unwrap()).unwrap(),
            d.ctx.load_module(Ptx::from_file(file)).unwrap(),
        ] {
            let f = m.load_function("arch").unwrap();
            let mut o = d.s.alloc_zeros::<i32>(32).unwrap();
            unsafe { d.s.launch_builder(&f).arg(&mut o).launch(cfg(1, 32, 0)).unwrap() };
            assert_eq!(d.s.clone_dtoh(&o).unwrap(), [want.parse::<i32>().unwrap(); 32]);
        }
        return;
    }
    need_nvcc!();
    let test = "image::highest_capability_not_above_the_device";
    let file = scratch_file("all.fatbin");
    std::fs::write(&file, everything()).unwrap();
    for (cc, want) in [("75", 750), ("80", 800), ("86", 800), ("89", 800), ("90", 900)] {
        let argument = format!("{want} {}", file.display());
        child(test, &argument, &[("CUDAEMU_CC", cc)]).sound(&format!("capability {cc}"));
    }
    std::fs::remove_file(file).unwrap();
}

/// ptxas says how many registers a kernel takes; the machine code beside the PTX says it too.
#[test]
fn registers_of_the_machine_code() {
    let read = |d: &Device, m: &Arc<CudaModule>, kernel: &str| {
        let f = m.load_function(kernel).unwrap();
        let n = f.num_regs().unwrap();
        // 96 registers and more: 1024 threads do not fit
        if n > 64 {
            let (o, a) = (d.s.alloc_zeros::<f32>(1).unwrap(), d.s.alloc_zeros::<f32>(1).unwrap());
            let mut b = d.s.launch_builder(&f);
            let launched = code(unsafe { b.arg(&o).arg(&a).launch(cfg(1, 1024, 0)) });
            assert_eq!(launched, "LAUNCH_OUT_OF_RESOURCES");
            assert_eq!(f.occupancy_max_active_blocks_per_multiprocessor(1024, 0, None), Ok(0));
        }
        n
    };
    if let Some(file) = argument() {
        let d = Device::new("80");
        let m = load(&d, &std::fs::read(file).unwrap()).unwrap();
        for kernel in ["arch", "many_registers"] {
            println!("{kernel} {}", read(&d, &m, kernel));
        }
        return;
    }
    need_nvcc!();
    let test = "image::registers_of_the_machine_code";
    let file = scratch_file("registers.fatbin");
    std::fs::write(&file, everything()).unwrap();
    for cc in ["75", "80", "90"] {
        let o = child(test, file.to_str().unwrap(), &[("CUDAEMU_CC", cc)]);
        o.sound(&format!("capability {cc}"));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kernels/image.cu");
        let mut c = Command::new(nvcc().unwrap());
        c.args(["-std=c++17", "-lineinfo", "-cubin", "-Xptxas=-v", &format!("-arch=sm_{cc}")]);
        let said = c.arg(source).arg("-o").arg("/dev/null").output().unwrap();
        let said = String::from_utf8(said.stderr).unwrap();
        let mut seen = 0;
        for kernel in ["arch", "many_registers"] {
            let after = said.split_once(&format!("entry function '{kernel}'")).unwrap().1;
            let used = after.split_once("Used ").unwrap().1.split(' ').next().unwrap();
            assert!(o.stdout.contains(&format!("{kernel} {used}\n")), "{said}\n{}", o.text());
            seen = seen.max(used.parse().unwrap());
        }
        assert!(seen > 64, "the test wants a kernel with many registers: {said}");
    }
    // no machine code for exactly this device: the number of the environment
    let env = [("CUDAEMU_CC", "86"), ("CUDAEMU_REGS", "40")];
    let o = child(test, file.to_str().unwrap(), &env);
    o.sound("capability 8.6");
    assert!(o.stdout.contains("arch 40\nmany_registers 40\n"), "{}", o.text());
    std::fs::remove_file(file).unwrap();
}

#[test]
fn refused_with_a_reason() {
    if let Some(file) = argument() {
        let d = Device::new("80");
        println!("{:?}", load_both(&d, &file));
        // and goes on
        assert_eq!(code(d.ctx.synchronize()), "SUCCESS");
        return;
    }
    need_nvcc!();
    let file = scratch_file("refused");
    let cubin = std::fs::read(compiled("image", &["-cubin", "-arch=sm_80"])).unwrap();
    let machine = fatbin(PLAIN, &[(75, "sm"), (80, "sm")]);
    let newer = fatbin(PLAIN, &[(90, "compute")]);
    let packed = fatbin(&[], &[(80, "compute")]);
    for (what, image, result, reason) in [
        ("cubin", cubin, "NO_BINARY_FOR_GPU", "this is a cubin, machine code only"),
        ("machine", machine, "NO_BINARY_FOR_GPU", "machine code only (for 7.5, 8.0)"),
        ("newer", newer, "NO_BINARY_FOR_GPU", "PTX for 9.0 only, this device is 8.0"),
        ("packed", packed, "NO_BINARY_FOR_GPU", "is compressed: compile with -no-compress"),
        ("empty", vec![0], "INVALID_IMAGE", "neither PTX nor a fatbin"),
        ("text", b"int main() {}\0".to_vec(), "INVALID_IMAGE", "neither PTX nor a fatbin"),
    ] {
        std::fs::write(&file, image).unwrap();
        let env = [("CUDAEMU_CC", "80")];
        let o = child("image::refused_with_a_reason", file.to_str().unwrap(), &env);
        o.sound(what);
        assert!(o.stdout.contains(&format!("{:?}", [result; 2])), "{what}\n{}", o.text());
        let lines = o.stderr.lines().filter(|l| l.starts_with("cudaemu: ") && l.contains(reason));
        assert_eq!(lines.count(), 2, "{what}\n{}", o.text());
    }
    std::fs::remove_file(file).unwrap();
}

#[test]
fn damaged_container() {
    if let Some(path) = argument() {
        let d = Device::new("80");
        let whole = std::fs::read(&path).unwrap();
        assert_eq!(code(load(&d, &whole)), "SUCCESS");
        // cut off, as a file: the length is known
        let cuts = (0..200).chain((200..whole.len()).step_by(487));
        for n in cuts {
            std::fs::write(&path, &whole[..n]).unwrap();
            assert_eq!(
                code(d.ctx.load_module(Ptx::from_file(&path))),
                "INVALID_IMAGE",
                "{n} bytes"
            );
        }
        // a header that claims less than there is, in memory
        for n in (0..whole.len() - 17).step_by(487) {
            let mut image = whole.clone();
            image[8..16].copy_from_slice(&(n as u64).to_le_bytes());
            let got = code(load(&d, &image));
            // ends between two entries by chance, or in the middle of one
            assert!(
                ["INVALID_IMAGE", "NO_BINARY_FOR_GPU", "SUCCESS"].contains(&&*got),
                "{n} {got}"
            );
        }
        // bytes changed where sizes are: any answer but a crash (UNKNOWN is a panic inside)
        let mut x = 7u64;
        for _ in 0..2000 {
            let mut image = whole.clone();
            for _ in 0..3 {
                x ^= x << 13;
                x ^= x >> 7;
                x ^= x << 17;
                // the container's header aside from its size and magic, entry and section headers
                let at = 16 + (x >> 8) as usize % 600;
                image[at] = x as u8;
            }
            let got = code(load(&d, &image));
            assert_ne!(got, "UNKNOWN");
        }
        // a cubin whose section table is anywhere
        let at = whole.windows(4).position(|w| w == b"\x7fELF").unwrap();
        for o in 0..64 {
            for v in [0u8, 1, 0x7f, 0xff] {
                let mut image = whole.clone();
                image[at + o] = v;
                assert_eq!(code(load(&d, &image)), "SUCCESS", "byte {o} of the cubin is {v}");
            }
        }
        return;
    }
    need_nvcc!();
    let file = scratch_file("damaged");
    std::fs::write(&file, fatbin(PLAIN, &[(80, "sm"), (80, "compute")])).unwrap();
    child("image::damaged_container", file.to_str().unwrap(), &[]).sound("damaged");
    std::fs::remove_file(file).unwrap();
}

/// Writes 7 where kernel `arch` of `kernels/image.cu` writes the capability.
const SEVEN: &str = "
.version 7.0
.target sm_75
.address_size 64
.visible .entry arch(.param .u64 arch_param_0) {
    .reg .b32 %r<3>;
    .reg .b64 %rd<4>;
    ld.param.u64 %rd1, [arch_param_0];
    mov.u32 %r1, %tid.x;
    mul.wide.u32 %rd2, %r1, 4;
    add.s64 %rd3, %rd1, %rd2;
    mov.u32 %r2, 7;
    st.global.u32 [%rd3], %r2;
    ret;
}
";

#[test]
fn kernels_of_another_file_instead() {
    if let Some(file) = argument() {
        let d = Device::new("80");
        let m = load(&d, &std::fs::read(file).unwrap()).unwrap();
        let f = m.load_function("arch").unwrap();
        let mut o = d.s.alloc_zeros::<i32>(32).unwrap();
        unsafe { d.s.launch_builder(&f).arg(&mut o).launch(cfg(1, 32, 0)).unwrap() };
        println!("{:?}", &d.s.clone_dtoh(&o).unwrap()[..2]);
        println!("{}", code(m.load_function("many_registers")));
        return;
    }
    need_nvcc!();
    let test = "image::kernels_of_another_file_instead";
    let (file, other) = (scratch_file("instead.fatbin"), scratch_file("instead.ptx"));
    std::fs::write(&file, fatbin(PLAIN, &[(80, "compute")])).unwrap();
    std::fs::write(&other, SEVEN).unwrap();
    let argument = file.to_str().unwrap();
    for (env, want) in
        [(None, "[800, 800]"), (Some(("CUDAEMU_PTX", other.to_str().unwrap())), "[7, 7]")]
    {
        let o = child(test, argument, env.as_slice());
        o.sound(want);
        assert!(o.stdout.contains(&format!("{want}\nSUCCESS\n")), "{}", o.text());
    }
    std::fs::remove_file(other).unwrap();
    let env = [("CUDAEMU_PTX", "no-such.ptx")];
    let o = child(test, argument, &env);
    assert!(!o.ok && o.stderr.contains("CUDAEMU_PTX=no-such.ptx"), "{}", o.text());
    std::fs::remove_file(file).unwrap();
}
