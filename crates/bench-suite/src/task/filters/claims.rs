//! What is claimed of filters, and what is seen of it.

use report::number::significant;

use super::comparison::{Column, watched};
use super::runs::Quality;
use super::{SEEDS, Setting};
use crate::error::Result;
use crate::filters::{Base, Filtering};
use crate::task::claim::{Asks, Check, Claim};
use crate::task::curves::mean_and_std;

/// Points of accuracy that the paper on DOPPLER claims at least.
const CLAIMED: f64 = 3.0;
/// Points within which a replication saw it.
const REPLICATED: f64 = 1.5;
/// An estimate is better if its error falls by half.
const HALF: f64 = 0.5;

const DISK: Filtering = Filtering::Disk { kappa: 0.3, gamma: None };

pub(super) fn of(setting: &Setting, columns: &[Column]) -> Result<Vec<Claim>> {
    let claim = |published, miniature: String, checks| Claim {
        published,
        miniature,
        command: "cargo xtask bench filters",
        seeds: format!("{SEEDS}, the same for all"),
        checks,
    };
    let above = |which: &[Filtering], asks: Asks| -> Result<Vec<Check>> {
        let mut checks = Vec::new();
        for column in columns {
            for filtering in which {
                let Ok(cell) = column.cell(*filtering) else { continue };
                let values = cell.gain(column.cell(Filtering::None)?, setting.quality);
                let (name, base) = (filtering.name(), column.base.name());
                let what = format!("{base}, epsilon {}: {name}", column.epsilon);
                checks.push(Check { what, asks, values });
            }
        }
        Ok(checks)
    };
    let low_pass = [Filtering::FirstOrder, Filtering::SecondOrder];
    let before = [Filtering::FirstOrderBefore, Filtering::SecondOrderBefore];
    let mut kalman = Filtering::all(Base::Sgd);
    kalman.retain(|filtering| matches!(filtering, Filtering::Disk { .. }));
    let what = match setting.quality {
        Quality::Accuracy => "points of accuracy above no filter",
        Quality::Loss => "nats of loss below no filter",
    };
    let here = || format!("{what} on {}, rates tuned for each method", setting.key);
    let mut claims = Vec::new();
    if setting.quality == Quality::Accuracy {
        claims.extend([
        claim(
            "Paper: DOPPLER gains 3 to 10 points over the same optimizer without it (2408.13460)",
            here(),
            above(&low_pass, Asks::LargerThan(CLAIMED))?,
        ),
        claim(
            "Replication: DOPPLER is within 1.5 points of no filter (2511.08841)",
            here(),
            above(&low_pass, Asks::Near(0.0, REPLICATED))?,
        ),
        ]);
    }
    claims.extend([
        claim(
            "Paper: DiSK is better than the same optimizer without it (2410.03883)",
            here(),
            above(&kalman, Asks::LargerThan(0.0))?,
        ),
        claim(
            "Ours: a low-pass filter before Adam, which then smooths twice, costs accuracy",
            here(),
            above(&before, Asks::Smaller)?,
        ),
    ]);
    if let Some(column) = watched(setting, columns) {
        let none = column.cell(Filtering::None)?;
        let sigma = none.outcomes.first().map_or(f64::NAN, |outcome| outcome.sigma);
        let noise = mean_and_std(&none.noise_ratios()).0;
        let ratio = |filtering: Filtering| -> Result<Check> {
            Ok(Check {
                what: format!("{}: error over that of an unfiltered gradient", filtering.name()),
                asks: Asks::AtMost(HALF),
                values: column.cell(filtering)?.error_ratios(),
            })
        };
        claims.push(claim(
            "Ours: where noise dominates, both methods at least halve the error of the gradient",
            format!(
                "{}, SGD, noise multiplier {}, batches of {}: an unfiltered private gradient errs by {} times the squared norm of \
                 the truth; DiSK with gain 0.7, its published default, multiplies noise by 0.538 and cannot halve it",
                setting.key,
                significant(sigma, 3),
                setting.batch_size,
                significant(noise, 2)
            ),
            vec![ratio(Filtering::FirstOrder)?, ratio(Filtering::SecondOrder)?, ratio(DISK)?],
        ));
    }
    Ok(claims)
}
