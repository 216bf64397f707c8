//! Nothing outside of a buffer is read or written: random calls whose inputs and outputs each begin
//! behind, or end before, a page that the process may not touch. What touches one dies.
//!
//! Run on each instruction set by `isa`. `BIHALF_TEST=long` tries more, and names each case before;
//! `BIHALF_TEST=few` is for checkers of memory, which take their time.
#![cfg(all(target_os = "linux", feature = "rayon"))]
#![expect(unsafe_code, reason = "pages are asked for, and given their protection, by system calls")]

use crate::common::patterns::{ALL, Rng};
use crate::common::*;
use bihalf::half::{bf16, f16};
use bihalf::{
    CodeMatrix, CodesMut, CodesRef, Element, MatMut, MatRef, Ones, Order, Outputs, Workspace, ops,
};
use std::ptr::{null_mut, slice_from_raw_parts_mut};

/// Elements of which the first or the last borders on a page that may not be touched.
struct Fenced<T> {
    map: *mut libc::c_void,
    bytes: usize,
    elements: *mut [T],
}

impl<T: Copy> Fenced<T> {
    fn new(values: &[T], at_end: bool) -> Self {
        // SAFETY: a system call without arguments in memory.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        let inner = size_of_val(values).next_multiple_of(page);
        let (bytes, access) = (inner + 2 * page, libc::PROT_READ | libc::PROT_WRITE);
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: new pages, wherever the system puts them; those between the fences are made
        // usable.
        let (map, first) = unsafe {
            let map = libc::mmap(null_mut(), bytes, libc::PROT_NONE, kind, -1, 0);
            assert!(map != libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
            let first = map.byte_add(page);
            assert!(inner == 0 || libc::mprotect(first, inner, access) == 0, "mprotect");
            (map, first)
        };
        let skip = if at_end { inner - size_of_val(values) } else { 0 };
        let elements: *mut T = first.wrapping_byte_add(skip).cast();
        // SAFETY: the elements lie between the fences: `inner` bytes or less, aligned since a page
        // is and the bytes behind them are a multiple of their size.
        unsafe { elements.copy_from_nonoverlapping(values.as_ptr(), values.len()) };
        Self { map, bytes, elements: slice_from_raw_parts_mut(elements, values.len()) }
    }

    fn get(&self) -> &[T] {
        // SAFETY: they have been written, and live as long as `self`, which is borrowed.
        unsafe { &*self.elements }
    }

    fn get_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and `self` is borrowed exclusively.
        unsafe { &mut *self.elements }
    }
}

impl<T> Drop for Fenced<T> {
    fn drop(&mut self) {
        // SAFETY: the pages that `new` asked for; nothing borrows them any longer.
        unsafe { libc::munmap(self.map, self.bytes) };
    }
}

/// Random numbers that make a case.
struct Dice(Rng);

impl Dice {
    /// As many small sides as large ones, up to `most`.
    fn side(&mut self, most: usize) -> usize {
        let below = 1 << (1 + self.0.below(most.ilog2() as usize));
        self.0.below(below + 1).min(most)
    }

    fn flip(&mut self) -> bool {
        self.0.below(2) == 1
    }

    fn fenced<T: Copy>(&mut self, values: &[T]) -> Fenced<T> {
        Fenced::new(values, self.flip())
    }

    /// The elements of a dense matrix as a view of some lay has them, without anything behind.
    fn input<T: Element>(&mut self, dense: &[T], (rows, cols): (usize, usize)) -> In<T> {
        let gap = self.0.below(4);
        let (row_stride, col_stride) =
            if self.flip() { (cols + gap, 1) } else { (1 + self.0.below(2), 2 * rows + gap) };
        let span = if rows * cols == 0 {
            0
        } else {
            (rows - 1) * row_stride + (cols - 1) * col_stride + 1
        };
        let mut values = vec![T::from_f64(f64::NAN); span];
        for (n, &value) in dense.iter().enumerate() {
            values[n / cols * row_stride + n % cols * col_stride] = value;
        }
        In { values: self.fenced(&values), shape: (rows, cols), strides: (row_stride, col_stride) }
    }

