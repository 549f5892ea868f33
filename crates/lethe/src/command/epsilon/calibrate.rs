//! `lethe epsilon calibrate`: the noise, the steps or the rate for a wanted epsilon.

use clap::Args;
use dp_core::calibrate::{self, Target};
use dp_core::{Accountant, Delta, DpEvent};
use serde_json::json;

use super::account::{Answer, run_json, run_lines};
use super::flags::{AccountFlags, AccountantFlag, RunFlags, refused, refused_alone};
use super::phase::Fill;
use super::spec::RunSpec;
use crate::command::{Outcome, target, write};
use crate::error::{Error, Result};

/// Flags of `calibrate`: all of a run but one of noise, rate and steps.
#[derive(Debug, Args)]
pub(super) struct Flags {
    /// The epsilon to spend; the answer never spends more.
    #[arg(long, value_name = "E")]
    epsilon: f64,
    #[command(flatten)]
    run: RunFlags,
    #[command(flatten)]
    account: AccountFlags,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What is searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unknown {
    Noise,
    Rate,
    Steps,
}

/// Digits of a number that was found; rounded towards less epsilon.
const DIGITS: i32 = 6;
/// So that the printed epsilon, rounded up, is not above the target either.
const MARGIN: f64 = 3e-9;

impl Flags {
    pub(super) fn outcome(&self) -> Result<Outcome> {
        let spec = self.run.spec();
        let unknown = self.unknown(&spec)?;
        let placeholder = Fill { noise: Some(1.0), rate: Some(1.0), steps: Some(1) };
        spec.run(placeholder).map_err(refused)?;
        let delta = spec.delta().map_err(refused_alone)?;
        if !(0.0 < self.epsilon && self.epsilon.is_finite()) {
            let what = format!("--epsilon: expected a number above 0, got {}", self.epsilon);
            return Err(Error::Usage(what));
        }
        if self.account.accountant == AccountantFlag::CentralLimit {
            return Err(Error::Usage(
                "--accountant central-limit: an estimate is nothing to rely on; take pld or rdp"
                    .into(),
            ));
        }
        let chosen = self.account.chosen()?;
        let target = Target::new(self.epsilon * (1.0 - MARGIN), delta.get())?;
        let (fill, name, value) = self.search(unknown, &spec, chosen.as_dyn(), target)?;
        let run = spec.run(fill).map_err(refused)?;
        let answer = Answer::of(&chosen, &run.accounted(), delta)?;
        let mut notes = answer.notes(&run, delta);
        if unknown == Unknown::Rate && fill.rate.is_some_and(|rate| 1.0 <= rate) {
            notes.push("even the whole data set in each step stays within the target".into());
        }
        let stdout = if self.json {
            write::json(&json!({
                "format": "lethe-epsilon-calibrate",
                "version": 1,
                "target_epsilon": self.epsilon,
                "found": { name: value.clone() },
                "epsilon": answer.json(),
                "run": run_json(&run, delta),
            }))?
        } else {
            let mut lines = vec![
                (name.to_owned(), value.to_string()),
                ("epsilon".to_owned(), answer.epsilon.to_string()),
            ];
            lines.extend(run_lines(&run, delta));
            lines.push(("accountant".into(), answer.accountant_words()));
            write::aligned(&lines)
        };
        Ok(Outcome { stdout, notes, ..Outcome::default() })
    }

    fn unknown(&self, spec: &RunSpec) -> Result<Unknown> {
        const FORMS: &str = "--noise, --rate (or --batch) and --steps (or --epochs)";
        let missing = spec.missing().map_err(refused_alone)?;
        match (missing.noise, missing.rate, missing.steps) {
            (true, false, false) => Ok(Unknown::Noise),
            (false, true, false) => Ok(Unknown::Rate),
            (false, false, true) if spec.phases.len() <= 1 => Ok(Unknown::Steps),
            (false, false, true) => Err(Error::Usage(
                "--phase: steps can be found for a run of one phase; give them, and leave out noise or rate"
                    .into(),
            )),
            (false, false, false) => {
                Err(Error::Usage(format!("nothing is left to find: leave out one of {FORMS}")))
            }
            _ => Err(Error::Usage(format!("too much is left to find: give two of {FORMS}"))),
        }
    }

