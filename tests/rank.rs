//! Promises of `ops::rank`.

use crate::common::patterns::{ALL, Pattern, Rng};
use crate::common::*;
use bihalf::half::{bf16, f16};
use bihalf::{Backend, Cpu, Element, Error, MatRef, Matrix, Ones, Order, Outputs, Workspace, ops};

const ORDERS: [(Order, bool); 2] = [(Order::Ascending, false), (Order::Descending, true)];

fn ranks_and_argsort_equal_the_oracle<T: Element, B: Backend>(backend: &B) {
    for (seed, shape) in (1..).zip(shapes()) {
        let (rows, cols) = shape;
        let mut ws = backend.workspace::<T>(rows, cols).unwrap();
        for (n, pattern) in cases::<T, _>(backend, &ALL, shape, seed) {
            let turn = n + seed as usize;
            let (order, desc) = ORDERS[turn % 2];
            let lay = VIEWS[turn / 2 % VIEWS.len()];
            let _context = Context::new::<T, B>(backend, (shape, pattern, seed, order, lay));
            let u: Vec<T> = lay.fill(pattern, shape, seed);
            let input = Input::new(backend, &u, shape, lay);
            let expected = naive::rank(&u, rows, cols, desc);

            let mut out = Guarded::<B, u32>::new(backend, shape);
            backend.rank_into(input.view(), order, out.view(), &mut ws).unwrap();
            assert_eq!(out.take(backend), expected);

            let mut out = Guarded::<B, u32>::new(backend, shape);
            backend.argsort_into(input.view(), order, out.view(), &mut ws).unwrap();
            assert_eq!(out.take(backend), naive::argsort(&expected, cols));
        }
    }
}

#[test]
fn rank_and_argsort_match_the_oracle_on_every_shape_stride_and_pattern() {
    on_each_backend_and_type!(ranks_and_argsort_equal_the_oracle);
}

/// Rows around every tile that a device sorts, and around what one pass of a merge does; with them,
/// columns that fill a tile and do not.
const TILES: [(usize, usize); 14] = [
    (255, 3),
    (256, 9),
    (257, 1),
    (1023, 1),
    (2047, 1),
    (2048, 2),
    (2049, 1),
    (4095, 1),
    (4096, 5),
    (8192, 1),
    (8193, 1),
    (16_385, 1),
    (65_536, 1),
    (65_537, 1),
];

/// Without the oracle: there is one permutation of the rows along which values ascend (or descend)
/// and equal ones come by row.
#[track_caller]
fn assert_is_argsort<T: Element>(u: &[T], cols: usize, desc: bool, sorted: &[u32]) {
    let value = |row: u32, j: usize| u[row as usize * cols + j].to_f64();
    for j in 0..cols {
        let column: Vec<u32> = sorted.iter().copied().skip(j).step_by(cols).collect();
        let mut seen = vec![false; column.len()];
        column.iter().for_each(|&row| seen[row as usize] = true);
        assert!(seen.into_iter().all(|seen| seen), "column {j} is no permutation");
        for pair in column.windows(2) {
            let (a, b) = (value(pair[0], j), value(pair[1], j));
            let (first, last) = if desc { (b, a) } else { (a, b) };
            let equal = !naive::less(a, b) && !naive::less(b, a);
            let sound = naive::less(first, last) || (equal && pair[0] < pair[1]);
            assert!(sound, "column {j}: rows {pair:?} with {a} and {b}");
        }
    }
}

fn ranks_and_argsort_of_every_tile<T: Element, B: Backend>(backend: &B) {
    for (seed, shape) in (1..).zip(TILES) {
        let (rows, cols) = shape;
        let mut ws = backend.workspace::<T>(rows, cols).unwrap();
        let mut patterns: Vec<_> = cases::<T, _>(backend, &ALL, shape, seed).collect();
        // A run that tries part of the cases tries every kernel all the same.
        if patterns.is_empty() && rows < 10_000 {
            patterns.push((0, Pattern::Random));
        }
        for (n, pattern) in patterns {
            let u: Vec<T> = pattern.fill(shape, seed);
            let (order, desc) = ORDERS[(n + seed as usize) % 2];
            let _context = Context::new::<T, B>(backend, (shape, pattern, seed, order));
            let input = Input::new(backend, &u, shape, Lay::Padded);

            let mut out = Guarded::<B, u32>::new(backend, shape);
            backend.argsort_into(input.view(), order, out.view(), &mut ws).unwrap();
            let sorted = out.take(backend);
            assert_is_argsort(&u, cols, desc, &sorted);

            let mut out = Guarded::<B, u32>::new(backend, shape);
            backend.rank_into(input.view(), order, out.view(), &mut ws).unwrap();
            assert_eq!(naive::argsort(&out.take(backend), cols), sorted);
        }
    }
}

#[test]
fn rank_and_argsort_of_any_number_of_tiles_are_stable_sorts() {
    on_each_backend_and_type!(ranks_and_argsort_of_every_tile);
}

