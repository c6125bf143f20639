use super::*;
use crate::kernel::tests::{activation, bf16, each_set, uniform};

const SHAPE: Shape = Shape {
    width: 24,
    heads: 3,
    middle: 40,
    image: 23,
    patch: 7,
    projection: 10,
    activation: Activation::QuickGelu,
    eps: 1e-5,
};

/// Wide enough for products of pairs of rows; 26 tokens, which are pairs, and 17, which have to be padded.
const EVEN: Shape = Shape { width: 64, heads: 4, middle: 192, image: 35, ..SHAPE };
const ODD: Shape = Shape { image: 28, ..EVEN };

fn weights(shape: &Shape, layers: usize) -> Weights {
    let mut seed = 0;
    let mut draw = |n: usize, scale: f32| -> Vec<f32> {
        seed += n as u64;
        (seed - n as u64..seed).map(|i| uniform(i) * scale).collect()
    };
    let Shape { width, middle, patch, .. } = *shape;
    let norm = |draw: &mut dyn FnMut(usize, f32) -> Vec<f32>| Norm {
        weight: draw(width, 1.0).iter().map(|v| v + 1.0).collect(),
        bias: draw(width, 0.5),
    };
    let linear = |draw: &mut dyn FnMut(usize, f32) -> Vec<f32>, out: usize, depth: usize| Linear {
        weight: draw(out * depth, 4.0 / (depth as f32).sqrt()),
        bias: draw(out, 0.5),
    };
    let blocks = (0..layers)
        .map(|_| Block {
            norm1: norm(&mut draw),
            queries: linear(&mut draw, width, width),
            keys: linear(&mut draw, width, width),
            values: linear(&mut draw, width, width),
            output: linear(&mut draw, width, width),
            norm2: norm(&mut draw),
            fc1: linear(&mut draw, middle, width),
            fc2: linear(&mut draw, width, middle),
        })
        .collect();
    Weights {
        patch_embedding: draw(width * 3 * patch * patch, 0.3),
        class_embedding: draw(width, 1.0),
        positions: draw((shape.patches() + 1) * width, 1.0),
        pre_norm: norm(&mut draw),
        blocks,
        post_norm: norm(&mut draw),
        projection: draw(shape.projection * width, 0.5),
    }
}

/// The definition in f64; with bf16, weights and left sides of the linear layers rounded to it.
struct Definition {
    shape: Shape,
    elements: Elements,
}

impl Definition {
    fn round(&self, x: f64) -> f64 {
        if self.elements == Elements::Bf16 { f64::from(bf16(x as f32)) } else { x }
    }

    fn linear(&self, x: &[f64], linear: &Linear, scale: f32) -> Vec<f64> {
        let bias = |o: usize| linear.bias.get(o).map_or(0.0, |b| f64::from(b * scale));
        let depth = x.len();
        let row = |o: usize| &linear.weight[o * depth..][..depth];
        let product = |o: usize| -> f64 {
            row(o).iter().zip(x).map(|(w, x)| self.round(f64::from(w * scale)) * self.round(*x)).sum()
        };
        (0..linear.weight.len() / depth).map(|o| product(o) + bias(o)).collect()
    }

    fn norm(&self, x: &[f64], norm: &Norm) -> Vec<f64> {
        let n = x.len() as f64;
        let mean = x.iter().sum::<f64>() / n;
        let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        let scale = 1.0 / (variance + f64::from(self.shape.eps)).sqrt();
        x.iter()
            .zip(&norm.weight)
            .zip(&norm.bias)
            .map(|((x, w), b)| (x - mean) * scale * f64::from(*w) + f64::from(*b))
            .collect()
    }

