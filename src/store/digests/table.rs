//! The file of the digest cache: entries of fixed size in order of their names, searched where they lie.
//!
//! ```text
//! b"digests\x03"                        8 bytes: the format and its version
//! name      u128                        of each entry, 88 bytes, in ascending order of the names;
//! inode, size, mtime_ns, ctime_ns       all numbers little-endian
//! hashed_at_ns
//! digest    [u8; 32]
//! BLAKE3 of everything before it        32 bytes
//! ```
//!
//! Two million entries are 180 MB: decoding them into values of their own would take longer than everything that is asked of them.

use std::cmp::Reverse;
use std::path::Path;

use super::{Name, Record, Stamp};
use crate::error::Result;
use crate::store::publish::publish_bytes;
use crate::store::sealed::{seal, unseal};

/// Another version is ignored, and the cache begins anew.
const HEADER: &[u8; 8] = b"digests\x03";

/// Bytes of an entry.
const ENTRY: usize = 16 + 4 * 8 + 8 + 32;

/// The content of a cache file.
#[derive(Debug)]
pub(super) struct Table {
    /// Header and entries; empty where there is no cache.
    bytes: Vec<u8>,
    /// Names are hashes and so evenly spread over buckets of one or two, which their first bits number: where each begins, and the end of the last.
    /// Halving two million entries would take twenty looks at memory, each far from the last.
    starts: Vec<u32>,
    /// How many bits number a bucket.
    bits: u32,
}

impl Default for Table {
    fn default() -> Self {
        Table { bytes: Vec::new(), starts: Vec::new(), bits: 1 }
    }
}

impl Table {
    /// What the bytes of a cache file hold; `None` for one that is damaged or of another version.
    pub(super) fn parse(bytes: Vec<u8>) -> Option<Table> {
        let bytes = unseal(bytes)?;
        let (entries, rest) = bytes.strip_prefix(HEADER)?.as_chunks::<ENTRY>();
        let sound = rest.is_empty() && entries.is_sorted_by(|a, b| name(a) < name(b));
        // Four billion files are more than anyone has; a table of more would be built anew by each run.
        u32::try_from(entries.len()).ok().filter(|_| sound)?;
        Some(Table::indexed(bytes))
    }

    /// A table of these entries; of one name what was hashed last.
    pub(super) fn of(mut entries: Vec<(Name, Record)>) -> Table {
        entries.sort_by_key(|(name, record)| (*name, Reverse(record.hashed_at_ns)));
        entries.dedup_by_key(|(name, _)| *name);
        let mut bytes = Vec::with_capacity(HEADER.len() + entries.len() * ENTRY + 32);
        bytes.extend_from_slice(HEADER);
        for (name, Record { stamp, hashed_at_ns, digest }) in &entries {
            bytes.extend_from_slice(&name.to_le_bytes());
            bytes.extend_from_slice(&stamp.inode.to_le_bytes());
            bytes.extend_from_slice(&stamp.size.to_le_bytes());
            bytes.extend_from_slice(&stamp.mtime_ns.to_le_bytes());
            bytes.extend_from_slice(&stamp.ctime_ns.to_le_bytes());
            bytes.extend_from_slice(&hashed_at_ns.to_le_bytes());
            bytes.extend_from_slice(digest);
        }
        Table::indexed(bytes)
    }

