//! What failed, and where everything came from.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::count;
use crate::Page;

/// Rows of the table of failures; the rest is in `failures.csv`.
const SHOWN: usize = 200;

pub(super) fn failures(page: &Page) -> Markup {
    if page.failures.is_empty() {
        return html! { p { "No item failed." } };
    }
    let mut causes: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for failure in &page.failures {
        *causes.entry((&failure.stage, &failure.cause)).or_default() += 1;
    }
    let more = page.failures.len().saturating_sub(SHOWN);
    html! {
        div.wide { table {
            thead { tr { th { "stage" } th { "cause" } th.n { "items" } } }
            tbody { @for ((stage, cause), n) in causes { tr { td { (stage) } td { (cause) } td.n { (count(n)) } } } }
        } }
        details open[page.failures.len() <= 20] {
            summary { "The items" }
            div.wide { table.sortable {
                thead { tr { th { "stage" } th { "item" } th { "cause" } th { "what happened" } } }
                tbody { @for failure in page.failures.iter().take(SHOWN) {
                    tr { td { (failure.stage) } td.id { (failure.id) } td { (failure.cause) } td.text { (failure.message) } }
                } }
            } }
            @if more > 0 { p.small { (count(more as u64)) " more are in failures.csv." } }
        }
    }
}

pub(super) fn part(page: &Page) -> Option<Markup> {
    if page.provenance.is_empty() && page.config.is_empty() {
        return None;
    }
    Some(html! {
        div.facts { @for section in &page.provenance {
            div { h3 { (section.title) } dl { @for (key, value) in &section.entries { dt { (key) } dd { (value) } } } }
        } }
        @if !page.config.is_empty() {
            details { summary { "The configuration" } pre { (page.config) } }
        }
    })
}
