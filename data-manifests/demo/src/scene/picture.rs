//! What the scenes look like.
//!
//! A place has a *look* (palette, light, camera), drawn once as a backdrop a little larger than the frame. A clip has a *cast*: people, cars,
//! trains and birds, each moving along a line. A frame is the backdrop as the camera sways, what is seen through windows, the cast from back to front, and grain.

use std::f32::consts::TAU;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::canvas::{Canvas, HIGH, Rgb, WIDE, mix, shade};
use super::{Clip, Scene};

/// Units of backdrop beyond the frame on each side: room for the camera to sway.
const MARGIN: f32 = 0.5;
/// Width of the world outside of a vehicle before it repeats, units.
const WORLD: f32 = 80.0;

const WHITE: Rgb = [0.95, 0.95, 0.93];
const BLACK: Rgb = [0.06, 0.06, 0.08];
const STEEL: Rgb = [0.62, 0.65, 0.68];
const YELLOW: Rgb = [0.95, 0.78, 0.12];
const STONE: Rgb = [0.62, 0.59, 0.55];
const ASPHALT: Rgb = [0.30, 0.30, 0.32];

/// What is constant at a place.
struct Look {
    light: Rgb,
    night: bool,
    sky: (Rgb, Rgb),
    wall: Rgb,
    accent: Rgb,
    floor: Rgb,
    grain: f32,
    sway: f32,
    crowd: f32,
    size: f32,
}

/// Something that moves along the x axis and comes back, or stands (speed 0).
struct Actor {
    shape: Shape,
    x: f32,
    /// Where it stands: feet, wheels.
    y: f32,
    size: f32,
    speed: f32,
    phase: f32,
    colour: Rgb,
    other: Rgb,
}

#[derive(Clone, Copy, PartialEq)]
enum Shape {
    Person,
    Traveller,
    Sitting,
    /// Walks towards the camera; grows.
    Coming,
    Car,
    Train,
    Plane,
    Bird,
    Tree,
    Fountain,
}

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
        let mut backdrop = Canvas::new(-MARGIN, -MARGIN, wide + 2.0 * MARGIN, HIGH + 2.0 * MARGIN, scale, look.light);
        let (mut windows, mut poles) = (Vec::new(), Vec::new());
        match clip.scene {
            Scene::Airport => airport(&mut backdrop, &look, &mut place),
            Scene::Bus | Scene::Metro | Scene::Tram => {
                (windows, poles) = vehicle(&mut backdrop, clip.scene, &look, &mut place);
            }
            Scene::MetroStation => station(&mut backdrop, &look, &mut place),
            Scene::Park => park(&mut backdrop, &look, &mut place),
            Scene::PublicSquare => square(&mut backdrop, &look, &mut place),
            Scene::ShoppingMall => mall(&mut backdrop, &look, &mut place),
            Scene::StreetPedestrian => pedestrian(&mut backdrop, &look, &mut place),
            Scene::StreetTraffic => traffic(&mut backdrop, &look, &mut place),
        }
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
            backdrop,
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

impl Look {
    fn new(scene: Scene, rng: &mut ChaCha8Rng) -> Look {
        let indoors = matches!(scene, Scene::Airport | Scene::ShoppingMall | Scene::MetroStation | Scene::Metro);
        let night = !indoors && rng.random_bool(0.2);
        let (warm, bright) = (rng.random_range(-0.12..0.12_f32), rng.random_range(0.72..1.08));
        let dim = if night { 0.55 } else { 1.0 };
        let sky = match (night, rng.random_range(0..3)) {
            (true, _) => ([0.05, 0.06, 0.16], [0.28, 0.22, 0.30]),
            (false, 0) => ([0.35, 0.58, 0.92], [0.75, 0.86, 0.96]),
            (false, 1) => ([0.72, 0.76, 0.80], [0.86, 0.87, 0.88]),
            (false, _) => ([0.48, 0.62, 0.86], [0.95, 0.82, 0.66]),
        };
        let hue = |rng: &mut ChaCha8Rng, from: f32, to: f32| [(); 3].map(|()| rng.random_range(from..to));
        let grey = rng.random_range(0.45..0.85_f32);
        let tone = hue(rng, -0.12, 0.12);
        Look {
            light: [bright * dim * (1.0 + warm), bright * dim, bright * dim * (1.0 - warm)],
            night,
            sky,
            wall: tone.map(|c| grey + c),
            accent: hue(rng, 0.1, 0.95),
            floor: mix([rng.random_range(0.42..0.75); 3], hue(rng, 0.42, 0.75), 0.35),
            grain: rng.random_range(1.0..4.0),
            sway: rng.random_range(0.03..0.22),
            crowd: rng.random_range(0.5..1.6),
            size: rng.random_range(0.8..1.3),
        }
    }
}

