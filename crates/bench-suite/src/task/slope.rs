//! Fits of `slope2` beside other libraries, at equal true gap.

mod cases;
mod describe;
mod measure;
mod own;
mod result;

use report::html::Section;

use crate::error::{Error, Result};
use crate::session::Session;
use crate::slope::data::Data;
use crate::slope::peers::Environment;
use cases::{Case, Group};
use measure::Bench;
pub(super) use measure::{done, repeats};
use result::CaseResult;
pub(super) use result::median;

/// Runs everything and writes the section.
pub(super) fn run(session: &Session) -> Result<Section> {
    let mut section = Section::new("slope2 beside other libraries").paragraph(
        "Process CPU time on one thread, every library in a process of its own that reads the same files; medians of at least \
         five fits, fewer where one takes more than five seconds. No intercept, no centering, no scaling. Every solution has a \
         duality gap of at most 1e-6 of the objective, computed by us from its coefficients over all features: the own \
         tolerance of each library is tightened until that holds (for paths and grids at the worst point), once for each case, \
         and the time is the one at that tolerance. Compiled code is warm. Two levels have a ratio of .5 and a share of .02 (tall: .2), in the corner \
         a ratio of .1 and a share of .01; `/10` is a tenth of the largest useful strength, a path has 50 strengths down to `/50`, \
         the grid 90 cells: shares .01, .05, .25, ratios .25, .5, .75, ten levels down to `/10`.",
    );
    let environment =
        session.peers_if_possible(|folder, note| Environment::prepare(folder, note))?;
    for group in Group::ALL {
        let cases: Vec<Case> = group.cases();
        let wanted: Vec<&Case> = cases.iter().filter(|case| session.wants(case.name)).collect();
        if wanted.is_empty() {
            continue;
        }
        let results = measure(session, environment.as_ref(), group, &wanted)?;
        for (case, result) in &results {
            describe::record(session, case, result)?;
        }
        section = section.section(describe::section(group, &results)?);
    }
    for part in [own::prox(session)?, own::threads(session)?].into_iter().flatten() {
        section = section.section(part);
    }
    Ok(section)
}

/// The results of all cases of a group, from an earlier call where they may be.
fn measure<'a>(
    session: &Session,
    environment: Option<&Environment>,
    group: Group,
    cases: &[&'a Case],
) -> Result<Vec<(&'a Case, CaseResult)>> {
    let file = |case: &Case| session.path(&format!("runs/slope-{}.json", case.name));
    let mut results = Vec::new();
    let mut bench: Option<(Data, std::path::PathBuf)> = None;
    let task = session.progress.task(format!("slope: {}", group.name()), cases.len() as u64);
    let mut processes = measure::Processes::default();
    for case in cases {
        if session.interrupt.is_set() {
            return Err(Error::Interrupted);
        }
        let known = if session.resume { CaseResult::read(&file(case))? } else { None };
        let known = known.filter(|known| {
            known.commit == session.commit && known.with_peers == environment.is_some()
        });
        let result = if let Some(known) = known {
            known
        } else {
            if bench.is_none() {
                let data = group.simulation().draw();
                let folder = session.path(&format!("slope/{}", group.name()));
                data.write(&folder)?;
                bench = Some((data, folder));
            }
            let Some((data, folder)) = &bench else { continue };
            let on = Bench { session, environment, data, folder };
            let result = on.measure(case, &mut processes)?;
            result.write(&file(case))?;
            result
        };
        results.push((*case, result));
        task.advance(1);
    }
    task.finish();
    Ok(results)
}
