//! The page in headless Chromium, where one is installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::made_up;

/// The browser that is installed, or `None`, said by name.
fn chromium(test: &str) -> Option<PathBuf> {
    let folders = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect::<Vec<_>>();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let found = names.iter().flat_map(|name| folders.iter().map(move |f| f.join(name))).find(|path| path.is_file());
    if found.is_none() {
        eprintln!("{test}: skipped, there is none of {names:?} in PATH");
    }
    found
}

/// Runs the browser on a file; returns what it wrote to stdout and to stderr.
fn browse(browser: &Path, page: &Path, arguments: &[String]) -> (String, String) {
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--enable-logging=stderr", "--window-size=1400,6000"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(arguments)
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(output.status.success(), "{err}");
    (out, err)
}

fn console(stderr: &str) -> Vec<&str> {
    stderr.lines().filter(|line| line.contains("CONSOLE")).collect()
}

#[test]
fn the_page_opens_without_a_complaint_and_its_script_runs() {
    let Some(browser) = chromium("the_page_opens_without_a_complaint_and_its_script_runs") else { return };
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("index.html");
    let files = report::render(&made_up::page()).unwrap();
    std::fs::write(&page, &files[0].1).unwrap();
    let (dom, stderr) = browse(&browser, &page, &["--dump-dom".to_owned()]);
    assert_eq!(console(&stderr), Vec::<&str>::new());
    // The script's last line; its first lines made the headings reachable by keyboard.
    assert!(dom.contains(r#"<html lang="en" class="scripted">"#), "{}", &dom[..300]);
    assert!(dom.contains(r#"tabindex="0""#));
    for text in ["late-fusion", "shopping_mall", "moov atom not found", "data:image/jpeg;base64,", "ResNet-18"] {
        assert!(dom.contains(text), "{text}");
    }

    // A page that breaks its own policy is noticed.
    let bad = folder.path().join("bad.html");
    let text = String::from_utf8(files[0].1.clone()).unwrap();
    std::fs::write(&bad, text.replace("</main>", "<img src=\"file:///nowhere.png\"></main>")).unwrap();
    let (_, stderr) = browse(&browser, &bad, &["--dump-dom".to_owned()]);
    assert!(!console(&stderr).is_empty(), "the console is not being listened to: {stderr}");
}

#[test]
fn light_and_dark_are_drawn() {
    let Some(browser) = chromium("light_and_dark_are_drawn") else { return };
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("index.html");
    std::fs::write(&page, &report::render(&made_up::page()).unwrap()[0].1).unwrap();
    let shot = |scheme: u8| {
        let picture = folder.path().join(format!("{scheme}.png"));
        let arguments =
            [format!("--screenshot={}", picture.display()), format!("--blink-settings=preferredColorScheme={scheme}")];
        browse(&browser, &page, &arguments);
        image::open(picture).unwrap().into_rgb8()
    };
    let (dark, light) = (shot(0), shot(1));
    assert_eq!(light.dimensions(), (1400, 6000));
    let brightness = |picture: &image::RgbImage| {
        picture.as_raw().iter().map(|byte| u64::from(*byte)).sum::<u64>() / picture.as_raw().len() as u64
    };
    assert!(brightness(&light) > 200, "{}", brightness(&light));
    assert!(brightness(&dark) < 70, "{}", brightness(&dark));
    // Text, bars, shades and pictures: an empty page has two colours.
    let colours: std::collections::HashSet<_> = light.pixels().map(|pixel| pixel.0).collect();
    assert!(colours.len() > 1000, "{} colours", colours.len());
}