fn colour(rng: &mut ChaCha8Rng, from: f32, to: f32) -> Rgb {
    std::array::from_fn(|_| rng.random_range(from..to))
}

/// A row of houses that stands on `ground`; lit windows at night, dark ones by day.
fn facades(c: &mut Canvas, look: &Look, (left, right): (f32, f32), ground: f32, tall: f32, rng: &mut ChaCha8Rng) {
    let mut x = left;
    while x < right {
        let (wide, top) = (rng.random_range(1.6..3.4_f32), ground - tall * rng.random_range(0.6..1.0));
        let wall = mix(look.wall, colour(rng, 0.4, 0.9), 0.5);
        c.rect(x, top, x + wide, ground, wall);
        c.rect(x, top, x + wide, top + 0.12, shade(wall, 0.7));
        let mut y = top + 0.4;
        while y < ground - 0.7 {
            let mut wx = x + 0.25;
            while wx < x + wide - 0.35 {
                let lit = look.night && rng.random_bool(0.5);
                let glass = if lit { [1.6, 1.4, 0.8] } else { mix(BLACK, look.sky.1, 0.35) };
                c.rect(wx, y, wx + 0.28, y + 0.45, glass);
                wx += 0.55;
            }
            y += 0.85;
        }
        x += wide;
    }
}

/// A floor from `y0` on whose joints run to a vanishing point.
fn paving(c: &mut Canvas, y0: f32, floor: Rgb, joint: Rgb, step: f32) {
    c.gradient(-1.0, y0, 40.0, 10.0, shade(floor, 0.85), shade(floor, 1.1));
    let mut x = -24.0;
    while x < 40.0 {
        let (far, near) = (8.0 + (x - 8.0) * 0.25, x);
        c.trapezium(y0, (far - 0.01, far + 0.01), 9.6, (near - 0.04, near + 0.04), joint);
        x += step;
    }
    let mut y = 0.12;
    while y0 + y < 9.6 {
        c.rect(-1.0, y0 + y, 40.0, y0 + y + 0.03, joint);
        y *= 1.5;
    }
}

fn tree(c: &mut Canvas, x: f32, y: f32, size: f32, lean: f32, green: Rgb) {
    c.rect(x - 0.12 * size, y - 1.6 * size, x + 0.12 * size, y, [0.32, 0.22, 0.14]);
    for (dx, dy, r, by) in
        [(-0.6, -2.1, 0.8, 0.8), (0.6, -2.2, 0.8, 0.9), (0.0, -2.9, 0.95, 1.0), (0.1, -2.3, 0.7, 1.15)]
    {
        c.disc(x + (dx + lean) * size, y + dy * size, r * size, r * 0.9 * size, shade(green, by));
    }
}

fn airport(c: &mut Canvas, look: &Look, rng: &mut ChaCha8Rng) {
    c.gradient(-1.0, -1.0, 40.0, 1.4, shade(WHITE, 0.75), WHITE);
    c.gradient(-1.0, 1.4, 40.0, 4.4, look.sky.0, look.sky.1);
    c.gradient(-1.0, 4.4, 40.0, 5.2, [0.42, 0.48, 0.36], [0.5, 0.5, 0.5]);
    let mullion = rng.random_range(1.3..2.4);
    for n in 0..20 {
        let x = n as f32 * mullion;
        c.rect(x, 1.4, x + 0.1, 5.2, shade(STEEL, 0.8));
    }
    c.rect(-1.0, 2.9, 40.0, 2.96, STEEL);
    c.gradient(-1.0, 5.2, 40.0, 10.0, shade(WHITE, 0.82), shade(look.floor, 0.95));
    for n in 0..10 {
        let x = n as f32 * 2.0 * mullion;
        c.trapezium(5.2, (x, x + 0.6), 7.0, (x - 0.3, x + 0.5), shade(WHITE, 0.98));
    }
    let x = rng.random_range(1.0..8.5);
    c.rect(x, 0.3, x + 5.5, 2.3, BLACK);
    for line in 0..6 {
        let (y, mut at) = (0.5 + 0.3 * line as f32, x + 0.2);
        while at < x + 5.2 {
            let word = rng.random_range(0.2..0.8_f32);
            c.rect(at, y, (at + word).min(x + 5.3), y + 0.14, if rng.random_bool(0.8) { YELLOW } else { WHITE });
            at += word + 0.2;
        }
    }
    let seats = rng.random_range(0.0..9.0);
    for n in 0..5 {
        let x = seats + 1.1 * n as f32;
        c.rect(x, 5.6, x + 0.9, 6.5, shade(look.accent, 0.6));
        c.rect(x, 6.4, x + 0.9, 6.7, shade(look.accent, 0.4));
    }
    if rng.random_bool(0.3) {
        shops(c, rng, (10.5, 40.0), 2.6, 5.2);
    }
}

