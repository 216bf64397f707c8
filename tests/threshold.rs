//! Promises of `ops::threshold`.

use crate::common::patterns::{ALL, Pattern};
use crate::common::*;
use approx::assert_relative_eq;
use bihalf::half::f16;
use bihalf::ops::threshold::{Threshold, median};
use bihalf::{Backend, Element, Error, MatRef, Ones, Workspace};

fn lower_median<T: Element>(u: &[T], rows: usize, cols: usize, j: usize) -> f64 {
    let column: Vec<T> = u.iter().skip(j).step_by(cols).copied().collect();
    let order = naive::argsort(&naive::rank(&column, rows, 1, false), 1);
    let row = order[rows.div_ceil(2) - 1] as usize;
    naive::canonical(u[row * cols + j].to_f64())
}

fn medians_match<T: Element>() {
    for rows in [1, 2, 3, 32, 33, 100, 1025] {
        for pattern in ALL {
            let u: Vec<T> = pattern.fill((rows, 19), 5);
            let medians = median(MatRef::new(&u, rows, 19).unwrap()).unwrap();
            // The oracle is quadratic: of 1025 rows it checks the first column.
            let checked = if rows > 1000 { 1 } else { 19 };
            for (j, median) in medians.into_iter().take(checked).enumerate() {
                let expected = lower_median(&u, rows, 19, j);
                assert_same_bits(median.to_f64(), expected, j);
            }
        }
    }
}

#[test]
fn median_is_the_lower_middle_element() {
    medians_match::<f32>();
    medians_match::<f64>();
    medians_match::<f16>();
    medians_match::<bihalf::half::bf16>();
}

fn medians_match_on<T: Element + Guard, B: Backend>(backend: &B) {
    for (rows, cols) in [(1, 3), (2, 33), (32, 19), (33, 7), (100, 40), (1025, 1)] {
        for (_, pattern) in cases::<T, _>(backend, &ALL, (rows, cols), 5) {
            let _context = Context::new::<T, B>(backend, (rows, cols, pattern));
            let u: Vec<T> = pattern.fill((rows, cols), 5);
            let input = Input::new(backend, &u, (rows, cols), Lay::Transposed);
            let mut ws = backend.workspace::<T>(rows, cols).unwrap();
            let mut medians = guarded_row::<B, T>(backend, cols);
            backend.median_into(input.view(), medians.vector(), &mut ws).unwrap();
            for (j, median) in medians.take(backend).into_iter().enumerate() {
                let expected = lower_median(&u, rows, cols, j);
                assert_same_bits(median.to_f64(), expected, j);
            }
        }
    }
    let input = Input::<B, T>::new(backend, &[], (0, 2), Lay::Dense);
    let mut ws = backend.workspace::<T>(0, 2).unwrap();
    let mut medians = guarded_row::<B, T>(backend, 2);
    let error = backend.median_into(input.view(), medians.vector(), &mut ws).unwrap_err();
    assert!(matches!(error, Error::Parameter { name: "rows", .. }), "{error}");
    medians.assert_untouched(backend);
}

#[test]
fn median_is_the_same_on_every_backend() {
    on_each_backend_and_type!(medians_match_on);
}

fn median_as_shift<B: Backend>(backend: &B) {
    for rows in [1, 2, 7, 32, 101] {
        let u: Vec<f32> = Pattern::Random.fill((rows, 13), 2);
        let u = Input::new(backend, &u, (rows, 13), Lay::Dense);
        let mut ws = backend.workspace::<f32>(rows, 13).unwrap();
        let mut medians = guarded_row::<B, f32>(backend, 13);
        backend.median_into(u.view(), medians.vector(), &mut ws).unwrap();
        let shift: Vec<f32> = medians.take(backend).into_iter().map(|m| -m).collect();
        let shift = backend.upload(&shift).unwrap();
        let by_median = backend.sign_forward(u.view(), Some(B::slice(&shift))).unwrap();
        let bihalf = backend.bihalf_forward(u.view(), Ones::Half).unwrap();
        assert_eq!(backend.download(&by_median).unwrap(), backend.download(&bihalf).unwrap());
    }
}

#[test]
fn without_ties_the_batch_median_as_shift_gives_bihalf_codes() {
    on_each_backend!(median_as_shift);
}

