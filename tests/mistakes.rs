//! What rustc says of likely mistakes: each file in `tests/mistakes` is a program that does not
//! compile, and begins with what must be said of it.
//!
//! Not the whole output is compared, which differs from release to release.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Of the crate.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn rustc_points_to_the_fix() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mistakes");
    let bin = folder.join("src/bin");
    fs::create_dir_all(&bin).unwrap();
    let manifest = format!(
        "[package]\nname = \"mistakes\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
         [dependencies]\nbihalf = {{ path = {:?}, default-features = false }}\n[workspace]\n",
        root()
    );
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    // The versions that are here already: nothing is fetched.
    fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();

    let mut cases = Vec::new();
    for file in fs::read_dir(root().join("tests/mistakes")).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let program = fs::read_to_string(&path).unwrap();
        let said: Vec<_> = program
            .lines()
            .map_while(|line| line.strip_prefix("// says: "))
            .map(String::from)
            .collect();
        assert!(!said.is_empty(), "{name}: what must be said of it?");
        fs::write(bin.join(format!("{name}.rs")), &program).unwrap();
        cases.push((name, said));
    }
    assert!(cases.len() >= 5, "{cases:?}");

    for (name, said) in cases {
        let mut cargo = Command::new(env!("CARGO"));
        let arguments = ["check", "--quiet", "--offline", "--color=never", "--bin", &name];
        cargo.args(arguments).current_dir(&folder).env("CARGO_TARGET_DIR", folder.join("target"));
        let output = cargo.env_remove("RUSTFLAGS").output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{name} compiles");
        for said in said {
            assert!(text.contains(&said), "{name}: rustc does not say {said:?}:\n{text}");
        }
    }
}
