//! The method of a run, by name, and how far its steps go.

use clap::Args;
use serde::Serialize;
use tensor_tree::Schedule;
use unlearn::auto_rate::{gen_searched, gen_smoothed};
use unlearn::method::{METHODS, Method};
use unlearn::run::Rate;

use crate::error::{Error, Result};

/// The name of the method that learns the forget set and goes the other way.
const TASK_VECTOR: &str = "task-vector";

/// The method and its rate.
#[derive(Clone, Debug, Args, Serialize)]
#[group(skip)]
pub(super) struct Flags {
    /// The method, such as ngdiff, blur, npo, gdiff, ga, or task-vector; a wrong name lists all of them.
    #[arg(long, default_value = "ngdiff", value_parser = known)]
    pub(super) method: String,
    /// How much of what learning the forget set adds is taken off, for --method task-vector; 1 by default.
    #[arg(long, value_name = "A", allow_negative_numbers = true)]
    pub(super) factor: Option<f64>,
    /// The learning rate; with --auto-lr the first one.
    #[arg(long, allow_negative_numbers = true)]
    pub(super) rate: Option<f64>,
    /// Finds rates from the curvature of the retain loss; so it is, from a rate that a search finds, where no --rate is given.
    #[arg(long)]
    pub(super) auto_lr: bool,
}

/// The name, if it is one of a method.
fn known(name: &str) -> std::result::Result<String, String> {
    if name == TASK_VECTOR || METHODS.iter().any(|(known, _)| *known == name) {
        return Ok(name.to_owned());
    }
    let vector = (TASK_VECTOR, "the forget set is learned, and what that added is taken off");
    let all = METHODS.iter().chain([&vector]);
    let lines: Vec<String> = all.map(|(name, what)| format!("  {name:<17} {what}")).collect();
    Err(format!("expected one of\n{}", lines.join("\n")))
}

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Chosen {
    /// Steps along a direction from two gradients.
    Directions(Method),
    /// Learns the forget set, and goes so far the other way.
    TaskVector(f64),
}

impl Chosen {
    /// The method of the steps.
    pub(super) fn of_steps(self) -> Result<Method> {
        match self {
            Chosen::Directions(method) => Ok(method),
            Chosen::TaskVector(_) => Ok(Method::named("retain")?),
        }
    }
}

impl Flags {
    /// The method of that name.
    ///
    /// # Errors
    /// A name that is none; [`Error::Usage`] for flags of another method.
    pub(super) fn chosen(&self) -> Result<Chosen> {
        let is_vector = self.method == TASK_VECTOR;
        if let Some(factor) = self.factor.filter(|_| !is_vector) {
            let what =
                format!("--factor {factor} is for --method task-vector, got {}", self.method);
            return Err(Error::Usage(what));
        }
        if is_vector {
            let factor = self.factor.unwrap_or(1.0);
            if !factor.is_finite() {
                return Err(Error::Usage(format!(
                    "--factor: expected a finite number, got {factor}"
                )));
            }
            return Ok(Chosen::TaskVector(factor));
        }
        Ok(Chosen::Directions(Method::named(&self.method)?))
    }

    /// Whether rates are found and not given.
    pub(super) fn is_automatic(&self) -> bool {
        self.auto_lr || self.rate.is_none()
    }

    /// Rates that are given or found.
    pub(super) fn rate(&self, schedule: Schedule) -> Rate {
        match (self.rate, self.auto_lr) {
            (Some(rate), false) => Rate::Fixed { rate, schedule },
            (Some(first), true) => Rate::Auto(gen_smoothed(first)),
            (None, _) => Rate::Auto(gen_searched()),
        }
    }

    /// How rates are had, in words.
    pub(super) fn rate_words(&self, schedule: Schedule) -> String {
        let course = match schedule {
            Schedule::Constant => "constant",
            Schedule::Linear { .. } => "linear",
            Schedule::Cosine { .. } => "cosine",
        };
        match (self.rate, self.auto_lr) {
            (Some(rate), false) => format!("{rate}, {course}"),
            (Some(first), true) => format!("automatic, from {first}"),
            (None, _) => "automatic, from a search".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(method: &str, factor: Option<f64>) -> Flags {
        Flags { method: method.into(), factor, rate: None, auto_lr: false }
    }

    #[test]
    fn names_are_methods_and_others_list_all_of_them() {
        for (name, _) in METHODS {
            assert!(matches!(flags(name, None).chosen(), Ok(Chosen::Directions(_))), "{name}");
        }
        assert_eq!(flags(TASK_VECTOR, Some(2.0)).chosen().unwrap(), Chosen::TaskVector(2.0));
        let error = known("nada").unwrap_err();
        let listed =
            METHODS.iter().all(|(name, what)| error.contains(name) && error.contains(what));
        assert!(listed && error.contains(TASK_VECTOR), "{error}");
        assert!(METHODS.iter().all(|(name, _)| known(name).is_ok()) && known(TASK_VECTOR).is_ok());
        assert!(flags("nada", None).chosen().is_err());
        assert!(flags("ngdiff", Some(2.0)).chosen().is_err());
        assert!(flags(TASK_VECTOR, Some(f64::NAN)).chosen().is_err());
    }

    #[test]
    fn a_rate_is_given_or_found() {
        let of =
            |rate, auto_lr| Flags { rate, auto_lr, ..flags("ga", None) }.rate(Schedule::Constant);
        for (rate, auto_lr) in [(None, false), (None, true), (Some(0.1), false), (Some(0.1), true)]
        {
            let flags = Flags { rate, auto_lr, ..flags("ga", None) };
            assert_eq!(flags.is_automatic(), matches!(of(rate, auto_lr), Rate::Auto(_)));
        }
        assert!(matches!(of(Some(0.1), false), Rate::Fixed { rate: 0.1, .. }));
        assert_eq!(of(Some(0.1), true), Rate::Auto(gen_smoothed(0.1)));
        assert_eq!(of(None, true), Rate::Auto(gen_searched()));
        assert_eq!(of(None, false), Rate::Auto(gen_searched()));
    }
}
