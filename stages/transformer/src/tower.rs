//! The network: which product follows which.

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use crate::kernel::aligned::Aligned;
use crate::kernel::{self, Finish, Machine, Matrix, MatrixMut};
use crate::packed::Packed;
use crate::{Activation, Elements, Instructions, Threads};

/// The shape of a tower.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// Width W of the tokens.
    pub width: usize,
    /// Attention heads; divides `width`.
    pub heads: usize,
    /// Width of the perceptrons' middle layer.
    pub middle: usize,
    /// Side S of the square picture in pixels.
    pub image: usize,
    /// Side P of a square patch in pixels; a rest of the picture that makes no whole patch is not looked at.
    pub patch: usize,
    /// Values D of the embedding.
    pub projection: usize,
    /// Activation of the perceptrons.
    pub activation: Activation,
    /// Added to the variance in the layer norms.
    pub eps: f32,
}

impl Shape {
    fn grid(&self) -> usize {
        self.image / self.patch
    }

    fn patches(&self) -> usize {
        self.grid() * self.grid()
    }

    /// Tokens of a picture: the class token and one for each patch.
    fn tokens(&self) -> usize {
        self.patches() + 1
    }

    fn patch_len(&self) -> usize {
        3 * self.patch * self.patch
    }
}

/// A linear layer: `weight` is `[out][in]`.
pub struct Linear {
    /// `[out][in]`
    pub weight: Vec<f32>,
    /// `[out]`, or empty: none.
    pub bias: Vec<f32>,
}

/// A layer norm.
pub struct Norm {
    /// `[W]`
    pub weight: Vec<f32>,
    /// `[W]`
    pub bias: Vec<f32>,
}

/// A transformer block.
pub struct Block {
    /// Before the attention.
    pub norm1: Norm,
    /// `[W][W]`
    pub queries: Linear,
    /// `[W][W]`
    pub keys: Linear,
    /// `[W][W]`
    pub values: Linear,
    /// `[W][W]`
    pub output: Linear,
    /// Before the perceptron.
    pub norm2: Norm,
    /// `[middle][W]`
    pub fc1: Linear,
    /// `[W][middle]`
    pub fc2: Linear,
}

/// The tensors of a tower, in PyTorch's layouts.
pub struct Weights {
    /// `[W][3][P][P]`
    pub patch_embedding: Vec<f32>,
    /// `[W]`
    pub class_embedding: Vec<f32>,
    /// `[1 + G G][W]`, the class token first.
    pub positions: Vec<f32>,
    /// Before the first block.
    pub pre_norm: Norm,
    /// The blocks, at least one.
    pub blocks: Vec<Block>,
    /// Of the class token, after the last block.
    pub post_norm: Norm,
    /// `[D][W]`
    pub projection: Vec<f32>,
}

/// Pictures of one size.
#[derive(Clone, Copy)]
pub enum Pixels<'a> {
    /// `[n][S][S][3]` bytes, and the value that stands for each byte of each channel.
    Bytes(&'a [u8], &'a [[f32; 256]; 3]),
    /// `[n][3][S][S]` values.
    Values(&'a [f32]),
}

impl<'a> Pixels<'a> {
    /// `len` values from `first` on.
    fn part(self, first: usize, len: usize) -> Pixels<'a> {
        match self {
            Pixels::Bytes(bytes, table) => Pixels::Bytes(&bytes[first..][..len], table),
            Pixels::Values(values) => Pixels::Values(&values[first..][..len]),
        }
    }

    fn len(&self) -> usize {
        match self {
            Pixels::Bytes(bytes, _) => bytes.len(),
            Pixels::Values(values) => values.len(),
        }
    }
}

/// A block as the kernels take it.
struct Layer {
    norm1: Norm,
    queries: Packed,
    keys_values: Packed,
    output: Packed,
    norm2: Norm,
    fc1: Packed,
    fc2: Packed,
}

/// A tower with its projection, ready to compute. Shared between threads freely.
pub struct Tower {
    shape: Shape,
    instructions: Instructions,
    elements: Elements,
    patch_embedding: Packed,
    /// `[T][W]`, the class embedding added to its own.
    positions: Vec<f32>,
    pre_norm: Norm,
    layers: Vec<Layer>,
    post_norm: Norm,
    projection: Packed,
    /// Buffers of calls that are over.
    buffers: Mutex<Vec<Buffers>>,
}

/// Pictures for each thread from which on each takes its own, instead of all working on each product.
const ENOUGH: usize = 2;

/// Rows of tokens of one pass through the network: enough to reuse a panel of weights many times, few enough to stay near the processor.
const ROWS: usize = 1024;

