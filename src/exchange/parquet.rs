//! Parquet: a row per row of the shards, a row group per shard.
//!
//! ```text
//! required binary id (STRING);   required int64 row;   required double time;      the scalar columns
//! required group embedding (LIST) { repeated group list { required float element; } }       the matrix columns
//! ```
//!
//! `row` counts the rows of a clip from 0. Not compressed: floats hardly get smaller, and every reader can read it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use contract::{ColumnSpec, Rows};
use parquet::basic::{ConvertedType, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, FloatType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{PrimitiveTypeBuilder, Type, TypePtr};

use crate::error::{Error, IoContext, Result};
use crate::exchange::export::{Sink, to_f32};

/// Writes a Parquet file, shard by shard.
pub struct ParquetWriter {
    path: PathBuf,
    file: SerializedFileWriter<File>,
    columns: Vec<ColumnSpec>,
    /// The clips of the shard at hand.
    waiting: Vec<(String, Rows)>,
}

impl ParquetWriter {
    /// Creates the file.
    pub fn create(path: &Path, columns: &[ColumnSpec]) -> Result<Self> {
        let file = File::create(path).at("create", path)?;
        let schema = schema(columns).map_err(|e| refuse(path, &e))?;
        let properties = WriterProperties::builder()
            .set_dictionary_enabled(false)
            .set_column_dictionary_enabled("id".into(), true)
            .set_statistics_enabled(EnabledStatistics::None)
            .set_created_by(format!("pipeline {}", env!("CARGO_PKG_VERSION")))
            .build();
        let file = SerializedFileWriter::new(file, schema, Arc::new(properties)).map_err(|e| refuse(path, &e))?;
        Ok(ParquetWriter { path: path.to_path_buf(), file, columns: columns.to_vec(), waiting: Vec::new() })
    }

    /// Writes what is left, and closes the file.
    pub fn finish(mut self) -> Result<()> {
        self.end_of_shard()?;
        self.file.close().map_err(|e| refuse(&self.path, &e))?;
        Ok(())
    }

    fn write_group(&mut self) -> Result<(), ParquetError> {
        let clips = std::mem::take(&mut self.waiting);
        if clips.iter().all(|(_, rows)| rows.len == 0) {
            return Ok(());
        }
        let mut group = self.file.next_row_group()?;
        let ids: Vec<ByteArray> =
            clips.iter().flat_map(|(id, rows)| std::iter::repeat_n(ByteArray::from(id.as_str()), rows.len)).collect();
        let numbers: Vec<i64> = clips.iter().flat_map(|(_, rows)| 0..rows.len as i64).collect();
        let mut column = group.next_column()?.expect("the schema has ids");
        column.typed::<ByteArrayType>().write_batch(&ids, None, None)?;
        column.close()?;
        let mut column = group.next_column()?.expect("the schema has row numbers");
        column.typed::<Int64Type>().write_batch(&numbers, None, None)?;
        column.close()?;
        for (at, spec) in self.columns.iter().enumerate() {
            let mut column = group.next_column()?.expect("the schema has every column");
            for (_, rows) in &clips {
                let values = to_f32(&rows.columns[at].values);
                match (spec.width, &rows.columns[at].values) {
                    (None, contract::Values::F64(doubles)) => {
                        column.typed::<DoubleType>().write_batch(doubles, None, None)?;
                    }
                    (None, _) => {
                        let doubles: Vec<f64> = values.into_iter().map(f64::from).collect();
                        column.typed::<DoubleType>().write_batch(&doubles, None, None)?;
                    }
                    (Some(width), _) => {
                        // Every list has `width` elements, none is null: level 1 throughout, and 0 where a list begins.
                        let defined = vec![1; values.len()];
                        let repeated: Vec<i16> = (0..values.len()).map(|i| i16::from(i % width != 0)).collect();
                        column.typed::<FloatType>().write_batch(&values, Some(&defined), Some(&repeated))?;
                    }
                }
            }
            column.close()?;
        }
        group.close()?;
        Ok(())
    }
}

impl Sink for ParquetWriter {
    fn clip(&mut self, id: &str, rows: &Rows) -> Result<()> {
        self.waiting.push((id.to_string(), rows.clone()));
        Ok(())
    }

    fn end_of_shard(&mut self) -> Result<()> {
        self.write_group().map_err(|e| refuse(&self.path, &e))
    }
}

fn schema(columns: &[ColumnSpec]) -> Result<TypePtr, ParquetError> {
    fn leaf(name: &str, physical: Physical) -> PrimitiveTypeBuilder<'_> {
        Type::primitive_type_builder(name, physical).with_repetition(Repetition::REQUIRED)
    }
    let text = leaf("id", Physical::BYTE_ARRAY).with_logical_type(Some(LogicalType::String));
    let mut fields = vec![Arc::new(text.build()?), Arc::new(leaf("row", Physical::INT64).build()?)];
    for column in columns {
        let field = if column.width.is_none() {
            leaf(&column.name, Physical::DOUBLE).build()?
        } else {
            let element = Arc::new(leaf("element", Physical::FLOAT).build()?);
            let list = Type::group_type_builder("list").with_repetition(Repetition::REPEATED);
            let list = Arc::new(list.with_fields(vec![element]).build()?);
            Type::group_type_builder(&column.name)
                .with_repetition(Repetition::REQUIRED)
                .with_logical_type(Some(LogicalType::List))
                .with_converted_type(ConvertedType::LIST)
                .with_fields(vec![list])
                .build()?
        };
        fields.push(Arc::new(field));
    }
    Ok(Arc::new(Type::group_type_builder("features").with_fields(fields).build()?))
}

fn refuse(path: &Path, error: &ParquetError) -> Error {
    Error::Io { doing: "write", path: path.to_path_buf(), source: std::io::Error::other(error.to_string()) }
}
