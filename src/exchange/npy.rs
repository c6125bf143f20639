//! NumPy's `.npy` files: a header and values in C order. Source: `numpy/lib/format.py`, versions 1.0 to 3.0.
//!
//! Own code because it is small: what is written is little-endian f16, f32, f64 or i64 in C order, and what is read is that.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use contract::{Element, Values};

const MAGIC: &[u8; 8] = b"\x93NUMPY\x01\x00";
/// Bytes of a header that this module writes: room for any shape, so that it can be completed when the rows are counted.
const HEADER: usize = 128;
/// Longest header that is read.
const MAX_HEADER: usize = 1 << 16;

/// NumPy's name of an element type.
fn descr(element: Element) -> &'static str {
    match element {
        Element::U8 => "|u1",
        Element::I64 => "<i8",
        Element::F16 => "<f2",
        Element::F32 => "<f4",
        Element::F64 => "<f8",
    }
}

/// Writes a file of rows that come one after the other.
#[derive(Debug)]
pub struct NpyWriter {
    file: BufWriter<File>,
    element: Element,
    width: Option<usize>,
    values: usize,
}

impl NpyWriter {
    /// A file of `[rows]` (`width` `None`) or `[rows, width]`; how many rows is known at the end.
    pub fn create(path: &Path, element: Element, width: Option<usize>) -> std::io::Result<Self> {
        let mut file = BufWriter::new(File::create(path)?);
        file.write_all(&[0; HEADER])?;
        Ok(NpyWriter { file, element, width, values: 0 })
    }

    /// Adds rows. Their type is the one that the file was created with.
    pub fn push(&mut self, values: &Values) -> std::io::Result<()> {
        assert_eq!(values.element(), self.element, "one type a file");
        self.values += values.len();
        match values {
            Values::U8(v) => self.file.write_all(v),
            Values::I64(v) => v.iter().try_for_each(|x| self.file.write_all(&x.to_le_bytes())),
            Values::F16(v) => v.iter().try_for_each(|x| self.file.write_all(&x.to_le_bytes())),
            Values::F32(v) => v.iter().try_for_each(|x| self.file.write_all(&x.to_le_bytes())),
            Values::F64(v) => v.iter().try_for_each(|x| self.file.write_all(&x.to_le_bytes())),
        }
    }

    /// Completes the header and hands everything to the system.
    pub fn finish(self) -> std::io::Result<()> {
        let rows = self.values / self.width.unwrap_or(1).max(1);
        let shape = self.width.map_or_else(|| format!("({rows},)"), |width| format!("({rows}, {width})"));
        let text = format!("{{'descr': '{}', 'fortran_order': False, 'shape': {shape}, }}", descr(self.element));
        let padding = " ".repeat(HEADER - MAGIC.len() - 2 - 1 - text.len());
        let mut file = self.file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(MAGIC)?;
        file.write_all(&((HEADER - MAGIC.len() - 2) as u16).to_le_bytes())?;
        file.write_all(format!("{text}{padding}\n").as_bytes())
    }
}

/// An open file of floats or integers: its shape, and rows on demand.
#[derive(Debug)]
pub struct Npy {
    file: BufReader<File>,
    data: u64,
    element: Element,
    /// One or two dimensions.
    pub shape: Vec<usize>,
}