    fn output<T: Copy>(&mut self, fill: T, (rows, cols): (usize, usize)) -> Out<T> {
        let row_stride = cols + self.0.below(4);
        let span = if rows * cols == 0 { 0 } else { (rows - 1) * row_stride + cols };
        Out { values: self.fenced(&vec![fill; span]), shape: (rows, cols), row_stride }
    }
}

struct In<T> {
    values: Fenced<T>,
    shape: (usize, usize),
    strides: (usize, usize),
}

impl<T: Element> In<T> {
    fn view(&self) -> MatRef<'_, T> {
        let ((rows, cols), (row, col)) = (self.shape, self.strides);
        MatRef::with_strides(self.values.get(), rows, cols, row, col).unwrap()
    }
}

struct Out<T> {
    values: Fenced<T>,
    shape: (usize, usize),
    row_stride: usize,
}

impl<T: Copy> Out<T> {
    fn view(&mut self) -> MatMut<'_, T> {
        let (rows, cols) = self.shape;
        MatMut::with_row_stride(self.values.get_mut(), rows, cols, self.row_stride).unwrap()
    }
}

/// Every operation on one random matrix; what the oracle knows of is compared with it.
fn case<T: Element>(seed: u64, (rows, cols): (usize, usize)) {
    let dice = &mut Dice(Rng::new(seed));
    let shape = (rows, cols);
    let pattern = ALL[dice.0.below(ALL.len())];
    let k = [rows / 2, dice.0.below(rows + 1)][dice.0.below(2)];
    let what = (seed, T::NAME, shape, pattern, k);
    if std::env::var_os("BIHALF_TEST").is_some_and(|which| which == "long") {
        say(&format!("{what:?}"));
    }
    let _context = Context::new::<T, bihalf::Cpu>(&bihalf::Cpu, what);
    let dense: Vec<T> = pattern.fill(shape, seed);
    let expected = naive::bihalf(&dense, rows, cols, k);
    let words = naive::pack(&expected, rows, cols);
    let u = dice.input(&dense, shape);
    let ws = &mut Workspace::new();

    let mut b = dice.output(T::from_f64(0.0), shape);
    let mut b_i8 = dice.output(0i8, shape);
    let mut codes = dice.fenced(&vec![0u64; words.len()]);
    let mut counts = dice.fenced(&vec![0u32; cols]);
    let mut cut = dice.fenced(&vec![T::from_f64(0.0); cols]);
    let mut out = Outputs::none();
    if dice.flip() {
        out = out.dense(b.view());
    }
    if dice.flip() {
        out = out.dense_i8(b_i8.view());
    }
    out = out.codes(CodesMut::new(codes.get_mut(), rows, cols).unwrap()).counts(counts.get_mut());
    if dice.flip() {
        out = out.threshold(cut.get_mut());
    }
    ops::bi_half::forward_into(u.view(), Ones::Count(k), out, ws).unwrap();
    assert_eq!(codes.get(), words);
    let signs: Vec<T> = expected.iter().map(|&b| T::from_f64(b)).collect();
    let signs = dice.input(&signs, shape);
    let mut out = dice.output(T::from_f64(0.0), shape);
    let packed = || CodesRef::new(codes.get(), rows, cols).unwrap();
    for b in [signs.view().into(), CodeMatrix::Packed(packed())] {
        ops::bi_half::backward_into(u.view(), b, 1.0, u.view(), out.view()).unwrap();
    }

    let mut ranks = dice.output(0u32, shape);
    let (order, desc) = [(Order::Ascending, false), (Order::Descending, true)][dice.0.below(2)];
    ops::rank::argsort_into(u.view(), order, ranks.view(), ws).unwrap();
    ops::rank::rank_into(u.view(), order, ranks.view(), ws).unwrap();
    assert_eq!(ranks.view().as_ref().to_vec().unwrap(), naive::rank(&dense, rows, cols, desc));

    let shift = dice.fenced(&dense[..cols.min(dense.len())]);
    let shift = (shift.get().len() == cols && dice.flip()).then(|| shift.get());
    let mut of_sign = dice.fenced(&vec![0u64; words.len()]);
    let into = Outputs::none()
        .dense(out.view())
        .codes(CodesMut::new(of_sign.get_mut(), rows, cols).unwrap())
        .counts(counts.get_mut());
    ops::sign::forward_into(u.view(), shift, into).unwrap();
    ops::sign::backward_into(u.view(), shift, 1.0, u.view(), out.view()).unwrap();
    ops::relax::forward_into(u.view(), 1.5, out.view()).unwrap();
    ops::relax::backward_into(u.view(), 1.5, u.view(), out.view()).unwrap();
    ops::codes::unpack_into(packed(), out.view()).unwrap();
    let mut pair_grads = dice.fenced(&vec![0.0; ops::loss::pair_grads_len(rows)]);
    ops::loss::cosine_with_grad_into(u.view(), signs.view(), out.view()).unwrap();
    ops::loss::cosine_packed_into(u.view(), packed(), pair_grads.get_mut()).unwrap();
    let (pair_grads, pull) = (pair_grads.get(), 1.0);
    ops::loss::cosine_packed_backward_into(u.view(), packed(), pair_grads, pull, out.view())
        .unwrap();
    ops::loss::entropy_penalty_with_grad_into(u.view(), 1.0, out.view()).unwrap();
    ops::stats::ones_into(packed(), counts.get_mut()).unwrap();
    let mut costs = dice.fenced(&vec![0.0; cols]);
    ops::stats::transport_cost_into(u.view(), costs.get_mut(), ws).unwrap();
}

