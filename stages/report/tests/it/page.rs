//! The structure of the page.

use predictions::{Prediction, Predictions, Protocol};
use report::{Curve, Error, Failure, Figures, PUBLISHED_OF, Page, Point, Sample, Section, render};

use crate::made_up;

fn html(page: &Page) -> String {
    let files = render(page).unwrap();
    assert_eq!(files[0].0, "index.html");
    String::from_utf8(files[0].1.clone()).unwrap()
}

/// What stands in every attribute of this name.
fn attributes<'a>(html: &'a str, name: &str) -> Vec<&'a str> {
    let start = format!(" {name}=\"");
    let parts = html.split(start.as_str()).skip(1).map(|rest| rest.split('"').next().unwrap());
    parts.map(|value| if value.starts_with("data:image/") { &value[..16] } else { value }).collect()
}

#[test]
fn the_page_is_one_file_that_asks_nobody() {
    let html = html(&made_up::page());
    for word in ["http:", "https:", "url(", "@import", "<link", "<iframe", "<base", "<form", "fetch(", "import("] {
        assert!(!html.contains(word), "{word}");
    }
    let sources = attributes(&html, "src");
    assert_eq!(sources.len(), 11, "eleven of twelve samples have a picture");
    assert!(
        sources.iter().all(|s| s.starts_with("data:image/jpeg;") || s.starts_with("data:image/png;b")),
        "{sources:?}"
    );
    let links = attributes(&html, "href");
    assert!(links.len() >= 10);
    let ids = attributes(&html, "id");
    for link in links {
        assert!(link.strip_prefix('#').is_some_and(|id| ids.contains(&id)), "{link}");
    }
    assert!(html.contains("default-src 'none'"));
    assert_eq!(html.matches("<script").count(), 1);
}

#[test]
fn every_element_is_closed() {
    let html = html(&made_up::page());
    let start = html.find("<html").unwrap();
    let (mut open, mut rest) = (Vec::new(), &html[start..]);
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let end = rest.find('>').unwrap();
        let name = rest[..end].split([' ', '\n']).next().unwrap();
        if let Some(closed) = name.strip_prefix('/') {
            assert_eq!(open.pop(), Some(closed), "before {}", &rest[..end.min(80)]);
        } else if !["meta", "img"].contains(&name) {
            open.push(name);
        }
        if ["style", "script"].contains(&name) {
            rest = &rest[rest.find(&format!("</{name}>")).unwrap()..];
        }
    }
    assert_eq!(open, Vec::<&str>::new());
}

#[test]
fn everything_is_on_it() {
    let page = made_up::page();
    let html = html(&page);
    for section in [
        "results",
        "comparisons",
        "classes",
        "cities",
        "confusion",
        "calibration",
        "training",
        "samples",
        "failures",
        "provenance",
    ] {
        assert!(html.contains(&format!("<section id=\"{section}\">")), "{section}");
    }
    for (system, protocols) in &page.figures.systems {
        for metrics in protocols.values() {
            assert!(html.contains(system.as_str()));
            assert!(html.contains(&format!("{:.1}\u{202f}%", metrics.accuracy * 100.0)), "{system}");
            assert!(html.contains(&format!("{:.3}", metrics.log_loss)), "{system}");
        }
    }
    // Ten confusion matrices and reliability diagrams: five systems in two protocols. Three curves of two trained systems.
    assert_eq!(html.matches("<table class=\"confusion\">").count(), 10);
    assert_eq!(html.matches("aria-label=\"Reliability of ").count(), 10);
    assert_eq!(html.matches("aria-label=\"learning rate\"").count(), 2);
    let shown = page.figures.notes.iter().chain(page.failures.iter().map(|failure| &failure.message));
    for text in shown.chain(page.samples.iter().map(|sample| &sample.id)) {
        assert!(html.contains(text.as_str()), "{text}");
    }
    assert!(html.contains("6f0c1f3a9b7e42d8") && html.contains("[late-fusion]"));
}

