//! Sign on the CPU: one comparison an element.

use super::blocks::{self, side_by_side};
use super::codes::{Counts, signs_of_bits};
use super::pull::{self, Target};
use super::simd::{
    Detected, Isa, LANES, Lane, Loops, Of, Ordered, Pack, PastCaches, Positive, Rows, Shifted,
    Store, Unpack, Vector, compiled, past_caches,
};
use super::threads;
use crate::codes::{WORD_BITS, words_per_row};
use crate::memory::{room, zeros};
use crate::{CodesMut, Element, MatMut, MatRef, Outputs, Result};
use bytemuck::allocation::cast_vec;
use bytemuck::{Pod, cast, cast_slice, cast_slice_mut};

/// Columns whose bits wait on the stack, in words.
const WORDS: usize = 16;

pub(crate) fn forward<T: Element>(
    isa: Detected,
    u: MatRef<'_, T>,
    shift: Option<&[T]>,
    out: Outputs<'_, T>,
) {
    let Outputs { dense, dense_i8, codes, counts, threshold: _ } = out;
    if let Some(dense) = dense {
        match shift {
            None => write_dense(isa, u, dense),
            Some(_) => write_bits(isa, u, shift, dense, &|words, to| {
                let [one, _] = signs::<T>();
                compiled(isa, Unpack::<T::Small> { words, to: cast_slice_mut(to), one });
            }),
        }
    }
    if let Some(dense) = dense_i8 {
        match shift {
            None => write(isa, u, dense, [1i8, -1]),
            Some(_) => write_bits(isa, u, shift, dense, &|words, to| {
                let (whole, rest) = to.as_chunks_mut::<8>();
                let (bytes, last) = cast_slice::<u64, u8>(words).split_at(whole.len());
                whole.iter_mut().zip(bytes).for_each(|(to, &bits)| *to = signs_of_bits(bits));
                if let Some(&bits) = last.first() {
                    rest.copy_from_slice(&signs_of_bits(bits)[..rest.len()]);
                }
            }),
        }
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

/// The bits of +1 and -1.
fn signs<T: Element>() -> [T::Small; 2] {
    [true, false].map(|one| cast(T::plus_or_minus_one(one)))
}

/// Writes +1 and -1, past the caches where that pays.
fn write_dense<T: Element>(isa: Detected, u: MatRef<'_, T>, mut out: MatMut<'_, T>) {
    if !blocks::past_caches_pay(&mut out) {
        return write(isa, u, out, signs::<T>());
    }
    let (infinity, [one, _]) = (cast(T::from_f64(f64::INFINITY)), signs::<T>());
    blocks::map(u, out, &|_, u, out| {
        let (u, out) = (cast_slice::<T, T::Small>(u), cast_slice_mut(out));
        past_caches(|store| compiled(isa, SignsPast { u, out, infinity, one, store }));
    });
}

/// Writes one of two values for each element.
fn write<T: Element, O: Pod, S: Pod + Sync>(
    isa: Detected,
    u: MatRef<'_, T>,
    out: MatMut<'_, O>,
    [one, minus]: [S; 2],
) {
    let infinity = cast(T::from_f64(f64::INFINITY));
    blocks::map(u, out, &|_, u, out| {
        let (u, out) = (cast_slice::<T, T::Small>(u), cast_slice_mut(out));
        compiled(isa, Signs { u, out, infinity, one, minus });
    });
}

/// One of two values for the bits of floats as integers. Those of NaN lie above infinity.
struct Signs<'a, K, S> {
    u: &'a [K],
    out: &'a mut [S],
    infinity: K,
    one: S,
    minus: S,
}

impl<K: Copy + Default + Ord, S: Copy> Loops for Signs<'_, K, S> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { u, out, infinity, one, minus } = self;
        for (out, &u) in out.iter_mut().zip(u) {
            *out = if u > K::default() && u <= infinity { one } else { minus };
        }
    }
}

/// Signs of floats as integers, written past the caches.
struct SignsPast<'a, 'b, K> {
    u: &'a [K],
    out: &'a mut [K],
    infinity: K,
    one: K,
    store: PastCaches<'b>,
}

impl<K: Lane + Ord> Loops for SignsPast<'_, '_, K> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { u, out, infinity, one, .. } = self;
        Signs { u, out, infinity, one, minus: one | K::MIN }.run();
    }

    #[inline(always)]
    fn run_on<I: Isa>(self, isa: I) {
        let Self { u, out, infinity, one, store } = self;
        let (us, u_rest) = u.as_chunks::<LANES>();
        let (outs, rest) = out.as_chunks_mut::<LANES>();
        let [zero, infinities, minus, ones] =
            [K::default(), infinity, K::MIN, one].map(|k| Of::<I, K>::splat(isa, k));
        for (u, out) in us.iter().zip(outs) {
            let u = Of::<I, K>::load(isa, u);
            let above = u.gt(zero).without(u.gt(infinities));
            store.store(minus.without(above).or(ones), out);
        }
        Self { u: u_rest, out: rest, infinity, one, store }.run();
    }
}

