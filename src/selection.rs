//! Which part of the work a run takes up: some items, some shards, some stages. What is left out is neither lost nor wrong; a later run
//! takes it up, and shards that lack items stay parts until then.

use std::collections::HashSet;
use std::path::Path;
use std::str::FromStr;

use contract::Item;
use globset::{GlobBuilder, GlobMatcher};

use crate::config::nearest;
use crate::error::{Error, IoContext, Result};
use crate::ui::plural;

/// What the command line says about items.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Patterns of ids, such as `park-*`, and `@FILE`s with an id a line.
    pub items: Vec<String>,
    /// The first so many.
    pub limit: Option<usize>,
    /// So many, drawn by the hash of their ids: always the same ones.
    pub sample: Option<usize>,
    /// One of some equal parts of the shards.
    pub shards: Option<Share>,
}

impl Wanted {
    /// Which items of a data set are meant; `None`: all of them.
    pub fn of(&self, items: &[Item], shard_size: usize) -> Result<Option<Vec<bool>>> {
        if *self == Wanted::default() {
            return Ok(None);
        }
        let mut taken = if self.items.is_empty() { vec![true; items.len()] } else { self.named(items)? };
        if let Some(share) = self.shards {
            let count = items.len().div_ceil(shard_size);
            for (i, taken) in taken.iter_mut().enumerate() {
                *taken &= share.has(i / shard_size, count);
            }
        }
        let positions =
            |taken: &[bool]| taken.iter().enumerate().filter(|(_, t)| **t).map(|(i, _)| i).collect::<Vec<_>>();
        if let Some(sample) = self.sample {
            let mut drawn = positions(&taken);
            drawn.sort_by_cached_key(|i| *blake3::hash(items[*i].id.as_bytes()).as_bytes());
            for i in drawn.into_iter().skip(sample) {
                taken[i] = false;
            }
        }
        if let Some(limit) = self.limit {
            for i in positions(&taken).into_iter().skip(limit) {
                taken[i] = false;
            }
        }
        Ok(Some(taken))
    }

    fn named(&self, items: &[Item]) -> Result<Vec<bool>> {
        let mut taken = vec![false; items.len()];
        for pattern in &self.items {
            let mut any = false;
            let mut take = |meant: &dyn Fn(&str) -> bool| {
                for (item, taken) in items.iter().zip(&mut taken) {
                    if meant(&item.id) {
                        *taken = true;
                        any = true;
                    }
                }
            };
            if let Some(file) = pattern.strip_prefix('@') {
                let listed = read_ids(Path::new(file))?;
                take(&|id| listed.contains(id));
                refuse_unknown(&listed, items, file)?;
            } else {
                let glob = glob(pattern)?;
                take(&|id| glob.is_match(id));
            }
            if !any {
                let hint = meant(pattern, items);
                return Err(Error::Usage(format!("--items {pattern}: the data set has no such item{hint}")));
            }
        }
        Ok(taken)
    }
}

/// What to write for an item that a data set lacks.
pub fn meant(id: &str, items: &[Item]) -> String {
    match (nearest(id, items.iter().map(|item| item.id.as_str())), items.first()) {
        (Some(near), _) => format!("; did you mean `{near}`?"),
        (None, Some(first)) => format!("; its first one is `{}`", first.id),
        (None, None) => String::new(),
    }
}

/// `*` and `?` match any character, as ids are no paths.
fn glob(pattern: &str) -> Result<GlobMatcher> {
    let glob = GlobBuilder::new(pattern).literal_separator(false).build();
    glob.map(|glob| glob.compile_matcher()).map_err(|e| Error::Usage(format!("--items {pattern}: {}", e.kind())))
}

fn read_ids(file: &Path) -> Result<HashSet<String>> {
    let text = std::fs::read_to_string(file).at("read", file)?;
    Ok(text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_string)
        .collect())
}

fn refuse_unknown(listed: &HashSet<String>, items: &[Item], file: &str) -> Result<()> {
    let known: HashSet<&str> = items.iter().map(|item| item.id.as_str()).collect();
    let mut unknown: Vec<&String> = listed.iter().filter(|id| !known.contains(id.as_str())).collect();
    unknown.sort();
    match unknown.first() {
        None => Ok(()),
        Some(first) => Err(Error::Usage(format!(
            "--items @{file}: the data set lacks {} of it, first `{first}`",
            plural(unknown.len(), "item")
        ))),
    }
}

