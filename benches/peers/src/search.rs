//! Searches and their measures.

use crate::clock::seconds;
use crate::pool::within;
use crate::{Call, report};
use bihalf::ops::retrieval::{Counters, Labelled, Labels, Options, evaluate};
use bihalf::ops::search;
use bihalf::{CodesRef, Error, Workspace};
use std::slice::{from_raw_parts, from_raw_parts_mut};

/// A search, or what is measured of one: `search.py` has the numbers.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Searched {
    /// Codes in rows of whole words: `call.rows` queries, `call.cols` items.
    queries: *const u64,
    database: *const u64,
    /// A class for each.
    query_labels: *const u32,
    database_labels: *const u32,
    /// As large as the operation's result; measures are one number.
    indices: *mut u32,
    distances: *mut u32,
    measure: *mut f64,
    bits: usize,
    k: usize,
}

// SAFETY: they are borrowed for the length of the call, by one thread of a pool at a time.
unsafe impl Send for Searched {}

/// Searches.
///
/// # Safety
/// The pointers are to what their comments say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peers_search(operation: u32, searched: Searched, call: Call) -> f64 {
    // SAFETY: the caller's promise.
    report(within(call.threads, move || unsafe { run(operation, searched, call) }))
}

/// # Safety
/// As [`peers_search`].
unsafe fn run(operation: u32, s: Searched, call: Call) -> Result<f64, Error> {
    let Call { rows, cols: items, .. } = call;
    let width = s.bits.div_ceil(64);
    // SAFETY: the caller's promise; labels are read where the operation has some.
    let words = |from, rows| unsafe { from_raw_parts(from, rows * width) };
    let queries = CodesRef::new(words(s.queries, rows), rows, s.bits)?;
    let database = CodesRef::new(words(s.database, items), items, s.bits)?;
    let out = |to, k| unsafe { from_raw_parts_mut(to, rows * k) };
    let labels = |from, rows| Labels::Single(unsafe { from_raw_parts(from, rows) });
    let labelled = || {
        let queries = Labelled::new(queries, labels(s.query_labels, rows))?;
        Ok::<_, Error>((queries, Labelled::new(database, labels(s.database_labels, items))?))
    };
    let cutoffs = [s.k];
    let options = Options { cutoffs: &cutoffs, ..Options::default() };
    let ws = &mut Workspace::new();
    match operation {
        0 => {
            let (indices, distances) = (out(s.indices, s.k), out(s.distances, s.k));
            seconds(call, || search::nearest_into(queries, database, s.k, indices, distances, ws))
        }
        1 => {
            let distances = out(s.distances, items);
            seconds(call, || search::distances_into(queries, database, distances, ws))
        }
        2 => {
            let indices = out(s.indices, items);
            seconds(call, || search::rank_into(queries, database, indices, ws))
        }
        3 => {
            let (queries, database) = labelled()?;
            seconds(call, || {
                let found = evaluate(queries, database, &options)?;
                // SAFETY: the caller's promise.
                unsafe { *s.measure = found.by_index.at[0].map.mean };
                Ok(())
            })
        }
        4 => {
            let (queries, database) = labelled()?;
            seconds(call, || {
                let mut counters = Counters::new(queries)?;
                counters.push(database)?;
                let found = counters.evaluate(&options)?;
                // SAFETY: the caller's promise.
                unsafe { *s.measure = found.expected.map.mean };
                Ok(())
            })
        }
        5 => seconds(call, || {
            let sum = database.words().iter().fold(0u64, |sum, word| sum.wrapping_add(*word));
            std::hint::black_box(sum);
            Ok(())
        }),
        other => {
            eprintln!("bihalf-peers: no search has number {other}");
            Ok(f64::NAN)
        }
    }
}
