//! The page: its frame, and what its parts share.

mod breakdown;
mod chart;
mod comparisons;
mod confusion;
mod curves;
mod provenance;
mod reliability;
mod results;
mod samples;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use predictions::Protocol;

use crate::page::unit;
use crate::tables::protocols;
use crate::{Error, Page};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("sort.js");
/// The page asks nobody for anything: it holds its style, its script and its pictures.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/// The page as text.
pub(crate) fn page(page: &Page) -> Result<String, Error> {
    let parts = [
        ("results", "Results", results::part(page)),
        ("comparisons", "Comparisons", comparisons::part(page)),
        ("classes", "Classes", breakdown::classes(page)),
        ("cities", "Cities", breakdown::cities(page)),
        ("confusion", "Confusion", confusion::part(page)),
        ("calibration", "Calibration", reliability::part(page)),
        ("training", "Training", curves::part(page)),
        ("samples", "Samples", samples::part(page)?),
        ("failures", "Failures", Some(provenance::failures(page))),
        ("provenance", "Provenance", provenance::part(page)),
    ];
    let parts: Vec<(&str, &str, Markup)> =
        parts.into_iter().filter_map(|(id, name, part)| part.map(|part| (id, name, part))).collect();
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="color-scheme" content="light dark";
                title { (page.title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { (page.title) }
                    p.lead { (lead(page)) }
                    @if !page.figures.notes.is_empty() {
                        aside.notes {
                            strong { "Read with these figures" }
                            ul { @for note in &page.figures.notes { li { (note) } } }
                        }
                    }
                }
                nav { @for (id, name, _) in &parts { a href={ "#" (id) } { (name) } } }
                main {
                    @for (id, name, part) in &parts { section id=(id) { h2 { (name) } (part) } }
                }
                footer { p { "The same content as JSON and CSV lies beside this page: metrics.json, systems.csv, per_class.csv, \
                              per_city.csv, confusion.csv, comparisons.csv, curves.csv, failures.csv." } }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    Ok(markup.into_string())
}

/// What a hurried reader takes away.
fn lead(page: &Page) -> Markup {
    let figures = &page.figures;
    let Some(protocol) = protocols(page).into_iter().next() else {
        return html! { "No system was evaluated on " (page.dataset) "." };
    };
    let systems = figures.of(protocol);
    let best = systems.iter().min_by(|a, b| a.1.log_loss.total_cmp(&b.1.log_loss));
    html! {
        b { (page.dataset) } ", split " b { (figures.split) } ": "
        @if let Some((_, m)) = systems.iter().max_by_key(|(_, m)| m.n) {
            (count(m.n)) " " (unit(protocol)) " of " (m.classes.len()) " classes"
            @if let Some(interval) = m.interval { " and " (interval.groups) " groups" }
            ". A uniform guess has " (percent(m.chance.accuracy)) " and a log loss of " (nats(m.chance.log_loss)) "; "
            "always the commonest class " (percent(m.chance.majority)) ". "
        }
        @if let Some((system, m)) = best {
            @if systems.len() > 1 { "Smallest log loss: " } @else { "Result: " }
            b { (system) } " with " (nats(m.log_loss)) ", accuracy " b { (percent(m.accuracy)) }
            @if let Some(interval) = m.interval { " (95 % interval " (percent_range(interval.accuracy)) ")" }
            "."
        }
    }
}

/// A part that is shown for clips, and for seconds folded away where there are clips.
fn per_protocol(page: &Page, part: impl Fn(Protocol) -> Markup) -> Markup {
    let protocols = protocols(page);
    html! {
        @for (at, protocol) in protocols.iter().enumerate() {
            @if at == 0 { (part(*protocol)) }
            @else { details { summary { "The same per " b { (singular(*protocol)) } } (part(*protocol)) } }
        }
    }
}

fn singular(protocol: Protocol) -> &'static str {
    unit(protocol).trim_end_matches('s')
}

/// The name of a system with its colour.
fn name(page: &Page, system: &str) -> Markup {
    html! { span.system.(colour(page, system)) { i {} (system) } }
}

/// The class that gives a system its colour.
fn colour(page: &Page, system: &str) -> String {
    let at = page.figures.order.iter().position(|name| name == system);
    format!("c{}", at.map_or(6, |at| at % 6))
}

/// The space before `%` is narrow and does not break.
fn percent(share: f64) -> String {
    format!("{:.1}\u{202f}%", share * 100.0)
}

fn percent_range([low, high]: [f64; 2]) -> String {
    format!("{:.1} – {:.1}\u{202f}%", low * 100.0, high * 100.0)
}

fn nats(loss: f64) -> String {
    format!("{loss:.3}")
}

fn p_value(p: f64) -> String {
    if p < 0.001 { "< 0.001".to_owned() } else { format!("{p:.3}") }
}

/// Thousands apart: 10 000.
fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}
