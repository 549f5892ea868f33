//! What a mechanism did, as plain data: the trainer records events, an accountant reads them.

use std::collections::HashMap;
use std::fmt;

use crate::{ClipNorm, Error, NoiseMultiplier, Result, SampleRate, Scale};

pub(crate) mod encoding;

/// Which data sets count as neighbors: what an observer must not be able to tell apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum NeighboringRelation {
    /// One has one unit more than the other. A clipped sum has sensitivity `C`.
    #[default]
    AddOrRemoveOne,
    /// Same size, one unit differs. A clipped sum has sensitivity `2C`; sampling is given no credit.
    ReplaceOne,
}

impl NeighboringRelation {
    /// The most by which a sum of gradients, each clipped to `clip`, differs between neighbors.
    #[must_use]
    pub fn sensitivity(self, clip: ClipNorm) -> f64 {
        match self {
            NeighboringRelation::AddOrRemoveOne => clip.get(),
            NeighboringRelation::ReplaceOne => 2.0 * clip.get(),
        }
    }
}

impl fmt::Display for NeighboringRelation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NeighboringRelation::AddOrRemoveOne => "add or remove one",
            NeighboringRelation::ReplaceOne => "replace one",
        })
    }
}

/// A full description of a release. A variant's meaning never changes; a new mechanism gets a new one.
///
/// # Privacy
/// Noise is stated relative to the sensitivity under the relation in force. `PoissonSampled` states
/// that every unit joined the batch independently with probability `rate`; shuffled or fixed-size
/// batches are not that, and are described by the event inside, without the sampling.
///
/// # Examples
/// ```
/// use dp_core::DpEvent;
///
/// let step = DpEvent::gaussian(1.1)?.sampled(0.01)?;
/// assert_eq!(
///     step.repeated(1000).to_string(),
///     "1000 times [a Poisson sample at rate 0.01 of: Gaussian noise, noise multiplier 1.1]"
/// );
/// # Ok::<(), dp_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DpEvent {
    /// Nothing was released.
    NoOp,
    /// Private data was released without protection.
    NonPrivate,
    /// A vector plus Gaussian noise.
    Gaussian {
        /// Standard deviation over L2 sensitivity.
        noise_multiplier: NoiseMultiplier,
    },
    /// A number plus Laplace noise.
    Laplace {
        /// Scale over L1 sensitivity.
        scale: Scale,
    },
    /// An event computed on a Poisson sample. A `Composed` or `Repeated` inside is a joint release
    /// on one and the same sample.
    PoissonSampled {
        /// The probability with which each unit is in the sample.
        rate: SampleRate,
        /// What was done with the sample.
        event: Box<DpEvent>,
    },
    /// Several events; samples inside different ones are drawn independently.
    Composed(Vec<DpEvent>),
    /// The same event several times; samples inside are drawn anew each time.
    Repeated {
        /// What was repeated.
        event: Box<DpEvent>,
        /// How often.
        count: u64,
    },
}

/// An event that is neither `Composed` nor `Repeated`, and how often it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phase {
    /// The event.
    pub event: DpEvent,
    /// How often; at least 1.
    pub count: u64,
}

impl DpEvent {
    /// A Gaussian release.
    ///
    /// # Errors
    /// [`Error::InvalidScalar`] unless the multiplier is finite and not negative.
    pub fn gaussian(noise_multiplier: f64) -> Result<Self> {
        Ok(DpEvent::Gaussian { noise_multiplier: NoiseMultiplier::new(noise_multiplier)? })
    }

    /// A Laplace release.
    ///
    /// # Errors
    /// [`Error::InvalidScalar`] unless the scale is finite and positive.
    pub fn laplace(scale: f64) -> Result<Self> {
        Ok(DpEvent::Laplace { scale: Scale::new(scale)? })
    }

    /// This event on a Poisson sample.
    ///
    /// # Errors
    /// [`Error::InvalidScalar`] unless `0 <= rate <= 1`.
    pub fn sampled(self, rate: f64) -> Result<Self> {
        Ok(DpEvent::PoissonSampled { rate: SampleRate::new(rate)?, event: Box::new(self) })
    }

