//! Every kernel against its definition in f64, on each set of instructions that this processor has, and the code of the wide ones on emulated vectors where it has not.

use super::product::vectors::{Bf16, Bf16Dot, F32};
use super::product::{self, Product, strassen, tiles, tiles::Tiled};
use super::simd::Portable;
use super::*;
use crate::instructions::Instructions;
use crate::packed::Packed;
use crate::{Activation, Elements, Threads};

/// The n-th of evenly spread numbers in -0.5..0.5.
pub(crate) fn uniform(n: u64) -> f32 {
    let mut h = (n.wrapping_mul(2654435761) & 0xffff_ffff) as u32;
    h ^= h >> 15;
    h = h.wrapping_mul(2246822519);
    (f64::from(h ^ (h >> 13)) / f64::from(u32::MAX) - 0.5) as f32
}

fn values(seed: u64, n: usize) -> Vec<f32> {
    (0..n as u64).map(|i| uniform(seed * 1_000_003 + i) * 2.0).collect()
}

pub(crate) fn bf16(x: f32) -> f32 {
    f32::from_bits(nearest_bf16(x))
}

pub(crate) fn erf(x: f64) -> f64 {
    // The series for small arguments, the continued fraction of the complement for large ones.
    if x.abs() < 3.0 {
        let (mut term, mut sum) = (x, x);
        for n in 1..120 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        return sum * 2.0 / std::f64::consts::PI.sqrt();
    }
    let tail = (1..200).rev().fold(0.0, |f, n| f64::from(n) / 2.0 / (x.abs() + f));
    x.signum() * (1.0 - (-x * x).exp() / std::f64::consts::PI.sqrt() / (x.abs() + tail))
}

pub(crate) fn activation(kind: Activation, x: f64) -> f64 {
    match kind {
        Activation::QuickGelu => x / (1.0 + (-1.702 * x).exp()),
        Activation::Gelu => x * 0.5 * (1.0 + erf(x / std::f64::consts::SQRT_2)),
    }
}

/// Sets of instructions to test; names those that this processor lacks.
pub(crate) fn each_set(test: &str, mut run: impl FnMut(Instructions)) {
    for instructions in Instructions::ALL {
        if instructions.available() {
            run(instructions);
        } else {
            eprintln!("skipped: {test} on {instructions} (this processor has none)");
        }
    }
}

/// Rows, depth, columns: around the sizes of tiles, panels, words and stretches.
const SHAPES: [(usize, usize, usize); 16] = [
    (1, 1, 1),
    (1, 2, 16),
    (2, 3, 15),
    (3, 7, 17),
    (5, 64, 32),
    (6, 16, 31),
    (7, 9, 33),
    (11, 255, 48),
    (13, 256, 5),
    (14, 257, 64),
    (15, 383, 16),
    (50, 384, 96),
    (83, 100, 24),
    (85, 513, 40),
    (97, 770, 33),
    (170, 31, 130),
];

struct Case {
    shape: (usize, usize, usize),
    a: Vec<f32>,
    weight: Vec<f32>,
    bias: Vec<f32>,
    before: Vec<f32>,
}

impl Case {
    fn new(shape: (usize, usize, usize), elements: Elements) -> Case {
        let (rows, depth, columns) = shape;
        let mut a = values(1, rows * (depth + 3));
        let weight = values(2, columns * depth);
        if elements == Elements::Bf16 {
            for x in &mut a {
                *x = bf16(*x);
            }
        }
        // What lies between the rows is no part of them, but may be multiplied by a zero.
        a.chunks_mut(depth + 3).for_each(|row| row[depth..].fill(0.0));
        Case { shape, a, weight, bias: values(3, columns), before: values(4, rows * (columns + 1)) }
    }

