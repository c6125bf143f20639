#![expect(clippy::unwrap_used, reason = "tests")]
use super::*;
use crate::fixture;

/// The definition, in f64 and without a window, straight from the rules at the top of the module; f64 holds the integer sums exactly.
fn slow(
    filter: Filter,
    source: &[u8],
    (width, height): (usize, usize),
    (out_width, out_height): (usize, usize),
) -> Vec<u8> {
    let weights = |input: usize, output: usize, i: usize| -> Vec<(usize, f64)> {
        let scale = input as f64 / output as f64;
        let stretch = f64::max(scale, 1.0);
        let centre = (i as f64 + 0.5) * scale;
        let reach = filter.support() * stretch;
        let low = (centre - reach + 0.5).trunc().max(0.0) as usize;
        let high = (centre + reach + 0.5).trunc().min(input as f64) as usize;
        let raw: Vec<f64> = (low..high).map(|j| filter.weight((j as f64 + 0.5 - centre) / stretch)).collect();
        let sum: f64 = raw.iter().sum();
        (low..high).zip(raw.iter().map(|w| (w / sum * 4194304.0).round())).collect()
    };
    let level = |sum: f64| ((sum + 2097152.0) / 4194304.0).floor().clamp(0.0, 255.0);
    let across = |picture: &[f64], width: usize| -> Vec<f64> {
        let pixel = |row: &[f64], x: usize, c: usize| {
            level(weights(width, out_width, x).iter().map(|(j, w)| w * row[j * 3 + c]).sum())
        };
        picture
            .chunks(width * 3)
            .flat_map(|row| (0..out_width * 3).map(|k| pixel(row, k / 3, k % 3)).collect::<Vec<_>>())
            .collect()
    };
    let down = |picture: &[f64], width: usize| -> Vec<f64> {
        let pixel = |y: usize, x: usize| {
            level(weights(height, out_height, y).iter().map(|(j, w)| w * picture[j * width * 3 + x]).sum())
        };
        (0..out_height).flat_map(|y| (0..width * 3).map(|x| pixel(y, x)).collect::<Vec<_>>()).collect()
    };
    let source: Vec<f64> = source.iter().map(|v| f64::from(*v)).collect();
    let (shorter, narrower) = (height as f64 - out_height as f64, width as f64 - out_width as f64);
    let out = if shorter > 0.0 && shorter > 2.0 * narrower {
        across(&down(&source, width), width)
    } else {
        down(&across(&source, width), out_width)
    };
    out.iter().map(|v| *v as u8).collect()
}

fn whole(input: usize, output: usize) -> Axis {
    Axis { input, output, start: 0, len: output }
}

#[test]
fn equals_the_definition() {
    for filter in [Filter::Bilinear, Filter::Bicubic, Filter::Lanczos] {
        for ((w, h), (ow, oh)) in [
            ((19, 11), (7, 5)),
            ((5, 4), (13, 17)),
            ((40, 3), (9, 9)),
            ((1, 1), (3, 2)),
            ((8, 8), (8, 5)),
            ((9, 40), (5, 11)),
            ((64, 7), (37, 3)),
            ((3, 300), (13, 11)),
            ((300, 5), (11, 4)),
            ((97, 61), (23, 19)),
        ] {
            let source = fixture::noise(w, h, 3);
            for kernel in Kernel::all() {
                let mut out = vec![0; ow * oh * 3];
                Resizer::with_kernel(filter, kernel).resize::<3>(&source, whole(w, ow), whole(h, oh), &mut out);
                assert_eq!(out, slow(filter, &source, (w, h), (ow, oh)), "{kernel:?} {filter:?} {w}x{h} to {ow}x{oh}");
            }
        }
    }
}

fn equal_kernels<const C: usize>(filter: Filter, (horizontal, vertical): (Axis, Axis)) {
    let source = fixture::noise(horizontal.input, vertical.input, C);
    let window = |kernel| {
        let mut out = vec![0; horizontal.len * vertical.len * C];
        Resizer::with_kernel(filter, kernel).resize::<C>(&source, horizontal, vertical, &mut out);
        out
    };
    let all: Vec<_> = Kernel::all().into_iter().map(|kernel| (kernel, window(kernel))).collect();
    for (kernel, found) in &all[1..] {
        assert!(*found == all[0].1, "{kernel:?} {filter:?} {C} channels, {horizontal:?} {vertical:?}");
    }
}

/// Pictures and windows of every kind of remainder: few rows, few columns, windows at the edges, sizes where Pillow goes down first.
#[test]
fn all_kernels_give_the_same_bytes() {
    if Kernel::all().len() == 1 {
        eprintln!("skipped: all_kernels_give_the_same_bytes (this processor has only the portable one)");
    }
    let mut n = 0;
    let mut random = |low: usize, high: usize| {
        n += 1;
        low + fixture::mix(n) as usize % (high - low + 1)
    };
    let mut down_first = 0;
    for round in 0..400 {
        let longest = [9, 40, 200, 600][round % 4];
        let mut axis = |input: usize| {
            let output = random(1, 70);
            let len = random(1, output);
            Axis { input, output, start: random(0, output - len), len }
        };
        let (width, height) = (round % longest + 1, (round * 7 + round / 3) % longest + 1);
        let axes = (axis(width), axis(height));
        down_first += usize::from(vertical_first(axes.0, axes.1));
        for filter in [Filter::Bilinear, Filter::Bicubic, Filter::Lanczos] {
            equal_kernels::<3>(filter, axes);
            equal_kernels::<4>(filter, axes);
        }
    }
    assert!((50..350).contains(&down_first), "{down_first} of 400 go down first");
}

