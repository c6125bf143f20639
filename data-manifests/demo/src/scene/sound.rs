//! What the scenes sound like.
//!
//! A clip is a sum of layers: bands of noise (wind, wheels, a room full of voices), tones with harmonics (motors, hums, bells) and events
//! (steps, birds, horns, doors). A place fixes how loud its layers are and how its machines are tuned; a clip fixes when things happen.

use std::f32::consts::TAU;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{Clip, SECONDS, Scene};

/// Samples per second.
pub const RATE: u32 = 48_000;

/// Samples between two values of an envelope: 1 ms.
const STEP: usize = 48;

/// The sound of a clip: 10 s of left and right, within -1..1. Every tenth clip or so is one sample longer or shorter, as real recordings cut by time are.
pub fn render(seed: u64, clip: &Clip) -> Vec<[f32; 2]> {
    let (mut place, mut own) = (clip.of_place(seed, "sound"), clip.of_clip(seed, "sound"));
    let length = (SECONDS * RATE as f32) as usize + [1, 1, 1, 1, 1, 1, 1, 1, 0, 2][own.random_range(0..10)] - 1;
    let mut mix = Mix { sound: vec![[0.0; 2]; length], rng: own };
    mix.scene(clip.scene, &mut place);
    // The microphones' own noise, and a level that differs from place to place.
    mix.noise(20.0, 16_000.0, 0.0015, |_| 1.0);
    let gain = place.random_range(0.25..0.6);
    let peak = mix.sound.iter().flatten().fold(0.1_f32, |peak, s| peak.max(s.abs()));
    mix.sound.iter().map(|s| s.map(|s| s / peak * gain)).collect()
}

/// The layers mixed so far, and the randomness of the clip.
struct Mix {
    sound: Vec<[f32; 2]>,
    rng: ChaCha8Rng,
}

impl Mix {
    fn scene(&mut self, scene: Scene, place: &mut ChaCha8Rng) {
        // How present each kind of layer is here: places of a class differ by some 10 dB.
        let mut level = |loud: f32| loud * 10.0_f32.powf(place.random_range(-0.35..0.25));
        let levels: [f32; 8] = std::array::from_fn(|_| level(1.0));
        let [a, b, c, d, e, ..] = levels;
        let tune = place.random_range(0.8..1.25_f32);
        match scene {
            Scene::Airport => {
                self.noise(60.0, 500.0, 0.10 * a, |_| 1.0);
                self.voices(0.06 * b);
                self.rattle(0.05 * c, 14.0);
                self.steps(0.06 * d, 1.6);
                if self.rng.random_bool(0.6) {
                    self.chime(0.10 * e, &[523.0 * tune, 659.0 * tune, 784.0 * tune]);
                }
            }
            Scene::Bus => {
                let idle = 33.0 * tune;
                self.motor(0.16 * a, 12, move |t| idle * (1.4 + 0.5 * (0.5 * t).sin()));
                self.noise(40.0, 300.0, 0.10 * b, |_| 1.0);
                self.voices(0.025 * c);
                self.rattle(0.03 * d, 9.0);
                if self.rng.random_bool(0.5) {
                    self.hiss(0.12 * e);
                }
            }
            Scene::Metro => {
                self.noise(150.0, 1100.0, 0.16 * a, |t| 1.0 + 0.3 * (TAU * 0.7 * t).sin());
                self.noise(30.0, 120.0, 0.12 * b, |_| 1.0);
                self.clack(0.12 * c, 1.3 * tune);
                let whine = 480.0 * tune;
                self.motor(0.03 * d, 4, move |t| whine * (1.0 + 0.35 * (0.35 * t).sin()));
                self.squeal(0.04 * e);
            }
            Scene::MetroStation => {
                self.noise(50.0, 350.0, 0.06 * a, |_| 1.0);
                self.motor(0.02 * b, 3, |_| 100.0);
                self.steps(0.07 * c, 2.4);
                self.voices(0.04 * d);
                if self.rng.random_bool(0.7) {
                    let at = self.rng.random_range(0.0..10.0_f32);
                    self.noise(120.0, 1400.0, 0.16 * e, move |t| (-((t - at) / 2.2).powi(2)).exp());
                    self.chime(0.05, &[880.0 * tune, 880.0 * tune]);
                }
            }
            Scene::Park => {
                self.noise(40.0, 200.0, 0.03 * a, |t| 1.0 + 0.7 * (TAU * 0.17 * t).sin());
                self.noise(2500.0, 9000.0, 0.012 * b, |t| 1.0 + 0.6 * (TAU * 0.23 * t + 1.0).sin());
                self.birds(0.06 * c);
                self.steps(0.02 * d, 1.8);
                self.voices(0.012 * e);
            }
            Scene::PublicSquare => {
                self.voices(0.06 * a);
                self.noise(80.0, 600.0, 0.04 * b, |_| 1.0);
                self.noise(1500.0, 8000.0, 0.03 * c, |_| 1.0);
                self.steps(0.05 * d, 3.0);
                match self.rng.random_range(0..3) {
                    0 => self.bell(0.12 * e, 330.0 * tune),
                    1 => self.birds(0.03 * e),
                    _ => {}
                }
            }
            Scene::ShoppingMall => {
                self.voices(0.09 * a);
                self.voices(0.05 * b);
                self.music(0.03 * c, tune);
                self.steps(0.05 * d, 4.0);
                self.noise(80.0, 450.0, 0.05 * e, |_| 1.0);
            }
            Scene::StreetPedestrian => {
                self.steps(0.09 * a, 5.0);
                self.voices(0.06 * b);
                self.noise(70.0, 500.0, 0.035 * c, |_| 1.0);
                if self.rng.random_bool(0.4) {
                    self.music(0.012 * d, tune);
                }
                if self.rng.random_bool(0.3) {
                    self.bell(0.05 * e, 1900.0 * tune);
                }
            }
            Scene::StreetTraffic => {
                self.noise(50.0, 700.0, 0.07 * a, |_| 1.0);
                for _ in 0..self.rng.random_range(3..7) {
                    self.passing(0.14 * b);
                }
                self.motor(0.04 * c, 8, |t| 38.0 * (1.2 + 0.3 * (0.8 * t).sin()));
                if self.rng.random_bool(0.35) {
                    self.horn(0.12 * d, 420.0 * tune);
                }
                self.steps(0.02 * e, 1.5);
            }
            Scene::Tram => {
                self.noise(90.0, 800.0, 0.11 * a, |t| 1.0 + 0.2 * (TAU * 0.5 * t).sin());
                let whine = 260.0 * tune;
                self.motor(0.07 * b, 6, move |t| whine * (1.0 + 0.5 * (0.45 * t).sin()));
                self.clack(0.06 * c, 0.7 * tune);
                self.voices(0.025 * d);
                if self.rng.random_bool(0.5) {
                    self.bell(0.08 * e, 1250.0 * tune);
                }
                self.squeal(0.02 * e);
            }
        }
    }

