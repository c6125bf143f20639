//! Scales, ticks and small drawings in SVG. Colours come from the style sheet through classes.

use maud::{Markup, html};

/// A linear or logarithmic scale from values to pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    logarithmic: bool,
}

impl Scale {
    /// Maps `low..=high` to `from..=to`.
    pub(super) fn linear([low, high]: [f64; 2], [from, to]: [f64; 2]) -> Self {
        // One value alone is put in the middle of a range around it; a learning rate is as far from 0 as it is large.
        let room = if high > low { 0.0 } else { Some(low.abs() * 0.5).filter(|room| *room > 0.0).unwrap_or(0.5) };
        Scale { low: low - room, high: high + room, from, to, logarithmic: false }
    }

    /// The same of the logarithms; the values must be positive.
    pub(super) fn logarithmic([low, high]: [f64; 2], pixels: [f64; 2]) -> Self {
        let mut scale = Scale::linear([low.log10(), high.log10()], pixels);
        scale.logarithmic = true;
        scale
    }

    /// The pixel of a value.
    pub(super) fn at(&self, value: f64) -> f64 {
        let value = if self.logarithmic { value.log10() } else { value };
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    /// Round values within the scale: powers of ten, or about `count` multiples of 1, 2 or 5.
    pub(super) fn ticks(&self, count: usize) -> Vec<f64> {
        if self.logarithmic {
            let decades = (self.low.floor() as i32..=self.high.ceil() as i32).map(|power| 10f64.powi(power));
            let inside = decades.filter(|v| (self.low - 1e-9..=self.high + 1e-9).contains(&v.log10()));
            return inside.collect();
        }
        let rough = (self.high - self.low) / count.max(1) as f64;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|s| *s >= rough * 0.999).unwrap_or(power);
        let first = (self.low / step - 1e-9).ceil() as i64;
        let last = (self.high / step + 1e-9).floor() as i64;
        (first..=last).map(|k| k as f64 * step).collect()
    }
}

/// A pixel with as many digits as a screen has use for.
pub(super) fn px(pixel: f64) -> String {
    without_zeros(&format!("{pixel:.2}")).to_owned()
}

/// 0.50 is 0.5, 1.00 is 1; the text must have a decimal point.
fn without_zeros(text: &str) -> &str {
    text.trim_end_matches('0').trim_end_matches('.')
}

/// A number on an axis.
pub(super) fn label(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-3..1e5).contains(&size) {
        let text = format!("{value:.2e}");
        let (mantissa, power) = text.split_once('e').unwrap_or((&text, "0"));
        return format!("{}e{power}", without_zeros(mantissa));
    }
    without_zeros(&format!("{value:.4}")).to_owned()
}

/// Left and right end of a [`whisker`], in pixels.
pub(super) const WHISKER: [f64; 2] = [6.0, 214.0];

/// A point on `scale` with its interval, a mark at `mark`, and `bar` from its left end to the point.
pub(super) fn whisker(
    scale: &Scale,
    value: f64,
    interval: Option<[f64; 2]>,
    mark: f64,
    bar: bool,
    says: &str,
) -> Markup {
    let middle = 10.0;
    html! {
        svg.whisker viewBox="0 0 220 20" width="220" height="20" role="img" aria-label=(says) {
            title { (says) }
            line.track x1=(px(scale.from)) x2=(px(scale.to)) y1=(middle) y2=(middle) {}
            @if bar {
                rect.area x=(px(scale.from)) y="5" width=(px((scale.at(value) - scale.from).max(0.0))) height="10" {}
            }
            line.mark x1=(px(scale.at(mark))) x2=(px(scale.at(mark))) y1="1" y2="19" {}
            @if let Some([low, high]) = interval {
                line.range x1=(px(scale.at(low))) x2=(px(scale.at(high))) y1=(middle) y2=(middle) {}
                @for end in [low, high] { line.range x1=(px(scale.at(end))) x2=(px(scale.at(end))) y1="6" y2="14" {} }
            }
            circle.point cx=(px(scale.at(value))) cy=(middle) r="4" {}
        }
    }
}

/// Name, class of the style sheet, points; what is not finite is left out.
pub(super) type Series<'a> = (&'a str, &'a str, Vec<(f64, f64)>);

/// Lines over a common x axis.
pub(super) struct Lines<'a> {
    pub(super) title: &'a str,
    pub(super) x: &'a str,
    pub(super) logarithmic: bool,
    /// Fixed ends of the y axis; otherwise those of the values.
    pub(super) y: Option<[f64; 2]>,
    pub(super) series: Vec<Series<'a>>,
    /// A mark on the x axis and what it says.
    pub(super) mark: Option<(f64, &'a str)>,
}

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 220.0;
const FRAME: [f64; 4] = [52.0, 348.0, 186.0, 12.0]; // left, right, bottom, top