    /// Each value, and how far f32 may be from it: partial sums grow like the root of the summed squares of the products, and each of the
    /// `depth` additions is off by up to 2⁻²⁴ of one; six standard deviations of that, and some for what follows the sum.
    fn wanted(&self, finish: Finish, elements: Elements) -> Vec<(f64, f64)> {
        let (rows, depth, columns) = self.shape;
        let mut wanted = Vec::new();
        for r in 0..rows {
            for c in 0..columns {
                let products = (0..depth).map(|k| {
                    let w = self.weight[c * depth + k];
                    let w = if elements == Elements::Bf16 { bf16(w) } else { w };
                    f64::from(self.a[r * (depth + 3) + k]) * f64::from(w)
                });
                let (sum, squares) = products.fold((0.0, 0.0), |(sum, squares), p| (sum + p, squares + p * p));
                let sum = sum + f64::from(self.bias[c]);
                let value = match finish {
                    Finish::Store => sum,
                    Finish::Activate(kind) => activation(kind, sum),
                    Finish::Add => f64::from(self.before[r * (columns + 1) + c]) + sum,
                };
                let bound = 6.0 * 2_f64.powi(-24) * (depth as f64 * squares).sqrt() + 6e-7 * value.abs().max(0.5);
                wanted.push((value, bound));
            }
        }
        wanted
    }

    fn check(&self, found: &[f32], finish: Finish, elements: Elements, round: bool, who: &str) {
        self.check_within(1.0, found, finish, elements, round, who);
    }

    /// `times` the bound.
    fn check_within(&self, times: f64, found: &[f32], finish: Finish, elements: Elements, round: bool, who: &str) {
        let (_, _, columns) = self.shape;
        let found = found.chunks(columns + 1).flat_map(|row| &row[..columns]);
        for (i, (found, (wanted, bound))) in found.zip(self.wanted(finish, elements)).enumerate() {
            let bound = times * bound + if round { wanted.abs() / 250.0 } else { 0.0 };
            let error = (f64::from(*found) - wanted).abs();
            assert!(error <= bound, "{who} {:?} {finish:?} value {i}: {found} for {wanted}", self.shape);
            assert!(!round || bf16(*found).to_bits() == found.to_bits(), "{who}: {found} is no bf16");
        }
    }
}

const FINISHES: [Finish; 4] =
    [Finish::Store, Finish::Activate(Activation::QuickGelu), Finish::Activate(Activation::Gelu), Finish::Add];

#[test]
fn products_equal_the_definition() {
    for elements in [Elements::F32, Elements::Bf16] {
        for shape in SHAPES {
            let case = Case::new(shape, elements);
            let (rows, depth, columns) = shape;
            each_set("products_equal_the_definition", |instructions| {
                let packed = Packed::new(&case.weight, &case.bias, columns, 1.0, instructions, elements);
                for (finish, round) in FINISHES.into_iter().flat_map(|f| [(f, false), (f, true)]) {
                    let run = |threads| {
                        let mut out = case.before.clone();
                        Machine { instructions, elements, threads }.multiply(
                            Matrix::of(&case.a, rows, depth, depth + 3),
                            packed.panels(),
                            MatrixMut::of(&mut out, rows, columns, columns + 1),
                            finish,
                            round,
                        );
                        out
                    };
                    let (one, all) = (run(Threads::One), run(Threads::All));
                    case.check(&one, finish, elements, round, &instructions.to_string());
                    assert_eq!(one, all, "{instructions} {shape:?} {finish:?}: bytes do not depend on threads");
                    let between =
                        |out: &[f32]| out.chunks(columns + 1).map(|row| row[columns..].to_vec()).collect::<Vec<_>>();
                    assert_eq!(between(&one), between(&case.before), "nothing is written beside the result");
                }
            });
        }
    }
}

/// Rows, depth, columns that can be taken in pairs and halves: one chunk of depth and several, one pair of panels and several, one group of rows and several.
const PAIRED: [(usize, usize, usize); 7] =
    [(2, 32, 64), (4, 64, 128), (28, 96, 64), (50, 768, 192), (86, 1024, 64), (100, 1536, 128), (170, 2304, 64)];

/// A pair of rows by seven products is off by more than by eight: its sums are of values of two rows and two columns.
const PAIRED_ERROR: f64 = 3.0;