    /// The missing number as a fill, with its name and its value.
    fn search(
        &self,
        unknown: Unknown,
        spec: &RunSpec,
        accountant: &dyn Accountant,
        target: Target,
    ) -> Result<(Fill, &'static str, serde_json::Value)> {
        let history = |fill: Fill| history(spec, fill);
        let fits = |fill: Fill| -> Result<bool> {
            let bound = accountant.epsilon(&history(fill)?, target.delta)?;
            Ok(bound.guarantee().is_some_and(|upper| upper <= target.epsilon.get()))
        };
        let fill = match unknown {
            Unknown::Noise => {
                let with = |noise: f64| Fill { noise: Some(noise), ..Fill::default() };
                let found = calibrate::noise_multiplier(accountant, target, |noise| {
                    history(with(noise.get()))
                });
                let found = found.map_err(|e| self.out_of_reach(unknown, target.delta, e))?.get();
                let rounded = with(rounded(found, f64::ceil));
                if fits(rounded)? { rounded } else { with(found) }
            }
            Unknown::Rate => {
                let with = |rate: f64| Fill { rate: Some(rate), ..Fill::default() };
                let found =
                    calibrate::sample_rate(accountant, target, |rate| history(with(rate.get())));
                let found = found.map_err(|e| self.out_of_reach(unknown, target.delta, e))?.get();
                let rounded = with(rounded(found, f64::floor));
                if fits(rounded)? { rounded } else { with(found) }
            }
            Unknown::Steps => {
                let with = |steps: u64| Fill { steps: Some(steps), ..Fill::default() };
                let found = calibrate::steps(accountant, target, &history(with(1))?);
                // What fits are batches with a record; of disjoint ones there are more in an epoch.
                let visits =
                    spec.run(with(1)).map_err(refused)?.parts.pop().map(|part| part.visits);
                match found.map_err(|e| self.out_of_reach(unknown, target.delta, e))? {
                    0 => {
                        return Err(Error::OutOfReach(format!(
                            "not a single step stays within epsilon {}: add noise, lower the rate, or ask for more",
                            self.epsilon
                        )));
                    }
                    n => with(visits.map_or(n, |visits| visits.steps_within(n))),
                }
            }
        };
        Ok(match fill {
            Fill { noise: Some(noise), .. } => (fill, "noise", json!(noise)),
            Fill { rate: Some(rate), .. } => (fill, "rate", json!(rate)),
            Fill { steps, .. } => (fill, "steps", json!(steps)),
        })
    }

    /// What to change if no value within the limits of the search meets the target.
    fn out_of_reach(&self, unknown: Unknown, delta: Delta, error: dp_core::Error) -> Error {
        let dp_core::Error::CalibrationLimit { limit, epsilon, .. } = error else {
            return error.into();
        };
        let (wanted, delta) = (self.epsilon, delta.get());
        Error::OutOfReach(match unknown {
            Unknown::Noise => {
                let remedy = "ask for a larger epsilon or delta, for fewer steps or a lower rate";
                target::no_noise_fits((limit, epsilon), wanted, delta, remedy)
            }
            Unknown::Rate => format!(
                "no rate from {limit:e} keeps this run within epsilon {wanted} at delta {delta:e}: add noise, take fewer steps, or ask for a larger epsilon or delta"
            ),
            Unknown::Steps => format!(
                "any number of steps stays within epsilon {wanted}: ask for less, or use the privacy for less noise"
            ),
        })
    }
}

/// The history of a run that is known to be sound but for the number that is searched for.
fn history(spec: &RunSpec, fill: Fill) -> dp_core::Result<DpEvent> {
    let run = spec.run(fill).map_err(|(_, fault)| dp_core::Error::Malformed {
        what: "run",
        why: format!("{}: {}", fault.field, fault.what),
    })?;
    Ok(run.accounted())
}

/// To some significant digits, by the given direction.
fn rounded(x: f64, to: fn(f64) -> f64) -> f64 {
    #[allow(clippy::cast_possible_truncation, reason = "an exponent of ten")]
    let places = DIGITS - 1 - x.log10().floor() as i32;
    let (up, down) = (10f64.powi(places.max(0)), 10f64.powi((-places).max(0)));
    to(x * up / down) / up * down
}
