//! The configuration of one training run, as a versioned JSON file.

use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// A configuration file of any version.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "version")]
pub enum ConfigFile {
    /// The present version.
    #[serde(rename = "1")]
    V1(RunConfig),
}

impl From<ConfigFile> for RunConfig {
    fn from(file: ConfigFile) -> Self {
        match file {
            ConfigFile::V1(config) => config,
        }
    }
}

/// One training run.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// Data set and network, such as `mnist/cnn`.
    pub problem: String,
    /// How gradients become directions.
    pub optimizer: OptimizerConfig,
    /// The rate at the start; it falls linearly to a tenth at the last step.
    pub learning_rate: f64,
    /// Expected size of a Poisson batch.
    pub batch_size: f64,
    /// Number of steps.
    pub steps: u64,
    /// Clipping and noise; none for the non-private twin.
    pub privacy: Option<PrivacyConfig>,
    /// Seed of initial parameters, batches and noise.
    pub seed: u64,
    /// Steps between evaluations.
    pub eval_every: u64,
}

/// An optimizer with its settings.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(tag = "name", rename_all = "lowercase", deny_unknown_fields)]
pub enum OptimizerConfig {
    /// Gradient descent with heavy-ball momentum.
    Sgd {
        /// Decay of the momentum; 0 for none.
        momentum: f64,
    },
    /// Adam with decoupled weight decay.
    Adamw {
        /// Weight decay.
        weight_decay: f64,
    },
}

impl OptimizerConfig {
    /// A short name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            OptimizerConfig::Sgd { .. } => "SGD",
            OptimizerConfig::Adamw { .. } => "AdamW",
        }
    }
}

/// Clipping and noise of a private run.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PrivacyConfig {
    /// Target epsilon; the noise is calibrated to it.
    pub epsilon: f64,
    /// Delta.
    pub delta: f64,
    /// Clip function.
    pub clipping: ClipConfig,
}

/// Clip function and norm.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(tag = "name", rename_all = "lowercase", deny_unknown_fields)]
pub enum ClipConfig {
    /// `min(1, R / norm)`.
    Flat {
        /// `R`.
        norm: f64,
    },
    /// `1 / (norm + 0.01)`.
    Automatic,
}

impl ClipConfig {
    /// A short name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ClipConfig::Flat { .. } => "flat",
            ClipConfig::Automatic => "automatic",
        }
    }
}

impl RunConfig {
    /// Reads a configuration.
    ///
    /// # Errors
    /// [`Error::Config`] with line and column for a misspelt key, an unknown version or a value of another type;
    /// [`Error::Setting`] for a number out of range.
    pub fn parse(text: &str, file: &Path) -> Result<Self> {
        let parsed: ConfigFile = serde_json::from_str(text)
            .map_err(|e| Error::Config { file: file.to_owned(), reason: e.to_string() })?;
        let config = RunConfig::from(parsed);
        config.check()?;
        Ok(config)
    }

    /// The configuration as text that [`RunConfig::parse`] reads.
    ///
    /// # Errors
    /// [`Error::Config`] if a number is not finite.
    pub fn to_text(&self) -> Result<String> {
        serde_json::to_string_pretty(&ConfigFile::V1(self.clone()))
            .map_err(|e| Error::Config { file: "configuration".into(), reason: e.to_string() })
    }

    /// Twelve hexadecimal digits that name the configuration.
    ///
    /// # Errors
    /// As [`RunConfig::to_text`].
    pub fn hash(&self) -> Result<String> {
        let digest = Sha256::digest(self.to_text()?.as_bytes());
        Ok(digest.iter().take(6).map(|b| format!("{b:02x}")).collect())
    }

    /// Whether the numbers make sense.
    ///
    /// # Errors
    /// [`Error::Setting`] with the first that does not.
    pub fn check(&self) -> Result<()> {
        let positive = |name: &'static str, value: f64| {
            if value.is_finite() && 0.0 < value {
                Ok(())
            } else {
                Err(Error::Setting { name, must: "finite and positive", got: value })
            }
        };
        positive("learning_rate", self.learning_rate)?;
        positive("batch_size", self.batch_size)?;
        positive("steps", self.steps as f64)?;
        positive("eval_every", self.eval_every as f64)?;
        if let Some(privacy) = &self.privacy {
            positive("epsilon", privacy.epsilon)?;
            positive("delta", privacy.delta)?;
            if let ClipConfig::Flat { norm } = privacy.clipping {
                positive("norm", norm)?;
            }
        }
        Ok(())
    }

    /// What the run is called in tables and plots, without the problem.
    #[must_use]
    pub fn label(&self) -> String {
        let optimizer = self.optimizer.name();
        match &self.privacy {
            None => format!("{optimizer}, not private"),
            Some(p) => {
                format!("{optimizer}, {} clipping, epsilon {}", p.clipping.name(), p.epsilon)
            }
        }
    }
}

#[cfg(test)]
mod tests;
