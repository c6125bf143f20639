//! A server of files on the loopback that misbehaves as it is told.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What it does with one request.
#[derive(Debug, Clone)]
pub(crate) enum Manner {
    /// Closes the connection after so many bytes of the body.
    DropAfter(usize),
    /// Flips a bit in the middle of what it sends.
    Corrupt,
    /// Sends everything, whatever range is asked for.
    IgnoreRange,
    /// Says this, with these further headers.
    Status(u16, &'static str),
    /// Sends so many bytes and then nothing more, without closing.
    StallAfter(usize),
    /// Claims that a range begins at 0.
    WrongRange,
    /// Sends the client elsewhere.
    Redirect(&'static str),
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, (Vec<u8>, String)>,
    manners: BTreeMap<String, VecDeque<Manner>>,
    requests: Vec<(String, Option<String>)>,
}

/// The server; it ends with the test process.
#[derive(Clone)]
pub(crate) struct Server {
    state: Arc<Mutex<State>>,
    /// Most connections at the same time.
    most: Arc<AtomicUsize>,
    address: String,
}

/// A connection that is being served.
struct Busy(Arc<AtomicUsize>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Server {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = Server { state: Arc::default(), most: Arc::default(), address };
        let (own, now) = (server.clone(), Arc::new(AtomicUsize::new(0)));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (own, now) = (own.clone(), Arc::clone(&now));
                std::thread::spawn(move || {
                    own.most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    // A client that went away is its own affair.
                    let _ = own.answer(stream, Busy(now));
                });
            }
        });
        server
    }

    /// Serves a file, and says how the next requests for it are answered.
    pub(crate) fn serve(&self, name: &str, bytes: &[u8], manners: &[Manner]) -> String {
        let mut state = self.state.lock().unwrap();
        let tag = format!("\"{}\"", blake3::hash(bytes).to_hex());
        state.files.insert(format!("/{name}"), (bytes.to_vec(), tag));
        state.manners.insert(format!("/{name}"), manners.iter().cloned().collect());
        format!("http://{}/{name}", self.address)
    }

    /// Files and ranges that were asked for, since the last call.
    pub(crate) fn requests(&self) -> Vec<(String, Option<String>)> {
        std::mem::take(&mut self.state.lock().unwrap().requests)
    }

    /// Most connections at the same time.
    pub(crate) fn most_at_once(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    fn answer(&self, mut stream: TcpStream, busy: Busy) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let first = lines.next().transpose()?.unwrap_or_default();
        let path = first.split(' ').nth(1).unwrap_or_default().to_string();
        let mut headers = BTreeMap::new();
        for line in lines {
            let line = line?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_string());
        }
        let (found, manner) = {
            let mut state = self.state.lock().unwrap();
            state.requests.push((path.clone(), headers.get("range").cloned()));
            (state.files.get(&path).cloned(), state.manners.get_mut(&path).and_then(VecDeque::pop_front))
        };
        let Some((bytes, tag)) = found else {
            return stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        };
        if let Some(Manner::Status(code, more)) = manner {
            let head = format!("HTTP/1.1 {code} No\r\n{more}content-length: 0\r\nconnection: close\r\n\r\n");
            return stream.write_all(head.as_bytes());
        }
        if let Some(Manner::Redirect(to)) = manner {
            let head =
                format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            return stream.write_all(head.as_bytes());
        }
        let same = headers.get("if-range").is_none_or(|wanted| *wanted == tag);
        let asked = headers.get("range").filter(|_| same && !matches!(manner, Some(Manner::IgnoreRange)));
        let start: usize = asked.and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()).unwrap_or(0);
        if start >= bytes.len() {
            let head = format!(
                "HTTP/1.1 416 No\r\ncontent-range: bytes */{}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
                bytes.len()
            );
            return stream.write_all(head.as_bytes());
        }
        let mut body = bytes[start..].to_vec();
        if matches!(manner, Some(Manner::Corrupt)) {
            let middle = body.len() / 2;
            body[middle] ^= 1;
        }
        let said = if matches!(manner, Some(Manner::WrongRange)) { 0 } else { start };
        let status = if asked.is_some() {
            format!("206 Partial Content\r\ncontent-range: bytes {said}-{}/{}", bytes.len() - 1, bytes.len())
        } else {
            "200 OK".to_string()
        };
        let head =
            format!("HTTP/1.1 {status}\r\netag: {tag}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
        stream.write_all(head.as_bytes())?;
        match manner {
            Some(Manner::DropAfter(n)) => stream.write_all(&body[..n.min(body.len())]),
            Some(Manner::StallAfter(n)) => {
                stream.write_all(&body[..n.min(body.len())])?;
                stream.flush()?;
                std::thread::sleep(Duration::from_secs(20));
                Ok(())
            }
            _ => {
                // Slowly enough for downloads to overlap.
                let (start, end) = body.split_at(body.len() - 1);
                for piece in start.chunks(start.len().div_ceil(4).max(1)) {
                    stream.write_all(piece)?;
                    std::thread::sleep(Duration::from_millis(10));
                }
                // The client is free for another connection once it has the last byte, not once this thread is through.
                drop(busy);
                stream.write_all(end)?;
                Ok(())
            }
        }
    }
}
