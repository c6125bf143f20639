//! Many cases of one kind, as many at once as there are cores; how far it is, and in the end a table of what came out.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Whether the tests are to take minutes: every instant instead of a spread of them.
pub(crate) fn is_long() -> bool {
    std::env::var_os("PIPELINE_LONG").is_some_and(|value| value == "1")
}

/// How often a long sweep says how far it is.
const PROGRESS_EVERY: Duration = Duration::from_secs(30);

/// `wanted` numbers of `1..=count`, evenly spread with both ends; all of them if there are no more or the tests are long.
pub(crate) fn spread(count: usize, wanted: usize) -> Vec<usize> {
    if is_long() || count <= wanted {
        return (1..=count).collect();
    }
    (0..wanted).map(|n| 1 + n * (count - 1) / (wanted - 1).max(1)).collect()
}

/// Does `work` for each case; the verdicts are in order of the cases. A long sweep tells at once which `name` went wrong, so that one that is
/// interrupted has not been in vain.
pub(crate) fn sweep<T: Sync>(
    title: &str,
    cases: &[T],
    name: impl Fn(&T) -> String + Sync,
    work: impl Fn(usize, &T) -> Verdict + Sync,
) -> Vec<Verdict> {
    let (next, wrong) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let verdicts = Mutex::new(Vec::new());
    let begun = Instant::now();
    let told = Mutex::new(begun);
    let tell = |done: usize| {
        let mut told = told.lock().unwrap();
        if told.elapsed() >= PROGRESS_EVERY || done == cases.len() {
            *told = Instant::now();
            let (all, wrong, taken) = (cases.len(), wrong.load(Ordering::Relaxed), begun.elapsed());
            let left = taken.mul_f64((all - done) as f64 / done as f64);
            eprintln!("{title}: {done} of {all} cases in {taken:.0?}, {wrong} wrong, about {left:.0?} to go");
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, std::num::NonZero::get) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = cases.get(at) else { return };
                    let verdict = work(at, case);
                    if let Err(why) = &verdict {
                        wrong.fetch_add(1, Ordering::Relaxed);
                        if is_long() {
                            eprintln!("{title}: WRONG: {}: {why}", name(case));
                        }
                    }
                    let done = {
                        let mut verdicts = verdicts.lock().unwrap();
                        verdicts.push((at, verdict));
                        verdicts.len()
                    };
                    if is_long() {
                        tell(done);
                    }
                }
            });
        }
    });
    let mut verdicts = verdicts.into_inner().unwrap();
    verdicts.sort_by_key(|(at, _)| *at);
    verdicts.into_iter().map(|(_, verdict)| verdict).collect()
}

/// What became of a case that ended as it must.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Good {
    /// Values that were computed in vain.
    pub(crate) redone: usize,
    /// Whether what it left was, byte for byte, what another case had left, from where a run was seen to recover.
    pub(crate) seen: bool,
    /// Whether the disturbed run itself ended with correct work.
    pub(crate) correct: bool,
}

/// What a case came to, or what is wrong with it.
pub(crate) type Verdict = Result<Good, String>;

/// Verdicts by what they are about.
pub(crate) struct Table {
    title: String,
    begun: Instant,
    rows: BTreeMap<String, Row>,
    wrong: Vec<String>,
}

#[derive(Default)]
struct Row {
    cases: usize,
    states: usize,
    correct: usize,
    redone: usize,
    most: usize,
    wrong: usize,
}

impl Table {
    pub(crate) fn new(title: &str) -> Self {
        Table { title: title.to_string(), begun: Instant::now(), rows: BTreeMap::new(), wrong: Vec::new() }
    }

    /// Puts a verdict into the row of this name.
    pub(crate) fn add(&mut self, row: &str, case: &str, verdict: Verdict) {
        let row = self.rows.entry(row.to_string()).or_default();
        row.cases += 1;
        match verdict {
            Ok(good) => {
                row.states += usize::from(!good.seen);
                row.correct += usize::from(good.correct);
                row.redone += good.redone;
                row.most = row.most.max(good.redone);
            }
            Err(why) => {
                row.wrong += 1;
                self.wrong.push(format!("{case}: {why}"));
            }
        }
    }

    /// Prints the table, and fails if a case went wrong or there was none.
    pub(crate) fn judge(self) {
        let Table { title, begun, rows, wrong } = self;
        let mut sum = Row::default();
        eprintln!(
            "{title:<28} {:>6} {:>7} {:>8} {:>6} {:>8} {:>6}   in {:.0?}",
            "cases",
            "states",
            "correct",
            "wrong",
            "in vain",
            "most",
            begun.elapsed()
        );
        for (name, row) in &rows {
            eprintln!("  {name:<26} {row}");
            sum.cases += row.cases;
            sum.states += row.states;
            sum.correct += row.correct;
            sum.wrong += row.wrong;
            sum.redone += row.redone;
            sum.most = sum.most.max(row.most);
        }
        eprintln!("  {:<26} {sum}", "all");
        for why in &wrong {
            eprintln!("  {why}");
        }
        assert!(sum.cases > 0 && wrong.is_empty(), "{title}: {} of {} cases went wrong", wrong.len(), sum.cases);
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let share = self.redone as f64 / (self.cases - self.wrong).max(1) as f64;
        let Row { cases, states, correct, wrong, most, .. } = self;
        write!(f, "{cases:>6} {states:>7} {correct:>8} {wrong:>6} {share:>8.2} {most:>6}")
    }
}
