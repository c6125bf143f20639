//! The ten places without anybody in them: what is drawn once per clip, as its backdrop.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::Scene;
use super::canvas::{Canvas, HIGH, Rgb, mix, shade};
use super::look::{ASPHALT, BLACK, Look, STEEL, STONE, WHITE, YELLOW, colour};

/// Width of the world outside of a vehicle before it repeats, units.
const WORLD: f32 = 80.0;

/// What of a vehicle is not backdrop: windows, as left, top, right and bottom, and the poles in front of everybody, as x and colour.
/// Both are empty elsewhere.
pub(super) type Inside = (Vec<[f32; 4]>, Vec<(f32, Rgb)>);

/// Draws the backdrop of a scene.
pub(super) fn backdrop(c: &mut Canvas, scene: Scene, look: &Look, rng: &mut ChaCha8Rng) -> Inside {
    match scene {
        Scene::Airport => airport(c, look, rng),
        Scene::Bus | Scene::Metro | Scene::Tram => return vehicle(c, scene, look, rng),
        Scene::MetroStation => station(c, look, rng),
        Scene::Park => park(c, look, rng),
        Scene::PublicSquare => square(c, look, rng),
        Scene::ShoppingMall => mall(c, look, rng),
        Scene::StreetPedestrian => pedestrian(c, look, rng),
        Scene::StreetTraffic => traffic(c, look, rng),
    }
    Inside::default()
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

/// Walls, seats and poles of a bus, a metro carriage or a tram.
fn vehicle(c: &mut Canvas, scene: Scene, look: &Look, rng: &mut ChaCha8Rng) -> Inside {
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
pub(super) fn world(scene: Scene, look: &Look, scale: f32, rng: &mut ChaCha8Rng) -> Canvas {
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

/// A tree that stands at `(x, y)`; the wind moves its crown by `lean`.
pub(super) fn tree(c: &mut Canvas, x: f32, y: f32, size: f32, lean: f32, green: Rgb) {
    c.rect(x - 0.12 * size, y - 1.6 * size, x + 0.12 * size, y, [0.32, 0.22, 0.14]);
    for (dx, dy, r, by) in
        [(-0.6, -2.1, 0.8, 0.8), (0.6, -2.2, 0.8, 0.9), (0.0, -2.9, 0.95, 1.0), (0.1, -2.3, 0.7, 1.15)]
    {
        c.disc(x + (dx + lean) * size, y + dy * size, r * size, r * 0.9 * size, shade(green, by));
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