/// Columns around a vector's lanes and the columns that are gathered together.
const COLS: [usize; 11] = [1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33];

/// Rows around blocks of rows that are compared at a time, and around each change of the way in which
/// the CPU sorts.
fn rows_on_the_cpu() -> impl Iterator<Item = usize> {
    let small = (1..=26).chain([31, 32, 33, 64, 65, 100, 128]);
    let changes = [320, 512, 768, 1024, 4096];
    small.chain(changes.into_iter().flat_map(|rows| [rows - 1, rows, rows + 1]))
}

#[track_caller]
fn assert_sorts_on_the_cpu<T: Element>(u: &[T], shape: (usize, usize), lay: Lay, turn: usize) {
    let (rows, cols) = shape;
    let (order, desc) = ORDERS[turn % 2];
    let input = Input::new(&Cpu, u, shape, lay);
    let mut ws = Workspace::for_shape::<T>(rows, cols).unwrap();

    let mut out = Guarded::<Cpu, u32>::new(&Cpu, shape);
    ops::rank::argsort_into(input.view(), order, out.view(), &mut ws).unwrap();
    let sorted = out.take(&Cpu);
    assert_is_argsort(u, cols, desc, &sorted);

    let mut out = Guarded::<Cpu, u32>::new(&Cpu, shape);
    ops::rank::rank_into(input.view(), order, out.view(), &mut ws).unwrap();
    assert_eq!(naive::argsort(&out.take(&Cpu), cols), sorted);
}

fn sizes_of<T: Element>(turn: usize, shape: (usize, usize), pattern: Pattern) {
    let _context = Context::new::<T, Cpu>(&Cpu, (shape, pattern, turn));
    let lay = VIEWS[turn % VIEWS.len()];
    assert_sorts_on_the_cpu::<T>(&lay.fill(pattern, shape, turn as u64), shape, lay, turn);
}

/// The last shapes are shared among threads, one of them with fewer columns than are gathered
/// together.
#[test]
fn sizes_around_vectors_blocks_and_changes_of_algorithm_are_stable_sorts() {
    let mut shapes: Vec<_> =
        rows_on_the_cpu().enumerate().map(|(n, rows)| (rows, COLS[n % COLS.len()])).collect();
    shapes.extend([(64, 700), (32_767, 2), (32_768, 3), (32_769, 1)]);
    for (n, pattern) in ALL.into_iter().enumerate() {
        for (turn, &shape) in (n * 5..).zip(&shapes) {
            sizes_of::<f32>(turn, shape, pattern);
            sizes_of::<f64>(turn + 1, shape, pattern);
            sizes_of::<f16>(turn + 2, shape, pattern);
            sizes_of::<bf16>(turn + 3, shape, pattern);
        }
    }
}

/// One and the smallest steps above: all that tells them apart are some of the last bits.
fn close_values<T: Element>(step: f64, seed: u64) {
    for (turn, rows) in rows_on_the_cpu().chain([32_768, 32_769]).enumerate() {
        for (steps, cols) in [(2, 3), (1000, 2), (1 << 20, 1)] {
            let _context = Context::new::<T, Cpu>(&Cpu, (rows, cols, steps));
            let mut rng = Rng::new(seed + turn as u64);
            let mut value = || 1.0 + step * rng.below(steps) as f64;
            let u: Vec<T> = (0..rows * cols).map(|_| T::from_f64(value())).collect();
            assert_sorts_on_the_cpu(&u, (rows, cols), LAYS[turn % LAYS.len()], turn);
        }
    }
}

#[test]
fn sizes_of_values_that_differ_in_their_last_bits_are_stable_sorts() {
    close_values::<f32>(f64::from(f32::EPSILON), 1);
    close_values::<f64>(f64::EPSILON, 2);
    // Different in both halves of 64 bits.
    close_values::<f64>(f64::EPSILON * 2f64.powi(22), 3);
    close_values::<f16>(f16::EPSILON.to_f64(), 4);
    close_values::<bf16>(bf16::EPSILON.to_f64(), 5);
}

fn argsort<T: Element, B: Backend>(backend: &B, column: &[T], order: Order) -> Vec<u32> {
    let u = Input::new(backend, column, (column.len(), 1), Lay::Dense);
    backend.download(&backend.argsort(u.view(), order).unwrap()).unwrap()
}

fn ties_by_hand<B: Backend>(backend: &B) {
    let u = [1.0f32, 2.0, 1.0, 2.0];
    assert_eq!(argsort(backend, &u, Order::Ascending), [0, 2, 1, 3]);
    assert_eq!(argsort(backend, &u, Order::Descending), [1, 3, 0, 2]);
}

#[test]
fn rank_ties_go_to_the_lower_row_in_both_directions() {
    on_each_backend!(ties_by_hand);
}

