//! The declaration of a stage.

/// How a stage sees the data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One clip in, one value out; order is irrelevant.
    Item,
    /// Sees the whole data set.
    Set,
}

/// What the runner needs to know of a stage without running it.
#[derive(Debug, Clone, Copy)]
pub struct Decl {
    /// Name of the stage, of its crate, of its table in `pipeline.toml` and of its folder in the work directory.
    pub id: &'static str,
    /// Semantic version of the output. Bumped whenever the same input and parameters give other values; part of every key.
    pub version: u32,
    /// Item stage or set stage.
    pub kind: Kind,
    /// Ids of the stages whose output this one reads. They come earlier in the registry.
    pub inputs: &'static [&'static str],
    /// What it makes of what, in one sentence without a full stop.
    pub summary: &'static str,
}
