//! ESC-10: the small network trained from scratch over the five folds, beside PyTorch's: see `esc10.py`, which also makes the features.

#![expect(clippy::print_stdout, reason = "an example says what it found")]

use std::error::Error as StdError;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use audio::{LogMel, Params};
use safetensors::SafeTensors;
use training::{Example, InMemory, Job, Outcome, SelectBy, Source, probabilities, train};

type BoxError = Box<dyn StdError + Send + Sync>;

/// The features of `esc10.py`, in memory.
struct Clips {
    classes: Vec<String>,
    ids: Vec<String>,
    labels: Vec<usize>,
    folds: Vec<i64>,
    log_mels: Vec<Vec<f32>>,
    n_mels: usize,
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
        Ok(Example { log_mel: self.log_mels[index].clone(), image: None })
    }
}

fn read(path: &str) -> Result<Clips, BoxError> {
    let bytes = std::fs::read(path)?;
    let file = SafeTensors::deserialize(&bytes)?;
    let whole = |name: &str| -> Result<Vec<i64>, BoxError> {
        Ok(file.tensor(name)?.data().as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect())
    };
    let tensor = file.tensor("log_mel")?;
    let &[clips, frames, n_mels] = tensor.shape() else { return Err("log_mel is not [clips, frames, bands]".into()) };
    let values: Vec<f32> = tensor.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    Ok(Clips {
        classes: (0..10).map(|class| format!("class {class}")).collect(),
        ids: (0..clips).map(|clip| format!("clip {clip}")).collect(),
        labels: whole("class")?.into_iter().map(|class| class as usize).collect(),
        folds: whole("fold")?,
        log_mels: values.chunks(frames * n_mels).map(<[f32]>::to_vec).collect(),
        n_mels,
    })
}

fn main() -> Result<(), BoxError> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: esc10 FEATURES.safetensors [NETWORK] [EPOCHS]")?;
    let network = arguments.next().unwrap_or_else(|| "resnet18".to_owned());
    let epochs: usize = arguments.next().as_deref().unwrap_or("12").parse()?;
    let clips = read(&path)?;
    let params = Params {
        network: network.parse()?,
        epochs,
        batch_size: 16,
        learning_rate: 1e-3,
        decay_steps: 0,
        crop: 112,
        select_by: SelectBy::Last,
        ..Params::default()
    };
    let spec = params.resolve()?;
    let log_mel = LogMel { preset: "esc10", n_mels: clips.n_mels };
    let mut accuracies = Vec::new();
    for fold in 1..=5 {
        let started = Instant::now();
        let all = 0..clips.labels.len();
        let (test, rest): (Vec<usize>, Vec<usize>) = all.partition(|clip| clips.folds[*clip] == fold);
        let network = spec.network(log_mel, 10, None)?;
        let job = Job {
            network: &network,
            source: &clips,
            train: &rest,
            select: &[],
            spec: &spec.training,
            fingerprint: "esc10",
            checkpoint_every: Duration::MAX,
        };
        let outcome = train(&job, &InMemory::default(), &mut |_| ControlFlow::Continue(()))?;
        let Outcome::Finished(trained) = outcome else { return Err("stopped".into()) };
        let found = probabilities(&network, &clips, &test, &trained.inputs, &mut |_| true)?.unwrap_or_default();
        let right = found.iter().zip(&test).filter(|(row, clip)| {
            let best = (0..10).max_by(|a, b| row[*a].total_cmp(&row[*b]));
            best == Some(clips.labels[**clip])
        });
        let accuracy = right.count() as f64 / test.len() as f64;
        let loss = trained.history.last().map_or(f64::NAN, |epoch| epoch.train_loss);
        println!(
            "fold {fold}: accuracy {accuracy:.4} in {:.0} s, training loss {loss:.3}",
            started.elapsed().as_secs_f64()
        );
        accuracies.push(accuracy);
    }
    let mean = accuracies.iter().sum::<f64>() / 5.0;
    let spread = (accuracies.iter().map(|a| (a - mean).powi(2)).sum::<f64>() / 4.0).sqrt();
    println!("{}: accuracy {mean:.4}, fold to fold {spread:.4}", params.network.name());
    Ok(())
}
