//! The HDF5 layout of a shard: writer and reader.
