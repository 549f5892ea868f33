//! The figures that benchmark runs leave behind: one JSON line each, newest last.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::json_lines::{self, TornLine};
use crate::number;
use crate::table::Table;

/// One measured number with all that is needed to judge it later.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// The task it was measured on, e.g. `slope/gene-expression`.
    pub task: String,
    /// What was measured, e.g. `test_loss`.
    pub figure: String,
    /// The number: the mean if there are several seeds.
    pub value: f64,
    /// Its unit, empty if it has none.
    pub unit: String,
    /// Which direction is an improvement.
    pub better: Better,
    /// Standard deviation over the seeds, if there are several.
    pub std: Option<f64>,
    /// Number of seeds behind `value`.
    pub n_seeds: u32,
    /// Commit of the code that measured it.
    pub commit: String,
    /// Name or hash of the config.
    pub config: String,
    /// The machine in words.
    pub machine: String,
}

/// Which direction of a figure is an improvement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// Smaller is better: losses, times.
    Lower,
    /// Larger is better: accuracies, speed-ups.
    Higher,
    /// Neither: sizes, counts.
    None,
}

/// The newest figure of each task and name, and the lines that could not be used.
#[derive(Clone, Debug, PartialEq)]
pub struct Newest {
    /// Sorted by task, then by figure.
    pub figures: Vec<Figure>,
    /// Lines that were cut off while being written.
    pub torn: Vec<TornLine>,
}

impl Figure {
    /// `task/figure`, the name by which a newer figure replaces an older one.
    pub fn name(&self) -> String {
        format!("{}/{}", self.task, self.figure)
    }
}

/// Appends a figure to the file at `path`, usually `target/bench/figures.jsonl`.
///
/// # Errors
/// [`Error::NotFinite`] if `value` or `std` is not finite, since JSON has no such numbers; otherwise
/// as [`json_lines::append`].
pub fn append(path: impl AsRef<Path>, figure: &Figure) -> Result<()> {
    let check = |what: &str, got: f64| {
        let name = format!("{what} of {}", figure.name());
        if got.is_finite() { Ok(()) } else { Err(Error::NotFinite { name, got }) }
    };
    check("value", figure.value)?;
    check("std", figure.std.unwrap_or(0.0))?;
    json_lines::append(path, figure)
}

/// Reads the newest figure of each name that `pattern` matches. A missing file holds none.
///
/// # Errors
/// As [`json_lines::read`].
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use report::figures::{self, Better, Figure, Pattern};
/// # let folder = tempfile::tempdir()?;
/// let path = folder.path().join("figures.jsonl");
/// let mut figure = Figure {
///     task: "mnist".into(), figure: "accuracy".into(), value: 0.93, unit: "".into(),
///     better: Better::Higher, std: Some(0.004), n_seeds: 5,
///     commit: "1a2b3c4".into(), config: "default".into(), machine: "8 cores".into(),
/// };
/// figures::append(&path, &figure)?;
/// figure.value = 0.95;
/// figures::append(&path, &figure)?;
/// assert_eq!(figures::read_newest(&path, &Pattern::new("mnist/acc*"))?.figures, [figure]);
/// # Ok(()) }
/// ```
pub fn read_newest(path: impl AsRef<Path>, pattern: &Pattern) -> Result<Newest> {
    let lines = json_lines::read_or_empty::<Figure>(path)?;
    let mut newest = BTreeMap::new();
    for figure in lines.values {
        if pattern.matches_figure(&figure) {
            newest.insert((figure.task.clone(), figure.figure.clone()), figure);
        }
    }
    Ok(Newest { figures: newest.into_values().collect(), torn: lines.torn })
}

/// Figures as a table, in the order given.
pub fn table<'a>(figures: impl IntoIterator<Item = &'a Figure>) -> Table {
    let columns =
        ["task", "figure", "value", "unit", "better", "seeds", "commit", "config", "machine"];
    let mut table = Table::new(columns);
    for f in figures {
        let better = match f.better {
            Better::Lower => "lower",
            Better::Higher => "higher",
            Better::None => "",
        };
        table.push_row([
            f.task.clone(),
            f.figure.clone(),
            number::mean_std(f.value, f.std),
            f.unit.clone(),
            better.to_owned(),
            f.n_seeds.to_string(),
            f.commit.clone(),
            f.config.clone(),
            f.machine.clone(),
        ]);
    }
    table
}

