//! The table `[extract-frames]` of `pipeline.toml`.

use std::fmt;
use std::str::FromStr;

use contract::{Partial, TimeBase};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The table `[extract-frames]` as written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Params {
    /// Pictures per second: a number (`1`, `0.5`) or a fraction in quotes (`"1/2"`, `"30000/1001"`). One per second is what the reference example uses.
    pub fps: Rate,
    /// Format of the picture files: `png` (exact) or `jpeg` (small, lossy). It never touches what the encoder sees.
    pub format: Format,
    /// Quality of JPEG files, 1 to 100; without effect on PNG.
    pub jpeg_quality: u8,
    /// What becomes of a video whose beginning is good and whose end is missing or damaged: `reject` (the item fails as `corrupt`, with the
    /// time from which on) or `keep` (what is good, exactly as the ffmpeg command). What counts as such is a table in `media::damage`; pictures
    /// that nobody wants are not decoded, so damage that touches no wanted picture goes unseen.
    pub partial: Partial,
}

impl Default for Params {
    fn default() -> Self {
        Params { fps: Rate { num: 1, den: 1 }, format: Format::Png, jpeg_quality: 95, partial: Partial::Reject }
    }
}

/// Format of picture files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Lossless.
    Png,
    /// Lossy.
    Jpeg,
}

impl Format {
    /// Every format.
    pub const ALL: [Format; 2] = [Format::Png, Format::Jpeg];

    /// The name in parameters and messages.
    pub fn name(self) -> &'static str {
        match self {
            Format::Png => "png",
            Format::Jpeg => "jpeg",
        }
    }

    /// Extension of file names.
    pub fn extension(self) -> &'static str {
        match self {
            Format::Png => "png",
            Format::Jpeg => "jpg",
        }
    }
}

/// Pictures per second as an exact fraction in lowest terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Pictures.
    pub num: u32,
    /// Seconds.
    pub den: u32,
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.den == 1 { write!(f, "{}", self.num) } else { write!(f, "{}/{}", self.num, self.den) }
    }
}

impl FromStr for Rate {
    type Err = ParamsError;

    /// Reads `a`, `a.b` or `a/b` exactly: `29.97` is 2997/100, not 30000/1001.
    fn from_str(text: &str) -> Result<Self, ParamsError> {
        let bad = || ParamsError::NotARate { text: text.to_owned() };
        let digits = |s: &str| {
            if s.is_empty() || s.len() > 10 || !s.bytes().all(|b| b.is_ascii_digit()) {
                return Err(bad());
            }
            s.parse::<u64>().map_err(|_| bad())
        };
        let (num, den) = if let Some((num, den)) = text.split_once('/') {
            (digits(num.trim())?, digits(den.trim())?)
        } else if let Some((whole, fraction)) = text.trim().split_once('.') {
            if fraction.len() > 6 {
                return Err(bad());
            }
            let scale = 10_u64.pow(fraction.len() as u32);
            (digits(whole)? * scale + digits(fraction)?, scale)
        } else {
            (digits(text.trim())?, 1)
        };
        if den == 0 {
            return Err(bad());
        }
        let divisor = gcd(num, den).max(1);
        let narrow = |v: u64| u32::try_from(v / divisor).map_err(|_| bad());
        Ok(Rate { num: narrow(num)?, den: narrow(den)? })
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.den == 1 { serializer.serialize_u32(self.num) } else { serializer.collect_str(self) }
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Rate;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("pictures per second, as a number or as a fraction in quotes such as \"1/2\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Rate, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Rate, E> {
                self.visit_str(&value.to_string())
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Rate, E> {
                self.visit_str(&value.to_string())
            }
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Rate, E> {
                // The shortest decimal that names this float is what was written in the file.
                self.visit_str(&value.to_string())
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// What is wrong with the parameters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParamsError {
    /// Not a number.
    #[error("`{text}` is no number of pictures per second: write 1, 0.5, \"1/2\" or \"30000/1001\"")]
    NotARate {
        /// What was written.
        text: String,
    },
    /// Out of range.
    #[error("`fps` is {fps}: it must be more than 0 and at most 1000")]
    RateOutOfRange {
        /// What was written.
        fps: String,
    },
    /// Out of range.
    #[error("`jpeg_quality` is {quality}: it must be 1 to 100")]
    QualityOutOfRange {
        /// What was written.
        quality: u8,
    },
}

/// What can change the output, in two parts with different consequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Spec {
    /// Decides which pixels are seen: enters the key of whatever is computed from pictures.
    pub frames: FrameSpec,
    /// Decides only how picture files are written.
    pub files: FileSpec,
}

/// Which pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct FrameSpec {
    /// Numerator of the pictures per second, in lowest terms.
    pub fps_num: u32,
    /// Denominator.
    pub fps_den: u32,
    /// Whether a part of a video will do. [`select`](crate::select) does not ask.
    #[serde(skip_serializing_if = "Partial::is_keep")]
    pub partial: Partial,
}

impl FrameSpec {
    /// `num` pictures in `den` seconds, of whatever there is of a video.
    pub const fn at(num: u32, den: u32) -> FrameSpec {
        FrameSpec { fps_num: num, fps_den: den, partial: Partial::Keep }
    }

