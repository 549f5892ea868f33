//! The rounds of a fit, from what is asked to the new rates.

use chacha20::ChaCha20Rng;
use rand::{RngExt, SeedableRng};

use super::first::Search;
use super::merge::merge;
use super::settings::{EmaOf, FirstRate, Gen, HiDlr, Settings, Solve, Uphill};
use super::state::{Axis, AxisReport, FitReport, Joint, Round, State};
use super::{Ask, GroupRates, Observed, RateController};
use crate::decision::{Decision, ROUNDINGS, Rounding};
use crate::error::{Error, Result};
use crate::fit::{self, Evidence, Intercept, Parabola};

/// Rates stay within these, whatever the losses are.
const RATES: (f64, f64) = (1e-300, 1e300);
/// Probes grow after so many fits in a row below their noise, and at most to so many rates.
const PATIENCE: u32 = 3;
const MOST_GROWTH: f64 = 64.0;
/// The search for the first rate is repeated at the next batches up to this many in all, while none of them lowers its loss anywhere.
const SEARCHES: u64 = 4;
/// What the guard may multiply rates by, and what it does where the joint step raises the loss and says no more.
const JOINT: (f64, f64) = (0.25, 2.0);
const JOINT_RISES: f64 = 0.5;

impl RateController for Gen {
    type State = State;

    fn init(&self, n_groups: usize) -> Result<State> {
        self.settings.check()?;
        Machine::of_gen(self).init(n_groups, vec![(0..n_groups).collect()])
    }

    fn ask(&self, state: &State) -> Ask {
        Machine::of_gen(self).ask(state)
    }

    fn tell(&self, observed: &Observed, state: &mut State) -> Result<()> {
        Machine::of_gen(self).tell(observed, state)
    }

    fn rates(&self, state: &State) -> Result<GroupRates> {
        Machine::of_gen(self).rates(state)
    }

    fn stepped(&self, state: &mut State) -> Result<()> {
        Machine::of_gen(self).stepped(state)
    }
}

impl RateController for HiDlr {
    type State = State;

    fn init(&self, n_groups: usize) -> Result<State> {
        self.check(n_groups)?;
        Machine::of_hidlr(self).init(n_groups, (0..n_groups).map(|k| vec![k]).collect())
    }

    fn ask(&self, state: &State) -> Ask {
        Machine::of_hidlr(self).ask(state)
    }

    fn tell(&self, observed: &Observed, state: &mut State) -> Result<()> {
        Machine::of_hidlr(self).tell(observed, state)
    }

    fn rates(&self, state: &State) -> Result<GroupRates> {
        Machine::of_hidlr(self).rates(state)
    }

    fn stepped(&self, state: &mut State) -> Result<()> {
        Machine::of_hidlr(self).stepped(state)
    }
}

/// Both controllers: one rate is that of a single axis which holds all groups.
struct Machine<'a> {
    settings: &'a Settings,
    solve: Solve,
    guard: bool,
    merge: Option<super::Merge>,
}

/// The fit along one axis, and what was decided of it.
#[derive(Clone, Copy)]
struct Judged {
    fit: Option<(Parabola, Evidence)>,
    decision: Decision,
    /// Where the model is least; only of what is accepted.
    minimizer: f64,
}

impl Judged {
    const NON_FINITE: Judged =
        Judged { fit: None, decision: Decision::NonFinite, minimizer: f64::NAN };
}

fn mean(losses: &[f64]) -> f64 {
    losses.iter().sum::<f64>() / losses.len() as f64
}

/// Standard error of a mean; 0 of fewer than two values, of which nothing is known.
fn standard_error(values: &[f64]) -> f64 {
    let (n, center) = (values.len() as f64, mean(values));
    let squares: f64 = values.iter().map(|v| (v - center) * (v - center)).sum();
    if 1.0 < n { (squares / (n - 1.0) / n).sqrt() } else { 0.0 }
}

fn minus(losses: &[f64], base: &[f64]) -> Vec<f64> {
    losses.iter().zip(base).map(|(a, b)| a - b).collect()
}

impl<'a> Machine<'a> {
    fn of_gen(gen_: &'a Gen) -> Self {
        Machine { settings: &gen_.settings, solve: Solve::Axis, guard: false, merge: None }
    }

