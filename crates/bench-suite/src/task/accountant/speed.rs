//! Time of a bracket of width 0.01 and of the Renyi bound, beside other libraries.

use std::collections::BTreeMap;

use report::figures::Better;
use report::html::Section;
use report::number::significant;
use report::plot::Bars;
use report::table::{Align, Table};

use super::figure;
use crate::accountant::peers::{Environment, Peer};
use crate::accountant::worker;
use crate::accountant::{Answer, LIMIT, Request, Setting};
use crate::error::{Error, Result};
use crate::peers::client::{Client, Reply};
use crate::session::Session;
use crate::task::claim::{Asks, Check, Claim};
use crate::task::slope::{median, repeats};

const SETTINGS: [(&str, Setting); 4] = [
    ("usual", Setting { q: 0.01, noise: 1.0, steps: 1000, delta: 1e-5 }),
    ("long", Setting { q: 0.004_266_7, noise: 1.1, steps: 14_063, delta: 1e-5 }),
    ("dense", Setting { q: 0.1, noise: 5.0, steps: 1000, delta: 1e-6 }),
    ("rare", Setting { q: 0.001, noise: 0.7, steps: 100_000, delta: 1e-7 }),
];
/// Measured rounds; a round asks everybody, one after the other.
const ROUNDS: usize = 7;
/// The width of the bracket that is asked for.
const WIDTH: f64 = 0.01;
const BRACKET: &str = "bracket";
const RENYI: &str = "Renyi";

/// Who is asked.
struct Source {
    name: &'static str,
    client: Client,
    width: Option<f64>,
}

/// What one of them said of one setting.
#[derive(Default)]
struct Row {
    cpu_s: Vec<f64>,
    lower: Option<f64>,
    upper: f64,
    trouble: Option<String>,
}

impl Row {
    fn ms(&self) -> f64 {
        1e3 * median(&self.cpu_s)
    }

    fn width(&self) -> f64 {
        self.lower.map_or(f64::NAN, |lower| self.upper - lower)
    }
}

type Rows = BTreeMap<&'static str, Row>;

pub(super) fn run(session: &Session, environment: Option<&Environment>) -> Result<Section> {
    let mut sources = vec![
        Source { name: BRACKET, client: worker::start()?, width: Some(WIDTH) },
        Source { name: RENYI, client: worker::start()?, width: None },
    ];
    if let Some(environment) = environment {
        for peer in Peer::ALL {
            match environment.start(peer) {
                Ok(client) => sources.push(Source { name: peer.name(), client, width: None }),
                Err(why) => {
                    session.progress.note(format!("{} is not measured: {why}", peer.name()))
                }
            }
        }
    }
    let mut measured = Vec::new();
    let task = session.progress.task("accountant: speed", SETTINGS.len() as u64);
    for (name, setting) in SETTINGS {
        measured.push((name, setting, measure(session, &mut sources, setting)?));
        task.advance(1);
    }
    task.finish();
    record(session, &measured)?;
    let versions = sources.iter().flat_map(|source| source.client.ready().versions.iter());
    let versions: BTreeMap<_, _> = versions.collect();
    let versions = versions.iter().map(|(name, version)| format!("{name} {version}"));
    let versions = versions.collect::<Vec<_>>().join(", ");
    describe(&measured, &versions)
}

