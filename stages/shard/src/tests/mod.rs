//! Tests of the crate, by what they hold it to.

#![expect(clippy::unwrap_used, reason = "tests")]

mod damage;
mod determinism;
mod foreign;
mod memory;
mod merging;
mod per_clip;
mod python;
mod refusals;
mod round_trip;

use std::path::Path;

use contract::{Cause, Column, ColumnSpec, Element, Failure, Rows, Values};

use crate::{Entry, Header, ShardError, Writer};

/// What is pushed for one item.
pub(super) struct Made {
    pub(super) id: String,
    pub(super) outcome: Result<Rows, Failure>,
}

/// Pseudo-random numbers: the mixer SplitMix64.
pub(super) fn random(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

pub(super) fn spec(name: &str, width: Option<usize>, element: Element, unit: &str) -> ColumnSpec {
    ColumnSpec { name: name.to_owned(), width, element, unit: unit.to_owned() }
}

/// The header of an embedding shard of this width.
pub(super) fn header(width: usize) -> Header {
    Header {
        stage: "encode-clip".to_owned(),
        version: 3,
        key_template: r#"{"content":"{content}","stage":"encode-clip","version":3}"#.to_owned(),
        columns: vec![spec("embedding", Some(width), Element::F32, ""), spec("time", None, Element::F64, "s")],
        attributes: [("params", r#"{"precision":"f32"}"#), ("tool", "pipeline 0.1.0 (é)")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into(),
        position: Some((3, 48)),
    }
}

/// `len` rows of that shard.
pub(super) fn rows(len: usize, width: usize, seed: u64) -> Rows {
    let mut next = random(seed);
    let embedding = (0..len * width).map(|_| (next() as u32 as f32) / 4e9 - 0.5).collect();
    let time = (0..len).map(|i| i as f64 + 0.5).collect();
    let columns = vec![
        Column { name: "embedding".to_owned(), width: Some(width), values: Values::F32(embedding) },
        Column { name: "time".to_owned(), width: None, values: Values::F64(time) },
    ];
    Rows { len, columns }
}

/// Items of `seed % 7` rows and so on, every ninth a failure.
pub(super) fn items(count: usize, width: usize) -> Vec<Made> {
    (0..count)
        .map(|i| Made {
            id: format!("straße-{i:05}"),
            outcome: match i % 9 {
                8 => Err(Failure::new(Cause::ALL[i % 11], format!("no picture № {i}"))),
                n => Ok(rows(n * 5 % 7, width, i as u64)),
            },
        })
        .collect()
}

/// A digest that depends on the item.
pub(super) fn digest_of(kind: &str, id: &str) -> [u8; 32] {
    *blake3::hash(format!("{kind} {id}").as_bytes()).as_bytes()
}

pub(super) fn entry(made: &Made) -> Entry<'_> {
    Entry {
        id: &made.id,
        key: digest_of("key", &made.id),
        content: digest_of("content", &made.id),
        outcome: made.outcome.as_ref(),
    }
}

pub(super) fn write(path: &Path, header: &Header, items: &[Made]) -> Result<(), ShardError> {
    let mut writer = Writer::create(path, header, Some(items.len()))?;
    for made in items {
        writer.push(entry(made))?;
    }
    writer.finish()
}
