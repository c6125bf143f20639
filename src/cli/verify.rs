//! `pipeline verify`: is the store what it says, and is it what the configuration asks for?

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use clap::Args;
use contract::{Decl, Kind};
use rayon::prelude::*;
use shard::Shard;

use crate::cli::{Common, print};
use crate::error::{Error, IoContext, Result, ShardContext};
use crate::plan::{Depth, Part, StagePlan};
use crate::selection::Wanted;
use crate::session::Session;
use crate::store::WorkDir;
use crate::store::index::{Index, set_aside_as};
use crate::store::layout::parse_shard_name;
use crate::store::products::Products;
use crate::store::publish::remove;
use crate::ui::plural;
use crate::{exit, registry};

/// Options of `verify`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Read every value and every picture, too, and compare them with their digests; without, only structure, keys and row counts are
    /// looked at
    #[arg(long)]
    read_data: bool,
    #[command(flatten)]
    common: Common,
}

/// What was found.
#[derive(Default)]
struct Found {
    shards: usize,
    /// Files that are not what they should be.
    bad: usize,
    /// Shards that the plan wants and that are not there, or are there with other keys.
    due: usize,
}

pub(super) fn execute(options: &Options) -> Result<u8> {
    let config = options.common.config()?;
    let work = config.work_dir();
    let mut found = Found::default();
    for stage in registry::item_stages() {
        check_stage(stage, &work, options.read_data, &mut found)?;
    }
    for stage in registry::STAGES.iter().filter(|stage| stage.kind == Kind::Set) {
        if let Some(name) = Products::new(work.stage(stage.id)).damaged() {
            found.bad += 1;
            let path = work.stage(stage.id).join(name);
            print(&format!("damaged: {}: missing, or not the bytes that were published\n", path.display()))?;
        }
    }
    match config.data() {
        Ok(_) => {
            let present: Vec<String> = registry::item_stages()
                .filter(|stage| has_shards(&work, stage))
                .map(|stage| stage.id.to_string())
                .collect();
            let selected = registry::select(&present, present.iter().any(|s| s == extract_frames::DECL.id), &[]);
            let chosen = (selected.map_err(Error::Usage)?, Part::default(), Wanted::default());
            let session = super::status::open_what_can_be(&config, chosen, Depth::Look)?;
            compare_with_plan(&session, &mut found)?;
        }
        Err(_) => print("note: no data set is named, so keys are not compared with a manifest (--data PATH)\n")?,
    }
    let depth = if options.read_data { "read whole" } else { "checked (--read-data reads every value, too)" };
    let mut verdict = Vec::new();
    if found.bad > 0 {
        verdict.push(format!("{} damaged or foreign", plural(found.bad, "file")));
    }
    if found.due > 0 {
        verdict.push(format!("{} missing or out of date", plural(found.due, "shard")));
    }
    let verdict = match verdict.len() {
        0 if found.shards == 0 => format!("nothing is stored in {}", work.root().display()),
        0 => "all good".to_string(),
        _ => format!("{}; `pipeline run` computes what is not there any more", verdict.join(", ")),
    };
    print(&format!("{} {depth}: {verdict}\n", plural(found.shards, "shard")))?;
    Ok(if found.bad == 0 { exit::DONE } else { exit::FAILED })
}

