//! What a person may have meant by a source that is not there.

use std::path::Path;

use crate::problem::resembling;
use crate::{Problem, name_of, scan};

/// Names that are shown at most.
const SHOWN: usize = 12;

/// What lies where `source` does not, and which of that is most like it. A manifest is found by its name without `.toml` as well, and one
/// folder down.
pub(crate) fn not_found(source: &Path) -> Problem {
    let folder = source.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Problem::NoFolder(folder.display().to_string());
    };
    let could_be =
        |path: &Path| path.is_dir() || path.extension().is_some_and(|e| e == "toml") || scan::is_medium(path);
    let mut beside: Vec<String> = entries
        .filter_map(|entry| Some(entry.ok()?.path()).filter(|path| could_be(path)))
        .map(|path| name_of(&path))
        .filter(|name| !name.starts_with('.'))
        .collect();
    beside.sort_unstable();

    let name = name_of(source);
    let named = format!("{name}.toml");
    let below = beside.iter().flat_map(|below| [format!("{below}/{named}"), format!("{below}/{name}")]);
    let exact = std::iter::once(named.clone()).chain(below).find(|path| folder.join(path).exists());
    let nearest = exact.or_else(|| resembling(&name, &beside.iter().map(String::as_str).collect::<Vec<_>>()));
    let nearest = nearest.map(|nearest| source.with_file_name(nearest).display().to_string());

    let more = beside.len().saturating_sub(SHOWN);
    beside.truncate(SHOWN);
    if more > 0 {
        beside.push(format!("{more} more"));
    }
    Problem::NoSource { nearest, beside }
}
