//! Rates, on demand: `cargo test -p shard --release -- --ignored --nocapture rates`.

use std::time::Instant;

use contract::{Column, Element, Rows, Values};

use super::{Made, header, random, rows, spec, write};
use crate::{Header, Shard};

fn measure(what: &str, header: &Header, items: &[Made], column: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.h5");
    let mut best = [f64::INFINITY; 5];
    for _ in 0..7 {
        let mut timed = |slot: usize, run: &mut dyn FnMut()| {
            let start = Instant::now();
            run();
            best[slot] = best[slot].min(start.elapsed().as_secs_f64() * 1e3);
        };
        timed(0, &mut || write(&path, header, items).unwrap());
        timed(1, &mut || drop(Shard::open(&path).unwrap()));
        timed(2, &mut || drop(Shard::open(&path).unwrap().read_column(column).unwrap()));
        timed(3, &mut || {
            let shard = Shard::open(&path).unwrap();
            for i in 0..shard.len() {
                shard.rows(i).unwrap();
            }
        });
        timed(4, &mut || {
            let shard = Shard::open(&path).unwrap();
            let mut next = random(1);
            for _ in 0..100 {
                shard.rows(next() as usize % shard.len()).unwrap();
            }
        });
    }
    let megabytes = std::fs::metadata(&path).unwrap().len() as f64 / 1e6;
    let [w, o, c, r, a] = best;
    eprintln!(
        "{what}: {megabytes:.1} MB, best of 7: write {w:.1} ms, open {o:.2} ms, column {c:.1} ms, all items {r:.1} ms, \
         open and 100 random items {a:.1} ms"
    );
}

#[test]
#[ignore = "a measurement"]
fn rates() {
    let made: Vec<Made> = (0..1000).map(|i| Made { id: format!("clip-{i}"), outcome: Ok(rows(10, 512, i)) }).collect();
    measure("10,000 x 512 f32 in items of ten", &header(512), &made, "embedding");

    let columns = vec![spec("log_mel", Some(128), Element::F32, "dB")];
    let header = Header { columns, ..header(1) };
    let made: Vec<Made> = (0..1000)
        .map(|i| {
            let mut next = random(i);
            let values = Values::F32((0..501 * 128).map(|_| next() as u32 as f32).collect());
            let columns = vec![Column { name: "log_mel".to_owned(), width: Some(128), values }];
            Made { id: format!("clip-{i}"), outcome: Ok(Rows { len: 501, columns }) }
        })
        .collect();
    measure("1,000 log-mels of 501 x 128 f32", &header, &made, "log_mel");
}
