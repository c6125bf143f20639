//! What the scenes look like.
//!
//! A place has a *look* (palette, light, camera), drawn once as a backdrop a little larger than the frame. A clip has a *cast*: people, cars,
//! trains and birds, each moving along a line. A frame is the backdrop as the camera sways, what is seen through windows, the cast from back to front, and grain.

use std::f32::consts::TAU;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::canvas::{Canvas, HIGH, Rgb, WIDE, shade};
use super::cast::{Actor, cast};
use super::look::{Look, YELLOW};
use super::places::{backdrop, world};
use super::{Clip, Scene};

/// Units of backdrop beyond the frame on each side: room for the camera to sway.
const MARGIN: f32 = 0.5;

/// Draws the frames of one clip.
pub struct Painter {
    scene: Scene,
    look: Look,
    backdrop: Canvas,
    outside: Option<Outside>,
    cast: Vec<Actor>,
    poles: Vec<(f32, Rgb)>,
    frame: Canvas,
    noise: Vec<i8>,
    bytes: Vec<u8>,
    phase: f32,
}

/// What a vehicle's windows show, and how it moves past.
struct Outside {
    world: Canvas,
    windows: Vec<[f32; 4]>,
    speed: f32,
    /// The vehicle slows down to a stop at this time, and starts again.
    stop: f32,
}

impl Painter {
    /// Prepares a clip for frames of this size; both even, since video codecs want it so.
    pub fn new(seed: u64, clip: &Clip, width: usize, height: usize) -> Painter {
        let (mut place, mut own) = (clip.of_place(seed, "picture"), clip.of_clip(seed, "picture"));
        let look = Look::new(clip.scene, &mut place);
        let scale = height as f32 / HIGH;
        let wide = width as f32 / scale;
        let mut behind = Canvas::new(-MARGIN, -MARGIN, wide + 2.0 * MARGIN, HIGH + 2.0 * MARGIN, scale, look.light);
        let (windows, poles) = backdrop(&mut behind, clip.scene, &look, &mut place);
        let outside = (!windows.is_empty()).then(|| Outside {
            world: world(clip.scene, &look, scale, &mut place),
            windows,
            speed: own.random_range(3.0..9.0) * if own.random_bool(0.5) { 1.0 } else { -1.0 },
            stop: own.random_range(-6.0..16.0),
        });
        let cast = cast(clip.scene, &look, &mut own);
        let amplitude = look.grain;
        let noise = (0..1 << 16).map(|_| grain(&mut own, amplitude)).collect();
        Painter {
            scene: clip.scene,
            backdrop: behind,
            outside,
            cast,
            poles,
            frame: Canvas::new(0.0, 0.0, wide, HIGH, scale, look.light),
            noise,
            bytes: Vec::new(),
            phase: own.random_range(0.0..TAU),
            look,
        }
    }

    /// The frame at `t` seconds: `width * height * 3` bytes.
    pub fn paint(&mut self, t: f32) -> &[u8] {
        let sway = |rate: f32, turn: f32| self.look.sway * (TAU * rate * t + self.phase + turn).sin();
        let riding = self.outside.is_some();
        let (dx, dy) = if riding { (sway(0.3, 0.0), sway(2.1, 1.0)) } else { (sway(0.13, 0.0), sway(0.21, 2.0)) };
        self.frame.window([0.0, 0.0, WIDE * 2.0, HIGH], &self.backdrop, dx, dy);
        if let Some(outside) = &self.outside {
            let x = outside.travelled(t);
            for &[x0, y0, x1, y1] in &outside.windows {
                let pane = [x0 - dx, y0 - dy, x1 - dx, y1 - dy];
                self.frame.window(pane, &outside.world, x + x0, 0.3 * dy);
            }
        }
        for actor in &self.cast {
            actor.draw(&mut self.frame, t, dx, dy);
        }
        for &(x, colour) in &self.poles {
            self.frame.rect(x - dx - 0.09, -1.0, x - dx + 0.09, 9.5, colour);
            self.frame.rect(x - dx - 0.09, -1.0, x - dx - 0.03, 9.5, shade(colour, 1.3));
        }
        if self.scene == Scene::StreetTraffic {
            let lamp = (t * 0.25 + self.phase).rem_euclid(3.0) as usize;
            let colours = [[0.9, 0.1, 0.1], YELLOW, [0.1, 0.8, 0.3]];
            self.frame.disc(13.4 - dx, 2.0 + 0.45 * lamp as f32 - dy, 0.17, 0.17, colours[lamp]);
        }
        self.develop(t)
    }

    /// Adds sensor noise, anew in every frame.
    fn develop(&mut self, t: f32) -> &[u8] {
        self.bytes.clear();
        let mut offset = (t * 7_919_000.0) as usize;
        for row in self.frame.rgb.chunks_exact(self.frame.width) {
            offset = (offset.wrapping_mul(1_103_515_245) + 12_345) % (self.noise.len() - self.frame.width);
            for (pixel, &noise) in row.iter().zip(&self.noise[offset..]) {
                self.bytes.extend(pixel.map(|value| value.saturating_add_signed(noise)));
            }
        }
        &self.bytes
    }
}

/// Roughly normal: the sum of three uniform numbers.
fn grain(rng: &mut ChaCha8Rng, amplitude: f32) -> i8 {
    let sum: f32 = (0..3).map(|_| rng.random_range(-1.0..1.0_f32)).sum();
    (sum * amplitude) as i8
}

impl Outside {
    /// Units travelled at `t`: the speed is even but for a smooth dip to zero around the stop.
    fn travelled(&self, t: f32) -> f32 {
        self.speed * (t - 1.6 * ((t - self.stop) / 2.0).tanh())
    }
}
