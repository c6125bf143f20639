//! The table `[log-mel]` of `pipeline.toml`, and what it means once every value is explicit.

use contract::{ColumnSpec, Element, Partial};
use serde::{Deserialize, Serialize};

/// The table `[log-mel]` as written: a preset, and any of its values replaced.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Params {
    /// Where the values not named below come from. `reference`: what the DCASE 2021 1B example fed its networks;
    /// `panns`: what the PANNs networks (CNN14, 32 kHz) were trained on; `efficientat`: what the networks `mn` of EfficientAT were.
    pub preset: Preset,
    /// Samples per second of the analysis; sound of any other rate is resampled. All presets: 32000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample_rate: Option<u32>,
    /// How sound of another rate is resampled. All presets: `high`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resampler: Option<Resampling>,
    /// How channels become one. All presets: `mean`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mono: Option<Mono>,
    /// Whether each clip is divided by its largest magnitude (+1e-8), after mixing and resampling: moves all values of a
    /// clip by one constant. `reference`: true, as its loader did; `panns`, `efficientat`: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_normalize: Option<bool>,
    /// Share of the sample before that is taken off each sample, `x[n] - p x[n - 1]`, after mixing, resampling and scaling; the first
    /// sample has none before it and goes. 0: nothing is taken off. `reference`, `panns`: 0; `efficientat`: 0.97.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preemphasis: Option<f64>,
    /// Samples per Fourier transform. All presets: 1024.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n_fft: Option<usize>,
    /// Samples under the window, at most `n_fft`; a shorter window is centred in the transform. `reference`, `panns`: `n_fft`;
    /// `efficientat`: 800.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub win_length: Option<usize>,
    /// Samples from one frame to the next. `reference`: 640 (20 ms); `panns`, `efficientat`: 320 (10 ms).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hop_length: Option<usize>,
    /// The window. `reference`, `panns`: `hann`; `efficientat`: `hann-symmetric`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// Whether frame `t` is centred on sample `t * hop_length` (the signal is extended at both ends) or begins there.
    /// All presets: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub center: Option<bool>,
    /// With what a centred signal is extended by `n_fft / 2` samples at each end. All presets: `reflect`
    /// (librosa itself changed to `constant` in 0.9).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pad_mode: Option<PadMode>,
    /// Exponent of the magnitude: 2 energy, 1 amplitude. All presets: 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power: Option<f64>,
    /// Mel bands. `reference`, `efficientat`: 128; `panns`: 64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n_mels: Option<usize>,
    /// Lower edge of the lowest band, Hz. `reference`, `panns`: 50; `efficientat`: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fmin: Option<f64>,
    /// Upper edge of the highest band, Hz, at most half of `sample_rate`. `reference`: 16000; `panns`: 14000;
    /// `efficientat`: 15000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fmax: Option<f64>,
    /// The mel scale. `reference`, `panns`: `slaney` (librosa's default; torchaudio's is `htk`); `efficientat`: `kaldi`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mel_scale: Option<MelScale>,
    /// Whether triangles have equal area (`slaney`) or equal height (`none`). `reference`, `panns`: `slaney`;
    /// `efficientat`: `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mel_norm: Option<MelNorm>,
    /// What a mel energy becomes: decibels, or its natural logarithm. `reference`, `panns`: `db`; `efficientat`: `ln`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<Log>,
    /// What is added to every logarithm, before `divisor`. `reference`, `panns`: 0; `efficientat`: 4.5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<f64>,
    /// What every logarithm is divided by. `reference`, `panns`: 1; `efficientat`: 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub divisor: Option<f64>,
    /// The level that reads 0 dB, in dB above a mel energy of 1. All presets: 0; with `ln` nothing else can be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ref_db: Option<f64>,
    /// Smallest mel energy that is told from silence: in decibels smaller ones are raised to it, with `ln` it is added to all.
    /// `reference`, `panns`: 1e-10, a floor of -100 dB; `efficientat`: 1e-5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amin: Option<f64>,
    /// dB below the clip's largest value under which everything is raised to that limit. All presets: no limit
    /// (`librosa.power_to_db` has 80 by default); with `ln` there can be none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_db: Option<f64>,
    /// Element type of the stored values. All presets: `f32`; `f16` halves the size and rounds to 1/16 dB near -100 dB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dtype: Option<Dtype>,
    /// What becomes of sound whose beginning is good and whose end is missing or damaged: `reject` (the item fails as `corrupt`, with the time
    /// from which on) or `keep` (what is good, as the ffmpeg command hears it). What counts as such is a table in `media::damage`.
    pub partial: Partial,
}

