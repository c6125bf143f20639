//! The largest of each 3x3 window, stride 2, one cell of padding that never wins.

use rayon::prelude::*;

/// Rows and columns of the output.
pub(crate) fn out(h: usize, w: usize) -> (usize, usize) {
    ((h - 1) / 2 + 1, (w - 1) / 2 + 1)
}

/// The largest values and where in their plane they lie. The first of equals wins, as in PyTorch, and a NaN over all.
pub(crate) fn forward(x: &[f32], (h, w): (usize, usize)) -> (Vec<f32>, Vec<u32>) {
    let (rows, columns) = out(h, w);
    let size = rows * columns;
    let planes = x.len() / (h * w);
    let mut values = vec![0.0; planes * size];
    let mut places = vec![0; planes * size];
    values.par_chunks_mut(size).zip(places.par_chunks_mut(size)).zip(x.par_chunks(h * w)).for_each(
        |((values, places), x)| {
            let cells = values.iter_mut().zip(places.iter_mut()).enumerate();
            for (p, (value, place)) in cells {
                let (i, j) = (2 * (p / columns), 2 * (p % columns));
                let (left, right) = (j.saturating_sub(1), (j + 2).min(w));
                let mut best = (f32::NEG_INFINITY, (i * w + j) as u32);
                for row in i.saturating_sub(1)..(i + 2).min(h) {
                    for column in left..right {
                        let candidate = x[row * w + column];
                        if candidate > best.0 || candidate.is_nan() {
                            best = (candidate, (row * w + column) as u32);
                        }
                    }
                }
                (*value, *place) = best;
            }
        },
    );
    (values, places)
}

/// The gradient of the input.
pub(crate) fn backward(dy: &[f32], places: &[u32], (h, w): (usize, usize)) -> Vec<f32> {
    let (rows, columns) = out(h, w);
    let size = rows * columns;
    let mut dx = vec![0.0; dy.len() / size * h * w];
    dx.par_chunks_mut(h * w).zip(dy.par_chunks(size)).zip(places.par_chunks(size)).for_each(|((dx, dy), places)| {
        for (dy, place) in dy.iter().zip(places) {
            dx[*place as usize] += dy;
        }
    });
    dx
}