    /// The embedding of one picture `[3][S][S]`.
    fn embed(&self, weights: &Weights, picture: &[f32]) -> Vec<f64> {
        let Shape { width, heads, image, patch, .. } = self.shape;
        let (grid, d) = (self.shape.grid(), width / heads);
        let embedding = Linear { weight: weights.patch_embedding.clone(), bias: Vec::new() };
        let mut tokens = vec![weights.class_embedding.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>()];
        for (gy, gx) in (0..grid).flat_map(|gy| (0..grid).map(move |gx| (gy, gx))) {
            let pixels: Vec<f64> = (0..3 * patch * patch)
                .map(|i| (i / (patch * patch), gy * patch + i / patch % patch, gx * patch + i % patch))
                .map(|(c, y, x)| f64::from(picture[(c * image + y) * image + x]))
                .collect();
            tokens.push(self.linear(&pixels, &embedding, 1.0));
        }
        for (token, position) in tokens.iter_mut().zip(weights.positions.chunks(width)) {
            token.iter_mut().zip(position).for_each(|(t, p)| *t += f64::from(*p));
            *token = self.norm(token, &weights.pre_norm);
        }
        for block in &weights.blocks {
            let normed: Vec<Vec<f64>> = tokens.iter().map(|t| self.norm(t, &block.norm1)).collect();
            let all = |linear: &Linear, scale: f32| -> Vec<Vec<f64>> {
                normed.iter().map(|x| self.linear(x, linear, scale)).collect()
            };
            let scale = 1.0 / (d as f32).sqrt();
            let (q, k, v) = (all(&block.queries, scale), all(&block.keys, 1.0), all(&block.values, 1.0));
            for (t, token) in tokens.iter_mut().enumerate() {
                let mut mixed = Vec::new();
                for head in 0..heads {
                    let part = |row: &[f64]| row[head * d..][..d].to_vec();
                    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
                    let exps: Vec<f64> = k.iter().map(|k| dot(&part(&q[t]), &part(k)).exp()).collect();
                    let sum: f64 = exps.iter().sum();
                    for j in 0..d {
                        mixed.push(exps.iter().zip(&v).map(|(e, v)| e / sum * v[head * d + j]).sum());
                    }
                }
                for (x, y) in token.iter_mut().zip(self.linear(&mixed, &block.output, 1.0)) {
                    *x += y;
                }
                let hidden: Vec<f64> = self
                    .linear(&self.norm(token, &block.norm2), &block.fc1, 1.0)
                    .into_iter()
                    .map(|x| activation(self.shape.activation, x))
                    .collect();
                for (x, y) in token.iter_mut().zip(self.linear(&hidden, &block.fc2, 1.0)) {
                    *x += y;
                }
            }
        }
        let projection = Linear { weight: weights.projection.clone(), bias: Vec::new() };
        self.linear(&self.norm(&tokens[0], &weights.post_norm), &projection, 1.0)
    }
}

fn pictures(shape: &Shape, n: usize) -> Vec<f32> {
    (0..n * 3 * shape.image * shape.image).map(|i| uniform(77_777 + i as u64) * 4.0).collect()
}

fn largest_error(found: &[f32], wanted: &[f64]) -> f64 {
    assert_eq!(found.len(), wanted.len());
    let largest = wanted.iter().fold(0.0, |a: f64, v| a.max(v.abs()));
    found.iter().zip(wanted).fold(0.0, |a: f64, (f, w)| a.max((f64::from(*f) - w).abs())) / largest
}

#[test]
fn equals_the_definition() {
    let gelu = Shape { activation: Activation::Gelu, width: 32, heads: 2, patch: 5, image: 20, ..SHAPE };
    for shape in [SHAPE, gelu, EVEN, ODD] {
        let len = 3 * shape.image * shape.image;
        for (elements, bound) in [(Elements::F32, 2e-6), (Elements::Bf16, 1e-2)] {
            let definition = Definition { shape, elements };
            let pixels = pictures(&shape, 3);
            let wanted: Vec<f64> =
                pixels.chunks(len).flat_map(|picture| definition.embed(&weights(&shape, 2), picture)).collect();
            each_set("equals_the_definition", |instructions| {
                let tower = Tower::new(shape, weights(&shape, 2), instructions, elements);
                let error = largest_error(&tower.encode(Pixels::Values(&pixels), Threads::All), &wanted);
                eprintln!("{instructions} {elements:?}: largest error {error:.1e} of the largest value");
                assert!(error < bound, "{instructions} {elements:?}: {error}");
            });
        }
    }
}

/// As wide as a real tower, so that bf16 has sums to lose digits in: within the bound that is promised against f32.
#[test]
fn bf16_stays_near_f32() {
    let shape = Shape { width: 256, heads: 4, middle: 1024, image: 32, patch: 8, projection: 128, ..SHAPE };
    let pixels = pictures(&shape, 4);
    each_set("bf16_stays_near_f32", |instructions| {
        let encode = |elements| {
            let tower = Tower::new(shape, weights(&shape, 4), instructions, elements);
            tower.encode(Pixels::Values(&pixels), Threads::All)
        };
        let (f32s, bf16s) = (encode(Elements::F32), encode(Elements::Bf16));
        for (a, b) in f32s.chunks(128).zip(bf16s.chunks(128)) {
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
            let cosine = dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
            eprintln!("{instructions}: cosine {cosine:.6}");
            assert!(cosine > 0.9999 && cosine < 0.999_999_9, "{instructions}: {cosine}");
        }
    });
}

