//! The table of the systems, beside what was published.

use maud::{Markup, html};
use predictions::Protocol;

use super::chart::{Scale, whisker};
use super::{count, name, nats, percent, percent_range};
use crate::tables::protocols;
use crate::{Metrics, PUBLISHED, Page};

pub(super) fn part(page: &Page) -> Option<Markup> {
    let protocols = protocols(page);
    (!protocols.is_empty()).then(|| {
        html! {
            @for protocol in protocols { (table(page, protocol)) }
            p.small {
                "Accuracy: share of rows decided rightly; bar and point, whisker: 95 % interval by bootstrap over whole groups \
                 (recording places), dashed: a uniform guess. Macro: mean over classes. Log loss: natural logarithm; the \
                 challenge ranks by it. ECE: expected calibration error. Bold: best of the column."
            }
            p.small {
                "† " b { "Published" } " figures are of the real data set, TAU Urban Audio-Visual Scenes 2021 development, and not of \
                 the data of this page unless it says so: those of the reference example (10-s clips; its two trained networks \
                 were selected on the very clips they are judged by) and of the challenge's baseline."
            }
        }
    })
}

fn table(page: &Page, protocol: Protocol) -> Markup {
    let systems = page.figures.of(protocol);
    let published: Vec<_> = PUBLISHED.iter().filter(|p| p.protocol == protocol).collect();
    let best = |figure: fn(&Metrics) -> f64, sign: f64| {
        let values = systems.iter().map(|(_, m)| figure(m));
        sign * values.map(|v| sign * v).fold(f64::NEG_INFINITY, f64::max)
    };
    // A lone system is not the best of anything.
    let bold = |value: f64, best: f64| if systems.len() > 1 && value == best { "best" } else { "" };
    let accuracy = best(|m| m.accuracy, 1.0);
    let macro_accuracy = best(|m| m.macro_accuracy, 1.0);
    let log_loss = best(|m| m.log_loss, -1.0);
    let macro_log_loss = best(|m| m.macro_log_loss, -1.0);
    let ece = best(|m| m.ece, -1.0);
    let scale = Scale::linear([0.0, 1.0], [6.0, 214.0]);
    html! {
        h3 {
            @match protocol {
                Protocol::PerClip => "One decision per clip (protocol 10s)",
                Protocol::PerSecond => "One decision per second (protocol 1s)",
            }
        }
        div.wide { table.sortable {
            thead { tr {
                th { "system" } th.n { "n" } th.n { "accuracy" } th data-plain { "0 … 100 %" } th.n { "95 % interval" }
                th.n { "macro accuracy" } th.n { "log loss" } th.n { "95 % interval" } th.n { "macro log loss" } th.n { "ECE" }
                th.n { "published accuracy †" }
            } }
            tbody { @for (system, m) in &systems {
                tr {
                    th scope="row" { (name(page, system)) }
                    td.n data-v=(m.n) { (count(m.n)) @if m.left_out > 0 {
                        span.warn title="rows that another system decided and this one did not" { " −" (count(m.left_out)) }
                    } }
                    td.n.(bold(m.accuracy, accuracy)) data-v=(m.accuracy) { (percent(m.accuracy)) }
                    td.plot.(super::colour(page, system)) {
                        (whisker(&scale, m.accuracy, m.interval.map(|i| i.accuracy), m.chance.accuracy, true, &percent(m.accuracy)))
                    }
                    td.n.muted data-v=(m.interval.map_or(-1.0, |i| i.accuracy[0])) {
                        (m.interval.map_or("–".to_owned(), |i| percent_range(i.accuracy)))
                    }
                    td.n.(bold(m.macro_accuracy, macro_accuracy)) data-v=(m.macro_accuracy) { (percent(m.macro_accuracy)) }
                    td.n.(bold(m.log_loss, log_loss)) data-v=(m.log_loss) { (nats(m.log_loss)) }
                    td.n.muted data-v=(m.interval.map_or(-1.0, |i| i.log_loss[0])) {
                        (m.interval.map_or("–".to_owned(), |i| format!("{} – {}", nats(i.log_loss[0]), nats(i.log_loss[1]))))
                    }
                    td.n.(bold(m.macro_log_loss, macro_log_loss)) data-v=(m.macro_log_loss) { (nats(m.macro_log_loss)) }
                    td.n.(bold(m.ece, ece)) data-v=(m.ece) { (nats(m.ece)) }
                    @let same = published.iter().find(|p| p.system == *system);
                    td.n.published data-v=(same.map_or(-1.0, |p| p.accuracy)) title=[same.map(|p| p.remark)] {
                        (same.map_or("–".to_owned(), |p| percent(p.accuracy)))
                    }
                }
            } }
            @let others: Vec<_> = published.iter().filter(|p| systems.iter().all(|(system, _)| *system != p.system)).collect();
            @if !others.is_empty() {
                tfoot { @for other in others {
                    tr {
                        th scope="row" { (other.system) " †" }
                        td {} td {} td {} td {} td {} td.n { (other.log_loss.map_or(String::new(), nats)) } td {} td {} td {}
                        td.n.published title=(other.remark) { (percent(other.accuracy)) }
                    }
                } }
            }
        } }
    }
}
