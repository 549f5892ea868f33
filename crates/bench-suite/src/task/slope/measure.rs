//! Tightens the tolerance of each library until its gap is true, then times all of them in turn.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;

use slope2::{Datafit, Gaussian, LossScale, Problem};

use super::cases::Case;
use super::result::{CaseResult, Row, median};
use crate::error::{Error, Result};
use crate::peers::client::{Client, Reply};
use crate::session::Session;
use crate::slope::data::{Data, read_floats};
use crate::slope::peers::{self, Environment, Peer};
use crate::slope::work::{Chain, worst_gap};
use crate::slope::worker::{self, Answer, Request, Source};
use crate::slope::{GAP, LIMIT};

/// Rounds of a case; a round asks every library once.
const ROUNDS: usize = 5;
/// Fits that take longer than this, in seconds, are timed in fewer rounds.
const LONG: f64 = 5.0;
const ROUNDS_OF_LONG: usize = 2;
/// What a request should last at least, in seconds, so that short fits are seen warm.
const ENOUGH: f64 = 0.05;
const MOST_REPEATS: f64 = 20.0;
/// The smallest tolerance that is tried.
const LEAST_TOLERANCE: f64 = 1e-15;
/// No further tolerance is tried after this many seconds of fits.
const SEARCH: f64 = 240.0;

/// Processes that go on from case to case on one design.
#[derive(Debug, Default)]
pub(super) struct Processes {
    own: Option<Client>,
    peers: BTreeMap<Peer, Client>,
}

/// What cases of one design share.
pub(super) struct Bench<'a> {
    pub(super) session: &'a Session,
    pub(super) environment: Option<&'a Environment>,
    pub(super) data: &'a Data,
    pub(super) folder: &'a Path,
}

/// A tolerance that a peer is timed at.
struct Settled {
    tolerance: f64,
    gap: f64,
    cpu_s: f64,
    first: Answer,
}

