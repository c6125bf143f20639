//! What the runner and a media worker say to each other: messages in postcard behind a length, the bulk behind the message as it is.
//!
//! ```text
//! worker  Hello                                       which protocol, which version, which libav
//! runner  Settings                                    once
//!
//! runner  Open { path, hash }                         a file, held open (and in memory) until the next `Make` is answered
//! worker  Opened(digest, or why not)
//! runner  Make(what)                                  may be sent with `Open`, when nothing depends on the digest
//! worker  Length?, Picture*, (StartOver, Picture*)?, Pictures(outcome)     if pictures were wanted and the file was opened
//! worker  Column*, Piece*, Sound(outcome)                         if the log-mel was wanted and the file was opened
//!
//! runner  Decoders(names) ── worker  Decoders(which there are)
//! runner  Sample(path) ── worker  Sample(bytes)       one small picture, for the report
//! ```
//!
//! The worker ends when its input does.

use std::io::{self, Read, Write};

use contract::{Element, Failure};
use extract_frames::Pick;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::key::Content;
use crate::worker::limits::Limits;

/// Version of the protocol: changed with every change to the messages, since both programs are made together but may be installed apart.
pub const PROTOCOL: u32 = 2;

/// More than any message without its bulk; a larger length is no message.
const LONGEST_MESSAGE: u32 = 1 << 24;

/// Bulk that is sent at once, where it can be cut: what a reader must hold does not grow with the clip.
pub const PIECE: usize = 1 << 20;

/// Who a worker is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`].
    pub protocol: u32,
    /// Version of the program.
    pub version: String,
    /// The libav that it decodes with: a fact of every key.
    pub libav: media::LibavVersions,
}

impl Hello {
    /// What a worker of this build says.
    pub fn ours() -> Hello {
        Hello { protocol: PROTOCOL, version: env!("CARGO_PKG_VERSION").to_string(), libav: media::LIBAV }
    }
}

/// How files are to be looked at: the same for all of them, sent once. As parameters and not as they are resolved, so that TOML carries
/// every number exactly, as it does in `pipeline.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Which pictures, and how picture files are written.
    pub extract_frames: extract_frames::Params,
    /// The spectrogram, where it is asked for.
    pub log_mel: Option<log_mel::Params>,
    /// How the encoder wants its pictures, where there is one.
    pub encode_clip: Option<encode_clip::Recipe>,
    /// What a file may take.
    pub limits: Limits,
}

impl Settings {
    /// As text.
    pub fn to_text(&self) -> String {
        toml::to_string(self).expect("parameters came from TOML")
    }

    /// From [`Settings::to_text`].
    pub fn from_text(text: &str) -> Result<Settings, toml::de::Error> {
        toml::from_str(text)
    }
}

/// What is to be made of an opened file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Wanted {
    /// The bytes of picture files.
    pub files: bool,
    /// Pictures resized for the encoder.
    pub windows: bool,
    /// The log-mel.
    pub sound: bool,
}

impl Wanted {
    /// Whether pictures are wanted in either form.
    pub fn pictures(self) -> bool {
        self.files || self.windows
    }
}

/// From the runner to a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// [`Settings::to_text`].
    Settings(String),
    /// Open the file and, with `hash`, say what its content is.
    Open {
        /// The bytes of its path.
        path: Vec<u8>,
        /// Whether the digest is wanted.
        hash: bool,
    },
    /// Make this of it.
    Make(Wanted),
    /// Whether there are decoders of these names.
    Decoders(Vec<String>),
    /// The small picture that stands for a clip, as JPEG.
    Sample {
        /// The bytes of its path.
        path: Vec<u8>,
        /// Pixels per row at most.
        width: u32,
    },
}

/// From a worker to the runner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// The first message of all.
    Hello(Hello),
    /// Answers [`Request::Open`]: the BLAKE3 of the content if it was asked for.
    Opened(Result<Option<Content>, Failure>),
    /// How many seconds of pictures the file's packets promise: it may take as much longer.
    Length(f64),
    /// A picture. Its bulk: `file` bytes of a picture file, then the window `[S][S][3]`, each only where it was wanted.
    Picture {
        /// Which.
        pick: Pick,
        /// Pixels per row.
        width: usize,
        /// Rows.
        height: usize,
        /// Bytes of the picture file.
        file: usize,
    },
    /// The pictures so far are worth nothing: the file turned out to be other than its packets said.
    StartOver,
    /// There are no more pictures.
    Pictures(Result<(), Failure>),
    /// A column of the log-mel; its values follow.
    Column(ColumnHead),
    /// Values of the last column. Its bulk: their bytes, little-endian.
    Piece,
    /// The log-mel is complete: its rows.
    Sound(Result<usize, Failure>),
    /// Answers [`Request::Decoders`], in its order.
    Decoders(Vec<bool>),
    /// Answers [`Request::Sample`]. Its bulk: the JPEG; nothing where the clip gives no picture.
    Sample,
}

