//! Promises of `ops::retrieval`.

#[cfg(feature = "cuda")]
use crate::common::device;
use crate::common::guarded_row;
use crate::common::naive;
use crate::common::patterns::{Pattern, Rng};
#[cfg(feature = "cuda")]
use crate::search::with_pads;
use approx::assert_relative_eq;
use bihalf::ops::retrieval::{
    ClassLabels, Counters, Empty, Evaluation, Labelled, LabelledCodes, Labels, Measure, Options,
    Scores, WithinRadius, evaluate,
};
use bihalf::{Backend, Codes, Cpu, Error, MatRef, PackedCodes};

const EACH: f64 = 1e-12;

fn random_codes(rows: usize, bits: usize, seed: u64) -> Codes {
    let random: Vec<f64> = Pattern::Random.fill((rows, bits), seed);
    Codes::from_dense(MatRef::new(&random, rows, bits).unwrap()).unwrap()
}

fn random_labels(n: usize, classes: usize, seed: u64) -> Vec<u32> {
    let mut rng = Rng::new(seed);
    (0..n).map(|_| rng.below(classes) as u32).collect()
}

fn single<'a>(codes: &'a Codes, labels: &'a [u32]) -> Labelled<'a> {
    Labelled::new(codes.as_ref(), Labels::Single(labels)).unwrap()
}

fn multi<'a>(codes: &'a Codes, labels: &'a Codes) -> Labelled<'a> {
    Labelled::new(codes.as_ref(), Labels::Multi(labels.as_ref())).unwrap()
}

/// Distance and relevance of each item to a query.
type Items = Vec<(u32, bool)>;

fn items_of(
    queries: &Codes,
    database: &Codes,
    is_relevant: &dyn Fn(usize, usize) -> bool,
) -> Vec<Items> {
    let distance = |q: usize, i: usize| {
        (0..queries.bits()).filter(|&j| queries.get(q, j) != database.get(i, j)).count() as u32
    };
    let of = |q| (0..database.rows()).map(|i| (distance(q, i), is_relevant(q, i))).collect();
    (0..queries.rows()).map(of).collect()
}

/// Relevance in the order of the ranking.
fn ranked(items: &Items) -> Vec<bool> {
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by_key(|&i| (items[i].0, i));
    order.into_iter().map(|i| items[i].1).collect()
}

/// AP@k, precision@k and recall@k of a ranking with relevant items.
fn at(ranked: &[bool], k: usize) -> [f64; 3] {
    let first = &ranked[..k.min(ranked.len())];
    let hits = |part: &[bool]| part.iter().filter(|&&hit| hit).count() as f64;
    let precision = hits(first) / first.len() as f64;
    [naive::average_precision(ranked, k), precision, hits(first) / hits(ranked)]
}

/// A measure against its value for each query; `None` for queries without a relevant item.
#[track_caller]
fn assert_measure(got: &Measure, expected: &[Option<f64>], empty: Empty) {
    assert_eq!(got.of_query.len(), expected.len());
    for (&got, &expected) in got.of_query.iter().zip(expected) {
        match (expected, empty) {
            (Some(expected), _) => assert_relative_eq!(got, expected, max_relative = EACH),
            (None, Empty::LeaveOut) => assert!(got.is_nan()),
            (None, Empty::Zero) => assert_eq!(got, 0.0),
        }
    }
    let left: Vec<f64> = expected.iter().flatten().copied().collect();
    let among = if empty == Empty::Zero { expected.len() } else { left.len() };
    let mean = left.iter().sum::<f64>() / among as f64;
    assert_close(got.mean, mean);
}