impl Bench<'_> {
    pub(super) fn measure(&self, case: &Case, processes: &mut Processes) -> Result<CaseResult> {
        let design = self.data.design()?;
        let datafit = Datafit::new(&Gaussian, &self.data.y, LossScale::Mean)?;
        let problem = Problem { design: &design, datafit, penalty: (), intercept: false };
        let chains = case.work.chains(&problem)?;
        let mut rows = BTreeMap::new();

        if processes.own.is_none() {
            processes.own = Some(worker::start(&Source::Folder(self.folder.to_owned()), 1)?);
        }
        let Some(own) = processes.own.as_mut() else { return Err(Error::Interrupted) };
        let request =
            |repeats| Request { work: case.work.clone(), tolerance: GAP, repeats, out: None };
        let first = done(own.ask(&request(1), LIMIT)?)?;
        let mut ours = Row { tolerance: GAP, gap: first.gap, ..Row::default() };
        if !first.gap.is_some_and(|gap| gap <= GAP) {
            ours.trouble = Some("the gap was not reached".into());
        }

        let mut settled: BTreeMap<Peer, Settled> = BTreeMap::new();
        if let Some(environment) = self.environment {
            for peer in case.peers() {
                let row = match self.settle(environment, peer, &problem, &chains, processes) {
                    Ok((found, row)) => {
                        if let Some(found) = found {
                            settled.insert(peer, found);
                        }
                        row
                    }
                    Err(Error::Worker { reason }) => {
                        processes.peers.remove(&peer);
                        Row { trouble: Some(reason), ..Row::default() }
                    }
                    Err(error) => return Err(error),
                };
                rows.insert(peer.name().to_owned(), row);
            }
        }

        let Some(own) = processes.own.as_mut() else { return Err(Error::Interrupted) };
        let own_cpu = median(&first.cpu_s);
        for round in 0..ROUNDS {
            if self.session.interrupt.is_set() {
                return Err(Error::Interrupted);
            }
            if round < rounds(own_cpu) {
                let answer = done(own.ask(&request(repeats(own_cpu)), LIMIT)?)?;
                ours.cpu_s.extend(answer.cpu_s);
                ours.wall_s.extend(answer.wall_s);
            }
            for (peer, found) in &settled {
                let Some(row) = rows.get_mut(peer.name()) else { continue };
                let Some(client) = processes.peers.get_mut(peer) else { continue };
                if rounds(found.cpu_s) <= round {
                    continue;
                }
                if LONG < found.cpu_s && round == 0 {
                    // The fit that settled the tolerance was warm, and counts.
                    row.cpu_s.extend(&found.first.cpu_s);
                    row.wall_s.extend(&found.first.wall_s);
                    continue;
                }
                match self.ask(client, &chains, found.tolerance, repeats(found.cpu_s)) {
                    Ok(Reply::Done(answer)) => {
                        row.cpu_s.extend(answer.cpu_s);
                        row.wall_s.extend(answer.wall_s);
                    }
                    Ok(Reply::Refused(reason)) | Err(Error::Worker { reason }) => {
                        processes.peers.remove(peer);
                        row.trouble = Some(reason);
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        rows.insert("slope2".into(), ours);
        let (commit, with_peers) = (self.session.commit.clone(), self.environment.is_some());
        Ok(CaseResult { commit, with_peers, rows })
    }

    /// Searches the loosest tolerance at which the gap is true: by decades, and then half a decade back.
    fn settle(
        &self,
        environment: &Environment,
        peer: Peer,
        problem: &Problem<'_, ()>,
        chains: &[Chain],
        processes: &mut Processes,
    ) -> Result<(Option<Settled>, Row)> {
        let client = match processes.peers.entry(peer) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(free) => free.insert(environment.start(peer, self.folder)?),
        };
        let mut row = Row { versions: client.ready().versions.clone(), ..Row::default() };
        let (mut best, mut spent): (Option<Settled>, f64) = (None, 0.0);
        let mut trial = |tolerance: f64, spent: &mut f64| -> Result<Result<Settled, String>> {
            if self.session.interrupt.is_set() {
                return Err(Error::Interrupted);
            }
            let answer = match self.ask(client, chains, tolerance, 1)? {
                Reply::Done(answer) => answer,
                Reply::Refused(reason) => return Ok(Err(reason)),
            };
            let cpu_s = median(&answer.cpu_s);
            *spent += cpu_s;
            let gap = worst_gap(problem, chains, &read_floats(&self.coefficients())?)?;
            Ok(Ok(Settled { tolerance, gap, cpu_s, first: answer }))
        };
        let mut tolerance = peer.first_tolerance();
        while LEAST_TOLERANCE <= tolerance && spent < SEARCH {
            match trial(tolerance, &mut spent)? {
                Ok(found) => {
                    let reached = found.gap <= GAP;
                    if best.as_ref().is_none_or(|best| found.gap < best.gap) {
                        best = Some(found);
                    }
                    if reached {
                        break;
                    }
                }
                Err(reason) => {
                    row.trouble = Some(reason);
                    break;
                }
            }
            tolerance /= 10.0;
        }
        let Some(mut found) = best else { return Ok((None, row)) };
        if found.gap <= GAP {
            row.trouble = None;
            if found.tolerance < peer.first_tolerance()
                && let Ok(looser) = trial(found.tolerance * 10f64.sqrt(), &mut spent)?
                && looser.gap <= GAP
            {
                found = looser;
            }
        } else {
            let why = row.trouble.take().map_or_else(String::new, |why| format!(": {why}"));
            row.trouble = Some(format!("stuck at {:.1e}{why}", found.gap));
        }
        (row.tolerance, row.gap) = (found.tolerance, Some(found.gap));
        Ok((Some(found), row))
    }

    fn coefficients(&self) -> std::path::PathBuf {
        self.folder.join("coefficients.f64")
    }

    fn ask(
        &self,
        client: &mut Client,
        chains: &[Chain],
        tolerance: f64,
        repeats: usize,
    ) -> Result<Reply<Answer>> {
        let out = self.coefficients();
        client.ask(&peers::Request { chains, tolerance, repeats, out }, LIMIT)
    }
}

pub(in crate::task) fn done(reply: Reply<Answer>) -> Result<Answer> {
    match reply {
        Reply::Done(answer) => Ok(answer),
        Reply::Refused(reason) => Err(Error::Worker { reason }),
    }
}

fn rounds(cpu_s: f64) -> usize {
    if LONG < cpu_s { ROUNDS_OF_LONG } else { ROUNDS }
}

/// Repeats of one request.
pub(in crate::task) fn repeats(cpu_s: f64) -> usize {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 20")]
    let n = (ENOUGH / cpu_s.max(1e-9)).clamp(1.0, MOST_REPEATS) as usize;
    n
}
