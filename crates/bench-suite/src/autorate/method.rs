//! Where rates come from, as values.

use hessian_lr::controller::{Gen, HiDlr};
use hessian_lr::driver::ProbeData;
use hessian_lr::grouping::Grouping;
use serde::{Deserialize, Serialize};
use tensor_tree::{Groups, Tree};

use crate::error::Result;

/// What turns gradients into directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Base {
    /// The gradient.
    Sgd,
    /// Adam without decay of the weights.
    AdamW,
}

impl Base {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Base::Sgd => "SGD",
            Base::AdamW => "AdamW",
        }
    }

    /// Its name in figures.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Base::Sgd => "sgd",
            Base::AdamW => "adamw",
        }
    }
}

/// How a rate that was chosen fades, over the whole training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Course {
    /// Not at all.
    Constant,
    /// In a line to 0.
    Linear,
    /// By half a cosine to 0.
    Cosine,
}

impl Course {
    /// All of them.
    pub const ALL: [Course; 3] = [Course::Constant, Course::Linear, Course::Cosine];

    /// In one word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Course::Constant => "constant",
            Course::Linear => "linear",
            Course::Cosine => "cosine",
        }
    }
}

/// Which parameters have a rate in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Grouped {
    /// Each leaf has its own.
    Leaves,
    /// A layer's weights and biases.
    Layers,
    /// LoRA's two matrices.
    Lora,
}

impl Grouped {
    /// The groups of these parameters.
    ///
    /// # Errors
    /// If a parameter is in no group.
    pub fn groups(self, params: &Tree) -> Result<Groups> {
        Ok(match self {
            Grouped::Leaves => Groups::per_leaf(params),
            Grouped::Layers => Groups::per_layer(params),
            Grouped::Lora => Grouping::kinds()?.groups(params)?,
        })
    }
}

/// A rival of [`hessian_lr::rival`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// D-Adaptation of SGD.
    DAdaptSgd,
    /// D-Adaptation of Adam.
    DAdaptAdam,
    /// Prodigy.
    Prodigy,
    /// Distance over gradients, evaluated at the last iterate.
    Dog,
    /// The same, evaluated at an average of the iterates, as published.
    DogAveraged,
    /// Schedule-Free AdamW.
    ScheduleFree,
    /// Polyak steps.
    Polyak,
    /// Armijo line search.
    Armijo,
    /// Hypergradient descent of Adam's rate.
    Hypergradient,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 9] = [
        Kind::DAdaptSgd,
        Kind::DAdaptAdam,
        Kind::Prodigy,
        Kind::Dog,
        Kind::DogAveraged,
        Kind::ScheduleFree,
        Kind::Polyak,
        Kind::Armijo,
        Kind::Hypergradient,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::DAdaptSgd => "D-Adaptation SGD",
            Kind::DAdaptAdam => "D-Adaptation Adam",
            Kind::Prodigy => "Prodigy",
            Kind::Dog => "DoG",
            Kind::DogAveraged => "DoG, averaged",
            Kind::ScheduleFree => "Schedule-Free AdamW",
            Kind::Polyak => "stochastic Polyak",
            Kind::Armijo => "Armijo",
            Kind::Hypergradient => "hypergradient Adam",
        }
    }

    /// The rate of its defaults, where it has one that its authors tune or might.
    #[must_use]
    pub fn rate(self) -> Option<f64> {
        match self {
            Kind::ScheduleFree => Some(2.5e-3),
            Kind::Hypergradient => Some(1e-3),
            _ => None,
        }
    }
}

impl Method {
    /// The same with other probe data, where there are any.
    #[must_use]
    pub fn probing(mut self, data: ProbeData) -> Self {
        if let Method::Gen { probe_data, .. } | Method::HiDlr { probe_data, .. } = &mut self {
            *probe_data = data;
        }
        self
    }
}

/// Where rates come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Method {
    /// A peak rate that was chosen, and its course.
    Scheduled {
        /// The direction.
        base: Base,
        /// How the rate fades.
        course: Course,
        /// Peak rate.
        rate: f64,
    },
    /// One rate from curvature.
    Gen {
        /// The direction.
        base: Base,
        /// The controller.
        controller: Gen,
        /// Which samples are probed.
        probe_data: ProbeData,
    },
    /// A rate for each group from curvature.
    HiDlr {
        /// The direction.
        base: Base,
        /// The controller.
        controller: HiDlr,
        /// Which samples are probed.
        probe_data: ProbeData,
        /// The groups.
        groups: Grouped,
    },
    /// Another way to have no rate to choose, with its defaults but for the rate where one is given.
    Rival {
        /// Which.
        kind: Kind,
        /// Its rate.
        rate: Option<f64>,
    },
}