/// A named set of parameters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// 32 kHz, 1024/640, 128 Slaney bands 50-16000 Hz, peak-normalised.
    #[default]
    Reference,
    /// 32 kHz, 1024/320, 64 Slaney bands 50-14000 Hz, as recorded.
    Panns,
    /// 32 kHz, pre-emphasis, 1024/320 under 800 samples, 128 bands of Kaldi 0-15000 Hz, `(ln(M + 1e-5) + 4.5) / 5`.
    #[serde(rename = "efficientat")]
    EfficientAt,
}

/// How sound of another rate is resampled: how near to half of the narrower rate it stays flat, against how long it rings.
/// Both are free of ripple and aliases; measured in the crate's documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resampling {
    /// A filter of at least 1024 samples of the narrower rate: flat to 97 % of its band.
    High,
    /// At least 256 samples: flat to 91 % of the band, as soxr's HQ; rings a quarter as long.
    Medium,
}

/// How channels become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mono {
    /// The mean of all channels.
    Mean,
    /// The first channel alone.
    First,
}

/// The window: periodic (`scipy.signal.get_window(..., fftbins=True)`), unless its name says symmetric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Window {
    /// 0.5 - 0.5 cos(2πn/N)
    Hann,
    /// 0.54 - 0.46 cos(2πn/N)
    Hamming,
    /// 0.5 - 0.5 cos(2πn/(N-1)): both ends are zero (`torch.hann_window(N, periodic=False)`).
    HannSymmetric,
}

/// What lies beyond the ends of the signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PadMode {
    /// The signal mirrored at its first and last sample, which are not repeated.
    Reflect,
    /// Zeros.
    Constant,
}

/// A mel scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MelScale {
    /// Linear below 1 kHz, logarithmic above (Slaney's Auditory Toolbox).
    Slaney,
    /// 2595 log10(1 + f/700).
    Htk,
    /// The same scale, with triangles that are straight in mel and not in Hz, and without the bin at half the sample rate, as in Kaldi
    /// (`torchaudio.compliance.kaldi`).
    Kaldi,
}

/// What a mel energy becomes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Log {
    /// Decibels, `10 log10(max(M, amin))` for an energy.
    #[default]
    Db,
    /// `ln(M + amin)`.
    Ln,
}

/// Height of the triangles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MelNorm {
    /// 2 / width in Hz: equal area.
    Slaney,
    /// 1.
    None,
}

/// Element type of the stored values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dtype {
    /// Single precision.
    F32,
    /// Half precision.
    F16,
}

