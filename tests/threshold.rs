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
        for (n, pattern) in cases::<T, _>(backend, &ALL, (rows, cols), 5) {
            let _context = Context::new::<T, B>(backend, (rows, cols, pattern));
            let lay = VIEWS[(rows + n) % VIEWS.len()];
            let u: Vec<T> = lay.fill(pattern, (rows, cols), 5);
            let input = Input::new(backend, &u, (rows, cols), lay);
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

fn saved() -> String {
    let mut threshold = Threshold::new(2, 0.5).unwrap();
    let batch = MatRef::new(&[1234567.875f64, -2.5e-300], 1, 2).unwrap();
    threshold.update(batch, &mut Workspace::new()).unwrap();
    let mut file = Vec::new();
    threshold.save(&mut file).unwrap();
    String::from_utf8(file).unwrap()
}

#[test]
fn a_file_cut_at_any_byte_is_an_error_that_names_the_line() {
    let file = saved();
    Threshold::load(file.as_bytes()).unwrap();
    for len in 0..file.len() {
        let part = &file[..len];
        let error = Threshold::load(part.as_bytes()).unwrap_err();
        let last = part.matches('\n').count() + 1;
        assert!(matches!(error, Error::Parse { line, .. } if line == last), "{len}: {error}");
        assert!(error.to_string().contains("restore the file"), "a remedy: {error}");
    }
}

#[test]
fn damaged_files_are_errors_that_name_the_line() {
    let file = saved();
    let lines: Vec<&str> = file.lines().collect();
    assert_eq!(lines.len(), 7);
    for (at, wrong, line) in [
        (0, "another file", 1),
        (1, "decay 1", 2),
        (1, "decay 1.5", 2),
        (1, "decay", 2),
        (2, "batches -1", 3),
        (3, "cols 1", 6),
        (3, "cols 3", 7),
        (3, "cols 18446744073709551615", 7),
        (4, "nan", 5),
        (5, "inf", 6),
        (5, "two", 6),
        (5, "1\n2", 7),
        (6, "end\nend", 8),
    ] {
        let mut lines = lines.clone();
        lines[at] = wrong;
        let error = Threshold::load((lines.join("\n") + "\n").as_bytes()).unwrap_err();
        assert!(matches!(error, Error::Parse { line: l, .. } if l == line), "{wrong}: {error}");
    }
}

/// As much of the input as helps is repeated, and no more of it is read.
#[test]
fn files_of_another_kind_are_errors_of_one_short_line() {
    let endless = || std::io::repeat(b'x');
    let binary = std::io::Cursor::new([0xff, 0xfe, 0, b'\n', 0x80]);
    let long_number = saved().replace("1234567.875", &"9".repeat(5000));
    for from in [
        &mut endless() as &mut dyn std::io::Read,
        &mut binary.clone(),
        &mut "\n".as_bytes(),
        &mut long_number.as_bytes(),
    ] {
        let error = Threshold::load(from).unwrap_err();
        let message = error.to_string();
        assert!(matches!(error, Error::Parse { .. }), "{message}");
        assert!(message.len() < 500 && !message.contains('\n'), "{message}");
    }
}

/// As an editor on Windows may leave it.
#[test]
fn line_ends_of_either_kind_are_read() {
    let file = saved();
    let other = file.replace('\n', "\r\n");
    let load = |file: &str| Threshold::load(file.as_bytes()).unwrap();
    assert_eq!(load(&other), load(&file));
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
