//! What is written comes back, bit for bit.

use contract::{Cause, Column, Element, Failure, Rows, Values};
use half::f16;

use super::{Made, digest_of, entry, header, items, rows, spec, write};
use crate::{Header, Shard, Writer};

/// Writes, reads, and compares everything.
fn round_trip(header: &Header, items: &[Made]) -> Shard {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.h5");
    write(&path, header, items).unwrap();
    let shard = Shard::open(&path).unwrap();
    shard.check().unwrap();
    shard.check_data().unwrap();
    assert_eq!(shard.header(), header);
    assert_eq!(shard.len(), items.len());
    let mut end = 0;
    for (i, (made, record)) in items.iter().zip(shard.items()).enumerate() {
        assert_eq!(record.id, made.id);
        assert_eq!((record.key, record.content), (digest_of("key", &made.id), digest_of("content", &made.id)));
        match &made.outcome {
            Ok(rows) => {
                assert_eq!(record.outcome, Ok(end..end + rows.len));
                end += rows.len;
                assert!(bits(&shard.rows(i).unwrap()) == bits(rows), "rows of item {i}");
            }
            Err(failure) => {
                assert_eq!(record.outcome.as_ref(), Err(failure));
                assert!(shard.rows(i).unwrap_err().to_string().contains(&failure.message));
            }
        }
    }
    shard
}

/// Names, widths and bit patterns: NaN is equal to itself.
fn bits(rows: &Rows) -> Vec<(String, Option<usize>, Vec<u8>)> {
    let column = |c: &Column| {
        let mut bytes = Vec::new();
        crate::element::le_bytes(&c.values, |piece| bytes.extend_from_slice(piece));
        (c.name.clone(), c.width, bytes)
    };
    rows.columns.iter().map(column).collect()
}

#[test]
fn a_shard_comes_back() {
    let made = items(256, 512);
    let shard = round_trip(&header(512), &made);
    let Values::F32(all) = shard.read_column("embedding").unwrap() else { panic!("another type") };
    let mut expected = Vec::new();
    for rows in made.iter().filter_map(|m| m.outcome.as_ref().ok()) {
        let Values::F32(values) = &rows.columns[0].values else { panic!("another type") };
        expected.extend_from_slice(values);
    }
    assert_eq!(all, expected);
    assert_eq!(
        shard.read_column("colour").unwrap_err().to_string(),
        r#"no column "colour"; there are: embedding, time"#
    );
    assert_eq!(shard.rows(256).unwrap_err().to_string(), "no item 256: the shard has 256");
}

#[test]
fn every_element_type_keeps_its_bits() {
    let columns = vec![
        spec("a", Some(3), Element::U8, ""),
        spec("b", None, Element::I64, "row"),
        spec("c", Some(1), Element::F16, "dB"),
        spec("d", Some(2), Element::F32, "µV²/Hz"),
        spec("e", None, Element::F64, "s"),
    ];
    let header = Header { columns, position: None, ..header(1) };
    let column = |name: &str, width, values| Column { name: name.to_owned(), width, values };
    let f32s = [f32::NAN, f32::from_bits(0x7fc0_1234), f32::NEG_INFINITY, -0.0];
    let columns = vec![
        column("a", Some(3), Values::U8(vec![0, 127, 255, 1, 2, 3])),
        column("b", None, Values::I64(vec![i64::MIN, i64::MAX])),
        column("c", Some(1), Values::F16(vec![f16::from_bits(0x7e01), f16::from_bits(1)])),
        column("d", Some(2), Values::F32(f32s.to_vec())),
        column("e", None, Values::F64(vec![f64::from_bits(0xfff8_0000_0000_0001), f64::MIN_POSITIVE / 3.0])),
    ];
    round_trip(&header, &[Made { id: "x".to_owned(), outcome: Ok(Rows { len: 2, columns }) }]);
}

#[test]
fn extremes_come_back() {
    let failed = |i: usize| Made {
        id: format!("{i}"),
        outcome: Err(Failure::new(Cause::Corrupt, if i == 0 { String::new() } else { "x".repeat(i) })),
    };
    round_trip(&header(4), &[]);
    round_trip(&header(4), &(0..12).map(failed).collect::<Vec<_>>());
    round_trip(&header(4), &[Made { id: "no rows".to_owned(), outcome: Ok(rows(0, 4, 0)) }]);
    round_trip(&header(4), &[Made { id: "語".repeat(341), outcome: Ok(rows(1, 4, 0)) }]);
    let long = Header { key_template: "é".repeat(30_000), ..header(4) };
    round_trip(&long, &items(3, 4));
    let many = (0..40).map(|i| (format!("attribute {i}"), "v".repeat(i))).collect();
    round_trip(&Header { attributes: many, position: None, ..header(4) }, &items(3, 4));
    // Rows around the size of a chunk: 256 KiB / 2 KiB = 128 rows.
    for len in [127, 128, 129, 256, 300] {
        let item = |id: &str, len| Made { id: id.to_owned(), outcome: Ok(rows(len, 512, 7)) };
        round_trip(&header(512), &[item("a", len), item("b", 1), item("c", len)]);
    }
    // One row that is larger than a chunk.
    round_trip(&header(100_000), &[Made { id: "wide".to_owned(), outcome: Ok(rows(3, 100_000, 7)) }]);
}

#[test]
fn ten_thousand_items_come_back() {
    round_trip(&header(2), &items(10_000, 2));
}

#[test]
fn a_long_message_is_cut_at_a_character_and_a_nul_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.h5");
    let made = ["ü".repeat(600), "a\0b\0".to_owned()]
        .map(|message| Made { id: format!("{}", message.len()), outcome: Err(Failure::new(Cause::Corrupt, message)) });
    write(&path, &header(4), &made).unwrap();
    let shard = Shard::open(&path).unwrap();
    let message = |i: usize| shard.items()[i].outcome.clone().unwrap_err().message;
    assert_eq!(message(0), "ü".repeat(510) + "…");
    assert_eq!(message(1), "a\u{fffd}b\u{fffd}");
}

#[test]
fn items_are_copied_to_another_shard() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from.h5"), folder.path().join("to.h5"));
    let made = items(40, 64);
    write(&from, &header(64), &made).unwrap();
    let shard = Shard::open(&from).unwrap();
    let mut writer = Writer::create(&to, &header(64), None).unwrap();
    for i in (0..40).rev() {
        shard.copy_item(i, &mut writer).unwrap();
    }
    assert_eq!(writer.len(), 40);
    writer.finish().unwrap();

    let direct = folder.path().join("direct.h5");
    let reversed: Vec<Made> = made.into_iter().rev().collect();
    write(&direct, &header(64), &reversed).unwrap();
    assert_eq!(std::fs::read(&to).unwrap(), std::fs::read(&direct).unwrap());
    assert_eq!(entry(&reversed[0]).id, Shard::open(&to).unwrap().items()[0].id);
}
