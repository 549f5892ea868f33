//! The plan of a run, and what to change where its target is out of reach.

use dp_core::hyfree::{Evidence, Settings};
use dp_core::{Accountant, DpEvent, PlanBuilder, PldAccountant, PrivacyPlan, UnitOfPrivacy};

use super::config::{Config, Optimizer};
use crate::command::target;
use crate::error::{Error, Result};

/// Noise of clip counts over their sensitivity, as a part of the expected batch size.
const COUNT_NOISE: f64 = 0.05;

/// How rates are found, if they are.
pub(super) fn rates(config: &Config) -> Result<Option<Settings>> {
    if !config.training.finds_rates() {
        return Ok(None);
    }
    let evidence = match config.training.optimizer {
        Optimizer::Sgd => Evidence::default(),
        Optimizer::Momentum | Optimizer::Adamw => Evidence::default().with_momentum(0.9)?,
    };
    Ok(Some(Settings::evidence(evidence)))
}

/// The plan for so many records.
pub(super) fn of(config: &Config, n_records: u64, rates: Option<&Settings>) -> Result<PrivacyPlan> {
    let privacy = &config.privacy;
    let mut builder = without_noise(config, n_records)?;
    if let Some(rates) = rates {
        builder = builder.losses(rates.schedule());
    }
    if let Some(noise) = privacy.noise {
        builder = builder.noise_multiplier(noise);
    }
    if let Some(epsilon) = privacy.epsilon {
        builder = builder.target_epsilon(epsilon);
    }
    if let Some(noise) = count_noise(config) {
        builder = builder.clip_count_noise(noise);
    }
    match (builder.build(&PldAccountant::new()), privacy.epsilon) {
        (Err(dp_core::Error::CalibrationLimit { limit, epsilon, .. }), Some(wanted)) => {
            out_of_reach(config, n_records, wanted, (limit, epsilon))
        }
        (plan, _) => Ok(plan?),
    }
}

/// Everything but noise and target.
fn without_noise(config: &Config, n_records: u64) -> Result<PlanBuilder> {
    let (training, privacy) = (&config.training, &config.privacy);
    let mut builder = PrivacyPlan::builder()
        .n_samples(privacy.records.unwrap_or(n_records))
        .expected_batch_size(training.batch_size)
        .clip_norm(privacy.clip_norm)
        .delta(privacy.delta)
        .unit(UnitOfPrivacy::new(privacy.unit.clone())?);
    if let Some(epochs) = training.epochs {
        builder = builder.epochs(epochs);
    }
    if let Some(steps) = training.steps {
        builder = builder.steps(steps);
    }
    Ok(builder)
}

/// The noise of counts of clipped records, where there are such counts.
fn count_noise(config: &Config) -> Option<f64> {
    config.privacy.clip_quantile.map(|_| COUNT_NOISE * config.training.batch_size)
}

/// Why no noise of gradients meets the target, and what does; the search ended at a limit with an epsilon.
fn out_of_reach(
    config: &Config,
    n_records: u64,
    wanted: f64,
    (limit, spent): (f64, f64),
) -> Result<PrivacyPlan> {
    let delta = config.privacy.delta;
    if let Some(noise) = count_noise(config).filter(|_| 0.0 < delta) {
        let plan =
            without_noise(config, n_records)?.noise_multiplier(1.0).build(&PldAccountant::new())?;
        let counts =
            DpEvent::gaussian(noise)?.sampled(plan.sample_rate().get())?.repeated(plan.steps());
        let alone = PldAccountant::new().epsilon(&counts, plan.delta())?.value();
        if wanted < alone {
            return Err(Error::OutOfReach(format!(
                "the counts of clipped records that privacy.clip_quantile asks for spend epsilon {alone:.3} of {wanted} by \
                 themselves, whatever the noise of gradients: their noise multiplier is {noise}, {COUNT_NOISE} of \
                 training.batch_size; take larger batches, fewer steps or a larger privacy.epsilon, or leave clip_quantile out"
            )));
        }
    }
    let remedy = "raise privacy.epsilon or privacy.delta, or lower training.batch_size or the number of steps";
    Err(Error::OutOfReach(target::no_noise_fits((limit, spent), wanted, delta, remedy)))
}
