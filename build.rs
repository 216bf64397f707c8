//! Compiles `kernels/*.cu` with nvcc into one fatbin when feature `cuda` is on.
//!
//! | variable | meaning |
//! |---|---|
//! | `NVCC` | the compiler, which must then be there; else `bin/nvcc` of `CUDA_HOME` or `CUDA_PATH`, nvcc of `PATH`, `/usr/local/cuda/bin/nvcc` |
//! | `NVCC_CCBIN` | the host compiler that nvcc calls (nvcc's own variable) |
//! | `BIHALF_CUDA_ARCHS` | architectures to compile machine code for, as `80,90`, or `none`; else `CUDA_COMPUTE_CAP`; else all that are known |
//! | `BIHALF_CUDA_PTX` | architectures to keep PTX of; else that of the lowest one and, if some are below 9.0 and some are not, of 9.0; `none` keeps none |
//! | `BIHALF_CUDA_LINEINFO` | 1: keep source lines, for profilers and for the messages of the emulator |
//! | `BIHALF_CUDA_COMPRESS` | 0: do not compress. What CUDA 12 compresses takes a driver of 525 or newer, what CUDA 13 does 580, as the toolkits do |
//! | `BIHALF_REQUIRE_NVCC` | 1: a missing nvcc is an error, not a warning |
//!
//! Without nvcc the crate builds and its CUDA calls return `Error::KernelsNotBuilt`.

use std::collections::BTreeSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, thread};

/// What released GPUs are: Turing, A100, RTX 30, H100, B100, RTX 50. RTX 40 (8.9) runs the machine
/// code of 8.6; its own differs in the registers of ten kernels.
const ARCHITECTURES: [u32; 6] = [75, 80, 86, 90, 100, 120];

/// Where the kernels' source or the headers' becomes another. Architectures between two of these are
/// compiled to the same PTX once, which is more than half of the work.
const SOURCES: [u32; 4] = [75, 80, 90, 100];

/// The first one whose blocks form clusters.
const CLUSTERS: u32 = 90;

fn main() {
    println!("cargo:rustc-check-cfg=cfg(bihalf_kernels)");
    println!("cargo:rerun-if-changed=build.rs");
    // docs.rs has no nvcc and needs none.
    if env::var_os("CARGO_FEATURE_CUDA").is_none() || variable("DOCS_RS").is_some() {
        return;
    }
    match find_nvcc() {
        Some((nvcc, version)) => {
            let wanted = Wanted::of(&nvcc);
            println!(
                "cargo:rustc-env=BIHALF_BUILT={} by nvcc {}",
                wanted.list(),
                release(&version)
            );
            let fatbin = compile(&nvcc, &version, &wanted);
            println!("cargo:rustc-env=BIHALF_FATBIN={}", fatbin.display());
            println!("cargo:rustc-env=BIHALF_PTXAS_REPORT={}", report_of(&fatbin).display());
            println!("cargo:rustc-cfg=bihalf_kernels");
        }
        None => {
            let message = "nvcc was not found, so the GPU kernels are not built; set NVCC or \
                           CUDA_HOME, or put nvcc on PATH";
            let required = variable("BIHALF_REQUIRE_NVCC").is_some_and(|value| value != "0");
            assert!(!required, "{message} (BIHALF_REQUIRE_NVCC is set)");
            println!("cargo:warning={message}");
        }
    }
}