    fn of_hidlr(hidlr: &'a HiDlr) -> Self {
        let HiDlr { settings, solve, guard, merge } = hidlr;
        Machine { settings, solve: *solve, guard: *guard, merge: *merge }
    }

    fn init(&self, n_groups: usize, axes: Vec<Vec<usize>>) -> Result<State> {
        if n_groups == 0 {
            return Err(Error::Length { name: "groups", expected: 1, got: 0 });
        }
        let (FirstRate::Given(rate) | FirstRate::Auto(rate)) = self.settings.first_rate;
        let axis = |groups| Axis {
            groups,
            rate,
            growth: 1.0,
            below_noise: 0,
            n_rejected: 0,
            average: None,
            alike: None,
        };
        let axes = axes.into_iter().map(axis).collect();
        let round = Round::Ready;
        let (first, report) = (None, None);
        let mut state = State { n_groups, step: 0, axes, round, n_forwards: 0, first, report };
        state.round = match self.settings.first_rate {
            FirstRate::Auto(rate) => Round::First(Search::around(rate)),
            FirstRate::Given(_) => self.due(&state),
        };
        Ok(state)
    }

    /// What comes first before the step that the state stands at.
    fn due(&self, state: &State) -> Round {
        if (state.step + 1).is_multiple_of(self.settings.period) {
            Round::Fit
        } else {
            Round::Ready
        }
    }

    fn ask(&self, state: &State) -> Ask {
        let of_groups = |points: Vec<Vec<f64>>| {
            Ask::Losses(points.iter().map(|x| GroupRates(state.of_groups(x))).collect())
        };
        let all = |rate: f64| vec![rate; state.axes.len()];
        match &state.round {
            Round::Ready => Ask::Nothing,
            Round::First(search) => of_groups(search.asked().into_iter().map(all).collect()),
            Round::Fit => of_groups(self.probes(state)),
            Round::Guard { candidates, .. } => {
                let mut points = vec![Self::joint(state, candidates, 1.0)];
                points.push(Self::joint(state, candidates, -1.0));
                if candidates.contains(&0.0) {
                    points.push(Self::joint(state, candidates, 0.0));
                }
                of_groups(points)
            }
            Round::Verify { .. } => Ask::Losses(vec![self.used(state)]),
        }
    }

    /// The joint step with so much of the candidates; groups without one move at their rates.
    fn joint(state: &State, candidates: &[f64], part: f64) -> Vec<f64> {
        let one = |(axis, candidate): (&Axis, &f64)| {
            if 0.0 < *candidate { part * candidate } else { axis.rate }
        };
        state.axes.iter().zip(candidates).map(one).collect()
    }

    /// Steps of the axes for a fit, that at rest first.
    fn probes(&self, state: &State) -> Vec<Vec<f64>> {
        let scales: Vec<f64> = state.axes.iter().map(|axis| axis.rate * axis.growth).collect();
        let mut probes = match self.solve {
            Solve::Random { per_group, seed } => {
                let mut rng = ChaCha20Rng::seed_from_u64(seed);
                rng.set_stream(state.step);
                let mut probes = vec![vec![0.0; scales.len()]];
                probes.extend((0..per_group * scales.len()).map(|_| {
                    scales.iter().map(|scale| scale * normal(&mut rng)).collect::<Vec<f64>>()
                }));
                probes
            }
            Solve::Axis | Solve::Full { .. } => {
                fit::axis_probes(&scales, &self.settings.multipliers)
            }
        };
        if let Solve::Full { .. } = self.solve {
            probes.extend(fit::corner_probes(&scales));
        }
        probes
    }

