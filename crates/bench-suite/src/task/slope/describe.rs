//! Figures, tables and bars of the comparison.

use report::figures::Better;
use report::html::Section;
use report::number::significant;
use report::plot::Bars;
use report::table::{Align, Table};

use super::cases::{Case, Group};
use super::result::{CaseResult, Row};
use crate::error::Result;
use crate::session::{Session, Spread};
use crate::slope::peers::Peer;

/// Our time over that of the fastest reference, and which it is.
fn ratio<'a>(case: &Case, result: &'a CaseResult) -> Option<(f64, &'a str)> {
    let names: Vec<&str> = case.references().iter().map(|peer| peer.name()).collect();
    let ours = result.ours().filter(|row| row.is_certified())?;
    let (name, reference) = result.fastest(&names)?;
    Some((ours.cpu() / reference.cpu(), name))
}

/// Appends the figures of a case.
pub(super) fn record(session: &Session, case: &Case, result: &CaseResult) -> Result<()> {
    let figure = |name: &str, value: f64, unit: &str, config: &str| {
        let spread =
            Spread { better: Better::Lower, std: None, n_seeds: 1, config: config.to_owned() };
        session.figure("slope", name, value, unit, spread)
    };
    for (name, row) in result.rows.iter().filter(|(_, row)| !row.cpu_s.is_empty()) {
        let gap = row.gap.unwrap_or(f64::NAN);
        let config = format!("tolerance {:.2e}, gap {gap:.1e}", row.tolerance);
        figure(&format!("{}-{name}-cpu-ms", case.name), 1e3 * row.cpu(), "ms", &config)?;
    }
    if let Some((ratio, name)) = ratio(case, result) {
        let goal = case.goal.map_or_else(String::new, |goal| format!(", goal {goal:.3}"));
        let config = format!("over {name}{goal}");
        figure(&case.ratio_name(), ratio, "ratio of medians", &config)?;
    }
    Ok(())
}

/// Milliseconds, and whatever is to be said about them.
fn cell(row: Option<&Row>) -> String {
    let Some(row) = row else { return String::new() };
    let time = || significant(1e3 * row.cpu(), 3);
    match &row.trouble {
        None => time(),
        Some(trouble) if row.cpu_s.is_empty() => trouble.chars().take(80).collect(),
        Some(trouble) => format!("{} ({})", time(), trouble.chars().take(80).collect::<String>()),
    }
}

/// A small number as a fraction.
fn fraction(ratio: f64) -> String {
    if ratio < 0.6 { format!("1/{}", significant(1.0 / ratio, 3)) } else { significant(ratio, 3) }
}

/// The table and the bars of a design.
pub(super) fn section(group: Group, results: &[(&Case, CaseResult)]) -> Result<Section> {
    let peers: Vec<Peer> = Peer::ALL
        .into_iter()
        .filter(|peer| results.iter().any(|(_, r)| r.rows.contains_key(peer.name())))
        .collect();
    let simulation = group.simulation();
    let mut names = vec!["case".to_owned(), "slope2".into(), "gap".into()];
    names.extend(peers.iter().map(|peer| peer.name().to_owned()));
    names.extend(["ratio".into(), "goal".into(), "met".into()]);
    let n_columns = names.len();
    let mut table = Table::new(names).with_caption(
        "CPU milliseconds; our true gap; the ratio is to sortedl1, for the LASSO to the faster of celer and skglm.",
    );
    for column in 1..n_columns {
        table = table.align(column, Align::Right);
    }
    for (case, result) in results {
        let gap = result.ours().and_then(|row| row.gap);
        let mut cells = vec![case.about.to_owned(), cell(result.ours())];
        cells.push(gap.map_or_else(String::new, |gap| format!("{gap:.1e}")));
        cells.extend(peers.iter().map(|peer| cell(result.rows.get(peer.name()))));
        let ratio = ratio(case, result);
        cells.push(ratio.map_or_else(String::new, |(ratio, _)| fraction(ratio)));
        cells.push(case.goal.map_or_else(String::new, fraction));
        cells.push(match (ratio, case.goal) {
            (Some((ratio, _)), Some(goal)) => (if ratio <= goal { "yes" } else { "no" }).into(),
            _ => String::new(),
        });
        table.push_row(cells);
    }
    let mut section =
        Section::new(format!("{}: {} x {}", group.name(), simulation.n, simulation.p));
    let versions = peers.iter().filter_map(|peer| {
        let rows = results.iter().filter_map(|(_, r)| r.rows.get(peer.name()));
        rows.filter_map(|row| row.versions.get(peer.name()))
            .next()
            .map(|v| (peer.name(), v.clone()))
    });
    let versions: Vec<(&str, String)> = versions.collect();
    if !versions.is_empty() {
        section = section.key_values(versions);
    }
    section = section.table(&table);
    for (title, lasso) in [("two levels", false), ("LASSO", true)] {
        let part: Vec<_> = results.iter().filter(|(case, _)| case.is_lasso() == lasso).collect();
        let shown = peers.iter().filter(|peer| part.iter().any(|(c, _)| c.peers().contains(peer)));
        let shown: Vec<&Peer> = shown.collect();
        if part.is_empty() || shown.is_empty() {
            continue;
        }
        let names = part.iter().map(|(case, _)| case.name.trim_start_matches("lasso-"));
        let mut bars = Bars::new(format!("{}: {title}", group.name()), names)
            .y_label("times as long as slope2")
            .horizontal(1.0, "slope2")
            .with_values();
        for peer in shown {
            let times = part.iter().map(|(_, result)| {
                let ours = result.ours().map_or(f64::NAN, Row::cpu);
                result.rows.get(peer.name()).map_or(f64::NAN, Row::cpu) / ours
            });
            bars = bars.series(peer.name(), times)?;
        }
        section = section.plot(&bars.to_svg()?, "CPU time of the peers over ours, at equal gap.");
    }
    Ok(section)
}