impl Npy {
    /// Opens a file and compares its size with what its header says.
    pub fn open(path: &Path) -> Result<Npy, NpyError> {
        let mut file = BufReader::new(File::open(path)?);
        let mut start = [0; 8];
        file.read_exact(&mut start).map_err(|_| NpyError::NotNpy)?;
        if start[..6] != MAGIC[..6] {
            return Err(NpyError::NotNpy);
        }
        let length = if start[6] == 1 {
            let mut bytes = [0; 2];
            file.read_exact(&mut bytes)?;
            u16::from_le_bytes(bytes) as usize
        } else {
            let mut bytes = [0; 4];
            file.read_exact(&mut bytes)?;
            u32::from_le_bytes(bytes) as usize
        };
        if length > MAX_HEADER {
            return Err(NpyError::NotNpy);
        }
        let mut header = vec![0; length];
        file.read_exact(&mut header).map_err(|_| NpyError::NotNpy)?;
        let header = String::from_utf8(header).map_err(|_| NpyError::NotNpy)?;
        let (element, shape) = parse(&header)?;
        let data = file.stream_position()?;
        let found = file.get_ref().metadata()?.len();
        // A row must be countable even where there is none: (0, 2^63) has no values and is nobody's matrix.
        let bytes = |shape: &[usize]| shape.iter().try_fold(size(element), |n, &side| n.checked_mul(side));
        let row = shape.iter().skip(1).try_fold(size(element), |n, &side| n.checked_mul(side.max(1)));
        let expected = row.and_then(|_| bytes(&shape)).and_then(|n| (n as u64).checked_add(data));
        if expected != Some(found) {
            return Err(NpyError::Size { shape, found: found.saturating_sub(data) });
        }
        Ok(Npy { file, data, element, shape })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.shape[0]
    }

    /// Values per row.
    pub fn width(&self) -> usize {
        self.shape.get(1).copied().unwrap_or(1)
    }

    /// These rows, converted to f32.
    pub fn read(&mut self, rows: std::ops::Range<usize>) -> Result<Vec<f32>, NpyError> {
        let bytes = self.bytes(rows)?;
        Ok(match self.element {
            Element::F16 => bytes.as_chunks().0.iter().map(|b| half::f16::from_le_bytes(*b).to_f32()).collect(),
            Element::F32 => bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            Element::F64 => bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect(),
            Element::I64 | Element::U8 => return Err(NpyError::Type(descr(self.element).to_string())),
        })
    }

