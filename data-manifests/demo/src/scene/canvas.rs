//! Filling shapes with colours: all that the pictures need.
//!
//! Coordinates are *units*: the visible frame is 16 wide and 9 high, x to the right, y down, whatever its size in pixels.

/// Red, green, blue, 0 to 1.
pub type Rgb = [f32; 3];

/// Width of the frame in units.
pub const WIDE: f32 = 16.0;
/// Height of the frame in units.
pub const HIGH: f32 = 9.0;

/// `a` with a share of `b`.
pub fn mix(a: Rgb, b: Rgb, share: f32) -> Rgb {
    std::array::from_fn(|i| a[i] + (b[i] - a[i]) * share)
}

/// Lighter (above 1) or darker.
pub fn shade(colour: Rgb, by: f32) -> Rgb {
    colour.map(|c| c * by)
}

/// An RGB8 picture of a part of the world.
#[derive(Clone)]
pub struct Canvas {
    /// Pixels per row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Pixels, row after row.
    pub rgb: Vec<[u8; 3]>,
    /// Colour and strength of the light; multiplies every colour.
    pub light: Rgb,
    scale: f32,
    left: f32,
    top: f32,
}

impl Canvas {
    /// A black canvas that shows `left..left+wide` and `top..top+high` units at `scale` pixels per unit.
    pub fn new(left: f32, top: f32, wide: f32, high: f32, scale: f32, light: Rgb) -> Canvas {
        let (width, height) = ((wide * scale).round() as usize, (high * scale).round() as usize);
        Canvas { width, height, rgb: vec![[0; 3]; width * height], light, scale, left, top }
    }

    fn ink(&self, colour: Rgb) -> [u8; 3] {
        std::array::from_fn(|i| (colour[i] * self.light[i] * 255.0).round().clamp(0.0, 255.0) as u8)
    }

    fn column(&self, x: f32) -> usize {
        (((x - self.left) * self.scale).round().max(0.0) as usize).min(self.width)
    }

    fn row(&self, y: f32) -> usize {
        (((y - self.top) * self.scale).round().max(0.0) as usize).min(self.height)
    }

    fn span(&mut self, row: usize, from: f32, to: f32, ink: [u8; 3]) {
        let (from, to) = (self.column(from), self.column(to));
        if from < to {
            self.rgb[row * self.width + from..row * self.width + to].fill(ink);
        }
    }

    /// A rectangle.
    pub fn rect(&mut self, x0: f32, y0: f32, x1: f32, y1: f32, colour: Rgb) {
        let ink = self.ink(colour);
        for row in self.row(y0)..self.row(y1) {
            self.span(row, x0, x1, ink);
        }
    }

    /// A rectangle that goes from one colour to another, downwards.
    pub fn gradient(&mut self, x0: f32, y0: f32, x1: f32, y1: f32, top: Rgb, bottom: Rgb) {
        let (first, last) = (self.row(y0), self.row(y1));
        for row in first..last {
            let ink = self.ink(mix(top, bottom, (row - first) as f32 / (last - first) as f32));
            self.span(row, x0, x1, ink);
        }
    }

    /// An ellipse around a centre.
    pub fn disc(&mut self, x: f32, y: f32, rx: f32, ry: f32, colour: Rgb) {
        let ink = self.ink(colour);
        for row in self.row(y - ry)..self.row(y + ry) {
            let off = ((row as f32 + 0.5) / self.scale + self.top - y) / ry;
            let half = rx * (1.0 - off * off).max(0.0).sqrt();
            self.span(row, x - half, x + half, ink);
        }
    }

    /// A trapezium with level top and bottom: `(left, right)` at `y0` to `(left, right)` at `y1`.
    pub fn trapezium(&mut self, y0: f32, at0: (f32, f32), y1: f32, at1: (f32, f32), colour: Rgb) {
        let ink = self.ink(colour);
        for row in self.row(y0)..self.row(y1) {
            let share = (((row as f32 + 0.5) / self.scale + self.top - y0) / (y1 - y0)).clamp(0.0, 1.0);
            self.span(row, at0.0 + (at1.0 - at0.0) * share, at0.1 + (at1.1 - at0.1) * share, ink);
        }
    }

    /// A trapezium with upright sides: `(top, bottom)` at `x0` to `(top, bottom)` at `x1`. A wall in perspective.
    pub fn wall(&mut self, x0: f32, at0: (f32, f32), x1: f32, at1: (f32, f32), colour: Rgb) {
        let ink = self.ink(colour);
        for column in self.column(x0)..self.column(x1) {
            let share = (((column as f32 + 0.5) / self.scale + self.left - x0) / (x1 - x0)).clamp(0.0, 1.0);
            let (top, bottom) = (at0.0 + (at1.0 - at0.0) * share, at0.1 + (at1.1 - at0.1) * share);
            for row in self.row(top)..self.row(bottom) {
                self.rgb[row * self.width + column] = ink;
            }
        }
    }

    /// Shows `world` in the rectangle `[left, top, right, bottom]`, its left edge at `x` of the world, which repeats to the right; rows are
    /// those of the world, `dy` lower.
    pub fn window(&mut self, [x0, y0, x1, y1]: [f32; 4], world: &Canvas, x: f32, dy: f32) {
        let (from, to) = (self.column(x0), self.column(x1));
        let start = ((x - world.left) * world.scale).round().rem_euclid(world.width as f32) as usize % world.width;
        for row in self.row(y0)..self.row(y1) {
            let there = (((row as f32 / self.scale) + self.top + dy - world.top) * world.scale).round();
            let there = (there.max(0.0) as usize).min(world.height - 1) * world.width;
            let (mut at, mut column) = (from, start);
            while at < to {
                let n = (to - at).min(world.width - column);
                let here = row * self.width + at;
                self.rgb[here..here + n].copy_from_slice(&world.rgb[there + column..there + column + n]);
                (at, column) = (at + n, 0);
            }
        }
    }
}
