//! `pipeline verify`

use std::path::Path;

use clap::Args;
use rayon::prelude::*;
use shard::Shard;

use crate::cli::{Common, print};
use crate::error::{IoContext, Result, ShardContext};
use crate::store::WorkDir;
use crate::store::index::{Index, set_aside};
use crate::store::publish::remove;
use crate::ui::plural;
use crate::{exit, registry};

/// Options of `verify`.
#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    common: Common,
}

pub(super) fn execute(options: &Options) -> Result<u8> {
    let work = options.common.config()?.work_dir();
    let (mut checked, mut damaged) = (0, 0);
    for stage in registry::item_stages() {
        let index = Index::open(&work, stage.id, true)?;
        for file in &index.damaged {
            damaged += 1;
            print(&format!("damaged: {}: {}; set aside\n", file.path.display(), file.message))?;
        }
        for file in &index.files {
            checked += 1;
            let outcome = Shard::open(&file.path).and_then(|shard| shard.check_data()).in_shard(&file.path);
            if let Err(error) = outcome {
                if !error.is_damage() {
                    return Err(error);
                }
                damaged += 1;
                print(&format!("damaged: {error}; set aside\n"))?;
                set_aside(&file.path, &file.stamp())?;
                continue;
            }
            if stage.id == extract_frames::DECL.id {
                for name in bad_pictures(&work, &file.path)? {
                    damaged += 1;
                    print(&format!("damaged: {name}: not the bytes that were published; removed\n"))?;
                    remove(&work.stage(stage.id).join(name))?;
                }
            }
        }
    }
    let verdict = if damaged == 0 {
        "all good".to_string()
    } else {
        format!("{} damaged; `pipeline run` computes what they held again", plural(damaged, "file"))
    };
    print(&format!("{} checked: {verdict}\n", plural(checked, "shard")))?;
    Ok(if damaged == 0 { exit::DONE } else { exit::FAILED })
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
