//! When a line is due and what it says; time is an argument.

use std::time::Duration;

use crate::number;

/// At least this long between two lines.
const MIN_PAUSE: Duration = Duration::from_secs(1);
/// At most this long, as long as the work reports anything.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// A task as its lines see it.
#[derive(Clone, Debug)]
pub(super) struct LineState {
    pub(super) position: u64,
    pub(super) message: String,
    total: Option<u64>,
    /// Units that an earlier run did.
    before: u64,
    last_time: Duration,
    last_position: u64,
    has_lines: bool,
}

impl LineState {
    pub(super) fn new(total: Option<u64>) -> Self {
        LineState {
            position: 0,
            message: String::new(),
            total,
            before: 0,
            last_time: Duration::ZERO,
            last_position: 0,
            has_lines: false,
        }
    }

    pub(super) fn start_at(&mut self, position: u64) {
        (self.position, self.before, self.last_position) = (position, position, position);
    }

    /// The line for this moment, if one is due.
    pub(super) fn next_line(&mut self, path: &str, now: Duration) -> Option<String> {
        let pause = now.saturating_sub(self.last_time);
        // The last tenth is told by the line at the end.
        let has_new_tenth = self.has_new_tenth() && !self.is_complete();
        let is_due = MAX_PAUSE <= pause || (MIN_PAUSE <= pause && has_new_tenth);
        if !is_due {
            return None;
        }
        (self.last_time, self.last_position, self.has_lines) = (now, self.position, true);
        let (rate, left) = self.rate_and_left(now);
        let left = left.map(|left| format!("{} left", number::duration(left)));
        Some(self.join(path, [Some(rate), left]))
    }

    /// The line at the end of a task that was finished or given up.
    pub(super) fn last_line(&self, path: &str, now: Duration, is_finished: bool) -> String {
        let how = if is_finished || self.is_complete() { "done in" } else { "stopped after" };
        let spent = format!("{how} {}", number::duration(now));
        let rate = (MIN_PAUSE <= now).then(|| self.rate_and_left(now).0);
        self.join(path, [Some(spent), rate])
    }

    /// Whether an inner task was long enough for a line at its end.
    pub(super) fn is_worth_an_end(&self, now: Duration) -> bool {
        self.has_lines || MAX_PAUSE <= now
    }

    fn is_complete(&self) -> bool {
        self.total.is_some_and(|total| total <= self.position)
    }

    fn has_new_tenth(&self) -> bool {
        let Some(total) = self.total.filter(|&total| 0 < total) else { return false };
        let tenth = |position: u64| u128::from(position) * 10 / u128::from(total);
        tenth(self.last_position) < tenth(self.position)
    }

    fn rate_and_left(&self, now: Duration) -> (String, Option<Duration>) {
        let n_done = precise(self.position.saturating_sub(self.before));
        let rate = n_done / now.as_secs_f64().max(1e-9);
        let n_left = self.total.map(|total| precise(total.saturating_sub(self.position)));
        let left = n_left.and_then(|n| Duration::try_from_secs_f64(n / rate).ok());
        (rate_text(rate), left)
    }

    fn join<const N: usize>(&self, path: &str, parts: [Option<String>; N]) -> String {
        let mut line = match self.total {
            Some(total) => {
                let percent = u128::from(self.position) * 100 / u128::from(total.max(1));
                let percent = if total == 0 { 100 } else { percent };
                format!("{path}: {}/{total} ({percent} %)", self.position)
            }
            None => format!("{path}: {}", self.position),
        };
        let message = Some(self.message.replace('\n', " ")).filter(|m| !m.is_empty());
        for part in parts.into_iter().flatten().chain(message) {
            line.push_str(", ");
            line.push_str(&part);
        }
        line
    }
}

/// Units per second, or the time of one unit if that is long.
pub(super) fn rate_text(per_second: f64) -> String {
    match Duration::try_from_secs_f64(1.0 / per_second) {
        Ok(each) if per_second < 1.0 => format!("{} each", number::duration(each)),
        _ => format!("{}/s", number::significant(per_second, 3)),
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
fn precise(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_line_tells_rate_time_left_and_message() {
        let mut state = LineState::new(Some(1000));
        (state.position, state.message) = (250, "loss 0.5".to_owned());
        let line = state.next_line("train > epoch 3", at(10)).unwrap();
        assert_eq!(line, "train > epoch 3: 250/1000 (25 %), 25.0/s, 30.0 s left, loss 0.5");
        assert_eq!(
            state.last_line("train", at(20), true),
            "train: 250/1000 (25 %), done in 20.0 s, 12.5/s, loss 0.5"
        );
    }

    #[test]
    fn a_task_given_up_is_done_only_if_nothing_was_left() {
        let mut state = LineState::new(Some(2));
        assert_eq!(state.last_line("a", at(0), false), "a: 0/2 (0 %), stopped after 0 ms");
        state.position = 2;
        assert_eq!(state.next_line("a", at(2)), None);
        assert_eq!(state.last_line("a", at(0), false), "a: 2/2 (100 %), done in 0 ms");
    }

    #[test]
    fn slow_work_tells_the_time_of_one_unit() {
        let mut state = LineState::new(Some(10));
        state.position = 2;
        let line = state.next_line("a", at(120)).unwrap();
        assert_eq!(line, "a: 2/10 (20 %), 1 min 00 s each, 8 min 00 s left");
    }

    #[test]
    fn work_of_an_earlier_run_does_not_count_for_the_rate() {
        let mut state = LineState::new(Some(1000));
        state.start_at(900);
        state.position = 910;
        let line = state.next_line("a", at(10)).unwrap();
        assert_eq!(line, "a: 910/1000 (91 %), 1.00/s, 1 min 30 s left");
    }

    #[test]
    fn unknown_and_empty_totals_have_a_line() {
        let mut state = LineState::new(None);
        assert_eq!(state.next_line("a", at(10)).unwrap(), "a: 0, 0/s");
        let state = LineState::new(Some(0));
        assert_eq!(state.last_line("a", at(0), true), "a: 0/0 (100 %), done in 0 ms");
    }

    proptest! {
        #[test]
        fn lines_are_rare_and_never_fail(
            total in proptest::option::of(any::<u64>()),
            steps in proptest::collection::vec((0u64..3000, 0..u64::MAX / 100), 0..100),
        ) {
            let mut state = LineState::new(total);
            let (mut now, mut n_lines) = (Duration::ZERO, 0u32);
            for (ms, n) in steps {
                now += Duration::from_millis(ms);
                state.position += n;
                n_lines += u32::from(state.next_line("a", now).is_some());
            }
            prop_assert!(at(u64::from(n_lines)) <= now);
        }
    }
}
