//! Gives the library the name under which programs look for the CUDA driver, where there is an emulator.
//!
//! The dynamic linker answers `dlopen("libcuda.so.1")` with a library of that soname which the
//! process has already opened, whatever its file is called. The file itself must not be called
//! libcuda.so: see `[lib]` in Cargo.toml.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-check-cfg=cfg(has_emulator)");
    let target = |what: &str| std::env::var(format!("CARGO_CFG_TARGET_{what}")).unwrap_or_default();
    let is_linux = target("OS") == "linux";
    if is_linux && ["x86_64", "aarch64"].contains(&target("ARCH").as_str()) {
        println!("cargo:rustc-cfg=has_emulator");
    }
    // other linkers do not know the option
    if is_linux {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libcuda.so.1");
    }
}