/// Lit shop fronts side by side, each with its sign.
fn shops(c: &mut Canvas, rng: &mut ChaCha8Rng, (left, right): (f32, f32), top: f32, bottom: f32) {
    let mut x = left;
    while x < right {
        let wide = rng.random_range(2.0..3.6);
        let paint = colour(rng, 0.2, 1.0);
        c.rect(x, top, x + wide, bottom, shade(STEEL, 0.55));
        c.rect(x + 0.1, top + 0.1, x + wide - 0.1, top + 0.6, paint);
        c.rect(x + 0.4, top + 0.22, x + 0.4 + wide * rng.random_range(0.3..0.6), top + 0.46, WHITE);
        c.gradient(x + 0.15, top + 0.7, x + wide - 0.15, bottom, [1.0, 0.96, 0.85], mix(paint, WHITE, 0.5));
        for n in 0..4 {
            let goods = x + 0.3 + 0.45 * n as f32;
            c.rect(goods, bottom - rng.random_range(0.4..1.2), goods + 0.3, bottom - 0.15, colour(rng, 0.1, 0.9));
        }
        x += wide;
    }
}

/// Walls, seats and poles of a bus, a metro carriage or a tram; its windows are returned.
fn vehicle(c: &mut Canvas, scene: Scene, look: &Look, rng: &mut ChaCha8Rng) -> (Vec<[f32; 4]>, Vec<(f32, Rgb)>) {
    let (top, bottom, pole) = match scene {
        Scene::Bus => (1.5, 5.0, if rng.random_bool(0.7) { YELLOW } else { STEEL }),
        Scene::Tram => (1.1, 5.6, if rng.random_bool(0.3) { YELLOW } else { shade(STEEL, 1.2) }),
        _ => (1.8, 4.7, STEEL),
    };
    let (top, bottom) = (top + rng.random_range(-0.4..0.4), bottom + rng.random_range(-0.4..0.4));
    let inside = mix(look.wall, WHITE, 0.4);
    c.gradient(-1.0, -1.0, 40.0, top, shade(inside, 0.8), inside);
    c.rect(-1.0, 0.25, 40.0, 0.5, [1.5, 1.5, 1.4]);
    c.rect(-1.0, top - 0.25, 40.0, bottom + 0.25, shade(inside, 0.6));
    c.gradient(-1.0, bottom + 0.25, 40.0, 10.0, shade(inside, 0.75), shade(inside, 0.35));
    let wide = match scene {
        Scene::Bus => rng.random_range(3.2..4.6),
        Scene::Tram => rng.random_range(4.2..6.0),
        _ => rng.random_range(2.4..4.0),
    };
    let (mut windows, mut x) = (Vec::new(), rng.random_range(-2.0..0.0_f32));
    while x < 17.0 {
        windows.push([x + 0.2, top, x + wide - 0.2, bottom]);
        x += wide;
    }
    // A door: a window down to the floor.
    if rng.random_bool(0.6) {
        let door = rng.random_range(0..windows.len());
        windows[door][3] = 8.0;
    }
    let seat = match scene {
        Scene::Tram => mix(look.accent, [0.6, 0.42, 0.25], 0.5),
        _ => look.accent,
    };
    let mut x = rng.random_range(-1.0..1.0_f32);
    while scene != Scene::Metro && x < 17.0 {
        c.rect(x, 5.6, x + 1.5, 9.6, seat);
        c.disc(x + 0.75, 5.7, 0.75, 0.45, seat);
        c.rect(x + 0.25, 6.2, x + 1.25, 7.4, shade(seat, 0.75));
        x += 2.4;
    }
    if scene == Scene::Metro {
        c.rect(-1.0, 6.6, 40.0, 7.6, seat);
        c.rect(-1.0, 7.5, 40.0, 7.8, shade(seat, 0.5));
    }
    let poles = (0..rng.random_range(2..4)).map(|_| (rng.random_range(0.5..15.5), pole)).collect();
    (windows, poles)
}