#[test]
fn products_of_pairs_equal_the_definition() {
    for shape in PAIRED {
        let case = Case::new(shape, Elements::F32);
        let (rows, depth, columns) = shape;
        each_set("products_of_pairs_equal_the_definition", |instructions| {
            let packed = Packed::new(&case.weight, &case.bias, columns, 1.0, instructions, Elements::F32).for_pairs();
            assert!(packed.panels().halves.is_some(), "{shape:?} can be cut");
            for (finish, round) in FINISHES.into_iter().flat_map(|f| [(f, false), (f, true)]) {
                let run = |threads, first: usize, count: usize| {
                    let mut out = case.before[first * (columns + 1)..].to_vec();
                    Machine { instructions, elements: Elements::F32, threads }.multiply(
                        Matrix::of(&case.a[first * (depth + 3)..], count, depth, depth + 3),
                        packed.panels(),
                        MatrixMut::of(&mut out, count, columns, columns + 1),
                        finish,
                        round,
                    );
                    out
                };
                let (one, all) = (run(Threads::One, 0, rows), run(Threads::All, 0, rows));
                case.check_within(PAIRED_ERROR, &one, finish, Elements::F32, round, &instructions.to_string());
                assert_eq!(one, all, "{instructions} {shape:?} {finish:?}: bytes do not depend on threads");
                let last = run(Threads::One, rows - 2, 2);
                let same = one[(rows - 2) * (columns + 1)..].iter().zip(&last).all(|(a, b)| a.to_bits() == b.to_bits());
                assert!(same, "{instructions} {shape:?} {finish:?}: a pair does not depend on the others");
            }
        });
    }
}

/// Values of very different size, as real networks have them in few of their columns: the error is bounded by the largest of the pair.
#[test]
fn products_of_pairs_bear_large_values() {
    let (rows, depth, columns) = (50, 768, 128);
    let mut case = Case::new((rows, depth, columns), Elements::F32);
    let large = |x: &mut f32| *x *= 300.0;
    case.a.chunks_mut(depth + 3).for_each(|row| [5, 400].into_iter().for_each(|k| large(&mut row[k])));
    case.a.chunks_mut(depth + 3).step_by(7).for_each(|row| row.iter_mut().for_each(large));
    let finish = Finish::Store;
    let wanted = case.wanted(finish, Elements::F32);
    let largest = wanted.iter().fold(0.0_f64, |most, (value, _)| most.max(value.abs()));
    each_set("products_of_pairs_bear_large_values", |instructions| {
        let run = |packed: Packed| {
            let mut out = vec![0.0; rows * columns];
            let machine = Machine { instructions, elements: Elements::F32, threads: Threads::One };
            let to = MatrixMut::of(&mut out, rows, columns, columns);
            machine.multiply(Matrix::of(&case.a, rows, depth, depth + 3), packed.panels(), to, finish, false);
            let errors = out.iter().zip(&wanted).map(|(found, (wanted, _))| (f64::from(*found) - wanted).abs());
            errors.fold(0.0_f64, f64::max) / largest
        };
        let packed = || Packed::new(&case.weight, &case.bias, columns, 1.0, instructions, Elements::F32);
        let (eight, seven) = (run(packed()), run(packed().for_pairs()));
        eprintln!(
            "{instructions}: largest error {eight:.1e} of the largest value by eight products, {seven:.1e} by seven"
        );
        assert!(seven < 4.0 * eight, "{instructions}: {seven}");
    });
}

/// What cannot be cut stays as it is, and bf16 does.
#[test]
fn weights_that_have_no_halves_are_for_single_rows() {
    let instructions = Instructions::Portable;
    for (depth, columns, elements) in [(40, 64, Elements::F32), (64, 48, Elements::F32), (64, 64, Elements::Bf16)] {
        let packed = Packed::new(&values(1, depth * columns), &[], columns, 1.0, instructions, elements).for_pairs();
        assert!(packed.panels().halves.is_none(), "{depth} {columns} {elements:?}");
    }
}

/// Tiles by plain arithmetic.
#[derive(Clone, Copy)]
struct EmulatedTiles;

impl tiles::TileUnit for EmulatedTiles {
    unsafe fn begin() {}

    unsafe fn multiply<const TILES: usize>(
        first: bool,
        steps: usize,
        rows: *const f32,
        weights: *const u32,
        _ahead: product::Ahead,
        sums: *mut f32,
    ) {
        let halves = |word: u32| [f32::from_bits(word << 16), f32::from_bits(word & 0xffff_0000)];
        for (r, c) in (0..TILES * tiles::ROWS).flat_map(|r| (0..tiles::COLUMNS).map(move |c| (r, c))) {
            // SAFETY: the caller vouches for the memory.
            unsafe {
                let to = sums.add(r * tiles::COLUMNS + c);
                let mut sum = if first { 0.0 } else { *to };
                for (s, w) in (0..steps).flat_map(|s| (0..tiles::WORDS).map(move |w| (s, w))) {
                    let a = halves((*rows.add((s * TILES * tiles::ROWS + r) * tiles::WORDS + w)).to_bits());
                    let b = halves(*weights.add((s * tiles::WORDS + w) * tiles::COLUMNS + c));
                    sum += a[0] * b[0] + a[1] * b[1];
                }
                *to = sum;
            }
        }
    }