    /// Noise between two frequencies; left and right share some of it, as two ears do.
    fn noise(&mut self, low: f32, high: f32, gain: f32, envelope: impl Fn(f32) -> f32) {
        let mut filters: [[Filter; 2]; 3] =
            std::array::from_fn(|_| [Filter::high_pass(low), Filter::low_pass(high.min(20_000.0))]);
        // White noise loses level with bandwidth; undo that, so that `gain` is about what is heard.
        let gain = gain * (RATE as f32 / 2.0 / (high - low)).sqrt().min(12.0);
        let rng = &mut self.rng;
        for (block, samples) in self.sound.chunks_mut(STEP).enumerate() {
            let gain = gain * envelope(block as f32 * 1e-3);
            for sample in samples {
                let [left, right, both] = std::array::from_fn(|i| {
                    let [high_pass, low_pass] = &mut filters[i];
                    low_pass.run(high_pass.run(rng.random_range(-1.0..1.0)))
                });
                sample[0] += gain * (0.7 * left + 0.7 * both);
                sample[1] += gain * (0.7 * right + 0.7 * both);
            }
        }
    }

    /// A tone with falling harmonics whose pitch follows `pitch` (Hz).
    fn motor(&mut self, gain: f32, harmonics: usize, pitch: impl Fn(f32) -> f32) {
        let tilt: Vec<f32> = (1..=harmonics).map(|n| self.rng.random_range(0.3..1.0) / n as f32).collect();
        let mut phase = self.rng.random_range(0.0..1.0_f32);
        for (block, samples) in self.sound.chunks_mut(STEP).enumerate() {
            let step = pitch(block as f32 * 1e-3) / RATE as f32;
            for sample in samples {
                phase = (phase + step).fract();
                let tone: f32 = tilt.iter().enumerate().map(|(n, a)| a * (TAU * phase * (n + 1) as f32).sin()).sum();
                sample[0] += gain * tone;
                sample[1] += 0.9 * gain * tone;
            }
        }
    }

