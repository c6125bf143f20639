use std::collections::BTreeSet;

use super::*;

fn item(label: &str, group: &str, n: usize) -> Item {
    Item {
        id: format!("{label}-{group}-{n}"),
        video: None,
        audio: None,
        label: Some(label.to_owned()),
        group: (!group.is_empty()).then(|| group.to_owned()),
        city: None,
        split: None,
    }
}

fn many(groups: usize) -> Vec<Item> {
    let one = |n: usize| item(["a", "b", "c"][n % 3], &format!("g{}", n % groups), n);
    (0..groups * 6).map(one).collect()
}

fn side(items: &[Item], test: bool) -> BTreeSet<String> {
    let on = |item: &&Item| (item.split.as_deref() == Some("test")) == test;
    items.iter().filter(on).map(|item| item.group.clone().unwrap()).collect()
}

#[test]
fn groups_stay_whole_and_the_fraction_is_kept() {
    let mut items = many(400);
    split::assign(&mut items, 0.3, 0);
    assert!(side(&items, true).is_disjoint(&side(&items, false)));
    let share = side(&items, true).len() as f64 / 400.0;
    assert!((share - 0.3).abs() < 0.07, "three standard deviations of 400 draws: {share}");
}

#[test]
fn it_does_not_move_when_items_are_added_and_does_with_another_seed() {
    let (mut few, mut more, mut other) = (many(40), many(80), many(40));
    split::assign(&mut few, 0.3, 0);
    split::assign(&mut more, 0.3, 0);
    split::assign(&mut other, 0.3, 1);
    assert!(side(&few, true).is_subset(&side(&more, true)) && side(&few, false).is_subset(&side(&more, false)));
    assert_ne!(side(&few, true), side(&other, true));
}

#[test]
fn every_class_with_two_groups_is_on_both_sides() {
    for seed in 0..200 {
        let mut items: Vec<Item> =
            (0..40).map(|n| item(&format!("c{}", n % 20), &format!("g{}", n / 2 * 2 + n % 2), n)).collect();
        let notes = split::assign(&mut items, 0.3, seed);
        for class in 0..20 {
            let of_class: BTreeSet<&str> = items
                .iter()
                .filter(|i| i.label.as_deref() == Some(&format!("c{class}")))
                .map(|i| i.split.as_deref().unwrap())
                .collect();
            assert_eq!(of_class.len(), 2, "seed {seed}, class {class}: {notes:?}");
        }
    }
}

#[test]
fn a_class_with_one_group_is_noted_and_others_keep_theirs() {
    let mut items = vec![item("a", "shared", 0), item("b", "shared", 1), item("b", "own", 2)];
    let notes = split::assign(&mut items, 0.3, 0);
    assert_eq!(items[0].split, items[1].split);
    assert_ne!(items[1].split, items[2].split);
    assert!(notes.iter().any(|n| n.starts_with("the class `a` has no group in ")), "{notes:?}");
}

#[test]
fn group_fields_name_the_group_of_an_id() {
    let root = tree(&["bus/bus-lyon-1-10.mp4", "bus/bus-lyon-1-20.mp4", "tram/tram-oslo-2-1.mp4"]);
    let params = Params { group_fields: vec![3, 4], ..Params::default() };
    let data = discover(root.path(), &params).unwrap();
    let groups: Vec<_> = data.items.iter().map(|item| item.group.as_deref().unwrap()).collect();
    assert_eq!(groups, ["lyon-1", "lyon-1", "oslo-2"]);
    let params = Params { group_fields: vec![9], ..Params::default() };
    assert!(discover(root.path(), &params).unwrap_err().to_string().contains("has no field 9"));
}

#[test]
fn parameters_out_of_range_are_errors() {
    for test_fraction in [0.0, 1.0, -0.1, f64::NAN] {
        assert!(Params { test_fraction, ..Params::default() }.resolve().is_err());
    }
    assert_eq!(Params { group_fields: vec![0], ..Params::default() }.resolve(), Err(ParamsError::GroupField));
    assert!(toml::from_str::<Params>("test_fracton = 0.2").is_err());
}

fn in_split<'a>(items: &'a [Item], split: &'a str) -> impl Iterator<Item = &'a Item> {
    items.iter().filter(move |item| item.split.as_deref() == Some(split))
}

#[test]
fn a_validation_part_is_whole_groups_of_train_with_one_of_each_class_at_least() {
    let mut items = many(90);
    split::assign(&mut items, 0.3, 0);
    let test_before: Vec<String> = in_split(&items, "test").map(|i| i.id.clone()).collect();
    let note = split::hold_out(&mut items, 0.1, 0).expect("something was held out");
    assert!(note.contains("training items are val"), "{note}");
    let groups = |split: &str| in_split(&items, split).map(|i| i.group.clone()).collect::<BTreeSet<_>>();
    assert!(groups("val").is_disjoint(&groups("train")) && groups("val").is_disjoint(&groups("test")));
    for class in ["a", "b", "c"] {
        for split in ["train", "val"] {
            assert!(in_split(&items, split).any(|i| i.label.as_deref() == Some(class)), "{class} in {split}");
        }
    }
    assert_eq!(test_before, in_split(&items, "test").map(|i| i.id.clone()).collect::<Vec<_>>(), "test is as it was");
    let share = groups("val").len() as f64 / (groups("val").len() + groups("train").len()) as f64;
    assert!((0.02..0.25).contains(&share), "{share}");
}

#[test]
fn a_class_with_few_training_groups_gives_none() {
    let mut items: Vec<Item> = (0..2).map(|n| item("rare", &format!("r{n}"), n)).collect();
    items.extend((0..9).map(|n| item("common", &format!("c{n}"), n)));
    for item in &mut items {
        item.split = Some("train".into());
    }
    split::hold_out(&mut items, 0.5, 0).expect("of the common class");
    assert!(in_split(&items, "val").all(|i| i.label.as_deref() == Some("common")));
    assert!(in_split(&items, "train").any(|i| i.label.as_deref() == Some("common")), "never all of a class");
    let mut two = items.drain(..2).collect::<Vec<_>>();
    assert_eq!(split::hold_out(&mut two, 0.5, 0), None);
}
