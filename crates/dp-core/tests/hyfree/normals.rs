//! Normals for tests that know no tensors.

/// Box and Muller over a linear congruence; good enough to shake a test.
pub(crate) struct Normals(u64);

impl Normals {
    pub(crate) fn new(seed: u64) -> Self {
        Normals(seed.wrapping_mul(2).wrapping_add(1))
    }

    fn uniform(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 11) as f64 + 0.5) / 2f64.powi(53)
    }

    pub(crate) fn next(&mut self) -> f64 {
        let (u, v) = (self.uniform(), self.uniform());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }
}
