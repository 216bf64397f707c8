//! Threads that work together: warps, atomic operations, groups and barriers.

use super::{Program, Random, each, launch};
use crate::common::cfg;
use cudarc::driver::PushKernelArg;

#[test]
fn warp_operations() {
    each("programs::threads::warp_operations", &["basic"], |on| {
        const RESULTS: usize = 16;
        let mut random = Random(31);
        let mut value = |i: u32| if i.is_multiple_of(3) { random.bits() as u32 } else { i };
        let values: Vec<u32> = (0..128).map(&mut value).collect();
        let there = on.on_device(&values);
        let mut results = on.zeros::<u32>(values.len() * RESULTS);
        launch!(on, "warpops", cfg(2, 64, 0); &there, &mut results, &(values.len() as i32));
        let results = on.read(&results);
        for (warp, of_warp) in values.chunks(32).zip(results.chunks(32 * RESULTS)) {
            for (lane, found) in of_warp.chunks(RESULTS).enumerate() {
                warp_results(warp, lane, found, on.arch != "75");
            }
        }
    });
}

fn warp_results(values: &[u32], lane: usize, found: &[u32], has_reductions: bool) {
    let ballot = |holds: &dyn Fn(u32) -> bool| {
        values.iter().enumerate().fold(0u32, |mask, (i, &x)| mask | (holds(x) as u32) << i)
    };
    assert_eq!(found[0], ballot(&|x| x & 1 == 1));
    assert_eq!(found[1], values.contains(&7) as u32);
    assert_eq!(found[2], values.iter().all(|&x| x < 0xfffffff0) as u32);
    // shuffles: up, down in halves, from one lane of eight, by exchange
    assert_eq!(found[3], values[if lane >= 3 { lane - 3 } else { lane }]);
    assert_eq!(found[4], values[if lane % 16 + 5 < 16 { lane + 5 } else { lane }]);
    assert_eq!(found[5], values[lane / 8 * 8 + 7]);
    assert_eq!(found[6], values[lane ^ 9]);
    // matches
    assert_eq!(found[7], ballot(&|x| x & 3 == values[lane] & 3));
    let all = values.iter().all(|x| x & 3 == values[0] & 3);
    assert_eq!((found[8], found[9]), (if all { !0 } else { 0 }, all as u32));
    if has_reductions {
        assert_eq!(found[10], values.iter().fold(0, |sum: u32, x| sum.wrapping_add(*x)));
        assert_eq!(found[11] as i32, values.iter().map(|x| *x as i32).max().unwrap());
        assert_eq!(found[12], values.iter().fold(0, |all, x| all ^ x));
    }
    // of the even lanes, and of the odd ones
    let is_even = lane & 1 == 0;
    assert_eq!(found[13], values[lane ^ if is_even { 2 } else { 4 }]);
    assert_eq!(found[14], if is_even { 0x5555_5555 } else { 0 });
    assert_eq!(found[15], 16);
}

#[test]
fn atomics() {
    each("programs::threads::atomics", &["basic"], |on| {
        let mut words = on.on_device(&[0i32, 0, 0, 0, -1, 0, 0, 0, 0, 0]);
        let mut longs = on.zeros::<u64>(2);
        let mut float = on.zeros::<f32>(1);
        let mut wrapping = on.zeros::<u32>(2);
        let shape = cfg(4, 96, 0);
        launch!(on, "atoms", shape; &mut words, &mut longs, &mut float, &mut wrapping);
        let (words, longs) = (on.read(&words), on.read(&longs));
        let n = 384;
        let sum = n * (n - 1) / 2;
        assert_eq!(words[0], sum);
        assert_eq!(words[1], (0..n).map(|i| i ^ 0x55).max().unwrap());
        assert_eq!(words[2], (0..n).map(|i| -(i ^ 0x33)).min().unwrap());
        assert_eq!((words[3], words[4]), (-1, 0));
        assert_eq!(words[5], (0..n).fold(0, |all, i| all ^ i));
        assert_eq!((words[6], words[7]), (42, 99));
        assert_eq!(words[9], n, "lanes of a warp that wait for a lock");
        assert_eq!(longs, [(sum as u64) << 20, (n as u64 - 1) * 1_000_003]);
        assert_eq!(on.read(&float), [n as f32]);
        let inc = (0..n).fold(0, |x: u32, _| if x >= 10 { 0 } else { x + 1 });
        let dec = (0..n).fold(0, |x: u32, _| if x == 0 || x > 10 { 10 } else { x - 1 });
        assert_eq!(on.read(&wrapping), [inc, dec]);
    });
}

