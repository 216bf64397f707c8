//! Promises of the matrix views.

use bihalf::{Error, Layout, Mat, MatMut, MatRef};

#[test]
fn buffers_of_another_length_are_refused() {
    let data = [0.0f32; 10];
    assert!(MatRef::new(&data, 5, 2).is_ok());
    for (rows, cols, expected) in [(2, 2, 4), (3, 4, 12), (0, 7, 0)] {
        let error = MatRef::new(&data, rows, cols).unwrap_err();
        let is_right =
            matches!(error, Error::BufferLength { expected: e, got: 10, .. } if e == expected);
        assert!(is_right, "{error}");
    }
    let error = MatRef::new(&data, 2, 3).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a 2 x 3 matrix has 6 elements, but its buffer holds 10; check rows and columns, or pass \
         the start of a longer buffer to `prefix`"
    );
    assert!(MatMut::new(&mut [0.0f32; 7], 2, 3).is_err());

    assert_eq!(MatRef::prefix(&data, 2, 2).unwrap().to_vec().unwrap(), [0.0; 4]);
    let error = MatRef::prefix(&data, 3, 4).unwrap_err();
    assert!(matches!(error, Error::BufferTooShort { needed: 12, got: 10, .. }), "{error}");
    // The last row needs no room behind it.
    assert!(MatRef::with_row_stride(&data, 3, 2, 4).is_ok());
    let error = MatRef::with_row_stride(&data, 3, 3, 4).unwrap_err();
    assert!(matches!(error, Error::BufferTooShort { needed: 11, got: 10, .. }), "{error}");
    assert_eq!(
        error.to_string(),
        "a 3 x 3 matrix with strides (4, 1) spans 11 elements, but its buffer holds 10; \
         pass a longer buffer or a smaller shape"
    );
}

#[test]
fn rows_of_outputs_may_not_overlap() {
    let mut data = [0.0f32; 10];
    let error = MatMut::with_row_stride(&mut data, 2, 4, 3).unwrap_err();
    assert!(matches!(error, Error::OverlappingRows { cols: 4, row_stride: 3 }), "{error}");
    assert!(MatMut::with_row_stride(&mut data, 1, 4, 0).is_ok(), "one row overlaps no other");
    assert!(MatMut::with_row_stride(&mut data, 0, 4, 0).is_ok());
}

#[test]
fn rows_of_vectors_become_a_matrix() {
    let m = Mat::from_rows([vec![1.0f32, 2.0], vec![3.0, 4.0], vec![5.0, 6.0]]).unwrap();
    assert_eq!(
        (m.shape(), m.view().to_vec().unwrap()),
        ((3, 2), vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    );
    let arrays = Mat::from_rows([[1.0f64; 3]; 2].iter()).unwrap();
    assert_eq!(arrays.shape(), (2, 3));
    assert_eq!(Mat::<f32>::from_rows([[0.0f32; 0]; 0]).unwrap().shape(), (0, 0));
    let ragged: [&[f32]; 3] = [&[1.0, 2.0], &[3.0, 4.0], &[5.0]];
    let error = Mat::from_rows(ragged).unwrap_err();
    assert!(matches!(error, Error::RowLength { row: 2, expected: 2, got: 1 }), "{error}");
    let mut m = m;
    m.view_mut().rows_mut().for_each(|row| row.reverse());
    assert_eq!(m.into_data(), [2.0, 1.0, 4.0, 3.0, 6.0, 5.0]);
}

/// A column that there is not would be an element of the next row.
#[test]
fn accessors_check_both_coordinates() {
    let data: Vec<f32> = (0..12).map(|n| n as f32).collect();
    let m = MatRef::new(&data, 4, 3).unwrap();
    let message = |access: &dyn Fn()| {
        let access = std::panic::AssertUnwindSafe(access);
        let panic = std::panic::catch_unwind(access).expect_err("a panic");
        *panic.downcast::<String>().unwrap()
    };
    assert_eq!(message(&|| _ = m.get(0, 5)), "column 5 of a 4 x 3 matrix");
    assert_eq!(message(&|| _ = m.get(9, 0)), "row 9 of a 4 x 3 matrix");
    assert_eq!(message(&|| drop(m.row(4))), "row 4 of a 4 x 3 matrix");
    assert_eq!(message(&|| drop(m.col(3))), "column 3 of a 4 x 3 matrix");
    assert_eq!((m.get(3, 2), m.row(3).count(), m.col(2).count()), (11.0, 3, 4));
}

#[test]
fn sizes_that_overflow_are_refused() {
    let data = [0.0f32; 1];
    let most = usize::MAX;
    for (rows, cols, row_stride, col_stride) in
        [(most, 2, 0, 0), (2, 2, most, 1), (3, 1, most, 0), (2, most, 1, 1), (1, 3, 0, most)]
    {
        let error =
            MatRef::with_strides(&data[..], rows, cols, row_stride, col_stride).unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. }), "{rows} {cols}: {error}");
        assert!(Layout::new(rows, cols, row_stride, col_stride).is_err());
    }
}

#[test]
fn empty_matrices_need_no_buffer() {
    for (rows, cols) in [(0, 0), (0, 5), (5, 0)] {
        let view = MatRef::<f64>::new(&[], rows, cols).unwrap();
        assert_eq!(view.shape(), (rows, cols));
        assert!(view.layout().is_empty());
        assert_eq!(view.layout().span(), 0);
        assert!(view.to_vec().unwrap().is_empty());
        let mut none: [f64; 0] = [];
        assert_eq!(MatMut::new(&mut none, rows, cols).unwrap().rows_mut().count(), 0);
    }
}

#[test]
fn strides_reach_the_right_elements() {
    let data: Vec<u32> = (0..12).collect();
    let transposed = MatRef::with_strides(&data[..], 3, 4, 1, 3).unwrap();
    assert_eq!(transposed.row(1).collect::<Vec<_>>(), [1, 4, 7, 10]);
    assert_eq!(transposed.col(2).collect::<Vec<_>>(), [6, 7, 8]);
    assert_eq!(transposed.get(2, 3), 11);
    let mut data = data;
    let mut padded = MatMut::with_row_stride(&mut data, 3, 2, 5).unwrap();
    padded.rows_mut().for_each(|row| row.fill(99));
    assert_eq!(padded.as_ref().to_vec().unwrap(), [99; 6]);
    assert_eq!(data, [99, 99, 2, 3, 4, 99, 99, 7, 8, 9, 99, 99]);
}
