//! One file over HTTP, in spite of everything: resume, retries, and no byte that is not the manifest's.
//!
//! What came is kept in a `.part`; the next try asks for the rest (`Range`, with `If-Range` where the server named an entity tag). A server
//! that ignores it sends everything, and the part begins anew. MD5 is computed as the bytes come.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use discover::manifest::Archive;
use md5::{Digest, Md5};
use ureq::http::{HeaderMap, StatusCode};

use crate::data::{DataError, DataEvent, Settings, Watch, at};

/// Downloads with a wrong digest after which the manifest is believed to be wrong.
const WRONG_DIGESTS: u32 = 3;

/// Bytes read at a time.
const BUFFER: usize = 256 << 10;

/// What to do about failures that may pass.
#[derive(Debug, Clone)]
pub struct Retry {
    /// Tries in a row without a new byte after which a download is given up.
    pub tries: u32,
    /// Pause before the second try; doubled each time, and shortened by up to half at random so that many clients spread out.
    pub first: Duration,
    /// Longest pause.
    pub longest: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Retry { tries: 8, first: Duration::from_secs(1), longest: Duration::from_mins(2) }
    }
}

impl Retry {
    /// The pause after this many failures in a row; `asked`: what the server asked for.
    fn pause(&self, failures: u32, asked: Option<Duration>) -> Duration {
        let doubled = self.first.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(self.longest);
        let spread = doubled.mul_f64(0.5 + 0.5 * random());
        asked.map_or(spread, |asked| asked.min(self.longest * 4).max(spread))
    }
}

/// A number in 0..1, good enough to spread clients.
fn random() -> f64 {
    use std::hash::{BuildHasher, Hasher};
    let bits = std::collections::hash_map::RandomState::new().build_hasher().finish();
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

/// A client with these patience limits. Proxies are those of the environment.
pub fn agent(patience: Duration) -> ureq::Agent {
    ureq::Agent::config_builder()
        .user_agent(concat!("pipeline/", env!("CARGO_PKG_VERSION")))
        .http_status_as_error(false)
        .timeout_connect(Some(patience))
        .timeout_recv_response(Some(patience))
        .timeout_per_read(Some(patience))
        .build()
        .new_agent()
}

/// Why a try ended.
enum Stumble {
    /// It may work later.
    Again { reason: String, asked: Option<Duration> },
    /// It never will.
    Final(DataError),
}

fn again(reason: impl Into<String>) -> Stumble {
    Stumble::Again { reason: reason.into(), asked: None }
}

impl From<DataError> for Stumble {
    fn from(error: DataError) -> Self {
        Stumble::Final(error)
    }
}

/// Downloads an archive to `part`. When this returns, `part` has the size and the MD5 of the manifest and is synced.
pub fn download(
    agent: &ureq::Agent,
    archive: &Archive,
    part: &Path,
    settings: &Settings,
    watch: &dyn Watch,
) -> Result<(), DataError> {
    let url = archive.url.as_ref().ok_or_else(|| DataError::NoUrl(archive.name.clone()))?;
    let mut part = Part::open(part)?;
    let (mut failures, mut wrong) = (0, 0);
    loop {
        let before = part.size;
        let (reason, asked) = match attempt(agent, url, archive, &mut part, watch) {
            Ok(()) => match part.digest_if_wrong(archive) {
                None => return part.finish(),
                Some(found) => {
                    wrong += 1;
                    part.restart()?;
                    let expected = archive.md5.clone().unwrap_or_default();
                    if wrong == WRONG_DIGESTS {
                        return Err(DataError::Digest { name: archive.name.clone(), found, expected, tries: wrong });
                    }
                    (format!("its MD5 is {found} and not {expected}: it is downloaded again"), None)
                }
            },
            Err(Stumble::Final(error)) => return Err(error),
            Err(Stumble::Again { reason, asked }) => (reason, asked),
        };
        failures = if part.size > before { 1 } else { failures + 1 };
        if failures >= settings.retry.tries {
            return Err(DataError::GivenUp { url: url.clone(), tries: failures, reason });
        }
        let pause = settings.retry.pause(failures, asked);
        watch.report(&DataEvent::Stumbled { archive: &archive.name, reason: &reason, wait: pause.as_secs_f64() });
        std::thread::sleep(pause);
    }
}

/// One request for what is missing.
fn attempt(
    agent: &ureq::Agent,
    url: &str,
    archive: &Archive,
    part: &mut Part,
    watch: &dyn Watch,
) -> Result<(), Stumble> {
    let refused = |reason: String| Stumble::Final(DataError::Refused { url: url.to_string(), reason });
    if let Some(bytes) = archive.bytes
        && part.size >= bytes
    {
        if part.size == bytes {
            return Ok(());
        }
        part.restart()?;
    }
    let mut request = agent.get(url);
    if part.size > 0 {
        request = request.header("range", format!("bytes={}-", part.size));
        if let Some(tag) = part.tag() {
            request = request.header("if-range", tag);
        }
    }
    let mut response = request.call().map_err(|error| match error {
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => refused(error.to_string()),
        error => again(error.to_string()),
    })?;
    let headers = response.headers().clone();
    let total = match response.status() {
        StatusCode::PARTIAL_CONTENT => {
            let range = content_range(&headers).ok_or_else(|| again("the server's Content-Range makes no sense"))?;
            if range.0 != part.size {
                part.restart()?;
                return Err(again("the server sent another range than was asked for"));
            }
            range.1
        }
        StatusCode::OK => {
            if part.size > 0 {
                part.restart()?;
                watch.report(&DataEvent::Downloaded { archive: &archive.name, bytes: 0 });
            }
            response.body().content_length()
        }
        StatusCode::RANGE_NOT_SATISFIABLE => {
            part.restart()?;
            return Err(again("the server has fewer bytes than are here: the download begins anew"));
        }
        status if status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429) => {
            let asked = headers.get("retry-after").and_then(|v| v.to_str().ok()?.trim().parse().ok());
            return Err(Stumble::Again {
                reason: format!("the server says {status}"),
                asked: asked.map(Duration::from_secs),
            });
        }
        status => return Err(refused(format!("the server says {status}"))),
    };
    if let (Some(total), Some(expected)) = (total, archive.bytes)
        && total != expected
    {
        return Err(refused(format!("the server has {total} bytes of {}, the manifest says {expected}", archive.name)));
    }
    part.remember_tag(&headers)?;
    let wanted = archive.bytes.or(total);
    let mut body = response.body_mut().with_config().limit(u64::MAX).reader();
    let mut buffer = vec![0; BUFFER];
    loop {
        let n = match body.read(&mut buffer) {
            Ok(n) => n,
            Err(error) => return Err(again(format!("the connection broke after {} bytes: {error}", part.size))),
        };
        if n == 0 {
            break;
        }
        part.append(&buffer[..n])?;
        watch.report(&DataEvent::Downloaded { archive: &archive.name, bytes: part.size });
        if wanted.is_some_and(|wanted| part.size > wanted) {
            part.restart()?;
            return Err(again("the server sent more bytes than it said"));
        }
    }
    match wanted {
        Some(wanted) if part.size < wanted => {
            Err(again(format!("the connection ended after {} of {wanted} bytes", part.size)))
        }
        _ => Ok(()),
    }
}

