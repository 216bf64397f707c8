//! How a test of another package gets the emulator: opened by path, found by name.

use crate::common::{argument, child_command, emulator, outcome};
use cudarc::driver::CudaContext;
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use std::ffi::c_void;

#[test]
fn name_resolves_to_the_opened_file() {
    if argument().is_none() {
        let o = outcome(child_command("loading::name_resolves_to_the_opened_file", "run", &[]));
        assert!(o.ok, "{}", o.text());
        return;
    }
    // the name lives as long as the library is open
    let by_path = unsafe { Library::open(Some(emulator()), RTLD_NOW | RTLD_LOCAL).unwrap() };
    unsafe {
        let by_name = Library::open(Some("libcuda.so.1"), RTLD_NOW | RTLD_LOCAL).unwrap();
        let a = *by_path.get::<*const c_void>(b"cuInit\0").unwrap();
        let b = *by_name.get::<*const c_void>(b"cuInit\0").unwrap();
        assert!(!a.is_null());
        assert_eq!(a, b);
    }
    // a machine with a driver may have the unversioned name too, which programs try first
    if unsafe { Library::open(Some("libcuda.so"), RTLD_NOW | RTLD_LOCAL) }.is_err() {
        let ctx = CudaContext::new(0).unwrap();
        assert_eq!(ctx.name().unwrap(), "CPU emulation of a CUDA device");
    }
    drop(by_path);
}

#[test]
fn no_file_that_shadows_a_real_driver() {
    assert!(emulator().is_file());
    let dir = emulator();
    let dir = dir.parent().unwrap();
    // cargo puts these folders on the library path of every test of the workspace
    for d in [dir, dir.parent().unwrap()] {
        for f in std::fs::read_dir(d).unwrap() {
            let name = f.unwrap().file_name().into_string().unwrap();
            assert!(!name.starts_with("libcuda.so"), "{name} in {}", d.display());
        }
    }
}