    /// All values of a file of integers.
    pub fn integers(&mut self) -> Result<Vec<i64>, NpyError> {
        let bytes = self.bytes(0..self.rows())?;
        match self.element {
            Element::I64 => Ok(bytes.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b)).collect()),
            other => Err(NpyError::Type(descr(other).to_string())),
        }
    }

    fn bytes(&mut self, rows: std::ops::Range<usize>) -> Result<Vec<u8>, NpyError> {
        let row = self.width() * size(self.element);
        self.file.seek(SeekFrom::Start(self.data + (rows.start * row) as u64))?;
        let mut bytes = vec![0; rows.len() * row];
        self.file.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum NpyError {
    /// The system refused.
    #[error("cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// No `.npy` file.
    #[error("is no .npy file")]
    NotNpy,
    /// The values are of another type.
    #[error("has values of type {0}; wanted are little-endian floats (<f2, <f4, <f8), and <i8 for offsets")]
    Type(String),
    /// In Fortran order, or with too many dimensions.
    #[error("has {0}; wanted are one or two dimensions in C order: np.save(path, np.ascontiguousarray(x))")]
    Order(String),
    /// Longer or shorter than its header says.
    #[error("has {found} bytes of values, which is not a shape of {shape:?}")]
    Size {
        /// What the header says.
        shape: Vec<usize>,
        /// Bytes behind it.
        found: u64,
    },
}

fn size(element: Element) -> usize {
    match element {
        Element::U8 => 1,
        Element::F16 => 2,
        Element::F32 => 4,
        Element::I64 | Element::F64 => 8,
    }
}

/// `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`
fn parse(header: &str) -> Result<(Element, Vec<usize>), NpyError> {
    let after = |key: &str| header.split_once(&format!("'{key}':")).map(|(_, rest)| rest.trim_start());
    let (Some(kind), Some(fortran), Some(shape)) = (after("descr"), after("fortran_order"), after("shape")) else {
        return Err(NpyError::NotNpy);
    };
    let kind = kind.strip_prefix('\'').and_then(|rest| rest.split_once('\'')).map_or(kind, |(kind, _)| kind);
    let known = [Element::U8, Element::I64, Element::F16, Element::F32, Element::F64];
    let element = known.into_iter().find(|element| descr(*element) == kind);
    let element = element.ok_or_else(|| NpyError::Type(kind.chars().take(40).collect()))?;
    let sides = shape.strip_prefix('(').and_then(|rest| rest.split_once(')')).ok_or(NpyError::NotNpy)?.0;
    let sides: Result<Vec<usize>, _> =
        sides.split(',').map(str::trim).filter(|side| !side.is_empty()).map(str::parse).collect();
    let shape = sides.map_err(|_| NpyError::NotNpy)?;
    if shape.is_empty() || shape.len() > 2 {
        return Err(NpyError::Order(format!("{} dimensions", shape.len())));
    }
    if !fortran.starts_with("False") && shape.len() > 1 {
        return Err(NpyError::Order("Fortran order".to_string()));
    }
    Ok((element, shape))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        let folder = tempfile::tempdir().expect("tempdir");
        let path = folder.path().join("a.npy");
        let mut writer = NpyWriter::create(&path, Element::F32, Some(3)).expect("create");
        writer.push(&Values::F32(vec![1.0, -2.5, 3.0])).expect("push");
        writer.push(&Values::F32(vec![4.0, 5.0, 6.0, 7.0, 8.0, 9.0])).expect("push");
        writer.finish().expect("finish");
        let mut npy = Npy::open(&path).expect("open");
        assert_eq!((npy.shape.clone(), npy.width()), (vec![3, 3], 3));
        assert_eq!(npy.read(1..3).expect("read"), [4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
        assert!(matches!(npy.integers(), Err(NpyError::Type(_))));
        let bytes = std::fs::read(&path).expect("read");
        assert_eq!(bytes.len(), 128 + 36);
        std::fs::write(&path, &bytes[..130]).expect("write");
        assert!(matches!(Npy::open(&path), Err(NpyError::Size { .. })));
    }

    #[test]
    fn a_shape_that_holds_nothing_is_no_reason_to_count_beyond_memory() {
        let folder = tempfile::tempdir().expect("tempdir");
        let path = folder.path().join("a.npy");
        let open = |shape: &str| {
            let text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n");
            let bytes = [&MAGIC[..8], &(text.len() as u16).to_le_bytes(), text.as_bytes()].concat();
            std::fs::write(&path, bytes).expect("write");
            Npy::open(&path)
        };
        assert!(matches!(open("(0, 9223372036854775807)"), Err(NpyError::Size { .. })));
        assert!(matches!(open("(9223372036854775807, 9223372036854775807)"), Err(NpyError::Size { .. })));
        assert!(open("(0, 4)").expect("empty").read(0..0).expect("nothing").is_empty());
    }

    #[test]
    fn headers_as_numpy_writes_them() {
        let read = |text: &str| parse(text).map_err(|e| e.to_string());
        assert_eq!(read("{'descr': '<f8', 'fortran_order': False, 'shape': (7,), }"), Ok((Element::F64, vec![7])));
        assert_eq!(
            read("{'descr': '<f2', 'fortran_order': False, 'shape': (7, 2), }\n"),
            Ok((Element::F16, vec![7, 2]))
        );
        assert!(
            read("{'descr': '<f4', 'fortran_order': True, 'shape': (7, 2), }").expect_err("order").contains("Fortran")
        );
        assert!(read("{'descr': '>f4', 'fortran_order': False, 'shape': (7, 2), }").expect_err("type").contains(">f4"));
        assert!(
            read("{'descr': '<f4', 'fortran_order': False, 'shape': (7, 2, 2), }")
                .expect_err("3")
                .contains("3 dimensions")
        );
        assert!(read("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (7,), }").is_err());
    }
}
