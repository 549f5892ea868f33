//! What can be trained of a network, and the runs of all parts, each done once.

use hessian_lr::grouping::Grouping;
use tape_nn::net::Gpt;
use tape_nn::select::fits;

use super::corpus::Corpora;
use super::net::Net;
use super::pretrain::{CONTEXT, pretrained};
use super::probe::{Fits, Found, probe};
use super::sets::{Set, modules};
use super::tune::{Course, RATES, Tuned, downhill, tune};
use super::{Runs, SEEDS, store};
use crate::data::Places;
use crate::error::Result;
use crate::session::Session;

/// Steps of adaptation, the horizon.
pub(super) const STEPS: u64 = 150;
/// Steps of a probe phase: a tenth.
pub(super) const PROBE: u64 = 15;
/// Windows of a batch.
pub(super) const BATCH: usize = 8;
/// Fits as the crate makes them: every fourth step, on the next batch.
pub(super) const FITS: Fits = Fits { period: 4, windows: BATCH };
/// Rank of the adapters that a network carries whose groups are chosen.
pub(super) const RANK: usize = 4;
/// Layers that get adapters.
const ADAPTED: [&str; 4] = ["c_attn", "attn.c_proj", "c_fc", "mlp.c_proj"];

/// Which network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    /// Two blocks.
    Small,
    /// Six blocks.
    Large,
}

impl Size {
    pub(super) fn n_blocks(self) -> usize {
        match self {
            Size::Small => 2,
            Size::Large => 6,
        }
    }
}

/// How groups are formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// By kind and layer.
    Layer,
    /// By module, all blocks together.
    Module,
}

impl By {
    pub(super) fn grouping(self, net: &Net<Gpt>) -> Result<Grouping> {
        match self {
            By::Layer => Ok(Grouping::kinds_by_layer(net.params.names())?),
            By::Module => modules(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            By::Layer => "layer",
            By::Module => "module",
        }
    }
}

/// What is trained.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Method {
    Full,
    BitFit,
    Norms,
    Head,
    Lora(usize),
    /// Groups of a network that carries adapters.
    Groups(By, Set),
}

impl Method {
    pub(super) fn label(&self) -> String {
        match self {
            Method::Full => "full training".into(),
            Method::BitFit => "BitFit".into(),
            Method::Norms => "norms".into(),
            Method::Head => "linear probe".into(),
            Method::Lora(rank) => format!("LoRA, rank {rank}"),
            Method::Groups(by, set) => format!("{}: {}", by.name(), set.join("+")),
        }
    }

    fn is_nothing(&self) -> bool {
        matches!(self, Method::Groups(_, set) if set.is_empty())
    }

    /// Where the search of the rate starts, in [`RATES`].
    fn first_rate(&self) -> usize {
        match self {
            Method::Full => 3,
            Method::BitFit | Method::Norms => 5,
            _ => 4,
        }
    }
}

/// Whether the parameter of a name is trained.
type IsTrained = Box<dyn Fn(&str) -> bool>;

/// What all parts on texts share.
pub(super) struct Bench<'a> {
    pub(super) session: &'a Session,
    pub(super) corpora: Corpora,
    runs: &'a mut Runs,
    probes: store::Store<Found>,
    small: Net<Gpt>,
    large: Option<Net<Gpt>>,
}

