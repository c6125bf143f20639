//! The table of the systems, beside what was published.

use maud::{Markup, html};
use predictions::Protocol;

use super::chart::{Scale, WHISKER, whisker};
use super::{count, name, nats, percent, percent_range};
use crate::page::unit;
use crate::tables::protocols;
use crate::{Metrics, Page};

pub(super) fn part(page: &Page) -> Option<Markup> {
    let protocols = protocols(page);
    (!protocols.is_empty()).then(|| {
        html! {
            @for protocol in protocols { (table(page, protocol)) }
            p.small {
                "Accuracy: share of rows decided rightly; bar and point, with the 95 % interval under it and as whisker: bootstrap over \
                 whole groups (recording places), dashed: a uniform guess. Macro: mean over classes. Log loss: natural logarithm; \
                 the challenge ranks by it. ECE: expected calibration error. Bold: best of the column. Where \
                 every row is right there is nothing to resample, and the interval has no width: the share of errors may then still be \
                 up to about 3 divided by the number of groups (rule of three)."
            }
            @if !page.published().is_empty() {
                p.small {
                    "† " b { "Published" } " figures are those of the reference example (10-s clips; its two trained networks \
                     were selected on the very clips they are judged by) and of the challenge's baseline."
                }
            }
        }
    })
}

fn table(page: &Page, protocol: Protocol) -> Markup {
    let systems = page.figures.of(protocol);
    let is_published = !page.published().is_empty();
    let published: Vec<_> = page.published().iter().filter(|p| p.protocol == protocol).collect();
    let best = |figure: fn(&Metrics) -> f64, sign: f64| {
        let values = systems.iter().map(|(_, m)| figure(m));
        values.max_by(|a, b| (sign * a).total_cmp(&(sign * b))).unwrap_or(f64::NAN)
    };
    // A lone system is not the best of anything.
    let bold = |value: f64, best: f64| if systems.len() > 1 && value.to_bits() == best.to_bits() { "best" } else { "" };
    let accuracy = best(|m| m.accuracy, 1.0);
    let macro_accuracy = best(|m| m.macro_accuracy, 1.0);
    let log_loss = best(|m| m.log_loss, -1.0);
    let macro_log_loss = best(|m| m.macro_log_loss, -1.0);
    let ece = best(|m| m.ece, -1.0);
    let scale = Scale::linear([0.0, 1.0], WHISKER);
    html! {
        h3 {
            @match protocol {
                Protocol::PerClip => "One decision per clip (protocol 10s)",
                Protocol::PerSecond => "One decision per second (protocol 1s)",
            }
        }
        div.wide { table.sortable {
            thead { tr {
                th { "system" } th.n { "accuracy" } th data-plain { "0 … 100 %" }
                @if is_published { th.n { "published †" } }
                th.n { "macro accuracy" }
                th.n { "log loss" } th.n { "macro log loss" } th.n { "ECE" } th.n { (unit(protocol)) }
            } }
            tbody { @for (system, m) in &systems {
                tr {
                    th scope="row" { (name(page, system)) }
                    td.n data-v=(m.accuracy) {
                        span.(bold(m.accuracy, accuracy)) { (percent(m.accuracy)) }
                        @if let Some(i) = m.interval { small { (percent_range(i.accuracy)) } }
                    }
                    td.plot.(super::colour(page, system)) {
                        (whisker(&scale, m.accuracy, m.interval.map(|i| i.accuracy), m.chance.accuracy, true, &percent(m.accuracy)))
                    }
                    @if is_published {
                        @let same = published.iter().find(|p| p.system == *system);
                        td.n.published data-v=(same.map_or(-1.0, |p| p.accuracy)) title=[same.map(|p| p.remark)] {
                            (same.map_or("–".to_owned(), |p| percent(p.accuracy)))
                        }
                    }
                    td.n data-v=(m.macro_accuracy) {
                        span.(bold(m.macro_accuracy, macro_accuracy)) { (percent(m.macro_accuracy)) }
                    }
                    td.n data-v=(m.log_loss) {
                        span.(bold(m.log_loss, log_loss)) { (nats(m.log_loss)) }
                        @if let Some(i) = m.interval { small { (nats(i.log_loss[0])) " – " (nats(i.log_loss[1])) } }
                    }
                    td.n data-v=(m.macro_log_loss) {
                        span.(bold(m.macro_log_loss, macro_log_loss)) { (nats(m.macro_log_loss)) }
                    }
                    td.n data-v=(m.ece) { span.(bold(m.ece, ece)) { (nats(m.ece)) } }
                    td.n data-v=(m.n) {
                        (count(m.n))
                        @if m.left_out > 0 { small.warn title="rows that another system decided and this one did not" {
                            (count(m.left_out)) " left out"
                        } }
                    }
                }
            } }
            @let others: Vec<_> = published.iter().filter(|p| systems.iter().all(|(system, _)| *system != p.system)).collect();
            @if !others.is_empty() {
                tfoot { @for other in others {
                    tr {
                        th scope="row" { (other.system) " †" }
                        td {} td {}
                        td.n.published title=(other.remark) { (percent(other.accuracy)) }
                        td {}
                        td.n.published title=(other.remark) { (other.log_loss.map_or(String::new(), nats)) }
                        td {} td {} td {}
                    }
                } }
            }
        } }
    }
}
