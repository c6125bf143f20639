//! CLIP: checkpoints, the image tower, the text tower and the tokenizer. No stage, but what two stages share: `encode-clip` makes
//! embeddings of pictures, `zero-shot` compares them with prompts.
//!
//! ```text
//! block(x)  = y + fc2(act(fc1(norm_2(y)))),  y = x + attention(norm_1(x))       heads of softmax(q kᵀ / √d + mask) v
//! picture:    x_0 = norm_pre([class; patches(pixels) · E] + positions)          T = (S / P)² + 1 tokens, no mask
//!             feature = projection · norm_post(class token of the last block)
//! text:       x_0 = tokens(ids) + positions                                     mask: no token sees a later one
//!             feature = projection · norm_final(end-of-text token of the last block)
//! compare:    logit = exp(logit_scale) · cos(picture's feature, text's feature)
//! ```
//!
//! `act` is QuickGELU `x·σ(1.702 x)` or GELU. Sources: Radford et al., *Learning Transferable Visual Models From Natural Language Supervision*
//! (2021), `clip/model.py` of openai/CLIP, and `CLIPModel` of Hugging Face transformers, whose `get_image_features` and `get_text_features`
//! these values equal to float tolerance: on ViT-B/32, B/16 and L/14 of random weights the largest error is 9e-7 of the largest value for pictures
//! and 2e-6 for texts (`parity/compare.py`).
//!
//! **Which token is the end of a text.** As transformers: the first one with the id `eos_token_id`; where a configuration from before
//! transformers 4.31 says 2, the highest id of the text, as openai/CLIP does.
//!
//! **Checkpoints.** ✅ any CLIP in the layout of transformers: full models, and `clip_vision_model` for pictures; one or several safetensors
//! files in f32, f16, bf16 or f64, `quick_gelu` and `gelu`, any `layer_norm_eps`, any sizes; a folder, or a name on the hub through its cache.
//! ✅ any `tokenizer.json`. Every tensor of the tower that is wanted must be there once, of the right shape and finite: nothing is drawn at
//! random, and the tensors of the other tower are not read. ❌ `pytorch_model.bin`, OpenAI's `.pt` archives, ResNet towers, interpolated
//! position embeddings, quantised weights, attention masks, `vocab.json` and `merges.txt` without `tokenizer.json`.
//!
//! **Invariants.** The same prompt gives the same bytes whatever the other prompts, their order and the number of threads, on one kind of
//! processor; across processors and devices values agree to about 1e-5 relative in f32. A prompt is never cut: one with too many tokens is an
//! error, as is an empty one.
//!
//! **Two ways to compute a picture.** [`engine`] loads the image tower for the CPU engine of the crate `transformer`, which is what `encode-clip` uses on a CPU. [`ImageTower`]
//! computes the same on candle's tensors: on CUDA devices, and as the twin that the engine is tested against. The text tower, which sees a handful of prompts, knows candle only.
//!
//! **Why not candle-transformers' CLIP.** Its tower draws a missing class embedding at random, knows only QuickGELU, fixes the layer norms'
//! epsilon and computes every token of the last block although one is used. The towers here are written on candle's tensors instead.

pub mod checkpoint;
pub mod config;
pub mod device;
pub mod engine;
pub mod epilogue;
pub mod image;
pub mod text;
pub mod tokenizer;
pub mod weights;

mod block;
mod error;
mod hub;

pub use checkpoint::{Checkpoint, ModelInfo, TextInfo};
pub use config::{Activation, EndOfText, TextConfig, VisionConfig};
pub use device::{Backend, DeviceChoice};
pub use error::Error;
pub use image::ImageTower;
pub use text::{TextEncoder, TextTower};
pub use tokenizer::Tokenizer;

#[cfg(test)]
mod fixture;
