//! Promises of `arrays`: views of `ndarray`'s arrays.

use crate::common::naive;
use bihalf::{Error, MatMut, MatRef, Ones, Outputs, Workspace, ops};
use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, ShapeBuilder, s};

fn numbers(rows: usize, cols: usize) -> Array2<f32> {
    Array2::from_shape_fn((rows, cols), |(i, j)| ((7 * i + 5 * j) % 11) as f32 - 5.0)
}

/// What the layer makes of the array, element by element.
fn is_right(array: &ArrayView2<'_, f32>) {
    let (rows, cols) = array.dim();
    let elements: Vec<f32> = array.iter().copied().collect();
    let b = ops::bi_half::forward(MatRef::try_from(*array).unwrap(), Ones::Half).unwrap();
    let b: Vec<f64> = b.into_iter().map(f64::from).collect();
    assert_eq!(b, naive::bihalf(&elements, rows, cols, rows / 2));
}

/// A column-major array is not taken for a row-major one.
#[test]
fn strides_are_kept() {
    for (rows, cols) in [(0, 3), (3, 0), (1, 1), (1, 5), (5, 1), (6, 4)] {
        let by_rows = numbers(rows, cols);
        let mut by_columns = Array2::zeros((rows, cols).f());
        by_columns.assign(&by_rows);
        is_right(&by_rows.view());
        is_right(&by_columns.view());
        is_right(&by_rows.t());
        let m = MatRef::try_from(&by_columns).unwrap();
        assert_eq!(m.to_vec().unwrap(), by_rows.iter().copied().collect::<Vec<_>>());
    }
}

#[test]
fn arrays_with_gaps_and_reversed_ones_are_refused() {
    let array = numbers(6, 4);
    for view in [array.slice(s![.., ..3]), array.slice(s![..;2, ..]), array.slice(s![..;-1, ..])] {
        let error = MatRef::try_from(view).unwrap_err();
        assert!(matches!(error, Error::ArrayLayout { cols: 3 | 4, .. }), "{error}");
    }
    let mut by_columns = Array2::<f32>::zeros((6, 4).f());
    let error = MatMut::try_from(&mut by_columns).unwrap_err();
    assert!(matches!(error, Error::ArrayLayout { strides: (1, 6), .. }), "{error}");
}

#[test]
fn parts_are_slices_of_views() {
    let array = numbers(7, 5);
    for of in [array.view(), array.t()] {
        let whole = MatRef::try_from(of).unwrap();
        let (rows, cols) = whole.shape();
        for (r, c) in [(0..rows, 1..3), (2..5, 0..cols), (3..4, 4..5), (2..2, 0..2), (5..5, 5..5)] {
            let expected = of.slice(s![r.clone(), c.clone()]);
            let part = whole.slice(r, c);
            assert_eq!(part.to_vec().unwrap(), expected.iter().copied().collect::<Vec<_>>());
            let back = ArrayView2::try_from(part).unwrap();
            assert_eq!(back, expected);
        }
    }
    let whole = MatRef::try_from(&array).unwrap();
    assert!(std::panic::catch_unwind(|| whole.slice(0..8, 0..5)).is_err());
    assert!(std::panic::catch_unwind(|| whole.slice(0..7, 4..6)).is_err());
}

#[test]
fn outputs_are_arrays() {
    let (u, mut b) = (numbers(6, 4), Array2::zeros((6, 4)));
    let out = Outputs::none().dense(MatMut::try_from(&mut b).unwrap());
    let u = MatRef::try_from(&u).unwrap();
    ops::bi_half::forward_into(u, Ones::Half, out, &mut Workspace::new()).unwrap();
    assert_eq!(b.sum_axis(Axis(0)).to_vec(), [0.0; 4]);

    let mut padded = [0.0f32; 11];
    let matrix = MatMut::with_row_stride(&mut padded, 2, 3, 8).unwrap();
    ArrayViewMut2::from(matrix).fill(1.0);
    assert_eq!(padded, [1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
}
