//! Promises of `codes` and `ops::codes`.

use crate::common::patterns::{ALL, Pattern, Rng};
use crate::common::*;
use bihalf::{Backend, Codes, CodesMut, CodesRef, Element, Error, MatRef, PackedCodes};

fn packing_equals_the_oracle<T: Element + Guard, B: Backend>(backend: &B) {
    for (seed, shape) in (1..).zip(shapes()) {
        let (rows, cols) = shape;
        for (n, pattern) in cases::<T, _>(backend, &ALL, shape, seed) {
            let lay = VIEWS[(n + seed as usize) % VIEWS.len()];
            let _context = Context::new::<T, B>(backend, (shape, pattern, seed, lay));
            let dense: Vec<T> = lay.fill(pattern, shape, seed);
            let signs = naive::sign(&dense, cols, None);
            let input = Input::new(backend, &dense, shape, lay);

            let mut codes = GuardedCodes::new(backend, shape);
            backend.pack_into(input.view(), codes.view()).unwrap();
            assert_eq!(codes.take(backend), naive::pack(&signs, rows, cols));

            let packed = InputCodes::new(backend, &signs, shape);
            let mut back = Guarded::<B, T>::new(backend, shape);
            backend.unpack_into(packed.view(), back.view()).unwrap();
            let back: Vec<f64> = back.take(backend).into_iter().map(T::to_f64).collect();
            assert_eq!(back, signs);

            let mut counts = guarded_row::<B, u32>(backend, cols);
            backend.ones_into(packed.view(), counts.vector()).unwrap();
            let ones = |j| (0..rows).filter(|i| signs[i * cols + j] > 0.0).count() as u32;
            assert_eq!(counts.take(backend), (0..cols).map(ones).collect::<Vec<_>>());
        }
    }
}

#[test]
fn pack_unpack_and_count_match_the_oracle() {
    on_each_backend_and_type!(packing_equals_the_oracle);
}

#[test]
fn bit_j_is_bit_j_mod_8_of_byte_j_div_8_and_pad_bits_are_zero() {
    let mut dense = [-1.0f32; 2 * 70];
    for j in [0, 9, 63, 64, 69] {
        dense[70 + j] = 1.0;
    }
    let codes = Codes::from_dense(MatRef::new(&dense, 2, 70).unwrap()).unwrap();
    let expected = [0b1, 0b10, 0, 0, 0, 0, 0, 0b1000_0000, 0b10_0001];
    assert_eq!(codes.to_bytes().unwrap(), [&[0; 9][..], &expected].concat());
    assert_eq!(codes.as_bytes()[16..25], expected);
    assert_eq!(codes.as_bytes()[25..], [0; 7]);
    assert!(codes.get(1, 69) && !codes.get(1, 68) && !codes.get(0, 69));
}

#[test]
fn foreign_words_are_checked() {
    let words = [1u64 << 4, 1 << 5].map(u64::to_le);
    assert!(CodesRef::new(&words, 2, 6).is_ok());
    let error = CodesRef::new(&words, 2, 5).unwrap_err();
    assert!(matches!(error, Error::PadBits { row: 1, bits: 5 }), "{error}");
    let error = CodesRef::prefix(&words, 2, 5).unwrap_err();
    assert!(matches!(error, Error::PadBits { row: 1, bits: 5 }), "{error}");
    assert_eq!(CodesRef::prefix(&words, 1, 5).unwrap().rows(), 1);
    let error = Codes::from_words(words.to_vec(), 2, 5).unwrap_err();
    assert!(matches!(error, Error::PadBits { row: 1, bits: 5 }), "{error}");
    let error = Codes::from_words(words.to_vec(), 1, 64).unwrap_err();
    assert!(matches!(error, Error::BufferLength { expected: 1, got: 2, .. }), "{error}");
    assert!(Codes::from_words(words.to_vec(), 2, 64).is_ok());
    // What is to be written may hold anything.
    assert!(CodesMut::new(&mut [u64::MAX; 2], 2, 5).is_ok());
}