/// What passes outside: a street, with masts for trams, or a tunnel.
fn world(scene: Scene, look: &Look, scale: f32, rng: &mut ChaCha8Rng) -> Canvas {
    let mut c = Canvas::new(0.0, 0.0, WORLD, HIGH, scale, look.light);
    if scene == Scene::Metro && rng.random_bool(0.75) {
        c.rect(0.0, 0.0, WORLD, HIGH, [0.05, 0.05, 0.06]);
        for n in 0..10 {
            let x = n as f32 * 8.0;
            c.rect(x, 2.6, x + 1.2, 2.8, [0.9, 0.85, 0.6]);
            c.rect(x + 3.0, 0.0, x + 3.5, HIGH, [0.13, 0.12, 0.12]);
        }
        c.rect(0.0, 4.0, WORLD, 4.08, [0.2, 0.18, 0.16]);
        return c;
    }
    c.gradient(0.0, 0.0, WORLD, 5.0, look.sky.0, look.sky.1);
    let mut x = 0.0;
    while x < WORLD - 6.0 {
        let wide = rng.random_range(4.0..10.0);
        if rng.random_bool(0.65) {
            facades(&mut c, look, (x, (x + wide).min(WORLD)), 4.6, 4.0, rng);
        } else {
            for n in 0..(wide / 2.0) as usize {
                tree(&mut c, x + 1.0 + 2.0 * n as f32, 4.8, rng.random_range(0.7..1.2), 0.0, [0.2, 0.42, 0.16]);
            }
        }
        x += wide;
    }
    c.rect(0.0, 4.6, WORLD, 5.0, STONE);
    c.rect(0.0, 5.0, WORLD, HIGH, ASPHALT);
    for n in 0..20 {
        let x = n as f32 * 4.0;
        c.rect(x, 6.2, x + 1.6, 6.3, WHITE);
        if scene == Scene::Tram && n % 2 == 0 {
            c.rect(x, 0.0, x + 0.16, 5.0, shade(STEEL, 0.5));
        }
    }
    if scene == Scene::Tram {
        c.rect(0.0, 0.9, WORLD, 0.95, BLACK);
    }
    c
}

fn station(c: &mut Canvas, look: &Look, rng: &mut ChaCha8Rng) {
    c.gradient(-1.0, -1.0, 40.0, 1.4, shade(ASPHALT, 0.5), shade(ASPHALT, 0.8));
    for n in 0..8 {
        c.rect(n as f32 * 2.4, 0.7, n as f32 * 2.4 + 1.7, 0.95, [1.4, 1.4, 1.25]);
    }
    let tile = mix(look.wall, look.accent, 0.3);
    c.rect(-1.0, 1.4, 40.0, 5.6, shade(tile, 0.8));
    for n in 0..12 {
        c.rect(-1.0, 1.4 + 0.35 * n as f32, 40.0, 1.43 + 0.35 * n as f32, shade(tile, 0.65));
    }
    c.rect(-1.0, 2.5, 40.0, 3.1, look.accent);
    for n in 0..3 {
        let x = rng.random_range(0.0..3.0) + 5.5 * n as f32;
        c.rect(x, 2.45, x + 2.4, 3.15, WHITE);
        c.rect(x + 0.3, 2.65, x + 2.0, 2.95, [0.1, 0.15, 0.5]);
    }
    c.rect(-1.0, 5.6, 40.0, 6.5, [0.09, 0.08, 0.08]);
    c.rect(-1.0, 5.9, 40.0, 5.97, STEEL);
    c.rect(-1.0, 6.25, 40.0, 6.33, STEEL);
    paving(c, 6.5, mix(look.floor, STONE, 0.5), shade(look.floor, 0.7), 2.2);
    c.rect(-1.0, 6.5, 40.0, 6.72, YELLOW);
    if rng.random_bool(0.6) {
        let x = rng.random_range(1.0..14.0);
        c.rect(x, 0.9, x + 0.9, 8.2, shade(tile, 1.1));
        c.rect(x, 0.9, x + 0.2, 8.2, shade(tile, 0.7));
    }
}

fn park(c: &mut Canvas, look: &Look, rng: &mut ChaCha8Rng) {
    c.gradient(-1.0, -1.0, 40.0, 4.6, look.sky.0, look.sky.1);
    let season = rng.random_range(0.0..1.0);
    let green = mix([0.20, 0.42, 0.14], [0.55, 0.42, 0.12], season * 0.7);
    if rng.random_bool(0.4) {
        facades(c, look, (rng.random_range(-1.0..8.0), 18.0), 4.2, 2.2, rng);
    }
    for n in 0..16 {
        c.disc(n as f32 * 1.2 - 1.0, 4.0, 1.2, rng.random_range(0.8..1.8), shade(green, rng.random_range(0.55..0.85)));
    }
    c.gradient(-1.0, 4.4, 40.0, 10.0, shade(green, 1.15), shade(mix(green, [0.4, 0.6, 0.2], 0.4), 1.3));
    for _ in 0..160 {
        let (x, y) = (rng.random_range(-1.0..18.0_f32), rng.random_range(4.8..9.5_f32));
        c.rect(x, y, x + 0.2, y + 0.05, shade(green, rng.random_range(0.8..1.5)));
    }
    let (far, near) = (rng.random_range(5.0..11.0), rng.random_range(1.0..9.0));
    c.trapezium(4.5, (far, far + 0.5), 9.6, (near, near + 5.0), [0.74, 0.66, 0.52]);
    if rng.random_bool(0.5) {
        let x = rng.random_range(1.0..15.0);
        c.disc(x, 5.8, 2.6, 0.6, mix(look.sky.0, [0.2, 0.35, 0.4], 0.4));
    }
}