fn assert_curve(got: &[WithinRadius], items: &[Items], bits: usize, empty: Empty) {
    assert_eq!(got.len(), bits + 1);
    let has = |items: &&Items| items.iter().any(|item| item.1) || empty == Empty::Zero;
    let items: Vec<&Items> = items.iter().filter(has).collect();
    for (radius, got) in got.iter().enumerate() {
        assert_eq!(got.radius, radius);
        let near = |items: &Items| items.iter().filter(|i| i.0 as usize <= radius).count() as f64;
        let hits = |items: &Items, radius: usize| {
            items.iter().filter(|i| i.0 as usize <= radius && i.1).count() as f64
        };
        let recall = |items: &Items| hits(items, radius) / hits(items, bits).max(1.0);
        let sum = |f: &dyn Fn(&Items) -> f64| items.iter().map(|items| f(items)).sum::<f64>();
        let retrieving = items.iter().filter(|items| near(items) > 0.0).count() as f64;
        let precisions = sum(&|items| hits(items, radius) / near(items).max(1.0));
        let n = items.len() as f64;
        let expected = [
            precisions / retrieving,
            precisions / n,
            sum(&recall) / n,
            sum(&|items| hits(items, radius)) / sum(&near),
            sum(&|items| hits(items, radius)) / sum(&|items| hits(items, bits)),
        ];
        figures(got).into_iter().zip(expected).for_each(|(got, is)| assert_close(got, is));
    }
}

const CUTOFFS: [usize; 6] = [10, 1, 50, 1000, 7, 10];

fn matches_the_oracle(queries: Labelled<'_>, database: Labelled<'_>, items: &[Items]) {
    for empty in [Empty::LeaveOut, Empty::Zero] {
        let options = Options { cutoffs: &CUTOFFS, empty };
        let got = evaluate(queries, database, &options).unwrap();
        let has = |items: &&Items| items.iter().any(|item| item.1);
        let with = items.iter().filter(has).count();
        assert_eq!(got.evaluated, if empty == Empty::Zero { items.len() } else { with });
        let of = |f: &dyn Fn(&[bool]) -> f64| -> Vec<Option<f64>> {
            items.iter().map(|items| has(&items).then(|| f(&ranked(items)))).collect()
        };
        let map = of(&|ranked| naive::average_precision(ranked, usize::MAX));
        assert_measure(&got.by_index.map, &map, empty);
        assert_eq!(got.by_index.at.len(), CUTOFFS.len());
        for (got, k) in got.by_index.at.iter().zip(CUTOFFS) {
            assert_eq!(got.k, k);
            for (n, got) in [&got.map, &got.precision, &got.recall].into_iter().enumerate() {
                assert_measure(got, &of(&|ranked| at(ranked, k)[n]), empty);
            }
        }
        assert_curve(&got.curve, items, queries.codes().bits(), empty);
        parts_give_the_same(queries, database, &options, &got);
    }
}

/// Counters of three parts, in two turns.
fn parts_give_the_same(
    queries: Labelled<'_>,
    database: Labelled<'_>,
    options: &Options<'_>,
    all: &Evaluation,
) {
    let items = database.codes().rows();
    let cuts = [0, items / 3, items / 2, items];
    let mut counters = Counters::new(queries).unwrap();
    let mut others = Counters::new(queries).unwrap();
    for (n, cut) in cuts.windows(2).enumerate().rev() {
        let labels = match *database.labels() {
            Labels::Single(labels) => Labels::Single(&labels[cut[0]..cut[1]]),
            Labels::Multi(labels) => Labels::Multi(labels.slice(cut[0]..cut[1])),
        };
        let part = Labelled::new(database.codes().slice(cut[0]..cut[1]), labels).unwrap();
        let to = if n == 1 { &mut others } else { &mut counters };
        to.push(part).unwrap();
    }
    counters.merge(&others).unwrap();
    let got = counters.evaluate(options).unwrap();
    assert_eq!(got.evaluated, all.evaluated);
    assert_scores(&got.expected, &all.expected);
    for (got, all) in got.curve.iter().zip(&all.curve) {
        for (got, all) in figures(got).into_iter().zip(figures(all)) {
            assert_close(got, all);
        }
    }
}

fn figures(point: &WithinRadius) -> [f64; 5] {
    let WithinRadius { precision, precision_or_zero, recall, .. } = *point;
    [precision, precision_or_zero, recall, point.pooled_precision, point.pooled_recall]
}

/// Both NaN, or nearly equal.
#[track_caller]
fn assert_close(got: f64, expected: f64) {
    assert_eq!(got.is_nan(), expected.is_nan(), "{got} and {expected}");
    if !got.is_nan() {
        assert_relative_eq!(got, expected, max_relative = EACH);
    }
}

