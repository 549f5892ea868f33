//! Time that a command may take.

use std::str::FromStr;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// A length of time, such as `1h`, `90m`, `1h30m` or `45s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Budget(pub(super) Duration);

impl FromStr for Budget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("expected a time such as 1h, 90m, 1h30m or 45s, got `{text}`");
        let mut total = 0.0;
        let mut rest = text.trim();
        let mut largest = f64::INFINITY;
        if rest.is_empty() {
            return Err(wrong());
        }
        while !rest.is_empty() {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
            let (number, behind) = rest.split_at(end);
            let unit = behind.chars().next().ok_or_else(wrong)?;
            let seconds = match unit {
                'h' => 3600.0,
                'm' => 60.0,
                's' => 1.0,
                _ => return Err(wrong()),
            };
            // Larger units first, each once.
            if largest <= seconds {
                return Err(wrong());
            }
            largest = seconds;
            total += seconds * number.parse::<f64>().map_err(|_| wrong())?;
            rest = &behind[unit.len_utf8()..];
        }
        match Duration::try_from_secs_f64(total) {
            Ok(time) if !time.is_zero() => Ok(Budget(time)),
            _ => Err(wrong()),
        }
    }
}

impl Serialize for Budget {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0.as_secs_f64())
    }
}

/// Passes through the model that a gradient takes as long as: one onward, one back, which is two, and the logits once more.
const GRADIENT: u32 = 4;

/// Most losses that the search for a first rate asks for with the fit behind it: 33 and 5, and two to spare.
const PROBES: u32 = 40;

/// How much there is to compute. The time of a pass is taken to grow with its positions, which are those of its texts with their padding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Work {
    /// Passes of a check.
    passes: u32,
    /// Positions of a step, with rows of the usual lengths, for each of the longest pass of a check.
    of_pass: f64,
    /// The same for each of a whole check.
    of_check: f64,
}

impl Work {
    /// Of checks whose passes have so many positions, and of steps whose rows to forget and to keep have so many, which find their rates by
    /// themselves, from losses of rows to keep, or do not.
    pub(super) fn new(passes: &[usize], (forget, retain): (f64, f64), automatic: bool) -> Self {
        let probes = if automatic { f64::from(PROBES) } else { 0.0 };
        let step = f64::from(GRADIENT) * (forget + retain) + probes * retain;
        let largest = passes.iter().copied().max().unwrap_or(1);
        let whole: usize = passes.iter().sum();
        Work {
            passes: u32::try_from(passes.len()).unwrap_or(u32::MAX),
            of_pass: step / largest.max(1) as f64,
            of_check: step / whole.max(1) as f64,
        }
    }
}

/// Positions of a step's rows of a set whose texts have these: their mean and two standard deviations of the sum of so many drawn
/// ones, with a tenth for padding, and at most as many as if all were the longest.
pub(super) fn of_batch(lengths: &[usize], batch: usize) -> f64 {
    let (n, batch) = (lengths.len().max(1) as f64, batch as f64);
    let mean = lengths.iter().sum::<usize>() as f64 / n;
    let variance = lengths.iter().map(|l| (*l as f64 - mean).powi(2)).sum::<f64>() / n;
    let longest = lengths.iter().copied().max().unwrap_or(1) as f64;
    (1.1 * (batch * mean + 2.0 * (batch * variance).sqrt())).min(batch * longest)
}

/// When steps must have ended, learned from how long they take. It reads no clock: it is told the time since the command began.
///
/// What comes next is taken to be half as long again as the longest of its kind so far. Before the first step that is a prior: the
/// positions that a step of rows of the usual lengths computes, at the pace of the pass or the check that was timed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    budget: Duration,
    work: Work,
    /// Whether what follows the last step is to be over by then, too.
    whole: bool,
    check: Duration,
    writing: Duration,
    /// The longest step without a check; the prior before the first.
    step: Duration,
    /// The longest step with one.
    checked: Duration,
    has_stepped: bool,
    has_checked: bool,
}

