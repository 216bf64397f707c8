//! What both sides of a launch must agree on, read from the compiled kernels.

use super::{bihalf, codes, loss, rank, relax, search, sign};
use crate::plan::Kernel;
use std::collections::BTreeMap;
use std::io::Write;

const FATBIN: &[u8] = include_bytes!(env!("BIHALF_FATBIN"));

/// What the PTX of a kernel declares.
#[derive(Debug, PartialEq)]
struct Declared {
    /// Bytes of its argument.
    argument: usize,
    /// Threads of a block at most.
    threads: usize,
}

/// The kernels of the PTX in the image, if it is plain text.
fn declared() -> BTreeMap<String, Declared> {
    let text = String::from_utf8_lossy(FATBIN);
    let number = |text: &str, before: &str| -> Option<usize> {
        let digits = &text[text.find(before)? + before.len()..];
        digits.split(|c: char| !c.is_numeric()).next()?.parse().ok()
    };
    let entries = text.split(".visible .entry ").skip(1);
    let parse = |entry: &str| {
        let name = &entry[..entry.find('(')?];
        let argument = number(entry, &format!("{name}_param_0["))?;
        Some((name.to_owned(), Declared { argument, threads: number(entry, ".maxntid ")? }))
    };
    entries.map(|entry| parse(entry).expect("an entry of PTX")).collect()
}

#[test]
fn kernels_arguments_and_blocks_are_the_compiled_ones() {
    let layers = [bihalf::ARGS, sign::ARGS, relax::ARGS, rank::ARGS, loss::ARGS];
    let sizes: Vec<_> = [layers.concat(), [codes::ARGS, search::ARGS].concat()].concat();
    let mut expected = BTreeMap::new();
    for &kernel in Kernel::ALL {
        let argument = sizes.iter().find(|(of, _)| *of == kernel).expect("its argument").1;
        let threads = kernel.threads() as usize;
        for name in kernel.symbols() {
            expected.insert(name, Declared { argument, threads });
        }
    }
    let declared = declared();
    if declared.is_empty() {
        // Not held back by the test runner, as `eprintln!` is.
        let skipped = "kernels' arguments: SKIPPED: the PTX is compressed; \
                       BIHALF_CUDA_COMPRESS=0 keeps it plain";
        writeln!(std::io::stderr(), "{skipped}").expect("standard error");
        return;
    }
    assert_eq!(declared, expected);
}