fn square(c: &mut Canvas, look: &Look, rng: &mut ChaCha8Rng) {
    c.gradient(-1.0, -1.0, 40.0, 4.6, look.sky.0, look.sky.1);
    facades(c, look, (-1.0, 20.0), 4.6, rng.random_range(2.2..3.8), rng);
    if rng.random_bool(0.4) {
        let x = rng.random_range(2.0..12.0);
        c.rect(x, 0.4, x + 1.4, 4.6, look.wall);
        c.trapezium(-0.4, (x + 0.65, x + 0.75), 0.4, (x - 0.1, x + 1.5), shade(look.accent, 0.7));
        c.disc(x + 0.7, 1.2, 0.4, 0.4, WHITE);
    }
    paving(c, 4.6, mix(look.floor, STONE, 0.6), shade(look.floor, 0.75), 1.6);
    if rng.random_bool(0.5) {
        let x = rng.random_range(3.0..13.0);
        c.rect(x - 0.9, 5.6, x + 0.9, 6.4, STONE);
        c.rect(x - 0.5, 4.4, x + 0.5, 5.6, shade(STONE, 0.85));
        c.rect(x - 0.2, 2.7, x + 0.2, 4.4, [0.25, 0.34, 0.30]);
        c.disc(x, 2.5, 0.22, 0.26, [0.25, 0.34, 0.30]);
    }
}

fn mall(c: &mut Canvas, look: &Look, rng: &mut ChaCha8Rng) {
    c.gradient(-1.0, -1.0, 40.0, 1.0, WHITE, shade(WHITE, 0.85));
    for n in 0..9 {
        c.disc(n as f32 * 2.0, 0.4, 0.28, 0.14, [1.6, 1.55, 1.4]);
    }
    shops(c, rng, (-1.0, 18.0), 1.0, 3.2);
    c.rect(-1.0, 3.2, 40.0, 3.7, WHITE);
    for n in 0..40 {
        c.rect(n as f32 * 0.45 - 1.0, 2.5, n as f32 * 0.45 - 0.96, 3.2, shade(STEEL, 0.9));
    }
    c.rect(-1.0, 2.45, 40.0, 2.55, STEEL);
    shops(c, rng, (-1.0, 18.0), 3.7, 6.2);
    paving(c, 6.2, mix(look.floor, WHITE, 0.55), shade(WHITE, 0.8), 1.8);
    if rng.random_bool(0.5) {
        let x = rng.random_range(1.0..15.0);
        c.rect(x - 0.4, 6.6, x + 0.4, 7.3, shade(STONE, 0.6));
        c.disc(x, 6.0, 0.7, 0.9, [0.18, 0.45, 0.2]);
    }
}

fn pedestrian(c: &mut Canvas, look: &Look, rng: &mut ChaCha8Rng) {
    c.gradient(-1.0, -1.0, 40.0, 4.4, look.sky.0, look.sky.1);
    paving(c, 4.4, mix(look.floor, STONE, 0.4), shade(look.floor, 0.7), 1.2);
    let end = rng.random_range(7.0..9.0);
    let gap = rng.random_range(0.5..1.6);
    facades(c, look, (end - gap, end + gap), 4.5, 1.8, rng);
    for (outer, inner, turn) in [(-1.0, end - gap, 1.0), (17.0, end + gap, -1.0_f32)] {
        let mut near = outer;
        for n in 0..5 {
            let far = near + (inner - near) * 0.42;
            let depth = |x: f32| ((x - inner) / (outer - inner)).abs();
            let wall = mix(look.wall, colour(rng, 0.35, 0.95), 0.55);
            let tall = rng.random_range(4.5..7.5_f32) + n as f32 * 0.3;
            let edge = |x: f32, up: f32, down: f32| (4.4 - up * depth(x), 4.4 + down * depth(x));
            let mut side = |up: f32, down: f32, from: f32, to: f32, colour: Rgb| {
                let (from, to) = (near + (far - near) * from, near + (far - near) * to);
                let (left, right) = if turn > 0.0 { (from, to) } else { (to, from) };
                c.wall(left, edge(left, up, down), right, edge(right, up, down), colour);
            };
            side(tall, 4.0, 0.0, 1.0, wall);
            for (up, down) in [(5.6_f32, -4.6), (3.8, -2.8)] {
                for from in [0.1, 0.4, 0.7] {
                    let glass = if look.night { [1.5, 1.3, 0.7] } else { mix(BLACK, look.sky.1, 0.3) };
                    side(up.min(tall - 0.3), down, from, from + 0.2, glass);
                }
            }
            side(0.6, 3.4, 0.1, 0.9, mix([1.0, 0.95, 0.8], wall, 0.3));
            side(1.6, -0.4, 0.0, 1.0, colour(rng, 0.2, 0.95));
            near = far;
        }
    }
}

