//! `pipeline graph`: the stages, what reads what, and how far each is.

use std::fmt::Write as _;

use clap::{Args, ValueEnum};
use contract::Decl;

use crate::cli::choice::Choice;
use crate::cli::status::{Overview, open_what_can_be};
use crate::cli::{Common, print};
use crate::config::Config;
use crate::error::Result;
use crate::exit;
use crate::plan::Depth;

/// Options of `graph`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Stages to show, with what they read [default: all]
    #[arg(value_name = "STAGE")]
    stages: Vec<String>,
    /// How to draw it
    #[arg(long, value_enum, default_value_t = Form::Text)]
    form: Form,
    /// Without counts: no data set is looked at
    #[arg(long)]
    bare: bool,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    common: Common,
}

/// A way to draw a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A list in which each stage names what it reads
    Text,
    /// Graphviz
    Dot,
    /// Mermaid, which many wikis and README pages show as a picture
    Mermaid,
}

pub(super) fn execute(options: &Options) -> Result<u8> {
    let mut config = if options.bare { Config::default() } else { options.common.config()? };
    config.run.keep_frames |= options.bare;
    let chosen = options.choice.take(&options.stages, &[], &mut config)?;
    let nodes: Vec<Node> = if options.bare {
        chosen.0.into_iter().map(|stage| Node { stage, state: String::new(), current: false }).collect()
    } else {
        let session = open_what_can_be(&config, chosen, Depth::Glance)?;
        let overview = Overview::new(&session)?;
        let node = |stage: &&'static Decl| {
            let state = overview.state(stage.id).unwrap_or_else(|| format!("{} items", session.dataset.items.len()));
            Node { stage, current: overview.is_stage_current(stage.id), state }
        };
        session.selected.iter().map(node).collect()
    };
    print(&match options.form {
        Form::Text => as_text(&nodes),
        Form::Dot => as_dot(&nodes),
        Form::Mermaid => as_mermaid(&nodes),
    })?;
    Ok(exit::DONE)
}

struct Node {
    stage: &'static Decl,
    /// In plain words; empty where nobody looked.
    state: String,
    current: bool,
}

/// What a stage reads of those that are shown. Pictures only pass through memory unless they are kept, so their readers then read the list.
fn inputs<'a>(node: &'a Node, nodes: &'a [Node]) -> Vec<&'static str> {
    let shown = |id: &str| nodes.iter().any(|other| other.stage.id == id);
    let mut inputs: Vec<&'static str> = node.stage.inputs.iter().copied().filter(|id| shown(id)).collect();
    if inputs.is_empty() && node.stage.id != discover::DECL.id && shown(discover::DECL.id) {
        inputs.push(discover::DECL.id);
    }
    inputs
}

fn as_text(nodes: &[Node]) -> String {
    let mut text = String::new();
    for node in nodes {
        let inputs = inputs(node, nodes);
        let reads = if inputs.is_empty() { String::new() } else { format!("◀ {}", inputs.join(", ")) };
        let mark = match (node.state.is_empty(), node.current) {
            (true, _) => ' ',
            (false, true) => '✓',
            (false, false) => '•',
        };
        let line = format!("{mark} {:<15} {reads}", node.stage.id);
        if node.state.is_empty() {
            let _ = writeln!(text, "{}", line.trim_end());
        } else {
            let _ = writeln!(text, "{line:<60} {}", node.state);
        }
    }
    text
}

fn as_dot(nodes: &[Node]) -> String {
    let mut text =
        "digraph pipeline {\n  rankdir=LR;\n  node [shape=box, style=rounded, fontname=\"sans-serif\"];\n".to_string();
    for node in nodes {
        let label = if node.state.is_empty() { String::new() } else { format!("\\n{}", node.state.replace('"', "'")) };
        let style = if node.current { ", style=\"rounded,filled\", fillcolor=\"#d8ecd8\"" } else { "" };
        let _ = writeln!(text, "  \"{0}\" [label=\"{0}{label}\"{style}];", node.stage.id);
    }
    for node in nodes {
        for input in inputs(node, nodes) {
            let _ = writeln!(text, "  \"{input}\" -> \"{}\";", node.stage.id);
        }
    }
    text + "}\n"
}

fn as_mermaid(nodes: &[Node]) -> String {
    let mut text = "flowchart LR\n".to_string();
    for node in nodes {
        let label =
            if node.state.is_empty() { String::new() } else { format!("<br/>{}", node.state.replace('"', "'")) };
        let class = if node.current { ":::current" } else { "" };
        let _ = writeln!(text, "  {0}[\"{0}{label}\"]{class}", node.stage.id);
    }
    for node in nodes {
        for input in inputs(node, nodes) {
            let _ = writeln!(text, "  {input} --> {}", node.stage.id);
        }
    }
    text + "  classDef current fill:#d8ecd8,stroke:#3b7a3b\n"
}