    fn tell(&self, observed: &Observed, state: &mut State) -> Result<()> {
        let Ask::Losses(points) = self.ask(state) else {
            return Err(Error::Length { name: "points", expected: 0, got: observed.losses.len() });
        };
        let losses = &observed.losses;
        if losses.len() != points.len() {
            return Err(Error::Length {
                name: "points",
                expected: points.len(),
                got: losses.len(),
            });
        }
        let n = match &state.round {
            Round::Guard { base, .. } | Round::Verify { base } => base.len(),
            _ => losses.first().map_or(0, Vec::len).max(1),
        };
        if let Some(bad) = losses.iter().find(|l| l.len() != n) {
            return Err(Error::Length { name: "samples of a point", expected: n, got: bad.len() });
        }
        let mut next = state.clone();
        next.n_forwards += points.len() as u64;
        next.round = match std::mem::replace(&mut next.round, Round::Ready) {
            Round::Ready => Round::Ready,
            Round::First(mut search) => {
                let means: Vec<f64> = losses.iter().map(|l| mean(l)).collect();
                let size = means.first().map_or(0.0, |loss| loss.abs()) + observed.magnitude;
                match search.tell(&means, ROUNDINGS * observed.rounding * size) {
                    None => Round::First(search),
                    Some(report) => {
                        next.axes.iter_mut().for_each(|axis| set_rate(axis, report.rate));
                        next.first = Some(report);
                        self.due(&next)
                    }
                }
            }
            Round::Fit => self.fitted(observed, &mut next)?,
            Round::Guard { candidates, base } => {
                self.guarded(observed, &candidates, base, &mut next)?
            }
            Round::Verify { base } => {
                let gate = self.settings.acceptance.noise_gate.unwrap_or(0.0);
                let change = minus(&losses[0], &base);
                // A change that is no number is none that may be accepted.
                let falls = mean(&change) <= gate * standard_error(&change);
                if !falls {
                    next.axes.iter_mut().for_each(|axis| set_rate(axis, 0.5 * axis.rate));
                }
                next.report_rates();
                if let Some(report) = &mut next.report {
                    report.verified = Some(falls);
                }
                Round::Ready
            }
        };
        *state = next;
        Ok(())
    }

    /// Fits what was observed along the axes, and goes on to the guard, or to the new rates.
    fn fitted(&self, observed: &Observed, state: &mut State) -> Result<Round> {
        let base = observed.losses[0].clone();
        let judged = if mean(&base).is_finite() {
            self.judge(observed, state)?
        } else {
            vec![Judged::NON_FINITE; state.axes.len()]
        };
        let axes = state.axes.iter().zip(&judged).map(|(axis, judged)| AxisReport {
            groups: axis.groups.clone(),
            decision: judged.decision,
            parabola: judged.fit.map(|fit| fit.0),
            evidence: judged.fit.map(|fit| fit.1),
            rate: [axis.rate, axis.rate],
        });
        let loss = Some(mean(&base)).filter(|loss| loss.is_finite());
        let (axes, step) = (axes.collect(), state.step);
        state.report = Some(FitReport { step, loss, axes, joint: None, verified: None });
        for (axis, judged) in state.axes.iter_mut().zip(&judged) {
            note(axis, judged.decision);
            if self.settings.uphill == Uphill::Fall && self.is_uphill(judged) {
                let [low, _] = self.settings.clamp;
                let smooth = self.settings.smooth;
                set_rate(axis, axis.rate * (smooth + (1.0 - smooth) * low));
            }
        }
        let candidates: Vec<f64> = (state.axes.iter_mut().zip(&judged))
            .map(|(axis, judged)| self.candidate(axis, judged))
            .collect();
        let any = candidates.iter().any(|candidate| 0.0 < *candidate);
        let is_coupled = matches!(self.solve, Solve::Full { .. });
        if self.guard && any && 1 < state.axes.len() && !is_coupled {
            return Ok(Round::Guard { candidates, base });
        }
        Ok(self.finish(&candidates, 1.0, base, state))
    }

    /// Whether the loss rises along an axis by more than its noise, and bends upward.
    fn is_uphill(&self, judged: &Judged) -> bool {
        let (Decision::NonPositiveSlope, Some((fit, evidence))) = (judged.decision, judged.fit)
        else {
            return false;
        };
        let noise = self.settings.acceptance.noise_gate.zip(evidence.slope_error);
        noise.map_or(0.0, |(gate, error)| gate * error) < -fit.slope
    }