    /// Adds a short sound at `at` seconds from one side (`pan` -1 to 1), later and softer in the other ear.
    fn event(&mut self, at: f32, seconds: f32, pan: f32, mut wave: impl FnMut(f32) -> f32) {
        let gains = [1.0 - 0.45 * pan.max(0.0), 1.0 + 0.45 * pan.min(0.0)];
        // 0.6 ms is the way around a head.
        let late = [(pan.max(0.0) * 29.0) as isize, (-pan.min(0.0) * 29.0) as isize];
        let start = (at * RATE as f32) as isize;
        for n in 0..(seconds * RATE as f32) as isize {
            let value = wave(n as f32 / RATE as f32);
            for ear in 0..2 {
                if let Ok(index) = usize::try_from(start + n + late[ear])
                    && let Some(sample) = self.sound.get_mut(index)
                {
                    sample[ear] += gains[ear] * value;
                }
            }
        }
    }

    fn pan(&mut self) -> f32 {
        self.rng.random_range(-1.0..1.0)
    }

    /// Times of a process with so many events a second.
    fn times(&mut self, rate: f32) -> Vec<f32> {
        let mut times = Vec::new();
        let mut t = 0.0;
        while t < SECONDS {
            t += -self.rng.random_range(1e-3..1.0_f32).ln() / rate;
            times.push(t);
        }
        times
    }

    /// Many people talking: the band of speech, swelling at the rate of syllables.
    fn voices(&mut self, gain: f32) {
        for _ in 0..3 {
            let (rate, turn) = (self.rng.random_range(2.5..5.0), self.rng.random_range(0.0..TAU));
            let low = self.rng.random_range(180.0..500.0);
            let slow = self.rng.random_range(0.1..0.4);
            self.noise(low, low * 5.0, 0.5 * gain, move |t| {
                (0.6 + 0.5 * (TAU * rate * t + turn).sin()).max(0.0) * (0.8 + 0.4 * (TAU * slow * t).sin())
            });
        }
    }

    /// Walkers, each with a rhythm of their own.
    fn steps(&mut self, gain: f32, walkers: f32) {
        for _ in 0..(walkers * self.rng.random_range(0.6..1.4)).round() as usize {
            let (pace, pan) = (self.rng.random_range(0.45..0.65_f32), self.pan());
            let (pitch, loud) = (self.rng.random_range(90.0..260.0_f32), self.rng.random_range(0.3..1.0_f32));
            let mut t = self.rng.random_range(0.0..pace);
            while t < SECONDS {
                let mut noise = self.rng.clone();
                self.event(t, 0.09, pan, |s| {
                    let click: f32 = noise.random_range(-1.0..1.0);
                    gain * loud * ((TAU * pitch * s).sin() * (-60.0 * s).exp() + 0.6 * click * (-160.0 * s).exp())
                });
                t += pace * self.rng.random_range(0.94..1.06);
            }
        }
    }

    /// Loose parts, or the wheels of suitcases.
    fn rattle(&mut self, gain: f32, rate: f32) {
        for t in self.times(rate) {
            let (pitch, pan) = (self.rng.random_range(900.0..2600.0_f32), self.pan());
            let loud = self.rng.random_range(0.2..1.0_f32);
            self.event(t, 0.03, pan, |s| gain * loud * (TAU * pitch * s).sin() * (-180.0 * s).exp());
        }
    }

    /// Rail joints: two knocks, again and again.
    fn clack(&mut self, gain: f32, rate: f32) {
        let mut t = self.rng.random_range(0.0..1.0);
        while t < SECONDS {
            for late in [0.0, 0.13] {
                let mut noise = self.rng.clone();
                self.event(t + late, 0.1, 0.0, |s| {
                    let knock: f32 = noise.random_range(-1.0..1.0);
                    gain * (0.7 * knock * (-70.0 * s).exp() + (TAU * 75.0 * s).sin() * (-35.0 * s).exp())
                });
            }
            t += self.rng.random_range(0.93..1.07) / rate;
        }
    }

    /// Wheels in a bend.
    fn squeal(&mut self, gain: f32) {
        for t in self.times(0.15) {
            let (pitch, pan) = (self.rng.random_range(1800.0..3600.0_f32), self.pan());
            self.event(t, 1.5, pan, |s| {
                gain * (TAU * (pitch * s + 60.0 * (3.0 * s).sin())).sin() * (std::f32::consts::PI * s / 1.5).sin()
            });
        }
    }

    /// Birds: short sweeps in phrases.
    fn birds(&mut self, gain: f32) {
        for start in self.times(0.9) {
            let (pitch, pan) = (self.rng.random_range(2600.0..5600.0_f32), self.pan());
            let (sweep, loud) = (self.rng.random_range(-6000.0..6000.0_f32), self.rng.random_range(0.2..1.0_f32));
            for n in 0..self.rng.random_range(2..7) {
                self.event(start + 0.14 * n as f32, 0.09, pan, |s| {
                    gain * loud * (TAU * (pitch * s + sweep * s * s)).sin() * (std::f32::consts::PI * s / 0.09).sin()
                });
            }
        }
    }

