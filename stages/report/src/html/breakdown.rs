//! Bars per class and per city.

use std::collections::BTreeMap;

use maud::{Markup, html};
use predictions::Protocol;

use super::{count, name, nats, per_protocol, percent};
use crate::Page;
use crate::tables::protocols;

/// One bar: a share of 0 to 1, and the log loss beside it.
type Cell = Option<(f64, Option<f64>)>;

pub(super) fn classes(page: &Page) -> Option<Markup> {
    (!protocols(page).is_empty()).then(|| {
        html! {
            p.small { "Recall of each class: the share of its rows decided rightly; smaller, the log loss of its rows. \
                       Precision and F1 are in per_class.csv." }
            (per_protocol(page, |protocol| {
                let systems = page.figures.of(protocol);
                let classes = systems.first().map_or(&[][..], |(_, m)| &m.classes);
                let rows = classes.iter().enumerate().map(|(at, class)| {
                    let most = systems.iter().map(|(_, m)| m.per_class[at].n).max().unwrap_or(0);
                    let cells = systems.iter().map(|(_, m)| {
                        let c = m.per_class.get(at)?;
                        Some((c.recall?, c.log_loss))
                    });
                    (class.as_str(), most, cells.collect())
                });
                bars(page, "class", protocol, rows.collect())
            }))
        }
    })
}

pub(super) fn cities(page: &Page) -> Option<Markup> {
    page.figures.rows().any(|(_, _, m)| m.per_city.is_some()).then(|| {
        html! {
            p.small { "Accuracy in each city; smaller, the log loss. Macro figures are in per_city.csv." }
            (per_protocol(page, |protocol| {
                let systems = page.figures.of(protocol);
                let mut names: BTreeMap<&str, u64> = BTreeMap::new();
                for (city, figures) in systems.iter().flat_map(|(_, m)| m.per_city.iter().flatten()) {
                    let n = names.entry(city).or_default();
                    *n = (*n).max(figures.n);
                }
                let rows = names.into_iter().map(|(city, n)| {
                    let cells = systems.iter().map(|(_, m)| {
                        m.per_city.as_ref()?.get(city).map(|c| (c.accuracy, Some(c.log_loss)))
                    });
                    (city, n, cells.collect())
                });
                bars(page, "city", protocol, rows.collect())
            }))
        }
    })
}

/// A row per name, a column of bars per system.
fn bars(page: &Page, what: &str, protocol: Protocol, rows: Vec<(&str, u64, Vec<Cell>)>) -> Markup {
    let systems = page.figures.of(protocol);
    html! { div.wide { table.sortable.bars {
        thead { tr { th { (what) } th.n { "n" } @for (system, _) in &systems { th { (name(page, system)) } } } }
        tbody { @for (row, n, cells) in rows {
            tr {
                th scope="row" { (row) }
                td.n data-v=(n) { (count(n)) }
                @for ((system, _), cell) in systems.iter().zip(cells) {
                    @match cell {
                        Some((share, loss)) => td.bar.(super::colour(page, system)) data-v=(share)
                            style={ "--v:" (format!("{share:.4}")) } {
                            span { (percent(share)) } @if let Some(loss) = loss { small { (nats(loss)) } }
                        },
                        None => td.muted data-v="-1" { "–" },
                    }
                }
            }
        } }
    } } }
}