/// What a pass computes on: matrices of tokens.
struct Buffers {
    patches: Aligned<f32>,
    tokens: Aligned<f32>,
    normed: Aligned<f32>,
    queries: Aligned<f32>,
    keys_values: Aligned<f32>,
    middle: Aligned<f32>,
}

/// Values between the rows of a matrix of `columns`: whole cache lines, and not a power of two of them, so that rows do not fight for the same places of the
/// cache. The rest stays zero.
fn stride(columns: usize) -> usize {
    columns.next_multiple_of(16) + 16
}

impl Tower {
    /// Packs the weights for these instructions.
    ///
    /// # Panics
    ///
    /// If a tensor does not have the size that `shape` says, or the processor lacks the instructions.
    pub fn new(shape: Shape, weights: Weights, instructions: Instructions, elements: Elements) -> Tower {
        assert!(instructions.available(), "{instructions} on this processor");
        let Shape { width, heads, middle, .. } = shape;
        assert!(width.is_multiple_of(heads) && !weights.blocks.is_empty() && shape.patches() > 0, "a tower");
        let pack = |linear: Linear, columns: usize, depth: usize, scale: f32| {
            assert_eq!(linear.weight.len(), columns * depth, "a linear layer of {depth} to {columns}");
            Packed::new(&linear.weight, &linear.bias, columns, scale, instructions, elements)
        };
        let plain = |weight: Vec<f32>| Linear { weight, bias: Vec::new() };
        let norm = |norm: Norm| {
            assert!(norm.weight.len() == width && norm.bias.len() == width, "a layer norm of {width}");
            norm
        };
        // The factor 1/√d is part of the queries.
        let scale = 1.0 / ((width / heads) as f32).sqrt();
        let last = weights.blocks.len() - 1;
        let layers = weights.blocks.into_iter().enumerate().map(|(i, block)| {
            // In the last block only the class token goes through these.
            let own = |packed: Packed| if i == last { packed } else { packed.for_pairs() };
            let Block { norm1, queries, mut keys, mut values, output, norm2, fc1, fc2 } = block;
            keys.weight.append(&mut values.weight);
            keys.bias.append(&mut values.bias);
            Layer {
                norm1: norm(norm1),
                queries: own(pack(queries, width, width, scale)),
                keys_values: pack(keys, 2 * width, width, 1.0).for_pairs(),
                output: own(pack(output, width, width, 1.0)),
                norm2: norm(norm2),
                fc1: own(pack(fc1, middle, width, 1.0)),
                fc2: own(pack(fc2, width, middle, 1.0)),
            }
        });
        let mut positions = weights.positions;
        assert_eq!(positions.len(), (shape.patches() + 1) * width, "positions");
        assert_eq!(weights.class_embedding.len(), width, "class embedding");
        for (position, class) in positions.iter_mut().zip(weights.class_embedding) {
            *position += class;
        }
        Tower {
            shape,
            instructions,
            elements,
            patch_embedding: pack(plain(weights.patch_embedding), width, shape.patch_len(), 1.0),
            positions,
            pre_norm: norm(weights.pre_norm),
            layers: layers.collect(),
            post_norm: norm(weights.post_norm),
            projection: pack(plain(weights.projection), shape.projection, width, 1.0),
            buffers: Mutex::default(),
        }
    }

    /// Its shape.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The instructions that its weights are packed for.
    pub fn instructions(&self) -> Instructions {
        self.instructions
    }

    /// What its products multiply.
    pub fn elements(&self) -> Elements {
        self.elements
    }

    /// Rows of a picture in the matrices of tokens. In f32 whole pairs (see [`Packed::for_pairs`]), so that no picture shares one with another: what pads them
    /// takes part in the products and is zero at first.
    fn rows(&self) -> usize {
        self.shape.tokens().next_multiple_of(if self.elements == Elements::F32 { 2 } else { 1 })
    }

    /// Floating-point operations that a picture takes: two per multiply-add of the products and the attention that are computed (in the last block for the class
    /// token only), counted as if taking rows in pairs saved none.
    pub fn flops_per_picture(&self) -> u64 {
        let (patches, tokens, width) =
            (self.shape.patches() as u64, self.shape.tokens() as u64, self.shape.width as u64);
        let blocks = self.layers.iter().enumerate().map(|(i, layer)| {
            let rows = if i + 1 == self.layers.len() { 1 } else { tokens };
            let own = [&layer.queries, &layer.output, &layer.fc1, &layer.fc2].map(Packed::flops).iter().sum::<u64>();
            rows * own + tokens * layer.keys_values.flops() + 4 * rows * tokens * width
        });
        patches * self.patch_embedding.flops() + blocks.sum::<u64>() + self.projection.flops()
    }