#[test]
fn bytes_do_not_depend_on_batch_mates_place_or_threads() {
    let narrow = Shape { image: 64, patch: 8, ..SHAPE };
    for (shape, elements) in
        [(narrow, Elements::F32), (narrow, Elements::Bf16), (EVEN, Elements::F32), (ODD, Elements::F32)]
    {
        let len = 3 * shape.image * shape.image;
        // More than one pass.
        let n = ROWS / shape.tokens() + 3;
        let pixels = pictures(&shape, n);
        each_set("bytes_do_not_depend_on_batch_mates_place_or_threads", |instructions| {
            let tower = Tower::new(shape, weights(&shape, 2), instructions, elements);
            let bits = |v: Vec<f32>| -> Vec<u32> { v.iter().map(|x| x.to_bits()).collect() };
            let whole = bits(tower.encode(Pixels::Values(&pixels), Threads::All));
            assert_eq!(whole, bits(tower.encode(Pixels::Values(&pixels), Threads::One)), "{instructions}");
            for (first, count) in [(0, 1), (1, 1), (n - 1, 1), (2, 5), (3, n - 3)] {
                let part = bits(tower.encode(Pixels::Values(&pixels[first * len..][..count * len]), Threads::All));
                assert_eq!(part, whole[first * shape.projection..][..part.len()], "{instructions} {first} {count}");
            }
            for threads in [1, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
                let found = pool.install(|| tower.encode(Pixels::Values(&pixels), Threads::All));
                assert_eq!(whole, bits(found), "{instructions}, {threads} threads");
            }
        });
    }
}

#[test]
fn bytes_are_looked_up() {
    let table: [[f32; 256]; 3] =
        std::array::from_fn(|c| std::array::from_fn(|b| (b as f32 - 100.0) / (50.0 + c as f32)));
    let bytes: Vec<u8> = (0..2 * 23 * 23 * 3_u64).map(|i| ((uniform(i) + 0.5) * 255.0) as u8).collect();
    let mut values = Vec::new();
    for picture in bytes.chunks(23 * 23 * 3) {
        for c in 0..3 {
            values.extend(picture.chunks(3).map(|pixel| table[c][usize::from(pixel[c])]));
        }
    }
    for elements in [Elements::F32, Elements::Bf16] {
        let tower = Tower::new(SHAPE, weights(&SHAPE, 1), Instructions::best(), elements);
        let found = tower.encode(Pixels::Bytes(&bytes, &table), Threads::One);
        assert_eq!(found, tower.encode(Pixels::Values(&values), Threads::One));
    }
}

#[test]
fn buffers_of_another_batch_leave_no_trace() {
    for (shape, elements) in [(SHAPE, Elements::Bf16), (ODD, Elements::F32)] {
        let new = || Tower::new(shape, weights(&shape, 2), Instructions::best(), elements);
        let (tower, pixels, len) = (new(), pictures(&shape, 5), 3 * shape.image * shape.image);
        tower.encode(Pixels::Values(&vec![f32::NAN; 5 * len]), Threads::One);
        for n in [2, 5, 1] {
            let encode = |tower: &Tower| tower.encode(Pixels::Values(&pixels[..n * len]), Threads::One);
            assert_eq!(encode(&tower), encode(&new()), "{n}");
        }
        assert!(tower.encode(Pixels::Values(&[]), Threads::All).is_empty());
    }
}

#[test]
fn operations_are_counted() {
    let b32 = Shape { width: 768, heads: 12, middle: 3072, image: 224, patch: 32, projection: 512, ..SHAPE };
    let tower = Tower::new(b32, weights(&b32, 1), Instructions::best(), Elements::F32);
    // One block, of which only the class token's row is computed behind keys and values.
    let (w, t) = (768_u64, 50);
    let block = t * 4 * w * w + 2 * (2 * w * w + 8 * w * w) + 4 * t * w;
    assert_eq!(tower.flops_per_picture(), 49 * 2 * 3072 * w + block + 2 * w * 512);
}
