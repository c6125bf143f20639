//! Rates of writing and reading a shard beside those of h5py: `cargo bench -p shard --bench rates`.
//!
//! Both do the same in turn, and the best of seven counts. h5py reads the shard, and writes its columns again item by item
//! with the same chunks and checksums. It makes, reads and checks no table of items but the offsets, and no digests, so
//! that it does less. Everything lies in the page cache. `PIPELINE_PYTHON` names the interpreter, `python3` if unset;
//! without h5py our own rates are printed alone.

#![expect(clippy::print_stdout, reason = "prints a table")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use contract::{Column, ColumnSpec, Element, Rows, Values};
use shard::{Entry, Header, Shard, Writer};

const ROUNDS: usize = 7;

const TASKS: [&str; 5] = ["write", "open", "whole column", "every item", "open, 100 scattered items"];

/// Answers the number of a task with the milliseconds it took.
const PEER: &str = r#"
import sys, time
import h5py
path, column = sys.argv[1:]
with h5py.File(path) as f:
    source = {n: (f[n][()], f[n].chunks) for n in f if isinstance(f[n], h5py.Dataset)}
    offset = f["item/offset"][()]
def write():
    with h5py.File(path + ".peer", "w", libver="latest") as f:
        sets = {n: f.create_dataset(n, a.shape, a.dtype, chunks=c, fletcher32=True) for n, (a, c) in source.items()}
        for i in range(len(offset) - 1):
            for n, (a, _) in source.items():
                sets[n][offset[i]:offset[i + 1]] = a[offset[i]:offset[i + 1]]
def items(which):
    with h5py.File(path) as f:
        data, o = [f[n] for n in source], f["item/offset"][()]
        for i in which:
            for d in data:
                d[o[i]:o[i + 1]]
def opened():
    with h5py.File(path) as f:
        f[column].shape
def whole():
    with h5py.File(path) as f:
        f[column][()]
n = len(offset) - 1
tasks = [write, opened, whole, lambda: items(range(n)), lambda: items(i * 617 % n for i in range(100))]
print("ready", flush=True)
for line in sys.stdin:
    start = time.perf_counter()
    tasks[int(line)]()
    print((time.perf_counter() - start) * 1e3, flush=True)
"#;

/// An interpreter that waits for numbers of tasks.
struct Peer {
    child: Child,
    numbers: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    fn start(path: &Path, column: &str) -> Option<Peer> {
        let python = std::env::var("PIPELINE_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let mut child = Command::new(python)
            .args(["-c", PEER])
            .arg(path)
            .arg(column)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let (numbers, answers) = (child.stdin.take()?, BufReader::new(child.stdout.take()?));
        let mut peer = Peer { child, numbers, answers };
        (peer.answer() == "ready").then_some(peer)
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the pipe is open");
        line.trim().to_owned()
    }

    fn run(&mut self, task: usize) -> f64 {
        writeln!(self.numbers, "{task}").expect("the interpreter runs");
        self.answer().parse().expect("the task ends without an exception")
    }

    fn stop(self) {
        let Peer { mut child, numbers, .. } = self;
        drop(numbers);
        child.wait().expect("it was started");
    }
}

fn write(path: &Path, header: &Header, items: &[(String, Rows)]) {
    let mut writer = Writer::create(path, header, Some(items.len())).expect("a new file");
    for (id, rows) in items {
        let key = *blake3::hash(id.as_bytes()).as_bytes();
        writer.push(Entry { id, key, content: key, outcome: Ok(rows) }).expect("rows as the header says");
    }
    writer.finish().expect("room on the disk");
}

fn open(path: &Path) -> Shard {
    Shard::open(path).expect("a shard just written")
}

fn read_items(path: &Path, which: impl Fn(usize) -> Vec<usize>) {
    let shard = open(path);
    for i in which(shard.len()) {
        shard.rows(i).expect("an undamaged item");
    }
}

fn measure(what: &str, columns: Vec<ColumnSpec>, items: &[(String, Rows)]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("a.h5");
    let column = columns[0].name.clone();
    let header = Header {
        stage: "rates".to_owned(),
        version: 1,
        key_template: "{}".to_owned(),
        columns,
        attributes: [].into(),
        position: None,
    };
    let ours: [&dyn Fn(); 5] = [
        &|| write(&path, &header, items),
        &|| drop(open(&path)),
        &|| drop(open(&path).read_column(&column).expect("a column of the header")),
        &|| read_items(&path, |n| (0..n).collect()),
        &|| read_items(&path, |n| (0..100).map(|i| i * 617 % n).collect()),
    ];
    ours[0]();
    let megabytes = std::fs::metadata(&path).expect("it was written").len() as f64 / 1e6;
    let mut peer = Peer::start(&path, &column);
    let mut best = [[f64::INFINITY; 2]; 5];
    for _ in 0..ROUNDS {
        for (task, best) in best.iter_mut().enumerate() {
            let start = Instant::now();
            ours[task]();
            best[0] = best[0].min(start.elapsed().as_secs_f64() * 1e3);
            if let Some(peer) = &mut peer {
                best[1] = best[1].min(peer.run(task));
            }
        }
    }
    println!("{what}: {megabytes:.1} MB, best of {ROUNDS}");
    println!("{:<28}{:>12}{:>12}{:>12}", "", "shard, ms", "h5py, ms", "h5py/shard");
    for (task, [ours, theirs]) in TASKS.iter().zip(best) {
        match peer {
            Some(_) => println!("{task:<28}{ours:>12.2}{theirs:>12.2}{:>12.2}", theirs / ours),
            None => println!("{task:<28}{ours:>12.2}{:>12}{:>12}", "-", "-"),
        }
    }
    println!();
    match peer {
        Some(peer) => peer.stop(),
        None => println!("h5py was not measured: PIPELINE_PYTHON names no interpreter that has it\n"),
    }
}

/// Numbers that no file system or checksum can take a short cut with.
fn noise(count: usize, seed: usize) -> Vec<f32> {
    let mut state = seed as u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / 1.7e7 - 0.5
    };
    std::iter::repeat_with(next).take(count).collect()
}

fn spec(name: &str, width: Option<usize>, element: Element, unit: &str) -> ColumnSpec {
    ColumnSpec { name: name.to_owned(), width, element, unit: unit.to_owned() }
}

fn column(name: &str, width: Option<usize>, values: Values) -> Column {
    Column { name: name.to_owned(), width, values }
}

fn items(make: impl Fn(usize) -> Rows) -> Vec<(String, Rows)> {
    (0..1000).map(|i| (format!("clip-{i}"), make(i))).collect()
}

fn main() {
    let embeddings = items(|i| {
        let times = (0..10).map(f64::from).collect();
        let columns = vec![
            column("embedding", Some(512), Values::F32(noise(10 * 512, i))),
            column("time", None, Values::F64(times)),
        ];
        Rows { len: 10, columns }
    });
    let columns = vec![spec("embedding", Some(512), Element::F32, ""), spec("time", None, Element::F64, "s")];
    measure("1,000 items of ten embeddings, 512 x f32", columns, &embeddings);

    let mels = items(|i| {
        let columns = vec![column("log_mel", Some(128), Values::F32(noise(501 * 128, i)))];
        Rows { len: 501, columns }
    });
    measure("1,000 log-mels of 501 x 128 f32", vec![spec("log_mel", Some(128), Element::F32, "dB")], &mels);
}
