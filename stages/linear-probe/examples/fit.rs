//! Fits a probe to raw little-endian files and prints how long it took: `fit X_F32 Y_U8 CLASSES [tolerance [c[,c…]]]`.
//! Of several `c` the best on every tenth row is chosen. Called by `fixtures/rate.py`, which makes the files and times scikit-learn beside it.
#![expect(clippy::print_stdout, reason = "an example reports on the terminal")]

use std::time::Instant;

use linear_probe::{Clips, Params, train};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [x, y, classes, rest @ ..] = arguments.as_slice() else {
        return Err("usage: fit X_F32 Y_U8 CLASSES [tolerance [c[,c…]]]".into());
    };
    let bytes = std::fs::read(x)?;
    let values: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)).collect();
    let y: Vec<usize> = std::fs::read(y)?.into_iter().map(usize::from).collect();
    let classes: Vec<String> = (0..classes.parse()?).map(|class: usize| class.to_string()).collect();
    let mut params = Params::default();
    if let Some(tolerance) = rest.first() {
        params.tolerance = tolerance.parse()?;
    }
    if let Some(c) = rest.get(1) {
        params.c = c.split(',').map(str::parse).collect::<Result<_, _>>()?;
    }
    let spec = params.resolve()?;
    let dim = values.len() / y.len();
    let mut clips = Clips::new(dim);
    for (at, (vector, class)) in values.chunks_exact(dim).zip(&y).enumerate() {
        clips.push(vector, *class, None, Some(if at % 10 == 0 { "val" } else { "train" }))?;
    }
    let start = Instant::now();
    let probe = train(&clips, &classes, &spec)?;
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{}",
        serde_json::json!({
            "seconds": seconds, "iterations": probe.iterations, "converged": probe.converged,
            "gradient_norm": probe.gradient_norm, "c": probe.c, "coef": probe.coef, "intercept": probe.intercept,
        })
    );
    Ok(())
}
