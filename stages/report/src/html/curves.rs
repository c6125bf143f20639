//! Learning curves.

use maud::{Markup, html};

use super::chart::Lines;
use super::{name, nats, percent};
use crate::{Curve, Page, Point};

pub(super) fn part(page: &Page) -> Option<Markup> {
    (!page.curves.is_empty()).then(|| {
        html! {
            p.small { "The dashed line is the epoch whose weights were kept. The training loss is of augmented, mixed clips with \
                       dropout, and may well lie above that of the validation part." }
            @for curve in &page.curves {
                h3 { (name(page, &curve.system)) (kept(curve)) }
                div.charts { (charts(page, curve)) }
            }
        }
    })
}

fn kept(curve: &Curve) -> Markup {
    let Some(point) = curve.best.and_then(|best| curve.points.get(best)) else { return html! {} };
    html! { span.muted {
        "kept: epoch " (point.epoch)
        @if let Some(loss) = point.val_loss { ", validation log loss " (nats(loss)) }
        @if let Some(accuracy) = point.val_accuracy { ", validation accuracy " (percent(accuracy)) }
    } }
}

fn charts(page: &Page, curve: &Curve) -> Markup {
    let colour = super::colour(page, &curve.system);
    let of = |figure: &dyn Fn(&Point) -> Option<f64>| {
        curve.points.iter().filter_map(|p| Some((p.epoch as f64, figure(p)?))).collect::<Vec<_>>()
    };
    let mark = curve.best.and_then(|best| curve.points.get(best)).map(|p| (p.epoch as f64, "kept"));
    let chart = |title, series, y, logarithmic| Lines { title, x: "epoch", logarithmic, y, series, mark }.draw();
    let rates = of(&|p| Some(p.learning_rate));
    let spread = |of: fn(f64, f64) -> f64, start| rates.iter().map(|p| p.1).filter(|r| *r > 0.0).fold(start, of);
    let wide = spread(f64::max, 0.0) > 20.0 * spread(f64::min, f64::INFINITY);
    let losses =
        vec![("training", "plain", of(&|p| Some(p.train_loss))), ("validation", colour.as_str(), of(&|p| p.val_loss))];
    let losses = losses.into_iter().filter(|series| !series.2.is_empty()).collect();
    let accuracy = vec![("validation", colour.as_str(), of(&|p| p.val_accuracy))];
    html! {
        @if let Some(chart) = chart("log loss", losses, None, false) { (chart) }
        @if let Some(chart) = chart("validation accuracy", accuracy, Some([0.0, 1.0]), false) { (chart) }
        @if let Some(chart) = chart("learning rate", vec![("rate", colour.as_str(), rates)], None, wide) { (chart) }
    }
}
