//! The README is complete.

use cuda_emulator::checks::Kind;

#[test]
fn names_every_kind_of_finding() {
    let readme = include_str!("../README.md");
    for kind in Kind::ALL {
        assert!(readme.contains(&format!("`{}`", kind.name())), "{}", kind.name());
    }
}

#[test]
fn names_every_environment_variable() {
    let (readme, options) = (include_str!("../README.md"), include_str!("../src/options.rs"));
    let quoted = options.split('"').filter(|name| name.starts_with("CUDAEMU_"));
    let mut count = 0;
    for name in quoted.filter(|name| !name.contains(' ')) {
        assert!(readme.contains(name), "{name}");
        count += 1;
    }
    assert!(count > 20, "{count} names");
}
