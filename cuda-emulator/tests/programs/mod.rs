//! Programs whose results are computed a second time on the host: arithmetic, conversions, warp
//! operations, atomics, cooperative groups, streams and graphs.

use crate::common::{ARCHS, Device, R, argument, cfg, child, need_nvcc, ptx};
use cudarc::driver::*;
use half::{bf16, f16};
use std::sync::Arc;

/// A device with the module `basic`.
struct T {
    d: Device,
    m: Arc<CudaModule>,
}

/// Runs the case in processes of its own: PTX of each architecture in the plain order, then other
/// schedules.
fn each(test: &str, sources: &[&str], case: fn(&T) -> R) {
    if let Some(arch) = argument() {
        let d = Device::new(&arch);
        let m = d.load("basic");
        let t = T { d, m };
        case(&t).unwrap();
        t.d.ctx.synchronize().unwrap();
        return;
    }
    need_nvcc!();
    let plain = ARCHS.map(|arch| (arch, vec![]));
    let other = [
        ("80", vec![("CUDAEMU_SEED", "1"), ("CUDAEMU_THREADS", "1")]),
        ("75", vec![("CUDAEMU_SEED", "2"), ("CUDAEMU_BLOCK_ORDER", "reverse")]),
        ("90", vec![("CUDAEMU_STREAMS", "eager"), ("CUDAEMU_POOLS", "0")]),
    ];
    for (arch, env) in plain.into_iter().chain(other) {
        for source in ["basic"].iter().chain(sources) {
            ptx(source, arch);
        }
        let mut all = env.clone();
        all.push(("CUDAEMU_CC", "90"));
        child(test, arch, &all).sound(&format!("{test} for {arch} {env:?}"));
    }
}

macro_rules! tests {
    ($($name:ident [$($source:literal),*] $case:expr;)*) => { $(
        #[test]
        fn $name() {
            each(concat!("kernels::", stringify!($name)), &[$($source),*], $case)
        }
    )* };
}
tests! {
    add [] vadd;
    bitonic_sort_in_shared_memory [] |t| bitonic(t, 256, 5);
    bitonic_sort_in_a_warp [] warp_sort;
    radix_histogram [] hist;
    conversions [] cvts;
    half_arithmetic [] halves;
    float_functions [] fmath;
    integers [] ints;
    warp_operations [] warpops;
    calls_and_parameters [] calls;
    atomics [] atoms;
    groups_and_barriers ["more"] more;
    driver_api [] api;
}