    /// Numbers the buckets of a header and entries in order.
    fn indexed(bytes: Vec<u8>) -> Table {
        let entries = bytes[HEADER.len()..].as_chunks::<ENTRY>().0;
        let bits = entries.len().max(2).ilog2();
        let mut starts = vec![0; (1 << bits) + 1];
        for entry in entries {
            starts[bucket(name(entry), bits) + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        Table { bytes, starts, bits }
    }

    /// How many entries it has.
    pub(super) fn len(&self) -> usize {
        self.entries().len()
    }

    fn entries(&self) -> &[[u8; ENTRY]] {
        self.bytes.get(HEADER.len()..).unwrap_or_default().as_chunks().0
    }

    /// The record of this name.
    pub(super) fn get(&self, wanted: Name) -> Option<Record> {
        let [start, end] = *self.starts.get(bucket(wanted, self.bits)..)?.first_chunk()?;
        let entries = &self.entries()[start as usize..end as usize];
        entries.binary_search_by(|entry| name(entry).cmp(&wanted)).ok().map(|at| record(&entries[at]))
    }

    /// The records of several names. Each costs two looks at memory that no cache holds; those of all names are under way at once.
    pub(super) fn get_all(&self, wanted: &[Name]) -> impl Iterator<Item = Option<Record>> {
        let first = |name: &Name| self.starts.get(bucket(*name, self.bits)).map_or(0, |start| *start as usize);
        let firsts: Vec<usize> = wanted.iter().map(first).collect();
        let entries = self.entries();
        let seen = firsts.iter().filter_map(|at| entries.get(*at)).fold(0, |seen, entry| seen ^ entry[0]);
        std::hint::black_box(seen);
        wanted.iter().map(|name| self.get(*name))
    }

    /// Every name and its record, in order of the names.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Name, Record)> {
        self.entries().iter().map(|entry| (name(entry), record(entry)))
    }

    /// Publishes it as a cache file.
    pub(super) fn publish(self, path: &Path) -> Result<()> {
        publish_bytes(path, &seal(self.bytes))
    }
}

/// The number that the first bits of a name are, of which there is one at least.
fn bucket(name: Name, bits: u32) -> usize {
    (name >> (Name::BITS - bits)) as usize
}

fn name(entry: &[u8; ENTRY]) -> Name {
    Name::from_le_bytes(*entry.first_chunk().expect("an entry begins with its name"))
}

fn record(entry: &[u8; ENTRY]) -> Record {
    let (numbers, digest) = entry[16..].split_last_chunk::<32>().expect("an entry ends with its digest");
    let number = |at: usize| *numbers[8 * at..].first_chunk::<8>().expect("five numbers");
    Record {
        stamp: Stamp {
            inode: u64::from_le_bytes(number(0)),
            size: u64::from_le_bytes(number(1)),
            mtime_ns: i64::from_le_bytes(number(2)),
            ctime_ns: i64::from_le_bytes(number(3)),
        },
        hashed_at_ns: i64::from_le_bytes(number(4)),
        digest: *digest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: Name) -> (Name, Record) {
        let n = name as u64;
        let stamp = Stamp { inode: n, size: n.wrapping_add(1), mtime_ns: -5, ctime_ns: 7 };
        (name, Record { stamp, hashed_at_ns: 9, digest: [n as u8; 32] })
    }

    fn table(names: &[Name]) -> Table {
        let folder = tempfile::tempdir().expect("tempdir");
        let path = folder.path().join("digests");
        Table::of(names.iter().rev().copied().map(entry).collect()).publish(&path).expect("publish");
        Table::parse(std::fs::read(&path).expect("read")).expect("what was published")
    }

    #[test]
    fn every_name_is_found_however_they_are_spread_and_no_other() {
        let even: Vec<Name> = (1..=1000).map(|n| Name::MAX / 1001 * n + n % 7).collect();
        let crowded: Vec<Name> = (0..1000).map(|n| 1000 + 2 * n).collect();
        let ends = vec![0, 1, Name::MAX - 1, Name::MAX];
        let doubling: Vec<Name> = (0..128).map(|n| 1 << n).collect();
        for names in [even, crowded, ends, doubling, vec![5], Vec::new()] {
            let table = table(&names);
            assert_eq!(table.iter().map(|(name, _)| name).collect::<Vec<_>>(), names);
            for &name in &names {
                assert_eq!(table.get(name), Some(entry(name).1), "{name} of {names:?}");
                assert!(table.get_all(&[name, 77, name]).eq([name, 77, name].map(|name| table.get(name))));
                for other in [name.wrapping_sub(1), name.wrapping_add(1)] {
                    assert_eq!(table.get(other).is_some(), names.contains(&other), "{other} of {names:?}");
                }
            }
        }
        assert_eq!(Table::default().get(7), None);
    }

    #[test]
    fn of_one_name_what_was_hashed_last_stands() {
        let (name, first) = entry(3);
        let second = Record { hashed_at_ns: first.hashed_at_ns + 1, digest: [8; 32], ..first };
        for entries in [vec![(name, first), (name, second)], vec![(name, second), (name, first)]] {
            assert_eq!(Table::of(entries).iter().collect::<Vec<_>>(), [(name, second)]);
        }
    }

    #[test]
    fn a_file_out_of_order_or_cut_within_an_entry_is_no_table() {
        let good = Table::of(vec![entry(1), entry(2)]).bytes;
        assert!(Table::parse(seal(good.clone())).is_some());
        let (header, entries) = good.split_at(HEADER.len());
        let (first, second) = entries.split_at(ENTRY);
        assert!(Table::parse(seal([header, second, first].concat())).is_none());
        assert!(Table::parse(seal([header, first, first].concat())).is_none());
        assert!(Table::parse(seal(good[..good.len() - 1].to_vec())).is_none());
    }
}