    unsafe fn end() {}
}

/// The code of wide vectors (14 rows a tile, packed rows, pairs of bf16) and of tiles on arrays of sixteen.
#[test]
fn wide_products_equal_the_definition_on_emulated_vectors() {
    type Wide = Portable<16>;
    type Call = unsafe fn(&Product, std::ops::Range<usize>, std::ops::Range<usize>, &mut product::Scratch);
    let kernels: [(&str, Elements, usize, Call); 4] = [
        ("f32", Elements::F32, 1, product::product::<F32<Wide>>),
        ("bf16", Elements::Bf16, 1, product::product::<Bf16<Wide>>),
        ("bf16 in pairs", Elements::Bf16, 1, product::product::<Bf16Dot<Wide>>),
        ("bf16 in tiles", Elements::Bf16, tiles::WORDS, product::product::<Tiled<EmulatedTiles, Wide>>),
    ];
    for (name, elements, words, call) in kernels {
        for shape in SHAPES {
            let case = Case::new(shape, elements);
            let (rows, depth, columns) = shape;
            let layout = Layout { width: 32, steps: elements.steps(), words };
            let packed = Packed::laid_out(&case.weight, &case.bias, columns, 1.0, layout);
            for finish in FINISHES {
                let mut out = case.before.clone();
                let p = Product {
                    a: Matrix::of(&case.a, rows, depth, depth + 3),
                    weights: packed.panels(),
                    out: MatrixMut::of(&mut out, rows, columns, columns + 1),
                    finish,
                    round: false,
                };
                // SAFETY: the shapes fit, and arrays need no instructions.
                unsafe { call(&p, 0..rows, 0..columns.div_ceil(32), &mut product::Scratch::default()) };
                case.check(&out, finish, elements, false, name);
            }
        }
    }
}

#[test]
fn wide_products_of_pairs_equal_the_definition_on_emulated_vectors() {
    for shape in PAIRED {
        let case = Case::new(shape, Elements::F32);
        let (rows, depth, columns) = shape;
        let layout = Layout { width: 32, steps: 1, words: 1 };
        let packed = Packed::laid_out(&case.weight, &case.bias, columns, 1.0, layout).for_pairs();
        let halves = Halves::of(depth, columns, 32).expect("they are cut for the widest panels");
        for finish in FINISHES {
            let mut out = case.before.clone();
            let p = Product {
                a: Matrix::of(&case.a, rows, depth, depth + 3),
                weights: packed.panels(),
                out: MatrixMut::of(&mut out, rows, columns, columns + 1),
                finish,
                round: false,
            };
            let scratch = &mut product::Scratch::default();
            // SAFETY: the shapes fit, and arrays need no instructions.
            unsafe { strassen::product::<F32<Portable<16>>>(&p, halves, 0..rows, 0..columns / 32, scratch) };
            case.check_within(PAIRED_ERROR, &out, finish, Elements::F32, false, "f32 in pairs");
        }
    }
}

#[test]
fn a_row_does_not_depend_on_the_others() {
    for elements in [Elements::F32, Elements::Bf16] {
        let (rows, depth, columns) = (101, 770, 50);
        let case = Case::new((rows, depth, columns), elements);
        each_set("a_row_does_not_depend_on_the_others", |instructions| {
            let packed = Packed::new(&case.weight, &case.bias, columns, 1.0, instructions, elements);
            let machine = Machine { instructions, elements, threads: Threads::One };
            let run = |first: usize, count: usize| {
                let mut out = vec![0.0; count * columns];
                let a = &case.a[first * (depth + 3)..];
                let to = MatrixMut::of(&mut out, count, columns, columns);
                machine.multiply(Matrix::of(a, count, depth, depth + 3), packed.panels(), to, Finish::Store, false);
                out
            };
            let whole = run(0, rows);
            for (first, count) in [(0, 1), (1, 2), (7, 13), (50, 14), (84, 17), (100, 1), (3, 90)] {
                let same =
                    run(first, count).iter().zip(&whole[first * columns..]).all(|(a, b)| a.to_bits() == b.to_bits());
                assert!(same, "{instructions} {elements:?}: rows {first}.. of {count}");
            }
        });
    }
}

