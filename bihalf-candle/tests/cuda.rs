//! What holds for CUDA tensors beside the promises of each op, which their own tests make there too.
#![cfg(feature = "cuda")]

mod common;

use bihalf::Backend;
use bihalf_candle::{BihalfExt, cuda};
use candle_core::{DType, Device, Result};
use common::*;

#[test]
fn loading_twice_or_for_the_cpu_is_no_error() -> Result<()> {
    on_each_device(|device| {
        cuda::load(device)?;
        cuda::load(device)
    })
}

#[test]
fn devices_on_one_gpu_share_the_kernels_and_keep_their_streams() -> Result<()> {
    on_each_device(|device| {
        let Device::Cuda(of_thread) = device else { return Ok(()) };
        assert!(cuda::backend(of_thread).is_err());
        let devices = [Device::new_cuda_with_stream(0)?, Device::new_cuda_with_stream(0)?];
        let [first, second] = [devices[0].as_cuda_device()?, devices[1].as_cuda_device()?];
        let (a, b) = (cuda::backend(first)?, cuda::backend(second)?);
        assert_eq!(a.name(), b.name());
        // Handles of functions are shown, contexts are not the same object.
        assert_eq!(a.kernels().limits(), b.kernels().limits());
        assert_eq!(a.stream().cu_stream(), first.cuda_stream().cu_stream());
        assert_eq!(b.stream().cu_stream(), second.cuda_stream().cu_stream());
        Ok(())
    })
}

#[test]
fn results_stay_on_the_device_and_equal_those_of_the_cpu() -> Result<()> {
    on_each_device(|device| {
        for (dtype, _) in DTYPES {
            let (here, there) =
                (values(67, 70, 0, dtype, &Device::Cpu)?, values(67, 70, 0, dtype, device)?);
            for (what, expected, got) in [
                ("bihalf", here.bihalf(1.0)?, there.bihalf(1.0)?),
                ("sign_ste", here.sign_ste(1.0)?, there.sign_ste(1.0)?),
            ] {
                assert!(got.device().same_device(device), "{what}");
                assert_eq!(rows(&got)?, rows(&expected)?, "{what}, {dtype:?}");
            }
            assert_eq!(here.to_codes()?.as_bytes(), there.to_codes()?.as_bytes(), "{dtype:?}");
        }
        Ok(())
    })
}

#[test]
fn arguments_on_two_devices_are_an_error() -> Result<()> {
    on_each_device(|device| {
        let b = values(4, 3, 0, DType::F32, device)?;
        let x = values(4, 3, 1, DType::F32, &Device::Cpu)?;
        assert_eq!(bihalf_candle::cosine_loss(&x, &b).is_ok(), device.is_cpu());
        Ok(())
    })
}
