//! `rate MODEL [ROUNDS]`: milliseconds to prepare a picture and pictures per second through the network: the median round and
//! the fastest, which a busy machine disturbs least.

use std::error::Error;
use std::time::Instant;

use contract::Picture;
use encode_clip::{Checkpoint, DeviceChoice, Encoder, Params, Preprocess, Threads};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let model = arguments.first().ok_or("usage: rate MODEL [ROUNDS]")?;
    let rounds: usize = arguments.get(1).map_or(Ok(9), |n| n.parse())?;
    let checkpoint = Checkpoint::locate(model)?;
    let spec = Params::default().resolve()?;
    let mut preprocess = Preprocess::new(&checkpoint, spec.preprocessing)?;
    let side = preprocess.side();
    let pixels: Vec<u8> = (0..side * side * 3).map(|k: usize| (k.wrapping_mul(2654435761) >> 24) as u8).collect();
    for (width, height) in [(640, 360), (1280, 720), (1920, 1080)] {
        let rgb = (0..width * height * 3).map(|k: usize| (k.wrapping_mul(2654435761) >> 24) as u8).collect();
        let picture = Picture { width, height, rgb };
        let (median, fastest) = measure(rounds * 9, || preprocess.crop(&picture).map(drop))?;
        eprintln!("prepare {width}x{height}: {:.2} ms, fastest {:.2}", median * 1e3, fastest * 1e3);
    }
    for n in [1, 8, 32] {
        let encoder = Encoder::load(&checkpoint, &spec, DeviceChoice::Auto, n)?;
        let batch = pixels.repeat(n);
        let (median, fastest) = measure(rounds, || encoder.encode(&batch, n, Threads::All).map(drop))?;
        let rate = |seconds: f64| n as f64 / seconds;
        eprintln!("encode {n} on {}: {:.2} pictures/s, fastest {:.2}", encoder.backend(), rate(median), rate(fastest));
    }
    Ok(())
}

/// Median and smallest time of a round in seconds.
fn measure<E>(rounds: usize, mut work: impl FnMut() -> Result<(), E>) -> Result<(f64, f64), E> {
    work()?;
    let mut times = Vec::new();
    for _ in 0..rounds {
        let start = Instant::now();
        work()?;
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok((times[rounds / 2], times[0]))
}
