//! Rows on their way from a worker: columns, and their values in pieces.

use contract::{Column, Rows, Values};
use half::f16;

use crate::worker::protocol::{ColumnHead, Kind};

/// Rows so far.
#[derive(Debug, Default)]
pub struct IncomingRows {
    columns: Vec<Column>,
}

impl IncomingRows {
    /// A column begins.
    pub fn begin(&mut self, head: ColumnHead) {
        let values = match head.element {
            Kind::U8 => Values::U8(Vec::new()),
            Kind::I64 => Values::I64(Vec::new()),
            Kind::F16 => Values::F16(Vec::new()),
            Kind::F32 => Values::F32(Vec::new()),
            Kind::F64 => Values::F64(Vec::new()),
        };
        self.columns.push(Column { name: head.name, width: head.width, values });
    }

    /// Values of the last column, little-endian; false when these are none.
    pub fn take(&mut self, bytes: &[u8]) -> bool {
        match self.columns.last_mut().map(|column| &mut column.values) {
            Some(Values::U8(values)) => extend(values, bytes, |[b]: [u8; 1]| b),
            Some(Values::I64(values)) => extend(values, bytes, i64::from_le_bytes),
            Some(Values::F16(values)) => extend(values, bytes, f16::from_le_bytes),
            Some(Values::F32(values)) => extend(values, bytes, f32::from_le_bytes),
            Some(Values::F64(values)) => extend(values, bytes, f64::from_le_bytes),
            None => false,
        }
    }

    /// The rows, if every column has `len` of them.
    pub fn finish(self, len: usize) -> Option<Rows> {
        let complete = |column: &Column| len.checked_mul(column.width.unwrap_or(1)) == Some(column.values.len());
        (!self.columns.is_empty() && self.columns.iter().all(complete)).then_some(Rows { len, columns: self.columns })
    }
}

fn extend<T, const N: usize>(values: &mut Vec<T>, bytes: &[u8], value: impl Fn([u8; N]) -> T) -> bool {
    let (whole, rest) = bytes.as_chunks::<N>();
    values.extend(whole.iter().map(|bytes| value(*bytes)));
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_what_was_sent_and_must_be_complete() {
        let head = |name: &str, width, element| ColumnHead { name: name.into(), width, element };
        let mut rows = IncomingRows::default();
        assert!(!rows.take(&[1]), "no column has begun");
        rows.begin(head("a", Some(2), Kind::F32));
        assert!(
            rows.take(&1.5_f32.to_le_bytes()) && rows.take(&[(-2.0_f32).to_le_bytes(), 0.0_f32.to_le_bytes()].concat())
        );
        assert!(!rows.take(&[0; 3]), "a part of a value");
        assert!(rows.take(&0.1_f32.to_le_bytes()));
        rows.begin(head("b", None, Kind::I64));
        assert!(rows.take(&[7_i64.to_le_bytes(), (-7_i64).to_le_bytes()].concat()));
        let rows = rows.finish(2).expect("complete");
        assert_eq!(rows.columns[0].values, Values::F32(vec![1.5, -2.0, 0.0, 0.1]));
        assert_eq!(rows.column("b").expect("there").values, Values::I64(vec![7, -7]));
        let mut short = IncomingRows::default();
        short.begin(head("a", None, Kind::U8));
        assert!(short.take(b"xy") && short.finish(3).is_none());
        assert!(IncomingRows::default().finish(0).is_none());
    }
}
