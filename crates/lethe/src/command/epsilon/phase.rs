//! A stretch of equal steps as a user says it, and the event that one of its steps is.

use dp_core::{DpEvent, NoiseMultiplier, SampleRate, Scale};
use serde::Deserialize;

use super::visits::Visits;

/// Numbers of one phase, as given: none is checked yet.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PhaseSpec {
    pub(super) rate: Option<f64>,
    pub(super) batch: Option<f64>,
    pub(super) noise: Option<f64>,
    pub(super) joint: Vec<f64>,
    pub(super) laplace: Option<f64>,
    pub(super) steps: Option<f64>,
    pub(super) epochs: Option<f64>,
}

/// What is wrong with a number: its name, and what was expected.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fault {
    pub(super) field: &'static str,
    pub(super) what: String,
}

impl Fault {
    pub(super) fn new(field: &'static str, what: impl Into<String>) -> Self {
        Fault { field, what: what.into() }
    }
}

/// Values in place of those that are not given.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Fill {
    pub(super) noise: Option<f64>,
    pub(super) rate: Option<f64>,
    pub(super) steps: Option<u64>,
}

/// What a phase does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) noise: bool,
    pub(super) rate: bool,
    pub(super) steps: bool,
}

/// One step of a phase, how many of them, and in how many a record may be.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Part {
    pub(super) event: DpEvent,
    pub(super) count: u64,
    pub(super) visits: Visits,
}

impl PhaseSpec {
    /// Whether nothing at all was said.
    pub(super) fn is_empty(&self) -> bool {
        *self == PhaseSpec::default()
    }

    pub(super) fn missing(&self) -> Missing {
        Missing {
            noise: self.noise.is_none() && self.laplace.is_none(),
            rate: self.rate.is_none() && self.batch.is_none(),
            steps: self.steps.is_none() && self.epochs.is_none(),
        }
    }

    /// Checks every number.
    pub(super) fn part(
        &self,
        samples: Option<u64>,
        shuffled: bool,
        fill: Fill,
    ) -> Result<Part, Fault> {
        let rate = self.rate(samples, fill)?;
        let count = self.count(rate, fill)?;
        let visits = match (self.epochs, samples.zip(self.batch)) {
            _ if !shuffled => Visits::Every,
            (Some(epochs), _) => Visits::of_epochs(epochs, rate.get()),
            (None, Some((samples, batch))) => Visits::of_steps(count, samples, batch),
            (None, None) => Visits::Every,
        };
        let release = self.release(fill)?;
        let event = if 1.0 <= rate.get() {
            release
        } else {
            DpEvent::PoissonSampled { rate, event: Box::new(release) }
        };
        Ok(Part { event, count, visits })
    }

    fn rate(&self, samples: Option<u64>, fill: Fill) -> Result<SampleRate, Fault> {
        match (self.rate, self.batch) {
            (Some(_), Some(_)) => {
                Err(Fault::new("batch", "a sampling rate is given too; one of both is enough"))
            }
            (Some(rate), None) => above_zero(rate).map_err(|()| {
                let hint = if 1.0 < rate {
                    "; for a batch size give batch together with samples"
                } else {
                    ""
                };
                Fault::new(
                    "rate",
                    format!("expected a probability above 0 and up to 1, got {rate}{hint}"),
                )
            }),
            (None, Some(batch)) => {
                let Some(samples) = samples else {
                    return Err(Fault::new(
                        "samples",
                        "missing: a batch size says nothing without the number of records",
                    ));
                };
                if !(0.0 < batch && batch.is_finite()) {
                    return Err(Fault::new(
                        "batch",
                        format!("expected a number of records above 0, got {batch}"),
                    ));
                }
                let n = samples as f64;
                if n < batch {
                    return Err(Fault::new(
                        "batch",
                        format!("expected at most the {samples} records there are, got {batch}"),
                    ));
                }
                above_zero(batch / n).map_err(|()| {
                    Fault::new(
                        "batch",
                        format!("{batch} of {samples} records are no sampling rate"),
                    )
                })
            }
            (None, None) => match fill.rate.map(above_zero) {
                Some(Ok(rate)) => Ok(rate),
                _ => Err(Fault::new(
                    "rate",
                    "missing: the probability with which each record joins a batch, or batch and samples; 1 for the whole data set",
                )),
            },
        }
    }