#[test]
fn average_starts_at_the_first_median_and_decays() {
    let mut ws = Workspace::new();
    let mut threshold = Threshold::new(2, 0.75).unwrap();
    let batch = [[4.0f64, -1.0], [8.0, 1.0], [0.0, 3.0]];
    for u in &batch {
        let medians = threshold.update(MatRef::new(u, 1, 2).unwrap(), &mut ws).unwrap();
        assert_eq!(medians, u);
    }
    let by_hand = |a: f64, b: f64, c: f64| 0.75 * (0.75 * a + 0.25 * b) + 0.25 * c;
    assert_relative_eq!(threshold.ema()[0], by_hand(4.0, 8.0, 0.0));
    assert_relative_eq!(threshold.ema()[1], by_hand(-1.0, 1.0, 3.0));
    assert_eq!(threshold.batches(), 3);
    let shift: Vec<f16> = threshold.shift().unwrap();
    assert_eq!(shift[0], f16::from_f64(-by_hand(4.0, 8.0, 0.0)));
}

#[test]
fn saved_thresholds_come_back_exactly() {
    let mut threshold = Threshold::new(40, 0.99).unwrap();
    let u: Vec<f64> = Pattern::Random.fill((9, 40), 3);
    threshold.update(MatRef::new(&u, 9, 40).unwrap(), &mut Workspace::new()).unwrap();
    threshold.update(MatRef::new(&u[40..], 8, 40).unwrap(), &mut Workspace::new()).unwrap();
    let mut file = Vec::new();
    threshold.save(&mut file).unwrap();
    assert_eq!(Threshold::load(&file[..]).unwrap(), threshold);

    let empty = Threshold::new(0, 0.0).unwrap();
    let mut file = Vec::new();
    empty.save(&mut file).unwrap();
    assert_eq!(Threshold::load(&file[..]).unwrap(), empty);
}

#[test]
fn damaged_files_are_errors_that_name_the_line() {
    let mut threshold = Threshold::new(2, 0.5).unwrap();
    threshold.update(MatRef::new(&[0.5f32, 2.0], 1, 2).unwrap(), &mut Workspace::new()).unwrap();
    let mut file = Vec::new();
    threshold.save(&mut file).unwrap();
    let text = String::from_utf8(file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 6);
    for keep in 0..6 {
        let error = Threshold::load(lines[..keep].join("\n").as_bytes()).unwrap_err();
        assert!(matches!(error, Error::Parse { line, .. } if line == keep + 1), "{keep}: {error}");
    }
    for (at, wrong) in [
        (0, "another file"),
        (1, "decay 1.5"),
        (1, "decay"),
        (2, "batches -1"),
        (3, "cols 1"),
        (3, "cols 3"),
        (4, "nan"),
        (5, "inf"),
        (5, "two"),
    ] {
        let mut lines = lines.clone();
        lines[at] = wrong;
        let error = Threshold::load(lines.join("\n").as_bytes()).unwrap_err();
        assert!(matches!(error, Error::Parse { .. }), "{wrong}: {error}");
    }
    let error = Threshold::load(&[0xff, 0xfe, b'\n'][..]).unwrap_err();
    assert!(matches!(error, Error::Io(_)), "{error}");
}

#[test]
fn refusals_leave_the_average_as_it_was() {
    let mut ws = Workspace::new();
    let mut threshold = Threshold::new(2, 0.5).unwrap();
    let error = threshold.shift::<f32>().unwrap_err();
    assert!(matches!(error, Error::Parameter { name: "batches", .. }), "{error}");
    threshold.update(MatRef::new(&[0.5f32, 2.0], 1, 2).unwrap(), &mut ws).unwrap();
    let before = threshold.clone();

    let error = threshold.update(MatRef::new(&[0.5f32, f32::NAN], 1, 2).unwrap(), &mut ws);
    let error = error.unwrap_err();
    assert!(matches!(error, Error::NonFiniteMedian { col: 1, .. }), "{error}");
    let error = threshold.update(MatRef::new(&[0.5f32; 3], 1, 3).unwrap(), &mut ws).unwrap_err();
    assert!(matches!(error, Error::Length { expected: 3, got: 2, .. }), "{error}");
    let error = threshold.update(MatRef::<f32>::new(&[], 0, 2).unwrap(), &mut ws).unwrap_err();
    assert!(matches!(error, Error::Parameter { name: "rows", .. }), "{error}");
    assert_eq!(threshold, before);
    for decay in [-0.1, 1.0, f64::NAN] {
        assert!(matches!(Threshold::new(1, decay), Err(Error::Parameter { name: "decay", .. })));
    }
}
