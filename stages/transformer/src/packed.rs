//! Weights of a linear layer, laid out once for the kernels.

use crate::Elements;
use crate::instructions::Instructions;
use crate::kernel::{self, Halves, Layout, Panels, aligned::Aligned, strassen};

/// A linear layer. The weights are padded with zeros to whole panels and whole words.
pub(crate) struct Packed {
    /// `[panels][words of depth][columns of a panel]`; a word is one f32, or two bf16 that follow each other in depth.
    words: Aligned<u32>,
    /// For every column of the panels; empty: none.
    bias: Aligned<f32>,
    depth: usize,
    columns: usize,
    layout: Layout,
    /// For pairs of rows: the words are those of [`strassen::pack`].
    halves: Option<Halves>,
}

impl Packed {
    /// Packs `weight` `[columns][depth]` (PyTorch's layout of a linear layer) and its bias, both times `scale`.
    pub(crate) fn new(
        weight: &[f32],
        bias: &[f32],
        columns: usize,
        scale: f32,
        instructions: Instructions,
        elements: Elements,
    ) -> Packed {
        Self::laid_out(weight, bias, columns, scale, Layout::of(instructions, elements))
    }

    /// The same by a layout.
    pub(crate) fn laid_out(weight: &[f32], bias: &[f32], columns: usize, scale: f32, layout: Layout) -> Packed {
        let depth = weight.len() / columns;
        assert!(depth * columns == weight.len() && (bias.is_empty() || bias.len() == columns), "a linear layer");
        let Layout { width, steps, .. } = layout;
        let (padded, deep) = (columns.next_multiple_of(width), layout.words_deep(depth));
        let mut words = Aligned::<u32>::zeros(padded * deep);
        for (panel, words) in words.chunks_exact_mut(deep * width).enumerate() {
            for column in 0..width.min(columns - panel * width) {
                let weights = &weight[(panel * width + column) * depth..][..depth];
                for (k, weights) in weights.chunks(steps).enumerate() {
                    words[k * width + column] = match weights {
                        [low, high] => kernel::nearest_bf16(low * scale) >> 16 | kernel::nearest_bf16(high * scale),
                        _ if steps == 2 => kernel::nearest_bf16(weights[0] * scale) >> 16,
                        _ => (weights[0] * scale).to_bits(),
                    };
                }
            }
        }
        let mut wide = Aligned::<f32>::zeros(if bias.is_empty() { 0 } else { padded });
        for (to, from) in wide.iter_mut().zip(bias) {
            *to = from * scale;
        }
        Packed { words, bias: wide, depth, columns, layout, halves: None }
    }

    /// For rows that come in pairs, which may depend on each other within the precision of f32: packed for fewer products, if the weights are f32 and their shape
    /// is a multiple of what that takes.
    pub(crate) fn for_pairs(self) -> Packed {
        let f32 = self.layout.steps == 1;
        match Halves::of(self.depth, self.columns, self.layout.width).filter(|_| f32) {
            Some(halves) => {
                let words = strassen::pack(&self.words, self.layout.width, halves);
                Packed { words, halves: Some(halves), ..self }
            }
            None => self,
        }
    }

    /// As the kernels take it.
    pub(crate) fn panels(&self) -> Panels<'_> {
        match self.halves {
            Some(halves) => {
                Panels::in_halves(&self.words, &self.bias, self.depth, self.columns, self.layout.width, halves)
            }
            None => Panels::of(&self.words, &self.bias, self.depth, self.columns, self.layout),
        }
    }

    /// Width of the output.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// Floating-point operations per row.
    pub(crate) fn flops(&self) -> u64 {
        2 * self.depth as u64 * self.columns as u64
    }
}