#[test]
fn layer_norms_equal_the_definition() {
    for width in [1, 7, 8, 16, 24, 33, 768] {
        let (rows, x) = (5, values(5, 5 * (width + 2)));
        let (weight, bias) = (values(6, width), values(7, width));
        let norm = Norm { weight: &weight, bias: &bias, eps: 1e-5 };
        each_set("layer_norms_equal_the_definition", |instructions| {
            for round in [false, true] {
                let machine = Machine { instructions, elements: Elements::F32, threads: Threads::All };
                let mut out = vec![0.0; rows * width];
                let to = MatrixMut::of(&mut out, rows, width, width);
                machine.normalise(Matrix::of(&x, rows, width, width + 2), &norm, to, round);
                for (x, out) in x.chunks(width + 2).zip(out.chunks(width)) {
                    let row: Vec<f64> = x[..width].iter().map(|v| f64::from(*v)).collect();
                    let mean = row.iter().sum::<f64>() / width as f64;
                    let variance = row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / width as f64;
                    for j in 0..width {
                        let wanted =
                            (row[j] - mean) / (variance + 1e-5).sqrt() * f64::from(weight[j]) + f64::from(bias[j]);
                        let bound = 2e-6 * wanted.abs().max(1.0) + if round { wanted.abs() / 250.0 } else { 0.0 };
                        assert!(
                            (f64::from(out[j]) - wanted).abs() < bound,
                            "{instructions} {width}: {} for {wanted}",
                            out[j]
                        );
                    }
                }
            }
        });
    }
}

#[test]
fn attention_equals_the_definition() {
    for (pictures, rows, tokens, heads, d) in
        [(1, 1, 1, 1, 1), (2, 3, 3, 2, 5), (3, 1, 17, 2, 16), (2, 50, 50, 3, 64), (1, 91, 91, 1, 24)]
    {
        let width = heads * d;
        let q = values(8, pictures * rows * width);
        let kv: Vec<f32> = values(9, pictures * tokens * 2 * width).iter().map(|v| v * 3.0).collect();
        each_set("attention_equals_the_definition", |instructions| {
            let run = |threads| {
                let mut out = q.clone();
                Machine { instructions, elements: Elements::F32, threads }.attend(
                    MatrixMut::of(&mut out, pictures * rows, width, width),
                    Matrix::of(&kv, pictures * tokens, 2 * width, 2 * width),
                    pictures,
                    tokens,
                    heads,
                    false,
                );
                out
            };
            let found = run(Threads::One);
            assert_eq!(found, run(Threads::All), "{instructions}");
            for r in 0..pictures * rows {
                for head in 0..heads {
                    let key = |t: usize, j: usize| f64::from(kv[(r / rows * tokens + t) * 2 * width + head * d + j]);
                    let value =
                        |t: usize, j: usize| f64::from(kv[(r / rows * tokens + t) * 2 * width + width + head * d + j]);
                    let query = |j: usize| f64::from(q[r * width + head * d + j]);
                    let exps: Vec<f64> =
                        (0..tokens).map(|t| (0..d).map(|j| query(j) * key(t, j)).sum::<f64>().exp()).collect();
                    let sum: f64 = exps.iter().sum();
                    for j in 0..d {
                        let wanted: f64 = exps.iter().enumerate().map(|(t, e)| e / sum * value(t, j)).sum();
                        let found = f64::from(found[r * width + head * d + j]);
                        assert!((found - wanted).abs() < 2e-5, "{instructions} {r} {head} {j}: {found} for {wanted}");
                    }
                }
            }
        });
    }
}

/// What is not a number must come out as such: the encoder refuses it by the picture that it belongs to.
#[test]
fn not_a_number_stays_one() {
    each_set("not_a_number_stays_one", |instructions| {
        for bad in [f32::NAN, f32::INFINITY] {
            let mut q = values(10, 4 * 16);
            q[2 * 16 + 3] = bad;
            let kv = values(11, 4 * 32);
            let machine = Machine { instructions, elements: Elements::F32, threads: Threads::One };
            machine.attend(MatrixMut::of(&mut q, 4, 16, 16), Matrix::of(&kv, 4, 32, 32), 1, 4, 1, true);
            let finite: Vec<bool> = q.chunks(16).map(|row| row.iter().all(|v| v.is_finite())).collect();
            assert_eq!(finite, [true, true, false, true], "{instructions} {bad}");
        }
        for kind in [Activation::QuickGelu, Activation::Gelu] {
            for (elements, round) in [(Elements::F32, false), (Elements::Bf16, true)] {
                let packed = Packed::new(&[f32::NAN, 1.0], &[], 2, 1.0, instructions, elements);
                let mut out = vec![0.0; 2];
                let machine = Machine { instructions, elements, threads: Threads::One };
                let to = MatrixMut::of(&mut out, 1, 2, 2);
                machine.multiply(Matrix::of(&[1.0, 0.0], 1, 1, 2), packed.panels(), to, Finish::Activate(kind), round);
                assert!(out[0].is_nan() && out[1].is_finite(), "{instructions} {kind:?} {elements:?}: {out:?}");
            }
        }
    });
}

