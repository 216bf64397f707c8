//! Sorts, histograms and what else a program is made of.

use super::{Random, each, launch};
use crate::common::cfg;
use cudarc::driver::{DeviceRepr, LaunchConfig};

#[test]
fn add() {
    each("programs::algorithms::add", &["basic"], |on| {
        let n = 100_003usize;
        let mut random = Random(7);
        let (a, b) = (random.floats(n), random.floats(n));
        let (on_a, on_b) = (on.on_device(&a), on.on_device(&b));
        // never read before it is written
        let mut sum = unsafe { on.stream.alloc::<f32>(n) }.unwrap();
        let shape = LaunchConfig::for_num_elems(n as u32);
        launch!(on, "vadd", shape; &on_a, &on_b, &mut sum, &(n as i32));
        let expected: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
        assert_eq!(on.read(&sum), expected);

        // in vectors of four, by too few threads
        let mut sum = on.zeros::<f32>(n);
        launch!(on, "vadd4", cfg(100, 256, 0); &on_a, &on_b, &mut sum, &(n as i32 / 4));
        let sum = on.read(&sum);
        for i in 0..n / 4 * 4 {
            assert_eq!(sum[i], if i / 4 < 25600 { a[i] + b[i] } else { 0.0 });
        }
    });
}

#[test]
fn bitonic_sort_in_shared_memory() {
    each("programs::algorithms::bitonic_sort_in_shared_memory", &["basic"], |on| {
        let (rows, cols) = (256, 5);
        let mut random = Random(9);
        let keys: Vec<f32> =
            (0..rows * cols).map(|_| (random.bits() % 500) as f32 - 250.0).collect();
        // never read before they are written
        let mut sorted = unsafe { on.stream.alloc::<f32>(rows * cols) }.unwrap();
        let mut index = unsafe { on.stream.alloc::<u32>(rows * cols) }.unwrap();
        let shape = cfg(cols as u32, rows as u32 / 2, rows as u32 * 8);
        let keys_there = on.on_device(&keys);
        launch!(on, "bitonic_shared", shape; &keys_there, &mut sorted, &mut index, &(rows as i32));
        on.stream.synchronize().unwrap();
        let (sorted, index) = (on.read(&sorted), on.read(&index));
        for col in 0..cols {
            let of_col = col * rows..(col + 1) * rows;
            let mut expected: Vec<(f32, u32)> =
                keys[of_col.clone()].iter().copied().zip(0..).collect();
            expected.sort_by(|x, y| x.0.total_cmp(&y.0).then(x.1.cmp(&y.1)));
            let found = sorted[of_col.clone()].iter().copied().zip(index[of_col].iter().copied());
            assert_eq!(found.collect::<Vec<_>>(), expected, "column {col}");
        }
    });
}

#[test]
fn bitonic_sort_in_a_warp() {
    each("programs::algorithms::bitonic_sort_in_a_warp", &["basic"], |on| {
        let mut random = Random(11);
        let keys: Vec<u32> = (0..1000).map(|_| random.bits() as u32).collect();
        let mut sorted = on.on_device(&keys);
        launch!(on, "bitonic_warp", cfg(8, 128, 0); &mut sorted, &1000i32);
        for (keys, sorted) in keys.chunks(32).zip(on.read(&sorted).chunks(32)) {
            let mut expected = keys.to_vec();
            expected.sort();
            assert_eq!(sorted, expected);
        }
    });
}

#[test]
fn radix_histogram() {
    each("programs::algorithms::radix_histogram", &["basic"], |on| {
        let mut random = Random(13);
        let keys: Vec<u32> = (0..50_001).map(|_| random.bits() as u32).collect();
        let mut counts = on.zeros::<u32>(256);
        let there = on.on_device(&keys);
        launch!(on, "radix_hist", cfg(7, 192, 0); &there, &mut counts, &(keys.len() as i32), &8i32);
        let mut expected = vec![0u32; 256];
        for key in keys {
            expected[(key >> 8 & 255) as usize] += 1;
        }
        assert_eq!(on.read(&counts), expected);
    });
}

/// Counters of a byte in shared memory, one for each thread.
#[test]
fn histogram_of_bytes() {
    each("programs::algorithms::histogram_of_bytes", &["more"], |on| {
        let mut random = Random(43);
        let bytes: Vec<u8> = (0..1000).map(|_| random.bits() as u8).collect();
        let mut counts = on.zeros::<u32>(16);
        let there = on.on_device(&bytes);
        launch!(on, "bytes_hist", cfg(1, 64, 0); &there, &mut counts, &1000i32);
        let count = |digit: u8| bytes.iter().filter(|&&byte| byte & 15 == digit).count() as u32;
        assert_eq!(on.read(&counts), (0..16).map(count).collect::<Vec<_>>());
    });
}

