//! `pipeline data fetch` and `pipeline data verify`

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use discover::manifest::{Archive, Download};
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::export::list;
use crate::cli::{Common, print};
use crate::data::download::Retry;
use crate::data::space::{Need, free};
use crate::data::verify::verify;
use crate::data::{DataEvent, Places, Settings, Standing, Watch, fetch, is_meant};
use crate::error::{Error, Result};
use crate::exit;
use crate::ui::{duration, plural};

/// Options of `data`.
#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Download and unpack the archives that the manifest lists; an interrupted download goes on where it was
    Fetch(Fetch),
    /// Check archives and unpacked files; what is damaged is set aside and fetched again by the next `data fetch`
    Verify(Verify),
}

#[derive(Debug, Args)]
struct Where {
    /// Only these archives: a name, or what a name says between dots (audio, video, meta); may be repeated
    #[arg(long, value_name = "WORD")]
    only: Vec<String>,
    /// The folder of the media [default: the manifest's `root`]
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// The folder of the archives [default: `archives` in the folder of the media]
    #[arg(long, value_name = "DIR")]
    archives: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
struct Fetch {
    /// Downloads at the same time
    #[arg(long, default_value_t = 2, value_name = "N")]
    jobs: usize,
    /// Tries in a row without a new byte after which a download is given up
    #[arg(long, default_value_t = Retry::default().tries, value_name = "N")]
    tries: u32,
    /// Seconds without a byte after which a connection counts as dead
    #[arg(long, default_value_t = 60.0, value_name = "SECONDS")]
    patience: f64,
    /// Leave the archives packed
    #[arg(long)]
    no_unpack: bool,
    /// Remove each archive once it is unpacked
    #[arg(long, conflicts_with = "no_unpack")]
    remove_archives: bool,
    /// Only list the archives, how far each is, and the room that they need; exit code 3 when there is something to do
    #[arg(long)]
    dry_run: bool,
    /// Progress as JSON Lines on standard output
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Where,
}

#[derive(Debug, Args)]
struct Verify {
    /// Compare sizes only
    #[arg(long)]
    quick: bool,
    #[command(flatten)]
    place: Where,
}

pub(super) fn execute(options: &Options) -> Result<u8> {
    match &options.command {
        Command::Fetch(options) => execute_fetch(options),
        Command::Verify(options) => execute_verify(options),
    }
}

impl Where {
    /// The archives of the manifest and where they belong.
    fn read(&self) -> Result<(Download, Places)> {
        let config = self.common.config()?;
        let file = config.data()?;
        if file.extension().is_none_or(|e| e != "toml") {
            let message = format!("{}: only a manifest (.toml) says where its media are published", file.display());
            return Err(Error::Usage(message));
        }
        let download = discover::manifest::archives(file, &|name| std::env::var(name).ok())?;
        if download.archives.is_empty() {
            return Err(Error::Usage(format!("{}: it lists no [[archive]]: nothing to fetch", file.display())));
        }
        let root = self.to.clone().or(download.root.clone()).ok_or_else(|| {
            Error::Usage(format!(
                "{}: its `root` is an environment variable that is not set: set it, or name the folder with --to DIR",
                file.display()
            ))
        })?;
        let archives = self.archives.clone().unwrap_or_else(|| root.join("archives"));
        Ok((download, Places { archives, root }))
    }

    fn chosen<'a>(&self, download: &'a Download) -> Result<Vec<&'a Archive>> {
        for word in &self.only {
            if !download.archives.iter().any(|archive| is_meant(archive, word)) {
                let names: Vec<String> = download.archives.iter().map(|archive| archive.name.clone()).collect();
                return Err(Error::Usage(format!(
                    "--only {word}: no archive is meant by it; there are {}",
                    list(&names)
                )));
            }
        }
        let meant = |archive: &&Archive| self.only.is_empty() || self.only.iter().any(|word| is_meant(archive, word));
        Ok(download.archives.iter().filter(meant).collect())
    }
}

fn execute_fetch(options: &Fetch) -> Result<u8> {
    if !(options.patience > 0.0 && options.patience.is_finite()) || options.tries == 0 || options.jobs == 0 {
        return Err(Error::Usage("--patience, --tries and --jobs must be above 0".to_string()));
    }
    let (download, places) = options.place.read()?;
    let archives = options.place.chosen(&download)?;
    let settings = Settings {
        jobs: options.jobs,
        retry: Retry { tries: options.tries, ..Retry::default() },
        patience: Duration::from_secs_f64(options.patience),
        unpack: !options.no_unpack,
        remove_archives: options.remove_archives,
    };
    if options.dry_run {
        return dry_run(&download, &archives, &places, &settings);
    }
    if let Some(licence) = &download.licence {
        let _ = writeln!(std::io::stderr(), "{}: {licence}", download.name);
    }
    let (json, human);
    let watch: &dyn Watch = if options.json {
        json = Json { last: Mutex::new(Instant::now()) };
        &json
    } else {
        human = Human::new(&archives, &places);
        &human
    };
    let failed = fetch(&archives, &places, &settings, watch)?;
    if !options.json {
        let done = archives.len() - failed.len();
        print(&format!("{} of {} in {}\n", done, plural(archives.len(), "archive"), places.root.display()))?;
    }
    Ok(if failed.is_empty() { exit::DONE } else { exit::FAILED })
}

fn gigabytes(bytes: u64) -> String {
    if bytes < 100_000_000 { format!("{:.1} MB", bytes as f64 / 1e6) } else { format!("{:.1} GB", bytes as f64 / 1e9) }
}