impl<'a> Bench<'a> {
    pub(super) fn open(
        session: &'a Session,
        places: &Places,
        runs: &'a mut Runs,
    ) -> Result<Bench<'a>> {
        let corpora = Corpora::open(places, CONTEXT + 1)?;
        let small = pretrained(session, &corpora, Size::Small.n_blocks())?;
        let probes = store::Store::open(session, "adapeft-probes")?;
        Ok(Bench { session, corpora, runs, probes, small, large: None })
    }

    /// A pretrained network; cheap to ask for again.
    pub(super) fn net(&mut self, size: Size) -> Result<Net<Gpt>> {
        if size == Size::Small {
            return Ok(self.small.clone());
        }
        if let Some(net) = &self.large {
            return Ok(net.clone());
        }
        let net = pretrained(self.session, &self.corpora, size.n_blocks())?;
        self.large = Some(net.clone());
        Ok(net)
    }

    /// The network that carries adapters.
    pub(super) fn carrying(&mut self, size: Size, seed: u64) -> Result<Net<Gpt>> {
        self.net(size)?.with_adapters(RANK, &ADAPTED, seed)
    }

    /// What a probe phase of that many steps finds.
    pub(super) fn found(&mut self, size: Size, by: By, steps: u64, seed: u64) -> Result<Found> {
        self.found_with(size, by, (steps, FITS), seed)
    }

    /// The same with other fits.
    pub(super) fn found_with(
        &mut self,
        size: Size,
        by: By,
        (steps, fits): (u64, Fits),
        seed: u64,
    ) -> Result<Found> {
        let Fits { period, windows } = fits;
        let blocks = size.n_blocks();
        let name = format!("{blocks}/{}/{steps}/{period}/{windows}/{seed}", by.name());
        if let Some(found) = self.probes.get(&name) {
            return Ok(found.clone());
        }
        let net = self.carrying(size, seed)?;
        let course = Course { steps, batch: BATCH, seed };
        let corpus = &self.corpora.restaurants;
        let grouping = by.grouping(&net)?;
        let found = probe(self.session, &name, &net, corpus, &grouping, (course, fits))?;
        self.probes.put(&name, found.clone())?;
        Ok(found)
    }

    /// A parameter budget in percent of the network without adapters.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a count")]
    pub(super) fn budget(&mut self, size: Size, percent: f64) -> Result<u64> {
        Ok((percent * self.net(size)?.params.n_elements() as f64 / 100.0).floor() as u64)
    }

    /// The network with what of it is trained by name.
    pub(super) fn trained(
        &mut self,
        size: Size,
        method: &Method,
        seed: u64,
    ) -> Result<(Net<Gpt>, IsTrained)> {
        let pattern =
            |pattern: &'static str| -> IsTrained { Box::new(move |name| fits(pattern, name)) };
        Ok(match method {
            Method::Full => (self.net(size)?, pattern("*")),
            Method::BitFit => (self.net(size)?, pattern("bias")),
            Method::Norms => (self.net(size)?, Box::new(|name| name.contains("ln_"))),
            Method::Head => (self.net(size)?, pattern("lm_head.weight")),
            Method::Lora(rank) => {
                let net = self.net(size)?.with_adapters(*rank, &ADAPTED, seed)?;
                (net, Box::new(|name| name.contains(".lora_")))
            }
            Method::Groups(by, set) => {
                let carrying = self.carrying(size, seed)?;
                let (grouping, set) = (by.grouping(&carrying)?, set.clone());
                let is_trained = move |name: &str| {
                    let names = grouping.names();
                    grouping.of(name).is_ok_and(|k| set.iter().any(|group| group == names[k]))
                };
                // Adapters that are not trained add nothing, and are taken off.
                let is_used =
                    carrying.params.names().any(|name| name.contains(".lora_") && is_trained(name));
                let net = match is_used {
                    true => carrying,
                    false => self.net(size)?,
                };
                (net, Box::new(is_trained))
            }
        })
    }

    /// A training of so many steps, or what is known of it.
    pub(super) fn tuned(
        &mut self,
        size: Size,
        method: &Method,
        (seed, rate, steps): (u64, usize, u64),
    ) -> Result<Tuned> {
        let rate = RATES.get(rate).copied().unwrap_or(f64::NAN);
        let name = format!("tuned/{}/{}/{steps}/{rate}/{seed}", size.n_blocks(), method.label());
        if let Some(values) = self.runs.known_values(&name) {
            return Tuned::from_values(values);
        }
        let (net, is_trained) = self.trained(size, method, seed)?;
        let (session, corpus) = (self.session, &self.corpora.restaurants);
        let values = self.runs.values(session, &name, || {
            let course = Course { steps, batch: BATCH, seed };
            Ok(tune(session, &net, is_trained, corpus, course, rate)?.to_values())
        })?;
        Tuned::from_values(&values)
    }

    /// The place in [`RATES`] with the least loss on the windows for choices, with the first seed, whichever seeds use it.
    pub(super) fn rate(&mut self, size: Size, method: &Method) -> Result<usize> {
        if method.is_nothing() {
            return Ok(0);
        }
        downhill(RATES.len(), method.first_rate(), |rate| {
            Ok(self.tuned(size, method, (*SEEDS.start(), rate, STEPS))?.valid)
        })
    }

    /// The training of a method with a seed, at the method's rate.
    pub(super) fn best(&mut self, size: Size, method: &Method, seed: u64) -> Result<Tuned> {
        let rate = self.rate(size, method)?;
        self.tuned(size, method, (seed, rate, STEPS))
    }
}
