//! Sample clips and what every system said of them.

use base64::Engine as _;
use maud::{Markup, html};

use super::{colour, percent};
use crate::{Decision, Error, Page, Sample};

pub(super) fn part(page: &Page) -> Result<Option<Markup>, Error> {
    if page.samples.is_empty() {
        return Ok(None);
    }
    let (right, wrong): (Vec<&Sample>, Vec<&Sample>) =
        page.samples.iter().partition(|sample| sample.decisions.iter().all(|decision| decision.class == sample.label));
    let cards = |samples: &[&Sample]| samples.iter().map(|sample| card(page, sample)).collect::<Result<Vec<_>, _>>();
    let (wrong, right) = (cards(&wrong)?, cards(&right)?);
    Ok(Some(html! {
        p.small { "A picture of each clip, its true class, and what every system decided with which probability." }
        @for (title, cards) in [("Some system is wrong", wrong), ("All are right", right)] {
            @if !cards.is_empty() { h3 { (title) } div.cards { @for card in cards { (card) } } }
        }
    }))
}

fn card(page: &Page, sample: &Sample) -> Result<Markup, Error> {
    let source = sample.picture.as_deref().map(|bytes| data_uri(&sample.id, bytes)).transpose()?;
    Ok(html! {
        article.card {
            @if let Some(source) = source { img src=(source) alt={ "a picture of " (sample.id) } loading="lazy"; }
            @else { div.nopicture { "no picture" } }
            div.text {
                p.truth { b { (sample.label) } }
                p.id title=(sample.id) { (sample.id) }
                ul { @for decision in &sample.decisions { (line(page, sample, decision)) } }
            }
        }
    })
}

fn line(page: &Page, sample: &Sample, decision: &Decision) -> Markup {
    let right = decision.class == sample.label;
    html! {
        li.bar.(colour(page, &decision.system)) style={ "--v:" (format!("{:.4}", decision.probability)) }
            title={ (decision.class) " " (percent(decision.probability)) "; the truth has " (percent(decision.of_truth)) } {
            span.verdict.(if right { "yes" } else { "no" }) { (if right { "✓" } else { "✗" }) }
            span.who { (decision.system) }
            span.what { @if !right { (decision.class) } }
            span.share { (percent(decision.probability)) }
        }
    }
}

fn data_uri(id: &str, bytes: &[u8]) -> Result<String, Error> {
    let kind = match bytes {
        [0x89, b'P', b'N', b'G', ..] => "png",
        [0xFF, 0xD8, 0xFF, ..] => "jpeg",
        _ => return Err(Error::Picture { id: id.to_owned() }),
    };
    Ok(format!("data:image/{kind};base64,{}", base64::engine::general_purpose::STANDARD.encode(bytes)))
}
