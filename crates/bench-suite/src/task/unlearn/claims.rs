//! What is claimed of methods of unlearning, and what is seen of it.

use super::Scale;
use super::methods::Measured;
use crate::error::{Error, Result};
use crate::forgetting::Summary;
use crate::task::claim::{Asks, Check, Claim};

const COMMAND: &str = "cargo xtask bench unlearn --only methods";

pub(super) fn of(scale: Scale, measured: &Measured) -> Result<Vec<Claim>> {
    let seeds = format!("{}, the same for all", scale.seeds);
    let claim = |published, miniature: &str, checks| Claim {
        published,
        miniature: miniature.to_owned(),
        command: COMMAND,
        seeds: seeds.clone(),
        checks,
    };
    let values = |name: &str, of: fn(&Summary) -> f64| -> Result<Vec<f64>> {
        Ok(measured.cell(name)?.values(|o| of(&o.summary)))
    };
    // Seed by seed.
    let less = |left: &str, right: &str, of: fn(&Summary) -> f64| -> Result<Vec<f64>> {
        Ok(values(left, of)?.into_iter().zip(values(right, of)?).map(|(a, b)| a - b).collect())
    };
    let nearer = |left: &str, right: &str| -> Result<Check> {
        Ok(Check {
            what: format!("distance of {left} less that of {right}"),
            asks: Asks::Smaller,
            values: less(left, right, |s| s.distance)?,
        })
    };
    let against = |name: &str, others: &[&str]| -> Result<Vec<Check>> {
        others.iter().map(|other| nearer(name, other)).collect()
    };
    // Who is nearest of all is nearer than the nearest of the others.
    let nearest = |name: &str, but: &[&str]| -> Result<Vec<Check>> {
        let mut all = measured.cells.iter().map(|c| c.training.method.as_str());
        let other = all.find(|other| *other != name && !but.contains(other));
        Ok(vec![nearer(name, other.ok_or(Error::TooFewRuns)?)?])
    };
    let collapse = |name: &str| -> Result<Check> {
        Ok(Check {
            what: format!("{name}: share of questions and completions to keep that are exact"),
            asks: Asks::AtMost(0.1),
            values: values(name, |s| s.retain_exact)?,
        })
    };
    let here = "network from scratch on made documents, AdamW, each method at its best rate of the grid, stopped at the forget loss of the gold model";
    Ok(vec![
        claim(
            "Paper: NGDiff is the best of the scalarizations (2410.22086)",
            here,
            against("ngdiff", &["gdiff", "gdiff-0.9", "gdiff-0.1", "lossnorm", "rlw", "pcgrad"])?,
        ),
        claim(
            "Ours: NGDiff is nearest to the gold model of all methods",
            &format!("{here}; {}", rank(measured, "ngdiff")),
            // The same direction under AdamW, up to rounding.
            nearest("ngdiff", &["imtl-g"])?,
        ),
        claim(
            "Paper: BLUR is better than the sum of the same losses (2506.08164); a replication does not see it (2608.22557)",
            here,
            against("blur", &["npo"])?,
        ),
        claim(
            "Ours: BLUR is nearest to the gold model of all methods",
            &format!("{here}; {}", rank(measured, "blur")),
            nearest("blur", &[])?,
        ),
        claim(
            "LUME, TOFU: gradient ascent without anything kept destroys what is to be kept",
            here,
            vec![collapse("ga")?],
        ),
        claim(
            "NGDiff paper: gradient difference depends on its weight",
            "the same, both weights at one rate of 3e-4",
            vec![Check {
                what: "retain loss with weight 0.1 less that with 0.9".into(),
                asks: Asks::LargerThan(0.1),
                values: measured.weighted[1]
                    .iter()
                    .zip(&measured.weighted[0])
                    .map(|(low, high)| low.summary.retain_loss - high.summary.retain_loss)
                    .collect(),
            }],
        ),
        claim(
            "Ours: a divergence to the target keeps better than the language loss",
            here,
            vec![
                Check {
                    what: "share of rows to keep that are exact, of npo less that of npo-kl".into(),
                    asks: Asks::Smaller,
                    values: less("npo", "npo-kl", |s| s.retain_exact)?,
                },
                Check {
                    what: "retain loss of npo-kl less that of npo".into(),
                    asks: Asks::Smaller,
                    values: less("npo-kl", "npo", |s| s.retain_loss)?,
                },
            ],
        ),
    ])
}

/// Where a method stands, and which is first.
fn rank(measured: &Measured, method: &str) -> String {
    let names = || measured.cells.iter().map(|c| c.training.method.as_str());
    let at = names().position(|name| name == method).map_or(0, |at| at + 1);
    format!(
        "number {at} of {} by mean distance, the first is {}",
        measured.cells.len(),
        names().next().unwrap_or("")
    )
}