/// A pattern as in a shell: `*` stands for any text (also across `/`), `?` for one character.
///
/// It is compared with `task/figure` and with `task` alone, so `mnist` selects all figures of that
/// task. The empty pattern selects everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<char>);

impl Pattern {
    /// Takes the pattern as it is; every text is a valid one.
    pub fn new(pattern: &str) -> Self {
        Pattern(pattern.chars().collect())
    }

    /// The pattern that selects everything.
    pub fn all() -> Self {
        Pattern::new("*")
    }

    /// Whether the whole of `text` fits the pattern.
    pub fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let (mut p, mut t) = (0, 0);
        // Where to resume if the text after the last `*` does not fit: let it swallow one more.
        let mut retry: Option<(usize, usize)> = None;
        while t < text.len() {
            match self.0.get(p) {
                Some('*') => {
                    retry = Some((p + 1, t));
                    p += 1;
                }
                Some(&c) if c == '?' || c == text[t] => (p, t) = (p + 1, t + 1),
                _ => match retry {
                    Some((after_star, from)) => {
                        retry = Some((after_star, from + 1));
                        (p, t) = (after_star, from + 1);
                    }
                    None => return false,
                },
            }
        }
        self.0[p..].iter().all(|&c| c == '*')
    }

    /// Whether the pattern selects `figure`.
    pub fn matches_figure(&self, figure: &Figure) -> bool {
        self.0.is_empty() || self.matches(&figure.name()) || self.matches(&figure.task)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn figure(task: &str, figure: &str, value: f64) -> Figure {
        Figure {
            task: task.into(),
            figure: figure.into(),
            value,
            unit: "s".into(),
            better: Better::Lower,
            std: None,
            n_seeds: 1,
            commit: "abc".into(),
            config: "c".into(),
            machine: "m".into(),
        }
    }

    #[test]
    fn the_newest_of_each_name_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("figures.jsonl");
        assert!(read_newest(&path, &Pattern::all()).unwrap().figures.is_empty());
        let all = [
            figure("b", "x", 1.0),
            figure("a", "x", 2.0),
            figure("b", "x", 3.0),
            figure("b", "y", 4.0),
        ];
        for f in &all {
            append(&path, f).unwrap();
        }
        let newest = read_newest(&path, &Pattern::all()).unwrap().figures;
        assert_eq!(newest, [all[1].clone(), all[2].clone(), all[3].clone()]);
        assert_eq!(read_newest(&path, &Pattern::new("b")).unwrap().figures.len(), 2);
        assert_eq!(read_newest(&path, &Pattern::new("*/y")).unwrap().figures.len(), 1);
    }

    #[test]
    fn a_figure_that_json_cannot_hold_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("figures.jsonl");
        let refused = append(&path, &figure("a", "x", f64::NAN));
        assert!(matches!(refused, Err(Error::NotFinite { .. })));
        assert!(!path.exists());
    }

    #[test]
    fn the_stored_words_are_the_documented_ones() {
        let json = serde_json::to_value(figure("a", "x", 1.0)).unwrap();
        assert_eq!(json["better"], "lower");
        assert_eq!(json["std"], serde_json::Value::Null);
        assert_eq!(serde_json::to_value(Better::None).unwrap(), "none");
        assert_eq!(serde_json::to_value(Better::Higher).unwrap(), "higher");
    }

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, text, fits) in [
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("a*c", "acb", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*ab", "aab", true),
            ("?b", "ab", true),
            ("?b", "b", false),
            ("", "", true),
            ("", "a", false),
            ("**", "", true),
            ("é?", "éa", true),
        ] {
            assert_eq!(Pattern::new(pattern).matches(text), fits, "{pattern} {text}");
        }
    }

    proptest! {
        #[test]
        fn a_pattern_without_wildcards_matches_itself_only(a in "[a-c/]{0,5}", b in "[a-c/]{0,5}") {
            prop_assert_eq!(Pattern::new(&a).matches(&b), a == b);
        }

        #[test]
        fn cutting_a_text_anywhere_and_putting_a_star_there_matches(a in "[a-c]{0,4}", b in "[a-c]{0,4}", c in "[a-c]{0,4}") {
            let pattern = Pattern::new(&format!("{a}*{c}"));
            let text = format!("{a}{b}{c}");
            prop_assert!(pattern.matches(&text));
        }
    }
}