impl Lines<'_> {
    /// The chart; `None` without two points.
    pub(super) fn draw(&self) -> Option<Markup> {
        let finite = |(x, y): &(f64, f64)| x.is_finite() && y.is_finite() && (!self.logarithmic || *y > 0.0);
        let points: Vec<_> = self.series.iter().flat_map(|s| &s.2).copied().filter(finite).collect();
        if points.is_empty() {
            return None;
        }
        let ends = |values: &dyn Fn(&(f64, f64)) -> f64| {
            let values = points.iter().map(values);
            [values.clone().fold(f64::INFINITY, f64::min), values.fold(f64::NEG_INFINITY, f64::max)]
        };
        let [left, right, bottom, top] = FRAME;
        let x = Scale::linear(ends(&|p| p.0), [left, right]);
        let y_ends = self.y.unwrap_or_else(|| ends(&|p| p.1));
        let pixels = [bottom, top];
        let y = if self.logarithmic { Scale::logarithmic(y_ends, pixels) } else { Scale::linear(y_ends, pixels) };
        let path = |points: &[(f64, f64)]| {
            let points = points.iter().filter(|point| finite(point));
            points.map(|(a, b)| format!("{},{}", px(x.at(*a)), px(y.at(*b)))).collect::<Vec<_>>().join(" ")
        };
        let view = format!("0 0 {WIDTH} {HEIGHT}");
        Some(html! {
            figure.chart {
                figcaption { b { (self.title) }
                    @if self.series.len() > 1 {
                        @for (name, class, _) in &self.series { span.key.(class) { i {} (name) } }
                    }
                }
                svg viewBox=(view) role="img" aria-label=(self.title) {
                    @for tick in y.ticks(4) {
                        line.grid x1=(left) x2=(right) y1=(px(y.at(tick))) y2=(px(y.at(tick))) {}
                        text x=(left - 6.0) y=(px(y.at(tick) + 4.0)) text-anchor="end" { (label(tick)) }
                    }
                    @for tick in x.ticks(6).into_iter().filter(|tick| tick.fract() == 0.0) {
                        text x=(px(x.at(tick))) y=(bottom + 16.0) text-anchor="middle" { (label(tick)) }
                    }
                    text x=(f64::midpoint(left, right)) y=(HEIGHT - 2.0) text-anchor="middle" { (self.x) }
                    @if let Some((at, says)) = self.mark {
                        line.mark x1=(px(x.at(at))) x2=(px(x.at(at))) y1=(top) y2=(bottom) { title { (says) } }
                    }
                    @for (_, class, points) in &self.series {
                        polyline.line.(class) points=(path(points)) {}
                        @if points.len() < 40 {
                            @for point in points.iter().filter(|point| finite(point)) {
                                circle.dot.(class) cx=(px(x.at(point.0))) cy=(px(y.at(point.1))) r="2.5" {
                                    title { (label(point.0)) ": " (label(point.1)) }
                                }
                            }
                        }
                    }
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(ticks: &[f64]) -> String {
        ticks.iter().map(|tick| label(*tick)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(shown(&Scale::linear([0.0, 1.0], [0.0, 100.0]).ticks(4)), "0 0.5 1");
        assert_eq!(shown(&Scale::linear([0.0, 1.0], [0.0, 100.0]).ticks(5)), "0 0.2 0.4 0.6 0.8 1");
        assert_eq!(shown(&Scale::linear([0.13, 2.9], [0.0, 100.0]).ticks(4)), "1 2");
        assert_eq!(shown(&Scale::linear([-0.2, 0.2], [0.0, 100.0]).ticks(4)), "-0.2 -0.1 0 0.1 0.2");
        assert_eq!(
            shown(&Scale::logarithmic([1e-10, 3e-4], [0.0, 1.0]).ticks(4)),
            "1e-10 1e-9 1e-8 1e-7 1e-6 1e-5 1e-4"
        );
        assert_eq!(shown(&Scale::linear([3.0, 3.0], [0.0, 1.0]).ticks(3)), "2 3 4");
        assert_eq!(shown(&Scale::linear([3e-4, 3e-4], [0.0, 1.0]).ticks(3)), "2e-4 3e-4 4e-4");
        assert_eq!(shown(&Scale::linear([0.0, 0.0], [0.0, 1.0]).ticks(2)), "-0.5 0 0.5");
    }

    #[test]
    fn scales_map_ends_to_ends() {
        let scale = Scale::linear([0.0, 2.0], [10.0, 30.0]);
        assert_eq!([0.0, 0.5, 2.0].map(|v| px(scale.at(v))), ["10", "15", "30"]);
        let scale = Scale::logarithmic([1e-4, 1.0], [100.0, 0.0]);
        assert_eq!([1e-4, 1e-2, 1.0].map(|v| px(scale.at(v))), ["100", "50", "0"]);
    }

    #[test]
    fn nothing_to_draw_draws_nothing() {
        let series = vec![("a", "c0", vec![(1.0, f64::NAN)]), ("b", "c1", Vec::new())];
        let lines = Lines { title: "t", x: "epoch", logarithmic: false, y: None, series, mark: None };
        assert!(lines.draw().is_none());
    }
}