struct Rng(u64);
impl Rng {
    fn u(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545F4914F6CDD1D)
    }
    fn f(&mut self) -> f32 {
        (self.u() >> 40) as f32 / 65536.0 - 128.0
    }
}
fn vadd(t: &T) -> R {
    let f = t.m.load_function("vadd")?;
    let n = 100_003usize;
    let mut r = Rng(7);
    let a: Vec<f32> = (0..n).map(|_| r.f()).collect();
    let b: Vec<f32> = (0..n).map(|_| r.f()).collect();
    let (da, db) = (t.d.s.clone_htod(&a)?, t.d.s.clone_htod(&b)?);
    let mut dc = unsafe { t.d.s.alloc::<f32>(n)? };
    let nn = n as i32;
    unsafe {
        t.d.s
            .launch_builder(&f)
            .arg(&da)
            .arg(&db)
            .arg(&mut dc)
            .arg(&nn)
            .launch(LaunchConfig::for_num_elems(n as u32))?
    };
    let c = t.d.s.clone_dtoh(&dc)?;
    for i in 0..n {
        assert_eq!(c[i], a[i] + b[i]);
    }
    let f4 = t.m.load_function("vadd4")?;
    let mut dc = t.d.s.alloc_zeros::<f32>(n)?;
    let n4 = (n / 4) as i32;
    unsafe {
        t.d.s
            .launch_builder(&f4)
            .arg(&da)
            .arg(&db)
            .arg(&mut dc)
            .arg(&n4)
            .launch(cfg(100, 256, 0))?
    };
    let c = t.d.s.clone_dtoh(&dc)?;
    for i in 0..n / 4 * 4 {
        assert_eq!(c[i], if i / 4 < 25600 { a[i] + b[i] } else { 0.0 });
    }
    Ok(())
}
fn bitonic(t: &T, n: usize, cols: usize) -> R {
    let f = t.m.load_function("bitonic_shared")?;
    let mut r = Rng(9);
    let a: Vec<f32> = (0..n * cols).map(|_| (r.u() % 500) as f32 - 250.0).collect();
    let da = t.d.s.clone_htod(&a)?;
    let mut o = unsafe { t.d.s.alloc::<f32>(n * cols)? };
    let mut ix = unsafe { t.d.s.alloc::<u32>(n * cols)? };
    let nn = n as i32;
    unsafe {
        t.d.s.launch_builder(&f).arg(&da).arg(&mut o).arg(&mut ix).arg(&nn).launch(cfg(
            cols as u32,
            (n as u32 / 2).clamp(32, 512),
            n as u32 * 8,
        ))?
    };
    t.d.s.synchronize()?;
    let (o, ix) = (t.d.s.clone_dtoh(&o)?, t.d.s.clone_dtoh(&ix)?);
    for c in 0..cols {
        let mut v: Vec<(f32, u32)> = (0..n).map(|i| (a[c * n + i], i as u32)).collect();
        v.sort_by(|x, y| x.0.total_cmp(&y.0).then(x.1.cmp(&y.1)));
        for i in 0..n {
            assert_eq!((o[c * n + i], ix[c * n + i]), v[i], "col {c} row {i}");
        }
    }
    Ok(())
}
fn warp_sort(t: &T) -> R {
    let f = t.m.load_function("bitonic_warp")?;
    let mut r = Rng(11);
    let n = 1000usize;
    let a: Vec<u32> = (0..n).map(|_| r.u() as u32).collect();
    let mut d = t.d.s.clone_htod(&a)?;
    let nn = n as i32;
    unsafe { t.d.s.launch_builder(&f).arg(&mut d).arg(&nn).launch(cfg(8, 128, 0))? };
    let o = t.d.s.clone_dtoh(&d)?;
    for (x, y) in a.chunks(32).zip(o.chunks(32)) {
        let mut x = x.to_vec();
        x.sort();
        // ascending in even, the last merge direction is by lane&32==0, so always ascending
        assert_eq!(x, y);
    }
    Ok(())
}
fn hist(t: &T) -> R {
    let f = t.m.load_function("radix_hist")?;
    let mut r = Rng(13);
    let n = 50_001usize;
    let a: Vec<u32> = (0..n).map(|_| r.u() as u32).collect();
    let d = t.d.s.clone_htod(&a)?;
    let mut h = t.d.s.alloc_zeros::<u32>(256)?;
    let (nn, sh) = (n as i32, 8i32);
    unsafe {
        t.d.s.launch_builder(&f).arg(&d).arg(&mut h).arg(&nn).arg(&sh).launch(cfg(7, 192, 0))?
    };
    let o = t.d.s.clone_dtoh(&h)?;
    let mut e = vec![0u32; 256];
    for x in a {
        e[(x >> 8 & 255) as usize] += 1;
    }
    assert_eq!(o, e);
    Ok(())
}
fn edge() -> Vec<f32> {
    let mut v: Vec<f32> = vec![
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        1.5,
        2.5,
        -2.5,
        65504.0,
        65519.9,
        65520.0,
        1e30,
        -1e30,
        3e38,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        1e-8,
        5.9e-8,
        2.98e-8,
        2.99e-8,
        6.1e-5,
        6.0e-5,
        1e-40,
        -1e-45,
        2147483647.0,
        2147483648.0,
        -2147483648.0,
        -2147483904.0,
        4294967040.0,
        4294967296.0,
        9.3e18,
        -9.3e18,
        127.4,
        127.5,
        -128.5,
        300.0,
    ];
    let mut r = Rng(17);
    for _ in 0..4000 {
        v.push(f32::from_bits(r.u() as u32));
    }
    for _ in 0..4000 {
        v.push(r.f());
    }
    v
}
fn cvts(t: &T) -> R {
    let f = t.m.load_function("cvt_all")?;
    let a = edge();
    let n = a.len();
    let d = t.d.s.clone_htod(&a)?;
    let mut h = t.d.s.alloc_zeros::<f16>(n)?;
    let mut b = t.d.s.alloc_zeros::<bf16>(n)?;
    let mut hf = t.d.s.alloc_zeros::<f32>(n)?;
    let mut bf = t.d.s.alloc_zeros::<f32>(n)?;
    let mut i32_ = t.d.s.alloc_zeros::<i32>(n)?;
    let mut u32_ = t.d.s.alloc_zeros::<u32>(n)?;
    let mut i64_ = t.d.s.alloc_zeros::<i64>(n)?;
    let mut i8_ = t.d.s.alloc_zeros::<i8>(n)?;
    let mut hz = t.d.s.alloc_zeros::<f16>(n)?;
    let nn = n as i32;
    unsafe {
        t.d.s
            .launch_builder(&f)
            .arg(&d)
            .arg(&mut h)
            .arg(&mut b)
            .arg(&mut hf)
            .arg(&mut bf)
            .arg(&mut i32_)
            .arg(&mut u32_)
            .arg(&mut i64_)
            .arg(&mut i8_)
            .arg(&mut hz)
            .arg(&nn)
            .launch(cfg((n as u32).div_ceil(128), 128, 0))?
    };
    let (h, b, hf, bf) = (
        t.d.s.clone_dtoh(&h)?,
        t.d.s.clone_dtoh(&b)?,
        t.d.s.clone_dtoh(&hf)?,
        t.d.s.clone_dtoh(&bf)?,
    );
    let (i32_, u32_, i64_, i8_, hz) = (
        t.d.s.clone_dtoh(&i32_)?,
        t.d.s.clone_dtoh(&u32_)?,
        t.d.s.clone_dtoh(&i64_)?,
        t.d.s.clone_dtoh(&i8_)?,
        t.d.s.clone_dtoh(&hz)?,
    );
    for i in 0..n {
        let x = a[i];
        if x.is_nan() {
            assert_eq!(h[i].to_bits(), 0x7fff);
            assert_eq!(b[i].to_bits(), 0x7fff);
            assert_eq!(i32_[i], 0);
            assert_eq!(i64_[i], i64::MIN);
            continue;
        }
        assert_eq!(h[i].to_bits(), f16::from_f32(x).to_bits(), "{x:e}");
        assert_eq!(b[i].to_bits(), bf16::from_f32(x).to_bits(), "{x:e}");
        assert_eq!(hf[i].to_bits(), h[i].to_f32().to_bits());
        assert_eq!(bf[i].to_bits(), b[i].to_f32().to_bits());
        assert_eq!(i32_[i], x as i32, "{x:e}");
        assert_eq!(u32_[i], x as u32, "{x:e}");
        assert_eq!(i64_[i], (x as f64).round_ties_even() as i64, "{x:e}");
        assert_eq!(i8_[i], (x.floor() as i32) as i8, "{x:e}");
        let z = hz[i].to_f32().abs();
        assert!(
            z <= x.abs() || x.abs() >= 65520.0 && z == 65504.0 || x.is_infinite(),
            "{x:e} {z:e}"
        );
    }
    Ok(())
}
fn halves(t: &T) -> R {
    let f = t.m.load_function("half_arith")?;
    let mut r = Rng(19);
    let n = 20000usize;
    let mut a: Vec<f16> = (0..n).map(|_| f16::from_bits(r.u() as u16)).collect();
    let mut b: Vec<f16> = (0..n).map(|_| f16::from_bits(r.u() as u16)).collect();
    for i in 0..n / 2 {
        a[i] = f16::from_f32(r.f());
        b[i] = f16::from_f32(r.f() / 50.0);
    }
    let c: Vec<bf16> = (0..n)
        .map(|i| if i < n / 2 { bf16::from_f32(r.f()) } else { bf16::from_bits(r.u() as u16) })
        .collect();
    let d: Vec<bf16> = (0..n)
        .map(|i| if i < n / 2 { bf16::from_f32(r.f()) } else { bf16::from_bits(r.u() as u16) })
        .collect();
    let (da, db, dc, dd) = (
        t.d.s.clone_htod(&a)?,
        t.d.s.clone_htod(&b)?,
        t.d.s.clone_htod(&c)?,
        t.d.s.clone_htod(&d)?,
    );
    let mut o = t.d.s.alloc_zeros::<f16>(n * 8)?;
    let mut p = t.d.s.alloc_zeros::<bf16>(n * 6)?;
    let nn = n as i32;
    unsafe {
        t.d.s
            .launch_builder(&f)
            .arg(&da)
            .arg(&db)
            .arg(&mut o)
            .arg(&dc)
            .arg(&dd)
            .arg(&mut p)
            .arg(&nn)
            .launch(cfg((n as u32).div_ceil(128), 128, 0))?
    };
    let (o, p) = (t.d.s.clone_dtoh(&o)?, t.d.s.clone_dtoh(&p)?);
    let eq = |x: f16, y: f64, what: &str, i: usize| {
        // y is exact enough (f64 holds sums and products of halves; from_f64 rounds once)
        let e = f16::from_f64(y);
        assert!(
            x.to_bits() == e.to_bits() || x.is_nan() && y.is_nan(),
            "{what} {i}: {x} {e} {} {}",
            a[i],
            b[i]
        );
    };
    let eqb = |x: bf16, y: f64, what: &str, i: usize| {
        let e = bf16::from_f64(y);
        assert!(
            x.to_bits() == e.to_bits() || x.is_nan() && y.is_nan(),
            "{what} {i}: {x} {e} {} {}",
            c[i],
            d[i]
        );
    };
    for i in 0..n {
        let (x, y) = (a[i].to_f64(), b[i].to_f64());
        eq(o[i * 8], x + y, "add", i);
        eq(o[i * 8 + 1], x * y, "mul", i);
        eq(o[i * 8 + 2], x.mul_add(y, x), "fma", i);
        if !x.is_nan() && !y.is_nan() {
            if i < n / 2 && y != 0.0 {
                let q = o[i * 8 + 3].to_f64();
                assert!(
                    (q - x / y).abs() <= (x / y).abs() * 0.001
                        || (x / y).abs() > 65000.0
                        || (x / y).abs() < 1e-4,
                    "div"
                );
            }
            assert_eq!(o[i * 8 + 4].to_f64(), x.max(y));
            assert_eq!(o[i * 8 + 5].to_f64(), x.min(y));
        }
        eq(o[i * 8 + 6], x - y, "sub", i);
        assert_eq!(o[i * 8 + 7].to_f64(), (x < y) as i32 as f64);
        if t.d.arch != "75" {
            let (x, y) = (c[i].to_f64(), d[i].to_f64());
            if i < n / 2 {
                eqb(p[i * 6], x + y, "badd", i);
                eqb(p[i * 6 + 1], x * y, "bmul", i);
                eqb(p[i * 6 + 2], x.mul_add(y, x), "bfma", i);
                eqb(p[i * 6 + 4], x - y, "bsub", i);
            }
            if !x.is_nan() && !y.is_nan() {
                assert_eq!(p[i * 6 + 3].to_f64(), x.max(y));
            }
            assert_eq!(p[i * 6 + 5].to_f64(), (x < y) as i32 as f64);
        }
    }
    let f = t.m.load_function("half2_sum")?;
    let mut o = t.d.s.alloc_zeros::<f16>(n)?;
    let mut p = t.d.s.alloc_zeros::<bf16>(n)?;
    let n2 = (n / 2) as i32;
    unsafe {
        t.d.s.launch_builder(&f).arg(&da).arg(&mut o).arg(&dc).arg(&mut p).arg(&n2).launch(cfg(
            (n as u32).div_ceil(128),
            128,
            0,
        ))?
    };
    let (o, p) = (t.d.s.clone_dtoh(&o)?, t.d.s.clone_dtoh(&p)?);
    for i in 0..n / 2 {
        let x = a[i].to_f64();
        let e = f16::from_f64(f16::from_f64(x * x).to_f64() + x);
        assert!(o[i].to_bits() == e.to_bits() || e.is_nan(), "h2 {i} {} {e} {x}", o[i]);
        if t.d.arch != "75" {
            let y = c[i].to_f64();
            assert_eq!(p[i].to_bits(), bf16::from_f64(y.mul_add(y, y)).to_bits());
        }
    }
    Ok(())
}
fn fmath(t: &T) -> R {
    let f = t.m.load_function("fmath")?;
    let mut r = Rng(23);
    let n = 5000usize;
    let mut a: Vec<f32> = (0..n).map(|_| r.f() / 2.0).collect();
    // the slow path of sinf
    a[..500].iter_mut().for_each(|x| *x *= 1e5);
    let d: Vec<f64> = a.iter().map(|&x| x as f64 * 1.000000123).collect();
    let (da, dd) = (t.d.s.clone_htod(&a)?, t.d.s.clone_htod(&d)?);
    let mut o = t.d.s.alloc_zeros::<f32>(n * 12)?;
    let mut q = t.d.s.alloc_zeros::<f64>(n * 6)?;
    let nn = n as i32;
    unsafe {
        t.d.s.launch_builder(&f).arg(&da).arg(&mut o).arg(&dd).arg(&mut q).arg(&nn).launch(cfg(
            (n as u32).div_ceil(64),
            64,
            0,
        ))?
    };
    let (o, q) = (t.d.s.clone_dtoh(&o)?, t.d.s.clone_dtoh(&q)?);
    let near = |g: f32, e: f64, what: &str, x: f32| {
        if (g as f64 - e).abs() <= e.abs() * 4e-7 + 1e-38 || g as f64 == e || e.abs() > 3e38 {
            return;
        }
        panic!("{what}({x}) = {g} want {e}");
    };
    for i in 0..n {
        let x = a[i];
        let g = &o[i * 12..];
        assert_eq!(g[0], x.abs().sqrt());
        assert_eq!(g[1], x / 3.7);
        assert_eq!(g[2], 1.0 / x);
        assert_eq!(g[3], x.floor());
        assert_eq!(g[4], x.ceil());
        assert_eq!(g[5], x.trunc());
        assert_eq!(g[6], x.round_ties_even());
        near(g[7], (x as f64).exp(), "exp", x);
        near(g[8], (x.abs() as f64).ln(), "log", x);
        assert!((g[9] as f64 - (x as f64).sin()).abs() < 3e-7, "sin {x} {}", g[9]);
        assert_eq!(g[10], x.max(-x * 0.5));
        near(g[11], (x.abs() as f64).powf(1.5), "pow", x);
        let h = &q[i * 6..];
        let z = d[i];
        assert_eq!(h[0], z.abs().sqrt());
        assert_eq!(h[1], z / 3.7);
        assert!((h[2] - z.exp()).abs() <= z.exp() * 1e-14 || z.exp() > 1e300);
        assert!((h[3] - z.sin()).abs() < 1e-13, "dsin {z} {} {}", h[3], z.sin());
        assert_eq!(h[4], z.mul_add(z, 1.0));
        assert_eq!(h[5], z.floor());
    }
    Ok(())
}
fn ints(t: &T) -> R {
    let f = t.m.load_function("intmath")?;
    let mut r = Rng(29);
    let n = 4096usize;
    let pick = |r: &mut Rng| match r.u() % 8 {
        0 => 0,
        1 => 0xffff_ffff,
        2 => 0x8000_0000,
        3 => (r.u() % 64) as u32,
        _ => r.u() as u32,
    };
    let a: Vec<u32> = (0..n).map(|_| pick(&mut r)).collect();
    let b: Vec<u32> = (0..n).map(|_| pick(&mut r)).collect();
    let (da, db) = (t.d.s.clone_htod(&a)?, t.d.s.clone_htod(&b)?);
    let mut o = t.d.s.alloc_zeros::<u32>(n * 28)?;
    let mut w = t.d.s.alloc_zeros::<u64>(n * 12)?;
    let nn = n as i32;
    unsafe {
        t.d.s
            .launch_builder(&f)
            .arg(&da)
            .arg(&db)
            .arg(&mut o)
            .arg(&mut w)
            .arg(&nn)
            .launch(cfg(32, 128, 0))?
    };
    let (o, w) = (t.d.s.clone_dtoh(&o)?, t.d.s.clone_dtoh(&w)?);
    for i in 0..n {
        let (x, y) = (a[i], b[i]);
        let (sx, sy) = (x as i32, y as i32);
        let fs = |k: u32| ((((x as u64) | ((y as u64) << 32)) << (k & 31)) >> 32) as u32;
        let fr = |k: u32| (((x as u64) | ((y as u64) << 32)) >> (k & 31)) as u32;
        let by = ((y as u64) << 32) | x as u64;
        let sel = y & 0x7777;
        let prmt = (0..4).fold(0u32, |s, k| {
            s | (((by >> (8 * ((sel >> (4 * k)) & 7))) & 255) as u32) << (8 * k)
        });
        let v4 = (0..4).fold(0u32, |s, k| {
            s | (((x >> (8 * k)) as u8).wrapping_add((y >> (8 * k)) as u8) as u32) << (8 * k)
        });
        let dp = (0..4).fold(5u32, |s, k| {
            s.wrapping_add(((x >> (8 * k)) as u8 as u32) * ((y >> (8 * k)) as u8 as u32))
        });
        let halves = |of: &dyn Fn(u16, u16) -> u16| {
            u32::from(of(x as u16, y as u16))
                | u32::from(of((x >> 16) as u16, (y >> 16) as u16)) << 16
        };
        let e = [
            x.wrapping_add(y),
            x.wrapping_sub(y),
            x.wrapping_mul(y),
            ((x as u64 * y as u64) >> 32) as u32,
            ((sx as i64 * sy as i64) >> 32) as u32,
            x.checked_div(y).unwrap_or(0),
            x.checked_rem(y).unwrap_or(0),
            sx.checked_div(sy).unwrap_or(0) as u32,
            x.leading_zeros(),
            x.count_ones(),
            x.reverse_bits(),
            if x == 0 { 0 } else { x.trailing_zeros() + 1 },
            fs(y & 63),
            fr(y & 31),
            prmt,
            x << (if y & 63 != 0 { y & 31 } else { 0 }),
            (sx >> (y & 31)) as u32,
            sx.min(sy) as u32,
            x.max(y),
            sx.wrapping_abs() as u32,
            7u32.wrapping_add((sx as i64 - sy as i64).unsigned_abs() as u32),
            (x & y) | (!x & 0x1234567),
            v4,
            dp,
            halves(&|x, y| x.min(y)),
            halves(&|x, y| x.max(y)),
            halves(&|x, y| (x as i16).min(y as i16) as u16),
            halves(&|x, y| (x as i16).max(y as i16) as u16),
        ];
        for (k, v) in e.iter().enumerate() {
            assert_eq!(o[i * 28 + k], *v, "int op {k} x={x:#x} y={y:#x}");
        }
        let (bx, byy) = (((x as u64) << 32) | y as u64, ((y as u64) << 32) | x as u64);
        let e = [
            bx.wrapping_mul(byy),
            ((bx as u128 * byy as u128) >> 64) as u64,
            bx.checked_div(byy).unwrap_or(0),
            bx.checked_rem(byy).unwrap_or(0),
            bx.leading_zeros() as u64,
            bx.count_ones() as u64,
            bx.reverse_bits(),
            ((bx as i64) >> (y & 63)) as u64,
            bx >> (y & 63),
            (x as u64 * y as u64).wrapping_add(bx),
            (sx as i64 * sy as i64) as u64,
            (bx as i64).min(byy as i64) as u64,
        ];
        for (k, v) in e.iter().enumerate() {
            assert_eq!(w[i * 12 + k], *v, "int64 op {k} x={x:#x} y={y:#x}");
        }
    }
    Ok(())
}
fn warpops(t: &T) -> R {
    let f = t.m.load_function("warpops")?;
    let mut r = Rng(31);
    let n = 128usize;
    let a: Vec<u32> = (0..n).map(|i| if i % 3 == 0 { r.u() as u32 } else { i as u32 }).collect();
    let d = t.d.s.clone_htod(&a)?;
    let mut o = t.d.s.alloc_zeros::<u32>(n * 16)?;
    let nn = n as i32;
    unsafe { t.d.s.launch_builder(&f).arg(&d).arg(&mut o).arg(&nn).launch(cfg(2, 64, 0))? };
    let o = t.d.s.clone_dtoh(&o)?;
    let old = t.d.arch == "75";
    for w in 0..4 {
        let v = &a[w * 32..w * 32 + 32];
        let bal = |f: &dyn Fn(u32) -> bool| {
            v.iter().enumerate().fold(0u32, |s, (i, x)| s | (f(*x) as u32) << i)
        };
        for l in 0..32 {
            let g = &o[(w * 32 + l) * 16..];
            assert_eq!(g[0], bal(&|x| x & 1 == 1));
            assert_eq!(g[1], v.contains(&7) as u32);
            assert_eq!(g[2], v.iter().all(|&x| x < 0xfffffff0) as u32);
            assert_eq!(g[3], if l >= 3 { v[l - 3] } else { v[l] });
            assert_eq!(g[4], if l % 16 + 5 < 16 { v[l + 5] } else { v[l] });
            assert_eq!(g[5], v[l / 8 * 8 + 7]);
            assert_eq!(g[6], v[l ^ 9]);
            assert_eq!(g[7], bal(&|x| x & 3 == v[l] & 3));
            let all = v.iter().all(|x| x & 3 == v[0] & 3);
            assert_eq!((g[8], g[9]), (if all { !0 } else { 0 }, all as u32));
            if !old {
                assert_eq!(g[10], v.iter().fold(0u32, |s, x| s.wrapping_add(*x)));
                assert_eq!(g[11] as i32, v.iter().map(|x| *x as i32).max().unwrap());
                assert_eq!(g[12], v.iter().fold(0, |s, x| s ^ x));
            }
            assert_eq!(g[13], if l & 1 == 0 { v[l ^ 2] } else { v[l ^ 4] });
            assert_eq!(g[14], if l & 1 == 0 { 0x55555555 } else { 0 });
            assert_eq!(g[15], 16);
        }
    }
    Ok(())
}
fn calls(t: &T) -> R {
    let f = t.m.load_function("calls")?;
    let n = 1000usize;
    let a: Vec<f32> = (0..n).map(|i| i as f32 * 0.25).collect();
    let d = t.d.s.clone_htod(&a)?;
    let mut o = t.d.s.alloc_zeros::<f32>(n)?;
    let nn = n as i32;
    let g0 = t.d.s.clone_dtoh(&t.m.get_global("g_counter", &t.d.s)?)?;
    unsafe { t.d.s.launch_builder(&f).arg(&d).arg(&mut o).arg(&nn).launch(cfg(8, 128, 0))? };
    let o = t.d.s.clone_dtoh(&o)?;
    for i in 0..n {
        let k = (i & 7) as i32;
        let (mut s, mut acc) = (0f32, 0f32);
        for j in 0..k {
            s = a[i].mul_add(j as f32, s);
            acc += 1.0;
        }
        let loc: Vec<i32> = (0..8).map(|k| ((i + k) & 15) as i32 + 1).collect();
        let mut tt = 0f32;
        for k in 0..(i & 7) {
            tt += loc[(i * 3 + k) & 7] as f32;
        }
        match i & 7 {
            0 => tt += 1.0,
            1 => tt *= 2.0,
            2 => tt -= 3.0,
            3 => tt = -tt,
            4 => tt += [0.5, 1.5, 2.5, 3.5][i & 3],
            5 => tt = tt * tt,
            _ => tt += 0.25,
        }
        let e = acc.mul_add(1000.0, s)
            + (s as f64 * 2.0) as f32
            + ((i + 1) as u8 as i8) as f32
            + i as f32
            + tt;
        assert!((o[i] - e).abs() <= e.abs() * 1e-6, "{i}: {} {e}", o[i]);
    }
    let g1 = t.d.s.clone_dtoh(&t.m.get_global("g_counter", &t.d.s)?)?;
    assert_eq!(
        u64::from_le_bytes(g1.try_into().unwrap()) - u64::from_le_bytes(g0.try_into().unwrap()),
        n as u64
    );
    #[repr(C)]
    #[derive(Clone, Copy)]
    struct Big {
        n: i32,
        v: [f32; 20],
    }
    unsafe impl DeviceRepr for Big {}
    let b = Big { n: 50, v: std::array::from_fn(|i| i as f32 + 0.5) };
    let mut o = t.d.s.alloc_zeros::<f32>(64)?;
    let f = t.m.load_function("bigparam")?;
    unsafe { t.d.s.launch_builder(&f).arg(&b).arg(&mut o).launch(cfg(1, 64, 0))? };
    let o = t.d.s.clone_dtoh(&o)?;
    for (i, x) in o.iter().enumerate() {
        assert_eq!(*x, if i < 50 { b.v[i % 20] } else { 0.0 });
    }
    Ok(())
}
fn atoms(t: &T) -> R {
    let f = t.m.load_function("atoms")?;
    let mut o = t.d.s.clone_htod(&[0i32, 0, 0, 0, -1, 0, 0, 0, 0, 0])?;
    let mut q = t.d.s.alloc_zeros::<u64>(2)?;
    let mut x = t.d.s.alloc_zeros::<f32>(1)?;
    let mut u = t.d.s.alloc_zeros::<u32>(2)?;
    unsafe {
        t.d.s
            .launch_builder(&f)
            .arg(&mut o)
            .arg(&mut q)
            .arg(&mut x)
            .arg(&mut u)
            .launch(cfg(4, 96, 0))?
    };
    let (o, q, x, u) = (
        t.d.s.clone_dtoh(&o)?,
        t.d.s.clone_dtoh(&q)?,
        t.d.s.clone_dtoh(&x)?,
        t.d.s.clone_dtoh(&u)?,
    );
    let n = 384i64;
    assert_eq!(o[0] as i64, n * (n - 1) / 2);
    assert_eq!(o[1], (0..n as i32).map(|i| i ^ 0x55).max().unwrap());
    assert_eq!(o[2], (0..n as i32).map(|i| -(i ^ 0x33)).min().unwrap());
    assert_eq!(o[3], -1);
    assert_eq!(o[4], 0);
    assert_eq!(o[5], (0..n as i32).fold(0, |s, i| s ^ i));
    assert_eq!((o[6], o[7]), (42, 99));
    assert_eq!(o[9], n as i32, "spin lock");
    assert_eq!(q[0], (n * (n - 1) / 2) as u64 * (1 << 20));
    assert_eq!(q[1], 383 * 1000003);
    assert_eq!(x[0], n as f32);
    let (mut a, mut b) = (0u32, 0u32);
    for _ in 0..n {
        a = if a >= 10 { 0 } else { a + 1 };
        b = if b == 0 || b > 10 { 10 } else { b - 1 };
    }
    assert_eq!(u, [a, b]);
    Ok(())
}
fn lookback(t: &T, m: &Arc<CudaModule>) -> R {
    let s = &t.d.s;
    let f = m.load_function("lookback")?;
    let nb = 20usize;
    let x: Vec<i32> = (0..nb * 256).map(|i| (i * 7 % 13) as i32).collect();
    let d = s.clone_htod(&x)?;
    let mut o = s.alloc_zeros::<i32>(nb * 256)?;
    let (mut st, mut v) = (s.alloc_zeros::<i32>(nb)?, s.alloc_zeros::<i32>(nb)?);
    unsafe {
        s.launch_builder(&f)
            .arg(&d)
            .arg(&mut o)
            .arg(&mut st)
            .arg(&mut v)
            .launch(cfg(nb as u32, 256, 0))?
    };
    let o = s.clone_dtoh(&o)?;
    let mut run = 0;
    for i in 0..x.len() {
        run += x[i];
        assert_eq!(o[i], run);
    }
    Ok(())
}
fn more(t: &T) -> R {
    let m = t.d.load("more");
    let s = &t.d.s;
    // grid-wide barrier
    let f = m.load_function("gridsync")?;
    let n = 512i32;
    let mut a = s.clone_htod(&(0..n).collect::<Vec<i32>>())?;
    let rounds = 5i32;
    unsafe {
        s.launch_builder(&f).arg(&mut a).arg(&n).arg(&rounds).launch_cooperative(cfg(8, 64, 0))?
    };
    let o = s.clone_dtoh(&a)?;
    let mut e: Vec<i32> = (0..n).collect();
    for _ in 0..rounds {
        e = (0..n as usize).map(|i| e[(i + 1) % n as usize] + 1).collect();
    }
    assert_eq!(o, e);
    let f = m.load_function("named")?;
    let mut a = s.alloc_zeros::<i32>(128)?;
    unsafe { s.launch_builder(&f).arg(&mut a).launch(cfg(1, 64, 0))? };
    assert_eq!(
        s.clone_dtoh(&a)?,
        (0..128).map(|i| i / 32 * 100 + 31 - i % 32).collect::<Vec<i32>>()
    );
    // a block waits for the one before it: sound where blocks start in order
    if std::env::var_os("CUDAEMU_BLOCK_ORDER").is_none() {
        lookback(t, &m)?;
    }
    let f = m.load_function("prints")?;
    unsafe { s.launch_builder(&f).arg(&7i32).launch(cfg(1, 32, 0))? };
    s.synchronize()?;
    let f = m.load_function("insertion")?;
    let mut r = Rng(41);
    let lists = 200usize;
    let mut off = vec![0i32];
    for _ in 0..lists {
        off.push(off.last().unwrap() + (r.u() % 30) as i32);
    }
    let tot = *off.last().unwrap() as usize;
    let x: Vec<i32> = (0..tot).map(|_| (r.u() % 50) as i32).collect();
    let (d, doff) = (s.clone_htod(&x)?, s.clone_htod(&off)?);
    let mut o = s.alloc_zeros::<i32>(tot)?;
    let nl = lists as i32;
    unsafe { s.launch_builder(&f).arg(&d).arg(&mut o).arg(&doff).arg(&nl).launch(cfg(2, 128, 0))? };
    let o = s.clone_dtoh(&o)?;
    for w in off.windows(2) {
        let mut e = x[w[0] as usize..w[1] as usize].to_vec();
        e.sort();
        assert_eq!(&o[w[0] as usize..w[1] as usize], &e[..]);
    }
    let f = m.load_function("reg_sort")?;
    let x: Vec<i32> = (0..256).map(|_| r.u() as i32).collect();
    let mut d = s.clone_htod(&x)?;
    unsafe { s.launch_builder(&f).arg(&mut d).launch(cfg(1, 32, 0))? };
    for (g, x) in s.clone_dtoh(&d)?.chunks(8).zip(x.chunks(8)) {
        let mut e = x.to_vec();
        e.sort();
        assert_eq!(g, &e[..]);
    }
    let f = m.load_function("tiles")?;
    let mut d = s.alloc_zeros::<i32>(64 * 3)?;
    unsafe { s.launch_builder(&f).arg(&mut d).launch(cfg(1, 64, 0))? };
    let o = s.clone_dtoh(&d)?;
    for i in 0..64usize {
        let b = i / 8 * 8;
        assert_eq!(o[i * 3], (b..b + 8).map(|k| (k * 3 % 17) as i32).max().unwrap());
        let w = i / 32 * 32;
        let g: Vec<usize> = (w..w + 32).filter(|k| k % 3 == 0).collect();
        let e = if i % 3 == 0 {
            let c = |k: usize| (g.len() * 100 + g.iter().position(|x| *x == k).unwrap()) as i32;
            c(i) + c(g[0]) % 7
        } else {
            0
        };
        assert_eq!((o[i * 3 + 1], o[i * 3 + 2]), (e, 32), "{i}");
    }
    let f = m.load_function("bytes_hist")?;
    let x: Vec<u8> = (0..1000).map(|_| r.u() as u8).collect();
    let d = s.clone_htod(&x)?;
    let mut o = s.alloc_zeros::<u32>(16)?;
    unsafe { s.launch_builder(&f).arg(&d).arg(&mut o).arg(&1000i32).launch(cfg(1, 64, 0))? };
    assert_eq!(
        s.clone_dtoh(&o)?,
        (0..16).map(|k| x.iter().filter(|b| **b & 15 == k).count() as u32).collect::<Vec<_>>()
    );
    let f = m.load_function("uninit_padded")?;
    let d = s.clone_htod(&(0..32i32).collect::<Vec<_>>())?;
    let mut o = s.alloc_zeros::<i32>(32)?;
    unsafe { s.launch_builder(&f).arg(&d).arg(&mut o).launch(cfg(1, 32, 0))? };
    assert_eq!(
        s.clone_dtoh(&o)?,
        (0..32).map(|i| if i < 31 { i + 1 } else { -1 }).collect::<Vec<i32>>()
    );
    // directed rounding against exact arithmetic
    let f = m.load_function("sgr")?;
    let x: Vec<f32> = (0..64).map(|i| if i < 32 { r.f() } else { r.f() / 7.0 + 0.001 }).collect();
    let d = s.clone_htod(&x)?;
    let mut o = s.alloc_zeros::<f32>(256)?;
    unsafe { s.launch_builder(&f).arg(&d).arg(&mut o).launch(cfg(1, 32, 0))? };
    let o = s.clone_dtoh(&o)?;
    let next = |v: f32, up: bool| {
        if (v > 0.0) == up {
            f32::from_bits(v.to_bits() + 1)
        } else {
            f32::from_bits(v.to_bits() - 1)
        }
    };
    for i in 0..32 {
        let (a, b) = (x[i] as f64, x[i + 32] as f64);
        // exact values fit f64 here, or nearly: check the neighbours enclose
        let chk = |g: f32, e: f64, mode: &str| {
            let gd = g as f64;
            let ok = match mode {
                "z" => gd.abs() <= e.abs() && (next(g, e > 0.0) as f64).abs() > e.abs(),
                "u" => gd >= e && (next(g, false) as f64) < e,
                _ => gd <= e && (next(g, true) as f64) > e,
            };
            assert!(ok || gd == e, "{mode} {gd:e} {e:e}");
        };
        chk(o[i * 8], a + b, "z");
        chk(o[i * 8 + 1], a * b, "u");
        chk(o[i * 8 + 2], a.mul_add(b, a), "d");
        chk(o[i * 8 + 3], a / b, "u");
        chk(o[i * 8 + 4], a.abs().sqrt(), "z");
        chk(o[i * 8 + 6], 1.0 / a, "d");
        chk(o[i * 8 + 7], a - b, "u");
    }
    Ok(())
}
fn api(t: &T) -> R {
    // streams, events, pinned memory, occupancy, attributes, graphs, errors
    let s1 = t.d.ctx.new_stream()?;
    let s2 = s1.fork()?;
    let f = t.m.load_function("vadd")?;
    let n = 4096usize;
    let a = s1.clone_htod(&vec![1f32; n])?;
    let b = s1.clone_htod(&vec![2f32; n])?;
    let mut c = s1.alloc_zeros::<f32>(n)?;
    let nn = n as i32;
    let ev = unsafe {
        s1.launch_builder(&f)
            .record_kernel_launch(sys::CUevent_flags::CU_EVENT_DEFAULT)
            .arg(&a)
            .arg(&b)
            .arg(&mut c)
            .arg(&nn)
            .launch(LaunchConfig::for_num_elems(n as u32))?
    };
    let (e0, e1) = ev.unwrap();
    assert!(e0.elapsed_ms(&e1)? >= 0.0);
    // the other stream must see it: cudarc inserts the wait
    let c2 = s2.clone_dtod(&c)?;
    assert_eq!(s2.clone_dtoh(&c2)?, vec![3f32; n]);
    let mut p = unsafe { t.d.ctx.alloc_pinned::<f32>(n)? };
    p.as_mut_slice()?.fill(5.0);
    let d = s2.clone_htod(&p)?;
    s2.memcpy_dtoh(&c, &mut p)?;
    assert_eq!(p.as_slice()?, &vec![3f32; n][..]);
    assert_eq!(s2.clone_dtoh(&d)?, vec![5f32; n]);
    assert!(f.occupancy_max_active_blocks_per_multiprocessor(256, 0, None)? >= 1);
    extern "C" fn z(_: i32) -> usize {
        0
    }
    let (g, bs) = f.occupancy_max_potential_block_size(z, 0, 0, None)?;
    assert!(g > 0 && bs > 0);
    assert!(f.occupancy_available_dynamic_smem_per_block(1, 256)? > 40000);
    let (ma, mi) = t.d.ctx.compute_capability()?;
    let optin = t.d.ctx.attribute(
        sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN,
    )?;
    assert_eq!((ma, mi, optin), (9, 0, 227 * 1024));
    let (free, total) = t.d.ctx.mem_get_info()?;
    assert!(free < total);
    // over the default 48 KiB: refused, then allowed by the attribute
    let bf = t.m.load_function("bitonic_shared")?;
    let mut ix = s1.alloc_zeros::<u32>(n * 2)?;
    let mut out = s1.alloc_zeros::<f32>(n * 2)?;
    let src = s1.clone_htod(&(0..n * 2).map(|i| -(i as f32)).collect::<Vec<_>>())?;
    let big = 8192i32;
    let go = |out: &mut CudaSlice<f32>, ix: &mut CudaSlice<u32>| unsafe {
        s1.launch_builder(&bf)
            .arg(&src)
            .arg(out)
            .arg(ix)
            .arg(&big)
            .launch(cfg(1, 1024, 65536))
            .map(|_| ())
    };
    let e = go(&mut out, &mut ix).unwrap_err();
    assert_eq!(e.0, sys::CUresult::CUDA_ERROR_INVALID_VALUE);
    bf.set_attribute(
        sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
        65536,
    )?;
    go(&mut out, &mut ix)?;
    let o = s1.clone_dtoh(&out)?;
    assert!(o.windows(2).all(|w| w[0] <= w[1]));
    assert!(t.m.load_function("nothing").is_err());
    // a graph, replayed
    unsafe { t.d.ctx.disable_event_tracking() };
    let s3 = t.d.ctx.new_stream()?;
    let mut acc = s3.alloc_zeros::<f32>(n)?;
    let one = s3.clone_htod(&vec![1f32; n])?;
    s3.synchronize()?;
    s3.begin_capture(sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED)?;
    let accp = acc.as_view_mut();
    let (av, _g) = accp.device_ptr(&s3);
    unsafe {
        s3.launch_builder(&f)
            .arg(&av)
            .arg(&one)
            .arg(&av)
            .arg(&nn)
            .launch(LaunchConfig::for_num_elems(n as u32))?
    };
    drop(_g);
    let g = s3.end_capture(sys::CUgraphInstantiate_flags(0))?.unwrap();
    for _ in 0..5 {
        g.launch()?;
    }
    s3.synchronize()?;
    assert_eq!(s3.clone_dtoh(&acc)?, vec![5f32; n]);
    // a dependency nobody declared: the reader must see the old bytes
    let (sa, sb) = (t.d.ctx.new_stream()?, t.d.ctx.new_stream()?);
    let x = sa.clone_htod(&vec![1f32; n])?;
    let mut y = sa.alloc_zeros::<f32>(n)?;
    sa.synchronize()?;
    unsafe {
        sa.launch_builder(&f)
            .arg(&x)
            .arg(&x)
            .arg(&mut y)
            .arg(&nn)
            .launch(LaunchConfig::for_num_elems(n as u32))?
    };
    let early = sb.clone_dtoh(&y)?;
    if std::env::var("CUDAEMU_STREAMS").is_err() {
        assert_eq!(early, vec![0f32; n], "the missing wait should show");
    }
    unsafe {
        sa.launch_builder(&f)
            .arg(&x)
            .arg(&x)
            .arg(&mut y)
            .arg(&nn)
            .launch(LaunchConfig::for_num_elems(n as u32))?
    };
    sb.join(&sa)?;
    assert_eq!(sb.clone_dtoh(&y)?, vec![2f32; n]);
    unsafe { t.d.ctx.enable_event_tracking() };
    let _ = &mut acc;
    Ok(())
}
