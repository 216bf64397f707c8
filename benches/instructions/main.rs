//! Instructions of the CPU path for each element, counted one by one, against `instructions.txt`:
//! unlike a time, a count is the same on a busy machine.
//!
//! `cargo bench --package bihalf-instructions` fails if a cell has grown by more than 3 %; with
//! `-- --write` it rewrites the table. Each cell runs in its own process, once to warm up and once
//! step by step under `ptrace`. The table holds for one rustc on x86-64.

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod cells;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[path = "../common/random.rs"]
mod random;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod steps;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod table;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(at) = arguments.iter().position(|a| a == steps::CELL) {
        cells::run(&arguments[at + 1]);
        return std::process::ExitCode::SUCCESS;
    }
    table::check(arguments.iter().any(|argument| argument == "--write"))
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn main() {
    println!("instructions: SKIPPED: they are counted on Linux on x86-64 only");
}