    /// Slopes, curvatures and decisions, one for each axis.
    fn judge(&self, observed: &Observed, state: &State) -> Result<Vec<Judged>> {
        let (losses, base) = (&observed.losses, &observed.losses[0]);
        let probes = self.probes(state);
        let loss = mean(base);
        let rounding =
            Rounding { unit: observed.rounding, magnitude: loss.abs() + observed.magnitude };
        let judge = |fit: (Parabola, Evidence)| {
            let parts = [fit.0.slope, fit.0.curvature, fit.0.offset, fit.0.r2];
            if parts.iter().any(|part| !part.is_finite()) {
                return Judged::NON_FINITE;
            }
            let decision = self.settings.acceptance.judge(&fit.0, &fit.1, loss, rounding);
            let minimizer = fit.0.minimizer().unwrap_or(f64::NAN);
            let decision = match decision {
                Decision::Accept if minimizer.is_nan() => Decision::Flat,
                other => other,
            };
            Judged { fit: Some(fit), decision, minimizer }
        };
        if let Solve::Random { .. } = self.solve {
            let differences: Vec<f64> = losses[1..].iter().map(|l| mean(&minus(l, base))).collect();
            if differences.iter().any(|d| !d.is_finite()) {
                return Ok(vec![Judged::NON_FINITE; state.axes.len()]);
            }
            let fits = diagonal_fits(&probes[1..], &differences)?;
            return Ok(fits.into_iter().map(judge).collect());
        }
        let per_axis = self.settings.multipliers.iter().filter(|m| **m != 0.0).count();
        let mut judged = Vec::with_capacity(state.axes.len());
        for k in 0..state.axes.len() {
            let rows = 1 + k * per_axis..1 + (k + 1) * per_axis;
            let own = &losses[rows.clone()];
            if own.iter().any(|l| !mean(l).is_finite()) {
                judged.push(Judged::NON_FINITE);
                continue;
            }
            let mut x: Vec<f64> = probes[rows].iter().map(|probe| probe[k]).collect();
            let mut differences: Vec<Vec<f64>> = own.iter().map(|l| minus(l, base)).collect();
            if self.settings.intercept == Intercept::Free {
                x.push(0.0);
                differences.push(vec![0.0; base.len()]);
            }
            judged.push(judge(fit::fit(&x, &differences, self.settings.intercept)?));
        }
        if let Solve::Full { damping } = self.solve {
            self.couple(observed, &probes, damping, &mut judged)?;
        }
        Ok(judged)
    }

    /// Replaces the minimizers of accepted axes by those of the whole model in them. Where that has no minimum, none is accepted.
    fn couple(
        &self,
        observed: &Observed,
        probes: &[Vec<f64>],
        damping: f64,
        judged: &mut [Judged],
    ) -> Result<()> {
        let base = &observed.losses[0];
        let differences = observed.losses[1..].iter().map(|l| mean(&minus(l, base)));
        let rows: Vec<(&Vec<f64>, f64)> = probes[1..].iter().zip(differences).collect();
        let accepted = |judged: &[Judged]| -> Vec<usize> {
            (0..judged.len()).filter(|k| judged[*k].decision == Decision::Accept).collect()
        };
        let is_among = |groups: &[usize], probe: &[f64]| {
            probe.iter().enumerate().all(|(k, x)| *x == 0.0 || groups.contains(&k))
        };
        // Two groups that are fine alone and lead to no number together went too far, both of them.
        let alone = accepted(judged);
        for (probe, difference) in &rows {
            if is_among(&alone, probe) && !difference.is_finite() {
                let moved = alone.iter().filter(|k| probe[**k] != 0.0);
                moved.for_each(|k| judged[*k] = Judged::NON_FINITE);
            }
        }
        let accepted = accepted(judged);
        if accepted.is_empty() {
            return Ok(());
        }
        let (own, differences): (Vec<Vec<f64>>, Vec<f64>) = (rows.iter())
            .filter(|(probe, _)| is_among(&accepted, probe))
            .map(|(probe, difference)| (accepted.iter().map(|k| probe[*k]).collect(), *difference))
            .unzip();
        let own = fit::fit_full(&own, &differences)?;
        match own.minimizer(damping) {
            Some(rates) => {
                accepted.iter().zip(rates).for_each(|(k, rate)| judged[*k].minimizer = rate);
            }
            None => {
                accepted.iter().for_each(|k| judged[*k].decision = Decision::NonPositiveCurvature)
            }
        }
        Ok(())
    }