    /// This event `count` times.
    pub fn repeated(self, count: u64) -> Self {
        DpEvent::Repeated { event: Box::new(self), count }
    }

    /// The same history in its shortest form: nested lists flattened, equal neighbors merged into
    /// `Repeated`, no-ops and rates of 0 and 1 resolved. A history of phases has as many parts as it
    /// has phases. The order inside a repeated list is not kept; composition does not depend on it.
    ///
    /// # Errors
    /// [`Error::CountOverflow`].
    pub fn canonical(&self) -> Result<DpEvent> {
        let mut runs = Vec::new();
        self.push_runs(1, &mut runs)?;
        let mut parts: Vec<DpEvent> = runs
            .into_iter()
            .map(|Phase { event, count }| if count == 1 { event } else { event.repeated(count) })
            .collect();
        Ok(match parts.len() {
            0 => DpEvent::NoOp,
            1 => parts.swap_remove(0),
            _ => DpEvent::Composed(parts),
        })
    }

    /// The distinct events of this history with their numbers, in order of first appearance.
    ///
    /// # Errors
    /// [`Error::CountOverflow`].
    pub fn phases(&self) -> Result<Vec<Phase>> {
        let mut runs = Vec::new();
        self.push_runs(1, &mut runs)?;
        let mut index: HashMap<DpEvent, usize> = HashMap::new();
        let mut phases: Vec<Phase> = Vec::new();
        for run in runs {
            if let Some(&at) = index.get(&run.event) {
                phases[at].count = add(phases[at].count, run.count, &run.event)?;
            } else {
                index.insert(run.event.clone(), phases.len());
                phases.push(run);
            }
        }
        Ok(phases)
    }

    /// The same releases as if every sample were the whole data set: an upper bound under every
    /// neighboring relation, and the only one used under replace-one.
    pub fn without_amplification(&self) -> DpEvent {
        match self {
            DpEvent::PoissonSampled { rate, event } => {
                if 0.0 < rate.get() {
                    event.without_amplification()
                } else {
                    DpEvent::NoOp
                }
            }
            DpEvent::Composed(events) => {
                DpEvent::Composed(events.iter().map(DpEvent::without_amplification).collect())
            }
            DpEvent::Repeated { event, count } => event.without_amplification().repeated(*count),
            leaf => leaf.clone(),
        }
    }

    /// Whether some part claims amplification by sampling, that is, has a rate between 0 and 1.
    pub fn claims_amplification(&self) -> bool {
        match self {
            DpEvent::PoissonSampled { rate, event } => {
                (0.0 < rate.get() && rate.get() < 1.0) || event.claims_amplification()
            }
            DpEvent::Composed(events) => events.iter().any(DpEvent::claims_amplification),
            DpEvent::Repeated { event, count } => 0 < *count && event.claims_amplification(),
            _ => false,
        }
    }

    fn push_runs(&self, times: u64, runs: &mut Vec<Phase>) -> Result<()> {
        if times == 0 {
            return Ok(());
        }
        match self {
            DpEvent::NoOp => Ok(()),
            DpEvent::Composed(events) => events.iter().try_for_each(|e| e.push_runs(times, runs)),
            DpEvent::Repeated { event, count } => {
                let times = times.checked_mul(*count).ok_or_else(|| overflow(event))?;
                event.push_runs(times, runs)
            }
            DpEvent::PoissonSampled { rate, event } => {
                if rate.get() <= 0.0 {
                    Ok(())
                } else if 1.0 <= rate.get() {
                    event.push_runs(times, runs)
                } else {
                    match event.canonical()? {
                        DpEvent::NoOp => Ok(()),
                        inner => {
                            let event =
                                DpEvent::PoissonSampled { rate: *rate, event: Box::new(inner) };
                            push_run(event, times, runs)
                        }
                    }
                }
            }
            leaf => push_run(leaf.clone(), times, runs),
        }
    }
}

pub(crate) fn add(count: u64, more: u64, event: &DpEvent) -> Result<u64> {
    count.checked_add(more).ok_or_else(|| overflow(event))
}

fn overflow(event: &DpEvent) -> Error {
    Error::CountOverflow { event: event.to_string() }
}

