//! One training step, written once, on the CPU or on a CUDA device.
//!
//! A linear layer learns codes that keep the cosines of some features. Its products stay on the
//! host; what lies between them, the Bi-half layer and the loss with their gradients, runs on the
//! backend: `step` is generic and does not know which.
//!
//! ```sh
//! cargo run --release --example any_backend                                   # the CPU
//! cargo run --release --features cuda --example any_backend                   # CUDA if there is a device
//! cargo run --release --features cuda --example any_backend -- --backend cuda # CUDA or an error
//! ```

#[path = "common/output.rs"]
mod output;

use bihalf::codes::words_per_row;
use bihalf::ops::loss::pair_grads_len;
use bihalf::{Backend, CodesRef, Cpu, Matrix, Ones, Outputs, PackedCodes, cuda_or_cpu};
use clap::{Parser, ValueEnum};
use ndarray::Array2;
use output::{Unprinted, line};
use std::process::ExitCode;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

const ITEMS: usize = 64;
const DIMS: usize = 24;
const BITS: usize = 16;
const STEPS: usize = 60;
const RATE: f32 = 2.0;
const GAMMA: f64 = 1.0;

#[derive(Parser)]
#[command(about = "Trains a hash layer with one generic step on any backend")]
struct Options {
    /// Where the step runs
    #[arg(long, value_enum, default_value_t = Choice::Auto)]
    backend: Choice,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Choice {
    /// CUDA if this program has it and there is a device, else the CPU; it says which
    Auto,
    /// The CPU
    Cpu,
    /// The first CUDA device; an error where there is none
    Cuda,
}

/// What a step needs for as long as the shapes stay the same: nothing is allocated later.
struct Buffers<B: Backend> {
    u: B::Buffer<f32>,
    codes: B::Buffer<u64>,
    loss: B::Buffer<f64>,
    pair_grads: B::Buffer<f64>,
    du: B::Buffer<f32>,
    ws: B::Workspace,
}

impl<B: Backend> Buffers<B> {
    fn new(backend: &B) -> bihalf::Result<Self> {
        Ok(Self {
            u: backend.zeros(ITEMS * BITS)?,
            codes: backend.zeros(ITEMS * words_per_row(BITS))?,
            loss: backend.zeros(1)?,
            pair_grads: backend.zeros(pair_grads_len(ITEMS))?,
            du: backend.zeros(ITEMS * BITS)?,
            ws: backend.workspace::<f32>(ITEMS, BITS)?,
        })
    }
}

/// B = Bi-half(U) of `buffers.u` as packed codes, their cosine-preserving loss for the features X, and
/// its gradient back through the layer, in `buffers.du`. On a CUDA device, three launches.
fn step<B: Backend>(
    backend: &B,
    x: &B::Buffer<f32>,
    buffers: &mut Buffers<B>,
) -> bihalf::Result<()> {
    let Buffers { u, codes, loss, pair_grads, du, ws } = buffers;
    let (m, k) = (ITEMS, BITS);
    let (u, x) = (|| Matrix::new(B::slice(u), m, k), Matrix::new(B::slice(x), m, DIMS)?);

    let out = Outputs::none().codes(PackedCodes::new(B::slice_mut(codes), m, k)?);
    backend.bihalf_forward_into(u()?, Ones::Half, out, ws)?;

    let codes = || PackedCodes::new(B::slice(codes), m, k);
    let (loss, into) = (B::slice_mut(loss), B::slice_mut(pair_grads));
    backend.cosine_packed_into(x, codes()?, loss, into, ws)?;

    let (pair_grads, du) = (B::slice(pair_grads), Matrix::new(B::slice_mut(du), m, k)?);
    backend.cosine_packed_backward_into(u()?, codes()?, pair_grads, GAMMA, du)
}

fn train<B: Backend>(backend: &B) -> Result<()> {
    line(format_args!("backend: {}", backend.name()))?;
    let features = pseudo_random(ITEMS, DIMS, 1);
    let mut weight = pseudo_random(DIMS, BITS, 2) * 0.3;
    let x = backend.upload(features.as_slice().expect("row-major"))?;
    let mut buffers = Buffers::new(backend)?;
    let mut losses = Vec::new();
    for _ in 0..STEPS {
        let u = features.dot(&weight);
        let u = u.as_slice().expect("row-major");
        backend.upload_into(u, B::slice_mut(&mut buffers.u))?;
        step(backend, &x, &mut buffers)?;
        losses.push(backend.download(&buffers.loss)?[0]);
        let du = backend.download(&buffers.du)?;
        let du = Array2::from_shape_vec((ITEMS, BITS), du).expect("as many as asked for");
        weight = weight - features.t().dot(&du) * RATE;
    }
    let (first, last) = (losses[0], losses[STEPS - 1]);
    line(format_args!("loss: {first:.4} at first, {last:.4} after {STEPS} steps"))?;
    assert!(last < 0.7 * first, "the loss has not fallen");

    let words = backend.download(&buffers.codes)?;
    let codes = CodesRef::new(&words, ITEMS, BITS)?;
    let ones = bihalf::ops::stats::ones(codes)?;
    assert!(ones.iter().all(|&n| n as usize == ITEMS / 2), "a bit is not balanced");
    Ok(line(format_args!("each of {BITS} bits is +1 for {} of {ITEMS} items", ITEMS / 2))?)
}

/// Numbers from -1 to 1, the same on every machine.
fn pseudo_random(rows: usize, cols: usize, seed: u64) -> Array2<f32> {
    let mut state = seed;
    Array2::from_shape_simple_fn((rows, cols), || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    })
}

fn run(choice: Choice) -> Result<()> {
    if choice == Choice::Cpu {
        return train(&Cpu);
    }
    cuda_or_cpu!(0, |backend, reason| {
        match reason {
            Some(reason) if choice == Choice::Cuda => return Err(reason.into()),
            Some(reason) => line(format_args!("not on CUDA: {reason}"))?,
            None => {}
        }
        train(backend)
    })
}

fn main() -> ExitCode {
    match run(Options::parse().backend) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.downcast_ref().is_some_and(Unprinted::is_closed) => ExitCode::SUCCESS,
        Err(error) => {
            output::note(format_args!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}
