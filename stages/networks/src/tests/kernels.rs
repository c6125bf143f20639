//! Fast kernels against f64 twins written from the definition, and their gradients against the twin's.

use crate::kernel::conv::Geometry;
use crate::kernel::norm::{self, Affine, Forwarded};
use crate::kernel::{depthwise, pool};
use crate::layers::Activation;

/// Numbers between -1 and 1 that depend on `seed` and the place alone.
fn numbers(seed: u64, count: usize) -> Vec<f32> {
    (0..count as u64)
        .map(|i| {
            let mut z = (seed << 32 ^ i).wrapping_add(0x9E37_79B9_7F4A_7C15).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            (z >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

fn largest_difference(fast: &[f32], slow: &[f64]) -> f64 {
    assert_eq!(fast.len(), slow.len());
    fast.iter().zip(slow).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max)
}

/// Every product of the convolution: `visit(index of x, index of w, index of y)`.
fn products(g: &Geometry, batch: usize, groups: usize, mut visit: impl FnMut(usize, usize, usize)) {
    let (rows, columns) = g.out();
    let per_group = g.inputs / groups;
    for n in 0..batch {
        for o in 0..g.outputs {
            for c in 0..per_group {
                let channel = o / (g.outputs / groups) * per_group + c;
                for i in 0..rows {
                    for j in 0..columns {
                        for a in 0..g.kernel {
                            for b in 0..g.kernel {
                                let (y, x) = (i * g.stride + a, j * g.stride + b);
                                let inside = (g.padding..g.padding + g.height).contains(&y)
                                    && (g.padding..g.padding + g.width).contains(&x);
                                if inside {
                                    let (y, x) = (y - g.padding, x - g.padding);
                                    visit(
                                        ((n * g.inputs + channel) * g.height + y) * g.width + x,
                                        ((o * per_group + c) * g.kernel + a) * g.kernel + b,
                                        ((n * g.outputs + o) * rows + i) * columns + j,
                                    );
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn geometry(
    (inputs, outputs): (usize, usize),
    (height, width): (usize, usize),
    kernel: usize,
    stride: usize,
) -> Geometry {
    Geometry { inputs, outputs, height, width, kernel, stride, padding: (kernel - 1) / 2 }
}

/// Forward, gradient of the input, gradient of the weights.
type Three<'a> = [&'a dyn Fn(&[f32], &[f32], &[f32]) -> Vec<f32>; 3];

fn compare(g: &Geometry, batch: usize, groups: usize, fast: Three) {
    let (rows, columns) = g.out();
    let x = numbers(1, batch * g.inputs * g.height * g.width);
    let w = numbers(2, g.outputs * g.inputs / groups * g.kernel * g.kernel);
    let dy = numbers(3, batch * g.outputs * rows * columns);
    let mut slow = [vec![0.0; dy.len()], vec![0.0; x.len()], vec![0.0; w.len()]];
    products(g, batch, groups, |i, k, o| {
        slow[0][o] += f64::from(x[i]) * f64::from(w[k]);
        slow[1][i] += f64::from(dy[o]) * f64::from(w[k]);
        slow[2][k] += f64::from(dy[o]) * f64::from(x[i]);
    });
    for (which, (fast, slow)) in fast.iter().zip(&slow).enumerate() {
        let scale = slow.iter().fold(1.0f64, |a, b| a.max(b.abs()));
        let difference = largest_difference(&fast(&x, &w, &dy), slow) / scale;
        assert!(difference < 3e-6, "{g:?}, batch {batch}: kernel {which} is off by {difference}");
    }
}

#[test]
fn convolutions_and_both_gradients_equal_their_twin() {
    let cases = [
        (geometry((3, 7), (9, 5), 3, 1), 2),
        (geometry((3, 7), (9, 6), 3, 2), 2),
        (geometry((3, 7), (8, 5), 3, 2), 3),
        (geometry((1, 13), (21, 16), 7, 2), 2),
        (geometry((1, 5), (8, 9), 7, 2), 1),
        (geometry((70, 65), (7, 4), 3, 1), 5),
        (geometry((40, 140), (6, 8), 3, 1), 3),
        (geometry((5, 6), (33, 64), 3, 1), 2),
        (geometry((6, 9), (5, 7), 1, 1), 2),
        (geometry((9, 14), (7, 8), 1, 2), 2),
        (geometry((300, 8), (6, 6), 1, 1), 1),
        (geometry((2, 3), (1, 1), 3, 1), 2),
        (geometry((2, 3), (1, 1), 3, 2), 2),
        (geometry((2, 3), (2, 900), 3, 1), 1),
        (geometry((4, 4), (10, 11), 5, 1), 2),
    ];
    for (g, batch) in cases {
        let three: Three =
            [&|x, w, _| g.forward(x, w), &|_, w, dy| g.input_gradient(w, dy), &|x, _, dy| g.weight_gradient(x, dy)];
        compare(&g, batch, 1, three);
    }
}

#[test]
fn depthwise_convolutions_and_both_gradients_equal_their_twin() {
    for (kernel, stride) in [(3, 1), (3, 2), (5, 1), (5, 2)] {
        for size in [(9, 13), (8, 8), (7, 30), (1, 2)] {
            let g = geometry((5, 5), size, kernel, stride);
            let three: Three = [
                &|x, w, _| depthwise::forward(g, x, w),
                &|_, w, dy| depthwise::input_gradient(g, w, dy),
                &|x, _, dy| depthwise::weight_gradient(g, x, dy),
            ];
            compare(&g, 3, 5, three);
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let g = geometry((20, 70), (11, 12), 3, 1);
    let (x, w) = (numbers(1, 3 * 20 * 132), numbers(2, 70 * 180));
    let dy = numbers(3, 3 * 70 * 132);
    let all = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let statistics = norm::statistics(&x, 20, 132, 1e-5);
            (g.forward(&x, &w), g.input_gradient(&w, &dy), g.weight_gradient(&x, &dy), statistics.mean)
        })
    };
    let one = all(1);
    for threads in [2, 3, 8] {
        assert!(all(threads) == one, "{threads} threads");
    }
}

/// The loss `sum(y * dy)` of the normalisation in f64, and `y`.
fn slow_norm(x: &[f64], w: &[f64], b: &[f64], r: &[f64], shape: [usize; 3], act: Activation, eps: f64) -> Vec<f64> {
    let [batch, channels, plane] = shape;
    let mut y = vec![0.0; x.len()];
    for c in 0..channels {
        let places: Vec<usize> =
            (0..batch).flat_map(|n| (0..plane).map(move |p| (n * channels + c) * plane + p)).collect();
        let count = places.len() as f64;
        let mean = places.iter().map(|p| x[*p]).sum::<f64>() / count;
        let variance = places.iter().map(|p| (x[*p] - mean).powi(2)).sum::<f64>() / count;
        for p in places {
            let z = (x[p] - mean) / (variance + eps).sqrt() * w[c] + b[c] + r[p];
            y[p] = match act {
                Activation::None => z,
                Activation::Relu => z.max(0.0),
                Activation::HardSwish => z * (z + 3.0).clamp(0.0, 6.0) / 6.0,
            };
        }
    }
    y
}

#[test]
fn normalisations_equal_their_twin_and_finite_differences() {
    let shape = [3, 2, 37];
    let [batch, channels, plane] = shape;
    let size = batch * channels * plane;
    // A large offset: a naive sum of squares would lose the variance.
    let x: Vec<f32> = numbers(1, size).iter().map(|v| 4.0 * v + 50.0).collect();
    let (w, b) = (vec![1.5, -0.7], vec![0.3, -1.0]);
    let dy = numbers(4, size);
    for (act, added) in [
        (Activation::None, false),
        (Activation::Relu, false),
        (Activation::HardSwish, false),
        (Activation::None, true),
        (Activation::Relu, true),
    ] {
        let r = if added { numbers(5, size) } else { vec![0.0; size] };
        let statistics = norm::statistics(&x, channels, plane, 1e-3);
        let affine = Affine { weight: &w, bias: &b };
        let y = norm::forward(&x, plane, &statistics, affine, added.then_some(&r), act);
        let wide = |x: &[f32]| x.iter().map(|v| f64::from(*v)).collect::<Vec<_>>();
        let mut inputs = [wide(&x), wide(&w), wide(&b), wide(&r)];
        let slow = |i: &[Vec<f64>; 4]| slow_norm(&i[0], &i[1], &i[2], &i[3], shape, act, 1e-3);
        assert!(largest_difference(&y, &slow(&inputs)) < 2e-5, "{act:?}");
        let forwarded =
            Forwarded { x: &x, y: &y, plane, statistics: &statistics, affine, activation: act, residual: added };
        let gradients = norm::backward(forwarded, &dy);
        assert_eq!(gradients.residual.is_some(), added);
        let residual = gradients.residual.unwrap_or_default();
        for (which, fast) in [&gradients.x, &gradients.weight, &gradients.bias, &residual].into_iter().enumerate() {
            for place in 0..fast.len() {
                let mut loss = |shift: f64| {
                    let before = inputs[which][place];
                    inputs[which][place] += shift;
                    let y = slow(&inputs);
                    inputs[which][place] = before;
                    y.iter().zip(&dy).map(|(y, dy)| y * f64::from(*dy)).sum::<f64>()
                };
                let slope = (loss(1e-5) - loss(-1e-5)) / 2e-5;
                let difference = (slope - f64::from(fast[place])).abs();
                assert!(difference < 2e-4, "{act:?}: input {which}[{place}]: {slope} and {}", fast[place]);
            }
        }
    }
}

#[test]
fn the_pool_takes_the_largest_and_sends_the_gradient_there() {
    for (h, w) in [(1, 1), (4, 6), (7, 5)] {
        let x = numbers(9, 2 * h * w);
        let (rows, columns) = pool::out(h, w);
        let (y, places) = pool::forward(&x, (h, w));
        let dy = numbers(8, 2 * rows * columns);
        let mut dx = vec![0.0; x.len()];
        for p in 0..2 {
            for i in 0..rows {
                for j in 0..columns {
                    let window = (0..h * w)
                        .filter(|k| (k / w + 1).abs_diff(2 * i + 1) <= 1 && (k % w + 1).abs_diff(2 * j + 1) <= 1);
                    let best = window.max_by(|a, b| x[p * h * w + a].total_cmp(&x[p * h * w + b])).unwrap();
                    assert_eq!(y[(p * rows + i) * columns + j].to_bits(), x[p * h * w + best].to_bits());
                    dx[p * h * w + best] += dy[(p * rows + i) * columns + j];
                }
            }
        }
        assert_eq!(pool::backward(&dy, &places, (h, w)), dx);
    }
    assert!(pool::forward(&[1.0, f32::NAN, 2.0, 3.0], (2, 2)).0[0].is_nan());
}