fn push_run(event: DpEvent, count: u64, runs: &mut Vec<Phase>) -> Result<()> {
    match runs.last_mut() {
        Some(last) if last.event == event => last.count = add(last.count, count, &event)?,
        _ => runs.push(Phase { event, count }),
    }
    Ok(())
}

impl fmt::Display for DpEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DpEvent::NoOp => f.write_str("nothing"),
            DpEvent::NonPrivate => f.write_str("an unprotected release"),
            DpEvent::Gaussian { noise_multiplier } => {
                write!(f, "Gaussian noise, noise multiplier {noise_multiplier}")
            }
            DpEvent::Laplace { scale } => write!(f, "Laplace noise, scale {scale}"),
            DpEvent::PoissonSampled { rate, event } => {
                write!(f, "a Poisson sample at rate {rate} of: {event}")
            }
            DpEvent::Composed(events) => {
                for (i, event) in events.iter().enumerate() {
                    write!(f, "{}[{event}]", if i == 0 { "" } else { " and " })?;
                }
                if events.is_empty() { f.write_str("nothing") } else { Ok(()) }
            }
            DpEvent::Repeated { event, count } => write!(f, "{count} times [{event}]"),
        }
    }
}

#[cfg(feature = "serde")]
mod serialized {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{DpEvent, encoding};

    impl Serialize for DpEvent {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            encoding::versioned(self).serialize(serializer)
        }
    }

    impl<'de> Deserialize<'de> for DpEvent {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let value = serde_json::Value::deserialize(deserializer)?;
            encoding::from_versioned(&value).map_err(D::Error::custom)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(rate: f64, sigma: f64) -> DpEvent {
        DpEvent::gaussian(sigma).unwrap().sampled(rate).unwrap()
    }

    #[test]
    fn equal_neighbors_merge_into_one_repetition() {
        let a = step(0.01, 1.0);
        let b = step(0.02, 1.0);
        let history = DpEvent::Composed(vec![
            a.clone(),
            a.clone(),
            DpEvent::NoOp,
            a.clone().repeated(3),
            DpEvent::Composed(vec![b.clone()]),
            b.clone().repeated(2).repeated(4),
            DpEvent::NonPrivate.repeated(0),
        ]);
        let expected = DpEvent::Composed(vec![a.repeated(5), b.repeated(9)]);
        assert_eq!(history.canonical().unwrap(), expected);
        assert_eq!(expected.canonical().unwrap(), expected);
    }

    #[test]
    fn a_rate_of_one_is_no_sampling_and_a_rate_of_zero_is_nothing() {
        assert_eq!(step(1.0, 2.0).canonical().unwrap(), DpEvent::gaussian(2.0).unwrap());
        assert_eq!(DpEvent::NonPrivate.sampled(0.0).unwrap().canonical().unwrap(), DpEvent::NoOp);
        assert!(!step(1.0, 2.0).claims_amplification());
        assert!(step(0.5, 2.0).claims_amplification());
    }

    #[test]
    fn alternating_events_have_as_many_phases_as_distinct_events() {
        let round = DpEvent::Composed(vec![step(0.1, 1.0), step(0.1, 2.0)]);
        let phases = DpEvent::Composed(vec![round; 50]).phases().unwrap();
        assert_eq!(phases.iter().map(|p| p.count).collect::<Vec<_>>(), [50, 50]);
    }

    #[test]
    fn too_many_repetitions_are_an_error() {
        let many = step(0.1, 1.0).repeated(u64::MAX);
        assert!(matches!(many.clone().repeated(2).canonical(), Err(Error::CountOverflow { .. })));
        let sum = DpEvent::Composed(vec![many, step(0.1, 1.0)]);
        assert!(matches!(sum.phases(), Err(Error::CountOverflow { .. })));
    }

    #[test]
    fn removing_amplification_keeps_what_was_released() {
        let event = DpEvent::Composed(vec![step(0.1, 1.0).repeated(3), step(0.0, 1.0)]);
        let expected = DpEvent::gaussian(1.0).unwrap().repeated(3);
        assert_eq!(event.without_amplification().canonical().unwrap(), expected);
    }
}
