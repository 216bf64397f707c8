//! Promises of `ops::search`.

#[cfg(feature = "cuda")]
use crate::common::device;
#[cfg(feature = "cuda")]
use crate::common::guarded_row;
use crate::common::patterns::Rng;
#[cfg(feature = "cuda")]
use bihalf::cuda::{Buffer, Cuda, DeviceRef};
use bihalf::ops::search::{self, Nearest, Neighbors};
#[cfg(feature = "cuda")]
use bihalf::{Backend, PackedCodes};
use bihalf::{Codes, CodesMut, CodesRef, Error, MatRef, Workspace};

/// What the codes of a database are like.
#[derive(Clone, Copy, Debug)]
pub enum Data {
    Random,
    AllEqual,
    TwoCodes,
    FewBits,
    /// By distance to the zero code: each item is nearer than all before it.
    Nearer,
    Farther,
}

const DATA: [Data; 6] =
    [Data::Random, Data::AllEqual, Data::TwoCodes, Data::FewBits, Data::Nearer, Data::Farther];

pub fn codes(data: Data, rows: usize, bits: usize, rng: &mut Rng) -> Codes {
    let two = [rng.next(), rng.next()];
    let mut bit = |i: usize, j: usize| match data {
        Data::Random => rng.below(2) == 1,
        Data::AllEqual => two[0] >> (j % 64) & 1 == 1,
        Data::TwoCodes => two[(i * 7 / 3) % 2] >> (j % 64) & 1 == 1,
        Data::FewBits => rng.below(20) == 0,
        Data::Nearer => j * rows < (rows - i) * bits,
        Data::Farther => j * rows < i * bits,
    };
    let dense: Vec<f32> =
        (0..rows * bits).map(|n| if bit(n / bits, n % bits) { 1.0 } else { -1.0 }).collect();
    Codes::from_dense(MatRef::new(&dense, rows, bits).unwrap()).unwrap()
}

/// Distances of all items to a query, bit by bit.
fn distances(query: CodesRef<'_>, q: usize, database: CodesRef<'_>) -> Vec<u32> {
    let query: Vec<bool> = query.row_bits(q).collect();
    let of = |i| database.row_bits(i).zip(&query).filter(|(a, b)| a != *b).count() as u32;
    (0..database.rows()).map(of).collect()
}

/// (Distance, index) of all items, the nearest first.
pub fn ranking(query: CodesRef<'_>, q: usize, database: CodesRef<'_>) -> Vec<(u32, u32)> {
    let mut all: Vec<(u32, u32)> = distances(query, q, database).into_iter().zip(0..).collect();
    all.sort();
    all
}

fn assert_row(row: impl Iterator<Item = (u64, u32)>, expected: &[(u32, u32)], case: &str) {
    let row: Vec<(u32, u64)> = row.map(|(index, distance)| (distance, index)).collect();
    let expected: Vec<(u32, u64)> = expected.iter().map(|&(d, i)| (d, i.into())).collect();
    assert_eq!(row, expected, "{case}");
}

/// All functions against rankings of the queries.
fn matches_the_oracle(queries: CodesRef<'_>, database: CodesRef<'_>, ks: &[usize], case: &str) {
    let (rows, items) = (queries.rows(), database.rows());
    let expected: Vec<_> = (0..rows).map(|q| ranking(queries, q, database)).collect();
    for &k in ks {
        let found = search::nearest(queries, database, k).unwrap();
        assert_eq!(found.per_query, k.min(items), "{case}");
        assert_eq!(found.indices.len(), rows * found.per_query, "{case}");
        for (q, expected) in expected.iter().enumerate() {
            let row = found.row(q).map(|(index, distance)| (index.into(), distance));
            assert_row(row, &expected[..k.min(items)], &format!("{case}, k {k}, query {q}"));
        }
    }
    let ranks = search::rank(queries, database).unwrap();
    let all = search::distances(queries, database).unwrap();
    for (q, expected) in expected.iter().enumerate() {
        let row = &ranks[q * items..(q + 1) * items];
        assert!(row.iter().eq(expected.iter().map(|(_, i)| i)), "{case}, rank");
        for &(distance, i) in expected {
            assert_eq!(all[q * items + i as usize], distance, "{case}, distances");
        }
    }
    for radius in [0, database.bits() as u32 / 3, u32::MAX] {
        let found = search::within(queries, database, radius).unwrap();
        assert_eq!(found.offsets.len(), rows + 1, "{case}");
        for (q, expected) in expected.iter().enumerate() {
            let end = expected.partition_point(|&(distance, _)| distance <= radius);
            let row = found.row(q).map(|(index, distance)| (index.into(), distance));
            assert_row(row, &expected[..end], &format!("{case}, within {radius}"));
        }
    }
}