/// Runs the ignored test below, which dies.
#[test]
fn what_touches_a_fence_dies() {
    use std::os::unix::process::ExitStatusExt;
    for end in ["first", "last"] {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        let command = command.args(["guard_pages::touch", "--include-ignored"]).env("TOUCH", end);
        let status = command.output().unwrap().status;
        assert_eq!(status.signal(), Some(libc::SIGSEGV), "{end}: {status}");
    }
}

#[test]
#[ignore = "dies, which the test above sees"]
fn touch() {
    let Ok(end) = std::env::var("TOUCH") else { return };
    let values = Fenced::new(&[1u8; 5], end == "last");
    let slice = values.get();
    let place =
        if end == "last" { slice.as_ptr_range().end } else { slice.as_ptr().wrapping_sub(1) };
    // SAFETY: none: what is not mapped ends the process.
    let value = unsafe { place.read_volatile() };
    panic!("a fence gave {value}");
}

#[test]
fn random_calls_touch_nothing_outside_of_their_buffers() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(5).build().unwrap();
    let cases = match std::env::var("BIHALF_TEST").as_deref() {
        Ok("long") => 0..4000,
        Ok("few") => 1..50,
        _ => 0..300,
    };
    pool.install(|| {
        for seed in cases {
            let dice = &mut Dice(Rng::new(!seed));
            // Now and then enough for all threads, or for a single pass down the rows.
            let shape = match seed % 50 {
                0 => (4000 + dice.side(1000), 65 + dice.side(64)),
                25 => (65_536 + dice.side(64), 1 + dice.side(20)),
                _ => (dice.side(2048), dice.side(128)),
            };
            match dice.0.below(4) {
                0 => case::<f64>(seed, shape),
                1 => case::<f16>(seed, shape),
                2 => case::<bf16>(seed, shape),
                _ => case::<f32>(seed, shape),
            }
        }
    });
}