#[test]
fn groups_and_barriers() {
    each("programs::threads::groups_and_barriers", &["more"], |on| {
        barrier_of_the_grid(on);
        named_barriers(on);
        // a block waits for the one before it: sound where blocks start in order
        if std::env::var_os("CUDAEMU_BLOCK_ORDER").is_none() {
            look_back(on);
        }
        tiles_of_a_warp(on);
        unused_padding(on);
        launch!(on, "prints", cfg(1, 32, 0); &7i32);
    });
}

fn barrier_of_the_grid(on: &Program) {
    let (n, rounds) = (512, 5);
    let mut values = on.on_device(&(0..n).collect::<Vec<i32>>());
    let kernel = on.function("gridsync");
    let mut launch = on.stream.launch_builder(&kernel);
    launch.arg(&mut values).arg(&n).arg(&rounds);
    unsafe { launch.launch_cooperative(cfg(8, 64, 0)) }.unwrap();
    let mut expected: Vec<i32> = (0..n).collect();
    for _ in 0..rounds {
        expected.rotate_left(1);
        expected.iter_mut().for_each(|x| *x += 1);
    }
    assert_eq!(on.read(&values), expected);
}

/// One warp writes what the other one reads.
fn named_barriers(on: &Program) {
    let mut values = on.zeros::<i32>(128);
    launch!(on, "named", cfg(1, 64, 0); &mut values);
    let expected: Vec<i32> = (0..128).map(|i| i / 32 * 100 + 31 - i % 32).collect();
    assert_eq!(on.read(&values), expected);
}

/// Prefix sums of all blocks in one launch.
fn look_back(on: &Program) {
    let blocks = 20usize;
    let values: Vec<i32> = (0..blocks * 256).map(|i| (i * 7 % 13) as i32).collect();
    let there = on.on_device(&values);
    let mut sums = on.zeros::<i32>(values.len());
    let (mut states, mut totals) = (on.zeros::<i32>(blocks), on.zeros::<i32>(blocks));
    let shape = cfg(blocks as u32, 256, 0);
    launch!(on, "lookback", shape; &there, &mut sums, &mut states, &mut totals);
    let mut sum = 0;
    let mut up_to = |x: &i32| {
        sum += x;
        sum
    };
    let expected: Vec<i32> = values.iter().map(&mut up_to).collect();
    assert_eq!(on.read(&sums), expected);
}

fn tiles_of_a_warp(on: &Program) {
    let mut results = on.zeros::<i32>(64 * 3);
    launch!(on, "tiles", cfg(1, 64, 0); &mut results);
    for (i, found) in on.read(&results).chunks(3).enumerate() {
        let tile = i / 8 * 8;
        assert_eq!(found[0], (tile..tile + 8).map(|k| (k * 3 % 17) as i32).max().unwrap());
        // threads that came there together
        let warp = i / 32 * 32;
        let group: Vec<usize> = (warp..warp + 32).filter(|k| k % 3 == 0).collect();
        let of = |k: usize| group.iter().position(|&other| other == k);
        let rank = |k: usize| of(k).map_or(0, |rank| (group.len() * 100 + rank) as i32);
        let expected = if i % 3 == 0 { rank(i) + rank(group[0]) % 7 } else { 0 };
        assert_eq!((found[1], found[2]), (expected, 32), "{i}");
    }
}

/// A value that was never written is read and not used.
fn unused_padding(on: &Program) {
    let there = on.on_device(&(0..32i32).collect::<Vec<_>>());
    let mut results = on.zeros::<i32>(32);
    launch!(on, "uninit_padded", cfg(1, 32, 0); &there, &mut results);
    let expected: Vec<i32> = (0..32).map(|i| if i < 31 { i + 1 } else { -1 }).collect();
    assert_eq!(on.read(&results), expected);
}
