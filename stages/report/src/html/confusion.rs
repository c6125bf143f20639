//! Confusion matrices, shaded by the share of the true class.

use maud::{Markup, html};

use super::{count, name, per_protocol, percent};
use crate::tables::protocols;
use crate::{Metrics, Page};

pub(super) fn part(page: &Page) -> Option<Markup> {
    (!protocols(page).is_empty()).then(|| {
        html! {
            p.small { "Rows: the true class; columns: the decision, by the number of the class. The shade is the share of the row: \
                       green on the diagonal (right), red beside it (confused)." }
            (per_protocol(page, |protocol| html! {
                div.matrices { @for (system, metrics) in page.figures.of(protocol) {
                    figure { figcaption { (name(page, system)) } (matrix(metrics)) }
                } }
            }))
        }
    })
}

fn matrix(metrics: &Metrics) -> Markup {
    html! { div.wide { table.confusion {
        thead { tr {
            th { "true \\ decided" }
            @for (at, class) in metrics.classes.iter().enumerate() { th title=(class) { (at + 1) } }
            th { "recall" }
        } }
        tbody { @for (truth, row) in metrics.confusion.iter().enumerate() {
            @let sum: u64 = row.iter().sum();
            tr {
                th scope="row" { span.number { (truth + 1) } (metrics.classes[truth]) }
                @for (decided, n) in row.iter().enumerate() {
                    @let share = if sum > 0 { *n as f64 / sum as f64 } else { 0.0 };
                    @let class = match (decided == truth, share > 0.5) {
                        (true, true) => "right deep", (true, false) => "right", (false, true) => "wrong deep", (false, false) => "wrong",
                    };
                    td class=(class) style={ "--v:" (format!("{share:.3}")) }
                        title={ (metrics.classes[truth]) " → " (metrics.classes[decided]) ": " (n) " of " (sum) } {
                        @if *n > 0 { (count(*n)) }
                    }
                }
                td.rim { (metrics.per_class[truth].recall.map_or("–".to_owned(), percent)) }
            }
        } }
        tfoot { tr {
            th scope="row" { "precision, %" }
            @for class in &metrics.per_class {
                td.rim { (class.precision.map_or("–".to_owned(), |p| format!("{:.0}", p * 100.0))) }
            }
            td {}
        } }
    } } }
}