/// The variable's value, unless it is empty. A change of it runs this script again.
fn variable(name: &str) -> Option<String> {
    println!("cargo:rerun-if-env-changed={name}");
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// The first nvcc that answers, and its answer. One that is asked for by name must.
fn find_nvcc() -> Option<(PathBuf, String)> {
    let version = |nvcc: &Path| output(Command::new(nvcc).arg("--version"));
    if let Some(nvcc) = variable("NVCC").map(PathBuf::from) {
        let (version, _) = version(&nvcc).unwrap_or_else(|error| {
            panic!("NVCC is not a compiler that runs; correct it or unset it\n{error}")
        });
        return Some((nvcc, version));
    }
    let name = format!("nvcc{}", env::consts::EXE_SUFFIX);
    let in_toolkit = |root: String| Path::new(&root).join("bin").join(&name);
    let toolkits = ["CUDA_HOME", "CUDA_PATH"].map(|root| variable(root).map(in_toolkit));
    let path = variable("PATH").unwrap_or_default();
    let on_path = env::split_paths(&path).map(|folder| folder.join(&name));
    let usual = Path::new("/usr/local/cuda/bin").join(&name);

    let mut candidates = toolkits.into_iter().flatten().chain(on_path).chain([usual]);
    candidates.find_map(|nvcc| {
        let (version, _) = version(&nvcc).ok()?;
        Some((nvcc, version))
    })
}

/// Standard output and standard error of a command that succeeds; else what it said.
fn output(command: &mut Command) -> Result<(String, String), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    if output.status.success() { Ok((out, err)) } else { Err(format!("{command:?}:\n{out}{err}")) }
}

/// The fatbin. It lies beside the profiles' folders, named by all that it depends on, so that every
/// profile finds what the first one compiled.
fn compile(nvcc: &Path, version: &str, wanted: &Wanted) -> PathBuf {
    let sources = sources();

    let mut hasher = DefaultHasher::new();
    (version, wanted, variable("NVCC_CCBIN")).hash(&mut hasher);
    for source in &sources {
        (source.file_name(), fs::read(source).expect("a kernel source")).hash(&mut hasher);
    }
    let folder = shared_folder();
    fs::create_dir_all(&folder).expect("the folder of the kernels");
    let fatbin = folder.join(format!("{:016x}.fatbin", hasher.finish()));
    if fatbin.exists() && report_of(&fatbin).exists() {
        return fatbin;
    }

    // One unit that includes every kernel file; each keeps to a namespace of its own.
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("OUT_DIR"));
    let unit = out.join("kernels.cu");
    let kernels = sources.iter().filter(|source| source.extension().is_some_and(|e| e == "cu"));
    let includes = kernels.map(|source| format!("#include {:?}\n", source.display().to_string()));
    fs::write(&unit, includes.collect::<String>()).expect("a file in OUT_DIR");

    // nvcc's own `--threads` compiles the first architecture alone, and only then the others.
    let ptx_of = |arch: u32| out.join(format!("kernels.{arch}.ptx"));
    let cubin_of = |arch: u32| out.join(format!("kernels.{arch}.cubin"));
    let run = |arguments: &[String], from: &Path, to: &Path| {
        let mut command = Command::new(nvcc);
        command.args(&wanted.flags).args(arguments).arg("-o").arg(to).arg(from);
        output(&mut command).map(|(_, report)| report)
    };
    in_parallel(&wanted.sources(), |&arch| {
        run(&["-ptx".into(), format!("-arch=compute_{arch}")], &unit, &ptx_of(arch))
    });
    let reports = in_parallel(&wanted.machine_code, |&arch| {
        let flags = ["-cubin".into(), format!("-arch=sm_{arch}"), "-Xptxas=-v".into()];
        run(&flags, &ptx_of(source_of(arch)), &cubin_of(arch))
    });

    // Written elsewhere and renamed, so that nobody sees half a file.
    let fresh = out.join("kernels.fatbin");
    let mut command = Command::new(fatbinary(nvcc));
    command.arg(format!("--create={}", fresh.display())).args(["-64", wanted.compression]);
    let mut add = |kind: &str, arch: u32, file: PathBuf| {
        command.arg(format!("--image3=kind={kind},sm={arch},file={}", file.display()));
    };
    wanted.machine_code.iter().for_each(|&arch| add("elf", arch, cubin_of(arch)));
    wanted.ptx.iter().for_each(|&arch| add("ptx", arch, ptx_of(arch)));
    output(&mut command).unwrap_or_else(|error| panic!("fatbinary failed\n{error}"));

    let report = format!("{}\n{}", release(version), reports.concat());
    fs::write(out.join("kernels.ptxas"), report).expect("a file in OUT_DIR");
    fs::rename(out.join("kernels.ptxas"), report_of(&fatbin)).expect("the report's place");
    fs::rename(&fresh, &fatbin).expect("the fatbin's place");
    fatbin
}