    /// The embeddings `[n][D]` of pictures.
    ///
    /// # Panics
    ///
    /// If `pixels` is no whole number of pictures.
    pub fn encode(&self, pixels: Pixels, threads: Threads) -> Vec<f32> {
        let len = 3 * self.shape.image * self.shape.image;
        assert!(pixels.len().is_multiple_of(len), "{} values are no pictures of {len}", pixels.len());
        let n = pixels.len() / len;
        let mut embeddings = vec![0.0; n * self.shape.projection];
        let workers = match threads {
            Threads::One => 1,
            Threads::All => rayon::current_num_threads(),
        };
        if workers > 1 && n >= workers * ENOUGH {
            // Each its own pictures: nobody waits for the others between two products.
            let share = n.div_ceil(workers);
            embeddings.par_chunks_mut(share * self.shape.projection).enumerate().for_each(|(i, embeddings)| {
                self.encode_in_turn(
                    pixels.part(i * share * len, embeddings.len() / self.shape.projection * len),
                    embeddings,
                    Threads::One,
                );
            });
        } else if workers > 1 {
            // From within the pool: a thread outside of it would sleep and be woken at each of a hundred products.
            rayon::scope(|_| self.encode_in_turn(pixels, &mut embeddings, threads));
        } else {
            self.encode_in_turn(pixels, &mut embeddings, threads);
        }
        embeddings
    }

    /// Pass after pass, each of as many pictures as the buffers hold.
    fn encode_in_turn(&self, pixels: Pixels, embeddings: &mut [f32], threads: Threads) {
        let len = 3 * self.shape.image * self.shape.image;
        let n = pixels.len() / len;
        let most = (ROWS / self.rows()).max(1);
        let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        for (i, embeddings) in embeddings.chunks_mut(most * self.shape.projection).enumerate() {
            let (first, count) = (i * most, most.min(n - i * most));
            let part = pixels.part(first * len, count * len);
            if buffers.as_ref().is_none_or(|b| b.tokens.len() < count * self.rows() * stride(self.shape.width)) {
                buffers = Some(self.new_buffers(count));
            }
            self.pass(part, count, buffers.as_mut().expect("made just above"), embeddings, threads);
        }
        if let Some(buffers) = buffers {
            self.buffers.lock().unwrap_or_else(PoisonError::into_inner).push(buffers);
        }
    }

    fn new_buffers(&self, pictures: usize) -> Buffers {
        let Shape { width, middle, .. } = self.shape;
        let rows = pictures * self.rows();
        let matrix = |columns| Aligned::zeros(rows * stride(columns));
        Buffers {
            patches: matrix(self.shape.patch_len()),
            tokens: matrix(width),
            normed: matrix(width),
            queries: matrix(width),
            keys_values: matrix(2 * width),
            middle: matrix(middle),
        }
    }

    fn pass(&self, pixels: Pixels, n: usize, buffers: &mut Buffers, embeddings: &mut [f32], threads: Threads) {
        let machine = Machine { instructions: self.instructions, elements: self.elements, threads };
        let round = self.elements == Elements::Bf16;
        let Shape { width, heads, middle, .. } = self.shape;
        let rows = n * self.rows();
        self.embed(pixels, n, buffers, machine);
        let Buffers { tokens: x, normed, queries, keys_values, middle: hidden, .. } = buffers;
        for (i, layer) in self.layers.iter().enumerate() {
            // Only the class token leaves the last block.
            let every = if i + 1 == self.layers.len() { self.rows() } else { 1 };
            let kept = rows / every;
            let wide = stride(width);
            machine.normalise(
                Matrix::of(x, rows, width, wide),
                &self.norm(&layer.norm1),
                MatrixMut::of(normed, rows, width, wide),
                round,
            );
            let product = |a: Matrix, layer: &Packed, out: MatrixMut, finish, round| {
                machine.multiply(a, layer.panels(), out, finish, round);
            };
            let of_kept = Matrix::of(normed, kept, width, wide * every);
            product(of_kept, &layer.queries, MatrixMut::of(queries, kept, width, wide), Finish::Store, false);
            let both = MatrixMut::of(keys_values, rows, 2 * width, stride(2 * width));
            product(Matrix::of(normed, rows, width, wide), &layer.keys_values, both, Finish::Store, false);
            machine.attend(
                MatrixMut::of(queries, kept, width, wide),
                Matrix::of(keys_values, rows, 2 * width, stride(2 * width)),
                n,
                self.shape.tokens(),
                heads,
                round,
            );
            let residual = MatrixMut::of(x, rows, width, wide).every(every);
            product(Matrix::of(queries, kept, width, wide), &layer.output, residual, Finish::Add, false);
            machine.normalise(
                Matrix::of(x, kept, width, wide * every),
                &self.norm(&layer.norm2),
                MatrixMut::of(normed, kept, width, wide),
                round,
            );
            let out = MatrixMut::of(hidden, kept, middle, stride(middle));
            let activate = Finish::Activate(self.shape.activation);
            product(Matrix::of(normed, kept, width, wide), &layer.fc1, out, activate, round);
            let residual = MatrixMut::of(x, rows, width, wide).every(every);
            product(Matrix::of(hidden, kept, middle, stride(middle)), &layer.fc2, residual, Finish::Add, false);
        }
        let wide = stride(width);
        machine.normalise(
            Matrix::of(x, n, width, wide * self.rows()),
            &self.norm(&self.post_norm),
            MatrixMut::of(normed, n, width, wide),
            round,
        );
        let d = self.projection.columns();
        let out = MatrixMut::of(embeddings, n, d, d);
        machine.multiply(Matrix::of(normed, n, width, wide), self.projection.panels(), out, Finish::Store, false);
    }