fn traffic(c: &mut Canvas, look: &Look, rng: &mut ChaCha8Rng) {
    c.gradient(-1.0, -1.0, 40.0, 4.6, look.sky.0, look.sky.1);
    facades(c, look, (-1.0, 20.0), 4.6, rng.random_range(2.8..4.6), rng);
    for n in 0..rng.random_range(0..4) {
        tree(c, rng.random_range(0.0..4.0) + 4.0 * n as f32, 5.0, 0.7, 0.0, [0.2, 0.4, 0.16]);
    }
    c.rect(-1.0, 4.6, 40.0, 5.2, STONE);
    c.gradient(-1.0, 5.2, 40.0, 8.3, shade(ASPHALT, 0.95), shade(ASPHALT, 1.1));
    for n in 0..9 {
        c.trapezium(
            6.5,
            (n as f32 * 2.2, n as f32 * 2.2 + 1.1),
            6.62,
            (n as f32 * 2.2 - 0.05, n as f32 * 2.2 + 1.1),
            WHITE,
        );
    }
    c.rect(-1.0, 8.3, 40.0, 8.5, shade(STONE, 1.2));
    c.rect(-1.0, 8.5, 40.0, 10.0, shade(STONE, 0.9));
    c.rect(13.35, 3.0, 13.45, 8.6, shade(STEEL, 0.5));
    c.rect(13.15, 1.75, 13.65, 3.2, BLACK);
}

/// Who and what moves, from back to front.
fn cast(scene: Scene, look: &Look, rng: &mut ChaCha8Rng) -> Vec<Actor> {
    let mut cast = Vec::new();
    let mut add = |n: f32, shape: Shape, y: (f32, f32), size: (f32, f32), speed: (f32, f32), rng: &mut ChaCha8Rng| {
        for _ in 0..(n * rng.random_range(0.6..1.4)).round() as usize {
            // Farther is smaller: y alone says how far.
            let depth = rng.random_range(0.0..1.0_f32);
            let turn = if rng.random_bool(0.5) { 1.0 } else { -1.0 };
            cast.push(Actor {
                shape,
                x: rng.random_range(-3.0..19.0),
                y: y.0 + (y.1 - y.0) * depth,
                size: size.0 + (size.1 - size.0) * depth,
                speed: rng.random_range(speed.0..=speed.1) * turn,
                phase: rng.random_range(0.0..TAU),
                colour: mix([0.3; 3], colour(rng, 0.05, 0.85), 0.7),
                other: shade([0.93, 0.74, 0.60], rng.random_range(0.45..1.05)),
            });
        }
    };
    let (crowd, size) = (look.crowd, look.size);
    match scene {
        Scene::Airport => {
            add(1.0, Shape::Plane, (4.2, 4.7), (1.0, 1.4), (0.3, 2.0), rng);
            add(5.0 * crowd, Shape::Traveller, (6.6, 9.0), (2.0 * size, 4.0 * size), (0.4, 1.2), rng);
            add(2.0 * crowd, Shape::Person, (6.6, 9.0), (2.0 * size, 4.0 * size), (0.0, 0.8), rng);
        }
        Scene::Bus | Scene::Tram => add(3.0 * crowd, Shape::Sitting, (8.6, 9.6), (2.8, 4.0), (0.0, 0.0), rng),
        Scene::Metro => {
            add(4.0 * crowd, Shape::Sitting, (7.6, 8.0), (2.6, 3.2), (0.0, 0.0), rng);
            add(crowd, Shape::Person, (9.2, 10.5), (5.5, 7.0), (0.0, 0.05), rng);
        }
        Scene::MetroStation => {
            add(0.8, Shape::Train, (6.1, 6.1), (1.0, 1.0), (4.0, 9.0), rng);
            add(5.0 * crowd, Shape::Person, (7.0, 9.3), (2.4 * size, 4.2 * size), (0.0, 0.9), rng);
        }
        Scene::Park => {
            add(3.0, Shape::Tree, (5.0, 8.4), (0.9, 2.2), (0.0, 0.0), rng);
            add(1.6 * crowd, Shape::Person, (5.4, 8.0), (1.0 * size, 2.6 * size), (0.3, 1.0), rng);
            add(3.0, Shape::Bird, (0.6, 3.5), (0.2, 0.4), (0.8, 3.0), rng);
        }
        Scene::PublicSquare => {
            add(0.6, Shape::Fountain, (6.0, 7.0), (1.0, 1.6), (0.0, 0.0), rng);
            add(10.0 * crowd, Shape::Person, (4.9, 8.8), (0.8 * size, 3.0 * size), (0.1, 1.0), rng);
            add(5.0, Shape::Bird, (5.5, 8.0), (0.15, 0.3), (0.1, 0.8), rng);
        }
        Scene::ShoppingMall => {
            add(4.0, Shape::Person, (3.4, 3.4), (1.0, 1.3), (0.2, 0.7), rng);
            add(9.0 * crowd, Shape::Person, (6.6, 9.4), (2.0 * size, 4.4 * size), (0.2, 1.1), rng);
        }
        Scene::StreetPedestrian => {
            add(11.0 * crowd, Shape::Coming, (0.0, 1.0), (3.4 * size, 4.4 * size), (0.02, 0.1), rng);
            add(2.0 * crowd, Shape::Person, (6.0, 8.8), (1.8 * size, 4.0 * size), (0.3, 0.9), rng);
        }
        Scene::StreetTraffic => {
            add(2.0 * crowd, Shape::Person, (5.0, 5.2), (1.3, 1.5), (0.3, 0.9), rng);
            add(4.0 * crowd, Shape::Car, (6.2, 8.0), (0.75, 1.15), (2.5, 7.0), rng);
        }
    }
    // Somebody passes close by and hides half of the scene: happens everywhere.
    if rng.random_bool(0.15) {
        add(1.0, Shape::Person, (15.0, 17.0), (14.0, 17.0), (1.0, 2.0), rng);
    }
    cast.sort_by(|a, b| a.y.total_cmp(&b.y));
    cast
}