/// First byte and whole length of `bytes 5-9/10`.
fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let text = headers.get("content-range")?.to_str().ok()?.trim().strip_prefix("bytes")?.trim_start();
    let (range, total) = text.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((first.trim().parse().ok()?, total.trim().parse().ok()))
}

/// What is here of a file, and its MD5 so far.
struct Part {
    path: PathBuf,
    file: File,
    size: u64,
    md5: Md5,
}

impl Part {
    /// Opens what an earlier try left, and reads it once for its MD5.
    fn open(path: &Path) -> Result<Self, DataError> {
        let file = at(OpenOptions::new().create(true).append(true).read(true).open(path), "open", path)?;
        let (mut size, mut md5) = (0, Md5::new());
        let mut reader = BufReader::with_capacity(BUFFER, at(File::open(path), "read", path)?);
        let mut buffer = vec![0; BUFFER];
        loop {
            let n = at(reader.read(&mut buffer), "read", path)?;
            if n == 0 {
                break;
            }
            md5.update(&buffer[..n]);
            size += n as u64;
        }
        Ok(Part { path: path.to_path_buf(), file, size, md5 })
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), DataError> {
        at(self.file.write_all(bytes), "write", &self.path)?;
        self.md5.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }

    fn restart(&mut self) -> Result<(), DataError> {
        at(self.file.set_len(0), "empty", &self.path)?;
        (self.size, self.md5) = (0, Md5::new());
        let _ = std::fs::remove_file(self.tag_path());
        Ok(())
    }

    /// The digest, when it is not the manifest's.
    fn digest_if_wrong(&self, archive: &Archive) -> Option<String> {
        let found = hex(&self.md5.clone().finalize());
        archive.md5.as_ref().is_some_and(|expected| !expected.eq_ignore_ascii_case(&found)).then_some(found)
    }

    fn finish(self) -> Result<(), DataError> {
        at(self.file.sync_all(), "sync", &self.path)?;
        let _ = std::fs::remove_file(self.tag_path());
        Ok(())
    }

    fn tag_path(&self) -> PathBuf {
        self.path.with_extension("part.etag")
    }

    /// The server's name for these very bytes; a weak one promises nothing about bytes.
    fn remember_tag(&self, headers: &HeaderMap) -> Result<(), DataError> {
        let path = self.tag_path();
        let tag = headers.get("etag").and_then(|tag| tag.to_str().ok()).filter(|tag| tag.starts_with('"'));
        if let Some(tag) = tag {
            return at(std::fs::write(&path, tag), "write", &path);
        }
        let _ = std::fs::remove_file(&path);
        Ok(())
    }

    fn tag(&self) -> Option<String> {
        std::fs::read_to_string(self.tag_path()).ok()
    }
}

/// Lower-case hexadecimal.
pub(super) fn hex(digest: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).expect("four bits");
    digest.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_spread_and_heed_the_server() {
        let retry = Retry { tries: 9, first: Duration::from_secs(1), longest: Duration::from_secs(30) };
        for (failures, longest) in [(1, 1.0), (2, 2.0), (4, 8.0), (10, 30.0), (99, 30.0)] {
            let pause = retry.pause(failures, None).as_secs_f64();
            assert!((longest / 2.0..=longest).contains(&pause), "{failures}: {pause}");
        }
        assert_eq!(retry.pause(1, Some(Duration::from_secs(20))), Duration::from_secs(20));
        assert_eq!(retry.pause(1, Some(Duration::from_hours(9))), Duration::from_mins(2), "not for ever");
    }

    #[test]
    fn content_ranges() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("content-range", text.parse().expect("a header"));
            content_range(&headers)
        };
        assert_eq!(of("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(of("bytes 5-9/*"), Some((5, None)));
        assert_eq!(of("bytes */10"), None);
        assert_eq!(of("pages 1-2/3"), None);
    }
}
