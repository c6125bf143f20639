//! The worker's loop: one request after the other, until the input ends.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use contract::{Cause, Failure};
use media::MediaFile;
use pipeline::worker::Settings;
use pipeline::worker::protocol::{Hello, Reply, Request, Wanted, receive, send};

use crate::fault::Fault;
use crate::files::Maker;
use crate::limits::CpuTime;
use crate::sample::small_picture;

/// Serves until the input ends. An error is one of the two pipes, or a runner that says what is not in the protocol.
pub(crate) fn serve(input: &mut impl Read, output: &mut impl Write) -> io::Result<()> {
    send(output, &Reply::Hello(Hello::ours()), &[])?;
    let mut bulk = Vec::new();
    let Some(Request::Settings(text)) = receive(input, &mut bulk)? else { return Ok(()) };
    let settings = Settings::from_text(&text).map_err(io::Error::other)?;
    crate::limits::limit_memory(settings.limits.address_space);
    let mut maker = Maker::new(&settings).map_err(io::Error::other)?;
    let mut cpu = CpuTime::new(settings.limits);
    let fault = Fault::asked_for();
    let mut opened: Option<MediaFile> = None;
    let mut strikes = false;
    while let Some(request) = receive(input, &mut bulk)? {
        match request {
            Request::Settings(_) => return Err(io::Error::other("settings come once")),
            Request::Open { path, hash } => {
                let path = Path::new(OsStr::from_bytes(&path));
                strikes = fault.as_ref().is_some_and(|fault| fault.is_for(path));
                let outcome = open(path, hash, &mut cpu);
                let (file, reply) = match outcome {
                    Ok((file, digest)) => (Some(file), Ok(digest)),
                    Err(failure) => (None, Err(failure)),
                };
                opened = file;
                send(output, &Reply::Opened(reply), &[])?;
            }
            Request::Make(wanted) => {
                if let Some(fault) = fault.as_ref().filter(|_| strikes && wanted != Wanted::default()) {
                    fault.strike();
                }
                if let Some(file) = opened.take() {
                    make(&mut maker, &file, wanted, &mut cpu, output)?;
                }
            }
            Request::Decoders(names) => {
                let there = names.iter().map(|name| media::has_decoder(name)).collect();
                send(output, &Reply::Decoders(there), &[])?;
            }
            Request::Sample { path, width } => {
                let picture = small_picture(Path::new(OsStr::from_bytes(&path)), maker.frames(), width);
                send(output, &Reply::Sample, &[&picture.unwrap_or_default()])?;
            }
        }
    }
    Ok(())
}

/// Opens a file and, if asked, hashes it: what is decoded from it afterwards are the bytes that were hashed.
fn open(path: &Path, hash: bool, cpu: &mut CpuTime) -> Result<(MediaFile, Option<[u8; 32]>), Failure> {
    // A file that cannot be looked at cannot be read either, which says why.
    cpu.begin(std::fs::metadata(path).map_or(0, |file| file.len()));
    let file = MediaFile::read(path).map_err(|e| Failure::from_error(&e))?;
    let mut digest = None;
    if hash {
        let mut hasher = blake3::Hasher::new();
        let mut update = |piece: &[u8]| {
            hasher.update(piece);
        };
        file.hash_into(&mut update).map_err(|e| Failure::from_error(&e))?;
        digest = Some(*hasher.finalize().as_bytes());
    }
    Ok((file, digest))
}

fn make(
    maker: &mut Maker,
    file: &MediaFile,
    wanted: Wanted,
    cpu: &mut CpuTime,
    output: &mut impl Write,
) -> io::Result<()> {
    if wanted.pictures() {
        let outcome = guarded(|| maker.pictures(file, wanted, cpu, output))?;
        send(output, &Reply::Pictures(outcome), &[])?;
    }
    if wanted.sound {
        let outcome = guarded(|| maker.sound(file, output))?;
        send(output, &Reply::Sound(outcome), &[])?;
    }
    Ok(())
}

/// Turns a panic in a decoder into a failure of this file. Whole messages are sent at once, so none is cut by it.
fn guarded<T>(work: impl FnOnce() -> io::Result<Result<T, Failure>>) -> io::Result<Result<T, Failure>> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let said = pipeline::error::panic_message(&*panic);
        Ok(Err(Failure::new(Cause::Internal, format!("a defect of this program: {said}"))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipeline::worker::Limits;

    fn serve_these(requests: &[Request]) -> (io::Result<()>, Vec<Reply>) {
        let mut wire = Vec::new();
        for request in requests {
            send(&mut wire, request, &[]).expect("to memory");
        }
        let mut out = Vec::new();
        let served = serve(&mut &wire[..], &mut out);
        let (mut from, mut replies) = (&out[..], Vec::new());
        while let Some(reply) = receive(&mut from, &mut Vec::new()).expect("whole messages") {
            replies.push(reply);
        }
        (served, replies)
    }

    fn settings() -> Request {
        let settings = Settings {
            extract_frames: extract_frames::Params::default(),
            log_mel: Some(log_mel::Params::default()),
            encode_clip: None,
            limits: Limits { seconds: 60.0, per_second: 4.0, address_space: 0 },
        };
        Request::Settings(settings.to_text())
    }

    #[test]
    fn a_file_that_is_no_media_is_hashed_and_fails_in_each_way_it_is_looked_at() {
        let folder = tempfile::tempdir().expect("tempdir");
        let path = folder.path().join("a.mp4");
        std::fs::write(&path, b"no media").expect("write");
        let path = path.as_os_str().as_bytes().to_vec();
        let wanted = Wanted { files: true, windows: false, sound: true };
        let (served, replies) = serve_these(&[settings(), Request::Open { path, hash: true }, Request::Make(wanted)]);
        served.expect("the input ended");
        let corrupt = |reply: &Reply| match reply {
            Reply::Pictures(Err(failure)) | Reply::Sound(Err(failure)) => failure.cause == Cause::Corrupt,
            _ => false,
        };
        assert_eq!(
            replies[..2],
            [Reply::Hello(Hello::ours()), Reply::Opened(Ok(Some(*blake3::hash(b"no media").as_bytes())))]
        );
        assert!(replies.len() == 4 && replies[2..].iter().all(corrupt), "{replies:?}");
    }

    #[test]
    fn a_file_that_is_not_there_fails_once_and_the_next_is_served() {
        let missing = Request::Open { path: b"/nowhere/a.mp4".to_vec(), hash: true };
        let wanted = Request::Make(Wanted { files: true, ..Wanted::default() });
        let sample = Request::Sample { path: b"/nowhere/a.mp4".to_vec(), width: 8 };
        let (served, replies) = serve_these(&[settings(), missing, wanted, sample]);
        served.expect("the input ended");
        assert!(matches!(&replies[1], Reply::Opened(Err(failure)) if failure.cause == Cause::Missing), "{replies:?}");
        assert_eq!(replies[2..], [Reply::Sample]);
    }

    #[test]
    fn a_runner_that_speaks_otherwise_is_refused() {
        assert!(serve_these(&[settings(), settings()]).0.is_err());
        assert!(serve_these(&[Request::Settings("nonsense = 1".into())]).0.is_err());
    }
}