impl Actor {
    fn draw(&self, c: &mut Canvas, t: f32, dx: f32, dy: f32) {
        // Long things need a longer way before they come back.
        let way = if self.shape == Shape::Train { 90.0 } else { 24.0 };
        let x = (self.x + self.speed * t + 4.0).rem_euclid(way) - 4.0 - dx;
        let (y, s, beat) = (self.y - dy, self.size, (5.0 * t + self.phase).sin());
        let moving = if self.speed == 0.0 { 0.0 } else { 1.0 };
        match self.shape {
            Shape::Person => self.person(c, x, y, s, beat * moving, true),
            Shape::Sitting => self.person(c, x, y, s, 0.0, false),
            Shape::Traveller => {
                self.person(c, x, y, s, beat, true);
                let behind = x - 0.3 * s * self.speed.signum();
                c.rect(behind - 0.09 * s, y - 0.34 * s, behind + 0.09 * s, y, shade(self.colour, 0.6));
                c.rect(behind - 0.02 * s, y - 0.48 * s, behind + 0.02 * s, y - 0.34 * s, STEEL);
            }
            Shape::Coming => {
                // The way from the vanishing point to the camera, walked in perspective.
                let near = (self.y + self.speed * t).rem_euclid(1.0);
                let grow = 0.08 + near * near;
                self.person(c, 8.0 + (self.x - 8.0) * grow - dx, 4.45 + 4.6 * grow - dy, s * grow, beat, true);
            }
            Shape::Car => {
                let nose = 0.5 * s * self.speed.signum();
                c.rect(x - 1.6 * s, y - 0.95 * s, x + 1.6 * s, y - 0.2 * s, self.colour);
                c.trapezium(
                    y - 1.5 * s,
                    (x - 0.7 * s, x + 0.7 * s),
                    y - 0.95 * s,
                    (x - 1.1 * s, x + 1.1 * s),
                    self.colour,
                );
                c.trapezium(
                    y - 1.4 * s,
                    (x - 0.6 * s, x - 0.05 * s),
                    y - 0.98 * s,
                    (x - 0.95 * s, x - 0.05 * s),
                    BLACK,
                );
                c.trapezium(
                    y - 1.4 * s,
                    (x + 0.05 * s, x + 0.6 * s),
                    y - 0.98 * s,
                    (x + 0.05 * s, x + 0.95 * s),
                    BLACK,
                );
                for side in [-1.0, 1.0] {
                    c.disc(x + side * 0.95 * s, y - 0.2 * s, 0.32 * s, 0.32 * s, BLACK);
                    c.disc(x + side * 0.95 * s, y - 0.2 * s, 0.14 * s, 0.14 * s, STEEL);
                }
                c.disc(x + 3.1 * nose, y - 0.7 * s, 0.12 * s, 0.12 * s, [2.0, 1.9, 1.4]);
            }
            Shape::Train => {
                for carriage in 0..3 {
                    let left = x - 30.0 + 10.2 * carriage as f32;
                    c.rect(left, 1.9 - dy, left + 10.0, 5.9 - dy, mix(WHITE, self.colour, 0.7));
                    c.rect(left, 5.0 - dy, left + 10.0, 5.4 - dy, shade(self.colour, 0.5));
                    for n in 0..5 {
                        let at = left + 0.5 + 1.9 * n as f32;
                        let (low, glass) = if n % 2 == 1 { (5.7, STEEL) } else { (4.0, [1.1, 1.05, 0.85]) };
                        c.rect(at, 2.5 - dy, at + 1.4, low - dy, glass);
                    }
                }
            }
            Shape::Plane => {
                let way = self.speed.signum();
                c.disc(x, y - 0.5 * s, 2.4 * s, 0.32 * s, WHITE);
                c.trapezium(
                    y - 1.5 * s,
                    (x - 2.3 * s * way - 0.3, x - 2.3 * s * way + 0.3),
                    y - 0.5 * s,
                    (x - 2.0 * s * way - 0.4, x - 2.0 * s * way + 0.4),
                    self.colour,
                );
                c.rect(x - 1.6 * s, y - 0.6 * s, x + 1.6 * s, y - 0.52 * s, BLACK);
                c.disc(x, y - 0.3 * s, 0.9 * s, 0.12 * s, STEEL);
            }
            Shape::Bird => {
                c.disc(x, y, s, 0.4 * s, [0.3, 0.3, 0.34]);
                c.disc(x, y - 0.5 * s * beat, 0.4 * s, 0.6 * s * beat.abs() + 0.02, [0.2, 0.2, 0.24]);
            }
            Shape::Tree => {
                tree(c, x, y, s, 0.08 * (1.3 * t + self.phase).sin(), mix([0.16, 0.40, 0.12], self.colour, 0.2));
            }
            Shape::Fountain => {
                c.disc(x, y, 2.2 * s, 0.5 * s, STONE);
                c.disc(x, y - 0.1 * s, 1.9 * s, 0.38 * s, [0.3, 0.5, 0.6]);
                for n in 0..24 {
                    let age = (1.1 * t + n as f32 / 24.0 + self.phase).fract();
                    let aim = ((n * 7 % 24) as f32 / 24.0 - 0.5) * 2.4;
                    let up = 6.0 * age * (1.0 - age);
                    c.disc(x + aim * age * s, y - up * s, 0.09 * s, 0.12 * s, [0.85, 0.92, 1.0]);
                }
            }
        }
    }

