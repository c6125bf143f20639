//! From a picture of any size to the input of a checkpoint: resized and cropped bytes, and what each byte is normalised to.

use clip::Checkpoint;
use clip::checkpoint::PREPROCESSING;
use contract::Picture;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Error;
use crate::resize::{Axis, Filter, Resizer, premultiply, unpremultiply};

/// OpenAI's constants (clip/clip.py); also the defaults of transformers' CLIP image processor.
const MEAN: [f64; 3] = [0.48145466, 0.4578275, 0.40821073];
const STD: [f64; 3] = [0.26862954, 0.26130258, 0.27577711];

/// Longest side in pixels that a picture is resized to.
const MAX_SIDE: usize = 1 << 16;

/// The order of the steps. They differ in the crop when the margin is odd, and for pictures with transparency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// transformers' CLIP image processor on Pillow: transparency is dropped first, then resize; the crop starts at
    /// `floor(margin / 2)`. (The newest transformers, 5.23, lay transparent pictures on white; frames of a video have none.)
    Hf,
    /// openai/CLIP and torchvision on Pillow: resize (with transparency, premultiplied), crop from `round(margin / 2)`, halves
    /// to even, then drop transparency.
    #[serde(rename = "openai")]
    OpenAi,
}

/// What the resized picture is before the crop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Resize {
    /// The shorter side gets this length, the longer one keeps the ratio, rounded down.
    ShortestEdge(usize),
    /// Height and width, whatever the ratio.
    Exact(usize, usize),
}

/// The preprocessing that belongs to a checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PreprocessorConfig {
    resize: Resize,
    crop: Option<(usize, usize)>,
    filter: Filter,
    rescale_factor: f64,
    mean: [f64; 3],
    std: [f64; 3],
}

impl PreprocessorConfig {
    /// OpenAI's own transform for a tower with this input.
    fn openai(image_size: usize) -> PreprocessorConfig {
        PreprocessorConfig {
            resize: Resize::ShortestEdge(image_size),
            crop: Some((image_size, image_size)),
            filter: Filter::Bicubic,
            rescale_factor: 1.0 / 255.0,
            mean: MEAN,
            std: STD,
        }
    }

    /// What a checkpoint says, or else, in OpenAI's order, OpenAI's constants.
    fn for_order(checkpoint: &Checkpoint, order: Order) -> Result<PreprocessorConfig, Error> {
        match (Self::of(checkpoint)?, order) {
            (Some(config), _) => Ok(config),
            (None, Order::OpenAi) => Ok(Self::openai(checkpoint.config().image_size)),
            (None, Order::Hf) => Err(Error::NoPreprocessor),
        }
    }

    /// What a checkpoint says, if it says anything. The first of [`PREPROCESSING`] that does wins, as in transformers.
    pub fn of(checkpoint: &Checkpoint) -> Result<Option<PreprocessorConfig>, Error> {
        let texts = checkpoint.preprocessing().iter();
        let found = texts.map(|(file, text)| Self::parse(file, text)).collect::<Result<Vec<_>, _>>()?;
        Ok(found.into_iter().flatten().next())
    }

    /// Reads the text of one of [`PREPROCESSING`]; `None` when it says nothing of pictures.
    pub fn parse(file: &str, json: &str) -> Result<Option<PreprocessorConfig>, Error> {
        let bad = |message: String| Error::Clip(clip::Error::Config { file: file.into(), message });
        let mut root: Map<String, Value> = serde_json::from_str(json).map_err(|e| bad(e.to_string()))?;
        let keys = if file == PREPROCESSING[0] {
            match root.remove("image_processor") {
                Some(keys) => keys,
                None => return Ok(None),
            }
        } else {
            Value::Object(root)
        };
        let keys: Keys = serde_json::from_value(keys).map_err(|e| bad(e.to_string()))?;
        keys.resolve().map(Some).map_err(bad)
    }
}

/// The keys of `preprocessor_config.json`; what is left out or null has the default of transformers' CLIP image processor.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Keys {
    image_processor_type: Option<String>,
    feature_extractor_type: Option<String>,
    do_resize: Option<bool>,
    do_center_crop: Option<bool>,
    do_rescale: Option<bool>,
    do_normalize: Option<bool>,
    do_pad: Option<bool>,
    size: Option<Size>,
    crop_size: Option<Size>,
    resample: Option<i64>,
    rescale_factor: Option<f64>,
    image_mean: Option<[f64; 3]>,
    image_std: Option<[f64; 3]>,
}

/// A number (old files) or an object.
#[derive(Deserialize, Clone, Copy)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "expected a number, {\"shortest_edge\": n} or {\"height\": n, \"width\": n}"
)]
enum Size {
    Number(usize),
    Shortest { shortest_edge: usize },
    Exact { height: usize, width: usize },
}

