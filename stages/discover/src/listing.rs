//! The list of items as a table that a person, a spreadsheet or a manifest can read.

use std::borrow::Cow;
use std::path::PathBuf;

use contract::Item;

use crate::rows::COLUMNS;

/// CSV with the columns of a manifest's table: `id,video,audio,label,group,city,split`. Absent values are empty.
pub fn to_csv(items: &[Item]) -> Vec<u8> {
    fn path(path: Option<&PathBuf>) -> Cow<'_, str> {
        path.map(|path| path.to_string_lossy()).unwrap_or_default()
    }
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(COLUMNS).expect("writing to memory");
    for item in items {
        let Item { id, video, audio, label, group, city, split } = item;
        let (video, audio) = (path(video.as_ref()), path(audio.as_ref()));
        let [label, group, city, split] = [label, group, city, split].map(|field| field.as_deref().unwrap_or_default());
        writer.write_record([id, &*video, &*audio, label, group, city, split]).expect("writing to memory");
    }
    writer.into_inner().expect("writing to memory")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_values_are_empty_and_commas_are_quoted() {
        let item = Item {
            id: "a".into(),
            video: Some("x,y.mp4".into()),
            audio: None,
            label: Some("park".into()),
            group: None,
            city: None,
            split: Some("test".into()),
        };
        let text = String::from_utf8(to_csv(&[item])).expect("text");
        assert_eq!(text, "id,video,audio,label,group,city,split\na,\"x,y.mp4\",,park,,,test\n");
    }
}