    /// The time from one picture to the next in seconds.
    pub fn period(&self) -> TimeBase {
        let whole = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
        TimeBase { num: whole(self.fps_den), den: whole(self.fps_num) }
    }
}

/// How picture files are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct FileSpec {
    /// Format.
    pub format: Format,
    /// 1 to 100; `None` for PNG, which has no quality.
    pub jpeg_quality: Option<u8>,
}

impl Params {
    /// Validates.
    pub fn resolve(&self) -> Result<Spec, ParamsError> {
        let Rate { num, den } = self.fps;
        if num == 0 || den == 0 || u64::from(num) > 1000 * u64::from(den) {
            return Err(ParamsError::RateOutOfRange { fps: self.fps.to_string() });
        }
        if !(1..=100).contains(&self.jpeg_quality) {
            return Err(ParamsError::QualityOutOfRange { quality: self.jpeg_quality });
        }
        let divisor = gcd(num.into(), den.into()) as u32;
        Ok(Spec {
            frames: FrameSpec { fps_num: num / divisor, fps_den: den / divisor, partial: self.partial },
            files: FileSpec {
                format: self.format,
                jpeg_quality: (self.format == Format::Jpeg).then_some(self.jpeg_quality),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn rate(text: &str) -> Option<(u32, u32)> {
        text.parse().ok().map(|r: Rate| (r.num, r.den))
    }

    #[test]
    fn rates_are_read_exactly() {
        assert_eq!(rate("1"), Some((1, 1)));
        assert_eq!(rate("2/4"), Some((1, 2)));
        assert_eq!(rate("30000/1001"), Some((30000, 1001)));
        assert_eq!(rate("0.5"), Some((1, 2)));
        assert_eq!(rate("29.97"), Some((2997, 100)));
        assert_eq!(rate("0"), Some((0, 1)));
        for bad in ["", "-1", "1/0", "1e3", "NaN", "inf", ".5", "1.", "a", "1/2/3", "99999999999", "0.1234567"] {
            assert_eq!(rate(bad), None, "{bad}");
        }
    }

    #[test]
    fn quality_matters_only_to_jpeg() {
        let png = Params { jpeg_quality: 10, ..Params::default() }.resolve().unwrap();
        assert_eq!(png, Params::default().resolve().unwrap());
        let jpeg = Params { format: Format::Jpeg, ..Params::default() }.resolve().unwrap();
        assert_eq!(jpeg.files.jpeg_quality, Some(95));
        assert_eq!(jpeg.frames, png.frames);
    }

    #[test]
    fn nonsense_is_refused() {
        for (num, den) in [(0, 1), (1001, 1), (1, 0)] {
            let params = Params { fps: Rate { num, den }, ..Params::default() };
            assert!(matches!(params.resolve(), Err(ParamsError::RateOutOfRange { .. })), "{num}/{den}");
        }
        for jpeg_quality in [0, 101] {
            assert!(Params { jpeg_quality, ..Params::default() }.resolve().is_err());
        }
    }

    #[test]
    fn numbers_and_strings_deserialise_alike() {
        use serde::de::value::{Error, F64Deserializer, I64Deserializer, StrDeserializer, U64Deserializer};
        let half = Rate { num: 1, den: 2 };
        assert_eq!(Rate::deserialize(F64Deserializer::<Error>::new(0.5)).unwrap(), half);
        assert_eq!(Rate::deserialize(StrDeserializer::<Error>::new("1/2")).unwrap(), half);
        assert_eq!(Rate::deserialize(U64Deserializer::<Error>::new(3)).unwrap(), Rate { num: 3, den: 1 });
        assert_eq!(Rate::deserialize(I64Deserializer::<Error>::new(3)).unwrap(), Rate { num: 3, den: 1 });
        let error = Rate::deserialize(I64Deserializer::<Error>::new(-3)).unwrap_err();
        assert!(error.to_string().contains("pictures per second"), "{error}");
    }
}
