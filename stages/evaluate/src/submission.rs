//! The challenge's output file.

use predictions::Predictions;

use crate::Error;

/// The file that DCASE 2021 task 1B asks for: tab-separated, with a header; per row `filename_audio_video`, the decided
/// `scene_label`, then the probabilities of the classes **in alphabetical order**, whatever their order here.
///
/// `split` picks rows; `None` takes all. The name of a row is the item's id. The challenge's evaluation set consists of files of
/// one second, so its submission is the table of protocol `10s` (one decision per *file*). In the protocol `1s` of longer
/// clips, for which the challenge has no names, a row is called `<id>-<second>`, seconds counted from 0:
/// `airport-lisbon-1000-40000-0` to `…-9`.
pub fn submission(predictions: &Predictions, split: Option<&str>) -> Result<String, Error> {
    predictions.truths()?;
    let mut order: Vec<usize> = (0..predictions.classes.len()).collect();
    order.sort_by_key(|class| &predictions.classes[*class]);
    let plain = |text: &str| {
        if text.contains(['\t', '\n', '\r']) {
            return Err(Error::Unwritable { system: predictions.system.clone(), id: text.to_owned() });
        }
        Ok(text.to_owned())
    };
    let mut file = "filename_audio_video\tscene_label".to_owned();
    for class in &order {
        file += &format!("\t{}", plain(&predictions.classes[*class])?);
    }
    file.push('\n');
    for row in predictions.rows.iter().filter(|row| split.is_none_or(|split| row.split == split)) {
        file += &plain(&row.id)?;
        if let Some(second) = row.second {
            file += &format!("-{second}");
        }
        file += &format!("\t{}", predictions.classes[row.decision()]);
        for class in &order {
            file += &format!("\t{}", row.probabilities[*class]);
        }
        file.push('\n');
    }
    Ok(file)
}
