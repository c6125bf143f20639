//! Against the ffmpeg command itself, over real files.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use contract::{Classify, Sound};

use crate::sound::sound;

/// What the ffmpeg command makes of a file: its sound, or nothing. AU is raw f32 behind a header with rate and channels.
fn ffmpeg(path: &Path) -> Option<Sound> {
    let out = Command::new("ffmpeg")
        .args(["-v", "quiet", "-nostdin", "-i"])
        .arg(path)
        .args(["-map_metadata", "-1", "-c:a", "pcm_f32be", "-f", "au", "-"])
        .stderr(Stdio::null())
        .output()
        .unwrap();
    let word = |at: usize| out.stdout.get(at..at + 4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
    let (start, sample_rate, channels) = (word(4)?, word(16)?, word(20)? as usize);
    let samples: Vec<f32> =
        out.stdout[start as usize..].chunks_exact(4).map(|b| f32::from_be_bytes([b[0], b[1], b[2], b[3]])).collect();
    (!samples.is_empty()).then_some(Sound { sample_rate, channels, samples })
}

fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

#[test]
fn explore() {
    let root = PathBuf::from(std::env::var_os("PIPELINE_TEST_MEDIA").unwrap());
    let mut all = files(&root.join("media/audio"));
    all.extend(files(&root.join("media/video")));
    all.extend(files(&root.join("datasets/ESC-10")).into_iter().filter(|p| p.extension().is_some_and(|e| e == "ogg")).step_by(20));
    let mut table = String::new();
    for p in all {
        let name = p.strip_prefix(&root).unwrap().display().to_string();
        let t = std::time::Instant::now();
        let ours = sound(&p);
        let ms = t.elapsed().as_millis();
        let sy = crate::sound::symphonia::sound(std::fs::File::open(&p).unwrap()).is_some();
        let theirs = ffmpeg(&p);
        let text = match (&ours, &theirs) {
            (Ok(a), Some(b)) => {
                let d = a.samples.iter().zip(&b.samples).map(|(x, y)| if x.to_bits() == y.to_bits() { 0.0 } else { (x - y).abs() }).fold(0.0_f32, |m, v| if v.is_nan() { f32::NAN } else { m.max(v) });
                let same = (a.sample_rate, a.channels, a.samples.len()) == (b.sample_rate, b.channels, b.samples.len());
                format!("{} {d:e} {:?} {:?}", if same { "SAME" } else { "DIFF" }, (a.sample_rate, a.channels, a.samples.len()), (b.sample_rate, b.channels, b.samples.len()))
            }
            (Err(e), None) => format!("BOTHERR {} {e}", e.class()),
            (Ok(a), None) => format!("ONLYOURS {:?}", (a.sample_rate, a.channels, a.samples.len())),
            (Err(e), Some(b)) => format!("ONLYTHEIRS {e} {:?}", (b.sample_rate, b.channels, b.samples.len())),
        };
        writeln!(table, "{name} [{}] {ms}ms {text}", if sy { "symph" } else { "libav" }).unwrap();
    }
    eprintln!("{table}");
}