/// The most of a budget that is not planned with.
const MOST_SPARE: Duration = Duration::from_secs(60);

impl Deadline {
    /// The last step ends within the budget.
    pub(super) fn of_steps(budget: Budget, work: Work) -> Self {
        Deadline {
            budget: budget.0,
            work,
            whole: false,
            check: Duration::ZERO,
            writing: Duration::ZERO,
            step: Duration::ZERO,
            checked: Duration::ZERO,
            has_stepped: false,
            has_checked: false,
        }
    }

    /// Everything ends within the budget: time is reserved for a check, merging and writing.
    pub(super) fn of_all(budget: Budget, work: Work) -> Self {
        Deadline { whole: true, ..Deadline::of_steps(budget, work) }
    }

    /// Learns of the longest pass of a check.
    pub(super) fn saw_pass(&mut self, took: Duration) {
        self.check = self.check.max(took.saturating_mul(self.work.passes));
        self.expect(took, self.work.of_pass);
    }

    /// Learns of a check. Its many passes tell the pace better than the first pass of all did.
    pub(super) fn saw_check(&mut self, took: Duration) {
        (self.check, self.has_checked) = (self.check.max(took), true);
        self.expect(took, self.work.of_check);
    }

    /// Learns of parameters being written, as after a check.
    pub(super) fn saw_writing(&mut self, took: Duration) {
        self.writing = self.writing.max(took);
    }

    /// Learns of a step, or of one with a check and what follows it.
    pub(super) fn saw_step(&mut self, took: Duration, is_checked: bool) {
        if !self.has_stepped {
            (self.has_stepped, self.step) = (true, Duration::ZERO);
        }
        let longest = if is_checked { &mut self.checked } else { &mut self.step };
        *longest = took.max(*longest);
    }

    /// Whether a check that begins now ends in time.
    pub(super) fn has_time_for_check(&self, now: Duration) -> bool {
        self.ends_in_time(now, self.check)
    }

    /// Whether a step that begins now ends in time, with the check that any step may be followed by.
    pub(super) fn has_time_for_step(&self, now: Duration) -> bool {
        let alone = self.step.saturating_add(self.check + self.writing);
        self.ends_in_time(now, self.checked.max(alone))
    }

    /// The least budget with which a step would begin now, or behind the first check where there was none; as far as is known.
    pub(super) fn asks_for(&self, now: Duration) -> Duration {
        let check = if self.has_checked { Duration::ZERO } else { self.check + self.check / 2 };
        let alone = self.step.saturating_add(self.check + self.writing);
        let longest = self.checked.max(alone);
        let step = longest.saturating_add(longest / 2);
        let all = [check, step, self.closing()].into_iter().fold(now, Duration::saturating_add);
        if self.whole { all.saturating_add((all / 19).min(MOST_SPARE)) } else { all }
    }

    fn ends_in_time(&self, now: Duration, longest: Duration) -> bool {
        let end = now.saturating_add(longest).saturating_add(longest / 2);
        end.saturating_add(self.reserve()) <= self.budget
    }

    /// Time for what follows the last step: a check, merging, which moves as many numbers as writing does, and writing, with a
    /// twentieth of the budget to spare, at most a minute.
    fn reserve(&self) -> Duration {
        let spare = if self.whole { (self.budget / 20).min(MOST_SPARE) } else { Duration::ZERO };
        self.closing().saturating_add(spare)
    }

    /// The same without what is to spare.
    fn closing(&self) -> Duration {
        if self.whole { self.check + self.check / 2 + 3 * self.writing } else { Duration::ZERO }
    }