    /// What an axis would have alone, within the clamp; 0 where it keeps its rate.
    fn candidate(&self, axis: &mut Axis, judged: &Judged) -> f64 {
        let (Decision::Accept, Some((fit, _))) = (judged.decision, judged.fit) else { return 0.0 };
        let minimizer = match (self.settings.ema_of, self.solve) {
            (EmaOf::Coefficients, Solve::Axis | Solve::Random { .. }) => {
                let now = [fit.slope, fit.curvature];
                let smooth = self.settings.smooth;
                let average = axis.average.map_or(now, |old| {
                    std::array::from_fn(|i| smooth * old[i] + (1.0 - smooth) * now[i])
                });
                axis.average = Some(average);
                average[0] / average[1]
            }
            _ => judged.minimizer,
        };
        self.clamped(axis.rate, self.settings.greed * minimizer)
    }

    fn clamped(&self, rate: f64, candidate: f64) -> f64 {
        let [low, high] = self.settings.clamp;
        candidate.clamp(low * rate, high * rate)
    }

    /// Takes the losses with all candidates at once, forward and backward, and with none where some groups keep their rates.
    fn guarded(
        &self,
        observed: &Observed,
        candidates: &[f64],
        base: Vec<f64>,
        state: &mut State,
    ) -> Result<Round> {
        let (forward, backward, center) = match &observed.losses[..] {
            [forward, backward] => (forward, backward, &base),
            [forward, backward, center] => (forward, backward, center),
            _ => return Ok(Round::Ready),
        };
        let differences = vec![minus(forward, center), minus(backward, center)];
        let (decision, scale) = if differences.iter().all(|d| mean(d).is_finite()) {
            let (parabola, evidence) = fit::fit(&[1.0, -1.0], &differences, Intercept::Pinned)?;
            let gate = crate::decision::Acceptance { noise_gate: None, ..self.settings.acceptance };
            let rounding = Rounding { unit: 0.0, magnitude: 0.0 };
            let decision = gate.judge(&parabola, &evidence, mean(center), rounding);
            let scale = match (decision, parabola.minimizer()) {
                (Decision::Accept, Some(scale)) => scale.clamp(JOINT.0, JOINT.1),
                _ if 0.0 < mean(&differences[0]) => JOINT_RISES,
                _ => 1.0,
            };
            (decision, scale)
        } else {
            (Decision::NonFinite, JOINT_RISES)
        };
        if let Some(report) = &mut state.report {
            report.joint = Some(Joint { decision, scale });
        }
        if decision == Decision::NonFinite {
            // Together they lead out of where the loss is a number: as with a probe of one alone.
            for (axis, candidate) in state.axes.iter_mut().zip(candidates) {
                if 0.0 < *candidate {
                    note(axis, Decision::NonFinite);
                }
            }
            return Ok(self.finish(&vec![0.0; candidates.len()], 1.0, base, state));
        }
        Ok(self.finish(candidates, scale, base, state))
    }

    /// Moves rates toward their candidates.
    fn finish(&self, candidates: &[f64], joint: f64, base: Vec<f64>, state: &mut State) -> Round {
        let Settings { smooth, coupled, horizon, ema_of, .. } = self.settings;
        let fade = if *coupled { horizon.factor(state.step) } else { 1.0 };
        // Averages of slopes and curvatures need none of rates.
        let smooth = if *ema_of == EmaOf::Coefficients { 0.0 } else { *smooth };
        let [low, high] = self.settings.clamp;
        let is_settled = |(axis, candidate): (&Axis, &f64)| {
            low * axis.rate < *candidate && *candidate < high * axis.rate
        };
        let settled: Vec<bool> = state.axes.iter().zip(candidates).map(is_settled).collect();
        for (axis, candidate) in state.axes.iter_mut().zip(candidates) {
            if 0.0 < *candidate {
                // What is too much together may fall below the clamp of one alone.
                let candidate = (joint * candidate).min(high * axis.rate);
                let before = axis.rate;
                set_rate(axis, smooth * before + (1.0 - smooth) * fade * candidate);
                // Probes stay where the losses could be told apart, until the rate has come there.
                axis.growth = (axis.growth * before / axis.rate).clamp(1.0, MOST_GROWTH);
            }
        }
        let finite = mean(&base).is_finite();
        if let Some(rule) = self.merge {
            merge(&mut state.axes, &settled, rule);
        }
        state.report_rates();
        if self.settings.verify && finite { Round::Verify { base } } else { Round::Ready }
    }

