//! Which clips are shown.

use std::collections::BTreeSet;

use predictions::{Predictions, Protocol};
use report::{Sample, choose};

use crate::made_up;

fn samples(tables: &[Predictions], count: usize) -> Vec<Sample> {
    choose(tables, "test", count).iter().map(|id| Sample::new(id, None, tables).unwrap()).collect()
}

fn all_right(sample: &Sample) -> bool {
    sample.decisions.iter().all(|decision| decision.class == sample.label)
}

#[test]
fn half_are_wrong_half_are_right_and_of_many_classes() {
    let tables = made_up::tables();
    let samples = samples(&tables, 12);
    assert_eq!(samples.iter().map(all_right).collect::<Vec<_>>(), [[false; 6], [true; 6]].concat());
    for half in [&samples[..6], &samples[6..]] {
        assert!(half.iter().map(|sample| &sample.label).collect::<BTreeSet<_>>().len() >= 5);
    }
    assert_eq!(samples.iter().map(|sample| &sample.id).collect::<BTreeSet<_>>().len(), 12);
    let test: BTreeSet<&str> = tables[0].rows.iter().filter(|r| r.split == "test").map(|r| r.id.as_str()).collect();
    assert!(samples.iter().all(|sample| test.contains(sample.id.as_str())));
    assert_eq!(choose(&tables, "test", 0), Vec::<String>::new());
}

#[test]
fn one_kind_fills_up_where_the_other_is_short() {
    let mut tables = made_up::tables();
    tables.retain(|table| table.system == "audio-visual" && table.protocol == Protocol::PerClip);
    let of_split = tables[0].rows.iter().filter(|row| row.split == "test").count();
    let wrong =
        tables[0].rows.iter().filter(|r| r.split == "test" && tables[0].classes[r.decision()] != r.label).count();
    assert!(wrong > 0 && wrong * 2 < of_split);
    let all = samples(&tables, 1000);
    assert_eq!(all.len(), of_split);
    assert_eq!(all.iter().filter(|sample| !all_right(sample)).count(), wrong);
    let more = samples(&tables, 2 * wrong + 4);
    assert_eq!((more.len(), more.iter().filter(|sample| !all_right(sample)).count()), (2 * wrong + 4, wrong));
}

#[test]
fn a_clip_that_a_system_lacks_is_shown_with_the_others() {
    let tables = made_up::tables();
    let lacking = tables[0].rows.iter().find(|row| tables[2].rows.iter().all(|other| other.id != row.id)).unwrap();
    let sample = Sample::new(&lacking.id, None, &tables).unwrap();
    let systems: Vec<&str> = sample.decisions.iter().map(|decision| decision.system.as_str()).collect();
    assert_eq!(systems, ["zero-shot", "linear-probe", "audio-visual", "late-fusion"]);
    assert!(Sample::new("elsewhere", None, &tables).is_none());
}
