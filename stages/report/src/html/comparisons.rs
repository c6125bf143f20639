//! Any two systems on the same rows.

use maud::{Markup, html};
use predictions::Protocol;

use super::chart::{Scale, WHISKER, whisker};
use super::{count, name, p_value, per_protocol};
use crate::page::unit;
use crate::{Comparison, Difference, Page};

pub(super) fn part(page: &Page) -> Option<Markup> {
    (!page.figures.comparisons.is_empty()).then(|| {
        html! {
            p.small {
                "Left minus right, on the rows that both decided; accuracy in percentage points. 95 % intervals and p: paired bootstrap over whole groups; p \
                 below 0.05 is bold, and nothing is corrected for the number of pairs. McNemar's exact test counts the rows that \
                 only one of the two has right, and takes rows for independent."
            }
            (per_protocol(page, |protocol| table(page, protocol)))
        }
    })
}

fn table(page: &Page, protocol: Protocol) -> Markup {
    let pairs: Vec<&Comparison> = page.figures.comparisons.iter().filter(|c| c.protocol == protocol).collect();
    let reach = pairs.iter().flat_map(|c| {
        let ends = c.accuracy.interval.unwrap_or([c.accuracy.difference; 2]);
        [ends[0].abs(), ends[1].abs(), c.accuracy.difference.abs()]
    });
    let reach = reach.fold(0.01, f64::max);
    let scale = Scale::linear([-reach, reach], WHISKER);
    html! { div.wide { table.sortable {
        thead { tr {
            th { "left" } th { "right" } th.n { "Δ accuracy" } th data-plain { "← right better · left better →" } th.n { "p" }
            th.n { "Δ log loss" } th.n { "p" } th.n title="rows that only the left one / only the right one has right" { "only left / right" }
            th.n { "McNemar p" } th.n { (unit(protocol)) }
        } }
        tbody { @for c in pairs {
            @let points = signed(c.accuracy.difference * 100.0, 1);
            tr {
                th scope="row" { (name(page, &c.a)) }
                td { (name(page, &c.b)) }
                (difference(&c.accuracy, 100.0, 1))
                td.plot.(better(page, c)) {
                    (whisker(&scale, c.accuracy.difference, c.accuracy.interval, 0.0, false, &format!("{points} points")))
                }
                (p(c.accuracy.p))
                (difference(&c.log_loss, 1.0, 3))
                (p(c.log_loss.p))
                td.n data-v=(c.mcnemar.only_a_right) { (count(c.mcnemar.only_a_right)) " / " (count(c.mcnemar.only_b_right)) }
                (p(Some(c.mcnemar.p)))
                td.n data-v=(c.n) { (count(c.n)) }
            }
        } }
    } } }
}

/// The colour of the better one, by accuracy.
fn better(page: &Page, c: &Comparison) -> String {
    super::colour(page, if c.accuracy.difference >= 0.0 { &c.a } else { &c.b })
}

fn difference(d: &Difference, scale: f64, digits: usize) -> Markup {
    html! { td.n data-v=(d.difference) {
        (signed(d.difference * scale, digits))
        @if let Some([low, high]) = d.interval {
            small { (signed(low * scale, digits)) " … " (signed(high * scale, digits)) }
        }
    } }
}

fn p(p: Option<f64>) -> Markup {
    let class = if p.is_some_and(|p| p < 0.05) { "clear" } else { "" };
    html! { td.n.(class) data-v=(p.unwrap_or(2.0)) { (p.map_or("–".to_owned(), p_value)) } }
}

/// With its sign, a true minus; no sign on what rounds to 0.
fn signed(value: f64, digits: usize) -> String {
    let text = format!("{:.digits$}", value.abs());
    if text.bytes().all(|b| matches!(b, b'0' | b'.')) {
        return text;
    }
    format!("{}{text}", if value < 0.0 { '−' } else { '+' })
}
