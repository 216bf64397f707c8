//! Sign on the CPU: one comparison an element, packed 64 at a time.

use super::blocks::{self, Block, Map};
use super::codes::Counts;
use super::pull::{self, Target};
use super::simd::{Detected, Loops, Machine, Rows, compiled};
use super::threads;
use crate::codes::{WORD_BITS, words_per_row};
use crate::{CodesMut, Element, MatMut, MatRef, Outputs};

pub(crate) fn forward<T: Element>(
    isa: Detected,
    u: MatRef<'_, T>,
    shift: Option<&[T]>,
    out: Outputs<'_, T>,
) {
    let Outputs { dense, dense_i8, codes, counts } = out;
    let (one, minus) = (T::plus_or_minus_one(true), T::plus_or_minus_one(false));
    if let Some(dense) = dense {
        write(isa, u, shift, dense, (one, minus));
    }
    if let Some(dense) = dense_i8 {
        write(isa, u, shift, dense, (1, -1));
    }
    if let Some(codes) = codes {
        pack(isa, u, shift, codes);
    }
    if let Some(counts) = counts {
        count(isa, u, shift, counts);
    }
}

/// `dU`, of `grad` or, if that is none, in place.
pub(crate) fn backward<T: Element>(
    isa: Detected,
    u: MatRef<'_, T>,
    shift: Option<&[T]>,
    grad: Option<MatRef<'_, T>>,
    out: MatMut<'_, T>,
    coefficient: T::Real,
) {
    let b = shift.map_or(Target::Sign, Target::Shifted);
    pull::backward(isa, u, b, grad, out, coefficient);
}

fn write<T: Element, O: bytemuck::Pod + Default + Send + Sync>(
    isa: Detected,
    u: MatRef<'_, T>,
    shift: Option<&[T]>,
    out: MatMut<'_, O>,
    (one, minus): (O, O),
) {
    match shift {
        None => blocks::map(isa, u, out, Signs { one, minus }),
        Some(shift) => blocks::map(isa, u, out, ShiftedSigns { shift, one, minus }),
    }
}

#[derive(Clone, Copy)]
struct Signs<O> {
    one: O,
    minus: O,
}

impl<T: Element, O: Copy + Send + Sync> Map<T, O> for Signs<O> {
    const ANY_COLUMN: bool = true;

    #[inline(always)]
    fn map<M: Machine>(self, _: M, _: usize, u: &[T], out: &mut [O]) {
        for (b, u) in out.iter_mut().zip(u) {
            *b = if u.above_zero() { self.one } else { self.minus };
        }
    }
}

#[derive(Clone, Copy)]
struct ShiftedSigns<'a, T, O> {
    shift: &'a [T],
    one: O,
    minus: O,
}

impl<T: Element, O: Copy + Send + Sync> Map<T, O> for ShiftedSigns<'_, T, O> {
    const ANY_COLUMN: bool = false;

    #[inline(always)]
    fn map<M: Machine>(self, machine: M, first: usize, u: &[T], out: &mut [O]) {
        let mut both = Compared::default();
        let shift = &self.shift[first..];
        let parts = u.chunks(WORD_BITS).zip(shift.chunks(WORD_BITS));
        for ((u, t), out) in parts.zip(out.chunks_mut(WORD_BITS)) {
            let (u, cut) = both.of(machine, u, t);
            for (b, (u, cut)) in out.iter_mut().zip(u.iter().zip(cut)) {
                *b = if u > cut { self.one } else { self.minus };
            }
        }
    }
}

/// `u` and `-t`, which are compared: exact, unlike `u + t > 0`.
struct Compared<R> {
    u: [R; WORD_BITS],
    cut: [R; WORD_BITS],
}

impl<R: Default + Copy> Default for Compared<R> {
    fn default() -> Self {
        Self { u: [R::default(); WORD_BITS], cut: [R::default(); WORD_BITS] }
    }
}

impl<R> Compared<R> {
    /// Of up to 64 elements.
    #[inline(always)]
    fn of<T: Element<Real = R>, M: Machine>(&mut self, machine: M, u: &[T], t: &[T]) -> (&[R], &[R])
    where
        R: crate::element::Real,
    {
        let (wide, cut) = (&mut self.u[..u.len()], &mut self.cut[..u.len()]);
        machine.widen(u, wide);
        machine.widen(&t[..u.len()], cut);
        cut.iter_mut().for_each(|cut| *cut = -*cut);
        (wide, cut)
    }
}

