//! Makes class probabilities of CLIP image embeddings and of prompts, without any training: *zero-shot* classification.
//!
//! # Formula
//!
//! Every class has prompts: each of its words or phrases in each template, `"a photo of a {}."` with `tram` for `{}`. With the text
//! features `t` of the checkpoint's text tower, an embedding `x` of a picture and the checkpoint's own `s = exp(logit_scale)`,
//!
//! ```text
//! unit(v)  = v / |v|
//! w_k      = unit(mean over the prompts of class k of unit(t))              ensemble = "features", openai/CLIP's
//! logit_k  = s · w_k · unit(x)           p_k = exp(logit_k) / sum_j exp(logit_j)
//! ```
//!
//! With `ensemble = "probabilities"` every template makes a classifier of its own (its `w_k` is the unit mean over the phrases of class `k` in
//! that template), and `p` is the mean of their probabilities. With one prompt per class both are `softmax(logits_per_image)` of Hugging Face
//! transformers' `CLIPModel`, which the tests compare with, from picture file and prompt to probability. Sources: Radford et al., *Learning
//! Transferable Visual Models From Natural Language Supervision* (2021), section 3.1.4, and openai/CLIP, `notebooks/Prompt_Engineering_for_ImageNet`.
//!
//! # Which prompts
//!
//! [`Params::prompts`] says which words stand for a class; what it does not name has the words of [`SCENES`] (the ten of TAU Urban
//! Audio-Visual Scenes 2021), or else its name with spaces for underscores. The reference example published neither its prompts nor its
//! templates, only that they came "without any heavy prompt engineering", so its figure can be approached, not copied. There is no grammar
//! here: "a photo of a airport." has OpenAI's own article.
//!
//! # Which vector stands for a clip
//!
//! A clip has an embedding per second. [`Params::frame`] says which one is used: a picture number, counted from 1 like the file names of
//! `extract-frames` (the reference uses picture `05`), or `"mean"`: the mean of the embeddings, each divided by its length *first*, so that every
//! picture counts the same. A clip with too few pictures is an error of that clip, never replaced by another picture. In the 1-s protocol
//! every picture has probabilities of its own ([`Classifier::of_each_picture`]), whatever `frame` says.
//!
//! # Output
//!
//! A [`Classifier`]: the classes in their order, the prompts of each, `logit_scale` (`s` above) and the unit weights `[M][K][D]`; `M` is 1, or the number
//! of templates with `ensemble = "probabilities"`. As JSON it can be used without this program, and without the text tower:
//!
//! ```python
//! m = json.load(open("model.json")); w = np.array(m["weights"])                           # x: [n, D] embeddings
//! z = m["logit_scale"] * np.einsum("mkd,nd->mnk", w, x / np.linalg.norm(x, axis=1, keepdims=True))
//! p = np.exp(z - z.max(2, keepdims=True)); p = (p / p.sum(2, keepdims=True)).mean(0)      # [n, K], columns m["classes"]
//! ```
//!
//! Text features are f32 from the network, everything after them f64. A row's probabilities sum to 1 and do not depend on other rows.
//!
//! # Before any long work
//!
//! [`check`] finds in a moment what would fail hours later: a checkpoint without a text tower or tokenizer, a tokenizer of another model, a
//! prompt that is empty or too long, a word list for a class that the data set does not have. What enters a key besides [`Spec`] are the
//! classes and the digests of `clip::Checkpoint::text_files`.
//!
//! # History of `version`
//!
//! 1. First version.

use contract::{Decl, Kind};

mod classifier;
mod error;
mod params;
mod prompts;
#[cfg(test)]
mod tests;

pub use classifier::{Classifier, check, classifier};
pub use error::Error;
pub use params::{Ensemble, Frame, Params, ParamsError, Spec};
pub use prompts::{ClassPrompts, SCENES, TEMPLATES, prompts};

/// The declaration of the stage.
pub const DECL: Decl = Decl {
    id: "zero-shot",
    version: 1,
    kind: Kind::Set,
    inputs: &["encode-clip"],
    summary: "CLIP embeddings of clips and prompts of the classes -> class probabilities for every clip, without training",
};
