//! Features in other hands' formats: shards out, shards in.
//!
//! | format | out | in |
//! |---|---|---|
//! | `NAME.h5` | one dataset per clip, named after it: `log-mel` `[n_mels, T]` as the reference example, `encode-clip` `[N, D]` | the same; `encode-clip` also `[D]` |
//! | a folder of `.npy` | `ids.txt`, `offsets.npy` `[M + 1]`, one matrix per column | one matrix, `ids.txt`, and, where clips have several rows, `offsets.npy` |
//! | `NAME.parquet` | a row per row: `id`, `row`, the scalar columns, a list of floats per matrix column | – |
//!
//! What is imported is never computed: the stage's folder says so ([`imported`]), and every plan takes it at its word.

pub mod export;
pub mod import;
pub mod imported;
pub mod npy;
pub mod parquet;