fn measure(session: &Session, sources: &mut [Source], setting: Setting) -> Result<Rows> {
    let mut rows = Rows::new();
    let mut times = BTreeMap::new();
    for round in 0..=ROUNDS {
        for source in &mut *sources {
            if session.interrupt.is_set() {
                return Err(Error::Interrupted);
            }
            let row = rows.entry(source.name).or_default();
            if row.trouble.is_some() {
                continue;
            }
            // The first round warms up, and says how long a query takes.
            let repeats = times.get(source.name).map_or(1, |cpu_s| repeats(*cpu_s));
            let request = Request { setting, repeats, interval: None, width: source.width };
            match source.client.ask::<Answer>(&request, LIMIT) {
                Ok(Reply::Done(answer)) if round == 0 => {
                    times.insert(source.name, median(&answer.cpu_s));
                }
                Ok(Reply::Done(answer)) => {
                    row.cpu_s.extend(answer.cpu_s);
                    (row.lower, row.upper) = (answer.lower, answer.upper);
                }
                Ok(Reply::Refused(reason)) | Err(Error::Worker { reason }) => {
                    row.trouble = Some(reason);
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(rows)
}

/// Our row that does what a peer does.
fn ours(peer: Peer) -> &'static str {
    if peer == Peer::OpacusRdp { RENYI } else { BRACKET }
}

/// Our time over a peer's.
fn ratio(rows: &Rows, peer: Peer) -> Option<f64> {
    let (ours, theirs) = (rows.get(ours(peer))?, rows.get(peer.name())?);
    theirs.trouble.is_none().then(|| ours.ms() / theirs.ms())
}

fn record(session: &Session, measured: &[(&'static str, Setting, Rows)]) -> Result<()> {
    for (name, _, rows) in measured {
        for (who, row) in rows.iter().filter(|(_, row)| row.trouble.is_none()) {
            let who = who.to_lowercase();
            figure(
                session,
                &format!("{name}-{who}-cpu-ms"),
                row.ms(),
                "ms",
                Better::Lower,
                "one thread",
            )?;
        }
        if let Some(row) = rows.get(BRACKET) {
            figure(
                session,
                &format!("{name}-width"),
                row.width(),
                "epsilon",
                Better::Lower,
                "0.01 wanted",
            )?;
        }
        for peer in Peer::ALL {
            if let Some(ratio) = ratio(rows, peer) {
                let config = format!("goal {:.4}", peer.goal());
                let name = format!("{name}-over-{}", peer.name());
                figure(session, &name, ratio, "ratio of medians", Better::Lower, &config)?;
            }
        }
    }
    Ok(())
}

fn describe(measured: &[(&'static str, Setting, Rows)], versions: &str) -> Result<Section> {
    let names = [BRACKET, RENYI].into_iter().chain(Peer::ALL.map(Peer::name));
    let mut header = vec!["setting".to_owned(), "q, noise, steps, delta".into(), "width".into()];
    header.extend(names.clone().map(|name| format!("{name}, ms")));
    header.extend(Peer::ALL.map(|peer| format!("over {}", peer.name())));
    let n_columns = header.len();
    let mut table = Table::new(header).with_caption("CPU milliseconds of a query.");
    for column in 2..n_columns {
        table = table.align(column, Align::Right);
    }
    for (name, setting, rows) in measured {
        let Setting { q, noise, steps, delta } = setting;
        let width = rows.get(BRACKET).map_or(f64::NAN, Row::width);
        let mut cells = vec![(*name).to_owned(), format!("{q}, {noise}, {steps}, {delta:e}")];
        cells.push(significant(width, 2));
        cells.extend(names.clone().map(|name| match rows.get(name) {
            None => String::new(),
            Some(Row { trouble: Some(why), .. }) => why.chars().take(60).collect(),
            Some(row) => significant(row.ms(), 3),
        }));
        cells.extend(Peer::ALL.map(|peer| {
            ratio(rows, peer).map_or(String::new(), |r| format!("1/{}", significant(1.0 / r, 3)))
        }));
        table.push_row(cells);
    }
    let mut section = Section::new("Time")
        .paragraph(format!(
            "`bracket` is a certified lower and upper bound at most {WIDTH} apart. prv_accountant and opacus-prv are asked for the same \
             width, dp-accounting and opacus-rdp, which give an upper bound alone, for what they do by themselves."
        ))
        .table(&table);
    if !versions.is_empty() {
        section = section.key_values([("measured beside", versions)]);
    }
    let groups = measured.iter().map(|(name, _, _)| *name);
    let mut bars = Bars::new("Time over ours", groups).y_label("times as long").with_values();
    let mut is_any = false;
    for peer in Peer::ALL {
        let times: Vec<f64> = measured
            .iter()
            .map(|(_, _, rows)| ratio(rows, peer).map_or(f64::NAN, f64::recip))
            .collect();
        if times.iter().any(|time| time.is_finite()) {
            is_any = true;
            bars = bars.series(peer.name(), times)?;
        }
    }
    if !is_any {
        return Ok(section.paragraph("`--peers` measures other libraries beside these."));
    }
    section = section.plot(&bars.to_svg()?, "CPU time of the peers over ours at each setting.");
    Ok(claims(measured).iter().fold(section, |section, claim| section.section(claim.section())))
}

fn claims(measured: &[(&'static str, Setting, Rows)]) -> Vec<Claim> {
    let checks = |peer: Peer| {
        let check = |(name, _, rows): &(&'static str, Setting, Rows)| {
            let ratio = ratio(rows, peer)?;
            let what = format!("{name}: our time over that of {}", peer.name());
            Some(Check { what, asks: Asks::AtMost(peer.goal()), values: vec![ratio] })
        };
        measured.iter().filter_map(check).collect::<Vec<Check>>()
    };
    let claim = |published, checks| Claim {
        published,
        miniature: "the four settings of the table, medians of process CPU time, one thread each"
            .into(),
        command: "cargo xtask bench accountant --peers --only speed",
        seeds: "none: nothing is random".into(),
        checks,
    };
    let widths = measured.iter().map(|(name, _, rows)| Check {
        what: format!("{name}: width"),
        asks: Asks::AtMost(WIDTH),
        values: vec![rows.get(BRACKET).map_or(f64::NAN, Row::width)],
    });
    let brackets = [Peer::DpAccounting, Peer::OpacusPrv, Peer::PrvAccountant];
    let brackets = widths.chain(brackets.into_iter().flat_map(checks)).collect();
    vec![
        claim(
            "a certified bracket of width 0.01 in at most 1/40 of dp-accounting's time, 1/50 of Opacus' PRV and 1/250 of prv_accountant's",
            brackets,
        ),
        claim("the Renyi bound in at most 1/100 of Opacus' time", checks(Peer::OpacusRdp)),
    ]
}
