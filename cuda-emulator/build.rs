//! Gives the library the name under which programs look for the CUDA driver.
//!
//! The dynamic linker answers `dlopen("libcuda.so.1")` with a library of that soname which the
//! process has already opened, whatever its file is called. The file itself must not be called
//! libcuda.so: see `[lib]` in Cargo.toml.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // other linkers do not know the option
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libcuda.so.1");
    }
}
