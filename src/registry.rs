//! The stages, in topological order: a stage may only read what stands above it. Laws about this slice are tests below.

use contract::{Decl, Kind};

/// Every stage of the product.
pub const STAGES: &[Decl] = &[
    discover::DECL,
    extract_frames::DECL,
    log_mel::DECL,
    encode_clip::DECL,
    zero_shot::DECL,
    linear_probe::DECL,
    audio::DECL,
    audio_visual::DECL,
    late_fusion::DECL,
    evaluate::DECL,
    report::DECL,
];

/// The stages that gather what systems say. They read whichever systems there are.
pub const GATHERING: [&str; 3] = ["late-fusion", "evaluate", "report"];

/// Whether a stage is a system: fitted on the data set, judging its clips.
pub fn is_system(stage: &Decl) -> bool {
    stage.kind == Kind::Set && !GATHERING.contains(&stage.id)
}

/// The stage with this id.
pub fn find(id: &str) -> Option<&'static Decl> {
    STAGES.iter().find(|decl| decl.id == id)
}

/// The stages named on the command line, as a selection in topological order.
///
/// A named stage brings the stages that it reads, except that `extract-frames` is only selected by its own name or by
/// `keep_frames`: everything that reads pictures can stream them. `all` is every stage. A stage in `skip` is brought by no other
/// and not by `all`; what reads several does without it. With systems named beside a stage that gathers (`run linear-probe
/// evaluate`), it gathers from those alone.
pub fn select(names: &[String], keep_frames: bool, skip: &[String]) -> Result<Vec<&'static Decl>, String> {
    for name in skip {
        known(name)?;
    }
    let brought = |id: &str| (keep_frames || id != extract_frames::DECL.id) && !skip.iter().any(|s| s == id);
    // Every stage needs the list of items, whether it reads pictures through memory or through files.
    let mut wanted: Vec<&'static str> = vec![discover::DECL.id];
    for name in names {
        if name == "all" {
            wanted.extend(STAGES.iter().map(|s| s.id).filter(|id| brought(id)));
        } else {
            wanted.push(known(name)?.id);
        }
    }
    let named_systems = names.iter().filter_map(|name| find(name)).any(is_system);
    let is_judged = |id: &str| id == GATHERING[0] || find(id).is_some_and(is_system);
    for stage in STAGES.iter().rev() {
        if wanted.contains(&stage.id) {
            let leaves = |id: &str| named_systems && GATHERING.contains(&stage.id) && is_judged(id);
            wanted.extend(stage.inputs.iter().filter(|id| brought(id) && !leaves(id)));
        }
    }
    Ok(STAGES.iter().filter(|s| wanted.contains(&s.id)).collect())
}

/// The stage with this id, or what to write instead.
fn known(name: &str) -> Result<&'static Decl, String> {
    find(name).ok_or_else(|| {
        let known: Vec<&str> = std::iter::once("all").chain(STAGES.iter().map(|s| s.id)).collect();
        let hint = crate::config::nearest(name, known.iter().copied())
            .map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        format!("there is no stage `{name}`{hint} (stages: {})", known.join(", "))
    })
}

/// Whether a stage reads another, directly or through others; each reads itself.
pub fn reads(stage: &Decl, other: &Decl) -> bool {
    stage.id == other.id || stage.inputs.iter().filter_map(|id| find(id)).any(|input| reads(input, other))
}

/// The item stages that keep their output in shards, in topological order.
pub fn item_stages() -> impl Iterator<Item = &'static Decl> {
    STAGES.iter().filter(|s| s.kind == Kind::Item && s.id != discover::DECL.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_only_point_backwards() {
        for (position, stage) in STAGES.iter().enumerate() {
            for input in stage.inputs {
                let at = STAGES.iter().position(|s| s.id == *input);
                assert!(
                    at.is_some_and(|at| at < position),
                    "{} reads {input}, which does not stand above it",
                    stage.id
                );
            }
        }
    }

    #[test]
    fn ids_are_unique_names_of_folders() {
        for stage in STAGES {
            assert_eq!(STAGES.iter().filter(|s| s.id == stage.id).count(), 1);
            assert!(stage.id.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{}", stage.id);
            assert!(stage.version >= 1);
            assert!(!stage.summary.is_empty() && !stage.summary.ends_with('.'), "{}", stage.id);
        }
    }

    #[test]
    fn an_item_stage_reads_no_set_stage() {
        for stage in STAGES.iter().filter(|s| s.kind == Kind::Item) {
            assert!(stage.inputs.iter().all(|i| find(i).is_some_and(|s| s.kind == Kind::Item)), "{}", stage.id);
        }
    }

    #[test]
    fn a_named_stage_brings_what_it_reads() {
        let ids = |names: &[&str], keep| -> Vec<&str> {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            select(&names, keep, &[]).expect("known").iter().map(|s| s.id).collect()
        };
        assert_eq!(ids(&["log-mel"], false), ["discover", "log-mel"]);
        assert_eq!(ids(&["encode-clip"], false), ["discover", "encode-clip"]);
        assert_eq!(ids(&["extract-frames"], false), ["discover", "extract-frames"]);
        assert_eq!(ids(&["linear-probe"], true), ["discover", "extract-frames", "encode-clip", "linear-probe"]);
        assert!(!ids(&["all"], false).contains(&"extract-frames"));
        assert_eq!(ids(&["all"], true).len(), STAGES.len());
    }

    #[test]
    fn a_skipped_stage_is_brought_by_nothing_but_its_name() {
        let ids = |names: &[&str], skip: &str| -> Vec<&str> {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            select(&names, false, &[skip.to_string()]).expect("known").iter().map(|s| s.id).collect()
        };
        assert!(!ids(&["all"], "linear-probe").contains(&"linear-probe"));
        assert!(ids(&["all", "linear-probe"], "linear-probe").contains(&"linear-probe"));
        assert!(select(&["all".to_string()], false, &["linear-prob".to_string()]).is_err());
    }

    #[test]
    fn a_mistyped_stage_gets_a_suggestion() {
        let message = select(&["log-mell".to_string()], false, &[]).expect_err("unknown");
        assert!(message.contains("did you mean `log-mel`?"), "{message}");
    }
}