/// `B` in new memory. One thread writes it from the first element to the last, so that nothing has
/// to be there before; several share what is cleared.
pub(crate) fn collect<T: Element>(isa: Detected, u: MatRef<'_, T>) -> Result<Vec<T>> {
    let (rows, cols) = u.shape();
    if u.layout().is_empty() {
        return Ok(Vec::new());
    }
    if threads::parts(rows * cols) > 1 || u.layout().col_stride() != 1 {
        let mut b = zeros((rows, cols))?;
        write(isa, u, MatMut::new(&mut b, rows, cols)?, signs::<T>());
        return Ok(b);
    }
    let infinity: T::Small = cast(T::from_f64(f64::INFINITY));
    let [one, minus] = signs::<T>();
    let mut b: Vec<T::Small> = room((rows, cols))?;
    let without_gaps = u.layout().row_stride() == cols;
    let rows =
        if without_gaps { Rows::new(u.data(), (1, rows * cols), 0) } else { side_by_side(u) };
    let mut buffer = [T::Small::default(); AT_ONCE];
    for u in rows.iter().flat_map(|u| u.chunks(AT_ONCE)) {
        let out = &mut buffer[..u.len()];
        compiled(isa, Signs { u: cast_slice(u), out: &mut *out, infinity, one, minus });
        b.extend_from_slice(out);
    }
    Ok(cast_vec(b))
}

/// Elements that are appended at a time.
const AT_ONCE: usize = 512;

/// Writes rows of which `unpack` gets the bits.
fn write_bits<T: Element, O: Pod>(
    isa: Detected,
    u: MatRef<'_, T>,
    shift: Option<&[T]>,
    out: MatMut<'_, O>,
    unpack: &(dyn Fn(&[u64], &mut [O]) + Sync),
) {
    blocks::map_by_columns(u, out, &|first, u, out| {
        let mut words = [0; WORDS];
        let parts = u.chunks(WORDS * WORD_BITS).zip(out.chunks_mut(WORDS * WORD_BITS));
        for (n, (u, out)) in parts.enumerate() {
            let words = &mut words[..words_per_row(u.len())];
            let shift = shift.map(|t| &t[first + n * WORDS * WORD_BITS..]);
            let stride = words.len();
            pack_rows(isa, Rows::new(u, (1, u.len()), u.len()), shift, words, stride);
            unpack(words, out);
        }
    });
}

/// Rows as words of bits, `stride` words apart; `shift` of their columns.
fn pack_rows<T: Element>(
    isa: Detected,
    u: Rows<'_, T>,
    shift: Option<&[T]>,
    words: &mut [u64],
    stride: usize,
) {
    match shift {
        None => compiled(isa, Pack { u, ones: Positive, words, stride }),
        Some(t) => compiled(isa, Pack { u, ones: Shifted(t), words, stride }),
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
        blocks::for_each(u, 0..bits, &mut |(i, j), u| {
            let words = &mut words[i * width + j / WORD_BITS..];
            pack_rows(isa, u, shift.map(|t| &t[j..]), words, width);
        });
    });
}

/// Ones of each column.
fn count<T: Element>(isa: Detected, u: MatRef<'_, T>, shift: Option<&[T]>, counts: &mut [u32]) {
    let work = u.rows() * counts.len();
    let part = threads::columns_of_a_part(counts.len(), work).next_multiple_of(WORD_BITS);
    let part = part.min(TOGETHER * WORD_BITS);
    threads::for_each_band(counts, part, work, |n, counts| {
        counts.fill(0);
        let first = n * part;
        blocks::for_each(u, first..first + counts.len(), &mut |(_, j), u| {
            let mut of_words = [const { Counts::new() }; TOGETHER];
            let of_words = &mut of_words[..words_per_row(u.cols())];
            for i in (0..u.len()).step_by(Counts::ROWS) {
                let rows = u.range(i..u.len().min(i + Counts::ROWS));
                let mut words = [0; Counts::ROWS * TOGETHER];
                let width = of_words.len();
                pack_rows(isa, rows, shift.map(|t| &t[j..]), &mut words, width);
                count_words(of_words, &words);
            }
            end_counts(of_words, &mut counts[j - first..]);
        });
    });
}

/// Words of bits that are counted together.
const TOGETHER: usize = 4;

/// Counts rows of words.
fn count_words(of_words: &mut [Counts], words: &[u64; Counts::ROWS * TOGETHER]) {
    let width = of_words.len();
    for (w, counts) in of_words.iter_mut().enumerate() {
        let mut column = [0; Counts::ROWS];
        for (word, row) in column.iter_mut().zip(words.chunks(width)) {
            *word = u64::from_le(row[w]);
        }
        counts.add(column);
    }
}

/// Adds what was counted, bits of pads left out.
fn end_counts(of_words: &mut [Counts], counts: &mut [u32]) {
    for (of_word, counts) in of_words.iter_mut().zip(counts.chunks_mut(WORD_BITS)) {
        counts.iter_mut().zip(of_word.end()).for_each(|(count, ones)| *count += ones);
    }
}
