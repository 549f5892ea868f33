//! The same over sizes with published networks of the Llama kind: from 260 thousand parameters to 135 million.

use candle_core::{DType, Device};
use hessian_lr::adapeft::{Chooser, Report};
use hessian_lr::grouping::Grouping;
use hessian_lr::select::Budget;
use report::figures::Better;
use report::html::Section;
use report::number::{count, significant};
use report::table::{Align, Table};
use tape_nn::load::{Tokenizer, llama};
use tape_nn::net::Llama;
use tensor_tree::{Key, Label};

use super::claim::{Asks, Check, Claim};
use super::corpus::Corpus;
use super::net::Net;
use super::probe::{Fits, Found, probe};
use super::sets::{Set, chosen, random, spearman};
use super::tune::{Course, RATES, Tuned, downhill, tune};
use super::{Runs, figure, store};
use crate::data::{Dataset, Places};
use crate::error::{Error, Result};
use crate::session::Session;

/// Tokens that are read at once.
const CONTEXT: usize = 64;
const BATCH: usize = 4;
const STEPS: u64 = 60;
/// A tenth of the horizon would be six steps with one fit.
const PROBE: u64 = 8;
const HELD_OUT: usize = 16;
const PART: f64 = 0.005;
const RANK: usize = 4;
const ADAPTED: [&str; 2] = ["q_proj", "v_proj"];
/// Characters of the texts that are read: the trainings see less.
const CHARACTERS: usize = 200_000;
/// One seed takes a third of an hour and more.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=3;

const MODULES: [(&str, &str); 12] = [
    ("lora_a", r"\.lora_a\."),
    ("lora_b", r"\.lora_b\."),
    ("embedding", r"embed_tokens\."),
    ("input_layernorm", r"\.input_layernorm\."),
    ("post_attention_layernorm", r"\.post_attention_layernorm\."),
    ("norm", r"^model\.norm\."),
    ("q and k", r"\.[qk]_proj\.weight$"),
    ("v", r"\.v_proj\.weight$"),
    ("o", r"\.o_proj\.weight$"),
    ("gate", r"\.gate_proj\.weight$"),
    ("up", r"\.up_proj\.weight$"),
    ("down", r"\.down_proj\.weight$"),
];

/// A network with its texts.
struct Subject {
    name: &'static str,
    net: Net<Llama>,
    corpus: Corpus,
}

impl Subject {
    fn open(places: &Places, name: &'static str, folder: &str, weights: &str) -> Result<Self> {
        let folder = places.folder_of(folder)?;
        let path = if weights.is_empty() { folder.clone() } else { folder.join(weights) };
        let loaded = llama(&path, DType::F32, &Device::Cpu)?;
        let tokenizer = Tokenizer::read(folder.join("tokenizer.json"))?;
        let part = |set: Dataset| -> Result<Vec<u32>> {
            let text: String = set.text(places)?.chars().take(CHARACTERS).collect();
            Ok(tokenizer.encode(&text, false)?)
        };
        let (train, test) = (part(Dataset::E2eDevelopment)?, part(Dataset::E2eTest)?);
        let corpus = Corpus::new(&train, &test, CONTEXT + 1, HELD_OUT)?;
        Ok(Subject { name, net: Net { model: loaded.model, params: loaded.params }, corpus })
    }
}

/// The runs, each done once.
struct Bench<'a> {
    session: &'a Session,
    runs: &'a mut Runs,
    probes: store::Store<Found>,
    grouping: Grouping,
}

impl Bench<'_> {
    fn found(&mut self, subject: &Subject, seed: u64) -> Result<Found> {
        let name = format!("{}/{PROBE}/{seed}", subject.name);
        if let Some(found) = self.probes.get(&name) {
            return Ok(found.clone());
        }
        let net = subject.net.with_adapters(RANK, &ADAPTED, seed)?;
        let course = Course { steps: PROBE, batch: BATCH, seed };
        let (corpus, grouping) = (&subject.corpus, &self.grouping);
        let fits = Fits { windows: BATCH, period: 4 };
        let found = probe(self.session, &name, &net, corpus, grouping, (course, fits))?;
        self.probes.put(&name, found.clone())?;
        Ok(found)
    }

    /// The training of a set at the best of three rates, which the windows for choices tell.
    fn tuned(&mut self, subject: &Subject, set: &Set, seed: u64) -> Result<Tuned> {
        const FIRST: usize = 2;
        // Adapters that are not trained add nothing.
        let net = match set.iter().any(|group| group.starts_with("lora_")) {
            true => subject.net.with_adapters(RANK, &ADAPTED, seed)?,
            false => subject.net.clone(),
        };
        let mut at = |rate: usize| -> Result<Tuned> {
            let rate = RATES[FIRST + rate];
            let name = format!("tuned/{}/{}/{rate}/{seed}", subject.name, set.join("+"));
            let (session, grouping) = (self.session, &self.grouping);
            let values = self.runs.values(session, &name, || {
                let names = grouping.names();
                let is_trained = |name: &str| {
                    grouping.of(name).is_ok_and(|k| set.iter().any(|group| group == names[k]))
                };
                let course = Course { steps: STEPS, batch: BATCH, seed };
                Ok(tune(session, &net, is_trained, &subject.corpus, course, rate)?.to_values())
            })?;
            Tuned::from_values(&values)
        };
        let best = downhill(3, 1, |rate| Ok(at(rate)?.valid))?;
        at(best)
    }
}

