//! Turning and mirroring a picture as the ffmpeg command does for a display matrix, plane by plane and before any colour conversion.
//!
//! The command inserts `transpose`, `hflip` and `vflip` filters in front of everything else. All of them move samples and change none, so every
//! sequence of them is one of the eight symmetries of a rectangle: perhaps transpose, then perhaps mirror, then perhaps flip.

/// One of the eight symmetries, applied in the order of its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Orientation {
    /// Swap rows and columns.
    pub(crate) transpose: bool,
    /// Swap left and right.
    pub(crate) mirror: bool,
    /// Swap top and bottom.
    pub(crate) flip: bool,
}

impl Orientation {
    /// Nothing to do.
    pub(crate) fn is_identity(self) -> bool {
        self == Orientation::default()
    }

    /// What the command makes of a display matrix (row-major 16.16 fixed point); the angle in degrees where it would turn by an odd one.
    pub(crate) fn from_matrix(m: [i32; 9]) -> Result<Self, f64> {
        // A zero column has no direction: no angle, no turn.
        let scale = |a: i32, b: i32| f64::from(a).hypot(f64::from(b));
        let (x, y) = (scale(m[0], m[3]), scale(m[1], m[4]));
        if x == 0.0 || y == 0.0 {
            return Ok(Orientation::default());
        }
        let counter_clockwise = -(f64::from(m[1]) / y).atan2(f64::from(m[0]) / x).to_degrees();
        let clockwise = -counter_clockwise.round();
        let theta = clockwise - 360.0 * (clockwise / 360.0 + 0.9 / 360.0).floor();
        let near = |angle: f64| (theta - angle).abs() < 1.0;
        // transpose=clock is transpose, then mirror; cclock: transpose, then flip; clock_flip: both; cclock_flip: neither.
        Ok(if near(90.0) {
            Orientation { transpose: true, mirror: m[3] <= 0, flip: false }
        } else if near(180.0) {
            Orientation { transpose: false, mirror: m[0] < 0, flip: m[4] < 0 }
        } else if near(270.0) {
            Orientation { transpose: true, mirror: m[3] < 0, flip: true }
        } else if theta.abs() > 1.0 {
            return Err(theta);
        } else {
            Orientation { transpose: false, mirror: false, flip: theta.abs() < 1.0 && m[4] < 0 }
        })
    }

    /// Where the sample at `(x, y)` of a `width` x `height` source goes.
    fn target(self, x: usize, y: usize, width: usize, height: usize) -> (usize, usize) {
        let (x, y, width, height) = if self.transpose { (y, x, height, width) } else { (x, y, width, height) };
        (if self.mirror { width - 1 - x } else { x }, if self.flip { height - 1 - y } else { y })
    }

    /// Width and height after turning.
    pub(crate) fn size(self, width: usize, height: usize) -> (usize, usize) {
        if self.transpose { (height, width) } else { (width, height) }
    }

    /// Turns one plane of `width` x `height` samples of `step` bytes each; `rows` are the source rows from the top, `out` the target with
    /// `out_stride` bytes per row.
    pub(crate) fn turn(self, rows: &[&[u8]], width: usize, step: usize, out: &mut [u8], out_stride: usize) {
        match step {
            1 => self.turn_samples::<1>(rows, width, out, out_stride),
            2 => self.turn_samples::<2>(rows, width, out, out_stride),
            3 => self.turn_samples::<3>(rows, width, out, out_stride),
            4 => self.turn_samples::<4>(rows, width, out, out_stride),
            6 => self.turn_samples::<6>(rows, width, out, out_stride),
            8 => self.turn_samples::<8>(rows, width, out, out_stride),
            _ => unreachable!("pixel formats have samples of 1, 2, 3, 4, 6 or 8 bytes"),
        }
    }

    fn turn_samples<const STEP: usize>(self, rows: &[&[u8]], width: usize, out: &mut [u8], out_stride: usize) {
        // Blocks keep both the rows read and the rows written in the first-level cache.
        const BLOCK: usize = 32;
        let height = rows.len();
        for y0 in (0..height).step_by(BLOCK) {
            for x0 in (0..width).step_by(BLOCK) {
                for (y, row) in rows.iter().enumerate().skip(y0).take(BLOCK) {
                    let end = (x0 + BLOCK).min(width);
                    let (samples, _) = row[x0 * STEP..end * STEP].as_chunks::<STEP>();
                    for (x, sample) in (x0..end).zip(samples) {
                        let (tx, ty) = self.target(x, y, width, height);
                        let at = ty * out_stride + tx * STEP;
                        out[at..at + STEP].copy_from_slice(sample);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn turned(o: Orientation, rows: &[&str]) -> Vec<String> {
        let rows: Vec<&[u8]> = rows.iter().map(|r| r.as_bytes()).collect();
        let (w, h) = o.size(rows[0].len(), rows.len());
        let mut out = vec![b'.'; w * h];
        o.turn(&rows, rows[0].len(), 1, &mut out, w);
        out.chunks(w).map(|r| String::from_utf8(r.to_vec()).unwrap()).collect()
    }

    fn matrix(a: i32, b: i32, c: i32, d: i32) -> [i32; 9] {
        let one = 1 << 16;
        [a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30]
    }

    #[test]
    fn matrices_of_phones() {
        let of = |m| turned(Orientation::from_matrix(m).unwrap(), &["abc", "def"]);
        assert_eq!(of(matrix(1, 0, 0, 1)), ["abc", "def"]);
        assert_eq!(of(matrix(0, 1, -1, 0)), ["da", "eb", "fc"]); // a quarter turn clockwise
        assert_eq!(of(matrix(-1, 0, 0, -1)), ["fed", "cba"]);
        assert_eq!(of(matrix(0, -1, 1, 0)), ["cf", "be", "ad"]);
        assert_eq!(of(matrix(1, 0, 0, -1)), ["def", "abc"]);
        assert_eq!(of(matrix(-1, 0, 0, 1)), ["cba", "fed"]);
        assert_eq!(of(matrix(0, 1, 1, 0)), ["ad", "be", "cf"]);
        assert_eq!(of(matrix(0, -1, -1, 0)), ["fc", "eb", "da"]);
    }

    #[test]
    fn no_direction_is_no_turn_and_odd_angles_are_told() {
        assert!(Orientation::from_matrix([0; 9]).unwrap().is_identity());
        let tilted = Orientation::from_matrix(matrix(1, 1, -1, 1));
        assert!((tilted.unwrap_err() - 45.0).abs() < 1e-9);
    }

    #[test]
    fn blocks_and_wide_samples_move_every_sample_once() {
        let (width, height) = (45, 70);
        for step in [1, 2, 3, 4, 6, 8] {
            let plane: Vec<u8> = (0..width * height * step).map(|i| (i * 7 % 251) as u8).collect();
            let rows: Vec<&[u8]> = plane.chunks(width * step).collect();
            for bits in 0..8 {
                let o = Orientation { transpose: bits & 1 != 0, mirror: bits & 2 != 0, flip: bits & 4 != 0 };
                let (w, h) = o.size(width, height);
                let mut out = vec![0; w * h * step];
                o.turn(&rows, width, step, &mut out, w * step);
                for (y, row) in rows.iter().enumerate() {
                    for x in 0..width {
                        let (tx, ty) = o.target(x, y, width, height);
                        let at = (ty * w + tx) * step;
                        assert_eq!(out[at..at + step], row[x * step..(x + 1) * step]);
                    }
                }
            }
        }
    }
}