/// The levels at both ends, where sums leave 0..=255.
#[test]
fn all_kernels_cut_overshoot_alike() {
    let block = |i: usize| (i / 3 % 120 / 30 + i / 360 / 30).is_multiple_of(2);
    let stripes: Vec<u8> = (0..120 * 90 * 3).map(|i| if block(i) { 0 } else { 255 }).collect();
    for filter in [Filter::Bicubic, Filter::Lanczos] {
        let mut all = Kernel::all().into_iter().map(|kernel| {
            let mut out = vec![0; 41 * 33 * 3];
            Resizer::with_kernel(filter, kernel).resize::<3>(&stripes, whole(120, 41), whole(90, 33), &mut out);
            out
        });
        let portable = all.next().unwrap();
        assert!(portable.contains(&0) && portable.contains(&255));
        assert!(all.all(|other| other == portable));
    }
}

#[test]
fn a_window_is_a_part_of_the_whole() {
    let source = fixture::noise(50, 33, 3);
    let mut resizer = Resizer::new(Filter::Bicubic);
    let mut all = vec![0; 29 * 21 * 3];
    resizer.resize::<3>(&source, whole(50, 29), whole(33, 21), &mut all);
    let mut window = vec![0; 7 * 5 * 3];
    let (horizontal, vertical) =
        (Axis { start: 11, len: 7, ..whole(50, 29) }, Axis { start: 16, len: 5, ..whole(33, 21) });
    resizer.resize::<3>(&source, horizontal, vertical, &mut window);
    for y in 0..5 {
        assert_eq!(window[y * 21..][..21], all[((16 + y) * 29 + 11) * 3..][..21]);
    }
    // Tall: the vertical pass comes first.
    let mut all = vec![0; 29 * 7 * 3];
    resizer.resize::<3>(&fixture::noise(33, 50, 3), whole(33, 29), whole(50, 7), &mut all);
    let mut window = vec![0; 7 * 2 * 3];
    let (horizontal, vertical) =
        (Axis { start: 11, len: 7, ..whole(33, 29) }, Axis { start: 4, len: 2, ..whole(50, 7) });
    assert!(vertical_first(horizontal, vertical));
    resizer.resize::<3>(&fixture::noise(33, 50, 3), horizontal, vertical, &mut window);
    for y in 0..2 {
        assert_eq!(window[y * 21..][..21], all[((4 + y) * 29 + 11) * 3..][..21]);
    }
}

#[test]
fn the_same_size_changes_nothing() {
    let source = fixture::noise(31, 17, 3);
    for filter in [Filter::Bilinear, Filter::Bicubic, Filter::Lanczos] {
        let mut out = vec![0; source.len()];
        Resizer::new(filter).resize::<3>(&source, whole(31, 31), whole(17, 17), &mut out);
        assert_eq!(out, source, "{filter:?}");
    }
}

#[test]
fn a_flat_picture_stays_flat() {
    for value in [0, 1, 127, 254, 255] {
        let source = vec![value; 37 * 53 * 3];
        let mut out = vec![9; 24 * 24 * 3];
        Resizer::new(Filter::Bicubic).resize::<3>(&source, whole(37, 24), whole(53, 24), &mut out);
        assert!(out.iter().all(|v| *v == value), "{value}");
    }
}

#[test]
fn a_resizer_is_reused_across_geometries() {
    let mut resizer = Resizer::new(Filter::Bicubic);
    for (w, h) in [(40, 30), (30, 40), (40, 30), (9, 9)] {
        let source = fixture::noise(w, h, 3);
        let (mut used, mut fresh) = (vec![0; 12 * 12 * 3], vec![0; 12 * 12 * 3]);
        resizer.resize::<3>(&source, whole(w, 12), whole(h, 12), &mut used);
        Resizer::new(Filter::Bicubic).resize::<3>(&source, whole(w, 12), whole(h, 12), &mut fresh);
        assert_eq!(used, fresh);
    }
}

#[test]
fn alpha_round_trip_by_pillows_rules() {
    // Values from Pillow: Image.new("RGBA", (1, 1), p).convert("RGBa") and back.
    let mut pixels = [200, 100, 3, 0, 200, 100, 3, 128, 200, 100, 3, 255, 255, 1, 2, 1];
    premultiply(&mut pixels);
    assert_eq!(pixels, [0, 0, 0, 0, 100, 50, 2, 128, 200, 100, 3, 255, 1, 0, 0, 1]);
    unpremultiply(&mut pixels);
    assert_eq!(pixels, [0, 0, 0, 0, 199, 99, 3, 128, 200, 100, 3, 255, 255, 0, 0, 1]);
}

#[test]
fn filters_by_pillows_numbers() {
    let known: Vec<Option<Filter>> = (-1..7).map(Filter::from_pillow).collect();
    let (lanczos, bilinear, bicubic) = (Some(Filter::Lanczos), Some(Filter::Bilinear), Some(Filter::Bicubic));
    assert_eq!(known, [None, None, lanczos, bilinear, bicubic, None, None, None]);
}
