//! candle's tower on a device that computes by itself: pictures travel as bytes, and while one block of them computes the next is on its way.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::{DType, Device, Tensor};
use clip::image::patchify;
use clip::{Checkpoint, ImageTower, VisionConfig};

use crate::Error;
use crate::preprocess::Normalize;

/// Pictures per pass through the network. Fixed, since the device's library chooses kernels by shape: a picture must not get other bytes because
/// the last batch was short or another batch size was asked for. Only a device that is short of memory gets fewer at a time.
const BLOCK: usize = 32;

/// Copies of the network, each with a queue of work of its own on the device.
const COPIES: usize = 2;

/// Pictures as they are sent.
#[derive(Clone, Copy)]
pub(super) enum Pictures<'a> {
    /// `[n][S][S][3]`
    Bytes(&'a [u8]),
    /// `[n][3][S][S]`, normalised.
    Values(&'a [f32]),
}

/// The network on a device.
pub(super) struct Blocks {
    copies: Vec<Mutex<Replica>>,
    side: usize,
    patch: usize,
    dimension: usize,
    block: AtomicUsize,
}

/// The network once, with its own queue of work.
struct Replica {
    tower: ImageTower,
    device: Device,
    dtype: DType,
    /// Values of the bytes of each channel, `[3 · 256]`.
    table: Tensor,
    /// Where each channel's values begin in the table, `[3]`.
    channels: Tensor,
}

impl Blocks {
    /// Loads the image tower once for each queue that `open` opens on the device; one must fit, more are a matter of its memory. Also returns the
    /// checkpoint's unexpected tensors.
    pub(super) fn load(
        checkpoint: &Checkpoint,
        normalize: &Normalize,
        dtype: DType,
        mut open: impl FnMut() -> Result<Device, Error>,
    ) -> Result<(Blocks, Vec<String>), Error> {
        let mut copies = Vec::new();
        let mut unexpected = Vec::new();
        while copies.len() < COPIES {
            match Replica::load(checkpoint, normalize, dtype, open()?) {
                Ok((copy, left)) => {
                    copies.push(Mutex::new(copy));
                    unexpected = left;
                }
                Err(error) if !copies.is_empty() && is_out_of_memory(&error) => break,
                Err(error) => return Err(error),
            }
        }
        let VisionConfig { image_size: side, patch_size: patch, projection_dim: dimension, .. } = *checkpoint.config();
        Ok((Blocks { copies, side, patch, dimension, block: AtomicUsize::new(BLOCK) }, unexpected))
    }

    /// Pictures per pass, where the device's memory did not do for [`BLOCK`].
    pub(super) fn reduced_to(&self) -> Option<usize> {
        Some(self.block.load(Ordering::Relaxed)).filter(|n| *n < BLOCK)
    }

    /// The embeddings `[n][D]`.
    pub(super) fn encode(&self, pictures: Pictures, n: usize) -> Result<Vec<f32>, Error> {
        let mut embeddings = vec![0.0; n * self.dimension];
        let size = self.block.load(Ordering::Relaxed);
        // Each copy's own thread waits for it: what one sends travels while another computes.
        let parts = embeddings.chunks_mut(size * self.dimension).enumerate().collect::<Vec<_>>();
        let parts = Mutex::new(parts.into_iter());
        let work = |copy: &Mutex<Replica>| -> Result<(), Error> {
            loop {
                let Some((i, out)) = parts.lock().expect("no holder panics").next() else { return Ok(()) };
                let first = i * size;
                let copy = copy.lock().expect("a panic ends the run");
                back_off(&self.block, out.len() / self.dimension, |from, count, block| {
                    let found = self.block(&copy, pictures, first + from, count, block)?;
                    out[from * self.dimension..][..found.len()].copy_from_slice(&found);
                    Ok(())
                })?;
            }
        };
        let busy = self.copies.len().min(n.div_ceil(size));
        match self.copies.split_first() {
            Some((own, others)) if busy > 1 => std::thread::scope(|scope| {
                let others: Vec<_> = others.iter().map(|copy| scope.spawn(|| work(copy))).collect();
                let own = work(own);
                others.into_iter().map(|other| other.join().expect("a panic ends the run")).fold(own, Result::and)
            }),
            // One block: by whichever copy is free.
            _ => work(self.copies.iter().find(|copy| copy.try_lock().is_ok()).unwrap_or(&self.copies[0])),
        }?;
        Ok(embeddings)
    }

    /// The embeddings of `count` pictures from `first` on, in a pass of `block`, the rest of it black.
    fn block(
        &self,
        copy: &Replica,
        pictures: Pictures,
        first: usize,
        count: usize,
        block: usize,
    ) -> Result<Vec<f32>, Error> {
        let (side, len) = (self.side, 3 * self.side * self.side);
        let pictures = match pictures {
            Pictures::Bytes(bytes) => {
                let mut sent = vec![0; block * len];
                sent[..count * len].copy_from_slice(&bytes[first * len..][..count * len]);
                copy.normalised(&Tensor::from_vec(sent, (block, side, side, 3), &copy.device)?)?
            }
            Pictures::Values(values) => {
                let mut sent = vec![0.0; block * len];
                sent[..count * len].copy_from_slice(&values[first * len..][..count * len]);
                Tensor::from_vec(sent, (block, 3, side, side), &copy.device)?.to_dtype(copy.dtype)?
            }
        };
        let embeddings = copy.tower.forward(&patchify(&pictures, self.patch)?)?.to_dtype(DType::F32)?;
        let mut embeddings = embeddings.flatten_all()?.to_vec1::<f32>()?;
        embeddings.truncate(count * self.dimension);
        Ok(embeddings)
    }
}

impl Replica {
    fn load(
        checkpoint: &Checkpoint,
        normalize: &Normalize,
        dtype: DType,
        device: Device,
    ) -> Result<(Replica, Vec<String>), Error> {
        let (tower, unexpected) = ImageTower::load(checkpoint, &device, dtype)?;
        let table = Tensor::from_slice(normalize.table().as_flattened(), 3 * 256, &device)?.to_dtype(dtype)?;
        let channels = Tensor::from_slice(&[0_u32, 256, 512], 3, &device)?;
        Ok((Replica { tower, device, dtype, table, channels }, unexpected))
    }

    /// `[B, S, S, 3]` bytes as `[B, 3, S, S]` values.
    fn normalised(&self, bytes: &Tensor) -> candle_core::Result<Tensor> {
        let places = bytes.to_dtype(DType::U32)?.broadcast_add(&self.channels)?;
        let values = self.table.index_select(&places.flatten_all()?, 0)?;
        values.reshape(bytes.dims4()?)?.permute((0, 3, 1, 2))
    }
}

/// Runs `pass(from, count, block)` over `n` pictures in blocks of `block`, half as many from then on whenever the device is out of memory.
fn back_off(
    block: &AtomicUsize,
    n: usize,
    mut pass: impl FnMut(usize, usize, usize) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut from = 0;
    while from < n {
        let size = block.load(Ordering::Relaxed);
        let count = size.min(n - from);
        match pass(from, count, size) {
            Ok(()) => from += count,
            Err(error) if size > 1 && is_out_of_memory(&error) => {
                // Another copy may have been first.
                block.fetch_min(size / 2, Ordering::Relaxed);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether the device had no memory left: CUDA's driver or cuBLAS says so.
fn is_out_of_memory(error: &Error) -> bool {
    let text = error.to_string();
    ["CUDA_ERROR_OUT_OF_MEMORY", "CUBLAS_STATUS_ALLOC_FAILED"].iter().any(|sign| text.contains(sign))
}

#[cfg(test)]
mod tests;