/// Shards and parts of a stage, each by itself. What is wrong is named and set aside, where no run looks.
fn check_stage(stage: &'static Decl, work: &WorkDir, read_data: bool, found: &mut Found) -> Result<()> {
    let index = Index::open(work, stage.id, true)?;
    for file in &index.damaged {
        found.bad += 1;
        print(&format!("damaged: {}: {}; set aside\n", file.path.display(), file.message))?;
    }
    for file in &index.files {
        found.shards += 1;
        let outcome = Shard::open(&file.path)
            .and_then(|shard| {
                if read_data { shard.check_data() } else { shard.check() }?;
                Ok(belongs_elsewhere(&shard, stage, &file.path))
            })
            .in_shard(&file.path);
        let (word, message) = match outcome {
            Ok(None) => {
                if read_data && stage.id == extract_frames::DECL.id {
                    for name in bad_pictures(work, &file.path)? {
                        found.bad += 1;
                        print(&format!("damaged: {name}: not the bytes that were published; removed\n"))?;
                        remove(&work.stage(stage.id).join(name))?;
                    }
                }
                continue;
            }
            Ok(Some(whose)) => ("foreign", format!("{}: {whose}", file.path.display())),
            Err(error) if error.is_damage() => ("damaged", error.to_string()),
            Err(error) => return Err(error),
        };
        found.bad += 1;
        print(&format!("{word}: {message}; set aside\n"))?;
        set_aside_as(&file.path, &file.stamp(), word)?;
    }
    Ok(())
}

/// What a good shard is, where it is not one for this place.
fn belongs_elsewhere(shard: &Shard, stage: &Decl, path: &Path) -> Option<String> {
    let header = shard.header();
    if header.stage != stage.id {
        return Some(format!("a shard of {}, not of {}", header.stage, stage.id));
    }
    let place = path.file_name().and_then(|name| parse_shard_name(name.to_str()?));
    match (header.position, place) {
        (Some((index, count)), Some(place)) if (index as usize, count as usize) != place => {
            Some(format!("it is shard {index} of {count}"))
        }
        _ => None,
    }
}

fn has_shards(work: &WorkDir, stage: &Decl) -> bool {
    let names = std::fs::read_dir(work.stage(stage.id)).into_iter().flatten().flatten();
    names.map(|entry| entry.file_name()).any(|name| name.to_str().is_some_and(|name| parse_shard_name(name).is_some()))
}

/// Names what the plan wants and does not find. That is no damage: a run computes, or copies, what is not there.
fn compare_with_plan(session: &Session, found: &mut Found) -> Result<()> {
    for plan in &session.plans {
        let there: HashSet<&PathBuf> = plan.index.files.iter().map(|file| &file.path).collect();
        for (k, shard) in plan.shards.iter().enumerate().filter(|(_, shard)| shard.stale.is_some()) {
            found.due += 1;
            let path = session.work.shard(plan.decl.id, k, plan.shards.len());
            let (items, due) = (plural(shard.items.len(), "item"), due(plan, k));
            let word = if there.contains(&path) { "out of date" } else { "missing" };
            print(&format!("{word}: {} ({items}, of which {due} to compute)\n", path.display()))?;
        }
    }
    Ok(())
}

fn due(plan: &StagePlan, shard: usize) -> usize {
    let states = plan.shards[shard].stale.iter().flatten();
    states.filter(|state| matches!(state, crate::plan::ItemState::Due(_))).count()
}

/// Pictures that are there but do not have the digest that their row says. A missing one is found by every plan.
fn bad_pictures(work: &WorkDir, path: &Path) -> Result<Vec<String>> {
    let shard = Shard::open(path).in_shard(path)?;
    let folder = work.stage(extract_frames::DECL.id);
    let mut found = Vec::new();
    for (position, item) in shard.items().iter().enumerate().filter(|(_, item)| item.outcome.is_ok()) {
        let rows = shard.rows(position).in_shard(path)?;
        let Some(contract::Values::U8(digests)) = rows.column("digest").map(|column| &column.values) else { continue };
        let bad: Vec<Option<String>> = digests
            .par_chunks_exact(32)
            .enumerate()
            .map(|(row, digest)| {
                for format in extract_frames::Format::ALL {
                    let name = extract_frames::picture_name(&item.id, row as u32 + 1, format);
                    match std::fs::read(folder.join(&name)) {
                        Ok(bytes) if blake3::hash(&bytes).as_bytes() != digest => return Ok(Some(name)),
                        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                            return Err(error).at("read", &folder.join(&name));
                        }
                        _ => {}
                    }
                }
                Ok(None)
            })
            .collect::<Result<_>>()?;
        found.extend(bad.into_iter().flatten());
    }
    Ok(found)
}