#[test]
fn published_figures_stand_beside_those_of_their_data_set_alone() {
    let own = html(&made_up::page());
    let tau = html(&Page { dataset: PUBLISHED_OF.to_owned(), ..made_up::page() });
    for published in ["69.7", "89.3", "77.1", "92.5", "84.8", "77.0"] {
        assert!(tau.contains(&format!(">{published}\u{202f}%</td>")), "{published}");
    }
    assert!(!own.contains("class=\"n published\""));
    for words in ["published †", "<b>Published</b> figures are those of the reference example", "DCASE baseline"] {
        assert!(tau.contains(words) && !own.contains(words), "{words}");
    }
}

/// A page all of whose texts are hostile.
fn hostile(text: &str) -> Page {
    let name = |what: &str| format!("{what}{text}");
    let table = |system: &str| Predictions {
        system: name(system),
        protocol: Protocol::PerClip,
        classes: vec![name("in"), name("out")],
        rows: (0..3)
            .map(|at| Prediction {
                id: name(&at.to_string()),
                second: None,
                label: name(if at == 0 { "in" } else { "out" }),
                group: Some(name("place")),
                city: Some(name("city")),
                split: "test".to_owned(),
                probabilities: vec![0.75, 0.25],
            })
            .collect(),
    };
    let tables = [table("a"), table("b")];
    let spec = evaluate::Params::default().resolve().unwrap();
    let report = evaluate::evaluate(&tables, &spec, vec![name("note")]).unwrap();
    let point =
        Point { epoch: 1, step: 1, learning_rate: 1e-3, train_loss: f64::NAN, val_loss: None, val_accuracy: Some(0.5) };
    Page {
        title: name("title"),
        dataset: name("data"),
        figures: Figures::read(&serde_json::to_vec(&report).unwrap()).unwrap(),
        curves: vec![Curve { system: name("a"), points: vec![point], best: Some(7) }],
        samples: vec![Sample::new(&name("0"), None, &tables).unwrap()],
        failures: vec![Failure { stage: name("s"), id: name("i"), cause: name("c"), message: name("m") }],
        provenance: vec![Section { title: name("t"), entries: vec![(name("k"), name("v"))] }],
        config: name("config"),
    }
}

#[test]
fn whatever_comes_from_outside_is_escaped() {
    let plain = html(&hostile("Q"));
    for (text, escaped) in [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("\" onload=\"x", "&quot; onload=&quot;x"),
        ("</style><img src=x>", "&lt;/style&gt;&lt;img src=x&gt;"),
        ("&amp;", "&amp;amp;"),
    ] {
        let html = html(&hostile(text));
        // Not one byte of markup differs: the texts are where they were, escaped.
        assert_eq!(html.replace(escaped, "Q"), plain, "{text}");
    }
    assert!(plain.matches('Q').count() > 40);
    assert!(!plain.split("<script").next().unwrap().contains("NaN"), "a diverged loss is left out of the curve");
}

#[test]
fn what_there_is_not_is_not_shown() {
    let mut page = made_up::page();
    page.curves.clear();
    page.samples.clear();
    page.failures.clear();
    page.provenance.clear();
    page.config.clear();
    let text = html(&page);
    for section in ["training", "samples", "provenance"] {
        assert!(!text.contains(&format!("id=\"{section}\"")) && !text.contains(&format!("#{section}")), "{section}");
    }
    assert!(text.contains("No item failed."));
    page.figures.systems.clear();
    page.figures.comparisons.clear();
    assert!(html(&page).contains("No system was evaluated on made-up scenes."));
}

#[test]
fn many_failures_are_counted_and_cut() {
    let mut page = made_up::page();
    page.failures = (0..1234)
        .map(|at| Failure {
            stage: "encode-clip".to_owned(),
            id: format!("clip-{at:04}"),
            cause: "corrupt".to_owned(),
            message: "cut off".to_owned(),
        })
        .collect();
    let html = html(&page);
    assert!(html.contains("1\u{202f}234") && html.contains("clip-0199") && !html.contains("clip-0200"));
    assert!(html.contains("1\u{202f}034 more are in failures.csv."));
}

#[test]
fn what_is_no_picture_is_refused() {
    let mut page = made_up::page();
    page.samples[0].picture = Some(b"GIF89a".to_vec());
    let error = render(&page).unwrap_err();
    assert!(matches!(error, Error::Picture { .. }));
    assert_eq!(error.to_string(), format!("the picture of `{}` is neither PNG nor JPEG", page.samples[0].id));
}
