//! A process that is gone through instruction by instruction.
#![expect(unsafe_code, reason = "ptrace is a system call")]

use std::io::{Error, Result};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The argument before the name of a cell.
pub const CELL: &str = "--cell";

/// What the child sends itself where counting begins and where it ends.
const MARK: libc::c_int = libc::SIGUSR1;

/// In the child: the beginning, or the end, of what is counted.
pub fn mark() {
    // SAFETY: a signal to this process, which is traced and so does not see it.
    unsafe { libc::raise(MARK) };
}

fn ptrace(request: libc::c_uint, child: libc::pid_t) -> Result<()> {
    let nothing = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: requests without an address and without data.
    match unsafe { libc::ptrace(request, child, nothing, nothing) } {
        -1 => Err(Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Waits until the child stops; the signal that it stopped for.
fn stopped(child: libc::pid_t) -> Result<libc::c_int> {
    let mut status = 0;
    // SAFETY: the place is there.
    if unsafe { libc::waitpid(child, &raw mut status, 0) } == -1 {
        return Err(Error::last_os_error());
    }
    if !libc::WIFSTOPPED(status) {
        return Err(Error::other(format!("the child ended with status {status}")));
    }
    Ok(libc::WSTOPSIG(status))
}

/// Instructions that a cell takes, with those of the marks.
pub fn count(cell: &str, isa: &str) -> Result<u64> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([CELL, cell]).env("BIHALF_CPU_ISA", isa);
    // SAFETY: between fork and exec there is one system call.
    let mut child = unsafe { command.pre_exec(|| ptrace(libc::PTRACE_TRACEME, 0)) }.spawn()?;
    let pid = libc::pid_t::try_from(child.id()).expect("a process number");
    let counted = steps(pid);
    // Where it was stopped it is not needed any more.
    child.kill()?;
    child.wait()?;
    counted
}

fn steps(child: libc::pid_t) -> Result<u64> {
    stopped(child)?; // at its exec
    loop {
        ptrace(libc::PTRACE_CONT, child)?;
        if stopped(child)? == MARK {
            break;
        }
    }
    let mut instructions = 0;
    loop {
        ptrace(libc::PTRACE_SINGLESTEP, child)?;
        match stopped(child)? {
            libc::SIGTRAP => instructions += 1,
            MARK => return Ok(instructions),
            other => return Err(Error::other(format!("the child got signal {other}"))),
        }
    }
}
