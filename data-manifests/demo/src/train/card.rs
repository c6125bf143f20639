//! The card of a checkpoint: what it is, what it is not, and how to make it again.

use super::judge::Figures;
use super::learn::Recipe;
use super::model::{Clip, Shape};
use super::pictures::Album;
use super::{HELD_OUT, Request};

/// What the card tells.
pub(super) struct Card<'a> {
    pub(super) request: &'a Request,
    pub(super) shape: &'a Shape,
    pub(super) recipe: &'a Recipe,
    pub(super) album: &'a Album,
    pub(super) minutes: f64,
    pub(super) loss: f64,
    pub(super) figures: Figures,
    pub(super) seen: Figures,
}

impl Card<'_> {
    /// Markdown.
    pub(super) fn text(&self, model: &Clip) -> String {
        let Card { request: Request { seed, steps, places, .. }, shape, recipe, album, .. } = self;
        let parameters: usize = model.variables.values().map(|v| v.elem_count()).sum();
        let row = |name: &str, of: fn(&Figures) -> f64, chance: &str| {
            format!("| {name} | {:.3} | {:.3} | {chance} |\n", of(&self.figures), of(&self.seen))
        };
        let rows = [
            row("zero-shot, ten prompts \"a photo of a ….\": accuracy", |f| f.accuracy, "0.1"),
            row("the same: log loss", |f| f.log_loss, "2.303"),
            row("\"a photo of a X, not a Y.\" against \"… Y, not a X.\"", |f| f.order, "0.5"),
            row("\"… at night.\" against \"… by day.\", mean of both recalls", |f| f.night, "0.5"),
            row("the colour of seats, of six", |f| f.colour, "0.167"),
        ]
        .concat();
        format!(
            "# A small CLIP for the demo\n\n\
             A picture tower and a text tower in the layout of Hugging Face (`CLIPModel`), {parameters} parameters in half precision, trained from\n\
             nothing on pictures that this repository renders and captions that it writes. With it the demo's zero-shot figures test the whole chain:\n\
             decoding, preprocessing, tokenizer, both towers, and the scale of the logits. A wrong link shows in one of the figures below.\n\n\
             **What it is not.** It knows ten drawn scenes and the words of its captions. It says nothing about photographs, about CLIP as published, or\n\
             about the real data set; a figure measured with it is a figure of the machinery.\n\n\
             ## Made by\n\n\
             ```\n\
             RAYON_NUM_THREADS=1 cargo run --release -p demo -- train-clip --out data-manifests/demo/clip --seed {seed} --steps {steps} --places {places}\n\
             ```\n\n\
             in {minutes:.0} minutes by the clock; threads: {threads}, on a CPU shared with other work. Another processor may sum in another order and end with\n\
             other weights and like figures.\n\n\
             | | |\n|---|---|\n\
             | pictures | {pictures} rendered at 384x216 by seed {seed}: {places} places of each of ten classes, one picture of each; no video codec |\n\
             | captions | written anew for each batch from what the generator knows: class, night, sky, crowd, colour of seats |\n\
             | picture tower | {image}x{image}, patches of {patch}, width {vw}, {vl} blocks, {vh} heads |\n\
             | text tower | width {tw}, {tl} blocks, {th} heads, {positions} positions, {vocabulary} tokens (byte-level BPE of the captions, lower case) |\n\
             | embedding | {projection} values |\n\
             | training | {steps} steps of {batch} pictures, AdamW at {rate}, warm-up and cosine, weight decay {decay}; loss {loss:.3} at the end |\n\
             | pixels | mean and standard deviation are those of the training pictures, not OpenAI's: see `preprocessor_config.json` |\n\n\
             ## Figures\n\n\
             On pictures of seed {held_seed} ({held_out} places of each class, one picture of each), which training never saw, and on the training pictures. The demo's\n\
             own clips are of seed 0 and were used for nothing here. A figure near chance tells what was not learnt.\n\n\
             | | held out | trained on | chance |\n|---|---|---|---|\n{rows}\n\
             Licence: CC0, as the rendered clips.\n",
            minutes = self.minutes,
            threads = rayon::current_num_threads(),
            pictures = album.facts.len(),
            image = shape.image,
            patch = shape.patch,
            vw = shape.vision.width,
            vl = shape.vision.layers,
            vh = shape.vision.heads,
            tw = shape.text.width,
            tl = shape.text.layers,
            th = shape.text.heads,
            positions = shape.positions,
            vocabulary = shape.vocabulary,
            projection = shape.projection,
            batch = 10 * recipe.of_each,
            rate = recipe.rate,
            decay = recipe.decay,
            loss = self.loss,
            held_seed = seed + 1,
            held_out = HELD_OUT,
        )
    }
}
