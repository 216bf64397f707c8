//! Many rows: the keys of 16 columns are gathered, each column is sorted by itself, ranks or rows
//! take the place of its keys and are written row by row.

use super::digits::sort;
use super::source::Source;
use super::{Form, GROUP, Large, Task};
use crate::Element;
use crate::cpu::simd::{Detected, Isa, Job, Ordered, column_stride, on_detected};

/// 64-bit words of scratch memory for one thread.
pub(super) fn scratch_words<T: Element>((rows, cols): (usize, usize)) -> usize {
    let keys_of_word = size_of::<u64>() / size_of::<Large<T>>();
    2 * rows + column_stride(rows) / keys_of_word * cols.min(GROUP)
}

pub(super) fn run<T: Element>(isa: Detected, task: Task<'_, T>) {
    let Task { u, order, form, first, mut out, scratch } = task;
    let (rows, stride) = (u.rows(), column_stride(u.rows()));
    let (pairs, columns) = scratch.split_at_mut(2 * rows);
    let (pairs, others) = pairs.split_at_mut(rows);
    let columns = bytemuck::cast_slice_mut::<u64, Large<T>>(columns);
    for at in (0..out.cols()).step_by(GROUP) {
        let width = GROUP.min(out.cols() - at);
        let source = Source::new(u, order, (first + at, width));
        let gather = Gather { source: &source, width, columns: &mut *columns, stride };
        on_detected!(isa, isa => isa.run(gather), portable => gather.plain());
        for column in columns.chunks_exact_mut(stride).take(width) {
            let column = &mut column[..rows];
            let sorted = sort(column, pairs, others, size_of::<T>());
            write(sorted, form, &mut bytemuck::cast_slice_mut(column)[..rows]);
        }
        let columns: &[u32] = bytemuck::cast_slice(columns);
        let stride = stride * size_of::<Large<T>>() / size_of::<u32>();
        let mut part = out.part(at, width);
        for i in 0..rows {
            for (l, place) in part.row(i).iter_mut().enumerate() {
                *place = columns[l * stride + i];
            }
        }
    }
}

/// Puts the keys of some columns one column behind the other.
struct Gather<'a, 'b, T: Element> {
    source: &'a Source<'b, T>,
    width: usize,
    columns: &'a mut [Large<T>],
    stride: usize,
}

impl<I: Isa, T: Element> Job<I> for Gather<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self, isa: I) {
        let Self { source, width, columns, stride } = self;
        source.for_each_row::<I, Large<T>>(isa, |i, vector| {
            let mut keys = [Large::<T>::default(); GROUP];
            vector.store(&mut keys);
            for (l, &key) in keys[..width].iter().enumerate() {
                columns[l * stride + i] = key;
            }
        });
    }
}

impl<T: Element> Gather<'_, '_, T> {
    fn plain(self) {
        let Self { source, width, columns, stride } = self;
        let mut copy = [T::default(); GROUP];
        for i in 0..source.rows() {
            let row = &source.row(i, &mut copy)[..width];
            for (l, &value) in row.iter().enumerate() {
                columns[l * stride + i] = source.key(value);
            }
        }
    }
}

fn write(sorted: &[u64], form: Form, to: &mut [u32]) {
    match form {
        Form::Ranks => {
            for (rank, &pair) in (0..).zip(sorted) {
                to[pair as u32 as usize] = rank;
            }
        }
        Form::Rows => {
            for (place, &pair) in to.iter_mut().zip(sorted) {
                *place = pair as u32;
            }
        }
    }
}
