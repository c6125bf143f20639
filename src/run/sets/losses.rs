//! How much of each class is left: a system that learned from a class of which most clips failed would look judged and be none.

use std::collections::BTreeMap;

use contract::Cause;

use crate::error::{Error, Result};
use crate::registry;
use crate::resolve::Source;
use crate::run::sets::features::Features;
use crate::run::sets::system::labelled;
use crate::session::Session;
use crate::ui::plural;

/// Refuses to go on when more than `run.max_class_loss` of a class has failed in a stage that a selected system reads.
pub fn check(session: &Session) -> Result<()> {
    let limit = session.config.run.max_class_loss;
    let systems: Vec<_> = session.selected.iter().filter(|stage| registry::is_system(stage)).collect();
    for plan in &session.plans {
        let Some(reader) = systems.iter().find(|system| system.inputs.contains(&plan.decl.id)) else { continue };
        let features = Features::open(session, plan.decl.id, reader.id)?;
        let mut classes = vec![(0_usize, BTreeMap::<Cause, usize>::new()); session.dataset.classes.len()];
        for clip in labelled(session) {
            // What the data set never had is not lost: a sound file among videos has no pictures.
            if plan.source != Source::Imported && plan.source.path(&session.dataset.items[clip.item]).is_none() {
                continue;
            }
            let (clips, failed) = &mut classes[clip.class];
            *clips += 1;
            if let Some(failure) = features.failure(clip.item)? {
                *failed.entry(failure.cause).or_default() += 1;
            }
        }
        for ((clips, causes), class) in classes.iter().zip(&session.dataset.classes) {
            let failed: usize = causes.values().sum();
            if *clips == 0 {
                let message = format!(
                    "no clip of the class `{class}` has a file for it, so {} could not know the class: --set \
                     'run.skip=[\"{}\"]' goes on without that system",
                    reader.id, reader.id
                );
                return Err(Error::Stage { stage: plan.decl.id, message });
            }
            if failed as f64 > limit * *clips as f64 {
                let causes: Vec<String> = causes.iter().map(|(cause, n)| format!("{cause}: {n}")).collect();
                let message = format!(
                    "{failed} of {} of the class `{class}` failed ({}), more than run.max_class_loss = {limit} allows: \
                     `pipeline failures` lists them, `pipeline retry` tries them again, and --set run.max_class_loss=1 \
                     goes on without them",
                    plural(*clips, "clip"),
                    causes.join(", ")
                );
                return Err(Error::Stage { stage: plan.decl.id, message });
            }
        }
    }
    Ok(())
}