/// Neighbours among the sorted places may be those of two threads.
fn one_tie_at_each_place<B: Backend>(backend: &B) {
    for place in 1..32 {
        // All rows come in their order, but for the last one, which equals row `place - 1`.
        let values: Vec<f32> = (0..31).chain([place - 1]).map(|value| value as f32).collect();
        let negative: Vec<f32> = values.iter().map(|value| -value).collect();
        let expected: Vec<u32> = (0..place).chain([31]).chain(place..31).collect();
        assert_eq!(argsort(backend, &values, Order::Ascending), expected);
        assert_eq!(argsort(backend, &negative, Order::Descending), expected);
    }
}

#[test]
fn rank_sees_the_only_tie_of_a_column_at_any_place() {
    on_each_backend!(one_tie_at_each_place);
}

fn nan_and_zeros_by_hand<B: Backend>(backend: &B) {
    let u = [f64::INFINITY, f64::NAN, 0.0, -0.0, -f64::NAN, f64::NEG_INFINITY];
    assert_eq!(argsort(backend, &u, Order::Ascending), [5, 2, 3, 0, 1, 4]);
    assert_eq!(argsort(backend, &u, Order::Descending), [1, 4, 0, 2, 3, 5]);
}

#[test]
fn rank_takes_nan_as_equal_and_greatest_and_zeros_as_equal() {
    on_each_backend!(nan_and_zeros_by_hand);
}

fn broadcast_rows<B: Backend>(backend: &B) {
    let row = backend.upload(&[3.0f32, 1.0]).unwrap();
    let u = Matrix::with_strides(B::slice(&row), 3, 2, 0, 1).unwrap();
    let ranks = backend.rank(u, Order::Descending).unwrap();
    assert_eq!(backend.download(&ranks).unwrap(), [0, 0, 1, 1, 2, 2]);
}

#[test]
fn rank_of_a_view_with_broadcast_rows_is_the_row_number() {
    on_each_backend!(broadcast_rows);
}

fn wrong_output<B: Backend>(backend: &B) {
    let u: Vec<f32> = Pattern::Random.fill((3, 2), 1);
    let u = Input::new(backend, &u, (3, 2), Lay::Dense);
    let mut ws = backend.workspace::<f32>(3, 2).unwrap();
    let mut out = Guarded::<B, u32>::new(backend, (2, 3));
    let error = backend.rank_into(u.view(), Order::Ascending, out.view(), &mut ws).unwrap_err();
    assert!(matches!(error, Error::Shape { expected: (3, 2), got: (2, 3), .. }), "{error}");
    assert_eq!(error.to_string(), "the output is 2 x 3, but 3 x 2 is needed to match U");
    out.assert_untouched(backend);
}

#[test]
fn rank_refuses_a_wrong_output_and_leaves_it_untouched() {
    on_each_backend!(wrong_output);
}

fn too_many_rows<B: Backend>(backend: &B) {
    let one = backend.upload(&[0.5f32]).unwrap();
    let rows = u32::MAX as usize + 1;
    let u = || Matrix::with_strides(B::slice(&one), rows, 1, 0, 0).unwrap();
    let mut ws = backend.workspace::<f32>(1, 1).unwrap();
    let mut out = Guarded::<B, u32>::new(backend, (1, 1));
    let error = backend.rank_into(u(), Order::Ascending, out.view(), &mut ws).unwrap_err();
    assert!(matches!(error, Error::TooManyRows { .. }), "{error}");
    let mut of_columns = Guarded::<B, f32>::new(backend, (1, 1));
    let error = backend.median_into(u(), of_columns.vector(), &mut ws).unwrap_err();
    assert!(matches!(error, Error::TooManyRows { .. }), "{error}");
    let error = backend
        .bihalf_forward_into(
            u(),
            Ones::Half,
            Outputs::none().threshold(of_columns.vector()),
            &mut ws,
        )
        .unwrap_err();
    assert!(matches!(error, Error::TooManyRows { .. }), "{error}");
    let error = backend.sign_forward_into(u(), None, Outputs::none()).unwrap_err();
    assert!(matches!(error, Error::TooManyRows { .. }), "{error}");
    out.assert_untouched(backend);
    of_columns.assert_untouched(backend);
}

#[test]
fn more_rows_than_a_rank_can_number_are_refused() {
    on_each_backend!(too_many_rows);
}

#[test]
fn more_rows_than_the_host_counts_are_refused() {
    let u = MatRef::with_strides(&[0.5f32], 1 << 31, 1, 0, 0).unwrap();
    let (mut of_columns, mut ws) = ([7.0], Workspace::new());
    let error = ops::threshold::median_into(u, &mut of_columns, &mut ws).unwrap_err();
    let message = "2147483648 rows are more than the 2147483647 that 32-bit row numbers reach";
    assert!(error.to_string().starts_with(message), "{error}");
    let out = Outputs::none();
    let error = ops::bi_half::forward_into(u, Ones::Half, out.threshold(&mut of_columns), &mut ws);
    assert!(error.unwrap_err().to_string().starts_with(message));
    assert_eq!(of_columns, [7.0]);
}