/// Which of up to 64 elements of a row are +1, a bit each; the first one's column is `first`.
#[inline(always)]
fn ones<T: Element, M: Machine>(machine: M, u: &[T], shift: Option<&[T]>, first: usize) -> u64 {
    match shift {
        None => machine.positive(u),
        Some(shift) => machine.above(u, &shift[first..][..u.len()]),
    }
}

fn pack<T: Element>(isa: Detected, u: MatRef<'_, T>, shift: Option<&[T]>, codes: CodesMut<'_>) {
    let ((rows, bits), width) = (codes.shape(), words_per_row(codes.bits()));
    if rows == 0 || bits == 0 {
        return;
    }
    let band = (blocks::BAND / bits).max(1);
    threads::for_each_band(codes.into_words(), band * width, rows * bits, |n, words| {
        let u = blocks::rows_of(u, n * band..rows.min((n + 1) * band));
        compiled(isa, Pack { u, shift, words, width });
    });
}

/// Rows as words of bits, `width` a row.
struct Pack<'a, T> {
    u: MatRef<'a, T>,
    shift: Option<&'a [T]>,
    words: &'a mut [u64],
    width: usize,
}

impl<T: Element> Loops for Pack<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(mut self, machine: M) {
        blocks::for_each(machine, self.u, 0..self.u.cols(), &mut self);
    }
}

impl<T: Element> Block<T> for Pack<'_, T> {
    #[inline(always)]
    fn block<M: Machine>(&mut self, machine: M, (i, j): (usize, usize), u: Rows<'_, T>) {
        for (u, words) in u.iter().zip(self.words[i * self.width..].chunks_mut(self.width)) {
            let words = &mut words[j / WORD_BITS..];
            // Of a length that the compiler knows.
            let (whole, rest) = u.as_chunks::<WORD_BITS>();
            for (n, (u, word)) in whole.iter().zip(&mut *words).enumerate() {
                *word = ones(machine, u, self.shift, j + n * WORD_BITS).to_le();
            }
            if !rest.is_empty() {
                let first = j + whole.len() * WORD_BITS;
                words[whole.len()] = ones(machine, rest, self.shift, first).to_le();
            }
        }
    }
}

/// Ones of each column.
fn count<T: Element>(isa: Detected, u: MatRef<'_, T>, shift: Option<&[T]>, counts: &mut [u32]) {
    let work = u.rows() * counts.len();
    let part = threads::columns_of_a_part(counts.len(), work).next_multiple_of(WORD_BITS);
    let part = part.min(WORDS * WORD_BITS);
    threads::for_each_band(counts, part, work, |n, counts| {
        counts.fill(0);
        compiled(isa, Count { u, shift, first: n * part, counts });
    });
}

/// Words of bits that are counted together.
const WORDS: usize = 4;

/// Columns of up to as many words.
struct Count<'a, T> {
    u: MatRef<'a, T>,
    shift: Option<&'a [T]>,
    first: usize,
    counts: &'a mut [u32],
}

impl<T: Element> Loops for Count<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(mut self, machine: M) {
        let columns = self.first..self.first + self.counts.len();
        blocks::for_each(machine, self.u, columns, &mut self);
    }
}

impl<T: Element> Block<T> for Count<'_, T> {
    #[inline(always)]
    fn block<M: Machine>(&mut self, machine: M, (_, j): (usize, usize), u: Rows<'_, T>) {
        let mut counts = [const { Counts::new() }; WORDS];
        for first in (0..u.len()).step_by(Counts::ROWS) {
            let mut words = [[0; Counts::ROWS]; WORDS];
            let rows = u.range(first..u.len().min(first + Counts::ROWS));
            for (i, u) in rows.iter().enumerate() {
                for (n, (u, words)) in u.chunks(WORD_BITS).zip(&mut words).enumerate() {
                    words[i] = ones(machine, u, self.shift, j + n * WORD_BITS);
                }
            }
            for (counts, words) in counts.iter_mut().zip(words).take(u.cols().div_ceil(WORD_BITS)) {
                counts.add(words);
            }
        }
        for (n, counts) in counts.into_iter().enumerate() {
            let first = j - self.first + n * WORD_BITS;
            counts.end(|bit, ones| {
                // Bits without a column are 0.
                if ones > 0 {
                    self.counts[first + bit] += ones;
                }
            });
        }
    }
}
