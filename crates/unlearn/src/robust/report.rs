//! What all tests found, as a table.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Asked, Attempts, Both, Membership, Paraphrases, Relearned, Rounding};

/// What the tests of robustness found; absent where a test was not made. `Display` prints tables.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Relearning from a few documents.
    pub relearned: Option<Relearned>,
    /// Weights rounded to few bits.
    pub rounding: Option<Rounding>,
    /// The same questions in other words.
    pub paraphrases: Option<Paraphrases>,
    /// Many attempts.
    pub attempts: Option<Both<Attempts>>,
    /// Membership inference.
    pub membership: Option<Membership>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| test | unlearned | gold |")?;
        write!(f, "| --- | --- | --- |")?;
        if let Some(relearned) = &self.relearned {
            relearning(f, relearned)?;
        }
        if let Some(Paraphrases { asked: Some(asked), .. }) = &self.paraphrases {
            paraphrases(f, asked)?;
        }
        if let Some(both) = &self.attempts {
            attempts(f, both)?;
        }
        if let Some(membership) = &self.membership {
            for result in &membership.attacks {
                let Both { unlearned, gold } = result.auc;
                let what = format!("membership AUC, {}", result.attack);
                row(f, &what, &number(unlearned), &number(gold))?;
            }
            for result in &membership.attacks {
                let leak =
                    result.leak.map_or("undefined".to_owned(), |leak| format!("{leak:.1} %"));
                row(f, &format!("PrivLeak, {}", result.attack), &leak, "0.0 %")?;
            }
        }
        if let Some(relearned) = &self.relearned {
            let (gap, gained) = (relearned.gap(), relearned.gain_gap());
            write!(
                f,
                "\n\nrelearn gap {gap:.4}, {gained:.4} of it gained: the mean difference of knowledge to gold over the steps"
            )?;
        }
        if let Some(Paraphrases { without, .. }) = &self.paraphrases
            && !without.is_empty()
        {
            let n = without.len();
            write!(f, "\n\nnot asked in other words, for there are none: {n} rows")?;
        }
        match &self.rounding {
            Some(rounding) => rounded(f, rounding),
            None => Ok(()),
        }
    }
}

fn relearning(f: &mut fmt::Formatter<'_>, relearned: &Relearned) -> fmt::Result {
    let Both { unlearned, gold } = &relearned.curves;
    let ends = [
        (unlearned.points.first(), gold.points.first(), "before"),
        (unlearned.points.last(), gold.points.last(), "after"),
    ];
    for (unlearned, gold, when) in ends {
        if let (Some(u), Some(g)) = (unlearned, gold) {
            let steps = u.step;
            let what =
                format!("relearning, {when} {steps} steps: knowledge of the other documents");
            row(f, &what, &number(u.knowledge), &number(g.knowledge))?;
            let what = format!("relearning, {when} {steps} steps: loss");
            row(f, &what, &number(u.loss), &number(g.loss))?;
        }
    }
    let steps = relearned.steps();
    let count = |steps: Option<u64>| steps.map_or("not reached".to_owned(), |n| n.to_string());
    let share = 100.0 * relearned.until;
    let what = format!("relearning, steps to {share:.0} % of the target's knowledge");
    row(f, &what, &count(steps.unlearned), &count(steps.gold))
}

fn paraphrases(f: &mut fmt::Formatter<'_>, asked: &Both<Asked>) -> fmt::Result {
    let of = |asked: &Asked| {
        let (plain, reworded) = (asked.plain.memorized(), asked.reworded.memorized());
        format!("{plain:.4}, {reworded:.4}")
    };
    let what = "tokens known as asked, in other words";
    row(f, what, &of(&asked.unlearned), &of(&asked.gold))?;
    let of = |asked: &Asked| match (asked.plain.rouge(), asked.reworded.rouge()) {
        (Ok(plain), Ok(reworded)) => Some(format!("{:.4}, {:.4}", plain.value(), reworded.value())),
        _ => None,
    };
    // Absent where nothing was generated.
    match (of(&asked.unlearned), of(&asked.gold)) {
        (Some(unlearned), Some(gold)) => {
            row(f, "ROUGE-L recall as asked, in other words", &unlearned, &gold)
        }
        _ => Ok(()),
    }
}

fn attempts(f: &mut fmt::Formatter<'_>, both: &Both<Attempts>) -> fmt::Result {
    let n = both.unlearned.n();
    let of = |f: fn(&Attempts, usize) -> f64| {
        let pair = |a: &Attempts| format!("{:.4}, {:.4}", f(a, 1), f(a, n));
        (pair(&both.unlearned), pair(&both.gold))
    };
    let (unlearned, gold) = of(Attempts::recall);
    row(f, &format!("best ROUGE-L recall of 1, of {n} attempts"), &unlearned, &gold)?;
    let (unlearned, gold) = of(Attempts::exact);
    row(f, &format!("rows answered exactly by 1, by any of {n} attempts"), &unlearned, &gold)
}

fn rounded(f: &mut fmt::Formatter<'_>, rounding: &Rounding) -> fmt::Result {
    let changes = rounding.changes().map_err(|_| fmt::Error)?;
    write!(f, "\n\n| weights |")?;
    write!(f, " as they are |")?;
    for (bits, _) in &changes {
        write!(f, " {bits} bits |")?;
    }
    write!(f, "\n| --- | --- |{}", " --- |".repeat(changes.len()))?;
    let Some((_, first)) = changes.first() else { return Ok(()) };
    for distance in first {
        write!(f, "\n| {} | {} |", distance.name, number(distance.gold))?;
        for (_, of_copy) in &changes {
            let same = of_copy.iter().find(|other| other.name == distance.name);
            let text = same.map_or("undefined".to_owned(), |other| number(other.value));
            write!(f, " {text} |")?;
        }
    }
    Ok(())
}

fn row(f: &mut fmt::Formatter<'_>, what: &str, unlearned: &str, gold: &str) -> fmt::Result {
    write!(f, "\n| {what} | {unlearned} | {gold} |")
}

fn number(x: f64) -> String {
    format!("{x:.4}")
}
