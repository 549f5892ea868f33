//! Why the defaults are what they are: settings side by side, with seeds that no claim uses. The digits are those of the claims.

use hessian_lr::controller::{EmaOf, FirstRate, Settings, Uphill};
use hessian_lr::decision::Acceptance;
use hessian_lr::driver::ProbeData;
use hessian_lr::horizon::Horizon;
use report::html::Section;
use report::table::{Align, Table};

use super::runs::{Runs, best};
use super::{STEPS, gen_of, hidlr_of, settings};
use crate::autorate::{Base, Course, Grouped, Method, Perceptron, Subject};
use crate::data::Places;
use crate::error::{Error, Result};

const FROM: u64 = 100;
const SEEDS: u64 = 3;
const SEEDS_OF_FULL: u64 = 10;
const AROUND: f64 = 1e-3;
const ADAMW: [f64; 5] = [1e-3, 3e-3, 1e-2, 3e-2, 1e-1];
const SGD: [f64; 5] = [3e-2, 1e-1, 3e-1, 1.0, 3.0];

/// A change of the defaults.
struct Variant {
    label: &'static str,
    change: fn(Settings) -> Settings,
    probe_data: ProbeData,
}

const fn variant(label: &'static str, change: fn(Settings) -> Settings) -> Variant {
    Variant { label, change, probe_data: ProbeData::Next }
}

fn gate(settings: Settings, gate: Option<f64>) -> Settings {
    let acceptance = Acceptance { noise_gate: gate, ..settings.acceptance };
    Settings { acceptance, ..settings }
}

const VARIANTS: [Variant; 22] = [
    variant("defaults", |s| s),
    variant("no horizon", |s| Settings { horizon: Horizon::None, ..s }),
    variant("no horizon, falls uphill", |s| Settings {
        horizon: Horizon::None,
        uphill: Uphill::Fall,
        ..s
    }),
    variant("no horizon, falls uphill, gate 2", |s| {
        gate(Settings { horizon: Horizon::None, uphill: Uphill::Fall, ..s }, Some(2.0))
    }),
    variant("cosine horizon", |s| Settings { horizon: Horizon::Cosine { steps: STEPS }, ..s }),
    variant("falls uphill", |s| Settings { uphill: Uphill::Fall, ..s }),
    variant("period 1", |s| Settings { period: 1, ..s }),
    variant("period 2", |s| Settings { period: 2, ..s }),
    variant("period 8", |s| Settings { period: 8, ..s }),
    variant("no gate", |s| gate(s, None)),
    variant("gate 2", |s| gate(s, Some(2.0))),
    variant("gate 3", |s| gate(s, Some(3.0))),
    variant("share of the old rate .9", |s| Settings { smooth: 0.9, ..s }),
    variant("share .9, gate 2", |s| gate(Settings { smooth: 0.9, ..s }, Some(2.0))),
    variant("share .9, gate 2, period 1", |s| {
        gate(Settings { smooth: 0.9, period: 1, ..s }, Some(2.0))
    }),
    variant("averages of coefficients", |s| Settings { ema_of: EmaOf::Coefficients, ..s }),
    variant("greed .5", |s| Settings { greed: 0.5, ..s }),
    variant("greed 2", |s| Settings { greed: 2.0, ..s }),
    variant("three probes", |s| Settings { multipliers: vec![-1.0, 1.0, 0.0], ..s }),
    variant("verified", |s| Settings { verify: true, ..s }),
    Variant { label: "probes on the gradient's batch", change: |s| s, probe_data: ProbeData::Same },
    Variant { label: "probes on a held batch", change: |s| s, probe_data: ProbeData::Held },
];

pub(super) fn run(runs: &mut Runs<'_>, places: &Places) -> Result<Section> {
    let digits = Perceptron::digits(places, |_| 1.0)?;
    let mnist = Perceptron::mnist(places)?;
    Ok(Section::new("How the defaults were chosen")
        .paragraph(format!(
            "Geometric means of the training loss after {STEPS} steps over seeds from {FROM} on, which no claim uses. Digits of \
             8x8 are fitted without rest, those of 28x28 (8000 of them) are not in so many steps. The last row is the best of half \
             decades for half a cosine."
        ))
        .section(part(runs, ("digits", &digits), Base::AdamW, "8x8, AdamW")?)
        .section(part(runs, ("mnist", &mnist), Base::AdamW, "28x28, AdamW")?)
        .section(part(runs, ("digits", &digits), Base::Sgd, "8x8, SGD")?))
}

fn part<S: Subject>(
    runs: &mut Runs<'_>,
    subject: (&str, &S),
    base: Base,
    title: &str,
) -> Result<Section> {
    let seeds = FROM..FROM + if runs.session.full { SEEDS_OF_FULL } else { SEEDS };
    let methods: Vec<Method> = VARIANTS
        .iter()
        .flat_map(|variant| {
            let settings = (variant.change)(settings(FirstRate::Auto(AROUND), STEPS));
            let one = gen_of(base, settings.clone());
            let other = hidlr_of(base, settings, Grouped::Leaves);
            [one, other].map(|method| method.probing(variant.probe_data))
        })
        .collect();
    let title_of_runs = format!("settings, {title}");
    let cells = runs.cells(&title_of_runs, subject, &methods, seeds.clone())?;
    let rates = if base == Base::Sgd { SGD } else { ADAMW };
    let grid = rates.map(|rate| Method::Scheduled { base, course: Course::Cosine, rate });
    let schedules = runs.cells(&title_of_runs, subject, &grid, seeds)?;
    let cosine = best(&schedules).ok_or(Error::TooFewRuns)?;
    let mut table = Table::new(["settings", "GeN", "range", "Hi-DLR", "range", "forwards of GeN"]);
    for column in 1..6 {
        table = table.align(column, Align::Right);
    }
    for (variant, pair) in VARIANTS.iter().zip(cells.chunks(2)) {
        let [one, other] = pair else { return Err(Error::TooFewRuns) };
        let ([a, b, _, forwards, _], [c, d, ..]) = (one.shown(), other.shown());
        table.push_row([variant.label.to_owned(), a, b, c, d, forwards]);
        let key = variant.label.to_lowercase().replace([' ', ',', '\''], "-").replace("--", "-");
        let key = format!("settings-{}-{}-{key}", subject.0, base.key());
        runs.figures(&format!("{key}-gen"), one)?;
        runs.figures(&format!("{key}-hidlr"), other)?;
    }
    let [loss, range, ..] = cosine.shown();
    table.push_row(["cosine, tuned".into(), loss, range, String::new(), String::new(), "0".into()]);
    Ok(Section::new(title).table(&table))
}
