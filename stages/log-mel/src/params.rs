//! The table `[log-mel]` of `pipeline.toml`, and what it means once every value is explicit.

use contract::{ColumnSpec, Element};
use serde::{Deserialize, Serialize};

/// The table `[log-mel]` as written: a preset, and any of its values replaced.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Params {
    /// Where the values not named below come from. `reference`: what the DCASE 2021 1B example fed its networks;
    /// `panns`: what the PANNs networks (CNN14, 32 kHz) were trained on.
    pub preset: Preset,
    /// Samples per second of the analysis; sound of any other rate is resampled. Both presets: 32000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample_rate: Option<u32>,
    /// How sound of another rate is resampled. Both presets: `high`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resampler: Option<Resampling>,
    /// How channels become one. Both presets: `mean`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mono: Option<Mono>,
    /// Whether each clip is divided by its largest magnitude (+1e-8), after mixing and resampling: moves all values of a
    /// clip by one constant. `reference`: true, as its loader did; `panns`: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_normalize: Option<bool>,
    /// Samples per Fourier transform. Both presets: 1024.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n_fft: Option<usize>,
    /// Samples under the window, at most `n_fft`; a shorter window is centred in the transform. Default: `n_fft`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub win_length: Option<usize>,
    /// Samples from one frame to the next. `reference`: 640 (20 ms); `panns`: 320 (10 ms).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hop_length: Option<usize>,
    /// The window, in its periodic form. Both presets: `hann`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// Whether frame `t` is centred on sample `t * hop_length` (the signal is extended at both ends) or begins there.
    /// Both presets: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub center: Option<bool>,
    /// With what a centred signal is extended by `n_fft / 2` samples at each end. Both presets: `reflect`
    /// (librosa itself changed to `constant` in 0.9).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pad_mode: Option<PadMode>,
    /// Exponent of the magnitude: 2 energy, 1 amplitude. Both presets: 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power: Option<f64>,
    /// Mel bands. `reference`: 128; `panns`: 64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n_mels: Option<usize>,
    /// Lower edge of the lowest band, Hz. Both presets: 50.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fmin: Option<f64>,
    /// Upper edge of the highest band, Hz, at most half of `sample_rate`. `reference`: 16000; `panns`: 14000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fmax: Option<f64>,
    /// The mel scale. Both presets: `slaney` (librosa's default; torchaudio's is `htk`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mel_scale: Option<MelScale>,
    /// Whether triangles have equal area (`slaney`) or equal height (`none`). Both presets: `slaney`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mel_norm: Option<MelNorm>,
    /// The level that reads 0 dB, in dB above a mel energy of 1. Both presets: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ref_db: Option<f64>,
    /// Smallest mel energy that is told from silence. Both presets: 1e-10, a floor of -100 dB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amin: Option<f64>,
    /// dB below the clip's largest value under which everything is raised to that limit. Both presets: no limit
    /// (`librosa.power_to_db` has 80 by default).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_db: Option<f64>,
    /// Element type of the stored values. Both presets: `f32`; `f16` halves the size and rounds to 1/16 dB near -100 dB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dtype: Option<Dtype>,
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

/// The window, always periodic (`scipy.signal.get_window(..., fftbins=True)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Window {
    /// 0.5 - 0.5 cos(2πn/N)
    Hann,
    /// 0.54 - 0.46 cos(2πn/N)
    Hamming,
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

/// Everything that can change a value, explicit: goes verbatim into the cache key. The fields are those of [`Params`].
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
            win_length: self.win_length.unwrap_or(n_fft),
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
        };
        match self {
            Preset::Reference => reference,
            Preset::Panns => Spec { peak_normalize: false, hop_length: 320, n_mels: 64, fmax: 14_000.0, ..reference },
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
        vec![ColumnSpec { name: "log_mel".into(), width: Some(self.n_mels), element, unit: "dB".into() }]
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
