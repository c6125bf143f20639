//! The scripts as text: pure functions of what was submitted, so that `--dry-run` shows what would run.

use std::fmt::Write as _;

use crate::slurm::submission::Submission;

/// Indices as Slurm writes them: `1,3-5`.
pub fn ranges(indices: &[usize]) -> String {
    let mut parts: Vec<(usize, usize)> = Vec::new();
    for &index in indices {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == index => *last = index,
            _ => parts.push((index, index)),
        }
    }
    let part =
        |(first, last): &(usize, usize)| if first == last { first.to_string() } else { format!("{first}-{last}") };
    parts.iter().map(part).collect::<Vec<_>>().join(",")
}

/// The array over the shares that have something to do.
pub fn array(submission: &Submission) -> String {
    let mut text = head(submission, "features", &submission.lines);
    let limit = if submission.concurrent > 0 { format!("%{}", submission.concurrent) } else { String::new() };
    let _ = writeln!(text, "#SBATCH --array={}{limit}", ranges(&submission.tasks));
    let _ = writeln!(text, "#SBATCH --output={}", submission.folder.join("features-%a.log").display());
    let share = format!("--shards \"$SLURM_ARRAY_TASK_ID/{}\"", submission.shares);
    text + &body(
        submission,
        &format!("{} {share}", command(submission, &submission.item_stages)),
        "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID",
    )
}

/// The job behind it.
pub fn sets(submission: &Submission) -> String {
    let mut text = head(submission, "systems", &submission.set_lines);
    let _ = writeln!(text, "#SBATCH --output={}", submission.folder.join("systems.log").display());
    text + &body(submission, &command(submission, &submission.stages), "$SLURM_JOB_ID")
}

fn command(submission: &Submission, stages: &[String]) -> String {
    let stages: Vec<String> = stages.iter().map(|stage| quote(stage)).collect();
    let (program, config) =
        (quote(&submission.program.to_string_lossy()), quote(&submission.config().to_string_lossy()));
    // What a task was given is not what the machine has, where nothing confines it to that.
    let jobs =
        if submission.jobs_by_task { " ${SLURM_CPUS_PER_TASK:+--set run.jobs=$SLURM_CPUS_PER_TASK}" } else { "" };
    format!("{program} run {} --config {config}{jobs}", stages.join(" "))
}

fn head(submission: &Submission, name: &str, lines: &crate::slurm::params::Lines) -> String {
    let mut text = "#!/bin/bash\n".to_string();
    if !lines.contains_key("job-name") {
        let _ = writeln!(text, "#SBATCH --job-name=pipeline-{name}");
    }
    for (key, value) in lines {
        let value = value.to_string();
        let _ = if value.is_empty() {
            writeln!(text, "#SBATCH --{key}")
        } else {
            writeln!(text, "#SBATCH --{key}={value}")
        };
    }
    let _ = writeln!(text, "#SBATCH --chdir={}", submission.cwd.display());
    let _ = writeln!(text, "#SBATCH --signal=B:USR1@{}", submission.warning);
    text + "#SBATCH --requeue\n#SBATCH --open-mode=append\n#SBATCH --export=NONE\n"
}

fn body(submission: &Submission, command: &str, job: &str) -> String {
    let mut text = String::new();
    for (name, value) in &submission.environment {
        let _ = writeln!(text, "export {name}={}", quote(value));
    }
    for line in &submission.setup {
        let _ = writeln!(text, "{line}");
    }
    let _ = write!(
        text,
        "\
# The program runs beside this shell, so that signals reach it; it publishes what it has and ends with 75.
near_the_limit=
{command} &
program=$!
trap 'near_the_limit=yes; kill -USR1 $program 2>/dev/null' USR1
trap 'kill -TERM $program 2>/dev/null' TERM
while true; do
    wait $program
    code=$?
    kill -0 $program 2>/dev/null || break
done
# 4: done, and what failed is recorded.
[ $code = 4 ] && code=0
# Told that its time is nearly over, it goes on in another life of this task. A preempted one is run again by Slurm itself, and a
# cancelled one not at all.
if [ $code = 75 ] && [ -n \"$near_the_limit\" ] && [ \"${{SLURM_RESTART_COUNT:-0}}\" -lt {requeues} ]; then
    scontrol requeue {job} && sleep 60
fi
exit $code
",
        requeues = submission.requeues
    );
    text
}

/// A word for the shell.
pub fn quote(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./=:,@%+".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_string()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_are_written_as_ranges() {
        assert_eq!(ranges(&[1, 2, 3, 7, 9, 10]), "1-3,7,9-10");
        assert_eq!(ranges(&[4]), "4");
        assert_eq!(ranges(&[]), "");
    }

    #[test]
    fn words_survive_the_shell() {
        for word in ["plain", "with space", "it's", "$HOME `x` \"q\"", "", "a\nb"] {
            let output = std::process::Command::new("sh").arg("-c").arg(format!("printf %s {}", quote(word))).output();
            assert_eq!(output.expect("sh").stdout, word.as_bytes(), "{word:?}");
        }
    }
}