#[test]
fn codes_are_a_container() {
    let mut dice = Rng::new(3);
    for bits in [0, 1, 63, 64, 65, 200] {
        let mut all = Codes::zeros(0, bits).unwrap();
        let mut rows: Vec<Vec<u64>> = Vec::new();
        for n in [0, 1, 5, 3] {
            let dense: Vec<f32> = (0..n * bits).map(|_| dice.below(2) as f32 - 0.5).collect();
            let part = Codes::from_dense(MatRef::new(&dense, n, bits).unwrap()).unwrap();
            all.extend(&part).unwrap();
            rows.extend(part.iter().map(<[u64]>::to_vec));
        }
        assert_eq!(all.iter().collect::<Vec<_>>(), rows);
        assert_eq!(all.words(), rows.concat());
        assert_eq!(all.slice(2..7).iter().collect::<Vec<_>>(), rows[2..7]);
        assert_eq!(Codes::from_words(all.clone().into_words(), 9, bits).unwrap(), all);
        let before = all.clone();
        let error = all.extend(&Codes::zeros(2, bits + 1).unwrap()).unwrap_err();
        assert!(matches!(error, Error::Length { .. }), "{error}");
        assert_eq!(all, before);
    }
}

#[test]
fn bytes_come_back() {
    for (rows, bits) in [(0, 5), (3, 0), (1, 1), (4, 8), (5, 63), (5, 64), (5, 65), (2, 257)] {
        let dense: Vec<f32> = Pattern::Random.fill((rows, bits), 1);
        let codes = Codes::from_dense(MatRef::new(&dense, rows, bits).unwrap()).unwrap();
        let bytes = codes.to_bytes().unwrap();
        assert_eq!(bytes.len(), rows * bits.div_ceil(8));
        assert_eq!(Codes::from_bytes(&bytes, rows, bits).unwrap(), codes);
    }
}

#[test]
fn foreign_bytes_are_checked() {
    let error = Codes::from_bytes(&[0, 0b1000], 2, 3).unwrap_err();
    assert!(matches!(error, Error::PadBits { row: 1, bits: 3 }), "{error}");
    let error = Codes::from_bytes(&[0; 3], 2, 3).unwrap_err();
    assert!(matches!(error, Error::Length { expected: 2, got: 3, .. }), "{error}");
}

#[test]
fn sizes_that_do_not_fit_are_errors() {
    let error = Codes::zeros(usize::MAX, 1).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    let error = CodesRef::new(&[0; 3], 2, 65).unwrap_err();
    assert!(matches!(error, Error::BufferLength { expected: 4, got: 3, .. }), "{error}");
    let error = CodesRef::prefix(&[0; 3], 2, 65).unwrap_err();
    assert!(matches!(error, Error::BufferTooShort { needed: 4, got: 3, .. }), "{error}");
    assert_eq!(PackedCodes::prefix(&[7u64, 0, 9][..], 2, 64).unwrap().words(), [7, 0]);
}

fn unpack_refuses_a_wrong_shape<B: Backend>(backend: &B) {
    let codes = InputCodes::new(backend, &[1.0; 6], (2, 3));
    let mut dense = Guarded::<B, f32>::new(backend, (3, 2));
    let error = backend.unpack_into(codes.view(), dense.view()).unwrap_err();
    assert!(matches!(error, Error::Shape { .. }), "{error}");
    dense.assert_untouched(backend);
    let mut counts = guarded_row::<B, u32>(backend, 2);
    let error = backend.ones_into(codes.view(), counts.vector()).unwrap_err();
    assert!(matches!(error, Error::Length { expected: 3, got: 2, .. }), "{error}");
    counts.assert_untouched(backend);
}

#[test]
fn wrong_shapes_are_refused_before_anything_is_written() {
    on_each_backend!(unpack_refuses_a_wrong_shape);
}
