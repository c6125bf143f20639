//! The list of items as a table that a person, a spreadsheet or a manifest can read.

use std::path::Path;

use contract::Item;

/// CSV with the columns of a manifest's table: `id,video,audio,label,group,city,split`. Absent values are empty.
pub fn to_csv(items: &[Item]) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let path =
        |path: &Option<std::path::PathBuf>| path.as_deref().map(Path::to_string_lossy).unwrap_or_default().into_owned();
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let rows = items.iter().map(|item| {
        [
            item.id.clone(),
            path(&item.video),
            path(&item.audio),
            text(&item.label),
            text(&item.group),
            text(&item.city),
            text(&item.split),
        ]
    });
    let head = ["id", "video", "audio", "label", "group", "city", "split"].map(String::from);
    for row in std::iter::once(head).chain(rows) {
        writer.write_record(row).expect("writing to memory");
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
