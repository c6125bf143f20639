//! The labelled clips as the probe sees them: vectors, classes, groups, splits.

use crate::Error;

/// Labelled clips. Each has one vector, or with `frame = "all"` one per picture.
#[derive(Debug, Clone, Default)]
pub struct Clips {
    dim: usize,
    x: Vec<f32>,
    all: Vec<Clip>,
}

/// One clip.
#[derive(Debug, Clone)]
pub(crate) struct Clip {
    /// First row of `x` and number of rows.
    pub(crate) first: usize,
    pub(crate) rows: usize,
    pub(crate) class: usize,
    pub(crate) group: String,
    pub(crate) split: Option<String>,
}

impl Clips {
    /// No clips; vectors will have `dim` features.
    pub fn new(dim: usize) -> Self {
        Clips { dim, ..Clips::default() }
    }

    /// Adds a clip: its `vectors` as [`represent`](crate::represent) gave them, its class number, the group that must not be
    /// torn apart (`None`: a group of its own) and its split.
    pub fn push(
        &mut self,
        vectors: &[f32],
        class: usize,
        group: Option<&str>,
        split: Option<&str>,
    ) -> Result<(), Error> {
        if self.dim == 0 || vectors.is_empty() || !vectors.len().is_multiple_of(self.dim) {
            return Err(Error::Shape { values: vectors.len(), items: 1, features: self.dim });
        }
        let (first, rows) = (self.x.len() / self.dim, vectors.len() / self.dim);
        // The prefixes keep a group `3` and the lone clip number 3 apart.
        let group = group.map_or_else(|| format!("clip {}", self.all.len()), |group| format!("group {group}"));
        self.all.push(Clip { first, rows, class, group, split: split.map(str::to_owned) });
        self.x.extend_from_slice(vectors);
        Ok(())
    }

    /// Number of clips.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Features of a vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The vectors of a clip, `[vectors][dim]`.
    pub fn vectors(&self, clip: usize) -> &[f32] {
        let Clip { first, rows, .. } = self.all[clip];
        &self.x[first * self.dim..][..rows * self.dim]
    }

    pub(crate) fn clip(&self, clip: usize) -> &Clip {
        &self.all[clip]
    }

    /// Positions of the clips whose split is one of these.
    pub(crate) fn in_splits(&self, splits: &[String]) -> Vec<usize> {
        let chosen = |clip: &Clip| clip.split.as_ref().is_some_and(|split| splits.contains(split));
        (0..self.all.len()).filter(|at| chosen(&self.all[*at])).collect()
    }

    /// The rows of these clips one after the other, with their classes.
    pub(crate) fn gather(&self, chosen: &[usize]) -> (Vec<f32>, Vec<usize>) {
        let (mut x, mut y) = (Vec::new(), Vec::new());
        for &at in chosen {
            x.extend_from_slice(self.vectors(at));
            y.extend(std::iter::repeat_n(self.all[at].class, self.all[at].rows));
        }
        (x, y)
    }
}