#[test]
fn activations_equal_the_definition() {
    let xs: Vec<f32> = (-40_000..=40_000).map(|i| i as f32 * 5e-4).collect();
    let n = xs.len();
    each_set("activations_equal_the_definition", |instructions| {
        let packed = Packed::new(&[1.0], &[], 1, 1.0, instructions, Elements::F32);
        let machine = Machine { instructions, elements: Elements::F32, threads: Threads::One };
        for kind in [Activation::QuickGelu, Activation::Gelu] {
            let mut out = vec![0.0; n];
            let to = MatrixMut::of(&mut out, n, 1, 1);
            machine.multiply(Matrix::of(&xs, n, 1, 1), packed.panels(), to, Finish::Activate(kind), false);
            for (x, found) in xs.iter().zip(&out) {
                let wanted = activation(kind, f64::from(*x));
                let error = (f64::from(*found) - wanted).abs();
                assert!(
                    error <= 4e-7 * f64::from(x.abs()).max(1e-3),
                    "{instructions} {kind:?}({x}) = {found} for {wanted}"
                );
            }
        }
    });
}

#[test]
fn rounding_to_bf16() {
    let cases = [
        (1.0, 1.0),
        (1.0 + 1.0 / 256.0, 1.0), // half way: to even
        (1.0 + 3.0 / 256.0, 1.0 + 4.0 / 256.0),
        (1.0 + 1.01 / 256.0, 1.0 + 2.0 / 256.0),
        (-1.0 - 1.01 / 256.0, -1.0 - 2.0 / 256.0),
        (f32::MAX, f32::INFINITY),
        (0.0, 0.0),
        (f32::from_bits(0x0001_17ff), f32::from_bits(0x0001_0000)),
    ];
    for (x, wanted) in cases {
        assert_eq!(bf16(x).to_bits(), wanted.to_bits(), "{x}");
    }
    assert!(
        bf16(f32::NAN).is_nan()
            && bf16(f32::from_bits(0x7f80_0001)).is_nan()
            && bf16(f32::from_bits(0xffff_ffff)).is_nan()
    );
    let xs: Vec<f32> = cases.iter().map(|c| c.0).chain([f32::NAN, f32::NEG_INFINITY]).chain(values(12, 500)).collect();
    each_set("rounding_to_bf16", |instructions| {
        // A product with 1 that rounds: whole panels by vectors, the rest one by one.
        let n = xs.len();
        let identity: Vec<f32> = vec![1.0; 40];
        let packed = Packed::new(&identity, &[], 40, 1.0, instructions, Elements::F32);
        let mut out = vec![0.0; n * 40];
        let machine = Machine { instructions, elements: Elements::F32, threads: Threads::One };
        machine.multiply(
            Matrix::of(&xs, n, 1, 1),
            packed.panels(),
            MatrixMut::of(&mut out, n, 40, 40),
            Finish::Store,
            true,
        );
        for (x, row) in xs.iter().zip(out.chunks(40)) {
            for found in row {
                let same = if x.is_nan() { found.is_nan() } else { found.to_bits() == bf16(*x).to_bits() };
                assert!(same, "{instructions}: {found} for {x}");
            }
        }
    });
}

#[test]
fn peaks_are_measured() {
    for elements in [Elements::F32, Elements::Bf16] {
        assert!(crate::peak(Instructions::best(), elements, 1).flops > 1e8);
    }
    each_set("peaks_are_measured", |instructions| {
        for elements in [Elements::F32, Elements::Bf16] {
            assert!(crate::fed(instructions, elements, 2).flops > 1e7, "{instructions}");
        }
    });
}
