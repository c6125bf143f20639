//! Who and what moves through a scene.

use std::f32::consts::TAU;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::Scene;
use super::canvas::{Canvas, Rgb, mix, shade};
use super::look::{BLACK, Look, STEEL, STONE, WHITE, colour};
use super::places::tree;

/// Something that moves along the x axis and comes back, or stands (speed 0).
pub(super) struct Actor {
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

/// All of them, from back to front.
pub(super) fn cast(scene: Scene, look: &Look, rng: &mut ChaCha8Rng) -> Vec<Actor> {
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
    /// Draws it as it is at `t` seconds, with the camera moved by `(dx, dy)`.
    pub(super) fn draw(&self, c: &mut Canvas, t: f32, dx: f32, dy: f32) {
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