    fn used(&self, state: &State) -> GroupRates {
        let fade =
            if self.settings.coupled { 1.0 } else { self.settings.horizon.factor(state.step) };
        let rates: Vec<f64> = state.axes.iter().map(|axis| fade * axis.rate).collect();
        GroupRates(state.of_groups(&rates))
    }

    fn rates(&self, state: &State) -> Result<GroupRates> {
        if state.round == Round::Ready { Ok(self.used(state)) } else { Err(Error::StillAsking) }
    }

    fn stepped(&self, state: &mut State) -> Result<()> {
        if state.round != Round::Ready {
            return Err(Error::StillAsking);
        }
        state.step += 1;
        state.round = match self.settings.first_rate {
            FirstRate::Auto(rate) if Self::searches_again(state) => {
                Round::First(Search::around(rate))
            }
            _ => self.due(state),
        };
        Ok(())
    }

    /// Whether the last batch said nothing of the first rate, and no fit has since.
    fn searches_again(state: &State) -> bool {
        let lost = state.first.filter(|first| !first.outcome.is_found());
        let is_unchanged =
            |rate: f64| state.axes.iter().all(|axis| axis.rate.to_bits() == rate.to_bits());
        state.step < SEARCHES && lost.is_some_and(|first| is_unchanged(first.rate))
    }
}

/// What a decision does to an axis, its candidate apart.
fn note(axis: &mut Axis, decision: Decision) {
    axis.n_rejected += u64::from(decision != Decision::Accept);
    match decision {
        Decision::NonFinite => {
            set_rate(axis, 0.5 * axis.rate);
            axis.growth = 1.0;
        }
        Decision::Accept => {}
        Decision::BelowNoise => {
            axis.below_noise += 1;
            if axis.below_noise == PATIENCE {
                axis.below_noise = 0;
                axis.growth = (2.0 * axis.growth).min(MOST_GROWTH);
            }
            return;
        }
        _ => {}
    }
    axis.below_noise = 0;
}

fn set_rate(axis: &mut Axis, rate: f64) {
    axis.rate = rate.clamp(RATES.0, RATES.1);
}

/// Parabolas of a diagonal fit, with the goodness of the whole.
fn diagonal_fits(probes: &[Vec<f64>], differences: &[f64]) -> Result<Vec<(Parabola, Evidence)>> {
    let diagonal = fit::fit_diagonal(probes, differences)?;
    let (b, a) = (&diagonal.slope, &diagonal.curvature);
    let value = |x: &[f64]| -> f64 {
        x.iter().zip(b.iter().zip(a)).map(|(x, (b, a))| -b * x + 0.5 * a * x * x).sum()
    };
    let center = differences.iter().sum::<f64>() / (differences.len() + 1) as f64;
    let total: f64 =
        center * center + differences.iter().map(|d| (d - center).powi(2)).sum::<f64>();
    let rest: f64 = probes.iter().zip(differences).map(|(x, d)| (d - value(x)).powi(2)).sum();
    let r2 = if total <= 0.0 { 1.0 } else { 1.0 - rest / total };
    let evidence = Evidence { slope_error: None, curvature_error: None };
    let of = |k: usize| {
        let reach = probes.iter().fold(0.0f64, |h, x| h.max(x[k].abs()));
        (Parabola { slope: b[k], curvature: a[k], offset: 0.0, r2, reach }, evidence)
    };
    Ok((0..b.len()).map(of).collect())
}

/// A normal by Box and Muller.
fn normal(rng: &mut ChaCha20Rng) -> f64 {
    let (u, v): (f64, f64) = (rng.random(), rng.random());
    (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}
