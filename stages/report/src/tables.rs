//! The CSV files.

use predictions::Protocol;

use crate::{Comparison, Difference, Page};

/// Name and content of every CSV file; numbers with all their digits, nothing where there is none.
pub(crate) fn all(page: &Page) -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("systems.csv", systems(page)),
        ("per_class.csv", per_class(page)),
        ("per_city.csv", per_city(page)),
        ("confusion.csv", confusion(page)),
        ("comparisons.csv", comparisons(page)),
        ("curves.csv", curves(page)),
        ("failures.csv", failures(page)),
    ]
}

fn systems(page: &Page) -> Vec<u8> {
    let header = "system,protocol,n,items,left_out,accuracy,accuracy_low,accuracy_high,macro_accuracy,log_loss,log_loss_low,\
                  log_loss_high,macro_log_loss,ece,published_accuracy";
    let rows = page.figures.rows().map(|(system, protocol, m)| {
        let ends = |ends: Option<[f64; 2]>| ends.map_or([String::new(), String::new()], |ends| ends.map(text));
        let [accuracy_low, accuracy_high] = ends(m.interval.map(|i| i.accuracy));
        let [loss_low, loss_high] = ends(m.interval.map(|i| i.log_loss));
        let published = page.published().iter().find(|p| p.system == system && p.protocol == protocol);
        vec![
            system.to_owned(),
            protocol.to_string(),
            text(m.n),
            text(m.items),
            text(m.left_out),
            text(m.accuracy),
            accuracy_low,
            accuracy_high,
            text(m.macro_accuracy),
            text(m.log_loss),
            loss_low,
            loss_high,
            text(m.macro_log_loss),
            text(m.ece),
            some(published.map(|p| p.accuracy)),
        ]
    });
    csv(header, rows)
}

fn per_class(page: &Page) -> Vec<u8> {
    let rows = page.figures.rows().flat_map(|(system, protocol, metrics)| {
        metrics.per_class.iter().map(move |c| {
            let names = [system.to_owned(), protocol.to_string(), c.class.clone(), text(c.n)];
            names.into_iter().chain([c.recall, c.precision, c.f1, c.log_loss].map(some)).collect()
        })
    });
    csv("system,protocol,class,n,recall,precision,f1,log_loss", rows)
}

fn per_city(page: &Page) -> Vec<u8> {
    let rows = page.figures.rows().flat_map(|(system, protocol, metrics)| {
        metrics.per_city.iter().flatten().map(move |(city, c)| {
            let names = [system.to_owned(), protocol.to_string(), city.clone(), text(c.n)];
            names.into_iter().chain([c.accuracy, c.macro_accuracy, c.log_loss].map(text)).collect()
        })
    });
    csv("system,protocol,city,n,accuracy,macro_accuracy,log_loss", rows)
}

fn confusion(page: &Page) -> Vec<u8> {
    let rows = page.figures.rows().flat_map(|(system, protocol, metrics)| {
        let classes = &metrics.classes;
        metrics.confusion.iter().zip(classes).flat_map(move |(row, truth)| {
            row.iter().zip(classes).map(move |(n, decided)| {
                vec![system.to_owned(), protocol.to_string(), truth.clone(), decided.clone(), text(n)]
            })
        })
    });
    csv("system,protocol,truth,decided,n", rows)
}

fn comparisons(page: &Page) -> Vec<u8> {
    let header = "protocol,a,b,n,only_a,only_b,groups,accuracy_a,accuracy_b,accuracy_difference,accuracy_low,accuracy_high,\
                  accuracy_p,log_loss_a,log_loss_b,log_loss_difference,log_loss_low,log_loss_high,log_loss_p,only_a_right,\
                  only_b_right,mcnemar_p";
    let difference = |d: &Difference| {
        let [low, high] = d.interval.map_or([String::new(), String::new()], |ends| ends.map(text));
        [text(d.a), text(d.b), text(d.difference), low, high, some(d.p)]
    };
    let rows = page.figures.comparisons.iter().map(|c: &Comparison| {
        let mut row = vec![c.protocol.to_string(), c.a.clone(), c.b.clone(), text(c.n), text(c.only_a), text(c.only_b)];
        row.push(text(c.groups));
        row.extend(difference(&c.accuracy));
        row.extend(difference(&c.log_loss));
        row.extend([text(c.mcnemar.only_a_right), text(c.mcnemar.only_b_right), text(c.mcnemar.p)]);
        row
    });
    csv(header, rows)
}

fn curves(page: &Page) -> Vec<u8> {
    let rows = page.curves.iter().flat_map(|curve| {
        curve.points.iter().enumerate().map(move |(at, p)| {
            vec![
                curve.system.clone(),
                text(p.epoch),
                text(p.step),
                text(p.learning_rate),
                text(p.train_loss),
                some(p.val_loss),
                some(p.val_accuracy),
                text(curve.best == Some(at)),
            ]
        })
    });
    csv("system,epoch,step,learning_rate,train_loss,val_loss,val_accuracy,kept", rows)
}

fn failures(page: &Page) -> Vec<u8> {
    let rows = page.failures.iter().map(|f| [&f.stage, &f.id, &f.cause, &f.message].map(Clone::clone).to_vec());
    csv("stage,id,cause,message", rows)
}

fn text(value: impl std::fmt::Display + Copy) -> String {
    value.to_string()
}

fn some(value: Option<f64>) -> String {
    value.map(text).unwrap_or_default()
}

fn csv(header: &str, rows: impl Iterator<Item = Vec<String>>) -> Vec<u8> {
    let mut table = csv::Writer::from_writer(Vec::new());
    let header: Vec<String> = header.split(',').map(str::to_owned).collect();
    for row in std::iter::once(header).chain(rows) {
        table.write_record(row).expect("rows as long as the header, written to memory");
    }
    table.into_inner().expect("written to memory")
}

/// The protocols that occur.
pub(crate) fn protocols(page: &Page) -> Vec<Protocol> {
    Protocol::ALL.into_iter().filter(|protocol| !page.figures.of(*protocol).is_empty()).collect()
}
