#![doc = include_str!("../README.md")]

mod design;
mod disk;
pub mod error;
mod filter;
mod kalman;
mod low_pass;
mod per_group;
mod recipe;
mod response;
mod step;

pub use disk::{Disk, DiskState, KalmanGain, LookAhead, Start};
pub use error::{Error, Result};
pub use filter::{Filter, Gain, Gains, Pole};
pub use kalman::{KalmanStep, ScalarKalman};
pub use low_pass::{AdamMode, Denominator, FilteredAdam, FilteredAdamState, LowPass, LowPassState};
pub use per_group::{PerGroup, PerGroupState};
pub use recipe::Recipe;
pub use response::Response;
pub use step::{AtParams, FilteredStep, TakesPoints, Update, hyfree_step};
