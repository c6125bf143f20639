//! A media file, opened once: whoever hashes it, looks at its pictures or hears its sound gets the same bytes.
//!
//! An ordinary clip is held in memory ([`HELD`]), so it is read from disk once whatever is made of it. A longer file is read through the
//! handle that was opened, at each reader's own place: even if another file takes its name meanwhile, all readers see this one.
//!
//! libav and symphonia take an error of the system for the end of the file, and would give the good beginning of it as the whole.
//! [`Reader`] remembers such an error, and who has read to the end asks [`Failure::check`].

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::MediaError;

/// Most bytes of a file that are held in memory.
pub const HELD: usize = 64 << 20;

/// How much of a longer file is read at a time to hash it.
const PIECE: usize = 1 << 20;

/// A file, opened once. Clones are the same file and share its bytes.
#[derive(Clone)]
pub struct MediaFile {
    name: Arc<str>,
    content: Content,
}

#[derive(Clone)]
enum Content {
    Held(Arc<Vec<u8>>),
    Open { file: Arc<File>, len: u64 },
}

impl Content {
    fn len(&self) -> u64 {
        match self {
            Content::Held(bytes) => bytes.len() as u64,
            Content::Open { len, .. } => *len,
        }
    }
}

impl fmt::Debug for MediaFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = self.bytes().is_some();
        f.debug_struct("MediaFile")
            .field("name", &self.name)
            .field("len", &self.len())
            .field("held", &held)
            .finish_non_exhaustive()
    }
}

impl MediaFile {
    /// Opens the file and reads it into memory unless it is longer than [`HELD`].
    pub fn read(path: &Path) -> Result<Self, MediaError> {
        Self::read_up_to(path, HELD)
    }

    /// As [`MediaFile::read`], with another limit.
    pub(crate) fn read_up_to(path: &Path, limit: usize) -> Result<Self, MediaError> {
        let unreadable = |e: io::Error| MediaError::from_io(&e);
        let file = File::open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        if metadata.is_dir() {
            return Err(MediaError::Unreadable { kind: io::ErrorKind::IsADirectory });
        }
        let mut len = metadata.len();
        let mut content = None;
        if len <= limit as u64 {
            let mut bytes = Vec::with_capacity(len as usize + 1);
            // What grows beyond the limit while it is read is a long file like any other.
            (&file).take(limit as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
            len = bytes.len() as u64;
            content = (bytes.len() <= limit).then(|| Content::Held(Arc::new(bytes)));
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into();
        let content = content.unwrap_or_else(|| Content::Open { file: Arc::new(file), len });
        Ok(MediaFile { name, content })
    }

    /// Its length in bytes when it was opened.
    pub fn len(&self) -> u64 {
        self.content.len()
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All its bytes, if they are held in memory.
    pub fn bytes(&self) -> Option<&[u8]> {
        match &self.content {
            Content::Held(bytes) => Some(bytes),
            Content::Open { .. } => None,
        }
    }

    /// Gives every byte to `each`, in order, in pieces: what a hash is made of.
    pub fn hash_into(&self, each: &mut impl FnMut(&[u8])) -> Result<(), MediaError> {
        if let Some(bytes) = self.bytes() {
            each(bytes);
            return Ok(());
        }
        let mut reader = self.reader();
        let mut piece = vec![0; PIECE];
        loop {
            match reader.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(n) => each(&piece[..n]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(MediaError::from_io(&e)),
            }
        }
    }

    /// Its name without the folder; the extension counts a little in recognising a format.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Reads it from the start.
    pub(crate) fn reader(&self) -> Reader {
        Reader { content: self.content.clone(), at: 0, failure: Failure::default() }
    }
}

/// The first error of the system that a reader met, shared with whoever drives the library that reads.
#[derive(Debug, Clone, Default)]
pub(crate) struct Failure(Arc<Mutex<Option<MediaError>>>);

impl Failure {
    fn note<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result
            && error.kind() != io::ErrorKind::Interrupted
        {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(MediaError::from_io(error));
        }
        result
    }

    /// That error, if there was one.
    pub(crate) fn check(&self) -> Result<(), MediaError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone().map_or(Ok(()), Err)
    }
}

/// A place in a [`MediaFile`].
pub(crate) struct Reader {
    content: Content,
    at: u64,
    failure: Failure,
}

impl Reader {
    /// What it will have met.
    pub(crate) fn failure(&self) -> Failure {
        self.failure.clone()
    }

