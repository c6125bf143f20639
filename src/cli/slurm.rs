//! `pipeline slurm submit|status|logs|retry|cancel`

use std::fmt::Write as _;

use clap::{Args, Subcommand};

use crate::cli::choice::Skip;
use crate::cli::{Common, print, print_json};
use crate::error::{Error, IoContext, Result};
use crate::exit;
use crate::plan::Depth;
use crate::session::Session;
use crate::slurm::progress::Progress;
use crate::slurm::submission::{Asked, Submission};
use crate::slurm::{queue, script};
use crate::store::publish::publish_bytes;
use crate::ui::plural;

/// Options of `slurm`.
#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Submit a job array over the shards that are due, and a job for the systems behind it
    Submit(Submit),
    /// Show how far the latest submission is: tasks, items, rate, time left
    Status(Status),
    /// Show the log of a task, or where the logs are
    Logs(Logs),
    /// Submit again what is missing, as the latest submission was
    Retry(Retry),
    /// Cancel the jobs of the latest submission
    Cancel(Cancel),
}

#[derive(Debug, Args)]
struct Submit {
    /// Stages to run
    #[arg(value_name = "STAGE", default_value = "all")]
    stages: Vec<String>,
    #[command(flatten)]
    skip: Skip,
    /// Lines of [slurm.profiles.NAME] over those of [slurm.sbatch]
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// A line for the scheduler over those of pipeline.toml, e.g. time=02:00:00; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    sbatch: Vec<String>,
    /// Only show the scripts
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Status {
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Logs {
    /// The task by its number, or `systems`
    task: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Retry {
    /// Another profile than before
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// A line for the scheduler over those of pipeline.toml; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    sbatch: Vec<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Cancel {
    #[command(flatten)]
    common: Common,
}

pub(super) fn execute(options: &Options) -> Result<u8> {
    match &options.command {
        Command::Submit(options) => {
            let asked = Asked {
                stages: options.stages.clone(),
                skip: options.skip.names(),
                profile: options.profile.clone(),
                sbatch: options.sbatch.clone(),
                max_array: queue::max_array_size(),
            };
            submit(&options.common, &asked, options.dry_run)
        }
        Command::Status(options) => status(options),
        Command::Logs(options) => logs(options),
        Command::Retry(options) => retry(options),
        Command::Cancel(options) => cancel(options),
    }
}

fn session(common: &Common, stages: &[String], skip: &[String]) -> Result<Session> {
    let mut config = common.config()?;
    let selected = Skip::these(skip).select(stages, &mut config)?;
    Session::open(config, selected, Depth::Look)
}

fn submit(common: &Common, asked: &Asked, dry_run: bool) -> Result<u8> {
    let session = session(common, &asked.stages, &asked.skip)?;
    let mut submission = Submission::plan(&session, asked)?;
    let sets_due =
        submission.has_sets && (!submission.tasks.is_empty() || !super::status::Overview::new(&session)?.is_current());
    if submission.tasks.is_empty() && !sets_due {
        print("everything is done: nothing to submit\n")?;
        return Ok(exit::DONE);
    }
    let (array, sets) = (script::array(&submission), script::sets(&submission));
    if dry_run {
        if !submission.tasks.is_empty() {
            print(&format!("{array}\n"))?;
        }
        if sets_due {
            print(&sets)?;
        }
        return Ok(exit::WORK_IS_DUE);
    }
    submission.write(&session.config)?;
    if !submission.tasks.is_empty() {
        let path = submission.folder.join("features.sh");
        publish_bytes(&path, array.as_bytes())?;
        submission.array = Some(queue::submit(&path, None)?);
        // Known from here on, whatever becomes of the job behind it.
        submission.save()?;
    }
    if sets_due {
        let path = submission.folder.join("systems.sh");
        publish_bytes(&path, sets.as_bytes())?;
        submission.sets = Some(queue::submit(&path, submission.array.as_deref())?);
        submission.save()?;
    }
    let mut text = String::new();
    if let Some(array) = &submission.array {
        let tasks = plural(submission.tasks.len(), "task");
        let _ = writeln!(text, "submitted array {array}: {tasks} for {}", plural(submission.items, "item"));
    }
    if let Some(sets) = &submission.sets {
        let after = if submission.array.is_some() { ", which starts when all of them are done" } else { "" };
        let _ = writeln!(text, "submitted job {sets}: the systems{after}");
    }
    let _ = writeln!(text, "scripts, configuration and logs: {}", submission.folder.display());
    let _ = writeln!(text, "watch it with: pipeline slurm status --work {}", session.work.root().display());
    print(&text)?;
    Ok(exit::DONE)
}

fn latest(common: &Common) -> Result<Submission> {
    let work = common.config()?.work_dir();
    // One that Slurm did not take has no job.
    let taken = |submission: &Submission| submission.array.is_some() || submission.sets.is_some();
    Submission::all(&work)?.into_iter().find(taken).ok_or_else(|| {
        Error::Usage(format!("nothing was submitted for {}: `pipeline slurm submit` does it", work.root().display()))
    })
}

fn retry(options: &Retry) -> Result<u8> {
    let before = latest(&options.common)?;
    let jobs: Vec<&str> = before.array.iter().chain(&before.sets).map(String::as_str).collect();
    let alive = queue::states(&jobs)?.into_values().filter(|state| !state.is_over()).count();
    if alive > 0 {
        let message = format!(
            "{} of the latest submission have not ended: `pipeline slurm status` shows them, `pipeline slurm cancel` ends them",
            plural(alive, "task")
        );
        return Err(Error::Usage(message));
    }
    let asked = Asked {
        stages: before.stages,
        skip: before.skip,
        profile: options.profile.clone(),
        sbatch: options.sbatch.clone(),
        max_array: queue::max_array_size(),
    };
    submit(&options.common, &asked, false)
}

fn cancel(options: &Cancel) -> Result<u8> {
    let submission = latest(&options.common)?;
    let jobs: Vec<&str> = submission.array.iter().chain(&submission.sets).map(String::as_str).collect();
    queue::cancel(&jobs)?;
    print(&format!("cancelled {}; what was published is kept\n", jobs.join(", ")))?;
    Ok(exit::DONE)
}

fn logs(options: &Logs) -> Result<u8> {
    let submission = latest(&options.common)?;
    let Some(task) = &options.task else {
        print(&format!("{}\n", submission.folder.join("features-TASK.log").display()))?;
        print(&format!("{}\n", submission.folder.join("systems.log").display()))?;
        return Ok(exit::DONE);
    };
    let name = if task == "systems" { "systems.log".to_string() } else { format!("features-{task}.log") };
    let path = submission.folder.join(name);
    print(&std::fs::read_to_string(&path).at("read", &path)?)?;
    Ok(exit::DONE)
}

fn status(options: &Status) -> Result<u8> {
    let submission = latest(&options.common)?;
    let session = session(&options.common, &submission.stages, &submission.skip)?;
    let jobs: Vec<&str> = submission.array.iter().chain(&submission.sets).map(String::as_str).collect();
    let states = queue::states(&jobs)?;
    let progress = Progress::new(&submission, &session.plans, &states);
    if options.json {
        print_json(&progress)?;
    } else {
        print(&progress.to_string())?;
    }
    Ok(exit::DONE)
}
