//! Time that a command may take.

use std::str::FromStr;
use std::time::{Duration, Instant};

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

/// When steps must have ended, learned from how long they take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    end: Instant,
    longest: Duration,
}

impl Deadline {
    /// At the end of `budget` since `begun`, less what is reserved for the work after the steps.
    pub(super) fn new(begun: Instant, budget: Budget, reserve: Duration) -> Self {
        Deadline { end: begun + budget.0.saturating_sub(reserve), longest: Duration::ZERO }
    }

    /// Learns of a step.
    pub(super) fn saw(&mut self, step: Duration) {
        self.longest = self.longest.max(step);
    }

    /// Whether another step, half as long again as the longest so far, would end too late.
    pub(super) fn is_near(&self) -> bool {
        self.end < Instant::now() + self.longest + self.longest / 2
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

    #[test]
    fn a_deadline_leaves_time_for_one_more_step() {
        let now = Instant::now();
        let budget = Budget(Duration::from_secs(3600));
        let mut deadline = Deadline::new(now, budget, Duration::from_secs(600));
        assert!(!deadline.is_near());
        deadline.saw(Duration::from_secs(1900));
        assert!(!deadline.is_near());
        deadline.saw(Duration::from_secs(2100));
        assert!(deadline.is_near());
        assert!(Deadline::new(now, budget, Duration::from_secs(3600)).is_near());
    }
}
