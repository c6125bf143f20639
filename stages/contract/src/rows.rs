//! What an item stage makes of one item.

use half::f16;

/// The value of one item: named columns with the same number of rows, e.g. `embedding` `[N, D]` and `time` `[N]`.
/// In a shard the rows of all its items lie one after the other.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    /// Number of rows; may be 0.
    pub len: usize,
    /// The columns, in a fixed order for a stage.
    pub columns: Vec<Column>,
}

/// One column of [`Rows`].
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Name of the HDF5 dataset.
    pub name: String,
    /// Values per row. `None`: one scalar per row, stored as `[N]`; `Some(w)`: stored as `[N, w]`.
    pub width: Option<usize>,
    /// `len * width.unwrap_or(1)` values, row after row.
    pub values: Values,
}

/// The declaration of a column: known before the first item is computed, so that a shard without a single success still
/// has its datasets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnSpec {
    /// Name of the HDF5 dataset.
    pub name: String,
    /// As in [`Column::width`].
    pub width: Option<usize>,
    /// Element type.
    pub element: Element,
    /// Unit of the values, e.g. `dB` or `s`; empty for dimensionless.
    pub unit: String,
}

/// Element types of columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// 8-bit unsigned.
    U8,
    /// 64-bit signed.
    I64,
    /// Half precision.
    F16,
    /// Single precision.
    F32,
    /// Double precision.
    F64,
}

/// The values of a column, by element type.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// 8-bit unsigned.
    U8(Vec<u8>),
    /// 64-bit signed.
    I64(Vec<i64>),
    /// Half precision.
    F16(Vec<f16>),
    /// Single precision.
    F32(Vec<f32>),
    /// Double precision.
    F64(Vec<f64>),
}

impl Values {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Values::U8(v) => v.len(),
            Values::I64(v) => v.len(),
            Values::F16(v) => v.len(),
            Values::F32(v) => v.len(),
            Values::F64(v) => v.len(),
        }
    }

    /// The element type.
    pub fn element(&self) -> Element {
        match self {
            Values::U8(_) => Element::U8,
            Values::I64(_) => Element::I64,
            Values::F16(_) => Element::F16,
            Values::F32(_) => Element::F32,
            Values::F64(_) => Element::F64,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Rows {
    /// The column with this name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.name == name)
    }
}
