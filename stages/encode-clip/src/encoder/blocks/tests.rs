#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::fixture;
use crate::{DeviceChoice, Encoder, Order, Params, Threads};

/// candle on the CPU stands for a device: the code is the same.
fn load(checkpoint: &Checkpoint, dtype: DType) -> Blocks {
    let normalize = Normalize::new(checkpoint, Order::Hf).unwrap();
    Blocks::load(checkpoint, &normalize, dtype, || Ok(Device::Cpu)).unwrap().0
}

fn checkpoint() -> Checkpoint {
    Checkpoint::locate(fixture::checkpoint("tiny-quick-gelu").to_str().unwrap()).unwrap()
}

fn bytes(checkpoint: &Checkpoint, n: usize) -> Vec<u8> {
    let len = 3 * checkpoint.config().image_size.pow(2);
    (0..(n * len) as u64).map(|i| ((fixture::uniform(i) + 0.5) * 255.0) as u8).collect()
}

#[test]
fn equals_the_engine() {
    let checkpoint = checkpoint();
    let engine = Encoder::load(&checkpoint, &Params::default().resolve().unwrap(), DeviceChoice::Cpu, 70).unwrap();
    let blocks = load(&checkpoint, DType::F32);
    assert_eq!(blocks.copies.len(), 2);
    for n in [0, 1, 31, 32, 33, 70] {
        let bytes = bytes(&checkpoint, n);
        let wanted = engine.encode(&bytes, n, Threads::One).unwrap();
        let found = blocks.encode(Pictures::Bytes(&bytes), n).unwrap();
        let largest = wanted.iter().fold(0_f32, |a, v| a.max(v.abs()));
        assert_eq!(found.len(), wanted.len(), "{n} pictures");
        assert!(found.iter().zip(&wanted).all(|(f, w)| (f - w).abs() <= 5e-6 * largest), "{n} pictures");
    }
}

/// Bytes are looked up on the device; the values are those that would have been sent.
#[test]
fn bytes_and_values_are_the_same_pictures() {
    let checkpoint = checkpoint();
    let normalize = Normalize::new(&checkpoint, Order::Hf).unwrap();
    let bytes = bytes(&checkpoint, 40);
    let value = |picture: &[u8], c: usize| -> Vec<f32> {
        picture.chunks_exact(3).map(|pixel| normalize.table()[c][usize::from(pixel[c])]).collect()
    };
    let values: Vec<f32> =
        bytes.chunks_exact(bytes.len() / 40).flat_map(|picture| (0..3).flat_map(move |c| value(picture, c))).collect();
    let blocks = load(&checkpoint, DType::F32);
    let found = blocks.encode(Pictures::Bytes(&bytes), 40).unwrap();
    assert!(found.iter().any(|v| v.abs() > 0.1));
    assert_eq!(found, blocks.encode(Pictures::Values(&values), 40).unwrap());
}

fn out_of_memory() -> Error {
    let message = "DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")";
    Error::from(candle_core::Error::Msg(message.into()))
}

#[test]
fn a_device_short_of_memory_gets_fewer_at_a_time() {
    let block = AtomicUsize::new(32);
    let mut passes = Vec::new();
    back_off(&block, 70, |from, count, block| {
        passes.push((from, count, block));
        if block > 8 && from > 0 { Err(out_of_memory()) } else { Ok(()) }
    })
    .unwrap();
    let wanted = [(0, 32, 32), (32, 32, 32), (32, 16, 16), (32, 8, 8), (40, 8, 8), (48, 8, 8), (56, 8, 8), (64, 6, 8)];
    assert_eq!(passes, wanted);
    // The next call begins with what fitted.
    passes.clear();
    back_off(&block, 3, |from, count, block| {
        passes.push((from, count, block));
        Ok(())
    })
    .unwrap();
    assert_eq!(passes, [(0, 3, 8)]);
}

#[test]
fn what_does_not_fit_at_all_is_an_error() {
    let block = AtomicUsize::new(32);
    let mut tries = 0;
    let error = back_off(&block, 5, |_, _, _| {
        tries += 1;
        Err(out_of_memory())
    })
    .unwrap_err();
    assert!(error.to_string().contains("out of memory"), "{error}");
    assert_eq!((tries, block.into_inner()), (6, 1));
    // Any other error is one at once.
    let error = Error::NoPreprocessor;
    let mut errors = Some(error);
    let mut tries = 0;
    let ended = back_off(&AtomicUsize::new(32), 5, |_, _, _| {
        tries += 1;
        Err(errors.take().unwrap())
    });
    assert!(matches!(ended, Err(Error::NoPreprocessor)) && tries == 1);
}