/// What `compile` makes of each item, as many at a time as cargo allows jobs.
fn in_parallel<T: Sync>(
    items: &[T],
    compile: impl Fn(&T) -> Result<String, String> + Sync,
) -> Vec<String> {
    let jobs = env::var("NUM_JOBS").ok().and_then(|jobs| jobs.parse().ok()).unwrap_or(1);
    let next = AtomicUsize::new(0);
    let done = Mutex::new(vec![String::new(); items.len()]);
    thread::scope(|scope| {
        for _ in 0..items.len().min(jobs) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(at) else { return };
                    let said = compile(item).unwrap_or_else(|error| panic!("nvcc failed\n{error}"));
                    done.lock().expect("no other job has failed")[at] = said;
                }
            });
        }
    });
    done.into_inner().expect("no job has failed")
}

/// The toolkit's tool that packs images into one file. It lies beside nvcc, which may be a link.
fn fatbinary(nvcc: &Path) -> PathBuf {
    let name = format!("fatbinary{}", env::consts::EXE_SUFFIX);
    let beside = |nvcc: PathBuf| nvcc.with_file_name(&name);
    let places = [Some(nvcc.into()), nvcc.canonicalize().ok()];
    let found = places.into_iter().flatten().map(beside).find(|tool| tool.is_file());
    found.unwrap_or(name.into())
}

/// `13.0.88` of what nvcc says of itself.
fn release(version: &str) -> &str {
    let number = |word: &&str| word.starts_with('V') && word[1..].starts_with(char::is_numeric);
    version.split_whitespace().find(number).map_or("unknown", |word| &word[1..])
}

/// The release of nvcc, and what its ptxas said of registers, stack and shared memory of every
/// kernel.
fn report_of(fatbin: &Path) -> PathBuf {
    fatbin.with_extension("ptxas")
}

/// All of `kernels/`, in a fixed order.
fn sources() -> Vec<PathBuf> {
    let folder =
        Path::new(&env::var("CARGO_MANIFEST_DIR").expect("CARGO_MANIFEST_DIR")).join("kernels");
    println!("cargo:rerun-if-changed={}", folder.display());
    let entries = fs::read_dir(&folder).expect("the folder kernels/");
    let paths = entries.map(|entry| entry.expect("an entry of kernels/").path());
    let is_source = |path: &PathBuf| path.extension().is_some_and(|e| e == "cu" || e == "cuh");
    let mut sources: Vec<_> = paths.filter(is_source).collect();
    sources.sort();
    sources.iter().for_each(|source| println!("cargo:rerun-if-changed={}", source.display()));
    sources
}

/// What goes into the fatbin.
#[derive(Hash)]
struct Wanted {
    machine_code: Vec<u32>,
    ptx: Vec<u32>,
    /// For every call of nvcc.
    flags: Vec<&'static str>,
    /// For fatbinary.
    compression: &'static str,
}

