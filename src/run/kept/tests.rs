use contract::{Column, Rows};
use serde_json::json;
use shard::{Entry, Header, Writer};

use super::*;

const CONTENT: Content = [7; 32];

fn template(fps: f64) -> Template {
    Template::new(extract_frames::DECL.id, 1, &json!({ "fps": fps }), &json!(null), &crate::key::content())
}

/// Publishes a shard of one clip, of which there are pictures at these times.
fn publish(work: &WorkDir, template: &Template, times: &[f64]) {
    let path = work.shard(extract_frames::DECL.id, 0, 1);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    let columns = extract_frames::columns();
    let header = Header {
        stage: extract_frames::DECL.id.into(),
        version: 1,
        key_template: template.text().into(),
        columns: columns.clone(),
        attributes: std::collections::BTreeMap::new(),
        position: Some((0, 1)),
    };
    let columns = columns.into_iter().map(|spec| {
        let n = times.len() * spec.width.unwrap_or(1);
        let values = match spec.name.as_str() {
            "time" | "pts" => Values::F64(times.to_vec()),
            "width" | "height" => Values::I64(vec![2; n]),
            "digest" => Values::U8(vec![1; n]),
            other => unreachable!("{other}"),
        };
        Column { name: spec.name, width: spec.width, values }
    });
    let rows = Rows { len: times.len(), columns: columns.collect() };
    let aside = path.with_extension("new");
    let mut writer = Writer::create(&aside, &header, Some(1)).expect("created");
    let (key, content) = (template.key(&CONTENT), CONTENT);
    writer.push(Entry { id: "a", key, content, outcome: Ok(&rows) }).expect("pushed");
    writer.finish().expect("finished");
    std::fs::rename(aside, path).expect("published");
}

fn open(work: &WorkDir, template: Template) -> KeptPictures {
    let index = Index::open(work, extract_frames::DECL.id, false).expect("listed");
    let locations = index.locations();
    let files = FileSpec { format: Format::Png, jpeg_quality: None };
    KeptPictures { folder: work.stage(extract_frames::DECL.id), files, template, index, locations }
}

#[test]
fn a_shard_of_other_pictures_that_took_the_name_since_is_not_taken_for_the_listed_one() {
    let folder = tempfile::tempdir().expect("tempdir");
    let work = WorkDir::new(folder.path().to_path_buf());
    publish(&work, &template(1.0), &[0.0, 1.0]);
    let kept = open(&work, template(1.0));
    let times = |kept: &KeptPictures| -> Option<Vec<f64>> {
        Some(kept.of(&CONTENT)?.iter().map(|picture| picture.pick.time).collect())
    };
    assert_eq!(times(&kept), Some(vec![0.0, 1.0]));
    // The same clip in the same place of a file of the same name, at another rate.
    publish(&work, &template(2.0), &[0.0, 0.5]);
    assert!(kept.lists(&CONTENT), "it was there when the store was listed");
    assert_eq!(times(&kept), None);
    assert_eq!(times(&open(&work, template(2.0))), Some(vec![0.0, 0.5]));
}
