//! `lethe epsilon explain`: what an epsilon says, what it rests on, and what each accountant makes of the run.

use clap::Args;
use dp_core::{
    Accountant, CentralLimit, Delta, DpEvent, EpsilonBound, PldAccountant, RdpAccountant,
};
use report::number::significant;
use report::table::Table;
use serde_json::{Value, json};

use super::account::{Answer, at_least, at_most, run_json, run_lines};
use super::flags::{AccountFlags, AccountantFlag, Chosen, RunFlags, refused, refused_alone};
use super::phase::Fill;
use super::spec::{Relation, Run};
use super::visits::Visits;
use crate::command::{Outcome, write};
use crate::error::Result;

/// Flags of `explain`.
#[derive(Debug, Args)]
pub(super) struct Flags {
    #[command(flatten)]
    run: RunFlags,
    #[command(flatten)]
    account: AccountFlags,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Flags {
    pub(super) fn outcome(&self) -> Result<Outcome> {
        let run = self.run.spec().run(Fill::default()).map_err(refused)?;
        let delta = self.run.spec().delta().map_err(refused_alone)?;
        let event = run.accounted();
        let chosen = self.account.chosen()?;
        let answer = Answer::of(&chosen, &event, delta)?;
        let rivals = rivals(&event, delta)?;
        let meaning = meaning(&run, delta, &answer);
        let assumptions = assumptions(&run);
        let why = why(self.account.accountant);
        let stdout = if self.json {
            let all = rivals.iter().map(|(name, answer, about)| {
                json!({ "accountant": name, "epsilon": answer.as_ref().map(Answer::json), "about": about })
            });
            write::json(&json!({
                "format": "lethe-epsilon-explain",
                "version": 1,
                "epsilon": answer.json(),
                "run": run_json(&run, delta),
                "meaning": meaning,
                "accountant": why,
                "assumptions": assumptions,
                "accountants": all.collect::<Vec<Value>>(),
            }))?
        } else {
            let mut lines = vec![("epsilon".to_owned(), answer.epsilon.to_string())];
            lines.extend(run_lines(&run, delta));
            lines.push(("accountant".into(), answer.accountant_words()));
            let mut text = format!(
                "{}\n{meaning}\n\n{why}\n\nThe number holds if\n\n",
                write::aligned(&lines)
            );
            for (i, assumption) in assumptions.iter().enumerate() {
                text += &format!("{}. {assumption}\n", i + 1);
            }
            format!("{text}\n{}\n", table(&rivals).to_terminal(None))
        };
        Ok(Outcome { stdout, notes: answer.notes(&run, delta), ..Outcome::default() })
    }
}

/// All accountants: name, answer unless it has none for this run, and what to think of it.
fn rivals(
    event: &DpEvent,
    delta: Delta,
) -> Result<[(&'static str, Option<Answer>, &'static str); 3]> {
    let of = |chosen: Chosen| Answer::of(&chosen, event, delta);
    let limit = CentralLimit::new();
    let estimate = match limit.epsilon(event, delta) {
        Ok(_) => Some(of(Chosen::CentralLimit(limit))?),
        Err(_) => None, // Laplace noise
    };
    Ok([
        ("pld", Some(of(Chosen::Pld(PldAccountant::new()))?), "both ends are certain"),
        ("rdp", Some(of(Chosen::Rdp(RdpAccountant::new()))?), "certain, and never below pld"),
        ("central-limit", estimate, "an estimate: may be below the truth"),
    ])
}

fn meaning(run: &Run, delta: Delta, answer: &Answer) -> String {
    let (neighbors, upper) = match run.relation {
        Relation::AddOrRemove => ("one of which has a record more than the other", answer.upper()),
        Relation::Replace => ("of equal size, which differ in one record", answer.upper()),
    };
    let verb = match answer.epsilon {
        EpsilonBound::Estimate(_) => "It is estimated, not certain, that",
        _ => "By a bound, up to rounding:",
    };
    let factor = if upper < 700.0 { at_most(upper.exp(), 4) } else { format!("e^{upper:.1}") };
    format!(
        "{verb} for two data sets {neighbors}, everything that the run publishes is at most {factor} = exp(epsilon) times \
         as likely with one as with the other, up to a probability of delta = {:e}.",
        delta.get()
    )
}

fn why(flag: AccountantFlag) -> &'static str {
    match flag {
        AccountantFlag::Pld => {
            "The accountant adds up distributions of the privacy loss. Both ends are derived bounds; rounding in special functions and \
             transforms is allowed for, and what of it is proven stands in docs/accountants.md. Where no grid fits (epsilon of many hundreds) the upper end is \
             that of Renyi divergences. Removing and adding a record are accounted for separately, and the larger one counts."
        }
        AccountantFlag::Rdp => {
            "The accountant adds up Renyi divergences and converts their sum at the best order. The result is always an upper \
             bound: about a tenth above the truth as a rule, and several times for small rates with little noise."
        }
        AccountantFlag::CentralLimit => {
            "The central limit treats many steps as one Gaussian release. It is quick, and may say less than the truth: \
             never promise it."
        }
    }
}

