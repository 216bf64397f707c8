//! Valid PTX and containers that are changed at random: an error or a success, never a panic, and
//! nothing is read or written outside of what belongs to the kernel.

use crate::validation::{cases, report};
use cuda_emulator::checks::Findings;
use cuda_emulator::machine::cluster_shape::ClusterShape;
use cuda_emulator::machine::grid::{Launch, run};
use cuda_emulator::machine::memory::{Memory, Side, View};
use cuda_emulator::options::Options;
use cuda_emulator::ptx::fatbin;
use cuda_emulator::ptx::kernel::Kernel;
use cuda_emulator::ptx::lower::lower;
use cuda_emulator::ptx::parser::parse;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{TestCaseResult, TestRunner};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::AtomicU32;
use std::time::Instant;

const FORMS: &str = include_str!("kernels/forms.ptx");

/// Text between two places where a change makes sense: a word, or one character that is none.
fn words(text: &str) -> Vec<&str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "_%$".contains(c);
    let mut words = vec![];
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let len = if is_word(first) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let (word, after) = rest.split_at(len);
        words.push(word);
        rest = after;
    }
    words
}

/// A change of a text of words. Places are fractions of the text.
#[derive(Clone, Debug)]
enum Change {
    Delete(f64),
    Repeat(f64),
    /// by another word of the text
    Replace(f64, f64),
    /// by another register of the type, or another number
    ReplaceAlike(f64, f64),
    Insert(f64, &'static str),
    CutAfter(f64),
}

fn change() -> impl Strategy<Value = Change> {
    let place = || 0.0..1.0f64;
    let odd = prop::sample::select(vec![
        "0",
        "-1",
        "4294967296",
        "18446744073709551615",
        "0x",
        "0f7fffffff",
        "0d7ff8000000000000",
        "é",
        "{",
        "}",
        "[",
        "]",
        "(",
        ")",
        "<",
        ">",
        ",",
        ";",
        ":",
        "@",
        "!",
        "|",
        "+",
        "-",
        "\"",
        "/*",
        "//",
        ".",
        ".reg",
        ".entry",
        ".v4",
        ".v2",
        ".b128",
        ".pred",
        ".f16x2",
        ".b8",
        ".u64",
        ".align",
        "_",
        "%tid",
        "WARP_SZ",
        "%r1",
        "%p1",
        "%rd1",
        "%f1",
        "tile",
        "$done",
    ]);
    prop_oneof![
        3 => place().prop_map(Change::Delete),
        1 => place().prop_map(Change::Repeat),
        6 => (place(), place()).prop_map(|(at, from)| Change::Replace(at, from)),
        12 => (place(), place()).prop_map(|(at, from)| Change::ReplaceAlike(at, from)),
        4 => (place(), odd).prop_map(|(at, word)| Change::Insert(at, word)),
        1 => place().prop_map(Change::CutAfter),
    ]
}

fn changed(text: &str, changes: &[Change]) -> String {
    let original = words(text);
    let mut words = original.clone();
    for change in changes {
        let at = |place: f64| (place * words.len() as f64) as usize;
        if words.is_empty() {
            break;
        }
        match *change {
            Change::Delete(place) => drop(words.remove(at(place))),
            Change::Repeat(place) => words.insert(at(place), words[at(place)]),
            Change::Replace(place, from) => {
                let other = original[(from * original.len() as f64) as usize];
                let n = at(place);
                words[n] = other;
            }
            Change::ReplaceAlike(place, from) => {
                let n = at(place);
                let stem = |word: &str| word.trim_end_matches(|c: char| c.is_ascii_digit()).len();
                let is_alike = |other: &&&str| {
                    let len = stem(other);
                    len < other.len() && other[..len] == words[n][..stem(words[n])]
                };
                let alike: Vec<&str> = original.iter().filter(is_alike).copied().collect();
                if let Some(other) = alike.get((from * alike.len() as f64) as usize) {
                    words[n] = other;
                }
            }
            Change::Insert(place, word) => words.insert(at(place), word),
            Change::CutAfter(place) => words.truncate(at(place)),
        }
    }
    words.concat()
}

fn options() -> Options {
    Options {
        capability: 90,
        threads: 1,
        timeout_s: 0,
        address_space: 1 << 30,
        memory: 1 << 28,
        ..Options::from_environment()
    }
}

thread_local! {
    /// address space is reserved once
    static MEMORY: RefCell<Memory> = RefCell::new(Memory::new(&options()));
}

/// Reads the text, lowers its kernels and runs two blocks of each: CUDA's results of those that run.
fn read_and_run(text: &str) -> Vec<u32> {
    let Ok(module) = parse(text) else { return vec![] };
    let mut results = vec![];
    MEMORY.with_borrow_mut(|memory| {
        let mut globals = HashMap::new();
        for v in module.variables.iter().filter(|v| v.size > 0 && v.size < 1 << 20) {
            let address = memory.allocate(Side::Device(0), v.size, v.align, "module", 0);
            globals.insert(v.name.clone(), address.expect("memory for the variables of a test"));
        }
        for function in module.functions.iter().filter(|f| f.is_entry) {
            if let Ok(kernel) = lower(&module, function, &globals) {
                results.extend(run_kernel(memory, &kernel));
            }
        }
        for address in globals.into_values() {
            memory.free(Side::Device(0), address);
        }
    });
    results
}

fn run_kernel(memory: &mut Memory, kernel: &Kernel) -> Option<u32> {
    if kernel.static_shared > 49152 || kernel.params_size > 4096 {
        return None;
    }
    let buffer = memory.allocate(Side::Device(0), 256, 512, "buffer", 0).expect("memory of a test");
    let mut params = vec![0u8; kernel.params_size as usize];
    let given = [&buffer.to_le_bytes()[..], &64u32.to_le_bytes()].concat();
    params.iter_mut().zip(given).for_each(|(to, from)| *to = from);
    let (options, findings) = (options(), Findings::default());
    let launch = Launch {
        device: 0,
        kernel,
        grid: [2, 1, 1],
        block: [48, 1, 1],
        cluster: ClusterShape([2, 1, 1]),
        is_explicit_cluster: true,
        dynamic_shared: 64,
        params,
        view: View::of(memory, 0),
        memory,
        options: &options,
        findings: &findings,
        error: AtomicU32::new(0),
        start: std::time::Instant::now(),
        multiprocessors: 132,
        workspace: 0,
        id: 1,
        ordered: false,
    };
    run(&launch, false);
    let result = launch.error.into_inner();
    memory.free(Side::Device(0), buffer);
    Some(result)
}

/// The unchanged text is read, lowered and runs without an error.
#[test]
fn every_form_is_supported() {
    let module = parse(FORMS).unwrap();
    let globals =
        HashMap::from([("counter", 0u64), ("table", 0), ("link", 0)].map(|(n, a)| (n.into(), a)));
    let entry = module.functions.iter().find(|f| f.is_entry).unwrap();
    let kernel = lower(&module, entry, &globals).unwrap();
    assert!(kernel.code.len() > 100, "{} instructions", kernel.code.len());
    assert_eq!(read_and_run(FORMS), [0]);
}

/// The changes leave much that runs, and much that does not.
#[test]
fn changes_reach_everything() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut refused, mut sound, mut faulty) = (0, 0, 0);
    for _ in 0..1000 {
        let change = change().new_tree(&mut runner).unwrap().current();
        match read_and_run(&changed(FORMS, &[change])).first() {
            None => refused += 1,
            Some(0) => sound += 1,
            Some(_) => faulty += 1,
        }
    }
    let counts = [refused, sound, faulty];
    assert!(counts.iter().all(|&n| n >= 5), "refused, sound, faulty: {counts:?}");
}

