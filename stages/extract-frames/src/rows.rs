//! The rows of an item whose pictures are kept: what its picture files are.

use contract::{Column, ColumnSpec, Element, Rows, Values};

use crate::Pick;

/// The columns: one row a picture file, in order of their numbers.
///
/// | column | shape | unit | what |
/// |---|---|---|---|
/// | `time` | `[N]` f64 | s | the second that the picture stands for |
/// | `pts` | `[N]` f64 | s | when the frame that is shown begins |
/// | `width`, `height` | `[N]` i64 | pixels | |
/// | `digest` | `[N, 32]` u8 | | BLAKE3 of the picture file |
pub fn columns() -> Vec<ColumnSpec> {
    let column =
        |name: &str, width, element, unit: &str| ColumnSpec { name: name.into(), width, element, unit: unit.into() };
    vec![
        column("time", None, Element::F64, "s"),
        column("pts", None, Element::F64, "s"),
        column("width", None, Element::I64, "pixels"),
        column("height", None, Element::I64, "pixels"),
        column("digest", Some(32), Element::U8, ""),
    ]
}

/// Collects the rows of one item.
#[derive(Debug, Default)]
pub struct PictureRows {
    time: Vec<f64>,
    pts: Vec<f64>,
    width: Vec<i64>,
    height: Vec<i64>,
    digest: Vec<u8>,
}

impl PictureRows {
    /// Adds a picture of `width` times `height` pixels and the BLAKE3 of its file.
    pub fn push(&mut self, pick: &Pick, width: usize, height: usize, digest: &[u8; 32]) {
        self.time.push(pick.time);
        self.pts.push(pick.pts_seconds);
        self.width.push(width as i64);
        self.height.push(height as i64);
        self.digest.extend_from_slice(digest);
    }

    /// The value of the item; its columns are those of [`columns`].
    pub fn into_rows(self) -> Rows {
        let values = [
            Values::F64(self.time),
            Values::F64(self.pts),
            Values::I64(self.width),
            Values::I64(self.height),
            Values::U8(self.digest),
        ];
        let len = values[0].len();
        let columns = columns()
            .into_iter()
            .zip(values)
            .map(|(spec, values)| Column { name: spec.name, width: spec.width, values })
            .collect();
        Rows { len, columns }
    }
}
