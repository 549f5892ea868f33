//! Text messages, read by a small pretrained network of which biases or adapters are trained.

use report::html::Section;
use report::number::significant;
use report::table::{Align, Table};
use tape_nn::net::GptConfig;

use super::Setting;
use super::runs::{Cell, Runs, best};
use crate::autorate::Course;
use crate::config::ClipConfig;
use crate::data::text::split_at_fraction;
use crate::data::{Dataset, Places};
use crate::error::{Error, Result};
use crate::hyfree::{Base, Messages, Method, Trained};
use crate::problem::Problem;
use crate::session::Session;
use crate::task::adapeft::{CONTEXT, Corpus, pretrain};
use crate::task::claim::{Asks, Check, Claim};
use crate::task::curves::mean_and_std;

const SEEDS: u64 = 5;
const WIDTH: usize = 32;
const BLOCKS: usize = 2;
const HEADS: usize = 4;
/// Half decades, tried with seed 0.
const GRID: [f64; 3] = [1e-2, 3e-2, 1e-1];
const BASE: Base = Base::Adam;

const SETTING: Setting = Setting {
    problem: "sms",
    key: "sms-eps8",
    clipping: ClipConfig::Flat { norm: 1.0 },
    epsilon: 8.0,
    batch_size: 300.0,
    steps: 80,
};

/// What was trained, and the cells of its rows.
struct Part {
    trained: Trained,
    n_params: usize,
    rows: Vec<(&'static str, &'static str, Cell)>,
}

pub(super) fn run(runs: &mut Runs<'_>, places: &Places) -> Result<Section> {
    let mut parts = Vec::new();
    let mut n_train = 0;
    for trained in [Trained::Biases, Trained::Adapters] {
        let problem = reader(runs.session, places, trained)?;
        n_train = problem.n_train();
        parts.push(part(runs, &problem, trained)?);
    }
    let mut table = Table::new(["trained", "rates", "accuracy, %", "held-out loss", "cpu s"])
        .with_caption(
            "294 held-out messages, half of them spam; mean and standard deviation over seeds",
        );
    for column in 2..5 {
        table = table.align(column, Align::Right);
    }
    for Part { trained, n_params, rows } in &parts {
        for (label, key, cell) in rows {
            let mean = |of: &dyn Fn(&crate::hyfree::Outcome) -> f64| {
                mean_and_std(&cell.outcomes.iter().map(of).collect::<Vec<_>>()).0
            };
            let label = match cell.method {
                Method::Given { rate, .. } => format!("{label} ({})", significant(rate, 1)),
                _ => (*label).to_owned(),
            };
            table.push_row([
                format!("{}, {n_params} parameters", trained.label()),
                label,
                cell.shown(),
                significant(mean(&|o| o.test_loss), 3),
                significant(mean(&|o| o.cpu_s), 3),
            ]);
            runs.figure(&format!("{}-{}-{key}", SETTING.key, trained.key()), cell)?;
        }
    }
    let mut section = Section::new("Text messages, epsilon 8")
        .paragraph(
            "Spam or not, by what a network of the GPT-2 kind says after each of the first 63 characters: it was pretrained on Shakespeare, \
             and its head is trained with its biases (BitFit) or with adapters of rank 4 (LoRA). As many messages of either class are \
             kept, so that chance is 50 %: clipped gradients of all of them learn the frequent class alone. Flat clipping at norm 1, Adam. \
             With so few records the noise of losses is large.",
        )
        .key_values([
            ("training records", report::number::count(n_train as u64)),
            ("expected batch size", SETTING.batch_size.to_string()),
            ("steps", SETTING.steps.to_string()),
            ("seeds", SEEDS.to_string()),
        ])
        .table(&table);
    let below = |key: &str| -> Vec<Check> {
        let check = |part: &Part| {
            let find = |key: &str| part.rows.iter().find(|row| row.1 == key).map(|row| &row.2);
            let values = find(key).zip(find("grid")).map(|(cell, grid)| cell.below(grid));
            Check {
                what: format!("{}: points below the grid", part.trained.label()),
                asks: Asks::AtMost(2.0),
                values: values.unwrap_or_default(),
            }
        };
        parts.iter().map(check).collect()
    };
    let claim = |published, checks| Claim {
        published,
        miniature:
            "spam in text messages, epsilon 8; within two points of the best unpaid constant rate"
                .into(),
        command: "cargo xtask bench hyfree --only text",
        seeds: format!("{SEEDS}, the same for all"),
        checks,
    };
    for claim in [
        claim(
            "Paper: HyFreeDP serves parameter-efficient tuning of language models (2503.00703)",
            below("paper"),
        ),
        claim("Ours: so does our rule, without a start", below("evidence")),
    ] {
        section = section.section(claim.section());
    }
    Ok(section)
}

/// Messages before a network that was pretrained on Shakespeare, once in a folder of results.
pub(in crate::task) fn reader(
    session: &Session,
    places: &Places,
    trained: Trained,
) -> Result<Messages> {
    let alphabet = Messages::alphabet();
    let plays = alphabet.encode(&Dataset::TinyShakespeare.text(places)?)?;
    let (train, last) = split_at_fraction(&plays, 0.95)?;
    let corpus = Corpus::new(train, last, CONTEXT, 8)?;
    let config = GptConfig::new(alphabet.n_tokens(), CONTEXT, WIDTH, BLOCKS, HEADS);
    let net = pretrain(session, "hyfree-gpt", &config, &corpus)?;
    Messages::open(places, (net.model, net.params), CONTEXT, trained)
}

fn part(runs: &mut Runs<'_>, problem: &Messages, trained: Trained) -> Result<Part> {
    let given = GRID.map(|rate| Method::Given { base: BASE, rate, course: Course::Constant });
    let title = format!("{}, rates", problem.name());
    let tried = runs.cells((&title, problem), &given, &SETTING, 1)?;
    let method = best(&tried).map(|cell| cell.method.clone()).ok_or(Error::TooFewRuns)?;
    let methods = [
        method,
        Method::paper(BASE, 1e-4),
        Method::evidence(BASE, None)?,
        Method::evidence(BASE, Some(1e-4))?,
    ];
    let title = format!("{}, private losses", problem.name());
    let cells = runs.cells((&title, problem), &methods, &SETTING, SEEDS)?;
    let labels = [
        ("best constant rate of a grid, unpaid", "grid"),
        ("HyFreeDP as published, from 1e-4", "paper"),
        ("our rule, with a ladder", "evidence"),
        ("our rule, from 1e-4", "evidence-from-1e-4"),
    ];
    let rows = labels.into_iter().zip(cells).map(|((label, key), cell)| (label, key, cell));
    let n_params = problem.initial(0)?.n_elements();
    Ok(Part { trained, n_params, rows: rows.collect() })
}

impl Trained {
    fn label(self) -> &'static str {
        match self {
            Trained::Biases => "biases and head",
            Trained::Adapters => "adapters and head",
        }
    }

    fn key(self) -> &'static str {
        match self {
            Trained::Biases => "bitfit",
            Trained::Adapters => "lora",
        }
    }
}
