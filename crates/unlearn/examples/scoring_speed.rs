//! Times the score of SemEval-2025 Task 4 on rows made like those of LUME: 5466 of them, with generations of up to 256 words. Wall time.
//!
//! `cargo run --release -p unlearn --no-default-features --example scoring_speed`

#![allow(clippy::print_stdout, reason = "an example prints")]

use std::time::Instant;

use unlearn::metric::ks::{Ks, Method};
use unlearn::multiple_choice::{OptionScore, Questions, Rule};
use unlearn::score::semeval::{Cells, Gate, Outcome, Row};

/// Documents of the forget and of the retain set, and questions per document, by task.
const TASKS: [(&str, [usize; 2], usize); 3] =
    [("Task1", [243, 246], 1), ("Task2", [250, 250], 5), ("Task3", [373, 371], 1)];

/// Splitmix: good enough for texts.
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.bits() % n
    }

    fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Words from a vocabulary of some thousand, with endings that a stemmer works on.
    fn text(&mut self, n_words: u64) -> String {
        const STARTS: [&str; 8] =
            ["relat", "conform", "hop", "sens", "operat", "triplic", "agre", "commun"];
        const ENDS: [&str; 8] = ["ional", "ing", "ed", "ibility", "ators", "ate", "ements", "ism"];
        let mut text = String::new();
        for _ in 0..n_words {
            let (start, middle, end) = (self.below(8), self.below(60), self.below(8));
            let at = |n: u64| usize::try_from(n).unwrap_or(0);
            text += STARTS[at(start)];
            text.push(char::from(b'a' + u8::try_from(middle % 26).unwrap_or(0)));
            text += ENDS[at(end)];
            text.push(' ');
        }
        text
    }
}

/// Id, task, output and generation.
type Made = (String, &'static str, String, String);

fn rows(random: &mut Random, split: usize) -> Vec<Made> {
    let mut rows = Vec::new();
    for (task, n_documents, n_questions) in TASKS {
        for document in 0..n_documents[split] {
            rows.push((format!("{document}sc1"), task, random.text(33), random.text(256)));
            for question in 0..n_questions {
                let answer = random.text(3);
                let generation =
                    if random.below(2) == 0 { answer.clone() } else { random.text(256) };
                rows.push((format!("{document}qa{question}"), task, answer, generation));
            }
        }
    }
    rows
}

fn view(rows: &[Made]) -> Vec<Row<'_>> {
    let row = |(id, task, output, generation)| Row { id, task, output, generation };
    rows.iter()
        .map(|(id, task, output, generation)| {
            row((id.as_str(), *task, output.as_str(), generation.as_str()))
        })
        .collect()
}

fn main() -> unlearn::Result<()> {
    let mut random = Random(1);
    let (forget, retain) = (rows(&mut random, 0), rows(&mut random, 1));
    let mut losses = |n: usize| -> Vec<f64> { (0..n).map(|_| 4.0 * random.unit()).collect() };
    let (member, nonmember) = (losses(150), losses(150));
    let (x, y) = (losses(10_000), losses(10_000));
    let questions = Questions::made()?;
    let one = OptionScore { log_prob: -1.0, n_tokens: 1 };
    let scores: Vec<Vec<OptionScore>> =
        questions.items().iter().map(|item| vec![one; item.options.len()]).collect();

    let start = Instant::now();
    let cells = Cells::of(&view(&forget), &view(&retain))?;
    let accuracy = questions.accuracy(&scores, Rule::MostProbable)?;
    let outcome = Outcome::new(cells, &member, &nonmember, accuracy.score, Gate::Open)?;
    let elapsed = start.elapsed().as_secs_f64();
    println!("{outcome}\n");
    println!("{} rows in {elapsed:.3} s", forget.len() + retain.len());

    let start = Instant::now();
    let p = Ks::new(&x, &y)?.p_value(Method::Exact)?;
    println!(
        "exact p-value of 10000 and 10000 values, {:.4}, in {:.3} s",
        p.value(),
        start.elapsed().as_secs_f64()
    );
    Ok(())
}