/// A column before its values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnHead {
    /// As in [`contract::Column`].
    pub name: String,
    /// As in [`contract::Column`].
    pub width: Option<usize>,
    /// Element type.
    pub element: Kind,
}

/// [`Element`] as sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "those of `Element`")]
pub enum Kind {
    U8,
    I64,
    F16,
    F32,
    F64,
}

impl From<Element> for Kind {
    fn from(element: Element) -> Kind {
        match element {
            Element::U8 => Kind::U8,
            Element::I64 => Kind::I64,
            Element::F16 => Kind::F16,
            Element::F32 => Kind::F32,
            Element::F64 => Kind::F64,
        }
    }
}

/// Sends a message and its bulk.
pub fn send(out: &mut impl Write, message: &impl Serialize, bulk: &[&[u8]]) -> io::Result<()> {
    let body = postcard::to_stdvec(message).expect("plain data");
    let bulk_len: usize = bulk.iter().map(|part| part.len()).sum();
    let bulk_len = u32::try_from(bulk_len).map_err(|_| io::Error::other("more than 4 GiB at once"))?;
    let mut head = Vec::with_capacity(8 + body.len());
    head.extend_from_slice(&(body.len() as u32).to_le_bytes());
    head.extend_from_slice(&bulk_len.to_le_bytes());
    head.extend_from_slice(&body);
    out.write_all(&head)?;
    for part in bulk {
        out.write_all(part)?;
    }
    out.flush()
}

/// Receives a message; `bulk` becomes what came with it. `None`: the other end closed between two messages.
pub fn receive<M: DeserializeOwned>(from: &mut impl Read, bulk: &mut Vec<u8>) -> io::Result<Option<M>> {
    let mut lengths = [0; 8];
    if !fill_or_end(from, &mut lengths)? {
        return Ok(None);
    }
    let [a, b, c, d, e, f, g, h] = lengths;
    let (body_len, bulk_len) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
    let garbled = || io::Error::new(io::ErrorKind::InvalidData, "not a message");
    if body_len > LONGEST_MESSAGE {
        return Err(garbled());
    }
    let mut body = vec![0; body_len as usize];
    from.read_exact(&mut body)?;
    // Grows with what comes, not with what was promised.
    bulk.clear();
    if from.take(u64::from(bulk_len)).read_to_end(bulk)? < bulk_len as usize {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    match postcard::take_from_bytes(&body) {
        Ok((message, [])) => Ok(Some(message)),
        _ => Err(garbled()),
    }
}

/// Fills the buffer; false when the input was at its end already.
fn fill_or_end(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) if filled == 0 => return Ok(false),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> Reply {
        let pick = Pick { frame: 7, time: 1.0 / 3.0, pts_seconds: 0.1, number: 2 };
        Reply::Picture { pick, width: 3, height: 2, file: 4 }
    }

    #[test]
    fn messages_and_their_bulk_come_as_they_went() {
        let mut wire = Vec::new();
        let failed = Reply::Opened(Err(Failure::new(contract::Cause::Corrupt, "damaged")));
        send(&mut wire, &picture(), &[b"file", b"window"]).expect("to memory");
        send(&mut wire, &failed, &[]).expect("to memory");
        let (mut from, mut bulk) = (&wire[..], b"old".to_vec());
        assert_eq!(receive(&mut from, &mut bulk).expect("good"), Some(picture()));
        assert_eq!(bulk, b"filewindow");
        assert_eq!(receive(&mut from, &mut bulk).expect("good"), Some(failed));
        assert!(bulk.is_empty());
        assert_eq!(receive::<Reply>(&mut from, &mut bulk).expect("at its end"), None);
    }

    #[test]
    fn what_is_cut_short_or_garbled_is_an_error() {
        let mut wire = Vec::new();
        send(&mut wire, &picture(), &[b"file"]).expect("to memory");
        for len in 1..wire.len() {
            assert!(receive::<Reply>(&mut &wire[..len], &mut Vec::new()).is_err(), "{len} bytes");
        }
        assert!(receive::<Reply>(&mut &[0xff; 64][..], &mut Vec::new()).is_err());
        let mut other = wire.clone();
        other[8] = 0xff;
        assert!(receive::<Reply>(&mut &other[..], &mut Vec::new()).is_err());
    }

    #[test]
    fn settings_are_carried_to_the_last_bit() {
        let log_mel = log_mel::Params { fmin: Some(0.1 + 0.2), fmax: Some(1e4 / 3.0), ..log_mel::Params::default() };
        let settings = Settings {
            extract_frames: extract_frames::Params {
                fps: "30000/1001".parse().expect("a rate"),
                ..extract_frames::Params::default()
            },
            log_mel: Some(log_mel),
            encode_clip: None,
            limits: Limits { seconds: 0.1 + 0.2, per_second: 1.0 / 3.0, address_space: 1 << 40 },
        };
        assert_eq!(Settings::from_text(&settings.to_text()).expect("own text"), settings);
    }
}