impl Keys {
    fn resolve(self) -> Result<PreprocessorConfig, String> {
        for kind in [self.image_processor_type, self.feature_extractor_type].into_iter().flatten() {
            if !kind.starts_with("CLIPImageProcessor") && !kind.starts_with("CLIPFeatureExtractor") {
                return Err(format!("the pictures are for a {kind}; this stage knows CLIP's preprocessing only"));
            }
        }
        for (key, value) in
            [("do_resize", self.do_resize), ("do_rescale", self.do_rescale), ("do_normalize", self.do_normalize)]
        {
            if value == Some(false) {
                return Err(format!("{key} = false is not supported"));
            }
        }
        if self.do_pad == Some(true) {
            return Err("do_pad = true is not supported".into());
        }
        let resize = match self.size {
            None => Resize::ShortestEdge(224),
            Some(Size::Number(side) | Size::Shortest { shortest_edge: side }) => Resize::ShortestEdge(side),
            Some(Size::Exact { height, width }) => Resize::Exact(height, width),
        };
        let crop = match self.crop_size {
            None => (224, 224),
            Some(Size::Number(side) | Size::Shortest { shortest_edge: side }) => (side, side),
            Some(Size::Exact { height, width }) => (height, width),
        };
        let resized = match resize {
            Resize::ShortestEdge(edge) => [edge, edge],
            Resize::Exact(height, width) => [height, width],
        };
        if let Some(side) = resized.into_iter().chain([crop.0, crop.1]).find(|side| *side == 0 || *side > MAX_SIDE) {
            return Err(format!("a side of {side} pixels in size or crop_size is outside of 1..={MAX_SIDE}"));
        }
        let crop = self.do_center_crop.unwrap_or(true).then_some(crop);
        let code = self.resample.unwrap_or(3);
        let filter = Filter::from_pillow(code)
            .ok_or_else(|| format!("resample = {code} is not supported (1 Lanczos, 2 bilinear, 3 bicubic are)"))?;
        let (mean, std) = (self.image_mean.unwrap_or(MEAN), self.image_std.unwrap_or(STD));
        let rescale_factor = self.rescale_factor.unwrap_or(1.0 / 255.0);
        if !(rescale_factor.is_finite()
            && mean.iter().all(|m| m.is_finite())
            && std.iter().all(|s| s.is_finite() && *s > 0.0))
        {
            return Err("rescale_factor, image_mean and image_std must be finite, image_std above 0".into());
        }
        Ok(PreprocessorConfig { resize, crop, filter, rescale_factor, mean, std })
    }
}

/// What a [`Preprocess`] is made of, as plain data: another process can prepare the pictures of a checkpoint that it never sees.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    order: Order,
    side: usize,
    config: PreprocessorConfig,
}

impl Recipe {
    /// The preprocessing that `checkpoint` asks for, its steps in this order.
    ///
    /// Size, mean, standard deviation and filter are those of the checkpoint's `preprocessor_config.json`: they belong to
    /// the weights. Without that file [`Order::OpenAi`] uses OpenAI's constants, as their code does; [`Order::Hf`] is an error.
    /// So is what this stage cannot do.
    pub fn new(checkpoint: &Checkpoint, order: Order) -> Result<Recipe, Error> {
        let config = PreprocessorConfig::for_order(checkpoint, order)?;
        let recipe = Recipe { order, side: checkpoint.config().image_size, config };
        Preprocess::of(&recipe).map(|_| recipe)
    }
}

/// Prepares pictures for one checkpoint; owns its buffers, one per worker.
pub struct Preprocess {
    order: Order,
    config: PreprocessorConfig,
    side: usize,
    resizer: Resizer,
    premultiplied: Vec<u8>,
    window: Vec<u8>,
}

impl Preprocess {
    /// [`Recipe::new`], ready to be used.
    pub fn new(checkpoint: &Checkpoint, order: Order) -> Result<Preprocess, Error> {
        Self::of(&Recipe::new(checkpoint, order)?)
    }

    /// What the recipe says.
    pub fn of(recipe: &Recipe) -> Result<Preprocess, Error> {
        Self::with_config(recipe.config.clone(), recipe.side, recipe.order)
    }

