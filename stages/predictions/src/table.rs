//! The CSV file of predictions.

use std::io::{Read, Write};

use crate::predictions::Seen;
use crate::{Error, Prediction, Predictions, Protocol};

const FIXED: [&str; 7] = ["id", "second", "label", "group", "city", "split", "predicted"];

impl Predictions {
    /// Writes the table as CSV, after checking it.
    pub fn write_csv(&self, out: impl Write) -> Result<(), Error> {
        self.truths()?;
        let mut table = csv::Writer::from_writer(out);
        let mut write = |record: Vec<String>| table.write_record(record).map_err(|e| from_csv(&self.system, &e));
        let header = FIXED.iter().map(ToString::to_string);
        write(header.chain(self.classes.iter().map(|class| format!("p_{class}"))).collect())?;
        for row in &self.rows {
            let second = row.second.map(|second| second.to_string()).unwrap_or_default();
            let [group, city] = [&row.group, &row.city].map(|text| text.as_deref().unwrap_or_default());
            let predicted = &self.classes[row.decision()];
            let texts = [&row.id, &second, &row.label, group, city, &row.split, predicted].map(str::to_owned);
            write(texts.into_iter().chain(row.probabilities.iter().map(ToString::to_string)).collect())?;
        }
        table.flush().map_err(|error| Error::Io { system: self.system.clone(), error })
    }

    /// Reads the table of this system and protocol.
    pub fn read_csv(system: &str, protocol: Protocol, input: impl Read) -> Result<Self, Error> {
        let mut table = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(input);
        let mut records = table.records();
        let line = |line, problem| Error::Line { system: system.to_owned(), line, problem };
        let header = match records.next() {
            Some(record) => record.map_err(|error| from_csv(system, &error))?,
            None => return Err(line(1, "the file is empty: expected a header".to_owned())),
        };
        let classes = classes_of(&header).map_err(|problem| line(1, problem))?;
        let mut predictions = Predictions { system: system.to_owned(), protocol, classes, rows: Vec::new() };
        predictions.check_classes()?;
        let mut lines = Vec::new();
        for record in records {
            let record = record.map_err(|error| from_csv(system, &error))?;
            let at = record.position().map_or(0, csv::Position::line);
            predictions.rows.push(row_of(&record, &predictions.classes).map_err(|problem| line(at, problem))?);
            lines.push((at, record.get(FIXED.len() - 1).unwrap_or_default().to_owned()));
        }
        let mut seen = Seen::default();
        for (row, (at, predicted)) in predictions.rows.iter().zip(lines) {
            if let Some(problem) = seen.problem(row, &predictions.classes, protocol) {
                return Err(line(at, problem));
            }
            let decision = &predictions.classes[row.decision()];
            if predicted != *decision {
                let problem =
                    format!("predicted is `{predicted}`, but the largest probability is that of `{decision}`");
                return Err(line(at, problem));
            }
        }
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
    let second = |text: &str| match text {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| format!("second is `{text}`, expected a whole number from 0")),
    };
    let some = |text: &str| Some(text).filter(|text| !text.is_empty()).map(str::to_owned);
    Ok(Prediction {
        id: record[0].to_owned(),
        second: second(&record[1])?,
        label: record[2].to_owned(),
        group: some(&record[3]),
        city: some(&record[4]),
        split: record[5].to_owned(),
        probabilities: record.iter().skip(FIXED.len()).map(number).collect::<Result<_, _>>()?,
    })
}

fn from_csv(system: &str, error: &csv::Error) -> Error {
    let system = system.to_owned();
    let line = error.position().map_or(0, csv::Position::line);
    match error.kind() {
        csv::ErrorKind::Io(io) => Error::Io { system, error: std::io::Error::new(io.kind(), io.to_string()) },
        csv::ErrorKind::Utf8 { .. } => Error::Line { system, line, problem: "the text is not UTF-8".to_owned() },
        _ => Error::Line { system, line, problem: error.to_string() },
    }
}
