//! Weights of a linear layer, laid out once for the kernels.

use crate::Elements;
use crate::instructions::Instructions;
use crate::kernel::{self, Panels, aligned::Aligned};

/// A linear layer. The weights are padded with zeros to whole panels and whole words.
pub(crate) struct Packed {
    /// `[panels][words of depth][columns of a panel]`; a word is one f32, or two bf16 that follow each other in depth.
    words: Aligned<u32>,
    /// For every column of the panels; empty: none.
    bias: Aligned<f32>,
    depth: usize,
    columns: usize,
    width: usize,
    elements: Elements,
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
        Self::for_width(weight, bias, columns, scale, kernel::panel_width(instructions), elements)
    }

    /// The same for panels of `width` columns.
    pub(crate) fn for_width(
        weight: &[f32],
        bias: &[f32],
        columns: usize,
        scale: f32,
        width: usize,
        elements: Elements,
    ) -> Packed {
        let depth = weight.len() / columns;
        assert!(depth * columns == weight.len() && (bias.is_empty() || bias.len() == columns), "a linear layer");
        let (padded, steps) = (columns.next_multiple_of(width), elements.steps());
        let deep = depth.div_ceil(steps);
        let mut words = Aligned::<u32>::zeros(padded * deep);
        for (panel, words) in words.chunks_exact_mut(deep * width).enumerate() {
            for column in 0..width.min(columns - panel * width) {
                let weights = &weight[(panel * width + column) * depth..][..depth];
                for (k, weights) in weights.chunks(steps).enumerate() {
                    words[k * width + column] = match (elements, weights) {
                        (Elements::Bf16, [low, high]) => {
                            kernel::nearest_bf16(low * scale) >> 16 | kernel::nearest_bf16(high * scale)
                        }
                        (Elements::Bf16, _) => kernel::nearest_bf16(weights[0] * scale) >> 16,
                        (Elements::F32, _) => (weights[0] * scale).to_bits(),
                    };
                }
            }
        }
        let mut wide = Aligned::<f32>::zeros(if bias.is_empty() { 0 } else { padded });
        for (to, from) in wide.iter_mut().zip(bias) {
            *to = from * scale;
        }
        Packed { words, bias: wide, depth, columns, width, elements }
    }

    /// As the kernels take it.
    pub(crate) fn panels(&self) -> Panels<'_> {
        Panels::of(&self.words, &self.bias, self.depth, self.elements.steps(), self.columns, self.width)
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