/// Tries a property on many values, and reports how many.
fn holds<S: Strategy>(
    test: &str,
    what: &str,
    values: S,
    property: impl Fn(S::Value) -> TestCaseResult,
) {
    let (started, cases) = (Instant::now(), cases(2000, 100_000));
    let config = ProptestConfig { cases, failure_persistence: None, ..Default::default() };
    if let Err(failure) = TestRunner::new(config).run(&values, property) {
        panic!("{what}: {failure}");
    }
    report(&format!("robustness::{test}"), what, cases as u64, "no panic", started);
}

#[test]
fn changed_ptx_is_an_error_or_runs() {
    let what = "PTX with up to three changed words is read, lowered and run";
    let changes = prop::collection::vec(change(), 1..4);
    holds("changed_ptx_is_an_error_or_runs", what, changes, |changes| {
        let _ = read_and_run(&changed(FORMS, &changes));
        Ok(())
    });
}

#[test]
fn any_text_is_an_error_or_a_module() {
    holds("any_text_is_an_error_or_a_module", "any text is read as PTX", "\\PC*", |text| {
        let _ = parse(&text);
        Ok(())
    });
}

#[test]
fn changed_bytes_of_ptx() {
    let what = "PTX with a changed byte is read, lowered and run";
    holds("changed_bytes_of_ptx", what, (0..FORMS.len(), 0u8..128), |(at, byte)| {
        let mut bytes = FORMS.as_bytes().to_vec();
        bytes[at] = byte;
        let _ = read_and_run(std::str::from_utf8(&bytes).expect("both are ASCII"));
        Ok(())
    });
}