/// In parts in any order, and in two searches that are merged.
fn parts_match(queries: CodesRef<'_>, database: CodesRef<'_>, k: usize, rng: &mut Rng, case: &str) {
    const FIRST: u64 = 1 << 40;
    let mut cuts: Vec<usize> = (0..rng.below(4)).map(|_| rng.below(database.rows() + 1)).collect();
    cuts.extend([0, database.rows()]);
    cuts.sort();
    let mut parts: Vec<_> = cuts.windows(2).map(|cut| (cut[0], cut[1])).collect();
    let turn = rng.below(parts.len());
    parts.rotate_left(turn);
    let (mut nearest, mut other) = (Nearest::new(queries, k), Nearest::new(queries, k));
    for (start, end) in parts {
        let to = if rng.below(2) == 0 { &mut nearest } else { &mut other };
        to.push(FIRST + start as u64, database.slice(start..end)).unwrap();
    }
    nearest.merge(&other).unwrap();
    let all = search::nearest(queries, database, k).unwrap();
    let Neighbors { indices, distances, per_query } = nearest.into_neighbors();
    assert!(indices.iter().map(|i| i - FIRST).eq(all.indices.iter().map(|&i| i.into())), "{case}");
    assert_eq!((distances, per_query), (all.distances, all.per_query), "{case}");
}

#[test]
fn ten_thousand_random_searches_match_the_oracle() {
    for turn in 0..10_000 {
        let rng = &mut Rng::new(turn);
        let data = DATA[rng.below(DATA.len())];
        let bits = [rng.below(20), rng.below(140), 64, 32][rng.below(4)];
        let items = [rng.below(8), rng.below(100), 64, 65][rng.below(4)];
        let (database, queries) = (codes(data, items, bits, rng), rng.below(5));
        let queries = codes([Data::Random, data][rng.below(2)], queries, bits, rng);
        let ks = [rng.below(items + 2), [0, 1, items, usize::MAX][rng.below(4)]];
        let case = format!("turn {turn}: {data:?}, {items} items, {bits} bits");
        let (queries, database) = (queries.as_ref(), database.as_ref());
        matches_the_oracle(queries, database, &ks, &case);
        parts_match(queries, database, ks[0], rng, &case);
    }
}

#[test]
fn many_items_of_any_width_match_the_oracle() {
    let rng = &mut Rng::new(5);
    for data in DATA {
        let sizes =
            [(3, 9001, 64), (70, 300, 65), (2, 700, 4097), (9, 2100, 130), (20, 1100, 1000)];
        for (rows, items, bits) in sizes {
            let database = codes(data, items, bits, rng);
            let queries = codes(Data::FewBits, rows, bits, rng);
            let case = format!("{data:?}, {rows} x {items}, {bits} bits");
            let (queries, database) = (queries.as_ref(), database.as_ref());
            matches_the_oracle(queries, database, &[1, 10, 400, items], &case);
            parts_match(queries, database, 100, rng, &case);
        }
    }
}

/// The search looks first at items whose numbers are multiples of the golden ratio. Here these are
/// nearer than all others, and fewer than are wanted.
#[test]
fn a_sample_unlike_the_rest_changes_no_result() {
    let (items, bits) = (2000, 1000);
    let near: Vec<usize> = (0..256_u64)
        .map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15))
        .map(|fraction| ((u128::from(fraction) * items as u128) >> 64) as usize)
        .collect();
    let dense: Vec<f32> = (0..items * bits)
        .map(|n| (n / bits, n % bits))
        .map(|(i, j)| if near.contains(&i) || j < 7 * i % bits { 1.0 } else { -1.0 })
        .collect();
    let database = Codes::from_dense(MatRef::new(&dense, items, bits).unwrap()).unwrap();
    let queries = Codes::from_dense(MatRef::new(&vec![1.0; 70 * bits], 70, bits).unwrap()).unwrap();
    matches_the_oracle(queries.as_ref(), database.as_ref(), &[200, 300, 500, 2000], "sample");
    let rng = &mut Rng::new(9);
    parts_match(queries.as_ref(), database.as_ref(), 300, rng, "sample");
}

/// More than eight megabytes are written past the caches, from any place on.
#[test]
fn large_distances_match_the_oracle() {
    let rng = &mut Rng::new(6);
    for (items, bits) in [(130_003, 64), (131_072, 70)] {
        let database = codes(Data::FewBits, items, bits, rng);
        let queries = codes(Data::Random, 17, bits, rng);
        let (queries, database) = (queries.as_ref(), database.as_ref());
        let all = search::distances(queries, database).unwrap();
        for q in [0, 1, 15, 16] {
            let row = &all[q * items..(q + 1) * items];
            assert!(row == distances(queries, q, database), "{bits} bits, query {q}");
        }
    }
}