fn dry_run(download: &Download, archives: &[&Archive], places: &Places, settings: &Settings) -> Result<u8> {
    let mut text = format!("{} to {}\n", download.name, places.root.display());
    let mut due = false;
    for archive in archives {
        let standing = Standing::of(archive, places);
        let state = match standing {
            Standing::Unpacked => "unpacked".to_string(),
            Standing::Here if settings.unpack => "here, to be unpacked".to_string(),
            Standing::Here => "here".to_string(),
            Standing::Partial { bytes } => format!("{} here", gigabytes(bytes)),
            Standing::Absent => "to be downloaded".to_string(),
        };
        due |= match standing {
            Standing::Unpacked => false,
            Standing::Here => settings.unpack,
            Standing::Partial { .. } | Standing::Absent => true,
        };
        let size = archive.bytes.map_or_else(|| "?".to_string(), gigabytes);
        text += &format!("  {:<62} {size:>9}  {state}\n", archive.name);
    }
    let need = Need::of(archives, places, settings);
    text += &format!(
        "  {} to download, about {} to unpack, {} free\n",
        gigabytes(need.download),
        gigabytes(need.unpack),
        gigabytes(free(&places.root)?)
    );
    if let Err(shortage) = need.check(places) {
        text += &format!("  too little room: {shortage}\n");
    }
    print(&text)?;
    Ok(if due { exit::WORK_IS_DUE } else { exit::DONE })
}

fn execute_verify(options: &Verify) -> Result<u8> {
    let (download, places) = options.place.read()?;
    let archives = options.place.chosen(&download)?;
    let found = verify(&archives, &places, options.quick)?;
    let mut text = String::new();
    for line in &found.wrong {
        text += &format!("damaged: {line}\n");
    }
    if !found.absent.is_empty() {
        text += &format!("not here: {}\n", list(&found.absent));
    }
    let verdict = match found.wrong.len() {
        0 => "all good".to_string(),
        n => format!("{n} damaged; `pipeline data fetch` makes them good"),
    };
    text += &format!("{}, {}: {verdict}\n", plural(found.archives, "archive"), plural(found.files, "file"));
    print(&text)?;
    Ok(if found.wrong.is_empty() && found.absent.is_empty() { exit::DONE } else { exit::FAILED })
}

/// Events as JSON Lines; how far an archive is, at most once a second.
struct Json {
    last: Mutex<Instant>,
}

impl Watch for Json {
    fn report(&self, event: &DataEvent<'_>) {
        if matches!(event, DataEvent::Downloaded { .. }) {
            let mut last = self.last.lock().expect("no holder panics");
            if last.elapsed() < Duration::from_secs(1) {
                return;
            }
            *last = Instant::now();
        }
        let line = serde_json::to_string(event).expect("plain data");
        let _ = print(&(line + "\n"));
    }
}

/// A bar on a terminal, a line now and then elsewhere.
struct Human {
    bar: Option<ProgressBar>,
    start: Instant,
    state: Mutex<Progress>,
}

struct Progress {
    /// Bytes of each archive.
    here: BTreeMap<String, u64>,
    at_start: u64,
    total: u64,
    last_line: Instant,
}

/// Between two lines where the output is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

impl Human {
    fn new(archives: &[&Archive], places: &Places) -> Self {
        let mut here = BTreeMap::new();
        let mut total = 0;
        for archive in archives {
            let bytes = archive.bytes.unwrap_or(0);
            let have = match Standing::of(archive, places) {
                Standing::Unpacked | Standing::Here => bytes,
                Standing::Partial { bytes: part } => part,
                Standing::Absent => 0,
            };
            total += bytes;
            here.insert(archive.name.clone(), have);
        }
        let at_start = here.values().sum();
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = "{bar:30} {bytes} of {total_bytes}, {binary_bytes_per_sec}, {eta} left";
            let bar = ProgressBar::new(total).with_position(at_start);
            bar.set_style(ProgressStyle::with_template(style).expect("a good template"));
            bar.reset_eta();
            bar
        });
        let state = Mutex::new(Progress { here, at_start, total, last_line: Instant::now() });
        Human { bar, start: Instant::now(), state }
    }

    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| {
                let _ = writeln!(std::io::stderr(), "{line}");
            }),
            None => {
                let _ = writeln!(std::io::stderr(), "{line}");
            }
        }
    }
}

impl Watch for Human {
    fn report(&self, event: &DataEvent<'_>) {
        match event {
            DataEvent::Downloaded { archive, bytes } => {
                let mut state = self.state.lock().expect("no holder panics");
                state.here.insert((*archive).to_string(), *bytes);
                let here: u64 = state.here.values().sum();
                if let Some(bar) = &self.bar {
                    bar.set_position(here);
                } else if state.last_line.elapsed() >= LINE_EVERY {
                    state.last_line = Instant::now();
                    let rate = here.saturating_sub(state.at_start) as f64 / self.start.elapsed().as_secs_f64();
                    let left = state.total.saturating_sub(here) as f64 / rate.max(1.0);
                    let (here, total) = (gigabytes(here), gigabytes(state.total));
                    self.say(&format!("{here} of {total}, {:.1} MB/s, {} left", rate / 1e6, duration(left)));
                }
            }
            DataEvent::Stumbled { archive, reason, wait } => {
                self.say(&format!("{archive}: {reason}; next try in {wait:.1} s"));
            }
            DataEvent::Complete { archive } => self.say(&format!("{archive}: complete")),
            DataEvent::Unpacked { archive, files, bytes } => {
                self.say(&format!("{archive}: {} unpacked, {}", plural(*files, "file"), gigabytes(*bytes)));
            }
            DataEvent::Failed { archive, message } => self.say(&format!("failed: {archive}: {message}")),
        }
    }
}