    fn with_config(config: PreprocessorConfig, side: usize, order: Order) -> Result<Preprocess, Error> {
        let wrong = |message: String| Err(Error::Clip(clip::Error::Config { file: PREPROCESSING[1].into(), message }));
        let (height, width) = match (config.crop, config.resize) {
            (Some(crop), _) => crop,
            (None, Resize::Exact(height, width)) => (height, width),
            (None, Resize::ShortestEdge(_)) => {
                return wrong("do_center_crop = false needs a size with height and width".into());
            }
        };
        if (height, width) != (side, side) {
            return wrong(format!("pictures become {width}x{height}, but image_size in config.json is {side}"));
        }
        let covered = match config.resize {
            Resize::ShortestEdge(edge) => edge >= side,
            Resize::Exact(height, width) => height >= side && width >= side,
        };
        if !covered {
            return wrong(format!(
                "the resized picture is smaller than the crop of {side} pixels; padding is not supported"
            ));
        }
        if order == Order::OpenAi && (config.rescale_factor * 255.0 - 1.0).abs() > 1e-6 {
            return wrong(
                "`preprocessing = \"openai\"` divides by 255, but rescale_factor is another; use \"hf\"".into(),
            );
        }
        let resizer = Resizer::new(config.filter);
        let window = vec![0; side * side * 3];
        Ok(Preprocess { order, config, side, resizer, premultiplied: Vec::new(), window })
    }

    /// Side S of the prepared picture in pixels.
    pub fn side(&self) -> usize {
        self.side
    }

    /// The resized and cropped picture, not yet normalised: `[S][S][3]` bytes.
    pub fn crop(&mut self, picture: &Picture) -> Result<&[u8], Error> {
        let Picture { width, height, rgb } = picture;
        let (horizontal, vertical) = self.axes(*width, *height, rgb.len(), 3)?;
        self.resizer.resize::<3>(rgb, horizontal, vertical, &mut self.window);
        Ok(&self.window)
    }

    /// [`Preprocess::crop`] for a picture with transparency.
    pub fn crop_rgba(&mut self, width: usize, height: usize, rgba: &[u8]) -> Result<&[u8], Error> {
        let (horizontal, vertical) = self.axes(width, height, rgba.len(), 4)?;
        let mut window = vec![0; self.side * self.side * 4];
        match self.order {
            Order::OpenAi => {
                // Pillow premultiplies only where there is something to resize.
                let resized = horizontal.input != horizontal.output || vertical.input != vertical.output;
                self.premultiplied.clear();
                self.premultiplied.extend_from_slice(rgba);
                if resized {
                    premultiply(&mut self.premultiplied);
                }
                self.resizer.resize::<4>(&self.premultiplied, horizontal, vertical, &mut window);
                if resized {
                    unpremultiply(&mut window);
                }
            }
            Order::Hf => self.resizer.resize::<4>(rgba, horizontal, vertical, &mut window),
        }
        for (rgb, rgba) in self.window.chunks_exact_mut(3).zip(window.chunks_exact(4)) {
            rgb.copy_from_slice(&rgba[..3]);
        }
        Ok(&self.window)
    }

    fn axes(&self, width: usize, height: usize, bytes: usize, channels: usize) -> Result<(Axis, Axis), Error> {
        let expected = width.checked_mul(height).and_then(|n| n.checked_mul(channels));
        if width == 0 || height == 0 || expected != Some(bytes) {
            return Err(Error::Picture { width, height, bytes, channels });
        }
        let (output_height, output_width) = match self.config.resize {
            Resize::Exact(height, width) => (height, width),
            Resize::ShortestEdge(edge) if width <= height => ((edge * height) / width, edge),
            Resize::ShortestEdge(edge) => (edge, (edge * width) / height),
        };
        let axis = |input, output| Axis { input, output, start: self.crop_start(output), len: self.side };
        Ok((axis(width, output_width), axis(height, output_height)))
    }

    fn crop_start(&self, output: usize) -> usize {
        let margin = output - self.side;
        match self.order {
            Order::Hf => margin / 2,
            // Half of an odd number rounds to the even neighbour.
            Order::OpenAi => margin / 2 + usize::from(margin % 4 == 3),
        }
    }
}

/// The normalised value of each byte, by channel: what the network is given of a resized picture.
pub struct Normalize([[f32; 256]; 3]);

impl Normalize {
    /// The normalisation that `checkpoint` asks for, in the arithmetic of this order.
    pub fn new(checkpoint: &Checkpoint, order: Order) -> Result<Normalize, Error> {
        Ok(Self::with_config(&PreprocessorConfig::for_order(checkpoint, order)?, order))
    }

    fn with_config(config: &PreprocessorConfig, order: Order) -> Normalize {
        Normalize(std::array::from_fn(|c| std::array::from_fn(|byte| normalised(config, order, c, byte as u8))))
    }

    /// The value of each byte, by channel.
    pub fn table(&self) -> &[[f32; 256]; 3] {
        &self.0
    }
}

/// One byte, rescaled and normalised in the arithmetic of the code that is followed.
fn normalised(config: &PreprocessorConfig, order: Order, channel: usize, byte: u8) -> f32 {
    let (mean, std) = (config.mean[channel] as f32, config.std[channel] as f32);
    let rescaled = match order {
        Order::Hf => (f64::from(byte) * config.rescale_factor) as f32,
        Order::OpenAi => f32::from(byte) / 255.0,
    };
    (rescaled - mean) / std
}

#[cfg(test)]
mod tests;