#[test]
fn searches_on_several_threads_match_the_oracle() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(5).build().unwrap();
    let rng = &mut Rng::new(7);
    for (rows, items) in [(1, 70_000), (3, 40_000), (90, 9000)] {
        for data in [Data::FewBits, Data::TwoCodes] {
            let database = codes(data, items, 64, rng);
            let queries = codes(Data::Random, rows, 64, rng);
            let (queries, database) = (queries.as_ref(), database.as_ref());
            let case = format!("{data:?}, {rows} x {items}");
            pool.install(|| matches_the_oracle(queries, database, &[7, 3000], &case));
        }
    }
}

#[test]
fn pad_bits_of_a_slice_are_no_bits_of_it() {
    let rng = &mut Rng::new(8);
    let database = codes(Data::Random, 200, 70, rng);
    let slice = database.as_ref().slice(33..171);
    let queries = codes(Data::Random, 3, 70, rng);
    matches_the_oracle(queries.as_ref(), slice, &[5], "slice");
}

#[test]
fn arguments_that_do_not_belong_together_are_refused() {
    let codes = |rows, bits| Codes::zeros(rows, bits).unwrap();
    let (queries, database) = (codes(2, 8), codes(3, 8));
    let (queries, database) = (queries.as_ref(), database.as_ref());
    let ws = &mut Workspace::new();
    let is = |error: Result<(), Error>, expected: usize, got: usize| {
        let error = error.unwrap_err();
        let Error::Length { expected: e, got: g, .. } = error else { panic!("{error}") };
        assert_eq!((e, g), (expected, got), "{error}");
    };
    let other = codes(2, 7);
    is(search::nearest(other.as_ref(), database, 1).map(drop), 8, 7);
    is(search::within(other.as_ref(), database, 1).map(drop), 8, 7);
    is(search::rank(other.as_ref(), database).map(drop), 8, 7);
    is(search::distances(other.as_ref(), database).map(drop), 8, 7);
    let (mut four, mut five) = ([9; 4], [9; 5]);
    is(search::nearest_into(queries, database, 2, &mut five, &mut four, ws), 4, 5);
    is(search::nearest_into(queries, database, 2, &mut four, &mut five, ws), 4, 5);
    is(search::distances_into(queries, database, &mut five, ws), 6, 5);
    is(search::rank_into(queries, database, &mut five, ws), 6, 5);
    assert_eq!((four, five), ([9; 4], [9; 5]));

    let mut nearest = Nearest::new(queries, 2);
    is(nearest.push(0, other.as_ref()), 7, 8);
    assert!(matches!(nearest.push(u64::MAX - 1, database), Err(Error::Parameter { .. })));
    nearest.push(u64::MAX - 2, database).unwrap();
    assert_eq!(nearest.neighbors().indices, [u64::MAX - 2, u64::MAX - 1].repeat(2));
    is(nearest.merge(&Nearest::new(database, 2)), 2, 3);
    assert!(matches!(nearest.merge(&Nearest::new(queries, 1)), Err(Error::Parameter { .. })));

    let wide = CodesMut::new(&mut [][..], 0, u32::MAX as usize).unwrap();
    let error = search::nearest(wide.as_ref(), wide.as_ref(), 1).unwrap_err();
    assert!(matches!(error, Error::Parameter { .. }), "{error}");

    // No bits take no memory.
    let no_words = |rows| CodesMut::new(&mut [][..], rows, 0).unwrap();
    let mut most = no_words(u32::MAX as usize);
    let query = codes(1, 0);
    let found = search::nearest(query.as_ref(), most.as_ref(), 3).unwrap();
    assert_eq!((found.indices, found.distances), (vec![0, 1, 2], vec![0, 0, 0]));
    most = no_words(1 << 32);
    let error = search::nearest(query.as_ref(), most.as_ref(), 3).unwrap_err();
    assert!(matches!(error, Error::TooManyRows { .. }), "{error}");
}

/// Neighbours and distances on a device.
/// Words of a device whose pad bits are set: kernels leave them out.
#[cfg(feature = "cuda")]
pub fn with_pads(cuda: &Cuda, codes: &Codes) -> Buffer<u64> {
    let mut words = codes.as_ref().words().to_vec();
    let (width, used) = (codes.bits().div_ceil(64).max(1), codes.bits() % 64);
    let pads = if used == 0 { 0 } else { u64::MAX << used };
    words.iter_mut().skip(width - 1).step_by(width).for_each(|word| *word |= pads.to_le());
    cuda.upload(&words).unwrap()
}

