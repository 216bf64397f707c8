//! Host side of `kernels/codes.cu`.
#![allow(unsafe_code)]

use super::args::{Codes, Output, Shape};
use super::memory::{DeviceMut, DeviceRef};
use super::stream::Cuda;
use crate::ops::{check_shape, stats};
use crate::plan::Kernel;
use crate::{Element, Matrix, PackedCodes, Result, Storage};

#[repr(C)]
struct Unpack {
    codes: Codes,
    dense: Output,
    shape: Shape,
}

#[repr(C)]
struct Ones {
    codes: Codes,
    counts: u64,
    shape: Shape,
}

/// Size of each kernel's argument.
#[cfg(test)]
pub(super) const ARGS: &[(Kernel, usize)] =
    &[(Kernel::CodesUnpack, size_of::<Unpack>()), (Kernel::CodesOnes, size_of::<Ones>())];

impl Cuda {
    pub(super) fn unpack<T: Element>(
        &self,
        codes: PackedCodes<DeviceRef<'_, u64>>,
        dense: Matrix<DeviceMut<'_, T>>,
    ) -> Result<()> {
        check_shape("the dense output", "the codes", codes.shape(), dense.shape())?;
        let shape = Shape::new(dense.rows(), dense.cols())?;
        let stream = self.ready()?;
        let (codes, _codes) = Codes::to_read(codes, stream)?;
        let (dense, _dense) = Output::of("the dense output", dense, stream)?;
        // SAFETY: the kernel's argument; views have been checked, and are `Held`.
        unsafe { self.walk::<T, _>(Kernel::CodesUnpack, shape, &Unpack { codes, dense, shape }) }
    }

    pub(super) fn ones(
        &self,
        codes: PackedCodes<DeviceRef<'_, u64>>,
        counts: DeviceMut<'_, u32>,
    ) -> Result<()> {
        stats::check_ones(codes.shape(), counts.len())?;
        let shape = Shape::new(codes.rows(), codes.bits())?;
        let stream = self.ready()?;
        let (codes, _codes) = Codes::to_read(codes, stream)?;
        let counts = counts.hold("counts", stream)?;
        // SAFETY: the counts have been checked to be one for each bit.
        unsafe { self.fill_zero(counts.address, shape.cols as usize * size_of::<u32>()) }?;
        let args = Ones { codes, counts: counts.address, shape };
        // SAFETY: the kernel's argument; views have been checked, and are `Held`. The type is of no
        // account.
        unsafe { self.walk::<f32, _>(Kernel::CodesOnes, shape, &args) }
    }
}