    fn count(&self, rate: SampleRate, fill: Fill) -> Result<u64, Fault> {
        /// Counts above are not exact as floating-point numbers.
        const MOST: f64 = 9e15;
        match (self.steps, self.epochs) {
            (Some(_), Some(_)) => {
                Err(Fault::new("epochs", "a number of steps is given too; one of both is enough"))
            }
            (Some(steps), None) => {
                if !(0.0 < steps && steps <= MOST) {
                    return Err(Fault::new(
                        "steps",
                        format!("expected a whole number from 1 to 9e15, got {steps}"),
                    ));
                }
                if steps.fract() != 0.0 {
                    return Err(Fault::new(
                        "steps",
                        format!(
                            "expected a whole number, got {steps}; passes over the data are epochs"
                        ),
                    ));
                }
                #[allow(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "checked"
                )]
                Ok(steps as u64)
            }
            (None, Some(epochs)) => {
                let steps = rate.steps_of(epochs).ok().filter(|steps| *steps as f64 <= MOST);
                let steps = steps.ok_or_else(|| {
                    let why =
                        "expected a number of passes over the data above 0, of at most 9e15 steps";
                    Fault::new("epochs", format!("{why}, got {epochs}"))
                })?;
                Ok(steps.max(1))
            }
            (None, None) => fill.steps.ok_or_else(|| {
                Fault::new(
                    "steps",
                    "missing: the number of steps, or epochs for passes over the data",
                )
            }),
        }
    }

    fn release(&self, fill: Fill) -> Result<DpEvent, Fault> {
        if let Some(scale) = self.laplace {
            if self.noise.is_some() || !self.joint.is_empty() {
                return Err(Fault::new(
                    "laplace",
                    "Gaussian noise is given too; joint answers are accounted for with Gaussian noise only",
                ));
            }
            let scale = Scale::new(scale).map_err(|_| {
                Fault::new(
                    "laplace",
                    format!("expected a scale over the sensitivity above 0, got {scale}"),
                )
            })?;
            return Ok(DpEvent::Laplace { scale });
        }
        let Some(noise) = self.noise.or(fill.noise) else {
            return Err(Fault::new(
                "noise",
                "missing: the noise multiplier, standard deviation over clip norm; or laplace",
            ));
        };
        let gaussian = |field: &'static str, noise: f64| match NoiseMultiplier::new(noise) {
            Ok(noise_multiplier) => Ok(DpEvent::Gaussian { noise_multiplier }),
            Err(_) => Err(Fault::new(
                field,
                format!(
                    "expected a noise multiplier (standard deviation over clip norm) of at least 0, got {noise}"
                ),
            )),
        };
        let mut answers = vec![gaussian("noise", noise)?];
        for noise in &self.joint {
            answers.push(gaussian("joint", *noise)?);
        }
        Ok(match answers.pop() {
            Some(only) if answers.is_empty() => only,
            last => {
                answers.extend(last);
                DpEvent::Composed(answers)
            }
        })
    }
}

fn above_zero(rate: f64) -> Result<SampleRate, ()> {
    SampleRate::new(rate).ok().filter(|rate| 0.0 < rate.get()).ok_or(())
}

/// `rate=0.01,noise=1.1,steps=1000`, with `joint=8+4` for further answers on the same batch.
pub(super) fn parse(text: &str) -> Result<PhaseSpec, String> {
    const KNOWN: &str = "rate, batch, noise, joint, laplace, steps, epochs";
    let mut phase = PhaseSpec::default();
    for part in text.split(',') {
        let Some((key, value)) = part.split_once('=') else {
            return Err(format!("expected name=value with a name of {KNOWN}, got `{part}`"));
        };
        let (key, value) = (key.trim(), value.trim());
        let number = |text: &str| {
            text.trim()
                .parse::<f64>()
                .map_err(|_| format!("{key}: expected a number, got `{text}`"))
        };
        let field = match key {
            "joint" => {
                phase.joint = value.split('+').map(number).collect::<Result<_, _>>()?;
                continue;
            }
            "rate" => &mut phase.rate,
            "batch" => &mut phase.batch,
            "noise" => &mut phase.noise,
            "laplace" => &mut phase.laplace,
            "steps" => &mut phase.steps,
            "epochs" => &mut phase.epochs,
            other => return Err(format!("expected one of {KNOWN}, got `{other}`")),
        };
        if field.replace(number(value)?).is_some() {
            return Err(format!("{key} is given twice"));
        }
    }
    Ok(phase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_read_from_text() {
        let phase = parse("rate=0.01, noise=1.1,steps=1e3,joint=8+4").unwrap();
        let part = phase.part(None, false, Fill::default()).unwrap();
        assert_eq!(part.count, 1000);
        assert_eq!(
            part.event.to_string(),
            "a Poisson sample at rate 0.01 of: [Gaussian noise, noise multiplier 1.1] and \
             [Gaussian noise, noise multiplier 8] and [Gaussian noise, noise multiplier 4]"
        );
        for (text, what) in [
            ("rate", "expected name=value"),
            ("rates=1", "expected one of"),
            ("rate=x", "expected a number"),
            ("rate=0.1,rate=0.2", "twice"),
        ] {
            assert!(parse(text).unwrap_err().contains(what), "{text}");
        }
    }

    #[test]
    fn epochs_become_steps_rounded_up() {
        let phase = PhaseSpec { batch: Some(256.0), epochs: Some(10.0), ..PhaseSpec::default() };
        let fill = Fill { noise: Some(1.0), ..Fill::default() };
        assert_eq!(phase.part(Some(60_000), false, fill).unwrap().count, 2344);
    }
}
