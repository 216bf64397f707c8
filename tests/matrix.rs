//! Promises of the matrix views.

use bihalf::{Error, Layout, MatMut, MatRef};

#[test]
fn buffers_that_are_too_short_are_refused() {
    let data = [0.0f32; 10];
    assert!(MatRef::new(&data, 5, 2).is_ok());
    assert!(MatRef::new(&data, 2, 2).is_ok(), "a longer buffer is fine");
    let error = MatRef::new(&data, 3, 4).unwrap_err();
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