#[cfg(feature = "cuda")]
fn matches_the_oracle_on(cuda: &Cuda, queries: &Codes, database: &Codes, ks: &[usize], case: &str) {
    let (rows, items, bits) = (queries.rows(), database.rows(), queries.bits());
    let (q, d) = (cuda.upload(queries.as_ref().words()).unwrap(), with_pads(cuda, database));
    let q = || PackedCodes::new(DeviceRef::from(&q), rows, bits).unwrap();
    let d = || PackedCodes::new(DeviceRef::from(&d), items, bits).unwrap();
    let expected: Vec<_> =
        (0..rows).map(|n| ranking(queries.as_ref(), n, database.as_ref())).collect();

    let mut ws = cuda.search_workspace(rows, items, bits, 0).unwrap();
    let mut out = guarded_row::<Cuda, u32>(cuda, rows * items);
    cuda.distances_into(q(), d(), out.vector(), &mut ws).unwrap();
    let all = out.take(cuda);
    for (n, ranking) in expected.iter().enumerate() {
        for &(distance, i) in ranking {
            assert_eq!(all[n * items + i as usize], distance, "{case}, distances");
        }
    }
    for &k in ks {
        let per_query = k.min(items);
        let mut ws = cuda.search_workspace(rows, items, bits, k).unwrap();
        let mut indices = guarded_row::<Cuda, u32>(cuda, rows * per_query);
        let mut distances = guarded_row::<Cuda, u32>(cuda, rows * per_query);
        let (i, f) = (indices.vector(), distances.vector());
        cuda.nearest_into(q(), d(), k, i, f, &mut ws).unwrap();
        let (indices, distances) = (indices.take(cuda), distances.take(cuda));
        let found = Neighbors { indices, distances, per_query };
        for (n, ranking) in expected.iter().enumerate() {
            let row = found.row(n).map(|(index, distance)| (index.into(), distance));
            assert_row(row, &ranking[..per_query], &format!("{case}, k {k}, query {n}"));
        }
    }
}

#[test]
#[cfg(feature = "cuda")]
fn cuda_searches_match_the_oracle() {
    let Some(cuda) = device::cuda() else { return };
    for turn in 0..60 {
        let rng = &mut Rng::new(turn);
        let data = DATA[turn as usize % DATA.len()];
        let bits = [rng.below(140), 64, 32][rng.below(3)];
        let items = [rng.below(8), rng.below(300), 256, 257][rng.below(4)];
        let (database, queries) = (codes(data, items, bits, rng), rng.below(12));
        let queries = codes([Data::Random, data][rng.below(2)], queries, bits, rng);
        let ks = [rng.below(items + 2), [0, 1, items, usize::MAX][rng.below(4)]];
        let case = format!("turn {turn}: {data:?}, {items} items, {bits} bits");
        matches_the_oracle_on(&cuda, &queries, &database, &ks, &case);
    }
    // Several chunks, more queries than a block has, and histograms that shared memory does not hold.
    let rng = &mut Rng::new(70);
    for (data, rows, items, bits) in [
        (Data::FewBits, 3, 9001, 40),
        (Data::AllEqual, 2, 8192, 3),
        (Data::Nearer, 9, 4097, 65),
        (Data::Random, 1, 300, 1600),
    ] {
        let database = codes(data, items, bits, rng);
        let queries = codes(Data::FewBits, rows, bits, rng);
        let case = format!("{data:?}, {rows} x {items}, {bits} bits");
        matches_the_oracle_on(&cuda, &queries, &database, &[10, 5000], &case);
    }
}

#[test]
#[cfg(feature = "cuda")]
fn cuda_searches_refuse_what_others_do() {
    let Some(cuda) = device::cuda() else { return };
    let words = cuda.upload(&[0u64; 8]).unwrap();
    let codes = |rows, bits| PackedCodes::prefix(DeviceRef::from(&words), rows, bits).unwrap();
    let mut ws = cuda.search_workspace(0, 0, 8, 0).unwrap();
    let five = &mut cuda.zeros::<u32>(5).unwrap();
    let mut distances = |q, d| cuda.distances_into(q, d, (&mut *five).into(), &mut ws).unwrap_err();
    let error = distances(codes(2, 7), codes(3, 8));
    assert!(matches!(error, Error::Length { expected: 8, got: 7, .. }), "{error}");
    let error = distances(codes(2, 8), codes(3, 8));
    assert!(matches!(error, Error::Length { expected: 6, got: 5, .. }), "{error}");
    let mut three = [4, 4, 5].map(|n| cuda.zeros::<u32>(n).unwrap());
    let [a, b, c] = three.each_mut();
    let error =
        cuda.nearest_into(codes(2, 8), codes(3, 8), 2, c.into(), a.into(), &mut ws).unwrap_err();
    assert!(matches!(error, Error::Length { expected: 4, got: 5, .. }), "{error}");
    let error =
        cuda.nearest_into(codes(2, 8), codes(3, 8), 2, a.into(), b.into(), &mut ws).unwrap_err();
    assert!(matches!(error, Error::WorkspaceTooSmall { got: 0, .. }), "{error}");
}
