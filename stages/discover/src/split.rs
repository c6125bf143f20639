//! A split by whole groups, for data sets that name none.
//!
//! A group is `test` if its hash, as a number in 0..1, is below the fraction: which side a group is on depends on its own name
//! and the seed and on nothing else, so it stays where it is when items or groups are added. Hashes know nothing of classes, so a class with few
//! groups can end up with all of them on one side; then the one group that costs least is moved (the train group with the lowest hash, or the test group with the
//! highest), if that takes no other class's last one.
//!
//! A validation part is held out of the training part in the same way ([`hold_out`]), also where the data set names train and test.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use contract::Item;

/// The splits that there are.
pub const NAMES: [&str; 3] = ["train", "val", "test"];

/// Writes `train` or `test` into every item and says what was done. Items without a group are groups of their own.
pub fn assign(items: &mut [Item], test_fraction: f64, seed: u64) -> Vec<String> {
    let mut hash: BTreeMap<String, f64> = BTreeMap::new();
    let mut classes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for item in &*items {
        let group = Group::of(item).name();
        hash.entry(group.clone()).or_insert_with_key(|group| unit_hash(group, seed));
        classes.entry(item.label.clone().unwrap_or_default()).or_default().insert(group);
    }
    let mut test: BTreeSet<String> = hash.iter().filter(|&(_, &h)| h < test_fraction).map(|(g, _)| g.clone()).collect();

    let mut lacking = Vec::new();
    for (class, groups) in &classes {
        let in_test = groups.iter().filter(|g| test.contains(*g)).count();
        let (side, to_test) = match (in_test, groups.len() - in_test) {
            (0, _) => ("test", true),
            (_, 0) => ("train", false),
            _ => continue,
        };
        // A group may hold several classes; moving it must not leave another class without this side.
        let spare = |group: &&String| {
            classes
                .values()
                .filter(|others| others.contains(*group))
                .all(|others| others.iter().filter(|other| test.contains(*other) != to_test).count() > 1)
        };
        let key = |group: &&String| if to_test { hash[*group] } else { -hash[*group] };
        match groups.iter().filter(spare).min_by(|a, b| key(a).total_cmp(&key(b))) {
            Some(group) if to_test => test.insert(group.clone()),
            Some(group) => test.remove(&group.clone()),
            None => {
                lacking.push(format!("the class `{class}` has no group in {side}: it has {} in all", groups.len()));
                continue;
            }
        };
    }

    for item in items.iter_mut() {
        let side = if test.contains(&Group::of(item).name()) { "test" } else { "train" };
        item.split = Some(side.to_owned());
    }
    let tested = items.iter().filter(|item| item.split.as_deref() == Some("test")).count();
    let alone = items.iter().filter(|item| item.group.is_none()).count();
    let mut notes = vec![format!(
        "the data set names no split; {tested} of {} items are test, by the hash of {} groups",
        items.len(),
        hash.len()
    )];
    if alone > 0 {
        notes.push(format!(
            "{alone} items have no group and were split one by one: if some are of one recording, name groups or the test figure will flatter"
        ));
    }
    notes.extend(lacking);
    notes
}

/// Groups that a class must have in `train` before one of them may be taken for `val`: with fewer, what is learnt suffers more
/// than the choice of a model gains.
const ENOUGH_GROUPS: usize = 3;

/// Turns whole groups of `train` into `val`, for a data set that names no `val`: models are chosen on them, so that `test` is only
/// looked at once. Each class with at least three groups gives one at least; no class gives its last. Says what was done.
pub fn hold_out(items: &mut [Item], val_fraction: f64, seed: u64) -> Option<String> {
    let in_train = |item: &Item| item.split.as_deref() == Some("train");
    // Items are many and groups are few: only these get names.
    let mut found: HashMap<Group<'_>, BTreeSet<&str>> = HashMap::new();
    for item in items.iter().filter(|item| in_train(item)) {
        found.entry(Group::of(item)).or_default().insert(item.label.as_deref().unwrap_or_default());
    }
    let groups: BTreeMap<String, (Group<'_>, BTreeSet<&str>)> =
        found.into_iter().map(|(group, classes)| (group.name(), (group, classes))).collect();
    // Of each class: groups in all, groups held out.
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for class in groups.values().flat_map(|(_, classes)| classes) {
        counts.entry(class).or_default().0 += 1;
    }
    // Independent of the hash that may have made the test split, or no group would be left below the fraction.
    let hashed = groups.iter().map(|(name, of)| (unit_hash(&format!("val {name}"), seed), of));
    let mut order: Vec<(f64, &(Group<'_>, BTreeSet<&str>))> = hashed.collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut held: HashSet<Group<'_>> = HashSet::new();
    for (hash, (group, classes)) in order {
        let mut of = classes.iter().map(|class| counts[class]);
        let affordable = of.clone().all(|(all, taken)| all >= ENOUGH_GROUPS && all - taken > 1);
        if affordable && (hash < val_fraction || of.any(|(_, taken)| taken == 0)) {
            held.insert(*group);
            for class in classes {
                counts.entry(class).or_default().1 += 1;
            }
        }
    }
    let (held_groups, all_groups) = (held.len(), groups.len());
    let is_held = |item: &Item| in_train(item) && held.contains(&Group::of(item));
    let chosen: Vec<bool> = items.iter().map(is_held).collect();
    let mut count = 0;
    for (item, _) in items.iter_mut().zip(chosen).filter(|(_, chosen)| *chosen) {
        item.split = Some("val".to_owned());
        count += 1;
    }
    (count > 0).then(|| {
        format!(
            "the data set names no validation part; {count} training items are val, {held_groups} of {all_groups} groups"
        )
    })
}

/// The group of an item. An item without one is a group of its own, which is not the group of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Group<'a> {
    Named(&'a str),
    Lone(&'a str),
}

impl Group<'_> {
    fn of(item: &Item) -> Group<'_> {
        item.group.as_deref().map_or(Group::Lone(&item.id), Group::Named)
    }

    fn name(self) -> String {
        match self {
            Group::Named(group) => format!("group {group}"),
            Group::Lone(id) => format!("item {id}"),
        }
    }
}

/// BLAKE3 of seed and name, as a number in 0..1 (53 bits).
fn unit_hash(group: &str, seed: u64) -> f64 {
    let digest = blake3::hash(format!("{seed} {group}").as_bytes());
    let mut head = [0; 8];
    head.copy_from_slice(&digest.as_bytes()[..8]);
    (u64::from_le_bytes(head) >> 11) as f64 / (1_u64 << 53) as f64
}
