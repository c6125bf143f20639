//! ESC-10: EfficientAT as published, frozen, and a linear probe on its embeddings over the five folds; see `esc10.py`, which also makes
//! the sounds and computes the same in PyTorch and scikit-learn.

#![expect(clippy::print_stdout, reason = "an example says what it found")]

use std::error::Error as StdError;
use std::path::Path;
use std::time::Instant;

use audio::{LogMel, Mode, Params};
use contract::{Sound, Values};
use safetensors::SafeTensors;
use training::{Example, Source, embeddings};

type BoxError = Box<dyn StdError + Send + Sync>;

/// The sounds of `esc10.py`, in memory; their log-mel is computed when it is asked for.
struct Clips {
    classes: Vec<String>,
    ids: Vec<String>,
    labels: Vec<usize>,
    folds: Vec<i64>,
    sounds: Vec<Vec<f32>>,
    front_end: log_mel::Spec,
}

impl Source for Clips {
    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn id(&self, index: usize) -> &str {
        &self.ids[index]
    }

    fn class(&self, index: usize) -> Option<usize> {
        self.labels.get(index).copied()
    }

    fn example(&self, index: usize) -> Result<Example, BoxError> {
        let sound = Sound { sample_rate: 32_000, channels: 1, samples: self.sounds[index].clone() };
        let rows = log_mel::LogMel::new(&self.front_end)?.compute(&sound)?;
        match rows.column("log_mel").map(|column| &column.values) {
            Some(Values::F32(values)) => Ok(Example { log_mel: values.clone(), image: None }),
            _ => Err("no log-mel in f32".into()),
        }
    }
}

fn read(path: &str) -> Result<Clips, BoxError> {
    let bytes = std::fs::read(path)?;
    let file = SafeTensors::deserialize(&bytes)?;
    let whole = |name: &str| -> Result<Vec<i64>, BoxError> {
        Ok(file.tensor(name)?.data().as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect())
    };
    let tensor = file.tensor("sound")?;
    let &[clips, samples] = tensor.shape() else { return Err("sound is not [clips, samples]".into()) };
    let values: Vec<f32> = tensor.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let front_end: log_mel::Params = serde_json::from_str(r#"{"preset": "efficientat"}"#)?;
    Ok(Clips {
        classes: (0..10).map(|class| format!("class {class}")).collect(),
        ids: (0..clips).map(|clip| format!("clip {clip}")).collect(),
        labels: whole("class")?.into_iter().map(|class| class as usize).collect(),
        folds: whole("fold")?,
        sounds: values.chunks(samples).map(<[f32]>::to_vec).collect(),
        front_end: front_end.resolve()?,
    })
}

fn main() -> Result<(), BoxError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [sounds, weights] = &arguments[..] else { return Err("usage: esc10_probe SOUNDS.safetensors MN04.pt".into()) };
    let clips = read(sounds)?;
    let params = Params {
        network: "mn04".parse()?,
        mode: Mode::Frozen,
        pretrained: weights.into(),
        frames: 1001,
        ..Params::default()
    };
    let spec = params.resolve()?;
    let network = spec.network(LogMel { preset: "efficientat", n_mels: 128 }, 10, Some(Path::new(weights)))?;
    if let Some(loaded) = network.loaded() {
        println!("{weights}: {loaded}");
    }
    let started = Instant::now();
    let all: Vec<usize> = (0..clips.labels.len()).collect();
    let vectors = embeddings(&network, &clips, &all, &spec.training.inputs, &mut |_| true)?.unwrap_or_default();
    println!("{} embeddings in {:.0} s", vectors.len(), started.elapsed().as_secs_f64());

    let probe =
        linear_probe::Params { c: vec![1.0], standardize: true, ..linear_probe::Params::default() }.resolve()?;
    let mut accuracies = Vec::new();
    for fold in 1..=5 {
        let (test, rest): (Vec<usize>, Vec<usize>) = all.iter().partition(|clip| clips.folds[**clip] == fold);
        let rows = |of: &[usize]| of.iter().flat_map(|clip| vectors[*clip].clone()).collect::<Vec<f32>>();
        let labels: Vec<usize> = rest.iter().map(|clip| clips.labels[*clip]).collect();
        let fitted = linear_probe::fit(&rows(&rest), &labels, &clips.classes, &probe)?;
        let found = fitted.probabilities(&rows(&test))?;
        let right = found.chunks(10).zip(&test).filter(|(row, clip)| {
            let best = (0..10).max_by(|a, b| row[*a].total_cmp(&row[*b]));
            best == Some(clips.labels[**clip])
        });
        let accuracy = right.count() as f64 / test.len() as f64;
        println!("fold {fold}: accuracy {accuracy:.4}");
        accuracies.push(accuracy);
    }
    let mean = accuracies.iter().sum::<f64>() / 5.0;
    let spread = (accuracies.iter().map(|a| (a - mean).powi(2)).sum::<f64>() / 4.0).sqrt();
    println!("mn04 and a probe: accuracy {mean:.4}, fold to fold {spread:.4}");
    Ok(())
}