#[test]
fn changed_containers() {
    let what = "fatbins and cubins with up to seven changed bytes, some cut off, are read";
    let changes = prop::collection::vec((0.0..1.0f64, any::<u8>()), 1..8);
    holds("changed_containers", what, (changes, 0.0..2.0f64), |(changes, cut)| {
        containers(&changes, cut)
    });
}

/// A container with PTX and with the beginning of a cubin, and cubins by themselves.
fn containers(changes: &[(f64, u8)], cut: f64) -> TestCaseResult {
    let mut cubin = vec![0u8; 64];
    cubin[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1]);
    // two sections of 64 bytes after the header, names in the second
    cubin[0x28..0x30].copy_from_slice(&64u64.to_le_bytes());
    cubin[0x3a..0x40].copy_from_slice(&[64, 0, 2, 0, 1, 0]);
    cubin.extend([0; 128]);
    cubin[128 + 0x18..128 + 0x20].copy_from_slice(&192u64.to_le_bytes());
    cubin.extend(b"\0.text.kernel\0.nv.info\0");
    let entry = |kind: u16, payload: &[u8]| {
        let mut entry = vec![0u8; 80];
        entry[..2].copy_from_slice(&kind.to_le_bytes());
        entry[4..8].copy_from_slice(&80u32.to_le_bytes());
        entry[8..16].copy_from_slice(&(payload.len() as u64).to_le_bytes());
        entry[28..32].copy_from_slice(&80u32.to_le_bytes());
        entry.extend(payload);
        entry
    };
    let body = [entry(1, b"text\0"), entry(2, &cubin)].concat();
    let mut container = fatbin::MAGIC.to_vec();
    container.extend([1, 0, 16, 0]);
    container.extend((body.len() as u64).to_le_bytes());
    container.extend(body);
    prop_assert_eq!(fatbin::choose(&container, 80).map(|c| c.ptx), Ok("text"));

    for bytes in [&mut container, &mut cubin] {
        for (place, byte) in changes {
            let at = (place * bytes.len() as f64) as usize;
            bytes[at] = *byte;
        }
        bytes.truncate((cut * bytes.len() as f64) as usize);
    }
    // exactly as many bytes as there are: a read outside would be one of the allocator's
    let _ = fatbin::choose(&container.into_boxed_slice(), 80);
    let _ = fatbin::registers(&cubin.into_boxed_slice());
    Ok(())
}
