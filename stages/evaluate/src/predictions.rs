//! What a system said about every item, and its CSV file.
//!
//! Columns `id,label,group,split,predicted,p_<class>…`. An empty group means none. Numbers are written with as many digits
//! as it takes to read the same f64 again. `predicted` follows from the probabilities and is checked when read.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};

use serde::{Deserialize, Serialize};

use crate::Error;

/// How far the sum of a row's probabilities may be from 1: room for files with five decimals.
const SUM_TOLERANCE: f64 = 1e-4;
const FIXED: [&str; 5] = ["id", "label", "group", "split", "predicted"];

/// The class probabilities that one system gives to items.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Predictions {
    /// Name of the system, e.g. `linear-probe`.
    pub system: String,
    /// The classes, in the order of the probabilities.
    pub classes: Vec<String>,
    /// One row per decision.
    pub rows: Vec<Prediction>,
}

/// One decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Id of the item.
    pub id: String,
    /// The true class.
    pub label: String,
    /// What must not be torn apart, e.g. the recording location.
    pub group: Option<String>,
    /// `train`, `val` or `test`.
    pub split: String,
    /// Probability of each class.
    pub probabilities: Vec<f64>,
}

impl Prediction {
    /// The class decided for: the first of the largest probability.
    pub fn decision(&self) -> usize {
        let p = &self.probabilities;
        (1..p.len()).fold(0, |best, class| if p[class] > p[best] { class } else { best })
    }

    /// What is wrong with the probabilities, for `classes` classes.
    fn problem(&self, classes: usize) -> Option<String> {
        if self.probabilities.len() != classes {
            return Some(format!("{} probabilities for {classes} classes", self.probabilities.len()));
        }
        if let Some(p) = self.probabilities.iter().find(|p| !(0.0..=1.0).contains(*p)) {
            return Some(format!("{p} is no probability: expected a number from 0 to 1"));
        }
        let sum: f64 = self.probabilities.iter().sum();
        ((sum - 1.0).abs() > SUM_TOLERANCE).then(|| format!("the probabilities add up to {sum}, not to 1"))
    }
}

impl Predictions {
    /// The numbers of the true classes, after checking the classes and every row.
    pub(crate) fn truths(&self) -> Result<Vec<usize>, Error> {
        self.check_classes()?;
        let numbers: BTreeMap<&str, usize> = self.classes.iter().map(String::as_str).zip(0..).collect();
        let truth = |row: &Prediction| {
            let problem = |problem| Error::Row { system: self.system.clone(), id: row.id.clone(), problem };
            if let Some(found) = row.problem(self.classes.len()) {
                return Err(problem(found));
            }
            let number = numbers.get(row.label.as_str()).copied();
            number.ok_or_else(|| problem(unknown_class("label", &row.label, &self.classes)))
        };
        self.rows.iter().map(truth).collect()
    }

    fn check_classes(&self) -> Result<(), Error> {
        let error = |problem| Err(Error::Classes { system: self.system.clone(), problem });
        if self.classes.len() < 2 {
            return error(format!("{} class(es): there is nothing to tell apart", self.classes.len()));
        }
        let mut seen = BTreeSet::new();
        match self.classes.iter().find(|class| !seen.insert(*class)) {
            Some(twice) => error(format!("the class `{twice}` occurs twice")),
            None => Ok(()),
        }
    }

    /// Writes the table as CSV, after checking it.
    pub fn write_csv(&self, out: impl Write) -> Result<(), Error> {
        self.truths()?;
        let mut table = csv::Writer::from_writer(out);
        let header = FIXED.iter().map(ToString::to_string);
        write(&mut table, header.chain(self.classes.iter().map(|class| format!("p_{class}"))))?;
        for row in &self.rows {
            let predicted = &self.classes[row.decision()];
            let texts = [&row.id, &row.label, row.group.as_deref().unwrap_or(""), &row.split, predicted];
            let numbers = row.probabilities.iter().map(ToString::to_string);
            write(&mut table, texts.map(str::to_owned).into_iter().chain(numbers))?;
        }
        Ok(table.flush()?)
    }

    /// Reads the table of the system of this name.
    pub fn read_csv(system: &str, input: impl Read) -> Result<Self, Error> {
        let mut table = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(input);
        let mut records = table.records();
        let line = |line, problem| Error::Line { line, problem };
        let header = match records.next() {
            Some(record) => record.map_err(|error| from_csv(&error))?,
            None => return Err(line(1, "the file is empty: expected a header".to_owned())),
        };
        let classes = classes_of(&header).map_err(|problem| line(1, problem))?;
        let mut rows = Vec::new();
        for record in records {
            let record = record.map_err(|error| from_csv(&error))?;
            let at = record.position().map_or(0, csv::Position::line);
            rows.push(row_of(&record, &classes).map_err(|problem| line(at, problem))?);
        }
        let predictions = Predictions { system: system.to_owned(), classes, rows };
        predictions.check_classes()?;
        Ok(predictions)
    }
}

fn classes_of(header: &csv::StringRecord) -> Result<Vec<String>, String> {
    for (column, expected) in FIXED.into_iter().enumerate() {
        let found = header.get(column).unwrap_or("nothing");
        if found != expected {
            return Err(format!("column {} is `{found}`, expected `{expected}`", column + 1));
        }
    }
    let class = |name: &str| {
        let class = name.strip_prefix("p_").filter(|class| !class.is_empty());
        class.map(str::to_owned).ok_or_else(|| format!("column `{name}`: expected `p_<class>`"))
    };
    header.iter().skip(FIXED.len()).map(class).collect()
}

fn row_of(record: &csv::StringRecord, classes: &[String]) -> Result<Prediction, String> {
    let expected = FIXED.len() + classes.len();
    if record.len() != expected {
        return Err(format!("{} columns, expected {expected} as in the header", record.len()));
    }
    let number = |text: &str| text.trim().parse::<f64>().map_err(|_| format!("`{text}` is not a number"));
    let row = Prediction {
        id: record[0].to_owned(),
        label: record[1].to_owned(),
        group: Some(&record[2]).filter(|group| !group.is_empty()).map(str::to_owned),
        split: record[3].to_owned(),
        probabilities: record.iter().skip(FIXED.len()).map(number).collect::<Result<_, _>>()?,
    };
    if let Some(problem) = row.problem(classes.len()) {
        return Err(problem);
    }
    if !classes.contains(&row.label) {
        return Err(unknown_class("label", &row.label, classes));
    }
    let decision = &classes[row.decision()];
    if record[4] != *decision {
        return Err(format!("predicted is `{}`, but the largest probability is that of `{decision}`", &record[4]));
    }
    Ok(row)
}

fn unknown_class(what: &str, name: &str, classes: &[String]) -> String {
    format!("the {what} `{name}` is none of the {} classes ({})", classes.len(), classes.join(", "))
}

fn write<W: Write>(table: &mut csv::Writer<W>, fields: impl Iterator<Item = String>) -> Result<(), Error> {
    table.write_record(fields.collect::<Vec<_>>()).map_err(|error| from_csv(&error))
}

fn from_csv(error: &csv::Error) -> Error {
    let line = error.position().map_or(0, csv::Position::line);
    match error.kind() {
        csv::ErrorKind::Io(io) => Error::Io(std::io::Error::new(io.kind(), io.to_string())),
        csv::ErrorKind::Utf8 { .. } => Error::Line { line, problem: "the text is not UTF-8".to_owned() },
        _ => Error::Line { line, problem: error.to_string() },
    }
}
