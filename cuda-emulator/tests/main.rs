//! Programs on the emulated driver, one process each: the driver reads its environment once, and
//! an error stays with the process as it does on a GPU.

#[cfg(has_emulator)]
mod approximations;
#[cfg(has_emulator)]
mod barriers;
#[cfg(has_emulator)]
mod capture;
#[cfg(has_emulator)]
mod clusters;
#[cfg(has_emulator)]
mod common;
#[cfg(has_emulator)]
mod counters;
#[cfg(has_emulator)]
mod devices;
#[cfg(has_emulator)]
mod faults;
#[cfg(has_emulator)]
mod image;
#[cfg(has_emulator)]
mod limits;
#[cfg(has_emulator)]
mod loading;
#[cfg(has_emulator)]
mod messages;
#[cfg(has_emulator)]
mod order;
#[cfg(has_emulator)]
mod pointers;
#[cfg(has_emulator)]
mod programs;
#[cfg(has_emulator)]
mod readme;
#[cfg(has_emulator)]
mod refusals;
#[cfg(has_emulator)]
mod robustness;
#[cfg(has_emulator)]
mod validation;

#[cfg(not(has_emulator))]
#[test]
fn elsewhere() {
    use std::io::Write as _;
    // past the capture of test output
    let why = "skipped: the emulator is for Linux on x86-64 and on aarch64";
    writeln!(std::io::stderr(), "{why}").expect("standard error");
}
