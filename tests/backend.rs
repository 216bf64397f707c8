//! Promises of the memory of a backend.

use crate::common::*;
use bihalf::{Backend, Error};

fn upload_into_overwrites<B: Backend>(backend: &B) {
    let mut buffer = backend.upload(&[1.0f32, 2.0, 3.0, 4.0, 5.0]).unwrap();
    backend.upload_into(&[7.0, 8.0], B::slice_of_mut(&mut buffer, 1..3)).unwrap();
    backend.upload_into(&[], B::slice_of_mut(&mut buffer, 4..4)).unwrap();
    for host in [&[9.0; 4][..], &[9.0; 6], &[]] {
        let error = backend.upload_into(host, B::slice_mut(&mut buffer)).unwrap_err();
        let is_right =
            matches!(error, Error::Length { got: 5, expected, .. } if expected == host.len());
        assert!(is_right, "{error}");
    }
    assert_eq!(backend.download(&buffer).unwrap(), [1.0, 7.0, 8.0, 4.0, 5.0]);
    let all = [0.5; 5];
    backend.upload_into(&all, B::slice_mut(&mut buffer)).unwrap();
    assert_eq!(backend.download(&buffer).unwrap(), all);
}

#[test]
fn a_buffer_serves_each_batch() {
    on_each_backend!(upload_into_overwrites);
}