fn assumptions(run: &Run) -> Vec<String> {
    let mut all = Vec::new();
    let sampled = run.event().claims_amplification();
    if sampled && run.takes_credit() {
        all.push(
            "every record joins every batch independently with the stated rate, by the sampler that really draws the batches. \
             Shuffled epochs and batches of fixed size are not that; for them give --shuffled."
                .to_owned(),
        );
    } else if sampled {
        all.push(
            "every record is in each batch once at most, and one that is removed leaves its place empty: the others stay in their \
             batches. No credit is taken for sampling, whatever draws the batches."
                .to_owned(),
        );
    }
    if run.parts.iter().any(|part| part.visits != Visits::Every) {
        all.push(
            "the batches of an epoch are disjoint parts of the records, so that one record is in one of them at most, and each epoch \
             counts as one release. Batches of fixed size that are drawn anew in each step are not that: for them give --rate 1 and \
             --steps, and every step counts."
                .to_owned(),
        );
    }
    all.push(
        "one record's whole contribution is clipped (to norm 1, say), and noise with the stated multiple of that norm is added \
         to the sum. What divides the sum is a public number, never the size of the batch that was drawn."
            .to_owned(),
    );
    if run.relation == Relation::Replace {
        all.push("the noise multiplier is relative to the sensitivity of replacing, which is twice the clip norm.".into());
    }
    if run.parts.iter().any(|part| has_joint(&part.event)) {
        all.push(
            "the answers of one step are computed on one and the same batch, and each one's noise is relative to its own \
             sensitivity."
                .into(),
        );
    }
    all.push(
        "noise, rates and clip norms of later steps were fixed beforehand, or depend on public numbers alone. Where they follow \
         private outcomes, a privacy filter decides what may still be released (`RdpFilter` of dp-core)."
            .into(),
    );
    all.push(
        "nothing else of these records is published: no losses, no accuracy on them, no choice among several runs that is not \
         counted as a run."
            .into(),
    );
    all.push("the noise is secret, and as good as real numbers: attacks on its lowest bits are not covered.".into());
    all
}

/// Whether several answers are given on one sample.
fn has_joint(event: &DpEvent) -> bool {
    match event {
        DpEvent::PoissonSampled { event, .. } => has_joint(event),
        DpEvent::Composed(events) => 1 < events.len(),
        _ => false,
    }
}

fn table(rivals: &[(&'static str, Option<Answer>, &'static str)]) -> Table {
    let mut table = Table::new(["accountant", "at least", "at most", "about", ""]);
    for (name, answer, about) in rivals {
        let (mut lower, mut upper, mut estimate) = (String::new(), String::new(), String::new());
        match answer.as_ref().map(|answer| (answer.epsilon, answer.upper())) {
            None => estimate = "not for this run".into(),
            Some((EpsilonBound::Estimate(value), _)) => estimate = significant(value, 6),
            Some((EpsilonBound::Bracket { lower: below, .. }, above)) => {
                (lower, upper) = (at_least(below, 6), at_most(above, 6));
            }
            Some((EpsilonBound::Upper(_), above)) => upper = at_most(above, 6),
        }
        table.push_row([(*name).to_owned(), lower, upper, estimate, (*about).to_owned()]);
    }
    table
}