    fn norm<'a>(&self, norm: &'a Norm) -> kernel::Norm<'a> {
        kernel::Norm { weight: &norm.weight, bias: &norm.bias, eps: self.shape.eps }
    }

    /// Patches, positions and the first norm: `tokens` of the first block.
    fn embed(&self, pixels: Pixels, n: usize, buffers: &mut Buffers, machine: Machine) {
        let (width, patches, patch_len) = (self.shape.width, self.shape.patches(), self.shape.patch_len());
        let wide = stride(width);
        self.cut(pixels, n, &mut buffers.patches);
        machine.multiply(
            Matrix::of(&buffers.patches, n * patches, patch_len, stride(patch_len)),
            self.patch_embedding.panels(),
            MatrixMut::of(&mut buffers.queries, n * patches, width, wide),
            Finish::Store,
            false,
        );
        let tokens = buffers.tokens.chunks_exact_mut(self.rows() * wide).take(n);
        for (tokens, embedded) in tokens.zip(buffers.queries.chunks_exact(patches * wide)) {
            let mut rows = tokens.chunks_exact_mut(wide);
            let mut embedded = embedded.chunks_exact(wide);
            for (i, (position, token)) in self.positions.chunks_exact(width).zip(rows.by_ref()).enumerate() {
                if i == 0 {
                    token[..width].copy_from_slice(position);
                } else {
                    let embedded = embedded.next().expect("one for each patch");
                    for ((token, position), embedded) in token.iter_mut().zip(position).zip(embedded) {
                        *token = embedded + position;
                    }
                }
            }
            rows.for_each(|padding| padding.fill(0.0));
        }
        let rows = n * self.rows();
        // Not in place, so that the two matrices can be borrowed; then they change names.
        machine.normalise(
            Matrix::of(&buffers.tokens, rows, width, wide),
            &self.norm(&self.pre_norm),
            MatrixMut::of(&mut buffers.normed, rows, width, wide),
            false,
        );
        std::mem::swap(&mut buffers.tokens, &mut buffers.normed);
    }

    /// Cuts pictures into patches `[n G G][3 P P]`, channel by channel, row by row.
    fn cut(&self, pixels: Pixels, n: usize, out: &mut [f32]) {
        let Shape { image, patch, .. } = self.shape;
        let (grid, patch_len) = (self.shape.grid(), self.shape.patch_len());
        let round = |value: f32| match self.elements {
            Elements::F32 => value,
            Elements::Bf16 => f32::from_bits(kernel::nearest_bf16(value)),
        };
        let rounded = match pixels {
            Pixels::Bytes(_, table) => table.map(|channel| channel.map(round)),
            Pixels::Values(_) => [[0.0; 256]; 3],
        };
        for (i, out) in out.chunks_exact_mut(stride(patch_len)).take(n * grid * grid).enumerate() {
            let (picture, cell) = (i / (grid * grid), i % (grid * grid));
            let (top, left) = (cell / grid * patch, cell % grid * patch);
            for (line, out) in out[..patch_len].chunks_exact_mut(patch).enumerate() {
                let (channel, y) = (line / patch, top + line % patch);
                match pixels {
                    Pixels::Bytes(bytes, _) => {
                        let row = &bytes[((picture * image + y) * image + left) * 3..][..3 * patch];
                        for (value, pixel) in out.iter_mut().zip(row.chunks_exact(3)) {
                            *value = rounded[channel][usize::from(pixel[channel])];
                        }
                    }
                    Pixels::Values(values) => {
                        let row = &values[((picture * 3 + channel) * image + y) * image + left..][..patch];
                        for (value, pixel) in out.iter_mut().zip(row) {
                            *value = round(*pixel);
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
