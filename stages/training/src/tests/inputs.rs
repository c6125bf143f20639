#![expect(clippy::float_cmp, reason = "values are moved, not computed")]

use super::*;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

const N_MELS: usize = 8;

/// Frame `t`, band `b` holds `-1 - t - b / 10`: every value says where it comes from, none is 0.
fn ramp(frames: usize) -> Vec<f32> {
    (0..frames).flat_map(|t| (0..N_MELS).map(move |b| -1.0 - t as f32 - b as f32 / 10.0)).collect()
}

fn frame(x: &[f32], t: usize) -> f32 {
    x[t * N_MELS]
}

fn inputs(form: Form) -> Inputs {
    Inputs { form, frames: 501, crop: 480, masks: Masks::Adaptive }
}

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

#[test]
fn the_reference_loses_the_last_frame_of_a_full_clip() {
    let x = inputs(Form::Reference).evaluation(&ramp(501), N_MELS);
    assert_eq!(x.len(), 501 * N_MELS);
    assert_eq!((frame(&x, 0), frame(&x, 1), frame(&x, 500)), (0.0, -1.0, -500.0));
    // 500 frames: (501 - 500) / 2 + 1 = 1 on both sides, which is 502, cut to 501
    let x = inputs(Form::Reference).evaluation(&ramp(500), N_MELS);
    assert_eq!((frame(&x, 0), frame(&x, 1), frame(&x, 500)), (0.0, -1.0, -500.0));
    let x = inputs(Form::Reference).evaluation(&ramp(50), N_MELS);
    let front = (501 - 50) / 2 + 1;
    assert_eq!((frame(&x, front - 1), frame(&x, front), frame(&x, front + 49)), (0.0, -1.0, -50.0));
    assert_eq!(x.len(), 501 * N_MELS);
    assert_eq!(inputs(Form::Reference).evaluation(&ramp(600), N_MELS), ramp(501));
}

#[test]
fn the_corrected_form_loses_nothing() {
    for frames in [1, 50, 500, 501] {
        assert_eq!(inputs(Form::Corrected).evaluation(&ramp(frames), N_MELS), ramp(frames));
    }
    let x = inputs(Form::Corrected).evaluation(&ramp(601), N_MELS);
    assert_eq!((x.len() / N_MELS, frame(&x, 0), frame(&x, 500)), (501, -51.0, -551.0));
}

#[test]
fn a_short_clip_is_centred_in_the_mean_of_the_bands() {
    let fill: Vec<f32> = (0..N_MELS).map(|b| 100.0 + b as f32).collect();
    let x = pad_to(&ramp(7), &fill, 10);
    assert_eq!(x[..N_MELS], fill[..]);
    assert_eq!(x[N_MELS..8 * N_MELS], ramp(7)[..]);
    assert_eq!(x[9 * N_MELS..], fill[..]);
}

#[test]
fn crops_start_anywhere_and_blocks_are_shuffled() {
    let fill = vec![7.0; N_MELS];
    let (mut starts, mut orders) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
    for seed in 0..600 {
        let unmasked = Inputs {
            masks: Masks::UpTo {
                time: MaskLimit { number: 0, width: 0 },
                frequency: MaskLimit { number: 0, width: 0 },
            },
            ..inputs(Form::Corrected)
        };
        let x = unmasked.training(&ramp(501), &fill, &mut rng(seed));
        let mut frames: Vec<f32> = x.chunks_exact(N_MELS).map(|f| -f[0] - 1.0).collect();
        // the places where the next frame is not the next one: ends of blocks
        let cuts: Vec<usize> = (1..480).filter(|t| frames[*t] != frames[t - 1] + 1.0).collect();
        orders.insert(cuts);
        frames.sort_by(f32::total_cmp);
        starts.insert(frames[0] as usize);
        assert!(frames.windows(2).all(|w| w[1] == w[0] + 1.0), "a crop is one piece of the clip");
    }
    assert_eq!(starts.into_iter().collect::<Vec<_>>(), (0..=21).collect::<Vec<_>>());
    // one piece; two blocks of 241 + 239 swapped; three of 161, 161, 158 in their five other orders, where two of them
    // join blocks 1 2 or 2 3 at a new place
    for expected in [vec![], vec![239], vec![158, 319], vec![161, 319], vec![158], vec![319], vec![161, 322]] {
        assert!(orders.contains(&expected), "{expected:?} of {orders:?}");
    }
    assert_eq!(orders.len(), 7, "{orders:?}");
}

#[test]
fn adaptive_masks_have_the_reference_widths() {
    let (n_mels, frames) = (128, 480);
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let mut x = vec![1.0f32; n_mels * frames];
        mask(&mut x, &vec![0.0; n_mels], Masks::Adaptive, &mut rng(seed));
        let silent = x.chunks_exact(n_mels).filter(|f| f.iter().all(|v| *v == 0.0)).count();
        let bands = (0..n_mels).filter(|b| (0..frames).all(|t| x[t * n_mels + b] == 0.0)).count();
        seen.insert((silent.min(49), bands.min(13)));
    }
    // none; one of 24 frames and one of 6 bands; two of 48 and of 12, which may overlap
    assert!(seen.contains(&(0, 0)) && seen.contains(&(24, 6)) && seen.contains(&(49, 13)), "{seen:?}");
    assert!(
        !seen.iter().any(|(frames, bands)| (*frames > 0 && *frames < 24) || (*bands > 0 && *bands < 6)),
        "{seen:?}"
    );
}

#[test]
fn configured_masks_stay_within_their_limits() {
    let masks = Masks::UpTo { time: MaskLimit { number: 2, width: 9 }, frequency: MaskLimit { number: 1, width: 99 } };
    let mut most = 0;
    for seed in 0..300 {
        let mut x = vec![1.0f32; N_MELS * 40];
        let fill: Vec<f32> = (0..N_MELS).map(|b| -(b as f32)).collect();
        mask(&mut x, &fill, masks, &mut rng(seed));
        let hidden = x.chunks_exact(N_MELS).filter(|f| *f == &fill[..]).count();
        if hidden < 40 {
            most = most.max(hidden);
            assert!(hidden <= 18, "{hidden}");
        }
        for f in x.chunks_exact(N_MELS) {
            assert!(
                f.iter().enumerate().all(|(b, v)| *v == 1.0 || *v == -(b as f32)),
                "filled with the band's own value"
            );
        }
    }
    assert!(most > 9, "two masks do occur");
}

#[test]
fn the_reference_masks_with_0_db_and_the_corrected_form_with_the_mean() {
    let fill = vec![-40.0; N_MELS];
    for (form, value, other) in [(Form::Reference, 0.0, -40.0), (Form::Corrected, -40.0, 0.0)] {
        let mut found = false;
        for seed in 0..50 {
            let x = inputs(form).training(&vec![-20.0; 501 * N_MELS], &fill, &mut rng(seed));
            assert!(!x.contains(&other), "{form:?}");
            // more than the one padded frame of the reference
            found |= x.iter().filter(|v| **v == value).count() > N_MELS;
        }
        assert!(found, "{form:?}");
    }
}