/// `I/N`: the I-th, counted from 1, of N parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    index: usize,
    of: usize,
}

impl Share {
    /// Whether shard `k` of `count` belongs to it: consecutive ones do, so that a part reads and writes in one place.
    pub fn has(self, k: usize, count: usize) -> bool {
        let at = |part: usize| count * part / self.of;
        (at(self.index)..at(self.index + 1)).contains(&k)
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let parse = || {
            let (index, of) = text.split_once('/')?;
            let (index, of): (usize, usize) = (index.trim().parse().ok()?, of.trim().parse().ok()?);
            (1..=of).contains(&index).then(|| Share { index: index - 1, of })
        };
        parse().ok_or_else(|| format!("`{text}` is no part: write I/N with I from 1 to N, e.g. 3/16"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(n: usize) -> Vec<Item> {
        let item = |i: usize| Item {
            id: format!("{}-{i:02}", if i.is_multiple_of(2) { "park" } else { "tram" }),
            video: None,
            audio: None,
            label: None,
            group: None,
            city: None,
            split: None,
        };
        (0..n).map(item).collect()
    }

    fn taken(wanted: &Wanted, n: usize) -> Vec<usize> {
        let mask = wanted.of(&items(n), 4).expect("good").expect("some");
        mask.iter().enumerate().filter(|(_, taken)| **taken).map(|(i, _)| i).collect()
    }

    #[test]
    fn parts_cover_all_shards_once_and_in_order() {
        for count in [0, 1, 5, 7, 48] {
            for of in [1, 2, 3, 7, 60] {
                let owner = |k: usize| (0..of).filter(|&index| Share { index, of }.has(k, count)).collect::<Vec<_>>();
                let owners: Vec<Vec<usize>> = (0..count).map(owner).collect();
                assert!(owners.iter().all(|owners| owners.len() == 1), "{count} shards in {of} parts: {owners:?}");
                assert!(owners.is_sorted());
            }
        }
        for bad in ["", "0/3", "4/3", "1", "a/b", "1/0"] {
            assert!(bad.parse::<Share>().is_err(), "{bad}");
        }
    }

    #[test]
    fn items_are_chosen_by_pattern_by_number_and_by_lot() {
        let named = |patterns: &[&str]| Wanted {
            items: patterns.iter().map(ToString::to_string).collect(),
            ..Wanted::default()
        };
        assert_eq!(Wanted::default().of(&items(9), 4).expect("good"), None);
        assert_eq!(taken(&named(&["tram-0?"]), 9), [1, 3, 5, 7]);
        assert_eq!(taken(&named(&["park-0[02]", "tram-05"]), 9), [0, 2, 5]);
        assert_eq!(taken(&Wanted { limit: Some(2), ..named(&["tram-*"]) }, 9), [1, 3]);
        let by_lot = |sample| taken(&Wanted { sample: Some(sample), ..Wanted::default() }, 50);
        assert_eq!(by_lot(5).len(), 5);
        assert!(by_lot(5).iter().all(|i| by_lot(9).contains(i)), "a larger sample holds the smaller one");
        assert_eq!(
            taken(&Wanted { shards: Some("2/3".parse().expect("good")), ..Wanted::default() }, 10),
            [4, 5, 6, 7]
        );
        let error = named(&["tramm-01"]).of(&items(9), 4).expect_err("unknown").to_string();
        assert!(error.contains("did you mean `tram-01`?"), "{error}");
        let error = named(&["zebra*"]).of(&items(9), 4).expect_err("unknown").to_string();
        assert!(error.ends_with("the data set has no such item; its first one is `park-00`"), "{error}");
    }

    #[test]
    fn a_list_of_ids_must_be_known() {
        let folder = tempfile::tempdir().expect("tempdir");
        let file = folder.path().join("ids");
        let listed = || Wanted { items: vec![format!("@{}", file.display())], ..Wanted::default() };
        std::fs::write(&file, "# mine\ntram-01\n\npark-02\n").expect("write");
        assert_eq!(taken(&listed(), 9), [1, 2]);
        std::fs::write(&file, "tram-01\nbus-07\n").expect("write");
        let error = listed().of(&items(9), 4).expect_err("unknown").to_string();
        assert!(error.contains("lacks 1 item of it, first `bus-07`"), "{error}");
    }
}
