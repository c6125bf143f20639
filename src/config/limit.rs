//! How many items may fail before a run stops: `-1` (never), a number, or a share such as `"5%"`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A limit on failed items.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FailureLimit {
    /// None: the run goes on whatever fails.
    Never,
    /// More than so many items stop it.
    Items(u64),
    /// More than this share of the data set's items stops it, in percent.
    Percent(f64),
}

impl FailureLimit {
    /// Whether so many failures, of a data set of so many items, are too many.
    pub fn is_passed(self, failed: usize, items: usize) -> bool {
        match self {
            FailureLimit::Never => false,
            FailureLimit::Items(limit) => failed as u64 > limit,
            FailureLimit::Percent(percent) => failed as f64 * 100.0 > percent * items as f64,
        }
    }
}

impl fmt::Display for FailureLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FailureLimit::Never => f.write_str("-1"),
            FailureLimit::Items(limit) => write!(f, "{limit}"),
            FailureLimit::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl FromStr for FailureLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || {
            format!("`{text}` is no limit on failures: give a number of items, a share such as `5%`, or -1 for none")
        };
        let text = text.trim();
        if text == "-1" {
            return Ok(FailureLimit::Never);
        }
        match text.strip_suffix('%') {
            Some(percent) => {
                let percent: f64 = percent.trim().parse().map_err(|_| refuse())?;
                if (0.0..=100.0).contains(&percent) { Ok(FailureLimit::Percent(percent)) } else { Err(refuse()) }
            }
            None => text.parse().map(FailureLimit::Items).map_err(|_| refuse()),
        }
    }
}

impl Serialize for FailureLimit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            FailureLimit::Never => serializer.serialize_i64(-1),
            FailureLimit::Items(limit) => serializer.serialize_u64(*limit),
            FailureLimit::Percent(_) => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for FailureLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a number of items, a share such as \"5%\", or -1")]
        enum Written {
            Number(i64),
            Text(String),
        }
        let text = match Written::deserialize(deserializer)? {
            Written::Number(number) => number.to_string(),
            Written::Text(text) => text,
        };
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_numbers_or_shares() {
        let limit = |text: &str| text.parse::<FailureLimit>();
        assert_eq!(limit("-1"), Ok(FailureLimit::Never));
        assert_eq!(limit("12"), Ok(FailureLimit::Items(12)));
        assert_eq!(limit(" 2.5 % "), Ok(FailureLimit::Percent(2.5)));
        for bad in ["", "-2", "many", "101%", "-1%", "NaN%", "%"] {
            assert!(limit(bad).is_err(), "{bad}");
        }
        for good in [FailureLimit::Never, FailureLimit::Items(0), FailureLimit::Percent(5.0)] {
            assert_eq!(limit(&good.to_string()), Ok(good));
            let text = toml::to_string(&std::collections::BTreeMap::from([("x", good)])).expect("plain data");
            let back: std::collections::BTreeMap<String, FailureLimit> = toml::from_str(&text).expect("own text");
            assert_eq!(back["x"], good);
        }
    }

    #[test]
    fn a_limit_is_passed_by_one_more() {
        assert!(!FailureLimit::Never.is_passed(usize::MAX, 1));
        assert!(!FailureLimit::Items(3).is_passed(3, 10) && FailureLimit::Items(3).is_passed(4, 10));
        assert!(FailureLimit::Items(0).is_passed(1, 10) && !FailureLimit::Items(0).is_passed(0, 10));
        assert!(!FailureLimit::Percent(5.0).is_passed(5, 100) && FailureLimit::Percent(5.0).is_passed(6, 100));
    }
}