    /// A car goes by: noise of tyres that swells and ebbs.
    fn passing(&mut self, gain: f32) {
        let (at, wide) = (self.rng.random_range(-0.5..10.5_f32), self.rng.random_range(0.6..1.6_f32));
        let (low, loud) = (self.rng.random_range(120.0..400.0), self.rng.random_range(0.4..1.0));
        self.noise(low, low * 6.0, gain * loud, move |t| (-((t - at) / wide).powi(2)).exp());
    }

    /// Doors and brakes: air let out.
    fn hiss(&mut self, gain: f32) {
        let at = self.rng.random_range(0.5..9.0_f32);
        self.noise(3000.0, 12_000.0, gain, move |t| if t > at { (-(t - at) / 0.35).exp() } else { 0.0 });
    }

    fn horn(&mut self, gain: f32, pitch: f32) {
        let (at, seconds, pan) = (self.rng.random_range(0.0..9.0), self.rng.random_range(0.2..0.9), self.pan());
        self.event(at, seconds, pan, |s| {
            gain * [1.0, 1.26].iter().map(|ratio| (TAU * pitch * ratio * s).sin().signum() * 0.3).sum::<f32>()
        });
    }

    /// A struck bell: partials that are no harmonics, the high ones die first.
    fn bell(&mut self, gain: f32, pitch: f32) {
        for t in self.times(0.4) {
            let pan = self.pan();
            self.event(t, 2.0, pan, |s| {
                let partials = [(0.5, 0.5), (1.0, 1.0), (1.2, 0.6), (2.0, 0.5), (2.74, 0.3)];
                let ring =
                    |(ratio, loud): &(f32, f32)| loud * (TAU * pitch * ratio * s).sin() * (-2.5 * ratio * s).exp();
                gain * partials.iter().map(ring).sum::<f32>()
            });
        }
    }

    /// Notes one after the other, before an announcement or while doors close.
    fn chime(&mut self, gain: f32, notes: &[f32]) {
        let start = self.rng.random_range(0.0..8.0);
        for (n, &pitch) in notes.iter().enumerate() {
            self.event(start + 0.45 * n as f32, 0.9, 0.0, |s| gain * (TAU * pitch * s).sin() * (-4.0 * s).exp());
        }
    }

    /// Background music: four chords, over and over.
    fn music(&mut self, gain: f32, tune: f32) {
        let chords = [[0, 4, 7], [9, 12, 16], [5, 9, 12], [7, 11, 14]];
        let first = self.rng.random_range(0..4);
        for bar in 0..14 {
            for note in chords[(bar / 2 + first) % 4] {
                let pitch = 220.0 * tune * 2.0_f32.powf(note as f32 / 12.0);
                self.event(0.75 * bar as f32, 0.75, 0.2, |s| {
                    let tone = (TAU * pitch * s).sin() + 0.4 * (TAU * 2.0 * pitch * s).sin();
                    gain * tone * (-3.0 * s).exp() * (200.0 * s).min(1.0)
                });
            }
        }
    }
}

/// A second-order section in the form of R. Bristow-Johnson's cookbook, Q = 0.707.
struct Filter {
    b: [f32; 3],
    a: [f32; 2],
    z: [f32; 2],
}

impl Filter {
    fn low_pass(hertz: f32) -> Filter {
        let (cos, alpha) = Filter::corner(hertz);
        Filter::new([(1.0 - cos) / 2.0, 1.0 - cos, (1.0 - cos) / 2.0], cos, alpha)
    }

    fn high_pass(hertz: f32) -> Filter {
        let (cos, alpha) = Filter::corner(hertz);
        Filter::new([f32::midpoint(1.0, cos), -1.0 - cos, f32::midpoint(1.0, cos)], cos, alpha)
    }

    fn corner(hertz: f32) -> (f32, f32) {
        let (sin, cos) = (TAU * hertz / RATE as f32).sin_cos();
        (cos, sin / std::f32::consts::SQRT_2)
    }

    fn new(b: [f32; 3], cos: f32, alpha: f32) -> Filter {
        let a0 = 1.0 + alpha;
        Filter { b: b.map(|b| b / a0), a: [-2.0 * cos / a0, (1.0 - alpha) / a0], z: [0.0; 2] }
    }

    fn run(&mut self, x: f32) -> f32 {
        let y = self.b[0] * x + self.z[0];
        self.z[0] = self.b[1] * x - self.a[0] * y + self.z[1];
        self.z[1] = self.b[2] * x - self.a[1] * y;
        y
    }
}