/// The same bits.
fn assert_scores(got: &Scores, expected: &Scores) {
    assert_eq!(format!("{got:?}"), format!("{expected:?}"));
}

#[test]
fn measures_equal_the_oracle() {
    for (rows, items, bits, classes) in [
        (12, 50, 4, 3),
        (12, 65, 16, 3),
        (9, 64, 65, 40),
        (17, 200, 64, 2),
        (3, 5000, 8, 7),
        (2, 0, 8, 2),
    ] {
        let (queries, database) = (random_codes(rows, bits, 3), random_codes(items, bits, 4));
        let (q, d) = (random_labels(rows, classes, 5), random_labels(items, classes, 6));
        let expected = items_of(&queries, &database, &|n, i| q[n] == d[i]);
        matches_the_oracle(single(&queries, &q), single(&database, &d), &expected);
    }
}

#[test]
fn labels_of_many_classes_equal_the_oracle() {
    for (items, classes) in [(70, 5), (129, 100), (5000, 64), (9001, 100)] {
        let (queries, database) = (random_codes(9, 10, 3), random_codes(items, 10, 4));
        let sparse = |rows, seed| {
            let mut rng = Rng::new(seed);
            let one = |_| if rng.below(classes) == 0 { 1.0f32 } else { -1.0 };
            let dense: Vec<f32> = (0..rows * classes).map(one).collect();
            Codes::from_dense(MatRef::new(&dense, rows, classes).unwrap()).unwrap()
        };
        let (q, d) = (sparse(9, 5), sparse(items, 6));
        let shared = |n, i| (0..classes).any(|c| q.get(n, c) && d.get(i, c));
        let expected = items_of(&queries, &database, &shared);
        matches_the_oracle(multi(&queries, &q), multi(&database, &d), &expected);
    }
}

/// All orders of `items`, by Heap's algorithm without its cleverness.
fn permutations(items: Vec<usize>) -> Vec<Vec<usize>> {
    if items.is_empty() {
        return vec![vec![]];
    }
    let mut all = Vec::new();
    for n in 0..items.len() {
        let mut rest = items.clone();
        let first = rest.remove(n);
        all.extend(permutations(rest).into_iter().map(|mut tail| {
            tail.insert(0, first);
            tail
        }));
    }
    all
}

/// Means of measures over evaluations: mAP, then mAP@k, precision@k and recall@k for each k.
fn means<'a>(scores: impl Iterator<Item = &'a Scores>) -> Vec<f64> {
    let row = |scores: &Scores| -> Vec<f64> {
        let at = scores.at.iter().flat_map(|at| [&at.map, &at.precision, &at.recall]);
        [&scores.map].into_iter().chain(at).map(|measure| measure.mean).collect()
    };
    let rows: Vec<Vec<f64>> = scores.map(row).collect();
    (0..rows[0].len())
        .map(|n| rows.iter().map(|row| row[n]).sum::<f64>() / rows.len() as f64)
        .collect()
}

#[test]
fn expectations_are_means_over_all_orders_of_the_database() {
    let options = Options { cutoffs: &[1, 2, 3, 4, 5, 6, 9], ..Options::default() };
    for seed in 0..8 {
        let (bits, queries) = (1 + seed as usize % 2, random_codes(3, 2, seed));
        let queries = Codes::from_bytes(&queries.to_bytes().unwrap(), 3, 2).unwrap();
        let q = random_labels(3, 2, seed);
        let (codes, d) = (random_codes(6, bits, seed + 50), random_labels(6, 2, seed + 1));
        let queries = if bits == 2 { queries } else { random_codes(3, 1, seed) };
        if q.iter().all(|label| !d.contains(label)) {
            continue;
        }
        let evaluations: Vec<Evaluation> = permutations((0..6).collect())
            .into_iter()
            .map(|order| {
                let dense: Vec<f32> = codes.to_dense().unwrap();
                let dense: Vec<f32> =
                    order.iter().flat_map(|&i| dense[i * bits..(i + 1) * bits].to_vec()).collect();
                let database = Codes::from_dense(MatRef::new(&dense, 6, bits).unwrap()).unwrap();
                let labels: Vec<u32> = order.iter().map(|&i| d[i]).collect();
                evaluate(single(&queries, &q), single(&database, &labels), &options).unwrap()
            })
            .collect();
        let expected = means(evaluations.iter().map(|e| &e.by_index));
        let got = means([&evaluations[0].expected].into_iter());
        for (got, expected) in got.into_iter().zip(expected) {
            assert_relative_eq!(got, expected, max_relative = EACH);
        }
        for evaluation in &evaluations {
            assert_scores(&evaluation.expected, &evaluations[0].expected);
            assert_eq!(evaluation.curve, evaluations[0].curve);
        }
    }
}

