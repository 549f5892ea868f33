//! Directions of named trees of gradients.

use tensor_tree::Tree;

use super::{Direction, Gram};
use crate::Result;

impl Gram {
    /// The inner products of two gradients, in doubles over all leaves.
    ///
    /// # Errors
    /// If the trees do not fit each other.
    pub fn of(retain: &Tree, forget: &Tree) -> Result<Self> {
        Ok(Gram { rr: retain.dot(retain)?, ff: forget.dot(forget)?, rf: retain.dot(forget)? })
    }
}

impl Direction {
    /// The direction of these gradients. Both must be those of a whole effective batch: of micro-batches the gradients are added first.
    ///
    /// # Errors
    /// As [`Direction::coefficients`]; if the trees do not fit each other.
    ///
    /// # Examples
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use tensor_tree::Tree;
    /// use unlearn::direction::Direction;
    ///
    /// let tree = |x: [f64; 2]| Tree::from_leaves([("w", Tensor::new(&x, &Device::Cpu)?)]);
    /// let (retain, forget) = (tree([3.0, 0.0])?, tree([0.0, -0.1])?);
    /// let d = Direction::NgDiff.of(&retain, &forget)?;
    /// assert_eq!(d.leaf("w")?.to_vec1::<f64>()?, [1.0, -1.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn of(self, retain: &Tree, forget: &Tree) -> Result<Tree> {
        self.with(Gram::of(retain, forget)?, retain, forget)
    }

    /// The same with inner products that the caller has computed of these gradients.
    ///
    /// # Errors
    /// As [`Direction::of`].
    pub fn with(self, gram: Gram, retain: &Tree, forget: &Tree) -> Result<Tree> {
        let weights = self.coefficients(gram)?;
        // Projections leave rounding behind, which a second one takes off.
        let projected = |onto: &Tree, square: f64, of: &Tree, weight: f64| -> Result<Tree> {
            let once = of.add_scaled(-share(gram.rf, square), onto)?;
            let twice = once.add_scaled(-share(once.dot(onto)?, square), onto)?;
            Ok(twice.lin_comb(weight, 0.0, onto)?)
        };
        match self {
            Direction::Blur { gamma } if 0.0 < gram.ff => {
                Ok(projected(forget, gram.ff, retain, 1.0)?.add_scaled(gamma, forget)?)
            }
            Direction::BlurScaled { alpha } if 0.0 < gram.ff => {
                Ok(projected(forget, gram.ff, retain, alpha)?.add_scaled(1.0, forget)?)
            }
            Direction::BlurSwapped { gamma } if 0.0 < gram.rr => {
                Ok(projected(retain, gram.rr, forget, 1.0)?.add_scaled(gamma, retain)?)
            }
            _ => Ok(retain.lin_comb(weights.retain, weights.forget, forget)?),
        }
    }
}

fn share(part: f64, whole: f64) -> f64 {
    if whole == 0.0 { 0.0 } else { part / whole }
}