    /// A person of height `s` with feet at `(x, y)`; `step` is -1 to 1.
    fn person(&self, c: &mut Canvas, x: f32, y: f32, s: f32, step: f32, legs: bool) {
        let trousers = shade(self.colour, 0.45);
        let (hip, waist) = (y - 0.45 * s, y - 0.42 * s);
        if legs {
            for side in [-1.0, 1.0] {
                let foot = x + side * (0.05 + 0.09 * step.abs()) * s;
                c.trapezium(
                    waist,
                    (x + (0.05 * side - 0.05) * s, x + (0.05 * side + 0.05) * s),
                    y,
                    (foot - 0.045 * s, foot + 0.045 * s),
                    trousers,
                );
            }
        } else {
            c.rect(x - 0.2 * s, hip, x + 0.2 * s, y - 0.2 * s, trousers);
        }
        c.trapezium(
            y - 0.82 * s,
            (x - 0.12 * s, x + 0.12 * s),
            hip + 0.05 * s,
            (x - 0.10 * s, x + 0.10 * s),
            self.colour,
        );
        c.disc(x, y - 0.80 * s, 0.12 * s, 0.06 * s, self.colour);
        let swing = 0.08 * s * step;
        c.trapezium(
            y - 0.8 * s,
            (x - 0.02 * s, x + 0.05 * s),
            hip + 0.02 * s,
            (x + swing - 0.03 * s, x + swing + 0.03 * s),
            shade(self.colour, 0.8),
        );
        c.disc(x, y - 0.92 * s, 0.065 * s, 0.08 * s, self.other);
        c.disc(x, y - 0.96 * s, 0.068 * s, 0.05 * s, shade(self.other, 0.3));
    }
}
