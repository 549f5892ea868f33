//! What a filter does to a single one, to ones and to white noise, step by step: numbers that no gradient enters.

use std::collections::VecDeque;

use tensor_tree::{Checkpoint, Error, Result, StateReader, StateWriter};

use super::Filter;

/// Gains of a filter at one step.
///
/// # Privacy
/// Functions of the coefficients and of the number of steps alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gain {
    /// The step, counted from 0.
    pub step: u64,
    /// `k_t`: weight of the first gradient in the filtered one of this step.
    pub impulse_response: f64,
    /// `c_t`: the filter fed with ones. Filtered gradients are divided by it where bias is corrected.
    pub step_response: f64,
    /// `sum_{r <= t} k_r^2`: variance of the filtered value for white noise of variance 1.
    pub noise_power: f64,
}

impl Gain {
    /// The noise power gain where bias is corrected: `sum khat_r^2` with `khat_r = k_r / sum_{s <= t} k_s`. At step 0 it is 1.
    #[must_use]
    pub fn corrected_noise_power(&self) -> f64 {
        self.noise_power / self.step_response.powi(2)
    }
}

/// Memory of the recursions behind [`Gain`]: in doubles, whatever the type of gradients.
///
/// # Privacy
/// As [`Gain`]: no gradient enters.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gains {
    step: u64,
    /// Newest first, `na` at most.
    impulse: VecDeque<f64>,
    /// Newest first, `na` at most.
    step_response: VecDeque<f64>,
    power: f64,
}

impl Gains {
    /// Steps taken.
    #[must_use]
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The gains of the next step of `filter`, which must be the same at every step.
    pub fn next(&mut self, filter: &Filter) -> Gain {
        let Filter { a, b } = filter;
        let t = usize::try_from(self.step).unwrap_or(usize::MAX);
        let back = |past: &VecDeque<f64>| a.iter().zip(past).map(|(a, x)| a * x).sum::<f64>();
        let impulse_response = b.get(t).copied().unwrap_or(0.0) - back(&self.impulse);
        let seen = &b[..b.len().min(t.saturating_add(1))];
        let step_response = seen.iter().sum::<f64>() - back(&self.step_response);
        let noise_power = self.power + impulse_response * impulse_response;
        let gain = Gain { step: self.step, impulse_response, step_response, noise_power };
        for (past, x) in
            [(&mut self.impulse, impulse_response), (&mut self.step_response, step_response)]
        {
            past.push_front(x);
            past.truncate(a.len());
        }
        self.power = noise_power;
        self.step += 1;
        gain
    }

    /// Whether these can be the gains of a filter with `na` feedback coefficients.
    pub(crate) fn check(&self, na: usize) -> Result<()> {
        let expected = usize::try_from(self.step).map_or(na, |t| t.min(na));
        for (what, past) in
            [("impulse responses", &self.impulse), ("step responses", &self.step_response)]
        {
            if past.len() != expected {
                return Err(other_filter(what, expected, past.len()));
            }
        }
        Ok(())
    }
}

/// The error for a state that was saved by another filter.
pub(crate) fn other_filter(what: &str, expected: usize, got: usize) -> Error {
    let reason =
        format!("state of another filter: expected {expected} earlier {what}, found {got}");
    Error::Checkpoint { path: None, reason }
}

impl Checkpoint for Gains {
    fn save(&self, out: &mut StateWriter) -> Result<()> {
        out.count("step", self.step)?;
        out.number("power", self.power)?;
        out.count("past", self.impulse.len() as u64)?;
        for (r, (k, c)) in self.impulse.iter().zip(&self.step_response).enumerate() {
            out.number(&format!("impulse {r}"), *k)?;
            out.number(&format!("step response {r}"), *c)?;
        }
        Ok(())
    }

    fn load(from: &mut StateReader<'_>) -> Result<Self> {
        let (step, n_past) = (from.count("step")?, from.count("past")?);
        let mut number = |name: &str, must: &str, ok: fn(f64) -> bool| {
            let got = from.number(name)?;
            if ok(got) {
                return Ok(got);
            }
            let reason = format!("{name} of a filter must be {must}, got {got}");
            Err(Error::Checkpoint { path: None, reason })
        };
        let power = number("power", "finite and not negative", |x| 0.0 <= x && x.is_finite())?;
        let (mut impulse, mut step_response) = (VecDeque::new(), VecDeque::new());
        for r in 0..n_past {
            impulse.push_back(number(&format!("impulse {r}"), "finite", f64::is_finite)?);
            let positive = |x: f64| 0.0 < x && x.is_finite();
            let name = format!("step response {r}");
            step_response.push_back(number(&name, "finite and positive", positive)?);
        }
        Ok(Gains { step, impulse, step_response, power })
    }
}
