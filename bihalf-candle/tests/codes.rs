//! Packed codes of a tensor.

mod common;

use bihalf_candle::BihalfExt;
use candle_core::{DType, Result, Tensor};
use common::*;

#[track_caller]
fn assert_signs(u: &Tensor, what: &str) -> Result<()> {
    let codes = u.to_codes()?;
    assert_eq!(&[codes.rows(), codes.bits()], u.dims(), "{what}");
    for (i, row) in rows(u)?.iter().enumerate() {
        for (j, &value) in row.iter().enumerate() {
            assert_eq!(codes.get(i, j), value > 0.0, "{what}: [{i}, {j}] of {value}");
        }
    }
    Ok(())
}

#[test]
fn bits_are_the_signs_for_every_dtype_size_and_view() -> Result<()> {
    on_each_device(|device| {
        for (dtype, _) in DTYPES {
            for m in row_counts(device) {
                assert_signs(&values(m, 70, 0, dtype, device)?, &format!("{dtype:?}, {m} rows"))?;
            }
            for (name, view) in views(dtype, device)? {
                assert_signs(&view, &format!("{dtype:?}, {name}"))?;
            }
        }
        Ok(())
    })
}

#[test]
fn codes_of_a_bihalf_layer_have_half_of_each_bit_set() -> Result<()> {
    on_each_device(|device| {
        let codes = values(12, 9, 0, DType::F32, device)?.bihalf(1.0)?.to_codes()?;
        for j in 0..9 {
            assert_eq!((0..12).filter(|&i| codes.get(i, j)).count(), 6, "bit {j}");
        }
        Ok(())
    })
}

#[test]
fn other_ranks_and_dtypes_are_errors_that_say_so() -> Result<()> {
    on_each_device(|device| {
        assert_refuses_other_ranks_and_dtypes(device, "to_codes", |u| u.to_codes())
    })
}