/// Expected AP of groups of (items, relevant items), place by place.
fn expected_average_precision(groups: &[(usize, usize)]) -> f64 {
    let (mut before, mut relevant_before, mut sum) = (0.0, 0.0, 0.0);
    for &(items, relevant) in groups {
        let (n, r) = (items as f64, relevant as f64);
        for t in 1..=items {
            let ahead = (t - 1) as f64;
            let share = if items > 1 { ahead * (r - 1.0) / (n - 1.0) } else { 0.0 };
            sum += r / n * (relevant_before + 1.0 + share) / (before + ahead + 1.0);
        }
        (before, relevant_before) = (before + n, relevant_before + r);
    }
    sum / relevant_before
}

/// Where many places are summed by a series.
#[test]
fn expectations_of_large_groups_equal_sums_over_their_places() {
    let all: [&[(usize, usize)]; 5] = [
        &[(300, 1), (20_000, 3)],
        &[(0, 0), (100_000, 100_000)],
        &[(1, 0), (257, 2), (70_000, 35_000), (2, 2)],
        &[(63, 0), (256, 0), (258, 1), (30_000, 1)],
        &[(50_000, 0), (2, 2), (300, 300), (90_000, 1)],
    ];
    for groups in all {
        let bits = groups.len() - 1;
        let (mut bytes, mut labels) = (Vec::new(), Vec::new());
        for (distance, &(items, relevant)) in groups.iter().enumerate() {
            bytes.extend(vec![(1u32 << distance) as u8 - 1; items]);
            labels.extend((0..items).map(|i| u32::from(i < relevant)));
        }
        let database = Codes::from_bytes(&bytes, bytes.len(), bits).unwrap();
        let query = Codes::zeros(1, bits).unwrap();
        let options = Options { cutoffs: &[usize::MAX], ..Options::default() };
        let got = evaluate(single(&query, &[1]), single(&database, &labels), &options).unwrap();
        let expected = expected_average_precision(groups);
        assert_relative_eq!(got.expected.map.mean, expected, max_relative = 1e-11);
        assert_relative_eq!(got.expected.at[0].map.mean, expected, max_relative = 1e-11);
    }
}

/// The mean over many shuffles, for a cutoff inside of a large group.
#[test]
fn expected_map_at_k_is_that_of_shuffled_databases() {
    let (queries, q) = (random_codes(4, 3, 1), random_labels(4, 3, 2));
    let (codes, d) = (random_codes(400, 3, 3), random_labels(400, 3, 4));
    let options = Options { cutoffs: &[3, 60, 200], ..Options::default() };
    let exact = evaluate(single(&queries, &q), single(&codes, &d), &options).unwrap();
    let (mut order, mut rng) = ((0..400).collect::<Vec<usize>>(), Rng::new(9));
    let bytes = codes.to_bytes().unwrap();
    let shuffled: Vec<Evaluation> = (0..4000)
        .map(|_| {
            (1..order.len()).for_each(|n| order.swap(n, rng.below(n + 1)));
            let bytes: Vec<u8> = order.iter().map(|&i| bytes[i]).collect();
            let labels: Vec<u32> = order.iter().map(|&i| d[i]).collect();
            let database = Codes::from_bytes(&bytes, 400, 3).unwrap();
            evaluate(single(&queries, &q), single(&database, &labels), &options).unwrap()
        })
        .collect();
    let mean = means(shuffled.iter().map(|e| &e.by_index));
    for (got, mean) in means([&exact.expected].into_iter()).into_iter().zip(mean) {
        // Of at most 0.5 for a query: a standard error of 0.004 with four queries.
        assert!((got - mean).abs() < 0.016, "{got} and {mean}");
    }
}

