//! Writes a report of made-up systems into a folder, to be looked at.
//!
//! ```text
//! cargo run -p report --example sample_page -- FOLDER
//! ```
//!
//! The figures are computed by `evaluate` from generated predictions; nothing in it says anything about a real system.

#[path = "../tests/it/made_up.rs"]
mod made_up;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::path::PathBuf::from(std::env::args_os().nth(1).ok_or("name a folder")?);
    std::fs::create_dir_all(&folder)?;
    for (name, bytes) in report::render(&made_up::page())? {
        std::fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}
