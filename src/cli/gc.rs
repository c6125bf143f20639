//! `pipeline gc`

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::{Common, print};
use crate::error::{Error, Result};
use crate::plan::{Depth, ItemState};
use crate::session::Session;
use crate::store::publish::{remove, sweep_temporaries};
use crate::ui::plural;
use crate::{exit, registry};

/// Options of `gc`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    common: Common,
}

pub(super) fn execute(options: &Options) -> Result<u8> {
    let config = options.common.config()?;
    let selected = registry::select(&["all".to_string()], true, &[]).map_err(Error::Usage)?;
    let session = Session::open(config, selected, Depth::Look)?;
    let (mut files, mut bytes) = (0, 0);
    for plan in &session.plans {
        // A part is needed while a stale shard will copy from it.
        let needed: HashSet<usize> = plan
            .shards
            .iter()
            .flat_map(|shard| shard.stale.iter().flatten())
            .filter_map(|state| match state {
                ItemState::Known(at) => Some(at.file),
                ItemState::Due(_) | ItemState::LeftOut => None,
            })
            .collect();
        // A file whose content was not hashed yet may turn out to be in a part: nothing goes while one is open.
        let undecided = plan.counts().not_hashed > 0;
        let parts = session.work.parts(plan.decl.id);
        for (position, file) in plan.index.files.iter().enumerate() {
            if undecided || needed.contains(&position) || !file.path.starts_with(&parts) {
                continue;
            }
            files += 1;
            bytes += file.size();
            let (verb, items) = (verb(options.dry_run), plural(file.items.len(), "item"));
            print(&format!("{verb} {} ({items})\n", file.path.display()))?;
            if !options.dry_run {
                remove(&file.path)?;
            }
        }
        for folder in [session.work.stage(plan.decl.id), parts.clone()] {
            for (path, size) in set_aside(&folder) {
                files += 1;
                bytes += size;
                print(&format!("{} {} (set aside)\n", verb(options.dry_run), path.display()))?;
                if !options.dry_run {
                    remove(&path)?;
                }
            }
        }
        if !options.dry_run {
            sweep_temporaries(&session.work.stage(plan.decl.id));
            sweep_temporaries(&parts);
        }
    }
    let verb = if options.dry_run { "to free" } else { "freed" };
    print(&format!("{}, {:.1} MB {verb}\n", plural(files, "file"), bytes as f64 / 1e6))?;
    Ok(exit::DONE)
}

fn verb(dry_run: bool) -> &'static str {
    if dry_run { "would remove" } else { "removed" }
}

/// Shards that were found damaged or foreign, and their sizes: what they held was computed again, or is about to be.
fn set_aside(folder: &Path) -> Vec<(PathBuf, u64)> {
    let is_set_aside = |path: &Path| path.extension().is_some_and(|end| end == "damaged" || end == "foreign");
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let sized = |entry: std::fs::DirEntry| Some((entry.path(), entry.metadata().ok()?.len()));
    let mut found: Vec<_> = entries.filter_map(sized).filter(|(path, _)| is_set_aside(path)).collect();
    found.sort();
    found
}