#[test]
fn queries_without_anything_to_find_have_no_mean() {
    let (queries, database) = (Codes::zeros(1, 4).unwrap(), Codes::zeros(0, 4).unwrap());
    let (queries, database) = (single(&queries, &[1]), single(&database, &[]));
    let got = evaluate(queries, database, &Options::default()).unwrap();
    assert_eq!(got.evaluated, 0);
    assert!(got.by_index.map.mean.is_nan() && got.expected.map.mean.is_nan());
    assert!(got.curve.iter().all(|point| point.recall.is_nan() && point.precision.is_nan()));
    let options = Options { empty: Empty::Zero, cutoffs: &[3] };
    let got = evaluate(queries, database, &options).unwrap();
    assert_eq!((got.evaluated, got.by_index.map.mean), (1, 0.0));
    assert_eq!((got.expected.map.mean, got.by_index.at[0].precision.mean), (0.0, 0.0));
}

#[test]
fn codes_and_labels_that_do_not_belong_together_are_refused() {
    let codes = |rows, bits| Codes::zeros(rows, bits).unwrap();
    let (q, d) = (codes(2, 8), codes(3, 8));
    let (queries, database) = (single(&q, &[1, 2]), single(&d, &[1, 2, 3]));
    let refused = |q: Labelled<'_>, d: Labelled<'_>| {
        let error = evaluate(q, d, &Options::default()).unwrap_err();
        let counted = Counters::new(q).unwrap().push(d).unwrap_err();
        assert_eq!(error.to_string(), counted.to_string());
        error
    };
    let error = refused(single(&codes(2, 7), &[1, 2]), database);
    assert!(matches!(error, Error::Length { expected: 8, got: 7, .. }), "{error}");
    let error = Labelled::new(q.as_ref(), Labels::Single(&[1])).unwrap_err();
    assert!(matches!(error, Error::Length { expected: 2, got: 1, .. }), "{error}");
    let five = codes(3, 5);
    let error = Labelled::new(q.as_ref(), Labels::Multi(five.as_ref())).unwrap_err();
    assert!(matches!(error, Error::Length { expected: 2, got: 3, .. }), "{error}");
    let error = refused(queries, multi(&d, &five));
    assert!(matches!(error, Error::Parameter { .. }), "{error}");
    let four = codes(2, 4);
    let error = refused(multi(&q, &four), multi(&d, &five));
    assert!(matches!(error, Error::Length { expected: 5, got: 4, .. }), "{error}");
    let error = evaluate(queries, database, &Options { cutoffs: &[5, 0], ..Options::default() })
        .unwrap_err();
    assert!(matches!(error, Error::Parameter { .. }), "{error}");

    let mut counters = Counters::new(queries).unwrap();
    let three = Counters::new(database).unwrap();
    let error = counters.merge(&three).unwrap_err();
    assert!(matches!(error, Error::Length { expected: 2, got: 3, .. }), "{error}");
}

/// Counts of the oracle's items, of each query and distance.
fn assert_counts(got: [Vec<u32>; 2], items: &[Items], bits: usize, case: &str) {
    let of = |n: usize, distance: usize, relevant_alone: bool| {
        let here = items[n].iter().filter(|item| item.0 as usize == distance);
        here.filter(|item| item.1 || !relevant_alone).count() as u32
    };
    for (counts, relevant_alone) in got.into_iter().zip([false, true]) {
        let places = (0..items.len()).flat_map(|n| (0..=bits).map(move |d| (n, d)));
        let expected: Vec<u32> = places.map(|(n, d)| of(n, d, relevant_alone)).collect();
        assert_eq!(counts, expected, "{case}, relevant {relevant_alone}");
    }
}