    /// The prior of the first step, so many times what was timed last.
    fn expect(&mut self, timed: Duration, times: f64) {
        if !self.has_stepped {
            let step = Duration::try_from_secs_f64(timed.as_secs_f64() * times);
            self.step = step.unwrap_or(Duration::MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_others_refused() {
        for (text, seconds) in
            [("1h", 3600), ("90m", 5400), ("1h30m", 5400), ("45s", 45), ("0.5h10s", 1810)]
        {
            assert_eq!(text.parse::<Budget>(), Ok(Budget(Duration::from_secs(seconds))), "{text}");
        }
        for text in ["", "1", "h", "1d", "30m1h", "1h1h", "0s", "-1h", "1.2.3s", "1é", "1e400h"] {
            let error = text.parse::<Budget>().unwrap_err();
            assert!(error.contains(&format!("`{text}`")) && error.contains("1h30m"), "{error}");
        }
    }

    fn seconds(x: f64) -> Duration {
        Duration::from_secs_f64(x)
    }

    const WORK: Work = Work { passes: 10, of_pass: 100.0, of_check: 10.0 };

    #[test]
    fn work_is_counted_in_positions() {
        // 32 rows of 100, as many as in four passes: two gradients of four passes each, and forty losses of one set.
        let work = |automatic| Work::new(&[800; 16], (3200.0, 3200.0), automatic);
        let of = |of_pass| Work { passes: 16, of_pass, of_check: of_pass / 16.0 };
        assert_eq!(work(true), of(4.0 * 48.0));
        assert_eq!(work(false), of(4.0 * 8.0));
        // Short passes beside long ones change little.
        let work = Work::new(&[800, 800, 100, 300], (3200.0, 3200.0), false);
        assert_eq!(work, Work { passes: 4, of_pass: 32.0, of_check: 12.8 });
        // Losses are of rows to keep alone.
        let work = Work::new(&[200, 200], (0.0, 500.0), true);
        assert_eq!(work, Work { passes: 2, of_pass: 110.0, of_check: 55.0 });
    }

    #[test]
    fn rows_of_a_step_are_as_long_as_rows_are() {
        // Equal lengths have no padding.
        assert!((of_batch(&[100; 7], 32) - 3200.0).abs() < 1e-9);
        // One long text among many short ones: a mean of 19, a deviation of 90.
        let mut lengths = vec![10; 99];
        lengths.push(910);
        let got = of_batch(&lengths, 32);
        let want = 1.1 * (32.0 * 19.0 + 2.0 * (32.0f64 * 90.0 * 90.0 * 99.0 / 100.0).sqrt());
        assert!((got - want).abs() < 0.05 * want && got < 0.1 * 32.0 * 910.0, "{got}, {want}");
    }

    #[test]
    fn what_is_asked_for_is_enough_and_hardly_less_is_not() {
        for (pass, writing, now) in [(0.2, 0.5, 3.0), (2.0, 5.0, 20.0), (30.0, 9.0, 300.0)] {
            let mut deadline = Deadline::of_all(Budget(seconds(60.0)), WORK);
            deadline.saw_pass(seconds(pass));
            deadline.saw_writing(seconds(writing));
            let now = seconds(now);
            let least = |of: Deadline, at: Duration, share: f64| Deadline {
                budget: of.asks_for(at).mul_f64(share),
                ..of
            };
            // Before the first check, which takes as long as its pass promised.
            let begun = least(deadline, now, 1.0 + 1e-6);
            assert!(begun.has_time_for_check(now));
            let took = seconds(pass * 10.0);
            let mut checked = begun;
            checked.saw_check(took);
            assert!(checked.has_time_for_step(now + took), "{pass}");
            assert!(!least(deadline, now, 0.8).has_time_for_step(now + took));
            // Behind it.
            deadline.saw_check(took);
            assert!(least(deadline, now, 1.0 + 1e-6).has_time_for_step(now));
            assert!(!least(deadline, now, 0.9).has_time_for_step(now));
        }
    }

    #[test]
    fn the_first_check_and_the_first_step_are_predicted_from_a_pass() {
        let mut deadline = Deadline::of_all(Budget(seconds(100.0)), WORK);
        deadline.saw_pass(seconds(0.2));
        // A check of 2 s, taken for 3 s; a reserve of 3 s and a spare of 5 s.
        assert!(deadline.has_time_for_check(seconds(89.0)));
        assert!(!deadline.has_time_for_check(seconds(89.1)));
        // A step of 20 s with a check, taken for 33 s.
        assert!(deadline.has_time_for_step(seconds(59.0)));
        assert!(!deadline.has_time_for_step(seconds(59.1)));
        // Writing is within the step, and thrice in the reserve.
        deadline.saw_writing(seconds(2.0));
        assert!(deadline.has_time_for_step(seconds(50.0)));
        assert!(!deadline.has_time_for_step(seconds(50.1)));
        // A check that took longer than its pass promised: 4 s.
        deadline.saw_check(seconds(4.0));
        assert!(deadline.has_time_for_step(seconds(14.0)));
        assert!(!deadline.has_time_for_step(seconds(14.1)));
        let short = Deadline { budget: seconds(30.0), ..deadline };
        assert!(!short.has_time_for_step(Duration::ZERO), "a step that does not fit is not begun");
    }

    #[test]
    fn later_steps_are_predicted_from_the_longest_so_far() {
        let mut deadline = Deadline::of_steps(Budget(seconds(100.0)), WORK);
        deadline.saw_check(seconds(2.0));
        assert!(!deadline.has_time_for_step(seconds(68.0)));
        // Shorter than the prior: 4 s and a check of 2 s, taken for 9 s.
        deadline.saw_step(seconds(4.0), false);
        assert!(deadline.has_time_for_step(seconds(91.0)));
        assert!(!deadline.has_time_for_step(seconds(91.1)));
        // Neither a shorter one nor another check changes that; a longer one with its check does.
        deadline.saw_step(seconds(1.0), false);
        deadline.saw_check(seconds(1.0));
        assert!(!deadline.has_time_for_step(seconds(91.1)));
        deadline.saw_step(seconds(8.0), true);
        assert!(deadline.has_time_for_step(seconds(88.0)));
        assert!(!deadline.has_time_for_step(seconds(88.1)));
    }

    /// A command whose parts take at most half as long again as the longest of their kind so far, the first step as long as its prior.
    fn simulated(budget: f64, pass: f64, draw: &mut dyn FnMut() -> f64) -> (f64, u32) {
        let mut deadline = Deadline::of_all(Budget(seconds(budget)), WORK);
        let writing = pass * draw();
        deadline.saw_writing(seconds(writing));
        deadline.saw_pass(seconds(pass));
        let mut now = writing + pass;
        let check = 1.5 * pass * f64::from(WORK.passes);
        if !deadline.has_time_for_check(seconds(now)) {
            return (now, 0);
        }
        now += check;
        deadline.saw_check(seconds(check));
        let (mut longest, mut n) = (pass * WORK.of_pass, 0);
        while n < 1000 && deadline.has_time_for_step(seconds(now)) {
            let is_checked = draw() < 0.3;
            let step = longest * if n == 0 { 1.5 * draw() } else { 0.5 + draw() };
            let took = step + if is_checked { check + writing } else { 0.0 };
            deadline.saw_step(seconds(took), is_checked);
            longest = if n == 0 { step } else { longest.max(step) };
            now += took;
            n += 1;
        }
        // The last check, merging and writing.
        (now + check + 3.0 * writing, n)
    }

    #[test]
    fn the_budget_holds_whatever_steps_take_within_what_is_predicted() {
        let mut state = 1u64;
        let mut draw = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as f64 / (1u64 << 24) as f64
        };
        let (mut steps, mut none) = (0, 0);
        for _ in 0..2000 {
            let pass = 0.001 + draw();
            let (end, n) = simulated(60.0, pass, &mut draw);
            assert!(end <= 60.0, "{end} after {n} steps, passes of {pass}");
            steps += n;
            none += u32::from(n == 0);
        }
        assert!(2000 < steps && 200 < none, "{steps} steps, {none} without one");
    }
}
