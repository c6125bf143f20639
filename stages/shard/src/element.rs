//! Typed values between [`Values`] and HDF5.

use std::ops::Range;

use contract::{Element, Values};
use half::f16;
use hdf5_metno::types::{FloatSize, IntSize, TypeDescriptor};
use hdf5_metno::{self as hdf5, Dataset, H5Type, Hyperslab};
use ndarray::{ArrayView2, IxDyn};

/// Runs one expression for whichever element type the values have.
macro_rules! for_each_element {
    ($values:expr, $v:ident => $body:expr) => {
        match $values {
            Values::U8($v) => $body,
            Values::I64($v) => $body,
            Values::F16($v) => $body,
            Values::F32($v) => $body,
            Values::F64($v) => $body,
        }
    };
}

/// Bytes of one value.
pub(crate) fn size(element: Element) -> usize {
    match element {
        Element::U8 => 1,
        Element::F16 => 2,
        Element::F32 => 4,
        Element::I64 | Element::F64 => 8,
    }
}

/// Name of the type, as in Rust.
pub(crate) fn name(element: Element) -> &'static str {
    match element {
        Element::U8 => "u8",
        Element::I64 => "i64",
        Element::F16 => "f16",
        Element::F32 => "f32",
        Element::F64 => "f64",
    }
}

/// The type in the file.
pub(crate) fn descriptor(element: Element) -> TypeDescriptor {
    match element {
        Element::U8 => TypeDescriptor::Unsigned(IntSize::U1),
        Element::I64 => TypeDescriptor::Integer(IntSize::U8),
        Element::F16 => TypeDescriptor::Float(FloatSize::U2),
        Element::F32 => TypeDescriptor::Float(FloatSize::U4),
        Element::F64 => TypeDescriptor::Float(FloatSize::U8),
    }
}

/// The element type of a type in the file, if it is one of ours.
pub(crate) fn from_descriptor(found: &TypeDescriptor) -> Option<Element> {
    [Element::U8, Element::I64, Element::F16, Element::F32, Element::F64]
        .into_iter()
        .find(|&element| descriptor(element) == *found)
}

/// No values of this type.
pub(crate) fn empty(element: Element) -> Values {
    match element {
        Element::U8 => Values::U8(Vec::new()),
        Element::I64 => Values::I64(Vec::new()),
        Element::F16 => Values::F16(Vec::new()),
        Element::F32 => Values::F32(Vec::new()),
        Element::F64 => Values::F64(Vec::new()),
    }
}

/// Removes all values and keeps the allocation.
pub(crate) fn clear(values: &mut Values) {
    for_each_element!(values, v => v.clear());
}

/// Appends `from[range]`. The types agree: both come from columns that were compared with one specification.
pub(crate) fn append(to: &mut Values, from: &Values, range: Range<usize>) {
    match (to, from) {
        (Values::U8(to), Values::U8(from)) => to.extend_from_slice(&from[range]),
        (Values::I64(to), Values::I64(from)) => to.extend_from_slice(&from[range]),
        (Values::F16(to), Values::F16(from)) => to.extend_from_slice(&from[range]),
        (Values::F32(to), Values::F32(from)) => to.extend_from_slice(&from[range]),
        (Values::F64(to), Values::F64(from)) => to.extend_from_slice(&from[range]),
        _ => unreachable!("element types were compared before"),
    }
}

/// Hands out the values as little-endian bytes, in pieces.
pub(crate) fn le_bytes(values: &Values, sink: impl FnMut(&[u8])) {
    match values {
        Values::U8(v) => pack(v, u8::to_le_bytes, sink),
        Values::I64(v) => pack(v, i64::to_le_bytes, sink),
        Values::F16(v) => pack(v, f16::to_le_bytes, sink),
        Values::F32(v) => pack(v, f32::to_le_bytes, sink),
        Values::F64(v) => pack(v, f64::to_le_bytes, sink),
    }
}

fn pack<T: Copy, const N: usize>(values: &[T], to_le_bytes: impl Fn(T) -> [u8; N], mut sink: impl FnMut(&[u8])) {
    let mut buffer = [0_u8; 16 << 10]; // what BLAKE3 hashes in one go with its widest instructions
    for piece in values.chunks(buffer.len() / N) {
        for (to, &value) in buffer.chunks_exact_mut(N).zip(piece) {
            to.copy_from_slice(&to_le_bytes(value));
        }
        sink(&buffer[..piece.len() * N]);
    }
}

/// Writes `values[range]` to the rows from `first` on.
pub(crate) fn write(
    dataset: &Dataset,
    first: usize,
    width: Option<usize>,
    values: &Values,
    range: Range<usize>,
) -> hdf5::Result<()> {
    if range.is_empty() {
        return Ok(()); // libhdf5 has no empty hyperslab
    }
    for_each_element!(values, v => write_slice(dataset, first, width, &v[range]))
}

fn write_slice<T: H5Type>(dataset: &Dataset, first: usize, width: Option<usize>, values: &[T]) -> hdf5::Result<()> {
    match width {
        None => dataset.write_slice(values, first..first + values.len()),
        Some(width) => {
            let rows = values.len() / width;
            let view = ArrayView2::from_shape((rows, width), values).map_err(|e| e.to_string())?;
            dataset.write_slice(view, slab(first..first + rows, true))
        }
    }
}

/// Reads rows. The caller has compared them with the size of the file.
pub(crate) fn read(dataset: &Dataset, element: Element, matrix: bool, rows: Range<usize>) -> hdf5::Result<Values> {
    Ok(match element {
        Element::U8 => Values::U8(read_slice(dataset, matrix, rows)?),
        Element::I64 => Values::I64(read_slice(dataset, matrix, rows)?),
        Element::F16 => Values::F16(read_slice::<f16>(dataset, matrix, rows)?),
        Element::F32 => Values::F32(read_slice(dataset, matrix, rows)?),
        Element::F64 => Values::F64(read_slice(dataset, matrix, rows)?),
    })
}

/// Reads rows of a known type.
pub(crate) fn read_slice<T: H5Type>(dataset: &Dataset, matrix: bool, rows: Range<usize>) -> hdf5::Result<Vec<T>> {
    if rows.is_empty() {
        return Ok(Vec::new()); // libhdf5 has no empty hyperslab
    }
    let (values, _) = dataset.read_slice::<T, _, IxDyn>(slab(rows, matrix))?.into_raw_vec_and_offset();
    Ok(values)
}

fn slab(rows: Range<usize>, matrix: bool) -> Hyperslab {
    let mut axes = vec![rows.into()];
    if matrix {
        axes.push((..).into());
    }
    Hyperslab::from(axes)
}