/// Counts on a backend, and what [`Counters`] make of them.
fn counts_match_the_oracle<B: Backend>(backend: &B, upload: impl Fn(&B, &Codes) -> B::Buffer<u64>) {
    for (rows, items, bits) in [(3, 70, 10), (9, 5000, 64), (8, 4096, 3), (2, 300, 800), (2, 0, 8)]
    {
        let (queries, database) = (random_codes(rows, bits, 3), random_codes(items, bits, 4));
        let (q_words, d_words) = (upload(backend, &queries), upload(backend, &database));
        let codes = |words, rows| PackedCodes::new(B::slice(words), rows, bits).unwrap();
        let count = |q, d| {
            let len = rows * (bits + 1);
            let mut counts = guarded_row::<B, u32>(backend, len);
            let mut relevant = guarded_row::<B, u32>(backend, len);
            let q = LabelledCodes::new(codes(&q_words, rows), q).unwrap();
            let d = LabelledCodes::new(codes(&d_words, items), d).unwrap();
            let (into, also) = (counts.vector(), relevant.vector());
            backend.count_by_distance_into(q, d, into, also).unwrap();
            [counts.take(backend), relevant.take(backend)]
        };
        let case = format!("{rows} x {items}, {bits} bits");

        let (q, d) = (random_labels(rows, 3, 5), random_labels(items, 3, 6));
        let (on_q, on_d) = (backend.upload(&q).unwrap(), backend.upload(&d).unwrap());
        let got = count(ClassLabels::Single(B::slice(&on_q)), ClassLabels::Single(B::slice(&on_d)));
        let mut added = Counters::new(single(&queries, &q)).unwrap();
        added.add_counts(&got[0], &got[1]).unwrap();
        let mut pushed = Counters::new(single(&queries, &q)).unwrap();
        pushed.push(single(&database, &d)).unwrap();
        let [added, pushed] = [added, pushed].map(|c| c.evaluate(&Options::default()).unwrap());
        assert_eq!(format!("{added:?}"), format!("{pushed:?}"), "{case}");
        assert_counts(got, &items_of(&queries, &database, &|n, i| q[n] == d[i]), bits, &case);

        const CLASSES: usize = 70;
        let (q, d) = (random_codes(rows, CLASSES, 5), random_codes(items, CLASSES, 6));
        let few = |codes: &Codes| {
            // Few enough that not all items share one.
            let kept = codes.as_ref().words().iter().enumerate();
            kept.map(|(n, word)| if n % 2 == 0 { word & 0x11 } else { word & 0x2 }).collect()
        };
        let (q_few, d_few): (Vec<u64>, Vec<u64>) = (few(&q), few(&d));
        let (on_q, on_d) = (backend.upload(&q_few).unwrap(), backend.upload(&d_few).unwrap());
        let labels = |on, rows| PackedCodes::new(B::slice(on), rows, CLASSES).unwrap();
        let got = count(
            ClassLabels::Multi(labels(&on_q, rows)),
            ClassLabels::Multi(labels(&on_d, items)),
        );
        let share = |n: usize, i: usize| (0..2).any(|w| q_few[2 * n + w] & d_few[2 * i + w] != 0);
        assert_counts(got, &items_of(&queries, &database, &share), bits, &case);
    }
}

#[test]
fn counts_by_distance_match_the_oracle_on_the_cpu() {
    counts_match_the_oracle(&Cpu, |cpu, codes| cpu.upload(codes.as_ref().words()).unwrap());
}

#[test]
#[cfg(feature = "cuda")]
fn counts_by_distance_match_the_oracle_on_cuda() {
    if let Some(cuda) = device::cuda() {
        counts_match_the_oracle(&cuda, with_pads);
    }
}

#[test]
fn counts_that_cannot_be_are_refused() {
    let codes = Codes::zeros(2, 1).unwrap();
    let mut counters = Counters::new(single(&codes, &[1, 2])).unwrap();
    let before = format!("{counters:?}");
    for (items, relevant) in [
        ([1, 2, 3].as_slice(), [0; 4].as_slice()),
        (&[1, 2, 2, 1], &[0; 3]),
        (&[1, 2, 2, 2], &[0; 4]),
        (&[1, 2, 2, 1], &[0, 3, 0, 0]),
        (&[u32::MAX, 1, 1, u32::MAX], &[0; 4]),
    ] {
        assert!(counters.add_counts(items, relevant).is_err(), "{items:?} {relevant:?}");
    }
    assert_eq!(format!("{counters:?}"), before);
    counters.add_counts(&[1, 2, 2, 1], &[1, 0, 0, 1]).unwrap();
}
