//! Flags that several commands share.

use clap::{Args, ValueEnum};
use dp_core::{Accountant, CentralLimit, PldAccountant, RdpAccountant};

use super::phase::{Fault, PhaseSpec, parse};
use super::spec::{Placed, Relation, RunSpec};
use crate::error::{Error, Result};

/// A run in flags.
#[derive(Debug, Args)]
#[command(next_help_heading = "Run")]
pub(super) struct RunFlags {
    /// Number of records; becomes public. Needed for --batch.
    #[arg(long, value_name = "N")]
    samples: Option<f64>,
    /// Expected number of records in a batch.
    #[arg(long, value_name = "B")]
    batch: Option<f64>,
    /// Probability with which each record joins each batch; 1 for the whole data set.
    #[arg(long, value_name = "0..1")]
    rate: Option<f64>,
    /// Noise multiplier: standard deviation of the Gaussian noise over the clip norm.
    #[arg(long, value_name = "S")]
    noise: Option<f64>,
    /// Noise multiplier of a further answer on the same batch, relative to its own sensitivity; may be repeated.
    #[arg(long, value_name = "S")]
    joint: Vec<f64>,
    /// Scale of Laplace noise over the sensitivity, in place of Gaussian noise.
    #[arg(long, value_name = "B")]
    laplace: Option<f64>,
    /// Number of steps.
    #[arg(long, value_name = "T")]
    steps: Option<f64>,
    /// Passes over the data; steps are that over the rate, rounded up.
    #[arg(long, value_name = "E")]
    epochs: Option<f64>,
    /// A phase of a run with several, as rate=0.01,noise=1.1,steps=1000; may be repeated. Names as those of the flags.
    #[arg(long = "phase", value_name = "NAME=VALUE,...", value_parser = parse)]
    phases: Vec<PhaseSpec>,
    /// The delta of the guarantee.
    #[arg(long, value_name = "D")]
    delta: Option<f64>,
    /// Which data sets count as neighbors.
    #[arg(long, value_enum, default_value_t = Relation::AddOrRemove)]
    relation: Relation,
    /// Batches are disjoint parts of shuffled records: no credit for sampling, but a record is in one batch of each epoch. With --steps
    /// alone, without --samples and --batch, every step counts; so it must for batches of fixed size that are drawn anew.
    #[arg(long)]
    shuffled: bool,
}

impl RunFlags {
    pub(super) fn spec(&self) -> RunSpec {
        RunSpec {
            name: None,
            samples: self.samples,
            delta: self.delta,
            relation: self.relation,
            shuffled: self.shuffled,
            rate: self.rate,
            batch: self.batch,
            noise: self.noise,
            joint: self.joint.clone(),
            laplace: self.laplace,
            steps: self.steps,
            epochs: self.epochs,
            phases: self.phases.clone(),
        }
    }
}

/// A fault of the flags as an error.
pub(super) fn refused((phase, Fault { field, what }): Placed) -> Error {
    let place = phase.map(|i| format!("--phase {i}, ")).unwrap_or_default();
    let dashes = if phase.is_some() { "" } else { "--" };
    Error::Usage(format!("{place}{dashes}{field}: {what}"))
}

/// The same of a fault without a phase.
pub(super) fn refused_alone(fault: Fault) -> Error {
    refused((None, fault))
}

/// How is accounted.
#[derive(Debug, Args)]
#[command(next_help_heading = "Accounting")]
pub(super) struct AccountFlags {
    /// Who accounts.
    #[arg(long, value_enum, default_value_t = AccountantFlag::Pld)]
    pub(super) accountant: AccountantFlag,
    /// Width of the bracket that is wanted [default: 0.001 and 0.2 % of epsilon].
    #[arg(long, value_name = "WIDTH")]
    pub(super) width: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum AccountantFlag {
    /// Distributions of the privacy loss: an upper and a lower bound.
    Pld,
    /// Renyi divergences: an upper bound, larger by a tenth as a rule.
    Rdp,
    /// The central limit: an estimate that may lie below the truth, never a guarantee.
    CentralLimit,
}

/// The accountant that was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Chosen {
    Pld(PldAccountant),
    Rdp(RdpAccountant),
    CentralLimit(CentralLimit),
}

impl AccountFlags {
    pub(super) fn chosen(&self) -> Result<Chosen> {
        match (self.accountant, self.width) {
            (AccountantFlag::Pld, None) => Ok(Chosen::Pld(PldAccountant::new())),
            (AccountantFlag::Pld, Some(width)) => {
                PldAccountant::with_tolerance(width, 0.0).map(Chosen::Pld).map_err(|_| {
                    Error::Usage(format!("--width: expected a width above 0, got {width}"))
                })
            }
            (_, Some(_)) => Err(Error::Usage("--width is for --accountant pld".into())),
            (AccountantFlag::Rdp, None) => Ok(Chosen::Rdp(RdpAccountant::new())),
            (AccountantFlag::CentralLimit, None) => Ok(Chosen::CentralLimit(CentralLimit::new())),
        }
    }
}

impl Chosen {
    pub(super) fn as_dyn(&self) -> &dyn Accountant {
        match self {
            Chosen::Pld(accountant) => accountant,
            Chosen::Rdp(accountant) => accountant,
            Chosen::CentralLimit(accountant) => accountant,
        }
    }
}