    /// The length of the file when it was opened.
    pub(crate) fn len(&self) -> u64 {
        self.content.len()
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = match &self.content {
            Content::Held(bytes) => {
                let rest = bytes.get(usize::try_from(self.at).unwrap_or(usize::MAX)..).unwrap_or_default();
                let n = rest.len().min(buffer.len());
                buffer[..n].copy_from_slice(&rest[..n]);
                n
            }
            Content::Open { file, .. } => self.failure.note(file.read_at(buffer, self.at))?,
        };
        self.at += n as u64;
        Ok(n)
    }
}

impl Seek for Reader {
    /// Damaged files ask for impossible places; that is no failure of the system.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let to = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.len().checked_add_signed(by),
        };
        // The system's files end at 2^63 as well.
        self.at = to.filter(|at| i64::try_from(*at).is_ok()).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn an_error_of_the_system_is_not_taken_for_the_end_of_the_file() {
        let failure = Failure::default();
        assert!(failure.note(Err::<(), _>(io::ErrorKind::Interrupted.into())).is_err());
        assert_eq!(failure.check(), Ok(()));
        assert!(failure.note(Err::<(), _>(io::ErrorKind::StaleNetworkFileHandle.into())).is_err());
        assert!(failure.note(Err::<(), _>(io::ErrorKind::PermissionDenied.into())).is_err());
        assert_eq!(failure.check(), Err(MediaError::Unreadable { kind: io::ErrorKind::StaleNetworkFileHandle }));
    }

    #[test]
    fn a_reader_that_fails_tells_its_owner() {
        // A handle that was opened for writing cannot be read.
        let folder = tempfile::tempdir().unwrap();
        let file = Arc::new(File::create(folder.path().join("a")).unwrap());
        let file = MediaFile { name: "a".into(), content: Content::Open { file, len: 0 } };
        let mut reader = file.reader();
        let failure = reader.failure();
        assert!(reader.read(&mut [0; 4]).is_err());
        assert!(matches!(failure.check(), Err(MediaError::Unreadable { .. })));
        assert!(matches!(file.hash_into(&mut |_| ()), Err(MediaError::Unreadable { .. })));
    }

    #[test]
    fn held_and_open_files_read_alike() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|i| (i.wrapping_mul(2654435761) >> 24) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let (held, open) = (MediaFile::read(&path).unwrap(), MediaFile::read_up_to(&path, bytes.len() - 1).unwrap());
        assert!(held.bytes() == Some(bytes.as_slice()) && open.bytes().is_none());
        assert!(MediaFile::read_up_to(&path, bytes.len()).unwrap().bytes().is_some());
        for file in [held, open] {
            assert_eq!((file.len(), file.is_empty(), file.name()), (3_000_000, false, "a.bin"));
            let mut all = Vec::new();
            file.hash_into(&mut |piece| all.extend_from_slice(piece)).unwrap();
            assert!(all == bytes);
            let (mut one, mut other) = (file.reader(), file.reader());
            assert_eq!(one.seek(SeekFrom::End(-2)).unwrap(), 2_999_998);
            let mut buffer = [0; 3];
            assert_eq!(one.read(&mut buffer).unwrap(), 2);
            assert_eq!(buffer[..2], bytes[2_999_998..]);
            assert_eq!(one.read(&mut buffer).unwrap(), 0);
            assert_eq!(one.seek(SeekFrom::Start(4_000_000)).unwrap(), 4_000_000);
            assert_eq!(one.read(&mut buffer).unwrap(), 0);
            assert_eq!(one.seek(SeekFrom::Current(-3_999_999)).unwrap(), 1);
            assert!(one.seek(SeekFrom::Current(-2)).is_err());
            assert!(one.seek(SeekFrom::Start(u64::MAX)).is_err());
            assert_eq!(one.read(&mut buffer).unwrap(), 3);
            assert_eq!(buffer[..], bytes[1..4]);
            assert_eq!(other.read(&mut buffer).unwrap(), 3);
            assert_eq!(buffer[..], bytes[..3], "each reader has its own place");
            assert_eq!(one.failure().check(), Ok(()));
        }
    }

    #[test]
    fn the_bytes_are_those_that_were_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, b"old").unwrap();
        let files = [MediaFile::read(&path).unwrap(), MediaFile::read_up_to(&path, 0).unwrap()];
        let other = folder.path().join("b");
        std::fs::write(&other, b"new").unwrap();
        std::fs::rename(other, &path).unwrap();
        for file in files {
            let mut text = String::new();
            file.reader().read_to_string(&mut text).unwrap();
            assert_eq!(text, "old");
        }
    }
}