/// Loops within loops that lanes leave at different times.
#[test]
fn insertion_sort_of_lists() {
    each("programs::algorithms::insertion_sort_of_lists", &["more"], |on| {
        let mut random = Random(41);
        let lists = 200;
        let mut begins = vec![0i32];
        for list in 0..lists {
            begins.push(begins[list] + (random.bits() % 30) as i32);
        }
        let total = begins[lists] as usize;
        let values: Vec<i32> = (0..total).map(|_| (random.bits() % 50) as i32).collect();
        let (values_there, begins_there) = (on.on_device(&values), on.on_device(&begins));
        let mut sorted = on.zeros::<i32>(total);
        let count = lists as i32;
        launch!(on, "insertion", cfg(2, 128, 0); &values_there, &mut sorted, &begins_there, &count);
        let sorted = on.read(&sorted);
        for ends in begins.windows(2) {
            let list = ends[0] as usize..ends[1] as usize;
            let mut expected = values[list.clone()].to_vec();
            expected.sort();
            assert_eq!(sorted[list], expected);
        }
    });
}

#[test]
fn sort_in_registers() {
    each("programs::algorithms::sort_in_registers", &["more"], |on| {
        let mut random = Random(47);
        let values: Vec<i32> = (0..256).map(|_| random.bits() as i32).collect();
        let mut sorted = on.on_device(&values);
        launch!(on, "reg_sort", cfg(1, 32, 0); &mut sorted);
        for (sorted, values) in on.read(&sorted).chunks(8).zip(values.chunks(8)) {
            let mut expected = values.to_vec();
            expected.sort();
            assert_eq!(sorted, expected);
        }
    });
}

/// Functions, switches, constant memory, local arrays, a counter in a variable of the module.
#[test]
fn calls() {
    each("programs::algorithms::calls", &["basic"], |on| {
        let values: Vec<f32> = (0..1000).map(|i| i as f32 * 0.25).collect();
        let mut results = on.zeros::<f32>(values.len());
        let there = on.on_device(&values);
        let counter = || {
            let variable = on.modules[0].get_global("g_counter", &on.stream).unwrap();
            let bytes = on.stream.clone_dtoh(&variable).unwrap();
            u64::from_le_bytes(bytes.try_into().unwrap())
        };
        let before = counter();
        launch!(on, "calls", cfg(8, 128, 0); &there, &mut results, &(values.len() as i32));
        for (i, (&value, result)) in values.iter().zip(on.read(&results)).enumerate() {
            let expected = called(i, value);
            assert!((result - expected).abs() <= expected.abs() * 1e-6, "{i}: {result} {expected}");
        }
        assert_eq!(counter() - before, values.len() as u64);
    });
}

/// What the kernel `calls` computes.
fn called(i: usize, value: f32) -> f32 {
    let case = i & 7;
    let (mut sum, mut count) = (0f32, 0f32);
    for j in 0..case {
        sum = value.mul_add(j as f32, sum);
        count += 1.0;
    }
    let local: Vec<i32> = (0..8).map(|k| ((i + k) & 15) as i32 + 1).collect();
    let mut total: f32 = (0..case).map(|k| local[(i * 3 + k) & 7] as f32).sum();
    match case {
        0 => total += 1.0,
        1 => total *= 2.0,
        2 => total -= 3.0,
        3 => total = -total,
        4 => total += [0.5, 1.5, 2.5, 3.5][i & 3],
        5 => total *= total,
        _ => total += 0.25,
    }
    let twice = (sum as f64 * 2.0) as f32;
    count.mul_add(1000.0, sum) + twice + ((i + 1) as u8 as i8) as f32 + i as f32 + total
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Big {
    n: i32,
    values: [f32; 20],
}
// SAFETY: the same structure as the kernel's
unsafe impl DeviceRepr for Big {}

#[test]
fn parameter_of_many_bytes() {
    each("programs::algorithms::parameter_of_many_bytes", &["basic"], |on| {
        let big = Big { n: 50, values: std::array::from_fn(|i| i as f32 + 0.5) };
        let mut copied = on.zeros::<f32>(64);
        launch!(on, "bigparam", cfg(1, 64, 0); &big, &mut copied);
        for (i, copied) in on.read(&copied).into_iter().enumerate() {
            assert_eq!(copied, if i < 50 { big.values[i % 20] } else { 0.0 });
        }
    });
}
