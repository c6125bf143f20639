//! An answer that was worked out before, and every file that it rests on: while these are as they were, it is given again at once.
//!
//! `status` of a million items reads half a gigabyte of tables to say that nothing has changed; looking at the few thousand files that the
//! tables, shards and products are takes a hundredth of the time. Media files are not among them: see [`Depth::Glance`].
//!
//! [`Depth::Glance`]: crate::plan::Depth::Glance

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use encode_clip::Checkpoint;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::plan::StagePlan;
use crate::registry;
use crate::session::Session;
use crate::store::WorkDir;
use crate::store::digests::Stamp;
use crate::store::products::KEY_FILE;
use crate::store::publish::publish_bytes;
use crate::store::sealed::{seal, unseal};

/// What was asked: another question is not answered by this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question([u8; 32]);

impl Question {
    /// The state of everything under a configuration, with its model where a run would find it now. `None`: it is not found, and no file
    /// could tell when it will be.
    pub fn of(config: &Config) -> Option<Question> {
        let model = Checkpoint::locate(&config.encode_clip.model).ok()?;
        let mut hasher = blake3::Hasher::new();
        let mut add = |text: &str| {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        };
        add(env!("CARGO_PKG_VERSION"));
        add(&toml::to_string(config).expect("a configuration can be written"));
        let (data, work, model) = (config.data().ok(), config.work_dir(), model.files());
        for path in data.into_iter().chain([work.root()]).chain(model.iter().map(PathBuf::as_path)) {
            add(&std::path::absolute(path).as_deref().unwrap_or(path).to_string_lossy());
        }
        Some(Question(*hasher.finalize().as_bytes()))
    }
}

/// An answer, as text and as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// For people.
    pub text: String,
    /// For programs.
    pub json: String,
}

/// What is published.
#[derive(Debug, Serialize, Deserialize)]
struct Remembered {
    question: Question,
    files: Vec<(PathBuf, Option<Stamp>)>,
    variables: Vec<(String, String)>,
    answer: Answer,
}

/// The answer to this question, if it was worked out before and everything that it rests on is as it was.
pub fn recall(work: &WorkDir, question: &Question) -> Option<Answer> {
    let remembered: Remembered = postcard::from_bytes(&unseal(fs::read(work.status()).ok()?)?).ok()?;
    let is_same = |(path, stamp): &(PathBuf, Option<Stamp>)| Stamp::of(path).ok() == *stamp;
    let holds = remembered.question == *question
        && remembered.variables.iter().all(|(name, value)| std::env::var(name).ok().as_ref() == Some(value))
        && remembered.files.par_iter().all(is_same);
    holds.then_some(remembered.answer)
}

/// Remembers what a session answers, which was opened after `begun_ns`. A data set that was found by searching folders is searched each
/// time, and nothing is remembered of it, nor of files that have changed since, or just before.
pub fn remember(session: &Session, question: &Question, begun_ns: i64, answer: &Answer) {
    let (work, Some(origin)) = (&session.work, &session.dataset.origin) else { return };
    // Where nothing was ever run, nothing is written.
    if !work.index(discover::DECL.id).parent().is_some_and(Path::is_dir) {
        return;
    }
    let mut paths: BTreeSet<PathBuf> = origin.files.iter().cloned().collect();
    paths.extend(session.digests.asked());
    paths.insert(work.digests());
    if !session.plans.iter().all(StagePlan::is_current) {
        // Their history tells how long what is due will take.
        paths.insert(work.runs());
    }
    for stage in registry::STAGES {
        let folder = work.stage(stage.id);
        paths.extend([work.parts(stage.id), work.index(stage.id), folder.join(KEY_FILE), folder]);
    }
    let stamped = |path: PathBuf| {
        let stamp = Stamp::of(&path).ok();
        (path, stamp)
    };
    let mut files: Vec<_> = paths.into_iter().map(stamped).collect();
    for plan in &session.plans {
        files.extend(plan.index.files.iter().map(|file| (file.path.clone(), Some(file.stamp()))));
    }
    if !files.iter().filter_map(|(_, stamp)| *stamp).all(|stamp| stamp.is_settled_at(begun_ns)) {
        return;
    }
    let remembered =
        Remembered { question: question.clone(), files, variables: origin.variables.clone(), answer: answer.clone() };
    // Somebody who may only read the work directory gets the answer all the same.
    let _ = publish_bytes(&work.status(), &seal(postcard::to_stdvec(&remembered).expect("plain data")));
}
