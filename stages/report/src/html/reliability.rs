//! Reliability diagrams.

use maud::{Markup, html};

use super::chart::{Scale, label, px};
use super::{count, name, nats, per_protocol, percent};
use crate::tables::protocols;
use crate::{Metrics, Page};

const LEFT: f64 = 40.0;
const RIGHT: f64 = 250.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 220.0;
/// Height of the strip that says how many rows a bin has.
const STRIP: f64 = 34.0;

pub(super) fn part(page: &Page) -> Option<Markup> {
    (!protocols(page).is_empty()).then(|| {
        html! {
            p.small { "How often a system is right when it is so sure: bars above the diagonal are too modest, below it too sure. \
                       Under each, how many rows have that probability. ECE: mean distance, weighted by rows." }
            (per_protocol(page, |protocol| html! {
                div.charts.narrow { @for (system, metrics) in page.figures.of(protocol) {
                    figure.chart.(super::colour(page, system)) {
                        figcaption { (name(page, system)) span.muted { "ECE " (nats(metrics.ece)) } }
                        (diagram(metrics, system))
                    }
                } }
            }))
        }
    })
}

fn diagram(metrics: &Metrics, system: &str) -> Markup {
    let x = Scale::linear([0.0, 1.0], [LEFT, RIGHT]);
    let y = Scale::linear([0.0, 1.0], [BOTTOM, TOP]);
    let most = metrics.reliability.iter().map(|bin| bin.n).max().unwrap_or(0).max(1);
    let strip = BOTTOM + 24.0 + STRIP;
    html! {
        svg viewBox={ "0 0 260 " (strip + 26.0) } role="img" aria-label={ "Reliability of " (system) } {
            @for tick in [0.0, 0.25, 0.5, 0.75, 1.0] {
                line.grid x1=(LEFT) x2=(RIGHT) y1=(px(y.at(tick))) y2=(px(y.at(tick))) {}
                text x=(LEFT - 6.0) y=(px(y.at(tick) + 4.0)) text-anchor="end" { (label(tick)) }
                text x=(px(x.at(tick))) y=(BOTTOM + 15.0) text-anchor="middle" { (label(tick)) }
            }
            @for bin in metrics.reliability.iter().filter(|bin| bin.n > 0) {
                @let (left, right) = (x.at(bin.low) + 0.75, x.at(bin.high) - 0.75);
                @let says = format!("sure by {}, right in {}: {} rows", percent(bin.confidence.unwrap_or(0.0)),
                    percent(bin.accuracy.unwrap_or(0.0)), count(bin.n));
                @if let Some(accuracy) = bin.accuracy {
                    rect.area x=(px(left)) width=(px(right - left)) y=(px(y.at(accuracy))) height=(px(BOTTOM - y.at(accuracy))) {
                        title { (says) }
                    }
                    line.range x1=(px(left)) x2=(px(right)) y1=(px(y.at(accuracy))) y2=(px(y.at(accuracy))) {}
                }
                @let height = (bin.n as f64 / most as f64 * STRIP).max(1.0);
                rect.strip x=(px(left)) width=(px(right - left)) y=(px(strip - height)) height=(px(height)) { title { (says) } }
            }
            line.diagonal x1=(LEFT) y1=(BOTTOM) x2=(RIGHT) y2=(TOP) {}
            text x=(f64::midpoint(LEFT, RIGHT)) y=(strip + 18.0) text-anchor="middle" { "probability of the decision" }
            text x=(LEFT - 6.0) y=(strip - STRIP + 10.0) text-anchor="end" { (count(most)) }
        }
    }
}