impl Wanted {
    fn of(nvcc: &Path) -> Self {
        // No contraction to FMA: the host rounds every operation by itself, and so must the device.
        let mut flags = vec!["-std=c++17", "-fmad=false"];
        if variable("BIHALF_CUDA_LINEINFO").is_some_and(|value| value != "0") {
            flags.push("-lineinfo");
        }
        // By default PTX alone is compressed; machine code takes five times as much without.
        let compress = variable("BIHALF_CUDA_COMPRESS").is_none_or(|value| value != "0");
        let compression = if compress { "--compress-all" } else { "--compress=false" };

        let machine_code = architectures(nvcc);
        let by_default = || {
            let lowest = machine_code.first().copied().unwrap_or(ARCHITECTURES[0]);
            let highest = machine_code.last().copied().unwrap_or(lowest);
            let clusters = (lowest < CLUSTERS && CLUSTERS <= highest).then_some(CLUSTERS);
            [lowest].into_iter().chain(clusters).collect()
        };
        let ptx = match variable("BIHALF_CUDA_PTX").as_deref() {
            Some("none") => Vec::new(),
            _ => numbers("BIHALF_CUDA_PTX").unwrap_or_else(by_default),
        };
        assert!(
            !(machine_code.is_empty() && ptx.is_empty()),
            "neither machine code nor PTX is wanted"
        );
        Self { machine_code, ptx, flags, compression }
    }

    /// `8.0, 9.0 (PTX 9.0)`
    fn list(&self) -> String {
        let list = |archs: &[u32]| {
            let archs = archs.iter().map(|arch| format!("{}.{}", arch / 10, arch % 10));
            archs.collect::<Vec<_>>().join(", ")
        };
        format!("{} (PTX {})", list(&self.machine_code), list(&self.ptx))
    }

    /// What to compile PTX for.
    fn sources(&self) -> Vec<u32> {
        let of_machine_code = self.machine_code.iter().map(|&arch| source_of(arch));
        let all: BTreeSet<_> = of_machine_code.chain(self.ptx.iter().copied()).collect();
        all.into_iter().collect()
    }
}

/// What machine code of an architecture is compiled from.
fn source_of(arch: u32) -> u32 {
    SOURCES.into_iter().rfind(|&source| source <= arch).unwrap_or(arch)
}

/// What to compile machine code for, ascending.
fn architectures(nvcc: &Path) -> Vec<u32> {
    if variable("BIHALF_CUDA_ARCHS").is_some_and(|value| value == "none") {
        return Vec::new();
    }
    let wanted = numbers("BIHALF_CUDA_ARCHS").or_else(|| numbers("CUDA_COMPUTE_CAP"));
    let (known, _) = output(Command::new(nvcc).arg("--list-gpu-code"))
        .unwrap_or_else(|error| panic!("nvcc cannot list its architectures\n{error}"));
    let known: Vec<u32> =
        known.lines().filter_map(|line| line.trim().strip_prefix("sm_")?.parse().ok()).collect();
    let archs = match wanted {
        Some(wanted) => {
            let unknown: Vec<_> = wanted.iter().filter(|arch| !known.contains(arch)).collect();
            assert!(
                unknown.is_empty(),
                "this nvcc cannot compile for {unknown:?}, only for {known:?}"
            );
            wanted
        }
        None => ARCHITECTURES.into_iter().filter(|arch| known.contains(arch)).collect(),
    };
    assert!(!archs.is_empty(), "this nvcc knows none of {ARCHITECTURES:?}, only {known:?}");
    archs
}

/// The numbers of a variable such as `80,90`, `8.0` or `sm_80`, ascending, each once.
fn numbers(name: &str) -> Option<Vec<u32>> {
    let value = variable(name)?;
    let number = |part: &str| {
        let digits = part.trim().trim_start_matches("sm_").replace('.', "");
        digits
            .parse()
            .unwrap_or_else(|_| panic!("{name}={value:?}: expected numbers such as 80,90"))
    };
    let parts = value.split([',', ';', ' ']).filter(|part| !part.is_empty());
    Some(parts.map(number).collect::<BTreeSet<_>>().into_iter().collect())
}

/// A folder that all profiles of this build share.
fn shared_folder() -> PathBuf {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("OUT_DIR"));
    // <target>/<profile>/build/<package>-<hash>/out
    match out.ancestors().nth(4) {
        Some(target) if out.ancestors().nth(2).is_some_and(|build| build.ends_with("build")) => {
            target.join("bihalf-kernels")
        }
        _ => out.join("bihalf-kernels"),
    }
}