/// Everything that can change a value, explicit: goes verbatim into the cache key. The fields are those of [`Params`]. The last five
/// came later: where they say what was always done they are left out, so that keys of before stay as they are.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are those of `Params`, documented there once")]
pub struct Spec {
    pub sample_rate: u32,
    pub resampler: Resampling,
    pub mono: Mono,
    pub peak_normalize: bool,
    pub n_fft: usize,
    pub win_length: usize,
    pub hop_length: usize,
    pub window: Window,
    pub center: bool,
    pub pad_mode: PadMode,
    pub power: f64,
    pub n_mels: usize,
    pub fmin: f64,
    pub fmax: f64,
    pub mel_scale: MelScale,
    pub mel_norm: MelNorm,
    pub ref_db: f64,
    pub amin: f64,
    pub top_db: Option<f64>,
    pub dtype: Dtype,
    #[serde(skip_serializing_if = "is_zero")]
    pub preemphasis: f64,
    #[serde(skip_serializing_if = "is_db")]
    pub log: Log,
    #[serde(skip_serializing_if = "is_zero")]
    pub offset: f64,
    #[serde(skip_serializing_if = "is_one")]
    pub divisor: f64,
    #[serde(skip_serializing_if = "Partial::is_keep")]
    pub partial: Partial,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(value: &f64) -> bool {
    value.to_bits() == 0.0_f64.to_bits()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_one(value: &f64) -> bool {
    value.to_bits() == 1.0_f64.to_bits()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_db(log: &Log) -> bool {
    *log == Log::Db
}

/// A value in `[log-mel]` that cannot be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{field} = {value}: {why}")]
pub struct ParamsError {
    /// Name of the field in the table.
    pub field: &'static str,
    /// Its value, from the table or the preset.
    pub value: String,
    /// What it must be.
    pub why: String,
}

impl Params {
    /// Expands the preset and checks every value.
    pub fn resolve(&self) -> Result<Spec, ParamsError> {
        let base = self.preset.spec();
        let n_fft = self.n_fft.unwrap_or(base.n_fft);
        let spec = Spec {
            sample_rate: self.sample_rate.unwrap_or(base.sample_rate),
            resampler: self.resampler.unwrap_or(base.resampler),
            mono: self.mono.unwrap_or(base.mono),
            peak_normalize: self.peak_normalize.unwrap_or(base.peak_normalize),
            n_fft,
            // A window as long as the preset's transform is as long as any transform.
            win_length: self.win_length.unwrap_or(if base.win_length == base.n_fft { n_fft } else { base.win_length }),
            hop_length: self.hop_length.unwrap_or(base.hop_length),
            window: self.window.unwrap_or(base.window),
            center: self.center.unwrap_or(base.center),
            pad_mode: self.pad_mode.unwrap_or(base.pad_mode),
            power: self.power.unwrap_or(base.power),
            n_mels: self.n_mels.unwrap_or(base.n_mels),
            fmin: self.fmin.unwrap_or(base.fmin),
            fmax: self.fmax.unwrap_or(base.fmax),
            mel_scale: self.mel_scale.unwrap_or(base.mel_scale),
            mel_norm: self.mel_norm.unwrap_or(base.mel_norm),
            ref_db: self.ref_db.unwrap_or(base.ref_db),
            amin: self.amin.unwrap_or(base.amin),
            top_db: self.top_db.or(base.top_db),
            dtype: self.dtype.unwrap_or(base.dtype),
            preemphasis: self.preemphasis.unwrap_or(base.preemphasis),
            log: self.log.unwrap_or(base.log),
            offset: self.offset.unwrap_or(base.offset),
            divisor: self.divisor.unwrap_or(base.divisor),
            partial: self.partial,
        };
        spec.check()?;
        Ok(spec)
    }
}

impl Preset {
    /// The values that stand where the table names none.
    fn spec(self) -> Spec {
        let reference = Spec {
            sample_rate: 32_000,
            resampler: Resampling::High,
            mono: Mono::Mean,
            peak_normalize: true,
            n_fft: 1024,
            win_length: 1024,
            hop_length: 640,
            window: Window::Hann,
            center: true,
            pad_mode: PadMode::Reflect,
            power: 2.0,
            n_mels: 128,
            fmin: 50.0,
            fmax: 16_000.0,
            mel_scale: MelScale::Slaney,
            mel_norm: MelNorm::Slaney,
            ref_db: 0.0,
            amin: 1e-10,
            top_db: None,
            dtype: Dtype::F32,
            preemphasis: 0.0,
            log: Log::Db,
            offset: 0.0,
            divisor: 1.0,
            partial: Partial::Reject,
        };
        match self {
            Preset::Reference => reference,
            Preset::Panns => Spec { peak_normalize: false, hop_length: 320, n_mels: 64, fmax: 14_000.0, ..reference },
            Preset::EfficientAt => Spec {
                peak_normalize: false,
                preemphasis: 0.97,
                win_length: 800,
                hop_length: 320,
                window: Window::HannSymmetric,
                fmin: 0.0,
                fmax: 15_000.0,
                mel_scale: MelScale::Kaldi,
                mel_norm: MelNorm::None,
                log: Log::Ln,
                amin: 1e-5,
                offset: 4.5,
                divisor: 5.0,
                ..reference
            },
        }
    }
}

impl Spec {
    /// The column that every item has, known before the first is computed.
    pub fn columns(&self) -> Vec<ColumnSpec> {
        let element = match self.dtype {
            Dtype::F32 => Element::F32,
            Dtype::F16 => Element::F16,
        };
        vec![ColumnSpec { name: "log_mel".into(), width: Some(self.n_mels), element, unit: self.unit().into() }]
    }

    /// `dB`, unless the values are natural logarithms or were divided.
    fn unit(&self) -> &'static str {
        if self.log == Log::Db && is_one(&self.divisor) { "dB" } else { "1" }
    }

    pub(crate) fn check(&self) -> Result<(), ParamsError> {
        range("sample_rate", self.sample_rate, 1_000, 384_000, "samples per second")?;
        range("n_fft", self.n_fft, 16, 65_536, "samples")?;
        range("hop_length", self.hop_length, 1, 1 << 24, "samples")?;
        range("win_length", self.win_length, 2, self.n_fft, "samples (n_fft is the upper end)")?;
        range("n_mels", self.n_mels, 1, 4096, "bands")?;
        range("power", self.power, 0.125, 4.0, "2 is energy, 1 amplitude")?;
        range("ref_db", self.ref_db, -200.0, 200.0, "dB")?;
        range("amin", self.amin, 1e-30, 1e10, "an energy")?;
        range("preemphasis", self.preemphasis, 0.0, 1.0, "a share of the sample before")?;
        range("offset", self.offset, -1000.0, 1000.0, "added to every logarithm")?;
        range("divisor", self.divisor, 1e-3, 1e3, "every logarithm is divided by it")?;
        if self.log == Log::Ln {
            let why = "is a level in dB: it has no place where log = \"ln\"".to_owned();
            if !is_zero(&self.ref_db) {
                return Err(ParamsError { field: "ref_db", value: self.ref_db.to_string(), why });
            }
            if let Some(top_db) = self.top_db {
                return Err(ParamsError { field: "top_db", value: top_db.to_string(), why });
            }
        }
        range("top_db", self.top_db.unwrap_or(0.0), 0.0, 1000.0, "dB")?;
        let nyquist = f64::from(self.sample_rate) / 2.0;
        let upper = "Hz (half of sample_rate is the upper end)";
        range("fmax", self.fmax, 0.0, nyquist, upper)?;
        if !(self.fmin >= 0.0 && self.fmin < self.fmax) {
            let why = format!("must be at least 0 Hz and below fmax = {}", self.fmax);
            return Err(ParamsError { field: "fmin", value: self.fmin.to_string(), why });
        }
        Ok(())
    }
}

/// `lo <= value <= hi`; false for NaN.
fn range<T: PartialOrd + Copy + std::fmt::Display>(
    field: &'static str,
    value: T,
    lo: T,
    hi: T,
    unit: &str,
) -> Result<(), ParamsError> {
    if value >= lo && value <= hi {
        return Ok(());
    }
    Err(ParamsError { field, value: value.to_string(), why: format!("must lie between {lo} and {hi}; {unit}") })
}