fn appi(report: &Report, name: &str) -> f64 {
    report.groups.iter().find(|group| group.name == name).map_or(0.0, |group| group.appi)
}

/// Runs everything that was not run yet, a seed at a time.
pub(super) fn run(session: &Session, places: &Places, runs: &mut Runs) -> Result<Section> {
    let small = Subject::open(places, "stories260k", "stories260k", "")?;
    let weights = "SmolLM2-135M-Instruct.Q4_1.gguf";
    let large = Subject::open(places, "smollm2", "smollm2", weights)?;
    let probes = store::Store::open(session, "adapeft-large-probes")?;
    let grouping = Grouping::first_match(MODULES)?;
    let mut bench = Bench { session, runs, probes, grouping };
    let task = session.progress.task("adapeft: large", SEEDS.count() as u64);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a count")]
    let budget = (PART * large.net.params.n_elements() as f64) as u64;
    let mut table = Table::new(["seed", "from", "set", "test loss, nats per token", "processor s"])
        .with_caption("Sets for SmolLM2-135M");
    table = table.align(3, Align::Right).align(4, Align::Right);
    let (mut ranks, mut own_above, mut random_above) = (Vec::new(), Vec::new(), Vec::new());
    for seed in SEEDS {
        let from = bench.found(&small, seed)?.report;
        let found = bench.found(&large, seed)?;
        let names: Vec<&str> = found.report.groups.iter().map(|g| g.name.as_str()).collect();
        let values =
            |report: &Report| names.iter().map(|name| appi(report, name)).collect::<Vec<_>>();
        ranks.push(spearman(&values(&from), &values(&found.report)));
        let net = large.net.with_adapters(RANK, &ADAPTED, seed)?;
        let transfer = from.transfer(net.sizes(), &Chooser::within(Budget::Count(budget)))?;
        let given: Set = transfer.choice.chosen().map(str::to_owned).collect();
        let key = Key::from_seed(90 + seed).child(Label::Sample(0));
        let sets = [
            ("stories260k", given),
            ("SmolLM2-135M", chosen(&found.report, "influence", budget)?),
            ("chance", random(&found.report, budget, key)?),
        ];
        let mut losses = Vec::new();
        for (from, set) in sets {
            let tuned = bench.tuned(&large, &set, seed)?;
            table.push_row([
                seed.to_string(),
                from.to_owned(),
                set.join(", "),
                significant(tuned.test, 4),
                significant(tuned.seconds, 4),
            ]);
            losses.push(tuned.test);
        }
        let [given, own, random] = losses[..] else { return Err(Error::TooFewRuns) };
        own_above.push(100.0 * (given / own - 1.0));
        random_above.push(100.0 * (given / random - 1.0));
        task.advance(1);
    }
    task.finish();
    figure(session, "large-rank-correlation", &ranks, "Spearman", Better::Higher)?;
    figure(session, "large-loss-above-own", &own_above, "%", Better::Lower)?;
    figure(session, "large-loss-above-random", &random_above, "%", Better::Lower)?;
    let check = |what: &str, asks, values| Check { what: what.into(), asks, values };
    let claim = Claim {
        published: "groups found on a small network serve one that is far larger (2505.12579)",
        miniature: format!(
            "from stories260k ({} parameters) to SmolLM2-135M ({}), {STEPS} steps of {BATCH} windows of {CONTEXT} tokens of E2E, \
             within {} % of the parameters",
            count(small.net.params.n_elements() as u64),
            count(large.net.params.n_elements() as u64),
            significant(100.0 * PART, 2),
        ),
        command: "cargo xtask bench adapeft --full --only large",
        seeds: "3: batches, adapters and probe phases".into(),
        checks: vec![
            check("rank correlation of APPI", Asks::LargerThan(0.5), ranks),
            check(
                "loss of the set from the small network above that of the own one, %",
                Asks::NotLarger,
                own_above,
            ),
            check(
                "loss of the set from the small network above a random one of its size, %",
                Asks::Smaller,
                random_above,
            ),
        ],
    };
    Ok(Section::new("Over sizes, with published networks").table(&table).section(claim.section()))
}
